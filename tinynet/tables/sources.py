"""A file's bytes, read whole before anything is made of them: what is missing, no file, or changing is refused here.

Nothing is mapped into memory: a mapped file that another process cuts short ends the process that reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from kernels.spelling import did_you_mean

TEXT_SUFFIXES = (".csv", ".tsv")  # of files that may be compressed as a whole
TABLE_SUFFIXES = (*TEXT_SUFFIXES, ".parquet", ".arrow", ".feather", ".ipc")  # of files that `read_table` reads
COMPRESSED = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}  # by what such a file begins with


def table_suffix(path: Path) -> str:
    """The file type that a name says, in small letters and without what says that it is compressed."""
    stem = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return stem.suffix.lower()


def check_is_file(path: Path, suffixes: Iterable[str]) -> None:
    """Raises OSError or ValueError unless `path` is a regular file, not empty, with one of the suffixes."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file")
    if not path.exists():
        raise FileNotFoundError(f"no file {path}: {_what_is_there(path, suffixes)}")
    if table_suffix(path) not in suffixes:
        raise ValueError(f"{path}: the file type must be one of {', '.join(suffixes)}, got {path.suffix or 'none'!r}")
    if path.suffix.lower() in COMPRESSED and table_suffix(path) not in TEXT_SUFFIXES:
        raise ValueError(
            f"{path}: {table_suffix(path)} files are compressed within and are not read from {path.suffix} files, "
            f"expected the file without {path.suffix}"
        )
    if not path.is_file():  # opening a pipe would wait for ever, and a device may never end
        raise ValueError(f"{path}: not a regular file, as a pipe or a device is not")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")


def content(path: Path) -> bytes:
    """All bytes of a file that stayed the same meanwhile, decompressed where they are compressed.

    Raises:
        ValueError: the file changed while it was read, or is compressed and damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        read = file.read()
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(read) != after.st_size:
        raise ValueError(f"{path}: the file changed while it was read; try again when nothing writes to it")
    if read.startswith(COMPRESSED[".gz"]):
        return _gunzipped(path, read)
    return _from_zstd(path, read) if read.startswith(COMPRESSED[".zst"]) else read


def first_line(error: BaseException) -> str:
    """What a library says of damaged bytes, for use within a sentence."""
    said = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return said.strip().partition("\n")[0] or type(error).__name__


def _gunzipped(path: Path, read: bytes) -> bytes:
    import gzip
    import zlib

    try:
        return gzip.decompress(read)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: the compressed file is damaged ({error})") from None


def _from_zstd(path: Path, read: bytes) -> bytes:
    import io

    import polars as pl

    try:
        lines = pl.read_lines(io.BytesIO(read)).to_series()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(f"{path}: the compressed file is damaged ({first_line(error)})") from None
    return "\n".join(lines.to_list()).encode()


def _what_is_there(path: Path, suffixes: Iterable[str]) -> str:
    try:
        there = sorted(entry.name for entry in os.scandir(path.parent) if table_suffix(Path(entry.name)) in suffixes)
    except FileNotFoundError:
        return f"the folder {path.parent} does not exist"
    except OSError as error:
        return f"the folder {path.parent} cannot be read ({error.strerror})"
    if not there:
        return f"the folder {path.parent} has no {', '.join(suffixes)} file"
    return f"in that folder, {did_you_mean(path.name, there)}"
