"""Break the book on purpose and see that it is caught: make trust [NB=memory_bank/patchcore]

Each break is made on a copy of the tree; the checks that `make test` runs must then turn red. The
unbroken copy must be green, also with other numbers of threads and other processors' arithmetic.
A table says what was broken and what caught it; the exit status is 1 if anything escaped.

Four guards, from cheap to dear: `stored` (the tests that read what is stored), `build` (the strict
build of the site), `compare` (the tests of the comparison records, which run one row again) and
`nbval` (run the notebook and compare). Beside them every definition of a notebook is altered
systematically, and the notebook's own checks must notice (tests/test_exercise_mutants.py).
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1] / "_ext"))
import bands
import compare
import comparisons
import records
import stored

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (".git", ".venv*", "_build", "__pycache__", ".*_cache", "*.egg-info", "build", "dist")
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-sanitize-with", "tests/nbval.cfg")
#: Tests that read the tree and run no notebook, build no site and test no tool.
STORED = (
    "test_notebooks.py",
    "test_url.py",
    "test_language_parity.py",
    "test_reviews.py",
    "test_registry.py",
)
ENVIRONMENTS = {
    "one thread": {"BOOK_THREADS": "1"},
    "two threads": {"BOOK_THREADS": "2"},
    "an old processor": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}


class NotApplicableError(Exception):
    """The notebook has nothing that this break could break."""


@dataclass(frozen=True)
class Break:
    """One way to break the tree: a function of (root, notebook path) and the guards to try."""

    name: str
    apply: Callable[[Path, Path], None]
    guards: tuple[str, ...]


@dataclass
class Outcome:
    """What a guard said: red or green, the first test that failed, seconds."""

    red: bool
    first: str
    seconds: float
    log: str = field(repr=False, default="")


# --- Guards ---------------------------------------------------------------------------------------


def guard(name: str, root: Path, path: Path, environment: dict[str, str] | None = None) -> Outcome:
    """Run one guard on a tree; `path` is the notebook in it."""
    if name == "build":
        command = [sys.executable, "book/build.py"]
    elif name == "nbval":
        command = [sys.executable, "-m", "pytest", *NBVAL, str(path.relative_to(root))]
    elif name == "compare":
        command = [sys.executable, "-m", "pytest", "tests/test_compare.py"]
    elif name == "altered":  # every definition of the notebook, against its own checks
        command = [sys.executable, "-m", "pytest", "-m", "trust", "--timeout", "900"]
        command += ["tests/test_exercise_mutants.py", "-k", stored.method_id(path)]
    else:
        files = [f"tests/{file}" for file in STORED if (root / "tests" / file).is_file()]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "not site and not browser and not runs",
            *files,
        ]
    if name != "build":
        command += ["-x", "-q", "-p", "no:cacheprovider"]
    # The copy's own helpers, not the installed ones: a break may lie in them.
    settings = {"BOOK_THREADS": "1", **os.environ, "PYTHONPATH": str(root), **(environment or {})}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=root, env=settings, capture_output=True, text=True)
    log = done.stdout + done.stderr
    return Outcome(
        red=done.returncode != 0,
        first=_first(re.sub(r"\x1b\[[0-9;]*m", "", log).replace(str(root), "")),
        seconds=time.perf_counter() - start,
        log=log,
    )


def _first(log: str) -> str:
    """The first test that failed or the first warning of the build, and how it showed."""
    failed = re.search(r"^(?:FAILED|ERROR) (\S+?::.+?)(?: - .*)?$", log, re.MULTILINE)
    if failed is None:
        warning = re.search(r"^.*(?:WARNING|ERROR): (.*)$", log, re.MULTILINE)
        return warning[1] if warning else (log.strip().splitlines() or ["no output"])[-1]
    name = failed[1].removeprefix("tests/").removeprefix("notebooks/")
    raised = re.search(r"^(?:E +)?(\w+(?:Error|Exception)): ", log, re.MULTILINE)
    shown = "OUT OF BAND" if "OUT OF BAND" in log else raised[1] if raised else "output differs"
    return f"{name} ({shown})" if ".ipynb::" in name else name


# --- Breaks in the code: only running it shows them -----------------------------------------------


def _edit(path: Path, change: Callable[[str], str]) -> None:
    """Apply a change of source to every code cell; outputs stay as they are stored."""
    notebook = stored.read(path)
    changed = False
    for _, cell in stored.code_cells(notebook):
        source = change(cell.source)
        changed |= source != cell.source
        cell.source = source
    if not changed:
        raise NotApplicableError
    stored.write(notebook, path)


def _calls(source: str, name: str) -> Iterator[ast.Call]:
    """Calls of a function or method of that name, last first."""
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", None)) == name
    ]
    return iter(sorted(found, key=lambda n: (n.lineno, n.col_offset), reverse=True))


def _replace_node(source: str, node: ast.expr | ast.stmt, text: str) -> str:
    lines = source.splitlines(keepends=True)
    # Column offsets of the syntax tree count bytes.
    head = lines[node.lineno - 1].encode()[: node.col_offset].decode()
    tail = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
    before, after = lines[: node.lineno - 1], lines[node.end_lineno :]
    return "".join([*before, head, text, tail, *after])


def _argument(source: str, function: str, index: int, change: Callable[[str], str | None]) -> str:
    """Rewrite one positional argument of every call of a function; None keeps it."""
    for call in _calls(source, function):
        if len(call.args) > index:
            text = change(ast.get_source_segment(source, call.args[index]))
            if text is not None:
                source = _replace_node(source, call.args[index], text)
    return source


def flip_sign(root: Path, path: Path) -> None:
    """Normal looks anomalous: every score that is evaluated changes its sign."""
    _edit(path, lambda source: _argument(source, "evaluate", 1, lambda arg: f"-({arg})"))


def swap_labels(root: Path, path: Path) -> None:
    """Normal test images count as anomalous and the other way round."""
    swapped = '__import__("dataclasses").replace({0}, labels=1 - {0}.labels)'
    _edit(path, lambda source: _argument(source, "evaluate", 0, swapped.format))


def random_backbone(root: Path, path: Path) -> None:
    """The pretrained weights are lost."""

    def change(argument: str) -> str | None:
        return None if "random" in argument else f'"random:" + {argument}'

    _edit(
        path,
        lambda source: _argument(source, "load", 0, change) if "backbones." in source else source,
    )


def untrained(root: Path, path: Path) -> None:
    """The optimiser does nothing."""

    def change(source: str) -> str:
        for call in _calls(source, "step"):
            if isinstance(call.func, ast.Attribute):  # a method, not a function of that name
                source = _replace_node(source, call, "None")
        return source

    _edit(path, change)


def other_plain_output(root: Path, path: Path) -> None:
    """A digit of ordinary stored output is edited."""
    notebook = stored.read(path)
    for _, cell in stored.code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "stream" and re.search(r"\d", output.text):
                if "environment:" in output.text or re.search(r"\d  \[", output.text):
                    continue
                output.text = re.sub(r"\d", _next_digit, output.text, count=1)
                stored.write(notebook, path)
                return
    raise NotApplicableError


# --- Breaks in what is stored: reading shows them -------------------------------------------------


def _next_digit(match: re.Match[str]) -> str:
    return str((int(match[0]) + 1) % 10)


def _book_outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [
        output
        for _, cell in stored.code_cells(notebook)
        for output in cell.outputs
        if "book" in output.get("metadata", {})
    ]


def _rewrite(change: Callable[[nbformat.NotebookNode], bool]) -> Callable[[Path, Path], None]:
    """A break from a function that changes the notebook and says whether it could."""

    def apply(root: Path, path: Path) -> None:
        notebook = stored.read(path)
        if not change(notebook):
            raise NotApplicableError
        stored.write(notebook, path)

    return apply


def _printed_digit(notebook: nbformat.NotebookNode) -> bool:
    for output in _book_outputs(notebook):
        text = output.data["text/plain"]
        match = re.search(r"\d(?=  \[\S+, \S+\]  in band)", text)
        if match:
            edited = text[: match.start()] + _next_digit(match) + text[match.end() :]
            output.data["text/plain"] = edited
            return True
    return False


def _recorded_value(notebook: nbformat.NotebookNode) -> bool:
    for row in records.rows(records.pieces(notebook)):
        if row["value"] is not None:
            row["value"] = round(row["value"] + 0.1, 6)
            return True
    return False


def _recorded_metric(notebook: nbformat.NotebookNode) -> bool:
    piece = records.report(records.pieces(notebook))
    if piece is None or not piece["metrics"]:
        return False
    name = next(iter(piece["metrics"]))
    piece["metrics"][name] = round(piece["metrics"][name] + 0.1, 6)
    return True


def _recorded_verdict(notebook: nbformat.NotebookNode) -> bool:
    for output in _book_outputs(notebook):
        piece = output.metadata["book"]
        if piece["kind"] == "claim":
            better = "reproduced" if piece["verdict"] != "reproduced" else "undecided"
            text = output.data["text/plain"]
            edited = text.replace(f"verdict: {piece['verdict']}", f"verdict: {better}")
            output.data["text/plain"] = edited
            piece["verdict"] = better
            return True
    return False


def _unexecuted(notebook: nbformat.NotebookNode) -> bool:
    cell = stored.code_cells(notebook)[-1][1]
    cell.execution_count, cell.outputs = None, []
    return True


def _default(notebook: nbformat.NotebookNode) -> bool:
    cell = stored.tagged(notebook, "parameters")
    cell.source = cell.source.replace("seed = 0", "seed = 1")
    return "seed = 1" in cell.source


def _stamp(notebook: nbformat.NotebookNode) -> bool:
    stored.set_stamp(notebook, stored.stamp(notebook)[::-1] or "0" * 8)
    return True


def _alt_text(notebook: nbformat.NotebookNode) -> bool:
    return any(cell.metadata.pop("alt-ko", None) for _, cell in stored.code_cells(notebook))


def _translation(notebook: nbformat.NotebookNode) -> bool:
    for index, cell in enumerate(notebook.cells):
        if "lang-en" in cell.metadata.get("tags", []):
            del notebook.cells[index]
            return True
    return False


def _first_cell(notebook: nbformat.NotebookNode) -> bool:
    cell = stored.code_cells(notebook)[0][1]
    cell.source = cell.source.replace("@main", "@old")
    return "@old" in cell.source


def _expected(change: Callable[[dict[str, Any]], bool]) -> Callable[[Path, Path], None]:
    """A break of the expected bands, from a function that says whether it could."""

    def apply(root: Path, path: Path) -> None:
        expected = stored.expectation(path)
        if expected is None or not change(expected):
            raise NotApplicableError
        stored.write_expectation(expected, path)

    return apply


def _wide_band(expected: dict[str, Any]) -> bool:
    for name in expected["bands"]:
        expected["bands"][name] = [0.0, 1.0]
        return True
    return False


def _seed_value(expected: dict[str, Any]) -> bool:
    # A band may be as wide as any may get; then it does not depend on every seed.
    values, of = expected["values"], expected.get("of", {})
    for name, row in values.items():
        edited = [*row[:-1], (row[-1] or 0.0) + 0.1]
        if bands.bands_of({name: edited}, of) != bands.bands_of({name: row}, of):
            values[name] = edited
            return True
    return False


def _seed_verdict(expected: dict[str, Any]) -> bool:
    for row in expected["claims"].values():
        row[0] = "reproduced" if row[0] != "reproduced" else "undecided"
        return True
    return False


def compared_value(root: Path, path: Path) -> None:
    """The comparison record's row that the tests run again gets another image AUROC.

    They run one row of all records; an edited value of another row only the weekly run sees.
    """
    found = compare.cheapest(root)
    if found is None or found[1]["method"] != stored.method_id(path):
        raise NotApplicableError
    file, row = found
    rows = comparisons.record(file)
    value = rows[rows.index(row)]["metrics"]
    value["image_auroc"] = round(value["image_auroc"] - 0.05, 4)
    compare.write_record(rows, file)


# --- Breaks in the pages --------------------------------------------------------------------------


def _pages(root: Path, path: Path) -> list[Path]:
    pages = [root / "book" / f"{stored.method_id(path)}.{code}.md" for code in ("ko", "en")]
    if not all(page.is_file() for page in pages):
        raise NotApplicableError
    return pages


def missing_page(root: Path, path: Path) -> None:
    """The English review is gone."""
    _pages(root, path)[1].unlink()


def one_sided_label(root: Path, path: Path) -> None:
    """A section's label differs between the languages."""
    page = _pages(root, path)[1]
    text = page.read_text(encoding="utf-8")
    page.write_text(
        re.sub(r"^\((\S+)\)=\n(?=##)", r"(\1-x)=\n", text, count=1, flags=re.M), "utf-8"
    )


def dead_link(root: Path, path: Path) -> None:
    """Both reviews refer to a label that does not exist."""
    for page in _pages(root, path):
        with page.open("a", encoding="utf-8") as file:
            file.write("\n{ref}`nowhere <no-such-label>`\n")


def not_in_contents(root: Path, path: Path) -> None:
    """The review is taken out of the table of contents."""
    contents = root / "_toc.yml"
    line = f"      - file: book/{stored.method_id(path)}\n"
    text = contents.read_text(encoding="utf-8")
    if line not in text:
        raise NotApplicableError
    contents.write_text(text.replace(line, ""), encoding="utf-8")


BREAKS = (
    Break("one translated cell missing", _rewrite(_translation), ("stored", "build")),
    Break("one translated page missing", missing_page, ("stored", "build")),
    Break("section label in one language only", one_sided_label, ("stored", "build")),
    Break("reference to a missing label", dead_link, ("stored", "build")),
    Break("page not in the table of contents", not_in_contents, ("stored", "build")),
    Break("printed digit edited", _rewrite(_printed_digit), ("stored",)),
    Break("recorded value edited", _rewrite(_recorded_value), ("stored",)),
    Break("recorded metric edited", _rewrite(_recorded_metric), ("stored",)),
    Break("verdict of a claim edited", _rewrite(_recorded_verdict), ("stored",)),
    Break("cell never executed", _rewrite(_unexecuted), ("stored",)),
    Break("band widened by hand", _expected(_wide_band), ("stored",)),
    Break("value of a seed edited", _expected(_seed_value), ("stored",)),
    Break("verdict of a seed edited", _expected(_seed_verdict), ("stored",)),
    Break("stamp edited", _rewrite(_stamp), ("stored",)),
    Break("default changed, not run again", _rewrite(_default), ("stored",)),
    Break("alternative text missing", _rewrite(_alt_text), ("stored",)),
    Break("set-up cell edited", _rewrite(_first_cell), ("stored",)),
    Break("compared value edited", compared_value, ("compare",)),
    Break("ordinary output edited", other_plain_output, ("nbval",)),
    Break("sign of the scores flipped", flip_sign, ("nbval",)),
    Break("labels swapped", swap_labels, ("nbval",)),
    Break("random backbone", random_backbone, ("nbval",)),
    Break("network not trained", untrained, ("nbval",)),
)


# --- The matrix -----------------------------------------------------------------------------------


def copy_tree(target: Path, *, root: Path = ROOT) -> Path:
    """Copy the tree without environments, history and what was built; returns the copy."""
    return shutil.copytree(root, target, ignore=shutil.ignore_patterns(*LEFT_OUT))


def attempt(broken: Break, method: str, *, root: Path = ROOT) -> tuple[str, Outcome | None]:
    """Make one break on a copy and run its guards until one turns red.

    Returns:
        The guard's name and what it said; ("", None) if the break does not apply to the notebook.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_tree(Path(folder) / "book", root=root)
        path = copy / "notebooks" / f"{method}.ipynb"
        try:
            broken.apply(copy, path)
        except NotApplicableError:
            return "", None
        for name in broken.guards:
            outcome = guard(name, copy, path)
            if outcome.red:
                break
        return name, outcome


def matrix(methods: list[str]) -> bool:
    """Run everything, print the table as it grows, return whether nothing escaped."""
    good = True
    print(f"{'what was done':<38}{'outcome':<12}{'guard':<8}{'s':>5}  first to say so")
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_tree(Path(folder) / "book")
        whole = [("unbroken", "stored", {}), ("unbroken", "build", {})]  # of all notebooks at once
        each = [(f"unbroken, {name}", "nbval", env) for name, env in ENVIRONMENTS.items()]
        each += [("definitions altered, none passes", "altered", {})]
        for number, method in enumerate(methods):
            print(method)
            path = copy / "notebooks" / f"{method}.ipynb"
            for what, name, environment in each if number else whole + each:
                outcome = guard(name, copy, path, environment)
                good &= not outcome.red
                _row(what, "RED" if outcome.red else "green", name, outcome)
                if outcome.red:
                    print(outcome.log[-3000:])
    for method in methods:
        print(method)
        for broken in BREAKS:
            name, outcome = attempt(broken, method)
            if outcome is None:
                print(f"{broken.name:<38}{'(does not apply)'}", flush=True)
                continue
            good &= outcome.red
            _row(broken.name, "caught" if outcome.red else "ESCAPED", name, outcome)
    print("everything was caught" if good else "SOMETHING ESCAPED, or the unbroken tree is red")
    return good


def _row(what: str, verdict: str, name: str, outcome: Outcome) -> None:
    first = outcome.first if outcome.red else ""
    print(f"{what:<38}{verdict:<12}{name:<8}{outcome.seconds:>5.0f}  {first}", flush=True)


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", help="method ids; none means all")
    try:
        paths = stored.find(parser.parse_args().notebooks)
    except stored.NotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if matrix([stored.method_id(path) for path in paths]) else 1


if __name__ == "__main__":
    sys.exit(main())
