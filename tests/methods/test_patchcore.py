"""PatchCore's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from enlarged import enlarged_map
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.spatial.distance import cdist

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "memory_bank" / "patchcore.ipynb"
CHECKS = ("patches", "coreset", "choice", "fidelity", "experiments")


@pytest.fixture(scope="module")
def patchcore():
    return definitions(PATH)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_checks_pass_on_the_notebook_as_it_is(patchcore, seed):
    for name in CHECKS:
        getattr(patchcore, f"check_{name}")(seed)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("patches", "stride=1, padding=rim)", "stride=1, padding=rim, count_include_pad=False)"),
        ("patches", "patch_size, stride=1", "3, stride=1"),
        ("patches", 'size=grid, mode="bilinear"', 'size=grid, mode="nearest"'),
        ("coreset", "i = int(far.argmax())", "i = int(far.argmin())"),
        ("coreset", "far = torch.minimum(far, torch", "far = torch.maximum(far, torch"),
        ("coreset", "torch.minimum(nearest[part], gaps)", "torch.maximum(nearest[part], gaps)"),
        ("coreset", "and far.max() >= limit", ""),
        ("coreset", "centres, seen = points[chosen[seen:]]", "centres, seen = points[chosen[:1]]"),
        ("coreset", "gaps.amin(dim=1).argmax()", "gaps.amax(dim=1).argmax()"),
        ("choice", "drawn = order[: max(candidates, size)]", "drawn = order"),
        ("choice", "round(ratio * len(patches))", "round(ratio * len(patches) / 2)"),
        ("choice", "return drawn[greedy_coreset", "return order.sort().values[greedy_coreset"),
        ("choice", "if projection_dim < points.shape[1]:", "if False:"),
        ("fidelity", "found[part] = gaps.amin(dim=1)", "found[part] = gaps.mean(dim=1)"),
        ("fidelity", "gaps.amin(dim=1).cpu()", "gaps.amin(dim=1).square().cpu()"),
        ("fidelity", "(len(patches)).split(4096)", "(len(patches)).split(4096)[:1]"),
        ("fidelity", "return (1 - (gaps.amin", "return ((gaps.amin"),
        ("fidelity", "apart = torch.cdist(star,", "apart = torch.cdist(strangest,"),
        ("fidelity", "total = gaps.gather(1, around)", "total = apart.gather(1, around)"),
        ("fidelity", "grids.flatten(1).max(dim=1)", "grids.flatten(1).min(dim=1)"),
        ("fidelity", 'size=(size, size), mode="bilinear")', "size=(size, size))"),
        ("fidelity", "sigma=(0, sigma, sigma)", "sigma=(0, 4, 4)"),
        ("fidelity", "if b < 2:", "if b < 3:"),
        ("experiments", "left = upper > lower", "left = upper < lower"),
        ("experiments", "bank.split(2048)", "bank[:2048].split(2048)"),
        ("experiments", "torch.minimum(upper[left], closer)", "closer"),
    ],
)
def test_a_broken_equation_does_not_pass_its_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError)):
        for seed in range(3):
            getattr(broken, f"check_{check}")(seed)


def test_a_patch_is_the_mean_of_its_window_on_every_level(patchcore):
    levels = [normal(2, 3, 8, 8), normal(2, 5, 4, 4)]
    patches = patchcore.local_patches(levels, 3)
    assert patches.shape == (2, 8, 8, 8)
    window = levels[0][1, :, 2:5, 4:7].mean(dim=(1, 2))
    assert torch.allclose(patches[1, 3, 5, :3], window, atol=1e-6)
    corner = levels[0][0, :, :2, :2].sum(dim=(1, 2)) / 9  # zeros beyond the border count
    assert torch.allclose(patches[0, 0, 0, :3], corner, atol=1e-6)
    between = patchcore.local_patches([levels[0][:1], levels[1][:1]], 1)[0, 1, 1, 3:]
    corners = levels[1][0, :, :2, :2]  # a quarter of the way from (0, 0) to (1, 1)
    mixed = corners[:, 0, 0] * 9 + (corners[:, 0, 1] + corners[:, 1, 0]) * 3 + corners[:, 1, 1]
    assert torch.allclose(between, mixed / 16, atol=1e-5)
    with pytest.raises(ValueError, match="odd, found 2"):
        patchcore.local_patches(levels, 2)


def test_extracting_in_parts_is_the_same_as_at_once(patchcore):
    images = np.random.default_rng(0).integers(0, 256, (18, 72, 56, 3), dtype=np.uint8)
    network = backbones.load("random:efficientnet_lite0")
    whole = patchcore.local_patches(network.features(images), 3)
    assert torch.allclose(patchcore.extract(network, images, 3), whole, atol=1e-5)
    assert not torch.allclose(patchcore.extract(network, images, 5), whole, atol=1e-2)


@pytest.mark.parametrize("pool", [2, 7, 50, 10_000])
def test_the_fast_coreset_chooses_what_the_textbook_loop_chooses(patchcore, pool):
    points = torch.from_numpy(np.random.default_rng(pool).normal(size=(300, 6)))
    slow = patchcore.greedy_textbook(points, 60, 4)
    assert torch.equal(patchcore.greedy_coreset(points, 60, 4, pool=pool), slow)


def test_the_coreset_covers_at_most_twice_as_badly_as_any_choice_of_as_many(patchcore):
    points = torch.from_numpy(np.random.default_rng(1).normal(size=(12, 2)))
    table = cdist(points, points)
    best = min(table[:, list(some)].min(axis=1).max() for some in combinations(range(12), 3))
    chosen = patchcore.greedy_coreset(points, 3, 0).tolist()
    assert table[:, chosen].min(axis=1).max() <= 2 * best


def test_no_patch_is_chosen_twice_and_the_size_is_the_ratio(patchcore):
    patches = normal(500, 20)
    for most in (500, 100, 10):  # also from fewer candidates than patches to keep
        chosen = patchcore.select_coreset(patches, 0.1, 8, most, 0)
        assert len(set(chosen.tolist())) == len(chosen) == 50
    assert len(patchcore.select_coreset(patches, 1e-6, 8, 500, 0)) == 1
    first, again, other = (patchcore.select_coreset(patches, 0.1, 8, 500, s) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_identical_patches_end_the_choice(patchcore):
    assert len(patchcore.select_coreset(torch.ones(50, 4), 0.2, 8, 50, 0)) == 10


def test_skipping_patches_gives_the_same_image_scores(patchcore):
    patches, bank = normal(6, 5, 5, 4), normal(2900, 4, seed=1)
    for some in (bank, bank[:10], bank[:3]):  # a bank of own images may be tiny
        bounds = patchcore.score(patches, some[:2], 1)[1]
        before = bounds.clone()
        found = patchcore.whole_bank_scores(patches, some, bounds)
        assert np.allclose(found, patchcore.score(patches, some, 1)[0], atol=1e-4)
        assert torch.equal(bounds, before)


def test_distances_far_beyond_what_exp_holds_give_finite_scores(patchcore):
    bank = 1000 * normal(20, 4, seed=3)
    scores, _ = patchcore.score(-bank[:8].view(2, 2, 2, 4), bank, 3)
    assert np.isfinite(scores).all()


def test_the_factor_lies_between_its_bounds_and_b_of_one_switches_it_off(patchcore):
    bank, strangest = normal(30, 4), 3 * normal(50, 4, seed=1)
    for b in (2, 5, 9):
        factors = patchcore.reweight(strangest, bank, b)
        assert (factors >= 1 - 1 / b - 1e-6).all() and (factors < 1).all()
    assert patchcore.reweight(strangest, bank, 1).tolist() == [1.0] * 50
    assert patchcore.reweight(strangest, bank[:1], 9).tolist() == [1.0] * 50


def test_a_map_is_the_enlarged_grid_smoothed(patchcore):
    grids = torch.full((2, 4, 4), 3.0)
    grids[1, 2, 1] = 7.0
    maps = patchcore.anomaly_maps(grids, 16, 4.0)
    assert maps.shape == (2, 16, 16)
    for grid, found in zip(grids.numpy(), maps, strict=True):
        np.testing.assert_allclose(found, enlarged_map(grid, 16, 4.0), atol=1e-4)


def test_the_plan_counts_what_is_held_and_two_thousand_images_fit_in_six_gib(patchcore):
    fitted, tested, cells, total, d, size = 30, 20, 16, 9, 6, 32
    held = 2 * normal(fitted + tested, cells, total).nbytes  # pretrained and random weights
    held += 3 * normal(tested, size, size).nbytes  # maps
    assert patchcore.bytes_needed(fitted, tested, cells, total, d, 10**6, size) >= held
    all_of_them = patchcore.bytes_needed(2000, 400, 1024, 152, 64, 500_000, 256)
    assert all_of_them < 6 * 2**30
    assert patchcore.bytes_needed(2000, 400, 1024, 152, 64, 10**9, 256) > all_of_them


def test_the_time_grows_with_patches_kept_and_candidates(patchcore):
    few = patchcore.seconds_needed(10**4, 0.01, 10**6, 64)
    many = patchcore.seconds_needed(10**6, 0.01, 10**6, 64)
    assert 0 < few < many / 1000  # 10,000 times the work; the probe itself varies


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("cover", "can_overtake", "most_suspicious")


def cover_by_table(points, radius):
    table, chosen = cdist(points, points), [0]
    while table[chosen].min(axis=0).max() > radius:
        chosen.append(int(table[chosen].min(axis=0).argmax()))
    return chosen


def overtakes_by_trying(lower, higher, b):
    """With factors close to both ends of their range."""
    smallest = np.exp(0) / (b * np.exp(0))
    return np.greater(np.asarray(lower) * (1 - 1e-12), np.asarray(higher) * (1 - smallest))


def suspicious_by_table(patches, count):
    n, p, d = patches.shape
    table = cdist(patches.reshape(-1, d), patches.reshape(-1, d)).reshape(n, p, n, p)
    table[np.arange(n), :, np.arange(n)] = np.inf
    return np.argsort(-table.min(axis=(2, 3)).max(axis=1))[:count]


OTHERS = {
    "cover": cover_by_table,
    "can_overtake": overtakes_by_trying,
    "most_suspicious": suspicious_by_table,
}


def covers(*, columns=slice(None), last=False, start=0, strict=False, metric="euclidean"):
    """cover with one typical mistake."""

    def answer(points, radius):
        table, chosen = cdist(points[:, columns], points[:, columns], metric), [start]
        while True:
            gap = table[chosen[-1:] if last else chosen].min(axis=0)
            done = gap.max() < radius if strict else gap.max() <= radius
            if done or len(chosen) > len(points):
                return chosen
            chosen.append(int(gap.argmax()))

    return answer


def cover_in_order(points, radius):
    chosen = [0]
    for i, point in enumerate(points):
        if np.linalg.norm(points[chosen] - point, axis=1).min() > radius:
            chosen.append(i)
    return chosen


def suspects(of_gaps, *, own=False, columns=slice(None), order="euclidean", ascending=False):
    """most_suspicious with one typical mistake."""

    def answer(patches, count):
        x, scores = patches[..., columns], []
        for i, image in enumerate(x):
            bank = x if own else np.delete(x, i, axis=0)
            scores.append(of_gaps(cdist(image, bank.reshape(-1, x.shape[2]), order)))
        return np.argsort(scores)[:: 1 if ascending else -1][:count]

    return answer


def right(gaps):
    return gaps.min(axis=1).max()


HAND = "scores 0, 3, 1, 2"
LARGEST = "the largest of the nearest"
WRONG = [
    ("cover", lambda p, r: [0], "a point is 10 away"),
    ("cover", lambda p, r: np.arange(len(p)), "one point within 10"),
    ("cover", cover_in_order, "farthest first"),
    ("cover", covers(last=True), "a point is 10 away"),
    ("cover", covers(columns=slice(0, 1)), "all coordinates"),
    ("cover", covers(columns=slice(-1, None)), "all coordinates"),
    ("cover", covers(metric="cityblock"), "all coordinates"),
    ("cover", covers(metric="sqeuclidean"), "one point within 10"),
    ("cover", covers(start=1), "one point within 10"),
    ("cover", covers(strict=True), "one point within 10"),
    ("cover", lambda p, r: p[cover_by_table(p, r)], "expected whole"),
    ("can_overtake", lambda low, high, b: low > high / b, "b = 5"),
    ("can_overtake", lambda low, high, b: low >= (1 - 1 / b) * high, "never reaches 1"),
    ("can_overtake", lambda low, high, b: low < (1 - 1 / b) * high, "b = 2"),
    ("can_overtake", lambda low, high, b: low > high / 2, "b = 5"),
    ("can_overtake", lambda low, high, b: low * (1 - 1 / b) > high, "b = 2"),
    ("can_overtake", lambda low, high, b: low > high - 1 / b, "only lower / higher"),
    ("can_overtake", lambda low, high, b: low > (1 - 1 / (b + 1)) * high, "b = 2"),
    ("can_overtake", lambda low, high, b: (1 - 1 / b) * high, "expected bool"),
    ("can_overtake", lambda low, high, b: bool((low > (1 - 1 / b) * high).all()), "shape"),
    ("most_suspicious", suspects(right, own=True), HAND),
    ("most_suspicious", suspects(right, ascending=True), HAND),
    ("most_suspicious", suspects(lambda g: g.min(axis=1).mean()), LARGEST),
    ("most_suspicious", suspects(lambda g: g.min(axis=0).max()), HAND),
    ("most_suspicious", suspects(lambda g: g.min()), HAND),
    ("most_suspicious", suspects(lambda g: g.mean(axis=1).max()), HAND),
    ("most_suspicious", suspects(lambda g: g.max()), HAND),
    ("most_suspicious", suspects(right, columns=slice(0, 1)), LARGEST),
    ("most_suspicious", suspects(right, order="cityblock"), LARGEST),
    ("most_suspicious", suspects(right, order="chebyshev"), LARGEST),
    ("most_suspicious", lambda p, c: suspects(right)(p, 2), HAND),
    ("most_suspicious", lambda p, c: suspects(right)(p, len(p)), "expected shape (2,)"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG


EQUIVALENT = {
    "cover": {
        "chosen.append({int(gap.argmax()) → gap.argmax()})": "a NumPy integer is a number as well",
        "return {np.array(chosen) → chosen}": "a list is accepted in place of an array",
    },
    "most_suspicious": {
        "others = np.delete(patches, i, axis=0).reshape(-{1 → 2}, own.shape[1])": (
            "NumPy takes any negative size for the one to be found"
        ),
    },
}

EQUIVALENT_DEFINITIONS = {
    "extract": "needs a network; tested above",
    "bytes_needed": "an estimate; tested above",
    "seconds_needed": "an estimate; tested above",
    "auroc": "a name for metrics.image_auroc, 0 for None",
    "local_patches": {
        "grid, rim, joined = (levels[0].shape[{-2 → 2}:], patch_size // 2, [])": (
            "a feature map has four dimensions"
        ),
    },
    "greedy_coreset": {
        "parameter of greedy_coreset ignored: pool = 1": "the size of the pool only saves time",
        "parameter of greedy_coreset ignored: pool = 2": "the size of the pool only saves time",
        "parameter of greedy_coreset ignored: block = 1": "the size of a block changes nothing",
        "parameter of greedy_coreset ignored: block = 2": "the size of a block changes nothing",
        "chosen, seen = ([start], {0 → -1})": "the first centre is also the last",
        "centres, seen = (points[chosen[{seen → }:]], len(chosen))": (
            "old centres once more change no minimum"
        ),
        "limit, near = (far[{-1 → 1}], points[order])": "a higher limit only costs time",
        "limit, near = (far[-{1 → 2}], points[order])": "a higher limit only costs time",
        "limit, near = (far[-{1 → 0}], points[order])": "a higher limit only costs time",
        "while len(chosen) < size and far.max() {>= → >} limit:": (
            "only a pool of equal distances tells; test_identical_patches_end_the_choice"
        ),
        "while len(chosen) < size and {far.max → far.min}() >= limit:": (
            "one patch is chosen in every pass: the same choice, more slowly"
        ),
        "far = torch.minimum(far, torch.cdist(near, near[[i]])[:, {0 → -1}])": "of one column",
    },
    "select_coreset": {
        "size = max({1 → 0}, round(ratio * len(patches)))": "the start is chosen anyway",
    },
    "nearest_distances": {
        "for part in torch.arange(len(patches)).split({4096 → 4097}):": (
            "the size of a block changes nothing"
        ),
        "for part in torch.arange(len(patches)).split({4096 → 4095}):": (
            "the size of a block changes nothing"
        ),
    },
    "anomaly_maps": {
        "return gaussian_filter(maps[:, {0 → -1}].numpy(), sigma=(0, sigma, sigma))": (
            "there is one channel"
        ),
        "return gaussian_filter(maps[:, 0].numpy(), sigma=({0 → -1}, sigma, sigma))": (
            "SciPy leaves an axis alone unless its sigma is above 0"
        ),
    },
    "whole_bank_scores": {
        "top = upper.topk(min({16 → 17}, upper.shape[1])).indices": "any number of them will do",
        "top = upper.topk(min({16 → 15}, upper.shape[1])).indices": "any number of them will do",
        "top = upper.topk(min(16, upper.shape[{1 → 0}])).indices": "any number of them will do",
        "lower = exact.view(top.shape){.amax → .amin}(dim=1, keepdim=True)": (
            "a lower bound as well, which skips less"
        ),
        "likely, parts = (patches[rows, top].flatten(0, 1), bank.split({2048 → 2049}))": (
            "the size of a block changes nothing"
        ),
        "likely, parts = (patches[rows, top].flatten(0, 1), bank.split({2048 → 2047}))": (
            "the size of a block changes nothing"
        ),
        "left = upper {> → >=} lower": "an equal one changes no maximum",
        "return torch.maximum(lower[:, {0 → -1}], upper.amax(dim=1)).numpy()": "of one column",
    },
}
