"""SGD, RMSprop, Adam and AdamW. The formulas stand with their kernels in kernels.contract.optimizers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backends import current
from ..nn import Parameter
from ..tensor import Array
from .optimizer import Optimizer, ParameterGroup


class SGD(Optimizer):
    """v <- momentum v + g, p <- p - lr v; with Nesterov p <- p - lr (g + momentum v); g = grad + weight_decay p."""

    options = ("lr", "momentum", "weight_decay", "nesterov")
    averages = ("velocity",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        if nesterov and not momentum:
            raise ValueError(f"nesterov is True with momentum {momentum!r}, expected a momentum above 0")
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)

    def _update(self, parameter: Parameter, gradient: Array, averages: list[Array], group: ParameterGroup) -> None:
        current().sgd(parameter.array, gradient.reshape(parameter.array.shape), *averages, self.hyper(parameter, group))


class RMSprop(Optimizer):
    """s <- alpha s + (1 - alpha) g**2, v <- momentum v + g / (sqrt(s) + eps), p <- p - lr v.

    g = grad + weight_decay p.
    """

    options = ("lr", "alpha", "eps", "weight_decay", "momentum")
    averages = ("square", "velocity")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ):
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum)

    def _update(self, parameter: Parameter, gradient: Array, averages: list[Array], group: ParameterGroup) -> None:
        current().rmsprop(
            parameter.array, gradient.reshape(parameter.array.shape), *averages, self.hyper(parameter, group)
        )


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g, s <- b2 s + (1 - b2) g**2, p <- p - lr m_hat / (sqrt(s_hat) + eps).

    g = grad + weight_decay p; m_hat and s_hat corrected for starting at 0 (Kingma and Ba 2014).
    """

    options = ("lr", "beta1", "beta2", "eps", "weight_decay", "step")
    averages = ("first", "second")
    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr=lr, beta1=betas[0], beta2=betas[1], eps=eps, weight_decay=weight_decay)

    def _update(self, parameter: Parameter, gradient: Array, averages: list[Array], group: ParameterGroup) -> None:
        gradient = gradient.reshape(parameter.array.shape)
        current().adam(parameter.array, gradient, *averages, self.hyper(parameter, group), self.decoupled)


class AdamW(Adam):
    """Adam with decoupled weight decay: p <- (1 - lr weight_decay) p first, g = grad (Loshchilov and Hutter 2017)."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}
