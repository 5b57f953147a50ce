"""Zhang and Suen's notebook: conditions hold and are guarded, exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy import ndimage
from skimage.morphology import skeletonize

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "zhang_suen.ipynb"


@pytest.fixture(scope="module")
def zhang_suen():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(zhang_suen, seed):
    zhang_suen.check_fidelity(seed)
    zhang_suen.check_measures()
    zhang_suen.check_widths()
    zhang_suen.check_points(seed)
    zhang_suen.check_detector()
    zhang_suen.check_sizes()


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_fidelity", "low if first else high", "high if first else low"),
        ("check_fidelity", "low if first else high", "low"),
        ("check_fidelity", "(b >= 2) & (b <= 6)", "(b >= 1) & (b <= 6)"),
        ("check_fidelity", "(b >= 2) & (b <= 6)", "(b >= 2) & (b <= 7)"),
        ("check_fidelity", "& (a == 1)", "& (a >= 1)"),
        ("check_fidelity", "p2 & p4 & p6 | p4 & p6 & p8", "p2 & p4 & p6"),
        ("check_fidelity", "p2 & p4 & p8 | p2 & p6 & p8", "p2 & p4 & p8"),
        ("check_fidelity", "np.roll(ring, -1, axis=1))", "np.roll(ring, 2, axis=1))"),
        ("check_measures", "np.sqrt(2) * diagonal", "diagonal"),
        ("check_measures", "(pieces >= 3).sum()", "(pieces >= 2).sum()"),
        ("check_widths", "[skeleton] - 1", "[skeleton]"),
        ("check_detector", "(closed + np.float32(8))", "(closed + np.float32(1))"),
        ("check_detector", "- mean) / spread, 0.98)", "- mean) / spread, 0.5)"),
        ("check_sizes", "near[1] = True", "near[:] = True"),
        ("check_sizes", "np.sqrt(sizes).astype", "sizes.astype"),
    ],
)
def test_a_broken_condition_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, check)()


@pytest.mark.parametrize("seed", range(4))
def test_thinning_neither_joins_nor_breaks_shapes(zhang_suen, seed):
    noise = np.random.default_rng(seed).normal(size=(60, 60))
    mask = ndimage.gaussian_filter(noise, 3) > 0.03
    everywhere = np.ones((3, 3))
    labels, count = ndimage.label(mask, everywhere)
    pieces = [
        ndimage.label(zhang_suen.thin(labels == k), everywhere)[1] for k in range(1, count + 1)
    ]
    assert max(pieces) == 1  # a piece may vanish, such as a square of 2x2, but not break


def test_what_the_text_says_of_scikit_image(zhang_suen):
    square = np.pad(np.ones((2, 2), bool), 3)
    assert not zhang_suen.thin(square).any() and skeletonize(square, method="zhang").any()
    diagonal = zhang_suen.diagonal_line(40, 2)
    ours, theirs = zhang_suen.thin(diagonal), skeletonize(diagonal, method="zhang")
    assert zhang_suen.length(ours) < 2 < 20 < zhang_suen.length(theirs)
    assert zhang_suen.thin(np.pad(np.eye(4) > 0, 1)).sum() == 4
    hook = np.zeros((6, 6), bool)
    hook[1:5, 1] = hook[4, 1:5] = True
    assert zhang_suen.thin(hook)[4, 1] and not skeletonize(hook, method="zhang")[4, 1]


def test_a_mean_difference_has_the_interval_of_its_standard_error(zhang_suen):
    a = np.random.default_rng(0).normal(0.3, 0.1, 200)
    found = zhang_suen.mean_difference(a + 1, np.ones(200))
    assert found.value == pytest.approx(a.mean())
    assert found.high - found.value == pytest.approx(1.96 * 0.1 / np.sqrt(200), rel=0.15)


def test_a_stroke_has_its_length_thickness_and_angle(zhang_suen):
    upright = zhang_suen.stroke(60, 3, 0, (0, 0))
    assert upright.sum() == 59 * 3 and upright[40, 39:42].all()
    np.testing.assert_array_equal(zhang_suen.stroke(60, 3, 90, (0, 0)), upright.T)
    assert zhang_suen.stroke(60, 3, 30, (0, 0))[50, 46]
    assert zhang_suen.stroke(60, 3, 0, (0, 5))[40, 45]


def test_more_images_and_larger_ones_need_more_memory(zhang_suen):
    few = zhang_suen.bytes_needed(240, 260, 256)
    assert few > 500 * 256**2 * 12
    assert zhang_suen.bytes_needed(960, 1040, 256) == 4 * few
    assert zhang_suen.bytes_needed(240, 260, 512) == 4 * few


def test_wrong_settings_are_refused(zhang_suen):
    grey = np.zeros((1, 4, 4), np.uint8)
    with pytest.raises(ValueError, match="found 'left'"):
        zhang_suen.missing_light(grey, 3, "left")
    with pytest.raises(ValueError, match="width odd"):
        zhang_suen.missing_light(grey, 4, "dark")


def test_the_longest_skeleton_is_measured(zhang_suen):
    mask = np.zeros((20, 40), bool)
    mask[4:7, 3:36] = mask[12:19, 5:12] = True
    sizes = zhang_suen.skeleton_sizes(zhang_suen.thin(mask[None]))[0]
    length, width = zhang_suen.measures(sizes, mask)
    assert 28 <= length <= 33 and width == 3
    assert zhang_suen.measures(0 * sizes, 0 * mask) == (0, 0)


EQUIVALENT_DEFINITIONS = {
    "removable": {
        "a = (~ring & np.roll(ring, {-1 → 1}, axis=1)).sum(axis=1)": "as many steps down as up",
    },
    "thin": {
        "ring = {np.array([-row, 1 - row, 1, row + 1, row, row - 1, -1, -row - 1]) → "
        "[-row, 1 - row, 1, row + 1, row, row - 1, -1, -row - 1]}": "a list is added alike"
    },
    "length": {
        "on = {np.pad(skeleton, 1) → skeleton}": "a margin adds no step",
        "on = np.pad(skeleton, {1 → 2})": "a margin adds no step",
        "on = np.pad(skeleton, {1 → 0})": "a margin adds no step",
    },
    "points": {
        "ring = {np.array([-row, 1 - row, 1, row + 1, row, row - 1, -1, -row - 1]) → "
        "[-row, 1 - row, 1, row + 1, row, row - 1, -1, -row - 1]}": "a list is added alike",
        "around = flat[np.flatnonzero(flat)[:, None] {+ → -} ring]": "the ring half a turn on",
        "pieces = (~around & np.roll(around, {-1 → 1}, axis=1)).sum(axis=1)": (
            "as many steps down as up"
        ),
        "return ({int((around.sum(axis=1) == 1).sum()) → (around.sum(axis=1) == 1).sum()}, "
        "int((pieces >= 3).sum()))": "a NumPy integer counts alike",
        "return (int((around.sum(axis=1) == 1).sum()), "
        "{int((pieces >= 3).sum()) → (pieces >= 3).sum()})": "a NumPy integer counts alike",
    },
    "missing_light": {
        "high = ndimage.maximum_filter1d(grey, width, {axis=2, mode= → mode=}'nearest')": (
            "the last axis is the default"
        ),
        "high = ndimage.maximum_filter1d(grey, width, {axis=2, mode='nearest' → axis=2})": (
            "a reflected border holds only what the window holds already"
        ),
        "closed = ndimage.minimum_filter1d(high, width, {axis=2, mode= → mode=}'nearest')": (
            "the last axis is the default"
        ),
        "closed = ndimage.minimum_filter1d(high, width, {axis=2, mode='nearest' → axis=2})": (
            "a reflected border holds only what the window holds already"
        ),
        "share = ({closed.astype(np.float32) → closed} - grey) / (closed + np.float32(8))": (
            "closing is not below the image"
        ),
        "return ndimage.gaussian_filter(share, ({0 → -1}, 1, 1), mode='nearest')": (
            "SciPy smooths only where sigma is above 0"
        ),
    },
    "learn": {
        "return (mean, spread, {float(np.quantile((shares - mean) / spread, 0.98)) → "
        "np.quantile((shares - mean) / spread, 0.98)})": "a NumPy number counts alike",
    },
    "crack_sizes": {
        "return skeleton_sizes(thin((shares - mean) / spread {> → >=} limit))": (
            "no share equals the limit"
        ),
    },
    "anomaly_maps": {
        "roots = np.sqrt(sizes){.astype(np.float32) → }": "more memory, the same map",
        "return ndimage.gaussian_filter(roots, ({0 → -1}, 4, 4), mode='nearest')": (
            "SciPy smooths only where sigma is above 0"
        ),
    },
    "measures": "tested above",
    "thin_by_loop": "the reference itself; an altered one disagrees with the fast form",
    "diagonal_line": "draws an example; tested above",
    "bytes_needed": "an estimate; tested above",
    "light": "reads images; the share is tested above",
    "stroke": "tested above",
    "shares_left": "draws lines and measures them",
    "mean_difference": "tested above",
    "ragged_bar": "draws an example",
    "picture": "reads a drawing of an exercise",
    "cut": "reads a drawing of an exercise",
}

# --- the exercises ------------------------------------------------------------------------------


def ring_by_text(ring):
    text = "".join(str(int(p)) for p in ring)
    return (text + text[0]).count("01"), text.count("1")


def prune_by_loop(skeleton, times, *, keep=1, at_once=True, lone=False):
    on = np.pad(np.array(skeleton, bool), 1)
    for _ in range(times):
        source = on.copy() if at_once else on
        for y, x in zip(*np.nonzero(source), strict=True):
            near = source[y - 1 : y + 2, x - 1 : x + 2].sum() - 1
            if near == keep or (lone and near == 0):
                on[y, x] = False
    return on[1:-1, 1:-1]


def prune_around(skeleton, times):
    """As if the image went on at its other side."""
    on = np.array(skeleton, bool)
    for _ in range(times):
        on = on & (ndimage.convolve(on.astype(int), np.ones((3, 3), int), mode="wrap") != 2)
    return on


def prune_with(skeleton, times, *, mode="constant", shape=(3, 3), spare=0):
    """The folded solution with one mistake: another border, other ends, small pieces spared."""
    on = np.array(skeleton, bool)
    for _ in range(times):
        around = ndimage.convolve(on.astype(int), np.ones(shape, int), mode=mode)
        ends = on & (around == 2)
        labels, _ = ndimage.label(on, np.ones((3, 3)))
        ends &= np.bincount(labels.ravel())[labels] > spare
        on = on & ~ends
    return on


def prune_straight(skeleton, times):
    """Only ends whose neighbour lies above, below or beside."""
    on, plus = np.array(skeleton, bool), ndimage.generate_binary_structure(2, 1).astype(int)
    for _ in range(times):
        near = [
            ndimage.convolve(on.astype(int), k, mode="constant") for k in (plus, np.ones_like(plus))
        ]
        on = on & ~((near[0] == 2) & (near[1] == 2))
    return on


def prune_inside(skeleton, times):
    """The outermost pixels are never looked at."""
    on = prune_by_loop(skeleton, times)
    for rim in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        on[rim] = skeleton[rim]
    return on


def straighten_by_cases(
    skeleton, *, cases="NE ES SW WN", opposite=True, at_once=False, corner=False, margin=0
):
    on = np.pad(np.array(skeleton, bool), 1, constant_values=bool(margin))
    source = on.copy() if at_once else on
    place = {"N": (-1, 0), "E": (0, 1), "S": (1, 0), "W": (0, -1)}
    for y, x in np.argwhere(skeleton) + 1:
        for one, two in cases.split():
            (a, b), (c, d) = place[one], place[two]
            far = source[y - a, x - b] or source[y - c, x - d] or source[y - a - c, x - b - d]
            far = (opposite and far) or (corner and on[y + a + c, x + b + d])
            if source[y + a, x + b] and source[y + c, x + d] and not far:
                on[y, x] = False
    return on[1:-1, 1:-1]


def straighten_around(skeleton):
    """As if the image went on at its other side."""
    on = np.array(skeleton, bool)
    for y, x in np.argwhere(on):
        for dy, dx in ((-1, 1), (1, 1), (1, -1), (-1, -1)):
            wide = np.pad(on, 1, mode="wrap")[y : y + 3, x : x + 3]
            sides = wide[1 + dy, 1] and wide[1, 1 + dx]
            if sides and not (wide[1 - dy, 1] or wide[1, 1 - dx] or wide[1 - dy, 1 - dx]):
                on[y, x] = False
    return on


def straighten_until_stable(skeleton):
    before, after = skeleton, straighten_by_cases(skeleton)
    while not np.array_equal(before, after):
        before, after = after, straighten_by_cases(after)
    return after


NAMES = ("count_ring", "prune", "straighten")
OTHERS = {"count_ring": ring_by_text, "prune": prune_by_loop, "straighten": straighten_by_cases}

WRONG = [
    ("count_ring", lambda r: ring_by_text(r)[::-1], "swapped"),
    (
        "count_ring",
        lambda r: (sum(r[i] < r[i + 1] for i in range(7)), sum(r)),
        "every other",
    ),
    ("count_ring", lambda r: (2 * ring_by_text(r)[0], sum(r)), "two pieces"),
    ("count_ring", lambda r: (ring_by_text(r)[0], 8 - sum(r)), "no neighbour"),
    ("prune", lambda s, n: prune_by_loop(s, 1), "no times"),
    ("prune", lambda s, n: prune_by_loop(s, n, lone=True), "a lone pixel stays"),
    ("prune", lambda s, n: prune_by_loop(s, n, at_once=False), "once, all ends together"),
    ("prune", lambda s, n: prune_by_loop(s, min(n, 1)), "three times"),
    ("prune", lambda s, n: prune_by_loop(s, min(n, 2)), "three times"),
    ("prune", lambda s, n: prune_straight(s, n), "an end on a diagonal"),
    ("prune", lambda s, n: prune_with(s, n, spare=2), "a pair is two ends"),
    ("prune", lambda s, n: prune_with(s, n, mode="nearest"), "at the border"),
    ("prune", lambda s, n: prune_with(s, n, mode="reflect"), "at the border"),
    ("prune", prune_inside, "at the border"),
    ("prune", lambda s, n: prune_by_loop(s, n).astype(float), "bool"),
    ("prune", lambda s, n: prune_around(s, n), "at the border"),
    ("straighten", lambda s: straighten_by_cases(s, opposite=False), "opposite"),
    ("straighten", lambda s: straighten_by_cases(s, at_once=True), "falling stairs"),
    ("straighten", lambda s: straighten_by_cases(s, cases="ES SW WN"), "above and right"),
    ("straighten", lambda s: straighten_by_cases(s, cases="NE ES SW"), "above and left"),
    ("straighten", lambda s: straighten_by_cases(s, cases="NE SW WN"), "rising stairs"),
    ("straighten", lambda s: straighten_by_cases(s).astype(int), "bool"),
    ("straighten", lambda s: straighten_by_cases(s, corner=True), "a knot"),
    ("straighten", straighten_until_stable, "a knot"),
    ("straighten", lambda s: straighten_by_cases(s, margin=1), "at a border"),
    ("straighten", straighten_around, "at a border"),
]
EQUIVALENT = {
    "count_ring": {
        "steps = sum(({int(ring[i - 1]) → ring[i - 1]} < int(ring[i]) for i in range(8)))": (
            "0 and 1 compare alike"
        ),
        "steps = sum((int(ring[i - 1]) < {int(ring[i]) → ring[i]} for i in range(8)))": (
            "0 and 1 compare alike"
        ),
        "return (steps, sum(({int(p) → p} for p in ring)))": "0 and 1 add alike",
    },
    "prune": {"on = {np.array(skeleton, bool) → skeleton}": "only replaced, never changed"},
    "straighten": {
        "on = np.pad({np.array(skeleton, bool) → skeleton}, 1)": "the pictures are arrays of bool",
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
