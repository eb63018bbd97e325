"""The constants' benchmark: it knows where each is, tries the value in force, and says what it found in JSON."""

import json
import os
import sys

from children import finished
from repository import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_each_constant_is_there_and_its_value_is_among_those_tried():
    body = f"""
        import sys
        sys.path.insert(1, {str(ROOT / "benchmarks")!r})
        from constants import CONSTANTS, in_force
        print(len(CONSTANTS), *(name for name in CONSTANTS if in_force(name) not in CONSTANTS[name].values))
    """
    code = "\n".join(line.strip() for line in body.splitlines())
    done = finished([sys.executable, "-c", code], 100, env=ENVIRONMENT, check=True)
    count, *others = done.stdout.split()
    assert int(count) > 10 and others == []


def test_a_run_reports_every_value_and_case(tmp_path):
    path = tmp_path / "report.json"
    script = str(ROOT / "benchmarks" / "constants.py")
    command = [sys.executable, script, "rows.NARROW", "--budget", "0.001", "--json", str(path)]
    done = finished(command, 300, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    rows = found["constants"]["rows.NARROW"]
    assert [row["value"] for row in rows] == [1, 2, 4, 8] and "4 now" in done.stdout
    assert all(len(seconds) == 7 and min(seconds) > 0 for row in rows for seconds in row["seconds"].values())
    assert list(rows[0]["seconds"]) == [f"softmax 256x{width}" for width in (10, 30, 60, 100, 200)]
    assert set(found["waiting"]) == {"a look", "with a pause", "with a yield"} and min(found["waiting"].values()) > 0


def test_an_unknown_name_is_refused_in_a_sentence():
    done = finished([sys.executable, str(ROOT / "benchmarks" / "constants.py"), "rows.WIDE"], 100, env=ENVIRONMENT)
    assert done.returncode == 2 and "no constant is called 'rows.WIDE', expected some of products.DEPTH," in done.stderr
