"""Parquet and Arrow files as pyarrow's tables.

polars reads both, too, but polars 2.1 ends the process when a damaged file claims a column of 2**61 bytes, and panics
on others; pyarrow says what is wrong, also when the table takes more memory than there is.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinynet.tables.sources import first_line


def parquet_table(path: Path, read: bytes) -> tuple[Any, set[str]]:
    """The table in a Parquet file's bytes, and the names of those columns that are an index of pandas.

    Raises:
        ValueError: not a Parquet file, or a damaged one; two columns of one name.
    """
    import pyarrow.parquet as pq

    with refused_as_damaged(path, "a Parquet file"):
        return _checked(path, pq.ParquetFile(io.BytesIO(read)).read())


def ipc_table(path: Path, read: bytes) -> tuple[Any, set[str]]:
    """The same of an Arrow or Feather file."""
    import pyarrow.feather

    with refused_as_damaged(path, "an Arrow file"):
        return _checked(path, pyarrow.feather.read_table(io.BytesIO(read)))


@contextmanager
def refused_as_damaged(path: Path, kind: str) -> Iterator[None]:
    """Whatever the libraries beneath meet in bytes that make no sense becomes one sentence; so do polars' panics."""
    try:
        yield
    except (MemoryError, KeyboardInterrupt, SystemExit, _Refusal):
        raise
    except BaseException as error:
        raise ValueError(f"{path}: not {kind}, or a damaged one ({first_line(error)})") from None


class _Refusal(ValueError):
    """What is said of a file that is read well."""


def _checked(path: Path, table: Any) -> tuple[Any, set[str]]:
    table.validate(full=True)
    names = list(table.column_names)
    written = (table.schema.pandas_metadata or {}).get("index_columns", [])
    for name, times in Counter(names).items():
        if times > 1:
            raise _Refusal(f"{path}: {times} columns are named {name!r}; rename all but one")
    return table, {name for name in written if isinstance(name, str)} & set(names)
