"""Every notebook's stored state: executed, normalised, within its bands, as large as allowed.

Nothing is run here but one unknown parameter and one broken copy of the cheapest notebook; that
the outputs come out again is nbval's part. A draft has to be in order as well, but need not be
finished: its bands may be missing or old, and marks may stand where its author still writes.
"""

import json
import re
import shutil
import subprocess
import symtable
import sys
from pathlib import Path

import bands
import nbformat
import notebook_source
import numpy as np
import pytest
import records
import registry
import skeleton
import stored
import torch
import trust
from notebook_loader import Exercises
from stored import method_id

from helpers import report
from helpers.metrics import Difference

ROOT = Path(__file__).resolve().parents[1]
KNOWN = registry.load(ROOT / "book/methods.yml", bibliography=ROOT / "book/references.bib")
PATHS = stored.find()
FINISHED = [path for path in PATHS if KNOWN.methods[method_id(path)].written]
LONGEST_CELL, FEWEST_CELLS, MOST_CELLS = 20, 25, 90
#: What tests/nbval.cfg hides: nothing else than a recorded number may look like this.
HIDDEN = re.compile(r"-?\d+\.\d+(?=  \[)|95 % interval ")
pytestmark = pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning")


@pytest.fixture(params=PATHS, ids=method_id)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return stored.read(path)


@pytest.fixture(params=FINISHED, ids=method_id)
def finished(request) -> Path:
    """A notebook that is no draft."""
    return request.param


def lines(sources) -> int:
    """Lines of code that are not empty."""
    return sum(bool(line.strip()) for source in sources for line in source.splitlines())


def book_outputs(notebook) -> list[tuple[dict, str]]:
    """(record, printed text) of every output that holds a record."""
    return [
        (output.metadata["book"], output.data["text/plain"])
        for _, cell in stored.code_cells(notebook)
        for output in cell.outputs
        if "book" in output.get("metadata", {})
    ]


def rerun(path: Path, notebook) -> report.Run:
    """A run with the notebook's own expectation, to print records once more."""
    settings = stored.parameters(notebook)
    expected = stored.expectation(path)
    assert expected is not None, f"it has no bands file: run `make notebooks NB={method_id(path)}`"
    why = report._why_not(expected, stored.stamp(notebook), settings)
    return report.Run(
        method=method_id(path),
        settings=settings,
        bands=None if why else expected["bands"],
        seeds={} if why else expected["claims"],
        why=why,
        device=torch.device("cpu"),
        started=0.0,
    )


def as_measured(row: dict) -> float | np.ndarray | None:
    """What `run.table` was given for a row of its record."""
    if "of" not in row:
        return row["value"]
    return np.arange(row["of"]) < round((row["value"] or 0) * row["of"])


def cheapest() -> Path:
    """The notebook whose stored run took least time."""
    return min(FINISHED, key=lambda p: records.report(records.pieces(p))["seconds"])


def test_there_are_notebooks():
    assert PATHS


def test_every_cell_was_executed_in_order_and_nothing_went_wrong(notebook):
    assert stored.faults(notebook) == []


def test_it_is_stored_as_make_notebooks_stores_it(path, notebook):
    text = nbformat.writes(stored.normalise(notebook)).rstrip("\n") + "\n"
    assert path.read_text(encoding="utf-8") == text, "run `make notebooks`"


def test_it_has_the_common_parameters_and_reports_with_them(path, notebook):
    cell = stored.tagged(notebook, "parameters")
    assert not cell.source.startswith("# Parameters"), "papermill's own cell begins like that"
    settings = stored.parameters(notebook)
    names = list(settings)
    common = [name for name in stored.COMMON if name != "backbone" or "backbone" in names]
    assert names[: len(common)] == common, "first the common parameters, then the method's own"
    reports = [p for p in records.pieces(notebook) if p["kind"] == "report"]
    assert len(reports) == 1, f"{len(reports)} reports are stored: run `make notebooks`"
    (record,) = reports
    assert record["settings"] == json.loads(json.dumps(settings))
    assert record["method"] == method_id(path)


# --- what is expected -----------------------------------------------------------------------------


def test_stamp_code_and_bands_are_of_one_version(finished):
    notebook, expected = stored.read(finished), stored.expectation(finished)
    assert expected is not None, f"run `make bands NB={method_id(finished)}`"
    assert stored.stamp(notebook) == stored.version(notebook), "run `make notebooks`"
    assert expected["version"] == stored.version(notebook), "run `make notebooks`"


def test_the_expectation_is_of_these_defaults(finished):
    settings = json.loads(json.dumps(stored.parameters(stored.read(finished))))
    assert stored.expectation(finished)["settings"] == settings
    report = records.report(records.pieces(finished))
    assert report is not None, "no report with the defaults is stored: run `make notebooks`"


def test_the_bands_follow_from_the_values_of_five_seeds(finished):
    expected = stored.expectation(finished)
    seeds = expected["seeds"]
    assert len(seeds) >= 3 and seeds == list(bands.SEEDS)[: len(seeds)]
    rows = [*expected["values"].values(), *expected["claims"].values()]
    assert {len(row) for row in rows} == {len(seeds)}
    elsewhere = expected.get("elsewhere", {})
    assert expected["bands"] == bands.bands_of(expected["values"], expected["of"], elsewhere)


def test_every_number_lies_in_its_band_and_every_band_has_its_number(finished):
    pieces, expected = records.pieces(finished), stored.expectation(finished)
    values = {k: v for k, v in records.measured(pieces).items() if v is not None}
    assert set(expected["bands"]) == set(values), "run `make bands`"
    for name, (low, high) in expected["bands"].items():
        assert low <= values[name] <= high, f"{name} is outside its band"
    assert expected["of"] == records.of(pieces)


def test_every_claim_is_judged_as_some_seed_judged_it(finished):
    verdicts = records.verdicts(records.pieces(finished))
    claims = stored.expectation(finished)["claims"]
    assert set(verdicts) == set(claims), "run `make notebooks`"
    assert all(piece["verdict"] in claims[name] for name, piece in verdicts.items())


def test_no_bands_are_left_of_a_notebook_that_is_gone():
    files = set((ROOT / "helpers" / "bands").rglob("*.json"))
    assert files == {stored.bands_file(path) for path in PATHS if stored.expectation(path)}


# --- what is printed ------------------------------------------------------------------------------


def test_tables_and_claims_are_printed_as_they_are_recorded(path, notebook, capsys):
    run = rerun(path, notebook)
    for record, text in book_outputs(notebook):
        if record["kind"] == "table":
            run.table(record["title"], {row["name"]: as_measured(row) for row in record["rows"]})
        elif record["kind"] == "claim":
            found = record["difference"]
            difference = None if found is None else Difference(**found)
            assert record["verdict"] == report.judge(difference, record["above"])
            assert record["seeds"] == run.seeds.get(record["id"])
            run.claim(record["id"], difference, record["above"])
        else:
            continue
        assert text == capsys.readouterr().out.rstrip("\n")


def test_the_table_of_results_is_printed_as_it_is_recorded(path, notebook):
    run = rerun(path, notebook)
    for record, text in book_outputs(notebook):
        if record["kind"] != "report":
            continue
        values = records.measured([record])
        lines = [run._line(key, report._label(key), value)[0] for key, value in values.items()]
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
                    "use run.table"
                )


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_site_finds_nothing_wrong_with_it(path, notebook, language):
    page = json.loads(nbformat.writes(notebook))
    name = f"notebooks/{method_id(path)}"
    assert notebook_source.localize(page, name, language) == []


def test_every_figure_has_alternative_text_in_both_languages(notebook):
    for index, cell in stored.code_cells(notebook):
        if stored.figures(cell):
            for key in ("alt-ko", "alt-en"):
                text = cell.metadata.get(key, "")
                assert len(text) > 10, f"{stored.where(index, cell)} needs metadata {key}"
            assert cell.metadata["alt-ko"] != cell.metadata["alt-en"]


def test_no_cell_is_long(notebook):
    for index, cell in stored.code_cells(notebook):
        if "parameters" not in cell.metadata.get("tags", []):
            lines = len(cell.source.splitlines())
            assert lines <= LONGEST_CELL, f"{stored.where(index, cell)} has {lines} lines"


def test_cells_are_neither_many_nor_few(finished):
    cells = stored.read(finished).cells
    seen = [c for c in cells if "lang-ko" not in c.metadata.get("tags", [])]
    assert FEWEST_CELLS <= len(seen) <= MOST_CELLS


def test_the_classical_notebooks_are_the_gentlest(finished):
    """A small idea each: at most 350 lines without checks and exercises, a figure within 40."""
    if finished.parent.name == "classical":
        notebook = stored.read(finished)
        assert lines(stored.own_code(notebook)) <= 350
        cells = [cell for _, cell in stored.code_cells(notebook)]
        seen = next(i for i, cell in enumerate(cells, 1) if stored.figures(cell))
        assert lines(cell.source for cell in cells[:seen]) <= 40, "before the first figure"


def test_the_first_cell_names_the_paper_as_the_registry_has_it(path, notebook):
    method = KNOWN.methods[method_id(path)]
    title = skeleton.title_source(method, KNOWN.reference(method))
    assert notebook.cells[0].source.startswith(title)


def test_two_or_three_exercises_and_one_asks_for_five_lines(finished):
    exercises = Exercises(finished)
    assert 2 <= len(exercises.names) <= 3
    longest = max(len(source.strip().splitlines()) for source in exercises.sources.values())
    assert longest >= 6, "one exercise at least asks for five lines or more"


def test_every_exercise_is_a_section_of_its_own_with_three_hints_and_a_solution(path, notebook):
    exercises = Exercises(path)
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


def test_the_folded_solutions_are_right_and_the_stubs_are_untouched(path):
    exercises = Exercises(path)
    for name in exercises.names:
        stub = getattr(exercises.module, name)
        assert exercises.verdict(name, stub).endswith("not attempted yet")
        assert exercises.verdict(name, exercises.solution(name)).startswith("[x]")


def test_an_exercise_says_how_many_code_cells_to_run(notebook):
    said = {
        "ko": r"아래 코드 셀 (두|세|네) 개를",
        "en": r"un the (two|three|four) code cells below",
    }
    numbers = {"두": 2, "세": 3, "네": 4, "two": 2, "three": 3, "four": 4}
    for language, pattern in said.items():
        for index, cell in enumerate(notebook.cells):
            section = cell.metadata.get("section", "").startswith("exercise-")
            if section and f"lang-{language}" in cell.metadata.get("tags", []):
                code = [c.source for c in notebook.cells[index:] if c.cell_type == "code"]
                check = next(i for i, c in enumerate(code, 1) if "exercises.check(" in c)
                assert [numbers[word] for word in re.findall(pattern, cell.source)] == [check]


def test_running_a_check_cell_again_changes_nothing_for_other_cells(notebook):
    cells = [cell.source for _, cell in stored.code_cells(notebook)]
    checks = {i for i, cell in enumerate(cells) if "exercises.check(" in cell}
    uses = [names_of(cell) for cell in cells]
    for check in checks:
        for name in uses[check][0]:
            others = [i for i in range(len(cells)) if i not in checks and name in uses[i][0]]
            read = [i for i, (own, seen) in enumerate(uses) if name in seen and name not in own]
            assert not others or max(read, default=-1) < min(others), (
                f"{cells[check].splitlines()[0]}: {name} is another cell's; take another name"
            )


def names_of(source: str) -> tuple[set[str], set[str]]:
    """What a cell sets, and what it reads, functions included, of the notebook's names."""
    table = symtable.symtable(source, "cell", "exec")
    own = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_namespace()}
    seen = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    inner = list(table.get_children())
    while inner:
        part = inner.pop()
        seen |= {s.get_name() for s in part.get_symbols() if s.is_global() and s.is_referenced()}
        inner += part.get_children()
    return own, seen


def test_it_ends_with_three_things_to_take_away_in_both_languages(notebook):
    for cell, heading in zip(notebook.cells[-2:], ("정리", "To take away"), strict=True):
        ending = cell.source.split(f"\n\n**{heading}**\n\n")[1]
        assert re.fullmatch(r"(- .+\n?){3}", ending)


def test_nothing_is_left_to_write(finished):
    family, name = method_id(finished).split("/")
    pages = [
        ROOT / "book" / family / f"{page}.{c}.md" for page in (name, "index") for c in ("ko", "en")
    ]
    for file in [finished, ROOT / "tests" / "methods" / f"test_{name}.py", *pages]:
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            assert skeleton.MARK not in text, f"finish {file.relative_to(ROOT)}"


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
