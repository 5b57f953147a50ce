"""The book's own search: what a reader can look for, laid into `search_index.js`.

Sphinx has no splitter for Korean, ranks a notebook like its review, and shows no excerpts where a
page may not read other files (a site opened from a folder). So the index holds the text itself,
section by section, without contents lists, formulas and code, and `search.js` does the rest.

The glossary is the home of all other names: each row of its tables is an entry of its own, found
by its terms and by the words of its last column. Where a row's term is a link, the linked page
explains it: that page then answers to the row's words before the glossary does.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import bilingual
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

GLOSSARY = "book/guide/glossary"
#: Text of these is no prose: formulas, code, outputs, contents lists, links of the page's head.
SKIPPED = (nodes.math_block, nodes.literal_block, nodes.image, nodes.comment, addnodes.toctree)
SKIPPED_CLASSES = {"cell_input", "cell_output", "page-links", "toctree-wrapper", "contents"}
MARKUP = re.compile(r"<(script|style|svg)\b.*?</\1>|<[^>]*>", re.DOTALL)
#: A formula this simple reads well as text.
PLAIN_FORMULA = re.compile(r"[A-Za-z0-9\s.,=<>+−-]{1,12}")

Page = dict[str, Any]


def words(node: nodes.Node) -> Iterator[str]:
    """Yield the pieces of a node's text that are prose, sections below it left out."""
    if isinstance(node, nodes.Text):
        yield node.astext()
    elif isinstance(node, nodes.math):
        formula = node.astext()
        yield formula if PLAIN_FORMULA.fullmatch(formula) else "…"
    elif isinstance(node, nodes.raw):
        if "html" in node.get("format", ""):
            yield unescape(MARKUP.sub(" ", node.astext()))
    elif isinstance(node, SKIPPED) or SKIPPED_CLASSES & set(
        getattr(node, "attributes", {}).get("classes", ())
    ):
        return
    else:
        for child in node.children:
            if not isinstance(child, nodes.section):
                yield from words(child)
        if not isinstance(node, nodes.Inline):
            yield " "


def prose(*parts: nodes.Node) -> str:
    """Return the prose of some nodes on one line."""
    return " ".join("".join(piece for part in parts for piece in words(part)).split())


def kind(docname: str) -> str:
    """Return what sort of page this is: it decides how a hit is called and how much it counts."""
    room, _, rest = docname.partition("/")
    if room == "notebooks":
        return "notebook"
    folder, _, name = rest.rpartition("/")
    if folder in ("guide", "results"):
        return folder
    return "review" if folder and name != "index" else "family" if folder else "book"


def entries(table: nodes.table, docname: str, anchor: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one of the glossary's tables: names, text, where a term is explained."""
    for row in (row for body in table.findall(nodes.tbody) for row in body.children):
        cells = list(row.children)
        terms, others = [cells[0], *cells[1:-2]], cells[-1]
        names = [name.strip() for term in terms for name in prose(term).split(", ")]
        entry: dict[str, Any] = {
            "names": names + [name.strip() for name in prose(others).split(",")],
            "text": " · ".join(text for cell in cells if (text := prose(cell))),
            "anchor": (row["ids"] or [anchor])[0],
        }
        link = next(cells[0].findall(nodes.reference), None)
        if link is not None and link.get("internal"):
            target, _, section = link.get("refuri", "").partition("#")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(docname), target))
            entry["home"] = [posixpath.splitext(path)[0], section]
        yield entry


def read(doctree: nodes.document, docname: str, title: str) -> Page:
    """Return what the search knows of a page: its title, kind, sections and glossary entries."""
    page: Page = {"title": title, "kind": kind(docname), "sections": []}
    for section in doctree.findall(nodes.section):
        anchor = section["ids"][0] if isinstance(section.parent, nodes.section) else ""
        heading = prose(section.next_node(nodes.title)) if anchor else ""
        parts = [
            part for part in section.children if not isinstance(part, nodes.title | nodes.section)
        ]
        if docname == GLOSSARY:
            tables = [part for part in parts if isinstance(part, nodes.table)]
            for table in tables:
                page.setdefault("entries", []).extend(entries(table, docname, anchor))
            parts = [part for part in parts if part not in tables]
        page["sections"].append([anchor, heading, prose(*parts)])
    return page


def collect(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Handle `doctree-resolved`: remember a page that is being written."""
    if app.builder.format == "html":
        env = app.env
        title = bilingual.contents_title(env, docname) or env.titles[docname].astext()
        app.search_pages[docname] = read(doctree, docname, title)  # type: ignore[attr-defined]


def prepare(app: Sphinx) -> None:
    """Leave Sphinx's own search out."""
    app.search_pages = {}  # type: ignore[attr-defined]
    if app.builder.format == "html":
        app.builder.search = False  # type: ignore[attr-defined]
        app.config.html_additional_pages["search"] = "search.html"


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the index; pages that were not written again keep their entries."""
    if exception or app.builder.format != "html":
        return
    path, pages = Path(app.outdir) / "search_index.js", app.search_pages  # type: ignore[attr-defined]
    if path.exists():
        pages = load(path.read_text(encoding="utf-8")) | pages
    pages = {name: pages[name] for name in sorted(pages) if name in app.env.found_docs}
    text = json.dumps(pages, ensure_ascii=False, separators=(",", ":"))
    path.write_text(f"bookSearch({text})\n", encoding="utf-8")


def load(text: str) -> dict[str, Page]:
    """Return the pages of a written index."""
    return json.loads(text.strip().removeprefix("bookSearch(").removesuffix(")"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the events."""
    app.connect("builder-inited", prepare)
    app.connect("doctree-resolved", collect, priority=900)
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
