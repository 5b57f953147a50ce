"""The directives that are drawn from the registry and the notebooks' records, one a module.

As a Sphinx extension this package loads all of them, their style sheet and their script.
"""

from typing import Any

from sphinx.application import Sphinx

MODULES = (
    "claims",
    "compare",
    "corrections",
    "cost",
    "family_table",
    "field_map",
    "front",
    "headline",
    "leaderboard",
    "learning_path",
    "measured",
    "method_card",
    "method_role",
    "quiz",
    "reading_list",
    "seeds_table",
    "stored_figure",
    "threshold_figure",
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Load the directives."""
    app.setup_extension("drafts")
    app.add_css_file("components.css")
    app.add_js_file("components.js", loading_method="defer")
    for name in MODULES:
        app.setup_extension(f"{__name__}.{name}")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
