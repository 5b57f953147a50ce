"""Check parsed YAML against a JSON schema, with messages for the person who wrote the YAML."""

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

Path_ = Sequence[str | int]
NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "null": "null",
}


def problems(data: Any, schema: Path) -> dict[str, Path_]:
    """What breaks the schema.

    Args:
        data: the parsed file.
        schema: the JSON schema (draft 7). The `description` of a `pattern` says in words what must
            stand there.

    Returns:
        Messages ``<entry>: <key>: <what was found>`` with the place of each, in the file's order.
    """
    rules = Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    found: dict[str, Path_] = {}
    for error in sorted(rules.iter_errors(data), key=_order):
        path = list(error.absolute_path)
        for place, what in _explain(error, path):
            *outer, key = place
            if isinstance(key, int):  # an item of a list of plain values, or no mapping at all
                key = f"{outer.pop()} {key + 1}"
            found[f"{where(outer, data)}: {key}: {what}"] = path
    return found


def unknown(what: str, name: object, known: Iterable[object]) -> str:
    """The message for a name that does not exist, with the nearest one that does."""
    names = [str(k) for k in known]
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:12]) or 'none'}"
    return f"unknown {what} {name!r}; {hint}"


def where(path: Path_, data: Any) -> str:
    """A place in words: ``memory_bank/padim, headline 2`` for methods, 36, headline, 1."""
    parts: list[str] = []
    steps, node = list(path), data
    while steps:
        key = steps.pop(0)
        node, name = node[key], str(key)
        if steps and isinstance(steps[0], int):
            number = int(steps.pop(0))
            node = node[number]
            identity = node.get("id") if isinstance(node, dict) else None
            top = key == "methods" and isinstance(identity, str)
            name = identity if top else f"{key} {identity or number + 1}"
        parts.append(name)
    return ", ".join(parts) or "the file"


def _explain(error: ValidationError, path: list[str | int]) -> list[tuple[list[str | int], str]]:
    value, rule = error.instance, error.validator_value
    match error.validator:
        case "required":
            return [([*path, key], "is missing") for key in rule if key not in value]
        case "additionalProperties":
            known = error.schema["properties"]
            return [([*path, k], unknown("key", k, known)) for k in value if k not in known]
        case "enum":
            return [(path, unknown("value", value, rule))]
        case "type":
            kinds = " or ".join(NAMES[k] for k in ([rule] if isinstance(rule, str) else rule))
            return [(path or ["content"], f"must be {kinds}, found {value!r}")]
        case _:
            return [(path, f"must be {error.schema['description']}, found {value!r}")]


def _order(error: ValidationError) -> list[str]:
    return [f"{step:05}" if isinstance(step, int) else step for step in error.absolute_path]
