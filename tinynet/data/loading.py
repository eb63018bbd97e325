"""One way in: a name or a file becomes a data set."""

import os
from pathlib import Path

from tinynet.data import named
from tinynet.data.dataset import Dataset
from tinynet.data.files import READERS, load_file
from tinynet.tables.sources import table_suffix


def load(name_or_path: str | os.PathLike[str], *, target: str | None = None, **options: object) -> Dataset:
    """The pairs (x_i, y_i) of a named data set, or of the table in a file.

    A path object, or text that ends in .csv (.csv.gz, .csv.zst), .npz or .parquet or holds a path separator, is a file;
    anything else is a name out of `names()`, with options as keywords or in the text: `load("moons", noise=0.3)` is
    `load("moons:noise=0.3")`.

    Args:
        name_or_path: a name, with options after a colon if wanted, or a file.
        target: files only: the column to predict, by name, or by position counted from 0 (negative: from the end) when
            no column has that name. In .npz files, the array to predict.
        options: for a name, those that `describe()` lists; for a file, `task="classification"` or `"regression"`,
            which overrides the rule in `tinynet.tables.targets`.

    Raises:
        ValueError: an unknown name, target or option, an option out of its range, or a file whose content cannot be
            trained on; the sentence names line and column where there are any.
        OSError: a file that is missing (FileNotFoundError), a folder (IsADirectoryError) or unreadable;
            `DatasetUnavailable` for a set that cannot be downloaded.
        ImportError: a .parquet file without pyarrow.
    """
    if not isinstance(name_or_path, str | os.PathLike):
        raise TypeError(f"name_or_path must be text or a path, got {type(name_or_path).__name__}")
    if not isinstance(target, str | None):
        raise TypeError(f"target must be a column's name, or its position as text, got {target!r}")
    if isinstance(name_or_path, os.PathLike) or _is_file(name_or_path):
        return load_file(Path(name_or_path), target, options)
    if target is not None:
        raise ValueError(f"target={target!r} is for files; {name_or_path!r} is a data set whose target is known")
    return named.load_named(name_or_path, options)


def _is_file(text: str) -> bool:
    separators = {os.sep, os.altsep} - {None}
    return table_suffix(Path(text)) in READERS or any(separator in text for separator in separators if separator)
