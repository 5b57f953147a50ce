"""The built site as a reader meets it: in Chromium, in both languages, over http.

From a folder, without a server, a browser treats scripts, storage and addresses differently: so a
page of each kind is opened there too, and the landing page, the search and progress are tried.
Every request that leaves the machine is blocked and recorded; a page that makes one fails.
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.site, pytest.mark.browser]

LANGUAGES = ("ko", "en")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no name leads off this machine
]
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
WORDS = {
    "ko": (
        "결함",
        "정상",
        "이상",
        "이상치",
        "임계값",
        "임곗값",
        "코어셋",
        "PatchCore",
        "threshold",
    ),
    "en": ("defect", "normal", "anomaly", "threshold", "coreset", "PatchCore", "memory bank"),
}
#: A page of each kind: front page, guide, family, review, notebook, a page of results.
KINDS = (
    "book/index.html",
    "book/guide/using.html",
    "book/memory_bank/index.html",
    "book/memory_bank/patchcore.html",
    "notebooks/memory_bank/patchcore.html",
    "book/results/leaderboard.html",
)
#: Text that only an unrendered page shows.
RAW = (":::", "{ref}", "{doc}", "{cite", "{eq}", "```", "$$", "\\frac", ")=")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def korean_font() -> None:
    listed = shutil.which("fc-list")
    if listed and not subprocess.run([listed, ":lang=ko"], capture_output=True).stdout.strip():
        pytest.fail("no Korean font found: run `make test-deps`", pytrace=False)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail("no Chromium found: run `make test-deps`", pytrace=False)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def addresses(site: Path) -> Iterator[dict[str, str]]:
    """Where the site is: on a server of this machine, and in its folder."""
    handler = functools.partial(QuietHandler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"http": f"http://127.0.0.1:{server.server_address[1]}", "file": site.as_uri()}
    server.shutdown()


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
    window.page.set_viewport_size(PHONE)
    window.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    wide = window.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{address} is {wide} pixels too wide"
    hidden = window.page.evaluate(
        """() => [...document.querySelectorAll("div.cell_output pre")]
        .filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"""
    )
    assert hidden == [], f"{address}: printed numbers hide beyond the edge of a phone"
    assert window.page.is_visible("a.language-switch"), address


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


def search(window: Reader, site: Path, address: str, word: str) -> list[Path]:
    """The pages that the search offers for a word; it must have ended."""
    window.open(f"{address}/search.html?q={quote(word)}")
    window.page.wait_for_function(
        "document.querySelector('#search-results .search-summary')?.textContent.length > 0"
    )
    links = window.page.eval_on_selector_all(
        "#search-results ul.search li a",
        "links => links.map(a => decodeURI(a.href).split('#')[0].split('?')[0])",
    )
    language = address.rpartition("/")[2]
    return [site / language / link.partition(f"/{language}/")[2] for link in links]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_search_finds_korean_and_english_words(site, base, reader, language) -> None:
    window = reader()
    for word in WORDS[language]:
        found = search(window, site, f"{base}/{language}", word)
        assert found, word
        assert [page for page in found if not page.is_file()] == [], word


def test_the_search_works_from_a_folder(site, addresses, reader) -> None:
    assert search(reader(), site, f"{addresses['file']}/ko", "결함")


@pytest.mark.parametrize("word", ["이상치를", "결함이", "임곗값은"])
def test_the_search_finds_a_word_with_a_particle(site, base, reader, word) -> None:
    assert search(reader(), site, f"{base}/ko", word)


def test_the_search_does_not_find_a_word_that_is_absent(site, base, reader) -> None:
    assert search(reader(), site, f"{base}/ko", "퀄퀄퀄") == []


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
    notebooks = len(list((ROOT / "notebooks").glob("*/*.ipynb")))
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
    window.page.click("a.language-switch")
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
        assert page.locator(".bd-links .progress-mark").count() == marks
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
    assert drawings >= len(list((ROOT / "book/_static/figures").glob("*.svg")))


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
