"""Sobel and Laplacian: the equations hold and are guarded, the exercises tell right from wrong."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "sobel_laplacian.ipynb"


@pytest.fixture(scope="module")
def method():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(method, seed):
    method.check_fidelity(seed)
    method.check_scale()
    method.check_maps()
    method.check_responses(seed)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_fidelity", "np.array([1, 2, 1]) / 4", "np.array([1, 1, 1]) / 3"),
        ("check_fidelity", "np.array([-1, 0, 1])", "np.array([1, 0, -1])"),
        ("check_fidelity", 'mode="symmetric"', 'mode="reflect"'),
        ("check_fidelity", "return down, right", "return right, down"),
        ("check_fidelity", "np.exp(-(x**2) / (2 * sigma**2))", "np.exp(-(x**2) / sigma**2)"),
        ("check_fidelity", "(x**2 / sigma**4 - 1 / sigma**2) * g", "(x**2 / sigma**4) * g"),
        ("check_fidelity", "int(4 * sigma + 0.5)", "int(3 * sigma + 0.5)"),
        ("check_fidelity", "return sigma**2 * (rows + columns)", "return rows + columns"),
        ("check_fidelity", "np.outer(h2, v0) + np.outer(h0, v2)", "np.outer(h2, v2)"),
        ("check_fidelity", "np.cos(np.pi * turns) @ kernel", "np.cos(2 * np.pi * turns) @ kernel"),
        ("check_scale", "(far <= radius)", "(far < radius)"),
        ("check_scale", "gain = sigma**2 * (np", "gain = sigma * (np"),
        (
            "check_maps",
            "(np.abs(one - mean) / spread).max(axis=0)",
            "((one - mean) / spread).max(0)",
        ),
        ("check_maps", "(np.abs(one - mean) / spread).max(axis=0)", "np.abs(one - mean).max(0)"),
        ("check_maps", "reshape(shape) + 0.1 * (pooled + 1)", "reshape(shape) + 0.1 * pooled"),
        ("check_maps", "np.mean(maps.astype(float) ** 2", "np.mean(maps.astype(float)"),
        (
            "check_responses",
            "np.concatenate([slope, log_stack(some, sigmas)]",
            "np.concatenate([log_stack(some, sigmas), slope]",
        ),
        ("check_responses", "np.hypot(*sobel(some))", "sum(sobel(some))"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, check)()


def test_a_sharp_step_has_its_height_as_gradient(method):
    picture = np.zeros((1, 8, 9))
    picture[:, :, 5:] = 7
    down, right = method.sobel(picture)
    assert not down.any()
    assert right[0, 3].tolist() == [0, 0, 0, 0, 7, 7, 0, 0, 0]


def test_the_mirror_reaches_beyond_a_small_image(method):
    row = np.array([[[1.0, 2, 4]]])
    found = method.along(row, np.array([1, 0, 0, 0, 0, 0, 0, 0, 10]), 2)
    # ... 2 4 | 4 2 1 | 1 2 4 | 4 2 1 | 1 2 4 ...: four to the left plus ten times four to the right
    assert found[0, 0].tolist() == [4 + 20, 4 + 10, 2 + 10]


def test_white_noise_shrinks_as_derived(method):
    noise = np.random.default_rng(0).normal(0, 1, (2, 256, 256))
    for sigma, tolerance in ((1.5, 0.03), (3, 0.05)):
        found = method.log_stack(noise, (sigma,)).std()
        assert found == pytest.approx(1 / (np.sqrt(2 * np.pi) * sigma), rel=tolerance)


def test_measured_radii_are_those_drawn_on_an_even_ground(method):
    ladder = np.geomspace(1, 12, 40)
    pictures = np.full((4, 128, 128), 90, np.float32)
    for radius, contrast in ((5, -60), (9, 40)):
        rng = np.random.default_rng(0)
        found = method.measured_radii(pictures, radius, contrast, ladder, rng)
        assert found.shape == (4,) and np.abs(found / radius - 1).max() < 0.15


def test_a_mean_difference_has_the_interval_of_its_standard_error(method):
    gap = np.random.default_rng(0).normal(0.3, 0.1, 200)
    found = method.mean_difference(gap)
    assert found.value == pytest.approx(gap.mean())
    assert found.high - found.value == pytest.approx(1.96 * 0.1 / np.sqrt(200), rel=0.15)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_images_without_any_spread_have_finite_maps(method):
    normal = np.zeros((5, 2, 4, 4), np.float32)
    maps = method.anomaly_maps(normal + 1, *method.normal_spread(normal, True))
    assert np.allclose(maps, 10)


def test_more_images_and_larger_ones_need_more_memory(method):
    few = method.bytes_needed(500, 256, 6)
    assert few > 500 * 256**2 * 4 * 5
    assert method.bytes_needed(2000, 256, 6) == 4 * few == method.bytes_needed(500, 512, 6)


EQUIVALENT_DEFINITIONS = {
    "bytes_needed": "an estimate; tested above",
    "log_stack": {
        "kernels = (gaussian(sigma, 0), gaussian(sigma, {2 → 1}))": "anything but 0 is 2",
        "kernels = (gaussian(sigma, 0), gaussian(sigma, {2 → 3}))": "anything but 0 is 2",
    },
    "draw_disc": {
        "return picture + {np.float32(contrast) → contrast} * (far <= radius)": "memory only",
    },
    "normal_spread": {
        "shape = (-{1 → 2}, *normal.shape[2:]) if at_place else (-1, 1, 1)": "any negative number",
        "shape = (-1, *normal.shape[2:]) if at_place else (-{1 → 2}, 1, 1)": "any negative number",
    },
    "image_scores": {
        "return np.mean({maps.astype(float) → maps} ** 2, axis=(1, 2))": "precision only",
    },
    "measured_radii": "draws discs and finds the strongest; tested above",
    "mean_difference": "tested above",
    "by_part": "selects images and calls what is tested",
}

# --- the exercises ------------------------------------------------------------------------------


def steps_by_pixel(grey):
    return [[abs(int(b) - int(a)) for a, b in pairwise(row)] for row in grey]


def radius_by_fit(answers, sigmas):
    size, place = np.abs(answers), np.log(sigmas)
    k = int(np.argmax(size))
    if k in (0, len(size) - 1):
        return 2**0.5 * sigmas[k]
    a, b, _ = np.polyfit(place[k - 1 : k + 2], size[k - 1 : k + 2], 2)
    return 2**0.5 * np.exp(-b / (2 * a))


def radius(*, factor=2**0.5, sign=1, half=2, ends=True, signed=False, linear=False, ratio=None):
    """The folded solution with one mistake."""

    def answer(answers, sigmas):
        size = answers if signed else np.abs(answers)
        k, shift = int(np.argmax(size)), 0.0
        if 0 < k < len(size) - 1:
            left, top, right = size[k - 1 : k + 2]
            shift = sign * (left - right) / (half * (left - 2 * top + right))
        elif not ends:
            shift = 0.5
        if linear:
            return factor * (sigmas[k] + shift * (sigmas[1] - sigmas[0]))
        return factor * sigmas[k] * (ratio or sigmas[1] / sigmas[0]) ** shift

    return answer


def near_the_mark(shift):
    """Between the marks, but by another formula than the parabola's."""

    def answer(answers, sigmas):
        a, k, moved = np.abs(answers), int(np.argmax(np.abs(answers))), 0.0
        if 0 < k < len(a) - 1:
            moved = shift(*a[k - 1 : k + 2])
        return 2**0.5 * sigmas[k] * (sigmas[1] / sigmas[0]) ** moved

    return answer


def radius_by_signs(answers, sigmas):
    """The right mark, but a parabola through the responses with their signs."""
    k, a = int(np.argmax(np.abs(answers))), answers
    shift = 0.0
    if 0 < k < len(a) - 1:
        shift = (a[k - 1] - a[k + 1]) / (2 * (a[k - 1] - 2 * a[k] + a[k + 1]))
    return 2**0.5 * sigmas[k] * (sigmas[1] / sigmas[0]) ** shift


NAMES = ("step_heights", "blob_radius")
OTHERS = {"step_heights": steps_by_pixel, "blob_radius": radius_by_fit}
WRONG = [
    ("step_heights", lambda grey: np.abs(grey[:, 1:] - grey[:, :-1]), "a step that gets darker"),
    ("step_heights", lambda grey: np.diff(grey.astype(int), axis=1), "below 0"),
    ("step_heights", lambda grey: np.abs(np.diff(grey.astype(int), axis=0)), "expected shape"),
    ("step_heights", lambda grey: np.abs(np.diff(grey.view(np.int8))), "steps that get brighter"),
    (
        "step_heights",
        lambda grey: np.abs(grey[:, 1:].astype(int) - grey[:, :-1]) / 2,
        "steps that get brighter",
    ),
    ("blob_radius", radius(factor=1), "the first mark"),
    ("blob_radius", radius(ends=False), "the first mark"),
    ("blob_radius", radius(sign=0), "uneven neighbours"),
    ("blob_radius", radius(sign=-1), "uneven neighbours"),
    ("blob_radius", radius(half=1), "uneven neighbours"),
    ("blob_radius", radius(linear=True), "uneven neighbours"),
    ("blob_radius", radius(signed=True), "dark and bright are alike"),
    ("blob_radius", radius(ratio=2), "another ratio"),
    ("blob_radius", near_the_mark(lambda a, b, c: (c - a) / 6), "uneven neighbours"),
    ("blob_radius", near_the_mark(lambda a, b, c: (c - a) / (a + b + c)), "uneven neighbours"),
    ("blob_radius", near_the_mark(lambda a, b, c: (c - a) / (2 * b)), "uneven neighbours"),
    ("blob_radius", radius_by_signs, "through |L|, not L"),
    ("blob_radius", lambda answers, sigmas: sigmas * 2**0.5, "expected shape"),
]
EQUIVALENT = {}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
