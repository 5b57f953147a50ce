"""Morphology's notebook: its equations hold and are guarded, exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "morphology.ipynb"


@pytest.fixture(scope="module")
def morphology():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(morphology, seed):
    morphology.check_fidelity(seed)
    morphology.check_library()
    morphology.check_fast(seed)
    morphology.check_maps(seed)
    morphology.check_scores()
    morphology.check_lines()
    morphology.check_light(seed)
    morphology.check_dice(seed)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_fidelity", "covered(grey, shape, 255).min", "covered(grey, shape, 0).min"),
        ("check_fidelity", "covered(grey, shape, 255).min", "covered(grey, shape, 255).max"),
        ("check_fidelity", "shape[::-1, ::-1], 0).max", "shape, 0).max"),
        ("check_fidelity", "dilate(erode(grey, shape), shape)", "erode(grey, shape)"),
        (
            "check_fidelity",
            "erode(dilate(grey, shape), shape)",
            "dilate(erode(grey, shape), shape)",
        ),
        ("check_fidelity", "closing(grey, shape) - grey", "dilate(grey, shape) - grey"),
        ("check_fidelity", "grey - opening(grey, shape)", "grey - erode(grey, shape)"),
        ("check_fast", '"horizontal": (1, width)', '"horizontal": (width, 1)'),
        ("check_fast", "width < 1 or width % 2 == 0", "width < 1"),
        ("check_maps", "grey = 255 - grey", "grey = grey"),
        ("check_maps", "(closed - grey) / (closed + 8)", "(closed - grey) / (grey + 8.0)"),
        ("check_maps", "(spread + 0.01), 0)", "(spread + 0.01), None)"),
        ("check_maps", "usual.mean(axis=0)", "usual.mean()"),
        ("check_scores", "flat.shape[1] // 100, 1)", "flat.shape[1] // 10, 1)"),
        ("check_lines", "columns * np.cos(turn) + rows", "columns * np.cos(turn) - rows"),
        ("check_dice", "best_dice(255 - b, mask)", "best_dice(b, mask)"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, TypeError)):
        getattr(broken, check)()


def test_erosion_and_dilation_of_one_pixel_are_known(morphology):
    grey = np.zeros((3, 5), np.uint8)
    grey[1, 2] = 9
    right = np.array([[False, False, True]])  # the pixel to the right
    assert morphology.erode(grey, right)[1].tolist() == [0, 9, 0, 0, 255]
    assert morphology.dilate(grey, right)[1].tolist() == [0, 0, 0, 9, 0]


def test_a_line_is_filled_as_soon_as_the_shape_is_wider(morphology):
    grey = np.full((1, 5, 40), 90, np.uint8)
    grey[:, :, 10:17] = 60  # 7 wide
    for size, wanted in ((5, 0), (7, 0), (9, 30), (15, 30)):
        hat = morphology.fast_closing(grey, (1, size)) - grey
        assert hat[0, :, 10:17].min() == hat.max() == wanted
    assert not (morphology.fast_closing(grey, (5, 1)) - grey).any()  # longer than the shape


def test_a_uniform_change_of_light_hardly_changes_the_share(morphology):
    grey = np.random.default_rng(0).integers(60, 120, (2, 40, 40)).astype(np.uint8)
    one, two = (morphology.missing_light(f, (1, 9), "dark") for f in (grey, 2 * grey))
    assert np.abs(one - two).max() < 0.05 < one.max()


def test_a_constant_image_has_an_empty_map(morphology):
    grey = np.zeros((3, 20, 20), np.uint8)
    assert not morphology.hat_maps(grey, grey, (1, 5), "both").any()


def test_more_images_and_larger_ones_need_more_memory(morphology):
    few = morphology.bytes_needed(240, 260, 256)
    assert few > 500 * 256**2 * 12
    assert (
        morphology.bytes_needed(960, 1040, 256) == 4 * few == morphology.bytes_needed(240, 260, 512)
    )


def test_grey_is_the_rounded_mean_of_the_channels(morphology):
    pixels = np.array([[[[0, 0, 1], [0, 1, 1], [255, 255, 255], [10, 20, 31]]]], np.uint8)
    assert morphology.grey_levels(pixels).tolist() == [[[0, 1, 255, 20]]]


def test_a_tile_is_the_evenest_part_of_its_image(morphology):
    grey = np.random.default_rng(0).integers(0, 256, (2, 64, 64)).astype(np.uint8)
    grey[0, 16:32, 32:48], grey[1, 48:, :16] = 7, 9
    tiles = morphology.even_tiles(grey, 16)
    assert tiles.shape == (2, 16, 16) and (tiles[0] == 7).all() and (tiles[1] == 9).all()


def test_a_mean_difference_has_the_interval_of_its_standard_error(morphology):
    a = np.random.default_rng(0).normal(0.3, 0.1, 200)
    found = morphology.mean_difference(a + 1, np.ones(200))
    assert found.value == pytest.approx(a.mean())
    assert found.high - found.value == pytest.approx(1.96 * 0.1 / np.sqrt(200), rel=0.15)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_a_disc_has_its_area(morphology):
    mask = morphology.disc_mask(64, 40)
    assert mask.sum() == pytest.approx(np.pi * 20**2, rel=0.02) and mask[32, 32]


EQUIVALENT_DEFINITIONS = {
    "photograph": "reads a photograph whose three channels are equal",
    "bytes_needed": "an estimate; tested above",
    "even_tiles": "tested above",
    "mean_difference": "tested above",
    "grey_levels": "tested above",
    "disc_mask": "tested above",
    "spans": {
        "if element not in sizes or width < {1 → 0} or width % 2 == 0:": "0 is even",
    },
    "fast_closing": {
        "grey = filter1d(grey, size, {axis=axis, mode='nearest' → axis=axis})": (
            "a reflected border holds only what the window holds already"
        ),
    },
    "missing_light": {
        "return ndimage.gaussian_filter(share, ({0 → -1}, 2, 2), mode='nearest')": (
            "SciPy smooths only where sigma is above 0"
        ),
    },
    "image_scores": {
        "flat = maps.reshape(len(maps), -{1 → 2})": "NumPy takes any negative number",
        "return np.partition(flat, -{few, axis=1 → few})[:, -few:].mean(axis=1)": (
            "the last axis is the default"
        ),
    },
    "line_mask": {
        "return np.abs(columns * np.cos(turn) + rows * np.sin(turn)) {< → <=} thick / 2": (
            "no pixel lies at half an odd width"
        ),
    },
    "light_trial": {
        "lit = {np.rint → }(darken(pictures, mask) * lamp).astype(np.uint8)": "half a level",
        "return np.array([(best_dice(a, mask), best_dice({255 → 254} - b, mask)) for a, b in pairs])": (  # noqa: E501
            "no hat is as high"
        ),
    },
}

# --- the exercises ------------------------------------------------------------------------------

MODULE = definitions(PATH)


def width_by_windows(profile, rise, largest):
    """By maxima and minima over windows, without the notebook's closing."""
    row = [int(v) for v in profile]
    place = row.index(min(row))
    for size in range(1, largest + 1, 2):
        half, n = size // 2, len(row)
        high = [max(row[max(i - half, 0) : i + half + 1]) for i in range(n)]
        low = min(high[max(place - half, 0) : place + half + 1])
        if low - row[place] >= rise:
            return size
    return 0


def dark_run(profile, rise, largest):
    """The odd number above the dark pixels in a row, without closing."""
    k = int(np.argmin(profile))
    dark = profile < profile[k] + rise
    first = last = k
    while first > 0 and dark[first - 1]:
        first -= 1
    while last < len(profile) - 1 and dark[last + 1]:
        last += 1
    found = (last - first + 1) * dark[k]
    found += 1 + found % 2
    return found if found <= largest else 0


def last_darkest(row):
    return row.size - 1 - np.argmin(row[0, ::-1])


def width(*, none=0, strict=0, filling=MODULE.closing, place=np.argmin):
    def answer(profile, rise, largest):
        row = np.asarray(profile, np.uint8)[None]
        at = int(place(row))
        for size in range(1, largest + 1, 2):
            filled = filling(row, np.ones((1, size), bool))
            if int(filled[0, at]) - int(row[0, at]) >= rise + strict:
                return size
        return none

    return answer


def spots_by_hats(grey, shapes):
    return np.min([MODULE.black_hat(grey, shape) for shape in shapes], axis=0)


NAMES = ("filling_width", "signed_hat", "spots")
OTHERS = {
    "filling_width": width_by_windows,
    "signed_hat": lambda g, s: (
        MODULE.closing(g, s).astype(int) + MODULE.opening(g, s) - 2 * g.astype(int)
    ),
    "spots": spots_by_hats,
}


def hats(change):
    def answer(grey, shape):
        dark, bright = (f(grey, shape).astype(int) for f in (MODULE.black_hat, MODULE.top_hat))
        return change(dark, bright)

    return answer


WRONG = [
    ("filling_width", lambda p, r, n: 0, "a groove 4 pixels wide"),
    ("filling_width", lambda p, r, n: width()(p, r, 99), "no width up to 4"),
    ("filling_width", lambda p, r, n: width()(p, r, n - 1), "the largest width counts"),
    ("filling_width", width(strict=1), "exactly `rise`"),
    ("filling_width", width(none=-1), "no width up to 4"),
    ("filling_width", lambda p, r, n: width()(p, r, n) - 1, "a groove 4 pixels wide"),
    ("filling_width", lambda p, r, n: width()(p, 20, n), "exactly `rise`"),
    ("filling_width", lambda p, r, n: width()(p, min(r, 20), n), "a valley with slopes"),
    ("filling_width", width(filling=MODULE.dilate), "dilated and eroded"),
    ("filling_width", width(place=lambda row: row.size // 2), "a groove 4 pixels wide"),
    ("filling_width", dark_run, "at the rim"),
    ("filling_width", lambda p, r, n: width()(p, r, min(n, 9)), "dilated and eroded"),
    ("filling_width", width(place=last_darkest), "two grooves, equally dark"),
    (
        "filling_width",
        width(filling=lambda row, b: np.full_like(row, MODULE.closing(row, b).min())),
        "two grooves, equally dark",
    ),
    ("signed_hat", lambda g, s: MODULE.black_hat(g, s) - MODULE.top_hat(g, s), "above 128"),
    ("signed_hat", hats(lambda dark, bright: bright - dark), "the negative of the picture"),
    ("signed_hat", hats(lambda dark, bright: dark + bright), "the negative of the picture"),
    ("signed_hat", hats(lambda dark, bright: (dark - bright) / 255), "whole"),
    ("signed_hat", hats(lambda dark, bright: np.maximum(dark - bright, 0)), "negative"),
    (
        "signed_hat",
        hats(lambda dark, bright: dark.astype(np.int8) - bright.astype(np.int8)),
        "hook and spot",
    ),
    (
        "signed_hat",
        lambda g, s: MODULE.black_hat(g, s).astype(int) - MODULE.top_hat(g, s[::-1, ::-1]),
        "hook and spot",
    ),
    ("spots", lambda g, s: MODULE.black_hat(g, s[0]), "lines must stay"),
    (
        "spots",
        lambda g, s: np.max([MODULE.black_hat(g, b) for b in s], axis=0),
        "lines must stay",
    ),
    ("spots", lambda g, s: np.min([MODULE.closing(g, b) for b in s], axis=0), "one shape"),
    ("spots", lambda g, s: np.min([MODULE.dilate(g, b) for b in s], axis=0) - g, "one shape"),
    ("spots", lambda g, s: spots_by_hats(g, [s[0], s[-1]]), "all three shapes"),
    ("spots", lambda g, s: spots_by_hats(g, s[:2]), "three shapes"),
    (
        "spots",
        lambda g, s: (
            np.max([MODULE.black_hat(g, b) for b in s], axis=0) * (spots_by_hats(g, s) > 0)
        ),
        "three shapes",
    ),
    ("spots", lambda g, s: spots_by_hats(g, s)[1:], "expected shape"),
]
EQUIVALENT = {
    "filling_width": {
        "row = {np.asarray(profile, np.uint8) → profile}[None]": "the profiles are arrays",
        "place = {int(np.argmin(row)) → np.argmin(row)}": "a NumPy integer counts alike",
        "filled = closing(row, np.ones(({1 → 2}, size), bool))[0, place]": (
            "the second row of the shape lies outside the image"
        ),
        "filled = closing(row, np.ones((1, size), bool))[{0 → -1}, place]": "there is one row",
        "if {int(filled) → filled} - int(row[0, place]) >= rise:": "closing is not below",
        "if int(filled) - {int(row[0, place]) → row[0, place]} >= rise:": "closing is not below",
        "if int(filled) - int(row[{0 → -1}, place]) >= rise:": "there is one row",
        "return {0 → -0}": "the same number",
    },
    "spots": {
        "dropped: grey = np.asarray(grey, np.uint8)": "the images are arrays",
        "grey = {np.asarray(grey, np.uint8) → grey}": "the images are arrays",
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
