"""Elementwise kernels: arithmetic with broadcasting, and functions; ``activations`` has the others."""

# A required kernel has no body: its docstring is its definition, and the naive backend its executable form.
from __future__ import annotations

from typing import TYPE_CHECKING

from .declaration import Floats, fused, required

if TYPE_CHECKING:
    from .backend import Backend

SAME = "(...)->(...)"
BROADCAST = "(*),(*)->(*)"


# ---- arithmetic ---------------------------------------------------------------------------------------------------


@required(BROADCAST, in_place=("a", "b"))
def add(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a + b."""


@required(BROADCAST, in_place=("a", "b"))
def subtract(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a - b."""


@required(BROADCAST, in_place=("a", "b"))
def multiply(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a * b."""


@required(BROADCAST, in_place=("a", "b"))
def divide(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a / b; division by zero gives an infinity or NaN, as IEEE 754 says."""


@required(BROADCAST, in_place=("a", "b"))
def power(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a**b; NaN where a < 0 and b is not whole. 0**0 = 1, 1**NaN = 1."""


@required(BROADCAST, in_place=("a", "b"))
def maximum(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = max(a, b); NaN where either is NaN."""


@required(BROADCAST, in_place=("a", "b"))
def minimum(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = min(a, b); NaN where either is NaN."""


@required(BROADCAST, in_place=("a", "b"))
def greater(a: Floats, b: Floats, *, out: Floats) -> None:
    """out = 1 where a > b, else 0; a comparison with NaN is false."""


@required("(*),(*),(*)->(*)", in_place=("condition", "a", "b"))
def where(condition: Floats, a: Floats, b: Floats, *, out: Floats) -> None:
    """out = a where condition is not 0 (NaN is not), else b."""


@fused("(*),(*),(*)->(*)", in_place=("start", "end", "weight"))
def lerp(backend: Backend, start: Floats, end: Floats, weight: Floats, *, out: Floats) -> None:
    """out = start + weight (end - start)."""
    backend.add(start, backend.multiply(backend.subtract(end, start), weight), out=out)


@fused("(r,c),(r,c),(r,c),(c)->(r,c),(r,c),(c)")
def lerp_gradient(
    backend: Backend,
    grad: Floats,
    start: Floats,
    end: Floats,
    weight: Floats,
    *,
    out: Floats,
    end_gradient: Floats,
    weight_gradient: Floats,
) -> None:
    """out_ij = (1 - weight_j) grad_ij; end_gradient_ij = weight_j grad_ij.

    weight_gradient_j = sum_i grad_ij (end_ij - start_ij): the gradients of lerp with one weight a column.
    """
    backend.multiply(grad, weight, out=end_gradient)
    backend.subtract(grad, end_gradient, out=out)
    backend.sum(backend.multiply(grad, backend.subtract(end, start)), axis=0, out=weight_gradient)


@required("(...)->(...)", allocates=False)
def cast(x: Floats, *, out: Floats) -> None:
    """out = x, rounded to the dtype of out, which must be given. With equal dtypes this is a copy."""


@required("->(...)", allocates=False)
def fill(value: float, *, out: Floats) -> None:
    """out = value everywhere. out must be given."""


@fused(SAME, in_place=("x",))
def negative(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out = -x."""
    backend.multiply(x, -1.0, out=out)


# ---- functions ----------------------------------------------------------------------------------------------------


@required(SAME, in_place=("x",))
def exp(x: Floats, *, out: Floats) -> None:
    """out = e**x."""


@required(SAME, in_place=("x",))
def expm1(x: Floats, *, out: Floats) -> None:
    """out = e**x - 1, accurate near 0."""


@required(SAME, in_place=("x",))
def log(x: Floats, *, out: Floats) -> None:
    """out = ln x; -inf at 0, NaN below."""


@required(SAME, in_place=("x",))
def log1p(x: Floats, *, out: Floats) -> None:
    """out = ln(1 + x), accurate near 0; -inf at -1, NaN below."""


@required(SAME, in_place=("x",))
def sqrt(x: Floats, *, out: Floats) -> None:
    """out = sqrt(x); NaN below 0."""


@required(SAME, in_place=("x",))
def sin(x: Floats, *, out: Floats) -> None:
    """out = sin x, x in radians; NaN at the infinities."""


@required(SAME, in_place=("x",))
def cos(x: Floats, *, out: Floats) -> None:
    """out = cos x, x in radians; NaN at the infinities."""


@required(SAME, in_place=("x",))
def erf(x: Floats, *, out: Floats) -> None:
    """out = 2 / sqrt(pi) * integral of e**(-t**2) for t from 0 to x."""


@required(SAME, in_place=("x",))
def absolute(x: Floats, *, out: Floats) -> None:
    """out = |x|."""


@required(SAME, in_place=("x",))
def sign(x: Floats, *, out: Floats) -> None:
    """out = -1, 0 or 1 as x is negative, zero or positive; NaN at NaN."""
