"""Row kernels: softmax and its relatives, gather and scatter, transposition, masks, copies between dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from ...contract.dtypes import FLOAT_NAMES
from ...contract.random import GOLDEN_GAMMA, MULTIPLIER_1, MULTIPLIER_2
from ..native.calling_convention import (
    advance,
    columns,
    inlined,
    number,
    pointer,
    row,
    rows,
    share,
    stack,
    stride_bytes,
)
from ..simd import (
    convert,
    exp,
    first_lanes,
    load_masked,
    log,
    select,
    staged,
    store,
    store_masked,
    transpose_block,
    vector,
)
from ..simd import transpose as transpose_lanes
from ..simd.register import Register, Scalar
from .entry import ITEMS, ROWS, Arrangement, Entry, Split, by_first
from .row_passes import row_max, row_pass

I64 = ir.IntType(64)
DOUBLES = vector("float64", 1)
# Vectors: rows up to this width are put side by side, which saves folding lanes. With 2 in its place softmax of 256x60
# takes 36 % longer; with 8, softmax of 256x100 takes 5 % less, for twice the stack (`benchmarks/constants.py
# rows.NARROW`, a 2-core Xeon with AVX-512).
NARROW = 4


@staged
def rows_to_lanes(vector, source, stride, height, count, target):
    """target[j * lanes + r] = source[r * stride + j] for j < count; the last of the rows fills lanes to spare."""
    builder, live = source.builder, first_lanes(vector, count)
    block = []
    for r in range(vector.lanes):
        below = builder.icmp_signed("<", ir.Constant(I64, r), height.value)
        which = builder.select(below, ir.Constant(I64, r), builder.sub(height.value, ir.Constant(I64, 1)))
        place = Scalar(builder, types.int64, builder.mul(which, stride.value))
        block.append(load_masked(vector, source, place, live))
    for j, column in enumerate(transpose_lanes(tuple(block))):
        store(target, j * vector.lanes, column)


def over_rows(f, body, target):
    """Builds the kernel that calls ``body(f, words, i, height, across, count, x, out)`` for all rows.

    x and out point to ``count`` elements of operands 0 and ``target``: to row i, which is across the lanes, or to
    copies of rows i to i + height, each in a lane.
    """
    lanes, size, widest = f.lanes, f.bits // 8, NARROW * f.lanes
    block_elements = widest * lanes

    def kernel(words, thread, threads):
        width, block = columns(words, target), stack(f, block_elements)
        x_stride, out_stride = stride_bytes(words, 0) // size, stride_bytes(words, target) // size
        across = width > widest
        step = 1 if across else lanes
        first, last = share(rows(words, target), thread, threads, 1)
        for i in range(first, last, step):
            x, out, height = row(f, words, 0, i), row(f, words, target, i), min(step, last - i)
            source, result = x, out
            if not across:
                source, result = block, block
                for j in range(0, width, lanes):
                    rows_to_lanes(f, advance(x, j), x_stride, height, width - j, advance(block, j * lanes))
            body(f, words, i, height, across, width * step, source, result)
            if not across:
                for j in range(0, width, lanes):
                    transpose_block(f, block, j * lanes, lanes, out, j, out_stride, min(lanes, width - j), height)

    return kernel


def _exponential(x, largest):
    e = exp(x - largest)
    return e, e


exponentials = row_pass(_exponential, sums=1)  # out_j = e**(x_j - largest), and their sum


def softmax(f):
    scale = row_pass(lambda e, factor: (e * factor,))

    @staged
    def body(f, words, i, height, across, count, x, out):
        (total,) = exponentials(f, count, across, (x,), (out,), (row_max(f, count, across, x),))
        scale(f, count, across, (out,), (out,), (1.0 / total,))

    return over_rows(f, body, 1)


def log_softmax(f):
    sum_up = row_pass(lambda x, largest: (exp(x - largest),), sums=1)
    # In two steps: largest and shift differ in size.
    lower = row_pass(lambda x, largest, shift: ((x - largest) - shift,))

    @staged
    def body(f, words, i, height, across, count, x, out):
        largest = row_max(f, count, across, x)
        (total,) = sum_up(f, count, across, (x,), (), (largest,))
        lower(f, count, across, (x,), (out,), (largest, log(total)))

    return over_rows(f, body, 1)


def gradient(inner, project):
    """Builds the kernel out = project(grad, y, the row's sum of inner(grad, y)); operands: grad, y, out."""
    sum_up = row_pass(lambda grad, y: (inner(grad, y),), sums=1)
    finish = row_pass(lambda grad, y, total: (project(grad, y, total),))

    def build(f):
        def kernel(words, thread, threads):
            count = columns(words, 0)
            first, last = share(rows(words, 0), thread, threads, 1)
            for i in range(first, last):
                grad, y, out = row(f, words, 0, i), row(f, words, 1, i), row(f, words, 2, i)
                total = sum_up(f, count, True, (grad, y), (), ())
                finish(f, count, True, (grad, y), (out,), total)

        return kernel

    return build


copy = row_pass(lambda x: (x,))
repeat = row_pass(lambda value: (value,))
add = row_pass(lambda x, y: (x + y,))


def gather_rows(f):
    numbers = vector("int64", 1)

    def kernel(words, thread, threads):
        indices, count = pointer(numbers, words, 1), columns(words, 2)
        first, last = share(rows(words, 2), thread, threads, 1)
        for i in range(first, last):
            copy(f, count, True, (row(f, words, 0, indices[i]),), (row(f, words, 2, i),), ())

    return kernel


def gather_labels(f):
    numbers = vector("int64", 1)

    def kernel(words, thread, threads):
        labels, indices, out = pointer(numbers, words, 0), pointer(numbers, words, 1), pointer(numbers, words, 2)
        first, last = share(columns(words, 2), thread, threads, 1)
        for i in range(first, last):
            out[i] = labels[indices[i]]

    return kernel


def scatter_add_rows(f):
    """Threads split the columns, so that rows which share an index are added in order."""
    lanes, numbers = f.lanes, vector("int64", 1)

    def kernel(words, thread, threads):
        indices, zero = pointer(numbers, words, 1), f(0.0)
        first, last = share(columns(words, 2), thread, threads, 4 * lanes)
        for i in range(rows(words, 2)):
            repeat(f, last - first, True, (), (advance(row(f, words, 2, i), first),), (zero,))
        for i in range(rows(words, 0)):
            x, out = advance(row(f, words, 0, i), first), advance(row(f, words, 2, indices[i]), first)
            add(f, last - first, True, (out, x), (out,), ())

    return kernel


def to_indices(f):
    """Operands: x, limit, out."""
    numbers = vector("int64", 1)

    def kernel(words, thread, threads):
        x, limit, out = pointer(f, words, 0), number(words, 1), pointer(numbers, words, 2)
        first, last = share(columns(words, 0), thread, threads, 1)
        for i in range(first, last):
            value = x[i]
            inside = value >= 0.0 and value < limit
            found = np.int64(value) if inside else np.int64(limit)
            out[i] = found if not inside or found == value else np.int64(limit)

    return kernel


def transpose(f):
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        x, out, height, width = pointer(f, words, 0), pointer(f, words, 1), rows(words, 0), columns(words, 0)
        x_row, out_row = stride_bytes(words, 0) // size, stride_bytes(words, 1) // size
        first, last = share(height, thread, threads, 1)
        for i in range(first, last, lanes):
            for j in range(0, width, lanes):
                deep, wide = min(lanes, last - i), min(lanes, width - j)
                transpose_block(f, x, i * x_row + j, x_row, out, j * out_row + i, out_row, deep, wide)

    return kernel


def one_hot(f):
    numbers = vector("int64", 1)

    def kernel(words, thread, threads):
        labels, zero = pointer(numbers, words, 0), f(0.0)
        first, last = share(rows(words, 1), thread, threads, 1)
        for i in range(first, last):
            out = row(f, words, 1, i)
            repeat(f, columns(words, 1), True, (), (out,), (zero,))
            out[labels[i]] = 1.0

    return kernel


def fill(f):
    """Operands: value, out."""

    def kernel(words, thread, threads):
        value = f(number(words, 0))
        first, last = share(rows(words, 1), thread, threads, 1)
        for i in range(first, last):
            repeat(f, columns(words, 1), True, (), (row(f, words, 1, i),), (value,))

    return kernel


def cast_to(dtype):
    """Builds the kernel that copies rows of the vector type's dtype to another."""

    def build(f):
        g = f.with_dtype(dtype)
        converted = row_pass(lambda x: (convert(x, g),))

        def kernel(words, thread, threads):
            first, last = share(rows(words, 0), thread, threads, 1)
            for i in range(first, last):
                converted(f, columns(words, 0), True, (row(f, words, 0, i),), (row(g, words, 1, i),), ())

        return kernel

    return build


# ---- dropout ------------------------------------------------------------------------------------------------------


@staged
def counting_from(vector_type, first):
    """first, first + 1, first + 2, ... in the lanes."""
    lanes = Register(first.builder, vector_type, ir.Constant(vector_type.llvm, list(range(vector_type.lanes))))
    return lanes + first


@staged
def mix(x):
    """kernels.contract.random.mix on vectors of uint32."""
    x = (x ^ (x >> 16)) * MULTIPLIER_1
    x = (x ^ (x >> 15)) * MULTIPLIER_2
    return x ^ (x >> 16)


@inlined
def draw_key(seed, counter):
    """kernels.contract.random.key."""
    z = seed + (counter + np.uint64(1)) * np.uint64(GOLDEN_GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.uint32(z >> np.uint64(32)), np.uint32(z)


@inlined
def constant_rate(words):
    return number(words, 3)


@inlined
def scheduled_rate(words):
    return pointer(DOUBLES, words, 3)[0]


def dropout_mask(rate_of):
    """Operands: counter, the seed's upper and lower 32 bits, rate, out."""

    def build(f):
        size, lanes = f.bits // 8, f.lanes
        u = f.with_dtype("uint32")

        def kernel(words, thread, threads):
            counter, out, rate = pointer(DOUBLES, words, 0), pointer(f, words, 4), rate_of(words)
            seed = (np.uint64(number(words, 1)) << np.uint64(32)) | np.uint64(number(words, 2))
            key_0, key_1 = draw_key(seed, np.uint64(counter[0]))
            below, kept, count = u(np.uint32(rate * 4294967296.0)), f(1.0 / (1.0 - rate)), columns(words, 4)
            first, last = share(rows(words, 4), thread, threads, 1)
            for i in range(first, last):
                target = advance(out, i * stride_bytes(words, 4) // size)
                for j in range(0, count, lanes):
                    bits = mix(mix(counting_from(u, np.uint32(i * count + j)) ^ key_0) + key_1)
                    store_masked(target, j, select(bits < below, f(0.0), kept), f.first_lanes(count - j))

        return kernel

    return build


# ---- how a call's arguments become operands, and how threads split it -----------------------------------------------


def cast_arranged(x: Any, out: Any) -> Arrangement:
    return f"cast_to_{out.dtype.name}", x.dtype.char, (x, out), x.size


def dropout_mask_arranged(counter: Any, seed: int, rate: float, out: Any) -> Arrangement:
    return "dropout_mask", out.dtype.char, (counter, *halves(seed), rate, out), out.size


def scheduled_dropout_mask_arranged(counter: Any, rate: Any, seed: int, out: Any) -> Arrangement:
    return "scheduled_dropout_mask", out.dtype.char, (counter, *halves(seed), rate, out), out.size


def halves(seed: int) -> tuple[float, float]:
    """The upper and the lower 32 bits, each exact as a number."""
    return float(seed >> 32), float(seed & 0xFFFFFFFF)


EACH_ROW, OF_TWO = Split(ROWS, 1, ("i*", "i*")), Split(ROWS, 2, ("i*",) * 3)
CAST = Split(ROWS, 0, ("i*", "i*"))
ENTRIES = {
    "softmax": Entry(softmax, EACH_ROW),
    "log_softmax": Entry(log_softmax, EACH_ROW),
    "softmax_gradient": Entry(gradient(lambda grad, y: grad * y, lambda grad, y, total: y * (grad - total)), OF_TWO),
    "log_softmax_gradient": Entry(gradient(lambda grad, y: grad, lambda grad, y, total: grad - exp(y) * total), OF_TWO),
    "gather_rows": Entry(gather_rows, Split(ROWS, 2, ("**", "*i", "i*"))),
    "gather_labels": Entry(gather_labels, Split(ITEMS, 2, ("**", "*i", "*i"))),
    "scatter_add_rows": Entry(scatter_add_rows),
    "to_indices": Entry(to_indices, Split(ITEMS, 0, ("*i", "", "*i")), by_first("to_indices")),
    "transpose": Entry(transpose, Split(ROWS, 0, ("i*", "*i"))),
    "one_hot": Entry(one_hot, Split(ROWS, 1, ("*i", "i*"))),
    "fill": Entry(fill, EACH_ROW),
    **{f"cast_to_{dtype}": Entry(cast_to(dtype), CAST) for dtype in FLOAT_NAMES},
    "dropout_mask": Entry(dropout_mask(constant_rate), Split(ROWS, 4, ("**", "", "", "", "i*")), dropout_mask_arranged),
    "scheduled_dropout_mask": Entry(
        dropout_mask(scheduled_rate), Split(ROWS, 4, ("**", "", "", "**", "i*")), scheduled_dropout_mask_arranged
    ),
}
ARRANGEMENTS = {"cast": cast_arranged}
