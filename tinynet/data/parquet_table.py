"""Tables in Parquet files, read through pyarrow, which is the optional extra `parquet`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinynet.data.table import Table, column_position
from tinynet.tables.columnar import parquet_table
from tinynet.tables.sources import content


def read_parquet(path: Path, target: str | None) -> Table:
    """The table in a .parquet file; `target` is the name of a column, or its position.

    Every column but the target must hold numbers or truth values without nulls. An index that pandas wrote along is
    not a feature.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: not a Parquet file, or a damaged one; two columns of one name; no row, no feature; nulls or other
            types in a column; an unknown target. Rows are counted from 0.
        OSError: the file cannot be read.
    """
    if find_spec("pyarrow") is None:
        raise ImportError(f"{path}: reading .parquet files needs pyarrow: pip install tinynet[parquet]")
    table, index = parquet_table(path, content(path))
    return _table(path, table, [name for name in table.column_names if name not in index - {target}], target)


def _table(path: Path, table: Any, header: list[str], target: str | None) -> Table:
    position = column_position(str(path), header, target)
    names = header[:position] + header[position + 1 :]
    if not names:
        raise ValueError(f"{path}: the target {header[position]!r} is the only column; at least one feature is needed")
    if table.num_rows == 0:
        raise ValueError(f"{path}: there are columns but no row of data")
    features = np.empty((table.num_rows, len(names)))
    for column, name in enumerate(names):
        features[:, column] = _numbers(path, name, table.column(name))
    return Table(
        source=str(path),
        features=features,
        target=_target(path, header[position], table.column(header[position])),
        feature_names=tuple(names),
        target_names=(header[position],),
        place=lambda row: f"row {row}",
    )


def _numbers(path: Path, name: str, column: Any) -> NDArray[Any]:
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or _decimal(kind)):
        raise ValueError(f"{path}: column {name!r} has type {kind}; every column but the target must be numeric")
    _refuse_nulls(path, name, column)
    numbers: NDArray[Any] = column.to_numpy().astype(np.float64)
    return numbers


def _target(path: Path, name: str, column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        _refuse_nulls(path, name, column)
        return np.array(column.to_pylist(), dtype=object)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        _refuse_nulls(path, name, column)
        values: NDArray[Any] = column.to_numpy()
        return values
    if pa.types.is_floating(kind) or _decimal(kind):
        return _numbers(path, name, column)
    raise ValueError(f"{path}: the target {name!r} must hold numbers or text, got {kind}")


def _decimal(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_decimal(kind))


def _refuse_nulls(path: Path, name: str, column: Any) -> None:
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise ValueError(f"{path}: column {name!r} is null in row {row}; every row needs a value")
