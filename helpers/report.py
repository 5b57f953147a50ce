"""What a notebook prints about its result, and the record that the book's pages are drawn from.

Every measured number is printed by a method of `Run` in one form,
``name ....  0.957  [0.940, 0.974]  in band``: the digits before the bracket may differ a little
between machines, the band and the verdict may not. The full-precision value goes into the
output's metadata under the key ``book``.

The expected bands are package data, ``helpers/bands/<family>/<method>.json``, out of the
notebook's sight: no value can be copied from them into a result.
"""

import ast
import csv
import json
import math
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers.data import ImageSet
from helpers.metrics import Difference, Result
from helpers.names import did_you_mean
from helpers.thumbnails import thumbnails
from helpers.workload import COME_WITH_PIP, plan

LABELS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "aupro": "AUPRO, all images",
    "aupro_anomalous": "AUPRO, anomalous images only",
}
OTHER_SETTINGS = "no expectation for these settings"
OTHER_VERSION = "no expectation for this version"
NO_BAND = "no band yet: make bands"


@dataclass(frozen=True)
class Run:
    """One execution of a notebook; made by `start`.

    Attributes:
        method: ``"<family>/<method>"``.
        settings: the notebook's parameters by name.
        bands: name to (low, high), what the default settings gave over five seeds; None where
            there is no expectation.
        seeds: claim id to the verdict of each of the five seeds.
        why: what is printed instead of a band.
        device: where to compute.
        started: `time.perf_counter` at the start.
        titles: name of each number in a table so far to the table's title.
    """

    method: str
    settings: dict[str, Any]
    bands: dict[str, tuple[float, float]] | None
    seeds: dict[str, list[str]]
    why: str
    device: torch.device
    started: float
    titles: dict[str, str] = field(default_factory=dict)

    def plan(self, *, memory: float, seconds: float, images: int, advice: str) -> None:
        """Say what the work on the reader's own images needs, or refuse what cannot fit.

        Args and errors are those of `helpers.workload.plan`.
        """
        plan(
            memory=memory,
            seconds=seconds,
            images=images,
            dataset=self.settings["dataset"],
            advice=advice,
        )

    def table(self, title: str, values: Mapping[str, float | np.ndarray | None]) -> None:
        """Print the numbers of one experiment beside their expected bands, and record them.

        Args:
            title: short; above the numbers.
            values: by name, which is the key of the number's band: a number, None where this test
                set does not allow it, or booleans (N,), whose share of True is a number with a
                95 % interval (Wilson) and a band of at least one entry to each side: one entry
                more or less is the smallest difference that another machine can make.

        Raises:
            ValueError: for a number that is not finite, an array of another shape or type, or a
                name that another table has: their bands would be one.
        """
        lines, rows = [title], []
        for name, value in values.items():
            if (other := self.titles.setdefault(name, title)) != title:
                raise ValueError(
                    f"{name!r} stands in the table {other!r} already, and a name is the key of one "
                    "band; name what is measured: 'pixel AUROC, no window'"
                )
            of = None
            if np.ndim(value):
                chosen = np.asarray(value)
                if chosen.ndim != 1 or chosen.dtype != bool:
                    raise ValueError(
                        f"{name}: a share needs booleans of shape (N,), "
                        f"found {chosen.dtype} of shape {chosen.shape}"
                    )
                of, value = len(chosen), float(chosen.mean()) if len(chosen) else None
            line, row = self._line(name, name, value, of)
            if of:
                interval = _wilson(int(chosen.sum()), of)
                line += f"\n  {_interval(*interval)}, of {of}"
                row["interval"] = list(interval)
            if of is not None:
                row["of"] = of
            lines.append(line)
            rows.append(row)
        _publish("\n".join(lines), {"kind": "table", "title": title, "rows": rows})

    def claim(self, name: str, difference: Difference | None, above: float = 0.0) -> None:
        """Judge one claim by the rule of `judge` and print the verdict, whatever it is.

        Args:
            name: the claim's id in the registry.
            difference: from `helpers.metrics.compare`; None if the test set cannot tell.
            above: the difference that the claim must exceed; negative for "not worse than".

        Raises:
            ValueError: if the difference or its interval is not finite.
        """
        verdict = judge(difference, above)
        key = f"claim {name}"
        line, row = self._line(key, key, None if difference is None else difference.value)
        whole, seeds = None, self.seeds.get(name)
        if difference is not None:
            whole = {k: float(getattr(difference, k)) for k in ("value", "low", "high")}
            line += f"\n  {_interval(difference.low, difference.high)}"
        line += f"\n  rule: a difference above {above:g}\n  verdict: {verdict}"
        if len(found := sorted(set(seeds or ()))) > 1:  # seeds disagree: measured, like a number
            inside = "in band" if verdict in found else "OUT OF BAND"
            line += f"  [{', '.join(found)}]  {inside}"
        if seeds:
            line += f"\n  seeds: reproduced in {seeds.count('reproduced')} of {len(seeds)}"
        record = {"kind": "claim", "id": name, "difference": whole, "above": above}
        _publish(line, record | {"verdict": verdict, "seeds": seeds, "band": row["band"]})

    def report(
        self,
        result: Result,
        *,
        train: ImageSet,
        test: ImageSet,
        baselines: Mapping[str, float | None] | None = None,
        random_weights: tuple[str, float | None] | None = None,
        threshold: float | None = None,
        weights: str | None = None,
    ) -> None:
        """Print the table of results and record it.

        Args:
            result: from `helpers.metrics.evaluate`.
            train: what the method was fitted on.
            test: what it was tested on.
            baselines: image AUROC of each trivial baseline.
            random_weights: name and image AUROC of the same pipeline with random weights.
            threshold: the threshold from normal images.
            weights: ``backbone.weights``.
        """
        lines = [
            f"{self.method} on {test.name}, data {test.fingerprint}",
            f"{len(train)} normal images to fit, {len(test)} to test: "
            + ", ".join(f"{count} {kind}" for kind, count in _count(test.types).items()),
        ]
        if weights == "random":
            lines.append(
                "NOTICE: the backbone's weights are random; this is no result of the method"
            )
        for key, label in LABELS.items():
            if key in result.values:
                lines.append(self._line(key, label, result.values[key])[0])
            elif key in result.missing:
                lines.append(f"{label:.<44}  not available: {result.missing[key]}")
        marked, bad = result.counts.get("pixel_anomalous", 0), int(np.sum(test.labels))
        if 0 < marked < bad:
            lines.append(f"pixel metrics: on {marked} of {bad} anomalous images, those with masks")
        others = {f"baseline {name}": value for name, value in (baselines or {}).items()}
        if random_weights is not None:
            others[f"random-weights baseline, {random_weights[0]}"] = random_weights[1]
        for key, value in others.items():
            lines.append(self._line(key, _label(key), value)[0])
        record = {
            "kind": "report",
            "method": self.method,
            "dataset": test.name,
            "fingerprint": test.fingerprint,
            "settings": self.settings,
            "default": self.bands is not None,
            "weights": weights,
            "metrics": {key: float(value) for key, value in result.values.items()},
            "intervals": {key: [float(v) for v in pair] for key, pair in result.intervals.items()},
            "missing": dict(result.missing),
            "counts": {"train": len(train), "test": len(test), **dict(result.counts)},
            "baselines": {k: None if v is None else float(v) for k, v in (baselines or {}).items()},
            "random_weights": None
            if random_weights is None
            else dict(zip(("name", "image_auroc"), random_weights, strict=True)),
            "bands": {
                key: list(band)
                for key, band in (self.bands or {}).items()
                if key in LABELS or key in others
            },
            "threshold": None if threshold is None else float(threshold),
            "seconds": round(time.perf_counter() - self.started, 2),
            "peak_memory_mb": _peak_memory(),
            "threads": torch.get_num_threads(),
            "license": test.license,
            "versions": _versions(),
        }
        own = self.settings["dataset"] not in COME_WITH_PIP  # the reader's images stay out of it
        if not own and result.maps is not None and threshold is not None:
            record["maps"] = thumbnails(test, result.scores, result.maps, threshold)
        _publish("\n".join(lines), record)

    def save_scores(self, test: ImageSet, scores: np.ndarray, *, threshold: float) -> None:
        """Write one row per image of the reader's own data; the book's own data writes nothing.

        The table is ``<method>_<category or folder>_scores.csv`` in the working directory. One
        that cannot be written is no reason to stop: what was wrong is printed.

        Args:
            test: the N images that were scored.
            scores: (N,) image scores, higher is more anomalous.
            threshold: scores above it are flagged.
        """
        if self.settings["dataset"] in COME_WITH_PIP:
            print("the book's own data: no file written")
            return
        name = re.sub(r"[^\w.-]+", "_", test.name.split("/")[-1])
        path = Path(f"{self.method.split('/')[-1]}_{name}_scores.csv")
        try:
            with path.open("w", newline="", encoding="utf-8-sig") as file:  # utf-8-sig: for Excel
                rows = csv.writer(file)
                rows.writerow(["path", "type", "label", "score", "threshold", "flagged"])
                for i, score in enumerate(scores):
                    row = [test.paths[i], test.types[i], int(test.labels[i]), float(score)]
                    rows.writerow([*row, threshold, int(score > threshold)])
        except OSError as error:
            print(
                f"no table of scores: {path.resolve()} cannot be written ({error.strerror}); "
                "close it if it is open elsewhere, or start in a folder that you may write to"
            )
            return
        print(f"wrote {path}: {len(scores)} rows, {int((scores > threshold).sum())} flagged")

    def _line(
        self, key: str, label: str, value: float | None, of: int | None = None
    ) -> tuple[str, dict[str, Any]]:
        """The printed line of one number and its record."""
        row: dict[str, Any] = {"name": key, "value": value, "band": None, "verdict": None}
        if value is None:
            return f"{label:.<44}  not available with this test set", row
        value = row["value"] = float(value)
        if not math.isfinite(value):
            raise ValueError(f"{label} is {value}; only a finite number can be reported")
        if self.bands is None or key not in self.bands:
            why = self.why if self.bands is None else NO_BAND
            return f"{label:.<44}  {value:z.{_decimals(abs(value) / 10)}f}  [{why}]", row
        low, high = self.bands[key]
        if of and high - low < 2 / of:
            low, high = (low + high) / 2 - 1 / of, (low + high) / 2 + 1 / of
        verdict = "in band" if low <= value <= high else "OUT OF BAND"
        row |= {"band": [low, high], "verdict": verdict}
        d = _decimals((high - low) / 2)
        return f"{label:.<44}  {value:z.{d}f}  [{low:z.{d}f}, {high:z.{d}f}]  {verdict}", row


def start(method: str, version: str) -> Run:
    """Begin a run: find parameters and expectation, set threads, seed and device, start the clock.

    The parameters are the names that the notebook's cell of parameters assigns; their values are
    looked up now, so that those of papermill count.

    Args:
        method: ``"<family>/<method>"``.
        version: of the notebook's code, stamped by ``make bands``. The expected bands of other
            code do not hold, nor do those of other parameters; `device` is none of these.

    Returns:
        The run. The number of threads is the environment variable BOOK_THREADS, or all cores.

    Raises:
        ValueError: without a cell of parameters, for a parameter that papermill passed and the
            notebook does not know, a seed or device that cannot be, or a BOOK_THREADS that is not
            a whole number above 0.
    """
    expected = _expected(method)
    settings = _settings(expected.get("settings", {}))
    if not isinstance(settings["seed"], int) or settings["seed"] < 0:
        raise ValueError(f"seed must be a whole number from 0 up, found {settings['seed']!r}")
    threads = os.environ.get("BOOK_THREADS") or str(os.cpu_count() or 1)
    if not threads.isdigit() or int(threads) < 1:
        raise ValueError(f"BOOK_THREADS must be a whole number above 0, found {threads!r}")
    torch.set_num_threads(int(threads))
    torch.manual_seed(settings["seed"])
    device = _device(settings["device"])
    why = _why_not(expected, version, settings)
    named = ", ".join(f"{name} {number}" for name, number in _versions().items())
    print(f"environment: {named}, {device}, {threads} threads")
    print(f"settings: {why or 'the defaults'}")
    return Run(
        method=method,
        settings=settings,
        bands=None if why else {name: tuple(band) for name, band in expected["bands"].items()},
        seeds={} if why else dict(expected["claims"]),
        why=why,
        device=device,
        started=time.perf_counter(),
    )


def judge(difference: Difference | None, above: float = 0.0) -> str:
    """The verdict on a claim; the one rule of the whole book.

    Args:
        difference: measured difference with its 95 % interval, or None.
        above: the difference that the claim must exceed.

    Returns:
        ``"reproduced"`` if the whole interval lies above it, ``"not at this scale"`` if none of
        it does, else ``"undecided"``; ``"not tested"`` for None.

    Raises:
        ValueError: if the difference or its interval is not finite.
    """
    if difference is None:
        return "not tested"
    if not all(math.isfinite(v) for v in (difference.value, difference.low, difference.high)):
        raise ValueError(f"only finite numbers can be judged, found {difference}")
    if difference.low > above:
        return "reproduced"
    return "undecided" if difference.high > above else "not at this scale"


def _label(key: str) -> str:
    """How a row of the result is printed, in 44 characters."""
    return LABELS.get(key) or key.replace("random-weights baseline", "random weights")


def _expected(method: str) -> dict[str, Any]:
    """What the bands file of a method holds; nothing if it has none."""
    file = files("helpers").joinpath("bands", f"{method}.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _why_not(expected: Mapping[str, Any], version: str, settings: Mapping[str, Any]) -> str:
    """Why the expected bands do not apply; "" if they do."""
    if "settings" in expected and _comparable(settings) != _comparable(expected["settings"]):
        return OTHER_SETTINGS
    if not expected.get("bands"):
        return NO_BAND
    return "" if version == expected["version"] else OTHER_VERSION


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    # On which device a run happens is no setting of the method. JSON knows no tuples or paths.
    kept = {key: value for key, value in settings.items() if key != "device"}
    return json.loads(json.dumps(kept, default=str))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'device {name!r} cannot be used here: {error}; use "auto" or "cpu"'
        ) from error
    return torch.device(name)


def _settings(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Names that the notebook's cell of parameters assigns, with their present values.

    Where cells are run without a history (nbval), the names are those of the expectation.
    """
    from IPython import get_ipython

    shell = get_ipython()
    cells = shell.user_ns.get("In", []) if shell is not None else []
    known: list[str] = []
    passed: list[str] = []
    for cell in cells:
        names = _assigned(cell)
        if cell.startswith("# Parameters"):  # papermill's own cell
            passed += names
        elif {"dataset", "seed"} <= set(names):
            known = names  # a cell that was changed and run again counts as it is now
    if shell is not None and not any(cells):
        known = [name for name in defaults if name in shell.user_ns]
    if not known:
        raise ValueError(
            "no cell of parameters was run: one that only assigns literals, `dataset` and `seed` "
            "among them; run the notebook from the top"
        )
    for name in passed:
        if name not in known:
            raise ValueError(
                f"unknown parameter {name!r}; {did_you_mean(name, known)}"
                f"This notebook knows: {', '.join(known)}"
            )
    return {name: shell.user_ns[name] for name in known}


def _assigned(cell: str) -> list[str]:
    """Names that a cell assigns if it only assigns literals, otherwise none."""
    names = []
    try:
        for node in ast.parse(cell).body:
            ast.literal_eval(node.value)
            (target,) = node.targets
            names.append(target.id)
    except (SyntaxError, ValueError, AttributeError, TypeError):
        return []
    return names


def _wilson(found: int, of: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(found, of).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _interval(low: float, high: float) -> str:
    d = _decimals((high - low) / 2)
    return f"95 % interval {low:z.{d}f} to {high:z.{d}f}"


def _decimals(half: float) -> int:
    """Decimals that show two significant digits of an interval's half-width; 3 for none."""
    return min(6, max(1, 1 - math.floor(math.log10(half) + 1e-9))) if half > 0 else 3


def _publish(text: str, record: dict[str, Any]) -> None:
    """Show `text`, with `record` in the output's metadata; outside a notebook, print it."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(text)
    else:
        display({"text/plain": text}, raw=True, metadata={"book": record})


def _count(types: Iterable[str]) -> dict[str, int]:
    types = list(types)
    return {kind: types.count(kind) for kind in dict.fromkeys(types)}


def _versions() -> dict[str, str]:
    packages = ("torch", "timm", "numpy", "scikit-learn", "scikit-image")
    return {"python": platform.python_version()} | {name: installed(name) for name in packages}


def _peak_memory() -> float | None:
    """Peak resident memory of this process in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
