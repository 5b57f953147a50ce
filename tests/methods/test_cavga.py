"""CAVGA's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "one_class" / "cavga.ipynb"
CHECKS = (
    *("cam", "signal", "losses", "mirror", "start", "fidelity", "step"),
    *("networks", "training", "rounding", "within"),
)


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


def plan(notebook, **changes):
    small = notebook.Plan(30, 4, 0.001, 0.1, 1.0, 1.0)
    return small._replace(**changes)


def photographs(n=8, side=16, seed=0):
    """(n, 3, side, side) bright noise from 0 to 1."""
    rng = np.random.default_rng(seed)
    return torch.tensor(0.5 + 0.5 * rng.random((n, 3, side, side)), dtype=torch.float32)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(notebook, seed):
    for check in CHECKS:
        getattr(notebook, f"check_{check}")(seed)
    notebook.check_gap()


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_cam", "alpha = slope.mean(dim=(2, 3), keepdim=True)", "alpha = slope"),
        ("check_cam", "slope.mean(dim=(2, 3), keepdim=True)", "slope.sum((2, 3), keepdim=True)"),
        ("check_cam", "total = mean.sum()", "total = mean.square().sum()"),
        ("check_cam", "(alpha * features).sum(dim=1)", "(alpha * features).mean(dim=1)"),
        ("check_cam", "return torch.sigmoid(cam.clamp_min(0) if clip else cam)", "return cam"),
        ("check_signal", "create_graph=graph", "create_graph=False, retain_graph=True"),
        ("check_signal", "cam.clamp_min(0) if clip else cam", "cam"),
        ("check_fidelity", "cam.clamp_min(0) if clip else cam", "cam"),
        ("check_signal", "cam.clamp_min(0) if clip else cam", "cam.clamp_min(0)"),
        ("check_losses", "/ (2 * noise**2)", "/ noise**2"),
        ("check_losses", "log_variance.exp() - 1 - log_variance", "log_variance.exp() - 1"),
        ("check_losses", "kl / x.numel()", "kl / mean.numel()"),
        ("check_losses", "F.softplus(-real).mean()", "F.softplus(real).mean()"),
        ("check_losses", "return F.softplus(-fake).mean()", "return -F.softplus(fake).mean()"),
        ("check_mirror", "twin.head.bias.data[:half] *= -1", "pass"),
        ("check_mirror", "twin.decoder[0].weight.data *= -1", "pass"),
        ("check_mirror", "return (1 - seen).mean()", "return seen.square().mean()"),
        ("check_start", "[:latent].sum(dim=0).sign()", "[:latent].sum(dim=1, keepdim=True)"),
        ("check_start", "weights = 0.1 *", "weights = 1.0 *"),
        ("check_start", "if positive else mirrored(network)", ""),
        ("check_fidelity", '"mode": "bilinear"', '"mode": "nearest"'),
        ("check_fidelity", "return enlarged(1 - seen, size)", "return enlarged(seen, size)"),
        ("check_fidelity", "errors.mean(axis=(1, 2))", "errors.max(axis=(1, 2))"),
        ("check_fidelity", ".abs().mean(dim=1)\n        errors", ".mean(dim=1)\n        errors"),
        ("check_step", "epsilon * (log_variance / 2).exp()", "epsilon * log_variance.exp()"),
        ("check_step", "z = mean + epsilon * (log", "z = epsilon * (log"),
        ("check_step", "graph=True), clip)", "graph=True))"),
        ("check_step", "[error, kl, fooled, unseen]", "[kl, error, fooled, unseen]"),
        ("check_gap", "gap.std(ddof=1)", "gap.std()"),
        ("check_networks", "return [*parts[:-2], nn.Sigmoid()]", "return [*parts, nn.Sigmoid()]"),
        ("check_networks", "nn.LeakyReLU(0.2)", "nn.LeakyReLU(0.4)"),
        ("check_networks", "np.sqrt(2 / part", "np.sqrt(1 / part"),
        ("check_networks", "chunk(2, dim=1)", "flip(1).chunk(2, dim=1)"),
        ("check_rounding", "    fall.step()", ""),
        ("check_training", "turn(*second, adversarial_loss(real, fake))", "pass"),
        ("check_training", "plan.weight_adv, plan.weight_ae]", "plan.weight_ae, plan.weight_adv]"),
        ("check_training", "betas=(0.5, 0.999)", "betas=(0.9, 0.999)"),
        ("check_training", "seed + 1000).to(images)", "seed).to(images)"),
        ("check_rounding", "weight.grad = rounded(weight.grad)", "pass"),
        ("check_rounding", "    adam.zero_grad()", ""),
        ("check_rounding", "floor() - 16)", "floor() - 12)"),
        ("check_within", "x - x.mean(dim=(1, 2), keepdim=True)", "x - x.mean()"),
    ],
)  # fmt: skip
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(broken, check)()


def test_grad_cam_of_a_trained_network_equals_finite_differences(notebook):
    x, network = photographs(2), notebook.new_network(1, 4)
    notebook.train_network(network, photographs(), 0, plan(notebook))
    network = network.double()
    features, mean, _ = network.encode(x.double())
    found = notebook.grad_cam(features, mean).detach()
    start, alpha = features.detach(), []
    for channel in range(start.shape[1]):
        step = torch.zeros_like(start)
        step[:, channel] = 1e-4
        up, down = (network.head(start + s * step)[:, :4].sum((1, 2, 3)) for s in (1, -1))
        alpha.append((up - down).detach() / 2e-4 / start[0, 0].numel())
    wanted = torch.einsum("kn,nkij->nij", torch.stack(alpha), start)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_loss_reaches_encoder_and_head_through_the_map(notebook):
    """Against finite differences, of a weight of each."""
    network, x = notebook.new_network(0, 4).double(), photographs(2).double()

    def loss():
        features, mean, _ = network.encode(x)
        cam = notebook.grad_cam(features, mean, graph=True)
        return notebook.expansion_loss(notebook.attention(cam))

    loss().backward()
    for weight, place in ((network.encoder[0].weight, (3, 0, 1, 2)),
                          (network.encoder[4].weight, (5, 7, 2, 2)),
                          (network.head.weight, (1, 9, 0, 0))):  # fmt: skip
        ends = []
        for step in (1e-6, -2e-6):
            weight.data[place] += step
            ends.append(loss().item())
        weight.data[place] += 1e-6
        slope = (ends[0] - ends[1]) / 2e-6
        assert weight.grad[place].item() == pytest.approx(slope, rel=1e-3, abs=1e-9)


def test_without_a_graph_the_head_gets_no_signal(notebook):
    network, x = notebook.new_network(0, 4), photographs(2)
    features, mean, _ = network.encode(x)
    seen = notebook.attention(notebook.grad_cam(features, mean))
    notebook.expansion_loss(seen).backward()
    assert network.encoder[0].weight.grad.abs().max() > 0
    assert network.head.weight.grad is None


def test_a_map_that_is_cut_stays_at_one_half_from_the_negative_side(notebook):
    x = photographs()
    network = notebook.new_network(0, 4, positive=False)
    losses = notebook.train_network(network, x, 0, plan(notebook), clip=True)
    assert (losses[:, 3] == 0.5).all()
    network = notebook.new_network(0, 4, positive=False)
    losses = notebook.train_network(network, x, 0, plan(notebook))
    assert losses[0, 3] > 0.5 and losses[-1, 3] < losses[0, 3]


def test_a_training_lowers_the_losses_and_repeats_itself(notebook):
    x, runs = photographs(), []
    for seed in (0, 0, 1):
        network = notebook.new_network(0, 4)
        runs.append(notebook.train_network(network, x, seed, plan(notebook)))
    assert runs[0].shape == (30, 4)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()
    assert runs[0][-5:, 0].mean() < 0.8 * runs[0][:5, 0].mean()


def test_the_weights_of_the_losses_count(notebook):
    x, seen = photographs(), []
    for weight in (0.0, 1.0):
        network = notebook.new_network(0, 4, positive=False)
        way = plan(notebook, weight_ae=weight)
        seen.append(notebook.train_network(network, x, 0, way)[-1, 3])
    assert seen[1] < seen[0] - 0.05


def test_the_learning_rate_falls_to_zero(notebook):
    network = notebook.new_network(0, 4)
    adam, fall = notebook.player(network, plan(notebook))
    for _ in range(30):
        notebook.turn(adam, fall, sum(weight.sum() for weight in network.parameters()))
    assert fall.get_last_lr()[0] == pytest.approx(0, abs=1e-12)
    assert adam.param_groups[0]["betas"] == (0.5, 0.999)


def test_the_latent_variable_keeps_its_places(notebook):
    network = notebook.draw_weights(notebook.Network(6), 0)
    features, mean, log_variance = network.encode(torch.rand(2, 3, 24, 32))
    assert features.shape == (2, 64, 3, 4) and features.min() >= 0
    assert mean.shape == log_variance.shape == (2, 6, 3, 4)
    made = network.decoder(mean)
    assert made.shape == (2, 3, 24, 32) and made.min() >= 0 and made.max() <= 1
    assert notebook.new_critic()(made).shape == (2, 1)


def test_a_difference_in_the_last_digit_makes_no_other_network(notebook, monkeypatch):
    """As another processor's sums would: the gradients of every update are a little different."""
    x, plain = photographs().double(), notebook.rounded
    one, other = (notebook.new_network(0, 4).double() for _ in range(2))
    first = notebook.train_network(one, x, 0, plan(notebook))
    draw = torch.Generator().manual_seed(0)

    def shaken(gradient):
        noise = torch.randn(gradient.shape, generator=draw, dtype=gradient.dtype)
        return plain(gradient * (1 + 1e-14 * noise))

    monkeypatch.setattr(notebook, "rounded", shaken)
    second = notebook.train_network(other, x, 0, plan(notebook))
    np.testing.assert_allclose(first, second, rtol=1e-12)
    assert all(map(torch.equal, one.parameters(), other.parameters()))


def test_a_constant_costs_the_autoencoder_nothing(notebook):
    """Where all F are active, a higher bias of the encoder is taken back by that of the head."""
    network = notebook.draw_weights(notebook.Network(4), 0).double()
    network.encoder[4].bias.data += 50
    x, epsilon = photographs(2).double(), torch.zeros(2, 4, 2, 2).double()
    critic = notebook.draw_weights(notebook.new_critic(), 0).double()
    found = []
    for shift in (0, 3):
        network.encoder[4].bias.data += shift
        network.head.bias.data -= shift * network.head.weight.data.sum(dim=(1, 2, 3))
        features, mean, _ = network.encode(x)
        _, losses = notebook.network_losses(network, critic, x, epsilon, 0.1)
        found += [losses[:3], notebook.grad_cam(features, mean)]
    torch.testing.assert_close(found[0], found[2])
    shift = 3 * network.head.weight[:4].sum()
    torch.testing.assert_close(found[1] + shift, found[3])


def test_the_pixel_auroc_is_that_of_the_images_with_masks(notebook):
    masks = np.zeros((2, 1, 4), dtype=bool)
    masks[0, 0, 2:] = True
    test = SimpleNamespace(masks=masks, has_mask=np.array([True, False]))
    maps = np.array([[[0.1, 0.4, 0.3, 0.9]], [[9, 9, 9, 9]]])
    assert notebook.pixel_auroc(test, maps) == 0.75
    assert notebook.pixel_auroc(SimpleNamespace(masks=masks & False), maps) is None


def test_a_pair_of_maps_is_drawn_from_its_lowest_to_its_highest_value(notebook):
    found = notebook.shares(np.array([[[2.0, 3.0]], [[4.0, 6.0]]]))
    assert found.tolist() == [[[0, 0.25]], [[0.5, 1]]]
    assert (notebook.shares(np.ones((2, 1, 1))) == 0).all()


def test_more_and_larger_images_need_more_memory(notebook):
    settings = {"images": 500, "size": 64, "batch": 16}
    base = notebook.bytes_needed(**settings)
    assert 500 * 64**2 * 3 < base < 1e9
    for name in settings:
        assert notebook.bytes_needed(**settings | {name: 1000}) > base


def test_images_become_tensors_from_0_to_1(notebook):
    images = np.zeros((1, 2, 2, 3), np.uint8)
    images[0, 0, 1] = (255, 0, 51)
    found = notebook.tensors(images)
    assert found.shape == (1, 3, 2, 2) and found[0, :, 0, 1].tolist() == pytest.approx([1, 0, 0.2])


def test_brightness_is_the_mean_grey_value_of_each_cell(notebook):
    images = np.zeros((1, 4, 4, 3), np.uint8)
    images[0, :2, :2] = 255
    images[0, 2:, 2:, 0] = 153
    assert notebook.brightness(images, (2, 2))[0].flatten().tolist() == pytest.approx(
        [1, 0, 0, 0.2]
    )
    assert notebook.better_sign(0.3) == 0.7 and notebook.better_sign(None) is None


def test_a_spot_is_half_the_image_and_half_the_level(notebook):
    images = np.full((3, 40, 40, 3), 100, np.uint8)
    for level, grey in ((0, 50), (255, 177)):
        out, masks = notebook.spotted(images, level, 0)
        assert (out[masks] == grey).all() and (out[~masks] == 100).all()
        assert (images == 100).all() and all(40 < m.sum() < 60 for m in masks)
    again = notebook.spotted(images, 0, 1)[1]
    assert (again != masks).any()


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("signal", "cam_by_differences")
EQUIVALENT = {
    "signal": {
        "seen = 1 / (1 + np.exp({-cam → cam}))": "A (1 - A) is the same for -M",
        "seen = 1 / (1 + np.exp(-{cam → -cam}))": "A (1 - A) is the same for -M",
        "return slope * (cam {> → >=} 0) if clip else slope": "no value is 0",
    },
}


def signal_by_differences(cam, clip):
    def loss(m):
        m = np.maximum(m, 0) if clip else m
        return np.mean(1 - 1 / (1 + np.exp(-m)))

    out = np.zeros(np.shape(cam))
    for place in np.ndindex(out.shape):
        step = np.zeros(out.shape)
        step[place] = 1e-5
        out[place] = (loss(cam + step) - loss(cam - step)) / 2e-5
    return out


def cam_by_lists(score, features, step):
    f = [[list(map(float, row)) for row in channel] for channel in features]
    total = np.zeros((len(f[0]), len(f[0][0])))
    for channel in f:
        slopes = []
        for row in channel:
            for k, value in enumerate(row):
                ends = []
                for sign in (1, -1):
                    row[k] = value + sign * step
                    ends.append(score(np.array(f)))
                row[k] = value
                slopes.append((ends[0] - ends[1]) / step / 2)
        total += np.mean(slopes) * np.array(channel)
    return total


OTHERS = {"signal": signal_by_differences, "cam_by_differences": cam_by_lists}


def sloped(cam, clip=True, size=None, sign=-1):
    seen = 1 / (1 + np.exp(-cam))
    slope = sign * seen * (1 - seen) / (size or cam.size)
    return slope * (cam > 0) if clip else slope


def camlike(pool=np.mean, forward=False, twice=True, cut=False, whole=False, pointwise=False):
    """Answers that go wrong in one place each."""

    def answer(score, features, step):
        f = np.array(features) if whole else np.array(features, dtype=float)
        slope = np.zeros(f.shape)
        for place in np.ndindex(f.shape):
            up, down = f.copy(), f.copy()
            up[place] += step
            down[place] -= 0 if forward else step
            slope[place] = (score(up) - score(down)) / (2 * step if twice else step)
        if pointwise:
            return (slope * f).sum(axis=0)
        found = np.einsum("c,chw->hw", pool(slope, axis=(1, 2)), f)
        return np.maximum(found, 0) if cut else found

    return answer


def cam_by_channels(score, features, step):
    """All places of a channel moved at once: the same for sums over places only."""
    f, slopes = np.array(features, dtype=float), []
    for channel in range(len(f)):
        change = np.zeros(f.shape)
        change[channel] = step
        slopes.append((score(f + change) - score(f - change)) / (2 * step) / f[0].size)
    return np.einsum("c,chw->hw", slopes, f)


def cam_of_whole_slopes(score, features, step):
    slope, f = np.zeros_like(features), features.astype(float)
    for place in np.ndindex(f.shape):
        change = np.zeros(f.shape)
        change[place] = step
        slope[place] = (score(f + change) - score(f - change)) / (2 * step)
    return np.einsum("c,chw->hw", slope.mean(axis=(1, 2)), f)


WRONG = [
    ("signal", lambda cam, clip: sloped(cam, clip, sign=1), "without the cut"),
    ("signal", lambda cam, clip: sloped(cam, clip, size=1), "without the cut"),
    ("signal", lambda cam, clip: sloped(cam, False), "with the cut"),
    ("signal", lambda cam, clip: sloped(cam.clip(0 if clip else None), False), "with the cut"),
    ("signal", lambda cam, clip: sloped(cam, clip, size=6), "3 places"),
    ("signal", lambda cam, clip: sloped(cam, clip, size=2 * cam.shape[1]), "3 places"),
    ("signal", lambda cam, clip: sloped(cam, clip).sum(), "expected shape (2, 3)"),
    ("cam_by_differences", camlike(pool=np.sum), "one channel matters"),
    ("cam_by_differences", camlike(twice=False), "one channel matters"),
    ("cam_by_differences", camlike(pointwise=True), "one channel matters"),
    ("cam_by_differences", camlike(twice=False, forward=True), "two channels"),
    ("cam_by_differences", camlike(whole=True), "integers"),
    ("cam_by_differences", cam_of_whole_slopes, "integers"),
    ("cam_by_differences", cam_by_channels, "one channel matters"),
    ("cam_by_differences", camlike(pool=np.median), "one channel matters"),
    ("cam_by_differences", camlike(cut=True), "negative values stay"),
    ("cam_by_differences", lambda s, f, d: camlike()(s, f, d)[0], "expected shape (1, 3)"),
    ("cam_by_differences", lambda s, f, d: camlike()(s, f, 1e-4), "central differences"),
]  # fmt: skip


EQUIVALENT_DEFINITIONS = {
    "draw_weights": {
        "spread = np.sqrt(2 / part.weight[{0 → -1}].numel())": "all outputs have as many inputs",
        "drawn = rng.normal(0, spread, {tuple(part.weight.shape) → part.weight.shape})": (
            "a torch.Size is a tuple"
        ),
    },
    "tensors": {
        "x = torch.tensor({images, dtype=torch.float32 → images})": "bytes / 255 are float32, too"
    },
    "grad_cam": {
        "parameter of grad_cam ignored: graph = 1": "a graph that is kept changes no value",
        "parameter of grad_cam ignored: graph = 2": "a graph that is kept changes no value",
    },
    "batch_of": {
        "return (x, {torch.tensor → -torch.tensor}(rng.normal(size=shape)).to(x))": (
            "a normal distribution is symmetric"
        ),
    },
    "rounded": {
        "step = {2.0 → -2.0} ** (largest.log2().floor() - 16)": "divided and multiplied by it"
    },
    "turn": {"for weight in adam.param_groups[{0 → -1}]['params']:": "one group"},
    "train_network": {
        "bar = {'leave': {False → True}, 'disable': None}": "shown only",
        "for _ in {tqdm(range(plan.iterations), 'training', **bar) → range(plan.iterations)}:": (
            "shown only"
        ),
        "for _ in tqdm(range(plan.iterations), 'training'{, **bar → }):": "shown only",
    },
    "mirrored": {
        "twin.head.weight.data[:half] {*= → /=} -1": "by -1",
        "twin.head.bias.data[:half] {*= → /=} -1": "by -1",
        "twin.decoder[0].weight.data {*= → /=} -1": "by -1",
    },
    "new_network": {
        "weights[:latent] {*= → /=} weights[:latent].sum(dim=0).sign()": "by 1 or -1",
        "weights[:latent] *= weights[:latent]{.sum → .mean}(dim=0).sign()": "of the same sign",
    },
    "enlarged": {
        "return F.interpolate(cells[:, None], **shape)[:, {0 → -1}].numpy()": "one channel"
    },
    "within_images": {
        "return np.corrcoef(a.flatten(), b.flatten())[{0, 1 → 1, 0}]": "symmetric",
    },
    "bytes_needed": "an estimate from above; its growth is tested here",
    "brightness": "tested above",
    "pixel_auroc": "tested above",
    "better_sign": "tested above",
    "spotted": "tested above",
    "shares": "tested above",
    "square": "only the exercise's check uses it",
    "first_only": "only the exercise's check uses it",
    "cube": "only the exercise's check uses it",
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
