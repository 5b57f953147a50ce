"""CFLOW-AD's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

import math
from pathlib import Path

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


def test_the_checks_pass_on_the_notebook_as_it_is(cflow, capsys):
    for seed in range(3):
        cflow.check_fidelity(seed)
    assert "image score hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "stretch.sum(dim=-1) + gain.log().sum()",
            "0 * stretch.sum(dim=-1) + gain.log().sum()",
            "log-determinant",
        ),
        ("stretch.sum(dim=-1) + gain.log().sum()", "stretch.sum(dim=-1)", "log-determinant"),
        ("(z @ block.rotation - block.beta)", "(z @ block.rotation)", "inverse"),
        ("(b - shift) * (-stretch).exp()", "b * (-stretch).exp() - shift", "inverse"),
        ("F.linear(condition, weight[:, self.kept :], self.first.bias)", "0", "condition"),
        ("CLAMP * torch.tanh(stretch)", "CLAMP * stretch", "limited"),
        ("-0.5 * math.log(2 * math.pi) * x.shape[-1]", "0.0", "integrates"),
        ("- 0.5 * z.square().sum(dim=-1)", "- z.square().sum(dim=-1)", "integrates"),
        ("1e4 ** (-4 * torch.arange", "1e4 ** (-2 * torch.arange", "code"),
        ("-F.logsigmoid(log_p).mean()", "-log_p.mean()", "log sigmoid"),
        ("torch.exp(log_p.double() - peak)", "(log_p.double() - peak)", "sum of likelihoods"),
        ("align_corners=True", "align_corners=False", "sum of likelihoods"),
        (
            "torch.exp(log_p.double() - peak)",
            "torch.exp(log_p.double() - log_p.max())",
            "depends on the other images",
        ),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))", "maximum"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError, match=message):
        broken.check_fidelity()


def test_the_log_determinant_equals_finite_differences(cflow):
    flow = cflow.shaken(6, seed=11)
    code = cflow.positional_code(8, 3, 3).double()[5]
    x = torch.randn(6, dtype=torch.float64)
    with torch.no_grad():
        columns = [
            (flow(x + e, code)[0] - flow(x - e, code)[0]) / 2e-5
            for e in 1e-5 * torch.eye(6, dtype=torch.float64)
        ]
        numeric = np.linalg.slogdet(torch.stack(columns, dim=1).numpy())[1]
        assert float(flow(x, code)[1]) == pytest.approx(numeric, abs=1e-6)


def test_an_untrained_flow_of_silent_networks_is_the_standard_normal_density(cflow):
    flow = cflow.new_flows([5], 8, 4, seed=2)[0].double()
    for block in flow.blocks:
        block.second.weight.data.zero_()
        block.second.bias.data.zero_()
    x = torch.randn(7, 5, dtype=torch.float64)
    with torch.no_grad():
        got = cflow.log_density(flow, x, torch.zeros(8, dtype=torch.float64)).numpy()
    expected = multivariate_normal(np.zeros(5)).logpdf(x.numpy()) / 5
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_inverse_is_exact_for_an_odd_number_of_channels_in_single_precision(cflow):
    (flow,) = cflow.new_flows([41], 16, 4, seed=0)
    codes = cflow.positional_code(16, 4, 4)
    x = 3 * torch.randn(16, 41)
    with torch.no_grad():
        z, _ = flow(x, codes)
        assert torch.allclose(cflow.inverse(flow, z, codes), x, atol=1e-4)
    q = flow.blocks[0].rotation
    assert torch.allclose(q @ q.T, torch.eye(41), atol=1e-5)
    assert float(torch.linalg.det(q)) == pytest.approx(1, abs=1e-4)


def test_two_places_have_two_densities_of_mass_one(cflow):
    flow, codes = cflow.shaken(2, seed=4), cflow.positional_code(8, 4, 4).double()
    axis = torch.linspace(-30, 30, 601, dtype=torch.float64)
    plane = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        first, second = ((2 * cflow.log_density(flow, plane, codes[i])).exp() for i in (0, 10))
    assert float(first.sum()) * 0.01 == pytest.approx(1, abs=0.01)
    assert float(second.sum()) * 0.01 == pytest.approx(1, abs=0.01)
    assert float((first - second).abs().sum()) * 0.01 > 0.01


def test_the_code_is_the_formula_written_out(cflow):
    size, height, width = 12, 3, 5
    codes = cflow.positional_code(size, height, width).reshape(height, width, size)
    for h in range(height):
        for w in range(width):
            for k in range(size // 4):
                omega = 10000 ** (-4 * k / size)
                wanted = [math.sin(w * omega), math.cos(w * omega)]
                wanted += [math.sin(h * omega), math.cos(h * omega)]
                places = [2 * k, 2 * k + 1, size // 2 + 2 * k, size // 2 + 2 * k + 1]
                np.testing.assert_allclose(codes[h, w, places], wanted, atol=1e-5)
    with pytest.raises(ValueError, match="multiple of 4, found 6"):
        cflow.positional_code(6, 2, 2)


def test_a_condition_may_serve_many_images_at_once(cflow):
    (flow,) = cflow.new_flows([10], 8, 2, seed=1)
    codes = cflow.positional_code(8, 2, 3)
    x = torch.randn(4, 6, 10)
    with torch.no_grad():
        together = cflow.log_density(flow, x, codes)
        apart = torch.stack([cflow.log_density(flow, image, codes) for image in x])
    assert torch.allclose(together, apart, atol=1e-5)


def test_training_raises_the_density_of_what_it_sees_and_starts_from_the_seed(cflow):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 6, 4, generator=generator) * 0.2 + torch.arange(6)[:, None]
    codes = [cflow.positional_code(8, 2, 3)]
    settings = {"epochs": 2, "steps": 40, "fibres": 32, "learning_rate": 1e-2, "seed": 3}
    ends, seen = [], []
    for _ in range(2):
        flows = cflow.new_flows([4], 8, 2, seed=5)
        history = cflow.train_flows(flows, [x], codes, watch=lambda: seen.append(1), **settings)
        assert history.shape == (80, 1)
        assert history[-10:].mean() < history[:10].mean() - 0.3
        ends.append(cflow.log_densities(flows, [x], codes)[0])
    assert len(seen) == 4
    assert torch.equal(*ends)


def test_maxima_of_a_batch_make_a_score_depend_on_its_company(cflow):
    generator = torch.Generator().manual_seed(8)
    densities = [torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)]
    grids = [(2, 2), (2, 2)]
    alone = cflow.scores_by_batch(densities, grids, 8, 1)
    together = cflow.scores_by_batch(densities, grids, 8, 6)
    assert not np.allclose(alone, together)
    peaks = cflow.level_peaks(densities)
    every = cflow.image_scores(cflow.anomaly_maps(densities, peaks, grids, 8))
    one = cflow.image_scores(cflow.anomaly_maps([d[3:4] for d in densities], peaks, grids, 8))
    assert one[0] == pytest.approx(every[3], abs=1e-6)
    lift = together - every  # the official rule and the fixed one differ by a constant
    np.testing.assert_allclose(lift, lift[0], atol=1e-5)


def test_gaussians_are_those_of_scipy(cflow):
    generator = torch.Generator().manual_seed(9)
    normal = torch.randn(30, 4, 3, generator=generator)
    normal[..., 1] += 0.5 * normal[..., 0]
    samples = torch.randn(5, 4, 3, generator=generator)
    by_place = cflow.gaussian_by_place(normal, samples)
    for p in range(4):
        covariance = np.cov(normal[:, p].numpy().T, bias=True) + 0.01 * np.eye(3)
        law = multivariate_normal(normal[:, p].mean(dim=0).numpy(), covariance)
        np.testing.assert_allclose(by_place[:, p], law.logpdf(samples[:, p]) / 3, atol=1e-4)
    pooled = normal.flatten(0, 1).double().numpy()
    fitted = cflow.LedoitWolf().fit(pooled)
    law = multivariate_normal(fitted.location_, fitted.covariance_)
    got = cflow.gaussian(normal, samples)
    np.testing.assert_allclose(got, law.logpdf(samples.double().numpy()) / 3, atol=1e-8)


def test_a_dead_channel_does_not_divide_by_zero(cflow):
    normal = torch.randn(5, 4, 3)
    normal[..., 2] = 7.0
    (done,) = cflow.standardise([normal], [normal])
    assert torch.isfinite(done).all()
    assert torch.allclose(done[..., 0].std(), torch.tensor(1.0), atol=1e-5)
    assert done[..., 2].abs().max() < 1e-3


def test_an_image_is_moved_by_a_sixteenth(cflow):
    images = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(1, 32, 32, 3)
    got = cflow.moved(images)
    assert got.shape == images.shape
    np.testing.assert_array_equal(got[:, 2:, 2:], images[:, :-2, :-2])


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("joint_score", "coupling")


def joint_by_loop(log_p):
    return np.array([-sum(log_p[j, p] for j in range(len(log_p))) for p in range(log_p.shape[1])])


def coupled(*, half=0, limit=True, power=1.0, summed=True, shift=True):
    """A coupling, right with the defaults."""

    def answer(v, sigma, tau, alpha):
        a, b = np.split(v, 2, axis=1)
        if half:
            a, b = b, a
        stretch = alpha * np.tanh(sigma(a)) if limit else sigma(a)
        y = b * np.exp(stretch) + (tau(a) if shift else 0)
        parts = [y, a] if half else [a, y]
        total = power * stretch
        return np.hstack(parts), total.sum(axis=1) if summed else np.exp(stretch).sum(axis=1)

    return answer


OTHERS = {"joint_score": joint_by_loop, "coupling": coupled()}
WRONG = [
    ("joint_score", lambda p: p.sum(axis=0), "low means anomalous"),
    ("joint_score", lambda p: len(p) - np.exp(p - p.max()).sum(axis=0), "must cancel"),
    ("joint_score", lambda p: -p.sum(axis=1), "expected shape"),
    ("joint_score", lambda p: -p.mean(axis=0), "three levels of -1"),
    ("coupling", coupled(half=1), "a must stay"),
    ("coupling", coupled(limit=False), "alpha limits"),
    ("coupling", coupled(summed=False), "nothing moves"),
    ("coupling", coupled(power=-1.0), "not that of the Jacobian"),
    ("coupling", lambda *v: coupled()(*v)[0], "expected a tuple of 2 results"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
