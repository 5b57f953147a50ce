"""``{headline}``: numbers that a paper reports, each with the place where it was seen."""

from typing import Any

import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import inline, paragraph, table
from directives.words import METRICS


class HeadlineTable(BookDirective):
    """Its argument is the method's id."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw the table and, below it, the sources its last column points to."""
        method = self.find(self.arguments[0].strip())
        out = nodes.container(classes=["book-headline"])
        if not method.headline:
            out += paragraph(self.say("no numbers"), classes=["book-note"])
            return [out]
        sources = list(dict.fromkeys(self.source(item) for item in method.headline))
        rows = [self.row(item, sources) for item in method.headline]
        head = [self.say(w) for w in ("metric", "setting", "value", "source")]
        datasets = {item.dataset for item in method.headline}
        if len(datasets) > 1:
            head.insert(0, self.say("dataset"))
            for row, item in zip(rows, method.headline, strict=True):
                row.insert(0, item.dataset)
        title = "" if len(datasets) > 1 else f" · {datasets.pop()}"
        out += paragraph(self.say("numbers of the paper") + title, classes=["book-caption"])
        out += table(head, rows)
        items = nodes.enumerated_list(enumtype="arabic", prefix="", suffix=".")
        for source in sources:
            items += nodes.list_item("", paragraph(source))
        out += paragraph(self.say("source"), classes=["book-caption"])
        out += items
        return [out]

    def source(self, item: registry.Headline) -> str:
        """Where the number was seen; second-hand if its source only passes it on."""
        source = item.source[self.language]
        return source if item.mark == "V" else self.say("as reported by", source)

    def row(self, item: registry.Headline, sources: list[str]) -> list[Any]:
        """One number."""
        metric = item.metric[self.language]
        known = {english: key for key, (_, english) in METRICS.items()}
        if metric in known:
            metric = self.say(known[metric])
        setting = item.setting[self.language] if item.setting else "–"
        shown = f"{item.bound} {item.value}".strip() + self.unit(item)
        value = inline(shown, "book-number")
        return [metric, setting, value, f"[{sources.index(self.source(item)) + 1}]"]

    def unit(self, item: registry.Headline) -> str:
        """The unit as it follows the number: a Korean counter without a space."""
        unit = item.unit[self.language]
        return unit if "가" <= unit[0] <= "힣" else f" {unit}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("headline", HeadlineTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
