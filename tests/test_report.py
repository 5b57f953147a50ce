"""helpers.report: bands, verdicts, records and refusals."""

import csv
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

from helpers import report
from helpers.data import ImageSet
from helpers.metrics import Difference, Result

SETTINGS = {"dataset": "folder", "seed": 0, "device": "cpu", "budget": "quick", "ratio": 0.1}
EXPECT = {"settings": SETTINGS, "bands": {"image_auroc": (0.90, 0.96), "share": (0.496, 0.500)}}


@pytest.fixture(autouse=True)
def restore_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def four() -> ImageSet:
    """Four grey images, one of them anomalous, with a Hangul path."""
    return ImageSet(
        images=np.zeros((4, 8, 8, 3), np.uint8),
        labels=np.array([0, 0, 0, 1]),
        masks=np.zeros((4, 8, 8), bool),
        has_mask=np.array([True, True, True, False]),
        rendered=np.zeros(4, bool),
        types=("good", "good", "good", "불량"),
        paths=("a.png", "b.png", "c.png", "결함 사진/불량 1.png"),
        name="folder/plates",
        license="the reader's own",
        fingerprint="0123456789ab",
    )


def start(**changes):
    return report.start("memory_bank/patchcore", settings=SETTINGS | changes, expect=EXPECT)


def test_a_number_inside_its_band_is_printed_with_the_digits_that_the_band_justifies(capsys):
    run = start()
    capsys.readouterr()
    run.measure("share", 0.4987)  # half the band is 0.002: three digits
    run.measure("image_auroc", 0.93219)  # half the band is 0.03: two digits
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(".  0.499  [0.496, 0.500]  in band")
    assert second.endswith(".  0.93  [0.900, 0.960]  in band")


def test_a_number_outside_its_band_is_called_out_and_still_printed(capsys):
    start().measure("image_auroc", 0.80)
    assert "0.80  [0.900, 0.960]  OUT OF BAND" in capsys.readouterr().out


def test_other_settings_have_no_expectation(capsys):
    run = start(ratio=0.2)
    run.measure("image_auroc", 0.1)
    assert capsys.readouterr().out.endswith("0.100  [no expectation for these settings]\n")


def test_the_device_is_no_setting_of_the_method(capsys):
    start(device="auto")
    assert "settings: the defaults" in capsys.readouterr().out


def test_a_share_remembers_of_how_many_it_is(capsys, monkeypatch):
    run, pieces = start(), []
    monkeypatch.setattr(report, "_publish", lambda line, piece: pieces.append((line, piece)))
    run.share("share", np.array([True, False]))
    run.share("nobody", np.zeros(0, bool))
    (line, two), (nothing, none) = pieces
    assert (two["kind"], two["value"], two["of"]) == ("measure", 0.5, 2)
    assert line.endswith("0.500  [0.496, 0.500]  in band")
    assert (none["value"], none["of"]) == (None, 0)
    assert "not available" in nothing
    with pytest.raises(
        ValueError, match=r"booleans of shape \(N,\), found float64 of shape \(2,\)"
    ):
        run.share("share", np.array([0.2, 0.8]))


def test_a_missing_number_is_named_and_a_nan_is_refused(capsys):
    run = start()
    run.measure("image_auroc", None)
    assert "not available" in capsys.readouterr().out
    with pytest.raises(ValueError, match="image_auroc is nan"):
        run.measure("image_auroc", float("nan"))


@pytest.mark.parametrize(
    ("difference", "at_least", "verdict"),
    [
        (Difference(0.02, 0.01, 0.03), 0.0, "reproduced"),
        (Difference(0.02, -0.01, 0.05), 0.0, "partly"),
        (Difference(-0.01, -0.03, 0.01), 0.0, "not at this scale"),
        (Difference(-0.01, -0.015, 0.0), -0.02, "reproduced"),
        (Difference(0.0, 0.0, 0.0), 0.0, "not at this scale"),
        (None, 0.0, "not tested"),
    ],
)
def test_one_rule_judges_every_claim(difference, at_least, verdict):
    assert report.judge(difference, at_least=at_least) == verdict


def test_the_table_names_what_could_not_be_computed(four, capsys):
    result = Result(
        values={"image_auroc": 0.95},
        intervals={"image_auroc": (0.9, 0.99)},
        missing={"pixel_auroc": "no masks"},
        counts={"normal": 3, "anomalous": 1},
    )
    start().report(result, train=four, test=four, baselines={"mean grey": None}, weights="random")
    printed = capsys.readouterr().out
    assert re.search(r"image AUROC\.+  0.95  \[0.900, 0.960\]  in band", printed)
    assert re.search(r"pixel AUROC\.+  not available: no masks", printed)
    assert re.search(r"baseline mean grey\.+  not available", printed)
    assert "weights are random" in printed
    assert "data 0123456789ab" in printed
    assert "3 good, 1 불량" in printed


def test_scores_of_own_images_are_written_for_a_spreadsheet(four, tmp_path: Path, capsys):
    path = tmp_path / "scores.csv"
    start().save_scores(four, np.array([0.1, 0.2, 0.3, 0.9]), threshold=0.5, path=path)
    rows = list(csv.DictReader(path.open(encoding="utf-8-sig")))
    assert [row["flagged"] for row in rows] == ["0", "0", "0", "1"]
    assert rows[3]["path"] == "결함 사진/불량 1.png"
    assert "4 rows, 1 flagged" in capsys.readouterr().out


def test_scores_of_the_books_own_data_are_not_written(four, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start(dataset="elpv").save_scores(four, np.zeros(4), threshold=1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": "fast"}, r"budget must be one of .*quick.*found 'fast'"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        start(**change)


def test_one_environment_variable_sets_the_threads(monkeypatch):
    monkeypatch.setenv("BOOK_THREADS", "1")
    start()
    assert torch.get_num_threads() == 1
    monkeypatch.setenv("BOOK_THREADS", "many")
    with pytest.raises(ValueError, match=r"BOOK_THREADS.*'many'"):
        start()


def test_in_a_notebook_the_record_goes_into_the_metadata_and_an_unknown_parameter_stops_it():
    code = (
        "from helpers import report\n"
        f"settings = {SETTINGS!r}\n"
        f"run = report.start('a/b', settings=settings, expect={EXPECT!r})\n"
        "run.measure('share', 0.49777777)"
    )
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(nb).execute()
    shown = [o for o in nb.cells[0].outputs if o.output_type == "display_data"]
    assert shown[0].metadata["book"] == {
        "kind": "measure",
        "name": "share",
        "value": 0.49777777,
        "band": [0.496, 0.5],
        "verdict": "in band",
    }
    assert "0.498  [0.496, 0.500]  in band" in shown[0].data["text/plain"]

    injected = nbformat.v4.new_code_cell("# Parameters\nratios = 0.2\n")
    nb = nbformat.v4.new_notebook(cells=[injected, nbformat.v4.new_code_cell(code)])
    NotebookClient(nb, allow_errors=True).execute()
    error = nb.cells[1].outputs[-1]
    assert "unknown parameter 'ratios'; did you mean 'ratio'?" in error.evalue
