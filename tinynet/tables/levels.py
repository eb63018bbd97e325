"""A category's levels, and the codes of its cells: 0 for a blank or a level never seen, 1 and up for the others.

Levels that are rarer than `min_frequency` have one code together, the last. Levels are told apart by `cells.level`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tinynet.tables.cells import level
from tinynet.tables.columns import check_usable

Array: TypeAlias = NDArray[Any]

_FEW = 64  # cells that are looked up one by one sooner than by polars


@dataclass(frozen=True)
class Levels:
    """The levels of one column.

    Attributes:
        name: the column's.
        known: levels with a code of their own, 1 and up, ascending as text.
        rare: levels that share the code after those.
    """

    name: str
    known: tuple[str, ...]
    rare: tuple[str, ...]
    _codes: dict[str | None, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Number the levels."""
        codes: dict[str | None, int] = {text: code for code, text in enumerate(self.known, 1)}
        codes.update(dict.fromkeys(self.rare, len(self.known) + 1))
        object.__setattr__(self, "_codes", codes)

    @property
    def count(self) -> int:
        """Codes from 1 on."""
        return len(self.known) + bool(self.rare)

    @property
    def texts(self) -> tuple[str, ...]:
        """What each code from 1 on means."""
        return (*self.known, *(("infrequent",) if self.rare else ()))

    def codes(self, column: pl.Series) -> Array:
        """int64 (rows,): the code of each cell. Raises ValueError: cells that are no levels, such as lists."""
        check_usable(column)
        if len(column) <= _FEW:
            return np.array([self._codes.get(level(value), 0) for value in column.to_list()], np.int64)
        if column.dtype in (pl.Enum, pl.Categorical):
            column = column.cast(pl.String)
        if column.null_count() == len(column):
            return np.zeros(len(column), np.int64)
        values = column.unique()
        codes = pl.Series([self._codes.get(level(value), 0) for value in values.to_list()], dtype=pl.Int64)
        return column.replace_strict(values, codes, return_dtype=pl.Int64).to_numpy()


def counted(
    name: str, counts: Iterable[tuple[Any, int]], total: int, min_frequency: int | float
) -> tuple[Levels, Array]:
    """The levels of a column, rare where fewer rows have them than `min_frequency`, or than that share of all rows.

    Beside them int64 (codes,): how many rows have each code, from 0.

    Args:
        name: the column's.
        counts: its values with the rows of each.
        total: rows of the table.
        min_frequency: rows, or a share of them.
    """
    found: Counter[str] = Counter()
    for value, rows in counts:
        text = level(value)
        if text is not None:
            found[text] += rows
    least = min_frequency if isinstance(min_frequency, int) else min_frequency * total
    known = tuple(sorted(text for text, rows in found.items() if rows >= least))
    rare = tuple(sorted(text for text, rows in found.items() if rows < least))
    rows_of_codes = [found[text] for text in known] + ([sum(found[text] for text in rare)] if rare else [])
    return Levels(name, known, rare), np.array([total - sum(rows_of_codes), *rows_of_codes], np.int64)


def value_counts(column: pl.Series) -> Iterable[tuple[Any, int]]:
    """A column's values with the rows of each."""
    if len(column) <= _FEW:
        return Counter(column.to_list()).items()
    counts = column.value_counts(name="rows of the level")
    return zip(counts[:, 0].to_list(), counts[:, 1].to_list(), strict=True)
