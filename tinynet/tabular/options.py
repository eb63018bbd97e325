"""The parameters of the estimators of tables: one row each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions

from kernels import Backend

from ..estimators.parameters import Parameters, above, at_least, parameter
from ..nn import ACTIVATIONS
from ..precision import FLOAT32, PRECISIONS


class TabularParameters(Parameters):
    """What both estimators take. None is what suits the data: see ``recipe``."""

    categorical: Sequence[Any] = parameter(
        [list, tuple], "columns that hold categories, by name, whatever they look like", default=()
    )
    numeric: Sequence[Any] = parameter([list, tuple], "columns that hold numbers, by name", default=())
    ignore: Sequence[Any] = parameter([list, tuple], "columns that are left out, by name", default=())
    min_frequency: int | float | None = parameter(
        [at_least(Integral, 1), Interval(Real, 0, 1, closed="neither"), None],
        "rows, or share of the rows, that a level of a category needs to be told from other rare ones; `None` is 5, or "
        "1 % of fewer than 500 rows",
        default=None,
    )
    embed_numbers: bool = parameter(
        ["boolean"], "whether the net sees, beside each number, where in waves of learned lengths it is (`nn.PBLD`)",
        default=True,
    )  # fmt: skip
    n_members: int | None = parameter(
        [at_least(Integral, 1), None],
        "nets, each with a seed of its own, whose outputs are averaged; they are trained side by side, a core each. "
        "`None` is 1, or with a `time_limit` as many as there is time for",
        default=None,
    )
    time_limit: float | None = parameter(
        [above(Real, 0), None],
        "seconds that `fit` may take: epochs, and then members, are as many as fit",
        default=None,
    )
    hidden_layer_sizes: ArrayLike = parameter(
        ["array-like", at_least(Integral, 1)], "units of each hidden layer", default=(128, 128, 128)
    )
    activation: str | None = parameter(
        [StrOptions(set(ACTIVATIONS)), None],
        "of the hidden layers; `None` is `selu` for classes and `mish` for numbers", default=None,
    )  # fmt: skip
    max_epochs: int | None = parameter(
        [at_least(Integral, 1), None],
        "passes over the rows; the rates fall to 0 with the last. `None` goes by the rows",
        default=None,
    )
    batch_size: int = parameter([at_least(Integral, 1)], "rows of a step, or a few more or fewer", default=256)
    learning_rate_init: float | None = parameter(
        [above(Real, 0), None], "the largest rate of the hidden weights; `None` is 0.04 for classes, 0.07 for numbers",
        default=None,
    )  # fmt: skip
    dropout: float = parameter(
        [Interval(Real, 0, 1, closed="left")], "share of hidden units dropped in training", default=0.15
    )
    weight_decay: float = parameter(
        [at_least(Real, 0)], "share of the weights, times the rate, that each step takes off, as in AdamW", default=0.0
    )
    validation_fraction: float = parameter(
        [Interval(Real, 0, 1, closed="neither")],
        "share of the rows from which nothing is learned; they say which epoch was best. An `eval_set` takes their "
        "place",
        default=0.2,
    )
    patience: int | None = parameter(
        [at_least(Integral, 1), None],
        "epochs without a better score after which training ends; `None` is a wave of the learning rate, of which "
        "there are 4, each twice as long as the one before; as many as `max_epochs` is all",
        default=None,
    )
    random_state: int | np.random.RandomState | None = parameter(
        ["random_state"], "a seed or generator for weights, order of rows and held-out rows", default=None
    )
    verbose: bool | int = parameter(
        ["verbose"], "whether a terminal shows a progress bar with loss, score and samples a second", default=False
    )
    backend: str | Backend | None = parameter(
        [str, Backend, None], "a name or a loaded backend; `None` is the process's", default=None
    )
    threads: int | None = parameter(
        [at_least(Integral, 1), None],
        "how many `fit` and `predict` may use, where the backend takes that; `None` is as many as it would itself",
        default=None,
    )
    metric: str | Callable[..., float] | None = parameter(
        [str, callable, None], "what the held-out rows are scored by; see the class", default=None
    )
    precision: str = parameter(
        [StrOptions(set(PRECISIONS))],
        "of the products of training steps: `float32`, `bfloat16` (factors rounded to it), `auto` (bfloat16 where that "
        "is faster)",
        default=FLOAT32,
    )
