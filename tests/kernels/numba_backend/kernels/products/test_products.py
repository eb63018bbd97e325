"""Products in the arrays' own precision, where blocks end."""

import numpy as np
import pytest

import kernels
from kernels.numba_backend.kernels.products.gemm import DEPTH, LEFT_BYTES, PACKED_COLUMNS, PACKED_STRIDE

# A turned factor is packed from these rows and columns on: below, at and above them, and with several blocks of each.
ROWS = PACKED_STRIDE // 4
TALL = LEFT_BYTES // 4 // DEPTH
EDGES = [
    (ROWS - 1, 7, PACKED_COLUMNS), (ROWS, 7, PACKED_COLUMNS - 1), (ROWS, 7, PACKED_COLUMNS), (ROWS + 3, 0, 200),
    (5 * TALL + 13, DEPTH + 1, PACKED_COLUMNS + 17), (ROWS + 1, 2 * DEPTH + 5, 2 * PACKED_COLUMNS + 33),
]  # fmt: skip


@pytest.mark.parametrize("width", [1, 4, 8, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", EDGES, ids=str)
def test_a_turned_factor_gives_the_bits_of_its_copy(shape, dtype, width):
    m, k, n = shape
    rng = np.random.default_rng(m)
    a, b = rng.standard_normal((k, m)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    backend = kernels.load("numba", threads=1, simd_width=width)
    copied = backend.matmul(np.ascontiguousarray(a.T), b)
    np.testing.assert_array_equal(backend.matmul(a, b, transpose_a=True), copied)
    shared = kernels.load("numba", threads=2, simd_width=width)
    np.testing.assert_array_equal(shared.matmul(a, b, transpose_a=True), copied)
    bound = 16 * max(1, k / 1024) ** 0.5 * np.finfo(dtype).eps * (np.abs(a.T).astype(float) @ np.abs(b).astype(float))
    assert np.all(np.abs(copied - a.T.astype(float) @ b.astype(float)) <= bound)
