"""A block as a polars frame, and its columns of numbers in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinynet.data.sources.parts.part import Array, Kind, Name, copy_numbers


def kind_of_column(dtype: Any) -> Kind:
    """What a polars column of this type holds."""
    import polars as pl

    if dtype.is_integer() or dtype == pl.Boolean:
        return "whole numbers"
    return "numbers" if dtype.is_numeric() else "other"


class FrameBlock:
    """A block as a frame."""

    targets: tuple[Name, ...] = ()

    def __init__(self, frame: Any):
        self._frame, self.length = frame, frame.height
        self.columns: dict[Name, Kind] = {name: kind_of_column(dtype) for name, dtype in frame.schema.items()}

    def read_into(self, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array, where: str) -> None:
        """Writes columns of numbers into X and y."""
        for names, out in ((features, X), (target, y)):
            for k, name in enumerate(names):
                column, what = self._frame[str(name)], f"{where}: column {name!r}"
                if column.null_count():
                    raise ValueError(f"{what} is blank in row {column.is_null().arg_max()}, expected numbers")
                copy_numbers(column.to_numpy(), out[:, k], what)

    def frame(self) -> Any:
        """The frame."""
        return self._frame
