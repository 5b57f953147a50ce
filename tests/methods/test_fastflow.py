"""FastFlow's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import Exercises, definitions
from scipy.stats import multivariate_normal, norm

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "distribution_map" / "fastflow.ipynb"
TRAINING = {"epochs": 6, "learning_rate": 0.02, "batch_size": 8, "seed": 0}


@pytest.fixture(scope="module")
def fastflow():
    return definitions(PATH)


@pytest.fixture(scope="module")
def exercises():
    return Exercises(PATH)


def random_map(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def new_flow(fastflow, channels, kernels, *, seed=0):
    return fastflow.Flow(channels, kernels, 1.0, 2.0, seed)


def shaken(fastflow, channels, kernels, *, seed=0):
    return fastflow.shaken(new_flow(fastflow, channels, kernels, seed=seed), seed)


def run_checks(notebook, seed=0):
    for name in ("likelihood", "parts", "flow", "features", "fidelity"):
        getattr(notebook, f"check_{name}")(seed)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(fastflow, seed):
    run_checks(fastflow, seed)
    fastflow.check_experiments(seed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("return z, log_scale.sum(dim=(1, 2, 3))", "return z, 0 * z[:, 0, 0, 0]", "log-det"),
        ("x[0, 0].numel() * self.log_gain.sum()", "self.log_gain.sum()", "log-determinant"),
        ("log_det = log_det + more", "log_det = more", "log-determinant"),
        ("clamp * torch.tanh(a)\n", "clamp * torch.tanh(0.1 * a)\n", "inverse"),
        ("log_scale = clamp * torch.tanh(a)", "log_scale = 2.0 * torch.tanh(a)", "inverse"),
        ("changed * log_scale.exp() + t]", "(changed + t) * log_scale.exp()]", "inverse"),
        ("x.index_select(1, self.order)", "x", "inverse"),
        ("(energy - log_det).mean()", "(energy + log_det).mean()", "loss"),
        ("energy = 0.5 * z.square()", "energy = z.square()", "loss"),
        ("        return x, log_det", "        return x.mean(dim=(2, 3)), log_det", "no map"),
        ("last = nn.Conv2d(hidden, c_out, kernel,", "last = nn.Conv2d(hidden, c_out, 1,", "size"),
        ("nn.init.zeros_(last.weight)", "nn.init.ones_(last.weight)", "start at 0"),
        ("torch.manual_seed(seed)", "torch.manual_seed(0)", "the seed decides nothing"),
        ("0.5 * z.square().mean(dim=1).cpu()", "z.square().mean(dim=1).cpu()", "map"),
        ("grids = [-torch.exp(-energy)", "grids = [torch.exp(-energy)", "map"),
        (', mode="bilinear"', "", "map"),
        ("(sum(large) / len(large))", "large[0]", "map"),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))", "score"),
        ("return F.layer_norm(x, x.shape[1:])", "return x", "LayerNorm"),
        ("return F.layer_norm(x, x.shape[1:])", "return F.layer_norm(x, x.shape[2:])", "Layer"),
        ("F.adaptive_avg_pool2d(level, grid)", "F.adaptive_max_pool2d(level, grid)", "Layer"),
    ],
)
def test_a_broken_equation_does_not_pass_the_checks(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError), match=message):
        run_checks(broken)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("covariance.diagonal().add_(1e-4)", "covariance.diagonal().add_(1.0)"),
        ("torch.linalg.cholesky(covariance).inverse()", "torch.linalg.inv(covariance)"),
        ("centred = x - self.mean[:, None, None]", "centred = x"),
        ('"dc,nchw->ndhw"', '"cd,nchw->ndhw"'),
        ("x[0, 0].numel() * self.inverse", "self.inverse"),
        ("return z, log_det.expand(len(x))", "return z, -log_det.expand(len(x))"),
    ],
)
def test_a_broken_gaussian_does_not_pass_its_check(old, new):
    with pytest.raises(AssertionError):
        definitions(PATH, replace={old: new}).check_experiments()


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
        back = fastflow.undone(flow, z)
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


@pytest.mark.parametrize(("kernel", "side"), [(3, 5), (3, 7), (3, 9), (5, 9), (5, 10), (7, 13)])
def test_as_many_steps_as_the_exercise_says_see_the_square_and_fewer_do_not(
    fastflow, exercises, kernel, side
):
    steps = exercises.solution("steps_needed")(side, kernel)
    for count, enough in ((steps, True), (steps - 1, False)):
        flow = shaken(fastflow, 4, (kernel,) * count) if count else None
        field = fastflow.influence(flow, 4, 31) > 1e-7 if flow else torch.eye(31) < 0
        assert (int(field.any(dim=0).sum()) >= side) == enough


def test_every_channel_is_changed_once_in_two_steps(fastflow):
    flow = new_flow(fastflow, 8, (1, 1))
    place, changed = torch.arange(8), []
    for step in flow.steps:
        changed += place[4:].tolist()
        place = place[step.order]
    assert sorted(changed) == list(range(8))


def test_before_training_the_flow_only_reorders_channels(fastflow):
    x, flow = random_map(3, 6, 4, 4), new_flow(fastflow, 6, (3, 1, 3, 1))
    z, log_det = flow(x)
    assert torch.equal(z.sort(dim=1).values, x.sort(dim=1).values)
    assert torch.equal(log_det, torch.zeros(3))
    assert torch.allclose(fastflow.energies(flow, x), 0.5 * x.square().mean(dim=1))


def test_the_loss_is_the_likelihood_of_scipy(fastflow):
    flow = shaken(fastflow, 3, (3, 1)).double()
    x = random_map(4, 3, 2, 2, seed=5).double()
    with torch.no_grad():
        z, log_det = flow(x)
    log_p = norm.logpdf(z.numpy()).sum(axis=(1, 2, 3)) + log_det.numpy()
    found = float(fastflow.loss_of(z, log_det)) + 0.5 * np.log(2 * np.pi)
    assert found == pytest.approx(-log_p.mean() / 12)


def test_maps_are_enlarged_bilinearly_and_averaged_over_levels(fastflow):
    fine, coarse = random_map(2, 4, 4).abs(), random_map(2, 2, 2, seed=1).abs()
    maps = fastflow.anomaly_maps([fine, coarse], 4)
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])  # half-pixel centres
    large = np.stack([weights @ grid @ weights.T for grid in -np.exp(-coarse.numpy())])
    assert np.allclose(maps, (-np.exp(-fine.numpy()) + large) / 2, atol=1e-6)
    assert maps.min() >= -1 and maps.max() <= 0
    assert np.allclose(fastflow.image_scores(maps), maps.reshape(2, -1).max(axis=1))


# --- features, training, plan -------------------------------------------------------------------


def test_extracting_in_parts_is_the_same_as_at_once(fastflow):
    levels = [random_map(70, 3, 4, 6), random_map(70, 5, 2, 3, seed=1)]

    def features(images):
        chosen = images[:, 0, 0, 0].astype(int)
        return [level[chosen] for level in levels]

    images = np.zeros((70, 1, 1, 3), np.uint8) + np.arange(70, dtype=np.uint8)[:, None, None, None]
    found = fastflow.extract(SimpleNamespace(features=features), images, 3)
    for x, level in zip(found, levels, strict=True):
        wanted = fastflow.layer_norm(fastflow.on_grid(level, 3))
        assert x.shape[2:] == wanted.shape[2:] == (min(level.shape[2], 3), 3)
        assert torch.allclose(x, wanted, atol=1e-6)


def test_training_comes_close_to_the_true_density(fastflow):
    """Correlated Gaussian numbers: the loss falls towards their entropy, on fresh ones too."""
    mix = np.linalg.cholesky(np.array([[1, 0.9, 0, 0], [0.9, 1, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1]]))
    rng = np.random.default_rng(0)
    x, fresh = (
        torch.from_numpy(np.einsum("ij,njhw->nihw", mix, rng.normal(size=(64, 4, 6, 6)))).float()
        for _ in range(2)
    )
    flow = new_flow(fastflow, 4, (3, 1, 3, 1))
    entropy = multivariate_normal(cov=mix @ mix.T).entropy() / 4 - 0.5 * np.log(2 * np.pi)
    with torch.no_grad():
        start = float(fastflow.loss_of(*flow(fresh)))
        losses = torch.enable_grad()(fastflow.train_flow)(flow, x, **TRAINING | {"epochs": 40})
        end = float(fastflow.loss_of(*flow(fresh)))
    assert len(losses) == 40 and losses[-1] < losses[0]
    assert end - entropy < 0.25 * (start - entropy)


def test_the_loss_that_is_told_is_the_mean_over_all_images(fastflow):
    x, flow = random_map(11, 4, 3, 5), shaken(fastflow, 4, (3, 1))
    whole = fastflow.loss_of(*flow(x)).item()
    still = {"epochs": 3, "learning_rate": 0.0, "batch_size": 4}  # batches of 4, 4 and 3
    assert fastflow.train_flow(flow, x, **TRAINING | still) == pytest.approx([whole] * 3, rel=1e-5)


def test_every_update_follows_the_slope_of_its_own_batch_and_the_rate_rises_and_falls(
    fastflow, monkeypatch
):
    x, flow, rates = random_map(6, 4, 3, 5), shaken(fastflow, 4, (3,)), []

    class Watched(torch.optim.Adam):
        def step(self, *arguments):
            rates.append(self.param_groups[0]["lr"])
            loss = fastflow.loss_of(*flow(x))
            for p, slope in zip(
                flow.parameters(), torch.autograd.grad(loss, list(flow.parameters())), strict=True
            ):
                assert torch.allclose(p.grad, slope, rtol=1e-3, atol=1e-6)
            return super().step(*arguments)

    monkeypatch.setattr(fastflow.optim, "Adam", Watched)
    options = {"epochs": 20, "learning_rate": 0.1, "batch_size": 6}
    fastflow.train_flow(flow, x, **TRAINING | options)
    highest = int(np.argmax(rates))
    assert len(rates) == 20 and rates[highest] == pytest.approx(0.1, rel=0.05)
    assert 0 < highest < 10 and rates[-1] < 1e-5


def test_training_depends_on_the_seed_only_and_leaves_the_global_generator_alone(fastflow):
    x = random_map(12, 4, 4, 4)
    before = torch.get_rng_state()

    def losses(seed):
        return fastflow.train_flow(new_flow(fastflow, 4, (3, 1)), x, **TRAINING | {"seed": seed})

    assert losses(0) == losses(0) != losses(1)
    assert torch.equal(before, torch.get_rng_state())


def test_the_plan_counts_what_is_held_and_grows_with_it(fastflow):
    network = SimpleNamespace(channels=(3, 5), strides=(8, 16))
    shapes = [(3, 16, 16), (5, 16, 16)]

    def needed(images=100, tested=50, batch=8):
        return fastflow.bytes_needed(shapes, network, images, tested, 4, batch, 256)

    held = 4 * 100 * 8 * 16 * 16 + 4 * 50 * 256 * 256  # features, and maps of the tested
    assert held < needed() < 40 * held
    assert needed(200) - needed(100) == 2 * 4 * 100 * 8 * 16 * 16
    assert needed(tested=100) - needed() >= 4 * 4 * 50 * 256 * 256
    assert needed(batch=32) > needed()
    flows = [new_flow(fastflow, c, (3, 1)) for c in (4, 6)]
    few, many = (
        fastflow.seconds_needed(flows, [(4, 8, 8), (6, 4, 4)], TRAINING | {"epochs": epochs}, 100)
        for epochs in (2, 2000)
    )
    assert 0 < few < many


def test_darker_cells_are_the_same_cells_with_smaller_values(fastflow):
    images = np.array([0, 10, 255], np.uint8).reshape(1, 1, 3, 1)
    dark = fastflow.darker(images, 0.7)
    assert dark.dtype == np.uint8 and dark.ravel().tolist() == [0, 7, 178]


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("steps_needed", "one_energy", "missing")


def steps_by_trying(side, kernel):
    line, steps = np.zeros(401), 0
    line[200] = 1
    while (line > 0).sum() < side:
        for _ in range(2):
            line = np.convolve(line > 0, np.ones(kernel), mode="same")
        steps += 1
    return steps


def energy_by_logaddexp(levels):
    return np.log(len(levels)) - np.logaddexp.reduce(-levels, axis=0)


def jacobian(flow, x, step=1e-5):
    columns = []
    for i in np.ndindex(x.shape):
        more, less = x.copy(), x.copy()
        more[i] += step
        less[i] -= step
        columns.append((flow(more)[0] - flow(less)[0]).ravel() / (2 * step))
    return np.stack(columns, axis=1)


def missing_by_singular_values(flow, x):
    return np.log(np.linalg.svd(jacobian(flow, x), compute_uv=False)).sum() - flow(x)[1]


OTHERS = {
    "steps_needed": steps_by_trying,
    "one_energy": energy_by_logaddexp,
    "missing": missing_by_singular_values,
}


def true_log_det(flow, x):
    return np.linalg.slogdet(jacobian(flow, x))[1]


def by_determinant(flow, x):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.linalg.det(jacobian(flow, x))) - flow(x)[1]


def by_its_size(flow, x):
    with np.errstate(divide="ignore"):
        return np.log(np.abs(np.linalg.det(jacobian(flow, x)))) - flow(x)[1]


def by_diagonal(flow, x):
    with np.errstate(divide="ignore"):
        return np.log(np.abs(np.diag(jacobian(flow, x)))).sum() - flow(x)[1]


def naive(levels):
    with np.errstate(divide="ignore"):
        return -np.log(np.exp(-levels).mean(axis=0))


def shifted(by):
    """one_energy with another number subtracted than the lowest energy."""

    def answer(levels):
        with np.errstate(over="ignore"):
            return by(levels) - np.log(np.exp(by(levels) - levels).mean(axis=0))

    return answer


WRONG = [
    ("steps_needed", lambda s, k: -(-(s - 1) // (k - 1)), "rounded up: expected 2, got 4"),
    ("steps_needed", lambda s, k: (s - 1) // (2 * (k - 1)), "rounded up: expected 2, got 1"),
    ("steps_needed", lambda s, k: (s - 1) // (2 * (k - 1)) + 1, "exactly enough"),
    ("steps_needed", lambda s, k: -(-(s - 1) // 4), "a kernel of 5"),
    ("steps_needed", lambda s, k: (s - 1) / (2 * (k - 1)), "expected whole values"),
    ("steps_needed", lambda s, k: max(1, -(-(s - 1) // (2 * (k - 1)))), "one position sees"),
    ("one_energy", lambda e: e.mean(axis=0), "energies 10 and 0"),
    ("one_energy", lambda e: e.min(axis=0), "expected 0.693102, got 0"),
    ("one_energy", naive, "energies above 1000"),
    ("one_energy", lambda e: -np.log(np.exp(-e).sum(axis=0)), "all alike"),
    ("one_energy", shifted(lambda e: e.max(axis=0)), "1000: got -inf"),
    ("one_energy", lambda e: np.log(np.exp(-e).mean(axis=0)), "all alike"),
    ("one_energy", lambda e: energy_by_logaddexp(e.T), "expected shape (4, 5)"),
    ("missing", true_log_det, "honest gain of 2"),
    ("missing", lambda flow, x: flow(x)[1] - true_log_det(flow, x), "gains not counted"),
    ("missing", by_determinant, "channels reordered"),
    ("missing", by_its_size, "150 gains"),
    ("missing", by_diagonal, "channels reordered: got -inf"),
    (
        "missing",
        lambda flow, x: np.linalg.slogdet(jacobian(flow, 0 * x + 1))[1] - flow(x)[1],
        "6 too much",
    ),
    ("missing", lambda flow, x: true_log_det(flow, x) - flow(0 * x + 1)[1], "6 too much"),
]
EQUIVALENT = {
    "missing": {
        "steps = {1e → -1e}-05 * np.eye(x.size).reshape(-1, *x.shape)": "|det| heeds no sign",
        "jacobian[:, i] = difference.ravel() / {2e → -2e}-05": "|det| heeds no sign",
        "steps = 1e-05 * np.eye(x.size).reshape(-{1 → 2}, *x.shape)": (
            "NumPy takes any negative length as unknown"
        ),
    },
}
EQUIVALENT_DEFINITIONS = {
    "channel_orders": {
        "draw = torch.Generator().manual_seed({0 → 1})": "any fixed order will do",
        "draw = torch.Generator().manual_seed({0 → -1})": "any fixed order will do",
    },
    "FlowStep": {
        "log_det = log_det + x[{0 → -1}, 0].numel() * self.log_gain.sum()": "maps of one size",
        "log_det = log_det + x[0, {0 → 1}].numel() * self.log_gain.sum()": "maps of one size",
        "log_det = log_det + x[0, {0 → -1}].numel() * self.log_gain.sum()": "maps of one size",
    },
    "Flow": {
        "with torch.random.fork_rng({devices=[] → }):": "also protects the draws of a GPU",
    },
    "loss_of": {
        "return (energy - log_det).mean() / z[{0 → 1}].numel()": "images of one size",
        "return (energy - log_det).mean() / z[{0 → -1}].numel()": "images of one size",
    },
    "energies": {
        "latents = (flow(part.to(place))[0] for part in x.split({32 → 33}))": "a batch's size",
        "latents = (flow(part.to(place))[0] for part in x.split({32 → 31}))": "a batch's size",
    },
    "anomaly_maps": {
        "return (sum(large) / len(large))[:, {0 → -1}].numpy()": "there is one channel",
    },
    "Gaussian": {
        "vectors = x.transpose(0, 1).flatten(1){.double() → }": "fewer digits, the same covariance",
        "log_det = x[{0 → 1}, 0].numel() * self.inverse.diagonal().log().sum()": "one size",
        "log_det = x[{0 → -1}, 0].numel() * self.inverse.diagonal().log().sum()": "one size",
        "log_det = x[0, {0 → 1}].numel() * self.inverse.diagonal().log().sum()": "one size",
        "log_det = x[0, {0 → -1}].numel() * self.inverse.diagonal().log().sum()": "one size",
        "return ({z → -z}, log_det.expand(len(x)))": "mirrored: as likely, and as far from 0",
    },
    "extract": "tested above",
    "train_flow": "tested above",
    "bytes_needed": "tested above",
    "seconds_needed": "tested above",
    "darker": "tested above",
    "new_flow": "calls Flow with the notebook's settings",
    "held_loss": "calls loss_of for the notebook's features",
    "pixel_auroc": "calls metrics.pixel_auroc for the notebook's masks",
    "influence": "only demonstrates how far a flow sees",
    "shaken": "any random parameters will do",
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG

    @pytest.mark.parametrize(
        "answer",
        [
            lambda e: np.median(e, axis=0),
            lambda e: e.max(axis=0),
            lambda e: np.exp(-e).mean(axis=0),
            lambda e: e.min(axis=0) + np.log(2),
            shifted(lambda e: e.mean(axis=0)),
            lambda e: -np.log(np.median(np.exp(-e), axis=0)),
            lambda e: e.min(axis=0) - np.log(np.exp(e.min() - e).mean(axis=0)),
        ],
    )
    def test_no_other_mean_of_energies_passes(self, exercises, answer):
        assert exercises.verdict("one_energy", answer).startswith("[!]")

    @pytest.mark.parametrize(
        "answer",
        [
            lambda flow, x: np.log(np.abs(jacobian(flow, x)).sum()) - flow(x)[1],
            lambda flow, x: np.linalg.slogdet(2 * jacobian(flow, x))[1] - flow(x)[1],
            lambda flow, x: np.linalg.slogdet(jacobian(flow, x))[1] + flow(x)[1],
            lambda flow, x: true_log_det(flow, x) / x.size - flow(x)[1],
            lambda flow, x: np.linalg.slogdet(jacobian(flow, x))[0] - flow(x)[1],
            lambda flow, x: 0.0,
        ],
    )
    def test_no_other_number_is_the_missing_log_determinant(self, exercises, answer):
        assert exercises.verdict("missing", answer).startswith("[!]")
