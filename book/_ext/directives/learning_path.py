"""``{learning-path}``: pages and notebooks in an order, what each step adds, and about how long."""

import json
import re
from pathlib import Path
from typing import Any

import registry
import yaml
from docutils import nodes
from sphinx.application import Sphinx

from directives.base import BookDirective, document_link
from directives.drawing import badge, joined, paragraph, table

#: How long things take, as the page with the paths says.
WORDS_A_MINUTE, MINUTES_AN_EXERCISE = 120, 15
#: What a step may ask for: a page or a review; a method's notebook; the notebook's exercises.
VERBS = ("read", "run", "solve")
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")


class LearningPath(BookDirective):
    """A list of steps as YAML.

    A step has ``do`` (a list of "read guide/data", "run family/method", "solve family/method"),
    ``adds`` (what one learns) and, if it has a name of its own, ``when``. What is not written yet
    has no link, says so, and is not counted.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw one row a step, and the sum."""
        rows, total, planned = [], 0.0, False
        for number, step in enumerate(self.steps(), 1):
            links, minutes = [], 0.0
            for task in step["do"]:
                link, needed = self.task(str(task))
                links.append(link)
                minutes += needed or 0
                planned |= needed is None
            total += minutes
            shown = self.say("path minutes", rounded(minutes)) if minutes else "–"
            rows.append([str(step.get("when", number)), joined(links), step["adds"], shown])
        head = [self.say(w) for w in ("path step", "path do", "path adds", "time")]
        out = nodes.container(classes=["book-path"])
        out += table(head, rows)
        span = self.say("path minutes", rounded(total))
        if total >= 120:
            span = self.say("path hours", f"{round(total / 30) / 2:g}")
        words = self.say("path total", span)
        if planned:
            words += f" ({self.say('path planned')})"
        out += paragraph(f"{words}.", classes=["book-note"])
        return [out]

    def steps(self) -> list[dict[str, Any]]:
        """The steps; a broken one is an error of the page."""
        try:
            found = yaml.safe_load("\n".join(self.content))
        except yaml.YAMLError as error:
            raise self.error(f"{self.name}: not valid YAML: {error}") from error
        if not isinstance(found, list) or not found:
            raise self.error(f"{self.name}: a path is a list of steps, found {found!r}")
        for number, step in enumerate(found, 1):
            if not (
                isinstance(step, dict)
                and isinstance(step.get("do"), list)
                and isinstance(step.get("adds"), str)
                and set(step) <= {"do", "adds", "when"}
            ):
                raise self.error(
                    f"{self.name}: step {number} must have 'do', a list, 'adds', a text, and may "
                    f"have 'when'; found {step!r}"
                )
        return found

    def task(self, task: str) -> tuple[nodes.Node, float | None]:
        """A link to what is to be done, and the minutes; None while it is planned."""
        verb, _, target = task.partition(" ")
        known = self.load()
        if verb not in VERBS or not target:
            raise self.error(f"{self.name}: {task!r} must be one of {', '.join(VERBS)} and a name")
        if verb == "read" and target not in known.methods:
            return self.page(f"book/{target}"), self.reading(f"book/{target}")
        method = self.find(target)
        text = self.say(f"path {verb}", method.title(self.language))
        if not method.written:
            planned = badge(self.say("planned"), "quiet")
            return nodes.inline("", "", nodes.Text(f"{text} "), planned), None
        page = method.review if verb == "read" else method.notebook
        return document_link(page, text, self.env.docname), self.minutes(verb, method)

    def page(self, docname: str) -> nodes.Node:
        """A link with the page's own title."""
        link = document_link(docname, "", self.env.docname)
        link["refexplicit"] = False
        return link

    def reading(self, docname: str) -> float:
        """About how many minutes a page takes."""
        return len(WORD.findall(self.text(f"{docname}.en.md"))) / WORDS_A_MINUTE

    def minutes(self, verb: str, method: registry.Method) -> float:
        """About how long a method's review, notebook or exercises take."""
        if verb == "read":
            return self.reading(method.review)
        words, exercises = counted(self.text(f"{method.notebook}.ipynb"))
        if verb == "solve":
            return exercises * MINUTES_AN_EXERCISE
        return words / WORDS_A_MINUTE + self.cost(method).get("seconds", 0) / 60

    def text(self, name: str) -> str:
        """A source file; the page is drawn anew when it changes.

        The English text counts in both languages, so that both give the same minutes.
        """
        path = Path(self.env.srcdir) / name
        self.env.note_dependency(str(path))
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise self.error(f"{self.name}: there is no {name}") from None


def counted(notebook: str) -> tuple[int, int]:
    """The English words of a notebook outside its exercises, and the number of these."""
    words, section, exercises = 0, "", set()
    for cell in json.loads(notebook)["cells"]:
        metadata = cell.get("metadata", {})
        section = metadata.get("section", section)
        if section.startswith("exercise"):
            exercises.add(section)
        elif "lang-en" in metadata.get("tags", []):
            words += len(WORD.findall("".join(cell["source"])))
    return words, len(exercises)


def rounded(minutes: float) -> int:
    """To five minutes, at least five."""
    return max(5, 5 * round(minutes / 5))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("learning-path", LearningPath)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
