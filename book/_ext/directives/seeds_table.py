"""``{seeds-table}`` and ``{seed-spread}``: numbers over the seeds that the bands come from.

The argument of the first is a method's id, the body the title of one of its notebook's tables. A
row is one thing that was tried, a column one thing that was measured: "spread, clipped" stands in
the row "clipped" and the column "spread". A cell holds the lowest and the highest value of all
seeds. With a family's id the rows are those of all its written methods that have such a table.

The second takes a family's id and sets how far a seed moves the image AUROC of each written method
beside the distance to the next method.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import inline, number, paragraph, table

THUMBNAILS = "baseline thumbnail nearest neighbour"


def span(values: Sequence[float | None]) -> str:
    """``0.853 … 0.931``, with two digits of the difference, at least two and at most six."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    low, high = min(known), max(known)
    digits = min(max(1 - math.floor(math.log10(high - low)), 2), 6) if high > low else 3
    ends = dict.fromkeys(number(value, digits) for value in (low, high))
    return " … ".join(ends)


class Seeds(BookDirective):
    """What the directives of this file share: the values of all seeds."""

    required_arguments = 1

    def expected(self, method: registry.Method) -> dict[str, Any]:
        """The values of all seeds; the page is drawn anew when they change."""
        root = (Path(self.env.srcdir) / self.config.book_registry).parents[1]
        path = root / "helpers" / "bands" / f"{method.id}.json"
        self.env.note_dependency(str(path))
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if not found.get("values"):  # a new notebook's file has none before its first bands
            raise self.error(
                f"{self.name}: {method.id} has no bands of several seeds yet: make bands"
            )
        return found

    def family(self) -> list[registry.Method]:
        """The written methods of the family that the argument names."""
        try:
            methods = self.load().of_family(self.arguments[0].strip())
        except registry.RegistryError as error:
            raise self.error(f"{self.name}: {error}") from error
        return [method for method in methods if method.written]

    def drawn(self, grid: nodes.Node, seeds: int) -> list[nodes.Node]:
        """The table, and below it what its cells are."""
        out = nodes.container(classes=["book-seeds"])
        out += grid
        out += paragraph(self.say("lowest and highest", seeds), classes=["book-note"])
        return [out]


class SeedsTable(Seeds):
    """One experiment of a method, or of all methods of a family that have it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw the table; one that no notebook has is an error of the page."""
        title = " ".join(line.strip() for line in self.content).strip()
        whole = "/" not in self.arguments[0]
        methods = self.family() if whole else [self.find(self.arguments[0].strip())]
        found = {method.id: self.names(method, title, needed=not whole) for method in methods}
        methods = [method for method in methods if found[method.id]]
        if not methods:
            raise self.error(f"{self.name}: no written method has a table {title!r}")
        columns: dict[str, registry.Method] = {}
        rows: list[tuple[list[nodes.Node], dict[str, str]]] = []
        for method in methods:
            values, cells = self.expected(method)["values"], {}
            for measure, state, name in found[method.id]:
                columns.setdefault(measure, method)
                cells.setdefault(state, {})[measure] = span(values[name])
            for state, filled in cells.items():
                label = inline(self.call(state, method))
                link = [self.to_method(method), nodes.Text(": ")] if whole else []
                rows.append(([*link, label], filled))
        grid = table(
            [self.call(title, methods[0]), *(self.call(c, m) for c, m in columns.items())],
            [
                [label, *(inline(filled.get(c, "–"), "book-number") for c in columns)]
                for label, filled in rows
            ],
        )
        return self.drawn(grid, len(self.expected(methods[0])["seeds"]))

    def names(
        self, method: registry.Method, title: str, *, needed: bool
    ) -> list[tuple[str, str, str]]:
        """(measure, state, name) of the rows of the table with this title."""
        tables = [piece for piece in self.pieces(method) if piece["kind"] == "table"]
        for piece in tables:
            if piece["title"] == title:
                return [(*self.split(row["name"]), row["name"]) for row in piece["rows"]]
        if not needed:
            return []
        known = "; ".join(piece["title"] for piece in tables) or "none"
        raise self.error(f"{self.name}: {method.id} has no table {title!r}; there are: {known}")

    def split(self, name: str) -> tuple[str, str]:
        """What was measured, and on what: the parts before and after the first comma."""
        measure, comma, state = name.partition(", ")
        if not comma:
            raise self.error(
                f"{self.name}: {name!r} is no cell of a table; a name is 'measure, what was tried'"
            )
        return measure, state


class SeedSpread(Seeds):
    """The methods of a family in the order of their mean image AUROC."""

    def run(self) -> list[nodes.Node]:
        """Draw the table; seeds are compared pairwise, as they draw the same images."""
        methods = {method.id: method for method in self.family()}
        values = {name: self.expected(method)["values"] for name, method in methods.items()}
        if len(values) < 2:
            raise self.error(f"{self.name}: {self.arguments[0]} has fewer than two written methods")
        scores = {name: found["image_auroc"] for name, found in values.items()}
        order = sorted(scores, key=lambda name: -mean(scores[name]))
        rows = []
        for name, after in zip(order, [*order[1:], None], strict=True):
            own = scores[name]
            row = [
                self.to_method(methods[name]),
                inline(span(own), "book-number"),
                inline(number(mean(own)), "book-number"),
            ]
            if after is None:
                row += ["–", "–"]
            else:
                ahead = mean(own) - mean(scores[after])
                row += [inline(number(ahead), "book-number"), self.ahead(own, scores[after])]
            row.append(self.ahead(own, values[name][THUMBNAILS]))
            rows.append(row)
        words = ("seed mean", "before the next", "seeds before", "seeds before thumbnails")
        head = [self.say("method"), self.say("image_auroc"), *(self.say(w) for w in words)]
        return self.drawn(table(head, rows), len(own))

    def ahead(self, own: Sequence[float], other: Sequence[float]) -> str:
        """How many seeds are ahead, seed by seed."""
        pairs = list(zip(own, other, strict=True))
        return self.say("seeds", sum(a > b for a, b in pairs), len(pairs))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    app.add_directive("seeds-table", SeedsTable)
    app.add_directive("seed-spread", SeedSpread)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
