"""Layers with parameters or state: Linear, Scale, Dropout, BatchNorm1d, LayerNorm, Embedding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.program import read_by_value

from .. import functional as F
from ..checks import check_fraction, check_number, check_positive, choose
from ..randomness import draw_seed
from ..tensor import Array, Tensor
from .init import INITIALISERS, normal, ones, zeros
from .module import Module, Parameter, described

Initialiser = str | Callable[[tuple[int, ...]], Array]


def initial(initialiser: Initialiser, shape: tuple[int, ...], name: str = "initialiser") -> Array:
    """An initialiser's weights, by name or as a function of the shape."""
    make = INITIALISERS[choose(name, initialiser, INITIALISERS)] if isinstance(initialiser, str) else initialiser
    array = np.asarray(make(shape))
    if array.shape != shape:
        raise ValueError(f"the {name} returned shape {array.shape}, expected {shape}")
    return array


# How the learned weights W, of fan-in n, are drawn by default, and the factor s: a layer keeps s W for its product.
PARAMETRISATIONS: dict[str, tuple[str, Callable[[int], float]]] = {
    "standard": ("he_uniform", lambda fan_in: 1.0),
    "ntk": ("normal", lambda fan_in: 1 / math.sqrt(fan_in)),
}


class Linear(Module):
    """y = x weight + bias. weight (in_features, out_features), as in scikit-learn's coefs_; bias (out_features,).

    With parametrisation="ntk" y = x W / sqrt(in_features) + bias (Jacot et al. 2018, arXiv 1806.07572): weight holds
    W / sqrt(in_features), so that a step costs no more, and the optimizer gives it the rates with which it moves as W
    would (``optim.parameter_groups``).

    Args:
        activation: one of F.layers.FROM_OUTPUT, such as relu, fused into the product.
        initialiser: a name from nn.init or a function of the shape, which draws W; He's for ReLU networks by default,
            normal for ntk.
        bias_initialiser: likewise.
        parametrisation: standard or ntk.
        lr_factor, bias_lr_factor: what the learning rate is multiplied by for weight and for bias.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: str = "identity",
        initialiser: Initialiser | None = None,
        bias_initialiser: Initialiser = "zeros",
        parametrisation: str = "standard",
        lr_factor: float = 1.0,
        bias_lr_factor: float = 1.0,
    ):
        self.in_features = check_positive("in_features", in_features)
        self.out_features = check_positive("out_features", out_features)
        self.activation = choose("activation", activation, F.layers.FROM_OUTPUT)
        self.parametrisation = choose("parametrisation", parametrisation, PARAMETRISATIONS)
        usual, scale_of = PARAMETRISATIONS[parametrisation]
        drawn, scale = initial(initialiser or usual, (in_features, out_features)), scale_of(in_features)
        self.weight = Parameter(drawn if scale == 1 else drawn * scale, lr_factor=lr_factor, scale=scale)
        self.bias: Parameter | None = None
        if bias:
            drawn = initial(bias_initialiser, (out_features,), "bias_initialiser")
            self.bias = Parameter(drawn, lr_factor=bias_lr_factor)

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, self.in_features)
        return F.linear(x, self.weight, self.bias, self.activation)

    def extra_repr(self) -> str:
        return described(
            self.in_features,
            self.out_features,
            bias=(self.bias is not None, True),
            activation=(self.activation, "identity"),
            parametrisation=(self.parametrisation, "standard"),
            lr_factor=(self.weight.lr_factor, 1.0),
            bias_lr_factor=(1.0 if self.bias is None else self.bias.lr_factor, 1.0),
        )


class Scale(Module):
    """y_ij = x_ij weight_j. weight (features,).

    In front of a network it learns which columns matter (Holzmueller et al. 2024, arXiv 2407.04491, with a learning
    rate six times that of the other weights: lr_factor=6).

    Args:
        initial: what each weight is at first.
        lr_factor: what the learning rate is multiplied by.
    """

    def __init__(self, features: int, initial: float = 1.0, lr_factor: float = 1.0):
        self.features = check_positive("features", features)
        start = np.full((features,), check_number("initial", initial), np.float32)
        self.weight = Parameter(start, lr_factor=lr_factor)

    def forward(self, x: Tensor) -> Tensor:
        check_input(self, x, self.features)
        return F.multiply(x, self.weight)

    def extra_repr(self) -> str:
        return described(self.features, lr_factor=(self.weight.lr_factor, 1.0))


def check_input(layer: Module, x: Any, features: int) -> None:
    """Refuses an input that is no (rows, features) tensor of the layer's dtype, naming the layer and both shapes."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{layer!r} got a {type(x).__name__}, expected a Tensor")
    if x.ndim != 2 or x.shape[1] != features:
        raise ValueError(f"{layer!r} got an input of shape {x.shape}, expected (rows, {features})")
    parameter = next((parameter for _, parameter in layer.named_parameters()), x)
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
        return F.layers.counted_dropout(x, self.counter, int(self.seed[0]), self.rate) if drawn else x

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

    def __init__(
        self, num_embeddings: int, embedding_dim: int, initialiser: Initialiser = normal, lr_factor: float = 1.0
    ):
        self.num_embeddings = check_positive("num_embeddings", num_embeddings)
        self.embedding_dim = check_positive("embedding_dim", embedding_dim)
        self.weight = Parameter(initial(initialiser, (num_embeddings, embedding_dim)), lr_factor=lr_factor)

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
        return described(self.num_embeddings, self.embedding_dim, lr_factor=(self.weight.lr_factor, 1.0))
