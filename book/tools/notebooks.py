"""Run the notebooks, write their expected bands, measure what they cost.

    python book/tools/notebooks.py run   [NOTEBOOK ...]   execute, store outputs, normalise
    python book/tools/notebooks.py bands [NOTEBOOK ...]   five seeds -> the cell tagged `expect`
    python book/tools/notebooks.py bench [NOTEBOOK ...]   time, memory and size against the budget

A NOTEBOOK is a method id (memory_bank/patchcore), a file or a folder; none means all of them.
BOOK_THREADS is the number of threads each notebook computes with; by default 1, so that two can
run side by side, and for bench all cores, as where a reader runs one notebook.
"""

import argparse
import ast
import base64
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEMORY_MB, FILE_KB, FIGURE_KB = 60, 3072, 300, 60  # the budget of one notebook
SEEDS = range(5)
NARROWEST, WIDEST = 0.002, 0.03  # half-widths of a band
COMMON = ("dataset", "category", "root", "image_size", "backbone", "device", "seed", "budget")
CELL_METADATA = {"tags", "section", "alt-ko", "alt-en", "cellView", "jupyter"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class NotebookError(Exception):
    """A notebook that must not be stored as it is; the message says which cell and what to do."""


def find(names: list[str] | None = None, *, root: Path = ROOT) -> list[Path]:
    """The notebooks meant by method ids, files or folders; all of the book's for none.

    Raises:
        NotebookError: if a name means no notebook.
    """
    home = root / "notebooks"
    every = sorted(p for p in home.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not names:
        return every
    found: list[Path] = []
    for name in names:
        path = Path(name)
        by_id = home / f"{name}.ipynb"
        if path.is_file():
            found.append(path.resolve())
        elif by_id.is_file():
            found.append(by_id)
        else:
            folder = path.resolve() if path.is_dir() else home / name
            inside = [p for p in every if folder in p.parents]
            if not inside:
                ids = ", ".join(method_id(p) for p in every) or "none yet"
                raise NotebookError(f"no notebook {name!r}; there are: {ids}")
            found += inside
    return found


def method_id(path: Path) -> str:
    """`<family>/<method>` of a notebook's path."""
    return f"{path.parent.name}/{path.stem}"


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook, format 4."""
    return nbformat.read(path, as_version=4)


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook; equal content gives equal bytes."""
    nbformat.validate(notebook)
    path.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8", newline="\n")


def tagged(notebook: nbformat.NotebookNode, tag: str) -> nbformat.NotebookNode:
    """The one cell with a tag.

    Raises:
        NotebookError: if there is none or more than one.
    """
    cells = [c for c in notebook.cells if tag in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise NotebookError(f"one cell must be tagged {tag!r}, found {len(cells)}")
    return cells[0]


def literals(source: str) -> dict[str, Any]:
    """Names and values of a cell that only assigns literals.

    Raises:
        NotebookError: for any other statement, with its line.
    """
    values: dict[str, Any] = {}
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        try:
            values[target.id] = ast.literal_eval(node.value)
        except (AttributeError, ValueError):
            line = source.splitlines()[node.lineno - 1]
            raise NotebookError(f"only `name = literal` may stand here, found: {line}") from None
    return values


def parameters(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Names and default values of the cell tagged `parameters`."""
    return literals(tagged(notebook, "parameters").source)


def expected(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """The value of the cell tagged `expect`: its `settings` and its `bands`."""
    return literals(tagged(notebook, "expect").source)["expect"]


def pieces(notebook: nbformat.NotebookNode, kind: str | None = None) -> list[dict[str, Any]]:
    """What the notebook recorded in its outputs' metadata, in order; one kind of it if named."""
    found = [
        output["metadata"]["book"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "book" in output.get("metadata", {})
    ]
    return [piece for piece in found if kind in (None, piece["kind"])]


def measured(notebook: nbformat.NotebookNode) -> dict[str, float | None]:
    """Every number that has a band, by the band's name.

    These are the report's metrics, baselines and untrained twin, each measure, and the
    difference behind each claim.
    """
    values: dict[str, float | None] = {}
    for piece in pieces(notebook):
        if piece["kind"] == "report":
            values |= piece["metrics"]
            values |= {f"baseline {name}": v for name, v in piece["baselines"].items()}
            if piece["twin"] is not None:
                values[f"untrained twin, {piece['twin']['name']}"] = piece["twin"]["image_auroc"]
        elif piece["kind"] == "measure":
            values[piece["name"]] = piece["value"]
        elif piece["kind"] == "claim":
            difference = piece["difference"]
            values[f"claim {piece['id']}"] = None if difference is None else difference["value"]
    return values


def steps(notebook: nbformat.NotebookNode) -> dict[str, float]:
    """The smallest change of each measured share, 1 / N, by the share's name."""
    return {p["name"]: 1 / p["of"] for p in pieces(notebook, "measure") if p.get("of")}


def code_cells(notebook: nbformat.NotebookNode) -> list[tuple[int, nbformat.NotebookNode]]:
    """Code cells with their place in the notebook, counted from 1."""
    return [(i, c) for i, c in enumerate(notebook.cells, 1) if c.cell_type == "code"]


def where(index: int, cell: nbformat.NotebookNode) -> str:
    """How messages name a cell."""
    first = next((line for line in cell.source.splitlines() if line.strip()), "(empty)")
    return f"cell {index} (`{first.strip()[:60]}`)"


def figures(cell: nbformat.NotebookNode) -> list[float]:
    """Sizes of a cell's figures in KB (1,000 bytes)."""
    images = [
        data
        for output in cell.get("outputs", [])
        for kind, data in output.get("data", {}).items()
        if kind.startswith("image/")
    ]
    return [len(base64.b64decode(data)) / 1000 for data in images]


def largest_figure(notebook: nbformat.NotebookNode) -> float:
    """Size of the largest stored figure in KB; 0 if there is none."""
    return max((size for _, cell in code_cells(notebook) for size in figures(cell)), default=0.0)


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs from run to run and from tool to tool; cell ids and outputs stay."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        kept = {k: v for k, v in cell.metadata.items() if k in CELL_METADATA and v != []}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Text that was printed in several pieces becomes one output."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else None
        stream = output.get("name")
        if before is not None and stream is not None and stream == before.get("name"):
            before.text += output.text
        else:
            joined.append(output)
    return joined


def faults(notebook: nbformat.NotebookNode) -> list[str]:
    """What keeps stored outputs from being trusted: nothing, for a notebook as it should be."""
    found = []
    for count, (index, cell) in enumerate(code_cells(notebook), 1):
        place = where(index, cell)
        if not cell.source.strip():
            found.append(f"{place} is empty: remove it")
        elif cell.execution_count is None:
            found.append(f"{place} was never executed: run `make notebooks`")
        elif cell.execution_count != count:
            found.append(
                f"{place} has execution count {cell.execution_count} where a clean run gives "
                f"{count}: run `make notebooks`"
            )
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"{place} raised {output.ename}: {output.evalue}")
            elif output.get("name") == "stderr":
                line = output.text.strip().splitlines()[0] if output.text.strip() else ""
                found.append(f"{place} wrote to stderr: {line[:120]}")
        for size in figures(cell):
            if size > FIGURE_KB:
                found.append(
                    f"{place} has a figure of {size:.0f} KB, the limit is {FIGURE_KB} KB: "
                    "make it smaller, or draw photographs with plot.show(fig, photo=True)"
                )
    size = len(nbformat.writes(notebook).encode()) / 1000
    if size > FILE_KB:
        found.append(f"the file has {size:.0f} KB, the limit is {FILE_KB} KB: fewer figures")
    return found


def execute(
    source: Path, *, settings: dict[str, Any] | None = None, cwd: Path | None = None
) -> nbformat.NotebookNode:
    """Run a notebook top to bottom with papermill; the file itself stays as it is.

    Args:
        source: the notebook.
        settings: parameters that differ from the defaults.
        cwd: working directory of the kernel; the notebook's own folder by default, as in
            JupyterLab and nbval.

    Returns:
        The executed notebook.

    Raises:
        NotebookError: if a cell raises, or for a parameter that the notebook does not have.
    """
    import papermill

    unknown = set(settings or {}) - set(parameters(read(source)))
    if unknown:
        raise NotebookError(f"{source.name} has no parameter {', '.join(sorted(unknown))}")
    os.environ.setdefault("BOOK_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        try:
            papermill.execute_notebook(
                str(source),
                str(Path(folder) / source.name),
                parameters=settings or {},
                cwd=str(cwd or source.parent),
                progress_bar=False,
            )
        except papermill.PapermillExecutionError as error:
            raise NotebookError(
                f"{method_id(source)}: cell of execution count {error.exec_count} raised "
                f"{error.ename}: {error.evalue}\n{error.source}"
            ) from None
        return read(Path(folder) / source.name)


def until_start(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook up to the cell that calls `report.start`: set-up, parameters, expectation.

    Raises:
        NotebookError: if no cell calls it.
    """
    for index, cell in code_cells(notebook):
        if "report.start(" in cell.source:
            notebook.cells = notebook.cells[:index]
            return notebook
    raise NotebookError("no cell calls report.start")


def run(path: Path) -> None:
    """Execute a notebook and store it with its outputs.

    Raises:
        NotebookError: if it may not be stored (the file then stays as it was, and what came out
            lies in _build/refused), or if a number left its band (the file is then stored).
    """
    notebook = normalise(execute(path))
    found = faults(notebook)
    if found:
        refused = ROOT / "_build" / "refused" / f"{method_id(path)}.ipynb"
        refused.parent.mkdir(parents=True, exist_ok=True)
        write(notebook, refused)
        lines = "\n  ".join(found)
        raise NotebookError(f"{method_id(path)} not stored (see {refused}):\n  {lines}")
    write(notebook, path)
    bands = expected(notebook)["bands"]
    left = [
        f"{name} = {value:.4f} is outside {bands[name]}"
        for name, value in measured(notebook).items()
        if name in bands and value is not None and not bands[name][0] <= value <= bands[name][1]
    ]
    left += [f"{name} has no band" for name in measured(notebook) if name not in bands]
    if left:
        raise NotebookError(
            f"{method_id(path)} stored, but: {'; '.join(left)}. "
            f"If the change is meant: make bands NB={method_id(path)}"
        )


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
        NotebookError: as `band` and `run` do.
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
    run(path)


def cost(path: Path) -> dict[str, Any]:
    """What one run costs: wall seconds, peak memory of its processes, stored sizes.

    Raises:
        NotebookError: if the notebook does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "papermill", str(path), str(Path(folder) / "out.ipynb")]
        command += ["--cwd", folder, "--no-progress-bar", "--log-level", "ERROR"]
        seconds, memory = _measure(command)
    return {
        "seconds": round(seconds, 1),
        "peak_memory_mb": memory,
        "file_kb": round(path.stat().st_size / 1000),
        "figure_kb": round(largest_figure(read(path))),
        "threads": int(_threads()),
        "cpus": os.cpu_count(),
    }


def _threads() -> str:
    return os.environ.get("BOOK_THREADS") or str(os.cpu_count() or 1)


def _measure(command: list[str]) -> tuple[float, int | None]:
    """Wall seconds and peak resident memory in MB (None on Windows) of a command."""
    environment = {**os.environ, "BOOK_THREADS": _threads()}
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            memory = round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
        else:
            process.wait()
            memory = None
        seconds = time.perf_counter() - start
        if process.returncode:
            log.seek(0)
            raise NotebookError(f"{' '.join(command)} failed:\n{log.read()[-3000:]}")
    return seconds, memory


def over_budget(entry: dict[str, Any]) -> list[str]:
    """Which limits a notebook's cost exceeds."""
    limits = {
        "seconds": SECONDS,
        "peak_memory_mb": MEMORY_MB,
        "file_kb": FILE_KB,
        "figure_kb": FIGURE_KB,
    }
    return [key for key, limit in limits.items() if (entry[key] or 0) > limit]


def bench(paths: list[Path], *, output: Path) -> None:
    """Measure notebooks, write `output` (YAML, one line a notebook) and print a table.

    Entries of notebooks that were not measured this time stay.

    Raises:
        NotebookError: if a notebook exceeds its budget; the file is then written all the same.
    """
    import yaml

    old = yaml.safe_load(output.read_text(encoding="utf-8")) if output.is_file() else None
    alive = {method_id(path) for path in find()}
    entries = {k: v for k, v in (old or {}).get("notebooks", {}).items() if k in alive}
    head = f"{'notebook':<36}{'seconds':>9}{'MB':>7}{'KB':>6}{'figure KB':>11}  over budget"
    print(head, "-" * len(head), sep="\n")
    for path in paths:
        entry = entries[method_id(path)] = cost(path)
        print(
            f"{method_id(path):<36}{entry['seconds']:>9.1f}{entry['peak_memory_mb'] or '?':>7}"
            f"{entry['file_kb']:>6}{entry['figure_kb']:>11}  "
            f"{', '.join(over_budget(entry)) or '-'}",
            flush=True,
        )
    seconds = [entry["seconds"] for entry in entries.values()]
    print(f"median {statistics.median(seconds):.1f} s, all together {sum(seconds):.0f} s")
    speed = images_per_second()
    print(f"backbone efficientnet_lite0, 256 px: {speed} images/s")
    backbone = {"name": "efficientnet_lite0", "image_size": 256, "images_per_second": speed}
    lines = [
        "# Written by `make bench`. Seconds include starting the kernel and importing libraries.",
        f"backbone: {json.dumps(backbone)}",
        "notebooks:",
        *(f"  {key}: {json.dumps(entries[key])}" for key in sorted(entries)),
    ]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    heavy = [key for key, entry in entries.items() if over_budget(entry)]
    if heavy:
        raise NotebookError(f"over budget: {', '.join(heavy)}")


def images_per_second() -> float:
    """Images of 256 px that the default backbone takes in a second with BOOK_THREADS threads."""
    code = (
        "import os, time, numpy, torch\n"
        "from helpers import backbones\n"
        "torch.set_num_threads(int(os.environ['BOOK_THREADS']))\n"
        "images = numpy.random.default_rng(0).integers(0, 256, (64, 256, 256, 3), 'uint8')\n"
        "backbone = backbones.load()\n"
        "backbone.features(images[:16])\n"
        "start = time.perf_counter()\n"
        "backbone.features(images)\n"
        "print(round(64 / (time.perf_counter() - start), 1))\n"
    )
    environment = {**os.environ, "BOOK_THREADS": _threads()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("run", "bands", "bench"))
    parser.add_argument("notebooks", nargs="*", help="ids, files or folders; none means all")
    chosen = parser.parse_args(arguments)
    try:
        paths = find(chosen.notebooks)
        if chosen.command == "bench":
            bench(paths, output=ROOT / "book" / "results" / "cost.yml")
            return 0
    except NotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    failed = 0
    for path in paths:
        print(f"{chosen.command} {method_id(path)}", flush=True)
        start = time.perf_counter()
        try:
            run(path) if chosen.command == "run" else make_bands(path)
            print(f"  done in {time.perf_counter() - start:.0f} s", flush=True)
        except NotebookError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
