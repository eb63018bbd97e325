"""What a source is made of: a file, or an object, whose rows are read in blocks."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Name = str | int  # of a column: arrays have numbers
Kind = Literal["whole numbers", "numbers", "other"]


class Part(ABC):
    """A file, or an object, whose rows are read in blocks.

    Attributes:
        name: for messages.
        columns: what each column holds, by its name.
        rows: of each block.
    """

    name: str
    columns: Mapping[Name, Kind]

    @property
    @abstractmethod
    def rows(self) -> Sequence[int]: ...

    @abstractmethod
    def where(self, block: int) -> str:
        """The block's name: its file's, and the row group's number."""

    def check_unchanged(self) -> None:  # noqa: B027 - what is no file may do nothing
        """Raises ValueError or OSError where the part is no longer what it was when it was scanned."""

    @abstractmethod
    def read_into(self, block: int, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array) -> None:
        """Writes a block's columns of numbers into X (rows, features) and y (rows, targets), as their dtypes are.

        Raises:
            ValueError: damaged, blanks among numbers, not the rows that were found at first.
            OSError: unreadable, or missing by now.
        """

    @abstractmethod
    def frame(self, block: int, names: Sequence[Name]) -> Any:
        """Columns of a block as a polars frame, with whatever types they have."""


def kind_of(dtype: np.dtype[Any]) -> Kind:
    """What an array of this dtype holds."""
    kinds: dict[str, Kind] = {"i": "whole numbers", "u": "whole numbers", "b": "whole numbers", "f": "numbers"}
    return kinds.get(dtype.kind, "other")


def copy_numbers(values: Array, out: Array, what: str, first: int = 0) -> None:
    """Writes numbers into out, in its dtype. what, first: of a message, whose they are and the first one's row.

    Raises:
        ValueError: out takes whole numbers and the values are others.
    """
    if out.dtype.kind == "i" and values.dtype.kind not in "iub":
        numbers = np.asarray(values, np.float64)  # decimals come as objects
        if not (whole := np.isfinite(numbers) & (numbers == np.trunc(numbers))).all():
            row = np.argwhere(~whole)[0]
            raise ValueError(f"{what} holds {numbers[tuple(row)]} in row {first + row[0]}, expected whole numbers")
    with np.errstate(over="ignore"):  # what becomes infinite is refused later
        np.copyto(out, values, casting="unsafe")


class Unchanged:
    """A file that is to stay as it was when it was scanned."""

    def __init__(self, path: Path):
        self.path, self._state = path, _state(path)

    @contextmanager
    def reading(self, where: str) -> Iterator[None]:
        """Raises ValueError where the file is no longer as it was, before or after the block that reads it."""
        self.check(where)
        try:
            yield
        except OSError as error:
            if error.filename is not None or error.errno is not None:
                raise type(error)(error.errno, f"{where}: {error.strerror or error}") from None
            raise OSError(f"{where}: {error}") from None
        except BaseException:
            self.check(where)  # what was met in bytes that another process is writing is not the reason
            raise
        self.check(where)

    def check(self, where: str) -> None:
        """Raises ValueError or OSError where the file is no longer as it was; where: the block that is read."""
        try:
            found = _state(self.path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{where}: the file is no longer there") from None
        except OSError as error:
            raise type(error)(f"{where}: {error.strerror}") from None
        if found != self._state:
            size, before = found[0], self._state[0]
            said = f"it has {size:,} bytes and had {before:,}" if size != before else "it was written again"
            raise ValueError(f"{where}: the file has changed since it was scanned ({said}); scan it again")


def _state(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns
