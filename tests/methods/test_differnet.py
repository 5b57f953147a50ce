"""DifferNet's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests, load
from notebook_loader import definitions
from sklearn.covariance import ledoit_wolf

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "distribution_map" / "differnet.ipynb"


@pytest.fixture(scope="module")
def differnet():
    return definitions(PATH)


CHECKS = ("check_flow", "check_parts", "check_features", "check_training", "check_fidelity")


def small_flow(module, rows=None, seed=0, blocks=3, alpha=1.5, larger=2):
    """A flow of double precision whose weights are far from the almost linear start."""
    torch.manual_seed(seed)
    rows = torch.randn(40, 5, dtype=torch.float64) * 2 - 1 if rows is None else rows
    flow = module.Flow(rows, blocks=blocks, hidden=12, alpha=alpha).double()
    for weight in flow.parameters():
        weight.data *= larger
    return flow.requires_grad_(False), rows


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_pass_on_the_notebook_as_it_is(differnet, check):
    for seed in range(3):
        getattr(differnet, check)(seed)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("flow", "s2.sum(dim=1) + s1.sum(dim=1)", "s2.sum(dim=1)"),
        ("flow", "-self.std.log().sum()", "self.std.log().sum()"),
        ("flow", "(y - self.mean) / self.std", "(y - self.mean) * self.std"),
        ("flow", "self.net1, a, self.alpha)", "self.net1, y[:, : self.half], self.alpha)"),
        ("flow", "clamp_min(1e-4))", "clamp_min(1e-2))"),
        ("parts", "0.636 * alpha * torch.atan(s / alpha)", "alpha * torch.atan(s / alpha)"),
        ("parts", "0.636 * alpha * torch.atan(s / alpha)", "s"),
        ("parts", "0.5 * z.square().sum(dim=1) - log_det", "0.5 * z.square().sum(dim=1)"),
        ("parts", "0.5 * z.square().sum(dim=1) - log_det", "0.5 * z.square().sum(dim=1) + log_det"),
        ("parts", "torch.Generator().manual_seed(seed)", "torch.Generator()"),
        ("features", "shrunk(x, size // 2**r)", "shrunk(x, size)"),
        ("features", 'size=(side, side), mode="area"', 'size=(side, side), mode="nearest"'),
        ("features", "level.mean(dim=(2, 3))", "level.amax(dim=(2, 3))"),
        ("features", "x.rot90(k, (2, 3))", "x.rot90(-k, (2, 3))"),
        ("training", "z.square().mean(dim=(0, 2))", "z.abs().mean(dim=(0, 2))"),
        ("training", "z.square().mean(dim=(0, 2))", "z.square().mean(dim=2).amax(dim=0)"),
        ("training", "noise * std * torch.randn(y.shape)", "noise * torch.randn(y.shape)"),
        ("training", "y + noise * std * torch.randn(y.shape)", "y"),
        ("fidelity", "np.rot90(gradient, -k, axes=(2, 3))", "np.rot90(gradient, k, axes=(2, 3))"),
        ("fidelity", "np.abs(smooth).mean(axis=1)", "smooth.mean(axis=1)"),
        ("fidelity", "gaussian_filter(upright, (", "gaussian_filter(np.abs(upright), ("),
        ("fidelity", "return (total / len(gradients)) ** 2", "return total / len(gradients)"),
        ("fidelity", 'mode="bilinear")[:, 0]', ')[:, 0]'),
        ("fidelity", "autograd.grad(nll(*flow(y)).sum(), x)", "autograd.grad(flow(y)[1].sum(), x)"),
    ],
)  # fmt: skip
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, f"check_{check}")()


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


def test_the_solution_of_exercise_3_undoes_a_block_of_the_notebook(differnet):
    torch.manual_seed(1)
    block = differnet.Coupling(6, 8, 2.0, seed=4).double().requires_grad_(False)
    y = torch.randn(9, 6, dtype=torch.float64)
    out, _ = block(y)

    def as_numpy(net):
        return lambda half: net(torch.from_numpy(half)).numpy()

    undo_coupling = load(PATH).solution("undo_coupling")
    found = undo_coupling(out.numpy(), as_numpy(block.net1), as_numpy(block.net2), 2.0)
    assert np.allclose(found[:, block.order.argsort()], y)


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
    y = differnet.pooled_features(lambda x: [x.square(), x[:, :1] + 1], x, 16, 3).numpy()
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
    images = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    features = differnet.extract(backbone, images, 32, 3)
    sideways = differnet.extract(backbone, np.rot90(images, axes=(1, 2)).copy(), 32, 3)
    assert torch.allclose(sideways, features.roll(-1, dims=0), atol=1e-6)
    flow, _ = small_flow(differnet, features.flatten(0, 1))
    before, after = (
        differnet.image_scores(differnet.latent(flow, f)[0]) for f in (features, sideways)
    )
    assert np.allclose(before, after, rtol=1e-4)
    assert not np.allclose(features[0], features[1], atol=1e-3)  # a single turn does notice


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


def test_training_is_the_loop_of_the_official_code_with_noise_added(differnet):
    features = torch.randn(2, 50, 6, generator=torch.Generator().manual_seed(0)) * 20
    shape = {"blocks": 2, "hidden": 5, "alpha": 3.0}
    flow, losses = differnet.fit_flow(features, 2, shape, 5e-3, 0.2, 7)
    torch.manual_seed(7)
    slow, told = differnet.Flow(features.flatten(0, 1), **shape), []
    adam = torch.optim.Adam(slow.parameters(), 5e-3, (0.8, 0.8), 1e-4, 1e-5)
    for _ in range(2):
        order, parts = torch.randperm(50), []
        for some in (order[:24], order[24:48], order[48:]):
            y = torch.cat([turn[some] for turn in features])
            y = y + 0.2 * features.flatten(0, 1).std(dim=0) * torch.randn(y.shape)
            z, log_det = slow(y)
            adam.zero_grad()
            loss = ((z**2).sum(dim=1) / 2 - log_det).mean() / 6
            loss.backward()
            adam.step()
            parts.append(loss.item() * len(some) / 50)
        told.append(sum(parts))
    pairs = zip(flow.state_dict().values(), slow.state_dict().values(), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in pairs)
    assert losses == pytest.approx(told, rel=1e-5)


def test_without_epochs_the_flow_has_its_initial_weights(differnet):
    features = torch.randn(4, 20, 6, generator=torch.Generator().manual_seed(0))
    options = {"learning_rate": 5e-3, "noise": 0.05, "seed": 3}
    shape = {"blocks": 2, "hidden": 5, "alpha": 3.0}
    flow, losses = differnet.fit_flow(features, 0, shape, **options)
    torch.manual_seed(3)
    initial = differnet.Flow(features.flatten(0, 1), **shape)
    pairs = zip(flow.state_dict().values(), initial.state_dict().values(), strict=True)
    assert losses == [] and all(torch.equal(a, b) for a, b in pairs)


def test_the_bound_on_memory_grows_with_images_and_size(differnet):
    small = differnet.bytes_needed(200, 100, 960, 128, 256)
    assert differnet.bytes_needed(2000, 100, 960, 128, 256) > small
    assert differnet.bytes_needed(200, 1000, 960, 128, 256) > 2 * small


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("unit_slope_clamp", "expected_length", "undo_coupling")


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


def by_simulation(variances, noise):
    """What the text says: whiten with noise, then look at vectors without."""
    scale = 1 / np.sqrt(np.asarray(variances) + noise**2)
    return float(np.trace(np.diag(scale) @ np.diag(variances) @ np.diag(scale)) / len(variances))


def first_row_only(out, net1, net2, alpha):
    return np.repeat(undo()(out, net1, net2, alpha)[:1], len(out), axis=0)


OTHERS = {
    "unit_slope_clamp": clamp_by_torch,
    "expected_length": by_simulation,
    "undo_coupling": undo(),
}
WRONG = [
    ("unit_slope_clamp", lambda s, a: a * np.arctan(s / a), "below -3"),
    ("unit_slope_clamp", lambda s, a: 2 * a / np.pi * np.arctan(s / a), "the slope at 0"),
    ("unit_slope_clamp", lambda s, a: a * np.tanh(s / a), "not an arctan"),
    ("unit_slope_clamp", lambda s, a: 2 / np.pi * np.arctan(np.pi * s / 2), "close to alpha"),
    ("expected_length", lambda v, n: v / (v + n**2), "expected shape ()"),
    ("expected_length", lambda v, n: 1 / (1 + n**2), "one direction, noise 1"),
    ("expected_length", lambda v, n: np.mean(1 / (v + n**2)), "without noise"),
    ("expected_length", lambda v, n: np.mean(v / (v + n)), "a standard deviation"),
    ("expected_length", lambda v, n: np.mean(np.sqrt(v / (v + n**2))), "one direction"),
    ("expected_length", lambda v, n: np.mean(v) / (np.mean(v) + n**2), "each direction"),
    ("expected_length", lambda v, n: np.median(v / (v + n**2)), "each direction"),
    ("expected_length", lambda v, n: np.sum(v / (v + n**2)), "each direction"),
    ("undo_coupling", undo(clamp=False), "net2 gives 0"),
    ("undo_coupling", undo(sign=1), "net2 gives 0"),
    ("undo_coupling", undo(shift_first=False), "net2 gives 0"),
    ("undo_coupling", undo(order="wrong"), "b first, then a"),
    ("undo_coupling", first_row_only, "net2 gives 0"),
    ("undo_coupling", lambda o, f, g, a: undo()(o, f, g, 2), "b first, then a"),
    ("undo_coupling", lambda o, f, g, a: undo()(o, g, f, a), "net2 gives 0"),
    ("undo_coupling", lambda o, f, g, a: undo()(o, f, g, a)[:, [2, 3, 0, 1]], "net2 gives 0"),
]

EQUIVALENT_DEFINITIONS = {
    "bytes_needed": "a rough bound, see test_the_bound_on_memory_grows",
    "gaussian_scores": "held by test_the_gaussian_is_the_squared_mahalanobis_distance",
    "net": "only the check of exercise 3 uses it",
    "extract": {
        "for some in torch.arange(len(images)).split({8 → 9}):": "the size of a block",
        "for some in torch.arange(len(images)).split({8 → 7}):": "the size of a block",
        "x = {shrunk(network.preprocess(images[some.numpy()]), size) → "
        "network.preprocess(images[some.numpy()])}": "a mean of means is the same, only slower",
    },
    "train_epoch": "held by test_training_is_the_loop_of_the_official_code",
    "fit_flow": "held by test_training_is_the_loop_of_the_official_code",
    "anomaly_maps": {
        "maps = np.empty(images.shape[:3]{, dtype=np.float32 → })": "only saves memory",
        "for part in np.split(np.arange(len(images)), range(4, len(images){ →  - 1}, "
        "4)):": "the size of a block",
        "for part in np.split(np.arange(len(images)), range({4 → 5}, len(images), "
        "4)):": "the size of a block",
        "for part in np.split(np.arange(len(images)), range({4 → 3}, len(images), "
        "4)):": "the size of a block",
        "for part in np.split(np.arange(len(images)), range(4, len(images), {4 → "
        "5})):": "the size of a block",
        "for part in np.split(np.arange(len(images)), range(4, len(images), {4 → "
        "3})):": "the size of a block",
        "maps[part] = enlarged(gradient_maps(gradients, sigma), len(images[{0 → "
        "1}]))": "all are square",
        "maps[part] = enlarged(gradient_maps(gradients, sigma), len(images[{0 → "
        "-1}]))": "all are square",
    },
    "enlarged": {
        "maps = torch.from_numpy(small){.float() → }[:, None]": "only a type",
        "return F.interpolate(maps, size=(side, side), mode='bilinear')[:, {0 → "
        "-1}].numpy()": "there is one channel",
    },
    "gradient_maps": {
        "smooth = gaussian_filter(upright, ({0 → -1}, 0, sigma, sigma))": "such an axis is skipped",
        "smooth = gaussian_filter(upright, (0, {0 → -1}, sigma, sigma))": "such an axis is skipped",
        "total = total {+ → -} np.abs(smooth).mean(axis=1)": "the square takes the sign away",
    },
    "input_gradients": {
        "return torch.autograd.grad(nll(*flow(y)).sum(), x)[{0 → "
        "-1}].cpu().numpy()": "there is one gradient",
    },
    "Standardise": {
        "log_det = -self.std.log().sum(){.expand(len(y)) → }": "a number is added to all",
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
