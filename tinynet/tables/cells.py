"""What the text in a cell means: a blank, a number, or what it says.

- White space around a text does not count.
- A text of `BLANKS`, however it came into the table, is a blank, as a null and a NaN are.
- A number is written as 3, -4.5, 1e6, inf, or with commas between thousands: 1,234.5. A column of text is a column of
  numbers when every cell that is not blank is one, and none has a leading zero: 02139 is a code.
- 7, 7.0 and "7" are the same level of a category, as are True, "True" and "true".
"""

import re
from collections.abc import Callable
from typing import Any, cast

import polars as pl

BLANKS = (
    "", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NaT", "null", "NULL", "None", "?",
)  # fmt: skip
_SAMPLE = 64  # cells that are looked at before all are
_LIKELY = re.compile(r"[+-]?[0-9.,]+([eE][+-]?[0-9]+)?|[+-]?inf(inity)?", re.IGNORECASE)
_LEADING_ZERO = r"^[+-]?0\d"
_THOUSANDS = r"^[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$"
_TOO_LONG, _LARGE = r"^[+-]?\d{19,}$", 1e18
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NUMERIC = frozenset("0123456789+-.")  # what a number begins with
_BLANKS = frozenset(BLANKS)
_EXACT = 2.0**53  # beyond it float64 no longer holds every whole number


def without_blanks(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with null for every blank, and its texts without white space around them."""
    columns = [_without_blank_levels(column) for column in frame]
    places: dict[Any, list[int]] = {}
    for place, column in enumerate(columns):
        places.setdefault(column.dtype, []).append(place)
    for kind, cleaned in _CLEANED.items():
        if kind in places and frame.height:  # cells of all columns at once: a call a column takes longer than its cells
            cells = cleaned(pl.concat([columns[place].rename("") for place in places[kind]], rechunk=True))
            for nth, place in enumerate(places[kind]):
                columns[place] = cells.slice(nth * frame.height, frame.height).alias(columns[place].name)
    return pl.DataFrame(columns)


def _without_blank_levels(column: pl.Series) -> pl.Series:
    """A category of which no level is a blank; other columns as they are."""
    if column.dtype not in (pl.Enum, pl.Categorical):
        return column
    levels = column.unique().drop_nulls().cast(pl.String).to_list()
    if all(text == level(text) for text in levels):
        return column
    known = sorted({text for text in map(level, levels) if text is not None})
    texts = pl.Series([level(text) for text in levels], dtype=pl.String)
    return column.cast(pl.String).replace_strict(levels, texts, default=None).cast(pl.Enum(known))


def _stripped(texts: pl.Series) -> pl.Series:
    return texts.str.strip_chars().replace(BLANKS, [None] * len(BLANKS))


def _known(numbers: pl.Series) -> pl.Series:
    return numbers.fill_nan(None)


_CLEANED: dict[Any, Callable[[pl.Series], pl.Series]] = {pl.String: _stripped, pl.Float32: _known, pl.Float64: _known}


def parsed(texts: pl.Series) -> pl.Series:
    """float64: the number in each text, null where there is none."""
    numbers = texts.cast(pl.Float64, strict=False)
    total = numbers.sum()
    if total != total:
        numbers = numbers.fill_nan(None)  # a NaN that is none of BLANKS is a word
    if numbers.null_count() > texts.null_count():
        commas = texts.str.contains(_THOUSANDS) & numbers.is_null()
        if commas.any():
            plain = texts.str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False)
            numbers = plain.zip_with(commas.fill_null(False), numbers)
    return numbers


def as_numbers(texts: pl.Series) -> pl.Series | None:
    """`parsed`, where a column of text is one of numbers."""
    some = [text for text in texts.head(_SAMPLE).to_list() if text is not None]
    if not all(map(_LIKELY.fullmatch, some)) or texts.null_count() == len(texts):
        return None
    numbers = parsed(texts)
    fits = numbers.null_count() == texts.null_count() and not texts.str.contains(_LEADING_ZERO).any()
    return numbers if fits else None


def with_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with int64 or float64 for each column of text that is one of numbers.

    Whole numbers beyond 64 bits stay text, in which no digit is lost.
    """
    return pl.DataFrame([_typed(column) if column.dtype == pl.String else column for column in frame])


def _typed(column: pl.Series) -> pl.Series:
    numbers = as_numbers(column)
    if numbers is None:
        return column
    whole = column.cast(pl.Int64, strict=False)
    if whole.null_count() == column.null_count():
        return whole
    longest = max(abs(cast(float, numbers.max())), abs(cast(float, numbers.min())))
    return column if longest >= _LARGE and column.str.contains(_TOO_LONG).any() else numbers


def level(value: Any) -> str | None:
    """The text of a category's value: what is equal in meaning is equal in text; None for a blank."""
    if isinstance(value, str):
        text = value.strip()
        if text in _BLANKS:
            return None
        if text[:1] not in _NUMERIC:
            return text.lower() if text.lower() in ("true", "false") else text
        if _WHOLE.fullmatch(text):
            return "0" if text == "-0" else text.removeprefix("+")
        return _shortest(float(text)) if _NUMBER.fullmatch(text) else text
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return _shortest(value) if isinstance(value, float) else str(value)


def _shortest(number: float) -> str:
    return str(int(number)) if abs(number) <= _EXACT and number == int(number) else repr(number)


def shortened(text: str, longest: int = 40) -> str:
    """A text as a message or a table shows it."""
    return text if len(text) <= longest else text[: longest - 3] + "..."
