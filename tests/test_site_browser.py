"""The built site as a reader meets it: in Chromium, in both languages, over http.

From a folder, without a server, a browser treats scripts, storage and addresses differently: so a
page of each kind is opened there too, and the landing page, the search and progress are tried.
Every request that leaves the machine is blocked and recorded; a page that makes one fails.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import registry
from browsing import chromium, served
from sample_book import schematics_shown

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.site, pytest.mark.browser]

LANGUAGES = ("ko", "en")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
GLOSSARY = ("book/guide/glossary",)
#: What readers type, and where the first hit must lead (to a method's review once it is written).
FIRST = {
    "임곗값 threshold thresholds 임계값 쓰레숄드 cut-off": ("book/guide/thresholds",),
    "AUPRO PRO AUROC ROC": ("book/guide/metrics",),
    "coreset 코어셋 패치코어 PatchCore": ("book/memory_bank/patchcore",),
    "Mahalanobis 마할라노비스": ("book/memory_bank/padim", "book/distribution_map/gaussian_ad"),
    "log-det logdet flow 노멀라이징&플로우": ("book/distribution_map/normalizing_flows",),
    "이상치 과검 미검 EL 과적합 우도 kNN k-NN": GLOSSARY,
    "엣지 캐니 Canny": ("book/classical/canny",),
    "GLCM": (*GLOSSARY, "book/classical/glcm"),
    "결함": (*GLOSSARY, "book/guide/data"),
    "패딤 PaDiM": ("book/memory_bank/padim",),
    "스페이드 SPADE": ("book/memory_bank/spade",),
    "오츠 Otsu": ("book/classical/histogram_otsu",),
    "패스트플로우 fast&flow": ("book/distribution_map/fastflow",),
    "리더보드 leaderboard": ("book/results/leaderboard",),
    "ELPV 라이센스 license": ("book/guide/data",),
    "memory&bank 메모리뱅크": ("book/memory_bank/index",),
}
#: Words whose hits are looked at one by one.
WORDS = {
    "ko": ("결함", "정상", "이상치", "임곗값", "패치코어", "가능도", "메모리뱅크", "threshold"),
    "en": ("defect", "normal", "threshold", "coreset", "likelihood", "licence", "GLCM", "임곗값"),
}
#: A page of each kind: front page, guide, family, review, notebook, a page of results.
KINDS = (
    "book/index.html",
    "book/guide/using.html",
    "book/memory_bank/index.html",
    "book/memory_bank/patchcore.html",
    "notebooks/memory_bank/patchcore.html",
    "book/results/leaderboard.html",
    "book/results/claims.html",
)
#: Text that only an unrendered page shows.
RAW = (":::", "{ref}", "{doc}", "{cite", "{eq}", "```", "$$", "\\frac", ")=")


@pytest.fixture(scope="module", autouse=True)
def korean_font() -> None:
    listed = shutil.which("fc-list")
    if listed and not subprocess.run([listed, ":lang=ko"], capture_output=True).stdout.strip():
        pytest.fail("no Korean font found: run `make test-deps`", pytrace=False)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def addresses(site: Path) -> Iterator[dict[str, str]]:
    with served(site) as addresses:
        yield addresses


@pytest.fixture
def base(addresses: dict[str, str]) -> str:
    """The site on a server."""
    return addresses["http"]


@pytest.fixture(params=["http", "file"])
def either(request: pytest.FixtureRequest, addresses: dict[str, str]) -> str:
    """The site on a server, and in its folder."""
    return addresses[request.param]


class Reader:
    """One reader: a browser window with its language, and a record of what went wrong in it."""

    def __init__(self, browser, **options: object) -> None:
        self.context = browser.new_context(**{"viewport": DESK, "locale": "en-US", **options})
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.context.on("request", self._request)
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _request(self, request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("file", "data", "blob") and parts.hostname != "127.0.0.1":
            self.foreign.append(request.url)

    def _console(self, message) -> None:
        if message.type == "error":
            self.errors.append(f"{self.page.url}: {message.text}")

    def open(self, address: str) -> None:
        """Open a page and wait until its formulas are set."""
        self.page.goto(address, wait_until="load")
        self.page.evaluate("window.MathJax?.startup?.promise.then(() => true)")

    def text(self) -> str:
        return self.page.inner_text("article.bd-article")


@pytest.fixture
def reader(browser) -> Iterator[Callable[..., Reader]]:
    readers: list[Reader] = []

    def make(**options: object) -> Reader:
        readers.append(Reader(browser, **options))
        return readers[-1]

    yield make
    for each in readers:
        each.context.close()
        assert each.foreign == [], "the page asked another host"
        assert each.errors == [], "the console shows errors"


def names(site: Path, language: str) -> list[str]:
    root = site / language
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.html"))
    return [name for name in found if name.startswith(("book/", "notebooks/"))]


@pytest.mark.parametrize(
    ("locale", "language"), [("ko-KR", "ko"), ("en-US", "en"), ("de-DE", "en")]
)
def test_the_landing_page_leads_to_the_readers_language(either, reader, locale, language) -> None:
    window = reader(locale=locale)
    window.page.goto(f"{either}/index.html")
    window.page.wait_for_url(f"**/{language}/book/index.html")
    assert window.page.evaluate("document.documentElement.lang") == language


#: What is wider than its box, but does not fade where there is more or cannot be scrolled by
#: keyboard; printed text that is cut at all; and stops of the Tab key where nothing scrolls.
CUT = """async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  await document.fonts.ready;
  for (let i = 0; i < 3; i++) await frame();
  const found = [];
  const name = (each) => `${each.tagName}.${each.className}: ${each.textContent.slice(0, 60)}`;
  for (const each of document.querySelectorAll("article.bd-article *")) {
    if (each.matches("mjx-ext")) continue;  // a stretched bar is cut by design
    const wider = each.clientWidth > 2 && each.scrollWidth > each.clientWidth + 1;
    const signed = each.matches(".book-more-left, .book-more-right") && each.tabIndex === 0;
    const clips = getComputedStyle(each).overflowX !== "visible";
    if (wider && clips && (!signed || each.matches("div.cell_output pre"))) found.push(name(each));
    const formula = each.matches("mjx-container, div.math");
    if (formula && !wider && each.tabIndex === 0) found.push(`stop at ${name(each)}`);
  }
  return found;
}"""


def cut(window: Reader) -> list[str]:
    """What a reader cannot see, or not see that there is more; at the window's present width."""
    return window.page.evaluate(CUT)


def test_a_formula_that_does_not_fit_fades_where_there_is_more(base, reader) -> None:
    window = reader(viewport=PHONE)
    window.open(f"{base}/en/book/distribution_map/cflow.html")
    box = window.page.locator("div.math mjx-container.book-more-right").first
    assert "book-more-left" not in box.get_attribute("class")
    assert "linear-gradient" in box.evaluate("each => getComputedStyle(each).maskImage")
    box.focus()
    box.evaluate("each => { each.scrollLeft = each.scrollWidth }")
    window.page.wait_for_selector("mjx-container.book-more-left:not(.book-more-right)")


@pytest.mark.parametrize("name", ["guide/data", "guide/glossary", "memory_bank/patchcore"])
def test_a_phone_shows_every_column_of_a_table(base, reader, name) -> None:
    window = reader(viewport=PHONE)
    window.open(f"{base}/ko/book/{name}.html")
    tables = window.page.locator("article table.book-stacked")
    assert tables.count() > 0
    cells = tables.first.locator("tbody tr").first.locator("td:not(.book-none)")
    for i in range(cells.count()):
        box = cells.nth(i).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    label = cells.last.evaluate("each => getComputedStyle(each, '::before').content")
    assert label == f'"{cells.last.get_attribute("data-label")}"'


def test_claims_are_chosen_by_keyboard_and_a_link_shows_a_hidden_one(either, reader) -> None:
    window = reader()
    window.open(f"{either}/en/book/results/claims.html")
    page = window.page
    rows = page.locator("tr[id^=claim-]")
    every = rows.count()
    assert every == page.locator("tr[id^=claim-]:visible").count()
    page.locator(".book-filter select").first.focus()
    page.keyboard.press("ArrowDown")  # the first verdict
    verdict = page.locator(".book-filter select").first.input_value()
    shown = page.locator("tr[id^=claim-]:visible")
    assert 0 < shown.count() < every
    assert shown.count() == page.locator(f"tr.{verdict}").count()
    said = page.locator(".book-filter output").inner_text()
    assert said == f"{shown.count()} of {every} claims are shown."
    hidden = page.locator(f"tr[id^=claim-]:not(.{verdict})").first.get_attribute("id")
    page.evaluate(f"location.hash = '#{hidden}'")
    page.wait_for_selector(f"#{hidden}:visible")
    assert shown.count() == every


def test_without_javascript_all_claims_are_visible(base, reader) -> None:
    window = reader(java_script_enabled=False)
    window.page.goto(f"{base}/ko/book/results/claims.html")
    rows = window.page.locator("tr[id^=claim-]")
    assert rows.count() == window.page.locator("tr[id^=claim-]:visible").count() > 0
    assert not window.page.is_visible(".book-filter")


@pytest.mark.parametrize("name", ["claims", "leaderboard"])
def test_results_can_be_downloaded_as_a_table(either, reader, name) -> None:
    window = reader(accept_downloads=True)
    window.open(f"{either}/ko/book/results/{name}.html")
    with window.page.expect_download() as download:
        window.page.click(".book-download a")
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) > 5 and all(None not in row for row in rows)


def test_the_landing_page_has_plain_links_without_javascript(base, reader) -> None:
    window = reader(java_script_enabled=False)
    window.page.goto(f"{base}/index.html")
    links = window.page.eval_on_selector_all("a", "links => links.map(a => a.getAttribute('href'))")
    assert links == ["ko/book/index.html", "en/book/index.html"]
    window.page.click("a[lang=ko]")
    assert window.page.url.endswith("/ko/book/index.html")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_folder_of_a_language_leads_to_its_front_page(base, reader, language) -> None:
    window = reader()
    window.page.goto(f"{base}/{language}/index.html")
    window.page.wait_for_url(f"**/{language}/book/index.html")


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_pages_render_whole(site, base, reader, language) -> None:
    window = reader()
    for name in names(site, language):
        renders_whole(window, f"{base}/{language}/{name}")


@pytest.mark.parametrize("name", KINDS)
def test_a_page_of_each_kind_renders_whole_from_a_folder(site, addresses, reader, name) -> None:
    language = LANGUAGES[KINDS.index(name) % 2]
    renders_whole(reader(), f"{addresses['file']}/{language}/{name}")


def renders_whole(window: Reader, address: str) -> None:
    """Formulas rendered, no raw directives, no broken image, no sideways scrolling on a phone."""
    window.page.set_viewport_size(DESK)
    window.open(address)
    formulas, rendered, failed = window.page.evaluate(
        "[document.querySelectorAll('.math').length, "
        "document.querySelectorAll('.math mjx-container').length, "
        "document.querySelectorAll('mjx-merror, [data-mjx-error]').length]"
    )
    assert rendered >= formulas and failed == 0, f"{address}: a formula is not rendered"
    prose = window.page.evaluate(
        """() => { const copy = document.querySelector("article.bd-article").cloneNode(true);
        const code = "pre, code, mjx-container, script, style";
        copy.querySelectorAll(code).forEach((each) => each.remove());
        return copy.textContent; }"""
    )
    assert [raw for raw in RAW if raw in prose] == [], f"{address}: raw text on the page"
    broken = window.page.evaluate(
        "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    )
    assert broken == [], address
    assert cut(window) == [], f"{address}: hidden beyond an edge without a sign"
    window.page.set_viewport_size(PHONE)
    window.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    wide = window.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{address} is {wide} pixels too wide"
    assert cut(window) == [], f"{address}: hidden beyond an edge without a sign"
    assert window.page.is_visible("a.language-switch"), address


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_front_page_says_shows_and_offers_the_book_above_the_fold(
    base, reader, language, viewport
) -> None:
    """One sentence, two buttons, the maps and three numbers, without scrolling."""
    window = reader(viewport=viewport)
    window.open(f"{base}/{language}/book/index.html")
    for selector, count in (
        (".book-front > p", 1),
        (".book-front .book-buttons a", 2),
        (".book-front-maps img", 8),
        (".book-front-maps a", 7),
        (".book-front-numbers strong", 3),
    ):
        found = window.page.locator(selector)
        assert found.count() == count, selector
        for each in found.all():
            box = each.bounding_box()
            assert box["y"] > 0 and box["y"] + box["height"] <= viewport["height"], selector
            assert box["x"] >= 0 and box["x"] + box["width"] <= viewport["width"], selector
    for picture in window.page.locator(".book-front-maps img").all():
        assert picture.bounding_box()["width"] > 80
    window.page.locator(".book-front .book-buttons a").first.click()
    window.page.wait_for_url(f"**/{language}/book/memory_bank/patchcore.html")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_of_the_map_touch_neither_each_other_nor_the_rim_of_a_box(
    base, reader, language
) -> None:
    window = reader()
    window.open(f"{base}/{language}/book/index.html")
    words = window.page.evaluate(
        """() => [...document.querySelectorAll(".book-map-drawing text")].map((text) => {
        const {left, right, top, bottom} = text.getBoundingClientRect();
        const rim = text.parentNode.querySelector(":scope > rect")?.getBoundingClientRect();
        const outside = text.classList.contains("name") &&
            (left < rim.left || right > rim.right || top < rim.top || bottom > rim.bottom);
        return {text: text.textContent, left, right, top, bottom, outside}; })"""
    )
    assert len(words) > 50
    assert [word["text"] for word in words if word["outside"]] == []
    for i, one in enumerate(words):
        for other in words[i + 1 :]:
            apart = one["right"] + 2 <= other["left"] or other["right"] + 2 <= one["left"]
            above = one["bottom"] <= other["top"] or other["bottom"] <= one["top"]
            assert apart or above, (one["text"], other["text"])


def test_a_method_on_the_map_is_reached_by_keyboard_and_shows_its_lines(base, reader) -> None:
    window = reader()
    page = window.page
    window.open(f"{base}/en/book/index.html")
    method = "student_teacher/reverse_distillation"
    link = page.locator(f".book-map-drawing a[data-id='{method}']")
    hidden = page.locator(f"path[data-from='{method}'][data-to='transformer/dinomaly']")  # planned
    assert hidden.evaluate("line => getComputedStyle(line).visibility") == "hidden"
    page.locator(".book-map-drawing a[data-id='student_teacher/mkd']").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    assert hidden.evaluate("line => getComputedStyle(line).visibility") == "visible"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/en/book/{method}.html")


def test_dark_and_light_differ_and_both_are_readable(site, base, reader) -> None:
    def contrast(window: Reader) -> tuple[float, float]:
        window.open(f"{base}/en/book/index.html")
        colours = window.page.evaluate(
            "['color', 'backgroundColor'].map((name, i) => "
            "getComputedStyle(i ? document.body : document.querySelector('.bd-article p'))[name])"
        )
        text, ground = (_luminance(colour) for colour in colours)
        return ground, (max(text, ground) + 0.05) / (min(text, ground) + 0.05)

    light, light_contrast = contrast(reader(color_scheme="light"))
    dark, dark_contrast = contrast(reader(color_scheme="dark"))
    assert light > 0.8 and dark < 0.1
    assert light_contrast > 7 and dark_contrast > 7


def _luminance(colour: str) -> float:
    channels = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_language_switch_keeps_page_and_section(site, base, reader, viewport) -> None:
    """Tried on a page of each kind; test_site_build compares the anchors of all pages."""
    window = reader(viewport=viewport)
    for room in ("book/memory_bank", "notebooks"):
        name = next(name for name in reversed(names(site, "ko")) if room in name)
        window.open(f"{base}/ko/{name}")
        anchors = window.page.eval_on_selector_all(
            "article h2 > a.headerlink", "links => links.map(a => a.getAttribute('href'))"
        )
        anchor = anchors[-1] if anchors else ""
        window.open(f"{base}/ko/{name}{anchor}")
        window.page.click("a.language-switch")
        window.page.wait_for_url(f"**/en/{name}{anchor}")
        if anchor:
            assert window.page.locator(f"[id='{anchor[1:]}']").count() == 1, f"{name}{anchor}"
        window.page.click("a.language-switch")
        window.page.wait_for_url(f"**/ko/{name}{anchor}")


@dataclass(frozen=True)
class Hit:
    """One result of the search."""

    page: str
    anchor: str
    title: str
    excerpt: str
    marked: list[str]


def search(window: Reader, address: str, word: str) -> list[Hit]:
    """What the search offers for a word."""
    window.page.goto(f"{address}/search.html?q={quote(word)}")
    window.page.wait_for_selector("#search-results .search[data-ready]", state="attached")
    hits = window.page.eval_on_selector_all(
        "#search-results .search li",
        """hits => hits.map(hit => {
          const link = hit.querySelector("a");
          const marks = [...hit.querySelectorAll("mark")].map(mark => mark.textContent);
          const excerpt = hit.querySelector(".context")?.textContent || "";
          return [link.pathname.split("/").slice(2).join("/"), link.hash, link.textContent,
            excerpt, marks]; })""",
    )
    return [Hit(page.removesuffix(".html"), anchor[1:], *rest) for page, anchor, *rest in hits]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("words", FIRST)
def test_the_first_hit_is_the_page_that_explains_the_word(base, reader, language, words) -> None:
    window = reader()
    for word in words.split():
        first = search(window, f"{base}/{language}", word.replace("&", " "))[0]
        assert first.page in FIRST[words], word


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_excerpt_holds_the_word_and_only_prose(site, base, reader, language) -> None:
    window = reader()
    for word in WORDS[language]:
        hits = search(window, f"{base}/{language}", word)
        assert hits, word
        for hit in hits:
            assert hit.marked, f"{word}: {hit}"
            for marked in hit.marked:  # 메모리뱅크 is found as 메모리 뱅크, defect as defects
                assert word.lower() in marked.lower().replace(" ", ""), f"{word}: {hit}"
            assert not re.search(r"\\[a-z]|\$|[_^]\{", hit.excerpt), f"{word}: {hit}"
            html = (site / language / f"{hit.page}.html").read_text(encoding="utf-8")
            assert not hit.anchor or f'id="{hit.anchor}"' in html, hit


def test_hits_tell_review_and_notebook_apart(base, reader) -> None:
    for language, word in (("ko", "노트북"), ("en", "notebook")):
        window = reader()
        titles = {hit.page: hit.title for hit in search(window, f"{base}/{language}", "coreset")}
        assert titles["book/memory_bank/patchcore"] == "PatchCore"
        assert titles["notebooks/memory_bank/patchcore"] == f"PatchCore · {word}"
        window.page.goto(f"{base}/{language}/notebooks/memory_bank/patchcore.html")
        assert window.page.title().startswith(f"PatchCore · {word} · ")


def test_the_search_works_from_a_folder(addresses, reader) -> None:
    first = search(reader(), f"{addresses['file']}/ko", "결함")[0]
    assert "결함" in first.excerpt


@pytest.mark.parametrize("word", ["이상치를", "결함이", "임곗값은"])
def test_the_search_finds_a_word_with_a_particle(base, reader, word) -> None:
    with_particle, bare = (search(reader(), f"{base}/ko", w) for w in (word, word[:-1]))
    assert with_particle == bare


def test_the_search_does_not_find_a_word_that_is_absent(base, reader) -> None:
    assert search(reader(), f"{base}/ko", "퀄퀄퀄") == []


def test_a_short_word_does_not_find_the_end_of_another(base, reader) -> None:
    """우도, a word for likelihood, also ends 경우도 ("the case, too")."""
    assert [hit.page for hit in search(reader(), f"{base}/ko", "우도")] == [*GLOSSARY]


# --- weight -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [*KINDS, "search.html", "notebooks/distribution_map/cflow.html"])
def test_the_first_load_of_a_page_is_light(site, base, reader, language, name) -> None:
    window = reader()
    asked: set[str] = set()
    window.page.on("request", lambda request: asked.add(urlsplit(request.url).path))
    window.open(f"{base}/{language}/{name}")
    window.page.wait_for_load_state("networkidle")
    sizes = {path: (site / unquote(path).lstrip("/")).stat().st_size for path in asked}
    formulas = window.page.locator(".math").count() > 0
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    assert sum(sizes.values()) <= (2_200_000 if formulas else 1_000_000), heaviest
    assert any("mathjax" in path for path in asked) == formulas, heaviest
    assert [path for path in asked if "search_index" in path or "fontawesome" in path] == []


def test_images_are_fetched_when_the_reader_comes_near_them(base, reader) -> None:
    window = reader(viewport=PHONE)
    window.open(f"{base}/ko/notebooks/memory_bank/patchcore.html")
    states = window.page.eval_on_selector_all(
        "article img", "images => images.map(i => [i.loading, i.complete, i.width / i.height])"
    )
    assert all(loading == "lazy" for loading, *_ in states[1:])
    assert not states[-1][1], "the last image was fetched at once"
    last = window.page.locator("article img").last
    last.scroll_into_view_if_needed()
    window.page.wait_for_function("[...document.querySelectorAll('article img')].pop().complete")
    shape = last.evaluate("image => image.naturalWidth / image.naturalHeight")
    assert states[-1][2] == pytest.approx(shape, rel=0.02), "another room was kept for it"


def test_every_icon_is_drawn(site, base, reader) -> None:
    window = reader()
    for name in (*KINDS, "book/guide/data.html", "search.html"):
        window.open(f"{base}/en/{name}")
        drawn = window.page.evaluate(
            """() => [[".fas, .fa-solid", "::before"],
              [".admonition > .admonition-title", "::after"]].flatMap(([which, part]) =>
              [...document.querySelectorAll(which)].map(each => [each.className, each.id,
                getComputedStyle(each, part).maskImage, getComputedStyle(each, part).content]))"""
        )
        assert drawn
        assert [each for each in drawn if "url(" not in each[2] or each[3] != '""'] == [], name


def test_progress_is_kept_shown_saved_and_read_back(either, reader, tmp_path: Path) -> None:
    window = reader(accept_downloads=True)
    page = window.page
    window.open(f"{either}/ko/notebooks/memory_bank/patchcore.html")
    page.focus("input[data-kind=run]")
    page.keyboard.press("Space")  # works without a mouse
    exercises = page.locator("input[data-kind=solved]")
    assert exercises.count() > 0
    exercises.first.check()
    # The English book knows it too. (From a folder, Chromium hands it over with some delay.)
    overview = page.locator("#progress-overview")
    for _ in range(10):
        window.open(f"{either}/en/book/guide/using.html")
        if "1 / " in overview.inner_text():
            break
        page.wait_for_timeout(300)
    notebooks = len(registry.load(ROOT / "book" / "methods.yml").written())
    assert f"1 / {notebooks}\nNotebooks run" in overview.inner_text()
    assert page.locator(".bd-links .progress-mark").count() == 1
    with page.expect_download() as download:
        overview.get_by_role("button").nth(0).click()
    saved = tmp_path / "progress.json"
    download.value.save_as(saved)
    assert json.loads(saved.read_text(encoding="utf-8"))["run"] == {
        "notebooks/memory_bank/patchcore": True
    }
    page.on("dialog", lambda dialog: dialog.accept())
    overview.get_by_role("button").nth(2).click()
    assert page.locator(".bd-links .progress-mark").count() == 0
    page.set_input_files("#progress-overview input[type=file]", saved)
    page.wait_for_selector(".bd-links .progress-mark")
    # Another file is refused with a word, and changes nothing.
    (tmp_path / "other.json").write_text("[1, 2]", encoding="utf-8")
    page.set_input_files("#progress-overview input[type=file]", tmp_path / "other.json")
    page.wait_for_function("document.querySelector('.progress-message').textContent.length > 0")
    assert page.locator(".bd-links .progress-mark").count() == 1


def test_hints_and_solutions_open_by_keyboard_and_hold_code(base, reader) -> None:
    window = reader()
    window.open(f"{base}/ko/notebooks/memory_bank/patchcore.html")
    folded = window.page.locator("article details:has(pre)").first
    folded.locator("summary").focus()
    window.page.keyboard.press("Enter")
    assert folded.locator("pre").first.is_visible()
    assert folded.locator("pre span[class]").count() > 0  # highlighted, so it was rendered as code


# --- keyboard, print, drawings -------------------------------------------------------------------


def test_the_language_switch_opens_the_section_in_view(base, reader) -> None:
    window = reader()
    name = "book/memory_bank/patchcore.html"
    window.open(f"{base}/ko/{name}")
    anchors = window.page.eval_on_selector_all(
        "article section[id] > h2", "all => all.map(h2 => h2.parentElement.id)"
    )
    window.page.evaluate(
        "id => document.getElementById(id).scrollIntoView({behavior: 'instant'})", anchors[3]
    )
    # Not `click`, which first scrolls what stands in the header to the middle of the window.
    box = window.page.locator("a.language-switch").bounding_box()
    window.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    window.page.wait_for_url(f"**/en/{name}#{anchors[3]}")
    # At the top of a page there is no section to keep.
    window.open(f"{base}/ko/{name}")
    window.page.click("a.language-switch")
    window.page.wait_for_url(f"**/en/{name}")


def test_escape_closes_the_menu_and_gives_the_focus_back(base, reader) -> None:
    window = reader(viewport=PHONE)
    window.open(f"{base}/ko/book/guide/using.html")
    for button, dialog in (
        (".primary-toggle", "#pst-primary-sidebar-modal"),
        (".search-button", "#pst-search-dialog"),
    ):
        window.page.focus(button)
        window.page.keyboard.press("Enter")
        window.page.wait_for_selector(f"{dialog}[open]")
        window.page.keyboard.press("Escape")
        window.page.wait_for_selector(f"{dialog}:not([open])", state="attached")
        assert window.page.evaluate("b => document.activeElement.matches(b)", button), button


def test_the_button_of_the_menu_shows_that_it_has_the_focus(base, reader) -> None:
    window = reader()
    window.open(f"{base}/ko/book/guide/using.html")
    for _ in range(200):
        window.page.keyboard.press("Tab")
        if window.page.evaluate("document.activeElement.matches('.primary-toggle')"):
            break
    ring = "getComputedStyle(document.activeElement).outlineStyle"
    assert window.page.evaluate(ring) == "solid"
    window.page.keyboard.press("Enter")
    window.page.wait_for_timeout(100)
    assert window.page.evaluate("document.activeElement.matches('.primary-toggle')")


def test_what_is_printed_from_the_dark_is_dark_on_white(base, reader) -> None:
    window = reader(color_scheme="dark")
    window.open(f"{base}/ko/book/memory_bank/patchcore.html")
    colours = """[
        ["article p", "color"], ["article a.reference", "color"], [".book-schematic text", "fill"],
    ].map(([each, name]) => getComputedStyle(document.querySelector(each))[name])"""
    assert all(_luminance(colour) > 0.3 for colour in window.page.evaluate(colours))
    window.page.emulate_media(media="print")
    window.page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    assert all(_luminance(colour) < 0.2 for colour in window.page.evaluate(colours))
    window.page.emulate_media(media="screen")
    window.page.wait_for_function("document.documentElement.dataset.theme === 'dark'")


def test_a_progress_file_replaces_what_is_there_only_when_the_reader_agrees(
    base, reader, tmp_path: Path
) -> None:
    window = reader()
    page = window.page
    window.open(f"{base}/en/notebooks/memory_bank/patchcore.html")
    page.check("input[data-kind=run]")
    window.open(f"{base}/en/book/guide/using.html")
    saved = tmp_path / "progress.json"
    saved.write_text(json.dumps({"read": {}, "run": {}, "solved": {}}), encoding="utf-8")
    asked: list[str] = []
    for answer, marks in ((False, 1), (True, 0)):

        def decide(dialog, answer=answer) -> None:
            asked.append(dialog.message)
            dialog.accept() if answer else dialog.dismiss()

        page.once("dialog", decide)
        page.set_input_files("#progress-overview input[type=file]", saved)
        page.wait_for_timeout(300)
        page.wait_for_function(
            "n => document.querySelectorAll('.bd-links .progress-mark').length === n", arg=marks
        )
    assert len(asked) == 2 and "Replace" in asked[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_of_a_drawing_leaves_it_or_touches_another(site, base, reader, language) -> None:
    window = reader()
    drawings = 0
    for name in names(site, language):
        if "book-schematic" not in (site / language / name).read_text(encoding="utf-8"):
            continue
        window.open(f"{base}/{language}/{name}")
        found = window.page.evaluate(
            """() => [...document.querySelectorAll("svg.book-schematic")].flatMap((svg) => {
            const box = svg.getBoundingClientRect();
            const texts = [...svg.querySelectorAll("text")].map(
                (text) => [text.textContent, text.getBoundingClientRect()]);
            const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 6;
            return texts.flatMap(([text, place], i) => [
                ...(place.left < box.left + 1 || place.right > box.right - 1 ? [text] : []),
                ...texts.slice(i + 1).filter(([_, other]) => over(place, other))
                    .map(([other]) => `${text} / ${other}`)]);
            })"""
        )
        assert found == [], f"{language}/{name}"
        drawings += window.page.locator("svg.book-schematic").count()
    assert drawings >= len(schematics_shown())


def test_a_drawing_is_dark_in_the_dark(base, reader) -> None:
    window = reader(color_scheme="dark")
    window.open(f"{base}/ko/book/memory_bank/spade.html")
    ground = "getComputedStyle(document.querySelector('.book-schematic > rect')).fill"
    assert _luminance(window.page.evaluate(ground)) < 0.05


# --- what keeps readers out ----------------------------------------------------------------------

AXE = ROOT / "tests" / "node_modules" / "axe-core" / "axe.min.js"
CHECKED = (
    "book/index.html",
    "book/memory_bank/patchcore.html",
    "notebooks/memory_bank/patchcore.html",
    "book/results/leaderboard.html",
    "book/guide/glossary.html",
    "book/guide/thresholds.html",
)
#: Rules whose findings count although axe calls them less than serious or tries them out.
NAMED = ("label-content-name-mismatch", "empty-table-header")
RUN_AXE = """(named) => axe.run(document, {
    resultTypes: ["violations"],
    rules: Object.fromEntries(named.map((rule) => [rule, {enabled: true}])),
}).then((result) => result.violations
    .filter((each) => ["serious", "critical"].includes(each.impact) || named.includes(each.id))
    .map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((n) => n.html.slice(0, 120))}`))"""


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        pytest.fail("no axe-core found: run `make test-deps` (it needs npm)", pytrace=False)
    return AXE.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", CHECKED)
def test_nothing_serious_keeps_readers_out(base, reader, axe, name, scheme) -> None:
    language = LANGUAGES[(CHECKED.index(name) + (scheme == "dark")) % 2]
    window = reader(color_scheme=scheme)
    window.open(f"{base}/{language}/{name}")
    window.page.evaluate(axe)
    assert window.page.evaluate(RUN_AXE, list(NAMED)) == []


def test_axe_finds_what_it_is_asked_for(base, reader, axe) -> None:
    window = reader()
    window.open(f"{base}/en/book/guide/using.html")
    window.page.evaluate(
        """document.querySelector("article").insertAdjacentHTML("beforeend",
        `<img src="data:,"><p style="color: #999; background: #aaa">pale</p>
        <button aria-label="other">words</button><table><tr><th></th><td>1</td></tr></table>`)"""
    )
    window.page.evaluate(axe)
    found = {each.partition(":")[0] for each in window.page.evaluate(RUN_AXE, list(NAMED))}
    assert {"image-alt", "color-contrast", *NAMED} <= found
