"""Gaussian-AD's notebook: its equations hold, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from notebook_loader import Exercises, definitions
from scipy.spatial.distance import mahalanobis
from scipy.stats import chi2
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "distribution_map" / "gaussian_ad.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


@pytest.fixture(scope="module")
def exercises():
    return Exercises(PATH)


def clouds(n, d, seed=0):
    """(n, d) correlated features, far from the origin."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 5


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_check_passes_on_the_notebook_as_it_is(notebook, capsys, seed):
    notebook.check_fidelity(seed)
    assert "hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(1 - rho) * s + rho * m * np.eye(d), rho", "s, rho"),
        ("(1 - rho) * s + rho * m * np.eye(d), rho", "(1 - rho) * s + rho * np.eye(d), rho"),
        ("(norms**2).sum() / n**2 - (s**2).sum() / n", "(norms**2).sum() / n**2"),
        ("m = np.trace(s) / d", "m = np.trace(s)"),
        ("centred.T @ centred / len(features)", "centred.T @ centred / (len(features) - 1)"),
        ("return np.sqrt(((z @ precision) * z).sum(axis=1).clip(0))", "return (z * z).sum(axis=1)"),
        ("np.sqrt(((z @ precision) * z).sum(axis=1).clip(0))", "((z @ precision) * z).sum(axis=1)"),
        (
            "for level, gaussian in pairs], axis=0)",
            "for level, gaussian in list(pairs)[:1]], axis=0)",
        ),
        ("ledoit_wolf(features)[0] if shrink else", "sample_covariance(features) if shrink else"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        broken.check_fidelity()


@pytest.mark.parametrize(("n", "d"), [(200, 6), (30, 30), (12, 40), (2, 5)])
def test_shrinkage_is_scikit_learns_with_many_and_with_few_images(notebook, n, d):
    features = clouds(n, d)
    covariance, rho = notebook.ledoit_wolf(features)
    known = LedoitWolf().fit(features)
    np.testing.assert_allclose(covariance, known.covariance_, rtol=1e-9, atol=1e-9)
    assert rho == pytest.approx(known.shrinkage_)
    assert 0 <= rho <= 1


def test_beta_is_the_mean_squared_distance_of_the_outer_products(notebook):
    features = clouds(15, 4)
    z = features - features.mean(axis=0)
    s = np.cov(features.T, bias=True)
    beta = sum(((np.outer(v, v) - s) ** 2).sum() for v in z) / 15**2
    delta = ((s - np.trace(s) / 4 * np.eye(4)) ** 2).sum()
    assert notebook.ledoit_wolf(features)[1] == pytest.approx(min(beta, delta) / delta)


def test_features_without_any_variance_do_not_divide_by_zero(notebook):
    covariance, rho = notebook.ledoit_wolf(np.ones((6, 3)))
    assert rho == 1 and not covariance.any()


@pytest.mark.parametrize(("n", "d"), [(50, 6), (12, 40)])
def test_the_score_is_scipys_mahalanobis_distance_averaged_over_levels(notebook, n, d):
    fit, new = [clouds(n, d), clouds(n, 3, 1)], [clouds(7, d, 2), clouds(7, 3, 3)]
    expected = []
    for features, fresh in zip(fit, new, strict=True):
        inverse = np.linalg.inv(LedoitWolf().fit(features).covariance_)
        expected.append([mahalanobis(f, features.mean(axis=0), inverse) for f in fresh])
    got = notebook.image_scores(new, [notebook.fit_gaussian(f) for f in fit])
    np.testing.assert_allclose(got, np.mean(expected, axis=0), rtol=1e-6)


def test_the_mean_squared_distance_of_the_fitted_images_is_d_without_shrinkage(notebook):
    features = clouds(80, 7)
    inside = notebook.mahalanobis(features, notebook.fit_gaussian(features, shrink=False))
    assert (inside**2).mean() == pytest.approx(7)


def test_unshrunk_distances_do_not_depend_on_the_features_units_and_shrunk_ones_do(notebook):
    features, fresh, unit = clouds(80, 4), clouds(9, 4, 1), np.array([1, 10, 0.1, 3])
    for shrink in (False, True):
        before = notebook.mahalanobis(fresh, notebook.fit_gaussian(features, shrink))
        after = notebook.mahalanobis(fresh * unit, notebook.fit_gaussian(features * unit, shrink))
        assert np.allclose(before, after, rtol=1e-3) is not shrink


def test_copies_leave_the_covariance_and_divide_the_intensity(notebook):
    features = clouds(30, 8)
    copies = np.repeat(features, 10, axis=0)
    np.testing.assert_allclose(
        notebook.sample_covariance(copies), notebook.sample_covariance(features)
    )
    before, after = (notebook.ledoit_wolf(f)[1] for f in (features, copies))
    assert after == pytest.approx(before / 10)


def test_pooling_takes_the_mean_over_positions(notebook):
    maps = [torch.arange(24.0).view(1, 2, 3, 4), torch.ones(1, 3, 1, 1)]
    assert [p.tolist() for p in notebook.pooled(maps)] == [[[5.5, 17.5]], [[1.0, 1.0, 1.0]]]


@pytest.mark.parametrize(("n", "d"), [(60, 6), (8, 20)])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.9999])
def test_the_parts_are_scikit_learns_components_cut_where_the_share_is_reached(
    notebook, n, d, share
):
    features = clouds(n, d)
    first, rest = notebook.principal_parts(features, share)
    pca = PCA().fit(features)
    rank = min(n - 1, d)
    explained = pca.explained_variance_ratio_[:rank].cumsum()
    k = min(int((explained >= share).argmax()) + 1, rank - 1)
    assert first.shape == (d, k) and rest.shape == (d, rank - k)
    both = np.concatenate([first, rest], axis=1)
    np.testing.assert_allclose(np.abs(both.T @ pca.components_[:rank].T), np.eye(rank), atol=1e-6)


def test_without_shrinkage_the_squared_distances_of_both_parts_add_up(notebook):
    features, fresh = clouds(60, 6), clouds(5, 6, 1)
    squares = []
    for axes in (*notebook.principal_parts(features, 0.9), np.eye(6)):
        gaussian = notebook.fit_gaussian(features @ axes, shrink=False)
        squares.append(notebook.mahalanobis(fresh @ axes, gaussian) ** 2)
    np.testing.assert_allclose(squares[0] + squares[1], squares[2])


def test_negative_pca_sees_what_is_quiet_and_pca_what_is_loud(notebook):
    rng = np.random.default_rng(0)
    spread = np.array([100.0, 80.0, 0.1, 0.1])
    features = rng.normal(size=(200, 4)) * spread
    quiet, loud = np.array([[0, 0, 1.0, 0]]), np.array([[500.0, 0, 0, 0]])
    for part, seen, missed in ((0, loud, quiet), (1, quiet, loud)):
        scores = [notebook.subspace_scores([features], [x], 0.99, part)[0] for x in (seen, missed)]
        assert scores[0] > 4 > 1 > scores[1]


def test_the_chi_square_threshold_keeps_its_promise_only_if_the_gaussian_is_known(notebook):
    d, promised = 40, 0.05
    t = notebook.chi_square_threshold(d, promised)
    assert t == pytest.approx(np.sqrt(chi2.ppf(0.95, d)))
    rng = np.random.default_rng(0)
    known = notebook.mahalanobis(rng.normal(size=(20000, d)), (np.zeros(d), np.eye(d)))
    assert (known > t).mean() == pytest.approx(promised, abs=0.005)
    spread = np.geomspace(1, 1e-2, d)
    fitted = notebook.gaussian_draws(rng.normal(size=(60, d)) * spread, 5000, 0)
    assert (fitted > t).mean() > 2 * promised


def test_a_square_darkens_its_place_in_a_copy(notebook):
    images = np.full((2, 64, 64, 3), 100, np.uint8)
    marked = notebook.with_square(images, 8)
    assert (images == 100).all() and (marked != 100).sum() == 2 * 8 * 8 * 3
    assert (marked[:, 28:36, 28:36] == 70).all()


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("standardised_distance", "out_of_fold")


def one_by_one(notebook):
    def answer(features, folds):
        rows = []
        for feature, fold in zip(features, folds, strict=True):
            others = features[[i for i, other in enumerate(folds) if other != fold]]
            mean, precision = notebook.fit_gaussian(others)
            rows.append(float((feature - mean) @ precision @ (feature - mean)) ** 0.5)
        return rows

    return answer


def folded(notebook, pick=lambda folds, fold: folds != fold, ordered=True):
    def answer(features, folds):
        parts = [
            notebook.mahalanobis(
                features[folds == fold], notebook.fit_gaussian(features[pick(folds, fold)])
            )
            for fold in np.unique(folds)
        ]
        if not ordered:
            return np.concatenate(parts)
        distances = np.zeros(len(features))
        for fold, part in zip(np.unique(folds), parts, strict=True):
            distances[folds == fold] = part
        return distances

    return answer


def test_these_are_the_exercises(exercises):
    assert exercises.names == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_another_right_answer_is_right(notebook, exercises, name):
    other = {
        "standardised_distance": lambda x, m, v: np.linalg.norm((x - m) / np.sqrt(v), axis=1),
        "out_of_fold": one_by_one(notebook),
    }
    assert exercises.verdict(name, other[name]).startswith("[x]")


def wrong_answers(notebook):
    return [
        ("standardised_distance", lambda x, m, v: np.sqrt((x**2 / v).sum(1)), "the mean itself"),
        ("standardised_distance", lambda x, m, v: ((x - m) ** 2 / v).sum(1), "Euclidean"),
        (
            "standardised_distance",
            lambda x, m, v: np.sqrt((((x - m) / v) ** 2).sum(1)),
            "another unit",
        ),
        (
            "standardised_distance",
            lambda x, m, v: (np.abs(x - m) / np.sqrt(v)).sum(1),
            "2 and 1.5 standard deviations",
        ),
        ("standardised_distance", lambda x, m, v: np.sqrt((x - m) ** 2 / v), "expected shape"),
        ("out_of_fold", folded(notebook, lambda g, k: g == k), "other folds must count"),
        ("out_of_fold", folded(notebook, ordered=False), "keep the images' order"),
        ("out_of_fold", folded(notebook, lambda g, k: g == g), "must not fit its own"),
    ]


@pytest.mark.parametrize("number", range(8))
def test_a_wrong_answer_is_told_what_is_wrong(notebook, exercises, number):
    name, answer, message = wrong_answers(notebook)[number]
    said = exercises.verdict(name, answer)
    assert said.startswith("[!]") and message in said


def test_the_messages_for_wrong_answers_differ(notebook, exercises):
    said = [exercises.verdict(name, answer) for name, answer, _ in wrong_answers(notebook)]
    assert len(set(said)) == len(said)
