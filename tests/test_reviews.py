"""Every review: its ten parts, its length, its quiz, and no number of a paper typed by hand."""

import re
from collections import Counter
from pathlib import Path

import pytest
import registry
import yaml
from constants import LANGUAGES
from directives.quiz import name_of, parse, shuffled

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
REGISTRY = registry.load(BOOK / "methods.yml")
REVIEWS = [
    pytest.param(method, language, id=f"{method.id}.{language}")
    for method in REGISTRY.written()
    for language in LANGUAGES
]
#: The ten parts of a review, in order, by the end of their label.
PARTS = (
    *("card", "summary", "picture", "method", "paper"),
    *("measured", "critical", "practice", "family", "quiz"),
)
#: Words of a review as a reader sees it; a Korean word is what stands between two spaces.
LENGTH = {"en": (700, 1300), "ko": (500, 950)}
#: The longest option of a question has at most so many times the characters of the shortest.
EVEN = 1.35
#: A directive that each of these parts draws from the registry or the records.
DRAWN = {
    "card": "method-card",
    "paper": "headline",
    "measured": "measured",
    "quiz": "quiz",
}

LABEL = re.compile(r"^\(([a-z0-9_-]+)\)=$", re.MULTILINE)
BLOCK = re.compile(r"^```\{([a-z-]+)\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\{[a-z]+\}`([^`<]+?) *<[^`>]*>`")
HIDDEN = re.compile(
    r"^\([\w-]+\)=$"  # labels
    r"|^:(?!alt:)[\w-]+:.*$"  # options of directives; alternative text is read out
    r"|^\s*right:.*$|^\s*(?:- )?(?:q|options|text|why):|^:alt:"  # keys of the quiz
    r"|\$\$.*?\$\$|\$[^$\n]*\$"  # formulas
    r"|\{[a-z]+\}`[^`]*`"  # references without a text of their own
    r"|\]\([^)]*\)",  # addresses
    re.MULTILINE,
)


def read(method: registry.Method, language: str) -> str:
    """The text of one review."""
    return (ROOT / f"{method.review}.{language}.md").read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """The text below each label."""
    pieces = LABEL.split(text)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def visible_words(text: str) -> list[str]:
    """What a reader reads: prose, alternative text and quiz; no formulas, labels or settings."""

    def shown(block: re.Match[str]) -> str:
        return block[2] if block[1] in ("quiz", "figure", "admonition", "note") else " "

    text = LINK.sub(r"\1", BLOCK.sub(shown, text))
    return [word for word in HIDDEN.sub(" ", text).split() if re.search(r"\w", word)]


def quiz_source(text: str) -> str:
    """The body of a review's quiz."""
    bodies = [block[2] for block in BLOCK.finditer(text) if block[1] == "quiz"]
    assert len(bodies) == 1, f"a review has one quiz, found {len(bodies)}"
    return bodies[0]


def quiz(text: str) -> list[dict]:
    """The questions of a review's quiz."""
    return yaml.safe_load(quiz_source(text))


def seen(option: str) -> str:
    """An option without marks of Markdown and TeX; a named sign of a formula counts as one."""
    return re.sub(r"[$*`{}^_]", "", re.sub(r"\\[a-zA-Z]+", "x", re.sub(r"\\[,;! ]", "", option)))


@pytest.mark.parametrize(("method", "language"), REVIEWS)
def test_a_review_has_the_ten_parts_in_order(method, language):
    page = method.id.split("/")[1]
    labels = LABEL.findall(read(method, language))
    assert labels == [page, *(f"{page}-{part}" for part in PARTS)]


@pytest.mark.parametrize(("method", "language"), REVIEWS)
def test_what_the_registry_and_the_records_know_is_drawn_from_them(method, language):
    text = read(method, language)
    found = sections(text)
    page = method.id.split("/")[1]
    for part, directive in DRAWN.items():
        names = [block[1] for block in BLOCK.finditer(found[f"{page}-{part}"])]
        assert directive in names, f"part {part} lacks {{{directive}}}"
    for name, argument in re.findall(r"^```\{([a-z-]+)\} *(.*)$", text, re.MULTILINE):
        if name in ("method-card", "headline", "measured", "claims-table"):
            assert argument == method.id, f"{{{name}}} of another method: {argument!r}"


@pytest.mark.parametrize(("method", "language"), REVIEWS)
def test_a_review_shows_the_notebooks_gallery_and_one_more_of_its_figures(method, language):
    text = read(method, language)
    shown = re.findall(r"^```\{stored-figure\} (\S+) (.+)$", text, re.MULTILINE)
    assert {name for name, _ in shown} == {method.id}, "figures of its own notebook, from there"
    assert len(set(shown)) >= 2, "a gallery, and a figure that carries the idea"
    measured = sections(text)[f"{method.id.split('/')[1]}-measured"]
    assert measured.index("{stored-figure}") < measured.index("{measured}"), "pictures come first"
    assert "![" not in text and not re.search(r"\{(?:figure|image)\} .*\.(?:png|jpe?g)", text)


@pytest.mark.parametrize(("method", "language"), REVIEWS)
def test_a_summary_of_a_later_reading_list_is_linked_as_such(method, language):
    text = sections(read(method, language))[f"{method.id.split('/')[1]}-family"]
    said = {
        "ko": "읽기 목록에 나중에 추가되었습니다",
        "en": "A later state of the reading list links",
    }
    assert (said[language] in text) == bool(method.later_summary), "the list's own, or a later one?"
    assert not method.later_summary or f"]({method.later_summary})" in text


@pytest.mark.parametrize(("method", "language"), REVIEWS)
def test_a_review_is_neither_a_note_nor_a_chapter(method, language):
    low, high = LENGTH[language]
    count = len(visible_words(read(method, language)))
    assert low <= count <= high, f"{count} words; a review has {low} to {high}"


def test_words_are_counted_as_a_reader_sees_them():
    text = """(a)=
# One two

```{method-card} a/b
```

three $x+y$ {cite}`key` [four](https://address.example) {ref}`five <a>`

```{math}
:label: eq
z
```

```{quiz}
- q: six?
  options:
    - text: seven
      right: true
      why: eight
```
"""
    words = [word.strip("#[]?") for word in visible_words(text)]
    assert words == ["One", "two", "three", "four", "five", "six", "seven", "eight"]


@pytest.mark.parametrize(("method", "language"), REVIEWS)
def test_the_quiz_has_three_questions_and_explains_every_option(method, language):
    questions = quiz(read(method, language))
    assert len(questions) == 3
    for question in questions:
        options = question["options"]
        assert len(options) >= 3, f"{question['q']}: two options are a coin"
        assert sum(option["right"] for option in options) == 1, f"{question['q']}: one is right"
        for option in options:
            assert set(option) == {"text", "right", "why"}
            assert len(option["why"].split()) >= 3, f"{option['text']}: not explained"


@pytest.mark.parametrize("method", REGISTRY.written(), ids=lambda method: method.id)
def test_the_right_answers_are_the_same_in_both_languages(method):
    places = {
        language: [
            [option["right"] for option in question["options"]]
            for question in quiz(read(method, language))
        ]
        for language in LANGUAGES
    }
    assert places["ko"] == places["en"]


def test_the_length_of_an_option_is_the_one_that_a_reader_sees():
    assert seen(r"Scores of $\kappa$ **and** `x_1`") == "Scores of x and x1"


@pytest.mark.parametrize(("method", "language"), REVIEWS)
def test_the_options_of_a_question_have_about_the_same_length(method, language):
    for question in quiz(read(method, language)):
        lengths = [len(seen(option["text"])) for option in question["options"]]
        assert max(lengths) <= EVEN * min(lengths), f"{question['q']}: {lengths} characters"


@pytest.mark.parametrize("language", LANGUAGES)
def test_whoever_goes_by_the_length_of_the_options_learns_nothing(language):
    longest, shortest, count = 0.0, 0.0, 0
    for method in REGISTRY.written():
        for question in quiz(read(method, language)):
            lengths = {True: [], False: []}
            for option in question["options"]:
                lengths[option["right"]].append(len(seen(option["text"])))
            (right,), wrong = lengths[True], lengths[False]
            count += 1  # among options of one length the reader draws a lot
            longest += (right >= max(wrong)) / (1 + wrong.count(right))
            shortest += (right <= min(wrong)) / (1 + wrong.count(right))
    assert longest <= count / 3, f"the longest option is right in {longest:.1f} of {count}"
    assert shortest <= count / 3, f"the shortest option is right in {shortest:.1f} of {count}"


def test_whoever_goes_by_the_place_of_the_options_learns_nothing():
    pages = []
    for method in REGISTRY.written():
        page = []
        for number, question in enumerate(parse(quiz_source(read(method, "en"))), start=1):
            shown = shuffled(question, name_of(method.review, number))
            page.append([option.right for option in shown].index(True))
        pages.append(tuple(page))
    places = Counter(place for page in pages for place in page)
    assert max(places.values()) <= sum(places.values()) / 2, places
    assert len(set(pages)) > len(pages) / 2, f"the pages have the same pattern: {pages}"
    assert sum(len(set(page)) == 3 for page in pages) <= len(pages) / 2, "a, b and c once on a page"


@pytest.mark.parametrize(("method", "language"), REVIEWS)
def test_no_number_of_the_paper_is_typed_into_the_review(method, language):
    text = LABEL.sub("", read(method, language))
    for item in method.headline:
        if "." not in item.value:
            continue  # a small whole number may mean anything
        pattern = rf"(?<![\d.]){re.escape(item.value)}(?![\d.]*\d)"
        assert not re.search(pattern, text), (
            f"{item.value} ({item.metric}) is typed; {{headline}} prints it with its source"
        )


@pytest.mark.parametrize(("method", "language"), REVIEWS)
def test_a_review_shows_a_figure_of_our_own_with_alternative_text(method, language):
    page = method.id.split("/")[1]
    picture = sections(read(method, language))[f"{page}-picture"]
    drawn = re.search(r"^```\{figure\} (\S+)$", picture, re.MULTILINE)
    assert drawn, "the part picture has no {figure}"
    file = (BOOK / method.family / drawn[1]).resolve()
    assert file.is_file(), f"{drawn[1]} does not exist"
    alt = re.search(r"^:alt: (.+)$", picture, re.MULTILINE)
    assert alt and len(alt[1].split()) >= 10, "the figure's alternative text says too little"
    if file.suffix == ".svg":
        source = file.read_text(encoding="utf-8")
        assert "viewBox" in source and "http" not in source.replace("http://www.w3.org/", "")
