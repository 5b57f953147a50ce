"""What notebooks cost: time, memory and size of each against its budget, on one thread.

    python book/tools/bench.py [NOTEBOOK ...]

Notebooks run one after the other, as in `make test`; a reader's computer with more cores is faster.
Machines differ and are shared, so what counts is processor time, scaled to a machine on which the
default backbone describes REFERENCE images a second: that speed is measured beside every notebook.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from stored import (
    FILE_KB,
    ROOT,
    NotebookError,
    find,
    largest_figure,
    method_id,
    read,
    score_maps,
    too_large,
)

SECONDS, MEAN_SECONDS, MEMORY_MB = 60, 40, 3072  # the budget of a run
REFERENCE = 100  # images of 256 px that the default backbone describes in a second on one thread
#: Notebooks that may take up to LONG_SECONDS, each with its reason.
LONG_SECONDS = 90
LONG: dict[str, str] = {
    "one_class/patch_svdd": "trains in double precision, and four times more to show a collapse",
    "student_teacher/efficient_ad": "trains a teacher and three pairs of student and autoencoder",
    "student_teacher/uninformed_students": "a teacher is distilled and six students are trained",
}
ONE_THREAD = {"BOOK_THREADS": "1", "OMP_NUM_THREADS": "1"}  # torch's own, and its libraries'


def cost(path: Path) -> dict[str, Any]:
    """What one run costs: seconds at the reference speed, peak memory, stored sizes.

    Raises:
        NotebookError: if the notebook does not run.
    """
    before = images_per_second()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "papermill", str(path), str(Path(folder) / "out.ipynb")]
        command += ["--cwd", folder, "--no-progress-bar", "--log-level", "ERROR"]
        seconds, memory = _measure(command)
    speed = (before + images_per_second()) / 2
    notebook = read(path)
    return {
        "seconds": round(seconds * speed / REFERENCE, 1),
        "processor_seconds": round(seconds, 1),
        "images_per_second": round(speed, 1),
        "peak_memory_mb": memory,
        "file_kb": round(path.stat().st_size / 1000 - score_maps(notebook)),
        "figure_kb": round(largest_figure(notebook)),
        "threads": 1,
    }


def _measure(command: list[str]) -> tuple[float, int | None]:
    """Processor seconds and peak resident memory in MB (None on Windows) of a command.

    Windows tells neither of the processes that a command starts: there it is wall seconds.
    """
    environment = {**os.environ, **ONE_THREAD}
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            memory = round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))
            seconds = usage.ru_utime + usage.ru_stime
        else:
            process.wait()
            memory = None
            seconds = time.perf_counter() - start
        if process.returncode:
            log.seek(0)
            raise NotebookError(f"{' '.join(command)} failed:\n{log.read()[-3000:]}")
    return seconds, memory


def over_budget(method: str, entry: dict[str, Any]) -> list[str]:
    """Which limits the cost of a method's notebook exceeds."""
    limits = {
        "seconds": LONG_SECONDS if method in LONG else SECONDS,
        "peak_memory_mb": MEMORY_MB,
        "file_kb": FILE_KB,
    }
    return [key for key, limit in limits.items() if (entry[key] or 0) > limit]


def bench(paths: list[Path], *, output: Path) -> None:
    """Measure notebooks, write `output` (YAML, one line a notebook) and print a table.

    Entries of notebooks that were not measured this time stay.

    Raises:
        NotebookError: if a notebook or their mean exceeds its budget; the file is then written all
            the same.
    """
    import yaml

    old = yaml.safe_load(output.read_text(encoding="utf-8")) if output.is_file() else None
    alive = {method_id(path) for path in find()}
    entries = {k: v for k, v in (old or {}).get("notebooks", {}).items() if k in alive}
    head = f"{'notebook':<36}{'seconds':>9}{'measured':>9}{'MB':>7}{'KB':>6}{'figure KB':>11}  over"
    print(head, "-" * len(head), sep="\n")
    heavy = []
    for path in paths:
        method, large = method_id(path), too_large(read(path))
        entry = entries[method] = cost(path)
        over = over_budget(method, entry) + (["figures"] if large else [])
        heavy += [f"{method} ({', '.join(over)})"] if over else []
        print(
            f"{method:<36}{entry['seconds']:>9.1f}{entry['processor_seconds']:>9.1f}"
            f"{entry['peak_memory_mb'] or '?':>7}"
            f"{entry['file_kb']:>6}{entry['figure_kb']:>11}  {', '.join(over) or '-'}",
            flush=True,
        )
    seconds = [entry["seconds"] for entry in entries.values()]
    mean = sum(seconds) / len(seconds)
    print(f"{len(seconds)} notebooks: mean {mean:.1f} s, all together {sum(seconds):.0f} s")
    lines = [
        "# Written by `make bench`. seconds: processor time of a run on one thread, with imports,",
        f"# on a machine whose default backbone describes {REFERENCE} images a second.",
        "notebooks:",
        *(f"  {key}: {json.dumps(entries[key])}" for key in sorted(entries)),
    ]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    if mean > MEAN_SECONDS:
        heavy.append(f"the mean ({mean:.1f} s, the limit is {MEAN_SECONDS} s)")
    if heavy:
        raise NotebookError(f"over budget: {', '.join(heavy)}")


def images_per_second() -> float:
    """Images of 256 px that the default backbone describes in a second of one thread's time."""
    code = (
        "import time, numpy, torch\n"
        "from helpers import backbones\n"
        "torch.set_num_threads(1)\n"
        "images = numpy.random.default_rng(0).integers(0, 256, (64, 256, 256, 3), 'uint8')\n"
        "backbone = backbones.load()\n"
        "backbone.features(images[:16])\n"
        "start = time.process_time()\n"
        "backbone.features(images)\n"
        "print(64 / (time.process_time() - start))\n"
    )
    environment = {**os.environ, **ONE_THREAD}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", help="ids, files or folders; none means all")
    try:
        paths = find(parser.parse_args(arguments).notebooks)
        bench(paths, output=ROOT / "book" / "results" / "cost.yml")
    except NotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
