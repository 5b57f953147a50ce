"""Every check cell notices every alteration of its solution that makes a difference.

What makes none is listed, with the reason, as EQUIVALENT in the method's test file.
`python tests/mutate.py exercises family/name` prints what is missing there. The same for the
notebooks' own checks and definitions, with EQUIVALENT_DEFINITIONS: minutes, in `make trust` only.
"""

from pathlib import Path

import mutate
import pytest
from exercise_tests import load

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*/*.ipynb"))


def method(path: Path) -> str:
    return path.relative_to(NOTEBOOKS).with_suffix("").as_posix()


EVERY = pytest.mark.parametrize("path", PATHS, ids=method)


@pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning")
@EVERY
def test_an_altered_solution_is_not_called_correct(path):
    exercises = load(path)
    found = {name: mutate.survivors(exercises, name) for name in exercises.names}
    assert mutate.unexpected(found, mutate.equivalent(path)) == []


@pytest.mark.trust
@pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning")
@EVERY
def test_an_altered_definition_does_not_pass_the_notebooks_own_checks(path):
    known = mutate.equivalent(path, "EQUIVALENT_DEFINITIONS")
    assert mutate.unexpected(mutate.definition_survivors(path), known) == []
