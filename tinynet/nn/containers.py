"""Modules made of modules: Sequential, Residual, and the multilayer perceptron builder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

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
        for position, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: item {position} is a {type(module).__name__}, expected a Module")
        self.modules = modules

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
