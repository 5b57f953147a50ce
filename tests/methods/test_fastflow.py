"""FastFlow's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import Exercises, definitions
from scipy.stats import multivariate_normal, norm

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "distribution_map" / "fastflow.ipynb"
SETTINGS = {
    "kernels": (3, 1, 3, 1),
    "hidden_ratio": 0.5,
    "clamp": 2.0,
    "seed": 0,
    "epochs": 6,
    "learning_rate": 0.02,
    "batch_size": 8,
}


@pytest.fixture(scope="module")
def fastflow():
    return definitions(PATH)


@pytest.fixture(scope="module")
def exercises():
    return Exercises(PATH)


def random_map(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shaken(fastflow, channels, kernels, *, ratio=1.0, seed=0):
    return fastflow.shaken(fastflow.Flow(channels, kernels, ratio, 2.0, seed), seed)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_check_passes_on_the_notebook_as_it_is(fastflow, seed, capsys):
    fastflow.check_fidelity(seed)
    assert "hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("log_det = log_scale.sum(dim=(1, 2, 3)) + ", "log_det = ", "log-determinant"),
        ("x[0, 0].numel() * self.log_gain.sum()", "self.log_gain.sum()", "log-determinant"),
        ("self.clamp * torch.tanh(a)", "a", "clamp"),
        ("(changed - shift) * (-log_scale).exp()", "changed * (-log_scale).exp()", "inverse"),
        ("part.order.argsort()", "part.order", "inverse"),
        ("dim=(1, 2, 3)) - log_det).mean()", "dim=(1, 2, 3)) + log_det).mean()", "loss"),
        ("(0.5 * z.square().sum(", "(z.square().sum(", "loss"),
        ("        return x, log_det", "        return x.mean(dim=(2, 3)), log_det", "no map"),
        (
            "last = nn.Conv2d(hidden, c_out, kernel, padding=kernel // 2)",
            "last = nn.Conv2d(hidden, c_out, 1)",
            "reaches",
        ),
        ("0.5 * flow(p.to(place))[0].square().mean(dim=1)", "0.5 * p.square().mean(dim=1)", "map"),
        ("-torch.exp(-energy)", "torch.exp(-energy)", "map"),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))", "score"),
        ("return F.layer_norm(x, x.shape[1:])", "return x", "LayerNorm"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError, match=message):
        broken.check_fidelity()


def test_the_log_determinant_is_that_of_central_differences(fastflow):
    flow = shaken(fastflow, 5, (3, 1, 3, 1)).double()
    x = random_map(1, 5, 3, 2, seed=1).double()
    steps = 1e-6 * torch.eye(30).double().reshape(30, 5, 3, 2)
    with torch.no_grad():
        moved = (flow(x + steps)[0] - flow(x - steps)[0]).reshape(30, 30).numpy() / 2e-6
        log_det = float(flow(x)[1])
    assert np.linalg.slogdet(moved)[1] == pytest.approx(log_det, abs=1e-5)


@pytest.mark.parametrize("channels", [4, 7])
def test_the_inverse_is_exact_and_keeps_the_shape_of_the_map(fastflow, channels):
    flow = shaken(fastflow, channels, (3, 1, 3, 1)).double()
    x = random_map(2, channels, 6, 9, seed=2).double()
    with torch.no_grad():
        z, log_det = flow(x)
        back = flow.inverse(z)
    assert z.shape == x.shape and log_det.shape == (2,)
    assert (back - x).abs().max() < 1e-8
    assert (z - x).abs().max() > 0.5  # it did something


def test_one_by_one_kernels_keep_every_position_to_itself(fastflow):
    flow = shaken(fastflow, 6, (1, 1, 1, 1))
    x = random_map(1, 6, 8, 8)
    y = x.clone()
    y[:, :, 7, 0] += 3  # a far corner
    with torch.no_grad():
        moved = (flow(x)[0] - flow(y)[0]).abs().sum(dim=1)[0]
    assert (moved > 0).nonzero().tolist() == [[7, 0]]


@pytest.mark.parametrize(("kernels", "side"), [((3,), 5), ((3, 3), 9), ((3, 1, 3, 1), 9)])
def test_three_by_three_kernels_reach_their_receptive_field_and_no_further(
    fastflow, exercises, kernels, side
):
    field = fastflow.influence(shaken(fastflow, 6, kernels, ratio=3.0), 6, 21)
    rows, columns = (field > 1e-6).nonzero().T
    for axis in (rows, columns):
        assert int(axis.max() - axis.min()) + 1 == side
    assert exercises.solution("reach")(kernels) == side


def test_every_channel_is_changed_once_in_two_steps(fastflow):
    flow = shaken(fastflow, 8, (1, 1))
    x = random_map(1, 8, 1, 1)
    place, changed = torch.arange(8), []
    for part in flow.parts:
        changed += place[part.sizes[0] :].tolist()
        place = place[part.order]
    assert sorted(changed) == list(range(8))
    assert flow(x)[0].shape == x.shape


def test_before_training_the_flow_only_reorders_channels(fastflow):
    x = random_map(3, 6, 4, 4)
    z, log_det = fastflow.new_flow(6, SETTINGS)(x)
    assert torch.equal(z.sort(dim=1).values, x.sort(dim=1).values)
    assert torch.equal(log_det, torch.zeros(3))
    assert torch.allclose(
        fastflow.energies(fastflow.new_flow(6, SETTINGS), x), 0.5 * x.square().mean(dim=1)
    )


def test_the_loss_is_the_likelihood_of_scipy(fastflow):
    flow = shaken(fastflow, 3, (3, 1)).double()
    x = random_map(4, 3, 2, 2, seed=5).double()
    with torch.no_grad():
        z, log_det = flow(x)
    log_p = norm.logpdf(z.numpy()).sum(axis=(1, 2, 3)) + log_det.numpy()
    found = float(fastflow.loss_of(z, log_det)) + 0.5 * np.log(2 * np.pi)
    assert found == pytest.approx(-log_p.mean() / 12)


def test_training_comes_close_to_the_true_density(fastflow):
    """Correlated Gaussian numbers: the loss falls towards their entropy, on fresh ones too."""
    mix = np.linalg.cholesky(np.array([[1, 0.9, 0, 0], [0.9, 1, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1]]))
    rng = np.random.default_rng(0)
    x, fresh = (
        torch.from_numpy(np.einsum("ij,njhw->nihw", mix, rng.normal(size=(64, 4, 6, 6)))).float()
        for _ in range(2)
    )
    settings = SETTINGS | {"epochs": 40}
    flow, losses = fastflow.train_flow(x, settings, torch.device("cpu"))
    entropy = multivariate_normal(cov=mix @ mix.T).entropy() / 4 - 0.5 * np.log(2 * np.pi)
    with torch.no_grad():
        start = float(fastflow.loss_of(*fastflow.new_flow(4, settings)(fresh)))
        end = float(fastflow.loss_of(*flow(fresh)))
    assert len(losses) == 40 and losses[-1] < losses[0]
    assert end - entropy < 0.25 * (start - entropy)


def test_training_depends_on_the_seed_only_and_leaves_the_global_generator_alone(fastflow):
    x = random_map(12, 4, 4, 4)
    before = torch.get_rng_state()
    first, second = (fastflow.train_flow(x, SETTINGS, torch.device("cpu"))[1] for _ in range(2))
    other = fastflow.train_flow(x, SETTINGS | {"seed": 1}, torch.device("cpu"))[1]
    assert first == second != other
    assert torch.equal(before, torch.get_rng_state())


def test_few_images_get_as_many_updates_as_many(fastflow):
    seen = []
    x = random_map(5, 4, 3, 3)
    settings = SETTINGS | {"epochs": 3}
    fastflow.train_flow(
        x, settings, torch.device("cpu"), images=20, watch=lambda flow: seen.append(flow)
    )
    assert len(seen) == 3


def test_maps_are_enlarged_bilinearly_and_averaged_over_levels(fastflow):
    fine, coarse = random_map(2, 4, 4).abs(), random_map(2, 2, 2, seed=1).abs()
    maps = fastflow.anomaly_maps([fine, coarse], 4)
    big = np.zeros((2, 4, 4))
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])  # half-pixel centres
    for n in range(2):
        big[n] = weights @ -np.exp(-coarse[n].numpy()) @ weights.T
    assert np.allclose(maps, (-np.exp(-fine.numpy()) + big) / 2, atol=1e-6)
    assert maps.min() >= -1 and maps.max() <= 0
    assert np.allclose(fastflow.image_scores(maps), maps.reshape(2, -1).max(axis=1))


def test_the_gaussian_is_the_mahalanobis_distance_of_all_positions(fastflow):
    normal, x = random_map(400, 3, 4, 4), random_map(2, 3, 4, 4, seed=3)
    normal[:, 0] += 2 * normal[:, 1]  # correlated, and not round
    vectors = normal.permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    inverse = np.linalg.inv(np.cov(vectors.T, bias=True))  # 6,400 vectors: hardly any shrinkage
    away = x.permute(0, 2, 3, 1).numpy() - vectors.mean(axis=0)
    expected = np.einsum("nhwc,cd,nhwd->nhw", away, inverse, away) / 6
    assert np.allclose(fastflow.gaussian_energies(normal, x), expected, rtol=0.03)


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("map_value", "reach", "couple")


def map_by_loop(z):
    value = np.zeros(z.shape[1:])
    for channel in z:
        value += channel * channel / (2 * len(z))
    return -1 / np.exp(value)


def reach_by_trying(kernels):
    line = np.zeros(101)
    line[50] = 1
    for kernel in kernels:
        for _ in range(2):
            line = np.convolve(line, np.ones(kernel), mode="same")
    return int((line > 0).sum())


def couple(*, keep=True, bounded=True, shifted=True, counted="sum"):
    def answer(x, subnet, clamp):
        half = len(x) // 2
        a, shift = subnet(x[:half])[:half], subnet(x[:half])[half:]
        log_scale = clamp * np.tanh(a) if bounded else a
        with np.errstate(over="ignore"):
            changed = x[half:] * np.exp(log_scale) + (shift if shifted else 0)
        log_det = {"sum": log_scale.sum(), "mean": log_scale.mean(), "minus": -log_scale.sum()}
        kept = x[:half] if keep else x[:half] * 2
        return np.concatenate([kept, changed]), log_det[counted]

    return answer


OTHERS = {"map_value": map_by_loop, "reach": reach_by_trying, "couple": couple()}
WRONG = [
    ("map_value", lambda z: -np.exp(-0.5 * (z**2).sum(axis=0)), "same channels twice"),
    ("map_value", lambda z: np.exp(-0.5 * (z**2).mean(axis=0)), "most normal value"),
    ("map_value", lambda z: -np.exp(-0.5 * z.mean(axis=0)), "the sign of z"),
    ("map_value", lambda z: -np.exp(-(z**2).mean(axis=0)), "has energy 2"),
    ("map_value", lambda z: -np.exp(-0.5 * (z**2).mean()), "expected shape (4, 5)"),
    ("reach", lambda kernels: 1 + sum(k - 1 for k in kernels), "two convolutions"),
    ("reach", lambda kernels: 1 + 4 * (max(kernels) > 1), "every step adds"),
    ("reach", lambda kernels: sum(2 * k - 1 for k in kernels), "only their own position"),
    ("reach", lambda kernels: 1 + 4 * sum(k > 1 for k in kernels), "twice as far"),
    ("couple", couple(keep=False), "must stay as it is"),
    ("couple", couple(shifted=False), "only the shift is added"),
    ("couple", couple(bounded=False), "clamp * tanh(a)"),
    ("couple", couple(counted="minus"), "log|det J| ="),
    ("couple", couple(counted="mean"), "log|det J| ="),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
