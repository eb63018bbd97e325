"""What an encoder has to know of a table that comes in pieces, found in one pass.

Exact are the rows, each column's blanks, and the levels of text, categories and truth values with the rows of each.
Everything else is what a sample of the rows says, a million at most, drawn before the pass: what a column is, and its
quantiles. Of a table with no more rows than that all is exact, and the encoder is the one that the whole table gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tinynet.tables.columns import Column, Names, described
from tinynet.tables.frames import as_frame

Array: TypeAlias = NDArray[Any]

SAMPLE = 1_000_000  # rows at most
# Levels of a column up to which they are counted. A compromise: a net learns little about a level of few rows, and so
# many texts take some 100 MB.
MOST_LEVELS = 1_000_000
_COUNTED = (pl.String, pl.Boolean, pl.Enum, pl.Categorical)


class Summary:
    """A table's rows, blanks and levels, and a sample of its rows.

    Args:
        rows: of each piece that will come.
        categorical: columns whose levels are counted whatever they hold.
        seed: of the sample, ``np.random.default_rng(seed).choice(all rows, SAMPLE, replace=False)``.
    """

    def __init__(self, rows: Sequence[int] | Array, categorical: Names = (), seed: int = 0):
        self._ends = np.cumsum(np.asarray(rows, np.int64))
        total = int(self._ends[-1]) if len(self._ends) else 0
        self.whole = total <= SAMPLE
        chosen = np.arange(total) if self.whole else np.random.default_rng(seed).choice(total, SAMPLE, replace=False)
        self._chosen = np.sort(chosen)
        self._told = (categorical,) if isinstance(categorical, str | int) else tuple(categorical)
        self.rows = 0
        self.blanks: dict[str, int] = {}
        self._levels: dict[str, pl.DataFrame | None] = {}  # None: too many
        self._ranges: dict[str, tuple[Any, Any]] = {}
        self._sample: list[pl.DataFrame] = []

    def add(self, piece: Any) -> Array:
        """Takes the next piece, whatever `as_frame` takes; the numbers of its rows that the sample has."""
        frame = as_frame(piece)
        start, self.rows = self.rows, self.rows + frame.height
        first, last = np.searchsorted(self._chosen, [start, self.rows])
        rows = self._chosen[first:last] - start
        self._sample.append(frame[rows])
        for position, column in enumerate(frame):
            name = column.name
            self.blanks[name] = self.blanks.get(name, 0) + column.null_count()
            if column.dtype in _COUNTED or name in self._told or position in self._told:
                self._count(name, column)
            elif column.dtype.is_numeric() and column.null_count() < len(column):
                ends = [*self._ranges.get(name, ()), column.min(), column.max()]
                self._ranges[name] = (min(ends), max(ends))
        return rows

    @property
    def sample(self) -> pl.DataFrame:
        """The sample's rows, in the order of the table."""
        if len(self._sample) > 1:
            self._sample = [pl.concat(self._sample, how="vertical_relaxed")]
        return self._sample[0]

    def described(self, categorical: Names, numeric: Names, ignore: Names) -> tuple[Column, ...]:
        """What each column is."""
        columns = described([self._witness(column) for column in self.sample], categorical, numeric, ignore)
        return tuple(map(self._corrected, columns))

    def levels(self, name: str) -> Iterator[tuple[Any, int]]:
        """Values of a category with the rows of each, blanks among them."""
        counts = self._levels[name]
        assert counts is not None
        yield from zip(counts[:, 0].to_list(), counts[:, 1].to_list(), strict=True)

    def _count(self, name: str, column: pl.Series) -> None:
        if name in self._levels and self._levels[name] is None:
            return
        if column.dtype in (pl.Enum, pl.Categorical):
            column = column.cast(pl.String)
        counts = column.value_counts(name="rows of the level")
        before = self._levels.get(name)
        if before is not None:
            both = pl.concat([before, counts], how="vertical_relaxed")
            counts = both.group_by(name, maintain_order=True).agg(pl.col("rows of the level").sum())
        self._levels[name] = counts if counts.height <= MOST_LEVELS or self.whole else None

    def _witness(self, column: pl.Series) -> pl.Series:
        """The sample's cells, and what else of the table could change what a column is: text, a range, a blank."""
        if self.whole:
            return column
        more = list[pl.Series]()
        counts = self._levels.get(column.name)
        if counts is not None and column.dtype in (pl.String, pl.Boolean):
            more.append(counts[:, 0].filter(~counts[:, 0].is_in(column.unique().implode())).drop_nulls())
        elif column.name in self._ranges and column.min() == column.max():
            more.append(pl.Series(column.name, self._ranges[column.name], column.dtype))
        if self.blanks[column.name] and not column.null_count():
            more.append(pl.Series(column.name, [None], column.dtype))
        return pl.concat([column, *more]) if more else column

    def _corrected(self, column: Column) -> Column:
        """With the exact share of blanks, and number of levels."""
        found = replace(column, missing=self.blanks[column.name] / max(self.rows, 1))
        if found.kind not in ("category", "boolean") or self.whole:
            return found
        counts = self._levels[column.name]
        if counts is None:
            return replace(found, kind="ignored", levels=0, reason=f"more than {MOST_LEVELS:,} levels")
        return replace(found, levels=counts.height - (self.blanks[column.name] > 0))


def summary_of(pieces: Iterable[Any], rows: Sequence[int] | Array, categorical: Names = ()) -> Summary:
    """The summary of a table's pieces, of so many rows each."""
    found = Summary(rows, categorical)
    for piece in pieces:
        found.add(piece)
    return found
