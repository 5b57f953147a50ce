"""PaDiM's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.ndimage import gaussian_filter
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


def test_the_check_passes_on_the_notebook_as_it_is(padim, capsys):
    for seed in range(3):
        padim.check_fidelity(seed)
    assert "same as NumPy and SciPy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x.mT @ x / (n - 1)", "x.mT @ x / n"),
        ("covariance.diagonal(dim1=1, dim2=2).add_(regularizer)", "covariance.add_(1e-9)"),
        ("x = x - mean\n", "x = x * 1.0\n"),
        ("(some.to(mean.device) - mean)", "some.to(mean.device)"),
        ("z.square().sum(dim=2).sqrt()", "z.square().sum(dim=2)"),
        ("torch.linalg.solve_triangular(factor, difference, upper=False)", "difference"),
        ('size=(size, size), mode="bilinear")', "size=(size, size))"),
        ("sigma=(0, sigma, sigma)", "sigma=(0, 1, 1)"),
        ("maps.max(axis=(1, 2))", "maps.mean(axis=(1, 2))"),
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
    with pytest.raises(ValueError, match="at least two normal images, found 1"):
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
    np.testing.assert_allclose(maps[0], 3.0, atol=1e-5)
    step = (np.arange(16) + 0.5) / 4 - 0.5  # where the pixels lie on the grid
    low = np.clip(np.floor(step), 0, 3).astype(int)
    high, share = np.minimum(low + 1, 3), np.clip(step - low, 0, 1)
    weights = np.zeros((16, 4))
    weights[np.arange(16), low] += 1 - share
    weights[np.arange(16), high] += share
    want = gaussian_filter(weights @ grids[1].double().numpy() @ weights.T, 4.0)
    np.testing.assert_allclose(maps[1], want, atol=1e-4)
    np.testing.assert_allclose(padim.image_scores(maps), [3.0, want.max()], atol=1e-4)


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


def test_moving_by_nothing_changes_nothing_and_a_shift_is_of_whole_pixels(padim):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    assert np.array_equal(padim.moved(images, 0, 0, 0), images)
    shifted = padim.moved(images, 0, 4, 1)
    for before, after in zip(images, shifted, strict=True):
        inner = before[8:24, 8:24].astype(int)
        steps = [(dy, dx) for dy in range(-4, 5) for dx in range(-4, 5)]
        found = [after[8 + dy : 24 + dy, 8 + dx : 24 + dx] for dy, dx in steps]
        assert any(np.array_equal(piece, inner) for piece in found)
    turned = padim.moved(images, 5, 0, 1)
    assert turned.shape == images.shape and not np.array_equal(turned, images)


def test_the_unseen_share_is_one_minus_what_the_images_span(padim):
    normal = torch.tensor([[[[-1.0, 0.0, 0.0]]], [[[1.0, 0.0, 0.0]]]])  # along the first axis
    step = torch.tensor([[[[0.0, 0.3, 0.0]]]])
    assert padim.unseen_share(normal, step, 0.01) == pytest.approx(1.0, abs=1e-5)
    along = torch.tensor([[[[2.0, 0.3, 0.0]]]])  # 4 / 2.01 and 0.09 / 0.01
    assert padim.unseen_share(normal, along, 0.01) == pytest.approx(9 / (9 + 4 / 2.01), abs=1e-5)


def test_the_largest_axes_come_first(padim):
    x = torch.randn(50, 2, 2, 3, generator=torch.Generator().manual_seed(0))
    x = x * torch.tensor([1.0, 5.0, 0.1])
    axes = padim.principal_axes(x)
    assert torch.allclose(axes.T @ axes, torch.eye(3), atol=1e-5)
    assert axes[:, 0].abs().argmax() == 1 and axes[:, 2].abs().argmax() == 2


@pytest.fixture
def one_thread():
    """Threads that wait for a busy processor spin, and their processor time counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_fitting_and_testing_cost_less_than_half_a_forward_pass(padim, one_thread):
    """Together with the forward pass over all images, to fit and to test: below 1.5 times it."""
    images = np.random.default_rng(0).integers(0, 256, (48, 256, 256, 3), dtype=np.uint8)
    network = backbones.load(strides=(4, 8, 16))
    chosen, ratios = padim.choose_channels(176, 100, 0), []
    for _ in range(2):
        start = time.process_time()  # processor time: other programs do not count
        levels = network.features(images)
        forward = time.process_time() - start
        patches = padim.embed(levels, (32, 32), chosen)
        gaussians = padim.fit_gaussians(patches[:30], 0.01)
        grids = padim.distances(patches[30:], *gaussians)
        padim.image_scores(padim.anomaly_maps(grids, 256, 4.0))
        ratios.append((time.process_time() - start) / forward)
    assert min(ratios) < 1.5, f"{min(ratios):.2f} times the forward pass"


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("largest_d", "running_fit", "distance_from_few")


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


def few_by_svd(x, normal, epsilon):
    centred, step = normal - normal.mean(axis=0), x - normal.mean(axis=0)
    _, s, v = np.linalg.svd(centred, full_matrices=False)
    along = v @ step
    inside = (along**2 / (s**2 / (len(normal) - 1) + epsilon)).sum()
    return float(np.sqrt(inside + (step @ step - along @ along) / epsilon))


OTHERS = {
    "largest_d": largest_by_search,
    "running_fit": fit_row_by_row,
    "distance_from_few": few_by_svd,
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


def few(*, root=True, centre=True, scale=lambda n: n - 1):
    def answer(x, normal, epsilon):
        mean = normal.mean(axis=0) * centre
        centred, step, n = normal - mean, x - mean, len(normal)
        small = centred @ centred.T + epsilon * scale(n) * np.eye(n)
        u = centred @ step
        square = (step @ step - u @ np.linalg.solve(small, u)) / epsilon
        return np.sqrt(square) if root else square

    return answer


WRONG = [
    ("largest_d", lambda m, h, w: int(np.sqrt(m / (h * w))), "4 bytes per number"),
    ("largest_d", lambda m, h, w: int(np.sqrt(m / 4)), "every position has a covariance"),
    ("largest_d", lambda m, h, w: int(np.ceil(np.sqrt(m / 4 / h / w))), "one byte too few"),
    ("largest_d", lambda m, h, w: np.sqrt(m / 4 / h / w), "expected whole values"),
    ("running_fit", mean_of_means, "different lengths"),
    ("running_fit", mean_of_covariances, "the means of the batches differ as well"),
    ("running_fit", divided_by_n, "one batch"),
    ("running_fit", sum_of_squares, "an offset of 1e8"),
    ("distance_from_few", few(root=False), "0.3 where nothing varies"),
    ("distance_from_few", few(scale=lambda n: n), "3 along variance"),
    ("distance_from_few", few(centre=False), "only x - mean matters"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
