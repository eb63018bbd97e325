"""The scikit-learn transformer between a table and a net."""

from __future__ import annotations

import warnings
from typing import Any, Self, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import DTypeLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from kernels.contract.dtypes import EITHER_FLOAT, FLOATS
from tinynet.checks import check_whole
from tinynet.tables.columns import Column, Names, as_read, described
from tinynet.tables.encoding import Encoding, fitted
from tinynet.tables.encoding_state import encoding_state, read_encoding
from tinynet.tables.frames import as_frame, given_names
from tinynet.tables.summary import Summary, summary_of

Array: TypeAlias = NDArray[Any]


class TableEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A table as it comes becomes an array of numbers for a net: `tinynet.tables.encoding` says which.

    With names, the order of columns does not matter to `transform`, and more columns than in `fit` are left out. A
    column that is missing is refused, unless it was ignored in `fit`.

    Args:
        categorical: names of columns (or positions, from 0) to be taken for categories,
        numeric: for numbers,
        ignore: or left out, whatever `tinynet.tables.columns` would guess.
        max_one_hot: levels up to which a category is one-hot; one of more becomes a column of codes, for an embedding.
        min_frequency: levels that fewer rows have (or a smaller share of the rows) are one level together.
        dtype: of what comes out: float32 or float64.

    Attributes:
        columns_: what each column of the table is, a tuple of `Column`.
        codes_: position in the output and number of codes, 0 included, of each column of codes; they come last.
        n_dense_: columns of the output before those.
        n_numbers_: how many of them, the first, hold numbers and parts of dates; the others blanks and levels.
        n_features_in_: as in scikit-learn, how many columns the table has.
        feature_names_in_: as in scikit-learn, their names; only where all names are text.
    """

    def __init__(
        self,
        categorical: Names = (),
        numeric: Names = (),
        ignore: Names = (),
        max_one_hot: int = 32,
        min_frequency: int | float = 1,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.categorical = categorical
        self.numeric = numeric
        self.ignore = ignore
        self.max_one_hot = max_one_hot
        self.min_frequency = min_frequency
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find out what each column is, its levels and its scale.

        X may be a source (`tinynet.scan`), which is read once: `tinynet.tables.summary` says what is exact then.

        Raises:
            ValueError: fewer than 2 rows, no column that can be learned from, an option out of its range; and all that
                `describe_columns` refuses.
        """
        self._fit(summary_of(X.frames(), X.block_rows, self.categorical) if hasattr(X, "frames") else X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """fit(X).transform(X), in which the table is read once."""
        return self._encoding_of(self._fit(X))

    def _fit(self, X: Any) -> pl.DataFrame:
        """Fits, and gives the table as it is read: without blanks, text of numbers and dates as those."""
        check_whole("max_one_hot", self.max_one_hot)
        min_frequency = checked_frequency(self.min_frequency)
        output_dtype(self.dtype)
        summary = X if isinstance(X, Summary) else None
        names, frame = (X.sample.columns, X.sample) if summary else (given_names(X), as_frame(X))
        if frame.height < 2:
            raise ValueError(f"the table has {_samples(frame.height)}, expected at least 2 rows to learn from")
        told = self.categorical, self.numeric, self.ignore
        columns = summary.described(*told) if summary else described(list(frame), *told)
        if all(column.kind == "ignored" for column in columns):
            why = "; ".join(f"{column.name!r} is left out: {column.reason}" for column in columns[:3])
            raise ValueError(f"no column is left to learn from ({why}); name some in categorical or numeric")
        frame = pl.DataFrame(list(map(as_read, frame, columns)))
        self._take(fitted(frame, columns, int(self.max_one_hot), min_frequency, summary), names)
        return frame

    def transform(self, X: Any) -> Array:
        """The numbers for a net, `dtype`, C-contiguous, shape (rows, columns of the output).

        Raises:
            ValueError: a column of `fit` that is missing, without names another number of columns, text that is no
                number or date where fit had those (with column, row and text), no row.
        """
        check_is_fitted(self)
        frame = self._aligned(X)
        if not frame.height:
            raise ValueError(
                f"Found array with 0 sample(s) (shape=(0, {frame.width})) while a minimum of 1 is required."
            )
        return self._encoding_of(frame)

    def _encoding_of(self, frame: pl.DataFrame) -> Array:
        return self._encoding.encode(frame, output_dtype(self.dtype))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """A name for each column of the output: age, age_missing, city_London, signed_month, zip."""
        check_is_fitted(self)
        if input_features is not None and list(input_features) != self._names():
            raise ValueError("input_features is not equal to feature_names_in_")
        return np.array(self._encoding.output_names, dtype=object)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """All that `from_state` needs, as arrays by name and as what JSON can write."""
        check_is_fitted(self)
        parameters = {name: _listed(value) for name, value in self.get_params(deep=False).items()}
        parameters["dtype"] = output_dtype(self.dtype).name
        return encoding_state(self._encoding, parameters, hasattr(self, "feature_names_in_"))

    @classmethod
    def from_state(cls, arrays: dict[str, Array], plain: dict[str, Any]) -> Self:
        """The fitted encoder whose `state` this is; it gives the same bits.

        Raises:
            ValueError: what is no such state, or one that was changed so that it makes no sense.
        """
        encoding, parameters, named = read_encoding(arrays, plain)
        parameters["dtype"] = np.dtype(parameters["dtype"]).type
        encoder = cls(**parameters)
        check_whole("max_one_hot", encoder.max_one_hot)
        checked_frequency(encoder.min_frequency)
        encoder._take(encoding, [column.name for column in encoding.columns] if named else None)
        return encoder

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _take(self, encoding: Encoding, names: list[str] | None) -> None:
        self._encoding = encoding
        self.columns_: tuple[Column, ...] = encoding.columns
        self.n_features_in_ = len(encoding.columns)
        self.n_dense_, self.n_numbers_ = encoding.n_dense, len(encoding.numbers)
        self.codes_ = [(self.n_dense_ + i, levels.count + 1) for i, levels in enumerate(encoding.coded)]
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _names(self) -> list[str]:
        return [column.name for column in self.columns_]

    def _aligned(self, X: Any) -> pl.DataFrame:
        """The columns that are read, under the names that they had in fit."""
        names, fit_names, frame = given_names(X), self._names(), as_frame(X)
        fitted_with_names = hasattr(self, "feature_names_in_")
        if names is not None and fitted_with_names:
            there = set(frame.columns)
            missing = [name for name in self._encoding.used if name not in there]
            if missing:
                more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
                raise ValueError(
                    f"the table lacks the column {missing[0]!r}{more}, which was there in fit; add it, with "
                    "blank cells where its values are not known"
                )
            return frame.select(self._encoding.used)
        if frame.width != len(fit_names):
            raise ValueError(
                f"X has {frame.width} features, but {type(self).__name__} is expecting {len(fit_names)} features as "
                "input"
            )
        if fitted_with_names:
            warnings.warn(
                f"X does not have valid feature names, but {type(self).__name__} was fitted with feature names",
                stacklevel=3,
            )
        elif names is not None:
            warnings.warn(
                f"X has feature names, but {type(self).__name__} was fitted without feature names", stacklevel=3
            )
        frame.columns = fit_names
        return frame.select(self._encoding.used)


def checked_frequency(value: Any) -> int | float:
    """A number of rows, 1 or more, or a share of the rows between 0 and 1."""
    if isinstance(value, float | np.floating) and 0 < value < 1:
        return float(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1:
        return int(value)
    raise ValueError(f"min_frequency is {value!r}, expected a whole number >= 1 or a share in (0, 1)")


def output_dtype(value: Any) -> np.dtype[Any]:
    """One of the dtypes that are trained in."""
    for known in FLOATS:
        if value is not None and known == value:
            return known
    raise ValueError(f"dtype is {value!r}, expected {EITHER_FLOAT}")


def _samples(rows: int) -> str:
    return "1 sample" if rows == 1 else f"{rows} samples"


def _listed(value: Any) -> Any:
    if isinstance(value, np.integer | np.floating):
        return value.item()
    if isinstance(value, str | int | float | type | np.dtype):
        return value
    return [_listed(one) for one in value]
