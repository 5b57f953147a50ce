"""Schematics: one drawing for both languages, that follows the page's colours and prints in ink.

A drawing below `_static/figures` is English as it stands. An element whose text needs words carries
the Korean text in `data-ko`; the Korean build puts it in. Drawings stand in the page itself (an
`<img>` would know neither the reader's theme nor the page's fonts); `figures.css` has their colours
in the dark.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxTranslator

FIGURES = "book/_static/figures/"
#: An element that holds text and nothing else.
ELEMENT = re.compile(
    r"<(?P<tag>title|text|tspan)(?P<attributes>(?:\s[^>]*)?)>(?P<text>[^<]*)</(?P=tag)>"
)
KOREAN = re.compile(r'\s+data-ko="(?P<text>[^"]*)"')


class schematic(nodes.General, nodes.Element):  # noqa: N801, named as docutils names nodes
    """A drawing in the page; its markup is in the attribute `svg`."""


def texts(svg: str) -> list[tuple[str, str | None]]:
    """Return (English, Korean or None) of every text in a drawing."""
    found = []
    for element in ELEMENT.finditer(svg):
        korean = KOREAN.search(element["attributes"])
        found.append(
            (html.unescape(element["text"]), html.unescape(korean["text"]) if korean else None)
        )
    return found


def localized(svg: str, language: str) -> str:
    """Return a drawing in one language, without what the other one needs."""

    def one(element: re.Match[str]) -> str:
        korean = KOREAN.search(element["attributes"])
        text = korean["text"] if korean and language == "ko" else element["text"]
        attributes = KOREAN.sub("", element["attributes"])
        return f"<{element['tag']}{attributes}>{text}</{element['tag']}>"

    return ELEMENT.sub(one, svg)


def inline(svg: str, *, name: str, text: str, width: str = "") -> str:
    """Return a drawing as a page can hold it: own ids, an alternative text, no declaration."""
    svg = re.sub(r"<\?xml[^>]*\?>|<title>[^<]*</title>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    style = f' style="width: {html.escape(width)}"' if width else ""
    label = html.escape(" ".join(text.split()))
    start = f'<svg class="book-schematic" role="img" aria-label="{label}"{style} '
    svg = svg.replace(' role="img"', "", 1)
    return svg.replace("<svg ", start, 1).strip()


class Schematics(SphinxPostTransform):
    """Put the drawings of this book into the page, in its language."""

    default_priority = 5  # before the images are looked up
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Replace every image that is a drawing of ours."""
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.app.srcdir) / image.get("uri", "")
            if path.suffix != ".svg" or not image["uri"].startswith(FIGURES) or not path.is_file():
                continue  # Sphinx has said that a file is missing
            svg = inline(
                localized(path.read_text(encoding="utf-8"), self.config.language),
                name=path.stem.replace("_", "-"),
                text=image.get("alt", ""),
                width=image.get("width", ""),
            )
            image.replace_self(schematic(svg=svg))


def visit(translator: SphinxTranslator, node: schematic) -> None:
    """Write the drawing."""
    translator.body.append(node["svg"] + "\n")


def depart(translator: SphinxTranslator, node: schematic) -> None:
    """Nothing more."""


def count_no_figures(app: Sphinx, config: Config) -> None:
    """Leave out numbers that run through the whole book: a page's only figure was "Fig. 15"."""
    config.numfig = False


def setup(app: Sphinx) -> dict[str, Any]:
    """Register node, transform and event."""
    app.connect("config-inited", count_no_figures, priority=900)  # Jupyter Book turns it on
    app.add_node(schematic, html=(visit, depart))
    app.add_post_transform(Schematics)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
