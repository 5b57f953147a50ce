"""DifferNet's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.ndimage import gaussian_filter
from sklearn.covariance import ledoit_wolf

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "distribution_map" / "differnet.ipynb"


@pytest.fixture(scope="module")
def differnet():
    return definitions(PATH)


def small_flow(module, rows=None, seed=0, blocks=3, alpha=1.5, larger=2):
    """A flow of double precision whose weights are far from the almost linear start."""
    torch.manual_seed(seed)
    rows = torch.randn(40, 5, dtype=torch.float64) * 2 - 1 if rows is None else rows
    flow = module.Flow(rows, blocks=blocks, hidden=12, alpha=alpha).double()
    for weight in flow.parameters():
        weight.data *= larger
    return flow.requires_grad_(False), rows


# --- the equations ------------------------------------------------------------------------------


def test_the_check_passes_on_the_notebook_as_it_is(differnet, capsys):
    differnet.check_fidelity()
    said = capsys.readouterr().out
    assert "log-determinant" in said and "map" in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("s2.sum(dim=1) + s1.sum(dim=1)", "s2.sum(dim=1)"),
        ("-self.std.log().sum()", "self.std.log().sum()"),
        ("b = (b - t1) * (-s1).exp()", "b = (b - t1) * s1.exp()"),
        ("self.order.argsort()", "self.order"),
        ("0.636 * alpha * torch.atan(s / alpha)", "alpha * torch.atan(s / alpha)"),
        ("0.636 * alpha * torch.atan(s / alpha)", "s"),
        ("0.5 * z.square().sum(dim=1) - log_det", "0.5 * z.square().sum(dim=1)"),
        ("0.5 * z.square().sum(dim=1) - log_det", "0.5 * z.square().sum(dim=1) + log_det"),
        ("generator=torch.Generator().manual_seed(seed)", "generator=torch.Generator()"),
        ("F.avg_pool2d(x, 2**r) if r > 0 else x", "x"),
        ("level.mean(dim=(2, 3))", "level.amax(dim=(2, 3))"),
        ("z.square().mean(dim=1)", "z.abs().mean(dim=1)"),
        ("z.square().mean(dim=1)", "z.square().amax(dim=1)"),
        ("np.rot90(gradient, -k, axes=(2, 3))", "np.rot90(gradient, k, axes=(2, 3))"),
        ("np.abs(smooth).mean(axis=1)", "smooth.mean(axis=1)"),
        ("gaussian_filter(upright,", "gaussian_filter(np.abs(upright),"),
        ("return (total / len(gradients)) ** 2", "return total / len(gradients)"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError)) as raised:
        broken.check_fidelity()
    assert raised.type is AssertionError


def test_the_log_determinant_is_that_of_finite_differences(differnet):
    flow, rows = small_flow(differnet)
    y, step = rows[:4].numpy(), 1e-6
    _, log_det = flow(rows[:4])
    for i in range(4):
        columns = []
        for unit in np.eye(5):
            ends = torch.from_numpy(np.stack([y[i] + step * unit, y[i] - step * unit]))
            up, down = flow(ends)[0].numpy()
            columns.append((up - down) / (2 * step))
        _, numeric = np.linalg.slogdet(np.stack(columns, axis=1))
        assert log_det[i].item() == pytest.approx(numeric, abs=1e-4)


def test_the_inverse_is_exact_both_ways(differnet):
    flow, rows = small_flow(differnet, blocks=8, alpha=3.0)
    z, _ = flow(rows)
    assert torch.allclose(flow.inverse(z), rows, atol=1e-8)
    latent = torch.randn(9, 5, dtype=torch.float64)
    assert torch.allclose(flow(flow.inverse(latent))[0], latent, atol=1e-8)
    single, rows = small_flow(differnet, blocks=8, alpha=3.0, larger=1)
    single, y = single.float(), rows.float()
    assert torch.allclose(single.inverse(single(y)[0]), y, atol=1e-4)


def test_the_density_of_the_flow_integrates_to_one(differnet):
    flow, _ = small_flow(differnet, torch.randn(50, 2, dtype=torch.float64), blocks=2, alpha=1.0)
    axis = torch.linspace(-40, 40, 1601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    z, log_det = flow(grid)
    density = (-2 * differnet.nll(z, log_det)).exp() / (2 * np.pi)
    assert density.sum().item() * 0.05**2 == pytest.approx(1, abs=2e-3)


def test_one_block_is_the_formula_written_in_numpy(differnet):
    torch.manual_seed(1)
    block = differnet.Coupling(5, 8, 2.0, seed=4).double()
    y = torch.randn(6, 5, dtype=torch.float64)
    a, b = np.split(y.numpy()[:, block.order.numpy()], [2], axis=1)

    def s_t(net, half):
        with torch.no_grad():
            s, t = np.split(net(torch.from_numpy(half)).numpy(), 2, axis=1)
        return 0.636 * 2 * np.arctan(s / 2), t

    s2, t2 = s_t(block.net2, b)
    a = a * np.exp(s2) + t2
    s1, t1 = s_t(block.net1, a)
    b = b * np.exp(s1) + t1
    with torch.no_grad():
        z, log_det = block(y)
    assert np.allclose(z, np.concatenate([a, b], axis=1))
    assert np.allclose(log_det, s1.sum(1) + s2.sum(1))


def test_the_clamp_is_odd_monotone_and_bounded(differnet):
    s = torch.linspace(-500, 500, 10001, dtype=torch.float64)
    clamped = differnet.soft_clamp(s, 3.0)
    assert (clamped.diff() > 0).all() and clamped.abs().max() < 3
    assert torch.allclose(clamped, -clamped.flip(0))
    exact = 2 * 3 / np.pi * np.arctan(s.numpy() / 3)
    assert np.allclose(clamped, exact, rtol=1e-3)  # 0.636 is short for 2 / pi


def test_features_are_means_over_three_sizes(differnet):
    x = torch.rand(2, 3, 16, 16)
    y = differnet.pooled_features(lambda x: [x.square(), x[:, :1] + 1], x, 3).numpy()
    parts = []
    for size in (16, 8, 4):
        f = 16 // size
        small = x.numpy().reshape(2, 3, size, f, size, f).mean(axis=(3, 5))
        parts += [(small**2).mean(axis=(2, 3)), small[:, :1].mean(axis=(2, 3)) + 1]
    assert np.allclose(y, np.concatenate(parts, axis=1), atol=1e-6)


def test_the_score_of_an_image_does_not_change_when_it_is_turned(differnet):
    weights = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(2)).double()

    def network(x):
        return [torch.nn.functional.conv2d(x, weights, padding=1).relu()]

    backbone = SimpleNamespace(
        network=network, preprocess=lambda x: torch.tensor(x).permute(0, 3, 1, 2).double() / 255
    )
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    features = differnet.extract(backbone, images, 3, 32, differnet.TURNS, batch=4)
    sideways = differnet.extract(backbone, differnet.turned(images, 1), 3, 32, differnet.TURNS)
    assert torch.allclose(sideways, features.roll(-1, dims=0), atol=1e-6)
    flow = differnet.new_flow(features, 0, "cpu", blocks=2, hidden=8, alpha=3.0).double()
    before, after = (differnet.image_scores(flow, f).mean(axis=0) for f in (features, sideways))
    assert np.allclose(before, after, rtol=1e-4)
    assert not np.allclose(features[0], features[1], atol=1e-3)  # a single turn does notice

    gradient = differnet.input_gradients(backbone, flow, images[:2], 1, 3, 32)
    x = backbone.preprocess(differnet.turned(images[:2], 1))

    def loss(x):
        y = differnet.pooled_features(network, x, 3)
        return differnet.nll(*flow(y)).sum().item()

    bump = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(3))
    numeric = (loss(x + 1e-6 * bump) - loss(x - 1e-6 * bump)) / 2e-6
    assert (gradient * bump.numpy()).sum() == pytest.approx(numeric, rel=0.01)


def test_the_gaussian_is_the_squared_mahalanobis_distance(differnet):
    rng = np.random.default_rng(5)
    features = torch.from_numpy(rng.normal(size=(2, 30, 3)) * [1, 20, 0.1])
    test = torch.from_numpy(rng.normal(size=(2, 7, 3)) * [1, 20, 0.1])
    rows = features.flatten(0, 1).numpy()
    mean, std = rows.mean(0), rows.std(0, ddof=1)
    scaled = (rows - mean) / std
    inverse = np.linalg.inv(ledoit_wolf(scaled)[0])
    away = (test.numpy() - mean) / std - scaled.mean(0)
    expected = np.einsum("kni,ij,knj->kn", away, inverse, away).mean(axis=0)
    assert np.allclose(differnet.gaussian_scores(features, test), expected)


def test_training_lowers_the_loss_and_repeats_with_its_seed(differnet):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4, 20, 6, generator=generator).cumsum(dim=2)  # correlated
    options = {"epochs": 15, "batch": 8, "lr": 5e-3, "noise": 0.05, "seed": 1}
    runs, seen = [], []
    for _ in range(2):
        flow = differnet.new_flow(features, 3, "cpu", blocks=4, hidden=16, alpha=3.0)
        watch = {"watch": lambda f: seen.append(len(seen)), "every": 5}
        runs.append(differnet.train_flow(features, flow, **options, **watch))
    assert runs[0] == runs[1] and runs[0][-1] < runs[0][0] - 0.2
    assert len(seen) == 6


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("unit_slope_clamp", "undo_coupling", "combine")


def clamp_by_torch(s, alpha):
    angle = torch.atan2(torch.as_tensor(s) * torch.pi, torch.tensor(2.0 * alpha))
    return angle * 2 * alpha / torch.pi


def undo(order="right", clamp=True, shift_first=True, sign=-1):
    def answer(out, net1, net2, alpha):
        half = out.shape[1] // 2
        a, b = out[:, :half].copy(), out[:, half:].copy()

        def back(value, given, net):
            r = net(given)
            s, t = r[:, : r.shape[1] // 2], r[:, r.shape[1] // 2 :]
            s = 0.636 * alpha * np.arctan(s / alpha) if clamp else s
            factor = np.exp(sign * s)
            return (value - t) * factor if shift_first else value * factor - t

        if order == "right":
            b = back(b, a, net1)
            a = back(a, b, net2)
        else:
            a = back(a, b, net2)
            b = back(b, a, net1)
        return np.hstack([a, b])

    return answer


def combined(turn=-1, first_abs=False, square_last=True, smooth=True):
    def answer(gradients, sigma):
        upright = np.stack([np.rot90(g, turn * k, axes=(1, 2)) for k, g in enumerate(gradients)])
        upright = np.abs(upright) if first_abs else upright
        if smooth:
            upright = gaussian_filter(upright, (0, 0, sigma, sigma))
        if square_last:
            return np.abs(upright).mean(axis=(0, 1)) ** 2
        return (upright**2).mean(axis=(0, 1))

    return answer


OTHERS = {"unit_slope_clamp": clamp_by_torch, "undo_coupling": undo(), "combine": combined()}
WRONG = [
    ("unit_slope_clamp", lambda s, a: a * np.arctan(s / a), "below -3"),
    ("unit_slope_clamp", lambda s, a: 2 * a / np.pi * np.arctan(s / a), "the slope at 0"),
    ("unit_slope_clamp", lambda s, a: a * np.tanh(s / a), "not an arctan"),
    ("unit_slope_clamp", lambda s, a: 2 / np.pi * np.arctan(np.pi * s / 2), "close to alpha"),
    ("undo_coupling", undo(clamp=False), "only the second half changes"),
    ("undo_coupling", undo(sign=1), "only the second half changes"),
    ("undo_coupling", undo(shift_first=False), "only the second half changes"),
    ("undo_coupling", undo(order="wrong"), "both halves"),
    ("combine", combined(turn=1), "upright"),
    ("combine", combined(turn=0), "upright"),
    ("combine", combined(first_abs=True), "smooth, then abs"),
    ("combine", combined(square_last=False), "then the square"),
    ("combine", combined(smooth=False), "smooth, then abs"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
