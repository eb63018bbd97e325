"""Parquet files by row groups, read by polars where pyarrow is not installed.

polars maps the file into memory, and ends the process on some damaged files (`tinynet.tables.columnar`): pyarrow is
better where it is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tinynet.data.sources.parts.columnar import ColumnarFile
from tinynet.data.sources.parts.frame_block import FrameBlock, kind_of_column
from tinynet.data.sources.parts.parquet_footer import rows_of_groups
from tinynet.data.sources.parts.part import Kind


class ParquetFileByPolars(ColumnarFile):
    """A Parquet file, whose blocks are its row groups."""

    kind, unit = "a Parquet file", "row group"

    def _described(self) -> tuple[list[str], list[Kind], tuple[int, ...]]:
        import polars as pl

        rows, schema = rows_of_groups(self.path), pl.read_parquet_schema(self.path)
        index = json.loads(pl.read_parquet_metadata(self.path).get("pandas", "{}")).get("index_columns", [])
        names = [name for name in schema if name not in index]
        return names, [kind_of_column(schema[name]) for name in names], rows

    def _pieces(self, block: int, names: list[str]) -> Iterator[FrameBlock]:
        import polars as pl

        first = sum(self._rows[:block])
        yield FrameBlock(pl.scan_parquet(self.path).select(names).slice(first, self._rows[block]).collect())
