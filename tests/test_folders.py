"""Folders as people have them: every file is used, named as left out, or refused.

A folder is written here as one line: ``train/good*6`` are six photographs 000.png … 005.png in it,
``good*6OK_|`` are OK_000.png …, ``ground_truth/crack*3_mask`` are masks 000_mask.png …; ``+``
stands for a space in a folder's name.
"""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers import data, folders

SIDE = 32
RNG = np.random.default_rng(0)


def photograph(size=(SIDE, SIDE)):
    return RNG.integers(60, 200, (*size, 3)).astype(np.uint8)


def mask(size=(SIDE, SIDE)):
    pixels = np.zeros(size, np.uint8)
    pixels[5:12, 6:14] = 255
    return pixels


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def grow(root, line):
    """Write the folder that `line` describes."""
    for word in line.split():
        folder, _, rest = word.replace("+", " ").partition("*")
        count, name = re.fullmatch(r"(\d+)(.*)", rest).groups()
        before, _, after = name.rpartition("|")
        marks = any(w in (folder + name).casefold() for w in MASK_WORDS)
        for i in range(int(count)):
            save(root / folder / f"{before}{i:03d}{after}.png", mask() if marks else photograph())
    return root


def words(text):
    return text.split()


MASK_WORDS = ("mask", "ground", "gt", "label", "annotation", "segmentation", "마스크", "정답")


@pytest.fixture
def tree(tmp_path):
    """Write a folder called bolts."""
    return lambda line: grow(tmp_path / "bolts", line)


def look(root, **options):
    """What a folder is taken for: images to train on, kinds to test on, masks."""
    train, test = data.load("folder", root=root, image_size=SIDE, **options)
    kinds = {kind: test.types.count(kind) for kind in test.types}
    return len(train), kinds, int((test.has_mask & (test.labels == 1)).sum())


def refused(root, message, error=ValueError, **options):
    with pytest.raises(error, match=message):
        look(root, **options)


BASE = "train/good*5 test/good*2 test/crack*3"
USUAL = (5, {"good": 2, "crack": 3}, 0)
MASKED = (5, {"good": 2, "crack": 3}, 3)


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "good",
    words(
        "good Good GOOD ok OK Ok normal nominal pass PASSED goods 01_good Good-1 good+images "
        "GoodParts 정상 양품 합격 OK품 정상품 양품+사진 정상이미지 1.양품 이상없음 "
        "무결함 no_defect defect-free non-defective ＯＫ"
    ),
)
def test_words_for_good_are_never_defects(tree, good):
    assert look(tree(f"train/{good}*5 test/{good}*2 test/crack*3")) == USUAL


@pytest.mark.parametrize(
    "bad",
    words("bad NG defect Defects anomaly fail not_ok NOK 불량 결함 이상 불합격 비정상 불량품"),
)
def test_a_folder_of_defects_is_one_kind_or_holds_the_kinds(tree, bad, tmp_path):
    assert look(tree(f"good*6 {bad}*3")) == (4, {"good": 2, bad: 3}, 0)
    deeper = grow(tmp_path / "deeper", f"good*6 {bad}/crack*3 {bad}/hole*2")
    assert look(deeper) == (4, {"good": 2, "crack": 3, "hole": 2}, 0)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "TEST"),
        ("training", "testing"),
        ("학습", "테스트"),
        ("훈련", "검사"),
        ("학습데이터", "테스트+데이터"),
        ("1_train", "2_test"),
    ],
)
def test_words_for_train_and_test(tree, train, test):
    assert look(tree(f"{train}/good*5 {test}/good*2 {test}/crack*3")) == USUAL


@pytest.mark.parametrize(
    "masks",
    words(
        "ground_truth GroundTruth gt mask Masks label labels annotations segmentation 마스크 정답"
    ),
)
def test_words_for_masks_are_never_defects(tree, masks):
    assert look(tree(f"good*6 crack*3 {masks}/crack*3")) == (4, {"good": 2, "crack": 3}, 3)


@pytest.mark.parametrize(
    "name",
    [
        "nomal",
        "positive",
        "negative",
        "0",
        "unknown",
        "원본",
        "새+폴더",
        "가성불량",
        "과검",
        "ok_thin",
        "ok_crack_ng2",
    ],
)
def test_names_that_say_too_little_are_refused(tree, name):
    refused(
        tree(f"train/good*5 test/{name}*2 test/crack*3"),
        "call the folder otherwise|good and something else",
    )


def test_good_and_defective_in_one_path_is_refused(tree):
    refused(tree("good*6 good/NG*2"), "both good and defective in its path")


def test_numbers_beside_good_are_kinds_of_defects(tree):
    assert look(tree("train/good*5 test/good*2 test/1*2 test/2*2"))[1] == {
        "good": 2,
        "1": 2,
        "2": 2,
    }


# --- where the images lie -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("*6", (4, {"good": 2}, 0)),
        ("images*6", (4, {"good": 2}, 0)),
        ("*6 defects*2", (4, {"good": 2, "defects": 2}, 0)),
        ("*6 불량/찍힘*2", (4, {"good": 2, "찍힘": 2}, 0)),
        ("good*6 crack*3", (4, {"good": 2, "crack": 3}, 0)),
        ("train_good*5 test_good*2 test_crack*3", USUAL),
        ("train/normal*5 test/normal*2 test/crack*3", USUAL),
        ("train*5 test/good*2 test/crack*3", USUAL),
        ("train/good*5 NG/crack*3 test/good*2", USUAL),
        ("train/good/rgb*5 test/good/rgb*2 test/crack/rgb*3", USUAL),
        ("data/train/good*5 data/test/good*2 data/test/crack*3", USUAL),
        ("Data/Images/Normal*6 Data/Images/Anomaly*3", (4, {"good": 2, "Anomaly": 3}, 0)),
        ("good/2024-05-01*3 good/2024-05-02*3 NG/2024-05-01*2", (4, {"good": 2, "NG": 2}, 0)),
        ("양품_1라인*3 양품_2라인*3 불량_1라인*2", (4, {"good": 2, "불량_1라인": 2}, 0)),
    ],
)
def test_layouts_that_are_understood(tree, line, seen):
    assert look(tree(line)) == seen


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("*6 crack*2", "lies beside images directly in .*put the good ones into good/"),
        (f"{BASE} 참고*2", "lies beside train or test"),
        ("train/good*5 train/NG*2 test/good*2", "train holds NG beside good; sort them into"),
        ("train/good*5 test*4", "test holds images directly; sort them"),
        ("crack*6 hole*6", "choose one of crack, hole as category .*-r category NAME"),
        ("good*6 thresh*3_mask", "called like a mask or a result, but does not lie beside"),
    ],
)
def test_layouts_that_are_refused(tree, line, message):
    refused(tree(line), message)


def test_flat_images_that_are_called_defective_are_not_good(tree):
    refused(tree("*6OK_| *3NG_|"), r"NG_000\.png.* is called defective, but lies among the good")


def test_file_names_that_contradict_their_folder_are_told(tree, capsys):
    look(tree("good*6 good*1NG_|"))
    assert "bad by the file's name, not by the folder's: good/NG_000.png" in capsys.readouterr().out


def test_validation_is_the_test_where_there_is_no_other(tree, capsys):
    assert look(tree("train/good*5 val/good*2 val/crack*3")) == USUAL
    assert "validation: taken as the test" in capsys.readouterr().out


def test_beside_a_test_the_good_images_of_validation_join_train(tree, capsys):
    line = "train/good*5 검증/good*2 검증/crack*1 test/good*2 test/crack*3"
    assert look(tree(line)) == (7, {"good": 2, "crack": 4}, 0)
    assert "validation: its good images join train" in capsys.readouterr().out


# --- products and numbers -----------------------------------------------------------------------


def test_a_whole_number_stands_for_the_one_folder_so_called(tmp_path):
    grow(tmp_path / "007", "good*6")
    grow(tmp_path / "4711", "good*7")
    assert look(tmp_path, category=4711)[0] == 5
    assert look(tmp_path, category=7)[0] == 4, "papermill makes 7 of 007"
    assert look(tmp_path, category="007")[0] == 4
    grow(tmp_path / "7", "good*8")
    refused(tmp_path, "fits 2 folders of 007, 4711, 7; .*-r category 007", category=7)
    refused(tmp_path, "fits 0 folders of 007, 4711, 7", category=9)
    for odd in (1.5, True):
        refused(tmp_path, f"category must be text, found {odd}", category=odd)


def test_a_number_as_root_too(tmp_path, monkeypatch):
    grow(tmp_path / "0815", "good*6")
    monkeypatch.chdir(tmp_path)
    assert look(815)[0] == 4
    refused(816, "root must be text, found 816, .*-r root 007")


def test_a_relative_root_is_named_with_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = rf"no folder {tmp_path}/bolts: .*bolts was looked for in {tmp_path}"
    refused("bolts", message, FileNotFoundError)
    (tmp_path / "bolts").write_bytes(b"PK")
    refused("bolts", "it is a file; .*unpacked", FileNotFoundError)


def test_a_kind_of_defect_is_no_category(tree):
    refused(tree("good*6 crack*6"), "leave category out", category="crack")


def test_products_are_never_mixed(tmp_path):
    for product in ("M6", "M8"):
        grow(tmp_path / "bolts" / product, BASE)
    refused(tmp_path / "bolts", "choose one of M6, M8")
    refused(tmp_path, "choose one of M6, M8", category="bolts")
    assert look(tmp_path / "bolts", category="M6") == USUAL


# --- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "masks",
    [
        "ground_truth/crack*3_mask",
        "ground_truth/test/crack*3",
        "ground_truth*3",
        "masks/crack*3",
        "gt_crack*3",
        "crack_mask*3",
        "test/crack*3_mask",
        "test/crack*3_gt",
        "test/crack*3_label",
        "test/crack*3mask_|",
        "test/crack/masks*3",
        "test/crack_mask*3_mask",
        "gt/crack*3.png",
    ],
)
def test_places_of_masks(tree, masks):
    assert look(tree(f"{BASE} {masks}")) == MASKED


def test_a_folder_of_masks_for_each_image_is_united(tree):
    root = tree(BASE)
    for i in range(3):
        for part, rows in enumerate((slice(2, 6), slice(20, 24))):
            pixels = np.zeros((SIDE, SIDE), np.uint8)
            pixels[rows, 4:8] = 100 + part
            save(root / f"ground_truth/crack/{i:03d}/{part:03d}.png", pixels)
    _, test = data.load("folder", root=root, image_size=SIDE)
    assert test.masks.sum(axis=(1, 2)).tolist() == [0, 0, 32, 32, 32]


def test_masks_that_are_missing_are_named(tree, capsys):
    assert look(tree(f"{BASE} ground_truth/crack*1_mask"))[2] == 1
    line = "masks: for 1 of 3 defective images; without: test/crack/001.png, test/crack/002.png"
    assert line in capsys.readouterr().out


def test_a_mask_that_may_belong_to_two_images_is_refused(tree):
    root = tree(f"{BASE} test/hole*3 ground_truth*1_mask")
    refused(root, "may belong to test/crack/000.png, test/hole/000.png")


def test_a_folder_called_label_that_holds_no_masks_is_refused(tree):
    refused(tree("good*6 label_missing*3"), "belongs to no image.*leave mask, label and gt out")


def test_a_product_may_be_called_mask(tree):
    assert look(tree("good*6mask_| tear*2mask_|")) == (4, {"good": 2, "tear": 2}, 0)


def test_masks_in_the_raw_orientation_of_a_turned_image(tree):
    root = tree(BASE)
    turned = Image.Exif()
    turned[0x0112] = 6
    for i in range(3):
        save(root / f"test/crack/{i:03d}.png", photograph((24, 40)), exif=turned)
        save(root / f"ground_truth/crack/{i:03d}.png", mask((24, 40)))
    refused(root, r"(?s)3 files cannot be used.*before its EXIF orientation is applied")


def test_a_turn_that_the_size_does_not_show_is_told_once(tree, capsys):
    root = tree(f"{BASE} ground_truth/crack*3")
    turned = Image.Exif()
    turned[0x0112] = 3
    for i in range(3):
        save(root / f"test/crack/{i:03d}.png", photograph(), exif=turned)
    assert look(root) == MASKED
    assert capsys.readouterr().out.count("turned by EXIF, and the size cannot tell") == 1


# --- what is left out ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    words(
        "results Output heatmap+images overlays predictions_padim 결과 검사결과 히트맵 backup "
        "tmp thumbnails 제외"
    ),
)
def test_results_are_never_defects(tree, name, capsys):
    assert look(tree(f"{BASE} {name}*3 test/{name}*3")) == USUAL
    assert "left out, results, copies or set aside by their name: 6 .png" in capsys.readouterr().out


def test_drawings_beside_their_images_are_left_out(tree, capsys):
    assert look(tree(f"{BASE} test/crack*3_heatmap test/good*2_result")) == USUAL
    assert "left out, results" in capsys.readouterr().out


def test_the_account_is_complete_and_in_a_fixed_order(tree, capsys):
    root = tree(f"{BASE} ground_truth/crack*3_mask")
    for name in ("a.csv", "train/good/b.json", "train/good/c.heic", "test/good/Thumbs.db", ".x"):
        (root / name).write_bytes(b"x")
    save(root / "@eaDir/small.png", photograph())
    save(root / "overview.png", photograph())
    (root / "test/hole").mkdir()
    look(root)
    assert capsys.readouterr() == (
        f"""{root}:
  train: 5 good, from train/good/
  test: 2 good, 3 crack, from test/good/, test/crack/
  masks: for 3 of 3 defective images
  left out, hidden or system files: 3
  left out, no images: 1 .csv, 1 .json (a.csv, train/good/b.json)
  left out, not readable with Pillow here, convert to PNG: 1 .heic (train/good/c.heic)
  left out, empty folders: test/hole
  left out, directly in it beside folders that give labels: 1 .png (overview.png)
""",
        "",
    )


def test_every_type_that_pillow_reads_is_read(tmp_path):
    for i, suffix in enumerate(words("webp jfif gif ppm tga bmp jpe jp2 tiff PNG")):
        save(tmp_path / f"good/{i}.{suffix}", photograph())
    save(tmp_path / "good/grey.pgm", photograph()[..., 0])
    assert look(tmp_path) == (8, {"good": 3}, 0)
    assert {".heic", ".pdf", ".npy", ".eps", ".pcd"}.isdisjoint(folders.suffixes())


def test_links_are_followed_once(tree, tmp_path):
    grow(tmp_path / "elsewhere", "*5")
    root = tree("test/good*2 test/crack*3")
    (root / "train").mkdir()
    (root / "train/good").symlink_to(tmp_path / "elsewhere")
    (root / "test/loop").symlink_to(root)
    assert look(root) == USUAL


# --- numbers of images --------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(1, 8))
def test_six_good_images_are_needed_or_four_beside_a_test(tmp_path, count):
    few = "at least 6 good images are needed, or 4 beside a test folder with 2 images"
    for name, line, least in (
        ("alone", f"good*{count}", 6),
        ("flat", f"*{count}", 6),
        ("defects", f"good*{count} crack*3", 6),
        ("test", f"train/good*{count} test/good*1 test/crack*1", 4),
    ):
        root = grow(tmp_path / name, line)
        if count < least:
            refused(root, few)
        else:
            train, test = data.load("folder", root=root, image_size=SIDE)
            fit, calibration = data.hold_out(train, 0.2)
            assert len(fit) >= 3
            assert len(calibration) >= 1
            assert len(test) >= 2


# --- the images themselves ----------------------------------------------------------------------


def test_damaged_files_are_named_all_at_once(tree):
    root = tree(f"{BASE} ground_truth/crack*3_mask")
    damaged = ["train/good/001.png", "test/crack/002.png", "ground_truth/crack/000_mask.png"]
    for i, name in enumerate(damaged):
        whole = (root / name).read_bytes()
        (root / name).write_bytes((b"", b"no image", whole[: len(whole) // 2])[i])
    with pytest.raises(ValueError, match="3 files cannot be used") as caught:
        look(root)
    for name in damaged:
        assert f"{root / name} cannot be read as an image" in str(caught.value)
    assert "BytesIO" not in str(caught.value)


def deep(root, folder, count, low, high, hot=None):
    for i in range(count):
        pixels = RNG.integers(low, high, (SIDE, SIDE)).astype(np.uint16)
        if hot is not None:
            pixels[3, 3] = hot
        save(root / folder / f"{i:03d}.png", pixels)


def test_thermal_images_keep_their_grey_levels(tmp_path, capsys):
    deep(tmp_path, "train/good", 4, 51241, 52181)
    deep(tmp_path, "test/good", 2, 51241, 52181)
    train, test = data.load("folder", root=tmp_path, image_size=SIDE)
    assert all(len(np.unique(image)) > 100 for image in (*train.images, *test.images))
    told = r"6 images of 16 bits: 507\d\d to 526\d\d become 0 to 255, from the training images"
    assert re.search(told, capsys.readouterr().out)


@pytest.mark.parametrize("span", [(51241, 52181), (100, 3000)], ids=["thermal", "12 bits"])
def test_a_hot_pixel_in_a_test_image_changes_nothing_in_training(tmp_path, span):
    deep(tmp_path, "train/good", 4, *span)
    deep(tmp_path, "test/good", 2, *span)
    before, _ = data.load("folder", root=tmp_path, image_size=SIDE)
    deep(tmp_path, "test/good", 2, *span, hot=65535)
    after, test = data.load("folder", root=tmp_path, image_size=SIDE)
    assert np.array_equal(before.images, after.images)
    assert test.images[0].max() == 255


def test_a_hot_pixel_in_one_of_many_training_images_does_not_set_the_scale(tmp_path, capsys):
    deep(tmp_path, "good", 15, 100, 4000)
    deep(tmp_path, "good", 2, 100, 4000, hot=65535)
    look(tmp_path)
    assert "0 to 4095 become 0 to 255" in capsys.readouterr().out


def notes(root, capsys):
    look(root)
    return [
        line[8:] for line in capsys.readouterr().out.splitlines() if line.startswith("  note: ")
    ]


def test_nothing_is_noted_of_usual_images(tree, capsys):
    assert notes(tree(f"{BASE} ground_truth/crack*3"), capsys) == []


def test_constant_images_and_few_levels_are_noted(tree, capsys):
    root = tree(BASE)
    save(root / "train/good/001.png", np.full((SIDE, SIDE), 9, np.uint8))
    save(root / "train/good/002.png", photograph() // 128 * 128)
    assert notes(root, capsys) == [
        "one colour everywhere: train/good/001.png",
        "fewer than 16 levels of grey: train/good/002.png",
    ]


def test_identical_images_are_noted(tree, capsys):
    root = tree(BASE)
    for copy, original in (
        ("train/good/003.png", "train/good/000.png"),
        ("test/good/000.png", "train/good/001.png"),
        ("test/crack/002.png", "test/crack/000.png"),
    ):
        shutil.copy(root / original, root / copy)
    assert notes(root, capsys) == [
        "the same image among the training images: train/good/003.png = train/good/000.png",
        "the same image in train and in test, which makes the result too good: "
        "test/good/000.png = train/good/001.png",
        "the same image among the test images: test/crack/002.png = test/crack/000.png",
    ]


def test_many_files_of_one_note_are_counted(tree, capsys):
    root = tree("good*12")
    for i in range(1, 12):
        shutil.copy(root / "good/000.png", root / f"good/{i:03d}.png")
    (training,) = (n for n in notes(root, capsys) if "among the training images" in n)
    assert training.count("=") == 3
    assert training.endswith(" and 5 more")


def test_masks_that_mark_nothing_or_nearly_all_are_noted(tree, capsys):
    root = tree(f"{BASE} ground_truth/crack*3")
    save(root / "ground_truth/crack/000.png", mask() * 0)
    save(root / "ground_truth/crack/001.png", 255 - mask())
    assert notes(root, capsys) == [
        "the mask marks no pixel and counts as none: test/crack/000.png",
        "the mask marks over half the image; 0 must be normal: test/crack/001.png",
    ]


def test_only_the_first_of_several_pages_is_read(tree, capsys):
    root = tree("good*6")
    pages = [Image.fromarray(photograph()) for _ in range(2)]
    pages[0].save(root / "good/pages.tif", save_all=True, append_images=pages[1:])
    assert notes(root, capsys) == ["of several pages only the first is read: good/pages.tif"]
