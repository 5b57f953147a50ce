"""book/tools/trust.py: each break changes what it says and nothing else."""

from pathlib import Path

import bands
import compare
import comparisons
import pytest
import records
import stored
import trust
from nbformat.v4 import new_code_cell, new_notebook, new_output
from small import without_kernel, write_small

SOURCE = """\
backbone = backbones.load(name, strides=(8, 16))
random = backbones.load(f"random:{name}")
train, test = data.load(dataset, category)
scores = step(scores)
optimizer.step()
result = metrics.evaluate(
    test, scores - 1, maps
)"""


@pytest.fixture
def path(tmp_path) -> Path:
    """A small notebook with bands and outputs, and a last cell of code to break."""
    path = write_small(tmp_path)
    bands.make_bands(path, execute=without_kernel)
    notebook = stored.read(path)
    notebook.cells[-1].source = SOURCE
    notebook.cells[-1].outputs = [new_output("stream", name="stdout", text="240 images\n")]
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
        (trust.flip_sign, ["test, -(scores - 1), maps"]),
        (
            trust.swap_labels,
            ['__import__("dataclasses").replace(test, labels=1 - test.labels), scores - 1, maps'],
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


def outputs(path: Path) -> list:
    """The outputs of a small notebook's cell of numbers: a table and a claim."""
    return stored.read(path).cells[-2].outputs


def test_breaks_of_what_is_stored(path):
    trust._rewrite(trust._printed_digit)(path.parents[2], path)
    trust._rewrite(trust._recorded_verdict)(path.parents[2], path)
    table, claim = outputs(path)
    assert table.data["text/plain"].endswith("share ....  0.901  [0.898, 0.906]  in band")
    assert records.rows([table.metadata["book"]])[0]["value"] == 0.9
    assert claim.data["text/plain"].endswith("verdict: undecided")
    assert claim.metadata["book"]["verdict"] == "undecided"
    trust._rewrite(trust._recorded_value)(path.parents[2], path)
    table, _ = outputs(path)
    assert records.rows([table.metadata["book"]])[0]["value"] == 1.0
    trust.other_plain_output(path.parents[2], path)
    assert stored.read(path).cells[-1].outputs[0].text == "340 images\n"


def test_breaks_of_what_is_expected(path):
    before = stored.expectation(path)
    trust._expected(trust._wide_band)(path.parents[2], path)
    assert stored.expectation(path)["bands"] == before["bands"] | {"share": [0.0, 1.0]}
    trust._expected(trust._seed_value)(path.parents[2], path)
    assert stored.expectation(path)["values"]["share"][-1] == pytest.approx(1.004)
    trust._expected(trust._seed_verdict)(path.parents[2], path)
    assert stored.expectation(path)["claims"] == {"better": ["undecided"] + ["reproduced"] * 4}
    trust._rewrite(trust._stamp)(path.parents[2], path)
    assert stored.stamp(stored.read(path)) == before["version"][::-1] != before["version"]


def test_a_break_of_the_compared_value_is_one_of_the_row_that_is_run_again(path):
    """The other values of a comparison record no test can see; the weekly run of all rows does."""
    root = path.parents[2]
    with pytest.raises(trust.NotApplicableError):
        trust.compared_value(root, path)
    row = {"settings": {}, "metrics": {"image_auroc": 0.9}}
    rows = [
        row | {"method": "family/method", "seconds": 5.0},
        row | {"method": "family/other", "seconds": 9.0},
        row | {"method": "family/other", "seconds": 1.0, "metrics": {"pixel_auroc": 0.9}},
    ]
    file = compare.record_file("family", root)
    compare.write_record(rows, file)
    trust.compared_value(root, path)
    changed = comparisons.record(file)
    assert [r["metrics"].get("image_auroc") for r in changed] == [0.85, 0.9, None]
    with pytest.raises(trust.NotApplicableError):
        trust.compared_value(root, path.with_name("other.ipynb"))


def test_every_break_has_its_own_name_and_a_guard():
    names = [broken.name for broken in trust.BREAKS]
    assert len(names) == len(set(names))
    guards = {"stored", "build", "compare", "nbval"}
    assert {g for broken in trust.BREAKS for g in broken.guards} == guards
