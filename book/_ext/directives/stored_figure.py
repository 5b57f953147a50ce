"""``{stored-figure}``: a figure of a notebook, taken from its stored outputs in the build.

The arguments are the notebook, the section of it in which the figure stands, and, where the section
has several, which of them (the first is 1). The body is the caption. Below it stand where the
figure comes from and, for figures that are or are drawn from photographs, their credit.
"""

import stored_figures
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import external, inline

#: Whose pictures a figure shows or is drawn from: name, licence (Korean, English) and its address.
CREDITS = {
    "elpv": (
        "ELPV",
        ("CC BY-NC-SA 4.0", "CC BY-NC-SA 4.0"),
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    ),
    "textile": (
        "conformal-clip-data",
        ("MIT", "MIT"),
        "https://pypi.org/project/conformal-clip-data/",
    ),
    "textures": (
        "CC0Textures, DeviantArt (scikit-image)",
        ("CC0", "CC0"),
        "https://creativecommons.org/publicdomain/zero/1.0/",
    ),
    "coins": (
        "Brooklyn Museum (scikit-image)",
        ("알려진 저작권 제한 없음", "no known copyright restrictions"),
        "https://www.brooklynmuseum.org/opencollection/archives/image/51611",
    ),
}


def credit(name: str) -> str:
    """One of the known sources, or "none" for what is computed from no picture."""
    return directives.choice(name, (*CREDITS, "none"))


class StoredFigure(BookDirective):
    """One stored figure with its alternative text, caption, origin and credit."""

    required_arguments = 2
    optional_arguments = 1
    has_content = True
    option_spec = {"credit": credit}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """Draw the figure; one that does not exist is an error of the page."""
        notebook, section = self.arguments[:2]
        number = self.arguments[2] if len(self.arguments) > 2 else "1"
        image = self.picture(self.choose(notebook, section, number))
        out = nodes.figure("", image, classes=["book-figure", "book-stored"])
        return self.framed(out, notebook, section)

    def framed(self, out: nodes.figure, notebook: str, section: str) -> list[nodes.Node]:
        """The figure with caption, origin and credit; and what is wrong with the caption."""
        caption = nodes.caption()
        text = " ".join(line.strip() for line in self.content)
        children, messages = self.parse_inline(text)
        caption += children
        out += caption
        samples = notebook.startswith("guide/")  # no page of its own
        beside: list[nodes.Node] = [] if samples else [self.origin(notebook, section)]
        if (name := self.options.get("credit", "elpv")) != "none":
            source, licences, url = CREDITS[name]
            licence = licences[self.language != "ko"]
            beside += [nodes.Text(" · ")] if beside else []
            beside += [nodes.Text(f"{self.say('pictures')}: {source}, "), external(licence, url)]
        if beside:
            legend = nodes.legend("", nodes.paragraph("", "", *beside, classes=["book-note"]))
            out += legend
        return [out, *messages]

    def choose(self, notebook: str, section: str, number: str) -> stored_figures.Figure:
        """The figure that the arguments name."""
        home = "book" if notebook.startswith("guide/") else "notebooks"
        every = self.figures_of(f"{home}/{notebook}")
        there = [figure for figure in every if figure.section == section]
        if not number.isdigit() or not 0 < int(number) <= len(there):
            known = ", ".join(dict.fromkeys(figure.section for figure in every)) or "none"
            raise self.error(
                f"{self.name}: {notebook} has {len(there)} figures in section {section!r}, "
                f"number {number!r} was asked for; sections with figures: {known}"
            )
        return there[int(number) - 1]

    def origin(self, notebook: str, section: str) -> nodes.Node:
        """A link to the section of the notebook."""
        return addnodes.pending_xref(
            "",
            inline(self.say("from the notebook"), "std-ref"),
            refdomain="std",
            reftype="ref",
            reftarget=f"{notebook.replace('/', '-')}-nb-{section}",
            refdoc=self.env.docname,
            refexplicit=True,
            refwarn=True,
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("stored-figure", StoredFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
