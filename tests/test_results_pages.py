"""Leaderboard and claims beyond their tables: chart, addresses, choice and files."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from directives import leaderboard
from test_directives import build, lay_out, part, words


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[str, dict[str, list[dict[str, str]]]]:
    """The English page that has all directives, and the tables that it offers as files."""
    app = build(lay_out(tmp_path_factory.mktemp("results")))
    html = (Path(app.outdir) / "index.html").read_text(encoding="utf-8")
    tables = {}
    for path in Path(app.outdir).rglob("*.csv"):
        assert path.relative_to(app.outdir).as_posix() in html, "no link leads to the file"
        with path.open(encoding="utf-8-sig", newline="") as file:
            tables[path.stem] = list(csv.DictReader(file))
    app.cleanup()
    return html, tables


@pytest.fixture
def index(built) -> str:
    return built[0]


@pytest.fixture
def files(built) -> dict[str, list[dict[str, str]]]:
    return built[1]


def test_a_claim_has_an_address_and_can_be_chosen_by_verdict_and_family(index):
    shown = part(index, "book-claims")
    anchor = "claim-memory-bank-new-better"
    row = re.search(rf'<tr class="([^"]*)" id="{anchor}">', shown)
    assert row, "the claim has no address"
    assert f'href="#{anchor}"' in shown
    offered = re.findall(r'<option value="([^"]+)">', shown)
    assert set(row[1].split()) & set(offered) == {"verdict-reproduced", "family-memory-bank"}
    assert re.search(r'<form class="book-filter"[^>]* hidden>', shown), "it needs the script"


def test_all_claims_can_be_had_as_a_file_with_numbers_in_full(files):
    rows = files["claims"]
    better = next(row for row in rows if row["id"] == "memory_bank/new/better")
    assert better["verdict"] == "reproduced" and better["claim"] == "It is better."
    assert (better["seeds_reproduced"], better["seeds"]) == ("5", "5")
    given = [better[key] for key in ("difference", "low", "high", "above")]
    assert given == ["-0.003", "-0.01", "0.004", "-0.02"]
    faster = next(row for row in rows if row["id"] == "memory_bank/new/faster")
    assert faster["difference"] == ""


def test_both_definitions_of_aupro_have_a_column(index):
    text = words(part(index, "book-leaderboard"))
    heads = "image AUROC pixel AUROC AUPRO, all images AUPRO, anomalous images only"
    assert text.count(heads) == 2, "one table for each fingerprint"


def test_the_leaderboard_draws_every_value_on_one_axis_that_begins_below_all_of_them():
    method = type("Method", (), {})()
    lines = [
        leaderboard.Line("method", "A", 0.9, (0.8, 1.0), {}, method),
        leaderboard.Line("random weights", "R", 0.294, None, {}),
    ]
    drawn = leaderboard.whiskers(lines, "described", "chance")
    ticks = re.findall(r'class="at" style="left:([\d.]+)%">([\d.]+)<', drawn)
    assert [float(value) for _, value in ticks] == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    place = {float(value): float(left) for left, value in ticks}
    dots = [float(left) for left in re.findall(r'class="dot" style="left:([\d.]+)%"', drawn)]
    assert dots[0] == pytest.approx(place[0.9], abs=0.1)
    assert place[0.2] < dots[1] < place[0.3], "0.294 is drawn where it is, not at chance"
    (span,) = re.findall(r'class="span" style="left:([\d.]+)%;width:([\d.]+)%"', drawn)
    assert float(span[0]) == pytest.approx(place[0.8], abs=0.1)
    assert float(span[0]) + float(span[1]) == pytest.approx(place[1.0], abs=0.1)


def test_the_leaderboard_can_be_had_as_a_file(files):
    rows = files["leaderboard"]
    ranks = [(row["rank"], row["name"]) for row in rows if row["fingerprint"] == "aaaaaaaaaaaa"]
    assert ranks[:2] == [("1", "Other"), ("2", "New")]
    assert {row["kind"] for row in rows} == {"method", "random weights", "baseline"}
    new = next(row for row in rows if row["name"] == "New")
    assert (new["image_auroc"], new["pixel_auroc"], new["aupro"]) == ("0.957", "0.9", "")
