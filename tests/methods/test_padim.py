"""PaDiM's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from enlarged import enlarged_map
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.spatial.distance import mahalanobis

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "memory_bank" / "padim.ipynb"


@pytest.fixture(scope="module")
def padim():
    return definitions(PATH)


@pytest.fixture
def patches():
    """(12, 4, 3, 5) vectors, correlated, with another mean at every position."""
    rng = np.random.default_rng(1)
    mixed = rng.normal(size=(12, 4, 3, 5)) @ rng.normal(size=(5, 5))
    return torch.tensor(mixed + 3 * rng.normal(size=(4, 3, 5)), dtype=torch.float32)


def by_hand(x: np.ndarray, normal: np.ndarray, epsilon: float = 0.01) -> float:
    """The distance of one vector at one position, from NumPy and SciPy."""
    sigma = np.cov(normal, rowvar=False) + epsilon * np.eye(normal.shape[1])
    return mahalanobis(x, normal.mean(axis=0), np.linalg.inv(sigma))


# --- the equations ------------------------------------------------------------------------------


def test_the_checks_pass_on_the_notebook_as_it_is(padim):
    for seed in range(3):
        padim.check_fidelity(seed)
        padim.check_blocks(seed)
        padim.check_experiments(seed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(x - centre).mT @ (x - centre) / (n - 1)", "(x - centre).mT @ (x - centre) / n"),
        ("covariance.diagonal(dim1=1, dim2=2).add_(regularizer)", "covariance.add_(1e-9)"),
        ("(x - centre).mT @ (x - centre)", "x.mT @ x"),
        ("(patches[part].to(mean.device) - mean)", "patches[part].to(mean.device)"),
        ("z.square().sum(dim=2).sqrt()", "z.square().sum(dim=2)"),
        ("torch.linalg.solve_triangular(factor, step, upper=False)", "step"),
        ('size=(size, size), mode="bilinear")', "size=(size, size))"),
        ("sigma=(0, sigma, sigma)", "sigma=(0, 1, 1)"),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))"),
        ("torch.arange(height * width).split(64)", "torch.arange(height * width).split(64)[:1]"),
        ("torch.arange(len(patches)).split(64)", "torch.arange(len(patches)).split(64)[:1]"),
        ("transpose(0, 1).double()", "transpose(0, 1)"),
        ("= fit_gaussians(normal, regularizer)", "= fit_gaussians(patches, regularizer)"),
        ('size=grid, mode="nearest"', 'size=grid, mode="bilinear"'),
        ("F.adaptive_avg_pool2d(level, grid)", "F.adaptive_max_pool2d(level, grid)"),
        (
            "torch.randperm(total, generator=generator)[:d]",
            "torch.randint(total, (d,), generator=generator)",
        ),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, torch.linalg.LinAlgError)):
        for seed in range(3):
            broken.check_fidelity(seed)
            broken.check_blocks(seed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return squares.sqrt()", "return squares"),
        ("squares += distances(", "squares = distances("),
        ("normal.var(dim=0) + regularizer", "normal.var(dim=0)"),
        ("normal[..., 0].numel() - 1", "len(normal) - 1"),
        ("x = image.flatten(0, 1).double() - centre", "x = image.flatten(0, 1).double()"),
        ("covariance.diagonal().add_(regularizer)", "covariance.diagonal().add_(0.0)"),
    ],
)
def test_a_broken_ablation_does_not_pass_its_check(old, new):
    with pytest.raises((AssertionError, torch.linalg.LinAlgError)):
        definitions(PATH, replace={old: new}).check_experiments()


@pytest.mark.parametrize("n", [11, 5, 2])
def test_every_position_has_the_distance_of_numpy_and_scipy(padim, patches, n):
    mean, factor = padim.fit_gaussians(patches[:n], 0.01)
    found = padim.distances(patches, mean, factor)
    assert found.shape == (12, 4, 3) and found.dtype == torch.float32
    for k, h, w in np.ndindex(12, 4, 3):
        place = patches[:, h, w].double().numpy()
        assert float(found[k, h, w]) == pytest.approx(by_hand(place[k], place[:n]), abs=1e-4)


def test_the_covariances_are_those_of_numpy(padim, patches):
    mean, factor = padim.fit_gaussians(patches, 0.01)
    for h, w in np.ndindex(4, 3):
        sigma = np.cov(patches[:, h, w].numpy(), rowvar=False) + 0.01 * np.eye(5)
        np.testing.assert_allclose((factor @ factor.mT)[h, w], sigma, atol=1e-4)
        np.testing.assert_allclose(mean[h, w], patches[:, h, w].mean(0), atol=1e-5)


def test_more_positions_than_one_block_and_more_images_than_one_batch(padim):
    x = torch.randn(70, 20, 20, 3, generator=torch.Generator().manual_seed(2))
    found = padim.distances(x, *padim.fit_gaussians(x[:30], 0.01))
    for k, h, w in ((0, 0, 0), (69, 19, 19), (64, 12, 16), (5, 13, 0)):
        place = x[:, h, w].double().numpy()
        assert float(found[k, h, w]) == pytest.approx(by_hand(place[k], place[:30]), abs=1e-4)


def test_fitting_leaves_its_input_alone_and_keeps_its_type(padim, patches):
    for x in (patches, patches.double()):
        before = x.clone()
        mean, factor = padim.fit_gaussians(x, 0.01)
        assert torch.equal(x, before)
        assert mean.dtype == factor.dtype == x.dtype
        assert padim.distances(x, mean, factor).dtype == x.dtype


def test_one_normal_image_is_refused_instead_of_giving_nan(padim, patches):
    with pytest.raises(ValueError, match="needs two normal images, found 1"):
        padim.fit_gaussians(patches[:1], 0.01)


def test_large_features_and_few_images_stay_positive_definite(padim):
    x = 1000 * torch.randn(6, 2, 2, 40, generator=torch.Generator().manual_seed(0))
    found = padim.distances(x, *padim.fit_gaussians(x[:4], 0.01))
    assert torch.isfinite(found).all()


def test_a_map_is_the_enlarged_grid_smoothed_and_its_score_the_maximum(padim):
    grids = torch.full((2, 4, 4), 3.0)
    grids[1, 2, 1] = 7.0
    maps = padim.anomaly_maps(grids, 16, 4.0)
    assert maps.shape == (2, 16, 16)
    for grid, found in zip(grids.numpy(), maps, strict=True):
        np.testing.assert_allclose(found, enlarged_map(grid, 16, 4.0), atol=1e-4)
    largest = [3.0, enlarged_map(grids[1].numpy(), 16, 4.0).max()]
    np.testing.assert_allclose(padim.image_scores(maps), largest, atol=1e-4)


def test_channels_are_drawn_once_each_and_follow_the_seed(padim):
    chosen = padim.choose_channels(176, 100, 0)
    assert len(set(chosen.tolist())) == 100 and chosen.min() >= 0 and chosen.max() < 176
    assert torch.equal(chosen, padim.choose_channels(176, 100, 0))
    assert not torch.equal(chosen, padim.choose_channels(176, 100, 1))
    assert padim.choose_channels(5, 5, 3).tolist() == [0, 1, 2, 3, 4]


def test_no_channel_of_a_level_may_be_chosen(padim):
    levels = [torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 2, 2)]
    assert torch.equal(padim.embed(levels, (4, 4), torch.tensor([4])), torch.ones(2, 4, 4, 1))


def test_extracting_in_parts_is_the_same_as_at_once(padim):
    images = np.random.default_rng(0).integers(0, 256, (18, 64, 64, 3), dtype=np.uint8)
    network = backbones.load("random:efficientnet_lite0", strides=(4, 8, 16))
    chosen = padim.choose_channels(176, 20, 0)
    whole = padim.embed(network.features(images, batch_size=2), (8, 8), chosen)
    assert torch.allclose(padim.extract(network, images, (8, 8), chosen), whole, atol=1e-5)


def test_the_memory_is_counted_as_it_is_stored(padim, patches):
    mean, factor = padim.fit_gaussians(patches, 0.01)
    assert padim.gaussian_bytes(4, 3, 5) == mean.nbytes + factor.nbytes
    assert padim.gaussian_bytes(56, 56, 550) == 4 * 56 * 56 * (550**2 + 550)


def test_shifting_by_nothing_changes_nothing_and_a_shift_is_of_whole_pixels(padim):
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    assert np.array_equal(padim.shifted(images, 0, 0), images)
    found = []
    for before, after in zip(images, padim.shifted(images, 4, 1), strict=True):
        inner = before[8:24, 8:24]
        steps = product(range(-4, 5), repeat=2)
        found += [
            (dy, dx)
            for dy, dx in steps
            if np.array_equal(after[8 + dy : 24 + dy, 8 + dx : 24 + dx], inner)
        ]
    assert len(found) == len(images) and len(set(found)) > 3  # each by its own amount
    assert {dy for dy, _ in found} != {0} != {dx for _, dx in found}


def test_the_inner_scores_leave_out_the_rim(padim):
    maps = np.zeros((2, 64, 64))
    maps[0, 15, 30] = maps[0, 30, 48] = 9.0  # in the rim
    maps[:, 16, 47] = 2.0
    assert padim.inner_scores(maps).tolist() == [2.0, 2.0]


def test_the_plan_counts_what_is_held(padim):
    """Features of all channels and of the chosen ones, Gaussians, maps: no less than the arrays."""
    fitted, tested, side, total, d, size = 30, 20, 4, 9, 6, 32
    everything = torch.zeros(fitted + tested, side, side, total)
    chosen = everything[..., :d]
    _, factor = padim.fit_gaussians(chosen[:fitted], 0.01)
    maps = padim.padim(chosen[:fitted], chosen[fitted:], 0.01, size, 2.0)
    held = everything.nbytes + chosen.numel() * 4 + factor.nbytes + 3 * maps.nbytes
    assert padim.bytes_needed(fitted, tested, side * side, total, d, size) >= held


def test_the_largest_axes_come_first(padim):
    x = torch.randn(50, 2, 2, 3, generator=torch.Generator().manual_seed(0))
    x = x * torch.tensor([1.0, 5.0, 0.1])
    axes = padim.principal_axes(x)
    assert torch.allclose(axes.T @ axes, torch.eye(3), atol=1e-5)
    assert axes[:, 0].abs().argmax() == 1 and axes[:, 2].abs().argmax() == 2


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("largest_d", "running_fit", "find_shift")


def largest_by_search(available, height, width):
    size = 0
    while 4 * height * width * (size + 1) ** 2 <= available:
        size += 1
    return size


def fit_row_by_row(batches):
    count, mean = 0, np.zeros(batches[0].shape[1])
    scatter = np.zeros((len(mean), len(mean)))
    for row in (row for batch in batches for row in batch):
        count += 1
        step = row - mean
        mean = mean + step / count
        scatter += np.outer(step, row - mean)
    return mean, scatter / (count - 1)


def shift_by_looking_up(patches, mean, reach):
    """For every pair of shifts, cell by cell."""
    height, width = mean.shape[:2]
    errors = {}
    for dy, dx in product(range(-reach, reach + 1), repeat=2):
        errors[dy, dx] = np.mean(
            [
                (patches[h + dy, w + dx] - mean[h, w]) ** 2
                for h, w in np.ndindex(height, width)
                if 0 <= h + dy < height and 0 <= w + dx < width
            ]
        )
    return min(errors, key=errors.get)


OTHERS = {
    "largest_d": largest_by_search,
    "running_fit": fit_row_by_row,
    "find_shift": shift_by_looking_up,
}


def mean_of_means(batches):
    return np.mean([b.mean(axis=0) for b in batches], axis=0), np.cov(
        np.concatenate(batches), rowvar=False
    )


def mean_of_covariances(batches):
    joined = np.concatenate(batches)
    parts = [np.cov(b, rowvar=False) for b in batches if len(b) > 1]
    return joined.mean(axis=0), np.mean(parts, axis=0)


def divided_by_n(batches):
    joined = np.concatenate(batches)
    return joined.mean(axis=0), np.cov(joined, rowvar=False, bias=True)


def sum_of_squares(batches):
    n = sum(len(b) for b in batches)
    total, squares = sum(b.sum(axis=0) for b in batches), sum(b.T @ b for b in batches)
    return total / n, (squares - np.outer(total, total) / n) / (n - 1)


def shifts(error, *, wrap=False, sign=1):
    """find_shift with another error over the overlap, a wrap round, or the opposite sign."""

    def answer(patches, mean, reach):
        height, width = mean.shape[:2]

        def overlap(array, dy, dx):
            rows = slice(max(dy, 0), height + min(dy, 0))
            return array[rows, max(dx, 0) : width + min(dx, 0)]

        errors = {}
        for dy, dx in product(range(-reach, reach + 1), repeat=2):
            step = overlap(patches, dy, dx) - overlap(mean, -dy, -dx)
            if wrap:
                step = np.roll(patches, (-dy, -dx), (0, 1)) - mean
            errors[sign * dy, sign * dx] = error(step)
        return min(errors, key=errors.get)

    return answer


def mean_square(step):
    return np.square(step).mean()


EQUIVALENT = {
    "running_fit": {
        "count, mean, scatter = (0, {0.0 → 1.0}, 0.0)": "with count 0 the mean has no weight",
        "count, mean, scatter = (0, {0.0 → -1.0}, 0.0)": "with count 0 the mean has no weight",
    },
    "find_shift": {
        "rows = slice(max(dy, 0), height + {min(dy, 0) → dy})": "a slice ends with the array",
        "rows = slice(max(dy, 0), height + min(dy, {0 → 1}))": "a slice ends with the array",
        "return array[rows, max(dx, 0):width + {min(dx, 0) → dx}]": "a slice ends with the array",
        "return array[rows, max(dx, 0):width + min(dx, {0 → 1})]": "a slice ends with the array",
        "return {array → -array}[rows, max(dx, 0):width + min(dx, 0)]": "both sides are negated",
        "if error {< → <=} best:": "no two errors are equal",
    },
}
EQUIVALENT_DEFINITIONS = {
    "gaussian_bytes": "tested above",
    "bytes_needed": "tested above",
    "extract": "tested above",
    "principal_axes": "tested above",
    "shifted": "tested above",
    "inner_scores": "tested above",
    "mapped": "calls anomaly_maps with the notebook's settings",
    "choose_channels": {
        "return {torch.randperm → -torch.randperm}(total, generator=generator)[:d].sort().values": (
            "negative numbers name channels from the end"
        ),
    },
    "on_grid": {
        "if level.shape[-1] {> → >=} grid[1]:": "pooling to the same size changes nothing",
        "if level.shape[-{1 → 2}] > grid[1]:": "pooling enlarges by repeating, like nearest",
        "if level.shape[-{1 → 0}] > grid[1]:": "pooling enlarges by repeating, like nearest",
        "if level.shape[-1] > grid[{1 → 0}]:": "pooling enlarges by repeating, like nearest",
        "return F.interpolate(level, {size=grid, mode='nearest' → size=grid})": "the default",
    },
    "fit_gaussians": {
        "mean = torch.empty(height * width, {d, dtype=patches.dtype → d})": "tested above",
        "factor = torch.empty(height * width, d, {d, dtype=patches.dtype → d})": "tested above",
        "for places in torch.arange(height * width).split({64 → 65}):": "block size",
        "for places in torch.arange(height * width).split({64 → 63}):": "block size",
        "covariance = (x {- → +} centre).mT @ (x - centre) / (n - 1)": "sums to zero",
        "covariance = {(x - centre).mT → x.mT} @ (x - centre) / (n - 1)": "sums to zero",
        "covariance = (x - centre).mT @ (x {- → +} centre) / (n - 1)": "sums to zero",
        "covariance = (x - centre).mT @ {(x - centre) → x} / (n - 1)": "sums to zero",
        "mean[places] = centre[:, {0 → -1}].to(patches.dtype)": "length one",
    },
    "distances": {
        "grids = torch.empty(patches.shape[:3]{, dtype=patches.dtype → })": "tested above",
        "for part in torch.arange(len(patches)).split({64 → 65}):": "block size",
        "for part in torch.arange(len(patches)).split({64 → 63}):": "block size",
    },
    "anomaly_maps": {
        "return gaussian_filter(maps[:, {0 → -1}].numpy(), sigma=(0, sigma, sigma))": "length one",
        "return gaussian_filter(maps[:, 0].numpy(), sigma=({0 → -1}, sigma, sigma))": (
            "SciPy skips an axis with sigma <= 0"
        ),
    },
    "shared_gaussian": {
        "centre = {normal.double().mean → normal.mean}(dim=(0, 1, 2))": "precise",
        "scatter = torch.zeros(len(centre), len(centre){, dtype=torch.float64 → })": "precise",
        "x = image.flatten(0, 1){.double() → } - centre": "precise",
        "covariance = scatter / (normal[..., {0 → 1}].numel() - 1)": "any channel counts",
        "covariance = scatter / (normal[..., {0 → -1}].numel() - 1)": "any channel counts",
    },
}
SHIFT = "mean of squares, overlap"
WRONG = [
    ("largest_d", lambda m, h, w: int(np.sqrt(m / (h * w))), "4 bytes per number"),
    ("largest_d", lambda m, h, w: int(np.sqrt(m / 4)), "every position has its own"),
    ("largest_d", lambda m, h, w: int(np.ceil(np.sqrt(m / 4 / h / w))), "a byte too few"),
    ("largest_d", lambda m, h, w: np.sqrt(m / 4 / h / w), "expected whole values"),
    ("running_fit", mean_of_means, "rows (1,0), (3,2) and (8,1)"),
    ("running_fit", mean_of_covariances, "rows (1,0), (3,2) and (8,1)"),
    ("running_fit", divided_by_n, "rows (1,0), (3,2) and (8,1)"),
    ("running_fit", sum_of_squares, "an offset of 1e8"),
    ("find_shift", shifts(mean_square, sign=-1), "2 down"),
    ("find_shift", shifts(lambda step: np.square(step).sum()), SHIFT),
    ("find_shift", shifts(mean_square, wrap=True), "vague images, reach 1"),
    ("find_shift", lambda p, m, r: shifts(mean_square)(p, m, 3), "above 1"),
    ("find_shift", lambda p, m, r: shifts(mean_square)(p, m, r)[::-1], "swapped"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG

    @pytest.mark.parametrize(
        "error",
        [
            lambda step: np.abs(step).mean(),
            lambda step: np.median(np.square(step)),
            lambda step: np.linalg.norm(step, axis=-1).mean(),
            lambda step: mean_square(step[..., 0]),
            lambda step: -mean_square(step),
        ],
    )
    def test_no_other_error_finds_the_shift(self, exercises, error):
        assert exercises.verdict("find_shift", shifts(error)).startswith("[!]")
