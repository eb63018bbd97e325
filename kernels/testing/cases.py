"""The table of cases: for each kernel, arguments at the sizes where kernels break, and the exact answer.

A kernel's row is a ``Case``: a generator of arguments, and a reference that computes the results in float64 with plain
NumPy expressions, independent of every backend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from ..contract import ACTIVATIONS, DECLARATIONS, OUTPUT_ACTIVATIONS, PRECISIONS
from ..contract.activations import REFERENCES, Reference

Array = np.ndarray[Any, Any]
Arguments = dict[str, Any]
Draw = Callable[..., Array]
"""draw(*shape, low=-2, high=2): uniform float64 numbers, or special values where the trial asks for them."""

SHAPES = ((0,), (1,), (5,), (16,), (0, 3), (3, 0), (1, 1), (3, 1), (1, 7), (2, 15), (4, 16), (5, 17), (33, 65))
MATRICES = tuple(shape for shape in SHAPES if len(shape) == 2)
FILLED = tuple(shape for shape in MATRICES if 0 not in shape)
# (m, k, n): empty, single, primes, one below and above the usual register tiles (4, 8, 12, 14, 16, 32).
PRODUCTS = (
    (0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (1, 64, 10), (2, 3, 5), (7, 13, 5), (8, 16, 16), (13, 5, 31),
    (14, 9, 32), (15, 17, 33), (33, 65, 17),
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One kernel's row.

    arguments: (draw, shape) -> arguments by name, floats as float64. reference: those arguments -> the results, and the
    new values of what is updated in place, as a tuple. tolerance: permitted error in units of the dtype's eps, relative
    to the result's size (and to ``magnitude``, where cancellation makes that unfair).
    """

    arguments: Callable[..., Arguments]
    reference: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = SHAPES
    tolerance: float = 8
    magnitude: Callable[..., Any] | None = None
    special_values: bool = True  # also run on NaN, infinities, zeros of both signs, subnormals
    updates: tuple[str, ...] = ()  # operands written in place, in the order the reference returns them
    out_shape: Callable[..., tuple[int, ...]] | None = None  # where the kernel cannot allocate
    variants: tuple[Arguments, ...] = field(default_factory=lambda: ({},))  # options to run each shape with


def unary(reference: Callable[[Array], Array], low: float = -2, high: float = 2, tolerance: float = 8) -> Case:
    return Case(
        lambda draw, shape: {"x": draw(*shape, low=low, high=high)}, lambda x: reference(x), tolerance=tolerance
    )


def activation(name: str, reference: Reference) -> Case:
    """The case of an activation or its gradient, from the reference beside its declaration."""
    *gradients, saved = [operand.name for operand in DECLARATIONS[name].inputs if operand.is_array]

    def arguments(draw: Draw, shape: tuple[int, ...]) -> Arguments:
        given = {gradient: draw(*shape) for gradient in gradients}
        return {**given, saved: draw(*shape, low=reference.low, high=reference.high)}

    def magnitude(**given: Array) -> Array:
        return np.abs(given["grad"]) * 4 if gradients else np.abs(given[saved])

    return Case(
        arguments,
        reference.function,
        tolerance=32 if gradients else 8,
        magnitude=magnitude if gradients or reference.cancels else None,
        variants=reference.variants,
    )


def pair_case(reference: Callable[[Array, Array], Array], low: float = -2, high: float = 2) -> Case:
    """Two operands broadcast; ``variants`` says how b is shaped against the case's shape, or that it is a number."""

    def arguments(draw: Draw, shape: tuple[int, ...], mode: str = "same") -> Arguments:
        def shaped(kind: str) -> tuple[int, ...]:
            small = {"one": (1,), "row": shape[-1:], "column": (*shape[:-1], 1), "row2": (1, shape[-1])}
            return small.get(kind, shape) if len(shape) == 2 or kind == "one" else shape

        left, _, right = mode.partition(",")
        if left == "number":
            return {"a": 0.75, "b": draw(*shape, low=low, high=high)}
        if right == "number":
            return {"a": draw(*shape, low=low, high=high), "b": 2.0}
        return {
            "a": draw(*shaped(left), low=low, high=high),
            "b": draw(*shaped(right or left), low=low, high=high),
        }

    modes = [
        "same", "same,one", "one,same", "same,row", "same,row2", "same,column", "column,same", "row,same", "column,row",
        "same,number", "number,same",
    ]  # fmt: skip
    return Case(arguments, lambda a, b: reference(a, b), variants=tuple({"mode": mode} for mode in modes))


def reduction(reference: Callable[..., Array], nonempty: bool = False, tolerance: float = 8) -> Case:
    shapes = tuple(shape for shape in SHAPES if not (nonempty and 0 in shape))
    return Case(
        lambda draw, shape: {"x": draw(*shape)},
        lambda x, axis: np.atleast_1d(reference(x, axis)),
        shapes=shapes,
        tolerance=tolerance,
        magnitude=lambda x, axis: np.atleast_1d(np.abs(x).sum(axis=axis)) if not nonempty else 0,
        variants=({"axis": None}, {"axis": 0}, {"axis": 1}),
    )


def sigmoid(x: Array) -> Array:
    return np.asarray(special.expit(x))


def elementwise_cases() -> dict[str, Case]:
    return {
        "add": pair_case(np.add),
        "subtract": pair_case(np.subtract),
        "multiply": pair_case(np.multiply),
        "divide": pair_case(np.divide),
        "power": pair_case(np.power, low=0.1, high=3),
        "maximum": pair_case(np.maximum),
        "minimum": pair_case(np.minimum),
        "greater": pair_case(lambda a, b: np.greater(a, b).astype(float)),
        "where": Case(
            lambda draw, shape, third=None: {
                "condition": np.round(draw(*shape)),
                "a": draw(*shape),
                "b": draw(*shape) if third is None else third,
            },
            lambda condition, a, b: np.where(condition != 0, a, b),
            variants=({}, {"third": 0.0}),
        ),
        "lerp": Case(
            lambda draw, shape, one=False: {
                "start": draw(*shape), "end": draw(*shape), "weight": draw(*(shape[-1:] if one else shape))
            },
            lambda start, end, weight: start + weight * (end - start),
            magnitude=lambda start, end, weight: np.abs(start) + np.abs(weight) * (np.abs(end) + np.abs(start)),
            variants=({}, {"one": True}),
        ),
        "lerp_gradient": Case(
            lambda draw, shape: {
                "grad": draw(*shape), "start": draw(*shape), "end": draw(*shape), "weight": draw(shape[1])
            },
            lambda grad, start, end, weight: (grad - grad * weight, grad * weight, (grad * (end - start)).sum(axis=0)),
            MATRICES,
            64,
            magnitude=lambda **_: 8.0,
        ),
        "cast": Case(lambda draw, shape: {"x": draw(*shape)}, lambda x: x, out_shape=lambda x: x.shape),
        "fill": Case(
            lambda draw, shape: {"value": 0.1, "shape": shape},
            lambda value, shape: np.full(shape, value),
            out_shape=lambda value, shape: shape,
        ),
        "negative": unary(np.negative),
        "exp": unary(np.exp, -87, 88),
        "expm1": unary(np.expm1, -20, 80),
        "log": unary(np.log, 1e-30, 100),
        "log1p": unary(np.log1p, -0.999, 50),
        "sqrt": unary(np.sqrt, 0, 100),
        "sin": unary(np.sin, -100, 100),
        "cos": unary(np.cos, -100, 100),
        "erf": unary(special.erf, -5, 5),
        "absolute": unary(np.abs),
        "sign": unary(np.sign),
        **{name: activation(name, reference) for name, reference in REFERENCES.items()},
    }  # fmt: skip


def transposed(x: Array, flag: bool) -> Array:
    return x.T if flag else x


def in_precision(x: Array, precision: str) -> Array:
    """x, or x rounded to float32 and then to bfloat16: 8 bits of mantissa, ties to even, no subnormal numbers."""
    if precision == "full":
        return x
    mantissa, exponent = np.frexp(x.astype(np.float32).astype(np.float64))
    rounded = np.ldexp(np.rint(mantissa * 256) / 256, exponent)
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, 0.0, rounded)


def product_cases() -> dict[str, Case]:
    flags = tuple({"transpose_a": a, "transpose_b": b} for a in (False, True) for b in (False, True))
    flags_in_precisions = tuple({**flag, "precision": precision} for flag in flags for precision in PRECISIONS)

    def product(a: Array, b: Array, transpose_a: bool, transpose_b: bool, precision: str = "full") -> Array:
        a, b = in_precision(a, precision), in_precision(b, precision)
        return transposed(a, transpose_a) @ transposed(b, transpose_b)

    def linear(x: Array, weight: Array, bias: Array | None, activation: str, precision: str = "full") -> Any:
        z = product(x, weight, False, False, precision) + (0 if bias is None else bias)
        return z if activation == "identity" else REFERENCES[activation].function(z)

    def linear_magnitude(x: Array, weight: Array, bias: Array | None, activation: str, precision: str = "full") -> Any:
        return 2 * (np.abs(x) @ np.abs(weight) + (0 if bias is None else np.abs(bias)))

    return {
        "matmul": Case(
            lambda draw, mkn, transpose_a, transpose_b: {
                "a": draw(*(mkn[1::-1] if transpose_a else mkn[:2])),
                "b": draw(*(mkn[:0:-1] if transpose_b else mkn[1:])),
            },
            product,
            shapes=PRODUCTS,
            tolerance=16,
            magnitude=lambda a, b, **options: product(np.abs(a), np.abs(b), **options),
            special_values=False,
            variants=flags_in_precisions,
        ),
        "dot": Case(
            lambda draw, shape: {"a": draw(*shape), "b": draw(*shape)},
            lambda a, b: np.array([a @ b]),
            shapes=((0,), (1,), (17,), (1000,)),
            tolerance=16,
            magnitude=lambda a, b: np.abs(a) @ np.abs(b),
        ),
        "outer": Case(
            lambda draw, shape: {"a": draw(shape[0]), "b": draw(shape[1])},
            lambda a, b: np.multiply.outer(a, b),
            shapes=MATRICES,
        ),
        "linear": Case(
            lambda draw, mkn, bias: {
                "x": draw(*mkn[:2]), "weight": draw(*mkn[1:]), "bias": draw(mkn[2]) if bias else None,
            },
            linear,
            shapes=PRODUCTS,
            tolerance=32,
            magnitude=linear_magnitude,
            special_values=False,
            variants=(
                *({"bias": bias, "activation": name} for name in ACTIVATIONS for bias in (True, False)),
                *({"bias": bias, "activation": "relu", "precision": "bfloat16"} for bias in (True, False)),
            ),
        ),
        "matmul_gradient": Case(
            lambda draw, mkn, transpose_a, transpose_b: {
                "a": draw(*(mkn[1::-1] if transpose_a else mkn[:2])),
                "b": draw(*(mkn[:0:-1] if transpose_b else mkn[1:])),
                "y": draw(mkn[0], mkn[2], low=-1, high=1),
            },
            lambda a, b, y, activation, **options: REFERENCES[f"{activation}_gradient"].function(
                product(a, b, **options), y
            ),
            shapes=PRODUCTS,
            tolerance=32,
            magnitude=lambda a, b, y, activation, **options: 4 * product(np.abs(a), np.abs(b), **options),
            special_values=False,
            variants=(
                *({"activation": name, **flag} for name in OUTPUT_ACTIVATIONS for flag in flags),
                *({"activation": "relu", **flag, "precision": "bfloat16"} for flag in flags),
            ),
        ),
    }  # fmt: skip


def argmax(x: Array, axis: int | None) -> Array:
    return np.asarray(np.argmax(x, axis=axis))


def softmax(x: Array) -> Array:
    with np.errstate(all="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))


def log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def scatter_add(rows: Array, indices: Array, count: int) -> Array:
    out = np.zeros((count, rows.shape[1]))
    np.add.at(out, indices, rows)
    return out


def mask(counter: Array, seed: int, rate: float, shape: tuple[int, ...]) -> Array:
    from ..contract.random import drop_below, random_bits

    bits = [random_bits(seed, int(counter[0]), i) for i in range(int(np.prod(shape)))]
    return np.array([0.0 if b < drop_below(rate) else 1 / (1 - rate) for b in bits]).reshape(shape)


def positions(count: int, below: int) -> Array:
    """Whole numbers in [0, below), with repetitions and both ends."""
    return (np.arange(count, dtype=np.int64) * 7 + below - 1) % max(below, 1)


def row_cases() -> dict[str, Case]:
    return {
        "sum": reduction(lambda x, axis: x.sum(axis=axis)),
        "mean": reduction(lambda x, axis: x.sum(axis=axis) / np.float64(x.size if axis is None else x.shape[axis])),
        "max": reduction(lambda x, axis: x.max(axis=axis), nonempty=True),
        "argmax": reduction(argmax, nonempty=True),
        "sum_of_squares": Case(
            lambda draw, shape: {"x": draw(*shape)}, lambda x: np.array([(x * x).sum()]), tolerance=32
        ),
        "watch_finite": Case(
            lambda draw, shape: {"x": draw(*shape), "flag": np.zeros(1)},
            lambda x, flag: (flag if np.isfinite(x).all() else flag + np.nan,),
            updates=("flag",),
        ),
        "watch_within": Case(
            lambda draw, shape, low, high: {"x": draw(*shape), "flag": np.zeros(1)},
            lambda x, flag, low, high: (flag if (np.isfinite(x) & (x >= low) & (x <= high)).all() else flag + np.nan,),
            updates=("flag",),
            variants=({"low": -2.0, "high": 2.0}, {"low": 0.0, "high": 1.0}, {"low": -1.9, "high": np.inf}),
        ),
        "watch_below": Case(
            lambda draw, shape, limit, bad: {
                "indices": np.concatenate([positions(shape[0], limit), np.array(bad, np.int64)]), "flag": np.zeros(1)
            },
            lambda indices, flag, limit: (flag if ((indices >= 0) & (indices < limit)).all() else flag + np.nan,),
            MATRICES,
            updates=("flag",),
            variants=tuple(
                {"limit": limit, "bad": bad}
                for limit in (1, 7) for bad in ([], [-1], [limit], [limit - 1], [2**40], [-(2**63)])
            ),
        ),
        "to_indices": Case(
            lambda draw, shape, limit: {
                "x": np.r_[np.arange(shape[0] * 1.0), draw(shape[1]), -0.0, np.nan, np.inf, -np.inf, limit, -1, 1e30]
            },
            lambda x, limit: np.array([int(v) if 0 <= v < limit and v == int(v) else limit for v in x], np.int64),
            MATRICES,
            variants=({"limit": 1}, {"limit": 6}),
        ),
        "softmax": Case(lambda draw, shape: {"x": draw(*shape, low=-20, high=20)}, softmax, FILLED, 32),
        "softmax_gradient": Case(
            lambda draw, shape: {"grad": draw(*shape), "y": draw(*shape, low=0, high=1)},
            lambda grad, y: y * (grad - (grad * y).sum(axis=1, keepdims=True)),
            MATRICES,
            magnitude=lambda grad, y: y * (np.abs(grad) + (np.abs(grad) * y).sum(axis=1, keepdims=True)),
        ),
        "log_softmax": Case(
            lambda draw, shape: {"x": draw(*shape, low=-20, high=20)},
            log_softmax, FILLED, 8, magnitude=lambda x: 20,
        ),
        "log_softmax_gradient": Case(
            lambda draw, shape: {"grad": draw(*shape), "y": draw(*shape, low=-3, high=0)},
            lambda grad, y: grad - np.exp(y) * grad.sum(axis=1, keepdims=True),
            MATRICES,
            magnitude=lambda grad, y: np.abs(grad) + np.exp(y) * np.abs(grad).sum(axis=1, keepdims=True),
        ),
        "gather_rows": Case(
            lambda draw, shape: {"table": draw(*shape), "indices": positions(2 * shape[0] + 1, shape[0])},
            lambda table, indices: table[indices],
            FILLED,
        ),
        "gather_labels": Case(
            lambda draw, shape: {"labels": positions(shape[0], 7), "indices": positions(2 * shape[1], shape[0])},
            lambda labels, indices: labels[indices],
            FILLED,
        ),
        "scatter_add_rows": Case(
            lambda draw, shape: {"rows": draw(*shape), "indices": positions(shape[0], 3), "count": 3},
            scatter_add, FILLED, 16, out_shape=lambda rows, indices, count: (count, rows.shape[1]),
            magnitude=lambda rows, indices, count: scatter_add(np.abs(rows), indices, count),
        ),
        "transpose": Case(lambda draw, shape: {"x": draw(*shape)}, lambda x: x.T, MATRICES),
        "one_hot": Case(
            lambda draw, shape: {"labels": positions(shape[0], shape[1]), "shape": shape},
            lambda labels, shape: np.eye(shape[1])[labels],
            FILLED,
            out_shape=lambda labels, shape: shape,
        ),
        "dropout_mask": Case(
            lambda draw, shape: {"counter": np.array([3.0]), "seed": (1 << 63) + 12345, "shape": shape},
            mask, out_shape=lambda counter, seed, rate, shape: shape,
            variants=({"rate": 0.0}, {"rate": 0.5}, {"rate": 0.1}),
        ),
        "scheduled_dropout_mask": Case(
            lambda draw, shape, p: {
                "counter": np.array([3.0]), "rate": np.array([p]), "seed": (1 << 63) + 12345, "shape": shape
            },
            lambda counter, rate, seed, shape: mask(counter, seed, rate[0], shape),
            out_shape=lambda counter, rate, seed, shape: shape,
            variants=({"p": 0.0}, {"p": 0.5}, {"p": 0.1}),
        ),
    }  # fmt: skip
