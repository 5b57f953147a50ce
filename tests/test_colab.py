"""Colab, simulated as far as it can be: an environment that has torch and the like but not the
helpers, a folder that holds only the notebook, and the project as a wheel.

What this cannot show: Colab's own Python, GPU, forms, and the download from GitHub.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import colab_cell
import nbformat
import pytest
import stored
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
PATHS = stored.find()
OWN = ("helpers", "visual_anomaly_book", "__editable__")
FIRST = colab_cell.first_cell(colab_cell.version(), colab_cell.PLACEHOLDER)
pytestmark = pytest.mark.runs


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The helpers as a wheel, built from a copy of what belongs to them."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "helpers", source / "helpers")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(target), str(source)], check=True)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture
def fresh(tmp_path) -> Path:
    """The interpreter of a new environment that shares the installed libraries, helpers excepted.

    The libraries are links in a folder of their own: `pip` in the new environment must neither see
    the project's installation nor be able to change this environment.
    """
    shared = tmp_path / "shared"
    shared.mkdir()
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            if not entry.name.startswith(OWN) and entry.suffix != ".pth":
                (shared / entry.name).symlink_to(entry)
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    (Path(site.stdout.strip()) / "shared.pth").write_text(f"{shared}\n", encoding="utf-8")
    return python


def run_alone(python: Path, notebook, folder: Path, **settings: str):
    """Run a notebook in a folder that holds nothing else; returns process and executed notebook."""
    folder.mkdir()
    nbformat.write(notebook, folder / "alone.ipynb")
    foreign = ("PYTHON", "PYTEST", "BOOK", "JUPYTER")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    environment = kept | {
        "PIP_NO_INDEX": "1",  # whatever is missing would be looked for on the network
        "JUPYTER_DATA_DIR": str(folder.parent / "jupyter"),
        "BOOK_THREADS": "1",
        **settings,
    }
    command = [str(python), "-m", "papermill", "alone.ipynb", "../out.ipynb"]
    command += ["--no-progress-bar", "--log-level", "ERROR"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done, nbformat.read(folder.parent / "out.ipynb", as_version=4)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("path", PATHS[:1], ids=stored.method_id)
def test_the_first_cell_brings_the_helpers_and_the_notebook_starts(path, wheel, fresh, tmp_path):
    notebook = stored.until_start(stored.read(path))
    notebook.cells.append(new_code_cell("print(helpers.__file__)"))
    done, executed = run_alone(fresh, notebook, tmp_path / "only", BOOK_HELPERS=str(wheel))
    assert done.returncode == 0, done.stderr[-3000:]
    used = Path(executed.cells[-1].outputs[0].text.strip())
    assert used.is_relative_to(fresh.parents[1]), f"helpers came from {used}"
    assert executed.cells[-2].outputs[0].text.startswith("environment: ")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_without_a_source_of_the_helpers_it_fails_loudly(fresh, tmp_path):
    notebook = new_notebook(cells=[new_code_cell(FIRST)], metadata=stored.METADATA)
    done, executed = run_alone(fresh, notebook, tmp_path / "only", BOOK_HELPERS="no-such-wheel")
    assert done.returncode != 0
    assert executed.cells[-1].outputs[-1].ename == "CalledProcessError"
    said = "".join(o.get("text", "") for o in executed.cells[-1].outputs)
    assert "no-such-wheel" in said


def test_another_version_or_another_package_of_that_name_is_refused(tmp_path):
    for text, found in (('__version__ = "0.0.1"', "0.0.1"), ("", "none")):
        other = tmp_path / found / "helpers"
        other.mkdir(parents=True)
        (other / "__init__.py").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", FIRST], cwd=other.parent, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert f"need helpers {colab_cell.version()}, found {found} in <module 'helpers' from" in (
            done.stderr
        )
        assert str(other) in done.stderr


def test_where_the_helpers_are_installed_the_cell_is_silent_and_changes_nothing():
    before = importlib.metadata.version("visual-anomaly-book-helpers")
    done = subprocess.run(
        [sys.executable, "-c", FIRST],
        cwd=ROOT / "notebooks",
        capture_output=True,
        text=True,
        env={**os.environ, "BOOK_HELPERS": "no-such-wheel"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert importlib.metadata.version("visual-anomaly-book-helpers") == before


def test_the_cell_is_short_and_clean():
    assert len(FIRST.splitlines()) <= 17
    long = colab_cell.first_cell("10.10.10", "https://github.com/a-long-owner/a-rather-long-name")
    for source in (FIRST, long):
        assert max(len(line) for line in source.splitlines()) <= 80
        for command in (["check"], ["format", "--check"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, "--stdin-filename", "notebooks/x.py", "-"],
                input=source + "\n",
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
