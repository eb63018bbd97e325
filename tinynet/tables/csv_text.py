"""Delimited text: header and shape are looked at here, cells are read by polars.

The first line that is not blank is the header. The delimiter is whichever of comma, semicolon, tab and bar splits it
into most fields. Text is UTF-8, with or without a byte order mark; fields may be quoted; blank lines are skipped.
polars fills short records with blanks, and does not say on which line it stopped, so fields are counted first.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tinynet.tables.sources import first_line

Array: TypeAlias = NDArray[Any]

_DELIMITERS = (",", ";", "\t", "|")
_BLOCK = 1 << 24  # bytes that are looked at together
_QUOTE, _NEWLINE = ord('"'), ord("\n")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


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
    delimiter, names, line, body = _header(path, text)
    starts, ends, fields, newlines = _shape(path, text[body:], delimiter, line)
    lines = newlines + line
    starts, ends = starts + body, ends + body
    full = np.ones(len(starts), bool)
    for record in np.flatnonzero(fields == 1):
        full[record] = bool(text[starts[record] : ends[record]].strip())
    if not full.all():
        text = b"\n".join(text[starts[record] : ends[record]] for record in np.flatnonzero(full))
        starts, ends, fields, lines, body = starts[full], ends[full], fields[full], lines[full], 0
    wrong = np.flatnonzero(fields != len(names))
    if wrong.size:
        found, at = int(fields[wrong[0]]), lines[wrong[0]]
        raise ValueError(
            f"{path}, line {at}: {found} field{'s' * (found > 1)} found, {len(names)} expected as in the header"
        )
    return Records(_cells(path, text[body:], delimiter, names, lines), lines)


def _utf8(path: Path, content: bytes) -> bytes:
    """The text without a byte order mark, its lines ended by line feeds."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: the text is not UTF-8") from None
    text = content.removeprefix(codecs.BOM_UTF8)
    return text if b"\n" in text else text.replace(b"\r", b"\n")


def _header(path: Path, text: bytes) -> tuple[str, list[str], int, int]:
    """Delimiter, names, and line and place at which the records begin."""
    begin, body = _first_record(text)
    line = text.count(b"\n", 0, begin) + 1
    record = text[begin:body].decode()
    delimiter = max(_DELIMITERS, key=lambda each: len(_fields(path, record, each, None)))
    names = _fields(path, record, delimiter, line)
    if not names:
        raise ValueError(f"{path}: the file is empty")
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
    return delimiter, names, text.count(b"\n", 0, body) + 1, body


def _first_record(text: bytes) -> tuple[int, int]:
    """Where the first record that is not blank begins, and where the next one does."""
    begin = end = quotes = 0
    while end < len(text):
        line, end = end, text.find(b"\n", end) + 1 or len(text)
        quotes += text.count(b'"', line, end)
        if quotes % 2:
            continue
        if text[begin:end].strip():
            return begin, end
        begin = end
    return begin, end


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


def _shape(path: Path, text: bytes, delimiter: str, line: int) -> tuple[Array, Array, Array, Array]:
    """Begin and end of each record, its fields, and the line feeds before it; one within quotes ends no record."""
    all_bytes = np.frombuffer(text, np.uint8)
    ends, delimiters, feeds = [], [], []
    odd, seen, fed = 0, 0, 0
    for begin in range(0, len(text), _BLOCK):
        block = all_bytes[begin : begin + _BLOCK]
        newline, split = block == _NEWLINE, block == ord(delimiter)
        outside = newline
        if odd or (block == _QUOTE).any():
            quoted = ((np.cumsum(block == _QUOTE, dtype=np.uint8) + odd) & 1).astype(bool)
            odd = int(quoted[-1])
            outside, split = newline & ~quoted, split & ~quoted
        found = np.flatnonzero(outside)
        ends.append(found + begin)
        delimiters.append(np.cumsum(split, dtype=np.int64)[found] + seen)
        feeds.append(np.cumsum(newline, dtype=np.int64)[found] + fed)
        seen, fed = seen + int(split.sum()), fed + int(newline.sum())
    end, split_count, fed_count = (np.concatenate([np.empty(0, np.int64), *each]) for each in (ends, delimiters, feeds))
    if len(text) > (end[-1] + 1 if len(end) else 0):  # the last line has no line feed
        end, split_count, fed_count = (
            np.append(a, b) for a, b in ((end, len(text)), (split_count, seen), (fed_count, fed))
        )
    before = np.concatenate([[0], fed_count[:-1]])[: len(end)].astype(np.int64)
    if odd:
        raise ValueError(f"{path}, line {before[-1] + line}: the fields cannot be told apart (a quote is not closed)")
    return np.concatenate([[0], end[:-1] + 1])[: len(end)], end, np.diff(split_count, prepend=0) + 1, before


def _cells(path: Path, text: bytes, delimiter: str, names: list[str], lines: Array) -> pl.DataFrame:
    schema = dict.fromkeys(names, pl.String)
    if not len(lines):
        return pl.DataFrame(schema=schema)
    try:
        frame = pl.read_csv(io.BytesIO(text), has_header=False, separator=delimiter, schema=schema, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"{path}{_place(text, delimiter, lines)}: the fields cannot be told apart ({first_line(error)})"
        ) from None
    if frame.height != len(lines):
        raise ValueError(f"{path}: the fields cannot be told apart ({frame.height} records of {len(lines)} are whole)")
    return frame


def _place(text: bytes, delimiter: str, lines: Array) -> str:
    """The line of the first record whose quotes make no sense to Python either."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(text), "utf-8", newline=""), delimiter=delimiter, strict=True)
    row = 0
    try:
        for _ in reader:
            row += 1
    except csv.Error:
        return f", line {lines[min(row, len(lines) - 1)]}"
    return ""
