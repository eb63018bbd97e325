"""Loads and stores of arrays and pointers; masked ones never touch memory beyond the mask."""

import ctypes
import mmap
import sys

import numpy as np
import pytest
from numba import cfunc, njit, types
from numba.core.errors import TypingError

from kernels.numba_backend import simd

DTYPES = (np.float32, np.float64, np.int32, np.uint64)
LANES = (1, 4, 8, 16)


def make_tail_copy(kind):
    @njit
    def copy(x, out, n):
        for i in range(0, n, kind.lanes):
            live = kind.first_lanes(n - i)
            simd.store_masked(out, i, kind.load_masked(x, i, live), live)

    return copy


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_load_and_store_of_rows_with_any_stride(dtype, lanes):
    kind = simd.vector(dtype, lanes)

    @njit
    def copy(x, out, i, j, line, at):
        simd.store(out, i, j, kind.load(x, i, j))
        simd.store(line, at, kind.load(line, at + lanes) + kind.load(x, i, j))

    whole = np.arange(5 * 40, dtype=dtype).reshape(5, 40)
    line = np.arange(64, dtype=dtype)
    for x in (whole, whole[:, 3:35], whole[::2, 1:39]):
        out, row = np.zeros((5, 50), dtype)[:, 1:], line.copy()
        copy(x, out, 2, 7, row, 5)
        expected = np.zeros((5, 49), dtype)
        expected[2, 7 : 7 + lanes] = x[2, 7 : 7 + lanes]
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(row[5 : 5 + lanes], line[5 + lanes : 5 + 2 * lanes] + x[2, 7 : 7 + lanes])
        np.testing.assert_array_equal(np.delete(row, range(5, 5 + lanes)), np.delete(line, range(5, 5 + lanes)))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_tail_copies_exactly_n(dtype, lanes):
    copy = make_tail_copy(simd.vector(dtype, lanes))
    for n in (0, 1, lanes - 1, lanes, lanes + 1, 37):
        x, out = np.arange(1, 65, dtype=dtype), np.full(64, 99, dtype)
        copy(x, out, n)
        np.testing.assert_array_equal(out, np.where(np.arange(64) < n, x, 99))


@pytest.fixture(scope="module")
def guarded():
    """A page of memory before one that must not be touched."""
    if not sys.platform.startswith("linux"):
        pytest.skip("mprotect is called as on Linux")
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))  # the fixture's frame keeps the memory alive
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + page), ctypes.c_size_t(page), 0) == 0
    yield np.ctypeslib.as_array((ctypes.c_uint8 * page).from_address(start))  # noqa: PT022


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_masked_accesses_stop_at_a_forbidden_page(guarded, dtype, lanes):
    kind = simd.vector(dtype, lanes)
    copy = make_tail_copy(kind)
    values = guarded.view(dtype)

    @njit
    def last(x, out, n):
        live = kind.first_lanes(n)
        simd.store_masked(out, 0, kind.gather(x, len(x) - n, 1, live), live)

    for n in range(lanes + 1):
        tail = values[len(values) - n :]
        tail[:] = np.arange(n)
        out = np.full(lanes, 5, dtype)
        copy(tail, out, n)
        np.testing.assert_array_equal(out[:n], tail)
        copy(out, tail, n)
        last(values, out, n)
        np.testing.assert_array_equal(out, [*range(n), *[5] * (lanes - n)])


def test_fill_value_and_negative_count():
    kind = simd.vector(np.float32, 8)

    @njit
    def kernel(x, out, n):
        simd.store(out, 0, kind.load_masked(x, 0, kind.first_lanes(n), -1.5))

    x, out = np.arange(8, dtype=np.float32), np.empty(8, np.float32)
    for n in (-3, 0, 5, 8, 2**40, -(2**40)):
        kernel(x, out, n)
        np.testing.assert_array_equal(out, np.where(np.arange(8) < n, x, np.float32(-1.5)))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", (np.float32, np.int64))
def test_gather(dtype, lanes):
    kind, places = simd.vector(dtype, lanes), simd.vector(np.int64, lanes)

    @njit
    def kernel(x, table, order, out, i, step):
        simd.store(out, 0, kind.gather(x, i, step))
        simd.store(out, kind.lanes, kind.gather(table, 1, 2, -step))
        simd.store(out, 2 * kind.lanes, kind.gather(x, i, places.load(order, 0)))

    x, out = np.arange(200, dtype=dtype), np.zeros(3 * lanes, dtype)
    order = np.random.default_rng(0).permutation(100)
    table = np.arange(300, dtype=dtype).reshape(3, 100)[:, 10:]
    kernel(x, table, order, out, 4, 7)
    flat = np.arange(300, dtype=dtype)
    n = np.arange(lanes)
    np.testing.assert_array_equal(out, np.concatenate([x[4 + 7 * n], flat[112 - 7 * n], x[4 + order[:lanes]]]))


def test_pointers_in_a_cfunc():
    kind = simd.vector(np.float32, 16)
    pointer = types.CPointer(types.float32)

    @cfunc(types.void(pointer, pointer, types.int64))
    def double(x, out, n):
        for i in range(0, n, kind.lanes):
            live = kind.first_lanes(n - i)
            simd.store_masked(out, i, kind.load_masked(x, i, live) * 2, live)

    x, out = np.arange(37, dtype=np.float32), np.zeros(40, np.float32)
    double.ctypes(*(a.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for a in (x, out)), 37)
    np.testing.assert_array_equal(out, [*(2 * x), 0, 0, 0])


@pytest.mark.parametrize("layout", ("A", "F"))
def test_strided_lines_are_refused(layout):
    kind = simd.vector(np.float32, 4)
    array = types.Array(types.float32, 1 if layout == "A" else 2, layout)
    body = (lambda x: kind.load(x, 0)) if layout == "A" else (lambda x: kind.load(x, 0, 0))
    with pytest.raises(TypingError, match="last axis must be contiguous"):
        njit(body).compile((array,))


def test_read_only_arrays_are_refused():
    kind = simd.vector(np.float32, 4)
    with pytest.raises(TypingError, match="read-only"):
        njit(lambda x: simd.store(x, 0, kind(1))).compile((types.Array(types.float32, 1, "C", readonly=True),))
