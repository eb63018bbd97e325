"""Fifteen loops that people get wrong: the reason is named, and the remedied loop is packed."""

import importlib.util
import json
import os
import re
import sys

import numpy as np
import pytest
from children import finished
from numba import cfunc, float32, float64, guvectorize, int64, njit, prange, types, vectorize
from repository import ROOT

import kernels
from kernels.__main__ import main
from kernels.explanation.functions.python_loops import is_packed
from kernels.numba_backend.simd import host

PATH = ROOT / "examples" / "loops.py"


def example():
    spec = importlib.util.spec_from_file_location("loops", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOOPS = example()
X = np.linspace(1, 2, 1000, dtype=np.float32)


def text_of(verdict):
    return verdict.as_json()["line"]


def named(explanation):
    return [reason.name for verdict in explanation.verdicts for reason in verdict.reasons]


def test_there_are_fifteen():
    assert len(LOOPS.CASES) == 15
    assert len({reason for _, reason, _ in LOOPS.CASES.values()}) == 15


@pytest.mark.parametrize("name", LOOPS.CASES)
def test_the_reason_is_named_and_its_remedy_is_packed(name):
    arguments, reason, remedied_arguments = LOOPS.CASES[name]
    before = kernels.explain(getattr(LOOPS, name), *arguments, measure=False)
    assert reason in named(before)
    assert reason == "widened" or not all(verdict.packed for verdict in before.verdicts)
    text = str(before)
    assert f"{reason}:" in text and "remedy:" in text
    after = kernels.explain(getattr(LOOPS, f"{name}_fast"), *remedied_arguments, measure=False)
    loops = [verdict for verdict in after.verdicts if text_of(verdict).startswith("for")]
    assert loops
    assert all(verdict.packed and verdict.lanes > 1 for verdict in loops), after
    assert reason not in named(after)
    assert all(is_packed(verdict.loop) for verdict in loops)


@pytest.mark.parametrize("name", [n for n in LOOPS.CASES if n not in ("shifted", "smoothed", "every")])
def test_the_remedy_computes_the_same(name):
    arguments, _, remedied_arguments = LOOPS.CASES[name]
    copies = [[np.array(value) if isinstance(value, np.ndarray) else value for value in given]
              for given in (arguments, remedied_arguments)]  # fmt: skip
    before, after = (getattr(LOOPS, name + end)(*given) for end, given in zip(("", "_fast"), copies, strict=True))
    if before is not None:
        np.testing.assert_allclose(before, after, rtol=1e-5)
    np.testing.assert_allclose(copies[0][-1], copies[1][-1], rtol=1e-5)


@njit(boundscheck=True)
def checked(x, where, y):
    for i in range(len(where)):
        y[i] = x[where[i]]


@njit
def gathered(x, where, y):
    for i in range(len(where)):
        y[i] = x[where[i]]


@pytest.mark.parametrize(
    "function, arguments, reason",
    [
        (checked, (X, np.arange(1000), X.copy()), "bounds check"),
        (gathered, (X, np.arange(1000), X.copy()), "indirect index"),
    ],
)
def test_more_reasons(function, arguments, reason):
    assert reason in named(kernels.explain(function, *arguments, measure=False))


@vectorize
def elementwise(a, b):
    """A b + 1."""
    return a * b + np.float32(1)


@vectorize([float64(float64)])
def of_one_signature(a):
    return a + 1.0


def twice(x, y):
    for i in range(len(x)):
        y[i] = x[i] + x[i]


generalised = guvectorize([(float32[::1], float32[::1])], "(n)->(n)")(twice)
strided = guvectorize([(float32[:], float32[:])], "(n)->(n)")(twice)


@njit(parallel=True, fastmath=True)
def spread(x, y):
    for i in prange(len(x)):
        y[i] = x[i] + x[i]


@cfunc(types.void(types.CPointer(float32), types.CPointer(float32), int64))
def pointers(x, y, n):
    for i in range(n):
        y[i] = x[i] + x[i]


@njit
def expression(x, y):
    y[:] = x * x + y


@pytest.mark.parametrize(
    "function, arguments, kind",
    [
        (elementwise, (X, X), "vectorize"),
        (of_one_signature, (), "vectorize"),
        (generalised, (X, X.copy()), "guvectorize"),
        (generalised, (), "guvectorize"),
        (spread, (X, X.copy()), "njit(parallel=True, fastmath=True)"),
        (pointers, (), "cfunc"),
        (expression, (X, X.copy()), "njit"),
    ],
)
def test_every_kind_of_function_is_explained(function, arguments, kind):
    found = kernels.explain(function, *arguments)
    assert found.formula.startswith(f"@{kind}")
    assert any(verdict.packed for verdict in found.verdicts), found
    assert found.main.mix.flops and found.main.mix.bytes_moved
    assert all(verdict.as_json()["line"] for verdict in found.verdicts)
    assert "A call takes" in str(found) or not arguments or kind == "cfunc"


def test_an_array_of_any_stride_is_no_packed_loop():
    assert named(kernels.explain(strided)) == ["stride"]


def test_a_function_that_was_compiled_needs_no_arguments():
    function = njit(twice)
    with pytest.raises(ValueError, match=r"twice was not compiled yet.*give arguments, or a signature"):
        kernels.explain(function)
    assert kernels.explain(function, signature=(float32[::1], float32[::1])).verdicts[0].packed
    assert kernels.explain(function, signature="void(float32[::1], float32[::1])").verdicts[0].packed
    function(X, X.copy())
    assert kernels.explain(function).verdicts[0].packed


def test_arguments_are_not_written():
    x, y = X.copy(), np.zeros_like(X)
    kernels.explain(generalised, x, y)
    kernels.explain(njit(twice), x, y)
    assert not y.any() and (x == X).all()


def test_instructions_are_beside_their_lines():
    found = kernels.explain(LOOPS.total, X, measure=False)
    lines = [line for line in found.main.lines if line.operation.kind == "arithmetic"]
    assert lines
    assert all(line.places[-1] == (str(PATH), found.verdicts[0].place[1] + 1) for line in lines)


def test_a_turns_operations_and_bytes():
    mix = kernels.explain(njit(twice), X, X.copy(), measure=False).main.mix
    assert mix.flops * 8 == mix.bytes_moved  # an addition, an element read and one written


@pytest.mark.parametrize(
    "function, message",
    [
        (len, "function is len .*expected one that Numba compiled"),
        (twice, "function is twice .*@njit, @vectorize, @guvectorize or @cfunc"),
        (3, "function is 3"),
    ],
)
def test_what_numba_did_not_compile_is_refused(function, message):
    with pytest.raises(TypeError, match=message):
        kernels.explain(function, X)


def test_what_does_not_compile_is_refused():
    with pytest.raises(TypeError, match=r"total does not compile for \(unicode_type\)"):
        kernels.explain(LOOPS.total, "text")


def test_nothing_that_llvm_says_is_left_on_standard_error(capfd):
    kernels.explain(LOOPS.total, X, measure=False)
    njit(lambda x: x.sum())(X)
    assert capfd.readouterr().err == ""


def test_the_command(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["explain", f"{PATH}:total"]) == 0
    assert "reduction: " in capsys.readouterr().out
    assert main(["explain", "examples/loops.py:scaled_fast", "--arguments", "x[:100], np.empty(100, 'f4')"]) == 0
    assert "packed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        (["examples/loops.py:totl"], "examples/loops.py has no function 'totl': did you mean 'total'"),
        (["examples/none.py:total"], "there is no file examples/none.py"),
        (["no_such_module:total"], "module no_such_module cannot be imported"),
        (["examples/loops.py:total", "--arguments", "y"], "--arguments is 'y', expected Python .* 'y' is not defined"),
        (["examples/loops.py:np"], "function is numpy"),
        (["exp", "--arguments", "1"], "--arguments is for module:function"),
    ],
)
def test_the_command_refuses(words, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["explain", *words]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert said.count("\n") == 1


OTHER_CPU = """
import importlib.util, json, sys
import kernels
spec = importlib.util.spec_from_file_location("loops", sys.argv[1])
loops = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loops)
found = {name: kernels.explain(getattr(loops, name), *loops.example_arguments[name], measure=False)
         for name in ("total", "total_fast", "scaled", "quotient")}
print(json.dumps({name: [each.as_json()["parts"][0], str(each)] for name, each in found.items()}))
"""


@pytest.mark.skipif(not host.is_x86(), reason="names CPUs of x86-64")
@pytest.mark.parametrize("cpu, lanes, sets", [("x86-64", 4, {"SSE"}), ("haswell", 8, {"AVX"})])
def test_the_texts_hold_on_cpus_without_avx512(cpu, lanes, sets):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    done = finished([sys.executable, "-c", OTHER_CPU, str(PATH)], 200, env=environment, check=True)
    found = json.loads(done.stdout)
    reasons = {name: [r["name"] for v in part["verdicts"] for r in v["reasons"]] for name, (part, _) in found.items()}
    assert reasons == {
        "total": ["reduction"], "total_fast": [], "scaled": ["widened"], "quotient": ["zero division"]
    }  # fmt: skip
    fast, text = found["total_fast"]
    assert [(v["packed"], v["lanes"]) for v in fast["verdicts"]] == [(True, lanes)]
    assert f"packed, {lanes} of {lanes} lanes" in text and "zmm" not in text
    assert set(fast["loops"][fast["main_loop"]]["instruction_sets"]) == sets
