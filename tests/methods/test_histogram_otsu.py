"""Otsu's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

import math
from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "histogram_otsu.ipynb"


@pytest.fixture(scope="module")
def otsu():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(otsu, seed):
    otsu.check_fidelity()
    otsu.check_levels(seed)
    otsu.check_maps()
    otsu.check_sides()
    otsu.check_experiments(seed)
    otsu.check_valley(seed)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_fidelity", "w0 * w1 * (mu0 - mu1) ** 2", "(mu0 - mu1) ** 2"),
        ("check_fidelity", "w0 * w1 * (mu0 - mu1) ** 2", "w0 * w1 * np.abs(mu0 - mu1)"),
        (
            "check_fidelity",
            "int(np.argmax(between_class_variance(hist)))",
            "int(np.argmax(between_class_variance(hist))) + 1",
        ),
        ("check_fidelity", "np.average((grey - mean) ** 2, weights", "np.average(grey**2, weights"),
        ("check_levels", "best[:-1, None] + gain[1:]", "best[:-1, None] + gain[:-1]"),
        ("check_levels", "m**2 / np.maximum(w, 1e-12)", "m**2"),
        ("check_maps", "levels[0] + 1 - grey", "levels[0] - grey"),
        ("check_maps", "grey - levels[-1]", "grey - levels[0]"),
        ("check_maps", "maps.mean(axis=(1, 2))", "maps.max(axis=(1, 2))"),
        (
            "check_maps",
            "otsu_levels(histogram(normal), classes)",
            "otsu_levels(histogram(grey), 3)",
        ),
        ("check_maps", "(total + 1) // 3", "total // 3"),
        ("check_sides", "few or side not in", "side not in"),
        ("check_experiments", "share * picture.size / np.pi", "share * picture.size"),
        ("check_experiments", "return low if low.mean() < 0.5 else ~low", "return low"),
        ("check_valley", "(1 - p[:-1]) * (between + mean**2)", "(1 - p[:-1]) * between"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, check)()


def test_the_variance_of_two_spikes_is_known(otsu):
    hist = np.bincount([10, 10, 10, 110], minlength=256)
    variance = otsu.between_class_variance(hist)
    assert variance[50] == pytest.approx(0.75 * 0.25 * 100**2)
    assert variance[5] == 0 and variance[200] == 0
    assert otsu.otsu_threshold(hist) == 10
    assert otsu.separability(hist) == pytest.approx(1)


def test_an_image_of_one_grey_level_has_nothing_to_separate(otsu):
    assert otsu.separability(np.bincount([7] * 9, minlength=256)) == 0


def test_levels_are_the_best_of_all_pairs(otsu):
    grey = np.random.default_rng(3).integers(0, 14, 300)
    hist = np.bincount(grey, minlength=256)

    def between(a, b):
        parts = (grey[grey <= a], grey[(grey > a) & (grey <= b)], grey[grey > b])
        return sum(p.size * (p.mean() - grey.mean()) ** 2 for p in parts if p.size)

    pairs = [(a, b) for a in range(13) for b in range(a + 1, 13)]
    assert tuple(otsu.otsu_levels(hist, 3)) == max(pairs, key=lambda pair: between(*pair))


def test_grey_is_the_rounded_mean_of_the_channels(otsu):
    pixels = np.array([[[[0, 0, 1], [0, 1, 1], [255, 255, 255], [10, 20, 31]]]], np.uint8)
    assert otsu.grey_levels(pixels).tolist() == [[[0, 1, 255, 20]]]


def test_a_map_counts_levels_beyond_the_outer_thresholds(otsu):
    grey = np.array([[[90, 100, 101, 200, 201, 230]]], np.uint8)
    levels = np.array([100, 200])
    assert otsu.anomaly_maps(grey, levels, "dark").tolist() == [[[11, 1, 0, 0, 0, 0]]]
    assert otsu.anomaly_maps(grey, levels, "bright").tolist() == [[[0, 0, 0, 0, 1, 30]]]
    assert otsu.anomaly_maps(grey, levels, "both").tolist() == [[[11, 1, 0, 0, 1, 30]]]
    assert otsu.anomaly_maps(grey, levels, "both").dtype == np.float32
    with pytest.raises(ValueError, match=r"with 3 classes; found 'both'"):
        otsu.anomaly_maps(grey, levels[:1], "both")
    with pytest.raises(ValueError, match="found 'left'"):
        otsu.anomaly_maps(grey, levels, "left")


def test_thresholds_come_from_the_normal_images_alone(otsu):
    normal = np.array([[[100, 100, 200, 200]]], np.uint8)
    new = np.array([[[90, 210, 5, 5]], [[90, 99, 100, 101]]], np.uint8)
    maps = otsu.otsu_maps(normal, new, 2, "dark")
    assert maps.tolist() == [[[11, 0, 96, 96]], [[11, 2, 1, 0]]]
    np.testing.assert_array_equal(otsu.otsu_maps(normal, new[:1], 2, "dark"), maps[:1])
    assert otsu.image_scores(maps).tolist() == [203 / 4, 14 / 4]


def test_a_tile_is_the_evenest_part_of_its_image(otsu):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (2, 64, 64)).astype(np.uint8)
    grey[0, 16:32, 32:48], grey[1, 48:, :16] = 7, 9
    tiles = otsu.even_tiles(grey, 16)
    assert tiles.shape == (2, 16, 16) and (tiles[0] == 7).all() and (tiles[1] == 9).all()


def test_a_trial_draws_the_same_discs_for_every_rule(otsu):
    otsu.seed = 3
    pictures = np.random.default_rng(0).normal(150, 4, (3, 48, 48)).astype(np.uint8)
    found = otsu.trial(pictures, 0.1, (-60, 60), otsu.otsu_threshold, 2)
    other = otsu.trial(pictures, 0.1, (-60, 60), otsu.valley_threshold, 2)
    assert found.shape == (3, 2) and (found[:, 0] <= found[:, 1] + 1e-9).all()
    np.testing.assert_array_equal(found[:, 1], other[:, 1])
    assert found.min() > 0.9


def test_a_mean_difference_has_the_interval_of_its_standard_error(otsu):
    a = np.random.default_rng(0).normal(0.3, 0.1, 200)
    found = otsu.mean_difference(a + 1, np.ones(200))
    assert found.value == pytest.approx(a.mean())
    assert found.high - found.value == pytest.approx(1.96 * 0.1 / np.sqrt(200), rel=0.15)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_more_images_and_larger_ones_need_more_memory(otsu):
    few = otsu.bytes_needed(240, 260, 256)
    assert few > 500 * 256**2 * 12
    assert otsu.bytes_needed(960, 1040, 256) == 4 * few == otsu.bytes_needed(240, 260, 512)


def test_valley_emphasis_depends_on_brightness_and_otsu_does_not(otsu):
    rng = np.random.default_rng(0)
    surface = np.r_[rng.normal(150, 6, 4000), rng.normal(120, 6, 30)].clip(0, 255).astype(int)
    bright, dark = (np.bincount(surface - less, minlength=256) for less in (0, 100))
    assert otsu.otsu_threshold(bright) - otsu.otsu_threshold(dark) == 100
    assert otsu.valley_threshold(bright) < 140 < otsu.otsu_threshold(bright)
    near_black = np.bincount((surface - surface.min()), minlength=256)
    assert otsu.valley_threshold(near_black) + surface.min() != otsu.valley_threshold(bright)


EQUIVALENT_DEFINITIONS = {
    "photograph": "reads a photograph whose three channels are equal",
    "bytes_needed": "an estimate; tested above",
    "even_tiles": "tested above",
    "trial": "draws discs and takes means; tested above",
    "mean_difference": "tested above",
    "sweep": "calls trial for every field",
    "heat": "draws a table",
    "otsu_threshold": {
        "return {int(np.argmax(between_class_variance(hist))) → "
        "np.argmax(between_class_variance(hist))}": "a NumPy integer counts alike",
    },
    "class_gains": {
        "weight = np.cumsum(np.append({0 → 1}, p))": "only differences are used",
        "weight = np.cumsum(np.append({0 → -1}, p))": "only differences are used",
        "moment = np.cumsum(np.append({0 → 1}, p * np.arange(hist.size)))": (
            "only differences are used"
        ),
        "moment = np.cumsum(np.append({0 → -1}, p * np.arange(hist.size)))": (
            "only differences are used"
        ),
    },
    "grey_levels": {
        "total = images.sum({axis=3, dtype=np.uint16 → axis=3})": "more memory, the same sum",
    },
    "draw_disc": {
        "row, column = rng.uniform(radius, {np.array(picture.shape) → picture.shape} - radius)": (
            "a tuple minus a NumPy number is an array"
        ),
        "mask = (rows - row) ** 2 + (columns - column) ** 2 {<= → <} radius ** 2": (
            "no pixel lies exactly on the rim"
        ),
    },
    "valley_threshold": {
        "return {int(np.argmax(np.where(between > 0, emphasised, 0))) → "
        "np.argmax(np.where(between > 0, emphasised, 0))}": "a NumPy integer counts alike",
        "return int(np.argmax(np.where(between > 0, emphasised, {0 → 1})))": "always the smaller",
        "return int(np.argmax(np.where(between > 0, emphasised, {0 → -1})))": "always the smaller",
    },
}

# --- the exercises ------------------------------------------------------------------------------


def within_by_classes(hist, first=0, last=None):
    values, p, grey = np.zeros(255), hist / hist.sum(), np.arange(256)
    for t in range(255):
        for part in (slice(first, t + 1), slice(t + 1, last)):
            w = p[part].sum()
            if w > 0:
                mu = (p[part] * grey[part]).sum() / w
                values[t] += (p[part] * (grey[part] - mu) ** 2).sum()
    return values


def within_unweighted(hist):
    values, grey = np.zeros(255), np.arange(256)
    for t in range(255):
        for part in (slice(0, t + 1), slice(t + 1, None)):
            if hist[part].sum():
                mu = np.average(grey[part], weights=hist[part])
                values[t] += np.average((grey[part] - mu) ** 2, weights=hist[part])
    return values


def share_by_search(contrast, sigma):
    low, high = 0.0, 0.5
    enough = 2 / np.pi * sigma**2
    if 0.25 * contrast**2 <= enough:
        return 0.5
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if middle * (1 - middle) * contrast**2 > enough else (middle, high)
        )
    return high


def share(root):
    def answer(contrast, sigma):
        r = 2 / np.pi * sigma**2 / contrast**2
        return 0.5 if 4 * r >= 1 else root(r)

    return answer


def blocks(*, least_matters=True, whole=False, bright=False, dtype=bool, step=None, strict=0.0):
    otsu = definitions(PATH)

    def answer(grey, block, least):
        mask = np.zeros(grey.shape, dtype)
        size = step or block
        for top in range(0, grey.shape[0], size):
            for left in range(0, grey.shape[1], size):
                place = np.s_[top : top + size, left : left + size]
                own = otsu.histogram(grey[place])
                t = otsu.otsu_threshold(otsu.histogram(grey) if whole else own)
                if not least_matters or otsu.separability(own) >= least + strict:
                    mask[place] = grey[place] > t if bright else grey[place] <= t
        return mask

    return answer


NAMES = ("within_class_variance", "smallest_share", "blockwise_mask")
OTHERS = {
    "within_class_variance": within_by_classes,
    "smallest_share": share_by_search,
    "blockwise_mask": blocks(),
}


def from_between(change):
    """An answer made of the between-class variance of the notebook."""
    otsu = definitions(PATH)

    def answer(hist):
        grey = np.arange(hist.size)
        mean = np.average(grey, weights=hist)
        total = np.average((grey - mean) ** 2, weights=hist)
        return change(otsu.between_class_variance(hist), total)

    return answer


WRONG = [
    ("within_class_variance", from_between(lambda between, total: between), "levels 10, 10"),
    (
        "within_class_variance",
        from_between(lambda between, total: between.max() - between),
        "levels 10, 10",
    ),
    (
        "within_class_variance",
        from_between(lambda between, total: np.sqrt(np.maximum(total - between, 0))),
        "levels 10, 10",
    ),
    ("within_class_variance", from_between(lambda between, total: between - total), "below -1e-06"),
    (
        "within_class_variance",
        from_between(lambda between, total: np.append(total - between, total)),
        "expected shape (255,)",
    ),
    ("within_class_variance", from_between(lambda between, total: total), "expected shape"),
    ("within_class_variance", within_unweighted, "levels 10, 10"),
    ("within_class_variance", lambda h: within_by_classes(h, first=1), "levels 0, 1, 255"),
    ("within_class_variance", lambda h: within_by_classes(h, last=255), "levels 0, 1, 255"),
    (
        "within_class_variance",
        lambda h: within_by_classes(h) * h.sum() / (h.sum() - 1),
        "only shares matter",
    ),
    ("smallest_share", lambda c, s: s / c, "clear enough"),
    ("smallest_share", lambda c, s: min(s / c, 0.5), "clear enough"),
    ("smallest_share", share(lambda r: r), "clear enough"),
    ("smallest_share", share(lambda r: (1 + np.sqrt(1 - 4 * r)) / 2), "above 0.5"),
    ("smallest_share", share(lambda r: 1 - np.sqrt(1 - 4 * r)), "clear enough"),
    (
        "smallest_share",
        lambda c, s: share_by_search(c, np.sqrt(s)),
        "only contrast / sigma matters",
    ),
    (
        "smallest_share",
        lambda c, s: (1 - math.sqrt(1 - 8 / math.pi * s**2 / c**2)) / 2,
        "raised ValueError",
    ),
    ("blockwise_mask", blocks(least_matters=False), "noise alone"),
    ("blockwise_mask", blocks(whole=True), "block 2, least 0.65"),
    ("blockwise_mask", blocks(bright=True), "the two dark squares"),
    ("blockwise_mask", blocks(dtype=float), "expected bool"),
    ("blockwise_mask", blocks(step=32), "noise alone"),
    ("blockwise_mask", blocks(strict=0.15), "the two dark squares"),
    ("blockwise_mask", blocks(strict=1e-9), "eta^2 equal to least"),
    ("blockwise_mask", lambda g, block, least: blocks()(g, block, 0.85), "block 2, least 0.65"),
    ("blockwise_mask", lambda g, block, least: blocks()(g, block, least**2), "block 2, least 0.75"),
    ("blockwise_mask", lambda grey, block, least: grey[::block] > 0, "expected shape"),
]
EQUIVALENT = {
    "smallest_share": {
        "if 4 * r {>= → >} 1:": "at 4r = 1 the root is 0 and gives 0.5 as well",
    },
    "blockwise_mask": {
        "for top in range(0, grey.shape[0]{ →  - 1}, block):": (
            "the height is a multiple of block, larger than 1"
        ),
        "for left in range(0, grey.shape[1]{ →  - 1}, block):": (
            "the width is a multiple of block, larger than 1"
        ),
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
