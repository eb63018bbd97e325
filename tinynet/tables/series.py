"""One column, polars' series, from all that people have columns in."""

from __future__ import annotations

import datetime
import decimal
import numbers
from typing import Any

import numpy as np
import polars as pl

from tinynet.tables.cells import level, shortened

_MOMENTS = (datetime.date, datetime.datetime, np.datetime64)
_CONTAINERS = (list, tuple, dict, set, frozenset, np.ndarray)


def as_series(name: str, values: Any) -> pl.Series:
    """One column from a series or sequence of any library.

    Raises:
        TypeError, ValueError: as `as_frame` does.
    """
    if isinstance(values, pl.Series):
        return values.alias(name)
    if comes_from("pandas", values):
        import pandas

        return _from_pandas(name, pandas.Series(values))  # also of an index, or of one of pandas' arrays
    if comes_from("pyarrow", values):
        return from_arrow(name, values)
    array = values if isinstance(values, np.ndarray) else None
    if array is None and hasattr(values, "__array__"):
        array = np.asarray(values)
    if array is None:
        if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
            raise TypeError(
                f"column {name!r} must be a sequence of values, one for each row, got {type(values).__name__}"
            )
        return _from_objects(name, list(values))
    if array.ndim != 1:
        raise ValueError(f"column {name!r} must be 1-D, got shape {array.shape}")
    if isinstance(array, np.ma.MaskedArray):
        return _from_objects(name, array.tolist())  # None where it is masked
    return _from_array(name, array)


def from_arrow(name: str, values: Any) -> pl.Series:
    """One column from Arrow's, of whose types polars lacks a few.

    Raises:
        ValueError: a type that it lacks.
    """
    try:
        arrow = pl.from_arrow(values)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise ValueError(
            f"column {name!r} holds values of type {shortened(str(values.type))}, expected numbers, text, truth values "
            "or dates; leave the column out, or write it as one of those"
        ) from None
    assert isinstance(arrow, pl.Series)
    return arrow.alias(name)


def comes_from(package: str, value: Any) -> bool:
    """Whether a value's class, or one that it derives from, is of a package, which need not be installed."""
    return any(kind.__module__.partition(".")[0] == package for kind in type(value).__mro__)


def _from_array(name: str, array: np.ndarray[Any, Any]) -> pl.Series:
    kind = array.dtype.kind
    if kind == "c":
        raise ValueError(f"Complex data not supported: column {name!r} has dtype {array.dtype}, expected real numbers")
    if kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    if kind in "Mm" and np.datetime_data(array.dtype)[0] not in ("ms", "us", "ns"):
        return _from_objects(name, _moments(name, array))
    if kind in "biufMm":
        return pl.Series(name, np.ascontiguousarray(array))
    if kind == "S":
        return _from_objects(name, [_decoded(name, row, text) for row, text in enumerate(array.tolist())])
    if kind in "UO":
        return _from_objects(name, array.tolist())
    raise TypeError(f"column {name!r} has dtype {array.dtype}, expected numbers, text, truth values or dates")


def _moments(name: str, array: np.ndarray[Any, Any]) -> list[Any]:
    """Python's dates of NumPy's in units that polars does not know; None where there is none."""
    moments = array.astype(f"{array.dtype.kind}8[us]").tolist()
    for row, moment in enumerate(moments):
        if isinstance(moment, int) or (moment is None and not np.isnat(array[row])):
            raise ValueError(f"column {name!r} has {array[row]} in row {row}; dates must be of the years 1 to 9999")
    return list(moments)


def _decoded(name: str, row: int, text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise ValueError(f"column {name!r} has {text!r} in row {row}, which is not UTF-8") from None


def _from_pandas(name: str, series: Any) -> pl.Series:
    """A pandas series of any dtype, without its index."""
    kind = series.dtype
    if isinstance(kind, np.dtype):
        return _from_array(name, series.to_numpy())
    what = type(kind).__name__
    if what == "CategoricalDtype":
        codes, levels = series.cat.codes.to_numpy(), [level(value) for value in series.cat.categories.tolist()]
        return _from_codes(name, codes, levels)
    if what == "DatetimeTZDtype":
        return _from_pandas(name, series.dt.tz_convert("UTC").dt.tz_localize(None))
    if what == "PeriodDtype":
        return _from_pandas(name, series.dt.to_timestamp())
    if what == "SparseDtype":
        return _from_pandas(name, series.sparse.to_dense())
    blank = series.isna().to_numpy()
    numpy_kind = getattr(kind, "numpy_dtype", None)
    if isinstance(numpy_kind, np.dtype) and numpy_kind.kind in "biuf":
        plain = (
            series.to_numpy(dtype=numpy_kind, na_value=numpy_kind.type(0))
            if blank.any()
            else series.to_numpy(numpy_kind)
        )
        known = _from_array(name, plain)
        return known.zip_with(pl.Series(~blank), pl.Series(name, [None], known.dtype)) if blank.any() else known
    return _from_objects(name, series.to_numpy(dtype=object, na_value=None).tolist())


def _from_codes(name: str, codes: np.ndarray[Any, Any], levels: list[str | None]) -> pl.Series:
    """A category from the position of each cell's level; -1 is a blank."""
    known = sorted({text for text in levels if text is not None})
    texts = pl.Series(name, [*levels, None], dtype=pl.String)  # the last for code -1
    return texts.gather(np.where(codes < 0, len(levels), codes)).cast(pl.Enum(known))


def _from_objects(name: str, values: list[Any]) -> pl.Series:
    """A column of Python's objects: text, numbers, truth values, dates; of several kinds, each cell's text."""
    kinds = set(map(type, values))
    if kinds <= {str, type(None)}:
        return _from_texts(name, values)
    values = [None if is_blank(value) else value for value in values]
    kinds = set(map(type, values)) - {type(None)}
    if any(issubclass(kind, complex | np.complexfloating) and not issubclass(kind, numbers.Real) for kind in kinds):
        raise ValueError(f"Complex data not supported: column {name!r} holds complex numbers, expected real ones")
    if not kinds or _all_of(kinds, (str,)):
        return _from_texts(name, [None if value is None else str(value) for value in values])
    if _all_of(kinds, (bool, np.bool_)):
        return pl.Series(name, [None if value is None else bool(value) for value in values], dtype=pl.Boolean)
    if _all_of(kinds, (numbers.Integral, np.bool_)):
        return _from_integers(name, values)
    if _all_of(kinds, (numbers.Real, decimal.Decimal, np.bool_)):
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    if _all_of(kinds, _MOMENTS):
        return _from_moments(name, values)
    if _all_of(kinds, (datetime.timedelta, np.timedelta64)):
        return pl.Series(name, np.array(values, "timedelta64[us]"))
    if _all_of(kinds, _CONTAINERS):
        return pl.Series(name, values, dtype=pl.Object)
    return _from_texts(name, [None if value is None else level(value) for value in values])


def _from_texts(name: str, texts: list[str | None]) -> pl.Series:
    try:
        return pl.Series(name, texts, dtype=pl.String)
    except UnicodeEncodeError as error:
        row = texts.index(error.object)
        raise ValueError(
            f"column {name!r} has {shortened(ascii(error.object))} in row {row}, which is no text: half of a character "
            "of UTF-16"
        ) from None


def _all_of(kinds: set[type], wanted: tuple[type, ...]) -> bool:
    return all(issubclass(kind, wanted) for kind in kinds)


def is_blank(value: Any) -> bool:
    """None, NaN, NaT and pandas' NA."""
    if value is None:
        return True
    if isinstance(value, (str, bytes, *_CONTAINERS)):
        return False
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA is neither equal to itself nor not
        return True


def _from_integers(name: str, values: list[Any]) -> pl.Series:
    whole = [None if value is None else int(value) for value in values]
    if all(value is None or -(2**63) <= value < 2**63 for value in whole):
        return pl.Series(name, whole, dtype=pl.Int64)
    return pl.Series(name, [None if value is None else str(value) for value in whole], dtype=pl.String)


def _from_moments(name: str, values: list[Any]) -> pl.Series:
    plain = []
    for value in values:
        if isinstance(value, np.datetime64):
            value = _moments(name, np.array([value]))[0]
        if isinstance(value, datetime.datetime) and value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        elif isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            value = datetime.datetime(value.year, value.month, value.day)
        plain.append(value)
    return pl.Series(name, plain, dtype=pl.Datetime("us"))
