"""``{measured}``: what the notebook measured, drawn from its stored record."""

from collections.abc import Mapping
from typing import Any

import records
from components import (
    METRICS,
    BookDirective,
    Content,
    badge,
    details,
    inline,
    measured,
    number,
    paragraph,
    table,
)
from docutils import nodes
from sphinx.application import Sphinx


class Measured(BookDirective):
    """The result of one notebook; its argument is the method's id."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw the result, or say that there is none yet."""
        method = self.find(self.arguments[0].strip())
        pieces = self.pieces(method)
        record = records.report(pieces)
        out = nodes.container(classes=["book-measured"])
        if record is None:
            out += paragraph(self.say("no record"), classes=["book-note"])
            return [out]
        out += self.data_line(record)
        rows, kinds = self.rows(record)
        head = [self.say(w) for w in ("metric", "measured", "band")]
        out += table(head, rows, row_classes=kinds)
        measures = [p for p in pieces if p["kind"] == "measure"]
        if measures:
            title = f"{self.say('more measured')} ({len(measures)})"
            out += details(title, self.others(measures))
        out += details(self.say("settings"), self.settings(record))
        return [out]

    def data_line(self, record: Mapping[str, Any]) -> nodes.paragraph:
        """Data set, counts and licence."""
        counts = record.get("counts", {})
        named = self.say("data line", train=counts.get("train"), test=counts.get("test"))
        text = [inline(str(record["dataset"]), "book-code"), nodes.Text(f": {named}. ")]
        if record.get("license"):
            text.append(nodes.Text(f"{self.say('licence of the data')}: {record['license']}."))
        return paragraph(text, classes=["book-note"])

    def rows(self, record: Mapping[str, Any]) -> tuple[list[list[Any]], list[str]]:
        """Metrics, then the trivial baselines, then the untrained twin."""
        bands = record.get("bands", {})
        rows, kinds = [], []
        for key in METRICS:
            if key in record["metrics"]:
                value = record["metrics"][key]
                shown = measured(value, record.get("intervals", {}).get(key))
                rows.append([self.say(key), shown, self.judged(value, bands.get(key))])
            elif key in record.get("missing", {}):
                reason = self.say("not available", record["missing"][key])
                rows.append([self.say(key), reason, "–"])
            else:
                continue
            kinds.append("")
        for name, value in record.get("baselines", {}).items():
            band = bands.get(f"baseline {name}")
            rows.append([self.baseline(name), number(value), self.judged(value, band)])
            kinds.append("book-baseline")
        if twin := record.get("twin"):
            value, band = twin["image_auroc"], bands.get(f"untrained twin, {twin['name']}")
            label = self.say("twin", twin["name"])
            rows.append([label, number(value), self.judged(value, band)])
            kinds.append("book-baseline")
        return rows, kinds

    def judged(self, value: float | None, band: list[float] | None) -> Content:
        """The band and whether the value lies in it."""
        if value is None or band is None:
            return "–"
        inside = band[0] <= value <= band[1]
        word = self.say("in band" if inside else "out of band")
        shown = inline(f"{number(band[0])}–{number(band[1])}", "book-number")
        return [shown, nodes.Text(" "), badge(word, "good" if inside else "bad")]

    def others(self, measures: list[Mapping[str, Any]]) -> nodes.table:
        """Every other printed number with its band."""
        rows = [
            [str(p["name"]), number(p["value"]), self.judged(p["value"], p.get("band"))]
            for p in measures
        ]
        return table([self.say(w) for w in ("metric", "value", "band")], rows)

    def settings(self, record: Mapping[str, Any]) -> nodes.table:
        """Everything needed to run it again."""
        rows: list[list[Any]] = [
            [self.say("fingerprint"), inline(str(record["fingerprint"]), "book-code")]
        ]
        for word in ("weights", "threshold", "threads"):
            value = record.get(word)
            if value is not None:
                label = "threads" if word == "threads" else self.say(word)
                rows.append([label, f"{value:.4g}" if isinstance(value, float) else str(value)])
        for name, value in record.get("settings", {}).items():
            rows.append([inline(name, "book-code"), inline(repr(value), "book-code")])
        for name, value in record.get("counts", {}).items():
            rows.append([inline(f"images, {name}", "book-code"), str(value)])
        versions = record.get("versions", {})
        rows += [[name, str(value)] for name, value in versions.items()]
        return table([self.say("setting"), self.say("value")], rows)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
