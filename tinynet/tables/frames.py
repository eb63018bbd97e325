"""One kind of frame, polars', from all that people have tables in.

pandas frames are taken column by column, which needs no pyarrow; their index is no column. Columns without names (of an
array, of lists, of a pandas frame whose names are numbers) are column_0, column_1, ...
"""

from __future__ import annotations

import datetime
import decimal
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from tinynet.tables.cells import level, without_blanks

_MOMENTS = (datetime.date, datetime.datetime, np.datetime64)
_CONTAINERS = (list, tuple, dict, set, frozenset, np.ndarray)


def as_frame(X: Any) -> pl.DataFrame:
    """The table as a polars frame, with null for every blank.

    Args:
        X: a pandas frame, a polars frame (a lazy one is collected), an Arrow table or batch, a 2-D array of numbers,
            texts or objects, a list of rows, or columns by name.

    Raises:
        TypeError: something else, or sparse.
        ValueError: not two-dimensional, columns of different lengths, two columns of one name, complex numbers.
    """
    return without_blanks(_frame(X))


def given_names(X: Any) -> list[str] | None:
    """The names of a table's columns where all are text, as scikit-learn has it; None where there are none.

    Raises:
        TypeError: some are text and some are not.
    """
    names = _names(X)
    texts = [isinstance(name, str) for name in names]
    if any(texts) and not all(texts):
        kinds = sorted({type(name).__name__ for name in names})
        raise TypeError(f"the columns' names must all be text, or none of them, got {' and '.join(kinds)}")
    return [str(name) for name in names] if names and all(texts) else None


def as_series(name: str, values: Any) -> pl.Series:
    """One column from a series or sequence of any library.

    Raises:
        TypeError, ValueError: as `as_frame` does.
    """
    if isinstance(values, pl.Series):
        return values.alias(name)
    if _comes_from("pandas", values):
        import pandas

        return _from_pandas(name, pandas.Series(values))  # also of an index, or of one of pandas' arrays
    if _comes_from("pyarrow", values):
        arrow = pl.from_arrow(values)
        assert isinstance(arrow, pl.Series)
        return arrow.alias(name)
    array = values if isinstance(values, np.ndarray) else None
    if array is None and hasattr(values, "__array__"):
        array = np.asarray(values)
    if array is None:
        return _from_objects(name, list(values))
    if array.ndim != 1:
        raise ValueError(f"column {name!r} must be 1-D, got shape {array.shape}")
    return _from_array(name, array)


def _frame(X: Any) -> pl.DataFrame:
    if isinstance(X, pl.DataFrame):
        return X
    if isinstance(X, pl.LazyFrame):
        return X.collect()
    if type(X).__module__.startswith("scipy.sparse"):
        raise TypeError(f"a table must be dense, got a sparse {type(X).__name__}, of which X.toarray() can be passed")
    names = given_names(X)
    if _comes_from("pandas", X) and hasattr(X, "columns"):
        return _columns(names, X.shape[1], lambda position: X.iloc[:, position], len(X))
    if isinstance(X, Mapping):
        columns = list(X.values())
        return _columns(names, len(columns), columns.__getitem__, _height(columns))
    if _comes_from("pyarrow", X) and hasattr(X, "columns"):
        _check_distinct(names or [])
        arrow = pl.from_arrow(X)
        assert isinstance(arrow, pl.DataFrame)
        return arrow
    if hasattr(X, "__arrow_c_stream__") and names is not None:
        return pl.DataFrame(X)
    return _from_rows(X)


def _names(X: Any) -> list[Any]:
    if isinstance(X, pl.LazyFrame):
        return X.collect_schema().names()
    if isinstance(X, Mapping):
        return list(X)
    if _comes_from("pyarrow", X):
        return list(getattr(X, "column_names", None) or X.schema.names)
    columns = getattr(X, "columns", None)
    return list(columns) if isinstance(columns, Iterable) and not isinstance(X, np.ndarray) else []


def _comes_from(package: str, value: Any) -> bool:
    """Whether a value's class, or one that it derives from, is of a package, which need not be installed."""
    return any(kind.__module__.partition(".")[0] == package for kind in type(value).__mro__)


def _columns(names: list[str] | None, count: int, column: Callable[[int], Any], rows: int) -> pl.DataFrame:
    if not count and rows:
        raise ValueError(
            f"Found array with 0 feature(s) (shape=({rows}, 0)) while a minimum of 1 is required."
        )  # scikit-learn's sentence, which its checks of estimators look for
    if names is None:
        names = [f"column_{position}" for position in range(count)]
    _check_distinct(names)
    found = [as_series(name, column(position)) for position, name in enumerate(names)]
    for series in found:
        if len(series) != len(found[0]):
            raise ValueError(
                f"column {series.name!r} has {len(series)} rows but {found[0].name!r} has {len(found[0])}; all columns "
                "of a table must be equally long"
            )
    return pl.DataFrame(found)


def _height(columns: Sequence[Any]) -> int:
    return len(columns[0]) if columns else 0


def _check_distinct(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"two columns are named {twice!r}; rename one, as predictions find columns by their names")


def _from_rows(X: Any) -> pl.DataFrame:
    """The frame of an array, or of a list of rows."""
    if isinstance(X, str | bytes) or not (hasattr(X, "__array__") or isinstance(X, Sequence)):
        raise TypeError(
            f"a table must be a frame of pandas, polars or Arrow, a 2-D array, a list of rows or columns by name, "
            f"got {type(X).__name__}"
        )
    if isinstance(X, Sequence) and not hasattr(X, "__array__"):
        rows = list(X)
        if rows and all(isinstance(row, list | tuple) for row in rows):
            lengths = {len(row) for row in rows}
            if len(lengths) > 1:
                short = next(i for i, row in enumerate(rows) if len(row) != len(rows[0]))
                raise ValueError(f"row {short} has {len(rows[short])} values but row 0 has {len(rows[0])}")
            columns = list(zip(*rows, strict=True))
            return _columns(None, len(columns), columns.__getitem__, len(rows))
        X = np.array(rows) if rows else np.empty((0, 0))
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array of shape {array.shape} instead. Reshape your data: a column "
            "is array.reshape(-1, 1), a row array.reshape(1, -1)."
        )
    by_column = np.asfortranarray(array)
    return _columns(None, array.shape[1], lambda position: by_column[:, position], len(array))


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
        return pl.Series(name, values, dtype=pl.String)
    values = [None if _is_blank(value) else value for value in values]
    kinds = set(map(type, values)) - {type(None)}
    if any(issubclass(kind, complex | np.complexfloating) and not issubclass(kind, numbers.Real) for kind in kinds):
        raise ValueError(f"Complex data not supported: column {name!r} holds complex numbers, expected real ones")
    if not kinds or _all_of(kinds, (str,)):
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
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
    return pl.Series(name, [None if value is None else level(value) for value in values], dtype=pl.String)


def _all_of(kinds: set[type], wanted: tuple[type, ...]) -> bool:
    return all(issubclass(kind, wanted) for kind in kinds)


def _is_blank(value: Any) -> bool:
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
