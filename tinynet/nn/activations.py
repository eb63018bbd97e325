"""Activations as modules. ``ACTIVATIONS`` maps the names of the command line and the estimators to their classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from .. import functional as F
from ..functional.activations import Activation
from ..tensor import Tensor
from .module import Module


class Identity(Module):
    """y = x."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Elementwise(Module):
    """y = function(x, options), the options kept as attributes."""

    function: ClassVar[Callable[..., Tensor]]
    options: ClassVar[tuple[str, ...]]

    def chosen(self) -> dict[str, Any]:
        """The options' values by name."""
        return {name: getattr(self, name) for name in self.options}

    def forward(self, x: Tensor) -> Tensor:
        return type(self).function(x, **self.chosen())

    def extra_repr(self) -> str:
        shown = {name: repr(value) if isinstance(value, str) else value for name, value in self.chosen().items()}
        return ", ".join(f"{name}={value}" for name, value in shown.items() if value != "'none'")


def module_of(activation: Activation) -> type[Module]:
    """The class of an activation: its function's formula, options and checks, under the name that it gives."""
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    options = list(inspect.signature(activation.function).parameters.values())[1:]
    signature = inspect.Signature([itself, *options])

    def initialise(self: Module, *values: Any, **named: Any) -> None:
        try:
            given = signature.bind(self, *values, **named)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        given.apply_defaults()
        for name, check in activation.checks.items():
            check(name, given.arguments[name])
            setattr(self, name, given.arguments[name])

    initialise.__signature__ = signature  # type: ignore[attr-defined]
    contents = {
        "__doc__": f"y = {activation.function.__doc__}",
        "__module__": __name__,
        "__init__": initialise,
        "function": staticmethod(activation.function),
        "options": tuple(activation.checks),
    }
    return type(activation.module, (Elementwise,), contents)


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
    **{name: module_of(activation) for name, activation in F.activations.ACTIVATIONS.items()},
}
globals().update({module.__name__: module for module in ACTIVATIONS.values()})  # where pickle looks for them
