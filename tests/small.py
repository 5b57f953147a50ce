"""A notebook of a few cells with everything that the tools look at, and without torch: the tests
of the tools run it in a second or two."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = """\
dataset = "elpv"  # "folder": your own images
strides = (8, 16)  # the paper: stages 2 and 3
seed = 0"""

MEASURE = """\
from IPython.display import display


def measure(name, value):
    band = expect["bands"].get(name, (0.0, 0.0))
    verdict = "in band" if band[0] <= value <= band[1] else "OUT OF BAND"
    line = f"{name} ....  {value:.3f}  [{band[0]:.3f}, {band[1]:.3f}]  {verdict}"
    piece = {"kind": "measure", "name": name, "value": value}
    display({"text/plain": line}, raw=True, metadata={"book": piece})"""


def small_notebook(*, measured: str = "0.9 + seed / 1000", extra: str = "print('more')"):
    """Parameters, expectation, one measured number (an expression) and one cell of the caller's."""
    return new_notebook(
        cells=[
            new_markdown_cell("# 작은 방법", metadata={"tags": ["lang-ko"], "section": "small"}),
            new_markdown_cell("# Small", metadata={"tags": ["lang-en"], "section": "small"}),
            new_code_cell("import math"),
            new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            new_code_cell('expect = {"settings": {}, "bands": {}}', metadata={"tags": ["expect"]}),
            new_code_cell(MEASURE),
            new_code_cell(f'measure("share", {measured})'),
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
