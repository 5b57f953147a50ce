"""``{corrections}``: what the reading list has wrong, beside what is right."""

from typing import Any

import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import badge, table


class Corrections(BookDirective):
    """What the reading list has wrong or leaves open, with the source of what is right."""

    def run(self) -> list[nodes.Node]:
        """Draw one table: mistakes first, remarks after them."""
        known = self.load()
        head = [self.say(w) for w in ("listed", "correct", "explanation", "source")]
        order = {kind: i for i, kind in enumerate(registry.KINDS)}
        rows = [self.row(c, known) for c in sorted(known.corrections, key=lambda c: order[c.kind])]
        out = nodes.container(classes=["book-corrections"])
        out += table(head, rows)
        return [out]

    def row(self, item: registry.Correction, known: registry.Registry) -> list[Any]:
        """One correction."""
        method = known.method(item.about) if item.about else None
        title = self.to(method.review, item.listed) if method and method.written else None
        what = [badge(self.say(f"kind {item.kind}")), nodes.Text(" ")]
        what.append(title or nodes.Text(item.listed))
        return [what, item.correct or "–", item.text[self.language], item.source[self.language]]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("corrections", Corrections)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
