"""The examples run, and say what they are meant to show."""

import os
import sys

import pytest
from children import finished
from repository import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(path, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return finished([sys.executable, *arguments, str(path)], 300, env=environment)


def test_every_example_has_a_test():
    assert [path.stem for path in EXAMPLES] == [
        "c_backend",
        "custom_backend",
        "drop_in",
        "first_network",
        "larger_than_memory",
        "loops",
        "recorded_step",
        "tables",
        "vector_operations",
    ]


def test_first_network():
    done = run(ROOT / "examples/first_network.py")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.rsplit("%", 1)[0].split()[-1]) >= 95


def test_drop_in():
    done = run(ROOT / "examples/drop_in.py")
    assert done.returncode == 0, done.stderr
    reference, *ours = done.stdout.splitlines()
    assert len(ours) == 2 and all(line.split("accuracy ")[1][:4] == reference.split()[-1][:4] for line in ours)
    assert all(float(line.split()[-3]) < limit for line, limit in zip(ours, (1e-4, 1e-9), strict=True))


def test_tables():
    done = run(ROOT / "examples/tables.py", "-W", "error")
    assert done.returncode == 0, done.stderr
    said = done.stdout.partition("new wines, ")[2]
    assert int(said.partition("%")[0]) >= 90 and "category" in done.stdout and "Alba" in said


def test_larger_than_memory():
    done = run(ROOT / "examples/larger_than_memory.py", "-W", "error")
    assert done.returncode == 0, done.stderr
    assert "the same weights" in done.stdout and "160,000 rows in 32 blocks" in done.stdout
    assert int(done.stdout.partition("new rides, ")[2].partition("%")[0]) >= 90
    assert float(done.stdout.rpartition("grew by ")[2].split()[0]) < 350  # of 1.3 GB


def test_recorded_step():
    done = run(ROOT / "examples/recorded_step.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the same losses") == 2 and "activation=relu" in done.stdout


def test_custom_backend_is_short_and_accepted():
    path = ROOT / "examples/custom_backend.py"
    code = [line for line in path.read_text().split('"""', 2)[2].splitlines() if line.strip()]
    done = run(path)
    assert done.returncode == 0 and "finds 0 faults" in done.stdout, done
    assert len(code) < 60


@pytest.mark.filterwarnings("ignore")
def test_vector_operations_are_checked_on_every_backend(capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import vector_operations

    vector_operations.main(budget=0.001)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + len(vector_operations.EXPRESSIONS) == 7
    assert all(len(line[36:].split()) == 4 for line in printed[1:])
