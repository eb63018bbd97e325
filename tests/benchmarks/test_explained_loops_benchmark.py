"""The benchmark of remedies: it has a row for each loop asked for, and refuses loops that there are not."""

import json
import os
import sys

from children import finished
from repository import ROOT

SCRIPT = str(ROOT / "benchmarks" / "explained_loops.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_a_row_for_each_loop(tmp_path):
    path = tmp_path / "report.json"
    command = [sys.executable, SCRIPT, "--budget", "0.001", "--loops", "scaled,total", "--json", str(path)]
    done = finished(command, 100, env=ENVIRONMENT)
    assert done.returncode in (0, 1), done.stderr  # of how fast it is nothing is said here
    rows = json.loads(path.read_text())["rows"]
    assert [(row["loop"], row["reason"]) for row in rows] == [("scaled", "widened"), ("total", "reduction")]
    assert all(row["before"] > 0 and row["lanes"] > 1 for row in rows)
    assert done.stdout.count("\n|") == 4


def test_an_unknown_loop_is_refused():
    done = finished([sys.executable, SCRIPT, "--loops", "none"], 100, env=ENVIRONMENT)
    assert done.returncode == 2
    assert "--loops got 'none', expected among total" in done.stderr
