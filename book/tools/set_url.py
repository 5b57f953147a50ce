"""Write the repository's URL everywhere it is needed: make url URL=https://github.com/owner/name

That is _config.yml (from which the site's Colab buttons, repository links and canonical addresses
come), the first cell of every notebook, CITATION.cff, the READMEs, CONTRIBUTING and pyproject.toml.
"""

import re
import sys
from pathlib import Path

import colab_cell

ROOT = Path(__file__).resolve().parents[2]
FORM = re.compile(
    r"https://github\.com/([A-Za-z0-9](?:[A-Za-z0-9-]{0,38}))/([A-Za-z0-9._-]{1,100})"
)
FILES = (
    "_config.yml",
    "_toc.yml",
    "CITATION.cff",
    "pyproject.toml",
    "README*.md",
    "CONTRIBUTING*.md",
    "LICENSE-text",
    "book/**/*.md",
    ".github/**/*.yml",
)


def clean(url: str) -> str:
    """The URL without `.git` and final slash.

    Raises:
        ValueError: if it is not a repository on GitHub (Colab opens no other).
    """
    url = url.strip().rstrip("/").removesuffix(".git")
    if not FORM.fullmatch(url):
        raise ValueError(f"expected https://github.com/owner/name, found {url!r}")
    return url


def pages(url: str) -> str:
    """Where GitHub Pages publishes the repository, without a final slash."""
    owner, name = FORM.fullmatch(url).groups()
    host = f"{owner}.github.io"
    return f"https://{host}" if name.lower() == host.lower() else f"https://{host}/{name}"


def set_url(url: str, *, root: Path = ROOT) -> list[Path]:
    """Replace the present URL by another one in the whole tree.

    Args:
        url: the new one.
        root: the tree.

    Returns:
        The files that were changed; none if the URL was already there.

    Raises:
        ValueError: if `url` is not of the form https://github.com/owner/name.
    """
    new, old = clean(url), colab_cell.repository(root)
    changed = []
    for path in text_files(root):
        before = path.read_text(encoding="utf-8")
        after = _pattern(pages(old)).sub(pages(new), _pattern(old).sub(new, before))
        if path.name == "_config.yml":
            after = _with_base(after, old=old, new=new)
        if after != before:
            path.write_text(after, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed + colab_cell.write_all(root)


def text_files(root: Path) -> list[Path]:
    """The files, notebooks aside, in which the URL may stand."""
    return sorted({path for pattern in FILES for path in root.glob(pattern)})


def _with_base(config: str, *, old: str, new: str) -> str:
    """The configuration with the site's own address; an address set by hand stays."""
    before = ("", pages(old), pages(new))
    base = "" if new == colab_cell.PLACEHOLDER else pages(new)
    match = re.search(r'^( +baseurl: )"([^"]*)"', config, re.MULTILINE)
    if match is None or match[2] not in before:
        return config
    return config[: match.start()] + f'{match[1]}"{base}"' + config[match.end() :]


def _pattern(url: str) -> re.Pattern[str]:
    # Not inside a longer name: .../book must not match in .../book-2, but may end a sentence.
    return re.compile(re.escape(url) + r"(?![A-Za-z0-9_-])(?!\.[A-Za-z0-9])")


def main() -> int:
    """The command line; returns the exit status."""
    if len(sys.argv) != 2:
        print("usage: python book/tools/set_url.py https://github.com/owner/name", file=sys.stderr)
        return 2
    try:
        changed = set_url(sys.argv[1])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in changed:
        print(f"written {path.relative_to(ROOT)}")
    print("nothing to change" if not changed else "now: make book")
    return 0


if __name__ == "__main__":
    sys.exit(main())
