"""Run a notebook in a forked child: the libraries are imported once, and no kernel is started.

    from forked import execute

    ran = execute("notebooks/memory_bank/patchcore.ipynb", {"image_size": 128}, cwd=folder)
    ran.records("report"), ran.text, ran.stderr

The first call of a process starts a server that imports the libraries and computes nothing; every
call forks it. (A process that has computed with several threads must not be forked: the child
would wait for threads that it does not have.) In the child the code cells run one after another in
IPython's own shell, as in a kernel: `In`, `display` and the metadata of outputs work.
"""

import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import stored

LIMIT = 240  # seconds for one run, below the limit of a test
#: What the notebooks import; a name that is missing here only makes the runs slower.
LIBRARIES = [
    *("torch", "torchvision", "timm", "numpy", "scipy.stats", "scipy.ndimage", "scipy.spatial"),
    *("skimage", "sklearn.decomposition", "sklearn.metrics", "matplotlib.pyplot", "tqdm.auto"),
    *("IPython.core.interactiveshell", "nbformat", "helpers.backbones", "helpers.data"),
    *("helpers.metrics", "helpers.plot", "helpers.report", "helpers.exercises"),
]
_context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
_context.set_forkserver_preload(LIBRARIES)


@dataclass(frozen=True)
class Execution:
    """What a notebook showed.

    Attributes:
        outputs: data and metadata of each displayed output, in order.
        stdout: what was printed.
        stderr: what was written to stderr, by libraries below Python as well.
    """

    outputs: list[dict[str, dict[str, Any]]]
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Everything that shows as text: what was printed, then what was displayed."""
        shown = [output["data"].get("text/plain", "") for output in self.outputs]
        return "\n".join([self.stdout, *shown])

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The records of one kind, in order."""
        found = [o["metadata"]["book"] for o in self.outputs if "book" in o["metadata"]]
        return [record for record in found if record["kind"] == kind]


def execute(path: Path, settings: Mapping[str, Any], *, cwd: Path) -> Execution:
    """Run a notebook's code cells with other parameters than the defaults; the file stays as it is.

    Args:
        path: the notebook.
        settings: name -> value; like papermill, as a cell after the one tagged `parameters`.
        cwd: working directory of the run.

    Raises:
        NotebookError: if a cell raises, if the run takes longer than LIMIT seconds or ends without
            a result, or for a parameter that the notebook does not have.
    """
    sources = _sources(path, settings)
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder) / "stdout.txt", Path(folder) / "stderr.txt"
        ours, theirs = _context.Pipe(duplex=False)
        child = _context.Process(target=_run, args=(theirs, sources, cwd, logs), daemon=True)
        child.start()
        theirs.close()
        try:
            outputs, fault = ours.recv() if ours.poll(LIMIT) else ([], f"took over {LIMIT} s")
        except EOFError:
            child.join()
            outputs, fault = [], f"ended without a result, exit code {child.exitcode}"
        finally:
            child.kill()
            child.join()
        stdout, stderr = (log.read_text("utf-8") if log.exists() else "" for log in logs)
    if fault is not None:
        printed = "\n".join([*stdout.splitlines()[-20:], *stderr.splitlines()[-20:]])
        raise stored.NotebookError(f"{stored.method_id(path)}: {fault}\n{printed}")
    return Execution(outputs, stdout, stderr)


def _sources(path: Path, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name for messages, source) of every code cell, with papermill's cell among them."""
    notebook = stored.read(path)
    unknown = set(settings) - set(stored.parameters(notebook))
    if unknown:
        raise stored.NotebookError(f"{path.name} has no parameter {', '.join(sorted(unknown))}")
    sources = []
    for index, cell in stored.code_cells(notebook):
        sources.append((stored.where(index, cell), cell.source))
        if "parameters" in cell.metadata.get("tags", []):
            lines = ["# Parameters", *(f"{name} = {value!r}" for name, value in settings.items())]
            sources.append(("the passed parameters", "\n".join(lines)))
    return sources


def _run(
    connection: Connection, sources: list[tuple[str, str]], cwd: Path, logs: tuple[Path, Path]
) -> None:
    """The child: run the cells and send (outputs, fault or None)."""
    for stream, log in zip((sys.stdout, sys.stderr), logs, strict=True):
        stream.flush()
        with log.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(cwd)
    outputs: list[dict[str, dict[str, Any]]] = []
    fault = None
    try:
        shell = _shell(outputs)
        for name, source in sources:
            result = shell.run_cell(source, store_history=True)
            error = result.error_before_exec or result.error_in_exec
            if error is not None:
                fault = f"{name} raised {type(error).__name__}: {error}"
                break
    except BaseException:
        fault = traceback.format_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send((outputs, fault))


def _shell(outputs: list[dict[str, dict[str, Any]]]) -> Any:
    """IPython's shell as get_ipython() finds it; what it shows goes into `outputs`."""
    from IPython.core.displayhook import CapturingDisplayHook
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False  # no database, and no thread that writes it
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    publisher = CapturingDisplayPublisher(shell=shell)
    publisher.outputs = outputs
    shell.display_pub = publisher
    shell.display_trap.hook = CapturingDisplayHook(shell, outputs)
    return shell
