"""SVDD's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from scipy.optimize import minimize
from sklearn.svm import OneClassSVM

from helpers import backbones

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "one_class" / "svdd.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


def cloud(n, d, seed=0):
    """(n, d) correlated points, away from the origin."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(notebook, seed):
    notebook.check_fidelity(seed)
    notebook.check_edges()
    notebook.check_solver(seed)
    notebook.check_limits(seed)
    notebook.check_twin(seed)
    notebook.check_whitening(seed)
    notebook.check_choice(seed)
    notebook.check_gap()


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_fidelity", "alpha @ np.diag(k) - alpha @ k @ alpha", "alpha @ np.diag(k)"),
        ("check_fidelity", "/ (2 * apart)", "/ apart"),
        ("check_fidelity", "min(best, c - alpha[i], alpha[j])", "min(best, alpha[j])"),
        ("check_fidelity", "min(best, c - alpha[i], alpha[j])", "min(best, c - alpha[i])"),
        ("check_fidelity", "- 2 * k @ alpha\n    apart", "- k @ alpha\n    apart"),
        ("check_fidelity", "itself - 2 * cross", "itself - cross"),
        ("check_fidelity", "2 * cross + ball.centre_square", "2 * cross"),
        ("check_fidelity", "squares[kinds == 1].mean(), kinds", "squares.max(), kinds"),
        ("check_fidelity", "c = 1 / (nu * len(points))\n    k", "c = 1 / len(points)\n    k"),
        ("check_edges", "used = kinds > 0", "used = kinds > -1"),
        ("check_solver", "c * n < 1 - 1e-9", "c * n < 0.5"),
        ("check_solver", "/ (2 * apart)", "/ (3 * apart)"),
        ("check_solver", "tolerance * apart.max()", "tolerance"),
        ("check_solver", "+ np.diag(k) - 2 * k  # squared distances", "+ np.diag(k)"),
        ("check_edges", "(inside + outside) / 2", "outside"),
        ("check_edges", "squares[kinds == 1].mean(), kinds", "squares[kinds == 1].max(), kinds"),
        ("check_edges", "tiny = 1e-7 * c", "tiny = 1e-7"),
        ("check_limits", "clip(0) / width**2", "clip(0) / width"),
        ("check_limits", "squares.clip(0)", "squares"),
        ("check_limits", "clip(0) / width**2", "clip(0) / (2 * width**2)"),
        ("check_limits", "+ (b**2).sum(axis=1) - 2 * a @ b.T", "+ (b**2).sum(axis=1) - a @ b.T"),
        ("check_twin", "1.0 if ball.width", "0.0 if ball.width"),
        ("check_whitening", "/ sizes[:k] * np.sqrt(len(normal))", "* np.sqrt(len(normal))"),
        ("check_whitening", "(explained, share) + 1", "(explained, share) + 2"),
        ("check_whitening", "np.sqrt(2 * points.var", "np.sqrt(points.var"),
        ("check_choice", "fit_ball(points[~mine], nu, width)", "fit_ball(points[mine], nu, width)"),
        ("check_choice", "% folds == fold", "// folds == fold"),
        ("check_choice", "if s <= limit", "if s < limit"),
        ("check_choice", "min(kept) if kept", "max(kept) if kept"),
        ("check_gap", "gap.std(ddof=1)", "gap.std()"),
        ("check_gap", "np.subtract(a, b, dtype=float)", "a - b"),
    ],
)  # fmt: skip
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, ArithmeticError, TypeError)):
        getattr(broken, check)()


@pytest.mark.parametrize("nu", [0.08, 0.3, 0.7])
def test_the_ball_solves_the_first_problem_as_a_general_solver_does(notebook, nu):
    points, c = cloud(12, 2), 1 / (12 * nu)

    def cost(values):  # centre, R^2, xi
        return values[2] + c * values[3:].sum()

    def inside(values):
        return values[2] + values[3:] - ((points - values[:2]) ** 2).sum(axis=1)

    start = np.r_[points.mean(axis=0), 9.0, np.full(12, 50.0)]
    bounds = [(None, None)] * 2 + [(0, None)] * 13
    found = minimize(
        cost, start, bounds=bounds, constraints={"type": "ineq", "fun": inside},
        method="SLSQP", options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    ball = notebook.fit_ball(points, nu)
    np.testing.assert_allclose(ball.alpha @ ball.points, found.x[:2], atol=1e-3)
    over = (notebook.image_scores(points, ball) - ball.r_square).clip(0)
    assert ball.r_square + c * over.sum() == pytest.approx(found.fun, rel=1e-5)


@pytest.mark.parametrize("width", [None, 0.7, 3.0])
@pytest.mark.parametrize("nu", [0.04, 0.17, 0.5, 1.0])
def test_no_more_than_nu_are_outside_and_no_fewer_are_support_vectors(notebook, nu, width):
    points = cloud(60, 3)
    kinds = notebook.fit_ball(points, nu, width).kinds
    assert (kinds == 2).sum() <= nu * 60 + 1e-9
    assert (kinds > 0).sum() >= nu * 60 - 1e-9


@pytest.mark.parametrize("width", [0.8, 2.0, 8.0])
@pytest.mark.parametrize("nu", [0.05, 0.33])
def test_with_a_gaussian_kernel_it_ranks_as_the_one_class_svm(notebook, nu, width):
    points, new = cloud(50, 4), cloud(30, 4, 1) * 1.3
    known = OneClassSVM(gamma=1 / width**2, nu=nu, tol=1e-9).fit(points)
    ball = notebook.fit_ball(points, nu, width)
    scores, twin = notebook.image_scores(new, ball), known.score_samples(new)
    np.testing.assert_allclose(scores, 1 - 2 * twin / (nu * 50) + ball.centre_square, atol=1e-5)
    clear = np.abs(known.decision_function(new)) > 1e-5 * nu * 50
    np.testing.assert_array_equal(
        (scores > ball.r_square)[clear], (known.predict(new) == -1)[clear]
    )


def test_a_point_that_is_no_support_vector_may_be_left_out(notebook):
    points = cloud(40, 2)
    ball = notebook.fit_ball(points, 1 / 40)  # C = 1, which no number of points changes
    inner = int(np.flatnonzero(ball.kinds == 0)[0])
    rest = np.delete(points, inner, axis=0)
    again = notebook.fit_ball(rest, 1 / 39)
    assert again.r_square == pytest.approx(ball.r_square, rel=1e-5)
    new = cloud(10, 2, 1)
    np.testing.assert_allclose(
        notebook.image_scores(new, again), notebook.image_scores(new, ball), rtol=1e-3, atol=1e-3
    )


def test_equal_points_make_a_ball_without_a_radius(notebook):
    ball = notebook.fit_ball(np.ones((5, 3)), 0.5, 2.0)
    assert ball.r_square == pytest.approx(0)
    assert notebook.image_scores(np.ones((2, 3)), ball) == pytest.approx([0, 0])


@pytest.mark.parametrize("c", [0.09, 0.0, -1.0])
def test_a_price_that_no_multipliers_can_pay_is_refused(notebook, c):
    with pytest.raises(ValueError, match=r"must be 1/n = 0\.1 or more"):
        notebook.solve(np.eye(10), c)


def test_pooling_takes_the_mean_over_positions_and_joins_the_levels(notebook):
    maps = [torch.arange(24.0).view(1, 2, 3, 4), torch.ones(1, 3, 1, 1)]
    assert notebook.pooled(maps).tolist() == [[5.5, 17.5, 1, 1, 1]]


def test_extracting_in_parts_is_the_same_as_at_once(notebook):
    images = np.random.default_rng(0).integers(0, 256, (18, 64, 64, 3), dtype=np.uint8)
    network = backbones.load("random:efficientnet_lite0", strides=(8, 32))
    whole = notebook.pooled(network.features(images))
    np.testing.assert_allclose(notebook.extract(network, images), whole, atol=1e-5)


def test_more_images_and_larger_ones_need_more_memory(notebook):
    few = notebook.bytes_needed(500, (40, 112), (8, 16), 256)
    assert few > 500 * 3 * 256**2
    assert notebook.bytes_needed(2000, (40, 112), (8, 16), 256) > 3 * few
    assert notebook.bytes_needed(500, (40, 112), (8, 16), 1024) > 15 * few


def test_two_numbers_are_mean_and_deviation_of_the_grey_values(notebook):
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1, :2] = (30, 60, 90)  # half of it has grey 60
    assert notebook.two_numbers(images).tolist() == [[0, 0], [30, 30]]


def test_standardised_features_have_mean_zero_and_deviation_one(notebook):
    normal = cloud(50, 3)
    scaled = notebook.standardiser(normal)
    np.testing.assert_allclose(scaled(normal).mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled(normal).std(axis=0), 1)
    np.testing.assert_allclose(scaled(normal.mean(axis=0) + normal.std(axis=0)), 1)
    assert np.isfinite(notebook.standardiser(np.ones((4, 2)))(np.ones((1, 2)))).all()


def test_the_three_scores_are_what_they_are_called(notebook):
    normals, new = cloud(40, 3), cloud(9, 3, 1)
    found = notebook.three_scores(normals, new, 0.2, 0.8)
    far = ((new - normals.mean(axis=0)) ** 2).sum(axis=1)
    np.testing.assert_allclose(found["distance to the mean"], far)
    width = 0.8 * np.sqrt(2 * normals.var(axis=0).sum())
    for name, fitted in (("ball", (0.2,)), ("kernel", (0.2, width))):
        wanted = notebook.image_scores(new, notebook.fit_ball(normals, *fitted))
        np.testing.assert_allclose(found[name], wanted)


EQUIVALENT_DEFINITIONS = {
    "exchange": {
        "apart = k[i, i] + k[j, j] - 2 * k[{i, j → j, i}]": "a kernel is symmetric",
    },
    "solve": {
        "for _ in {range(1000 * n) → list(range(1000 * n))[1:]}:": "a cap that is not reached",
        "for _ in range(1000 * {n → n - 1}):": "a cap that is not reached",
        "for _ in range({1000 * n → 1000}):": "a cap that is not reached",
        "for _ in range({1000 → 1001} * n):": "a cap that is not reached",
        "for _ in range({1000 → 999} * n):": "a cap that is not reached",
    },
    "radius_square": {
        "kinds = (alpha {> → >=} tiny).astype(int) + (alpha > c - tiny)": (
            "no multiplier equals the bound"
        ),
        "kinds = (alpha > tiny).astype(int) + (alpha {> → >=} c - tiny)": (
            "no multiplier equals the bound"
        ),
    },
    "whitener": {
        "_, sizes, axes = np.linalg.svd(normal - {mean, full_matrices=False → mean})": (
            "the axes that are added are cut off again"
        ),
        "_, sizes, axes = np.linalg.svd(normal - mean, "
        "{full_matrices=False → full_matrices=True})": "the axes that are added are cut off again",
    },
    "left_out": {
        "outside = {np.zeros → np.ones}(len(points), dtype=bool)": "each is overwritten",
        "outside[mine] = image_scores(points[mine], ball) {> → >=} ball.r_square": (
            "no distance equals the radius"
        ),
    },
    "extract": "no check has a backbone; tested above",
    "pooled": "tested above",
    "bytes_needed": "an estimate; tested above",
    "two_numbers": "tested above",
    "standardiser": "tested above",
    "three_scores": "calls fit_ball; tested above",
    "draw_ball": "draws only",
}

# --- the exercises ------------------------------------------------------------------------------

NAMES = ("squared_distance", "signed_exchange")
EQUIVALENT = {
    "signed_exchange": {
        "apart = k[i, i] + k[j, j] - 2 * k[{i, j → j, i}]": "a kernel is symmetric",
    },
}


def distance_by_loops(own, k_new, k_fit, alpha):
    pairs = range(len(alpha))
    centre = sum(alpha[i] * alpha[j] * k_fit[i, j] for i in pairs for j in pairs)
    return [o - 2 * sum(a * v for a, v in zip(alpha, row, strict=True)) + centre
            for o, row in zip(own, k_new, strict=True)]  # fmt: skip


def exchange_by_search(k, beta, low, high, i, j):
    """The best of many steps, then of many around it."""
    unit = np.zeros(len(beta))
    unit[i], unit[j] = 1, -1

    def dual(step):
        moved = beta + step * unit
        return moved @ np.diag(k) - moved @ k @ moved

    least = max(low[i] - beta[i], beta[j] - high[j])
    most = min(high[i] - beta[i], beta[j] - low[j])
    for _ in range(12):
        steps = np.linspace(least, most, 41)
        best = int(np.argmax([dual(step) for step in steps]))
        least, most = steps[max(best - 1, 0)], steps[min(best + 1, 40)]
    return beta + steps[best] * unit


OTHERS = {"squared_distance": distance_by_loops, "signed_exchange": exchange_by_search}


def exchanged(
    *, twice=2, slope_factor=2, clip=lambda room: (room[0], room[1]), back=True, centre=np.array
):
    """Answers that go wrong in one place each; `room` is (least, most, parts of both)."""

    def answer(k, beta, low, high, i, j):
        slope = np.diag(k) - slope_factor * k @ centre(beta)
        best = (slope[i] - slope[j]) / (twice * (k[i, i] + k[j, j] - 2 * k[i, j]))
        down, up = (low[i] - beta[i], beta[j] - high[j]), (high[i] - beta[i], beta[j] - low[j])
        step = np.clip(best, *clip((max(down), min(up), down, up)))
        changed = beta.copy()
        changed[i] += step
        changed[j] -= step if back else 0
        return changed

    return answer


def only_beta(k, beta, low, high, i, j):
    return exchanged()(k, beta, low, high, i, j)[[i, j]]


def each_clipped(k, beta, low, high, i, j):
    """Both moved by the same step, and each cut to its own bounds."""
    anywhere = np.full(len(beta), 9.0)
    return np.clip(exchanged()(k, beta, -anywhere, anywhere, i, j), low, high)


def narrowest(low=None, high=None):
    """One bound for all points."""

    def answer(k, beta, least, most, i, j):
        least = np.full(len(beta), low(least)) if low else least
        most = np.full(len(beta), high(most)) if high else most
        return exchanged()(k, beta, least, most, i, j)

    return answer


def in_place(k, beta, low, high, i, j):
    beta[:] = exchanged()(k, beta, low, high, i, j)
    return beta


WRONG = [
    (
        "squared_distance",
        lambda own, new, fit, a: own - new @ a + a @ fit @ a,
        "the centre itself",
    ),
    (
        "squared_distance",
        lambda own, new, fit, a: own - 2 * new @ a + np.sum(a * np.diag(fit)),
        "no kernel, (1.4, 1) to (2, 1)",
    ),
    (
        "squared_distance",
        lambda own, new, fit, a: own - 2 * new @ a + np.sum(a**2 * np.diag(fit)),
        "no kernel, (1.4, 1) to (2, 1)",
    ),
    ("squared_distance", lambda own, new, fit, a: own - 2 * new @ a, "the centre itself"),
    (
        "squared_distance",
        lambda own, new, fit, a: (own - 2 * new @ a + a @ fit @ a)[0],
        "expected shape (2,), got ()",
    ),
    (
        "squared_distance",
        lambda own, new, fit, a: 1 - 2 * new @ a + a @ fit @ a,
        "the centre itself",
    ),
    (
        "squared_distance",
        lambda own, new, fit, a: np.sqrt(abs(own - 2 * new @ a + a @ fit @ a)),
        "no kernel, (1.4, 1) to (2, 1)",
    ),
    (
        "squared_distance",
        lambda own, new, fit, a: own - 2 * new @ a + fit.mean(),
        "no kernel, (1.4, 1) to (2, 1)",
    ),
    ("signed_exchange", exchanged(twice=1), "no bound in the way"),
    ("signed_exchange", exchanged(slope_factor=1), "no bound in the way"),
    ("signed_exchange", exchanged(back=False), "no bound in the way"),
    ("signed_exchange", exchanged(clip=lambda r: (r[0], r[3][0])), "low[j], so 0.2 gained"),
    ("signed_exchange", exchanged(clip=lambda r: (r[0], r[3][1])), "high[i], so 0.05 gained"),
    ("signed_exchange", exchanged(clip=lambda r: (0, r[1])), "no bound, delta below 0"),
    ("signed_exchange", exchanged(centre=np.abs), "a defect: expected 0.8"),
    ("signed_exchange", exchanged(clip=lambda r: (r[2][1], r[1])), "low[i], so 0.1 lost"),
    ("signed_exchange", exchanged(clip=lambda r: (r[2][0], r[1])), "high[j], so 0.05 lost"),
    ("signed_exchange", only_beta, "expected shape (5,), got (2,)"),
    ("signed_exchange", lambda k, b, low, high, i, j: np.clip(b, low, high), "no bound in the way"),
    ("signed_exchange", each_clipped, "low[j], so 0.2 gained: expected 0.4, got 0.5"),
    ("signed_exchange", narrowest(high=np.min), "no bound in the way"),
    ("signed_exchange", narrowest(high=np.max), "high[i], so 0.05 gained"),
    ("signed_exchange", narrowest(low=np.max), "no bound in the way"),
    ("signed_exchange", narrowest(low=np.min), "low[j], so 0.2 gained"),
    ("signed_exchange", exchanged(clip=lambda r: (-1, min(r[3]))), "low[i], so 0.1 lost"),
    ("signed_exchange", narrowest(high=lambda x: x[-1]), "high[i], so 0.05 gained"),
    ("signed_exchange", narrowest(low=lambda x: x[0]), "low[j], so 0.2 gained"),
    ("signed_exchange", in_place, "changed in place"),
]


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
