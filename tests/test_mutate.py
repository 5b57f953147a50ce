"""tests/mutate.py: what is altered, what is let be, and what counts as a survivor."""

import os
import signal
import time
from pathlib import Path

import mutate
import nbformat
import pytest
from mutate import Mutant, mutants, passing, unexpected
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_loader import Exercises


def descriptions(source: str) -> list[str]:
    return [mutant.description for mutant in mutants(source)]


def changed(source: str) -> set[str]:
    """The altered sources of one line, without what all of them have."""
    return {mutant.source for mutant in mutants(source)}


@pytest.mark.parametrize(
    ("source", "altered"),
    [
        ("a - b", {"a + b", "a"}),
        ("a @ b", {"a", "b"}),
        ("a / b", {"a * b", "a"}),
        ("a ** b", {"a * b", "a"}),
        ("-a", {"a"}),
        ("not a", {"a"}),
        ("a < b", {"a >= b", "a <= b"}),
        ("a is None", {"a is not None"}),
        ("a and b", {"a or b", "a", "b"}),
        ("x + 3", {"x - 3", "x", "3", "x + 4", "x + 2"}),
        ("f(axis=1)", {"f()", "f(axis=2)", "f(axis=0)"}),
        ("f(True)", {"True", "f(False)"}),
        ("f(x, 0.5)", {"x", *(f"f(x, {v})" for v in ("1.5", "-0.5", "0.0", "1.0"))}),
        ("np.exp(x)", {"x", "np.log(x)", "np.exp(-x)"}),
        (
            "x.mean(axis=a)",
            {"x", "x.mean()", *(f"x.{n}(axis=a)" for n in ("sum", "median", "max"))},
        ),
        ("min(a, b)", {"a", "max(a, b)"}),
        ("x.cpu()", set()),
        ("draw(generator=g)", set()),
        ("zip(a, b, strict=True)", {"a"}),
        ("x[:k]", {"x[:]", "x[:k + 1]", "x[k:]"}),
        ("x[1:]", {"x[:]", "x[:1]", "x[2:]", "x[0:]"}),
        ("x[::s]", {"x[:]"}),
        ("x[a, b]", {"x[b, a]"}),
        ("resize(x, mode='bilinear')", {"x", "resize(x)", "resize(x, mode='nearest')"}),
        ("f(a) if c else b", {"f(a) if not c else b", "a if c else b"}),
    ],
)
def test_expressions(source, altered):
    found = changed(f"y = {source}")
    assert found - {"pass"} == {f"y = {text}" for text in altered}


@pytest.mark.parametrize(
    ("body", "altered"),
    [
        ("return a, b", {"return (b, a)", "return (-a, b)", "return (a, -b)"}),
        ("return a", {"return -a"}),
        ("a += b", {"a -= b", "pass"}),
        ("if a:\n    b()", {"if not a:\n    b()", "if a:\n    pass", "pass"}),
        ("while a:\n    break", {"while not a:\n    break", "while a:\n    pass"}),
        (
            "for a in b:\n    c = a",
            {
                "for a in list(b)[:1]:\n    c = a",
                "for a in list(b)[1:]:\n    c = a",
                "for a in b:\n    pass",
                "pass",
            },
        ),
    ],
)
def test_statements(body, altered):
    def function(text):
        return "def f():\n" + "\n".join(f"    {line}" for line in text.splitlines())

    assert changed(function(body)) == {function(text) for text in altered}


def test_a_parameter_may_be_ignored_unless_it_only_steers():
    found = descriptions("def f(alpha, seed):\n    return alpha")
    assert [text for text in found if text.startswith("parameter")] == [
        "parameter of f ignored: alpha = 1",
        "parameter of f ignored: alpha = 2",
    ]


LET_BE = '''
import os

def f(x: int = 3) -> int:
    """Add 1 to 2."""
    if x < 0:
        raise ValueError(f"found {x + 1}")
    assert x > 1, "too small"
'''


def test_docstrings_defaults_guards_and_assertions_stay():
    assert all("ignored" in text for text in descriptions(LET_BE))


SOURCE = """
def f(x):
    half = len(x) // 2
    y = x[:half].sum(axis=0)
    if y > 0.5 and half:
        y = y + 1
        y = y + 1
    return np.tanh(y), half
"""


def test_every_mutant_compiles_differs_and_has_a_name_of_its_own():
    found = mutants(SOURCE)
    assert found == mutants(SOURCE)
    assert len({m.description for m in found}) == len({m.source for m in found}) == len(found) > 40
    for mutant in found:
        compile(mutant.source, "mutant", "exec")
        assert 2 <= mutant.line <= 8


def test_means_of_values_become_medians_one_at_a_time():
    source = "def f(x):\n    a = x.mean(axis=0) + np.mean(x)\n    return (a**2).mean() - a.sum(1)\n"
    found = mutate.medians(source)
    assert [m.description for m in found] == [
        "a = {x.mean(axis=0) → np.median(x, axis=0)} + np.mean(x)",
        "return {(a ** 2).mean() → np.median(a ** 2)} - a.sum(1)",
    ]
    assert [m.line for m in found] == [2, 3]
    assert "np.median(x, axis=0)" in found[0].source and ".mean()" in found[0].source


def test_a_name_shows_the_statement_and_what_has_changed_in_whole_words():
    found = descriptions(SOURCE)
    assert "half = len(x) // {2 → 3}" in found
    assert "return ({np.tanh(y) → y}, half)" in found
    assert "if {y > 0.5 and half → y > 0.5 or half}:" in found or (
        "if y > 0.5 {and → or} half:" in found
    )
    assert {"y = y + {1 → 2}", "y = y + {1 → 2} (2)", "dropped: half = len(x) // 2"} <= set(found)


def test_a_name_does_not_depend_on_what_stands_around_the_statement():
    moved = "def f(x):\n    z = 1\n    half = len(x) // 2\n"
    assert "half = len(x) // {2 → 3}" in descriptions(moved)


# --- running ------------------------------------------------------------------------------------


def forever() -> bool:
    while True:
        pass


def dies() -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True


def test_a_try_that_raises_hangs_or_dies_has_not_passed_and_the_others_go_on():
    def exits():
        raise SystemExit

    tries = [lambda: True, forever, lambda: False, dies, exits, lambda: 1 / 0, lambda: True]
    started = time.monotonic()
    assert passing(tries, seconds=0.1) == [True, False, False, False, False, False, True]
    assert time.monotonic() - started < 10


def test_no_tries_pass_nothing():
    assert passing([], seconds=1) == []


STUB = "def double(x):\n    ..."
PROMPT = "```python\ndef double(x):\n    return x + x\n```"
CHECK = "exercises.check('1 double', double, exercises.agrees((%s,), %s))"
DEFINED = """import numpy as np
from helpers import exercises

class Line:
    def __init__(self, slope):
        self.slope = slope

    def at(self, x):
        return self.slope * x

    def steeper(self):
        return Line(self.slope + 1)

def small_line():
    return Line(2.5)

def unused(x):
    return x + 1

def total(values):
    return float(np.sum(values, axis=0))

def check_total():
    assert total([1, 2]) == 3
    print("total holds")

def check_fidelity(seed=0):
    check_total()
    assert small_line().at(4.0) == 10
"""


@pytest.fixture
def notebook(tmp_path) -> Path:
    path = tmp_path / "small.ipynb"
    write(path, CHECK % (3.0, 6.0))
    return path


def write(path: Path, check: str) -> None:
    cells = [
        new_code_cell(DEFINED),
        new_code_cell("x = unused(Line(1).steeper().at(total([1])))"),
        new_code_cell("check_total()"),
        new_code_cell("check_fidelity()"),
        new_markdown_cell(PROMPT, metadata={"tags": ["lang-en"]}),
        new_code_cell(STUB),
        new_code_cell(check),
    ]
    nbformat.write(new_notebook(cells=cells), path)


def test_survivors_of_an_exercise_are_what_its_check_calls_correct(notebook):
    assert mutate.survivors(Exercises(notebook), "double") == []
    write(notebook, CHECK % (0.0, 0.0))
    found = {mutant.description for mutant in mutate.survivors(Exercises(notebook), "double")}
    assert {"return x {+ → -} x", "return {x + x → x}"} <= found


def test_survivors_of_definitions_are_what_the_notebooks_own_checks_let_pass(notebook):
    found = mutate.definition_survivors(notebook)
    said = {name: [mutant.description for mutant in listed] for name, listed in found.items()}
    assert said == {
        "Line": ["Line.steeper is run by no check"],
        "unused": ["unused is run by no check"],
        "total": [
            "return {float(np.sum(values, axis=0)) → np.sum(values, axis=0)}",
            "return float(np.sum({values, axis=0 → values}))",
            "return float(np.sum(values, {axis=0 → axis=-1}))",
        ],
    }  # neither the checks, nor small_line that only they use, nor the stub


def test_checks_that_fail_on_the_notebook_as_it_is_are_an_error(notebook):
    read = nbformat.read(notebook, as_version=4)
    read.cells[0].source = DEFINED.replace("== 3", "== 4")
    nbformat.write(read, notebook)
    with pytest.raises(AssertionError):
        mutate.definition_survivors(notebook)


# --- what is listed -----------------------------------------------------------------------------


def test_the_list_is_read_from_the_methods_test_file(tmp_path):
    path = tmp_path / "otsu.ipynb"
    assert mutate.equivalent(path, tests=tmp_path) == {}
    file = tmp_path / "methods" / "test_otsu.py"
    file.parent.mkdir()
    file.write_text('import torch\n\nEQUIVALENT = {"f": {"a {+ → -} b": "b is 0"}}\n')
    assert mutate.equivalent(path, tests=tmp_path) == {"f": {"a {+ → -} b": "b is 0"}}
    assert mutate.equivalent(path, "EQUIVALENT_DEFINITIONS", tests=tmp_path) == {}
    file.write_text("EQUIVALENT = dict(f=1)\n")
    with pytest.raises(ValueError, match=r"test_otsu.py: write EQUIVALENT out"):
        mutate.equivalent(path, tests=tmp_path)


def test_what_is_not_as_listed_is_told_both_ways():
    found = {"f": [Mutant("one", "", 1), Mutant("two", "", 2)], "g": [Mutant("one", "", 1)]}
    known = {"f": {"one": "why", "three": "why"}, "g": "only the checks use it", "h": {"x": "why"}}
    assert unexpected(found, known) == [
        "f: survives: two",
        "f: listed, but does not survive: three",
        "h: listed, but does not survive: x",
    ]
    assert unexpected({}, {}) == []


def test_the_command_wants_a_notebook_that_is_there(capsys):
    with pytest.raises(SystemExit):
        mutate.main(["exercises", "memory_bank/nothing"])
    assert "no notebook notebooks/memory_bank/nothing.ipynb" in capsys.readouterr().err
