"""What the reader's progress page must know about the book: its pages, notebooks and exercises.

The progress itself lives in the reader's browser (`progress.js`); this extension only lays a list
of pages, in the order of the contents, into the page that holds `<div id="progress-overview">`.
An exercise is a notebook section whose slug begins with `exercise-`; a notebook that has only one
section `exercises` counts it as one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import bilingual
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

OVERVIEW = "book/guide/using"
EXERCISE = "-nb-exercise-"
ALL_EXERCISES = "-nb-exercises"


def in_reading_order(env: BuildEnvironment, docname: str) -> Iterator[str]:
    """Yield a document and those below it, as the table of contents has them."""
    yield docname
    for child in env.toctree_includes.get(docname, []):
        yield from in_reading_order(env, child)


def exercises(env: BuildEnvironment, docname: str) -> list[str]:
    """Return the anchors of a page's exercises."""
    anchors = [
        reference.get("anchorname", "").removeprefix("#")
        for reference in env.tocs[docname].findall(nodes.reference)
    ]
    single = [anchor for anchor in anchors if EXERCISE in anchor]
    return single or [anchor for anchor in anchors if anchor.endswith(ALL_EXERCISES)]


def add_overview(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Append the list of pages to the overview page."""
    if pagename != OVERVIEW:
        return
    env = app.env
    pages = [
        {
            "doc": docname,
            "title": bilingual.contents_title(env, docname) or env.titles[docname].astext(),
            "kind": "run" if docname.startswith("notebooks/") else "read",
            "exercises": exercises(env, docname),
        }
        for docname in in_reading_order(env, app.config.root_doc)
    ]
    data = json.dumps(pages, ensure_ascii=False).replace("</", "<\\/")
    context["body"] += f'<script type="application/json" id="progress-pages">{data}</script>\n'


def refresh_overview(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write the overview page in every build: any page may have changed its list."""
    return [OVERVIEW] if OVERVIEW in env.found_docs else []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the events."""
    app.connect("html-page-context", add_overview)
    app.connect("env-updated", refresh_overview)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
