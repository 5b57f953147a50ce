"""A notebook of a few cells with everything that the tools look at, and without torch: the tests of
the tools run it in a second or two, or without a kernel in no time."""

import contextlib
import io
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import stored
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PARAMETERS = """\
dataset = "elpv"  # "folder": your own images
strides = (8, 16)  # the paper: stages 2 and 3
seed = 0"""

#: Stands for helpers.report: no torch, and the bands lie in the tree of the notebook.
REPORT = """\
import json
from pathlib import Path

from IPython.display import display


class report:
    @staticmethod
    def start(method, version):
        file = Path("../../helpers/bands") / f"{method}.json"
        found = json.loads(file.read_text()) if file.is_file() else {"version": None}
        return found["bands"] if found["version"] == version else {}


def show(line, piece):
    display({"text/plain": line}, raw=True, metadata={"book": piece})


def table(title, values, of=None):
    rows, lines = [], [title]
    for name, value in values.items():
        low, high = run.get(name, (0.0, 0.0))
        verdict = "in band" if low <= value <= high else "OUT OF BAND"
        lines.append(f"{name} ....  {value:.3f}  [{low:.3f}, {high:.3f}]  {verdict}")
        rows.append({"name": name, "value": value} | ({"of": of} if of else {}))
    show("\\n".join(lines), {"kind": "table", "title": title, "rows": rows})


def claim(name, value, verdict):
    piece = {"kind": "claim", "id": name, "difference": {"value": value}, "verdict": verdict}
    show(f"claim {name}\\n  verdict: {verdict}", piece)"""

START = 'run = report.start("family/method", version="")'


def small_notebook(
    *,
    measured: str = "0.9 + seed / 1000",
    verdict: str = '"reproduced"',
    of: str = "None",
    extra: str = "print('more')",
):
    """Parameters, start, a measured share, a claim and one cell of the caller's.

    `measured`, `verdict` and `of` are expressions, in which `seed` may stand.
    """
    return new_notebook(
        cells=[
            new_markdown_cell("# 작은 방법", metadata={"tags": ["lang-ko"], "section": "small"}),
            new_markdown_cell("# Small", metadata={"tags": ["lang-en"], "section": "small"}),
            new_code_cell("import math"),
            new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            new_code_cell(f"{REPORT}\n\n\n{START}"),
            new_code_cell(
                f'table("Flagged", {{"share": {measured}}}, of={of})\n'
                f'claim("better", 0.25, {verdict})'
            ),
            new_code_cell(extra),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "mine", "language": "python"}},
    )


def write_small(root: Path, method: str = "family/method", **options) -> Path:
    """Write a small notebook into `root`/notebooks and return its path."""
    path = root / "notebooks" / f"{method}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(small_notebook(**options), path)
    return path


def without_kernel(
    source: Path, *, settings: dict[str, Any] | None = None, cwd: Path | None = None
) -> nbformat.NotebookNode:
    """Stands for `run.execute`: the cells of a small notebook, executed in this process."""
    notebook, space, running = stored.read(source), {}, []

    def shown(data, *, raw, metadata):
        running[-1].outputs.append(new_output("display_data", data=data, metadata=metadata))

    for count, (_, cell) in enumerate(stored.code_cells(notebook), 1):
        running.append(cell)
        cell.execution_count, cell.outputs = count, []
        said, warned = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(cwd or source.parent),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(warned),
            mock.patch("IPython.display.display", shown),
        ):
            exec(cell.source, space)
        if "parameters" in cell.metadata.get("tags", []):
            space |= settings or {}
        for name, text in (("stdout", said.getvalue()), ("stderr", warned.getvalue())):
            if text:
                cell.outputs.append(new_output("stream", name=name, text=text))
    return notebook
