"""The fastest NumPy and SciPy expressions known for each kernel: in place, with ``out=``, nothing allocated.

Where which of several is fastest depends on shape or machine, all are listed, and the one that is measured fastest
competes. So does the numpy backend's kernel, alone where nothing is listed. Parameters are the kernel's own, its
results, and arrays to work in, made beforehand:

- ``t``, ``u``   float arrays of the largest operand's shape; ``mask`` is a bool one
- ``row``        a float array (r, 1), one number a row
- ``index``      0, 1, ..., r - 1
- ``ones``       as many as the summed axis has elements: a product with them is a sum by BLAS
- ``eye``        the unit matrix of as many columns as the result has
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np
from scipy import sparse, special

from .numpy_training_expressions import TRAINING, logistic, softplus

SQRT_HALF, DENSITY = sqrt(0.5), 1 / sqrt(2 * pi)
INNER, CUBIC = sqrt(2 / pi), 0.044715  # gelu_tanh: tanh(INNER (x + CUBIC x**3))

Array = np.ndarray[Any, Any]

# ---- arithmetic ---------------------------------------------------------------------------------------------------


def greater(a, b, out, mask):
    np.greater(a, b, out=mask)
    np.copyto(out, mask)


def where_copied(condition, a, b, out, mask):
    np.not_equal(condition, 0, out=mask)
    np.copyto(out, b)
    np.copyto(out, a, where=mask)


def where_allocated(condition, a, b, out):
    np.copyto(out, np.where(condition, a, b))


# ---- activations --------------------------------------------------------------------------------------------------


def tanh_gradient(grad, y, out):
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)
    out *= grad


def sigmoid_gradient(grad, y, out):
    np.subtract(1, y, out=out)
    out *= y
    out *= grad


def relu(x, out):
    np.maximum(x, 0, out=out)


def relu_gradient_masked(grad, y, out, mask):
    np.greater(y, 0, out=mask)
    np.multiply(grad, mask, out=out)


def relu_gradient_copied(grad, y, out, mask):
    np.greater(y, 0, out=mask)
    out.fill(0)
    np.copyto(out, grad, where=mask)


def leaky_relu(x, slope, out):
    np.multiply(x, slope, out=out)
    np.maximum(x, out, out=out)


def leaky_relu_gradient(grad, y, slope, out, mask):
    np.greater(y, 0, out=mask)
    np.multiply(grad, slope, out=out)
    np.copyto(out, grad, where=mask)


def elu(x, alpha, out, t):
    np.minimum(x, 0, out=out)
    np.expm1(out, out=out)
    if alpha != 1:
        out *= alpha
    out += np.maximum(x, 0, out=t)


def elu_gradient(grad, y, alpha, out, mask):
    if alpha == 1:
        np.minimum(y, 0, out=out)
        out += 1
    else:
        np.add(y, alpha, out=out)
        np.copyto(out, 1, where=np.greater(y, 0, out=mask))
    out *= grad


def gelu(x, out):
    np.multiply(x, SQRT_HALF, out=out)
    special.erf(out, out=out)
    out += 1
    out *= x
    out *= 0.5


def gelu_by_ndtr(x, out):
    special.ndtr(x, out=out)
    out *= x


def gelu_gradient(grad, x, out, t):
    np.multiply(x, x, out=t)
    t *= -0.5
    np.exp(t, out=t)
    t *= DENSITY
    t *= x
    np.multiply(x, SQRT_HALF, out=out)
    special.erf(out, out=out)
    out *= 0.5
    out += 0.5
    out += t
    out *= grad


def gelu_tanh(x, out):
    np.multiply(x, x, out=out)
    out *= INNER * CUBIC
    out += INNER
    out *= x
    np.tanh(out, out=out)
    out += 1
    out *= x
    out *= 0.5


def gelu_tanh_gradient(grad, x, out, t, u):
    np.multiply(x, x, out=u)
    np.multiply(u, INNER * CUBIC, out=t)
    t += INNER
    t *= x
    np.tanh(t, out=t)
    u *= 1.5 * INNER * CUBIC
    u += 0.5 * INNER
    u *= x
    np.multiply(t, t, out=out)
    np.subtract(1, out, out=out)
    out *= u
    t *= 0.5
    t += 0.5
    out += t
    out *= grad


def silu(x, out):
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.divide(x, out, out=out)


def silu_by_expit(x, out):
    special.expit(x, out=out)
    out *= x


def silu_gradient(grad, x, out, t):
    logistic(x, t)
    np.subtract(1, t, out=out)
    out *= x
    out += 1
    out *= t
    out *= grad


def softplus_gradient(grad, x, out):
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.divide(grad, out, out=out)


# ---- products, reductions -----------------------------------------------------------------------------------------


def matmul(a, b, transpose_a, transpose_b, out):
    np.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)


def matmul_by_dot(a, b, transpose_a, transpose_b, out):
    np.dot(a.T if transpose_a else a, b.T if transpose_b else b, out=out)


def linear(x, weight, bias, activation, out):
    np.dot(x, weight, out=out)
    out += bias
    if activation == "relu":
        np.maximum(out, 0, out=out)


def dot(a, b, out):
    out[0] = np.dot(a, b)


def outer(a, b, out):
    np.multiply(a[:, None], b, out=out)


def total(x, axis, out):
    np.add.reduce(x, axis=axis, out=out.reshape(()) if axis is None else out)


def total_by_blas(x, axis, out, ones):
    if axis is None:
        out[0] = np.dot(x, ones)
    else:
        np.dot(*((ones, x) if axis == 0 else (x, ones)), out=out)


def largest(x, axis, out):
    np.maximum.reduce(x, axis=axis, out=out.reshape(()) if axis is None else out)


def argmax(x, axis, out):
    np.argmax(x, axis=axis, out=out.reshape(()) if axis is None else out)


def mean(x, axis, out):
    total(x, axis, out)
    out /= x.size // out.size


def mean_by_blas(x, axis, out, ones):
    total_by_blas(x, axis, out, ones)
    out /= x.size // out.size


def sum_of_squares(x, out):
    out[0] = np.dot(x, x)


def watch_finite(x, flag):
    if not np.isfinite(x).all():
        flag[0] = np.nan


def watch_within(x, flag, low, high):
    if not (np.isfinite(x) & (x >= low) & (x <= high)).all():
        flag[0] = np.nan


def watch_within_by_extremes(x, flag, low, high):
    if not (low <= x.min() and x.max() <= high):  # NaN is neither
        flag[0] = np.nan


def watch_below(indices, flag, limit):
    if indices.view(np.uint64).max() >= limit:
        flag[0] = np.nan


def to_indices(x, limit, out):
    inside = (x >= 0) & (x < limit) & (x == np.floor(x))
    out.fill(limit)
    np.copyto(out, x, casting="unsafe", where=inside)


def matmul_gradient(a, b, y, activation, transpose_a, transpose_b, out):
    np.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)
    np.multiply(out, y > 0, out=out)


# ---- rows ---------------------------------------------------------------------------------------------------------


def softmax(x, out, row):
    np.maximum.reduce(x, axis=1, out=row, keepdims=True)
    np.subtract(x, row, out=out)
    np.exp(out, out=out)
    np.add.reduce(out, axis=1, out=row, keepdims=True)
    np.reciprocal(row, out=row)
    out *= row


def softmax_by_blas(x, out, row, ones):
    np.maximum.reduce(x, axis=1, out=row, keepdims=True)
    np.subtract(x, row, out=out)
    np.exp(out, out=out)
    np.dot(out, ones, out=row[:, 0])
    np.reciprocal(row, out=row)
    out *= row


def softmax_gradient(grad, y, out, row):
    np.einsum("ij,ij->i", grad, y, out=row[:, 0])
    np.subtract(grad, row, out=out)
    out *= y


def log_softmax(x, out, t, row, ones):
    np.maximum.reduce(x, axis=1, out=row, keepdims=True)
    np.subtract(x, row, out=out)
    np.exp(out, out=t)
    np.dot(t, ones, out=row[:, 0])
    np.log(row, out=row)
    out -= row


def log_softmax_gradient(grad, y, out, row, ones):
    np.dot(grad, ones, out=row[:, 0])
    np.exp(y, out=out)
    out *= row
    np.subtract(grad, out, out=out)


def gather_rows(table, indices, out):
    np.take(table, indices, axis=0, out=out, mode="clip")  # "raise" would buffer


def gather_labels(labels, indices, out):
    np.take(labels, indices, out=out, mode="clip")


def scatter_add_rows(rows, indices, out):
    out.fill(0)
    np.add.at(out, indices, rows)


def scatter_by_sparse_product(rows, indices, out):
    count = len(indices)
    places = sparse.csc_array((np.ones(count, rows.dtype), indices, np.arange(count + 1)), shape=(len(out), count))
    np.copyto(out, places @ rows)


def transpose(x, out):
    np.copyto(out, x.T)


def transpose_in_strips(x, out):
    for start in range(0, len(x), 32):
        np.copyto(out[:, start : start + 32], x[start : start + 32].T)


def one_hot(labels, out, index):
    out.fill(0)
    out[index, labels] = 1


def one_hot_by_take(labels, out, eye):
    np.take(eye, labels, axis=0, out=out, mode="clip")


SAME_NAME = "add subtract multiply divide power maximum minimum exp expm1 log log1p sqrt sin cos tanh absolute sign"
EXPRESSIONS: dict[str, tuple[Any, ...]] = {
    **{name: (getattr(np, name),) for name in f"{SAME_NAME} negative".split()},
    "greater": (np.greater, greater),
    "where": (where_allocated, where_copied),
    "cast": (lambda x, out: np.copyto(out, x),),
    "fill": (lambda value, out: out.fill(value),),
    "erf": (special.erf,),
    "sigmoid": (special.expit, logistic),
    "relu_gradient": (relu_gradient_masked, relu_gradient_copied),
    "gelu": (gelu, gelu_by_ndtr),
    "silu": (silu, silu_by_expit),
    "matmul": (matmul, matmul_by_dot),
    "sum": (total, total_by_blas),
    "max": (largest,),
    "mean": (mean, mean_by_blas),
    "softmax": (softmax, softmax_by_blas),
    "scatter_add_rows": (scatter_add_rows, scatter_by_sparse_product),
    "transpose": (transpose, transpose_in_strips),
    "one_hot": (one_hot, one_hot_by_take),
    "watch_within": (watch_within, watch_within_by_extremes),
    **TRAINING,
    **{
        function.__name__: (function,)
        for function in (
            tanh_gradient, sigmoid_gradient, relu, leaky_relu, leaky_relu_gradient, elu, elu_gradient, gelu_gradient,
            gelu_tanh, gelu_tanh_gradient, silu_gradient, softplus, softplus_gradient, linear, dot, outer, argmax,
            sum_of_squares, softmax_gradient, log_softmax, log_softmax_gradient, gather_rows,
            gather_labels, watch_finite, watch_below, to_indices, matmul_gradient,
        )
    },
}  # fmt: skip
