"""What a page says of itself: a description, its version and date, how to cite it.

Once the site's and the repository's addresses are known (`make url`), a page also has a link with
which a reader reports an error on it.
"""

from __future__ import annotations

import datetime
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import page_links
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

#: The longest description; search engines show no more.
LENGTH = 160
LOCALES = {"ko": "ko_KR", "en": "en_US"}
#: What stands for the book's authors, in a citation and in CITATION.cff.
AUTHORS = "The contributors of the book"
NO_PROSE = (nodes.math, nodes.math_block, nodes.raw, nodes.image, nodes.footnote_reference)


def shorten(text: str, length: int = LENGTH) -> str:
    """Return the text's first sentences, as many as fit; at least whole words."""
    text = " ".join(re.sub(r"\s*\[[^\]]*\d{4}[a-z]?\]", "", text).split())  # without citations
    if len(text) <= length:
        return text
    sentences = re.match(rf"(.{{40,{length - 1}}}(?<! al)[.!?])(?=\s)", text)
    return sentences[1] if sentences else text[: length - 1].rsplit(" ", 1)[0].rstrip(",;:") + "…"


def prose(node: nodes.Node) -> str:
    """Return a node's text without formulas and pictures."""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, NO_PROSE):
        return ""
    return "".join(prose(child) for child in node.children)


def description(doctree: nodes.document) -> str:
    """Return the first paragraph that says something, in short.

    In a notebook neither what stands below its title, the paper, nor its set-up says what it is.
    """
    sections = list(doctree.findall(nodes.section))
    setup = [s for s in sections if any(name.endswith("-nb-setup") for name in s["ids"])]
    silent = [*setup, sections[0]] if setup else []
    for paragraph in doctree.findall(nodes.paragraph):
        section = paragraph.parent
        if isinstance(section, nodes.section) and section not in silent:
            text = prose(paragraph)
            if len(text) >= 40 and text.rstrip()[-1] in ".!?":
                return shorten(text)
    return ""


def committed(root: Path) -> str:
    """Return the day of the last commit, or today where there is no history."""
    command = ["git", "log", "-1", "--format=%cs"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return datetime.date.today().isoformat()
    return done.stdout.strip() or datetime.date.today().isoformat()


def version(root: Path) -> str:
    """Return the version of the helpers, which is the book's."""
    path = root / "helpers" / "__init__.py"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    return found[1] if found else ""


def read_facts(app: Sphinx, config: Config) -> None:
    """Take version and date from the tree; a new one writes all pages anew."""
    config.book_date, config.book_version = committed(Path(app.srcdir)), version(Path(app.srcdir))


def bibtex(*, title: str, book: str, date: str, edition: str, url: str) -> str:
    """Return a BibTeX entry of one page."""
    fields = {
        "author": "{" + AUTHORS + "}",
        "title": title,
        "booktitle": book,
        "year": date[:4],
        "edition": edition,
        "url": url,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join(["@incollection{visual-anomaly-detection-book,", *lines, "}"])


def add_facts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Give the templates what a page says of itself."""
    if doctree is None:  # the search page
        return
    config = app.config
    title = re.sub(r"<[^>]*>", "", context.get("title", "")).strip()
    base = config.bilingual_base
    url = f"{base}/{config.language}/{pagename}.html" if base else ""
    context["page_description"] = description(doctree)
    context["page_locale"] = LOCALES[config.language]
    context["page_url"] = url
    context["page_image"] = f"{base}/{config.language}/_static/readme.jpg" if base else ""
    context["book_date"], context["book_version"] = config.book_date, config.book_version
    context["book_bibtex"] = bibtex(
        title=title,
        book=config.html_title,
        date=config.book_date,
        edition=config.book_version,
        url=url,
    )
    if known := page_links.repository(config):
        subject = quote(f"{config.language}/{pagename}: ")
        context["report_url"] = f"{known[0]}/issues/new?title={subject}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the settings and events."""
    app.setup_extension("bilingual")
    app.add_config_value("book_date", "", "html", str)
    app.add_config_value("book_version", "", "html", str)
    app.connect("config-inited", read_facts)
    app.connect("html-page-context", add_facts, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
