"""Sums, maxima and their positions, along rows or down columns. Threads split results, never a sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types

from ..native.calling_convention import advance, columns, inlined, pointer, row, rows, share, stride_bytes
from ..simd import all_lanes, any_lane, is_nan, maximum, staged, vector
from ..simd.arithmetic import mask_bits
from ..simd.register import Scalar, declare
from .entry import ALONE, COLUMNS, ROWS, Arrangement, Entry, Split
from .row_passes import first_lane, over_columns, read, row_max, row_pass, write

# Elements summed in lanes before they join the total: rounding grows with this, not with the length. A lane of 16 in
# four chains adds 64 numbers, and adding up the lanes is a small part of the block's time.
BLOCK = 4096
COLUMN_BLOCK = 256  # rows summed likewise: each of two chains adds 128 numbers
# Elements that argmax goes over twice, those of the block that has the largest: 4 KiB of float32 are still in the
# cache.
SEARCHED = 1024


def row_sum(f, term=lambda x, y: x):
    """Compiles to: the sum of term(x_j, y_j) over count elements, as a float64 rounded once for each block."""
    sum_up = row_pass(lambda x, y: (term(x, y),), sums=1)

    @inlined
    def total_of(x, y, count):
        total = 0.0
        for start in range(0, count, BLOCK):
            sources = advance(x, start), advance(y, start)
            (part,) = sum_up(f, min(BLOCK, count - start), True, sources, (), ())
            total += first_lane(part)
        return total

    return total_of


def sum_rows(f, mean=False):
    """out_i = the sum of row i, or its mean: operands x, out."""
    total_of = row_sum(f)

    def kernel(words, thread, threads):
        out, count = pointer(f, words, 1), columns(words, 0)
        first, last = share(columns(words, 1), thread, threads, 1)
        for i in range(first, last):
            x = row(f, words, 0, i)
            out[i] = total_of(x, x, count) / (count if mean else 1)

    return kernel


def sum_all(term=lambda x, y: x, pair=False, mean=False):
    """Builds out = the sum of term(x, y) over everything, on one thread: operands x, y if it is a pair, out."""
    second, last = (1, 2) if pair else (0, 1)

    def build(f):
        total_of = row_sum(f, term)

        def kernel(words, thread, threads):
            if thread == 0:
                out, total = pointer(f, words, last), 0.0
                for i in range(rows(words, 0)):
                    total += total_of(row(f, words, 0, i), row(f, words, second, i), columns(words, 0))
                out[0] = total / (rows(words, 0) * columns(words, 0) if mean else 1)

        return kernel

    return build


def max_rows(f):
    """out_i = the largest of row i: operands x, out."""

    def kernel(words, thread, threads):
        out = pointer(f, words, 1)
        first, last = share(columns(words, 1), thread, threads, 1)
        for i in range(first, last):
            out[i] = first_lane(row_max(f, columns(words, 0), True, row(f, words, 0, i)))

    return kernel


def max_all(f):
    """out = the largest of everything: operands x, out."""

    def kernel(words, thread, threads):
        if thread == 0:
            out, largest = pointer(f, words, 1), f(-math.inf)
            for i in range(rows(words, 0)):
                largest = maximum(largest, row_max(f, columns(words, 0), True, row(f, words, 0, i)))
            out[0] = first_lane(largest)

    return kernel


@inlined
def column_sum(v, x, stride, height, live):
    """The sums of the columns at x, as many as v has lanes."""
    total = v(0.0)
    for start in range(0, height, COLUMN_BLOCK):
        even, odd = v(0.0), v(0.0)
        i, end = start, min(height, start + COLUMN_BLOCK)
        while i + 2 <= end:
            even, odd = even + read(v, x, i * stride, live), odd + read(v, x, (i + 1) * stride, live)
            i += 2
        if i < end:
            even = even + read(v, x, i * stride, live)
        total = total + (even + odd)
    return total


def lerp_gradient(f):
    """Operands: grad, start, end, weight, out, end_gradient, weight_gradient."""
    size = f.bits // 8

    @inlined
    def block(v, words, j, live):
        grad, start = advance(pointer(v, words, 0), j), advance(pointer(v, words, 1), j)
        end = advance(pointer(v, words, 2), j)
        out, end_gradient = advance(pointer(v, words, 4), j), advance(pointer(v, words, 5), j)
        grad_row, start_row, end_row = (
            stride_bytes(words, 0) // size,
            stride_bytes(words, 1) // size,
            stride_bytes(words, 2) // size,
        )
        out_row, end_gradient_row = stride_bytes(words, 4) // size, stride_bytes(words, 5) // size
        weight, total = read(v, pointer(v, words, 3), j, live), v(0.0)
        for i in range(rows(words, 0)):
            g = read(v, grad, i * grad_row, live)
            part = g * weight
            write(end_gradient, i * end_gradient_row, part, live)
            write(out, i * out_row, g - part, live)
            total = total + g * (read(v, end, i * end_row, live) - read(v, start, i * start_row, live))
        write(pointer(v, words, 6), j, total, live)

    return over_columns(f, block)


def sum_columns(f, mean=False):
    """out_j = the sum of column j, or its mean: operands x, out."""
    size = f.bits // 8

    @inlined
    def block(v, words, j, live):
        x, out = advance(pointer(v, words, 0), j), pointer(v, words, 1)
        total = column_sum(v, x, stride_bytes(words, 0) // size, rows(words, 0), live)
        write(out, j, total / (rows(words, 0) if mean else 1), live)

    return over_columns(f, block)


def max_columns(f):
    size = f.bits // 8

    @inlined
    def block(v, words, j, live):
        x, out, stride = advance(pointer(v, words, 0), j), pointer(v, words, 1), stride_bytes(words, 0) // size
        largest = read(v, x, 0, live)
        for i in range(1, rows(words, 0)):
            largest = maximum(largest, read(v, x, i * stride, live))
        write(out, j, largest, live)

    return over_columns(f, block)


@staged
def first_true(mask):
    """The number of the first lane that is true; some lane is."""
    bits = mask_bits(mask)
    name, flag = f"llvm.cttz.i{bits.type.width}", ir.IntType(1)
    function = declare(mask.builder, name, bits.type, [bits.type, flag])
    count = mask.builder.call(function, [bits, ir.Constant(flag, 1)])
    return Scalar(mask.builder, types.int64, mask.builder.zext(count, ir.IntType(64)))


def argmax_row(f):
    """Compiles to: the first position of the row's largest element, or of its first NaN."""
    lanes = f.lanes

    @inlined
    def position_of(x, count):
        # Only the block that has the maximum is gone over again.
        block, largest = 0, row_max(f, min(SEARCHED, count), True, x)
        for start in range(SEARCHED, count, SEARCHED):
            candidate = row_max(f, min(SEARCHED, count - start), True, advance(x, start))
            if not any_lane(is_nan(largest)) and not all_lanes(candidate <= largest):
                block, largest = start, candidate
        for j in range(block, count, lanes):
            v = f.load_masked(x, j, f.first_lanes(count - j), -math.inf)
            found = (v == largest) | (is_nan(v) & is_nan(largest))
            if any_lane(found):
                return j + first_true(found)
        return 0

    return position_of


def argmax_rows(f):
    """out_i = the position of the largest of row i: operands x, out."""
    position_of, positions = argmax_row(f), vector("int64", 1)

    def kernel(words, thread, threads):
        out = pointer(positions, words, 1)
        first, last = share(columns(words, 1), thread, threads, 1)
        for i in range(first, last):
            out[i] = position_of(row(f, words, 0, i), columns(words, 0))

    return kernel


def argmax_all(f):
    """out = the position of the largest of everything, counted row after row: operands x, out."""
    position_of, positions = argmax_row(f), vector("int64", 1)

    def kernel(words, thread, threads):
        if thread == 0:
            width, best, largest = columns(words, 0), 0, row(f, words, 0, 0)[0]
            for i in range(rows(words, 0)):
                x = row(f, words, 0, i)
                position = position_of(x, width)
                if largest == largest and not x[position] <= largest:
                    best, largest = i * width + position, x[position]
                elif i == 0:
                    best = position
            pointer(positions, words, 1)[0] = best

    return kernel


def argmax_columns(f):
    """Plain loops: positions down columns are asked for too rarely to be worth vectors."""
    size = f.bits // 8
    positions = vector("int64", 1)

    def kernel(words, thread, threads):
        x, out, stride = pointer(f, words, 0), pointer(positions, words, 1), stride_bytes(words, 0) // size
        first, last = share(columns(words, 0), thread, threads, 16)
        for j in range(first, last):
            best, largest = 0, x[j]
            for i in range(1, rows(words, 0)):
                value = x[i * stride + j]
                if largest == largest and not value <= largest:
                    best, largest = i, value
            out[j] = best

    return kernel


def arranged(name: str) -> Callable[..., Arrangement]:
    """One kernel for each axis."""

    def arrange(x: Any, axis: int | None, out: Any) -> Arrangement:
        which = "all" if axis is None or x.ndim == 1 else "rows" if axis else "columns"
        return f"{name}_{which}", x.dtype.char, (x, out), x.size

    return arrange


EACH_ROW, EACH_COLUMN, ONE = Split(ROWS, 0, ("i*", "*i")), Split(COLUMNS, 0, ("*j", "*j")), Split(ALONE)
ENTRIES = {
    "dot": Entry(sum_all(lambda x, y: x * y, pair=True), ONE),
    "sum_rows": Entry(sum_rows, EACH_ROW),
    "sum_columns": Entry(sum_columns, EACH_COLUMN),
    "sum_all": Entry(sum_all(), ONE),
    "mean_rows": Entry(partial(sum_rows, mean=True), EACH_ROW),
    "mean_columns": Entry(partial(sum_columns, mean=True), EACH_COLUMN),
    "mean_all": Entry(sum_all(mean=True), ONE),
    "max_rows": Entry(max_rows, EACH_ROW),
    "max_columns": Entry(max_columns, EACH_COLUMN),
    "max_all": Entry(max_all, ONE),
    "argmax_rows": Entry(argmax_rows, EACH_ROW),
    "argmax_columns": Entry(argmax_columns),
    "argmax_all": Entry(argmax_all, ONE),
    "sum_of_squares": Entry(sum_all(lambda x, y: x * x), ONE),
    "lerp_gradient": Entry(lerp_gradient, Split(COLUMNS, 0, ("*j",) * 7)),
}
ARRANGEMENTS = {name: arranged(name) for name in ("sum", "mean", "max", "argmax")}
