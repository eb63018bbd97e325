"""The training benchmark: it runs, says what it found in JSON, refuses wrong contenders and bad options."""

import json
import os
import sys

import pytest
from children import finished
from repository import ROOT

from kernels.numba_backend.simd import host

QUICK = ("--budget", "0.002", "--rounds", "2", "--threads", "1")
OWN, BY_HAND = "tinynet-numpy-eager", "numpy"
# A backend of another package: the numpy backend with a kernel that errs.
PLANTED = """
from functools import wraps

from kernels import numpy_backend

def create():
    own = numpy_backend.create()
    right = own["implementations"][{kernel!r}]

    @wraps(right)
    def wrong(*arguments):
        {body}

    return {{**own, "implementations": {{**own["implementations"], {kernel!r}: wrong}}}}
"""
ERRORS = {  # what is wrong, and how much: a network learns with each of them
    "a step 2 % too long": (
        "adam",
        "p, g, m, s, h, *d = arguments; b = p.copy(); right(*arguments); p += 0.02 * (p - b)",
    ),
    "no gradient of a bias": ("sum", "right(*arguments); arguments[-1][...] = 0"),
    "weights that decay by 1 %": ("adam", "right(*arguments); arguments[0][...] *= 0.99"),
    "a crash": ("adam", "raise RuntimeError('the kernel is planted')"),
}


def benchmark(*options, path=(ROOT,)):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, str(ROOT / "benchmarks" / "training.py"), *map(str, options)]
    return finished(command, 300, env=environment, cwd=ROOT)


@pytest.fixture
def planted(tmp_path):
    """Makes a folder for the path, with an installed distribution that registers the backend ``planted``."""

    def make(kernel, body):
        (tmp_path / "planted.py").write_text(PLANTED.format(kernel=kernel, body=body))
        about = tmp_path / "planted-0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 0\n")
        (about / "entry_points.txt").write_text("[tinynet.backends]\nplanted = planted\n")
        return tmp_path

    return make


def test_a_run_reports_every_contender(tmp_path):
    path = tmp_path / "report.json"
    done = benchmark(*QUICK, "--sizes", "tiny", "--contenders", f"{OWN},{BY_HAND},sklearn", "--json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(path.read_text())
    (tiny,) = report["measured"]
    assert tiny["size"]["widths"] == [4, 16, 3] and tiny["parameters"] == 5 * 16 + 17 * 3
    assert tiny["flops"] == 2 * 16 * (3 * (4 * 16 + 16 * 3) - 4 * 16)
    rows = {row["contender"]: row for row in tiny["rows"]}
    assert rows.keys() == {OWN, BY_HAND, "sklearn"}
    assert [name for name, row in rows.items() if not row["peer"]] == [OWN]
    fastest = min(row["us"] for row in rows.values() if row["peer"])
    for name, row in rows.items():
        assert 0 < row["us"] <= row["median_us"] and row["spread"] >= 1 and row["gflops"] > 0
        assert row["times_fastest_peer"] == pytest.approx(fastest / row["us"])
        assert row["losses"] == pytest.approx(rows[BY_HAND]["losses"], rel=1e-4)
        assert f"\n{name:<22}   1" in done.stdout
    assert f"\n{OWN} (1 thread) is " in done.stdout
    assert report["peaks"]["1"] > 0 and report["machine"]["versions"]["numpy"] and not report["skipped"]


@pytest.mark.parametrize("error", ERRORS)
def test_a_wrong_contender_gets_no_time(planted, tmp_path, error):
    path, folder = tmp_path / "report.json", planted(*ERRORS[error])
    options = ("--sizes", "tiny", "--contenders", f"tinynet-planted-eager,{BY_HAND}", "--json", path)
    done = benchmark(*QUICK, *options, path=(folder, ROOT))
    assert done.returncode == 1, done.stdout + done.stderr
    rows = {row["contender"]: row for row in json.loads(path.read_text())["measured"][0]["rows"]}
    refused = rows["tinynet-planted-eager"]
    assert "us" not in refused and "REFUSED" in done.stdout and rows[BY_HAND]["us"] > 0
    said = "RuntimeError: the kernel is planted" if error == "a crash" else "the mean loss of epoch "
    assert refused["refused"].startswith(said)


@pytest.mark.parametrize("sweep", ["batch", "width", "depth"])
def test_a_sweep_has_a_point_for_each_value(tmp_path, sweep):
    path = tmp_path / "report.json"
    done = benchmark(*QUICK, "--sweep", sweep, "--points", "8,2", "--contenders", f"{OWN},{BY_HAND}", "--json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(path.read_text())
    assert report["sweep"] == sweep and [point["value"] for point in report["measured"]] == [2, 8]
    small, large = report["measured"]
    assert small["flops"] < large["flops"] and all(row["us"] > 0 for row in [*small["rows"], *large["rows"]])
    assert f"\nus a step by {sweep}\n" in done.stdout


@pytest.mark.parametrize("options", [("--sizes", "tiny"), ("--sweep", "width", "--points", "4,8")])
def test_the_picture_bears_no_date(tmp_path, options):
    pytest.importorskip("matplotlib")
    path, report, again = (tmp_path / name for name in ("report.svg", "report.json", "again.svg"))
    done = benchmark(*QUICK, *options, "--contenders", f"{OWN},{BY_HAND}", "--picture", path, "--json", report)
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.stat().st_size > 1000 and b"dc:date" not in path.read_bytes()
    finished([sys.executable, str(ROOT / "benchmarks/picture.py"), report, again], check=True)
    assert again.stat().st_size == pytest.approx(path.stat().st_size, rel=0.1)


@pytest.mark.parametrize("name", ["torch-fused", "jax-scan", "jax-optax"])
def test_absent_libraries_are_skipped_in_a_sentence(tmp_path, name):
    library = name.partition("-")[0]
    hidden = f"import sys\nsys.modules[{library!r}] = None\nsys.modules['optax'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hidden)
    options = ("--sizes", "tiny", "--contenders", f"{name},{BY_HAND}")
    done = benchmark(*QUICK, *options, path=(tmp_path, ROOT))
    assert done.returncode == 0, done.stderr
    assert f"\nskipped: {name} needs {library}" in done.stdout and "pip install" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sizes", "tiny,smal32"), "--sizes got 'smal32': did you mean 'small32'"),
        (("--contenders", "numppy"), "--contenders got 'numppy': did you mean 'numpy'?"),
        (("--peers", "jaxscan"), "--contenders got 'jaxscan': did you mean 'jax-scan'?"),
        (("--sweep", "bath"), "--sweep got 'bath': did you mean 'batch'?"),
        (("--sweep", "width", "--sizes", "tiny"), "--sizes cannot be combined with --sweep"),
        (("--sweep", "threads", "--threads", "1"), "--threads cannot be combined with --sweep threads"),
        (("--points", "8"), "--points needs --sweep"),
        (("--sweep", "width", "--points", "wide"), "--points got 'wide'"),
        (("--threads", "0"), "--threads got '0'"),
        (("--rounds", "0"), "--rounds got 0"),
        (("--budget", "0"), "--budget got 0.0"),
        (("--json", "no/such/folder/report.json"), "whose folder does not exist"),
        (("--nonsense",), "unrecognized arguments"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(options, said):
    done = benchmark(*options)
    assert done.returncode == 2 and said in done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


@pytest.mark.skipif(not host.has_feature("avx2"), reason="the CPU has no AVX2")
def test_an_instruction_set_holds_for_the_peak_and_all_contenders(tmp_path):
    path = tmp_path / "report.json"
    done = benchmark(*QUICK, "--sizes", "tiny", "--peers", "tinynet-numba,numpy", "--isa", "avx2", "--json", path)
    assert done.returncode == 0, done
    report = json.loads(path.read_text())
    assert report["isa"] == "avx2" and "256-bit vectors" in done.stdout
    assert [row["contender"] for row in report["measured"][0]["rows"] if "us" in row]


def test_another_instruction_set_is_refused():
    done = benchmark(*QUICK, "--isa", "avx")
    assert done.returncode == 2 and "--isa got 'avx': did you mean 'avx2'" in done.stderr
