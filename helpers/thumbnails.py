"""A few small score maps for the book's page, on which a slider moves the threshold.

`thumbnails` makes what `helpers.report` keeps of a run: 12 test images of 64 by 64 pixels with
their maps, and all scores with their labels. A map is kept as *ranks*, so one threshold on the
scores says what to mark in the maps, whatever the scores are made of: where the threshold flags
k of the good images, those pixels are marked whose value only k good images reach anywhere.
"""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from helpers.metrics import images_to_rank

if TYPE_CHECKING:
    from helpers.data import ImageSet

SIZE = 64  # pixels
SHOWN = 12  # images, in rows of ROW
ROW = 4


def thumbnails(
    test: "ImageSet", scores: np.ndarray, maps: np.ndarray, threshold: float
) -> dict[str, Any] | None:
    """What a page needs to show the decisions of any threshold.

    Args:
        test: N test images.
        scores: (N,) finite image scores, higher is more anomalous.
        maps: (N, H, W) finite anomaly maps.
        threshold: scores above it are flagged; where the slider begins.

    Returns:
        ``scores`` and ``labels`` of the images that the image metrics use, as text: numbers
        between spaces, digits 0 and 1. ``shown``, a dictionary (type, label, score, rendered) for
        each of at most 12 images: good ones, real defects, rendered ones, each from the lowest
        score to the highest. ``threshold``. And three strips of these images side by side, as
        base64: ``photos`` (JPEG), ``masks`` (PNG) and ``levels``, a PNG whose values say how many
        of the good images have only smaller values, as a share times 255, rounded down. None if
        good or defective images are missing.
    """
    labels, scores, used = np.asarray(test.labels), np.asarray(scores), images_to_rank(test)
    if len(np.unique(labels[used])) < 2:
        return None
    shown = _chosen(labels, np.asarray(test.rendered), scores)
    small = np.stack([_small(values, Image.Resampling.BOX) for values in np.asarray(maps)])
    peaks = np.sort(small[labels == 0].max(axis=(1, 2)))
    below = np.searchsorted(peaks, small[shown])  # good images whose largest value is smaller
    photos = test.images[shown]
    if (photos == photos[..., :1]).all():  # grey
        photos = photos[..., 0]
    return {
        "scores": " ".join(f"{value:.6g}" for value in scores[used]),
        "labels": "".join(str(label) for label in labels[used]),
        "threshold": _short(threshold),
        "shown": [
            {
                "type": test.types[i],
                "label": int(labels[i]),
                "score": _short(scores[i]),
                "rendered": bool(test.rendered[i]),
            }
            for i in shown
        ],
        "photos": _strip(photos, "JPEG", quality=75),
        "masks": _strip([test.masks[i] for i in shown], "PNG"),
        "levels": _strip([(row * 255 // len(peaks)).astype(np.uint8) for row in below], "PNG"),
    }


def _chosen(labels: np.ndarray, rendered: np.ndarray, scores: np.ndarray) -> list[int]:
    """The images shown: of each kind some, from the lowest score to the highest."""
    kinds = [labels == 0, (labels == 1) & ~rendered, (labels == 1) & rendered]
    kinds = [kind for kind in kinds if kind.any()]
    counts = [ROW] * len(kinds) if len(kinds) == 3 else [ROW, SHOWN - ROW]
    found: list[int] = []
    for kind, count in zip(kinds, counts, strict=True):
        order = np.flatnonzero(kind)
        order = order[np.argsort(scores[order], kind="stable")]
        places = np.linspace(0, len(order) - 1, min(count, len(order)))
        found += order[places.round().astype(int)].tolist()
    return found


def _small(values: np.ndarray, how: Image.Resampling) -> np.ndarray:
    if values.dtype == bool:
        return _small(values * np.uint8(255), how) >= 128
    if values.dtype != np.uint8:
        values = values.astype(np.float32)
    return np.asarray(Image.fromarray(values).resize((SIZE, SIZE), how))


def _strip(pictures: Sequence[np.ndarray], kind: str, **options: Any) -> str:
    small = [
        p if p.shape[:2] == (SIZE, SIZE) else _small(p, Image.Resampling.BOX) for p in pictures
    ]
    file = io.BytesIO()
    Image.fromarray(np.concatenate(small, axis=1)).save(file, kind, optimize=True, **options)
    return base64.b64encode(file.getvalue()).decode()


def _short(value: float) -> float:
    return float(f"{value:.6g}")
