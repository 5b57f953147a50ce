"""``{threshold-figure}``: one slider moves masks, verdicts, counts and the point on the curve.

What a run keeps for it (`helpers.thumbnails`), how the page shows it, and how it is used by
keyboard, from a folder, without a server.
"""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from directives import threshold_figure
from PIL import Image
from sample_book import build_page
from test_directives import words
from test_site_browser import browser  # noqa: F401

from helpers.data import ImageSet
from helpers.metrics import evaluate
from helpers.thumbnails import thumbnails

PAGE = """# Page

```{toctree}
notebooks/memory_bank/new
notebooks/memory_bank/old
```
```{threshold-figure} memory_bank/new
What the $x$ shows.
```
"""
METHODS = """
families: [{id: memory_bank, ko: 메모리 뱅크, en: Memory bank}]
surveys: []
methods:
  - {id: memory_bank/new, name: New, status: written, listed: null, year: 2022, difficulty: 2}
  - {id: memory_bank/old, name: Old, status: written, listed: null, year: 2021, difficulty: 2}
"""
#: Four good images, two real defects and one rendered defect, which does not count.
SCORES = np.array([1.0, 2.0, 3.0, 6.0, 2.5, 8.0, 7.0])
LABELS = np.array([0, 0, 0, 0, 1, 1, 1])
#: The largest value of each map, which lies in its first quarter; elsewhere the map is 0.
PEAKS = np.array([10.0, 20.0, 30.0, 40.0, 15.0, 99.0, 35.0])


def images(rendered: int = 1) -> ImageSet:
    """The test set; its last images are rendered, with a mask on the first quarter."""
    n = len(LABELS)
    drawn = np.arange(n) >= n - rendered
    masks = np.zeros((n, 128, 128), bool)
    masks[drawn, :64, :64] = True
    return ImageSet(
        images=np.full((n, 128, 128, 3), 200, np.uint8),
        labels=LABELS,
        masks=masks,
        has_mask=drawn | (LABELS == 0),
        rendered=drawn,
        types=tuple(np.where(drawn, "stain", np.where(LABELS == 1, "broken", "good")).tolist()),
        paths=tuple(f"{i}.png" for i in range(n)),
        name="elpv/mono",
        license="",
        fingerprint="0",
    )


def maps() -> np.ndarray:
    """The score maps: (N, 128, 128)."""
    found = np.zeros((len(PEAKS), 128, 128), np.float32)
    found[:, :64, :64] = PEAKS[:, None, None]
    return found


def kept() -> dict:
    """What a run keeps, threshold 5: the good image with score 6 is a false alarm."""
    found = thumbnails(images(), SCORES, maps(), 5.0)
    assert found is not None
    return found


def picture(strip: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(strip))))


# --- what a run keeps -----------------------------------------------------------------------------


def test_scores_and_labels_are_those_of_the_image_metrics():
    found = kept()
    assert found["scores"] == "1 2 3 6 2.5 8" and found["labels"] == "000011"
    assert found["threshold"] == 5
    alone = thumbnails(images(rendered=3), SCORES, maps(), 5.0)
    assert alone["labels"] == "0000111", "rendered defects count where there are no others"


def test_of_each_kind_some_images_are_kept_from_the_lowest_score_to_the_highest():
    assert [(i["type"], i["score"], i["rendered"]) for i in kept()["shown"]] == [
        *[("good", score, False) for score in (1, 2, 3, 6)],
        *[("broken", score, False) for score in (2.5, 8)],
        ("stain", 7, True),
    ]
    many = images()
    many = many.select(np.repeat(np.arange(7), 9))
    scores = np.repeat(SCORES, 9) + np.tile(np.arange(9), 7) / 10
    shown = thumbnails(many, scores, np.repeat(maps(), 9, axis=0), 5.0)["shown"]
    assert len(shown) == 12
    assert [i["score"] for i in shown if i["type"] == "broken"] == [2.5, 3.1, 8.2, 8.8]


def test_a_level_says_how_many_good_images_stay_below_it_everywhere():
    found = picture(kept()["levels"])
    assert found.shape == (64, 7 * 64) and found.dtype == np.uint8
    inside = [int(found[10, 64 * i + 10]) for i in range(7)]
    good_below = [0, 1, 2, 3, 1, 4, 3]  # of 10, 20, 30, 40
    assert inside == [n * 255 // 4 for n in good_below]
    assert not found[40].any(), "outside of the quarter"
    bent = np.exp(maps() / 10)  # only the order of the values counts
    assert thumbnails(images(), SCORES, bent, 5.0)["levels"] == kept()["levels"]


def test_grey_images_are_kept_grey_and_masks_by_their_pixels():
    found = kept()
    assert picture(found["photos"]).shape == (64, 448)
    masks = picture(found["masks"])
    assert masks.sum() == 32 * 32 and masks[:32, 6 * 64 : 6 * 64 + 32].all()
    coloured = images()
    coloured.images[..., 0] = 90
    assert picture(thumbnails(coloured, SCORES, maps(), 5.0)["photos"]).shape == (64, 448, 3)


def test_what_is_evaluated_is_what_is_kept():
    result = evaluate(images(), SCORES, maps(), intervals=False)
    assert thumbnails(images(), result.scores, result.maps, 5.0) == kept()


def test_without_both_kinds_of_images_there_is_nothing_to_decide():
    good = images().select(LABELS == 0)
    assert thumbnails(good, SCORES[:4], maps()[:4], 5.0) is None


# --- what the page shows --------------------------------------------------------------------------


def test_the_slider_knows_every_decision():
    steps = threshold_figure.steps(kept())
    assert steps.thresholds == [float("-inf"), 1, 2, 2.5, 3, 5, 6, 8]
    assert steps.alarms == [4, 3, 2, 2, 1, 1, 0, 0]  # good images above
    assert steps.found == [2, 2, 2, 1, 1, 1, 1, 0]
    assert (steps.good, steps.defective, steps.start) == (4, 2, 5)


def test_as_many_good_images_have_a_mark_as_the_threshold_flags():
    levels = picture(kept()["levels"])
    for alarms in range(5):
        lowest = threshold_figure.level(alarms, 4)
        marked = [bool((levels[:, 64 * i : 64 * (i + 1)] >= lowest).any()) for i in range(4)]
        assert sum(marked) == alarms


def build(root: Path, page: str = PAGE, language: str = "en", *, record: bool = True) -> str:
    """The page of a book with one notebook; its file lies in root/_build/html/index.html."""
    report = {"kind": "report", "metrics": {}, "maps": kept() if record else None}
    cell = {"metadata": {}, "outputs": [{"metadata": {"book": report}, "data": {}}]}
    files = {
        "book/methods.yml": METHODS,
        "index.md": page,
        "notebooks/memory_bank/new.md": "(memory_bank-new-nb-result)=\n# Notebook\n",
        "notebooks/memory_bank/old.md": "# Old\n",
        "notebooks/memory_bank/new.ipynb": json.dumps({"cells": [cell]}),
    }
    static = Path(threshold_figure.__file__).parents[2] / "_static"
    app = build_page(root, files, language, html_static_path=[str(static)])
    app.cleanup()
    assert app.warning.getvalue() == ""
    return (Path(app.outdir) / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("language", "summary", "verdicts"),
    [
        (
            "en",
            "Threshold 5: false alarms 1 of 4 good images, misses 1 of 2 defective ones",
            ["passed"] * 3 + ["false alarm", "missed", "found", "found"],
        ),
        (
            "ko",
            "임곗값 5: 오탐은 정상 4장 중 1장, 미탐은 결함 2장 중 1장",
            ["통과"] * 3 + ["오탐", "미탐", "검출", "검출"],
        ),
    ],
)
def test_without_script_the_page_shows_the_notebooks_own_threshold(
    tmp_path, language, summary, verdicts
):
    html = build(tmp_path, language=language)
    (figure,) = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    assert summary in words(figure)
    assert re.findall(r"<b>(.*?)</b>", figure) == verdicts
    assert re.search(r"<p [^>]*control[^>]* hidden>", figure), "the slider comes with the script"
    assert 'intercept="-381"' in figure, "1 - 2 * 191: a level of 3 of the 4 good images"
    assert re.search(r'<circle cx="91.5" cy="103.0"', figure), "a quarter to the right, half way up"
    assert "CC BY-NC-SA 4.0" in figure and "What the" in words(figure)


def test_maps_that_are_not_stored_yet_are_no_error(tmp_path):
    assert "No score maps are stored yet" in words(build(tmp_path, record=False))
    other = PAGE.replace("{threshold-figure} memory_bank/new", "{threshold-figure} memory_bank/old")
    assert "No score maps are stored yet" in words(build(tmp_path, page=other))


# --- how it is used -------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path, browser):  # noqa: F811
    """The built page in a browser, from its folder."""
    build(tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "_build" / "html" / "index.html").as_uri())
    page.evaluate("document.body.classList.add('bd-article')")  # the book's theme has it
    yield page
    page.close()


def seen(page) -> dict:
    """What the figure says, marks and points at."""
    return page.evaluate(
        """() => {
          const figure = document.querySelector(".book-threshold");
          const point = figure.querySelector("circle");
          return {
            summary: figure.querySelector(".book-threshold-summary").textContent,
            said: figure.querySelector("input").getAttribute("aria-valuetext"),
            verdicts: [...figure.querySelectorAll("li b")].map((b) => b.textContent),
            wrong: figure.querySelectorAll("li.wrong").length,
            lowest: (1 - Number(figure.querySelector("feFuncA").getAttribute("intercept"))) / 2,
            point: [Number(point.getAttribute("cx")), Number(point.getAttribute("cy"))],
          };
        }"""
    )


@pytest.mark.browser
def test_the_keyboard_moves_everything_together(page):
    before = seen(page)
    page.focus(".book-threshold input")
    page.keyboard.press("ArrowRight")  # threshold 6: the last false alarm goes
    after = seen(page)
    assert after["summary"] == after["said"]
    assert after["summary"].startswith("Threshold 6: false alarms 0 of 4 good images, misses 1 of")
    assert before["verdicts"][3] == "false alarm" and after["verdicts"][3] == "passed"
    assert (before["wrong"], after["wrong"]) == (2, 1)
    assert (before["lowest"], after["lowest"]) == (191, 255)
    assert (before["point"], after["point"]) == ([91.5, 103], [44, 103])
    page.keyboard.press("Home")  # below all scores
    lowest = seen(page)
    assert lowest["summary"].startswith(
        "Threshold −∞: false alarms 4 of 4 good images, misses 0 of"
    )
    assert set(lowest["verdicts"]) == {"false alarm", "found"}
    assert lowest["lowest"] == 0 and lowest["point"] == [234, 8]
    page.keyboard.press("End")
    assert set(seen(page)["verdicts"]) == {"passed", "missed"}


@pytest.mark.browser
def test_the_browser_marks_what_lies_above_the_threshold_and_nothing_else(page):
    def marked() -> list[bool]:
        """Which maps show a mark in their first quarter; none may show one in their last."""
        found = []
        for image in page.query_selector_all(".book-threshold li img + img"):
            shot = np.asarray(Image.open(io.BytesIO(image.screenshot())).convert("RGB")).astype(int)
            red = shot[..., 0] - shot[..., 2] > 40
            side = red.shape[0]
            assert not red[side * 5 // 8 :, side * 5 // 8 :].any()
            found.append(red[: side * 3 // 8, : side * 3 // 8].mean() > 0.9)  # but for its rim
        return found

    assert marked() == [False, False, False, True, False, True, True]  # above 30
    page.focus(".book-threshold input")
    page.keyboard.press("ArrowLeft")  # threshold 3, still one false alarm
    page.keyboard.press("ArrowLeft")  # 2.5: the image with score 3, too
    assert marked() == [False, False, True, True, False, True, True]  # above 20
