"""What the tests of a notebook's equations share.

    class TestEquations(EquationTests):
        path, checks, broken = PATH, CHECKS, BROKEN

The module's fixture `notebook` holds the definitions as they are. Exercises have `exercise_tests`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from notebook_loader import definitions


class EquationTests:
    """The checks pass on the notebook as it is, with three seeds, and on no broken equation.

    Attributes:
        path: of the notebook.
        checks: names of its functions that raise AssertionError, in order; each takes a seed.
        broken: what is wrong -> (source text that stands once in the definitions, another text).
        noticed: what a broken equation may raise in a check.
    """

    path: Path
    checks: Sequence[str]
    broken: Mapping[str, tuple[str, str]]
    noticed: tuple[type[Exception], ...] = (AssertionError, ValueError, RuntimeError)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "seed" in metafunc.fixturenames:
            metafunc.parametrize("seed", range(3))
        if "wrong" in metafunc.fixturenames:
            metafunc.parametrize("wrong", self.broken)

    def run_checks(self, notebook: ModuleType, seed: int = 0) -> None:
        """All checks of a notebook; a class with more of them goes on from here."""
        for name in self.checks:
            getattr(notebook, name)(seed)

    def test_the_checks_pass_on_the_notebook_as_it_is(self, notebook, seed):
        self.run_checks(notebook, seed)

    def test_a_broken_equation_does_not_pass_the_checks(self, wrong):
        old, new = self.broken[wrong]
        broken = definitions(self.path, replace={old: new})
        with pytest.raises(self.noticed):
            self.run_checks(broken)
