"""CAVGA's notebook: its equations are guarded, its exercises tell right from wrong.

TODO(author): break every defining equation; for each exercise, another right answer and three
typical wrong ones.
"""

from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks/one_class/cavga.ipynb"


# --- the equations ------------------------------------------------------------------------------


def test_the_check_passes_on_the_notebook_as_it_is():
    for seed in range(3):
        definitions(PATH).check_fidelity(seed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(features - mean)", "(features + mean)"),
        (".square().sum(dim=3).sqrt()", ".square().sum(dim=3)"),
        (', mode="bilinear"', ', mode="nearest"'),
        ("maps.max(axis=(1, 2))", "maps.mean(axis=(1, 2))"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        broken.check_fidelity()


# --- the exercises ------------------------------------------------------------------------------


NAMES = ("area_above", "running_mean")
OTHERS = {
    "area_above": lambda m, t: np.count_nonzero(m > t) / m.size,
    "running_mean": lambda batches: np.concatenate(batches).mean(axis=0),
}
WRONG = (
    ("area_above", lambda m, t: m > t, "expected shape ()"),
    ("area_above", lambda m, t: (m > t).sum(), "a share, not a number"),
    ("area_above", lambda m, t: (m >= t).mean(), "0.5 is not above 0.5"),
    ("running_mean", lambda b: np.concatenate(b).mean(), "expected shape (2,)"),
    ("running_mean", lambda b: np.concatenate(b).sum(axis=0), "the mean of one batch"),
    (
        "running_mean",
        lambda b: np.mean([x.mean(axis=0) for x in b], axis=0),
        "every row counts as much",
    ),
)


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
