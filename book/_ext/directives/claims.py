"""``{claims-table}``: what the papers claim, and what came out when we tested it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import records
import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import badge, html, inline, measured, paragraph, table

#: The verdicts and how they are drawn.
VERDICTS = {
    "reproduced": "good",
    "undecided": "fair",
    "not at this scale": "bad",
    "not tested": "muted",
    "no verdict": "muted",
}
#: The columns of the table as a file.
CSV = (
    *("id", "method", "family", "claim", "source", "verdict"),
    *("seeds_reproduced", "seeds", "difference", "low", "high", "above"),
)


class Judged(NamedTuple):
    """A claim with its record and the verdict that counts."""

    method: registry.Method
    claim: registry.Claim
    piece: Mapping[str, Any] | None
    verdict: str

    @property
    def anchor(self) -> str:
        """Its address on the page."""
        return nodes.make_id(f"claim-{self.method.id}-{self.claim.id}")

    @property
    def classes(self) -> str:
        """What a reader can filter by."""
        return f"{_class('verdict', self.verdict)} {_class('family', self.method.family)}"


class ClaimsTable(BookDirective):
    """The claims of all written methods, or of the one named in the argument."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw one table; where it holds all claims: totals, a choice and the table as a file."""
        if self.arguments:
            methods = [self.find(self.arguments[0].strip())]
        else:
            methods = self.load().written()
        claims = [judged for method in methods for judged in self.judge(method)]
        out = nodes.container(classes=["book-claims"])
        if not claims:
            out += paragraph(self.say("no record"), classes=["book-note"])
            return [out]
        if not self.arguments:
            out += self.totals(claims)
            out += self.choice(claims)
        head = [self.say(w) for w in ("claim", "verdict", "difference")]
        if not self.arguments:
            head.insert(1, self.say("method"))
        out += table(
            head,
            [self.row(judged) for judged in claims],
            row_classes=[judged.classes for judged in claims],
            row_ids=[judged.anchor for judged in claims],
            stub=False,
        )
        if not self.arguments:
            out += self.table_file("claims", [CSV, *map(self.line, claims)])
        return [out]

    def judge(self, method: registry.Method) -> list[Judged]:
        """The method's claims; a verdict that no notebook can give is an error of the page."""
        found = records.verdicts(self.pieces(method)) if method.written else {}
        judged = []
        for claim in method.claims:
            piece = found.get(claim.id)
            verdict = records.verdict(piece) if piece else "no verdict"
            if verdict not in VERDICTS:
                known = ", ".join(VERDICTS)
                raise self.error(
                    f"claim {claim.id}: unknown verdict {verdict!r}; there are: {known}"
                )
            judged.append(Judged(method, claim, piece, verdict))
        return judged

    def families(self, claims: Sequence[Judged]) -> dict[str, str]:
        """Families that have a claim: id and title."""
        known = self.load().families
        present = {judged.method.family for judged in claims}
        return {id_: family.name[self.language] for id_, family in known.items() if id_ in present}

    def totals(self, claims: Sequence[Judged]) -> nodes.table:
        """How many claims of each family got each verdict."""
        verdicts = [v for v in VERDICTS if any(judged.verdict == v for judged in claims)]
        counts = Counter((judged.method.family, judged.verdict) for judged in claims)
        families = self.families(claims)
        found = [[counts[id_, v] for v in verdicts] for id_ in families]
        found.append([sum(column) for column in zip(*found, strict=True)])
        titles = [*families.values(), self.say("total")]
        rows = [
            [title, *map(str, numbers), str(sum(numbers))]
            for title, numbers in zip(titles, found, strict=True)
        ]
        head = [self.say("family"), *map(self.say, verdicts), self.say("total")]
        kinds = [*[""] * len(families), "book-total"]
        return table(head, rows, row_classes=kinds, classes=["book-totals", "book-unstacked"])

    def choice(self, claims: Sequence[Judged]) -> nodes.raw:
        """Two lists to choose from; hidden until the script that obeys them has started."""
        counts = Counter(judged.verdict for judged in claims)
        verdicts = {v: f"{self.say(v)} ({counts[v]})" for v in VERDICTS if counts[v]}
        lists = []
        for kind, options in (("verdict", verdicts), ("family", self.families(claims))):
            shown = [f'<option value="">{escape(self.say("all"))}</option>']
            shown += [
                f'<option value="{_class(kind, id_)}">{escape(title)}</option>'
                for id_, title in options.items()
            ]
            name = escape(self.say(kind))
            lists.append(f"<label>{name} <select>{''.join(shown)}</select></label>")
        said = escape(self.say("shown claims", "{0}", "{1}"))
        return html(
            f'<form class="book-filter" data-shown="{said}" hidden>{"".join(lists)}'
            '<output aria-live="polite"></output></form>'
        )

    def row(self, judged: Judged) -> list[Any]:
        """One claim with its source and link, its verdict, the measured difference and the rule."""
        claim, piece, verdict = judged.claim, judged.piece, judged.verdict
        link = html(
            f'&nbsp;<a class="book-anchor" href="#{judged.anchor}" '
            f'title="{escape(self.say("link to claim"))}" '
            f'aria-label="{escape(self.say("link to claim"))}">#</a>'
        )
        source = self.say("source of claim", claim.source[self.language])
        text = [nodes.Text(claim.text[self.language]), link]
        text += [nodes.Text(" "), inline(source, "book-source")]
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
        if self.arguments:
            return [text, label, shown]
        return [text, [self.to_method(judged.method)], label, shown]

    def line(self, judged: Judged) -> list[object]:
        """One claim as a line of the file, numbers in full."""
        method, claim, piece, _ = judged
        difference = (piece or {}).get("difference") or {}
        seeds = (piece or {}).get("seeds") or []
        return [
            f"{method.id}/{claim.id}",
            method.title(self.language),
            self.families([judged])[method.family],
            claim.text[self.language],
            claim.source[self.language],
            self.say(judged.verdict),
            *((seeds.count("reproduced"), len(seeds)) if seeds else ("", "")),
            *(difference.get(key, "") for key in ("value", "low", "high")),
            piece["above"] if piece else "",
        ]


def _class(kind: str, name: str) -> str:
    return nodes.make_id(f"{kind}-{name}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("claims-table", ClaimsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
