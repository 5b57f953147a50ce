"""Every notebook on a reader's own folder: with good images only, and without masks.

With masks one notebook runs through papermill and a real kernel; the other runs are forked
(`forked.py`) and train for a few steps only, for what they show is no result.
"""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import records
import run
import stored
from forked import execute
from PIL import Image, ImageDraw
from stored import method_id

IMAGE_METRICS = {"image_auroc", "image_ap", "image_f1_max"}
PIXEL_METRICS = {"pixel_auroc", "pixel_ap", "aupro", "aupro_anomalous"}
PATHS = stored.find()
SIZES = ((96, 96), (120, 90), (80, 128))
#: Parameters that say how long a method is trained and on how much that is no image of the reader:
#: what their names are like, and the least value that still runs.
LEAST = {r"(?:\w+_)?(?:epochs|steps|iterations)": 2, r"(?:\w+_)?count": 40}
pytestmark = pytest.mark.runs


def plate(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A brushed metal plate: horizontal streaks, uneven light, RGB."""
    width, height = size
    streaks = rng.normal(128, 12, (height, 1, 1)) + np.linspace(-15, 15, width)[None, :, None]
    noise = rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(streaks + noise, 0, 255).astype(np.uint8))


def write_plates(root: Path, *, good: int = 14, masks: bool = True, defects: bool = True) -> Path:
    """A folder in MVTec AD layout, of images of mixed sizes, with Hangul and spaces in its path."""
    rng = np.random.default_rng(0)
    root = root / "내 이미지 1"
    kinds = [("train/good", good)] + ([("test/good", 5), ("test/긁힘", 5)] if defects else [])
    for folder, count in kinds:
        (root / folder).mkdir(parents=True)
        for i in range(count):
            size = SIZES[i % len(SIZES)]
            image = plate(rng, size)
            if folder.endswith("긁힘"):
                mask = Image.new("L", size)
                line = [(10 + i, 20), (size[0] - 15, size[1] - 25 - i)]
                ImageDraw.Draw(mask).line(line, fill=255, width=4)
                image.paste((240, 240, 235), mask=mask)
                if masks:
                    target = root / "ground_truth" / "긁힘" / f"{i:02d}_mask.png"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    mask.save(target)
            image.save(root / folder / f"{i:02d}.png")
    return root


def own(path: Path, root: Path, **settings) -> dict:
    """The parameters for images in `root`, with as little training as a method can do."""
    names = stored.parameters(stored.read(path))
    short = {x: n for like, n in LEAST.items() for x in names if re.fullmatch(like, x)}
    return {"dataset": "folder", "root": str(root), "image_size": 128, **short, **settings}


def scores(folder: Path) -> list[dict[str, str]]:
    """The rows of the table that a run has written."""
    (table,) = folder.glob("*_scores.csv")
    with table.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def quickest() -> Path:
    """Of the notebooks with a backbone and maps the one whose stored run took least time."""
    results = {path: records.report(records.pieces(path)) for path in PATHS}
    paths = [
        path
        for path, result in results.items()
        if result and "pixel_auroc" in result["metrics"] and "backbones" in path.read_text("utf-8")
    ]
    return min(paths, key=lambda path: results[path]["seconds"])


@pytest.fixture(params=PATHS, ids=method_id)
def path(request) -> Path:
    return request.param


def test_with_good_images_only_there_are_scores_and_a_threshold(path, tmp_path):
    root = write_plates(tmp_path, defects=False, good=20)
    ran = execute(path, own(path, root), cwd=tmp_path)
    assert ran.stderr == ""
    (record,) = ran.records("report")
    assert record["metrics"] == {}
    assert set(record["missing"]) == IMAGE_METRICS | PIXEL_METRICS
    assert "not available" in ran.text
    assert "no expectation for these settings" in ran.text
    rows = scores(tmp_path)
    assert len(rows) == 4  # every fifth of twenty is held back for the test
    assert all(np.isfinite(float(row["score"])) for row in rows)
    assert record["threshold"] is not None


def test_without_masks_and_with_another_backbone_it_says_what_is_missing(path, tmp_path):
    has_backbone = "backbones" in path.read_text(encoding="utf-8")
    other = {"backbone": "random:resnet18"} if has_backbone else {}
    ran = execute(path, own(path, write_plates(tmp_path, masks=False), **other), cwd=tmp_path)
    assert ran.stderr == ""
    (record,) = ran.records("report")
    assert set(record["metrics"]) == IMAGE_METRICS
    assert set(record["missing"]) == PIXEL_METRICS
    assert "not available" in ran.text
    assert len(scores(tmp_path)) == 10
    if has_backbone:
        assert record["weights"] == "random"
        assert "weights are random" in ran.text


def test_with_masks_every_metric_is_there_in_a_real_kernel(tmp_path):
    path = quickest()
    settings = own(path, write_plates(tmp_path))
    executed = run.execute(path, settings=settings, cwd=tmp_path)
    assert [fault for fault in stored.faults(executed) if "stderr" in fault] == []
    (record,) = (piece for piece in records.pieces(executed) if piece["kind"] == "report")
    assert set(record["metrics"]) == IMAGE_METRICS | PIXEL_METRICS
    assert record["default"] is False
    rows = scores(tmp_path)
    assert len(rows) == 10
    assert {row["label"] for row in rows} == {"0", "1"}
    assert any("긁힘" in row["path"] for row in rows)
