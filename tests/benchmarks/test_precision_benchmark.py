"""The precisions' benchmark: it trains both from the same seeds, says what differs, refuses bad options."""

import importlib.util
import json
import sys

import pytest
from repository import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "benchmarks")])
    spec = importlib.util.spec_from_file_location("precision_benchmark", ROOT / "benchmarks" / "precision.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_scores_of_both_precisions_are_in_the_report(benchmark, tmp_path, capsys):
    path = tmp_path / "report.json"
    status = benchmark.main(["--data", "iris", "--seeds", "3", "--json", str(path)])
    (row,) = json.loads(path.read_text())["rows"]
    assert set(row["scores"]) == {"float32", "bfloat16"} and all(len(s) == 3 for s in row["scores"].values())
    assert status == (0 if benchmark.within_noise(row) else 1) and "iris" in capsys.readouterr().out


def test_a_difference_beyond_noise_is_told(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(
        benchmark, "score", lambda d, seed, precision, b: 0.9 + seed / 1e3 - 0.05 * (precision == "bfloat16")
    )
    assert benchmark.main(["--data", "iris"]) == 1
    assert "beyond noise" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--data", "irs"], "did you mean 'iris'"), (["--seeds", "1"], "expected 2 or more")]
)
def test_bad_options_are_refused(benchmark, capsys, arguments, said):
    assert benchmark.main(arguments) == 2 and said in capsys.readouterr().err
