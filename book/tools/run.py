"""Run notebooks and store their outputs.

    python book/tools/run.py [NOTEBOOK ...]

A NOTEBOOK is a method id (memory_bank/patchcore), a file or a folder; none means all of them.
BOOK_THREADS is the number of threads each notebook computes with; by default 1, so that two can
run side by side.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from stored import (
    NotebookError,
    expected,
    faults,
    find,
    measured,
    method_id,
    normalise,
    parameters,
    read,
    write,
)

ROOT = Path(__file__).resolve().parents[2]


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
    os.environ.setdefault("BOOK_THREADS", "1")
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


def store(path: Path) -> None:
    """Execute a notebook and store it with its outputs.

    Raises:
        NotebookError: if it may not be stored (the file then stays as it was, and what came out
            lies in _build/refused), or if a number left its band (the file is then stored).
    """
    notebook = normalise(execute(path))
    found = faults(notebook)
    if found:
        refused = ROOT / "_build" / "refused" / f"{method_id(path)}.ipynb"
        refused.parent.mkdir(parents=True, exist_ok=True)
        write(notebook, refused)
        lines = "\n  ".join(found)
        raise NotebookError(f"{method_id(path)} not stored (see {refused}):\n  {lines}")
    write(notebook, path)
    bands = expected(notebook)["bands"]
    left = [
        f"{name} = {value:.4f} is outside {bands[name]}"
        for name, value in measured(notebook).items()
        if name in bands and value is not None and not bands[name][0] <= value <= bands[name][1]
    ]
    left += [f"{name} has no band" for name in measured(notebook) if name not in bands]
    if left:
        raise NotebookError(
            f"{method_id(path)} stored, but: {'; '.join(left)}. "
            f"If the change is meant: make bands NB={method_id(path)}"
        )


def each(what: Callable[[Path], None], description: str, arguments: list[str] | None) -> int:
    """A command line that does something with each notebook named; returns the exit status."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("notebooks", nargs="*", help="ids, files or folders; none means all")
    try:
        paths = find(parser.parse_args(arguments).notebooks)
    except NotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    failed = 0
    for path in paths:
        print(method_id(path), flush=True)
        start = time.perf_counter()
        try:
            what(path)
            print(f"  done in {time.perf_counter() - start:.0f} s", flush=True)
        except NotebookError as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return each(store, __doc__.splitlines()[0], arguments)


if __name__ == "__main__":
    sys.exit(main())
