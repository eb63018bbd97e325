"""A source: rows in blocks, of which columns are features and one or more the target."""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from kernels.spelling import did_you_mean
from tinynet.checks import check_number, check_positive
from tinynet.data.sources.parts.choosing import Chosen
from tinynet.data.sources.parts.part import Array, Name, Part

# Of a window's float32 rows, where none is asked for. A compromise: many blocks are shuffled together, and two windows
# leave room on a small machine.
WINDOW_BYTES = 1 << 27

ROWS_AT_A_TIME = 8_192  # that are checked together


class Source:
    """Rows in blocks that are read when they are needed; `tinynet.scan` makes one.

    ``len(source)`` is the number of blocks, ``source.read(block)`` a block's (X, y), or X alone without a target.

    Attributes:
        rows: of all blocks.
        features, target: names of the columns, of arrays their numbers; target is empty where there is none.
        window: how many blocks are shuffled together; asked_window: None where as many are as take 128 MiB.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        target: Name | Sequence[Name] | None,
        columns: Any = None,
        window: int | None = None,
    ):
        self.parts = tuple(parts)
        self._first = self.parts[0]
        self._check_alike()
        default = getattr(self._first, "targets", ())
        self._flat = isinstance(target, str | int) or (target is None and default == ("y",))
        given = default if target is None else (target,) if isinstance(target, str | int) else tuple(target)
        self.target = tuple(self._named("target", name) for name in given)
        chosen = self._first.columns if columns is None else [self._named("columns", name) for name in columns]
        self.features = tuple(name for name in chosen if name not in self.target and name not in default)
        if not self.features:
            raise ValueError(f"{self._first.name} has no column but the target, expected one or more to learn from")
        self.asked_window = None if window is None else check_positive("window", window)

    def __len__(self) -> int:
        return sum(len(part.rows) for part in self.parts)

    def __repr__(self) -> str:
        name = self._first.name + (f" and {len(self.parts) - 1} more" if len(self.parts) > 1 else "")
        target = ", ".join(map(repr, self.target)) or "none"
        return (
            f"Source({name}: {self.rows:,} rows in {len(self)} blocks, {len(self.features)} columns, target {target})"
        )

    @cached_property
    def block_rows(self) -> Array:
        """Rows of each block."""
        return np.array([rows for part in self.parts for rows in part.rows], np.int64)

    @property
    def rows(self) -> int:
        """Rows of all blocks."""
        return int(self.block_rows.sum())

    @cached_property
    def window(self) -> int:
        """How many blocks are shuffled together; by default as many as take 128 MiB of float32."""
        if self.asked_window is not None:
            return self.asked_window
        largest = 4 * len(self.features) * int(self.block_rows.max())
        return max(1, min(len(self), WINDOW_BYTES // max(1, largest)))

    @property
    def window_rows(self) -> int:
        """Rows of the largest window that any order of the blocks can have."""
        return int(np.sort(self.block_rows)[::-1][: self.window].sum())

    @property
    def identity(self) -> int:
        """A number that is another one where an epoch's order of rows would be."""
        return zlib.crc32(repr((self.window, self.block_rows.tolist())).encode())

    @property
    def target_kind(self) -> str:
        """What the target holds: "whole numbers" or "numbers"."""
        kinds = {self._first.columns[name] for name in self.target}
        return "whole numbers" if kinds == {"whole numbers"} else "numbers"

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Of a row's target."""
        return () if self._flat else (len(self.target),)

    def where(self, block: int) -> str:
        """The block's name: of its file, and the row group's number."""
        part, inside = self._place(block)
        return part.where(inside)

    def check_unchanged(self) -> None:
        """Raises ValueError or OSError where a file is no longer what it was when it was scanned."""
        for part in self.parts:
            part.check_unchanged()

    def check_numbers(self) -> None:
        """Raises TypeError where a column holds anything but numbers."""
        self._check_numbers((*self.features, *self.target))

    def check_features(self) -> None:
        """The same of the features alone."""
        self._check_numbers(self.features)

    def _check_numbers(self, names: Sequence[Name]) -> None:
        for name in names:
            if self._first.columns[name] == "other":
                raise TypeError(
                    f"{self._first.name}: column {name!r} holds no numbers, expected numbers: leave it out by "
                    f"columns=, or let tn.TabularClassifier or tn.TabularRegressor encode the table"
                )

    def read(self, block: int) -> Any:
        """(X, y) of a block, or X alone where there is no target: X (rows, features) float32, y int64 or float32.

        Raises:
            ValueError, OSError: as `read_into`.
        """
        rows = int(self.block_rows[block])
        X = np.empty((rows, len(self.features)), np.float32)
        whole = self.target_kind == "whole numbers"
        y = np.empty((rows, *self.target_shape), np.int64 if whole else np.float32)
        self.read_into(block, X, y)
        return (X, y) if self.target else X

    def read_into(self, block: int, X: Array, y: Array) -> None:
        """Writes a block's rows into X (rows, features) and y (rows,) or (rows, targets), in their dtypes.

        Raises:
            ValueError: the block is damaged, its file has changed since it was scanned, or numbers in it are blank or
                not finite; one sentence that names the file and the row group.
            OSError: the file is no longer there, or cannot be read.
        """
        part, inside = self._place(block)
        part.read_into(inside, self.features, self.target, X, y.reshape(len(y), -1))
        for start in range(0, len(X), ROWS_AT_A_TIME):
            rows = slice(start, start + ROWS_AT_A_TIME)
            for names, array in ((self.features, X[rows]), (self.target, y.reshape(len(y), -1)[rows])):
                if not (finite := np.isfinite(array)).all():
                    row, k = np.argwhere(~finite)[0].tolist()
                    raise ValueError(
                        f"{part.where(inside)}: column {names[k]!r} holds {array[row, k]} in row {start + row}, "
                        f"expected numbers that are finite in {array.dtype}"
                    )

    def sample(self, rows: int, dtype: Any, target_dtype: Any) -> tuple[Array, Array]:
        """(X, y) of the first rows of the first block that has some, at most so many."""
        if not self.rows:
            raise ValueError(f"{self._first.name} has no row, expected one or more")
        block = int(np.flatnonzero(self.block_rows)[0])
        count = int(self.block_rows[block])
        X, y = np.empty((count, len(self.features)), dtype), np.empty((count, *self.target_shape), target_dtype)
        self.read_into(block, X, y)
        return X[:rows].copy(), y[:rows].copy()

    def frame(self, block: int) -> Any:
        """A block as a polars frame, with the types of its columns: the features, then the target."""
        part, inside = self._place(block)
        return part.frame(inside, [*self.features, *self.target])

    def targets(self) -> Iterator[Any]:
        """The target's columns of each block, one after the other, as polars frames."""
        for block in range(len(self)):
            part, inside = self._place(block)
            yield part.frame(inside, self.target)

    def split(self, share: float = 0.2, seed: int = 0) -> tuple[Source, Source]:
        """The source in two, (train, test): test is a share of each block's rows, drawn by the seed."""
        check_number("share", share, 0.0, 1.0, "a share between 0 and 1")
        starts = [0, *self._ends]
        train, test = (
            [Chosen(part, share, seed, among, start) for part, start in zip(self.parts, starts, strict=False)]
            for among in (False, True)
        )
        return self._of(train), self._of(test)

    def _of(self, parts: Sequence[Part]) -> Source:
        """The same columns of other parts."""
        return Source(parts, self.target[0] if self._flat else self.target, self.features, self.asked_window)

    def frames(self) -> Iterator[Any]:
        """The features of each block, one after the other, as polars frames."""
        for block in range(len(self)):
            yield self.frame(block).drop([str(name) for name in self.target])

    def _place(self, block: int) -> tuple[Part, int]:
        """The part that has a block, and the block's number in it."""
        if not 0 <= block < len(self):
            raise IndexError(f"block is {block}, expected a number in [0, {len(self)})")
        number = bisect_right(self._ends, block)
        return self.parts[number], block - (self._ends[number - 1] if number else 0)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(part.rows) for part in self.parts))

    def _named(self, option: str, name: Any) -> Name:
        """A column of that name; of an array its number, from the end where it is below 0."""
        columns = self._first.columns
        if isinstance(name, int) and not isinstance(name, bool):
            numbers = [each for each in columns if isinstance(each, int)]
            if -len(numbers) <= name < len(numbers):
                return numbers[name]
            if numbers:
                raise ValueError(
                    f"{option} is {name}, expected the number of a column of {self._first.name}, which has "
                    f"{len(numbers)}"
                )
        if name not in columns:
            raise ValueError(f"{option} {name!r}: no column of {self._first.name}, {_near(name, columns)}")
        found: Name = name
        return found

    def _check_alike(self) -> None:
        """Refuses parts whose columns are others than the first one's."""
        first = self._first
        for part in self.parts[1:]:
            for has, lacks in ((first, part), (part, first)):
                if missing := [name for name in has.columns if name not in lacks.columns]:
                    raise ValueError(
                        f"{part.name} has other columns than {first.name}: {lacks.name} lacks {missing[0]!r}"
                    )
            for name, kind in first.columns.items():
                if part.columns[name] != kind:
                    raise ValueError(
                        f"{part.name} has other columns than {first.name}: {name!r} holds {_said(part.columns[name])}, "
                        f"there {_said(kind)}"
                    )


def _said(kind: str) -> str:
    return "no numbers" if kind == "other" else kind


def _near(name: Any, columns: Any) -> str:
    return did_you_mean(str(name), [str(column) for column in columns])
