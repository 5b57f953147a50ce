"""What several test files share: the paths of the book's own modules, and the built site."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in ("book/_ext", "book/tools", "book", "tests"):
    if str(ROOT / folder) not in sys.path:
        sys.path.insert(0, str(ROOT / folder))


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
