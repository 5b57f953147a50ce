"""The tools for notebooks and notebook_loader.py: what they store, refuse, measure and load."""

import base64
import textwrap
from pathlib import Path

import bands
import bench
import nbformat
import pytest
import records
import registry
import run
import stored
from nbformat.v4 import new_code_cell, new_notebook, new_output
from notebook_loader import definitions
from small import START, small_notebook, without_kernel, write_small
from stored import NotebookError

# --- run.py ---------------------------------------------------------------------------------------


def test_run_stores_outputs_without_a_trace_of_the_machine_and_twice_the_same(tmp_path):
    path = write_small(tmp_path, extra="print('one')\nprint('two', flush=True)\nprint('three')")
    ids = [cell.id for cell in stored.read(path).cells]
    run.store(path)
    notebook, before = stored.read(path), path.read_bytes()
    assert notebook.metadata == stored.METADATA
    assert [cell.id for cell in notebook.cells] == ids
    assert [c.execution_count for _, c in stored.code_cells(notebook)] == [1, 2, 3, 4, 5]
    assert [dict(c.metadata) for c in notebook.cells][:3] == [
        {"section": "small", "tags": ["lang-ko"]},
        {"section": "small", "tags": ["lang-en"]},
        {},
    ]
    assert [o.text for o in notebook.cells[-1].outputs] == ["one\ntwo\nthree\n"]
    assert records.measured(records.pieces(notebook)) == {"share": 0.9, "claim better": 0.25}
    run.store(path)
    assert path.read_bytes() == before


def test_a_cell_that_raises_stores_nothing_and_is_named(tmp_path):
    path = write_small(tmp_path, extra="1 / 0")
    before = path.read_bytes()
    with pytest.raises(NotebookError, match=r"family/method: cell .* raised ZeroDivisionError"):
        run.store(path)
    assert path.read_bytes() == before


def test_what_must_not_be_stored_is_refused_and_kept_to_look_at(tmp_path):
    path = write_small(tmp_path, extra="import sys\nprint('careful', file=sys.stderr)")
    before = path.read_bytes()
    with pytest.raises(NotebookError, match=r"not stored[\s\S]*wrote to stderr: careful") as raised:
        run.store(path, execute=without_kernel)
    assert path.read_bytes() == before
    refused = tmp_path / "_build" / "refused" / "family" / "method.ipynb"
    assert str(refused) in str(raised.value) and refused.is_file()


def test_an_unknown_parameter_is_an_error(tmp_path):
    path = write_small(tmp_path)
    with pytest.raises(NotebookError, match="no parameter speed"):
        run.execute(path, settings={"speed": 1})


def test_a_notebook_without_bands_is_stored_and_told_so(tmp_path, capsys):
    path = write_small(tmp_path)
    run.store(path, execute=without_kernel)
    assert "no bands yet: make bands NB=family/method" in capsys.readouterr().out
    assert stored.stamp(stored.read(path)) == ""
    # Its file names the parameters all the same: where no history is kept nothing else does.
    expected = stored.expectation(path)
    assert expected["bands"] == {}
    assert list(expected["settings"]) == list(stored.parameters(stored.read(path)))


@pytest.fixture
def banded(tmp_path) -> Path:
    """A small notebook with bands."""
    path = write_small(tmp_path)
    bands.make_bands(path, execute=without_kernel)
    return path


def change(path: Path, old: str, new: str) -> None:
    """Change the code of a notebook as its author would."""
    notebook = stored.read(path)
    for _, cell in stored.code_cells(notebook):
        cell.source = cell.source.replace(old, new)
    stored.write(notebook, path)


def test_other_code_with_the_same_numbers_gets_a_new_stamp_in_both_files(banded):
    before = stored.expectation(banded)
    change(banded, "import json", "import json\n\nunused = 1")
    notebook = stored.read(banded)
    assert stored.stamp(notebook) == before["version"] != stored.version(notebook)
    run.store(banded, execute=without_kernel)
    after = stored.read(banded)
    assert stored.stamp(after) == stored.version(after) == stored.version(notebook)
    assert stored.expectation(banded) == before | {"version": stored.version(notebook)}
    assert "in band" in after.cells[-2].outputs[0].data["text/plain"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.9 + seed / 1000", "0.8", r"share = 0\.8000 is outside \[0\.898, 0\.906\]"),
        ('{"share"', '{"part"', "part has no band; share was not measured"),
        ('"reproduced"', '"undecided"', "claim better: undecided, expected reproduced"),
        ('"better"', '"worse"', "claim better: missing, expected reproduced"),
    ],
)
def test_what_left_its_band_or_verdict_is_stored_named_and_not_stamped(banded, old, new, said):
    expected = stored.bands_file(banded).read_bytes()
    change(banded, old, new)
    with pytest.raises(NotebookError, match=said):
        run.store(banded, execute=without_kernel)
    notebook = stored.read(banded)
    assert new.strip("{") in notebook.cells[-2].source
    assert stored.stamp(notebook) != stored.version(notebook)
    assert stored.bands_file(banded).read_bytes() == expected


def test_several_notebooks_are_worked_on_and_one_that_fails_does_not_stop_the_others(
    tmp_path, capfd
):
    paths = [write_small(tmp_path, f"family/{name}") for name in ("one", "two")]
    change(paths[0], START, "")
    names = [str(path) for path in paths]
    assert run.each(touch, "", [*names, "--jobs", "2"]) == 1
    said = capfd.readouterr()
    assert "family/two: done in 0 s" in said.out and "family/one: done" not in said.out
    assert "error: one cell must call report.start" in said.err
    assert run.each(touch, "", names[1:]) == 0
    assert run.each(touch, "", ["nothing"]) == 1


def touch(path: Path) -> None:
    """Work that only needs a stamp."""
    stored.stamp(stored.read(path))


# --- the stamp ------------------------------------------------------------------------------------


def test_the_version_is_that_of_the_code_without_set_up_stamp_and_prose():
    notebook = small_notebook()
    version = stored.version(notebook)
    stored.set_stamp(notebook, "0123abcd")
    assert stored.stamp(notebook) == "0123abcd"
    notebook.cells[0].source = "# 다른 제목"
    notebook.cells[2].source = "import os"
    assert stored.version(notebook) == version
    notebook.cells[-1].source += "\nmore = 1"
    assert stored.version(notebook) != version


def test_what_only_checks_changes_no_version_and_what_computes_does():
    code = """
        {imports}
        def distance(a, b):
            return abs(a - b){computes}

        def check_distance():
            assert distance(1, 3) == 2{checks}

        check_distance()  # {remark}
    """
    exercise = ["def stub(x):\n    {stub}", "exercises.check('1', stub)  # {remark}\ncase = 1"]

    def version(**parts):
        parts = dict.fromkeys(("imports", "computes", "checks", "remark", "stub"), "") | parts
        cells = [textwrap.dedent(code.format(**parts)), *(c.format(**parts) for c in exercise)]
        return stored.version(new_notebook(cells=[new_code_cell(c) for c in ("", START, *cells)]))

    plain = version(stub="...")
    assert plain == version(
        imports="import scipy", checks=" and distance(2, 2) == 0", remark="why", stub="return x"
    )
    assert plain != version(computes=" + 1", stub="...")


def test_a_call_over_several_lines_has_a_stamp_too():
    notebook = new_notebook(cells=[new_code_cell(), new_code_cell()])
    notebook.cells[1].source = 'run = report.start(\n    "family/method",\n    version="",\n)'
    version = stored.version(notebook)
    stored.set_stamp(notebook, version)
    assert notebook.cells[1].source.endswith(f'version="{version}",\n)')
    assert stored.version(notebook) == version


def test_a_notebook_that_does_not_start_a_run_once_is_refused():
    notebook = new_notebook(cells=[new_code_cell(START), new_code_cell(START)])
    with pytest.raises(NotebookError, match=r"must call report\.start.* found 2 that do"):
        stored.stamp(notebook)


# --- bands.py -------------------------------------------------------------------------------------


def test_bands_come_from_five_seeds_and_the_stored_number_lies_inside(tmp_path):
    verdict = '"reproduced" if seed < 4 else "undecided"'
    path = write_small(tmp_path, measured="0.9 + seed / 3000", verdict=verdict, of="50")
    bands.make_bands(path, execute=without_kernel)
    notebook = stored.read(path)
    assert stored.expectation(path) == {
        "version": stored.version(notebook),
        "settings": {"dataset": "elpv", "strides": [8, 16], "seed": 0},
        "seeds": [0, 1, 2, 3, 4],
        "values": {
            "share": [0.9, 0.900333, 0.900667, 0.901, 0.901333],  # six significant digits
            "claim better": [0.25] * 5,
        },
        "of": {"share": 50},
        "bands": {"share": [0.88, 0.921], "claim better": [0.248, 0.252]},
        "claims": {"better": ["reproduced"] * 4 + ["undecided"]},
    }
    assert stored.stamp(notebook) == stored.version(notebook)
    assert "0.900  [0.880, 0.921]  in band" in notebook.cells[-2].outputs[0].data["text/plain"]
    text = stored.bands_file(path).read_text(encoding="utf-8")
    assert '    "share": [0.9, 0.900333, 0.900667, 0.901, 0.901333],\n' in text


def test_a_number_that_moves_too_much_gets_the_band_of_the_default_seed_and_a_remark(
    tmp_path, capsys
):
    path = write_small(tmp_path, measured="0.5 + seed / 50")
    bands.make_bands(path, execute=without_kernel)
    assert stored.expectation(path)["bands"]["share"] == [0.47, 0.53]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "  share" in line]
    assert line.endswith("[0.470, 0.530]  moves by more than a band holds: better steady it")


def test_another_processors_number_widens_its_band_alone(tmp_path):
    path = write_small(tmp_path, measured="0.9 + seed / 3000", of="50")
    bands.make_bands(path, execute=without_kernel)
    before, notebook = stored.expectation(path), path.read_bytes()
    bands.note_elsewhere(path, execute=without_kernel)
    assert stored.expectation(path) == before, "all in band: nothing to note"

    def there(source, *, settings, cwd):
        return without_kernel(source, settings=settings | {"seed": 300}, cwd=cwd)

    bands.note_elsewhere(path, execute=there)
    widened = before["bands"] | {"share": [0.88, 1.002]}
    assert stored.expectation(path) == before | {"elsewhere": {"share": [1.0]}, "bands": widened}
    assert path.read_bytes() == notebook


def test_another_processors_verdict_is_no_matter_of_bands(tmp_path):
    path = write_small(tmp_path, verdict='"reproduced" if seed < 5 else "undecided"')
    bands.make_bands(path, execute=without_kernel)

    def there(source, *, settings, cwd):
        return without_kernel(source, settings=settings | {"seed": 9}, cwd=cwd)

    with pytest.raises(NotebookError, match="better is undecided here, and with no seed elsewhere"):
        bands.note_elsewhere(path, execute=there)


def test_a_number_that_some_seeds_do_not_have_writes_no_bands(tmp_path):
    path = write_small(tmp_path, measured="0.9}, of=None) if seed else table('none', {'x': 0.1")
    with pytest.raises(NotebookError, match=r"no bands written: 'x' has no value for some seeds"):
        bands.make_bands(path, execute=without_kernel)
    assert not stored.bands_file(path).exists()


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
    assert bands.band("share", [0.5] * 5, 1 / 8) == (0.375, 0.625)  # as `run.table` prints it
    assert bands.bands_of({"share": [0.76] * 5}, {"share": 100}) == {"share": [0.75, 0.77]}
    assert bands.bands_of({"share": [None] * 5}, {}) == {}


def test_a_number_that_some_seeds_do_not_have_gets_no_band():
    with pytest.raises(NotebookError, match=r"'share' has no value for some seeds: 0\.5000, none"):
        bands.band("share", [0.5, None, 0.5, 0.5, 0.5])


# --- stored.py ------------------------------------------------------------------------------------


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
    cells[4].outputs = [new_output("stream", name="stdout", text="x" * 400_000)]
    notebook.cells.append(new_code_cell("", execution_count=6))
    text = "\n".join(stored.faults(notebook))
    assert "cell 3 (`import math`) was never executed" in text
    assert "execution count 7 where a clean run gives 2" in text
    assert "wrote to stderr: UserWarning: old" in text
    assert "the limit is 400 KB" in text
    assert "cell 8 (`(empty)`) is empty" in text


def test_score_maps_for_the_page_have_a_budget_of_their_own():
    notebook = small_notebook()
    for count, (_, cell) in enumerate(stored.code_cells(notebook), 1):
        cell.execution_count = count
    printed = {"text/plain": "y" * 380_000}
    for size, faults in (
        (55_000, []),
        (110_000, ["the stored score maps have 110 KB, the limit is 60 KB"]),
    ):
        record = {"kind": "report", "maps": {"levels": "x" * size}}
        output = new_output("display_data", data=printed, metadata={"book": record})
        notebook.cells[-1].outputs = [output]
        assert stored.score_maps(notebook) == pytest.approx(size / 1000, abs=0.1)
        assert stored.faults(notebook) == faults


@pytest.mark.parametrize(
    ("figures", "refused"),
    [
        ([("png", 60), ("jpeg", 60), ("jpeg", 60)], 0),
        ([("png", 61)], 1),
        ([("jpeg", 120), ("jpeg", 110), ("png", 30)], 0),
        ([("jpeg", 121)], 1),
        ([("jpeg", 61), ("jpeg", 61), ("jpeg", 61)], 1),
    ],
)
def test_two_photographs_may_be_larger_than_other_figures(figures, refused):
    notebook = small_notebook()
    for kind, kilobytes in figures:
        image = base64.b64encode(bytes(1000 * kilobytes)).decode()
        notebook.cells[-1].outputs += [new_output("display_data", data={f"image/{kind}": image})]
    found = [line for line in stored.too_large(notebook) if "figure of" in line]
    assert len(found) == refused
    assert all("60 KB, and 120 KB for 2 photographs" in line for line in found)


def test_an_unknown_notebook_is_named_with_those_that_exist(tmp_path):
    path = write_small(tmp_path)
    assert stored.find(root=tmp_path) == [path]
    assert stored.find(["family/method"], root=tmp_path) == [path]
    assert stored.find(["family"], root=tmp_path) == [path]
    with pytest.raises(NotebookError, match="no notebook 'family/metod'; there are: family/method"):
        stored.find(["family/metod"], root=tmp_path)


# --- bench.py -------------------------------------------------------------------------------------


def test_bench_measures_on_one_thread_and_prints_mean_and_sum(tmp_path, capsys, monkeypatch):
    one_thread = "import os\nassert os.environ['BOOK_THREADS'] == '1'"
    monkeypatch.setenv("BOOK_THREADS", "2")
    path = write_small(tmp_path, extra=one_thread)
    monkeypatch.setattr(bench, "find", lambda: [path])
    monkeypatch.setattr(bench, "images_per_second", lambda: 30.0)
    output = tmp_path / "cost.yml"
    bench.bench([path], output=output)
    said = capsys.readouterr().out
    entry = registry.costs(output)["family/method"]
    assert f"1 notebooks: mean {entry['seconds']:.1f} s, all together" in said
    assert "family/method" in said
    assert 0 < entry["seconds"] < 60 and entry["threads"] == 1
    assert entry["seconds"] == pytest.approx(0.3 * entry["processor_seconds"], abs=0.06)
    assert entry["peak_memory_mb"] is None or 10 < entry["peak_memory_mb"] < 3000


COST = {"seconds": 60.0, "processor_seconds": 90.0, "peak_memory_mb": 3072} | {
    "file_kb": 400,
    "figure_kb": 60,
}


def test_what_is_over_budget_is_named(monkeypatch):
    assert bench.over_budget("family/method", COST) == []
    heavy = {"seconds": 60.1, "peak_memory_mb": 3073, "file_kb": 401}
    assert bench.over_budget("family/method", COST | heavy) == list(heavy)
    monkeypatch.setattr(bench, "LONG", {"family/method": "two networks are trained"})
    assert bench.over_budget("family/method", COST | {"seconds": 90.0}) == []
    assert bench.over_budget("family/method", COST | {"seconds": 90.1}) == ["seconds"]


def test_a_mean_over_the_budget_fails_after_writing(tmp_path, monkeypatch):
    paths = [write_small(tmp_path, f"family/{name}") for name in ("one", "two")]
    monkeypatch.setattr(bench, "find", lambda: paths)
    monkeypatch.setattr(bench, "images_per_second", lambda: 30.0)
    seconds = iter([30.0, 50.2])
    monkeypatch.setattr(bench, "cost", lambda path: COST | {"seconds": next(seconds)})
    output = tmp_path / "cost.yml"
    with pytest.raises(NotebookError, match=r"budget: the mean \(40\.1 s, the limit is 40 s\)"):
        bench.bench(paths, output=output)
    assert registry.costs(output)["family/two"]["seconds"] == 50.2


def test_every_exception_says_why():
    known = {stored.method_id(path) for path in stored.find()}
    assert set(bench.LONG) <= known
    assert all(len(reason) > 10 for reason in bench.LONG.values())


# --- notebook_loader.py ---------------------------------------------------------------------------


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
