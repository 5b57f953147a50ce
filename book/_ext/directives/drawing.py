"""Small builders of the nodes that directives draw."""

import math
from collections.abc import Iterable, Sequence
from html import escape

from docutils import nodes

Content = str | nodes.Node | Sequence[nodes.Node]


def number(value: float | None, digits: int = 3) -> str:
    """A number as the pages print it; a dash where there is none."""
    if value is None:
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0: no −0.000


def interval(value: float | None, pair: Sequence[float] | None) -> tuple[str, str]:
    """``0.957`` and ``[0.940, 0.974]``; without a pair the second is empty.

    A narrow interval gets more digits, so that two of its half-width's say something:
    ``0.0003`` and ``[−0.0041, 0.0047]``, ``0.00032`` and ``[0.00011, 0.00054]``.
    """
    if value is None or not pair:
        return number(value), ""
    half = (pair[1] - pair[0]) / 2
    digits = min(max(1 - math.floor(math.log10(half)), 3), 6) if half > 0 else 3
    low, high = (number(v, digits) for v in pair)
    return number(value, digits), f"[{low}, {high}]"


def measured(value: float | None, pair: Sequence[float] | None) -> list[nodes.Node]:
    """A value and its interval, each kept on one line."""
    shown, span = interval(value, pair)
    out: list[nodes.Node] = [inline(shown, "book-number")]
    if span:
        out += [nodes.Text(" "), inline(span, "book-number", "book-interval")]
    return out


def inline(content: Content, *classes: str) -> nodes.inline:
    """A span."""
    return nodes.inline("", "", *_inlines(content), classes=list(classes))


def badge(text: str, kind: str = "muted") -> nodes.inline:
    """A small label; `kind` is good, fair, bad, muted or quiet (without a frame)."""
    return inline(text, "book-badge", f"book-badge-{kind}")


def external(text: Content, url: str) -> nodes.reference:
    """A link out of the book."""
    return nodes.reference("", "", *_inlines(text), refuri=url, internal=False)


def paragraph(*content: Content, classes: Iterable[str] = ()) -> nodes.paragraph:
    """A paragraph of text, links and spans."""
    children = [node for part in content for node in _inlines(part)]
    return nodes.paragraph("", "", *children, classes=list(classes))


def joined(parts: Sequence[Content], separator: str = ", ") -> list[nodes.Node]:
    """Contents with a separator between them."""
    out: list[nodes.Node] = []
    for part in parts:
        if out:
            out.append(nodes.Text(separator))
        out += _inlines(part)
    return out


def html(text: str) -> nodes.raw:
    """Markup that only an HTML page shows."""
    return nodes.raw("", text, format="html")


def details(summary: str, *children: nodes.Node, open_: bool = False) -> list[nodes.Node]:
    """A part that opens and closes, without script."""
    start = f'<details class="book-details"{" open" if open_ else ""}>'
    return [html(f"{start}<summary>{escape(summary)}</summary>"), *children, html("</details>")]


def table(
    head: Sequence[Content],
    rows: Sequence[Sequence[Content]],
    *,
    classes: Iterable[str] = (),
    row_classes: Sequence[str] | None = None,
    stub: bool = True,
    row_ids: Sequence[str] | None = None,
) -> nodes.table:
    """A table.

    Args:
        head: the columns' headings.
        rows: cells, row by row.
        classes, row_classes: for the style sheet.
        stub: whether the first column heads its rows.
        row_ids: anchors, one for each row.
    """
    group = nodes.tgroup(cols=len(head))
    for i in range(len(head)):
        spec = nodes.colspec(colwidth=1)
        if stub and i == 0:
            spec["stub"] = 1
        group += spec
    group += nodes.thead("", _row(head))
    body = nodes.tbody()
    for i, cells in enumerate(rows):
        row = _row(cells, row_classes[i] if row_classes else "")
        if row_ids:
            row["ids"].append(row_ids[i])
        body += row
    group += body
    return nodes.table("", group, classes=["book-table", *classes])


def pairs(items: Sequence[tuple[str, Sequence[nodes.Node]]]) -> nodes.definition_list:
    """Terms and what stands beside them."""
    out = nodes.definition_list(classes=["book-pairs"])
    for term, children in items:
        body = [c if isinstance(c, nodes.Element) and _block(c) else None for c in children]
        inner = list(children) if all(body) else [paragraph(*children)]
        item = nodes.definition_list_item()
        item += nodes.term(term, term)
        item += nodes.definition("", *inner)
        out += item
    return out


def _inlines(content: Content) -> list[nodes.Node]:
    if isinstance(content, str):
        return [nodes.Text(content)]
    return [content] if isinstance(content, nodes.Node) else list(content)


def _block(node: nodes.Node) -> bool:
    return isinstance(node, nodes.paragraph | nodes.bullet_list | nodes.container)


def _row(cells: Sequence[Content], classes: str = "") -> nodes.row:
    row = nodes.row(classes=classes.split())
    for cell in cells:
        row += nodes.entry("", paragraph(cell))
    return row
