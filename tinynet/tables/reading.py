"""Tables in files: a row of `READERS` for each file type."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from tinynet.tables.cells import with_numbers, without_blanks
from tinynet.tables.csv_text import read_records
from tinynet.tables.sources import check_is_file, content


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
    stem = file.with_suffix("") if file.suffix.lower() not in READERS else file
    try:
        return without_blanks(READERS[stem.suffix.lower()](file, content(file)))
    except MemoryError:
        raise ValueError(f"{file}: the table takes more memory than there is") from None


def _text(path: Path, read: bytes) -> pl.DataFrame:
    return with_numbers(without_blanks(read_records(path, read).frame))


def _parquet(path: Path, read: bytes) -> pl.DataFrame:
    return _checked(path, "Parquet", *_columnar(path, "Parquet", read, _parquet_by_arrow, pl.read_parquet))


def _ipc(path: Path, read: bytes) -> pl.DataFrame:
    return _checked(path, "Arrow", *_columnar(path, "Arrow", read, _ipc_by_arrow, pl.read_ipc))


READERS: Mapping[str, Callable[[Path, bytes], pl.DataFrame]] = {
    ".csv": _text,
    ".tsv": _text,
    ".parquet": _parquet,
    ".arrow": _ipc,
    ".feather": _ipc,
    ".ipc": _ipc,
}


def _columnar(path: Path, kind: str, read: bytes, by_arrow: Any, by_polars: Any) -> tuple[Any, set[str]]:
    """The table, and the names that pandas wrote its index under.

    pyarrow reads it where it is installed: polars 2.1 ends the process when a damaged file claims a size beyond memory.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        by_arrow = None
    try:
        if by_arrow is None:
            return by_polars(io.BytesIO(read)), set()
        table = by_arrow(io.BytesIO(read))
        table.validate(full=True)
        written = (table.schema.pandas_metadata or {}).get("index_columns", [])
        return table, {name for name in written if isinstance(name, str)}
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever the libraries beneath meet in bytes that make no sense; polars' panics
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path}: not {'an' * (kind == 'Arrow') or 'a'} {kind} file, or a damaged one ({said})"
        ) from None


def _checked(path: Path, kind: str, table: Any, index: set[str]) -> pl.DataFrame:
    names = table.columns if isinstance(table, pl.DataFrame) else table.column_names
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"{path}: {times} columns are named {name!r}; rename all but one")
    try:
        frame = (
            table if isinstance(table, pl.DataFrame) else pl.from_arrow(table.drop_columns(sorted(index & set(names))))
        )
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"{path}: a column has a type that polars does not know ({error})".partition("\n")[0]
        ) from None
    assert isinstance(frame, pl.DataFrame)
    if not frame.width:
        raise ValueError(f"{path}: there is no column")
    if not frame.height:
        raise ValueError(f"{path}: there are columns but no row of data")
    return frame


def _parquet_by_arrow(file: io.BytesIO) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(file).read()


def _ipc_by_arrow(file: io.BytesIO) -> Any:
    import pyarrow.feather

    return pyarrow.feather.read_table(file)
