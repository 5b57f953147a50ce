"""One way to every image: packaged datasets, the reader's own folders, and what can be wrong."""

import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image

from helpers import data, defects, packaged


@pytest.fixture(scope="module")
def elpv():
    """(train, test) of the default dataset."""
    return data.load()


def save(path, pixels, **options):
    """Write an image, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def part(value, size=(48, 64)):
    """A small grey photograph: a gradient, so that turning it shows."""
    rows, columns = np.indices(size)
    return (value + rows + columns // 2).astype(np.uint8)


MARK = np.zeros((48, 64), np.uint8)
MARK[10:20, 30:40] = 255


@pytest.fixture
def layout(tmp_path):
    """A folder in MVTec AD layout: 6 train, 2 good, 2 broken (one with a mask), 1 stained."""
    root = tmp_path / "parts"
    for i in range(6):
        save(root / f"train/good/{i}.png", part(60 + i))
    for i in range(2):
        save(root / f"test/good/{i}.png", part(70 + i))
        save(root / f"test/broken/{i}.png", part(90 + i))
    save(root / "test/stain/0.png", part(40))
    save(root / "ground_truth/broken/0_mask.png", MARK)
    save(root / "ground_truth/stain/0.png", MARK)
    return root


# --- packaged datasets --------------------------------------------------------------------------


def test_the_default_is_electroluminescence_cells_with_three_kinds_of_test_images(elpv):
    train, test = elpv
    assert train.images.shape == (240, 256, 256, 3)
    assert train.images.dtype == np.uint8
    assert (train.labels == 0).all()
    assert not train.rendered.any()
    assert (len(test), test.labels.dtype, test.masks.dtype) == (260, np.int64, bool)
    good = np.array([t == "good" for t in test.types])
    real = np.array([t == "defective" for t in test.types])
    assert (good.sum(), real.sum(), test.rendered.sum()) == (100, 100, 60)
    assert np.array_equal(test.labels, ~good)
    assert np.array_equal(test.has_mask, ~real), (
        "real defects have no mask, all others an exact one"
    )
    assert not test.masks[~test.rendered].any()
    assert test.masks[test.rendered].any(axis=(1, 2)).all()
    for kind in defects.KINDS:
        assert test.types.count(kind) == 15
    assert train.name == test.name == "elpv/mono"
    assert "CC BY-NC-SA 4.0" in train.license


def test_no_cell_is_in_two_places(elpv):
    train, test = elpv
    paths = train.paths + test.paths
    assert len(set(paths)) == len(paths)


def test_rendered_and_normal_cells_go_through_the_same_resampling(elpv):
    _, test = elpv
    home = packaged.home_of("elpv_dataset", "elpv-dataset")
    for i in (0, int(np.flatnonzero(test.rendered)[0])):
        plain = data._resize(data.read_image(home / test.paths[i]), 256)
        outside = ~test.masks[i]
        assert np.array_equal(test.images[i][outside], plain[outside])
        assert outside.all() == (not test.rendered[i])


@pytest.mark.parametrize(
    ("category", "normal", "defective"), [("mono", 588, 313), ("poly", 920, 402)]
)
def test_the_subset_all_uses_every_sure_cell_and_contains_the_quick_one(
    category, normal, defective
):
    train, test = packaged.elpv(category, quick=False)
    assert len(train) + len(test) == normal + defective
    assert [e.type for e in test].count("defective") == defective
    quick_train, quick_test = packaged.elpv(category, quick=True)
    assert set(quick_train) <= set(train)
    assert set(quick_test) <= set(test)


@pytest.mark.parametrize(
    ("dataset", "category"), [("elpv", "poly"), ("textile", "local"), ("textures", "brick")]
)
def test_a_number_trains_on_the_first_so_many_of_the_quick_set_and_tests_on_all(dataset, category):
    every, tested = data.load(dataset, category, image_size=32)
    few, test = data.load(dataset, category, image_size=32, subset=25)
    assert few.paths == every.paths[:25]
    assert (few.images == every.images[:25]).all()
    assert test.paths == tested.paths
    assert test.fingerprint != tested.fingerprint, "the images to train on are part of it"
    same = data.load(dataset, category, image_size=32, subset=len(every))
    assert [s.fingerprint for s in same] == [every.fingerprint, tested.fingerprint]


def test_a_number_of_a_folders_images_is_told(layout, capsys):
    every, _ = data.load("folder", root=layout, image_size=32)
    assert "the first" not in capsys.readouterr().out
    few, _ = data.load("folder", root=layout, image_size=32, subset=4)
    assert few.paths == every.paths[:4]
    assert "train: the first 4 of them, as subset says" in capsys.readouterr().out


@pytest.mark.parametrize("subset", [3, 0, -1, 154])
def test_a_number_of_images_that_cannot_be_says_how_many_there_are(subset):
    message = f"subset={subset} asks for .* from 4 to 153, which is what there are"
    refused(ValueError, message, "textures", image_size=32, subset=subset)
    refused(ValueError, "unknown subset: 25.0", "textures", image_size=32, subset=25.0)
    refused(ValueError, "unknown subset: True", "textures", image_size=32, subset=True)


def test_textile_has_real_anomalies_without_masks():
    train, test = data.load("textile", "global", image_size=64)
    assert (len(train), len(test)) == (240, 200)
    assert test.types.count("global") == 100
    assert not test.has_mask[test.labels == 1].any()
    assert "MIT" in train.license


@pytest.mark.parametrize("category", ["brick", "grass", "gravel"])
def test_textures_come_from_one_photograph_in_two_separate_parts(category):
    train, test = data.load("textures", category, image_size=64)
    assert (len(train), test.types.count("good"), test.rendered.sum()) == (153, 60, 60)
    assert test.has_mask.all()
    bottom_of_train = max(int(p.split("/")[1][:3]) for p in train.paths) + 128
    top_of_test = min(int(p.split("/")[1][:3]) for p in test.paths)
    assert bottom_of_train <= top_of_test
    assert "CC0" in train.license


def test_importing_does_not_load_heavy_or_optional_libraries():
    code = (
        "import sys, helpers.data, helpers.defects\n"
        "print({'cv2', 'torch', 'pooch', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- splits and fingerprints --------------------------------------------------------------------


def test_the_fingerprint_is_known(elpv):
    """It changes only with the data or the rules; then stored results must be made anew."""
    assert [s.fingerprint for s in elpv] == ["a20350ad1cb7", "da9e00bdb5f1"]


def test_a_test_sets_fingerprint_covers_the_training_images(layout):
    before = data.load("folder", root=layout, image_size=32)
    save(layout / "train/good/5.png", part(200))
    after = data.load("folder", root=layout, image_size=32)
    assert np.array_equal(before[1].images, after[1].images)
    assert before[1].fingerprint != after[1].fingerprint


def test_fingerprints_do_not_depend_on_place_or_name_but_on_content(layout, tmp_path):
    first = data.load("folder", root=layout, image_size=32)
    moved = layout.rename(tmp_path / "다른 곳")
    again = data.load("folder", root=moved, image_size=32)
    assert [s.fingerprint for s in first] == [s.fingerprint for s in again]
    assert first[1].paths == again[1].paths
    larger = data.load("folder", root=moved, image_size=40)
    assert larger[0].fingerprint != first[0].fingerprint
    save(moved / "ground_truth/stain/0.png", np.flipud(MARK).copy())
    changed = data.load("folder", root=moved, image_size=32)
    assert changed[0].fingerprint == first[0].fingerprint
    assert changed[1].fingerprint != first[1].fingerprint
    (moved / "test/stain").rename(moved / "test/dirt")
    (moved / "ground_truth/stain").rename(moved / "ground_truth/dirt")
    renamed = data.load("folder", root=moved, image_size=32)
    assert renamed[1].fingerprint != changed[1].fingerprint


def test_select_takes_integers_and_bools_and_marks_the_choice(elpv):
    _, test = elpv
    some = test.select([3, 1])
    assert some.paths == (test.paths[3], test.paths[1])
    assert np.array_equal(some.images[0], test.images[3])
    assert some.fingerprint != test.fingerprint
    assert test.select(np.arange(len(test))).fingerprint == test.fingerprint
    assert test.select(test.labels == 1).labels.all()
    assert len(test.select([])) == 0
    with pytest.raises(IndexError):
        test.select([len(test)])
    with pytest.raises(IndexError):
        test.select([True, False])
    with pytest.raises(IndexError):
        test.select([0.5])


def test_hold_out_draws_with_a_seed_and_seed_0_follows_the_names(elpv):
    train, _ = elpv
    assert data.hold_out(train, 0.2)[1].paths == train.paths[:48], "elpv is in that order already"
    held = [data.hold_out(train, 0.2, seed=seed)[1].paths for seed in (0, 1, 1, 2)]
    assert held[1] == held[2]
    assert len({*held}) == 3
    for bad in (-1, 0.5):
        with pytest.raises(ValueError, match="whole number from 0 up"):
            data.hold_out(train, 0.2, seed=bad)


def test_the_summary_says_what_a_notebook_works_on(elpv):
    train, test = elpv
    fit, calibration = data.hold_out(train, 0.2)
    assert data.summary(fit, calibration, test).splitlines() == [
        "elpv/mono: 192 to fit, 48 for the threshold",
        "test: 100 good, 100 defective, 15 crack, 15 scratch, 15 stain, 15 finger_interruption",
        test.license,
    ]


def test_the_books_own_data_prints_nothing(capsys):
    data.load("textures", image_size=32)
    assert capsys.readouterr() == ("", "")


def test_hold_out_splits_the_same_way_every_time(elpv):
    train, _ = elpv
    rest, held = data.hold_out(train, 0.25)
    assert (len(rest), len(held)) == (180, 60)
    assert set(rest.paths) | set(held.paths) == set(train.paths)
    assert data.hold_out(train, 0.25)[1].fingerprint == held.fingerprint
    assert [len(s) for s in data.hold_out(train.select([0, 1]), 0.01)] == [1, 1]
    with pytest.raises(ValueError, match="between 0 and 1, found 1"):
        data.hold_out(train, 1)
    with pytest.raises(ValueError, match="two images at least are needed to split, found 1"):
        data.hold_out(train.select([0]), 0.5)


# --- folders ------------------------------------------------------------------------------------


def test_the_layout_of_mvtec_ad(layout):
    train, test = data.load("folder", root=layout, image_size=48)
    assert (len(train), test.types) == (6, ("good", "good", "broken", "broken", "stain"))
    assert test.has_mask.tolist() == [True, True, True, False, True]
    assert test.masks.any(axis=(1, 2)).tolist() == [False, False, True, False, True]
    assert test.paths[2] == "test/broken/0.png"
    rows, columns = np.nonzero(test.masks[2])
    assert (rows.min(), rows.max()) == (10, 19), "48 rows stay 48"
    assert columns.max() - columns.min() + 1 in (7, 8), "64 columns become 48"
    by_category = data.load("folder", "parts", root=layout.parent, image_size=48)
    assert by_category[1].fingerprint == test.fingerprint


@pytest.mark.parametrize("place", ["", "good", "train/good"])
def test_good_images_alone_are_enough(tmp_path, place):
    for i in range(11):
        save(tmp_path / place / f"{i:02d}.jpg", part(50 + 3 * i))
    train, test = data.load("folder", root=tmp_path, image_size=32)
    assert (len(train), len(test)) == (8, 3)
    assert [p.rsplit("/", 1)[-1] for p in test.paths] == ["00.jpg", "05.jpg", "10.jpg"]
    assert not test.labels.any()
    assert test.has_mask.all()


def test_good_beside_folders_of_defects(tmp_path):
    for i in range(10):
        save(tmp_path / f"good/{i}.png", part(50 + i))
    save(tmp_path / "불량/1.png", part(90))
    save(tmp_path / "ground_truth/불량/1_mask.png", MARK)
    train, test = data.load("folder", root=tmp_path, image_size=32)
    assert (len(train), test.types) == (8, ("good", "good", "불량"))
    assert test.has_mask.all()


def test_hangul_and_spaces_in_paths_also_decomposed_ones(tmp_path):
    root = tmp_path / "결함 사진"
    for i in range(6):
        save(root / f"train/good/정상 {i}.png", part(60 + i))
    save(root / "test/불량 종류/불량 1.png", part(90))
    decomposed = unicodedata.normalize("NFD", "불량 1_mask.png")
    save(root / "ground_truth/불량 종류" / decomposed, MARK)
    train, test = data.load("folder", root=root, image_size=32)
    assert train.name == "folder/결함 사진"
    assert test.types == ("good", "good", "불량 종류")
    assert test.paths[-1] == "test/불량 종류/불량 1.png"
    assert test.masks[-1].any()


def test_mixed_sizes_formats_and_modes_become_one_array(tmp_path):
    grey = part(60)
    rgb = np.stack([grey, grey + 10, grey + 20], axis=2)
    save(tmp_path / "a.PNG", grey, format="PNG")
    save(tmp_path / "b.jpeg", rgb, quality=95)
    save(tmp_path / "c.bmp", rgb[::2].copy())
    save(tmp_path / "d.tif", grey[:, ::2].copy())
    save(tmp_path / "e.tiff", grey.astype(np.uint16) * 257)
    save(tmp_path / "f.png", Image.fromarray(rgb).convert("RGBA"))
    save(tmp_path / "g.png", Image.fromarray(grey).convert("P"))
    (tmp_path / "._a.png").write_bytes(b"a file that some systems leave behind")
    (tmp_path / "notes.txt").write_text("not an image", encoding="utf-8")
    train, test = data.load("folder", root=tmp_path, image_size=32)
    images = dict(zip(train.paths + test.paths, [*train.images, *test.images], strict=True))
    assert len(images) == 7
    for name in ("d.tif", "e.tiff", "g.png"):
        difference = images["a.PNG"].astype(int) - images[name]
        assert np.abs(difference).max() <= 3, name


# --- one image ----------------------------------------------------------------------------------


def test_read_image_gives_three_channels_of_8_bits(tmp_path):
    grey = part(60)
    read = data.read_image(save(tmp_path / "grey.png", grey))
    assert read.dtype == np.uint8
    assert np.array_equal(read, np.stack([grey] * 3, axis=2))


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a right angle
    path = save(tmp_path / "turned.png", part(60), exif=exif)
    assert np.array_equal(data.read_image(path)[..., 0], np.rot90(part(60), k=-1))


def test_transparency_is_laid_on_black(tmp_path):
    pixels = np.full((8, 8, 4), 200, np.uint8)
    pixels[..., 3] = 255
    pixels[:4, :, 3] = 0
    read = data.read_image(save(tmp_path / "clear.png", pixels))
    assert (read[:4] == 0).all()
    assert (read[4:] == 200).all()


def test_a_palette_is_resolved(tmp_path):
    image = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) % 2).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 0])
    read = data.read_image(save(tmp_path / "palette.png", image))
    assert read[0, 0].tolist() == [10, 20, 30]
    assert read[0, 1].tolist() == [200, 100, 0]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_images_are_scaled_by_the_depth_of_the_camera(tmp_path, bits):
    values = np.array([[0, 2**bits - 1], [2 ** (bits - 1), 1]], np.uint16)
    read = data.read_image(save(tmp_path / "deep.png", values))[..., 0]
    assert read[0].tolist() == [0, 255]
    assert read[1, 0] == 128


def test_16_bit_images_of_one_folder_stay_comparable(tmp_path):
    for i, value in enumerate((300, 1000, 4000, 3000, 2000, 500)):
        save(tmp_path / f"{i}.png", np.full((32, 32), value, np.uint16))
    train, test = data.load("folder", root=tmp_path, image_size=32)
    values = [int(test.images[0].max()), *(int(image.max()) for image in train.images)]
    assert values == [19, 62, 249, 187, 125], "12 bits for all: the brightest needs them"


# --- what is wrong ------------------------------------------------------------------------------


def refused(error, message, *args, **options):
    with pytest.raises(error, match=message):
        data.load(*args, **options)


def test_unknown_names_are_refused_with_the_nearest_known():
    refused(ValueError, "unknown dataset: 'evlp'; did you mean 'elpv'", "evlp")
    refused(ValueError, "unknown dataset: 'MVTEC'; did you mean 'mvtec'", "MVTEC")
    refused(ValueError, "unknown category of elpv: 'poli'; did you mean 'poly'", "elpv", "poli")
    refused(
        ValueError, "unknown category of mvtec: 'bottel'; did you mean 'bottle'", "mvtec", "bottel"
    )
    refused(ValueError, "unknown subset: 'fast'; known: quick, all", subset="fast")
    refused(ValueError, "image_size must be an integer of at least 32, found 8", image_size=8)
    refused(ValueError, r"comes with pip and takes no root=", "elpv", root="somewhere")
    refused(ValueError, "unknown dataset: 'visaa'; did you mean 'visa'", "visaa")


def test_a_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda _: None)
    refused(ModuleNotFoundError, "python -m pip install elpv-dataset")


def test_missing_and_empty_folders(tmp_path):
    refused(ValueError, "needs root=", "folder")
    refused(FileNotFoundError, "there is no folder .*nowhere", "folder", root=tmp_path / "nowhere")
    refused(FileNotFoundError, "Found: an empty folder", "folder", root=tmp_path)
    (tmp_path / "a.heic").write_bytes(b"x")
    refused(
        FileNotFoundError,
        r"holds no images that Pillow can read.*Found: \./\*\.heic",
        "folder",
        root=tmp_path,
    )


def test_no_normal_images(tmp_path):
    save(tmp_path / "test/broken/0.png", part(90))
    refused(ValueError, r"holds 0 good images.*Found: test/broken/\*\.png", "folder", root=tmp_path)
    save(tmp_path / "train/good/0.png", part(90))
    refused(ValueError, "holds 1 good image to train on; at least 6", "folder", root=tmp_path)


def test_defects_among_the_training_images(layout):
    save(layout / "train/broken/0.png", part(90))
    refused(ValueError, "train holds broken beside good", "folder", root=layout)


@pytest.mark.parametrize("place", ["train", "test"])
def test_images_without_a_known_label(layout, place):
    save(layout / place / "0.png", part(90))
    refused(ValueError, f"{place} holds images directly; sort them", "folder", root=layout)


def test_a_folder_of_categories_needs_a_choice(layout):
    refused(ValueError, "choose one of parts", "folder", root=layout.parent)
    refused(
        ValueError,
        "unknown category in .*'part'; did you mean 'parts'",
        "folder",
        "part",
        root=layout.parent,
    )


def test_a_mask_of_another_size(layout):
    save(layout / "ground_truth/broken/0_mask.png", MARK.T.copy())
    refused(
        ValueError,
        "0_mask.png is 48 x 64 pixels, its image .*0.png is 64 x 48",
        "folder",
        root=layout,
    )


@pytest.mark.parametrize("name", ["broken/7_mask.png", "hole/0_mask.png"])
def test_a_mask_without_image(layout, name):
    save(layout / "ground_truth" / name, MARK)
    refused(ValueError, "_mask.png belongs to no image", "folder", root=layout)


def test_a_mask_that_is_not_binary(layout):
    blurred = MARK.copy()
    blurred[9, 30:40] = 100
    save(layout / "ground_truth/broken/0_mask.png", blurred)
    refused(ValueError, r"not binary: it has 3 values \(0, 100, 255\)", "folder", root=layout)


@pytest.mark.parametrize(
    "mask",
    [MARK // 255, MARK // 2, MARK > 0, MARK.astype(np.uint16) * 257, np.stack([MARK] * 3, axis=2)],
    ids=["0 and 1", "0 and 127", "one bit", "16 bits", "colour"],
)
def test_every_way_to_write_a_binary_mask_is_read(layout, mask):
    save(layout / "ground_truth/broken/0_mask.png", mask)
    _, test = data.load("folder", root=layout, image_size=48)
    assert test.masks[2].sum() in (70, 80)


def test_a_mask_that_marks_a_normal_image(layout):
    save(layout / "ground_truth/good/0_mask.png", MARK)
    refused(ValueError, "marks 100 pixels of .*good.0.png, a normal image", "folder", root=layout)


def test_a_mask_that_marks_nothing_counts_as_none_and_is_told(layout, capsys):
    save(layout / "ground_truth/broken/0_mask.png", MARK * 0)
    _, test = data.load("folder", root=layout, image_size=32)
    told = capsys.readouterr().out
    assert "the mask marks no pixel and counts as none: test/broken/0.png" in told
    assert not test.has_mask[2]


def test_a_thin_defect_does_not_vanish_when_its_mask_shrinks(layout):
    large = np.zeros((480, 640), np.uint8)
    large[101, 50:600] = 255
    save(layout / "test/broken/0.png", part(20, (480, 640)))
    save(layout / "ground_truth/broken/0_mask.png", large)
    _, test = data.load("folder", root=layout, image_size=32)
    assert test.has_mask[2]
    assert test.masks[2].sum() >= 27


def test_images_that_share_a_name_leave_open_whose_the_mask_is(layout):
    save(layout / "test/broken/0.jpg", part(90))
    refused(ValueError, "differ in their suffix only", "folder", root=layout)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("damage", ["cut off", "garbage", "empty"])
def test_damaged_images_are_named(layout, suffix, damage):
    path = save(layout / f"train/good/사진 9{suffix}", part(60))
    whole = path.read_bytes()
    content = {"cut off": whole[: len(whole) // 2], "garbage": b"no image" * 40, "empty": b""}
    path.write_bytes(content[damage])
    refused(ValueError, f"사진 9{suffix} cannot be read as an image", "folder", root=layout)
    with pytest.raises(ValueError, match="cannot be read as an image"):
        data.read_image(path)


def test_values_without_a_natural_scale(tmp_path):
    path = save(tmp_path / "height.tif", np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8))
    with pytest.raises(ValueError, match="float32 values from -1 to 1"):
        data.read_image(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        data.read_image(tmp_path / "missing.png")
