"""The first code cell of every notebook: it brings the helpers to a machine without them (Colab).

    python book/tools/colab_cell.py           print the cell
    python book/tools/colab_cell.py --write   write it into every notebook

The cell depends on two facts: the version in helpers/__init__.py and the repository's URL in
_config.yml. After either has changed, `--write` brings all notebooks up to date.
"""

import argparse
import re
from pathlib import Path

import stored

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"
REF = "main"  # what the Colab button opens and what the cell installs: one and the same

CELL = """\
# Set-up. In Colab this installs the helpers; elsewhere it does nothing.
import os
import subprocess
import sys
from importlib import invalidate_caches, util

book = "git+{url}@{ref}"
if util.find_spec("helpers") is None:
    book = os.environ.get("BOOK_HELPERS", book)
    command = [sys.executable, "-m", "pip", "install", "-q", book]
    subprocess.run(command, check=True)
    invalidate_caches()
import helpers

if (found := getattr(helpers, "__version__", "none")) != "{version}":
    found = f"{{found}} in {{helpers}}: pip install -U {{book}}"
    raise ImportError(f"need helpers {version}, found {{found}}")"""


def version(root: Path = ROOT) -> str:
    """The helpers' version, read without importing them."""
    text = (root / "helpers" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)[1]


def repository(root: Path = ROOT) -> str:
    """The repository's URL in _config.yml: `repository: url:`."""
    import yaml

    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    return config["repository"]["url"]


def first_cell(version: str, url: str) -> str:
    """Exact text of a notebook's first code cell."""
    return CELL.format(version=version, url=url, ref=REF)


def write_all(root: Path = ROOT) -> list[Path]:
    """Write the cell into every notebook that has another one; returns those changed.

    Outputs stay: the cell prints nothing.
    """
    text = first_cell(version(root), repository(root))
    changed = []
    for path in stored.find(root=root):
        notebook = stored.read(path)
        cell = stored.code_cells(notebook)[0][1]
        if cell.source != text:
            cell.source = text
            stored.write(notebook, path)
            changed.append(path)
    return changed


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write it into every notebook")
    if parser.parse_args().write:
        for path in write_all():
            print(path)
    else:
        print(first_cell(version(), repository()))


if __name__ == "__main__":
    main()
