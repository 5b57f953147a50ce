"""What the book draws from the registry: built on a small registry with records that we know."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import comparisons
import pytest
import registry
import stored_figures
from constants import LANGUAGES
from directives import compare, drawing, field_map, quiz
from directives import words as book_words
from PIL import Image, ImageDraw
from sphinx.testing.util import SphinxTestApp

METHODS = """
families:
  - {id: memory_bank, ko: 메모리 뱅크, en: Memory bank, list_section: 4. Memory Bank}
  - {id: autoencoder, ko: 오토인코더, en: Autoencoder}
  - {id: gan, ko: GAN, en: GAN}
surveys:
  - {id: old, status: planned, cite: old2020, listed: {title: An old survey (2020)}}
methods:
  - id: memory_bank/old
    name: Old
    status: planned
    listed: {title: An old paper (2019), paper: "https://arxiv.org/pdf/1", summary: "https://blog/1"}
    cite: old2020
    difficulty: 1
  - id: memory_bank/new
    name: New
    status: written
    listed: {title: A new paper (2022)}
    later_summary: https://blog/2
    cite: new2022
    code: {url: "https://example.org/code", license: {ko: 라이선스 없음, en: no licence}}
    difficulty: 2
    prerequisites: {necessary: [memory_bank/old]}
    builds_on: [memory_bank/old]
    needs: {ko: 정상 이미지, en: normal images}
    gives: {ko: 이상 맵, en: an anomaly map}
    headline:
      - {dataset: D, metric: image AUROC, value: "99.0", unit: "%", source: the abstract, mark: V}
      - dataset: D
        metric: {ko: 가능도, en: likelihood}
        setting: {ko: 작은 판, en: small version}
        value: "85.1"
        bound: ≤
        unit: {ko: nat, en: nats}
        source: the abstract
        mark: V
      - dataset: D
        metric: {ko: 맞힌 범주의 수, en: categories found}
        value: "4"
        unit: {ko: 개 범주, en: categories}
        source: {ko: 요약 글, en: a summary}
        mark: S
    claims:
      - {id: better, source: Table 2, ko: 더 낫습니다., en: It is better.}
      - {id: faster, source: Table 3, ko: 더 빠릅니다., en: It is faster.}
      - {id: smaller, source: Table 4, ko: 더 작습니다., en: It is smaller.}
      - {id: steadier, source: Table 5, ko: 더 고릅니다., en: It is steadier.}
    measures:
      "AUROC at # %": "#%에서의 AUROC"
  - {id: gan/edges, name: Edges, status: planned, cite: e1986, difficulty: 1,
     listed: {title: 엣지 추출}}
  - {id: memory_bank/half, name: Half, status: draft, listed: null, year: 2023, difficulty: 1}
  - {id: autoencoder/other, name: Other, status: written, listed: null, year: 2023, difficulty: 3}
  - {id: autoencoder/alone, name: Alone, status: written, listed: null, year: 2024, difficulty: 3}
corrections:
  - kind: date
    about: memory_bank/old
    listed: An old paper (2019)
    correct: Conference 2020
    ko: 2020년입니다.
    en: It is of 2020.
    source: the proceedings
  - {kind: spelling, about: gan/edges, listed: 엣지 추출, correct: 에지 추출, ko: 표기, en: A,
     source: b}
"""
BIB = """
@inproceedings{old2020, title = {An Old Paper}, author = {Alan Turing}, year = {2020},
  booktitle = {Conference}, eprint = {2001.00001}}
@misc{e1986, title = {Finding Edges}, author = {Mary Cartwright}, year = {1986}, doi = {10.1/e}}
@misc{new2022, title = {A New Paper}, author = {Ada Lovelace}, year = {2022}, eprint = {2201.00001}}
"""
RECORD = {
    "kind": "report",
    "default": True,
    "dataset": "elpv/mono",
    "fingerprint": "aaaaaaaaaaaa",
    "settings": {"seed": 0, "ratio": 0.01},
    "weights": "imagenet",
    "metrics": {"image_auroc": 0.957, "pixel_auroc": 0.9},
    "intervals": {"image_auroc": [0.94, 0.974]},
    "missing": {"aupro": "no masks"},
    "counts": {"train": 240, "test": 260},
    "baselines": {"mean grey": 0.53},
    "random_weights": {"name": "initial weights", "image_auroc": 0.71},
    "bands": {"image_auroc": [0.94, 0.96], "baseline mean grey": [0.6, 0.7]},
    "threshold": 1.25,
    "seconds": 31.4,
    "peak_memory_mb": 812.0,
    "threads": 1,
    "license": "CC BY-NC-SA 4.0",
    "versions": {"numpy": "2.1"},
}
CLAIM = {
    "kind": "claim",
    "id": "better",
    "difference": {"value": -0.003, "low": -0.01, "high": 0.004},
    "above": -0.02,
    "verdict": "reproduced",
    "seeds": ["reproduced"] * 5,
}
COMPARED = {
    "method": "memory_bank/new",
    "settings": {"dataset": "elpv", "category": "mono"},
    "version": "3f2a9c1e",
    "made": "2026-11-30",
    "dataset": "elpv/mono",
    "fingerprint": "aaaaaaaaaaaa",
    "counts": {"train": 192},
    "metrics": {"image_auroc": 0.9573, "pixel_auroc": 0.98},
    "intervals": {"image_auroc": [0.94, 0.974]},
    "baselines": {"mean grey": 0.53},
    "megapixels_per_second": 0.4567,
}
FEW = COMPARED | {
    "settings": {"dataset": "elpv", "category": "mono", "subset": 25},
    "fingerprint": "cccccccccccc",
    "counts": {"train": 20},
    "metrics": {"image_auroc": 0.8},
    "intervals": {"image_auroc": [0.7, 0.9]},
    "baselines": {"mean grey": 0.51},
}
BRICK = COMPARED | {
    "settings": {"dataset": "textures", "category": "brick"},
    "dataset": "textures/brick",
    "fingerprint": "dddddddddddd",
    "metrics": {"pixel_auroc": 0.77},
    "baselines": {"mean grey": None},
}
EVERY = COMPARED | {
    "settings": {"dataset": "elpv", "category": "mono", "subset": "all"},
    "fingerprint": "ffffffffffff",
    "counts": {"train": 300},
}
UNFINISHED = COMPARED | {"method": "memory_bank/half", "metrics": {"image_auroc": 0.123}}
PIECES = [
    {
        "kind": "table",
        "title": "Coresets",
        "rows": [
            {"name": "AUROC at 1 %", "value": 0.95, "band": [0.9, 1.0], "verdict": "in band"},
            {"name": "flagged", "value": 0.05, "band": None, "of": 40, "interval": [0.01, 0.17]},
            {"name": "false positives among normal", "value": None, "band": None, "of": 0},
        ],
    },
    CLAIM,
    CLAIM | {"id": "smaller", "seeds": ["reproduced"] * 4 + ["undecided"], "above": -0.005},
    CLAIM | {"id": "steadier", "seeds": None, "verdict": "not tested", "difference": None},
    RECORD,
]
QUIZ = """- q: What is $x^2$?
  options:
    - {text: A number., right: true, why: "A *square*."}
    - {text: A `matrix`., right: false, why: Not here.}
"""
PAGE = f"""# Title

```{{method-card}} memory_bank/new
```
```{{headline}} memory_bank/new
```
```{{measured}} memory_bank/new
```
```{{claims-table}} memory_bank/new
```
```{{quiz}}
{QUIZ}```
"""
INDEX = """# Index

```{toctree}
book/memory_bank/new
book/autoencoder/other
book/autoencoder/alone
book/guide/start
notebooks/memory_bank/new
notebooks/autoencoder/other
notebooks/autoencoder/alone
```
```{leaderboard}
```
```{claims-table}
```
```{family-table} memory_bank
```
```{compare} memory_bank
```
```{compare} gan
```
```{cost-table}
```
```{reading-list}
```
```{corrections}
```
```{field-map}
```
```{front-maps}
memory_bank/new
```
```{front-numbers}
```
```{learning-path}
- do: [read memory_bank/new, run memory_bank/new]
  adds: Something new.
- when: Week 2
  do: [solve memory_bank/new, read memory_bank/old, read guide/start]
  adds: Something old.
```
"""


def gallery() -> dict:
    """A figure as the helpers draw a gallery: four rows of three tiles, a title, labels, a bar.

    The tile in row r and column c, counted from 0, has the grey level 40 r + 10 c.
    """
    image = Image.new("L", (300, 300), 255)
    draw = ImageDraw.Draw(image)
    for row, column in itertools.product(range(4), range(3)):
        corner = 20 + 70 * column, 30 + 65 * row
        draw.rectangle([*corner, corner[0] + 60, corner[1] + 60], fill=40 * row + 10 * column)
    draw.text((4, 4), "Anomaly maps", fill=0)
    draw.text((40, 18), "good", fill=0)
    draw.rectangle([240, 165, 250, 220], fill=90)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95)
    text = base64.b64encode(data.getvalue()).decode("ascii")
    return {"data": {"image/jpeg": text}, "metadata": {"image/jpeg": {"width": 150}}}


def store(root: Path, name: str, pieces: list[dict]) -> None:
    """A notebook of records, a page of prose, a gallery and two exercises."""
    outputs = [{"output_type": "display_data", "metadata": {"book": piece}} for piece in pieces]
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        {"cell_type": "code", "outputs": outputs},
        {"metadata": {"section": "maps", "tags": ["lang-ko"]}, "source": "말 " * 999},
        {"metadata": {"section": "maps", "tags": ["lang-en"]}, "source": ["word "] * 1140},
        {"metadata": {"alt-ko": "이상 맵", "alt-en": "Maps"}, "outputs": [gallery()]},
        {"metadata": {"section": "exercise-1", "tags": ["lang-en"]}, "source": "word " * 999},
        {"metadata": {"section": "exercise-2", "tags": ["lang-en"]}, "source": "word " * 999},
    ]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")


def store_comparison(root: Path, rows: list[dict]) -> None:
    """The comparison record of the memory bank."""
    path = root / "book" / "results" / "compare" / "memory_bank.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": rows}), encoding="utf-8")


def lay_out(root: Path) -> Path:
    """A book of one full review, two bare ones, their notebooks, and an unfinished draft."""
    files = {
        "book/methods.yml": METHODS,
        "book/references.bib": BIB,
        "index.md": INDEX,
        "book/memory_bank/new.md": PAGE,
        "book/autoencoder/other.md": "# Other\n",
        "book/autoencoder/alone.md": "# Alone\n",
        "book/memory_bank/half.md": "# Half\n\n{doc}`nowhere`\n\n```{quiz}\nTODO\n```\n",
        "book/memory_bank/new.en.md": "word " * 1200,
        "book/guide/start.md": "# Getting started\n",
        "book/guide/start.en.md": "word " * 600,
        "conf.py": "",
    }
    for name in ("memory_bank/new", "autoencoder/other", "autoencoder/alone"):
        files[f"notebooks/{name}.md"] = "# Notebook\n"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    better = RECORD | {"metrics": {"image_auroc": 0.96}, "intervals": {"image_auroc": [0.95, 0.98]}}
    elsewhere = RECORD | {"fingerprint": "bbbbbbbbbbbb", "metrics": {"image_auroc": 0.999}}
    store(root, "memory_bank/new", PIECES)
    store_comparison(root, [COMPARED, FEW, BRICK, EVERY, UNFINISHED])
    store(root, "autoencoder/other", [better])
    store(root, "autoencoder/alone", [elsewhere])
    return root


def build(root: Path, language: str = "en") -> SphinxTestApp:
    """Build the pages; the app tells what was read and warned."""
    settings = {
        "extensions": ["myst_parser", "directives"],
        "language": language,
        "myst_enable_extensions": ["dollarmath"],
        "html_theme": "basic",
        "exclude_patterns": ["_build", "**/*.ipynb", "**/*.en.md"],
    }
    app = SphinxTestApp("html", srcdir=root, confoverrides=settings, freshenv=False)
    app.build()
    return app


class Text(HTMLParser):
    """The words of a page, a line for each block."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("tr", "li", "dt", "p", "legend", "label", "summary", "h1"):
            self.parts.append("\n" if tag != "p" else " ")

    def handle_data(self, data: str) -> None:
        self.parts.append(data.replace("\n", " "))


def words(html: str) -> str:
    parser = Text()
    parser.feed(html)
    return re.sub(r"[ \t\N{NO-BREAK SPACE}]+", " ", "".join(parser.parts))


def part(html: str, kind: str) -> str:
    """The markup of one drawn part, told by its class, as far as the next part."""
    start = html.index(f'class="{kind}')
    after = re.search(r'<div class="book-(?!option|why|map|number)[a-z-]+ docutils', html[start:])
    return html[start : start + after.start()] if after else html[start:]


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folders of the built book, by language."""
    found = {}
    for language in LANGUAGES:
        root = lay_out(tmp_path_factory.mktemp(language))
        app = build(root, language)
        assert app.warning.getvalue() == ""
        found[language] = Path(app.outdir)
        assert not list(found[language].rglob("half*"))
        app.cleanup()
    return found


@pytest.fixture(scope="module")
def pages(book):
    """The built pages, by language and name."""
    return {
        (language, name): (root / f"{name}.html").read_text(encoding="utf-8")
        for language, root in book.items()
        for name in ("index", "book/memory_bank/new")
    }


@pytest.fixture
def review(pages):
    return pages["en", "book/memory_bank/new"]


@pytest.fixture
def index(pages):
    return pages["en", "index"]


def test_the_card_shows_paper_code_notebook_and_lineage(review):
    card = part(review, "book-card")
    assert 'href="https://arxiv.org/abs/2201.00001"' in card
    assert 'href="https://example.org/code"' in card
    assert 'href="../../notebooks/memory_bank/new.html"' in card
    text = words(card)
    assert "Ada Lovelace" in text
    assert "official code (no licence)" in text
    assert "●●○ medium" in text
    assert "necessary: Old planned" in text
    assert "31 s, 812 MB of memory" in text
    assert "image AUROC 0.957 [0.940, 0.974] · elpv/mono" in text


def test_no_button_leads_to_an_unknown_repository(pages):
    assert not any("colab" in html.lower() for html in pages.values())


def test_the_papers_numbers_carry_their_source_and_say_when_second_hand(review):
    text = words(part(review, "book-headline"))
    assert "99.0 % [1]" in text
    assert "categories found – 4 categories [2]" in text
    assert "\n the abstract" in text
    assert "\n as reported by a summary" in text


def test_a_papers_number_carries_its_unit_and_says_when_it_is_a_bound(pages):
    english, korean = (
        words(part(pages[language, "book/memory_bank/new"], "book-headline"))
        for language in ("en", "ko")
    )
    assert "small version ≤ 85.1 nats [1]" in english
    assert "작은 판 ≤ 85.1 nat [1]" in korean
    assert "맞힌 범주의 수 – 4개 범주 [2]" in korean


def test_the_result_shows_interval_band_verdict_and_baselines(review):
    shown = part(review, "book-measured")
    text = words(shown)
    assert "image AUROC 0.957 [0.940, 0.974] 0.940–0.960 in band" in text
    assert "AUPRO, all images not available: no masks" in text
    assert "Baseline: mean grey 0.530 0.600–0.700 out of band" in text
    assert "Random-weights baseline: initial weights 0.710" in text
    assert "240 normal images to fit, 260 images to test" in text
    assert "CC BY-NC-SA 4.0" in text
    settings = shown[shown.rindex("<details") :]
    assert "aaaaaaaaaaaa" in settings
    assert "ratio" in settings


def test_the_other_measured_values_stand_in_their_experiments(review):
    text = words(part(review, "book-measured"))
    assert "Other values measured in the notebook (3)" in text
    assert "\n Coresets Value Expected band" in text
    assert "\n AUROC at 1 % 0.950 0.900–1.000 in band" in text
    assert "\n flagged 0.050 [0.010, 0.170] –" in text
    assert "\n false positives among normal – –" in text


def test_a_claim_shows_the_verdict_that_the_seeds_agree_on(review):
    text = words(part(review, "book-claims"))
    assert "It is better. # Source: Table 2 reproduced 5 of 5 seeds" in text
    assert "−0.0030 [−0.0100, 0.0040] rule: above −0.02" in text
    assert "It is faster. # Source: Table 3 no record" in text
    assert "It is smaller. # Source: Table 4 undecided 4 of 5 seeds" in text
    assert "rule: above −0.005" in text
    assert "It is steadier. # Source: Table 5 not tested –" in text


def test_all_claims_are_counted_by_family_and_verdict(index):
    text = words(part(index, "book-claims"))
    assert "\n Family reproduced undecided not tested no record Total \n" in text
    assert "\n Memory bank 1 1 1 1 4 \n Total 1 1 1 1 4 \n" in text


def test_a_verdict_that_no_notebook_gives_is_an_error_of_the_page(tmp_path):
    root = lay_out(tmp_path)
    store(root, "memory_bank/new", [CLAIM | {"verdict": "maybe", "seeds": ["maybe"]}])
    app = build(root)
    assert "claim better: unknown verdict 'maybe'; there are: reproduced" in app.warning.getvalue()
    app.cleanup()


@pytest.mark.parametrize(
    ("value", "pair", "shown"),
    [
        (0.957, (0.94, 0.974), ("0.957", "[0.940, 0.974]")),
        (0.00032, (0.00011, 0.00054), ("0.00032", "[0.00011, 0.00054]")),
        (0.00031, (-0.0041, 0.0047), ("0.0003", "[−0.0041, 0.0047]")),
        (0.5, (0.5, 0.5), ("0.500", "[0.500, 0.500]")),
        (-0.006, (-0.03, -0.0001), ("−0.006", "[−0.030, 0.000]")),
        (0.5, None, ("0.500", "")),
        (None, (0.1, 0.2), ("–", "")),
    ],
)
def test_a_narrow_interval_gets_the_digits_it_needs(value, pair, shown):
    assert drawing.interval(value, pair) == shown


def test_only_equal_fingerprints_are_ranked(index):
    board = part(index, "book-leaderboard")
    first, second = board.split("fingerprint bbbbbbbbbbbb")
    rows = words(first).split("\n")
    assert [r.split()[0:2] for r in rows if re.match(r" \d ", r)] == [["1", "Other"], ["2", "New"]]
    assert "interval overlaps the first" in words(first)
    assert " 1 Alone 0.999" in words(second)


def test_baselines_stand_in_their_place_without_a_rank(index):
    rows = words(part(index, "book-leaderboard").split("fingerprint bbbb")[0]).split("\n")
    names = ("New", "Random-weights", "mean grey")
    order = [next(i for i, row in enumerate(rows) if name in row) for name in names]
    assert order == sorted(order)
    assert not any(re.match(r" \d ", row) for row in rows if re.search("mean grey|weights", row))


def test_what_is_not_written_is_not_ranked(index):
    assert not re.search("Old|Half", words(part(index, "book-leaderboard")))


def test_the_family_table_shows_planned_methods_as_such_and_drafts_like_them(index):
    text = words(part(index, "book-family"))
    assert "\n Old planned" in text
    assert "\n Half planned" in text
    assert "normal images" in text
    assert "0.957" in text


def test_a_comparison_shows_every_data_set_with_intervals_and_baselines(index):
    text = words(part(index, "book-compare"))
    assert "image AUROC [95 % interval] \n Method elpv/mono elpv/mono, subset all \n" in text
    assert "\n New 0.957 [0.940, 0.974]" in text
    assert "\n Baseline: mean grey 0.530" in text
    assert "pixel AUROC \n Method elpv/mono textures/brick elpv/mono, subset all \n" in text
    assert "\n New 0.980 0.770 " in text
    assert "Made on 2026-11-30 with the notebooks’ code of that day." in text
    assert "0.123" not in text, "a draft is not shown"


def test_a_sweep_over_normal_images_is_a_curve_whose_numbers_stand_below_it(index):
    shown = part(index, "book-compare")
    text = words(shown)
    assert "Image AUROC by the number of normal images, elpv/mono" in text
    assert "\n New 0.800 [0.700, 0.900] 0.957 [0.940, 0.974] \n" in text
    assert "\n Baseline: mean grey 0.510 0.530" in text
    (described,) = re.findall(r'<svg class="book-curve"[^>]* aria-label="([^"]+)"', shown)
    assert "New: 0.800 with 20 images, 0.957 with 192." in described
    assert shown.count("<polyline") == 1 and shown.count("<circle") == 2


def test_a_sweep_over_another_parameter_is_a_curve_of_the_contrast(tmp_path):
    root = lay_out(tmp_path)
    sweep = [
        COMPARED
        | {
            "settings": {"dataset": "elpv", "category": "mono", "thin": thin},
            "median_scores": {"normal": normal, "anomalous": 0.6},
            "metrics": {"image_auroc": 0.7},
            "intervals": {},
        }
        for thin, normal in ((64, 0.5), (4, 0.3), (16, 0.4))
    ]
    store_comparison(root, [COMPARED | {"median_scores": None}, *sweep])
    app = build(root)
    shown = part((Path(app.outdir) / "index.html").read_text(encoding="utf-8"), "book-compare")
    app.cleanup()
    text = words(shown)
    assert "New: contrast by thin, elpv/mono" in text
    assert "thin 4 16 64 \n median score, normal 0.300 0.400 0.500" in text
    assert "\n contrast 2.00 1.50 1.20" in text
    assert "thin 16" not in text, "a swept value is no column of the tables above"
    assert shown.count("<circle") == 3


def test_several_kinds_of_defect_have_a_table_of_their_own(tmp_path):
    root = lay_out(tmp_path)
    store_comparison(root, [COMPARED | {"auroc_by_kind": {"swapped": 0.9, "missing": 0.512}}])
    app = build(root)
    text = words((Path(app.outdir) / "index.html").read_text(encoding="utf-8"))
    app.cleanup()
    assert "Image AUROC of each kind of defect, elpv/mono" in text
    assert "Method missing swapped \n New 0.512 0.900" in text


def test_rows_of_one_name_share_a_column(tmp_path):
    root = lay_out(tmp_path)
    settings = {"dataset": "elpv", "category": "mono", "iterations": 70}
    store_comparison(root, [COMPARED, COMPARED | {"settings": settings}])
    column = {"ko": "10초", "en": "10 s"}
    plan = {"memory_bank": [settings | {"column": column, "methods": ["memory_bank/new"]}]}
    (root / "book" / "compare.yml").write_text(json.dumps(plan), encoding="utf-8")
    app = build(root)
    text = words((Path(app.outdir) / "index.html").read_text(encoding="utf-8"))
    app.cleanup()
    assert "Method elpv/mono 10 s \n New" in text


def test_a_named_row_joins_the_same_images_at_other_sizes(tmp_path):
    root = lay_out(tmp_path)
    half = COMPARED | {"method": "memory_bank/old", "fingerprint": "eeeeeeeeeeee"}
    settings = {"dataset": "elpv", "category": "mono", "column": "cells"}
    (root / "book" / "compare.yml").write_text(json.dumps({"memory_bank": [settings]}))
    names = comparisons.columns(root / "book" / "compare.yml", "memory_bank", "ko")
    assert compare._columns([COMPARED, half], names) == {"cells": [COMPARED, half]}
    assert len(compare._columns([COMPARED, half], {})) == 2


def compared_with(option: str, root: Path) -> str:
    """The text of the index, whose comparison has this option."""
    asked = INDEX.replace("{compare} memory_bank\n", f"{{compare}} memory_bank\n:{option}:\n")
    (root / "index.md").write_text(asked, encoding="utf-8")
    app = build(root)
    text = words((Path(app.outdir) / "index.html").read_text(encoding="utf-8"))
    app.cleanup()
    return text


def test_the_speed_is_shown_where_it_is_asked_for(tmp_path, index):
    assert "Megapixels" not in words(part(index, "book-compare"))
    text = compared_with("speed", lay_out(tmp_path))
    _, _, shown = text.partition("Megapixels a second on one core")
    assert "Method elpv/mono \n New 0.46" in shown


def test_the_way_from_random_weights_is_shown_where_it_is_asked_for(tmp_path):
    root = lay_out(tmp_path)
    random = {"name": "random:net", "image_auroc": 0.712}
    store_comparison(root, [COMPARED | {"random_weights": random}, FEW, BRICK])
    text = compared_with("random", root)
    _, _, shown = text.partition("random weights → the method’s own")
    assert "Method elpv/mono \n New 0.712 → 0.957" in shown


def test_a_baseline_of_one_method_alone_is_none_of_the_table():
    both = {"mean grey": 0.53, "Gaussian on the same features": 0.9}
    other = COMPARED | {"method": "autoencoder/other", "baselines": both}
    assert compare._baselines([COMPARED, other]) == {"mean grey": 0.53}
    assert compare._baselines([other]) == both


def test_a_family_without_record_says_so(index):
    assert "There is no comparison record of this family yet." in words(index)


def test_equal_settings_on_other_data_are_another_column(tmp_path):
    root = lay_out(tmp_path)
    other = COMPARED | {"method": "memory_bank/old", "fingerprint": "eeeeeeeeeeee"}
    later = BRICK | {"made": "2026-12-02"}
    store_comparison(root, [COMPARED, other, later])
    path = root / "book" / "methods.yml"
    entry = "name: Old\n    status: planned"
    path.write_text(METHODS.replace(entry, entry.replace("planned", "written")), encoding="utf-8")
    app = build(root)
    text = words((Path(app.outdir) / "index.html").read_text(encoding="utf-8"))
    app.cleanup()
    assert "Method elpv/mono (aaaaaaaaaaaa) elpv/mono (eeeeeeeeeeee)" in text
    assert "Made between 2026-11-30 and 2026-12-02" in text


def test_families_share_one_table_without_curves_and_those_without_record_are_named(tmp_path):
    root = lay_out(tmp_path)
    other = COMPARED | {"method": "autoencoder/other", "metrics": {"image_auroc": 0.6}}
    path = root / "book" / "results" / "compare" / "autoencoder.yml"
    path.write_text(json.dumps({"rows": [other]}), encoding="utf-8")
    page = root / "index.md"
    families = "{compare} memory_bank autoencoder gan"
    page.write_text(INDEX.replace("{compare} memory_bank", families), encoding="utf-8")
    app = build(root)
    shown = part((Path(app.outdir) / "index.html").read_text(encoding="utf-8"), "book-compare")
    app.cleanup()
    text = words(shown)
    assert "\n New 0.957 [0.940, 0.974]" in text and "\n Other 0.600" in text
    assert text.index("\n New") < text.index("\n Other") < text.index("Baseline: mean grey 0.530")
    assert "book-curve" not in shown
    assert "GAN: There is no comparison record" in text and "Autoencoder: There" not in text


def test_a_comparison_that_is_none_or_of_no_family_is_an_error_of_the_page(tmp_path):
    root = lay_out(tmp_path)
    path = root / "book" / "results" / "compare" / "memory_bank.yml"
    path.write_text("rows: 1", encoding="utf-8")
    page = root / "index.md"
    page.write_text(INDEX.replace("{compare} gan", "{compare} gna"), encoding="utf-8")
    app = build(root)
    said = app.warning.getvalue()
    app.cleanup()
    assert "compare: memory_bank.yml must hold 'rows'" in said
    assert "compare: unknown family 'gna'" in said


def test_labels_at_the_ends_of_lines_do_not_cover_each_other():
    lines = {
        name: [(20, 0.8), (192, value)] for name, value in (("A", 0.9), ("B", 0.9), ("C", 0.8))
    }
    drawn = compare.curve(lines, "described", "images")
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" text-anchor="start"', drawn)]
    gaps = [b - a for a, b in itertools.pairwise(sorted(heights))]
    assert len(heights) == 3 and min(gaps) >= 14
    flat = compare.curve({"A": [(20, 1.0), (40, 1.0)]}, "described", "images")
    assert "nan" not in flat and 'cy="12.0"' in flat


def test_the_cost_table_shows_written_methods(index):
    text = words(part(index, "book-cost"))
    assert "New 31.4 s 812 MB –" in text
    assert not re.search("Old|Half", text)


def test_the_reading_list_keeps_the_lists_words_and_links_to_the_right_paper(index):
    listing = part(index, "book-reading-list")
    assert "An old paper (2019)" in listing
    assert 'href="https://arxiv.org/abs/2001.00001"' in listing
    assert "https://arxiv.org/pdf/1" not in listing
    assert 'href="https://blog/1"' in listing and 'href="https://blog/2"' in listing
    assert "summary in Korean (blog, listed later)" in words(listing)
    assert 'href="book/memory_bank/new.html"' in listing
    assert "corrected: Conference 2020" in words(listing)
    assert "beyond the list" in words(listing)


def test_the_reading_list_folds_what_is_planned(index):
    listing = part(index, "book-reading-list")
    shown, _, folded = listing.partition("<details")
    assert "New" in words(shown) and "An old paper" not in shown
    assert "4 papers are planned" in words(folded)  # three methods and a survey
    assert "An old survey" in folded and "Half" in folded


def test_a_name_in_a_text_links_to_a_written_method_and_marks_a_planned_one(tmp_path):
    root = lay_out(tmp_path)
    page = root / "index.md"
    text = "\nFirst {method}`memory_bank/new`, then {method}`memory_bank/old`, {method}`gan/no`.\n"
    page.write_text(INDEX + text, encoding="utf-8")
    app = build(root)
    html = (Path(app.outdir) / "index.html").read_text(encoding="utf-8")
    said = app.warning.getvalue()
    app.cleanup()
    sentence = re.search(r"<p>First (.*?)</p>", html, re.DOTALL)[1]
    assert re.search(r'<a [^>]*href="book/memory_bank/new.html"', sentence)
    assert words(sentence).startswith("New, then Old planned,")
    assert sentence.count("<a ") == 1
    assert "method: unknown method 'gan/no'" in said


def test_a_written_survey_links_to_its_review(tmp_path):
    root = lay_out(tmp_path)
    path = root / "book" / "methods.yml"
    path.write_text(METHODS.replace("{id: old, status: planned", "{id: old, status: written"))
    review = root / "book" / "surveys" / "old.md"
    review.parent.mkdir()
    review.write_text("---\norphan: true\n---\n# Survey\n", encoding="utf-8")
    app = build(root)
    html = (Path(app.outdir) / "index.html").read_text(encoding="utf-8")
    app.cleanup()
    shown, _, folded = part(html, "book-reading-list").partition("<details")
    assert "An old survey" in shown and 'href="book/surveys/old.html"' in shown
    assert "An old survey" not in folded


def test_a_listed_korean_title_gives_way_to_the_papers_own_on_english_pages(pages):
    assert "Finding Edges" in part(pages["en", "index"], "book-reading-list")
    assert "엣지 추출" not in part(pages["en", "index"], "book-reading-list")
    assert "에지 추출" not in part(pages["en", "index"], "book-reading-list")
    korean = part(pages["ko", "index"], "book-reading-list")
    assert "엣지 추출" in korean and "바로잡음: 에지 추출" in korean


def test_corrections_stand_beside_what_the_list_says(index):
    text = words(part(index, "book-corrections"))
    assert "An old paper (2019)" in text
    assert "Conference 2020" in text
    assert "It is of 2020." in text
    assert "the proceedings" in text


def test_the_map_leads_to_reviews_and_for_planned_methods_to_their_papers(index):
    drawing = index[index.index('<svg class="book-map-drawing') :]
    assert re.search(r'<a class="method written"[^>]*href="book/memory_bank/new.html"', drawing)
    assert re.search(r'<a class="method planned"[^>]*href="https://arxiv.org/abs/2001', drawing)
    line = 'class="edge quiet" data-from="memory_bank/old" data-to="memory_bank/new"'
    assert drawing.count(line) == 1
    listing = words(index[index.index("book-map-list") :])
    assert "2022 New ← Old" in listing
    assert "planned: Old 2020, Half 2023" in listing


def test_the_name_of_a_box_holds_the_words_that_are_seen(index):
    drawing = re.search(r'<svg class="book-map-drawing.*?</svg>', index, re.DOTALL)[0]
    boxes = re.findall(r'<a [^>]*aria-label="([^"]+)"[^>]*>(.*?)</a>', drawing)
    assert len(boxes) == 5  # two planned methods have a paper to lead to, three are written
    for label, inner in boxes:
        seen = re.sub("<[^>]+>", "", inner)
        assert seen and label.startswith(f"{seen}, ")


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ["Photograph of a solar cell", "Anomaly map of the same cell by New"]),
        ("ko", ["태양전지 셀의 사진", "같은 셀의 New 이상 맵"]),
    ],
)
def test_the_front_shows_one_cell_and_its_map_by_each_method(book, language, texts):
    root, html = book[language], (book[language] / "index.html").read_text(encoding="utf-8")
    shown = re.search(r'<ul class="book-front-maps.*?</ul>', html, re.DOTALL)[0]
    images = re.findall(r'<img alt="([^"]+)"[^>]*src="([^"]+)"', shown)
    assert [alt.startswith(text) for (alt, _), text in zip(images, texts, strict=True)] == [
        True
    ] * 2
    greys = [Image.open(root / source).convert("L").getpixel((30, 30)) for _, source in images]
    assert greys == pytest.approx([10, 90], abs=3)  # the second column of the first and third row
    assert "New</span></a> 2022" in re.sub("<span[^>]*year[^>]*>|(?<= 2022)</span>", "", shown)


def test_the_front_counts_methods_claims_and_seconds(index):
    text = words(re.search(r'<ul class="book-front-numbers.*?</ul>', index, re.DOTALL)[0])
    assert "3 methods, each with a review and a notebook; 3 more are planned" in text
    # "faster" has no record, "steadier" could not be tested, "smaller" came out so with four seeds.
    assert "2 claims of papers tested: 1 reproduced, 0 not at this scale, 1 undecided" in text
    assert "31 s to run a notebook" in text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("memory_bank/old", "memory_bank/old is not written, so there is no map of it"),
        ("memory_bank/nwe", "did you mean 'memory_bank/new'"),
        ("autoencoder/other", "the notebook of autoencoder/other shows no gallery"),
    ],
)
def test_a_method_without_a_map_is_an_error_of_the_front_page(tmp_path, body, message):
    root = lay_out(tmp_path)
    notebook = root / "notebooks" / "autoencoder" / "other.ipynb"
    notebook.write_text('{"cells": []}', encoding="utf-8")
    (root / "index.md").write_text(f"# I\n\n```{{front-maps}}\n{body}\n```\n", encoding="utf-8")
    app = build(root)
    assert message in app.warning.getvalue()
    app.cleanup()


def test_a_path_links_what_is_written_and_adds_up_its_minutes(index):
    path = part(index, "book-path")
    table, after = path[: path.index("</table>")], path[path.index("</table>") :]
    # 1,200 + 1,140 words at 120 a minute and 31.4 s of running; two exercises and 600 words.
    first, second = words(table).split("Something new.")
    assert "1 New review, New notebook" in first
    assert "20 min" in second and "35 min" in second
    assert "Week 2 New exercises, Old review planned, Getting started" in second
    assert "About 55 min in all (planned steps not counted)." in words(after)
    links = re.findall(r'href="([^"#]+)"', table)
    assert links == [
        "book/memory_bank/new.html",
        "notebooks/memory_bank/new.html",
        "notebooks/memory_bank/new.html",
        "book/guide/start.html",
    ]


def test_a_path_takes_as_long_in_both_languages(pages):
    minutes = [
        re.findall(r"(\d+)(?: min|분)", words(part(pages[language, "index"], "book-path")))
        for language in LANGUAGES
    ]
    assert minutes[0] == minutes[1] and minutes[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "a path is a list of steps"),
        ("- [", "not valid YAML"),
        ("- {do: [read memory_bank/new]}", "step 1 must have 'do', a list, 'adds', a text"),
        ("- {do: [read memory_bank/new], adds: A, ads: B}", "step 1 must have"),
        ("- {do: [watch memory_bank/new], adds: A}", "'watch memory_bank/new' must be one of read"),
        ("- {do: [run memory_bank/nwe], adds: A}", "did you mean 'memory_bank/new'"),
        ("- {do: [read guide/end], adds: A}", "there is no book/guide/end.en.md"),
    ],
)
def test_a_broken_path_is_named(tmp_path, body, message):
    root = lay_out(tmp_path)
    (root / "index.md").write_text(f"# I\n\n```{{learning-path}}\n{body}\n```\n", encoding="utf-8")
    app = build(root)
    assert message in app.warning.getvalue()
    app.cleanup()


def test_a_stored_figure_comes_with_its_section_texts_and_width(tmp_path):
    store(tmp_path, "a/b", [])
    found = stored_figures.figures(tmp_path / "notebooks" / "a" / "b.ipynb")
    assert [(f.section, f.alt, f.mime, f.width) for f in found] == [
        ("maps", {"ko": "이상 맵", "en": "Maps"}, "image/jpeg", 150)
    ]
    assert Image.open(io.BytesIO(found[0].data)).size == (300, 300)


def test_what_is_no_notebook_has_no_figures_and_says_so(tmp_path):
    with pytest.raises(stored_figures.FigureError, match=r"b\.ipynb: the notebook does not exist"):
        stored_figures.figures(tmp_path / "b.ipynb")
    (tmp_path / "b.ipynb").write_text('{"cells": 3}', encoding="utf-8")
    with pytest.raises(stored_figures.FigureError, match=r"b\.ipynb is not a notebook"):
        stored_figures.figures(tmp_path / "b.ipynb")


def test_the_tiles_of_a_gallery_are_its_pictures_without_frame_and_titles(tmp_path):
    store(tmp_path, "a/b", [])
    (figure,) = stored_figures.figures(tmp_path / "notebooks" / "a" / "b.ipynb")
    tiles = stored_figures.tiles(figure)
    assert [len(row) for row in tiles] == [3] * 4
    for row, column in itertools.product(range(4), range(3)):
        picture = Image.open(io.BytesIO(tiles[row][column].data)).convert("L")
        low, high = picture.getextrema()
        level = 40 * row + 10 * column
        assert level - 8 <= low and high <= level + 8  # nothing of the white around it
        assert 56 <= picture.width <= 61 and 56 <= picture.height <= 61
        assert tiles[row][column].width == pytest.approx(picture.width / 2, abs=1)


def test_every_method_on_the_front_page_shows_the_same_cell():
    """Photograph and maps stand side by side: all must be of the cell that the first one shows."""
    root = Path(__file__).resolve().parent.parent
    page = (root / "book" / "index.en.md").read_text(encoding="utf-8")
    names = re.search(r"```\{front-maps\}\n(.*?)```", page, re.DOTALL)[1].split()
    photos = []
    for name in names:
        figures = stored_figures.figures(root / "notebooks" / f"{name}.ipynb")
        tiles = next(t for f in figures if len(t := stored_figures.tiles(f)) == 4)
        photo = Image.open(io.BytesIO(tiles[0][1].data)).convert("L").resize((32, 32))
        photos.append(list(photo.tobytes()))
    for name, photo in zip(names, photos, strict=True):
        assert sum(abs(a - b) for a, b in zip(photo, photos[0], strict=True)) / 1024 < 3, name


def test_korean_pages_speak_korean_and_keep_the_numbers(pages):
    text = words(pages["ko", "book/memory_bank/new"])
    assert "난이도" in text
    assert "●●○ 보통" in text
    assert "재현됨" in text
    assert "재인용: 요약 글" in text
    assert "이미지 AUROC 0.957 [0.940, 0.974]" in text
    assert "시드 5개 중 4개" in text
    assert "\n 1%에서의 AUROC 0.950" in text
    assert "\n 정상 이미지의 오탐률 –" in text
    assert "무작위 가중치 기준: 초기 가중치 0.710" in text
    assert "측정 불가: 마스크 없음" in text
    assert "\n 테스트 이미지 260" in text
    numbers = {
        language: sorted(re.findall(r"\d+\.\d+", words(pages[language, "book/memory_bank/new"])))
        for language in LANGUAGES
    }
    assert numbers["ko"] == numbers["en"]


@pytest.mark.parametrize(
    ("name", "korean"),
    [
        ("image AUROC", "이미지 AUROC"),
        ("image AUROC, 25 normals", "이미지 AUROC, 정상 이미지 25장"),
        ("AUROC, kernels (3, 1)", "AUROC, 커널 (3, 1)"),
        ("loss, gain 0.7, of its own", "손실, 배율 0.7, of its own"),
    ],
)
def test_a_measured_value_is_called_in_korean_as_far_as_words_are_known(name, korean):
    known = {"kernels (#, #)": "커널 (#, #)", "gain #": "배율 #"}
    assert book_words.call(name, "ko", known) == korean
    assert book_words.call(name, "en", known) == name


def test_a_quiz_works_without_script_and_names_itself(review):
    shown = review[review.index("book-question") :]
    assert 'data-quiz="book/memory_bank/new#quiz-1"' in shown
    assert shown.count('<input type="radio" name="quiz-1"') == 2
    assert shown.count('data-right="true"') == 1
    assert 'class="math' in shown
    assert "<em>square</em>" in shown
    assert re.search(r"<label[^>]*>.*matrix.*</label>", shown, re.DOTALL)


def test_the_options_of_a_quiz_are_shuffled_and_always_in_the_same_way(review):
    (question,) = quiz.parse(QUIZ)
    order = [option.right for option in quiz.shuffled(question, "book/memory_bank/new#quiz-1")]
    assert re.findall(r'data-right="(\w+)"', review) == [str(right).lower() for right in order]

    def letters(name: str, alphabet: str = "abc") -> str:
        options = tuple(quiz.Option(letter, letter == "a", "") for letter in alphabet)
        shown = quiz.shuffled(quiz.Question("?", options), name)
        return "".join(option.text for option in shown)

    names = [quiz.name_of(f"book/family/page{i}", n) for i in range(100) for n in (1, 2, 3)]
    assert [letters(name) for name in names[:4]] == ["bac", "cba", "cba", "cba"]  # in every build
    translated = [
        letters(name, "가나다").translate(str.maketrans("가나다", "abc")) for name in names
    ]
    assert [letters(name) for name in names] == translated
    places = [letters(name).index("a") for name in names]
    assert all(75 <= places.count(place) <= 125 for place in range(3))
    assert len({letters(name) for name in names}) == 6


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "a quiz is a list of questions"),
        ("- q: [", "not valid YAML"),
        ("- q: Why?", "question 1: 'options' is missing"),
        (QUIZ.replace("right: true", "right: false"), "exactly one option is right, found 0"),
        (QUIZ.replace("right: false", "right: true"), "exactly one option is right, found 2"),
        (QUIZ.replace("why: Not here.", "why: ''"), "question 1, option 2: 'why' must be str"),
        (QUIZ.replace("why:", "because:"), "unknown key 'because'|'why' is missing"),
    ],
)
def test_a_broken_quiz_is_named(body, message):
    with pytest.raises(quiz.QuizError, match=message):
        quiz.parse(body)


def test_a_method_that_does_not_exist_is_an_error_of_the_page(tmp_path):
    root = lay_out(tmp_path)
    page = root / "book" / "memory_bank" / "new.md"
    page.write_text(PAGE.replace("card} memory_bank/new", "card} memory_bank/nwe"), "utf-8")
    app = build(root)
    assert "unknown method 'memory_bank/nwe'; did you mean 'memory_bank/new'?" in (
        app.warning.getvalue()
    )
    app.cleanup()


def test_a_changed_notebook_or_registry_redraws_the_pages_that_show_it(tmp_path):
    root = lay_out(tmp_path)
    build(root).cleanup()
    store(root, "memory_bank/new", [RECORD | {"metrics": {"image_auroc": 0.888}, "intervals": {}}])
    notebook = root / "notebooks" / "memory_bank" / "new.ipynb"
    later = notebook.stat().st_mtime + 5
    os.utime(notebook, (later, later))
    app = build(root)
    for name in ("index", "book/memory_bank/new"):
        assert "0.888" in (Path(app.outdir) / f"{name}.html").read_text(encoding="utf-8"), name
    app.cleanup()

    path = root / "book" / "methods.yml"
    path.write_text(METHODS.replace("It is better.", "It wins."), encoding="utf-8")
    os.utime(path, (later + 5, later + 5))
    app = build(root)
    page = (Path(app.outdir) / "book/memory_bank/new.html").read_text(encoding="utf-8")
    assert "It wins." in page
    app.cleanup()


def test_a_notebook_that_was_never_run_says_so(tmp_path):
    root = lay_out(tmp_path)
    store(root, "memory_bank/new", [])
    app = build(root)
    page = (Path(app.outdir) / "book/memory_bank/new.html").read_text(encoding="utf-8")
    assert "No record yet." in page
    assert app.warning.getvalue() == ""
    app.cleanup()


def test_the_map_of_the_whole_book_leaves_no_method_out_and_lets_no_boxes_overlap():
    known = registry.load(Path(__file__).resolve().parent.parent / "book" / "methods.yml")
    boxes, _, height = field_map.place(known)
    assert set(boxes) == set(known.methods)
    places = [(box.x, box.y) for box in boxes.values()]
    assert len(set(places)) == len(places)
    for column in {box.column for box in boxes.values()}:
        ys = sorted(box.y for box in boxes.values() if box.column == column)
        assert all(b - a >= field_map.ROW for a, b in itertools.pairwise(ys))
        assert ys[-1] < height
    for method in known.methods.values():
        for language in LANGUAGES:
            lines = field_map.wrapped(method.title(language), 13)
            assert len(lines) <= 2
            assert max(map(field_map.measure, lines)) <= 15, method.title(language)


def test_no_line_of_the_map_runs_through_a_box_and_each_runs_straight_across_or_down():
    known = registry.load(Path(__file__).resolve().parent.parent / "book" / "methods.yml")
    boxes, _, _ = field_map.place(known)
    lines = field_map.routes(boxes)
    assert len(lines) == sum(len(method.builds_on) for method in known.methods.values()) > 20
    half, tall = field_map.BOX / 2, (field_map.ROW - 6) / 2
    for start, end, points in lines:
        assert abs(points[0][0] - start.x) == half and points[0][1] == start.y
        assert abs(points[-1][0] - end.x) == half and points[-1][1] == end.y
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            assert x0 == x1 or y0 == y1
            for box in boxes.values():
                beside = max(x0, x1) <= box.x - half or min(x0, x1) >= box.x + half
                above = max(y0, y1) <= box.y - tall or min(y0, y1) >= box.y + tall
                assert beside or above, (start.method.id, end.method.id, box.method.id)


def test_only_lines_between_written_methods_are_always_seen():
    known = registry.load(Path(__file__).resolve().parent.parent / "book" / "methods.yml")
    drawn = field_map.draw(known, "en", {})
    for ends in re.findall(r'class="edge" data-from="([^"]+)" data-to="([^"]+)"', drawn):
        assert all(known.method(name).written for name in ends)
