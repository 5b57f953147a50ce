"""PatchCore's notebook: its equations hold and are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import Exercises, definitions
from scipy.spatial.distance import cdist

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "memory_bank" / "patchcore.ipynb"


@pytest.fixture(scope="module")
def patchcore():
    return definitions(PATH)


@pytest.fixture(scope="module")
def exercises():
    return Exercises(PATH)


# --- the equations ------------------------------------------------------------------------------


def test_the_check_passes_on_the_notebook_as_it_is(patchcore, capsys):
    patchcore.check_fidelity()
    assert "hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("i = far.argmax()", "i = far.argmin()"),
        ("far = torch.minimum(far, zz - 2 * (z @ z[i]) + zz[i])", "far = zz"),
        ("torch.cdist(p, memory_bank).amin(dim=1)", "torch.cdist(p, memory_bank).mean(dim=1)"),
        ("torch.cdist(p, memory_bank).amin(dim=1)", "torch.cdist(p, memory_bank).amin(1).square()"),
        ("return (1 - share).cpu()", "return share.cpu()"),
        ("exponents = distances.gather(1, around)", "exponents = -distances.gather(1, around)"),
        (
            "around = torch.cdist(nearest, memory_bank, **exact)",
            "around = torch.cdist(worst, memory_bank, **exact)",
        ),
        (".flatten(1).max(dim=1)  # s*", ".flatten(1).min(dim=1)  # s*"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        for seed in range(5):
            broken.check_fidelity(seed)


def test_a_patch_is_the_mean_of_its_window_on_every_level(patchcore):
    levels = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    patches = patchcore.local_patches(levels, 3)
    assert patches.shape == (2, 8, 8, 8)
    window = levels[0][1, :, 2:5, 4:7].mean(dim=(1, 2))
    assert torch.allclose(patches[1, 3, 5, :3], window, atol=1e-6)
    corner = levels[0][0, :, :2, :2].sum(dim=(1, 2)) / 9  # zeros beyond the border count
    assert torch.allclose(patches[0, 0, 0, :3], corner, atol=1e-6)
    with pytest.raises(ValueError, match="odd, found 2"):
        patchcore.local_patches(levels, 2)


@pytest.mark.parametrize("pool", [2, 7, 50, 10_000])
def test_the_fast_coreset_chooses_what_the_textbook_loop_chooses(patchcore, pool):
    points = torch.from_numpy(np.random.default_rng(pool).normal(size=(300, 6)))
    slow = patchcore.greedy_textbook(points, 60, 4)
    assert torch.equal(patchcore.greedy_coreset(points, 60, 4, pool=pool), slow)


def test_the_coreset_covers_at_most_twice_as_badly_as_any_choice_of_as_many(patchcore):
    from itertools import combinations

    points = torch.from_numpy(np.random.default_rng(1).normal(size=(12, 2)))
    table = cdist(points, points)
    best = min(table[:, list(some)].min(axis=1).max() for some in combinations(range(12), 3))
    chosen = patchcore.greedy_coreset(points, 3, 0).tolist()
    assert table[:, chosen].min(axis=1).max() <= 2 * best


def test_no_patch_is_chosen_twice_and_the_size_is_the_ratio(patchcore):
    patches = torch.randn(500, 20, generator=torch.Generator().manual_seed(0))
    chosen = patchcore.select_coreset(patches, 0.1, 8, 0)
    assert len(set(chosen.tolist())) == len(chosen) == 50
    assert len(patchcore.select_coreset(patches, 1e-6, 8, 0)) == 1


def test_skipping_patches_gives_the_same_image_scores(patchcore):
    generator = torch.Generator().manual_seed(2)
    patches, bank = (torch.randn(*s, generator=generator) for s in ((6, 5, 5, 4), (900, 4)))
    for some in (bank, bank[:10], bank[:3]):  # a bank of own images may be tiny
        plain, _ = patchcore.score(patches, some, 1)
        assert np.allclose(patchcore.image_scores(patches, some, first=10), plain, atol=1e-5)


def test_distances_far_beyond_what_exp_holds_give_finite_scores(patchcore):
    bank = 1000 * torch.randn(20, 4, generator=torch.Generator().manual_seed(3))
    scores, _ = patchcore.score(-bank[:8].view(2, 2, 2, 4), bank, 3)
    assert torch.isfinite(scores).all()


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("mean_of_nearest", "reweighted_score", "cover")


def mean_by_partition(distances, k):
    return np.array([np.partition(row, k - 1)[:k].sum() / k for row in distances])


def reweighted_by_logs(m_test, memory_bank, b):
    d = np.sqrt(((memory_bank - m_test) ** 2).sum(axis=1))
    star = int(np.argmin(d))
    order = np.argsort(((memory_bank - memory_bank[star]) ** 2).sum(axis=1), kind="stable")
    return d[star] * (1 - np.exp(d[star] - np.logaddexp.reduce(d[order[:b]])))


def cover_by_table(points, radius):
    table, chosen = cdist(points, points), [0]
    while table[chosen].min(axis=0).max() > radius:
        chosen.append(int(table[chosen].min(axis=0).argmax()))
    return chosen


OTHERS = {
    "mean_of_nearest": mean_by_partition,
    "reweighted_score": reweighted_by_logs,
    "cover": cover_by_table,
}


def reweighted(*, of_test=False, plain=False, square=False):
    """Eq. 7 with one typical mistake."""

    def answer(m_test, memory_bank, b):
        d = np.linalg.norm(memory_bank - m_test, axis=1)
        centre = m_test if of_test else memory_bank[d.argmin()]
        around = np.argsort(np.linalg.norm(memory_bank - centre, axis=1))[:b]
        if plain:
            with np.errstate(all="ignore"):
                return (1 - np.exp(d.min()) / np.exp(d[around]).sum()) * d.min()
        top = d[around].max()
        share = np.exp(d.min() - top) / np.exp(d[around] - top).sum()
        return (1 - share) * d.min() ** (2 if square else 1)

    return answer


def cover_all(points, radius):
    return np.arange(len(points))


def cover_in_order(points, radius):
    chosen = [0]
    for i, point in enumerate(points):
        if np.linalg.norm(points[chosen] - point, axis=1).min() > radius:
            chosen.append(i)
    return np.array(chosen)


def cover_one_more(points, radius):
    return np.array([0])


WRONG = [
    ("mean_of_nearest", lambda d, k: d[:, :k].mean(axis=1), "k = 1 is the distance"),
    ("mean_of_nearest", lambda d, k: np.sort(d, axis=1)[:, :k].sum(axis=1), "the mean of all"),
    ("mean_of_nearest", lambda d, k: np.sort(d, axis=0)[:k].mean(axis=0), "expected shape"),
    ("reweighted_score", reweighted(of_test=True), "neighbours of m*"),
    ("reweighted_score", reweighted(plain=True), "nan"),
    ("reweighted_score", reweighted(square=True), "above 1002"),
    ("cover", cover_one_more, "more than 1"),
    ("cover", cover_all, "one point covers all"),
    ("cover", cover_in_order, "farthest first"),
    ("cover", lambda p, r: p[cover_by_table(p, r)], "expected whole"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG


def test_distances_from_the_neighbour_instead_of_the_test_patch_are_not_right(exercises):
    def answer(m_test, memory_bank, b):
        d = np.linalg.norm(memory_bank - m_test, axis=1)
        gaps = np.sort(np.linalg.norm(memory_bank - memory_bank[d.argmin()], axis=1))[:b]
        exponents = d.min() + gaps  # a detour over m*
        return d.min() * (1 - np.exp(d.min() - np.logaddexp.reduce(exponents)))

    assert exercises.verdict("reweighted_score", answer).startswith("[!]")
