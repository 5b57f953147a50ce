"""Expected bands of notebooks: five seeds -> helpers/bands/<family>/<method>.json.

    python book/tools/bands.py [--jobs N] [NOTEBOOK ...]

The file holds each seed's numbers and verdicts, the bands that follow from them, and the version of
the code that they come from. Then the notebook runs once more and is stored. Notebooks and --jobs
as for run.py.
"""

import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "_ext"))
import records
from run import Executor, each, execute, store
from stored import (
    NotebookError,
    method_id,
    parameters,
    read,
    set_stamp,
    stamp,
    version,
    write,
    write_expectation,
)

SEEDS = range(5)
NARROWEST, WIDEST = 0.002, 0.03  # half-widths of a band


def band(name: str, values: list[float], step: float = 0.0) -> tuple[float, float]:
    """Expected band of one number from its values over the seeds.

    The centre is the middle of the values' range; the half-width is the range itself, at least
    0.002 (other processors round differently) and at most 0.03, but never less than one `step` of
    a share. A number that moves by more than such a band holds gets one around the first value,
    that of the default seed; a steadier number (more images, a mean over repeats) is the better
    answer. Both ends are rounded outwards to three decimals.

    Raises:
        NotebookError: if a value is missing.
    """
    shown = ", ".join("none" if v is None else f"{v:.4f}" for v in values)
    if any(v is None or not math.isfinite(v) for v in values):
        raise NotebookError(f"{name!r} has no value for some seeds: {shown}")
    low, high = min(values), max(values)
    half = max(min(max(high - low, NARROWEST), WIDEST), step)
    middle = values[0] if high - low > 2 * half else (low + high) / 2
    # The tiny shifts keep 0.957 from becoming 0.956 through the number's binary form.
    ends = (
        math.floor((middle - half) * 1000 + 1e-6) / 1000,
        math.ceil((middle + half) * 1000 - 1e-6) / 1000,
    )
    return ends


def make_bands(path: Path, *, execute: Executor = execute) -> None:
    """Run a notebook over five seeds, write its expected bands, then run and store it.

    Raises:
        NotebookError: as `band` and `run.store` do.
    """
    notebook, method = read(path), method_id(path)
    runs: list[list[dict[str, Any]]] = []
    for seed in SEEDS:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            executed = execute(path, settings={"seed": seed}, cwd=Path(folder))
        runs.append(records.pieces(executed))
        print(f"{method}: seed {seed} in {time.perf_counter() - start:.0f} s", flush=True)
    try:
        expected = expectation_of(runs, parameters(notebook))
    except NotebookError as error:
        raise NotebookError(f"{method}: no bands written: {error}") from None
    lines = []
    for name, (low, high) in expected["bands"].items():
        row = expected["values"][name]
        unsteady = not all(low <= value <= high for value in row)
        remark = "  moves by more than a band holds: better steady it" if unsteady else ""
        shown = " ".join(f"{v:.4f}" for v in row)
        lines.append(f"  {name:<40} {shown}  [{low:.3f}, {high:.3f}]{remark}")
    lines += [f"  claim {name}: {', '.join(found)}" for name, found in expected["claims"].items()]
    print("\n".join([f"{method}:", *lines]), flush=True)
    set_stamp(notebook, version(notebook))
    expected["version"] = stamp(notebook)
    write_expectation(expected, path)
    write(notebook, path)
    store(path, execute=execute)


def expectation_of(
    runs: list[list[dict[str, Any]]], settings: dict[str, Any], version: str = ""
) -> dict[str, Any]:
    """What helpers/bands/<family>/<method>.json holds, from the records of one run a seed.

    Raises:
        NotebookError: as `band` does.
    """
    measured = [records.measured(pieces) for pieces in runs]
    verdicts = [records.verdicts(pieces) for pieces in runs]
    values = {name: [rounded(found.get(name)) for found in measured] for name in _names(measured)}
    of = {name: n for pieces in runs for name, n in records.of(pieces).items()}
    return {
        "version": version,
        "settings": settings,
        "seeds": list(SEEDS),
        "values": values,
        "of": of,
        "bands": bands_of(values, of),
        "claims": {
            name: [found[name]["verdict"] if name in found else "not tested" for found in verdicts]
            for name in _names(verdicts)
        },
    }


def bands_of(values: dict[str, list[float | None]], of: dict[str, int]) -> dict[str, list[float]]:
    """The band of every number that has values; a share is one of `of` at least to either side."""
    return {
        name: list(band(name, row, 1 / of[name] if name in of else 0.0))
        for name, row in values.items()
        if any(value is not None for value in row)
    }


def _names(found: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for one in found for name in one))


def rounded(value: float | None) -> float | None:
    """Six significant digits: more than any band shows, and the same on every machine's file."""
    return None if value is None else float(f"{value:.6g}")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return each(make_bands, __doc__.splitlines()[0], arguments)


if __name__ == "__main__":
    sys.exit(main())
