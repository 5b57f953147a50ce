"""What the tests share: the paths of the book's own modules, the built site, and their order.

`--nb family/name` keeps the tests of one method: its notebook under nbval, its file in
tests/methods, what is parametrised with it, and the registry.

With `-n 2` the tests of a group run on one worker, so that what they share is made once, and the
groups that take longest start first, so that no worker is left alone at the end. A group is: a
notebook's cells, a method's runs on own data, what needs the built site, or any other file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

# One thread for each worker: several workers with several threads each wait for one another, and
# small networks train ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", os.environ.setdefault("BOOK_THREADS", "1"))

ROOT = Path(__file__).resolve().parent.parent
for folder in ("book/_ext", "book/tools", "book", "tests"):
    if str(ROOT / folder) not in sys.path:
        sys.path.insert(0, str(ROOT / folder))

import stored  # noqa: E402
from cost_report import CostReport, method_of  # noqa: E402

METHODS = frozenset(stored.method_id(path) for path in stored.find())
SITE_LIMIT = 1200  # seconds; the first test of the site waits until it is built
#: Seconds that a group takes, roughly: only their order matters. A notebook takes what it took in
#: `make bench`, a file that is not named here five.
SECONDS = {
    "site": 900,
    "a new notebook": 60,
    "tests/test_site_build.py": 100,
    "tests/test_colab.py": 60,
    "tests/test_notebooks.py": 60,
    "tests/test_live.py": 20,
    "tests/test_tools.py": 50,
    "tests/test_compare.py": 40,
    "own data": 20,
    "tests/methods": 20,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nb", metavar="FAMILY/NAME", help="only the tests of this method")


def pytest_configure(config: pytest.Config) -> None:
    everything = config.getoption("nbval", False) and not config.getoption("nb")
    if everything and not hasattr(config, "workerinput"):
        workers = config.getoption("numprocesses", None) or 1
        config.pluginmanager.register(CostReport(METHODS, workers))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if name := config.getoption("nb"):
        _keep(config, items, name)
    bench = yaml.safe_load((ROOT / "book/results/cost.yml").read_text(encoding="utf-8"))
    groups = {group_of(item.nodeid): None for item in items}
    slowest_first = sorted(groups, key=lambda group: -_seconds(group, bench["notebooks"]))
    place = {group: i for i, group in enumerate(slowest_first)}
    items.sort(key=lambda item: place[group_of(item.nodeid)])
    for item in items:
        if group_of(item.nodeid) == "site":
            item.add_marker(pytest.mark.timeout(SITE_LIMIT))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    # Not `--dist loadgroup`: xdist 3.8 hands the groups on in the tests' ids, which pytest 9.2
    # does not let it change; and every scheduler sorts by the number of tests unless told not to.
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


def group_of(test: str) -> str:
    """The group of a test, from pytest's id of it."""
    file = test.partition("::")[0]
    if file == "tests/test_own_data.py":
        return f"own data {method_of(test, METHODS)}"
    if test.startswith(
        (
            "tests/test_site_browser.py",
            "tests/test_site_build.py::TestTheBuiltBook::",
            "tests/test_live.py::TestThePage::",
        )
    ):
        return "site"
    return file


def _seconds(group: str, bench: dict[str, dict[str, float]]) -> float:
    """What all tests of a group take together."""
    if group.endswith(".ipynb"):
        known = bench.get(method_of(group, METHODS))
        return known["seconds"] if known else SECONDS["a new notebook"]
    return next((SECONDS[name] for name in SECONDS if group.startswith(name)), 5)


def _keep(config: pytest.Config, items: list[pytest.Item], name: str) -> None:
    """Deselect what does not concern the method (or family) of that name."""
    try:
        chosen = {stored.method_id(path) for path in stored.find([name])}
    except stored.NotebookError as error:
        raise pytest.UsageError(f"--nb: {error}") from None
    kept, left = [], []
    for item in items:
        mine = method_of(item.nodeid, METHODS) in chosen or item.path.name == "test_registry.py"
        (kept if mine else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the book once, strictly and in both languages; return the folder of the site.

    With pytest-xdist the first worker builds and the others wait for it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    log, claim = shared / "site-build.log", shared / "site-build.claimed"
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        deadline = time.monotonic() + 1200
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.5)
    else:
        command = [sys.executable, str(ROOT / "book" / "build.py")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
        text = f"{done.returncode}\n{done.stdout}{done.stderr}"
        (shared / "site-build.part").write_text(text, encoding="utf-8")
        (shared / "site-build.part").replace(log)
    status, _, output = log.read_text(encoding="utf-8").partition("\n")
    if status != "0":
        pytest.fail(f"the book does not build:\n{output}", pytrace=False)
    return ROOT / "_build" / "site"
