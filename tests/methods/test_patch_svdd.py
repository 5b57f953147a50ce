"""Patch SVDD's notebook: its equations are guarded, its exercises tell right from wrong."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "one_class" / "patch_svdd.ipynb"
CHECKS = (
    *("pairs", "noise", "encoder", "losses", "classifier"),
    *("rounding", "grids", "fidelity", "nearest"),
)


@pytest.fixture(scope="module")
def svdd():
    return definitions(PATH)


@pytest.fixture
def images():
    draw = torch.Generator().manual_seed(0)
    return 0.2 * torch.randn(3, 3, 64, 64, generator=draw)


def setting(notebook, **changes):
    usual = {"width": 6, "steps": 4, "rate": 0.003, "count": 4, "weight": 0.1}
    return notebook.Setting(**usual | {"device": torch.device("cpu")} | changes)


def run_checks(notebook, seed=0):
    for name in CHECKS:
        getattr(notebook, f"check_{name}")(seed)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(svdd, seed):
    run_checks(svdd, seed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return (first - second).norm(dim=1).mean()", "return (first - second).norm(dim=1).sum()"),
        (
            "return (first - second).norm(dim=1).mean()",
            "return (first - second).square().sum(dim=1).mean()",
        ),
        (
            "F.cross_entropy(classifier(first - second), labels)",
            "F.cross_entropy(classifier(second - first), labels)",
        ),
        ("ssl + weight * near", "weight * ssl + near"),
        (
            "fixed /= np.linalg.norm(fixed, axis=0)",
            "fixed /= np.linalg.norm(fixed, axis=1)[:, None]",
        ),
        (
            'self.register_buffer("fixed", torch.tensor(fixed).float())',
            "self.fixed = nn.Parameter(torch.tensor(fixed).float())",
        ),
        ("offsets = moves()[labels] * away", "offsets = -moves()[labels] * away"),
        (
            "draw.integers(3 * side // 4, side, size=(count, 2))",
            "draw.integers(side, size=(count, 2))",
        ),
        (
            "offsets = moves()[draw.integers(8, size=count)]",
            "offsets = 2 * moves()[draw.integers(8, size=count)]",
        ),
        (
            "first = noisy(crops(x, images, corners, side), draw)",
            "first = crops(x, images, corners, side)",
        ),
        ("large(encoder, dense, K.small // 2)", "large(encoder, dense, K.small // 4)"),
        ("quarters.permute(0, 2, 3, 1, 4, 5)", "quarters.permute(0, 3, 2, 1, 4, 5)"),
        ("return torch.tanh(self.layers[-1](x))", "return self.layers[-1](x)"),
        ("(squares - 2 * part @ bank.T).amin(dim=1)", "(squares - 2 * part @ bank.T).amax(dim=1)"),
        (".clamp_min(0).sqrt()", ".clamp_min(0)"),
        ("(total / F.conv_transpose2d(patches, ones, stride=step))", "(total / side)"),
        ("return maps.prod(dim=0).numpy()", "return maps.sum(dim=0).numpy()"),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))"),
        ("x = F.leaky_relu(layer(x), 0.1)", "x = F.leaky_relu(layer(x), 0.01)"),
        ("F.leaky_relu(joined, 0.1)", "F.relu(joined)"),
        ("F.leaky_relu(self.one(difference), 0.1)", "F.relu(self.one(difference))"),
        ("noise += draw.normal(0, 0.02, (len(patches), 3, 1, 1))", "noise *= 1"),
        ("draw.normal(0, 0.02, patches.shape)", "draw.normal(0.02, 0.02, patches.shape)"),
        ("return (gradient / step).round() * step", "return (gradient / step).floor() * step"),
        (".clamp_min(0).sqrt()", ".sqrt()"),
    ],
)
def test_a_broken_equation_does_not_pass_the_checks(old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError)):
        run_checks(broken)


def test_first_weights_follow_he_or_pytorchs_default(svdd):
    def drawn(rule):
        layer = torch.nn.Conv2d(64, 64, 3)
        return svdd.first_weights(layer, np.random.default_rng(0), rule)

    he, default = drawn("he"), drawn("default")
    assert abs(he.weight.std().item() - (2 / 576) ** 0.5) < 1e-3
    assert he.bias.abs().max() == 0
    pytorch = torch.nn.Conv2d(64, 64, 3)
    for ours, theirs in ((default.weight, pytorch.weight), (default.bias, pytorch.bias)):
        assert abs(ours.abs().max() - 1 / 24) < 1e-2 and ours.abs().max() <= 1 / 24
        assert abs(ours.std() / theirs.std() - 1) < 0.3


def test_patches_of_both_sizes_lie_inside_the_image_whatever_the_direction(svdd):
    draw = np.random.default_rng(0)
    for side, sign in product((16, 32), svdd.moves()):
        offsets = np.tile(sign * (side - 1), (500, 1))
        corners = svdd.corners_for(offsets, side, 64, draw)
        both = np.concatenate([corners, corners + offsets])
        assert both.min(axis=0).tolist() == [0, 0]
        assert both.max(axis=0).tolist() == [64 - side, 64 - side]


def test_the_encoder_is_as_wide_as_said(svdd):
    middle = [(16, 32), (32, 64), (64, 64), (64, 32), (32, 16), (16, 16)]
    assert svdd.shapes_of(6) == [
        (3, 16, 3, 2),
        *((before, after, 2, 1) for before, after in middle),
        (16, 6, 1, 1),
        (6, 128, 2, 1),
        (128, 6, 1, 1),
    ]


def test_the_losses_of_a_pair_are_a_guess_and_0_where_all_vectors_are_equal(svdd, images):
    draw = np.random.default_rng(0)
    encoder, head = svdd.Encoder(6, draw), svdd.Classifier(6, draw)
    ssl, near = svdd.pair_losses(encoder, head, images, 16, 5, draw)
    assert abs(ssl.item() - np.log(8)) > 1e-3 and near.item() > 1e-3
    encoder.layers[-1].weight.data.zero_()
    ssl, near = svdd.pair_losses(encoder, head, images, 16, 5, draw)
    assert ssl.item() == pytest.approx(np.log(8), abs=1e-5) and near.item() == 0


def test_an_update_takes_rounded_gradients_and_no_others(svdd, monkeypatch):
    used, unused = (torch.nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in "ab")
    adam = torch.optim.Adam([used, unused], 0.1)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, 0.1, total_steps=5)
    seen = []
    monkeypatch.setattr(svdd, "rounded", lambda g: seen.append(g.tolist()) or 0 * g)
    for _ in range(2):
        svdd.update(adam, cycle, (used * torch.tensor([1.0, 2.0, 3.0])).sum())
    assert seen == [[1.0, 2.0, 3.0]] * 2, "gradients of one loss, not added up"
    assert used.tolist() == [1.0] * 3 and unused.grad is None
    monkeypatch.undo()
    svdd.update(adam, cycle, used.sum())
    assert used.max() < 1


def test_images_are_described_some_at_a_time_as_all_at_once(svdd, images):
    encoder = svdd.Encoder(6, np.random.default_rng(0))
    many = torch.cat([images, 2 * images, images.flip(0), images])  # 12
    both = svdd.describe(encoder, many)
    for some, want in zip(both, svdd.on_grid(encoder, many), strict=True):
        assert torch.allclose(some, want, atol=1e-6) and not some.requires_grad
    exact = svdd.describe(encoder.double(), many)
    assert exact[0].dtype == torch.float64, "in the encoder's precision"
    banks = svdd.banks_of(both, 7, 0)
    for bank, some in zip(banks, both, strict=True):
        assert torch.equal(bank, svdd.bank_of(some, 7, 0))


def test_training_lowers_the_loss_and_depends_on_the_seed_only(svdd, images):
    before = torch.get_rng_state()
    _, heads, history = svdd.train_encoder(images, setting(svdd), 0)
    again = svdd.train_encoder(images, setting(svdd), 0)[2]
    other = svdd.train_encoder(images, setting(svdd), 1)[2]
    assert history.shape == (4, 2, 2) and set(heads) == {16, 32}
    assert np.array_equal(history, again) and not np.array_equal(history, other)
    assert torch.equal(before, torch.get_rng_state())
    fixed = {side: head.fixed.clone() for side, head in heads.items()}
    fresh = np.random.default_rng(0)
    svdd.Encoder(6, fresh)
    for side in (16, 32):
        assert torch.equal(fixed[side], svdd.Classifier(6, fresh).fixed), "as they were drawn"


def test_lambda_weighs_the_near_loss(svdd, images):
    def last_near(weight):
        some = setting(svdd, steps=60, rate=0.001, weight=weight, count=8)
        return svdd.train_encoder(images, some, 0, sizes=(16,))[2][-5:, 0, 1].mean()

    assert last_near(30.0) < 0.7 * last_near(0.0)


def test_the_learning_rate_rises_and_falls_to_0(svdd, images, monkeypatch):
    rates = []

    class Watched(torch.optim.Adam):
        def step(self, *args, **named):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **named)

    monkeypatch.setattr(svdd.optim, "Adam", Watched)
    svdd.train_encoder(images, setting(svdd, steps=20), 0, sizes=(16,))
    assert max(rates) == pytest.approx(0.003) and rates[0] < 0.0002 and rates[-1] < 1e-6


def test_spread_and_its_ratio(svdd):
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(8, 5, 6, 6, generator=draw)
    assert svdd.spread(vectors) == pytest.approx(1, abs=0.05)
    assert svdd.spread(0.01 * vectors + 7) == pytest.approx(0.01, abs=1e-3)
    found = svdd.log_ratio(vectors, vectors / 100)
    assert found.value == pytest.approx(2) and found.low == pytest.approx(2)
    other = svdd.log_ratio(vectors, torch.randn(8, 5, 6, 6, generator=draw))
    assert other.low < other.value < other.high and abs(other.value) < 0.1
    gone = svdd.log_ratio(vectors, torch.full((8, 5, 6, 6), 0.3))
    assert 5 < gone.value < 9, "one point: a floor, not infinity"
    assert svdd.log_spread(0.01 * vectors) == pytest.approx(-2, abs=0.03)
    assert svdd.log_spread(0 * vectors) == -8


def test_the_plane_is_that_in_which_vectors_vary_most(svdd):
    draw = torch.Generator().manual_seed(0)
    vectors = (
        torch.randn(900, 4, 1, 1, generator=draw) * torch.tensor([1, 9, 0.1, 4.0])[:, None, None]
    )
    points = svdd.in_a_plane(vectors + 5)
    assert points.shape == (450, 2)
    assert points.std(axis=0) == pytest.approx([9, 4], rel=0.15)
    assert np.abs(points.mean(axis=0)).max() < 1


def test_shared_ranks(svdd):
    some = np.array([3.0, 1.0, 2.0])
    assert svdd.shared_ranks(some, 10 * some) == pytest.approx(1)
    assert svdd.shared_ranks(some, -some) == pytest.approx(-1)
    assert svdd.shared_ranks(np.ones(3), some) is None, "all are equal"


def test_a_shift_of_all_vectors_changes_no_distance_even_where_they_hardly_differ(svdd):
    draw = torch.Generator().manual_seed(0)
    vectors = torch.rand(2, 4, 3, 3, generator=draw)
    bank = torch.rand(9, 4, generator=draw)
    near = svdd.nearest(vectors, bank)
    assert torch.allclose(svdd.nearest(vectors + 0.5, bank + 0.5), near, atol=1e-4)
    tiny = svdd.nearest(1e-4 * vectors + 0.5, 1e-4 * bank + 0.5)
    assert torch.allclose(tiny, 1e-4 * near, atol=1e-6)


def test_a_bank_holds_some_of_the_vectors(svdd):
    vectors = torch.arange(24.0).reshape(2, 2, 2, 3)
    bank = svdd.bank_of(vectors, 5, 0)
    every = vectors.permute(0, 2, 3, 1).reshape(-1, 2).tolist()
    assert bank.shape == (5, 2) and all(row in every for row in bank.tolist())
    assert svdd.bank_of(vectors, 100, 0).shape == (12, 2)


def test_examine_knows_a_classifier_that_is_right_and_one_that_guesses(svdd, images):
    draw = np.random.default_rng(0)
    encoder = svdd.Encoder(6, draw)
    head = svdd.Classifier(6, draw)
    head.fixed.zero_()
    loss, right = svdd.examine(encoder, {16: head}, images, 0, count=400)[16]
    assert loss == pytest.approx(np.log(8), abs=1e-5) and 0.05 < right.mean() < 0.2


def test_the_plan_grows_with_images_and_updates(svdd, images):
    few, many = (svdd.bytes_needed(n, 50, 128, 32) for n in (100, 1000))
    assert 0 < few < many
    assert svdd.seconds_needed(images, setting(svdd), 100) > 0


def test_images_are_centred_by_the_mean_image(svdd):
    some = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    mean = some.astype(np.float32).mean(axis=0)
    x = svdd.prepare(some, mean)
    assert x.shape == (4, 3, 6, 6) and x.mean(dim=0).abs().max() < 1e-5
    assert np.allclose(x[1, 2, 3, 4], (some[1, 3, 4, 2] - mean[3, 4, 2]) / 255)


def test_small_maps_use_the_bank_of_their_own_encoder(svdd, images):
    svdd.fit_x, svdd.test_x, svdd.bank_size, svdd.seed = images, images, 10_000, 0
    encoder = svdd.Encoder(6, np.random.default_rng(0))
    maps = svdd.small_map(encoder)
    assert maps.shape == (3, 64, 64) and maps.max() < 2e-3, "all are in the bank"
    bad = SimpleNamespace(masks=np.zeros((3, 64, 64), bool))
    assert svdd.pixel_auroc(bad, maps) is None


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("position_labels", "moved_share")


def labels_by_loops(first, second):
    found = []
    for (r, c), (s, d) in zip(first, second, strict=True):
        step = ((s > r) * 1 - (s < r), (d > c) * 1 - (d < c))
        order = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
        found.append(order.index(step) if step != (0, 0) else -1)
    return np.array(found)


def share_by_counting(whole, side):
    free, steps = whole - side, range(3 * side // 4, side)
    inside = [0 <= k + step <= free for k in range(free + 1) for step in steps]
    q = sum(inside) / len(inside)
    return np.mean([1 - q, 1 - q * q])


def sign_number(first, second):
    signs = np.sign(second - first)
    return 3 * (signs[:, 0] + 1) + signs[:, 1] + 1


def labels_from(first, second, same=-1):
    number = sign_number(first, second)
    return np.where(number == 4, same, number - (number > 4))


def labels_by_angle(first, second):
    rows, columns = (second - first).T
    turn = np.round(np.arctan2(rows, columns) / (np.pi / 4)).astype(int) % 8
    return np.array([4, 7, 6, 5, 3, 0, 1, 2])[turn]


def labels_along_the_longer_axis(first, second):
    away = second - first
    short = np.abs(away) * 5 < np.abs(away[:, ::-1])
    return labels_from(first * 0, np.where(short, 0, away))


def labels_with_steep_rows(first, second):
    away = second - first
    away[:, 0] *= 9 * np.abs(away[:, 0]) >= np.abs(away[:, 1])
    return labels_from(first * 0, away)


def labels_of_neighbours(first, second):
    reach = np.abs(second - first).max(axis=1)
    return np.where(reach > 10, -1, labels_from(first, second))


def share(whole, side, *, axes=None, last=0, first=0, corners=1):
    places = whole - side + corners
    steps = range(3 * side // 4 + first, side + last)
    q = np.mean([max(0, places - step) for step in steps]) / places
    if axes:
        return 1 - q**axes
    return 1 - (q + q**2) / 2


EQUIVALENT = {
    "position_labels": {
        "labels = number - (number {> → >=} 4)": "4 becomes -1 in the next line",
        "labels = number - (number > {4 → 3})": "4 becomes -1 in the next line",
    },
}
EQUIVALENT_DEFINITIONS = {
    "of_patches": {"if patches.shape[-{1 → 2}] == K.small:": "patches are square"},
    "near_pairs": {
        "corners = corners_for(offsets, side, x.shape[-{1 → 2}], draw)": "images are square",
        "return ({first, crops(x, images, corners + offsets, side) → "
        "crops(x, images, corners + offsets, side), first})": "a distance has no direction",
    },
    "noisy": {
        "noise {+= → -=} draw.normal(0, 0.02, (len(patches), 3, 1, 1))": "as likely below 0",
        "return patches {+ → -} torch.tensor(noise, dtype=torch.float32)": "as likely below 0",
    },
    "position_pairs": {
        "corners = corners_for(offsets, side, x.shape[-{1 → 2}], draw)": "images are square",
    },
    "rounded": {
        "step = {2.0 → -2.0} ** (largest.log2().floor() - 16)": "halves go to even numbers",
    },
    "nearest": {
        "centre = {bank.mean → bank.sum}(dim=0)": "any shift; digits are tested above",
        "centre = bank.mean({dim=0 → })": "any shift; digits are tested above",
        "for part in flat.split({128 → 129}):": "how many at once",
        "for part in flat.split({128 → 127}):": "how many at once",
    },
    "over_pixels": {
        "patches = torch.ones_like(distances[{:1, None → None, :1}])": "ones of the same shape",
        "patches = torch.ones_like(distances[:{1 → }, None])": "the same for every image",
        "patches = torch.ones_like(distances[:{1 → 2}, None])": "the same for every image",
        "return (total / F.conv_transpose2d(patches, ones, stride=step))[:, {0 → -1}]": "one",
        "ones = torch.ones(1, {1 → 2}, side, side, dtype=distances.dtype)": "the first is taken",
    },
    "first_weights": "tested above",
    "shapes_of": "tested above",
    "corners_for": "tested above",
    "prepare": "tested above",
    "pair_losses": "tested above",
    "update": "tested above",
    "train_encoder": "tested above",
    "describe": "tested above",
    "examine": "tested above",
    "spread": "tested above",
    "bank_of": "tested above",
    "banks_of": "tested above",
    "pixel_auroc": "where no defect has a mask it is tested above; else it is the helper's",
    "log_ratio": "tested above",
    "log_spread": "tested above",
    "in_a_plane": "tested above",
    "small_map": "tested above",
    "shared_ranks": "tested above",
    "bytes_needed": "an estimate; that it grows is tested above",
    "seconds_needed": "an estimate; that it is positive is tested above",
}
OTHERS = {"position_labels": labels_by_loops, "moved_share": share_by_counting}
WRONG = [
    ("position_labels", lambda a, b: labels_from(b, a), "the row above"),
    ("position_labels", lambda a, b: labels_from(a[:, ::-1], b[:, ::-1]), "the row above"),
    ("position_labels", labels_by_angle, "the row above, however far"),
    ("position_labels", sign_number, "left, right"),
    ("position_labels", lambda a, b: labels_from(a, b, same=4), "the same"),
    ("position_labels", lambda a, b: np.sign(b - a), "expected shape (3,)"),
    ("position_labels", lambda a, b: labels_from(a.squeeze(), b.squeeze()), "too many indices"),
    ("position_labels", labels_along_the_longer_axis, "the row above, however far"),
    ("position_labels", labels_of_neighbours, "the row above, however far"),
    ("position_labels", lambda a, b: labels_from(a // 2, b // 2), "the row above, however far"),
    ("position_labels", labels_with_steep_rows, "1 row, 15 columns"),
    ("moved_share", lambda w, s: 1 - share(w, s), "5 corners, a step of 3"),
    ("moved_share", lambda w, s: share(w, s, axes=1), "5 corners, a step of 3"),
    ("moved_share", lambda w, s: share(w, s, axes=2), "5 corners, a step of 3"),
    ("moved_share", lambda w, s: share(w, s, corners=0) if w > s else 1.0, "5 corners"),
    ("moved_share", lambda w, s: share(w, s, last=1), "5 corners, a step of 3"),
    (
        "moved_share",
        lambda w, s: 1 - np.polyval([0.5, 0.5, 0], max(0, w - 2 * s + s / 8 + 1.5) / (w - s + 1)),
        "step 15 never fits",
    ),
    ("moved_share", lambda w, s: share(w, s, first=1) if s > 4 else share(w, s), "7 corners"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
