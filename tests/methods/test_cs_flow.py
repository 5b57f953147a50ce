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


@pytest.fixture
def trained(cs_flow):
    """A small flow whose gammas are not 0, as after training, and two images; float64."""
    flow, maps = cs_flow.small_flow(3)
    for number, gamma in enumerate(cs_flow.gammas(flow)):
        gamma += torch.tensor([1.5, -1.0, 2.0], dtype=torch.double) + 0.1 * number
    return flow, maps


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_check_passes_on_the_notebook_as_it_is(cs_flow, seed, capsys):
    cs_flow.check_fidelity(seed)
    assert "hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("log_scale.flatten(1).sum(dim=1)", "0 * shift.flatten(1).sum(dim=1)"),
        ("strict=True)], logdet_a + logdet_b", "strict=True)], logdet_a"),
        ("out.append(x * log_scale.exp() + shift)", "out.append(x * raw.exp() + shift)"),
        ("x1 = undo_affine(y1, self.net_a(x2))", "x1 = undo_affine(y1, self.net_a(y2))"),
        ("r[j] = r[j] + up(finer)", "r[j] = r[j]"),
        ("r[j + 1] = r[j + 1] + down(y[j])", "r[j + 1] = r[j + 1]"),
        ("torch.zeros(3)", "torch.ones(3)"),
        ("0.636 * alpha * torch.atan(raw / alpha)", "alpha * torch.atan(raw / alpha)"),
        ("0.636 * alpha * torch.atan(raw / alpha)", "raw"),
        ("(0.5 * z.square().sum(dim=1) - logdet)", "(0.5 * z.square().sum(dim=1) + logdet)"),
        ("(0.5 * z.square().sum(dim=1) - logdet)", "(z.square().sum(dim=1) - logdet)"),
        (".mean() / z.shape[1]", ".mean()"),
        ("flat(maps).square().mean(dim=1) / 2", "flat(maps[:1]).square().mean(dim=1) / 2"),
        ("self.orders.flip(0), self.blocks[::-1]", "self.orders, self.blocks"),
        ("x[:, o.argsort()] for x, o in zip(block.inverse(maps)",
         "x[:, o] for x, o in zip(block.inverse(maps)"),
        (".view(len(kernels), 3, channels)", "[::3, None].repeat(1, 3, 1)"),
    ],
)  # fmt: skip
def test_a_broken_equation_does_not_pass_the_check(old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        broken.check_fidelity()


def test_the_inverse_is_exact_for_a_flow_of_the_notebooks_size(cs_flow):
    flow = cs_flow.CrossScaleFlow(112, 32, (3, 5), seed=1).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 112, n, n, generator=generator) for n in (8, 4, 2)]
    for gamma in cs_flow.gammas(flow):
        gamma += 0.4
    z, logdet = flow(maps)
    assert (cs_flow.flat(z) - cs_flow.flat(maps)).abs().max() > 0.1 and logdet.abs().min() > 1
    assert (cs_flow.flat(flow.inverse(z)) - cs_flow.flat(maps)).abs().max() < 1e-4


def test_the_log_determinant_is_that_of_the_jacobian_by_automatic_differentiation(cs_flow, trained):
    flow, maps = trained
    sizes = [level[0].numel() for level in maps]

    def forward(row):
        parts = row.split(sizes)
        levels = [p.view(1, *level.shape[1:]) for p, level in zip(parts, maps, strict=True)]
        return cs_flow.flat(flow(levels)[0])[0]

    logdet = flow(maps)[1]
    for i, row in enumerate(cs_flow.flat(maps)):
        jacobian = torch.autograd.functional.jacobian(forward, row)
        assert torch.isclose(torch.linalg.slogdet(jacobian).logabsdet, logdet[i], atol=1e-9)


def test_the_official_inverse_is_wrong_only_when_gamma_is_not_zero(cs_flow, trained):
    flow, maps = trained
    z, _ = flow(maps)
    truth = cs_flow.flat(maps)
    assert (cs_flow.flat(flow.inverse(z)) - truth).abs().max() < 1e-9
    assert (cs_flow.flat(cs_flow.official_inverse(flow, z)) - truth).abs().max() > 1e-2
    for gamma in cs_flow.gammas(flow):
        gamma.zero_()
    z, _ = flow(maps)
    assert torch.equal(cs_flow.flat(cs_flow.official_inverse(flow, z)), truth)


def test_the_official_inverse_errs_in_the_first_half_only_and_by_the_two_shifts(cs_flow, trained):
    block, maps = trained[0].blocks[0], trained[1]
    y, _ = block(maps)
    one = type(trained[0])(4, 3, (3,), seed=0).double().requires_grad_(False)
    one.blocks[0], one.orders = block, torch.arange(4).expand(1, 3, 4)
    wrong = cs_flow.official_inverse(one, y)
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
    flow = cs_flow.CrossScaleFlow(4, 3, (3, 3), seed=0, cross=False).requires_grad_(False)
    for gamma in cs_flow.gammas(flow):
        gamma += 1.0
    maps = [torch.randn(1, 4, n, n, generator=torch.Generator().manual_seed(n)) for n in (4, 2, 1)]
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
    with pytest.raises(ValueError, match="even number of channels is needed, found 5"):
        cs_flow.CrossScaleFlow(5, 3, (3,), seed=0)


def test_the_image_is_halved_by_means(cs_flow):
    images = np.arange(16 * 3, dtype=np.uint8).reshape(1, 4, 4, 3)
    corner = np.rint(images[0, :2, :2].reshape(4, 3).mean(axis=0))
    assert cs_flow.halved(images)[0, 0, 0].tolist() == corner.tolist()
    with pytest.raises(ValueError, match="multiple of 64, found 100"):
        cs_flow.extract(None, np.zeros((1, 100, 100, 3), np.uint8), None)


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


def test_maps_are_means_of_squares_and_can_be_multiplied(cs_flow):
    z = [torch.full((1, 2, n, n), float(value)) for n, value in ((4, 2), (2, 3), (1, 5))]
    assert torch.allclose(cs_flow.anomaly_maps(z, 8), torch.full((1, 8, 8), 4.0))
    product = cs_flow.anomaly_maps(z, 8, (0, 1, 2))
    assert torch.allclose(product, torch.full((1, 8, 8), 4.0 * 9 * 25))


def test_training_lowers_the_loss_repeats_exactly_and_stops_where_told(cs_flow):
    maps = [torch.randn(8, 4, n, n, generator=torch.Generator().manual_seed(n)) for n in (4, 2, 1)]
    maps = [level[:, :1] + 0.1 * level for level in maps]  # channels that nearly agree

    def run(**options):
        flow = cs_flow.CrossScaleFlow(4, 8, (3,), seed=0)
        return cs_flow.train_flow(flow, maps, 40, 4, 1e-2, 0, **options)[0]

    losses = run()
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05
    assert run() == losses
    assert run(until=10) == losses[:10]


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("raw_from_log_scale", "coupling_inverse")


def raw_by_search(log_scale, alpha):
    low, high = np.full(np.shape(log_scale), -1e4), np.full(np.shape(log_scale), 1e4)
    for _ in range(200):
        middle = (low + high) / 2
        below = 0.636 * alpha * np.arctan(middle / alpha) < log_scale
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return middle


def inverse_in_one_go(y1, y2, net_a, net_b):
    x2 = (y2 - net_b(y1)[1]) / np.exp(net_b(y1)[0])
    return (y1 - net_a(x2)[1]) / np.exp(net_a(x2)[0]), x2


def inverse_with(x1_from, x2_from=lambda y, log, t: (y - t) * np.exp(-log)):
    def answer(y1, y2, net_a, net_b):
        x2 = x2_from(y2, *net_b(y1))
        return x1_from(y1, y2, x2, net_a, net_b), x2

    return answer


def official(y1, y2, x2, net_a, net_b):
    return (y1 - net_b(y1)[1]) * np.exp(-net_a(x2)[0])


def from_y2(y1, y2, x2, net_a, net_b):
    return (y1 - net_a(y2)[1]) * np.exp(-net_a(y2)[0])


def shift_only(y1, y2, x2, net_a, net_b):
    return y1 - net_a(x2)[1]


def right(y1, y2, x2, net_a, net_b):
    return (y1 - net_a(x2)[1]) * np.exp(-net_a(x2)[0])


OTHERS = {"raw_from_log_scale": raw_by_search, "coupling_inverse": inverse_in_one_go}
WRONG = [
    ("raw_from_log_scale", lambda v, a: a * np.tan(v / a), "slope 1 / 0.636"),
    ("raw_from_log_scale", lambda v, a: a * np.arctan(v / (0.636 * a)), "must undo the clamp"),
    ("raw_from_log_scale", lambda v, a: np.tan(v / (0.636 * a)), "alpha stands in two places"),
    ("coupling_inverse", inverse_with(right, lambda y, g, t: (y - t) * np.exp(g)), "x2: subtract"),
    ("coupling_inverse", inverse_with(official), "not from net_b"),
    ("coupling_inverse", inverse_with(from_y2), "not y2"),
    ("coupling_inverse", inverse_with(shift_only), "x1: subtract t_a"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
