"""make new: from an entry of the registry to a skeleton that runs, in a copy of the tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import colab_cell
import new_method
import pytest
import records
import registry
import run
import skeleton
import stored
import yaml
from new_method import NewMethodError
from skeleton import MARK

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


def finish(root: Path, method: str) -> None:
    """What an author does in the end: status draft becomes written."""
    path = root / "book" / "methods.yml"
    text = path.read_text(encoding="utf-8")
    start = text.index(f"id: {method}\n")
    path.write_text(
        text[:start] + text[start:].replace("status: draft", "status: written", 1), "utf-8"
    )


def test_a_planned_method_becomes_a_draft_that_nothing_shows(tree):
    before = (tree / "book/methods.yml").read_text(encoding="utf-8")
    contents = (tree / "_toc.yml").read_bytes()
    written = new_method.new_method("memory_bank/padim", root=tree)
    assert {path.relative_to(tree).as_posix() for path in written} == {
        "book/methods.yml",
        "book/memory_bank/padim.ko.md",
        "book/memory_bank/padim.en.md",
        "notebooks/memory_bank/padim.ipynb",
        "tests/methods/test_padim.py",
    }
    assert entries(tree).method("memory_bank/padim").status == "draft"
    after = (tree / "book/methods.yml").read_text(encoding="utf-8")
    assert len(before.splitlines()) == len(after.splitlines())
    assert sum(a != b for a, b in zip(before.splitlines(), after.splitlines(), strict=True)) == 1
    assert (tree / "_toc.yml").read_bytes() == contents
    with pytest.raises(NewMethodError, match="is a draft already: finish it, set status: written"):
        new_method.new_method("memory_bank/padim", root=tree)


def test_a_written_method_gets_its_place_in_the_contents(tree):
    new_method.new_method("memory_bank/padim", root=tree)
    finish(tree, "memory_bank/padim")
    assert new_method.new_method("memory_bank/padim", root=tree) == [tree / "_toc.yml"]
    (part,) = [part for part in chapters(tree) if "book/memory_bank/index" in part]
    assert part == [
        "book/memory_bank/index",
        "book/memory_bank/padim",  # before PatchCore, as in the reading list
        "notebooks/memory_bank/padim",
        "book/memory_bank/patchcore",
        "notebooks/memory_bank/patchcore",
    ]
    with pytest.raises(NewMethodError, match=r"is written and stands in _toc\.yml already"):
        new_method.new_method("memory_bank/padim", root=tree)


def test_methods_keep_the_order_of_the_reading_list_whatever_is_written_first(tree):
    for method in ("memory_bank/padim", "memory_bank/spade"):
        new_method.new_method(method, root=tree)
        finish(tree, method)
        new_method.new_method(method, root=tree)
    (part,) = [part for part in chapters(tree) if "book/memory_bank/index" in part]
    reviews = [file for file in part if file.startswith("book/")]
    assert [file.split("/")[-1] for file in reviews] == ["index", "spade", "padim", "patchcore"]


def test_a_new_family_gets_its_pages_and_its_place(tree):
    new_method.new_method("gan/scadn", root=tree)
    assert (tree / "book/gan/index.ko.md").is_file()
    assert (tree / "book/gan/index.en.md").is_file()
    assert "book/gan/index" in entries(tree).hidden()
    finish(tree, "gan/scadn")
    new_method.new_method("gan/scadn", root=tree)
    firsts = [part[0] for part in chapters(tree)]
    assert firsts.index("book/gan/index") == firsts.index("book/autoencoder/index") + 1
    assert firsts[-1] == "book/results/leaderboard"


@pytest.fixture
def padim(tree) -> Path:
    """The laid-out notebook of a method with registered claims."""
    new_method.new_method("memory_bank/padim", root=tree)
    return tree / "notebooks/memory_bank/padim.ipynb"


def test_the_skeleton_has_all_sections_and_marks_what_is_to_be_written(padim, tree):
    notebook = stored.read(padim)
    first = stored.code_cells(notebook)[0][1].source
    assert first == colab_cell.first_cell(colab_cell.version(tree), colab_cell.repository(tree))
    sections = [c.metadata["section"] for c in notebook.cells if "section" in c.metadata]
    assert sections[::2] == sections[1::2], "Korean and English stand in pairs"
    assert len(sections) == len(set(sections)) * 2
    assert tuple(stored.parameters(notebook)) == stored.COMMON
    assert stored.stamp(notebook) == ""
    claims = [claim.id for claim in entries(tree).method("memory_bank/padim").claims]
    assert f'run.claim("{claims[0]}"' in "".join(c.source for c in notebook.cells)
    for name in (
        "notebooks/memory_bank/padim.ipynb",
        "book/memory_bank/padim.ko.md",
        "tests/methods/test_padim.py",
    ):
        assert MARK in (tree / name).read_text(encoding="utf-8")


def test_an_exercise_follows_what_it_is_about_and_the_prediction_its_experiment(padim):
    order = [c.metadata["section"] for c in stored.read(padim).cells if "section" in c.metadata]
    order = list(dict.fromkeys(order))
    assert order.index("scores") + 1 == order.index("exercise-1")
    assert order.index("matters") + 1 == order.index("seen")


def test_the_skeleton_is_as_short_as_a_notebook_should_be(padim):
    cells = stored.read(padim).cells
    code = [cell.source.splitlines() for cell in cells if cell.cell_type == "code"]
    assert max(len(lines) for lines in code) <= 20
    assert max(len(line) for lines in code for line in lines) <= 80
    (idea,) = [
        place
        for place, cell in enumerate(cells)
        if cell.metadata.get("section") == "method" and "lang-en" in cell.metadata["tags"]
    ]
    before = [cell.source.splitlines() for cell in cells[:idea] if cell.cell_type == "code"]
    own = before[:-1]  # the features belong to the method
    assert sum(bool(line.strip()) for lines in own for line in lines) <= 45
    seen = [cell for cell in cells if "lang-ko" not in cell.metadata.get("tags", [])]
    assert 25 <= len(seen) <= 45


def test_no_name_of_the_registry_is_too_long_for_the_lines_it_stands_in():
    known = entries(ROOT)
    for method in known.methods.values():
        tests = skeleton.test_file(method).splitlines()
        assert max(len(line) for line in tests) <= 100, method.id
        notebook = skeleton.notebook(method, known.reference(method), "")
        code = [line for _, c in stored.code_cells(notebook) for line in c.source.splitlines()]
        assert max(len(line) for line in code) <= 80, method.id


@pytest.mark.parametrize("width", [80, 100])
def test_the_skeleton_is_clean_however_wide_lines_may_be(padim, tree, width):
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--line-length", str(width), "notebooks"],
            cwd=tree,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    command = [sys.executable, "-m", "ruff", "check", "tests"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_tests_that_are_laid_out_pass(padim, tree):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/methods"],
        cwd=tree,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout and "skipped" not in done.stdout


@pytest.mark.runs
def test_the_skeleton_runs_and_its_outputs_are_fit_to_store(padim):
    executed = run.execute(padim, settings={"image_size": 64})
    assert stored.faults(stored.normalise(executed)) == []
    pieces = records.pieces(executed)
    assert [piece["kind"] for piece in pieces] == ["table", "report", "table", "claim", "table"]
    assert pieces[1]["method"] == "memory_bank/padim"
    assert all(value is not None for value in records.measured(pieces).values())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("memory_bank/padm", r"has no 'memory_bank/padm'.*Planned are: .*memory_bank/padim"),
        ("memory_bank/patchcore", r"is written and stands in _toc\.yml already"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(tree, method, message):
    with pytest.raises(NewMethodError, match=message):
        new_method.new_method(method, root=tree)


def test_nothing_that_exists_is_overwritten(tree):
    page = tree / "book/memory_bank/padim.en.md"
    page.write_text("mine", encoding="utf-8")
    registered = (tree / "book/methods.yml").read_bytes()
    with pytest.raises(NewMethodError, match=r"padim.en.md exists; move it away first"):
        new_method.new_method("memory_bank/padim", root=tree)
    assert page.read_text(encoding="utf-8") == "mine"
    assert (tree / "book/methods.yml").read_bytes() == registered
    assert not (tree / "notebooks").exists() and not (tree / "tests").exists()
