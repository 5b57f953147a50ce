"""``{method-card}``: the facts of one method at a glance."""

from typing import Any

import records
import registry
from docutils import nodes
from page_links import colab_url
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import external, inline, interval, joined, number, pairs, paragraph


class MethodCard(BookDirective):
    """The card at the head of a review; its argument is the method's id."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw the card."""
        method = self.find(self.arguments[0].strip())
        known = self.load()
        reference = known.reference(method)
        items: list[tuple[str, list[nodes.Node]]] = []
        if reference:
            title = external(reference.title, reference.link) if reference.link else None
            items.append((self.say("paper"), [title or nodes.Text(reference.title)]))
            items.append((self.say("authors"), [nodes.Text(", ".join(reference.authors))]))
            where = reference.venue or self.say("preprint")
            items.append((self.say("venue"), [nodes.Text(f"{where}, {reference.year}")]))
        items.append((self.say("links"), self.links(method, reference)))
        if method.written:
            items.append((self.say("notebook"), self.notebook(method)))
        items.append((self.say("difficulty"), [self.difficulty(method)]))
        items.append((self.say("prerequisites"), self.prerequisites(method, known)))
        if spent := self.spent(method):
            items.append((self.say("cost"), [nodes.Text(spent)]))
        if expected := self.expected(method):
            items.append((self.say("expected"), [nodes.Text(expected)]))
        before = [self.to_method(known.method(m)) for m in method.builds_on]
        after = [self.to_method(m) for m in known.leads_to(method.id)]
        for word, group in (("builds on", before), ("leads to", after)):
            items.append((self.say(word), joined(group) if group else [self.none()]))
        card = nodes.container(classes=["book-card"])
        card += pairs(items)
        return [card]

    def none(self) -> nodes.Node:
        """The word for nothing."""
        return nodes.Text(self.say("none"))

    def links(
        self, method: registry.Method, reference: registry.Reference | None
    ) -> list[nodes.Node]:
        """Paper, code with its licence, the blog summary that the reading list links."""
        out: list[nodes.Node] = []
        if reference and reference.arxiv:
            out.append(
                external(f"arXiv {reference.arxiv}", f"https://arxiv.org/abs/{reference.arxiv}")
            )
        if reference and reference.doi:
            out.append(external("DOI", f"https://doi.org/{reference.doi}"))
        if method.code:
            link = external(self.say("official code"), method.code.url)
            out.append(inline([link, nodes.Text(f" ({method.code.license[self.language]})")]))
        else:
            out.append(nodes.Text(self.say("no official code")))
        out += self.summary(method)
        return joined(out, " · ")

    def notebook(self, method: registry.Method) -> list[nodes.Node]:
        """The notebook on the site, and in Colab where that can work."""
        out = [self.to(method.notebook, f"{method.id}.ipynb")]
        if url := colab_url(self.config, method.notebook):
            out.append(external(self.say("open in Colab"), url))
        return joined(out, " · ")

    def difficulty(self, method: registry.Method) -> nodes.Node:
        """Dots and a word."""
        dots = "●" * method.difficulty + "○" * (3 - method.difficulty)
        return nodes.Text(f"{dots} {self.say(f'difficulty {method.difficulty}')}")

    def prerequisites(self, method: registry.Method, known: registry.Registry) -> list[nodes.Node]:
        """What to read first."""
        lines = []
        for word in ("necessary", "helpful"):
            names = [self.to_method(known.method(m)) for m in getattr(method, word)]
            if names:
                lines.append(paragraph(f"{self.say(word)}: ", joined(names)))
        return lines or [self.none()]

    def spent(self, method: registry.Method) -> str:
        """Seconds and memory of one run."""
        cost = self.cost(method)
        parts = []
        if cost.get("seconds") is not None:
            parts.append(self.say("seconds", number(cost["seconds"], 0)))
        if cost.get("peak_memory_mb") is not None:
            parts.append(self.say("memory", f"{cost['peak_memory_mb']:,.0f}"))
        if parts and cost.get("threads") is not None:
            parts.append(self.say("threads", cost["threads"]))
        return ", ".join(parts)

    def expected(self, method: registry.Method) -> str:
        """The measured image AUROC with its interval."""
        record = records.report(self.pieces(method))
        if record is None or "image_auroc" not in record.get("metrics", {}):
            return ""
        value = record["metrics"]["image_auroc"]
        shown = " ".join(interval(value, record["intervals"].get("image_auroc"))).strip()
        return f"{self.say('image_auroc')} {shown} · {record['dataset']}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("method-card", MethodCard)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
