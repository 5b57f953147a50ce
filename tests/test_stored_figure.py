"""``{stored-figure}``: a figure comes from the notebook, with its text, origin and credit."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from sample_book import build_page
from sphinx.testing.util import SphinxTestApp
from test_directives import words

#: Stand for two figures: whoever only passes them on need not read them.
PICTURES = ["first picture", "second picture"]
METHODS = """
families: [{id: memory_bank, ko: 메모리 뱅크, en: Memory bank}]
surveys: []
methods:
  - {id: memory_bank/new, name: New, status: written, listed: null, year: 2022, difficulty: 2}
"""
PAGE = """# Page

```{toctree}
notebooks/memory_bank/new
```
```{stored-figure} memory_bank/new scores 2
What the $x$ shows.
```
```{stored-figure} memory_bank/new scores
:credit: none
Computed.
```
"""


def build(root: Path, page: str, language: str = "en") -> SphinxTestApp:
    """A book of one page and one notebook with two figures in its section "scores"."""
    alt = {"section": "scores", "alt-ko": "두 점", "alt-en": "Two dots"}
    outputs = [
        {"metadata": {}, "data": {"image/png": base64.b64encode(text.encode()).decode()}}
        for text in PICTURES
    ]
    cells = [{"metadata": alt, "outputs": outputs}]
    files = {
        "book/methods.yml": METHODS,
        "index.md": page,
        "notebooks/memory_bank/new.md": "(memory_bank-new-nb-scores)=\n# Notebook\n",
        "notebooks/memory_bank/new.ipynb": json.dumps({"cells": cells}),
    }
    return build_page(root, files, language)


@pytest.mark.parametrize(
    ("language", "alt", "said"), [("en", "Two dots", "Images"), ("ko", "두 점", "이미지")]
)
def test_a_figure_is_taken_from_the_notebook_with_text_origin_and_credit(
    tmp_path, language, alt, said
):
    app = build(tmp_path, PAGE, language)
    assert app.warning.getvalue() == ""
    html = (Path(app.outdir) / "index.html").read_text(encoding="utf-8")
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    shown = [re.search(r'alt="([^"]*)"[^>]*src="([^"]+)"', figure) for figure in figures]
    assert [found and found[1] for found in shown] == [alt, alt]
    files = [(Path(app.outdir) / found[2]).read_text() for found in shown]
    app.cleanup()
    assert files == ["second picture", "first picture"], "the one that was asked for"
    assert 'href="notebooks/memory_bank/new.html#memory-bank-new-nb-scores"' in figures[0]
    assert f"{said}: ELPV" in words(figures[0]) and "by-nc-sa" in figures[0]
    assert "ELPV" not in figures[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("memory_bank/new scores 3", "has 2 figures in section 'scores', number '3'"),
        ("memory_bank/new nowhere", "has 0 figures in section 'nowhere'"),
        ("memory_bank/nothing scores", "nothing.ipynb: the notebook does not exist"),
        ("memory_bank/new scores\n:credit: me", "choose from"),
    ],
)
def test_a_figure_that_does_not_exist_is_an_error_of_the_page(tmp_path, arguments, message):
    app = build(tmp_path, f"{PAGE}```{{stored-figure}} {arguments}\n```\n")
    warned = app.warning.getvalue()
    app.cleanup()
    assert message in warned
