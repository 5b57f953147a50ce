"""make new: from an entry of the registry to a skeleton that runs, in a copy of the tree."""

import shutil
import subprocess
import sys
from pathlib import Path

import colab_cell
import new_method
import pytest
import registry
import run
import stored
import yaml
from new_method import MARK, NewMethodError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def tree(tmp_path) -> Path:
    """What the command reads and writes, PatchCore being the only method written."""
    for name in ("_config.yml", "_toc.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "helpers", tmp_path / "helpers")
    pages = ("*.ko.md", "*.en.md", "figures", "mathjax", "__pycache__")
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns(*pages))
    shutil.copytree(ROOT / "book/memory_bank", tmp_path / "book/memory_bank", dirs_exist_ok=True)
    for method in entries(tmp_path).written():
        if method.id != "memory_bank/patchcore":
            _forget(tmp_path, method)
    return tmp_path


def _forget(root: Path, method: registry.Method) -> None:
    """Make a written method a planned one again."""
    path, contents = root / "book" / "methods.yml", root / "_toc.yml"
    text = path.read_text(encoding="utf-8")
    start = text.index(f"id: {method.id}\n")
    path.write_text(
        text[:start] + text[start:].replace("status: written", "status: planned", 1), "utf-8"
    )
    lines = contents.read_text(encoding="utf-8").splitlines()
    mine = {f"- file: {method.review}", f"- file: {method.notebook}"}
    kept = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if line.strip() not in mine
        and not (before.strip() in mine and line.strip().startswith("title:"))
    ]
    contents.write_text("\n".join(kept) + "\n", encoding="utf-8")
    for language in ("ko", "en"):
        (root / "book" / f"{method.id}.{language}.md").unlink(missing_ok=True)


def entries(root: Path) -> registry.Registry:
    book = root / "book"
    return registry.load(book / "methods.yml", bibliography=book / "references.bib")


def chapters(root: Path) -> list[list[str]]:
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    return [[chapter["file"] for chapter in part["chapters"]] for part in contents["parts"]]


def test_a_planned_method_becomes_a_written_one(tree):
    before = (tree / "book/methods.yml").read_text(encoding="utf-8")
    written = new_method.new_method("memory_bank/padim", root=tree)
    assert {path.relative_to(tree).as_posix() for path in written} == {
        "_toc.yml",
        "book/methods.yml",
        "book/memory_bank/padim.ko.md",
        "book/memory_bank/padim.en.md",
        "notebooks/memory_bank/padim.ipynb",
    }
    assert entries(tree).method("memory_bank/padim").written
    after = (tree / "book/methods.yml").read_text(encoding="utf-8")
    assert len(before.splitlines()) == len(after.splitlines())
    assert sum(a != b for a, b in zip(before.splitlines(), after.splitlines(), strict=True)) == 1
    (part,) = [part for part in chapters(tree) if "book/memory_bank/index" in part]
    assert part == [
        "book/memory_bank/index",
        "book/memory_bank/padim",  # before PatchCore, as in the reading list
        "notebooks/memory_bank/padim",
        "book/memory_bank/patchcore",
        "notebooks/memory_bank/patchcore",
    ]


def test_methods_keep_the_order_of_the_reading_list_whatever_is_written_first(tree):
    new_method.new_method("memory_bank/padim", root=tree)
    new_method.new_method("memory_bank/spade", root=tree)
    (part,) = [part for part in chapters(tree) if "book/memory_bank/index" in part]
    reviews = [file for file in part if file.startswith("book/")]
    assert [file.split("/")[-1] for file in reviews] == ["index", "spade", "padim", "patchcore"]


def test_a_new_family_gets_its_pages_and_its_place(tree):
    new_method.new_method("gan/scadn", root=tree)
    assert (tree / "book/gan/index.ko.md").is_file()
    assert (tree / "book/gan/index.en.md").is_file()
    firsts = [part[0] for part in chapters(tree)]
    assert firsts.index("book/gan/index") == firsts.index("book/memory_bank/index") + 1
    assert firsts[-1] == "book/results/leaderboard"


def test_the_skeleton_has_all_sections_and_marks_what_is_to_be_written(tree):
    new_method.new_method("memory_bank/padim", root=tree)
    path = tree / "notebooks/memory_bank/padim.ipynb"
    notebook = stored.read(path)
    first = stored.code_cells(notebook)[0][1].source
    assert first == colab_cell.first_cell(colab_cell.version(tree), colab_cell.repository(tree))
    sections = [c.metadata["section"] for c in notebook.cells if "section" in c.metadata]
    assert sections[::2] == sections[1::2], "Korean and English stand in pairs"
    assert len(sections) == len(set(sections)) * 2
    assert tuple(stored.parameters(notebook)) == stored.COMMON
    assert stored.expected(notebook)["settings"] == stored.parameters(notebook)
    for name in ("notebooks/memory_bank/padim.ipynb", "book/memory_bank/padim.ko.md"):
        assert MARK in (tree / name).read_text(encoding="utf-8")
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "notebooks"],
            cwd=tree,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.runs
def test_the_skeleton_runs_and_its_outputs_are_fit_to_store(tree):
    new_method.new_method("memory_bank/padim", root=tree)
    executed = run.execute(tree / "notebooks/memory_bank/padim.ipynb", settings={"image_size": 64})
    assert stored.faults(stored.normalise(executed)) == []
    assert stored.pieces(executed, "report")[0]["method"] == "memory_bank/padim"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("memory_bank/padm", r"has no 'memory_bank/padm'.*Planned are: .*memory_bank/padim"),
        ("memory_bank/patchcore", "is written already"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(tree, method, message):
    with pytest.raises(NewMethodError, match=message):
        new_method.new_method(method, root=tree)


def test_nothing_that_exists_is_overwritten(tree):
    page = tree / "book/memory_bank/padim.en.md"
    page.write_text("mine", encoding="utf-8")
    contents = (tree / "_toc.yml").read_bytes()
    with pytest.raises(NewMethodError, match=r"padim.en.md exists; move it away first"):
        new_method.new_method("memory_bank/padim", root=tree)
    assert page.read_text(encoding="utf-8") == "mine"
    assert (tree / "_toc.yml").read_bytes() == contents
    assert not (tree / "notebooks").exists()
