"""What the style sheet needs to know to lay tables and strips of images out on a phone.

- Every cell of a table with headings carries its column's heading (`data-label`). A table whose
  columns would not fit is marked `book-stacked`: on a narrow screen each of its rows becomes a
  block whose cells stand below each other, each behind its heading. One that is marked
  `book-unstacked` stays as it is.
- A figure that is much wider than high is marked `book-wide`: it scrolls instead of shrinking.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import imagesize
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

#: Characters that stand beside each other on a phone, and those that a cell's padding takes.
LINE, PADDING = 46, 1.7
#: Text wraps, but a column of text is not readable when it is narrower than this.
READABLE = 16
#: A figure is wide from this ratio of width to height on, photographs (JPEG) sooner than charts, if
#: it is shown at least so wide.
RATIO, WIDE = {".jpg": 1.9, ".jpeg": 1.9, ".png": 2.2}, 560
#: What TeX writes and a label shows.
SIGNS = {r"\times": "×", r"\%": "%", r"\,": " ", r"\ ": " ", r"\to": "→", r"\le": "≤", r"\ge": "≥"}


def plain(tex: str) -> str:
    """A short formula without TeX's marks: ``r=1\\,\\%`` gives ``r=1 %``."""
    for written, shown in SIGNS.items():
        tex = tex.replace(written, shown)
    tex = re.sub(r"\\(?:mathrm|mathbf|text|operatorname|mathcal)\b", "", tex)
    return re.sub(r"[{}^\\]", "", tex)


def columns_of(text: str) -> int:
    """How wide a text is, in Latin characters."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def pieces(node: nodes.Node) -> Iterable[str]:
    """The parts of a cell that no line break divides."""
    if isinstance(node, nodes.math):
        yield plain(re.sub(r"\\[a-zA-Z]+", "x", node.astext()))
    elif isinstance(node, nodes.raw | nodes.image):
        return
    elif isinstance(node, nodes.Text):
        yield from node.astext().split()
    elif "book-number" in node.get("classes", ()):
        yield node.astext()
    else:
        for child in node.children:
            yield from pieces(child)


def longest(cell: nodes.Element) -> int:
    """How wide a cell is when every line breaks that can, in characters."""
    return max((columns_of(piece) for piece in pieces(cell)), default=0)


def width(cell: nodes.Element) -> int:
    """How wide a cell must be to be readable, in characters."""
    found = [columns_of(piece) for piece in pieces(cell)]
    return max(min(sum(found) + len(found) - 1, READABLE), longest(cell))


def label(cell: nodes.Element) -> str:
    """A heading as an attribute can hold it."""
    parts = [
        plain(part.astext()) if isinstance(part, nodes.math) else part.astext()
        for part in cell.findall(lambda n: isinstance(n, nodes.math | nodes.Text))
        if isinstance(part, nodes.math) or not isinstance(part.parent, nodes.math)
    ]
    return " ".join("".join(parts).split()).replace(" %", "\N{NO-BREAK SPACE}%")


class NarrowTables(SphinxPostTransform):
    """Give cells their labels and decide which tables are stacked."""

    default_priority = 700

    def run(self, **kwargs: Any) -> None:
        """Go through the tables of a page."""
        for table in self.document.findall(nodes.table):
            head = next(table.findall(nodes.thead), None)
            body = next(table.findall(nodes.tbody), None)
            if head is None or body is None or any("morecols" in e for e in head[0]):
                continue
            labels = [label(cell) for cell in head[0]]
            for row in body:
                for i, cell in enumerate(row):
                    text = cell.astext().strip()
                    if (not text and not list(cell.findall(nodes.image))) or text == "–":
                        cell["classes"].append("book-none")
                    if i and i < len(labels) and labels[i]:
                        cell["book-label"] = labels[i]
            if "book-unstacked" in table["classes"]:
                continue
            rows = [row for row in body if len(row) == len(labels)]
            needed = [
                max([longest(head[0][i]), *(width(row[i]) for row in rows)])
                for i in range(len(labels))
            ]
            if math.fsum(needed) + PADDING * len(labels) > LINE:
                table["classes"].append("book-stacked")


class WideFigures(SphinxPostTransform):
    """Put what is a strip of images into a box of its own."""

    default_priority = 701

    def run(self, **kwargs: Any) -> None:
        """Go through the images of a page."""
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.env.srcdir) / image["uri"].lstrip("/")
            if path.suffix not in RATIO or not path.is_file():
                continue
            across, down = imagesize.get(path)
            shown = str(image.get("width", across)).removesuffix("px")
            long = across > 0 and across >= RATIO[path.suffix] * down
            if long and shown.isdigit() and int(shown) >= WIDE:
                image.replace_self(nodes.container("", image.deepcopy(), classes=["book-wide"]))


def visit_entry(translator: Any, node: nodes.entry) -> None:
    """Write a cell as the theme does, with its label."""
    type(translator).visit_entry(translator, node)
    if "book-label" in node:
        tag, space, rest = translator.body[-1].partition(" ")
        if not space:
            tag, space, rest = tag[:-1], "", tag[-1:] + rest
        translator.body[-1] = f'{tag} data-label="{escape(node["book-label"])}"{space}{rest}'


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transforms and the cells' writer."""
    app.add_css_file("narrow.css", priority=900)  # after what it changes
    app.add_js_file("scrolling.js", loading_method="defer")
    app.add_post_transform(NarrowTables)
    app.add_post_transform(WideFigures)
    app.add_node(nodes.entry, override=True, html=(visit_entry, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
