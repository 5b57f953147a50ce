"""The detector of the page `book/live`: its place, its files, and what the page may not do.

`book/_static/live` is the page's own interface; it is linked from this page alone. `book/live` is
the detector: weights, compiled kernels, and the method as the text of a worker. A page that was
opened from a folder may load nothing but classic scripts, so the build packs these into two:
`detector.js` and `samples.js` (the sample pictures). The page loads them after a click.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PAGE = "book/live"
SCRIPTS = ("words.js", "numbers.js", "pictures.js", "editor.js", "page.js")
#: A place among the good samples where a defective one stands; see book/tools/live_files.py.
ODD = 6
#: What makes "nothing is sent" enforceable: no connection at all, and pictures, scripts and styles
#: from this site alone. What scripts of this site may do, evaluate text included (Sphinx's plurals,
#: WebAssembly), opens no way out.
POLICY = "; ".join(
    (
        "connect-src 'none'",
        "form-action 'none'",
        "object-src 'none'",
        "frame-src 'none'",
        "img-src 'self' data: blob:",
        "media-src 'none'",
        "font-src 'self' data:",
        "style-src 'self' 'unsafe-inline'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "worker-src blob:",
    )
)
WITHOUT_SCRIPT = {
    "ko": "탐지기를 쓰려면 자바스크립트를 켜세요.",
    "en": "The detector needs JavaScript.",
}


def encode(path: Path) -> str:
    """Return a file's bytes as base64."""
    return base64.b64encode(path.read_bytes()).decode("ascii")


def detector(folder: Path) -> str:
    """Return the script that holds weights, kernels and the worker's text."""
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("method.js", "worker.js")]
    content = {
        "source": "\n".join(texts),
        "wasm": encode(folder / "kernels.wasm"),
        "facts": json.loads((folder / "weights.json").read_text(encoding="utf-8")),
        "weights": encode(folder / "weights.bin"),
    }
    return f"window.live.detector = {json.dumps(content, separators=(',', ':'))};\n"


def samples(folder: Path) -> str:
    """Return the script that holds the sample pictures."""
    rooms = {
        room: [encode(path) for path in sorted(folder.glob(f"samples/{room}_*.jpg"))]
        for room in ("good", "test")
    }
    return f"window.live.samples = {json.dumps({**rooms, 'odd': ODD}, separators=(',', ':'))};\n"


class LiveDetector(SphinxDirective):
    """The place of the detector, with the size of what a click will load."""

    def run(self) -> list[nodes.Node]:
        """Return an element that the script fills."""
        folder = Path(self.env.srcdir) / "book" / "live"
        for path in folder.rglob("*"):
            self.env.note_dependency(str(path))
        loaded = {"detector": detector(folder), "samples": samples(folder)}
        sizes = json.dumps({name: f"{len(text) / 1e6:.1f}" for name, text in loaded.items()})
        message = WITHOUT_SCRIPT["ko" if self.config.language == "ko" else "en"]
        inner = f"<noscript><p>{message}</p></noscript>"
        html = f"<div id=\"live-app\" data-sizes='{sizes}'>{inner}</div>"
        return [nodes.raw("", html, format="html")]


def prepare_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Give this page, and no other, its scripts, its style and its policy."""
    if pagename != PAGE:
        return
    app.add_css_file("live/live.css")
    for name in SCRIPTS:
        app.add_js_file(f"live/{name}", loading_method="defer")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}" />'
    context["metatags"] = f"\n    {policy}{context.get('metatags', '')}"


def write_scripts(app: Sphinx, exception: Exception | None) -> None:
    """Write what the page loads after a click."""
    folder = Path(app.srcdir) / "book" / "live"
    if exception or app.builder.format != "html" or not folder.is_dir():
        return
    target = Path(app.outdir) / "_static" / "live"
    target.mkdir(parents=True, exist_ok=True)
    (target / "detector.js").write_text(detector(folder), encoding="utf-8")
    (target / "samples.js").write_text(samples(folder), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register directive and events."""
    app.add_directive("live-detector", LiveDetector)
    app.connect("html-page-context", prepare_page)
    app.connect("build-finished", write_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
