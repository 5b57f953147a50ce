"""VAE attention's notebook: its equations are guarded, its exercises tell right from wrong."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions

from helpers import training

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "autoencoder" / "vae_attention.ipynb"
CHECKS = (
    "network",
    "sizes",
    "loss",
    "attention",
    "combinations",
    "mirror",
    "fidelity",
    "far_share",
)


@pytest.fixture(scope="module")
def notebook():
    return small(definitions(PATH))


def small(module):
    """With parameters: a VAE of 16 x 16 pixels that trains in a moment."""
    settings = {"width": 2, "latent": 4, "image_size": 16, "depth": 2}
    settings |= {"batch_size": 4, "learning_rate": 0.01}
    for name, value in settings.items():
        setattr(module, name, value)
    return module


def photographs(n=8, side=16, seed=0):
    """(n, 3, side, side) bright noise from 0 to 1, in double precision."""
    rng = np.random.default_rng(seed)
    return torch.tensor(0.5 + 0.5 * rng.random((n, 3, side, side)))


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(notebook, seed):
    for check in CHECKS:
        getattr(notebook, f"check_{check}")(seed)
    notebook.check_maps()


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        ("check_network", "down[: 2 * depth - 1]", "down[: 2 * depth]"),
        ("check_network", "down[2 * depth - 1 :]", "down[2 * depth :]"),
        ("check_network", "chunk(2, dim=1)", "flip(1).chunk(2, dim=1)"),
        ("check_sizes", "np.sqrt(2 / part", "np.sqrt(1 / part"),
        ("check_network", "nn.PixelShuffle(2)]", "nn.PixelShuffle(2), nn.Sigmoid()]"),
        ("check_loss", "mean**2 + log_variance.exp() - 1", "mean**2 + log_variance.exp()"),
        ("check_loss", "- 1 - log_variance) / 2", "- 1 - log_variance)"),
        ("check_loss", "(log_variance / 2).exp()", "log_variance.exp()"),
        ("check_loss", "mean + noise *", "noise *"),
        ("check_loss", "each.sum(dim=(1, 2, 3))", "each.mean(dim=(1, 2, 3))"),
        ("check_loss", "kl = divergence(mean, log_variance).sum", "kl = 0 * mean.sum"),
        ("check_network", "F.mse_loss", "F.l1_loss"),
        ("check_network", "network(x).sigmoid(), x)", "network(x), x)"),
        ("check_attention", "slope.mean(dim=(2, 3)))", "slope.sum(dim=(2, 3)))"),
        ("check_attention", "slope.mean(dim=(2, 3)))", "slope.amax(dim=(2, 3)))"),
        ("check_attention", "mu = vae.posterior(A)[0]", "mu = vae.posterior(A)[1]"),
        ("check_attention", 'alpha, A)))', 'alpha, A.relu())))'),
        ("check_attention", "torch.stack(rows, dim=1)", "torch.stack(rows, dim=1).abs()"),
        ("check_combinations", "m.clamp_min(0).mean(dim=1)", "m.mean(dim=1).clamp_min(0)"),
        ("check_combinations", "m.clamp_min(0).mean(dim=1)", "m.clamp_min(0).sum(dim=1)"),
        ("check_combinations", "m.clamp_min(0).mean(dim=1)", "m.abs().mean(dim=1)"),
        ("check_combinations", "m.sum(dim=1).abs()", "m.abs().sum(dim=1)"),
        ("check_combinations", "m.sum(dim=1).abs()", "m.sum(dim=1).clamp_min(0)"),
        ("check_combinations", "weights = 2 * (mu", "weights = (mu"),
        ("check_combinations", "(mu - normal[0]) / normal[1]\n", "(mu - normal[0])\n"),
        ("check_combinations", "(mu - normal[0]) / normal[1]\n", "mu / normal[1]\n"),
        ("check_combinations", "weights, m).clamp_min(0)", "weights, m).abs()"),
        ("check_mirror", "twin.head.weight.data[:half] *= signs[:, None]", "pass"),
        ("check_mirror", "twin.head.bias.data[:half] *= signs", "pass"),
        ("check_mirror", "twin.decoder[0].weight.data *= signs", "pass"),
        ("check_mirror", "    twin = copy.deepcopy(vae)", "    twin = vae"),
        ("check_fidelity", "0.01 * variance.mean()", "0.1 * variance.mean()"),
        ("check_fidelity", "correction=0", "correction=1"),
        ("check_fidelity", "(mu - normal[0]) ** 2 / normal[1]", "(mu - normal[0]).abs()"),
        ("check_fidelity", "normal[1]).sum(dim=1)", "normal[1]).amax(dim=1)"),
        ("check_maps", 'mode="bilinear"', 'mode="nearest"'),
        ("check_maps", "(x - rebuilt).abs().mean(dim=1)", "(x - rebuilt).abs().sum(dim=1)"),
        ("check_maps", "(x - rebuilt).abs().mean(dim=1)", "(x - rebuilt).mean(dim=1).abs()"),
        # as in the released code: the gradient divided by its size over the whole batch
        (
            "check_fidelity",
            "rows.append(slope.mean(dim=(2, 3)))",
            "rows.append((slope / slope.square().mean().sqrt()).mean(dim=(2, 3)))",
        ),
        ("check_far_share", "change * ~near", "change * near"),
        ("check_far_share", "np.abs(after - before)", "after - before"),
        ("check_far_share", "2 * reach + 1, 2 * reach + 1", "reach, reach"),
    ],
)  # fmt: skip
def test_a_broken_equation_does_not_pass_the_check(check, old, new):
    broken = small(definitions(PATH, replace={old: new}))
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(broken, check)()


def test_attention_of_a_linear_upper_part_weighs_all_images_alike(notebook):
    net, x = notebook.small_vae(0)
    A = net.lower(x).detach()
    bent = notebook.channel_weights(net, A)[1]
    assert not torch.allclose(bent[0], bent[1])
    layers = [part for part in net.upper if not isinstance(part, torch.nn.ReLU)]
    net.upper = torch.nn.Sequential(*layers)
    straight = notebook.channel_weights(net, A)[1]
    torch.testing.assert_close(straight[0], straight[1])


def test_a_split_changes_the_maps_and_nothing_else(notebook):
    net, x = notebook.small_vae(0)
    for layer, side in ((1, 8), (2, 4), (3, 2), (4, 1)):
        other = notebook.split_at(net, layer)
        torch.testing.assert_close(notebook.rebuilt(other, x), notebook.rebuilt(net, x))
        mu, m = notebook.latent_maps(other, x)
        torch.testing.assert_close(mu, notebook.codes(net, x)[0])
        assert m.shape == (3, 4, side, side)
        assert isinstance(other.upper[0], torch.nn.ReLU)


def test_many_images_are_described_in_parts_and_one_by_one_alike(notebook):
    net, _ = notebook.small_vae(0)
    x = photographs(70)
    mu, m = notebook.latent_maps(net, x)
    assert mu.shape == (70, 4) and m.shape == (70, 4, 4, 4)
    torch.testing.assert_close(m[66:], notebook.latent_maps(net, x[66:])[1])
    torch.testing.assert_close(mu, notebook.codes(net, x)[0])
    torch.testing.assert_close(notebook.rebuilt(net, x)[69:], notebook.rebuilt(net, x[69:]))


def test_no_gradient_is_left_in_the_network(notebook):
    net, x = notebook.small_vae(0)
    for tensor in notebook.latent_maps(net, x):
        assert not tensor.requires_grad
    assert all(weight.grad is None for weight in net.parameters())


def test_a_vae_rebuilds_from_the_mean_and_a_plain_network_from_its_maps(notebook):
    net, x = notebook.small_vae(0)
    want = net.decoder(net.posterior(net.lower(x))[0]).sigmoid()
    torch.testing.assert_close(notebook.rebuilt(net, x), want.detach())
    plain = notebook.new_plain(0).double()
    torch.testing.assert_close(notebook.rebuilt(plain, x), plain(x).sigmoid().detach())
    assert notebook.rebuilt(plain, x).shape == x.shape


def test_the_same_seed_gives_the_same_network_and_another_another(notebook):
    one, again, other = (notebook.new_vae(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.parametrize("kind", ["vae", "plain"])
def test_training_lowers_the_loss_and_can_be_repeated(notebook, kind):
    x, runs = photographs(), []
    for seed in (0, 0, 1):
        network = getattr(notebook, f"new_{kind}")(0).to(x)
        loss = getattr(notebook, f"{kind}_loss")
        runs.append(notebook.train_network(network, x, loss, 40, seed))
    assert len(runs[0]) == 40 and runs[0] == runs[1] != runs[2]
    assert np.mean(runs[0][-5:]) < 0.99 * np.mean(runs[0][:5])


def test_the_learning_rate_falls_from_the_parameter_to_zero(notebook, monkeypatch):
    rates = []
    plain_update = training.update

    def update(adam, loss):
        rates.append(adam.param_groups[0]["lr"])
        return plain_update(adam, loss)

    monkeypatch.setattr(training, "update", update)
    x = photographs()
    notebook.train_network(notebook.new_plain(0).to(x), x, notebook.plain_loss, 10, 0)
    assert rates[0] == 0.01 and rates[5] == pytest.approx(0.005) and rates[-1] < 0.0005


def test_every_image_is_seen_before_one_is_seen_twice(notebook):
    x, seen = torch.arange(8.0).reshape(8, 1), []
    network = torch.nn.Linear(1, 1)

    def loss(network, batch, rng):
        seen.append(batch.flatten().tolist())
        return network(batch).square().mean()

    notebook.train_network(network, x, loss, 2, 0)
    assert sorted(seen[0] + seen[1]) == list(range(8)) and len(seen[0]) == 4


def test_images_become_tensors_from_0_to_1(notebook):
    images = np.zeros((1, 2, 2, 3), np.uint8)
    images[0, 0, 1] = (255, 0, 51)
    found = notebook.as_input(images, "cpu")
    assert found.shape == (1, 3, 2, 2) and found.dtype == torch.float64
    assert found[0, :, 0, 1].tolist() == pytest.approx([1, 0, 0.2])
    assert found[0, :, 1, 0].tolist() == [0, 0, 0]


def test_pixel_values_are_those_of_the_images_with_masks(notebook):
    masks = np.zeros((2, 1, 4), dtype=bool)
    masks[0, 0, 2:] = True
    test = SimpleNamespace(masks=masks, has_mask=np.array([True, False]))
    maps = np.array([[[0.1, 0.4, 0.3, 0.9]], [[9, 9, 9, 9]]])
    assert notebook.pixel_values(test, maps) == pytest.approx((0.75, (1 + 2 / 3) / 2))
    assert notebook.pixel_values(SimpleNamespace(masks=masks & False), maps) == (None, None)


def test_a_map_on_the_grid_holds_the_mean_of_each_cell(notebook):
    maps = np.zeros((1, 4, 4))
    maps[0, :2, :2] = [[1, 3], [0, 0]]
    found = notebook.on_grid(maps, (2, 2))
    assert found.shape == (1, 4, 4)
    assert found[0, 0].tolist() == pytest.approx([1, 0.75, 0.25, 0])
    assert found[0, :, 0].tolist() == pytest.approx([1, 0.75, 0.25, 0])


def test_a_tile_shows_the_share_of_all_pixels_that_are_lower(notebook):
    maps = np.array([[[3.0, 1.0]], [[2.0, 3.0]]])
    assert notebook.ranks(maps, 0).tolist() == [[0.5, 0]]
    assert notebook.ranks(maps, 1).tolist() == [[0.25, 0.5]]


def test_more_and_larger_images_need_more_memory(notebook):
    base = notebook.bytes_needed(500, 64)
    assert 500 * 64**2 * 3 < base < 3e9
    assert notebook.bytes_needed(1000, 64) > base and notebook.bytes_needed(500, 128) > base


# --- the exercises ------------------------------------------------------------------------------


def by_loops(A, slope):
    found = np.zeros(A[0].shape)
    for place in np.ndindex(found.shape):
        found[place] = sum(a[place] * float(np.mean(g)) for a, g in zip(A, slope, strict=True))
    return np.where(found > 0, found, 0)


def by_pairs(combine, m, gap):
    flips = 1 - 2 * np.eye(len(m))
    maps = [combine(m * s.reshape(-1, 1, 1), gap * s) for s in flips]
    return bool(np.max([np.abs(x - combine(m, gap)).max() for x in maps]) < 1e-9)


def by_stacks(mu_of, A, step):
    A = np.asarray(A, dtype=float)
    slopes = []
    for k in range(len(A)):
        change = step * (np.arange(len(A)) == k)[:, None, None]
        slopes.append((mu_of(A + change) - mu_of(A - change)) / step)
    return np.einsum("kd,khw->dhw", np.stack(slopes), A) / 2 / A[0].size


NAMES = ("attention_of", "sign_free", "maps_by_differences")
EQUIVALENT = {"sign_free": {"return {False → -False}": "-False is 0, which is False"}}
OTHERS = {
    "attention_of": by_loops,
    "sign_free": by_pairs,
    "maps_by_differences": by_stacks,
}


def flips(which, gaps_too=True, maps_too=True):
    """An answer that flips these latent variables only, or not all that belongs to them."""

    def answer(combine, m, gap):
        for chosen in which(len(m)):
            s = np.ones(len(m))
            s[chosen] = -1
            found = combine(s[:, None, None] * m if maps_too else m, s * gap if gaps_too else gap)
            if not np.allclose(found, combine(m, gap)):
                return False
        return True

    return answer


def in_place(combine, m, gap):
    want = combine(m, gap)
    for i in range(len(m)):
        m[i] *= -1
        gap[i] *= -1
        if not np.allclose(combine(m, gap), want):
            return False
    return True


def overwritten(combine, m, gap):
    """Looks at the last latent variable alone: each turn forgets the one before."""
    for i in range(len(m)):
        s = np.ones(len(m))
        s[i] = -1
        same = np.allclose(combine(s[:, None, None] * m, s * gap), combine(m, gap))
    return same


def differing(A_of=float, twice=True, forward=False, size=True, cut=False, places=False):
    """Answers that go wrong in one place each."""

    def answer(mu_of, A, step):
        total = 0
        for k in range(len(A)):
            up, down = np.array(A, dtype=A_of), np.array(A, dtype=A_of)
            up[k] += np.array(step, dtype=A_of)
            down[k] -= 0 if forward else np.array(step, dtype=A_of)
            alpha = (mu_of(up) - mu_of(down)) / (step if forward or not twice else 2 * step)
            alpha = alpha / (A[k].size if size else 1)
            total = total + alpha[:, None, None] * (1 if places else A[k])
        return np.maximum(total, 0) if cut else total

    return answer


def changed(mu_of, A, step):
    total = 0
    for k in range(len(A)):
        A[k] += step
        up = mu_of(A)
        A[k] -= 2 * step
        alpha = (up - mu_of(A)) / (2 * step * A[k].size)
        total = total + alpha[:, None, None] * (A[k] + step)
    return total


WRONG = [
    ("attention_of", lambda A, g: np.maximum(np.einsum("k,khw->hw", g.max((1, 2)), A), 0),
     "two channels"),
    ("attention_of", lambda A, g: np.maximum((g * A).sum(axis=0), 0), "two channels"),
    ("attention_of", lambda A, g: np.einsum("k,khw->hw", g.mean((1, 2)), A), "two channels"),
    ("attention_of", lambda A, g: np.maximum(np.einsum("k,khw->hw", g.sum((1, 2)), A), 0),
     "two channels"),
    ("attention_of", lambda A, g: np.maximum(np.einsum("k,khw->hw", g.mean((1, 2)), A), 0) / len(A),
     "two channels"),
    ("attention_of", lambda A, g: np.abs(np.einsum("k,khw->hw", g.mean((1, 2)), A)),
     "two channels"),
    ("attention_of",
     lambda A, g: np.maximum(np.einsum("k,khw->hw", g.mean((1, 2)), np.maximum(A, 0)), 0),
     "negative maps"),
    ("attention_of", lambda A, g: np.maximum(g.mean((1, 2))[:, None, None] * A, 0),
     "expected shape (1, 3)"),
    ("attention_of", lambda A, g: np.maximum(g[0].mean() * A[0] + g[1].mean() * A[1], 0),
     "three channels"),
    ("sign_free", flips(lambda n: [list(range(n))]), "|sum|"),
    ("sign_free", flips(lambda n: [[0]]), "the last"),
    ("sign_free", flips(lambda n: [[n - 1]]), "the first"),
    ("sign_free", overwritten, "the first"),
    ("sign_free", flips(lambda n: [[i] for i in range(3)][:n - 1]), "the last"),
    ("sign_free", flips(lambda n: [[i] for i in range(n)], gaps_too=False), "gap times m"),
    ("sign_free", flips(lambda n: [[i] for i in range(n)], maps_too=False), "gap times m"),
    ("sign_free", lambda c, m, g: not flips(lambda n: [[i] for i in range(n)])(c, m, g),
     "gap times m"),
    ("sign_free", in_place, "changed in place"),
    ("maps_by_differences", differing(twice=False), "two latent variables"),
    ("maps_by_differences", differing(size=False), "two latent variables"),
    ("maps_by_differences", differing(cut=True), "two latent variables"),
    ("maps_by_differences", differing(places=True), "two latent variables"),
    ("maps_by_differences", differing(forward=True), "squares"),
    ("maps_by_differences", differing(A_of=int), "two latent variables"),
    ("maps_by_differences", lambda f, A, s: differing()(f, A, s)[0], "expected shape"),
    ("maps_by_differences", lambda f, A, s: differing()(f, A, 1e-3), "integers, step 0.5"),
    ("maps_by_differences", changed, "raised UFuncTypeError"),
]  # fmt: skip


EQUIVALENT_DEFINITIONS = {
    "draw_weights": {
        "for part in {module.modules() → list(module.modules())[1:]}:": "the first is the whole",
        "spread = np.sqrt(2 / part.weight[{0 → 1}].numel())": "all outputs have as many inputs",
        "spread = np.sqrt(2 / part.weight[{0 → -1}].numel())": "all outputs have as many inputs",
        "drawn = rng.normal(0, spread, {tuple(part.weight.shape) → part.weight.shape})": (
            "a torch.Size is a tuple"
        ),
    },
    "rebuilt": {
        "for part in x.split({64 → 65}):": "size of a part",
        "for part in x.split({64 → 63}):": "size of a part",
    },
    "codes": {
        "parts = [vae.posterior(vae.lower(part)) for part in x.split({64 → 65})]": "size of a part",
        "parts = [vae.posterior(vae.lower(part)) for part in x.split({64 → 63})]": "size of a part",
    },
    "latent_maps": {
        "for part in x.split({64 → 65}):": "size of a part",
        "for part in x.split({64 → 63}):": "size of a part",
    },
    "anomaly_maps": {"return large[:, {0 → -1}].cpu().numpy()": "one channel"},
    "mirrored": {
        "twin.head.weight.data[:half] {*= → /=} signs[:, None]": "by 1 or -1",
        "twin.head.bias.data[:half] {*= → /=} signs": "by 1 or -1",
        "twin.decoder[0].weight.data {*= → /=} signs": "by 1 or -1",
    },
    "as_input": "tested above",
    "new_vae": "tested above",
    "new_plain": "tested above",
    "train_network": "tested above",
    "bytes_needed": "an estimate from above; its growth is tested here",
    "pixel_values": "tested above",
    "on_grid": "tested above",
    "ranks": "tested above",
    "split_at": "tested above",
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
