"""Every notebook on a reader's own folder: with masks, without masks, with good images only."""

import csv
from pathlib import Path

import numpy as np
import pytest
import stored
from PIL import Image, ImageDraw
from run import execute
from stored import method_id

IMAGE_METRICS = {"image_auroc", "image_ap", "image_f1_max"}
PIXEL_METRICS = {"pixel_auroc", "pixel_ap", "aupro", "aupro_anomalous"}
SIZES = ((96, 96), (120, 90), (80, 128))
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


def run(path: Path, root: Path, folder: Path, **settings):
    """The executed notebook's report and printed text, and the rows of its CSV."""
    settings = {"dataset": "folder", "root": str(root), "image_size": 128, **settings}
    executed = execute(path, settings=settings, cwd=folder)
    (record,) = stored.pieces(executed, "report")
    printed = "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for _, cell in stored.code_cells(executed)
        for output in cell.outputs
    )
    (table,) = folder.glob("*_scores.csv")
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    stderr = [
        output.text
        for _, cell in stored.code_cells(executed)
        for output in cell.outputs
        if output.get("name") == "stderr"
    ]
    assert stderr == []
    return record, printed, rows


@pytest.fixture(params=stored.find(), ids=method_id)
def path(request) -> Path:
    return request.param


def test_with_masks_every_metric_is_there(path, tmp_path):
    record, printed, rows = run(path, write_plates(tmp_path), tmp_path)
    assert set(record["metrics"]) | set(record["missing"]) >= IMAGE_METRICS | PIXEL_METRICS
    assert set(record["metrics"]) >= IMAGE_METRICS
    assert record["default"] is False
    assert "no expectation for these settings" in printed
    assert len(rows) == 10
    assert {row["label"] for row in rows} == {"0", "1"}
    assert any("긁힘" in row["path"] for row in rows)


def test_without_masks_pixel_metrics_are_named_as_missing(path, tmp_path):
    record, printed, rows = run(path, write_plates(tmp_path, masks=False), tmp_path)
    assert set(record["metrics"]) == IMAGE_METRICS
    assert set(record["missing"]) == PIXEL_METRICS
    assert "not available" in printed
    assert len(rows) == 10


def test_with_good_images_only_there_are_scores_and_a_threshold(path, tmp_path):
    root = write_plates(tmp_path, defects=False, good=20)
    record, printed, rows = run(path, root, tmp_path)
    assert record["metrics"] == {}
    assert set(record["missing"]) == IMAGE_METRICS | PIXEL_METRICS
    assert "not available" in printed
    assert len(rows) == 4  # every fifth of twenty is held back for the test
    assert all(np.isfinite(float(row["score"])) for row in rows)
    assert record["threshold"] is not None


def test_with_another_backbone_and_random_weights_it_runs_and_says_so(path, tmp_path):
    if "backbones" not in path.read_text(encoding="utf-8"):
        pytest.skip("this method uses no backbone")
    root = write_plates(tmp_path, good=10)
    record, printed, _ = run(path, root, tmp_path, backbone="random:resnet18")
    assert record["weights"] == "random"
    assert "weights are random" in printed
