"""NSA's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from equation_tests import EquationTests
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from torch import nn

PATH = Path(__file__).resolve().parents[2] / "notebooks/autoencoder/nsa.ipynb"
CHECKS = (
    "check_poisson",
    "check_blending",
    "check_pieces",
    "check_places",
    "check_labels",
    "check_resized",
    "check_fidelity",
)


@pytest.fixture(scope="module")
def notebook():
    return definitions(PATH)


def check_pool(notebook, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 120, (3, 24, 24, 3)).astype(np.uint8)
    taken, put = np.s_[0:8, 1:9], np.s_[10:18, 4:12]
    for how, source, share in (("FPI", put, 0.3), ("pasted", taken, 1)):
        want, inner = images[1].astype(float), np.s_[11:17, 5:11]
        piece = images[2][source][1:-1, 1:-1]
        want[inner] = (1 - share) * want[inner] + share * piece
        found = notebook.transplanted(images, 1, [(2, taken, put)], how, 0.3)
        assert np.allclose(found, want), how
    for how in ("FPI", "mixed"):
        dice = np.random.default_rng(seed)
        pool, changes, shares = notebook.make_pool(images, how, 2, seed)
        assert pool.dtype == np.float32 and shares.shape == (6, 1, 1)
        for number in range(6):
            spots = notebook.draw_spots(number % 3, 3, 24, dice)
            share = dice.uniform(0.05, 0.95)
            want = notebook.transplanted(images, number % 3, spots, how, share)
            d = notebook.change(images[number % 3], want)
            assert np.allclose(pool[number], want, atol=1e-4)
            assert np.allclose(changes[number], d) and shares[number] == share


def check_network(notebook, seed):
    draw = torch.Generator().manual_seed(seed)
    net = notebook.UNet(2).double().eval()
    x = torch.rand(2, 3, 16, 16, generator=draw).double()
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data.normal_(generator=draw)
    one = net.one(x)
    two = net.two(one)
    up = net.three(two).repeat_interleave(2, 2).repeat_interleave(2, 3)
    up = net.back_two(torch.cat([up, two], 1))
    up = up.repeat_interleave(2, 2).repeat_interleave(2, 3)
    logits = net.last(net.back_one(torch.cat([up, one], 1)))
    assert torch.allclose(net(x), logits), "not the U-Net"
    assert logits.shape == (2, 1, 16, 16), "a logit for each pixel"
    first = x[:, :, 4:6, 6:8].flatten(1)
    assert torch.allclose(net.one[0](x)[:, :, 2, 3], first), "2 x 2 pixels"


def with_parameters(module, **changed):
    """The notebook's parameters, small."""
    small = {"iterations": 30, "batch_size": 4, "learning_rate": 0.01}
    for name, value in (small | changed).items():
        setattr(module, name, value)
    module.run = type("Run", (), {"device": "cpu"})
    return module


# --- the equations ------------------------------------------------------------------------------


BROKEN = {
    "sides too short": ("2 * (0.03 + rng.gamma(2, 0.05, 2))", "(0.03 + rng.gamma(2, 0.05, 2))"),
    "another gamma": ("rng.gamma(2, 0.05, 2)", "rng.gamma(2, 0.1, 2)"),
    "no limits": (".clip(6, 0.8 * side)", ".clip(1, side)"),
    "always three pieces": ("turn == 0 or rng.random() < 0.5", "turn <= 2"),
    "its own pieces": ("(index + 1 + rng.integers(", "(index + rng.integers("),
    "never resized": ("scale * sides", "sides"),
    "resized nearest": ("(1 - share) * one + share * two", "one"),
    "corners aligned": ("(np.arange(new) + 0.5) * old / new - 0.5", "np.arange(new) * old / new"),
    "the weaker gradient": ("np.where(abs(g) > abs(x), g, x)", "np.where(abs(g) > abs(x), x, g)"),
    "signed gradients": ("abs(g) > abs(x), g, x", "g > x, g, x"),
    "always mixed": ("    if not mixed:\n        return wanted\n", ""),
    "divergence of one direction": (
        "np.diff(down, axis=0)[:, 1:-1] + np.diff(right, axis=1)[1:-1]",
        "np.diff(down, axis=0)[:, 1:-1]",
    ),
    "without the place's gradients": (
        "divergence(*v) - divergence(*own)",
        "divergence(*v)",
    ),
    "eigenvalues of a ring": ("np.cos(np.pi * n) - 4", "np.cos(2 * np.pi * n) - 4"),
    "sign of the solution": ("(place + np.pad(w", "(place - np.pad(w"),
    "not clipped": (".clip(0, 255)", ".clip(0, 999)"),
    "cosine transform": ("fft.dstn(b, type=1", "fft.dstn(b, type=2"),
    "FPI pasted": ('share if how == "FPI" else 1', "1"),
    "a share for pasted": ('share if how == "FPI" else 1', "share"),
    "border pasted": (
        "changed[1:-1, 1:-1] += share * (piece - place)[1:-1, 1:-1]",
        "changed = piece",
    ),
    "FPI from elsewhere": ('put if how == "FPI" else taken', "taken"),
    "sum of channels": ("abs(changed - image).mean(axis=2)", "abs(changed - image).sum(axis=2)"),
    "signed change": ("abs(changed - image).mean(axis=2)", "abs((changed - image).mean(axis=2))"),
    "no median": ("ndimage.median_filter(moved, 3)", "moved"),
    "a mean": ("ndimage.median_filter(moved, 3)", "ndimage.uniform_filter(moved, 3)"),
    "cut at 0": ("(d > 1).astype(float)", "(d > 0).astype(float)"),
    "logistic without a cut": ("return binary_label(d) / (1", "return 1 / (1"),
    "logistic falls": ("np.exp(-k * (d - x0))", "np.exp(k * (d - x0))"),
    "change from the mask": (
        "changes.append(change(images[index], made))",
        "changes.append(99 + 0 * made[..., 0])",
    ),
    "share not used": (
        "transplanted(images, index, spots, how, share)\n        changes",
        "transplanted(images, index, spots, how, 1)\n        changes",
    ),
    "no skip connection": ("torch.cat([up, one], dim=1)", "torch.cat([up, 0 * one], dim=1)"),
    "skips swapped": ("torch.cat([up, two], dim=1)", "torch.cat([two, up], dim=1)"),
    "smooth enlargement": ('mode="nearest"', 'mode="bilinear"'),
    "one logit for four pixels": ("self.last = unfolding(w, 1)", "self.last = nn.Conv2d(w, 1, 1)"),
    "squares for the cross-entropy": (
        "F.binary_cross_entropy_with_logits(logits, y)",
        "F.mse_loss(logits, y)",
    ),
    "no sigmoid": ("[:, 0].sigmoid().cpu()", "[:, 0].cpu()"),
    "not scaled": ("x.to(like) / 255", "x.to(like)"),
    "the largest as score": ("maps.mean(axis=(1, 2))", "maps.max(axis=(1, 2))"),
}


class TestEquations(EquationTests):
    path, checks, broken = PATH, CHECKS, BROKEN

    def run_checks(self, notebook, seed=0):
        super().run_checks(notebook, seed)
        check_pool(notebook, seed)
        check_network(notebook, seed)


def test_the_solver_inverts_the_laplacian(notebook):
    w = np.pad(np.random.default_rng(0).normal(size=(5, 8, 3)), ((1, 1), (1, 1), (0, 0)))
    b = notebook.divergence(*notebook.gradients(w))
    assert np.allclose(notebook.solve_poisson(b), w[1:-1, 1:-1])


def test_a_flat_piece_leaves_no_texture_with_the_sources_gradients(notebook):
    rng = np.random.default_rng(0)
    place = rng.uniform(100, 110, (7, 9, 3))
    flat = np.full_like(place, 30.0)
    u = notebook.blended(place, flat, False)
    laplacian = notebook.divergence(*notebook.gradients(u))
    assert abs(laplacian).max() < 1e-9
    assert np.allclose(notebook.blended(place, flat, True), place)  # its own are stronger


def test_pieces_depend_on_the_seed_alone_and_fit_in_any_image(notebook):
    for side in (16, 64):
        one, two = (notebook.draw_spots(0, 1, side, np.random.default_rng(seed)) for seed in (4, 4))
        assert one == two
        for other, taken, put in one:
            assert other == 0  # there is no other
            assert all(0 <= s.start < s.stop <= side for s in taken + put)


def test_all_ways_of_joining_change_the_same_places(notebook):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    clean = np.concatenate([images, images])
    moved = {
        how: abs(notebook.make_pool(images, how, 2, 0)[0] - clean).max(axis=3) > 1e-3
        for how in ("FPI", "pasted", "source", "mixed")
    }
    for how, found in moved.items():
        assert not (found & ~moved["pasted"]).mean() > 0.01, how


def test_weights_follow_from_the_seed_alone_and_are_double(notebook):
    module = with_parameters(notebook)
    torch.manual_seed(1)
    one = module.with_weights(module.UNet(2), 5).state_dict()
    torch.manual_seed(2)
    two = module.with_weights(module.UNet(2), 5).state_dict()
    other = module.with_weights(module.UNet(2), 6).state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["last.0.weight"], other["last.0.weight"])
    assert one["last.0.weight"].dtype == torch.float64 and not one["last.0.bias"].any()
    wide = module.with_weights(module.UNet(8), 0).three[1][0].weight
    assert abs(float(wide.detach().std()) - (2 / (9 * 32)) ** 0.5) < 0.005


def test_training_lowers_the_loss_and_can_be_repeated():
    module = with_parameters(definitions(PATH), iterations=60)
    rng = np.random.default_rng(0)
    images = rng.integers(100, 150, (6, 16, 16, 3)).astype(np.float32)
    labels = np.zeros((6, 1, 16, 16))
    for k in range(6):
        images[k, 2 + k : 6 + k, 4:9] += 90
        labels[k, 0, 2 + k : 6 + k, 4:9] = 1
    runs = []
    for _ in range(2):
        network = module.with_weights(module.UNet(4), 0)
        runs.append(module.train_network(network, images, labels, module.label_loss, 0))
        assert not network.training
    assert runs[0] == runs[1] and len(runs[0]) == 60
    assert np.mean(runs[0][-5:]) < 0.3 * np.mean(runs[0][:5])
    maps = module.anomaly_maps(network, images)
    assert maps[labels[:, 0] == 1].mean() > 2 * maps[labels[:, 0] == 0].mean()


def test_the_plain_autoencoder_has_the_layers_of_the_u_net_and_no_skips(notebook):
    network = notebook.plain_autoencoder(2)
    assert network(torch.rand(2, 3, 16, 16)).shape == (2, 3, 16, 16)
    assert isinstance(network, nn.Sequential)


def test_a_layer_is_a_convolution_a_batch_norm_and_a_relu(notebook):
    made = notebook.layer(2, 3, 2)
    assert [type(part) for part in made] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert made[0].bias is None
    assert made(torch.rand(1, 2, 8, 8)).shape == (1, 3, 4, 4)


def test_mean_grey_is_a_number_for_each_image(notebook):
    images = np.arange(48).reshape(2, 2, 4, 3)
    assert np.allclose(notebook.mean_grey(images), [11.5, 35.5])


def test_sharpness_falls_where_detail_is_lost(notebook):
    stripes = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    stripes[0, ::2] = 200
    stripes[1, ::2] = 100
    sharp = notebook.sharpness(stripes)
    assert sharp.shape == (2,) and np.isclose(sharp[0], 2 * sharp[1])


# --- the exercises ------------------------------------------------------------------------------


def solved_line(line, piece):
    n = len(line) - 2
    matrix = -2 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)
    b = np.diff(piece, 2)
    b[0] -= line[0]
    b[-1] -= line[-1]
    return np.concatenate([line[:1], np.linalg.solve(matrix, b), line[-1:]])


def walked_seam(image, top, bottom, left, right):
    inside = np.zeros(image.shape, dtype=bool)
    inside[top:bottom, left:right] = True
    total = []
    for axis in (0, 1):
        crosses = np.diff(inside.astype(int), axis=axis) != 0
        total.append(np.diff(image, axis=axis)[crosses])
    return np.abs(np.concatenate(total)).mean()


def four_means(image, top, bottom, left, right):
    return np.mean(
        [
            abs(image[top, left:right] - image[top - 1, left:right]).mean(),
            abs(image[bottom - 1, left:right] - image[bottom, left:right]).mean(),
            abs(image[top:bottom, left] - image[top:bottom, left - 1]).mean(),
            abs(image[top:bottom, right - 1] - image[top:bottom, right]).mean(),
        ]
    )


def two_sides(image, top, bottom, left, right):
    return abs(
        np.concatenate(
            [
                image[top, left:right] - image[top - 1, left:right],
                image[bottom - 1, left:right] - image[bottom, left:right],
            ]
        )
    ).mean()


def signed(image, top, bottom, left, right):
    return abs(
        np.mean(
            np.concatenate(
                [
                    image[top, left:right] - image[top - 1, left:right],
                    image[bottom - 1, left:right] - image[bottom, left:right],
                    image[top:bottom, left] - image[top:bottom, left - 1],
                    image[top:bottom, right - 1] - image[top:bottom, right],
                ]
            )
        )
    )


def ring(image, top, bottom, left, right):
    around = image[top - 1 : bottom + 1, left - 1 : right + 1].astype(float)
    outside = around.copy()
    outside[1:-1, 1:-1] = np.nan
    return abs(np.nanmean(outside) - image[top:bottom, left:right].mean())


def logistic(image, changed, k, x0, cut=1, sign=-1):
    d = abs(changed - image).mean(axis=2)
    return (d > cut) / (1 + np.exp(sign * k * (d - x0)))


EQUIVALENT_DEFINITIONS = {
    "window": {
        "first = [{int(rng.integers(side - n + 1)) → rng.integers(side - n + 1)} for n in size]": (
            "the same numbers, of NumPy's type"
        ),
    },
    "draw_spots": {
        "if turn == {0 → 1} or rng.random() < 0.5:": "one of three alike is certain",
        "if turn == 0 or rng.random() {< → >=} 0.5:": "as likely",
        "if turn == 0 or rng.random() {< → <=} 0.5:": "no number is drawn that equals 0.5",
        "spots.append(({int(other) → other}, taken, put))": "the same number, of NumPy's type",
    },
    "resized": {
        "at = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old {- → +} 1)": (
            "behind the last pixel both neighbours are the last one"
        ),
        "at = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, {old - 1 → old})": "the same",
        "at = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - {1 → 0})": "the same",
        "share = (at - low).reshape([-{1 → 2}, 1, 1] if axis == 0 else [1, -1, 1])": (
            "NumPy takes any negative length for the one to be found"
        ),
        "share = (at - low).reshape([-1, 1, 1] if axis == 0 else [1, -{1 → 2}, 1])": "the same",
    },
    "guidance": {
        "return {tuple((np.where(abs(g) > abs(x), g, x) for x, g in pairs)) → "
        "(np.where(abs(g) > abs(x), g, x) for x, g in pairs)}": "it is unpacked at once",
    },
    "outputs": {
        "parts = np.split(images, range(32, len(images){ →  - 1}, 32))": "parts change nothing",
        "parts = np.split(images, range({32 → 33}, len(images), 32))": "the same",
        "parts = np.split(images, range({32 → 31}, len(images), 32))": "the same",
        "parts = np.split(images, range(32, len(images), {32 → 33}))": "the same",
        "parts = np.split(images, range(32, len(images), {32 → 31}))": "the same",
    },
    "anomaly_maps": {
        "return outputs(network, images)[:, {0 → -1}].sigmoid().cpu().numpy()": "one channel",
    },
    "transplanted": "tested above, in check_pool",
    "make_pool": "tested above, in check_pool",
    "layer": "tested above",
    "unfolding": "tested above, in check_network",
    "doubled": "tested above, in check_network",
    "UNet": "tested above, in check_network",
    "with_weights": "tested above",
    "train_network": "tested above",
    "plain_autoencoder": "tested above",
    "sharpness": "tested above",
    "mean_grey": "tested above",
}
NAMES = ("blend_line", "label_of", "seam")
OTHERS = {
    "blend_line": solved_line,
    "label_of": lambda x, u, k, x0: np.where(
        np.abs(u - x).sum(axis=2) > 3,
        0.5 + 0.5 * np.tanh(k * (np.abs(u - x).sum(axis=2) / 3 - x0) / 2),
        0,
    ),
    "seam": walked_seam,
}
WRONG = (
    ("blend_line", lambda x, g: g + (x - g)[0], "a flat piece"),
    ("blend_line", lambda x, g: x + np.linspace((x - g)[0], (x - g)[-1], len(x)), "a flat piece"),
    ("blend_line", lambda x, g: np.linspace(x[0], x[-1], len(x)), "a bump"),
    (
        "blend_line",
        lambda x, g: np.concatenate([x[:1], (g + (x - g)[[0, -1]].mean())[1:-1], x[-1:]]),
        "a flat piece",
    ),
    ("blend_line", lambda x, g: solved_line(x, g)[1:-1], "expected shape (4,)"),
    ("label_of", lambda x, u, k, x0: logistic(x, u, k, x0, cut=-1), "no change"),
    ("label_of", lambda x, u, k, x0: logistic(x, u, k, x0, cut=0), "0, 1, 2, 10"),
    ("label_of", lambda x, u, k, x0: logistic(x, u, k, x0, sign=1), "0, 1, 2, 10"),
    (
        "label_of",
        lambda x, u, k, x0: (
            (abs((u - x).mean(axis=2)) > 1) / (1 + np.exp(-k * (abs((u - x).mean(axis=2)) - x0)))
        ),
        "0, 1, 2, 10",
    ),
    ("label_of", lambda x, u, k, x0: logistic(x, u, 1 / 3, 7), "k and x0"),
    ("label_of", lambda x, u, k, x0: logistic(x, u, k, x0).mean(), "expected shape (1, 4)"),
    ("seam", four_means, "unequal sides"),
    ("seam", two_sides, "four sides"),
    ("seam", signed, "four sides"),
    ("seam", ring, "corners"),
)


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
