"""Differentiable reductions and changes of shape: sums, rows and columns, reshape, transpose, concatenation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backends import current
from ..tensor import Array, Tensor, reshaped, result


def _checked_axis(name: str, x: Tensor, axis: int | None) -> int | None:
    if axis is None:
        return None
    if not isinstance(axis, int) or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{name}: axis is {axis!r}, expected None or one of shape {x.shape}'s axes")
    return axis % x.ndim


def _reduced(x: Tensor, axis: int | None, keepdims: bool) -> tuple[int, ...]:
    """The shape of a reduction's result."""
    if keepdims:
        return tuple(1 if axis is None or axis == i else length for i, length in enumerate(x.shape))
    return () if axis is None else x.shape[:axis] + x.shape[axis + 1 :]


def _spread(gradient: Array, x: Tensor, axis: int | None, factor: float = 1.0) -> Array:
    """The gradient of a sum: each element of x gets its sum's gradient, times factor."""
    k = current()
    wide = gradient.reshape(-1, 1) if axis == 1 else gradient.reshape(-1)
    ones = k.fill(factor, out=k.empty(x.array.shape, x.dtype))
    spread: Array = k.multiply(ones, wide, out=ones)
    return spread


def sum(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Sum over axis; over everything for None."""
    axis = _checked_axis("sum", x, axis)
    out = current().sum(x.array, axis)
    return result(out, (x,), lambda g: (_spread(g, x, axis),), _reduced(x, axis, keepdims))


def mean(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Mean over axis; over everything for None."""
    axis = _checked_axis("mean", x, axis)
    count = x.size if axis is None else x.shape[axis]
    out = current().mean(x.array, axis)
    share = 1 / count if count else 0.0  # of none, the mean is NaN
    return result(out, (x,), lambda g: (_spread(g, x, axis, share),), _reduced(x, axis, keepdims))


def max(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Largest over axis; where several are, they share the gradient evenly."""
    axis = _checked_axis("max", x, axis)
    out = current().max(x.array, axis)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        top = out.reshape(-1, 1) if axis == 1 else out
        is_top = k.subtract(1.0, k.greater(top, x.array))
        share = k.divide(reshaped(g, (-1,)), k.sum(is_top, axis))
        return (k.multiply(is_top, share.reshape(-1, 1) if axis == 1 else share),)

    return result(out, (x,), rule, _reduced(x, axis, keepdims))


def argmax(x: Tensor, axis: int | None = None) -> Array:
    """Positions of the largest over axis, as an int64 array."""
    axis = _checked_axis("argmax", x, axis)
    positions: Array = current().argmax(x.array, axis).reshape(_reduced(x, axis, False))
    return positions


def reshape(x: Tensor, *shape: int) -> Tensor:
    """The same elements in another shape of at most two axes; -1 is worked out."""
    wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    if len(wanted) > 2:
        raise ValueError(f"reshape: shape is {wanted}, expected at most two axes")
    try:
        out = reshaped(x.array, wanted)
    except ValueError:
        raise ValueError(f"reshape: {x.shape} has {x.size} elements, which do not fill {wanted}") from None
    return result(out, (x,), lambda g: (reshaped(g, x.array.shape),))


def transpose(x: Tensor) -> Tensor:
    """x with rows and columns exchanged, as a copy; ``matmul`` takes flags instead. 0-D and 1-D tensors stay."""
    if x.ndim < 2:
        return x
    return result(current().transpose(x.array), (x,), lambda g: (current().transpose(g),))


def take(x: Tensor, rows: Any) -> Tensor:
    """x[rows]: one row by its number, rows by a slice or by an array of numbers, or x[rows, start:stop] by two slices.

    Numbers count from the end where negative; an array may repeat rows, whose gradients add up.
    """
    if isinstance(rows, (tuple, slice)):
        return _slice(x, rows)
    index = np.asarray(rows, np.int64 if isinstance(rows, list) and not rows else None)
    if index.dtype.kind == "b":
        if index.shape != x.shape[:1]:
            raise IndexError(f"row mask has shape {index.shape}, expected {x.shape[:1]}")
        index = np.flatnonzero(index)
    if index.ndim > 1 or index.dtype.kind not in "iu":
        raise TypeError(
            f"rows are indexed by {rows!r}, expected a whole number, a slice or a 1-D array of whole numbers"
        )
    if x.ndim == 0:
        raise IndexError("a tensor of shape () has no rows")
    index = index.astype(np.int64)
    count = x.shape[0]
    if index.size and (index.min() < -count or index.max() >= count):
        raise IndexError(
            f"row {int(index.min() if index.min() < -count else index.max())} of a tensor with {count} rows"
        )
    picked = np.where(index < 0, index + count, index).reshape(-1)
    table = x.data if x.ndim == 2 else x.data[:, None]

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        whole = k.scatter_add_rows(
            reshaped(g, (picked.size, table.shape[1])), picked, out=k.empty(table.shape, x.dtype)
        )
        return (whole.reshape(x.array.shape),)

    return result(current().gather_rows(table, picked), (x,), rule, index.shape + x.shape[1:])


def _slice(x: Tensor, key: Any) -> Tensor:
    parts = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(part, slice) and part.step in (None, 1) for part in parts) or len(parts) > x.ndim:
        raise TypeError(f"a tensor of shape {x.shape} is indexed by {key!r}, expected whole slices of its axes")
    view = x.data[key]

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        whole: Array = k.fill(0.0, out=k.empty(x.array.shape, x.dtype))
        if view.size:
            k.cast(g, out=whole[key])
        return (whole,)

    return result(view, (x,), rule)


def concatenate(tensors: Sequence[Tensor]) -> Tensor:
    """The columns of 2-D tensors with equally many rows, side by side."""
    if not tensors or any(t.ndim != 2 or t.shape[0] != tensors[0].shape[0] for t in tensors):
        raise ValueError(
            f"concatenate: shapes are {[t.shape for t in tensors]}, expected 2-D with the same number of rows"
        )
    ends = np.cumsum([0, *(t.shape[1] for t in tensors)]).tolist()
    k, dtype = current(), tensors[0].dtype
    out = k.empty((tensors[0].shape[0], ends[-1]), dtype)
    for tensor, start, end in zip(tensors, ends, ends[1:], strict=False):
        k.cast(tensor.array, out=out[:, start:end])
    return result(out, tuple(tensors), lambda g: tuple(g[:, start:end] for start, end in itertools.pairwise(ends)))
