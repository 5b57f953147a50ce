"""FCDD's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy import ndimage
from torch import nn

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "one_class" / "fcdd.ipynb"
CHECKS = ("fidelity", "maps", "field", "confetti", "training", "piece", "network", "statistics")


@pytest.fixture(scope="module")
def fcdd():
    return definitions(PATH)


def run_checks(notebook, seed=0):
    for name in CHECKS:
        getattr(notebook, f"check_{name}")(seed)


def random_features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(fcdd, seed):
    run_checks(fcdd, seed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("outputs[:, 0].square() + 1", "outputs[:, 0].square() + 2", "distance"),
        ("(outputs[:, 0].square() + 1).sqrt() - 1", "outputs[:, 0].square()", "distance"),
        ("(outputs[:, 0].square() + 1).sqrt() - 1", "outputs[:, 0].abs()", "distance"),
        ("heat(outputs).mean(dim=(1, 2))", "heat(outputs).sum(dim=(1, 2))", "loss"),
        ("heat(outputs).mean(dim=(1, 2))", "heat(outputs).amax(dim=(1, 2))", "loss"),
        ("torch.where(labels == 1,", "torch.where(labels == 0,", "loss"),
        ("torch.exp(-distance) + 1e-31", "torch.exp(-distance)", "log of 0"),
        ("1 - torch.exp(-distance)", "1 - torch.exp(-2 * distance)", "loss"),
        ("away, distance).mean()", "away, distance).sum()", "loss"),
        ("return heats.mean(dim=(1, 2)).numpy()", "return heats.amax(dim=(1, 2)).numpy()", "score"),
        ("(length - 1) / 2  # from", "length / 2  # from", "map"),
        ("(2 * sigma**2))\n    kernel", "sigma**2)\n    kernel", "map"),
        ("torch.outer(bell, bell)", "torch.outer(bell, bell * 0 + 1)", "map"),
        ("kernel, stride=stride)", "kernel / kernel.sum(), stride=stride)", "map"),
        ("(first, end, first, end)", "(0, end + first, 0, end + first)", "map"),
        ("strips[torch.arange(stride), :, :, columns]", "strips[:, :, :, columns]", "field"),
        ("max(ends) - min(starts) + 1", "max(ends) - min(starts)", "field"),
        ("draw.integers(1, 4)", "draw.integers(0, 4)", "size|number"),
        ("draw.integers(1, 4)", "draw.integers(1, 12)", "size|number"),
        ("54 / 240", "200 / 240", "size"),
        ("size, 1 if grey else 3", "size, 3", "coloured"),
        ("size, 1 if grey else 3", "size, 1", "grey, on colour"),
        ("low=-255.0, high=255.0", "low=-255.0, high=0.0", "one sign"),
        ("draw.uniform(8 / 240, 54 / 240) * scale", "draw.uniform(8 / 240, 54 / 240)", "scale"),
        ("if abs(changed - image).mean() < 0.025", "if False", "size"),
        ("np.random.default_rng(seed)\n    size", "np.random.default_rng(0)\n    size", "seed"),
        ("[torch.cat(parts)] if mixed else parts", "parts", "mixed or not"),
        ("[torch.cat(parts)] if mixed else parts", "[torch.cat(parts)]", "mixed or not"),
        ("sgd.step()", "pass", "nothing learnt"),
        ("dim=(0, 2, 3)\n", "dim=(0, 2)\n", "mean|variance|size|shape"),
        ("norm = nn.BatchNorm2d(head[1].num_features)", "norm = head[1]", "old head"),
    ],
)
def test_a_broken_equation_does_not_pass_the_checks(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError), match=message):
        run_checks(broken)


def test_the_loss_is_the_cross_entropy_of_the_probability_to_be_normal(fcdd):
    z, y = random_features(6, 1, 4, 5).double(), torch.tensor([0, 1, 0, 0, 1, 1])
    normal = torch.exp(-((z.square() + 1).sqrt() - 1).mean(dim=(1, 2, 3)))
    wanted = nn.functional.binary_cross_entropy(normal, (1 - y).double())
    assert abs(fcdd.fcdd_loss(z, y) - wanted) < 1e-6
    same = fcdd.fcdd_loss(z.float(), y)
    assert abs(same - wanted) < 1e-6, "single precision"


def test_the_gradient_of_the_loss_is_that_of_central_differences(fcdd):
    z = random_features(4, 1, 2, 3).double().requires_grad_()
    y = torch.tensor([0, 1, 1, 0])
    assert torch.autograd.gradcheck(lambda x: fcdd.fcdd_loss(x, y), z)


def test_a_pull_is_bounded_and_half_a_square_near_0(fcdd):
    z = torch.tensor([1e-2, 1.0, 100.0]).double().view(3, 1, 1, 1)
    near, one, far = fcdd.heat(z).flatten().tolist()
    assert near == pytest.approx(5e-5, rel=1e-3)
    assert one == pytest.approx(2**0.5 - 1)
    assert far == pytest.approx(99, rel=1e-3)


def test_a_head_that_says_0_everywhere_is_best_without_confetti_only(fcdd):
    zeros = torch.zeros(2, 1, 3, 3)
    assert fcdd.fcdd_loss(zeros, torch.tensor([0, 0])) == 0
    assert fcdd.fcdd_loss(zeros, torch.tensor([0, 1])) > 30


def test_a_map_is_the_direct_sum_of_gaussians_at_the_networks_own_numbers(fcdd):
    heats = random_features(1, 16, 16).square()
    found = fcdd.anomaly_maps(heats, 128, (-38, 83), 8, 8.0)[0]
    rows, columns = np.mgrid[:128, :128]
    wanted = np.zeros((128, 128))
    for k, m in np.ndindex(16, 16):
        y, x = rows - (3 + 8 * k), columns - (3 + 8 * m)
        wanted += (
            heats[0, k, m].item()
            * np.exp(-(y**2 + x**2) / 128)
            * (np.maximum(abs(y), abs(x)) <= 41)
        )
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_one_cell_gives_one_bell_at_its_place_and_a_map_beyond_the_fields_is_0(fcdd):
    heats = torch.zeros(2, 3, 3)
    heats[1, 1, 2] = 5
    maps = fcdd.anomaly_maps(heats, 20, (1, 5), 4, 1.0)
    assert maps.shape == (2, 20, 20) and not maps[0].any()
    assert np.unravel_index(maps[1].argmax(), (20, 20)) == (7, 11)
    assert maps[1].max() == pytest.approx(5)
    assert not maps[1, :, :9].any() and not maps[1, :, 14:].any()


@pytest.mark.parametrize(("stride", "wanted"), [(4, (-6, 19)), (8, (-26, 67)), (16, (-154, 339))])
def test_the_field_of_the_packaged_backbone_is_that_of_its_layers(fcdd, stride, wanted):
    network = backbones.load("efficientnet_lite0", strides=(stride,))
    found = fcdd.receptive_field(lambda x: network.network(x)[0], stride)
    first, length, step = 0, 1, 1
    for conv in network.network.modules():
        if isinstance(conv, nn.Conv2d):
            kernel = conv.kernel_size[0]
            total = kernel - conv.stride[0] if conv.stride[0] > 1 else kernel - 1
            first -= total // 2 * step  # padded as TensorFlow does, on an even side
            length += (kernel - 1) * step
            step *= conv.stride[0]
    assert found == (first, length) == wanted


def test_the_influence_of_a_symmetric_layer_sits_on_its_cell(fcdd):
    layer = nn.Conv2d(3, 1, 5, padding=2, bias=False)
    nn.init.ones_(layer.weight)
    shares, begin = fcdd.influence(layer, random_features(2, 3, 16, 16), 1)
    assert shares.shape == (16,) and begin == 8
    assert np.allclose(shares[6:11], 0.2) and shares.sum() == pytest.approx(1)


# --- confetti and training ----------------------------------------------------------------------


def test_a_piece_is_a_tilted_square_of_the_papers_sizes(fcdd):
    areas = [fcdd.piece(240, np.random.default_rng(seed)).sum() for seed in range(200)]
    assert 30 < np.quantile(areas, 0.5) < 54**2
    assert max(areas) <= 56**2  # a pixel more, for the raster
    corner = [fcdd.piece(240, np.random.default_rng(s)) for s in range(20)]
    tilted = [p for p in corner if p.any() and p.sum() < 0.95 * box(p)]
    assert tilted, "no square is tilted"


def box(mask):
    rows, columns = np.nonzero(mask)
    return (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_confetti_leaves_images_as_they_were_and_needs_no_global_generator(fcdd):
    images = np.random.default_rng(0).integers(60, 200, (5, 48, 48, 3), dtype=np.uint8)
    before, state = images.copy(), np.random.get_state()[1].copy()
    first, again = fcdd.confetti(images, 3), fcdd.confetti(images, 3)
    assert np.array_equal(images, before) and np.array_equal(first, again)
    assert np.array_equal(state, np.random.get_state()[1])
    assert first.dtype == np.uint8 and (first != images).any(axis=(1, 2, 3)).all()


def test_the_first_update_is_one_of_sgd_and_the_rate_falls_to_0(fcdd, monkeypatch):
    rates, options = [], []

    class Watched(torch.optim.SGD):
        def __init__(self, parameters, rate, **given):
            options.append((rate, given))
            super().__init__(parameters, rate, **given)

        def step(self):
            rates.append(self.param_groups[0]["lr"])
            return super().step()

    monkeypatch.setattr(fcdd.optim, "SGD", Watched)
    clean, dirty = random_features(5, 2, 3, 3), random_features(5, 2, 3, 3, seed=1)
    fcdd.train_head(fcdd.new_head(2, 3, 0), clean, dirty, 4, 0.2, 4, 0)
    assert np.allclose(rates, [0.2, 0.15, 0.1, 0.05])
    assert options == [(0.2, {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-5})]


def test_training_depends_on_the_seed_only_and_leaves_the_global_generator_alone(fcdd):
    clean, dirty = random_features(5, 2, 3, 3), 2 + random_features(5, 2, 3, 3, seed=1)
    before = torch.get_rng_state()

    def losses(seed):
        head = fcdd.new_head(2, 3, seed)
        return fcdd.train_head(head, clean, dirty, 5, 0.1, 4, seed).tolist()

    assert losses(0) == losses(0) != losses(1)
    assert torch.equal(before, torch.get_rng_state())


def test_a_batch_is_half_clean_and_half_confetti(fcdd):
    seen = []

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            seen.append(x.detach().clone())
            return x[:, :1] * self.weight

    clean, dirty = torch.zeros(7, 2, 3, 3), torch.ones(9, 2, 3, 3)
    fcdd.train_head(Head(), clean, dirty, 3, 0.1, 6, 0)
    assert [x.mean(dim=(1, 2, 3)).tolist() for x in seen] == [[0, 0, 0, 1, 1, 1]] * 3
    seen.clear()
    fcdd.train_head(Head(), clean, dirty, 2, 0.1, 6, 0, mixed=False)
    assert [x.mean().item() for x in seen] == [0, 1, 0, 1]


def test_new_statistics_change_no_weight_and_fit_what_was_given(fcdd):
    head = fcdd.new_head(3, 4, 0)
    features = 5 + 2 * random_features(70, 3, 4, 5)
    renewed = fcdd.with_statistics_of(head.eval(), features)
    assert all(a is b for a, b in zip((head[0], head[3]), (renewed[0], renewed[3]), strict=True))
    assert torch.equal(head[1].weight, renewed[1].weight) and not renewed.training
    head.train()
    assert torch.allclose(head(features), renewed(features), rtol=1e-3, atol=1e-3)


def test_separate_passes_leave_statistics_that_fit_neither_kind(fcdd):
    clean, dirty = random_features(40, 2, 4, 4), 6 + random_features(40, 2, 4, 4, seed=1)
    head = fcdd.new_head(2, 8, 0)
    fcdd.train_head(head, clean, dirty, 60, 0.05, 16, 0, mixed=False)
    with torch.no_grad():
        before = head[0](clean), head[0](dirty)
    own = [x.var(dim=(0, 2, 3)) for x in before]
    both = torch.cat(before).var(dim=(0, 2, 3))
    kept = head[1].running_var
    assert (kept < 0.5 * both).any(), "the step between the kinds is not in it"
    assert torch.isfinite(kept / own[0]).all()


def test_what_it_needs_grows_with_images_depth_and_size(fcdd):
    fcdd.sheets = 2
    settings = {"channels": 40, "fitted": 200, "tested": 200, "size": 128, "stride": 8}
    base = fcdd.bytes_needed(**settings)
    assert 1e8 < base < 3e9
    for name in ("channels", "fitted", "tested", "size"):
        assert fcdd.bytes_needed(**settings | {name: 2 * settings[name]}) > base


def test_confetti_is_drawn_as_described(fcdd):
    grey = np.random.default_rng(1).integers(0, 256, (8, 40, 40, 1), dtype=np.uint8)
    grey[0], grey[1] = 0, 255  # nothing can be taken from one, nothing added to the other
    draw = np.random.default_rng(5)
    for image, found in zip(grey[..., 0], fcdd.confetti(grey.repeat(3, 3), 5), strict=True):
        added = np.zeros((40, 40))
        for _ in range(draw.integers(1, 4)):
            inside = fcdd.piece(40, draw)
            added[inside] = draw.uniform(-255, 255)
        added = ndimage.gaussian_filter(added, 40 / 128)
        wanted = np.clip(image + added, 0, 255)
        if abs(wanted - image).mean() < 0.025:
            wanted = np.clip(image - added, 0, 255)
        assert np.array_equal(found, np.rint(wanted)[..., None].repeat(3, 2))


def test_heats_come_in_batches_without_gradients(fcdd):
    head, features = fcdd.new_head(3, 4, 0).eval(), random_features(130, 3, 2, 5)
    heats = fcdd.heats_of(head, features)
    assert heats.shape == (130, 2, 5) and not heats.requires_grad
    assert torch.allclose(heats, fcdd.heat(head(features)), atol=1e-6)


def test_training_puts_the_head_into_training_and_back(fcdd):
    head = fcdd.new_head(2, 3, 0).eval()
    fcdd.train_head(head, random_features(5, 2, 3, 3), random_features(5, 2, 3, 3), 3, 0.1, 4, 0)
    assert head[1].num_batches_tracked == 3 and not head.training


def test_sharpness_is_the_mean_absolute_laplacian(fcdd):
    images = np.zeros((2, 7, 7, 3), np.uint8)
    images[0, 3, 3] = 30, 60, 90  # 60 in grey: 4 x 60 in the middle, 60 at each neighbour
    assert fcdd.sharpness(images).tolist() == pytest.approx([8 * 60 / 49, 0])


def test_out_of_focus_blurs_within_images_alone(fcdd):
    images = np.zeros((2, 20, 20, 3), np.uint8)
    images[0, 10, 10] = 200
    blurred = fcdd.out_of_focus(images, 2.0)
    assert blurred[0].max() < 20 and blurred[0].sum() > 100 and not blurred[1].any()


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("field_of", "losses_with_masks", "weighted_mean")


def field_by_asking(layers):
    """Which pixels cell 0 sees, gone back from the output."""
    low = high = 0
    for kernel, stride, padding in reversed(layers):
        low, high = stride * low - padding, stride * high - padding + kernel - 1
    return low, high - low + 1


def field(padding=True, grow=lambda k: k - 1, late=True, start=1):
    def answer(layers):
        first, length, step = 0, start, 1
        for kernel, stride, pad in layers:
            step *= 1 if late else stride
            first -= pad * (step if padding else 1)
            length += grow(kernel) * step
            step *= stride if late else 1
        return first, length

    return answer


def losses_by_loop(maps, masks):
    out = []
    for one, mask in zip(maps, masks, strict=True):
        loss = one[~mask].sum() / one.size
        if mask.any():
            loss -= np.log(1 - np.exp(-one[mask].sum() / one.size))
        out.append(loss)
    return np.array(out)


def masked(clean=None, inside=None, empty=True):
    clean = clean or (lambda a, m: (a * ~m).mean(axis=(1, 2)))
    inside = inside or (lambda a, m: (a * m).mean(axis=(1, 2)))

    def answer(maps, masks):
        loss, within = clean(maps, masks), inside(maps, masks)
        some = masks.any(axis=(1, 2)) if empty else np.ones(len(maps), bool)
        loss[some] -= np.log(1 - np.exp(-within[some]) + 1e-31)
        return loss

    return answer


def per_pixel(maps, masks):
    loss = (maps * ~masks).mean(axis=(1, 2))
    away = -np.log(1 - np.exp(-np.where(masks, maps, 50)))
    return loss + away.mean(axis=(1, 2))


def weights(cells, size, first, length, stride, sigma, cut=True, spread=2):
    centres = first + stride * np.arange(cells) + (length - 1) / 2
    away = np.arange(size)[:, None] - centres
    bell = np.exp(-(away**2) / (spread * sigma**2))
    return bell * (abs(away) <= (length - 1) / 2) if cut else bell


def mean_by_einsum(heats, size, first, length, stride, sigma):
    rest = (size, first, length, stride, sigma)
    down, right = (weights(cells, *rest) for cells in heats.shape)
    both = np.einsum("pk,ql->pqkl", down, right)
    return (both * heats).sum(axis=(2, 3)) / both.sum(axis=(2, 3))


def enlarged(divide=True, move=0.0, swap=False, **how):
    def answer(heats, size, first, length, stride, sigma):
        rest = (size, first + move, length, stride, sigma)
        down, right = (weights(cells, *rest, **how) for cells in heats.shape)
        found = down @ heats @ right.T
        if divide is True:
            found = found / np.outer(down.sum(axis=1), right.sum(axis=1))
        elif divide:
            found = found / divide(down, right)
        return found.T if swap else found

    return answer


def own_stride_alone(layers):
    first, length, step = 0, 1, 1
    for kernel, stride, padding in layers:
        first, length, step = first - padding * step, length + (kernel - 1) * step, stride
    return first, length


def used_up(layers):
    found = field()(layers)
    while layers:
        layers.pop()
    return found


def squared_in_place(maps, masks):
    found = losses_by_loop(maps, masks)
    maps *= maps
    return found


OTHERS = {
    "field_of": field_by_asking,
    "losses_with_masks": losses_by_loop,
    "weighted_mean": mean_by_einsum,
}
WRONG = [
    ("field_of", field(padding=False), "first 0 - 2, length 1 + 2 + 4"),
    ("field_of", field(grow=lambda k: k), "one layer"),
    ("field_of", field(late=False), "first -1 - 0, length 1 + 4 + 4"),
    ("field_of", field(start=0), "one layer"),
    ("field_of", lambda layers: field()(layers)[::-1], "swapped"),
    ("field_of", lambda layers: field()(layers[::-1]), "first -1 - 0, length 1 + 4 + 4"),
    ("field_of", lambda layers: (-field()(layers)[0], field()(layers)[1]), "one layer"),
    ("field_of", lambda layers: field()(layers)[1], "one layer"),
    (
        "field_of",
        lambda layers: (0, 1 + sum(k - 1 for k, _, _ in layers)),
        "one layer",
    ),
    (
        "field_of",
        lambda layers: (-(field()(layers)[1] // 2), field()(layers)[1]),
        "first -1 - 0, length 1 + 4 + 4",
    ),
    ("field_of", own_stride_alone, "first 0 - 4 - 6, length 1 + 1 + 4 + 18"),
    ("field_of", used_up, "changed in place"),
    ("field_of", lambda layers: field()(layers) if layers else None, "is a `return` missing?"),
    ("losses_with_masks", masked(empty=False), "an empty mask"),
    (
        "losses_with_masks",
        masked(inside=lambda a, m: (a * m).mean((1, 2)).clip(0, 1)),
        "a large sum, 1 + ln 4/3",
    ),
    ("losses_with_masks", lambda a, m: losses_by_loop(a, m * 0 > 1) + 1, "one pixel in the mask"),
    ("losses_with_masks", lambda a, m: losses_by_loop(a[:2], m[:2]), "expected shape (4,)"),
    ("losses_with_masks", squared_in_place, "changed in place"),
    (
        "losses_with_masks",
        masked(inside=lambda a, m: (a * m).sum(axis=(1, 2))),
        "one pixel in the mask",
    ),
    (
        "losses_with_masks",
        masked(inside=lambda a, m: (a * m).sum((1, 2)) / np.maximum(m.sum((1, 2)), 1)),
        "one pixel in the mask",
    ),
    ("losses_with_masks", masked(clean=lambda a, m: a.mean(axis=(1, 2))), "one pixel in the mask"),
    (
        "losses_with_masks",
        masked(clean=lambda a, m: (a * ~m).sum((1, 2)) / np.maximum((~m).sum((1, 2)), 1)),
        "one pixel in the mask",
    ),
    ("losses_with_masks", lambda a, m: losses_by_loop(a, ~m), "one pixel in the mask"),
    ("losses_with_masks", lambda a, m: losses_by_loop(a, m).mean(), "expected shape (4,)"),
    ("losses_with_masks", per_pixel, "one pixel in the mask"),
    ("losses_with_masks", lambda a, m: (a * ~m).mean(axis=(1, 2)), "one pixel in the mask"),
    (
        "losses_with_masks",
        masked(inside=lambda a, m: (a * m).max(axis=(1, 2)) / 6),
        "two pixels, their sum",
    ),
    ("weighted_mean", enlarged(divide=False), "all cells 2.5"),
    ("weighted_mean", enlarged(divide=lambda a, b: a.sum() * b.sum()), "all cells 2.5"),
    ("weighted_mean", enlarged(cut=False), "3 rows, 4 columns"),
    ("weighted_mean", enlarged(spread=1), "3 rows, 4 columns"),
    ("weighted_mean", enlarged(move=0.5), "3 rows, 4 columns"),
    ("weighted_mean", enlarged(swap=True), "3 rows, 4 columns"),
    ("weighted_mean", lambda h, *rest: enlarged()(h * h, *rest), "all cells 2.5"),
    ("weighted_mean", lambda h, *rest: enlarged()(h, *rest)[:-1], "expected shape (12, 12)"),
    (
        "weighted_mean",
        enlarged(divide=lambda a, b: a.sum(axis=1)[:, None]),
        "all cells 2.5",
    ),
    (
        "weighted_mean",
        lambda h, size, *rest: np.full((size, size), h.mean()),
        "3 rows, 4 columns",
    ),
]
EQUIVALENT = {
    "weighted_mean": {
        "sides.append(bell * (abs(away) <= {(length - 1) → length} / 2))": (
            "pixels lie whole steps from the border, so no further one comes in"
        ),
        "sides.append(bell * (abs(away) <= (length - {1 → 0}) / 2))": "the same as above",
    },
}
EQUIVALENT_DEFINITIONS = {
    "bytes_needed": "an estimate from above; its growth is tested here",
    "seconds_needed": "an estimate of time",
    "receptive_field": "tested above on three depths; how much room the strips have is open",
    "whole": "front and head, one after the other",
    "influence": "tested above",
    "confetti": "tested above, drawn again",
    "train_head": "tested above",
    "heats_of": "tested above",
    "simply_enlarged": "torch's own enlarging",
    "pixel_auroc": "the helpers' own, on the images with masks",
    "out_of_focus": "tested above",
    "sharpness": "tested above",
    "heat": {
        "return (outputs[:, {0 → -1}].square() + 1).sqrt() - 1": "there is one channel",
    },
    "anomaly_maps": {
        "end = size - first - whole.shape[-{1 → 2}]": "images are square",
        "return F.pad(whole, (first, end, first, end))[:, {0 → -1}].numpy()": (
            "there is one channel"
        ),
    },
    "piece": {
        "return np.maximum(abs(along), abs(across)) {<= → <} side / 2": (
            "no pixel lies on the border itself"
        ),
    },
    "with_statistics_of": {
        "before = torch.cat([head[0](part) for part in features.split({64 → 65})])": (
            "however many at a time"
        ),
        "before = torch.cat([head[0](part) for part in features.split({64 → 63})])": (
            "however many at a time"
        ),
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
