"""Activations as modules. ``ACTIVATIONS`` maps the names of the command line and the estimators to their classes."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .elementwise import Elementwise, module_of
from .module import Module


class Identity(Module):
    """y = x."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Activation(Elementwise):
    """y = function(x, options)."""


class Softmax(Module):
    """y_ij = e**x_ij / sum_j e**x_ij."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x)


class LogSoftmax(Module):
    """y_ij = x_ij - ln sum_j e**x_ij."""

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x)


ACTIVATIONS: dict[str, type[Module]] = {
    "identity": Identity,
    **{
        name: module_of(made.module, made.function, made.checks, Activation, __doc__=f"y = {made.function.__doc__}")
        for name, made in F.activations.ACTIVATIONS.items()
    },
}
globals().update({module.__name__: module for module in ACTIVATIONS.values()})  # where pickle looks for them
