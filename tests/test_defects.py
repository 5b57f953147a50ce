"""Rendered defects: visible, exactly masked, repeatable, and not given away by trivial numbers."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from helpers import data, defects, metrics


@pytest.fixture(scope="module")
def cells():
    """Normal training cells, and the test set with its rendered defects."""
    return data.load("elpv", "mono")


@pytest.fixture
def cell(cells):
    return cells[0].images[0]


def grey(images):
    return images.astype(np.float64).mean(axis=-1)


@pytest.mark.parametrize("kind", defects.KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_a_defect_changes_the_image_inside_its_mask_only_and_visibly(cell, kind, seed):
    before = cell.copy()
    drawn, mask = defects.render(cell, kind, rng=np.random.default_rng(seed))
    assert drawn.dtype == np.uint8
    assert drawn.shape == cell.shape
    assert mask.dtype == bool
    assert mask.shape == cell.shape[:2]
    assert np.array_equal(cell, before), "the image given must not change"
    assert np.array_equal(drawn[~mask], cell[~mask])
    difference = np.abs(grey(drawn) - grey(cell))
    assert difference[mask].mean() >= defects.MIN_CONTRAST
    assert (difference[mask] > 0).mean() > 0.95, "the mask has next to no unchanged pixels"
    assert defects.MIN_AREA <= mask.mean() <= defects.MAX_AREA


@pytest.mark.parametrize("kind", defects.KINDS)
def test_the_generator_alone_decides_what_is_drawn(cell, kind):
    first = defects.render(cell, kind, rng=np.random.default_rng(3))
    again = defects.render(cell, kind, rng=np.random.default_rng(3))
    other = defects.render(cell, kind, rng=np.random.default_rng(4))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_defects_differ_in_size_and_place(cells):
    _, test = cells
    for kind in defects.KINDS:
        masks = test.masks[[t == kind for t in test.types]]
        areas = masks.sum(axis=(1, 2))
        assert areas.max() > 2 * areas.min()
        centres = np.array([np.argwhere(mask).mean(axis=0) for mask in masks])
        assert (centres.std(axis=0) > 0.1 * masks.shape[1]).all()


def test_a_finger_interruption_is_taller_than_wide_and_stays_between_two_busbars():
    cell = np.full((256, 256, 3), 170, np.uint8)
    busbars = (42, 128, 213)
    for row in busbars:
        cell[row - 1 : row + 2] = 60
    for seed in range(12):
        _, mask = defects.render(cell, "finger_interruption", rng=np.random.default_rng(seed))
        assert not mask[list(busbars)].any(), "a stripe crosses a busbar"
        rows = np.flatnonzero(mask.any(axis=1))
        assert not any(rows.min() < bar < rows.max() for bar in busbars)
        one = mask[:, mask.sum(axis=0).argmax()].sum()
        assert one > 12, "a stripe runs along the fingers, at right angles to the busbars"
        turned = cell.transpose(1, 0, 2).copy()
        _, mask = defects.render(turned, "finger_interruption", rng=np.random.default_rng(seed))
        assert not mask[:, list(busbars)].any(), "the same on a cell turned by a right angle"


def test_defects_grow_with_the_image():
    share = []
    for side in (64, 256, 512):
        image = np.full((side, side, 3), 180, np.uint8)
        masks = [
            defects.render(image, "stain", rng=np.random.default_rng(seed))[1] for seed in range(5)
        ]
        share.append(np.mean(masks))
    assert max(share) < 2 * min(share)


@pytest.mark.parametrize("kind", defects.KINDS)
def test_colour_images_and_oblong_images_work(kind):
    image = np.random.default_rng(0).integers(90, 140, (96, 160, 3)).astype(np.uint8)
    image[..., 0] += 60
    drawn, mask = defects.render(image, kind, rng=np.random.default_rng(1))
    assert mask.shape == (96, 160)
    assert np.abs(grey(drawn) - grey(image))[mask].mean() >= defects.MIN_CONTRAST


def png_bytes(images):
    sizes = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        sizes.append(len(file.getvalue()))
    return np.array(sizes, dtype=float)


def thumbnails(images):
    box = Image.Resampling.BOX
    small = [Image.fromarray(i).convert("L").resize((32, 32), box) for i in images]
    return np.array([np.asarray(s, dtype=float).ravel() for s in small])


def test_trivial_numbers_do_not_find_the_rendered_defects(cells):
    train, test = cells
    chosen = test.rendered | (test.labels == 0)
    images, labels = test.images[chosen], test.labels[chosen]
    bank = thumbnails(train.images)
    nearest = [np.square(bank - thumbnail).sum(axis=1).min() for thumbnail in thumbnails(images)]
    mean, size = grey(images).mean(axis=(1, 2)), png_bytes(images)
    usual_mean = np.median(grey(train.images).mean(axis=(1, 2)))
    usual_size = np.median(png_bytes(train.images[::4]))
    scores = {
        "mean grey, distance from the usual": np.abs(mean - usual_mean),
        "mean grey, brighter": mean,
        "mean grey, darker": -mean,
        "thumbnail nearest neighbour": nearest,
        "file size, distance from the usual": np.abs(size - usual_size),
        "file size, larger": size,
        "file size, smaller": -size,
    }
    found = {name: roc_auc_score(labels, score) for name, score in scores.items()}
    assert max(found.values()) < 0.7, found


def test_each_image_gets_a_defect_kind_after_kind(cells):
    images = cells[0].images[:5]
    index, drawn, masks = defects.render_each(images, seed=3)
    assert index.tolist() == [0, 1, 2, 3, 4]
    for i in range(5):
        rng = np.random.default_rng([3, i])
        one, mask = defects.render(images[i], defects.KINDS[i % 4], rng=rng)
        np.testing.assert_array_equal(drawn[i], one)
        np.testing.assert_array_equal(masks[i], mask)
    _, fewer, _ = defects.render_each(images[:2], seed=3)
    np.testing.assert_array_equal(fewer, drawn[:2], err_msg="an image does not hang on the others")
    _, other, _ = defects.render_each(images, seed=4)
    assert all((a != b).any() for a, b in zip(drawn, other, strict=True))


def test_where_a_kind_has_no_place_the_next_one_is_drawn(cells):
    rough = cells[0].images[:1].copy()
    rough[:, :100] = 0  # too dark for most: what is drawn has to be found
    kinds = ("missing_busbar", "crack")  # no busbars are left
    index, drawn, masks = defects.render_each(rough, seed=0, kinds=kinds)
    assert index.tolist() == [0]
    assert masks[0].any() and (drawn[0] != rough[0]).any(axis=2)[masks[0]].any()


def test_an_image_without_a_place_is_left_out_and_the_others_stay_as_they_are(cells):
    images = cells[0].images[:3].copy()
    whole = defects.render_each(images, seed=0, kinds=("crack",))
    images[1] = np.random.default_rng(0).integers(0, 2, (*images.shape[1:3], 1)) * 255
    index, drawn, masks = defects.render_each(images, seed=0, kinds=("crack",))
    assert index.tolist() == [0, 2] and len(drawn) == len(masks) == 2
    np.testing.assert_array_equal(drawn, whole[1][[0, 2]])
    np.testing.assert_array_equal(masks, whole[2][[0, 2]])
    none = defects.render_each(images[1:2], seed=0, kinds=("crack",))
    assert [part.shape[0] for part in none] == [0, 0, 0]


def test_drawing_on_several_images_refuses_what_it_cannot_draw(cells):
    images = cells[0].images[:2]
    with pytest.raises(ValueError, match=r"kinds must be some of .*found \('crack', 'hole'\)"):
        defects.render_each(images, seed=0, kinds=("crack", "hole"))
    with pytest.raises(ValueError, match="kinds must be some of"):
        defects.render_each(images, seed=0, kinds=())
    with pytest.raises(ValueError, match=r"shape \(N, H, W, 3\)"):
        defects.render_each(images[0], seed=0)
    for wrong in (images / 255, images[..., :1], images[:, :20]):
        with pytest.raises(ValueError, match=r"images must be uint8 .* at least 32, found"):
            defects.render_each(wrong, seed=0)


def test_bad_input_is_refused(cell):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="unknown kind of defect: 'dent'; known: crack"):
        defects.render(cell, "dent", rng=rng)
    with pytest.raises(ValueError, match=r"uint8 of shape \(H, W, 3\), found float64"):
        defects.render(cell / 255, "crack", rng=rng)
    with pytest.raises(ValueError, match=r"found uint8 of shape \(256, 256\)"):
        defects.render(cell[..., 0], "crack", rng=rng)
    with pytest.raises(ValueError, match="32 x 32"):
        defects.render(cell[:20, :20], "crack", rng=rng)


def test_no_place_for_a_visible_defect_is_an_error_and_not_a_faint_defect():
    black = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="no place for a visible finger_interruption"):
        defects.render(black, "finger_interruption", rng=np.random.default_rng(0))


# --- logical anomalies ----------------------------------------------------------------------------


def drawn_cell(rows=(45, 128, 211), *, side=256):
    """A bright cell with a dark border and dark busbars at some rows."""
    noise = np.random.default_rng(0).integers(-6, 7, (side, side))
    grey_levels = 170 + noise
    for row in rows:
        grey_levels[row - 2 : row + 3] = 70
    grey_levels[:, :8] = grey_levels[:, -8:] = 40
    return np.repeat(grey_levels.astype(np.uint8)[..., None], 3, axis=2)


def rearranged(kind, seed=0, **cell):
    image = drawn_cell(**cell)
    drawn, mask = defects.render(image, kind, rng=np.random.default_rng(seed))
    return image, drawn, mask


@pytest.mark.parametrize("kind", ["missing_busbar", "doubled_busbar"])
@pytest.mark.parametrize("seed", range(4))
def test_a_busbar_more_or_less_changes_one_strip_alone(kind, seed):
    image, drawn, mask = rearranged(kind, seed)
    assert np.array_equal(drawn[~mask], image[~mask])
    rows = np.flatnonzero(mask.any(axis=1))
    assert mask[rows].all()
    assert len(rows) == rows[-1] - rows[0] + 1 == 17  # 6 % of the height, the busbar's row among it
    dark = (np.median(grey(drawn), axis=1) < 120).sum()
    assert dark == {"missing_busbar": 10, "doubled_busbar": 20}[kind], "two or four busbars of 5"


def test_where_a_busbar_was_the_cell_looks_like_its_surroundings():
    for seed in range(4):
        _, drawn, mask = rearranged("missing_busbar", seed)
        inside, around = grey(drawn)[mask[:, 0], 8:-8], grey(drawn)[100:115, 8:-8]
        assert abs(inside.mean() - around.mean()) < 2
        assert 0.5 < inside.std() / around.std() < 1.5, "the grain is there, too"


def test_a_doubled_busbar_stands_between_two_others():
    places = set()
    for seed in range(20):
        _, _, mask = rearranged("doubled_busbar", seed)
        middle = np.flatnonzero(mask.any(axis=1)).mean()
        assert 45 + 17 < middle < 211 - 17
        assert abs(middle - 128) > 17
        places.add(middle > 128)
    assert places == {True, False}


def test_swapped_halves_keep_every_pixel_and_the_mask_marks_what_stands_wrong():
    image, drawn, mask = rearranged("swapped_half")
    assert np.array_equal(drawn[:, :128], image[:, 128:])
    assert np.array_equal(drawn[:, 128:], image[:, :128])
    columns = mask[0]
    assert np.array_equal(mask, np.broadcast_to(columns, mask.shape))
    assert columns[:15].all()
    assert columns[113:143].all()
    assert columns[-15:].all()
    assert not columns[20:108].any()
    assert not columns[150:236].any()


@pytest.mark.parametrize("kind", defects.LOGICAL_KINDS)
def test_a_cell_without_the_three_busbars_is_refused(kind):
    for rows in ((), (45, 128), (60, 128, 196)):
        with pytest.raises(ValueError, match=r"needs three horizontal busbars.* 3% are needed"):
            rearranged(kind, rows=rows)


def test_three_busbars_are_found_where_they_are():
    assert defects.three_busbars(grey(drawn_cell())) == (45, 128, 211)
    assert defects.three_busbars(grey(drawn_cell((47, 130, 209)))) == (47, 130, 209)


def test_logical_anomalies_come_in_a_category_of_their_own():
    train, test = data.load("elpv", "logical", image_size=64)
    assert len(train) == 240
    assert set(train.types) == {"good"}
    kinds = ["good"] * 100 + list(defects.LOGICAL_KINDS) * 30
    assert list(test.types) == kinds
    assert test.has_mask.all()
    assert np.array_equal(test.rendered, test.labels == 1)
    assert metrics.images_to_rank(test).all(), "all count for the image metrics, too"
    assert not set(train.paths) & set(test.paths)
    assert len(set(test.paths)) == 190
    whole, tested = data.load("elpv", "logical", image_size=64, subset="all")
    assert (len(whole), len(tested)) == (265, 262)
    assert set(train.paths) < set(whole.paths)
    with pytest.raises(ValueError, match="did you mean 'logical'"):
        data.load("elpv", "logic")
