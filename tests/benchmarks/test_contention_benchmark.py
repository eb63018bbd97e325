"""The benchmark of busy neighbours: it runs, ends its neighbours, says what it found in JSON, refuses bad options."""

import importlib.util
import json
import sys

import pytest
from repository import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a module."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "benchmarks")])
    spec = importlib.util.spec_from_file_location("contention_benchmark", ROOT / "benchmarks" / "contention.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(benchmark, monkeypatch):
    """Runs the command in this process; returns its exit status."""

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["contention.py", *map(str, options)])
        return benchmark.main()

    return run


def test_every_contender_is_in_the_report(run, tmp_path, capsys):
    path = tmp_path / "report.json"
    sizes = ("--units", "8,9", "--seconds", "0.001", "--neighbours", "0,1", "--rounds", 3)
    assert run("--parts", "fits", *sizes, "--json", path) == 0
    report, shown = json.loads(path.read_text()), capsys.readouterr().out
    assert [(row["neighbours"], row["units"]) for row in report["fits"]] == [(0, 8), (0, 9), (1, 8), (1, 9)]
    for row in report["fits"]:
        assert {name: len(found) for name, found in row["seconds"].items()} == {
            "default": 3, "first": 3, "one": 3, "all": 3, "sklearn": 2,
        }  # fmt: skip
        assert all(0 < row["best"][name] <= row["median"][name] for name in row["seconds"])
    assert report["grid"] == [] and "default/better" in shown


def test_neighbours_spin_and_end(benchmark, monkeypatch):
    started, popen = [], benchmark.subprocess.Popen

    def noted(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(benchmark.subprocess, "Popen", noted)
    with benchmark.neighbours(2):
        assert len(started) == 2 and all(process.poll() is None for process in started)
    assert all(process.poll() is not None for process in started)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--parts", "all"), "--parts got 'all'"),
        (("--contenders", "onne"), "did you mean 'one'"),
        (("--units", "64,0"), "--units got '64,0', expected whole numbers above 0"),
        (("--neighbours", "-1"), "--neighbours got '-1', expected whole numbers from 0 on"),
        (("--seconds", "soon"), "--seconds got 'soon'"),
        (("--rounds", 0), "--rounds got 0"),
        (("--json", "/no/such/folder/x.json"), "whose folder does not exist"),
    ],
)
def test_bad_options_are_refused(run, capsys, options, said):
    assert run(*options) == 2
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1
