"""The tools for notebooks and notebook_loader.py: what they store, refuse, measure and load."""

import base64
import subprocess
import sys
from pathlib import Path

import bands
import bench
import nbformat
import pytest
import registry
import run
import stored
from nbformat.v4 import new_code_cell, new_output
from notebook_loader import definitions
from small import small_notebook, write_small
from stored import NotebookError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Where notebooks go that may not be stored."""
    monkeypatch.setattr(run, "ROOT", tmp_path)
    return tmp_path / "_build" / "refused"


def test_run_stores_outputs_without_a_trace_of_the_machine(tmp_path):
    path = write_small(tmp_path, extra="print('one')\nprint('two', flush=True)\nprint('three')")
    ids = [cell.id for cell in stored.read(path).cells]
    with pytest.raises(NotebookError, match="share has no band"):
        run.store(path)
    notebook = stored.read(path)
    assert notebook.metadata == stored.METADATA
    assert [cell.id for cell in notebook.cells] == ids
    assert [c.execution_count for _, c in stored.code_cells(notebook)] == [1, 2, 3, 4, 5, 6]
    assert [dict(c.metadata) for c in notebook.cells][:3] == [
        {"section": "small", "tags": ["lang-ko"]},
        {"section": "small", "tags": ["lang-en"]},
        {},
    ]
    assert [o.text for o in notebook.cells[-1].outputs] == ["one\ntwo\nthree\n"]
    assert stored.measured(notebook) == {"share": 0.9}


def test_running_twice_gives_the_same_bytes(tmp_path):
    path = write_small(tmp_path)
    runs = []
    for _ in range(2):
        with pytest.raises(NotebookError, match="no band"):
            run.store(path)
        runs.append(path.read_bytes())
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("import sys\nprint('careful', file=sys.stderr)", "wrote to stderr: careful"),
        ("1 / 0", "raised ZeroDivisionError"),
    ],
)
def test_run_refuses_what_must_not_be_stored(tmp_path, refused, extra, message):
    path = write_small(tmp_path, extra=extra)
    before = path.read_bytes()
    with pytest.raises(NotebookError, match=message):
        run.store(path)
    assert path.read_bytes() == before


def test_an_unknown_parameter_is_an_error(tmp_path):
    path = write_small(tmp_path)
    with pytest.raises(NotebookError, match="no parameter speed"):
        run.execute(path, settings={"speed": 1})


def test_bands_come_from_five_seeds_and_the_stored_number_lies_inside(tmp_path):
    path = write_small(tmp_path)
    bands.make_bands(path)
    notebook = stored.read(path)
    assert stored.expected(notebook) == {
        "settings": {"dataset": "elpv", "strides": (8, 16), "seed": 0},
        "bands": {"share": (0.898, 0.906)},
    }
    assert "0.900  [0.898, 0.906]  in band" in notebook.cells[-2].outputs[0].data["text/plain"]


def test_a_number_that_moves_too_much_gets_the_band_of_the_default_seed_and_a_remark(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(bands, "SEEDS", (0, 4))
    path = write_small(tmp_path, measured="0.5 + seed / 50")
    bands.make_bands(path)
    notebook = stored.read(path)
    assert stored.expected(notebook)["bands"] == {"share": (0.47, 0.53)}
    assert "# over the seeds 0.50 to 0.58" in stored.tagged(notebook, "expect").source


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.9, 0.9, 0.9, 0.9, 0.9], (0.898, 0.902)),
        ([0.90, 0.91, 0.90, 0.90, 0.90], (0.895, 0.915)),
        ([0.90, 0.96, 0.93, 0.93, 0.93], (0.900, 0.960)),
        ([-0.012, -0.010, -0.011, -0.011, -0.011], (-0.013, -0.009)),
        ([0.95712, 0.95934, 0.958, 0.958, 0.958], (0.956, 0.961)),
    ],
)
def test_a_band_is_the_range_widened_within_limits(values, expected):
    low, high = bands.band("share", values)
    assert (low, high) == expected
    assert low <= min(values) and max(values) <= high
    assert high - low <= 2 * bands.WIDEST + 0.0011


def test_the_band_of_a_share_is_never_narrower_than_one_of_what_it_counts():
    assert bands.band("share", [0.76] * 5, 1 / 100) == (0.75, 0.77)
    assert bands.band("share", [0.5] * 5, 1 / 8) == (0.47, 0.53)  # nor wider than any band
    path = stored.find(["memory_bank/spade"])[0]
    notebook = stored.read(path)
    assert stored.steps(notebook)["rendered defects found by both"] == 1 / 60
    for name, step in stored.steps(notebook).items():
        low, high = stored.expected(notebook)["bands"][name]
        assert (high - low) / 2 >= min(step, bands.WIDEST) - 1e-9


def test_a_number_that_some_seeds_do_not_have_gets_no_band():
    with pytest.raises(NotebookError, match=r"'share' has no value for some seeds: 0\.5000, none"):
        bands.band("share", [0.5, None, 0.5, 0.5, 0.5])


def test_the_expect_cell_is_formatted_as_ruff_leaves_it(tmp_path):
    settings = {"dataset": "elpv", "category": None, "strides": (8, 16), "one": (8,), "ratio": 0.1}
    source = bands.expect_source(settings, {"AUROC, 1 % greedy": (0.9, 0.95)})
    assert stored.literals(source)["expect"]["settings"] == settings
    for text in (source, bands.expect_source(settings, {})):
        command = [sys.executable, "-m", "ruff", "format", "--line-length", "100", "-"]
        done = subprocess.run(command, input=text + "\n", capture_output=True, text=True)
        assert done.stdout == text + "\n", done.stderr


def test_a_parameters_cell_holds_only_literals():
    assert stored.literals('a = -1\nb = (8, 16)  # comment\nc = "x"') == {
        "a": -1,
        "b": (8, 16),
        "c": "x",
    }
    with pytest.raises(NotebookError, match="found: b = min"):
        stored.literals("a = 1\nb = min(a, 2)")


def test_every_fault_of_stored_outputs_is_named():
    notebook = small_notebook()
    for count, (_, cell) in enumerate(stored.code_cells(notebook), 1):
        cell.execution_count = count
    assert stored.faults(notebook) == []
    cells = [cell for _, cell in stored.code_cells(notebook)]
    cells[0].execution_count = None
    cells[1].execution_count = 7
    cells[2].outputs = [new_output("stream", name="stderr", text="UserWarning: old\n")]
    image = base64.b64encode(bytes(70_000)).decode()
    cells[3].outputs = [new_output("display_data", data={"image/png": image})]
    cells[5].outputs = [new_output("stream", name="stdout", text="x" * 300_000)]
    notebook.cells.append(new_code_cell("", execution_count=7))
    text = "\n".join(stored.faults(notebook))
    assert "cell 3 (`import math`) was never executed" in text
    assert "execution count 7 where a clean run gives 2" in text
    assert "wrote to stderr: UserWarning: old" in text
    assert "has a figure of 70 KB, the limit is 60 KB" in text
    assert "the limit is 300 KB" in text
    assert "cell 9 (`(empty)`) is empty" in text


def test_an_unknown_notebook_is_named_with_those_that_exist(tmp_path):
    path = write_small(tmp_path)
    assert stored.find(root=tmp_path) == [path]
    assert stored.find(["family/method"], root=tmp_path) == [path]
    assert stored.find(["family"], root=tmp_path) == [path]
    with pytest.raises(NotebookError, match="no notebook 'family/metod'; there are: family/method"):
        stored.find(["family/metod"], root=tmp_path)


def test_bench_measures_and_names_what_is_over_budget(tmp_path, capsys, monkeypatch):
    path = write_small(tmp_path)
    monkeypatch.setattr(bench, "find", lambda: [path])
    monkeypatch.setattr(bench, "images_per_second", lambda: 30.0)
    output = tmp_path / "cost.yml"
    bench.bench([path], output=output)
    assert "family/method" in capsys.readouterr().out
    entry = registry.costs(output)["family/method"]
    assert 0 < entry["seconds"] < 60
    assert entry["peak_memory_mb"] is None or 10 < entry["peak_memory_mb"] < 3000
    assert bench.over_budget(entry) == []
    assert bench.over_budget(entry | {"seconds": 61, "figure_kb": 61}) == [
        "seconds",
        "figure_kb",
    ]


DEFINING = """\
import math
from functools import lru_cache

SCALE = 2.0
result = 1 / 0


@lru_cache
def area(radius):
    return SCALE * math.pi * radius


class Square:
    side = 3


print("not run")"""


@pytest.fixture
def defining(tmp_path) -> Path:
    path = tmp_path / "shapes.ipynb"
    other = "def check():\n    return area(1.0) > Square.side"
    cells = [new_code_cell(DEFINING), new_code_cell(other)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_the_loader_takes_definitions_and_runs_nothing_else(defining, capsys):
    shapes = definitions(defining)
    assert shapes.check() is True
    assert not hasattr(shapes, "result")
    assert capsys.readouterr().out == ""


def test_the_loader_breaks_an_equation_on_request(defining):
    assert definitions(defining, replace={"SCALE * math.pi": "math.pi"}).check() is True
    assert definitions(defining, replace={"SCALE = 2.0": "SCALE = 0.5"}).check() is False


@pytest.mark.parametrize(
    ("old", "times"), [("result", "0 times"), ("area", "2 times"), ("volume", "0 times")]
)
def test_the_loader_refuses_a_piece_that_does_not_occur_once(defining, old, times):
    with pytest.raises(ValueError, match=f"'{old}' occurs {times} in the definitions of shapes"):
        definitions(defining, replace={old: "x"})


def test_the_loader_says_which_cell_it_cannot_execute(tmp_path):
    path = tmp_path / "broken.ipynb"
    cells = [new_code_cell("import math"), new_code_cell("SIZE = len(train)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    with pytest.raises(ValueError, match=r"cell 2: cannot execute 'SIZE = len\(train\)'.*train"):
        definitions(path)
    cells[0].source = "%matplotlib inline"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    with pytest.raises(ValueError, match="cell 1, line 1: not plain Python"):
        definitions(path)
