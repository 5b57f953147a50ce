"""What the tests of every notebook's exercises share.

    class TestExercises(ExerciseTests):
        path, names, others, wrong = PATH, NAMES, OTHERS, WRONG

The folded solutions and the untouched stubs are tested for all notebooks in test_notebooks.py,
altered solutions in test_exercise_mutants.py.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from notebook_loader import Exercises


@cache
def load(path: Path) -> Exercises:
    """A notebook's exercises, read once for all tests of them."""
    return Exercises(path)


class ExerciseTests:
    """Right answers are told so, wrong ones what is wrong, each with a message of its own.

    Attributes:
        path: of the notebook.
        names: of the functions to write, in the notebook's order.
        others: another right answer than the folded solution, by name.
        wrong: (name, answer, piece of the message).
    """

    path: Path
    names: Sequence[str]
    others: Mapping[str, Callable]
    wrong: Sequence[tuple[str, Callable, str]]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", self.names)
        if "number" in metafunc.fixturenames:
            metafunc.parametrize("number", range(len(self.wrong)))

    @pytest.fixture
    def exercises(self) -> Exercises:
        return load(self.path)

    def test_these_are_the_exercises(self, exercises):
        assert exercises.names == list(self.names)

    def test_another_right_answer_is_right(self, exercises, name):
        assert exercises.verdict(name, self.others[name]).startswith("[x]")

    def test_a_wrong_answer_is_told_what_is_wrong(self, exercises, number):
        name, answer, message = self.wrong[number]
        said = exercises.verdict(name, answer)
        assert said.startswith("[!]") and message in said

    def test_three_wrong_answers_are_told_three_different_things(self, exercises, name):
        said = {exercises.verdict(name, answer) for wrong, answer, _ in self.wrong if wrong == name}
        assert len(said) >= 3
