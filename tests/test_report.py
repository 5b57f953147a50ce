"""helpers.report: bands, verdicts, records and refusals."""

import ast
import csv
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

from helpers import report
from helpers.data import ImageSet
from helpers.metrics import Difference, Result
from helpers.names import did_you_mean

PARAMETERS = """\
dataset = "folder"  # your own images
seed = 0
device = "cpu"
subset = "quick"  # "all": all images of the data set
strides = (8, 16)
ratio = 0.1"""
EXPECTED = {
    "version": "3f2a9c1e",
    "settings": {
        "dataset": "folder",
        "seed": 0,
        "device": "auto",
        "subset": "quick",
        "strides": [8, 16],
        "ratio": 0.1,
    },
    "seeds": [0, 1, 2, 3, 4],
    "values": {},
    "of": {},
    "bands": {
        "image_auroc": [0.90, 0.96],
        "share": [0.496, 0.500],
        "tiny": [-0.002, 0.003],
        "loss": [340.0, 350.0],
        "random-weights baseline, noise": [0.4, 0.6],
    },
    "claims": {"better": ["reproduced"] * 4 + ["undecided"]},
}


@pytest.fixture(autouse=True)
def restore_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def bands(tmp_path, monkeypatch) -> Path:
    """The bands file of the method a/b, in a package of its own."""
    file = tmp_path / "package" / "bands" / "a" / "b.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(EXPECTED), encoding="utf-8")
    monkeypatch.setattr(report, "files", lambda package: tmp_path / "package")
    return file


@pytest.fixture
def pieces(monkeypatch) -> list[tuple[str, dict]]:
    """(printed text, record) of everything that a run publishes."""
    found = []
    monkeypatch.setattr(report, "_publish", lambda text, record: found.append((text, record)))
    return found


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
        name="folder/금속 판",
        license="the reader's own",
        fingerprint="0123456789ab",
    )


def start(*cells: str, method: str = "a/b", version: str = "3f2a9c1e", **changes) -> report.Run:
    """A run as the notebook's cell starts it, after these cells and with these changed values."""
    cells = ("", *(cells or (PARAMETERS,)), "report.start(...)")
    namespace = {"In": list(cells), **changes}
    for cell in cells[:-1]:
        exec(cell, namespace)
    shell = SimpleNamespace(user_ns={**namespace, **changes})
    with mock.patch("IPython.get_ipython", return_value=shell):
        return report.start(method, version=version)


# Numbers and their bands --------------------------------------------------------------------


def test_numbers_are_printed_under_their_title_with_the_digits_that_the_band_justifies(pieces):
    numbers = {"image_auroc": 0.93219, "share": 0.4987, "tiny": -0.00012, "loss": 345.678}
    start().table("Four numbers", numbers)
    ((text, record),) = pieces
    title, *lines = text.splitlines()
    assert title == record["title"] == "Four numbers"
    assert [re.sub(r"\.{2,}", " ..", line) for line in lines] == [
        "image_auroc ..  0.932  [0.900, 0.960]  in band",  # half the band: 0.030
        "share ..  0.4987  [0.4960, 0.5000]  in band",  # 0.0020
        "tiny ..  -0.0001  [-0.0020, 0.0030]  in band",  # 0.0025
        "loss ..  345.7  [340.0, 350.0]  in band",  # 5.0
    ]
    assert record["kind"] == "table"
    assert record["rows"][1] == {
        "name": "share",
        "value": 0.4987,
        "band": [0.496, 0.5],
        "verdict": "in band",
    }


def test_nothing_is_printed_as_minus_zero_and_small_numbers_without_a_band_keep_digits(pieces):
    run = start()
    run.table("Small", {"tiny": -0.00001, "new": 0.000213, "none": 0.0, "some": 0.957})
    lines = pieces[0][0].splitlines()[1:]
    assert "  0.0000  [-0.0020, 0.0030]" in lines[0]
    for line, digits in zip(lines[1:], ("0.000213", "0.000", "0.957"), strict=True):
        assert line.endswith(f"  {digits}  [no band yet: make bands]")


def test_a_number_outside_its_band_is_called_out_and_still_printed(pieces):
    start().table("Outside", {"image_auroc": 0.80})
    text, record = pieces[0]
    assert "0.800  [0.900, 0.960]  OUT OF BAND" in text
    assert record["rows"][0]["verdict"] == "OUT OF BAND"


def test_a_share_has_wilsons_interval_and_a_band_of_one_entry_to_each_side(pieces):
    start().table("Shares", {"share": np.arange(49) < 2, "nobody": np.zeros(0, bool)})
    (text, record), (share, nobody) = pieces[0], pieces[0][1]["rows"]
    assert share["value"] == pytest.approx(2 / 49)
    z, p, n = 1.959964, 2 / 49, 49  # Wilson (1927): |p - q| = z sqrt(q (1 - q) / n) solved for q
    ends = (p - q for q in share["interval"])
    widths = (z * np.sqrt(q * (1 - q) / n) for q in share["interval"])
    assert [abs(e) for e in ends] == pytest.approx(list(widths), abs=1e-6)
    assert share["band"] == pytest.approx([0.498 - 1 / 49, 0.498 + 1 / 49])
    assert (share["of"], nobody["of"], nobody["value"]) == (49, 0, None)
    lines = text.splitlines()
    assert lines[1].endswith("0.041  [0.478, 0.518]  OUT OF BAND")
    assert lines[2] == "  95 % interval 0.011 to 0.137, of 49"
    assert lines[3].endswith("not available with this test set")
    assert record["title"] == "Shares"


def test_what_is_no_number_is_refused_and_a_missing_one_is_named(pieces):
    run = start()
    run.table("Missing", {"image_auroc": None})
    assert pieces[0][0].endswith("not available with this test set")
    with pytest.raises(ValueError, match="image_auroc is nan"):
        run.table("Missing", {"image_auroc": float("nan")})
    with pytest.raises(
        ValueError, match=r"share: a share needs booleans of shape \(N,\), found float64 of shape"
    ):
        run.table("No booleans", {"share": np.array([0.2, 0.8])})


# Where there is no expectation --------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ratio": 0.2}, "no expectation for these settings"),
        ({"strides": (8,)}, "no expectation for these settings"),
        ({"version": ""}, "no expectation for this version"),
        ({"method": "a/new"}, "no band yet: make bands"),
    ],
)
def test_other_settings_or_other_code_have_no_expectation(pieces, capsys, change, why):
    run = start(**change)
    assert f"settings: {why}" in capsys.readouterr().out
    run.table("None", {"image_auroc": 0.1})
    run.claim("better", Difference(0.02, 0.01, 0.03))
    assert pieces[0][0].endswith(f"0.100  [{why}]")
    assert pieces[1][1]["seeds"] is None
    assert "seeds:" not in pieces[1][0]


def test_the_device_is_no_setting_of_the_method_and_a_tuple_is_as_good_as_a_list(capsys):
    start(device="auto")
    assert "settings: the defaults" in capsys.readouterr().out


# Claims -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difference", "above", "verdict"),
    [
        (Difference(0.02, 0.01, 0.03), 0.0, "reproduced"),
        (Difference(0.02, -0.01, 0.05), 0.0, "undecided"),
        (Difference(-0.01, -0.03, 0.01), 0.0, "undecided"),
        (Difference(-0.02, -0.03, -0.01), 0.0, "not at this scale"),
        (Difference(-0.01, -0.015, 0.0), -0.02, "reproduced"),
        (Difference(0.02, 0.01, 0.03), 0.01, "undecided"),
        (Difference(0.0, -0.01, 0.0), 0.0, "not at this scale"),
        (Difference(0.0, 0.0, 0.0), 0.0, "not at this scale"),
        (None, 0.0, "not tested"),
    ],
)
def test_one_rule_judges_every_claim(difference, above, verdict):
    assert report.judge(difference, above=above) == verdict


def test_a_claim_says_interval_rule_verdict_and_what_the_seeds_said(pieces):
    run = start()
    run.claim("better", Difference(0.0213, 0.0104, 0.0327), above=0.01)
    run.claim("newer", None)
    (text, record), (other, nothing) = pieces
    assert text.splitlines()[1:] == [
        "  95 % interval 0.010 to 0.033",
        "  rule: a difference above 0.01",
        "  verdict: reproduced  [reproduced, undecided]  in band",
        "  seeds: reproduced in 4 of 5",
    ]
    assert record == {
        "kind": "claim",
        "id": "better",
        "difference": {"value": 0.0213, "low": 0.0104, "high": 0.0327},
        "above": 0.01,
        "verdict": "reproduced",
        "seeds": ["reproduced"] * 4 + ["undecided"],
        "band": None,
    }
    assert "verdict: not tested" in other
    assert (nothing["difference"], nothing["seeds"]) == (None, None)


def test_a_verdict_that_no_seed_gave_is_out_of_band_where_the_seeds_disagree(pieces):
    run = start()
    run.claim("better", Difference(-0.02, -0.03, -0.01))
    ((text, _),) = pieces
    assert "  verdict: not at this scale  [reproduced, undecided]  OUT OF BAND" in text.splitlines()


def test_an_interval_shows_two_digits_of_its_half_width(pieces):
    run = start()
    run.claim("narrow", Difference(0.0002, -0.00012, 0.00048))
    run.claim("wide", Difference(3.2, 2.0, 4.4))
    run.claim("none", Difference(0.0, 0.0, 0.0))
    found = [text.splitlines()[1].strip() for text, _ in pieces]
    assert found == [
        "95 % interval -0.00012 to 0.00048",
        "95 % interval 2.0 to 4.4",
        "95 % interval 0.000 to 0.000",
    ]


@pytest.mark.parametrize("bad", [(np.nan, 0, 1), (0, np.nan, 1), (0, -1, np.inf)])
def test_a_difference_that_is_no_number_is_not_judged(pieces, bad):
    with pytest.raises(ValueError, match="only finite numbers can be judged, found Difference"):
        start().claim("better", Difference(*bad))
    assert not pieces


def test_the_comparison_of_outputs_hides_measured_digits_and_intervals_and_nothing_else(pieces):
    """tests/nbval.cfg: two runs that differ in digits alone read the same."""
    rules = (Path(__file__).parent / "nbval.cfg").read_text(encoding="utf-8")
    pairs = re.findall(r"^regex: (.*)\nreplace: (.*)$", rules, re.MULTILINE)

    def seen(value, low, high, chosen):
        pieces.clear()
        run = start()
        run.table("Some", {"image_auroc": value, "new": value / 1000, "share of": chosen})
        run.claim("better", Difference(value, low, high))
        text = "\n".join(text for text, _ in pieces)
        for regex, replace in pairs:
            text = re.sub(regex, replace, text)
        return text

    one, other = np.arange(49) < 2, np.arange(49) < 3
    first = seen(0.93, 0.8, 0.95, one)
    assert first == seen(0.91, 0.75, 0.9512, other)
    assert "MEASURED  [0.900, 0.960]  in band" in first
    assert "of 49" in first
    assert first != seen(0.97, 0.8, 0.95, one), "a verdict on the band is compared"
    assert first == seen(0.93, -0.8, 0.95, one), "another seed gave this verdict"
    assert first != seen(0.93, -0.8, -0.1, one), "no seed gave this verdict"


# The result ---------------------------------------------------------------------------------


def test_the_result_names_what_could_not_be_computed_and_on_how_many_masks_it_stands(four, pieces):
    four = dataclasses.replace(four, labels=np.array([0, 1, 1, 1]))
    result = Result(
        values={"image_auroc": 0.95, "pixel_ap": 0.5},
        intervals={"image_auroc": (0.9, 0.99)},
        missing={"pixel_auroc": "no masks"},
        counts={"pixel_anomalous": 1},
    )
    start().report(
        result,
        train=four,
        test=four,
        baselines={"mean grey": None},
        random_weights=("noise", 0.52),
        weights="random",
    )
    printed, record = pieces[0]
    assert re.search(r"image AUROC\.+  0.950  \[0.900, 0.960\]  in band", printed)
    assert re.search(r"pixel AUROC\.+  not available: no masks", printed)
    assert "pixel metrics: on 1 of 3 anomalous images" in printed
    assert re.search(r"baseline mean grey\.+  not available", printed)
    assert re.search(r"random weights, noise\.+  0.52  \[0.40, 0.60\]  in band", printed)
    assert record["random_weights"] == {"name": "noise", "image_auroc": 0.52}
    assert record["bands"]["random-weights baseline, noise"] == [0.4, 0.6]
    assert record["settings"]["strides"] == (8, 16)
    assert "weights are random" in printed
    assert "data 0123456789ab" in printed
    assert "3 good, 1 불량" in printed


def test_score_maps_are_kept_of_the_books_own_data_and_not_of_the_readers(four, pieces):
    scores, maps = np.arange(4.0), np.zeros((4, 8, 8), np.float32)
    result = Result({}, {}, {}, {}, scores, maps)
    kept = {}
    for dataset in ("elpv", "folder"):
        run = start(dataset=dataset)
        for threshold in (2.5, None):
            run.report(result, train=four, test=four, threshold=threshold)
            kept[dataset, threshold] = pieces[-1][1].get("maps")
    assert kept["elpv", 2.5]["scores"] == "0 1 2 3"
    assert [kept[key] for key in (("elpv", None), ("folder", 2.5), ("folder", None))] == [None] * 3


def test_scores_of_own_images_are_written_for_a_spreadsheet(four, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    start().save_scores(four, np.array([0.1, 0.2, 0.3, 0.9]), threshold=0.5)
    text = Path("b_금속_판_scores.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["flagged"] for row in rows] == ["0", "0", "0", "1"]
    assert rows[3]["path"] == "결함 사진/불량 1.png"
    assert "4 rows, 1 flagged" in capsys.readouterr().out


def test_a_table_that_cannot_be_written_says_why_and_the_run_goes_on(
    four, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("b_금속_판_scores.csv").mkdir()  # as good as open in a spreadsheet
    start().save_scores(four, np.zeros(4), threshold=0.5)
    printed = capsys.readouterr().out
    assert "no table of scores: " in printed
    assert "cannot be written (" in printed
    assert "wrote" not in printed


def test_a_name_stands_in_one_table_because_it_is_the_key_of_one_band():
    run = start()
    run.table("Image AUROC", {"no window": 0.5})
    run.table("Image AUROC", {"no window": 0.6})  # the cell is run again
    with pytest.raises(ValueError, match=r"'no window' stands in the table 'Image AUROC' already"):
        run.table("Pixel AUROC", {"window": 0.7, "no window": 0.5})


def test_scores_of_the_books_own_data_are_not_written(four, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = list(tmp_path.iterdir())
    start(dataset="elpv").save_scores(four, np.zeros(4), threshold=1.0)
    assert list(tmp_path.iterdir()) == before


# Parameters ---------------------------------------------------------------------------------


def test_settings_are_the_names_of_the_parameters_cell_with_their_present_values():
    injected = "# Parameters\nratio = 0.3\n"
    run = start("import os", PARAMETERS, injected, "other = 1")
    assert run.settings == {
        "dataset": "folder",
        "seed": 0,
        "device": "cpu",
        "subset": "quick",
        "strides": (8, 16),
        "ratio": 0.3,
    }
    again = PARAMETERS + "\nmore = -1.5"  # changed in place and run again
    assert start(PARAMETERS, again).settings["more"] == -1.5
    assert list(ast.literal_eval(repr(run.settings))) == report._assigned(PARAMETERS)


@pytest.mark.parametrize(
    "cell", ["seed = 0", "dataset = 'elpv'\nseed = int(1)", "%%time\ndataset = 1", "dataset = seed"]
)
def test_a_cell_that_does_more_than_assign_literals_is_no_parameters_cell(cell):
    assert not {"dataset", "seed"} <= set(report._assigned(cell))


def test_without_a_parameters_cell_nothing_starts():
    with pytest.raises(ValueError, match=r"no cell of parameters was run: .*from the top"):
        start("import os", "# Parameters\ndataset = 'elpv'\nseed = 0\ndevice = 'cpu'")
    with pytest.raises(ValueError, match="no cell of parameters was run"):
        report.start("a/b", version="")


def test_without_a_history_the_parameters_are_those_of_the_expectation():
    """As in nbval, which runs cells without keeping them."""
    assert start(In=[""]).settings == start().settings
    assert start(In=[""], seed=3).settings["seed"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
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


def test_a_suggestion_is_the_nearest_name_or_nothing():
    known = ["dataset", "seed", "Bottle"]
    assert did_you_mean("sead", known) == "did you mean 'seed'? "
    assert did_you_mean("BOTTEL", known) == "did you mean 'Bottle'? "
    assert did_you_mean("xyz", known) == ""
    assert did_you_mean("cab", ["cat", "car", "dog"], count=2) in (
        "did you mean 'cat', 'car'? ",
        "did you mean 'car', 'cat'? ",
    )


def cells(bands: Path, *injected: str) -> list[str]:
    """A notebook's code: set-up, parameters, what papermill puts in, start, one number."""
    root = bands.parents[2]
    setup = f"from pathlib import Path\nfrom helpers import report\npackage = Path({str(root)!r})"
    setup += "\nreport.files = lambda name: package"
    begin = "run = report.start('a/b', version='3f2a9c1e')"
    return [setup, PARAMETERS, *injected, begin, "run.table('One', {'share': 0.49777777})"]


def test_in_a_notebook_the_record_goes_into_the_metadata_and_an_unknown_parameter_stops_it(bands):
    code = [nbformat.v4.new_code_cell(source) for source in cells(bands)]
    nb = nbformat.v4.new_notebook(cells=code)
    NotebookClient(nb).execute()
    shown = [o for o in nb.cells[-1].outputs if o.output_type == "display_data"]
    row = {"name": "share", "value": 0.49777777, "band": [0.496, 0.5], "verdict": "in band"}
    assert shown[0].metadata["book"] == {"kind": "table", "title": "One", "rows": [row]}
    assert "0.4978  [0.4960, 0.5000]  in band" in shown[0].data["text/plain"]

    code = cells(bands, "# Parameters\nratios = 0.2\n")
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in code])
    NotebookClient(nb, allow_errors=True).execute()
    error = nb.cells[3].outputs[-1]
    assert "unknown parameter 'ratios'; did you mean 'ratio'?" in error.evalue


def test_a_plain_interactive_shell_is_as_good_as_a_kernel(bands):
    code = cells(bands, "# Parameters\nratio = 0.2\n")
    program = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        f"for source in {code!r}:\n"
        "    shell.run_cell(source, store_history=True).raise_error()\n"
        "print(shell.user_ns['run'].settings)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert "'ratio': 0.2}" in done.stdout
    assert "0.498  [no expectation for these settings]" in done.stdout
