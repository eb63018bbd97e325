"""Every backend passes the suite; broken ones do not."""

import numpy as np
import pytest
from backends import loaded

import kernels
import kernels.testing as suite
from kernels import DECLARATIONS, Backend
from kernels import numpy_backend as np_kernels

KERNELS = np_kernels.create()["implementations"]
REQUIRED = {name: KERNELS[name] for name, declaration in DECLARATIONS.items() if declaration.required}


@pytest.mark.parametrize("trial", suite.trials(), ids=str)
def test_backend_conforms(backend, trial):
    assert [str(failure) for failure in trial.run(backend)] == []


@pytest.mark.parametrize("trial", [t for t in suite.trials() if not DECLARATIONS[t.kernel].required], ids=str)
def test_compositions_conform(trial):
    """Everything fused, as its composition of NumPy's required kernels."""
    assert [str(failure) for failure in trial.run(Backend("required", REQUIRED))] == []


def test_every_kernel_has_a_case_and_every_case_a_kernel():
    assert sorted(suite.CASES) == sorted(DECLARATIONS)


def reads_out(a, b, out):
    out += np.add(a, b) - np.where(np.isnan(out), 0, out)  # right only where out held NaN... or zeros


def drops_last_column(x, out):
    np.tanh(x[..., :-1], out=out[..., :-1])


def writes_an_input(x, out):
    np.exp(x, out=out)
    x *= 1.5


def swallows_nan(a, b, out):
    np.fmax(a, b, out=out)


def ignores_strides(x, out):
    np.copyto(np.lib.stride_tricks.as_strided(out, (x.size,), (out.itemsize,)), np.abs(x).ravel())


def rounds_to_float32(x, out):
    out[...] = np.log(x.astype(np.float32))


def drops_last_term(a, b, transpose_a, transpose_b, out):
    a, b = (a.T if transpose_a else a), (b.T if transpose_b else b)
    np.matmul(a[:, :-1], b[:-1], out=out)


@pytest.mark.parametrize(
    ("kernel", "broken", "said"),
    [
        ("add", reads_out, "reads out"),
        ("tanh", drops_last_column, "elements wrong|reads out"),
        ("exp", writes_an_input, "writes its input x"),
        ("maximum", swallows_nan, "expected nan"),
        ("absolute", ignores_strides, "writes beyond the rows"),
        ("log", rounds_to_float32, "elements wrong"),
        ("matmul", drops_last_term, "elements wrong"),
        ("relu", lambda x, out: np.maximum(x, np.abs(out), out=out), "reads out"),
    ],
)
def test_a_broken_backend_is_rejected(kernel, broken, said):
    backend = Backend("broken", {**KERNELS, kernel: np.errstate(all="ignore")(broken)})
    failures = [str(f) for t in suite.trials() if t.kernel == kernel for f in t.run(backend)]
    assert any(any(part in failure for part in said.split("|")) for failure in failures), failures[:3]


def test_a_backend_that_raises_is_reported_not_raised():
    def fails(x, out):
        raise RuntimeError("no such instruction")

    failures = suite.Trial("cos", "float32").run(Backend("broken", {**KERNELS, "cos": fails}))
    assert "no such instruction" in str(failures[0])


def test_check_runs_everything():
    broken = Backend("broken", {**KERNELS, "sign": lambda x, out: np.copyto(out, 7)})
    assert {failure.kernel for failure in suite.check(broken)} == {"sign", "absolute_error"}  # which is composed of it


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_native_names_what_is_the_backends_own(name):
    native = loaded(name).native
    assert {"matmul", "softmax_cross_entropy", "adam"} <= native < set(DECLARATIONS)
    assert loaded("naive").native == {n for n, d in DECLARATIONS.items() if d.required}
    assert kernels.load("numpy").native == native or name == "numba"
