"""Tables in files: a row of `READERS` for each file type."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from tinynet.tables.cells import with_numbers, without_blanks
from tinynet.tables.columnar import ipc_table, parquet_table, refused_as_damaged
from tinynet.tables.csv_text import read_records
from tinynet.tables.sources import TABLE_SUFFIXES, check_is_file, content, table_suffix


def read_table(path: str | os.PathLike[str]) -> pl.DataFrame:
    """The table in a file, with null for every blank.

    Text (.csv, .tsv; also .csv.gz, .csv.zst) is read as `tinynet.tables.csv_text` says; its columns are text, or int64
    or float64 where all cells are numbers. The others (.parquet, .arrow, .feather, .ipc) have the types that they were
    written with; an index that pandas wrote along is left out.

    Raises:
        ValueError: another file type, a file that is empty, damaged, or changed while it was read, without header or
            rows, two columns of one name; one sentence that names the file, and line or column where there is one.
        OSError: a file that is missing (FileNotFoundError), a folder (IsADirectoryError) or unreadable.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be text or a path, got {type(path).__name__}")
    file = Path(path).expanduser()
    check_is_file(file, READERS)
    try:
        return READERS[table_suffix(file)](file, content(file))
    except MemoryError:
        raise ValueError(f"{file}: the table takes more memory than there is") from None


def _text(path: Path, read: bytes) -> pl.DataFrame:
    return with_numbers(_checked(path, read_records(path, read).frame))


def _parquet(path: Path, read: bytes) -> pl.DataFrame:
    return _frame(path, "a Parquet file", read, pl.read_parquet, parquet_table)


def _ipc(path: Path, read: bytes) -> pl.DataFrame:
    return _frame(path, "an Arrow file", read, pl.read_ipc, ipc_table)


READERS: Mapping[str, Callable[[Path, bytes], pl.DataFrame]] = dict(
    zip(TABLE_SUFFIXES, (_text, _text, _parquet, _ipc, _ipc, _ipc), strict=True)
)


def _frame(path: Path, kind: str, read: bytes, by_polars: Any, by_arrow: Any) -> pl.DataFrame:
    """The frame in a columnar file; by polars only where pyarrow is not installed: `tinynet.tables.columnar`."""
    if find_spec("pyarrow") is not None:
        table, index = by_arrow(path, read)
        with refused_as_damaged(path, kind):
            frame = pl.from_arrow(table.drop_columns(sorted(index)))
    else:
        with refused_as_damaged(path, kind):
            frame = by_polars(io.BytesIO(read))
    assert isinstance(frame, pl.DataFrame)
    if not frame.width:
        raise ValueError(f"{path}: there is no column")
    return _checked(path, frame)


def _checked(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """A frame that has rows, without blanks."""
    if not frame.height:
        raise ValueError(f"{path}: there are columns but no row of data")
    return without_blanks(frame)
