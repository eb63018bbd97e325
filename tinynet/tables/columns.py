"""What a column is: guessed here and nowhere else, said in one line, overridden by name.

The first rule that fits decides:

1. `ignore` names it: ignored. Every cell is blank: ignored. `categorical` or `numeric` names it: that.
2. The same value in every cell, none blank: ignored, since there is nothing to learn from it.
3. Whole numbers under the name of an identifier (id, customer_id, PassengerId, index, row, rownames, no name),
   different in each of 20 rows or more: ignored.
4. Numbers, durations, times of day: number. So is text in which every cell is a number (`tinynet.tables.cells`).
5. Truth values, and text that says true and false only: boolean.
6. Dates and moments: date. So is text in which every cell is a date of one format (`tinynet.tables.dates`).
7. A category of pandas, polars or Arrow: category.
8. Text that differs in nearly every row (19 of 20, in 20 rows or more), as names and remarks do: ignored.
9. Other text: category.

Lists, structs, bytes and other objects are no columns, and are refused unless `ignore` names them; so is a category
with a level of more than 10,000 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal

import polars as pl

from kernels.spelling import did_you_mean
from kernels.text import aligned
from tinynet.tables.cells import as_numbers, level, parsed, shortened
from tinynet.tables.dates import FORMATS, as_moments, date_format, epoch, read
from tinynet.tables.frames import as_frame

Kind = Literal["number", "category", "boolean", "date", "ignored"]
Names = str | Sequence[str | int]

_MANY = 20  # rows from which on values that differ in each are not chance
_NEARLY_ALL = 0.95
_LONGEST_LEVEL = 10_000  # bytes
_IDENTIFIER = re.compile(
    r"(?i:(.*[\W_])?id|index|idx|(row|unnamed)[\W_]*(\d*|id|names?|numbers?|index)|#|)|.*[a-z]I[dD]"
)


@dataclass(frozen=True)
class Column:
    """One column of a table, and what it is taken for.

    Attributes:
        name: as in the table.
        kind: "number", "category", "boolean", "date" or "ignored".
        levels: different values of a category or boolean; else 0.
        missing: share of blank cells, 0 to 1.
        reason: why it is ignored, or is what its cells do not say; else "".
        form: the format of text that is dates, of those in `tinynet.tables.dates`; else None.
    """

    name: str
    kind: Kind
    levels: int = 0
    missing: float = 0.0
    reason: str = ""
    form: str | None = field(default=None, compare=False)  # the reason has it


def describe_columns(X: Any, categorical: Names = (), numeric: Names = (), ignore: Names = ()) -> tuple[Column, ...]:
    """What each column of a table is.

    Args:
        X: whatever `as_frame` takes.
        categorical: names of columns (or positions, from 0) that are to be taken for categories,
        numeric: for numbers,
        ignore: or left out.

    Raises:
        ValueError: a name that no column has (near misses are named) or that is given twice, a column of lists or other
            objects, text in a column of `numeric` that is not a number, a level that is too long.
    """
    return described(list(as_frame(X)), categorical, numeric, ignore)


def described(columns: Sequence[pl.Series], categorical: Names, numeric: Names, ignore: Names) -> tuple[Column, ...]:
    """`describe_columns` of the columns of a frame that `as_frame` has made."""
    names = [column.name for column in columns]
    told = _told(names, {"category": categorical, "number": numeric, "ignored": ignore})
    return tuple(_describe(column, told.get(column.name)) for column in columns)


def columns_text(columns: Sequence[Column]) -> str:
    """A line a column, aligned: name, kind, levels, share of blanks, reason."""
    rows = [["column", "kind", "levels", "blank", "why"]]
    for column in columns:
        blank = f"{column.missing:.1%}" if column.missing else "-"
        rows.append([said(column.name), column.kind, str(column.levels or "-"), blank, column.reason])
    return aligned(rows)


def said(name: str) -> str:
    """A column's name within a line."""
    return shortened(
        "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
    )


def moments(column: pl.Series, form: str | None) -> pl.Series:
    """The moments in a column of dates, or of text of the format `form`, or of another format where that reads all.

    Raises:
        ValueError: text that is no date, with its row; dates beyond the years 1 to 9999; numbers.
    """
    if column.dtype in (pl.Date, pl.Datetime):
        return as_moments(column)
    if column.dtype == pl.Null:
        return column.cast(pl.Datetime("us"))
    if column.dtype == pl.String:
        found = read(column, form or FORMATS[0])
        if found.null_count() == column.null_count():
            return found
        other = date_format(column)
        if other is not None:
            return read(column, other)
        row = first(found.is_null() & column.is_not_null())
        raise ValueError(
            f"column {column.name!r} has {shortened(column[row])!r} in row {row}, expected a date"
            f"{f' as {form}' if form else ''}"
        )
    raise ValueError(f"column {column.name!r} has type {column.dtype}, expected dates as in fit")


def as_read(column: pl.Series, described: Column) -> pl.Series:
    """A column that is not ignored: text of numbers as numbers, text of dates as moments."""
    if column.dtype == pl.String and described.kind in ("number", "date"):
        return numbers(column) if described.kind == "number" else moments(column, described.form)
    return column


def numbers(column: pl.Series) -> pl.Series:
    """float64: a column's numbers, with null for a blank where it has null.

    Raises:
        ValueError: text that is not a number, with its row; a type that has no numbers.
    """
    kind = column.dtype
    if kind.is_numeric() or kind in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64)
    if kind in (pl.Date, pl.Datetime):
        return epoch(as_moments(column))
    if kind in (pl.Duration, pl.Time):
        return epoch(column)
    if kind in (pl.Enum, pl.Categorical):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        found = parsed(column)
        if found.null_count() > column.null_count():
            row = first(found.is_null() & column.is_not_null())
            raise ValueError(
                f"column {column.name!r} has {shortened(column[row])!r} in row {row}, which is not a number; correct "
                f"the cell or leave it blank, or take the column for a category with categorical=[{column.name!r}]"
            )
        return found
    raise unusable(column)


def first(rows: pl.Series) -> int:
    """The first of the rows that are marked."""
    return int(rows.arg_true()[0])


def check_usable(column: pl.Series) -> None:
    """Raises ValueError for lists, structs, bytes and other objects, and for dates beyond the years 1 to 9999."""
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        raise unusable(column)
    if column.dtype in (pl.Date, pl.Datetime):
        as_moments(column)


def unusable(column: pl.Series) -> ValueError:
    """The error that says that a column holds what no rule is for."""
    kind = "Python objects" if column.dtype == pl.Object else f"values of type {shortened(str(column.dtype))}"
    return ValueError(
        f"column {column.name!r} holds {kind}, expected numbers, text, truth values or dates; make a column of each "
        f"part, or leave it out with ignore=[{column.name!r}]"
    )


def _told(names: Sequence[str], lists: dict[str, Names]) -> dict[str, str]:
    """The kind that the user gave each column."""
    parameters = {"category": "categorical", "number": "numeric", "ignored": "ignore"}
    known, told = set(names), dict[str, str]()
    for kind, given in lists.items():
        some = (given,) if isinstance(given, str | int) else given
        if not isinstance(some, Iterable):
            raise TypeError(f"{parameters[kind]} is {given!r}, expected names of columns, or their positions from 0")
        for one in some:
            name = names[one] if isinstance(one, Integral) and 0 <= one < len(names) else one
            if name not in known:
                raise ValueError(f"{parameters[kind]}: no column is named {name!r}: {did_you_mean(str(name), names)}")
            if told.setdefault(str(name), kind) != kind:
                raise ValueError(
                    f"column {name!r} is named in {parameters[told[str(name)]]} and in {parameters[kind]}, expected one"
                )
    return told


def _describe(column: pl.Series, told: str | None) -> Column:
    missing = column.null_count() / max(len(column), 1)

    def made(kind: Kind, reason: str = "", levels: int = 0, form: str | None = None) -> Column:
        return Column(column.name, kind, levels, missing, reason, form)

    if told == "ignored":
        return made("ignored", "as told")
    check_usable(column)
    if missing == 1 or not len(column):
        return made("ignored", "every cell is blank")
    if told == "category":
        return made("category", "as told", _levels(column))
    if told == "number":
        numbers(column)
        return made("number", "as told")
    texts = column.dtype == pl.String
    plain, reason = column, ""
    found = as_numbers(column) if texts else None
    if found is not None:
        plain, reason = found, "text of numbers"
    if not missing and plain.null_count() == 0 and _is_constant(plain):
        return made("ignored", f"{said(str(column[0]))} in every row")
    if plain.dtype.is_numeric() or plain.dtype in (pl.Duration, pl.Time):
        return made("ignored", "an identifier") if _is_identifier(plain, reason) else made("number", reason)
    if plain.dtype == pl.Boolean:
        return made("boolean", levels=plain.n_unique() - bool(missing))
    if plain.dtype in (pl.Date, pl.Datetime):
        return made("date")
    form = date_format(column) if texts else None
    if form is not None:
        return made("date", f"text as {form}", form=form)
    return _described_text(column, made)


def _described_text(column: pl.Series, made: Any) -> Column:
    known = len(column) - column.null_count()
    distinct = column.n_unique() - bool(column.null_count())
    if column.dtype == pl.String:
        if distinct <= 2 and _says_truth(column):
            return made("boolean", "text", distinct)  # type: ignore[no-any-return]
        if known >= _MANY and distinct >= _NEARLY_ALL * known:
            return made("ignored", "text that differs in nearly every row")  # type: ignore[no-any-return]
    return made("category", "", _levels(column))  # type: ignore[no-any-return]


def _says_truth(column: pl.Series) -> bool:
    words = {"true", "false", None}
    return level(column[0]) in words and {level(value) for value in column.unique().to_list()} <= words


def _levels(column: pl.Series) -> int:
    is_category = column.dtype in (pl.Enum, pl.Categorical)
    if is_category or (column.dtype == pl.String and column.estimated_size() > _LONGEST_LEVEL):
        lengths = column.cast(pl.String).str.len_bytes()
        row = lengths.arg_max()
        if row is not None and lengths[row] > _LONGEST_LEVEL:
            raise ValueError(
                f"column {column.name!r} has a text of {lengths[row]} bytes in row {row}, too long for a category's "
                f"level (at most {_LONGEST_LEVEL}); leave the column out with ignore=[{column.name!r}]"
            )
    return column.n_unique() - bool(column.null_count())


def _is_constant(column: pl.Series) -> bool:
    if column.dtype.is_numeric():
        return bool(column.min() == column.max())
    return column.n_unique() == 1


def _is_identifier(column: pl.Series, reason: str) -> bool:
    if len(column) < _MANY or column.null_count() or not _IDENTIFIER.fullmatch(column.name.strip()):
        return False
    whole = column.dtype.is_integer() or (bool(reason) and bool((column == column.floor()).all()))
    return whole and column.n_unique() == len(column)
