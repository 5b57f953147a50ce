"""PANDA's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from sklearn.neighbors import NearestNeighbors
from torch import nn

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "one_class" / "panda.ipynb"
CHECKS = (
    "check_fidelity",
    "check_ewc",
    "check_expectation",
    "check_batches",
    "check_adapt",
)
SETTINGS = {"rate": 0.1, "size": 3, "seed": 0, "iterations": 30, "every": 10, "ewc_weight": 1.0}


@pytest.fixture(scope="module")
def panda():
    return definitions(PATH)


def run_checks(notebook, seed=0):
    for name in CHECKS:
        getattr(notebook, name)(seed)
    notebook.check_shape()
    notebook.check_patches()


@pytest.fixture
def case(panda):
    """A small tail, maps (5, 2, 3, 4), and the centre of their vectors."""
    tail, maps = panda.small_tail(0)
    centre = torch.tensor(panda.to_vectors(tail, maps).mean(axis=0))
    return tail, maps, centre


def weights_of(tail):
    return torch.cat([w.detach().flatten() for w in tail.parameters()])


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(panda, seed):
    run_checks(panda, seed)


SCORE = "return np.sort(squares, axis=1)[:, :neighbours].mean(axis=1)"
BROKEN = {
    "the largest of the last map": ("last.mean(dim=(2, 3))", "last.amax(dim=(2, 3))"),
    "no square in the score": ('cdist(vectors, bank, "sqeuclidean")', "cdist(vectors, bank)"),
    "the sum of the neighbours": (SCORE, SCORE.replace("mean", "sum")),
    "the nearest alone": (SCORE, "return squares.min(axis=1)"),
    "the farthest": (SCORE, SCORE.replace(":neighbours", "-neighbours:")),
    "the loss not divided by C": ("return squares.mean() / len(centre)", "return squares.mean()"),
    "the loss a sum over the batch": (
        "return squares.mean() / len(centre)",
        "return squares.sum() / len(centre)",
    ),
    "the loss without squares": (
        "(vectors - centre).square().sum(dim=1)  #",
        "(vectors - centre).abs().sum(dim=1)  #",
    ),
    "a moving centre": (
        "(vectors - centre).square().sum(dim=1)  #",
        "(vectors - vectors.mean(dim=0)).square().sum(dim=1)  #",
    ),
    "the whole batch squared at once": ("in maps.split(1):  # one image", "in maps.split(5):  #"),
    "no square of the gradient": ("gradient.square() / len(maps)", "gradient.abs() / len(maps)"),
    "a sum over the images": ("gradient.square() / len(maps)", "gradient.square()"),
    "no noise": ("noise @ vector, weights", "vector.sum(), weights"),
    "noise of another spread": ("noise @ vector, weights", "2 * noise @ vector, weights"),
    "no half in the penalty": ("in parts) / 2", "in parts)"),
    "steps not squared": ("(f * (w - s).square()).sum()", "(f * (w - s).abs()).sum()"),
    "Fisher forgotten": ("(f * (w - s).square()).sum()", "(w - s).square().sum()"),
    "Fisher squared": ("(f * (w - s).square()).sum()", "(f**2 * (w - s).square()).sum()"),
    "the start is trained, too": (
        "tail = copy.deepcopy(start).requires_grad_()",
        "tail = start.requires_grad_()",
    ),
    "a rate that stays": (" * (1 - step / number)", ""),
    "no momentum": ('settings["rate"], 0.9, weight_decay', 'settings["rate"], 0.0, weight_decay'),
    "another weight decay": ("weight_decay=5e-5", "weight_decay=5e-3"),
    "nothing is clipped": ('clip or float("inf")', 'float("inf")'),
    "the penalty left out": ("if fisher is not None:", "if False:"),
    "lambda left out": ('settings["ewc_weight"] * ewc_penalty', "ewc_penalty"),
    "batches not shuffled": (
        "torch.randperm(count, generator=draw)",
        "torch.arange(count)",
    ),
    "the spread of one number": ("vectors.var(axis=0).mean()", "vectors.var(axis=0).max()"),
    "cosines of vectors that keep their lengths": ("units @ units.T", "vectors @ vectors.T"),
    "the rank around zero": ("away = vectors - vectors.mean(axis=0)", "away = vectors"),
    "the rank of the roots": ("compute_uv=False) ** 2", "compute_uv=False)"),
    "what overflows stays": (".nan_to_num(0, 0, 0)", ""),
    "the mean patch": ("amax(dim=1).cpu()", "mean(dim=1).cpu()"),
    "the farthest of the bank": ("torch.cdist(one, bank).amin", "torch.cdist(one, bank).amax"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_equation_does_not_pass_the_checks(name):
    old, new = BROKEN[name]
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        run_checks(broken)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_score_agrees_with_scikit_learn(panda, k):
    draw = np.random.default_rng(0)
    bank, new = draw.normal(size=(30, 6)), draw.normal(size=(8, 6))
    found = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank).kneighbors(new)[0]
    np.testing.assert_allclose(panda.image_scores(new, bank, k), (found**2).mean(axis=1))


def test_the_loss_is_the_official_codes(panda):
    draw = torch.Generator().manual_seed(0)
    vectors, centre = torch.randn(7, 5, generator=draw), torch.randn(5, generator=draw)
    official = ((vectors - centre).norm(dim=1).pow(2) / 5).mean()
    assert torch.isclose(panda.compactness(vectors, centre), official)


def test_the_fisher_information_of_a_linear_tail_is_known(panda):
    """f = W h + b with h the mean of the map: F is h_k squared for W_jk, and 1 for b_j."""
    tail = nn.Conv2d(2, 3, 1)
    draw = torch.Generator().manual_seed(0)
    maps = torch.randn(4, 2, 3, 5, generator=draw).repeat(1000, 1, 1, 1)
    by_weight, by_bias = panda.fisher_information(tail, maps, 0)
    wanted = maps[:4].mean(dim=(2, 3)).square().mean(dim=0)  # (2,)
    assert torch.allclose(by_weight[:, :, 0, 0], wanted.expand(3, 2), rtol=0.15)
    assert torch.allclose(by_bias, torch.ones(3), rtol=0.15)


def test_opposite_images_do_not_cancel_in_the_fisher_information(panda):
    tail = nn.Conv2d(1, 1, 1)
    maps = torch.tensor([2.0, -2.0]).view(2, 1, 1, 1).repeat(500, 1, 1, 1)
    by_weight, _ = panda.fisher_information(tail, maps, 0)
    assert 3 < by_weight.item() < 5  # the square of the mean would be near 0


def test_fisher_depends_on_its_seed_and_leaves_everything_as_it_was(panda, case):
    tail, maps, _ = case
    before, state = weights_of(tail).clone(), torch.get_rng_state()
    one, again, other = (panda.fisher_information(tail, maps, seed) for seed in (0, 0, 1))
    assert all(map(torch.equal, one, again)) and not torch.equal(one[0], other[0])
    assert torch.equal(before, weights_of(tail)) and torch.equal(state, torch.get_rng_state())


# --- the split and the training -----------------------------------------------------------------


def test_an_overflowing_training_does_not_stop_the_notebook(panda, case):
    tail, maps, centre = case
    wild = panda.adapt(tail, maps, centre, SETTINGS | {"rate": 1e30})
    vectors = panda.to_vectors(wild, maps)
    assert np.isfinite(vectors).all()
    assert all(np.isfinite(value) for value in panda.shape_of(vectors).values())


@pytest.mark.parametrize(
    ("name", "strides"),
    [("efficientnet_lite0", (16, 32)), ("efficientnet_lite0", (8, 32)), ("resnet18", (8, 32))],
)
def test_the_tail_continues_the_front(panda, name, strides):
    network = backbones.load("random:" + name, strides=strides, trainable=True)
    network.network.eval().requires_grad_(False)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    front, last = network.features(images)
    found = panda.to_vectors(panda.tail_of(network.network), front)
    assert np.allclose(found, last.mean(dim=(2, 3)), atol=1e-5)


def test_a_frozen_backbone_has_taps_before_and_behind_the_tail(panda):
    panda.backbones, panda.frozen_to = backbones, 16
    panda.run = SimpleNamespace(device="cpu")
    network = panda.frozen_backbone("random:efficientnet_lite0", 0)
    assert network.strides == (16, 32) and not network.network.training
    assert not any(p.requires_grad for p in network.network.parameters())
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    assert panda.front_maps(network, images).shape == (2, network.channels[0], 4, 4)


def test_training_pulls_the_vectors_together(panda, case):
    tail, maps, centre = case
    after = panda.adapt(tail, maps, centre, SETTINGS)
    first, last = (
        panda.compactness(torch.tensor(panda.to_vectors(t, maps)), centre) for t in (tail, after)
    )
    assert last < 0.5 * first
    assert not any(w.requires_grad for w in after.parameters())


def test_an_update_is_one_of_sgd_with_a_clipped_gradient(panda, case):
    tail, maps, centre = case
    once = SETTINGS | {"iterations": 1, "size": 5}
    loss = panda.compactness(panda.pooled(tail(maps)), centre)
    plain = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(tail.parameters()))])
    start = weights_of(tail)
    for clip in (None, 0.5 * plain.norm().item(), 2 * plain.norm().item()):
        short = plain if clip is None else plain * min(1, clip / plain.norm().item())
        found = weights_of(panda.adapt(tail, maps, centre, once, clip=clip))
        assert torch.allclose(found, start - 0.1 * (short + 5e-5 * start), atol=1e-6)


def test_clipping_bounds_the_way_of_the_weights(panda, case):
    tail, maps, centre = case
    clipped = panda.adapt(tail, maps, centre, SETTINGS, clip=1e-3)
    way = (weights_of(clipped) - weights_of(tail)).norm()
    decay = 30 * 0.1 * 5e-5 * weights_of(tail).norm() * 10
    assert way <= 30 * 0.1 * 1e-3 / (1 - 0.9) + decay


def test_springs_keep_the_weights_closer_to_their_start(panda, case):
    tail, maps, centre = case
    fisher = panda.fisher_information(tail, maps, 0)
    ways = []
    for weight in (0.0, 0.1, 1.0):
        found = panda.adapt(tail, maps, centre, SETTINGS | {"ewc_weight": weight}, fisher=fisher)
        steps = weights_of(found) - weights_of(tail)
        ways.append((torch.cat([f.flatten() for f in fisher]) * steps**2).sum().item())
    assert ways[0] > ways[1] > ways[2]


def test_batch_norm_keeps_its_statistics(panda, case):
    tail, maps, centre = case
    before = {k: v.clone() for k, v in tail.state_dict().items() if "running" in k}
    after = panda.adapt(tail, maps, centre, SETTINGS).state_dict()
    assert before and all(torch.equal(v, after[k]) for k, v in before.items())


def test_training_depends_on_its_seed_only(panda, case):
    tail, maps, centre = case
    state = torch.get_rng_state()

    def trained(seed):
        return weights_of(panda.adapt(tail, maps, centre, SETTINGS | {"seed": seed}))

    one, again, other = trained(0), trained(0), trained(1)
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())


def test_it_is_looked_at_now_and_then(panda, case):
    tail, maps, centre = case
    seen = []
    panda.adapt(tail, maps, centre, SETTINGS, look=lambda step, t: seen.append((step, t)))
    assert [step for step, _ in seen] == [10, 20, 30]
    assert all(isinstance(t, nn.Module) for _, t in seen)


def test_states_are_of_the_vectors_and_the_old_centre(panda, case):
    tail, maps, centre = case
    panda.fit_maps, panda.held_maps, panda.ranked_maps = maps[:3], maps[3:], maps
    panda.centre, panda.neighbours, panda.ranked = centre.float(), 2, None
    labels = np.array([0, 0, 0, 0, 1])
    panda.metrics = SimpleNamespace(image_auroc=lambda _, s: float(s[labels == 1].mean()))
    state = panda.state_of(tail)
    vectors = panda.to_vectors(tail, maps)
    assert np.isclose(state["loss"], ((vectors[:3] - centre.numpy()) ** 2).mean(), rtol=1e-4)
    assert np.isclose(
        state["loss, held out"], ((vectors[3:] - centre.numpy()) ** 2).mean(), rtol=1e-4
    )
    spread = ((vectors[:3] - vectors[:3].mean(axis=0)) ** 2).mean()
    assert np.isclose(state["spread"], spread)
    units = vectors[:3] / np.linalg.norm(vectors[:3], axis=1, keepdims=True)
    assert np.isclose(state["cosine"], np.mean([[u @ w for u in units] for w in units]))
    assert 1 < state["effective rank"] < 2 + 1e-9  # three vectors around their mean
    assert np.isclose(state["AUROC"], panda.image_scores(vectors, vectors[:3], 2)[4])
    assert np.allclose(panda.scores_by(tail, maps), panda.image_scores(vectors, vectors[:3], 2))
    away = ((vectors - centre.numpy()) ** 2).sum(axis=1)
    assert np.allclose(panda.centre_distances(tail, maps), away, rtol=1e-4)


def test_photographs_are_squares_and_follow_their_seed(panda):
    one, again, other = (panda.photographs(13, 32, seed) for seed in (0, 0, 1))
    assert one.shape == (13, 32, 32, 3) and one.dtype == np.uint8
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert (one.reshape(13, -1).std(axis=1) > 0).all()


def test_what_it_needs_grows(panda, case):
    settings = {"images": 500, "depth": 112, "side": 8, "batch": 16}
    base = panda.bytes_needed(**settings)
    assert 4 * 500 * 112 * 64 < base < 2e9
    for name in settings:
        assert panda.bytes_needed(**settings | {name: 1000}) > base
    tail, maps, centre = case
    few, many = (
        panda.seconds_needed(tail, maps, centre, SETTINGS | {"iterations": n}) for n in (1, 5000)
    )
    assert 0 < few < many


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("shift_and_spread", "penalty_of", "best_moment")


def parts_by_loop(vectors, centre):
    count, length = vectors.shape
    mean = [sum(v[j] for v in vectors) / count for j in range(length)]
    shift = sum((mean[j] - centre[j]) ** 2 for j in range(length)) / length
    loss = sum(((v - centre) ** 2).sum() for v in vectors) / count / length
    return shift, loss - shift


def penalty_by_loop(gradients, theta, start, weight):
    total = 0.0
    for i in range(len(theta)):
        total += np.mean([g[i] ** 2 for g in gradients]) * (theta[i] - start[i]) ** 2
    return weight * total / 2


def moment_by_deleting(tests, banks, k):
    def score(vector, bank):
        return np.sort(((bank - vector) ** 2).sum(axis=1))[:k].mean()

    def scale(bank):
        return np.mean([score(v, np.delete(bank, i, axis=0)) for i, v in enumerate(bank)])

    rows = [[score(v, b) / scale(b) for v in t] for t, b in zip(tests, banks, strict=True)]
    return np.array(rows).max(axis=0)


def moment(columns=lambda k: slice(1, k + 1), reduce=np.mean, root=False, end=np.max, scaled=True):
    def answer(tests, banks, k):
        found = []
        for test, bank in zip(tests, banks, strict=True):
            own, new = (((x[:, None] - bank) ** 2).sum(axis=-1) for x in (bank, test))
            if root:
                own, new = np.sqrt(own), np.sqrt(new)
            scale = reduce(np.sort(own, axis=1)[:, columns(k)]) if scaled else 1
            with np.errstate(divide="ignore"):
                found.append(np.sort(new, axis=1)[:, :k].mean(axis=1) / scale)
        return end(found, axis=0)

    return answer


def one_scale(tests, banks, k):
    own = [np.sort(((b[:, None] - b) ** 2).sum(axis=-1), axis=1)[:, 1 : k + 1] for b in banks]
    return moment(scaled=False)(tests, banks, k) / own[0].mean()


def in_place(vectors, centre):
    found = parts_by_loop(vectors, centre)
    vectors -= centre
    return found


def penalty(reduce=np.mean):
    def answer(gradients, theta, start, weight):
        return weight / 2 * (reduce(gradients**2, axis=0) * (theta - start) ** 2).sum()

    return answer


def without_zeros(tests, banks, k):
    """A distance of 0 taken for the vector itself."""
    found = []
    for test, bank in zip(tests, banks, strict=True):
        own, new = (((x[:, None] - bank) ** 2).sum(axis=-1) for x in (bank, test))
        own[own == 0] = np.inf
        scale = np.sort(own, axis=1)[:, :k].mean()
        found.append(np.sort(new, axis=1)[:, :k].mean(axis=1) / scale)
    return np.max(found, axis=0)


OTHERS = {
    "shift_and_spread": parts_by_loop,
    "penalty_of": penalty_by_loop,
    "best_moment": moment_by_deleting,
}
WRONG = [
    ("shift_and_spread", lambda v, c: ((v - c) ** 2).mean(), "a tuple of 2 results"),
    (
        "shift_and_spread",
        lambda v, c: (((v - v.mean(0)) ** 2).mean(), ((v.mean(0) - c) ** 2).mean()),
        "swapped",
    ),
    (
        "shift_and_spread",
        lambda v, c: (((v.mean(0) - c) ** 2).mean(), ((v - c) ** 2).mean()),
        "mean 3, 3, c 1, 6",
    ),
    (
        "shift_and_spread",
        lambda v, c: (((v.mean(0) - c) ** 2).sum(), ((v - v.mean(0)) ** 2).sum(1).mean()),
        "mean 3, 3, c 1, 6",
    ),
    (
        "shift_and_spread",
        lambda v, c: (abs(v.mean(0) - c).mean(), ((v - v.mean(0)) ** 2).mean()),
        "mean 3, 3, c 1, 6",
    ),
    (
        "shift_and_spread",
        lambda v, c: ((v.mean() - c.mean()) ** 2, ((v - v.mean(0)) ** 2).mean()),
        "mean 3, 3, c 1, 6",
    ),
    (
        "shift_and_spread",
        lambda v, c: (((v.mean(0) - c) ** 2).mean(), ((v - v.mean()) ** 2).mean()),
        "three numbers",
    ),
    (
        "shift_and_spread",
        lambda v, c: (((v.mean(0) - c) ** 2).mean(), v.std(0).mean() ** 2),
        "mean 3, 3, c 1, 6",
    ),
    (
        "shift_and_spread",
        lambda v, c: (((v[0] - c) ** 2).mean(), ((v - v.mean(0)) ** 2).mean()),
        "mean 3, 3, c 1, 6",
    ),
    (
        "shift_and_spread",
        lambda v, c: (((v.mean(0) - c) ** 2).sum() / 2, ((v - v.mean(0)) ** 2).sum(1).mean() / 2),
        "three numbers",
    ),
    (
        "penalty_of",
        lambda g, t, s, w: w / 2 * (g.mean(0) ** 2 * (t - s) ** 2).sum(),
        "+3 and -3",
    ),
    ("penalty_of", lambda g, t, s, w: w * ((g**2).mean(0) * (t - s) ** 2).sum(), "got 36"),
    (
        "penalty_of",
        lambda g, t, s, w: w / 2 * ((g**2).mean(0) * (t - s)).sum() ** 2,
        "got 72",
    ),
    ("penalty_of", lambda g, t, s, w: w / 2 * ((g**2).sum(0) * (t - s) ** 2).sum(), "+3 and -3"),
    ("penalty_of", lambda g, t, s, w: 0.5 * ((g**2).mean(0) * (t - s) ** 2).sum(), "lambda 3"),
    ("penalty_of", lambda g, t, s, w: w / 2 * ((t - s) ** 2).sum(), "half of 4 times 9"),
    (
        "penalty_of",
        lambda g, t, s, w: w / 2 * ((g**2).mean(0) * (t - s) ** 2).mean(),
        "half of 4 times 9",
    ),
    (
        "penalty_of",
        lambda g, t, s, w: w / 2 * (abs(g).mean(0) * (t - s) ** 2).sum(),
        "got 9",
    ),
    (
        "penalty_of",
        lambda g, t, s, w: w / 2 * ((g**2).mean(0) * abs(t - s)).sum(),
        "got 6",
    ),
    (
        "penalty_of",
        lambda g, t, s, w: w / 2 * ((g**2).mean() * (t - s) ** 2).sum(),
        "half of 4 times 9",
    ),
    ("penalty_of", lambda g, t, s, w: w / 2 * ((g**2).mean(0) * t**2).sum(), "+3 and -3"),
    (
        "shift_and_spread",
        lambda v, c: (((v - c) ** 2).mean(), 0.0),
        "mean 3, 3, c 1, 6: result 1 of 2: expected 6.5, got 10.75",
    ),
    ("shift_and_spread", in_place, "changed in place"),
    ("penalty_of", penalty(np.median), "F of 3, 0 and -6 is 15: expected 15, got 9"),
    ("penalty_of", penalty(np.max), "F of 3, 0 and -6 is 15: expected 15, got 36"),
    ("penalty_of", lambda g, t, s, w: [penalty()(g, t, s, w)], "expected shape (), got (1,)"),
    ("penalty_of", lambda g, t, s, w: penalty()(g, t, s, w**2), "lambda 3"),
    ("best_moment", without_zeros, "twins, scores 16 and 0, scale 3.25"),
    ("best_moment", moment(columns=lambda k: slice(k, k + 1)), "scale 10"),
    ("best_moment", moment(end=lambda x, axis: np.max(x, axis=1)), "expected shape (2,)"),
    ("best_moment", moment(columns=lambda k: slice(0, k)), "got inf"),
    ("best_moment", moment(columns=lambda k: slice(0, k + 1)), "k = 1, scores 4 and 1, scale 5.5"),
    ("best_moment", moment(columns=lambda k: slice(1, 2)), "k = 2, scores 20 and 1, scale 10"),
    ("best_moment", moment(scaled=False), "scale 5.5: expected 0.727273, got 4"),
    ("best_moment", moment(root=True), "k = 1, scores 4 and 1, scale 5.5"),
    ("best_moment", moment(end=np.mean), "both moments"),
    ("best_moment", moment(end=np.min), "both moments"),
    ("best_moment", moment(reduce=np.max), "scale 5.5: expected 0.727273, got 0.25"),
    ("best_moment", moment(reduce=np.median), "k = 1, scores 4 and 1, scale 5.5"),
    ("best_moment", lambda t, b, k: moment()(t[-1:], b[-1:], k), "both moments"),
    ("best_moment", lambda t, b, k: moment()(t, b, k).max(), "expected shape (2,)"),
    ("best_moment", one_scale, "both moments"),
]
EQUIVALENT = {
    "best_moment": {
        "scale = np.sort({squares, axis=1 → squares})[:, 1:k + 1].mean()": "the last axis anyway",
    },
}
EQUIVALENT_DEFINITIONS = {
    "image_scores": {
        "return np.sort({squares, axis=1 → squares})[:, :neighbours].mean(axis=1)": "the last axis",
    },
    "fisher_information": {"vector = pooled(tail(one))[{0 → -1}]": "one image at a time"},
    "batches": {
        "waiting = {torch.zeros → torch.ones}(0, dtype=torch.long)": "it is empty",
        "waiting = torch.zeros({0, dtype=torch.long → 0})": "it is empty",
    },
    "adapt": {
        "bar = {'total': number, 'leave': {False → True}, 'disable': None}": "shown only",
        "for step, part in enumerate({tqdm(parts, 'training', **bar) → parts}):": "shown only",
        "for step, part in enumerate(tqdm(parts, 'training'{, **bar → })):": "shown only",
        "sgd.param_groups[{0 → -1}]['lr'] = settings['rate'] * (1 - step / number)": "one group",
        "nn.utils.clip_grad_norm_(weights, clip or {float('inf') → 'inf'})": "read as a number",
    },
    "to_vectors": {
        "parts = [pooled(tail(part)) for part in maps.split({16 → 17})]": "how many at once",
        "parts = [pooled(tail(part)) for part in maps.split({16 → 15})]": "how many at once",
    },
    "tail_of": "tested above",
    "frozen_backbone": "tested above",
    "front_maps": "tested above",
    "scores_by": "tested above",
    "photographs": "tested above",
    "state_of": "tested above",
    "centre_distances": "tested above",
    "bytes_needed": "an estimate from above; its growth is tested here",
    "seconds_needed": "an estimate; that it is positive and grows is tested here",
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
