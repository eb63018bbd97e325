"""The operands of the call that is explained: those of the conformance suite's case, at the shape that is asked for."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..contract import DECLARATIONS
from ..contract.checks import check_option, plan
from ..contract.declaration import Declaration
from ..contract.dtypes import EITHER_FLOAT, FLOAT_NAMES
from ..spelling import did_you_mean

if TYPE_CHECKING:
    from ..testing import Case

DEFAULTS = {1: (4096,), 2: (256, 128), 3: (256, 128, 64)}
"""Shapes by their number of lengths; (m, k, n) for products."""
MOST_ELEMENTS = 1 << 24


def declaration_of(kernel: str) -> Declaration:
    """The declaration of a kernel. Raises ValueError for a name that the contract does not have."""
    if kernel not in DECLARATIONS:
        raise ValueError(f"unknown kernel {kernel!r}: {did_you_mean(str(kernel), DECLARATIONS)}")
    return DECLARATIONS[kernel]


def operands_of(
    declaration: Declaration, dtype: str, shape: Sequence[int] | None, options: Mapping[str, Any]
) -> tuple[Any, ...]:
    """A call's operands by position, results included.

    options: arguments that are no arrays, such as activation or axis; left out, they are those of the case's first row.
    Raises ValueError or TypeError in one sentence for a dtype, shape or option that the kernel does not take.
    """
    if dtype not in FLOAT_NAMES:
        raise ValueError(f"unknown dtype {dtype!r}: expected {EITHER_FLOAT}")
    from ..testing import CASES  # which imports SciPy, and nothing else here does

    case = CASES[declaration.name]
    lengths = checked_shape(declaration.name, case, shape)
    arguments = _arguments(declaration, case, lengths, _options(declaration, options))
    given = {name: _as(value, dtype, declaration, name) for name, value in arguments.items()}
    results = {operand.name: None for operand in declaration.results}
    if case.out_shape is not None:
        found = case.out_shape(**{name: arguments[name] for name in inspect.signature(case.out_shape).parameters})
        results[declaration.results[0].name] = np.empty(found, dtype)  # type: ignore[assignment]
    operands = {operand.name: given.get(operand.name, operand.default) for operand in declaration.inputs} | results
    shapes = plan(declaration, operands).results
    for operand, (length, kind) in zip(declaration.results, shapes, strict=True):
        if operands[operand.name] is None:
            operands[operand.name] = np.empty(length, kind)
    return tuple(operands[name] for name in declaration.parameter_names)


def checked_shape(kernel: str, case: Case, shape: Sequence[int] | None) -> tuple[int, ...]:
    """The shape, or a usual one. Raises ValueError for one that the kernel's operands cannot have."""
    counts = sorted({len(known) for known in case.shapes})
    if shape is None:
        return DEFAULTS[counts[-1]]
    lengths = tuple(shape)
    written = "x".join(map(str, lengths))
    if len(lengths) not in counts:
        usual = " or ".join("x".join(map(str, DEFAULTS[count])) for count in counts)
        meaning = " (m, k and n of a product)" if counts == [3] else ""
        raise ValueError(
            f"{kernel}: shape is {written}, expected {' or '.join(map(str, counts))} lengths, such as {usual}{meaning}"
        )
    if min(lengths) < 1 or math.prod(sorted(lengths)[-2:]) > MOST_ELEMENTS:
        raise ValueError(
            f"{kernel}: shape is {written}, expected lengths from 1 on and at most {MOST_ELEMENTS:,} elements"
        )
    return lengths


def _options(declaration: Declaration, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, checked as the contract does it. Text is read as the number or truth value that it spells."""
    takes = {operand.name: operand for operand in declaration.inputs if not operand.is_array}
    checked = {}
    for name, value in options.items():
        if name not in takes:
            known = did_you_mean(name, takes) if takes else "it takes none"
            raise ValueError(f"{declaration.name} has no option {name!r}: {known}")
        spelled = {"true": True, "false": False, "none": None}
        read = spelled.get(value.lower(), value) if isinstance(value, str) else value
        if isinstance(read, str) and takes[name].kind in ("float", "int", "Probability", "Axis"):
            try:
                read = float(read) if takes[name].kind in ("float", "Probability") else int(read)
            except ValueError:
                raise ValueError(f"{declaration.name}: {name} is {value!r}, expected a number") from None
        checked[name] = check_option(declaration.name, takes[name], read)
    return checked


def _arguments(
    declaration: Declaration, case: Case, lengths: tuple[int, ...], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The case's arguments with the options in place of those of its first row."""
    rng = np.random.default_rng(0)

    def draw(*size: int, low: float = -2, high: float = 2) -> np.ndarray[Any, Any]:
        return rng.uniform(low, high, size)

    variant = {**case.variants[0], **options}
    accepted = inspect.signature(case.arguments).parameters
    arguments = case.arguments(draw, lengths, **{name: v for name, v in variant.items() if name in accepted})
    chosen = {name: v for name, v in variant.items() if name in declaration.parameter_names}
    return {**chosen, **arguments, **options}


def _as(value: Any, dtype: str, declaration: Declaration, name: str) -> Any:
    """Arrays in the dtype that the operand has; numbers among arrays as arrays of one element."""
    operand = next((operand for operand in declaration.operands if operand.name == name), None)
    if operand is None or not operand.is_array or value is None:
        return value
    if operand.kind in ("State", "Indices"):
        return value
    return np.atleast_1d(np.asarray(value, dtype))


def described(declaration: Declaration, operands: Sequence[Any]) -> str:
    """The operands in a line: arrays by their shapes."""
    pairs = zip(declaration.parameter_names, operands, strict=True)
    return ", ".join(f"{name} {'x'.join(map(str, v.shape))}" if isinstance(v, np.ndarray) else f"{name}={v!r}"
                     for name, v in pairs)  # fmt: skip
