"""The registry: what the book knows about every method, read from data and checked.

Pure functions without Sphinx: the directives, the command-line tools and the tests all read the
book's facts through this module. The facts themselves stand in ``book/methods.yml`` and
``book/references.bib``; what the notebooks measured is read by `records`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import schema
import yaml
from pybtex.database import BibliographyData, Entry, parse_string
from pybtex.exceptions import PybtexError
from schema import unknown

SCHEMA = Path(__file__).resolve().parents[1] / "methods.schema.json"
#: Kinds of correction, in the order in which they are shown.
KINDS = ("link", "spelling", "date", "note")


class RegistryError(ValueError):
    """The registry's files do not agree with their rules; the message lists every problem."""


@dataclass(frozen=True)
class Text:
    """One short text in both languages."""

    ko: str
    en: str

    def __getitem__(self, language: str) -> str:
        return self.ko if language == "ko" else self.en


@dataclass(frozen=True)
class Reference:
    """A bibliography entry, as far as it is known.

    Attributes:
        authors: full names, "First Last", in the paper's order.
        venue: journal, proceedings or publisher; None for a preprint.
        arxiv: arXiv number such as "2106.08265".
    """

    key: str
    title: str
    authors: tuple[str, ...]
    year: int
    venue: str | None = None
    volume: str | None = None
    pages: str | None = None
    arxiv: str | None = None
    doi: str | None = None
    url: str | None = None

    @property
    def link(self) -> str | None:
        """Where to read it: arXiv, else DOI, else its web address."""
        if self.arxiv:
            return f"https://arxiv.org/abs/{self.arxiv}"
        return f"https://doi.org/{self.doi}" if self.doi else self.url


@dataclass(frozen=True)
class Family:
    """A chapter of the book; `list_section` is the reading list's own heading."""

    id: str
    name: Text
    list_section: str | None


@dataclass(frozen=True)
class Listed:
    """An item of the reading list, word for word; `group` is the heading it stands under."""

    title: str
    group: str | None = None
    paper: str | None = None
    summary: str | None = None


@dataclass(frozen=True)
class Code:
    """Official code and its licence as found in the repository."""

    url: str
    license: Text


@dataclass(frozen=True)
class Headline:
    """A number that a paper reports; `value` is text so that no digit is lost.

    Attributes:
        unit: "%", "nats", "categories"; every number has one.
        mark: "V" if it was read in the named source, "S" if the source only passes it on.
        bound: "≤" or "≥" if the paper gives only a bound.
    """

    dataset: str
    metric: Text
    value: str
    unit: Text
    source: Text
    mark: str
    setting: Text | None = None
    bound: str = ""


@dataclass(frozen=True)
class Claim:
    """A statement that the notebook tests; its verdict comes from the notebook's record."""

    id: str
    text: Text
    source: Text


@dataclass(frozen=True)
class Method:
    """One method of the book; `id` is ``<family>/<method>``.

    Attributes:
        status: "planned", "draft" (files exist, no page shows them) or "written".
        later_summary: Korean summary that only a later state of the reading list links.
        measures: what the notebook calls its measured values, and that in Korean.
    """

    id: str
    name: str
    name_ko: str
    status: str
    listed: Listed | None
    year: int
    cite: str | None
    difficulty: int
    later_summary: str | None = None
    code: Code | None = None
    necessary: tuple[str, ...] = ()
    helpful: tuple[str, ...] = ()
    builds_on: tuple[str, ...] = ()
    needs: Text | None = None
    gives: Text | None = None
    headline: tuple[Headline, ...] = ()
    claims: tuple[Claim, ...] = ()
    measures: Mapping[str, str] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The family's id."""
        return self.id.split("/")[0]

    @property
    def written(self) -> bool:
        """Whether review and notebook are finished; what is not, no page shows."""
        return self.status == "written"

    @property
    def review(self) -> str:
        """Document name of the review."""
        return f"book/{self.id}"

    @property
    def notebook(self) -> str:
        """Document name of the notebook; its file adds ``.ipynb``."""
        return f"notebooks/{self.id}"

    def title(self, language: str) -> str:
        """The method's name as a page in `language` writes it."""
        return self.name_ko if language == "ko" else self.name


@dataclass(frozen=True)
class Survey:
    """A survey paper of the reading list."""

    id: str
    status: str
    cite: str
    listed: Listed

    @property
    def review(self) -> str:
        """Document name of the review."""
        return f"book/surveys/{self.id}"


@dataclass(frozen=True)
class Correction:
    """Something the reading list has wrong, or leaves open, and what is right.

    Attributes:
        kind: "link", "spelling", "date" or "note" (right, but worth knowing).
        listed, correct: short texts put side by side; `correct` is None for a note.
    """

    kind: str
    about: str | None
    listed: str
    correct: str | None
    text: Text
    source: Text


@dataclass(frozen=True)
class Registry:
    """Everything the two data files hold, checked."""

    families: Mapping[str, Family]
    methods: Mapping[str, Method]
    surveys: tuple[Survey, ...] = ()
    corrections: tuple[Correction, ...] = ()
    references: Mapping[str, Reference] = field(default_factory=dict)

    def method(self, name: str) -> Method:
        """The method with this id.

        Raises:
            RegistryError: if there is none, with the nearest id.
        """
        if name not in self.methods:
            raise RegistryError(unknown("method", name, self.methods))
        return self.methods[name]

    def family(self, name: str) -> Family:
        """The family with this id.

        Raises:
            RegistryError: if there is none, with the nearest id.
        """
        if name not in self.families:
            raise RegistryError(unknown("family", name, self.families))
        return self.families[name]

    def of_family(self, name: str) -> list[Method]:
        """The family's methods in the reading list's order."""
        return [m for m in self.methods.values() if m.family == self.family(name).id]

    def written(self) -> list[Method]:
        """The methods whose review and notebook are finished."""
        return [m for m in self.methods.values() if m.written]

    def drafts(self) -> list[Method]:
        """The methods whose review and notebook are being written."""
        return [m for m in self.methods.values() if m.status == "draft"]

    def hidden(self) -> list[str]:
        """Document names that may exist and are not shown: drafts, and what leads only to them."""
        shown = {method.family for method in self.written()}
        families = {method.family for method in self.drafts()} - shown
        pages = [page for method in self.drafts() for page in (method.review, method.notebook)]
        return [*pages, *(f"book/{family}/index" for family in sorted(families))]

    def leads_to(self, name: str) -> list[Method]:
        """The methods that build on this one: the inverse of ``builds_on``."""
        return [m for m in self.methods.values() if self.method(name).id in m.builds_on]

    def reference(self, method: Method | Survey) -> Reference | None:
        """The method's bibliography entry; None if it has no paper of its own."""
        return self.references.get(method.cite) if method.cite else None


def load(path: str | Path, *, bibliography: str | Path | None = None) -> Registry:
    """Read and check the registry.

    Args:
        path: ``book/methods.yml``.
        bibliography: the BibTeX file; by default ``references.bib`` beside `path`.

    Returns:
        The registry. The result is cached for as long as neither file changes.

    Raises:
        RegistryError: if a file is missing, cannot be parsed, or breaks a rule. The message names
            the file, the entry and the key, what was found, and the nearest right name.
    """
    path = Path(path)
    bib = Path(bibliography) if bibliography else path.with_name("references.bib")
    stamps = []
    for file in (path, bib):
        if not file.is_file():
            raise RegistryError(f"{file} does not exist; the registry is read from there")
        stamps.append(file.stat().st_mtime_ns)
    return _load(path, bib, *stamps)


@lru_cache(maxsize=8)
def _load(path: Path, bib: Path, _stamp: int, _bib_stamp: int) -> Registry:
    references = read_bibliography(bib)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise RegistryError(f"{path.name} is not valid YAML: {error}") from error
    return build(data, references, name=path.name)


def build(data: Any, references: Mapping[str, Reference], *, name: str = "methods.yml") -> Registry:
    """Turn the parsed YAML into a registry and check it.

    Args:
        data: the parsed file: a mapping with families, methods, surveys, corrections.
        references: bibliography entries by key.
        name: how the messages call the file.

    Raises:
        RegistryError: with all problems, one a line.
    """
    malformed = schema.problems(data, SCHEMA)
    problems = list(malformed)
    if all(len(place) > 1 for place in malformed.values()):  # the lists themselves are there
        broken = {tuple(place[:2]) for place in malformed.values()}
        sound = {
            key: [entry for i, entry in enumerate(entries) if (key, i) not in broken]
            for key, entries in data.items()
        }
        problems += [*_twice(sound), *_unmatched(sound, data, references)]
        problems += [*_years(sound, references), *_circles(sound), *_summaries(sound)]
    if problems:
        raise RegistryError("\n".join(f"{name}: {problem}" for problem in problems))
    families = [
        Family(f["id"], Text(f["ko"], f["en"]), f.get("list_section")) for f in data["families"]
    ]
    methods = [_method(entry, references) for entry in data["methods"]]
    surveys = [
        Survey(s["id"], s["status"], s["cite"], Listed(**s["listed"]))
        for s in data.get("surveys", [])
    ]
    return Registry(
        families={family.id: family for family in families},
        methods={method.id: method for method in methods},
        surveys=tuple(surveys),
        corrections=tuple(_correction(c) for c in data.get("corrections", [])),
        references=references,
    )


def read_bibliography(path: str | Path) -> dict[str, Reference]:
    """Read a BibTeX file.

    Raises:
        RegistryError: if it cannot be parsed, or an entry lacks title, authors or year.
    """
    path = Path(path)
    try:
        data: BibliographyData = parse_string(path.read_text(encoding="utf-8"), "bibtex")
    except PybtexError as error:
        raise RegistryError(f"{path.name} is not valid BibTeX: {error}") from error
    return {key: _reference(path.name, key, entry) for key, entry in data.entries.items()}


def costs(path: str | Path) -> dict[str, dict[str, Any]]:
    """Measured cost of each notebook.

    Args:
        path: ``book/results/cost.yml``, written by ``make bench``: under ``notebooks`` one mapping
            per method id with ``seconds``, ``peak_memory_mb``, ``file_kb``; any may be missing.

    Returns:
        The entries by method id; empty if there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    entries = data.get("notebooks", {}) if isinstance(data, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
        raise RegistryError(f"{path.name} must hold 'notebooks': figures by method id")
    return entries


# --- rules that need more than one entry ---------------------------------------------------------


def _twice(data: Mapping[str, Any]) -> Iterator[str]:
    """Ids that stand there twice."""
    lists = {key: data.get(key, []) for key in ("families", "surveys", "methods")}
    for method in lists["methods"]:
        lists[f"{method['id']}, claims"] = method.get("claims", [])
    for place, entries in lists.items():
        for name, count in Counter(entry["id"] for entry in entries).items():
            if count > 1:
                yield f"{place}: {name}: stands there twice"


def _unmatched(
    data: Mapping[str, Any], whole: Mapping[str, Any], references: Mapping[str, Reference]
) -> Iterator[str]:
    """Families, methods and bibliography keys that are named and do not exist in the whole file."""
    families, methods = (
        [entry["id"] for entry in whole[key] if isinstance(entry, dict) and "id" in entry]
        for key in ("families", "methods")
    )
    for method in data["methods"]:
        name, family = method["id"], method["id"].split("/")[0]
        if family not in families:
            yield f"{name}: id: {unknown('family', family, families)}"
        named = {**method.get("prerequisites", {}), "builds_on": method.get("builds_on", [])}
        for key, others in named.items():
            for other in others:
                if other == name:
                    yield f"{name}: {key}: names the method itself"
                elif other not in methods:
                    yield f"{name}: {key}: {unknown('method', other, methods)}"
    for number, correction in enumerate(data.get("corrections", []), start=1):
        about = correction.get("about")
        if about and about not in methods:
            yield f"corrections {number}: about: {unknown('method', about, methods)}"
    for entry in [*data["methods"], *data.get("surveys", [])]:
        if (cite := entry.get("cite")) and cite not in references:
            known = unknown("key of references.bib", cite, references)
            yield f"{entry['id']}: cite: {known}"


def _years(data: Mapping[str, Any], references: Mapping[str, Reference]) -> Iterator[str]:
    """A year stands in one place, and nothing builds on what came later."""
    years = {m["id"]: _year(m, references) for m in data["methods"]}
    for method in data["methods"]:
        name = method["id"]
        if method.get("cite") in references:
            if "year" in method:
                yield f"{name}: year: stands in references.bib already; take it out here"
        elif "year" not in method and not method.get("cite"):
            yield f"{name}: year: is missing; it is needed where no bibliography entry gives it"
        for other in method.get("builds_on", []):
            if years.get(other, 0) > years[name] > 0:
                found = f"{other} is of {years[other]}, later than {years[name]}"
                yield f"{name}: builds_on: {found}"


def _circles(data: Mapping[str, Any]) -> Iterator[str]:
    """Lineages that come back to where they began; each is named once."""
    before = {m["id"]: [o for o in m.get("builds_on", []) if o != m["id"]] for m in data["methods"]}
    done: set[str] = set()

    def follow(name: str, trail: tuple[str, ...]) -> Iterator[str]:
        if name in trail:
            circle = " → ".join([*trail[trail.index(name) :], name])
            yield f"{name}: builds_on: goes round in a circle: {circle}"
        elif name in before and name not in done:
            for other in before[name]:
                yield from follow(other, (*trail, name))
            done.add(name)

    for name in before:
        yield from follow(name, ())


def _summaries(data: Mapping[str, Any]) -> Iterator[str]:
    """A later summary is of a listed paper that had none."""
    for method in data["methods"]:
        if "later_summary" in method:
            listed = method["listed"]
            if listed is None or "summary" in listed:
                found = "is on no list" if listed is None else "has a summary under 'listed'"
                yield f"{method['id']}: later_summary: the method {found}"


# --- one entry -----------------------------------------------------------------------------------


def _year(entry: Mapping[str, Any], references: Mapping[str, Reference]) -> int:
    cite = entry.get("cite")
    return references[cite].year if cite in references else entry.get("year", 0)


def _text(value: str | Mapping[str, str] | None) -> Text | None:
    return Text(value, value) if isinstance(value, str) else value and Text(**value)


def _listed(entry: Mapping[str, str] | None) -> Listed | None:
    return None if entry is None else Listed(**entry)


def _code(entry: Mapping[str, Any] | None) -> Code | None:
    return Code(entry["url"], _text(entry["license"])) if entry else None


def _headline(entry: Mapping[str, Any]) -> Headline:
    texts = {key: _text(entry.get(key)) for key in ("metric", "setting", "unit", "source")}
    return Headline(**{**entry, **texts})


def _claim(entry: Mapping[str, Any]) -> Claim:
    return Claim(entry["id"], Text(entry["ko"], entry["en"]), _text(entry["source"]))


def _method(entry: Mapping[str, Any], references: Mapping[str, Reference]) -> Method:
    reading = entry.get("prerequisites", {})
    return Method(
        id=entry["id"],
        name=entry["name"],
        name_ko=entry.get("name_ko", entry["name"]),
        status=entry["status"],
        listed=_listed(entry["listed"]),
        year=_year(entry, references),
        cite=entry.get("cite"),
        difficulty=entry["difficulty"],
        later_summary=entry.get("later_summary"),
        code=_code(entry.get("code")),
        necessary=tuple(reading.get("necessary", ())),
        helpful=tuple(reading.get("helpful", ())),
        builds_on=tuple(entry.get("builds_on", ())),
        needs=_text(entry.get("needs")),
        gives=_text(entry.get("gives")),
        headline=tuple(_headline(h) for h in entry.get("headline", [])),
        claims=tuple(_claim(c) for c in entry.get("claims", [])),
        measures=entry.get("measures", {}),
    )


def _correction(entry: Mapping[str, Any]) -> Correction:
    return Correction(
        kind=entry["kind"],
        about=entry.get("about"),
        listed=entry["listed"],
        correct=entry.get("correct"),
        text=Text(entry["ko"], entry["en"]),
        source=_text(entry["source"]),
    )


def _reference(name: str, key: str, entry: Entry) -> Reference:
    fields = {k.lower(): _plain(v) for k, v in entry.fields.items()}
    people = entry.persons.get("author", [])
    missing = [k for k in ("title", "year") if k not in fields] + ([] if people else ["author"])
    if missing:
        raise RegistryError(f"{name}: {key}: {missing[0]!r} is missing")
    if not fields["year"].isdigit():
        raise RegistryError(f"{name}: {key}: year must be a number, found {fields['year']!r}")
    venue = fields.get("journal") or fields.get("booktitle") or fields.get("publisher")
    return Reference(
        key=key,
        title=fields["title"],
        authors=tuple(_plain(_person(p)) for p in people),
        year=int(fields["year"]),
        venue=venue or fields.get("howpublished"),
        volume=fields.get("volume"),
        pages=fields.get("pages", "").replace("--", "–") or None,
        arxiv=fields.get("eprint"),
        doi=fields.get("doi"),
        url=fields.get("url"),
    )


def _person(person: Any) -> str:
    parts = [*person.first_names, *person.middle_names, *person.prelast_names, *person.last_names]
    return " ".join([*parts, *person.lineage_names])


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("{", "").replace("}", "").replace("\\&", "&")).strip()


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error and not a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
