"""Fits and predictions of tables that do not fit into memory.

One pass over the source finds the encoding (`tinynet.tables.summary`), the target's classes or range, and the rows that
are held out. After that blocks are encoded as they are read, on the thread that reads ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from ..data.sources import Source
from ..data.sources.parts.choosing import chosen_rows
from ..tables.frames import as_frame
from ..tables.summary import Summary
from ..tables.targets import refuse_blanks, target_array
from ..tensor import Array

# Rows that are held out at most: they are in memory, and scored after each epoch. A compromise: of so many, the share
# that are predicted right is known to within 0.3 %.
MOST_HELD = 100_000


@dataclass
class Pass:
    """What the pass over a source has found.

    Attributes:
        summary: of the rows to learn from.
        target: of the sample's rows, then of each block its classes or the ends of its range.
        held, held_target: the rows that nothing is learned from.
        share, seed: of the rows that are held out, and what draws them.
    """

    summary: Summary
    target: Array
    held: pl.DataFrame
    held_target: Array
    share: float
    seed: int


def passed(source: Source, share: float, seed: int, categorical: Any, classes: bool) -> Pass:
    """Reads all blocks once."""
    if len(source.target) != 1:
        raise ValueError(f"the source has {len(source.target)} targets, expected one: tn.scan(..., target=...)")
    share, target = min(share, MOST_HELD / source.rows), str(source.target[0])
    ends = list[pl.Series]()
    rows = [int((~chosen_rows(int(n), share, seed, block)).sum()) for block, n in enumerate(source.block_rows)]
    summary, held, targets = Summary(rows, categorical), list[pl.DataFrame](), list[pl.Series]()
    for block, height in enumerate(source.block_rows):
        frame = as_frame(source.frame(block))
        refuse_blanks(f"{source.where(block)}: the target {target!r}", frame[target].is_null().to_numpy())
        out = pl.Series(chosen_rows(int(height), share, seed, block))
        held.append(frame.filter(out))
        learned = frame.filter(~out)
        sampled = summary.add(learned.drop(target))
        targets.append(learned[target][sampled])
        ends.append(_ends(frame[target], classes))
    every = pl.concat(held, how="vertical_relaxed")
    found = pl.concat([column.to_frame() for column in [*targets, *ends]], how="vertical_relaxed").to_series()
    return Pass(summary, target_array(found), every.drop(target), target_array(every[target]), share, seed)


def _ends(column: pl.Series, classes: bool) -> pl.Series:
    if not len(column):
        return column
    return column.unique() if classes else pl.Series(column.name, [column.min(), column.max()], column.dtype)


class Encoded:
    """The rows to learn from, encoded block by block: what `tinynet.scan` takes."""

    def __init__(
        self, source: Source, found: Pass, encode: Callable[[pl.DataFrame], Array], wanted: Callable[[Any], Array]
    ):
        self.source, self.encode, self.wanted = source, encode, wanted
        self.share, self.seed = found.share, found.seed

    def __len__(self) -> int:
        return len(self.source)

    def check_unchanged(self) -> None:
        """Raises ValueError or OSError where a file has changed since it was scanned."""
        self.source.check_unchanged()

    def rows(self, block: int) -> int:
        """Of a block, but for those held out."""
        return int((~self._out(block)).sum())

    def read(self, block: int) -> tuple[Array, Array]:
        """Encoded rows, and what the loss takes for them."""
        target = str(self.source.target[0])
        frame = as_frame(self.source.frame(block)).filter(pl.Series(~self._out(block)))
        try:
            return self.encode(frame.drop(target)), self.wanted(target_array(frame[target]))
        except (ValueError, TypeError) as error:
            raise type(error)(f"{self.source.where(block)}: {error}") from None

    def _out(self, block: int) -> Array:
        return chosen_rows(int(self.source.block_rows[block]), self.share, self.seed, block)
