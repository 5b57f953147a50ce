"""Checks of an exercise by the properties that a right answer has, without a solution in sight.

    check("1 overlap", overlap,
          shape((a, b), (4,)),
          within((a, b), 0, 1),
          agrees((a, b), slow_overlap, message="count the intersection once"),
          unchanged((a, b), (b, a), message="the order of the two must not matter"))

An answer is a function or a value. `inputs` are the arguments of the function (a tuple; anything
else is one argument) and are ignored where the answer is a value. Every call gets fresh copies.
Arrays, tensors, lists and numbers are compared by value, whatever they are made of.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

Property = Callable[[Any], str | None]
"""answer -> None, or what is wrong with it in one line."""


def check(name: str, answer: Any, *properties: Property) -> None:
    """Print one line: not attempted yet, the first property that fails, or correct.

    Never raises for anything that the answer does. An answer counts as not attempted if it is, or
    returns, None or Ellipsis, or raises NotImplementedError.

    Args:
        name: of the exercise.
        answer: the reader's function or value.
        properties: what a right answer fulfils, in the order to be tried.
    """
    verdict = "[x] {}: correct"
    try:
        if answer is None or answer is ...:
            raise NotImplementedError
        if callable(answer):
            answer = _Answer(answer)
        problems = (found for holds in properties if (found := holds(answer)))
        if problem := next(problems, None):
            verdict = "[!] {}: " + _line(problem)
    except NotImplementedError:
        verdict = "[ ] {}: not attempted yet"
    except Exception as error:
        verdict = "[!] {}: raised " + _line(f"{type(error).__name__}: {error}")
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
        message: put before the difference; the likely mistake.
    """

    def holds(answer: Any) -> str | None:
        hidden = not callable(answer)
        right = expected
        if callable(expected):
            right = expected(*copy.deepcopy(_arguments(inputs)))
        return _told(message, _difference(_result(answer, inputs), right, tol, hidden))

    return holds


def unchanged(
    inputs: Any, other_inputs: Any, *, tol: float = 1e-6, message: str = "must not change"
) -> Property:
    """The answer gives the same result for both inputs; `message` says what it must not heed."""

    def holds(answer: Any) -> str | None:
        before = _result(answer, inputs)
        return _told(message, _difference(_result(answer, other_inputs), before, tol, False))

    return holds


class _Answer:
    """A reader's function that gets copies of its inputs and says when it is still a stub."""

    def __init__(self, function: Callable) -> None:
        self.function = function
        self.has_returned = False

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        result = self.function(*copy.deepcopy(arguments), **copy.deepcopy(named))
        if result is None or result is ...:
            if self.has_returned:
                raise ValueError(f"returned {result} for some inputs; is a return missing?")
            raise NotImplementedError
        self.has_returned = True
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.function, name)


def _arguments(inputs: Any) -> tuple:
    return inputs if isinstance(inputs, tuple) else (inputs,)


def _result(answer: Any, inputs: Any) -> Any:
    return answer(*_arguments(inputs)) if callable(answer) else answer


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # a tensor, wherever it lives and whatever asks for its gradient
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected numbers, got {type(value).__name__}")
    return array


def _difference(got: Any, right: Any, tol: float, hidden: bool) -> str | None:
    if isinstance(right, tuple):
        if not isinstance(got, tuple) or len(got) != len(right):
            found = f"{len(got)} of them" if isinstance(got, tuple) else type(got).__name__
            return f"expected a tuple of {len(right)} results, got {found}"
        for number, pair in enumerate(zip(got, right, strict=True)):
            if problem := _difference(*pair, tol, hidden):
                return f"result {number}: {problem}"
        return None
    got, right = _array(got), _array(right)
    if got.shape != right.shape:
        return f"expected shape {right.shape}, got {got.shape}"
    if np.isfinite(right).all() and (problem := _not_finite(got)):
        return problem
    a, b = got.astype(float), right.astype(float)
    wrong = ~np.isclose(a, b, rtol=tol, atol=tol, equal_nan=True)
    if not wrong.any():
        return None
    i = _first(wrong)
    if hidden:
        return f"got {a[i]:.6g}{_at(i)}, which is too {'small' if a[i] < b[i] else 'large'}"
    share = f"; {int(wrong.sum())} of {wrong.size} differ" if wrong.size > 1 else ""
    return f"expected {b[i]:.6g}, got {a[i]:.6g}{_at(i)}{share}"


def _not_finite(got: np.ndarray) -> str | None:
    bad = ~np.isfinite(got)
    return f"got {got[_first(bad)]}{_at(_first(bad))}" if bad.any() else None


def _first(where: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])


def _at(index: tuple[int, ...]) -> str:
    return f" at index {list(index)}" if index else ""


def _told(message: str, difference: str | None) -> str | None:
    return f"{message}: {difference}" if message and difference else difference


def _line(text: str, length: int = 200) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= length else text[: length - 1] + "…"
