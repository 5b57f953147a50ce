"""Reverse Distillation's notebook: its equations are guarded, its exercises tell what is wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import zoom

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks/student_teacher/reverse_distillation.ipynb"
CHECKS = ("shapes", "bottleneck", "stages", "losses", "order", "fidelity", "batches", "training")
TRAINING = {"rate": 0.01, "iterations": 5, "batch_size": 4}
BUILD = (3, 4), (4, 8), 6, 5


@pytest.fixture(scope="module")
def rd():
    return definitions(PATH)


def taps_of(rd, *, count=6, seed=0):
    return rd.random_maps([(3, 8, 8), (4, 4, 4)], count, seed)


def run_checks(notebook, seed=0):
    for name in CHECKS:
        getattr(notebook, f"check_{name}")(seed)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(rd, seed):
    run_checks(rd, seed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("padding = kernel // 2", "padding = 0", "fusion|Sizes of tensors"),
        ("while stride < coarsest:", "while 2 * stride < coarsest:", "Sizes|halvings"),
        (
            "torch.cat([*(g(tap) for g, tap in halved), taps[-1]], dim=1)",
            "torch.cat([taps[-1], *(g(tap) for g, tap in halved)], dim=1)",
            "fusion: last tap",
        ),
        ("F.relu(self.long(m) + self.short(m))", "F.relu(self.long(m))", "residual"),
        ("F.relu(self.long(m) + self.short(m))", "self.long(m) + self.short(m)", "residual"),
        (
            "*conv_norm(inner, inner, 3, stride=2),",
            "*conv_norm(inner, inner, 1, stride=2),",
            "bott",
        ),
        ("c, stride = embedding, 2 * stride", "c, stride = embedding, stride", "decoder"),
        ("return student.bottleneck(student.fusion(taps))", "return student.fusion(taps)", "."),
        ("    x, outputs = phi, []", "    x, outputs = torch.ones_like(phi), []", "phi alone"),
        ("        x = stage(x, size)\n", "        x = stage(x.detach() * 0.5, size)\n", "alone"),
        ("return outputs[::-1]", "return outputs", "decoder|shape"),
        ("padding, bias=False)", "padding)", "batch norm has the bias"),
        ("channels, stride = fused, 2 * stride", "channels, stride = fused, 3 * stride", "three"),
        ("c_out, scale, scale, bias=False", "c_out, 2, 2, bias=False", "scale"),
        ("nn.Conv2d(c_out, c_out, 3, padding=1)", "nn.Conv2d(c_out, c_out, 3, padding=2)", "grid"),
        ("torch.manual_seed(seed)", "torch.manual_seed(0)", "the seed decides nothing"),
        ("F.cosine_similarity(e, d, dim=1)", "F.cosine_similarity(e, d, dim=2)", "M|broadcast"),
        ("[1 - F.cosine_similarity", "[1 + F.cosine_similarity", "M"),
        ("sum(level.mean() for", "sum(level.sum() for", "per position"),
        ("x.flatten(1)[..., None]", "x.flatten(2)", "flattened"),
        ('"flattened": loss_flattened', '"flattened": loss_per_position', "names"),
        ('"align_corners": True', '"align_corners": False', "map"),
        ('{"mode": "bilinear", ', '{"mode": "bicubic", ', "map"),
        ("total = sum(enlarged", "total = max(enlarged", "map|ambiguous"),
        ("(0, sigma, sigma))", "(sigma, sigma, sigma))", "map"),
        ("(0, sigma, sigma))", "(0, 0, 0))", "map"),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))", "score"),
        ('training["rate"], (0.5, 0.999)', 'training["rate"], (0.9, 0.999)', "training"),
        ('training["rate"], (0.5', '0.1 * training["rate"], (0.5', "training"),
        ("value = LOSSES[loss](batch", 'value = LOSSES["flattened"](batch', "training"),
        ("    student.eval()  #", "    student.train()  #", "evaluation mode"),
        ("    student.train()\n", "", "training"),
        ("torch.randperm(count, generator=draw)", "torch.arange(count)", "shuffled"),
    ],
)
def test_a_broken_equation_does_not_pass_the_checks(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError, ValueError), match=message):
        run_checks(broken)


def test_the_flattened_loss_is_that_of_the_official_code_and_anomalib(rd):
    """Both: CosineSimilarity of one long vector a map and image; 1 - cos, mean, sum over maps."""
    e, d = taps_of(rd), taps_of(rd, seed=1)
    cosine = torch.nn.CosineSimilarity(dim=-1)
    wanted = sum(
        1 - torch.stack([cosine(x.ravel(), y.ravel()) for x, y in zip(a, b, strict=True)]).mean()
        for a, b in zip(e, d, strict=True)
    )
    assert torch.isclose(rd.loss_flattened(e, d), wanted)


def test_a_flattened_cosine_is_the_weighted_sum_of_the_positions(rd):
    e, d = (taps_of(rd, count=1, seed=s)[0] for s in (0, 1))
    lengths = e.norm(dim=1) * d.norm(dim=1) / (e.norm() * d.norm())
    (level,) = rd.cosine_maps([e], [d])
    assert torch.isclose(1 - (lengths * (1 - level)).sum(), rd.loss_flattened([e], [d]))


def test_a_map_does_not_see_the_length_of_vectors_and_the_flattened_loss_does(rd):
    e, d = taps_of(rd), taps_of(rd)
    louder = [x.clone() for x in d]
    for x in louder:
        x[:, :, 0] *= 9  # right directions, wrong distribution of lengths
    assert all(level.abs().max() < 1e-5 for level in rd.cosine_maps(e, louder))
    assert abs(float(rd.loss_per_position(e, louder))) < 1e-5
    assert float(rd.loss_flattened(e, louder)) > 0.1
    assert abs(float(rd.loss_flattened(e, [3 * x for x in d]))) < 1e-5


def test_maps_are_enlarged_with_corners_on_corners(rd):
    (level,) = rd.random_maps([(5, 4)], 1, 0)  # one map (1, 5, 4)
    at = np.arange(5), np.arange(4)
    places = np.stack(
        np.meshgrid(np.linspace(0, 4, 11), np.linspace(0, 3, 11), indexing="ij"), axis=-1
    )
    wanted = RegularGridInterpolator(at, level[0].numpy())(places)
    assert np.allclose(rd.enlarged(level, 11)[0], wanted, atol=1e-5)
    smooth = rd.anomaly_maps([level, level], 11, 0.0)  # nothing smoothed: twice the map
    assert np.allclose(smooth[0], 2 * wanted, atol=1e-5)


def test_maps_in_parts_are_the_same_as_at_once(rd):
    student = rd.Student(*BUILD, 0).eval()
    taps = taps_of(rd, count=70)
    with torch.no_grad():
        wanted = rd.cosine_maps(taps, rd.reverse(student, taps))
        loss = float(rd.loss_flattened(taps, rd.reverse(student, taps)))
    for found, level in zip(rd.level_maps(student, taps), wanted, strict=True):
        assert torch.allclose(found, level, atol=1e-5)
    assert rd.mean_loss(student, taps, "flattened") == pytest.approx(loss, abs=1e-5)


# --- teacher, training, plan ---------------------------------------------------------------------


def test_the_teacher_never_moves(rd):
    teacher = backbones.load("efficientnet_lite0", strides=(4, 8, 16))
    state = {k: v.clone() for k, v in teacher.network.state_dict().items()}
    images = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
    taps = teacher.features(images)
    student = rd.Student(teacher.channels, teacher.strides, 8, 8, 0)
    rd.train_student(student, taps, "flattened", TRAINING, 0)
    assert not teacher.network.training
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert all(torch.equal(v, state[k]) for k, v in teacher.network.state_dict().items())
    for before, after in zip(taps, teacher.features(images), strict=True):
        assert torch.equal(before, after)


def test_a_student_is_trained_on_the_normal_images_that_fit_and_on_no_others(monkeypatch):
    rd, seen = definitions(PATH), []
    rd.fit_taps, rd.seed, rd.fused, rd.embedding = taps_of(rd), 0, 4, 4
    rd.shape = {"channels": (3, 4), "strides": (4, 8)}
    rd.run, rd.training = SimpleNamespace(device="cpu"), TRAINING  # and no held_taps, no test_taps

    def train(student, taps, loss, training, seed):
        seen.append(taps)
        return []

    monkeypatch.setattr(rd, "train_student", train)
    rd.new_trained("flattened")
    assert seen == [rd.fit_taps]
    sources = PATH.read_text(encoding="utf-8")
    assert "fit_taps, held_taps, test_taps = (" in sources
    assert "for part in (fit, calibration, test)" in sources


def test_training_lowers_the_loss_and_moves_every_parameter(rd):
    taps = [x + 1 for x in taps_of(rd, count=16)]
    student = rd.Student(*BUILD, 0)
    before = [p.clone() for p in student.parameters()]
    losses = rd.train_student(student, taps, "flattened", TRAINING | {"iterations": 60}, 0)
    assert len(losses) == 60 and np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert not any(map(torch.equal, before, student.parameters()))


def test_training_depends_on_the_seed_only_and_leaves_the_global_generator_alone(rd):
    before = torch.get_rng_state()

    def losses(seed):
        student = rd.Student(*BUILD, seed)
        return rd.train_student(student, taps_of(rd), "per position", TRAINING, seed)

    assert losses(0) == losses(0) != losses(1)
    assert torch.equal(before, torch.get_rng_state())


def test_fewer_images_than_a_batch_are_enough(rd):
    student = rd.Student(*BUILD, 0)
    found = rd.train_student(student, taps_of(rd, count=3), "flattened", TRAINING, 0)
    assert len(found) == TRAINING["iterations"]


def test_the_plan_counts_what_is_held_and_grows_with_it(rd):
    shapes = [(24, 32, 32), (40, 16, 16)]
    numbers = 24 * 32 * 32 + 40 * 16 * 16

    def needed(images=100, tested=50, batch=8):
        return rd.bytes_needed(shapes, images, tested, batch, 128)

    assert needed() > 4 * numbers * 100 + 4 * 50 * 128**2
    assert needed(200) - needed(100) == 4 * numbers * 100
    assert needed(tested=100) - needed() >= 4 * 4 * 50 * 128**2
    assert needed(batch=16) > needed()
    small = [(3, 8, 8), (4, 4, 4)]
    few, many = (
        rd.seconds_needed(rd.Student(*BUILD, 0), small, TRAINING | {"iterations": n}, 4)
        for n in (4, 4000)
    )
    assert 0 < few < many


def test_darker_cells_are_the_same_cells_with_smaller_values(rd):
    images = np.array([0, 10, 255], np.uint8).reshape(1, 1, 3, 1)
    dark = rd.darker(images, 0.7)
    assert dark.dtype == np.uint8 and dark.ravel().tolist() == [0, 7, 178]


def test_the_map_is_averaged_inside_the_defects_or_outside(rd):
    maps = np.arange(12.0).reshape(3, 2, 2)
    masks = np.zeros((3, 2, 2), bool)
    masks[1, 0, 1] = masks[1, 1, 1] = True
    rd.test = SimpleNamespace(masks=masks)
    assert rd.mean_inside(maps, True) == (5 + 7) / 2
    assert rd.mean_inside(maps, False) == (4 + 6) / 2
    rd.test = SimpleNamespace(masks=np.zeros((3, 2, 2), bool))
    assert rd.mean_inside(maps, True) is None


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("shapes_of", "weights", "mended")


def shapes_by_halving(size, taps, fused):
    counts, side = [], size
    coarsest = taps[-1][1]
    for _, stride in taps:
        counts.append(0)
        while stride < coarsest:
            stride, counts[-1] = 2 * stride, counts[-1] + 1
    while coarsest > 1:
        side, coarsest = (side + 1) // 2, coarsest // 2
    return counts, sum([fused for _ in taps[1:]], taps[-1][0]), (side + 1) // 2


def weights_by_position(e, d):
    out = np.zeros(e.shape[1:])
    for h, w in np.ndindex(out.shape):
        out[h, w] = np.sqrt((e[:, h, w] ** 2).sum() * (d[:, h, w] ** 2).sum())
    return out / np.sqrt((e**2).sum() * (d**2).sum())


def mended_by_torch(levels, size):
    return sum(
        torch.nn.functional.interpolate(
            torch.as_tensor(level)[None, None], (size, size), mode="bilinear", align_corners=True
        )[0, 0]
        for level in levels
    )


OTHERS = {"shapes_of": shapes_by_halving, "weights": weights_by_position, "mended": mended_by_torch}


def shapes_with(*, counts=None, channels=None, side=None):
    """The right answer, with one part of it replaced."""

    def answer(size, taps, fused):
        right = shapes_by_halving(size, taps, fused)
        parts = (counts, channels, side)
        return tuple(
            value if part is None else part(size, taps, fused)
            for value, part in zip(right, parts, strict=True)
        )

    return answer


def map_with(
    *, half=False, clipped=True, transposed=False, product=False, nearest=False, maximum=False
):
    """The exercise's code with some of its bugs, or with others."""

    def answer(levels, size):
        total = np.ones((size, size)) if product else np.zeros((size, size))
        for level in levels:
            side = len(level)
            at = np.arange(size) * (side - 1) / (size - 1)
            if half:
                at = (np.arange(size) + 0.5) * side / size - 0.5
                at = at.clip(0, side - 1) if clipped else at
            if nearest:
                at = np.round(at)
            near = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(side)))
            large = near @ (level.T if transposed else level) @ near.T
            if maximum:
                total = np.maximum(total, large)
            else:
                total = total * large if product else total + large
        return total

    return answer


def norm(x, axis=None):
    return np.linalg.norm(x, axis=axis)


WRONG = [
    (
        "shapes_of",
        shapes_with(counts=lambda s, t, f: [int(np.log2(stride)) for _, stride in t]),
        "a single tap",
    ),
    (
        "shapes_of",
        shapes_with(counts=lambda s, t, f: [t[-1][1] // stride for _, stride in t]),
        "a single tap",
    ),
    (
        "shapes_of",
        shapes_with(counts=lambda s, t, f: [t[-1][1] // stride // 2 for _, stride in t]),
        "strides 2 and 16",
    ),
    (
        "shapes_of",
        shapes_with(counts=lambda s, t, f: list(range(len(t)))[::-1]),
        "strides 2 and 16",
    ),
    ("shapes_of", shapes_with(channels=lambda s, t, f: f * len(t)), "a single tap"),
    ("shapes_of", shapes_with(channels=lambda s, t, f: f + t[-1][0]), "a single tap"),
    (
        "shapes_of",
        shapes_with(channels=lambda s, t, f: sum(c for c, _ in t)),
        "strides 2 and 16",
    ),
    (
        "shapes_of",
        shapes_with(channels=lambda s, t, f: f * (len(t) - 1) + max(c for c, _ in t)),
        "strides 2 and 16",
    ),
    (
        "shapes_of",
        shapes_with(counts=lambda s, t, f: [1 for _ in t[1:]] + [0]),
        "strides 2 and 16",
    ),
    ("shapes_of", shapes_with(side=lambda s, t, f: -(-s // t[-1][1])), "a single tap"),
    ("shapes_of", shapes_with(side=lambda s, t, f: s // t[-1][1] // 2), "rounded up"),
    ("shapes_of", shapes_with(side=lambda s, t, f: s // (2 * t[-1][1])), "rounded up"),
    ("shapes_of", shapes_with(side=lambda s, t, f: -(-(s // t[-1][1]) // 2) - (s == 100)), "up"),
    ("shapes_of", lambda s, t, f: shapes_by_halving(s, t, f)[:2], "a tuple of 3"),
    ("weights", lambda e, d: norm(e, 0) * norm(d, 0), "5, 12 and 8, 15"),
    ("weights", lambda e, d: norm(e, 0) ** 2 / norm(e) ** 2, "5, 12 and 8, 15"),
    ("weights", lambda e, d: norm(e, 0) / norm(e), "5, 12 and 8, 15"),
    (
        "weights",
        lambda e, d: norm(e, 0) * norm(d, 0) / (norm(e, 0) * norm(d, 0)).sum(),
        "5, 12 and 8, 15",
    ),
    ("weights", lambda e, d: (e * d).sum(axis=0) / (norm(e) * norm(d)), "5, 12 and 8, 15"),
    ("weights", lambda e, d: np.abs(e * d).sum(axis=0) / (norm(e) * norm(d)), "5, 12"),
    ("weights", lambda e, d: norm(e, 0) * norm(d, 0) / (e * d).sum(), "5, 12 and 8, 15"),
    (
        "weights",
        lambda e, d: np.abs(e).sum(0) * np.abs(d).sum(0) / (norm(e) * norm(d)),
        "5, 12 and 8, 15",
    ),
    ("weights", lambda e, d: norm(e, 0) * norm(d, 0) / norm(np.stack([e, d])), "5, 12"),
    ("weights", lambda e, d: np.full(e.shape[1:], 1 / e[0].size), "5, 12 and 8, 15"),
    ("weights", lambda e, d: norm(e, 1) * norm(d, 1), "expected shape (2, 3)"),
    ("mended", map_with(product=True), "maps of 2 and 4"),
    ("mended", map_with(transposed=True), "a map of the right size"),
    ("mended", map_with(half=True), "corners on corners"),
    ("mended", map_with(half=True, clipped=False), "[[1, 2], [5, 9]] to 3 a side: expected 1,"),
    ("mended", lambda m, n: map_with(half=True, transposed=True, product=True)(m, n), "2 and 4"),
    ("mended", lambda m, n: sum(zoom(level, n / len(level)) for level in m), "corners on corners"),
    ("mended", lambda m, n: map_with()(m, n).astype(int), "[[1, 2], [5, 9]] to 3 a side"),
    ("mended", map_with(nearest=True), "[[1, 2], [5, 9]] to 3 a side"),
    ("mended", map_with(maximum=True), "maps of 2 and 4"),
    ("mended", lambda m, n: map_with()(m, n) / len(m), "maps of 2 and 4"),
    ("mended", map_with(half=True, transposed=True), "a map of the right size"),
    ("mended", map_with(half=True, product=True), "maps of 2 and 4"),
    ("mended", lambda m, n: map_with()(m, n) + 1, "maps of 2 and 4"),
    ("mended", lambda m, n: map_with()(m[:1], n), "maps of 2 and 4"),
    ("mended", lambda m, n: map_with()(m, n - 1), "expected shape (5, 5)"),
]
EQUIVALENT = {
    "shapes_of": {
        "counts = [{int(np.log2(coarsest // stride)) → np.log2(coarsest // stride)} "
        "for _, stride in taps]": "strides are powers of two, so the logarithm is whole",
    },
}
EQUIVALENT_DEFINITIONS = {
    "conv_norm": {"padding = kernel // {2 → 3}": "kernels are 1 or 3"},
    "Student": {
        "with torch.random.fork_rng({devices=[] → }):": "also protects the draws of a GPU",
    },
    "cosine_maps": {
        "return [1 - F.cosine_similarity(e, {d, dim=1 → d}) for e, d in pairs]": "the default",
    },
    "batches": {
        "rounds = -(-wanted {// → *} count)": "more rounds than are used",
        "rounds = -{(-wanted // count) → -wanted}": "more rounds than are used",
    },
    "train_student": "tested above",
    "mean_loss": "tested above",
    "bytes_needed": "tested above",
    "seconds_needed": "tested above",
    "mean_inside": "tested above",
    "darker": "tested above",
    "new_student": "calls Student with the notebook's settings",
    "new_trained": "tested above",
    "maps_of": "calls anomaly_maps with the notebook's settings",
    "pixel_auroc": "calls metrics.pixel_auroc for the notebook's masks",
    "level_maps": {
        "for rows in torch.arange(len(taps[{0 → 1}])).split(32):": "as many images at each tap",
        "for rows in torch.arange(len(taps[{0 → -1}])).split(32):": "as many images at each tap",
        "for rows in torch.arange(len(taps[0])).split({32 → 33}):": "a batch's size",
        "for rows in torch.arange(len(taps[0])).split({32 → 31}):": "a batch's size",
    },
    "enlarged": {
        "return F.interpolate(level[:, None], (size, size), **options)[:, {0 → -1}]": (
            "there is one channel"
        ),
    },
    "anomaly_maps": {
        "return ndimage.gaussian_filter(total.numpy(), ({0 → -1}, sigma, sigma))": (
            "neither smooths across images"
        ),
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
