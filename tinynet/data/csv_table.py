"""Tables in comma-separated text.

The first line that is not blank is the header. The delimiter is whichever of comma, semicolon and tab splits the
header into most fields. Text is UTF-8, with or without a byte order mark; fields may be quoted; blank lines are
skipped; white space around a field does not count.
"""

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from tinynet.data.table import Table, column_position

_DELIMITERS = (",", ";", "\t")
_INT64 = 2**63


def read_csv(path: Path, target: str | None) -> Table:
    """The table in a .csv file; `target` is the name of a column, or its position.

    Every column but the target must hold finite numbers. A target is numbers when every cell is one, else text.

    Raises:
        ValueError: no header or no rows, a column without a name or with another's, rows of different lengths,
            a cell that is blank or not a finite number, text that is not UTF-8, an unknown target. Lines are
            counted from 1.
        OSError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(path, file, target)
    except UnicodeDecodeError:
        raise ValueError(f"{path}, line {_undecodable_line(path)}: the text is not UTF-8") from None


def _read(path: Path, file: TextIO, target: str | None) -> Table:
    records = _records(path, file, _delimiter(path, file))
    header = _header(path, records)
    position = column_position(str(path), header, target)
    names = header[:position] + header[position + 1 :]
    features, lines, labels = array("d"), array("q"), []
    for line, cells in records:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: {_count(len(cells), 'field')} found, {len(header)} expected as in the header"
            )
        label = cells.pop(position)
        if not label:
            raise ValueError(f"{path}, line {line}, column {header[position]!r}: the target is blank")
        features.extend(_numbers(path, line, names, cells))
        labels.append(label)
        lines.append(line)
    if not lines:
        raise ValueError(f"{path}: there is a header but no row of data")
    return Table(
        source=str(path),
        features=np.frombuffer(features, dtype=np.float64).reshape(len(lines), len(names)),
        target=_parse_target(labels),
        feature_names=tuple(names),
        target_names=(header[position],),
        place=lambda row: f"line {lines[row]}",
    )


def _delimiter(path: Path, file: TextIO) -> str:
    """The delimiter that splits the header into most fields; the earlier one of `_DELIMITERS` when two do."""
    fields = {}
    for delimiter in _DELIMITERS:
        try:
            fields[delimiter] = len(next(_records(path, file, delimiter), (0, []))[1])
        except ValueError:  # quotes that make no sense with this delimiter
            fields[delimiter] = 0
        file.seek(0)
    return max(_DELIMITERS, key=lambda delimiter: fields[delimiter])


def _records(path: Path, file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the line it begins on."""
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if stripped not in ([], [""]):
                yield line, stripped
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, line {line}: the fields cannot be told apart ({error})") from None


def _header(path: Path, records: Iterator[tuple[int, list[str]]]) -> list[str]:
    line, header = next(records, (0, []))
    if not header:
        raise ValueError(f"{path}: the file is empty")
    if len(header) < 2:
        raise ValueError(
            f"{path}: the header has the single column {header[0]!r}; a target and at least one feature are needed, "
            "separated by comma, semicolon or tab"
        )
    if all(map(_is_number, header)) and header not in _numbered(len(header)):
        raise ValueError(f"{path}, line {line}: a header with the columns' names is needed, got {header[0]}, ...")
    for position, name in enumerate(header):
        if not name:
            raise ValueError(f"{path}, line {line}: column {position + 1} of {len(header)} has no name in the header")
        if name in header[:position]:
            first = header.index(name)
            raise ValueError(f"{path}, line {line}: columns {first + 1} and {position + 1} are both named {name!r}")
    return header


def _numbered(columns: int) -> tuple[list[str], list[str]]:
    """The headers of numbers that do name columns: 0, 1, 2, ... and 1, 2, 3, ..."""
    return [str(i) for i in range(columns)], [str(i + 1) for i in range(columns)]


def _number(cell: str) -> float:
    """The number in a cell; Python's own 1_000 is not one."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _is_number(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True


def _numbers(path: Path, line: int, names: Sequence[str], cells: Sequence[str]) -> list[float]:
    try:
        numbers = list(map(_number, cells))
    except ValueError:
        pass
    else:
        if all(map(math.isfinite, numbers)):
            return numbers
    name, cell = next((n, c) for n, c in zip(names, cells, strict=True) if not _is_number(c) or not _is_finite(c))
    where = f"{path}, line {line}, column {name!r}"
    if not cell:
        raise ValueError(f"{where}: the cell is blank; every feature needs a number")
    if _is_number(cell):
        raise ValueError(f"{where}: {_shorten(cell)} is not finite; every feature needs a finite number")
    raise ValueError(f"{where}: {_shorten(cell)} is not a number; every column but the target must be numeric")


def _is_finite(cell: str) -> bool:
    return math.isfinite(_number(cell))


def _shorten(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")


def _parse_target(cells: Sequence[str]) -> NDArray[Any]:
    """Integers (exactly, however large), floats, or text: the first that holds all cells."""
    if not all(map(_is_number, cells)):
        return np.array(cells, dtype=object)
    try:
        whole = list(map(int, cells))
    except ValueError:
        return np.array(list(map(float, cells)), dtype=np.float64)
    if all(-_INT64 <= number < _INT64 for number in whole):
        return np.array(whole, dtype=np.int64)
    return np.array(whole, dtype=object)


def _undecodable_line(path: Path) -> int:
    with path.open("rb") as file:
        for line, text in enumerate(file, start=1):
            try:
                text.decode("utf-8")
            except UnicodeDecodeError:
                return line
    return 1


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
