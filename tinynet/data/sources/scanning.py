"""``scan``: from paths, arrays or an object to a source."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tinynet.checks import check_positive
from tinynet.data.sources.parts.arrays import ArrayPart, InMemory, NpyFile
from tinynet.data.sources.parts.by_polars import ParquetFileByPolars
from tinynet.data.sources.parts.by_pyarrow import ArrowFile, ParquetFile
from tinynet.data.sources.parts.given import Given
from tinynet.data.sources.parts.part import Part
from tinynet.data.sources.source import Source
from tinynet.tables.sources import check_is_file, table_suffix


def _parquet(path: Path) -> Part:
    return (ParquetFile if find_spec("pyarrow") else ParquetFileByPolars)(path)


def _arrow(path: Path) -> Part:
    if find_spec("pyarrow") is None:  # polars does not say which rows a record batch has
        raise ImportError(f"{path}: reading it in blocks needs pyarrow: pip install 'tinynet[parquet]'")
    return ArrowFile(path)


COLUMNAR: Mapping[str, Callable[[Path], Part]] = {
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".ipc": _arrow,
}
SUFFIXES = (*COLUMNAR, ".npy")


def scan(
    source: Any, target: Any = None, *, columns: Sequence[Any] | None = None, window: int | None = None,
    block_rows: int | None = None,
) -> Source:  # fmt: skip
    """A source of rows that are read in blocks while a model is trained, and need not fit into memory.

    Args:
        source: a file, a pattern such as "logs/*.parquet", or a list of them, in that order; what a pattern matches is
            in the order of names. Parquet files are read by row groups, Arrow and Feather files by record batches, .npy
            files and arrays by blocks of rows. A pair (X, y) of arrays or of .npy files; or an object with a length in
            blocks and read(block), which gives (X, y), an array of rows, or a frame. Its rows(block) says how many rows
            a block has; where it has no such method, all blocks are read once to know.
        target: the column that is learned, by its name, in arrays by its number; several are a list. Beside a .npy file
            or an array, another one that holds it.
        columns: those to learn from; by default all but the target.
        window: how many blocks are shuffled together. Two windows are in memory: one is read while steps run on the
            other. By default as many blocks as take 128 MiB.
        block_rows: of an array's blocks; by default as many as take 4 MiB.

    Raises:
        ValueError: other columns in one file than in another, no such column, a damaged file, another file type.
        OSError: a file that is missing (FileNotFoundError) or unreadable.
        TypeError: what is no source.
        ImportError: Arrow files need pyarrow, the extra `parquet`; Parquet files are read by polars without it.
    """
    if block_rows is not None:
        check_positive("block_rows", block_rows)
    if isinstance(source, np.ndarray):
        source, target = ((source, target), None) if isinstance(target, np.ndarray) else ((source, None), target)
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], np.ndarray):
        X, y = source
        matrix = None if y is None else InMemory(y, "y")
        return Source([ArrayPart(InMemory(X, "X"), matrix, block_rows)], target, columns, window)
    if isinstance(source, str | os.PathLike | list | tuple):
        return _files(source, target, columns, window, block_rows)
    if hasattr(source, "read") and hasattr(source, "__len__"):
        return Source([Given(source)], target, columns, window)
    raise TypeError(
        f"source is a {type(source).__name__}, expected a path, a pattern or a list of them, arrays, or an object with "
        f"a length in blocks and read(block)"
    )


def is_source(value: Any) -> bool:
    """Whether it gives rows in blocks: a Source, or what `scan` takes that is no data in memory and no path."""
    return isinstance(value, Source) or (
        callable(getattr(value, "read", None)) and hasattr(value, "__len__") and not isinstance(value, np.ndarray)
    )


def as_source(value: Any) -> Source:
    """The source itself, or that of an object with a length in blocks and read(block)."""
    return value if isinstance(value, Source) else scan(value)


def _files(source: Any, target: Any, columns: Any, window: int | None, block_rows: int | None) -> Source:
    paths, y_paths = _paths(source), list[Path]()
    if isinstance(source, tuple) and len(source) == 2 and target is None and _all_npy(paths) and len(paths) == 2:
        paths, y_paths = paths[:1], paths[1:]
    elif _all_npy(paths) and isinstance(target, str | os.PathLike | list) and _are_paths(target):
        y_paths, target = _paths(target), None
        if len(y_paths) != len(paths):
            raise ValueError(f"target names {len(y_paths)} files, expected {len(paths)}, one beside each file of X")
    elif _all_npy(paths) and isinstance(target, np.ndarray):
        if len(paths) > 1:
            raise ValueError(f"target is an array beside {len(paths)} files, expected one file")
        return Source([ArrayPart(NpyFile(paths[0]), InMemory(target, "target"), block_rows)], None, columns, window)
    parts = list[Part]()
    for i, path in enumerate(paths):
        check_is_file(path, SUFFIXES)
        suffix = table_suffix(path)
        if suffix == ".npy":
            parts.append(ArrayPart(NpyFile(path), NpyFile(y_paths[i]) if y_paths else None, block_rows))
        else:
            parts.append(COLUMNAR[suffix](path))
    found = Source(parts, target, columns, window)
    if not len(found) or not found.rows:
        raise ValueError(f"{parts[0].name}: there are columns but no row of data")
    return found


def _all_npy(paths: Sequence[Path]) -> bool:
    return all(path.suffix.lower() == ".npy" for path in paths)


def _are_paths(target: Any) -> bool:
    each = target if isinstance(target, list) else [target]
    return bool(each) and all(isinstance(e, str | os.PathLike) and str(e).lower().endswith(".npy") for e in each)


def _paths(source: Any) -> list[Path]:
    """The files that paths and patterns name."""
    found = list[Path]()
    given = source if isinstance(source, list | tuple) else [source]
    for each in given:
        if not isinstance(each, str | os.PathLike):
            raise TypeError(f"source holds a {type(each).__name__}, expected paths or patterns")
        path = Path(each).expanduser()
        if path.exists() or not glob.has_magic(str(path)):
            found.append(path)
            continue
        matched = sorted(glob.glob(str(path), recursive=True))
        if not matched:
            raise FileNotFoundError(f"no file matches {str(each)!r}")
        found += map(Path, matched)
    if not found:
        raise ValueError("source is an empty list, expected one or more files")
    return found
