"""Gaussian-AD's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.spatial.distance import mahalanobis
from scipy.stats import chi2
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "distribution_map" / "gaussian_ad.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


def clouds(n, d, seed=0):
    """(n, d) correlated features, far from the origin."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 5


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(notebook, seed):
    notebook.check_fidelity(seed)
    notebook.check_edges()
    notebook.check_experiments(seed)
    notebook.check_rates()
    notebook.check_promises()


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_fidelity", "(1 - rho) * s + rho * target, rho", "s, rho"),
        ("check_fidelity", "np.trace(s) / d * np.eye(d)", "np.trace(s) * np.eye(d)"),
        ("check_fidelity", "(norms**2).sum() / n**2 - (s**2).sum() / n", "(norms**2).sum() / n**2"),
        ("check_fidelity", "z.T @ z / len(features)", "z.T @ z / (len(features) - 1)"),
        ("check_fidelity", "directions / np.sqrt(variances)", "directions / variances"),
        ("check_fidelity", "variances > 1e-10 * variances[-1]  # the last", "variances > 0  # the"),
        ("check_fidelity", "(features - mean) @ w, axis=1", "features @ w, axis=1"),
        ("check_fidelity", "np.mean(distances, axis=0)", "np.median(distances, axis=0)"),
        ("check_fidelity", "    if shrink:\n", "    if not shrink:\n"),
        ("check_edges", "min(doubt, apart) / apart", "doubt / apart"),
        ("check_edges", "if apart > 0 else 1.0", "if apart > 0 else 0.0"),
        ("check_edges", "level.mean(dim=(2, 3))", "level.amax(dim=(2, 3))"),
        ("check_experiments", "features.std(axis=0)", "features.var(axis=0)"),
        ("check_experiments", "directions[:, ::-1]  # (d", "directions[:, ::1]  # (d"),
        ("check_experiments", "directions[:, -k:]", "directions[:, :k]"),
        (
            "check_experiments",
            "np.searchsorted(explained, share)) + 1",
            "np.searchsorted(explained, share))",
        ),
        ("check_experiments", "(own @ a, x @ a)", "(own, x)"),
        ("check_rates", "side.var(ddof=1)", "side.var()"),
        ("check_promises", "1 - promised, dimensions", "1 - promised, dimensions - 1"),
        ("check_promises", "[draws[:n]], [draws[n:]]", "[draws], [draws[n:] * 1.2]"),
        ("check_rates", "1 + np.sign(", "2 * np.sign("),
        ("check_rates", "labels == 1], scores", "labels == 0], scores"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises(AssertionError):
        getattr(broken, check)()


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
    assert notebook.gaussian_ad([np.ones((6, 3))], [np.ones((2, 3))]).tolist() == [0, 0]


@pytest.mark.parametrize(("n", "d"), [(50, 6), (12, 40)])
def test_the_score_is_scipys_mahalanobis_distance_averaged_over_levels(notebook, n, d):
    fit, new = [clouds(n, d), clouds(n, 3, 1)], [clouds(7, d, 2), clouds(7, 3, 3)]
    expected = []
    for features, fresh in zip(fit, new, strict=True):
        inverse = np.linalg.inv(LedoitWolf().fit(features).covariance_)
        expected.append([mahalanobis(f, features.mean(axis=0), inverse) for f in fresh])
    got = notebook.gaussian_ad(fit, new)
    np.testing.assert_allclose(got, np.mean(expected, axis=0), rtol=1e-6)


def test_the_scored_images_never_change_the_gaussian(notebook):
    fit, new = [clouds(20, 4)], clouds(6, 4, 1)
    alone = [notebook.gaussian_ad(fit, [x[None]])[0] for x in new]
    np.testing.assert_allclose(notebook.gaussian_ad(fit, [new]), alone)


@pytest.mark.parametrize(("n", "d"), [(80, 7), (8, 20)])
def test_the_mean_squared_distance_of_the_fitted_images_is_the_rank_without_shrinkage(
    notebook, n, d
):
    features = clouds(n, d)
    inside = notebook.gaussian_ad([features], [features], notebook.not_shrunk)
    assert (inside**2).mean() == pytest.approx(min(d, n - 1))


def test_without_shrinkage_the_inverse_is_the_pseudo_inverse(notebook):
    features = clouds(8, 20)
    _, w = notebook.fit_gaussian(features, shrink=False)
    pseudo = np.linalg.pinv(np.cov(features.T, bias=True), rcond=1e-10, hermitian=True)
    np.testing.assert_allclose(w @ w.T, pseudo, atol=1e-6 * np.abs(pseudo).max())


def test_copies_leave_the_covariance_and_divide_the_strength(notebook):
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


def test_extracting_in_parts_is_the_same_as_at_once(notebook):
    images = np.random.default_rng(0).integers(0, 256, (18, 64, 64, 3), dtype=np.uint8)
    network = backbones.load("random:efficientnet_lite0", strides=(8, 32))
    whole = notebook.pooled(network.features(images))
    for found, wanted in zip(notebook.extract(network, images), whole, strict=True):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_more_images_and_larger_ones_need_more_memory(notebook):
    few = notebook.bytes_needed(500, (40, 112), (8, 16), 256)
    assert few > 500 * 3 * 256**2
    assert notebook.bytes_needed(2000, (40, 112), (8, 16), 256) > 3 * few
    assert notebook.bytes_needed(500, (40, 112), (8, 16), 1024) > 15 * few


# --- the experiments ----------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(60, 6), (8, 20)])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.9999])
def test_the_parts_are_scikit_learns_components_cut_where_the_share_is_reached(
    notebook, n, d, share
):
    features = clouds(n, d)
    first, rest, last = notebook.split_directions(features, share)
    pca = PCA().fit(features)
    rank = min(n - 1, d)
    explained = pca.explained_variance_ratio_[:rank].cumsum()
    k = min(int((explained >= share).argmax()) + 1, rank - 1)
    assert first.shape == last.shape == (d, k) and rest.shape == (d, rank - k)
    both = np.concatenate([first, rest], axis=1)
    np.testing.assert_allclose(np.abs(both.T @ pca.components_[:rank].T), np.eye(rank), atol=1e-6)
    np.testing.assert_array_equal(last, both[:, -k:])


def test_without_shrinkage_the_squared_distances_of_both_parts_add_up(notebook):
    features, fresh = clouds(60, 6), clouds(5, 6, 1)
    squares = []
    for axes in (*notebook.split_directions(features, 0.9)[:2], np.eye(6)):
        inside = [features @ axes], [fresh @ axes]
        squares.append(notebook.gaussian_ad(*inside, notebook.not_shrunk) ** 2)
    np.testing.assert_allclose(squares[0] + squares[1], squares[2])


def test_negative_pca_sees_where_little_varies_and_pca_where_much_does(notebook):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 4)) * np.array([100.0, 80.0, 0.1, 0.1])
    small, large = np.array([[0, 0, 1.0, 0]]), np.array([[500.0, 0, 0, 0]])
    for part, seen, missed in ((0, large, small), (1, small, large), (2, small, large)):
        scores = [notebook.within([features], [x], 0.99, part)[0] for x in (seen, missed)]
        assert scores[0] > 4 > 1 > scores[1]


def test_win_rates_average_to_the_mean_auroc(notebook):
    from helpers import metrics

    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 5, (3, 20)).astype(float), np.repeat([0, 1], 10)
    wanted = np.mean([metrics.image_auroc(labels, row) for row in scores])
    assert notebook.win_rates(scores, labels).mean() == pytest.approx(wanted)


def test_the_chi_square_threshold_keeps_its_promise_only_if_the_gaussian_is_known(notebook):
    d, promised = 40, 0.05
    t = notebook.chi_square_threshold(d, promised)
    assert t == pytest.approx(np.sqrt(chi2.ppf(0.95, d)))
    rng = np.random.default_rng(0)
    known = notebook.mahalanobis(rng.normal(size=(20000, d)), (np.zeros(d), np.eye(d)))
    assert (known > t).mean() == pytest.approx(promised, abs=0.005)
    spread = np.geomspace(1, 1e-2, d)
    fitted = notebook.gaussian_draws(rng.normal(size=(60, d)) * spread, 5000, 0)
    assert fitted.shape == (5000,) and (fitted > t).mean() > 2 * promised
    many = notebook.gaussian_draws(rng.normal(size=(20000, 3)), 5000, 0)
    above = (many > notebook.chi_square_threshold(3, promised)).mean()
    assert above == pytest.approx(promised, abs=0.01)


def test_what_is_flagged_above_the_promise_has_an_interval(notebook):
    flagged = np.arange(100) < 14
    found = notebook.above_promise(flagged, 0.05)
    assert found.value == pytest.approx(0.09)
    width = 1.96 * np.sqrt(0.14 * 0.86 / 100)
    assert (found.low, found.high) == pytest.approx((0.09 - width, 0.09 + width), abs=0.015)


def test_the_interval_of_mean_win_rates_is_about_that_of_a_bootstrap(notebook):
    rng = np.random.default_rng(0)
    gap = rng.normal(0.1, 0.2, (40, 1)) + rng.normal(0, 0.1, (1, 60)) + rng.normal(size=(40, 60))
    found = notebook.mean_gap(gap, np.zeros_like(gap))
    drawn = [gap[rng.integers(0, 40, 40)][:, rng.integers(0, 60, 60)].mean() for _ in range(2000)]
    assert found.value == pytest.approx(gap.mean())
    assert (found.low, found.high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.02)


def test_a_square_darkens_its_place_in_a_copy(notebook):
    images = np.full((2, 64, 64, 3), 100, np.uint8)
    marked = notebook.with_square(images, 8)
    assert (images == 100).all() and (marked != 100).sum() == 2 * 8 * 8 * 3
    assert (marked[:, 28:36, 28:36] == 70).all()


EQUIVALENT_DEFINITIONS = {
    "extract": "no check has a backbone; tested above",
    "bytes_needed": "an estimate; tested above",
    "not_shrunk": "a name for shrink=False, which check_fidelity covers; tested above",
    "scores_of_draws": "draws images and calls gaussian_ad",
    "with_square": "draws on images; tested above",
    "mean_gap": {
        "value, half = (sides[{0 → 1}].mean(), 1.96 * np.sqrt(variance))": "the same mean",
        "value, half = (sides[{0 → -1}].mean(), 1.96 * np.sqrt(variance))": "the same mean",
    },
    "spectrum": {
        "there = variances {> → >=} 1e-10 * variances[-1]": "no variance equals the bound",
        "return (variances[there], {directions → -directions}[:, there])": "no sign",
    },
    "fit_gaussian": {
        "return (features.mean(axis=0), "
        "{directions / np.sqrt(variances) → -(directions / np.sqrt(variances))})": "the same",
    },
    "standardised": {
        "return (features.mean(axis=0), {np.diag → -np.diag}(1 / spread))": "the same",
    },
    "euclidean": {
        "return (features.mean(axis=0), {np.eye → -np.eye}(features.shape[1]))": "the same",
    },
    "split_directions": {
        "k = {int(np.searchsorted(explained, share)) → np.searchsorted(explained, share)} + 1": (
            "a NumPy integer counts alike"
        ),
        "return ({directions → -directions}[:, :k], directions[:, k:], directions[:, -k:])": (
            "a direction has no sign"
        ),
        "return (directions[:, :k], {directions → -directions}[:, k:], directions[:, -k:])": (
            "a direction has no sign"
        ),
        "return (directions[:, :k], directions[:, k:], {directions → -directions}[:, -k:])": (
            "a direction has no sign"
        ),
    },
    "gaussian_draws": {
        "draws = rng.multivariate_normal({np.zeros → np.ones}(d), covariance, n + fresh)": (
            "a distance does not depend on where the cloud lies"
        ),
        "return gaussian_ad([draws[:{n → n + 1}]], [draws[n:]])": "one draw more of thousands",
    },
    "above_promise": {
        "counted = binomtest({int(flagged.sum()) → flagged.sum()}, len(flagged))": (
            "a NumPy integer counts alike"
        ),
    },
}

# --- the exercises ------------------------------------------------------------------------------

NAMES = ("standardised_distance", "quiet_share", "out_of_fold")


def fitted(features):
    """Mean and inverse of the Ledoit-Wolf covariance, from scikit-learn."""
    return features.mean(axis=0), np.linalg.inv(LedoitWolf().fit(features).covariance_)


def distance_to(x, gaussian):
    return float((x - gaussian[0]) @ gaussian[1] @ (x - gaussian[0])) ** 0.5


def one_by_one(features, folds):
    others = [features[[g != fold for g in folds]] for fold in folds]
    return [distance_to(x, fitted(rest)) for x, rest in zip(features, others, strict=True)]


def quiet_by_einsum(features, gaussian, k):
    square = np.einsum("md,dr->mr", features - gaussian[0], gaussian[1]) ** 2
    return square[:, :k].sum(1) / np.einsum("mr->m", square)


OTHERS = {
    "standardised_distance": lambda x, m, v: np.linalg.norm((x - m) / np.sqrt(v), axis=1),
    "quiet_share": quiet_by_einsum,
    "out_of_fold": one_by_one,
}


def folded(pick=lambda folds, fold: folds != fold, *, ordered=True, fit=fitted, labels=np.unique):
    """Answers that go wrong in one place each."""

    def answer(features, folds):
        found = np.zeros(len(features))
        parts = []
        for fold in labels(folds):
            mine = folds == fold
            gaussian = fit(features[pick(folds, fold)])
            found[mine] = [distance_to(x, gaussian) for x in features[mine]]
            parts.append(found[mine])
        return found if ordered else np.concatenate(parts)

    return answer


def leave_one_out(features, folds):
    rest = [np.delete(features, i, axis=0) for i in range(len(features))]
    return [distance_to(x, fitted(r)) for x, r in zip(features, rest, strict=True)]


def first_dimension(features, folds):
    return one_by_one(features[:, :1], folds)


def squared(features, folds):
    return np.square(one_by_one(features, folds))


def share(pick, power=2, root=False):
    def answer(features, gaussian, k):
        terms = np.abs((features - gaussian[0]) @ gaussian[1]) ** power
        found = pick(terms, k)
        return np.sqrt(found) if root else found

    return answer


def without_mean(features, gaussian, k):
    terms = (features @ gaussian[1]) ** 2
    return terms[:, :k].sum(axis=1) / terms.sum(axis=1)


def transposed(features, gaussian, k):
    terms = ((features - gaussian[0]) @ gaussian[1].T) ** 2
    return terms[:, :k].sum(axis=1) / terms.sum(axis=1)


EQUIVALENT = {
    "out_of_fold": {"for fold in {set(folds) → folds}:": "a fold done twice gives the same"},
}

WRONG = [
    ("standardised_distance", lambda x, m, v: np.sqrt((x**2 / v).sum(1)), "mean"),
    ("standardised_distance", lambda x, m, v: ((x - m) ** 2 / v).sum(1), "Euclidean"),
    (
        "standardised_distance",
        lambda x, m, v: np.sqrt((((x - m) / v) ** 2).sum(1)),
        "units must not matter",
    ),
    (
        "standardised_distance",
        lambda x, m, v: np.sqrt(((x - m) ** 2 / v).sum(0)),
        "expected shape (2,), got (3,)",
    ),
    (
        "standardised_distance",
        lambda x, m, v: np.sqrt(((x - m) ** 2 / v)[:, :2].sum(1)),
        "all variances 1",
    ),
    (
        "standardised_distance",
        lambda x, m, v: np.linalg.norm((x - m) / np.sqrt(x.var(0) + 1e-9), axis=1) + 0 * v[0],
        "Euclidean",
    ),
    (
        "quiet_share",
        share(lambda t, k: t[:, -k:].sum(1) / t.sum(1)),
        "k = 1",
    ),
    ("quiet_share", share(lambda t, k: t[:, :k].sum(1)), "above 1"),
    ("quiet_share", share(lambda t, k: t[:, :k].sum(1) / t.sum()), "k = 3, all"),
    ("quiet_share", share(lambda t, k: t[:, :k].mean(1) / t.mean(1)), "above 1"),
    (
        "quiet_share",
        share(lambda t, k: t[:, k - 1] / t.sum(1)),
        "k = 3, all",
    ),
    ("quiet_share", share(lambda t, k: t[:, :k].sum(1) / t.sum(1), 1), "k = 1"),
    ("quiet_share", share(lambda t, k: t[:, :1].sum(1) / t.sum(1)), "k = 3, all"),
    ("quiet_share", without_mean, "k = 1"),
    ("quiet_share", transposed, "directions between the axes"),
    ("out_of_fold", folded(lambda folds, fold: folds == folds), "folds -1, 4, 9"),
    ("out_of_fold", folded(ordered=False), "keep the images' order"),
    ("out_of_fold", folded(labels=lambda folds: range(3)), "folds -1, 4, 9"),
    ("out_of_fold", leave_one_out, "the whole fold stays out"),
    ("out_of_fold", first_dimension, "two dimensions"),
    ("out_of_fold", squared, "folds -1, 4, 9"),
    ("out_of_fold", lambda x, folds: one_by_one(x, folds)[:2], "expected shape (6,)"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
