"""What an exercise is, and one call of a function, the learner's or ours, as numbers that can be compared.

A function is graded by what comes out of it: its result and, for functions of tensors, the gradient of the result with
respect to each tensor that a gradient could flow into. All of that together is an ``Outcome``.

A known mistake ("slip") is graded as the learner's function is: ``solve(slips, *arguments)`` is the right solution with
some slips made in it. So two at once can be tried as well.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_ext.zoo.check.signatures import PARAMETERS

Function = Callable[..., Any]
Slips = frozenset[str]
Floats = npt.NDArray[np.float64]


class Problem(Exception):
    """A result that cannot be compared at all.

    Args:
        id: of the mistake.
        sentence: what is wrong.
    """

    def __init__(self, id: str, sentence: str) -> None:
        super().__init__(sentence)
        self.id, self.sentence = id, sentence


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out of a call.

    Attributes:
        parts: "result", and "gradient of NAME" for each tensor that a gradient could flow into.
        changed: names of the inputs that the function changed in place.
        whole_numbers: whether the result was of an integer type.
        is_tensor: whether the result was a tensor.
        shown: what to show in the place of ``parts``.
    """

    parts: Mapping[str, Floats]
    changed: tuple[str, ...] = ()
    whole_numbers: bool = False
    is_tensor: bool = True
    shown: Any = None


@dataclass(frozen=True, eq=False)
class Case:
    """Something to call a function with.

    Attributes:
        name: says what is special about it.
        arguments: by the name of the parameter, in order; arrays are NumPy's, also of a function of tensors.
        attached: tensors into which a gradient could flow.
        known: parts of the outcome that are known from elsewhere, by hand or from the oracle.
        play: calls the function otherwise than once with the arguments, which then only describe what goes in.
        wanted: what to show as expected, in the place of numbers.
    """

    name: str
    arguments: Mapping[str, Any]
    attached: tuple[str, ...] = ()
    known: Mapping[str, npt.ArrayLike] = field(default_factory=dict)
    play: Callable[[Function], Outcome] | None = None
    wanted: str | None = None


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function to write, and how it is graded.

    Attributes:
        name: of the function.
        reference: the right one; ours, from ``sb3_ext.common`` where it has one.
        solve: ``solve(slips, *arguments)``, the right one without slips.
        mistakes: id of each slip -> a sentence. Several forms of one mistake are told apart by what follows a slash
            ("normalised/n-1"); a form has no sentence of its own.
        cases: makes the cases.
        tensors: whether arrays are handed in as tensors.
        tolerance: relative to the largest number of a part.
        accepts: decides whether an outcome is right, where there is more than one right answer.
        recognise: the id of a mistake, from the outcomes of all cases, where no ``solve`` could imitate it.
    """

    name: str
    reference: Function
    solve: Callable[..., Any]
    mistakes: Mapping[str, str]
    cases: Callable[[], list[Case]]
    tensors: bool = False
    tolerance: float = 1e-5
    accepts: Callable[[Outcome, Case], bool] | None = None
    recognise: Callable[[list[Outcome]], str | None] | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return PARAMETERS[self.name]

    def with_slips(self, *slips: str) -> Function:
        """The solution with these mistakes in it."""
        return partial(self.solve, frozenset(slips))

    def sentence(self, slip: str) -> str:
        """What a mistake is, in words."""
        id = slip.partition("/")[0]
        return next(text for form, text in self.mistakes.items() if form.partition("/")[0] == id and text)

    def play(self, case: Case, function: Function) -> Outcome:
        """What a function makes of a case.

        Raises:
            Problem: if that is nothing that can be compared.
            BaseException: what the function raises.
        """
        with th.enable_grad():  # the learner's code may have switched it off for good
            if case.play is not None:
                return case.play(function)
            return call_with_tensors(case, function) if self.tensors else call_with_arrays(case, function)

    def expected(self, case: Case) -> Outcome:
        """What should come out."""
        parts = dict(self.play(case, self.reference).parts)
        known = {name: np.asarray(part, np.float64) for name, part in case.known.items()}
        return Outcome({**parts, **known}, shown=case.wanted)


def generator(name: str) -> np.random.Generator:
    """Random numbers for the cases of an exercise, always the same."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def has_shape_of(outcome: Outcome, other: Outcome) -> bool:
    """Whether both have the same parts, of the same shapes."""
    shapes = [{name: part.shape for name, part in each.parts.items()} for each in (outcome, other)]
    return shapes[0] == shapes[1]


def agree(outcome: Outcome, other: Outcome, tolerance: float) -> bool:
    """Whether two outcomes are equal but for rounding; not a number equals not a number."""
    if not has_shape_of(outcome, other):
        return False
    return all(close(part, other.parts[name], tolerance).all() for name, part in outcome.parts.items())


def close(values: Floats, others: Floats, tolerance: float) -> npt.NDArray[np.bool_]:
    """Which numbers are equal but for rounding, measured by the largest that is finite."""
    finite = others[np.isfinite(others)]
    scale = float(np.abs(finite).max()) if finite.size else 1.0
    return np.isclose(values, others, rtol=tolerance, atol=tolerance * scale + 1e-6, equal_nan=True)


def text_of(value: Any, most: int = 60) -> str:
    """The first characters of a learner's object in words, even where its own __str__ fails."""
    try:
        return str(value)[:most]
    except Exception:
        return f"<{type(value).__name__}>"


def as_numbers(result: Any) -> np.ndarray:
    """A result as an array: lists, tuples, tensors and numbers of any type will do.

    Raises:
        Problem: if it is nothing of numbers.
    """
    if result is None:
        raise Problem("returns-nothing", "returns nothing: there is no `return`")
    if isinstance(result, th.Tensor):
        result = (result.float() if result.dtype == th.bfloat16 else result).detach().cpu().numpy()
    try:
        array = np.asarray(result)
        if array.dtype.kind not in "fiub" and isinstance(result, (list, tuple)):
            array = np.array([as_numbers(part) for part in result])
    except (TypeError, ValueError, RuntimeError):
        array = np.array(None)
    if array.dtype.kind not in "fiub":
        what = "dtype " + str(array.dtype) if isinstance(result, np.ndarray) else type(result).__name__
        raise Problem("wrong-type", f"returns something that is not numbers ({what}): {text_of(result)}")
    return array


def as_number(result: Any) -> float:
    """A result as one number.

    Raises:
        Problem: if it is none.
    """
    array = as_numbers(result)
    if array.ndim:
        raise Problem("wrong-shape", f"returns the shape {list(array.shape)} where one number is expected")
    return float(array)


def call_with_arrays(case: Case, function: Function) -> Outcome:
    """Calls a function of arrays and numbers."""
    given = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.arguments.items()}
    array = as_numbers(function(*given.values()))
    changed = tuple(name for name, value in given.items() if not np.array_equal(value, case.arguments[name]))
    return Outcome({"result": array.astype(np.float64)}, changed, array.dtype.kind in "iu")


def call_with_tensors(case: Case, function: Function) -> Outcome:
    """Calls a function of tensors (float32) and numbers, and differentiates what comes out."""
    given, leaves = {}, {}
    for name, value in case.arguments.items():
        given[name] = th.tensor(value, dtype=th.float32) if isinstance(value, np.ndarray) else value
        if name in case.attached:
            leaves[name] = given[name].requires_grad_()
            given[name] = leaves[name] * 1.0  # no leaf: it has a history, and can be changed in place
    result = function(*given.values())
    changed = tuple(
        name
        for name, value in given.items()
        if isinstance(value, th.Tensor)
        and not np.array_equal(value.detach().numpy(), np.asarray(case.arguments[name], np.float32))
    )
    kind = isinstance(result, th.Tensor)
    if isinstance(result, (list, tuple)) and result and all(isinstance(part, th.Tensor) for part in result):
        result = th.stack(list(result)) if len({part.shape for part in result}) == 1 else result
    array = as_numbers(result)
    with th.enable_grad():
        gradients = {f"gradient of {name}": part for name, part in gradients_of(result, leaves).items()}
    return Outcome({"result": array.astype(np.float64), **gradients}, changed, array.dtype.kind in "iu", kind)


def gradients_of(result: Any, leaves: Mapping[str, th.Tensor]) -> dict[str, Floats]:
    """The gradient of the result, its elements weighted differently, with respect to each tensor; 0 where none flows.

    Raises:
        Problem: if it cannot be computed.
    """
    zeros = {name: np.zeros(tuple(leaf.shape)) for name, leaf in leaves.items()}
    if not isinstance(result, th.Tensor) or not result.requires_grad or not leaves:
        return zeros
    weights = th.linspace(1.0, 2.0, result.numel()).reshape(result.shape)
    try:
        parts = th.autograd.grad((result * weights).sum(), list(leaves.values()), allow_unused=True)
    except RuntimeError as error:
        raise Problem("gradient-fails", f"gives a loss that has no usable gradient: {str(error)[:90]}") from error
    found = {name: part for name, part in zip(leaves, parts, strict=True) if part is not None}
    return {**zeros, **{name: part.numpy().astype(np.float64) for name, part in found.items()}}
