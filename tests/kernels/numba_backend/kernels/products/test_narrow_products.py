"""Products of few rows or columns: every way to lay them out, where blocks and vectors end."""

import numpy as np
import pytest

import kernels
from kernels.numba_backend.kernels.products.narrow import DEPTH, FEW, LEAST, LEAST_ALONG, is_narrow

SHAPES = [
    (100, 100, 1), (1000, 30, 2), (1, 100, 100), (33, DEPTH + 76, 3), (17, 64, FEW), (FEW, 70, 33),
    (3, 2 * DEPTH + 52, 129), (2, 5, 40), (600, 7, 1), (LEAST, LEAST_ALONG, 2), (2, LEAST_ALONG - 1, LEAST), (1, 3, 32),
    (3, 65, 31), (1030, 70, 3), (1, 1, 700),
]  # fmt: skip


def drawn(m, k, n, turned_a, turned_b, dtype):
    rng = np.random.default_rng(m)
    a = rng.standard_normal((k, m) if turned_a else (m, k)).astype(dtype)
    return a, rng.standard_normal((n, k) if turned_b else (k, n)).astype(dtype)


@pytest.mark.parametrize("width", [1, 4, 8, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_and_their_bits_on_threads(shape, dtype, width):
    one, two = (kernels.load("numba", threads=threads, simd_width=width) for threads in (1, 2))
    factor = 16 * max(1, shape[1] / 1024) ** 0.5 * np.finfo(dtype).eps
    for turned_a in (False, True):
        for turned_b in (False, True):
            a, b = drawn(*shape, turned_a, turned_b, dtype)
            x, y = (z.T if turned else z for z, turned in ((a.astype(float), turned_a), (b.astype(float), turned_b)))
            found = one.matmul(a, b, turned_a, turned_b)
            assert np.all(np.abs(found - x @ y) <= factor * (np.abs(x) @ np.abs(y)))
            np.testing.assert_array_equal(two.matmul(a, b, turned_a, turned_b), found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bias_activation_and_rows_with_gaps(shape, dtype):
    m, k, n = shape
    a, b = drawn(*shape, False, False, dtype)
    wide = np.full((m, n + 5), 7, dtype)
    bias = np.linspace(-1, 1, n).astype(dtype)
    backend = kernels.load("numba", threads=1)
    backend.linear(a, b, bias, "relu", out=wide[:, 2 : n + 2])
    expected = np.maximum(a.astype(float) @ b.astype(float) + bias, 0)
    bound = 32 * max(1, k / 1024) ** 0.5 * np.finfo(dtype).eps * (np.abs(a) @ np.abs(b) + np.abs(bias))
    assert np.all(np.abs(wide[:, 2 : n + 2] - expected) <= bound)
    assert np.all(wide[:, :2] == 7) and np.all(wide[:, n + 2 :] == 7)
    gradient = backend.matmul_gradient(a, b, wide[:, 2 : n + 2], "relu")
    np.testing.assert_array_equal(gradient, backend.matmul(a, b) * (wide[:, 2 : n + 2] > 0))


def test_what_is_beyond_the_matrix_is_not_read():
    """NaN around it, in rows that are padded and in the rows after it."""
    backend = kernels.load("numba", threads=1)
    for m, k, n in [(19, 37, 2), (2, 37, 19)]:
        a, b = (np.full((size[0] + 3, size[1] + 3), np.nan, np.float32) for size in ((m, k), (k, n)))
        a[:m, :k], b[:k, :n] = 1, 1
        np.testing.assert_array_equal(backend.matmul(a[:m, :k], b[:k, :n]), np.full((m, n), k, np.float32))
        turned = backend.matmul(a.T.copy()[:k, :m], b.T.copy()[:n, :k], True, True)
        np.testing.assert_array_equal(turned, np.full((m, n), k, np.float32))


@pytest.mark.parametrize(
    ("sizes", "turned", "narrow"),
    [
        ((100, 100, FEW), (False, False), True), ((100, 100, FEW + 1), (False, False), False),
        ((100, LEAST_ALONG - 1, 1), (False, False), False), ((100, LEAST_ALONG - 1, 1), (True, False), True),
        ((LEAST - 1, 100, 1), (False, False), False), ((1, 9, 50), (False, False), True), ((1, 9, 50), (False, True), False),
        ((50, 0, 1), (True, False), False),
    ],
)  # fmt: skip
def test_which_products_are_narrow(sizes, turned, narrow):
    assert is_narrow(*sizes, *turned) is narrow
