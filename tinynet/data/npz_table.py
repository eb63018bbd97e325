"""Tables in NumPy archives. Nothing is ever unpickled."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.spelling import did_you_mean
from tinynet.data.table import Table
from tinynet.tables.sources import first_line

_PAIRS = (("X", "y"), ("features", "target"))


def read_npz(path: Path, target: str | None) -> Table:
    """The table in a .npz file: arrays `X` and `y`, or `features` and `target`, of shapes (n, d) and (n,) or (n, m).

    `target` names another array to predict; the features are then `X` or `features`, or else the only other array.

    Raises:
        ValueError: not an archive of arrays, damaged, arrays of Python objects (they would need pickle), arrays
            missing or of the wrong shape or dtype, an unknown target.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path}: not a .npz archive, or a damaged one")
        file.seek(0)
        try:
            archive = np.load(file, allow_pickle=False)
        except MemoryError:
            raise
        except Exception as error:  # whatever the libraries beneath meet in bytes that make no sense
            raise ValueError(f"{path}: the archive is damaged ({first_line(error)})") from None
        with archive:
            features_name, target_name = _choose(path, list(archive.files), target)
            features = _array(path, archive, features_name)
            labels = _array(path, archive, target_name)
    return _table(path, features_name, features, target_name, labels)


def _choose(path: Path, names: list[str], target: str | None) -> tuple[str, str]:
    if target is None:
        for pair in _PAIRS:
            if set(pair) <= set(names):
                return pair
        raise ValueError(f"{path}: arrays 'X' and 'y', or a target, are needed; {did_you_mean('', names)}")
    if target not in names:
        raise ValueError(f"{path}: no array is named {target!r}: {did_you_mean(target, names)}")
    others = [name for name in names if name != target]
    for usual, _ in _PAIRS:
        if usual in others:
            return usual, target
    if len(others) != 1:
        raise ValueError(
            f"{path}: the features must be the array 'X' or 'features', or the only other one; "
            f"beside {target!r}, {did_you_mean('', others)}"
        )
    return others[0], target


def _array(path: Path, archive: Any, name: str) -> NDArray[Any]:
    try:
        array = archive[name]
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and ("pickle" in str(error) or "Object arrays" in str(error)):
            raise ValueError(f"{path}: array {name!r} holds Python objects, which are never loaded") from None
        raise ValueError(f"{path}: array {name!r} is damaged ({first_line(error)})") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: {name!r} is not an array")
    return array


def _table(path: Path, features_name: str, features: NDArray[Any], target_name: str, target: NDArray[Any]) -> Table:
    if features.ndim != 2:
        raise ValueError(f"{path}: array {features_name!r} must have shape (rows, features), got {features.shape}")
    if features.dtype.kind not in "biuf":
        raise ValueError(f"{path}: array {features_name!r} must hold real numbers, got {features.dtype}")
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if target.ndim not in (1, 2) or 0 in target.shape[1:]:
        raise ValueError(
            f"{path}: array {target_name!r} must have shape (rows,) or (rows, outputs), got {target.shape}"
        )
    if target.dtype.kind == "S":
        try:
            target = np.char.decode(target, "utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{path}: the text in array {target_name!r} is not UTF-8") from None
    if target.ndim == 2 and target.dtype.kind == "U":
        raise ValueError(f"{path}: array {target_name!r} of text must have shape (rows,), got {target.shape}")
    outputs = 1 if target.ndim == 1 else target.shape[1]
    return Table(
        source=str(path),
        features=features,
        target=target,
        feature_names=tuple(f"{features_name}{column}" for column in range(features.shape[1])),
        target_names=(target_name,) if outputs == 1 else tuple(f"{target_name}{i}" for i in range(outputs)),
        place=lambda row: f"row {row}",
    )
