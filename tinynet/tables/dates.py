"""Dates: which texts are dates, and the numbers that a date is encoded as.

A column of text is one of dates when one of `FORMATS` reads every cell that is not blank. The first such format is
kept, so that 03/04/2024 means at predict what it meant in fit.
"""

import polars as pl

FORMATS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M",
    "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M",
    "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S",
)  # fmt: skip
PARTS = ("", "year", "month", "weekday", "hour")  # "" is the time itself, in seconds since 1970
_SAMPLE = 64  # cells that are looked at before all are
_SHORTEST = 8  # characters of a date
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_800.0  # seconds of the years 1 to 9999


def date_format(texts: pl.Series) -> str | None:
    """The first of `FORMATS` that reads every cell; None where there is none."""
    sample = texts.head(_SAMPLE)
    likely = [len(text) >= _SHORTEST and text[0].isdigit() for text in sample.to_list() if text is not None]
    if not all(likely) or texts.null_count() == len(texts):
        return None
    for form in FORMATS:
        if all(read(some, form).null_count() == some.null_count() for some in (sample, texts)):
            return form
    return None


def read(texts: pl.Series, form: str) -> pl.Series:
    """Moments (in UTC, without a zone) in text of a format; null where there is none."""
    moments = texts.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC" if form.endswith("z") else None)
    return moments.dt.replace_time_zone(None)


def as_moments(column: pl.Series) -> pl.Series:
    """A column of dates or moments, in UTC and without a zone.

    Raises:
        ValueError: a date that is not of the years 1 to 9999.
    """
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.replace_time_zone(None) if column.dtype.time_zone == "UTC" else _in_utc(column)
    seconds = epoch(column)
    outside = (seconds < _FIRST) | (seconds >= _LAST)
    if outside.any():
        row = outside.arg_max()
        raise ValueError(
            f"column {column.name!r} has a date beyond the years 1 to 9999 in row {row}; correct it, or leave the "
            f"column out with ignore=[{column.name!r}]"
        )
    return column


def epoch(column: pl.Series) -> pl.Series:
    """float64: seconds since 1970 of dates and moments, seconds of durations and of times of day."""
    kind = column.dtype
    if kind == pl.Date:
        return column.to_physical().cast(pl.Float64) * 86_400.0
    if kind == pl.Time:
        return column.to_physical().cast(pl.Float64) / 1e9
    assert isinstance(kind, pl.Datetime | pl.Duration)
    return column.to_physical().cast(pl.Float64) / {"ms": 1e3, "us": 1e6, "ns": 1e9}[kind.time_unit or "us"]


def part(moments: pl.Series, name: str) -> pl.Series:
    """float64: one of `PARTS`: seconds since 1970, the year, the month from 1, the day of the week from 1, the hour."""
    if not name:
        return epoch(moments)
    if name == "hour" and moments.dtype == pl.Date:
        return epoch(moments) * 0.0
    found: pl.Series = getattr(moments.dt, name)()
    return found.cast(pl.Float64)


def _in_utc(column: pl.Series) -> pl.Series:
    return column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
