"""DROC's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KernelDensity

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "one_class" / "droc.ipynb"
SEEDED = (
    "check_fidelity",
    "check_tasks",
    "check_batches",
    "check_classifiers",
    "check_network",
    "check_weights",
    "check_view",
    "check_rounding",
)
CHECKS = (*SEEDED, "check_over_classes")


@pytest.fixture(scope="module")
def droc():
    return definitions(PATH)


def on_a_sphere(seed, n, d):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(droc, seed):
    for name in SEEDED:
        getattr(droc, name)(seed)
    droc.check_over_classes()


BROKEN = {
    "labels of another order": (
        "torch.arange(4).repeat_interleave(len(images))",
        "torch.arange(4).repeat(len(images))",
    ),
    "all labels 0": (
        "torch.arange(4).repeat_interleave(len(images))",
        "torch.zeros(4 * len(images), dtype=torch.long)",
    ),
    "turned the other way round": ("turns = [images.rot90(k,", "turns = [images.rot90(-k,"),
    "never turned": ("images.rot90(k, dims=(2, 3)) for k in range(4)]", "images] * 4"),
    "only half turns": ("turns = [images.rot90(k,", "turns = [images.rot90(2 * k,"),
    "no lengths of 1 in the contrast": (
        "F.normalize(first) @ F.normalize(second).T",
        "first @ second.T",
    ),
    "no temperature": ("cosines / temperature", "cosines"),
    "partners in reverse": (
        "cosines / temperature, partner)",
        "cosines / temperature, partner.flip(0))",
    ),
    "views of the same side compete": ("F.normalize(second).T", "F.normalize(first).T"),
    "turned contrast without turns": ('task == "turned contrast"', 'task == "nothing"'),
    "contrast with turns": ('task == "turned contrast"', 'task != "nothing"'),
    "rotation of views that are not turned": (
        "pictures.to(place)",
        "pictures[:5].repeat(4, 1, 1, 1).to(place)",
    ),
    "one view twice": ("one, two = look(), look()", "one = two = look()"),
    "some images never": ("draw.permutation(count)", "draw.permutation(count - 1)"),
    "gamma of the usual size": ("return 10 / max", "return 1 / max"),
    "gamma without the dimension": ("normals.var() * normals.shape[1]", "normals.var()"),
    "the density without a logarithm": (
        "return -logsumexp(-gamma * squares, axis=1) / gamma",
        "return -np.exp(-gamma * squares).sum(axis=1) / gamma",
    ),
    "cosines in place of distances": ("2 - 2 * new @ normals.T", "-(new @ normals.T)"),
    "the sign of the SVM": ("return -model.score_samples(new)", "return model.score_samples(new)"),
    "an SVM of another width": ("OneClassSVM(gamma=gamma_of(normals))", "OneClassSVM()"),
    "a Gaussian of new images": (
        "LedoitWolf().fit(normals).mahalanobis",
        "LedoitWolf().fit(new).mahalanobis",
    ),
    "the KDE as the score of cells": ("return gaussian_scores(new", "return kde_scores(new"),
    "the largest place in place of the mean": (
        "self.body(images).mean(dim=(2, 3))",
        "self.body(images).amax(dim=(2, 3))",
    ),
    "features of any length": ("keepdims=True).clip(1e-12)", "keepdims=True).clip(1e9)"),
    "one turn only": (
        "chances(encoder, images)[k, :, k] for k in range(4)",
        "chances(encoder, images)[0, :, 0] for k in range(4)",
    ),
    "chances in place of logarithms": ("F.log_softmax", "F.softmax"),
    "the same weights from every seed": (
        "rng = np.random.default_rng(seed)\n    for layer",
        "rng = np.random.default_rng(0)\n    for layer",
    ),
    "mirrored though it must not": ("0.5 * mirror", "0.5"),
    "never mirrored": ("0.5 * mirror", "0.0"),
    "no contrast": ("return mean + (1 + gain) *", "return mean +"),
    "no brightness": ("* (seen - mean) + shift", "* (seen - mean)"),
    "last digits kept": ("return (gradient / step).round() * step", "return gradient"),
    "rounded down": ("(gradient / step).round()", "(gradient / step).floor()"),
    "the interval of another number": ("2.262 * gap.std(ddof=1)", "2.262 * gap.std()"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_equation_does_not_pass_the_checks(name):
    old, new = BROKEN[name]
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError, ValueError, TypeError)):
        for check in CHECKS:
            getattr(broken, check)()


def test_turning_four_times_is_the_image_again(droc):
    images = torch.arange(18.0).view(2, 1, 3, 3)
    pictures, turn = droc.turned(images)
    assert turn.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(droc.turned(pictures[6:])[0][2:4], images)


def test_the_kde_ranks_like_scikit_learns(droc):
    normals, new = on_a_sphere(0, 40, 5), on_a_sphere(1, 12, 5)
    width = 1 / np.sqrt(2 * droc.gamma_of(normals))
    known = -KernelDensity(bandwidth=width).fit(normals).score_samples(new)
    found = droc.gamma_of(normals) * droc.kde_scores(new, normals)
    np.testing.assert_allclose(np.diff(found), np.diff(known), atol=1e-6)


def test_narrow_hills_leave_the_nearest_neighbour(droc):
    normals, new = on_a_sphere(0, 40, 5), on_a_sphere(1, 12, 5)
    narrow = definitions(PATH, replace={"return 10 / max": "return 1e5 / max"})
    nearest = cdist(new, normals, "sqeuclidean").min(axis=1)
    np.testing.assert_allclose(narrow.kde_scores(new, normals), nearest, atol=1e-3)


def test_a_turned_copy_is_a_stranger_only_with_distribution_augmentation(droc):
    encoder = droc.Encoder((8,), (1,), 3, 0)
    image = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    losses = [
        float(droc.task_loss(encoder, task, lambda: image, 0.2))
        for task in ("contrast", "turned contrast")
    ]
    assert losses[0] < np.log(2) and losses[0] < losses[1] < np.log(8)


def test_a_digit_is_split_into_the_first_of_it_and_all_others(droc):
    classes = np.array([3, 1, 3, 3, 0, 3])
    part, rest, truth = droc.digit_split(classes, 3, count=2)
    assert part.tolist() == [0, 2]
    assert rest.tolist() == [3, 5, 1, 4] and truth.tolist() == [0, 0, 1, 1]


def test_images_become_grey_between_minus_one_and_one(droc):
    images = np.zeros((1, 2, 2, 3), np.uint8)
    images[0, 0] = 255
    images[0, 1, 0] = (255, 0, 0)
    found = droc.as_tensor(images)
    assert found.shape == (1, 1, 2, 2)
    np.testing.assert_allclose(found[0, 0], [[1, 1], [-1 / 3, -1]], atol=1e-6)


def test_learning_lowers_the_loss_and_repeats_from_its_seed(droc):
    stripes = torch.sign(torch.linspace(-1, 1, 8)).double().repeat(12, 1, 8, 1)
    options = {"mirror": False, "least": 0.9, "number": 25, "rate": 0.05, "size": 6, "t": 0.2}
    runs = []
    for _ in range(2):
        encoder = droc.Encoder((8, 16), (1, 2), 4, 0)
        runs.append(droc.learn(encoder, stripes, "rotation", 0, **options))
    assert runs[0][-5:].mean() < 0.8 * runs[0][0]
    np.testing.assert_allclose(*runs)


def test_updates_are_those_of_sgd_with_rounded_gradients(droc, monkeypatch):
    seen = []
    monkeypatch.setattr(droc, "rounded", lambda g: seen.append(g.clone()) or torch.zeros_like(g))
    encoder = droc.Encoder((8,), (1,), 4, 0)
    weights = list(encoder.parameters())
    wanted = [w.detach().clone() for w in weights]
    speed = [torch.zeros_like(w) for w in wanted]
    images = torch.randn(7, 1, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    options = {"mirror": False, "least": 0.9, "number": 5, "rate": 0.3, "size": 3, "t": 0.2}
    droc.learn(encoder, images, "rotation", 0, **options)
    assert len(seen) == 5 * len(weights) and all(g.abs().max() > 0 for g in seen[: len(weights)])
    for step in range(5):  # no gradient is left, so only the decay of weights moves them
        rate = 0.3 * (1 + np.cos(np.pi * step / 5)) / 2
        speed = [0.9 * v + 3e-4 * w for v, w in zip(speed, wanted, strict=True)]
        wanted = [w - rate * v for v, w in zip(speed, wanted, strict=True)]
    for found, known in zip(weights, wanted, strict=True):
        torch.testing.assert_close(found.detach(), known, rtol=1e-12, atol=1e-12)


def test_every_task_has_an_encoder_of_its_own_from_the_same_start(droc):
    droc.run = SimpleNamespace(device=torch.device("cpu"))
    images = torch.randn(6, 1, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    options = {"mirror": True, "least": 0.5, "number": 3, "rate": 0.02, "size": 4, "t": 0.2}
    shape = (8, 16), (1, 2)
    encoders, curves = droc.encoders_of(images, shape, {"contrast": 5, "rotation": 4}, 3, **options)
    assert [encoders[k].head[-1].out_features for k in ("contrast", "rotation")] == [5, 4]
    for task, encoder in encoders.items():
        alone = droc.Encoder(*shape, encoder.head[-1].out_features, 3)
        losses = droc.learn(alone, images, task, 3, **options)
        assert losses.shape == (3,) and np.array_equal(losses, curves[task])
        assert torch.equal(alone(images), encoder(images))


def test_the_mean_answer_is_a_row_of_chances_for_each_turn(droc):
    encoder = droc.Encoder((8,), (1,), 4, 0)
    images = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    found = droc.mean_answer(encoder, images)
    for k in range(4):
        with torch.no_grad():
            chances = torch.softmax(encoder(images.rot90(k, dims=(2, 3))), dim=1)
        np.testing.assert_allclose(found[k], chances.mean(dim=0), rtol=1e-9)


def test_each_classifier_is_fitted_on_one_part_and_tested_on_the_rest(droc):
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(40, 1, 6, 6, generator=draw).double()
    images[30:] = images[30:].abs() * 2
    part, rest, truth = np.arange(20), np.arange(20, 40), np.repeat([0, 1], 10)
    encoders = {name: droc.Encoder((8,), (1,), 4, seed) for seed, name in enumerate("ab")}
    found = droc.aurocs(encoders, images, part, rest, truth)
    ways = {"KDE": droc.kde_scores, "SVM": droc.svm_scores, "Gaussian": droc.gaussian_scores}
    assert list(found) == [f"{name}, {kind}" for name in "ab" for kind in ways]
    for name, encoder in encoders.items():
        features = droc.describe(encoder, images)
        for kind, way in ways.items():
            known = roc_auc_score(truth, way(features[20:], features[:20]))
            assert found[f"{name}, {kind}"] == pytest.approx(known)


def test_more_images_need_more_memory(droc):
    few = droc.bytes_needed(100, 16, 64)
    assert few < droc.bytes_needed(1000, 16, 64) < droc.bytes_needed(1000, 16, 128)


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("turn_all", "without_turns")


def turn_by_loop(images):
    pictures, labels = [], []
    for k in range(4):
        for image in images:
            pictures.append(np.rot90(image, k))
            labels.append(k)
    return pictures, labels


def turns(axes=(1, 2), sign=1, labels=lambda n: np.repeat(np.arange(4), n)):
    def answer(images):
        pictures = [np.rot90(images, sign * k, axes=axes) for k in range(4)]
        return np.concatenate(pictures), labels(len(images))

    return answer


def swapped(images):
    return turns()(images)[::-1]


def without_by_loops(first, second, source, t):
    losses = []
    for i, a in enumerate(first):
        a = a / np.linalg.norm(a)
        terms = {
            j: np.exp(a @ b / np.linalg.norm(b) / t)
            for j, b in enumerate(second)
            if j == i or source[j] != source[i]
        }
        losses.append(np.log(sum(terms.values()) / terms[i]))
    return np.mean(losses)


def length(rows, power=2):
    return (abs(rows) ** power).sum(axis=1, keepdims=True) ** (1 / power)


def tilted(power=2, bend=lambda cosines: cosines, warmth=lambda t: t, kin=None):
    """The right answer but for its lengths, cosines, temperature, or who is of one image."""

    def answer(first, second, source, t):
        logits = bend((first / length(first, power)) @ (second / length(second, power)).T)
        logits = logits / warmth(t)
        own = np.diag(logits).copy()
        gaps = abs(np.subtract.outer(np.arange(len(source)), np.arange(len(source))))
        same = source[:, None] == source if kin is None else kin(source)
        logits[same & (gaps > 0)] = -np.inf
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - own)

    return answer


def adjacent(source):
    return (source[:, None] == source) & (abs(np.subtract.outer(*[np.arange(len(source))] * 2)) < 2)


def contrast(lengths=True, partner=True, mask=True, temperature=True, reduce=np.mean, axis=1):
    def answer(first, second, source, t):
        if lengths:
            first = first / np.linalg.norm(first, axis=1, keepdims=True)
            second = second / np.linalg.norm(second, axis=1, keepdims=True)
        logits = first @ second.T / (t if temperature else 1)
        own = np.diag(logits).copy()
        same = source[:, None] == source
        if partner:
            np.fill_diagonal(same, False)
        if mask:
            logits[same] = -np.inf
        return reduce(np.log(np.exp(logits).sum(axis=axis)) - own)

    return answer


OTHERS = {"turn_all": turn_by_loop, "without_turns": without_by_loops}
WRONG = [
    ("turn_all", turns(sign=-1), "one image"),
    ("turn_all", turns(labels=lambda n: np.tile(np.arange(4), n)), "three images: result 2 of 2"),
    ("turn_all", turns(labels=lambda n: np.zeros(4 * n)), "one image: result 2 of 2"),
    ("turn_all", turns(axes=(2, 1)), "one image"),
    ("turn_all", swapped, "swapped"),
    ("turn_all", lambda images: turns()(images)[0], "expected a tuple of 2"),
    ("without_turns", contrast(mask=False), "rows 0 and 1 are one image"),
    ("without_turns", contrast(lengths=False), "lengths must not matter"),
    ("without_turns", contrast(temperature=False), "two images, none left out"),
    ("without_turns", contrast(partner=False), "two images, none left out"),
    ("without_turns", contrast(reduce=np.sum), "two images, none left out"),
    ("without_turns", contrast(reduce=lambda x: x), "expected shape ()"),
    ("without_turns", contrast(axis=0), "expected"),
    ("turn_all", turns(labels=lambda n: np.repeat(np.arange(4), min(n, 2))), "three images"),
    (
        "turn_all",
        lambda images: (turns()(images)[0].astype(int), turns()(images)[1]),
        "three images",
    ),
    ("without_turns", tilted(power=1), "images 5, 4, 5, 4"),
    ("without_turns", tilted(bend=abs), "images 5, 4, 5, 4"),
    ("without_turns", tilted(bend=lambda cosines: cosines.clip(min=0)), "images 5, 4, 5, 4"),
    ("without_turns", tilted(warmth=lambda t: 0.5), "images 5, 4, 5, 4"),
    ("without_turns", tilted(warmth=lambda t: 1 - t), "images 5, 4, 5, 4"),
    ("without_turns", tilted(kin=adjacent), "images 5, 4, 5, 4"),
    (
        "without_turns",
        tilted(kin=lambda s: (s[:, None] == s[0]) & (s == s[0])),
        "images 5, 4, 5, 4",
    ),
    (
        "without_turns",
        tilted(kin=lambda s: abs(np.subtract.outer(s, s)) < 2),
        "images 5, 4, 5, 4",
    ),
]
EQUIVALENT_DEFINITIONS = {
    "draw_weights": {
        "for layer in {network.modules() → list(network.modules())[1:]}:": (
            "the first is the network, which is no layer"
        ),
        "spread = np.sqrt(2 / layer.weight[{0 → 1}].numel())": "all outputs have as many inputs",
        "spread = np.sqrt(2 / layer.weight[{0 → -1}].numel())": "all outputs have as many inputs",
    },
    "describe": {
        "parts = [encoder.features(part.to(place)) for part in images.split({256 → 257})]": (
            "how many at once"
        ),
        "parts = [encoder.features(part.to(place)) for part in images.split({256 → 255})]": (
            "how many at once"
        ),
    },
    "view": {
        "flip = np.where(draw.random(n) {< → <=} 0.5 * mirror, -1, 1)": (
            "no number drawn equals the bound"
        ),
        "where = F.affine_grid(crop, {images.shape, align_corners=False → images.shape})": (
            "PyTorch's default, which warns"
        ),
    },
    "batches": {
        "waiting = {np.zeros → np.ones}(0, dtype=int)": "it is empty",
        "while len(waiting) {< → <=} size:": "the same order, drawn a batch earlier",
    },
    "rounded": {
        "step = {2.0 → -2.0} ** (largest.log2().floor() - 16)": "the sign of a step cancels",
    },
    "chances": {
        "parts = turned(images)[0].split({256 → 257})": "how many at once",
        "parts = turned(images)[0].split({256 → 255})": "how many at once",
        "found = [F.log_softmax(encoder(part.to(place)){, dim=1 → }) for part in parts]": (
            "of two axes PyTorch takes this one, with a warning"
        ),
        "return torch.cat(found).cpu().numpy().reshape(4, -{1 → 2}, 4)": (
            "any negative number stands for what is left"
        ),
    },
    "as_tensor": "tested above",
    "digit_split": "tested above",
    "learn": "tested above",
    "encoders_of": "tested above",
    "mean_answer": "tested above",
    "aurocs": "tested above",
    "bytes_needed": "an estimate from above; its growth is tested here",
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
