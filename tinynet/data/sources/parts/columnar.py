"""Files of columns by name, read block by block: what pyarrow's and polars' readers have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tinynet.data.sources.parts.part import Array, Kind, Name, Part, Unchanged
from tinynet.tables.columnar import refused_as_damaged
from tinynet.tables.sources import first_line


class Piece(Protocol):
    """Some rows of a block, one after the other."""

    length: int

    def read_into(self, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array, where: str) -> None:
        """Writes columns of numbers into X (rows, features) and y (rows, targets)."""

    def frame(self) -> Any:
        """The columns as a polars frame."""


class ColumnarFile(Part):
    """A file of columns by name, in blocks."""

    kind: str
    unit: str

    def __init__(self, path: Path):
        self.path, self.name = path, str(path)
        self._file = Unchanged(path)
        with self._file.reading(self.name), refused_as_damaged(path, self.kind):
            names, kinds, self._rows = self._described()
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{path}: {names.count(twice)} columns are named {twice!r}; rename all but one")
        self.columns: Mapping[Name, Kind] = dict(zip(names, kinds, strict=True))

    @property
    def rows(self) -> Sequence[int]:
        return self._rows

    def where(self, block: int) -> str:
        return f"{self.path}, {self.unit} {block}"

    def check_unchanged(self) -> None:
        self._file.check(self.where(0))

    def read_into(self, block: int, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array) -> None:
        start = 0
        for piece in self._checked(block, [*features, *target]):
            rows = slice(start, start + piece.length)
            piece.read_into(features, target, X[rows], y[rows], self.where(block))
            start = rows.stop

    def frame(self, block: int, names: Sequence[Name]) -> Any:
        import polars as pl

        pieces = list(self._checked(block, names))
        with self._damaged(block):
            return pl.concat([piece.frame() for piece in pieces], rechunk=True)

    @abstractmethod
    def _described(self) -> tuple[list[str], list[Kind], tuple[int, ...]]:
        """Names of the columns but for an index that pandas wrote, what they hold, and the rows of each block."""

    @abstractmethod
    def _pieces(self, block: int, names: list[str]) -> Iterator[Piece]:
        """These columns of a block, some rows at a time."""

    def _checked(self, block: int, names: Sequence[Name]) -> Iterator[Piece]:
        """A block's pieces, all of its rows."""
        found, pieces = 0, self._pieces(block, [str(name) for name in names])
        while True:
            with self._file.reading(self.where(block)), self._damaged(block):
                piece = next(pieces, None)
            if piece is None or (found := found + piece.length) > self._rows[block]:
                break
            yield piece
        if found != self._rows[block]:
            raise ValueError(f"{self.where(block)}: it has other than the {self._rows[block]} rows that its file says")

    @contextmanager
    def _damaged(self, block: int) -> Iterator[None]:
        try:
            yield
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # polars panics
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system's; pyarrow raises OSError for bytes that make no sense, too
            raise ValueError(f"{self.where(block)}: damaged ({first_line(error)})") from None
