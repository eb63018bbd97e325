"""Numba: the kernels as plain loops, compiled to machine code on first use and cached on disk.

Kernels see 2-D arrays only: a 1-D array is passed as one row. Loops are written so that LLVM can see contiguous rows.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.core import event
from numba.extending import register_jitable

from .contract.random import MULTIPLIER_1, MULTIPLIER_2, drop_below, key

Array = np.ndarray[Any, Any]

# Sums may be reassociated into vector lanes; NaN and infinities keep their meaning (nnan and ninf would delete them).
FAST = {"reassoc", "nsz", "contract", "arcp", "afn"}


class CompileClock(event.Listener):
    """Seconds that Numba has spent compiling in this process; nested compilations count once."""

    def __init__(self) -> None:
        self.seconds, self._depth, self._started = 0.0, 0, 0.0

    def on_start(self, event: Any) -> None:
        if self._depth == 0:
            self._started = time.perf_counter()
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._started


CLOCK = CompileClock()
event.register("numba:compile", CLOCK)


def create() -> dict[str, Any]:
    """The backend: this module's kernels."""
    return {"implementations": KERNELS, "compile_seconds": lambda: CLOCK.seconds}


def rows(x: Array) -> Array:
    """A 1-D array as one row, so that each kernel is compiled for one number of dimensions."""
    return x if x.ndim == 2 else x[None, :]


def jit(function: Callable[..., Any]) -> Any:
    return njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)(function)


# Scalar functions stay plain Python functions that Numba may compile: closures over them can be cached on disk.


@register_jitable
def add(a, b):
    return a + b


@register_jitable
def subtract(a, b):
    return a - b


@register_jitable
def multiply(a, b):
    return a * b


@register_jitable
def divide(a, b):
    return a / b


@register_jitable
def power(a, b):
    return a * a if b == 2 else a**b


@register_jitable
def maximum(a, b):
    return a if a > b or a != a else b


@register_jitable
def minimum(a, b):
    return a if a < b or a != a else b


@register_jitable
def greater(a, b):
    return a > b


@register_jitable
def sign(x):
    return x if x != x else (x > 0) * 1.0 - (x < 0) * 1.0


@register_jitable
def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@register_jitable
def relu(x):
    return maximum(x, 0)


@register_jitable
def gelu(x):
    return x * 0.5 * (1 + math.erf(x * 0.7071067811865476))


@register_jitable
def silu(x):
    return x * sigmoid(x)


@register_jitable
def softplus(x):
    return maximum(x, 0) + math.log1p(math.exp(-abs(x)))


@register_jitable
def exp(x):
    return math.exp(x)


@register_jitable
def expm1(x):
    return math.expm1(x)


@register_jitable
def log(x):
    return math.log(x)


@register_jitable
def log1p(x):
    return math.log1p(x)


@register_jitable
def sqrt(x):
    return math.sqrt(x)


@register_jitable
def sin(x):
    return math.sin(x)


@register_jitable
def cos(x):
    return math.cos(x)


@register_jitable
def tanh(x):
    return math.tanh(x)


@register_jitable
def erf(x):
    return math.erf(x)


@register_jitable
def absolute(x):
    return abs(x)


@register_jitable
def tanh_gradient(grad, y):
    return grad * (1 - y * y)


@register_jitable
def sigmoid_gradient(grad, y):
    return grad * (y * (1 - y))


@register_jitable
def relu_gradient(grad, y):
    return grad if y > 0 else 0.0


@register_jitable
def gelu_gradient(grad, x):
    density = math.exp(-0.5 * x * x) * 0.3989422804014327
    return grad * (0.5 + 0.5 * math.erf(x * 0.7071067811865476) + x * density)


@register_jitable
def silu_gradient(grad, x):
    s = sigmoid(x)
    return grad * (s * (1 + x * (1 - s)))


@register_jitable
def softplus_gradient(grad, x):
    return grad * sigmoid(x)


def unary(function: Callable[..., Any]) -> Callable[..., None]:
    """out = function(x) elementwise."""

    @njit(cache=True, nogil=True, error_model="numpy")
    def loop(x, out):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                out[i, j] = function(x[i, j])

    def kernel(x: Array, out: Array) -> None:
        loop(rows(x), rows(out))

    return kernel


def binary(function: Callable[..., Any], first: str = "a", second: str = "b") -> Callable[..., None]:
    """out = function(a, b) elementwise, with broadcasting."""

    @njit(cache=True, nogil=True, error_model="numpy")
    def loop(a, b, out):
        wide = a.shape[1] == out.shape[1] and b.shape[1] == out.shape[1]
        for i in range(out.shape[0]):
            ia, ib = min(i, a.shape[0] - 1), min(i, b.shape[0] - 1)
            if wide:
                for j in range(out.shape[1]):
                    out[i, j] = function(a[ia, j], b[ib, j])
            else:
                for j in range(out.shape[1]):
                    out[i, j] = function(a[ia, min(j, a.shape[1] - 1)], b[ib, min(j, b.shape[1] - 1)])

    def kernel(a: Array, b: Array, out: Array) -> None:
        loop(rows(a), rows(b), rows(out))

    return renamed(kernel, (first, second, "out"))


def renamed(kernel: Callable[..., None], names: tuple[str, ...]) -> Callable[..., None]:
    """The kernel with the contract's parameter names, which the loader compares."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    kernel.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore[attr-defined]
    return kernel


@jit
def matmul_rows(a, b, transpose_a, out):
    """out = A B, one row of out at a time: out_i += A_ik B_k keeps the inner loop on contiguous rows."""
    depth = b.shape[0]
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0
        for k in range(depth):
            factor = a[k, i] if transpose_a else a[i, k]
            for j in range(out.shape[1]):
                out[i, j] += factor * b[k, j]


@jit
def matmul_dots(a, b, transpose_a, out):
    """out = A B^T: each element is the dot product of two rows."""
    depth = b.shape[1]
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = out.dtype.type(0)
            if transpose_a:
                for k in range(depth):
                    total += a[k, i] * b[j, k]
            else:
                for k in range(depth):
                    total += a[i, k] * b[j, k]
            out[i, j] = total


def matmul(a: Array, b: Array, transpose_a: bool, transpose_b: bool, out: Array) -> None:
    (matmul_dots if transpose_b else matmul_rows)(a, b, transpose_a, out)


@jit
def sum_loop(x, axis, out):
    if axis == 0:
        for j in range(x.shape[1]):
            out[j] = 0
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                out[j] += x[i, j]
    else:
        for i in range(x.shape[0]):
            total = 0.0
            for j in range(x.shape[1]):
                total += x[i, j]
            out[i] = total


@jit
def max_loop(x, axis, out):
    if axis == 0:
        for j in range(x.shape[1]):
            out[j] = x[0, j]
        for i in range(1, x.shape[0]):
            for j in range(x.shape[1]):
                out[j] = maximum(x[i, j], out[j])
    else:
        for i in range(x.shape[0]):
            largest = x[i, 0]
            for j in range(1, x.shape[1]):
                largest = maximum(x[i, j], largest)
            out[i] = largest


@jit
def argmax_loop(x, axis, out):
    lines, length = (x.shape[1], x.shape[0]) if axis == 0 else (x.shape[0], x.shape[1])
    for i in range(lines):
        best, largest = 0, x[0, i] if axis == 0 else x[i, 0]
        for j in range(1, length):
            value = x[j, i] if axis == 0 else x[i, j]
            if largest == largest and not value <= largest:
                best, largest = j, value
        out[i] = best


def reduction(loop: Callable[..., Any]) -> Callable[..., None]:
    """A loop over the rows (axis 1) or columns (axis 0) of a matrix as a kernel; axis None makes it all one row."""

    def kernel(x: Array, axis: int | None, out: Array) -> None:
        if axis is None or x.ndim == 1:
            loop(x.reshape(1, -1), 1, out)
        else:
            loop(x, axis, out)

    return kernel


@njit(cache=True, nogil=True, error_model="numpy")  # reassociated, it would round differently in place
def softmax_loop(x, log_space, out):
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(1, x.shape[1]):
            largest = maximum(x[i, j], largest)
        total = 0.0
        for j in range(x.shape[1]):
            shifted = x[i, j] - largest
            e = math.exp(shifted)
            total += e
            out[i, j] = shifted if log_space else e
        shift = math.log(total)
        for j in range(x.shape[1]):
            out[i, j] = out[i, j] - shift if log_space else out[i, j] / total


def softmax(x: Array, out: Array) -> None:
    softmax_loop(x, False, out)


def log_softmax(x: Array, out: Array) -> None:
    softmax_loop(x, True, out)


@jit
def gather_rows(table, indices, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = table[indices[i], j]


@jit
def scatter_add_rows(rows, indices, out):
    out[:] = 0
    for i in range(rows.shape[0]):
        for j in range(out.shape[1]):
            out[indices[i], j] += rows[i, j]


@jit
def transpose(x, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = x[j, i]


@jit
def one_hot(labels, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = j == labels[i]


@jit
def cast_loop(x, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = x[i, j]


def cast(x: Array, out: Array) -> None:
    cast_loop(rows(x), rows(out))


@jit
def fill_loop(value, out):
    out[:] = value


def fill(value: float, out: Array) -> None:
    fill_loop(value, rows(out))


@jit
def where_loop(condition, a, b, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            c = condition[min(i, condition.shape[0] - 1), min(j, condition.shape[1] - 1)]
            x = a[min(i, a.shape[0] - 1), min(j, a.shape[1] - 1)]
            y = b[min(i, b.shape[0] - 1), min(j, b.shape[1] - 1)]
            out[i, j] = x if c != 0 else y


def where(condition: Array, a: Array, b: Array, out: Array) -> None:
    where_loop(rows(condition), rows(a), rows(b), rows(out))


@register_jitable
def mix(x):
    """kernels.contract.random.mix on a uint32."""
    x ^= x >> np.uint32(16)
    x = np.uint32(x * np.uint32(MULTIPLIER_1))
    x ^= x >> np.uint32(15)
    x = np.uint32(x * np.uint32(MULTIPLIER_2))
    return np.uint32(x ^ (x >> np.uint32(16)))


@jit
def dropout_loop(first, second, below, kept, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            element = np.uint32(i * out.shape[1] + j)
            bits = mix(np.uint32(mix(np.uint32(element ^ first)) + second))
            out[i, j] = 0 if bits < below else kept


def dropout_mask(counter: Array, seed: int, rate: float, out: Array) -> None:
    first, second = map(np.uint32, key(seed, int(counter[0])))
    dropout_loop(first, second, np.uint32(drop_below(rate)), 1 / (1 - rate), rows(out))


@jit
def cross_entropy_loop(logits, labels, weights, weighted, smoothing, scale, out, gradient):
    classes = logits.shape[1]
    spread = smoothing / classes
    for i in range(logits.shape[0]):
        factor = scale * weights[i] if weighted else scale
        largest = logits[i, 0]
        for j in range(1, classes):
            largest = maximum(logits[i, j], largest)
        total, spread_logits = 0.0, 0.0
        for j in range(classes):
            shifted = logits[i, j] - largest
            e = math.exp(shifted)
            total += e
            if smoothing > 0:
                spread_logits += shifted
            gradient[i, j] = e
        log_total, label = math.log(total), labels[i]
        loss = (1 - smoothing) * (log_total - (logits[i, label] - largest))
        if smoothing > 0:
            loss += smoothing * log_total - spread * spread_logits
        out[i] = factor * loss
        for j in range(classes):
            gradient[i, j] = factor * (gradient[i, j] / total - spread - (1 - smoothing) * (j == label))


def softmax_cross_entropy(
    logits: Array, labels: Array, weights: Array | None, smoothing: float, scale: float, out: Array, gradient: Array
) -> None:
    given = out if weights is None else weights  # never read where not weighted, but Numba wants an array
    cross_entropy_loop(logits, labels, given, weights is not None, smoothing, scale, out, gradient)


@jit
def sgd_loop(parameter, gradient, velocity, hyper):
    lr, momentum, decay, nesterov = hyper[0], hyper[1], hyper[2], hyper[3]
    for i in range(parameter.shape[0]):
        for j in range(parameter.shape[1]):
            g = gradient[i, j] + decay * parameter[i, j]
            v = momentum * velocity[i, j] + g
            velocity[i, j] = v
            parameter[i, j] -= lr * (g + momentum * v if nesterov else v)


def sgd(parameter: Array, gradient: Array, velocity: Array, hyper: Array) -> None:
    sgd_loop(rows(parameter), rows(gradient), rows(velocity), hyper)


@jit
def rmsprop_loop(parameter, gradient, square, velocity, hyper):
    lr, alpha, eps, decay, momentum = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4]
    for i in range(parameter.shape[0]):
        for j in range(parameter.shape[1]):
            g = gradient[i, j] + decay * parameter[i, j]
            s = alpha * square[i, j] + (1 - alpha) * g * g
            v = momentum * velocity[i, j] + g / (math.sqrt(s) + eps)
            square[i, j], velocity[i, j] = s, v
            parameter[i, j] -= lr * v


def rmsprop(parameter: Array, gradient: Array, square: Array, velocity: Array, hyper: Array) -> None:
    rmsprop_loop(rows(parameter), rows(gradient), rows(square), rows(velocity), hyper)


@jit
def adam_loop(parameter, gradient, first, second, hyper, decoupled):
    lr, beta1, beta2, eps, decay, step = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4], hyper[5]
    step_size, root = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    shrink, added = (1 - lr * decay, 0.0) if decoupled else (1.0, decay)
    for i in range(parameter.shape[0]):
        for j in range(parameter.shape[1]):
            g = gradient[i, j] + added * parameter[i, j]
            m = beta1 * first[i, j] + (1 - beta1) * g
            s = beta2 * second[i, j] + (1 - beta2) * g * g
            first[i, j], second[i, j] = m, s
            parameter[i, j] = shrink * parameter[i, j] - step_size * m / (math.sqrt(s) * root + eps)


def adam(parameter: Array, gradient: Array, first: Array, second: Array, hyper: Array, decoupled: bool) -> None:
    adam_loop(rows(parameter), rows(gradient), rows(first), rows(second), hyper, decoupled)


UNARY = (exp, expm1, log, log1p, sqrt, sin, cos, tanh, erf, absolute, sign, sigmoid, relu, gelu, silu, softplus)
BINARY = (add, subtract, multiply, divide, power, maximum, minimum, greater)
GRADIENTS = {tanh_gradient: "y", sigmoid_gradient: "y", relu_gradient: "y"}
GRADIENTS |= {gelu_gradient: "x", silu_gradient: "x", softplus_gradient: "x"}

KERNELS: dict[str, Callable[..., Any]] = {
    **{function.__name__: unary(function) for function in UNARY},
    **{function.__name__: binary(function) for function in BINARY},
    **{function.__name__: binary(function, "grad", saved) for function, saved in GRADIENTS.items()},
    "matmul": matmul,
    "sum": reduction(sum_loop),
    "max": reduction(max_loop),
    "argmax": reduction(argmax_loop),
    "softmax": softmax,
    "log_softmax": log_softmax,
    "gather_rows": gather_rows,
    "scatter_add_rows": scatter_add_rows,
    "one_hot": one_hot,
    "transpose": transpose,
    "cast": cast,
    "fill": fill,
    "where": where,
    "dropout_mask": dropout_mask,
    "softmax_cross_entropy": softmax_cross_entropy,
    "sgd": sgd,
    "rmsprop": rmsprop,
    "adam": adam,
}
