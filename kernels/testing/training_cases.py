"""The table's rows for losses, normalisations and optimizer updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..contract import DECLARATIONS, losses, optimizers
from .cases import FILLED, MATRICES, Arguments, Array, Case, Draw, log_softmax, positions

WEIGHING: tuple[Arguments, ...] = ({"weighted": False, "scale": 1.0}, {"weighted": True, "scale": 0.25})


def weighed(losses: Array, slopes: Array, weights: Array | None, scale: float) -> tuple[Array, Array]:
    """Each row's loss and its gradient, times scale and the row's weight."""
    factor = np.full(len(losses), scale) if weights is None else weights * scale
    return losses.sum(axis=1) * factor, slopes * factor[:, None]


def loss(name: str, exact: losses.Reference) -> Case:
    """An elementwise loss: l(z, t) and its derivative in z."""
    names = DECLARATIONS[name].parameter_names[:2]

    def arguments(draw: Draw, shape: tuple[int, ...], weighted: bool) -> Arguments:
        low, high = exact.target
        target = draw(*shape, low=low, high=high)
        return {
            names[0]: draw(*shape, low=-3, high=3),
            names[1]: target,
            "weights": draw(shape[0], low=0, high=2) if weighted else None,
        }

    def reference(weights: Array | None, scale: float, **rest: Any) -> tuple[Array, Array]:
        z, t = rest.pop(names[0]), rest.pop(names[1])
        return weighed(exact.losses(z, t, **rest), exact.slopes(z, t, **rest), weights, scale)

    variants = tuple({**weighing, **option} for weighing in WEIGHING for option in exact.variants)
    return Case(arguments, reference, MATRICES, 64, magnitude=lambda **_: 4.0, variants=variants)


def cross_entropy(
    logits: Array, labels: Array, weights: Array | None, smoothing: float, scale: float
) -> tuple[Array, Array]:
    classes = logits.shape[1]
    target = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    log_p = log_softmax(logits)
    losses = np.where(target != 0, -target * log_p, 0)
    return weighed(losses, np.exp(log_p) - target, weights, scale)


def cross_entropy_case() -> Case:
    def arguments(draw: Draw, shape: tuple[int, ...], weighted: bool) -> Arguments:
        return {
            "logits": draw(*shape, low=-20, high=20),
            "labels": positions(*shape),
            "weights": draw(shape[0], low=0, high=2) if weighted else None,
        }

    variants = tuple({**weighing, "smoothing": s} for weighing in WEIGHING for s in (0.0, 0.1))
    return Case(arguments, cross_entropy, FILLED, 64, magnitude=lambda **_: 20.0, variants=variants)


def loss_cases() -> dict[str, Case]:
    elementwise = {name: loss(name, exact) for name, exact in losses.REFERENCES.items()}
    return {"softmax_cross_entropy": cross_entropy_case(), **elementwise}


def normalised(x: Array, axis: int, eps: float) -> tuple[Array, Array, Array]:
    """x_hat, mean and rstd along axis."""
    mean, rstd = x.mean(axis=axis), 1 / np.sqrt(x.var(axis=axis) + eps)
    wide = (mean[:, None], rstd[:, None]) if axis == 1 else (mean, rstd)
    return (x - wide[0]) * wide[1], mean, rstd


def layer_norm(x: Array, gain: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
    x_hat, mean, rstd = normalised(x, 1, eps)
    return gain * x_hat + bias, mean, rstd


def layer_norm_gradient(grad: Array, x: Array, gain: Array, mean: Array, rstd: Array) -> tuple[Array, Array, Array]:
    x_hat, h = (x - mean[:, None]) * rstd[:, None], gain * grad
    out = h - h.mean(axis=1, keepdims=True) - x_hat * (h * x_hat).mean(axis=1, keepdims=True)
    return rstd[:, None] * out, (grad * x_hat).sum(axis=0), grad.sum(axis=0)


def batch_norm(
    x: Array, gain: Array, bias: Array, running_mean: Array, running_variance: Array, momentum: float, eps: float
) -> tuple[Array, ...]:
    x_hat, mean, rstd = normalised(x, 0, eps)
    unbiased = x.var(axis=0) * len(x) / max(len(x) - 1, 1)
    averages = (
        (1 - momentum) * running_mean + momentum * mean,
        (1 - momentum) * running_variance + momentum * unbiased,
    )
    return gain * x_hat + bias, mean, rstd, *averages


def batch_norm_gradient(grad: Array, x: Array, gain: Array, mean: Array, rstd: Array) -> tuple[Array, Array, Array]:
    x_hat = (x - mean) * rstd
    out = grad - grad.mean(axis=0) - x_hat * (grad * x_hat).mean(axis=0)
    return gain * rstd * out, (grad * x_hat).sum(axis=0), grad.sum(axis=0)


def scaled_columns(draw: Draw, shape: tuple[int, ...]) -> Array:
    """Rows and columns that differ in scale, so that a forgotten or misplaced factor shows."""
    return draw(*shape) * np.linspace(0.5, 2.0, shape[1]) + 0.3


def norm_case(reference: Callable[..., Any], per: int, gradient: bool, shapes: tuple[tuple[int, ...], ...]) -> Case:
    def arguments(draw: Draw, shape: tuple[int, ...]) -> Arguments:
        x, gain = scaled_columns(draw, shape), draw(shape[1], low=0.5, high=2)
        if not gradient:
            return {"x": x, "gain": gain, "bias": draw(shape[1])}
        _, mean, rstd = normalised(x, per, 1e-2)
        return {"grad": draw(*shape), "x": x, "gain": gain, "mean": mean, "rstd": rstd}

    # eps is large enough that a single row or column, of variance 0, does not magnify rounding a hundredfold.
    variants: tuple[Arguments, ...] = ({},) if gradient else ({"eps": 1e-2}, {"eps": 0.1})
    return Case(
        arguments, reference, shapes, 256, magnitude=lambda **_: 4.0, special_values=False, variants=variants
    )  # fmt: skip


def normalisation_cases() -> dict[str, Case]:
    def running(draw: Draw, shape: tuple[int, ...]) -> Arguments:
        return {
            "running_mean": draw(shape[1]), "running_variance": draw(shape[1], low=0.5, high=2),
            "x": scaled_columns(draw, shape), "gain": draw(shape[1], low=0.5, high=2), "bias": draw(shape[1]),
        }  # fmt: skip

    return {
        "layer_norm": norm_case(layer_norm, 1, False, FILLED),
        "layer_norm_gradient": norm_case(layer_norm_gradient, 1, True, FILLED),
        "batch_norm": Case(
            running, batch_norm, FILLED, 256, magnitude=lambda **_: 4.0, special_values=False,
            updates=("running_mean", "running_variance"), variants=({"momentum": 0.1, "eps": 1e-2},),
        ),
        "batch_norm_gradient": norm_case(batch_norm_gradient, 0, True, FILLED),
        "batch_norm_inference": Case(
            running,
            lambda x, gain, bias, running_mean, running_variance, eps: (
                gain * (x - running_mean) / np.sqrt(running_variance + eps) + bias
            ),
            MATRICES, 32, magnitude=lambda **_: 8.0, special_values=False, variants=({"eps": 1e-5},),
        ),
    }  # fmt: skip


def update(name: str, exact: optimizers.Reference) -> Case:
    updates = tuple(operand.name for operand in DECLARATIONS[name].operands if operand.kind == "Mutable")

    def arguments(draw: Draw, shape: tuple[int, ...], numbers: tuple[float, ...]) -> Arguments:
        low = {"square": 0.01, "second": 0.01}  # averages of squares are positive
        return {
            "parameter": draw(*shape), "gradient": draw(*shape), "hyper": np.array(numbers),
            **{name: draw(*shape, low=low.get(name, -1), high=1) for name in updates[1:]},
        }  # fmt: skip

    variants = tuple({"numbers": numbers, **option} for numbers in exact.hypers for option in exact.variants)
    return Case(
        arguments, exact.function, tolerance=64, magnitude=lambda **_: 2.0, special_values=False, updates=updates,
        variants=variants,
    )  # fmt: skip


def optimizer_cases() -> dict[str, Case]:
    return {name: update(name, exact) for name, exact in optimizers.UPDATES.items()}
