"""A fitted encoding: which columns become which numbers. `TableEncoder` is its face.

The output has, in this order:

- numbers: those of number columns, and of dates the seconds since 1970, and year, month, day of the week and hour
  where they varied in fit. Each goes through robust scale and smooth clip (`tinynet.tables.scaling`); a blank counts as
  the median and becomes 0, an infinity +-3.
- indicators: 1 where a number or date is blank, else 0, for columns that had blanks in fit.
- levels: a boolean or a category of two levels is one column, 1 for the first, -1 for the second, 0 for a blank or a
  level never seen. One of another number of levels, `max_one_hot` at most, is one-hot: a column a level, all 0 for a
  blank or a level never seen. (Two levels are one column whatever `max_one_hot` is.)
- codes: a category of more levels is one column of whole numbers, 0 for a blank or a level never seen, 1 and up for the
  others, to be looked up in an embedding. They are neither scaled nor clipped.

Indicators and levels go through scale and clip as numbers do (as in RealMLP, arXiv 2407.04491), with medians and
quartiles from their counts in fit, so that what comes out is one of few numbers, known beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import DTypeLike, NDArray

from tinynet.tables.columns import Column, moments, numbers
from tinynet.tables.dates import PARTS, part
from tinynet.tables.levels import Levels, counted, value_counts
from tinynet.tables.scaling import robust_scale, robust_scale_of_counts, smooth_clip
from tinynet.tables.summary import Summary

Array: TypeAlias = NDArray[Any]

CELLS_AT_A_TIME = 1 << 22  # of float64, whose quantiles are found together

_BINARY = np.array([-1.0, 0.0, 1.0])
_HOT = np.array([0.0, 1.0])


@dataclass(frozen=True)
class Number:
    """One column of numbers in the output: of which column, which part of a date, in which format its text is."""

    name: str
    part: str = ""
    form: str | None = None
    is_date: bool = False

    @property
    def output_name(self) -> str:
        """As in the output."""
        return f"{self.name}_{self.part}" if self.part else self.name


@dataclass(frozen=True, eq=False)
class Encoding:
    """All that fit found.

    Attributes:
        columns: what each column of the table is.
        numbers, centre, factor: the columns of numbers, and float64 (numbers,): their scale.
        blanks, indicators: positions in numbers of those with an indicator; float64 (blanks, 2): what comes out for a
            number, and for a blank.
        levels, level_values: categories with columns of their own; what comes out, float64: of two levels (3,), by
            code; of others (2, levels), for a cell of another level and of this.
        coded: categories that become codes.
    """

    columns: tuple[Column, ...]
    numbers: tuple[Number, ...]
    centre: Array
    factor: Array
    blanks: tuple[int, ...]
    indicators: Array
    levels: tuple[Levels, ...]
    level_values: tuple[Array, ...]
    coded: tuple[Levels, ...]

    @property
    def used(self) -> list[str]:
        """Names of the columns that are read."""
        return [column.name for column in self.columns if column.kind != "ignored"]

    @property
    def n_dense(self) -> int:
        """Columns of the output before those of codes."""
        return len(self.numbers) + len(self.blanks) + sum(map(width, self.levels))

    @property
    def output_names(self) -> list[str]:
        """A name for each column of the output."""
        names = [number.output_name for number in self.numbers]
        names += [f"{self.numbers[position].name}_missing" for position in self.blanks]
        for levels in self.levels:
            names += [f"{levels.name}_{text}" for text in levels.texts[: width(levels)]]
        names += [levels.name for levels in self.coded]
        taken: set[str] = set()
        for position, name in enumerate(names):
            while name in taken:
                name += "_"
            taken.add(name)
            names[position] = name
        return names

    def encode(self, frame: pl.DataFrame, dtype: DTypeLike) -> Array:
        """The numbers of a frame's rows, C-contiguous (rows, columns of the output)."""
        out = np.empty((frame.height, self.n_dense + len(self.coded)), dtype)
        columns = by_name(frame)
        block = number_block(columns, self.numbers, frame.height)
        end = len(self.numbers)
        out[:, :end] = smooth_clip(block, self.centre, self.factor)
        for position, (there, blank) in zip(self.blanks, self.indicators, strict=True):
            out[:, end] = np.where(np.isnan(block[:, position]), blank, there)
            end += 1
        for levels, values in zip(self.levels, self.level_values, strict=True):
            codes = levels.codes(columns[levels.name])
            begin, end = end, end + width(levels)
            if values.ndim == 1:
                out[:, begin] = values[codes]
            else:
                off, on = values
                out[:, begin:end] = off
                rows = np.flatnonzero(codes)
                known = codes[rows] - 1
                out[rows, begin + known] = on[known]
        for levels in self.coded:
            out[:, end] = levels.codes(columns[levels.name])
            end += 1
        return out


def width(levels: Levels) -> int:
    """Columns of the output for a category that has columns of its own."""
    return 1 if levels.count == 2 else levels.count


def fitted(
    frame: pl.DataFrame,
    columns: tuple[Column, ...],
    max_one_hot: int,
    min_frequency: int | float,
    whole: Summary | None = None,
) -> Encoding:
    """The encoding of a frame whose columns are described; whole: the table's, where the frame is but a sample."""
    candidates, found = list[Number](), by_name(frame)
    for column in columns:
        if column.kind == "number":
            candidates.append(Number(column.name))
        elif column.kind == "date":
            candidates += [Number(column.name, name, column.form, True) for name in PARTS]
    chosen, centre, factor, blank_counts = _scaled(found, candidates, frame.height)
    rows = frame.height
    if whole is not None:
        rows, blank_counts = whole.rows, np.array([whole.blanks[number.name] for number in chosen], np.int64)
    blanks = tuple(position for position, number in enumerate(chosen) if blank_counts[position] and not number.part)
    of_levels = (lambda name: value_counts(found[name])) if whole is None else whole.levels
    categories = [column.name for column in columns if _is_category(column)]
    counts = [counted(name, of_levels(name), rows, min_frequency) for name in categories]
    dense = [(levels, rows_of_codes) for levels, rows_of_codes in counts if levels.count <= max(max_one_hot, 2)]
    return Encoding(
        columns,
        chosen,
        centre,
        factor,
        blanks,
        _values_of(_HOT, np.array([[rows - blank_counts[i], blank_counts[i]] for i in blanks]).reshape(-1, 2)),
        tuple(levels for levels, _ in dense),
        _level_values([rows_of_codes for _, rows_of_codes in dense], rows),
        tuple(levels for levels, _ in counts if levels.count > max(max_one_hot, 2)),
    )


def _scaled(
    columns: Mapping[str, pl.Series], candidates: Sequence[Number], rows: int
) -> tuple[tuple[Number, ...], Array, Array, Array]:
    """The numbers, but for parts of dates that do not vary; centre, factor and blanks of each.

    Some columns at a time, as quantiles take several times a column's memory.
    """
    chosen, found = list[Number](), list[tuple[Array, Array, Array]]()
    together = max(1, CELLS_AT_A_TIME // max(1, rows))
    for first in range(0, max(1, len(candidates)), together):
        some = tuple(candidates[first : first + together])
        block = number_block(columns, some, rows)
        kept = [i for i, number in enumerate(some) if not number.part or _varies(block[:, i])]
        if len(kept) < len(some):
            block = block[:, kept]
        chosen += [some[i] for i in kept]
        found.append((*robust_scale(block), np.isnan(block).sum(axis=0)))
    centre, factor, blanks = (np.concatenate(each) for each in zip(*found, strict=True))
    return tuple(chosen), centre, factor, blanks


def by_name(frame: pl.DataFrame) -> dict[str, pl.Series]:
    """A frame's columns; the frame itself looks through all of its names for each."""
    return {column.name: column for column in frame}


def number_block(columns: Mapping[str, pl.Series], wanted: tuple[Number, ...], rows: int) -> Array:
    """float64 (rows, numbers), NaN for a blank."""
    block = np.empty((rows, len(wanted)), order="F")
    times: dict[str, pl.Series] = {}
    for position, number in enumerate(wanted):
        column = columns[number.name]
        if number.is_date:
            if number.name not in times:
                times[number.name] = moments(column, number.form)
            found = part(times[number.name], number.part)
        else:
            found = numbers(column)
        block[:, position] = found.to_numpy()
    return block


def _is_category(column: Column) -> bool:
    return column.kind in ("category", "boolean")


def _varies(column: Array) -> bool:
    known = column[~np.isnan(column)]
    return bool(known.size) and bool(known.min() < known.max())


def _level_values(counts: Sequence[Array], rows: int) -> tuple[Array, ...]:
    """What comes out for each code, or level, of each category; scaled together, since there may be very many.

    Args:
        counts: of each category, how many of the rows have each code, from 0.
        rows: of the table.
    """
    binary = [each[[2, 0, 1]] for each in counts if len(each) == 3]  # rows with -1, 0, 1
    others = [each[1:] for each in counts if len(each) != 3]
    hot = np.concatenate([np.empty(0, np.int64), *others])
    by_code = iter(_values_of(_BINARY, np.array(binary, np.int64).reshape(-1, 3))[:, [1, 2, 0]])
    by_level = _values_of(_HOT, np.stack([rows - hot, hot], axis=1)).T
    ends = iter(np.cumsum([len(each) for each in others]))
    values = []
    for each in counts:
        if len(each) == 3:
            values.append(next(by_code))
        else:
            end = next(ends)
            values.append(by_level[:, end - len(each) + 1 : end])
    return tuple(values)


def _values_of(values: Array, counts: Array) -> Array:
    """(columns, values): what comes out for each value of columns that held them so many times in fit."""
    if not len(counts):
        return np.empty((0, len(values)))
    centre, factor = robust_scale_of_counts(values, counts)
    found: Array = smooth_clip(np.repeat(values[:, None], len(counts), axis=1), centre, factor).T
    return found
