"""What a kernel's declaration says: its operands, their shapes, which are written, and how it is composed of others.

A declaration is an ordinary function whose annotations give each operand's kind and whose decorator gives the shapes in
NumPy's notation for generalised universal functions, ``(m,k),(k,n)->(m,n)``, one group for each array operand in order.
The notation has five additions:

- ``(...)``            any 1-D or 2-D shape, the same wherever it is written
- ``(*)``              operands broadcast against each other by NumPy's rules; a Python number counts as an operand
- ``(/axis)``          the first operand's shape without the axis that the argument ``axis`` names (``None``: all of it)
- ``(m,k)^flag``       transposed where the argument ``flag`` is true
- ``(r,c!)``           the axis must not be empty
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
"""float32 or float64, the same for all such operands of one call; 1-D or 2-D; last axis contiguous; any row stride."""
Mutable = NDArray[np.floating[Any]]
"""Floats that the kernel reads and updates in place."""
State = NDArray[np.float64]
"""1-D float64 whatever the call's dtype: step-dependent numbers such as learning rates and counters."""
Indices = NDArray[np.int64]
"""1-D int64: labels or row numbers."""
Axis = int | None
"""0: down the rows, one result a column; 1: along the columns, one result a row; None: over everything."""
Probability = float
"""In [0, 1)."""
Activation = str
"""One of ACTIVATIONS."""
ACTIVATIONS = ["identity"]
"""What ``linear`` can end with: those that ``activations`` declares without options join. A backend's own ``linear``
knows them all."""
OutputActivation = str
"""One of OUTPUT_ACTIVATIONS."""
OUTPUT_ACTIVATIONS: list[str] = []
"""Those of them whose derivative is a function of their output alone."""
Precision = str
"""One of PRECISIONS."""
PRECISIONS = ["full", "bfloat16"]
"""How a product takes its factors: as they are, or rounded to bfloat16 (``contract.precision``)."""
CHOICES = {"Activation": ACTIVATIONS, "OutputActivation": OUTPUT_ACTIVATIONS, "Precision": PRECISIONS}

Function = TypeVar("Function", bound=Callable[..., Any])
ARRAY_KINDS = ("Floats", "Mutable", "State", "Indices")


@dataclass(frozen=True)
class Shape:
    """One group of the shape notation."""

    axes: tuple[str, ...]
    transposed_by: str | None = None

    @classmethod
    def parse(cls, text: str) -> Shape:
        inside, _, flag = text.partition("^")
        return cls(tuple(axis for axis in inside.strip("()").split(",") if axis), flag or None)

    @property
    def text(self) -> str:
        return "(" + ", ".join(axis.rstrip("!") for axis in self.axes) + ")"


@dataclass(frozen=True)
class Operand:
    """One argument of a kernel."""

    name: str
    kind: str  # one of ARRAY_KINDS, or float, int, bool, Axis, Probability, or of CHOICES
    shape: Shape | None
    default: Any = inspect.Parameter.empty
    written: bool = False  # a result: keyword-only, allocated where the caller gives none
    below: str | None = None  # Indices only: values are in [0, this axis)
    factor: bool = False  # of a product that has a precision: rounded as that says

    @property
    def is_array(self) -> bool:
        return self.shape is not None

    @property
    def optional(self) -> bool:
        return self.default is not inspect.Parameter.empty


@dataclass(frozen=True)
class Declaration:
    """A kernel as the contract declares it. ``composition`` is None for a required kernel."""

    name: str
    operands: tuple[Operand, ...]
    composition: Callable[..., Any] | None
    in_place: frozenset[str]  # operands that ``out`` may be
    doc: str
    allocates: bool  # False: the shapes say too little, so that the caller must give ``out``
    halts: bool  # it raises a flag, its operand ``flag``: a run of a recorded step ends where a flag is raised
    whole: bool  # recorded as one call even where it is a composition, whose calls depend on values

    @property
    def required(self) -> bool:
        return self.composition is None

    @cached_property
    def inputs(self) -> tuple[Operand, ...]:
        return tuple(operand for operand in self.operands if not operand.written)

    @cached_property
    def results(self) -> tuple[Operand, ...]:
        return tuple(operand for operand in self.operands if operand.written)

    @property
    def formula(self) -> str:
        """The mathematics: the docstring's first line."""
        return self.doc.splitlines()[0]

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """What an implementation's parameters are called, in order; all are passed by position."""
        return tuple(operand.name for operand in self.operands)


DECLARATIONS: dict[str, Declaration] = {}


def _declare(function: Callable[..., Any], shapes: str, composed: bool, options: dict[str, Any]) -> None:
    arrow = [[Shape.parse(group) for group in re.findall(r"\([^)]*\)(?:\^\w+)?", side)] for side in shapes.split("->")]
    groups = [*arrow[0], *arrow[1]]
    below: dict[str, str] = options.pop("below", {})
    in_place, allocates = frozenset(options.pop("in_place", ())), options.pop("allocates", True)
    factors, halts = options.pop("factors", ()), options.pop("halts", False)
    whole = options.pop("whole", halts)
    if options:
        raise TypeError(f"{function.__name__}: unknown options {sorted(options)}")
    operands = []
    for parameter in list(inspect.signature(function).parameters.values())[1 if composed else 0 :]:
        kind = str(parameter.annotation).removesuffix(" | None")
        written = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        shape = groups.pop(0) if kind in ARRAY_KINDS else None
        name, default = parameter.name, parameter.default
        operands.append(Operand(name, kind, shape, default, written, below.get(name), name in factors))
    if groups or not function.__doc__:
        raise TypeError(
            f"{function.__name__}: the shapes {shapes} do not fit the operands, or the mathematics is missing"
        )
    doc, composition = inspect.cleandoc(function.__doc__), function if composed else None
    DECLARATIONS[function.__name__] = Declaration(
        function.__name__, tuple(operands), composition, in_place, doc, allocates, halts, whole
    )


def required(shapes: str, **options: Any) -> Callable[[Function], Function]:
    """Declares a kernel that every backend implements. The function's body stays empty."""

    def decorate(function: Function) -> Function:
        _declare(function, shapes, False, options)
        return function

    return decorate


def fused(shapes: str, **options: Any) -> Callable[[Function], Function]:
    """Declares a kernel that a backend may implement; elsewhere its body runs, on other kernels of the same backend.

    The body's first argument is the backend. Where ``out`` may be an input, only the body's last call writes ``out``.
    """

    def decorate(function: Function) -> Function:
        _declare(function, shapes, True, options)
        return function

    return decorate
