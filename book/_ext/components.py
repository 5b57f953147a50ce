"""What the book's directives share: words in both languages, small node builders, one base class.

As a Sphinx extension this module loads all of the directives that are drawn from the registry.
"""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import records
import registry
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

EXTENSIONS = (
    "method_card",
    "measured",
    "claims",
    "leaderboard",
    "family_table",
    "cost",
    "headline",
    "reading_list",
    "field_map",
    "quiz",
)

# Words of the interface: name -> (Korean, English).
WORDS = {
    "paper": ("논문", "Paper"),
    "authors": ("저자", "Authors"),
    "venue": ("발표", "Published"),
    "preprint": ("arXiv", "arXiv"),
    "links": ("링크", "Links"),
    "official code": ("공식 코드", "official code"),
    "no official code": ("공식 코드 없음", "no official code"),
    "notebook": ("노트북", "Notebook"),
    "review": ("리뷰", "review"),
    "open in Colab": ("Colab에서 열기", "open in Colab"),
    "difficulty": ("난이도", "Difficulty"),
    "difficulty 1": ("쉬움", "easy"),
    "difficulty 2": ("보통", "medium"),
    "difficulty 3": ("어려움", "hard"),
    "prerequisites": ("먼저 읽기", "Read first"),
    "necessary": ("필수", "necessary"),
    "helpful": ("도움이 됨", "helpful"),
    "none": ("없음", "none"),
    "cost": ("실행 비용", "Cost of a run"),
    "seconds": ("{}초", "{} s"),
    "memory": ("메모리 {} MB", "{} MB of memory"),
    "threads": ("스레드 {}개", "threads: {}"),
    "expected": ("기대 결과", "Expected result"),
    "builds on": ("바탕이 된 방법", "Builds on"),
    "leads to": ("이어지는 방법", "Leads to"),
    "summary": ("한국어 블로그 요약", "summary in Korean (blog)"),
    "planned": ("준비 중", "planned"),
    "beyond the list": ("목록 밖", "beyond the list"),
    "no record": (
        "아직 실행 기록이 없습니다. 노트북을 한 번 실행하면 여기에 결과가 나타납니다.",
        "No record yet. The result appears here once the notebook has been run.",
    ),
    "metric": ("지표", "Metric"),
    "measured": ("측정값 [95 % 구간]", "Measured [95 % interval]"),
    "value": ("값", "Value"),
    "band": ("기대 범위", "Expected band"),
    "verdict": ("판정", "Verdict"),
    "in band": ("범위 안", "in band"),
    "out of band": ("범위 밖", "out of band"),
    "no band": ("범위 없음", "no band"),
    "not available": ("측정 불가: {}", "not available: {}"),
    "baseline": ("기준 방법: {}", "Baseline: {}"),
    "twin": ("학습되지 않은 쌍둥이: {}", "Untrained twin: {}"),
    "twin of": ("{}의 학습되지 않은 쌍둥이", "Untrained twin of {}"),
    "mean grey": ("평균 밝기", "mean grey"),
    "thumbnail nearest neighbour": ("축소 이미지의 최근접 이웃", "thumbnail nearest neighbour"),
    "dataset": ("데이터셋", "Data set"),
    "data line": (
        "학습에 정상 이미지 {train}장, 테스트에 {test}장",
        "{train} normal images to fit, {test} images to test",
    ),
    "licence of the data": ("데이터 라이선스", "Licence of the data"),
    "more measured": ("노트북의 다른 측정값", "Other values measured in the notebook"),
    "settings": ("설정과 환경", "Settings and environment"),
    "setting": ("설정", "Setting"),
    "fingerprint": ("데이터 지문", "Data fingerprint"),
    "weights": ("가중치", "Weights"),
    "threshold": ("임곗값", "Threshold"),
    "claim": ("주장", "Claim"),
    "source": ("출처", "Source"),
    "difference": ("차이 [95 % 구간]", "Difference [95 % interval]"),
    "needed": ("기준: {} 초과", "rule: above {}"),
    "reproduced": ("재현됨", "reproduced"),
    "partly": ("부분 재현", "partly"),
    "not at this scale": ("이 규모에서는 확인되지 않음", "not at this scale"),
    "not tested": ("검증하지 않음", "not tested"),
    "no verdict": ("기록 없음", "no record"),
    "method": ("방법", "Method"),
    "family": ("계열", "Family"),
    "rank": ("순위", "Rank"),
    "year": ("연도", "Year"),
    "needs": ("필요한 것", "Needs"),
    "gives": ("얻는 것", "Gives"),
    "result": ("결과(이미지 AUROC)", "Result (image AUROC)"),
    "time": ("시간", "Time"),
    "memory column": ("메모리", "Memory"),
    "file": ("파일 크기", "File size"),
    "status": ("상태", "Status"),
    "written": ("완성", "written"),
    "numbers of the paper": ("논문이 보고한 수치", "Numbers the paper reports"),
    "as reported by": ("재인용: {}", "as reported by {}"),
    "no numbers": (
        "확인된 수치가 없어 싣지 않습니다.",
        "No number that we could verify, so none is printed.",
    ),
    "listed": ("목록의 표기", "The list says"),
    "correct": ("올바른 정보", "Correct"),
    "explanation": ("설명", "Explanation"),
    "about": ("대상", "About"),
    "kind link": ("링크", "link"),
    "kind spelling": ("표기", "spelling"),
    "kind date": ("연도", "date"),
    "kind note": ("참고", "note"),
    "corrected": ("바로잡음: {}", "corrected: {}"),
    "surveys": ("서베이 논문", "Survey papers"),
    "nothing measured": (
        "아직 순위를 매길 결과가 없습니다.",
        "There is no result to rank yet.",
    ),
    "tied": ("1위와 구간이 겹침", "interval overlaps the first"),
    "group": ("{dataset} · 지문 {fingerprint}", "{dataset} · fingerprint {fingerprint}"),
    "field map": ("분야 지도", "Map of the field"),
    "field map help": (
        "채운 상자는 완성된 방법, 점선 상자는 준비 중인 방법입니다. "
        "선은 어느 방법이 어느 방법의 발상을 이어받았는지를 이 책이 읽은 대로 나타냅니다.",
        "Filled boxes are written, dashed boxes are planned. A line says, in this book's reading, "
        "which method takes up the idea of which.",
    ),
    "before": ("~{}", "–{}"),
    "since": ("{}~", "{}–"),
    "question": ("문제 {}", "Question {}"),
    "right": ("정답:", "Right:"),
    "wrong": ("오답:", "Wrong:"),
    "choose": ("하나를 고르면 설명이 나타납니다.", "Choose one; its explanation appears."),
}

# Metrics in the order in which they are shown: key in a record -> (Korean, English).
METRICS = {
    "image_auroc": ("이미지 AUROC", "image AUROC"),
    "image_ap": ("이미지 AP", "image AP"),
    "image_f1_max": ("이미지 F1-max", "image F1-max"),
    "pixel_auroc": ("픽셀 AUROC", "pixel AUROC"),
    "pixel_ap": ("픽셀 AP", "pixel AP"),
    "aupro": ("AUPRO(모든 이미지)", "AUPRO, all images"),
    "aupro_anomalous": ("AUPRO(이상 이미지만)", "AUPRO, anomalous images only"),
}
VERDICT_KINDS = {
    "reproduced": "good",
    "partly": "fair",
    "not at this scale": "bad",
    "not tested": "muted",
}

Content = str | nodes.Node | Sequence[nodes.Node]


def say(name: str, language: str, *values: object, **named: object) -> str:
    """A word of the interface in `language`, with its blanks filled."""
    pair = WORDS.get(name) or METRICS[name]
    text = pair[0] if language.startswith("ko") else pair[1]
    return text.format(*values, **named) if values or named else text


def number(value: float | None, digits: int = 3) -> str:
    """A number as the pages print it; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def interval(value: float | None, pair: Sequence[float] | None) -> str:
    """``0.957 [0.940, 0.974]``; without a pair the number alone."""
    if value is None or not pair:
        return number(value)
    return f"{number(value)} [{number(pair[0])}, {number(pair[1])}]"


def measured(value: float | None, pair: Sequence[float] | None) -> list[nodes.Node]:
    """A value and its interval, each kept on one line."""
    out: list[nodes.Node] = [inline(number(value), "book-number")]
    if value is not None and pair:
        low, high = (number(v) for v in pair)
        out += [nodes.Text(" "), inline(f"[{low}, {high}]", "book-number", "book-interval")]
    return out


def inline(content: Content, *classes: str) -> nodes.inline:
    """A span."""
    return nodes.inline("", "", *_inlines(content), classes=list(classes))


def badge(text: str, kind: str = "muted") -> nodes.inline:
    """A small label; `kind` is good, fair, bad, muted or quiet (without a frame)."""
    return inline(text, "book-badge", f"book-badge-{kind}")


def external(text: Content, url: str) -> nodes.reference:
    """A link out of the book."""
    return nodes.reference("", "", *_inlines(text), refuri=url, internal=False)


def paragraph(*content: Content, classes: Iterable[str] = ()) -> nodes.paragraph:
    """A paragraph of text, links and spans."""
    children = [node for part in content for node in _inlines(part)]
    return nodes.paragraph("", "", *children, classes=list(classes))


def joined(parts: Sequence[Content], separator: str = ", ") -> list[nodes.Node]:
    """Contents with a separator between them."""
    out: list[nodes.Node] = []
    for part in parts:
        if out:
            out.append(nodes.Text(separator))
        out += _inlines(part)
    return out


def html(text: str) -> nodes.raw:
    """Markup that only an HTML page shows."""
    return nodes.raw("", text, format="html")


def details(summary: str, *children: nodes.Node, open_: bool = False) -> list[nodes.Node]:
    """A part that opens and closes, without script."""
    start = f'<details class="book-details"{" open" if open_ else ""}>'
    return [html(f"{start}<summary>{escape(summary)}</summary>"), *children, html("</details>")]


def table(
    head: Sequence[Content],
    rows: Sequence[Sequence[Content]],
    *,
    classes: Iterable[str] = (),
    row_classes: Sequence[str] | None = None,
    stub: bool = True,
    stacked: bool = False,
) -> nodes.table:
    """A table.

    Args:
        head: the columns' headings.
        rows: cells, row by row.
        classes, row_classes: for the style sheet.
        stub: whether the first column heads its rows.
        stacked: on a narrow screen each row becomes a block whose cells carry their headings.
    """
    group = nodes.tgroup(cols=len(head))
    for i in range(len(head)):
        spec = nodes.colspec(colwidth=1)
        if stub and i == 0:
            spec["stub"] = 1
        group += spec
    group += nodes.thead("", _row(head))
    body = nodes.tbody()
    for i, cells in enumerate(rows):
        labels = head if stacked else ()
        body += _row(cells, (row_classes[i] if row_classes else ""), labels)
    group += body
    kinds = ["book-table", *(["book-stacked"] if stacked else []), *classes]
    return nodes.table("", group, classes=kinds)


def pairs(items: Sequence[tuple[str, Sequence[nodes.Node]]]) -> nodes.definition_list:
    """Terms and what stands beside them."""
    out = nodes.definition_list(classes=["book-pairs"])
    for term, children in items:
        body = [c if isinstance(c, nodes.Element) and _block(c) else None for c in children]
        inner = list(children) if all(body) else [paragraph(*children)]
        item = nodes.definition_list_item()
        item += nodes.term(term, term)
        item += nodes.definition("", *inner)
        out += item
    return out


class BookDirective(SphinxDirective):
    """A directive that is drawn from the registry."""

    @property
    def language(self) -> str:
        """``ko`` or ``en``: the language that is being built."""
        return "ko" if str(self.config.language or "ko").startswith("ko") else "en"

    def say(self, name: str, *values: object, **named: object) -> str:
        """A word of the interface in the page's language."""
        return say(name, self.language, *values, **named)

    def baseline(self, name: str) -> str:
        """The label of a baseline, by the name that the record gives it."""
        return self.say("baseline", self.say(name) if name in WORDS else name)

    def load(self) -> registry.Registry:
        """The registry; the page is drawn anew when its files change."""
        path = Path(self.env.srcdir) / self.config.book_registry
        for file in (path, path.with_name("references.bib")):
            self.env.note_dependency(str(file))
        try:
            return registry.load(path)
        except registry.RegistryError as error:
            raise self.error(str(error)) from error

    def find(self, name: str) -> registry.Method:
        """The method with this id; an error of the page if there is none."""
        try:
            return self.load().method(name)
        except registry.RegistryError as error:
            raise self.error(f"{self.name}: {error}") from error

    def pieces(self, method: registry.Method) -> list[dict[str, Any]]:
        """The method's record; the page is drawn anew when the notebook changes."""
        path = Path(self.env.srcdir) / f"{method.notebook}.ipynb"
        self.env.note_dependency(str(path))
        if not path.is_file():
            return []
        try:
            return records.pieces(path)
        except records.RecordError as error:
            raise self.error(f"{self.name}: {error}") from error

    def costs(self) -> dict[str, dict[str, Any]]:
        """Measured cost of the notebooks."""
        path = (Path(self.env.srcdir) / self.config.book_registry).parent / "results" / "cost.yml"
        self.env.note_dependency(str(path))
        try:
            return registry.costs(path)
        except registry.RegistryError as error:
            raise self.error(f"{self.name}: {error}") from error

    def cost(self, method: registry.Method) -> dict[str, Any]:
        """Seconds and memory of one run: measured by the benchmark, else by the run itself."""
        entry = self.costs().get(method.id)
        return entry or dict(records.report(self.pieces(method)) or {})

    def to(self, docname: str, text: Content) -> nodes.Node:
        """A link to another page of the book."""
        return document_link(docname, text, self.env.docname)

    def to_method(self, method: registry.Method) -> nodes.Node:
        """The method's name: a link to its review, or marked as planned."""
        return method_link(method, self.language, self.env.docname)


def document_link(docname: str, text: Content, source: str) -> addnodes.pending_xref:
    """A cross-reference to a page, resolved and checked by Sphinx."""
    return addnodes.pending_xref(
        "",
        inline(text, "doc"),
        refdomain="std",
        reftype="doc",
        reftarget=f"/{docname}",
        refdoc=source,
        refexplicit=True,
        refwarn=True,
    )


def method_link(method: registry.Method, language: str, source: str) -> nodes.Node:
    """The method's name: a link to its review, or its name marked as planned."""
    if method.written:
        return document_link(method.review, method.title(language), source)
    name = nodes.Text(method.title(language) + " ")
    return inline([name, badge(say("planned", language), "quiet")], "book-planned")


def _inlines(content: Content) -> list[nodes.Node]:
    if isinstance(content, str):
        return [nodes.Text(content)]
    return [content] if isinstance(content, nodes.Node) else list(content)


def _block(node: nodes.Node) -> bool:
    return isinstance(node, nodes.paragraph | nodes.bullet_list | nodes.container)


def _row(cells: Sequence[Content], classes: str = "", labels: Sequence[Content] = ()) -> nodes.row:
    row = nodes.row(classes=classes.split())
    for i, cell in enumerate(cells):
        content: list[Content] = [cell]
        if i and labels:
            content = [inline(labels[i], "book-cell-label"), " ", inline(cell, "book-cell")]
        row += nodes.entry("", paragraph(*content))
    return row


def setup(app: Sphinx) -> dict[str, Any]:
    """Load all directives that are drawn from the registry, their style and their script."""
    app.add_config_value("book_registry", "book/methods.yml", "env")
    app.add_css_file("components.css")
    app.add_js_file("components.js", loading_method="defer")
    for name in EXTENSIONS:
        app.setup_extension(name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
