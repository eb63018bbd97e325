"""Delimited text: .csv and .tsv files, whose cells polars reads.

The first line that is not blank is the header. The delimiter is whichever of comma, semicolon, tab and bar splits it
into most fields. Text is UTF-8, with or without a byte order mark; lines end in LF, CRLF or CR; a field may be within
quotes, and then hold delimiters, line ends and doubled quotes; lines that are blank are left out.

polars alone does not do: it takes a delimiter but does not look for one, names columns that have no name or another's
on its own, fills short records and blank lines with nulls, and does not say on which line it stopped. So the header is
read by Python's csv module, and the fields of each record are counted first.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
from numpy.typing import NDArray

from tinynet.tables.sources import first_line

Array: TypeAlias = NDArray[Any]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_DELIMITERS = (",", ";", "\t", "|")
# A line, its quotes in pairs but the last.
_WHOLE = pl.when(pl.col("inside")).then('"' + pl.col("text")).otherwise("text")
_QUOTED = r'"[^"]*("|$)'


@dataclass(frozen=True)
class Records:
    """The cells of a table as text, as they are in the file, and the line on which each row begins, from 1."""

    frame: pl.DataFrame
    lines: Array


def read_records(path: Path, content: bytes) -> Records:
    """The records of delimited text.

    Raises:
        ValueError: no header, a column without a name or with another's, a record that is not as long as the
            header, quotes that make no sense, text that is not UTF-8.
    """
    text = _utf8(path, content)
    lines = _lines(path, text)
    filled = lines.filter(pl.col("filled"))
    if filled.is_empty():
        raise ValueError(f"{path}: the file is empty")
    first = filled["record"][0]
    header = lines.filter(record=first)
    delimiter, names = _header(path, "\n".join(header["text"]), header["line"][0])
    body = lines.filter(pl.col("record") > first)
    records = _records(body, delimiter)
    blank = records.filter((pl.col("fields") == 1) & ~pl.col("filled"))
    skipped = header["line"][-1]
    if blank.height:
        body = body.join(blank, on="record", how="anti", maintain_order="left")
        records = records.filter((pl.col("fields") > 1) | pl.col("filled"))
        text, skipped = "\n".join(body["text"]).encode(), 0
    wrong = records.filter(pl.col("fields") != len(names))
    if wrong.height:
        _check_quotes(path, body, delimiter)
        found = wrong["fields"][0]
        raise ValueError(
            f"{path}, line {wrong['line'][0]}: {found} field{'s' * (found > 1)} found, {len(names)} expected as in the "
            "header"
        )
    frame = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    if records.height:
        frame = _cells(path, text, skipped, delimiter, frame.schema, body, records.height)
    return Records(frame, records["line"].to_numpy())


def _utf8(path: Path, content: bytes) -> bytes:
    """The text without a byte order mark, its lines ended by line feeds."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: the text is not UTF-8; save it as UTF-8") from None
    text = content.removeprefix(codecs.BOM_UTF8)
    return text if b"\n" in text else text.replace(b"\r", b"\n")


def _lines(path: Path, text: bytes) -> pl.DataFrame:
    """Each line: its text and number, whether it begins within quotes and is not blank, and its record's number."""
    odd = pl.col("text").str.count_matches('"', literal=True).cum_sum() % 2 == 1
    lines = pl.read_lines(io.BytesIO(text), name="text").select(
        "text",
        line=pl.int_range(1, pl.len() + 1),
        open=odd,
        inside=odd.shift(fill_value=False),
        filled=pl.col("text").str.strip_chars() != "",
    )
    lines = lines.with_columns(record=(~pl.col("inside")).cum_sum())
    if lines.height and lines["open"][-1]:
        line = lines.filter(record=lines["record"][-1])["line"][0]
        raise ValueError(f"{path}, line {line}: the fields cannot be told apart (a quote is not closed)")
    return lines


def _records(lines: pl.DataFrame, delimiter: str) -> pl.DataFrame:
    """Each record: its number, the line on which it begins, how many fields it has, and whether it is not blank."""
    fields = _WHOLE.str.replace_all(_QUOTED, "").str.count_matches(delimiter, literal=True)
    lines = lines.with_columns(fields=fields)
    if not lines["inside"].any():  # a line is a record
        return lines.select("record", "line", pl.col("fields") + 1, "filled")
    return lines.group_by("record", maintain_order=True).agg(
        pl.col("line").first(), pl.col("fields").sum() + 1, pl.col("filled").any()
    )


def _header(path: Path, record: str, line: int) -> tuple[str, list[str]]:
    """Delimiter and names."""
    delimiter = max(_DELIMITERS, key=lambda each: len(_fields(path, record, each, None)))
    names = _fields(path, record, delimiter, line)
    if all(map(NUMBER.fullmatch, names)) and names not in _numbered(len(names)):
        raise ValueError(f"{path}, line {line}: a header with the columns' names is needed, got {names[0]}, ...")
    places: dict[str, int] = {}
    for position, name in enumerate(names, 1):
        if not name:
            raise ValueError(
                f"{path}, line {line}: column {position} of {len(names)} has no name in the header; give it one"
            )
        first = places.setdefault(name, position)
        if first < position:
            raise ValueError(f"{path}, line {line}: columns {first} and {position} are both named {name!r}; rename one")
    return delimiter, names


def _fields(path: Path, record: str, delimiter: str, line: int | None) -> list[str]:
    """The fields of a record; none, where quotes make no sense, unless the line is given."""
    reader = csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        return [field.strip() for field in next(reader, [])]
    except csv.Error as error:
        if line is None:
            return []
        raise ValueError(f"{path}, line {line}: the fields cannot be told apart ({error})") from None


def _numbered(columns: int) -> tuple[list[str], list[str]]:
    """The headers of numbers that do name columns: 0, 1, 2, ... and 1, 2, 3, ..."""
    return [str(i) for i in range(columns)], [str(i + 1) for i in range(columns)]


def _cells(
    path: Path, text: bytes, skipped: int, delimiter: str, schema: pl.Schema, lines: pl.DataFrame, records: int
) -> pl.DataFrame:
    """What is in the text after so many lines; these lines follow, of so many records."""
    try:
        frame = pl.read_csv(
            io.BytesIO(text), has_header=False, skip_lines=skipped, separator=delimiter, schema=schema,
            infer_schema=False,
        )  # fmt: skip
        said = f"{frame.height} records of {records} are whole"
    except pl.exceptions.PolarsError as error:
        frame, said = pl.DataFrame(), first_line(error)
    if frame.height != records:
        _check_quotes(path, lines, delimiter)
        raise ValueError(f"{path}: the fields cannot be told apart ({said})")
    return frame


def _check_quotes(path: Path, lines: pl.DataFrame, delimiter: str) -> None:
    """Raises ValueError for the first line with a quote that is amid a field."""
    end, quoted = re.escape(delimiter), '"([^"]|"")*"'
    amid = rf'^([^"{end}]*{end}|\s*{quoted}\s*{end})*\s*([^\s"{end}][^"{end}]*"|{quoted}\s*[^\s"{end}])'
    line = lines.filter(_WHOLE.str.contains(amid))["line"].first()
    if line is not None:
        raise ValueError(
            f"{path}, line {line!r}: the fields cannot be told apart (a quote neither begins nor ends a field)"
        )
