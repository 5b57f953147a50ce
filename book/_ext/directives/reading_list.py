"""``{reading-list}``: the list the book grows from."""

from collections.abc import Sequence
from typing import Any

import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import badge, external, inline, joined, paragraph


class ReadingList(BookDirective):
    """Every listed paper in the list's order, word for word, with its status and links."""

    def run(self) -> list[nodes.Node]:
        """Draw one list per section."""
        known = self.load()
        out = nodes.container(classes=["book-reading-list"])
        out += nodes.rubric("", self.say("surveys"))
        out += listing([self.survey(s, known) for s in known.surveys])
        for family in known.families.values():
            methods = known.of_family(family.id)
            if methods:
                out += nodes.rubric("", family.name[self.language])
                out += listing([self.item(m, known) for m in methods])
        return [out]

    def survey(self, survey: registry.Survey, known: registry.Registry) -> list[nodes.Node]:
        """A survey paper."""
        reference = known.reference(survey)
        link = (reference.link if reference else None) or survey.listed.paper
        title = external(survey.listed.title, link) if link else nodes.Text(survey.listed.title)
        return [title, nodes.Text(" "), self.badge(survey.status == "written")]

    def item(self, method: registry.Method, known: registry.Registry) -> list[nodes.Node]:
        """A method: its listed title, its status, its links and what was corrected."""
        reference = known.reference(method)
        title = method.listed.title if method.listed else (reference and reference.title) or ""
        link = reference.link if reference else None
        if method.listed and method.listed.group:
            title = f"{method.listed.group}: {title}"
        out: list[nodes.Node] = [inline(method.title(self.language), "book-name")]
        out += [nodes.Text(" "), self.badge(method.written)]
        if method.listed is None:
            out += [nodes.Text(" "), badge(self.say("beyond the list"))]
        out += [nodes.Text(" "), external(title, link) if link else nodes.Text(title)]
        links: list[nodes.Node] = []
        if method.written:
            links.append(self.to(method.review, self.say("review")))
            links.append(self.to(method.notebook, self.say("notebook")))
        links += self.summary(method)
        for correction in known.corrections:
            if correction.about == method.id and correction.correct:
                links.append(inline(self.say("corrected", correction.correct), "book-corrected"))
        if links:
            out += [nodes.Text(" · "), *joined(links, " · ")]
        return out

    def badge(self, written: bool) -> nodes.Node:
        """Written or planned."""
        return (
            badge(self.say("written"), "good") if written else badge(self.say("planned"), "quiet")
        )


def listing(items: Sequence[Sequence[nodes.Node]]) -> nodes.enumerated_list:
    """A numbered list."""
    out = nodes.enumerated_list(enumtype="arabic", prefix="", suffix=".")
    for item in items:
        out += nodes.list_item("", paragraph(list(item)))
    return out


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("reading-list", ReadingList)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
