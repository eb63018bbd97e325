"""Optimizer updates. They work in place: a parameter and its running averages are read and written.

What a user or a schedule may change between steps stands in ``hyper``, a small float64 array that the kernel reads, so
that a recorded step stays right when it changes; each kernel's docstring names the elements in order. ``step`` is the
number of this update, counted from 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .declaration import Floats, Mutable, State, fused

if TYPE_CHECKING:
    from .backend import Backend


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


@fused("(...),(...),(...),(4)->")
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


@fused("(...),(...),(...),(...),(5)->")
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


@fused("(...),(...),(...),(...),(6)->")
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
