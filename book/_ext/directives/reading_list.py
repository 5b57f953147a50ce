"""``{reading-list}``: the list the book grows from."""

import re
from collections.abc import Sequence
from typing import Any

import registry
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import badge, details, external, inline, joined, paragraph

HANGUL = re.compile("[가-힣]")


class ReadingList(BookDirective):
    """Every listed paper in the list's order with its links; what is planned is folded."""

    def run(self) -> list[nodes.Node]:
        """Draw what is written, then what is planned, each by family."""
        known = self.load()
        out = nodes.container(classes=["book-reading-list"])
        for written in (True, False):
            parts: list[nodes.Node] = []
            total = 0
            surveys = [s for s in known.surveys if (s.status == "written") is written]
            groups = [(self.say("surveys"), [self.survey(s, known) for s in surveys])]
            for family in known.families.values():
                methods = [m for m in known.of_family(family.id) if m.written is written]
                groups.append((family.name[self.language], [self.item(m, known) for m in methods]))
            for name, items in groups:
                if items:
                    parts += [nodes.rubric("", name), listing(items)]
                    total += len(items)
            out += parts if written else details(self.say("planned papers", total), *parts)
        return [out]

    def survey(self, survey: registry.Survey, known: registry.Registry) -> list[nodes.Node]:
        """A survey paper, with its review if there is one."""
        reference = known.reference(survey)
        link = (reference.link if reference else None) or survey.listed.paper
        title = external(survey.listed.title, link) if link else nodes.Text(survey.listed.title)
        if survey.status != "written":
            return [title]
        return [title, nodes.Text(" · "), self.to(survey.review, self.say("review"))]

    def item(self, method: registry.Method, known: registry.Registry) -> list[nodes.Node]:
        """A method: its listed title, its status, its links and what was corrected."""
        reference = known.reference(method)
        out: list[nodes.Node] = [inline(method.title(self.language), "book-name")]
        if method.listed is None:
            out += [nodes.Text(" "), badge(self.say("beyond the list"))]
        if title := self.title(method, reference):
            link = reference.link if reference else None
            out += [nodes.Text(" "), external(title, link) if link else nodes.Text(title)]
        links: list[nodes.Node] = []
        if method.written:
            links.append(self.to(method.review, self.say("review")))
            links.append(self.to(method.notebook, self.say("notebook")))
        links += self.summary(method)
        for correction in known.corrections:
            about = correction.about == method.id and correction.correct
            if about and not (self.language == "en" and HANGUL.search(correction.correct)):
                links.append(inline(self.say("corrected", correction.correct), "book-corrected"))
        if links:
            out += [nodes.Text(" · "), *joined(links, " · ")]
        return out

    def title(self, method: registry.Method, reference: registry.Reference | None) -> str:
        """As the list has it; on English pages the paper's own where the list's is Korean."""
        own = reference.title if reference else ""
        if method.listed is None:
            return own
        listed = ": ".join(part for part in (method.listed.group, method.listed.title) if part)
        return own if self.language == "en" and HANGUL.search(listed) else listed


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
