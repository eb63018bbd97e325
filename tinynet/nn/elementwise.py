"""Modules made from functions: a function's options become the constructor's, checked there and kept as attributes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..tensor import Tensor
from .module import Module


class Elementwise(Module):
    """function(inputs, options), the options kept as attributes."""

    function: ClassVar[Callable[..., Tensor]]
    options: ClassVar[tuple[str, ...]]

    if TYPE_CHECKING:  # module_of makes each class's own

        def __init__(self, *values: Any, **options: Any) -> None: ...

    def chosen(self) -> dict[str, Any]:
        """The options' values by name."""
        return {name: getattr(self, name) for name in self.options}

    def forward(self, *inputs: Any) -> Tensor:
        return type(self).function(*inputs, **self.chosen()) if self.options else type(self).function(*inputs)

    def extra_repr(self) -> str:
        shown = {name: repr(value) if isinstance(value, str) else value for name, value in self.chosen().items()}
        return ", ".join(f"{name}={value}" for name, value in shown.items() if value != "'none'")


def module_of(
    name: str,
    function: Callable[..., Tensor],
    checks: Mapping[str, Callable[[str, Any], Any]],
    base: type[Elementwise],
    **contents: Any,
) -> type[Elementwise]:
    """The class of that name: the function's formula and options, of which there is a check each, in order."""
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters
    signature = inspect.Signature([itself, *(parameters[option] for option in checks)])

    def initialise(self: Module, *values: Any, **named: Any) -> None:
        try:
            given = signature.bind(self, *values, **named)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        given.apply_defaults()
        for option, check in checks.items():
            check(option, given.arguments[option])
            setattr(self, option, given.arguments[option])

    initialise.__signature__ = signature  # type: ignore[attr-defined]
    contents |= {"__init__": initialise, "function": staticmethod(function), "options": tuple(checks)}
    return type(name, (base,), {"__doc__": function.__doc__, "__module__": base.__module__, **contents})
