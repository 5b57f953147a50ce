"""``{claims-table}``: what the papers claim, and what came out when we tested it."""

from collections.abc import Mapping
from typing import Any

import records
import registry
from components import (
    VERDICT_KINDS,
    BookDirective,
    badge,
    inline,
    measured,
    number,
    paragraph,
    table,
)
from docutils import nodes
from sphinx.application import Sphinx


class ClaimsTable(BookDirective):
    """The claims of all written methods, or of the one named in the argument."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw one table; verdicts come from the notebooks' records."""
        if self.arguments:
            methods = [self.find(self.arguments[0].strip())]
        else:
            methods = self.load().written()
        head = [self.say(w) for w in ("claim", "verdict", "difference", "source")]
        if not self.arguments:
            head.insert(1, self.say("method"))
        rows = []
        for method in methods:
            found = records.verdicts(self.pieces(method)) if method.written else {}
            for claim in method.claims:
                row = self.row(claim, found.get(claim.id))
                if not self.arguments:
                    row.insert(1, self.to_method(method))
                rows.append(row)
        out = nodes.container(classes=["book-claims"])
        if rows:
            out += table(head, rows, stacked=True)
        else:
            out += paragraph(self.say("no record"), classes=["book-note"])
        return [out]

    def row(self, claim: registry.Claim, piece: Mapping[str, Any] | None) -> list[Any]:
        """One claim, its verdict, the measured difference and the rule."""
        source = claim.source[self.language]
        if piece is None:
            return [claim.text[self.language], badge(self.say("no verdict")), "–", source]
        verdict = str(piece["verdict"])
        if verdict not in VERDICT_KINDS:
            known = ", ".join(VERDICT_KINDS)
            raise self.error(f"claim {claim.id}: unknown verdict {verdict!r}; there are: {known}")
        difference = piece.get("difference")
        shown: list[nodes.Node] = [nodes.Text("–")]
        if difference:
            shown = measured(difference["value"], (difference["low"], difference["high"]))
            rule = self.say("needed", number(piece["at_least"], 2))
            shown += [nodes.Text(" "), inline(rule, "book-number", "book-interval")]
        label = badge(self.say(verdict), VERDICT_KINDS[verdict])
        return [claim.text[self.language], label, shown, source]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("claims-table", ClaimsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
