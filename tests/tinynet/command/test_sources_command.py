"""The command on files that are read in blocks: patterns, windows, predictions to Parquet."""

import json
import re

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from tinynet.command.command_line import main
from tinynet.experiments import source

RNG = np.random.default_rng(0)
ROWS = 1200
FRAME = pl.DataFrame({
    "age": [None if i % 11 == 0 else i % 60 for i in range(ROWS)], "city": RNG.choice(["Rome", "Oslo", "Bonn"], ROWS),
}).with_columns(bought=pl.when(pl.col("city") == "Oslo").then(pl.lit("yes")).otherwise(pl.lit("no")))  # fmt: skip


@pytest.fixture
def logs(tmp_path):
    """Three files of four row groups, whose pattern is given."""
    for i in range(3):
        FRAME[i * 400 : i * 400 + 400].write_parquet(tmp_path / f"{i}.parquet", row_group_size=100)
    return tmp_path / "*.parquet"


def train(dataset, *options):
    return main(
        ["--dataset", str(dataset), "--target", "bought", "--epochs", "8", "--hidden", "32", *map(str, options)]
    )


@pytest.mark.parametrize("options", [[], ["--window", "2"]])
def test_a_pattern_trains_and_predicts_block_by_block(logs, tmp_path, options, capsys):
    out, model = tmp_path / "out.json", tmp_path / "model.safetensors"
    assert train(logs, "--json", out, "--save", model, *options) == 0
    said = capsys.readouterr().err
    assert re.search(rf"960 rows x 2 columns in 12 blocks, {options[1] if options else 12} of them shuffled", said)
    (found,) = json.loads(out.read_text())["runs"]
    assert found["test_score"] > 0.95 and found["score_name"] == "accuracy" and found["model"] == "tabular"

    csv = tmp_path / "p.csv"
    parquet = tmp_path / "out" / "p.parquet"
    parquet.parent.mkdir()
    assert main(["predict", str(model), str(logs), "--output", str(parquet), "--proba"]) == 0
    assert main(["predict", str(model), str(logs), "--output", str(csv)]) == 0
    assert pq.ParquetFile(parquet).metadata.num_row_groups == 12
    probabilities = pl.read_parquet(parquet)
    assert probabilities.columns == ["no", "yes"] and probabilities.height == ROWS
    assert (pl.read_csv(csv)["bought"] == FRAME["bought"]).mean() > 0.95
    whole = tmp_path / "out" / "whole.parquet"
    FRAME.write_parquet(whole)
    assert main(["predict", str(model), str(whole), "--output", str(tmp_path / "w.csv")]) == 0
    assert (tmp_path / "w.csv").read_text() == csv.read_text()


def test_a_window_reads_one_file_in_blocks(logs, tmp_path, capsys):
    assert train(logs.parent / "0.parquet", "--window", "3") == 0
    assert "320 rows x 2 columns in 4 blocks, 3 of them shuffled" in capsys.readouterr().err


def test_a_large_file_is_read_in_blocks(logs, monkeypatch):
    path = str(logs.parent / "0.parquet")
    assert not source.in_blocks(path)
    monkeypatch.setattr(source, "_memory", lambda: 1000)
    assert source.in_blocks(path) and not source.in_blocks("digits")


def test_columns_of_a_pattern_are_printed(logs, capsys):
    assert main(["--dataset", str(logs), "--target", "bought", "--columns"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[2:]] == [["age", "number", "-", "9.2%"], ["city", "category", "3", "-"]]


@pytest.mark.parametrize(
    "name, options, message",
    [("none*.parquet", ["--target", "bought"], "no file matches"), ("*.parquet", ["--target", "boght"], "did you mean 'bought'"),
     ("*.parquet", [], "say which column is the target"), ("*.csv", ["--target", "bought"], "must be one of .parquet"),
     ("t.csv", ["--target", "bought", "--window", "2"], "--window is 2, but"),
     ("*.parquet", ["--target", "bought", "--metric", "squared_error"], "metric")],
)  # fmt: skip
def test_refused_in_one_line(logs, name, options, message, capsys):
    (logs.parent / "t.csv").write_text("bought\n1\n")
    assert main(["--dataset", str(logs.parent / name), *options]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_a_damaged_file_is_named(logs, capsys):
    path = logs.parent / "1.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    assert train(logs) == 2
    assert "1.parquet: not a Parquet file, or a damaged one" in capsys.readouterr().err
