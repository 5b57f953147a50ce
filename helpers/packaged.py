"""The images that come with pip: which files train and which test, and what is drawn on them."""

import contextlib
import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import folders
from helpers.folders import Entry, Split
from helpers.names import digest


def home_of(module: str, distribution: str) -> Path:
    """Return the folder of data in a package that pip installed.

    Raises:
        ModuleNotFoundError: if it is not there, with the command that installs it.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"{distribution} is not installed; run: python -m pip install {distribution}"
        )
    return Path(spec.origin).parent / "data"


def _pngs(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in folders.suffixes())


def _shuffled(entries: Iterable[Entry]) -> list[Entry]:
    """An order that looks random and is the same everywhere."""
    return sorted(entries, key=lambda entry: (digest(entry.path), entry.path))


def _with_kinds(entries: Sequence[Entry], kinds: Sequence[str]) -> list[Entry]:
    """Normal images and, in turn, the kind of defect to draw on each."""
    drawn = [kinds[i % len(kinds)] for i in range(len(entries))]
    return [replace(e, type=k, kind=k) for e, k in zip(entries, drawn, strict=True)]


def elpv(category: str, quick: bool) -> Split:
    """Return what trains and what tests of the solar cells; see :func:`helpers.data.load`."""
    from helpers.defects import KINDS

    if category == "logical":
        return _elpv_logical(quick)
    home = home_of("elpv_dataset", "elpv-dataset")
    rows = [line.split() for line in (home / "labels.csv").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row[2] == category]
    good = _shuffled(Entry(home / p, p) for p, probability, _ in rows if float(probability) == 0)
    bad = _shuffled(Entry(home / p, p, "defective") for p, prob, _ in rows if float(prob) == 1)
    first = len(good) // 4
    second = first + len(good) // 24 * len(KINDS)
    tested, drawn, train = good[:first], good[first:second], good[second:]
    if quick:
        tested, bad, drawn, train = tested[:100], bad[:100], drawn[:60], train[:240]
    return train, [*tested, *bad, *_with_kinds(drawn, KINDS)]


def _elpv_logical(quick: bool) -> Split:
    """Cells of one layout: what is missing or stands twice can then be said of every one."""
    from helpers.defects import LOGICAL_KINDS, three_busbars

    def fits(entry: Entry) -> bool:
        with Image.open(entry.file) as cell, contextlib.suppress(ValueError):
            return bool(three_busbars(np.asarray(cell.convert("L")), least=0.2))
        return False

    train, test = elpv("mono", quick=False)
    good = [replace(e, type="good", kind=None) for e in [*test, *train] if e.type != "defective"]
    good = [entry for entry in _shuffled(good) if fits(entry)]
    quarter = len(good) // 4
    tested, drawn, train = good[:quarter], good[quarter : 2 * quarter], good[2 * quarter :]
    if quick:
        tested, drawn, train = tested[:100], drawn[:90], train[:240]
    return train, [*tested, *_with_kinds(drawn, LOGICAL_KINDS)]


def textile(category: str, quick: bool) -> Split:
    """Return what trains and what tests of the textile images."""
    home = home_of("conformal_clip_data", "conformal-clip-data") / "textile_images" / "simulated"
    good = _shuffled(Entry(p, f"nominal/{p.name}") for p in _pngs(home / "nominal"))
    bad = _shuffled(Entry(p, f"{category}/{p.name}", category) for p in _pngs(home / category))
    tested, train = good[: len(good) // 4], good[len(good) // 4 :]
    if quick:
        tested, bad, train = tested[:100], bad[:100], train[:240]
    return train, [*tested, *bad]


def textures(category: str, quick: bool) -> Split:
    """Return what trains and what tests of the crops; both subsets are the same."""
    file = home_of("skimage", "scikit-image") / f"{category}.png"

    def crops(tops: range, step: int) -> list[Entry]:
        places = [(top, left) for top in tops for left in range(0, 385, step)]
        return [
            Entry(file, f"{category}/{top:03d}_{left:03d}", box=(left, top, left + 128, top + 128))
            for top, left in places
        ]

    train = crops(range(0, 193, 24), 24)  # rows 0 to 319 of 512
    test = _shuffled(crops(range(320, 385, 16), 16))  # rows 320 to 511
    return train, [*test[:60], *_with_kinds(test[60:120], ("crack", "scratch", "stain"))]


DATASETS = {"elpv": elpv, "textile": textile, "textures": textures}
