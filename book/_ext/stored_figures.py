"""The figures in a notebook's stored outputs: what pages show of them is never a copied file.

`BookDirective.picture` puts a figure, or a tile cut out of one, on a page.
"""

import base64
import io
import json
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from PIL import Image


class FigureError(ValueError):
    """A notebook's figures cannot be read."""


class Figure(NamedTuple):
    """One stored figure."""

    section: str  # of the notebook, as its cells' metadata name it; "" before the first
    alt: dict[str, str]  # its text by language: ko, en
    mime: str  # image/jpeg or image/png
    data: bytes
    width: int | None  # as the notebook shows it, in CSS pixels; the file may have twice as many


def figures(path: str | Path) -> list[Figure]:
    """All figures in a notebook's stored outputs, in order.

    Args:
        path: of the ``.ipynb``.

    Returns:
        Figures; the review's gallery, for example, is the first one with the section "scores".

    Raises:
        FigureError: if the notebook does not exist or is not a notebook.
    """
    path = Path(path)
    if not path.is_file():
        raise FigureError(f"{path.name}: the notebook does not exist; looked in {path.parent}")
    found, section = [], ""
    try:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            metadata = cell.get("metadata", {})
            section = metadata.get("section", section)
            alt = {key[4:]: text for key, text in metadata.items() if key.startswith("alt-")}
            for output in cell.get("outputs", []):
                for mime, data in output.get("data", {}).items():
                    if mime in ("image/jpeg", "image/png"):
                        text = data if isinstance(data, str) else "".join(data)
                        width = output.get("metadata", {}).get(mime, {}).get("width")
                        found.append(Figure(section, alt, mime, base64.b64decode(text), width))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FigureError(f"{path.name} is not a notebook: {error}") from error
    return found


def tiles(figure: Figure) -> list[list[Figure]]:
    """The pictures of a figure that shows them in rows and columns, without frame and titles.

    A tile is told from the white around it: most of its column of pixels, and of its row, is not
    white, as nothing of a title, a label or a colour bar is.

    Returns:
        Rows of tiles; a gallery of the helpers has the four rows image, ground truth, anomaly map
        and overlay. A figure without such pictures gives an empty list, and so may a chart.
    """
    image = Image.open(io.BytesIO(figure.data)).convert("RGB")
    inked = image.convert("L").point([255 * (level < 248) for level in range(256)])
    columns = _runs(inked.resize((image.width, 1), Image.Resampling.BOX))
    rows = _runs(inked.resize((1, image.height), Image.Resampling.BOX))
    scale = image.width / (figure.width or image.width)
    return [
        [
            figure._replace(
                mime="image/jpeg",
                data=_jpeg(image.crop((left, top, right, bottom))),
                width=round((right - left) / scale),
            )
            for left, right in columns
        ]
        for top, bottom in rows
        if columns
    ]


def _runs(profile: Image.Image) -> list[tuple[int, int]]:
    """Where a profile of one pixel's width is mostly inked for at least 40 pixels: (from, to)."""
    found, place = [], 0
    for inked, group in groupby(level > 140 for level in profile.tobytes()):
        length = len(list(group))
        if inked and length >= 40:
            found.append((place + 1, place + length - 1))  # without the blurred rim
        place += length
    return found


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
