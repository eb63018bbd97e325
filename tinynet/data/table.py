"""From a table of raw values to a data set. Whether the target is a class or a number: `tinynet.tables.targets`."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.spelling import did_you_mean
from tinynet.data.dataset import Dataset, Label
from tinynet.tables.targets import Task, guess_task, is_text

Array: TypeAlias = NDArray[Any]

_EXACT = 2.0**53  # beyond it float64 no longer holds every whole number


@dataclass(frozen=True)
class Table:
    """Features that are numbers already, and a target as it was in its source.

    `target` is of any integer, float, bool or text dtype, or of objects that are all str or all int; shape (n,), or
    (n, outputs) for numbers. `place(row)` says where a row is in the source, as in "line 7".
    """

    source: str
    features: Array
    target: Array
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    place: Callable[[int], str]

    def refuse(self, sentence: str) -> ValueError:
        """The error that says what is wrong with this source."""
        return ValueError(f"{self.source}: {sentence}")


def column_position(source: str, header: Sequence[str], target: str | None) -> int:
    """The target's place among the columns: by name, else by position as text, which may be negative.

    Raises:
        ValueError: no target given, or none such; the message has the near misses, or the columns.
    """
    if target is None:
        raise ValueError(f"{source}: say which column is the target; {did_you_mean('', header)}")
    if target in header:
        return list(header).index(target)
    digits = target.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) < 10:
        if -len(header) <= int(target) < len(header):
            return int(target) % len(header)
        raise ValueError(f"{source}: target {target} is not the position of one of the {len(header)} columns, from 0")
    raise ValueError(f"{source}: no column is named {target!r}: {did_you_mean(target, header)}")


def to_dataset(name: str, table: Table, task: Task | None = None) -> Dataset:
    """The data set in a table, its target read as classes (sorted) or as numbers.

    Raises:
        ValueError: a target with a single value, with values that do not suit the task, or that looks neither like
            classes nor like numbers; and all that `Dataset` refuses.
    """
    _check_shape(table)
    _check_finite(table)
    if (task or _infer(table)) == "classification":
        codes, classes = _encode(table)
        return _dataset(name, table, codes, "classification", classes)
    return _dataset(name, table, _numbers(table), "regression", ())


def _dataset(name: str, table: Table, target: Array, task: Task, classes: tuple[Label, ...]) -> Dataset:
    features = np.ascontiguousarray(table.features, dtype=np.float64)
    return Dataset(name, features, target, task, classes, table.feature_names, table.target_names)


def _check_shape(table: Table) -> None:
    if table.target.dtype.kind not in "biufUO":
        raise table.refuse(f"target {table.target_names[0]!r} must hold numbers or text, got {table.target.dtype}")
    if len(table.target) != len(table.features):
        raise table.refuse(f"features have {len(table.features)} rows but the target has {len(table.target)}")
    if len(table.target) < 2:
        raise table.refuse(f"at least 2 rows of data are needed, got {len(table.target)}")


def _check_finite(table: Table) -> None:
    if table.target.dtype.kind != "f":
        return
    finite = np.isfinite(table.target).reshape(len(table.target), -1).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise table.refuse(
            f"target {', '.join(table.target_names)} in {table.place(row)} is {table.target[row]}; it must be finite"
        )


def _infer(table: Table) -> Task:
    task = guess_task(table.target)
    if task is None:
        raise table.refuse(
            f"target {table.target_names[0]!r} looks neither like classes nor like numbers: "
            f"{len(np.unique(table.target))} different values in {len(table.target)} rows, such as "
            f"{_first_text(table)}; task=classification takes them as classes"
        )
    return task


def _encode(table: Table) -> tuple[Array, tuple[Label, ...]]:
    """Codes 0..C-1 and the sorted labels they mean."""
    target = table.target
    name = table.target_names[0]
    if target.ndim != 1:
        raise table.refuse(f"classes need a target of shape (rows,), got shape {target.shape}")
    if target.dtype.kind == "f":
        whole = (target == np.trunc(target)) & (np.abs(target) <= _EXACT)
        if not whole.all():
            row = int(np.argmin(whole))
            raise table.refuse(
                f"target {name!r} in {table.place(row)} is {target[row]}, which cannot be a class; classes are text or "
                "whole numbers up to 2**53 (beyond that, as integers), task=regression predicts quantities"
            )
        target = target.astype(np.int64)
    labels, codes = np.unique(target, return_inverse=True)
    if len(labels) < 2:
        raise table.refuse(
            f"target {name!r} is {labels.tolist()[0]!r} in all {len(target)} rows; at least 2 classes are needed"
        )
    return np.ascontiguousarray(codes, dtype=np.int64), tuple(labels.tolist())


def _numbers(table: Table) -> Array:
    if is_text(table.target):
        raise table.refuse(
            f"target {table.target_names[0]!r} has {_first_text(table)}, which is not a number; "
            "regression needs numbers, task=classification takes text"
        )
    try:
        with np.errstate(over="ignore"):
            target = np.ascontiguousarray(table.target, dtype=np.float64)
    except OverflowError:  # whole numbers of any length
        row = next(row for row, value in enumerate(table.target.tolist()) if abs(value) > sys.float_info.max)
        raise table.refuse(
            f"target {table.target_names[0]!r} in {table.place(row)} is too large for a 64-bit number"
        ) from None
    for output, column in enumerate(target.reshape(len(target), -1).T):
        if (column == column[0]).all():
            raise table.refuse(
                f"target {table.target_names[output]!r} is {column[0]:g} in all {len(target)} rows; "
                "there is nothing to learn"
            )
    return target


def _first_text(table: Table) -> str:
    """The first value that is not a number, and where it is."""
    for row, value in enumerate(table.target.tolist()):
        try:
            float(value)
        except ValueError:
            return f"{value!r} in {table.place(row)}"
    return f"{table.target[0]!r} in {table.place(0)}"
