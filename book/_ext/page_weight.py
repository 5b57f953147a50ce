"""A page loads what it shows, and no more.

MathJax comes only where a formula is. Images are fetched when the reader comes near them, and have
their size in the page, so that nothing moves when they arrive. The theme's icons are a script of
1.5 MB, a font, and a rule for each of 2 000 icons: the ten that the book shows are in `icons.css`,
and the rules are taken out of the theme's style sheet.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import imagesize
from sphinx.application import Sphinx

IMAGE = re.compile(r"<img\b(?![^>]*\bloading=)([^>]*)>")
RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
ICON = re.compile(r"\.fa[bsr]?(?![a-z])")


def is_mathjax(asset: object) -> bool:
    """Say whether a script loads MathJax or sets it up."""
    body = getattr(asset, "attributes", {}).get("body") or ""
    return "mathjax/" in str(getattr(asset, "filename", "")) or "window.MathJax" in body


def size(path: Path) -> str:
    """Return an image's width and height as attributes, or nothing if it has none."""
    width, height = imagesize.get(path) if path.is_file() else (-1, -1)
    return f' width="{width}" height="{height}"' if width > 0 and height > 0 else ""


def lazily(body: str, sources: dict[str, Path]) -> str:
    """Return a page's text whose images load when they are needed, from the second on.

    Args:
        body: the page's text.
        sources: where the images come from, by the last part of their address.
    """
    first = True

    def change(match: re.Match[str]) -> str:
        nonlocal first
        attributes = match[1].removesuffix("/").rstrip()
        source = re.search(r'\bsrc="([^"]*)"', attributes)
        path = sources.get(unquote(source[1]).rpartition("/")[2]) if source else None
        if path and not re.search(r"\bwidth=|\bheight[=:]", attributes):
            attributes += size(path)
        late, first = ("" if first else ' loading="lazy"'), False
        return f'<img{attributes}{late} decoding="async"/>'

    return IMAGE.sub(change, body)


def lighten(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Take off the page what it does not need."""
    body = context.get("body") or ""
    if 'class="math' not in body and "script_files" in context:
        context["script_files"] = [a for a in context["script_files"] if not is_mathjax(a)]
    if body:
        # the pages' images are copied last, so they are measured where they come from
        images = getattr(app.builder, "images", {})
        sources = {name: Path(app.srcdir, source) for source, name in images.items()}
        context["body"] = lazily(body, sources)


def without_icons(css: str) -> str:
    """Return a style sheet without Font Awesome's rules and fonts."""

    def change(match: re.Match[str]) -> str:
        selector = re.sub(r"/\*.*?\*/", "", match[1], flags=re.DOTALL)
        if "@font-face" in selector and "Font Awesome" in match[2]:
            return ""
        own = all(ICON.match(part.strip()) for part in selector.split(","))
        return "" if own else match[0]

    return RULE.sub(change, css)


def lighten_theme(app: Sphinx, exception: Exception | None) -> None:
    """Take the icons out of the theme's style sheet."""
    path = Path(app.outdir) / "_static" / "styles" / "pydata-sphinx-theme.css"
    if not exception and path.is_file():
        path.write_text(without_icons(path.read_text(encoding="utf-8")), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the events, after MathJax's own."""
    app.connect("html-page-context", lighten, priority=900)
    app.connect("build-finished", lighten_theme)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
