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
    "answer", [with_broadcasting, with_torch, as_a_list_of_float32, brute_force]
)
def test_every_right_answer_is_correct_whatever_it_is_made_of(capsys, answer):
    assert line(capsys, answer) == "[x] 2 scores: correct"


def test_a_right_answer_that_changes_its_arguments_is_told_so_and_gets_copies(capsys):
    kept = ROWS.copy(), BANK.copy()
    told = "[!] 2 scores: right, but an argument is changed in place; work on a copy"
    assert line(capsys, in_place) == told
    assert np.array_equal(ROWS, kept[0])
    assert np.array_equal(BANK, kept[1])


def test_a_list_whose_arrays_become_something_else_has_changed(capsys):
    def careless(groups):
        for i, group in enumerate(groups):
            groups[i] = set(group)
        return len(groups[0] | groups[1])

    given = [np.array([1, 2]), np.array([2, 5])]
    assert "changed in place" in line(capsys, careless, exercises.agrees((given,), 3))


def test_numbers_in_lists_and_dictionaries_are_arguments_too(capsys):
    pair = [3.0, np.nan], {"more": [np.array([1, 2])]}

    def careless(a, more):
        more["more"][0] += 1
        return a[0]

    right = exercises.agrees(pair, 3.0)
    assert "changed in place" in line(capsys, careless, right)
    assert line(capsys, lambda a, more: a[0], right) == "[x] 2 scores: correct"


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
        (lambda rows, bank: "five", ": expected numbers, got str"),
        (lambda rows, bank: [[1.0], [1.0, 2.0]], ": expected numbers, got list"),
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


def with_an_aid(rows, bank):
    """A stub may hold a helper for the reader."""
    distance = lambda a, b: ((a - b) ** 2).sum() ** 0.5  # noqa: E731, F841
    return None  # <- change this line


def test_a_stub_that_holds_a_helper_is_still_a_stub(capsys):
    assert line(capsys, with_an_aid) == "[ ] 2 scores: not attempted yet"


def forgets(rows, bank):
    nearest = distances(rows, bank).min(axis=1)
    nearest / nearest.max()


def forgets_to_leave_the_stub(rows, bank):
    rows = rows / 2
    return ...


def forgets_in_a_nested_function(rows, bank):
    def nearest(row):
        return min(abs(row - bank))


@pytest.mark.parametrize(
    "answer", [forgets, forgets_to_leave_the_stub, forgets_in_a_nested_function]
)
def test_a_forgotten_return_is_told_apart_from_a_stub(capsys, answer):
    returned = "Ellipsis" if answer is forgets_to_leave_the_stub else "None"
    said = f"[!] 2 scores: returned {returned}; is a `return` missing?"
    assert line(capsys, answer) == said


def test_a_forgotten_return_in_one_branch_names_the_inputs(capsys):
    def half(x):
        if x > 0:
            return x

    printed = line(capsys, half, agrees(1.0, 1.0), agrees(-1.0, 1.0))
    assert printed == "[!] 2 scores: returned None for x = -1.; is a `return` missing?"


def test_whatever_the_answer_raises_is_one_line_with_type_message_and_inputs(capsys):
    def fails(rows, bank):
        raise KeyError("first\nsecond {} line " + "x" * 500)

    printed = line(capsys, fails)
    assert printed.startswith(r"[!] 2 scores: raised KeyError: 'first\nsecond {} line xxx")
    assert printed.endswith("… for rows = array of shape (5, 3), bank = array of shape (7, 3)")
    assert len(printed) < 240
    for error in (AssertionError(), RecursionError("deep"), ZeroDivisionError("by 0")):

        def raises(rows, bank, error=error):
            raise error

        assert f"raised {type(error).__name__}: {error}".strip(": ") in line(capsys, raises)


def window(values, radius):
    return np.array([values[i - radius : i + radius + 1].min() for i in range(len(values))])


def test_an_empty_slice_is_named_in_plain_words(capsys):
    given = np.array([3.0, 1.0, 2.0]), 1
    printed = line(capsys, window, agrees(given, [1.0, 1.0, 1.0]))
    assert printed.startswith("[!] 2 scores: raised ValueError: zero-size array to reduction")
    assert "does a slice begin below 0" in printed
    assert printed.endswith("for values = [3., 1., 2.], radius = 1")


def test_wrong_arguments_are_the_answers_own_mistake(capsys):
    assert "raised TypeError: " in line(capsys, lambda rows: rows)


def test_an_error_of_the_check_itself_is_a_line_about_the_result(capsys):
    def farthest_is_close(answer):
        return None if ROWS[np.asarray(answer(ROWS, BANK))].max() < 9 else "too far"

    printed = line(capsys, lambda rows, bank: np.array([0, 77]), farthest_is_close)
    assert printed.startswith(
        "[!] 2 scores: the result for rows = array of shape (5, 3), bank = array of shape (7, 3) "
        "could not be checked: IndexError: index 77 is out of bounds"
    )
    assert "this value could not be checked: IndexError" in line(
        capsys, [77], lambda value: ROWS[value]
    )


def test_an_error_in_a_function_that_the_check_calls_itself_is_told_apart(capsys):
    def broken(rows, bank):
        return rows[99]

    printed = line(capsys, broken, lambda _: broken(ROWS, BANK))  # not through its argument
    assert printed.startswith("[!] 2 scores: raised IndexError: index 99")


@pytest.mark.parametrize(
    "answer",
    [
        lambda rows, bank: torch.cdist(rows, bank).amin(dim=1),
        lambda rows, bank: (rows[:, None] - bank).sum(dim=2),
        lambda rows, bank: rows.unsqueeze(1),
        lambda rows, bank: torch.quantile(rows, 0.5),
    ],
)
def test_torch_on_arrays_is_told_how_to_go_on(capsys, answer):
    printed = line(capsys, answer)
    assert "the inputs are NumPy arrays; torch.as_tensor(x) turns them into tensors" in printed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: x > 0 and x < 2, "arrays are joined with & and |"),
        (lambda x: np.array([x, x[:1]]).sum(), "the parts differ in length"),
        (lambda x: x[np.ones(2, bool)], "two shapes do not fit together"),
        (lambda x: float(x), "an array stands where a number should"),
        (lambda x: x.__setitem__(0, x), "an array stands where a number should"),
        (lambda x: len({x, x}), "its numbers can, as in set(x.tolist())"),
        (lambda x: [a - b for a, b in (x, x)], "x.T has the columns as rows"),
        (lambda x: sum(range(x.sum())), "a whole number is needed"),
        (
            lambda x: torch.from_numpy(x) @ torch.ones(3),
            "two tensors differ in dtype; .float() or .double() helps",
        ),
    ],
)
def test_what_students_run_into_is_told_in_plain_words(capsys, answer, words):
    printed = line(capsys, answer, agrees((np.array([1.0, 2.0, 3.0]),), 1.0))
    assert printed.startswith("[!] 2 scores: raised ") and words in printed


def test_a_property_of_ones_own_sees_tensors_as_arrays(capsys):
    seen = []

    def several(rows, bank):
        there = torch.tensor(rows, requires_grad=True)
        return there, [there.sum(), 2]

    assert line(capsys, several, lambda f: seen.append(f(ROWS, BANK))) == "[x] 2 scores: correct"
    rows, (total, two) = seen[0]
    assert isinstance(rows, np.ndarray) and float(total) == pytest.approx(ROWS.sum()) and two == 2


def test_a_property_that_calls_the_function_elsewhere_gets_copies_too(capsys):
    given = np.ones(3)

    def in_place(x):
        x += 1
        return x

    def elsewhere(answer):
        return agrees(given, [2.0, 2.0, 2.0])(in_place)

    assert line(capsys, in_place, elsewhere) == "[x] 2 scores: correct"
    assert given.tolist() == [1, 1, 1]


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
    assert biased.startswith("[!] 2 scores: result 2 of 2: expected ")
    assert line(capsys, lambda x: x.mean(axis=0), right).endswith(
        "expected a tuple of 2 results, got ndarray"
    )


def test_a_list_may_stand_for_a_tuple_of_results(capsys):
    right = agrees(ROWS, lambda x: (x.mean(axis=0), x.sum()))
    assert line(capsys, lambda x: [x.mean(axis=0), x.sum()], right).startswith("[x]")


def test_swapped_results_are_named_as_such(capsys):
    two = agrees(ROWS, lambda x: (x.min(), x.max()), message="low first")
    said = "[!] 2 scores: the two results are swapped"
    assert line(capsys, lambda x: (x.max(), x.min()), two) == said
    three = agrees(ROWS, lambda x: (x.min(), x.mean(), x.max()))
    printed = line(capsys, lambda x: (x.max(), x.min(), x.mean()), three)
    assert printed.endswith("the results are right, but in another order")
    printed = line(capsys, lambda x: (x.min(), x.min()), two)
    assert printed.startswith("[!] 2 scores: low first: result 2 of 2: expected ")


def test_the_results_of_a_tuple_are_counted_from_one(capsys):
    three = agrees((ROWS,), (1.0, True, 5.0), message="a tuple")
    printed = line(capsys, lambda x: (1.0, False, 5.0), three)
    assert printed == "[!] 2 scores: a tuple: result 2 of 3: expected True, got False"
    assert line(capsys, lambda x: (1.0, 1, 5), three) == "[x] 2 scores: correct"
    printed = line(capsys, lambda x: (1.0, 2, 5.0), three)
    assert printed.endswith("result 2 of 3: expected 1, got 2")


def test_a_near_miss_is_called_close(capsys):
    root = agrees(None, [0.7, -0.4], message="must give y back")
    bisected = agrees((0.5,), [0.7, -0.4], message="must give y back")
    assert line(capsys, lambda y: [0.69997, -0.4], bisected) == (
        "[!] 2 scores: must give y back: close, but not within 1e-06: "
        "expected 0.7, got 0.69997 at index [0]; 1 of 2 differ"
    )
    assert line(capsys, [0.69997, -0.4], root) == (
        "[!] 2 scores: must give y back: close, but not within 1e-06: "
        "got 0.69997 at index [0], which is too small"
    )
    assert "must give y back: expected 0.7, got 0.68" in line(
        capsys, lambda y: [0.68, -0.4], bisected
    )
    tiny = agrees((0.5,), 0.0, message="nothing moves")
    assert "nothing moves: expected 0, got 0.0001" in line(capsys, lambda y: 1e-4, tiny)


def test_two_numbers_that_differ_are_never_printed_alike(capsys):
    printed = line(capsys, lambda x: 1.0000001, agrees((0.5,), 1.0, tol=1e-9))
    assert printed.endswith("expected 1, got 1.0000001")


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
