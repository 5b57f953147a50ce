"""What a full run of the tests cost, and what sixty methods would: a line before pytest's last.

    cost: fixed 4.1 min + 52 s a method (10 methods) -> 60 methods: 56 min

Seconds that belong to a method (its notebook's cells, its file in tests/methods, what is
parametrised with it) and those of the site's tests grow with the number of methods; everything
else, starting up and idling workers among it, counts as fixed.
"""

import re
import time
from collections.abc import Collection

import pytest

GOAL = 60  # methods of the whole reading list, roughly


def method_of(test: str, methods: Collection[str]) -> str | None:
    """The method that a test belongs to: by its notebook, its file or its parameter.

    Args:
        test: pytest's id of the test.
        methods: ids of all methods, `<family>/<name>`.
    """
    file = test.partition("::")[0]
    if match := re.search(r"tests/methods/test_(\w+)\.py$", file):
        return next((id for id in methods if id.endswith(f"/{match[1]}")), None)
    match = re.search(r"(\w+/\w+)\.ipynb$", file) or re.search(
        r"\[(?:.*?[/-])?(\w+/\w+)(?:\.(?:ko|en|ipynb))?\]$", test
    )
    return match[1] if match and match[1] in methods else None


class CostReport:
    """Adds up durations while the tests run; registered by conftest.py for full runs."""

    def __init__(self, methods: Collection[str], workers: int) -> None:
        self.methods, self.workers = methods, workers
        self.seen: set[str] = set()
        self.growing = 0.0  # seconds of all workers together
        self.start = time.perf_counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one phase (set-up, call, tear-down) of one test."""
        method = method_of(report.nodeid, self.methods)
        if method is not None:
            self.seen.add(method)
        if method is not None or "test_site_" in report.nodeid:
            self.growing += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the line; nothing if some method was not tested."""
        if self.seen == set(self.methods):
            wall = time.perf_counter() - self.start
            terminalreporter.write_line(
                sentence(wall, self.growing / self.workers, len(self.methods))
            )


def sentence(wall: float, growing: float, methods: int) -> str:
    """The line, from wall seconds, those of them that grow with the methods, and their number."""
    fixed, each = wall - growing, growing / methods
    return (
        f"cost: fixed {fixed / 60:.1f} min + {each:.0f} s a method ({methods} methods) "
        f"-> {GOAL} methods: {(fixed + GOAL * each) / 60:.0f} min"
    )
