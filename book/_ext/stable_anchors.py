"""A section's address is its explicit label, not the words of its heading.

Docutils names a section after its heading first, which differs between the languages (and is `id3`
for a Korean heading). With the label first, the page's contents, the paragraph signs and the search
all lead to the same `#label` in both languages, so the language switch can keep the place.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class ExplicitLabelFirst(SphinxTransform):
    """Move the ids of explicit labels to the front of a section's ids."""

    default_priority = 700  # after docutils has moved labels into sections (260)

    def apply(self, **kwargs: Any) -> None:
        """Reorder the ids of every section."""
        explicit = {
            self.document.nameids[name]
            for name, is_explicit in self.document.nametypes.items()
            if is_explicit and self.document.nameids.get(name)
        }
        for section in self.document.findall(nodes.section):
            section["ids"].sort(key=lambda identifier: identifier not in explicit)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transform."""
    app.add_transform(ExplicitLabelFirst)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
