"""Calls are checked against the declarations before anything runs, the same on every backend."""

import copy
import pickle
import sys

import numpy as np
import pytest
from backends import loaded
from children import finished
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import ROOT

import kernels
from kernels import DECLARATIONS, Backend, BackendUnavailable
from kernels.contract import random
from kernels.loader import from_module
from tinynet.command.command_line import main

F = np.float32
A, B = np.ones((3, 4), F), np.ones((4, 5), F)
HYPER = np.array([0.1, 0.9, 0.0, 0.0])


def transposed_view():
    return np.ones((4, 3), F).T


def read_only():
    out = np.ones((3, 4), F)
    out.flags.writeable = False
    return out


def misaligned():
    return np.frombuffer(bytearray(4 * 12 + 1), F, 12, offset=1)


def overlapping_rows():
    return np.lib.stride_tricks.as_strided(np.zeros(8, F), (3, 4), (4, 4))


BAD_CALLS = {
    "inner lengths": (lambda k: k.matmul(A, A), ValueError, "matmul: b has shape (3, 4), expected (k, n) with k = 4"),
    "transposed inner lengths": (lambda k: k.matmul(A, B, transpose_a=True), ValueError, "k = 3"),
    "list": (lambda k: k.exp([1.0, 2.0]), TypeError, "exp: x is a list, expected a numpy.ndarray"),
    "None": (lambda k: k.exp(None), TypeError, "exp: x is a NoneType"),
    "integers": (lambda k: k.exp(np.arange(3)), TypeError, "exp: x has dtype int64, expected float32 or float64"),
    "half": (lambda k: k.exp(A.astype(np.float16)), TypeError, "float16"),
    "complex": (lambda k: k.exp(A.astype(complex)), TypeError, "complex128"),
    "other byte order": (lambda k: k.exp(A.astype(">f4")), TypeError, "expected"),
    "masked": (lambda k: k.exp(np.ma.masked_array(A)), TypeError, "MaskedArray"),
    "0-D": (lambda k: k.exp(np.array(1.0, F)), ValueError, "0 dimensions"),
    "3-D": (lambda k: k.exp(np.ones((2, 2, 2), F)), ValueError, "3 dimensions"),
    "Fortran order": (lambda k: k.exp(transposed_view()), ValueError, "contiguous last axis"),
    "reversed": (lambda k: k.exp(np.ones(5, F)[::-1]), ValueError, "contiguous last axis"),
    "misaligned": (lambda k: k.exp(misaligned()), ValueError, "not aligned"),
    "mixed dtypes": (lambda k: k.add(A, A.astype(float)), TypeError, "add: b has dtype float64, expected float32"),
    "out dtype": (lambda k: k.exp(A, out=np.empty((3, 4))), TypeError, "exp: out has dtype float64"),
    "out shape": (lambda k: k.exp(A, out=np.empty((4, 3), F)), ValueError, "exp: out has shape (4, 3), expected (3, 4)"),
    "out read-only": (lambda k: k.exp(A, out=read_only()), ValueError, "read-only"),
    "out rows overlap": (lambda k: k.exp(A, out=overlapping_rows()), ValueError, "rows overlap"),
    "out is an input": (lambda k: k.matmul(np.eye(3, dtype=F), x := np.ones((3, 3), F), out=x), ValueError, "overlaps b"),
    "out overlaps": (lambda k: k.exp((x := np.ones(9, F))[:8], out=x[1:]), ValueError, "exp: out overlaps x"),
    "no out": (lambda k: k.fill(0.0), TypeError, "fill: out must be given"),
    "broadcast": (lambda k: k.add(A, B), ValueError, "broadcasts with (3, 4)"),
    "numbers only": (lambda k: k.add(1.0, 2.0), TypeError, "at least one float array"),
    "axis": (lambda k: k.sum(A, axis=2), ValueError, "sum: axis is 2, expected None or 0 or 1"),
    "axis of a row": (lambda k: k.sum(A[0], axis=1), ValueError, "sum: axis is 1"),
    "empty max": (lambda k: k.max(np.ones((0, 3), F), axis=0), ValueError, "at least one element"),
    "no classes": (lambda k: k.softmax(np.ones((3, 0), F)), ValueError, "c not 0"),
    "label too large": (
        lambda k: k.softmax_cross_entropy(A, np.array([0, 4, 1])), ValueError, "labels holds 4, expected whole numbers in"),
    "label negative": (lambda k: k.softmax_cross_entropy(A, np.array([0, -1, 1])), ValueError, "holds -1"),
    "labels float": (lambda k: k.softmax_cross_entropy(A, np.ones(3)), TypeError, "labels has dtype float64"),
    "row number": (lambda k: k.gather_rows(A, np.array([3])), ValueError, "indices holds 3"),
    "row number into out": (
        lambda k: k.scatter_add_rows(A, np.array([0, 2, 5]), out=np.empty((5, 4), F)), ValueError, "indices holds 5"),
    "rate": (lambda k: k.dropout_mask(np.zeros(1), 1, 1.0, out=A.copy()), ValueError, "rate is 1.0"),
    "seed": (lambda k: k.dropout_mask(np.zeros(1), -1, 0.5, out=A.copy()), ValueError, "seed is -1"),
    "smoothing": (lambda k: k.softmax_cross_entropy(A, np.zeros(3, int), None, 1.5), ValueError, "smoothing is 1.5"),
    "activation": (lambda k: k.linear(A, B, None, "softmx"), ValueError, "activation is 'softmx'"),
    "option type": (lambda k: k.leaky_relu(A, "steep"), TypeError, "slope is 'steep', expected a number"),
    "flag type": (lambda k: k.matmul(A, B, "yes"), TypeError, "transpose_a is 'yes'"),
    "hyper length": (lambda k: k.sgd(A.copy(), A, A.copy(), HYPER[:3]), ValueError, "hyper has shape (3,)"),
    "hyper dtype": (lambda k: k.sgd(A.copy(), A, A.copy(), HYPER.astype(F)), TypeError, "hyper has dtype float32"),
    "parameter is gradient": (lambda k: k.sgd(x := A.copy(), x, A.copy(), HYPER), ValueError, "overlaps gradient"),
    "parameter read-only": (lambda k: k.sgd(read_only(), A, A.copy(), HYPER), ValueError, "read-only"),
    "unknown keyword": (lambda k: k.exp(A, axis=0), TypeError, "unexpected keyword"),
    "too few": (lambda k: k.matmul(A), TypeError, "missing"),
}  # fmt: skip


@pytest.mark.parametrize("call, kind, said", BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_calls_are_refused_in_one_sentence(backend, call, kind, said):
    with pytest.raises(kind) as caught:
        call(backend)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("call", "kind", "said"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_good_call_before_does_not_let_a_bad_one_pass(backend, call, kind, said):
    """Backends may remember calls that passed the checks."""
    for _ in range(3):
        out, x, y = np.empty((3, 4), F), np.ones(9, F), A.copy()
        backend.exp(A, out=out)
        backend.exp(x[:8], out=np.empty(8, F))
        backend.matmul(A, B, out=np.empty((3, 5), F))
        backend.matmul(np.eye(3, dtype=F), np.ones((3, 3), F), out=np.empty((3, 3), F))
        backend.add(A, A, out=out)
        backend.add(1.0, A, out=out)
        backend.sum(A, axis=0, out=np.empty(4, F))
        backend.linear(A, B, None, "relu", out=np.empty((3, 5), F))
        backend.leaky_relu(A, 0.5, out=out)
        backend.sgd(y, A, A.copy(), HYPER)
        backend.softmax_cross_entropy(A, np.array([0, 1, 2]), out=np.empty(3, F), gradient=out)
        backend.dropout_mask(np.zeros(1), 1, 0.5, out=out)
        backend.gather_rows(A, np.array([0]), out=np.empty((1, 4), F))
    with pytest.raises(kind) as caught:
        call(backend)
    assert said in str(caught.value)


def test_remembered_calls_give_the_right_results(backend):
    """The same layouts with other values, other options, the same array twice, in place."""
    rng = np.random.default_rng(0)
    out, b = np.empty((3, 4), F), np.empty((3, 3), F)
    for n in range(12):
        x, y = rng.normal(size=(3, 4)).astype(F), rng.normal(size=(3, 4)).astype(F)
        np.testing.assert_array_equal(backend.add(x, y, out=out), x + y)
        np.testing.assert_array_equal(backend.add(x, x, out=out), x + x)
        np.testing.assert_array_equal(backend.add(x, float(n), out=out), x + F(n))
        np.testing.assert_array_equal(backend.maximum(x, y, out=x.copy()), np.maximum(x, y))
        np.testing.assert_allclose(backend.leaky_relu(x, n / 10, out=out), np.where(x > 0, x, x * F(n / 10)), rtol=1e-6)
        np.testing.assert_allclose(backend.matmul(x, y, transpose_b=True, out=b), x @ y.T, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(backend.matmul(x[:, :3], y[:, :3], n % 2 == 0, out=b),
                                   (x[:, :3].T if n % 2 == 0 else x[:, :3]) @ y[:, :3], rtol=1e-4, atol=1e-6)  # fmt: skip
        expected = x + y
        assert backend.add(x, y, out=x) is x
        np.testing.assert_array_equal(x, expected)


def test_results_are_returned_allocated_or_given(backend):
    out = np.empty((3, 5), F)
    assert backend.matmul(A, B, out=out) is out and (out == 4).all()
    assert backend.matmul(A, B).shape == (3, 5)
    losses, gradient = backend.softmax_cross_entropy(A, np.array([0, 1, 2]))
    assert losses.shape == (3,) and gradient.shape == (3, 4)
    given = np.empty((3, 4), F)
    assert backend.softmax_cross_entropy(A, np.array([0, 1, 2]), gradient=given)[1] is given


def test_any_row_stride_is_legal(backend):
    wide = np.arange(24, dtype=F).reshape(4, 6)
    for view in (wide[:, 1:4], wide[::2, 2:], wide[::-1, :5], np.broadcast_to(wide[0], (3, 6))):
        np.testing.assert_array_equal(backend.add(view, 1.0), view + 1)


@given(st.integers(1, 3), st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_broadcasting_is_numpys(rows, columns, data):
    """Shapes either broadcast as NumPy says or are refused."""
    length = st.sampled_from([1, rows, columns])
    shape = st.lists(length, min_size=1, max_size=2).map(tuple)
    a, b = (np.ones(data.draw(shape), F) for _ in range(2))
    try:
        expected = np.add(a, b)
    except ValueError:
        with pytest.raises(ValueError, match="broadcasts"):
            loaded("numpy").add(a, b)
        return
    for name in ("naive", "numpy", "numba"):
        np.testing.assert_array_equal(loaded(name).add(a, b), expected)


def test_numbers_become_operands(backend):
    np.testing.assert_array_equal(backend.subtract(1, A), 1 - A)
    np.testing.assert_array_equal(backend.divide(A, np.float64(4)), A / 4)
    assert np.signbit(backend.multiply(A, -0.0)).all() and not np.signbit(backend.multiply(A, 0.0)).any()


# ---- declarations and loading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("declaration", DECLARATIONS.values(), ids=DECLARATIONS)
def test_every_declaration_begins_with_its_mathematics(declaration):
    assert any(sign in declaration.formula for sign in ("=", "<-")), declaration.formula
    assert declaration.operands


def test_names_and_unknown_backend():
    assert kernels.names()[:3] == ["naive", "numpy", "numba"]
    with pytest.raises(ValueError, match="unknown backend 'nunba': did you mean 'numba'"):
        kernels.load("nunba")
    with pytest.raises(TypeError, match="backend is a int"):
        kernels.load(3)


@pytest.mark.parametrize("name", ["naive", "numpy"])
def test_options_are_refused_where_there_are_none(name):
    with pytest.raises(ValueError, match="has no option 'threads'"):
        kernels.load(name, threads=2)


@pytest.mark.parametrize("name", ["naive", "numpy", "numba"])
def test_a_backend_without_fused_kernels_runs_their_compositions(name):
    whole, parts = kernels.load(name), kernels.load(name, fused=False)
    required = {declaration.name for declaration in DECLARATIONS.values() if declaration.required}
    assert parts.native == required <= whole.native and parts.options["fused"] is False
    assert (whole.native > required) == (name != "naive")
    x = np.random.default_rng(0).normal(size=(4, 7))
    for kernel in ("softmax", "gelu", "negative"):
        np.testing.assert_allclose(getattr(parts, kernel)(x), getattr(whole, kernel)(x), rtol=1e-6)


def test_a_missing_dependency_says_what_to_install():
    body = "import sys; sys.modules['numba'] = None; import kernels; print(kernels.available()); kernels.load('numba')"
    done = finished([sys.executable, "-c", body], cwd=ROOT)
    assert done.stdout.strip() == "['naive', 'numpy']"
    assert BackendUnavailable.__name__ in done.stderr and "pip install numba" in done.stderr


BROKEN = {
    "raises": ("raise RuntimeError('no device\\nwas found')", "cannot be imported from broken: RuntimeError: no device was found"),
    "lacks a module": ("import no_such_module", "cannot be imported from broken: ModuleNotFoundError: No module named"),
    "is no Python": ("def", "cannot be imported from broken: SyntaxError: "),
    "exits": ("raise SystemExit('bye')", "cannot be imported from broken: SystemExit: bye"),
    "cannot be made": ("def create(): import no_such_module", "cannot be made: ModuleNotFoundError: No module named"),
    "refuses": ("def create(): raise ValueError('no\\ndriver')", "no driver"),
    "lacks kernels": ("", "lacks the required kernels"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_backend_of_another_package_takes_no_other_along(tmp_path, monkeypatch, capsys, body, said):
    (tmp_path / "broken.py").write_text(body)
    about = tmp_path / "broken-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0\n")
    (about / "entry_points.txt").write_text("[tinynet.backends]\nbroken = broken\n")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("broken", None)  # of the case before
    assert kernels.names() == ["naive", "numpy", "numba", "broken"]
    assert kernels.available() == ["naive", "numpy", "numba"]
    assert main(["--list-backends"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("broken"))
    assert said in line
    assert main(["--backend", "broken"]) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1 and said in complaint


def required_kernels():
    from kernels import numpy_backend

    return dict(numpy_backend.KERNELS)


def test_the_loader_says_what_is_missing_or_different():
    incomplete = required_kernels()
    del incomplete["tanh"], incomplete["matmul"]
    with pytest.raises(TypeError, match="lacks the required kernels tanh, matmul"):
        Backend("third", incomplete)
    with pytest.raises(TypeError, match=r"exp takes \(y, out\), the contract says \(x, out\)"):
        Backend("third", {**required_kernels(), "exp": lambda y, out: None})
    with pytest.raises(TypeError, match="implements 'expp', which the contract does not declare"):
        Backend("third", {**required_kernels(), "expp": lambda x, out: None})


def test_any_object_with_the_kernels_is_a_backend():
    class Third:
        pass

    for name, kernel in required_kernels().items():
        setattr(Third, name, staticmethod(kernel))
    assert from_module(Third, "third").tanh(A)[0, 0] == np.tanh(F(1))


# ---- random bits --------------------------------------------------------------------------------------------------


def test_random_bits_known_answers():
    """SplitMix64's first outputs for seed 1234567 are published with its reference implementation."""
    words = [random.key(1234567, counter) for counter in range(3)]
    assert [(high << 32) | low for high, low in words] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
    ]  # fmt: skip
    assert random.mix(0) == 0 and len({random.mix(x) for x in range(4096)}) == 4096


def test_masks_are_unbiased_and_independent():
    backend, n = loaded("numpy"), 1 << 16
    masks = [
        backend.dropout_mask(np.array([float(c)]), s, 0.25, out=np.empty(n, F)) > 0
        for s in (1, 2, 1 << 40)
        for c in (0, 1)
    ]
    spread = 5 * np.sqrt(0.25 * 0.75 / n)  # five standard deviations
    for i, mask in enumerate(masks):
        assert abs(mask.mean() - 0.75) < spread
        assert abs((mask[1:] & mask[:-1]).mean() - 0.75**2) < spread  # neighbours
        assert abs(mask[::64].mean() - 0.75) < spread * 8
        for other in masks[:i]:
            assert abs((mask & other).mean() - 0.75**2) < spread  # seeds and draws


def test_masks_do_not_depend_on_shape_or_dtype():
    backend, counter = loaded("numpy"), np.zeros(1)
    flat = backend.dropout_mask(counter, 9, 0.5, out=np.empty(60, F))
    for shape in ((6, 10), (10, 6), (1, 60)):
        mask = backend.dropout_mask(counter, 9, 0.5, out=np.empty(shape))
        np.testing.assert_array_equal(mask.ravel(), flat)


def test_a_backend_is_pickled_as_its_name_and_options():
    for name, options in (("numpy", {}), ("numba", {"threads": 1}), ("naive", {"fused": False}), ("numba", {})):
        backend = kernels.load(name, **options)
        other = pickle.loads(pickle.dumps(backend))
        assert (other.name, other.asked, other.options) == (name, options, backend.options)
        np.testing.assert_array_equal(other.exp(np.zeros(3)), 1)
        assert copy.deepcopy(backend) is copy.copy(backend) is backend
    module = from_module(kernels.load("numpy"), "mine")
    assert copy.deepcopy(module) is module
    with pytest.raises(TypeError, match="backend 'mine' was not loaded by its name, so it cannot be pickled"):
        pickle.dumps(module)
