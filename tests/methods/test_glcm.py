"""GLCM's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "classical" / "glcm.ipynb"
CHECKS = ["fidelity", "haralick", "windows", "distances", "maps", "contrast"]


@pytest.fixture(scope="module")
def glcm():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


def test_the_checks_pass_on_the_notebook_as_it_is(glcm):
    for name in CHECKS:
        getattr(glcm, f"check_{name}")()


@pytest.mark.parametrize("seed", (1, 2))
def test_the_checks_pass_on_other_random_inputs(glcm, seed):
    for name in CHECKS[2:]:
        getattr(glcm, f"check_{name}")(seed)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("fidelity", "counts[j, i] += 1", "counts[j, i] += 0"),
        ("fidelity", "column + offset[1]", "column - offset[1]"),
        ("fidelity", "return counts / counts.sum()", "return counts"),
        ("fidelity", "total * levels // 766", "total * levels // 765"),
        ("fidelity", "gap = (i - j) ** 2\n", "gap = np.abs(i - j)\n"),
        ("fidelity", "1 / (1 + gap)", "1 / (2 + gap)"),
        ("fidelity", "np.sqrt((p * p)", "((p * p)"),
        ("haralick", "(jj - mean_j**2)", "(ii - mean_i**2)"),
        ("haralick", "np.where(flat, 1, correlation)", "np.where(flat, 0, correlation)"),
        ("haralick", "-(p * np.log(", "-(p * np.log2("),
        ("windows", "(place * levels + first) * levels", "(place * levels + first) * (levels - 1)"),
        ("windows", "counts + counts.swapaxes(-1, -2)", "counts + counts"),
        ("windows", "(d, d), (d, 0), (d, -d)", "(d, -d), (d, 0), (d, d)"),
        ("distances", "normal.mean(axis=0, dtype", "normal.mean(axis=(0, 1, 2), dtype"),
        ("distances", "gap.T @ gap / len(gap)", "gap.T @ gap / len(normal)"),
        ("distances", "np.sqrt(np.maximum(((gap", "(np.maximum(((gap"),
        ("maps", "/ step - 1, 0", "/ step, 0"),
        ("maps", "return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))"),
        ("contrast", "(first - second) ** 2", "np.abs(first - second)"),
        ("contrast", "pairs(there, offset)[0][:] = 1", "there[:] = 1"),
    ],
)
def test_a_broken_equation_does_not_pass_its_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, f"check_{check}")()


def test_the_matrix_of_a_small_image_is_known(glcm):
    q = np.array([[0, 0, 1], [2, 1, 1]], np.uint8)
    right = glcm.cooccurrence(q, (0, 1), 3) * 8  # four pairs, each from both ends
    assert right.tolist() == [[2, 1, 0], [1, 2, 1], [0, 1, 0]]
    down_left = glcm.cooccurrence(q, (1, -1), 3) * 4  # 0 with 2, 1 with 1
    assert down_left.tolist() == [[0, 0, 1], [0, 2, 0], [1, 0, 0]]


def test_quantisation_makes_equal_bins_of_the_mean_of_the_channels(glcm):
    grey = np.arange(256, dtype=np.uint8)
    q = glcm.quantise(np.stack([grey] * 3, axis=-1)[None, None], 16)[0, 0]
    assert q.dtype == np.uint8 and (np.diff(q.astype(int)) >= 0).all()
    assert np.bincount(q).tolist() == [16] * 16
    mixed = np.array([[[[0, 0, 48], [255, 255, 255]]]], np.uint8)
    assert glcm.quantise(mixed, 16).tolist() == [[[1, 15]]]


def test_a_map_is_as_large_as_its_image_whatever_the_cells(glcm):
    q = np.random.default_rng(0).integers(0, 4, (3, 70, 70)).astype(np.uint8)
    features = glcm.texture(q, glcm.directions(1), 4, 8)
    assert features.shape == (3, 7, 7, 20)  # 8 cells, 6 pixels are left over
    assert glcm.texture_maps(features, features, 70, 8).shape == (3, 70, 70)


def test_what_is_normal_here_may_be_anomalous_there(glcm):
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(50, 1, 2, 1)) * 0.1 + [[[0.0], [5.0]]]
    swapped = np.array([[[[5.0], [0.0]]], [[[0.0], [5.0]]]])
    grids = glcm.distances(swapped, *glcm.fit_gaussian(normal))
    assert grids[0].min() > 30 and grids[1].max() < 1


def test_stripes_are_seen_by_pairs_across_them_only(glcm):
    stripes = np.tile(np.array([0, 0, 0, 9, 9, 9], np.uint8), (1, 48, 8))
    across = glcm.window_contrast(stripes, (0, 1), 6)
    along = glcm.window_contrast(stripes, (1, 0), 6)
    assert along.max() == 0 and np.allclose(across[0, :, :-1], 27)
    assert np.allclose(glcm.window_contrast(stripes, (0, 6), 6)[0, :, 0], 0)


def test_squares_above_255_are_no_problem(glcm):
    stripes = np.tile(np.array([0, 20], np.uint8), (1, 16, 8))
    assert np.allclose(glcm.window_contrast(stripes, (0, 1), 4), 400)


def test_more_images_and_larger_ones_need_more_memory(glcm):
    few = glcm.bytes_needed(240, 260, 256)
    assert few > 500 * 256**2 * 12
    assert glcm.bytes_needed(960, 1040, 256) == 4 * few == glcm.bytes_needed(240, 260, 512)


EQUIVALENT_DEFINITIONS = {
    "photograph": "reads a photograph whose three channels are equal",
    "bytes_needed": "an estimate; tested above",
    "score_texture": "calls the functions above in order",
    "score_pixels": "calls the functions above in order",
    "quantise": {
        "total = images.sum({axis=3, dtype=np.uint32 → axis=3})": ("the same sum, more memory"),
    },
    "cooccurrence": {
        "if {0 → -1} <= below < q.shape[0] and 0 <= beside < q.shape[1]:": ("offsets never go up"),
    },
    "haralick": {
        "size = p.shape[-{1 → 2}]": "matrices are square",
        "i, j = np.indices((size, size)).reshape(2, -{1 → 2})": (
            "NumPy takes any negative number for the length that is left"
        ),
        "p = p.reshape(*p.shape[:-2], -{1 → 2})": (
            "NumPy takes any negative number for the length that is left"
        ),
        "flat = spread {< → <=} 1e-09": "no spread equals the bound",
        "correlation = (ij - mean_i * mean_j) / np.sqrt(np.where(flat, {1 → 2}, spread))": (
            "set to 1 afterwards"
        ),
        "correlation = (ij - mean_i * mean_j) / np.sqrt(np.where(flat, {1 → 0}, spread))": (
            "a warning, set to 1 afterwards"
        ),
        "entropy = -(p * np.log(np.where(p > 0, p, {1 → 2}))).sum(axis=-1)": "times 0",
    },
    "window_counts": {
        "return joined(counts.reshape(-{1 → 2}, rows, columns, levels, levels))": (
            "NumPy takes any negative number for the length that is left"
        ),
    },
    "texture": {
        "for some in np.array_split(q, -{(-len(q) // 8) → -len(q)}):": (
            "the size of a batch changes nothing"
        ),
        "for some in np.array_split(q, -(-len(q) // {8 → 9})):": (
            "the size of a batch changes nothing"
        ),
        "for some in np.array_split(q, -(-len(q) // {8 → 7})):": (
            "the size of a batch changes nothing"
        ),
        "p = counts / np.maximum(counts.sum((-1, -2), keepdims=True), {1 → 2})": (
            "a symmetric matrix counts every pair twice"
        ),
    },
    "chosen": {
        "by_direction = features.reshape(*features.shape[:-{1 → 1 + 1}], -1, 5)": "restored below",
        "by_direction = features.reshape(*features.shape[:{-1 → 1}], -1, 5)": "restored below",
        "by_direction = features.reshape(*features.shape[:-{1 → 2}], -1, 5)": "restored below",
        "by_direction = features.reshape(*features.shape[:-{1 → 0}], -1, 5)": "restored below",
        "by_direction = features.reshape(*features.shape[:-1], -{1 → 2}, 5)": (
            "NumPy takes any negative number for the length that is left"
        ),
        "return by_direction[..., index].reshape(*features.shape[:-1], -{1 → 2})": (
            "NumPy takes any negative number for the length that is left"
        ),
    },
    "window_contrast": {
        "first, second = pairs({q.astype(np.float32) → q}, offset)": "tested above",
    },
    "fit_gaussian": {
        "mean = normal.mean({axis=0, dtype=np.float64 → axis=0})": "a little less exact",
        "gap = (normal - mean).reshape(-{1 → 2}, normal.shape[-1])": (
            "NumPy takes any negative number for the length that is left"
        ),
    },
    "distances": {
        "return np.sqrt({np.maximum((gap @ inverse * gap).sum(axis=-1), 0) → (gap @ "
        "inverse * gap).sum(axis=-1)})": ("below 0 by rounding only"),
        "return np.sqrt(np.maximum((gap @ inverse * gap).sum(axis=-1), {0 → -1}))": (
            "below 0 by rounding only"
        ),
    },
    "pixel_features": {
        "grey = images.mean({axis=3, dtype=np.float32 → axis=3})": "more memory",
        "spread = np.sqrt({np.maximum(square - mean ** 2, 0) → square - mean ** 2})": (
            "below 0 by rounding only"
        ),
        "spread = np.sqrt(np.maximum(square - mean ** 2, {0 → -1}))": ("below 0 by rounding only"),
    },
}

# --- the exercises ------------------------------------------------------------------------------


def counts_by_loop(q, offset, levels):
    counts = np.zeros((levels, levels), int)
    for row, column in np.ndindex(*np.shape(q)):
        below, beside = row + offset[0], column + offset[1]
        if below < len(q) and 0 <= beside < len(q[0]):
            counts[q[row][column], q[below][beside]] += 1
    return counts


def rolled(q, offset, levels, *, back=True, kind=int):
    q = np.asarray(q).astype(kind)
    other = np.roll(q, [-o if back else o for o in offset], axis=(0, 1))
    code = (q * levels + other).astype(int)
    return np.bincount(code.ravel(), minlength=levels**2)[: levels**2].reshape(levels, levels)


def contrast_of_pixels(width, height, distance):
    row = np.arange(2 * width * (distance + 1)) // width % 2 * height
    return ((row - np.roll(row, -distance)) ** 2).mean()


NAMES = ("fast_counts", "stripe_contrast")
OTHERS = {"fast_counts": counts_by_loop, "stripe_contrast": contrast_of_pixels}
WRONG = [
    ("fast_counts", rolled, "none past the edge"),
    ("fast_counts", lambda q, o, n: rolled(q, o, n, back=False), "none past the edge"),
    ("fast_counts", lambda q, o, n: counts_by_loop(q, o, n).ravel(), "expected shape (4, 4)"),
    (
        "fast_counts",
        lambda q, o, n: counts_by_loop(q, o, n) + counts_by_loop(q, o, n).T,
        "9 pairs",
    ),
    ("fast_counts", lambda q, o, n: counts_by_loop(q, o, n).T, "first = row, second = column"),
    (
        "fast_counts",
        lambda q, o, n: counts_by_loop(q, o, n) if n < 182 else rolled(q, o, n, kind=np.int16),
        "raised ValueError",
    ),
    (
        "fast_counts",
        lambda q, o, n: counts_by_loop(q, (o[0], abs(o[1])), n),
        "two down, one to the left",
    ),
    (
        "fast_counts",
        lambda q, o, n: counts_by_loop(q, o, n) if n < 16 else rolled(q, o, n, kind=np.uint8),
        "type overflow",
    ),
    ("fast_counts", lambda q, o, n: counts_by_loop(q, o, int(q.max()) + 1), "6 levels"),
    ("stripe_contrast", lambda w, h, d: [d / w], "expected shape ()"),
    ("stripe_contrast", lambda w, h, d: h**2, "less than a stripe apart"),
    ("stripe_contrast", lambda w, h, d: h, "one stripe apart"),
    ("stripe_contrast", lambda w, h, d: d / w * h**2, "between one and two stripes"),
    ("stripe_contrast", lambda w, h, d: min(d / w, 1) * h**2, "between one and two stripes"),
    (
        "stripe_contrast",
        lambda w, h, d: max(min(d, 2 * w - d), 0) / w * h**2,
        "more than a period apart",
    ),
]
EQUIVALENT = {}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
