"""``{family-table}``: the methods of one family compared."""

from typing import Any

import records
import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import Content, badge, external, measured, number, table


class FamilyTable(BookDirective):
    """Its argument is the family's id."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw the table in the reading list's order."""
        known = self.load()
        try:
            methods = known.of_family(self.arguments[0].strip())
        except registry.RegistryError as error:
            raise self.error(f"{self.name}: {error}") from error
        words = ("method", "year", "needs", "gives", "time", "result")
        rows = [self.row(method, known) for method in methods]
        out = nodes.container(classes=["book-family"])
        out += table([self.say(w) for w in words], rows)
        return [out]

    def row(self, method: registry.Method, known: registry.Registry) -> list[Any]:
        """One method; what is unknown is a dash."""
        name: list[nodes.Node] = [self.name_of(method, known)]
        if method.listed is None:
            name += [nodes.Text(" "), badge(self.say("beyond the list"))]
        needs = method.needs[self.language] if method.needs else "–"
        gives = method.gives[self.language] if method.gives else "–"
        spent = "–"
        shown: Content = "–"
        if method.written:
            seconds = self.cost(method).get("seconds")
            spent = "–" if seconds is None else self.say("seconds", number(seconds, 0))
            record = records.report(self.pieces(method)) or {}
            value = record.get("metrics", {}).get("image_auroc")
            shown = measured(value, record.get("intervals", {}).get("image_auroc"))
        return [name, str(method.year), needs, gives, spent, shown]

    def name_of(self, method: registry.Method, known: registry.Registry) -> nodes.Node:
        """A link to the review, else to the paper."""
        reference = known.reference(method)
        if method.written or reference is None or reference.link is None:
            return self.to_method(method)
        link = external(method.title(self.language), reference.link)
        return nodes.inline("", "", link, nodes.Text(" "), badge(self.say("planned"), "quiet"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("family-table", FamilyTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
