"""Differentiable reductions and changes of shape: sums, spreads, rows, reshape, transpose, concatenation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backends import current
from ..tensor import Array, Tensor, reshaped, result
from .arithmetic import multiply, sqrt, subtract


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


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """1-D tensors one after the other; 2-D ones one below the other (axis 0) or side by side (axis 1).

    Along the other axis they are equally long.
    """
    shapes = [t.shape for t in tensors]
    ndim = len(shapes[0]) if shapes else 0
    if not ndim or any(len(shape) != ndim for shape in shapes):
        raise ValueError(f"concatenate: shapes are {shapes}, expected one or more, all 1-D or all 2-D")
    along = _checked_axis("concatenate", tensors[0], axis)
    if along is None:
        raise ValueError("concatenate: axis is None, expected 0 or 1")
    if ndim == 2 and len({shape[1 - along] for shape in shapes}) > 1:
        same = "columns" if along == 0 else "rows"
        raise ValueError(f"concatenate: shapes are {shapes}, expected 2-D with the same number of {same}")
    if len({t.dtype for t in tensors}) > 1:
        raise TypeError(f"concatenate: dtypes are {', '.join(str(t.dtype) for t in tensors)}, expected the same")
    ends = np.cumsum([0, *(shape[along] for shape in shapes)]).tolist()
    parts = [(slice(None),) * along + (slice(start, end),) for start, end in itertools.pairwise(ends)]
    k, dtype = current(), tensors[0].dtype
    out = k.empty(tuple(ends[-1] if i == along else length for i, length in enumerate(shapes[0])), dtype)
    for tensor, part in zip(tensors, parts, strict=True):
        if tensor.size:
            k.cast(tensor.array, out=out[part])
    return result(out, tuple(tensors), lambda g: tuple(g[part] for part in parts))


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Scalars as a 1-D tensor; 1-D tensors as the rows (axis 0) or columns (axis 1) of a 2-D one."""
    shapes = [t.shape for t in tensors]
    if not shapes or len(shapes[0]) > 1 or len(set(shapes)) > 1:
        raise ValueError(f"stack: shapes are {shapes}, expected one or more, equal, of at most one axis")
    if not isinstance(axis, int) or not -len(shapes[0]) - 1 <= axis <= len(shapes[0]):
        raise ValueError(f"stack: axis is {axis!r}, expected one of the axes of the result")
    if not shapes[0]:
        return concatenate([reshape(t, 1) for t in tensors])
    along = axis % 2
    return concatenate([reshape(t, 1, -1) if along == 0 else reshape(t, -1, 1) for t in tensors], along)


def var(x: Tensor, axis: int | None = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """sum of (x - mean)**2 / (n - ddof) over axis, over everything for None.

    ddof: 0 as in NumPy, the mean square; 1 is PyTorch's default, without bias for a sample.
    """
    axis = _checked_axis("var", x, axis)
    count = x.size if axis is None else x.shape[axis]
    if not isinstance(ddof, int) or not 0 <= ddof < count:
        raise ValueError(f"var: ddof is {ddof!r}, expected a whole number from 0 to below the {count} values")
    centred = subtract(x, mean(x, axis, keepdims=True))
    return multiply(sum(multiply(centred, centred), axis, keepdims), 1 / (count - ddof))


def std(x: Tensor, axis: int | None = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """sqrt(var(x, axis, ddof)); the gradient is NaN where it is 0."""
    return sqrt(var(x, axis, ddof, keepdims))
