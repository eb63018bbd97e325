"""Products: matrix, dot, outer, and the fused linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .declaration import Activation, Floats, OutputActivation, Precision, fused, required

if TYPE_CHECKING:
    from .backend import Backend


@required("(m,k)^transpose_a,(k,n)^transpose_b->(m,n)", factors=("a", "b"))
def matmul(
    a: Floats,
    b: Floats,
    transpose_a: bool = False,
    transpose_b: bool = False,
    precision: Precision = "full",
    *,
    out: Floats,
) -> None:
    """out = A B, where A is a or, with transpose_a, its transpose; B likewise.

    precision: "bfloat16" rounds both factors to bfloat16; sums and the result are of the arrays' dtype.
    Error: |out - exact| <= 16 eps (|A| |B|) for k <= 1024, sqrt(k) eps (|A| |B|) beyond, exact being the product of
    the factors as they are rounded; rounding adds 2^-8 (|A| |B|) at most.
    """


@fused("(k),(k)->(1)")
def dot(backend: Backend, a: Floats, b: Floats, *, out: Floats) -> None:
    """out = sum_i a_i b_i, an array of one element."""
    backend.matmul(a[None, :], b[None, :], transpose_b=True, out=out[None, :])


@fused("(m),(n)->(m,n)")
def outer(backend: Backend, a: Floats, b: Floats, *, out: Floats) -> None:
    """out_ij = a_i b_j."""
    backend.multiply(a[:, None], b[None, :], out=out)


@fused("(m,k),(k,n),(n)->(m,n)", factors=("x", "weight"))
def linear(
    backend: Backend,
    x: Floats,
    weight: Floats,
    bias: Floats | None = None,
    activation: Activation = "identity",
    precision: Precision = "full",
    *,
    out: Floats,
) -> None:
    """out = activation(x weight + bias), the product as matmul's of this precision."""
    z = backend.matmul(x, weight, precision=precision, out=out if activation == "identity" else None)
    if bias is not None:
        backend.add(z, bias, out=z)
    if activation != "identity":
        getattr(backend, activation)(z, out=out)


@fused("(m,k)^transpose_a,(k,n)^transpose_b,(m,n)->(m,n)", factors=("a", "b"))
def matmul_gradient(
    backend: Backend,
    a: Floats,
    b: Floats,
    y: Floats,
    activation: OutputActivation = "relu",
    transpose_a: bool = False,
    transpose_b: bool = False,
    precision: Precision = "full",
    *,
    out: Floats,
) -> None:
    """out = (A B) f'(z) elementwise, y = f(z) and f the activation; A, B and precision as in matmul.

    The gradient with respect to what went into an activation, from that of the layer after it.
    """
    grad = backend.matmul(a, b, transpose_a, transpose_b, precision)
    getattr(backend, f"{activation}_gradient")(grad, y, out=out)
