"""CFLOW-AD's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.stats import multivariate_normal

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "distribution_map" / "cflow.ipynb"


@pytest.fixture(scope="module")
def cflow():
    return definitions(PATH)


# --- the equations ------------------------------------------------------------------------------


def test_the_checks_pass_on_the_notebook_as_it_is(cflow):
    for seed in range(5):
        cflow.check_fidelity(seed)
        cflow.check_experiments(seed)
    cflow.check_slid()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("stretch.sum(dim=-1) + gain.log().sum()", "gain.log().sum()", "density"),
        ("stretch.sum(dim=-1) + gain.log().sum()", "stretch.sum(dim=-1)", "density"),
        ("joined = (z @ block.rotation - block.beta) / gain", "joined = z @ block.rotation / gain",
         "inverse"),
        ("(b - shift) * (-stretch).exp()", "b * (-stretch).exp() - shift", "inverse"),
        ("F.linear(a, on_a) + from_c", "F.linear(a, on_a)", "density"),
        ("ALPHA * torch.tanh(sigma)", "ALPHA * sigma", "density"),
        ("ALPHA = 1.9", "ALPHA = 1.8", "density"),
        ("b * stretch.exp() + shift", "b * stretch.exp() - shift", "density"),
        ("(0.1 * self.second(hidden))", "self.second(hidden)", "density"),
        ("0.1 * F.softplus(self.gamma, beta=0.5)", "0.1 * F.softplus(self.gamma)", "density"),
        ("-channels / 2 * np.log(2 * np.pi)", "0.0", "density"),
        ("- z.square().sum(dim=-1) / 2\n", "- z.square().sum(dim=-1)\n", "density"),
        ("10000 ** (-4 * torch.arange", "10000 ** (-2 * torch.arange", "encoding"),
        ("[across, down]", "[down, across]", "encoding"),
        ("-F.logsigmoid(log_p).mean()", "-log_p.mean()", "log sigmoid"),
        ("max(0.001, fall)", "fall", "warm-up or cosine"),
        ("(log_p - maximum).exp()", "(log_p - maximum)", "map"),
        ("(log_p - maximum).exp()", "(log_p - log_p.max()).exp()", "map"),
        ("density([x[:32] for x in normal])", "density(normal)", "map"),
        ("align_corners=True", "align_corners=False", "map"),
        ('mode="bilinear", align_corners=True', 'mode="nearest"', "map"),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))", "score"),
    ],
)  # fmt: skip
def test_a_broken_equation_does_not_pass_the_check(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError, match=message):
        broken.check_fidelity()


def test_maxima_of_the_test_images_do_not_pass_the_check():
    """What the official code does, and what a test once let pass."""
    old = "return lambda densities: anomaly_maps(densities, maxima, grids, size)"
    new = (
        "return lambda densities: anomaly_maps(\n"
        "        densities, level_maxima(densities), grids, size)"
    )
    with pytest.raises(AssertionError, match="map"):
        definitions(PATH, replace={old: new}).check_fidelity()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/ (len(x) - 1)", "/ len(x)"),
        ("add_(ridge)", "add_(0.01)"),
        ("-z.square().sum(dim=1).T / 2 - half",
         "-z.square().sum(dim=1).T / 2"),
        ("image_scores(maps - maps.min())", "image_scores(maps)"),
        ("anomaly_maps(part, level_maxima(part), grids, size)",
         "anomaly_maps(part, level_maxima(densities), grids, size)"),
    ],
)  # fmt: skip
def test_another_experiment_does_not_pass_its_check(old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        for seed in range(5):
            broken.check_experiments(seed)


def test_the_log_determinant_equals_finite_differences(cflow):
    flow = cflow.shaken(6, 3, seed=11)
    c = cflow.positional_encoding(12, 3, 3).double()[5]
    x = torch.randn(6, dtype=torch.float64)
    with torch.no_grad():
        columns = [
            (flow(x + e, c)[0] - flow(x - e, c)[0]) / 2e-5
            for e in 1e-5 * torch.eye(6, dtype=torch.float64)
        ]
        numeric = np.linalg.slogdet(torch.stack(columns, dim=1).numpy())[1]
        assert float(flow(x, c)[1]) == pytest.approx(numeric, abs=1e-6)


def test_an_untrained_flow_of_silent_networks_is_the_standard_normal_density(cflow):
    flow = cflow.new_flows([5], 8, 4, seed=2)[0].double()
    for block in flow.blocks:
        block.network.second.weight.data.zero_()
        block.network.second.bias.data.zero_()
    x = torch.randn(7, 5, dtype=torch.float64)
    with torch.no_grad():
        got = cflow.log_density(flow, x, torch.zeros(8, dtype=torch.float64)).numpy()
    expected = multivariate_normal(np.zeros(5)).logpdf(x.numpy()) / 5
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_inverse_is_exact_for_an_odd_number_of_channels_in_single_precision(cflow):
    (flow,) = cflow.new_flows([41], 16, 4, seed=0)
    c = cflow.positional_encoding(16, 4, 4)
    x = 3 * torch.randn(16, 41)
    with torch.no_grad():
        z, _ = flow(x, c)
        assert torch.allclose(cflow.inverse(flow, z, c), x, atol=1e-4)
    q = flow.blocks[0].rotation
    assert torch.allclose(q @ q.T, torch.eye(41), atol=1e-5)
    assert float(torch.linalg.det(q)) == pytest.approx(1, abs=1e-4)
    assert not torch.allclose(q, flow.blocks[1].rotation, atol=0.1)


def test_two_positions_have_two_densities_of_mass_one(cflow):
    flow, c = cflow.shaken(2, 3, seed=4), cflow.positional_encoding(12, 4, 4).double()
    axis = torch.linspace(-40, 40, 801, dtype=torch.float64)
    plane = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        first, second = ((2 * cflow.log_density(flow, plane, c[i])).exp() for i in (0, 10))
    assert float(first.sum()) * 0.01 == pytest.approx(1, abs=0.01)
    assert float(second.sum()) * 0.01 == pytest.approx(1, abs=0.01)
    assert float((first - second).abs().sum()) * 0.01 > 0.01


def test_the_encoding_is_the_formula_written_out(cflow):
    size, height, width = 12, 3, 5
    found = cflow.positional_encoding(size, height, width).reshape(height, width, size)
    for h, w, k in np.ndindex(height, width, size // 4):
        omega = 10000 ** (-4 * k / size)
        wanted = [math.sin(w * omega), math.cos(w * omega)]
        wanted += [math.sin(h * omega), math.cos(h * omega)]
        at = [2 * k, 2 * k + 1, size // 2 + 2 * k, size // 2 + 2 * k + 1]
        np.testing.assert_allclose(found[h, w, at], wanted, atol=1e-5)
    with pytest.raises(ValueError, match="multiple of 4, found 6"):
        cflow.positional_encoding(6, 2, 2)


def test_an_encoding_may_serve_many_images_at_once(cflow):
    (flow,) = cflow.new_flows([10], 8, 2, seed=1)
    c = cflow.positional_encoding(8, 2, 3)
    x = torch.randn(4, 6, 10)
    with torch.no_grad():
        together = cflow.log_density(flow, x, c)
        apart = torch.stack([cflow.log_density(flow, image, c) for image in x])
    assert torch.allclose(together, apart, atol=1e-5)


def test_training_raises_the_density_of_what_it_sees_and_starts_from_the_seed(cflow):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 6, 4, generator=generator) * 0.2 + torch.arange(6)[:, None]
    c = cflow.positional_encoding(8, 2, 3)
    settings = {"steps": 80, "fibres": 32, "rate": 1e-2, "seed": 3}
    ends = []
    for _ in range(2):
        flows = cflow.new_flows([4, 4], 8, 2, seed=5)
        history = cflow.train_flows(flows, [x, 9 * x], [c, c], **settings)
        assert history.shape == (80, 2)
        assert history[0, 1] > 5 * history[0, 0], "in the order of the levels"
        assert (history[-10:].mean(axis=0) < history[:10].mean(axis=0) - 0.3).all()
        ends.append(cflow.log_densities(flows, [c, c], [x, 9 * x]))
    assert all(torch.equal(*pair) for pair in zip(*ends, strict=True))


def test_every_number_of_a_short_training_counts(cflow):
    x, c = torch.randn(12, 6, 4), cflow.positional_encoding(8, 2, 3)

    def last(**other):
        settings = {"steps": 5, "fibres": 32, "rate": 1e-2, "seed": 3} | other
        flows = cflow.new_flows([4], 8, 2, seed=5)
        return cflow.train_flows(flows, [x], [c], **settings)[-1, 0]

    values = [last(), last(fibres=64), last(rate=2e-2), last(seed=4), last(steps=6)]
    assert len(set(values)) == 5


def test_a_vector_is_standardised_by_the_normal_ones_and_lies_at_its_position(cflow):
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(5, 3, 2, 4, generator=generator), torch.randn(5, 2, 1, 3)]
    network = SimpleNamespace(features=lambda images: maps, device="cpu")
    samples = cflow.vectors(network, None)
    assert [tuple(x.shape) for x in samples] == [(5, 8, 3), (5, 3, 2)]
    assert torch.equal(samples[0][4, 4 * 1 + 3], maps[0][4, :, 1, 3])
    done = cflow.standardise(samples, cflow.statistics([x[:4] for x in samples]))
    for got, x in zip(done, [x.numpy() for x in samples], strict=True):
        normal = x[:4]
        wanted = (x - normal.mean((0, 1))) / normal.std((0, 1), ddof=1)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_still_channel_does_not_divide_by_zero(cflow):
    normal = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    normal[..., 2] = 7.0
    (done,) = cflow.standardise([normal], cflow.statistics([normal]))
    assert torch.isfinite(done).all()
    assert torch.allclose(done[..., 0].std(), torch.tensor(1.0), atol=1e-5)
    assert done[..., 2].abs().max() < 1e-3
    least = 0.01 * normal.std(dim=(0, 1)).mean()
    (above,) = cflow.standardise([normal + least], cflow.statistics([normal]))
    assert torch.allclose(above[..., 2], torch.ones(5, 4), atol=1e-3)


def test_maxima_of_a_batch_make_a_score_depend_on_its_company(cflow):
    generator = torch.Generator().manual_seed(8)
    densities = [torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)]
    grids = [(2, 2), (2, 2)]
    alone = cflow.scores_in_company(densities, grids, 8, 1, 0)
    together = cflow.scores_in_company(densities, grids, 8, 6, 0)
    assert not np.allclose(alone, together)
    maps_of = cflow.cflow(lambda x: x, densities, grids, 8)
    every = cflow.image_scores(maps_of(densities))
    one = cflow.image_scores(maps_of([d[3:4] for d in densities]))
    assert one[0] == pytest.approx(every[3], abs=1e-6)
    lift = together - every  # the official rule and the fixed one differ by a constant
    np.testing.assert_allclose(lift, lift[0], atol=1e-5)


def test_gaussians_are_those_of_scipy(cflow):
    generator = torch.Generator().manual_seed(9)
    normal = torch.randn(30, 4, 3, generator=generator)
    normal[..., 1] += 0.5 * normal[..., 0]
    samples = torch.randn(5, 4, 3, generator=generator)
    (found,) = cflow.gaussian_densities([cflow.fit_gaussians(normal)], [samples])
    for p in range(4):
        covariance = np.cov(normal[:, p].numpy().T) + 0.01 * np.eye(3)
        law = multivariate_normal(normal[:, p].mean(dim=0).numpy(), covariance)
        np.testing.assert_allclose(found[:, p], law.logpdf(samples[:, p]) / 3, atol=1e-4)


def test_the_mean_density_weighs_levels_of_unequal_size_alike(cflow):
    coarse, fine = torch.tensor([[1.0, 3.0]]), torch.tensor([[6.0, 0.0, 3.0, 7.0]])
    assert cflow.mean_density([coarse, fine]) == pytest.approx(3.0)


def test_the_memory_needed_grows_with_the_images_and_is_bounded_for_the_gaussians(cflow):
    few = cflow.bytes_needed(10, 10, (1024, 256), (40, 112), 256)
    many = cflow.bytes_needed(10, 20, (1024, 256), (40, 112), 256)
    assert many - few > 10 * 4 * (1024 * 40 + 256 * 112 + 256**2)
    wide = cflow.bytes_needed(1, 1, (4096, 1024), (512, 1024), 512)
    assert wide < 12 * cflow.LARGEST + 4 * 10 * (4096 * 512 + 1024 * 1024) + 60 * 512**2


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("coupling", "third_image", "slip_probabilities")


def coupled(y=lambda b, s, t: b * np.exp(s) + t, stretch=lambda s, a: a * np.tanh(s),
            total=lambda s: s.sum(axis=1), swap=False):  # fmt: skip
    """A coupling, right with the defaults."""

    def answer(v, sigma, tau, alpha):
        a, b = np.split(v, 2, axis=1)
        if swap:
            a, b = b, a
        s = stretch(sigma(np.clip(a, -0.9, 0.9)), alpha) if swap else stretch(sigma(a), alpha)
        parts = [y(b, s, tau(a)), a] if swap else [a, y(b, s, tau(a))]
        return np.hstack(parts), total(s)

    return answer


def slips(times=lambda p, c: c * p, over=lambda p: p.sum(axis=1), stable=True):
    """The probabilities of the slips, right with the defaults."""

    def answer(log_p, channels):
        total = over(times(log_p, channels))
        weights = np.exp(total - total.max() if stable else total)
        with np.errstate(invalid="ignore"):  # 0 / 0
            return weights / weights.sum()

    return answer


OTHERS = {
    "coupling": lambda *given: [part.tolist() for part in coupled()(*given)],
    "third_image": lambda a, b: [b[0] + abs(a[0] - b[0]) + 60, min(a[1], b[1]) - 5],
    "slip_probabilities": slips(over=lambda p: np.einsum("si->s", p)),
}
WRONG = [
    ("coupling", coupled(y=lambda b, s, t: b * np.exp(s)), "b', sigma 0"),
    ("coupling", coupled(y=lambda b, s, t: b * np.exp(s) - t), "b', sigma 0: expected -2"),
    ("coupling", coupled(y=lambda b, s, t: (b + t) * np.exp(s)), "b', alpha 2: stretch"),
    ("coupling", coupled(y=lambda b, s, t: b * np.exp(-s) + t), "b', alpha 2: stretch"),
    ("coupling", coupled(stretch=lambda s, a: a * s), "b', alpha 2: stretch"),
    ("coupling", coupled(stretch=lambda s, a: np.tanh(a * s)), "b', alpha 2: stretch"),
    ("coupling", coupled(stretch=lambda s, a: 1.9 * np.tanh(s)), "b', alpha 2: stretch"),
    ("coupling", coupled(stretch=lambda s, a: 2 * np.tanh(s)), "alpha 1"),
    ("coupling", coupled(swap=True), "a, the first half"),
    ("coupling", coupled(total=lambda s: -s.sum(axis=1)), "log-dets, alpha 2"),
    ("coupling", coupled(total=lambda s: s.sum()), "(N, C), then (N,)"),
    ("coupling", coupled(total=lambda s: abs(s.sum(axis=1))), "log-dets, alpha 2"),
    ("coupling", lambda *v: coupled()(*v)[::-1], "(N, C), then (N,): expected 2, got 1"),
    ("coupling", coupled(total=lambda s: s.mean(axis=1)), "log-dets, alpha 2"),
    ("coupling", coupled(total=lambda s: np.exp(s).sum(axis=1)), "log-dets, alpha 2"),
    ("coupling", lambda *v: coupled()(*v)[0], "(N, C), then (N,): expected shape (2,)"),
    ("third_image", lambda a, b: b - 9, "A = (0.0, -1.5) scores 0.3935, B 0.8647"),
    ("third_image", lambda a, b: [a[0] - 1, b[1] + 20], "A = (0.0, -1.5) scores 1.0000"),
    ("third_image", lambda a, b: np.maximum(a, b) + 20, "A = (0.0, -1.5) scores 2.0000"),
    ("third_image", lambda a, b: [a[0] + 1, a[1]], "A = (-3.0, 0.49) scores"),
    ("third_image", lambda a, b: [1000, -1000], "A = (4000.0, 3000.0)"),
    ("third_image", lambda a, b: [np.inf, a[1]], "got inf"),
    ("third_image", lambda a, b: a[0] + 20, "expected shape (2,)"),
    ("third_image", lambda a, b: [*b, 0], "expected shape (2,), got (3,)"),
    ("slip_probabilities", slips(times=lambda p, c: p), "C = 2"),
    ("slip_probabilities", slips(times=lambda p, c: 2 * p), "C = 1"),
    ("slip_probabilities", slips(times=lambda p, c: p / c), "C = 2"),
    ("slip_probabilities", slips(times=lambda p, c: -c * p), "C = 1"),
    ("slip_probabilities", slips(over=lambda p: p.mean(axis=1)), "C = 1"),
    ("slip_probabilities", slips(over=lambda p: p.max(axis=1)), "C = 1"),
    ("slip_probabilities", slips(over=lambda p: p.sum(axis=0)), "expected shape (3,)"),
    ("slip_probabilities", slips(stable=False), "sums below -1,000"),
    ("slip_probabilities", lambda p, c: np.exp(c * p.sum(axis=1)), "C = 1"),
    ("slip_probabilities", lambda p, c: c * p.sum(axis=1), "below 0"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG


EQUIVALENT = {
    "third_image": {
        "parameter of third_image ignored: b = 1": "a right answer need not look at B",
        "parameter of third_image ignored: b = 2": "a right answer need not look at B",
        "return {np.array([a[0] + 20, a[1]]) → [a[0] + 20, a[1]]}": "a list is accepted as well",
        "return np.array([a[0] + {20 → 21}, a[1]])": "any value far above a[0] is right",
        "return np.array([a[0] + {20 → 19}, a[1]])": "any value far above a[0] is right",
    },
}
EQUIVALENT_DEFINITIONS = {
    "CouplingBlock": {
        "draw = {np.random.default_rng(int(torch.randint(2 ** 31, ()))) → "
        "int(torch.randint(2 ** 31, ()))}": "a number seeds the turn as well",
        "draw = np.random.default_rng(int(torch.randint(2 {** → *} 31, ())))": "any range",
        "draw = np.random.default_rng(int(torch.randint({2 → 3} ** 31, ())))": "any range",
        "draw = np.random.default_rng(int(torch.randint(2 ** {31 → 32}, ())))": "any range",
        "draw = np.random.default_rng(int(torch.randint(2 ** {31 → 30}, ())))": "any range",
    },
    "log_densities": {
        "parts = [log_density(flow, part, c).cpu() for part in x.split({4 → 5})]": "a batch's size",
        "parts = [log_density(flow, part, c).cpu() for part in x.split({4 → 3})]": "a batch's size",
    },
    "anomaly_maps": {
        "maps = torch.full((len(densities[{0 → 1}]), 1, size, size), len(densities) + 0.0)": (
            "all levels have the same images"
        ),
        "maps = torch.full((len(densities[{0 → -1}]), 1, size, size), len(densities) + 0.0)": (
            "all levels have the same images"
        ),
        "maps = torch.full((len(densities[0]), 1, size, size), len(densities) {+ → -} 0.0)": (
            "a float either way"
        ),
    },
    "scores_in_company": {
        "order = np.random.default_rng(seed).permutation(len(densities[{0 → 1}]))": (
            "all levels have the same images"
        ),
        "order = np.random.default_rng(seed).permutation(len(densities[{0 → -1}]))": (
            "all levels have the same images"
        ),
        "found = np.empty(len(order){, dtype=np.float32 → })": "float64 holds the same scores",
    },
    "slid": {
        "plane = x.unflatten(1, {tuple(grid) → grid}).roll((step, step), dims=(1, 2))": (
            "a grid is a tuple here"
        ),
    },
    "vectors": "compared with the feature maps in this file; it needs a network",
    "statistics": "compared with NumPy in this file",
    "standardise": "compared with NumPy in this file",
    "train_flows": "its loss, draw and learning rate are checked; the rest is trained in this file",
    "bytes_needed": "an upper estimate, no equation; its growth is tested in this file",
    "mean_density": "tested in this file; two rows of one table",
    "gaussian_scores": "puts checked functions together",
}
