"""P-Net's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from equation_tests import EquationTests
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks/autoencoder/p_net.ipynb"
CHECKS = (
    "check_structure",
    "check_network",
    "check_layers",
    "check_loss",
    "check_training",
    "check_maps",
    "check_fidelity",
)


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


EQUIVALENT = {
    "structure_by_hand": {
        "return {(d[:-2] + 2 * d[1:-1] + d[2:]) / 8 → -((d[:-2] + 2 * d[1:-1] + d[2:]) / 8)}": (
            "derivatives are squared"
        ),
    },
    "places_gained": {
        "return (scores[:, None] {> → >=} scores).sum(axis=1)": (
            "every place is one higher, and they are subtracted"
        ),
        "return places(maps.max(axis=(1, 2))) - places({maps.mean → maps.sum}(axis=(1, 2)))": (
            "sums have the order of means"
        ),
    },
    "structure_gradient": {
        "slope = np.where(abs(dy) {< → <=} kappa, slope, 0)": (
            "the exercise leaves open what happens where |d| is kappa"
        ),
    },
}

EQUIVALENT_DEFINITIONS = {
    "anomaly_maps": "the sum of what Detector.maps gives, which is checked",
    "aurocs": "names for the helpers' own metrics",
    "shares_left": "the helpers' own measure, tested below",
    "shifted": "tested below",
    "enlarged": {
        "return F.interpolate(x, {scale_factor=2, mode='nearest' → scale_factor=2})": (
            "nearest is the default"
        ),
    },
    "train_network": {
        "for part in {tqdm(parts, 'training', steps, disable=None, leave=False) → parts}:": (
            "the bar is for people"
        ),
        "for part in tqdm(parts, 'training', steps, {disable=None, leave=False → leave=False}):": (
            "the bar is for people"
        ),
        "for part in tqdm(parts, 'training', steps, {disable=None, leave=False → disable=None}):": (
            "the bar is for people"
        ),
        "for part in tqdm(parts, 'training', steps, disable=None, {leave=False → leave=True}):": (
            "the bar is for people"
        ),
    },
    "structure_maps": {
        "return gap.abs()[:, {0 → -1}].cpu().numpy()": "there is one channel",
    },
    "Detector": {
        "return ({residual_maps → -residual_maps}(x, y), structure_maps(x, y, self.kappa))": (
            "the mean that it is divided by has its sign"
        ),
        "return (residual_maps(x, y), {structure_maps → -structure_maps}(x, y, self.kappa))": (
            "the mean that it is divided by has its sign"
        ),
    },
}

# --- the equations ------------------------------------------------------------------------------


BROKEN = {
    "another sigma": ("(-(steps**2) / 2).exp()", "(-(steps**2)).exp()"),
    "not normalised": ("bell = bell / bell.sum()", "bell = bell / bell.max()"),
    "the first channel for grey": ("x.mean(dim=1, keepdim=True)", "x[:, :1]"),
    "one direction": ("torch.stack([sobel, sobel.T])", "torch.stack([sobel, sobel])"),
    "not Sobel's weights": ("[-2.0, 0.0, 2.0]", "[-1.0, 0.0, 1.0]"),
    "the square of the size": ("(squares + eps**2).sqrt() - eps", "squares"),
    "no eps taken off": ("(squares + eps**2).sqrt() - eps", "(squares + eps**2).sqrt()"),
    "not cut": (".clamp(max=1)", ""),
    "times kappa": ("steepness(x) / kappa", "steepness(x) * kappa"),
    "skips from the image": ("levels = [s := down(s)", "levels = [x := down(s)"),
    "smooth enlargement": ('scale_factor=2, mode="nearest"', 'scale_factor=2, mode="bilinear"'),
    "no sigmoid": (
        "F.pixel_shuffle(self.last(v), 2).sigmoid()",
        "F.pixel_shuffle(self.last(v), 2)",
    ),
    "squares for the residual": ("(x - rebuilt).abs().mean() +", "(x - rebuilt).square().mean() +"),
    "no structure in the loss": ("weight * gap.abs().mean()", "0 * gap.abs().mean()"),
    "no gradient through it": ("structure(rebuilt, kappa)", "structure(rebuilt.detach(), kappa)"),
    "structure subtracted": ("+ weight * gap", "- weight * gap"),
    "always guided": (
        "given, losses = guided * structure(x, kappa), []",
        "given, losses = structure(x, kappa), []",
    ),
    "left in training mode": ("    network.eval()\n", ""),
    "the rate stays": ("        fall.step()\n", ""),
    "structure of the wrong images": ("x if outlines is None else outlines", "x"),
    "never guided when it rebuilds": ("self.guided * s)", "0 * s)"),
    "means of other maps": ("[m.mean() for m in self.parts(x_fit)]", "[1.0, 1.0]"),
    "times the scale": ("return [p / c for", "return [p * c for"),
    "channels averaged": ("(x - y).abs().sum(dim=1)", "(x - y).abs().mean(dim=1)"),
    "the largest as score": ("maps.mean(axis=(1, 2))", "maps.max(axis=(1, 2))"),
}


class TestEquations(EquationTests):
    path, checks, broken = PATH, CHECKS, BROKEN
    noticed = (AssertionError, RuntimeError, TypeError)


def test_nothing_of_the_images_detail_passes_beside_its_bottleneck(notebook):
    draw = torch.Generator().manual_seed(0)
    x, s = (torch.rand(1, c, 32, 32, generator=draw) for c in (3, 1))
    network = notebook.new_network(2, 0).eval()
    network.image[3].register_forward_hook(lambda module, given, out: out.detach())
    network(x, s).sum().backward()
    assert network.image[0][0].weight.grad is None
    network.structure[3].register_forward_hook(lambda module, given, out: out.detach())
    network.zero_grad()
    network(x, s).sum().backward()
    assert network.structure[0][0].weight.grad.any(), "a skip connection of the structure"


def test_what_remains_is_asked_of_the_structure_that_is_given(notebook):
    """A network that copies the structure it is given: the share tells whose that was."""

    class Copies:
        def rebuild(self, x, outlines=None):
            return x if outlines is None else outlines

    notebook.place = "cpu"
    images, drawn = np.random.default_rng(0).integers(0, 200, (2, 3, 8, 8, 3)).astype(np.uint8)
    assert np.allclose(notebook.shares_left(Copies(), images, drawn, drawn), 1)
    assert np.allclose(notebook.shares_left(Copies(), images, drawn, images), 0)


def test_a_shift_is_cyclic_and_differs_from_image_to_image(notebook):
    image = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    many = notebook.shifted(np.stack([image] * 20), 0)
    assert all(sorted(m.ravel()) == sorted(image.ravel()) for m in many)
    assert len({m.tobytes() for m in many}) > 8, "of 20 places"
    for m in many:
        moves = [(a, b) for a in range(5) for b in range(4)]
        assert any(np.array_equal(m, np.roll(image, move, axis=(0, 1))) for move in moves)


# --- the exercises ------------------------------------------------------------------------------


def structure_with_loops(grey, kappa):
    height, width = grey.shape
    out = np.zeros((height - 2, width - 2))
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    for i in range(height - 2):
        for j in range(width - 2):
            part = grey[i : i + 3, j : j + 3]
            out[i, j] = min(1, np.hypot((part * kernel).sum(), (part * kernel.T).sum()) / kappa)
    return out


def gradient_by_differences(x, y, kappa):
    """Central differences; where a kink is hit, both sides cancel as the exercise says."""

    def loss(row):
        sizes = [np.minimum(1, abs(r[2:] - r[:-2]) / 2 / kappa) for r in (row, x)]
        return abs(sizes[0] - sizes[1]).mean()

    steps = 1e-7 * np.eye(len(y))
    return np.array([(loss(y + step) - loss(y - step)) / 2e-7 for step in steps])


def gradient_with(*, cut=True, mean=True, half=True, sign=True, both=True):
    def answer(x, y, kappa):
        dx, dy = ((row[2:] - row[:-2]) / 2 for row in (x, y))
        sx, sy = (np.minimum(1, abs(d) / kappa) for d in (dx, dy))
        slope = (np.sign(sy - sx) if both else 1) * (np.sign(dy) if sign else 1) / kappa
        slope = slope / (len(dy) if mean else 1) / (2 if half else 1)
        slope = np.where(abs(dy) < kappa, slope, 0) if cut else slope * np.ones(len(dy))
        out = np.zeros(len(y))
        out[2:] += slope
        out[:-2] -= slope
        return out

    return answer


NAMES = ("structure_by_hand", "places_gained", "structure_gradient")
OTHERS = {
    "structure_by_hand": structure_with_loops,
    "places_gained": lambda maps: (
        np.argsort(np.argsort(maps.reshape(len(maps), -1).max(1)))
        - np.argsort(np.argsort(maps.sum(axis=(1, 2))))
    ),
    "structure_gradient": gradient_by_differences,
}
WRONG = (
    ("structure_by_hand", lambda g, k: np.hypot(*np.gradient(g)) / k, "expected shape (1, 2)"),
    ("structure_by_hand", lambda g, k: structure_with_loops(g, 1.0), "kappa"),
    ("structure_by_hand", lambda g, k: structure_with_loops(g, k * 8) * 8, "cut at 1"),
    (
        "structure_by_hand",
        lambda g, k: np.minimum(
            1,
            np.hypot(g[1:-1, 2:] - g[1:-1, :-2], g[2:, 1:-1] - g[:-2, 1:-1]) / 2 / k,
        ),
        "one bright corner",
    ),
    ("places_gained", lambda m: m.max(axis=(1, 2)) - m.mean(axis=(1, 2)), "faint falls two"),
    (
        "places_gained",
        lambda m: np.argsort(m.max(axis=(1, 2))) - np.argsort(m.mean(axis=(1, 2))),
        "faint falls two",
    ),
    ("places_gained", lambda m: -OTHERS["places_gained"](m), "faint falls two"),
    ("structure_gradient", gradient_with(mean=False), "a rising row"),
    ("structure_gradient", gradient_with(half=False), "a rising row"),
    ("structure_gradient", gradient_with(cut=False), "cut where |d| > kappa"),
    ("structure_gradient", gradient_with(sign=False), "falling"),
    ("structure_gradient", gradient_with(both=False), "falling"),
)


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
