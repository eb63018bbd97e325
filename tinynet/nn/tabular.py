"""Layers for tables: embeddings of numbers and of categories, activations that are learned, outputs in order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .. import functional as F
from ..checks import check_above_0, check_positive, check_whole, choose
from ..tensor import Tensor
from .activations import ACTIVATIONS
from .init import normal, ones, uniform
from .layers import Embedding, check_input
from .module import Module, Parameter, described

USUAL_DIM = 8  # of RealMLP's embeddings


class PBLD(Module):
    """y = x, and for each column j the units - 1 numbers cos(x_j frequency_j + phase_j) weight_j + bias_j.

    Periodic embeddings with bias, linear, dense (Holzmueller et al. 2024, arXiv 2407.04491, section 3, after Gorishniy
    et al. 2022, arXiv 2203.05556): a net sees both a number and where in several waves it is. frequency (features,
    frequencies) holds 2 pi w, and rates are such that w is what is learned. phase (features * frequencies,), weight
    (features * frequencies, units - 1), bias (features * (units - 1),). Output: (rows, features * units).

    Args:
        features: columns.
        frequencies: waves for each of them.
        units: numbers for each of them, itself included.
        std: standard deviation of w at first.
        lr_factor: what the learning rate is multiplied by for all four; the paper's is 0.1.
    """

    def __init__(self, features: int, frequencies: int = 16, units: int = 4, std: float = 0.1, lr_factor: float = 1.0):
        self.features = check_positive("features", features)
        self.frequencies = check_positive("frequencies", frequencies)
        self.units = check_whole("units", units, 2)
        std, waves, bound = check_above_0("std", std), features * frequencies, 1 / math.sqrt(frequencies)
        turn, learned = 2 * math.pi, features * (units - 1)
        self.frequency = Parameter(normal((features, frequencies), 0.0, turn * std), lr_factor=lr_factor, scale=turn)
        self.phase = Parameter(uniform((waves,), -math.pi, math.pi), lr_factor=lr_factor)
        self.weight = Parameter(uniform((waves, units - 1), -bound, bound), lr_factor=lr_factor)
        self.bias = Parameter(uniform((learned,), -bound, bound), lr_factor=lr_factor)

    @property
    def out_features(self) -> int:
        """Columns of the output."""
        return self.features * self.units

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, self.features)
        waves = F.cos(F.grouped_linear(x, self.frequency, self.phase, self.features))
        return F.concatenate([x, F.grouped_linear(waves, self.weight, self.bias, self.features)], axis=1)

    def extra_repr(self) -> str:
        return described(
            self.features,
            frequencies=(self.frequencies, 16),
            units=(self.units, 4),
            lr_factor=(self.weight.lr_factor, 1.0),
        )


class Parametric(Module):
    """y_ij = x_ij + weight_j (activation(x_ij) - x_ij). weight (features,), 1 at first.

    Each unit learns how much of its activation it wants (Holzmueller et al. 2024, arXiv 2407.04491, with a tenth of the
    learning rate: lr_factor=0.1).

    Args:
        activation: a name such as selu, or a module that keeps shapes.
        features: columns.
        lr_factor: what the learning rate is multiplied by.
    """

    def __init__(self, activation: str | Module, features: int, lr_factor: float = 1.0):
        if not isinstance(activation, Module):
            activation = ACTIVATIONS[choose("activation", activation, ACTIVATIONS)]()
        self.activation, self.features = activation, check_positive("features", features)
        self.weight = Parameter(ones((features,)), lr_factor=lr_factor)

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, self.features)
        return F.lerp(x, self.activation(x), self.weight)

    def extra_repr(self) -> str:
        return described(self.features, lr_factor=(self.weight.lr_factor, 1.0))


class TableInput(Module):
    """y = (dense columns, embedding_1(code_1), embedding_2(code_2), ...), side by side.

    Input: (rows, dense + columns of codes), of which the last hold codes of levels, whole numbers from 0; 0 is for a
    blank or a level that is not known, whose vector is 0 at first. An embedding of as many dimensions as the next layer
    has units does what a one-hot column of each level would, without such columns.

    Args:
        dense: columns that pass as they are.
        codes: for each further column, how many codes there are, 0 included: its codes are below.
        dims: dimensions of each embedding; by default 8 (RealMLP's, Holzmueller et al. 2024, arXiv 2407.04491), or
            one fewer than there are codes where that is less.
        numeric: a module such as PBLD for the first ``numeric.features`` of the dense columns; the others pass.
        lr_factor: what the learning rate of the embeddings is multiplied by.

    Raises:
        ValueError: there is nothing to take, or lists do not fit.
    """

    def __init__(
        self,
        dense: int,
        codes: Sequence[int] = (),
        dims: Sequence[int] | None = None,
        numeric: PBLD | None = None,
        lr_factor: float = 1.0,
    ):
        self.dense = check_whole("dense", dense)
        self.codes = tuple(check_positive("codes", count) for count in codes)
        usual = [min(USUAL_DIM, max(count - 1, 1)) for count in self.codes]
        self.dims = tuple(check_positive("dims", dim) for dim in (usual if dims is None else dims))
        if len(self.dims) != len(self.codes):
            raise ValueError(f"dims has {len(self.dims)} numbers, expected {len(self.codes)} as codes has")
        if not dense + len(self.codes):
            raise ValueError("dense is 0 and codes is empty, expected one column or more")
        if numeric is not None and numeric.features > dense:
            raise ValueError(f"numeric takes {numeric.features} columns, expected at most {dense} as dense says")
        self.numeric = numeric
        self.embeddings = tuple(
            Embedding(n, dim, lr_factor=lr_factor) for n, dim in zip(self.codes, self.dims, strict=True)
        )
        for embedding in self.embeddings:
            embedding.weight.data[0] = 0.0

    @property
    def in_features(self) -> int:
        """Columns of the input."""
        return self.dense + len(self.codes)

    @property
    def out_features(self) -> int:
        """Columns of the output."""
        more = 0 if self.numeric is None else self.numeric.out_features - self.numeric.features
        return self.dense + more + sum(self.dims)

    def children(self) -> Iterator[tuple[str, Module]]:
        yield from super().children()
        yield from ((str(position), module) for position, module in enumerate(self.embeddings))

    def parts(self) -> Iterator[tuple[int, int, str, Module | None]]:
        """Ranges of columns, each with the name of the module that takes them, and the module; None: they pass."""
        numbers = 0
        if self.numeric is not None:
            numbers = self.numeric.features
            yield 0, numbers, "numeric", self.numeric
        if numbers < self.dense:
            yield numbers, self.dense, "", None
        for position, embedding in enumerate(self.embeddings):
            yield self.dense + position, self.dense + position + 1, str(position), embedding

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, self.in_features)
        found = []
        for start, end, _, module in self.parts():
            columns = F.take(x, (slice(None), slice(start, end)))
            found.append(columns if module is None else module(columns))
        return F.concatenate(found, axis=1)

    def extra_repr(self) -> str:
        return described(self.dense, codes=(self.codes, ()), dims=(self.dims, ()))


class Monotone(Module):
    """y_0 = x_0, y_j = y_{j-1} + ln(1 + e**x_j): outputs that do not decrease, such as quantiles that do not cross.

    columns: how many.
    """

    def __init__(self, columns: int):
        self.columns = check_positive("columns", columns)

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, self.columns)
        found = [F.take(x, (slice(None), slice(0, 1)))]
        if self.columns > 1:
            steps = F.softplus(F.take(x, (slice(None), slice(1, None))))
            for j in range(self.columns - 1):
                found.append(F.add(found[-1], F.take(steps, (slice(None), slice(j, j + 1)))))
        return F.concatenate(found, axis=1)

    def extra_repr(self) -> str:
        return str(self.columns)
