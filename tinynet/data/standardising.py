"""Features, and quantities to predict, brought to mean 0 and variance 1."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kernels.contract.dtypes import EITHER_FLOAT, FLOATS
from tinynet.data.dataset import Dataset
from tinynet.data.splitting import Split


@dataclass(frozen=True, eq=False)
class Standardisation:
    """z = (x - mean) / scale, column by column, and y = z scale + mean back.

    Attributes:
        dtype: of what comes out: float32 or float64.
        feature_mean, feature_scale: float64, shape (features,).
        target_mean, target_scale: float64, shape (outputs,); None in classification.
    """

    dtype: np.dtype[Any]
    feature_mean: NDArray[np.float64]
    feature_scale: NDArray[np.float64]
    target_mean: NDArray[np.float64] | None
    target_scale: NDArray[np.float64] | None

    def features(self, array: ArrayLike) -> NDArray[Any]:
        """z = (x - mean) / scale for new rows, shape (rows, features); C-contiguous, of `dtype`.

        Raises:
            ValueError: `array` has another number of columns, or is not 2-D.
        """
        given = np.asarray(array, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.feature_mean):
            raise ValueError(f"features must have shape (rows, {len(self.feature_mean)}), got {given.shape}")
        return self._cast((given - self.feature_mean) / self.feature_scale)

    def restore_target(self, array: ArrayLike) -> NDArray[np.float64]:
        """y = z scale + mean: predictions in the target's own units, float64, of the shape given.

        Args:
            array: standardised predictions, shape (rows, outputs), or (rows,) when there is one output.

        Raises:
            ValueError: the shape does not fit, or the task is classification.
        """
        given = np.asarray(array, dtype=np.float64)
        if self.target_mean is None or self.target_scale is None:
            raise ValueError("restore_target is for regression; the classes of a classification are not standardised")
        outputs = len(self.target_mean)
        if given.shape[1:] != (outputs,) and not (given.ndim == 1 and outputs == 1):
            expected = "(rows,) or (rows, 1)" if outputs == 1 else f"(rows, {outputs})"
            raise ValueError(f"predictions must have shape {expected}, got {given.shape}")
        restored: NDArray[np.float64] = given * self.target_scale + self.target_mean
        return restored

    def apply(self, dataset: Dataset) -> Dataset:
        """The data set with its features, and the target of a regression, standardised.

        Raises:
            ValueError: another number of features, or a value too large for `dtype` afterwards.
        """
        target = dataset.target
        if self.target_mean is not None and self.target_scale is not None:
            columns = target.reshape(len(target), -1).astype(np.float64)
            target = self._cast(((columns - self.target_mean) / self.target_scale).reshape(target.shape))
        return replace(dataset, features=self.features(dataset.features), target=target)

    def _cast(self, array: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore"):  # an infinity is refused by the data set, with its row
            return np.ascontiguousarray(array, dtype=self.dtype)


def standardise(split: Split, *, dtype: DTypeLike = np.float64) -> tuple[Split, Standardisation]:
    """z = (x - mean) / scale with the training part's mean and standard deviation, applied to both parts.

    As scikit-learn's StandardScaler: the standard deviation divides by n, and a column that is constant in the
    training part has scale 1. The target of a regression is standardised likewise; class codes stay as they are.

    Args:
        split: the two parts; the test part has no influence on mean and scale.
        dtype: float64 or float32, for features and the target of a regression.

    Returns:
        The split, arrays C-contiguous, and the standardisation, which restores predictions.

    Raises:
        TypeError: `split` is not a Split.
        ValueError: another dtype, or values so large that their variance is not finite (the message names the column).
    """
    if not isinstance(split, Split):
        raise TypeError(f"split must be a Split, as tinynet.data.split returns it, got {type(split).__name__}")
    wanted = _float_dtype(dtype)
    train = split.train
    feature_mean, feature_scale = _fit(train.features, train.feature_names)
    target_mean = target_scale = None
    if train.task == "regression":
        target_mean, target_scale = _fit(train.target.reshape(len(train.target), -1), train.target_names)
    fitted = Standardisation(wanted, feature_mean, feature_scale, target_mean, target_scale)
    return Split(fitted.apply(train), fitted.apply(split.test)), fitted


def _float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    if dtype is not None:  # None means float64 to NumPy, and None == np.dtype("float64") is true
        try:
            wanted = np.dtype(dtype)
        except TypeError:
            pass
        else:
            if wanted in FLOATS:
                return wanted
    raise ValueError(f"dtype must be {EITHER_FLOAT}, got {dtype!r}")


def _fit(columns: NDArray[Any], names: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.preprocessing import StandardScaler

    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(columns.astype(np.float64))
    finite = np.isfinite(scaler.mean_) & np.isfinite(scaler.scale_)
    if not finite.all():
        name = names[int(np.argmin(finite))]
        raise ValueError(f"column {name!r} has values too large to standardise: their variance is not finite")
    return scaler.mean_, scaler.scale_
