"""Layers with parameters or state: Linear, Dropout, BatchNorm1d, LayerNorm, Embedding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.program import read_by_value

from .. import functional as F
from ..checks import check_fraction, check_positive, choose
from ..randomness import draw_seed
from ..tensor import Array, Tensor
from .init import INITIALISERS, normal, ones, zeros
from .module import Module, Parameter

Initialiser = str | Callable[[tuple[int, ...]], Array]


def initial(initialiser: Initialiser, shape: tuple[int, ...]) -> Array:
    """An initialiser's weights, by name or as a function of the shape."""
    make = (
        INITIALISERS[choose("initialiser", initialiser, INITIALISERS)] if isinstance(initialiser, str) else initialiser
    )
    array = np.asarray(make(shape))
    if array.shape != shape:
        raise ValueError(f"the initialiser returned shape {array.shape}, expected {shape}")
    return array


class Linear(Module):
    """y = x weight + bias. weight (in_features, out_features), as in scikit-learn's coefs_; bias (out_features,).

    activation: one of F.layers.FROM_OUTPUT, such as relu, fused into the product. initialiser: a name from nn.init or a
    function of the shape; He's for ReLU networks by default.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: str = "identity",
        initialiser: Initialiser = "he_uniform",
    ):
        self.in_features = check_positive("in_features", in_features)
        self.out_features = check_positive("out_features", out_features)
        self.activation = choose("activation", activation, F.layers.FROM_OUTPUT)
        self.weight = Parameter(initial(initialiser, (in_features, out_features)))
        self.bias = Parameter(zeros((out_features,))) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, self.in_features)
        return F.linear(x, self.weight, self.bias, self.activation)

    def extra_repr(self) -> str:
        fused = "" if self.activation == "identity" else f", activation={self.activation!r}"
        return f"{self.in_features}, {self.out_features}" + (", bias=False" if self.bias is None else "") + fused


def check_input(layer: Module, x: Any, features: int) -> None:
    """Refuses an input that is no (rows, features) tensor of the layer's dtype, naming the layer and both shapes."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{layer!r} got a {type(x).__name__}, expected a Tensor")
    if x.ndim != 2 or x.shape[1] != features:
        raise ValueError(f"{layer!r} got an input of shape {x.shape}, expected (rows, {features})")
    parameter = next(iter(layer.parameters()), x)
    if parameter.dtype != x.dtype:
        raise TypeError(f"{layer!r} has {parameter.dtype} parameters but got a {x.dtype} input: use model.to(dtype)")


class Dropout(Module):
    """y = x with each element set to 0 with probability p and the others divided by 1 - p; in evaluation y = x.

    The masks are a sequence fixed by a seed drawn at construction (tn.manual_seed), the same on every backend. The
    probability is kept in an array that kernels read, so that it may change while steps are replayed.
    """

    float64_state = frozenset({"counter"})
    scheduled = False  # a schedule drives p

    def __init__(self, p: float = 0.5):
        self._rate = (np.zeros(1),)  # an option, and so no buffer
        self.p = p
        self.seed, self.counter = np.array([draw_seed()], np.uint64), np.zeros(1)

    @property
    def rate(self) -> Array:
        """The probability where kernels read it: one float64."""
        return self._rate[0]

    @property
    def p(self) -> float:
        """The probability, in [0, 1)."""
        read_by_value(self.rate)
        return float(self.rate[0])

    @p.setter
    def p(self, p: float) -> None:
        self.rate[0] = check_fraction("p", p)
        self.drops = self.scheduled or p > 0  # whether masks are drawn: a recorded step does not choose

    def forward(self, x: Tensor) -> Tensor:
        drawn = self.training and self.drops
        return F.dropout(x, self.counter, int(self.seed[0]), self.rate) if drawn else x

    def extra_repr(self) -> str:
        return "p=scheduled" if self.scheduled else f"p={self.p}"


class BatchNorm1d(Module):
    """y = weight (x - mean) / sqrt(variance + eps) + bias, over the batch in training, running averages in evaluation.

    running <- (1 - momentum) running + momentum batch, with the unbiased variance (Ioffe and Szegedy 2015).
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        self.num_features = check_positive("num_features", num_features)
        self.eps, self.momentum = eps, check_fraction("momentum", momentum, closed=True)
        self.weight, self.bias = Parameter(ones((num_features,))), Parameter(zeros((num_features,)))
        self.running_mean, self.running_variance = zeros((num_features,)), ones((num_features,))

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, self.num_features)
        if not self.training:
            return F.batch_norm_inference(
                x, self.weight, self.bias, self.running_mean, self.running_variance, self.eps
            )  # fmt: skip
        if x.shape[0] < 2:
            raise ValueError(f"{self!r} got a batch of {x.shape[0]} rows, expected at least 2 in training")
        return F.batch_norm(
            x, self.weight, self.bias, self.running_mean, self.running_variance, self.momentum, self.eps
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class LayerNorm(Module):
    """y = weight (x - mean) / sqrt(variance + eps) + bias, over each row (Ba et al. 2016)."""

    def __init__(self, normalized_shape: int, eps: float = 1e-5):
        self.normalized_shape, self.eps = check_positive("normalized_shape", normalized_shape), eps
        self.weight, self.bias = Parameter(ones((normalized_shape,))), Parameter(zeros((normalized_shape,)))

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, self.normalized_shape)
        return F.layer_norm(x, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class Embedding(Module):
    """y_i = the concatenated rows of weight that row i of the input names: categorical columns as learned vectors.

    Input: category numbers, (rows,) or (rows, columns), whole numbers in [0, num_embeddings); output (rows,
    columns * embedding_dim). Columns with categories of their own need an Embedding each.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, initialiser: Initialiser = normal):
        self.num_embeddings = check_positive("num_embeddings", num_embeddings)
        self.embedding_dim = check_positive("embedding_dim", embedding_dim)
        self.weight = Parameter(initial(initialiser, (num_embeddings, embedding_dim)))

    def forward(self, categories: Any) -> Tensor:
        array = np.asarray(categories.data if isinstance(categories, Tensor) else categories)
        if array.ndim not in (1, 2):
            raise ValueError(f"{self!r} got categories of shape {array.shape}, expected (rows,) or (rows, columns)")
        if array.dtype.kind not in "iuf" or not np.array_equal(np.trunc(array), array):
            raise TypeError(f"{self!r} got categories of dtype {array.dtype}, expected whole numbers")
        if array.size and (array.min() < 0 or array.max() >= self.num_embeddings):
            bad = array.min() if array.min() < 0 else array.max()
            raise ValueError(f"{self!r} got the category {bad:g}, expected one in [0, {self.num_embeddings})")
        columns = 1 if array.ndim == 1 else array.shape[1]
        return F.reshape(F.embedding(self.weight, array), len(array), columns * self.embedding_dim)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
