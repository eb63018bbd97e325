"""One part of the rows to train on, the other to test with."""

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinynet.data.dataset import Dataset


class Split(NamedTuple):
    """Two data sets that share no row."""

    train: Dataset
    test: Dataset


def split(dataset: Dataset, test_size: float | int = 0.2, seed: int = 0) -> Split:
    """Rows {1..n} = train + test, disjoint, drawn at random; the same seed draws the same parts.

    In classification, each class is divided as the whole is (stratified), to within one row, and has a row or more in
    both parts: where the proportion would leave a class out, one of its rows is exchanged for one of the class that
    is most frequent there.

    Args:
        dataset: n rows.
        test_size: a share strictly between 0 and 1 (the test part has ceil(n test_size) rows), or a number of rows.
        seed: a whole number from 0 to 2**32 - 1.

    Raises:
        TypeError: `dataset` is not a Dataset.
        ValueError: `test_size` or `seed` is out of range, a part would have fewer than two rows or fewer rows than
            there are classes, or a class has a single row.
    """
    from sklearn.model_selection import train_test_split

    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset must be a Dataset, got {type(dataset).__name__}")
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r}")
    rows = len(dataset.features)
    test_rows = _test_rows(dataset, test_size)
    codes = dataset.target if dataset.task == "classification" else None
    if codes is not None:
        _check_classes(dataset, test_rows, test_size)
    train, test = train_test_split(np.arange(rows), test_size=test_rows, random_state=int(seed), stratify=codes)
    if codes is not None:
        _give_every_class(codes, train, test)
        _give_every_class(codes, test, train)
    return Split(_part(dataset, train), _part(dataset, test))


def _test_rows(dataset: Dataset, test_size: object) -> int:
    rows = len(dataset.features)
    if isinstance(test_size, Integral) and not isinstance(test_size, bool):
        test_rows = int(test_size)
    elif isinstance(test_size, Real) and not isinstance(test_size, bool) and 0 < float(test_size) < 1:
        test_rows = int(np.ceil(rows * float(test_size)))
    else:
        raise ValueError(f"test_size must be a share between 0 and 1 or a whole number of rows, got {test_size!r}")
    if not 2 <= test_rows <= rows - 2:
        raise ValueError(
            f"test_size={test_size} takes {test_rows} of the {rows} rows of {dataset.name!r}; "
            "both parts need at least 2 rows"
        )
    return test_rows


def _check_classes(dataset: Dataset, test_rows: int, test_size: object) -> None:
    counts = np.bincount(dataset.target, minlength=len(dataset.classes))
    rarest = int(np.argmin(counts))
    if counts[rarest] < 2:
        row_or_rows = "1 row" if counts[rarest] == 1 else "no rows"
        raise ValueError(
            f"class {dataset.classes[rarest]!r} of {dataset.name!r} has {row_or_rows}, but both parts need one: "
            "add rows of that class, remove it, or, if the target is a quantity, load it with task=regression"
        )
    for part, part_rows in (("test", test_rows), ("training", len(dataset.target) - test_rows)):
        if part_rows < len(counts):
            raise ValueError(
                f"test_size={test_size} leaves {part_rows} rows for the {part} part of {dataset.name!r}, fewer than "
                f"its {len(counts)} classes: test_size must be from {len(counts)} to "
                f"{len(dataset.target) - len(counts)} rows"
            )


def _give_every_class(codes: NDArray[Any], part: NDArray[Any], other: NDArray[Any]) -> None:
    """Exchange rows between the parts until `part` has every class.

    `part` has as many rows as there are classes, so when it lacks one it has another twice; `other` has all rows of
    the class that is lacking, at least two. So no exchange takes the last row of a class.
    """
    classes = int(codes.max()) + 1
    for lacking in np.flatnonzero(np.bincount(codes[part], minlength=classes) == 0):
        frequent = np.argmax(np.bincount(codes[part], minlength=classes))
        here = np.flatnonzero(codes[part] == frequent)[0]
        there = np.flatnonzero(codes[other] == lacking)[0]
        part[here], other[there] = other[there], part[here]


def _part(dataset: Dataset, rows: NDArray[Any]) -> Dataset:
    return replace(dataset, features=dataset.features[rows], target=dataset.target[rows])
