"""Tables in comma-separated text, of numbers and a target. `tinynet.tables.csv_text` reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinynet.data.table import Table, column_position

if TYPE_CHECKING:
    import polars as pl

_INT64 = 2**63
_LONGEST_CELL = 1 << 17  # bytes; a quote that was forgotten makes a cell of many lines


def read_csv(path: Path, target: str | None) -> Table:
    """The table in a .csv file; `target` is the name of a column, or its position.

    Every column but the target must hold finite numbers. A target is numbers when every cell is one, else text.

    Raises:
        ValueError: no header or no rows, a column without a name or with another's, rows of different lengths,
            a cell that is blank or not a finite number, text that is not UTF-8, an unknown target. Lines are
            counted from 1.
        OSError: the file cannot be read.
    """
    import polars as pl

    from tinynet.tables.csv_text import read_records
    from tinynet.tables.sources import content

    records = read_records(path, content(path))
    header = records.frame.columns
    if len(header) < 2:
        raise ValueError(
            f"{path}: the header has the single column {header[0]!r}; a target and at least one feature are needed, "
            "separated by comma, semicolon or tab"
        )
    position = column_position(str(path), header, target)
    if not len(records.lines):
        raise ValueError(f"{path}: there is a header but no row of data")
    names = header[:position] + header[position + 1 :]
    columns = [column.rename("") for column in records.frame]
    labels = _stripped(path, columns.pop(position), records.lines)
    if (labels == "").any():
        line = records.lines[(labels == "").arg_max()]
        raise ValueError(f"{path}, line {line}, column {header[position]!r}: the target is blank")
    cells = _stripped(path, pl.concat(columns), records.lines)
    return Table(
        source=str(path),
        features=_numbers(path, names, records.lines, cells),
        target=_parse_target(labels.to_list()),
        feature_names=tuple(names),
        target_names=(header[position],),
        place=lambda row: f"line {records.lines[row]}",
    )


def _stripped(path: Path, cells: "pl.Series", lines: NDArray[Any]) -> "pl.Series":
    """Cells without white space around them, column after column; "" for a blank."""
    lengths = cells.str.len_bytes().fill_null(0)
    longest = lengths.arg_max()
    if longest is not None and lengths[longest] > _LONGEST_CELL:
        raise ValueError(
            f"{path}, line {lines[longest % len(lines)]}: the fields cannot be told apart (one has {lengths[longest]} "
            f"bytes, at most {_LONGEST_CELL} are read)"
        )
    return cells.str.strip_chars().fill_null("")


def _numbers(path: Path, names: Sequence[str], lines: NDArray[Any], cells: "pl.Series") -> NDArray[Any]:
    """float64 (rows, features), all finite."""
    import polars as pl

    from tinynet.tables.csv_text import NUMBER

    features = cells.cast(pl.Float64, strict=False).to_numpy().reshape(len(names), len(lines)).T
    unfit = np.argwhere(~np.isfinite(features))
    if len(unfit):
        row, column = unfit[0]
        cell = cells[int(column * len(lines) + row)]
        where = f"{path}, line {lines[row]}, column {names[column]!r}"
        if not cell:
            raise ValueError(f"{where}: the cell is blank; every feature needs a number")
        shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")
        if NUMBER.fullmatch(cell):
            raise ValueError(f"{where}: {shown} is not finite; every feature needs a finite number")
        raise ValueError(f"{where}: {shown} is not a number; every column but the target must be numeric")
    return features


def _parse_target(cells: Sequence[str]) -> NDArray[Any]:
    """Integers (exactly, however large), floats, or text: the first that holds all cells."""
    from tinynet.tables.csv_text import NUMBER

    if not all(map(NUMBER.fullmatch, cells)):
        return np.array(cells, dtype=object)
    try:
        whole = list(map(int, cells))
    except ValueError:
        return np.array(list(map(float, cells)), dtype=np.float64)
    if all(-_INT64 <= number < _INT64 for number in whole):
        return np.array(whole, dtype=np.int64)
    return np.array(whole, dtype=object)
