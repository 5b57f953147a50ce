"""The registry: what the book knows about every method, read from data and checked.

Pure functions without Sphinx: the directives, the command-line tools and the tests all read the
book's facts through this module. The facts themselves stand in ``book/methods.yml`` and
``book/references.bib``; what the notebooks measured is read by `records`.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pybtex.database import BibliographyData, Entry, parse_string
from pybtex.exceptions import PybtexError

LANGUAGES = ("ko", "en")
STATUSES = ("planned", "written")
MARKS = ("V", "S")
KINDS = ("link", "spelling", "date", "note")
VERDICTS = ("reproduced", "partly", "not at this scale", "not tested")


class RegistryError(ValueError):
    """The registry's files do not agree with their rules; the message lists every problem."""


@dataclass(frozen=True)
class Text:
    """One short text in both languages."""

    ko: str
    en: str

    def __getitem__(self, language: str) -> str:
        return self.ko if language.startswith("ko") else self.en


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
    license: str


@dataclass(frozen=True)
class Headline:
    """A number that a paper reports; `value` is text so that no digit is lost.

    Attributes:
        mark: "V" if it was read in the named source, "S" if the source only passes it on.
    """

    dataset: str
    metric: Text
    value: str
    source: Text
    mark: str
    setting: Text | None = None
    unit: str = "%"


@dataclass(frozen=True)
class Claim:
    """A statement that the notebook tests; its verdict comes from the notebook's record."""

    id: str
    text: Text
    source: Text


@dataclass(frozen=True)
class Method:
    """One method of the book; `id` is ``<family>/<method>``."""

    id: str
    name: str
    name_ko: str
    status: str
    listed: Listed | None
    year: int
    cite: str | None
    difficulty: int
    code: Code | None = None
    necessary: tuple[str, ...] = ()
    helpful: tuple[str, ...] = ()
    builds_on: tuple[str, ...] = ()
    needs: Text | None = None
    gives: Text | None = None
    headline: tuple[Headline, ...] = ()
    claims: tuple[Claim, ...] = ()

    @property
    def family(self) -> str:
        """The family's id."""
        return self.id.split("/")[0]

    @property
    def written(self) -> bool:
        """Whether review and notebook exist."""
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
        return self.name_ko if language.startswith("ko") else self.name


@dataclass(frozen=True)
class Survey:
    """A survey paper of the reading list."""

    id: str
    status: str
    cite: str
    listed: Listed


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
            raise RegistryError(_unknown("method", name, self.methods))
        return self.methods[name]

    def family(self, name: str) -> Family:
        """The family with this id.

        Raises:
            RegistryError: if there is none, with the nearest id.
        """
        if name not in self.families:
            raise RegistryError(_unknown("family", name, self.families))
        return self.families[name]

    def of_family(self, name: str) -> list[Method]:
        """The family's methods in the reading list's order."""
        return [m for m in self.methods.values() if m.family == self.family(name).id]

    def written(self) -> list[Method]:
        """The methods whose review and notebook exist."""
        return [m for m in self.methods.values() if m.written]

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
    check = _Checker(name)
    top = check.mapping("the file", data, _TOP)
    families = {f.id: f for f in (_family(check, e) for e in check.items(top, "families")) if f}
    check.unique("families", [e.get("id") for e in check.items(top, "families")])
    methods: dict[str, Method] = {}
    check.unique("methods", [e.get("id") for e in check.items(top, "methods")])
    for entry in check.items(top, "methods"):
        method = _method(check, entry, families, references)
        if method:
            methods[method.id] = method
    surveys = [_survey(check, e, references) for e in check.items(top, "surveys")]
    corrections = [_correction(check, e, methods) for e in check.items(top, "corrections")]
    _check_links(check, methods)
    check.finish()
    return Registry(
        families=families,
        methods=methods,
        surveys=tuple(s for s in surveys if s),
        corrections=tuple(c for c in corrections if c),
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


# --- reading one entry --------------------------------------------------------------------------

_TOP = {"families": list, "methods": list, "surveys": list, "corrections": list}
_FAMILY = {"id": str, "ko": str, "en": str, "list_section": (str, type(None))}
_METHOD = {
    "id": str,
    "name": str,
    "name_ko": str,
    "status": str,
    "listed": (dict, type(None)),
    "year": int,
    "cite": (str, type(None)),
    "code": (dict, type(None)),
    "difficulty": int,
    "prerequisites": dict,
    "builds_on": list,
    "needs": dict,
    "gives": dict,
    "headline": list,
    "claims": list,
}
_LISTED = {
    "title": str,
    "group": str,
    "paper": (str, type(None)),
    "summary": (str, type(None)),
}
# A text that reads the same in both languages is one string; otherwise {ko, en}.
_HEADLINE = {
    "dataset": str,
    "metric": (str, dict),
    "setting": (str, dict),
    "value": (str, int, float),
    "unit": str,
    "source": (str, dict),
    "mark": str,
}
_CLAIM = {"id": str, "source": (str, dict), "ko": str, "en": str}
_TEXT = {"ko": str, "en": str}
_CODE = {"url": str, "license": str}
_READING = {"necessary": list, "helpful": list}
_SURVEY = {"id": str, "status": str, "cite": str, "listed": dict}
_CORRECTION = {
    "kind": str,
    "about": (str, type(None)),
    "listed": str,
    "correct": (str, type(None)),
    "ko": str,
    "en": str,
    "source": (str, dict),
}


def _family(check: "_Checker", entry: dict[str, Any]) -> Family | None:
    where = f"family {entry.get('id', '?')}"
    entry = check.mapping(where, entry, _FAMILY, needed=("id", "ko", "en"))
    if not check.ok(where):
        return None
    name = Text(entry["ko"], entry["en"])
    return Family(entry["id"], name, entry.get("list_section"))


def _method(
    check: "_Checker",
    entry: dict[str, Any],
    families: Mapping[str, Family],
    references: Mapping[str, Reference],
) -> Method | None:
    where = str(entry.get("id", "a method without id"))
    needed = ("id", "name", "status", "listed", "difficulty")
    entry = check.mapping(where, entry, _METHOD, needed=needed)
    if not check.ok(where):
        return None
    family, _, name = where.partition("/")
    if not name or not re.fullmatch(r"[a-z0-9_]+/[a-z0-9_]+", where):
        check.add(where, "id", f"must be <family>/<method> in small letters, found {where!r}")
    elif family not in families:
        check.add(where, "id", _unknown("family", family, families))
    check.one_of(where, "status", entry["status"], STATUSES)
    if entry["difficulty"] not in (1, 2, 3):
        check.add(where, "difficulty", f"must be 1, 2 or 3, found {entry['difficulty']}")
    cite = entry.get("cite")
    if cite and cite not in references:
        check.add(where, "cite", _unknown("key of references.bib", cite, references))
    year = entry.get("year") or (references[cite].year if cite in references else None)
    if year is None:
        check.add(where, "year", "is missing; it is needed where no bibliography entry gives it")
    if entry.get("year") and cite in references:
        check.add(where, "year", "stands in references.bib already; take it out here")
    listed = _listed(check, where, entry["listed"])
    code = entry.get("code")
    if code is not None:
        check.mapping(f"{where}, code", code, _CODE, needed=("url", "license"))
    reading = check.mapping(f"{where}, prerequisites", entry.get("prerequisites", {}), _READING)
    texts = {}
    for key in ("needs", "gives"):
        if key in entry:
            texts[key] = check.text(where, key, entry[key])
    headline = [_headline(check, where, i, h) for i, h in enumerate(entry.get("headline", []))]
    claims = [_claim(check, where, i, c) for i, c in enumerate(entry.get("claims", []))]
    check.unique(f"{where}, claims", [c.id for c in claims if c])
    if check.problems_of(where):
        return None
    return Method(
        id=where,
        name=entry["name"],
        name_ko=entry.get("name_ko", entry["name"]),
        status=entry["status"],
        listed=listed,
        year=year or 0,
        cite=cite,
        difficulty=entry["difficulty"],
        code=Code(**code) if code else None,
        necessary=tuple(reading.get("necessary", ())),
        helpful=tuple(reading.get("helpful", ())),
        builds_on=tuple(entry.get("builds_on", ())),
        needs=texts.get("needs"),
        gives=texts.get("gives"),
        headline=tuple(h for h in headline if h),
        claims=tuple(c for c in claims if c),
    )


def _listed(check: "_Checker", where: str, entry: dict[str, Any] | None) -> Listed | None:
    if entry is None:
        return None
    place = f"{where}, listed"
    entry = check.mapping(place, entry, _LISTED, needed=("title",))
    for key in ("paper", "summary"):
        if entry.get(key) and not entry[key].startswith("https://"):
            check.add(place, key, f"must begin with https://, found {entry[key]!r}")
    return Listed(**entry) if check.ok(place) else None


def _headline(check: "_Checker", where: str, i: int, entry: Any) -> Headline | None:
    place = f"{where}, headline {i + 1}"
    needed = ("dataset", "metric", "value", "source", "mark")
    entry = check.mapping(place, entry, _HEADLINE, needed=needed)
    if not check.ok(place):
        return None
    check.one_of(place, "mark", entry["mark"], MARKS)
    texts = {
        k: check.text(place, k, entry[k]) for k in ("metric", "setting", "source") if k in entry
    }
    return Headline(**{**entry, **texts, "value": str(entry["value"])})


def _claim(check: "_Checker", where: str, i: int, entry: Any) -> Claim | None:
    name = entry.get("id", i + 1) if isinstance(entry, dict) else i + 1
    place = f"{where}, claim {name}"
    entry = check.mapping(place, entry, _CLAIM, needed=("id", "source", "ko", "en"))
    if not check.ok(place):
        return None
    source = check.text(place, "source", entry["source"])
    return Claim(entry["id"], Text(entry["ko"], entry["en"]), source)


def _survey(
    check: "_Checker", entry: dict[str, Any], references: Mapping[str, Reference]
) -> Survey | None:
    where = f"survey {entry.get('id', '?')}"
    entry = check.mapping(where, entry, _SURVEY, needed=tuple(_SURVEY))
    if not check.ok(where):
        return None
    check.one_of(where, "status", entry["status"], STATUSES)
    if entry["cite"] not in references:
        check.add(where, "cite", _unknown("key of references.bib", entry["cite"], references))
    listed = _listed(check, where, entry["listed"])
    return Survey(entry["id"], entry["status"], entry["cite"], listed) if listed else None


def _correction(
    check: "_Checker", entry: dict[str, Any], methods: Mapping[str, Method]
) -> Correction | None:
    where = f"correction {entry.get('listed', '?')!r}"
    needed = ("kind", "listed", "ko", "en", "source")
    entry = check.mapping(where, entry, _CORRECTION, needed=needed)
    if not check.ok(where):
        return None
    check.one_of(where, "kind", entry["kind"], KINDS)
    about = entry.get("about")
    if about and about not in methods:
        check.add(where, "about", _unknown("method", about, methods))
    text = Text(entry["ko"], entry["en"])
    source = check.text(where, "source", entry["source"])
    return Correction(entry["kind"], about, entry["listed"], entry.get("correct"), text, source)


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


def _check_links(check: "_Checker", methods: Mapping[str, Method]) -> None:
    """Every method named by another exists, and nothing builds on what came later."""
    for method in methods.values():
        for key in ("necessary", "helpful", "builds_on"):
            for other in getattr(method, key):
                if other == method.id:
                    check.add(method.id, key, "names the method itself")
                elif other not in methods:
                    check.add(method.id, key, _unknown("method", other, methods))
        for other in method.builds_on:
            if other in methods and methods[other].year > method.year:
                found = f"{other} is of {methods[other].year}, later than {method.year}"
                check.add(method.id, "builds_on", found)
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if state.get(name) == 1:
            circle = " → ".join([*trail[trail.index(name) :], name])
            check.add(name, "builds_on", f"goes round in a circle: {circle}")
        if name in state or name not in methods:
            return
        state[name] = 1
        for other in methods[name].builds_on:
            visit(other, (*trail, name))
        state[name] = 2

    for name in methods:
        visit(name, ())


def _unknown(what: str, name: object, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known[:12]) or 'none'}"
    return f"unknown {what} {name!r}; {hint}"


class _Checker:
    """Collects problems, so that one run names all of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[tuple[str, str]] = []

    def add(self, where: str, key: str, what: str) -> None:
        self.problems.append((where, f"{self.name}: {where}: {key}: {what}"))

    def ok(self, where: str) -> bool:
        return not any(place == where for place, _ in self.problems)

    def problems_of(self, where: str) -> bool:
        return any(p == where or p.startswith(f"{where}, ") for p, _ in self.problems)

    def mapping(
        self, where: str, entry: Any, known: Mapping[str, Any], *, needed: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        if not isinstance(entry, dict):
            self.add(where, "entry", f"must be a mapping, found {type(entry).__name__} {entry!r}")
            return {}
        for key, value in entry.items():
            if key not in known:
                self.add(where, str(key), _unknown("key", key, known))
            elif not isinstance(value, known[key]) or isinstance(value, bool):
                kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
                names = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
                found = f"{type(value).__name__} {value!r}"
                self.add(where, str(key), f"must be {names}, found {found}")
            elif isinstance(value, str) and not value.strip():
                self.add(where, str(key), "is empty")
        for key in needed:
            if key not in entry:
                self.add(where, key, "is missing")
        return entry

    def text(self, where: str, key: str, value: str | dict[str, Any]) -> Text:
        """A text in both languages, from one string for both or from {ko, en}."""
        if isinstance(value, str):
            return Text(value, value)
        value = self.mapping(f"{where}, {key}", value, _TEXT, needed=LANGUAGES)
        return Text(str(value.get("ko", "")), str(value.get("en", "")))

    def items(self, top: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        value = top.get(key)
        if not isinstance(value, list):
            return []
        for i, entry in enumerate(value):
            if not isinstance(entry, dict):
                self.add(key, str(i + 1), f"must be a mapping, found {entry!r}")
        return [entry for entry in value if isinstance(entry, dict)]

    def one_of(self, where: str, key: str, value: str, known: tuple[str, ...]) -> None:
        if value not in known:
            self.add(where, key, _unknown("value", value, known))

    def unique(self, where: str, names: list[Any]) -> None:
        for name in dict.fromkeys(n for n in names if names.count(n) > 1 and n is not None):
            self.add(where, str(name), "stands there twice")

    def finish(self) -> None:
        if self.problems:
            raise RegistryError("\n".join(message for _, message in self.problems))


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
