"""Frames one after the other as the bytes of one file, of which only a piece is in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl


def csv(frames: Iterable[pl.DataFrame]) -> Iterator[bytes]:
    """The frames as CSV, under one header."""
    for number, frame in enumerate(frames):
        buffer = io.BytesIO()
        frame.write_csv(buffer, include_header=number == 0)
        yield buffer.getvalue()


def parquet(frames: Iterable[pl.DataFrame]) -> Iterator[bytes]:
    """The frames as Parquet, a row group each; several by pyarrow, as polars writes none piece by piece."""
    frames = iter(frames)
    first, second = next(frames), next(frames, None)
    if second is None:
        buffer = io.BytesIO()
        first.write_parquet(buffer)
        yield buffer.getvalue()
        return
    import pyarrow.parquet as pq

    written = _Pieces()
    schema = first.to_arrow().schema
    with pq.ParquetWriter(written, schema) as writer:
        for frame in _chained(first, second, frames):
            writer.write_table(frame.to_arrow().cast(schema))
            yield written.taken()
    yield written.taken()


def _chained(first: pl.DataFrame, second: pl.DataFrame, others: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    yield first
    yield second
    yield from others


class _Pieces(io.RawIOBase):
    """A file that keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._kept, self._length = list[bytes](), 0

    def write(self, content: Any) -> int:
        self._kept.append(bytes(content))
        self._length += len(self._kept[-1])
        return len(self._kept[-1])

    def taken(self) -> bytes:
        """What was written since it was last taken."""
        kept, self._kept = self._kept, []
        return b"".join(kept)

    def tell(self) -> int:
        return self._length

    def writable(self) -> bool:
        return True

    def close(self) -> None:  # by the writer: what it wrote last is still to be taken
        pass
