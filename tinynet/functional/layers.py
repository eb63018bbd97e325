"""Differentiable products, normalisation, dropout: what layers with parameters are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from kernels import OUTPUT_ACTIVATIONS
from kernels.contract.dtypes import FLOATS
from kernels.program import refuse

from ..backends import current
from ..checks import check_fraction, check_positive
from ..precision import products
from ..randomness import MASKS
from ..tensor import Array, Tensor, float_dtype, result
from .losses import check_labels

# Activations whose gradient follows from their output alone, so that the fused layer need not keep its input.
FROM_OUTPUT = ("identity", *OUTPUT_ACTIVATIONS)


def matmul(a: Tensor, b: Tensor, transpose_a: bool = False, transpose_b: bool = False) -> Tensor:
    """A B, with A = a or its transpose, B likewise; nothing is copied to transpose it.

    1-D operands are a row on the left and a column on the right, as in NumPy.
    """
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        raise TypeError(f"matmul: operands are {type(a).__name__} and {type(b).__name__}, expected Tensors")
    if 0 in (a.ndim, b.ndim):
        raise ValueError(f"matmul: shapes are {a.shape} and {b.shape}, expected 1-D or 2-D")
    x = a.data if a.ndim == 2 else a.data[None, :]
    y = b.data if b.ndim == 2 else b.data[:, None]
    x_flag, y_flag = transpose_a and a.ndim == 2, transpose_b and b.ndim == 2
    precision = products()
    out = current().matmul(x, y, x_flag, y_flag, precision)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k, g = current(), g.reshape(out.shape)
        da = db = None
        if a.requires_grad:  # dA = dC B^T, with factors exchanged where A is transposed
            da = k.matmul(y, g, y_flag, True, precision) if x_flag else k.matmul(g, y, False, not y_flag, precision)
        if b.requires_grad:  # dB = A^T dC
            db = k.matmul(g, x, True, x_flag, precision) if y_flag else k.matmul(x, g, not x_flag, False, precision)
        return (
            None if da is None else da.reshape(a.array.shape),
            None if db is None else db.reshape(b.array.shape),
        )

    rows = out.shape[:1] if a.ndim == 2 else ()
    return result(out, (a, b), rule, rows + (out.shape[1:] if b.ndim == 2 else ()))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "identity") -> Tensor:
    """activation(x weight + bias), one fused kernel. x (rows, in), weight (in, out), bias (out,).

    activation: identity, or one whose gradient follows from its output, such as relu.
    """
    if activation not in FROM_OUTPUT:
        raise ValueError(f"linear: activation is {activation!r}, expected one of {', '.join(FROM_OUTPUT)}")
    precision = products()
    y = current().linear(x.array, weight.array, None if bias is None else bias.array, activation, precision)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        dz = g if activation == "identity" else getattr(k, f"{activation}_gradient")(g, y)
        dx = k.matmul(dz, weight.array, False, True, precision) if x.requires_grad else None
        dw = k.matmul(x.array, dz, True, False, precision) if weight.requires_grad else None
        if bias is None:
            return dx, dw
        return dx, dw, k.sum(dz, axis=0) if bias.requires_grad else None

    return result(y, (x, weight) if bias is None else (x, weight, bias), rule)


def grouped_linear(x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """y_g = x_g weight_g + bias_g for each group g of columns, side by side: a product with a block diagonal matrix.

    x (rows, groups * in), weight (groups * in, out), bias (groups * out,); the result (rows, groups * out).
    """
    units = weight.shape[-1]
    if x.ndim != 2 or weight.ndim != 2 or len(weight) != x.shape[1] or len(weight) % groups:
        raise ValueError(
            f"grouped_linear: x has shape {x.shape} and weight {weight.shape}, expected (rows, columns) and (columns, "
            f"outputs) with columns in {groups} equal groups"
        )
    k, precision = current(), products()
    inside = [slice(i, i + len(weight) // groups) for i in range(0, len(weight), len(weight) // groups)]
    outside = [slice(i, i + units) for i in range(0, groups * units, units)]
    y = k.empty((len(x), groups * units), x.dtype)
    for i, o in zip(inside, outside, strict=True):
        k.linear(x.array[:, i], weight.array[i], bias.array[o], precision=precision, out=y[:, o])

    def rule(g: Array) -> tuple[Array | None, ...]:
        k, dx, dw = current(), None, None
        if x.requires_grad:
            dx = k.empty(x.shape, x.dtype)
            for i, o in zip(inside, outside, strict=True):
                k.matmul(g[:, o], weight.array[i], False, True, precision, out=dx[:, i])
        if weight.requires_grad:
            dw = k.empty(weight.shape, x.dtype)
            for i, o in zip(inside, outside, strict=True):
                k.matmul(x.array[:, i], g[:, o], True, False, precision, out=dw[i])
        return dx, dw, k.sum(g, axis=0) if bias.requires_grad else None

    return result(y, (x, weight, bias), rule)


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """x with each element set to 0 with probability p and the others divided by 1 - p; x itself unless training.

    Masks are drawn from the process's stream, which ``manual_seed`` sets; the same on every backend, and new ones
    whenever a recorded step is replayed. A layer ``nn.Dropout`` has a stream of its own, which checkpoints hold.
    """
    if check_fraction("p", p) == 0 or not training:
        return x
    return counted_dropout(x, MASKS.counter, MASKS.seed, p)


def counted_dropout(x: Tensor, counter: Array, seed: int, rate: float | Array) -> Tensor:
    """x * mask, the mask 0 with probability rate and else 1 / (1 - rate); counter, one float64, is raised by one.

    rate: a number, or one float64 that may change while a recorded step is replayed.
    """
    k = current()
    out = k.empty(x.array.shape, x.dtype)
    if isinstance(rate, np.ndarray):
        mask = k.scheduled_dropout_mask(counter, rate, seed, out=out)
    else:
        mask = k.dropout_mask(counter, seed, rate, out=out)
    k.add(counter, 1.0, out=counter)
    return result(k.multiply(x.array, mask), (x,), lambda g: (current().multiply(g, mask),), x.shape)


def one_hot(labels: Any, num_classes: int | None = None, dtype: DTypeLike = FLOATS[0]) -> Tensor:
    """out_ij = 1 where j = labels_i, else 0: (rows, num_classes), without gradient.

    labels (rows,): whole numbers in [0, num_classes), in an array, a list or a Tensor. num_classes: by default the
    largest label + 1, which a step that is to be replayed has to give. Raises ValueError and TypeError for others.
    """
    given = labels.data if isinstance(labels, Tensor) else np.asarray(labels)
    if given.ndim != 1 or given.dtype.kind not in "iuf":
        raise ValueError(f"one_hot: labels are {given.dtype} of shape {given.shape}, expected whole numbers, (rows,)")
    if num_classes is None:
        refuse("it calls one_hot without num_classes, which reads the labels: give num_classes=")
        num_classes = max(map(int, given.tolist()), default=0) + 1
    classes, k = check_positive("num_classes", num_classes), current()
    if given.dtype in FLOATS:
        rows = k.to_indices(np.ascontiguousarray(given), classes) if given.size else np.empty(0, np.int64)
    else:
        rows = check_labels("one_hot", given, len(given), classes)
    out = k.empty((len(rows), classes), float_dtype(dtype))
    return Tensor(k.one_hot(rows, out=out) if len(rows) else out)


def embedding(weight: Tensor, categories: Array) -> Tensor:
    """The rows of weight that the categories name, one after the other; whole numbers in [0, rows of weight).

    Categories in a float array, as a table's columns are, become indices by a kernel, so that it is recorded.
    """
    k = current()
    flat = categories.reshape(-1)
    if flat.dtype.kind == "f" and not (flat.flags.c_contiguous and np.may_share_memory(flat, categories)):
        # Columns out of a wider table.
        flat = k.cast(categories, out=k.empty(categories.shape, categories.dtype)).reshape(-1)
    rows = k.to_indices(flat, len(weight)) if flat.dtype.kind == "f" else np.ascontiguousarray(flat, np.int64)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        return (k.scatter_add_rows(g.reshape(len(rows), -1), rows, out=k.empty(weight.shape, weight.dtype)),)

    return result(k.gather_rows(weight.array, rows), (weight,), rule)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """gain_j (x_ij - mean_i) / sqrt(variance_i + eps) + bias_j, mean and variance over each row."""
    y, mean, rstd = current().layer_norm(x.array, gain.array, bias.array, eps)
    return result(
        y, (x, gain, bias), lambda g: current().layer_norm_gradient(g, x.array, gain.array, mean, rstd)
    )  # fmt: skip


def batch_norm(
    x: Tensor,
    gain: Tensor,
    bias: Tensor,
    running_mean: Array,
    running_variance: Array,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """gain_j (x_ij - mean_j) / sqrt(variance_j + eps) + bias_j over the batch; updates the running statistics."""
    y, mean, rstd = current().batch_norm(
        x.array, gain.array, bias.array, running_mean, running_variance, momentum, eps
    )  # fmt: skip
    return result(
        y, (x, gain, bias), lambda g: current().batch_norm_gradient(g, x.array, gain.array, mean, rstd)
    )  # fmt: skip


def batch_norm_inference(
    x: Tensor, gain: Tensor, bias: Tensor, running_mean: Array, running_variance: Array, eps: float = 1e-5
) -> Tensor:
    """gain_j (x_ij - running_mean_j) / sqrt(running_variance_j + eps) + bias_j."""
    k = current()
    rstd = k.divide(1.0, k.sqrt(k.add(running_variance, eps)))
    y = k.batch_norm_inference(x.array, gain.array, bias.array, running_mean, running_variance, eps)

    def rule(g: Array) -> tuple[Array | None, ...]:
        k = current()
        x_hat = k.multiply(k.subtract(x.array, running_mean), rstd)
        dx = k.multiply(g, k.multiply(gain.array, rstd))
        return dx, k.sum(k.multiply(g, x_hat), axis=0), k.sum(g, axis=0)

    return result(y, (x, gain, bias), rule)
