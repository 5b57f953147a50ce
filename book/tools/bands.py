"""Expected bands of notebooks: five seeds -> helpers/bands/<family>/<method>.json.

    python book/tools/bands.py [--elsewhere] [--jobs N] [NOTEBOOK ...]

The file holds each seed's numbers and verdicts, the bands that follow from them, and the version of
the code that they come from. Then the notebook runs once more and is stored. Notebooks and --jobs
as for run.py.

Other processors round otherwise, and training makes such a difference grow. --elsewhere runs the
default seed on this machine and notes the numbers that lie outside their bands; bands hold them,
too, from then on. Nothing is stored in the notebook.
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
    expectation,
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


def note_elsewhere(path: Path, *, execute: Executor = execute) -> None:
    """Run a notebook with its default seed and widen the bands that its numbers leave here.

    Raises:
        NotebookError: if it has no bands of this version, or if this machine judges a claim as no
            seed did: that is no matter of bands.
    """
    expected, method = expectation(path), method_id(path)
    if expected is None or expected["version"] != version(read(path)):
        raise NotebookError(f"{method} has no bands of this version: run `make bands NB={method}`")
    with tempfile.TemporaryDirectory() as folder:
        pieces = records.pieces(execute(path, settings={}, cwd=Path(folder)))
    for name, found in records.verdicts(pieces).items():
        if (verdict := found["verdict"]) not in expected["claims"][name]:
            raise NotebookError(f"{method}: {name} is {verdict} here, and with no seed elsewhere")
    measured, elsewhere = records.measured(pieces), expected.get("elsewhere", {})
    for name, (low, high) in expected["bands"].items():
        if not low <= measured[name] <= high:
            elsewhere.setdefault(name, []).append(rounded(measured[name]))
            print(f"{method}: {name} {measured[name]:.4f} outside [{low}, {high}]", flush=True)
    if elsewhere:
        bands = bands_of(expected["values"], expected["of"], elsewhere)
        write_expectation(expected | {"elsewhere": elsewhere, "bands": bands}, path)


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


def bands_of(
    values: dict[str, list[float | None]],
    of: dict[str, int],
    elsewhere: dict[str, list[float]] | None = None,
) -> dict[str, list[float]]:
    """The band of every number that has values; a share is one of `of` at least to either side.

    It reaches as far as the narrowest band around each value found `elsewhere`.
    """
    found = {}
    for name, row in values.items():
        if any(value is not None for value in row):
            ends = [band(name, row, 1 / of[name] if name in of else 0.0)]
            ends += [band(name, [value]) for value in (elsewhere or {}).get(name, [])]
            found[name] = [min(low for low, _ in ends), max(high for _, high in ends)]
    return found


def _names(found: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for one in found for name in one))


def rounded(value: float | None) -> float | None:
    """Six significant digits: more than any band shows, and the same on every machine's file."""
    return None if value is None else float(f"{value:.6g}")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    instead = {"--elsewhere": note_elsewhere}
    return each(make_bands, __doc__.splitlines()[0], arguments, instead=instead)


if __name__ == "__main__":
    sys.exit(main())
