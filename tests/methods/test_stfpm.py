"""STFPM's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from torch import nn

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "student_teacher" / "stfpm.ipynb"
TRAINING = {"iterations": 40, "rate": 0.4, "size": 3, "seed": 0}


@pytest.fixture(scope="module")
def stfpm():
    return definitions(PATH)


def random_levels(*shapes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=draw) for shape in shapes]


def run_checks(notebook, seed=0):
    for name in ("loss", "batches", "fidelity"):
        getattr(notebook, f"check_{name}")(seed)


class Small(nn.Module):
    """Two levels, with a batch norm that tells training from evaluation."""

    def __init__(self, seed):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU6())
            self.second = nn.Conv2d(4, 6, 3, 2, 1)

    def forward(self, x):
        level = self.first(x)
        return [level, self.second(level)]


def small(seed, *, trainable=True):
    network = Small(seed)
    if not trainable:
        network.eval().requires_grad_(False)
    return backbones.Backbone(
        network=network,
        name="small",
        weights="random",
        strides=(2, 4),
        channels=(4, 6),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        device=torch.device("cpu"),
    )


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)


def state(backbone):
    return [tensor.clone() for tensor in backbone.network.state_dict().values()]


def same(before, after):
    return all(map(torch.equal, before, after))


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(stfpm, seed):
    run_checks(stfpm, seed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("level.norm(dim=1, keepdim=True)", "level.norm(dim=2, keepdim=True)", "error"),
        (
            "level.norm(dim=1, keepdim=True)",
            "level.flatten(1).norm(dim=1).view(-1, 1, 1, 1)",
            "error",
        ),
        ("level / length.clamp_min(1e-12)", "level", "error"),
        ("level / length.clamp_min(1e-12)", "level / length", "length 0"),
        ("length.clamp_min(1e-12)", "length.clamp_min(1e-1)", "error"),
        ("0.5 * step.square().sum(dim=1)", "step.square().sum(dim=1)", "error"),
        ("0.5 * step.square().sum(dim=1)", "0.5 * step.square().mean(dim=1)", "error"),
        ("0.5 * step.square().sum(dim=1)", "0.5 * step.abs().sum(dim=1)", "error"),
        ("level_errors(*pair).mean()", "level_errors(*pair).sum()", "loss"),
        ("level_errors(*pair).mean()", "level_errors(*pair).mean(dim=0).sum()", "loss"),
        ("if len(waiting) == 0:", "if True:", "size|each once"),
        ("torch.randperm(count, generator=draw)", "torch.arange(count)", "shuffled|seed"),
        ("torch.randperm(count, generator=draw)", "torch.randperm(count)", "from one seed"),
        (', mode="bilinear"', "", "map"),
        ("maps.prod(dim=0)", "maps.sum(dim=0)", "map"),
        ("maps.prod(dim=0)", "maps.mean(dim=0)", "map"),
        ("maps.prod(dim=0)", "maps.amax(dim=0)", "map"),
        ("maps.prod(dim=0)", "maps[1:].prod(dim=0)", "map"),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))", "score"),
    ],
)
def test_a_broken_equation_does_not_pass_the_checks(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError, match=message):
        run_checks(broken)


def test_the_losses_are_those_of_torchs_cosine_and_of_its_squared_error(stfpm):
    teacher = random_levels((4, 5, 6, 3), (4, 8, 3, 2))
    student = random_levels((4, 5, 6, 3), (4, 8, 3, 2), seed=1)
    losses = stfpm.level_losses(teacher, student)
    for loss, t, s in zip(losses, teacher, student, strict=True):
        assert torch.isclose(loss, (1 - F.cosine_similarity(t, s, dim=1)).mean())
        official = (F.normalize(t, dim=1) - F.normalize(s, dim=1)).square().sum(dim=1).mean()
        assert torch.isclose(loss, official / 2), "the official code leaves out one half"
        summed = F.mse_loss(F.normalize(t), F.normalize(s), reduction="sum")
        height, width = t.shape[2:]
        library = summed / (2 * height * width)  # anomalib: a sum over the batch of four
        assert torch.isclose(loss, library / 4)


def test_errors_lie_between_0_and_2_and_heed_no_lengths(stfpm):
    (t,) = random_levels((3, 6, 4, 5))
    (s,) = random_levels((3, 6, 4, 5), seed=1)
    found = stfpm.level_errors(t, s)
    assert found.shape == (3, 4, 5) and found.min() > 0 and found.max() < 2
    assert torch.allclose(stfpm.level_errors(7 * t, s / 9), found, atol=1e-6)
    assert torch.allclose(stfpm.level_errors(t, t), torch.zeros(3, 4, 5), atol=1e-6)
    assert torch.allclose(stfpm.level_errors(t, -t), 2 * torch.ones(3, 4, 5), atol=1e-6)


def test_the_gradient_is_that_of_central_differences(stfpm):
    (t,) = random_levels((2, 3, 2, 2))
    (s,) = random_levels((2, 3, 2, 2), seed=1)
    t, s = t.double(), s.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: stfpm.level_losses([t], [x])[0], s)


def test_maps_are_enlarged_bilinearly_and_multiplied(stfpm):
    fine, coarse = torch.rand(2, 4, 4), torch.rand(2, 2, 2)

    def pair(errors):  # unit vectors with these errors: 1 - cosine
        cosine = 1 - errors
        first = torch.stack([torch.ones_like(cosine), torch.zeros_like(cosine)], dim=1)
        return first, torch.stack([cosine, (1 - cosine**2).sqrt()], dim=1)

    both = zip(pair(fine), pair(coarse), strict=True)
    found = stfpm.level_maps(*map(list, both), 4)
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])  # half-pixel centres
    large = np.stack([weights @ grid @ weights.T for grid in coarse.numpy()])
    assert np.allclose(found, np.stack([fine.numpy(), large]), atol=1e-5)
    maps = stfpm.anomaly_maps(found)
    assert np.allclose(maps, fine.numpy() * large, atol=1e-5)
    assert np.allclose(stfpm.image_scores(maps), maps.reshape(2, -1).max(axis=1))


def test_a_factor_before_one_level_changes_no_order_of_the_products(stfpm):
    maps = torch.rand(3, 20, 4, 4, generator=torch.Generator().manual_seed(0))
    scores = stfpm.image_scores(stfpm.anomaly_maps(maps))
    factors = torch.tensor([100.0, 0.01, 3.0]).view(3, 1, 1, 1)
    others = stfpm.image_scores(stfpm.anomaly_maps(factors * maps))
    assert scores.argsort().tolist() == others.argsort().tolist()
    plain, scaled = ((x * maps).sum(dim=0).amax(dim=(1, 2)) for x in (1, factors))
    assert plain.argsort().tolist() != scaled.argsort().tolist(), "the sum does change"


# --- training -----------------------------------------------------------------------------------


def test_the_student_comes_closer_and_the_teacher_stays_as_it_was(stfpm, images):
    teacher, student = small(0, trainable=False), small(1)
    before, started = state(teacher), state(student)
    targets = teacher.features(images)
    history = stfpm.train_student(student, images, targets, **TRAINING)
    assert history.shape == (40, 2)
    assert history[-5:].sum(axis=1).mean() < 0.5 * history[0].sum()
    assert same(before, state(teacher)) and not same(started, state(student))


def test_every_update_is_one_of_sgd_on_the_sum_of_the_losses(stfpm, images, monkeypatch):
    teacher, student, twin = small(0, trainable=False), small(1), small(1)
    targets, seen = teacher.features(images), []

    class Watched(torch.optim.SGD):
        def __init__(self, parameters, rate, **options):
            seen.append((rate, options))
            super().__init__(parameters, rate, **options)

    monkeypatch.setattr(stfpm.optim, "SGD", Watched)
    stfpm.train_student(student, images, targets, iterations=1, rate=0.4, size=7, seed=0)
    assert seen == [(0.4, {"momentum": 0.9, "weight_decay": 1e-4})]
    found = twin.network.train()(twin.preprocess(images))
    cosines = [F.cosine_similarity(t, s, dim=1) for t, s in zip(targets, found, strict=True)]
    sum((1 - cosine).mean() for cosine in cosines).backward()
    for moved, p in zip(student.network.parameters(), twin.network.parameters(), strict=True):
        wanted = p.detach() - 0.4 * (p.grad + 1e-4 * p.detach())
        assert torch.allclose(moved, wanted, atol=1e-5)


def test_the_learning_rate_falls_to_0_along_a_line(stfpm, images, monkeypatch):
    targets, rates = small(0, trainable=False).features(images), []

    class Watched(torch.optim.SGD):
        def step(self):
            rates.append(self.param_groups[0]["lr"])
            return super().step()

    monkeypatch.setattr(stfpm.optim, "SGD", Watched)
    stfpm.train_student(small(1), images, targets, **TRAINING | {"iterations": 4})
    assert np.allclose(rates, [0.4, 0.3, 0.2, 0.1])


def test_the_student_learns_in_training_mode_and_is_used_in_evaluation_mode(stfpm, images):
    student = small(1)
    student.network.eval()
    targets = small(0, trainable=False).features(images)
    stfpm.train_student(student, images, targets, **TRAINING)
    norm = student.network.first[1]
    assert norm.num_batches_tracked == 40 and norm.running_mean.abs().max() > 0
    alone = student.features(images[:1])
    together = student.features(images)
    assert all(torch.allclose(a[0], b[0], atol=1e-5) for a, b in zip(alone, together, strict=True))


def test_training_depends_on_the_seed_only_and_leaves_the_global_generator_alone(stfpm, images):
    targets = small(0, trainable=False).features(images)
    before = torch.get_rng_state()

    def losses(seed):
        return stfpm.train_student(small(1), images, targets, **TRAINING | {"seed": seed}).tolist()

    assert losses(0) == losses(0) != losses(1)
    assert torch.equal(before, torch.get_rng_state())


def test_a_student_has_the_teachers_architecture_and_other_weights(stfpm):
    stfpm.backbones, stfpm.plain = backbones, "efficientnet_lite0"
    stfpm.setting = {"strides": (4, 8), "device": "cpu"}
    teacher = backbones.load("efficientnet_lite0", strides=(4, 8))
    student, again, other = (stfpm.new_student(seed) for seed in (0, 0, 1))
    assert student.channels == teacher.channels and student.strides == teacher.strides
    assert student.network.training and not teacher.network.training
    assert all(p.requires_grad for p in student.network.parameters())
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert same(state(student), state(again)) and not same(state(student), state(other))


def test_the_plan_counts_what_is_held_and_grows_with_it(stfpm):
    network = SimpleNamespace(channels=(3, 5), strides=(4, 8))

    def needed(fitted=100, tested=50, batch=8):
        return stfpm.bytes_needed(network, fitted, tested, batch, 128)

    numbers = 3 * 32**2 + 5 * 16**2
    held = 4 * numbers * 150 + 4 * 50 * 2 * 128**2  # features, and maps of the tested
    assert held < needed() < 40 * held
    assert needed(200) - needed(100) >= 4 * 100 * numbers
    assert needed(tested=100) - needed() >= 4 * 50 * (2 * 128**2 + numbers)
    assert needed(batch=32) > needed()
    few, many = (stfpm.seconds_needed(small(0), 4, 32, n) for n in (2, 2000))
    assert 0 < few < many


def test_ranks_and_colours_are_those_of_the_whole_set(stfpm):
    assert stfpm.ranks(np.array([3.0, 1.0, 2.0])).tolist() == [2, 0, 1]
    maps = np.arange(400.0).reshape(4, 10, 10)
    some = stfpm.coloured(maps, [3, 0])
    assert some.shape == (2, 10, 10, 3) and some[0].mean() > some[1].mean()
    assert stfpm.coloured(np.ones((2, 3, 3)), [0]).shape == (1, 3, 3, 3)


def test_a_shade_takes_half_of_the_light_at_its_centre_and_none_far_away(stfpm):
    images = np.full((3, 64, 64, 3), 200, np.uint8)
    shady = stfpm.shaded(images, 4.0, 0)
    assert shady.dtype == np.uint8 and shady.shape == images.shape
    darkest = shady.reshape(3, -1, 3).min(axis=1)
    assert np.abs(darkest - 100.0).max() <= 3  # half the light, next to the centre
    assert (shady == 200).mean() > 0.8  # a soft shade of sigma 4 ends within 16 pixels
    places = [np.argwhere(one[..., 0] == one.min())[0].tolist() for one in shady]
    assert len({tuple(place) for place in places}) == 3, "each at a place of its own"
    assert np.array_equal(shady, stfpm.shaded(images, 4.0, 0))
    assert not np.array_equal(shady, stfpm.shaded(images, 4.0, 1))
    wide = stfpm.shaded(images, 8.0, 0)
    assert (wide < 200).sum() > 2 * (shady < 200).sum()


def test_each_level_the_sum_and_the_product_are_scored_by_their_maximum(stfpm):
    stfpm.teacher = SimpleNamespace(strides=(4, 8))
    maps = torch.tensor([[[[1.0, 4.0]], [[2.0, 0.0]]], [[[5.0, 3.0]], [[6.0, 7.0]]]])
    found = {name: scores.tolist() for name, scores in stfpm.of_all_ways(maps).items()}
    assert found == {
        "stride 4": [4, 2],
        "stride 8": [5, 7],
        "sum": [7, 8],
        "product": [12, 12],
    }


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("loss_by_cosine", "who_clears", "normalised_axes")


def loss_by_units(teacher, student):
    a, b = (x / np.sqrt((x**2).sum(axis=1, keepdims=True)) for x in (teacher, student))
    return 0.5 * ((a - b) ** 2).sum(axis=1).mean()


def who_by_loops(levels, k):
    row, column = np.unravel_index(levels[k].argmax(), levels[k].shape)
    relative = [level[row, column] / level.mean() for level in levels]
    return relative.index(min(relative)), np.prod(relative)


def axes_by_ratio(normalise, x):
    y = normalise(x)
    for bits in range(1, 16):
        axes = tuple(k for k in range(4) if bits >> k & 1)
        length = np.linalg.norm(
            np.moveaxis(x, axes, range(len(axes))).reshape(-1, rest(x, axes)), axis=0
        )
        if np.allclose(y * shaped(length, x, axes), x):
            return axes
    return ()


def rest(x, axes):
    return int(np.prod([n for k, n in enumerate(x.shape) if k not in axes]))


def shaped(length, x, axes):
    return length.reshape([1 if k in axes else n for k, n in enumerate(x.shape)])


OTHERS = {
    "loss_by_cosine": loss_by_units,
    "who_clears": who_by_loops,
    "normalised_axes": axes_by_ratio,
}


@np.errstate(invalid="ignore")
def cosine(teacher, student, axis=1):
    a, b = (np.sqrt((x**2).sum(axis=axis)) for x in (teacher, student))
    return (teacher * student).sum(axis=axis) / (a * b)


def by_flat_cosine(t, s):
    return np.mean([1 - cosine(a.ravel(), b.ravel(), 0) for a, b in zip(t, s, strict=True)])


def relative_to(divide, which=np.argmin):
    """who_clears with another number to divide by, or another level chosen."""

    def answer(levels, k):
        flat = levels.reshape(len(levels), -1)
        there = flat[:, flat[k].argmax()] / divide(flat)
        return which(there), there.prod()

    return answer


def at_own_maximum(levels, k):
    relative = levels.max(axis=(1, 2)) / levels.mean(axis=(1, 2))
    return relative.argmin(), relative.prod()


def without_k(levels, k):
    flat = levels.reshape(len(levels), -1)
    there = flat[:, flat[k].argmax()] / flat.mean(axis=1)
    return there.argmin(), np.delete(there, k).prod()


def by_sum(levels, k):
    flat = levels.reshape(len(levels), -1)
    there = flat[:, flat[k].argmax()] / flat.mean(axis=1)
    return there.argmin(), there.sum()


def unit_lengths(normalise, x, *, skip_zero=False, counts=range(1, 5)):
    """Axes along which the result has length 1: right only where no length is 0."""
    y = normalise(x)
    for count in counts:
        for axes in combinations(range(4), count):
            length = np.sqrt((y**2).sum(axis=axes))
            if np.allclose(length[length > 0] if skip_zero else length, 1):
                return axes
    return ()


def in_place_loss(t, s):
    for x in (t, s):
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    return 1 - (t * s).sum(axis=1).mean()


def in_place_maps(levels, k):
    levels /= levels.mean(axis=(1, 2), keepdims=True)
    there = levels.reshape(len(levels), -1)[:, levels[k].argmax()]
    return there.argmin(), there.prod()


def another_than_k(levels, k):
    row, column = np.unravel_index(levels[k].argmax(), levels[k].shape)
    there = levels[:, row, column] / levels.mean(axis=(1, 2))
    others = there.copy()
    others[k] = np.inf
    return others.argmin(), there.prod()


def first_three(levels, k):
    return who_by_loops(levels[:3], k)


def axes_seen_by(look):
    """normalised_axes that compares only what `look` makes of the two results."""

    def answer(normalise, x):
        y = normalise(x)
        for count in range(1, 5):
            for axes in combinations(range(4), count):
                length = np.sqrt((x**2).sum(axis=axes, keepdims=True))
                if np.allclose(look(y), look(x / np.maximum(length, 1e-12))):
                    return axes
        return ()

    return answer


WRONG = [
    ("loss_by_cosine", lambda t, s: cosine(t, s).mean(), "(3, 4) and (4, 3)"),
    ("loss_by_cosine", lambda t, s: 1 - cosine(t, s), "expected shape ()"),
    ("loss_by_cosine", lambda t, s: 2 * (1 - cosine(t, s)).mean(), "expected 0.04, got 0.08"),
    ("loss_by_cosine", lambda t, s: (1 - cosine(t, s)).sum(), "cosines 4/5 and 0"),
    ("loss_by_cosine", by_flat_cosine, "cosines 4/5 and 0"),
    (
        "loss_by_cosine",
        lambda t, s: 0.5 * ((t - s) ** 2).sum(axis=1).mean(),
        "expected 0.04, got 1",
    ),
    ("loss_by_cosine", lambda t, s: (1 - cosine(t, s)).max(), "cosines 4/5 and 0"),
    ("loss_by_cosine", lambda t, s: (1 - np.abs(cosine(t, s))).mean(), "opposite directions"),
    ("loss_by_cosine", lambda t, s: np.median(1 - cosine(t, s)), "3 images"),
    ("loss_by_cosine", lambda t, s: (1 - cosine(t, s))[0].mean(), "3 images"),
    ("loss_by_cosine", lambda t, s: (1 - cosine(t[:, :2], s[:, :2])).mean(), "cosines 4/5"),
    ("loss_by_cosine", in_place_loss, "changed in place"),
    ("who_clears", in_place_maps, "changed in place"),
    ("who_clears", another_than_k, "(the level k)"),
    ("who_clears", first_three, "2, 1.25 (the level k), 3, 2: result 2 of 2"),
    ("who_clears", relative_to(lambda flat: 1.0), "2.5, 1 and 0.25"),
    ("who_clears", relative_to(lambda flat: flat.max(axis=1)), "2.5, 1 and 0.25"),
    ("who_clears", relative_to(lambda flat: flat.mean()), "2.5, 1 and 0.25"),
    ("who_clears", relative_to(lambda flat: np.median(flat, axis=1)), "2.5, 1 and 0.25"),
    ("who_clears", relative_to(lambda flat: flat.mean(axis=1), np.argmax), "2.5, 1 and 0.25"),
    ("who_clears", relative_to(lambda flat: flat.mean(axis=1) * len(flat)), "got 0.0231481"),
    ("who_clears", lambda levels, k: who_by_loops(levels, 0), "0.5, 3 and 0.7"),
    ("who_clears", at_own_maximum, "2.5, 1 and 0.25"),
    ("who_clears", without_k, "result 2 of 2: expected 0.625, got 0.25"),
    ("who_clears", by_sum, "result 2 of 2: expected 0.625, got 3.75"),
    ("who_clears", lambda levels, k: who_by_loops(levels, k)[::-1], "swapped"),
    ("normalised_axes", lambda normalise, x: (1,), "along (0,)"),
    ("normalised_axes", unit_lengths, "along (1,), with 0s"),
    ("normalised_axes", lambda f, x: unit_lengths(f, x, counts=(1,)), "along (1,)"),
    ("normalised_axes", lambda f, x: 1, "expected a tuple of 1 results, got int"),
    ("normalised_axes", lambda f, x: axes_by_ratio(lambda y: np.abs(f(y)), np.abs(x)), "sign"),
    ("normalised_axes", lambda f, x: axes_by_ratio(f, x)[::-1], "are swapped"),
    ("normalised_axes", lambda f, x: axes_by_ratio(f, x)[:1], "along (2, 3)"),
    (
        "normalised_axes",
        lambda f, x: tuple(k for k in range(4) if k not in axes_by_ratio(f, x)),
        "along (1,), without 0s: expected a tuple of 1 results, got 3",
    ),
    ("normalised_axes", lambda f, x: tuple(k + 1 for k in axes_by_ratio(f, x)), "got 2"),
    ("normalised_axes", lambda f, x: axes_by_ratio(f, x) or (1,), "highest value"),
    ("normalised_axes", lambda f, x: axes_by_ratio(f, x)[:3], "along (0, 1, 2, 3)"),
    ("normalised_axes", axes_seen_by(np.sum), "columns reversed"),
    ("normalised_axes", axes_seen_by(lambda y: y[0]), "image 1 as it was"),
    ("normalised_axes", axes_seen_by(lambda y: y[-1]), "image 0 as it was"),
]
EQUIVALENT = {
    "who_clears": {
        "flat = levels.reshape(len(levels), -{1 → 2})": (
            "NumPy takes any negative length as unknown"
        ),
    },
    "normalised_axes": {
        "for count in range({1 → 0}, 5):": "no axes at all are the empty tuple as well",
        "for count in range(1, {5 → 6}):": "there are no five of four axes",
    },
}
EQUIVALENT_DEFINITIONS = {
    "unit": {
        "return {level / length.clamp_min(1e-12) → -(level / length.clamp_min(1e-12))}": (
            "both vectors turned: their distance is the same"
        ),
    },
    "batches": {
        "waiting = {torch.zeros → torch.ones}(0, dtype=torch.long)": "it is empty",
        "waiting = torch.zeros({0, dtype=torch.long → 0})": "it is empty",
    },
    "level_maps": {
        "found.append(large[:, {0 → -1}])": "there is one channel",
    },
    "train_student": "tested above",
    "bytes_needed": "tested above",
    "seconds_needed": "tested above",
    "new_student": "tested above",
    "ranks": "tested above",
    "coloured": "tested above",
    "shaded": "tested above",
    "of_all_ways": "tested above",
    "pixel_auroc": "calls metrics.pixel_auroc for the notebook's masks",
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
