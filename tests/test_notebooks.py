"""Every notebook's stored state: executed, normalised, within its bands, as large as allowed.

Nothing is run here but one unknown parameter and one broken copy of the cheapest notebook; that
the outputs come out again is nbval's part.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import new_method
import pytest
import registry
import stored
import torch
import trust
from bands import WIDEST
from notebook_loader import Exercises
from stored import method_id

from helpers import report
from helpers.metrics import Difference

ROOT = Path(__file__).resolve().parents[1]
PATHS = stored.find()
LONGEST_CELL, FEWEST_CELLS, MOST_CELLS = 25, 25, 50
#: What tests/nbval.cfg hides: nothing else than a recorded number may look like this.
HIDDEN = re.compile(r"-?\d+\.\d+(?=  \[)")
pytestmark = pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning")


@pytest.fixture(params=PATHS, ids=method_id)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return stored.read(path)


def book_outputs(notebook) -> list[tuple[dict, str]]:
    """(record, printed text) of every output that holds a record."""
    return [
        (output.metadata["book"], output.data["text/plain"])
        for _, cell in stored.code_cells(notebook)
        for output in cell.outputs
        if "book" in output.get("metadata", {})
    ]


def rerun(notebook) -> report.Run:
    """A run with the notebook's own expectation, to print records once more."""
    expect = stored.expected(notebook)
    return report.Run(
        method=stored.pieces(notebook, "report")[0]["method"],
        settings=expect["settings"],
        bands=expect["bands"],
        device=torch.device("cpu"),
        started=0.0,
    )


def cheapest() -> Path:
    """The notebook whose stored run took least time."""
    return min(PATHS, key=lambda p: stored.pieces(stored.read(p), "report")[0]["seconds"])


def test_there_are_notebooks():
    assert PATHS


def test_every_cell_was_executed_in_order_and_nothing_went_wrong(notebook):
    assert stored.faults(notebook) == []


def test_it_is_stored_as_make_notebooks_stores_it(path, notebook):
    text = nbformat.writes(stored.normalise(notebook)).rstrip("\n") + "\n"
    assert path.read_text(encoding="utf-8") == text, "run `make notebooks`"


def test_it_has_the_common_parameters_and_passes_all_to_the_report(path, notebook):
    cell = stored.tagged(notebook, "parameters")
    assert not cell.source.startswith("# Parameters"), "papermill's own cell begins like that"
    names = list(stored.parameters(notebook))
    assert tuple(names[: len(stored.COMMON)]) == stored.COMMON
    record = stored.pieces(notebook, "report")[0]
    assert sorted(record["settings"]) == sorted(names)
    assert record["method"] == method_id(path)


def test_the_expectation_is_of_these_defaults(notebook):
    assert stored.expected(notebook)["settings"] == stored.parameters(notebook)
    record = stored.pieces(notebook, "report")[0]
    assert record["settings"] == json.loads(json.dumps(stored.parameters(notebook)))
    assert record["default"] is True


def test_every_number_with_a_band_lies_inside_and_every_band_has_its_number(notebook):
    bands = stored.expected(notebook)["bands"]
    values = {k: v for k, v in stored.measured(notebook).items() if v is not None}
    assert set(bands) == set(values), "run `make bands`"
    for name, (low, high) in bands.items():
        assert high - low <= 2 * WIDEST + 0.0021, f"the band of {name} is too wide"
        assert low <= values[name] <= high, f"{name} is outside its band"


def test_measures_and_claims_are_printed_as_they_are_recorded(notebook, capsys):
    run = rerun(notebook)
    for record, text in book_outputs(notebook):
        if record["kind"] == "measure":
            run.measure(record["name"], record["value"])
        elif record["kind"] == "claim":
            found = record["difference"]
            difference = None if found is None else Difference(**found)
            assert record["verdict"] == report.judge(difference, at_least=record["at_least"])
            run.claim(record["id"], difference, at_least=record["at_least"])
        else:
            continue
        assert text == capsys.readouterr().out.rstrip("\n")


def test_the_table_of_results_is_printed_as_it_is_recorded(notebook):
    run = rerun(notebook)
    for record, text in book_outputs(notebook):
        if record["kind"] != "report":
            continue
        values = {(key, report.LABELS[key]): value for key, value in record["metrics"].items()}
        others = {f"baseline {name}": value for name, value in record["baselines"].items()}
        if record["twin"] is not None:
            others[f"untrained twin, {record['twin']['name']}"] = record["twin"]["image_auroc"]
        values |= {(key, key): value for key, value in others.items()}
        lines = [run._line(key, label, value)[0] for (key, label), value in values.items()]
        printed = text.splitlines()
        assert set(lines) <= set(printed)
        assert {line for line in printed if HIDDEN.search(line)} <= set(lines)


def test_no_digits_are_hidden_from_the_comparison_but_recorded_ones(notebook):
    for index, cell in stored.code_cells(notebook):
        for output in cell.outputs:
            text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
            if HIDDEN.search(text):
                assert "book" in output.get("metadata", {}), (
                    f"{stored.where(index, cell)} prints a number like a measured one; "
                    "use run.measure"
                )


def test_every_figure_has_alternative_text_in_both_languages(notebook):
    for index, cell in stored.code_cells(notebook):
        if stored.figures(cell):
            for key in ("alt-ko", "alt-en"):
                text = cell.metadata.get(key, "")
                assert len(text) > 10, f"{stored.where(index, cell)} needs metadata {key}"
            assert cell.metadata["alt-ko"] != cell.metadata["alt-en"]


def test_cells_are_few_and_short(notebook):
    for index, cell in stored.code_cells(notebook):
        tags = cell.metadata.get("tags", [])
        if not {"parameters", "expect"} & set(tags):
            lines = len(cell.source.splitlines())
            assert lines <= LONGEST_CELL, f"{stored.where(index, cell)} has {lines} lines"
    seen = [c for c in notebook.cells if "lang-ko" not in c.metadata.get("tags", [])]
    assert FEWEST_CELLS <= len(seen) <= MOST_CELLS


def test_the_first_cell_names_the_paper_as_the_registry_has_it(path, notebook):
    known = registry.load(ROOT / "book/methods.yml", bibliography=ROOT / "book/references.bib")
    method = known.methods[method_id(path)]
    title = new_method.title_source(method, known.reference(method))
    assert notebook.cells[0].source.startswith(title)


def test_every_exercise_is_a_section_of_its_own_with_three_hints_and_a_solution(path, notebook):
    exercises = Exercises(path)
    assert 2 <= len(exercises.names) <= 3
    for language, hint, solution in (("ko", "힌트", "풀이"), ("en", "Hint", "Solution")):
        prompts = [
            cell.source
            for cell in notebook.cells
            if f"lang-{language}" in cell.metadata.get("tags", [])
            and cell.metadata.get("section", "").startswith("exercise-")
        ]
        assert len(prompts) == len(exercises.names), "sections exercise-1, exercise-2, ..."
        for prompt in prompts:
            folded = re.findall(r"<summary>(.+?)</summary>", prompt)
            assert folded == [f"{hint} {i}" for i in (1, 2, 3)] + [solution]
    longest = max(len(source.strip().splitlines()) for source in exercises.sources.values())
    assert longest >= 6, "one exercise at least asks for five lines or more"


def test_the_folded_solutions_are_right_and_the_stubs_are_untouched(path):
    exercises = Exercises(path)
    for name in exercises.names:
        stub = getattr(exercises.module, name)
        assert exercises.verdict(name, stub).endswith("not attempted yet")
        assert exercises.verdict(name, exercises.solution(name)).startswith("[x]")


def test_it_ends_with_three_things_to_take_away_in_both_languages(notebook):
    for cell, heading in zip(notebook.cells[-2:], ("정리", "To take away"), strict=True):
        ending = cell.source.split(f"\n\n**{heading}**\n\n")[1]
        assert re.fullmatch(r"(- .+\n?){3}", ending)


def test_nothing_is_left_to_write(path):
    method = method_id(path)
    pages = [ROOT / "book" / f"{method}.{language}.md" for language in ("ko", "en")]
    pages += [path.parents[2] / "book" / path.parent.name / f"index.{c}.md" for c in ("ko", "en")]
    for file in [path, *(page for page in pages if page.is_file())]:
        assert "TODO(author)" not in file.read_text(encoding="utf-8"), f"finish {file.name}"


@pytest.mark.runs
def test_an_unknown_parameter_stops_the_run(tmp_path):
    import papermill

    path = cheapest()
    short = tmp_path / path.name
    nbformat.write(stored.until_start(stored.read(path)), short)
    with pytest.raises(
        papermill.PapermillExecutionError, match=r"unknown parameter 'sead'.*'seed'"
    ):
        papermill.execute_notebook(
            str(short), str(tmp_path / "out.ipynb"), {"sead": 1}, progress_bar=False
        )


@pytest.mark.runs
def test_a_flipped_sign_turns_the_cheapest_notebook_red(tmp_path):
    path = cheapest()
    copy = tmp_path / "notebooks" / path.parent.name / path.name
    copy.parent.mkdir(parents=True)
    shutil.copy(path, copy)
    trust.flip_sign(tmp_path, copy)
    command = [sys.executable, "-m", "pytest", *trust.NBVAL, "-x", "-p", "no:cacheprovider"]
    command[command.index("tests/nbval.cfg")] = str(ROOT / "tests" / "nbval.cfg")
    done = subprocess.run(
        [*command, "-c", str(ROOT / "pyproject.toml"), str(copy)], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout[-3000:]
    assert "OUT OF BAND" in done.stdout
