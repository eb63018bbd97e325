"""Data sets in files: a row of `READERS` per file type."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from kernels.spelling import did_you_mean
from tinynet.data.csv_table import read_csv
from tinynet.data.dataset import Dataset
from tinynet.data.npz_table import read_npz
from tinynet.data.parquet_table import read_parquet
from tinynet.data.table import Table, to_dataset
from tinynet.files import printable
from tinynet.tables.targets import Task

READERS: Mapping[str, Callable[[Path, str | None], Table]] = {
    ".csv": read_csv,
    ".npz": read_npz,
    ".parquet": read_parquet,
}


def load_file(path: Path, target: str | None, options: Mapping[str, object]) -> Dataset:
    """The data set in a file; see `tinynet.data.load`."""
    task = _task(path, options)
    path = path.expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file")
    if not path.exists():
        raise FileNotFoundError(f"no file {path}: {_what_is_there(path)}")
    if path.suffix.lower() not in READERS:
        raise ValueError(f"{path}: the file type must be one of {', '.join(READERS)}, got {path.suffix or 'none'!r}")
    if not path.is_file():  # opening a pipe would wait for ever, and a device may never end
        raise ValueError(f"{path}: not a regular file, as a pipe or a device is not")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        return to_dataset(printable(path.stem), READERS[path.suffix.lower()](path, target), task)
    except MemoryError:
        raise ValueError(f"{path}: the table takes more memory than there is") from None


def _task(path: Path, options: Mapping[str, object]) -> Task | None:
    for option in options:
        if option != "task":
            raise ValueError(f"{path}: unknown option {option!r} for a file: {did_you_mean(option, ['task'])}")
    task = options.get("task")
    if task is None or task == "classification" or task == "regression":
        return task
    raise ValueError(f"{path}: option 'task' must be classification or regression, got {task!r}")


def _what_is_there(path: Path) -> str:
    try:
        there = sorted(entry.name for entry in os.scandir(path.parent) if Path(entry.name).suffix.lower() in READERS)
    except FileNotFoundError:
        return f"the folder {path.parent} does not exist"
    except OSError as error:
        return f"the folder {path.parent} cannot be read ({error.strerror})"
    if not there:
        return f"the folder {path.parent} has no {', '.join(READERS)} file"
    return f"in that folder, {did_you_mean(path.name, there)}"
