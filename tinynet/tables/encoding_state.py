"""A fitted encoding as arrays and plain data, and back, without trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from kernels.contract.dtypes import FLOAT_NAMES
from tinynet.tables.columns import Column, Kind
from tinynet.tables.dates import FORMATS, PARTS
from tinynet.tables.encoding import Encoding, Number
from tinynet.tables.levels import Levels

Array: TypeAlias = NDArray[Any]

VERSION = 1
_ARRAYS = ("table", "centre", "factor", "blanks", "indicators", "levels")
_FARTHEST = 3.0  # of what comes out


def encoding_state(
    encoding: Encoding, parameters: dict[str, Any], named: bool
) -> tuple[dict[str, Array], dict[str, Any]]:
    """What `read_encoding` reads: arrays, of which "table" is text in JSON, and the version.

    Names and levels are in an array since there may be more of them than fit into a file's header.
    """
    place = {column.name: position for position, column in enumerate(encoding.columns)}
    table = {
        "parameters": parameters,
        "named": named,
        "columns": [[c.name, c.kind, c.levels, c.missing, c.reason] for c in encoding.columns],
        "numbers": [[place[n.name], n.part, n.form, n.is_date] for n in encoding.numbers],
        "levels": [[place[one.name], one.known, one.rare] for one in encoding.levels],
        "coded": [[place[one.name], one.known, one.rare] for one in encoding.coded],
    }
    text = json.dumps(table, ensure_ascii=False).encode("utf-8", "surrogatepass")
    flat = [values.ravel() for values in encoding.level_values]
    arrays = {
        "table": np.frombuffer(text, np.uint8),
        "centre": encoding.centre,
        "factor": encoding.factor,
        "blanks": np.array(encoding.blanks, np.int64),
        "indicators": encoding.indicators,
        "levels": np.concatenate([np.empty(0), *flat]),
    }
    return arrays, {"version": VERSION}


def read_encoding(arrays: Mapping[str, Any], plain: Mapping[str, Any]) -> tuple[Encoding, dict[str, Any], bool]:
    """The encoding, the encoder's parameters, and whether it was fitted with names.

    Raises:
        ValueError: anything else than what `encoding_state` makes; the sentence says what.
    """
    if not isinstance(plain, Mapping) or plain.get("version") != VERSION:
        raise ValueError(f"the state of a table's encoder must be of version {VERSION}, got {_short(plain)}")
    if not isinstance(arrays, Mapping):
        raise ValueError(f"the arrays of a table's encoder must be given by name, got {type(arrays).__name__}")
    if unknown := sorted(map(str, set(arrays) - set(_ARRAYS))):
        raise ValueError(f"a table's encoder has no array {_short(unknown[0])}, but {', '.join(_ARRAYS)}")
    table = _table(arrays)
    columns = tuple(_column(row) for row in _rows(table, "columns", 5))
    _demand(len({column.name for column in columns}) == len(columns), "two columns have one name")
    numbers = tuple(_number(row, columns) for row in _rows(table, "numbers", 4))
    levels = tuple(_levels(row, columns) for row in _rows(table, "levels", 3))
    coded = tuple(_levels(row, columns) for row in _rows(table, "coded", 3))
    _check_use(columns, numbers, levels, coded)
    blanks = _array(arrays, "blanks", np.int64, (None,))
    _demand(bool(((blanks >= 0) & (blanks < len(numbers))).all()), "a position of blanks is beyond the numbers")
    factor = _array(arrays, "factor", np.float64, (len(numbers),))
    _demand(bool((factor >= 0).all()), "a factor is negative")
    encoding = Encoding(
        columns,
        numbers,
        _array(arrays, "centre", np.float64, (len(numbers),)),
        factor,
        tuple(blanks.tolist()),
        _within(_array(arrays, "indicators", np.float64, (len(blanks), 2))),
        levels,
        _level_values(_within(_array(arrays, "levels", np.float64, (None,))), levels),
        coded,
    )
    return encoding, _parameters(table), _of(table, "named", bool)


def _table(arrays: Mapping[str, Any]) -> dict[str, Any]:
    text = _array(arrays, "table", np.uint8, (None,)).tobytes()
    try:
        table = json.loads(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        raise ValueError("the state of a table's encoder is damaged: its table is not JSON") from None
    _demand(isinstance(table, dict), "its table is not an object of JSON")
    return table  # type: ignore[no-any-return]


def _array(arrays: Mapping[str, Any], name: str, dtype: Any, shape: tuple[int | None, ...]) -> Array:
    array = arrays.get(name)
    wanted = "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
    fits = (
        isinstance(array, np.ndarray)
        and array.dtype == dtype
        and array.ndim == len(shape)
        and all(size in (None, found) for size, found in zip(shape, array.shape, strict=True))
    )
    if not fits:
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"the array {name!r} of a table's encoder must be {np.dtype(dtype)} {wanted}, got {got}")
    assert isinstance(array, np.ndarray)
    _demand(array.dtype.kind != "f" or bool(np.isfinite(array).all()), f"{name!r} holds numbers that are not finite")
    return array


def _within(values: Array) -> Array:
    _demand(bool((np.abs(values) <= _FARTHEST).all()), f"a value of a level is beyond +-{_FARTHEST:g}")
    return values


def _level_values(flat: Array, levels: tuple[Levels, ...]) -> tuple[Array, ...]:
    shapes: list[tuple[int, ...]] = [(3,) if one.count == 2 else (2, one.count) for one in levels]
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    _demand(len(flat) == ends[-1], f"{ends[-1]} values of levels are needed, {len(flat)} are there")
    return tuple(flat[a:b].reshape(shape) for a, b, shape in zip(ends, ends[1:], shapes, strict=False))


def _rows(table: Mapping[str, Any], name: str, length: int) -> list[list[Any]]:
    rows = _of(table, name, list)
    for row in rows:
        _demand(isinstance(row, list) and len(row) == length, f"a row of {name} is {_short(row)}")
    return rows  # type: ignore[no-any-return]


def _column(row: list[Any]) -> Column:
    name, kind, levels, missing, reason = row
    good = (
        isinstance(name, str) and kind in get_args(Kind) and _is_whole(levels) and levels >= 0
        and isinstance(missing, int | float) and 0 <= missing <= 1 and isinstance(reason, str)
    )  # fmt: skip
    _demand(good, f"a column is {_short(row)}")
    return Column(name, kind, levels, float(missing), reason)


def _number(row: list[Any], columns: tuple[Column, ...]) -> Number:
    place, part, form, is_date = row
    _demand(
        part in PARTS and (form is None or form in FORMATS) and isinstance(is_date, bool) and (is_date or not part),
        f"a column of numbers is {_short(row)}",
    )
    return Number(_name(place, columns), part, form, is_date)


def _levels(row: list[Any], columns: tuple[Column, ...]) -> Levels:
    place, known, rare = row
    for texts in (known, rare):
        _demand(isinstance(texts, list) and all(isinstance(text, str) for text in texts), f"levels are {_short(texts)}")
    _demand(0 < len({*known, *rare}) == len(known) + len(rare), "a category has a level twice, or none")
    return Levels(_name(place, columns), tuple(known), tuple(rare))


def _name(place: Any, columns: tuple[Column, ...]) -> str:
    _demand(_is_whole(place) and 0 <= place < len(columns), f"a column's position is {_short(place)}")
    name: str = columns[place].name
    return name


def _check_use(columns: tuple[Column, ...], numbers: tuple[Number, ...], *levels: tuple[Levels, ...]) -> None:
    """Every column that is not ignored is used as what it is, and no other."""
    found = {(number.name, "date" if number.is_date else "number") for number in numbers}
    kinds = {column.name: column.kind for column in columns}
    found |= {
        (one.name, kinds[one.name]) for some in levels for one in some if kinds[one.name] in ("category", "boolean")
    }
    parts = [(number.name, number.part) for number in numbers]
    names = [one.name for some in levels for one in some]
    wanted = {(column.name, column.kind) for column in columns if column.kind != "ignored"}
    _demand(
        found == wanted and len(set(parts)) == len(parts) and len(set(names)) == len(names)
        and not set(names) & {name for name, _ in parts},
        "columns and what they become contradict each other",
    )  # fmt: skip


def _parameters(table: Mapping[str, Any]) -> dict[str, Any]:
    parameters = _of(table, "parameters", dict)
    names = {"categorical", "numeric", "ignore", "max_one_hot", "min_frequency", "dtype"}
    _demand(set(parameters) == names, f"its parameters are {_short(sorted(parameters))}")
    for name in ("categorical", "numeric", "ignore"):
        given = parameters[name]
        _demand(
            isinstance(given, str) or (isinstance(given, list) and all(isinstance(one, str | int) for one in given)),
            f"{name} is {_short(given)}",
        )
        parameters[name] = given if isinstance(given, str) else tuple(given)
    _demand(parameters["dtype"] in FLOAT_NAMES, f"its dtype is {_short(parameters['dtype'])}")
    _demand(_is_whole(parameters["max_one_hot"]), f"max_one_hot is {_short(parameters['max_one_hot'])}")
    return dict(parameters)


def _of(table: Mapping[str, Any], name: str, kind: type) -> Any:
    _demand(isinstance(table.get(name), kind), f"{name!r} is {_short(table.get(name))}")
    return table[name]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _demand(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(f"the state of a table's encoder is damaged: {otherwise}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
