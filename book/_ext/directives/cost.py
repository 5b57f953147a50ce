"""``{cost-table}``: what one run of each notebook costs."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import number, paragraph, table


class CostTable(BookDirective):
    """Time, memory and file size of all written notebooks."""

    def run(self) -> list[nodes.Node]:
        """Draw the table; a notebook that was never benchmarked shows its own record."""
        rows = []
        for method in self.load().written():
            cost = self.cost(method)
            if not cost:
                continue
            seconds, memory = cost.get("seconds"), cost.get("peak_memory_mb")
            size = cost.get("file_kb")
            rows.append(
                [
                    self.to_method(method),
                    "–" if seconds is None else self.say("seconds", number(seconds, 1)),
                    "–" if memory is None else f"{memory:,.0f} MB",
                    "–" if size is None else f"{size:,.0f} KB",
                ]
            )
        out = nodes.container(classes=["book-cost"])
        if rows:
            head = [self.say(w) for w in ("method", "time", "memory column", "file")]
            out += table(head, rows)
        else:
            out += paragraph(self.say("no record"), classes=["book-note"])
        return [out]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("cost-table", CostTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
