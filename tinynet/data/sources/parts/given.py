"""Objects that give rows in blocks: anything with a length and ``read(block)``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tinynet.checks import check_whole
from tinynet.data.sources.parts.arrays import ArrayPart, InMemory
from tinynet.data.sources.parts.frame_block import FrameBlock
from tinynet.data.sources.parts.part import Array, Name, Part, kind_of


class Given(Part):
    """An object with a length in blocks and read(block): (X, y), an array of rows, or a frame.

    Rows of each block are what its ``rows(block)`` says; where it has none, all blocks are read once to know them. Its
    ``check_unchanged()``, if it has one, is called before each epoch, and raises what is wrong.
    """

    def __init__(self, given: Any):
        self.given, self.name = given, type(given).__name__
        self._length = check_whole(f"len({self.name})", len(given), 1)
        self._tells = callable(getattr(given, "rows", None))
        some = next((i for i in range(self._length) if self._told(i)), 0) if self._tells else 0
        first = self._block(some)
        self.columns, self.targets = first.columns, first.targets

    @cached_property
    def rows(self) -> Sequence[int]:
        return tuple(self._told(i) if self._tells else self._block(i).length for i in range(self._length))

    def _told(self, block: int) -> int:
        return check_whole(f"{self.name}.rows({block})", self.given.rows(block))

    def where(self, block: int) -> str:
        return f"{self.name}, block {block}"

    def check_unchanged(self) -> None:
        check = getattr(self.given, "check_unchanged", None)
        if check is not None:
            check()

    def read_into(self, block: int, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array) -> None:
        found = self._block(block)
        if found.columns.keys() != self.columns.keys():
            lacking = [repr(name) for name in self.columns if name not in found.columns]
            raise ValueError(
                f"{self.where(block)}: read({block}) has {len(found.columns)} columns, expected those of block 0"
                + (f": it lacks {', '.join(lacking[:3])}" if lacking else "")
            )
        if found.length != len(X):
            raise ValueError(
                f"{self.where(block)}: read({block}) has {found.length} rows, expected {len(X)} as at first"
            )
        found.read_into(features, target, X, y, self.where(block))

    def frame(self, block: int, names: Sequence[Name]) -> Any:
        return self._block(block).frame().select([str(name) for name in names])

    def _block(self, number: int) -> _Arrays | FrameBlock:
        return _as_block(self.given.read(number), self.where(number))


class _Arrays:
    """A block as arrays."""

    def __init__(self, part: ArrayPart):
        self._part = part
        self.columns, self.targets, self.length = part.columns, part.targets, part.X.shape[0]

    def read_into(self, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array, where: str) -> None:
        if self.length:
            self._part.read_into(0, features, target, X, y)

    def frame(self) -> Any:
        return self._part.frame(0, list(self.columns))


def _as_block(found: Any, where: str) -> _Arrays | FrameBlock:
    if isinstance(found, tuple) and len(found) == 2:
        X, y = (np.asarray(each) for each in found)
    elif isinstance(found, np.ndarray):
        X, y = found, None
    else:
        from tinynet.tables.frames import as_frame

        return FrameBlock(as_frame(found))
    for name, array in (("X", X), ("y", y)):
        if array is not None and kind_of(array.dtype) == "other":
            raise TypeError(f"{where}: {name} has dtype {array.dtype}, expected numbers")
    part = ArrayPart(InMemory(X, f"{where}: X"), None if y is None else InMemory(y, f"{where}: y"), max(1, len(X)))
    return _Arrays(part)
