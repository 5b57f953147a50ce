"""Alter source systematically and list the alterations that no check notices.

    python tests/mutate.py exercises memory_bank/patchcore     # altered solutions that pass
    python tests/mutate.py definitions memory_bank/patchcore   # altered definitions that pass

A survivor is either equivalent (no input tells it from the original) or shows a check that is
missing. Equivalent ones are named, with the reason, in the method's test file:

    EQUIVALENT = {"cover": {"while gap.max() {> → >=} radius:": "no distance equals the radius"}}
    EQUIVALENT_DEFINITIONS = {
        "extract": {"size = {64 → 65}": "the size of a batch changes nothing"},
        "shaken": "only the checks use it",  # the whole definition
    }

An entry that does not survive any more is reported as well: see `unexpected`. Altered code runs in
forked children with a limit of processor time; one that takes longer counts as noticed.
"""

import argparse
import ast
import contextlib
import copy
import io
import os
import re
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent
MODULES = {"F", "linalg", "math", "ndimage", "nn", "np", "scipy", "torch"}
#: What stands for an operator; the first is its opposite, the others its neighbours.
OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Lt: (ast.GtE, ast.LtE),
    ast.LtE: (ast.Gt, ast.Lt),
    ast.Gt: (ast.LtE, ast.GtE),
    ast.GtE: (ast.Lt, ast.Gt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
PAIRS = (
    "min max",
    "amin amax",
    "argmin argmax",
    "minimum maximum",
    "fmin fmax",
    "any all",
    "exp log",
    "log1p expm1",
    "sin cos",
    "floor ceil",
    "zeros ones",
    "var std",
)
#: Name of a function or method -> names put in its place.
NAMES: dict[str, tuple[str, ...]] = {
    "mean": ("sum", "median", "max"),
    "sum": ("mean", "max"),
    "median": ("mean",),
    "cumsum": ("cumprod",),
    "tan": ("tanh",),
    "norm": ("mean",),
    "sqrt": ("square",),
    "square": ("abs",),
    **{a: (b,) for pair in PAIRS for a, b in (pair.split(), pair.split()[::-1])},
}
#: Functions of which f(-x) is a typical mistake.
ODD_OR_STEEP = {"arctan", "exp", "sigmoid", "sin", "softplus", "tan", "tanh"}
#: Methods that change where or how values lie, and not the values; and the seeding of chance.
CONVERSIONS = {"clone", "contiguous", "copy", "cpu", "detach", "item", "manual_seed", "numpy", "to"}
#: Keywords that change no value, or only which values chance gives.
KEYWORDS_LEFT = {"device", "generator", "strict"}
#: Parameters that only steer chance or place.
STEERING = {"self", "seed", "device", "generator", "rng", "bar", "watch"}
SKIPPED_FIELDS = {"annotation", "decorator_list", "returns", "func", "ops", "op", "ctx"}
SKIPPED = (ast.arguments, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr, ast.Raise)

Place = tuple[ast.AST, str, int | None]
"""Where a node hangs: its parent, the field and the index in the field if that is a list."""


@dataclass(frozen=True)
class Mutant:
    """An altered source.

    Attributes:
        description: the altered statement with ``{old → new}`` in it; no two of a source are alike.
        source: the whole altered source.
        line: of the original source, counted from 1.
    """

    description: str
    source: str
    line: int


# --- Altering source ------------------------------------------------------------------------------


def mutants(source: str) -> list[Mutant]:
    """Every alteration of a source, one at a time, always in the same order.

    Docstrings, defaults, annotations, assertions and the raising of errors stay as they are.
    """
    tree = ast.parse(source)
    seen, used, found = {ast.unparse(tree)}, Counter(), []
    for statement, node, place in list(_places(tree)):
        before = _heading(statement)
        for what, (owner, field, index), new in _edits(node, place):
            old = _get(owner, field, index)
            _put(owner, field, index, new)
            text, after = ast.unparse(tree), _heading(statement)
            _put(owner, field, index, old)
            if text in seen or not _compiles(text):
                continue
            seen.add(text)
            description = f"{what}: {before}" if what == "dropped" else what or _told(before, after)
            used[description] += 1
            if used[description] > 1:
                description += f" ({used[description]})"
            found.append(Mutant(description, text, node.lineno))
    return found


def medians(source: str) -> list[Mutant]:
    """Every ``x.mean(...)`` as ``np.median(x, ...)``: alike for one value or two."""
    tree, found = ast.parse(source), []
    for statement, node, place in list(_places(tree)):
        function = getattr(node, "func", None)
        if not isinstance(function, ast.Attribute) or function.attr != "mean":
            continue
        if not _is_module(function.value):
            before = _heading(statement)
            call = ast.Call(_expression("np.median"), [function.value, *node.args], node.keywords)
            _put(*place, call)
            found.append(Mutant(_told(before, _heading(statement)), ast.unparse(tree), node.lineno))
            _put(*place, node)
    return found


def _places(node: ast.AST, statement: ast.stmt | None = None) -> Iterator[tuple]:
    """(statement it stands in, node, where it hangs) of all that may be altered."""
    for field, value in ast.iter_fields(node):
        if field in SKIPPED_FIELDS - ({"func"} if isinstance(node, ast.Call) else set()):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, SKIPPED) or _is_aside(child):
                continue
            here = child if isinstance(child, ast.stmt) else statement
            if hasattr(child, "lineno"):
                yield here, child, (node, field, index)
            yield from _places(child, here)


def _is_aside(node: ast.AST) -> bool:
    """A docstring, super().__init__(), strict=True, or a guard that only raises an error."""
    if isinstance(node, ast.keyword):
        return node.arg in KEYWORDS_LEFT
    if isinstance(node, ast.If):
        return len(node.body) == 1 and isinstance(node.body[0], ast.Raise) and not node.orelse
    return isinstance(node, ast.Expr) and (
        isinstance(node.value, ast.Constant) or ast.unparse(node).startswith("super().__init__")
    )


def _edits(node: ast.AST, place: Place) -> Iterator[tuple[str, Place, object]]:
    """(what to say about it, where to put it, what to put there)."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.If | ast.For | ast.Expr | ast.Break):
        yield "dropped", place, ast.Pass()
    if isinstance(node, ast.AugAssign):
        for operator in OPERATORS.get(type(node.op), ()):
            yield "", (node, "op", None), operator()
    if isinstance(node, ast.FunctionDef):
        named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for name in [a.arg for a in named if a.arg not in STEERING]:
            for value in (1, 2):
                line = f"{name} = {value}"
                body = [*ast.parse(line).body, *node.body]
                yield f"parameter of {node.name} ignored: {line}", (node, "body", None), body
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield "", (node, "test", None), ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.For):
        for part in ("list({})[:1]", "list({})[1:]"):
            yield "", (node, "iter", None), _expression(part.format(ast.unparse(node.iter)))
    if isinstance(node, ast.Return) and node.value is not None:
        if isinstance(node.value, ast.Tuple):
            values = node.value.elts
            for i in range(len(values) - 1):
                swapped = [*values[:i], values[i + 1], values[i], *values[i + 2 :]]
                yield "", (node, "value", None), ast.Tuple(swapped, ast.Load())
            for i, value in enumerate(values):
                yield "", (node.value, "elts", i), ast.UnaryOp(ast.USub(), value)
        else:
            yield "", (node, "value", None), ast.UnaryOp(ast.USub(), node.value)
    if isinstance(node, ast.expr | ast.comprehension) and not isinstance(
        getattr(node, "ctx", None), ast.Store | ast.Del
    ):
        for new in _replacements(node):
            yield "", place, new


def _replacements(node: ast.AST) -> Iterator[ast.expr]:
    """Expressions that may stand where this one stands."""
    if isinstance(node, ast.Constant):
        yield from map(ast.Constant, _other_constants(node.value))
    elif isinstance(node, ast.BinOp):
        for operator in OPERATORS.get(type(node.op), ()):
            yield ast.BinOp(node.left, operator(), node.right)
        yield node.left
        if isinstance(node.op, ast.Add | ast.Mult | ast.MatMult | ast.BitAnd | ast.BitOr):
            yield node.right
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(OPERATORS[type(node.op)][0](), node.values)
        yield from node.values
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Compare):
        for i, old in enumerate(node.ops):
            for operator in OPERATORS[type(old)]:
                ops = [*node.ops[:i], operator(), *node.ops[i + 1 :]]
                yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Slice):
        yield from _other_slices(node)
    elif isinstance(node, ast.Subscript) and len(getattr(node.slice, "elts", ())) == 2:
        yield ast.Subscript(node.value, ast.Tuple(node.slice.elts[::-1], ast.Load()), node.ctx)


def _other_constants(value: object) -> tuple:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value + 1, value - 1)
    if isinstance(value, float):
        if abs(value) < 1e-6:  # a guard against division by 0, of no exact size
            return (value + 1, value - 1)
        return (value + 1, value - 1, -value, 0.0, 2 * value)
    return {"bilinear": ("nearest",), "nearest": ("bilinear",)}.get(value, ())


def _other_calls(node: ast.Call) -> Iterator[ast.expr]:
    function, name = node.func, getattr(node.func, "attr", getattr(node.func, "id", ""))
    if isinstance(function, ast.Attribute) and not _is_module(function.value):
        if name not in CONVERSIONS:
            yield function.value  # x.mean(axis=1) -> x
    elif node.args and not isinstance(node.args[0], ast.Starred):
        yield node.args[0]  # np.mean(x, axis=1) -> x
    for new in NAMES.get(name, ()):
        renamed = copy.copy(function)
        setattr(renamed, "attr" if isinstance(function, ast.Attribute) else "id", new)
        yield ast.Call(renamed, node.args, node.keywords)
    for i, keyword in enumerate(node.keywords):
        if keyword.arg not in KEYWORDS_LEFT:
            yield ast.Call(function, node.args, node.keywords[:i] + node.keywords[i + 1 :])
    if name in ODD_OR_STEEP and node.args:
        first = ast.UnaryOp(ast.USub(), node.args[0])
        yield ast.Call(function, [first, *node.args[1:]], node.keywords)
    if name in {"range", "slice"} and node.args:
        for i, bound in enumerate(node.args):
            if not isinstance(bound, ast.Constant):
                args = [*node.args]
                args[i] = ast.BinOp(bound, ast.Sub(), ast.Constant(1))
                yield ast.Call(function, args, node.keywords)


def _other_slices(node: ast.Slice) -> Iterator[ast.Slice]:
    low, high, step = node.lower, node.upper, node.step
    for side in ("lower", "upper", "step"):
        bound = getattr(node, side)
        if bound is None:
            continue
        bounds = {"lower": low, "upper": high, "step": step}
        yield ast.Slice(**bounds | {side: None})
        if side != "step" and not isinstance(bound, ast.Constant):
            yield ast.Slice(**bounds | {side: ast.BinOp(bound, ast.Add(), ast.Constant(1))})
    if (low is None) != (high is None):
        yield ast.Slice(high, low, step)


def _is_module(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in MODULES


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _get(owner: ast.AST, field: str, index: int | None) -> object:
    value = getattr(owner, field)
    return value if index is None else value[index]


def _put(owner: ast.AST, field: str, index: int | None, value: object) -> None:
    if index is None:
        setattr(owner, field, value)
    else:
        getattr(owner, field)[index] = value


def _compiles(source: str) -> bool:
    with warnings.catch_warnings(action="ignore"):
        try:
            compile(source, "mutant", "exec")
        except SyntaxError:
            return False
    return True


def _heading(statement: ast.stmt) -> str:
    """A statement in one line; of one with a body its first."""
    text = ast.unparse(statement)
    return text.split("\n")[0] if hasattr(statement, "body") else " ".join(text.split())


def _told(before: str, after: str) -> str:
    """Both lines as one: what they share, and ``{old → new}`` in whole words."""
    start = _shared(before, after)
    end = min(_shared(before[::-1], after[::-1]), min(len(before), len(after)) - start)
    while start and _is_word(before[start - 1]):
        start -= 1
    while end and _is_word(before[-end]):
        end -= 1
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    while end and not (_is_closed(old) and _is_closed(new)):
        end -= 1
        old, new = before[start : len(before) - end], after[start : len(after) - end]
    return f"{before[:start]}{{{old} → {new}}}{before[len(before) - end :]}"


def _shared(a: str, b: str) -> int:
    """How many letters two texts share from the first on."""
    differ = (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differ, min(len(a), len(b)))


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter in "_.<>=!*/"


def _is_closed(text: str) -> bool:
    return all(text.count(pair[0]) == text.count(pair[1]) for pair in ("()", "[]", "{}"))


# --- Running what was altered ---------------------------------------------------------------------


def passing(tries: Sequence[Callable[[], bool]], seconds: float) -> list[bool]:
    """Which of the tries return True, each in a forked child.

    A try that raises, takes more than `seconds` of processor time or ends the process has not
    passed. One child serves many tries; a new one takes over after one that was ended. What a try
    leaves behind is seen by later ones: it must not matter.
    """
    done: list[bool] = []
    while len(done) < len(tries):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _serve(tries[len(done) :], seconds, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            said = stream.read()
        os.waitpid(child, 0)
        done += [byte == ord("y") for byte in said]
        if len(done) < len(tries):
            done.append(False)
    return done


def _serve(tries: Sequence[Callable[[], bool]], seconds: float, writer: int) -> None:
    """In the child: a letter for each try. The alarms end the process, whatever it does."""
    try:
        for alarm in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(alarm, signal.SIG_DFL)
        if "torch" in sys.modules:  # threads of the parent do not live on in a child
            sys.modules["torch"].set_num_threads(1)
        warnings.simplefilter("ignore")
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 2)
        for attempt in tries:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, 20 * seconds)
            try:
                passed = attempt()
            except BaseException:
                passed = False
            os.write(writer, b"y" if passed else b"n")
    finally:
        os._exit(0)


def survivors(exercises, name: str) -> list[Mutant]:
    """Altered solutions of an exercise that its check cell calls correct.

    Args:
        exercises: `notebook_loader.Exercises`.
        name: of the function to write.
    """
    started = time.process_time()
    exercises.verdict(name, exercises.solution(name))
    seconds = max(0.2, 20 * (time.process_time() - started))

    def accepted(mutant: Mutant) -> bool:
        space = dict(exercises.module.__dict__)
        exec(mutant.source, space)
        return exercises.verdict(name, space[name]).startswith("[x]")

    altered = mutants(exercises.sources[name]) + medians(exercises.sources[name])
    passed = passing([lambda m=m: accepted(m) for m in altered], seconds)
    return [mutant for mutant, survives in zip(altered, passed, strict=True) if survives]


def definition_survivors(path: Path) -> dict[str, list[Mutant]]:
    """Altered definitions of a notebook that its own checks let pass, by definition.

    The checks are the functions that the notebook calls without arguments and that are named
    ``check_...``. They, what only they use, the stubs of exercises and what is listed as
    equivalent as a whole are left alone. A function or method that no check runs is one mutant
    without a source.
    """
    from notebook_loader import Exercises, definitions

    statements = _statements(path)
    module, started = definitions(path), time.process_time()
    checks, run = _needed(module, _checks(statements), f"{path.name}, ")
    seconds = max(0.5, 5 * (time.process_time() - started))
    whole = {n for n, r in equivalent(path, "EQUIVALENT_DEFINITIONS").items() if isinstance(r, str)}
    left_alone = {*Exercises(path).names, *whole, *_only_checks_use(statements)}

    def accepted(old: str, new: str) -> bool:
        module = definitions(path, replace={old: new})
        with contextlib.redirect_stdout(io.StringIO()):
            for check in checks:
                getattr(module, check)()
        return True

    found: dict[str, list[Mutant]] = {}
    jobs: list[tuple[str, Mutant, str]] = []
    for source, node in statements:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name in left_alone:
            continue
        idle = list(_idle(node, run))
        lines = {n for part, _ in idle for n in range(part.lineno, part.end_lineno + 1)}
        shift = node.lineno - 1
        found[node.name] = [
            Mutant(f"{name} is run by no check", "", part.lineno - shift) for part, name in idle
        ]
        jobs += [(node.name, m, source) for m in mutants(source) if m.line + shift not in lines]
    tries = [lambda m=m, s=s: accepted(s, m.source) for _, m, s in jobs]
    for (name, mutant, _), survives in zip(jobs, passing(tries, seconds), strict=True):
        if survives:
            found[name].append(mutant)
    return {name: listed for name, listed in found.items() if listed}


def _statements(path: Path) -> list[tuple[str, ast.stmt]]:
    """(source, node) of every statement of a notebook's code cells."""
    import nbformat

    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    return [(ast.get_source_segment(c, node), node) for c in cells for node in ast.parse(c).body]


def _checks(statements: Sequence[tuple[str, ast.stmt]]) -> list[str]:
    """Names of the functions check_... that a notebook calls without arguments."""
    calls = [source for source, node in statements if isinstance(node, ast.Expr)]
    return [source.removesuffix("()") for source in calls if re.fullmatch(r"check_\w+\(\)", source)]


def _only_checks_use(statements: Sequence[tuple[str, ast.stmt]]) -> set[str]:
    """Names of the checks, and of the definitions that nothing else mentions."""
    uses = []  # (name of a definition or "", what it mentions)
    for source, node in statements:
        is_check = re.match(r"(def |exercises\.)?check[_(]", source)
        mentioned = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        uses.append((getattr(node, "name", "check" if is_check else ""), mentioned))
    alone = {name for name, _ in uses if name.startswith("check")}
    while True:
        more = {
            name
            for name, _ in uses
            if name
            and name not in alone
            and (users := {user for user, names in uses if name in names and user != name})
            and users <= alone
        }
        if not more:
            return alone
        alone |= more


def _needed(module, checks: Sequence[str], prefix: str) -> tuple[list[str], set[str]]:
    """Checks that no other check calls, and all the notebook's functions that run in them.

    Raises:
        AssertionError: or whatever the checks raise: they must pass on the notebook as it is.
    """
    run: dict[str, set[str]] = {check: set() for check in checks}

    def watch(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(prefix):
            run[check].add(frame.f_code.co_qualname.split(".<locals>")[0])

    for check in checks:
        sys.setprofile(watch)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                getattr(module, check)()
        finally:
            sys.setprofile(None)
    needed = [c for c in checks if not any(c in run[other] for other in checks if other != c)]
    return needed, set().union(*run.values())


def _idle(node: ast.stmt, run: set[str]) -> Iterator[tuple[ast.stmt, str]]:
    """(function or method, its name) of those that did not run."""
    parts = [(node, node.name)]
    if isinstance(node, ast.ClassDef):
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        parts = [(part, f"{node.name}.{part.name}") for part in methods]
    yield from ((part, name) for part, name in parts if name not in run)


# --- What is known to be equivalent ---------------------------------------------------------------


def equivalent(path: Path, name: str = "EQUIVALENT", tests: Path = TESTS) -> dict:
    """What the method's test file lists under `name`; empty if it has no such list.

    Raises:
        ValueError: if the list is no plain literal.
    """
    for file in sorted(tests.rglob(f"test_{path.stem}.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                try:
                    return ast.literal_eval(node.value)
                except ValueError:
                    raise ValueError(
                        f"{file.name}: write {name} out as {{name: {{description: reason}}}}"
                    ) from None
    return {}


def unexpected(
    found: Mapping[str, Sequence[Mutant]], known: Mapping[str, str | Mapping[str, str]]
) -> list[str]:
    """A line for each survivor that is not listed and for each listed one that does not survive.

    Args:
        found: survivors by exercise or definition.
        known: description -> reason by the same names; a text alone stands for all of them.
    """
    lines = []
    for name, survived in found.items():
        listed = known.get(name, {})
        if not isinstance(listed, str):
            new = [m.description for m in survived if m.description not in listed]
            lines += [f"{name}: survives: {description}" for description in new]
    for name, listed in known.items():
        if not isinstance(listed, str):
            there = {mutant.description for mutant in found.get(name, ())}
            gone = [description for description in listed if description not in there]
            lines += [f"{name}: listed, but does not survive: {text}" for text in gone]
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what survives; the status is 1 if anything is not as listed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("exercises", "definitions"))
    parser.add_argument("notebook", help="family/name")
    given = parser.parse_args(arguments)
    path = TESTS.parent / "notebooks" / f"{given.notebook}.ipynb"
    if not path.is_file():
        parser.error(f"no notebook {path.relative_to(TESTS.parent)}; give family/name")
    if given.what == "exercises":
        from notebook_loader import Exercises

        exercises = Exercises(path)
        found = {name: survivors(exercises, name) for name in exercises.names}
        known = equivalent(path)
    else:
        found = definition_survivors(path)
        known = equivalent(path, "EQUIVALENT_DEFINITIONS")
    lines = unexpected(found, known)
    times = os.times()
    print(f"{sum(times[:4]):.0f} s of processor time", file=sys.stderr)
    print("\n".join(lines) or "every alteration is noticed or listed as equivalent")
    return bool(lines)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Cell is missing an id field")
    sys.exit(main())
