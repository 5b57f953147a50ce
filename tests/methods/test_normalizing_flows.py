"""The flows' notebook: its equations hold and are guarded, its exercises tell right from wrong."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests, load
from notebook_loader import definitions
from scipy import integrate, optimize, special, stats
from sklearn.covariance import LedoitWolf

from helpers import backbones

PATH = (
    Path(__file__).resolve().parents[2]
    / "notebooks"
    / "distribution_map"
    / "normalizing_flows.ipynb"
)
CHECKS = ("check_maps", "check_losses", "check_density", "check_model", "check_training")


@pytest.fixture(scope="module")
def flows():
    return definitions(PATH)


def stack(flows, models, layers, dimensions, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [p.double() for p in flows.start_flow(models, layers, dimensions, scale, generator)]


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_pass_on_the_notebook_as_it_is(flows, check):
    for seed in range(3):
        getattr(flows, check)(seed)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("maps", "slope = 1 - torch.cat(heights, dim=2).square()", "slope = torch.cat(heights, 2)"),
        ("maps", "det = 1 + (w * u).sum", "det = 1 - (w * u).sum"),
        ("maps", "    u = constrained_u(u, w)\n", ""),
        ("density", "    u = constrained_u(u, w)\n", ""),
        ("maps", "squared = w.square().sum(dim=-1,", "squared = w.norm(dim=-1,"),
        ("density", ".clamp(min=1e-12)", ""),
        ("density", "det.clamp(min=1e-9).log()", "det.log()"),
        ("maps", "beta = -alpha + F.softplus(beta)", "beta = beta + 0 * alpha"),
        ("maps", "alpha = F.softplus(alpha)", "alpha = alpha.abs()"),
        ("maps", "(z.shape[2] - 1) * stretch.log()", "z.shape[2] * stretch.log()"),
        ("maps", "stretch - beta[:, k, None] * r * h.square()", "stretch"),
        ("losses", "log_base(z0) - log_det + beta", "log_base(z0) + log_det + beta"),
        ("losses", "log_base(z0) - log_det + beta", "log_base(z) - log_det + beta"),
        ("density", "-log_base(z) - log_det + x", "-log_base(z) + log_det + x"),
        ("density", " + x.shape[2] * math.log(scale)", ""),
        ("losses", "scale = math.sqrt(1 + noise**2)", "scale = 1.0"),
        ("model", "scale = math.sqrt(1 + noise**2)", "scale = 1.0"),
        ("model", 'model["flow"], model["noise"])', 'model["flow"], 0.0)'),
        ("model", "(model, features).sum(dim=1)", "(model, features).amax(dim=1)"),
        ("model", "covariance).diagonal().sqrt()", "covariance).diagonal()"),
        ("model", "return ((features - mean) @ matrix)", "return (features @ matrix)"),
        ("model", "len(rows) // 2))", "len(rows)))"),
        ("model", "F.adaptive_avg_pool2d", "F.adaptive_max_pool2d"),
        ("training", "flow, noise).mean()", "flow, noise).mean().neg()"),
        ("training", "        optimiser.step()\n", ""),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step:UserWarning")
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, torch.linalg.LinAlgError)):
        getattr(broken, f"check_{check}")()


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


def test_a_radial_map_keeps_the_order_along_a_ray(flows):
    alpha, beta = torch.tensor([[0.3]]).double(), torch.tensor([[-6.0]]).double()
    ray = torch.linspace(0.01, 5, 400).double()[None, :, None] * torch.tensor([0.6, 0.8]).double()
    moved, log_det = flows.radial_flow(ray, torch.zeros(1, 1, 2).double(), alpha, beta)
    assert (moved.norm(dim=2).diff(dim=1) > 0).all() and log_det.isfinite().all()


def test_an_untrained_map_squeezes_by_about_31_per_cent(flows):
    w, u, _ = stack(flows, 1, 1, 64, 0.1)
    pressed = (w * flows.constrained_u(u, w)).sum()
    assert float(pressed) == pytest.approx(math.log(2) - 1, abs=0.1)


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
        stacked = flows.all_energies(point.expand(8, 3, 2))  # two models for each target
        assert stacked[:, 1].tolist() == pytest.approx(np.repeat(expected, 2), rel=1e-5)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_the_wall_begins_at_4_on_both_sides(flows, number):
    heights = np.array([[4.0, 0.3], [4.6, 0.3], [-4.0, 0.3], [-4.6, 0.3]])
    free = definitions(PATH, replace={"return -band[number] - wall": "return -band[number]"})
    points = torch.from_numpy(heights)
    wall = flows.energy(points, number) - free.energy(points, number)
    assert wall.tolist() == pytest.approx([0, 0.5 * 1.5**2, 0, 0.5 * 1.5**2])
    away = torch.tensor([[0.0, 0.0], [400.0, 0.0], [40000.0, 0.0]])
    assert free.energy(away, 2).abs().max() < 1e-2  # as likely at 40000 as at 0


def test_the_normaliser_is_that_of_adaptive_quadrature(flows):
    def density(y, x):
        return math.exp(-float(flows.energy(torch.tensor([x, y], dtype=torch.float64), 2)))

    total, _ = integrate.dblquad(density, -7, 7, -4, 4, epsabs=1e-4, epsrel=1e-4)
    assert flows.log_normaliser(2) == pytest.approx(math.log(total), abs=1e-3)
    # the band of U2 is a Gaussian of width 0.4 across, of length 8 and the two soft ends along
    exact = math.sqrt(2 * math.pi) * 0.4 * (8 + math.sqrt(2 * math.pi) * 0.4)
    assert flows.log_normaliser(2) == pytest.approx(math.log(exact), abs=1e-4)


def test_divergences_are_free_energies_plus_log_z(flows):
    z0 = torch.randn(1, 20_000, 2, generator=torch.Generator().manual_seed(5)).double()
    no_map = [p[:, :0] for p in stack(flows, 8, 1, 2)]  # every model is N(0, I)
    kl = flows.divergences(no_map, z0)
    assert kl.shape == (4, 2) and (kl > 0).all()
    for number in (1, 2, 3, 4):
        log_q = stats.norm.logpdf(z0[0].numpy()).sum(axis=1)
        brute = (log_q + flows.energy(z0[0], number).numpy()).mean() + flows.log_normaliser(number)
        assert kl[number - 1].tolist() == pytest.approx([brute, brute])


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


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_density_is_that_of_the_inverted_map(flows, noise):
    w, u, b = stack(flows, 1, 1, 1, 2.0, seed=6)
    pressed = float(flows.constrained_u(u, w)[0, 0, 0])

    def f(x):
        x = x / math.sqrt(1 + noise**2)
        return x + pressed * math.tanh(float(w[0, 0, 0]) * x + float(b[0, 0]))

    for low, high in ((-2.0, -1.0), (0.2, 0.9)):  # p(a < x < b) = Phi(f(b)) - Phi(f(a))
        grid = torch.linspace(low, high, 2001).double()[None, :, None]
        p = torch.exp(-flows.negative_log_density(grid, [w, u, b], noise))[0].numpy()
        mass = np.trapezoid(p, grid[0, :, 0].numpy())
        assert mass == pytest.approx(stats.norm.cdf(f(high)) - stats.norm.cdf(f(low)), abs=1e-5)


def test_a_folded_map_claims_too_little_and_a_constrained_one_all(flows):
    places = np.linspace(-7, 7, 2801)
    assert np.trapezoid(flows.claimed_density(-0.95, places), places) == pytest.approx(1, abs=0.01)
    assert np.trapezoid(flows.claimed_density(-3.0, places), places) < 0.2
    np.testing.assert_allclose(
        flows.claimed_density(0.0, places), stats.norm.pdf(places), atol=1e-3
    )


def test_the_interval_over_starts_is_that_of_their_means(flows):
    same = flows.over_starts(torch.tensor([[2.0, 2.0], [5.0, 5.0]]))
    assert (same.value, same.low, same.high) == (3.5, 3.5, 3.5)
    apart = flows.over_starts(torch.tensor([[0.0, 4.0], [1.0, 1.0]]))
    assert (apart.value, apart.low, apart.high) == (1.5, 0.5, 2.5)


# --- the way to an image score --------------------------------------------------------------------


def test_whitening_gives_the_ledoit_wolf_mahalanobis_distance(flows):
    rng = np.random.default_rng(7)
    features = torch.from_numpy(rng.normal(size=(40, 4, 6)) @ rng.normal(size=(6, 6)))
    mean, matrix = flows.whitening(features, 100)
    x = flows.whiten(features, mean, matrix).flatten(0, 1)
    expected = LedoitWolf().fit(features.flatten(0, 1).numpy())
    distance = expected.mahalanobis(features.flatten(0, 1).numpy())
    assert x.square().sum(1).numpy() == pytest.approx(distance, rel=1e-3)
    assert flows.whitening(features[:2], 100)[1].shape[1] == 4  # 8 vectors allow 4 directions


def test_pooled_features_are_means_over_parts(flows):
    levels = [torch.arange(16.0).view(1, 1, 4, 4), torch.ones(1, 2, 2, 2)]
    parts = flows.pool(levels, 2)
    assert parts.shape == (1, 4, 3)
    assert parts[0, :, 0].tolist() == [2.5, 4.5, 10.5, 12.5]


def test_extracting_in_parts_is_the_same_as_at_once(flows):
    images = np.random.default_rng(0).integers(0, 256, (19, 64, 64, 3), dtype=np.uint8)
    network = backbones.load("random:efficientnet_lite0")
    whole = flows.pool(network.features(images), 2)
    assert torch.allclose(flows.extract(network, images, 2), whole, atol=1e-5)


def test_a_model_follows_its_settings_and_its_normal_images(flows):
    x = torch.randn(30, 2, 4, generator=torch.Generator().manual_seed(1)).double()
    setting = {"components": 3, "layers": 2, "steps": 6, "noise": 0.3, "seed": 0}
    model = flows.fit_model(x[:20], **setting)
    again = flows.fit_model(x[:20], **setting)
    assert all(torch.equal(p, q) for p, q in zip(model["flow"], again["flow"], strict=True))
    assert [tuple(p.shape) for p in model["flow"]] == [(1, 2, 3), (1, 2, 3), (1, 2)]
    assert list(model["history"]) == list(range(7))
    for other in ({"steps": 7}, {"layers": 3}, {"noise": 0.1}, {"seed": 1}, {"components": 2}):
        changed = flows.fit_model(x[:20], **setting | other)
        assert not np.allclose(flows.image_scores(model, x), flows.image_scores(changed, x))
    parts = flows.part_scores(model, x)
    assert parts.shape == (30, 2)
    np.testing.assert_allclose(flows.image_scores(model, x), parts.sum(1), rtol=1e-6)


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        (0, [0]),
        (5, [0, 1, 2, 3, 4, 5]),
        (7, [0, 1, 2, 3, 4, 5, 6, 7]),
        (13, [0, 2, 4, 6, 8, 10, 12, 13]),
    ],
)
def test_training_is_adam_with_a_rate_that_falls_like_a_cosine(flows, steps, kept):
    start, seen = [torch.tensor([1.0, -2.0]), torch.tensor([0.5])], []

    def loss(flow, t):
        return (1 + t) * (flow[0].square().sum() + (flow[1] - 3).square().sum())

    history = flows.minimise(lambda flow, t: (seen.append(t), loss(flow, t))[1], start, steps)
    assert seen == list(range(steps)) and list(history) == kept
    slow = [p.clone().requires_grad_() for p in start]
    adam = torch.optim.Adam(slow)
    for t in range(steps):
        adam.param_groups[0]["lr"] = 0.01 * (1 + math.cos(math.pi * t / steps))
        adam.zero_grad()
        loss(slow, t).backward()
        adam.step()
        if t + 1 in kept:
            pairs = zip(history[t + 1], slow, strict=True)
            assert all(torch.allclose(p, q) for p, q in pairs)


def test_each_step_sees_at_most_256_points_with_noise(flows):
    x = torch.randn(150, 2, 3, generator=torch.Generator().manual_seed(2)).double()
    for images in (150, 20):  # 300 and 40 points
        model = flows.fit_model(x[:images], 3, 2, 3, 0.3, 7)
        points = flows.whiten(x[:images], model["mean"], model["matrix"]).flatten(0, 1)
        generator = torch.Generator().manual_seed(7)
        start = flows.start_flow(1, 2, 3, 0.1, generator)
        assert all(torch.equal(p, q) for p, q in zip(start, model["history"][0], strict=True))

        def loss(flow, _, points=points, generator=generator, images=images):
            size = 256 if images == 150 else 40
            picks = torch.randint(len(points), (size,), generator=generator)
            noisy = points[picks] + 0.3 * torch.randn(size, 3, generator=generator)
            return flows.negative_log_density(noisy[None], flow, 0.3).mean()

        end = flows.minimise(loss, start, 3)[3]
        assert all(torch.allclose(p, q) for p, q in zip(end, model["flow"], strict=True))


def test_the_memory_is_estimated_above_what_is_held(flows):
    needed = flows.bytes_needed(images=500, parts=4, channels=152, size=256)
    assert needed > 500 * 4 * 152 * 8 + 500 * 32**2 * 8
    assert flows.bytes_needed(2000, 4, 152, 256) < 2e9


def test_training_lowers_the_free_energy_with_and_without_annealing(flows):
    z0 = torch.randn(1, 2000, 2, generator=torch.Generator().manual_seed(8)).expand(32, -1, -1)
    start = flows.start_flow(32, 4, 2, 0.5, torch.Generator().manual_seed(0))
    before = flows.free_energy(z0, start, flows.all_energies).mean()
    ends = [flows.fit_to_energies(4, 60, 0, annealing=a) for a in (0.5, 0)]
    for end in ends:
        assert flows.free_energy(z0, end, flows.all_energies).mean() < before - 1
    assert not torch.allclose(ends[0][0], ends[1][0])


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("repaired_u", "both_kl", "undo_flow")


def m(x):
    return np.log1p(np.exp(x)) - 1


def undo_by_brentq(y, w, u, b):
    for w_k, u_k, b_k in list(zip(w, u, b, strict=True))[::-1]:
        c, aim = w_k @ u_k, w_k @ y
        reach = abs(c) + 1

        def missed(a, c=c, b_k=b_k, aim=aim):
            return a + c * np.tanh(a + b_k) - aim

        a = optimize.brentq(missed, aim - reach, aim + reach)
        y = y - u_k * np.tanh(a + b_k)
    return y


def undo(*, reach=None, around_0=False, use_b=True, halvings=200, forward=False, first=False):
    def answer(y, w, u, b):
        order = range(len(w)) if forward or first else reversed(range(len(w)))
        for k in [0] if first else order:
            aim, c = w[k] @ y, w[k] @ u[k]
            offset = b[k] if use_b else 0.0
            middle, half = 0.0 if around_0 else aim, reach or abs(c)
            low, high = middle - half, middle + half
            for _ in range(halvings):
                a = (low + high) / 2
                low, high = (a, high) if a + c * np.tanh(a + offset) < aim else (low, a)
            y = y - u[k] * np.tanh(low + offset)
        return y

    return answer


def one_step_back(y, w, u, b):
    for k in reversed(range(len(w))):
        y = y - u[k] * np.tanh(w[k] @ y + b[k])
    return y


def kl(a, b, log=np.log):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(a > 0, a * log(a / b), 0).sum()


def kl_over_both(a, b):  # a lost piece is left out of both sums
    both = (a > 0) & (b > 0)
    return np.sum(a[both] * np.log(a[both] / b[both]))


def kl_with_epsilon(a, b):
    return np.sum(a * np.log((a + 1e-9) / (b + 1e-9)))


OTHERS = {
    "repaired_u": lambda u, w: u - w * (w @ u - np.logaddexp(0, w @ u) + 1) / np.sum(w**2),
    "both_kl": lambda q, p: (special.rel_entr(q, p).sum(), special.rel_entr(p, q).sum()),
    "undo_flow": undo_by_brentq,
}
WRONG = [
    ("repaired_u", lambda u, w: u + (m(w @ u) - w @ u) * w / np.linalg.norm(w), "a long w"),
    ("repaired_u", lambda u, w: u + max(0, -1 - w @ u) * w / (w @ w), "already for |w| = 1"),
    ("repaired_u", lambda u, w: m(w @ u) * w / (w @ w), "only along w"),
    ("repaired_u", lambda u, w: u + (m(w @ u) - w @ u) * w / (w @ w) ** 2, "a long w: w.u_hat"),
    ("both_kl", lambda q, p: (kl(p, q), kl(q, p)), "swapped"),
    ("both_kl", lambda q, p: (kl(q, p), kl(q, p)), "result 2 of 2: expected 0.143841"),
    ("both_kl", lambda q, p: (kl(q, p, np.log2), kl(p, q, np.log2)), "expected 0.130812"),
    (
        "both_kl",
        lambda q, p: (kl_over_both(q, p), kl_over_both(p, q)),
        "p = (1/2, 1/2): result 2 of 2",
    ),
    ("both_kl", lambda q, p: (kl_with_epsilon(q, p), kl_with_epsilon(p, q)), "expected inf"),
    ("undo_flow", one_step_back, "one gentle map"),
    ("undo_flow", undo(use_b=False), "b = 1.5"),
    ("undo_flow", undo(reach=25), "w.u = 210"),
    ("undo_flow", undo(around_0=True, reach=25), "w.z = 29"),
    ("undo_flow", undo(forward=True), "two maps"),
    ("undo_flow", undo(halvings=12), "close, but not within"),
]
EQUIVALENT_DEFINITIONS = {
    "near": "of the four targets, tested against Table 1 above",
    "energy": "the four targets, tested against Table 1 above",
    "all_energies": "of the four targets, tested above",
    "log_normaliser": "of the four targets, tested against quadrature above",
    "divergences": "of the four targets, tested above",
    "fit_to_energies": "trains the demonstration; tested above to lower the free energy",
    "claimed_density": "draws the folded map; tested above",
    "over_starts": "an interval of the experiments, tested above",
    "extract": "needs a network; tested above to give in parts what it gives at once",
    "bytes_needed": "an estimate, from above",
    "minimise": "held by test_training_is_adam_with_a_rate_that_falls_like_a_cosine",
    "fit_model": "held by test_each_step_sees_at_most_256_points_with_noise",
    "whitening": {
        "d = max({1 → 0}, min(components, rows.shape[1], len(rows) // 2))": "two rows give one",
        "d = max(1, min(components, rows.shape[{1 → 0}], "
        "len(rows) // 2))": "there are no more directions to take",
        "V = torch.linalg.svd(rows - {mean, full_matrices=False → mean}).Vh[:d].T": "only slower",
        "V = torch.linalg.svd(rows - mean, {full_matrices=False → "
        "full_matrices=True}).Vh[:d].T": "only slower",
        "covariance = LedoitWolf().fit(((rows {- → +} mean) @ "
        "V).numpy()).covariance_": "scikit-learn subtracts the mean itself",
        "covariance = LedoitWolf().fit(({(rows - mean) → rows} @ "
        "V).numpy()).covariance_": "scikit-learn subtracts the mean itself",
        "return (mean, {V / torch.from_numpy(covariance).diagonal().sqrt() → "
        "-(V / torch.from_numpy(covariance).diagonal().sqrt())})": "a direction has no sign",
    },
    "whiten": {"return { → -}((features - mean) @ matrix).float()": "a direction has no sign"},
    "part_scores": {
        "rows = x.flatten(0, 1)[None].to(model['flow'][{0 → 1}].device)": "all on one device",
        "rows = x.flatten(0, 1)[None].to(model['flow'][{0 → -1}].device)": "all on one device",
    },
}
EQUIVALENT = {
    "both_kl": {
        "dropped: if np.any(b[there] == 0):": "NumPy's division by 0 gives infinity as well",
        "if {np.any → np.all}(b[there] == 0):": "NumPy's division by 0 gives infinity as well",
        "if np.any(b[there] == {0 → -1}):": "NumPy's division by 0 gives infinity as well",
    },
    "undo_flow": {
        "for _ in {range(100) → list(range(100))[1:]}:": "99 halvings are enough",
        "for _ in range({100 → 101}):": "101 halvings change nothing",
        "for _ in range({100 → 99}):": "99 halvings are enough",
        "if a + c * np.tanh(a + b[k]) {< → <=} aim:": "the middle never hits exactly",
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG


@pytest.mark.parametrize(
    "answer",
    [undo(reach=2), undo(first=True), lambda y, w, u, b: np.array([0.9, -0.4, 0.2])],
    ids=["a narrow bracket", "one map only", "the value of one case"],
)
def test_more_wrong_inversions_are_wrong(answer):
    assert load(PATH).verdict("undo_flow", answer).startswith("[!]")
