"""Arrays in memory and in .npy files, cut into blocks of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tinynet.data.sources.parts.part import Array, Name, Part, Unchanged, copy_numbers, kind_of

# Of a block of an array, which has none of its own. A compromise: many blocks make the shuffling finer, and a disk
# reads pieces of some MB about as fast as longer ones.
BLOCK_BYTES = 1 << 22


class Matrix(Protocol):
    """An array of one or two axes whose rows can be read."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def rows(self, start: int, stop: int) -> Array:
        """Rows from start on, before stop."""

    def check_unchanged(self) -> None:
        """Raises ValueError or OSError for a file that is no longer as it was."""


class InMemory:
    """An array as it is, or a memory-mapped one."""

    def __init__(self, array: Any, name: str):
        self.array, self.name = np.asanyarray(array), name
        self.shape, self.dtype = self.array.shape, self.array.dtype

    def rows(self, start: int, stop: int) -> Array:
        found: Array = self.array[start:stop]
        return found

    def check_unchanged(self) -> None:
        pass


class NpyFile:
    """An array in a .npy file, of which only the rows that are asked for are read.

    They are read at their place rather than mapped: a mapped file that is cut short ends the process, and its pages
    count as the process's memory.
    """

    def __init__(self, path: Path):
        self.path, self.name, self._file = path, str(path), Unchanged(path)
        with self._file.reading(self.name):
            try:
                mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise ValueError(f"{path}: not a .npy file of numbers, or a damaged one ({error})") from None
        if not isinstance(mapped, np.memmap):
            raise ValueError(f"{path}: an archive of arrays, expected a .npy file of one")
        self.shape, self.dtype, self._start = mapped.shape, mapped.dtype, mapped.offset
        self._by_columns = not mapped.flags.c_contiguous

    def rows(self, start: int, stop: int) -> Array:
        where = f"{self.path}, rows {start} to {stop - 1}"
        with self._file.reading(where):
            if not self._by_columns:
                width = self.shape[1] if len(self.shape) == 2 else 1
                return self._read(start * width, (stop - start) * width, where).reshape(-1, *self.shape[1:])
            return np.column_stack(
                [self._read(k * self.shape[0] + start, stop - start, where) for k in range(self.shape[1])]
            )

    def check_unchanged(self) -> None:
        self._file.check(f"{self.path}, from row 0 on")

    def _read(self, start: int, count: int, where: str) -> Array:
        found = np.fromfile(self.path, self.dtype, count, offset=self._start + start * self.dtype.itemsize)
        if len(found) < count:
            raise ValueError(f"{where}: the file ends before them")
        return found


class ArrayPart(Part):
    """Rows of X, which are columns 0, 1, ..., and of y, if there is one, which are columns "y" or "y0", "y1", ..."""

    def __init__(self, X: Matrix, y: Matrix | None, block_rows: int | None = None):
        if len(X.shape) != 2:
            raise ValueError(f"{X.name} has shape {X.shape}, expected (rows, columns)")
        if y is not None and (len(y.shape) not in (1, 2) or y.shape[0] != X.shape[0]):
            raise ValueError(f"{y.name} has shape {y.shape}, expected {X.shape[0]} rows as {X.name} has")
        self.X, self.y, self.name = X, y, X.name
        self.columns = dict.fromkeys(range(X.shape[1]), kind_of(X.dtype))
        self.targets: tuple[Name, ...] = ()
        if y is not None:
            self.targets = ("y",) if len(y.shape) == 1 else tuple(f"y{i}" for i in range(y.shape[1]))
            self.columns |= dict.fromkeys(self.targets, kind_of(y.dtype))
        self._block = block_rows or max(1, BLOCK_BYTES // max(1, X.shape[1] * X.dtype.itemsize))

    @property
    def rows(self) -> Sequence[int]:
        whole, rest = divmod(self.X.shape[0], self._block)
        return (self._block,) * whole + ((rest,) if rest else ())

    def where(self, block: int) -> str:
        start, stop = self._ends(block)
        return f"{self.name}, rows {start} to {stop - 1}"

    def check_unchanged(self) -> None:
        for matrix in (self.X, self.y):
            if matrix is not None:
                matrix.check_unchanged()

    def read_into(self, block: int, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array) -> None:
        found, targets = self._read(block)
        _copy_columns(found, targets, features, X, self.where(block))
        _copy_columns(found, targets, target, y, self.where(block))

    def frame(self, block: int, names: Sequence[Name]) -> Any:
        import polars as pl

        found, targets = self._read(block)
        return pl.DataFrame({str(name): _column(found, targets, name) for name in names})

    def _read(self, block: int) -> tuple[Array, Array | None]:
        start, stop = self._ends(block)
        return self.X.rows(start, stop), None if self.y is None else self.y.rows(start, stop)

    def _ends(self, block: int) -> tuple[int, int]:
        return block * self._block, min((block + 1) * self._block, self.X.shape[0])


def _column(X: Array, y: Array | None, name: Name) -> Array:
    if isinstance(name, int):
        column: Array = X[:, name]
        return column
    assert y is not None
    return y if y.ndim == 1 else y[:, int(name[1:])]


def _copy_columns(X: Array, y: Array | None, names: Sequence[Name], out: Array, what: str) -> None:
    if list(names) == list(range(X.shape[1])):
        copy_numbers(X, out, what)
        return
    for k, name in enumerate(names):
        copy_numbers(_column(X, y, name), out[:, k], f"{what}: column {name!r}")
