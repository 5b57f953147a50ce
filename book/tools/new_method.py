"""Lay out a new method: make new METHOD=memory_bank/padim

From its entry in book/methods.yml (status: planned) this writes a notebook that runs, a review in
both languages and the lines of _toc.yml, and sets the status to `written`. A family without pages
gets its two pages and its part of the table of contents as well. Existing files are never changed,
except _toc.yml and methods.yml. What is to be written is marked TODO(author); a test refuses to
let such a mark land.
"""

import itertools
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "_ext"))
import bands
import colab_cell
import nbformat
import registry
import stored
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]
MARK = "TODO(author)"


class NewMethodError(Exception):
    """The method cannot be laid out; the message says why and what to do."""


def new_method(method_id: str, *, root: Path = ROOT) -> list[Path]:
    """Lay out a method.

    Args:
        method_id: `<family>/<method>` as in the registry.
        root: the tree.

    Returns:
        The files that were written or changed.

    Raises:
        NewMethodError: if the registry has no such entry, it is written already, it lacks its
            bibliography entry, or one of its files exists.
    """
    book = root / "book"
    known = registry.load(book / "methods.yml", bibliography=book / "references.bib")
    by_id = {method.id: method for method in known.methods.values()}
    if method_id not in by_id:
        planned = ", ".join(m.id for m in known.methods.values() if not m.written)
        raise NewMethodError(
            f"book/methods.yml has no {method_id!r}: write its entry first. Planned are: {planned}"
        )
    method = by_id[method_id]
    if method.written:
        raise NewMethodError(f"{method_id} is written already; to begin anew set status: planned")
    reference = known.reference(method)
    family = known.family(method.family)
    texts: dict[Path, str] = {}
    for language in ("ko", "en"):
        texts[book / f"{method_id}.{language}.md"] = review(method, language)
        page = book / family.id / f"index.{language}.md"
        if not page.exists():
            texts[page] = family_page(family, language)
    path = root / "notebooks" / f"{method_id}.ipynb"
    there = [p for p in (*texts, path) if p.exists()]
    if there:
        raise NewMethodError(f"{', '.join(map(str, there))} exists; move it away first")

    contents, entries = root / "_toc.yml", book / "methods.yml"
    texts[contents] = with_contents(contents.read_text(encoding="utf-8"), method, known)
    texts[entries] = with_status(entries.read_text(encoding="utf-8"), method_id)
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    first = colab_cell.first_cell(colab_cell.version(root), colab_cell.repository(root))
    stored.write(skeleton(method_id, title_source(method, reference), first), path)
    return [*texts, path]


def with_status(entries: str, method_id: str) -> str:
    """The registry's text with one method's status set to `written`; comments stay."""
    start = re.search(rf"\bid: {re.escape(method_id)}(?=[\s,}}])", entries).end()
    end = re.compile(r"^\s*- (?:id:|\{id:)", re.MULTILINE).search(entries, start)
    block = entries[start : end.start() if end else len(entries)]
    if block.count("status: planned") != 1:
        raise NewMethodError(f"the entry of {method_id} must hold `status: planned` once")
    changed = block.replace("status: planned", "status: written")
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
    names = f"{method.name_ko}: 노트북 | {method.name}: notebook"
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


# --- The review ----------------------------------------------------------------------------------

REVIEW = (
    ("card", "한눈에 보기", "At a glance", "```{{method-card}} {id}\n```"),
    (
        "summary",
        "한 문단 요약",
        "In one paragraph",
        "{todo}: problem, idea, gain",
    ),
    (
        "picture",
        "그림으로 보는 아이디어",
        "The idea in a picture",
        "{todo}: one figure of our own in book/_static/figures, with alt text",
    ),
    (
        "method",
        "작동 원리",
        "How it works",
        "{todo}: notation, training, inference; every equation explained\n\n"
        "```{{math}}\n:label: eq-{page}-score\ns=\\max_{{h,w}}A(h,w)\n```",
    ),
    ("paper", "논문이 보고한 결과", "What the paper reports", "```{{headline}} {id}\n```"),
    (
        "measured",
        "이 책의 측정값",
        "What we measured",
        "```{{measured}} {id}\n```\n\n```{{claims-table}} {id}\n```",
    ),
    (
        "critical",
        "비판적으로 읽기",
        "Read critically",
        "{todo}: strengths, limits",
    ),
    (
        "practice",
        "실무에서",
        "In practice",
        "{todo}: when, at what cost",
    ),
    ("family", "계열 안의 관계", "Family ties", "{todo}: what it took, what took from it"),
    (
        "quiz",
        "퀴즈",
        "Quiz",
        '```{{quiz}}\n- q: "{todo}"\n  options:\n    - text: "{todo}: right"\n      right: true\n'
        '      why: "{todo}"\n'
        '    - text: "{todo}: wrong"\n      right: false\n      why: "{todo}"\n```',
    ),
)
FAMILY = (
    ("belief", "이 계열이 믿는 것", "What the family believes", "{todo}: two paragraphs"),
    ("timeline", "어떻게 발전했나", "How it developed", "{todo}: a line for each method"),
    ("table", "방법 비교", "The methods side by side", "```{{family-table}} {id}\n```"),
    ("choose", "고르는 법", "How to choose", "{todo}"),
    ("pitfalls", "세 가지 함정", "Three pitfalls", "{todo}"),
    ("order", "읽는 순서", "Order to read in", "{todo}"),
)


def review(method: registry.Method, language: str) -> str:
    """The review's page with all its sections."""
    page = method.id.split("/")[1]
    return _page(page, method.title(language), REVIEW, language, id=method.id)


def family_page(family: registry.Family, language: str) -> str:
    """The family's page with all its sections."""
    return _page(family.id, family.name[language], FAMILY, language, id=family.id)


def _page(page: str, title: str, sections: tuple, language: str, **names: str) -> str:
    parts = [f"({page})=\n# {title}\n"]
    for slug, korean, english, body in sections:
        heading = korean if language == "ko" else english
        text = body.format(todo=MARK, page=page, **names)
        parts.append(f"({page}-{slug})=\n## {heading}\n\n{text}\n")
    return "\n".join(parts)


# --- The notebook --------------------------------------------------------------------------------

IMPORTS = """\
import numpy as np

from helpers import data, exercises, metrics, plot, report"""

PARAMETERS = """\
dataset = "elpv"  # the paper: MVTec AD; your own images: "folder"
category = None  # None: the data set's first
root = None  # where your own images lie
image_size = 256  # TODO(author): the paper's value
backbone = "efficientnet_lite0"  # TODO(author): the paper's network
device = "auto"
seed = 0
budget = "quick"  # "paper": all images"""

START = """\
settings = {{
    "dataset": dataset,
    "category": category,
    "root": root,
    "image_size": image_size,
    "backbone": backbone,
    "device": device,
    "seed": seed,
    "budget": budget,
}}
run = report.start("{id}", settings=settings, expect=expect)"""

DATA = """\
train, test = data.load(dataset, category, root=root, image_size=image_size, budget=budget)
fit, held_out = data.hold_out(train, 0.2)  # the threshold comes from normal images not fitted on
print(f"{len(fit)} to fit, {len(held_out)} for the threshold, {len(test)} to test")
plot.show(plot.grid(test.images[:6], list(test.types[:6])), photo=True)"""

METHOD = """\
def anomaly_maps(images, normal):
    \"\"\"A stand-in: distance from the mean normal image. TODO(author): the paper's.\"\"\"
    mean_image = normal.astype(np.float32).mean(axis=(0, 3))  # (H, W)
    return np.abs(images.astype(np.float32).mean(axis=3) - mean_image)  # (N, H, W)"""

SCORES = """\
maps = anomaly_maps(test.images, fit.images)
scores = maps.max(axis=(1, 2))
held_out_scores = anomaly_maps(held_out.images, fit.images).max(axis=(1, 2))
allowed = max(0.05, 1 / (len(held_out) + 1))  # a few images cannot promise a low rate
threshold = metrics.threshold_from_normals(held_out_scores, false_positive_rate=allowed)
print(f"scores {scores.shape}, maps {maps.shape}")"""

RESULT = """\
result = metrics.evaluate(scores, maps, test)
simple = metrics.baselines(fit, test)
aurocs = {name: metrics.auroc(values, test) for name, values in simple.items()}
run.report(result, train=fit, test=test, threshold=threshold, baselines=aurocs)
run.save_scores(test, scores, threshold=threshold)"""

GALLERY = """\
plot.show(plot.gallery(test, maps), photo=True)"""

CLAIM = """\
difference = metrics.compare(test, scores, simple["mean grey"])
run.claim("TODO(author)", difference, at_least=0.0)"""

EXERCISE = """\
def area_above(anomaly_map, threshold):
    \"\"\"Share of pixels above the threshold. TODO(author): an exercise of five lines.\"\"\"
    ..."""

CHECK = """\
one_in_four = np.eye(4)  # TODO(author): properties of a right answer, on fresh inputs
exercises.check(
    "area_above",
    area_above,
    exercises.shape((one_in_four, 0.5), ()),
    exercises.agrees((one_in_four, 0.5), 0.25, message="the share of pixels above 0.5"),
)"""

ALT = {"alt-ko": f"{MARK}: 그림 설명", "alt-en": f"{MARK}: what the figure shows"}


def title_source(method: registry.Method, reference: registry.Reference | None) -> str:
    """The notebook's first cell: name, paper, and where to read it, as the registry has them."""
    if reference is None:
        return f"# {method.name}"
    paper = f"{', '.join(reference.authors)}: *{reference.title}*, {reference.year}."
    if link := reference.link:
        shown = f"arXiv:{reference.arxiv}" if reference.arxiv else link.split("://")[1]
        paper += f" [{shown}]({link})"
    return f"# {method.name}\n\n{paper}"


def skeleton(method_id: str, title: str, first: str) -> nbformat.NotebookNode:
    """A notebook with every section; it runs, with a stand-in where the method will be."""
    cells = [new_markdown_cell(title)]

    def prose(slug: str, korean: str, english: str, text: str = MARK) -> None:
        for language, heading in (("ko", korean), ("en", english)):
            metadata = {"tags": [f"lang-{language}"], "section": slug}
            cells.append(new_markdown_cell(f"## {heading}\n\n{text}", metadata=metadata))

    def code(source: str, **metadata: object) -> None:
        cells.append(new_code_cell(source, metadata=metadata))

    prose("setup", "준비", "Set-up")
    code(first)
    code(IMPORTS)
    code(PARAMETERS, tags=["parameters"])
    code(bands.expect_source(stored.literals(PARAMETERS), {}), tags=["expect"])
    code(START.format(id=method_id))
    prose("predict", "무엇을 보게 되나", "What you will see")
    prose("data", "데이터", "Data")
    code(DATA, **ALT)
    prose("method", "방법", "The method", f"{MARK}\n\n$$ A(h,w) = |x(h,w) - \\bar{{x}}(h,w)| $$")
    code(METHOD)
    prose("scores", "점수와 이상 맵", "Scores and maps")
    code(SCORES)
    code(GALLERY, **ALT)
    prose("result", "결과", "Result")
    code(RESULT)
    prose("matters", "무엇이 중요한가", "What matters")
    code(CLAIM)
    prose("fails", "실패하는 사례", "Where it fails")
    for language, words, heading in (
        ("ko", ("힌트", "풀이"), "연습 문제"),
        ("en", ("Hint", "Solution"), "Exercise"),
    ):
        summaries = [f"{words[0]} {i}" for i in (1, 2, 3)] + [words[1]]
        folded = "\n\n".join(
            f"<details>\n<summary>{summary}</summary>\n\n{MARK}\n\n</details>"
            for summary in summaries
        )
        text = f"## {heading} 1: {MARK}\n\n{MARK}\n\n{folded}"
        metadata = {"tags": [f"lang-{language}"], "section": "exercise-1"}
        cells.append(new_markdown_cell(text, metadata=metadata))
    code(EXERCISE)
    code(CHECK)
    table = f"| | paper | here |\n|---|---|---|\n| {MARK} | | |"
    prose("smaller", "작게 만든 것", "What was made smaller", table)
    for language, heading, ending in (
        ("ko", "내 데이터로", "정리"),
        ("en", "On your own data", "To take away"),
    ):
        bullets = "\n".join([f"- {MARK}"] * 3)
        text = f"## {heading}\n\n{MARK}\n\n**{ending}**\n\n{bullets}"
        metadata = {"tags": [f"lang-{language}"], "section": "own-data"}
        cells.append(new_markdown_cell(text, metadata=metadata))
    notebook = new_notebook(cells=cells, metadata=stored.METADATA)
    for number, cell in enumerate(notebook.cells):  # stable, so that a layout can be compared
        cell.id = f"cell-{number:02d}"
    return notebook


def main() -> int:
    """The command line; returns the exit status."""
    if len(sys.argv) != 2:
        print("usage: python book/tools/new_method.py family/name", file=sys.stderr)
        return 2
    try:
        written = new_method(sys.argv[1])
    except (NewMethodError, registry.RegistryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(f"written {path.relative_to(ROOT)}")
    print(
        f"Now write where {MARK} stands, then:\n"
        f"  make bands NB={sys.argv[1]}   expected bands from five seeds, outputs stored\n"
        "  make test"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
