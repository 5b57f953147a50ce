"""Checks of an exercise by the properties that a right answer has, without a solution in sight.

    check("1 overlap", overlap,
          shape((a, b), (4,)),
          within((a, b), 0, 1),
          agrees((a, b), slow_overlap, message="count the intersection once"),
          unchanged((a, b), (b, a), message="the order of the two must not matter"))

An answer is a function or a value. `inputs` are the arguments of the function (a tuple; anything
else is one argument) and are ignored where the answer is a value. Every call gets fresh copies.
Arrays, tensors, lists and numbers are compared by value, whatever they are made of; a property of
one's own sees tensors as arrays.
"""

import copy
import dis
import itertools
import re
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

Property = Callable[[Any], str | None]
"""answer -> None, or what is wrong with it in one line."""

PLAIN_WORDS = {
    r"zero-size array": "something is empty: does a slice begin below 0 or behind its end?",
    r"broadcast|mismatch|must (be )?match|did not match": "two shapes do not fit together",
    r"truth value of an array": (
        "arrays are joined with & and |, turned with ~; .any() and .all() make one value of many"
    ),
    r"inhomogeneous": "the parts differ in length; take them one at a time",
    r"arrays can be converted|setting an array element": "an array stands where a number should",
    r"values to unpack": "a, b = x takes the rows of x one by one; x.T has the columns as rows",
    r"interpreted as an integer": "a whole number is needed; // divides and leaves one",
    r"unhashable": "an array cannot stand in a set; its numbers can, as in set(x.tolist())",
    r"expected scalar type|same dtype": "two tensors differ in dtype; .float() or .double() helps",
    r"must be Tensor|'(dim|keepdim)'|Tensor.*ndarray|'numpy.* has no attribute|got \(numpy": (
        "the inputs are NumPy arrays; torch.as_tensor(x) turns them into tensors, t.numpy() back"
    ),
}
"""Pattern of an exception's message -> what it means."""


def check(name: str, answer: Any, *properties: Property) -> None:
    """Print one line: not attempted yet, the first property that fails, or correct.

    Never raises for anything that the answer does. An answer counts as not attempted if it is, or
    returns, None or Ellipsis without having used its arguments, or raises NotImplementedError.

    Args:
        name: of the exercise.
        answer: the reader's function or value.
        properties: what a right answer fulfils, in the order to be tried.
    """
    verdict, tried = "[x] {}: correct", _Answer(answer) if callable(answer) else answer
    try:
        if answer is None or answer is ...:
            raise NotImplementedError
        for holds in properties:
            if isinstance(tried, _Answer):
                tried.arguments = tried.failure = None
            if problem := holds(tried):
                raise _Told(problem)
        if isinstance(tried, _Answer) and tried.changed:
            raise _Told("right, but an argument is changed in place; work on a copy")
    except NotImplementedError:
        verdict = "[ ] {}: not attempted yet"
    except _Told as told:
        verdict = "[!] {}: " + _line(told)
    except Exception as error:
        verdict = "[!] {}: " + _line(_what_was_raised(error, tried))
    print(verdict.replace("{}", name, 1))


def shape(inputs: Any, expected: tuple[int, ...]) -> Property:
    """The result has this shape; ``()`` is a single number."""

    def holds(answer: Any) -> str | None:
        found = _array(_result(answer, inputs)).shape
        return None if found == tuple(expected) else f"expected shape {expected}, got {found}"

    return holds


def dtype(inputs: Any, kind: str) -> Property:
    """The result holds ``"whole"`` numbers, ``"real"`` numbers or ``"bool"`` values."""
    letters = {"whole": "iu", "real": "f", "bool": "b"}[kind]

    def holds(answer: Any) -> str | None:
        found = _array(_result(answer, inputs)).dtype
        return None if found.kind in letters else f"expected {kind} values, got dtype {found}"

    return holds


def within(inputs: Any, low: float | None, high: float | None) -> Property:
    """All values are finite and lie in [low, high]; None leaves a side open."""

    def holds(answer: Any) -> str | None:
        got = _array(_result(answer, inputs))
        if problem := _not_finite(got):
            return problem
        for bound, outside, word in ((low, np.less, "below"), (high, np.greater, "above")):
            if bound is not None and outside(got, bound).any():
                i = _first(outside(got, bound))
                return f"got {got[i]:.6g}{_at(i)}, {word} {bound:g}"
        return None

    return holds


def agrees(inputs: Any, expected: Any, *, tol: float = 1e-6, message: str = "") -> Property:
    """The result equals a value, or what a brute-force function gives for the same inputs.

    Args:
        inputs: arguments; fresh ones, so that no answer can be made for them.
        expected: array or number, a tuple of them, or a function of the inputs. If the answer is
            a value, the line says too small or too large and keeps the expected value back.
        tol: allowed difference, relative to the expected value where that is above 1.
        message: put before the difference; the likely mistake. Left out for swapped results.
    """

    def holds(answer: Any) -> str | None:
        hidden = not callable(answer)
        right = expected
        if callable(expected):
            right = expected(*copy.deepcopy(_arguments(inputs)))
        return _difference(_result(answer, inputs), right, tol, hidden, message)

    return holds


def unchanged(
    inputs: Any, other_inputs: Any, *, tol: float = 1e-6, message: str = "must not change"
) -> Property:
    """The answer gives the same result for both inputs; `message` says what it must not heed."""

    def holds(answer: Any) -> str | None:
        before = _result(answer, inputs)
        return _difference(_result(answer, other_inputs), before, tol, False, message)

    return holds


class _Told(Exception):  # noqa: N818
    """What is wrong with an answer, in words meant for its author."""


class _Answer:
    """A reader's function that gets copies of its inputs and says when it is still a stub.

    Attributes:
        arguments: of the last call.
        failure: what the last call raised.
        changed: whether some call changed its arguments; the copies are nobody's, but in the
            notebook they would be the reader's data.
    """

    def __init__(self, function: Callable) -> None:
        self.function = function
        self.has_returned = False
        self.arguments: tuple | None = None
        self.failure: Exception | None = None
        self.changed = False

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.arguments, self.failure = arguments, None
        given = copy.deepcopy((arguments, named))
        try:
            result = self.function(*given[0], **given[1])
        except Exception as error:
            self.failure = error
            raise
        if result is None or result is ...:
            if self.has_returned or _uses_anything(self.function):
                where = self.place() if self.has_returned else ""
                raise _Told(f"returned {result}{where}; is a `return` missing?")
            raise NotImplementedError
        self.has_returned = True
        self.changed |= _differ(given, (arguments, named))
        return _without_tensors(result)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.function, name)

    def place(self) -> str:
        """The arguments of the last call, in words."""
        code = getattr(self.function, "__code__", None)
        pairs = zip(code.co_varnames if code else (), self.arguments or (), strict=False)
        told = [f"{name} = {_short(value)}" for name, value in pairs if not callable(value)]
        return f" for {', '.join(told)}" if told else ""


def _uses_anything(function: Callable) -> bool:
    """Whether a function's body reads an argument or a global name: a stub reads neither."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_names:
        return True
    arguments = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    read = [i.argval for i in dis.get_instructions(code) if i.opname.startswith("LOAD_FAST")]
    flat = {name for value in read for name in (value if isinstance(value, tuple) else [value])}
    return bool(arguments & (flat | set(code.co_cellvars)))


def _what_was_raised(error: Exception, answer: Any) -> str:
    """An exception in plain words: whose it is, what was raised, for which inputs."""
    raised = _line(f"{type(error).__name__}: {error}".removesuffix(": "), 110)
    found = (words for piece, words in PLAIN_WORDS.items() if re.search(piece, str(error)))
    raised += f" ({words})" if (words := next(found, "")) else ""
    if not isinstance(answer, _Answer):
        return f"this value could not be checked: {raised}"
    code = getattr(answer.function, "__code__", None)
    frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    if error is answer.failure or code in frames:
        return f"raised {raised}{answer.place()}"
    return f"the result{answer.place()} could not be checked: {raised}"


def _without_tensors(value: Any) -> Any:
    if hasattr(value, "detach"):  # a tensor, wherever it lives and whatever asks for its gradient
        return value.detach().cpu().numpy()
    if isinstance(value, list | tuple):
        return (list if isinstance(value, list) else tuple)(map(_without_tensors, value))
    return value


def _differ(one: Any, other: Any) -> bool:
    """Whether arrays, tensors, numbers or types somewhere in two nested arguments differ."""
    one, other = _without_tensors(one), _without_tensors(other)
    if type(one) is not type(other):
        return True
    if isinstance(one, dict):
        return one.keys() != other.keys() or any(_differ(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) != len(other) or any(map(_differ, one, other))
    if isinstance(one, np.ndarray | int | float):
        one, other = np.asarray(one), np.asarray(other)
        numbers = one.dtype.kind in "fc"
        return one.shape != other.shape or not np.array_equal(one, other, equal_nan=numbers)
    return False


def _short(value: Any) -> str:
    try:
        array = _array(value)
    except _Told:
        return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else "…"
    if array.size > 6:
        return f"array of shape {array.shape}"
    return np.array2string(array, separator=", ", precision=4)


def _arguments(inputs: Any) -> tuple:
    return inputs if isinstance(inputs, tuple) else (inputs,)


def _result(answer: Any, inputs: Any) -> Any:
    return answer(*copy.deepcopy(_arguments(inputs))) if callable(answer) else answer


def _array(value: Any) -> np.ndarray:
    try:
        array = np.asarray(_without_tensors(value))
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise _Told(f"expected numbers, got {type(value).__name__}")
    return array


def _difference(got: Any, right: Any, tol: float, hidden: bool, message: str) -> str | None:
    if not isinstance(right, tuple):
        return _difference_of_arrays(_array(got), _array(right), tol, hidden, message)
    if not isinstance(got, tuple | list) or len(got) != len(right):
        found = f"{len(got)} of them" if isinstance(got, tuple | list) else type(got).__name__
        return _told(message, f"expected a tuple of {len(right)} results, got {found}")

    def problems(found: Any) -> list[str | None]:
        return [_difference(*pair, tol, hidden, "") for pair in zip(found, right, strict=True)]

    found = problems(got)
    if not any(found):
        return None
    if len(right) <= 4 and any(not any(problems(p)) for p in itertools.permutations(got)):
        swapped = "the two results are swapped", "the results are right, but in another order"
        return swapped[len(right) > 2]
    number = next(i for i, problem in enumerate(found) if problem)
    return _told(message, f"result {number + 1} of {len(right)}: {found[number]}")


def _difference_of_arrays(
    got: np.ndarray, right: np.ndarray, tol: float, hidden: bool, message: str
) -> str | None:
    if got.shape != right.shape:
        return _told(message, f"expected shape {right.shape}, got {got.shape}")
    if np.isfinite(right).all() and (problem := _not_finite(got)):
        return _told(message, problem)
    a, b = got.astype(float), right.astype(float)
    wrong = ~np.isclose(a, b, rtol=tol, atol=tol, equal_nan=True)
    if not wrong.any():
        return None
    i = _first(wrong)
    size = np.abs(b).max(where=np.isfinite(b), initial=0)
    if np.abs(a - b)[wrong].max() <= min(1000 * tol, 1e-3) * size:
        message = _told(message, f"close, but not within {tol:g}")
    if hidden:
        how = f"which is too {'small' if a[i] < b[i] else 'large'}"
        return _told(message, f"got {a[i]:.6g}{_at(i)}, {how}")
    share = f"; {int(wrong.sum())} of {wrong.size} differ" if wrong.size > 1 else ""
    if right.dtype == bool and got[i] in (0, 1):
        return _told(message, f"expected {right[i]}, got {bool(got[i])}{_at(i)}{share}")
    digits = next((d for d in (6, 9, 12) if f"{a[i]:.{d}g}" != f"{b[i]:.{d}g}"), 17)
    return _told(message, f"expected {b[i]:.{digits}g}, got {a[i]:.{digits}g}{_at(i)}{share}")


def _not_finite(got: np.ndarray) -> str | None:
    bad = ~np.isfinite(got)
    return f"got {got[_first(bad)]}{_at(_first(bad))}" if bad.any() else None


def _first(where: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])


def _at(index: tuple[int, ...]) -> str:
    return f" at index {list(index)}" if index else ""


def _told(message: str, difference: str) -> str:
    return f"{message}: {difference}" if message else difference


def _line(text: Any, length: int = 300) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= length else text[: length - 1] + "…"
