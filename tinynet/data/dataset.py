"""What a data set is, and what makes one valid."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.contract.dtypes import EITHER_FLOAT, FLOATS
from tinynet.tables.targets import Task

Label: TypeAlias = str | int


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pairs (x_i, y_i), i = 1..n: rows of numbers, each with the class or the numbers to predict from them.

    Attributes:
        name: what to call it in messages and reports.
        features: float64 (float32 after `standardise(dtype="float32")`), shape (n, d), C-contiguous, finite.
        target: classification: int64 class codes 0..C-1, shape (n,).
            Regression: floats as the features are, finite, shape (n,) or (n, outputs), C-contiguous.
        task: "classification" or "regression".
        classes: classification: the C original labels, so that `classes[code]` is the label of a code; regression: ().
        feature_names: d names.
        target_names: one name per target column; one name for classification.

    A part of a data set keeps all classes, so a class may be without rows.

    Raises:
        TypeError: `features` or `target` is not an array.
        ValueError: fewer than two rows, no feature, a feature or target value that is not finite (the message names
            feature and row, counted from 0), a wrong shape, dtype or layout, lengths that disagree, fewer than two
            classes, classes given twice, or a code outside 0..C-1.
    """

    name: str
    features: NDArray[Any]
    target: NDArray[Any]
    task: Task
    classes: tuple[Label, ...]
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be trained on."""
        for attribute in ("features", "target"):
            value = getattr(self, attribute)
            if not isinstance(value, np.ndarray):
                raise TypeError(f"data set {self.name!r}: {attribute} must be an array, got {type(value).__name__}")
            if not value.flags.c_contiguous:
                raise ValueError(
                    f"data set {self.name!r}: {attribute} must be C-contiguous, got strides {value.strides}"
                )
        if self.task not in ("classification", "regression"):
            raise ValueError(f"data set {self.name!r}: task must be classification or regression, got {self.task!r}")
        self._check_features()
        if len(self.target) != len(self.features):
            raise ValueError(
                f"data set {self.name!r}: features have {len(self.features)} rows but target has {len(self.target)}"
            )
        if self.task == "classification":
            self._check_codes()
        else:
            self._check_numbers()

    @property
    def outputs(self) -> int:
        """Outputs a network needs: the number of classes, or of numbers to predict per row."""
        if self.task == "classification":
            return len(self.classes)
        return 1 if self.target.ndim == 1 else self.target.shape[1]

    def _check_features(self) -> None:
        features = self.features
        if features.ndim != 2:
            raise ValueError(
                f"data set {self.name!r}: features must be 2-D (rows, features), got shape {features.shape}"
            )
        if features.dtype not in FLOATS:
            raise ValueError(f"data set {self.name!r}: features must be {EITHER_FLOAT}, got {features.dtype}")
        rows, columns = features.shape
        if rows < 2:
            raise ValueError(f"data set {self.name!r}: needs at least 2 rows, got {rows}")
        if columns < 1:
            raise ValueError(f"data set {self.name!r}: needs at least one feature, got none")
        if len(self.feature_names) != columns:
            raise ValueError(
                f"data set {self.name!r}: {columns} features need as many names, got {len(self.feature_names)}"
            )
        finite = np.isfinite(features)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise ValueError(
                f"data set {self.name!r}: feature {self.feature_names[column]!r} in row {row} is "
                f"{features[row, column]}; every feature must be finite"
            )

    def _check_codes(self) -> None:
        target = self.target
        if target.ndim != 1 or target.dtype != np.int64:
            raise ValueError(
                f"data set {self.name!r}: class codes must be int64 of shape (rows,), got {target.dtype} {target.shape}"
            )
        if len(self.classes) < 2:
            raise ValueError(f"data set {self.name!r}: classification needs at least 2 classes, got {self.classes}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"data set {self.name!r}: classes must differ from each other, got {self.classes}")
        if len(self.target_names) != 1:
            raise ValueError(f"data set {self.name!r}: classification has one target name, got {self.target_names}")
        outside = np.flatnonzero((target < 0) | (target >= len(self.classes)))
        if outside.size:
            row = outside[0]
            raise ValueError(
                f"data set {self.name!r}: class code {target[row]} in row {row} is outside 0..{len(self.classes) - 1}"
            )

    def _check_numbers(self) -> None:
        target = self.target
        if target.ndim not in (1, 2) or 0 in target.shape:
            raise ValueError(
                f"data set {self.name!r}: a regression target has shape (rows,) or (rows, outputs), got {target.shape}"
            )
        if target.dtype != self.features.dtype:
            raise ValueError(
                f"data set {self.name!r}: a regression target has the features' dtype {self.features.dtype}, "
                f"got {target.dtype}"
            )
        if self.classes:
            raise ValueError(f"data set {self.name!r}: regression has no classes, got {self.classes}")
        if len(self.target_names) != self.outputs:
            raise ValueError(
                f"data set {self.name!r}: {self.outputs} outputs need as many target names, got {self.target_names}"
            )
        finite = np.isfinite(target.reshape(len(target), -1))
        if not finite.all():
            row, output = np.argwhere(~finite)[0]
            raise ValueError(
                f"data set {self.name!r}: target {self.target_names[output]!r} in row {row} is not finite; "
                "every target must be a finite number"
            )
