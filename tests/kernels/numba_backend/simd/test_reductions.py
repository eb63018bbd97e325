"""Horizontal sum, maximum, minimum in the documented order; transposes."""

import numpy as np
import pytest
from numba import njit

from kernels.numba_backend import simd

LANES = (1, 2, 3, 4, 5, 8, 16)


def fold(values, combine, identity):
    """The order documented in reductions.py."""
    width = 1 << (len(values) - 1).bit_length()
    values = np.concatenate([values, np.full(width - len(values), identity, values.dtype)])
    while len(values) > 1:
        half = len(values) // 2
        values = combine(values[:half], values[half:])
    return values[0]


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", (np.float32, np.float64, np.int32, np.uint64))
def test_reductions(dtype, lanes):
    kind = simd.vector(dtype, lanes)

    @njit
    def kernel(x):
        v = kind.load(x, 0)
        return simd.sum_lanes(v), simd.max_lanes(v), simd.min_lanes(v)

    generator = np.random.default_rng(0)
    for _ in range(5):
        x = generator.standard_normal(lanes) * 1e4
        x = (x if np.dtype(dtype).kind == "f" else x.astype(np.int64)).astype(dtype)
        total, largest, least = kernel(x)
        assert dtype(total) == fold(x, np.add, 0)
        assert (largest, least) == (x.max(), x.min())
    if np.dtype(dtype).kind == "f":
        x[lanes // 2] = np.nan
        assert all(np.isnan(kernel(x)))
        x[:] = -np.inf
        assert kernel(x) == (-np.inf, -np.inf, -np.inf)
        x[:] = -0.0
        assert all(np.signbit(kernel(x)))


@pytest.mark.parametrize("lanes", (1, 4, 8, 16))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_transpose_block(dtype, lanes):
    kind = simd.vector(dtype, lanes)

    @njit
    def kernel(x, out, i, j, k, m, rows, columns):
        simd.transpose_block(kind, x, i, j, out, k, m, rows, columns)

    @njit
    def flat_kernel(x, start, stride, out, target, target_stride, rows, columns):
        simd.transpose_block(kind, x, start, stride, out, target, target_stride, rows, columns)

    x = np.arange(24 * 30).reshape(24, 30).astype(dtype)[:, 1:]
    for rows, columns in {(lanes, lanes), (1, lanes), (lanes, 1), (lanes // 2, max(1, lanes - 1)), (0, lanes)}:
        out = np.full((24, 31), -1, dtype)[:, :30]
        expected = out.copy()
        kernel(x, out, 2, 3, 4, 5, rows, columns)
        expected[4 : 4 + columns, 5 : 5 + rows] = x[2 : 2 + rows, 3 : 3 + columns].T
        np.testing.assert_array_equal(out, expected)
        flat = np.full(24 * 31, -1, dtype)
        flat_kernel(x.base.ravel(), 2 * 30 + 4, 30, flat, 4 * 31 + 5, 31, rows, columns)
        np.testing.assert_array_equal(flat.reshape(24, 31)[:, :30], expected)


def test_transpose_of_a_tuple():
    kind = simd.vector(np.int32, 4)

    @njit
    def kernel(x, out):
        a, b, c, d = simd.transpose((kind.load(x, 0, 0), kind.load(x, 1, 0), kind.load(x, 2, 0), kind.load(x, 3, 0)))
        simd.store(out, 0, 0, a)
        simd.store(out, 1, 0, b)
        simd.store(out, 2, 0, c)
        simd.store(out, 3, 0, d)

    x, out = np.arange(16, dtype=np.int32).reshape(4, 4), np.zeros((4, 4), np.int32)
    kernel(x, out)
    np.testing.assert_array_equal(out, x.T)
