"""``{seeds-table}``: the numbers of one experiment over the seeds that its bands come from.

The argument is a method's id, the body the title of one of its notebook's tables. A row is one
thing that was tried, a column one thing that was measured: "spread, clipped" stands in the row
"clipped" and the column "spread". A cell holds the lowest and the highest value of all seeds.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import inline, number, paragraph, table


def span(values: Sequence[float | None]) -> str:
    """``0.853 … 0.931``, with two digits of the difference, at least two and at most six."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    low, high = min(known), max(known)
    digits = min(max(1 - math.floor(math.log10(high - low)), 2), 6) if high > low else 3
    ends = dict.fromkeys(number(value, digits) for value in (low, high))
    return " … ".join(ends)


class SeedsTable(BookDirective):
    """What an experiment gave, seed by seed."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw the table; one that the notebook does not have is an error of the page."""
        method = self.find(self.arguments[0].strip())
        title = " ".join(line.strip() for line in self.content).strip()
        expected = self.expected(method)
        grid = [(*self.split(name), expected["values"][name]) for name in self.names(method, title)]
        columns = list(dict.fromkeys(measure for measure, _, _ in grid))
        cells: dict[str, dict[str, str]] = {}
        for measure, state, values in grid:
            cells.setdefault(state, {})[measure] = span(values)
        rows = [
            [self.call(state, method), *(inline(found.get(c, "–"), "book-number") for c in columns)]
            for state, found in cells.items()
        ]
        out = nodes.container(classes=["book-seeds"])
        out += table([self.call(title, method), *(self.call(c, method) for c in columns)], rows)
        out += paragraph(
            self.say("lowest and highest", len(expected["seeds"])), classes=["book-note"]
        )
        return [out]

    def names(self, method: registry.Method, title: str) -> list[str]:
        """The rows of the table with this title."""
        tables = [piece for piece in self.pieces(method) if piece["kind"] == "table"]
        for piece in tables:
            if piece["title"] == title:
                return [row["name"] for row in piece["rows"]]
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


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("seeds-table", SeedsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
