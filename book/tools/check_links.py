"""Check every link of the built site: `python book/tools/check_links.py [_build/site]`.

All internal links, their #anchors, images, scripts and style sheets must exist. External links are
counted, not fetched. A script, style sheet, image or font that a page would load from another host
is an error: the book asks no other host for anything. Exit status 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Attributes that name a file which the browser loads by itself.
LOADED = {
    "img": ("src", "srcset"),
    "script": ("src",),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "input": ("src",),
}
#: Kinds of <link> that only name an address.
NAMED_ONLY = {
    "canonical",
    "alternate",
    "author",
    "license",
    "next",
    "prev",
    "search",
    "index",
    "top",
}
CSS_URL = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


@dataclass
class Page:
    """What one HTML file holds: its anchors, and the addresses it links to and loads."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.page, self.in_style = page, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.page.anchors.add(values["id"])
        if tag == "a":
            if "name" in values:
                self.page.anchors.add(values["name"])
            if "href" in values:
                self.page.links.append(values["href"])
        elif tag == "link" and "href" in values:
            named = set(values.get("rel", "").lower().split()) <= NAMED_ONLY
            (self.page.links if named else self.page.loads).append(values["href"])
        for name in LOADED.get(tag, ()):
            if values.get(name):
                listed = values[name].split(",") if name == "srcset" else [values[name]]
                self.page.loads += [entry.split()[0] for entry in listed if entry.strip()]
        self.page.loads += css_addresses(values.get("style", ""))
        self.in_style = tag == "style"

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.page.loads += css_addresses(data)

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False


def css_addresses(text: str) -> list[str]:
    """Return the addresses that a style sheet loads."""
    return [first or second for first, second in CSS_URL.findall(text)]


def read_page(path: Path) -> Page:
    """Parse one HTML file."""
    page = Page()
    _Reader(page).feed(path.read_text(encoding="utf-8"))
    return page


@dataclass
class Report:
    """The result: counts, and one line for each thing that is wrong."""

    pages: int = 0
    internal: int = 0
    external: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the summary line."""
        return (
            f"{self.pages} pages, {self.internal} internal links, {len(self.broken)} broken, "
            f"{len(self.external)} external addresses (not fetched)"
        )


def is_external(address: str) -> bool:
    """Say whether an address leads to another host."""
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https", "ftp")


def check(site: Path) -> Report:
    """Check all pages and style sheets below `site`.

    Raises:
        FileNotFoundError: `site` holds no HTML file.
    """
    site = site.resolve()
    pages = {path: read_page(path) for path in sorted(site.rglob("*.html"))}
    if not pages:
        raise FileNotFoundError(f"no HTML file below {site}: build the book first (make book)")
    report = Report(pages=len(pages))
    for path, page in pages.items():
        for address in page.links:
            if is_external(address):
                report.external.add(address)
        addresses = [(address, False) for address in page.links if not is_external(address)]
        addresses += [(address, True) for address in page.loads]
        report.broken += _problems(site, path, addresses, pages, report)
    for path in sorted(site.rglob("*.css")):
        loads = css_addresses(path.read_text(encoding="utf-8"))
        report.broken += _problems(
            site, path, [(address, True) for address in loads], pages, report
        )
    return report


def _problems(
    site: Path,
    path: Path,
    addresses: list[tuple[str, bool]],
    pages: dict[Path, Page],
    report: Report,
) -> Iterator[str]:
    where = path.relative_to(site).as_posix()
    for address, loaded in addresses:
        if is_external(address):
            yield f"{where}: loads {address} from another host"
            continue
        parts = urlsplit(address)
        if parts.scheme in ("data", "mailto", "javascript", "blob", "about"):
            continue
        report.internal += 1
        target = path
        if parts.path:
            target = (path.parent / unquote(parts.path)).resolve()
            if target.is_dir():
                target /= "index.html"
        if parts.path.startswith("/"):
            yield f"{where}: {address} starts at the root of the host; make it relative"
        elif not target.is_relative_to(site):
            yield f"{where}: {address} leads out of the site"
        elif not target.exists():
            yield f"{where}: {address} does not exist"
        elif (
            parts.fragment
            and not loaded
            and target in pages
            and unquote(parts.fragment) not in pages[target].anchors | {"top"}
        ):
            yield f"{where}: {address} has no such anchor"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Check every link of the built site.")
    parser.add_argument("site", type=Path, nargs="?", default=Path("_build/site"))
    report = check(parser.parse_args(arguments).site)
    for line in report.broken:
        print(line)
    print(report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
