"""Products of bfloat16 pairs: whichever instructions do them, however many threads share them."""

import numpy as np
import pytest
from children import ENVIRONMENT, finished, path_to, python
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels.contract.precision import rounded
from kernels.numba_backend.kernels.products.pairs import DEPTH, TALL, WIDE
from kernels.numba_backend.simd import host

EPS = np.finfo(np.float32).eps
# Below, at and above the blocks: tiles of 16, sums of 32, panels of B, rows, depth.
EDGES = [
    (1, 1, 1), (15, 31, 17), (16, 32, 16), (17, 33, 33), (32, 64, WIDE), (33, 2, WIDE + 1), (TALL, 5, 3),
    (TALL + 1, DEPTH, 40), (31, DEPTH + 1, 65), (2, 2 * DEPTH + 7, 2 * WIDE + 9), (3, 0, 5),
]  # fmt: skip


def drawn(m, k, n, turned_a, turned_b, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((k, m) if turned_a else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if turned_b else (k, n)).astype(dtype)
    return a, b


def check(backend, m, k, n, turned_a, turned_b, dtype=np.float32):
    a, b = drawn(m, k, n, turned_a, turned_b, dtype)
    found = backend.matmul(a, b, turned_a, turned_b, precision="bfloat16")
    x, y = (rounded(x).astype(np.float64) for x in (a, b))
    x, y = x.T if turned_a else x, y.T if turned_b else y
    bound = 16 * max(1, (k / 1024) ** 0.5) * np.finfo(dtype).eps * (np.abs(x) @ np.abs(y))
    assert np.all(np.abs(found - x @ y) <= bound)


@pytest.mark.parametrize("width", [1, 4, 8, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", EDGES, ids=str)
def test_edges_of_the_blocks(shape, dtype, width):
    backend = kernels.load("numba", threads=1, simd_width=width)
    for turned_a in (False, True):
        for turned_b in (False, True):
            check(backend, *shape, turned_a, turned_b, dtype)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 70), st.integers(0, 100), st.integers(0, 150), st.booleans(), st.booleans())
def test_any_shape(m, k, n, turned_a, turned_b):
    check(kernels.load("numba", threads=1), m, k, n, turned_a, turned_b)


@pytest.mark.parametrize("shape", [(300, 128, 70), (64, 700, 1400), (7, 900, 1100)])
def test_the_bits_are_the_same_on_any_number_of_threads(shape):
    a, b = drawn(*shape, False, False)
    bias = np.linspace(-1, 1, shape[2], dtype=np.float32)
    one, *others = (
        kernels.load("numba", threads=threads).linear(a, b, bias, "tanh", "bfloat16") for threads in (1, 2, 3)
    )
    for other in others:
        np.testing.assert_array_equal(one, other)


def test_an_element_does_not_depend_on_its_neighbours():
    backend = kernels.load("numba", threads=1)
    a, b = drawn(100, 600, 90, False, False)
    whole = backend.matmul(a, b, precision="bfloat16")
    np.testing.assert_array_equal(backend.matmul(a[37:38], b, precision="bfloat16"), whole[37:38])
    part = np.ascontiguousarray(b[:, 33:50])
    np.testing.assert_array_equal(backend.matmul(a, part, precision="bfloat16"), whole[:, 33:50])


def test_infinities_and_nan_stay_in_their_rows():
    a, b = drawn(40, 50, 20, False, False)
    a[3, 7], a[5, 9] = np.nan, np.inf
    found = kernels.load("numba", threads=1).matmul(a, b, precision="bfloat16")
    assert np.isnan(found[3]).all() and np.isinf(found[5]).all()
    assert np.isfinite(np.delete(found, [3, 5], axis=0)).all()


@pytest.mark.skipif(not host.has_feature("avx512bf16"), reason="the CPU has no instructions on pairs")
@pytest.mark.parametrize("without", ["-amx-bf16", "-amx-bf16,-avx512bf16"])
def test_every_way_that_the_cpu_has_conforms(without, tmp_path):
    """Without tile registers, and without pair instructions, as on other CPUs."""
    from numba.core.codegen import get_host_cpu_features

    dropped = {name[1:] for name in without.split(",")}
    kept = [name for name in get_host_cpu_features().split(",") if name[1:] not in dropped]
    environment = {
        **ENVIRONMENT, "PYTHONPATH": path_to(__file__), "TINYNET_CACHE_DIR": str(tmp_path),
        "NUMBA_CPU_FEATURES": ",".join([*kept, *without.split(",")]),
    }  # fmt: skip
    body = """
        import numpy as np, kernels
        from kernels.numba_backend.simd import host, vector
        from kernels.numba_backend.simd.bfloat16 import has_pairs
        from test_pair_products import EDGES, check
        assert not host.has_tiles()
        print(has_pairs(vector(np.float32, 16)))
        backend = kernels.load("numba", threads=1)
        for shape in EDGES:
            for turned_a in (False, True):
                for turned_b in (False, True):
                    check(backend, *shape, turned_a, turned_b)
    """
    done = finished(python(body), check=True, env=environment)
    assert done.stdout.strip() == str("avx512bf16" not in without)


def test_tiles_are_not_used_where_the_system_refuses_them(monkeypatch):
    class Refusing:
        def __init__(self, name):
            pass

        def syscall(self, *arguments):
            return -1

    monkeypatch.setattr(host.ctypes, "CDLL", Refusing)
    monkeypatch.setattr(host, "has_feature", lambda name: True)
    assert host.has_tiles.__wrapped__() is False
