"""What both estimators share: parameters and their checks, fitting, predicting, pickling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from kernels.contract.dtypes import EITHER_FLOAT, FLOATS

from ..backends import running_on, with_options
from ..data.sources import Source, as_source, is_source, scan
from ..nn.ownership import changing, reading
from ..tensor import Array
from .early_stopping import Validation
from .lbfgs import minimise
from .objectives import Loss, targets
from .options import PerceptronParameters, hidden_layers, refuse_contradictions, schedule
from .session import Design, Session, Structure
from .stochastic import train
from .streaming import Blocks, features, refuse_with_source, standing_for


class MultilayerPerceptron(PerceptronParameters, BaseEstimator):  # type: ignore[misc]
    """scikit-learn's base class of perceptrons, on tinynet's networks."""

    def _settle_loss(self) -> tuple[str, Loss]:
        """The output activation for the targets that were seen, and the loss: a kernel's name or a function."""
        raise NotImplementedError

    def _checked_targets(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Array, Array]:
        """X in the dtype asked for, and y (rows, outputs)."""
        raise NotImplementedError

    def _weights_by_class(self, y: Array) -> Callable[[Array], Array] | None:
        """What gives rows their weights by class, as it follows from y, (rows, outputs); None if all weigh the same."""
        return None

    def _indicators(self, y: Any) -> Array:
        """Checked targets of an eval_set as (rows, outputs)."""
        raise NotImplementedError

    def _score_outputs(self, outputs: Array, y: Array, sample_weight: Array | None) -> float:
        """The score of the network's outputs; y as the user gave it."""
        raise NotImplementedError

    def _original(self, y: Array) -> Array:
        """Targets as the user gave them, from (rows, outputs)."""
        raise NotImplementedError

    def _dtype(self) -> Any:
        wanted = np.dtype(self.dtype)
        if wanted not in FLOATS:
            raise ValueError(f"dtype is {self.dtype!r}, expected {EITHER_FLOAT}")
        return wanted

    def _fit(
        self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False, eval_set: Any = None
    ) -> MultilayerPerceptron:
        hidden, activations, _, _ = hidden_layers(self)
        refuse_contradictions(self, incremental, eval_set, sample_weight)
        source = as_source(X) if is_source(X) else None
        if source is not None:
            refuse_with_source(self, source, y, sample_weight, eval_set)
            X, y = standing_for(self, source)
        given = X
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._checked_targets(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        self.n_outputs_ = y.shape[1]
        by_class = self._weights_by_class(y)
        sample_weight = _weighted(sample_weight, by_class, y)
        self._random_state = check_random_state(self.random_state)
        self.out_activation_ = self._settle_loss()[0]
        if first:
            self._initialise((X.shape[1], *hidden, y.shape[1]), activations)
        elif [coef.shape for coef in self.coefs_] != list(itertools.pairwise((X.shape[1], *hidden, y.shape[1]))):
            raise ValueError(f"hidden_layer_sizes is {hidden}, expected that of the weights there are, or a new fit")
        design = self._design(X.shape[1])
        validation = None if eval_set is None else self._checked_validation(eval_set, by_class)
        with self._running():
            session = self._session_of(design, first, incremental)
            with changing("fit", session.model, session.optimizer):
                if self.solver == "lbfgs":
                    minimise(self, session, X, y, sample_weight)
                else:
                    self._start_curves(first)
                    if source is None:
                        train(self, session, given, X, y, sample_weight, incremental, validation)
                    else:
                        train(self, session, given, self._blocks(source, by_class), y, None, incremental, validation)
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                "preprocessed."
            )
        return self

    def _blocks(self, source: Source, by_class: Callable[[Array], Array] | None) -> Source:
        """A source's rows with the targets that the loss takes."""

        def wanted(y: Array) -> Array:
            outputs = self._indicators(y)
            return targets(self.out_activation_, outputs, _weighted(None, by_class, outputs), self._dtype())

        return scan(Blocks(source, self._dtype(), wanted), window=source.asked_window)

    def _design(self, inputs: int) -> Design:
        """What the parameters make of the network and its training, for the outputs that were seen."""
        hidden, activations, norms, dropouts = hidden_layers(self)
        output, loss = self._settle_loss()
        structure = Structure(
            (inputs, *hidden, self.n_outputs_), activations, norms, dropouts, output, self._dtype().name
        )
        chosen = schedule(self)
        return Design(
            structure, loss, float(self.alpha), self.solver, float(self.epsilon), float(self.weight_decay),
            self.max_grad_norm, chosen, str(self.learning_rate) if chosen is None else "constant",
            float(self.learning_rate_init), float(self.power_t), self.precision,
        )  # fmt: skip

    def _initialise(self, widths: tuple[int, ...], activations: tuple[str, ...]) -> None:
        """Initial weights, drawn as scikit-learn draws them."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(widths)
        self.coefs_: list[Array] = []
        self.intercepts_: list[Array] = []
        names = [*activations, activations[-1] if activations else self.activation]
        for fan_in, fan_out, activation in zip(widths[:-1], widths[1:], names, strict=True):
            bound = math.sqrt((2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out))
            self.coefs_.append(self._random_state.uniform(-bound, bound, (fan_in, fan_out)).astype(self._dtype()))
            self.intercepts_.append(self._random_state.uniform(-bound, bound, fan_out).astype(self._dtype()))

    def _start_curves(self, first: bool) -> None:
        """Empty curves, or after a warm start those that are still missing."""
        if first or not hasattr(self, "loss_curve_"):
            self.loss_curve_: list[float] = []
            self.validation_loss_curve_: list[float] | None = None
            self._no_improvement_count = 0
            self.validation_scores_: list[float] | None = None
            self.best_validation_score_: float | None = None
            self.best_loss_: float | None = None
        if not self.early_stopping and self.best_loss_ is None:
            self.best_loss_ = np.inf
        if self.early_stopping and self.validation_scores_ is None:
            self.validation_scores_, self.best_validation_score_ = [], -np.inf

    def _session_of(self, design: Design, first: bool, incremental: bool) -> Session:
        """What trains: the session of the last call where nothing has changed, with the weights as they are now.

        incremental: its optimizer stays as it was made, whatever the parameters have become, as scikit-learn's does.
        """
        session: Session | None = getattr(self, "_session", None)
        before = None if first else self._state()
        goes_on = incremental and before is not None and before["design"].solver != "lbfgs"
        if goes_on and before is not None:
            design = design.with_optimizer_of(before["design"])
        fresh = first or session is None or session.design != design
        if session is None or fresh:
            drops = any(design.structure.dropouts)
            seeds = [self._random_state.randint(1 << 31) for _ in range(len(self.coefs_) - 1)] if drops else []
            session = Session(design, self.coefs_, self.intercepts_, seeds)
        session.design = design
        session.set_weights(self.coefs_, self.intercepts_)
        if self.solver != "lbfgs" and (fresh or not goes_on):
            self._start_optimizer(session)
        if fresh and before is not None:
            session.restore(before, optimizer=goes_on)
        self._session: Session | None = session
        self._saved: dict[str, Any] | None = None
        self.coefs_, self.intercepts_ = session.coefs, session.intercepts
        return session

    def _start_optimizer(self, session: Session) -> None:
        session.start_optimizer(
            float(self.learning_rate_init), float(self.momentum), self.nesterovs_momentum,
            (float(self.beta_1), float(self.beta_2)),
        )  # fmt: skip

    def _state(self) -> dict[str, Any] | None:
        session = getattr(self, "_session", None)
        state: dict[str, Any] | None = getattr(self, "_saved", None) if session is None else session.state()
        return state

    def _network(self) -> Session:
        """The session, with the weights as they are in coefs_ and intercepts_; after unpickling it is made again."""
        session: Session | None = getattr(self, "_session", None)
        if session is None:
            assert self._saved is not None
            session = Session(self._saved["design"], self.coefs_, self.intercepts_)
            session.restore(self._saved, optimizer=True)
            self._session = session
        session.set_weights(self.coefs_, self.intercepts_)
        return session

    def _checked_X(self, X: Any, dtype: Any = None) -> Array:
        """New rows in a dtype, by default the network's, dense."""
        dtype = self.coefs_[0].dtype if dtype is None else dtype
        right = self._plainly_right(X, dtype)
        if right is not None:
            return right
        return dense(self._validated(X, dtype=dtype, reset=False))

    def _plainly_right(self, X: Any, dtype: Any) -> Array | None:
        """What scikit-learn's checks make of X, where one can see it: they take longer than the network for one row."""
        if (
            type(X) is not np.ndarray
            or X.dtype not in FLOATS
            or X.ndim != 2
            or not X.size
            or not X.flags.c_contiguous
            or X.shape[1] != self.n_features_in_
            or hasattr(self, "feature_names_in_")
        ):
            return None
        if X.dtype != dtype:
            with np.errstate(over="ignore"):
                X = X.astype(dtype)
        return X if np.isfinite(X).all() else None

    def _validated(self, *arrays: Any, **options: Any) -> Any:
        """X, or X and y, through scikit-learn's checks, which refuse what becomes infinite in the dtype."""
        with np.errstate(over="ignore"):
            return validate_data(self, *arrays, accept_sparse=["csr", "csc"], **options)

    def _checked_validation(self, eval_set: Any, by_class: Callable[[Array], Array] | None) -> Validation:
        """by_class: rows' weights in the loss, as in training; the score has only those that were given."""
        if not isinstance(eval_set, tuple | list) or len(eval_set) not in (2, 3):
            raise ValueError("eval_set is no pair, expected (X, y) or (X, y, sample_weight)")
        X, y = self._checked_X(eval_set[0], self._dtype()), self._indicators(eval_set[1])
        if len(X) != len(y):
            raise ValueError(f"eval_set has {len(X)} rows of X and {len(y)} of y, expected as many")
        weight = None if len(eval_set) == 2 or eval_set[2] is None else _check_sample_weight(eval_set[2], X)
        in_loss = _weighted(weight, by_class, y)
        if in_loss is not None and not in_loss.sum() > 0:
            raise ValueError(f"eval_set has weights whose sum is {in_loss.sum():g}, expected a sum above 0")
        target = targets(self.out_activation_, y, in_loss, self._dtype(), "y of eval_set")
        return Validation(eval_set[0], self._original(y), weight, X, target)

    def _running(self) -> running_on:
        """A block in which the kernels are those of the backend asked for."""
        return running_on(
            self.backend if self.threads is None else with_options(self.backend, threads=int(self.threads))
        )

    def _outputs_for(self, X: Any) -> Array:
        """The network's outputs for rows as they come, or for those of a source, block by block."""
        if is_source(X):
            blocks = features(as_source(X))
            return np.concatenate([self._outputs(self._checked_X(block)) for block in blocks])
        return self._outputs(self._checked_X(X))

    def _outputs(self, X: Array) -> Array:
        """The network's outputs for checked rows."""
        with self._running():
            session = self._network()
            with reading("predict", session.model):
                return session.outputs(X)

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        """The session, in a block in which no other thread may train it."""
        session = self._network()
        with reading("predict", session.model):
            yield session

    def __getstate__(self) -> dict[str, Any]:
        """Weights, averages and options; no compiled code."""
        state = dict(super().__getstate__())
        if state.get("_session") is not None:
            state["_saved"], state["_session"] = self._state(), None
        return state

    def _stratified(self) -> bool:
        return bool(is_classifier(self)) and self.n_outputs_ == 1

    def _check_solver(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _weighted(sample_weight: Array | None, by_class: Callable[[Array], Array] | None, y: Array) -> Array | None:
    """The rows' weights: those given times those by class."""
    if by_class is None:
        return sample_weight
    return by_class(y) if sample_weight is None else by_class(y) * sample_weight


def dense(X: Any) -> Array:
    """Sparse matrices are made dense: the kernels work on rows that are whole in memory."""
    array: Array = np.ascontiguousarray(X.toarray() if hasattr(X, "toarray") else X)
    return array
