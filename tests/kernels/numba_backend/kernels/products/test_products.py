"""Products in the arrays' own precision, where blocks end."""

import ctypes

import numpy as np
import pytest

import kernels
from kernels.numba_backend.kernels.entry import ALLOCATOR
from kernels.numba_backend.kernels.products import matmul
from kernels.numba_backend.kernels.products.gemm import BLOCK_BYTES, DEPTH, LEFT_BYTES, PACKED_COLUMNS, PACKED_STRIDE
from kernels.numba_backend.runtime.machine import Machine, best_width

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


# Several blocks of rows, whose panels are packed at once: the last block of rows, of columns and of K is a part of one,
# and the last panel as wide as one vector or two.
BLOCKS = [(TALL + 1, DEPTH, 40), (3 * TALL + 5, DEPTH + 3, BLOCK_BYTES // 4 // DEPTH + 45), (2 * TALL + 9, 700, 77)]


@pytest.mark.parametrize("turned_b", [False, True])
@pytest.mark.parametrize("turned_a", [False, True])
@pytest.mark.parametrize("width", [1, 4, 8, 16])
@pytest.mark.parametrize("shape", BLOCKS, ids=str)
def test_blocks_of_rows(shape, width, turned_a, turned_b):
    (m, k, n), rng = shape, np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)
    bound = 16 * (k / 1024 + 1) ** 0.5 * np.finfo(np.float32).eps * (np.abs(a).astype(float) @ np.abs(b).astype(float))
    expected = a.astype(float) @ b.astype(float)
    given = a.T.copy() if turned_a else a, b.T.copy() if turned_b else b, turned_a, turned_b
    one, two = (kernels.load("numba", threads=threads, simd_width=width) for threads in (1, 2))
    found = one.matmul(*given)
    assert np.all(np.abs(found - expected) <= bound)
    np.testing.assert_array_equal(two.matmul(*given), found)


def test_blocks_of_rows_where_there_is_no_memory_for_them():
    """An allocator that has none: the result is the same, panel by panel."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((3 * TALL, DEPTH), (DEPTH, 100)))
    out, asked = np.empty((3 * TALL, 100), np.float32), []
    none = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t)(lambda nbytes: asked.append(nbytes))
    nothing = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda memory: asked.append(memory))
    addresses = [float(np.int64(ctypes.cast(f, ctypes.c_void_p).value).view(np.float64)) for f in (none, nothing)]
    name, char, operands, _ = matmul(a, b, False, False, "full", out)
    Machine(best_width(), 1).run(name, char, (*operands[:ALLOCATOR], *addresses))
    np.testing.assert_array_equal(out, kernels.load("numba", threads=1).matmul(a, b))
    assert asked[0] > a.itemsize * DEPTH * 100 and asked[1] is None
