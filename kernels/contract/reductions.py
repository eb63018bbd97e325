"""Reductions over one axis or over everything, which gives an array of one element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .declaration import Axis, Floats, Indices, fused, required

if TYPE_CHECKING:
    from .backend import Backend


@required("(...)->(/axis)")
def sum(x: Floats, axis: Axis = None, *, out: Floats) -> None:
    """out = sum of x over axis; 0 over an empty one."""


@required("(...)->(/axis!)")
def max(x: Floats, axis: Axis = None, *, out: Floats) -> None:
    """out = largest x over axis, NaN if any is NaN; the axis must not be empty."""


@required("(...)->(/axis!)")
def argmax(x: Floats, axis: Axis = None, *, out: Indices) -> None:
    """out = position of the largest x over axis, the first where several are, the first NaN if there is one; int64."""


@fused("(...)->(/axis)")
def mean(backend: Backend, x: Floats, axis: Axis = None, *, out: Floats) -> None:
    """out = sum of x over axis / number of elements summed; NaN over an empty axis."""
    count = x.size if axis is None else x.shape[axis]
    backend.divide(backend.sum(x, axis), float(count), out=out)


@fused("(...)->(1)")
def sum_of_squares(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = sum of x**2 over everything, an array of one element."""
    backend.sum(backend.multiply(x, x), out=out)
