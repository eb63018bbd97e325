"""The encoder of a table that comes in blocks: the same as of the whole table, from one pass."""

import numpy as np
import polars as pl
import pytest

import tinynet as tn
from tinynet.tables import TableEncoder, columns_text, summary

RNG = np.random.default_rng(0)
ROWS = 5000
FRAME = pl.DataFrame({
    "n": RNG.normal(size=ROWS), "whole": RNG.integers(0, 9, ROWS),
    "holes": [None if i % 7 == 0 else float(i % 50) for i in range(ROWS)],
    "city": RNG.choice(["London", "Paris", "Rome", "New York"], ROWS, p=[0.5, 0.3, 0.19, 0.01]),
    "zip": [f"z{i % 300}" for i in range(ROWS)], "truth": RNG.random(ROWS) < 0.3,
    "text_of_numbers": [str(i % 11) for i in range(ROWS)], "born": pl.date_range(pl.date(2000, 1, 1), pl.date(2013, 9, 8), eager=True)[:ROWS],
    "day": [f"2024-01-{1 + i % 28:02d}" for i in range(ROWS)], "name": [f"somebody {i}" for i in range(ROWS)],
    "constant": [5] * ROWS, "customer_id": RNG.permutation(ROWS), "empty": pl.Series([None] * ROWS, dtype=pl.String),
    "kind": pl.Series(["a" if i % 3 else None for i in range(ROWS)], dtype=pl.Categorical),
})  # fmt: skip


def source(folder, frame=FRAME, rows=700):
    frame.write_parquet(folder / "t.parquet", row_group_size=rows)
    return tn.scan(folder / "t.parquet")


def test_the_encoder_of_a_source_is_that_of_the_table(tmp_path):
    """Bit for bit where the sample is the table."""
    whole, found = TableEncoder(min_frequency=60).fit(FRAME), TableEncoder(min_frequency=60).fit(source(tmp_path))
    assert columns_text(found.columns_) == columns_text(whole.columns_)
    np.testing.assert_array_equal(found.transform(FRAME), whole.transform(FRAME))
    assert found.get_feature_names_out().tolist() == whole.get_feature_names_out().tolist()
    assert found.feature_names_in_.tolist() == FRAME.columns


def test_of_more_rows_than_the_sample_levels_and_blanks_are_exact(tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "SAMPLE", 400)
    whole, found = TableEncoder().fit(FRAME), TableEncoder().fit(source(tmp_path))
    for one, other in zip(found.columns_, whole.columns_, strict=True):
        assert (one.name, one.kind, one.levels, one.missing) == (other.name, other.kind, other.levels, other.missing)
    a, b = (
        pl.DataFrame(each.transform(FRAME), schema=each.get_feature_names_out().tolist()) for each in (found, whole)
    )
    assert a.columns == b.columns
    for name in a.columns:
        if "_" in name and not name.startswith(("text", "born", "day")):  # levels and blanks
            np.testing.assert_array_equal(a[name], b[name])
    assert np.abs(a["n"] - b["n"]).max() < 0.3  # quantiles are the sample's
    assert np.array_equal(TableEncoder().fit(source(tmp_path)).transform(FRAME), found.transform(FRAME))


@pytest.mark.parametrize(
    "column, kind",
    [([str(i % 9) for i in range(ROWS - 1)] + ["a word"], "category"), ([5] * (ROWS - 1) + [6], "number"),
     (["2024-01-01", "2024-01-02"] * (ROWS // 2 - 1) + ["2024-01-02", "never"], "category"), (["a"] * (ROWS - 1) + [None], "category"),
     (["true", "false"] * (ROWS // 2 - 1) + ["true", "maybe"], "category"), ([2.5] * (ROWS - 1) + [None], "number")],
)  # fmt: skip
def test_one_row_outside_of_the_sample_counts(column, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "SAMPLE", 50)
    frame = pl.DataFrame({"column": column, "n": FRAME["n"]})
    found = TableEncoder().fit(source(tmp_path, frame)).columns_[0]
    assert (found.kind, found.levels, found.missing) == (
        kind,
        TableEncoder().fit(frame).columns_[0].levels,
        frame["column"].null_count() / ROWS,
    )


def test_too_many_levels_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(summary, "SAMPLE", 1000)
    monkeypatch.setattr(summary, "MOST_LEVELS", 200)
    found = TableEncoder().fit(source(tmp_path)).columns_[FRAME.columns.index("zip")]
    assert (found.kind, found.reason) == ("ignored", "more than 200 levels")
