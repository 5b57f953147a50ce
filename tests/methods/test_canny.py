"""Canny: the five stages hold and are guarded, the exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy import ndimage
from skimage.feature import canny

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "canny.ipynb"


@pytest.fixture(scope="module")
def method():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(method, seed):
    method.check_fidelity(seed)
    method.check_maps()
    method.check_experiments()


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_fidelity", "(0, sigma, sigma)", "(0, sigma, 0)"),
        ("check_fidelity", "(0, sigma, sigma)", "(1, sigma, sigma)"),
        ("check_fidelity", "[-1, 0, 1], along", "[1, 0, -1], along"),
        ("check_fidelity", "[1, 2, 1], across", "[1, 1, 1], across"),
        ("check_fidelity", "((1, 2), (2, 1))", "((2, 1), (1, 2))"),
        ("check_fidelity", "np.where(right < 0, -1, 1)", "np.where(right < 0, 1, -1)"),
        ("check_fidelity", "np.where(steep, y, row + 1)", "y"),
        ("check_fidelity", "w * around[k, y, x] + (1 - w) * near", "near"),
        ("check_fidelity", "steep = tall > wide", "steep = tall < wide"),
        ("check_fidelity", "for way in (1, -1)", "for way in (1, 1)"),
        ("check_fidelity", "keep[:, 1:-1, 1:-1] = True", "keep[:] = True"),
        ("check_fidelity", "good[labels[thin >= high]] = True", "good[:] = True"),
        ("check_fidelity", "good[labels[thin >= high]] = True", "good[labels[thin > 0]] = True"),
        (
            "check_fidelity",
            "np.ones((1, 3, 3), bool)",
            "ndimage.generate_binary_structure(2, 1)[None]",
        ),
        ("check_fidelity", "((1, 1), (0, 0), (0, 0))", "((1, 1), (0, 0), (0, 0)), 'edge'"),
        ("check_maps", "spread_out = (0, reach, reach)", "spread_out = (reach, reach, reach)"),
        (
            "check_maps",
            "np.maximum(found - normal.mean(axis=0), 0)",
            "np.abs(found - normal.mean(axis=0))",
        ),
        ("check_maps", "0.2 * normal.std()", "0.2 * normal.std(axis=0)"),
        ("check_maps", "0.99, axis=1", "0.9, axis=1"),
        ("check_experiments", "np.sort(thin, axis=None)[::-1]", "np.sort(thin, axis=None)"),
        ("check_experiments", "<= 2\n", "<= 3\n"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, check)()


def test_without_interpolation_edges_differ_from_the_library(method):
    """The nearest of eight neighbours is not the same: what the notebook says."""
    picture = ndimage.gaussian_filter(np.random.default_rng(0).uniform(0, 255, (1, 64, 64)), 1)
    down, right = method.gradient(picture, 1)
    thin = method.suppress(down, right)[0]
    wanted = canny(picture[0], 1, 1e-3, 1e-3, mode="reflect")
    assert np.array_equal(thin > 0, wanted)
    whole = "w = np.minimum(tall, wide) / np.maximum(np.maximum(tall, wide), 1e-12)"
    nearest = definitions(PATH, replace={whole: whole.replace("= ", "= np.round(") + ")"})
    other = nearest.suppress(down, right)[0] > 0
    assert 0.01 < np.mean(other[wanted | other] != wanted[wanted | other]) < 0.5


def test_an_edge_is_one_pixel_wide_and_lies_at_the_step(method):
    picture = np.zeros((1, 20, 21))
    picture[:, :, 9:] = 100.0
    picture[:, :, 9] = 50.0  # the step's middle lies on a pixel
    _, thin, edges = method.stages(picture, 1.0, 10.0, 50.0)
    assert np.array_equal(edges, thin > 0)
    assert edges[0, 1:-1, 9].all() and edges.sum() == 18


def test_hysteresis_keeps_what_is_connected_to_a_strong_pixel(method):
    thin = np.zeros((2, 3, 6))
    thin[0, 1] = [5, 3, 0, 3, 3, 0]
    thin[1, 1] = [3, 0, 0, 0, 0, 9]
    edges = method.hysteresis(thin, 3, 5)
    assert edges[0, 1].tolist() == [True, True, False, False, False, False]
    assert edges[1, 1].tolist() == [False, False, False, False, False, True]
    assert not edges[:, [0, 2]].any()


def test_a_mean_difference_has_the_interval_of_its_standard_error(method):
    gap = np.random.default_rng(0).normal(0.3, 0.1, 200)
    found = method.mean_difference(gap)
    assert found.value == pytest.approx(gap.mean())
    assert found.high - found.value == pytest.approx(1.96 * 0.1 / np.sqrt(200), rel=0.15)
    assert found.value - found.low == pytest.approx(found.high - found.value)
    assert method.mean_difference(gap[:1]) is None


def test_images_without_any_edges_have_finite_maps(method):
    normal = np.zeros((5, 4, 4), np.float32)
    assert method.anomaly_maps(normal[:2], normal).max() == 0
    assert np.isfinite(method.anomaly_maps(normal + 1, normal)).all()


def test_more_images_and_larger_ones_need_more_memory(method):
    few = method.bytes_needed(500, 256)
    assert few > 500 * 256**2 * 8
    assert method.bytes_needed(2000, 256) == 4 * few == method.bytes_needed(500, 512)


EQUIVALENT_DEFINITIONS = {
    "drawn_as": "draws the cases of the exercise",
    "grainy_maps": "adds noise and calls what is tested",
    "gradient": {
        "smooth = ndimage.gaussian_filter(pictures, ({0 → -1}, sigma, sigma))": "none either",
    },
    "suppress": {
        "w = np.minimum(tall, wide) / np.maximum({np.maximum(tall, wide), 1e-12 → tall, wide})": (
            "0 / 0 only where |G| is 0 and stays 0"
        ),
        "w = np.minimum(tall, wide) / np.maximum(np.maximum(tall, wide), "
        "{1e-12 → -0.999999999999})": "0 / 0 only where |G| is 0 and stays 0",
        "dy, dx = (np.where(down {< → <=} 0, -1, 1), np.where(right < 0, -1, 1))": "then w is 0",
        "dy, dx = (np.where(down < 0, -1, 1), np.where(right {< → <=} 0, -1, 1))": "then w is 0",
        "steep = tall {> → >=} wide": "then w is 1",
        "around = np.pad(size, ((0, {0 → 1}), (1, 1), (1, 1)))": "beyond what is read",
        "around = np.pad(size, ((0, 0), (1, {1 → 2}), (1, 1)))": "beyond what is read",
        "around = np.pad(size, ((0, 0), (1, 1), (1, {1 → 2})))": "beyond what is read",
        "k, row, column = np.indices({size.shape, sparse=True → size.shape})": "memory only",
        "k, row, column = np.indices(size.shape, {sparse=True → sparse=False})": "memory only",
    },
    "hysteresis": {
        "good = np.zeros(count + {1 → 2}, bool)": "one entry that no label uses",
    },
    "density": {
        "spread_out = ({0 → -1}, reach, reach)": "none either",
    },
    "image_scores": {
        "return np.quantile(maps.reshape(len(maps), -{1 → 2}), 0.99, axis=1)": "any below 0",
    },
    "share_found": {
        "disc = np.hypot(*np.mgrid[-{2 → 3}:3, -2:3]) <= 2": "a row of zeros",
        "disc = np.hypot(*np.mgrid[-2:3, -{2 → 3}:3]) <= 2": "a column of zeros",
    },
    "bytes_needed": "an estimate; tested above",
    "mean_difference": "tested above",
}

# --- the exercises ------------------------------------------------------------------------------


def by_labels(weak, strong):
    labels, _ = ndimage.label(weak, np.ones((3, 3)))
    return np.isin(labels, labels[strong]) & weak


def grown(*, steps=None, four=False, free=False, kind=bool):
    """Growth with one mistake: too few steps, four neighbours, through anything."""

    def answer(weak, strong):
        shape = ndimage.generate_binary_structure(2, 1 if four else 2)
        mask = np.ones_like(weak) if free else weak
        found = strong
        for _ in range(steps or weak.size):
            found = ndimage.binary_dilation(found, shape) & mask
        return found.astype(kind)

    return answer


def by_two_scans(weak, strong):
    """Once through the rows and once back, each pixel from its eight neighbours."""
    found = np.pad(strong, 1)
    places = [(y, x) for y, x in np.argwhere(np.pad(weak, 1))]
    for y, x in [*places, *places[::-1]]:
        found[y, x] = found[y - 1 : y + 2, x - 1 : x + 2].any()
    return found[1:-1, 1:-1]


def rolled(weak, strong):
    """As if the image went on at its other side."""
    found = strong
    for _ in range(weak.size):
        tall = found | np.roll(found, 1, 0) | np.roll(found, -1, 0)
        found = (tall | np.roll(tall, 1, 1) | np.roll(tall, -1, 1)) & weak
    return found


def blur(change):
    """An answer made of the ratio 8 c / T and sigma."""

    def answer(contrast, high, sigma):
        return change(8 * contrast / high, sigma)

    return answer


NAMES = ("spread", "softest_rim")
OTHERS = {
    "spread": by_labels,
    "softest_rim": lambda c, t, s: max((8 * c / t) ** 2 / (2 * np.pi) - s * s, 0) ** 0.5,
}
WRONG = [
    ("spread", lambda weak, strong: weak, "only what is connected"),
    ("spread", lambda weak, strong: strong, "all eight neighbours"),
    ("spread", grown(four=True), "all eight neighbours"),
    ("spread", grown(steps=1), "until nothing is added"),
    ("spread", grown(steps=4), "until nothing is added"),
    ("spread", grown(steps=10), "until nothing is added"),
    ("spread", by_two_scans, "until nothing is added"),
    ("spread", rolled, "the far side is no neighbour"),
    ("spread", grown(free=True), "only what is connected"),
    ("spread", grown(kind=float), "expected bool"),
    ("spread", lambda weak, strong: strong.any(), "expected shape"),
    ("softest_rim", blur(lambda q, s: np.sqrt(q**2 / (2 * np.pi) - s**2)), "too faint"),
    ("softest_rim", blur(lambda q, s: max(q / np.sqrt(2 * np.pi) - s, 0)), "with smoothing"),
    ("softest_rim", blur(lambda q, s: max(q**2 / (2 * np.pi) - s**2, 0)), "with smoothing"),
    ("softest_rim", blur(lambda q, s: q / np.sqrt(2 * np.pi)), "too faint"),
    ("softest_rim", blur(lambda q, s: max(q**2 / (2 * np.pi) - s, 0) ** 0.5), "with smoothing"),
    (
        "softest_rim",
        lambda c, t, s: max((c / t) ** 2 / (2 * np.pi) - s**2, 0) ** 0.5,
        "with smoothing",
    ),
    (
        "softest_rim",
        lambda c, t, s: 0 if c < t / 4 else ((8 * c / t) ** 2 / (2 * np.pi) - s**2) ** 0.5,
        "faint, but sharp",
    ),
]
EQUIVALENT = {}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
