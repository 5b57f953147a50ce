"""``{field-map}``: every method by family and year, with what builds on what.

A drawing where there is room, a list where there is not; both from the registry, and each method in
both leads to its review, or to its paper while it is not written.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import registry
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from directives.base import BookDirective
from directives.drawing import external, inline, joined, paragraph
from directives.words import say

# Columns of the drawing: the first year of each. Early decades share a column.
COLUMNS = (0, 1980, 2020, 2021, 2022, 2023)
#: Sizes in drawing units. Boxes stand on a lattice of columns and rows; lines run between them: in
#: the gutter before or after a column, or between two rows. A lane's name has a line of its own.
BOX, GUTTER, ROW, NAME, GAP, HEAD = 94, 18, 36, 24, 4, 26
#: Places for lines side by side in a gutter; what is left of it holds the arrow's head.
TRACKS, TRACK = 3, 3


@dataclass(frozen=True)
class Box:
    """Where a method stands; x and y are the middle of its box, in drawing units."""

    method: registry.Method
    column: int
    x: float
    y: float


class field_map(nodes.General, nodes.Element):  # noqa: N801  (docutils names its nodes so)
    """The drawing; it becomes SVG when its page is written, since only then links are known."""


class FieldMap(BookDirective):
    """The map of the field."""

    def run(self) -> list[nodes.Node]:
        """Draw it twice: as SVG and as a list."""
        known = self.load()
        drawing = field_map(registry=known, language=self.language, docname=self.env.docname)
        out = nodes.container(classes=["book-map"])
        out += paragraph(self.say("field map help"), classes=["book-note"])
        out += drawing
        out += self.as_list(known)
        return [out]

    def as_list(self, known: registry.Registry) -> nodes.container:
        """The same for a narrow screen: what is written line by line, what is planned in one."""
        box = nodes.container(classes=["book-map-list"])
        for family in known.families.values():
            methods = sorted(known.of_family(family.id), key=lambda m: m.year)
            if not methods:
                continue
            box += nodes.rubric("", family.name[self.language])
            items = [self.item(m, known) for m in methods if m.written]
            if items:
                box += nodes.bullet_list("", *(nodes.list_item("", paragraph(i)) for i in items))
            planned = [self.planned(m, known) for m in methods if not m.written]
            if planned:
                text = [nodes.Text(f"{self.say('planned')}: "), *joined(planned)]
                box += paragraph(text, classes=["book-note"])
        return box

    def item(self, method: registry.Method, known: registry.Registry) -> list[nodes.Node]:
        """Year, name and what the method builds on."""
        out: list[nodes.Node] = [inline(f"{method.year} ", "book-year"), self.to_method(method)]
        if method.builds_on:
            names = [known.method(m).title(self.language) for m in method.builds_on]
            out.append(inline([nodes.Text(" ← "), *joined(names)], "book-before"))
        return out

    def planned(self, method: registry.Method, known: registry.Registry) -> list[nodes.Node]:
        """Name, with a link to the paper, and year."""
        reference = known.reference(method)
        name = method.title(self.language)
        link = reference.link if reference else None
        return [external(name, link) if link else nodes.Text(name), nodes.Text(f" {method.year}")]


def column_of(year: int) -> int:
    """The column a year falls into."""
    return max(i for i, first in enumerate(COLUMNS) if year >= first)


def column_title(column: int, language: str) -> str:
    """A column's heading: one year, or a range."""
    first = COLUMNS[column]
    if column == len(COLUMNS) - 1:
        return say("since", language, first)
    following = COLUMNS[column + 1]
    if first == 0:
        return say("before", language, following - 1)
    return str(first) if following - first == 1 else f"{first}–{following - 1}"


def place(known: registry.Registry) -> tuple[dict[str, Box], list[tuple[str, float, float]], float]:
    """Lay the methods out.

    Returns:
        The boxes by method id, the lanes as (family id, top, height), and the whole height.
    """
    boxes: dict[str, Box] = {}
    lanes = []
    top = float(HEAD)
    for family in known.families:
        columns: dict[int, list[registry.Method]] = {}
        for method in sorted(known.of_family(family), key=lambda m: m.year):
            columns.setdefault(column_of(method.year), []).append(method)
        if not columns:
            continue
        for column in sorted(columns):
            # In the rows of what they build on, to keep lines short; what builds on nothing last.
            rows = {m: b.y for m, b in boxes.items() if b.column < column and b.y > top}

            def nearest(method: registry.Method, rows: Mapping[str, float] = rows) -> float:
                return min((rows[m] for m in method.builds_on if m in rows), default=math.inf)

            stack = sorted(columns[column], key=nearest)
            for i, method in enumerate(stack):
                y = top + NAME + ROW * (i + 0.5)
                boxes[method.id] = Box(method, column, middle(column), y)
        height = NAME + ROW * max(len(c) for c in columns.values()) + GAP
        lanes.append((family, top, height))
        top += height
    return boxes, lanes, top


def middle(column: int) -> float:
    """The middle of a column."""
    return GUTTER + (BOX + GUTTER) * column + BOX / 2


def draw(
    known: registry.Registry,
    language: str,
    links: Mapping[str, str],
) -> str:
    """The map as SVG; `links` gives the address of each method that has one."""
    boxes, lanes, height = place(known)
    width = GUTTER + (BOX + GUTTER) * len(COLUMNS)
    parts = [
        f'<svg class="book-map-drawing" viewBox="0 0 {width} {height:g}" role="group" '
        f'aria-label="{escape(say("field map", language))}">'
    ]
    for i, (family, top, lane) in enumerate(lanes):
        kind = "lane odd" if i % 2 else "lane"
        parts.append(f'<rect class="{kind}" x="0" y="{top:g}" width="{width}" height="{lane:g}"/>')
        name = known.families[family].name[language]
        parts.append(text([name], GUTTER, top + NAME / 2 + 1, "lane-name", size=12))
    parts.append(
        '<defs><marker id="book-map-arrow" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z"/></marker></defs>'
    )
    for column in range(len(COLUMNS)):
        title = column_title(column, language)
        parts.append(text([title], middle(column), 13, "column-name", size=12))
    parts += [edge(*line) for line in routes(boxes)]
    for box in boxes.values():
        parts.append(node(box, language, links.get(box.method.id)))
    parts.append("</svg>")
    return "".join(parts)


def routes(boxes: Mapping[str, Box]) -> list[tuple[Box, Box, list[tuple[float, float]]]]:
    """The lines from a method to one that takes up its idea: start, end and corners.

    A line leaves its box sideways, runs along gutters and between rows, and so crosses no box.
    Lines from different methods keep to different tracks of a gutter as long as there are tracks.
    """
    ends = [(boxes[m], box) for box in boxes.values() for m in box.method.builds_on]
    ends.sort(key=lambda pair: not always(*pair))  # what is always seen chooses its track first
    tracks: dict[int, list[str]] = {}

    def lane(gutter: int, source: Box) -> float:
        users = tracks.setdefault(gutter, [])
        if source.method.id not in users:
            users.append(source.method.id)
        return (BOX + GUTTER) * gutter + 4 + TRACK * (users.index(source.method.id) % TRACKS)

    found = []
    for start, end in ends:
        right = end.column > start.column
        first = lane(start.column + right, start)
        points = [(start.x + (BOX if right else -BOX) / 2, start.y), (first, start.y)]
        between = range(min(start.column, end.column) + 1, max(start.column, end.column))
        if any(b.y == end.y and b.column in between for b in boxes.values()):
            along = end.y + (ROW if start.y > end.y else -ROW) / 2  # beside the boxes in its way
            second = lane(end.column + (end.column < start.column), start)
            points += [(first, along), (second, along), (second, end.y)]
        else:
            points.append((first, end.y))
        points.append((end.x + (BOX if end.column < start.column else -BOX) / 2, end.y))
        found.append((start, end, points))
    return found


def always(start: Box, end: Box) -> bool:
    """Whether a line is seen always; one that touches a planned method only on demand."""
    return start.method.written and end.method.written


def edge(start: Box, end: Box, points: Sequence[tuple[float, float]]) -> str:
    """A line with an arrow's head at its end."""
    kind = "edge" if always(start, end) else "edge quiet"
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
    return (
        f'<path class="{kind}" data-from="{start.method.id}" data-to="{end.method.id}" '
        f'd="{path}" marker-end="url(#book-map-arrow)"/>'
    )


def node(box: Box, language: str, link: str | None) -> str:
    """A method's box, as a link where it leads somewhere."""
    method = box.method
    kind = "written" if method.written else "planned"
    state = say("written" if method.written else "planned", language)
    label = escape(f"{method.title(language)}, {method.year}, {state}")
    height = ROW - 6
    shape = (
        f'<rect x="{box.x - BOX / 2:g}" y="{box.y - height / 2:g}" width="{BOX}" '
        f'height="{height}" rx="5"/>'
    )
    lines = wrapped(method.title(language), 13)
    size = 12 if max(map(measure, lines)) < 15 else 10.5  # one long word cannot be wrapped
    inner = shape + text(lines, box.x, box.y, "name", size=size)
    group = f'class="method {kind}" data-id="{method.id}"'
    if link is None:
        return f"<g {group}>{inner}</g>"
    return f'<a {group} href="{escape(link)}" aria-label="{label}">{inner}</a>'


def wrapped(name: str, width: int) -> list[str]:
    """A name on one line or on two."""
    words = name.split(" ")
    if measure(name) <= width or len(words) == 1:
        return [name]
    cuts = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    return list(min(cuts, key=lambda c: max(measure(c[0]), measure(c[1]))))


def measure(name: str) -> float:
    """Width of a name in Latin letters; a Hangul syllable counts for nearly two."""
    return sum(1.75 if ord(c) > 0x1100 and c not in "–—" else 1 for c in name)


def text(lines: Sequence[str], x: float, y: float, kind: str, *, size: float) -> str:
    """One or two lines of text around (x, y)."""
    first = y - (len(lines) - 1) * size * 0.525
    spans = " ".join(
        f'<tspan x="{x:g}" y="{first + i * size * 1.05:.1f}">{escape(line)}</tspan>'
        for i, line in enumerate(lines)
    )
    style = "" if size == 12 else f' style="font-size: {size:g}px"'
    return f'<text class="{kind}"{style} dominant-baseline="central">{spans}</text>'


def visit_html(self: HTML5Translator, item: field_map) -> None:
    """Write the drawing, with addresses relative to its page."""
    known, language = item["registry"], item["language"]
    links = {}
    for method in known.methods.values():
        reference = known.reference(method)
        if method.written:
            links[method.id] = self.builder.get_relative_uri(item["docname"], method.review)
        elif reference and reference.link:
            links[method.id] = reference.link
    self.body.append(f'<div class="book-map-box">{draw(known, language, links)}</div>')
    raise nodes.SkipNode


def visit_other(self: nodes.NodeVisitor, item: field_map) -> None:
    """Other formats have the list."""
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the node and the directive."""
    other = (visit_other, None)
    app.add_node(field_map, html=(visit_html, None), latex=other, text=other, man=other)
    app.add_directive("field-map", FieldMap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
