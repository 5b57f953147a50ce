"""Korean and English say the same: same labels, formulas, citations, numbers, directives.

What is compared in a page, and how tolerant the comparison is:

- labels, headings (their levels), directives with their machine-read arguments, roles and link
  targets, formulas, and tables (rows and columns) must be equal, in order where order matters;
- a directive's argument is compared unless the Korean one holds Hangul (then it is a title);
- `\\text{...}` in a formula counts as part of it: formulas hold no translated words;
- numerals of the prose are compared as a bag. 30장 and 30 are one number; 1만 is 10,000 and
  "1 million" is 1,000,000; thousands separators are dropped. Whole numbers up to twelve are not
  compared, because prose writes them out (세 번, three times); nor is the base in 16진수
  (hexadecimal). Numerals in formulas are compared
  there; those in code and addresses are not prose.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import bilingual
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
HANGUL = re.compile("[가-힣]")
PAGES = sorted((ROOT / "book").rglob("*.ko.md"))
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)

LABEL = re.compile(r"^\(([^)\n]+)\)=[ \t]*$", re.MULTILINE)
HEADING = re.compile(r"^(#{1,6})[ \t]+\S", re.MULTILINE)
FENCE = re.compile(r"^[ \t]*(`{3,}|:{3,}|~{3,})\{([\w:-]+)\}[ \t]*(.*?)[ \t]*$", re.MULTILINE)
CODE_BLOCK = re.compile(
    r"^[ \t]*(`{3,}|~{3,})(\w+)?[ \t]*\n(.*?)^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL
)
MATH_FENCE = re.compile(r"^(`{3,}|:{3,})\{math\}.*?\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(
    r"^[ \t]*:(label|name|width|class|gutter|columns|filter|style):[ \t]*(.*?)[ \t]*$", re.MULTILINE
)
MATH_BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
MATH_INLINE = re.compile(r"(?<![\\$])\$(?!\s)([^$\n]+?)(?<![\s\\])\$(?!\d)")
ROLE = re.compile(r"\{([\w:-]+)\}`([^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)|<(https?://[^>\s]+)>")
CODE = re.compile(r"(`+)(.+?)\1")
COMMENT = re.compile(r"^%.*$|<!--.*?-->", re.MULTILINE | re.DOTALL)
TABLE_ROW = re.compile(r"^[ \t]*\|(.+)\|[ \t]*$", re.MULTILINE)
NUMERAL = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!진수|진법)")
SCALE = {"만": 1e4, "억": 1e8, "thousand": 1e3, "million": 1e6, "billion": 1e9}
SPELLED_OUT = 12


@dataclass
class Facts:
    """What a text must share with its translation."""

    labels: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    directives: list[tuple[str, str]] = field(default_factory=list)
    options: list[tuple[str, str]] = field(default_factory=list)
    formulas: Counter = field(default_factory=Counter)
    references: Counter = field(default_factory=Counter)
    links: Counter = field(default_factory=Counter)
    code: Counter = field(default_factory=Counter)
    tables: list[int] = field(default_factory=list)
    numbers: Counter = field(default_factory=Counter)


def numbers(prose: str) -> Counter:
    """Count the numerals of a text, whole numbers up to twelve left out."""
    found: Counter = Counter()
    for match in NUMERAL.finditer(prose):
        value = float(match[0].replace(",", ""))
        unit = re.match(r"[ \u00a0]?(만|억|thousand|million|billion)", prose[match.end() :])
        value *= SCALE[unit[1]] if unit else 1
        if value > SPELLED_OUT or value != int(value):
            found[f"{value:g}" if value < 1e6 else str(int(value))] += 1
    return found


def facts(text: str) -> Facts:
    """Read the facts of a MyST text."""
    text = COMMENT.sub("", text)
    text, found = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL), Facts()
    found.labels = LABEL.findall(text)
    found.formulas = Counter(" ".join(body.split()) for _, body in MATH_FENCE.findall(text))
    text = MATH_FENCE.sub("", text)
    found.code = Counter(language or "" for _, language, _ in CODE_BLOCK.findall(text))
    text = CODE_BLOCK.sub("", text)
    found.headings = HEADING.findall(text)
    found.directives = [(name, argument) for _, name, argument in FENCE.findall(text)]
    found.options = OPTION.findall(text)
    found.formulas += Counter(" ".join(body.split()) for body in MATH_BLOCK.findall(text))
    text = MATH_BLOCK.sub(" ", text)
    for name, content in ROLE.findall(text):
        target = re.search(r"<([^>]+)>$", content)
        found.references[(name, target[1] if target else content)] += 1
    text = ROLE.sub(
        lambda match: re.sub(r"<[^>]+>$", "", match[2]) if "<" in match[2] else "", text
    )
    found.links = Counter(first or second for first, second in LINK.findall(text))
    text = LINK.sub(lambda match: match[0].partition("](")[0] if match[1] else "", text)
    text = CODE.sub(" ", text)
    found.formulas += Counter(" ".join(body.split()) for body in MATH_INLINE.findall(text))
    text = MATH_INLINE.sub(" ", text)
    found.tables = [row.count("|") for row in TABLE_ROW.findall(text)]
    text = LABEL.sub("", OPTION.sub("", FENCE.sub("", text)))
    found.numbers = numbers(text)
    return found


def differences(korean: str, english: str) -> list[str]:
    """Return one line for each thing that the two texts do not share."""
    ko, en, lines = facts(korean), facts(english), []
    pairs = [(a, b) for a, b in zip(ko.directives, en.directives, strict=False)]
    arguments_differ = any(
        a[0] != b[0] or (not HANGUL.search(a[1]) and a[1] != b[1]) for a, b in pairs
    )
    if len(ko.directives) != len(en.directives) or arguments_differ:
        lines.append(f"directives: {ko.directives} / {en.directives}")
    for name in ("labels", "headings", "options", "tables"):
        a, b = getattr(ko, name), getattr(en, name)
        if a != b:
            lines.append(f"{name}: only Korean {_extra(a, b)}, only English {_extra(b, a)}")
    for name in ("formulas", "references", "links", "code", "numbers"):
        a, b = getattr(ko, name), getattr(en, name)
        if a != b:
            lines.append(f"{name}: only Korean {dict(a - b)}, only English {dict(b - a)}")
    return lines


def _extra(ours: list, theirs: list) -> list:
    extra = list((Counter(map(str, ours)) - Counter(map(str, theirs))).elements())
    return extra or (["another order"] if len(ours) == len(theirs) else [])


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix().removesuffix(".ko.md")


def test_every_page_exists_in_both_languages() -> None:
    assert [path.as_posix() for path in bilingual.missing_translations(ROOT)] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
class TestPage:
    def test_says_the_same_in_both_languages(self, page: Path) -> None:
        english = page.with_name(page.name.replace(".ko.md", ".en.md"))
        found = differences(page.read_text(encoding="utf-8"), english.read_text(encoding="utf-8"))
        assert not found, "\n".join(found)

    @pytest.mark.parametrize("language", ["ko", "en"])
    def test_every_heading_has_a_label_of_its_own(self, page: Path, language: str) -> None:
        path = page.with_name(page.name.replace(".ko.md", f".{language}.md"))
        text = CODE_BLOCK.sub("", path.read_text(encoding="utf-8"))
        lines = [line.rstrip() for line in text.splitlines()]
        for number, line in enumerate(lines):
            if HEADING.match(line):
                above = next((each for each in reversed(lines[:number]) if each), "")
                assert LABEL.match(above), f"{path.name}: no label before {line!r}"

    @pytest.mark.parametrize("language", ["ko", "en"])
    def test_quizzes_have_the_same_right_answers(self, page: Path, language: str) -> None:
        def answers(code: str) -> list[list[bool]]:
            text = page.with_name(page.name.replace(".ko.md", f".{code}.md")).read_text(
                encoding="utf-8"
            )
            bodies = re.findall(
                r"^(`{3,}|:{3,})\{quiz\}.*?\n(.*?)^\1[ \t]*$", text, re.MULTILINE | re.DOTALL
            )
            questions = [question for _, body in bodies for question in yaml.safe_load(body)]
            return [
                [bool(each.get("right")) for each in question["options"]] for question in questions
            ]

        assert answers(language) == answers("ko")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT).as_posix())
class TestNotebook:
    def test_every_prose_cell_stands_in_korean_and_then_in_english(self, path: Path) -> None:
        problems = notebook_problems(json.loads(path.read_text(encoding="utf-8")))
        assert not problems, "\n".join(problems)


def notebook_problems(notebook: dict) -> list[str]:
    """Return one line for each place where a notebook's languages part."""
    problems, cells, number = [], notebook["cells"], 0
    while number < len(cells):
        cell = cells[number]
        tags, source = cell["metadata"].get("tags", []), "".join(cell["source"])
        where = f"cell {number + 1}"
        if cell["cell_type"] == "code":
            problems += [f"{where}: {line}" for line in _figure_problems(cell)]
        elif "lang-en" in tags:
            problems.append(f"{where}: English without Korean before it")
        elif "lang-ko" in tags:
            partner = (
                cells[number + 1] if number + 1 < len(cells) else {"metadata": {}, "source": ""}
            )
            if "lang-en" not in partner["metadata"].get("tags", []):
                problems.append(f"{where}: Korean without English after it")
            else:
                if cell["metadata"].get("section") != partner["metadata"].get("section"):
                    problems.append(f"{where}: another `section` than its English cell")
                english = "".join(partner["source"])
                problems += [f"{where}: {line}" for line in differences(source, english)]
                if source.count("<details") != english.count("<details"):
                    problems.append(f"{where}: another number of <details> than its English cell")
                if HANGUL.search(re.sub(r"`[^`]*`", "", english)):
                    problems.append(f"{where}: Hangul in its English cell")
                number += 1
        elif HANGUL.search(source):
            problems.append(f"{where}: Korean prose without a language tag")
        number += 1
    return problems


def _figure_problems(cell: dict) -> list[str]:
    outputs = cell.get("outputs", [])
    if not any(mime.startswith("image/") for each in outputs for mime in each.get("data", {})):
        return []
    korean, english = (cell["metadata"].get(f"alt-{code}", "") for code in ("ko", "en"))
    lines = []
    if not HANGUL.search(korean):
        lines.append("its figure has no Korean text (alt-ko)")
    if not english or HANGUL.search(english):
        lines.append("its figure has no English text (alt-en)")
    if numbers(korean) != numbers(english):
        lines.append("the texts of its figure hold other numbers")
    return lines


# --- the comparison itself ----------------------------------------------------------------------

KOREAN = """(a)=
# 제목

(a-b)=
## 절

{cite:t}`x2020` 는 $s = \\max d$ 를 씁니다. 267장을 41초에 처리했습니다. 세 번 쟀습니다.

| 방법 | AUROC |
|---|---|
| A | 0.957 |

```{note}
1만 장.
```
"""
ENGLISH = """(a)=
# Title

(a-b)=
## Section

{cite:t}`x2020` uses $s = \\max d$. It took 41 s for 267 images, measured 3 times.

| Method | AUROC |
|---|---|
| A | 0.957 |

```{note}
10,000 images.
```
"""


def test_a_faithful_translation_passes() -> None:
    assert differences(KOREAN, ENGLISH) == []


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("(a-b)=", "(a-c)=", "labels"),
        ("## Section", "### Section", "headings"),
        ("x2020", "y2021", "references"),
        ("\\max d", "\\min d", "formulas"),
        ("0.957", "0.975", "numbers"),
        ("267 images", "276 images", "numbers"),
        ("10,000", "1,000", "numbers"),
        ("| A | 0.957 |\n", "", "tables"),
        ("{note}", "{warning}", "directives"),
    ],
)
def test_what_a_translation_changes_is_named(old: str, new: str, kind: str) -> None:
    assert old in ENGLISH
    assert any(line.startswith(kind) for line in differences(KOREAN, ENGLISH.replace(old, new)))


def test_a_cell_without_its_partner_is_named() -> None:
    korean = {"cell_type": "markdown", "metadata": {"tags": ["lang-ko"]}, "source": "안녕"}
    english = {"cell_type": "markdown", "metadata": {"tags": ["lang-en"]}, "source": "hello"}
    assert notebook_problems({"cells": [korean, english]}) == []
    assert "without English" in notebook_problems({"cells": [korean]})[0]
    assert "without Korean" in notebook_problems({"cells": [english]})[0]
    untagged = {**korean, "metadata": {}}
    assert "without a language tag" in notebook_problems({"cells": [untagged]})[0]
