"""The required kernels as pure Python loops: the contract's living definition, and the bottom rung of every comparison.

Arrays become lists of rows, loops run over Python's floats, and results are rounded to the array's dtype when they are
written back. Everything fused runs as its composition of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from operator import mul
from typing import Any

import numpy as np

from .contract.random import drop_below, key, mix
from .ieee import cos, divide, exp, expm1, log, log1p, power, sin, sqrt

Array = np.ndarray[Any, Any]
Rows = list[list[float]]


def create() -> dict[str, Any]:
    """The backend: this module's kernels."""
    return {"implementations": KERNELS}


def read(x: Array) -> Rows:
    """The array as a list of rows; a 1-D array is one row."""
    return x.tolist() if x.ndim == 2 else [x.tolist()]


def write(out: Array, rows: Iterable[Any]) -> None:
    """Stores rows into out, rounding to its dtype; what is too large becomes infinite, as in any IEEE conversion."""
    with np.errstate(all="ignore"):
        if out.ndim == 2:
            for i, row in enumerate(rows):
                out[i] = row
        else:
            out[:] = next(iter(rows))


def read_broadcast(x: Array, shape: tuple[int, ...]) -> Rows:
    """The array's rows, repeated to fill shape."""
    rows, height, width = read(x), (1, *shape)[-2], shape[-1]
    if len(rows[0] if rows else ()) != width:
        rows = [row * width for row in rows]
    return rows if len(rows) == height else rows * height


def unary(function: Callable[[float], float]) -> Callable[..., None]:
    """out_i = function(x_i)."""

    def kernel(x: Array, out: Array) -> None:
        write(out, [[function(value) for value in row] for row in read(x)])

    return kernel


def binary(function: Callable[[float, float], float]) -> Callable[..., None]:
    """out_i = function(a_i, b_i), with broadcasting."""

    def kernel(a: Array, b: Array, out: Array) -> None:
        rows = zip(read_broadcast(a, out.shape), read_broadcast(b, out.shape), strict=True)
        write(out, [[function(x, y) for x, y in zip(*pair, strict=True)] for pair in rows])

    return kernel


def larger(a: float, b: float) -> float:
    return a if a > b or a != a else b


def smaller(a: float, b: float) -> float:
    return a if a < b or a != a else b


def where(condition: Array, a: Array, b: Array, out: Array) -> None:
    rows = zip(*(read_broadcast(x, out.shape) for x in (condition, a, b)), strict=True)
    write(out, [[x if c else y for c, x, y in zip(*three, strict=True)] for three in rows])


def cast(x: Array, out: Array) -> None:
    write(out, read(x))


def fill(value: float, out: Array) -> None:
    write(out, [[value] * out.shape[-1]] * (1, *out.shape)[-2])


def matmul(a: Array, b: Array, transpose_a: bool, transpose_b: bool, out: Array) -> None:
    rows = read(a.T if transpose_a else a)
    columns = read(b if transpose_b else b.T)
    write(out, [[sum(map(mul, row, column), 0.0) for column in columns] for row in rows])


def along(x: Array, axis: int | None) -> Rows:
    """The lists of values that a reduction over axis turns into one value each."""
    if axis is None or x.ndim == 1:
        return [x.ravel().tolist()]
    return read(x.T if axis == 0 else x)


def sum_(x: Array, axis: int | None, out: Array) -> None:
    write(out, [[sum(values, 0.0) for values in along(x, axis)]])


def max_(x: Array, axis: int | None, out: Array) -> None:
    results = []
    for values in along(x, axis):
        largest = values[0]
        for value in values:
            largest = larger(largest, value)
        results.append(largest)
    write(out, [results])


def argmax(x: Array, axis: int | None, out: Array) -> None:
    results = []
    for values in along(x, axis):
        best = 0
        for i, value in enumerate(values):
            if value > values[best] or (value != value and values[best] == values[best]):
                best = i
        results.append(best)
    write(out, [results])


def gather_rows(table: Array, indices: Array, out: Array) -> None:
    for i, index in enumerate(indices.tolist()):
        out[i] = table[index]


def gather_labels(labels: Array, indices: Array, out: Array) -> None:
    for i, index in enumerate(indices.tolist()):
        out[i] = labels[index]


def scatter_add_rows(rows: Array, indices: Array, out: Array) -> None:
    total = [[0.0] * out.shape[1] for _ in range(out.shape[0])]
    for row, index in zip(read(rows), indices.tolist(), strict=True):
        total[index] = [x + y for x, y in zip(total[index], row, strict=True)]
    write(out, total)


def transpose(x: Array, out: Array) -> None:
    write(out, read(x.T))


def one_hot(labels: Array, out: Array) -> None:
    write(out, [[float(j == label) for j in range(out.shape[1])] for label in labels.tolist()])


def dropout_mask(counter: Array, seed: int, rate: float, out: Array) -> None:
    first, second = key(seed, int(counter[0]))
    below, kept, width = drop_below(rate), 1.0 / (1.0 - rate), out.shape[-1]

    def value(element: int) -> float:
        bits = mix((mix((element & 0xFFFFFFFF) ^ first) + second) & 0xFFFFFFFF)
        return 0.0 if bits < below else kept

    write(out, [[value(i * width + j) for j in range(width)] for i in range((1, *out.shape)[-2])])


KERNELS: dict[str, Callable[..., None]] = {
    "add": binary(lambda a, b: a + b),
    "subtract": binary(lambda a, b: a - b),
    "multiply": binary(mul),
    "divide": binary(divide),
    "power": binary(power),
    "maximum": binary(larger),
    "minimum": binary(smaller),
    "greater": binary(lambda a, b: 1.0 if a > b else 0.0),
    "where": where,
    "cast": cast,
    "fill": fill,
    "exp": unary(exp),
    "expm1": unary(expm1),
    "log": unary(log),
    "log1p": unary(log1p),
    "sqrt": unary(sqrt),
    "sin": unary(sin),
    "cos": unary(cos),
    "tanh": unary(math.tanh),
    "erf": unary(math.erf),
    "absolute": unary(abs),
    "sign": unary(lambda x: math.nan if x != x else float(x > 0) - float(x < 0)),
    "matmul": matmul,
    "sum": sum_,
    "max": max_,
    "argmax": argmax,
    "gather_rows": gather_rows,
    "gather_labels": gather_labels,
    "scatter_add_rows": scatter_add_rows,
    "one_hot": one_hot,
    "transpose": transpose,
    "dropout_mask": dropout_mask,
}
