"""Expected bands: five seeds -> the cell tagged `expect`, then run once more and store.

python book/tools/bands.py [NOTEBOOK ...]
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from run import each, execute, store
from stored import NotebookError, measured, method_id, parameters, read, steps, tagged, write

SEEDS = range(5)
NARROWEST, WIDEST = 0.002, 0.03  # half-widths of a band


def band(name: str, values: list[float], step: float = 0.0) -> tuple[float, float]:
    """Expected band of one number from its values over the seeds.

    The centre is the middle of the values' range; the half-width is the range itself, at least
    0.002 (other processors round differently) or, for a share, one `step` of it, and at most 0.03.
    A number that moves by more than such a band holds gets one around the first value, that of the
    default seed: `make_bands` says so in the cell, and a steadier number (more images, a mean over
    repeats) is the better answer.
    Both ends are rounded outwards to three decimals.

    Raises:
        NotebookError: if a value is missing.
    """
    shown = ", ".join("none" if v is None else f"{v:.4f}" for v in values)
    if any(v is None or not math.isfinite(v) for v in values):
        raise NotebookError(f"{name!r} has no value for some seeds: {shown}")
    low, high = min(values), max(values)
    half = min(max(high - low, NARROWEST, step), WIDEST)
    middle = values[0] if is_unsteady(values) else (low + high) / 2
    # The tiny shifts keep 0.957 from becoming 0.956 through the number's binary form.
    ends = (
        math.floor((middle - half) * 1000 + 1e-6) / 1000,
        math.ceil((middle + half) * 1000 - 1e-6) / 1000,
    )
    return ends


def is_unsteady(values: list[float]) -> bool:
    """Whether a number moves by more over the seeds than the widest band holds."""
    return max(values) - min(values) > 2 * WIDEST


def expect_source(
    settings: dict[str, Any],
    bands: dict[str, tuple[float, float]],
    remarks: Mapping[str, str] | None = None,
) -> str:
    """Source of the cell tagged `expect`, as `ruff format` leaves it; remarks become comments."""
    said = {name: f"  # {text}" for name, text in (remarks or {}).items()}
    lines = ["# Written by `make bands`: what these settings gave over five seeds.", "expect = {"]
    lines += ['    "settings": {']
    lines += [f"        {_literal(k)}: {_literal(v)}," for k, v in settings.items()]
    lines += ["    },", '    "bands": {' if bands else '    "bands": {},']
    if bands:
        for name, (a, b) in bands.items():
            lines.append(f"        {_literal(name)}: ({a:.3f}, {b:.3f}),{said.get(name, '')}")
        lines += ["    },"]
    return "\n".join([*lines, "}"])


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        inner = ", ".join(map(_literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)


def make_bands(path: Path) -> None:
    """Run a notebook over five seeds, write its expected bands, then run and store it.

    Raises:
        NotebookError: as `band` and `run.store` do.
    """
    notebook = read(path)
    settings = parameters(notebook)
    cell = tagged(notebook, "expect")
    runs, smallest = [], {}
    for seed in SEEDS:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            executed = execute(path, settings={"seed": seed}, cwd=Path(folder))
        runs.append(measured(executed))
        smallest |= steps(executed)
        print(f"  seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    names = list(dict.fromkeys(name for values in runs for name in values))
    rows = {name: [values.get(name) for values in runs] for name in names}
    rows = {name: row for name, row in rows.items() if any(v is not None for v in row)}
    bands, remarks = {}, {}
    for name, row in rows.items():
        try:
            bands[name] = band(name, row, smallest.get(name, 0.0))
        except NotebookError as error:
            raise NotebookError(f"{method_id(path)}: no bands written: {error}") from None
        values = " ".join(f"{v:.4f}" for v in row)
        print(f"  {name:<40} {values}  [{bands[name][0]:.3f}, {bands[name][1]:.3f}]")
        if is_unsteady(row):
            remarks[name] = f"over the seeds {min(row):.2f} to {max(row):.2f}"
    cell.source = expect_source(settings, bands, remarks)
    write(notebook, path)
    store(path)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return each(make_bands, __doc__.splitlines()[0], arguments)


if __name__ == "__main__":
    sys.exit(main())
