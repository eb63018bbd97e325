"""Sums, maxima and their positions, along rows or down columns. Threads split results, never a sum."""

from __future__ import annotations

import math

from .simd import any_lane, is_nan, max_lanes, maximum, multiply_add, store_masked, sum_lanes, vector
from .words import advance, columns, inlined, part, pointer, rows, share, stride_bytes

BLOCK = 4096  # elements summed in lanes before they join the total: rounding grows with this, not with the length
COLUMN_BLOCK = 256  # rows summed likewise


def row_sum(f, square=False):
    """Compiles to: the sum of count elements, or of their squares, as a float64 rounded once for each block."""
    lanes = f.lanes

    @inlined
    def total_of(x, count):
        total = 0.0
        for start in range(0, count, BLOCK):
            end = min(count, start + BLOCK)
            even, odd = f(0.0), f(0.0)
            j = start
            while j + 2 * lanes <= end:
                a, b = f.load(x, j), f.load(x, j + lanes)
                even, odd = (even + a * a, odd + b * b) if square else (even + a, odd + b)
                j += 2 * lanes
            while j < end:
                a = f.load_masked(x, j, f.first_lanes(end - j))
                even = even + a * a if square else even + a
                j += lanes
            total += sum_lanes(even + odd)
        return total

    return total_of


def row_max(f):
    """Compiles to: the largest of count elements, NaN if any is."""
    lanes = f.lanes

    @inlined
    def largest_of(x, count):
        # Four chains, because each comparison waits for the one before.
        first = second = third = fourth = f(float("-inf"))
        j = 0
        while j + 4 * lanes <= count:
            first, second = maximum(first, f.load(x, j)), maximum(second, f.load(x, j + lanes))
            third, fourth = maximum(third, f.load(x, j + 2 * lanes)), maximum(fourth, f.load(x, j + 3 * lanes))
            j += 4 * lanes
        while j < count:
            first = maximum(first, f.load_masked(x, j, f.first_lanes(count - j), float("-inf")))
            j += lanes
        return max_lanes(maximum(maximum(first, second), maximum(third, fourth)))

    return largest_of


def along_rows(make):
    """out_i = reduce(row i): operands x, out."""

    def build(f):
        reduce, size = make(f), f.bits // 8

        def kernel(words, thread, threads):
            x, out = pointer(f, words, 0), pointer(f, words, 1)
            first, last = share(columns(words, 1), thread, threads, 1)
            for i in range(first, last):
                out[i] = reduce(advance(x, i * stride_bytes(words, 0) // size), columns(words, 0))

        return kernel

    return build


def over_everything(make):
    """out = sum over rows of reduce(row): one thread, one result."""

    def build(f):
        reduce, size = make(f), f.bits // 8

        def kernel(words, thread, threads):
            if thread == 0:
                x, out = pointer(f, words, 0), pointer(f, words, 1)
                total = 0.0
                for i in range(rows(words, 0)):
                    total += reduce(advance(x, i * stride_bytes(words, 0) // size), columns(words, 0))
                out[0] = total

        return kernel

    return build


def max_of_everything(f):
    largest_of, size = row_max(f), f.bits // 8

    def kernel(words, thread, threads):
        if thread == 0:
            x, out = pointer(f, words, 0), pointer(f, words, 1)
            largest = x[0]
            for i in range(rows(words, 0)):
                candidate = largest_of(advance(x, i * stride_bytes(words, 0) // size), columns(words, 0))
                if candidate > largest or candidate != candidate:
                    largest = candidate
                if largest != largest:
                    break
            out[0] = largest

    return kernel


def column_sum(f):
    """Compiles to: out_j = sum over rows of the columns j in [first, last)."""
    lanes = f.lanes

    @inlined
    def sums(x, stride, height, first, last, out):
        for j in range(first, last, lanes):
            live = f.first_lanes(last - j)
            total = f(0.0)
            for start in range(0, height, COLUMN_BLOCK):
                part, other = f(0.0), f(0.0)
                i, end = start, min(height, start + COLUMN_BLOCK)
                while i + 2 <= end:
                    part = part + f.load_masked(x, i * stride + j, live)
                    other = other + f.load_masked(x, (i + 1) * stride + j, live)
                    i += 2
                if i < end:
                    part = part + f.load_masked(x, i * stride + j, live)
                total = total + (part + other)
            store_masked(out, j, total, live)

    return sums


def sum_columns(f):
    sums, size, lanes = column_sum(f), f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        first, last = share(columns(words, 0), thread, threads, 4 * lanes)
        x, out = pointer(f, words, 0), pointer(f, words, 1)
        sums(x, stride_bytes(words, 0) // size, rows(words, 0), first, last, out)

    return kernel


def max_columns(f):
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        x, out, stride = pointer(f, words, 0), pointer(f, words, 1), stride_bytes(words, 0) // size
        first, last = share(columns(words, 0), thread, threads, 4 * lanes)
        for j in range(first, last, lanes):
            live = f.first_lanes(last - j)
            largest = f.load_masked(x, j, live)
            for i in range(1, rows(words, 0)):
                largest = maximum(largest, f.load_masked(x, i * stride + j, live))
            store_masked(out, j, largest, live)

    return kernel


def argmax_row(f):
    """Compiles to: the first position of the row's largest element, or of its first NaN."""
    largest_of, lanes = row_max(f), f.lanes

    @inlined
    def position_of(x, count):
        largest = largest_of(x, count)
        nan = largest != largest
        for j in range(0, count, lanes):
            v = f.load_masked(x, j, f.first_lanes(count - j), float("-inf"))
            if any_lane(is_nan(v)) if nan else any_lane(v == f(largest)):
                for at in range(j, min(count, j + lanes)):
                    if x[at] == largest or (nan and x[at] != x[at]):
                        return at
        return 0

    return position_of


def argmax_rows(f):
    position_of, size = argmax_row(f), f.bits // 8
    positions = vector("int64", 1)

    def kernel(words, thread, threads):
        x, out = pointer(f, words, 0), pointer(positions, words, 1)
        first, last = share(columns(words, 1), thread, threads, 1)
        for i in range(first, last):
            out[i] = position_of(advance(x, i * stride_bytes(words, 0) // size), columns(words, 0))

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


def dot(f):
    """Operands: a, b, out. One thread: a sum is never split."""
    lanes = f.lanes

    def kernel(words, thread, threads):
        if thread == 0:
            a, b, out, count = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2), columns(words, 0)
            total = 0.0
            for start in range(0, count, BLOCK):
                end = min(count, start + BLOCK)
                first = second = third = fourth = f(0.0)
                j = start
                while j + 4 * lanes <= end:
                    first = multiply_add(f.load(a, j), f.load(b, j), first)
                    second = multiply_add(f.load(a, j + lanes), f.load(b, j + lanes), second)
                    third = multiply_add(f.load(a, j + 2 * lanes), f.load(b, j + 2 * lanes), third)
                    fourth = multiply_add(f.load(a, j + 3 * lanes), f.load(b, j + 3 * lanes), fourth)
                    j += 4 * lanes
                while j < end:
                    live = f.first_lanes(end - j)
                    first = multiply_add(f.load_masked(a, j, live), f.load_masked(b, j, live), first)
                    j += lanes
                total += sum_lanes((first + second) + (third + fourth))
            out[0] = total

    return kernel


def squares(f):
    return row_sum(f, square=True)


def watch_finite(f):
    """Operands: x, flag."""
    size, lanes = f.bits // 8, f.lanes

    def kernel(words, thread, threads):
        flag = pointer(f, words, 1)
        first, last, left, right = part(rows(words, 0), columns(words, 0), thread, threads)
        total = f(0.0)
        for i in range(first, last):
            x = advance(pointer(f, words, 0), i * stride_bytes(words, 0) // size)
            for j in range(left, right, lanes):
                value = f.load_masked(x, j, f.first_lanes(right - j))
                total = total + (value - value)  # 0, or NaN where value is not finite
        if not sum_lanes(total) == 0.0:
            flag[0] = math.nan

    return kernel


BUILDERS = {
    "watch_finite": watch_finite,
    "dot": dot,
    "sum_rows": along_rows(row_sum),
    "sum_columns": sum_columns,
    "sum_all": over_everything(row_sum),
    "max_rows": along_rows(row_max),
    "max_columns": max_columns,
    "max_all": max_of_everything,
    "argmax_rows": argmax_rows,
    "argmax_columns": argmax_columns,
    "sum_of_squares": over_everything(squares),
}
