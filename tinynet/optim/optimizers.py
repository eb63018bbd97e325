"""The optimizers: each names its kernel, whose formula is with its declaration in kernels.contract.optimizers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..checks import choose
from ..nn import Module, Parameter
from .optimizer import Optimizer


class SGD(Optimizer):
    """v <- momentum v + g, p <- p - lr v; with Nesterov p <- p - lr (g + momentum v); g = grad + weight_decay p."""

    options = ("lr", "momentum", "weight_decay", "nesterov")
    averages = ("velocity",)
    kernel = "sgd"
    scaling: ClassVar[Mapping[str, int] | None] = {"lr": 2, "weight_decay": -2}
    suited = (0.03, 0.01)

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


class RMSprop(Optimizer):
    """s <- alpha s + (1 - alpha) g**2, v <- momentum v + g / (sqrt(s) + eps), p <- p - lr v.

    g = grad + weight_decay p.
    """

    options = ("lr", "alpha", "eps", "weight_decay", "momentum")
    averages = ("square", "velocity")
    kernel = "rmsprop"
    scaling: ClassVar[Mapping[str, int] | None] = {"lr": 1, "eps": -1, "weight_decay": -2}
    suited = (0.001, 0.01)

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


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g, s <- b2 s + (1 - b2) g**2, p <- p - lr m_hat / (sqrt(s_hat) + eps).

    g = grad + weight_decay p; m_hat and s_hat corrected for starting at 0 (Kingma and Ba 2014).
    """

    options = ("lr", "beta1", "beta2", "eps", "weight_decay", "step")
    averages = ("first", "second")
    kernel = "adam"
    scaling: ClassVar[Mapping[str, int] | None] = {"lr": 1, "eps": -1, "weight_decay": -2}
    suited = (0.003, 0.01)
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

    def flags(self) -> tuple[bool, ...]:
        return (self.decoupled,)


class AdamW(Adam):
    """Adam with decoupled weight decay: p <- (1 - lr weight_decay) p first, g = grad (Loshchilov and Hutter 2017)."""

    suited = (0.003, 1.0)  # the decay shrinks weights by the share lr * decay a step
    decoupled = True
    scaling: ClassVar[Mapping[str, int] | None] = {"lr": 1, "eps": -1, "weight_decay": -1}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)


class RAdam(Adam):
    """Adam that trusts s as far as it is an average of enough gradients: p <- p - lr m_hat r / (sqrt(s) + eps).

    r grows from 0 with the steps; in the first few, p <- p - lr m_hat (Liu et al. 2019, arXiv 1908.03265).
    """

    kernel = "radam"
    scaling: ClassVar[Mapping[str, int] | None] = None  # its first steps are not divided by the root of s
    suited = (0.01, 0.01)

    def flags(self) -> tuple[bool, ...]:
        return ()


def parameter_groups(
    params: Module | Iterable[Parameter], optimizer: type[Optimizer] = Adam, **options: Any
) -> list[dict[str, Any]]:
    """Groups for an optimizer: lr * lr_factor and weight_decay * decay_factor, factors as each parameter says.

    A parameter kept as s w, as nn.Linear(parametrisation="ntk") keeps its weight, gets the options with which s w moves
    as w alone would with those given, but for rounding. With g the gradient with respect to w, the kept one's is g / s:

    ========== ======= ======= ============
    optimizer  lr      eps     weight_decay
    ========== ======= ======= ============
    SGD        * s**2          / s**2
    RMSprop    * s     / s     / s**2
    Adam       * s     / s     / s**2
    AdamW      * s     / s     / s
    ========== ======= ======= ============

    An optimizer that is given parameters instead of groups makes these groups itself; groups that it is given stay as
    they are.

    Args:
        params: a model, or parameters.
        optimizer: the class that the groups are for.
        **options: of that class; they are in every group. One that is not given is the class's default, or what the
            optimizer is made with.

    Returns:
        A dict ``{"params": [...], "lr": ..., ...}`` for each set of parameters with equal factors, in their order.

    Raises:
        ValueError: an option that the optimizer has not, or a parameter kept as s w for one that is not above.
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(optimizer).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    for name in options:
        choose("optimizer option", name, defaults)
    found = list(params.parameters() if isinstance(params, Module) else params)
    every = {**defaults, **options}
    return [{**options, **group} for group in optimizer.groups_of(found, every)]
