"""What a page tells its style sheet about phones: labels of cells, tables to stack, wide strips."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import pytest
from sphinx.testing.util import SphinxTestApp

PAGE = """# Page

| name | licence | what is in it | what it is good for |
|---|---|---|---|
| one | MIT | images of some things | a sentence that needs a column of its own |
| two | | images of other things | another one, as long as the sentence above |

| a | $r=1\\,\\%$ |
|---|---|
| x | 1 |

| `measured_on_all_images` | `[0.9123, 0.9456]` | `a_third_wide_column` |
|---|---|---|
| 1 | 2 | – |

![strip](strip.png)

![square](square.png)
"""


def image(width: int, height: int) -> bytes:
    """A grey PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> str:
    root: Path = tmp_path_factory.mktemp("narrow")
    (root / "index.md").write_text(PAGE, encoding="utf-8")
    (root / "conf.py").write_text("", encoding="utf-8")
    (root / "strip.png").write_bytes(image(700, 150))
    (root / "square.png").write_bytes(image(700, 700))
    settings = {
        "extensions": ["myst_parser", "narrow_pages"],
        "myst_enable_extensions": ["dollarmath"],
        "html_theme": "basic",
    }
    app = SphinxTestApp("html", srcdir=root, confoverrides=settings, freshenv=False)
    app.build()
    assert app.warning.getvalue() == ""
    text = (Path(app.outdir) / "index.html").read_text(encoding="utf-8")
    app.cleanup()
    return text


def tables(html: str) -> list[str]:
    return re.findall(r"<table.*?</table>", html, re.DOTALL)


def test_the_cells_carry_their_columns_heading_but_the_first_one(html):
    text, *_ = tables(html)
    assert re.findall(r'<td data-label="([^"]+)"', text)[:2] == ["licence", "what is in it"]
    assert "<td><p>one</p></td>" in text


def test_a_formula_in_a_heading_is_a_label_without_tex(html):
    assert 'data-label="r=1\N{NO-BREAK SPACE}%"' in tables(html)[1]


def test_only_what_does_not_fit_is_stacked(html):
    stacked = ["book-stacked" in table for table in tables(html)]
    assert stacked == [True, False, True], "long text, two small columns, words that do not break"


def test_cells_that_say_nothing_are_marked(html):
    first, _, last = tables(html)
    assert len(re.findall(r'class="book-none"', first)) == 1, "the empty one"
    assert len(re.findall(r'class="book-none"', last)) == 1, "the dash"


def test_a_strip_of_images_gets_a_box_and_a_square_one_does_not(html):
    boxes = re.findall(r'<div class="book-wide[^>]*>\s*<img[^>]*src="([^"]+)"', html)
    assert [Path(box).name for box in boxes] == ["strip.png"]
