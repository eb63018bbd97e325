"""A kernel's checked call: checks once for each combination of shapes, strides, dtypes and options, then compares keys.

The function's source is generated from the declaration, as dataclasses do it, so that Python itself binds the arguments
and a call whose combination has been seen costs about a microsecond.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from . import checks
from .declaration import CHOICES, Declaration, Operand
from .dtypes import FLOATS


class Owner(Protocol):
    """What a checked call asks of its backend."""

    name: str
    empty: Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray[Any, Any]]

    def constant(self, value: float, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """A read-only array of one element."""


# Combinations remembered a kernel: a training run uses a dozen, and shapes that never come again must not pile up.
PLANS_KEPT = 4096
NUMBERS = (float, int, *(dtype.type for dtype in FLOATS))  # types of numbers that become operands


def checked(declaration: Declaration, implementation: Callable[..., Any], backend: Owner) -> Callable[..., Any]:
    """A backend's method: checks, allocates what is not given, calls the implementation with operands by position."""
    kernel = declaration.name
    operands = {operand.name: operand for operand in declaration.operands}
    plans: dict[Any, checks.Plan] = {}

    def plan_for(key: Any, arguments: dict[str, Any]) -> checks.Plan:
        found = checks.plan(declaration, arguments)
        if len(plans) >= PLANS_KEPT:
            plans.clear()
        if key is not None:
            plans[key] = found
        return found

    def convert(name: str, value: Any) -> Any:
        return checks.check_option(kernel, operands[name], value)

    def constant(name: str, number: Any, others: tuple[Any, ...]) -> Any:
        """A number among arrays, as an array of one element."""
        dtype = next((other.dtype for other in others if isinstance(other, np.ndarray)), None)
        if dtype is None or dtype not in FLOATS:
            raise TypeError(f"{kernel}: {name} is a {type(number).__name__}, expected at least one float array operand")
        return backend.constant(float(number), dtype)

    # Where a backend can tell that a call is like an earlier one, it runs it at once.
    known, remember = (getattr(implementation, name, None) for name in ("known", "remember"))
    scope = {
        "CHOICES": {kind: frozenset(names) for kind, names in CHOICES.items()},
        "DEFAULTS": {operand.name: operand.default for operand in declaration.operands},
        "NUMBERS": NUMBERS,
        "check_below": checks.check_below,
        "check_overlap": checks.check_overlap,
        "constant": constant,
        "convert": convert,
        "declaration": declaration,
        "size_of": operator.attrgetter("size"),
        "empty": lambda shape, dtype: backend.empty(shape, dtype),
        "implementation": implementation,
        "known": known,
        "remember": remember,
        "may_share": np.may_share_memory,
        "plan_for": plan_for,
        "plans": plans,
    }
    exec(compile(source(declaration, known is not None), f"<checked call of {backend.name}.{kernel}>", "exec"), scope)
    function: Callable[..., Any] = scope[kernel]  # type: ignore[assignment]
    function.__doc__ = declaration.doc
    return function


def source(declaration: Declaration, knows: bool) -> str:
    """The function's source. knows: the implementation recognises calls like earlier ones."""
    names, results = declaration.parameter_names, [operand.name for operand in declaration.results]
    by_name = ", ".join(f"'{name}': {name}" for name in names)
    bounded = [operand.name for operand in declaration.inputs if operand.below]
    # Whole numbers are new objects in each call. What else is limited in range, ``known`` has to check.
    shortcut = knows and not any(operand.kind == "int" for operand in declaration.inputs)
    lines = [
        *(line for operand in declaration.inputs for line in _as_array(operand, declaration)),
        *(_shortcut(declaration) if shortcut else []),
        *(line for operand in declaration.inputs for line in _prepare(operand)),
        "try:",
        f"    key = ({', '.join(_key(operand) for operand in declaration.operands)},)",
        "    plan = plans.get(key)",
        "except (AttributeError, TypeError):  # an argument is no array: say so",
        "    key = plan = None",
        "if plan is None:",
        f"    plan = plan_for(key, {{{by_name}}})",
        *(f"check_below('{declaration.name}', '{n}', {n}, plan.bounds[{i}])" for i, n in enumerate(bounded)),
        *_overlap_checks(declaration),
        *(f"if {name} is None: {name} = empty(*plan.results[{i}])" for i, name in enumerate(results)),
        f"implementation({', '.join(names)})",
        *([f"remember(({', '.join(names)},))"] if shortcut else []),
        *([f"return {', '.join(results)}"] if results else []),
    ]
    return "\n    ".join([f"def {declaration.name}({_parameters(declaration)}):", *lines])


def _parameters(declaration: Declaration) -> str:
    inputs = [o.name + (f"=DEFAULTS['{o.name}']" if o.optional else "") for o in declaration.inputs]
    results = [f"{operand.name}=None" for operand in declaration.results]
    return ", ".join(inputs + (["*", *results] if results else []))


def _as_array(operand: Operand, declaration: Declaration) -> list[str]:
    """Turns a number among operands that broadcast into an array."""
    if operand.shape is None or operand.shape.axes != ("*",):
        return []
    name, others = operand.name, ", ".join(other.name for other in declaration.inputs if other is not operand)
    return [f"if type({name}) in NUMBERS: {name} = constant('{name}', {name}, ({others},))"]


def _prepare(operand: Operand) -> list[str]:
    """Turns an argument into the kind the implementation takes."""
    name, kind = operand.name, operand.kind
    if operand.is_array or kind == "Axis":  # an axis is checked with the shape it belongs to
        return []
    # What is right at first sight needs no further check.
    right = {"float": f"type({name}) is float", "bool": f"type({name}) is bool"}
    right |= {choice: f"type({name}) is str and {name} in CHOICES['{choice}']" for choice in CHOICES}
    unless = f"if not ({right[kind]}): " if kind in right else ""
    return [f"{unless}{name} = convert('{name}', {name})"]


def _key(operand: Operand) -> str:
    """What the check of this operand depends on."""
    name = operand.name
    if not operand.is_array:
        return "0" if operand.kind in ("float", "int", "Probability") else name
    described = f"type({name}), {name}.dtype, {name}.shape, {name}.strides, {name}.flags.num"
    return f"None if {name} is None else ({described})" if operand.written or operand.optional else described


def _shortcut(declaration: Declaration) -> list[str]:
    """Runs a call like an earlier one. Results that are not given are allocated as that call's probably were.

    Whether they were is part of what ``known`` compares; where it is not so, they are forgotten.
    """
    names, results = ", ".join(declaration.parameter_names), [operand.name for operand in declaration.results]
    if not results:
        return [f"if known(({names},)): return"]
    returned, given = ", ".join(results), " and ".join(f"{name} is not None" for name in results)
    lines = [f"if {given}:", f"    if known(({names},)): return {returned}"]
    guesses = [_guess(operand, declaration) for operand in declaration.results]
    if not declaration.allocates or None in guesses:
        return lines
    return [
        *lines,
        f"elif {' and '.join(f'{name} is None' for name in results)}:",
        "    try:",
        *(f"        {name} = {guess}" for name, guess in zip(results, guesses, strict=True)),
        f"        if known(({names},)): return {returned}",
        # What is wrong with an argument, the checks will say.
        "    except (AttributeError, IndexError, TypeError, ValueError, MemoryError): pass",
        f"    {' = '.join(results)} = None",
    ]


def _guess(result: Operand, declaration: Declaration) -> str | None:
    """An array as a result most likely has to be, from the operands' shapes; None where they do not say."""
    inputs = [operand for operand in declaration.inputs if operand.kind in ("Floats", "Mutable", "Indices")]
    if not inputs or result.shape is None:
        return None
    dtype, axes = f"{inputs[0].name}.dtype", result.shape.axes
    if axes[0].startswith("/"):
        return None
    if axes == ("...",):
        return f"empty({inputs[0].name}.shape, {dtype})"
    if axes == ("*",):
        largest = ", ".join(operand.name for operand in inputs)
        return f"empty(max({largest}, key=size_of).shape, {dtype})"
    lengths = [_length(axis.rstrip("!"), inputs) for axis in axes]
    return None if None in lengths else f"empty(({', '.join(map(str, lengths))},), {dtype})"


def _length(axis: str, inputs: list[Operand]) -> str | None:
    """The length of an axis, as an operand's shape tells it."""
    if axis.isdigit():
        return axis
    for operand in inputs:
        names = [name.rstrip("!") for name in operand.shape.axes] if operand.shape else []
        if axis in names and not operand.optional:
            place = names.index(axis)
            if operand.shape is not None and operand.shape.transposed_by:
                return f"{operand.name}.shape[{1 - place} if {operand.shape.transposed_by} else {place}]"
            return f"{operand.name}.shape[{place}]"
    return None


def _overlap_checks(declaration: Declaration) -> list[str]:
    operands, lines = {operand.name: operand for operand in declaration.operands}, []
    for written, other in checks.overlap_pairs(declaration):
        given = [
            f"{name} is not None" for name in (written, other) if operands[name].written or operands[name].optional
        ]
        lines.append(f"if {' and '.join([*given, f'may_share({written}, {other})'])}:")
        lines.append(f"    check_overlap(declaration, '{written}', {written}, '{other}', {other})")
    return lines
