"""Modules made of modules: Sequential, ModuleList, ModuleDict, Residual, and the multilayer perceptron builder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any, Self

from .. import functional as F
from ..checks import check_fraction, check_positive, choose
from ..tensor import Tensor
from .activations import ACTIVATIONS
from .layers import BatchNorm1d, Dropout, LayerNorm, Linear
from .module import Module

NORMS: dict[str, Callable[[int], Module] | None] = {"none": None, "batch": BatchNorm1d, "layer": LayerNorm}


class Sequential(Module):
    """y = m_n(... m_2(m_1(x)))."""

    def __init__(self, *modules: Module):
        self.modules = tuple(_module("Sequential", position, module) for position, module in enumerate(modules))

    def children(self) -> Iterator[tuple[str, Module]]:
        return ((str(position), module) for position, module in enumerate(self.modules))

    def forward(self, x: Tensor) -> Tensor:
        for module in self.modules:
            x = module(x)
        return x

    def __getitem__(self, position: int) -> Module:
        return self.modules[position]

    def __len__(self) -> int:
        return len(self.modules)


class ModuleList(Module):
    """Modules in order, for a ``forward`` of one's own: ``for layer in self.layers: x = layer(x)``."""

    def __init__(self, modules: Iterable[Module] = ()):
        self.modules: list[Module] = []
        self.extend(modules)

    def append(self, module: Module) -> Self:
        """Adds a module at the end."""
        self.modules.append(_module("ModuleList", len(self), module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Adds modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def children(self) -> Iterator[tuple[str, Module]]:
        return ((str(position), module) for position, module in enumerate(self.modules))

    def __getitem__(self, position: int) -> Module:
        return self.modules[position]

    def __setitem__(self, position: int, module: Module) -> None:
        self.modules[position] = _module("ModuleList", position, module)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)


class ModuleDict(Module):
    """Modules by name, for a ``forward`` of one's own: ``self.heads["price"](x)``."""

    def __init__(self, modules: Mapping[str, Module] | None = None):
        self.modules: dict[str, Module] = {}
        for name, module in (modules or {}).items():
            self[name] = module

    def children(self) -> Iterator[tuple[str, Module]]:
        return iter(self.modules.items())

    def __getitem__(self, name: str) -> Module:
        return self.modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"ModuleDict: name is {name!r}, expected a text without dots")
        self.modules[name] = _module("ModuleDict", name, module)

    def __contains__(self, name: object) -> bool:
        return name in self.modules

    def __iter__(self) -> Iterator[str]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self.modules.keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self.modules.values()

    def items(self) -> ItemsView[str, Module]:
        """Names and modules."""
        return self.modules.items()


def _module(owner: str, place: Any, module: Any) -> Module:
    if not isinstance(module, Module):
        raise TypeError(f"{owner}: item {place} is a {type(module).__name__}, expected a Module")
    return module


class Residual(Module):
    """y = x + inner(x) (He et al. 2015, arXiv 1512.03385)."""

    def __init__(self, inner: Module):
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        if y.shape != x.shape:
            raise ValueError(f"Residual: the inner module turns shape {x.shape} into {y.shape}, expected the same")
        return F.add(x, y)


def multilayer_perceptron(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    activation: str = "relu",
    dropout: float = 0.0,
    norm: str = "none",
) -> Sequential:
    """Linear, then [norm,] activation [, dropout] for each hidden width, and a last Linear without any."""
    activation, norm = choose("activation", activation, ACTIVATIONS), choose("norm", norm, NORMS)
    check_fraction("dropout", dropout)
    initialiser = "glorot_uniform" if activation in ("tanh", "sigmoid", "identity") else "he_uniform"
    modules: list[Module] = []
    widths = [check_positive("inputs", inputs), *(check_positive("hidden", width) for width in hidden)]
    for fan_in, fan_out in itertools.pairwise(widths):
        modules.append(Linear(fan_in, fan_out, initialiser=initialiser))
        normalisation = NORMS[norm]
        if normalisation is not None:
            modules.append(normalisation(fan_out))
        modules.append(ACTIVATIONS[activation]())
        if dropout:
            modules.append(Dropout(dropout))
    modules.append(Linear(widths[-1], outputs, initialiser="glorot_uniform"))
    return Sequential(*modules)
