"""book/tools/trust.py: each break changes what it says and nothing else."""

from pathlib import Path

import pytest
import stored
import trust
from nbformat.v4 import new_code_cell, new_notebook, new_output
from small import write_small

SOURCE = """\
backbone = backbones.load(name, strides=(8, 16))
twin = backbones.load(f"random:{name}")
train, test = data.load(dataset, category)
scores = step(scores)
optimizer.step()
result = metrics.evaluate(
    scores - 1, maps, test
)"""


@pytest.fixture
def path(tmp_path) -> Path:
    path = write_small(tmp_path, extra=SOURCE)
    notebook = stored.read(path)
    notebook.cells[-2].outputs = [
        new_output(
            "display_data",
            data={"text/plain": "share ....  0.957  [0.940, 0.974]  in band"},
            metadata={"book": {"kind": "measure", "name": "share", "value": 0.957}},
        ),
        new_output(
            "display_data",
            data={"text/plain": "claim c\n  verdict: partly"},
            metadata={"book": {"kind": "claim", "id": "c", "verdict": "partly"}},
        ),
        new_output("stream", name="stdout", text="240 images\n"),
    ]
    stored.write(notebook, path)
    return path


def changed_lines(path: Path, apply) -> list[str]:
    """Lines of code that a break changes."""
    before = [cell.source for cell in stored.read(path).cells]
    apply(path.parents[2], path)
    after = [cell.source for cell in stored.read(path).cells]
    pairs = zip("\n".join(before).split("\n"), "\n".join(after).split("\n"), strict=True)
    return [new.strip() for old, new in pairs if old != new]


@pytest.mark.parametrize(
    ("apply", "lines"),
    [
        (trust.flip_sign, ["-(scores - 1), maps, test"]),
        (
            trust.swap_labels,
            ['scores - 1, maps, __import__("dataclasses").replace(test, labels=1 - test.labels)'],
        ),
        (trust.random_backbone, ['backbone = backbones.load("random:" + name, strides=(8, 16))']),
        (trust.untrained, ["None"]),
    ],
)
def test_breaks_of_the_code(path, apply, lines):
    found = changed_lines(path, apply)
    if apply is trust.random_backbone:
        found = [line for line in found if "backbones" in line]
    assert found == lines


def test_a_break_that_does_not_apply_says_so(tmp_path):
    path = tmp_path / "empty.ipynb"
    stored.write(new_notebook(cells=[new_code_cell("x = 1")]), path)
    for apply in (trust.flip_sign, trust.untrained, trust.other_plain_output):
        with pytest.raises(trust.NotApplicableError):
            apply(tmp_path, path)


def test_breaks_of_what_is_stored(path):
    notebook = stored.read(path)
    assert trust._printed_digit(notebook)
    assert trust._recorded_verdict(notebook)
    measure, claim, _ = notebook.cells[-2].outputs
    assert measure.data["text/plain"] == "share ....  0.958  [0.940, 0.974]  in band"
    assert measure.metadata["book"]["value"] == 0.957
    assert claim.data["text/plain"].endswith("verdict: reproduced")
    trust.other_plain_output(path.parents[2], path)
    assert stored.read(path).cells[-2].outputs[2].text == "340 images\n"


def test_every_break_has_its_own_name_and_a_guard():
    names = [broken.name for broken in trust.BREAKS]
    assert len(names) == len(set(names))
    assert {g for broken in trust.BREAKS for g in broken.guards} == {"stored", "build", "nbval"}
