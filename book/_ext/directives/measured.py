"""``{measured}``: what the notebook measured, drawn from its stored record."""

from collections.abc import Mapping
from typing import Any

import records
import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import Content, badge, details, inline, measured, number, paragraph, table
from directives.words import METRICS, WORDS


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
        rows, kinds = self.rows(record, method)
        head = [self.say(w) for w in ("metric", "measured", "band")]
        out += table(head, rows, row_classes=kinds)
        tables = [piece for piece in pieces if piece["kind"] == "table"]
        if tables:
            title = f"{self.say('more measured')} ({sum(len(t['rows']) for t in tables)})"
            out += details(title, *(node for t in tables for node in self.others(t, method)))
        out += details(self.say("settings"), self.settings(record))
        return [out]

    def data_line(self, record: Mapping[str, Any]) -> nodes.paragraph:
        """Data set, counts and licence."""
        counts = record.get("counts", {})
        named = self.say("data line", train=counts.get("train"), test=counts.get("test"))
        text = [inline(str(record["dataset"]), "book-code"), nodes.Text(f": {named}. ")]
        if record.get("license"):
            remarks = [self.call(part) for part in record["license"].split("; ")]
            text.append(nodes.Text(f"{self.say('licence of the data')}: {'; '.join(remarks)}."))
        return paragraph(text, classes=["book-note"])

    def rows(
        self, record: Mapping[str, Any], method: registry.Method
    ) -> tuple[list[list[Any]], list[str]]:
        """Metrics, then the trivial baselines, then the random-weights baseline."""
        bands = record.get("bands", {})
        rows, kinds = [], []
        for key in METRICS:
            if key in record["metrics"]:
                value = record["metrics"][key]
                shown = measured(value, record.get("intervals", {}).get(key))
                rows.append([self.say(key), shown, self.judged(value, bands.get(key))])
            elif key in record.get("missing", {}):
                reason = self.say("not available", self.call(record["missing"][key]))
                rows.append([self.say(key), reason, "–"])
            else:
                continue
            kinds.append("")
        for name, value in record.get("baselines", {}).items():
            band = bands.get(f"baseline {name}")
            rows.append([self.baseline(name), number(value), self.judged(value, band)])
            kinds.append("book-baseline")
        if random := record.get("random_weights"):
            name, value = random["name"], random["image_auroc"]
            band = bands.get(f"random-weights baseline, {name}")
            label = self.say("random weights", self.call(name, method))
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

    def others(self, piece: Mapping[str, Any], method: registry.Method) -> list[nodes.Node]:
        """The numbers of one experiment with their bands."""
        rows = [
            [
                self.call(row["name"], method),
                measured(row["value"], row.get("interval")),
                self.judged(row["value"], row["band"]),
            ]
            for row in piece["rows"]
        ]
        head = [self.call(piece["title"], method), self.say("value"), self.say("band")]
        return [table(head, rows)]

    def settings(self, record: Mapping[str, Any]) -> nodes.table:
        """Everything needed to run it again."""
        rows: list[list[Any]] = [
            [self.say("fingerprint"), inline(str(record["fingerprint"]), "book-code")]
        ]
        for word in ("weights", "threshold", "threads"):
            value = record.get(word)
            if value is not None:
                label = self.say("count threads" if word == "threads" else word)
                rows.append([label, f"{value:.4g}" if isinstance(value, float) else str(value)])
        for name, value in record.get("settings", {}).items():
            rows.append([inline(name, "book-code"), inline(repr(value), "book-code")])
        for name, value in record.get("counts", {}).items():
            word = f"count {name}"
            rows.append([self.say(word) if word in WORDS else name, str(value)])
        versions = record.get("versions", {})
        rows += [[name, str(value)] for name, value in versions.items()]
        return table([self.say("setting"), self.say("value")], rows)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("measured", Measured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
