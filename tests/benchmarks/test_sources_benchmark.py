"""The sources' benchmark: it trains from memory and from each kind of file, and refuses bad options."""

import importlib.util
import json
import sys

import pytest
from repository import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "benchmarks")])
    spec = importlib.util.spec_from_file_location("sources_benchmark", ROOT / "benchmarks" / "sources.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_every_kind_of_file_is_in_the_report(benchmark, tmp_path, capsys):
    path, small = tmp_path / "report.json", ["--rows", "3000", "--columns", "4", "--block-rows", "500", "--hidden", "8"]
    assert benchmark.main([*small, "--rounds", "1", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [row["rows from"] for row in rows] == ["memory", "npy", "arrow", "parquet"]
    assert all(row["rows_a_second"][0] > 0 and 0 <= row["waiting"] < 1 for row in rows) and rows[0]["of_memory"] == 1
    assert "parquet" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--rows", "--window", "--rounds"])
def test_bad_options_are_refused(benchmark, capsys, option):
    assert benchmark.main([option, "0"]) == 2
    assert f"{option} got 0, expected a whole number >= 1" in capsys.readouterr().err
