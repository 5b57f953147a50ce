"""Stored notebooks: find, read and normalise them, and name what must not be stored."""

import ast
import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[2]
#: The budget of one notebook's stored outputs; PHOTOS of its figures may be JPEGs of PHOTO_KB. The
#: score maps for the book's page, which the notebook does not show, have a budget of their own.
FILE_KB, FIGURE_KB, PHOTO_KB, PHOTOS, MAPS_KB = 400, 60, 120, 2, 60
COMMON = ("dataset", "category", "root", "image_size", "backbone", "device", "seed", "subset")
STAMP = re.compile(r'(report\.start\([^)]*\bversion=")([^"]*)(")')
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


def root_of(path: Path) -> Path:
    """The tree that a notebook belongs to: where its folder `notebooks` lies."""
    return path.resolve().parents[2]


def bands_file(path: Path) -> Path:
    """Where the expected bands of a notebook lie: helpers/bands/<family>/<method>.json."""
    return root_of(path) / "helpers" / "bands" / f"{method_id(path)}.json"


def expectation(path: Path) -> dict[str, Any] | None:
    """What `make bands` wrote for the notebook at `path`; None if it never ran."""
    file = bands_file(path)
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def write_expectation(expected: dict[str, Any], path: Path) -> None:
    """Write the bands of the notebook at `path`, one line for each number."""
    parts = []
    for key, value in expected.items():
        if isinstance(value, dict) and value:
            inner = ",\n".join(f"    {_json(k)}: {_json(v)}" for k, v in value.items())
            parts.append(f"  {_json(key)}: {{\n{inner}\n  }}")
        else:
            parts.append(f"  {_json(key)}: {_json(value)}")
    file = bands_file(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8", newline="\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _starting(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The cell that holds the stamp."""
    cells = [c for _, c in code_cells(notebook) if STAMP.search(c.source)]
    if len(cells) != 1:
        raise NotebookError(
            'one cell must call report.start("family/method", version=""), '
            f"found {len(cells)} that do"
        )
    return cells[0]


def stamp(notebook: nbformat.NotebookNode) -> str:
    """The version that a notebook passes to `report.start`; "" where it has no bands yet.

    Raises:
        NotebookError: if not exactly one cell passes one.
    """
    return STAMP.search(_starting(notebook).source)[2]


def set_stamp(notebook: nbformat.NotebookNode, version: str) -> None:
    """Write a version into the call of `report.start`."""
    cell = _starting(notebook)
    cell.source = STAMP.sub(rf"\g<1>{version}\g<3>", cell.source)


def version(notebook: nbformat.NotebookNode) -> str:
    """Eight hexadecimal digits that change with the code that the numbers come from.

    That is `own_code`: a check may get stricter without new bands.
    """
    return hashlib.sha256("\n\n".join(own_code(notebook)).encode()).hexdigest()[:8]


def own_code(notebook: nbformat.NotebookNode) -> list[str]:
    """The statements that a notebook's numbers come from, in order.

    The first code cell does not count: it brings the helpers and changes with their version. Nor
    do the stamp, imports, remarks between statements, the notebook's own checks (functions named
    check_... and calls of them) and the stubs and check cells of exercises: no number comes from
    them.
    """
    start = _starting(notebook)
    cells = [
        STAMP.sub(r"\g<1>\g<3>", cell.source) if cell is start else cell.source
        for _, cell in code_cells(notebook)[1:]
    ]
    parsed = [(source, ast.parse(source).body) for source in cells]
    calls = [call for _, body in parsed for node in body if (call := _call(node))]
    stubs = {
        call.args[1].id
        for call in calls
        if ast.unparse(call.func) == "exercises.check" and isinstance(call.args[1], ast.Name)
    }
    return [
        ast.get_source_segment(source, node)
        for source, body in parsed
        if not any(
            call and ast.unparse(call.func) == "exercises.check" for call in map(_call, body)
        )
        for node in body
        if not _only_checks(node, stubs)
    ]


def _call(node: ast.stmt) -> ast.Call | None:
    """The call that a statement consists of."""
    return node.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None


def _only_checks(node: ast.stmt, stubs: set[str]) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.FunctionDef):
        return node.name.startswith("check_") or node.name in stubs
    call = _call(node)
    return call is not None and ast.unparse(call.func).startswith("check_")


def code_cells(notebook: nbformat.NotebookNode) -> list[tuple[int, nbformat.NotebookNode]]:
    """Code cells with their place in the notebook, counted from 1."""
    return [(i, c) for i, c in enumerate(notebook.cells, 1) if c.cell_type == "code"]


def where(index: int, cell: nbformat.NotebookNode) -> str:
    """How messages name a cell."""
    first = next((line for line in cell.source.splitlines() if line.strip()), "(empty)")
    return f"cell {index} (`{first.strip()[:60]}`)"


def figures(cell: nbformat.NotebookNode) -> list[tuple[str, float]]:
    """Kind ("image/png", ...) and size in KB (1,000 bytes) of a cell's figures."""
    return [
        (kind, len(base64.b64decode(data)) / 1000)
        for output in cell.get("outputs", [])
        for kind, data in output.get("data", {}).items()
        if kind.startswith("image/")
    ]


def largest_figure(notebook: nbformat.NotebookNode) -> float:
    """Size of the largest stored figure in KB; 0 if there is none."""
    sizes = [size for _, cell in code_cells(notebook) for _, size in figures(cell)]
    return max(sizes, default=0.0)


def too_large(notebook: nbformat.NotebookNode) -> list[str]:
    """What of a notebook is larger than its budget, and what to do about it."""
    found, photos = [], 0
    for index, cell in code_cells(notebook):
        for kind, size in figures(cell):
            if size <= FIGURE_KB:
                continue
            photo = kind == "image/jpeg" and size <= PHOTO_KB
            photos += photo
            if not photo or photos > PHOTOS:
                found.append(
                    f"{where(index, cell)} has a figure of {size:.0f} KB, the limit is "
                    f"{FIGURE_KB} KB, and {PHOTO_KB} KB for {PHOTOS} photographs: make it smaller, "
                    "or draw photographs with plot.show(figure, photo=True)"
                )
    maps = score_maps(notebook)
    size = len(nbformat.writes(notebook).encode()) / 1000 - maps
    if size > FILE_KB:
        found.append(f"the file has {size:.0f} KB, the limit is {FILE_KB} KB: fewer figures")
    if maps > MAPS_KB:
        found.append(f"the stored score maps have {maps:.0f} KB, the limit is {MAPS_KB} KB")
    return found


def score_maps(notebook: nbformat.NotebookNode) -> float:
    """Size of the score maps in the records of a notebook's reports, in KB; 0 if there are none."""
    records = [
        output.get("metadata", {}).get("book", {})
        for _, cell in code_cells(notebook)
        for output in cell.outputs
    ]
    return sum(len(_json(record["maps"])) for record in records if record.get("maps")) / 1000


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
    return found + too_large(notebook)


def until_start(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook up to the cell that calls `report.start`: set-up, imports, parameters.

    Raises:
        NotebookError: if no cell calls it.
    """
    return _until(notebook, "report.start(")


def until_report(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook up to the cell that calls `run.report`, without the exercises before it.

    Raises:
        NotebookError: if no cell calls it.
    """
    notebook, section, kept = _until(notebook, "run.report("), "", []
    for cell in notebook.cells:
        section = cell.metadata.get("section", section)
        if not section.startswith("exercise-"):
            kept.append(cell)
    notebook.cells = kept
    return notebook


def _until(notebook: nbformat.NotebookNode, call: str) -> nbformat.NotebookNode:
    for index, cell in code_cells(notebook):
        if call in cell.source:
            notebook.cells = notebook.cells[:index]
            return notebook
    raise NotebookError(f"no cell calls {call.rstrip('(')}")
