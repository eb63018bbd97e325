"""Row kernels: softmax and its relatives, gather and scatter, transposition, masks, copies between dtypes."""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir

from ..contract.random import GOLDEN_GAMMA, MULTIPLIER_1, MULTIPLIER_2
from .reductions import row_max
from .simd import convert, exp, select, staged, store_masked, sum_lanes, transpose_block, vector
from .simd.register import Register
from .words import advance, columns, inlined, number, pointer, rows, share, stride_bytes


def exponentials(f):
    """Compiles to: out_j = e**(x_j - largest), and their sum."""
    lanes = f.lanes

    @inlined
    def fill(x, largest, out, count):
        total = f(0.0)
        for j in range(0, count, lanes):
            live = f.first_lanes(count - j)
            e = exp(f.load_masked(x, j, live, float("-inf")) - largest)
            store_masked(out, j, e, live)
            total = total + select(live, e, 0.0)
        return sum_lanes(total)

    return fill


def softmax(f):
    largest_of, fill, size, lanes = row_max(f), exponentials(f), f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        x, out, count = pointer(f, words, 0), pointer(f, words, 1), columns(words, 0)
        first, last = share(rows(words, 0), thread, threads, 1)
        for i in range(first, last):
            source, target = (
                advance(x, i * stride_bytes(words, 0) // size),
                advance(out, i * stride_bytes(words, 1) // size),
            )
            total = fill(source, largest_of(source, count), target, count)
            for j in range(0, count, lanes):
                live = f.first_lanes(count - j)
                store_masked(target, j, f.load_masked(target, j, live) / total, live)

    return kernel


def log_softmax(f):
    largest_of, size, lanes = row_max(f), f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        x, out, count = pointer(f, words, 0), pointer(f, words, 1), columns(words, 0)
        first, last = share(rows(words, 0), thread, threads, 1)
        for i in range(first, last):
            source, target = (
                advance(x, i * stride_bytes(words, 0) // size),
                advance(out, i * stride_bytes(words, 1) // size),
            )
            largest, sums = largest_of(source, count), f(0.0)
            for j in range(0, count, lanes):
                live = f.first_lanes(count - j)
                sums = sums + select(live, exp(f.load_masked(source, j, live) - largest), 0.0)
            shift = math.log(sum_lanes(sums))
            for j in range(0, count, lanes):
                live = f.first_lanes(count - j)
                # In two steps: largest and shift differ in size.
                store_masked(target, j, (f.load_masked(source, j, live) - largest) - shift, live)

    return kernel


def softmax_gradient(f):
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        grad, y, out, count = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2), columns(words, 0)
        first, last = share(rows(words, 0), thread, threads, 1)
        for i in range(first, last):
            g, p = advance(grad, i * stride_bytes(words, 0) // size), advance(y, i * stride_bytes(words, 1) // size)
            target, inner = advance(out, i * stride_bytes(words, 2) // size), f(0.0)
            for j in range(0, count, lanes):
                live = f.first_lanes(count - j)
                inner = inner + f.load_masked(g, j, live) * f.load_masked(p, j, live)
            along = sum_lanes(inner)
            for j in range(0, count, lanes):
                live = f.first_lanes(count - j)
                store_masked(target, j, f.load_masked(p, j, live) * (f.load_masked(g, j, live) - along), live)

    return kernel


def log_softmax_gradient(f):
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        grad, y, out, count = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2), columns(words, 0)
        first, last = share(rows(words, 0), thread, threads, 1)
        for i in range(first, last):
            g, p = advance(grad, i * stride_bytes(words, 0) // size), advance(y, i * stride_bytes(words, 1) // size)
            target, inner = advance(out, i * stride_bytes(words, 2) // size), f(0.0)
            for j in range(0, count, lanes):
                inner = inner + f.load_masked(g, j, f.first_lanes(count - j))
            along = sum_lanes(inner)
            for j in range(0, count, lanes):
                live = f.first_lanes(count - j)
                store_masked(target, j, f.load_masked(g, j, live) - exp(f.load_masked(p, j, live)) * along, live)

    return kernel


def gather_rows(f):
    size, lanes, numbers = f.bits // 8, f.lanes, vector("int64", 1)

    def kernel(words, thread, threads):
        table, indices, out = pointer(f, words, 0), pointer(numbers, words, 1), pointer(f, words, 2)
        count = columns(words, 2)
        first, last = share(rows(words, 2), thread, threads, 1)
        for i in range(first, last):
            source, target = (
                advance(table, indices[i] * stride_bytes(words, 0) // size),
                advance(out, i * stride_bytes(words, 2) // size),
            )
            for j in range(0, count, lanes):
                live = f.first_lanes(count - j)
                store_masked(target, j, f.load_masked(source, j, live), live)

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
    size, lanes, numbers = f.bits // 8, f.lanes, vector("int64", 1)

    def kernel(words, thread, threads):
        source, indices, out = pointer(f, words, 0), pointer(numbers, words, 1), pointer(f, words, 2)
        first, last = share(columns(words, 2), thread, threads, 4 * lanes)
        for i in range(rows(words, 2)):
            target = advance(out, i * stride_bytes(words, 2) // size)
            for j in range(first, last, lanes):
                store_masked(target, j, f(0.0), f.first_lanes(last - j))
        for i in range(rows(words, 0)):
            row = advance(source, i * stride_bytes(words, 0) // size)
            target = advance(out, indices[i] * stride_bytes(words, 2) // size)
            for j in range(first, last, lanes):
                live = f.first_lanes(last - j)
                store_masked(target, j, f.load_masked(target, j, live) + f.load_masked(row, j, live), live)

    return kernel


def transpose(f):
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        x, out, height, width = pointer(f, words, 0), pointer(f, words, 1), rows(words, 0), columns(words, 0)
        x_row, out_row = stride_bytes(words, 0) // size, stride_bytes(words, 1) // size
        first, last = share(height, thread, threads, lanes)
        for i in range(first, last, lanes):
            for j in range(0, width, lanes):
                deep, wide = min(lanes, height - i), min(lanes, width - j)
                transpose_block(f, x, i * x_row + j, x_row, out, j * out_row + i, out_row, deep, wide)

    return kernel


def one_hot(f):
    size, lanes, numbers = f.bits // 8, f.lanes, vector("int64", 1)

    def kernel(words, thread, threads):
        labels, out, count = pointer(numbers, words, 0), pointer(f, words, 1), columns(words, 1)
        first, last = share(rows(words, 1), thread, threads, 1)
        for i in range(first, last):
            target = advance(out, i * stride_bytes(words, 1) // size)
            for j in range(0, count, lanes):
                store_masked(target, j, f(0.0), f.first_lanes(count - j))
            target[labels[i]] = 1.0

    return kernel


def fill(f):
    """Operands: value, out."""
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        value, out, count = f(number(words, 0)), pointer(f, words, 1), columns(words, 1)
        first, last = share(rows(words, 1), thread, threads, 1)
        for i in range(first, last):
            target = advance(out, i * stride_bytes(words, 1) // size)
            for j in range(0, count, lanes):
                store_masked(target, j, value, f.first_lanes(count - j))

    return kernel


def cast_to(dtype):
    """Builds the kernel that copies rows of the vector type's dtype to another."""

    def build(f):
        g = f.with_dtype(dtype)
        size, out_size, lanes = f.bits // 8, g.bits // 8, f.lanes

        def kernel(words, thread, threads):
            x, out, count = pointer(f, words, 0), pointer(g, words, 1), columns(words, 0)
            first, last = share(rows(words, 0), thread, threads, 1)
            for i in range(first, last):
                source = advance(x, i * stride_bytes(words, 0) // size)
                target = advance(out, i * stride_bytes(words, 1) // out_size)
                for j in range(0, count, lanes):
                    live = f.first_lanes(count - j)
                    store_masked(target, j, convert(f.load_masked(source, j, live), g), live)

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


def dropout_mask(f):
    """Operands: counter, the seed's upper and lower 32 bits, rate, out."""
    size, lanes = f.bits // 8, f.lanes
    u, doubles = f.with_dtype("uint32"), vector("float64", 1)

    def kernel(words, thread, threads):
        counter, out, rate = pointer(doubles, words, 0), pointer(f, words, 4), number(words, 3)
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


BUILDERS = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "softmax_gradient": softmax_gradient,
    "log_softmax_gradient": log_softmax_gradient,
    "gather_rows": gather_rows,
    "gather_labels": gather_labels,
    "scatter_add_rows": scatter_add_rows,
    "transpose": transpose,
    "one_hot": one_hot,
    "fill": fill,
    "cast_to_float32": cast_to("float32"),
    "cast_to_float64": cast_to("float64"),
    "dropout_mask": dropout_mask,
}
