"""Across the lanes of a register: sum, maximum, minimum; and transposing blocks.

The order of a reduction depends on the number of lanes and nothing else. With P the least power of two that is not
below it, lane i is combined with lane i + P/2, then lane i with lane i + P/4 of the result, and so on to one value.
Lanes missing to P hold the identity.
"""

import math

from llvmlite import ir
from numba import types

from .arithmetic import alike, maximum, minimum
from .memory import first_lanes, index, load_masked, store_masked
from .register import Scalar, constant, pick_lanes
from .staging import staged

I32, I64 = ir.IntType(32), ir.IntType(64)


def fold(x, combine, identity):
    """Combine the lanes in the order the module describes."""
    lanes = x.type.lanes
    width = 1 << (lanes - 1).bit_length()
    if width > lanes:
        x = pick_lanes(x, constant(x.builder, x.type, identity), [min(n, lanes) for n in range(width)])
    while width > 1:
        width //= 2
        x = combine(pick_lanes(x, x, range(width)), pick_lanes(x, x, range(width, 2 * width)))
    return Scalar(x.builder, x.type.dtype, x.builder.extract_element(x.value, ir.Constant(I32, 0)))


def least(vector_type):
    """The identity of maximum."""
    if vector_type.is_float:
        return -math.inf
    return -(1 << (vector_type.bits - 1)) if vector_type.is_signed else 0


@staged
def sum_lanes(x):
    """The sum of all lanes, as a scalar."""
    return fold(x, lambda a, b: a + b, -0.0 if x.type.is_float else 0)


@staged
def max_lanes(x):
    """The largest lane, as a scalar; NaN if any lane is NaN."""
    return fold(x, maximum, least(x.type))


@staged
def min_lanes(x):
    """The smallest lane, as a scalar; NaN if any lane is NaN."""
    greatest = -least(x.type) if x.type.is_float else -1 - least(x.type)
    return fold(x, minimum, greatest)


@staged
def transpose(rows):
    """Lane j of row i to lane i of row j: a tuple of as many vectors as they have lanes, a power of two, gives a tuple.

    Each round exchanges off-diagonal quarters of blocks twice the size: log2(lanes) rounds of `lanes` shuffles.
    """
    rows = alike(*rows)
    lanes = rows[0].type.lanes
    if len(rows) != lanes or lanes & (lanes - 1):
        raise TypeError(f"transpose: {len(rows)} vectors of {lanes} lanes, expected a power of two of both")
    step = 1
    while step < lanes:
        for r in range(lanes):
            if not r & step:
                x, y = rows[r], rows[r + step]
                rows[r] = pick_lanes(x, y, [lanes + j - step if j & step else j for j in range(lanes)])
                rows[r + step] = pick_lanes(x, y, [lanes + j if j & step else j + step for j in range(lanes)])
        step *= 2
    return tuple(rows)


def row_places(memory, first, second):
    """The function n -> place where row n of a block starts.

    That is (first + n, second) in a 2-D array, and (first + n * second,) in a pointer or a 1-D array.
    """
    builder, start = memory.builder, index(memory.builder, first)
    flat = not isinstance(memory.type, types.Array) or memory.type.ndim == 1

    def place(n):
        number = ir.Constant(I64, n)
        step = builder.mul(number, index(builder, second)) if flat else number
        row = Scalar(builder, types.int64, builder.add(start, step))
        return (row,) if flat else (row, second)

    return place


@staged
def transpose_block(vector_type, source, i, j, target, k, m, rows, columns):
    """target[k + c, m + r] = source[i + r, j + c] for r < rows, c < columns, both at most the lane count.

    Elements outside are neither read nor written. A 2-D array may have any row stride. Where source or target is a
    pointer or a 1-D array, its two numbers are the element the block starts at and the row stride in elements.
    """
    builder, lanes = source.builder, vector_type.lanes
    rows, columns = index(builder, rows), index(builder, columns)

    def live(count, n, limit):
        """The mask of the first `count` lanes, or none if row n is not below the limit."""
        below = builder.icmp_signed("<", ir.Constant(I64, n), limit)
        return first_lanes(vector_type, Scalar(builder, types.int64, builder.select(below, count, ir.Constant(I64, 0))))

    place = row_places(source, i, j)
    block = [load_masked(vector_type, source, *place(n), live(columns, n, rows)) for n in range(lanes)]
    place = row_places(target, k, m)
    for n, column in enumerate(transpose(tuple(block))):
        store_masked(target, *place(n), column, live(rows, n, columns))
