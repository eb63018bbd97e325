"""TabularRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_array
from sklearn.utils._param_validation import StrOptions

from .. import nn
from ..checks import choose
from ..estimators.parameters import FIRST, parameter
from ..functional.losses import check_quantiles
from ..nn import Module, MultiQuantileLoss
from ..tables.targets import refuse_blanks, refuse_words
from ..tensor import Array
from .estimator import Goal, Tabular
from .losses import WeightedElements
from .validation import REGRESSION, Metric, pinball


class TabularRegressor(RegressorMixin, Tabular):  # type: ignore[misc]
    """Numbers for each row of a table, by small nets whose defaults were measured to be good.

    X is a pandas, polars or Arrow frame, or an array; text, categories, dates and blanks are encoded by
    ``encoder_``. y (rows,), or (rows, outputs), in which some may be blank (NaN). metric: `squared_error`,
    `absolute_error`, or a function of (y, predictions, sample_weight) whose values are to grow; for quantiles their
    loss unless it is a function. Predictions do not leave the range of y.
    """

    loss: str = parameter(
        [StrOptions({"squared_error", "quantile"})], "`squared_error`: the mean is predicted; `quantile`: quantiles",
        default="squared_error", kw_only=True, after=FIRST,
    )  # fmt: skip
    quantiles: Sequence[float] = parameter(
        [list, tuple],
        "with `loss='quantile'`: which are predicted, ascending; they do not cross",
        default=(0.1, 0.5, 0.9),
    )

    _classes = False

    def _goal(self, y: Any) -> Goal:
        quantiles = self._asked_quantiles()
        numbers = self._numbers(y)
        self.n_outputs_ = numbers.shape[1]
        if quantiles and self.n_outputs_ > 1:
            raise ValueError(f"y has {self.n_outputs_} columns, expected one with loss='quantile'")
        blank = np.isnan(numbers)
        if blank.all(axis=0).any():
            raise ValueError(f"y has no number in column {int(blank.all(axis=0).argmax())}, expected some")
        with np.errstate(over="ignore", invalid="ignore"):
            self._mean, self._sd = np.nanmean(numbers, axis=0), np.nanstd(numbers, axis=0)
        if not np.isfinite(self._sd).all():
            largest = float(np.nanmax(np.abs(numbers)))
            raise ValueError(f"y has numbers up to {largest:g}, whose squares overflow; divide y by a constant")
        self._sd = np.where(self._sd > 0, self._sd, 1.0)
        self._low, self._high = np.nanmin(numbers, axis=0), np.nanmax(numbers, axis=0)
        columns, blanks = numbers.shape[1], bool(blank.any())

        def wanted(standardised: Array, weight: Array | None) -> Array:
            if weight is None and not blanks:
                return standardised.astype(np.float32)
            share = np.ones_like(standardised) if weight is None else np.repeat(weight[:, None], columns, axis=1)
            share = np.where(np.isnan(standardised), 0.0, share)
            scale = share if quantiles else np.sqrt(share)
            return np.hstack([np.nan_to_num(standardised), scale]).astype(np.float32)

        def loss(weighted: bool) -> Module:
            plain: Module = MultiQuantileLoss(quantiles) if quantiles else nn.MSELoss()
            return WeightedElements(plain, columns) if weighted or blanks else plain

        compared = (numbers - self._mean) / self._sd
        outputs, ascending = len(quantiles) or columns, bool(quantiles)
        return Goal(outputs, compared, loss, wanted, *self._metric(quantiles), ascending=ascending)

    def _asked_quantiles(self) -> tuple[float, ...]:
        return check_quantiles("quantiles", self.quantiles) if self.loss == "quantile" else ()

    def _metric(self, quantiles: tuple[float, ...]) -> tuple[Metric, str]:
        if callable(self.metric):
            function = self.metric
            return (
                lambda z, y, weight: float(function(self._flat(self._scaled(y)), self._flat(self._clipped(z)), weight))
            ), getattr(function, "__name__", "metric")
        if quantiles:
            return pinball(quantiles), "quantile loss"
        name = self.metric or "squared_error"
        return REGRESSION[choose("metric", name, REGRESSION)], name.replace("_", " ")

    def _numbers(self, y: Any) -> Array:
        try:
            found: Array = check_array(
                y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y"
            )
        except (TypeError, ValueError, OverflowError):
            refuse_words("y", y)
            raise
        if found.ndim > 2:
            raise ValueError(f"y has shape {found.shape}, expected (rows,) or (rows, outputs)")
        if found.ndim == 1:
            refuse_blanks("y", np.isnan(found))
        return found.reshape(len(found), -1)

    def _compared(self, y: Any) -> Array:
        numbers = self._numbers(y)
        if numbers.shape[1] != self.n_outputs_:
            raise ValueError(f"eval_set has {numbers.shape[1]} outputs, expected {self.n_outputs_} as y has")
        compared: Array = (numbers - self._mean) / self._sd
        return compared

    def _scaled(self, standardised: Array) -> Array:
        found: Array = standardised.astype(float) * self._sd + self._mean
        return found

    def _clipped(self, outputs: Array) -> Array:
        found: Array = np.clip(self._scaled(outputs), self._low, self._high)
        return found

    def _flat(self, numbers: Array) -> Array:
        return numbers if self.n_outputs_ > 1 or self.loss == "quantile" else numbers[:, 0]

    def predict(self, X: Any) -> Array:
        """The predictions, (rows,) or (rows, outputs); with `loss='quantile'` (rows, quantiles): members' mean."""
        return self._flat(self._clipped(np.mean([z.astype(float) for z in self._member_outputs(X)], axis=0)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
