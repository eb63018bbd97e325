"""One kind of frame, polars', from all that people have tables in.

pandas frames are taken column by column, which needs no pyarrow; their index is no column. Columns without names (of an
array, of lists, of a pandas frame whose names are numbers) are column_0, column_1, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from tinynet.tables.cells import without_blanks
from tinynet.tables.series import as_series, comes_from


def as_frame(X: Any) -> pl.DataFrame:
    """The table as a polars frame, with null for every blank.

    Args:
        X: a pandas frame, a polars frame (a lazy one is collected), an Arrow table or batch, a 2-D array of numbers,
            texts or objects, a list of rows (sequences, or mappings from names), or columns by name.

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


def _frame(X: Any) -> pl.DataFrame:
    if isinstance(X, pl.DataFrame):
        return X
    if isinstance(X, pl.LazyFrame):
        return X.collect()
    if type(X).__module__.startswith("scipy.sparse"):
        raise TypeError(f"a table must be dense, got a sparse {type(X).__name__}, of which X.toarray() can be passed")
    if _are_records(X):
        X = {name: [record.get(name) for record in X] for name in _names(X)}
    names = given_names(X)
    if comes_from("pandas", X) and hasattr(X, "columns"):
        return _columns(names, X.shape[1], lambda position: X.iloc[:, position], len(X))
    if isinstance(X, Mapping):
        columns = list(X.values())
        return _columns(names, len(columns), columns.__getitem__, 0)
    if isinstance(X, np.ndarray) and X.dtype.names:
        return _columns(names, len(X.dtype.names), lambda position: X[X.dtype.names[position]], len(X))
    if comes_from("pyarrow", X) and hasattr(X, "columns"):
        return _columns(names, len(X.columns), X.columns.__getitem__, len(X))
    if hasattr(X, "__arrow_c_stream__") and names is not None:
        return pl.DataFrame(X)
    return _from_rows(X)


def _names(X: Any) -> list[Any]:
    if isinstance(X, pl.LazyFrame):
        return X.collect_schema().names()
    if isinstance(X, Mapping):
        return list(X)
    if isinstance(X, np.ndarray):
        return list(X.dtype.names or ())
    if _are_records(X):
        return list(dict.fromkeys(name for record in X for name in record))
    if comes_from("pyarrow", X):
        return list(getattr(X, "column_names", None) or X.schema.names)
    columns = getattr(X, "columns", None)
    return list(columns) if isinstance(columns, Iterable) else []


def _are_records(X: Any) -> bool:
    """Whether a table is a list of rows that each have values by name."""
    return isinstance(X, list | tuple) and len(X) > 0 and all(isinstance(row, Mapping) for row in X)


def _columns(names: list[str] | None, count: int, column: Callable[[int], Any], rows: int) -> pl.DataFrame:
    if not count and rows:
        raise ValueError(
            f"Found array with 0 feature(s) (shape=({rows}, 0)) while a minimum of 1 is required."
        )  # scikit-learn's sentence, which its checks of estimators look for
    if names is None:
        names = [f"column_{position}" for position in range(count)]
    _check_names(names)
    found = [as_series(name, column(position)) for position, name in enumerate(names)]
    for series in found:
        if len(series) != len(found[0]):
            raise ValueError(
                f"column {series.name!r} has {len(series)} rows but {found[0].name!r} has {len(found[0])}; all columns "
                "of a table must be equally long"
            )
    return pl.DataFrame(found)


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"two columns are named {twice!r}; rename one, as predictions find columns by their names")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"a column is named {name!r}, which is no text: half of a character of UTF-16; rename it"
            ) from None


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
    array = np.asanyarray(X)
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array of shape {array.shape} instead. Reshape your data: a column "
            "is array.reshape(-1, 1), a row array.reshape(1, -1)."
        )
    by_column = array if isinstance(array, np.ma.MaskedArray) else np.asfortranarray(array)
    return _columns(None, array.shape[1], lambda position: by_column[:, position], len(array))
