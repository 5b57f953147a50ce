"""The pictures of the data guide come from a small notebook that shows what is stored in it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import stored_figures
from nbclient import NotebookClient

SAMPLES = Path(__file__).resolve().parents[1] / "book" / "guide" / "samples.ipynb"


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """Texts of all outputs: names and fingerprints of the data, titles of the figures."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.get("text") or output["data"]["text/plain"] for output in outputs]


def test_the_samples_come_from_the_data_that_they_name():
    stored = nbformat.read(SAMPLES, as_version=4)
    before = printed(stored)
    after = printed(NotebookClient(stored, timeout=240).execute())
    assert before == after, "store it again; its first cell says how"


def test_there_is_a_picture_of_all_that_comes_with_pip_beside_the_default():
    found = stored_figures.figures(SAMPLES)
    assert {figure.section for figure in found} == {"textile", "textures", "logical"}
    assert all(set(figure.alt) == {"ko", "en"} for figure in found)
    assert sum(len(figure.data) for figure in found) < 160_000
