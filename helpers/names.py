"""What somebody may have meant by a name that does not exist, and short names for data."""

import difflib
import hashlib
from collections.abc import Iterable
from typing import Any


def did_you_mean(name: Any, known: Iterable[str], count: int = 1, *, cutoff: float = 0.6) -> str:
    """The part of an error message that suggests the nearest known names.

    Args:
        name: what was given; upper and lower case are the same.
        known: what there is.
        count: how many names to suggest at most.
        cutoff: how alike a suggestion must be, 0 to 1; see :func:`difflib.get_close_matches`.

    Returns:
        ``"did you mean 'elpv'? "``, ready to be followed by more, or an empty text.
    """
    lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(str(name).lower(), lower, n=count, cutoff=cutoff)
    return f"did you mean {', '.join(repr(lower[n]) for n in near)}? " if near else ""


def known(what: str, name: Any, names: Iterable[str]) -> None:
    """Raise a ValueError with the nearest suggestion unless `name` is one of `names`."""
    names = list(names)
    if name not in names:
        hint = did_you_mean(name, names, cutoff=0.5)
        raise ValueError(f"unknown {what}: {name!r}; {hint}known: {', '.join(names) or 'none'}")


def digest(*parts: Any) -> str:
    """Return 12 hex digits that depend on every part, as text, and on their order."""
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:12]
