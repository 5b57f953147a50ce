"""What the directives share: reading registry and records, and links to methods."""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import records
import registry
import stored_figures
from docutils import nodes
from sphinx import addnodes
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from directives.drawing import Content, badge, external, inline
from directives.words import call, say


def language_of(config: Config) -> str:
    """``ko`` or ``en``: the language that is being built."""
    return "ko" if config.language == "ko" else "en"


def load(env: BuildEnvironment, config: Config) -> registry.Registry:
    """The registry; the page that is being read is drawn anew when its files change."""
    path = Path(env.srcdir) / config.book_registry
    for file in (path, path.with_name("references.bib")):
        env.note_dependency(str(file))
    return registry.load(path)


class BookDirective(SphinxDirective):
    """A directive that is drawn from the registry."""

    @property
    def language(self) -> str:
        """``ko`` or ``en``: the language that is being built."""
        return language_of(self.config)

    def say(self, name: str, *values: object, **named: object) -> str:
        """A word of the interface in the page's language."""
        return say(name, self.language, *values, **named)

    def call(self, name: str, method: registry.Method | None = None) -> str:
        """What a record names, in the page's language as far as the book has words for it."""
        return call(name, self.language, method.measures if method else {})

    def baseline(self, name: str) -> str:
        """The label of a baseline, by the name that the record gives it."""
        return self.say("baseline", self.call(name))

    def load(self) -> registry.Registry:
        """The registry; the page is drawn anew when its files change."""
        try:
            return load(self.env, self.config)
        except registry.RegistryError as error:
            raise self.error(str(error)) from error

    def find(self, name: str) -> registry.Method:
        """The method with this id; an error of the page if there is none."""
        try:
            return self.load().method(name)
        except registry.RegistryError as error:
            raise self.error(f"{self.name}: {error}") from error

    def pieces(self, method: registry.Method) -> list[dict[str, Any]]:
        """The method's record; the page is drawn anew when the notebook changes."""
        path = Path(self.env.srcdir) / f"{method.notebook}.ipynb"
        self.env.note_dependency(str(path))
        if not path.is_file():
            return []
        try:
            return records.pieces(path)
        except records.RecordError as error:
            raise self.error(f"{self.name}: {error}") from error

    def figures(self, method: registry.Method) -> list[stored_figures.Figure]:
        """The method's stored figures."""
        return self.figures_of(method.notebook)

    def figures_of(self, notebook: str) -> list[stored_figures.Figure]:
        """A notebook's stored figures; the page is drawn anew when the notebook changes."""
        path = Path(self.env.srcdir) / f"{notebook}.ipynb"
        self.env.note_dependency(str(path))
        try:
            return stored_figures.figures(path)
        except stored_figures.FigureError as error:
            raise self.error(f"{self.name}: {error}") from error

    def picture(
        self, figure: stored_figures.Figure, *, classes: Iterable[str] = (), alt: str | None = None
    ) -> nodes.image:
        """A stored figure on the page, with its text in the page's language unless `alt` is given.

        Its file is named by its content.
        """
        suffix = {"image/jpeg": "jpg", "image/png": "png"}[figure.mime]
        name = f"{hashlib.sha256(figure.data).hexdigest()[:16]}.{suffix}"
        uri = self.made(f"stored_figures/{name}", figure.data)
        text = figure.alt[self.language] if alt is None else alt
        out = nodes.image(uri=uri, alt=text, classes=list(classes))
        if figure.width:
            out["width"] = f"{figure.width}px"
        return out

    def table_file(self, name: str, rows: Iterable[Sequence[object]]) -> nodes.paragraph:
        """A link to a table as CSV, which is made in the build; `rows` begin with the heading."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        target = self.made(f"tables/{name}.csv", text.getvalue().encode("utf-8-sig"))  # for Excel
        link = addnodes.download_reference(
            "", "", inline(self.say("csv")), reftarget=target, refdoc=self.env.docname
        )
        return nodes.paragraph("", "", link, classes=["book-download"])

    def made(self, name: str, data: bytes) -> str:
        """The address of a file made in the build: Sphinx copies images and downloads from files.

        It lies beside the doctrees and is written only if it has changed.
        """
        path = Path(self.env.doctreedir) / name
        path.parent.mkdir(exist_ok=True)
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)
        return "/" + os.path.relpath(path, self.env.srcdir).replace(os.sep, "/")

    def costs(self) -> dict[str, dict[str, Any]]:
        """Measured cost of the notebooks."""
        path = (Path(self.env.srcdir) / self.config.book_registry).parent / "results" / "cost.yml"
        self.env.note_dependency(str(path))
        try:
            return registry.costs(path)
        except registry.RegistryError as error:
            raise self.error(f"{self.name}: {error}") from error

    def cost(self, method: registry.Method) -> dict[str, Any]:
        """Seconds and memory of one run: measured by the benchmark, else by the run itself."""
        entry = self.costs().get(method.id)
        return entry or dict(records.report(self.pieces(method)) or {})

    def summary(self, method: registry.Method) -> list[nodes.Node]:
        """A link to the blog's Korean summary, if some state of the reading list has one."""
        if method.listed and method.listed.summary:
            return [external(self.say("summary"), method.listed.summary)]
        if method.later_summary:
            return [external(self.say("later summary"), method.later_summary)]
        return []

    def to(self, docname: str, text: Content) -> nodes.Node:
        """A link to another page of the book."""
        return document_link(docname, text, self.env.docname)

    def to_method(self, method: registry.Method) -> nodes.Node:
        """The method's name: a link to its review, or marked as planned."""
        return method_link(method, self.language, self.env.docname)


def document_link(docname: str, text: Content, source: str) -> addnodes.pending_xref:
    """A cross-reference to a page, resolved and checked by Sphinx."""
    return addnodes.pending_xref(
        "",
        inline(text, "doc"),
        refdomain="std",
        reftype="doc",
        reftarget=f"/{docname}",
        refdoc=source,
        refexplicit=True,
        refwarn=True,
    )


def method_link(method: registry.Method, language: str, source: str) -> nodes.Node:
    """The method's name: a link to its review, or its name marked as planned."""
    if method.written:
        return document_link(method.review, method.title(language), source)
    name = nodes.Text(method.title(language) + " ")
    return inline([name, badge(say("planned", language), "quiet")], "book-planned")
