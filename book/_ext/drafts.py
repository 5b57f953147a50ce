"""Drafts stay out of the site: their files may be in the tree, and no page is made of them.

That holds for review and notebook of a method whose status is `draft`, and for the page of a family
that has nothing but drafts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import registry
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError


def leave_out(app: Sphinx, config: Config) -> None:
    """Exclude the files of drafts, in whatever language and format."""
    try:
        known = registry.load(Path(app.srcdir) / config.book_registry)
    except registry.RegistryError as error:
        raise ConfigError(str(error)) from error
    config.book_drafts = known.hidden()
    config.exclude_patterns += [f"{document}.*" for document in config.book_drafts]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the event."""
    app.add_config_value("book_registry", "book/methods.yml", "env")
    app.add_config_value("book_drafts", [], "env")
    app.connect("config-inited", leave_out)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
