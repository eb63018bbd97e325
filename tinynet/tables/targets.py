"""What is a class and what a quantity.

A target of text or truth values names classes. A target of numbers names classes when all are whole, at most 20 of
them are distinct, and each occurs in two rows on average; otherwise it is a quantity. A `task` given by the user
overrides the rule.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Task = Literal["classification", "regression"]

FEW_CLASSES = 20  # whole numbers with more distinct values than this are quantities
_SHOWN = 3  # rows that a message names


def is_text(target: Array) -> bool:
    """Whether a target holds text rather than numbers or truth values."""
    return target.dtype.kind == "U" or (target.dtype.kind == "O" and len(target) > 0 and isinstance(target[0], str))


def guess_task(target: Array) -> Task | None:
    """What a target asks for, by the rule above; None for text that looks neither like classes nor like numbers.

    Args:
        target: integers, floats, truth values or text, or objects that are all str or all int; (rows,), or (rows,
            outputs) for numbers.
    """
    if target.ndim == 2:
        return "regression"
    if target.dtype.kind == "f" and not (target == np.trunc(target)).all():
        return "regression"
    distinct = len(np.unique(target))
    few, twice_each = distinct <= FEW_CLASSES, 2 * distinct <= len(target)
    if is_text(target):
        return "classification" if few or twice_each else None
    return "classification" if target.dtype.kind == "b" or (few and twice_each) else "regression"


def blank_rows(target: Any) -> Array:
    """bool (rows,): which of a target's values are None, NaN, NaT or pandas' NA."""
    from tinynet.tables.series import is_blank

    values = np.array(target, object) if isinstance(target, list | tuple) else np.asarray(target)
    if values.dtype.kind == "O" and (values.ndim == 1 or values.shape[1:] == (1,)):
        return np.array([is_blank(value) for value in values.ravel()], bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values) if values.ndim else 0, bool)


def target_array(column: Any) -> Array:
    """A polars column as an array that scikit-learn takes for a target: text as objects."""
    import polars as pl

    if column.dtype in (pl.Enum, pl.Categorical):
        column = column.cast(pl.String)
    values: Array = column.to_numpy()
    return values.astype(object) if column.dtype == pl.String else values


def refuse_blanks(what: str, blank: Array, remark: str = "") -> None:
    """Raises ValueError where a target is blank in some row."""
    rows = np.flatnonzero(blank).tolist()
    if rows:
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        raise ValueError(
            f"{what} is blank in row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:_SHOWN]))}{more}; leave these "
            f"rows out{remark}"
        )


def refuse_words(what: str, target: Any) -> None:
    """Raises ValueError for the first value of a target that makes no number."""
    from tinynet.tables.cells import shortened

    values = np.asarray(target)
    for place, value in np.ndenumerate(values if values.dtype.kind in "OUSM" else np.empty(0)):
        try:
            float(value)
        except (TypeError, ValueError, OverflowError):
            shown = value.item() if isinstance(value, np.generic) else value
            raise ValueError(f"{what} has {shortened(repr(shown))} in row {place[0]}, expected a number") from None


def read_target(values: Any, name: str = "target", task: Task | None = None) -> tuple[Array, Task]:
    """A target as an array, and what it asks for.

    Args:
        values: a series or sequence of any library, or a frame or array of one column: text, truth values or numbers.
        name: what messages call it.
        task: overrides the rule.

    Returns:
        Text as an array of str objects, truth values as bool, numbers as int64 or float64; (rows,). Text in which every
        cell is a number is numbers.

    Raises:
        ValueError: blank cells (the rows are named), infinities, dates, lists and other objects; text that looks
            neither like classes nor like numbers; text where `task` is regression.
    """
    import polars as pl

    from tinynet.tables.cells import parsed, shortened, with_numbers, without_blanks
    from tinynet.tables.frames import as_frame
    from tinynet.tables.series import as_series

    if len(getattr(values, "shape", ())) == 2 and values.shape[1] == 1:  # a frame or array of one column
        values = as_frame(values).to_series()
    column = with_numbers(without_blanks(as_series(name, values).to_frame())).to_series()
    if column.is_empty():
        raise ValueError(f"the target {name!r} has no row")
    remark = " (texts such as NA, None and ? are blanks)"
    refuse_blanks(f"the target {name!r}", column.is_null().to_numpy(), remark)
    if column.dtype in (pl.Enum, pl.Categorical):
        column = column.cast(pl.String)
    if column.dtype.is_decimal():
        column = column.cast(pl.Float64)
    if not (column.dtype.is_numeric() or column.dtype in (pl.String, pl.Boolean)):
        raise ValueError(f"the target {name!r} must hold numbers or text, got {shortened(str(column.dtype))}")
    if column.dtype.is_float() and not column.is_finite().all():
        row = int((~column.is_finite()).arg_true()[0])
        raise ValueError(f"the target {name!r} is {column[row]} in row {row}, expected finite numbers")
    array = column.to_numpy()
    array = array.astype(object) if column.dtype == pl.String else array
    guessed = guess_task(array)
    word = (parsed(column).is_null().arg_max() or 0) if column.dtype == pl.String else 0
    if task is None and guessed is None:
        raise ValueError(
            f"the target {name!r} looks neither like classes nor like numbers: {column.n_unique()} different values in "
            f"{len(column)} rows, such as {shortened(column[word])!r} in row {word}; with task=classification they are "
            "taken as classes"
        )
    if task == "regression" and is_text(array):
        raise ValueError(f"the target {name!r} has {shortened(column[word])!r} in row {word}, which is not a number")
    return array, task or guessed or "classification"
