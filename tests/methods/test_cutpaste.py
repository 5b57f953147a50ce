"""CutPaste's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy import stats
from torch import nn

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "one_class" / "cutpaste.ipynb"
SEEDED = (
    "check_jitter",
    "check_ends",
    "check_pasting",
    "check_scars",
    "check_turned",
    "check_task",
    "check_update",
    "check_density",
    "check_fidelity",
    "check_grad_cam",
)


@pytest.fixture(scope="module")
def cutpaste():
    return definitions(PATH)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(60, 190, (48, 40, 3), dtype=np.uint8)


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def run_checks(notebook, seed=0):
    for name in SEEDED:
        getattr(notebook, name)(seed)


def small(cutpaste, seed=0):
    """A frozen front and a trained end, small enough to watch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        front, end = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)
    front.requires_grad_(False)
    cutpaste.frozen = front
    cutpaste.pretrained = SimpleNamespace(
        preprocess=lambda x: torch.tensor(x).permute(0, 3, 1, 2).float() / 255 - 0.5
    )
    cutpaste.scale = 0.25
    return end


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_the_checks_pass_on_the_notebook_as_it_is(cutpaste, seed):
    run_checks(cutpaste, seed)


BROKEN = {
    "another share of the area": ("rng.uniform(0.02, 0.15)", "rng.uniform(0.02, 0.3)"),
    "never a small piece": ("rng.uniform(0.02, 0.15)", "rng.uniform(0.06, 0.15)"),
    "pieces that are never tall": ("(1.0, 3.3))[rng", "(0.3, 1.0))[rng"),
    "another ratio": ("(1.0, 3.3))[rng", "(1.0, 6.0))[rng"),
    "width and height of one length": ("area / ratio]", "area * ratio]"),
    "a piece pasted where it was cut": (
        "    target = somewhere(size, whole, rng)\n    pasted, mask",
        "    piece = jittered(image[target := somewhere(size, whole, rng)], rng)\n    pasted, mask",
    ),
    "a mask of another place": (
        "pasted[target], mask[target] = piece, True",
        "pasted[target], mask[: size[0], : size[1]] = piece, True",
    ),
    "nothing pasted": (
        "pasted[target], mask[target] = piece, True",
        "mask[target] = True",
    ),
    "all of the scar's box": ("np.rint(turned[shape]), shape", "np.rint(turned[shape]), True"),
    "scars of another width": ("rng.uniform((10, 2), (25, 16))", "rng.uniform((10, 2), (25, 30))"),
    "scars of another length": ("rng.uniform((10, 2), (25, 16))", "rng.uniform((3, 2), (9, 16))"),
    "scars upright": ("angle = rng.uniform(-45, 45)", "angle = 0.0"),
    "kinds in another order": ("kinds.repeat(len(maps))", "kinds.repeat_interleave(len(maps))"),
    "the first kinds whatever the task": ("maps[:, task.ways]", "maps[:, : len(task.ways)]"),
    "a rate that does not fall": ("(1 + np.cos(np.pi * done)) / 2", "1"),
    "a rate that falls to one half": (
        "(1 + np.cos(np.pi * done)) / 2",
        "(3 + np.cos(np.pi * done)) / 4",
    ),
    "the largest of the map": ("return maps.mean(dim=(2, 3))", "return maps.amax(dim=(2, 3))"),
    "no covariance": (
        "found.location_, found.precision_",
        "found.location_, np.eye(len(found.location_))",
    ),
    "the covariance not inverted": ("found.precision_", "found.covariance_"),
    "no mean": ("found.location_, found", "0 * found.location_, found"),
    "no half": ('0.5 * np.einsum("nd,de,ne->n"', 'np.einsum("nd,de,ne->n"'),
    "a sum in place of the mean over distances": ("steps = vectors - mean", "steps = vectors"),
    "patches of another stride": ("every[:, ::stride, ::stride]", "every[:, ::stride, ::size]"),
    "patches transposed": (
        "np.moveaxis(every[:, ::stride, ::stride], 3, -1)",
        "np.moveaxis(every[:, ::stride, ::stride], 3, -1).swapaxes(3, 4)",
    ),
    "one Gaussian for all places": (
        "image_scores(*place) for place in places",
        "image_scores(place[0], normals[0]) for place in places",
    ),
    "another sigma": ("(size / 4) ** 2", "(size / 2) ** 2"),
    "centres at the corners": ("stride * np.arange(n) + (size - 1) / 2", "stride * np.arange(n)"),
    "not divided by the weights": ("    weights /= weights.sum(axis=1, keepdims=True)\n", ""),
    "rows and columns exchanged": ('"yi,nij,xj->nyx"', '"xi,nij,yj->nyx"'),
    "Grad-CAM that may be negative": ("cams.relu()[:, None]", "cams[:, None]"),
    "Grad-CAM without the covariance": (".numpy() - mean) @ precision", ".numpy() - mean)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_equation_does_not_pass_the_checks(name):
    old, new = BROKEN[name]
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        run_checks(broken)


def test_nothing_changes_outside_the_mask_and_a_piece_comes_from_the_image(cutpaste, image):
    rng = np.random.default_rng(3)
    cutpaste_jitter, cutpaste.jittered = cutpaste.jittered, lambda pixels, rng: pixels
    try:
        for _ in range(40):
            pasted, mask = cutpaste.cut_paste(image, rng)
            assert pasted.dtype == np.uint8 and pasted.shape == image.shape
            assert np.array_equal(pasted[~mask], image[~mask])
            rows, columns = np.nonzero(mask)
            h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
            piece = pasted[rows[0] : rows[0] + h, columns[0] : columns[0] + w]
            views = np.lib.stride_tricks.sliding_window_view(image, (h, w), axis=(0, 1))
            same = (np.moveaxis(views, 2, -1) == piece).all(axis=(2, 3, 4))
            assert same.any(), "the piece is not in the image"
    finally:
        cutpaste.jittered = cutpaste_jitter


def test_sizes_follow_the_formula(cutpaste):
    image = np.zeros((200, 300, 3), dtype=np.uint8)
    rng = np.random.default_rng(0)
    shares, ratios = [], []
    for _ in range(1500):
        rows, columns = np.nonzero(cutpaste.cut_paste(image, rng)[1])
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        shares.append(h * w / 60000)
        ratios.append(h / w)
    wide = [r for r in ratios if r < 1]
    assert stats.kstest(shares, stats.uniform(0.02, 0.13).cdf).pvalue > 1e-3
    assert stats.kstest(wide, stats.uniform(0.3, 0.7).cdf).pvalue > 1e-3
    assert 0.45 < len(wide) / 1500 < 0.55 and max(ratios) < 3.4


def test_a_scar_is_thin_turned_and_of_the_image(cutpaste):
    grey = np.full((64, 64, 3), 100, np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(30):
        pasted, mask = cutpaste.scar(grey, rng, 0.5)
        assert np.array_equal(pasted[~mask], grey[~mask])
        inside = pasted[mask]
        assert (inside == inside[0]).all() and 81 <= inside[0, 0] <= 121  # 100, jittered
        assert 2 < mask.sum() <= 13 * 8 * 1.3
    large, little = (
        np.mean([cutpaste.scar(grey, rng, scale)[1].sum() for _ in range(60)])
        for scale in (1.0, 0.5)
    )
    assert 3 < large / little < 5, "areas grow with the square of the scale"


def test_jitter_changes_light_and_contrast_by_a_tenth_at_most(cutpaste):
    pixels = np.array([[[100] * 3, [150] * 3]], dtype=np.uint8)
    draw = SimpleNamespace(uniform=lambda low, high, size: np.array([low, high]))
    found = cutpaste.jittered(pixels, draw)
    assert found[0, :, 0].tolist() == [88, 137]  # 112.5 -/+ 1.1 * 22.5, rounded to even
    rng = np.random.default_rng(0)
    means = [cutpaste.jittered(pixels, rng).mean() for _ in range(300)]
    assert 112 <= min(means) < 114 and 136 < max(means) <= 138


def test_augmented_images_are_shifted_by_a_32nd_at_most(cutpaste, monkeypatch):
    monkeypatch.setattr(cutpaste, "jittered", lambda pixels, rng: pixels)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    seen = set()
    for _ in range(80):
        moved = cutpaste.augmented(image, rng)
        inner = moved[2:-2, 2:-2]
        steps = [(y, x) for y in range(5) for x in range(5)]
        hits = [
            s for s in steps if np.array_equal(image[s[0] : s[0] + 60, s[1] : s[1] + 60], inner)
        ]
        assert len(hits) == 1
        seen.add(hits[0])
    assert len(seen) == 25


def test_the_three_ways_are_whole_pasted_and_scarred(cutpaste, images, monkeypatch):
    monkeypatch.setattr(cutpaste, "augmented", lambda image, rng: image)
    made = cutpaste.three_ways(images, np.random.default_rng(0), 0.5)
    assert made.shape == (5, 3, 32, 32, 3) and made.dtype == np.uint8
    assert np.array_equal(made[:, 0], images)
    changed = (made != images[:, None]).any(axis=-1).mean(axis=(2, 3))  # (5, 3)
    assert (changed[:, 1] > 0.015).all() and (changed[:, 1] < 0.17).all()
    assert (changed[:, 2] > 0).all() and changed[:, 2].mean() < changed[:, 1].mean()


# --- networks and training ----------------------------------------------------------------------


def test_the_layers_are_a_chain_that_ends_as_the_backbone_does(cutpaste):
    network = backbones.load("random:efficientnet_lite0", strides=(16,), seed=3)
    layers = cutpaste.layers_of(network)
    x = network.preprocess(
        np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    )
    whole = network.network(x)[-1]
    front, end = nn.Sequential(*layers[:-1]), nn.Sequential(*layers[-1:])
    assert torch.allclose(end(front(x)), whole, atol=1e-5)
    assert (
        0
        < sum(p.numel() for p in end.parameters())
        < sum(p.numel() for p in front.parameters()) + sum(p.numel() for p in end.parameters())
    )
    trainable = backbones.load("random:efficientnet_lite0", strides=(16,), trainable=True)
    before = copy.deepcopy(trainable.network.state_dict())
    cutpaste.layers_of(trainable)
    after = trainable.network.state_dict()
    assert trainable.network.training
    assert all(torch.equal(before[name], after[name]) for name in before), "statistics moved"


def test_layers_that_are_no_chain_are_refused(cutpaste):
    network = backbones.load("random:efficientnet_lite0", strides=(16,))

    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks, self.stem = network.network.blocks, network.network.conv_stem

        def forward(self, x):
            return network.network(x)

    odd = backbones.Backbone(**vars(network) | {"network": Shuffled()})
    with pytest.raises((ValueError, RuntimeError)):
        cutpaste.layers_of(odd)


def test_passing_in_parts_is_the_same_as_at_once_and_leaves_the_mode(cutpaste):
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    x = torch.randn(9, 3, 130, 130, generator=torch.Generator().manual_seed(0))
    found = cutpaste.passed(layers, x)  # 3 at a time
    assert layers.training and not found.requires_grad
    with torch.no_grad():
        assert torch.allclose(found, layers.eval()(x), atol=1e-5)


def test_the_loss_of_three_kinds_is_torchs_and_starts_near_ln_3(cutpaste):
    end = small(cutpaste)
    task = cutpaste.new_task(end, 6, (0, 1, 2), 0.01, 0)
    maps = torch.randn(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    loss = cutpaste.task_loss(task, maps)
    vectors = end(maps.flatten(0, 1)).mean(dim=(2, 3))
    wanted = F.cross_entropy(task.head(vectors), torch.tensor([0, 1, 2] * 4))
    assert torch.isclose(loss, wanted) and abs(loss.item() - np.log(3)) < 0.4


def test_an_update_is_one_of_sgd_for_head_and_layers(cutpaste):
    end = small(cutpaste)
    task = cutpaste.new_task(end, 6, (0, 2), 0.05, 1)
    twin = copy.deepcopy(task)
    maps = torch.randn(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    cutpaste.update(task, maps, 0.0)
    cutpaste.task_loss(twin, maps).backward()
    for rate, name in ((0.03, "head"), (0.05, "layers")):
        pairs = zip(getattr(task, name).parameters(), getattr(twin, name).parameters(), strict=True)
        for moved, p in pairs:
            wanted = p.detach() - rate * (p.grad + 3e-5 * p.detach())
            assert torch.allclose(moved, wanted, atol=1e-6)
    assert {group["momentum"] for group in task.sgd.param_groups} == {0.9}
    assert len(task.losses) == 1


def test_training_learns_to_tell_kinds_that_can_be_told(cutpaste, images):
    task = cutpaste.new_task(small(cutpaste), 6, (0, 1, 2), 0.02, 0)

    def make(some, rng):
        return np.stack([[x, 255 - x // 4, x // 4] for x in some])

    cutpaste.train_tasks([task], cutpaste.front, make, images, 60, 3, 0)
    assert len(task.losses) == 60 and np.mean(task.losses[-10:]) < 0.2


def test_training_depends_on_the_seed_alone_and_leaves_the_front_as_it_was(cutpaste, images):
    state = torch.get_rng_state()

    def losses(seed):
        task = cutpaste.new_task(small(cutpaste), 6, (0, 1, 2), 0.02, 0)
        before = copy.deepcopy(cutpaste.frozen.state_dict())
        start = copy.deepcopy(task.layers.state_dict())
        cutpaste.train_tasks([task], cutpaste.front, cutpaste.whole_images, images, 4, 2, seed)
        after, end = cutpaste.frozen.state_dict(), task.layers.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert not all(torch.equal(start[name], end[name]) for name in start)
        return task.losses

    assert losses(0) == losses(0) != losses(1)
    assert torch.equal(state, torch.get_rng_state())


def test_every_image_comes_once_in_a_round_and_all_tasks_see_the_same(cutpaste, images):
    seen, maps_seen = [], []

    def make(some, rng):
        seen.append([int(np.flatnonzero((images == x).all(axis=(1, 2, 3)))[0]) for x in some])
        return np.stack([[x, x, x] for x in some])

    tasks = [cutpaste.new_task(small(cutpaste), 6, (0, 1, 2), 0.0, 0) for _ in range(2)]
    kept = cutpaste.update
    cutpaste.update = lambda task, maps, done: maps_seen.append((maps, done))
    try:
        cutpaste.train_tasks(tasks, cutpaste.front, make, images, 5, 2, 0)
    finally:
        cutpaste.update = kept
    flat = [i for part in seen for i in part]
    assert sorted(flat[:5]) == list(range(5)) == sorted(flat[5:])
    assert all(a[0] is b[0] for a, b in zip(maps_seen[::2], maps_seen[1::2], strict=True))
    assert [done for _, done in maps_seen[::2]] == [0, 0.2, 0.4, 0.6, 0.8]
    assert maps_seen[0][0].shape == (2, 3, 4, 16, 16)


def test_more_images_in_a_batch_than_there_are_is_no_endless_loop(cutpaste, images):
    task = cutpaste.new_task(small(cutpaste), 6, (0, 1), 0.01, 0)
    cutpaste.train_tasks([task], cutpaste.front, cutpaste.whole_images, images[:2], 2, 5, 0)
    assert len(task.losses) == 2


# --- the density --------------------------------------------------------------------------------


def test_features_are_those_of_the_images_exactly_as_they_are(cutpaste, images, monkeypatch):
    end, seen = small(cutpaste), []
    kept = cutpaste.pretrained.preprocess
    cutpaste.pretrained.preprocess = lambda x: seen.append(x.copy()) or kept(x)
    found = cutpaste.encode(images, {"a": end, "b": nn.Identity()})
    assert len(seen) == 1 and np.array_equal(seen[0], images), "nothing shifted or pasted"
    with torch.no_grad():
        maps = cutpaste.frozen(kept(images))
        wanted = end(maps).mean(dim=(2, 3)).double().numpy()
    assert np.allclose(found["a"], wanted, atol=1e-6) and found["b"].shape == (5, 4)
    again = cutpaste.encode(images, {"a": end})
    assert np.array_equal(found["a"], again["a"]), "nothing is random"


def test_the_notebook_fits_its_gaussians_to_plain_normal_images():
    cells = "\n".join(cell for cell in sources() if "gaussian(" in cell and "def " not in cell)
    assert "encode(fit.images, every)" in cells and "patch_vectors(fit.images, both" in cells
    for word in ("augmented", "three_ways", "cut_paste", "scar("):
        assert word not in cells


def sources():
    import nbformat

    return [c.source for c in nbformat.read(PATH, 4).cells if c.cell_type == "code"]


def test_the_score_is_scipys_negative_log_density(cutpaste):
    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(7, 4))
    mean, precision = cutpaste.gaussian(x)
    model = stats.multivariate_normal(mean, np.linalg.inv(precision))
    assert np.allclose(
        cutpaste.image_scores(new, (mean, precision)), model.logpdf(mean) - model.logpdf(new)
    )
    assert cutpaste.image_scores(mean[None], (mean, precision))[0] == pytest.approx(0)


def test_few_images_still_give_a_covariance_that_can_be_inverted(cutpaste):
    x = np.random.default_rng(0).normal(size=(6, 30))
    mean, precision = cutpaste.gaussian(x)
    assert np.linalg.eigvalsh(precision).min() > 0
    assert np.isfinite(cutpaste.image_scores(x, (mean, precision))).all()


# --- the map ------------------------------------------------------------------------------------


def test_patch_vectors_are_those_of_the_cut_patches(cutpaste, images):
    end = small(cutpaste)
    found = cutpaste.patch_vectors(images, {"a": end}, 16, 8)["a"]
    assert found.shape == (5, 9, 6)
    alone = cutpaste.encode(images[2:3, 16:32, 8:24], {"a": end})["a"]
    assert np.allclose(found[2, 7], alone[0], atol=1e-6)


def test_a_map_is_brightest_where_the_bad_patch_lies_and_flat_if_all_are_equal(cutpaste):
    scores = np.zeros((1, 49))
    scores[0, 7 * 2 + 5] = 1  # row 2, column 5
    found = cutpaste.anomaly_maps(scores, 128, 32, 16)
    assert found.shape == (1, 128, 128)
    y, x = np.unravel_index(found[0].argmax(), (128, 128))
    assert abs(y - 47.5) <= 8 and abs(x - 95.5) <= 8
    flat = cutpaste.anomaly_maps(np.full((2, 49), 3.0), 128, 32, 16)
    assert np.allclose(flat, 3), "borders do not fade"


def test_random_patches_come_from_everywhere(cutpaste, monkeypatch):
    monkeypatch.setattr(cutpaste, "three_ways", lambda cut, rng, scale: cut)
    cutpaste.patch_size, cutpaste.scale = 8, 0.25
    y, x = np.mgrid[:24, :32].astype(np.uint8)
    image = np.stack([y, x, 0 * y], axis=-1)
    rng = np.random.default_rng(0)
    cut = np.concatenate([cutpaste.patch_images(image[None], rng) for _ in range(300)])
    assert cut.shape == (300, 8, 8, 3)
    assert {c[0, 0, 0] for c in cut} == set(range(17)) and {c[0, 0, 1] for c in cut} == set(
        range(25)
    )


def test_half_images_are_means_of_four_pixels(cutpaste):
    image = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)
    found = cutpaste.halved(image)
    assert found.shape == (2, 2, 2, 3) and found.dtype == np.uint8
    assert found[1, 1, 0, 2] == np.rint(image[1, 2:4, 0:2, 2].mean())
    cutpaste.scale = 0.5
    plain = np.full((2, 32, 32, 3), 90, np.uint8)
    assert cutpaste.half_images(plain, np.random.default_rng(0)).shape == (2, 3, 16, 16, 3)


def test_soft_and_hard_windows_differ_at_their_edges_only(cutpaste):
    rng = np.random.default_rng(0)
    smooth = np.linspace(40, 200, 64)[:, None, None] + np.linspace(0, 40, 64)[None, :, None]
    image = np.rint(np.repeat(smooth, 3, axis=2)).astype(np.uint8)
    noisy = rng.integers(50, 200, image.shape, dtype=np.uint8)
    hard, same, soft = (cutpaste.windows(np.stack([image, noisy]), s, 0) for s in (0, 0, 2.0))
    assert np.array_equal(hard, same) and not np.array_equal(hard, soft)
    assert np.array_equal(hard[1][0, 0], noisy[0, 0]) or (hard[1] != noisy).any()
    share = [(x[1] != noisy).any(axis=-1).mean() for x in (hard, soft)]
    assert share[0] < share[1] < 0.6 and 0.01 < share[0] < 0.17
    jump = [np.abs(np.diff(x[0, ..., 0].astype(int), axis=1)).max() for x in (hard, soft)]
    assert jump[1] < jump[0], "soft edges are less steep"


def test_the_plan_counts_what_is_held_and_grows_with_it(cutpaste):
    base = cutpaste.bytes_needed(400, 8, 128, 49)
    held = 4 * 3 * 128**2 * 400 + 2 * 8 * 112 * 49 * 400  # floats of all images; patch vectors
    assert held < base < 20 * held
    for more in ((800, 8, 128, 49), (400, 64, 128, 49), (400, 8, 256, 49), (400, 8, 128, 169)):
        assert cutpaste.bytes_needed(*more) > base
    end = small(cutpaste)
    few, many = (cutpaste.seconds_needed(end, 6, n, 2, 32) for n in (1, 1000))
    assert 0 < few < many
    assert all(
        torch.equal(a, b)
        for a, b in zip(end.parameters(), small(cutpaste).parameters(), strict=True)
    )


def test_pixel_auroc_is_that_of_the_masked_images_or_none(cutpaste):
    from helpers import metrics

    cutpaste.metrics = metrics
    masks = np.zeros((3, 4, 4), bool)
    masks[1, 1, 1] = True
    maps = np.random.default_rng(0).random((3, 4, 4))
    has = np.array([True, True, False])
    cutpaste.test = SimpleNamespace(masks=masks, has_mask=has)
    assert cutpaste.pixel_auroc(maps) == metrics.pixel_auroc(masks[:2], maps[:2])
    cutpaste.test = SimpleNamespace(masks=0 * masks, has_mask=has)
    assert cutpaste.pixel_auroc(maps) is None


def test_scores_of_a_whole_network_use_the_gaussian_of_the_known(cutpaste, images):
    chain = nn.Conv2d(3, 4, 3)
    small(cutpaste)
    cutpaste.novice = cutpaste.pretrained
    found = cutpaste.scores_of(chain, images, images[:2])
    with torch.no_grad():
        x = chain(cutpaste.novice.preprocess(images)).mean(dim=(2, 3)).double().numpy()
    assert np.allclose(found, cutpaste.image_scores(x[:2], cutpaste.gaussian(x)))


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("inspect", "loss_of_ignorance", "one_for_all")


def inspect_by_loops(before, after, mask):
    h, w = mask.shape
    places = [(i, j) for i in range(h) for j in range(w)]
    outside = sum(1 for p in places if not mask[p] and (before[p] != after[p]).any())
    rows = [i for i in range(h) if mask[i].any()]
    columns = [j for j in range(w) if mask[:, j].any()]
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return outside, bool(box.all()), mask.sum() / (h * w)


def ignorance_by_loops(labels):
    shares = [np.mean(labels == k) for k in set(labels.tolist())]
    return sum(p * np.log(1 / p) for p in shares)


def all_by_moments(counts, means, covariances):
    share = counts / counts.sum()
    centre = sum(p * m for p, m in zip(share, means, strict=True))
    second = sum(
        p * (c + np.outer(m, m)) for p, m, c in zip(share, means, covariances, strict=True)
    )
    return centre, second - np.outer(centre, centre)


OTHERS = {
    "inspect": inspect_by_loops,
    "loss_of_ignorance": ignorance_by_loops,
    "one_for_all": all_by_moments,
}


def inspected(
    outside=lambda c, m: (c & ~m).sum(),
    box=lambda r, c: (np.ptp(r) + 1) * (np.ptp(c) + 1),
    share=lambda m: m.mean(),
    changed=lambda b, a: (b != a).any(axis=2),
):
    def answer(before, after, mask):
        r, c = np.nonzero(mask)
        return outside(changed(before, after), mask), mask.sum() == box(r, c), share(mask)

    return answer


def by_corners(before, after, mask):
    changed = (before != after).any(axis=2)
    r, c = np.nonzero(mask)
    corners = mask[r.min(), c.min()] and mask[r.max(), c.max()] and mask[r.min(), c.max()]
    return (changed & ~mask).sum(), corners and mask[r.max(), c.min()], mask.mean()


def by_box(whole):
    """Whether the mask is a rectangle, by the smallest one around it."""

    def answer(before, after, mask):
        r, c = np.nonzero(mask)
        box = mask[r.min() : r.max() + 1, c.min() : c.max() + 1]
        return inspect_by_loops(before, after, mask)[0], whole(box), mask.mean()

    return answer


def by_first_and_last(before, after, mask):
    (top, left), (bottom, right) = np.argwhere(mask)[[0, -1]]
    area = (bottom - top + 1) * (right - left + 1)
    return inspect_by_loops(before, after, mask)[0], mask.sum() == area, mask.mean()


def mended_in_place(before, after, mask):
    after[mask] = before[mask]
    outside = (before != after).any(axis=2).sum()
    return outside, *inspect_by_loops(before, after, mask)[1:]


def ignorance_by_counts(labels, total):
    share = np.unique(labels, return_counts=True)[1] / total
    return -(share * np.log(share)).sum()


def of_runs(labels):
    """Equal neighbours counted together, as if the labels were in order."""
    starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    share = np.diff(starts, append=len(labels)) / len(labels)
    return -(share * np.log(share)).sum()


def of_the_first_two(counts, means, covariances):
    (a, b), apart = counts[:2] / counts.sum(), means[1] - means[0]
    within = a * covariances[0] + b * covariances[1]
    return counts @ means / counts.sum(), within + a * b * np.outer(apart, apart)


def joined(centre=None, within=None, between=None, whole=None):
    def answer(counts, means, covariances):
        p = counts / counts.sum()
        mu = p @ means if centre is None else centre(p, means)
        inner = np.einsum("k,kij->ij", p, covariances)
        apart = means - mu
        outer = (p[:, None] * apart).T @ apart
        if within is not None:
            inner = within(p, covariances)
        if between is not None:
            outer = between(p, apart)
        return mu, whole(inner, outer, counts) if whole else inner + outer

    return answer


WRONG = [
    ("inspect", inspected(outside=lambda c, m: c.sum()), "two out"),
    ("inspect", inspected(outside=lambda c, m: (c & m).sum()), "two out"),
    ("inspect", inspected(changed=lambda b, a: (b != a).all(axis=2)), "two out"),
    ("inspect", inspected(changed=lambda b, a: b[..., 0] != a[..., 0]), "two out"),
    (
        "inspect",
        inspected(changed=lambda b, a: b.sum(axis=2) != a.sum(axis=2)),
        "two out",
    ),
    ("inspect", inspected(box=lambda r, c: np.ptp(r) * np.ptp(c)), "unchanged"),
    ("inspect", inspected(box=lambda r, c: (r.max() + 1) * (c.max() + 1)), "unchanged"),
    ("inspect", inspected(box=lambda r, c: len(np.unique(r)) * len(np.unique(c))), "four corners"),
    ("inspect", inspected(share=lambda m: m.sum()), "unchanged"),
    ("inspect", inspected(share=lambda m: m.sum() / m.shape[0] ** 2), "unchanged"),
    ("inspect", by_corners, "a hole"),
    ("inspect", lambda b, a, m: ((b != a).any(axis=2) & ~m).sum(), "unchanged"),
    ("inspect", by_box(lambda box: box[:-1, :-1].all()), "all but a corner"),
    ("inspect", by_box(lambda box: box[:-1].all()), "all but a corner"),
    ("inspect", by_box(lambda box: box.mean() > 0.9), "all but a corner"),
    ("inspect", by_box(lambda box: np.ptp(box.sum(axis=1)) == 0), "two bars"),
    (
        "inspect",
        by_box(lambda box: np.ptp(box.sum(axis=1)) == 0 and box.any(axis=0).all()),
        "all but a diagonal",
    ),
    ("inspect", by_box(lambda box: np.ptp(box.sum(axis=0)) == 0), "all but a diagonal"),
    ("inspect", by_box(lambda box: (box == box[0]).all()), "two bars"),
    ("inspect", by_first_and_last, "a hook"),
    (
        "inspect",
        lambda b, a, m: (inspect_by_loops(b, a, m)[0], True, m.mean()),
        "an L: result 2 of 3: expected False, got True",
    ),
    ("inspect", mended_in_place, "changed in place"),
    ("loss_of_ignorance", lambda x: ignorance_by_counts(x, len(x) - 1), "3 and 1: expected"),
    ("loss_of_ignorance", lambda x: np.exp(ignorance_by_loops(x)), "3 and 1"),
    ("loss_of_ignorance", of_runs, "three equal kinds, ln 3"),
    ("one_for_all", joined(between=lambda p, a: p @ a**2), "1 and 3 patches"),
    ("one_for_all", joined(whole=lambda w, b, n: np.tril(w + b)), "1 and 3 patches"),
    ("one_for_all", of_the_first_two, "4, 7 and 10 patches"),
    ("loss_of_ignorance", lambda x: np.log(3), "3 and 1"),
    ("loss_of_ignorance", lambda x: np.log(len(np.unique(x))), "3 and 1"),
    ("loss_of_ignorance", lambda x: np.log(x.max() + 1), "3 and 1"),
    ("loss_of_ignorance", lambda x: np.log2(len(np.unique(x))), "3 and 1"),
    ("loss_of_ignorance", lambda x: -ignorance_by_loops(x), "3 and 1"),
    ("loss_of_ignorance", lambda x: ignorance_by_loops(x) / np.log(2), "3 and 1"),
    (
        "loss_of_ignorance",
        lambda x: -np.log(np.unique(x, return_counts=True)[1] / len(x)).mean(),
        "3 and 1",
    ),
    ("loss_of_ignorance", lambda x: ignorance_by_loops(x) * len(x), "3 and 1"),
    ("loss_of_ignorance", lambda x: -np.log(np.mean(x == x[0])), "3 and 1"),
    (
        "loss_of_ignorance",
        lambda x: ignorance_by_loops(x[x <= 2]),
        "5, 2 and 1, with gaps",
    ),
    ("loss_of_ignorance", lambda x: [ignorance_by_loops(x)], "expected shape ()"),
    ("one_for_all", joined(centre=lambda p, m: m.mean(axis=0)), "1 and 3 patches"),
    ("one_for_all", joined(within=lambda p, c: c.mean(axis=0)), "1 and 3 patches"),
    ("one_for_all", joined(between=lambda p, a: a.T @ a / len(a)), "1 and 3 patches"),
    ("one_for_all", joined(between=lambda p, a: 0), "3 within, 4 between"),
    ("one_for_all", joined(within=lambda p, c: 0), "3 within, 4 between"),
    ("one_for_all", joined(between=lambda p, a: a.T @ a), "3 within, 4 between"),
    ("one_for_all", joined(whole=lambda w, b, n: w - b), "3 within, 4 between"),
    (
        "one_for_all",
        joined(whole=lambda w, b, n: (w + b) * n.sum() / (n.sum() - 1)),
        "3 within, 4 between",
    ),
    ("one_for_all", joined(between=lambda p, a: np.diag(p @ a**2)), "1 and 3 patches"),
    (
        "one_for_all",
        joined(between=lambda p, a: (p[:, None] * a).T @ (p[:, None] * a)),
        "3 within, 4 between",
    ),
    ("one_for_all", lambda n, m, c: all_by_moments(n, m, c)[::-1], "swapped"),
]
EQUIVALENT = {}
EQUIVALENT_DEFINITIONS = {
    "jittered": {
        "bright = light * {pixels.astype(np.float64) → pixels}": (
            "NumPy's numbers are float64 anyway"
        ),
    },
    "scar": {
        "border = np.pad(piece, ((1, 1), (1, 1), (0, 0)), mode='edge') {* → /} 1.0": "times one",
        "border = np.pad(piece, ((1, 1), (1, 1), (0, 0)), mode='edge'){ * 1.0 → }": (
            "SciPy rounds in the place of rint"
        ),
        "turned = ndimage.rotate(border, angle, {order=1, mode= → mode=}'nearest')": (
            "how a turned piece is interpolated is this book's choice"
        ),
        "turned = ndimage.rotate(border, angle, {order=1, mode='nearest' → order=1})": (
            "what lies outside the border is not within the shape"
        ),
        "turned = ndimage.rotate(border, angle, {order=1 → order=2}, mode='nearest')": (
            "how a turned piece is interpolated is this book's choice"
        ),
        "turned = ndimage.rotate(border, angle, {order=1 → order=0}, mode='nearest')": (
            "how a turned piece is interpolated is this book's choice"
        ),
        "shape = ndimage.rotate(np.pad(np.ones(size), 1), angle, order=1) {> → >=} 0.45": (
            "no value equals the bound"
        ),
        "shape = ndimage.rotate(np.pad(np.ones(size), 1), {angle, order=1 → angle}) > 0.45": (
            "how a turned piece is interpolated is this book's choice"
        ),
        "shape = ndimage.rotate(np.pad(np.ones(size), 1), angle, {order=1 → order=2}) > 0.45": (
            "how a turned piece is interpolated is this book's choice"
        ),
        "shape = ndimage.rotate(np.pad(np.ones(size), 1), angle, {order=1 → order=0}) > 0.45": (
            "how a turned piece is interpolated is this book's choice"
        ),
    },
    "new_task": {
        "with torch.random.fork_rng({devices=[] → }):": "also protects the draws of a GPU",
        "dropped: head.to(next(layers.parameters()).device)": "the checks run on the processor",
        "sgd = optim.SGD(groups, {lr=0.03, momentum=0.9 → momentum=0.9}, weight_decay=3e-05)": (
            "each update sets it"
        ),
        "sgd = optim.SGD(groups, {lr=0.03 → lr=1.03}, momentum=0.9, weight_decay=3e-05)": (
            "each update sets it"
        ),
        "sgd = optim.SGD(groups, {lr=0.03 → lr=0.0}, momentum=0.9, weight_decay=3e-05)": (
            "each update sets it"
        ),
        "sgd = optim.SGD(groups, {lr=0.03 → lr=0.06}, momentum=0.9, weight_decay=3e-05)": (
            "each update sets it"
        ),
        "return SimpleNamespace(**parts, {ways=list(ways) → ways=ways}, losses=[])": (
            "a tuple picks as a list does"
        ),
    },
    "grad_cam": {"return large[:, {0 → -1}].numpy()": "there is one channel"},
    "anomaly_maps": {
        "grids = scores.reshape(-{1 → 2}, n, n)": "any negative number stands for what is left",
    },
    "three_places": "made-up patches of an exercise, compared with NumPy",
    "bytes_needed": "tested above",
    "seconds_needed": "tested above",
    "layers_of": "tested above",
    "passed": "tested above",
    "front": "tested above",
    "encode": "tested above",
    "augmented": "tested above",
    "three_ways": "tested above",
    "whole_images": "tested above",
    "half_images": "tested above",
    "patch_images": "tested above",
    "patch_vectors": "tested above",
    "train_tasks": "tested above",
    "halved": "tested above",
    "through_window": "tested above",
    "windows": "tested above",
    "pixel_auroc": "tested above",
    "scores_of": "tested above",
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
