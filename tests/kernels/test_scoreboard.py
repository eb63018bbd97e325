"""The scoreboard: a backend in C is right and timed, a wrong kernel is found, what cannot be loaded is refused."""

import json
import os
import re
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from children import finished
from repository import ROOT

import kernels
from kernels import Backend, numpy_backend, scoreboard
from kernels.__main__ import main
from kernels.loader import from_module
from kernels.testing import trials

compiler = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler")
PATH = ROOT / "examples" / "c_backend.py"


@pytest.fixture(scope="module")
def in_c():
    return scoreboard.contender(str(PATH))


@compiler
@pytest.mark.parametrize("trial", trials(), ids=str)
def test_the_backend_in_c_conforms(trial, in_c):
    assert trial.run(in_c) == []


@compiler
def test_the_backend_in_c_is_short(in_c):
    assert len(PATH.read_text().splitlines()) < 100
    assert {name for name, d in kernels.DECLARATIONS.items() if d.required} == in_c.native


def test_without_a_compiler_it_is_refused_in_a_sentence(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": str(tmp_path)}
    done = finished([sys.executable, "-m", "kernels", "scoreboard", str(PATH)], 100, env=environment)
    assert done.returncode == 1
    assert "needs a C compiler: no cc, gcc or clang is on the PATH" in done.stderr
    assert done.stderr.count("\n") == 1


def wrong():
    """NumPy's backend with an exponential that is a little off."""

    def exp(x, out):
        np.exp(x, out=out)
        out *= 1.001

    parts = numpy_backend.create()
    return Backend("wrong", parts["implementations"] | {"exp": exp}, context=parts["context"])


def test_a_wrong_kernel_is_found_and_named(tmp_path):
    board = list(scoreboard.scores(wrong(), kernels=["exp", "add"], budget=0.001))
    assert [bool(score.faults) for score in board] == [True, False]
    table = scoreboard.table(board)
    assert "wrong: 1 of 2 kernels are right" in table and "the first fault: exp [float32" in table
    pytest.importorskip("matplotlib")
    scoreboard.draw(board, tmp_path / "board.svg")
    assert "exp (wrong)" in (tmp_path / "board.svg").read_text()  # matplotlib notes the text beside its outlines


def test_every_contender_has_a_time_and_a_share():
    (score,) = scoreboard.scores(from_module(numpy_backend, "mine"), kernels=["add"], budget=0.001)
    assert list(score.seconds) == ["mine", "numpy", "numba"] or "torch" in score.seconds
    assert all(seconds > 0 and score.share(name) > 0 for name, seconds in score.seconds.items())
    assert score.as_json()["share_of_roof"]["mine"] == score.share("mine")


def test_pytorch_computes_on_the_same_memory(monkeypatch):
    # PyTorch's calling convention, so that this holds where it is not installed.
    torch = SimpleNamespace(
        set_num_threads=lambda n: None, from_numpy=lambda array: array, abs=np.abs, mm=lambda a, b, out: a.dot(b, out)
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    (absolute, product) = scoreboard.scores(from_module(numpy_backend, "mine"), kernels=["absolute", "matmul"],
                                            budget=0.001)  # fmt: skip
    assert "torch" in absolute.seconds and "torch" in product.seconds


@compiler
def test_the_command(tmp_path, capsys):
    words = [
        "scoreboard",
        str(PATH),
        "--kernels",
        "sqrt,softmax",
        "--budget",
        "0.001",
        "--json",
        str(tmp_path / "b.json"),
    ]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^sqrt +256x128 +yes", printed, re.M) and "softmax *" in printed
    assert "c: 2 of 2 kernels are right" in printed
    assert [row["kernel"] for row in json.loads((tmp_path / "b.json").read_text())["kernels"]] == ["sqrt", "softmax"]


@pytest.mark.parametrize(
    "words, status, message",
    [
        (["no_such_backend"], 2, "unknown backend 'no_such_backend'"),
        (["none.py"], 2, "there is no file none.py"),
        (["numpy", "--kernels", "exq"], 2, "unknown kernel 'exq': did you mean 'exp'"),
    ],
)
def test_the_command_refuses(words, status, message, capsys):
    assert main(["scoreboard", *words]) == status
    assert message in capsys.readouterr().err
