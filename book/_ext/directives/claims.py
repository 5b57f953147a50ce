"""``{claims-table}``: what the papers claim, and what came out when we tested it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import records
import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import badge, inline, measured, paragraph, table

#: The verdicts and how they are drawn.
VERDICTS = {
    "reproduced": "good",
    "undecided": "fair",
    "not at this scale": "bad",
    "not tested": "muted",
    "no verdict": "muted",
}


class ClaimsTable(BookDirective):
    """The claims of all written methods, or of the one named in the argument."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw one table, below a count of the verdicts where it holds all claims."""
        if self.arguments:
            methods = [self.find(self.arguments[0].strip())]
        else:
            methods = self.load().written()
        head = [self.say(w) for w in ("claim", "verdict", "difference", "source")]
        if not self.arguments:
            head.insert(1, self.say("method"))
        rows, counts = [], Counter[str]()
        for method in methods:
            found = records.verdicts(self.pieces(method)) if method.written else {}
            for claim in method.claims:
                verdict = self.verdict(claim, found.get(claim.id))
                row = self.row(claim, verdict, found.get(claim.id))
                if not self.arguments:
                    row.insert(1, self.to_method(method))
                rows.append(row)
                counts[verdict] += 1
        out = nodes.container(classes=["book-claims"])
        if not rows:
            out += paragraph(self.say("no record"), classes=["book-note"])
            return [out]
        if not self.arguments:
            named = [f"{self.say(v)} {counts[v]}" for v in VERDICTS if counts[v]]
            total = self.say("all claims", counts.total())
            out += paragraph(f"{total}: {', '.join(named)}.", classes=["book-caption"])
        out += table(head, rows, stacked=True)
        return [out]

    def verdict(self, claim: registry.Claim, piece: Mapping[str, Any] | None) -> str:
        """The verdict that counts; one that no notebook can give is an error of the page."""
        verdict = records.verdict(piece) if piece else "no verdict"
        if verdict not in VERDICTS:
            known = ", ".join(VERDICTS)
            raise self.error(f"claim {claim.id}: unknown verdict {verdict!r}; there are: {known}")
        return verdict

    def row(
        self, claim: registry.Claim, verdict: str, piece: Mapping[str, Any] | None
    ) -> list[Any]:
        """One claim, its verdict, the measured difference and the rule."""
        label: list[nodes.Node] = [badge(self.say(verdict), VERDICTS[verdict])]
        shown: list[nodes.Node] = [nodes.Text("–")]
        if piece and (difference := piece["difference"]):
            seeds = piece["seeds"]
            count = (seeds.count("reproduced"), len(seeds)) if seeds else ()
            beside = self.say("seeds" if seeds else "one seed", *count)
            label += [nodes.Text(" "), inline(beside, "book-number", "book-interval")]
            shown = measured(difference["value"], (difference["low"], difference["high"]))
            rule = self.say("needed", f"{piece['above']:g}".replace("-", "−"))
            shown += [nodes.Text(" "), inline(rule, "book-number", "book-interval")]
        return [claim.text[self.language], label, shown, claim.source[self.language]]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("claims-table", ClaimsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
