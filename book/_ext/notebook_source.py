"""Notebooks hold both languages; each build reads one of them.

Prose cells come twice, tagged `lang-ko` and `lang-en`: the other language's cells are dropped. A
cell with metadata `section` gets the label `<family>-<method>-nb-<section>` before its heading, the
same in both languages. A code cell's `alt-ko` or `alt-en` becomes the text of its figures. The
cell that installs the helpers in Colab is folded.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

HEADING = re.compile(r"^#{1,6}\s", re.MULTILINE)
LANGUAGE_TAG = re.compile(r"lang-(\w+)")


def label_prefix(docname: str) -> str:
    """Return `<family>-<method>-nb` for `notebooks/<family>/<method>`."""
    return "-".join(docname.split("/")[1:]) + "-nb"


def has_figure(cell: dict[str, Any]) -> bool:
    """Say whether a code cell's stored outputs hold an image."""
    return any(
        mime.startswith("image/")
        for output in cell.get("outputs", [])
        for mime in output.get("data", {})
    )


def prepares(cell: dict[str, Any]) -> bool:
    """Say whether a code cell is the same in every notebook and teaches nothing of the method."""
    source = "".join(cell["source"])
    return cell["cell_type"] == "code" and source.startswith("# Set-up.")


def with_label(source: str, label: str) -> str | None:
    """Put `(label)=` before the first heading of a Markdown cell; None if it has no heading."""
    heading = HEADING.search(source)
    if heading is None:
        return None
    return f"{source[: heading.start()]}({label})=\n{source[heading.start() :]}"


def localize(notebook: dict[str, Any], docname: str, language: str) -> list[str]:
    """Reduce `notebook` to one language, in place; return what is wrong with it."""
    prefix, problems, cells, titled = label_prefix(docname), [], [], False
    for number, cell in enumerate(notebook["cells"], start=1):
        metadata = cell.setdefault("metadata", {})
        languages = {
            found[1]
            for tag in metadata.get("tags", [])
            if (found := LANGUAGE_TAG.fullmatch(tag)) is not None
        }
        if languages and language not in languages:
            continue
        cells.append(cell)
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        label = None
        if section := metadata.get("section"):
            label = f"{prefix}-{section}"
        elif cell["cell_type"] == "markdown" and not titled and source.startswith("# "):
            label, titled = prefix, True
        if label and cell["cell_type"] == "markdown":
            labelled = with_label(source, label)
            if labelled is None:
                problems.append(
                    f"cell {number}: section {section!r} stands on a cell without heading"
                )
            cell["source"] = labelled or source
        if prepares(cell):
            metadata["tags"] = [*metadata.get("tags", []), "hide-input"]
        if has_figure(cell):
            alt = metadata.get(f"alt-{language}")
            if alt:
                image = metadata.setdefault("mystnb", {}).setdefault("image", {})
                image["alt"] = alt
            else:
                problems.append(f"cell {number}: a figure without alt-{language} in its metadata")
    notebook["cells"] = cells
    return problems


def read_source(app: Sphinx, docname: str, content: list[str]) -> None:
    """Handle `source-read`: replace a notebook's text by its one-language form."""
    if not app.env.doc2path(docname).endswith(".ipynb"):
        return
    notebook = json.loads(content[0])
    for problem in localize(notebook, docname, app.config.language):
        logger.warning("%s", problem, location=docname)
    content[0] = json.dumps(notebook, ensure_ascii=False)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the event."""
    app.connect("source-read", read_source)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
