"""Losses with their gradients, in one pass over the predictions.

Each gives two results: ``out``, the loss of each row, and ``gradient``, the gradient of the sum of ``out`` with respect
to the predictions. Row i counts ``scale * weights_i`` (weights: 1 where not given): scale = 1 / rows gives the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .declaration import Floats, Function, Indices, Probability, fused

if TYPE_CHECKING:
    from .backend import Backend


class Reference(NamedTuple):
    """The exact losses and slopes of an elementwise loss, in float64, independent of every backend.

    Both are functions of the kernel's inputs by position: prediction, target, then the options, for each of which there
    are numbers to take. target: what targets are drawn from.
    """

    losses: Callable[..., Any]
    slopes: Callable[..., Any]
    target: tuple[float, float]
    options: dict[str, tuple[float, ...]]

    @property
    def variants(self) -> tuple[dict[str, float], ...]:
        """Every combination of the options' numbers."""
        return tuple(dict(zip(self.options, numbers, strict=True)) for numbers in product(*self.options.values()))


REFERENCES: dict[str, Reference] = {}
"""By kernel: the losses that compare element by element."""


def elementwise(
    losses: Callable[..., Any],
    slopes: Callable[..., Any],
    target: tuple[float, float] = (-2.0, 2.0),
    **options: tuple[float, ...],
) -> Callable[[Function], Function]:
    """Declares out_i = s_i sum_j l(z_ij, t_ij, options), gradient_ij = s_i dl/dz, and what both are compared with."""

    def decorate(function: Function) -> Function:
        REFERENCES[function.__name__] = Reference(losses, slopes, target, options)
        return fused("(r,c),(r,c),(r)->(r),(r,c)")(function)

    return decorate


def _weigh(
    backend: Backend,
    losses: Floats,
    slopes: Floats,
    weights: Floats | None,
    scale: float,
    out: Floats,
    gradient: Floats,
) -> None:
    """out_i = s_i sum_j losses_ij; gradient_ij = s_i slopes_ij; s_i = scale * weights_i."""
    total = backend.sum(losses, axis=1)
    if weights is None:
        backend.multiply(total, scale, out=out)
        backend.multiply(slopes, scale, out=gradient)
    else:
        share = backend.multiply(weights, scale)
        backend.multiply(total, share, out=out)
        backend.multiply(slopes, share[:, None], out=gradient)


@fused("(r,c!),(r),(r)->(r),(r,c)", below={"labels": "c"})
def softmax_cross_entropy(
    backend: Backend,
    logits: Floats,
    labels: Indices,
    weights: Floats | None = None,
    smoothing: Probability = 0.0,
    scale: float = 1.0,
    *,
    out: Floats,
    gradient: Floats,
) -> None:
    """out_i = -sum_j t_ij ln softmax(logits)_ij, t_ij = (1 - smoothing) [j = labels_i] + smoothing / c.

    gradient_ij = softmax(logits)_ij - t_ij.
    """
    log_p = backend.log_softmax(logits)
    target = backend.one_hot(labels, out=backend.empty(logits.shape, logits.dtype))
    if smoothing:
        spread = smoothing / logits.shape[1]
        target = backend.add(backend.multiply(target, 1.0 - smoothing), spread)
    # where() keeps 0 * -inf, a class without probability and without target, at 0.
    losses = backend.where(target, backend.negative(backend.multiply(target, log_p)), 0.0)
    slopes = backend.subtract(backend.exp(log_p), target)
    _weigh(backend, losses, slopes, weights, scale, out, gradient)


@elementwise(lambda z, t: np.logaddexp(0, z) - t * z, lambda z, t: np.exp(-np.logaddexp(0, -z)) - t, target=(0.0, 1.0))
def sigmoid_cross_entropy(
    backend: Backend,
    logits: Floats,
    target: Floats,
    weights: Floats | None = None,
    scale: float = 1.0,
    *,
    out: Floats,
    gradient: Floats,
) -> None:
    """out_i = sum_j softplus(z_ij) - t_ij z_ij, z the logits, t the targets in [0, 1].

    gradient_ij = sigmoid(z_ij) - t_ij.
    """
    losses = backend.subtract(backend.softplus(logits), backend.multiply(target, logits))
    _weigh(backend, losses, backend.subtract(backend.sigmoid(logits), target), weights, scale, out, gradient)


@elementwise(lambda z, t: (z - t) ** 2, lambda z, t: 2 * (z - t))
def squared_error(
    backend: Backend,
    prediction: Floats,
    target: Floats,
    weights: Floats | None = None,
    scale: float = 1.0,
    *,
    out: Floats,
    gradient: Floats,
) -> None:
    """out_i = sum_j d_ij**2, d = prediction - target. gradient_ij = 2 d_ij."""
    d = backend.subtract(prediction, target)
    _weigh(backend, backend.multiply(d, d), backend.multiply(d, 2.0), weights, scale, out, gradient)


@elementwise(lambda z, t: np.abs(z - t), lambda z, t: np.sign(z - t))
def absolute_error(
    backend: Backend,
    prediction: Floats,
    target: Floats,
    weights: Floats | None = None,
    scale: float = 1.0,
    *,
    out: Floats,
    gradient: Floats,
) -> None:
    """out_i = sum_j |d_ij|, d = prediction - target. gradient_ij = sign d_ij."""
    d = backend.subtract(prediction, target)
    _weigh(backend, backend.absolute(d), backend.sign(d), weights, scale, out, gradient)


def _quantile_error(d: Any, quantile: float) -> Any:
    return np.maximum((1 - quantile) * d, -quantile * d)


@elementwise(
    lambda z, t, quantile: _quantile_error(z - t, quantile),
    lambda z, t, quantile: _quantile_error(np.sign(z - t), quantile) * np.sign(z - t),
    quantile=(0.5, 0.9),
)
def quantile_error(
    backend: Backend,
    prediction: Floats,
    target: Floats,
    weights: Floats | None = None,
    scale: float = 1.0,
    quantile: float = 0.5,
    *,
    out: Floats,
    gradient: Floats,
) -> None:
    """out_i = sum_j max((1 - q) d_ij, -q d_ij), q the quantile in (0, 1), d = prediction - target.

    gradient_ij = 1 - q where d_ij > 0, -q where d_ij < 0, 0 where it is 0. The mean is least where the prediction is
    the target's quantile (Koenker and Bassett 1978, doi 10.2307/1913643).
    """
    d = backend.subtract(prediction, target)
    losses = backend.maximum(backend.multiply(d, 1.0 - quantile), backend.multiply(d, -quantile))
    slopes = backend.subtract(backend.greater(d, 0.0), quantile)
    # where() keeps 0 at 0, and NaN at NaN.
    slopes = backend.where(backend.greater(backend.absolute(d), 0.0), slopes, d)
    _weigh(backend, losses, slopes, weights, scale, out, gradient)


def _clip(d: Any, delta: float) -> Any:
    return np.clip(d, -delta, delta)


@elementwise(
    lambda z, t, delta: _clip(z - t, delta) * (z - t - 0.5 * _clip(z - t, delta)),
    lambda z, t, delta: _clip(z - t, delta),
    delta=(1.0, 0.3),
)
def huber(
    backend: Backend,
    prediction: Floats,
    target: Floats,
    weights: Floats | None = None,
    scale: float = 1.0,
    delta: float = 1.0,
    *,
    out: Floats,
    gradient: Floats,
) -> None:
    """out_i = sum_j d_ij**2 / 2 where |d_ij| <= delta, else delta (|d_ij| - delta / 2); d = prediction - target.

    delta > 0. gradient_ij = d_ij clipped to [-delta, delta] (Huber 1964, doi 10.1214/aoms/1177703732).
    """
    d = backend.subtract(prediction, target)
    clipped = backend.minimum(backend.maximum(d, -delta), delta)
    # With c the clipped d, both branches are c (d - c / 2).
    losses = backend.multiply(clipped, backend.subtract(d, backend.multiply(clipped, 0.5)))
    _weigh(backend, losses, clipped, weights, scale, out, gradient)


@elementwise(lambda z, t: np.exp(z) - t * z, lambda z, t: np.exp(z) - t, target=(0.0, 5.0))
def poisson_nll(
    backend: Backend,
    log_rate: Floats,
    target: Floats,
    weights: Floats | None = None,
    scale: float = 1.0,
    *,
    out: Floats,
    gradient: Floats,
) -> None:
    """out_i = sum_j e**z_ij - t_ij z_ij, z the logarithm of the expected count, t >= 0 the counts; without ln t!.

    gradient_ij = e**z_ij - t_ij.
    """
    rate = backend.exp(log_rate)
    losses = backend.subtract(rate, backend.multiply(target, log_rate))
    _weigh(backend, losses, backend.subtract(rate, target), weights, scale, out, gradient)
