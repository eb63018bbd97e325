"""Parquet files by row groups and Arrow files by record batches, read by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.data.sources.part import Array, Kind, Name, Part, Unchanged, copy_numbers
from tinynet.tables.columnar import refused_as_damaged
from tinynet.tables.sources import first_line

ROWS_AT_A_TIME = 8_192  # of a row group that are decoded together, and then copied while they are in a cache

BUFFER = 1 << 20  # bytes of a column that are read together: a column's part of a row group is not in memory as a whole


class ColumnarFile(Part):
    """A file of columns by name, in blocks."""

    kind: str
    unit: str

    def __init__(self, path: Path):
        self.path, self.name = path, str(path)
        self._file = Unchanged(path)
        with self._file.reading(self.name), refused_as_damaged(path, self.kind):
            schema, self._rows = self._described()
            # What pandas wrote as an index is none of the table's columns.
            index = (schema.pandas_metadata or {}).get("index_columns", [])
        names = [field.name for field in schema if field.name not in index]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{path}: {names.count(twice)} columns are named {twice!r}; rename all but one")
        self.columns = {field.name: _kind(field.type) for field in schema if field.name not in index}

    @property
    def rows(self) -> Sequence[int]:
        return self._rows

    def where(self, block: int) -> str:
        return f"{self.path}, {self.unit} {block}"

    def read_into(self, block: int, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array) -> None:
        start = 0
        for batch in self._checked(block, [*features, *target]):
            stop = start + batch.num_rows
            for names, out in ((features, X), (target, y)):
                for k, name in enumerate(names):
                    _copy(batch.column(name), out[start:stop, k], f"{self.where(block)}: column {name!r}", start)
            start = stop

    def frame(self, block: int) -> Any:
        import polars as pl
        import pyarrow as pa

        names = list(self.columns)
        batches = list(self._checked(block, names))
        with self._damaged(block):
            return pl.from_arrow(pa.Table.from_batches(batches).select(names))

    def _checked(self, block: int, names: Sequence[Name]) -> Iterator[Any]:
        """The block's record batches, all of its rows."""
        found = 0
        batches = self._batches(block, [str(name) for name in names])
        while True:
            with self._file.reading(self.where(block)), self._damaged(block):
                batch = next(batches, None)
                if batch is not None:
                    batch.validate(full=True)
            if batch is None:
                break
            found += batch.num_rows
            if found > self._rows[block]:
                break
            yield batch
        if found != self._rows[block]:
            raise ValueError(f"{self.where(block)}: it has other than the {self._rows[block]} rows that its file says")

    @contextmanager
    def _damaged(self, block: int) -> Iterator[None]:
        try:
            yield
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system's; pyarrow raises OSError for bytes that make no sense, too
            raise ValueError(f"{self.where(block)}: damaged ({first_line(error)})") from None

    def _described(self) -> tuple[Any, tuple[int, ...]]:
        """The schema, and the rows of each block."""
        raise NotImplementedError

    def _batches(self, block: int, names: list[str]) -> Iterator[Any]:
        raise NotImplementedError


class ParquetFile(ColumnarFile):
    """A Parquet file, whose blocks are its row groups."""

    kind, unit = "a Parquet file", "row group"

    def _described(self) -> tuple[Any, tuple[int, ...]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path, memory_map=False) as file:
            self._metadata = file.metadata
            groups = range(file.metadata.num_row_groups)
            return file.schema_arrow, tuple(file.metadata.row_group(i).num_rows for i in groups)

    def _batches(self, block: int, names: list[str]) -> Iterator[Any]:
        import pyarrow.parquet as pq

        # One thread: steps run on the others. Pages are decoded as they come; the file is not mapped into memory, as a
        # mapped file that is cut short ends the process.
        with pq.ParquetFile(
            self.path, metadata=self._metadata, memory_map=False, pre_buffer=False, buffer_size=BUFFER
        ) as file:
            yield from file.iter_batches(ROWS_AT_A_TIME, [block], names, use_threads=False)


class ArrowFile(ColumnarFile):
    """An Arrow or Feather file, whose blocks are its record batches."""

    kind, unit = "an Arrow file", "record batch"

    def _described(self) -> tuple[Any, tuple[int, ...]]:
        import pyarrow as pa

        with pa.OSFile(str(self.path)) as file:
            schema = pa.ipc.open_file(file).schema
            some = pa.ipc.IpcReadOptions(included_fields=[0], use_threads=False)  # enough to know the rows
            reader = pa.ipc.open_file(file, options=some)
            return schema, tuple(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))

    def _batches(self, block: int, names: list[str]) -> Iterator[Any]:
        import pyarrow as pa

        with pa.OSFile(str(self.path)) as file:
            schema = pa.ipc.open_file(file).schema
            fields = pa.ipc.IpcReadOptions(
                included_fields=[schema.get_field_index(n) for n in names], use_threads=False
            )
            batch = pa.ipc.open_file(file, options=fields).get_batch(block)
        for start in range(0, batch.num_rows, ROWS_AT_A_TIME):
            yield batch.slice(start, ROWS_AT_A_TIME)


def check_pyarrow(path: Path) -> None:
    """Raises ImportError where the file cannot be read in blocks: polars gives no row group of a file."""
    if find_spec("pyarrow") is None:
        raise ImportError(f"{path}: reading it in blocks needs pyarrow: pip install 'tinynet[parquet]'")


def _kind(dtype: Any) -> Kind:
    import pyarrow as pa

    if pa.types.is_integer(dtype) or pa.types.is_boolean(dtype):
        return "whole numbers"
    return "numbers" if pa.types.is_floating(dtype) or pa.types.is_decimal(dtype) else "other"


def _copy(column: Any, out: Array, what: str, start: int) -> None:
    """A column's numbers into out; start: the number of its first row."""
    if column.null_count:
        row = start + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise ValueError(f"{what} is blank in row {row}, expected numbers")
    copy_numbers(column.to_numpy(zero_copy_only=False), out, what, start)
