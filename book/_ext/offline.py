"""The site asks no other host for anything.

Jupyter Book always adds sphinx-thebe, whose script comes from a CDN when a reader starts live code.
This book has no live code, so its scripts and styles are left out of the pages.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def is_thebe(asset: object) -> bool:
    """Say whether a script or style sheet belongs to sphinx-thebe."""
    body = getattr(asset, "attributes", {}).get("body") or ""
    return "thebe" in str(getattr(asset, "filename", asset) or "") or "thebe" in body.lower()


def drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Take sphinx-thebe's files off the page."""
    for key in ("script_files", "css_files"):
        if key in context:
            context[key] = [asset for asset in context[key] if not is_thebe(asset)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the event, after sphinx-thebe's own."""
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
