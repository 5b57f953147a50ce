"""What a notebook measured: the one reader of the records in its stored outputs.

A notebook's `helpers.report` puts each printed number, in full precision, into the metadata of its
output under the key ``book``. Directives, tools and tests read it through this module, which needs
nothing but `json`. There are three kinds of record:

``table``
    the numbers of one experiment: ``title`` and ``rows`` of ``name``, ``value``, ``band``,
    ``verdict`` and, for a share, ``of`` (of how many) and ``interval``
``claim``
    a claim's ``id``, ``difference`` (``value``, ``low``, ``high``; None if it was not tested),
    the rule's ``above``, the ``verdict`` and ``seeds``, the verdict of each seed
``report``
    the result: ``metrics``, ``intervals``, ``bands``, ``baselines``, ``random_weights``, settings
    and environment; and ``maps``, from which `directives.threshold_figure` draws: some test images
    with their score maps, as `helpers.thumbnails` made them (no key before a notebook's next run)
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Piece = Mapping[str, Any]


class RecordError(ValueError):
    """A notebook's records cannot be read."""


def pieces(notebook: str | Path | Mapping[str, Any]) -> list[dict[str, Any]]:
    """All records in a notebook's stored outputs, in order.

    Args:
        notebook: path of the ``.ipynb``, or its content as parsed JSON.

    Returns:
        Dictionaries with the key "kind": "table", "claim" or "report".

    Raises:
        RecordError: if the notebook does not exist or is not a notebook.
    """
    try:
        if isinstance(notebook, Mapping):
            name, content = "the notebook", notebook
        else:
            path = Path(notebook)
            name = path.name
            if not path.is_file():
                raise RecordError(f"{name}: the notebook does not exist; looked in {path.parent}")
            content = json.loads(path.read_text(encoding="utf-8"))
        cells = content["cells"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RecordError(f"{name} is not a notebook: {error}") from error
    found = [
        output.get("metadata", {}).get("book")
        for cell in cells
        for output in cell.get("outputs", [])
    ]
    return [piece for piece in found if isinstance(piece, dict) and "kind" in piece]


def report(pieces: Iterable[Piece]) -> Piece | None:
    """The report that a notebook's result is read from: the last one with default settings."""
    reports = [p for p in pieces if p["kind"] == "report" and p.get("default", True)]
    return reports[-1] if reports else None


def verdicts(pieces: Iterable[Piece]) -> dict[str, Piece]:
    """The claims by their id; of two with the same id the last one counts."""
    return {p["id"]: p for p in pieces if p["kind"] == "claim"}


def verdict(claim: Piece) -> str:
    """The verdict that counts on the book's pages: what every seed gave, else "undecided".

    A claim that has been run with one seed only (its "seeds" are None) is undecided as well; one
    that this test set cannot judge is "not tested".
    """
    if claim["verdict"] == "not tested":
        return "not tested"
    seeds = set(claim["seeds"] or ())
    return claim["verdict"] if seeds == {claim["verdict"]} else "undecided"


def rows(pieces: Iterable[Piece]) -> list[Piece]:
    """The rows of all tables, in order."""
    return [row for p in pieces if p["kind"] == "table" for row in p["rows"]]


def measured(pieces: Iterable[Piece]) -> dict[str, float | None]:
    """Every number that has a band, by the band's name; None where it could not be measured.

    These are the reports' metrics (``image_auroc``), baselines (``baseline mean grey``) and
    random-weights baseline (``random-weights baseline, random:resnet18``), the rows of the tables
    by their names, and the difference behind each claim (``claim one_percent``).
    """
    values: dict[str, float | None] = {}
    for piece in pieces:
        if piece["kind"] == "report":
            values |= piece["metrics"]
            values |= {f"baseline {name}": v for name, v in piece["baselines"].items()}
            if random := piece["random_weights"]:
                values[f"random-weights baseline, {random['name']}"] = random["image_auroc"]
        elif piece["kind"] == "table":
            values |= {row["name"]: row["value"] for row in piece["rows"]}
        elif piece["kind"] == "claim":
            difference = piece["difference"]
            values[f"claim {piece['id']}"] = difference["value"] if difference else None
    return values


def of(pieces: Iterable[Piece]) -> dict[str, int]:
    """Of how many each measured share is a share, by its name."""
    return {row["name"]: row["of"] for row in rows(pieces) if row.get("of")}
