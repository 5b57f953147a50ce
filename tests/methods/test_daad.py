"""DAAD's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from equation_tests import EquationTests
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy import optimize

PATH = Path(__file__).resolve().parents[2] / "notebooks/autoencoder/daad.ipynb"
CHECKS = (
    "check_blocks",
    "check_memory",
    "check_even_memory",
    "check_network",
    "check_layers",
    "check_items",
    "check_fidelity",
    "check_maps",
)


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


EQUIVALENT = {
    "divide": {"return {np.stack(blocks) → blocks}": "a list of arrays is an array to the check"},
    "best_assembly": {
        "p = items[0]{.astype(float) → }": "items of numbers with a point",
        "p = items[{0 → 1}].astype(float)": "any item will do for a start",
        "p = items[{0 → -1}].astype(float)": "any item will do for a start",
        "for _ in {range(5000) → list(range(5000))[1:]}:": "a step less",
        "for _ in range({5000 → 5001}):": "a step more",
        "for _ in range({5000 → 4999}):": "a step less",
        "p = p + np.clip((q - p) @ step / (step @ step), {0 → -1}, 1) * step": (
            "towards the farthest item no step is below 0"
        ),
    },
}
EQUIVALENT_DEFINITIONS = {
    "anomaly_maps": "as_input, rebuilt and residual_maps, one after the other",
    "errors_of": "a mean of squares, for the table",
    "assembled_row": {
        "pieces = row.reshape(-{1 → 2}, length)": "any negative number stands for the rest",
        "words = normal.reshape(len(normal), -{1 → 2}, length)": (
            "any negative number stands for the rest"
        ),
        "nearest = ((words - pieces) ** 2){.sum → .mean}(axis=2).argmin(axis=0)": (
            "pieces are of one length"
        ),
    },
    "Memory": {
        "cosines = F.normalize(blocks, dim=-1) "
        "@ F.normalize({self.items, dim=-1 → self.items}).T": (
            "the last of two axes is the default"
        ),
        "cosines = F.normalize(blocks, dim=-1) @ F.normalize(self.items, {dim=-1 → dim=1}).T": (
            "the last of two axes"
        ),
        "some = total {> → >=} 1e-12": "no sum is 1e-12",
        "weights = torch.where(some, kept / {total.clamp_min(1e-12) → total}, soft)": (
            "0 / 0 is not taken, and of what is 0 the clamp above passes no gradient"
        ),
        "weights = torch.where(some, kept / total.clamp_min({1e-12 → -0.999999999999}), soft)": (
            "the same as above"
        ),
    },
    "entropy": {
        "some = torch.where(weights > 0, weights, {1.0 → 2.0})": "it is multiplied by 0",
    },
    "enlarged": {
        "return F.interpolate(x, {scale_factor=2, mode='nearest' → scale_factor=2})": (
            "nearest is the default"
        ),
    },
    "Gate": {
        "return (self.factor * features, {features.new_zeros → -features.new_zeros}(()))": "0",
    },
    "new_network": {
        "skips = [Gate({float(kind == 'open') → kind == 'open'}) for _ in range(2)]": (
            "true is 1 and false is 0"
        ),
        "skips = [Gate(float(kind == 'open')) for _ in range({2 → 3})]": "the third is never used",
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
    "rebuilt": {
        "return torch.cat([network(part)[0] for part in x.split({32 → 33})])": "however many",
        "return torch.cat([network(part)[0] for part in x.split({32 → 31})])": "however many",
    },
    "residual_maps": {
        "return ndimage.gaussian_filter(squares, ({0 → -1}, 1, 1))": "scipy leaves the axis alone",
    },
}

# --- the equations ------------------------------------------------------------------------------


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


class TestEquations(EquationTests):
    path, checks, broken = PATH, CHECKS, BROKEN
    noticed = (AssertionError, RuntimeError, TypeError, AttributeError)


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
    ("recall", recall_with(cosine=False), "two items"),
    ("recall", recall_with(cut=False), "of three one is left"),
    ("recall", recall_with(again=False), "of three one is left"),
    ("recall", recall_with(units=True), "the nearer"),
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
