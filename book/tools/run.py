"""Run notebooks and store their outputs.

    python book/tools/run.py [--jobs N] [NOTEBOOK ...]

A NOTEBOOK is a method id (memory_bank/patchcore), a file or a folder; none means all of them. As
many run side by side as there are processors, each with BOOK_THREADS threads, by default one.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1] / "_ext"))
import records
from stored import (
    NotebookError,
    expectation,
    faults,
    find,
    method_id,
    normalise,
    parameters,
    read,
    root_of,
    set_stamp,
    version,
    write,
    write_expectation,
)


def execute(
    source: Path, *, settings: dict[str, Any] | None = None, cwd: Path | None = None
) -> nbformat.NotebookNode:
    """Run a notebook top to bottom with papermill; the file itself stays as it is.

    Args:
        source: the notebook.
        settings: parameters that differ from the defaults.
        cwd: working directory of the kernel; the notebook's own folder by default, as in
            JupyterLab and nbval.

    Returns:
        The executed notebook.

    Raises:
        NotebookError: if a cell raises, or for a parameter that the notebook does not have.
    """
    import papermill

    unknown = set(settings or {}) - set(parameters(read(source)))
    if unknown:
        raise NotebookError(f"{source.name} has no parameter {', '.join(sorted(unknown))}")
    os.environ.setdefault("OMP_NUM_THREADS", os.environ.setdefault("BOOK_THREADS", "1"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            papermill.execute_notebook(
                str(source),
                str(Path(folder) / source.name),
                parameters=settings or {},
                cwd=str(cwd or source.parent),
                progress_bar=False,
            )
        except papermill.PapermillExecutionError as error:
            raise NotebookError(
                f"{method_id(source)}: cell of execution count {error.exec_count} raised "
                f"{error.ename}: {error.evalue}\n{error.source}"
            ) from None
        return read(Path(folder) / source.name)


Executor = Callable[..., nbformat.NotebookNode]
"""As `execute`: (path, *, settings, cwd) -> the executed notebook."""


def store(path: Path, *, execute: Executor = execute) -> None:
    """Execute a notebook and store it with its outputs, stamped with the version of its code.

    The run is compared with the bands as they are; only if every number lies in its band and every
    claim is judged as before do notebook and bands get the new stamp. A notebook without bands is
    stored as it is.

    Raises:
        NotebookError: if it may not be stored (the file then stays as it was, and what came out
            lies in _build/refused), or if a number left its band or a claim got another verdict
            (the file is then stored, without a new stamp).
    """
    method, source = method_id(path), read(path)
    expected = expectation(path)
    if not expected or not expected["bands"]:
        # Without bands, but not without a file: where no history is kept (nbval) it names the
        # parameters.
        expected = {"version": "", "settings": parameters(source), "bands": {}, "claims": {}}
        write_expectation(expected, path)
    set_stamp(source, expected["version"])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.parent.name / path.name
        copy.parent.mkdir()
        write(source, copy)
        notebook = normalise(execute(copy, cwd=path.parent))
    found = faults(notebook)
    if found:
        refused = root_of(path) / "_build" / "refused" / f"{method}.ipynb"
        refused.parent.mkdir(parents=True, exist_ok=True)
        write(notebook, refused)
        lines = "\n  ".join(found)
        raise NotebookError(f"{method} not stored (see {refused}):\n  {lines}")
    left = departures(records.pieces(notebook), expected) if expected["bands"] else []
    if expected["bands"] and not left:
        expected["version"] = version(notebook)
        set_stamp(notebook, expected["version"])
        write_expectation(expected, path)
    write(notebook, path)
    if left:
        raise NotebookError(
            f"{method} stored, but: {'; '.join(left)}. "
            f"If the change is meant: make bands NB={method}"
        )
    if not expected["bands"]:
        print(f"{method}: stored; it has no bands yet: make bands NB={method}", flush=True)


def departures(pieces: list[dict[str, Any]], expected: dict[str, Any]) -> list[str]:
    """In what a run's records differ from what the five seeds gave."""
    bands = expected["bands"]
    values = {k: v for k, v in records.measured(pieces).items() if v is not None}
    verdicts = {name: piece["verdict"] for name, piece in records.verdicts(pieces).items()}
    before = expected["claims"]
    left = [
        f"{name} = {value:.4f} is outside {bands[name]}"
        for name, value in values.items()
        if name in bands and not bands[name][0] <= value <= bands[name][1]
    ]
    left += [f"{name} has no band" for name in values if name not in bands]
    left += [f"{name} was not measured" for name in bands if name not in values]
    left += [
        f"claim {name}: {verdicts.get(name, 'missing')}, "
        f"expected {' or '.join(sorted(set(before.get(name, ['no claim']))))}"
        for name in {**before, **verdicts}
        if verdicts.get(name) not in before.get(name, ())
    ]
    return left


def each(
    work: Callable[[Path], None],
    description: str,
    arguments: list[str] | None,
    *,
    instead: Mapping[str, Callable[[Path], None]] | None = None,
) -> int:
    """The command line of what is done with each notebook, `--jobs` of them at a time.

    Args:
        work: a function of a module, so that other processes find it.
        description: one line for `--help`.
        arguments: of the command line.
        instead: by option, what is done in place of `work`; its first line is the option's help.

    Returns:
        The exit status: 1 if one of them raised a NotebookError, which is then printed.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("notebooks", nargs="*", help="ids, files or folders; none means all")
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=jobs, help="notebooks at a time (%(default)s)")
    parser.set_defaults(work=work)
    for option, other in (instead or {}).items():
        about = (other.__doc__ or "").splitlines()[0]
        parser.add_argument(option, dest="work", action="store_const", const=other, help=about)
    chosen = parser.parse_args(arguments)
    try:
        paths = find(chosen.notebooks)
    except NotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with ProcessPoolExecutor(max(1, min(chosen.jobs, len(paths)))) as pool:
        done = pool.map(_attempt, [chosen.work] * len(paths), paths)
        return 0 if all(list(done)) else 1


def _attempt(work: Callable[[Path], None], path: Path) -> bool:
    """Do the work on one notebook; print its error, and return whether there was none."""
    start = time.perf_counter()
    try:
        work(path)
    except NotebookError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return False
    print(f"{method_id(path)}: done in {time.perf_counter() - start:.0f} s", flush=True)
    return True


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return each(store, __doc__.splitlines()[0], arguments)


if __name__ == "__main__":
    sys.exit(main())
