"""helpers.exercises: right answers pass, each wrong one is told what is wrong, stubs are let be."""

import numpy as np
import pytest
import torch

from helpers import exercises
from helpers.exercises import agrees, dtype, shape, unchanged, within

# The exercise: anomaly scores in [0, 1], each row's distance to the nearest row of a bank, scaled
# by the largest. It must not depend on the order of the bank.
RNG = np.random.default_rng(0)
ROWS, BANK = RNG.normal(size=(5, 3)), RNG.normal(size=(7, 3))


def brute_force(rows, bank):
    nearest = [min(sum((a - b) ** 2) ** 0.5 for b in bank) for a in rows]
    return np.array([d / max(nearest) for d in nearest])


PROPERTIES = (
    shape((ROWS, BANK), (5,)),
    dtype((ROWS, BANK), "real"),
    within((ROWS, BANK), 0, 1),
    unchanged((ROWS, BANK), (ROWS, BANK[::-1]), message="the order of the bank must not matter"),
    agrees((ROWS, BANK), brute_force, message="take the nearest, then divide by the largest"),
)


def line(capsys, answer, *properties) -> str:
    """What `check` prints: always exactly one line."""
    capsys.readouterr()
    assert exercises.check("2 scores", answer, *(properties or PROPERTIES)) is None
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return out[:-1]


def distances(rows, bank):
    return np.linalg.norm(rows[:, None] - bank[None], axis=2)


def with_broadcasting(rows, bank):
    nearest = distances(rows, bank).min(axis=1)
    return nearest / nearest.max()


def with_torch(rows, bank):
    nearest = torch.cdist(torch.tensor(rows, requires_grad=True), torch.tensor(bank)).amin(dim=1)
    return nearest / nearest.max()


def as_a_list_of_float32(rows, bank):
    return [np.float32(score) for score in with_broadcasting(rows, bank)]


def in_place(rows, bank):
    rows -= bank[0]  # changes its arguments; the next call must not see that
    bank -= bank[0].copy()
    return with_broadcasting(rows, bank)


@pytest.mark.parametrize(
    "answer", [with_broadcasting, with_torch, as_a_list_of_float32, in_place, brute_force]
)
def test_every_right_answer_is_correct_whatever_it_is_made_of(capsys, answer):
    kept = ROWS.copy(), BANK.copy()
    assert line(capsys, answer) == "[x] 2 scores: correct"
    assert np.array_equal(ROWS, kept[0])
    assert np.array_equal(BANK, kept[1])


def divides_by_zero(rows, bank):
    with np.errstate(invalid="ignore"):
        return np.zeros(5) / 0.0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (distances, "expected shape (5,), got (5, 7)"),
        (lambda rows, bank: 0.5, "expected shape (5,), got ()"),
        (lambda rows, bank: np.arange(5), "expected real values, got dtype int64"),
        (lambda rows, bank: distances(rows, bank).min(axis=1), "got 1."),
        (divides_by_zero, "got nan at index [0]"),
        (lambda rows, bank: -with_broadcasting(rows, bank), "below 0"),
        (
            lambda rows, bank: distances(rows, bank)[:, 0] / 10,
            "the order of the bank must not matter: expected ",
        ),
        (
            lambda rows, bank: distances(rows, bank).max(axis=1) / 10,
            "take the nearest, then divide by the largest: expected ",
        ),
        (lambda rows, bank: with_broadcasting(rows, bank.T), "raised ValueError: operands"),
        (lambda rows: rows, "raised TypeError: "),
        (lambda rows, bank: "five", "raised TypeError: expected numbers, got str"),
        (lambda rows, bank: [[1.0], [1.0, 2.0]], "raised TypeError: expected numbers, got list"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_told_what_is_wrong(capsys, answer, message):
    printed = line(capsys, answer)
    assert printed.startswith("[!] 2 scores: ")
    assert message in printed


def one_wrong(rows, bank):
    scores = with_broadcasting(rows, bank)
    scores[3] = 0.125
    return scores


def test_one_wrong_element_is_enough_and_the_first_is_shown(capsys):
    expected = brute_force(ROWS, BANK)[3]
    assert line(capsys, one_wrong, agrees((ROWS, BANK), brute_force)) == (
        f"[!] 2 scores: expected {expected:.6g}, got 0.125 at index [3]; 1 of 5 differ"
    )


def not_written(rows, bank):
    raise NotImplementedError("your code here")


@pytest.mark.parametrize(
    "stub", [..., None, lambda rows, bank: ..., lambda rows, bank: None, not_written]
)
def test_an_untouched_stub_is_no_mistake(capsys, stub):
    assert line(capsys, stub) == "[ ] 2 scores: not attempted yet"


def test_a_forgotten_return_in_one_branch_is_no_stub(capsys):
    def half(x):
        if x > 0:
            return x

    printed = line(capsys, half, agrees(1.0, 1.0), agrees(-1.0, 1.0))
    assert printed.endswith(
        "raised ValueError: returned None for some inputs; is a return missing?"
    )


def test_whatever_the_answer_raises_is_one_line_with_type_and_message(capsys):
    def fails(rows, bank):
        raise KeyError("first\nsecond {} line " + "x" * 500)

    printed = line(capsys, fails)
    assert printed.startswith(r"[!] 2 scores: raised KeyError: 'first\nsecond {} line xxx")
    assert len(printed) < 240
    for error in (AssertionError(), RecursionError("deep"), ZeroDivisionError("by 0")):

        def raises(rows, bank, error=error):
            raise error

        assert f"raised {type(error).__name__}: {error}".strip() in line(capsys, raises)


def test_an_answer_may_be_a_value_and_the_expected_value_is_not_given_away(capsys):
    right = agrees(None, 0.96, tol=0.005)
    for value in (0.96, np.float32(0.9601), torch.tensor(0.96)):
        assert line(capsys, value, right) == "[x] 2 scores: correct"
    assert line(capsys, 0.5, right) == "[!] 2 scores: got 0.5, which is too small"
    assert line(capsys, 1, right) == "[!] 2 scores: got 1, which is too large"
    assert line(capsys, [0.96], right) == "[!] 2 scores: expected shape (), got (1,)"


def test_several_results_are_compared_one_by_one(capsys):
    def mean_and_cov(x):
        return x.mean(axis=0), np.cov(x.T)

    right = agrees(ROWS, lambda x: (np.mean(x, axis=0), np.cov(x, rowvar=False)))
    assert line(capsys, mean_and_cov, right) == "[x] 2 scores: correct"
    biased = line(capsys, lambda x: (x.mean(axis=0), np.cov(x.T, bias=True)), right)
    assert biased.startswith("[!] 2 scores: result 1: expected ")
    assert line(capsys, lambda x: x.mean(axis=0), right).endswith(
        "expected a tuple of 2 results, got ndarray"
    )


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [("whole", [1, 2], [1.0, 2.0]), ("bool", [True, False], [1, 0]), ("real", [0.5], [1])],
)
def test_the_kind_of_number_can_be_asked_for(capsys, kind, right, wrong):
    assert line(capsys, right, dtype(None, kind)) == "[x] 2 scores: correct"
    assert f"expected {kind} values, got dtype" in line(capsys, wrong, dtype(None, kind))


def test_tolerance_is_relative_for_large_values_and_absolute_for_small_ones(capsys):
    close = agrees(None, [1e6, 1e-9], tol=1e-3)
    assert line(capsys, [1e6 + 500, 0.0], close) == "[x] 2 scores: correct"
    assert "at index [0], which is too large" in line(capsys, [1e6 + 2000, 0.0], close)


def test_a_property_may_be_any_function_of_the_answer(capsys):
    def is_monotone(answer):
        return None if answer(1.0) < answer(2.0) else "a larger distance needs a larger score"

    assert line(capsys, lambda x: 2 * x, is_monotone) == "[x] 2 scores: correct"
    assert line(capsys, lambda x: -x, is_monotone).endswith("needs a larger score")
    assert line(capsys, lambda x: ..., is_monotone) == "[ ] 2 scores: not attempted yet"


def test_open_bounds(capsys):
    assert line(capsys, [0.0, 9e9], within(None, 0, None)) == "[x] 2 scores: correct"
    assert line(capsys, [[0.0, 9.0]], within(None, None, 1)).endswith(
        "got 9 at index [0, 1], above 1"
    )
