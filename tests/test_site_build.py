"""The site as files: both languages whole and alike, nothing dead, nothing from another host."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import mean

import bilingual
import build
import check_links
import notebook_source
import page_facts
import page_search
import page_weight
import pytest
import records
import registry
import sample_book
import test_glossary
import yaml
from constants import LANGUAGES, PLACEHOLDER
from docutils import nodes

ROOT = Path(__file__).resolve().parent.parent


def run_build(
    root: Path, *options: str, blocker: Path | None = None
) -> subprocess.CompletedProcess:
    environment = dict(os.environ)
    if blocker is not None:
        environment["PYTHONPATH"] = str(blocker)
    command = [sys.executable, str(root / "book" / "build.py"), *options]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, encoding="utf-8"
    )


def icons_missing(html: str) -> set[str]:
    """Return the theme's icons on a page that `icons.css` does not draw."""
    css = (ROOT / "book" / "_static" / "icons.css").read_text(encoding="utf-8")
    used = re.findall(r'class="([^"]*\bfa[bs]\b[^"]*|[^"]*\bfa-solid\b[^"]*)"', html)
    names = {name for classes in used for name in classes.split() if name.startswith("fa-")}
    drawn = set(re.findall(r"\.(fa-[\w-]+)", css)) | {"fa-github"}  # .fab stands for all brands
    return names - drawn


def pages(site: Path, language: str) -> dict[str, str]:
    """Return the language's pages, name -> HTML, without Sphinx's own."""
    root = site / language
    names = {path.relative_to(root).as_posix(): path for path in root.rglob("*.html")}
    return {
        name: path.read_text(encoding="utf-8")
        for name, path in sorted(names.items())
        if name.startswith(("book/", "notebooks/"))
    }


def first(pattern: str, html: str) -> str:
    found = re.search(pattern, html, re.DOTALL)
    assert found, f"{pattern} is not on the page"
    return found[1]


# --- the built book -----------------------------------------------------------------------------


@pytest.mark.site
class TestTheBuiltBook:
    def test_every_page_of_the_contents_exists_in_both_languages(self, site: Path) -> None:
        contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
        wanted = {contents["root"]}
        wanted |= {entry["file"] for part in contents["parts"] for entry in part["chapters"]}
        for language in LANGUAGES:
            assert {name.removesuffix(".html") for name in pages(site, language)} == wanted

    def test_all_links_anchors_and_images_exist_and_nothing_is_loaded_from_another_host(
        self, site: Path
    ) -> None:
        report = check_links.check(site)
        assert report.broken == []
        assert report.internal > 0

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_each_page_names_its_language_its_title_and_its_translation(
        self, site: Path, language: str
    ) -> None:
        titles = {}
        for name, html in pages(site, language).items():
            assert f'<html lang="{language}"' in html, name
            titles[name] = first(r"<title>\s*(.*?)\s*</title>", html)
            alternates = dict(
                re.findall(r'rel="alternate" hreflang="([\w-]+)" href="([^"]+)"', html)
            )
            assert set(alternates) == {"ko", "en", "x-default"}, name
            assert alternates["x-default"] == alternates["en"]
            switch = first(r'<a class="language-switch" href="([^"]+)"', html)
            other = "en" if language == "ko" else "ko"
            assert switch.endswith(f"/{other}/{name}")
            assert (site / language / name).parent.joinpath(switch).resolve().exists()
        assert len(set(titles.values())) == len(titles), "two pages with one title"
        korean = [bool(re.search("[가-힣]", title)) for title in titles.values()]
        assert all(korean) if language == "ko" else not any(korean)

    def test_a_page_has_canonical_links_only_when_its_address_is_known(self, site: Path) -> None:
        config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
        base = config["html"]["baseurl"].rstrip("/")
        for language in LANGUAGES:
            for name, html in pages(site, language).items():
                found = re.findall(r'rel="canonical" href="([^"]+)"', html)
                assert found == ([f"{base}/{language}/{name}"] if base else [])

    def test_sections_have_the_same_anchors_in_both_languages(self, site: Path) -> None:
        korean, english = pages(site, "ko"), pages(site, "en")
        for name, html in korean.items():
            anchors = [
                re.findall(r'<a class="headerlink" href="#([^"]+)"[^>]*>#</a></h\d>', page)
                for page in (html, english[name])
            ]
            assert anchors[0] == anchors[1], name
            assert not [anchor for anchor in anchors[0] if re.fullmatch(r"id\d+", anchor)], name

    def test_no_page_shows_the_placeholder_or_a_button_that_leads_nowhere(self, site: Path) -> None:
        config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
        known = config["repository"]["url"].rstrip("/") != PLACEHOLDER
        for language in LANGUAGES:
            for name, html in pages(site, language).items():
                shown = (
                    html
                    if name.startswith("book/")
                    else re.sub(r"<pre>.*?</pre>", "", html, flags=re.S)
                )
                assert "OWNER/REPOSITORY" not in shown, name
                buttons = re.findall(r'href="(https://colab[^"]+)"', html)
                if not known:
                    assert buttons == [], name
                for address in buttons:
                    path = address.partition(f"/blob/{config['repository']['branch']}/")[2]
                    assert path.endswith(".ipynb") and (ROOT / path).exists(), address

    def test_every_image_has_a_text_in_the_language_of_its_page(self, site: Path) -> None:
        for language in LANGUAGES:
            for name, html in pages(site, language).items():
                article = first(r'<article class="bd-article">(.*)</article>', html)
                for tag in re.findall(r"<img [^>]*>", article):
                    if "filter: url(#" in tag:  # lies on the image before it
                        continue
                    text = first(r'alt="([^"]*)"', tag)
                    assert len(text) > 5, f"{language}/{name}: {tag[:120]}"
                    assert bool(re.search("[가-힣]", text)) == (language == "ko"), text

    def test_the_front_pages_numbers_are_those_of_the_registry(self, site: Path) -> None:
        known = registry.load(ROOT / "book" / "methods.yml")
        written = known.written()
        verdicts = Counter(
            records.verdict(piece)
            for method in written
            for piece in records.verdicts(
                records.pieces(ROOT / f"{method.notebook}.ipynb")
            ).values()
        )
        counts = [verdicts[v] for v in ("reproduced", "not at this scale", "undecided")]
        cost = registry.costs(ROOT / "book" / "results" / "cost.yml")
        seconds = round(mean(cost[method.id]["seconds"] for method in written))
        wanted = [len(written), len(known.methods) - len(written), sum(counts), *counts, seconds]
        for language in LANGUAGES:
            html = pages(site, language)["book/index.html"]
            shown = re.sub("<[^>]+>", " ", first('(<ul class="book-front-numbers.*?</ul>)', html))
            assert [int(number) for number in re.findall(r"\d+", shown)] == wanted

    def test_no_korean_stands_in_the_text_of_the_english_front_page(self, site: Path) -> None:
        article = first(
            r'<article class="bd-article">(.*)</article>', pages(site, "en")["book/index.html"]
        )
        assert re.findall("[가-힣]+", article) == []

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_the_learning_paths_link_what_is_written_and_say_what_is_planned(
        self, site: Path, language: str
    ) -> None:
        known = registry.load(ROOT / "book" / "methods.yml")
        page = (ROOT / "book" / "guide" / f"paths.{language}.md").read_text(encoding="utf-8")
        tasks = re.findall(r"\b(read|run|solve) (\w+/\w+)", page)
        named = [known.methods[target] for _, target in tasks if target in known.methods]
        planned = [method for method in named if not method.written]
        html = pages(site, language)["book/guide/paths.html"]
        paths = "".join(re.findall(r'<div class="book-path.*?</table>', html, re.DOTALL))
        assert paths.count("<table") == page.count("```{learning-path}") == 6
        assert paths.count('href="') == len(tasks) - len(planned) > 30
        assert paths.count("book-badge-quiet") == len(planned)

    def test_every_drawing_has_a_text_and_words_in_the_language_of_its_page(
        self, site: Path
    ) -> None:
        for language in LANGUAGES:
            drawings = 0
            for name, html in pages(site, language).items():
                for svg in re.findall(r'<svg class="book-schematic".*?</svg>', html, re.DOTALL):
                    drawings += 1
                    label = first(r'role="img" aria-label="([^"]*)"', svg)
                    assert len(label) > 40, f"{language}/{name}"
                    words = re.sub(r"<[^>]*>", " ", svg)
                    for text in (label, words):
                        assert bool(re.search("[가-힣]", text)) == (language == "ko"), name
                    assert "data-ko" not in svg
                assert "_static/figures/" not in html and "/figures/" not in html, name
            assert drawings >= len(sample_book.schematics_shown())

    def test_each_page_says_in_a_sentence_of_its_own_what_it_is(self, site: Path) -> None:
        for language in LANGUAGES:
            found = {}
            for name, html in pages(site, language).items():
                text = first(r'<meta name="description" content="([^"]*)"', html)
                assert 20 <= len(text) <= 170, f"{language}/{name}: {text}"
                assert bool(re.search("[가-힣]", text)) == (language == "ko"), name
                assert f'property="og:description" content="{text}"' in html
                assert not re.search(r"[$\\{}]", text), f"{name}: raw text in {text}"
                found[name] = text
            assert len(set(found.values())) == len(found), "two pages with one description"

    def test_each_page_has_version_date_and_a_way_to_cite_it(self, site: Path) -> None:
        for language in LANGUAGES:
            for name, html in pages(site, language).items():
                facts = first(r'<div class="book-footer book-facts">(.*?)</div>', html)
                version, date = (
                    first(r"(\d+\.\d+\.\d+)", facts),
                    first(r">(\d{4}-\d\d-\d\d)<", facts),
                )
                assert f"edition = {{{version}}}" in facts and f"year = {{{date[:4]}}}" in facts
                title = first(r"<title>\s*(.*?)\s*</title>", html).rpartition(" · ")[0]
                assert not title or f"title = {{{title}}}" in facts, name

    def test_a_term_leads_to_the_glossary_at_its_first_use_and_once_a_page(
        self, site: Path
    ) -> None:
        for language, glossary in (
            (code, pages(site, code)["book/guide/glossary.html"]) for code in LANGUAGES
        ):
            anchors = set(re.findall(r'<tr [^>]*id="(term-[^"]+)"', glossary))
            assert len(anchors) > 100
            linked = set()
            for name, html in pages(site, language).items():
                links = re.findall(
                    r'class="book-term[^"]*" href="([^"#]*)#([^"]+)" title="([^"]+)"', html
                )
                terms = [term for _, term, _ in links]
                assert len(terms) == len(set(terms)), f"{language}/{name}: a term twice"
                assert set(terms) <= anchors, name
                for heading in re.findall(r"<h[1-4]>.*?</h[1-4]>", html, re.DOTALL):
                    assert "book-term" not in heading, name
                linked |= set(terms)
            assert len(linked) > 40

    def test_no_heading_of_a_column_is_empty_and_no_figure_is_counted(self, site: Path) -> None:
        for language in LANGUAGES:
            for name, html in pages(site, language).items():
                for heading in re.findall(r"<th[^>]*>(.*?)</th>", html, re.DOTALL):
                    assert re.sub(r"<[^>]*>", "", heading).strip(), name
                assert "caption-number" not in html, name

    def test_a_korean_page_says_nothing_of_the_theme_in_english(self, site: Path) -> None:
        for name, html in pages(site, "ko").items():
            said = re.findall(
                r'<(?:a|button|aside|summary)\b[^>]* (?:title|aria-label)="([^"]*)"', html
            )
            english = {
                text for text in said if re.match(r"(Toggle|Link to|Version|Search|Color)", text)
            }
            assert english == set(), name

    def test_a_missing_page_leads_to_the_front_pages(self, site: Path) -> None:
        html = (site / "404.html").read_text(encoding="utf-8")
        assert set(re.findall(r'<a href="([^"]+)"', html)) == {
            f"{language}/book/index.html" for language in LANGUAGES
        }

    def test_review_and_notebook_of_a_method_lead_to_each_other(self, site: Path) -> None:
        for language in LANGUAGES:
            names = pages(site, language)
            for name in [name for name in names if name.startswith("notebooks/")]:
                review = name.replace("notebooks/", "book/")
                assert re.search(r'class="page-links', names[name]), name
                assert f"{review.removeprefix('book/')}" in first(
                    r'(<ul class="page-links.*?</ul>)', names[name]
                )
                assert name in first(r'(<ul class="page-links.*?</ul>)', names[review])

    def test_the_search_knows_every_page_and_every_word_of_the_glossary(self, site: Path) -> None:
        words = {w for t in test_glossary.rows("ko") for w in (t.english, t.korean, *t.synonyms)}
        for language in LANGUAGES:
            index = page_search.load((site / language / "search_index.js").read_text("utf-8"))
            assert {f"{name}.html" for name in index} == set(pages(site, language))
            entries = index[page_search.GLOSSARY]["entries"]
            assert words <= {name for entry in entries for name in entry["names"]}
            homes = {entry["home"][0] for entry in entries if "home" in entry}
            assert homes <= set(index) and "book/guide/thresholds" in homes

    def test_every_icon_of_the_theme_is_drawn(self, site: Path) -> None:
        for language in LANGUAGES:
            for name, html in pages(site, language).items():
                assert icons_missing(html) == set(), name

    def test_formulas_come_with_their_licence_and_without_a_network(self, site: Path) -> None:
        for language in LANGUAGES:
            folder = site / language / "_static" / "mathjax"
            config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
            for name in config["sphinx"]["config"]["mathjax3_config"]["loader"]["load"]:
                assert (folder / f"{name}.js").exists()
            assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")
            assert list((folder / "output/chtml/fonts/woff-v2").glob("*.woff"))


# --- the machinery, on a book of a few pages ---------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """A sample book, built where importing torch fails."""
    folder = tmp_path_factory.mktemp("sample")
    blocker = folder / "blocker"
    for name in ("torch", "torchvision", "timm", "helpers"):
        (blocker / name).mkdir(parents=True)
        (blocker / name / "__init__.py").write_text(
            f"raise SystemExit('the site must not need {name}')", encoding="utf-8"
        )
    root = sample_book.write_sample(folder / "책 한 권")  # Hangul and a space in the path
    return root, run_build(root, blocker=blocker)


@pytest.mark.site
class TestTheMachinery:
    def test_both_languages_build_strictly_without_torch_and_say_where_to_look(
        self, sample
    ) -> None:
        root, done = sample
        assert done.returncode == 0, done.stdout + done.stderr
        for language in LANGUAGES:
            assert re.search(rf"^{language}: 0 warnings", done.stdout, re.MULTILINE)
            assert (root / "_build/site" / language / "index.html").exists()
        assert f"Open {(root / '_build/site/index.html').as_uri()}" in done.stdout

    def test_each_notebook_shows_one_language_and_its_own_alternative_text(self, sample) -> None:
        root, _ = sample
        page = "notebooks/memory_bank/patchcore.html"
        korean, english = (
            (root / "_build/site" / language / page).read_text(encoding="utf-8")
            for language in LANGUAGES
        )
        assert "정상 이미지만" in korean and "Only normal" not in korean
        assert "Only normal" in english and "정상 이미지만" not in english
        assert 'alt="회색 점 하나"' in korean and 'alt="One grey dot"' in english
        for html in (korean, english):
            assert 'id="memory-bank-patchcore-nb-data"' in html
            assert re.search(r"<details>.*math notranslate.*highlight.*</details>", html, re.DOTALL)

    def test_a_draft_makes_no_page_and_no_warning(self, sample) -> None:
        root, _ = sample
        assert (root / "book" / f"{sample_book.DRAFT}.ko.md").exists()
        site = root / "_build" / "site"
        family = sample_book.DRAFT.split("/")[0]
        assert [path for path in site.rglob("*.html") if family in path.parts] == []
        assert "TODO(author)" not in (site / "ko" / "search_index.js").read_text(encoding="utf-8")

    def test_a_broken_registry_fails_the_build_with_all_its_problems(
        self, sample, tmp_path: Path
    ) -> None:
        root = tmp_path / "broken"
        shutil.copytree(sample[0], root, ignore=shutil.ignore_patterns("_build"))
        registry = root / "book" / "methods.yml"
        text = registry.read_text(encoding="utf-8")
        text = text.replace("mark: V", "mrk: V", 1).replace("difficulty: 1", "difficulty: 9", 1)
        registry.write_text(text, encoding="utf-8")
        done = run_build(root, "--language", "ko")
        assert done.returncode == 1
        assert f"methods.yml: {sample_book.DRAFT}: difficulty: unknown value 9" in done.stdout
        assert "headline 1: mrk: unknown key 'mrk'; did you mean 'mark'?" in done.stdout
        assert "Traceback" not in done.stdout

    def test_a_second_build_rebuilds_nothing_but_the_progress_page(self, sample) -> None:
        root, _ = sample
        html = root / "_build/work/ko/_build/html"
        page, index = html / "book/memory_bank/patchcore.html", html / "search_index.js"
        before = page.stat().st_mtime_ns, index.read_text(encoding="utf-8")
        assert run_build(root, "--language", "ko").returncode == 0
        assert (page.stat().st_mtime_ns, index.read_text(encoding="utf-8")) == before
        assert "book/memory_bank/patchcore" in before[1]

    def test_captions_and_titles_of_the_contents_are_in_one_language(self, sample) -> None:
        root, _ = sample
        for language, caption, title in (
            ("ko", "메모리 뱅크", "PatchCore · 노트북"),
            ("en", "Memory bank", "PatchCore · notebook"),
        ):
            html = (root / f"_build/site/{language}/book/index.html").read_text(encoding="utf-8")
            assert f'<span class="caption-text">{caption}</span>' in html
            assert title in html and " | " not in html

    def test_jupyter_book_alone_gives_the_korean_book_without_a_switch(self, sample) -> None:
        root, _ = sample
        command = [sys.executable, "-c", build.RUN, "build", ".", "-q", "-W", "-n", "--keep-going"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stdout + done.stderr
        html = (root / "_build/html/book/index.html").read_text(encoding="utf-8")
        assert '<html lang="ko"' in html and "language-switch" not in html

    def test_a_known_address_brings_canonical_links_and_colab_buttons(
        self, sample, tmp_path: Path
    ) -> None:
        root = tmp_path / "known"
        shutil.copytree(sample[0], root, ignore=shutil.ignore_patterns("_build"))
        config = root / "_config.yml"
        text = config.read_text(encoding="utf-8")
        text = text.replace(PLACEHOLDER, "https://github.com/someone/some-book")
        text = re.sub(r'baseurl: "[^"]*"', 'baseurl: "https://someone.github.io/some-book"', text)
        config.write_text(text, encoding="utf-8")
        done = run_build(root, "--language", "en")
        assert done.returncode == 0, done.stdout + done.stderr
        name = "notebooks/memory_bank/patchcore"
        html = (root / f"_build/site/en/{name}.html").read_text(encoding="utf-8")
        base = "https://someone.github.io/some-book"
        assert f'rel="canonical" href="{base}/en/{name}.html"' in html
        assert f'hreflang="ko" href="{base}/ko/{name}.html"' in html
        colab = re.findall(r'href="(https://colab[^"]+)"', html)
        prefix = "https://colab.research.google.com/github/someone/some-book/blob/main/"
        assert set(colab) == {f"{prefix}{name}.ipynb"}
        assert (root / colab[0].removeprefix(prefix)).exists()
        assert "fa-github" in html and "fa-pencil-alt" in html and icons_missing(html) == set()
        review = (root / "_build/site/en/book/index.html").read_text(encoding="utf-8")
        assert 'href="https://github.com/someone/some-book"' in review
        report = first(r'href="(https://github.com/someone/some-book/issues/new[^"]+)"', html)
        assert report.endswith("?title=en/notebooks/memory_bank/patchcore%3A%20")
        assert f'property="og:url" content="{base}/en/{name}.html"' in html
        sitemap = (root / "_build/site/sitemap.xml").read_text(encoding="utf-8")
        assert f"<loc>{base}/en/{name}.html</loc>" in sitemap
        assert '<base href="/some-book/">' in (root / "_build/site/404.html").read_text("utf-8")

    def test_a_missing_translation_fails_the_build_by_name(self, sample, tmp_path: Path) -> None:
        root = tmp_path / "missing"
        shutil.copytree(sample[0], root, ignore=shutil.ignore_patterns("_build"))
        (root / "book/memory_bank/patchcore.en.md").unlink()
        done = run_build(root, "--language", "ko")
        assert done.returncode == 1
        assert "book/memory_bank/patchcore.en.md does not exist" in done.stdout


# --- single pieces ------------------------------------------------------------------------------


def test_the_search_reads_prose_without_formulas_code_and_contents() -> None:
    formulas = [nodes.math("", "K"), nodes.math("", "\\sum_i x_i")]
    line = nodes.paragraph("", "", nodes.Text("K: "), *formulas, nodes.Text(" 결함"))
    code = nodes.literal_block("", "import torch")
    links = nodes.bullet_list("", nodes.list_item("", nodes.paragraph("", "리뷰 읽기")))
    links["classes"] = ["page-links"]
    drawn = nodes.raw("", "<b>a &amp; b</b><style>p {}</style>", format="html")
    assert page_search.prose(line, code, links, drawn) == "K: K… 결함 a & b"


@pytest.mark.parametrize(
    ("docname", "kind"),
    [
        ("book/index", "book"),
        ("book/guide/metrics", "guide"),
        ("book/memory_bank/index", "family"),
        ("book/memory_bank/padim", "review"),
        ("notebooks/memory_bank/padim", "notebook"),
        ("book/results/claims", "results"),
    ],
)
def test_the_search_knows_a_page_by_its_place(docname: str, kind: str) -> None:
    assert page_search.kind(docname) == kind


def test_icons_leave_the_theme_and_nothing_else_does() -> None:
    css = (
        ".fade{opacity:0}/*! Font Awesome */.fa,.fa-solid{display:inline}.fa-x:before{content:'x'}"
        "@font-face{font-family:Font Awesome 6}.nav .fa-lg,p{color:red}"
        "@media print{.fas{top:0}a{top:0}}"
    )
    left = ".fade{opacity:0}.nav .fa-lg,p{color:red}@media print{a{top:0}}"
    assert page_weight.without_icons(css) == left


def test_images_are_lazy_from_the_second_on_and_know_their_size(tmp_path: Path) -> None:
    picture = tmp_path / "somewhere.png"
    picture.write_bytes(base64.b64decode(sample_book.PIXEL))
    body = '<img src="a%20b.png" /><img alt="x" src="a%20b.png"/><img loading="eager" src="c.png">'
    assert page_weight.lazily(body, {"a b.png": picture}) == (
        '<img src="a%20b.png" width="1" height="1" decoding="async"/>'
        '<img alt="x" src="a%20b.png" width="1" height="1" loading="lazy" decoding="async"/>'
        '<img loading="eager" src="c.png">'
    )


def test_a_description_is_whole_sentences_without_citations() -> None:
    first = (
        "Before this paper a model was learned from scratch, and Rippel et al. [Rippel, 2021] saw."
    )
    text = page_facts.shorten(f"{first} {'More of it. ' * 20}")
    assert text.startswith(
        "Before this paper a model was learned from scratch, and Rippel et al. saw."
    )
    assert len(text) <= page_facts.LENGTH and text.endswith("More of it.")
    assert page_facts.shorten("word " * 60).endswith("word…")


def test_the_cell_that_installs_the_helpers_is_folded() -> None:
    cells = [
        {"cell_type": "code", "metadata": {}, "source": "# Set-up. In Colab this installs"},
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "seed = 0"},
        {"cell_type": "code", "metadata": {}, "source": ['run = report.start("a/b")']},
    ]
    notebook_source.localize({"cells": cells}, "notebooks/a/b", "ko")
    folded = ["hide-input" in cell["metadata"].get("tags", []) for cell in cells]
    assert folded == [True, False, False]


def test_a_notebook_figure_without_text_and_a_section_without_heading_are_reported() -> None:
    notebook = sample_book.notebook()
    del notebook["cells"][3]["metadata"]["alt-en"]
    notebook["cells"][2]["source"] = "no heading here"
    problems = notebook_source.localize(notebook, "notebooks/memory_bank/patchcore", "en")
    assert len(problems) == 2
    assert "without heading" in problems[0] and "alt-en" in problems[1]


@pytest.mark.parametrize(
    ("text", "korean", "english"),
    [
        ("고전 방법 | Classical methods", "고전 방법", "Classical methods"),
        ("PatchCore", "PatchCore", "PatchCore"),
    ],
)
def test_texts_of_the_contents_split_at_the_bar(text: str, korean: str, english: str) -> None:
    assert (bilingual.pick(text, "ko"), bilingual.pick(text, "en")) == (korean, english)


def test_the_link_checker_finds_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">x</a><a href="b.html#gone">x</a><a href="c.html">x</a>'
        '<a href="https://example.org/">x</a><img src="https://example.org/x.png">'
        '<a href="../outside.html">x</a><a href="/rooted.html">x</a>',
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text('<p id="here">x</p>', encoding="utf-8")
    (tmp_path / "s.css").write_text(
        "@font-face{src:url(//fonts.example.org/f.woff)}", encoding="utf-8"
    )
    report = check_links.check(tmp_path)
    assert len(report.external) == 1
    told = "\n".join(report.broken)
    for words in (
        "b.html#gone has no such anchor",
        "c.html does not exist",
        "loads https://example.org/x.png from another host",
        "leads out of the site",
        "starts at the root",
        "s.css: loads //fonts.example.org/f.woff",
    ):
        assert words in told
    assert len(report.broken) == 6


def test_the_link_checker_says_when_there_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="build the book first"):
        check_links.check(tmp_path)
