"""Uninformed Students' notebook: its equations are guarded, its exercises tell right from wrong."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from torch import nn

PATH = Path(__file__).resolve().parents[2] / "notebooks/student_teacher/uninformed_students.ipynb"
CHECKS = ("dense", "losses", "rounding", "features", "targets", "fidelity")


@pytest.fixture(scope="module")
def book():
    return definitions(PATH)


def random_map(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)


def run_checks(notebook, seed=0):
    for name in CHECKS:
        getattr(notebook, f"check_{name}")(seed)


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(book, seed):
    run_checks(book, seed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("            dilation *= 2\n        elif", "            pass\n        elif", "shape"),
        ("x = F.max_pool2d(x, 2, stride=1, dilation=dilation)", "x = layer(x)", "Kernel size"),
        (
            "layer.weight, layer.bias, dilation=dilation)",
            "layer.weight, dilation=dilation)",
            "patch",
        ),
        (
            "return (decoded - wanted).square().sum(dim=1)",
            "return (decoded - wanted).square()",
            "kn",
        ),
        ("c = unit.T @ unit", "c = unit @ unit.T", "compactness"),
        ("centred / centred.norm(dim=0)", "centred / centred.norm(dim=1, keepdim=True)", "compact"),
        ("return c.sum() - c.diagonal().sum()", "return c.sum()", "compactness"),
        ("c = c if signed else c.abs()", "c = c if not signed else c.abs()", "compactness"),
        ("c = c if signed else c.abs()", "c = c if signed else c.square()", "compactness"),
        (
            "(found - wanted).square().sum(dim=1).mean()",
            "(found - wanted).square().mean()",
            "student",
        ),
        (
            "return (descriptors - scale[0]) / scale[1]",
            "return descriptors - scale[0]",
            "targets",
        ),
        ("return (descriptors - scale[0]) / scale[1]", "return descriptors / scale[1]", "targets"),
        ("margin = [2] * 4", "margin = [0] * 4", "not every 4th|position"),
        ("    mean = found.mean(dim=0)\n    e =", "    mean = found[0]\n    e =", "e"),
        (
            "e = (mean - wanted).square().sum(dim=1)",
            "e = (found - wanted).square().sum(dim=2)[0]",
            "e",
        ),
        ("e = (mean - wanted).square().sum(dim=1)", "e = (mean - wanted).norm(dim=1)", "e"),
        ("found.square().sum(dim=2).mean(dim=0)", "found.norm(dim=2).mean(dim=0)", "v"),
        ("found.square().sum(dim=2).mean(dim=0)", "found.square().sum(dim=2).sum(dim=0)", "v"),
        ("(both - mean) / spread.clamp_min(1e-12)", "both / spread.clamp_min(1e-12)", "map"),
        ("scaled(both, held).sum(dim=0)", "scaled(both, held)[0]", "map"),
        ('mode="replicate")', 'mode="reflect")', "map|Padding"),
        ("scaled(both, held).sum(dim=0)", "scaled(both, both).sum(dim=0)", "map"),
        (
            'F.interpolate(whole, (size, size), mode="bilinear")\n    return large',
            "F.interpolate(whole, (size, size))\n    return large",
            "map",
        ),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))", "score"),
        ("return (gradient / step).round() * step", "return gradient", "steps"),
        ("(gradient / step).round()", "(gradient / step).floor()", "nearest"),
        ("largest.log2().floor() - 16", "largest.log2().floor() - 12", "nearest"),
        ("gradient.abs().max().clamp_min(1e-6)", "torch.tensor(2.0)", "largest"),
        ("clamp_min(1e-6)\n    step", "clamp_min(1e-30)\n    step", "small"),
        (
            'F.pad(as_input(images, network), margin, mode="reflect")',
            "F.pad(as_input(images, network), margin)",
            "position",
        ),
    ],
)
def test_a_broken_equation_does_not_pass_the_checks(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError), match=message):
        run_checks(broken)


def test_the_network_is_that_of_the_text(book):
    network = book.patch_network(7, 0)
    kinds = [type(layer).__name__ for layer in network]
    block = ["Conv2d", "LeakyReLU"]
    assert kinds == [*block, "MaxPool2d", *block, "MaxPool2d", *block, "Conv2d"]
    assert {layer.negative_slope for layer in network if isinstance(layer, nn.LeakyReLU)} == {0.005}
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    assert [tuple(c.weight.shape) for c in convolutions] == [
        (16, 3, 5, 5), (32, 16, 5, 5), (64, 32, 5, 5), (7, 64, 1, 1),
    ]  # fmt: skip
    assert all(c.padding == (0, 0) for c in convolutions)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7, 1, 1)
    wide = book.patch_network(400, 0)  # He's rule: as much comes out as goes in
    assert all(not layer.bias.any() for layer in wide if isinstance(layer, nn.Conv2d))
    spread = [float(w.weight.std() * w.weight[0].numel() ** 0.5) for w in wide[6::2]]
    assert np.allclose(spread, 2**0.5, rtol=0.03)
    first = np.random.default_rng(0).normal(0, (2 / 75) ** 0.5, (16, 3, 5, 5))
    assert np.array_equal(network[0].weight.detach().numpy(), first.astype(np.float32))
    same, other = book.patch_network(7, 0), book.patch_network(7, 1)
    assert torch.equal(network[0].weight, same[0].weight)
    assert not torch.equal(network[0].weight, other[0].weight)


def test_dense_extraction_is_the_same_as_shifted_plain_passes_put_together(book):
    """As the paper on dense extraction does it: a plain pass for every shift, interleaved."""
    network, x = book.patch_network(4, 3), random_map(2, 3, 43, 39, seed=3)
    with torch.no_grad():
        every = book.dense(network, x)
        assert every.shape == (2, 4, 12, 8)
        for r, c in np.ndindex(4, 4):
            plain = network(x[:, :, r:, c:])
            assert torch.allclose(every[:, :, r::4, c::4], plain, atol=1e-5)


def test_dense_extraction_holds_for_other_orders_of_layers(book):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(3, 4, 3),
            nn.MaxPool2d(2),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 2, 2),
        )
    x = random_map(1, 3, 24, 25)
    with torch.no_grad():
        every = book.dense(network, x)
        for r, c in np.ndindex(*every.shape[2:]):
            alone = network(x[:, :, r : r + 20, c : c + 20])
            assert torch.allclose(every[:, :, r, c], alone[:, :, 0, 0], atol=1e-5)


def test_multiplications_are_those_that_the_layers_do(book):
    network, done = book.patch_network(6, 0), []

    def count(layer, given, found):
        done.append(found[0, 0].numel() * layer.weight.numel())

    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        for side in (32, 45, 64):
            done.clear()
            network(torch.zeros(1, 3, side, side))
            assert sum(done) == book.multiplications(network, side, dense=False)
    sizes, dilation, side, total = [], 1, 45, 0
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            side -= dilation * (layer.kernel_size[0] - 1)
            sizes.append(side)
            total += side**2 * layer.weight.numel()
        elif isinstance(layer, nn.MaxPool2d):
            side, dilation = side - dilation, 2 * dilation
    assert sizes[-1] == 45 - 31
    assert book.multiplications(network, 45, dense=True) == total


def test_descriptors_come_every_fourth_pixel_and_in_parts_as_at_once(book):
    network, images = book.patch_network(3, 0), random_images(19, 52, 60)
    found = book.describe(network, images)
    assert found.shape == (19, 3, 7, 9) and not found.requires_grad
    with torch.no_grad():
        assert torch.allclose(found, book.on_grid(network, images), atol=1e-5)


# --- the teacher --------------------------------------------------------------------------------


def test_the_pictures_are_seventeen_and_come_with_scikit_image(book):
    photos = book.load_pictures()
    assert len(photos) == 17
    for photo in photos:
        assert photo.dtype == np.uint8 and photo.shape[2] == 3 and min(photo.shape[:2]) >= 128


def test_crops_are_squares_of_32_to_128_pixels_and_some_have_no_colour(book, monkeypatch):
    y, x = np.mgrid[:200, :300]
    photo = np.stack([x % 2, y, x // 2], axis=2).astype(np.uint8)
    sides, made = [], book.Image.fromarray
    tops, lefts = [], []

    def watched(array):
        sides.append(array.shape)
        tops.append(int(array[0, 0, 1]))
        lefts.append(int(array[0, 0, 2]) * 2 + int(array[0, 0, 0]))
        assert (np.diff(array[..., 1].astype(int), axis=0) == 1).all()  # a piece of the photo
        return made(array)

    monkeypatch.setattr(book.Image, "fromarray", watched)
    crops = book.draw_crops([photo], 300, 5)
    assert crops.shape == (300, 64, 64, 3) and crops.dtype == np.uint8
    assert all(shape[0] == shape[1] for shape in sides)
    shortest, longest = min(s[0] for s in sides), max(s[0] for s in sides)
    assert 32 <= shortest < 36 and 120 < longest <= 128
    assert len(tops) == 300 and min(tops) < 8 and max(tops) > 150  # places of the whole photo
    assert min(lefts) < 8 and max(lefts) > 240
    grey = (crops[..., 0] == crops[..., 1]).all(axis=(1, 2)).mean()
    assert 0.2 < grey < 0.4
    assert np.array_equal(crops, book.draw_crops([photo], 300, 5))
    assert not np.array_equal(crops, book.draw_crops([photo], 300, 6))


def test_halving_takes_means_and_drops_an_odd_row(book):
    images = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)
    found = book.halved(images)
    wanted = np.round(images[:, :4].reshape(2, 2, 2, 2, 2, 3).mean(axis=(2, 4)))
    assert found.dtype == np.uint8 and np.array_equal(found, wanted)


def test_the_losses_are_independent_formulas_on_random_tensors(book):
    a, b = random_map(6, 9), random_map(6, 9, seed=1)
    assert torch.isclose(book.knowledge_loss(a, b), 9 * nn.functional.mse_loss(a, b))
    s, y = random_map(2, 5, 3, 4), random_map(2, 5, 3, 4, seed=1)
    assert torch.isclose(book.student_loss(s, y), 5 * nn.functional.mse_loss(s, y))
    c = np.corrcoef(a.numpy().T)
    assert float(book.compactness_loss(a, signed=True)) == pytest.approx(c.sum() - 9, abs=1e-4)
    assert float(book.compactness_loss(a)) == pytest.approx(np.abs(c).sum() - 9, abs=1e-4)


def test_the_compactness_loss_is_of_dimensions_not_of_samples_and_with_signs_has_a_floor(book):
    base = random_map(50, 1)
    alike = 5 * base.expand(50, 4) + 100
    opposed = torch.cat([base, base, -base, -base], dim=1)
    for vectors, signed, wanted in (
        (alike, False, 12), (alike, True, 12), (opposed, False, 12), (opposed, True, -4),
    ):  # fmt: skip
        found = float(book.compactness_loss(vectors, signed=signed))
        assert found == pytest.approx(wanted, abs=1e-3)
    for seed in range(20):  # never below -d
        assert float(book.compactness_loss(random_map(7, 5, seed=seed), signed=True)) >= -5 - 1e-4


def test_a_teacher_learns_and_is_frozen_then(book):
    patches = random_images(80, 1, 1).repeat(32, axis=1).repeat(32, axis=2)  # plain colours
    wanted = torch.tensor(patches.mean(axis=(1, 2)) / 64 - 2)
    before = torch.get_rng_state()
    teacher, history = book.distil(patches, wanted, 4, 0.1, 24, 0, "cpu")
    assert torch.equal(before, torch.get_rng_state())
    part = torch.randint(80, (64,), generator=torch.Generator().manual_seed(0))
    first = wanted[part].square().sum(dim=1).mean()  # a decoder that starts at 0 says 0
    assert history[0, 0] == pytest.approx(float(first))
    assert history.shape == (24, 2) and history[-3:, 0].mean() < 0.8 * history[:3, 0].mean()
    assert not any(p.requires_grad for p in teacher.parameters())
    assert {p.dtype for p in teacher.parameters()} == {torch.float32}
    again, same = book.distil(patches, wanted, 4, 0.1, 24, 0, "cpu")
    assert np.array_equal(history, same)
    assert all(map(torch.equal, teacher.parameters(), again.parameters()))
    assert not np.array_equal(history, book.distil(patches, wanted, 4, 0.1, 24, 1, "cpu")[1])


def test_the_rate_rises_and_falls_and_only_the_named_gradients_are_rounded(book):
    one, other = (nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64)) for _ in range(2))
    adam, cycle = book.peaked([one, other], 0.01, 20)
    assert adam.param_groups[0]["weight_decay"] == 1e-5
    rates, weights = [], torch.tensor([1.0, 1 / 3], dtype=torch.float64)
    for _ in range(19):
        rates.append(adam.param_groups[0]["lr"])
        book.descend(adam, cycle, (weights * (one + other)).sum(), [one])
    assert 3 < int(np.argmax(rates)) < 9 and max(rates) == pytest.approx(0.01, rel=0.05)
    assert rates[0] < 0.1 * max(rates) and rates[-1] < 0.05 * max(rates)
    assert torch.equal(other.grad, weights)
    assert not torch.equal(one.grad, weights) and torch.equal(one.grad, book.rounded(weights))
    assert (one < torch.tensor([1.0, 2.0])).all()


def test_vectors_of_patches_are_the_networks(book):
    network, patches = book.patch_network(3, 0), random_images(130, 32, 32)
    found = book.vectors_of(network, patches)
    with torch.no_grad():
        wanted = network(book.as_input(patches, network))[:, :, 0, 0]
    assert found.shape == (130, 3) and np.allclose(found, wanted.numpy(), atol=1e-5)


def test_a_constant_dimension_has_targets_of_0_and_small_ones_are_scaled_as_large_ones(book):
    raw = random_map(3, 4, 5, 6)
    raw[:, 1] = 7
    raw[:, 2] *= 1e-3
    mean, spread = book.scale_of(raw)
    assert mean.shape == spread.shape == (4, 1, 1) and (spread > 0).all()
    found = book.targets(raw, (mean, spread))
    assert found[:, 1].abs().max() < 0.5 and found[:, 2].std() == pytest.approx(1, abs=1e-3)
    held = 1e-3 * random_map(2, 5, 3, 4) + 1
    assert book.scaled(held, held).std() == pytest.approx(1, abs=1e-2)
    assert torch.isfinite(book.scaled(0 * held, 0 * held)).all()


def test_a_difference_in_the_last_digit_makes_no_other_teacher(book, monkeypatch):
    """As another processor's sums would: the gradients of every update are a little different."""
    patches = random_images(80, 32, 32)
    wanted = torch.tensor(patches.mean(axis=(1, 2)) / 4 - 32)
    teacher, history = book.distil(patches, wanted, 4, 0.1, 12, 0, "cpu")
    draw, plain = torch.Generator().manual_seed(0), book.rounded

    def shaken(gradient):
        noise = torch.randn(gradient.shape, generator=draw, dtype=gradient.dtype)
        return plain(gradient * (1 + 1e-14 * noise))

    monkeypatch.setattr(book, "rounded", shaken)
    other, found = book.distil(patches, wanted, 4, 0.1, 12, 0, "cpu")
    assert np.allclose(history, found, rtol=1e-12)
    assert all(map(torch.equal, teacher.parameters(), other.parameters()))


def test_the_backbones_vectors_are_means_over_positions_in_double_precision(book):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return [self.layer(x), x[:, :2, 1:]]

    def preprocess(images):
        return torch.tensor(images).permute(0, 3, 1, 2).float() / 255

    images, layers = random_images(37, 8, 9), Small()
    network = type("Network", (), {"network": layers, "preprocess": staticmethod(preprocess)})
    found = book.pooled(network, images)
    assert found.shape == (37, 6) and found.dtype == torch.float64
    assert {p.dtype for p in layers.parameters()} == {torch.float32}  # the network itself stays
    with torch.no_grad():
        levels = [x.mean(dim=(2, 3)) for x in layers(preprocess(images))]
    wanted = torch.cat(levels, dim=1).double()
    wanted = (wanted - wanted.mean(dim=0)) / wanted.std(dim=0)
    assert torch.allclose(found, wanted, atol=1e-3)


def test_what_a_linear_map_restores_is_measured_on_fresh_vectors(book):
    draw = np.random.default_rng(0)
    x, new, matrix = draw.normal(size=(60, 3)), draw.normal(size=(40, 3)), draw.normal(size=(3, 5))
    assert book.restored(x, x @ matrix + 2, new, new @ matrix + 2) == pytest.approx(1)
    noise = [draw.normal(size=(n, 5)) for n in (60, 40)]
    assert book.restored(x, noise[0], new, noise[1]) < 0.1
    assert book.mean_correlation(x @ np.ones((3, 2))) == pytest.approx(1)


# --- students -----------------------------------------------------------------------------------


def test_training_lowers_the_loss_and_leaves_teacher_and_global_generator_alone(book):
    teacher, images = book.patch_network(4, 9).requires_grad_(False), random_images(6, 48, 52)
    digest = hashlib.sha256(b"".join(p.numpy().tobytes() for p in teacher.parameters())).hexdigest()
    raw = book.describe(teacher, images)
    wanted = book.targets(raw, book.scale_of(raw))

    def train(seed, start=1):
        student = book.patch_network(4, start)
        return student, book.train_student(student, images, wanted, (40, 0.003, 2), seed)

    before = torch.get_rng_state()
    student, losses = train(0)
    assert torch.equal(before, torch.get_rng_state())
    assert len(losses) == 40 and np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])
    assert losses == train(0)[1] != train(1)[1]
    after = hashlib.sha256(b"".join(p.numpy().tobytes() for p in teacher.parameters())).hexdigest()
    assert digest == after
    found = book.describe(student, images)
    assert float(book.student_loss(found, wanted)) < 4  # of a student that says nothing


def test_every_image_comes_once_in_a_round_and_each_update_is_of_its_own_batch(book, monkeypatch):
    images, seen = random_images(5, 44, 44), []
    wanted = random_map(5, 2, 5, 5)

    def watched(student, part):
        seen.append([int(np.flatnonzero((images == one).all(axis=(1, 2, 3)))[0]) for one in part])
        return plain(student, part)

    plain = book.on_grid
    monkeypatch.setattr(book, "on_grid", watched)
    book.train_student(book.patch_network(2, 0), images, wanted, (5, 0.001, 2), 0)
    assert [len(part) for part in seen] == [2, 2, 2, 2, 2]
    order = [number for part in seen for number in part]
    assert sorted(order[:5]) == sorted(order[5:]) == [0, 1, 2, 3, 4]


def test_only_normal_images_reach_a_student(book):
    source = PATH.read_text(encoding="utf-8")
    assert "assert not fit.labels.any()" in source
    assert source.count("fit.images, fit_targets, setting") == 1
    assert source.count("fit.images, tap_fit, setting") == 1
    assert source.count("train_student(") == 3  # the definition and these two


def test_students_start_from_different_weights(book, monkeypatch):
    monkeypatch.setattr(book, "descriptor", 3, raising=False)
    monkeypatch.setattr(book, "run", type("Run", (), {"device": "cpu"}), raising=False)
    first = [s[0].weight for s in book.new_students(3, 0)]
    again, other = book.new_students(3, 0), book.new_students(3, 1)
    assert len(first) == 3
    assert all(torch.equal(a, b[0].weight) for a, b in zip(first, again, strict=True))
    every = [*first, *(s[0].weight for s in other)]
    assert all(not torch.equal(a, b) for i, a in enumerate(every) for b in every[:i])


# --- error, variance, maps ----------------------------------------------------------------------


def test_equal_students_have_no_variance_and_one_that_is_off_has_m_minus_one_times_the_error(book):
    y = random_map(2, 6, 3, 4)
    equal = y.expand(5, *y.shape) + 0.5
    e, v = book.error_and_variance(equal, y)
    assert v.abs().max() < 1e-5 and torch.allclose(e, torch.full((2, 3, 4), 6 * 0.25), atol=1e-5)
    for members in (2, 3, 5):
        found = y.repeat(members, 1, 1, 1, 1)
        found[0] += random_map(*y.shape, seed=1)
        e, v = book.error_and_variance(found, y)
        assert torch.allclose(v, (members - 1) * e, atol=1e-4)


def test_the_variance_is_that_of_numpy_and_a_common_shift_leaves_it(book):
    found, y = random_map(4, 2, 5, 3, 2), random_map(2, 5, 3, 2, seed=1)
    e, v = book.error_and_variance(found, y)
    assert np.allclose(v, found.numpy().var(axis=0).sum(axis=1), atol=1e-5)
    assert np.allclose(v, book.error_and_variance(found + y, y)[1], atol=1e-4)
    assert e.shape == v.shape == (2, 3, 2)


def test_measuring_in_parts_is_the_same_as_at_once(book):
    students, images = [book.patch_network(3, s) for s in (1, 2)], random_images(11, 48, 44)
    wanted = random_map(11, 3, 6, 5)
    found = torch.stack([book.describe(s, images) for s in students])
    whole = book.error_and_variance(found, wanted)
    assert torch.allclose(book.measure(students, images, wanted), whole, atol=1e-4)


def test_held_out_normals_have_mean_0_and_deviation_1_after_scaling(book):
    held, other = random_map(2, 5, 3, 4) * 3 + 7, random_map(2, 4, 3, 4, seed=1)
    both = book.scaled(held, held)
    assert both.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert (both.std(dim=(1, 2, 3)) - 1).abs().max() < 1e-5
    mean = held.mean(dim=(1, 2, 3), keepdim=True)
    spread = held.std(dim=(1, 2, 3), keepdim=True)
    maps = book.both_maps(other, held, 40)
    small = ((other - mean) / spread).sum(dim=0)
    assert np.allclose(maps, book.anomaly_maps(small, 40), atol=1e-5)
    assert np.allclose(book.image_scores(maps), maps.reshape(4, -1).max(axis=1))


def test_the_rim_of_a_map_goes_on_as_the_nearest_value(book):
    grids = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    maps = book.anomaly_maps(grids, 32)  # 8 x 8 cells of 4 pixels
    assert maps.shape == (1, 32, 32)
    corners = maps[0, 0, 0], maps[0, 0, -1], maps[0, -1, 0], maps[0, -1, -1]
    assert corners == (1, 2, 3, 4)
    assert np.allclose(maps[0, :14, 16], maps[0, 0, 16]) and 1 < maps[0, 0, 16] < 2


# --- experiments --------------------------------------------------------------------------------


def test_backbone_features_are_projected_by_one_matrix_and_enlarged(book):
    level = random_map(3, 8, 9, 9)
    network = type("Network", (), {"features": lambda self, images: [level, level[:, :2]]})()
    found = book.projected(network, None, 5, 3, 7)  # 9 = 3 + 6: nothing is enlarged
    matrix = np.random.default_rng(7).normal(size=(5, 8)) / 8**0.5
    matrix = torch.tensor(matrix).float()
    wanted = (matrix @ level.flatten(2)).reshape(3, 5, 9, 9)[:, :, 3:6, 3:6]
    assert torch.allclose(found, wanted, atol=1e-5)
    assert book.projected(network, None, 5, 12, 7).shape == (3, 5, 12, 12)


def test_blurring_stays_within_an_image_and_a_colour_and_is_noticed_by_softness(book):
    images = np.zeros((2, 9, 9, 3), np.uint8)
    images[0, 4, 4, 1] = 250
    soft = book.blurred(images, 1.0)
    assert not soft[1].any() and not soft[0, ..., [0, 2]].any() and soft[0, 4, 5, 1] > 0
    noisy = random_images(3, 30, 30)
    assert (book.softness(book.blurred(noisy, 1.5)) > book.softness(noisy)).all()
    step = np.array([[[[0] * 3, [3] * 3, [2] * 3]]], np.uint8)  # steps of 3 and 1
    assert book.softness(step).tolist() == [-2.0]


def test_the_plan_grows_with_what_is_held(book):
    def needed(fitted=100, tested=50, batch=2, size=128):
        return book.bytes_needed(32, fitted, tested, batch, size)

    held = 4 * 32 * 32 * 32 * 100
    assert held < needed() < 60 * held
    assert needed(fitted=200) - needed() >= held
    assert needed(tested=100) > needed() and needed(batch=8) > needed()
    assert needed(size=256) > 3.9 * needed()


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("patch_and_step", "one_is_off", "worst_gap")


def patch_by_walking_back(layers):
    patch, step = 1, 1
    for kernel, stride in reversed(layers):
        patch, step = (patch - 1) * stride + kernel, step * stride
    return patch, step


def off_by_numpy(offset, members):
    students = np.zeros((members, len(offset)))
    students[-1] = offset
    return np.square(students.mean(axis=0)).sum(), students.var(axis=0).sum()


def gap_by_windows(dense, describe, image, side):
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(1, 2))
    found = dense(image)
    rows = [
        [describe(windows[:, r, c]) for c in range(windows.shape[2])]
        for r in range(windows.shape[1])
    ]
    return np.abs(found - np.array(rows).transpose(2, 0, 1)).max()


OTHERS = {
    "patch_and_step": patch_by_walking_back,
    "one_is_off": off_by_numpy,
    "worst_gap": gap_by_windows,
}


def walked(widen, order="before"):
    """patch_and_step with another rule."""

    def answer(layers):
        patch, step = 1, 1
        for kernel, stride in layers:
            if order == "after":
                step *= stride
            patch += widen(kernel, step)
            if order == "before":
                step *= stride
        return patch, step

    return answer


def gap(places=None, pick=np.max, size=np.abs, start=0.0, side=None):
    """worst_gap that looks elsewhere."""

    def answer(dense, describe, image, given):
        found, gaps, width = dense(image), [start], side or given
        spots = list(np.ndindex(*found.shape[1:]))
        for r, c in spots if places is None else places(spots):
            patch = image[:, r : r + width, c : c + width]
            gaps.append(pick(size(found[:, r, c] - describe(patch))))
        return max(gaps)

    return answer


def pools_multiply(layers):
    """patch_and_step for poolings whose stride is their kernel alone."""
    patch = 1
    for kernel, stride in reversed(layers):
        patch = patch * stride if kernel == stride else patch + kernel - 1
    return patch, patch_by_walking_back(layers)[1]


def gap_of(compare):
    """worst_gap that compares otherwise: by the dense map, its vector, the image, the patch."""

    def answer(dense, describe, image, side):
        found, gaps = dense(image), []
        for r, c in np.ndindex(*found.shape[1:]):
            patch = image[:, r : r + side, c : c + side]
            gaps.append(compare(dense, found[:, r, c], describe(patch), patch))
        return max(gaps)

    return answer


def transposed(dense, describe, image, side):
    found, worst = dense(image), 0.0
    for r, c in np.ndindex(*found.shape[1:]):
        patch = image[:, c : c + side, r : r + side]
        if patch.shape[1:] == (side, side):
            worst = max(worst, np.abs(found[:, r, c] - describe(patch)).max())
    return worst


WRONG = [
    ("patch_and_step", walked(lambda k, s: k * s), "one convolution of 7"),
    ("patch_and_step", walked(lambda k, s: k - 1), "pooling first"),
    ("patch_and_step", walked(lambda k, s: (k - 1) * s, "after"), "pooling"),
    ("patch_and_step", lambda rows: patch_by_walking_back(rows)[::-1], "swapped"),
    ("patch_and_step", lambda rows: patch_by_walking_back(rows[::-1]), "pooling first"),
    (
        "patch_and_step",
        lambda rows: (patch_by_walking_back(rows)[0], 2 ** sum(s > 1 for _, s in rows)),
        "3 and",
    ),
    ("patch_and_step", lambda rows: (patch_by_walking_back(rows)[0], 1), "pooling first"),
    ("patch_and_step", lambda rows: patch_by_walking_back(rows)[0], "one convolution of 7"),
    ("patch_and_step", pools_multiply, "3 and"),
    ("patch_and_step", lambda rows: tuple(map(float, patch_by_walking_back(rows))), "whole"),
    ("one_is_off", lambda d, m: ((d**2).sum() / m, (d**2).sum() / m), "single"),
    ("one_is_off", lambda d, m: off_by_numpy(d, m)[::-1], "swapped"),
    ("one_is_off", lambda d, m: ((d**2).sum() / m**2, (d**2).sum() / m), "single"),
    ("one_is_off", lambda d, m: (np.linalg.norm(d) / m, off_by_numpy(d, m)[1]), "single"),
    ("one_is_off", lambda d, m: (d.sum() ** 2 / m**2, off_by_numpy(d, m)[1]), "single"),
    ("one_is_off", lambda d, m: ((d**2).sum() / m**2, (d**2).sum() / m**2), "single"),
    ("one_is_off", lambda d, m: ((d**2).sum() / m**2, (m > 1) * (d**2).sum() / m**2), "three"),
    (
        "one_is_off",
        lambda d, m: (off_by_numpy(d, m)[0], (m > 1) * (d**2).sum() / max(m - 1, 1)),
        "two",
    ),
    ("one_is_off", lambda d, m: ((d**2).mean() / m**2, (m - 1) * (d**2).mean() / m**2), "single"),
    ("one_is_off", lambda d, m: off_by_numpy(d[:4], m), "one of five"),
    ("one_is_off", lambda d, m: off_by_numpy(d.astype(int), m), "one of five"),
    ("worst_gap", gap(lambda spots: spots[:1]), "one pixel"),
    ("worst_gap", gap(lambda spots: spots[-1:]), "at [0, 0, 0]"),
    ("worst_gap", gap(pick=np.min), "a column off"),
    ("worst_gap", gap(lambda spots: [s for s in spots if s[1] % 2 == 0]), "at [0, 1, 3]"),
    ("worst_gap", gap(lambda s: [s[0], s[-1], (0, s[-1][1]), (s[-1][0], 0)]), "at [0, 1, 3]"),
    ("worst_gap", gap(side=4), "patches of 3"),
    ("worst_gap", gap(size=lambda x: x), "a column off"),
    ("worst_gap", gap(pick=lambda x: x[0]), "a column off"),
    ("worst_gap", gap(pick=np.linalg.norm), "both components"),
    ("worst_gap", gap(pick=np.sum), "both components"),
    ("worst_gap", gap(pick=np.sum, size=np.square), "a row off"),
    ("worst_gap", transposed, "no bug"),
    ("worst_gap", gap(lambda spots: spots[1:]), "at [0, 0, 0]"),
    ("worst_gap", gap_of(lambda _, a, b, x: (g := abs(a - b).max()) * (g > 0.5)), "at [0, 0, 0]"),
    ("worst_gap", gap_of(lambda _, a, b, x: abs(abs(a) - abs(b)).max()), "patches of 3"),
    ("worst_gap", gap_of(lambda f, a, b, x: abs(f(x)[:, 0, 0] - b).max()), "patches of 3"),
    ("worst_gap", gap_of(lambda _, a, b, x: abs(a - b)[: len(x)].max()), "patches of 3"),
    ("worst_gap", gap_of(lambda _, a, b, x: abs(a - b.astype(int)).max()), "at [0, 0, 0]"),
    ("worst_gap", gap_of(lambda _, a, b, x: round(abs(a - b).max())), "at [0, 0, 0]"),
    ("worst_gap", lambda dense, describe, image, side: 0.0, "a column off"),
]
EQUIVALENT = {
    "worst_gap": {
        "found, gap = (dense(image), {0.0 → -1.0})": "no gap is below 0",
    },
}

EQUIVALENT_DEFINITIONS = {
    "he_start": "tested above",
    "patch_network": "tested above",
    "multiplications": "tested above",
    "load_pictures": "tested above",
    "draw_crops": "tested above",
    "pooled": "tested above",
    "peaked": "tested above",
    "descend": "tested above",
    "distil": "tested above",
    "bytes_needed": "tested above",
    "seconds_needed": "measures this machine",
    "mean_correlation": "tested above",
    "restored": "tested above",
    "vectors_of": "tested above",
    "as_colours": "only paints",
    "scale_of": "tested above",
    "scaled": "tested above",
    "train_student": "tested above",
    "new_students": "tested above",
    "measure": "tested above",
    "pixel_auroc": "calls metrics.pixel_auroc for the notebook's masks",
    "projected": "tested above",
    "at_half": "calls halved, describe and measure with the notebook's networks",
    "blurred": "tested above",
    "softness": "tested above",
    "two_of": "belongs to an exercise's check",
    "as_input": {
        "return x.permute(0, 3, 1, 2){.float() → } / 127.5 - 1": "a division makes floats",
    },
    "compactness_loss": {
        "unit = centred / centred.norm(dim=0){.clamp_min(1e-06) → }": "no dimension is constant",
        "unit = centred / centred.norm(dim=0).clamp_min({1e-06 → -0.999999})": "none is constant",
        "unit = centred / centred.norm(dim=0).clamp_min({1e → -1e}-06)": "no dimension is constant",
        "unit = centred / centred.norm(dim=0).clamp_min({1e-06 → 0.0})": "no dimension is constant",
        "unit = centred / centred.norm(dim=0).clamp_min({1e → 2e}-06)": "no dimension is constant",
    },
    "rounded": {
        "step = {2.0 → -2.0} ** (largest.log2().floor() - 16)": "its sign cancels",
    },
    "anomaly_maps": {"return large[:, {0 → -1}].numpy()": "there is one channel"},
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
