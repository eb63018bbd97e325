"""The kernels' benchmark: it runs, says what it found in JSON, refuses wrong results and bad options."""

import json
import os
import sys

import pytest
from children import finished
from repository import ROOT

import kernels

QUICK = ("--budget", "0.002", "--shapes", "small", "--threads", "1")
# A backend of another package: the numpy backend with a transpose that errs in the fourth digit.
PLANTED = """
from kernels import numpy_backend

def create(threads=1):
    own = numpy_backend.create()
    right = own["implementations"]["transpose"]

    def transpose(x, out):
        right(x, out)
        out[-1, -1] *= 1.001

    return {**own, "implementations": {**own["implementations"], "transpose": transpose}}
"""


def benchmark(*options, path=(ROOT,)):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, str(ROOT / "benchmarks" / "kernels.py"), *map(str, options)]
    return finished(command, 300, env=environment, cwd=ROOT)


@pytest.fixture
def planted(tmp_path):
    """A folder on the path with an installed distribution that registers the backend ``planted``."""
    (tmp_path / "planted.py").write_text(PLANTED)
    about = tmp_path / "planted-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 0\n")
    (about / "entry_points.txt").write_text("[tinynet.backends]\nplanted = planted\n")
    return tmp_path


def test_a_run_reports_every_row(tmp_path):
    path = tmp_path / "report.json"
    done = benchmark(*QUICK, "--kernels", "exp,matmul,adam", "--json", path)
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    assert {row["kernel"] for row in report["rows"]} == {"exp", "matmul", "adam"}
    for row in report["rows"]:
        assert row["times"]["backend"]["us"] > 0 and row["ratios"]["numpy"] > 0 and row["percent_of_peak"] > 0
        assert row["unit"] == ("GFLOP/s" if row["kernel"] == "matmul" else "GB/s")
        assert f"{row['kernel']:<22} {row['label']}" in done.stdout
    row = next(row for row in report["rows"] if row["label"] == "32x64x128 TN")
    assert row["flops"] == 2 * 32 * 64 * 128 and row["bytes"] == 4 * (32 * 64 + 64 * 128 + 32 * 128)
    assert {"products", "functions", "optimizers", "all"} == {mean["family"] for mean in report["means"]}
    assert report["machine"]["versions"]["numpy"] and report["peaks"]["1"]["gflops"] > 0
    assert report["command"][1:3] == ["--budget", "0.002"]


def test_a_report_goes_to_standard_output():
    """- is no file's name."""
    done = benchmark(*QUICK, "--kernels", "exp", "--json", "-")
    assert json.loads(done.stdout[done.stdout.index('{\n "command"') :])["rows"] and not (ROOT / "-").exists()


def test_every_kernel_is_timed(planted):
    """Every row of the table has sound NumPy expressions; no kernel lacks a row."""
    done = benchmark(*QUICK, "--backend", "planted", "--dtype", "float64", path=(planted, ROOT))
    named = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert set(kernels.DECLARATIONS) <= named
    assert done.stdout.count("REFUSED, ") == 1, done.stdout


def test_a_wrong_kernel_gets_no_time(planted, tmp_path):
    path = tmp_path / "report.json"
    options = ("--backend", "planted", "--kernels", "transpose,log", "--json", path)
    done = benchmark(*QUICK, *options, path=(planted, ROOT))
    assert done.returncode == 1, done.stderr
    rows = {row["kernel"]: row for row in json.loads(path.read_text())["rows"]}
    assert "times" not in rows["transpose"]
    assert rows["transpose"]["refused"].startswith("planted: out[31, 31] is ")
    assert rows["log"]["times"]["backend"]["name"] == "planted"


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_picture_bears_no_date(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path, report, again = (tmp_path / name for name in (f"report.{suffix}", "report.json", f"again.{suffix}"))
    done = benchmark(*QUICK, "--kernels", "matmul,relu", "--plot", path, "--json", report)
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size > 1000 and b"dc:date" not in path.read_bytes()
    finished([sys.executable, str(ROOT / "benchmarks/picture.py"), report, again], check=True)
    assert again.stat().st_size == pytest.approx(path.stat().st_size, rel=0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kernels", "matmul,nonsense"), "--kernels got 'nonsense'"),
        (("--shapes", "huge"), "--shapes got 'huge'"),
        (("--dtype", "float16"), "--dtype got 'float16'"),
        (("--layout", "rows"), "--layout got 'rows'"),
        (("--threads", "0"), "--threads got '0'"),
        (("--threads", "two"), "--threads got 'two'"),
        (("--budget", "0"), "--budget got 0.0"),
        (("--backend", "nonsense"), "unknown backend 'nonsense'"),
        (("--backend", "numpy"), "has no option 'threads'"),
        (("--json", "no/such/folder/report.json"), "whose folder does not exist"),
        (("--nonsense",), "unrecognized arguments"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(options, said):
    done = benchmark(*options)
    assert done.returncode == 2 and said in done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


def test_settings_that_hobble_numpy_are_warned_of(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    done = benchmark(*QUICK, "--kernels", "fill")
    assert done.returncode == 0 and "warning: OPENBLAS_CORETYPE=Haswell" in done.stderr
