"""DN2's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from sklearn.neighbors import NearestNeighbors

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "one_class" / "dn2.ipynb"
SEEDED = (
    "check_features",
    "check_fidelity",
    "check_cleaning",
    "check_experiments",
    "check_groups",
)
CHECKS = (*SEEDED, "check_patches")


@pytest.fixture(scope="module")
def dn2():
    return definitions(PATH)


def vectors(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(dn2, seed):
    for name in SEEDED:
        getattr(dn2, name)(seed)
    dn2.check_patches()


SCORE = "return np.sort(squares, axis=1)[:, :neighbours].mean(axis=1)"
BROKEN = {
    "the largest of the last map in place of its mean": (
        "last.mean(dim=(2, 3))",
        "last.amax(dim=(2, 3))",
    ),
    "vectors of the finer map": ("vectors.append(pooled(last))", "vectors.append(pooled(fine))"),
    "patches with places and channels exchanged": (
        "fine.flatten(2).transpose(1, 2)",
        "fine.flatten(2)",
    ),
    "no square": ('cdist(vectors, bank, "sqeuclidean")', "cdist(vectors, bank)"),
    "the sum in place of the mean": (SCORE, SCORE.replace("mean", "sum")),
    "the k-th distance in place of the mean": (
        SCORE,
        "return np.sort(squares, axis=1)[:, :neighbours][:, -1]",
    ),
    "the nearest alone": (SCORE, "return squares.min(axis=1)"),
    "the first k of the bank": (SCORE, "return squares[:, :neighbours].mean(axis=1)"),
    "the farthest k": (SCORE, "return np.sort(squares, axis=1)[:, -neighbours:].mean(axis=1)"),
    "one neighbour too many": (SCORE, SCORE.replace("neighbours", "neighbours + 1")),
    "each image its own neighbour": ("    np.fill_diagonal(squares, np.inf)", "    pass"),
    "all equal images left out": (
        "np.fill_diagonal(squares, np.inf)",
        "squares[squares == 0] = np.inf",
    ),
    "infinity among the neighbours": (
        "min(neighbours, len(bank) - 1)",
        "min(neighbours, len(bank))",
    ),
    "cleaning throws out the best": ("worst_last[:kept]", "worst_last[-kept:]"),
    "cleaning keeps the share": (
        "len(bank) - round(removed * len(bank))",
        "round(removed * len(bank))",
    ),
    "nothing is thrown out": ("worst_last[:kept]", "worst_last"),
    "a group's sum": ("vectors[groups].mean(axis=1)", "vectors[groups].sum(axis=1)"),
    "a group's first image": ("vectors[groups].mean(axis=1)", "vectors[groups][:, 0]"),
    "a mixture of another share": ("/ (1 - share)", ""),
    "no defect in the mixture": ("np.concatenate([bank, intruders[:count]])", "bank"),
    "groups that hold an image twice": (
        "rng.random((count, images)).argsort(axis=1)[:, :size]",
        "rng.integers(images, size=(count, size))",
    ),
    "the same groups each time": (
        "rng.random((count, images)).argsort(axis=1)[:, :size]",
        "np.tile(np.arange(images), (count, 1))[:, :size]",
    ),
    "groups of the least alike": (
        "cdist(small, small).argsort(axis=1)",
        "(-cdist(small, small)).argsort(axis=1)",
    ),
    "a thumbnail of the corner": ("adaptive_avg_pool2d(grey, 32)", "grey[:, :32, :32]"),
    "the mean patch": ("amax(dim=1).numpy()", "mean(dim=1).numpy()"),
    "the farthest of the bank": ("torch.cdist(one, bank).amin", "torch.cdist(one, bank).amax"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_equation_does_not_pass_the_checks(name):
    old, new = BROKEN[name]
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        for check in CHECKS:
            getattr(broken, check)()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_score_agrees_with_scikit_learn(dn2, k):
    bank, new = vectors(0, 30, 6), vectors(1, 8, 6)
    found = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank).kneighbors(new)[0]
    np.testing.assert_allclose(dn2.image_scores(new, bank, k), (found**2).mean(axis=1))
    # without a query, scikit-learn leaves out each point itself
    alone = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank).kneighbors()[0]
    np.testing.assert_allclose(dn2.scores_within(bank, k), (alone**2).mean(axis=1))


def test_the_score_does_not_depend_on_the_order_of_the_bank(dn2):
    bank, new = vectors(2, 5, 7), vectors(3, 4, 7)
    bank[4] = bank[0]  # a tie
    plain = dn2.image_scores(new, bank, 2)
    for order in permutations(range(5)):
        assert np.array_equal(dn2.image_scores(new, bank[list(order)], 2), plain)


def test_the_score_of_an_image_does_not_depend_on_the_others(dn2):
    bank, new = vectors(4, 20, 7), vectors(5, 6, 7)
    together = dn2.image_scores(new, bank, 2)
    alone = [dn2.image_scores(new[[i]], bank, 2)[0] for i in range(6)]
    assert np.array_equal(together, alone)


def test_a_group_does_not_depend_on_the_order_of_its_images(dn2):
    x = vectors(6, 9, 4)
    groups = np.array([[0, 3, 5, 8], [2, 1, 7, 4]])
    found = dn2.group_vectors(x, groups[:, ::-1])
    np.testing.assert_allclose(found, dn2.group_vectors(x, groups))


def test_cleaning_throws_out_the_strangers_and_nothing_else(dn2):
    bank = vectors(7, 18, 3)
    bank[[4, 11]] = [[30, 0, 0], [0, -40, 0]]
    left = dn2.cleaned(bank, 2, 0.1)  # 1.8 of 18, that is 2
    assert sorted(left.tolist()) == sorted(np.delete(bank, [4, 11], axis=0).tolist())
    assert sorted(dn2.cleaned(bank, 2, 0.0).tolist()) == sorted(bank.tolist())


def test_one_neighbour_is_fooled_by_a_pair_of_strangers_and_two_are_not(dn2):
    bank = np.r_[vectors(8, 16, 3), [[50, 0, 0], [50, 0.01, 0]]]
    assert (dn2.cleaned(bank, 1, 0.1) == [50, 0.01, 0]).all(axis=1).any()
    assert abs(dn2.cleaned(bank, 2, 0.1)).max() < 50


def test_extracting_in_parts_is_the_same_as_at_once(dn2):
    images = np.random.default_rng(0).integers(0, 256, (18, 64, 64, 3), dtype=np.uint8)
    network = backbones.load("random:efficientnet_lite0", strides=(16, 32))
    fine, last = network.features(images)
    found, patches = dn2.extract(network, images)
    assert np.allclose(found, dn2.pooled(last), atol=1e-5)
    assert torch.allclose(patches, fine.flatten(2).transpose(1, 2), atol=1e-5)


def test_what_it_needs_grows_with_images_depth_and_size(dn2):
    settings = {"images": 500, "depth": 112, "size": 256}
    base = dn2.bytes_needed(**settings)
    assert 4 * 500 * 256 * 112 < base < 2e9
    for name in settings:
        assert dn2.bytes_needed(**settings | {name: 1000}) > base


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("joined_scores", "images_to_keep", "group_scores")


def joined_by_rows(first, second):
    rows = zip(first.tolist(), second.tolist(), strict=True)
    return np.array([np.mean(sorted(a + b)[: len(a)]) for a, b in rows])


def joined(reduce):
    return lambda first, second: reduce(np.sort(np.hstack([first, second]), axis=1), first.shape[1])


def halves(first, second):
    k = first.shape[1]
    return np.hstack([np.sort(first)[:, : k // 2], np.sort(second)[:, : k - k // 2]]).mean(axis=1)


def keep_by_deleting(squares, k, share):
    rest = [np.sort(np.delete(row, i))[:k].mean() for i, row in enumerate(squares)]
    out = np.argsort(rest)[::-1][: round(share * len(squares))]
    return np.setdiff1d(np.arange(len(squares)), out)


def keep(columns, count, order=np.sort):
    def answer(squares, k, share):
        scores = np.sort(squares, axis=1)[:, columns(k)].mean(axis=1)
        return order(np.argsort(scores)[: count(share, len(squares))])

    return answer


def others(k):
    return slice(1, k + 1)


def the_rest(share, images):
    return images - round(share * images)


def keep_without_zeros(squares, k, share):
    scores = np.array([np.sort(row[row > 0])[:k].mean() for row in squares])
    return np.sort(np.argsort(scores)[: the_rest(share, len(squares))])


def keep_below_the_quantile(squares, k, share):
    scores = np.sort(squares, axis=1)[:, 1 : k + 1].mean(axis=1)
    return np.flatnonzero(scores <= np.quantile(scores, 1 - share))


def keep_by_the_median(squares, k, share):
    scores = np.median(np.sort(squares, axis=1)[:, 1 : k + 1], axis=1)
    return np.sort(np.argsort(scores)[: the_rest(share, len(squares))])


def keep_one_after_another(squares, k, share):
    left = np.arange(len(squares))
    for _ in range(round(share * len(squares))):
        scores = np.sort(squares[np.ix_(left, left)], axis=1)[:, 1 : k + 1].mean(axis=1)
        left = np.delete(left, scores.argmax())
    return left


def groups_by_loop(vectors, groups, k):
    def apart(a, b):
        return ((vectors[a].mean(axis=0) - vectors[b].mean(axis=0)) ** 2).sum()

    def score(a):
        found = [apart(a, b) for b in groups if not np.isin(a, b).any()]
        return np.mean(sorted(found)[:k])

    return np.array([score(a) for a in groups])


def grouped(
    centre=lambda x: x.mean(axis=0),
    overlap=lambda a, b: bool(set(a) & set(b)),
    apart=np.inf,
    reduce=lambda row, k: row[:, :k].mean(axis=1),
):
    def answer(vectors, groups, k):
        means = np.array([centre(vectors[g]) for g in groups])
        squares = ((means[:, None] - means) ** 2).sum(axis=-1)
        for i, a in enumerate(groups):
            for j, b in enumerate(groups):
                if overlap(a, b):
                    squares[i, j] = apart
        return reduce(np.sort(squares, axis=1), k)

    return answer


def len_of_longer(a, b):
    return 2 * len(set(a) & set(b)) > max(len(a), len(b))


def without_zeros(vectors, groups, k):
    """A distance of 0 taken for the group itself."""
    return grouped(
        reduce=lambda x, k: np.sort(np.where(x > 0, x, np.inf), axis=1)[:, :k].mean(axis=1)
    )(vectors, groups, k)


def of_equal_vectors(vectors, groups, k):
    """An image taken for another that looks the same."""
    names = np.unique(vectors, axis=0, return_inverse=True)[1].ravel()

    def overlap(a, b):
        return bool(set(names[a]) & set(names[b]))

    return grouped(overlap=overlap)(vectors, groups, k)


def through_a_third(vectors, groups, k):
    """Groups struck out as well that overlap only with a group between them."""
    share = np.array([[bool(set(a) & set(b)) for b in groups] for a in groups], dtype=int)
    pairs = {(id(a), id(b)): s for a, r in zip(groups, share @ share, strict=True)
             for b, s in zip(groups, r, strict=True)}  # fmt: skip
    return grouped(overlap=lambda a, b: pairs[id(a), id(b)] > 0)(vectors, groups, k)


def sets_in_place(vectors, groups, k):
    found = grouped()(vectors, groups, k)
    groups[:] = [set(group.tolist()) for group in groups]
    return found


OTHERS = {
    "joined_scores": joined_by_rows,
    "images_to_keep": keep_by_deleting,
    "group_scores": groups_by_loop,
}
WRONG = [
    ("joined_scores", lambda a, b: np.minimum(a, b).mean(axis=1), "k = 3: 0, 1 and 5"),
    ("joined_scores", lambda a, b: np.minimum(a.mean(1), b.mean(1)), "expected 1.5, got 2.5"),
    ("joined_scores", lambda a, b: (a.min(1) + b.min(1)) / 2, "expected 3, got 3.5"),
    ("joined_scores", halves, "expected 3, got 3.5"),
    ("joined_scores", lambda a, b: (a.mean(1) + b.mean(1)) / 2, "the 2 nearest of both"),
    ("joined_scores", joined(lambda x, k: x.mean(axis=1)), "expected 1.5, got 3.5"),
    ("joined_scores", joined(lambda x, k: x[:, :k].sum(axis=1)), "expected 1.5, got 3"),
    ("joined_scores", joined(lambda x, k: x[:, k - 1]), "expected 1.5, got 2"),
    ("joined_scores", joined(lambda x, k: x[:, 0]), "expected 1.5, got 1"),
    ("joined_scores", joined(lambda x, k: x[:, :2].mean(axis=1)), "k = 3"),
    ("joined_scores", joined(lambda x, k: x[:, :k].mean()), "expected shape (3,)"),
    ("joined_scores", lambda a, b: a.mean(axis=1), "the 2 nearest of both"),
    ("images_to_keep", keep(lambda k: slice(k), the_rest), "the one at 30 goes"),
    (
        "images_to_keep",
        keep(others, lambda share, n: round(share * n)),
        "share 0.05 of 5, none goes",
    ),
    ("images_to_keep", keep_without_zeros, "equal images stay"),
    ("images_to_keep", keep(others, the_rest, order=lambda x: x), "share 0.05 of 5, none goes"),
    ("images_to_keep", keep(others, lambda share, n: n - int(share * n)), "the one at 30 goes"),
    ("images_to_keep", lambda s, k, r: keep_by_deleting(np.sqrt(s), k, r), "of two squares"),
    ("images_to_keep", keep_one_after_another, "of two squares, once"),
    ("images_to_keep", keep_below_the_quantile, "share 0.05 of 5, none goes"),
    ("images_to_keep", keep_by_the_median, "k = 3: the mean"),
    ("images_to_keep", keep(lambda k: slice(1, 2), the_rest), "k = 2: the pair of strangers"),
    ("images_to_keep", keep(lambda k: slice(k, k + 1), the_rest), "the mean of two"),
    ("images_to_keep", keep(lambda k: slice(1, k + 2), the_rest), "k = 1: a pair of strangers"),
    (
        "images_to_keep",
        keep(others, lambda share, n: n - 1 if share else n),
        "share 0.05 of 5, none goes",
    ),
    (
        "images_to_keep",
        lambda s, k, share: np.setdiff1d(np.arange(5), keep_by_deleting(s, k, share)),
        "share 0.05 of 5, none goes",
    ),
    ("group_scores", grouped(overlap=lambda a, b: a is b), "two shared"),
    ("group_scores", grouped(overlap=lambda a, b: False), "no overlap"),
    ("group_scores", grouped(centre=lambda x: x.sum(axis=0)), "no overlap"),
    ("group_scores", grouped(centre=lambda x: np.median(x, axis=0)), "two shared"),
    ("group_scores", grouped(centre=lambda x: x[0]), "no overlap"),
    (
        "group_scores",
        grouped(overlap=lambda a, b: len(set(a) & set(b)) > 1 or a is b),
        "one shared",
    ),
    ("group_scores", grouped(overlap=lambda a, b: a[0] in b), "one shared"),
    ("group_scores", grouped(overlap=lambda a, b: a[0] in b or b[0] in a), "one shared"),
    ("group_scores", grouped(overlap=lambda a, b: a[-1] in b or b[-1] in a), "one shared"),
    ("group_scores", grouped(apart=1e3), "no overlap: expected 1300, got 1000"),
    ("group_scores", grouped(reduce=lambda x, k: x[:, :k].sum(axis=1)), "k = 2"),
    ("group_scores", grouped(reduce=lambda x, k: x[:, k - 1]), "k = 2"),
    ("group_scores", grouped(reduce=lambda x, k: np.sqrt(x)[:, :k].mean(axis=1)), "no overlap"),
    ("group_scores", grouped(overlap=len_of_longer), "one shared"),
    ("group_scores", without_zeros, "k = 3, equal vectors"),
    ("group_scores", of_equal_vectors, "k = 3, equal vectors"),
    ("group_scores", through_a_third, "a chain"),
    (
        "group_scores",
        grouped(reduce=lambda x, k: np.median(x[:, :k], axis=1)),
        "k = 3, equal vectors: expected 2100, got 1300",
    ),
    ("group_scores", sets_in_place, "changed in place"),
    ("group_scores", lambda v, g, k: grouped()(v, g, k).mean(), "expected shape (3,), got ()"),
    ("group_scores", lambda v, g, k: grouped()(v, g, 1), "k = 2"),
    ("group_scores", grouped(centre=lambda x: x.mean(axis=1)), "the parts differ in length"),
]
EQUIVALENT = {
    "joined_scores": {
        "return np.sort({together, axis=1 → together})[:, :k].mean(axis=1)": (
            "the last axis is the default"
        ),
    },
    "images_to_keep": {
        "scores = np.sort(squares, axis=1)[:, 1:k + 1]{.mean → .sum}(axis=1)": (
            "the same factor in every row"
        ),
        "scores = np.sort({squares, axis=1 → squares})[:, 1:k + 1].mean(axis=1)": (
            "the last axis is the default"
        ),
        "scores = np.sort(squares, axis=1)[:, {1 → }:k + 1].mean(axis=1)": (
            "a zero more in every row changes no order"
        ),
        "scores = np.sort(squares, axis=1)[:, {1 → 0}:k + 1].mean(axis=1)": (
            "a zero more in every row changes no order"
        ),
    },
    "group_scores": {
        "return np.sort({squares, axis=1 → squares})[:, :k].mean(axis=1)": (
            "the last axis is the default"
        ),
    },
}
EQUIVALENT_DEFINITIONS = {
    "bytes_needed": "an estimate from above; its growth is tested here",
    "image_scores": {
        "return np.sort({squares, axis=1 → squares})[:, :neighbours].mean(axis=1)": (
            "the last axis is the default"
        ),
    },
    "scores_within": {
        "return np.sort({squares, axis=1 → squares})[:, :count].mean(axis=1)": (
            "the last axis is the default"
        ),
    },
    "cleaned": {
        "worst_last = np.argsort(scores_within(bank, neighbours){, kind='stable' → })": (
            "which of several equal scores goes is open; stable only makes it the same everywhere"
        ),
    },
    "random_groups": {
        "return {rng.random → -rng.random}((count, images)).argsort(axis=1)[:, :size]": (
            "numbers at random are so in descending order too"
        ),
        "return rng.random((count, images)).argsort({axis=1 → })[:, :size]": (
            "the last axis is the default"
        ),
    },
    "alike_groups": {
        "return cdist(small, small).argsort({axis=1 → })[:, :size]": "the last axis is the default",
    },
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
