"""Comparison records: what the methods of a family give on other data sets and with fewer images.

    python book/tools/compare.py [--all] [--jobs N] [FAMILY ...]

Every row of book/compare.yml runs each notebook of the family as far as its report, without the
exercises, and becomes a row of book/results/compare/<family>.yml. Only rows that are missing or
whose notebook has changed run; with --all every row does, and a number that moved although its
notebook is the same is an error. Rows that fail are named at the end, the others are written.
"""

import argparse
import datetime
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / "_ext"))
import comparisons
import records
import registry
from comparisons import ComparisonError, Row, Settings, key
from run import Executor, execute
from stored import ROOT, NotebookError, method_id, read, until_report, version, write

#: What pages show, and by how much it may differ from one machine to another.
SHOWN, TOLERANCE = ("image_auroc", "pixel_auroc"), 0.01
COPIED = ("dataset", "fingerprint", "counts", "missing", "peak_memory_mb")


def plan_file(root: Path = ROOT) -> Path:
    """Where the plan lies."""
    return root / "book" / "compare.yml"


def record_file(family: str, root: Path = ROOT) -> Path:
    """Where the record of a family lies."""
    return root / "book" / "results" / "compare" / f"{family}.yml"


def notebooks(family: str, root: Path = ROOT) -> list[Path]:
    """The notebooks of a family's written methods, in the registry's order.

    Raises:
        RegistryError: for an unknown family.
    """
    methods = registry.load(root / "book" / "methods.yml").of_family(family)
    return [root / "notebooks" / f"{method.id}.ipynb" for method in methods if method.written]


def planned(family: str, root: Path = ROOT) -> list[tuple[str, Settings]]:
    """(method, settings) of every row that a family should have, in order."""
    methods = [method_id(path) for path in notebooks(family, root)]
    return comparisons.plan(plan_file(root), family, methods)


def version_of(path: Path) -> str:
    """The version of a notebook's code up to its report: a changed exercise keeps it."""
    return version(until_report(read(path)))


def measure(path: Path, settings: Settings, *, execute: Executor = execute) -> Row:
    """Run a notebook as far as its report and return the row of the record.

    Raises:
        NotebookError: if a cell raises or no report comes out.
    """
    notebook = until_report(read(path))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.parent.name / path.name
        copy.parent.mkdir()
        write(notebook, copy)
        executed = execute(copy, settings=settings, cwd=Path(folder))
    found = [piece for piece in records.pieces(executed) if piece["kind"] == "report"]
    if not found:
        raise NotebookError(f"{method_id(path)} gave no report")
    return row(method_id(path), settings, version(notebook), found[-1])


def row(method: str, settings: Settings, version: str, report: records.Piece) -> Row:
    """What the record keeps of a report."""
    made = datetime.datetime.now(datetime.UTC).date().isoformat()
    random = report["random_weights"]
    return {
        "method": method,
        "settings": settings,
        "version": version,
        "made": made,
        **{name: report[name] for name in COPIED},
        "metrics": {name: rounded(value) for name, value in report["metrics"].items()},
        "intervals": {k: [rounded(v) for v in pair] for k, pair in report["intervals"].items()},
        "baselines": {name: rounded(value) for name, value in report["baselines"].items()},
        "random_weights": random and random | {"image_auroc": rounded(random["image_auroc"])},
        "seconds": round(report["seconds"], 1),
        "megapixels_per_second": rounded(speed(report)),
        "median_scores": median_scores(report),
        "auroc_by_kind": auroc_by_kind(report),
    }


def speed(report: records.Piece) -> float | None:
    """Megapixels of all images, a second and core, from the start of the run to its result."""
    side, counts = report["settings"].get("image_size"), report["counts"]
    if not side or not report["seconds"]:
        return None
    pixels = (counts["train"] + counts["test"]) * side**2
    return float(pixels / 1e6 / report["seconds"] / report["threads"])


def median_scores(report: records.Piece) -> dict[str, float] | None:
    """Median score of the normal and of the anomalous images; None where either is missing."""
    maps = report.get("maps", {"labels": "", "scores": ""})
    scores = [float(score) for score in maps["scores"].split()]
    found = {
        kind: [s for s, known in zip(scores, maps["labels"], strict=True) if known == label]
        for kind, label in (("normal", "0"), ("anomalous", "1"))
    }
    return {k: median(v) for k, v in found.items()} if all(found.values()) else None


def auroc_by_kind(report: records.Piece) -> dict[str, float] | None:
    """The image AUROC of each kind of defect, where the images to rank are of several.

    The report keeps the scores of these images in their order; their kinds come from the data.
    """
    from helpers import data, metrics

    if "maps" not in report:
        return None
    names = ("dataset", "category", "root", "image_size", "subset")
    settings = {name: report["settings"][name] for name in names}
    _, test = data.load(settings.pop("dataset"), settings.pop("category"), **settings)
    ranked = metrics.images_to_rank(test)
    kinds = [test.types[i] for i in ranked.nonzero()[0]]
    scores = [float(score) for score in report["maps"]["scores"].split()]
    labels = [int(label) for label in report["maps"]["labels"]]
    bad = sorted({kind for kind, label in zip(kinds, labels, strict=True) if label})
    if len(bad) < 2:
        return None
    found = {}
    for name in bad:
        chosen = [i for i, kind in enumerate(kinds) if not labels[i] or kind == name]
        truth = [labels[i] for i in chosen]
        found[name] = rounded(metrics.image_auroc(truth, [scores[i] for i in chosen]))
    return found


def rounded(value: float | None) -> float | None:
    """Four significant digits; more where three decimals of it, as pages show, would differ."""
    if value is None or abs(value) < 1e-4:  # 1e-05 would be a text to YAML
        return value and 0.0
    candidates = (float(f"{value:.{digits}g}") for digits in range(4, 18))
    return next(short for short in candidates if round(short, 3) == round(value, 3))


def moved(before: Row, after: Row) -> list[str]:
    """In what two runs of the same code differ by more than machines do."""
    if before["fingerprint"] != after["fingerprint"]:
        return [f"data {after['fingerprint']}, recorded {before['fingerprint']}"]
    pairs = {name: (before["metrics"].get(name), after["metrics"].get(name)) for name in SHOWN}
    return [
        f"{name} = {new}, recorded {old}"
        for name, (old, new) in pairs.items()
        if old != new and (old is None or new is None or abs(old - new) > TOLERANCE)
    ]


def cheapest(root: Path = ROOT) -> tuple[Path, Row] | None:
    """Of all records the row with an image AUROC whose run took least time, and its file."""
    found = [
        (file, row)
        for file in sorted(record_file("", root).parent.glob("*.yml"))
        for row in comparisons.record(file)
        if "image_auroc" in row["metrics"]
    ]
    return min(found, key=lambda pair: pair[1]["seconds"], default=None)


def write_record(rows: Iterable[Row], path: Path) -> None:
    """Write a record, one line a row."""
    lines = [
        f"# Written by `make compare FAMILY={path.stem}` from the plan in book/compare.yml.",
        "rows:",
        *(f"- {json.dumps(row, sort_keys=True, ensure_ascii=False)}" for row in rows),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


Job = tuple[Path, Settings]
Answer = tuple[Row | None, str]
"""A row, or None and what went wrong."""


def make_record(
    paths: Sequence[Path],
    wanted: Sequence[tuple[str, Settings]],
    output: Path,
    *,
    everything: bool = False,
    execute: Executor = execute,
    mapped: Callable[[Callable[[Job], Answer], list[Job]], Iterable[Answer]] = map,
) -> list[str]:
    """Bring a family's record up to date; it is written anew after every run.

    Args:
        paths: the notebooks of the family.
        wanted: (method, settings) of every row, in the order in which they are written.
        output: the record; rows that are no longer wanted go.
        everything: also run rows that are up to date.
        execute: runs a notebook.
        mapped: how the runs are spread, `map` or that of a pool.

    Returns:
        What went wrong, a line each: runs that failed (their former row stays, if there is one)
        and numbers that moved although the notebook is the same.
    """
    places = {method_id(path): path for path in paths}
    versions = {method: version_of(path) for method, path in places.items()}
    before = {key(r["method"], r["settings"]): r for r in comparisons.record(output)}
    order = [key(*pair) for pair in wanted]
    rows = {name: before[name] for name in order if name in before}
    todo = [
        (method, settings)
        for method, settings in wanted
        if everything or rows.get(key(method, settings), {}).get("version") != versions[method]
    ]
    problems: list[str] = []
    jobs = [(places[method], settings) for method, settings in todo]
    answers = mapped(partial(_attempt, execute=execute), jobs)
    for pair, (new, problem) in zip(todo, answers, strict=True):
        name, old = key(*pair), rows.get(key(*pair))
        if new is None:
            problems.append(f"{name}: {problem}")
            continue
        if old and old["version"] == new["version"]:
            problems += [f"{name}: {change}" for change in moved(old, new)]
        rows[name] = new
        write_record((rows[name] for name in order if name in rows), output)
    if before:  # rows that are no longer wanted go, whether one ran or not
        write_record((rows[name] for name in order if name in rows), output)
    print(f"{output.stem}: {len(todo)} of {len(wanted)} rows run", flush=True)
    return problems


def _attempt(job: Job, *, execute: Executor) -> Answer:
    """Run one row and say so."""
    (path, settings), start = job, time.perf_counter()
    try:
        found = measure(path, settings, execute=execute)
    except (NotebookError, RuntimeError) as error:  # RuntimeError: the kernel died
        return None, str(error)
    shown = ", ".join(f"{k} {v}" for k, v in found["metrics"].items() if k.endswith("auroc"))
    seconds = time.perf_counter() - start
    print(f"{key(method_id(path), settings)}: {shown}, in {seconds:.0f} s", flush=True)
    return found, ""


def main(
    arguments: list[str] | None = None, *, root: Path = ROOT, execute: Executor = execute
) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help="ids; none means all that have a plan")
    parser.add_argument("--all", action="store_true", help="also rows that are up to date")
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=jobs, help="runs at a time (%(default)s)")
    chosen = parser.parse_args(arguments)
    problems: list[str] = []
    try:
        known = comparisons.families(plan_file(root))
        for family in chosen.families or known:
            if family not in known:
                raise ComparisonError(f"no plan for {family!r}; there are: {', '.join(known)}")
            with ProcessPoolExecutor(max(1, chosen.jobs)) as pool:
                problems += make_record(
                    notebooks(family, root),
                    planned(family, root),
                    record_file(family, root),
                    everything=chosen.all,
                    execute=execute,
                    mapped=pool.map,
                )
    except (ComparisonError, registry.RegistryError, NotebookError) as error:
        problems.append(str(error))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
