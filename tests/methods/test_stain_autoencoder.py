"""Stain autoencoder's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from equation_tests import EquationTests
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy import ndimage

from helpers import defects

PATH = Path(__file__).resolve().parents[2] / "notebooks/autoencoder/stain_autoencoder.ipynb"
CHECKS = (
    "check_outline",
    "check_mask",
    "check_stain",
    "check_network",
    "check_layers",
    "check_training",
    "check_steps",
    "check_scores",
    "check_fidelity",
)


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


BROKEN = {
    "axes too long": ("rng.uniform(0.015, 0.12, 2) * size", "rng.uniform(0.015, 0.24, 2) * size"),
    "axes too short": ("rng.uniform(0.015, 0.12, 2) * size", "rng.uniform(0.015, 0.05, 2) * size"),
    "not turned": ("[[cos, sin], [-sin, cos]]", "[[1, 0], [0, 1]]"),
    "no jitter": ("[-sin, cos]]) + shift", "[-sin, cos]])"),
    "a circle": ("ellipse = semi *", "ellipse = semi.mean() *"),
    "points out of order": ("points[np.argsort(np.arctan2(", "points[np.argsort(np.sin("),
    "an empty mask": ("mask[middle] = True  #", "mask[:] = False  #"),
    "stained all over": ("return pieces == pieces[middle]", "return pieces >= 0"),
    "changed outside": ("np.where(mask[..., None], grey + noise, image)", "image + noise"),
    "nothing drawn": ("np.where(mask[..., None], grey + noise, image)", "image.copy()"),
    "no noise": ("grey + noise, image)", "grey + 0 * noise, image)"),
    "variance for deviation": ("np.sqrt(0.05 / 255)", "0.05 / 255"),
    "never dark": ("rng.integers(10, 221)", "rng.integers(100, 221)"),
    "no skip": ("x + levels[k] if self.skips", "x if self.skips"),
    "always a skip": ("x + levels[k] if self.skips else x", "x + levels[k]"),
    "a skip subtracted": ("x + levels[k]", "x - levels[k]"),
    "smooth enlargement": ('mode="nearest"', 'mode="bilinear"'),
    "no sigmoid": ("pixel_shuffle(self.last(x), 2).sigmoid()", "pixel_shuffle(self.last(x), 2)"),
    "resolution kept": ("outward, 3, stride, 1, bias", "outward, 3, 1, 1, bias"),
    "negatives cut off": ("nn.LeakyReLU(0.2)", "nn.ReLU()"),
    "a narrow start": ("np.sqrt(2 / np.prod(shape[1:]))", "(2 / np.prod(shape[1:]))"),
    "the stained image as target": (
        "F.mse_loss(network(stained), clean)",
        "F.mse_loss(network(stained), stained)",
    ),
    "the clean image as input": ("network(stained), clean)", "network(clean), clean)"),
    "absolute loss": ("F.mse_loss", "F.l1_loss"),
    "one sheet": ("given[sheet, chosen], clean", "given[0 * sheet, chosen], clean"),
    "a rate that stays": ("        fall.step()\n", ""),
    "statistics of each batch left on": ("network.float().eval()", "network.float()"),
    "kept for dropped": (">= rate", "< rate"),
    "dropout not scaled": ("keep.to(x) / (1 - rate)", "keep.to(x)"),
    "squares for the residual": ("(x - rebuilt).abs()", "(x - rebuilt).square()"),
    "channels averaged": ("return variances.sum(dim=1)", "return variances.mean(dim=1)"),
    "no mean in the variance": (" - (total / passes) ** 2", ""),
    "sample variance": ("squares / passes - ", "squares / (passes - 1) - "),
    "dropout off": ("network(part, draw)", "network(part)"),
    "the largest as score": ("np.sqrt((maps**2).sum(axis=(1, 2)))", "maps.max(axis=(1, 2))"),
}


class TestEquations(EquationTests):
    path, checks, broken = PATH, CHECKS, BROKEN
    noticed = (AssertionError, ValueError, IndexError, RuntimeError)


def test_a_stain_lies_within_its_ellipse_grown_by_the_jitter(notebook):
    for seed in range(60):
        mask = notebook.stain_mask(64, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        semi = rng.uniform(0.015, 0.12, 2) * 64
        rng.uniform(-0.1, 0.1, (20, 2))
        centre = rng.uniform(0, 63, 2)
        reach = semi.max() + 0.2 * semi.mean() + 1  # the spline may swing out a little
        assert (np.linalg.norm(np.argwhere(mask) - centre, axis=1) <= reach).all()
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1


def test_sheets_differ_and_depend_on_the_seed_alone(notebook):
    images = np.random.default_rng(0).random((3, 32, 32, 3))
    one, again, other = (notebook.stained_sheets(images, 2, seed) for seed in (0, 0, 1))
    assert one.shape == (2, 3, 32, 32, 3) and one.dtype == np.float32
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])
    rng = np.random.default_rng(0)
    for found, image in zip(one.reshape(6, 32, 32, 3), [*images, *images], strict=True):
        assert np.allclose(found, notebook.stain(image, rng)[0], atol=1e-6)


def test_networks_with_and_without_skips_start_alike(notebook):
    one, two = (notebook.new_network(skips, 2, 3).state_dict() for skips in (True, False))
    assert one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_no_gradient_of_the_encoders_detail_passes_without_skips(notebook):
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for skips in (False, True):
        network = notebook.new_network(skips, 2, 0).eval()
        network.down[3].register_forward_hook(lambda module, given, out: out.detach())
        network(x).sum().backward()
        reached = network.down[0][0].weight.grad is not None
        assert reached == skips


def test_training_lowers_the_loss_and_can_be_repeated(notebook):
    draw = torch.Generator().manual_seed(0)
    clean = torch.rand(6, 3, 16, 16, generator=draw)
    runs = []
    for _ in range(2):
        network = notebook.new_network(True, 4, 0)
        runs.append(notebook.train_network(network, clean[None], clean, 40, 4, 0.01, 0))
        assert not network.training
    assert runs[0] == runs[1] and len(runs[0]) == 40
    assert np.mean(runs[0][-5:]) < 0.8 * np.mean(runs[0][:5])


def test_first_weights_come_from_the_seed(notebook):
    one, again, other = (notebook.new_network(True, 2, s).last.weight for s in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def banded_cell(size=64):
    """A cell with three busbars, and one without any."""
    cell = np.full((size, size, 3), 160, dtype=np.uint8)
    cell[:, :: size // 8] = 150
    plain = cell.copy()
    for share in defects.BUSBARS:
        cell[round(share * size) - 1 : round(share * size) + 1] = 60
    return cell, plain


def test_a_busbar_is_taken_from_cells_that_have_three(notebook):
    cell, plain = banded_cell()
    images, drawn, masks = notebook.without_busbar(np.stack([plain, cell, cell]), 0)
    assert len(images) == len(drawn) == len(masks) == 2
    assert (images == cell).all() and masks.any(axis=(1, 2)).all()
    assert (drawn[masks].mean() - images[masks].mean()) > 10  # brighter: the bar is gone
    assert np.array_equal(drawn[~masks], images[~masks])
    again = notebook.without_busbar(np.stack([plain, cell, cell]), 0)
    assert np.array_equal(drawn, again[1])
    assert notebook.without_busbar(plain[None], 0) == []


def test_what_remains_of_a_defect_tells_copying_from_erasing(notebook):
    images = np.stack(banded_cell())
    notebook.place = "cpu"
    networks = {"copies": lambda x: x, "erases": torch.zeros_like, "halves": lambda x: x / 2}
    shares = notebook.shares_left(networks, images, ("scratch",), 0)
    for name, want in (("copies", 1), ("erases", 0), ("halves", 0.5)):
        assert shares[name].shape == (2,) and np.allclose(shares[name], want, atol=1e-5)
    rough = np.random.default_rng(0).integers(0, 2, (1, 64, 64, 1), dtype=np.uint8) * 255
    rough = rough.repeat(3, axis=3)  # no drawn defect would be seen
    assert notebook.shares_left(networks, rough, ("scratch", "crack"), 0) == {}


EQUIVALENT_DEFINITIONS = {
    "stained_sheets": "tested above",
    "without_busbar": "tested above",
    "shares_left": "tested above",
    "anomaly_maps": "as_input, rebuilt and residual_maps, one after the other",
    "outline": {
        "points = ellipse @ {np.array([[cos, sin], [-sin, cos]]) → "
        "[[cos, sin], [-sin, cos]]} + shift": "@ takes a list as well",
    },
    "dropped": {
        "if draw is {None or rate == 0 → None}:": "with the rate 0 everything is kept",
        "if draw is None or rate == {0 → 1}:": "the same; no rate is 1",
        "if draw is None or rate == {0 → -1}:": "the same; no rate is below 0",
        "keep = torch.rand(x.shape, generator=draw) {>= → >} rate": "no number drawn is the rate",
    },
    "enlarged": {
        "return F.interpolate(x, {scale_factor=2, mode='nearest' → scale_factor=2})": (
            "nearest is torch's default"
        ),
    },
    "new_network": {
        "for part in {network.modules() → list(network.modules())[1:]}:": (
            "the first module is the network itself, no convolution"
        ),
        "shape = {tuple(part.weight.shape) → part.weight.shape}": "a Size is a tuple",
    },
    "train_network": {
        "for chosen in {tqdm(turns, 'training', steps, disable=None, leave=False) → turns}:": (
            "a bar of progress"
        ),
        "for chosen in tqdm(turns, 'training', steps, "
        "{disable=None, leave=False → leave=False}):": "how progress is shown",
        "for chosen in tqdm(turns, 'training', steps, "
        "{disable=None, leave=False → disable=None}):": "how progress is shown",
        "for chosen in tqdm(turns, 'training', steps, "
        "disable=None, {leave=False → leave=True}):": "how progress is shown",
        "sheet = {torch.from_numpy(rng.integers(len(given), size=size)) → "
        "rng.integers(len(given), size=size)}": "a tensor takes an array as index, too",
    },
    "rebuilt": {
        "return torch.cat([network(part) for part in x.split({64 → 65})])": "parts of any size",
        "return torch.cat([network(part) for part in x.split({64 → 63})])": "parts of any size",
    },
    "variances": {
        "parts = [network(part, draw) for part in x.split({64 → 65})]": "parts of any size",
        "parts = [network(part, draw) for part in x.split({64 → 63})]": "parts of any size",
        "gap = torch.cat(parts) {- → +} middle": "a variance knows no shift",
        "gap = torch.cat(parts){ - middle → }": "a variance knows no shift",
        "total, squares = (total {+ → -} gap, squares + gap ** 2)": "nor a sign",
    },
}


# --- the exercises ------------------------------------------------------------------------------


def welford_by_halves(passes):
    both = np.stack(passes)
    return both.mean(axis=0), ((both - both.mean(axis=0)) ** 2).mean(axis=0)


NAMES = ("inspect_stain", "mean_and_variance", "loss_of")
OTHERS = {
    "inspect_stain": lambda c, s, m: (
        np.mean(s[np.nonzero(m)]),
        not ((c != s).any(axis=2) & ~m).any(),
    ),
    "mean_and_variance": welford_by_halves,
    "loss_of": lambda f, c, s: ((c - f(s)) ** 2).sum() / c.size,
}
WRONG = (
    ("inspect_stain", lambda c, s, m: (s.mean(), True), "all well"),
    ("inspect_stain", lambda c, s, m: (s[m].max(), (c == s)[~m].all()), "a mean"),
    (
        "inspect_stain",
        lambda c, s, m: (s[m].mean(), (c == s)[~m][:, 0].all()),
        "a channel",
    ),
    (
        "inspect_stain",
        lambda c, s, m: (s[m].mean(), bool(np.isclose(c[~m].sum(), s[~m].sum()))),
        "two swapped",
    ),
    (
        "mean_and_variance",
        lambda p: (np.mean(p, axis=0), np.var(p, axis=0, ddof=1)),
        "two passes",
    ),
    (
        "mean_and_variance",
        lambda p: ((p[0] + p[1]) / 2, np.var(p[:2], axis=0)),
        "three passes",
    ),
    (
        "mean_and_variance",
        lambda p: (np.mean(p, axis=0), np.mean(np.square(p), axis=0) - np.mean(p, axis=0) ** 2),
        "digits lost",
    ),
    ("loss_of", lambda f, c, s: np.mean((f(s) - s) ** 2), "a perfect cleaner"),
    ("loss_of", lambda f, c, s: np.mean((f(c) - c) ** 2), "identity"),
    ("loss_of", lambda f, c, s: np.mean((f(s) - c) ** 2 * (s != c)), "halves"),
)


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
