"""``{field-map}``: every method by family and year, with what builds on what.

A drawing where there is room, a list where there is not; both from the registry, and each method in
both leads to its review, or to its paper while it is not written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import registry
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from directives.base import BookDirective
from directives.drawing import badge, external, inline, joined, paragraph
from directives.words import say

# Columns of the drawing: the first year of each. Early decades share a column.
COLUMNS = (0, 1980, 2010, 2020, 2021, 2022, 2023)
LABEL, COLUMN, BOX, ROW, GAP, HEAD = 84, 100, 84, 34, 12, 26


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
        """The same for a narrow screen."""
        box = nodes.container(classes=["book-map-list"])
        for family in known.families.values():
            methods = sorted(known.of_family(family.id), key=lambda m: m.year)
            if not methods:
                continue
            box += nodes.rubric("", family.name[self.language])
            items = nodes.bullet_list()
            for method in methods:
                items += nodes.list_item("", paragraph(self.item(method, known)))
            box += items
        return box

    def item(self, method: registry.Method, known: registry.Registry) -> list[nodes.Node]:
        """Year, name, status and what the method builds on."""
        out: list[nodes.Node] = [inline(f"{method.year} ", "book-year")]
        reference = known.reference(method)
        if method.written or not (reference and reference.link):
            out.append(self.to_method(method))
        else:
            link = external(method.title(self.language), reference.link)
            out += [link, nodes.Text(" "), badge(self.say("planned"), "quiet")]
        if method.builds_on:
            names = [known.method(m).title(self.language) for m in method.builds_on]
            out.append(inline([nodes.Text(" ← "), *joined(names)], "book-before"))
        return out


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
        methods = known.of_family(family)
        if not methods:
            continue
        columns: dict[int, list[registry.Method]] = {}
        for method in sorted(methods, key=lambda m: m.year):
            columns.setdefault(column_of(method.year), []).append(method)
        height = ROW * max(len(c) for c in columns.values()) + GAP
        for column, stack in columns.items():
            start = top + (height - ROW * len(stack)) / 2
            for i, method in enumerate(stack):
                x = LABEL + COLUMN * (column + 0.5)
                boxes[method.id] = Box(method, column, x, start + ROW * (i + 0.5))
        lanes.append((family, top, height))
        top += height
    return boxes, lanes, top + 4


def draw(
    known: registry.Registry,
    language: str,
    links: Mapping[str, str],
) -> str:
    """The map as SVG; `links` gives the address of each method that has one."""
    boxes, lanes, height = place(known)
    width = LABEL + COLUMN * len(COLUMNS)
    parts = [
        f'<svg class="book-map-drawing" viewBox="0 0 {width} {height:g}" role="group" '
        f'aria-label="{escape(say("field map", language))}">'
    ]
    for i, (family, top, lane) in enumerate(lanes):
        kind = "lane odd" if i % 2 else "lane"
        parts.append(f'<rect class="{kind}" x="0" y="{top:g}" width="{width}" height="{lane:g}"/>')
        lines = wrapped(known.families[family].name[language], 12)
        parts.append(text(lines, 8, top + lane / 2, "lane-name", size=14))
    parts.append(
        '<defs><marker id="book-map-arrow" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L6 3L0 6z"/></marker></defs>'
    )
    for column in range(len(COLUMNS)):
        title = column_title(column, language)
        parts.append(text([title], LABEL + COLUMN * (column + 0.5), 13, "column-name", size=14))
    for box in boxes.values():
        for other in box.method.builds_on:
            parts.append(edge(boxes[other], box))
    for box in boxes.values():
        parts.append(node(box, language, links.get(box.method.id)))
    parts.append("</svg>")
    return "".join(parts)


def edge(start: Box, end: Box) -> str:
    """A line from a method to one that takes up its idea."""
    ids = f'data-from="{start.method.id}" data-to="{end.method.id}"'
    half = BOX / 2
    if start.column == end.column:
        x, out = start.x - half, start.x - half - 9
        path = f"M{x:g} {start.y:g}C{out:g} {start.y:g} {out:g} {end.y:g} {x:g} {end.y:g}"
    else:
        sign = 1 if end.column > start.column else -1
        a, b = start.x + sign * half, end.x - sign * half
        bend = max(abs(b - a) / 2, 8) * sign
        path = f"M{a:g} {start.y:g}C{a + bend:g} {start.y:g} {b - bend:g} {end.y:g} {b:g} {end.y:g}"
    return f'<path class="edge" {ids} d="{path}" marker-end="url(#book-map-arrow)"/>'


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
    inner = f"<title>{label}</title>{shape}" + text(
        wrapped(method.title(language), 13), box.x, box.y, "name", size=11
    )
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


def text(lines: Sequence[str], x: float, y: float, kind: str, *, size: int) -> str:
    """One or two lines of text around (x, y)."""
    first = y - (len(lines) - 1) * size * 0.55
    spans = "".join(
        f'<tspan x="{x:g}" y="{first + i * size * 1.1:.1f}">{escape(line)}</tspan>'
        for i, line in enumerate(lines)
    )
    return f'<text class="{kind}" dominant-baseline="central">{spans}</text>'


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
