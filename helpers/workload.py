"""What long work will need, said before it begins, and refused where it cannot fit."""

from pathlib import Path

import psutil

# The book's own data: it prints the same on every machine, and nobody needs its table of scores.
COME_WITH_PIP = ("elpv", "textile", "textures")
_LIMITS = (  # limit, use, statistics of a container and what of it is given back: cgroup 2 and 1
    "memory.max memory.current memory.stat inactive_file",
    "memory/memory.limit_in_bytes memory/memory.usage_in_bytes memory/memory.stat "
    "total_inactive_file",
)


def available(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory that can still be used, in bytes.

    Args:
        groups: where Linux keeps the limits of a container; the smaller number counts.

    Returns:
        Bytes, 0 or more.
    """
    free = int(psutil.virtual_memory().available)
    for limit, used, statistics, cache in map(str.split, _LIMITS):
        try:
            room = int((groups / limit).read_text()) - int((groups / used).read_text())
            lines = (line.split() for line in (groups / statistics).read_text().splitlines())
            room += sum(int(line[1]) for line in lines if line[0] == cache)
        except (OSError, ValueError):  # no such limit, or the word "max"
            continue
        free = min(free, max(room, 0))
    return free


def plan(*, memory: float, seconds: float = 0, images: int, dataset: str, advice: str = "") -> None:
    """Print one line before long work, or refuse work that does not fit into memory.

    Nothing is printed for the data sets that come with the book, whose cost is known.

    Args:
        memory: what the work will hold at its peak, in bytes.
        seconds: how long it will take; 0 if it is not worth a word.
        images: how many images it works on.
        dataset: the notebook's parameter.
        advice: what makes the work smaller, ``"use image_size=256, or fewer images"``.

    Raises:
        ValueError: if `memory` exceeds what is available, with both numbers and the advice.
    """
    check(memory=memory, images=images, advice=advice)
    if dataset not in COME_WITH_PIP:
        time = f" and {_time(seconds)}" if seconds else ""
        print(f"about {_size(memory)} of memory{time} for {images:,} images")


def check(*, memory: float, images: int, advice: str = "") -> None:
    """Refuse work that does not fit into memory; the arguments are those of `plan`.

    Raises:
        ValueError: if `memory` exceeds what is available, with both numbers and the advice.
    """
    free = available()
    if memory > free:
        raise ValueError(
            f"{images:,} images need about {_size(memory)} of memory, and {_size(free)} are free"
            + (f"; {advice}" if advice else "")
        )


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{max(count / 1e6, 1):.0f} MB"


def _time(seconds: float) -> str:
    value, unit = (seconds / 60, "minute") if seconds >= 90 else (max(seconds, 1), "second")
    return f"{value:.0f} {unit}{'' if round(value) == 1 else 's'}"
