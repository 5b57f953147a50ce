"""A column without a heading gets one that only a screen reader says.

The first column of a comparison needs no word for those who see it; an empty heading says nothing
to those who hear it.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

TEXTS = {"ko": "항목", "en": "Item"}


class NamedColumns(SphinxPostTransform):
    """Fill the empty headings of all tables."""

    default_priority = 810
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Do it for one page."""
        for head in self.document.findall(nodes.thead):
            for entry in head.findall(nodes.entry):
                if not entry.astext().strip():
                    text = nodes.inline(
                        text=TEXTS[self.config.language], classes=["visually-hidden"]
                    )
                    entry.children = []
                    entry += nodes.paragraph("", "", text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transform."""
    app.add_post_transform(NamedColumns)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
