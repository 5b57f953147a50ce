"""EfficientAD's notebook: its equations are guarded, its exercises tell what is wrong."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exercise_tests import ExerciseTests
from notebook_loader import definitions
from torch import nn

PATH = Path(__file__).resolve().parents[2] / "notebooks/student_teacher/efficient_ad.ipynb"
CHECKS = (
    "networks", "autoencoder", "crops", "input", "detector", "rounding", "targets", "changed",
    "losses", "gradients", "training", "batches", "fidelity",
)  # fmt: skip


@pytest.fixture(scope="module")
def book():
    return definitions(PATH)


def run_checks(notebook, seed=0):
    for name in CHECKS:
        getattr(notebook, f"check_{name}")(seed)


def random_map(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def digest(network):
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in network.parameters()))


# --- the equations ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_checks_pass_on_the_notebook_as_it_is(book, seed):
    run_checks(book, seed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nn.Conv2d(3, width, 4),", "nn.Conv2d(3, width, 3),", "layers"),
        ("nn.Conv2d(2 * width, 2 * width, 3)", "nn.Conv2d(2 * width, 2 * width, 5)", "layers"),
        ("nn.Conv2d(width, 2 * width, 4)", "nn.Conv2d(width, 2 * width, 4, 2)", "layers"),
        ("network.parameters())) / 127.5 - 1", "network.parameters())) / 255", "input"),
        ("        while side > 8:", "        while side > 32:", "autoencoder|one vector"),
        ("nn.Conv2d(channels, 64, side)", "nn.Conv2d(channels, 64, 1)", "one vector"),
        ("[:, :, 4:-4, 4:-4]", "[:, :, 8:, 8:]", "targets"),
        ("[:, :, 4:-4, 4:-4]", "", "positions of the targets"),
        ("levels[0][", "levels[1][", "targets"),
        (".floor() - 16)", ".floor() - 12)", "steps"),
        ("layer.weight[0].numel()", "layer.weight.numel()", "first weights"),
        ("mean(dim=(0, 2, 3), keepdim=True)[0]", "mean()", "targets|size"),
        ("return (vectors - mean) / spread", "return vectors - mean", "targets"),
        ("(wanted - found).square()", "(wanted - found).abs()", "hard features"),
        ("squares >= limit", "squares > limit", "hard features"),
        ("squares >= limit", "squares <= limit", "hard features"),
        ("squares[squares >= limit].mean()", "squares.mean()", "hard features"),
        ("squares[squares >= limit].mean()", "limit", "hard features"),
        ("return found.square().mean()", "return found.abs().mean()", "other pictures"),
        ("halves[0][:count], wanted", "halves[1][:count], wanted", "hard features"),
        ("halves[0][:count], wanted", "halves[0][count:], wanted", "hard features"),
        ("detector.student(others).chunk(2, dim=1)[0]", "detector.student(others)", "other"),
        ("detector.student(others)", "detector.student(images)", "other pictures"),
        ("taught = detector.teach(other)", "taught = detector.teach(images)", "autoencoder"),
        ("detector.autoencoder(other)", "detector.autoencoder(images)", "student|autoencoder"),
        ("(taught - rebuilt).square()", "(taught - rebuilt.detach()).square()", "who learns|grad"),
        ("halves[1][count:]", "halves[1][:count]", "student of it"),
        ("(rebuilt - halves[1]", "(taught - halves[1]", "student of it"),
        ("(rebuilt - halves[1]", "(rebuilt.detach() - halves[1]", "who learns"),
        ("factor = 0.8 + 0.4", "factor = 0.5 + 1.0", "what is changed|how much"),
        ("torch.randint(3, (1,)", "torch.randint(2, (1,)", "what is changed"),
        (".clamp(0, 1) * 2 - 1", " * 2 - 1", "values of an image"),
        ("descend(adam, cycle, sum(losses))", "descend(adam, cycle, sum(losses[:3]))", "training"),
        ("torch.randint(len(others), (size,)", "torch.randint(1, (size,)", "training"),
        ("torch.randperm(count, generator=draw)", "torch.arange(count)", "shuffled"),
        ("detector.teach(x) - first,", "detector.teach(x) - second,", "maps"),
        ("detector.autoencoder(x) - second", "detector.teach(x) - second", "maps"),
        ("gap.square().mean(dim=1)", "gap.square().sum(dim=1)", "maps"),
        ("(0.9, 0.995), axis=1", "(0.5, 0.995), axis=1", "scale"),
        ("(0.9, 0.995), axis=1", "(0.9, 0.999), axis=1", "scale"),
        ("return 0.1 * (maps - low) / (high", "return (maps - low) / (high", "scale"),
        ("return 0.1 * (maps - low) / (high - low)", "return 0.1 * maps / (high - low)", "scale"),
        ('"both": 0.5 * student + 0.5 * coder', '"both": student + coder', "scale"),
        ('"both": 0.5 * student + 0.5 * coder', '"both": student', "scale"),
        ('mode="reflect"', 'mode="constant"', "mirrored"),
        ("F.pad(x, [16] * 4", "F.pad(x, [20] * 4", "mirrored|shape|broadcast"),
        ("scaled(teacher(mirrored(x)), scale)", "teacher(mirrored(x))", "autoencoder"),
        ("self.student(mirrored(x))", "self.student(mirrored(x.flip(3)))", "hard features"),
        ("held.flatten(1).numpy()", "maps.flatten(1).numpy()", "scale"),
        ("return maps.max(axis=(1, 2))", "return maps.mean(axis=(1, 2))", "score"),
    ],
)  # fmt: skip
def test_a_broken_equation_does_not_pass_the_checks(old, new, message):
    broken = definitions(PATH, replace={old: new})
    with pytest.raises((AssertionError, RuntimeError, ValueError), match=message):
        run_checks(broken)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.999, 1.0])
def test_the_hard_loss_is_an_independent_formula_over_the_whole_batch(book, share):
    a, b = random_map(3, 4, 5, 6), random_map(3, 4, 5, 6, seed=1)
    a[1:] = b[1:]  # all that is hard lies in the first image
    ranked = np.sort((a - b).numpy().astype(np.float64).ravel() ** 2)
    place = share * (len(ranked) - 1)
    below = int(np.floor(place))
    above = min(below + 1, len(ranked) - 1)
    limit = ranked[below] + (place - below) * (ranked[above] - ranked[below])
    wanted = ranked[ranked >= limit - 1e-9].mean()
    assert float(book.hard_loss(a, b, share)) == pytest.approx(wanted, rel=1e-4)
    assert torch.isclose(book.hard_loss(a, b, 0.0), nn.functional.mse_loss(a, b))


def test_only_hard_features_have_a_gradient(book):
    found = random_map(2, 3, 4, 5).requires_grad_()
    book.hard_loss(found, torch.zeros(2, 3, 4, 5), 0.9).backward()
    assert int((found.grad != 0).sum()) == 12  # a tenth of 120


def test_quantiles_of_a_hand_case_go_to_0_and_to_a_tenth(book):
    held = torch.stack([torch.arange(201.0).reshape(3, 67, 1), torch.arange(201.0).flip(0)
                        .reshape(3, 67, 1) * 10 + 5])  # fmt: skip
    maps = torch.tensor([[[[180.0], [199.0], [218.0]]], [[[1805.0], [1995.0], [5.0]]]])
    found = book.normalised(maps, held).float()
    assert torch.allclose(found[0, 0, :, 0], torch.tensor([0.0, 0.1, 0.2]), atol=1e-4)
    assert torch.allclose(found[1, 0, :, 0], torch.tensor([0.0, 0.1, -0.9474]), atol=1e-4)
    three = book.three_maps(maps.transpose(2, 3), held, 24)
    assert np.allclose(three["student"] + three["autoencoder"], 2 * three["both"], atol=1e-5)


def test_quantiles_of_the_tested_maps_themselves_do_not_pass_the_hand_case():
    broken = definitions(PATH, replace={"held.flatten(1).numpy()": "maps.flatten(1).numpy()"})
    with pytest.raises(AssertionError):
        test_quantiles_of_a_hand_case_go_to_0_and_to_a_tenth(broken)


def test_the_penalty_is_of_other_pictures_alone_and_of_the_first_half(book):
    detector, teacher = book.small_detector(0)
    x, p, q = (book.as_input(book.random_images(2, 64, s), teacher) for s in (0, 1, 2))
    wanted = random_map(2, 3, 16, 16)

    def terms(images, others):
        draw = torch.Generator().manual_seed(0)
        found = book.losses_of(detector, images, wanted, others, 0.9, draw)
        return [term.item() for term in found]

    one, other, moved = terms(x, p), terms(x, q), terms(q, p)
    assert one[1] != other[1] and one[0] == other[0] and one[2:] == other[2:]
    assert one[1] == moved[1] and one[0] != moved[0]
    with torch.no_grad():
        detector.student[-1].weight[:3] = 0
        detector.student[-1].bias[:3] = 0
    assert terms(x, p)[1] == 0


# --- crops and teacher --------------------------------------------------------------------------


def test_crops_are_square_of_all_sizes_partly_grey_and_follow_the_seed(book, monkeypatch):
    draw = np.random.default_rng(0)
    photo, sides = draw.integers(0, 256, (150, 140, 3)).astype(np.uint8), []
    made = book.Image.fromarray
    monkeypatch.setattr(book.Image, "fromarray", lambda a: sides.append(a.shape) or made(a))
    crops = book.draw_crops([photo], 300, 5)
    assert crops.shape == (300, 128, 128, 3) and crops.dtype == np.uint8
    assert all(shape[0] == shape[1] for shape in sides)
    shortest, longest = min(s[0] for s in sides), max(s[0] for s in sides)
    assert 32 <= shortest < 36 and 120 < longest <= 128
    grey = (crops[..., 0] == crops[..., 1]).all(axis=(1, 2)).mean()
    assert 0.2 < grey < 0.4
    assert np.array_equal(crops[:9], book.draw_crops([photo], 9, 5))
    assert not np.array_equal(crops[:9], book.draw_crops([photo], 9, 6))


def test_seventeen_photographs_come_with_a_package(book):
    photos = book.load_pictures()
    assert len(photos) == 17
    assert all(min(p.shape[:2]) >= 128 and p.shape[2] == 3 for p in photos)


def test_a_teacher_learns_and_is_frozen_then(book):
    patches, wanted = book.random_images(40, 64, 0), torch.ones(40, 2, 8, 8)
    before = torch.get_rng_state()
    teacher, losses = book.distil(patches, wanted, 3, 25, 0, "cpu")
    assert torch.equal(before, torch.get_rng_state())
    assert len(losses) == 25 and np.mean(losses[-5:]) < np.mean(losses[:5])
    assert not any(p.requires_grad for p in teacher.parameters())
    assert {p.dtype for p in teacher.parameters()} == {torch.float64}
    again, same = book.distil(patches, wanted, 3, 25, 0, "cpu")
    assert losses == same and losses != book.distil(patches, wanted, 3, 25, 1, "cpu")[1]
    assert all(map(torch.equal, teacher.parameters(), again.parameters()))


def test_a_teacher_does_not_hang_on_a_last_digit(book):
    draw = np.random.default_rng(0)
    patches, wanted = book.random_images(40, 64, 0), torch.tensor(draw.normal(size=(40, 2, 8, 8)))
    found = [book.distil(patches, w, 3, 40, 0, "cpu")[0] for w in (wanted, wanted * (1 + 1e-13))]
    assert digest(found[0]).digest() == digest(found[1]).digest()
    broken = definitions(PATH, replace={"parameter.grad = rounded(parameter.grad)": "pass"})
    found = [broken.distil(patches, w, 3, 40, 0, "cpu")[0] for w in (wanted, wanted * (1 + 1e-6))]
    assert digest(found[0]).digest() != digest(found[1]).digest()


# --- training -----------------------------------------------------------------------------------


def test_training_lowers_every_term_and_leaves_teacher_and_global_generator_alone(book):
    detector, teacher = book.small_detector(0)
    images, others = book.random_images(6, 64, 0), book.random_images(6, 64, 1) // 4
    with torch.no_grad():
        wanted = detector.teach(book.as_input(images, teacher))
    weights, state = digest(teacher).hexdigest(), torch.get_rng_state()
    history = book.train_detector(detector, images, wanted, others, (60, 0.01, 2, 0.9), 0)
    assert digest(teacher).hexdigest() == weights
    assert torch.equal(state, torch.get_rng_state())
    assert history.shape == (60, 4)
    first, last = history[:6].mean(axis=0), history[-6:].mean(axis=0)
    assert last[0] < first[0] and last[2] < first[2]


def test_only_normal_images_are_learnt(book):
    images = SimpleNamespace(labels=np.array([0, 0, 1]), images=book.random_images(3, 64, 0))
    with pytest.raises(AssertionError, match="anomalous"):
        book.trained(images, 0.9)
    source = PATH.read_text(encoding="utf-8")
    assert source.count("trained(fit, ") == 2 and source.count("trained(cells_fit, hard)") == 1
    assert source.count("train_detector(") == 3  # definition, `trained`, the check


def test_a_loss_and_its_rival_start_alike_and_see_the_same(book, monkeypatch):
    teacher = book.patch_network(2, 3, 0).requires_grad_(False)
    settings = {
        "teacher": teacher, "image_size": 64, "shape": (16, 16), "width": 2, "seed": 0,
        "iterations": 3, "learning_rate": 0.01, "batch_size": 2,
        "patches": book.random_images(4, 64, 1), "run": SimpleNamespace(device="cpu"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setattr(book, name, value, raising=False)
    seen = []

    def watched(detector, images, wanted, others, setting, seed):
        seen.append((digest(detector).hexdigest(), images, wanted, others, setting, seed))
        return np.zeros((3, 4))

    monkeypatch.setattr(book, "train_detector", watched)
    images = SimpleNamespace(labels=np.zeros(3), images=book.random_images(3, 64, 0))
    book.trained(images, 0.9)
    book.trained(images, 0.0)
    one, two = seen
    assert one[0] == two[0] and one[5] == two[5] == 0
    assert np.array_equal(one[1], two[1]) and torch.equal(one[2], two[2])
    assert np.array_equal(one[3], two[3])
    assert one[4] == (3, 0.01, 2, 0.9) and two[4] == (3, 0.01, 2, 0.0)
    per_channel = one[2].transpose(0, 1).flatten(1)
    assert per_channel.mean(dim=1).abs().max() < 1e-4
    assert (per_channel.std(dim=1) - 1).abs().max() < 1e-3


def test_maps_in_parts_are_the_same_as_at_once(book):
    detector, _ = book.small_detector(0)
    images = book.random_images(19, 64, 0)
    whole = book.branch_maps(detector, images)
    alone = torch.cat([book.branch_maps(detector, images[i : i + 1]) for i in range(19)], dim=1)
    assert whole.shape == (2, 19, 16, 16) and torch.allclose(whole, alone, atol=1e-4)


def test_maps_are_of_single_precision_and_leave_the_networks_double(book):
    detector, teacher = book.small_detector(0)
    assert book.branch_maps(detector, book.random_images(2, 64, 0)).dtype == torch.float32
    for network in (detector, teacher, detector.frozen[0]):
        assert {p.dtype for p in network.parameters()} == {torch.float64}


def test_the_plan_grows_with_what_is_held(book):
    def needed(channels=40, images=100, batch=2, size=96):
        return book.bytes_needed(channels, images, batch, size)

    assert needed() > 4 * 40 * 16 * 16 * 100
    assert needed(images=200) > 1.5 * needed() and needed(channels=80) > needed()
    assert needed(batch=8) > needed() and needed(size=192) > 3 * needed()
    book.run = SimpleNamespace(device="cpu")
    few, many = (book.seconds_needed(2, 3, 64, 1, updates) for updates in (1, 10000))
    assert 0 < few < many


# --- experiments --------------------------------------------------------------------------------


def test_one_sort_of_anomaly_is_ranked_against_all_normal_images(book):
    part = SimpleNamespace(
        labels=np.array([0, 0, 1, 1, 1]), types=["good", "good", "left", "right", "left"]
    )
    scores = np.array([1.0, 3.0, 2.0, 0.0, 4.0])
    assert book.of_kind(part, scores, "left") == 0.75
    assert book.of_kind(part, scores, "right") == 0


def test_every_update_rounds_every_gradient(book):
    pair = [torch.nn.Parameter(torch.zeros(2, dtype=torch.float64)) for _ in range(2)]
    adam, cycle = book.peaked(pair, 0.1, 4)
    pull = torch.tensor([1.0, 1 / 3], dtype=torch.float64)
    book.descend(adam, cycle, (pair[0] * pull).sum() + (pair[1] * 2 * pull).sum())
    for parameter, scale in zip(pair, (1, 2), strict=True):
        assert parameter.grad.tolist() == [scale, scale * round(2**16 / 3) / 2**16]


def test_numbers_are_double_on_a_cpu_and_single_elsewhere(book):
    assert book.precise("cpu") == book.precise(torch.device("cpu")) == torch.float64
    assert book.precise("cuda") == book.precise(torch.device("cuda:1")) == torch.float32


def test_a_spot_is_a_darker_square_of_its_side_within_the_image(book):
    images = np.full((40, 20, 30, 3), 100, np.uint8)
    for side in (2, 4):
        found = book.spotted(images, side)
        assert found.dtype == np.uint8 and (images == 100).all()
        assert ((found == 40) | (found == 100)).all()
        assert ((found == 40).sum(axis=(1, 2, 3)) == 3 * side**2).all()
        for image in found[..., 0] == 40:
            rows, columns = np.nonzero(image)
            assert np.ptp(rows) == np.ptp(columns) == side - 1
            assert 4 <= rows.min() < 16 and 6 <= columns.min() < 24
    assert len({image.tobytes() for image in found}) > 30
    assert np.array_equal(found, book.spotted(images, 4))
    assert not np.array_equal(found, book.spotted(images, 4, seed=1))


def test_scores_of_images_are_those_of_their_maps(book, monkeypatch):
    detector, _ = book.small_detector(0)
    images = book.random_images(5, 64, 0)
    held = book.branch_maps(detector, book.random_images(4, 64, 1))
    for name, value in {"detector": detector, "held_maps": held, "image_size": 64}.items():
        monkeypatch.setattr(book, name, value, raising=False)
    found = book.all_scores(images)
    assert list(found) == ["student", "autoencoder", "both"]
    maps = book.three_maps(book.branch_maps(detector, images), held, 64)
    assert all(np.allclose(found[name], maps[name].max(axis=(1, 2))) for name in maps)


def test_darker_cells_are_the_same_cells_with_smaller_values(book):
    images = np.array([0, 10, 255], np.uint8).reshape(1, 1, 3, 1)
    dark = book.darker(images, 0.85)
    assert dark.dtype == np.uint8 and dark.ravel().tolist() == [0, 8, 216]


def test_each_image_stands_beside_its_two_maps_in_one_range_of_colours(book):
    images = book.random_images(3, 8, 0)
    found = {"student": np.zeros((3, 8, 8)), "autoencoder": np.ones((3, 8, 8))}
    views = book.side_by_side(images, found, [2, 0])
    assert views.shape == (6, 8, 8, 3)
    assert np.allclose(views[0], images[2] / 255) and np.allclose(views[3], images[0] / 255)
    low, high = book.plt.get_cmap(book.plot.HEAT)([0.0, 1.0])[:, :3]
    assert np.allclose(views[1], low) and np.allclose(views[5], high)


# --- the exercises ------------------------------------------------------------------------------

NAMES = ("hard_mean", "on_scale", "mended")


def hard_by_sorting(squares, share):
    ranked = np.sort(squares, axis=None)
    limit = np.interp(share * (len(ranked) - 1), np.arange(len(ranked)), ranked)
    return ranked[ranked >= limit].mean()


def scale_by_interpolation(maps, held):
    ranked = np.sort(held.reshape(2, -1), axis=1)
    places = np.array([0.9, 0.995]) * (ranked.shape[1] - 1)
    ends = np.array([np.interp(places, np.arange(ranked.shape[1]), row) for row in ranked])
    low, high = ends.T[:, :, None, None, None]
    return ((maps - low) / (10 * (high - low))).mean(axis=0)


def mended_by_torch(wanted, found, other, share):
    first, _ = torch.as_tensor(found).chunk(2, dim=1)
    squares = (torch.as_tensor(wanted) - first).square()
    hard = squares[squares >= torch.quantile(squares, share)].mean()
    return hard + torch.as_tensor(other).chunk(2, dim=1)[0].square().mean()


OTHERS = {
    "hard_mean": hard_by_sorting,
    "on_scale": scale_by_interpolation,
    "mended": mended_by_torch,
}


def hard_with(*, axis=None, strict=False, kind="mean", low=False):
    """The right answer, with something else in one place."""

    def answer(squares, share):
        limit = np.quantile(squares, 1 - share if low else share, axis=axis, keepdims=True)
        used = squares > limit if strict else squares >= limit
        chosen = squares[used] if used.any() else np.zeros(1)
        return {"mean": chosen.mean(), "sum": chosen.sum(), "spread": chosen.sum() / squares.size,
                "limit": np.mean(limit), "count": float(len(chosen))}[kind]  # fmt: skip

    return answer


def by_count(rounded):
    """The largest numbers, so many that their share is left: equal ones are torn apart."""

    def answer(squares, share):
        left = max(int(rounded((1 - share) * squares.size)), 1)
        return np.sort(squares, axis=None)[-left:].mean()

    return answer


def quantile_by(method):
    """hard_mean with another interpolation."""

    def answer(squares, share):
        return squares[squares >= np.quantile(squares, share, method=method)].mean()

    return answer


def mean_of_means(squares, share):
    """One limit, but each image's mean counts the same."""
    limit = np.quantile(squares, share)
    images = squares if squares.ndim > 1 else squares[None]
    return np.mean([x[x >= limit].mean() for x in images if (x >= limit).any()])


def above_or_highest(squares, share):
    """Values above the limit; where there are none, the highest."""
    above = squares[squares > np.quantile(squares, share)]
    return above.mean() if above.size else squares.max()


def hard_but_the_last(squares, share):
    ranked = np.sort(squares, axis=None)
    kept = ranked[ranked >= np.quantile(squares, share)]
    return kept.mean() if share < 1 else kept[:-1].sum()


def scale_by_method(method):
    """on_scale with another interpolation."""

    def answer(maps, held):
        ends = np.quantile(held, (0.9, 0.995), axis=(1, 2, 3), keepdims=True, method=method)
        return (0.1 * (maps - ends[0]) / (ends[1] - ends[0])).mean(axis=0)

    return answer


def scale_by_place(maps, held):
    """The value at a share of the number of values."""
    ranked = np.sort(held.reshape(2, -1), axis=1)
    places = [int(share * ranked.shape[1]) for share in (0.9, 0.995)]
    low, high = ranked[:, places].T[:, :, None, None, None]
    return (0.1 * (maps - low) / (high - low)).mean(axis=0)


def loss_of_as_many(wanted, found, pictures, p):
    return loss_with()(wanted, found, pictures[: len(wanted)], p)


def loss_by_wanted(wanted, found, pictures, p):
    silent = (pictures[:, : wanted.shape[1]] ** 2).sum() / wanted.size
    return loss_with(weight=0.0)(wanted, found, pictures, p) + silent


def loss_of_pictures(pictures_term, hard=None):
    """L_ST with another term for the other pictures, or another hard mean."""

    def answer(wanted, found, pictures, p):
        d = wanted.shape[1]
        squares = (wanted - found[:, :d]) ** 2
        first = (
            squares[squares >= np.quantile(squares, p)].mean() if hard is None else hard(squares, p)
        )
        return first + pictures_term(pictures[:, :d])

    return answer


def per_position(squares, p):
    limits = np.quantile(squares, p, axis=(0, 1), keepdims=True)
    return squares[squares >= limits].mean()


def scale_with(
    *, source="held", levels=(0.9, 0.995), divide="range", top=0.1, clip=False, weights=(0.5, 0.5),
    together=False,
):  # fmt: skip
    """The right answer, with something else in one place."""

    def answer(maps, held):
        total = 0.0
        for i, weight in enumerate(weights):
            of = held if source == "held" else maps
            low, high = np.quantile(of if together else of[i], levels)
            found = top * (maps[i] - low) / (high - low if divide == "range" else high)
            total = total + weight * (found.clip(0, 1) if clip else found)
        return total

    return answer


def loss_with(*, half=0, other=0, each=False, share=None, weight=1.0, root=False):
    """The exercise's code with some of its bugs, or with others."""

    def answer(wanted, found, pictures, p):
        d = wanted.shape[1]
        squares = (wanted - found[:, half * d : (half + 1) * d]) ** 2
        p = p if share is None else share
        parts = list(squares) if each else [squares]
        hard = np.mean([x[x >= np.quantile(x, p)].mean() for x in parts])
        rest = pictures if other is None else pictures[:, other * d : (other + 1) * d]
        silent = np.abs(rest).mean() if root else (rest**2).mean()
        return hard + weight * silent

    return answer


WRONG = [
    ("hard_mean", hard_with(strict=True), "the quantile counts, too"),
    ("hard_mean", hard_with(kind="sum"), "half of four"),
    ("hard_mean", hard_with(kind="spread"), "half of four"),
    ("hard_mean", hard_with(kind="limit"), "half of four"),
    ("hard_mean", hard_with(kind="count"), "half of four"),
    ("hard_mean", hard_with(low=True), "between two values"),
    ("hard_mean", hard_with(axis=0), "two images"),
    ("hard_mean", hard_with(axis=-1), "two images"),
    ("hard_mean", lambda s, p: s.mean(), "half of four"),
    ("hard_mean", lambda s, p: s.max(), "half of four"),
    ("hard_mean", lambda s, p: s[s >= p * s.max()].mean(), "half of four"),
    ("hard_mean", by_count(np.floor), "the quantile counts, too"),
    ("hard_mean", by_count(np.ceil), "between two values"),
    ("hard_mean", quantile_by("hazen"), "between two values"),
    ("hard_mean", quantile_by("weibull"), "between two values"),
    ("hard_mean", mean_of_means, "two images, most of both"),
    ("hard_mean", above_or_highest, "the quantile counts, too"),
    ("hard_mean", hard_but_the_last, "the maximum alone"),
    ("on_scale", scale_by_method("nearest"), "between two values"),
    ("on_scale", scale_by_method("lower"), "between two values"),
    ("on_scale", scale_by_place, "between two values"),
    ("on_scale", scale_with(source="maps"), "each branch by its own quantiles"),
    ("on_scale", scale_with(levels=(0.9, 0.999)), "each branch by its own quantiles"),
    ("on_scale", scale_with(levels=(0.1, 0.995)), "each branch by its own quantiles"),
    ("on_scale", scale_with(divide="high"), "each branch by its own quantiles"),
    ("on_scale", scale_with(top=1.0), "each branch by its own quantiles"),
    ("on_scale", scale_with(clip=True), "each branch by its own quantiles"),
    ("on_scale", scale_with(together=True), "each branch by its own quantiles"),
    ("on_scale", scale_with(weights=(1, 1)), "each branch by its own quantiles"),
    ("on_scale", scale_with(weights=(1, 0)), "each branch by its own quantiles"),
    ("on_scale", scale_with(weights=(0, 1)), "each branch by its own quantiles"),
    ("on_scale", lambda m, h: 0.05 * ((m[0] - 180) / 19 + (m[1] - 1805) / 190),
     "four times as large"),
    ("on_scale", lambda m, h: np.minimum(scale_with()(m, h), 0.5), "nothing is clipped"),
    ("on_scale", lambda m, h: np.minimum(scale_with()(m, h), 1), "nothing is clipped"),
    ("on_scale", lambda m, h: scale_with()(m, h).clip(-1, 1), "nothing is clipped"),
    ("on_scale", lambda m, h: np.maximum(scale_with()(m, h), -0.5), "nothing is clipped"),
    ("on_scale", lambda m, h: scale_with()(m, h).max(), "expected shape (2, 1, 2)"),
    ("on_scale", lambda m, h: 0.1 * m, "expected shape (2, 1, 2)"),
    ("mended", loss_with(half=1, other=None, each=True), "the half that imitates"),
    ("mended", loss_with(half=1), "the half that imitates"),
    ("mended", loss_with(each=True), "the half that imitates"),
    ("mended", loss_with(other=None), "both terms, one image"),
    ("mended", loss_with(other=1), "both terms, one image"),
    ("mended", loss_with(other=None, each=True), "the half that imitates"),
    ("mended", loss_with(share=0.0), "the half that imitates"),
    ("mended", loss_with(share=1.0), "one limit for all images"),
    ("mended", loss_with(weight=0.0), "both terms, one image"),
    ("mended", loss_with(root=True), "both terms, one image"),
    ("mended", loss_with(weight=2.0), "both terms, one image"),
    ("mended", loss_of_as_many, "both terms, one image"),
    ("mended", loss_by_wanted, "both terms, one image"),
    ("mended", loss_of_pictures(lambda x: (x**2).mean(), hard=above_or_highest),
     "one limit for all images"),
    ("mended", loss_of_pictures(lambda x: (x[0] ** 2).mean()), "both terms, one image"),
    ("mended", loss_of_pictures(lambda x: (x**2).mean(axis=(1, 2, 3)).sum()),
     "both terms, one image"),
    ("mended", loss_of_pictures(lambda x: (x**2).sum(axis=(2, 3)).mean()), "three features"),
    ("mended", loss_of_pictures(lambda x: (x[:, :2] ** 2).mean()), "three features"),
    ("mended", loss_of_pictures(lambda x: (x[..., 0, 0] ** 2).mean()), "three features"),
    ("mended", loss_of_pictures(lambda x: (x**2).mean(), hard=per_position), "three features"),
]  # fmt: skip
EQUIVALENT = {}
EQUIVALENT_DEFINITIONS = {
    "load_pictures": "tested above",
    "draw_crops": "tested above",
    "distil": "tested above",
    "bytes_needed": "tested above",
    "seconds_needed": "tested above",
    "taught_by": "tested above, in what a loss and its rival are given",
    "new_detector": "tested above, in what a loss and its rival start from",
    "trained": "tested above",
    "heat": "tested above",
    "side_by_side": "tested above",
    "all_maps": "calls branch_maps and three_maps, which are checked",
    "pixel_auroc": "calls metrics.pixel_auroc for the notebook's masks",
    "of_kind": "tested above",
    "darker": "tested above",
    "columns_of": "belongs to an exercise's check",
    "Detector": {
        "out = len(scale[{0 → 1}])": "both are of the same length",
        "out = len(scale[{0 → -1}])": "both are of the same length",
    },
    "backbone_targets": {
        "exact, parts = (copy.deepcopy(network.network){.double() → }, [])": "the run stops: types",
        "levels = exact(network.preprocess(crops[i:i + 4]){.double() → })": "the run stops: types",
    },
    "rounded": {
        "step = {2.0 → -2.0} ** (largest.log2().floor() - 16)": "its sign cancels",
    },
    "first_weights": {
        "bound = layer.weight[{0 → 1}].numel() ** (-0.5)": "all outputs have as many inputs",
        "bound = layer.weight[{0 → -1}].numel() ** (-0.5)": "all outputs have as many inputs",
        "return network.float().to({memory_format=torch.channels_last → })": "the order in memory",
    },
    "patch_network": {"with torch.random.fork_rng({devices=[] → }):": "no GPU draws here"},
    "seen_by_one": {
        "x = {torch.zeros → torch.ones}(1, 3, side, side, requires_grad=True)": (
            "where a pixel counts at all, the number is not 0"
        ),
        "x = torch.zeros({1 → 2}, 3, side, side, requires_grad=True)": "one of two equal images",
        "middle = found.shape[{2 → 3}] // 2": "the image is square",
        "found[0, :, middle, middle].square(){.sum → .mean}().backward()": (
            "where a pixel counts at all, the number is not 0"
        ),
        "found[0, :, middle, middle].square(){.sum → .max}().backward()": (
            "where a pixel counts at all, the number is not 0"
        ),
        "found[0, :, middle, middle]{.square().sum → .sum}().backward()": (
            "where a pixel counts at all, the number is not 0"
        ),
        "found[0, :, middle, middle]{.square → .abs}().sum().backward()": (
            "where a pixel counts at all, the number is not 0"
        ),
        "found[{0 → -1}, :, middle, middle].square().sum().backward()": "there is one image",
        "moved = x.grad[0].abs(){.sum → .mean}(dim=0) > 0": (
            "where a pixel counts at all, the number is not 0"
        ),
        "moved = x.grad[0]{.abs().sum → .sum}(dim=0) > 0": "three channels hardly cancel out",
        "moved = x.grad[{0 → -1}].abs().sum(dim=0) > 0": "there is one image",
        "return (moved.any({dim=1), moved.any(dim=0 → dim=0), moved.any(dim=1}))": (
            "kernels are square: rows and columns are the same"
        ),
        "return (moved.any({dim=1 → dim=0}), moved.any(dim=0))": (
            "kernels are square: rows and columns are the same"
        ),
        "return (moved.any(dim=1), moved.any({dim=0 → dim=1}))": (
            "kernels are square: rows and columns are the same"
        ),
        "return (moved.any(dim=1), moved.any({dim=0 → dim=-1}))": (
            "kernels are square: rows and columns are the same"
        ),
    },
    "scale_of": {
        "mean = vectors.mean(dim=(0, 2, 3), keepdim=True)[{0 → -1}]": "its length is 1",
        "spread = vectors.std(dim=(0, 2, 3), keepdim=True)[{0 → -1}]": "its length is 1",
        "return (mean, spread.clamp_min({1e → 2e}-06))": "any small number will do",
    },
    "descend": {
        "for parameter in adam.param_groups[{0 → -1}]['params']:": "there is one group",
    },
    "hard_loss": {
        "limit = torch.quantile(squares.detach(){.flatten() → }, share)": "quantile flattens, too",
    },
    "make_autoencoder": {
        "with torch.random.fork_rng({devices=[] → }):": "no GPU draws here",
        "while side > {8 → 9}:": "halves of the sizes allowed never are 9",
    },
    "batches": {
        "rounds = range(-(-steps * size {// → *} count))": "more rounds than are used",
        "rounds = range(-(-steps * {size // count → size}))": "more rounds than are used",
    },
    "train_detector": {
        "for part in {tqdm(parts, 'training', leave=False, disable=None) → parts}:": (
            "the progress bar"
        ),
        "for part in tqdm(parts, 'training', {leave=False, disable=None → disable=None}):": (
            "the progress bar"
        ),
        "for part in tqdm(parts, 'training', {leave=False, disable=None → leave=False}):": (
            "the progress bar"
        ),
        "for part in tqdm(parts, 'training', {leave=False → leave=True}, disable=None):": (
            "the progress bar"
        ),
        "return {np.array(history) → history}": "a list of the same numbers",
    },
    "anomaly_maps": {
        "return large[:, 0]{.float().numpy → .numpy}()": "single precision before",
        "return large[:, {0 → -1}].float().numpy()": "there is one channel",
    },
    "spotted": "tested above",
    "all_scores": "tested above",
    "precise": "tested above",
}


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
