"""`tn.scan`: which rows and columns a source has, in which blocks, and what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from refusals import said, written

import tinynet as tn
from tinynet.data.sources import scanning

RNG = np.random.default_rng(0)
X = RNG.normal(size=(103, 3)).astype(np.float32)
Y = RNG.integers(0, 4, 103)
FRAME = pl.DataFrame({"a": X[:, 0], "b": X[:, 1].astype(np.float64), "c": X[:, 2], "y": Y})


class Blocks:
    """An object with a length and read(block): ten rows a block, as what `give` makes of them."""

    def __init__(self, give=lambda X, y: (X, y)):
        self.give, self.reads = give, 0

    def __len__(self):
        return 11

    def read(self, block):
        self.reads += 1
        return self.give(X[block * 10 : block * 10 + 10], Y[block * 10 : block * 10 + 10])


def parquet(folder, frame=FRAME, name="t.parquet", rows=20):
    frame.write_parquet(folder / name, row_group_size=rows)
    return folder / name


def saved(folder, array, name):
    np.save(folder / name, array)
    return folder / name


def two_files(folder):
    parquet(folder, FRAME[60:], "b.parquet", 43)
    parquet(folder, FRAME[:60], "a.parquet", 15)
    return tn.scan(str(folder / "*.parquet"), target="y")


def arrow(folder, suffix):
    FRAME.write_ipc(folder / f"t{suffix}", compat_level=pl.CompatLevel.oldest(), record_batch_size=40)
    return tn.scan(folder / f"t{suffix}", target="y")


SOURCES = {
    "parquet": (lambda folder: tn.scan(parquet(folder), target="y"), [20] * 5 + [3]),
    "list of paths": (lambda folder: tn.scan([parquet(folder), parquet(folder, FRAME[:0].vstack(FRAME[:1]), "u.parquet")][:1], target="y"), [20] * 5 + [3]),
    "glob": (two_files, [15] * 4 + [43]),
    "arrow": (lambda folder: arrow(folder, ".arrow"), [40, 40, 23]),
    "feather": (lambda folder: arrow(folder, ".feather"), [40, 40, 23]),
    "npy, target a column": (lambda folder: tn.scan(saved(folder, np.column_stack([X, Y]), "t.npy"), target=-1, block_rows=50), [50, 50, 3]),
    "npy, target first": (lambda folder: tn.scan(saved(folder, np.column_stack([Y, X]), "t.npy"), target=0, block_rows=50), [50, 50, 3]),
    "npy by columns": (lambda folder: tn.scan(saved(folder, np.asfortranarray(np.column_stack([X, Y])), "t.npy"), 3, block_rows=50), [50, 50, 3]),
    "pair of npy": (lambda folder: tn.scan((saved(folder, X, "X.npy"), saved(folder, Y, "y.npy")), block_rows=90), [90, 13]),
    "npy beside npy": (lambda folder: tn.scan(saved(folder, X, "X.npy"), target=saved(folder, Y, "y.npy"), block_rows=90), [90, 13]),
    "lists of npy": (lambda folder: tn.scan([saved(folder, X[:40], "X0.npy"), saved(folder, X[40:], "X1.npy")], [saved(folder, Y[:40], "y0.npy"), saved(folder, Y[40:], "y1.npy")], block_rows=50), [40, 50, 13]),
    "arrays": (lambda folder: tn.scan(X, Y, block_rows=60), [60, 43]),
    "pair of arrays": (lambda folder: tn.scan((X, Y), block_rows=60), [60, 43]),
    "memory-mapped": (lambda folder: tn.scan(np.load(saved(folder, X, "X.npy"), mmap_mode="r"), Y, block_rows=60), [60, 43]),
    "object of pairs": (lambda folder: tn.scan(Blocks()), [10] * 10 + [3]),
    "object of arrays": (lambda folder: tn.scan(Blocks(lambda X, y: np.column_stack([X, y])), target=3), [10] * 10 + [3]),
    "object of polars": (lambda folder: tn.scan(Blocks(lambda X, y: pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": y})), target="y"), [10] * 10 + [3]),
    "object of pandas": (lambda folder: tn.scan(Blocks(lambda X, y: pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": y})), target="y"), [10] * 10 + [3]),
}  # fmt: skip


@pytest.mark.parametrize("case", SOURCES)
def test_rows_in_blocks(case, tmp_path):
    make, rows = SOURCES[case]
    source = make(tmp_path)
    assert (len(source), source.rows, source.block_rows.tolist()) == (len(rows), 103, rows)
    blocks = [source.read(block) for block in range(len(source))]
    found, target = (np.concatenate(each) for each in zip(*blocks, strict=True))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(target, Y)
    frame = pl.concat([source.frame(block) for block in range(len(source))])
    np.testing.assert_array_equal(frame[:, :3].to_numpy(), X)
    np.testing.assert_array_equal(frame[:, 3].to_numpy(), Y)
    assert f"103 rows in {len(rows)} blocks, 3 columns, target" in repr(source)


@pytest.mark.parametrize("compression", ["uncompressed", "snappy", "zstd"])
def test_parquet_files_without_pyarrow_have_the_same_blocks(compression, tmp_path, monkeypatch):
    more = FRAME.with_columns(text=pl.lit("x"), truth=pl.col("a") > 0, day=pl.date(2024, 1, 1))
    more.to_pandas().set_index("day").to_parquet(
        tmp_path / "t.parquet", row_group_size=20, compression=compression.replace("uncompressed", "none")
    )
    by_pyarrow = tn.scan(tmp_path / "t.parquet", target="y", columns=["a", "b", "c", "truth"])
    monkeypatch.setattr(scanning, "find_spec", lambda name: None)
    by_polars = tn.scan(tmp_path / "t.parquet", target="y", columns=["a", "b", "c", "truth"])
    assert type(by_polars.parts[0]) is not type(by_pyarrow.parts[0])
    assert by_polars.identity == by_pyarrow.identity and by_polars.parts[0].columns == by_pyarrow.parts[0].columns
    for block in range(6):
        for one, other in zip(by_polars.read(block), by_pyarrow.read(block), strict=True):
            np.testing.assert_array_equal(one, other)
        assert by_polars.frame(block).equals(by_pyarrow.frame(block))
    with pytest.raises(ImportError, match=r"t.arrow: reading it in blocks needs pyarrow"):
        arrow(tmp_path, ".arrow")
    path = written(tmp_path, (tmp_path / "t.parquet").read_bytes()[:-9], "cut.parquet")
    with pytest.raises(ValueError, match=r"cut.parquet: not a Parquet file, or a damaged one"):
        tn.scan(path)


def test_columns_are_chosen_by_name_and_several_targets_are_a_matrix(tmp_path):
    source = tn.scan(parquet(tmp_path), target=["y", "b"], columns=["c", "a"])
    found, target = source.read(1)
    np.testing.assert_array_equal(found, X[20:40][:, [2, 0]])
    np.testing.assert_array_equal(target, np.column_stack([Y, X[:, 1]])[20:40].astype(np.float32))
    assert source.features == ("c", "a") and source.target == ("y", "b")


def test_labels_are_whole_numbers_and_numbers_are_float32(tmp_path):
    path = parquet(tmp_path)
    assert tn.scan(path, target="y").read(0)[1].dtype == np.int64
    assert tn.scan(path, target="b").read(0)[1].dtype == np.float32


def test_without_a_target_a_block_is_features_alone(tmp_path):
    source = tn.scan(parquet(tmp_path))
    assert source.features == ("a", "b", "c", "y") and source.target == ()
    np.testing.assert_array_equal(source.read(5)[:, :3], X[100:])


def test_rows_that_an_object_tells_are_not_counted():
    given = Blocks()
    given.rows = lambda block: 10 if block < 10 else 3
    source = tn.scan(given)
    assert source.rows == 103 and given.reads == 1
    assert tn.scan(Blocks()).rows == 103


def test_an_index_that_pandas_wrote_is_no_column(tmp_path):
    FRAME.to_pandas().set_index(pd.Index(range(7, 110), name="at")).to_parquet(tmp_path / "t.parquet")
    assert tn.scan(tmp_path / "t.parquet", target="y").features == ("a", "b", "c")


def test_a_window_is_as_many_blocks_as_are_asked_for(tmp_path):
    path = parquet(tmp_path)
    assert tn.scan(path, target="y", window=2).window_rows == 40
    assert tn.scan(path, target="y").window == 6  # all of a small file
    wide = tn.scan(np.zeros((1 << 20, 64), np.float32), target=0, block_rows=1 << 17)
    assert wide.window == 4  # 4 blocks of 31.5 MiB


REFUSED = {
    "nothing there": (lambda f: tn.scan(f / "none.parquet"), FileNotFoundError, "no file .*none.parquet"),
    "no match": (lambda f: tn.scan(str(f / "*.parquet")), FileNotFoundError, "no file matches .*parquet"),
    "a folder": (lambda f: tn.scan(f), IsADirectoryError, "is a folder"),
    "another type": (lambda f: tn.scan(written(f, "a,b\n1,2\n")), ValueError, "must be one of .parquet, .*npy, got '.csv'"),
    "no Parquet": (lambda f: tn.scan(written(f, "a,b\n1,2\n", "t.parquet")), ValueError, "t.parquet: not a Parquet file"),
    "no Arrow": (lambda f: tn.scan(written(f, "a,b\n1,2\n", "t.arrow")), ValueError, "t.arrow: not an Arrow file"),
    "no npy": (lambda f: tn.scan(written(f, "a,b\n1,2\n", "t.npy")), ValueError, "t.npy: not a .npy file"),
    "objects": (lambda f: tn.scan(saved(f, np.array([[None]]), "t.npy")), ValueError, "t.npy: not a .npy file of numbers"),
    "one axis": (lambda f: tn.scan(saved(f, Y, "t.npy")), ValueError, r"t.npy has shape \(103,\), expected \(rows, columns\)"),
    "unlike rows": (lambda f: tn.scan(X, Y[1:]), ValueError, "y has shape .102,., expected 103 rows"),
    "no column": (lambda f: tn.scan(parquet(f), target="z"), ValueError, "target 'z': no column of .*t.parquet"),
    "no such number": (lambda f: tn.scan(X, target=3), ValueError, "target is 3, expected the number of a column of X, which has 3"),
    "no feature": (lambda f: tn.scan(parquet(f), target="y", columns=[]), ValueError, "no column but the target"),
    "window": (lambda f: tn.scan(parquet(f), target="y", window=0), ValueError, "window is 0, expected a whole number >= 1"),
    "no source": (lambda f: tn.scan(7), TypeError, "source is a int, expected a path"),
    "empty list": (lambda f: tn.scan([]), ValueError, "empty list"),
    "empty table": (lambda f: tn.scan(parquet(f, FRAME[:0])), ValueError, "no row of data"),
    "no length": (lambda f: tn.scan(type("Empty", (), {"__len__": lambda s: 0, "read": None})()), ValueError, r"len\(Empty\) is 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call(tmp_path)


@pytest.mark.parametrize(
    "other, message",
    [(FRAME.drop("b"), "u.parquet has other columns than .*t.parquet: .*u.parquet lacks 'b'"),
     (FRAME.with_columns(d=1), "u.parquet has other columns than .*t.parquet: .*t.parquet lacks 'd'"),
     (FRAME.with_columns(b=pl.lit("x")), "u.parquet has other columns .*'b' holds no numbers, there numbers")],
)  # fmt: skip
def test_files_have_the_same_columns(other, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tn.scan([parquet(tmp_path), parquet(tmp_path, other, "u.parquet")], target="y")


@pytest.mark.parametrize(
    "change, message",
    [({"a": pl.when(pl.int_range(103) == 25).then(None).otherwise("a")}, "t.parquet, row group 1: column 'a' is blank in row 5"),
     ({"a": pl.when(pl.int_range(103) == 25).then(np.inf).otherwise("a")}, "row group 1: column 'a' holds inf in row 5, expected numbers that are finite in float32"),
     ({"a": pl.when(pl.int_range(103) == 25).then(1e300).otherwise("a")}, "row group 1: column 'a' holds inf in row 5, expected numbers that are finite in float32")],
)  # fmt: skip
def test_blanks_and_infinite_numbers_are_found_where_they_are(change, message, tmp_path):
    source = tn.scan(parquet(tmp_path, FRAME.with_columns(**change)), target="y")
    source.read(0)
    assert message in said(lambda: source.read(1))


def changed(path):
    parquet(path.parent, FRAME[:80], path.name)


def again(path):
    content = path.read_bytes()
    path.write_bytes(content)
    import os

    os.utime(path, ns=(1, 1))


CHANGES = {
    "changed": (changed, ValueError, "the file has changed since it was scanned .it has"),
    "written again": (again, ValueError, "the file has changed since it was scanned .it was written again"),
    "truncated": (
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        ValueError,
        "has changed since it was scanned",
    ),
    "missing": (lambda path: path.unlink(), FileNotFoundError, "the file is no longer there"),
}


@pytest.mark.parametrize("kind", ["parquet", "arrow", "npy"])
@pytest.mark.parametrize("case", CHANGES)
def test_a_file_that_changes_is_refused_by_name(kind, case, tmp_path):
    change, error, message = CHANGES[case]
    unit = {
        "parquet": "t.parquet, row group 2: ",
        "arrow": "t.arrow, record batch 2: ",
        "npy": "t.npy, rows 80 to 102: ",
    }
    source = {
        "parquet": lambda: tn.scan(parquet(tmp_path), target="y"),
        "arrow": lambda: arrow(tmp_path, ".arrow"),
        "npy": lambda: tn.scan(saved(tmp_path, np.column_stack([X, Y]), "t.npy"), target=3, block_rows=40),
    }[kind]()
    source.read(2)
    change(tmp_path / f"t.{kind}")
    assert unit[kind] in said(lambda: source.read(2), error)
    with pytest.raises(error, match=message):
        source.read(2)


@pytest.mark.parametrize("codec", ["uncompressed", "snappy", "zstd"])
def test_damaged_row_groups_are_refused_by_name(codec, tmp_path):
    """Bytes turned over within the pages: what can be told is told, and nothing ends the process."""
    path = tmp_path / "t.parquet"
    FRAME.write_parquet(path, row_group_size=20, compression=codec)
    whole, rng, refusals = bytearray(path.read_bytes()), np.random.default_rng(0), []
    for _ in range(40):
        damaged = bytearray(whole)
        for place in rng.integers(4, len(whole) // 2, 8):
            damaged[place] ^= 255
        path.write_bytes(damaged)
        source = tn.scan(path, target="y")
        for block in range(len(source)):
            try:
                source.read(block)
            except ValueError as error:
                refusals.append((f"t.parquet, row group {block}: ", str(error)))
    assert len(refusals) > 10
    assert all(name in message and "\n" not in message for name, message in refusals)


def test_an_object_whose_blocks_change_is_refused():
    given = Blocks()
    source = tn.scan(given)
    assert source.rows == 103
    given.give = lambda X, y: (X[1:], y[1:])
    assert "Blocks, block 4: read(4) has 9 rows, expected 10" in said(lambda: source.read(4))
    given.give = lambda X, y: (X[:, 1:], y)
    assert "Blocks, block 4: read(4) has 3 columns, expected those of block 0: it lacks 2" in said(
        lambda: source.read(4)
    )
