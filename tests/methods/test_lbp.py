"""LBP's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "lbp.ipynb"
CHECKS = ["codes", "maps", "enlarged", "experiments"]


@pytest.fixture(scope="module")
def lbp():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(lbp, seed):
    lbp.check_uniform()
    for name in CHECKS:
        getattr(lbp, f"check_{name}")(seed)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("codes", "(other >= limit)", "(other > limit)"),
        ("uniform", "(0, 1), (-1, 1), (-1, 0)", "(0, 1), (-1, 0), (-1, 1)"),
        ("codes", "radius * (1 + right)", "radius * (1 - right)"),
        ("codes", "grey + np.float32(tolerance)", "grey + tolerance"),
        ("codes", "limit = grey +", "limit = grey -"),
        ("uniform", "changes <= 2", "changes <= 4"),
        ("uniform", "np.roll(bits, 1, axis=-1)", "np.roll(bits, 2, axis=-1)"),
        ("uniform", "count + 1)", "count)"),
        ("uniform", "[-radius * np.sin(angle)", "[radius * np.sin(angle)"),
        ("uniform", "(1 - y) * upper + y * lower", "y * upper + (1 - y) * lower"),
        ("maps", "place = 10 * cell +", "place = 9 * cell +"),
        ("maps", "/ (2 * step) ** 2", "/ step**2"),
        ("maps", "np.maximum(h + m, 1e-9)", "np.maximum(m, 1e-9)"),
        ("maps", "np.minimum(grids, chi_square", "np.maximum(grids, chi_square"),
        ("enlarged", "/ step - 1, 0", "/ step, 0"),
        ("enlarged", "return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))"),
        (
            "experiments",
            "np.asarray(one) != np.asarray(other)",
            "np.asarray(one) > np.asarray(other)",
        ),
        ("experiments", "ddof=1) / np.sqrt(len(gap))", "ddof=1) / len(gap)"),
    ],
)
def test_a_broken_equation_does_not_pass_its_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, f"check_{check}")()


def test_the_code_of_a_patch_is_known(lbp):
    patch = np.array([[9, 1, 7], [5, 5, 4], [6, 2, 8]])
    # from the right, counter-clockwise: 4, 7, 1, 9, 5, 6, 2, 8
    assert lbp.code_of(patch) == 0b10111010
    assert lbp.lbp(patch[None], 1)[0, 1, 1] == 0b10111010
    assert lbp.LABELS[0b10111010] == 9


def test_labels_are_ten_and_do_not_heed_rotation(lbp):
    codes = np.arange(256)
    turned = codes << 1 & 255 | codes >> 7
    np.testing.assert_array_equal(lbp.LABELS, lbp.LABELS[turned])
    assert np.bincount(lbp.LABELS).tolist() == [1, 8, 8, 8, 8, 8, 8, 8, 1, 198]


def test_a_quarter_turn_of_the_image_turns_the_labels_with_it(lbp):
    grey = np.random.default_rng(0).integers(0, 256, (2, 24, 24)).astype(np.uint8)
    labels = lbp.LABELS[lbp.lbp(grey, 2)]
    turned = lbp.LABELS[lbp.lbp(np.rot90(grey, axes=(1, 2)), 2)]
    np.testing.assert_array_equal(turned, np.rot90(labels, axes=(1, 2)))


def test_the_proof_needs_neighbours_on_the_grid(lbp):
    grey = np.random.default_rng(0).integers(1, 256, (30, 30)).astype(float)
    assert (lbp.circle_lbp(np.sqrt(grey), 4, 1) == lbp.circle_lbp(grey, 4, 1)).all()
    assert (lbp.circle_lbp(np.sqrt(grey), 8, 1) != lbp.circle_lbp(grey, 8, 1)).any()


def test_a_histogram_holds_every_pixel_of_its_window_once(lbp):
    grey = np.random.default_rng(0).integers(0, 256, (20, 70, 70)).astype(np.uint8)
    shares = lbp.histograms(grey, 4, 8)
    assert shares.shape == (20, 7, 7, 10)  # 8 cells, 6 pixels are left over
    np.testing.assert_allclose(shares.sum(axis=3), 1, rtol=1e-6)


def test_a_tolerance_ignores_small_differences_in_maps_too(lbp):
    rng = np.random.default_rng(0)
    normal, new = rng.integers(100, 103, (2, 3, 16, 16)).astype(np.uint8)
    assert lbp.lbp_maps(normal, new, 1, 4).max() > 0
    assert lbp.lbp_maps(normal, new, 1, 4, tolerance=3).max() == 0


def test_a_window_seen_before_is_not_anomalous_though_far_from_the_mean(lbp):
    normal = np.zeros((2, 1, 1, 10), np.float32)
    normal[0, ..., 0] = normal[1, ..., 9] = 1
    assert lbp.nearest(normal, normal).max() == 0
    assert lbp.chi_square(normal, normal.mean(axis=0)).min() > 0.5


EQUIVALENT_DEFINITIONS = {
    "photograph": "reads a photograph whose three channels are equal",
    "root": "any strictly increasing curve will do",
    "uniform": {
        "bits = {np.asarray(codes) → codes}[..., None] >> np.arange(count) & 1": (
            "codes are arrays"
        ),
        "return np.where(changes <= {2 → 3}, bits.sum(axis=-1), count + 1)": "U is even",
    },
    "circle_lbp": {
        "wide, codes = (np.pad({grey.astype(float) → grey}, 1), 0)": ("the weights are floats"),
    },
    "histograms": {
        "for some in np.array_split(grey, -{(-len(grey) // 16) → -len(grey)}):": (
            "the size of a batch changes nothing"
        ),
        "for some in np.array_split(grey, -(-len(grey) // {16 → 17})):": (
            "the size of a batch changes nothing"
        ),
        "for some in np.array_split(grey, -(-len(grey) // {16 → 15})):": (
            "the size of a batch changes nothing"
        ),
        "own = own.reshape(-{1 → 2}, rows, columns, 10)": (
            "NumPy takes any negative number for the length that is left"
        ),
    },
    "nearest": {
        "for one in normal[{1 → }:]:": "the first once more",
        "for one in normal[{1 → 0}:]:": "the first once more",
    },
    "grey_levels": {
        "total = images.sum({axis=3, dtype=np.uint16 → axis=3})": "the same sum, more memory",
        "return ({(total + 1) // 3).astype(np.uint8) → total + 1) // 3}": "a wider type",
    },
    "lbp_maps": {
        "parameter of lbp_maps ignored: tolerance = 2": "tested above with others",
        "return anomaly_maps(nearest(memory, own), grey.shape[{1 → 2}], step)": ("square images"),
    },
    "changed": {
        "return np.mean({np.asarray(one) → one} != np.asarray(other), axis=(1, 2))": (
            "one of the two being an array is enough"
        ),
        "return np.mean(np.asarray(one) != {np.asarray(other) → other}, axis=(1, 2))": (
            "one of the two being an array is enough"
        ),
    },
}

# --- the exercises ------------------------------------------------------------------------------


def smallest_by_words(codes):
    words = [f"{c:08b}" for c in np.ravel(codes)]
    least = [min(int(w[k:] + w[:k], 2) for k in range(8)) for w in words]
    return np.reshape(least, np.shape(codes))


def moves(count, *, carry=True, right=False):
    def answer(codes):
        best = codes
        for _ in range(count):
            out = codes << 7 if right else codes >> 7
            codes = (codes >> 1 if right else codes << 1) | (out if carry else 0)
            best = np.minimum(best, codes)
        return best

    return answer


def without_the_code_itself(codes):
    words = [f"{c:08b}" for c in codes.ravel()]
    least = [min(int(w[k:] + w[:k], 2) for k in range(1, 8)) for w in words]
    return np.reshape(least, codes.shape)


def mirrored_too(codes):
    mirrored = [int(f"{c:08b}"[::-1], 2) for c in codes.ravel()]
    mirrored = np.reshape(mirrored, codes.shape).astype(int)
    return np.minimum(smallest_by_words(codes), smallest_by_words(mirrored))


def in_uint8(table, low, high):
    return bool((np.diff(table[low : high + 1]) > 0).all())


def keeps(condition):
    return lambda table, low, high: bool(np.all(condition(table.astype(int), low, high)))


NAMES = ("smallest_rotation", "keeps_codes")
OTHERS = {
    "smallest_rotation": smallest_by_words,
    "keeps_codes": lambda table, low, high: (
        len(set(table[low : high + 1].tolist())) == high - low + 1
        and sorted(table[low : high + 1].tolist()) == table[low : high + 1].tolist()
    ),
}
WRONG = [
    ("smallest_rotation", moves(7, carry=False), "8 bits: 0b11000000 -> 0b11"),
    ("smallest_rotation", moves(6), "four codes by hand"),
    ("smallest_rotation", without_the_code_itself, "no move or seven moves"),
    ("smallest_rotation", lambda codes: moves(7)(codes.astype(int)), "8 bits: 0b11000000 -> 0b11"),
    ("smallest_rotation", lambda codes: codes, "8 bits: 0b11000000 -> 0b11"),
    ("smallest_rotation", lambda codes: smallest_by_words(codes).ravel(), "expected shape (2, 2)"),
    ("smallest_rotation", lambda codes: codes.astype(int) << 1, "above 255"),
    ("smallest_rotation", mirrored_too, "turned, not mirrored"),
    ("smallest_rotation", lambda codes: smallest_by_words(codes) / 1, "expected whole values"),
    ("keeps_codes", lambda t, low, high: np.diff(t) > 0, "expected shape ()"),
    ("keeps_codes", in_uint8, "a negative"),
    ("keeps_codes", keeps(lambda t, low, high: np.diff(t) >= 0), "two levels become one"),
    ("keeps_codes", keeps(lambda t, low, high: np.diff(t) > 0), "below the clipping"),
    ("keeps_codes", keeps(lambda t, low, high: np.diff(t[low:high]) > 0), "206 is included"),
    ("keeps_codes", keeps(lambda t, low, high: np.diff(np.unique(t)) > 0), "two levels become one"),
    ("keeps_codes", keeps(lambda t, low, high: t[high] > t[low]), "two levels become one"),
    ("keeps_codes", keeps(lambda t, low, high: np.diff(t[low + 1 : high + 1]) > 0), "swapped"),
    (
        "keeps_codes",
        keeps(lambda t, low, high: t[high] - t[low] >= high - low),
        "inside, 90 passes 91: False",
    ),
    (
        "keeps_codes",
        lambda t, low, high: bool(
            len(np.unique(t[low : high + 1])) == high + 1 - low and t[high] > t[low]
        ),
        "100 and 101 are swapped: False",
    ),
    (
        "keeps_codes",
        lambda t, low, high: bool(np.all(np.diff(t[low : high + 1].astype(np.int8)) > 0)),
        "0 follows 255",
    ),
    (
        "keeps_codes",
        keeps(lambda t, low, high: np.diff(t[low : high + 1]) == 1),
        "always rising, by 2",
    ),
]
EQUIVALENT = {
    "smallest_rotation": {"for _ in range({7 → 8}):": "eight moves lead back to the code"},
    "keeps_codes": {
        "return {bool(np.all(np.diff(part) > 0)) → np.all(np.diff(part) > 0)}": (
            "a NumPy truth value counts alike"
        ),
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
