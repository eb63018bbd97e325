"""A run of the estimators of tables on rows that need not fit into memory: a pattern of files, or a file in windows."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.sources import Source, scan
from ..data.sources.scanning import COLUMNAR
from ..data.table import column_position
from ..files import printable
from ..tables.sources import table_suffix
from ..tables.targets import Task, target_array
from .table import TableExperiment, TableOptions

# A file is read in blocks where it is larger than an eighth of memory: compressed rows take several times as much.
SHARE_OF_MEMORY = 8


def in_blocks(dataset: str, window: int | None = None) -> bool:
    """Whether a table is read in blocks: a pattern that matches no file by its name, a large file, or as is asked."""
    path = Path(dataset).expanduser()
    if not path.exists():
        return glob.has_magic(dataset) and any(one in dataset for one in ("/", os.sep, "."))
    return table_suffix(path) in COLUMNAR and (window is not None or path.stat().st_size > _memory() / SHARE_OF_MEMORY)


def source_of(options: TableOptions) -> Source:
    """The source of a run's options, whose target is a name or a position."""
    source = scan(options.dataset, window=options.window)
    if options.target is None:
        return source
    names = [str(name) for name in source.features]
    return scan(options.dataset, names[column_position(options.dataset, names, options.target)], window=options.window)


@dataclass
class SourceRows:
    """A source and what its target asks for."""

    name: str
    target_name: str
    task: Task
    source: Source

    @property
    def classes(self) -> bool:
        """Whether the target's values are classes."""
        return self.task == "classification"


class SourceExperiment(TableExperiment):
    """The options with their source; a share of each block's rows is kept for the test score."""

    def __init__(self, options: TableOptions):
        from ..tables import read_target

        self.options, source = options, source_of(options)
        if not source.target:
            column_position(options.dataset, [str(name) for name in source.features], None)  # says which there are
        name = str(source.target[0])
        _, task = read_target(source.frame(0)[name], name)
        self.rows: Any = SourceRows(printable(Path(options.dataset).name), name, task, source)
        self.train, self.test = source.split(options.test_size, options.seed)
        self._check()
        self._told = options.categorical or ()

    @property
    def summary(self) -> str:
        """The data set and its size, in words."""
        source = self.rows.source
        return (
            f"{self.rows.name}: {self.train.rows:,} rows x {len(source.features)} columns in {len(source)} blocks, "
            f"{source.window} of them shuffled at a time"
        )

    def _fit(self, estimator: Any) -> None:
        estimator.fit(self.train)

    def _score(self, estimator: Any) -> float:
        from sklearn.metrics import accuracy_score, r2_score

        blocks = list(self._predicted(estimator))
        target, found = (np.concatenate(each) for each in zip(*blocks, strict=True))
        return float((accuracy_score if self.rows.classes else r2_score)(target, found))

    def _predicted(self, estimator: Any) -> Iterator[tuple[Any, Any]]:
        """Targets and predictions of the test rows."""
        for block, rows in enumerate(self.test.block_rows):
            if rows:
                frame = self.test.frame(block)
                target = frame[self.rows.target_name]
                yield target_array(target), estimator.predict(frame.drop(target.name))


def _memory() -> int:
    """Bytes that the machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no POSIX
        return 1 << 33
