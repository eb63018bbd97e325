"""The contenders for one line: the backend, the fastest NumPy expression, PyTorch. Each has arrays of its own."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from shared.clock import Call, fastest

import kernels
from kernels.memory import aligned_empty

from .cases import Arguments, Array
from .numpy_expressions import EXPRESSIONS
from .problem import Problem

# Elements of a large array that an expression of several passes works on at once, so that they stay in the L2 cache.
BLOCK = 16_384
IN_BLOCKS = ("arithmetic", "activations", "optimizers")  # families of independent elements


class Refused(Exception):
    """A contender computes something else; the message says what."""


@dataclass(frozen=True)
class Contender:
    """name: what runs. call: runs it once, on the same arrays each time."""

    name: str
    call: Call


def of_backend(problem: Problem, backend: kernels.Backend, contiguous: bool) -> Contender:
    """The backend's checked method, on arrays as the backend allocates them. Refused if it raises or errs."""
    allocate = aligned_empty if contiguous else backend.empty
    inputs, outputs = problem.inputs(allocate), problem.outputs(allocate)
    call = partial(getattr(backend, problem.line.kernel), **inputs, **outputs)
    try:
        call()
    except Exception as error:
        raise Refused(f"raises {type(error).__name__}: {error}") from error
    if wrong := problem.wrong(problem.results(inputs, outputs)):
        raise Refused(wrong)
    return Contender(backend.name, call)


# ---- NumPy --------------------------------------------------------------------------------------------------------


def of_numpy(problem: Problem, budget: float) -> Contender:
    """The fastest of the NumPy expressions, among them the numpy backend's kernel. Refused if all are wrong."""
    sound, wrongs = {}, []
    for name, expression, in_blocks in _expressions(problem):
        inputs, outputs = problem.inputs(aligned_empty), problem.outputs(aligned_empty)
        call = _numpy_call(problem, expression, inputs, outputs, BLOCK if in_blocks else None)
        call()
        if wrong := problem.wrong(problem.results(inputs, outputs)):
            wrongs.append(f"{name}: {wrong}")
        else:
            sound[name] = call
    if not sound:
        raise Refused("; ".join(wrongs))
    name = fastest(sound, budget)
    return Contender(name, sound[name])


@cache
def _numpy_backend() -> kernels.Backend:
    return kernels.load("numpy")


def _expressions(problem: Problem) -> list[tuple[str, Callable[..., Any], bool]]:
    """Name, function and whether to work block by block."""
    line, found = problem.line, []
    long = line.family in IN_BLOCKS and len(line.shape) == 1 and line.shape[0] > 2 * BLOCK
    for expression in EXPRESSIONS.get(line.kernel, ()):
        single = isinstance(expression, np.ufunc) or expression.__name__ == "<lambda>"
        name = expression.__name__
        name = f"{'np' if hasattr(np, name) else 'special'}.{name}" if isinstance(expression, np.ufunc) else name
        name = line.kernel if name == "<lambda>" else name
        found.append((name, expression, False))
        if long and not single:
            found.append((f"{name} in blocks of {BLOCK}", expression, True))
    return [*found, ("numpy backend", getattr(_numpy_backend(), line.kernel), False)]


def _numpy_call(
    problem: Problem, expression: Any, inputs: Arguments, outputs: dict[str, Array], block: int | None
) -> Call:
    if isinstance(expression, np.ufunc):
        return partial(expression, *inputs.values(), **outputs)
    parameters = inspect.signature(expression).parameters
    work = {name: make(problem) for name, make in WORKSPACE.items() if name in parameters}
    arrays = {**inputs, **outputs, **work}
    if block is None:
        return partial(expression, **arrays)
    size = math.prod(problem.line.shape)
    parts = [
        {name: _part(value, start, block, size, name in work) for name, value in arrays.items()}
        for start in range(0, size, block)
    ]

    def in_blocks() -> None:
        for part in parts:
            expression(**part)

    return in_blocks


def _part(value: Any, start: int, block: int, size: int, working: bool) -> Any:
    """The block of an array of all elements; what all blocks work in is the same array for each."""
    if not isinstance(value, np.ndarray) or value.size != size:
        return value
    return value[: min(block, size - start)] if working else value[start : start + block]


def _largest(problem: Problem) -> tuple[int, ...]:
    arrays = [value for value in problem.arguments.values() if isinstance(value, np.ndarray)]
    return max((array.shape for array in [*arrays, *problem.expected[:1]]), key=math.prod)


def _summed(problem: Problem) -> int:
    axis = problem.arguments.get("axis", 1)
    return math.prod(problem.line.shape) if axis is None else problem.line.shape[axis]


# What the expressions may ask for beside the kernel's operands, by name.
WORKSPACE: dict[str, Callable[[Problem], Array]] = {
    "t": lambda problem: aligned_empty(_largest(problem), problem.dtype),
    "u": lambda problem: aligned_empty(_largest(problem), problem.dtype),
    "mask": lambda problem: aligned_empty(_largest(problem), np.bool_),
    "row": lambda problem: aligned_empty((problem.line.shape[0], 1), problem.dtype),
    "index": lambda problem: np.arange(problem.line.shape[0]),
    "ones": lambda problem: np.ones(_summed(problem), problem.dtype),
    "eye": lambda problem: np.eye(problem.line.shape[1], dtype=problem.dtype),
}


# ---- PyTorch ------------------------------------------------------------------------------------------------------


def torch_module() -> Any:
    """PyTorch without its tape, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_grad_enabled(False)
    return torch


def of_torch(problem: Problem) -> Contender | None:
    """PyTorch's counterpart, or None where there is none. Refused if its result differs or it cannot run."""
    import torch

    from .torch_expressions import EXPRESSIONS as TORCH_EXPRESSIONS

    expression = TORCH_EXPRESSIONS.get(problem.line.kernel)
    if expression is None:
        return None
    inputs, outputs = problem.inputs(aligned_empty), problem.outputs(aligned_empty)
    takes_out = "out" in inspect.signature(expression).parameters
    given = {**inputs, **(outputs if takes_out else {})}
    tensors = {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in given.items()}
    call = partial(expression, **tensors)

    try:
        with warnings.catch_warnings(action="ignore"):
            returned = call()
        results = returned if isinstance(returned, tuple) else (returned,)
        found = list(outputs.values()) if takes_out else [result.numpy() for result in results]
    except (RuntimeError, AttributeError, TypeError, NotImplementedError) as error:  # operators come and go
        raise Refused(f"cannot run ({str(error).splitlines()[0]})") from error
    if wrong := problem.wrong([*found, *(inputs[name] for name in problem.case.updates)]):
        raise Refused(wrong)
    return Contender("torch", call)
