"""SPADE's notebook: both stages hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.spatial.distance import cdist

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "memory_bank" / "spade.ipynb"


@pytest.fixture(scope="module")
def spade():
    return definitions(PATH)


def case(seed=0, normal=6, test=2, grid=(3, 4), channels=5, pooled=4):
    """Random pooled and pixel features of normal and test images."""
    rng = np.random.default_rng(seed)
    return [
        torch.tensor(rng.normal(size=shape), dtype=torch.float32)
        for shape in (
            (test, pooled),
            (normal, pooled),
            (test, *grid, channels),
            (normal, *grid, channels),
        )
    ]


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_check_passes_on_the_notebook_as_it_is(spade, seed, capsys):
    spade.check_fidelity(seed)
    assert "the image score heeds no pixel" in capsys.readouterr().out


BROKEN = {
    "stage 1 without the square": (
        "torch.cdist(pooled, stored, **exact).square()",
        "torch.cdist(pooled, stored, **exact)",
    ),
    "the sum over K in place of the mean": ("squares.mean(dim=1)", "squares.sum(dim=1)"),
    "only the nearest image": ("squares.mean(dim=1)", "squares[:, 0]"),
    "one neighbour too many": (
        "squares.topk(min(neighbours, len(stored)), dim=1",
        "squares.topk(min(neighbours + 1, len(stored)), dim=1",
    ),
    "the farthest images": (
        "squares.topk(min(neighbours, len(stored)), dim=1, largest=False)",
        "squares.topk(min(neighbours, len(stored)), dim=1, largest=True)",
    ),
    "the largest of the last map in place of its mean": (
        "last.mean(dim=(2, 3))",
        "last.amax(dim=(2, 3))",
    ),
    "an image score from the map": (
        "return image_scores, pixel_scores(pixels, stored_pixels, near, kappa, device), near",
        "grids = pixel_scores(pixels, stored_pixels, near, kappa, device)\n"
        "    return grids.flatten(1).amax(dim=1), grids, near",
    ),
    "a gallery of all normal images": ("stored[own].flatten(0, 2)", "stored.flatten(0, 2)"),
    "a gallery of the first image's neighbours": (
        "stored[own].flatten(0, 2)",
        "stored[near[0]].flatten(0, 2)",
    ),
    "a gallery of the first K images": (
        "stored[own].flatten(0, 2)",
        "stored[: len(own)].flatten(0, 2)",
    ),
    "stage 2 without the square": (
        "squares.add_(pixels.square().sum(dim=1, keepdim=True)).clamp_(min=0)",
        "squares.add_(pixels.square().sum(dim=1, keepdim=True)).clamp_(min=0).sqrt_()",
    ),
    "kappa ignored": ("if kappa == 1:", "if kappa >= 1:"),
    "the kappa-th in place of the mean": (
        "largest=False).values.mean(dim=1)",
        "largest=False).values[:, -1]",
    ),
    "one level left out": (
        "torch.cat(resized, dim=1).permute",
        "torch.cat(resized[1:], dim=1).permute",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_equation_does_not_pass_the_check(name):
    old, new = BROKEN[name]
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        broken.check_fidelity()


def test_a_search_at_equal_places_does_not_pass_the_check(spade):
    def bound(pixels, stored, near, kappa, device="cpu"):
        squares = (stored[near] - pixels[:, None]).square().sum(dim=-1)  # (N, K, H, W)
        return squares.amin(dim=1)

    module = definitions(PATH)
    module.pixel_scores = bound
    with pytest.raises(AssertionError):
        module.check_fidelity()


@pytest.mark.parametrize(("k", "kappa"), [(1, 1), (2, 1), (4, 3), (6, 12)])
def test_both_stages_agree_with_scipy(spade, k, kappa):
    pooled, stored_pooled, pixels, stored = case(k)
    scores, grids, near = spade.spade(pooled, stored_pooled, pixels, stored, k, kappa)
    squares = cdist(pooled, stored_pooled, "sqeuclidean")
    assert np.allclose(scores, np.sort(squares, axis=1)[:, :k].mean(axis=1), rtol=1e-4)
    for i, own in enumerate(np.argsort(squares, axis=1)[:, :k]):
        assert near[i].tolist() == own.tolist()
        to_gallery = cdist(pixels[i].reshape(12, 5), stored[own].reshape(-1, 5), "sqeuclidean")
        wanted = np.sort(to_gallery, axis=1)[:, :kappa].mean(axis=1).reshape(3, 4)
        assert np.allclose(grids[i], wanted, rtol=1e-3, atol=1e-4)


def test_the_image_score_does_not_depend_on_the_pixel_stage(spade):
    pooled, stored_pooled, pixels, stored = case(7)
    plain = spade.spade(pooled, stored_pooled, pixels, stored, 3, 1)
    changes = [
        (torch.zeros_like(pixels), stored, 1),
        (pixels, stored.flip(0), 1),
        (pixels, stored, 5),
        (pixels[:, :1, :2], stored[..., :2, :], 2),
    ]
    for new_pixels, new_stored, kappa in changes:
        other = spade.spade(pooled, stored_pooled, new_pixels, new_stored, 3, kappa)
        assert torch.equal(plain[0], other[0]) and torch.equal(plain[2], other[2])
        assert other[1].shape != plain[1].shape or not torch.equal(plain[1], other[1])


def test_the_map_depends_on_stage_1_only_through_the_neighbours(spade):
    pooled, stored_pooled, pixels, stored = case(8)
    plain = spade.spade(pooled, stored_pooled, pixels, stored, 2, 1)
    scaled = spade.spade(3 * pooled, 3 * stored_pooled, pixels, stored, 2, 1)
    assert torch.allclose(scaled[0], 9 * plain[0], rtol=1e-4)
    assert torch.equal(scaled[1], plain[1])


def test_a_pixel_of_an_image_that_is_no_neighbour_gets_no_zero(spade):
    pooled, stored_pooled, pixels, stored = case(9)
    for k in (1, 2, 4):
        order = spade.retrieve(pooled, stored_pooled, 6).indices
        copied = pixels.clone()
        for i in range(2):
            copied[i, 0, 0] = stored[order[i, k - 1], 2, 3]  # the last neighbour
            copied[i, 1, 1] = stored[order[i, k], 1, 1]  # the first image that is none
        grids = spade.spade(pooled, stored_pooled, copied, stored, k, 1)[1]
        assert (grids[:, 0, 0] < 1e-4).all()
        assert (grids[:, 1, 1] > 1e-2).all()


def test_the_grid_takes_the_mean_of_finer_cells_and_interpolates_coarser_ones(spade):
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    same, coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.full((1, 1, 1, 1), 7.0)
    joined = spade.join([fine, same, coarse], (2, 2))
    assert joined[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert joined[0, :, :, 1].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert joined[0, :, :, 2].unique().tolist() == [7.0]


def test_the_growing_gallery_equals_a_search_for_every_k(spade):
    pooled, stored_pooled, pixels, stored = case(10)
    order = spade.retrieve(pooled, stored_pooled, 6).indices
    grown = spade.growing_gallery(pixels, stored, order, [1, 3, 6])
    for k, grids in grown.items():
        assert torch.allclose(grids, spade.pixel_scores(pixels, stored, order[:, :k], 1), atol=1e-4)
    assert (grown[1] >= grown[3]).all() and (grown[3] >= grown[6]).all()


def test_joined_levels_are_one_vector_and_never_below_the_separate_minima(spade):
    rng = np.random.default_rng(2)
    pixels, gallery = (torch.tensor(rng.normal(size=(n, 9))) for n in (7, 20))
    alone, joined = spade.level_scores(pixels, gallery, (2, 3, 4))
    assert torch.allclose(joined, spade.match(pixels, gallery, 1))
    assert torch.allclose(alone[1], spade.match(pixels[:, 2:5], gallery[:, 2:5], 1))
    assert (joined >= alone.sum(dim=0) - 1e-9).all()


@pytest.mark.parametrize("grid", [(8, 8), (7, 5)])
def test_thinned_maps_put_every_score_in_its_place(spade, grid):
    rows, columns = torch.arange(float(grid[0]))[:, None], torch.arange(float(grid[1]))
    full = (2 * rows + 3 * columns)[None]
    thin = spade.thinned_maps(full[:, ::2, ::2], grid, 64, 0)
    whole = spade.anomaly_maps(full, 64, 0)[:, 2::4, 2::4]
    assert thin.shape == whole.shape == (1, 16, 16)
    assert np.allclose(thin[:, :12, :12], whole[:, :12, :12], atol=1e-4)


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("leave_one_out", "windowed_scores")


def leave_out_by_deleting(squares, k):
    rest = [np.sort(np.delete(row, i))[:k].mean() for i, row in enumerate(squares)]
    return np.array(rest)


def leave_out(columns, reduce=np.mean):
    return lambda squares, k: reduce(np.sort(squares, axis=1)[:, columns(k)], axis=1)


def without_zeros(squares, k):
    return np.array([np.sort(row[row > 0])[:k].mean() for row in squares])


def windowed_by_distance(pixels, gallery, radius):
    """All pairs at once, those outside the window set to infinity."""
    height, width, depth = pixels.shape
    squares = cdist(pixels.reshape(-1, depth), gallery.reshape(-1, depth), "sqeuclidean")
    h, w = np.indices((height, width)).reshape(2, -1)
    apart = np.maximum(abs(h[:, None] - h), abs(w[:, None] - w))
    outside = np.tile(apart > radius, (1, len(gallery)))
    return np.where(outside, np.inf, squares).min(axis=1).reshape(height, width)


def windowed(cell, power=2, reduce=np.min):
    def answer(pixels, gallery, radius):
        scores = np.empty(pixels.shape[:2])
        for h, w in np.ndindex(scores.shape):
            window = cell(gallery, h, w, radius)
            scores[h, w] = reduce(((window - pixels[h, w]) ** 2).sum(-1) ** (power / 2))
        return scores

    return answer


def cut(gallery, h, w, r):
    return gallery[:, max(0, h - r) : h + r + 1, max(0, w - r) : w + r + 1]


def around(gallery, h, w, r):
    rows, columns = np.arange(h - r, h + r + 1), np.arange(w - r, w + r + 1)
    height, width = gallery.shape[1:3]
    return gallery[:, rows[:, None] % height, columns % width]


OTHERS = {"leave_one_out": leave_out_by_deleting, "windowed_scores": windowed_by_distance}
WRONG = [
    ("leave_one_out", leave_out(lambda k: slice(k)), "got 0"),
    ("leave_one_out", leave_out(lambda k: slice(1, k + 2)), "the nearest of the others"),
    ("leave_one_out", leave_out(lambda k: slice(1, k + 1), np.sum), "the mean over k others"),
    ("leave_one_out", without_zeros, "an equal image is another"),
    ("windowed_scores", windowed(cut, power=1), "radius 0 is the same place"),
    ("windowed_scores", windowed(around), "a square, cut at the border"),
    ("windowed_scores", windowed(lambda g, h, w, r: g[:, h, w]), "a square, cut at the border"),
    ("windowed_scores", windowed(lambda g, h, w, r: cut(g[:1], h, w, r)), "radius 0 is the same"),
    (
        "windowed_scores",
        windowed(lambda g, h, w, r: cut(g, h, w, min(r, 1))),
        "a large radius is stage 2",
    ),
    ("windowed_scores", lambda p, g, r: windowed(cut)(p, g, r).ravel(), "expected shape"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
