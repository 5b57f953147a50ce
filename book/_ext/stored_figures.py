"""The figures in a notebook's stored outputs: what pages show of them is never a copied file.

Needs nothing but `json` and `base64`, as `records` does; `BookDirective.picture` puts a figure on
a page.
"""

import base64
import json
from pathlib import Path
from typing import NamedTuple


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
