"""Comparison records: what is planned in compare.yml, and what `make compare` wrote.

A notebook's stored run is one data set with the default settings. Other data sets, sweeps over the
number of normal images and other seeds are rows of ``results/compare/<family>.yml``. A row holds

``method``, ``settings``
    the method's id, and the parameters that differ from its notebook's defaults
``version``, ``made``
    of the notebook's code up to its report, and the day of the run
``dataset``, ``fingerprint``, ``counts``, ``metrics``, ``intervals``, ``missing``, ``baselines``,
``random_weights``, ``seconds``, ``peak_memory_mb``
    as in the notebook's report, see `records`
``megapixels_per_second``
    of all images, on one core, from the start of the run to its result
``median_scores``
    of the ``normal`` and of the ``anomalous`` test images, where the report holds their scores
``auroc_by_kind``
    the image AUROC of each kind of defect, where several kinds are ranked
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

Row = dict[str, Any]
Settings = dict[str, Any]


#: Stands for every method where the name of a row is looked up.
ALL = "*"


class ComparisonError(ValueError):
    """The plan or a record is not what it must be; the message names the file."""


def plan(path: str | Path, family: str, methods: Iterable[str]) -> list[tuple[str, Settings]]:
    """What to run for a family.

    Args:
        path: ``book/compare.yml``.
        family: its id.
        methods: ids of the family's methods, in the order of the rows of one setting.

    Returns:
        (method, settings), settings in the order of the file; nothing for a family without plan.

    Raises:
        ComparisonError: if the file is no mapping of families to lists of settings, names a method
            that is not there, or asks for the same twice.
    """
    path, methods = Path(path), list(methods)
    found: dict[str, tuple[str, Settings]] = {}
    for number, given in enumerate(_mapping(path).get(family, []), 1):
        place = f"{path.name}, {family}, row {number}"
        if not isinstance(given, dict) or not given:
            raise ComparisonError(f"{place}: must map parameters to values, found {given!r}")
        settings = _settings(given)
        chosen = given.get("methods", methods)
        if unknown := set(chosen) - set(methods):
            raise ComparisonError(
                f"{place}: {', '.join(sorted(unknown))} is no written method of the family; "
                f"there are: {', '.join(methods) or 'none'}"
            )
        for method in methods:
            if method in chosen:
                if key(method, settings) in found:
                    raise ComparisonError(f"{place}: {method} has these settings twice")
                found[key(method, settings)] = method, settings
    return list(found.values())


def columns(path: str | Path, family: str, language: str) -> dict[str, str]:
    """The names that rows of a plan have on pages, by `key`; most rows have none.

    Where methods need other parameters each for one purpose, say equal seconds, a common name puts
    them into one column; likewise where they see the same images at other sizes. The name of a row
    for all methods stands under `ALL`.
    """
    return {
        key(method, _settings(given)): (
            name if isinstance(name := given["column"], str) else name[language]
        )
        for given in _mapping(Path(path)).get(family, [])
        if "column" in given
        for method in given.get("methods", [ALL])
    }


def families(path: str | Path) -> list[str]:
    """The families that have a plan."""
    return list(_mapping(Path(path)))


def record(path: str | Path) -> list[Row]:
    """The rows of ``book/results/compare/<family>.yml``; none if there is no such file.

    Raises:
        ComparisonError: if the file is no such record.
    """
    path = Path(path)
    if not path.is_file():
        return []
    rows = _mapping(path).get("rows")
    if not isinstance(rows, list) or not all(isinstance(r, dict) and "metrics" in r for r in rows):
        raise ComparisonError(f"{path.name} must hold 'rows': run make compare FAMILY={path.stem}")
    return rows


def key(method: str, settings: Mapping[str, Any]) -> str:
    """What tells rows apart."""
    return f"{method} {json.dumps(settings, sort_keys=True)}"


def _settings(given: Mapping[str, Any]) -> Settings:
    """The parameters of a row of the plan, without what is said about it."""
    return {name: value for name, value in given.items() if name not in ("methods", "column")}


def _mapping(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ComparisonError(f"{path.name} is no YAML: {error}") from error
    if not isinstance(found, dict):
        raise ComparisonError(f"{path.name} must be a mapping, found {type(found).__name__}")
    return found
