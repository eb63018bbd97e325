"""NumPy: ufuncs for vector operations, BLAS for products, SciPy for the functions NumPy lacks.

Each kernel is the fastest NumPy expression known to us that needs no compiled code of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from .contract.random import MULTIPLIER_1, MULTIPLIER_2, drop_below, key

Array = np.ndarray[Any, Any]


def create() -> dict[str, Any]:
    """The backend: this module's kernels, with NumPy's warnings off: infinities and NaN are results, not accidents."""
    return {"implementations": KERNELS, "context": lambda: np.errstate(all="ignore")}


def unary(ufunc: Any) -> Callable[..., None]:
    def kernel(x: Array, out: Array) -> None:
        ufunc(x, out=out)

    return kernel


def binary(ufunc: Any) -> Callable[..., None]:
    def kernel(a: Array, b: Array, out: Array) -> None:
        ufunc(a, b, out=out)

    return kernel


def power(a: Array, b: Array, out: Array) -> None:
    if b.size == 1 and b.flat[0] == 2:
        np.multiply(a, a, out=out)  # what the ** operator does; the ufunc alone takes 20 times as long
    else:
        np.power(a, b, out=out)


def where(condition: Array, a: Array, b: Array, out: Array) -> None:
    out[...] = np.where(condition, a, b)


def cast(x: Array, out: Array) -> None:
    out[...] = x


def fill(value: float, out: Array) -> None:
    out.fill(value)


# ---- activations --------------------------------------------------------------------------------------------------


def scratch(grad: Array, out: Array) -> Array | None:
    """Where the slope may be computed: in out, unless the gradient is there."""
    return None if np.may_share_memory(grad, out) else out


def tanh_gradient(grad: Array, y: Array, out: Array) -> None:
    slope = np.multiply(y, y, out=scratch(grad, out))
    np.multiply(grad, np.subtract(1, slope, out=slope), out=out)


def sigmoid_gradient(grad: Array, y: Array, out: Array) -> None:
    slope = np.subtract(1, y, out=scratch(grad, out))
    np.multiply(grad, np.multiply(slope, y, out=slope), out=out)


def relu(x: Array, out: Array) -> None:
    np.maximum(x, 0, out=out)


def relu_gradient(grad: Array, y: Array, out: Array) -> None:
    dead = np.greater(y, 0)  # not less_equal: where y is NaN, the gradient is 0
    np.logical_not(dead, out=dead)
    if out is not grad:
        np.copyto(out, grad)
    np.copyto(out, 0, where=dead)


def leaky_relu(x: Array, slope: float, out: Array) -> None:
    out[...] = np.where(x > 0, x, x * x.dtype.type(slope))


def leaky_relu_gradient(grad: Array, y: Array, slope: float, out: Array) -> None:
    out[...] = np.where(y > 0, grad, grad * grad.dtype.type(slope))


def softplus(x: Array, out: Array) -> None:
    np.logaddexp(0, x, out=out)


# ---- products, reductions, rows -----------------------------------------------------------------------------------


def matmul(a: Array, b: Array, transpose_a: bool, transpose_b: bool, out: Array) -> None:
    np.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)


def reduction(ufunc: Any) -> Callable[..., None]:
    def kernel(x: Array, axis: int | None, out: Array) -> None:
        if axis is None or x.ndim == 1:
            ufunc(x, axis=None, out=out[0:1].reshape(()))
        else:
            ufunc(x, axis=axis, out=out)

    return kernel


def argmax(x: Array, axis: int | None, out: Array) -> None:
    out[...] = np.argmax(x, axis=axis)


def sum_of_squares(x: Array, out: Array) -> None:
    flat = x.ravel()
    out[0] = np.dot(flat, flat)


def watch_finite(x: Array, flag: Array) -> None:
    if not np.isfinite(x).all():
        flag[0] = np.nan


def watch_within(x: Array, flag: Array, low: float, high: float) -> None:
    if not (np.isfinite(x) & (x >= low) & (x <= high)).all():
        flag[0] = np.nan


def watch_below(indices: Array, flag: Array, limit: int) -> None:
    if indices.size and indices.view(np.uint64).max() >= limit:
        flag[0] = np.nan


def to_indices(x: Array, limit: int, out: Array) -> None:
    out.fill(limit)
    np.copyto(out, x, casting="unsafe", where=(x >= 0) & (x < limit) & (x == np.floor(x)))


def softmax(x: Array, out: Array) -> None:
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=1, keepdims=True), out=out)


def log_softmax(x: Array, out: Array) -> None:
    np.subtract(x, x.max(axis=1, keepdims=True), out=out)
    np.subtract(out, np.log(np.exp(out).sum(axis=1, keepdims=True)), out=out)


def gather_rows(table: Array, indices: Array, out: Array) -> None:
    np.take(table, indices, axis=0, out=out, mode="clip")  # "raise" would buffer; indices are already checked


def gather_labels(labels: Array, indices: Array, out: Array) -> None:
    np.take(labels, indices, out=out, mode="clip")


def scatter_add_rows(rows: Array, indices: Array, out: Array) -> None:
    out.fill(0)
    np.add.at(out, indices, rows)


def transpose(x: Array, out: Array) -> None:
    out[...] = x.T


def one_hot(labels: Array, out: Array) -> None:
    out.fill(0)
    out[np.arange(labels.size), labels] = 1


def _mix(x: Array) -> Array:
    """kernels.contract.random.mix on uint32 arrays, in place."""
    x ^= x >> 16
    x *= np.uint32(MULTIPLIER_1)
    x ^= x >> 15
    x *= np.uint32(MULTIPLIER_2)
    x ^= x >> 16
    return x


def dropout_mask(counter: Array, seed: int, rate: float, out: Array) -> None:
    first, second = key(seed, int(counter[0]))
    bits = np.arange(out.size, dtype=np.uint32)
    bits ^= np.uint32(first)
    _mix(bits)
    bits += np.uint32(second)
    kept = _mix(bits) >= drop_below(rate)
    np.multiply(kept.reshape(out.shape), out.dtype.type(1 / (1 - rate)), out=out)


# ---- losses -------------------------------------------------------------------------------------------------------


def _factor(weights: Array | None, scale: float, like: Array) -> Any:
    return like.dtype.type(scale) if weights is None else (weights * like.dtype.type(scale))[:, None]


def softmax_cross_entropy(
    logits: Array, labels: Array, weights: Array | None, smoothing: float, scale: float, out: Array, gradient: Array
) -> None:
    rows, factor = np.arange(labels.size), _factor(weights, scale, logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    np.exp(shifted, out=gradient)
    total = gradient.sum(axis=1, keepdims=True)
    log_total = np.log(total)[:, 0]
    loss = log_total - shifted[rows, labels]
    gradient /= total
    if smoothing:
        even = log_total - shifted.mean(axis=1)
        loss = (1 - smoothing) * loss + smoothing * even
        gradient -= smoothing / logits.shape[1]
    gradient[rows, labels] -= 1 - smoothing
    np.multiply(loss, factor if weights is None else factor[:, 0], out=out)
    gradient *= factor


def squared_error(
    prediction: Array, target: Array, weights: Array | None, scale: float, out: Array, gradient: Array
) -> None:
    factor = _factor(weights, scale, prediction)
    np.subtract(prediction, target, out=gradient)
    np.multiply(np.einsum("ij,ij->i", gradient, gradient), factor if weights is None else factor[:, 0], out=out)
    gradient *= 2 * factor


# ---- optimizers ---------------------------------------------------------------------------------------------------


def _decayed(gradient: Array, parameter: Array, decay: float) -> Array:
    return gradient + parameter * parameter.dtype.type(decay) if decay else gradient


def _average(average: Array, value: Array, beta: float) -> None:
    """average <- beta average + (1 - beta) value."""
    kind = average.dtype.type
    average *= kind(beta)
    average += value * kind(1 - beta)


def sgd(parameter: Array, gradient: Array, velocity: Array, hyper: Array) -> None:
    kind = parameter.dtype.type
    lr, momentum, decay, nesterov = hyper.tolist()
    g = _decayed(gradient, parameter, decay)
    velocity *= kind(momentum)
    velocity += g
    ahead = g + velocity * kind(momentum) if nesterov else velocity
    parameter -= ahead * kind(lr)


def rmsprop(parameter: Array, gradient: Array, square: Array, velocity: Array, hyper: Array) -> None:
    kind = parameter.dtype.type
    lr, alpha, eps, decay, momentum = hyper.tolist()
    g = _decayed(gradient, parameter, decay)
    _average(square, g * g, alpha)
    scaled = np.sqrt(square)
    scaled += kind(eps)
    np.divide(g, scaled, out=scaled)
    velocity *= kind(momentum)
    velocity += scaled
    parameter -= velocity * kind(lr)


def adam(parameter: Array, gradient: Array, first: Array, second: Array, hyper: Array, decoupled: bool) -> None:
    kind = parameter.dtype.type
    lr, beta1, beta2, eps, decay, step = hyper.tolist()
    if decoupled:
        parameter *= kind(1 - lr * decay)
    g = gradient if decoupled else _decayed(gradient, parameter, decay)
    _average(first, g, beta1)
    _average(second, g * g, beta2)
    denominator = np.sqrt(second)
    denominator *= kind(1 / np.sqrt(1 - beta2**step))
    denominator += kind(eps)
    update = np.divide(first, denominator, out=denominator)
    update *= kind(lr / (1 - beta1**step))
    parameter -= update


KERNELS: dict[str, Callable[..., None]] = {
    **{name: binary(getattr(np, name)) for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")},
    **{name: unary(getattr(np, name)) for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh")},
    # np.negative is left out: NumPy 2.4 misreads its input where both arrays are columns of wider ones.
    **{name: unary(getattr(np, name)) for name in ("absolute", "sign")},
    "greater": binary(np.greater),
    "power": power,
    "where": where,
    "cast": cast,
    "fill": fill,
    "erf": unary(special.erf),
    "sigmoid": unary(special.expit),
    "tanh_gradient": tanh_gradient,
    "sigmoid_gradient": sigmoid_gradient,
    "relu": relu,
    "relu_gradient": relu_gradient,
    "leaky_relu": leaky_relu,
    "leaky_relu_gradient": leaky_relu_gradient,
    "softplus": softplus,
    "matmul": matmul,
    "sum": reduction(np.add.reduce),
    "max": reduction(np.maximum.reduce),
    "argmax": argmax,
    "sum_of_squares": sum_of_squares,
    "watch_finite": watch_finite,
    "watch_within": watch_within,
    "watch_below": watch_below,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "gather_rows": gather_rows,
    "gather_labels": gather_labels,
    "scatter_add_rows": scatter_add_rows,
    "to_indices": to_indices,
    "one_hot": one_hot,
    "transpose": transpose,
    "dropout_mask": dropout_mask,
    "softmax_cross_entropy": softmax_cross_entropy,
    "squared_error": squared_error,
    "sgd": sgd,
    "rmsprop": rmsprop,
    "adam": adam,
}
