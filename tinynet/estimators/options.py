"""The estimators' parameters: what each takes, what one for every hidden layer becomes, and what contradicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from kernels import Backend
from kernels.contract.dtypes import FLOAT_NAMES

from ..nn import ACTIVATIONS, NORMS
from ..precision import FLOAT32, PRECISIONS
from ..schedule import SCHEDULES, Schedule
from ..training.callbacks import EarlyStopping
from .objectives import takes_weights
from .parameters import Parameters, above, at_least, parameter

HIDDEN_ACTIVATIONS = {"logistic", *ACTIVATIONS} - {"sigmoid"}  # scikit-learn's four, and tinynet's others
SCIKIT_RATES = ("constant", "invscaling", "adaptive")


class PerceptronParameters(Parameters):
    """What both estimators take: scikit-learn's parameters in its order with its defaults, then tinynet's."""

    hidden_layer_sizes: ArrayLike = parameter(
        ["array-like", at_least(Integral, 1)], "units of each hidden layer", default=(100,), kw_only=False
    )
    activation: str | Sequence[str] = parameter(
        [StrOptions(HIDDEN_ACTIVATIONS), list, tuple],
        "`identity`, `logistic`, `tanh`, `relu`; also tinynet's others (`gelu`, `silu`, ...), and a list, a name for "
        "each hidden layer",
        default="relu", kw_only=False,
    )  # fmt: skip
    solver: str = parameter(
        [StrOptions({"lbfgs", "sgd", "adam"})],
        "`adam` and `sgd` on recorded steps; `lbfgs` by SciPy, always in float64", default="adam",
    )  # fmt: skip
    alpha: float = parameter([at_least(Real, 0)], "strength of the L2 penalty", default=0.0001)
    batch_size: int | str = parameter(
        [StrOptions({"auto"}), at_least(Integral, 1)], "rows of a batch; `auto` is min(200, rows)", default="auto"
    )
    learning_rate: str | Schedule = parameter(
        [StrOptions({*SCIKIT_RATES, *SCHEDULES}), Schedule],
        "`constant`, `invscaling`, `adaptive`, for `sgd`; also tinynet's schedules, by name or as an object, for "
        "`adam` too",
        default="constant",
    )
    learning_rate_init: float = parameter([above(Real, 0)], "the first learning rate", default=0.001)
    power_t: float = parameter([at_least(Real, 0)], "the exponent of `invscaling`", default=0.5)
    max_iter: int = parameter([at_least(Integral, 1)], "the most epochs; for `lbfgs` iterations", default=200)
    shuffle: bool = parameter(["boolean"], "whether each epoch has its own order of rows", default=True)
    random_state: int | np.random.RandomState | None = parameter(
        ["random_state"],
        "a seed or generator for initial weights, order of rows, held-out rows and dropout",
        default=None,
    )
    tol: float = parameter([at_least(Real, 0)], "the least improvement that counts", default=1e-4)
    verbose: bool | int = parameter(
        ["verbose"],
        "whether a terminal shows a progress bar, instead of a line an iteration; `lbfgs` shows none",
        default=False,
    )
    warm_start: bool = parameter(
        ["boolean"], "whether `fit` goes on with the weights; other hidden layers are refused", default=False
    )
    momentum: float = parameter([Interval(Real, 0, 1, closed="both")], "the momentum of `sgd`", default=0.9)
    nesterovs_momentum: bool = parameter(["boolean"], "whether the momentum of `sgd` is Nesterov's", default=True)
    early_stopping: bool = parameter(
        ["boolean"], "the same rows are held out, the same rule stops; or an `eval_set` decides", default=False
    )
    validation_fraction: float = parameter(
        [Interval(Real, 0, 1, closed="left")], "the share of rows that early stopping holds out", default=0.1
    )
    beta_1: float = parameter(
        [Interval(Real, 0, 1, closed="left")], "decay of `adam`'s average of gradients", default=0.9
    )
    beta_2: float = parameter(
        [Interval(Real, 0, 1, closed="left")], "decay of `adam`'s average of their squares", default=0.999
    )
    epsilon: float = parameter([above(Real, 0)], "what `adam` adds to the root of the latter", default=1e-8)
    n_iter_no_change: float = parameter(
        [at_least(Integral, 1), Options(Real, {np.inf})], "epochs without improvement that end a fit", default=10
    )
    max_fun: int = parameter([at_least(Integral, 1)], "the most evaluations of the loss by `lbfgs`", default=15000)
    backend: str | Backend | None = parameter(
        [str, Backend, None], "a name or a loaded backend; `None` is the process's", default=None
    )
    dtype: DTypeLike = parameter(
        [StrOptions(set(FLOAT_NAMES)), type, np.dtype],
        "of weights and outputs, " + " or ".join(f"`{name}`" for name in FLOAT_NAMES), default=FLOAT_NAMES[0],
    )  # fmt: skip
    dropout: float | Sequence[float] = parameter(
        [Interval(Real, 0, 1, closed="left"), list, tuple],
        "probability after each hidden layer, one for all or a list", default=0.0,
    )  # fmt: skip
    norm: str | Sequence[str] = parameter(
        [StrOptions(set(NORMS)), list, tuple],
        "`none`, `batch` or `layer`, before each activation, one for all or a list", default="none",
    )  # fmt: skip
    weight_decay: float = parameter(
        [at_least(Real, 0)],
        "decoupled, as in AdamW: before each update, weights (not biases) shrink by the factor 1 - rate * "
        "`weight_decay`; with `sgd` too",
        default=0.0,
    )
    max_grad_norm: float | None = parameter(
        [above(Real, 0), None],
        "the largest norm of a step's gradient, of all layers together, without that of the penalty `alpha`",
        default=None,
    )
    scoring: str | Callable[..., float] | None = parameter(
        [StrOptions({"loss", *get_scorer_names()}), callable, None],
        "what early stopping watches: `None` for accuracy or R2, `loss`, a scorer or its name", default=None,
    )  # fmt: skip
    callbacks: Sequence[Callable[..., Any]] | None = parameter(
        [list, tuple, None],
        "functions of (trainer, history), called after each epoch; one that returns True stops the fit", default=None,
    )  # fmt: skip
    threads: int | None = parameter(
        [at_least(Integral, 1), None],
        "how many the backend may use, where it takes that (numba); `None` is the CPUs that the process may use, or "
        "fewer, as `NUMBA_NUM_THREADS` or `OMP_NUM_THREADS` says",
        default=None,
    )
    precision: str = parameter(
        [StrOptions(set(PRECISIONS))],
        "of the products of training steps: `float32` (as `dtype` is), `bfloat16` (factors rounded to it), `auto` "
        "(bfloat16 where that is faster)",
        default=FLOAT32,
    )


def of_each_layer(name: str, value: Any, layers: int, accepts: Callable[[Any], bool], expected: str) -> tuple[Any, ...]:
    """A parameter's value for each hidden layer, where the user gave one for all or a list of them."""
    if not isinstance(value, list | tuple):
        return (value,) * layers
    if len(value) != layers or not all(map(accepts, value)):
        raise ValueError(f"{name} is {value!r}, expected {expected}, or {layers} of them, one for each hidden layer")
    return tuple(value)


def hidden_layers(estimator: Any) -> tuple[tuple[int, ...], tuple[str, ...], tuple[str, ...], tuple[float, ...]]:
    """The hidden layers' widths, activations, norms and dropout probabilities."""
    sizes = estimator.hidden_layer_sizes
    widths = tuple(sizes) if hasattr(sizes, "__iter__") else (sizes,)
    if any(width <= 0 for width in widths):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {list(widths)}.")

    def names(parameter: str, known: Any) -> tuple[str, ...]:
        def accepts(name: Any) -> bool:
            return isinstance(name, str) and name in known

        expected = f"one of {', '.join(sorted(known))}"
        return of_each_layer(parameter, getattr(estimator, parameter), len(widths), accepts, expected)

    def is_probability(value: Any) -> bool:
        return isinstance(value, Real) and 0 <= float(value) < 1

    dropouts = of_each_layer("dropout", estimator.dropout, len(widths), is_probability, "a number in [0, 1)")
    return (
        tuple(map(int, widths)), names("activation", HIDDEN_ACTIVATIONS), names("norm", NORMS),
        tuple(map(float, dropouts)),
    )  # fmt: skip


def schedule(estimator: Any) -> str | Schedule | None:
    """The learning rate's schedule where it is tinynet's, not scikit-learn's."""
    rate: str | Schedule = estimator.learning_rate
    return None if isinstance(rate, str) and rate in SCIKIT_RATES else rate


def refuse_contradictions(estimator: Any, incremental: bool, eval_set: Any, sample_weight: Any) -> None:
    """Raises ValueError or TypeError for parameters that make no sense together."""
    if estimator.early_stopping and incremental:
        raise ValueError(
            "partial_fit does not support early_stopping=True: the caller decides when to stop, by the "
            "validation_loss_curve_ of an eval_set"
        )
    if estimator.scoring is not None and not estimator.early_stopping:
        raise ValueError("scoring decides when to stop early: expected early_stopping=True with it, or scoring=None")
    given = [
        sample_weight,
        getattr(estimator, "class_weight", None),
        *(eval_set[2:] if isinstance(eval_set, tuple | list) else ()),
    ]
    weighted = any(weights is not None for weights in given)
    if callable(estimator.loss) and weighted and not takes_weights(estimator.loss):
        raise ValueError(
            "loss is a function without a parameter sample_weight: expected one, or a loss by name, with sample_weight "
            "or class_weight"
        )
    for callback in estimator.callbacks or ():
        if not callable(callback):
            raise TypeError(f"callbacks holds a {type(callback).__name__}, expected functions of (trainer, history)")
        if isinstance(callback, EarlyStopping):
            raise ValueError(
                "callbacks holds an EarlyStopping, which would remember one fit in the next: expected "
                "early_stopping=True, with scoring='loss' for the loss"
            )
    if estimator.solver == "lbfgs":
        _refuse_with_lbfgs(estimator, eval_set)


def _refuse_with_lbfgs(estimator: Any, eval_set: Any) -> None:
    _, _, norms, dropouts = hidden_layers(estimator)
    if any(dropouts) or "batch" in norms:
        raise ValueError("solver='lbfgs' needs a loss without randomness: expected dropout=0 and norm not 'batch'")
    given = {
        "a schedule as learning_rate": schedule(estimator) is not None,
        "max_grad_norm": estimator.max_grad_norm is not None,
        "weight_decay": estimator.weight_decay > 0,
        "callbacks": bool(estimator.callbacks),
        "eval_set": eval_set is not None,
        "a precision": estimator.precision != FLOAT32,
    }
    for name, present in given.items():
        if present:
            raise ValueError(f"solver='lbfgs' has no use for {name}: expected 'adam' or 'sgd'")
