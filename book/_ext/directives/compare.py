"""``{compare}``: the methods of a family on several data sets and with fewer normal images.

Where a method ran with several values of another parameter, a curve shows its contrast: the median
score of the anomalous test images over that of the normal ones.

With several families, their methods stand in one table, without the curves. With ``:speed:`` a last
table says how many megapixels a second and core went through the notebook as far as its result, on
the first data set. With ``:random:`` a table sets the image AUROC beside that of the same pipeline
with random weights.
"""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log
from pathlib import Path
from typing import Any

import comparisons
import registry
from comparisons import Row
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import html, measured, number, paragraph, table

#: What a column's name does not repeat: the data set's own name says it.
NAMED = ("dataset", "category")
KINDS = ("normal", "anomalous")
Lines = dict[str, list[tuple[int, float]]]


class Compare(BookDirective):
    """Its arguments are the families' ids."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec = {"speed": directives.flag, "random": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """Draw a table a metric, a curve for each sweep, and say when they were measured."""
        families = self.arguments[0].split()
        try:
            known = self.load()
            methods = [method for family in families for method in known.of_family(family)]
            rows = [row for family in families for row in self.rows(family)]
            self.names = {k: v for family in families for k, v in self.columns(family).items()}
        except (registry.RegistryError, comparisons.ComparisonError) as error:
            raise self.error(f"{self.name}: {error}") from error
        self.methods = {method.id: method for method in methods if method.written}
        rows = [row for row in rows if row["method"] in self.methods]
        out = nodes.container(classes=["book-compare"])
        if not rows:
            out += paragraph(self.say("no comparison"), classes=["book-note"])
            return [out]
        swept = [_swept(row, rows) for row in rows]
        plain = [row for row, name in zip(rows, swept, strict=True) if name is None]
        for metric in ("image_auroc", "pixel_auroc"):
            out += self.table_of(metric, [row for row in plain if metric in row["metrics"]])
        for label, group in _columns(plain, self.names).items():
            out += self.kinds(label, [row for row in group if row.get("auroc_by_kind")])
        if "random" in self.options:
            out += self.random(plain)
        if "speed" in self.options and plain:
            out += self.speed(plain)
        for sweep in _sweeps(rows) if len(families) == 1 else ():
            out += self.sweep(sweep)
        for name in dict.fromkeys(name for name in swept if name not in (None, "subset")):
            chosen = [row for row, other in zip(rows, swept, strict=True) if other == name]
            out += self.contrast(name, chosen)
        days = sorted({row["made"] for row in rows})
        word = "made on" if len(days) == 1 else "made between"
        out += paragraph(self.say(word, days[0], days[-1]), classes=["book-note"])
        there = {self.methods[row["method"]].family for row in rows}
        for family in (name for name in families if name not in there):
            name = known.families[family].name[self.language]
            out += paragraph(f"{name}: {self.say('no comparison')}", classes=["book-note"])
        return [out]

    def rows(self, family: str) -> list[Row]:
        """A family's record; the page is drawn anew when it changes."""
        home = (Path(self.env.srcdir) / self.config.book_registry).parent
        path = home / "results" / "compare" / f"{family}.yml"
        self.env.note_dependency(str(path))
        return comparisons.record(path)

    def columns(self, family: str) -> dict[str, str]:
        """What a family's plan calls its rows."""
        path = (Path(self.env.srcdir) / self.config.book_registry).parent / "compare.yml"
        self.env.note_dependency(str(path))
        return comparisons.columns(path, family, self.language) if path.is_file() else {}

    def contrast(self, name: str, rows: Sequence[Row]) -> list[nodes.Node]:
        """How far the scores of anomalous images lie above the others', by a parameter."""
        shown: list[nodes.Node] = []
        for method in self.methods.values():
            mine = sorted(
                (row for row in rows if row["method"] == method.id and row.get("median_scores")),
                key=lambda row: row["settings"][name],
            )
            if len(mine) < 3:
                continue
            values = [row["settings"][name] for row in mine]
            medians = {kind: [row["median_scores"][kind] for row in mine] for kind in KINDS}
            ratios = [b / a for a, b in zip(*medians.values(), strict=True)]
            cells = [
                [self.say(f"median {kind}"), *(number(value) for value in medians[kind])]
                for kind in KINDS
            ]
            cells.append([self.say("contrast"), *(number(ratio, 2) for ratio in ratios)])
            cells += [
                [self.say(metric), *(_value(row, metric) for row in mine)]
                for metric in ("image_auroc", "pixel_auroc")
            ]
            label = _label({**mine[0], "settings": _others(mine[0], name)})
            title = self.say("contrast by", method.title(self.language), name, label)
            said = "; ".join(f"{v}: {number(r, 2)}" for v, r in zip(values, ratios, strict=True))
            lines = {self.say("contrast"): list(zip(values, ratios, strict=True))}
            shown += [
                paragraph(title, classes=["book-caption"]),
                html(curve(lines, f"{title}. {said}", name)),
                table([name, *map(str, values)], cells),
            ]
        return shown

    def table_of(self, metric: str, rows: Sequence[Row]) -> list[nodes.Node]:
        """One metric: a column a data set, a row a method, below them the trivial baselines."""
        if not rows:
            return []
        columns = _columns(rows, self.names)
        groups = list(columns.values())
        spans = any(metric in row["intervals"] for row in rows)
        title = self.say("interval of", self.say(metric)) if spans else self.say(metric)
        caption = paragraph(title, classes=["book-caption"])
        return [caption, *self.grid(list(columns), groups, metric)]

    def kinds(self, label: str, rows: Sequence[Row]) -> list[nodes.Node]:
        """The image AUROC of each kind of defect on one data set."""
        kinds = sorted({kind for row in rows for kind in row["auroc_by_kind"]})
        found = {
            row["method"]: [number(row["auroc_by_kind"].get(kind)) for kind in kinds]
            for row in rows
        }
        return self.a_row_each(self.say("by kind", label), kinds, found)

    def speed(self, rows: Sequence[Row]) -> list[nodes.Node]:
        """Megapixels a second on the first data set, a row a method."""
        label, group = next(iter(_columns(rows, self.names).items()))
        speeds = {row["method"]: [number(row.get("megapixels_per_second"), 2)] for row in group}
        return self.a_row_each(self.say("speed"), [label], speeds)

    def random(self, rows: Sequence[Row]) -> list[nodes.Node]:
        """From random weights to the method's own: the image AUROC of both, a column a data set."""
        both = [row for row in rows if _random(row) is not None and "image_auroc" in row["metrics"]]
        columns = _columns(both, self.names)
        found = {
            method: [
                " → ".join(number(value) for value in pair) if pair else number(None)
                for pair in (_pair(method, group) for group in columns.values())
            ]
            for method in dict.fromkeys(row["method"] for row in both)
        }
        return self.a_row_each(self.say("random to own"), list(columns), found)

    def a_row_each(
        self, title: str, columns: Sequence[str], found: Mapping[str, Sequence[str]]
    ) -> list[nodes.Node]:
        """A table with what was found of each method, by its id; nothing if there is none."""
        cells: list[list[Any]] = [
            [[self.to_method(method)], *found[method.id]]
            for method in self.methods.values()
            if method.id in found
        ]
        if not cells:
            return []
        caption = paragraph(title, classes=["book-caption"])
        return [caption, table([self.say("method"), *columns], cells)]

    def sweep(self, rows: Sequence[Row]) -> list[nodes.Node]:
        """The image AUROC by the number of normal images, as a curve and as numbers."""
        lines: Lines = {}
        for method in self.methods.values():
            points = dict(_point(row) for row in rows if row["method"] == method.id)
            if len(points) > 1:
                lines[method.title(self.language)] = sorted(points.items())
        if not lines:
            return []
        counts = sorted({row["counts"]["train"] for row in rows})
        groups = [[row for row in rows if row["counts"]["train"] == n] for n in counts]
        head = [self.say("images", n) for n in counts]
        title = self.say("fewer images", _label(rows[0]))
        said = [
            self.say("curve of", name, few, number(worst), many, number(best))
            for name, ((few, worst), *_, (many, best)) in lines.items()
        ]
        picture = curve(lines, self.say("curve", "; ".join(said)), self.say("normal images"))
        caption = paragraph(title, classes=["book-caption"])
        return [caption, html(picture), *self.grid(head, groups, "image_auroc")]

    def grid(
        self, columns: Sequence[str], groups: Sequence[Sequence[Row]], metric: str
    ) -> list[nodes.Node]:
        """The table itself; `groups` are the rows of the record that each column shows."""
        cells: list[list[Any]] = []
        kinds: list[str] = []
        for method in self.methods.values():
            mine = [next((r for r in rows if r["method"] == method.id), None) for rows in groups]
            if any(mine):
                shown = [_value(row, metric) for row in mine]
                cells.append([[self.to_method(method)], *shown])
                kinds.append("")
        if metric == "image_auroc":
            trivial = [_baselines(rows) for rows in groups]
            for name in dict.fromkeys(name for found in trivial for name in found):
                shown = [number(found.get(name)) for found in trivial]
                cells.append([self.baseline(name), *shown])
                kinds.append("book-baseline")
        head = [self.say("method"), *columns]
        return [table(head, cells, row_classes=kinds)]


def _fewer(row: Row) -> bool:
    """Whether the row is of a number of normal images."""
    return isinstance(row["settings"].get("subset"), int)


def _swept(row: Row, rows: Sequence[Row]) -> str | None:
    """The setting of which the row is one value in a sweep."""
    if _fewer(row):
        return "subset"
    for name, value in row["settings"].items():
        values = {
            other["settings"].get(name)
            for other in rows
            if other["method"] == row["method"] and _others(other, name) == _others(row, name)
        } - {None}
        if isinstance(value, int | float) and name != "seed" and len(values) > 2:
            return name
    return None


def _others(row: Row, swept: str = "subset") -> dict[str, Any]:
    """The settings but for the one that is swept."""
    return {name: value for name, value in row["settings"].items() if name != swept}


def _sweeps(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that differ in the number of normal images alone, where that is planned.

    Those with all images are tested on more images as well, and are none of them.
    """
    scored = [
        row
        for row in rows
        if "image_auroc" in row["metrics"] and row["settings"].get("subset") != "all"
    ]
    swept = []
    for row in scored:
        if _fewer(row) and _others(row) not in swept:
            swept.append(_others(row))
    return [[row for row in scored if _others(row) == settings] for settings in swept]


def _label(row: Row) -> str:
    """A data set's name, and the settings that it does not say."""
    more = [
        f"{name} {value}"
        for name, value in row["settings"].items()
        if name not in NAMED and not (name == "subset" and _fewer(row))
    ]
    return ", ".join([row["dataset"], *more])


def _columns(rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, list[Row]]:
    """Rows with the same settings or name, and the same data; other data is another column."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        label = names.get(comparisons.key(row["method"], row["settings"]), _label(row))
        found.setdefault((label, row["fingerprint"]), []).append(row)
    labels = [label for label, _ in found]
    return {
        label if labels.count(label) == 1 else f"{label} ({mark})": group
        for (label, mark), group in found.items()
    }


def _point(row: Row) -> tuple[int, float]:
    return row["counts"]["train"], row["metrics"]["image_auroc"]


def _value(row: Mapping[str, Any] | None, metric: str) -> list[nodes.Node]:
    row = row or {"metrics": {}, "intervals": {}}
    return measured(row["metrics"].get(metric), row["intervals"].get(metric))


def _random(row: Row) -> float | None:
    """The image AUROC with random weights; None if the method has no such baseline."""
    return (row.get("random_weights") or {}).get("image_auroc")


def _pair(method: str, rows: Sequence[Row]) -> tuple[float | None, float] | None:
    """The image AUROC of a method with random weights and with its own."""
    row = next((row for row in rows if row["method"] == method), None)
    return row and (_random(row), row["metrics"]["image_auroc"])


def _baselines(rows: Sequence[Row]) -> dict[str, float]:
    """Those that every row has: what one method alone is compared with is no baseline of all."""
    shared = set.intersection(*(set(row["baselines"]) for row in rows)) if rows else set()
    found: dict[str, float] = {}
    for row in rows:
        for name, value in row["baselines"].items():
            if name in shared and value is not None:
                found.setdefault(name, value)
    return found


def curve(lines: Lines, description: str, unit: str) -> str:
    """Lines over the number of images, on a logarithmic axis, each named at its end.

    Args:
        lines: (images, AUROC) by name, by growing numbers of images, two points at least; or
            another positive parameter and a value near 1.
        description: for those who do not see it.
        unit: below the axis.

    Returns:
        An SVG as wide as its place, up to the width that the style sheet allows.
    """
    counts = sorted({n for line in lines.values() for n, _ in line})
    values = [v for line in lines.values() for _, v in line]
    low = min(floor(min(values) * 20), 19)  # in steps of 0.05
    high = max(ceil(max(values) * 20), low + 1)
    left, right, top, bottom = 38, 250, 12, 168

    def x(n: int) -> float:
        return left + 8 + (right - left - 16) * log(n / counts[0]) / log(counts[-1] / counts[0])

    def y(v: float) -> float:
        return bottom - (bottom - top) * (v * 20 - low) / (high - low)

    parts = []
    for step in range(low, high + 1, ceil((high - low) / 5)):
        at = y(step / 20)
        parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(left - 6, at + 4, f"{step / 20:.2f}", "end"))
    parts += [_text(x(n), bottom + 16, str(n), "middle") for n in counts]
    parts.append(_text((left + right) / 2, bottom + 34, unit, "middle"))
    labels = _apart({name: y(line[-1][1]) for name, line in lines.items()}, bottom)
    for i, (name, line) in enumerate(lines.items()):
        points = [(x(n), y(v)) for n, v in line]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        dots = "".join(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3"/>' for px, py in points)
        lead = f'<path class="lead" d="M{path.split()[-1]} L{right + 6},{labels[name]:.1f}"/>'
        label = _text(right + 9, labels[name] + 4, name, "start")
        parts.append(f'<g class="line-{i % 6}"><polyline points="{path}"/>{dots}{lead}{label}</g>')
    return (
        '<svg class="book-curve" viewBox="0 0 360 208" role="img" '
        f'aria-label="{escape(description)}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _apart(heights: Mapping[str, float], bottom: float, step: float = 14) -> dict[str, float]:
    """Heights of labels, moved so that none covers another and none lies below `bottom`."""
    order = sorted(heights, key=lambda name: -heights[name])  # the lowest on the page first
    placed: dict[str, float] = {}
    for name in order:
        placed[name] = min(heights[name], bottom)
        bottom = placed[name] - step
    return placed


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("compare", Compare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
