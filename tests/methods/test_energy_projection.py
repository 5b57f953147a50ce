"""Energy projection's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from equation_tests import EquationTests
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks/autoencoder/energy_projection.ipynb"
CHECKS = (
    "check_network",
    "check_weights",
    "check_divergence",
    "check_loss",
    "check_gradient",
    "check_projection",
    "check_company",
    "check_fidelity",
    "check_input",
    "check_training",
)


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


BROKEN = {
    "no activation": ("nn.LeakyReLU(0.2)", "nn.Identity()"),
    "no normalisation": ("nn.BatchNorm2d(outward)", "nn.Identity()"),
    "the code is not the mean": (
        "self.decode(self.encode(x)[0])",
        "self.decode(self.encode(x)[1])",
    ),
    "no sigmoid": ("pixel_shuffle(x, 2).sigmoid()", "pixel_shuffle(x, 2)"),
    "weights too large": ("numel() ** -0.5", "numel() ** -0.25"),
    "error not squared": (
        "(x - rebuilt).square().flatten(1).sum(dim=1) / (2",
        "(x - rebuilt).abs().flatten(1).sum(dim=1) / (2",
    ),
    "gamma for its square": ("(2 * GAMMA**2)", "(2 * GAMMA)"),
    "no mean in the divergence": ("mean**2 + log_variance.exp()", "log_variance.exp()"),
    "no logarithm": ("log_variance.exp() - 1 - log_variance", "log_variance.exp() - 1"),
    "not halved": ("terms.sum(dim=1) / 2", "terms.sum(dim=1)"),
    "variance for deviation": ("(log_variance / 2).exp()", "log_variance.exp()"),
    "nothing drawn": ("(log_variance / 2).exp() * noise", "0 * noise"),
    "no divergence": ("(x, rebuilt) + divergence(mean, log_variance)", "(x, rebuilt)"),
    "squared prior": ("(x - start).abs().flatten", "(x - start).square().flatten"),
    "the prior's sign": ("error + weight *", "error - weight *"),
    "error not squared in the energy": (
        "error = (x - rebuilt).square()",
        "error = (x - rebuilt).abs()",
    ),
    "always constant": ("set_grad_enabled(through)", "set_grad_enabled(False)"),
    "never constant": ("set_grad_enabled(through)", "set_grad_enabled(True)"),
    "the gap turned round": ("(x - rebuilt).detach()", "(rebuilt - x).detach()"),
    "uphill": ("x - rate * slope", "x + rate * slope"),
    "not weighted": ("rate * slope * gap**2", "rate * slope"),
    "weighted by the error": ("rate * slope * gap**2", "rate * slope * gap.abs()"),
    "not clipped": ("gap**2).clamp(0, 1)", "gap**2)"),
    "the prior leaves from the image": (
        "gradient(network, x, part, weight, through)",
        "gradient(network, x, x, weight, through)",
    ),
    "always from the input": (
        "projection_step(*now[:3], rates)",
        "projection_step(part, *now[1:3], rates)",
    ),
    "no step is taken back": ("rose = new[-1] > now[-1]", "rose = new[-1] < 0"),
    "every step is taken back": ("rose = new[-1] > now[-1]", "rose = new[-1] > 0"),
    "the size stays": ("either(rates / 2, rates * 1.5, rose)", "either(rates, rates * 1.5, rose)"),
    "the size does not grow": ("rates * 1.5, rose", "rates, rose"),
    "the size falls for all": ("either(rates / 2, rates * 1.5, rose)", "rates / 2"),
    "one decides for all": (
        "rose = new[-1] > now[-1]",
        "rose = (new[-1] > now[-1]).any().repeat(len(part))",
    ),
    "differences cancel": ("(x - y).abs().sum(dim=1)", "(x - y).sum(dim=1).abs()"),
    "channels averaged": ("(x - y).abs().sum(dim=1)", "(x - y).abs().mean(dim=1)"),
    "the largest as score": ("np.sqrt((maps**2).sum(axis=(1, 2)))", "maps.max(axis=(1, 2))"),
    "channels and rows swapped": (".permute(0, 3, 1, 2)", ".permute(0, 3, 2, 1)"),
    "the rate does not fall": ("        fall.step()\n", ""),
    "training mode": ("network.eval().requires", "network.requires"),
}


class TestEquations(EquationTests):
    path, checks, broken = PATH, CHECKS, BROKEN


def small_network(notebook, seed=0):
    return notebook.new_network(16, 2, 4, seed).double().eval().requires_grad_(False)


def some_images(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 16, 16, generator=draw, dtype=torch.float64)


def test_small_steps_lower_the_energy_and_a_step_of_nothing_keeps_the_image(notebook):
    network, start = small_network(notebook), some_images(3)
    end, energies = notebook.project(network, start, 0.05, 0.1, 4)
    assert energies.shape == (5, 3) and (energies.diff(dim=0) < 0).all()
    assert not torch.equal(end, start)
    end, energies = notebook.project(network, start, 0.0, 0.1, 2)
    assert torch.equal(end, start) and torch.equal(energies[0], energies[1])


def test_an_image_is_projected_alike_in_any_company(notebook):
    network, start = small_network(notebook), some_images(40)
    together = notebook.project(network, start, 0.2, 0.1, 3)[0]
    alone = notebook.project(network, start[35:36], 0.2, 0.1, 3)[0]
    assert torch.allclose(together[35:36], alone, atol=1e-12)


def test_a_large_prior_is_no_reason_to_leave_the_input(notebook):
    network, start = small_network(notebook), some_images(2)
    free, bound = (
        notebook.project(network, start, 0.1, weight, 30)[0].sub(start).abs().mean()
        for weight in (0.0, 2.0)
    )
    assert bound < 0.3 * free


def test_training_lowers_the_loss_and_can_be_repeated(notebook):
    x, ends = some_images(8) / 4, []
    for _ in range(2):
        network = notebook.new_network(16, 4, 8, 0)
        before = notebook.plain_loss(network.double().eval(), x, None).mean()
        notebook.train_network(network, x, notebook.variational_loss, 60, 4, 0.01, 0)
        after = notebook.plain_loss(network, x.float(), None).mean()
        assert after < 0.9 * before
        ends.append(torch.cat([v.flatten() for v in network.parameters()]))
    assert torch.equal(*ends)


def test_how_far_images_move_is_a_mean_for_each_image(notebook):
    x, y = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    y[0, 1, 0, 1], y[1, 2] = -1.2, 0.5
    assert np.allclose(notebook.moved(x, y), [0.1, 0.5 / 3])


def test_shares_are_those_of_the_held_out_images(notebook):
    notebook.x_clean = torch.zeros(2, 3, 2, 2)
    after = notebook.x_clean.clone()
    after[:, :, 0, 0] = 0.8
    found = notebook.shares(after, notebook.x_clean + 0.1, after / 4 + 0.1)
    assert np.allclose(found, 0.25)


EQUIVALENT_DEFINITIONS = {
    "Autoencoder": {
        "maps, side = ([width, 2 * width, 4 * width, 4 * width], size // {16 → 15})": (
            "the same up to 224 pixels"
        ),
        "self.shape = (maps[-{1 → 2}], side, side)": "the last two have as many maps",
        "self.code = nn.Linear(maps[-{1 → 2}] * side ** 2, 2 * latent)": (
            "the last two have as many maps"
        ),
        "self.flat = nn.Linear(latent, maps[-{1 → 2}] * side ** 2)": (
            "the last two have as many maps"
        ),
    },
    "new_network": {
        "for layer in {network.modules() → list(network.modules())[1:]}:": (
            "the first is the network itself, which is no layer"
        ),
        "spread = layer.weight[{0 → 1}].numel() ** (-0.5)": "all are as large",
        "spread = layer.weight[{0 → -1}].numel() ** (-0.5)": "all are as large",
    },
    "plain_loss": {
        "parameter of plain_loss ignored: draw = 1": "nothing is drawn",
        "parameter of plain_loss ignored: draw = 2": "nothing is drawn",
    },
    "shown": "only the bar of progress",
    "train_network": {
        "for chosen in {shown(several, 'training', number) → several}:": "only the bar of progress",
        "update(adam, loss_of(network, x[chosen], draw){.mean → .sum}())": (
            "Adam does not see the scale of a loss"
        ),
    },
    "project": {
        "parts = start.split({32 → 33})": "parts of another size give the same",
        "parts = start.split({32 → 31})": "parts of another size give the same",
        "for part in {shown(parts, 'projecting', len(parts)) → parts}:": "only the bar of progress",
        "for part in shown(parts, 'projecting', {len(parts) → parts}):": "only the bar of progress",
        "rates = torch.full_like(part[:, :{1 → }, :1, :1], rate)": "one size for all pixels",
        "rates = torch.full_like(part[:, :1, :{1 → }, :1], rate)": "one size for all pixels",
        "rates = torch.full_like(part[:, :1, :1, :{1 → }], rate)": "one size for all pixels",
        "rose = new[-1] {> → >=} now[-1]": "no two energies are equal unless nothing moves",
    },
    "rebuilt": {
        "return torch.cat([network(part) for part in x.split({32 → 33})])": (
            "parts of another size give the same"
        ),
        "return torch.cat([network(part) for part in x.split({32 → 31})])": (
            "parts of another size give the same"
        ),
    },
    "projected": "passes the settings of the notebook on",
    "as_image": "only figures use it",
    "moved": "tested above",
    "shares": "tested above",
}


# --- the exercises ------------------------------------------------------------------------------


def gradients_by_columns(W, x):
    gap = x - W @ x
    return [2 * (g - W[:, k] @ gap) for k, g in enumerate(gap)], gap + gap


def halved_with_its_sign(gap, rate, weighted):
    now, count = gap, 0
    while abs(now) * 2 > abs(gap):
        now, count = now - 2 * rate * now ** (3 if weighted else 1), count + 1
    return count


def step_and_soft_threshold(x, start, slope, gap, rate, weight):
    reach = rate * np.square(gap)
    aim, band = x - reach * slope, reach * weight
    held = np.where(aim > start + band, aim - band, np.where(aim < start - band, aim + band, start))
    return held.clip(0, 1)


def proximal(x, start, slope, gap, rate, weight, *, power=2, band=None, clip=True):
    reach = rate * np.abs(gap) ** power
    away = x - reach * slope - start
    size = np.maximum(np.abs(away) - (reach if band is None else band) * weight, 0)
    new = start + np.sign(away) * size
    return np.clip(new, 0, 1) if clip else new


NAMES = ("two_gradients", "steps_to_halve", "proximal_step")
OTHERS = {
    "two_gradients": gradients_by_columns,
    "steps_to_halve": halved_with_its_sign,
    "proximal_step": step_and_soft_threshold,
}
WRONG = (
    ("two_gradients", lambda W, x: 2 * (x - W @ x), "expected shape (2, 2)"),
    ("two_gradients", lambda W, x: (x - W @ x, x - W @ x), "W = 0"),
    ("two_gradients", lambda W, x: (2 * x, 2 * x), "the identity has no error"),
    (
        "two_gradients",
        lambda W, x: (2 * (np.eye(len(x)) - W) @ (x - W @ x), 2 * (x - W @ x)),
        "2 by 2",
    ),
    ("steps_to_halve", lambda g, r, w: 1, "no error, no step"),
    (
        "steps_to_halve",
        lambda g, r, w: next(n for n in range(99) if g * (1 - 2 * r) ** n <= g / 2),
        "a negative error",
    ),
    (
        "steps_to_halve",
        lambda g, r, w: next(n for n in range(99) if abs(g) * (1 - 2 * r) ** n <= abs(g) / 2),
        "with the factor",
    ),
    (
        "steps_to_halve",
        lambda g, r, w: halved_with_its_sign(1.0, r, w) if g else 0,
        "half the error",
    ),
    (
        "proximal_step",
        lambda x, s, d, g, r, w: np.clip(x - r * g**2 * (d + w * np.sign(x - s)), 0, 1),
        "the prior",
    ),
    ("proximal_step", lambda *a: proximal(*a, power=1), "no prior"),
    ("proximal_step", lambda *a: proximal(*a, band=a[4]), "the prior"),
    ("proximal_step", lambda x, s, d, g, r, w: proximal(x, s, d, g, 1, w), "the rate"),
    (
        "proximal_step",
        lambda x, s, d, g, r, w: np.clip(x - r * g**2 * d + r * g**2 * w, 0, 1),
        "above the input",
    ),
    ("proximal_step", lambda *a: proximal(*a, clip=False), "clipped last"),
)


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
