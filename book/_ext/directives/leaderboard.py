"""``{leaderboard}``: results side by side, ranked only where the test data is the same."""

from collections.abc import Mapping
from typing import Any

import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import badge, html, inline, measured, number, paragraph, table

COLUMNS = ("pixel_auroc", "aupro")


class Leaderboard(BookDirective):
    """One table for each test set, told apart by its fingerprint."""

    def run(self) -> list[nodes.Node]:
        """Draw the tables, the largest group first."""
        groups: dict[str, list[tuple[registry.Method, Mapping[str, Any]]]] = {}
        for method in self.load().written():
            for piece in self.pieces(method):
                if piece["kind"] == "report" and piece.get("default", True):
                    groups.setdefault(str(piece["fingerprint"]), []).append((method, piece))
        out = nodes.container(classes=["book-leaderboard"])
        if not groups:
            out += paragraph(self.say("nothing measured"), classes=["book-note"])
        for mark, entries in sorted(groups.items(), key=lambda g: -len(g[1])):
            name = entries[0][1]["dataset"]
            title = self.say("group", dataset=name, fingerprint=mark)
            out += nodes.rubric("", title)
            out += self.group(entries)
        return [out]

    def group(self, entries: list[tuple[registry.Method, Mapping[str, Any]]]) -> nodes.table:
        """Methods ranked by image AUROC, with all baselines in their places, unranked."""
        lines: list[tuple[float, str, list[Any]]] = []
        scored = [e for e in entries if "image_auroc" in e[1]["metrics"]]
        scored.sort(key=lambda e: -e[1]["metrics"]["image_auroc"])
        first = self.pair(scored[0][1]) if scored else None
        for rank, (method, record) in enumerate(scored, start=1):
            value = record["metrics"]["image_auroc"]
            name: list[nodes.Node] = [self.to_method(method)]
            pair = self.pair(record)
            if rank > 1 and first and pair and pair[1] >= first[0]:
                name += [nodes.Text(" "), badge(self.say("tied"))]
            lines.append((value, "", self.line(str(rank), name, record)))
        for method, record in entries:
            if method.id not in [m.id for m, _ in scored]:
                lines.append((-1.0, "", self.line("–", [self.to_method(method)], record)))
            random = record.get("random_weights")
            if random and random["image_auroc"] is not None:
                title = self.say("random weights of", method.title(self.language))
                lines.append(self.plain(title, random["image_auroc"]))
        trivial: dict[str, float] = {}
        for _, record in entries:
            for name, value in record.get("baselines", {}).items():
                if value is not None:
                    trivial.setdefault(name, value)
        lines += [self.plain(self.baseline(n), v) for n, v in trivial.items()]
        lines.sort(key=lambda item: -item[0])
        head = [self.say("rank"), self.say("method"), self.say("image_auroc"), ""]
        head += [self.say(key) for key in COLUMNS]
        rows, kinds = [row for _, _, row in lines], [kind for _, kind, _ in lines]
        return table(head, rows, row_classes=kinds, stub=False, classes=["book-ranks"])

    @staticmethod
    def pair(record: Mapping[str, Any]) -> list[float] | None:
        """The interval of the image AUROC."""
        return record.get("intervals", {}).get("image_auroc")

    def line(self, rank: str, name: list[nodes.Node], record: Mapping[str, Any]) -> list[Any]:
        """A method's row."""
        value, pair = record["metrics"].get("image_auroc"), self.pair(record)
        others = [number(record["metrics"].get(key)) for key in COLUMNS]
        return [rank, name, measured(value, pair), html(whisker(value, pair)), *others]

    def plain(self, name: str, value: float) -> tuple[float, str, list[Any]]:
        """The row of something that is not a method."""
        cells: list[Any] = ["", inline(name), number(value), html(whisker(value, None))]
        return value, "book-baseline", [*cells, *["–"] * len(COLUMNS)]


def whisker(value: float | None, pair: list[float] | None) -> str:
    """A dot with its interval on a line from 0.5 (chance) to 1; the numbers stand beside it."""
    if value is None:
        return ""

    def x(v: float) -> float:
        return round(4 + 92 * (min(max(v, 0.5), 1.0) - 0.5) / 0.5, 1)

    line = ""
    if pair:
        line = f'<line class="span" x1="{x(pair[0])}" x2="{x(pair[1])}" y1="8" y2="8"/>'
    kind = "dot" if pair else "dot hollow"
    return (
        '<svg class="book-whisker" viewBox="0 0 100 16" aria-hidden="true" focusable="false">'
        '<line class="axis" x1="4" x2="96" y1="8" y2="8"/>'
        f'{line}<circle class="{kind}" cx="{x(value)}" cy="8" r="2.6"/></svg>'
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("leaderboard", Leaderboard)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
