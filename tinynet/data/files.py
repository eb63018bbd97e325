"""Data sets in files: a row of `READERS` per file type."""

from collections.abc import Callable, Mapping
from pathlib import Path

from kernels.spelling import did_you_mean
from tinynet.data.csv_table import read_csv
from tinynet.data.dataset import Dataset
from tinynet.data.npz_table import read_npz
from tinynet.data.parquet_table import read_parquet
from tinynet.data.table import Table, to_dataset
from tinynet.files import printable
from tinynet.tables.sources import COMPRESSED, check_is_file, table_suffix
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
    check_is_file(path, READERS)
    name = path.with_suffix("").stem if path.suffix.lower() in COMPRESSED else path.stem
    try:
        return to_dataset(printable(name), READERS[table_suffix(path)](path, target), task)
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
