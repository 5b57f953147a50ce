"""SPADE's notebook: both stages hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from enlarged import enlarged_map
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.spatial.distance import cdist

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "memory_bank" / "spade.ipynb"
CHECKS = ("check_features", "check_fidelity", "check_experiments")


@pytest.fixture(scope="module")
def spade():
    return definitions(PATH)


def case(seed=0, normal=6, test=2, grid=(3, 4), channels=5, pooled=4):
    """Image vectors and pixel features, random: (tested, normal)."""
    rng = np.random.default_rng(seed)

    def features(images):
        shapes = (images, pooled), (images, *grid, channels)
        return tuple(torch.tensor(rng.normal(size=s), dtype=torch.float32) for s in shapes)

    return features(test), features(normal)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(spade, seed):
    for name in CHECKS:
        getattr(spade, name)(seed)


BROKEN = {
    "stage 1 without the square": (
        "nearest.values.square().mean(dim=1), nearest",
        "nearest.values.mean(dim=1), nearest",
    ),
    "the sum over K in place of the mean": (
        "nearest.values.square().mean(dim=1), nearest",
        "nearest.values.square().sum(dim=1), nearest",
    ),
    "only the nearest image": (
        "nearest.values.square().mean(dim=1), nearest",
        "nearest.values.square()[:, 0], nearest",
    ),
    "one neighbour too many": ("min(neighbours, len(stored))", "min(neighbours + 1, len(stored))"),
    "the farthest images": ("min(neighbours, len(stored)), largest=False", "neighbours"),
    "the largest of the last map in place of its mean": (
        "last.mean(dim=(2, 3))",
        "last.amax(dim=(2, 3))",
    ),
    "an image score from the map": (
        "return scores.numpy(), anomaly",
        "return grids.flatten(1).amax(dim=1).numpy(), anomaly",
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
        "torch.stack(least).amin(dim=0).square()",
        "torch.stack(least).amin(dim=0)",
    ),
    "more pixels without the square": (
        "len(gallery)), largest=False)\n    return nearest.values.square()",
        "len(gallery)), largest=False)\n    return nearest.values",
    ),
    "the first part of the gallery alone": (
        "torch.stack(least).amin(dim=0)",
        "torch.stack(least)[0]",
    ),
    "kappa ignored": ("if kappa == 1:", "if kappa >= 1:"),
    "the kappa-th in place of the mean": (
        "len(gallery)), largest=False)\n    return nearest.values.square().mean(dim=1)",
        "len(gallery)), largest=False)\n    return nearest.values.square()[:, -1]",
    ),
    "one level left out": ("torch.cat(resized, dim=1)", "torch.cat(resized[1:], dim=1)"),
    "levels joined by the nearest value": (
        'size=grid, mode="bilinear") for x in levels',
        'size=grid, mode="nearest") for x in levels',
    ),
    "a map enlarged by the nearest value": (
        'size=(size, size), mode="bilinear")',
        'size=(size, size), mode="nearest")',
    ),
    "a map smoothed by another Gaussian": ("sigma=(0, sigma, sigma)", "sigma=(0, 4, 4)"),
    "a map smoothed across images": ("sigma=(0, sigma, sigma)", "sigma=sigma"),
    "random images drawn twice": (
        "lots.argsort(dim=1)[:, :neighbours]",
        "(lots * total).long()[:, :neighbours]",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_equation_does_not_pass_the_checks(name):
    old, new = BROKEN[name]
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        for check in CHECKS:
            getattr(broken, check)()


def test_a_search_at_equal_positions_does_not_pass_the_check():
    def bound(pixels, stored, near, kappa, device="cpu"):
        squares = (stored[near] - pixels[:, None]).square().sum(dim=-1)  # (N, K, H, W)
        return squares.amin(dim=1)

    module = definitions(PATH)
    module.pixel_scores = bound
    with pytest.raises(AssertionError):
        module.check_fidelity()


@pytest.mark.parametrize(("k", "kappa"), [(1, 1), (2, 1), (4, 3), (6, 12)])
def test_both_stages_agree_with_scipy(spade, k, kappa):
    tested, normal = case(k)
    scores, near = spade.retrieve(tested[0], normal[0], k)
    grids = spade.pixel_scores(tested[1], normal[1], near, kappa)
    squares = cdist(tested[0], normal[0], "sqeuclidean")
    assert np.allclose(scores, np.sort(squares, axis=1)[:, :k].mean(axis=1), rtol=1e-4)
    for i, own in enumerate(np.argsort(squares, axis=1)[:, :k]):
        assert near[i].tolist() == own.tolist()
        gallery = normal[1][own].reshape(-1, 5)
        to_gallery = cdist(tested[1][i].reshape(12, 5), gallery, "sqeuclidean")
        wanted = np.sort(to_gallery, axis=1)[:, :kappa].mean(axis=1).reshape(3, 4)
        assert np.allclose(grids[i], wanted, rtol=1e-3, atol=1e-4)


def test_the_image_score_does_not_depend_on_the_pixel_stage(spade):
    (vectors, pixels), (stored_vectors, stored) = case(7)

    def scored(pixels, stored, kappa, size=16, sigma=1.0):
        return spade.spade((vectors, pixels), (stored_vectors, stored), 3, kappa, size, sigma)

    plain = scored(pixels, stored, 1)
    for other in (
        scored(torch.zeros_like(pixels), stored, 1),
        scored(pixels, stored.flip(0), 1),
        scored(pixels, stored, 5),
        scored(pixels[:, :1, :2], stored[..., :2, :], 2),
        scored(pixels, stored, 1, sigma=3.0),
    ):
        assert np.array_equal(plain[0], other[0])
        assert not np.array_equal(plain[1], other[1])


def test_the_map_depends_on_stage_1_only_through_the_neighbours(spade):
    (vectors, pixels), (stored_vectors, stored) = case(8)
    plain = spade.spade((vectors, pixels), (stored_vectors, stored), 2, 1, 16, 1.0)
    scaled = spade.spade((3 * vectors, pixels), (3 * stored_vectors, stored), 2, 1, 16, 1.0)
    assert np.allclose(scaled[0], 9 * plain[0], rtol=1e-4)
    assert np.array_equal(scaled[1], plain[1])


def test_a_pixel_of_an_image_that_is_no_neighbour_gets_no_zero(spade):
    (vectors, pixels), (stored_vectors, stored) = case(9)
    order = spade.retrieve(vectors, stored_vectors, 6)[1]
    for k in (1, 2, 4):
        copied = pixels.clone()
        for i in range(2):
            copied[i, 0, 0] = stored[order[i, k - 1], 2, 3]  # the last neighbour
            copied[i, 1, 1] = stored[order[i, k], 1, 1]  # the first image that is none
        grids = spade.pixel_scores(copied, stored, order[:, :k], 1)
        assert (grids[:, 0, 0] < 1e-4).all()
        assert (grids[:, 1, 1] > 1e-2).all()


def test_the_grid_takes_the_mean_of_finer_positions_and_interpolates_coarser_ones(spade):
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    same, coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.full((1, 1, 1, 1), 7.0)
    joined = spade.pixel_features([fine, same, coarse], (2, 2))
    assert joined[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert joined[0, :, :, 1].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert joined[0, :, :, 2].unique().tolist() == [7.0]


def test_a_map_is_the_enlarged_grid_smoothed(spade):
    grids = torch.full((2, 4, 4), 3.0)
    grids[1, 2, 1] = 7.0
    maps = spade.anomaly_maps(grids, 16, 4.0)
    assert maps.shape == (2, 16, 16)
    for grid, found in zip(grids.numpy(), maps, strict=True):
        np.testing.assert_allclose(found, enlarged_map(grid, 16, 4.0), atol=1e-4)


def test_extracting_in_parts_is_the_same_as_at_once(spade):
    images = np.random.default_rng(0).integers(0, 256, (18, 64, 64, 3), dtype=np.uint8)
    network = backbones.load("random:efficientnet_lite0", strides=(4, 8, 16, 32))
    *levels, last = network.features(images)
    vectors, pixels = spade.extract(network, images, (8, 8))
    assert torch.allclose(vectors, spade.image_vectors(last), atol=1e-5)
    assert torch.allclose(pixels, spade.pixel_features(levels, (8, 8)), atol=1e-5)


def test_what_it_needs_grows_with_images_gallery_and_size(spade):
    settings = {"images": 500, "tested": 260, "cells": 1024, "depth": 176, "gallery": 50}
    settings["kappa"] = 2  # more than one neighbour: the whole gallery at once
    base = spade.bytes_needed(**settings, size=256)
    features = 4 * 500 * 1024 * 176
    assert features < base < 20 * features
    for name in set(settings) - {"kappa"}:  # of which only "more than one" counts
        assert spade.bytes_needed(**settings | {name: 10**4}, size=256) > base
    assert spade.bytes_needed(**settings, size=512) > base


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("leave_one_out", "search_in_steps", "windowed_scores")


def leave_out_by_deleting(squares, k):
    rest = [np.sort(np.delete(row, i))[:k].mean() for i, row in enumerate(squares)]
    return np.array(rest)


def leave_out(columns, reduce=np.mean):
    return lambda squares, k: reduce(np.sort(squares, axis=1)[:, columns(k)], axis=1)


def without_zeros(squares, k):
    return np.array([np.sort(row[row > 0])[:k].mean() for row in squares])


def all_squares(pixels, gallery):
    return ((pixels[:, None] - gallery) ** 2).sum(axis=-1)


def all_at_once(pixels, gallery, kappa, step):
    return np.sort(all_squares(pixels, gallery), axis=1)[:, :kappa].mean(axis=1)


def stepwise(parts, join):
    def answer(pixels, gallery, kappa, step):
        pieces = [all_squares(pixels, part) for part in parts(gallery, step)]
        return join(pieces, kappa)

    return answer


def every(gallery, step):
    return [gallery[i : i + step] for i in range(0, len(gallery), step)]


def whole_ones(gallery, step):
    return [gallery[k * step : (k + 1) * step] for k in range(len(gallery) // step)]


def of_all(pieces, kappa):
    return np.sort(np.hstack(pieces), axis=1)[:, :kappa].mean(axis=1)


def best_part(pieces, kappa):
    means = [np.sort(p, axis=1)[:, :kappa].mean(axis=1) for p in pieces]
    return np.min(means, axis=0)


def mean_of_parts(pieces, kappa):
    return np.mean([np.sort(p, axis=1)[:, :kappa].mean(axis=1) for p in pieces], axis=0)


def least_of_parts(pieces, kappa):
    least = np.stack([p.min(axis=1) for p in pieces], axis=1)
    return np.sort(least, axis=1)[:, :kappa].mean(axis=1)


def kappa_th(pieces, kappa):
    return np.sort(np.hstack(pieces), axis=1)[:, kappa - 1]


def windowed_by_distance(pixels, gallery, radius):
    """All pairs at once, those outside the window set to infinity."""
    height, width, depth = pixels.shape
    squares = cdist(pixels.reshape(-1, depth), gallery.reshape(-1, depth), "sqeuclidean")
    h, w = np.indices((height, width)).reshape(2, -1)
    apart = np.maximum(abs(h[:, None] - h), abs(w[:, None] - w))
    outside = np.tile(apart > radius, (1, len(gallery)))
    return np.where(outside, np.inf, squares).min(axis=1).reshape(height, width)


def windowed(window, reduce=np.min, measure=lambda d: (d**2).sum(-1)):
    def answer(pixels, gallery, radius):
        scores = np.zeros(pixels.shape[:2])
        for h, w in np.ndindex(scores.shape):
            difference = window(gallery, h, w, radius) - pixels[h, w]
            scores[h, w] = reduce(measure(difference))
        return scores

    return answer


def cut(gallery, h, w, r):
    return gallery[:, max(0, h - r) : h + r + 1, max(0, w - r) : w + r + 1]


def around(gallery, h, w, r):
    rows, columns = np.arange(h - r, h + r + 1), np.arange(w - r, w + r + 1)
    height, width = gallery.shape[1:3]
    return gallery[:, rows[:, None] % height, columns % width]


def negative(gallery, h, w, r):
    return gallery[:, h - r : h + r + 1, w - r : w + r + 1]


def without_the_end(gallery, h, w, r):
    return gallery[:, max(0, h - r) : h + max(r, 1), max(0, w - r) : w + max(r, 1)]


def diamond(pixels, gallery, radius):
    height, width, _ = pixels.shape
    h, w = np.indices((height, width))
    scores = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        near = abs(h - y) + abs(w - x) <= radius
        scores[y, x] = ((gallery[:, near] - pixels[y, x]) ** 2).sum(-1).min()
    return scores


OTHERS = {
    "leave_one_out": leave_out_by_deleting,
    "search_in_steps": stepwise(every, of_all),
    "windowed_scores": windowed_by_distance,
}
WRONG = [
    ("leave_one_out", leave_out(lambda k: slice(k)), "the nearest other: expected 1, got 0"),
    ("leave_one_out", leave_out(lambda k: slice(1, k + 2)), "expected 1, got 5"),
    ("leave_one_out", leave_out(lambda k: slice(1, k + 1), np.sum), "the mean over k = 2"),
    (
        "leave_one_out",
        leave_out(lambda k: slice(1, k + 1), np.max),
        "k = 2 others: expected 5, got 9",
    ),
    ("leave_one_out", without_zeros, "an equal image is another"),
    ("leave_one_out", lambda s, k: np.sort(s, axis=1)[:, 1 : k + 1].mean(), "expected shape"),
    ("leave_one_out", lambda s, k: np.sqrt(leave_out_by_deleting(s, k)), "expected 4, got 2"),
    ("search_in_steps", stepwise(whole_ones, best_part), "the last part counts"),
    ("search_in_steps", stepwise(every, best_part), "the 2 nearest of all"),
    ("search_in_steps", stepwise(every, mean_of_parts), "the last part counts"),
    ("search_in_steps", stepwise(every, kappa_th), "the 2 nearest of all: expected 8.5, got 16"),
    ("search_in_steps", stepwise(every, least_of_parts), "may share a part"),
    (
        "search_in_steps",
        lambda p, g, kappa, step: np.sqrt(all_at_once(p, g, kappa, step)),
        "1 part",
    ),
    ("windowed_scores", windowed(cut, measure=lambda d: abs(d).sum(-1)), "the same position"),
    ("windowed_scores", windowed(cut, measure=lambda d: (d**2).mean(-1)), "expected 5, got 2.5"),
    ("windowed_scores", windowed(around), "square of 5"),
    ("windowed_scores", windowed(negative), "something is empty"),
    ("windowed_scores", windowed(without_the_end), "a square of 3"),
    ("windowed_scores", diamond, "a square of 3"),
    ("windowed_scores", windowed(lambda g, h, w, r: cut(g[:1], h, w, r)), "expected 10, got 162"),
    ("windowed_scores", windowed(lambda g, h, w, r: cut(g, h, w, min(r, 1))), "a square of 5"),
    ("windowed_scores", windowed(lambda g, h, w, r: cut(g, h, w, min(r, 2))), "cut at borders"),
    ("windowed_scores", windowed(cut, reduce=np.max), "expected 5, got 9"),
    ("windowed_scores", lambda p, g, r: windowed_by_distance(p, g, r).ravel(), "expected shape"),
]
EQUIVALENT = {
    "leave_one_out": {
        "return np.sort({squares, axis=1 → squares})[:, 1:k + 1].mean(axis=1)": (
            "the last axis is the default"
        ),
    },
    "search_in_steps": {
        "parameter of search_in_steps ignored: step = 1": "the length of a step changes nothing",
        "parameter of search_in_steps ignored: step = 2": "the length of a step changes nothing",
        "smallest = {np.zeros → np.ones}((len(pixels), 0))": "it has no column yet",
        "smallest = np.sort({joined, axis=1 → joined})[:, :kappa]": "the last axis is the default",
    },
    "windowed_scores": {
        "scores = {np.zeros → np.ones}((height, width))": "every place is filled afterwards",
    },
}
EQUIVALENT_DEFINITIONS = {
    "bytes_needed": "an estimate from above; its growth is tested here",
    "mark": "only draws",
    "show_matches": "only draws",
    "pixel_auroc": "one call of a tested helper",
    "extract": {
        "for part in torch.arange(len(images)).split({16 → 17}):": "a block's size changes nothing",
        "for part in torch.arange(len(images)).split({16 → 15}):": "a block's size changes nothing",
    },
    "match": {
        "dropped: if kappa == 1:": "the search behind it gives the same, more slowly",
        "if kappa == {1 → 0}:": "the search behind it gives the same, more slowly",
        "parts = gallery.split({1024 → 1025})": "the size of a part changes nothing",
        "parts = gallery.split({1024 → 1023})": "the size of a part changes nothing",
    },
    "anomaly_maps": {
        "return gaussian_filter(maps[:, {0 → -1}].numpy(), sigma=(0, sigma, sigma))": (
            "there is one channel"
        ),
        "return gaussian_filter(maps[:, 0].numpy(), sigma=({0 → -1}, sigma, sigma))": (
            "SciPy leaves an axis alone unless its sigma is above 0"
        ),
    },
    "random_images": {
        "return {lots.argsort → -lots.argsort}(dim=1)[:, :neighbours]": "as random a draw",
        "return lots.argsort({dim=1 → })[:, :neighbours]": "the last axis is the default",
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
