"""The estimators' benchmark: it runs, agrees with scikit-learn, says what it found in JSON, refuses bad options."""

import importlib.util
import json
import sys

import pytest
from repository import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    """Runs the command in this process; returns its exit status."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "benchmarks")])
    spec = importlib.util.spec_from_file_location("estimators_benchmark", ROOT / "benchmarks" / "estimators.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)

    def run(*options, **constants):
        monkeypatch.setattr(sys, "argv", ["estimators.py", *map(str, options)])
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)
        return module.main()

    return run


def test_scores_and_fits_are_in_the_report(benchmark, tmp_path, capsys):
    path = tmp_path / "report.json"
    assert benchmark("--data", "wine,digits", "--seeds", 2, "--epochs", 2, "--rounds", 2, "--json", path) == 0
    report, shown = json.loads(path.read_text()), capsys.readouterr().out
    assert [row["data"] for row in report["scores"]] == ["wine", "digits"]
    for row in report["scores"]:
        assert len(row["scores"]["tinynet"]) == len(row["scores"]["scikit-learn"]) == 2
        assert abs(row["difference"]) <= 0.01 and min(row["seconds"].values()) > 0
    assert [(row["data"], row["batch_size"], row["epochs"]) for row in report["fits"]] == [
        ("digits", 32, 2),
        ("digits", 200, 2),
    ]
    for row in report["fits"]:
        assert row["loss"]["tinynet"] == pytest.approx(row["loss"]["scikit-learn"], rel=1e-3)
        assert all(len(seconds) == 2 for seconds in row["seconds"].values()) and row["first_fit_seconds"] > 0
    assert "DIFFERS" not in shown and "first fit" in shown


def test_scores_that_differ_are_the_exit_status(benchmark, capsys):
    assert benchmark("--parts", "scores", "--data", "wine", "--seeds", 1, AGREE=-1.0) == 1
    assert "DIFFERS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", "dgits"), "did you mean 'digits'"),
        (("--parts", "all"), "--parts got 'all'"),
        (("--seeds", 0), "--seeds got 0"),
        (("--threads", -1), "--threads got -1"),
        (("--json", "/no/such/folder/x.json"), "whose folder does not exist"),
    ],
)
def test_bad_options_are_refused(benchmark, capsys, options, said):
    assert benchmark(*options) == 2
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1
