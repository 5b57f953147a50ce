"""Scores that know nothing of a method: what a result must be compared with."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from helpers.data import ImageSet


def trivial(train: "ImageSet", test: "ImageSet") -> dict[str, np.ndarray]:
    """Scores of two methods that know nothing; a method worth its cost is clearly above them.

    Args:
        train: normal images.
        test: N images, of any size.

    Returns:
        ``"mean grey"``: (N,) distance of an image's mean grey value from the mean of the training
        images' means, in grey levels. ``"thumbnail nearest neighbour"``: (N,) Euclidean distance
        of the 32x32 grey thumbnail to the nearest training thumbnail, in grey levels.

    Raises:
        ValueError: if `train` or `test` is empty.
    """
    from PIL import Image
    from scipy.spatial.distance import cdist

    if len(train) == 0 or len(test) == 0:
        raise ValueError(
            f"baselines need training and test images, found {len(train)} and {len(test)}"
        )
    means, thumbnails = [], []
    for images in (train.images, test.images):
        grey = [Image.fromarray(image).convert("L") for image in images]
        means.append(np.array([np.asarray(g, np.float64).mean() for g in grey]))
        small = [np.asarray(g.resize((32, 32), Image.Resampling.BOX), float).ravel() for g in grey]
        thumbnails.append(np.stack(small))
    return {
        "mean grey": np.abs(means[1] - means[0].mean()),
        "thumbnail nearest neighbour": cdist(thumbnails[1], thumbnails[0]).min(axis=1),
    }
