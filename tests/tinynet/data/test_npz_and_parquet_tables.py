"""Data sets in NumPy archives and Parquet files: what is read, and what is refused with which words."""

import os
import pickle
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import said, written

from tinynet import data
from tinynet.data.files import READERS

SIX = "width,height,answer\n1,2,no\n3,4,yes\n5,6,no\n7,8,yes\n9,10,no\n11,12,yes\n"
X = np.arange(1.0, 13.0).reshape(6, 2)
ANSWERS = ["no", "yes"] * 3


# Which file


def test_what_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, SIX, "Six.CSV")
    for name in ("Six.CSV", os.path.join(".", "Six.CSV"), tmp_path / "Six.CSV"):
        assert data.load(name, target="answer").name == "Six"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert data.load("~/Six.CSV", target="answer").name == "Six"


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "tabel.csv"
    assert "no .csv, .npz, .parquet file" in said(lambda: data.load(path), FileNotFoundError)
    written(tmp_path, SIX)
    assert "did you mean 'table.csv'" in said(lambda: data.load(path), FileNotFoundError)
    message = said(lambda: data.load(str(tmp_path / "nowhere" / "x.csv")), FileNotFoundError)
    assert f"folder {tmp_path / 'nowhere'} does not exist" in message


def test_folder_and_other_types(tmp_path: Path) -> None:
    assert str(tmp_path) in said(lambda: data.load(str(tmp_path)), IsADirectoryError)
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert "folder.csv" in said(lambda: data.load(folder), IsADirectoryError)
    assert "'.txt'" in said(lambda: data.load(written(tmp_path, SIX, "table.txt")))
    assert "none" in said(lambda: data.load(written(tmp_path, SIX, "table")))


@pytest.mark.parametrize("suffix", READERS)
def test_empty_file(suffix: str, tmp_path: Path) -> None:
    assert "is empty" in said(lambda: data.load(written(tmp_path, b"", f"nothing{suffix}")))


# NumPy archives


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "arrays.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "target", "names"),
    [
        ({"X": X, "y": ANSWERS}, None, ("X", "y")),
        ({"features": X, "target": ANSWERS}, None, ("features", "target")),
        ({"X": X, "y": np.arange(6), "kind": ANSWERS}, "kind", ("X", "kind")),
        ({"points": X, "kind": ANSWERS}, "kind", ("points", "kind")),
        ({"X": X.astype(np.float32), "y": np.array(ANSWERS).astype("S")}, None, ("X", "y")),
        ({"X": np.asfortranarray(X), "y": np.array(ANSWERS).reshape(6, 1)}, None, ("X", "y")),
        ({"X": X.astype(np.uint8), "y": ANSWERS}, None, ("X", "y")),
    ],
)
def test_npz(arrays: Any, target: str | None, names: tuple[str, str], tmp_path: Path) -> None:
    dataset = data.load(npz(tmp_path, **arrays), target=target)
    np.testing.assert_array_equal(dataset.features, X)
    assert dataset.features.dtype == np.float64
    assert [dataset.classes[code] for code in dataset.target] == ANSWERS
    assert dataset.feature_names == (f"{names[0]}0", f"{names[0]}1")
    assert dataset.target_names == (names[1],)


@pytest.mark.parametrize(
    ("y", "task", "shape", "classes"),
    [
        (np.array([True, False] * 3), "classification", (6,), (False, True)),
        (np.array([5, 9] * 3, dtype=np.uint64), "classification", (6,), (5, 9)),
        (np.array([5.0, 9.0] * 3, dtype=np.float32), "classification", (6,), (5, 9)),
        (np.linspace(0, 1, 6).astype(np.float16), "regression", (6,), ()),
        (np.arange(12).reshape(6, 2), "regression", (6, 2), ()),
    ],
)
def test_npz_targets(y: Any, task: str, shape: tuple[int, ...], classes: tuple[object, ...], tmp_path: Path) -> None:
    dataset = data.load(npz(tmp_path, X=X, y=y))
    assert (dataset.task, dataset.target.shape, dataset.classes) == (task, shape, classes)
    if shape == (6, 2):
        assert dataset.target_names == ("y0", "y1")


NAN = np.where(X == 6, np.nan, X)
Y = np.array([0, 1] * 3)
BAD_NPZ: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "no arrays": ({}, {}, ["'X' and 'y'", "none"]),
    "other names": ({"a": X, "b": Y}, {}, ["'X' and 'y'", "'a', 'b'"]),
    "near target": ({"X": X, "labels": Y}, {"target": "label"}, ["'label'", "'labels'"]),
    "only a target": ({"y": Y}, {"target": "y"}, ["'y'", "none"]),
    "which features": ({"a": X, "b": X, "y": Y}, {"target": "y"}, ["'y'", "'a', 'b'"]),
    "1-D features": ({"X": Y, "y": Y}, {}, ["'X'", "(6,)"]),
    "3-D features": ({"X": np.zeros((6, 8, 8)), "y": Y}, {}, ["'X'", "(6, 8, 8)"]),
    "text features": ({"X": np.array([["a"], ["b"]]), "y": Y[:2]}, {}, ["'X'", "numbers", "<U1"]),
    "complex features": ({"X": X * 1j, "y": Y}, {}, ["'X'", "complex128"]),
    "no feature": ({"X": X[:, :0], "y": Y}, {}, ["feature"]),
    "nan": ({"X": NAN, "y": Y}, {}, ["'X1'", "row 2", "nan"]),
    "nan target": ({"X": X, "y": NAN[:, 1]}, {}, ["y", "row 2", "nan"]),
    "lengths": ({"X": X, "y": Y[:5]}, {}, ["6 rows", "5"]),
    "one row": ({"X": X[:1], "y": Y[:1]}, {}, ["2 rows", "got 1"]),
    "no rows": ({"X": X[:0], "y": Y[:0]}, {}, ["2 rows", "got 0"]),
    "3-D target": ({"X": X, "y": X.reshape(6, 2, 1)}, {}, ["'y'", "(6, 2, 1)"]),
    "0-D target": ({"X": X, "y": np.array(1)}, {}, ["'y'", "()"]),
    "no output": ({"X": X, "y": X[:, :0]}, {}, ["'y'", "(6, 0)"]),
    "dates": ({"X": X, "y": np.arange(6).astype("datetime64[D]")}, {}, ["'y'", "datetime64"]),
    "complex target": ({"X": X, "y": Y * 1j}, {}, ["'y'", "complex128"]),
    "latin-1": ({"X": X[:2], "y": np.array([b"\xe9", b"a"])}, {}, ["'y'", "UTF-8"]),
    "2-D text": ({"X": X[:2], "y": np.array([["a", "b"], ["c", "d"]])}, {}, ["'y'", "(2, 2)"]),
    "2-D classes": ({"X": X, "y": X}, {"task": "classification"}, ["(rows,)", "(6, 2)"]),
    "constant output": ({"X": X, "y": np.column_stack([Y, Y * 0])}, {}, ["'y1'", "0 in all 6 rows"]),
    "objects": ({"X": X, "y": np.array(ANSWERS, dtype=object)}, {}, ["'y'", "Python objects", "never"]),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_npz_refuses(case: str, tmp_path: Path) -> None:
    arrays, options, words = BAD_NPZ[case]
    path = npz(tmp_path, **arrays)
    message = said(lambda: data.load(path, **options))
    assert path.stem in message
    assert [word for word in words if word not in message] == []


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def test_npz_never_unpickles(tmp_path: Path) -> None:
    path = npz(tmp_path, X=X, y=np.array([Trap()] * 6))
    assert "never loaded" in said(lambda: data.load(path))
    assert "not a .npz archive" in said(lambda: data.load(written(tmp_path, pickle.dumps(Trap()), "pickle.npz")))


def test_npz_damaged(tmp_path: Path) -> None:
    whole = npz(tmp_path, X=X, y=Y).read_bytes()
    assert "not a .npz archive" in said(lambda: data.load(written(tmp_path, whole[: len(whole) // 2], "half.npz")))
    assert "not a .npz archive" in said(lambda: data.load(written(tmp_path, SIX, "text.npz")))
    at = whole.index(X.tobytes())
    flipped = whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]
    message = said(lambda: data.load(written(tmp_path, flipped, "flipped.npz")))
    assert "'X' is damaged" in message
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("X", "text")
        archive.writestr("y.npy", "text")
    assert "'X' is not an array" in said(lambda: data.load(tmp_path / "other.npz"))


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(deadline=None, max_examples=100)
def test_npz_with_any_byte_changed(position: int, byte: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = bytearray(npz(Path(folder), X=X, y=Y).read_bytes())
        whole[position % len(whole)] = byte
        try:
            data.load(written(Path(folder), bytes(whole), "changed.npz"))
        except ValueError as error:
            assert "changed" in str(error)  # noqa: PT017  # reading may also succeed


# Parquet


def parquet(folder: Path, columns: dict[str, Any] | Any, name: str = "table.parquet") -> Path:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = folder / name
    pq.write_table(pa.table(columns) if isinstance(columns, dict) else columns, path)
    return path


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from decimal import Decimal

    columns = {
        "float": pa.array([0.5, 1.5] * 3, pa.float32()),
        "int": pa.array(range(6), pa.int8()),
        "bool": pa.array([True, False] * 3),
        "decimal": pa.array([Decimal("1.25")] * 6),
        "answer": pa.array(ANSWERS),
    }
    dataset = data.load(parquet(tmp_path, columns), target="answer")
    np.testing.assert_array_equal(dataset.features[1], [1.5, 1.0, 0.0, 1.25])
    assert dataset.feature_names == ("float", "int", "bool", "decimal")
    assert [dataset.classes[code] for code in dataset.target] == ANSWERS
    assert dataset.features.flags.c_contiguous
    assert data.load(tmp_path / "table.parquet", target="4").target_names == ("answer",)


def test_parquet_targets(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    for values, task, classes in [
        (pa.array(ANSWERS).dictionary_encode(), "classification", ("no", "yes")),
        (pa.array(ANSWERS, pa.large_string()), "classification", ("no", "yes")),
        (pa.array([True, False] * 3), "classification", (False, True)),
        (pa.array([2**60, 2**60 + 1] * 3), "classification", (2**60, 2**60 + 1)),
        (pa.array([0.5, 1.5] * 3), "regression", ()),
    ]:
        dataset = data.load(parquet(tmp_path, {"x": pa.array(range(6)), "y": values}), target="y")
        assert (dataset.task, dataset.classes) == (task, classes)


def test_parquet_index_of_pandas_is_no_feature(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"x": range(6), "y": ANSWERS}, index=pandas.Index(range(5, 11), name="id"))
    frame.to_parquet(tmp_path / "frame.parquet")
    assert data.load(tmp_path / "frame.parquet", target="y").feature_names == ("x",)
    frame.rename_axis(None).iloc[::-1].to_parquet(tmp_path / "frame.parquet")
    assert data.load(tmp_path / "frame.parquet", target="y").feature_names == ("x",)


def bad_parquet() -> dict[str, tuple[Any, dict[str, Any], list[str]]]:
    pa = pytest.importorskip("pyarrow")
    x, y = pa.array(range(6)), pa.array(ANSWERS)
    return {
        "no target": ({"x": x, "y": y}, {"target": None}, ["target", "'x', 'y'"]),
        "near target": ({"x": x, "yield": y}, {"target": "yeild"}, ["'yeild'", "'yield'"]),
        "text": ({"x": x, "z": y, "y": y}, {}, ["'z'", "string", "numeric"]),
        "dates": ({"x": pa.array([0] * 6, pa.timestamp("s")), "y": y}, {}, ["'x'", "timestamp"]),
        "null": ({"x": pa.array([1, 2, None, 4, 5, 6]), "y": y}, {}, ["'x'", "null in row 2"]),
        "null target": ({"x": x, "y": pa.array(["a", None] * 3)}, {}, ["'y'", "null in row 1"]),
        "nan": ({"x": pa.array([1, 2, 3, float("nan"), 5, 6]), "y": y}, {}, ["'x'", "row 3", "nan"]),
        "list target": ({"x": x, "y": pa.array([[1]] * 6)}, {}, ["'y'", "list"]),
        "same names": (pa.table([x, x, y], names=["x", "x", "y"]), {}, ["2 columns", "'x'"]),
        "no feature": ({"y": y}, {}, ["'y'", "only column"]),
        "no rows": ({"x": x[:0], "y": y[:0]}, {}, ["no row"]),
        "one row": ({"x": x[:1], "y": y[:1]}, {}, ["2 rows", "got 1"]),
        "text as quantity": ({"x": x, "y": y}, {"task": "regression"}, ["'no' in row 0"]),
    }


def test_parquet_refuses(tmp_path: Path) -> None:
    for case, (columns, options, words) in bad_parquet().items():
        path = parquet(tmp_path, columns)
        message = said(lambda path=path, options=options: data.load(path, **{"target": "y", **options}))  # type: ignore[misc]
        assert path.stem in message
        assert [word for word in words if word not in message] == [], case


def test_parquet_damaged(tmp_path: Path) -> None:
    whole = parquet(tmp_path, {"x": list(range(6)), "y": ANSWERS}).read_bytes()
    for content in (SIX.encode(), whole[:-9], b"PAR1" + bytes(20) + b"PAR1"):
        message = said(lambda content=content: data.load(written(tmp_path, content, "bad.parquet"), target="y"))  # type: ignore[misc]
        assert "bad.parquet: not a Parquet file" in message


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = written(tmp_path, b"PAR1", "table.parquet")
    assert "pip install tinynet[parquet]" in said(lambda: data.load(path, target="y"), ImportError)
