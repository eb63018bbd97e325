"""What a column is taken for, and why; overrides by name; what is no column."""

import datetime

import numpy as np
import polars as pl
import pytest
from refusals import said

from tinynet.tables import Column, columns_text, describe_columns

N = 30
DAYS = [datetime.date(2024, 1, 1 + i) for i in range(N)]
GUESSES = {
    "measure": (np.linspace(0, 1, N), "number", 0, ""),
    "whole": (list(range(N)), "number", 0, ""),
    "few": ([0, 1] * 15, "number", 0, ""),
    "text numbers": (["1.5", "2", "1,000"] * 10, "number", 0, "text of numbers"),
    "zip": (["02139", "10001"] * 15, "category", 2, ""),
    "city": (["Rome", "Oslo", "Bern"] * 10, "category", 3, ""),
    "flag": ([True, False] * 15, "boolean", 2, ""),
    "said": (["yes", "no"] * 15, "category", 2, ""),
    "truth": (["True", "false"] * 15, "boolean", 2, "text"),
    "day": (DAYS, "date", 0, ""),
    "moment": ([datetime.datetime(2024, 1, 1, i % 24) for i in range(N)], "date", 0, ""),
    "iso": ([str(day) for day in DAYS], "date", 0, "text as %Y-%m-%d"),
    "american": ([f"{day:%m/%d/%Y}" for day in DAYS], "date", 0, "text as %m/%d/%Y"),
    "european": ([f"{day:%d/%m/%Y}" for day in DAYS], "date", 0, "text as %d/%m/%Y"),
    "zoned": ([f"{day}T01:02:03+02:00" for day in DAYS], "date", 0, "text as %Y-%m-%dT%H:%M:%S%.f%#z"),
    "no date": (["2024-13-45", "2024-99-99"] * 15, "category", 2, ""),
    "span": ([datetime.timedelta(seconds=i) for i in range(N)], "number", 0, ""),
    "kind": (pl.Series(["a", "b"] * 15, dtype=pl.Categorical), "category", 2, ""),
    "names": ([f"person {i}" for i in range(N)], "ignored", 0, "text that differs in nearly every row"),
    "same": (["x"] * N, "ignored", 0, "x in every row"),
    "one": ([1.0] * N, "ignored", 0, "1.0 in every row"),
    "id": (list(range(5, N + 5)), "ignored", 0, "an identifier"),
    "customer_id": ([str(3 * i) for i in range(N)], "ignored", 0, "an identifier"),
    "PassengerId": (list(range(N)), "ignored", 0, "an identifier"),
    "Unnamed: 0": (list(range(N)), "ignored", 0, "an identifier"),
    "rownames": (list(range(N)), "ignored", 0, "an identifier"),
    "valid": (list(range(N)), "number", 0, ""),
    "area_id": ([1, 2] * 15, "number", 0, ""),
    "humid": (list(range(N)), "number", 0, ""),
}


@pytest.mark.parametrize("name", GUESSES)
def test_guesses(name):
    values, kind, levels, reason = GUESSES[name]
    assert describe_columns({name: values}) == (Column(name, kind, levels, 0.0, reason),)


@pytest.mark.parametrize("name", GUESSES)
def test_guesses_with_a_blank(name):
    values, kind, levels, _ = GUESSES[name]
    values = pl.Series(values).cast(pl.Enum(["a", "b"])) if name == "kind" else pl.Series(values)
    blanked = values.to_frame("x").select(pl.when(pl.int_range(pl.len()) > 0).then(pl.col("x"))).to_series()
    (found,) = describe_columns({name: blanked})
    assert found.missing == 1 / N
    expected = {"same": "category", "one": "number", "id": "number", "customer_id": "number", "PassengerId": "number",
                "Unnamed: 0": "number", "rownames": "number"}.get(name, kind)  # fmt: skip
    assert (found.kind, found.levels) == (expected, 1 if name == "same" else levels)


def test_few_rows_are_no_evidence():
    assert [c.kind for c in describe_columns({"id": [1, 2, 3], "name": ["a", "b", "c"]})] == ["number", "category"]


def test_blank_columns_are_ignored():
    for blank in ([None, None], ["", "NA"], [np.nan, np.nan], pl.Series([None, None], dtype=pl.Date)):
        assert describe_columns({"x": blank}, numeric="x") == (Column("x", "ignored", 0, 1.0, "every cell is blank"),)


def test_overrides():
    table = {
        "zip": [1, 2, 3],
        "size": ["3", "4", "5"],
        "note": ["a", "b", "c"],
        "day": DAYS[:3],
        "flag": [True, False, True],
    }
    found = describe_columns(table, categorical=["zip", "size"], numeric=["day", "flag"], ignore="note")
    assert [(c.kind, c.levels, c.reason) for c in found] == [
        ("category", 3, "as told"), ("category", 3, "as told"), ("ignored", 0, "as told"), ("number", 0, "as told"),
        ("number", 0, "as told"),
    ]  # fmt: skip
    assert [c.kind for c in describe_columns(np.arange(6).reshape(3, 2), categorical=[1])] == ["number", "category"]


def test_what_names_columns():
    for given in (None, 3.5):
        assert "expected names of columns" in said(
            lambda given=given: describe_columns({"x": [1]}, numeric=given), TypeError
        )


LONG = "x" * 10_001
REFUSED = {
    "near name": ({"city": ["a", "b"]}, {"categorical": ["ctiy"]}, ["categorical", "'ctiy'", "did you mean 'city'"]),
    "no such name": ({"city": ["a", "b"]}, {"numeric": ["zz"]}, ["numeric", "'zz'", "'city'"]),
    "no such position": ({"city": ["a", "b"]}, {"ignore": [1]}, ["ignore", "1", "'city'"]),
    "named twice": ({"x": ["1", "2"]}, {"categorical": "x", "numeric": "x"}, ["'x'", "categorical", "numeric"]),
    "text as a number": ({"x": ["1", "b"]}, {"numeric": "x"}, ["'x'", "'b' in row 1", "not a number", "categorical=['x']"]),
    "lists": ({"tags": [[1], [2, 3]]}, {}, ["'tags'", "objects", "ignore=['tags']"]),
    "lists of polars": ({"tags": pl.Series([[1], [2, 3]])}, {}, ["'tags'", "List", "ignore=['tags']"]),
    "structs": ({"s": pl.Series([{"a": 1}, {"a": 2}])}, {}, ["'s'", "Struct", "ignore=['s']"]),
    "bytes": ({"b": pl.Series([b"a", b"b"])}, {}, ["'b'", "Binary", "ignore=['b']"]),
    "long levels": ({"t": [LONG, "a"]}, {}, ["'t'", "10001 bytes in row 0", "ignore=['t']"]),
    "long levels of a category": ({"t": pl.Series([LONG, "a"], dtype=pl.Categorical)}, {}, ["'t'", "10001 bytes in row 0", "ignore=['t']"]),
    "a date out of range in every row": ({"d": pl.Series([2**62] * 3).cast(pl.Datetime("us"))}, {}, ["'d'", "row 0", "1 to 9999", "ignore=['d']"]),
    "dates out of range": ({"d": pl.Series([2**62, 0]).cast(pl.Datetime("us"))}, {}, ["'d'", "row 0", "1 to 9999", "ignore=['d']"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_column_and_remedy(case):
    table, options, words = REFUSED[case]
    message = said(lambda: describe_columns(table, **options))
    assert [word for word in words if word not in message] == []
    assert len(message) < 300
    if "ignore=" in words[-1]:
        assert describe_columns(table, ignore=list(table))[0].kind == "ignored"


def test_long_texts_that_are_no_levels_are_no_matter():
    (found,) = describe_columns({"review": [f"{i} {LONG}" for i in range(N)]})
    assert found.kind == "ignored"


def test_a_line_a_column():
    columns = describe_columns({"city\n": ["a", None, "b"], "n" * 60: [1.0, 2.0, 3.0], "s": [1, 1, 1]})
    lines = columns_text(columns).splitlines()
    assert len(lines) == 2 + 3
    assert lines[0].split() == ["column", "kind", "levels", "blank", "why"]
    assert lines[2].split() == ["city\N{REPLACEMENT CHARACTER}", "category", "2", "33.3%"]
    assert lines[4].endswith("1 in every row") and "..." in lines[3]
