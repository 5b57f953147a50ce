"""Fourier filtering's notebook: its equations hold and are guarded, its exercises are judged."""

from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "fourier.ipynb"


@pytest.fixture(scope="module")
def method():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(method, seed):
    method.check_fidelity(seed)
    method.check_grey()
    method.check_peaks(seed)
    method.check_tops(seed)
    method.check_residuals()
    method.check_maps()
    method.check_scores()


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_fidelity", "np.exp(-2j * np.pi * turns)", "np.exp(2j * np.pi * turns)"),
        ("check_fidelity", "u * y / height + v * x / width", "u * y / width + v * x / height"),
        ("check_fidelity", "0.5 - 0.5 * np.cos", "0.54 - 0.46 * np.cos"),  # Hamming
        ("check_grey", "1) - 1", "1)"),
        ("check_grey", "np.maximum(grey.mean(axis=(1, 2), keepdims=True), 1)", "grey.mean()"),
        ("check_peaks", "np.log(np.abs(fft2(f * window)) + 1e-3)", "np.abs(fft2(f * window))"),
        ("check_peaks", "fft2(f * window)", "fft2(f)"),
        ("check_peaks", "np.argsort(-spectrum", "np.argsort(spectrum"),
        ("check_peaks", "top & (excess", "(excess"),
        ("check_peaks", "(peaks + half) % spectrum.shape - half", "peaks"),
        ("check_tops", "size=15", "size=13"),
        ("check_tops", "excess - np.median(excess)", "excess"),
        (
            "check_tops",
            "deviation = 1.4826 * np.median(np.abs(excess))",
            "deviation = excess.std()",
        ),
        ("check_tops", "maximum_filter(spectrum, size=3", "maximum_filter(spectrum, size=5"),
        ("check_residuals", "keep *= 1 - np.outer(*parts)", "keep *= np.outer(*parts)"),
        ("check_residuals", "(2 * width**2)", "(2 * width)"),
        ("check_residuals", "(np.arange(n) - place + n // 2) % n - n // 2", "np.arange(n) - place"),
        ("check_residuals", "ifft2(fft2(f) * keep)", "ifft2(fft2(f) * (1 - keep))"),
        ("check_maps", "residuals(grey, keep) ** 2", "np.abs(residuals(grey, keep))"),
        ("check_maps", "np.sqrt(np.maximum(energy, 0)) / tau", "np.sqrt(energy.clip(0))"),
        ("check_scores", "np.sqrt(np.mean(maps**2, axis=(1, 2)))", "np.mean(maps, axis=(1, 2))"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, check)()


def test_a_window_keeps_the_energy_of_a_wave_together(method):
    wave = np.cos(2 * np.pi * 10.5 * np.arange(256) / 256)
    assert method.leaked(wave, 10.5) > 20 * method.leaked(wave * method.hann(256), 10.5)
    whole = np.cos(2 * np.pi * 10 * np.arange(256) / 256)
    assert method.leaked(whole, 10) < 1e-12


def test_a_shifted_image_has_the_residual_shifted(method):
    rng = np.random.default_rng(0)
    grey = rng.normal(size=(1, 16, 20))
    keep = method.notches((16, 20), np.array([[2, 3], [-2, -3]]), 1.0)
    moved = method.residuals(np.roll(grey, (3, 5), axis=(1, 2)), keep)
    expected = np.roll(method.residuals(grey, keep), (3, 5), axis=(1, 2))
    np.testing.assert_allclose(moved, expected, atol=1e-9)


def test_a_circle_removes_low_frequencies_all_around(method):
    keep = method.circle((16, 20), 2)
    assert keep[0, 0] == 0 and keep[8, 10] > 0.99
    assert keep[0, 1] == keep[0, -1] == keep[1, 0] == pytest.approx(1 - np.exp(-1 / 8))


def test_more_images_and_larger_ones_need_more_memory(method):
    few = method.bytes_needed(240, 260, 256)
    assert few > 500 * 256**2 * 4
    assert method.bytes_needed(960, 1040, 256) == 4 * few == method.bytes_needed(240, 260, 512)


EQUIVALENT_DEFINITIONS = {
    "leaked": "a measure of an experiment; tested above",
    "circle": "of an experiment; tested above",
    "bytes_needed": "an estimate; tested above",
    "fitted_maps": "calls anomaly_maps with the notebook's images",
    "find_peaks": {
        "peaks = np.argwhere(top & (excess {> → >=} least * deviation))": "no excess is the bound",
        "peaks = peaks[np.argsort(-spectrum[tuple(peaks.T)]{, kind='stable' → })]": (
            "the order of equal peaks alone"
        ),
    },
    "anomaly_maps": {
        "energy = gaussian_filter(residuals(grey, keep) ** 2, ({0 → -1}, sigma, sigma))": (
            "SciPy smooths along no axis whose width is not above 0"
        ),
        "return np.sqrt({np.maximum(energy, 0) → energy}) / tau": "below 0 by rounding only",
        "return np.sqrt(np.maximum(energy, {0 → -1})) / tau": "below 0 by rounding only",
    },
}

# --- the exercises ------------------------------------------------------------------------------


def period_by_crests(u, v, height, width):
    """The distance between the lines u y / H + v x / W = 0 and 1."""
    a, b = u / height, v / width
    y, x = a / (a * a + b * b), b / (a * a + b * b)
    return (y * y + x * x) ** 0.5


def share(power=2, *, centre=True, removed=True, guard=True, exact=False, least=1e-30, more=0):
    def answer(f, keep):
        f = np.asarray(f, float)
        energy = np.abs(np.fft.fft2(f - f.mean() if centre else f)) ** 2
        if guard and energy.sum() < 1e-9 and (not exact or energy.sum() == 0):
            return 0.0
        left = (energy * np.asarray(keep) ** power).sum() / (max(energy.sum(), least) + more)
        return 1 - left if removed else left

    return answer


def by_inverse(f, keep):
    f = np.asarray(f, float)
    spectrum = np.fft.fft2(f - f.mean())
    if np.abs(spectrum).max() < 1e-9:
        return 0.0
    left = np.fft.ifft2(spectrum * keep)
    return 1 - np.mean(np.abs(left) ** 2) / f.var()


def by_real_inverse(f, keep):
    """Only a filter that is alike at both peaks of a wave leaves a real image."""
    if np.ptp(f) == 0:
        return 0.0
    return 1 - np.fft.ifft2(np.fft.fft2(f - f.mean()) * keep).real.var() / f.var()


NAMES = ("wave_period", "removed_share")
OTHERS = {"wave_period": period_by_crests, "removed_share": by_inverse}
WRONG = [
    ("wave_period", lambda u, v, h, w: h / max(u, 1), "5 waves, the other way"),
    ("wave_period", lambda u, v, h, w: np.hypot(u / h, v / w), "8 waves in 256 rows"),
    (
        "wave_period",
        lambda u, v, h, w: np.hypot(h / u if u else 0, w / v if v else 0),
        "an oblique wave",
    ),
    ("wave_period", lambda u, v, h, w: w / np.hypot(u, v), "8 waves in 256 rows"),
    ("removed_share", share(1), "K = 1/2"),
    ("removed_share", share(centre=False), "brightness"),
    ("removed_share", share(removed=False, guard=True), "strong is 4 parts of 5"),
    ("removed_share", share(guard=False), "an even image"),
    ("removed_share", share(exact=True), "an even image"),
    ("removed_share", by_real_inverse, "one of its two peaks"),
    ("removed_share", lambda f, keep: 0.0 if np.var(f) < 1e-4 else share()(f, keep), "faint"),
    ("removed_share", share(least=1), "faint"),
    ("removed_share", share(more=1e-6), "faint"),
]
EQUIVALENT = {
    "removed_share": {
        "if total {< → <=} 1e-12:": "no image has exactly this sum",
        "return {0.0 → -0.0}": "equal numbers",
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
