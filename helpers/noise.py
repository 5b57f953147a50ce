"""Gradient noise: random hills and hollows of one size, the raw material of drawn anomalies."""

import math

import numpy as np


def perlin(
    size: int | tuple[int, int], cells: int | tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Perlin noise: 0 at the points of a lattice, with a random slope there, smooth in between.

    Each lattice point has a unit vector g of random direction. A pixel at the place (u, v) of its
    cell, both in [0, 1), takes four products <g, (u - a, v - b)>, one for each corner (a, b). They
    are blended along both axes with 6 t^5 - 15 t^4 + 10 t^3 and multiplied by sqrt(2). Gradients
    at random: K. Perlin, An Image Synthesizer, SIGGRAPH 1985; this blend: K. Perlin, Improving
    Noise, SIGGRAPH 2002.

    Args:
        size: pixels, (height, width) or one number for both, at least 1.
        cells: of the lattice along height and width, or one number for both, at least 1. A pixel i
            lies i * cells / size cells from the first lattice point; more cells, finer noise.
        rng: draws the directions; two generators of one seed give the same noise.

    Returns:
        float64 (height, width), within [-1, 1]. Any place has a mean of 0 over random directions.

    Raises:
        ValueError: size or cells is not one or two whole numbers of at least 1.
    """
    (height, width), (rows, columns) = _pair("size", size), _pair("cells", cells)
    angles = rng.uniform(0, 2 * math.pi, (rows + 1, columns + 1))
    gradients = np.stack([np.sin(angles), np.cos(angles)])
    row, u = _places(height, rows)
    column, v = _places(width, columns)

    def product(a: int, b: int) -> np.ndarray:
        down, right = gradients[:, row[:, None] + a, column[None, :] + b]
        return down * (u[:, None] - a) + right * (v[None, :] - b)

    share, other = _blend(u)[:, None], _blend(v)[None, :]
    left = product(0, 0) * (1 - share) + product(1, 0) * share
    right = product(0, 1) * (1 - share) + product(1, 1) * share
    return math.sqrt(2) * (left * (1 - other) + right * other)


def _places(pixels: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel the cell that it lies in, and how far: exact where a lattice point is met."""
    cell, rest = np.divmod(np.arange(pixels) * cells, pixels)
    return cell, rest / pixels


def _blend(t: np.ndarray) -> np.ndarray:
    return t * t * t * (t * (6 * t - 15) + 10)


def _pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    given = value if isinstance(value, tuple | list) else (value, value)
    if len(given) != 2 or not all(_is_count(number) for number in given):
        raise ValueError(f"{name} must be one or two whole numbers of at least 1, not {value!r}")
    return int(given[0]), int(given[1])


def _is_count(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool) and number >= 1
