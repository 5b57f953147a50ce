"""The flows' notebook: its equations hold and are guarded, its exercises tell right from wrong."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy import integrate, optimize, stats

PATH = (
    Path(__file__).resolve().parents[2]
    / "notebooks"
    / "distribution_map"
    / "normalizing_flows.ipynb"
)


@pytest.fixture(scope="module")
def flows():
    return definitions(PATH)


def stack(flows, models, layers, dimensions, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [p.double() for p in flows.start_flow(models, layers, dimensions, scale, generator)]


# --- the equations ------------------------------------------------------------------------------


def test_the_check_passes_on_the_notebook_as_it_is(flows, capsys):
    for seed in range(3):
        flows.check_fidelity(seed)
    assert "Jacobians" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "slope = 1 - torch.cat(outputs, dim=2).square()",
            "slope = torch.cat(outputs, dim=2)",
            "planar",
        ),
        ("det = 1 + (w * u).sum", "det = 1 - (w * u).sum", "planar"),
        ("    u = constrained_u(u, w)\n", "", "folds"),
        ("w.square().sum(dim=-1, keepdim=True)", "w.norm(dim=-1, keepdim=True)", "planar"),
        ("return alpha, -alpha + F.softplus(beta)", "return alpha, beta", "radial"),
        ("(D - 1) * torch.log(stretch)", "D * torch.log(stretch)", "radial"),
        ("stretch - beta_hat * r * h.square()", "stretch", "radial"),
        ("return -(log_base(z) + log_det)", "return -(log_base(z) - log_det)", "density"),
        ("+ x.shape[2] * math.log(scale)", "", "density"),
        ("(log_base(z0) - log_det + beta", "(log_base(z0) + log_det + beta", "free energy"),
        ("(log_base(z0) - log_det + beta", "(log_base(z) - log_det + beta", "free energy"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError, match=message):
        broken.check_fidelity()


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_log_determinants_are_those_of_finite_differences(flows, dimensions):
    w, u, b = stack(flows, 1, 3, dimensions)
    step = 1e-6
    for name, parameters in (("planar_flow", (w, u, b)), ("radial_flow", (u, b, b.flip(1)))):
        f = getattr(flows, name)
        for z in torch.randn(4, dimensions, generator=torch.Generator().manual_seed(1)).double():
            shifts = step * torch.eye(dimensions).double()
            ahead, behind = f((z + shifts)[None], *parameters), f((z - shifts)[None], *parameters)
            J = ((ahead[0] - behind[0])[0] / (2 * step)).T.numpy()
            expected = np.log(abs(np.linalg.det(J)))
            assert float(f(z[None, None], *parameters)[1]) == pytest.approx(expected, abs=1e-5)


def test_models_of_a_stack_do_not_see_each_other(flows):
    w, u, b = stack(flows, 3, 4, 2)
    z = torch.randn(3, 7, 2, generator=torch.Generator().manual_seed(2)).double()
    moved, log_det = flows.planar_flow(z, w, u, b)
    for i in range(3):
        alone = flows.planar_flow(z[i : i + 1], w[i : i + 1], u[i : i + 1], b[i : i + 1])
        assert torch.allclose(moved[i], alone[0][0]) and torch.allclose(log_det[i], alone[1][0])


def test_the_constraint_holds_for_strong_and_weak_parameters(flows):
    generator = torch.Generator().manual_seed(3)
    for scale in (0.01, 1.0, 30.0):
        w, u = scale * torch.randn(2, 1000, 4, generator=generator).double()
        pressed = flows.constrained_u(u, w)
        dot = (w * u).sum(-1)
        assert torch.allclose((w * pressed).sum(-1), torch.nn.functional.softplus(dot) - 1)
        assert ((w * pressed).sum(-1) >= -1 - 1e-9 * scale).all()
        across = (pressed - u) - ((pressed - u) * w).sum(-1, True) * w / w.square().sum(-1, True)
        assert across.abs().max() < 1e-8 * max(1, scale)
        alpha, beta = flows.radial_constants(*(scale * torch.randn(2, 1000, generator=generator)))
        assert (alpha >= 0).all() and (beta >= -alpha).all()


def test_a_radial_map_keeps_the_order_along_a_ray(flows):
    alpha, beta = torch.tensor([[0.3]]).double(), torch.tensor([[-6.0]]).double()
    ray = torch.linspace(0.01, 5, 400).double()[None, :, None] * torch.tensor([0.6, 0.8]).double()
    moved, log_det = flows.radial_flow(ray, torch.zeros(1, 1, 2).double(), alpha, beta)
    assert (moved.norm(dim=2).diff(dim=1) > 0).all() and log_det.isfinite().all()


def test_the_energies_are_those_of_table_1(flows):
    rng = np.random.default_rng(4)
    for x, y in rng.uniform(-3.9, 3.9, (60, 2)):  # inside the wall
        w1, w2 = np.sin(np.pi * x / 2), 3 * np.exp(-0.5 * ((x - 1) / 0.6) ** 2)
        w3 = 3 / (1 + np.exp(-(x - 1) / 0.3))
        expected = [
            0.5 * ((np.hypot(x, y) - 2) / 0.4) ** 2
            - np.log(np.exp(-0.5 * ((x - 2) / 0.6) ** 2) + np.exp(-0.5 * ((x + 2) / 0.6) ** 2)),
            0.5 * ((y - w1) / 0.4) ** 2,
            -np.logaddexp(-0.5 * ((y - w1) / 0.35) ** 2, -0.5 * ((y - w1 + w2) / 0.35) ** 2),
            -np.logaddexp(-0.5 * ((y - w1) / 0.4) ** 2, -0.5 * ((y - w1 + w3) / 0.35) ** 2),
        ]
        point = torch.tensor([x, y])
        got = [float(flows.energy(point, number)) for number in (1, 2, 3, 4)]
        assert got == pytest.approx(expected, rel=1e-5)


def test_the_normaliser_is_that_of_adaptive_quadrature(flows):
    def density(y, x):
        return math.exp(-float(flows.energy(torch.tensor([x, y], dtype=torch.float64), 2)))

    total, _ = integrate.dblquad(density, -7, 7, -4, 4, epsabs=1e-4, epsrel=1e-4)
    assert flows.log_normaliser(2) == pytest.approx(math.log(total), abs=1e-3)
    # the band of U2 is a Gaussian of width 0.4 across, of length 8 and the two soft ends along
    exact = math.sqrt(2 * math.pi) * 0.4 * (8 + math.sqrt(2 * math.pi) * 0.4)
    assert flows.log_normaliser(2) == pytest.approx(math.log(exact), abs=1e-4)


def test_without_a_wall_the_second_energy_is_no_density():
    free = definitions(PATH, replace={"wall = -near(F.relu(x.abs() - 4), 0.4)": "wall = 0 * x"})
    away = torch.tensor([[0.0, 0.0], [400.0, 0.0], [40000.0, 0.0]])
    assert free.energy(away, 2).abs().max() < 1e-3  # as likely at 40000 as at 0


def test_free_energy_is_the_divergence_up_to_log_z(flows):
    flow = stack(flows, 1, 3, 2, 0.7, seed=5)
    z0 = torch.randn(1, 20_000, 2, generator=torch.Generator().manual_seed(5)).double()
    moved, log_det = flows.planar_flow(z0, *flow)
    brute = (stats.norm.logpdf(z0[0].numpy()).sum(axis=1) - log_det[0].numpy()).mean()
    brute += 0.5 * moved.square().sum(-1).mean().item()
    value = flows.free_energy(z0, flow, lambda z: 0.5 * z.square().sum(-1))
    assert float(value) == pytest.approx(brute, abs=1e-9)
    assert float(value) > -math.log(2 * math.pi)  # never below -log Z
    half = flows.free_energy(z0, flow, lambda z: 0.5 * z.square().sum(-1), beta=0.5)
    assert float(value - half) == pytest.approx(0.25 * float(moved.square().sum(-1).mean()))


def test_the_density_is_that_of_the_inverted_map(flows):
    w, u, b = stack(flows, 1, 1, 1, 2.0, seed=6)
    pressed = float(flows.constrained_u(u, w)[0, 0, 0])

    def f(x):
        return x + pressed * math.tanh(float(w[0, 0, 0]) * x + float(b[0, 0]))

    for low, high in ((-2.0, -1.0), (0.2, 0.9)):  # p(a < x < b) = Phi(f(b)) - Phi(f(a))
        grid = torch.linspace(low, high, 2001).double()[None, :, None]
        p = torch.exp(-flows.negative_log_density(grid, [w, u, b]))[0].numpy()
        mass = np.trapezoid(p, grid[0, :, 0].numpy())
        assert mass == pytest.approx(stats.norm.cdf(f(high)) - stats.norm.cdf(f(low)), abs=1e-5)


def test_a_folded_map_claims_too_little_and_a_constrained_one_all(flows):
    places = np.linspace(-7, 7, 2801)
    assert np.trapezoid(flows.claimed_density(-0.95, places), places) == pytest.approx(1, abs=0.01)
    assert abs(np.trapezoid(flows.claimed_density(-3.0, places), places) - 1) > 0.1


def test_whitening_gives_the_ledoit_wolf_mahalanobis_distance(flows):
    from sklearn.covariance import LedoitWolf

    rng = np.random.default_rng(7)
    features = torch.from_numpy(rng.normal(size=(40, 4, 6)) @ rng.normal(size=(6, 6)))
    mean, matrix = flows.whitening(features, 100)
    x = flows.whiten(features, mean, matrix).flatten(0, 1)
    expected = LedoitWolf().fit(features.flatten(0, 1).numpy())
    distance = expected.mahalanobis(features.flatten(0, 1).numpy())
    assert x.square().sum(1).numpy() == pytest.approx(distance, rel=1e-3)
    assert flows.whitening(features[:2], 100)[1].shape[1] == 4  # 8 vectors allow 4 directions


def test_pooled_features_are_means_over_parts(flows):
    class Network:
        device = torch.device("cpu")

        def features(self, images):
            return [torch.arange(16.0).view(1, 1, 4, 4), torch.ones(1, 2, 2, 2)]

    parts = flows.pooled(Network(), None, 2)
    assert parts.shape == (1, 4, 3)
    assert parts[0, :, 0].tolist() == [2.5, 4.5, 10.5, 12.5]


def test_training_lowers_both_losses(flows):
    trained = flows.fit_to_energies(4, 120, 0, restarts=1)
    z0 = torch.randn(4, 2000, 2, generator=torch.Generator().manual_seed(8))
    start = flows.start_flow(4, 4, 2, 0.5, torch.Generator().manual_seed(0))
    after, before = (flows.free_energy(z0, f, flows.all_energies).sum() for f in (trained, start))
    assert after < before - 1
    bow = torch.randn(1, 400, 2, generator=torch.Generator().manual_seed(9))
    bow[..., 1] = 0.7 * (bow[..., 0] ** 2 - 1) + 0.2 * bow[..., 1]
    shots = flows.fit_to_features(bow, 8, 120, 0.2, 0)
    assert len(shots) == 6
    gaussian = -flows.log_base(bow).mean()
    assert flows.negative_log_density(bow, shots[-1], 0.2).mean() < gaussian - 0.1


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("repaired_u", "undo_planar", "couple")


def undo_by_brentq(y, w, u, b):
    c = w @ u
    reach = abs(c) + 1
    a = optimize.brentq(lambda a: a + c * np.tanh(a + b) - w @ y, w @ y - reach, w @ y + reach)
    return y - u * np.tanh(a + b)


def undo_with_bracket(reach, use_b=True):
    def answer(y, w, u, b):
        b = b if use_b else 0.0
        low, high = w @ y - reach, w @ y + reach
        for _ in range(200):
            a = (low + high) / 2
            low, high = (a, high) if a + (w @ u) * np.tanh(a + b) < w @ y else (low, a)
        return y - u * np.tanh(low + b)

    return answer


def couple_by_loop(x, net):
    half = x.shape[1] // 2
    y, log_det = x.copy(), np.zeros(len(x))
    s, t = net(x[:, :half])
    for i, j in np.ndindex(s.shape):
        y[i, half + j] = math.exp(s[i, j]) * x[i, half + j] + t[i, j]
        log_det[i] += s[i, j]
    return y, log_det


def couple_wrong(kind):
    def answer(x, net):
        x1, x2 = np.split(x, 2, axis=1)
        s, t = net(x2 if kind == "swapped" else x1)
        first = x1 * np.exp(s) if kind == "both" else x1
        log_det = {"product": np.exp(s).sum(axis=1), "total": s.sum()}.get(kind, s.sum(axis=1))
        return np.concatenate([first, x2 * np.exp(s) + t], axis=1), log_det

    return answer


def m(x):
    return np.log1p(np.exp(x)) - 1


OTHERS = {
    "repaired_u": lambda w, u: u - w * (w @ u - np.logaddexp(0, w @ u) + 1) / np.sum(w**2),
    "undo_planar": undo_by_brentq,
    "couple": couple_by_loop,
}
WRONG = [
    ("repaired_u", lambda w, u: u + (m(w @ u) - w @ u) * w / np.linalg.norm(w), "a long w"),
    ("repaired_u", lambda w, u: u + max(0, -1 - w @ u) * w / (w @ w), "already for |w| = 1"),
    ("repaired_u", lambda w, u: m(w @ u) * w / (w @ w), "only along w"),
    ("undo_planar", lambda y, w, u, b: y - u * np.tanh(w @ y + b), "must give y back"),
    ("undo_planar", undo_with_bracket(60, use_b=False), "with b = 1.5"),
    ("undo_planar", undo_with_bracket(2), "a wide bracket"),
    ("couple", couple_wrong("both"), "x1 must stay"),
    ("couple", couple_wrong("swapped"), "second half"),
    ("couple", couple_wrong("product"), "log|det| of y: expected 1.157"),
    ("couple", couple_wrong("total"), "log|det| of y: expected shape (3,)"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
