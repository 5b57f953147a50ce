"""Lay out a method and, when it is written, show it: make new METHOD=memory_bank/padim

What is done follows from the method's status in book/methods.yml:

planned
    A notebook that runs, its test file and a review in both languages are written, and a page in
    both languages for a family without one; the status becomes `draft`. The notebook is run and
    stored. What is to be written is marked TODO(author). A draft may lie in the tree and be tested,
    but no page shows it.
written
    The author sets this status in the end. The method gets its lines in _toc.yml, and a new family
    its part: from then on the site shows it, and tests refuse what is unfinished.

Files that exist are never changed, except methods.yml and _toc.yml.
"""

import itertools
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "_ext"))
import colab_cell
import registry
import skeleton
import stored
from run import store

ROOT = Path(__file__).resolve().parents[2]


class NewMethodError(Exception):
    """The method cannot be laid out or shown; the message says why and what to do."""


def new_method(method_id: str, *, root: Path = ROOT) -> list[Path]:
    """Lay out a planned method, or put a written one into the table of contents.

    Args:
        method_id: `<family>/<method>` as in the registry.
        root: the tree.

    Returns:
        The files that were written or changed.

    Raises:
        NewMethodError: if the registry has no such entry, one of the files exists, or there is
            nothing to do: a draft, or a written method that the table of contents has.
    """
    book = root / "book"
    known = registry.load(book / "methods.yml", bibliography=book / "references.bib")
    by_id = {method.id: method for method in known.methods.values()}
    if method_id not in by_id:
        planned = ", ".join(m.id for m in known.methods.values() if m.status == "planned")
        raise NewMethodError(
            f"book/methods.yml has no {method_id!r}: write its entry first. Planned are: {planned}"
        )
    method = by_id[method_id]
    if method.status == "draft":
        raise NewMethodError(
            f"{method_id} is a draft already: finish it, set status: written in book/methods.yml "
            "and run this again; to begin anew move its files away and set status: planned"
        )
    return show(method, known, root) if method.written else lay_out(method, known, root)


def show(method: registry.Method, known: registry.Registry, root: Path) -> list[Path]:
    """Put a written method into _toc.yml.

    Raises:
        NewMethodError: if it stands there.
    """
    contents = root / "_toc.yml"
    text = contents.read_text(encoding="utf-8")
    if f"- file: {method.review}\n" in text:
        raise NewMethodError(f"{method.id} is written and stands in _toc.yml already")
    contents.write_text(with_contents(text, method, known), encoding="utf-8", newline="\n")
    return [contents]


def lay_out(method: registry.Method, known: registry.Registry, root: Path) -> list[Path]:
    """Write the files of a planned method and make it a draft.

    Raises:
        NewMethodError: if one of the files exists; nothing is written then.
    """
    book, family = root / "book", known.family(method.family)
    tests = root / "tests" / "methods" / f"test_{method.id.split('/')[1]}.py"
    texts = {tests: skeleton.test_file(method)}
    for language in ("ko", "en"):
        texts[book / f"{method.id}.{language}.md"] = skeleton.review(method, language)
        page = book / family.id / f"index.{language}.md"
        if not page.exists():
            texts[page] = skeleton.family_page(family, language)
    path = root / "notebooks" / f"{method.id}.ipynb"
    there = [str(p) for p in (*texts, path) if p.exists()]
    if there:
        raise NewMethodError(f"{', '.join(there)} exists; move it away first")
    entries = book / "methods.yml"
    texts[entries] = as_draft(entries.read_text(encoding="utf-8"), method.id)
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    first = colab_cell.first_cell(colab_cell.version(root), colab_cell.repository(root))
    stored.write(skeleton.notebook(method, known.reference(method), first), path)
    return [*texts, path]


def as_draft(entries: str, method_id: str) -> str:
    """The registry's text with one planned method's status set to `draft`; comments stay."""
    start = re.search(rf"\bid: {re.escape(method_id)}(?=[\s,}}])", entries).end()
    end = re.compile(r"^\s*- (?:id:|\{id:)", re.MULTILINE).search(entries, start)
    block = entries[start : end.start() if end else len(entries)]
    if block.count("status: planned") != 1:
        raise NewMethodError(f"the entry of {method_id} must hold `status: planned` once")
    changed = block.replace("status: planned", "status: draft")
    return entries[:start] + changed + entries[start + len(block) :]


def with_contents(contents: str, method: registry.Method, known: registry.Registry) -> str:
    """_toc.yml with the method's two lines, in the registry's order; comments stay."""
    lines = contents.rstrip("\n").split("\n")
    if f"      - file: book/{method.family}/index" not in lines:
        lines = _with_part(lines, known.family(method.family), known)
    before = [f"book/{method.family}/index"]
    for other in known.of_family(method.family):
        if other.id == method.id:
            break
        if other.written:
            before.append(other.notebook)
    places = [i for i, line in enumerate(lines) if line.strip() in {f"- file: {b}" for b in before}]
    at = max(places) + 1
    if at < len(lines) and lines[at].strip().startswith("title:"):
        at += 1
    names = f"{method.name_ko} · 노트북 | {method.name} · notebook"
    lines[at:at] = [
        f"      - file: {method.review}",
        f"      - file: {method.notebook}",
        f"        title: {json.dumps(names, ensure_ascii=False)}",
    ]
    return "\n".join(lines) + "\n"


def _with_part(lines: list[str], family: registry.Family, known: registry.Registry) -> list[str]:
    """The lines with a part for a new family, in the registry's order."""
    order = list(known.families)
    earlier = {f"book/{name}/index" for name in order[: order.index(family.id)]}
    later = {f"book/{name}/index" for name in order[order.index(family.id) + 1 :]}
    parts = [i for i, line in enumerate(lines) if line.startswith("  - caption:")] + [len(lines)]
    at = None
    for start, end in itertools.pairwise(parts):
        files = {line.strip().removeprefix("- file: ") for line in lines[start:end]}
        if files & earlier:
            at = end
        elif files & later and at is None:
            at = start
    at = parts[-2] if at is None else at
    part = [
        f"  - caption: {family.name.ko} | {family.name.en}",
        "    chapters:",
        f"      - file: book/{family.id}/index",
    ]
    return lines[:at] + part + lines[at:]


def main() -> int:
    """The command line; returns the exit status."""
    if len(sys.argv) != 2:
        print("usage: python book/tools/new_method.py family/name", file=sys.stderr)
        return 2
    method_id = sys.argv[1]
    try:
        written = new_method(method_id)
        for path in written:
            print(f"written {path.relative_to(ROOT)}")
        notebook = ROOT / "notebooks" / f"{method_id}.ipynb"
        if notebook not in written:
            print("Now: make test, make trust, and look at the page (make serve).")
            return 0
        store(notebook)
    except (NewMethodError, registry.RegistryError, stored.NotebookError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"A draft. Write where {skeleton.MARK} stands, and as often as you like:\n"
        f"  make notebooks NB={method_id}   run and store the outputs\n"
        f"  make test NB={method_id}        all that concerns this method\n"
        "CONTRIBUTING.md has the way to the end."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
