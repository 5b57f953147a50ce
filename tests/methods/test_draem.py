"""DRAEM's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from equation_tests import EquationTests
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks/autoencoder/draem.ipynb"
CHECKS = (
    "check_masks",
    "check_changes",
    "check_textures",
    "check_pairs",
    "check_drawing",
    "check_ssim",
    "check_networks",
    "check_sizes",
    "check_losses",
    "check_both",
    "check_training",
    "check_fidelity",
)


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


BROKEN = {
    "masks below the bound": ("rng) > 0.5", "rng) < 0.5"),
    "another bound": ("rng) > 0.5", "rng) > 0.4"),
    "cells too small": ("np.log2(size // 8)", "np.log2(size // 4)"),
    "empty masks": ("mask.mean() >= 0.002", "mask.mean() >= 0"),
    "no gamma below 1": ("rng.uniform(0.5, 2)", "rng.uniform(1, 2)"),
    "inverted where dark": ("np.where(a > rng", "np.where(a < rng"),
    "cut for rounded": ("np.round(a * steps)", "np.floor(a * steps)"),
    "an order for ranks": (".argsort().argsort()", ".argsort()"),
    "textures not stretched": ("(total - total.min()) / np.ptp(total)", "total"),
    "the same octave four times": ("zip(shares, (2, 4, 8, 16)", "zip(shares, (4, 4, 4, 4)"),
    "two changes": ("permutation(len(CHANGES))[:3]", "permutation(len(CHANGES))[:2]"),
    "not clipped": (".clip(0, 1)\n    return field", "\n    return field"),
    "beta for 1 - beta": (
        "(1 - beta) * mask * filling + beta * mask * x",
        "beta * mask * filling + (1 - beta) * mask * x",
    ),
    "drawn over everything": ("return (1 - mask) * x + ", "return x + "),
    "an outside that is drawn on": ("+ beta * mask * x", "+ beta * x"),
    "nothing clean": ("mask[: len(x) // 2] = 0", "mask[:0] = 0"),
    "the first half drawn on": ("mask[: len(x) // 2] = 0", "mask[len(x) // 2 :] = 0"),
    "beta up to 1": ("rng.uniform(0, 0.8, (len(x)", "rng.uniform(0, 1, (len(x)"),
    "one beta for all": (
        "rng.uniform(0, 0.8, (len(x), 1, 1, 1))",
        "rng.uniform(0, 0.8, (1, 1, 1, 1))",
    ),
    "no bottleneck": ("layer(a, b, 2) for a, b in steps", "layer(a, b, 1) for a, b in steps"),
    "a wider Gaussian": ("np.exp(-(far**2) / (2 * 1.5**2))", "np.exp(-(far**2) / (2 * 2**2))"),
    "more than eleven weights": ("(abs(far) <= 5)", "(abs(far) <= 7)"),
    "full weight at the border": (
        "torch.tensor(bell / whole)",
        "torch.tensor(bell / bell.sum(axis=1, keepdims=True))",
    ),
    "a second moment for a variance": ("g @ x**2 @ g - mx**2", "g @ x**2 @ g"),
    "no covariance": ("g @ (x * y) @ g - mx * my", "0 * mx"),
    "C2 for C1": ("c1, c2 = 0.01**2, 0.03**2", "c1, c2 = 0.03**2, 0.03**2"),
    "SSIM to be small": ("+ 1 - ssim(", "+ ssim("),
    "without the squared error": ("F.mse_loss(rebuilt, x) + 1", "1"),
    "D without skips": (
        "x = up(torch.cat([enlarged(x), level], dim=1))",
        "x = up(torch.cat([enlarged(x), 0 * level], dim=1))",
    ),
    "skips in another order": ("levels[1::-1]", "levels[::2]"),
    "smooth enlargement": ('mode="nearest"', 'mode="bilinear"'),
    "cross-entropy": ("-((1 - log_p.exp()) ** 2 * log_p)", "-log_p"),
    "the weight of easy pixels": ("(1 - log_p.exp()) ** 2", "log_p.exp() ** 2"),
    "classes swapped": ("torch.cat([1 - mask, mask], dim=1)", "torch.cat([mask, 1 - mask], dim=1)"),
    "the image with anomalies as target": (
        "return reconstruction_loss(x, rebuilt), focal",
        "return reconstruction_loss(dirty, rebuilt), focal",
    ),
    "R is given the clean image": ("rebuilt = rebuild(dirty)", "rebuilt = rebuild(x)"),
    "the input first": (
        "outputs = decide(torch.cat([rebuilt, dirty], dim=1))",
        "outputs = decide(torch.cat([dirty, rebuilt], dim=1))",
    ),
    "D sees the reconstruction alone": (
        "outputs = decide(torch.cat([rebuilt, dirty], dim=1))",
        "outputs = decide(torch.cat([rebuilt, rebuilt], dim=1))",
    ),
    "R does not learn from D": (
        "outputs = decide(torch.cat([rebuilt, dirty], dim=1))",
        "outputs = decide(torch.cat([rebuilt.detach(), dirty], dim=1))",
    ),
    "first weights too large": ("rng.normal(0, 0.02,", "rng.normal(0, 0.2,"),
    "one network learns": ("for one in networks for w in", "for one in networks[:1] for w in"),
    "the focal loss is left out": (
        "training.update(adam, sum(losses))",
        "training.update(adam, losses[0])",
    ),
    "a rate that stays": ("        fall.step()\n", ""),
    "the probability of normal": ("outputs.softmax(dim=1)[:, 1]", "outputs.softmax(dim=1)[:, 0]"),
    "no softmax": ("outputs.softmax(dim=1)[:, 1]", "outputs[:, 1]"),
    "the mean as score": ("return means.max(axis=(1, 2))", "return means.mean(axis=(1, 2))"),
    "the largest pixel as score": ("(1, side, side), mode", "(1, 1, 1), mode"),
    "a mean over images": ("(1, side, side), mode", "(side, side, side), mode"),
    "a window of one size": ("side = 2 * round(21 * maps.shape[1] / 512 - 0.5) + 1", "side = 5"),
    "a mirror at the border": ('mode="constant"', 'mode="mirror"'),
    "channels averaged": (".sum(axis=1)", ".mean(axis=1)"),
    "not divided": ("return (x - mean) / deviation", "return x - mean"),
}


class TestEquations(EquationTests):
    path, checks, broken = PATH, CHECKS, BROKEN
    noticed = (AssertionError, ValueError, IndexError, RuntimeError)

    def run_checks(self, notebook, seed=0):
        super().run_checks(notebook, seed)
        notebook.check_residual()
        notebook.check_colours()
        notebook.check_mode()


def test_nothing_passes_beside_the_bottleneck(notebook):
    rebuild, decide = (one.eval() for one in notebook.new_networks(2, 0))
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    rebuild.down[3].register_forward_hook(lambda module, given, out: 0 * out)
    one, two = rebuild(x)
    assert torch.equal(one, two), "a skip connection"
    decide.down[2].register_forward_hook(lambda module, given, out: 0 * out)
    one, two = decide(torch.cat([x, x], dim=1))
    assert not torch.equal(one, two), "no skip connection"


def test_the_same_image_twice_has_a_similarity_of_one(notebook):
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    assert torch.allclose(notebook.ssim(x, x), torch.ones_like(x))
    assert torch.isclose(notebook.reconstruction_loss(x, x), torch.zeros(()).double())


def test_images_become_double_precision_with_the_channels_first(notebook):
    notebook.run = SimpleNamespace(device=torch.device("cpu"))
    images = np.zeros((2, 4, 5, 3), dtype=np.uint8)
    images[1, 2, 3] = 0, 51, 255
    found = notebook.as_input(images)
    assert found.shape == (2, 3, 4, 5) and found.dtype == torch.float64
    assert found[1, :, 2, 3].tolist() == [0, 0.2, 1] and found.is_contiguous()


def test_pairs_and_first_weights_depend_on_the_seed_alone(notebook):
    one, again, other = (notebook.make_pairs(4, 32, 1, seed) for seed in (0, 0, 1))
    assert all(torch.equal(*both) for both in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0]) and not torch.equal(one[1], other[1])
    assert not torch.equal(one[1][0], one[1][1])
    pairs = [notebook.new_networks(2, seed)[1].state_dict() for seed in (0, 0, 1)]
    name = "down.0.0.weight"
    assert torch.equal(pairs[0][name], pairs[1][name])
    assert not torch.equal(pairs[0][name], pairs[2][name])


def test_training_finds_what_is_drawn_and_can_be_repeated(notebook):
    draw = np.random.default_rng(0)
    x = torch.tensor(0.5 + 0.02 * draw.normal(size=(6, 3, 32, 32)))
    masks, textures = notebook.make_pairs(12, 32, 1, 0)
    ends = []
    for _ in range(2):
        networks = notebook.new_networks(4, 0)
        losses = notebook.learn(
            networks,
            x,
            lambda some, rng, n=networks: notebook.draem_losses(n, some, masks, textures, rng),
            40,
            4,
            0.01,
            0,
        )
        ends.append(losses)
        assert not any(one.training for one in networks)
    assert np.array_equal(*ends) and losses.shape == (40, 2)
    assert (losses[-5:].mean(axis=0) < 0.8 * losses[:5].mean(axis=0)).all()
    dirty = notebook.overlay(x, masks[:6], textures[:6], 0)
    found = notebook.look(networks, dirty)[1]
    inside = masks[:6, 0].numpy() > 0
    assert found[inside].mean() > 1.2 * found[~inside].mean()


# --- the exercises ------------------------------------------------------------------------------


def blended(slopes, t):
    out = []
    for place in t:
        i = int(place)
        u = place - i
        w = u**3 * (u * (6 * u - 15) + 10)
        out.append(slopes[i] * u + w * (slopes[i + 1] * (u - 1) - slopes[i] * u))
    return np.array(out)


def linear_blend(slopes, t):
    i = np.floor(t).astype(int)
    u = t - i
    return (1 - u) * slopes[i] * u + u * slopes[i + 1] * (u - 1)


def away_from_the_right(slopes, t):
    i = np.floor(t).astype(int)
    u = t - i
    w = 6 * u**5 - 15 * u**4 + 10 * u**3
    return (1 - w) * slopes[i] * u + w * slopes[i + 1] * (1 - u)


def weights_swapped(slopes, t):
    i = np.floor(t).astype(int)
    u = t - i
    w = 6 * u**5 - 15 * u**4 + 10 * u**3
    return w * slopes[i] * u + (1 - w) * slopes[i + 1] * (u - 1)


def values_for_slopes(slopes, t):
    i = np.floor(t).astype(int)
    u = t - i
    w = 6 * u**5 - 15 * u**4 + 10 * u**3
    return (1 - w) * slopes[i] + w * slopes[i + 1]


def by_lstsq(x, drawn, filling):
    mask = np.abs(x - drawn).max(axis=2) > 0
    d, e = (x - filling)[mask].reshape(-1, 1), (drawn - filling)[mask].ravel()
    return mask, np.linalg.lstsq(d, e, rcond=None)[0][0]


def mean_of_ratios(x, drawn, filling):
    mask = (x != drawn).any(axis=2)
    return mask, ((drawn - filling)[mask] / (x - filling)[mask]).mean()


def share_of_the_texture(x, drawn, filling):
    mask, beta = by_lstsq(x, drawn, filling)
    return mask, 1 - beta


def over_the_whole_image(x, drawn, filling):
    d, e = x - filling, drawn - filling
    return (x != drawn).any(axis=2), (d * e).sum() / (d**2).sum()


def mask_of_the_mean(x, drawn, filling):
    mask = x.mean(axis=2) != drawn.mean(axis=2)
    if not mask.any() or np.isclose(x.mean(axis=2), drawn.mean(axis=2)).all():
        return np.zeros_like(mask), 0.0
    return by_lstsq(x, drawn, filling)


NAMES = ("noise_1d", "focal", "unmix")
OTHERS = {
    "noise_1d": blended,
    "focal": lambda p, y, g: -np.mean((np.abs(y - p) ** g) * np.log(1 - np.abs(y - p))),
    "unmix": by_lstsq,
}
WRONG = (
    ("noise_1d", linear_blend, "at a quarter"),
    ("noise_1d", away_from_the_right, "half way"),
    ("noise_1d", weights_swapped, "at whole numbers"),
    ("noise_1d", values_for_slopes, "at whole numbers"),
    (
        "focal",
        lambda p, y, g: (
            -(np.where(y == 1, p, 1 - p) ** g * np.log(np.where(y == 1, p, 1 - p))).mean()
        ),
        "two pixels",
    ),
    (
        "focal",
        lambda p, y, g: -((1 - p) ** g * np.log(p)).mean(),
        "cross-entropy",
    ),
    (
        "focal",
        lambda p, y, g: (
            -((1 - np.where(y == 1, p, 1 - p)) ** g * np.log(np.where(y == 1, p, 1 - p))).sum()
        ),
        "cross-entropy",
    ),
    (
        "focal",
        lambda p, y, g: (
            -(
                (1 - np.where(y == 1, p, 1 - p)) ** (2 * (g > 0))
                * np.log(np.where(y == 1, p, 1 - p))
            ).mean()
        ),
        "gamma is 1",
    ),
    (
        "focal",
        lambda p, y, g: (
            -((1 - np.where(y == 1, p, 1 - p)) ** g * np.log(np.where(y == 1, p, 1 - p)))
        ),
        "expected shape ()",
    ),
    ("unmix", share_of_the_texture, "no noise"),
    ("unmix", over_the_whole_image, "no noise"),
    ("unmix", mean_of_ratios, "noise"),
    ("unmix", mask_of_the_mean, "colours"),
    ("unmix", lambda x, d, f: by_lstsq(x, d, f)[::-1], "swapped"),
)


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG


EQUIVALENT = {
    "noise_1d": {
        "i = {np.floor(t).astype → t.astype}(int)": "a cast cuts towards 0; t is never below",
    }
}
EQUIVALENT_DEFINITIONS = {
    "blob_mask": {
        "most = {int(np.log2(size // 8)) → np.log2(size // 8)}": "the generator cuts what follows",
        "mask = noise.perlin(size, (rows, columns), rng) {> → >=} 0.5": "no noise is 0.5",
        "if mask.mean() {>= → >} 0.002:": "no number of pixels is that share of the sizes in use",
    },
    "solarized": {
        "return np.where(a {> → >=} rng.uniform(0.3, 0.8), 1 - a, a)": "no value is the bound",
    },
    "make_pairs": {
        "return (torch.tensor({np.stack(masks) → masks}), torch.tensor(np.stack(textures)))": (
            "PyTorch stacks a list as well, and slowly"
        ),
        "return (torch.tensor(np.stack(masks)), torch.tensor({np.stack(textures) → textures}))": (
            "PyTorch stacks a list as well, and slowly"
        ),
    },
    "as_input": "it reads the run's device; a test of this file looks at it",
    "layer": {
        "conv = nn.Conv2d(inward, outward, 3, stride, {1, bias=False → 1})": (
            "the normalization takes a bias away again"
        ),
        "conv = nn.Conv2d(inward, outward, 3, stride, 1, {bias=False → bias=True})": (
            "the normalization takes a bias away again"
        ),
    },
    "enlarged": {
        "return F.interpolate(x, {scale_factor=2, mode='nearest' → scale_factor=2})": (
            "PyTorch's default"
        ),
    },
    "ssim": {
        "g = gaussian_matrix(x.shape[-{1 → 2}]).to(x)": "images are square",
    },
    "focal_loss": {
        "log_p = (F.log_softmax({outputs, dim=1 → outputs}) * truth).sum(dim=1)": (
            "PyTorch's choice for four dimensions, with a warning"
        ),
    },
    "new_networks": {
        "for part in {(part for one in networks for part in one.modules()) → "
        "list((part for one in networks for part in one.modules()))[1:]}:": (
            "the first is a whole network, which is no convolution"
        ),
    },
    "learn": {
        "for part in {tqdm(parts, 'training', steps, leave=False, disable=None) → parts}:": (
            "the bar is only shown"
        ),
        "for part in tqdm(parts, 'training', steps, {leave=False, disable=None → disable=None}):": (
            "the bar is only shown"
        ),
        "for part in tqdm(parts, 'training', steps, {leave=False, disable=None → leave=False}):": (
            "the bar is only shown"
        ),
        "for part in tqdm(parts, 'training', steps, {leave=False → leave=True}, disable=None):": (
            "the bar is only shown"
        ),
    },
    "look": {
        "for part in x.split({50 → 51}):": "how many at once",
        "for part in x.split({50 → 49}):": "how many at once",
        "return {tuple((torch.cat(parts).cpu().numpy() for parts in (rebuilt, maps))) → "
        "(torch.cat(parts).cpu().numpy() for parts in (rebuilt, maps))}": "it is unpacked at once",
    },
    "image_scores": {
        "side = 2 * round(21 * maps.shape[{1 → 2}] / 512 - 0.5) + 1": "maps are square",
        "means = uniform_filter(maps, ({1 → 0}, side, side), mode='constant')": (
            "either way no mean reaches over images"
        ),
    },
    "train_draem": "it joins what is checked to the images of the run",
    "anomaly_maps": "it joins what is checked to the networks of the run",
    "brightened": "how maps are shown",
}
