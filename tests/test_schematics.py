"""The book's drawings: one source for both languages; what the page needs of them."""

import re
from pathlib import Path

import pytest
import schematics

ROOT = Path(__file__).resolve().parents[1]
DRAWINGS = sorted((ROOT / schematics.FIGURES).glob("*.svg"))
CSS = (ROOT / "book/_static/figures.css").read_text(encoding="utf-8")
HANGUL = re.compile("[가-힣]")
#: What a Korean drawing writes as the English one does: names, and signs of formulas.
NAMES = {"LayerNorm", "fK"}
#: Photographs and heat maps look alike on any ground.
PICTURES = {
    'stroke="#10161c"',
    'fill="#2b1055"',
    'fill="#1b1230"',
    'fill="#1b0c41"',
    'fill="#2b333b"',
    'stroke="#fcf3a4"',
    'fill="#fcffa4"',
    # grey values, and bright peaks on black
    'fill="#10161c"',
    'fill="#1b1030"',
    'fill="#e2e6e9"',
    'fill="#111417"',
    'fill="#fdfdfd"',
}
METHODS = re.compile(r"[A-Z]\w*(?:-\w+)?")

SOURCE = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="9" height="9" role="img">
  <title data-ko="그림">A picture</title>
  <defs><marker id="tip"><path d="M0 0"/></marker></defs>
  <path marker-end="url(#tip)"/><use href="#tip"/>
  <text x="1" data-ko="&lt;가깝다&gt;">near</text>
  <text x="2">N(0, I)</text>
</svg>
"""


def source(drawing: Path) -> str:
    return drawing.read_text(encoding="utf-8")


def test_a_drawing_in_one_language_has_no_trace_of_the_other() -> None:
    korean, english = (schematics.localized(SOURCE, code) for code in ("ko", "en"))
    assert '<text x="1">&lt;가깝다&gt;</text>' in korean and "near" not in korean
    assert '<text x="1">near</text>' in english and not HANGUL.search(english)
    assert '<text x="2">N(0, I)</text>' in korean and '<text x="2">N(0, I)</text>' in english


def test_a_drawing_in_a_page_has_ids_of_its_own_a_name_and_nothing_that_a_page_may_not_hold() -> (
    None
):
    svg = schematics.inline(
        schematics.localized(SOURCE, "en"),
        name="near-far",
        text='Two "points"\n apart',
        width="480px",
    )
    assert svg.startswith(
        '<svg class="book-schematic" role="img" aria-label="Two &quot;points&quot; apart"'
    )
    assert 'style="width: 480px"' in svg
    assert svg.count('role="img"') == 1
    assert "<?xml" not in svg and "<title" not in svg
    assert 'id="near-far-tip"' in svg and "url(#near-far-tip)" in svg and '"#near-far-tip"' in svg


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda path: path.stem)
class TestEveryDrawing:
    def test_has_korean_for_every_text_with_words(self, drawing: Path) -> None:
        for english, korean in schematics.texts(source(drawing)):
            assert not HANGUL.search(english), english
            if korean is None and english not in NAMES and not METHODS.fullmatch(english):
                assert not re.search(r"[A-Za-z]{2,}", english), f"no data-ko: {english}"
            elif korean:
                assert HANGUL.search(korean) or korean == english or "/" in korean, korean

    def test_has_all_its_texts_in_elements_that_can_be_translated(self, drawing: Path) -> None:
        left = schematics.ELEMENT.sub("", source(drawing))
        left = re.sub(r"<!--.*?-->|<[^>]*>", "", left, flags=re.DOTALL)
        assert not re.search("[A-Za-z]{2}|[가-힣]", left)

    def test_paper_and_ink_have_a_colour_of_their_own_in_the_dark(self, drawing: Path) -> None:
        svg = re.sub(r'<g class="noise">.*?</g>', "", source(drawing), flags=re.DOTALL)
        for colour in set(re.findall(r'(?:fill|stroke)="#[0-9a-f]{3,6}"', svg)) - PICTURES:
            if not 50 < brightness(colour) < 225:
                assert f"[{colour}]" in CSS, f"{colour} needs a dark counterpart in figures.css"


def brightness(colour: str) -> float:
    digits = colour.split("#")[1].strip('"')
    step = len(digits) // 3
    red, green, blue = (
        int(digits[i : i + step] * (3 - step), 16) for i in range(0, 3 * step, step)
    )
    return (2 * red + 5 * green + blue) / 8
