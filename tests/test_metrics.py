"""helpers.metrics: equal to scikit-learn and to slow, independent computations; fast; strict."""

import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from skimage.measure import label as components
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from helpers import metrics
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
    assert metrics.pixel_auroc(maps, masks) == pytest.approx(roc_auc_score(truth, values), abs=1e-9)
    assert metrics.pixel_ap(maps, masks) == pytest.approx(
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
        assert metrics.aupro(maps, masks, over=over, fpr_limit=limit) == pytest.approx(
            expected, abs=1e-12
        )


def test_aupro_is_one_for_a_perfect_map_and_half_the_limit_for_a_blind_one(masks):
    assert metrics.aupro(masks.astype(float), masks) == pytest.approx(1.0)
    assert metrics.aupro(np.zeros(masks.shape), masks) == pytest.approx(0.15)
    assert metrics.aupro(1.0 - masks, masks) == pytest.approx(0.0)


def test_aupro_names_whose_normal_pixels_count(masks):
    maps = masks.astype(float)
    maps[5] = 2.0  # a false alarm all over the normal image
    assert metrics.aupro(maps, masks, over="anomalous") == pytest.approx(1.0)
    assert metrics.aupro(maps, masks, over="all") < 0.6
    with pytest.raises(ValueError, match='"all" or "anomalous", found \'both\''):
        metrics.aupro(maps, masks, over="both")
    with pytest.raises(ValueError, match=r"fpr_limit must lie in \(0, 1\], found 30"):
        metrics.aupro(maps, masks, fpr_limit=30)


def test_a_tiny_defect_weighs_as_much_as_a_large_one():
    masks = np.zeros((1, 20, 20), bool)
    masks[0, 1:11, 1:11] = masks[0, 15, 15] = True
    only_large, only_tiny = masks.astype(float), np.zeros((1, 20, 20))
    only_large[0, 15, 15] = 0
    only_tiny[0, 15, 15] = 1
    # Half the regions at no false positive; the rest comes with the tie at the bottom.
    assert metrics.aupro(only_large, masks) == pytest.approx(metrics.aupro(only_tiny, masks))
    assert metrics.pixel_auroc(only_large, masks) > metrics.pixel_auroc(only_tiny, masks) + 0.4


def test_a_diagonal_crack_is_one_region_and_never_reaches_into_the_next_image():
    masks = np.zeros((2, 8, 8), bool)
    masks[0][np.arange(8), np.arange(8)] = True
    masks[1, 3, 3] = True
    test = image_set("mmn", size=8)
    test.masks[:] = np.concatenate([masks, np.zeros((1, 8, 8), bool)])
    result = metrics.evaluate(np.arange(3.0), random_maps(test.masks), test)
    assert result.counts["regions"] == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_hundred_maps_of_256_pixels_take_less_than_five_seconds_and_little_memory(dtype):
    rng = np.random.default_rng(0)
    test = image_set("n" * 100 + "r" * 100, size=256)
    test.masks[100:, 30:90, 40:110] = True  # 7 % of the pixels
    maps = rng.standard_normal(test.masks.shape, dtype=np.float32).astype(dtype) + test.masks
    started = time.process_time()
    result = metrics.evaluate(rng.normal(size=200), maps, test, intervals=False)
    assert time.process_time() - started < 5
    assert result.values.keys() >= PIXEL_KEYS
    tracemalloc.start()
    metrics.aupro(maps, test.masks)
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
def test_the_fast_bootstrap_equals_calling_scikit_learn_on_each_resample(overlapping, metric):
    def one_by_one(labels, scores):
        assert labels.sum() == 100  # stratified: every resample has as many of each class
        return metric(labels, scores)

    order = np.random.default_rng(2).permutation(200)
    labels, scores = overlapping[0][order], overlapping[1][order]
    fast = metrics.bootstrap_interval(labels, scores, metric=metric, resamples=60)
    slow = metrics.bootstrap_interval(labels, scores, metric=one_by_one, resamples=60)
    assert fast == pytest.approx(slow, abs=1e-12)


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


def test_the_interval_of_a_mean_is_1_96_standard_errors_wide_on_both_sides(overlapping):
    def mean_anomalous(labels, scores):
        return scores[labels == 1].mean()

    labels, scores = overlapping
    low, high = metrics.bootstrap_interval(labels, scores, metric=mean_anomalous, resamples=4000)
    mine = scores[labels == 1]
    assert (high - low) / 2 == pytest.approx(1.96 * mine.std() / 10, rel=0.06)
    test = image_set("n" * 100 + "d" * 100)
    against_zero = metrics.compare(
        test, scores, np.zeros(200), metric=mean_anomalous, resamples=4000
    )
    expected = metrics.Difference(mean_anomalous(labels, scores), low, high)
    assert against_zero == expected


def test_the_seed_decides_the_interval(overlapping):
    same = [metrics.bootstrap_interval(*overlapping, seed=4) for _ in range(2)]
    assert same[0] == same[1] != metrics.bootstrap_interval(*overlapping, seed=5)
    with pytest.raises(ValueError, match="at least 1, found 0"):
        metrics.bootstrap_interval(*overlapping, resamples=0)


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


def test_compare_uses_the_images_that_evaluate_ranks_and_says_none_if_there_is_nothing_to_rank():
    test = image_set("n" * 20 + "d" * 20 + "r" * 10)
    scores = np.random.default_rng(0).normal(size=50) + test.labels
    other = scores.copy()
    other[40:] = 99  # rendered defects do not count
    assert metrics.compare(test, scores, other).value == 0
    assert metrics.compare(image_set("nnnn"), np.arange(4), np.arange(4)) is None
    assert metrics.compare(image_set("ddd"), np.arange(3), np.arange(3)) is None
    with pytest.raises(ValueError, match=r"scores_b must have one value per test image"):
        metrics.compare(test, scores, scores[:-1])


# A whole test set ---------------------------------------------------------------------------


def test_compare_maps_is_the_difference_of_pixel_aurocs_and_draws_whole_images():
    test = image_set("nnnddmmrrr")
    a, b = (random_maps(test.masks, seed=s) for s in (1, 2))
    found = metrics.compare_maps(test, a, b, resamples=50, seed=3)
    used = test.has_mask
    areas = [metrics.pixel_auroc(maps[used], test.masks[used]) for maps in (a, b)]
    assert found.value == pytest.approx(areas[0] - areas[1], abs=1e-12)

    times = metrics._draw(test.masks[used].any(axis=(1, 2)), 50, 3)
    assert (times[:, :3].sum(axis=1) == 3).all() and (times.sum(axis=1) == used.sum()).all()
    slow = []
    for row in times:
        pick = np.repeat(np.flatnonzero(used), row)
        one, two = (metrics.pixel_auroc(m[pick], test.masks[pick]) for m in (a, b))
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


def test_comparing_maps_of_160_images_of_256_pixels_takes_seconds():
    rng = np.random.default_rng(0)
    test = image_set("n" * 100 + "r" * 60, size=256)
    maps = rng.normal(size=(160, 256, 256)).astype(np.float32)
    start = time.perf_counter()
    metrics.compare_maps(test, maps, maps[::-1])
    assert time.perf_counter() - start < 15


def test_evaluate_ranks_real_images_and_measures_pixels_where_the_mask_is_exact():
    test = image_set("n" * 12 + "d" * 10 + "r" * 8)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=30) + test.labels
    scores[22:] = -100.0  # rendered: without any influence on the image metrics
    maps = random_maps(test.masks)
    maps[12:22] = 1e6  # real defects without mask: without any influence on the pixel metrics
    result = metrics.evaluate(scores, maps, test)
    assert result.values.keys() == IMAGE_KEYS | PIXEL_KEYS
    assert result.missing == {}
    assert result.values["image_auroc"] == metrics.image_auroc(test.labels[:22], scores[:22])
    exact = test.has_mask
    for over, key in (("all", "aupro"), ("anomalous", "aupro_anomalous")):
        assert result.values[key] == metrics.aupro(maps[exact], test.masks[exact], over=over)
    assert result.values["pixel_auroc"] == metrics.pixel_auroc(maps[exact], test.masks[exact])
    assert result.values["pixel_ap"] == metrics.pixel_ap(maps[exact], test.masks[exact])
    assert result.intervals.keys() == IMAGE_KEYS
    assert all(low <= high for low, high in result.intervals.values())
    assert result.counts == {
        "image_normal": 12,
        "image_anomalous": 10,
        "pixel_images": 20,
        "pixel_anomalous": 8,
        "regions": 8,
        "rendered_used_for_image_metrics": 0,
    }
    assert metrics.evaluate(scores, maps, test, intervals=False).intervals == {}


def test_auroc_is_the_number_that_evaluate_gives_or_none():
    test, scores = image_set("nnddrr"), np.array([0.1, 0.6, 0.4, 0.9, 0.0, 0.0])
    assert metrics.auroc(scores, test) == pytest.approx(0.75)
    assert metrics.auroc(scores[:2], image_set("nn")) is None
    with pytest.raises(ValueError, match="scores"):
        metrics.auroc(scores[:3], test)


def test_evaluate_ranks_rendered_defects_if_there_are_no_real_ones_and_says_so():
    test = image_set("nnnrrr")
    result = metrics.evaluate(np.arange(6.0), random_maps(test.masks), test)
    assert result.values["image_auroc"] == 1.0
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
    result = metrics.evaluate(np.arange(float(len(kinds))), random_maps(test.masks), test)
    expected = dict.fromkeys(IMAGE_KEYS, image_reason) | dict.fromkeys(PIXEL_KEYS, pixel_reason)
    assert result.missing == {k: reason for k, reason in expected.items() if reason}
    assert result.values.keys() == {k for k, reason in expected.items() if not reason}


def test_a_method_without_maps_and_masks_without_normal_pixels_are_named_too():
    test = image_set("nnmm")
    result = metrics.evaluate(np.arange(4.0), None, test)
    assert result.missing == dict.fromkeys(PIXEL_KEYS, "no anomaly maps")
    test.masks[2:] = True
    result = metrics.evaluate(np.arange(4.0), random_maps(test.masks), test)
    assert result.missing == {"aupro_anomalous": "no normal pixels in anomalous images"}
    with pytest.raises(ValueError, match="no normal pixel"):
        metrics.aupro(random_maps(test.masks), test.masks, over="anomalous")


def test_evaluate_refuses_scores_and_maps_that_do_not_fit_the_test_set():
    test = image_set("nnmm")
    maps = random_maps(test.masks)
    with pytest.raises(ValueError, match=r"scores must have .* shape \(4,\), found \(3,\)"):
        metrics.evaluate(np.arange(3.0), maps, test)
    with pytest.raises(ValueError, match=r"\(4, 12, 12\), found \(4, 6, 6\); resize every map"):
        metrics.evaluate(np.arange(4.0), maps[:, ::2, ::2], test)
    maps[2, 5, 7] = np.nan
    with pytest.raises(ValueError, match=r"maps has 1 NaN .* first at index \[2, 5, 7\]"):
        metrics.evaluate(np.arange(4.0), maps, test)


# Baselines and threshold --------------------------------------------------------------------


def test_baselines_score_brightness_and_the_nearest_thumbnail():
    train, test = image_set("nn", size=64), image_set("nnd", size=64)
    train.images[0], train.images[1] = 90, 110
    test.images[0], test.images[1], test.images[2] = 100, 110, 130
    scores = metrics.baselines(train, test)
    assert scores["mean grey"].tolist() == [0, 10, 30]
    # 32x32 grey values that all differ by 10, 0 and 20 from the nearest training image
    assert scores["thumbnail nearest neighbour"].tolist() == [320, 0, 640]
    with pytest.raises(ValueError, match="found 0 and 3"):
        metrics.baselines(train.select([]), test)


def test_baselines_compare_images_of_different_sizes():
    scores = metrics.baselines(image_set("n", size=40), image_set("nd", size=64))
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
        ([0, 0], [0.0, 1.0], "labels: all 2 are normal; ranking needs both"),
        ([1, 1], [0.0, 1.0], "labels: all 2 are anomalous"),
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
            metric(bad_maps, bad_masks)
