"""Stored notebooks: find, read and normalise them, and name what must not be stored."""

import ast
import base64
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[2]
FILE_KB, FIGURE_KB = 300, 60  # the budget of one notebook's stored outputs
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
