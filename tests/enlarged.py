"""The map that a notebook makes of a grid, written out from the definition."""

import numpy as np
from scipy.ndimage import gaussian_filter


def enlarged_map(grid: np.ndarray, size: int, sigma: float) -> np.ndarray:
    """A square grid (n, n), enlarged bilinearly to (size, size) and smoothed by a Gaussian."""
    n = len(grid)
    step = (np.arange(size) + 0.5) * n / size - 0.5  # where the pixels lie on the grid
    low = np.clip(np.floor(step), 0, n - 1).astype(int)
    high, share = np.minimum(low + 1, n - 1), np.clip(step - low, 0, 1)
    weights = np.zeros((size, n))
    weights[np.arange(size), low] += 1 - share
    weights[np.arange(size), high] += share
    return gaussian_filter(weights @ np.asarray(grid, dtype=float) @ weights.T, sigma)
