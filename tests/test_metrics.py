"""helpers.metrics: equal to scikit-learn and to slow, independent computations; fast; strict."""

import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from skimage.measure import label as components
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from helpers import baselines, metrics
from helpers.data import ImageSet

PIXEL_KEYS = {"pixel_auroc", "pixel_ap", "aupro", "aupro_anomalous"}
IMAGE_METRICS = [metrics.image_auroc, metrics.image_ap, metrics.image_f1_max]
IMAGE_KEYS = {metric.__name__ for metric in IMAGE_METRICS}


def image_set(kinds: str, *, size: int = 12, seed: int = 0) -> ImageSet:
    """One image per letter: n normal, d real defect without mask, m real defect with mask,
    r rendered defect with mask."""
    rng = np.random.default_rng(seed)
    n = len(kinds)
    masks = np.zeros((n, size, size), bool)
    for i, kind in enumerate(kinds):
        if kind in "mr":
            masks[i, 2:5, 3 : 5 + i % 4] = True
    names = {"n": "good", "d": "defective", "m": "hole", "r": "crack"}
    return ImageSet(
        images=rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8),
        labels=np.array([int(k != "n") for k in kinds]),
        masks=masks,
        has_mask=np.array([k != "d" for k in kinds]),
        rendered=np.array([k == "r" for k in kinds]),
        types=tuple(names[k] for k in kinds),
        paths=tuple(f"{i}.png" for i in range(n)),
        name="small",
        license="none",
        fingerprint="0" * 12,
    )


def random_maps(masks: np.ndarray, *, seed: int = 0, digits: int = 1) -> np.ndarray:
    """Noise plus signal, rounded so that many pixels tie."""
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(size=masks.shape) + 1.2 * masks, digits)


@pytest.fixture
def masks() -> np.ndarray:
    """Six masks of 16x16: large, tiny, diagonal, two touching at a corner, at the border, none."""
    masks = np.zeros((6, 16, 16), bool)
    masks[0, 2:9, 3:12] = True
    masks[0, 14, 14] = True
    masks[1, 5, 5] = True
    masks[2][np.arange(3, 13), np.arange(3, 13)] = True
    masks[3, 1:4, 1:4] = masks[3, 4:6, 4:7] = True
    masks[4, 0, :] = masks[4, 15, 0:2] = True
    return masks


# Image metrics ------------------------------------------------------------------------------


def test_image_metrics_of_a_ranking_that_can_be_checked_by_hand():
    labels, scores = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    assert metrics.image_auroc(labels, scores) == 0.75  # 3 of 4 pairs in order
    assert metrics.image_ap(labels, scores) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert metrics.image_f1_max(labels, scores) == pytest.approx(0.8)  # precision 2/3, recall 1


def test_a_constant_score_ranks_nothing():
    labels = [0, 0, 0, 1]
    assert metrics.image_auroc(labels, [7, 7, 7, 7]) == 0.5
    assert metrics.image_ap(labels, [7, 7, 7, 7]) == 0.25  # the share of anomalous images


def test_f1_max_is_the_best_over_every_threshold():
    rng = np.random.default_rng(0)
    for seed in range(5):
        labels = np.r_[np.zeros(30, int), np.ones(12, int)]
        scores = np.round(np.random.default_rng(seed).normal(size=42) + labels, 1)
        best = max(f1_score(labels, scores >= t) for t in scores)
        assert metrics.image_f1_max(labels, scores) == pytest.approx(best, abs=1e-12)
    assert metrics.image_f1_max([0, 1], rng.permutation([0.0, 0.0])) == pytest.approx(2 / 3)


def test_tensors_and_lists_are_as_good_as_arrays():
    labels, scores = [0, 1, 0, 1], [0.0, 2.0, 1.0, 3.0]
    assert metrics.image_auroc(torch.tensor(labels), torch.tensor(scores)) == 1.0
    assert metrics.image_auroc(np.array(labels, bool), np.array(scores, np.float16)) == 1.0


# Pixel metrics ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("digits", [0, 1, 8])
def test_pixel_auroc_and_ap_equal_scikit_learn_ties_included(masks, dtype, digits):
    maps = random_maps(masks, digits=digits).astype(dtype)
    truth, values = masks.ravel(), maps.ravel()
    assert metrics.pixel_auroc(masks, maps) == pytest.approx(roc_auc_score(truth, values), abs=1e-9)
    assert metrics.pixel_ap(masks, maps) == pytest.approx(
        average_precision_score(truth, values), abs=1e-9
    )


def slow_aupro(maps, masks, over, limit):
    """From the definition: every distinct value is a threshold, every region has its own loop."""
    regions = []
    for i, mask in enumerate(masks):
        named = components(mask, connectivity=2)  # 2: diagonal neighbours belong together
        regions += [(i, named == k) for k in range(1, named.max() + 1)]
    chosen = [i for i in range(len(masks)) if over == "all" or masks[i].any()]
    normal = np.concatenate([maps[i][~masks[i]] for i in chosen])
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        found = [(maps[i][region] >= threshold).mean() for i, region in regions]
        points.append(((normal >= threshold).mean(), sum(found) / len(found)))
    points.append((1.0, 1.0))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit or x0 == x1:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@pytest.mark.parametrize("over", ["all", "anomalous"])
@pytest.mark.parametrize("limit", [0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("digits", [0, 1, 8])
def test_aupro_equals_a_brute_force_over_all_thresholds(masks, over, limit, digits):
    for seed in range(3):
        maps = random_maps(masks, seed=seed, digits=digits)
        expected = slow_aupro(maps, masks, over, limit)
        assert metrics.aupro(masks, maps, over=over, fpr_limit=limit) == pytest.approx(
            expected, abs=1e-12
        )


def test_aupro_is_one_for_a_perfect_map_and_half_the_limit_for_a_blind_one(masks):
    assert metrics.aupro(masks, masks.astype(float)) == pytest.approx(1.0)
    assert metrics.aupro(masks, np.zeros(masks.shape)) == pytest.approx(0.15)
    assert metrics.aupro(masks, 1.0 - masks) == pytest.approx(0.0)


def test_aupro_names_whose_normal_pixels_count(masks):
    maps = masks.astype(float)
    maps[5] = 2.0  # a false alarm all over the normal image
    assert metrics.aupro(masks, maps, over="anomalous") == pytest.approx(1.0)
    assert metrics.aupro(masks, maps, over="all") < 0.6
    with pytest.raises(ValueError, match='"all" or "anomalous", found \'both\''):
        metrics.aupro(masks, maps, over="both")
    with pytest.raises(ValueError, match=r"fpr_limit must lie in \(0, 1\], found 30"):
        metrics.aupro(masks, maps, fpr_limit=30)


def test_a_tiny_defect_weighs_as_much_as_a_large_one():
    masks = np.zeros((1, 20, 20), bool)
    masks[0, 1:11, 1:11] = masks[0, 15, 15] = True
    only_large, only_tiny = masks.astype(float), np.zeros((1, 20, 20))
    only_large[0, 15, 15] = 0
    only_tiny[0, 15, 15] = 1
    # Half the regions at no false positive; the rest comes with the tie at the bottom.
    assert metrics.aupro(masks, only_large) == pytest.approx(metrics.aupro(masks, only_tiny))
    assert metrics.pixel_auroc(masks, only_large) > metrics.pixel_auroc(masks, only_tiny) + 0.4


def test_a_diagonal_crack_is_one_region_and_never_reaches_into_the_next_image():
    masks = np.zeros((2, 8, 8), bool)
    masks[0][np.arange(8), np.arange(8)] = True
    masks[1, 3, 3] = True
    test = image_set("mmn", size=8)
    test.masks[:] = np.concatenate([masks, np.zeros((1, 8, 8), bool)])
    result = metrics.evaluate(test, np.arange(3.0), random_maps(test.masks))
    assert result.counts["regions"] == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_hundred_maps_of_256_pixels_take_less_than_five_seconds_and_little_memory(dtype):
    rng = np.random.default_rng(0)
    test = image_set("n" * 100 + "r" * 100, size=256)
    test.masks[100:, 30:90, 40:110] = True  # 7 % of the pixels
    maps = rng.standard_normal(test.masks.shape, dtype=np.float32).astype(dtype) + test.masks
    started = time.process_time()
    result = metrics.evaluate(test, rng.normal(size=200), maps, intervals=False)
    assert time.process_time() - started < 5
    assert result.values.keys() >= PIXEL_KEYS
    tracemalloc.start()
    metrics.aupro(test.masks, maps)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * maps.nbytes


# Bootstrap ----------------------------------------------------------------------------------


@pytest.fixture
def overlapping() -> tuple[np.ndarray, np.ndarray]:
    """100 normal and 100 anomalous images whose scores overlap and tie."""
    labels = np.r_[np.zeros(100, int), np.ones(100, int)]
    return labels, np.round(np.random.default_rng(1).normal(size=200) + labels, 1)


@pytest.mark.parametrize(
    "metric",
    [metrics.image_auroc, metrics.image_ap, metrics.image_f1_max],
    ids=lambda m: m.__name__,
)
def test_the_bootstrap_equals_calling_scikit_learn_on_each_resample(overlapping, metric):
    order = np.random.default_rng(2).permutation(200)
    labels, scores = overlapping[0][order], overlapping[1][order]
    found = metrics.bootstrap_interval(labels, scores, metric=metric, resamples=60)
    times = metrics._draw(labels, 60, 0).astype(int)
    assert (times[:, labels == 1].sum(axis=1) == 100).all()  # stratified: as many of each class
    assert (times.sum(axis=1) == 200).all()
    picks = [np.repeat(np.arange(200), row) for row in times]
    slow = [metric(labels[pick], scores[pick]) for pick in picks]
    assert found == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=1e-12)


def test_a_thousand_resamples_of_200_images_take_less_than_a_second(overlapping):
    started = time.process_time()
    low, high = metrics.bootstrap_interval(*overlapping)
    assert time.process_time() - started < 1
    assert low < metrics.image_auroc(*overlapping) < high
    assert 0.05 < high - low < 0.2


def test_the_interval_covers_the_true_value_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    labels = np.r_[np.zeros(50, int), np.ones(50, int)]
    truth = 0.7602  # P(normal(1, 1) > normal(0, 1)) = Phi(1 / sqrt 2)
    hits = 0
    for _ in range(200):
        low, high = metrics.bootstrap_interval(labels, rng.normal(size=100) + labels)
        hits += low <= truth <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_the_interval_is_1_96_standard_errors_wide_where_one_normal_image_splits_the_others():
    # With one normal image the AUROC is a share of the anomalous ones: 0.6, of 100.
    labels, scores = np.r_[0, np.ones(100, int)], np.r_[0.5, np.repeat([0.0, 1.0], [40, 60])]
    low, high = metrics.bootstrap_interval(labels, scores, resamples=4000)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.6 * 0.4 / 100), rel=0.06)
    against_chance = metrics.compare(image_set("n" + "d" * 100), scores, np.zeros(101))
    low, high = metrics.bootstrap_interval(labels, scores)
    assert against_chance.value == pytest.approx(0.1)
    assert (against_chance.low, against_chance.high) == pytest.approx((low - 0.5, high - 0.5))


def test_the_seed_decides_the_interval(overlapping):
    same = [metrics.bootstrap_interval(*overlapping, seed=4) for _ in range(2)]
    assert same[0] == same[1] != metrics.bootstrap_interval(*overlapping, seed=5)
    with pytest.raises(ValueError, match="at least 1, found 0"):
        metrics.bootstrap_interval(*overlapping, resamples=0)
    with pytest.raises(ValueError, match=r"metric must be one of image_auroc.*found <function"):
        metrics.bootstrap_interval(*overlapping, metric=lambda labels, scores: 0.5)


#: What three separate implementations of the bootstrap gave before they became one: for each
#: image metric the interval of a and the difference a - b with its interval; then of the maps.
# fmt: off
PINNED = [
    [
        0.6037037037037, 1.0, 0.14814814814815, -0.24212962962963, 0.49074074074074,
        0.7080753968254, 1.0, 0.16335978835979, -0.10534411576078, 0.38433068497407,
        0.70588235294118, 1.0, 0.073529411764706, -0.13745922498554, 0.28137651821862,
        0.03959229390681, -0.00070383563386553, 0.1019108584792,
    ],
    [
        0.49320987654321, 0.93981481481481, 0.14814814814815, -0.20694444444444, 0.44768518518518,
        0.60141955266955, 0.96130952380952, 0.12237921845765, -0.15823949198949, 0.41760812489979,
        0.66666666666667, 0.94868421052632, 0.085470085470085, -0.096190476190476, 0.25076754385965,
        -0.017334229390681, -0.063617783078618, 0.01521630696251,
    ],
    [
        0.4070987654321, 0.91358024691358, 0.26543209876543, -0.086728395061728, 0.63009259259259,
        0.50335648148148, 0.93935185185185, 0.20720760720761, -0.081119123931624, 0.44881448412698,
        0.66666666666667, 0.89019607843137, 0.013574660633484, -0.058333333333333, 0.22280477408355,
        0.0028268044195724, -0.025427010313058, 0.056502499924124,
    ],
    [
        0.70277777777778, 1.0, 0.18518518518519, -0.05, 0.45200617283951,
        0.74801707551708, 1.0, 0.1460298960299, -0.082748316498316, 0.337742003367,
        0.78260869565217, 1.0, 0.12987012987013, -0.025404411764706, 0.23375,
        -0.047271505376344, -0.099723218224174, 0.0075617955257388,
    ],
]
# fmt: on


@pytest.mark.parametrize("seed", range(4))
def test_numbers_that_other_code_gave_stay(seed):
    rng = np.random.default_rng(seed)
    kinds = "".join(rng.permutation(list("n" * 9 + "d" * 5 + "m" * 4 + "r" * 3)))
    test = image_set(kinds, size=8, seed=seed)
    test.masks[kinds.index("m")] = True  # no normal pixel
    a, b = (np.round(rng.normal(size=len(kinds)) + 0.8 * test.labels, 1) for _ in "ab")
    options = {"resamples": 80, "seed": seed}
    found = []
    for metric in IMAGE_METRICS:
        found += metrics.bootstrap_interval(test, a, metric=metric, **options)
        difference = metrics.compare(test, a, b, metric=metric, **options)
        found += [difference.value, difference.low, difference.high]
    maps = (random_maps(test.masks, seed=10 * seed + k) for k in (1, 2))
    difference = metrics.compare_maps(test, *maps, **options)
    found += [difference.value, difference.low, difference.high]
    assert found == pytest.approx(PINNED[seed], abs=1e-12)


def test_compare_pairs_the_resamples():
    test = image_set("n" * 60 + "d" * 60)
    rng = np.random.default_rng(0)
    a = rng.normal(size=120) + test.labels
    assert metrics.compare(test, a, a) == metrics.Difference(0.0, 0.0, 0.0)
    b = a + 0.05 * rng.normal(size=120)  # nearly the same ranking: the pairing makes it narrow
    paired = metrics.compare(test, a, b)
    low, high = metrics.bootstrap_interval(test.labels, a)
    assert paired.low <= paired.value <= paired.high
    assert paired.high - paired.low < (high - low) / 3
    reverse = metrics.compare(test, b, a)
    assert (reverse.value, reverse.low) == pytest.approx((-paired.value, -paired.high))


def test_the_mean_difference_has_the_interval_of_student_s_t():
    a, b = [1.0, 1.5, 0.0, 1.0], [0.0, 1.5, 0.0, 0.0]  # differences 1, 0, 0, 1
    found = metrics.mean_difference(np.array(a), np.array(b))
    half = 3.182446 * np.sqrt(1 / 3) / 2  # t(0.975) of three degrees of freedom
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    reverse = metrics.mean_difference(b, a)
    assert (reverse.value, reverse.low) == pytest.approx((-0.5, -found.high))


def test_the_interval_of_three_pairs_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    gaps = rng.normal(2.0, 1.0, size=(2000, 3))
    found = [metrics.mean_difference(row, np.zeros(3)) for row in gaps]
    held = np.mean([one.low <= 2 <= one.high for one in found])
    assert 0.935 < held < 0.965, "1.96 standard errors would hold it in 81 %"


def test_fewer_than_two_pairs_have_no_interval_and_odd_ones_are_refused():
    assert metrics.mean_difference([1.0], [0.0]) is None
    with pytest.raises(ValueError, match=r"shape \(N,\), found \(2,\) and \(3,\)"):
        metrics.mean_difference([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="b has 1 NaN or infinite"):
        metrics.mean_difference([1.0, 2.0], [1.0, np.nan])


def test_a_copied_defect_remains_whole_and_an_erased_one_not_at_all():
    rng = np.random.default_rng(0)
    clean = rng.integers(60, 200, size=(3, 8, 8, 3)).astype(np.uint8)
    drawn = clean.copy()
    drawn[:, 2:5, 3:6] -= np.uint8(40)
    networks = {
        1.0: lambda x: x,  # copies, wherever
        0.0: lambda x: np.full(x.shape, 7.0),  # erases everything
        0.3: lambda x: 0.3 * x + 11.0,  # fades, and is off by a constant
        -1.0: lambda x: 255.0 - x,  # turns it round
    }
    for share, network in networks.items():
        found = metrics.remaining(clean, drawn, network(clean), network(drawn))
        assert found == pytest.approx(np.full(3, share)), share


def test_what_a_defect_changes_elsewhere_does_not_count():
    clean, drawn = np.zeros((1, 2, 2)), np.zeros((1, 2, 2))
    drawn[0, 0, 0], drawn[0, 0, 1] = 2, 1
    out = np.array([[[1.0, 0.0], [9.0, -9.0]]])  # half of one pixel, much on others
    assert metrics.remaining(clean, drawn, clean, out) == pytest.approx([2 / 5])


def test_what_remains_of_no_defect_is_refused():
    images = np.zeros((2, 4, 4))
    drawn = images.copy()
    drawn[0, 0, 0] = 1
    with pytest.raises(ValueError, match="image 1 is the same in clean and drawn"):
        metrics.remaining(images, drawn, images, images)
    with pytest.raises(ValueError, match="one shape"):
        metrics.remaining(images, drawn, images, images[:1])


def test_compare_uses_the_images_that_evaluate_ranks_and_says_none_if_there_is_nothing_to_rank():
    test = image_set("n" * 20 + "d" * 20 + "r" * 10)
    scores = np.random.default_rng(0).normal(size=50) + test.labels
    other = scores.copy()
    other[40:] = 99  # rendered defects do not count
    assert metrics.compare(test, scores, other).value == 0
    assert metrics.compare(image_set("nnnn"), np.arange(4), np.arange(4)) is None
    assert metrics.compare(image_set("ddd"), np.arange(3), np.arange(3)) is None
    with pytest.raises(ValueError, match=r"b must have one value per test image"):
        metrics.compare(test, scores, scores[:-1])


# A whole test set ---------------------------------------------------------------------------


def test_compare_maps_is_the_difference_of_pixel_aurocs_and_draws_whole_images():
    test = image_set("nnnddmmrrr")
    a, b = (random_maps(test.masks, seed=s) for s in (1, 2))
    found = metrics.compare_maps(test, a, b, resamples=50, seed=3)
    used = test.has_mask
    areas = [metrics.pixel_auroc(test.masks[used], maps[used]) for maps in (a, b)]
    assert found.value == pytest.approx(areas[0] - areas[1], abs=1e-12)

    times = metrics._draw(test.masks[used].any(axis=(1, 2)), 50, 3).astype(int)
    assert (times[:, :3].sum(axis=1) == 3).all() and (times.sum(axis=1) == used.sum()).all()
    slow = []
    for row in times:
        pick = np.repeat(np.flatnonzero(used), row)
        one, two = (metrics.pixel_auroc(test.masks[pick], m[pick]) for m in (a, b))
        slow.append(one - two)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])))
    same = metrics.compare_maps(test, a, a)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_compare_maps_says_none_without_masks_and_refuses_other_shapes():
    test = image_set("nnmm")
    maps = random_maps(test.masks)
    with pytest.raises(ValueError, match=r"maps_b must have the shape of the masks.*\(4, 12, 12\)"):
        metrics.compare_maps(test, maps, maps[:, :6])
    with pytest.raises(ValueError, match="maps_a has 1 NaN"):
        metrics.compare_maps(test, np.where(np.arange(12) == 5, np.nan, 0)[None, None], maps)
    for kinds in ("nnn", "nndd"):
        test = image_set(kinds)
        maps = random_maps(test.masks)
        assert metrics.compare_maps(test, maps, maps) is None
    only_bad = image_set("mrr")
    maps = random_maps(only_bad.masks)
    assert metrics.compare_maps(only_bad, maps, maps).value == 0


def test_a_resample_without_normal_pixels_is_left_out():
    test = image_set("mm")
    test.masks[0] = True  # drawn twice, there is nothing to rank
    a, b = (random_maps(test.masks, seed=s) for s in (1, 2))
    drawn = metrics._draw(np.ones(2), 200, 0)
    assert (drawn[:, 1] == 0).any()
    found = metrics.compare_maps(test, a, b, resamples=200)
    assert found.low <= found.value <= found.high  # finite, and no warning
    seed = next(s for s in range(99) if metrics._draw(np.ones(2), 1, s)[0, 1] == 0)
    assert metrics.compare_maps(test, a, b, resamples=1, seed=seed) is None


def test_comparing_maps_sorts_each_image_once_however_many_resamples_there_are(monkeypatch):
    test = image_set("n" * 10 + "r" * 6)
    maps = random_maps(test.masks)
    sorted_, sort = [], np.sort
    monkeypatch.setattr(np, "sort", lambda values: sorted_.append(len(values)) or sort(values))
    for resamples in (10, 500):
        sorted_.clear()
        metrics.compare_maps(test, maps, maps[::-1], resamples=resamples)
        assert sum(sorted_) == 2 * (~test.masks).sum()


def test_evaluate_ranks_real_images_and_measures_pixels_where_the_mask_is_exact():
    test = image_set("n" * 12 + "d" * 10 + "r" * 8)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=30) + test.labels
    scores[22:] = -100.0  # rendered: without any influence on the image metrics
    maps = random_maps(test.masks)
    maps[12:22] = 1e6  # real defects without mask: without any influence on the pixel metrics
    result = metrics.evaluate(test, scores, maps)
    assert result.values.keys() == IMAGE_KEYS | PIXEL_KEYS
    assert result.missing == {}
    assert result.values["image_auroc"] == metrics.image_auroc(test.labels[:22], scores[:22])
    exact = test.has_mask
    for over, key in (("all", "aupro"), ("anomalous", "aupro_anomalous")):
        assert result.values[key] == metrics.aupro(test.masks[exact], maps[exact], over=over)
    assert result.values["pixel_auroc"] == metrics.pixel_auroc(test.masks[exact], maps[exact])
    assert result.values["pixel_ap"] == metrics.pixel_ap(test.masks[exact], maps[exact])
    assert result.intervals.keys() == IMAGE_KEYS
    assert all(low <= high for low, high in result.intervals.values())
    assert result.counts == {
        "anomalous": 18,
        "image_normal": 12,
        "image_anomalous": 10,
        "pixel_images": 20,
        "pixel_anomalous": 8,
        "regions": 8,
        "rendered_used_for_image_metrics": 0,
    }
    assert metrics.evaluate(test, scores, maps, intervals=False).intervals == {}


def test_image_metrics_of_a_test_set_are_the_numbers_that_evaluate_gives_or_none():
    test, scores = image_set("nnddrr"), np.array([0.1, 0.6, 0.4, 0.9, 0.0, 0.0])
    assert metrics.images_to_rank(test).tolist() == [True] * 4 + [False] * 2
    assert metrics.image_auroc(test, scores) == pytest.approx(0.75)
    result = metrics.evaluate(test, scores)
    for metric in IMAGE_METRICS:
        assert metric(test, scores) == result.values[metric.__name__]
        interval = metrics.bootstrap_interval(test, scores, metric=metric)
        assert interval == result.intervals[metric.__name__]
        for kinds in ("nn", "dd"):
            one_kind = image_set(kinds)
            assert metric(one_kind, scores[: len(kinds)]) is None
            assert metrics.bootstrap_interval(one_kind, scores[: len(kinds)]) is None
        assert metric([0, 0], [0.1, 0.2]) is None
    with pytest.raises(ValueError, match=r"scores must have one value per test image"):
        metrics.image_auroc(test, scores[:3])


def test_evaluate_ranks_rendered_defects_if_there_are_no_real_ones_and_says_so():
    test = image_set("nnnrrr")
    result = metrics.evaluate(test, np.arange(6.0), random_maps(test.masks))
    assert result.values["image_auroc"] == 1.0
    assert metrics.images_to_rank(test).all()
    assert result.counts["image_anomalous"] == 3
    assert result.counts["rendered_used_for_image_metrics"] == 1


@pytest.mark.parametrize(
    ("kinds", "image_reason", "pixel_reason"),
    [
        ("nnnn", "no anomalous images", "no anomalous images"),
        ("nndd", None, "no masks"),
        ("mmm", "no normal test images", None),
        ("ddd", "no normal test images", "no masks"),
        ("nnmd", None, None),
    ],
)
def test_what_cannot_be_measured_is_named_with_its_reason(kinds, image_reason, pixel_reason):
    test = image_set(kinds)
    result = metrics.evaluate(test, np.arange(float(len(kinds))), random_maps(test.masks))
    expected = dict.fromkeys(IMAGE_KEYS, image_reason) | dict.fromkeys(PIXEL_KEYS, pixel_reason)
    assert result.missing == {k: reason for k, reason in expected.items() if reason}
    assert result.values.keys() == {k for k, reason in expected.items() if not reason}


def test_a_method_without_maps_and_masks_without_normal_pixels_are_named_too():
    test = image_set("nnmm")
    result = metrics.evaluate(test, np.arange(4.0), None)
    assert result.missing == dict.fromkeys(PIXEL_KEYS, "no anomaly maps")
    test.masks[2:] = True
    result = metrics.evaluate(test, np.arange(4.0), random_maps(test.masks))
    assert result.missing == {"aupro_anomalous": "no normal pixels in anomalous images"}
    with pytest.raises(ValueError, match="no normal pixel"):
        metrics.aupro(test.masks, random_maps(test.masks), over="anomalous")


def test_evaluate_refuses_scores_and_maps_that_do_not_fit_the_test_set():
    test = image_set("nnmm")
    maps = random_maps(test.masks)
    with pytest.raises(ValueError, match=r"scores must have .* shape \(4,\), found \(3,\)"):
        metrics.evaluate(test, np.arange(3.0), maps)
    with pytest.raises(ValueError, match=r"\(4, 12, 12\), found \(4, 6, 6\); resize every map"):
        metrics.evaluate(test, np.arange(4.0), maps[:, ::2, ::2])
    maps[2, 5, 7] = np.nan
    with pytest.raises(ValueError, match=r"maps has 1 NaN .* first at index \[2, 5, 7\]"):
        metrics.evaluate(test, np.arange(4.0), maps)


# Baselines and threshold --------------------------------------------------------------------


def test_baselines_score_brightness_and_the_nearest_thumbnail():
    train, test = image_set("nn", size=64), image_set("nnd", size=64)
    train.images[0], train.images[1] = 90, 110
    test.images[0], test.images[1], test.images[2] = 100, 110, 130
    scores = baselines.trivial(train, test)
    assert scores["mean grey"].tolist() == [0, 10, 30]
    # 32x32 grey values that all differ by 10, 0 and 20 from the nearest training image
    assert scores["thumbnail nearest neighbour"].tolist() == [320, 0, 640]
    with pytest.raises(ValueError, match="found 0 and 3"):
        baselines.trivial(train.select([]), test)


def test_baselines_compare_images_of_different_sizes():
    scores = baselines.trivial(image_set("n", size=40), image_set("nd", size=64))
    assert all(np.isfinite(s).all() and s.shape == (2,) for s in scores.values())


@pytest.mark.parametrize(("n", "rate", "rank"), [(19, 0.05, 19), (99, 0.05, 95), (9, 0.1, 9)])
def test_the_threshold_is_the_conformal_order_statistic(n, rate, rank):
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert metrics.threshold_from_normals(scores, false_positive_rate=rate) == rank


def test_the_threshold_keeps_its_promise_on_new_normal_images():
    rng = np.random.default_rng(0)
    flagged = [
        (
            rng.exponential(size=200) > metrics.threshold_from_normals(rng.exponential(size=40))
        ).mean()
        for _ in range(400)
    ]
    # k = ceil(41 x 0.95) = 39: the expected rate is 1 - 39 / 41 = 0.0488
    assert np.mean(flagged) == pytest.approx(0.0488, abs=0.006)


def test_too_few_normal_scores_are_refused_with_the_number_that_is_needed():
    with pytest.raises(ValueError, match=r"18 normal scores .* at least 19 are needed; with 18"):
        metrics.threshold_from_normals(np.arange(18.0))
    with pytest.raises(ValueError, match="at least 99"):
        metrics.threshold_from_normals(np.arange(20.0), false_positive_rate=0.01)
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\), found 5"):
        metrics.threshold_from_normals(np.arange(20.0), false_positive_rate=5)
    with pytest.raises(ValueError, match="non-empty vector"):
        metrics.threshold_from_normals([])


# What is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 1], [0.0, np.nan, np.inf], r"scores has 2 NaN or infinite values among 3.*\[1\]"),
        ([0, 1], [0.0, 1.0, 2.0], r"labels and scores must both have shape \(N,\), found \(2,\)"),
        ([[0, 1]], [[0.0, 1.0]], r"shape \(N,\), found \(1, 2\) and \(1, 2\)"),
        ([], [], "labels and scores are empty"),
        ([0, 2], [0.0, 1.0], r"labels must be 0 \(normal\) or 1 \(anomalous\), found 2"),
        ([-1, 1], [0.0, 1.0], "found -1"),
        ([0, 1], ["low", "high"], "scores must be numbers"),
    ],
)
@pytest.mark.parametrize(
    "metric", [*IMAGE_METRICS, metrics.bootstrap_interval], ids=lambda m: m.__name__
)
def test_image_metrics_refuse_what_cannot_be_ranked(metric, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        metric(labels, scores)


@pytest.mark.parametrize("metric", [metrics.pixel_auroc, metrics.pixel_ap, metrics.aupro])
def test_pixel_metrics_refuse_what_cannot_be_ranked(metric, masks):
    maps = random_maps(masks)
    for bad_maps, bad_masks, message in (
        (maps[:, :8], masks, r"shape \(N, H, W\), found \(6, 16, 16\) and \(6, 8, 16\)"),
        (maps[0], masks[0], r"shape \(N, H, W\)"),
        (maps[:0], masks[:0], "are empty"),
        (maps, masks * 255, r"masks must be 0 \(normal\) or 1 \(anomalous\), found 255"),
        (maps, np.zeros_like(masks), "all 1536 are normal"),
        (maps, np.ones_like(masks), "all 1536 are anomalous"),
        (np.where(masks, np.inf, maps), masks, r"maps has 108 NaN or infinite values"),
    ):
        with pytest.raises(ValueError, match=message):
            metric(bad_masks, bad_maps)
