"""Safetensors files: arrays by name with texts, written whole or not at all, and read without trust.

A file is the header's length (8 bytes, little-endian), the header (JSON: each array's dtype, shape and place, and
``__metadata__``, texts by name) and the arrays' bytes, one after the other. Among the texts is a SHA-256 of the
others and of all arrays, so that a file that was changed is refused. Files are read and
written here and not by the format's library, which maps what it reads into memory, and ends the process where there is
none left for a second copy of what it writes: reading n bytes takes n bytes and the header's, less where the
sizes in a file are wrong, and writing takes none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kernels.contract import dtypes

from ..files import write_atomically
from ..tensor import Array

DTYPES = {row.safetensors: row.numpy.newbyteorder("<") for row in dtypes.DTYPES.values() if row.safetensors}
LONGEST_HEADER = 1 << 21  # bytes; parsed JSON takes many times its text
LONGEST_AXIS, MOST_AXES = 1 << 31, 32
TOO_LARGE = "takes more memory than there is"
# What else is likely to be offered, by its first bytes. None of it is read any further.
OTHERS = [
    (b"PK\x03\x04", "is a zip archive, as torch.save and np.savez write them"),
    (b"\x93NUMPY", "is an .npy file"),
    (b"\x89HDF", "is an HDF5 file"),
    (b"\x1f\x8b", "is a gzip file"),
    (b"\x80", "is a pickle, which would run code of its author's"),
]


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or does not fit what it is to be loaded into. Nothing was changed."""


def write_tensors(path: Path, tensors: Mapping[str, Array], texts: Mapping[str, str]) -> None:
    """Writes a file that read_tensors reads; raises OSError where that fails, and then leaves an older one alone."""
    known = set(DTYPES.values())
    for name, array in tensors.items():
        if array.dtype not in known:
            raise CheckpointError(f"{name} has dtype {array.dtype}, which a checkpoint cannot hold")
    arrays = {name: np.asarray(array, order="C").view(np.ndarray) for name, array in tensors.items()}
    arrays = dict(sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])))  # each array is aligned
    header = _header(arrays, {**texts, "sha256": _digest(arrays, texts)})
    if len(header) > LONGEST_HEADER:
        raise CheckpointError(
            f"the names and notes take more than {LONGEST_HEADER} bytes, so it could not be read again"
        )
    start = len(header).to_bytes(8, "little") + header
    write_atomically(path, itertools.chain([start], map(_bytes, arrays.values())))


def read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and texts of a file that write_tensors wrote. Raises CheckpointError for any other, else OSError."""
    if "\0" in str(path):
        raise CheckpointError(f"{str(path)!r} holds a zero byte, expected the name of a checkpoint")
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
        raise CheckpointError(f"{path} is not a regular file, expected a checkpoint")
    try:
        with open(path, "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}") from None
    except MemoryError:
        raise CheckpointError(f"{path} {TOO_LARGE}") from None


def _read(file: BinaryIO, size: int) -> tuple[dict[str, Array], dict[str, str]]:
    start = file.read(9)
    if not start:
        raise CheckpointError("is empty, so it is not a safetensors file, expected a checkpoint")
    length = int.from_bytes(start[:8], "little")
    if start[8:] != b"{" or length > LONGEST_HEADER:
        found = next((what for magic, what in OTHERS if start.startswith(magic)), "is not a safetensors file")
        raise CheckpointError(f"{found}, expected a checkpoint")
    if length > size - 8:
        raise CheckpointError(f"is cut short: its header has {length} bytes, the file {size}")
    rows, texts = _table(start[8:] + file.read(length - 1), size - 8 - length)
    tensors = {}
    for name, dtype, shape in rows:
        tensors[name] = array = np.empty(shape, dtype)
        if file.readinto(_bytes(array)) != array.nbytes:  # type: ignore[attr-defined]
            raise CheckpointError(f"is cut short, in the middle of {name}")
    if texts.pop("sha256", "") != _digest(tensors, texts):
        raise CheckpointError("is damaged or was not written as a checkpoint: its SHA-256 is not that of its contents")
    return tensors, texts


def _header(arrays: Mapping[str, Array], texts: Mapping[str, str]) -> bytes:
    """Texts, and dtype, shape and place of each array, as JSON."""
    codes, end = {dtype: code for code, dtype in DTYPES.items()}, 0
    table: dict[str, Any] = {"__metadata__": dict(texts)}
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        if array.ndim > MOST_AXES or max(array.shape, default=0) > LONGEST_AXIS:
            raise CheckpointError(f"{name} has shape {array.shape}, which a checkpoint cannot hold")
        table[name] = {"dtype": codes[array.dtype], "shape": array.shape, "data_offsets": [begin, end]}
    header = json.dumps(table, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % 8)


def _table(header: bytes, room: int) -> tuple[list[tuple[str, np.dtype[Any], tuple[int, ...]]], dict[str, str]]:
    """Names, dtypes and shapes in the order of the bytes, which they fill without a gap; and the texts."""
    try:
        table = json.loads(header.decode())
        texts = table.pop("__metadata__")
        if not all(isinstance(text, str) for text in texts.values()):
            raise TypeError("no text")
        rows = []
        for name, row in table.items():
            shape, (begin, end) = tuple(row["shape"]), row["data_offsets"]
            dtype = DTYPES[row["dtype"]]
            if (
                not all(type(number) is int and 0 <= number <= LONGEST_AXIS for number in shape)
                or len(shape) > MOST_AXES
            ):
                raise ValueError("no shape")
            if math.prod(filter(None, shape)) * dtype.itemsize > sys.maxsize:  # counted so, even if it has no bytes
                raise ValueError("no shape")
            if type(begin) is not int or type(end) is not int or math.prod(shape) * dtype.itemsize != end - begin:
                raise ValueError("no place")
            rows.append((begin, end, name, dtype, shape))
        rows.sort(key=lambda row: row[:2])
        ends = [0, *(end for _, end, *_ in rows)]
        if [begin for begin, *_ in rows] != ends[:-1] or ends[-1] != room:
            raise ValueError("gaps")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CheckpointError("is damaged: its header does not describe its bytes") from None
    return [(name, dtype, shape) for _, _, name, dtype, shape in rows], texts


def _digest(tensors: Mapping[str, Array], texts: Mapping[str, str]) -> str:
    """SHA-256 of texts and arrays by name, whatever their order in the file."""
    described = {name: [tensors[name].dtype.str, tensors[name].shape] for name in sorted(tensors)}
    digest = hashlib.sha256(json.dumps([dict(sorted(texts.items())), described]).encode())
    for name in described:
        digest.update(_bytes(tensors[name]))
    return digest.hexdigest()


def _bytes(array: Array) -> memoryview:
    """A contiguous array's own memory."""
    return array.reshape(-1).view(np.uint8).data
