"""DAAD's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy import optimize

PATH = Path(__file__).resolve().parents[2] / "notebooks/autoencoder/daad.ipynb"
CHECKS = (
    "check_blocks",
    "check_memory",
    "check_network",
    "check_layers",
    "check_items",
    "check_fidelity",
)


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


def run_checks(notebook, seed=0):
    for name in CHECKS:
        getattr(notebook, name)(seed)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(notebook, seed):
    run_checks(notebook, seed)


BROKEN = {
    "blocks column by column": (
        "parts.permute(0, 2, 4, 1, 3, 5)",
        "parts.permute(0, 4, 2, 1, 3, 5)",
    ),
    "assembled otherwise": ("parts.permute(0, 3, 1, 4, 2, 5)", "parts.permute(0, 3, 1, 5, 2, 4)"),
    "the farthest piece": (".sum(axis=2).argmin(axis=0)", ".sum(axis=2).argmax(axis=0)"),
    "products for cosines": ("F.normalize(blocks, dim=-1) @", "blocks @"),
    "items not normalised": ("F.normalize(self.items, dim=-1).T", "self.items.T"),
    "softmax over blocks": (".softmax(dim=-1)", ".softmax(dim=-2)"),
    "no sharpness": ("(self.sharpness * cosines)", "cosines"),
    "nothing dropped": ("(soft - 1 / len(self.items)).clamp(min=0)", "soft"),
    "not normalised again": ("kept / total.clamp_min(1e-12)", "kept"),
    "unit items recalled": (
        "return weights @ self.items, weights",
        "return weights @ F.normalize(self.items, dim=-1), weights",
    ),
    "half the entropy": ("return -(weights * some.log())", "return -0.5 * (weights * some.log())"),
    "entropy summed over blocks": (".sum(dim=-1).mean()", ".sum()"),
    "the memory passed by": (
        "return assembled(recalled, features.shape, self.g)",
        "return features",
    ),
    "a closed gate": ("return self.factor * features,", "return 0 * features,"),
    "one skip for both": ("self.skips[k](levels[k])", "self.skips[0](levels[k])"),
    "no entropy of one": ("total = total + one", "total = one"),
    "smooth enlargement": ('scale_factor=2, mode="nearest"', 'scale_factor=2, mode="bilinear"'),
    "no sigmoid": (
        "F.pixel_shuffle(self.last(v), 2).sigmoid()",
        "F.pixel_shuffle(self.last(v), 2)",
    ),
    "absolute loss": ("F.mse_loss(rebuilt, x[part])", "F.l1_loss(rebuilt, x[part])"),
    "entropy rewarded": ("+ weight * total", "- weight * total"),
    "left in training mode": ("    network.eval()\n", ""),
    "the rate stays": ("        fall.step()\n", ""),
    "absolute residual": ("(x - y).square().sum(dim=1)", "(x - y).abs().sum(dim=1)"),
    "channels averaged": ("(x - y).square().sum(dim=1)", "(x - y).square().mean(dim=1)"),
    "blurred across images": ("(squares, (0, 1, 1))", "(squares, (1, 1, 1))"),
    "not blurred": ("ndimage.gaussian_filter(squares, (0, 1, 1))", "squares"),
    "the largest as score": ("maps.mean(axis=(1, 2))", "maps.max(axis=(1, 2))"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_equation_does_not_pass_the_checks(name):
    old, new = BROKEN[name]
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError, TypeError, AttributeError)):
        run_checks(broken)


def test_what_is_recalled_lies_in_the_hull_of_the_items(notebook):
    memory = notebook.Memory(3, 4, 5.0).double()
    blocks = 100 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
    recalled, weights = (part.detach() for part in memory(blocks))
    assert (weights >= 0).all() and torch.allclose(weights.sum(dim=1), torch.ones(50).double())
    low, high = memory.items.min(dim=0).values, memory.items.max(dim=0).values
    assert (recalled >= low - 1e-12).all() and (recalled <= high + 1e-12).all()
    one = notebook.Memory(3, 1, 5.0).double()
    assert torch.allclose(one(blocks)[0], one.items.expand(50, 3)), "a single item"


def test_skips_reach_the_decoder_through_recall_only(notebook):
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for kind, reached in (("open", True), (2, True), ("none", False)):
        network = notebook.new_network(kind, 0, (32, 2, 6, 4.0)).eval()
        network.down[2].register_forward_hook(lambda module, given, out: out.detach())
        network(x)[0].sum().backward()
        slope = network.down[0][0].weight.grad
        assert (slope is not None and bool(slope.any())) == reached
        if kind == 2:
            assert all(skip.memory.items.grad.any() for skip in network.skips)


# --- the exercises ------------------------------------------------------------------------------


def divide_by_reshaping(features, g):
    c, h, w = features.shape
    parts = np.asarray(features).reshape(c, g, h // g, g, w // g)
    return parts.transpose(1, 3, 0, 2, 4).reshape(g * g, -1)


def recall_with(*, cosine=True, cut=True, again=True, units=False):
    def answer(q, items, tau):
        sizes = np.linalg.norm(items, axis=1)
        w = items @ q
        w = w / (sizes * np.linalg.norm(q)) if cosine else w
        w = np.exp(tau * w)
        w = w / w.sum()
        w = np.maximum(w - 1 / len(w), 0) if cut else w
        w = w / w.sum() if again else w
        return w @ (items / sizes[:, None] if units else items)

    return answer


def assembled_by_solver(q, items):
    heavy = 1e4  # weighs the sum of the weights
    rows = np.vstack([items.T, heavy * np.ones(len(items))])
    return optimize.nnls(rows, np.append(q, heavy))[0] @ items


def assembled_without_bounds(q, items):
    w = np.linalg.lstsq(np.vstack([items.T, np.ones(len(items))]), np.append(q, 1), rcond=None)[0]
    return w @ items


NAMES = ("divide", "recall", "best_assembly")
OTHERS = {
    "divide": divide_by_reshaping,
    "recall": recall_with(),
    "best_assembly": assembled_by_solver,
}
WRONG = (
    ("divide", lambda f, g: f.reshape(g * g, -1), "4 rows, 6 columns"),
    (
        "divide",
        lambda f, g: divide_by_reshaping(f.transpose(0, 2, 1), g),
        "4 rows, 6 columns",
    ),
    (
        "divide",
        lambda f, g: np.stack([b.reshape(len(f), -1).T.ravel() for b in divide_by_reshaping(f, g)]),
        "two channels",
    ),
    ("recall", recall_with(cosine=False), "two of three"),
    ("recall", recall_with(cut=False), "only the first is above"),
    ("recall", recall_with(again=False), "only the first is above"),
    ("recall", recall_with(units=True), "the nearer of two"),
    ("best_assembly", lambda q, items: items[((items - q) ** 2).sum(1).argmin()], "within reach"),
    ("best_assembly", assembled_without_bounds, "on the long side"),
    (
        "best_assembly",
        lambda q, items: assembled_by_solver(q, items) if q.min() > 0 else q,
        "weights below 0",
    ),
)


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
