"""One tree, two languages: what Sphinx must know so that a build in one language is whole.

`name.ko.md` and `name.en.md` share the document name `name`, hence one table of contents, one set
of labels, and a language switch that only changes `/ko/` to `/en/`. This extension splits the texts
of the table of contents ("Korean | English"), tells the templates where the other language is, and
makes a page without its translation a warning (an error in a strict build).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from constants import LANGUAGES
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.locale import get_translation
from sphinx.util import logging

#: Language of readers who speak neither.
FALLBACK = "en"
#: How the sidebar calls the front page, whose heading is the book's title.
FRONT_PAGE = {"ko": "첫 페이지", "en": "Front page"}
#: Texts of the theme that have no Korean translation of their own.
THEME_TEXTS = {
    "Skip to main content": "본문으로 건너뛰기",
    "Back to top": "맨 위로",
    "Color mode": "화면 테마",
    "Search": "검색",
    "previous": "이전",
    "next": "다음",
    "previous page": "이전 페이지",
    "next page": "다음 페이지",
    "Toggle primary sidebar": "차례 여닫기",
    "Toggle secondary sidebar": "페이지 차례 여닫기",
    "Version warning": "버전 알림",
    "Breadcrumb": "현재 위치",
    "Fullscreen mode": "전체 화면",
}
#: What Sphinx and MyST-NB write into a page's body in English only.
BODY_TEXTS = {
    'title="Link to this heading"': 'title="이 절의 주소"',
    'title="Link to this equation"': 'title="이 식의 주소"',
    'title="Link to this image"': 'title="이 그림의 주소"',
    'title="Link to this table"': 'title="이 표의 주소"',
}

logger = logging.getLogger(__name__)


def pick(text: str, language: str) -> str:
    """Return one language's half of "Korean | English"; a text without a bar serves both."""
    halves = [half.strip() for half in text.split(" | ")]
    return halves[list(LANGUAGES).index(language)] if len(halves) == len(LANGUAGES) else text


def missing_translations(root: Path, drafts: Iterable[str] = ()) -> Iterator[Path]:
    """Yield, relative to `root`, every page that its counterpart in `book/` waits for.

    Args:
        root: the tree.
        drafts: document names that may still lack theirs.
    """
    waiting = {root / document for document in drafts}
    for page in sorted((root / "book").rglob("*.md")):
        name, language = page.stem, page.stem.rpartition(".")[2]
        if language not in LANGUAGES or page.with_name(name).with_suffix("") in waiting:
            continue
        for other in LANGUAGES:
            counterpart = page.with_name(name.removesuffix(f".{language}") + f".{other}.md")
            if not counterpart.exists():
                yield counterpart.relative_to(root)


def split_contents(app: Sphinx, config: Config) -> None:
    """Keep this language's half of the captions and titles in `_toc.yml`."""
    for document in config.external_site_map.values():
        if document.title:
            document.title = pick(document.title, config.language)
        for tree in document.subtrees:
            if tree.caption:
                tree.caption = pick(tree.caption, config.language)


def contents_title(env: BuildEnvironment, docname: str) -> str | None:
    """Return the title that `_toc.yml` gives a document, if it gives one."""
    document = env.external_site_map.get(docname)
    return document.title if document else None


def place_under_language(app: Sphinx, config: Config) -> None:
    """Canonical links name the page below its language; without a known address there are none."""
    app.config.bilingual_base = config.html_baseurl.rstrip("/")
    if app.config.bilingual_base:
        config.html_baseurl = f"{app.config.bilingual_base}/{config.language}/"


def name_logo(app: Sphinx, config: Config) -> None:
    """Set the book's title beside its logo."""
    config.html_theme_options.setdefault("logo", {}).setdefault("text", config.html_title)


def warn_about_missing(app: Sphinx) -> None:
    """Name every page that lacks its translation."""
    for page in missing_translations(Path(app.srcdir), app.config.book_drafts):
        logger.warning("missing translation: %s does not exist, its counterpart does", page)


def page_context(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Give the templates the page's address in each language and the theme's texts."""
    language = app.config.language
    other = next(code for code in LANGUAGES if code != language)
    suffix = app.builder.out_suffix if hasattr(app.builder, "out_suffix") else ".html"
    root = "../" * len(PurePosixPath(pagename).parts)

    def address(code: str) -> str:
        base = app.config.bilingual_base
        return f"{base}/{code}/{pagename}{suffix}" if base else f"{root}{code}/{pagename}{suffix}"

    if app.config.bilingual_site:  # built alone, the other language is not there to be linked
        context["alternates"] = [(code, address(code)) for code in LANGUAGES]
        context["alternates"].append(("x-default", address(FALLBACK)))
        context["language_switch"] = {
            "code": other,
            "name": LANGUAGES[other],
            "url": f"{root}{other}/{pagename}{suffix}",
        }
    # A review and its notebook share a heading; the contents name them apart, and so do titles.
    if title := contents_title(app.env, pagename):
        context["title"] = title
    _, *neighbours = app.builder.relations.get(pagename, (None, None, None))
    for place, neighbour in zip(("prev", "next"), neighbours, strict=True):
        if neighbour and (title := contents_title(app.env, neighbour)) and context.get(place):
            context[place] = {**context[place], "title": title}
    # MyST-NB calls every folded cell the same, unlike the words on it.
    body = context.get("body", "").replace(' aria-label="Toggle hidden content"', "")
    if language == "ko":
        sphinx_text = get_translation("sphinx")
        context["_"] = lambda text: THEME_TEXTS.get(text) or sphinx_text(text)
        for english, korean in BODY_TEXTS.items():
            body = body.replace(english, korean)
    context["body"] = body


def name_front_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Call the front page so in the sidebar, where the book's title stands already."""
    context["root_title"] = FRONT_PAGE[app.config.language]
    if app.config.language == "ko":  # the theme's own word for it is not spaced right
        for button in context.get("header_buttons", []):
            if button.get("label") == "fullscreen-button":
                button["tooltip"] = THEME_TEXTS["Fullscreen mode"]


def write_front_door(app: Sphinx, exception: Exception | None) -> None:
    """Let the language's own `index.html` lead to the front page."""
    if exception or app.builder.format != "html" or app.config.root_doc == "index":
        return
    target = app.builder.get_target_uri(app.config.root_doc)
    title = app.config.html_title
    (Path(app.outdir) / "index.html").write_text(
        f'<!DOCTYPE html>\n<html lang="{app.config.language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="refresh" content="0; url={target}">\n'
        '<link rel="icon" href="_static/favicon.svg" type="image/svg+xml">\n'
        f"<title>{title}</title>\n</head>\n"
        f'<body><p><a href="{target}">{title}</a></p></body>\n</html>\n',
        encoding="utf-8",
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the settings and events."""
    app.setup_extension("drafts")
    app.add_config_value("bilingual_site", False, "html", bool)
    app.add_config_value("bilingual_base", "", "", str)
    # The table of contents is read at priority 900.
    app.connect("config-inited", split_contents, priority=950)
    app.connect("config-inited", place_under_language, priority=950)
    app.connect("config-inited", name_logo)
    app.connect("builder-inited", warn_about_missing)
    app.connect("html-page-context", page_context)  # before the theme drops empty templates
    app.connect("html-page-context", name_front_page, priority=600)  # after the theme named it
    app.connect("build-finished", write_front_door, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
