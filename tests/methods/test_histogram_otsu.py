"""Otsu's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
from notebook_loader import Exercises, definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "histogram_otsu.ipynb"


@pytest.fixture(scope="module")
def otsu():
    return definitions(PATH)


@pytest.fixture(scope="module")
def exercises():
    return Exercises(PATH)


# --- the equations ------------------------------------------------------------------------------


def test_the_checks_pass_on_the_notebook_as_it_is(otsu, capsys):
    otsu.check_otsu()
    otsu.check_levels()
    assert "scikit-image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_otsu", "w0 * w1 * (mu0 - mu1) ** 2", "(mu0 - mu1) ** 2"),
        ("check_otsu", "w0 * w1 * (mu0 - mu1) ** 2", "w0 * w1 * np.abs(mu0 - mu1)"),
        (
            "check_otsu",
            "int(np.argmax(between_class_variance(hist)))",
            "int(np.argmax(between_class_variance(hist))) + 1",
        ),
        ("check_levels", "best[:-1, None] + gain[1:]", "best[:-1, None] + gain[:-1]"),
        ("check_levels", "m**2 / np.maximum(w, 1e-12)", "m**2"),
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
    with pytest.raises(ValueError, match=r"with 3 classes; found 'both'"):
        otsu.anomaly_maps(grey, levels[:1], "both")
    with pytest.raises(ValueError, match="found 'left'"):
        otsu.anomaly_maps(grey, levels, "left")


def test_valley_emphasis_depends_on_brightness_and_otsu_does_not(otsu):
    rng = np.random.default_rng(0)
    surface = np.r_[rng.normal(150, 6, 4000), rng.normal(120, 6, 30)].clip(0, 255).astype(int)
    bright, dark = (np.bincount(surface - less, minlength=256) for less in (0, 100))
    assert otsu.otsu_threshold(bright) - otsu.otsu_threshold(dark) == 100
    assert otsu.valley_threshold(bright) < 140 < otsu.otsu_threshold(bright)
    near_black = np.bincount((surface - surface.min()), minlength=256)
    assert otsu.valley_threshold(near_black) + surface.min() != otsu.valley_threshold(bright)


# --- the exercises ------------------------------------------------------------------------------


def within_by_classes(hist):
    values, p, grey = np.zeros(255), hist / hist.sum(), np.arange(256)
    for t in range(255):
        for part in (slice(0, t + 1), slice(t + 1, None)):
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


def blocks(otsu, *, least_matters=True, whole=False, bright=False, dtype=bool):
    def answer(grey, block, least):
        mask = np.zeros(grey.shape, dtype)
        for top, left in np.ndindex(grey.shape[0] // block, grey.shape[1] // block):
            place = np.s_[top * block : (top + 1) * block, left * block : (left + 1) * block]
            own = otsu.histogram(grey[place])
            t = otsu.otsu_threshold(otsu.histogram(grey) if whole else own)
            if not least_matters or otsu.separability(own) >= least:
                mask[place] = grey[place] > t if bright else grey[place] <= t
        return mask

    return answer


NAMES = ("within_class_variance", "smallest_share", "blockwise_mask")


def test_these_are_the_exercises(exercises):
    assert exercises.names == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_another_right_answer_is_right(otsu, exercises, name):
    other = {
        "within_class_variance": within_by_classes,
        "smallest_share": share_by_search,
        "blockwise_mask": blocks(otsu),
    }
    assert exercises.verdict(name, other[name]).startswith("[x]")


def wrong_answers(otsu):
    between = otsu.between_class_variance
    return [
        ("within_class_variance", between, "two spikes"),
        ("within_class_variance", lambda h: between(h).max() - between(h), "weigh each"),
        ("within_class_variance", within_unweighted, "weigh each class"),
        ("within_class_variance", lambda h: within_by_classes(h) * h.sum(), "only shares matter"),
        ("smallest_share", lambda c, s: s / c, "too faint for any area"),
        ("smallest_share", share(lambda r: r), "a(1-a)c^2 at your a"),
        ("smallest_share", share(lambda r: (1 + np.sqrt(1 - 4 * r)) / 2), "above 0.5"),
        ("blockwise_mask", blocks(otsu, least_matters=False), "noise alone is no defect"),
        ("blockwise_mask", blocks(otsu, whole=True), "must not heed the others"),
        ("blockwise_mask", blocks(otsu, bright=True), "two dark squares only"),
        ("blockwise_mask", blocks(otsu, dtype=float), "expected bool"),
    ]


@pytest.mark.parametrize("number", range(11))
def test_a_wrong_answer_is_told_what_is_wrong(otsu, exercises, number):
    name, answer, message = wrong_answers(otsu)[number]
    said = exercises.verdict(name, answer)
    assert said.startswith("[!]") and message in said


def test_the_messages_for_wrong_answers_differ(otsu, exercises):
    said = [exercises.verdict(name, answer) for name, answer, _ in wrong_answers(otsu)]
    assert len(set(said)) == len(said)
