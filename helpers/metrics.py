"""How well scores and anomaly maps separate anomalous from normal.

Truth comes first, as in scikit-learn. Scores and maps: higher means more anomalous. Image metrics
are scikit-learn's. The pixel metrics sort every pixel once (`_rank_pixels`) and are exact, ties
included: no binning of thresholds. All intervals come from one bootstrap (`_resample`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import t as student_t

if TYPE_CHECKING:
    from helpers.data import ImageSet

Metric = Callable[["ImageSet | np.ndarray", np.ndarray], float | None]


@dataclass(frozen=True)
class Difference:
    """A difference on the same images, or of the same runs, with its 95 % interval.

    The interval is that of a paired bootstrap (`compare`, `compare_maps`) or of Student's
    t-distribution (`mean_difference`).
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """What `evaluate` found.

    Attributes:
        values: metric name to value in [0, 1].
        intervals: metric name to its 95 % interval; image metrics only, because the pixels of
            one image are not independent observations.
        missing: metric name to the reason why it cannot be computed; disjoint from `values`.
        counts: how many images and regions the numbers rest on.
        scores: (N,) what was evaluated.
        maps: (N, H, W), or None for a method without maps.
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    missing: dict[str, str]
    counts: dict[str, int]
    scores: np.ndarray | None = field(default=None, compare=False, repr=False)
    maps: np.ndarray | None = field(default=None, compare=False, repr=False)


# Image metrics ------------------------------------------------------------------------------


def image_auroc(truth: "ImageSet | np.ndarray", scores: np.ndarray) -> float | None:
    """Area under the ROC curve: the chance that an anomalous image outranks a normal one.

    Args:
        truth: N test images, of which those of `images_to_rank` count, or (N,) labels, 0 normal,
            1 anomalous.
        scores: (N,) finite numbers.

    Returns:
        A value in [0, 1], where a tie counts one half, or None where only one kind of image is
        there to rank. `sklearn.metrics.roc_auc_score`.

    Raises:
        ValueError: for empty, non-finite or wrongly shaped input or other labels.
    """
    from sklearn.metrics import roc_auc_score

    labels, scores = _ranked(truth, scores)
    return float(roc_auc_score(labels, scores)) if _one_kind(labels) is None else None


def image_ap(truth: "ImageSet | np.ndarray", scores: np.ndarray) -> float | None:
    """Average precision, the step-wise area under the precision-recall curve.

    Arguments, None and errors as for `image_auroc`. A random ranking has about the share of
    anomalous images, not 0.5. `sklearn.metrics.average_precision_score`.
    """
    from sklearn.metrics import average_precision_score

    labels, scores = _ranked(truth, scores)
    return float(average_precision_score(labels, scores)) if _one_kind(labels) is None else None


def image_f1_max(truth: "ImageSet | np.ndarray", scores: np.ndarray) -> float | None:
    """The best F1 over all thresholds ("anomalous if score >= threshold").

    Arguments, None and errors as for `image_auroc`. The threshold is chosen with the test labels,
    so this is an upper bound of what a threshold from normal images reaches. Precision and recall
    from `sklearn.metrics.precision_recall_curve`.
    """
    from sklearn.metrics import precision_recall_curve

    labels, scores = _ranked(truth, scores)
    if _one_kind(labels) is not None:
        return None
    precision, recall, _ = precision_recall_curve(labels, scores)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))


def images_to_rank(test: "ImageSet") -> np.ndarray:
    """Which images the image metrics use: real ones, normal and anomalous.

    Rendered defects are left out, unless the test set has rendered anomalies and no real ones.

    Args:
        test: N test images.

    Returns:
        (N,) bool.
    """
    real = ~np.asarray(test.rendered)
    return np.ones(len(real), bool) if _only_rendered(test) else real


# Pixel metrics ------------------------------------------------------------------------------


def pixel_auroc(masks: np.ndarray, maps: np.ndarray) -> float:
    """AUROC over the pixels of all images together.

    Args:
        masks: (N, H, W) bool or 0/1, True = anomalous pixel; both kinds of pixel must occur.
        maps: (N, H, W) finite anomaly maps.

    Returns:
        A value in [0, 1], equal to scikit-learn's on the flattened arrays.

    Raises:
        ValueError: for empty, non-finite or wrongly shaped input, other mask values, or if all
            pixels are of one kind.
    """
    return float(_auroc(_rank_pixels(masks, maps)[0]["all"]))


def pixel_ap(masks: np.ndarray, maps: np.ndarray) -> float:
    """Average precision over the pixels of all images; arguments and errors as `pixel_auroc`."""
    return float(_ap(_rank_pixels(masks, maps)[0]["all"]))


def aupro(
    masks: np.ndarray,
    maps: np.ndarray,
    *,
    over: Literal["all", "anomalous"] = "all",
    fpr_limit: float = 0.3,
) -> float:
    """Area under the per-region-overlap curve, each defect weighing the same whatever its size.

    At each threshold the share of every ground-truth region that is found is averaged over all
    regions of all images. A region is a connected component of a mask with 8-connectivity: a
    crack that runs diagonally and is one pixel wide is one defect, while 4-connectivity would
    count every pixel of it as a defect of its own. The mean overlap is integrated over the
    false-positive rate of pixels from 0 to `fpr_limit` (trapezoids, linear interpolation at the
    limit) and divided by `fpr_limit`. Bergmann et al., Uninformed Students (2020), report it up to
    0.3.

    Args:
        masks: (N, H, W) bool or 0/1, True = anomalous pixel.
        maps: (N, H, W) finite anomaly maps.
        over: whose normal pixels make the false-positive rate: those of ``"all"`` images given,
            or only of the ``"anomalous"`` ones (at least one True in the mask). The literature
            uses both; the numbers differ and must not be compared with each other.
        fpr_limit: upper limit of the integral, in (0, 1].

    Returns:
        A value in [0, 1]. A random map has about fpr_limit / 2.

    Raises:
        ValueError: as for `pixel_auroc`, or for an unknown `over` or `fpr_limit` out of range.
    """
    if over not in ("all", "anomalous"):
        raise ValueError(f'over must be "all" or "anomalous", found {over!r}')
    if not 0 < fpr_limit <= 1:
        raise ValueError(f"fpr_limit must lie in (0, 1], found {fpr_limit!r}")
    counts = _rank_pixels(masks, maps)[0][over]
    if counts.normals == 0:
        raise ValueError("the anomalous images have no normal pixel: no false-positive rate")
    return _aupro(counts, fpr_limit)


@dataclass(frozen=True)
class _Counts:
    """The ROC curve where it rises: one entry per distinct anomalous score, highest first.

    gained (..., K) anomalous samples with this score; above (..., K) normal samples with a higher
    score; upto (..., K) normal samples with this score or a higher one; normals, all normal
    samples, a number or (..., 1); overlap (K,), for pixels, mean overlap of the regions down to
    this score. Between two entries no anomalous sample is gained, so nothing else is needed for
    AUROC, AP, F1 and AUPRO.
    """

    gained: np.ndarray
    above: np.ndarray
    upto: np.ndarray
    normals: int | np.ndarray
    overlap: np.ndarray | None = None


def _rank_pixels(masks: np.ndarray, maps: np.ndarray) -> tuple[dict[str, _Counts], int]:
    """Sort every pixel once; the normal pixels of ``"all"`` or ``"anomalous"`` images; regions."""
    from scipy.ndimage import label

    masks, maps = _rankable(masks, maps, ("masks", "maps"), "N, H, W")
    if masks.all() or not masks.any():
        only = "anomalous" if masks.any() else "normal"
        raise ValueError(f"masks: all {masks.size} are {only}; ranking needs both kinds")
    bad = masks.any(axis=(1, 2))
    eight = np.zeros((3, 3, 3), bool)
    eight[1] = True  # neighbours within an image, never across images
    regions, count = label(masks[bad], structure=eight)
    regions, values = regions[masks[bad]], maps[masks]  # (P,) of each anomalous pixel
    order = np.argsort(values)[::-1]
    regions, values = regions[order], values[order]
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # last pixel of each tie
    weight = 1 / (count * np.bincount(regions).clip(min=1))  # a pixel's share of the mean overlap
    overlap, values = np.cumsum(weight[regions])[last], values[last]

    def count_normals(images: np.ndarray) -> np.ndarray:  # (3, K): above, upto, all of them
        normal = np.sort(maps[images][~masks[images]])
        ends = [np.searchsorted(normal, values[::-1], side=s)[::-1] for s in ("right", "left")]
        return normal.size - np.stack([*ends, np.zeros_like(last)])

    near, far = count_normals(bad), count_normals(~bad)
    sums = {"all": near + far, "anomalous": near}
    gained = np.diff(last, prepend=-1)
    return {k: _Counts(gained, v[0], v[1], int(v[2, 0]), overlap) for k, v in sums.items()}, count


def _auroc(c: _Counts) -> np.ndarray:
    pairs = (c.gained * (2 * c.normals - c.above - c.upto)).sum(-1)
    return pairs / (2 * c.normals * c.gained).sum(-1)


def _ap(c: _Counts) -> np.ndarray:
    found = np.cumsum(c.gained, axis=-1)
    precision = found / np.maximum(found + c.upto, 1)
    return (c.gained * precision).sum(-1) / found[..., -1]


def _f1_max(c: _Counts) -> np.ndarray:
    found = np.cumsum(c.gained, axis=-1)
    return (2 * found / (found + c.upto + found[..., -1:])).max(-1)


def _aupro(c: _Counts, limit: float) -> float:
    # Every entry is the step from (above, overlap before) to (upto, overlap after).
    before = np.append(0.0, c.overlap[:-1])
    x = np.stack([c.above, c.upto], axis=1).ravel() / c.normals
    x, y = np.append(x, 1.0), np.append(np.stack([before, c.overlap], axis=1).ravel(), 1.0)
    inside = int(np.searchsorted(x, limit, side="right"))
    if inside < x.size:  # interpolate at the limit; before the first entry the overlap is 0
        x0, y0 = (x[inside - 1], y[inside - 1]) if inside else (0.0, 0.0)
        end = y0 + (limit - x0) / (x[inside] - x0) * (y[inside] - y0)
        x, y = np.append(x[:inside], limit), np.append(y[:inside], end)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / (2 * limit))


# Intervals and comparisons ------------------------------------------------------------------

_IMAGE_METRICS = {image_auroc: _auroc, image_ap: _ap, image_f1_max: _f1_max}


def bootstrap_interval(
    truth: "ImageSet | np.ndarray",
    scores: np.ndarray,
    *,
    metric: Metric = image_auroc,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """95 % percentile interval of a stratified bootstrap over images.

    Normal and anomalous images are drawn with replacement separately, so that every resample has
    as many of each as the test set.

    Args:
        truth: as for `image_auroc`.
        scores: (N,) finite numbers.
        metric: one of the image metrics of this module.
        resamples: how many, at least 1.
        seed: of the resampling.

    Returns:
        (low, high), the 2.5 and 97.5 percentiles, or None where the metric is None.

    Raises:
        ValueError: as for `image_auroc`, for another `metric`, or if `resamples` is not positive.
    """
    drawn = _bootstrap(truth, [scores], metric, resamples, seed)
    return None if drawn is None else _interval(drawn[0])


def compare(
    test: "ImageSet",
    a: np.ndarray,
    b: np.ndarray,
    *,
    metric: Metric = image_auroc,
    resamples: int = 1000,
    seed: int = 0,
) -> Difference | None:
    """Paired bootstrap of metric(a) - metric(b): both see the same images in every resample.

    Args:
        test: N test images; those of `images_to_rank` are used.
        a: (N,) scores of one method.
        b: (N,) scores of the other.
        metric: one of the image metrics of this module.
        resamples: how many, at least 1.
        seed: of the resampling.

    Returns:
        The difference on the test set with its 95 % interval (stratified, percentile), or None
        if the test set has normal or anomalous images only.

    Raises:
        ValueError: for scores of a wrong shape or with NaN or infinity, or another `metric`.
    """
    drawn = _bootstrap(test, [a, b], metric, resamples, seed, names=("a", "b"))
    if drawn is None:
        return None
    return Difference(metric(test, a) - metric(test, b), *_interval(drawn[0] - drawn[1]))


def compare_maps(
    test: "ImageSet",
    maps_a: np.ndarray,
    maps_b: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Difference | None:
    """Paired bootstrap of pixel AUROC(a) - pixel AUROC(b): whole images are drawn, not pixels.

    Args:
        test: N test images; those used are the ones that `evaluate` uses for pixel metrics.
        maps_a: (N, H, W) anomaly maps of one method.
        maps_b: (N, H, W) anomaly maps of the other.
        resamples: how many, at least 1. One that happens to hold no normal pixel has no AUROC and
            is left out.
        seed: of the resampling.

    Returns:
        The difference over all pixels with its 95 % interval (stratified, percentile), or None if
        the test set has no anomalous image with a mask, or no resample a normal pixel.

    Raises:
        ValueError: for maps of a wrong shape or with NaN or infinity.
    """
    masks = np.asarray(test.masks)[test.has_mask]
    both = []
    for maps, name in ((maps_a, "maps_a"), (maps_b, "maps_b")):
        maps = _finite(maps, name)
        if maps.shape != np.shape(test.masks):
            raise ValueError(
                f"{name} must have the shape of the masks, {np.shape(test.masks)}, "
                f"found {maps.shape}"
            )
        both.append(maps[test.has_mask])
    if not masks.any() or masks.all():
        return None
    bad = masks.any(axis=(1, 2))
    times = np.concatenate([np.ones((1, len(masks))), _draw(bad, resamples, seed)])
    times = times[times @ (~masks).sum(axis=(1, 2)) > 0]
    found = [_auroc(_resample(masks, maps, times)) for maps in both]
    value, *drawn = found[0] - found[1]
    return Difference(float(value), *_interval(drawn)) if drawn else None


def mean_difference(a: np.ndarray, b: np.ndarray) -> Difference | None:
    """Mean of a - b over pairs: the same images under two methods, or the same seeds.

    Args:
        a: (N,) values of one method, of any scale.
        b: (N,) values of the other, in the same order.

    Returns:
        The mean with its 95 % interval by Student's t-distribution, which is exact for normally
        distributed differences however few there are; None for fewer than two pairs.

    Raises:
        ValueError: for shapes that differ or are not (N,), or for NaN or infinity.
    """
    a, b = _finite(a, "a"), _finite(b, "b")
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"a and b must both have shape (N,), found {a.shape} and {b.shape}")
    if len(a) < 2:
        return None
    gaps = np.subtract(a, b, dtype=np.float64)
    half = student_t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps))
    middle = gaps.mean()
    return Difference(float(middle), float(middle - half), float(middle + half))


def remaining(
    clean: np.ndarray, drawn: np.ndarray, clean_out: np.ndarray, drawn_out: np.ndarray
) -> np.ndarray:
    """Share of a defect that is left in a reconstruction: how much a network copies its input.

    The change that the defect makes in the reconstruction, projected on the change that it makes
    in the image: ``<f(x') - f(x), x' - x> / ||x' - x||^2`` for an image x, the same image x' with
    a defect and a network f. 1 means that the defect is copied, 0 that it is erased. What f
    changes in any image cancels out. It may exceed 1, and may be negative.

    Args:
        clean: (N, ...) images without the defect, of any scale.
        drawn: the same images with it.
        clean_out: reconstructions of `clean`, on the same scale.
        drawn_out: reconstructions of `drawn`.

    Returns:
        (N,) shares.

    Raises:
        ValueError: for shapes that differ, for NaN or infinity, or if an image has no defect.
    """
    names = ("clean", "drawn", "clean_out", "drawn_out")
    several = [
        _finite(values, name).astype(np.float64)
        for values, name in zip((clean, drawn, clean_out, drawn_out), names, strict=True)
    ]
    shapes = [values.shape for values in several]
    if len(set(shapes)) > 1 or not shapes[0]:
        raise ValueError(f"{', '.join(names)} must have one shape (N, ...), found {shapes}")
    clean, drawn, clean_out, drawn_out = (v.reshape(len(v), -1) for v in several)
    defect = drawn - clean
    size = (defect**2).sum(axis=1)
    if not size.all():
        first = int(np.flatnonzero(size == 0)[0])
        raise ValueError(f"image {first} is the same in clean and drawn: it has no defect")
    return ((drawn_out - clean_out) * defect).sum(axis=1) / size


def _bootstrap(
    truth: "ImageSet | np.ndarray",
    several: list[np.ndarray],
    metric: Metric,
    resamples: int,
    seed: int,
    names: tuple[str, ...] = ("scores",),
) -> list[np.ndarray] | None:
    """(resamples,) values of `metric` for each of several scores, on the same resamples."""
    if metric not in _IMAGE_METRICS:
        known = ", ".join(m.__name__ for m in _IMAGE_METRICS)
        raise ValueError(f"metric must be one of {known}, found {metric!r}")
    ranked = [_ranked(truth, scores, name) for scores, name in zip(several, names, strict=True)]
    labels = ranked[0][0]
    if _one_kind(labels) is not None:
        return None
    times = _draw(labels, resamples, seed)
    masks = labels.astype(bool)[:, None, None]  # an image score is a map of one pixel
    area = _IMAGE_METRICS[metric]
    return [area(_resample(masks, scores[:, None, None], times)) for _, scores in ranked]


def _interval(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _draw(bad: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """(resamples, N): how often each image is drawn, normal and anomalous ones separately."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, found {resamples}")
    rng = np.random.default_rng(seed)
    times = np.zeros((resamples, bad.size))
    for members in filter(len, (np.flatnonzero(bad == 0), np.flatnonzero(bad))):
        drawn = rng.integers(members.size, size=(resamples, members.size))
        drawn += np.arange(resamples)[:, None] * members.size
        counted = np.bincount(drawn.ravel(), minlength=drawn.size)
        times[:, members] = counted.reshape(drawn.shape)
    return times


def _resample(masks: np.ndarray, maps: np.ndarray, times: np.ndarray) -> _Counts:
    """`_Counts` of many resamples at once: `times` (B, N) says how often each image is in.

    Maps of one pixel have an entry per distinct score. Of larger maps an entry is an anomalous
    image, with the mean of `above` and `upto` over its pixels: enough for AUROC, which is linear
    in them, and small however many pixels there are.
    """
    owner, values = np.nonzero(masks)[0], maps[masks]  # (P,) of each anomalous pixel
    order = np.argsort(-values)
    owner, values = owner[order], values[order]
    key = -values if masks[0].size == 1 else owner
    entry, size = np.unique(key, return_inverse=True, return_counts=True)[1:]
    gained = np.bincount(entry * len(maps) + owner, minlength=size.size * len(maps))
    passed = np.empty((2, len(maps), size.size))  # normal pixels of each image: above, upto
    for mask, scores, out in zip(masks, maps, passed.swapaxes(0, 1), strict=True):
        normal = np.sort(scores[~mask])
        for row, side in zip(out, ("right", "left"), strict=True):
            row[:] = np.bincount(entry, normal.size - np.searchsorted(normal, values, side)) / size
    gained = times @ gained.reshape(size.size, len(maps)).T
    return _Counts(gained, *(times @ passed), times @ (~masks).sum(axis=(1, 2))[:, None])


# A whole test set ---------------------------------------------------------------------------


def evaluate(
    test: "ImageSet", scores: np.ndarray, maps: np.ndarray | None = None, *, intervals: bool = True
) -> Result:
    """All metrics that this test set allows, each with what it can use.

    Image metrics use the images of `images_to_rank`. Pixel metrics use the images with an exact
    mask, normal ones included.

    Args:
        test: the N test images.
        scores: (N,) image scores.
        maps: (N, H, W) anomaly maps of the masks' size, or None for a method without maps.
        intervals: whether to bootstrap 95 % intervals of the image metrics.

    Returns:
        The result; keys image_auroc, image_ap, image_f1_max, pixel_auroc, pixel_ap, aupro and
        aupro_anomalous are each either in `values` or, with the reason, in `missing`. `counts`
        has anomalous (all of the test set), image_normal, image_anomalous, pixel_images,
        pixel_anomalous, regions and rendered_used_for_image_metrics (1 or 0).

    Raises:
        ValueError: for scores or maps of a wrong shape or with NaN or infinity.
    """
    labels, ranked = _ranked(test, scores)
    values: dict[str, float] = {}
    ranges: dict[str, tuple[float, float]] = {}
    missing: dict[str, str] = {}
    reason = {0: "no anomalous images", 1: "no normal test images", None: ""}[_one_kind(labels)]
    for metric in _IMAGE_METRICS:
        if reason:
            missing[metric.__name__] = reason
            continue
        values[metric.__name__] = metric(labels, ranked)
        if intervals:
            ranges[metric.__name__] = bootstrap_interval(labels, ranked, metric=metric)

    masks = np.asarray(test.masks)[test.has_mask]
    if maps is None:
        reason = "no anomaly maps"
    elif np.shape(maps) != np.shape(test.masks):
        raise ValueError(
            f"maps must have the masks' shape {np.shape(test.masks)}, found {np.shape(maps)}; "
            "resize every map to the size of the image"
        )
    else:
        masked = _finite(maps, "maps")[test.has_mask]
        reason = "" if np.any(test.labels) else "no anomalous images"
        if not reason and (masks.all() or not masks.any()):
            reason = "no normal pixels" if masks.any() else "no masks"
    pixels, regions = ({}, 0) if reason else _rank_pixels(masks, masked)
    for key, area, over in (
        ("pixel_auroc", _auroc, "all"),
        ("pixel_ap", _ap, "all"),
        ("aupro", partial(_aupro, limit=0.3), "all"),
        ("aupro_anomalous", partial(_aupro, limit=0.3), "anomalous"),
    ):
        if pixels and pixels[over].normals:
            values[key] = float(area(pixels[over]))
        else:
            missing[key] = reason or "no normal pixels in anomalous images"
    counts = {
        "anomalous": int(np.sum(test.labels)),
        "image_normal": int((labels == 0).sum()),
        "image_anomalous": int((labels == 1).sum()),
        "pixel_images": len(masks) if pixels else 0,
        "pixel_anomalous": int(masks.any(axis=(1, 2)).sum()) if pixels else 0,
        "regions": regions,
        "rendered_used_for_image_metrics": int(_only_rendered(test)),
    }
    return Result(values, ranges, missing, counts, scores, maps)


def threshold_from_normals(scores: np.ndarray, *, false_positive_rate: float = 0.05) -> float:
    """A threshold from normal images alone; flag an image if its score is *above* it.

    The k-th smallest of the n scores with k = ceil((n + 1) (1 - a)), a = `false_positive_rate`
    (split conformal prediction). If the n images were not used for fitting and a new normal image
    is exchangeable with them, it is flagged with probability at most a, on average over the
    draw of the n images. Scores of the training images are too low for this: hold some out.

    Args:
        scores: (n,) scores of held-out normal images; n >= (1 - a) / a, which is 19 for 5 %.
        false_positive_rate: a, in (0, 1).

    Returns:
        The threshold, one of the scores.

    Raises:
        ValueError: for too few scores (says how many are needed), non-finite or wrongly shaped
            scores, or a rate out of range.
    """
    if not 0 < false_positive_rate < 1:
        raise ValueError(f"false_positive_rate must lie in (0, 1), found {false_positive_rate!r}")
    scores = _finite(scores, "scores")
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"scores must be a non-empty vector (n,), found shape {scores.shape}")
    n = scores.size
    k = math.ceil((n + 1) * (1 - false_positive_rate) - 1e-9)
    if k > n:
        needed = math.ceil((1 - false_positive_rate) / false_positive_rate - 1e-9)
        raise ValueError(
            f"{n} normal scores cannot hold a false-positive rate of {false_positive_rate:g}: at "
            f"least {needed} are needed; with {n}, ask for {1 / (n + 1):.3g} or more"
        )
    return float(np.sort(scores)[k - 1])


# What is refused ----------------------------------------------------------------------------


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be numbers, found dtype {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    fine = np.isfinite(array)
    if not fine.all():
        first = [int(i) for i in np.argwhere(~fine)[0]]
        raise ValueError(
            f"{name} has {int((~fine).sum())} NaN or infinite values among {array.size}, the first "
            f"at index {first}; only finite values can be ranked"
        )
    return array


def _rankable(
    truth: np.ndarray, values: np.ndarray, names: tuple[str, str], form: str
) -> tuple[np.ndarray, np.ndarray]:
    """Truth as int64 labels (N,) or bool masks (N, H, W), and finite values of the same shape."""
    truth, values = np.asarray(truth), _finite(values, names[1])
    what = " and ".join(names)
    if truth.shape != values.shape or truth.ndim != (3 if "H" in form else 1):
        raise ValueError(
            f"{what} must both have shape ({form}), found {truth.shape} and {values.shape}"
        )
    if truth.size == 0:
        raise ValueError(f"{what} are empty, shape {truth.shape}; there is nothing to rank")
    other = truth[(truth != 0) & (truth != 1)]
    if other.size:
        raise ValueError(f"{names[0]} must be 0 (normal) or 1 (anomalous), found {other[0]!s}")
    return truth.astype(np.int64 if truth.ndim == 1 else bool), values


def _ranked(
    truth: "ImageSet | np.ndarray", scores: np.ndarray, name: str = "scores"
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of the images that count."""
    if not hasattr(truth, "labels"):
        return _rankable(truth, scores, ("labels", name), "N,")
    scores = _finite(scores, name)
    if scores.shape != (len(truth),):
        raise ValueError(
            f"{name} must have one value per test image, shape ({len(truth)},), "
            f"found {scores.shape}"
        )
    used = images_to_rank(truth)
    return np.asarray(truth.labels)[used], scores[used]


def _one_kind(labels: np.ndarray) -> int | None:
    """0 if all images are normal (or there are none), 1 if all are anomalous, None for both."""
    if not labels.any():
        return 0
    return 1 if labels.all() else None


def _only_rendered(test: "ImageSet") -> bool:
    """Whether the test set has anomalies and all of them are rendered."""
    bad = np.asarray(test.labels) == 1
    return bool(bad.any()) and bool(np.asarray(test.rendered)[bad].all())
