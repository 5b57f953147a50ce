"""A book of a few pages with the real machinery, for tests that build the site another way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import registry
from sphinx.testing.util import SphinxTestApp

ROOT = Path(__file__).resolve().parent.parent
#: The smallest figure: one grey pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
INDEX = {
    "ko": "(index)=\n# 표본 책\n\n(index-start)=\n## 시작하기\n\n결함 이야기입니다.\n",
    "en": "(index)=\n# Sample book\n\n(index-start)=\n## Begin\n\nA story of defects.\n",
}
REVIEW = {
    "ko": "(patchcore)=\n# PatchCore\n\n(patchcore-idea)=\n## 생각\n\n$$ s = d $$ (eq-s)\n",
    "en": "(patchcore)=\n# PatchCore\n\n(patchcore-idea)=\n## The idea\n\n$$ s = d $$ (eq-s)\n",
}
#: A method that is being written.
DRAFT = "sample/draft"
DRAFT_ENTRIES = {
    "families": "{id: sample, ko: 표본, en: Sample}",
    "methods": f"{{id: {DRAFT}, name: D, status: draft, listed: null, year: 1, difficulty: 1}}",
}
CONTENTS = """format: jb-book
root: book/index
parts:
  - caption: 메모리 뱅크 | Memory bank
    chapters:
      - file: book/memory_bank/patchcore
      - file: notebooks/memory_bank/patchcore
        title: "PatchCore · 노트북 | PatchCore · notebook"
"""


def markdown(source: str, *, language: str | None = None, section: str | None = None) -> dict:
    """Return a prose cell, tagged with its language."""
    metadata: dict = {"tags": [f"lang-{language}"]} if language else {}
    if section:
        metadata["section"] = section
    return {"cell_type": "markdown", "metadata": metadata, "source": source}


def notebook() -> dict:
    """Return a small bilingual notebook with one figure and one folded solution."""
    solution = (
        "<details>\n<summary>{}</summary>\n\n$r^2$\n\n```python\nradius = 2\n```\n\n</details>"
    )
    code = {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {"alt-ko": "회색 점 하나", "alt-en": "One grey dot"},
        "outputs": [
            {
                "output_type": "display_data",
                "data": {"image/png": PIXEL, "text/plain": "<figure: dot>"},
                "metadata": {},
            }
        ],
        "source": "show(figure)",
    }
    cells = [
        markdown("# PatchCore"),
        markdown("## 데이터\n\n정상 이미지만 씁니다.", language="ko", section="data"),
        markdown("## Data\n\nOnly normal images are used.", language="en", section="data"),
        code,
        markdown("## 연습 문제 1", language="ko", section="exercise-1"),
        markdown("## Exercise 1", language="en", section="exercise-1"),
        markdown(solution.format("풀이"), language="ko"),
        markdown(solution.format("Solution"), language="en"),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def write_draft(root: Path) -> None:
    """Begin a method of a new family: status `draft`, an unfinished review, a bare notebook."""
    registry = root / "book" / "methods.yml"
    text = registry.read_text(encoding="utf-8")
    for heading, entry in DRAFT_ENTRIES.items():
        text = text.replace(f"\n{heading}:\n", f"\n{heading}:\n  - {entry}\n")
    registry.write_text(text, encoding="utf-8")
    for page in (
        root / "book" / f"{DRAFT}.ko.md",
        (root / "book" / DRAFT).with_name("index.ko.md"),
    ):
        page.parent.mkdir(exist_ok=True)
        page.write_text("# TODO(author)\n\n{doc}`nowhere`\n", encoding="utf-8")
    path = root / "notebooks" / f"{DRAFT}.ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps(notebook() | {"cells": []}), encoding="utf-8")


def write_sample(root: Path) -> Path:
    """Lay the machinery, the sample pages and a draft out in `root`; return it."""
    shutil.copytree(
        ROOT / "book",
        root / "book",
        ignore=shutil.ignore_patterns("*.ko.md", "*.en.md", "__pycache__", "mathjax", "figures"),
    )
    (root / "book" / "_static" / "mathjax").mkdir()
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root / name)
    (root / "_toc.yml").write_text(CONTENTS, encoding="utf-8")
    for language in ("ko", "en"):
        for name, pages in (("index", INDEX), ("memory_bank/patchcore", REVIEW)):
            page = root / "book" / f"{name}.{language}.md"
            page.parent.mkdir(exist_ok=True)
            page.write_text(pages[language], encoding="utf-8")
    path = root / "notebooks" / "memory_bank" / "patchcore.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook(), ensure_ascii=False, indent=1), encoding="utf-8")
    write_draft(root)
    return root


def build_page(
    root: Path, files: Mapping[str, str], language: str = "en", **settings: object
) -> SphinxTestApp:
    """Build a page, index.md, and what it draws from; the result lies in root/_build/html."""
    files = {"book/references.bib": "", "conf.py": "", **files}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    settings = {
        "extensions": ["myst_parser", "directives"],
        "language": language,
        "myst_enable_extensions": ["dollarmath"],
        "html_theme": "basic",
        "exclude_patterns": ["_build", "**/*.ipynb"],
        **settings,
    }
    app = SphinxTestApp("html", srcdir=root, confoverrides=settings, freshenv=False)
    app.build()
    return app


def schematics_shown() -> set[str]:
    """Names of the drawings that some page of the book shows: those of drafts are not built."""
    hidden = registry.load(ROOT / "book" / "methods.yml").hidden()
    names = {name.removesuffix("/index").split("/")[-1] for name in hidden}
    return {path.stem for path in (ROOT / "book/_static/figures").glob("*.svg")} - names
