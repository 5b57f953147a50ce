"""MKD's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from torch import nn

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "student_teacher" / "mkd.ipynb"
TRAINING = {"size": 4, "iterations": 6, "learning_rate": 0.01, "seed": 0}


@pytest.fixture(scope="module")
def mkd():
    return definitions(PATH)


@pytest.fixture(scope="module")
def lite0():
    return backbones.load("efficientnet_lite0", strides=(4, 8))


def pictures(count, height=32, width=32, seed=0):
    shape = (count, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def new_cloner(mkd, network, *, seed=0, thin=3):
    return mkd.Cloner(network.channels, network.strides, thin, seed)


def run_checks(notebook, seed=0):
    for name in ("cloner", "layers", "loss", "fidelity", "differences"):
        getattr(notebook, f"check_{name}")(seed)
    notebook.check_maps()


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(mkd, seed):
    run_checks(mkd, seed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nn.init.xavier_uniform_(layer.weight)", "nn.init.xavier_normal_(layer.weight)", "Xavier"),
        ('"padding": 1, "bias": False}', '"padding": 1, "bias": True}', "convolution"),
        (
            "return nn.Sequential(*first, conv(thin, c_out))",
            "return nn.Sequential(*first, conv(thin, c_out), nn.Identity(), nn.ReLU())",
            "layers",
        ),
        ("wide.get(2**k, thin)", "wide.get(2**k, max(channels))", "thin"),
        (
            "conv(c_in, thin, stride=2), nn.BatchNorm2d(thin), nn.ReLU()",
            "conv(c_in, thin, stride=2), nn.Identity(), nn.ReLU()",
            "layers",
        ),
        (
            "return [taps[stride] for stride in self.strides]",
            "return list(taps.values())",
            "shapes",
        ),
        (
            "torch.manual_seed(seed)\n            stem",
            "torch.manual_seed(0)\n            stem",
            "seed",
        ),
        ("(a - b).square().mean(dim=1) / power)", "(a - b).square().mean(dim=1))", "value term"),
        (
            "(a - b).square().mean(dim=1) / power)",
            "(a - b).abs().mean(dim=1) / power)",
            "value term",
        ),
        (
            "(a - b).square().mean(dim=1) / power)",
            "(a - b).square().sum(dim=1) / power)",
            "value term",
        ),
        (
            "direction.append(1 - F.cosine_similarity(a, b))",
            "direction.append(F.cosine_similarity(a, b))",
            "direction term",
        ),
        (
            "a, b = a.flatten(1), b.flatten(1)  # (N, C * h * w)",
            "a, b = a.mean((2, 3)), b.mean((2, 3))",
            "value term",
        ),
        (
            '{"value": (lam, 1.0), "direction": (1.0, lam)}',
            '{"value": (1.0, lam), "direction": (lam, 1.0)}',
            "loss",
        ),
        ("weights[1] * direction.sum(dim=0)", "direction.sum(dim=0)", "loss"),
        ("weights[0] * value.sum(dim=0)", "weights[0] * value.mean(dim=0)", "loss"),
        (
            "total(value[-scored:], direction[-scored:], weights)",
            "total(value, direction, weights)",
            "score",
        ),
        (
            "total(value[-scored:], direction[-scored:], weights)",
            "total(value[:scored], direction[:scored], weights)",
            "score",
        ),
        (
            "source = network.network(x)  # frozen, but not cut off",
            "source = [t.detach() for t in network.network(x)]",
            "gradient",
        ),
        ("slope.abs().sum(dim=1)", "slope.sum(dim=1)", "gradient"),
        ("slope.abs().sum(dim=1)", "slope.abs().amax(dim=1)", "gradient"),
        ("sigma = smoothing * slopes.shape[1]", "sigma = 4", "smoothing"),
        (
            "gaussian_filter(slopes, (0, sigma, sigma))",
            "gaussian_filter(slopes, sigma)",
            "smoothing",
        ),
        ("gaussian_filter(slopes, (0, sigma, sigma))", "slopes", "smoothing"),
        (
            "angle = 1 - F.cosine_similarity(a[part].to(x.device), b)",
            "angle = (a[part].to(x.device)[:, : len(b[0])] - b).square().mean(dim=1)",
            "difference map",
        ),
        (
            'F.interpolate(angle[:, None], size, mode="bilinear")',
            "F.interpolate(angle[:, None], size)",
            "difference map",
        ),
        (
            "zip(taps, cloner(x), strict=True))[-scored:]:",
            "zip(taps, cloner(x), strict=True)):",
            "difference map",
        ),
    ],
)
def test_a_broken_equation_does_not_pass_the_checks(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError, match=message):
        run_checks(broken)


def test_a_gradient_that_misses_the_source_is_another_one(mkd, lite0):
    """The way through the frozen source counts, on the real source, too."""
    images, cloner = pictures(3), new_cloner(mkd, lite0).eval()
    how = (0.5, 1.0), 1
    whole = mkd.gradients(lite0, cloner, images, [1.0, 1.0], how)
    cut = mkd.gradients(lite0, cloner, images, [1.0, 1.0], how, taps=lite0.features(images))
    assert whole.shape == cut.shape == (3, 32, 32)
    assert np.abs(whole - cut).mean() > 0.1 * whole.mean()


def test_every_image_has_its_own_gradient_whatever_lies_beside_it(mkd, lite0):
    images, cloner = pictures(5), new_cloner(mkd, lite0).eval()
    how = (1.0, 0.5), 2
    together = mkd.gradients(lite0, cloner, images, [1.0, 2.0], how)
    alone = mkd.gradients(lite0, cloner, images[3:4], [1.0, 2.0], how)
    assert np.allclose(together[3], alone[0], rtol=1e-3, atol=1e-3 * alone.max())
    assert all(p.grad is None for p in lite0.network.parameters())


# --- the source and the training ----------------------------------------------------------------


def test_the_source_never_changes_and_the_cloner_does(mkd, lite0):
    images, cloner = pictures(8), new_cloner(mkd, lite0)
    state = {k: v.clone() for k, v in lite0.network.state_dict().items()}
    before, first = mkd.weight_sum(lite0.network), mkd.weight_sum(cloner)
    taps = lite0.features(images)
    losses = mkd.train_cloner(lite0, cloner, images, taps, [1.0, 1.0], (0.5, 1.0), **TRAINING)
    mkd.gradients(lite0, cloner, images[:2], [1.0, 1.0], ((0.5, 1.0), 1))
    assert len(losses) == 6 and mkd.weight_sum(cloner) != first
    assert not lite0.network.training and not cloner.training
    assert not any(p.requires_grad for p in lite0.network.parameters())
    now = lite0.network.state_dict()
    assert all(torch.equal(now[k], v) for k, v in state.items())
    assert mkd.weight_sum(lite0.network) == before


def test_the_sum_sees_every_weight_and_buffer(mkd):
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    seen = mkd.weight_sum(module)
    for part in module.state_dict().values():
        part.view(-1)[0] += 2
        assert mkd.weight_sum(module) != seen
        seen = mkd.weight_sum(module)


@pytest.mark.parametrize("weights", [(0.5, 1.0), (1.0, 0.5), (1.0, 0.0), (0.0, 1.0)])
def test_training_makes_the_imitation_better_on_fresh_images(mkd, lite0, weights):
    images, fresh = pictures(24, seed=1) // 4 + 90, pictures(6, seed=2) // 4 + 90
    cloner = new_cloner(mkd, lite0, thin=8)
    taps, fresh_taps = lite0.features(images), lite0.features(fresh)
    powers = [tap.square().mean().item() for tap in taps]

    def score():
        found = mkd.terms(lite0, cloner.eval(), fresh, fresh_taps, powers)
        return mkd.image_scores(*found, weights, 2).mean().item()

    start = score()
    how = TRAINING | {"iterations": 40, "size": 8}
    losses = mkd.train_cloner(lite0, cloner, images, taps, powers, weights, **how)
    assert np.mean(losses[-5:]) < 0.8 * losses[0] and score() < 0.8 * start


def test_every_update_follows_the_slope_of_its_own_batch(mkd, lite0, monkeypatch):
    images, cloner, seen = pictures(8), new_cloner(mkd, lite0), []
    taps, powers, weights = lite0.features(images), [2.0, 3.0], (0.3, 0.7)
    order = list(mkd.batches(8, 4, 5, 3))

    class Watched(torch.optim.Adam):
        def step(self, *arguments):
            part = order[len(seen)]
            x = lite0.preprocess(images[part.numpy()])
            value, direction = mkd.compare([tap[part] for tap in taps], cloner(x), powers)
            loss = (0.3 * value + 0.7 * direction).sum(dim=0).mean()
            slopes = torch.autograd.grad(loss, list(cloner.parameters()))
            for p, slope in zip(cloner.parameters(), slopes, strict=True):
                assert torch.allclose(p.grad, slope, rtol=1e-3, atol=1e-5)
            seen.append((self.param_groups[0]["lr"], loss.item(), cloner.training))
            return super().step(*arguments)

    monkeypatch.setattr(mkd.optim, "Adam", Watched)
    how = {"size": 4, "iterations": 5, "learning_rate": 0.02, "seed": 3}
    losses = mkd.train_cloner(lite0, cloner, images, taps, powers, weights, **how)
    rates, wanted, training = zip(*seen, strict=True)
    assert losses == pytest.approx(wanted, rel=1e-4)
    assert rates == pytest.approx([0.02, 0.016, 0.012, 0.008, 0.004]) and all(training)


def test_every_image_has_its_turn_before_one_comes_again(mkd):
    parts = list(mkd.batches(10, 4, 7, 0))
    assert [len(part) for part in parts] == [4] * 7
    for start in range(0, 6, 2):  # two batches of four before a new order
        assert len(set(torch.cat(parts[start : start + 2]).tolist())) == 8
    whole = torch.cat(list(mkd.batches(8, 4, 6, 1))).reshape(3, 8)
    assert all(sorted(row) == list(range(8)) for row in whole.tolist())
    assert len({tuple(row) for row in whole.tolist()}) == 3
    few = list(mkd.batches(3, 16, 4, 0))
    assert all(sorted(part.tolist()) == [0, 1, 2] for part in few) and len(few) == 4


def test_training_depends_on_the_seed_only_and_leaves_the_global_generator_alone(mkd, lite0):
    images = pictures(8)
    taps, before = lite0.features(images), torch.get_rng_state()

    def losses(seed):
        cloner = new_cloner(mkd, lite0, seed=seed)
        how = TRAINING | {"seed": seed}
        return mkd.train_cloner(lite0, cloner, images, taps, [1.0, 1.0], (1, 1), **how)

    assert losses(0) == losses(0) != losses(1)
    assert torch.equal(before, torch.get_rng_state())


def test_terms_in_parts_are_those_of_all_images_at_once(mkd, lite0):
    images, cloner = pictures(19), new_cloner(mkd, lite0).eval()
    taps, powers = lite0.features(images), [2.0, 0.5]
    found = mkd.terms(lite0, cloner, images, taps, powers)
    with torch.no_grad():
        wanted = mkd.compare(taps, cloner(lite0.preprocess(images)), powers)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == (2, 19) and torch.allclose(one, other, rtol=1e-3, atol=1e-4)
        assert not one.requires_grad


def test_the_cloner_of_the_notebook_is_much_smaller_than_its_source(mkd, lite0):
    mkd.network, mkd.thin, mkd.seed = lite0, 16, 1
    mkd.run = SimpleNamespace(device=torch.device("cpu"))
    cloner = mkd.new_cloner()
    assert not cloner.training and cloner.strides == (4, 8)
    other = mkd.Cloner(lite0.channels, (4, 8), 16, 1)
    assert torch.equal(cloner.stem[0].weight, other.stem[0].weight)
    assert mkd.count(cloner) == 9 * 16 * (3 + 16 + 24 + 24 + 40) + 3 * 2 * 16


def test_the_plan_counts_what_is_held_and_grows_with_it(mkd, lite0):
    def needed(images=100, tested=50, batch=8):
        return mkd.bytes_needed((24, 40), (4, 8), images, tested, batch, 128)

    tap = 24 * 32 * 32 + 40 * 16 * 16
    assert needed(200) - needed(100) == 4 * 100 * tap
    assert needed(tested=100) - needed() >= 4 * 3 * 50 * 128 * 128  # three kinds of maps
    assert needed(batch=32) - needed() > 4 * 24 * 128 * 128 * 16
    images = pictures(2)
    mkd.network, mkd.thin, mkd.seed, mkd.iterations = lite0, 4, 0, 100
    mkd.run = SimpleNamespace(device=torch.device("cpu"))
    mkd.training = TRAINING | {"iterations": 100}
    assert mkd.seconds_needed(images, lite0.features(images), cloners=4) > 0


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("scaled_clone", "share_of_direction", "forgotten")


def by_building(a, factor):
    """The clone is built, flattened and compared."""
    s, c = np.ravel(a), factor * np.ravel(a)
    return ((s - c) ** 2).sum() / s.size, 1 - s @ c / np.linalg.norm(s) / np.linalg.norm(c)


def by_weights(value, direction, lam, lam_on):
    v, d = {"value": (lam, 1), "direction": (1, lam)}[lam_on]
    return np.sum(d * direction) / np.sum(v * value + d * direction)


def by_complex_columns(score, claimed, x):
    """Central differences of another step, place by place in flat order."""
    flat = x.ravel()
    found = np.empty(flat.size)
    for i in range(flat.size):
        more, less = flat.copy(), flat.copy()
        more[i] += 1e-4
        less[i] -= 1e-4
        found[i] = (score(more.reshape(x.shape)) - score(less.reshape(x.shape))) / 2e-4
    return found.reshape(x.shape) - claimed


def true_slope(score, x):
    return by_complex_columns(score, np.zeros(x.shape), x)


def one_sided(score, claimed, x):
    found = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = 0.1
        found[place] = (score(x + step) - score(x)) / 0.1
    return found - claimed


def one_sided_but_small(score, claimed, x):
    steps = 1e-5 * np.eye(x.size).reshape(-1, *x.shape)
    found = [(score(x + step) - score(x)) / 1e-5 for step in steps]
    return np.reshape(found, x.shape) - claimed


def with_large_steps(score, claimed, x):
    """Exact wherever the score is a parabola."""
    steps = np.eye(x.size).reshape(-1, *x.shape)
    found = [(score(x + step) - score(x - step)) / 2 for step in steps]
    return np.reshape(found, x.shape) - claimed


def without_putting_back(score, claimed, x):
    found = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        x[place] += 1e-5
        more = score(x)
        x[place] -= 2e-5
        found[place] = (more - score(x)) / 2e-5
    return found - claimed


def with_a_growing_step(score, claimed, x):
    found, step = np.empty(x.shape), np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step[place] = 1e-5
        found[place] = (score(x + step) - score(x - step)) / 2e-5
    return found - claimed


def all_at_once(score, claimed, x):
    return np.full(x.shape, (score(x + 1e-5) - score(x - 1e-5)) / 2e-5) - claimed


OTHERS = {
    "scaled_clone": by_building,
    "share_of_direction": by_weights,
    "forgotten": by_complex_columns,
}
WRONG = [
    ("scaled_clone", lambda a, k: (1 - np.sign(k), (k - 1) ** 2 * np.mean(a**2)), "swapped"),
    ("scaled_clone", lambda a, k: ((k - 1) ** 2, 1 - np.sign(k)), "twice too large"),
    ("scaled_clone", lambda a, k: (k**2 * np.mean(a**2), 1 - np.sign(k)), "a perfect clone"),
    ("scaled_clone", lambda a, k: ((k - 1) ** 2 * np.mean(a**2), 0.0), "the wrong sign"),
    ("scaled_clone", lambda a, k: ((k - 1) ** 2 * np.sum(a**2), 1 - np.sign(k)), "got 14"),
    ("scaled_clone", lambda a, k: (abs(k - 1) * np.mean(a**2), 1 - np.sign(k)), "half as large"),
    ("scaled_clone", lambda a, k: ((k - 1) ** 2 * np.mean(a) ** 2, 1 - np.sign(k)), "got 1.77"),
    ("scaled_clone", lambda a, k: ((k - 1) ** 2 * np.mean(a**2), 1 - k), "twice too large"),
    ("scaled_clone", lambda a, k: ((k - 1) ** 2 * np.mean(a**2), abs(1 - np.sign(k)) / 2), "sign"),
    (
        "scaled_clone",
        lambda a, k: ((k - 1) ** 2 * np.mean(a[0] ** 2), 1 - np.sign(k)),
        "twice too large",
    ),
    ("share_of_direction", lambda v, d, lam, on: d.sum() / (d + v).sum(), "0.5 on value"),
    (
        "share_of_direction",
        lambda v, d, lam, on: d.sum() / (d.sum() + lam * v.sum()),
        "on direction",
    ),
    (
        "share_of_direction",
        lambda v, d, lam, on: lam * d.sum() / (v.sum() + lam * d.sum()),
        "0.5 on value",
    ),
    ("share_of_direction", lambda v, d, lam, on: 1 - by_weights(v, d, lam, on), "lambda 1"),
    ("share_of_direction", lambda v, d, lam, on: 100 * by_weights(v, d, lam, on), "got 33"),
    (
        "share_of_direction",
        lambda v, d, lam, on: by_weights(v, d, lam, "direction" if on == "value" else "value"),
        "0.5 on value",
    ),
    (
        "share_of_direction",
        lambda v, d, lam, on: d.sum(axis=0) / (d + v).sum(axis=0),
        "expected shape ()",
    ),
    (
        "share_of_direction",
        lambda v, d, lam, on: by_weights(v[-1:], d[-1:], lam, on),
        "lambda 1",
    ),
    (
        "share_of_direction",
        lambda v, d, lam, on: by_weights(v, d, lam, on) * (lam if on == "direction" else 1),
        "on direction",
    ),
    ("share_of_direction", lambda v, d, lam, on: by_weights(v, d, min(lam, 1), on), "one image"),
    ("forgotten", lambda score, claimed, x: true_slope(score, x), "a right gradient"),
    ("forgotten", lambda score, claimed, x: claimed - true_slope(score, x), "source cut off"),
    ("forgotten", lambda score, claimed, x: np.abs(claimed - true_slope(score, x)), "source cut"),
    ("forgotten", one_sided, "a right gradient"),
    ("forgotten", all_at_once, "a right gradient"),
    ("forgotten", with_large_steps, "by 1e-5: expected 153, got 154"),
    ("forgotten", without_putting_back, "one place at a time by 1e-5: close, but"),
    ("forgotten", with_a_growing_step, "a right gradient: expected 0, got 6"),
    ("forgotten", lambda score, claimed, x: np.zeros(x.shape), "source cut off"),
    ("forgotten", lambda score, claimed, x: -claimed, "a right gradient"),
    (
        "forgotten",
        lambda score, claimed, x: np.ravel(true_slope(score, x) - claimed),
        "expected shape (2, 3)",
    ),
    (
        "forgotten",
        lambda score, claimed, x: np.sum(true_slope(score, x) - claimed),
        "expected shape (2,), got ()",
    ),
    (
        "forgotten",
        lambda score, claimed, x: true_slope(score, 0 * x + 1) - claimed,
        "a right gradient",
    ),
]
EQUIVALENT_DEFINITIONS = {
    "Cloner": {
        "self.strides = {tuple(strides) → strides}": "the same numbers",
        "with torch.random.fork_rng({devices=[] → }):": "also protects the draws of a GPU",
    },
    "gradients": {
        "for part in torch.arange(len(images)).split({2 → 3}):": "a batch's size",
        "for part in torch.arange(len(images)).split({2 → 1}):": "a batch's size",
    },
    "anomaly_maps": {
        "return gaussian_filter(slopes, ({0 → -1}, sigma, sigma))": "SciPy skips both",
    },
    "differences": {
        "for part in torch.arange(len(images)).split({16 → 17}):": "a batch's size",
        "for part in torch.arange(len(images)).split({16 → 15}):": "a batch's size",
        "maps.append(large[:, {0 → -1}].cpu())": "there is one channel",
    },
    "new_cloner": "tested above",
    "count": "tested above, with the cloner",
    "batches": "tested above",
    "train_cloner": "tested above",
    "bytes_needed": "tested above",
    "seconds_needed": "tested above",
    "weight_sum": "tested above",
    "terms": "tested above",
    "pixel_auroc": "calls metrics.pixel_auroc for the notebook's masks",
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG

    def test_small_steps_to_one_side_will_do(self, exercises):
        assert exercises.verdict("forgotten", one_sided_but_small).startswith("[x]")
