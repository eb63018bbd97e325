"""Parquet files by row groups and Arrow files by record batches, read by pyarrow.

Nothing is mapped into memory: a mapped file that another process cuts short ends the process that reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinynet.data.sources.parts.columnar import ColumnarFile
from tinynet.data.sources.parts.part import Array, Kind, Name, copy_numbers

ROWS_AT_A_TIME = 8_192  # of a row group that are decoded together, and then copied while they are in a cache
BUFFER = 1 << 20  # bytes of a column that are read together: a column's part of a row group is not in memory as a whole


class ParquetFile(ColumnarFile):
    """A Parquet file, whose blocks are its row groups."""

    kind, unit = "a Parquet file", "row group"

    def _described(self) -> tuple[list[str], list[Kind], tuple[int, ...]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path, memory_map=False) as file:
            self._metadata = file.metadata
            groups = range(file.metadata.num_row_groups)
            return *_columns(file.schema_arrow), tuple(file.metadata.row_group(i).num_rows for i in groups)

    def _pieces(self, block: int, names: list[str]) -> Iterator[RecordBatch]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(
            self.path, metadata=self._metadata, memory_map=False, pre_buffer=False, buffer_size=BUFFER
        ) as file:
            first = 0
            # One thread: steps run on the others.
            for batch in file.iter_batches(ROWS_AT_A_TIME, [block], names, use_threads=False):
                yield RecordBatch(batch, first)
                first += batch.num_rows


class ArrowFile(ColumnarFile):
    """An Arrow or Feather file, whose blocks are its record batches."""

    kind, unit = "an Arrow file", "record batch"

    def _described(self) -> tuple[list[str], list[Kind], tuple[int, ...]]:
        import pyarrow as pa

        with pa.OSFile(str(self.path)) as file:
            schema = pa.ipc.open_file(file).schema
            some = pa.ipc.IpcReadOptions(included_fields=[0], use_threads=False)  # enough to know the rows
            reader = pa.ipc.open_file(file, options=some)
            return *_columns(schema), tuple(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))

    def _pieces(self, block: int, names: list[str]) -> Iterator[RecordBatch]:
        import pyarrow as pa

        with pa.OSFile(str(self.path)) as file:
            schema = pa.ipc.open_file(file).schema
            fields = [schema.get_field_index(name) for name in names]
            options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
            batch = pa.ipc.open_file(file, options=options).get_batch(block)
        for first in range(0, batch.num_rows, ROWS_AT_A_TIME):
            yield RecordBatch(batch.slice(first, ROWS_AT_A_TIME).select(names), first)


class RecordBatch:
    """Some rows of a block; first: the number of the first one in it."""

    def __init__(self, batch: Any, first: int):
        batch.validate(full=True)
        self._batch, self._first, self.length = batch, first, batch.num_rows

    def read_into(self, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array, where: str) -> None:
        """Writes columns of numbers into X and y."""
        for names, out in ((features, X), (target, y)):
            for k, name in enumerate(names):
                column, what = self._batch.column(name), f"{where}: column {name!r}"
                if column.null_count:
                    row = self._first + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
                    raise ValueError(f"{what} is blank in row {row}, expected numbers")
                copy_numbers(column.to_numpy(zero_copy_only=False), out[:, k], what, self._first)

    def frame(self) -> Any:
        """The columns as a polars frame."""
        import polars as pl

        return pl.from_arrow(self._batch)


def _columns(schema: Any) -> tuple[list[str], list[Kind]]:
    """Names but for an index that pandas wrote, and what the columns hold."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    fields = [field for field in schema if field.name not in index]
    return [field.name for field in fields], [_kind(field.type) for field in fields]


def _kind(dtype: Any) -> Kind:
    import pyarrow as pa

    if pa.types.is_integer(dtype) or pa.types.is_boolean(dtype):
        return "whole numbers"
    return "numbers" if pa.types.is_floating(dtype) or pa.types.is_decimal(dtype) else "other"
