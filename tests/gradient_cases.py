"""The table of differentiable functions and layers: each row makes a function of tensors and its float64 inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import tinynet as tn
from tinynet import Tensor, nn
from tinynet import functional as F
from tinynet.functional import losses
from tinynet.functional.activations import ACTIVATIONS
from tinynet.functional.losses import LOSSES, PROBABILITIES
from tinynet.nn.module import Module


@dataclass(frozen=True)
class Row:
    function: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...] = ((3, 4),)
    low: float = -2.0
    high: float = 2.0

    def inputs(self) -> list[Tensor]:
        rng = np.random.default_rng(7)
        # Away from kinks: no value is within 0.05 of a whole number or of another value.
        return [Tensor(self.values(rng, shape), requires_grad=True) for shape in self.shapes]

    def values(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape))
        spread = np.linspace(self.low, self.high, size + 2)[1:-1]
        spread += np.where(np.abs(spread - np.round(spread)) < 0.05, 0.07, 0.0)
        return rng.permutation(spread).reshape(shape)


LABELS = np.array([0, 3, 1])
WEIGHTS = np.array([0.5, 1.0, 2.0, 0.1])
TARGET = np.linspace(-1.9, 1.7, 12).reshape(3, 4)
COUNTS = np.arange(12.0).reshape(3, 4)
CONDITIONS = {shape: np.where(TARGET[: shape[0]] > 0, 1.0, 0.0) for shape in ((3, 4), (1, 4))}
BROADCAST = ((3, 4), (4,)), ((3, 4), (3, 1)), ((3, 1), (1, 4)), ((3, 4), ()), ((4,), (3, 4)), ((1, 1), (3, 4))


def arithmetic(function, low=-2.0, high=2.0):
    rows = {f"{a}{b}": Row(function, (a, b), low, high) for a, b in BROADCAST}
    return rows | {
        "same": Row(function, ((3, 4), (3, 4)), low, high),
        "scalars": Row(function, ((), ()), low, high),
        "number": Row(lambda x: function(x, 1.5), ((5,),), low, high),
        "itself": Row(lambda x: function(x, x), ((5,),), low, high),
    }


def dropped(x: Tensor) -> Tensor:
    tn.manual_seed(3)
    return F.dropout(x, 0.4)


LOSS_OPTIONS = {"huber_loss": {"delta": 0.6}, "quantile_loss": {"quantile": 0.9}}
TARGETS = {None: TARGET, PROBABILITIES: COUNTS / 11, losses.COUNTS: COUNTS}


def weighed_loss(loss, options):
    """A loss as it is, and with options that are not the usual ones."""
    function, target = loss.function, TARGETS[loss.within]
    return {
        f"{reduction}{chosen or ''}": Row(lambda x, r=reduction, o=chosen: function(x, target, reduction=r, **o))
        for reduction in ("mean", "sum", "none")
        for chosen in ({}, options)
    } | {"1-D": Row(lambda x: function(x, target[0], **options), ((4,),))}


def one(function, shapes=((3, 4),), low=-2.0, high=2.0):
    return {"": Row(function, shapes, low, high)}


OPTIONS = {"leaky_relu": 0.2, "elu": 0.7, "gelu": "tanh"}


def elementwise(function, option):
    """An activation as it is, and with an option that is not the usual one."""
    rows = {"": Row(function), "1-D": Row(function, ((7,),)), "scalar": Row(function, ((),))}
    return rows if option is None else rows | {f"{option}": Row(lambda x: function(x, option))}


FUNCTIONS: dict[str, dict[str, Row]] = {
    "add": arithmetic(F.add),
    "subtract": arithmetic(F.subtract),
    "multiply": arithmetic(F.multiply),
    "divide": arithmetic(F.divide, 0.5, 3.0),
    "power": arithmetic(F.power, 0.5, 3.0),
    "maximum": {k: v for k, v in arithmetic(F.maximum).items() if k != "itself"},
    "minimum": {k: v for k, v in arithmetic(F.minimum).items() if k != "itself"},
    "lerp": one(F.lerp, ((3, 4), (3, 4), (4,))),
    "negative": one(F.negative),
    "absolute": one(F.absolute),
    "abs": one(abs),
    "clip": {
        "both": Row(lambda x: F.clip(x, -0.5, 1)),
        "low": Row(lambda x: F.clip(x, min=0.5), ((5,),)),
        "high": Row(lambda x: x.clamp(max=0.5), ((),)),
    },
    "where": {
        f"{c}{a}{b}": Row(lambda x, y, c=c: F.where(CONDITIONS[c], x, y), (a, b))
        for c, a, b in (((3, 4), (3, 4), (3, 4)), ((3, 4), (4,), ()), ((1, 4), (3, 1), (1, 4)))
    }
    | {"number": Row(lambda x: F.where(x > 0, x, 2.0)), "of itself": Row(lambda x: F.where(x < 1, x * x, x))},
    "var": {f"{axis}{ddof}": Row(lambda x, a=axis, d=ddof: F.var(x, a, d)) for axis in (None, 0, 1) for ddof in (0, 1)},
    "std": {f"{axis}": Row(lambda x, axis=axis: F.std(x, axis)) for axis in (None, 0, -1)}
    | {"kept": Row(lambda x: x - F.std(x, 1, ddof=1, keepdims=True)), "1-D": Row(F.std, ((5,),))},
    "stack": {
        "rows": Row(lambda a, b: F.stack([a, b, a]), ((4,), (4,))),
        "columns": Row(lambda a, b: F.stack([a, b], axis=1), ((4,), (4,))),
        "scalars": Row(lambda a, b: F.stack([a, b]), ((), ())),
    },
    "exp": one(F.exp) | {"scalar": Row(F.exp, ((),))},
    "log": one(F.log, low=0.3, high=3),
    "sqrt": one(F.sqrt, low=0.3, high=3),
    "sin": one(F.sin),
    "cos": one(F.cos),
    "erf": one(F.erf),
    **{name: elementwise(activation.function, OPTIONS.get(name)) for name, activation in ACTIVATIONS.items()},
    "softmax": one(F.softmax),
    "log_softmax": one(F.log_softmax),
    "matmul": {
        f"{ta}{tb}": Row(
            lambda a, b, ta=ta, tb=tb: F.matmul(a, b, ta, tb), ((4, 3) if ta else (3, 4), (5, 4) if tb else (4, 5))
        )
        for ta in (False, True)
        for tb in (False, True)
    }
    | {
        "row": Row(F.matmul, ((4,), (4, 5))),
        "column": Row(F.matmul, ((3, 4), (4,))),
        "dot": Row(F.matmul, ((4,), (4,))),
    },
    "linear": {
        name: Row(lambda x, w, b, name=name: F.linear(x, w, b, name), ((3, 4), (4, 5), (5,)))
        for name in F.layers.FROM_OUTPUT
    }
    | {"without bias": Row(F.linear, ((3, 4), (4, 5)))},
    "sum": {f"{axis}": Row(lambda x, axis=axis: F.sum(x, axis)) for axis in (None, 0, 1, -1)}
    | {"kept": Row(lambda x: F.sum(x, 1, keepdims=True)), "1-D": Row(F.sum, ((5,),))},
    "mean": {f"{axis}": Row(lambda x, axis=axis: F.mean(x, axis)) for axis in (None, 0, 1)},
    "max": {f"{axis}": Row(lambda x, axis=axis: F.max(x, axis)) for axis in (None, 0, 1)},
    "reshape": one(lambda x: F.reshape(x, 2, -1)),
    "transpose": one(F.transpose),
    "embedding": {
        "whole": Row(lambda x: F.embedding(x, np.array([2, 0, 2]))),
        "floats": Row(lambda x: F.embedding(x, np.array([[2.0, 0.0], [2.0, 1.0]]))),
    },
    "take": {
        "rows": Row(lambda x: F.take(x, [2, 0, 2, -1])),
        "row": Row(lambda x: F.take(x, 1)),
        "slice": Row(lambda x: F.take(x, slice(1, 3))),
        "block": Row(lambda x: F.take(x, (slice(0, 2), slice(1, 3)))),
        "mask": Row(lambda x: F.take(x, np.array([True, False, True]))),
        "1-D": Row(lambda x: F.take(x, [3, 3, 0]), ((5,),)),
    },
    "concatenate": {
        "rows": Row(lambda a, b: F.concatenate([a, b, a]), ((2, 3), (1, 3))),
        "columns": Row(lambda a, b: F.concatenate([a, b, a], axis=1), ((3, 2), (3, 1))),
        "1-D": Row(lambda a, b: F.concatenate([a, b], axis=-1), ((3,), (2,))),
    },
    "grouped_linear": one(lambda x, w, b: F.grouped_linear(x, w, b, 2), ((3, 4), (4, 3), (6,))),
    "dropout": one(dropped),
    "layer_norm": one(F.layer_norm, ((3, 4), (4,), (4,))),
    "batch_norm": one(lambda x, g, b: F.batch_norm(x, g, b, np.zeros(4), np.ones(4)), ((5, 4), (4,), (4,))),
    "batch_norm_inference": one(
        lambda x, g, b: F.batch_norm_inference(x, g, b, np.linspace(0, 1, 4), np.linspace(1, 2, 4)),
        ((3, 4), (4,), (4,)),
    ),
    "cross_entropy": {
        f"{reduction}, {smoothing}, {weight is not None}": Row(
            lambda x, r=reduction, s=smoothing, w=weight: F.cross_entropy(x, LABELS, w, s, r)
        )
        for reduction in ("mean", "sum", "none")
        for smoothing in (0.0, 0.2)
        for weight in (None, WEIGHTS)
    },
    "multi_quantile_loss": {
        reduction: Row(lambda x, r=reduction: F.multi_quantile_loss(x, TARGET[:, 0], (0.1, 0.3, 0.5, 0.9), r))
        for reduction in ("mean", "sum", "none")
    },
    **{name: weighed_loss(loss, LOSS_OPTIONS.get(name, {})) for name, loss in LOSSES.items()},
}

LAYERS: dict[str, Callable[[], Module]] = {
    **{make.__name__: make for make in (*nn.ACTIVATIONS.values(), nn.Softmax, nn.LogSoftmax)},
    "Linear": lambda: nn.Linear(4, 5),
    "Scale": lambda: nn.Scale(4, 0.7),
    "PBLD": lambda: nn.PBLD(4, frequencies=3, units=3, std=0.5),
    "Parametric": lambda: nn.Parametric("selu", 4),
    "TableInput": lambda: nn.TableInput(4, numeric=nn.PBLD(2, frequencies=3)),
    "Monotone": lambda: nn.Monotone(4),
    "Dropout": lambda: nn.Dropout(0.3),
    "BatchNorm1d": lambda: nn.BatchNorm1d(4),
    "LayerNorm": lambda: nn.LayerNorm(4),
    "Residual": lambda: nn.Residual(nn.Linear(4, 4)),
    "Sequential": lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 2)),
}
