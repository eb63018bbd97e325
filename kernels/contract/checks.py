"""Checks a call against a kernel's declaration before anything runs, and works out the shapes of its results.

Every refusal is one sentence that names the kernel, the argument, what came and what was expected.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .declaration import CHOICES, Declaration, Operand
from .dtypes import EITHER_FLOAT, FLOATS

KIND_DTYPE = {"State": np.dtype(np.float64), "Indices": np.dtype(np.int64)}


class Plan(NamedTuple):
    """What a checked call needs to know: results to allocate, and bounds that indices must keep."""

    results: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
    bounds: tuple[int, ...]


def check_array(kernel: str, operand: Operand, value: Any) -> None:
    """Refuses what is not a plain, aligned, native array of the right kind with a contiguous last axis."""
    where = f"{kernel}: {operand.name}"
    if type(value) is not np.ndarray:
        raise TypeError(f"{where} is a {type(value).__name__}, expected a numpy.ndarray")
    if operand.kind in KIND_DTYPE and value.dtype != KIND_DTYPE[operand.kind]:
        raise TypeError(f"{where} has dtype {value.dtype}, expected {KIND_DTYPE[operand.kind]}")
    if value.dtype not in FLOATS and operand.kind not in KIND_DTYPE:
        raise TypeError(f"{where} has dtype {value.dtype}, expected {EITHER_FLOAT}")
    if not value.dtype.isnative:
        raise TypeError(f"{where} has the byte order of another machine ({value.dtype.str}), expected the native one")
    if value.ndim not in (1, 2):
        raise ValueError(f"{where} has {value.ndim} dimensions, expected 1 or 2")
    if not value.flags.aligned or any(stride % value.itemsize for stride in value.strides):
        raise ValueError(f"{where} is not aligned to its {value.itemsize}-byte elements")
    if value.shape[-1] > 1 and value.strides[-1] != value.itemsize and value.size:
        raise ValueError(
            f"{where} has strides {value.strides}, expected a contiguous last axis: pass numpy.ascontiguousarray of it"
        )
    if operand.written or operand.kind == "Mutable":
        if not value.flags.writeable:
            raise ValueError(f"{where} is read-only, but the kernel writes it")
        if value.ndim == 2 and value.shape[0] > 1 and abs(value.strides[0]) < value.shape[1] * value.itemsize:
            raise ValueError(f"{where} has strides {value.strides}: its rows overlap, but the kernel writes it")


class _Shapes:
    """The axes' lengths that the operands seen so far have fixed."""

    def __init__(self, declaration: Declaration, arguments: Mapping[str, Any]):
        self.declaration, self.arguments = declaration, arguments
        self.lengths: dict[str, tuple[int, str]] = {}  # axis -> length and the operand that fixed it
        self.whole: tuple[int, ...] | None = None  # the shape of "..."
        self.broadcast: tuple[int, ...] = ()

    def refuse(self, operand: Operand, shape: tuple[int, ...], expected: str) -> ValueError:
        return ValueError(f"{self.declaration.name}: {operand.name} has shape {shape}, expected {expected}")

    def take(self, operand: Operand, shape: tuple[int, ...]) -> None:
        """Fits an operand's shape to the notation, fixing axes or comparing with what fixed them."""
        assert operand.shape is not None
        axes = operand.shape.axes
        if axes == ("...",):
            if self.whole is None:
                self.whole = shape
            elif shape != self.whole:
                raise self.refuse(operand, shape, f"that of {self.declaration.operands[0].name}, {self.whole}")
        elif axes == ("*",):
            try:
                self.broadcast = np.broadcast_shapes(self.broadcast, shape)
            except ValueError:
                raise self.refuse(operand, shape, f"one that broadcasts with {self.broadcast}") from None
        else:
            if operand.shape.transposed_by and self.arguments[operand.shape.transposed_by]:
                axes = axes[::-1]
            self.take_axes(operand, axes, shape)

    def take_axes(self, operand: Operand, axes: tuple[str, ...], shape: tuple[int, ...]) -> None:
        assert operand.shape is not None
        named = "(" + ", ".join(axis.rstrip("!") for axis in axes) + ("," if len(axes) == 1 else "") + ")"
        if len(shape) != len(axes):
            raise self.refuse(operand, shape, named)
        for axis, length in zip(axes, shape, strict=True):
            name = axis.rstrip("!")
            fixed, by = (int(name), "the kernel") if name.isdigit() else self.lengths.get(name, (length, operand.name))
            if length != fixed:
                raise self.refuse(operand, shape, f"{named} with {name} = {fixed}, set by {by}")
            if axis.endswith("!") and length == 0:
                raise self.refuse(operand, shape, f"{named} with {name} not 0")
            self.lengths[name] = (length, operand.name)

    def result(self, operand: Operand) -> tuple[int, ...] | None:
        """The shape that a result has to have, or None where only the result itself says it."""
        assert operand.shape is not None
        axes = operand.shape.axes
        if axes == ("...",):
            return self.whole
        if axes == ("*",):
            return self.broadcast
        if axes[0].startswith("/"):
            return self.reduced(operand, axes[0].endswith("!"))
        names = [axis.rstrip("!") for axis in axes]
        if any(name not in self.lengths and not name.isdigit() for name in names):
            return None
        return tuple(int(name) if name.isdigit() else self.lengths[name][0] for name in names)

    def reduced(self, operand: Operand, nonempty: bool) -> tuple[int, ...]:
        assert self.whole is not None
        axis, kernel = self.arguments["axis"], self.declaration.name
        if axis is not None and (type(axis) is not int or not 0 <= axis < len(self.whole)):
            expected = " or ".join(["None", *map(str, range(len(self.whole)))])
            raise ValueError(f"{kernel}: axis is {axis!r}, expected {expected} for shape {self.whole}")
        rest = () if axis is None else self.whole[:axis] + self.whole[axis + 1 :]
        if nonempty and 0 in (self.whole if axis is None else self.whole[axis : axis + 1]):
            raise ValueError(f"{kernel}: x has shape {self.whole}, expected at least one element along axis {axis}")
        return rest or (1,)


def check_option(kernel: str, operand: Operand, value: Any) -> Any:
    """A checked and converted argument that is no array."""
    where = f"{kernel}: {operand.name} is {value!r}, expected"
    if operand.kind in ("float", "Probability"):
        if not isinstance(value, int | float | np.floating | np.integer) or isinstance(value, bool):
            raise TypeError(f"{where} a number")
        if operand.kind == "Probability" and not 0 <= value < 1:
            raise ValueError(f"{where} a number in [0, 1)")
        return float(value)
    if operand.kind == "int":
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"{where} a whole number") from None
        if not 0 <= number < 1 << 64:
            raise ValueError(f"{where} a whole number in [0, 2**64)")
        return number
    if operand.kind == "bool" and not isinstance(value, bool | np.bool_):
        raise TypeError(f"{where} True or False")
    if operand.kind in CHOICES and value not in CHOICES[operand.kind]:
        raise ValueError(f"{where} one of {', '.join(CHOICES[operand.kind])}")
    return value


def plan(declaration: Declaration, arguments: Mapping[str, Any]) -> Plan:
    """Checks arguments, by name and with results given or None, and says what the results are."""
    kernel, shapes, dtype = declaration.name, _Shapes(declaration, arguments), None
    for operand in declaration.inputs:
        value = arguments[operand.name]
        if not operand.is_array or (value is None and operand.optional):
            continue
        check_array(kernel, operand, value)
        if operand.kind in ("Floats", "Mutable"):
            if dtype is not None and value.dtype != dtype and kernel != "cast":
                raise TypeError(
                    f"{kernel}: {operand.name} has dtype {value.dtype}, expected {dtype} as the others have"
                )
            dtype = value.dtype
        shapes.take(operand, value.shape)
    results = []
    for operand in declaration.results:
        value, shape = arguments[operand.name], shapes.result(operand)
        if value is None and not declaration.allocates:
            raise TypeError(f"{kernel}: {operand.name} must be given, since nothing else says its shape and dtype")
        kind = KIND_DTYPE.get(operand.kind, dtype)
        if value is not None:
            check_array(kernel, operand, value)
            if declaration.allocates and value.dtype != kind:
                raise TypeError(f"{kernel}: {operand.name} has dtype {value.dtype}, expected {kind}")
            if shape is None:
                shapes.take(operand, value.shape)
            elif value.shape != shape:
                raise ValueError(f"{kernel}: {operand.name} has shape {value.shape}, expected {shape}")
            kind, shape = value.dtype, value.shape
        assert shape is not None and kind is not None
        results.append((shape, kind))
    bounds = [shapes.lengths[operand.below][0] for operand in declaration.inputs if operand.below]
    return Plan(tuple(results), tuple(bounds))


def axis_length(declaration: Declaration, operands: Sequence[Any], axis: str) -> int:
    """The length of a declared axis, as a call's operands have it."""
    for operand, value in zip(declaration.operands, operands, strict=True):
        names = [name.rstrip("!") for name in operand.shape.axes] if operand.shape else []
        if axis in names:
            length: int = value.shape[names.index(axis)]
            return length
    raise AssertionError(f"{declaration.name} declares no axis {axis}")


def overlap_pairs(declaration: Declaration) -> list[tuple[str, str]]:
    """Pairs of operands that must not share memory: each written one with every other array."""
    arrays = [operand for operand in declaration.operands if operand.is_array]
    written = [operand for operand in arrays if operand.written or operand.kind == "Mutable"]
    pairs = [(w.name, other.name) for w in written for other in arrays if other is not w]
    return [(a, b) for n, (a, b) in enumerate(pairs) if (b, a) not in pairs[:n]]


def check_overlap(declaration: Declaration, name: str, written: Any, other_name: str, other: Any) -> None:
    """Refuses a written array that shares memory with another operand, but for what the declaration lets ``out`` be."""
    if other_name in declaration.in_place and _same(written, other):
        return
    if np.shares_memory(written, other):
        raise ValueError(f"{declaration.name}: {name} overlaps {other_name}, but is written")


def _same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return a is b or (
        a.shape == b.shape and a.strides == b.strides and a.__array_interface__["data"] == b.__array_interface__["data"]
    )


def outside(indices: Any, limit: int) -> int | None:
    """The first index outside [0, limit), or None."""
    # Seen as unsigned, a negative index is a huge one: one reduction checks both ends.
    if indices.size and indices.view(np.uint64).max() >= limit:
        return int(indices[(indices < 0) | (indices >= limit)][0])
    return None


def check_below(kernel: str, name: str, indices: Any, limit: int) -> None:
    """Refuses indices outside [0, limit): native code would read outside the array."""
    found = outside(indices, limit)
    if found is not None:
        raise ValueError(f"{kernel}: {name} holds {found}, expected whole numbers in [0, {limit})")
