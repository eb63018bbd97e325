"""Kernels that work row by row: softmax, gather and scatter, transposition, one-hot rows, dropout masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .declaration import Floats, Indices, Probability, State, fused, required

if TYPE_CHECKING:
    from .backend import Backend


@fused("(r,c!)->(r,c)", in_place=("x",))
def softmax(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out_ij = e**x_ij / sum_j e**x_ij, computed from x_ij - max_j x_ij so that nothing overflows."""
    e = backend.exp(backend.subtract(x, backend.max(x, axis=1)[:, None]))
    backend.divide(e, backend.sum(e, axis=1)[:, None], out=out)


@fused("(r,c),(r,c)->(r,c)", in_place=("grad",))
def softmax_gradient(backend: Backend, grad: Floats, y: Floats, *, out: Floats) -> None:
    """out_ij = y_ij (grad_ij - sum_j grad_ij y_ij), y = softmax(x)."""
    inner = backend.sum(backend.multiply(grad, y), axis=1)
    backend.multiply(y, backend.subtract(grad, inner[:, None]), out=out)


@fused("(r,c!)->(r,c)", in_place=("x",))
def log_softmax(backend: Backend, x: Floats, *, out: Floats) -> None:
    """out_ij = x_ij - ln sum_j e**x_ij, computed from x_ij - max_j x_ij."""
    shifted = backend.subtract(x, backend.max(x, axis=1)[:, None])
    total = backend.sum(backend.exp(shifted), axis=1)
    backend.subtract(shifted, backend.log(total)[:, None], out=out)


@fused("(r,c),(r,c)->(r,c)", in_place=("grad",))
def log_softmax_gradient(backend: Backend, grad: Floats, y: Floats, *, out: Floats) -> None:
    """out_ij = grad_ij - e**y_ij sum_j grad_ij, y = log_softmax(x)."""
    inner = backend.sum(grad, axis=1)
    backend.subtract(grad, backend.multiply(backend.exp(y), inner[:, None]), out=out)


@required("(n,c),(r)->(r,c)", below={"indices": "n"})
def gather_rows(table: Floats, indices: Indices, *, out: Floats) -> None:
    """out_i = table row indices_i."""


@required("(n),(r)->(r)", below={"indices": "n"})
def gather_labels(labels: Indices, indices: Indices, *, out: Indices) -> None:
    """out_i = labels_k, k = indices_i."""


@required("(r,c),(r)->(n,c)", below={"indices": "n"}, allocates=False)
def scatter_add_rows(rows: Floats, indices: Indices, *, out: Floats) -> None:
    """out_k = sum of rows_i over all i with indices_i = k, in the order of i: the gradient of gather_rows."""


@required("(r,c)->(c,r)")
def transpose(x: Floats, *, out: Floats) -> None:
    """out_ji = x_ij. Products need no transposed copy: matmul takes flags."""


@required("(r)->(r,c)", below={"labels": "c"}, allocates=False)
def one_hot(labels: Indices, *, out: Floats) -> None:
    """out_ij = 1 where j = labels_i, else 0."""


@required("(1)->(...)", allocates=False)
def dropout_mask(counter: State, seed: int, rate: Probability, *, out: Floats) -> None:
    """out_i = 0 with probability rate, else 1 / (1 - rate).

    Element i (in row order) is dropped where ``random_bits(seed, counter, i) < floor(rate * 2**32)``; the random bits
    are those of ``kernels.contract.random``, so every backend, dtype and number of threads draws the same mask. seed is
    an unsigned 64-bit number; counter, a whole number, is the draw's position in the seed's sequence.
    """


@fused("(1),(1)->(...)", allocates=False, whole=True)
def scheduled_dropout_mask(backend: Backend, counter: State, rate: State, seed: int, *, out: Floats) -> None:
    """out = dropout_mask(counter, seed, rate_0): the probability, in [0, 1), may change from step to step."""
    backend.dropout_mask(counter, seed, float(rate[0]), out=out)


@fused("(r)->(r)", whole=True)
def to_indices(backend: Backend, x: Floats, limit: int, *, out: Indices) -> None:
    """out_i = x_i where that is a whole number in [0, limit), else limit."""
    grid = backend.fill(0.5, out=backend.empty((x.size, limit + 1), x.dtype))
    numbers = np.arange(limit).astype(x.dtype)
    # 1 where x_i is the column's number, else 0: where() takes NaN for a difference.
    backend.where(backend.subtract(x[:, None], numbers), 0.0, 1.0, out=grid[:, :limit])
    backend.argmax(grid, axis=1, out=out)
