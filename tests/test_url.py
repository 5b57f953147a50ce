"""The repository's address is the same everywhere, and one command changes it everywhere."""

import json
import re
import shutil
from pathlib import Path

import colab_cell
import pytest
import set_url
import stored
from small import write_small

ROOT = Path(__file__).resolve().parents[1]
PLACEHOLDER = colab_cell.PLACEHOLDER


@pytest.fixture
def tree(tmp_path) -> Path:
    """The files that hold the address, and one small notebook."""
    for path in set_url.text_files(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copytree(ROOT / "helpers", tmp_path / "helpers")
    write_small(tmp_path)
    set_url.set_url(PLACEHOLDER, root=tmp_path)
    return tmp_path


def contents(root: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and p.suffix != ".pyc"}


@pytest.mark.parametrize("path", stored.find(), ids=stored.method_id)
def test_every_notebook_begins_with_the_set_up_cell(path):
    expected = colab_cell.first_cell(colab_cell.version(), colab_cell.repository())
    source = stored.code_cells(stored.read(path))[0][1].source
    assert source == expected, "run `python book/tools/colab_cell.py --write`"


def test_the_placeholder_stands_everywhere_or_nowhere():
    url = colab_cell.repository()
    texts = {path: path.read_text(encoding="utf-8") for path in set_url.text_files(ROOT)}
    for name in ("_config.yml", "CITATION.cff", "README.md", "README.ko.md"):
        assert url in texts[ROOT / name], f"{name} does not hold {url}; run `make url URL={url}`"
    if url != PLACEHOLDER:
        for path, text in texts.items():
            assert "OWNER/REPOSITORY" not in text, f"run `make url URL={url}` ({path})"


def test_one_command_writes_the_address_everywhere_and_back(tree):
    before = contents(tree)
    url = "https://github.com/someone/anomaly.book-2"
    changed = set_url.set_url(url + ".git/", root=tree)
    names = {path.relative_to(tree).as_posix() for path in changed}
    assert names >= {
        "_config.yml",
        "CITATION.cff",
        "README.md",
        "README.ko.md",
        "notebooks/family/method.ipynb",
    }
    for path in changed:
        assert "OWNER" not in path.read_text(encoding="utf-8")
    assert colab_cell.repository(tree) == url
    assert 'baseurl: "https://someone.github.io/anomaly.book-2"' in (
        tree / "_config.yml"
    ).read_text(encoding="utf-8")
    notebook = stored.read(tree / "notebooks/family/method.ipynb")
    assert stored.code_cells(notebook)[0][1].source == colab_cell.first_cell(
        colab_cell.version(), url
    )
    assert set_url.set_url(PLACEHOLDER, root=tree)
    assert contents(tree) == before


def test_doing_it_twice_changes_nothing_and_doing_it_again_does(tree):
    set_url.set_url("https://github.com/a/b", root=tree)
    before = contents(tree)
    assert set_url.set_url("https://github.com/a/b", root=tree) == []
    assert contents(tree) == before
    set_url.set_url("https://github.com/a/b-2", root=tree)
    readme = (tree / "README.md").read_text(encoding="utf-8")
    assert "https://github.com/a/b-2" in readme
    assert not re.search(r"github\.com/a/b(?![-\w])", readme)


def test_a_longer_name_that_begins_alike_stays(tree):
    set_url.set_url("https://github.com/a/b", root=tree)
    page = tree / "book" / "page.en.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("see https://github.com/a/b-extra and https://github.com/a/b.", "utf-8")
    set_url.set_url("https://github.com/c/d", root=tree)
    assert page.read_text("utf-8") == "see https://github.com/a/b-extra and https://github.com/c/d."


def test_an_address_set_by_hand_for_the_site_stays(tree):
    config = tree / "_config.yml"
    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(r'baseurl: "[^"]*"', 'baseurl: "https://b.example"', text), "utf-8")
    set_url.set_url("https://github.com/a/b", root=tree)
    assert 'baseurl: "https://b.example"' in config.read_text(encoding="utf-8")


def test_pages_of_an_owners_own_repository_have_no_folder():
    assert set_url.pages("https://github.com/a/b") == "https://a.github.io/b"
    assert set_url.pages("https://github.com/a/a.github.io") == "https://a.github.io"


@pytest.mark.parametrize(
    "url", ["", "github.com/a/b", "https://gitlab.com/a/b", "https://github.com/a", "http://x/y z"]
)
def test_anything_else_than_a_repository_on_github_is_refused(url, tree):
    before = contents(tree)
    with pytest.raises(ValueError, match=r"expected https://github\.com/owner/name, found"):
        set_url.set_url(url, root=tree)
    assert contents(tree) == before


def test_a_changed_cell_keeps_the_stored_outputs(tree):
    path = tree / "notebooks/family/method.ipynb"
    text = json.loads(path.read_text(encoding="utf-8"))
    code = next(cell for cell in text["cells"] if cell["cell_type"] == "code")
    code["execution_count"] = 1
    path.write_text(json.dumps(text), encoding="utf-8")
    set_url.set_url("https://github.com/a/b", root=tree)
    cell = stored.code_cells(stored.read(path))[0][1]
    assert (cell.execution_count, "a/b@main" in cell.source) == (1, True)
