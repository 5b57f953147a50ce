"""Autocorrelation's notebook: its equations hold and are guarded, its exercises are judged."""

from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "autocorrelation.ipynb"


@pytest.fixture(scope="module")
def method():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(method, seed):
    method.check_fidelity(seed)
    method.check_grey()
    method.check_periods()
    method.check_rise()
    method.check_candidates()
    method.check_maps()
    method.check_own_periods()
    method.check_scores()


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_fidelity", "n + reach, real=True", "n, real=True"),  # circular
        ("check_fidelity", "np.abs(rfft2(f, s=size)) ** 2", "np.abs(rfft2(f, s=size))"),
        ("check_fidelity", "mean = r / np.maximum(pairs, 1)", "mean = r / pairs.max()"),
        ("check_fidelity", "f = grey - grey.mean(axis=(1, 2), keepdims=True)", "f = grey"),
        (
            "check_fidelity",
            "return mean / np.maximum(mean[:, [[reach]], [[reach]]], 1e-9)",
            "return mean",
        ),
        ("check_fidelity", "f[x] * f[x + p] for x", "f[x] * f[x - p] for x"),
        ("check_fidelity", "np.mean(pairs) / max(", "np.sum(pairs) / max("),
        ("check_grey", "np.maximum(grey.mean(axis=(1, 2), keepdims=True), 1)", "255"),
        ("check_rise", "values[-1] - values.min()", "values[-1]"),
        ("check_candidates", "tuple(p) > (0, 0)", "tuple(p) != (0, 0)"),
        ("check_candidates", "size=2 * lobe + 1", "size=3"),
        ("check_periods", "for rho in rhos) / len(grey)", "for rho in rhos)"),
        ("check_maps", "difference(s, p), difference(s, -p)", "difference(s, p)"),
        ("check_maps", "np.full_like(s, np.nan)", "np.zeros_like(s)"),
        ("check_maps", "gaussian_filter(grey[i], sigma)", "grey[i]"),
        ("check_own_periods", "int(0.05 * np.hypot(*p))", "int(0.5 * np.hypot(*p))"),
        ("check_own_periods", "int(0.05 * np.hypot(*p))", "0"),
        ("check_own_periods", "broken_period(grey, vectors, sigma) / tau", "grey / tau"),
        ("check_scores", "np.fmin.reduce(near)", "np.fmax.reduce(near)"),
        ("check_scores", "np.sqrt(np.mean(maps**2, axis=(1, 2)))", "np.mean(maps, axis=(1, 2))"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, check)()


def test_a_circular_autocorrelation_joins_the_ends(method):
    strip = np.zeros(40)
    strip[[1, 38]] = 1.0  # 37 apart, and 3 apart around the end
    near = method.circular(strip)[3]
    assert near > 0.3 > method.by_definition(strip, 3)


def test_a_brighter_exposure_changes_nothing(method):
    image = np.random.default_rng(0).integers(20, 100, (1, 16, 16, 3)).astype(np.uint8)
    np.testing.assert_allclose(
        method.relative_grey(2 * image), method.relative_grey(image), rtol=1e-6
    )


def test_a_rise_ends_at_the_shift_itself(method):
    rho = np.ones((11, 11))
    rho[5, 8], rho[5, 7] = 2, 0.5
    assert method.rise(rho, (0, 3)) == pytest.approx(1.5, abs=0.03)


def test_a_lower_maximum_beside_a_higher_one_is_no_period(method):
    """Within the lobe on either side; beyond it, it is one. The higher comes first."""
    for side in (1, -1):
        rho = -0.05 * np.hypot(*np.mgrid[-15:16, -15:16])
        rho[25, [15 + 3 * side, 15, 15 - 4 * side]] = 0.4, 0.6, 0.3
        rho[15, 25] = 0.5
        vectors, _ = method.find_periods(rho, 3, 0.05, 9)
        assert vectors.tolist() == [[10, 0], [0, 10], [10, -4 * side]]


def test_images_come_eight_at_a_time_and_all_of_them(method):
    stack = np.arange(19)[:, None, None] * np.ones((19, 2, 2))
    parts = method.batches(stack)
    assert [len(part) for part in parts] == [8, 8, 3]
    np.testing.assert_array_equal(np.concatenate(parts), stack)


def test_noise_has_no_period_and_still_gets_a_vector(method):
    noise = np.random.default_rng(0).normal(size=(40, 64, 64))
    rho = method.mean_autocorrelation(noise, 32)
    vectors, rises = method.find_periods(rho, 8, 0.1, 3)
    assert vectors.shape == (1, 2) and rises.shape == (1,) and rises[0] < 0.1


def test_more_images_and_larger_ones_need_more_memory(method):
    few = method.bytes_needed(240, 260, 256)
    assert few > 500 * 256**2 * 4
    assert method.bytes_needed(960, 1040, 256) == 4 * few == method.bytes_needed(240, 260, 512)


EQUIVALENT_DEFINITIONS = {
    "photograph": "reads a photograph whose three channels are equal",
    "bytes_needed": "an estimate; tested above",
    "circular": "only drawn; tested above",
    "largest_rise": "calls find_periods for one picture",
    "batches": "how many at a time changes no number; tested above",
    "autocorrelation": {
        "mean = r / {np.maximum(pairs, 1) → pairs}": "only shifts that leave no pair",
        "mean = r / np.maximum(pairs, {1 → 2})": "only shifts that leave a single pair",
        "mean = r / np.maximum(pairs, {1 → 0})": "only shifts that leave no pair",
    },
    "find_periods": {
        "half = [tuple(p) > (0, {0 → 1}) for p in vectors]": "(0, 1) lies in the main lobe",
        "enough = rises {>= → >} least": "no rise equals the bound",
        "top = rho == maximum_filter(rho, size=2 * {lobe + 1 → lobe})": "tested above",
        "top = rho == maximum_filter(rho, size=2 * lobe + {1 → 0})": "tested above",
        "height = rho[tuple(vectors.T {+ → -} reach)]": "tested above",
    },
    "rise": {"return values[-{1 → 2}] - values.min()": "tested above"},
    "own_period": {
        "return max({best, key=lambda pair: pair[0] → best})": "the height stands first",
    },
}

# --- the exercises ------------------------------------------------------------------------------


def first_by_search(n, size):
    ones = np.ones(n)
    wrapped = np.fft.ifft(np.abs(np.fft.fft(ones, size)) ** 2).real
    return next(p for p in range(1, size + 1) if abs(wrapped[p % size] - max(n - p, 0)) > 1e-6)


def folded(centre=np.median, *, signed=False, fill=True, axis=0, whole=False):
    def answer(grey, period):
        result = np.zeros(grey.shape)
        for m in range(period):
            rows = grey[m::period]
            template = centre(rows) if whole else centre(rows, axis=axis, keepdims=True)
            gap = rows - template
            if fill or len(rows) > len(grey) // period:
                result[m::period] = gap if signed else np.abs(gap)
        return result

    return answer


def in_its_own_type(grey, period):
    return folded_by_gather(grey, period).astype(grey.dtype)


def neighbours(grey, period):
    return np.abs(grey - np.roll(grey, period, axis=0))


def whole_periods(grey, period):
    """The template from whole periods alone."""
    rows = grey[: len(grey) // period * period].reshape(-1, period, grey.shape[1])
    return np.abs(grey - np.median(rows, axis=0)[np.arange(len(grey)) % period])


def lower(rows, axis, keepdims):
    return np.sort(rows, axis=axis)[[(len(rows) - 1) // 2]]


def folded_by_gather(grey, period):
    grey, y = np.asarray(grey, float), np.arange(len(grey))
    template = np.array([np.median(grey[y % period == m], axis=0) for m in range(period)])
    return np.abs(grey - template[y % period])


NAMES = ("first_wrong_shift", "folded_residual")
OTHERS = {"first_wrong_shift": first_by_search, "folded_residual": folded_by_gather}
WRONG = [
    ("first_wrong_shift", lambda n, size: size - n, "no padding at all"),
    ("first_wrong_shift", lambda n, size: 1, "5 pixels and 4 zeros"),
    ("first_wrong_shift", lambda n, size: size // 2 + 1, "no padding at all"),
    ("first_wrong_shift", lambda n, size: min(size - n + 1, 5), "256 pixels and 44 zeros"),
    ("first_wrong_shift", lambda n, size: (size - n) / 1.0 + 1, "whole"),
    ("folded_residual", folded(np.mean), "two holes, no ghosts"),
    ("folded_residual", folded(signed=True), "below 0"),
    ("folded_residual", neighbours, "a perfect pattern"),
    ("folded_residual", folded(axis=1), "a perfect pattern"),
    ("folded_residual", lambda grey, period: folded_by_gather(grey, 3), "a period of one row"),
    ("folded_residual", whole_periods, "rows 0, 2, 4 and 1, 3"),
    ("folded_residual", folded(lower), "rows 0, 2, 4 and 1, 3"),
    ("folded_residual", in_its_own_type, "halves kept"),
    (
        "folded_residual",
        lambda grey, period: folded_by_gather(grey[: len(grey) // period * period], period),
        "expected shape",
    ),
]
EQUIVALENT = {
    "folded_residual": {
        "result = {np.zeros → np.ones}(grey.shape)": "every row is written",
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
