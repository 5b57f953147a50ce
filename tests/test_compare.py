"""Comparison records: those of the book against its notebooks, and the tool that writes them.

A family without a record is nothing wrong; one with a record has all rows of its plan, made with
the notebooks' present code. Of all rows of all records the cheapest is run again.
"""

import json
from pathlib import Path

import compare
import comparisons
import pytest
import stored
from comparisons import ComparisonError
from forked import execute
from nbformat.v4 import new_code_cell, new_markdown_cell
from small import without_kernel, write_small
from stored import NotebookError, method_id

from helpers import data

ROOT = stored.ROOT
FAMILIES = comparisons.families(compare.plan_file())
RECORDED = [family for family in FAMILIES if compare.record_file(family).is_file()]
ROWS = [row for family in RECORDED for row in comparisons.record(compare.record_file(family))]
CHEAPEST = compare.cheapest()


# --- the book's own records -----------------------------------------------------------------------


def test_every_plan_is_of_a_family_and_can_be_read():
    assert FAMILIES
    for family in FAMILIES:
        for method, settings in compare.planned(family):
            path = ROOT / "notebooks" / f"{method}.ipynb"
            assert set(settings) <= set(stored.parameters(stored.read(path))), method


def test_every_record_is_planned():
    files = sorted(compare.record_file("").parent.glob("*.yml"))
    assert [file.stem for file in files] == sorted(RECORDED)


@pytest.mark.parametrize("family", RECORDED)
def test_every_row_of_the_plan_is_there_in_its_order_and_no_other(family):
    rows = comparisons.record(compare.record_file(family))
    wanted = [comparisons.key(*pair) for pair in compare.planned(family)]
    made = [comparisons.key(row["method"], row["settings"]) for row in rows]
    assert made == wanted, f"run make compare FAMILY={family}"


@pytest.mark.parametrize("method", sorted({row["method"] for row in ROWS}))
def test_the_rows_are_of_the_notebooks_present_code(method):
    version = compare.version_of(ROOT / "notebooks" / f"{method}.ipynb")
    old = [row["settings"] for row in ROWS if row["method"] == method and row["version"] != version]
    assert not old, (
        f"the code before the report changed: make compare FAMILY={method.split('/')[0]}"
    )


@pytest.mark.runs
@pytest.mark.skipif(CHEAPEST is None, reason="there is no comparison record yet")
def test_the_cheapest_row_comes_out_again(tmp_path):
    _, row = CHEAPEST
    path = ROOT / "notebooks" / f"{row['method']}.ipynb"
    copy = tmp_path / f"{row['method']}.ipynb"
    copy.parent.mkdir()
    stored.write(stored.until_report(stored.read(path)), copy)
    (record,) = execute(copy, row["settings"], cwd=tmp_path).records("report")
    assert record["fingerprint"] == row["fingerprint"]
    assert record["metrics"]["image_auroc"] == pytest.approx(
        row["metrics"]["image_auroc"], abs=compare.TOLERANCE
    )


# --- the tool, on small notebooks -----------------------------------------------------------------

#: Stands for `run.report`: a report that depends on the parameters.
REPORT = """\
class run:
    @staticmethod
    def report(value):
        piece = {"kind": "report", "dataset": f"{dataset}/x", "fingerprint": f"{dataset}{seed}"}
        piece |= {"counts": {"train": 20, "test": 12}, "missing": {}, "random_weights": None}
        piece |= {"settings": {"image_size": 250}, "threads": 2}
        piece |= {"metrics": {"image_auroc": value}, "intervals": {"image_auroc": [0.8, 1.0]}}
        show("result", piece | {"baselines": {}, "seconds": 1.23, "peak_memory_mb": 99.5})


run.report(0.9 + seed / 1000)"""
ONE, TWO = "family/one", "family/two"


def write_notebook(root: Path, method: str, report: str = REPORT, exercise: str = "1 / 0") -> Path:
    """A small notebook with an exercise before its report and an experiment behind it."""
    path = write_small(root, method)
    notebook = stored.read(path)
    notebook.cells[3].source += '\nsubset = "quick"'
    notebook.cells += [
        new_markdown_cell("## Exercise", metadata={"section": "exercise-1"}),
        new_code_cell(exercise),
        new_markdown_cell("## Result", metadata={"section": "result"}),
        new_code_cell(report),
        new_code_cell("1 / 0"),
    ]
    stored.write(notebook, path)
    return path


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    """Two notebooks of a family."""
    return [write_notebook(tmp_path, method) for method in (ONE, TWO)]


@pytest.fixture
def output(tmp_path) -> Path:
    return compare.record_file("family", tmp_path)


def plan(*settings: dict) -> list[tuple[str, dict]]:
    return [(method, each) for each in settings for method in (ONE, TWO)]


def test_the_medians_are_of_the_images_whose_label_is_known():
    maps = {"labels": "00011", "scores": "0.1 0.5 0.2 0.7 0.9"}
    medians = compare.median_scores({"maps": maps})
    assert medians == pytest.approx({"normal": 0.2, "anomalous": 0.8})
    assert compare.median_scores({"maps": maps | {"labels": "00000"}}) is None
    assert compare.median_scores({}) is None


def test_the_auroc_of_each_kind_is_that_of_its_images_among_the_normal_ones():
    settings = {"dataset": "elpv", "category": "logical", "root": None, "image_size": 128}
    _, test = data.load("elpv", "logical", image_size=128)
    scores = [{"good": 0.5, "missing_busbar": 0.4}.get(kind, 0.9) for kind in test.types]
    maps = {"scores": " ".join(map(str, scores)), "labels": "".join(map(str, test.labels))}
    report = {"settings": settings | {"subset": "quick", "seed": 0}, "maps": maps}
    expected = {"doubled_busbar": 1.0, "missing_busbar": 0.0, "swapped_half": 1.0}
    assert compare.auroc_by_kind(report) == expected
    assert compare.auroc_by_kind({"settings": settings}) is None


def test_the_name_of_a_column_is_no_parameter(tmp_path):
    file = tmp_path / "compare.yml"
    row = {"dataset": "elpv", "iterations": 70, "methods": [ONE]}
    row["column"] = {"ko": "10초", "en": "10 s"}
    file.write_text(json.dumps({"family": [row, {"dataset": "elpv"}]}), encoding="utf-8")
    settings = {"dataset": "elpv", "iterations": 70}
    assert comparisons.plan(file, "family", [ONE, TWO])[0] == (ONE, settings)
    assert comparisons.columns(file, "family", "en") == {comparisons.key(ONE, settings): "10 s"}


def forbidden(*_, **__):
    raise AssertionError("nothing should run")


def test_a_row_is_the_report_of_a_run_that_ends_with_it(paths, output, capsys):
    wanted = plan({"dataset": "textile"}, {"seed": 3})
    assert compare.make_record(paths, wanted, output, execute=without_kernel) == []
    rows = comparisons.record(output)
    assert [(row["method"], row["settings"]) for row in rows] == wanted
    assert [row["fingerprint"] for row in rows] == ["textile0", "textile0", "elpv3", "elpv3"]
    assert [row["metrics"]["image_auroc"] for row in rows] == [0.9, 0.9, 0.903, 0.903]
    assert {row["version"] for row in rows} == {compare.version_of(paths[0])}
    assert rows[0]["seconds"] == 1.2 and rows[0]["counts"] == {"train": 20, "test": 12}
    assert rows[0]["megapixels_per_second"] == pytest.approx(2 / 1.23 / 2, rel=1e-3)
    assert len(output.read_text(encoding="utf-8").splitlines()) == 2 + len(rows)
    assert "family: 4 of 4 rows run" in capsys.readouterr().out


def test_only_missing_and_changed_rows_run_and_the_file_stays_the_same(paths, output, capsys):
    wanted = plan({"seed": 1})
    compare.make_record(paths, wanted, output, execute=without_kernel)
    before = output.read_bytes()
    assert compare.make_record(paths, wanted, output, execute=forbidden) == []
    assert output.read_bytes() == before
    # An exercise or an experiment behind the report changes no row.
    write_notebook(paths[0].parents[2], ONE, exercise="print('another exercise')")
    assert compare.make_record(paths, wanted, output, execute=forbidden) == []
    write_notebook(paths[0].parents[2], ONE, REPORT.replace("0.9 +", "0.8 +"))
    compare.make_record(paths, [*wanted, (TWO, {"seed": 2})], output, execute=without_kernel)
    assert "family: 2 of 3 rows run" in capsys.readouterr().out
    values = [row["metrics"]["image_auroc"] for row in comparisons.record(output)]
    assert values == [0.801, 0.901, 0.902]


def test_rows_that_are_no_longer_planned_go(paths, output):
    compare.make_record(paths, plan({"seed": 1}, {"seed": 2}), output, execute=without_kernel)
    compare.make_record(paths, plan({"seed": 2}), output, execute=forbidden)
    assert [row["settings"] for row in comparisons.record(output)] == [{"seed": 2}] * 2


def test_a_row_that_fails_is_named_and_the_others_are_written(paths, output):
    write_notebook(paths[0].parents[2], ONE, "run.report(1)")

    def run_small(source, **options):
        if method_id(source) == ONE:
            raise NotebookError("cell 5 raised")
        return without_kernel(source, **options)

    problems = compare.make_record(paths, plan({"seed": 1}), output, execute=run_small)
    assert problems == ['family/one {"seed": 1}: cell 5 raised']
    assert [row["method"] for row in comparisons.record(output)] == [TWO]


def test_all_rows_run_on_demand_and_a_number_that_moved_is_an_error(paths, output):
    wanted = plan({"seed": 1})
    compare.make_record(paths, wanted, output, execute=without_kernel)
    again = {"everything": True, "execute": without_kernel}
    assert compare.make_record(paths, wanted, output, **again) == []
    rows = comparisons.record(output)
    rows[1]["metrics"]["image_auroc"] += 0.011
    compare.write_record(rows, output)
    problems = compare.make_record(paths, wanted, output, **again)
    assert problems == ['family/two {"seed": 1}: image_auroc = 0.901, recorded 0.912']
    rows[1]["fingerprint"] = "other"
    compare.write_record(rows, output)
    problems = compare.make_record(paths, wanted, output, **again)
    assert problems == ['family/two {"seed": 1}: data elpv1, recorded other']


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.95731, 0.9573), (0.960461, 0.96046), (1.0, 1.0), (0.00001, 0.0), (None, None)],
)
def test_numbers_have_four_digits_and_more_only_where_pages_would_show_another(value, shown):
    assert compare.rounded(value) == shown
    assert value is None or round(compare.rounded(value), 3) == round(value, 3)


def test_the_command_line_reads_plan_and_registry(paths, output, capfd):
    root = paths[0].parents[2]
    written = "status: written, listed: null, year: 1, difficulty: 1"
    draft = written.replace("written", "draft")
    lines = ["families: [{id: family, ko: 계열, en: Family}]", "surveys: []", "methods:"]
    lines += [f"  - {{id: {method}, name: M, {written}}}" for method in (ONE, TWO)]
    lines += [f"  - {{id: family/three, name: M, {draft}}}", "corrections: []"]
    (root / "book" / "methods.yml").parent.mkdir(exist_ok=True)
    (root / "book" / "methods.yml").write_text("\n".join(lines), encoding="utf-8")
    (root / "book" / "references.bib").write_text("", encoding="utf-8")
    compare.plan_file(root).write_text("family: [{seed: 1}, {seed: 2, methods: [family/two]}]")
    assert [method for method, _ in compare.planned("family", root)] == [ONE, TWO, TWO]
    assert compare.main(["--jobs", "2"], root=root, execute=without_kernel) == 0
    assert len(comparisons.record(output)) == 3
    assert compare.main(["famly"], root=root) == 1
    assert "error: no plan for 'famly'; there are: family" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("family: [{seed: 1}, {seed: 1}]", "row 2: family/one has these settings twice"),
        ("family: [{seed: 1, methods: [family/tow]}]", "family/tow is no written method"),
        ("family: [seed]", "row 1: must map parameters to values, found 'seed'"),
        ("- family", "must be a mapping, found list"),
        ("family: [", "is no YAML"),
    ],
)
def test_a_plan_that_cannot_be_is_named(tmp_path, text, message):
    path = tmp_path / "compare.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ComparisonError, match=message):
        comparisons.plan(path, "family", [ONE, TWO])


def test_a_file_that_is_no_record_says_how_to_make_one(tmp_path):
    path = tmp_path / "family.yml"
    assert comparisons.record(path) == []
    path.write_text("rows: 1", encoding="utf-8")
    with pytest.raises(ComparisonError, match="run make compare FAMILY=family"):
        comparisons.record(path)


def test_a_notebook_without_report_is_refused(tmp_path):
    path = write_small(tmp_path)
    with pytest.raises(NotebookError, match=r"no cell calls run\.report"):
        compare.version_of(path)
