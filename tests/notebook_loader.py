"""Load a notebook's own definitions, without running it.

    from notebook_loader import definitions

    patchcore = definitions("notebooks/memory_bank/patchcore.ipynb")
    broken = definitions("notebooks/...", replace={"distances.min(1)": "distances.max(1)"})

Imports, functions, classes and assignments to UPPERCASE names are executed; every other statement
(reading data, fitting, drawing) is left out. With `replace` a test breaks a defining equation and
sees the notebook's own fidelity check fail.

    exercises = Exercises("notebooks/memory_bank/patchcore.ipynb")
    exercises.verdict("cover", exercises.solution("cover"))  # "[x] 3 cover: correct"
"""

import ast
import contextlib
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import nbformat

KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def definitions(path: str | Path, *, replace: Mapping[str, str] | None = None) -> ModuleType:
    """Execute the definitions of a notebook.

    Args:
        path: the .ipynb.
        replace: source text -> other source text. Each key must occur exactly once in the
            notebook's definitions.

    Returns:
        A module that holds them. Names that the notebook computes (`device`, `train`, ...) can be
        set on it as attributes.

    Raises:
        ValueError: if a text to replace does not occur, occurs more than once or equals its
            replacement, or if a cell is no plain Python or cannot be executed.
    """
    path = Path(path)
    parts = _parts(path)
    for old, new in (replace or {}).items():
        count = sum(source.count(old) for _, source in parts)
        if count != 1 or old == new:
            wrong = f"occurs {count} times" if count != 1 else "is replaced by itself"
            raise ValueError(
                f"{old!r} {wrong} in the definitions of {path.name}; "
                "give a piece of a function, a class or an import that occurs exactly once"
            )
        parts = [(place, source.replace(old, new)) for place, source in parts]
    module = ModuleType(f"{path.stem}_definitions")
    for place, source in parts:
        try:
            exec(compile(source, f"{path.name}, {place}", "exec"), module.__dict__)
        except Exception as error:
            raise ValueError(
                f"{path.name}, {place}: cannot execute {source.splitlines()[0]!r} by itself: "
                f"{type(error).__name__}: {error}"
            ) from error
    return module


class Exercises:
    """A notebook's exercises: stubs, folded solutions, and what their check cells say.

    Attributes:
        names: of the functions to write, in the notebook's order.
        module: the notebook's definitions, the stubs among them.
        sources: of the folded solutions, by name.
    """

    def __init__(self, path: str | Path) -> None:
        self.module = definitions(path)
        cells = nbformat.read(path, as_version=4).cells
        english = [c.source for c in cells if "lang-en" in c.metadata.get("tags", [])]
        blocks = re.findall(r"^```python\n(.*?)^```", "\n".join(english), re.DOTALL | re.MULTILINE)
        found = {m[1]: b for b in blocks if (m := re.search(r"^def (\w+)", b, re.MULTILINE))}
        code = [c.source for c in cells if c.cell_type == "code"]
        self._checks: dict[str, str] = {}
        for at, stub in enumerate(code):
            name = re.search(r"^def (\w+)", stub, re.MULTILINE)
            if name and name[1] in found and "exercises.check(" not in stub:
                checks = [c for c in code[at + 1 : at + 3] if "exercises.check(" in c]
                self._checks |= {name[1]: checks[0]} if checks else {}
        self.names = list(self._checks)
        self.sources = {name: found[name] for name in self.names}

    def solution(self, name: str) -> Callable:
        """The folded solution, executed among the notebook's definitions."""
        space = dict(self.module.__dict__)
        exec(self.sources[name], space)
        return space[name]

    def verdict(self, name: str, answer: object) -> str:
        """What the check cell prints for an answer; the stub's own verdict for the stub."""
        space = {**self.module.__dict__, name: answer}
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(self._checks[name], space)
        return said.getvalue().strip()


def _parts(path: Path) -> list[tuple[str, str]]:
    """(place, source) of every statement that is kept, in the notebook's order."""
    parts = []
    for index, cell in enumerate(nbformat.read(path, as_version=4).cells, 1):
        if cell.cell_type != "code":
            continue
        try:
            body = ast.parse(cell.source).body
        except SyntaxError as error:
            raise ValueError(
                f"{path.name}, cell {index}, line {error.lineno}: not plain Python: {error.text}"
            ) from None
        lines = cell.source.splitlines()
        for node in body:
            if isinstance(node, KEPT) or _is_constant(node):
                first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
                parts.append((f"cell {index}", "\n".join(lines[first - 1 : node.end_lineno])))
    return parts


def _is_constant(node: ast.stmt) -> bool:
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Assign):
        targets = node.targets
    else:
        return False
    return all(isinstance(t, ast.Name) and t.id.isupper() for t in targets)
