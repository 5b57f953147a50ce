"""Gradient noise: what it is at lattice points, between them and by hand."""

import numpy as np
import pytest

from helpers import noise


class GivenAngles:
    """Stands for a generator: its directions are set."""

    def __init__(self, angles):
        self.angles = np.asarray(angles, dtype=float)

    def uniform(self, low, high, shape):
        assert (low, high, shape) == (0, 2 * np.pi, self.angles.shape)
        return self.angles


def drawn(size, cells, seed=0):
    return noise.perlin(size, cells, np.random.default_rng(seed))


def test_zero_at_lattice_points_and_hardly_anywhere_else():
    found = drawn((24, 40), (3, 5))
    assert found.shape == (24, 40) and found.dtype == np.float64
    assert not found[::8, ::8].any()
    assert (found == 0).mean() < 0.05


def test_zero_at_lattice_points_that_rounding_could_miss():
    found = drawn(35, 7)  # a pixel is a fifth of a cell
    assert not found[::5, ::5].any()


def test_by_hand():
    """One cell of four pixels; gradients (y, x): (0, 1) and (1, 0) above, (0, -1), (-1, 0) below.

    At u = 1/2, v = 1/4: products 1/4 and 1/2 above, -1/4 and 1/2 below. Half way down the blend is
    1/2, so 0 on the left and 1/2 on the right; a quarter of the way along it is 53/512.
    """
    quarter = np.pi / 2
    found = noise.perlin(4, 1, GivenAngles([[0, quarter], [2 * quarter, 3 * quarter]]))
    assert found[2, 1] == pytest.approx(np.sqrt(2) * 53 / 1024)
    # At u = 1/4, v = 3/4: 3/4 and 1/4 above, -3/4 and 3/4 below; down it is 53/512.
    left, right = 0.75 * (459 - 53) / 512, (0.25 * 459 + 0.75 * 53) / 512
    assert found[1, 3] == pytest.approx(np.sqrt(2) * (53 * left + 459 * right) / 512)
    # At u = 0, v = 3/4: 3/4 and 0 above, blended with 459/512.
    assert found[0, 3] == pytest.approx(np.sqrt(2) * 0.75 * 53 / 512)


def test_height_comes_first():
    """All slopes point down: the noise rises with the row and is the same along it."""
    found = noise.perlin((8, 6), (1, 2), GivenAngles(np.full((2, 3), np.pi / 2)))
    assert np.allclose(found, found[:, :1])
    assert found[1, 0] > 0 > found[7, 0]


def test_continuous_and_smooth_across_cells():
    """Between neighbouring pixels neither value nor slope jumps, at borders of cells or within."""
    found = drawn(512, 4, seed=3)
    for axis in (0, 1):
        step = np.diff(found, axis=axis) * 128  # per cell
        bend = np.diff(step, axis=axis) * 128
        assert np.abs(step).max() < 6
        assert np.abs(bend).max() < 40


def test_more_pixels_show_the_same_noise():
    assert np.allclose(drawn(64, 4)[::2, ::2], drawn(32, 4))


def test_range():
    values = np.stack([drawn(16, 2, seed) for seed in range(300)])
    assert np.abs(values).max() <= 1
    assert values.max() > 0.8 and values.min() < -0.8
    assert np.abs(values.mean(axis=0)).max() < 0.1


def test_the_largest_value_is_one():
    """In the middle of a cell whose four slopes all point there."""
    towards = np.deg2rad([[45, 135], [315, 225]])  # (sin, cos) is (down, right)
    found = noise.perlin(64, 1, GivenAngles(towards))
    assert found[32, 32] == pytest.approx(1) and found.max() == found[32, 32]


def test_one_seed_gives_the_same_noise_and_the_generator_moves_on():
    a, b = np.random.default_rng(5), np.random.default_rng(5)
    first = noise.perlin(16, 4, a)
    assert np.array_equal(first, noise.perlin(16, 4, b))
    assert not np.array_equal(first, noise.perlin(16, 4, a))


@pytest.mark.parametrize("size", [1, 5])
def test_more_cells_than_pixels_are_allowed(size):
    assert np.isfinite(drawn(size, 8)).all()


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, (4, 0), (4,), (4, 4, 4), "8", None])
@pytest.mark.parametrize("name", ["size", "cells"])
def test_bad_input_is_named(name, wrong):
    given = {"size": 8, "cells": 2} | {name: wrong}
    with pytest.raises(ValueError, match=f"{name} must be one or two whole numbers"):
        noise.perlin(**given, rng=np.random.default_rng(0))
