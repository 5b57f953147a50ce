"""``{leaderboard}``: results side by side, ranked only where the test data is the same."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import badge, html, inline, measured, number, paragraph, table
from directives.words import METRICS

COLUMNS = ("pixel_auroc", "aupro", "aupro_anomalous")
#: The columns of the table as a file.
CSV = ("dataset", "fingerprint", "rank", "kind", "name", *METRICS)

Entries = Sequence[tuple[registry.Method, Mapping[str, Any]]]


class Line(NamedTuple):
    """What is compared: a method, its twin with random weights, or a trivial baseline."""

    kind: str  # method, random weights, baseline
    name: str
    value: float | None  # image AUROC
    pair: Sequence[float] | None  # its interval
    metrics: Mapping[str, float]
    method: registry.Method | None = None


class Leaderboard(BookDirective):
    """For each test set, told apart by its fingerprint, intervals on one axis and a table."""

    def run(self) -> list[nodes.Node]:
        """Draw the groups, the largest first, and the file that holds all of them."""
        groups: dict[str, list[tuple[registry.Method, Mapping[str, Any]]]] = {}
        for method in self.load().written():
            for piece in self.pieces(method):
                if piece["kind"] == "report" and piece.get("default", True):
                    groups.setdefault(str(piece["fingerprint"]), []).append((method, piece))
        out = nodes.container(classes=["book-leaderboard"])
        if not groups:
            out += paragraph(self.say("nothing measured"), classes=["book-note"])
            return [out]
        written: list[Sequence[object]] = [CSV]
        for mark, entries in sorted(groups.items(), key=lambda g: -len(g[1])):
            dataset = entries[0][1]["dataset"]
            lines = self.lines(entries)
            out += nodes.rubric("", self.say("group", dataset=dataset, fingerprint=mark))
            out += html(whiskers(lines, self.say("whiskers"), self.say("chance")))
            out += self.group(lines)
            for rank, line in ranked(lines):
                values = [line.metrics.get(key, "") for key in METRICS]
                written.append([dataset, mark, rank or "", line.kind, line.name, *values])
        out += self.table_file("leaderboard", written)
        return [out]

    def lines(self, entries: Entries) -> list[Line]:
        """Methods and all baselines in their places, the highest image AUROC first."""
        lines: list[Line] = []
        trivial: dict[str, float] = {}
        for method, record in entries:
            value, pair = record["metrics"].get("image_auroc"), record.get("intervals", {})
            title = method.title(self.language)
            lines.append(
                Line("method", title, value, pair.get("image_auroc"), record["metrics"], method)
            )
            random = record.get("random_weights")
            if random and random["image_auroc"] is not None:
                lines.append(self.plain("random weights of", title, random["image_auroc"]))
            for name, found in record.get("baselines", {}).items():
                if found is not None:
                    trivial.setdefault(name, found)
        lines += [self.plain("baseline", self.call(name), v) for name, v in trivial.items()]
        return sorted(lines, key=lambda line: -1.0 if line.value is None else -line.value)

    def plain(self, word: str, name: str, value: float) -> Line:
        """Something that is not a method."""
        kind = "baseline" if word == "baseline" else "random weights"
        return Line(kind, self.say(word, name), value, None, {"image_auroc": value})

    def group(self, lines: Sequence[Line]) -> nodes.table:
        """The table; baselines have no rank."""
        rows: list[list[Any]] = []
        first = next((line.pair for line in lines if line.method), None)
        for rank, line in ranked(lines):
            name: list[nodes.Node] = [inline(line.name)]
            if line.method:
                name = [self.to_method(line.method)]
                if rank and rank > 1 and first and line.pair and line.pair[1] >= first[0]:
                    name += [nodes.Text(" "), badge(self.say("tied"))]
            place = str(rank) if rank else "–" if line.method else ""
            others = [number(line.metrics.get(key)) for key in COLUMNS]
            rows.append([place, name, measured(line.value, line.pair), *others])
        head = [self.say(key) for key in ("rank", "method", "image_auroc", *COLUMNS)]
        kinds = ["" if line.method else "book-baseline" for line in lines]
        return table(head, rows, row_classes=kinds, stub=False, classes=["book-ranks"])


def ranked(lines: Sequence[Line]) -> list[tuple[int | None, Line]]:
    """Each line with its rank; only methods whose image AUROC is known have one."""
    out, rank = [], 0
    for line in lines:
        counts = line.method is not None and line.value is not None
        rank += counts
        out.append((rank if counts else None, line))
    return out


def whiskers(lines: Sequence[Line], described: str, chance: str) -> str:
    """Dots with their intervals on one axis, which begins below the lowest of them."""
    lines = [line for line in lines if line.value is not None]
    lowest = min([0.5, *(min([line.value, *(line.pair or ())]) for line in lines)])
    low = math.floor(lowest * 10) / 10
    ticks = [round(low + i / 10, 1) for i in range(round((1 - low) * 10) + 1)]

    def x(value: float) -> str:
        return f"{100 * (value - low) / (1 - low):.2f}%"

    grid = "".join(
        f'<i class="tick{" chance" if tick == 0.5 else ""}" style="left:{x(tick)}"></i>'
        for tick in ticks
    )
    rows = []
    for line in lines:
        span = ""
        if line.pair:
            across = 100 * (line.pair[1] - line.pair[0]) / (1 - low)
            span = f'<i class="span" style="left:{x(line.pair[0])};width:{across:.2f}%"></i>'
        kind = "method" if line.method else "baseline"
        rows.append(
            f'<div class="{kind}"><b>{escape(line.name)}</b><span class="track">{grid}{span}'
            f'<i class="dot" style="left:{x(line.value)}"></i></span></div>'
        )
    axis = "".join(f'<i class="at" style="left:{x(tick)}">{tick}</i>' for tick in ticks)
    rows.append(f'<div class="axis"><b>{escape(chance)}</b><span class="track">{axis}</span></div>')
    label = escape(described)
    return f'<div class="book-whiskers" role="img" aria-label="{label}">{"".join(rows)}</div>'


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("leaderboard", Leaderboard)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
