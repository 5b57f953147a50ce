"""``{quiz}``: questions whose every answer is explained.

Native radio buttons and a style sheet do the work: it is used with the keyboard, without a server
and without script. The script adds one thing, an event when a question is solved.

The options are shown in an order of their own (`shuffled`), so their order in the source is free.
"""

import hashlib
from dataclasses import dataclass
from html import escape
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from directives.base import BookDirective
from directives.drawing import html, inline, paragraph


@dataclass(frozen=True)
class Option:
    """One answer; `why` explains why it is right or wrong."""

    text: str
    right: bool
    why: str


@dataclass(frozen=True)
class Question:
    """A question with its options, exactly one of them right."""

    q: str
    options: tuple[Option, ...]


class QuizError(ValueError):
    """The body of a quiz breaks a rule."""


def parse(body: str) -> list[Question]:
    """Read the YAML body of a quiz.

    Args:
        body: a list of ``{q, options: [{text, right, why}, ...]}``; texts are Markdown.

    Raises:
        QuizError: if it is not such a list, an explanation is missing, or not exactly one option of
            a question is right; the message names question and option.
    """
    try:
        data = yaml.safe_load(body)
    except yaml.YAMLError as error:
        hint = "a text that holds ': ' or begins with a sign needs quotation marks"
        raise QuizError(f"the quiz is not valid YAML ({hint}): {error}") from error
    if not isinstance(data, list) or not data:
        raise QuizError(f"a quiz is a list of questions, found {type(data).__name__}")
    return [_question(i, entry) for i, entry in enumerate(data, start=1)]


def shuffled(question: Question, name: str) -> tuple[Option, ...]:
    """Return the options in the order in which they are shown.

    A hash of `name` decides: the order looks random, yet it is the same in every build, and in all
    languages as long as they list the options alike.

    Args:
        question: a question.
        name: what no other question is called, see `name_of`.
    """

    def key(item: tuple[int, Option]) -> bytes:
        return hashlib.sha256(f"{name}:{item[0]}".encode()).digest()

    return tuple(option for _, option in sorted(enumerate(question.options), key=key))


def name_of(document: str, number: int) -> str:
    """Return the name of a question: its document, without a language, and its number there."""
    return f"{document}#quiz-{number}"


def _question(number: int, entry: Any) -> Question:
    where = f"question {number}"
    _keys(where, entry, {"q": str, "options": list})
    if len(entry["options"]) < 2:
        raise QuizError(f"{where}: needs two options or more, found {len(entry['options'])}")
    options = []
    for i, option in enumerate(entry["options"], start=1):
        _keys(f"{where}, option {i}", option, {"text": str, "right": bool, "why": str})
        options.append(Option(**option))
    right = sum(option.right for option in options)
    if right != 1:
        raise QuizError(f"{where}: exactly one option is right, found {right}")
    return Question(entry["q"], tuple(options))


def _keys(where: str, entry: Any, known: dict[str, type]) -> None:
    if not isinstance(entry, dict):
        raise QuizError(f"{where}: must be a mapping, found {entry!r}")
    for key in [*known, *entry]:
        if key not in known:
            raise QuizError(f"{where}: unknown key {key!r}; there are: {', '.join(known)}")
        if key not in entry:
            raise QuizError(f"{where}: {key!r} is missing")
        if not isinstance(entry[key], known[key]) or entry[key] == "":
            kind = known[key].__name__
            raise QuizError(f"{where}: {key!r} must be {kind}, found {entry[key]!r}")


class Quiz(BookDirective):
    """Its body is YAML; see `parse`."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw the questions."""
        try:
            questions = parse("\n".join(self.content))
        except QuizError as error:
            raise self.error(str(error)) from error
        out = nodes.container(classes=["book-quiz"])
        out += paragraph(self.say("choose"), classes=["book-note"])
        count = self.env.temp_data.get("book_quiz_questions", 0)
        for question in questions:
            count += 1
            out += self.question(count, question)
        self.env.temp_data["book_quiz_questions"] = count
        return [out]

    def question(self, number: int, question: Question) -> list[nodes.Node]:
        """A field set: the question, then each option with its explanation."""
        name = name_of(self.env.docname, number)
        start = f'<fieldset class="book-question" id="quiz-{number}" data-quiz="{escape(name)}">'
        label = inline(self.say("question", number), "book-question-number")
        out: list[nodes.Node] = [html(f"{start}<legend>"), label, nodes.Text(" ")]
        out += [*self.inline(question.q), html("</legend>")]
        for i, option in enumerate(shuffled(question, name), start=1):
            key = f"quiz-{number}-{i}"
            right = "true" if option.right else "false"
            verdict = self.say("right" if option.right else "wrong")
            heard = f'<span class="visually-hidden">{escape(verdict)}</span>'
            out += [
                html(
                    f'<div class="book-option"><input type="radio" name="quiz-{number}" id="{key}" '
                    f'data-right="{right}" autocomplete="off">'
                    f'<label for="{key}">'
                ),
                *self.inline(option.text),
                html(f'</label><div class="book-why" role="status">{heard}'),
                *self.blocks(option.why),
                html("</div></div>"),
            ]
        return [*out, html("</fieldset>")]

    def inline(self, text: str) -> list[nodes.Node]:
        """Markdown as the content of one line; more than one paragraph is an error."""
        children = self.blocks(text)
        if len(children) == 1 and isinstance(children[0], nodes.paragraph):
            return [inline(list(children[0].children), "book-quiz-text")]
        raise self.error(f"{self.name}: must be one paragraph of text: {text!r}")

    def blocks(self, text: str) -> list[nodes.Node]:
        """Markdown as blocks."""
        box = nodes.container()
        lines = StringList(text.splitlines(), source=self.env.doc2path(self.env.docname))
        self.state.nested_parse(lines, self.content_offset, box)
        return list(box.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("quiz", Quiz)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
