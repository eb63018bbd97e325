"""What the estimators of numbers do with rows that need not fit into memory: a source in place of X and y."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from ..data.sources import Source
from ..data.sources.parts.frame_block import FrameBlock
from ..tables.targets import refuse_blanks, target_array
from ..tensor import Array


def refuse_with_source(estimator: Any, source: Source, y: Any, sample_weight: Any, eval_set: Any) -> None:
    """Raises ValueError or TypeError for what needs all rows at once."""
    source.check_features()
    for name, given in (("y", y), ("sample_weight", sample_weight)):
        if given is not None:
            raise TypeError(f"{name} is given beside a source, expected the source alone: tn.scan(..., target=...)")
    if not source.target:
        raise ValueError("X is a source without a target, expected tn.scan(..., target=...) to name it")
    for name, found, expected in (
        ("solver", estimator.solver == "lbfgs", "'adam' or 'sgd'"),
        ("shuffle", not estimator.shuffle, "True"),
        ("class_weight", getattr(estimator, "class_weight", None) == "balanced", "None or a dict"),
        ("early_stopping", estimator.early_stopping and eval_set is None, "False, or an eval_set that decides"),
    ):
        if found:
            raise ValueError(f"{name} is {getattr(estimator, name)!r}, expected {expected} for a source")


def standing_for(estimator: Any, source: Source) -> tuple[Any, Array]:
    """Rows that stand for all of a source's where attributes are learned: of a classifier one for each class."""
    frame = source.frame(int(np.flatnonzero(source.block_rows)[0]))
    target = _target(source, frame)
    if is_classifier(estimator):
        target = np.unique(
            np.concatenate([np.unique(_target(source, each), axis=0) for each in source.targets()]), axis=0
        )
    return _features(source, frame)[np.resize(np.arange(frame.height), len(target))], target


def features(source: Source) -> Iterator[Any]:
    """Each block's features, as an estimator takes them."""
    for block in range(len(source)):
        yield _features(source, source.frame(block))


def _features(source: Source, frame: Any) -> Any:
    """A frame where columns have names, else an array."""
    found = frame.select([str(name) for name in source.features])
    return found if all(isinstance(name, str) for name in source.features) else found.to_numpy()


class Blocks:
    """A source's rows in a dtype, and what the loss takes for them: what `tinynet.scan` takes.

    wanted: makes that of a target.
    """

    def __init__(self, source: Source, dtype: Any, wanted: Callable[[Array], Array]):
        self.source, self.dtype, self.wanted = source, dtype, wanted

    def __len__(self) -> int:
        return len(self.source)

    def check_unchanged(self) -> None:
        """Raises ValueError or OSError where a file has changed since it was scanned."""
        self.source.check_unchanged()

    def rows(self, block: int) -> int:
        """Of a block."""
        return int(self.source.block_rows[block])

    def read(self, block: int) -> tuple[Array, Array]:
        """X (rows, features), and what the loss takes."""
        source, where, frame = self.source, self.source.where(block), self.source.frame(block)
        X = np.empty((frame.height, len(source.features)), self.dtype)
        FrameBlock(frame).read_into(source.features, (), X, X[:, :0], where)
        for name in map(str, source.target):
            refuse_blanks(f"{where}: the target {name!r}", frame[name].is_null().to_numpy())
        return X, self.wanted(_target(source, frame))


def _target(source: Source, frame: Any) -> Array:
    columns = [target_array(frame[str(name)]) for name in source.target]
    return np.column_stack(columns) if source.target_shape else columns[0]
