"""The first use of a term on a page leads to the glossary, and shows what it means.

The terms are the rows of `book/guide/glossary`: each gets the address `#term-<english-name>`, the
same in both languages. A term is linked once a page, in running text only: not in headings, links,
code, tables or what directives draw. Words that everybody knows are not linked.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform

GLOSSARY = "book/guide/glossary"
#: Terms that also are everyday words, or that this book explains where they stand.
EVERYDAY = (
    "|anomaly|anomalous image|anomalous pixel|defect|normal|normal image|dataset|fitting|interval"
    "|map|shrinkage|scale|loss|opening|closing|exercise|hint|solution|quiz|claim|crack|scratch"
    "|stain|hole|fabric|texture|generator|segmentation|feature|reproduced|undecided"
    "|not at this scale|normalization|residual|precision|drift|"
)
#: What may follow a Korean word within the same spacing unit.
PARTICLES = (
    "은|는|이|가|을|를|의|에|에서|에는|에도|에서는|에게|으로|로|으로는|로는|으로도|로도|와|과|도|만|만으로|이나|나|"
    "보다|까지|부터|마다|처럼|이라|라|이라는|라는|이란|란|이고|고|이며|며|이다|입니다|인|들|들은|들을|들의|들이"
)
#: Where a term may be linked: running text, and nothing that a directive draws.
RUNNING = (
    nodes.document,
    nodes.section,
    nodes.paragraph,
    nodes.bullet_list,
    nodes.enumerated_list,
    nodes.list_item,
    nodes.block_quote,
    nodes.Admonition,
)


#: A link in a row, of which the words stay.
LINK = re.compile(r"\{(?:doc|ref)\}`([^<`]+?) <[^>`]+>`")


@dataclass(frozen=True)
class Term:
    """A row of the glossary, as one language needs it."""

    word: str
    english: str
    meaning: str

    @property
    def anchor(self) -> str:
        """The row's address on the glossary page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.english.lower()).strip("-")


def terms(text: str, language: str) -> list[Term]:
    """Return the terms in the tables of the glossary's source."""
    found = []
    for line in text.splitlines():
        line = LINK.sub(r"\1", line)
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 4 or set(cells[0]) <= set("-:"):
            continue
        if {cells[0], cells[1]} == {"한국어", "English"}:
            continue
        english = cells[0] if language == "en" else cells[1]
        found.append(Term(cells[0], english, cells[2].replace("`", "").replace("$", "")))
    return found


def pattern(words: list[str], language: str) -> re.Pattern[str]:
    """Return what finds the words in running text, the longest first."""
    choice = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    if language == "ko":
        return re.compile(rf"(?<![가-힣A-Za-z])({choice})(?=(?:{PARTICLES})?(?![가-힣A-Za-z]))")
    return re.compile(rf"(?<![\w-])({choice})(?=(?:s|es)?(?![\w-]))", re.IGNORECASE)


def is_running(text: nodes.Text) -> bool:
    """Say whether a text stands in running prose."""
    if not isinstance(text.parent, nodes.paragraph):
        return False
    node: Any = text.parent
    while node is not None:
        drawn = any(name.startswith(("book-", "page-")) for name in node.get("classes", []))
        if drawn or not isinstance(node, RUNNING):
            return False
        node = node.parent
    return True


def read_terms(app: Sphinx, config: Config) -> None:
    """Read the glossary; a changed one writes all pages anew."""
    path = Path(app.srcdir) / f"{GLOSSARY}.{config.language}.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    config.book_glossary_digest = hashlib.sha256(text.encode()).hexdigest()
    app.book_terms = terms(text, config.language)


class GlossaryLinks(SphinxPostTransform):
    """Give the glossary's rows their addresses, and every other page its links."""

    default_priority = 800  # citations and references are resolved
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Do it for one page."""
        known: list[Term] = self.app.book_terms
        docname = self.env.docname
        if docname == GLOSSARY:
            self.address_rows({term.word: term for term in known})
        elif docname != self.config.root_doc:
            self.link([term for term in known if f"|{term.english.lower()}|" not in EVERYDAY])

    def address_rows(self, known: dict[str, Term]) -> None:
        """Give every row of a term its id."""
        for row in self.document.findall(nodes.row):
            term = known.get(row[0].astext())
            if term and isinstance(row.parent, nodes.tbody):
                row["ids"].append(term.anchor)

    def link(self, known: list[Term]) -> None:
        """Link the first use of every term."""
        left = {term.word.lower(): term for term in known}
        for text in list(self.document.findall(nodes.Text)):
            if not left:
                return
            if is_running(text):
                parts = self.linked(text.astext(), left)
                if len(parts) > 1:
                    text.parent.replace(text, parts)

    def linked(self, text: str, left: dict[str, Term]) -> list[nodes.Node]:
        """Return a text with links; what is linked is taken out of `left`."""
        page = self.app.builder.get_relative_uri(self.env.docname, GLOSSARY)
        parts: list[nodes.Node] = []
        place = 0
        for match in pattern([term.word for term in left.values()], self.config.language).finditer(
            text
        ):
            term = left.pop(match[1].lower(), None)
            if term is None:  # the same word again in this text
                continue
            parts.append(nodes.Text(text[place : match.start()]))
            reference = nodes.reference(
                "",
                match[1],
                internal=True,
                refuri=f"{page}#{term.anchor}",
                reftitle=term.meaning,
                classes=["book-term"],
            )
            parts.append(reference)
            place = match.end()
        return [*parts, nodes.Text(text[place:])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register setting, event and transform."""
    app.add_config_value("book_glossary_digest", "", "html", str)
    app.connect("config-inited", read_terms)
    app.add_post_transform(GlossaryLinks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
