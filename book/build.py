"""Build the book in both languages: `python book/build.py`, then open what it prints.

Each language is one Jupyter Book build of the same tree (`_config.yml`; `book/_config.en.yml` says
what English changes), side by side in two processes. The result is `_build/site/{ko,en}` and a
landing page that chooses by the browser's language; it works from a folder as well as from a
server. Warnings are errors unless `--no-strict` is given. Only changed pages are rebuilt; a change
of the machinery rebuilds everything.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import os
import re
import shutil
import string
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent / "_ext"))
import registry
from constants import LANGUAGES

ROOT = Path(__file__).resolve().parent.parent
#: What every page depends on: a change here rebuilds all pages.
MACHINERY = (
    "_config.yml",
    "book/_config.*.yml",
    "book/requirements.txt",
    "book/_ext/**/*.*",
    "book/_templates/**/*.*",
    "book/_static/*.*",
    "book/_static/live/*.*",
)
#: The jupyter-book command of this interpreter, wherever its script was put.
RUN = "from jupyter_book.cli.main import main; main()"
WARNING = re.compile(r"\b(WARNING|ERROR|CRITICAL|SEVERE)\b|^Traceback|Error:", re.MULTILINE)


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it, dictionary by dictionary."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def settings(root: Path, language: str) -> dict[str, Any]:
    """Return the Jupyter Book configuration of one language."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    own = root / "book" / f"_config.{language}.yml"
    if own.exists():
        config = merge(config, yaml.safe_load(own.read_text(encoding="utf-8")))
    others = [code for code in LANGUAGES if code != language]
    config["exclude_patterns"] = [
        pattern
        for pattern in config["exclude_patterns"]
        if not any(pattern.endswith(f".{code}.md") for code in LANGUAGES)
    ] + [f"**/*.{code}.md" for code in others]
    sphinx = config["sphinx"]
    suffixes = sphinx["config"]["source_suffix"]
    sphinx["config"]["source_suffix"] = {
        (f".{language}.md" if suffix in {f".{code}.md" for code in LANGUAGES} else suffix): parser
        for suffix, parser in suffixes.items()
    }
    sphinx["config"]["bilingual_site"] = True
    # Paths of extensions are relative to the configuration file, which this one is not beside.
    sphinx["local_extensions"] = {
        name: str(root / path) for name, path in sphinx.get("local_extensions", {}).items()
    }
    return config


def fingerprint(root: Path) -> str:
    """Return a digest of the files that every page depends on."""
    digest = hashlib.sha256()
    for pattern in MACHINERY:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


class Build:
    """One language's Jupyter Book build, running as a process of its own."""

    def __init__(self, root: Path, language: str, *, strict: bool, fresh: bool) -> None:
        """Start the build; `fresh` rebuilds every page, `strict` makes warnings errors."""
        self.language, self.root = language, root
        self.work = root / "_build" / "work" / language
        self.work.mkdir(parents=True, exist_ok=True)
        self.stamp = self.work / "machinery.sha256"
        self.machinery = fingerprint(root)
        known = self.stamp.read_text(encoding="utf-8") if self.stamp.exists() else ""
        config = self.work / "_config.yml"
        text = yaml.safe_dump(settings(root, language), allow_unicode=True, sort_keys=False)
        config.write_text(text, encoding="utf-8")
        command = [sys.executable, "-c", RUN, "build", str(root), "-q"]
        command += ["--config", str(config), "--path-output", str(self.work)]
        command += ["-W", "-n", "--keep-going"] if strict else []
        command += ["--all"] if fresh or known != self.machinery else []
        self.log = self.work / "build.log"
        self.started = time.perf_counter()
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "ignore"}
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=root, env=environment
            )

    @property
    def html(self) -> Path:
        """Where Jupyter Book puts the pages."""
        return self.work / "_build" / "html"

    def finish(self) -> tuple[bool, str]:
        """Wait for the build; return whether it succeeded, and a report."""
        code = self.process.wait()
        seconds = time.perf_counter() - self.started
        log = self.log.read_text(encoding="utf-8", errors="replace")
        warnings = [line for line in log.splitlines() if WARNING.search(line)]
        if code != 0:
            # Sphinx would not repeat a page's warnings: let the next build read all pages again.
            shutil.rmtree(self.work / "_build" / ".doctrees", ignore_errors=True)
            log = log.partition('\nTraceback (most recent call last):\n  File "<string>"')[0]
            log = log.partition("\nThe above exception was the direct cause")[0]
            return False, f"{log.strip()}\n{self.language}: FAILED after {seconds:.0f} s"
        self.stamp.write_text(self.machinery, encoding="utf-8")
        pages = sum(1 for _ in self.html.rglob("*.html"))
        lines = [
            *warnings,
            f"{self.language}: {len(warnings)} warnings, {pages} pages, {seconds:.0f} s",
        ]
        return True, "\n".join(lines)


def publish(root: Path, build: Build) -> None:
    """Put one language's finished pages into the site, without what only Sphinx needs."""
    target = root / "_build" / "site" / build.language
    shutil.rmtree(target, ignore_errors=True)
    ignore = shutil.ignore_patterns(
        *(".buildinfo*", "objects.inv", "_sources", "*.map", "*webpack-macros.html"),
        *("fontawesome*", "searchtools.js", "language_data.js", "searchindex.js"),  # no page's
    )
    shutil.copytree(build.html, target, ignore=ignore)


def write_landing(root: Path) -> Path:
    """Write the page that leads to the reader's language; return its path."""
    configs = {code: settings(root, code) for code in LANGUAGES}
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    base = (configs["ko"].get("html", {}).get("baseurl") or "").rstrip("/")
    values = {f"title_{code}": configs[code]["title"] for code in LANGUAGES}
    values |= {f"front_{code}": f"{code}/{contents['root']}.html" for code in LANGUAGES}
    links = [(code, f"{code}/{contents['root']}.html") for code in LANGUAGES] + [("x-default", "")]
    values["alternates"] = "\n".join(
        f'<link rel="alternate" hreflang="{code}" href="{base}/{path}">'
        for code, path in links
        if base
    )
    site = root / "_build" / "site"
    site.mkdir(parents=True, exist_ok=True)
    templates = root / "book" / "_templates"
    values["style"] = (templates / "front-door.css").read_text(encoding="utf-8").rstrip()

    def write(name: str, template: str) -> Path:
        text = (templates / template).read_text(encoding="utf-8")
        (site / name).write_text(string.Template(text).substitute(values), encoding="utf-8")
        return site / name

    landing = write("index.html", "landing.html")
    # A server shows 404.html at any depth: its links need the site's own folder.
    values["base"] = f'<base href="{urlsplit(base).path}/">' if base else ""
    write("404.html", "not-found.html")
    write_sitemap(site, base)
    (site / ".nojekyll").write_text("", encoding="utf-8")  # GitHub Pages would drop _static
    return landing


def write_sitemap(site: Path, base: str) -> None:
    """List all pages and translations for search engines; without an address there is no list."""
    target = site / "sitemap.xml"
    target.unlink(missing_ok=True)
    if not base:
        return
    names = {
        path.relative_to(site / code).as_posix()
        for code in LANGUAGES
        for room in ("book", "notebooks")
        for path in (site / code / room).rglob("*.html")
    }
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        ' xmlns:xhtml="http://www.w3.org/1999/xhtml">',
    ]
    for name in sorted(names):
        alternates = "".join(
            f'<xhtml:link rel="alternate" hreflang="{code}" href="{base}/{code}/{name}"/>'
            for code in LANGUAGES
        )
        lines += [
            f"<url><loc>{base}/{code}/{name}</loc>{alternates}</url>"
            for code in LANGUAGES
            if (site / code / name).exists()
        ]
    target.write_text("\n".join([*lines, "</urlset>", ""]), encoding="utf-8")


def build_site(
    root: Path, *, languages: Iterable[str] = LANGUAGES, strict: bool = True, fresh: bool = False
) -> bool:
    """Build the languages side by side, print a line for each, and return whether all succeeded."""
    try:
        registry.load(root / "book" / "methods.yml")
    except registry.RegistryError as error:  # at once, and not as an error of every page
        print(f"{error}\nThe book was not built: mend what is named above and build again.")
        return False
    builds = [Build(root, language, strict=strict, fresh=fresh) for language in languages]
    succeeded = True
    for build in builds:
        good, report = build.finish()
        print(report, flush=True)
        if good:
            publish(root, build)
        succeeded &= good
    if succeeded:
        landing = write_landing(root)
        print(f"Open {landing.as_uri()}")
    else:
        print("The book was not built: mend what is named above and build again.")
    return succeeded


def serve(site: Path, port: int) -> None:
    """Serve the site on this machine until interrupted."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        address = f"http://localhost:{server.server_address[1]}/"
        print(f"Serving {address} (stop with Ctrl-C)", flush=True)
        if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY"):
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the book in Korean and English.")
    parser.add_argument("--language", choices=LANGUAGES, nargs="+", default=list(LANGUAGES))
    parser.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="treat every warning as an error (default)",
    )
    parser.add_argument("--fresh", action="store_true", help="rebuild every page")
    parser.add_argument("--serve", action="store_true", help="serve the result on localhost")
    parser.add_argument("--port", type=int, default=8000, help="port for --serve (default 8000)")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    languages = tuple(dict.fromkeys(options.language))
    if not build_site(root, languages=languages, strict=options.strict, fresh=options.fresh):
        return 1
    if options.serve:
        serve(root / "_build" / "site", options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
