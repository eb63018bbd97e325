"""Optimizer updates. They work in place: a parameter and its running averages are read and written.

What a user or a schedule may change between steps is in ``hyper``, a small float64 array that the kernel reads, so
that a recorded step stays right when it changes; each kernel's docstring names the elements in order. ``step`` is the
number of this update, counted from 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .declaration import Floats, Function, Mutable, State, fused

if TYPE_CHECKING:
    from .backend import Backend


class Reference(NamedTuple):
    """The exact new parameter and averages: ``function`` of the kernel's inputs by name, in float64.

    hypers: elements of hyper to take. variants: options to take, by name.
    """

    function: Callable[..., Any]
    hypers: tuple[tuple[float, ...], ...]
    variants: tuple[dict[str, Any], ...]


UPDATES: dict[str, Reference] = {}
"""By kernel: every optimizer's update. A recorded step's passes know updates by it."""


def update(
    reference: Callable[..., Any], *hypers: tuple[float, ...], variants: tuple[dict[str, Any], ...] = ({},)
) -> Callable[[Function], Function]:
    """Declares an update of (parameter, gradient, averages, hyper), all arrays but hyper of one shape."""

    def decorate(function: Function) -> Function:
        UPDATES[function.__name__] = Reference(reference, hypers, variants)
        arrays = list(function.__annotations__).index("hyper") - 1
        return fused("(...)," * arrays + f"({len(hypers[0])})->")(function)

    return decorate


def _element(backend: Backend, hyper: State, index: int, like: Floats) -> Floats:
    """One element of hyper as an array of one element, in the dtype of ``like``."""
    element: Floats = backend.cast(hyper[index : index + 1], out=backend.empty((1,), like.dtype))
    return element


def _decayed(backend: Backend, gradient: Floats, parameter: Floats, decay: Floats) -> Floats:
    g: Floats = backend.add(gradient, backend.multiply(parameter, decay))
    return g


def _average(backend: Backend, average: Mutable, value: Floats, hyper: State, index: int) -> None:
    """average <- beta average + (1 - beta) value, beta = hyper[index]."""
    # 1 - beta from a beta already rounded to float32 would be wrong in the fifth digit.
    complement = backend.subtract(1.0, hyper[index : index + 1])
    fresh = backend.multiply(value, _element(backend, complement, 0, value))
    kept = backend.multiply(average, _element(backend, hyper, index, value))
    backend.add(kept, fresh, out=average)


def _sgd(parameter: Any, gradient: Any, velocity: Any, hyper: Any) -> tuple[Any, ...]:
    lr, momentum, decay, nesterov = hyper
    g = gradient + decay * parameter
    velocity = momentum * velocity + g
    return parameter - lr * (g + momentum * velocity if nesterov else velocity), velocity


@update(_sgd, (0.1, 0.0, 0.0, 0.0), (0.1, 0.9, 0.01, 0.0), (0.1, 0.9, 0.0, 1.0))
def sgd(backend: Backend, parameter: Mutable, gradient: Floats, velocity: Mutable, hyper: State) -> None:
    """v <- momentum v + g; p <- p - lr v, or with Nesterov p <- p - lr (g + momentum v); g = gradient + weight_decay p.

    hyper: lr, momentum, weight_decay, nesterov (0 or 1). Formulas: PyTorch's SGD without dampening; Sutskever et al.
    2013 for Nesterov.
    """
    lr, momentum, decay, nesterov = (_element(backend, hyper, i, parameter) for i in range(4))
    g = _decayed(backend, gradient, parameter, decay)
    backend.add(backend.multiply(velocity, momentum), g, out=velocity)
    ahead = backend.where(nesterov, backend.add(g, backend.multiply(velocity, momentum)), velocity)
    backend.subtract(parameter, backend.multiply(ahead, lr), out=parameter)


def _rmsprop(parameter: Any, gradient: Any, square: Any, velocity: Any, hyper: Any) -> tuple[Any, ...]:
    lr, alpha, eps, decay, momentum = hyper
    g = gradient + decay * parameter
    square = alpha * square + (1 - alpha) * g**2
    velocity = momentum * velocity + g / (np.sqrt(square) + eps)
    return parameter - lr * velocity, square, velocity


@update(_rmsprop, (0.01, 0.99, 1e-8, 0.0, 0.0), (0.01, 0.9, 1e-3, 0.1, 0.9))
def rmsprop(
    backend: Backend, parameter: Mutable, gradient: Floats, square: Mutable, velocity: Mutable, hyper: State
) -> None:
    """s <- alpha s + (1 - alpha) g**2; v <- momentum v + g / (sqrt(s) + eps); p <- p - lr v.

    g = gradient + weight_decay p. hyper: lr, alpha, eps, weight_decay, momentum. Tieleman and Hinton 2012;
    PyTorch's RMSprop, not centred.
    """
    lr, eps, decay, momentum = (_element(backend, hyper, i, parameter) for i in (0, 2, 3, 4))
    g = _decayed(backend, gradient, parameter, decay)
    _average(backend, square, backend.multiply(g, g), hyper, 1)
    scaled = backend.divide(g, backend.add(backend.sqrt(square), eps))
    backend.add(backend.multiply(velocity, momentum), scaled, out=velocity)
    backend.subtract(parameter, backend.multiply(velocity, lr), out=parameter)


def _adam(parameter: Any, gradient: Any, first: Any, second: Any, hyper: Any, decoupled: bool) -> tuple[Any, ...]:
    lr, beta1, beta2, eps, decay, step = hyper
    g = gradient if decoupled else gradient + decay * parameter
    p = parameter * (1 - lr * decay) if decoupled else parameter
    first, second = beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g**2
    m_hat, s_hat = first / (1 - beta1**step), second / (1 - beta2**step)
    return p - lr * m_hat / (np.sqrt(s_hat) + eps), first, second


@update(
    _adam, (0.01, 0.9, 0.999, 1e-8, 0.0, 1.0), (0.01, 0.8, 0.99, 1e-3, 0.1, 1000.0),
    variants=({"decoupled": False}, {"decoupled": True}),
)  # fmt: skip
def adam(
    backend: Backend,
    parameter: Mutable,
    gradient: Floats,
    first: Mutable,
    second: Mutable,
    hyper: State,
    decoupled: bool = False,
) -> None:
    """m <- beta1 m + (1 - beta1) g; s <- beta2 s + (1 - beta2) g**2; p <- p - lr m_hat / (sqrt(s_hat) + eps).

    m is first, s is second; m_hat = m / (1 - beta1**step), s_hat = s / (1 - beta2**step); g = gradient + weight_decay p
    (Kingma and Ba 2014, arXiv 1412.6980). With decoupled, g = gradient and p <- (1 - lr weight_decay) p comes first:
    AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101).
    hyper: lr, beta1, beta2, eps, weight_decay, step.
    """
    lr, eps, decay = (_element(backend, hyper, i, parameter) for i in (0, 3, 4))
    # 1 - beta**step loses digits in float32, so the corrections are computed in hyper's float64.
    step = hyper[5:6]
    correction1 = backend.subtract(1.0, backend.power(hyper[1:2], step))
    correction2 = backend.sqrt(backend.subtract(1.0, backend.power(hyper[2:3], step)))
    step_size = _element(backend, backend.divide(hyper[0:1], correction1), 0, parameter)
    root = _element(backend, correction2, 0, parameter)
    if decoupled:
        shrink = backend.subtract(1.0, backend.multiply(lr, decay))
        backend.multiply(parameter, shrink, out=parameter)
        g = gradient
    else:
        g = _decayed(backend, gradient, parameter, decay)
    _average(backend, first, g, hyper, 1)
    _average(backend, second, backend.multiply(g, g), hyper, 2)
    denominator = backend.add(backend.divide(backend.sqrt(second), root), eps)
    update = backend.divide(backend.multiply(first, step_size), denominator)
    backend.subtract(parameter, update, out=parameter)


def _radam(parameter: Any, gradient: Any, first: Any, second: Any, hyper: Any) -> tuple[Any, ...]:
    lr, beta1, beta2, eps, decay, step = hyper
    g = gradient + decay * parameter
    first, second = beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g**2
    most, kept = 2 / (1 - beta2) - 1, beta2**step
    length, m_hat = most - 2 * step * kept / (1 - kept), first / (1 - beta1**step)
    if length <= 5:
        return parameter - lr * m_hat, first, second
    rectifier = np.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
    return parameter - lr * m_hat * rectifier * np.sqrt(1 - kept) / (np.sqrt(second) + eps), first, second


@update(_radam, (0.01, 0.9, 0.999, 1e-8, 0.0, 10.0), (0.01, 0.9, 0.999, 1e-8, 0.1, 5.0),
        (0.01, 0.8, 0.99, 1e-3, 0.1, 1000.0), (0.01, 0.8, 0.5, 1e-3, 0.0, 7.0))  # fmt: skip
def radam(
    backend: Backend, parameter: Mutable, gradient: Floats, first: Mutable, second: Mutable, hyper: State
) -> None:
    """m <- beta1 m + (1 - beta1) g; s <- beta2 s + (1 - beta2) g**2; p <- p - lr m_hat r / (sqrt(s) + eps).

    m is first, s is second; m_hat = m / (1 - beta1**step); g = gradient + weight_decay p. s is an average of about
    n = n_inf - 2 step beta2**step / (1 - beta2**step) gradients, in the end of n_inf = 2 / (1 - beta2) - 1; with f(n) =
    (n - 4) (n - 2) / n, r = sqrt((1 - beta2**step) f(n) / f(n_inf)). While n <= 5, s says too little: p <- p - lr m_hat
    (Liu et al. 2019, arXiv 1908.03265). eps as in PyTorch's RAdam, added before s is corrected, unlike Adam's.
    hyper: lr, beta1, beta2, eps, weight_decay, step.
    """
    eps, decay = (_element(backend, hyper, i, parameter) for i in (3, 4))
    # As with Adam, all that depends on the step is computed in hyper's float64.
    beta2, step = hyper[2:3], hyper[5:6]
    kept = backend.power(beta2, step)
    rest = backend.subtract(1.0, kept)
    most = backend.subtract(backend.divide(2.0, backend.subtract(1.0, beta2)), 1.0)
    lost = backend.divide(backend.multiply(backend.multiply(step, kept), 2.0), rest)
    length = backend.subtract(most, lost)
    sure = backend.greater(length, 5.0)
    share = backend.divide(_spread(backend, length), _spread(backend, most))
    rectifier = backend.where(sure, backend.sqrt(backend.multiply(rest, share)), 1.0)
    rate = backend.divide(hyper[0:1], backend.subtract(1.0, backend.power(hyper[1:2], step)))
    step_size = _element(backend, backend.multiply(rate, rectifier), 0, parameter)
    g = _decayed(backend, gradient, parameter, decay)
    _average(backend, first, g, hyper, 1)
    _average(backend, second, backend.multiply(g, g), hyper, 2)
    denominator = backend.add(backend.sqrt(second), eps)
    denominator = backend.where(_element(backend, sure, 0, parameter), denominator, 1.0)
    backend.subtract(parameter, backend.divide(backend.multiply(first, step_size), denominator), out=parameter)


def _spread(backend: Backend, n: Floats) -> Floats:
    """f(n) = (n - 4) (n - 2) / n, for n of at least 5."""
    n = backend.maximum(n, 5.0)
    top = backend.multiply(backend.subtract(n, 4.0), backend.subtract(n, 2.0))
    spread: Floats = backend.divide(top, n)
    return spread
