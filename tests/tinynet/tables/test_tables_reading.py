"""Tables from files and frames: what is read, that all sources agree, and what is refused with which words."""

import datetime
import gzip
import io
import os
import random
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from children import finished
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from refusals import mutated, said, written

import tinynet.data
from tinynet.tables import as_frame, read_table, read_target
from tinynet.tables.cells import BLANKS, level, without_blanks
from tinynet.tables.reading import READERS
from tinynet.tables.sources import table_suffix

PEOPLE = "name,age,city\nAda,36,London\nBlaise,,Paris\nCarl,77.5,?\n"
FRAME = pl.DataFrame({"name": ["Ada", "Blaise", "Carl"], "age": [36.0, None, 77.5], "city": ["London", "Paris", None]})


def zstd(text):
    file = io.BytesIO()
    pl.DataFrame({"line": text.splitlines()}).write_csv(
        file, include_header=False, compression="zstd", quote_style="never"
    )
    return file.getvalue()


@pytest.mark.parametrize(
    "content, name",
    [
        (PEOPLE, "t.csv"),
        (PEOPLE.replace("\n", "\r\n"), "t.csv"),
        (PEOPLE.replace("\n", "\r"), "t.csv"),
        (PEOPLE.replace(",", ";"), "t.csv"),
        (PEOPLE.replace(",", "\t"), "t.tsv"),
        (PEOPLE.replace(",", "|"), "t.csv"),
        (PEOPLE.replace(",", " , "), "t.csv"),
        ("\ufeff" + PEOPLE, "t.csv"),
        ("\n \n" + PEOPLE.replace("Paris\n", "Paris\n\n  \n") + "\n\n", "t.csv"),
        (PEOPLE.removesuffix("\n"), "T.CSV"),
        (PEOPLE.replace("Ada", '"Ada"').replace("36", '"36"'), "t.csv"),
        (gzip.compress(PEOPLE.encode()), "t.csv.gz"),
        (zstd(PEOPLE), "t.csv.zst"),
    ],
)  # fmt: skip
def test_text(tmp_path, content, name):
    assert_frame_equal(read_table(written(tmp_path, content, name)), FRAME)


def test_text_is_as_it_was_written(tmp_path):
    rows = [["a", "one, two"], ["b", 'a "quoted" word'], ["c", "two\nlines"], ["d", "é ✓"]]
    pl.DataFrame(rows, schema=["key", "text"], orient="row").write_csv(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").rows() == [tuple(row) for row in rows]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".ipc"])
@pytest.mark.parametrize("with_pyarrow", [True, False])
def test_columnar_files(tmp_path, suffix, with_pyarrow, monkeypatch):
    frame = FRAME.with_columns(
        when=pl.Series([datetime.datetime(2024, 1, i) for i in (1, 2, 3)]), kind=pl.Series(["a", "b", None], dtype=pl.Categorical),
        yes=pl.Series([True, None, False]),
    )  # fmt: skip
    path = tmp_path / f"t{suffix}"
    frame.write_parquet(path) if suffix == ".parquet" else frame.write_ipc(path, compat_level=pl.CompatLevel.oldest())
    if not with_pyarrow:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = read_table(path)
    assert found.rows() == frame.rows() and found.columns == frame.columns
    assert found["kind"].dtype in (pl.Categorical, pl.Enum)


def test_an_index_that_pandas_wrote_is_no_column(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": range(3)}, index=pandas.Index([5, 6, 7], name="id"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").columns == ["x"]


def test_names_of_files(tmp_path, monkeypatch):
    written(tmp_path, PEOPLE, "people.csv")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_table("~/people.csv").height == 3
    assert "did you mean 'people.csv'" in said(lambda: read_table(tmp_path / "poeple.csv"), FileNotFoundError)
    assert "is a folder" in said(lambda: read_table(tmp_path), IsADirectoryError)
    assert "got '.xlsx'" in said(lambda: read_table(written(tmp_path, b"x", "t.xlsx")))
    assert "the file is empty" in said(lambda: read_table(written(tmp_path, b"", "t.csv")))
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in said(lambda: read_table(tmp_path / "pipe.csv"))
    assert "got int" in said(lambda: read_table(3), TypeError)


@pytest.mark.parametrize("name", ["t.npz.gz", "t.parquet.zst", "t.parquet.gz", "t.feather.gz", "T.ARROW.ZST"])
@pytest.mark.parametrize("reader", [read_table, tinynet.data.load])
def test_files_that_are_compressed_within_are_not_read_compressed(tmp_path, name, reader):
    path = written(tmp_path, gzip.compress(b"anything"), name)
    message = said(lambda: reader(path))
    if table_suffix(path) in (READERS if reader is read_table else (".npz", ".parquet")):
        assert f"expected the file without {path.suffix.lower()}" in message.lower()
    assert str(path) in message and "file" in message


BAD_TEXT = {
    "only blank lines": ("\n \n", ["is empty"]),
    "header only": ("a,b\n", ["no row of data"]),
    "no header": ("1.5,2\n3,4\n", ["line 1", "header", "1.5"]),
    "nameless": (",a\n1,2\n", ["line 1", "column 1 of 2", "no name"]),
    "same names": ("a,b,a\n1,2,3\n", ["line 1", "columns 1 and 3", "'a'", "rename"]),
    "short": ("a,b,c\n1,2,3\n\n1,2\n", ["line 4", "2 fields", "3 expected"]),
    "long": ("a,b\n1,2\n1,2,3\n", ["line 3", "3 fields", "2 expected"]),
    "after lines within quotes": ('a,b\n1,"x\ny"\n1\n', ["line 4", "1 field found"]),
    "open quote": ('a,b\n1,2\n1,"x\n', ["line 3", "told apart"]),
    "text after a quote": ('a,b\n1,2\n1,"x"y\n', ["line 3", "told apart"]),
    "quotes within fields": ('a,b\n1,2\n5" pipe,2\n' + '"x, y",4"\n' * 2 + '6" pipe,2\n', ["line 3", "neither begins nor ends"]),
    "short after quotes": ('a,b\n"x, y",2\n"x\ny, z""",2\n1,2,3\n', ["line 5", "3 fields"]),
    "short after a long field": ("a,b\n" + "x" * 200_000 + ",1\n1,2,3\n", ["line 3", "3 fields"]),
    "latin-1": ("a,b\n1,2\n1,é\n".encode("latin-1"), ["line 3", "UTF-8"]),
    "utf-16": (PEOPLE.encode("utf-16"), ["line 1", "UTF-8"]),
    "gzip cut short": (gzip.compress(PEOPLE.encode())[:-9], ["compressed", "damaged"]),
    "zstd cut short": (zstd(PEOPLE)[:-3], ["compressed", "damaged"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_TEXT)
def test_text_refuses(tmp_path, case):
    content, words = BAD_TEXT[case]
    path = written(tmp_path, content)
    message = said(lambda: read_table(path))
    assert message.startswith(str(path))
    assert [word for word in words if word not in message] == []


def test_columnar_files_refuse(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    FRAME.write_parquet(tmp_path / "whole.parquet")
    for name, content in (("t.parquet", PEOPLE.encode()), ("t.arrow", PEOPLE.encode()),
                          ("t.parquet", (tmp_path / "whole.parquet").read_bytes()[:-9])):  # fmt: skip
        assert "file, or a damaged one" in said(
            lambda name=name, content=content: read_table(written(tmp_path, content, name))
        )
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "twice.parquet")
    assert "2 columns are named 'a'; rename" in said(lambda: read_table(tmp_path / "twice.parquet"))
    pq.write_table(pa.table({"a": []}), tmp_path / "rowless.parquet")
    assert "no row" in said(lambda: read_table(tmp_path / "rowless.parquet"))


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".csv"])
def test_mutations_are_read_or_refused_in_a_sentence(tmp_path, suffix):
    pytest.importorskip("pyarrow")
    path = tmp_path / f"t{suffix}"
    write = {".parquet": FRAME.write_parquet, ".feather": FRAME.write_ipc, ".csv": FRAME.write_csv}[suffix]
    write(path)
    whole, rng, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(600):
        path.write_bytes(mutated(whole, rng))
        try:
            read_table(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error)  # noqa: PT017 - some are read
    assert refused > 100


def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = written(tmp_path, PEOPLE)
    fstat, seen = os.fstat, []

    def growing(descriptor):
        seen.append(descriptor)
        if len(seen) == 2:
            path.write_text(PEOPLE * 2)
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", growing)
    assert f"{path}: the file changed while it was read" in said(lambda: read_table(path))


def test_many_columns_and_long_texts(tmp_path):
    columns = 20_000
    path = written(tmp_path, ",".join(f"c{i}" for i in range(columns)) + "\n" + (",".join(["x"] * columns) + "\n") * 2)
    assert read_table(path).shape == (2, columns)
    path = written(tmp_path, "a,b\n1," + "x" * 10_000_000 + "\n")
    assert read_table(path)["b"].str.len_bytes().to_list() == [10_000_000]


def test_import_is_light():
    code = "import sys, tinynet, tinynet.tables; print({'sklearn', 'pandas', 'pyarrow', 'polars'} & set(sys.modules))"
    done = finished(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout.strip() == "set()"


def test_cells_are_cleaned_once(tmp_path, monkeypatch):
    cleaned = []
    monkeypatch.setattr(
        "tinynet.tables.reading.without_blanks", lambda frame: cleaned.append(1) or without_blanks(frame)
    )
    read_table(written(tmp_path, PEOPLE))
    FRAME.write_parquet(tmp_path / "t.parquet")
    read_table(tmp_path / "t.parquet")
    assert len(cleaned) == 2


# ---- cells ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells, expected",
    [
        (["1", "2", ""], [1, 2, None]),
        (["1", "2.5", "NA"], [1.0, 2.5, None]),
        (["1e3", "-inf", "+.5"], [1000.0, -np.inf, 0.5]),
        (["1,234", "5", "-1,000,000.5"], [1234.0, 5.0, -1000000.5]),
        (["02139", "10001", "?"], ["02139", "10001", None]),
        (["1", "x"], ["1", "x"]),
        (["1_0", "2_0"], ["1_0", "2_0"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["", "NA"], [None, None]),
        (["1"] * 100 + ["NAN"], ["1"] * 100 + ["NAN"]),
    ],
)
def test_what_is_a_number(tmp_path, cells, expected):
    path = written(tmp_path, "k;v\n" + "".join(f"k;{cell}\n" for cell in cells))
    found = read_table(path)["v"]
    assert found.to_list() == expected
    assert found.to_list() == [None if e is None else type(e)(f) for e, f in zip(expected, found, strict=True)]


def test_blanks_are_blank_wherever_they_come_from(tmp_path):
    text = "x,y\n" + "".join(f"{i},{blank}\n" for i, blank in enumerate(BLANKS))
    assert read_table(written(tmp_path, text))["y"].null_count() == len(BLANKS)
    assert as_frame({"y": list(BLANKS)})["y"].null_count() == len(BLANKS)
    assert as_frame(np.array([[np.nan, 1.0]]))["column_0"].null_count() == 1


def test_levels_equal_in_meaning_are_equal():
    for same in ([7, 7.0, "7", "7.0", "+7", " 7 ", np.float64(7)], [True, "True", "true", "TRUE"], [0.5, ".5", "0.50"],
                 [0, "-0", -0.0], [None, float("nan"), "NA", "  "]):  # fmt: skip
        assert len({level(value) for value in same}) == 1
    assert len({level(value) for value in ["007", "7", "1_0", "10", "٣", "3", "-", "--", "1e400", "a", "A"]}) == 11


# ---- frames ---------------------------------------------------------------------------------------------------------


def test_pandas_frames():
    pd = pytest.importorskip("pandas")
    moment = pd.Timestamp("2024-01-02 03:04:05")
    frame = pd.DataFrame(
        {
            "float": [1.5, np.nan, 2.0],
            "half": np.array([1, 2, 3], np.float16),
            "int": pd.array([1, None, 2**60 + 1], dtype="Int64"),
            "unsigned": np.array([1, 2, 2**64 - 1], np.uint64),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "bool": [True, False, True],
            "text": ["a", None, "b"],
            "string": pd.array(["a", None, "b"], dtype="string"),
            "object": np.array(["a", np.nan, "b"], dtype=object),
            "mixed": np.array(["a", 1, 2.0], dtype=object),
            "numbers": np.array([1, None, Decimal("2.5")], dtype=object),
            "category": pd.Categorical(["x", None, "y"]),
            "codes": pd.Categorical([10, 2, None]),
            "moment": [moment, pd.NaT, moment],
            "zoned": pd.Series([moment, pd.NaT, moment]).dt.tz_localize("Asia/Tokyo").array,
            "day": [datetime.date(2024, 1, 2), None, datetime.date(2024, 1, 3)],
            "span": pd.to_timedelta([1, None, 2], unit="s"),
            "period": pd.period_range("2024-01", periods=3, freq="M"),
        },
        index=[3, 3, 1],
    )
    found = as_frame(frame)
    expected = {
        "float": [1.5, None, 2.0], "half": [1.0, 2.0, 3.0], "int": [1, None, 2**60 + 1], "unsigned": [1, 2, 2**64 - 1],
        "flag": [True, None, False], "bool": [True, False, True], "text": ["a", None, "b"], "string": ["a", None, "b"],
        "object": ["a", None, "b"], "mixed": ["a", "1", "2"], "numbers": [1.0, None, 2.5], "category": ["x", None, "y"],
        "codes": ["10", "2", None], "moment": [moment, None, moment],
        "zoned": [moment - pd.Timedelta(hours=9), None, moment - pd.Timedelta(hours=9)],
    }  # fmt: skip
    assert found.columns == list(frame.columns)
    for name, values in expected.items():
        assert found[name].to_list() == values, name
    assert found["category"].dtype == found["codes"].dtype.base_type() == pl.Enum
    assert found["day"].dtype.base_type() == found["period"].dtype.base_type() == pl.Datetime
    assert found["span"].dtype.base_type() == pl.Duration


def test_pandas_without_pyarrow(monkeypatch):
    pd = pytest.importorskip("pandas")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert_frame_equal(
        as_frame(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})), pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    )


def test_other_frames():
    pa = pytest.importorskip("pyarrow")
    frame = pl.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    for same in (frame, frame.lazy(), pa.table({"a": [1.0, 2.0], "b": ["x", "y"]}), pa.table({"a": [1.0, 2.0], "b": ["x", "y"]}).to_batches()[0],
                 {"a": np.array([1.0, 2.0]), "b": ["x", "y"]}, {"a": pl.Series([1.0, 2.0]), "b": pa.array(["x", "y"])}):  # fmt: skip
        assert_frame_equal(as_frame(same), frame)
    nameless = frame.rename({"a": "column_0", "b": "column_1"})
    for same in ([[1.0, "x"], [2.0, "y"]], np.array([[1.0, "x"], [2.0, "y"]], object)):
        assert_frame_equal(as_frame(same), nameless)
    assert as_frame([np.arange(2), np.arange(2)]).shape == (2, 2)


def test_arrays_with_names_or_masks_and_records():
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    assert_frame_equal(as_frame([{"a": 1, "b": "x"}, {"a": 2}]), frame)
    assert_frame_equal(as_frame(np.array([(1, "x"), (2, "")], dtype=[("a", "i8"), ("b", "U1")])), frame)
    masked = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[True, False], [False, False]])
    assert as_frame(masked).rows() == [(None, 2.0), (3.0, 4.0)]


def test_dates_of_numpy():
    days = np.array(["2024-01-02", "NaT"], "datetime64[D]")
    assert as_frame({"d": days})["d"].to_list() == [datetime.datetime(2024, 1, 2), None]
    message = said(lambda: as_frame({"d": np.array(["20000-01-01", "2024-01-01"], "datetime64[D]")}))
    assert "'d'" in message and "row 0" in message and "1 to 9999" in message


@pytest.mark.parametrize(
    "table, kind, words",
    [
        ("text", TypeError, ["got str"]),
        (3, TypeError, ["got int"]),
        (np.arange(3), ValueError, ["Expected 2D", "Reshape your data"]),
        (np.ones((2, 2, 2)), ValueError, ["Expected 2D"]),
        ([[1, 2], [3]], ValueError, ["row 1", "1 values", "2"]),
        ({"a": [1, 2], "b": [1]}, ValueError, ["'b'", "1 rows", "'a'", "2"]),
        (np.ones((2, 2)) * 1j, ValueError, ["Complex data not supported"]),
        (np.empty((3, 0)), ValueError, ["0 feature(s)"]),
        ({"a": "text"}, TypeError, ["'a'", "a sequence", "got str"]),
        ({"a": 3}, TypeError, ["'a'", "a sequence", "got int"]),
        ({"a": [b"\xe9"], 1: [2]}, TypeError, ["int and str"]),
        ({"a": np.array([b"\xe9"])}, ValueError, ["'a'", "row 0", "UTF-8"]),
        ({"a": ["x", "\ud800"]}, ValueError, ["'a'", r"'\ud800' in row 1", "no text"]),
        ({"\ud800": [1]}, ValueError, [r"'\ud800'", "rename"]),
    ],
)
def test_frames_refused(table, kind, words):
    message = said(lambda: as_frame(table), kind)
    assert [word for word in words if word not in message] == []


def test_pandas_frames_refused():
    pd = pytest.importorskip("pandas")
    assert "two columns are named 'a'; rename" in said(lambda: as_frame(pd.DataFrame([[1, 2]], columns=["a", "a"])))
    assert "must all be text" in said(lambda: as_frame(pd.DataFrame([[1, 2]], columns=["a", 1])), TypeError)
    assert as_frame(pd.DataFrame([[1, 2]])).columns == ["column_0", "column_1"]


def test_types_of_arrow_that_polars_lacks():
    pa = pytest.importorskip("pyarrow")
    for lacked in (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array([7]))):  # fmt: skip
        message = said(lambda lacked=lacked: as_frame(pa.table({"a": pa.array([1]), "b": lacked})))
        assert "column 'b' holds values of type" in message and "leave the column out" in message


cells = st.one_of(st.none(), st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.text(max_size=3), st.dates(),
                  st.datetimes(), st.lists(st.integers(), max_size=2), st.decimals(allow_nan=False))  # fmt: skip


@given(st.lists(cells, max_size=5))
@settings(deadline=None, max_examples=200)
def test_any_objects_are_a_column_or_refused(values):
    found = as_frame({"a": values, "n": list(range(len(values)))})
    assert found.height == len(values)
    assert all(found["a"].is_null()[i] for i, value in enumerate(values) if value is None or value != value)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
            st.floats(allow_nan=False),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(deadline=None, max_examples=100)
def test_text_round_trip(rows):
    frame = as_frame({"text": [f"t{text}" for text, _ in rows], "number": [number for _, number in rows]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        frame.write_csv(path)
        found = read_table(path)
    assert found["text"].to_list() == frame["text"].to_list()
    assert found["number"].cast(pl.Float64).to_list() == frame["number"].to_list()


# ---- targets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values, kind, dtype",
    [
        (["a", "b", "a"], "classification", "O"),
        ([True, False, True], "classification", "b"),
        ([0, 1, 1, 0], "classification", "i"),
        (["0", "1", "1", "0"], "classification", "i"),
        ([0.5, 1.5, 2.5], "regression", "f"),
        (np.arange(100), "regression", "i"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "classification", "O"),
        (np.ones((3, 1)), "classification", "f"),
        (pl.DataFrame({"y": ["a", "b"]}), "classification", "O"),
    ],
)
def test_targets(values, kind, dtype):
    array, found = read_target(values)
    assert (found, array.dtype.kind, array.shape) == (kind, dtype, (len(values),))


def test_targets_refused():
    assert "target 'y' is blank in rows 1, 2, 3 and 2 more" in said(lambda: read_target(["a"] + [None] * 5, "y"))
    assert "is blank in row 0; leave" in said(lambda: read_target([np.nan, 1.0]))
    assert "neither like classes" in said(lambda: read_target([f"id{i}" for i in range(30)]))
    assert read_target([f"id{i}" for i in range(30)], task="classification")[1] == "classification"
    assert "30 rows, such as 'many' in row 7;" in said(
        lambda: read_target([i if i != 7 else "many" for i in range(30)])
    )
    assert "'b' in row 1, which is not a number" in said(lambda: read_target(["1", "b"], task="regression"))
    assert "'a' in row 0, which is not a number" in said(lambda: read_target(["a", "b"], task="regression"))
    assert "'target' is inf in row 1, expected finite" in said(lambda: read_target([1.0, np.inf]))
    assert "has no row" in said(lambda: read_target([]))
    assert "must be 1-D" in said(lambda: read_target(np.ones((2, 2))))
    assert "must hold numbers or text, got Datetime" in said(lambda: read_target([datetime.datetime(2024, 1, 1)] * 2))
