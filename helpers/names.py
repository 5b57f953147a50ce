"""What somebody may have meant by a name that does not exist."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], count: int = 1) -> str:
    """The part of an error message that suggests the nearest known names.

    Args:
        name: what was given; upper and lower case are the same.
        known: what there is.
        count: how many names to suggest at most.

    Returns:
        ``"did you mean 'elpv'? "``, ready to be followed by more, or an empty text.
    """
    lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), lower, n=count)
    return f"did you mean {', '.join(repr(lower[n]) for n in near)}? " if near else ""
