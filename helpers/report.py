"""What a notebook prints about its result, and the record that the book's pages are drawn from.

Every measured number is printed by a method of `Run` in one form,
``name ....  0.957  [0.940, 0.974]  in band``: the digits before the bracket may differ a little
between machines, the band and the verdict may not. The full-precision value goes into the
output's metadata under the key ``book``.
"""

import ast
import csv
import difflib
import math
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers.data import ImageSet
from helpers.metrics import Difference, Result

LABELS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1_max": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "aupro": "AUPRO, all images",
    "aupro_anomalous": "AUPRO, anomalous images only",
}
NO_EXPECTATION = "no expectation for these settings"
BUDGETS = ("quick", "paper")


@dataclass(frozen=True)
class Run:
    """One execution of a notebook; made by `start`."""

    method: str
    settings: dict[str, Any]
    bands: dict[str, tuple[float, float]] | None
    device: torch.device
    started: float

    def progress(self, items: Iterable[Any], name: str) -> Iterator[Any]:
        """Go through `items` with a progress bar where a person watches; it leaves no trace.

        Args:
            items: what to go through.
            name: what the bar says.

        Returns:
            An iterator over the same items.
        """
        from tqdm import tqdm

        watched = (
            sys.stderr.isatty() or "JPY_SESSION_NAME" in os.environ or "google.colab" in sys.modules
        )
        return iter(tqdm(items, desc=name, leave=False, disable=not watched))

    def measure(self, name: str, value: float | None) -> None:
        """Print one measured number beside its expected band, and record it.

        Args:
            name: what was measured; the key of its band.
            value: the number, or None where this test set does not allow it.

        Raises:
            ValueError: if `value` is not finite.
        """
        line, piece = self._line(name, name, value)
        _publish(line, {"kind": "measure", **piece})

    def share(self, name: str, chosen: np.ndarray) -> None:
        """Print the share of true entries, and record it with their number.

        One entry more or less is the smallest difference that another machine can make, so the
        share's band is never narrower than that.

        Args:
            name: what was measured; the key of its band.
            chosen: (N,) boolean; for N = 0 the share is "not available".

        Raises:
            ValueError: for another shape or type.
        """
        chosen = np.asarray(chosen)
        if chosen.ndim != 1 or chosen.dtype != bool:
            raise ValueError(
                f"{name}: a share needs booleans of shape (N,), "
                f"found {chosen.dtype} of shape {chosen.shape}"
            )
        line, piece = self._line(name, name, float(chosen.mean()) if len(chosen) else None)
        _publish(line, {"kind": "measure", **piece, "of": len(chosen)})

    def claim(self, name: str, difference: Difference | None, *, at_least: float) -> None:
        """Judge one claim by a rule and print the verdict, whatever it is.

        Reproduced if the whole 95 % interval of the difference lies above `at_least`, partly if
        only the measured difference does, otherwise not at this scale.

        Args:
            name: the claim's id in the registry.
            difference: from `helpers.metrics.compare`; None if the test set cannot tell.
            at_least: the difference that the claim needs; negative for "not worse than".
        """
        verdict = judge(difference, at_least=at_least)
        key = f"claim {name}"
        line, piece = self._line(key, key, None if difference is None else difference.value)
        if difference is not None:
            line += f"\n  95 % interval {difference.low:.3f} to {difference.high:.3f}"
        line += f"\n  rule: a difference above {at_least:g}\n  verdict: {verdict}"
        whole = None
        if difference is not None:
            whole = {k: float(getattr(difference, k)) for k in ("value", "low", "high")}
        _publish(
            line,
            {
                "kind": "claim",
                "id": name,
                "difference": whole,
                "at_least": at_least,
                "verdict": verdict,
                "band": piece["band"],
            },
        )

    def report(
        self,
        result: Result,
        *,
        train: ImageSet,
        test: ImageSet,
        baselines: Mapping[str, float | None] | None = None,
        twin: tuple[str, float | None] | None = None,
        threshold: float | None = None,
        weights: str | None = None,
    ) -> None:
        """Print the table of results and record it.

        Args:
            result: from `helpers.metrics.evaluate`.
            train: what the method was fitted on.
            test: what it was tested on.
            baselines: image AUROC of each trivial baseline.
            twin: name and image AUROC of the untrained twin.
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
        others = {f"baseline {name}": value for name, value in (baselines or {}).items()}
        if twin is not None:
            others[f"untrained twin, {twin[0]}"] = twin[1]
        lines += [self._line(key, key, value)[0] for key, value in others.items()]
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
            "twin": None if twin is None else {"name": twin[0], "image_auroc": twin[1]},
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
        _publish("\n".join(lines), record)

    def save_scores(
        self, test: ImageSet, scores: np.ndarray, *, threshold: float, path: Path | None = None
    ) -> None:
        """Write one row per image of the reader's own data; the book's own data writes nothing.

        Args:
            test: the N images that were scored.
            scores: (N,) image scores, higher is more anomalous.
            threshold: scores above it are flagged.
            path: where to write; by default ``<method>_scores.csv`` in the working directory.
        """
        if path is None and self.settings["dataset"] in ("elpv", "textile", "textures"):
            print("the book's own data: no file written")
            return
        path = path or Path(f"{self.method.split('/')[-1]}_scores.csv")
        with path.open("w", newline="", encoding="utf-8-sig") as file:  # utf-8-sig: for Excel
            rows = csv.writer(file)
            rows.writerow(["path", "type", "label", "score", "threshold", "flagged"])
            for i, score in enumerate(scores):
                row = [test.paths[i], test.types[i], int(test.labels[i]), float(score), threshold]
                rows.writerow([*row, int(score > threshold)])
        print(f"wrote {path}: {len(scores)} rows, {int((scores > threshold).sum())} flagged")

    def _line(self, key: str, label: str, value: float | None) -> tuple[str, dict[str, Any]]:
        piece: dict[str, Any] = {"name": key, "value": value, "band": None, "verdict": None}
        if value is None:
            return f"{label:.<44}  not available with this test set", piece
        value = float(value)
        if not math.isfinite(value):
            raise ValueError(f"{label} is {value}; only a finite number can be reported")
        piece["value"] = value
        if self.bands is None:
            return f"{label:.<44}  {value:.3f}  [{NO_EXPECTATION}]", piece
        if key not in self.bands:
            return f"{label:.<44}  {value:.3f}  [no band yet: make bands]", piece
        low, high = self.bands[key]
        verdict = "in band" if low <= value <= high else "OUT OF BAND"
        piece |= {"band": [low, high], "verdict": verdict}
        # No more digits than half the band's width justifies.
        digits = max(1, -math.floor(math.log10(max((high - low) / 2, 1e-6)) + 1e-9))
        return f"{label:.<44}  {value:.{digits}f}  [{low:.3f}, {high:.3f}]  {verdict}", piece


def start(
    method: str, *, settings: Mapping[str, Any], expect: Mapping[str, Any] | None = None
) -> Run:
    """Begin a run: check the parameters, set threads, seed and device, start the clock.

    Args:
        method: ``"<family>/<method>"``.
        settings: every parameter of the notebook by name; ``seed`` and ``device`` are needed.
        expect: ``{"settings": the defaults, "bands": {name: (low, high)}}``, written by
            ``make bands``. With other settings there is no expectation.

    Returns:
        The run. The number of threads is the environment variable BOOK_THREADS, or all cores.

    Raises:
        ValueError: for a parameter that papermill passed and the notebook does not know, a budget
            or device that does not exist, or a BOOK_THREADS that is not a whole number above 0.
    """
    _refuse_unknown(_injected(), known=list(settings))
    settings = dict(settings)
    if settings.get("budget", "quick") not in BUDGETS:
        raise ValueError(f"budget must be one of {BUDGETS}, found {settings['budget']!r}")
    if not isinstance(settings["seed"], int) or settings["seed"] < 0:
        raise ValueError(f"seed must be a whole number from 0 up, found {settings['seed']!r}")
    threads = os.environ.get("BOOK_THREADS") or str(os.cpu_count() or 1)
    if not threads.isdigit() or int(threads) < 1:
        raise ValueError(f"BOOK_THREADS must be a whole number above 0, found {threads!r}")
    torch.set_num_threads(int(threads))
    torch.manual_seed(settings["seed"])
    device = _device(settings["device"])
    default = expect is not None and _comparable(settings) == _comparable(expect["settings"])
    named = ", ".join(f"{name} {number}" for name, number in _versions().items())
    print(f"environment: {named}, {device}, {threads} threads")
    print("settings: the defaults" if default else f"settings: {NO_EXPECTATION}")
    return Run(
        method=method,
        settings=settings,
        bands=dict(expect["bands"]) if expect is not None and default else None,
        device=device,
        started=time.perf_counter(),
    )


def judge(difference: Difference | None, *, at_least: float) -> str:
    """The verdict on a claim; the one rule of the whole book.

    Args:
        difference: measured difference with its 95 % interval, or None.
        at_least: the difference that the claim needs.

    Returns:
        ``"reproduced"``, ``"partly"``, ``"not at this scale"`` or ``"not tested"``.
    """
    if difference is None:
        return "not tested"
    if difference.low > at_least:
        return "reproduced"
    return "partly" if difference.value > at_least else "not at this scale"


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    # On which device a run happens is no setting of the method.
    return {key: value for key, value in settings.items() if key != "device"}


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


def _injected() -> list[str]:
    """Names set by the cell that papermill puts in, which begins with ``# Parameters``."""
    from IPython import get_ipython

    shell = get_ipython()
    cells = shell.user_ns.get("In", []) if shell is not None else []
    names: list[str] = []
    for cell in cells:
        if cell.startswith("# Parameters"):
            for statement in ast.parse(cell).body:
                if isinstance(statement, ast.Assign):
                    names += [t.id for t in statement.targets if isinstance(t, ast.Name)]
    return names


def _refuse_unknown(names: list[str], *, known: list[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(
                f"unknown parameter {name!r}; {hint}This notebook knows: {', '.join(known)}"
            )


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
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def _peak_memory() -> float | None:
    """Peak resident memory of this process in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
