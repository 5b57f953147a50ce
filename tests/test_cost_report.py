"""cost_report.py and the groups of conftest.py: whose test it is, and what sixty methods cost."""

import pytest
from conftest import group_of
from cost_report import CostReport, method_of, sentence

METHODS = {"memory_bank/padim", "memory_bank/spade"}


@pytest.mark.parametrize(
    "test",
    [
        "notebooks/memory_bank/padim.ipynb::Cell 3",
        "tests/methods/test_padim.py::TestExercises::test_these_are_the_exercises",
        "tests/methods/test_padim.py::test_every_position[5]",
        "tests/test_notebooks.py::test_cells_are_few_and_short[memory_bank/padim]",
        "tests/test_reviews.py::test_a_review_has_the_ten_parts_in_order[memory_bank/padim.ko]",
        "tests/test_language_parity.py::TestPage::test_labels[ko-book/memory_bank/padim]",
        "tests/test_language_parity.py::TestNotebook::test_x[notebooks/memory_bank/padim.ipynb]",
    ],
)
def test_a_test_of_a_method_is_known_by_its_notebook_its_file_or_its_parameter(test):
    assert method_of(test, METHODS) == "memory_bank/padim"


@pytest.mark.parametrize(
    "test",
    [
        "tests/test_metrics.py::test_the_area_is_exact[8-all]",
        "tests/test_url.py::test_refused[https://github.com/a]",
        "tests/test_new_method.py::test_refused[memory_bank/padm-Planned are: .*memory_bank/padim]",
        "tests/methods/test_unknown.py::test_x",
    ],
)
def test_any_other_test_belongs_to_none(test):
    assert method_of(test, METHODS) is None


def test_a_notebooks_cells_a_file_and_a_methods_runs_are_groups():
    cells = [f"notebooks/memory_bank/padim.ipynb::Cell {i}" for i in (0, 1)]
    assert {group_of(test) for test in cells} == {"notebooks/memory_bank/padim.ipynb"}
    runs = [f"tests/test_own_data.py::test_{x}[memory_bank/padim]" for x in "ab"]
    assert {group_of(test) for test in runs} == {"own data memory_bank/padim"}
    assert group_of("tests/test_plot.py::TestX::test_y[1]") == "tests/test_plot.py"


def test_the_site_is_built_and_read_on_one_worker_and_the_sample_book_on_any():
    site = (
        "tests/test_site_browser.py::test_x",
        "tests/test_site_build.py::TestTheBuiltBook::test_y",
    )
    assert {group_of(test) for test in site} == {"site"}
    assert group_of("tests/test_site_build.py::TestTheMachinery::test_z") != "site"


def test_seconds_of_all_workers_become_wall_seconds_and_a_projection():
    assert sentence(wall=766.0, growing=520.0, methods=10) == (
        "cost: fixed 4.1 min + 52 s a method (10 methods) -> 60 methods: 56 min"
    )


class Report:
    def __init__(self, nodeid, duration):
        self.nodeid, self.duration = nodeid, duration


def test_what_belongs_to_a_method_and_to_the_site_grows_and_only_a_full_run_is_told(capsys):
    costs = CostReport(METHODS, workers=2)
    for nodeid, duration in (
        ("notebooks/memory_bank/padim.ipynb::Cell 3", 10.0),
        ("tests/test_site_browser.py::test_x", 4.0),
        ("tests/test_metrics.py::test_y", 2.0),
    ):
        costs.pytest_runtest_logreport(Report(nodeid, duration))
    assert costs.growing == 14.0

    class Terminal:
        write_line = staticmethod(print)

    costs.pytest_terminal_summary(Terminal())
    assert capsys.readouterr().out == ""  # one method was not tested
    costs.pytest_runtest_logreport(Report("tests/methods/test_spade.py::test_x", 6.0))
    costs.pytest_terminal_summary(Terminal())
    assert " + 5 s a method (2 methods) -> 60 methods: " in capsys.readouterr().out
