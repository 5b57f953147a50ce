"""CS-Flow's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "distribution_map" / "cs_flow.ipynb"


@pytest.fixture(scope="module")
def cs_flow():
    return definitions(PATH)


CHECKS = ("check_network", "check_sizes", "check_flow", "check_coupling", "check_fidelity")


@pytest.fixture
def trained(cs_flow):
    """A small flow whose gammas are not 0, as after training, and two images; float64."""
    return cs_flow.small_flow(3), cs_flow.some_maps(4, 3, ((4, 4), (2, 2), (1, 1)))


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_pass_on_the_notebook_as_it_is(cs_flow, check):
    for seed in range(3):
        getattr(cs_flow, check)(seed)


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("flow", "log_scale.flatten(1).sum(dim=1)", "0 * shift.flatten(1).sum(dim=1)"),
        ("flow", "joined(y1, y2), logdet_a + logdet_b", "joined(y1, y2), logdet_a"),
        ("coupling", "x * log_scale.exp() + shift", "x * raw.exp() + shift"),
        ("coupling", "x * log_scale.exp() + shift", "x * log_scale.exp() - shift"),
        ("flow", "undo_affine(y1, self.net_a(x2)), x2)", "undo_affine(y1, self.net_a(y2)), x2)"),
        ("network", "r[j] = r[j] + up(larger)", "r[j] = r[j] - up(larger)"),
        ("network", "r[j + 1] = r[j + 1] + down(y[j])", "r[j + 1] = r[j + 1]"),
        ("network", "F.leaky_relu(v, 0.1)", "F.leaky_relu(v, 0.2)"),
        ("network", 'scale_factor=2, mode="bilinear")\n            r[j]',
         "scale_factor=2)\n            r[j]"),
        ("network", "nn.Parameter(torch.zeros(3))", "torch.zeros(3)"),
        ("network", "nn.Parameter(torch.zeros(3))", "nn.Parameter(torch.ones(3))"),
        ("coupling", "0.636 * alpha * torch.atan(raw / alpha)", "alpha * torch.atan(raw / alpha)"),
        ("coupling", "0.636 * alpha * torch.atan(raw / alpha)", "raw"),
        ("coupling", "self.net_b(y1))\n        return joined(y1, y2)",
         "self.net_b(x1))\n        return joined(y1, y2)"),
        ("fidelity", "flat(maps).square().mean(dim=1) / 2 - logdet",
         "flat(maps).square().mean(dim=1) / 2 + logdet"),
        ("fidelity", "flat(maps).square().mean(dim=1) / 2 - logdet",
         "flat(maps).square().mean(dim=1) - logdet"),
        ("fidelity", "- logdet / flat(maps).shape[1]", "- logdet"),
        ("fidelity", "(flat(maps).square().mean(dim=1) / 2).numpy()",
         "(flat(maps[:1]).square().mean(dim=1) / 2).numpy()"),
        ("fidelity", '(size, size), mode="bilinear"', "(size, size)"),
        ("fidelity", "maps[0].square().mean(dim=1, keepdim=True)",
         "maps[0].abs().mean(dim=1, keepdim=True)"),
        ("fidelity", "level.mean((0, 2, 3)), level.std((0, 2, 3))",
         "level.mean((0, 2, 3)), level.var((0, 2, 3))"),
        ("flow", "flow.orders.flip(0), flow.blocks[::-1], strict=True)\n    for order, block in "
         "steps:\n        maps = shuffled(block", "flow.orders, flow.blocks, strict=True)\n    "
         "for order, block in steps:\n        maps = shuffled(block"),
        ("flow", "shuffled(block.inverse(maps), order.argsort(dim=1))",
         "shuffled(block.inverse(maps), order)"),
        ("flow", ".view(blocks, 3, channels)", "[::3, None].repeat(1, 3, 1)"),
        ("coupling", "(level - mean) / std for level", "(level - mean) * std for level"),
    ],
)  # fmt: skip
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, f"check_{check}")()


def test_the_inverse_is_exact_for_a_flow_of_the_notebooks_size(cs_flow):
    draw = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 112, n, n, generator=draw) for n in (8, 4, 2)]
    flow = cs_flow.CrossScaleFlow(cs_flow.statistics(maps), 32, (3, 5), seed=1)
    flow.requires_grad_(False)
    for block in flow.blocks:
        block.net_a.gamma += 0.4
        block.net_b.gamma += 0.4
    z, logdet = flow(maps)
    assert (cs_flow.flat(z) - cs_flow.flat(maps)).abs().max() > 0.1 and logdet.abs().min() > 1
    assert (cs_flow.flat(cs_flow.inverse(flow, z)) - cs_flow.flat(maps)).abs().max() < 1e-3


def test_the_official_inverse_is_wrong_only_when_gamma_is_not_zero(cs_flow, trained):
    flow, maps = trained
    z, _ = flow(maps)
    truth = cs_flow.flat(maps)
    assert (cs_flow.flat(cs_flow.inverse(flow, z)) - truth).abs().max() < 1e-9
    assert (cs_flow.flat(cs_flow.official_inverse(flow, z)) - truth).abs().max() > 1e-2
    for block in flow.blocks:
        block.net_a.gamma.zero_()
        block.net_b.gamma.zero_()
    z, _ = flow(maps)
    assert torch.allclose(cs_flow.flat(cs_flow.official_inverse(flow, z)), truth)


def test_the_official_inverse_errs_in_the_first_half_only_and_by_the_two_shifts(cs_flow):
    plain = torch.stack([torch.zeros(3, 4, 1, 1), torch.ones(3, 4, 1, 1)], dim=1).double()
    flow = cs_flow.small_flow(3, kernels=(3,))
    flow.stats, flow.orders = plain, torch.arange(4).expand(1, 3, 4)
    maps, block = cs_flow.some_maps(4, 5, ((4, 4), (2, 2), (1, 1))), flow.blocks[0]
    y, _ = flow(maps)
    wrong = cs_flow.official_inverse(flow, y)
    for j, (x, back) in enumerate(zip(maps, wrong, strict=True)):
        u_a, t_a = block.net_a([m[:, 2:] for m in maps])[j].chunk(2, dim=1)
        t_b = block.net_b([m[:, :2] for m in y])[j].chunk(2, dim=1)[1]
        assert torch.allclose(back[:, 2:], x[:, 2:])
        scale = torch.exp(-0.636 * 3 * torch.atan(u_a / 3))
        assert torch.allclose(back[:, :2] - x[:, :2], (t_a - t_b) * scale)


def test_the_sub_network_is_the_sum_written_in_the_paper(cs_flow):
    net = cs_flow.CrossConvolutions(2, 3, 4, 3).requires_grad_(False)
    net.gamma += torch.tensor([0.5, -2.0, 3.0])
    x = [torch.randn(1, 2, n, n, generator=torch.Generator().manual_seed(n)) for n in (8, 4, 2)]

    def convolve(conv, value):
        return F.conv2d(value, conv.weight, conv.bias, conv.stride, padding=1)

    y = [F.leaky_relu(convolve(net.first[j], x[j]), 0.1) for j in range(3)]
    bigger = [F.interpolate(v, scale_factor=2, mode="bilinear", align_corners=False) for v in y]
    expected = [
        0.5 * (convolve(net.own[0], y[0]) + convolve(net.up[0], bigger[1])),
        -2 * (convolve(net.own[1], y[1]) + convolve(net.up[1], bigger[2])
              + convolve(net.down[0], y[0])),
        3 * (convolve(net.own[2], y[2]) + convolve(net.down[1], y[1])),
    ]  # fmt: skip
    for got, right in zip(net(x), expected, strict=True):
        assert torch.allclose(got, right, atol=1e-5)
    assert [conv.stride for conv in net.down] == [(2, 2), (2, 2)]


def test_without_cross_connections_the_scales_do_not_hear_each_other(cs_flow):
    flow = cs_flow.small_flow(0, cross=False)
    maps = cs_flow.some_maps(4, 1, ((4, 4), (2, 2), (1, 1)), n=1)
    before, _ = flow(maps)
    after, _ = flow([maps[0], maps[1] + 1, maps[2]])
    assert torch.equal(before[0], after[0]) and torch.equal(before[2], after[2])
    assert not torch.equal(before[1], after[1])


def test_every_channel_changes_in_a_block(trained):
    flow, maps = trained
    out, _ = flow.blocks[0](maps)
    for x, y in zip(maps, out, strict=True):
        assert ((x - y).abs().amax(dim=(0, 2, 3)) > 1e-6).all()


def test_an_odd_number_of_channels_is_refused(cs_flow):
    with pytest.raises(ValueError, match="channels must be even, found 5"):
        cs_flow.CrossScaleFlow(torch.ones(3, 2, 5, 1, 1), 3, (3,), seed=0)


class Grey:
    """A backbone of stride 2 whose features are the means of 2x2 pixels."""

    strides = (2,)

    def features(self, images):
        return [F.avg_pool2d(torch.tensor(images).permute(0, 3, 1, 2).double(), 2)]


def test_the_three_scales_are_those_of_the_image_halved_twice(cs_flow):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    levels = cs_flow.extract(Grey(), images, torch.tensor([2, 0]))
    assert len(levels) == 3
    for level, f in zip(levels, (2, 4, 8), strict=True):
        squares = images.reshape(3, 32 // f, f, 32 // f, f, 3).mean(axis=(2, 4))
        wanted = squares[..., [2, 0]].transpose(0, 3, 1, 2)
        assert level.shape == wanted.shape and np.abs(level.numpy() - wanted).max() < 1


def test_the_image_is_halved_by_means(cs_flow):
    images = np.arange(16 * 3, dtype=np.uint8).reshape(1, 4, 4, 3)
    corner = np.rint(images[0, :2, :2].reshape(4, 3).mean(axis=0))
    assert cs_flow.halved(images)[0, 0, 0].tolist() == corner.tolist()
    with pytest.raises(ValueError, match="a multiple of 8, found 100"):
        cs_flow.extract(Grey(), np.zeros((1, 100, 100, 3), np.uint8), None)


def test_standardised_features_have_mean_0_and_deviation_1_and_a_dead_channel_stays_finite(cs_flow):
    levels = [torch.randn(5, 3, n, n, generator=torch.Generator().manual_seed(n)) for n in (4, 2)]
    for level in levels:
        level[:, 2] = 0.0
    done = cs_flow.standardise(levels, cs_flow.statistics(levels))
    for level in done:
        assert torch.allclose(level.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
        assert torch.allclose(level.std((0, 2, 3)), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4)


def test_the_gaussian_is_the_mahalanobis_distance(cs_flow):
    generator = torch.Generator().manual_seed(0)
    fit = [torch.randn(20, 3, n, n, generator=generator) for n in (4, 2, 1)]
    test = [torch.randn(2, 3, n, n, generator=generator) for n in (4, 2, 1)]
    z, logdet = cs_flow.gaussian_latent(fit, test)
    total, volume = 0.0, 0.0
    for known, level in zip(fit, test, strict=True):
        rows = known.permute(0, 2, 3, 1).reshape(-1, 3).numpy()
        model = cs_flow.LedoitWolf().fit(rows)
        points = level[0].permute(1, 2, 0).reshape(-1, 3).numpy()
        total += model.mahalanobis(points).sum()
        volume += -0.5 * len(points) * np.linalg.slogdet(model.covariance_)[1]
    assert cs_flow.image_scores(z)[0].item() == pytest.approx(total / (2 * 63), rel=1e-4)
    assert logdet[0].item() == pytest.approx(volume, rel=1e-4)


def test_what_is_fitted_comes_from_the_images_to_fit_alone(cs_flow):
    fit = [m.float() for m in cs_flow.some_maps(4, 1, ((4, 4), (2, 2), (1, 1)), n=9)]
    flow, _ = cs_flow.fit_flow(fit, 2, {"hidden": 3, "kernels": (3,)}, 4, 1e-3, 0, "cpu")
    for level, (mean, std) in zip(fit, flow.stats, strict=True):
        assert torch.allclose(mean, level.mean((0, 2, 3))[:, None, None])
        assert torch.allclose(std, level.std((0, 2, 3))[:, None, None])


def test_training_lowers_the_loss_repeats_exactly_and_begins_with_gamma_0(cs_flow):
    maps = [torch.randn(8, 4, n, n, generator=torch.Generator().manual_seed(n)) for n in (4, 2, 1)]
    maps = [level[:, :1] + 0.1 * level for level in maps]  # channels that nearly agree

    def run(steps=40):
        return cs_flow.fit_flow(maps, steps, {"hidden": 8, "kernels": (3,)}, 4, 1e-2, 0, "cpu")

    _, losses = run()
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05
    assert run()[1] == losses
    untrained, none = run(0)
    z, logdet = cs_flow.latent(untrained, maps)
    assert none == [] and not logdet.any()
    standard = cs_flow.standardise(maps, cs_flow.statistics(maps))
    assert torch.allclose(cs_flow.flat(z).sort().values, cs_flow.flat(standard).sort().values)


def test_training_is_the_loop_of_the_official_code_with_a_falling_rate(cs_flow):
    maps = [torch.randn(9, 4, n, n, generator=torch.Generator().manual_seed(n)) for n in (4, 2, 1)]
    shape = {"hidden": 5, "kernels": (3, 3)}
    flow, losses = cs_flow.fit_flow(maps, 4, shape, 4, 2e-2, 6, "cpu")
    slow, told = cs_flow.CrossScaleFlow(cs_flow.statistics(maps), seed=6, **shape), []
    adam = torch.optim.Adam(slow.parameters(), eps=1e-4, weight_decay=1e-5)
    draw, queue = torch.Generator().manual_seed(6), []
    for rate in (2e-2, 1.5e-2, 1e-2, 0.5e-2):
        queue = queue or list(torch.randperm(9, generator=draw).split(4))
        batch = queue.pop()
        adam.param_groups[0]["lr"] = rate
        z, logdet = slow([level[batch] for level in maps])
        d = sum(v[0].numel() for v in z)
        energy = sum((v**2).sum(dim=(1, 2, 3)) for v in z)
        adam.zero_grad()
        loss = ((energy / 2 - logdet) / d).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(slow.parameters(), 1.0)
        adam.step()
        told.append(loss.item())
    pairs = zip(flow.state_dict().values(), slow.state_dict().values(), strict=True)
    assert losses == pytest.approx(told, rel=1e-4)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in pairs)


def test_all_images_are_scored_whatever_the_block(cs_flow, trained):
    flow, _ = trained
    maps = cs_flow.some_maps(4, 9, ((4, 4), (2, 2), (1, 1)), n=70)
    z, logdet = cs_flow.latent(flow, maps)
    whole, change = flow(maps)
    assert torch.allclose(cs_flow.flat(z), cs_flow.flat(whole))
    assert torch.allclose(logdet, change)


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("balanced_scores", "exchange")


def by_loops(maps):
    scores = np.zeros(len(maps[0]))
    for i in range(len(scores)):
        scores[i] = sum(float((z[i] ** 2).mean()) for z in maps) / (2 * len(maps))
    return scores


def official(maps):
    flat = np.concatenate([z.reshape(len(z), -1) for z in maps], axis=1)
    return (flat**2).mean(axis=1) / 2


def mixed(up=1.0, down=1.0, in_place=False, average=True, wrap=False, own=1.0, turned=False):
    def answer(maps):
        source = [np.array(m) for m in maps]
        out = source if in_place else [m.copy() for m in source]
        for j in range(len(source)):
            total = own * source[j]
            if j + 1 < len(source) or wrap:
                more = source[(j + 1) % len(source)].repeat(2, 0).repeat(2, 1)
                total = total + up * (more[::-1] if turned else more)
            if j > 0:
                h, w = source[j - 1].shape
                squares = source[j - 1].reshape(h // 2, 2, w // 2, 2)
                less = squares.mean(axis=(1, 3)) if average else squares[:, 0, :, 0]
                total = total + down * less
            out[j] = total
        return out

    return answer


OTHERS = {"balanced_scores": by_loops, "exchange": mixed()}
WRONG = [
    ("balanced_scores", lambda m: by_loops(m)[:, None], "expected shape (2,)"),
    ("balanced_scores", official, "one vote per scale"),
    ("balanced_scores", lambda m: by_loops(m) * len(m), "one vote per scale"),
    ("balanced_scores", lambda m: by_loops(m[:1]), "one vote per scale"),
    ("balanced_scores", lambda m: np.mean([abs(z).mean((1, 2, 3)) / 2 for z in m], 0), "one vote"),
    ("balanced_scores", lambda m: np.max([(z**2).mean((1, 2, 3)) / 2 for z in m], 0), "one vote"),
    ("balanced_scores", lambda m: by_loops([z[:, :1] for z in m]), "all channels"),
    ("balanced_scores", lambda m: np.median([(z**2).mean((1, 2, 3)) / 2 for z in m], 0), "8 and 2"),
    ("balanced_scores", lambda m: sum((z**2).mean((1, 2, 3)) for z in m) / 4, "one scale"),
    ("exchange", mixed(up=0), "two scales"),
    ("exchange", mixed(down=0), "two scales"),
    ("exchange", mixed(up=-1), "two scales"),
    ("exchange", mixed(own=0), "one scale alone"),
    ("exchange", mixed(average=False), "two scales"),
    ("exchange", mixed(in_place=True), "two scales"),
    ("exchange", mixed(turned=True), "three scales"),
    ("exchange", lambda m: mixed()(m)[::-1], "swapped"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG


EQUIVALENT_DEFINITIONS = {
    "CrossConvolutions": {"links = 2 if cross else {0 → -1}": "range(-1) is empty as well"},
    "inverse": {
        "maps = shuffled(block.inverse(maps), order.argsort({dim=1 → }))": "axis 1 is the last",
    },
    "anomaly_maps": {
        "return F.interpolate(grid, (size, size), mode='bilinear')[:, {0 → -1}].numpy()": (
            "there is one channel"
        ),
    },
    "halved": "compared with NumPy in this file",
    "extract": "compared with NumPy in this file; it needs a network",
    "bytes_needed": "an upper estimate, no equation",
    "batches": "compared with a loop in this file, as part of the training",
    "latent": "compared with the whole flow in this file",
    "fit_flow": "compared with a loop in this file",
    "official_inverse": "compared with its formula in this file",
    "lost": "a norm of differences; three printed comparisons",
    "gaussian_latent": "compared with the Mahalanobis distance in this file",
}
