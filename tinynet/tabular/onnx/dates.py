"""Parts of a date as arithmetic on the seconds since 1970, by operators that ONNX has."""

from __future__ import annotations

from ...exchange.onnx.composing import Composer

DAY, HOUR = 86_400.0, 3_600.0  # seconds
MONDAY = 3.0  # days before 1970 began, a Thursday
MARCH_OF_0 = 719_468.0  # days from the first of March in the year 0 to 1970
FOUR_CENTURIES, CENTURY, FOUR_YEARS, YEAR = 146_097.0, 36_524.0, 1_460.0, 365.0  # days


def date_part(compose: Composer, seconds: str, name: str) -> str:
    """One of `tinynet.tables.dates.PARTS`, float64, NaN where the seconds are."""
    if not name:
        return seconds
    days = _whole(compose, seconds, DAY)
    if name == "hour":
        return _whole(compose, compose.subtract(seconds, compose.multiply(days, DAY)), HOUR)
    if name == "weekday":
        monday = compose.add(days, MONDAY)
        return compose.add(compose.subtract(monday, compose.multiply(_whole(compose, monday, 7.0), 7.0)), 1.0)
    return _year_and_month(compose, days)[name == "month"]


def _whole(compose: Composer, x: str, unit: float) -> str:
    """floor(x / unit)."""
    return compose.node("Floor", compose.divide(x, unit))


def _year_and_month(compose: Composer, days: str) -> tuple[str, str]:
    """Of days since 1970, in years that begin in March: a leap year's day is their last.

    Hinnant, chrono-compatible low-level date algorithms, civil_from_days.
    """
    day = compose.add(days, MARCH_OF_0)
    era = _whole(compose, day, FOUR_CENTURIES)
    day = compose.subtract(day, compose.multiply(era, FOUR_CENTURIES))
    plain = compose.subtract(day, _whole(compose, day, FOUR_YEARS))
    plain = compose.subtract(
        compose.add(plain, _whole(compose, day, CENTURY)), _whole(compose, day, FOUR_CENTURIES - 1)
    )
    year = _whole(compose, plain, YEAR)
    before = compose.subtract(
        compose.add(compose.multiply(year, YEAR), _whole(compose, year, 4.0)), _whole(compose, year, 100.0)
    )
    of_year = compose.subtract(day, before)
    month = _whole(compose, compose.add(compose.multiply(of_year, 5.0), 2.0), 153.0)  # from 0, March
    later = _whole(compose, month, 10.0)  # 1 in January and February, else 0
    year = compose.add(compose.add(year, compose.multiply(era, 400.0)), later)
    return year, compose.subtract(compose.add(month, 3.0), compose.multiply(later, 12.0))
