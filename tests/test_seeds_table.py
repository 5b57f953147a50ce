"""``{seeds-table}`` and ``{seed-spread}``: numbers over all seeds, of a method or of a family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from directives.seeds_table import span
from sample_book import build_page
from test_directives import words

METHODS = """
families: [{id: memory_bank, ko: 메모리 뱅크, en: Memory bank}]
surveys: []
methods:
  - id: memory_bank/new
    name: New
    status: written
    listed: null
    year: 2022
    difficulty: 2
    measures: {Clipping: 자르기, spread: 퍼짐, before: 학습 전, "by clip, hard": 세게 자름}
"""
VALUES = {
    "spread, before": [1.031, 1.08],
    "spread, by clip, hard": [0.00125, 0.00063],
    "AUROC, before": [0.5, 0.5],
    "lonely": [1.0, 2.0],
}
BANDS = {"seeds": [0, 1], "values": VALUES}
PIECES = [
    {
        "kind": "table",
        "title": "Clipping",
        "rows": [{"name": name, "value": 7.0} for name in list(VALUES)[:3]],
    },
    {"kind": "table", "title": "Alone", "rows": [{"name": "lonely", "value": 1.0}]},
]


def build(
    root: Path, title: str, language: str = "en", *, bands: dict | None = BANDS
) -> tuple[str, str]:
    """The words of a page with the table, and the warnings of its build."""
    outputs = [{"metadata": {"book": piece}} for piece in PIECES]
    files = {
        "book/methods.yml": METHODS,
        "index.md": f"# Page\n\n```{{seeds-table}} memory_bank/new\n{title}\n```\n",
        "notebooks/memory_bank/new.ipynb": json.dumps({"cells": [{"outputs": outputs}]}),
    }
    if bands is not None:
        files["helpers/bands/memory_bank/new.json"] = json.dumps(bands)
    app = build_page(root, files, language)
    page = (Path(app.outdir) / "index.html").read_text(encoding="utf-8")
    app.cleanup()
    return words(page), app.warning.getvalue()


def test_rows_are_what_was_tried_and_columns_what_was_measured(tmp_path):
    text, warned = build(tmp_path, "Clipping")
    assert warned == ""
    assert "Clipping spread AUROC" in text
    assert "before 1.031 … 1.080 0.500" in text
    assert "by clip, hard 0.00063 … 0.00125 –" in text, "not measured there"
    assert "The lowest and the highest value of 2 seeds." in text
    assert "7.0" not in text, "what one run gave"


def test_a_korean_page_names_what_the_registry_knows(tmp_path):
    text, warned = build(tmp_path, "Clipping", "ko")
    assert warned == ""
    assert "자르기 퍼짐 AUROC" in text
    assert "세게 자름 0.00063 … 0.00125" in text
    assert "시드 2개에서" in text


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("Nowhere", "has no table 'Nowhere'; there are: Clipping; Alone"),
        ("Alone", "'lonely' is no cell of a table"),
    ],
)
def test_a_table_that_cannot_be_drawn_is_an_error_of_the_page(tmp_path, title, message):
    assert message in build(tmp_path, title)[1]


@pytest.mark.parametrize("bands", [None, {"version": "", "settings": {}}, {"values": {}}])
def test_a_method_without_bands_is_an_error_of_the_page(tmp_path, bands):
    assert "no bands of several seeds yet" in build(tmp_path, "Clipping", bands=bands)[1]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.853, 0.931, 0.9], "0.853 … 0.931"),
        ([-3.49, -3.21], "−3.49 … −3.21"),
        ([0.99947, 0.99989], "0.99947 … 0.99989"),
        ([12.0, 48.0], "12.00 … 48.00"),
        ([0.5, 0.5], "0.500"),
        ([None, 0.25, 0.75], "0.25 … 0.75"),
        ([None, None], "–"),
    ],
)
def test_a_range_has_two_digits_of_its_width(values, shown):
    assert span(values) == shown


# --- a whole family -----------------------------------------------------------------------------

THUMBNAILS = "baseline thumbnail nearest neighbour"
FAMILY = (
    METHODS
    + """
  - {id: memory_bank/other, name: Other, status: written, listed: null, year: 2023, difficulty: 1}
  - {id: memory_bank/later, name: Later, status: planned, listed: null, year: 2024, difficulty: 1}
"""
)


def build_family(
    root: Path, directive: str, body: str, *, methods: str = FAMILY
) -> tuple[str, str]:
    """The words of a page about two written methods and a planned one."""
    numbers = {
        "new": {"image_auroc": [0.7, 0.75], THUMBNAILS: [0.8, 0.74], "share, before": [0.5, 0.25]},
        "other": {"image_auroc": [0.9, 0.7], THUMBNAILS: [0.8, 0.74], "share, open": [1.0, 1.0]},
    }
    files = {
        "book/methods.yml": methods,
        "index.md": f"# Page\n\n```{{{directive}}} memory_bank\n{body}\n```\n",
    }
    for name, values in numbers.items():
        rows = [{"name": row, "value": 7.0} for row in values if ", " in row]
        piece = {"kind": "table", "title": "Share", "rows": rows}
        cells = {"cells": [{"outputs": [{"metadata": {"book": piece}}]}]}
        files[f"notebooks/memory_bank/{name}.ipynb"] = json.dumps(cells)
        bands = {"seeds": [0, 1], "values": values}
        files[f"helpers/bands/memory_bank/{name}.json"] = json.dumps(bands)
    app = build_page(root, files, "en")
    page = (Path(app.outdir) / "index.html").read_text(encoding="utf-8")
    app.cleanup()
    return words(page), app.warning.getvalue()


def test_a_family_s_table_has_the_rows_of_all_its_written_methods(tmp_path):
    text, warned = build_family(tmp_path, "seeds-table", "Share")
    assert "seeds-table" not in warned
    assert "New: before 0.25 … 0.50" in text
    assert "Other: open 1.000" in text
    assert "Later" not in text


def test_a_table_that_no_method_of_the_family_has_is_an_error_of_the_page(tmp_path):
    assert (
        "no written method has a table 'Rest'" in build_family(tmp_path, "seeds-table", "Rest")[1]
    )


def test_the_spread_of_each_method_stands_beside_the_distance_to_the_next(tmp_path):
    text, warned = build_family(tmp_path, "seed-spread", "")
    assert "seed-spread" not in warned
    assert "Method image AUROC Mean Ahead of the next" in text
    assert "Other 0.70 … 0.90 0.800 0.075 1 of 2 seeds 1 of 2 seeds" in text
    assert "New 0.700 … 0.750 0.725 – – 1 of 2 seeds" in text
    assert text.index("Other 0.70") < text.index("New 0.700"), "highest mean first"


def test_one_method_has_no_next(tmp_path):
    alone = METHODS.replace("status: written", "status: planned")
    warned = build_family(tmp_path, "seed-spread", "", methods=alone)[1]
    assert "fewer than two written methods" in warned
