"""How many rows each row group of a Parquet file has, which polars does not say.

A Parquet file ends with its footer, the footer's length in 4 bytes, and "PAR1". The footer is Thrift's compact encoding
of FileMetaData (https://github.com/apache/parquet-format): field 4 is the list of RowGroup, whose field 3 is num_rows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

MAGIC = b"PAR1"
STOP, TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12
ROW_GROUPS, ROWS = 4, 3  # fields


def rows_of_groups(path: Path) -> tuple[int, ...]:
    """Rows of each row group. Raises ValueError or IndexError for what is no Parquet file."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        end, length = file.tell(), int.from_bytes(file.read(4), "little")
        if file.read(4) != MAGIC or length > end:
            raise ValueError("it does not end as Parquet files do")
        file.seek(end - length)
        footer = _Compact(file.read(length)).struct()
    return tuple(int(group[ROWS]) for group in footer[ROW_GROUPS])


class _Compact:
    """Values of Thrift's compact protocol, one after the other; structs are mappings from the fields' numbers."""

    def __init__(self, content: bytes):
        self._content, self._place = content, 0
        self._readers: dict[int, Callable[[], Any]] = {
            BYTE: self._byte, 4: self._whole, 5: self._whole, 6: self._whole, DOUBLE: lambda: self._bytes(8),
            BINARY: lambda: self._bytes(self._varint()), LIST: self._list, SET: self._list, MAP: self._map,
            STRUCT: self.struct,
        }  # fmt: skip

    def struct(self) -> dict[int, Any]:
        """Fields until stop; of each first a byte: its type, and how far its number is from the last one's."""
        found, number = dict[int, Any](), 0
        while (header := self._byte()) & 15 != STOP:
            number = number + (header >> 4) if header >> 4 else self._whole()
            kind = header & 15
            found[number] = kind == TRUE if kind in (TRUE, FALSE) else self._readers[kind]()
        return found

    def _byte(self) -> int:
        self._place += 1
        return self._content[self._place - 1]

    def _bytes(self, length: int) -> bytes:
        self._place += length
        if self._place > len(self._content):
            raise ValueError("a text goes beyond the end")
        return self._content[self._place - length : self._place]

    def _varint(self) -> int:
        found, shift = 0, 0
        while True:
            byte = self._byte()
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found

    def _whole(self) -> int:
        zigzag = self._varint()
        return (zigzag >> 1) ^ -(zigzag & 1)

    def _list(self) -> list[Any]:
        header = self._byte()
        count = header >> 4
        return self._items(header & 15, self._varint() if count == 15 else count)

    def _items(self, kind: int, count: int) -> list[Any]:
        if count > len(self._content):
            raise ValueError("a list goes beyond the end")
        read = self._byte if kind in (TRUE, FALSE) else self._readers[kind]
        return [read() for _ in range(count)]

    def _map(self) -> list[Any]:
        count = self._varint()
        kinds = self._byte() if count else 0
        return [(self._items(kinds >> 4, 1), self._items(kinds & 15, 1)) for _ in range(count)]
