"""Tiles of bfloat16 products: sums[32, 32] = A B, from packed words (``simd.bfloat16``).

A packed tile is 16 x 16 words, 1 KiB: of A a row for each of 16 rows, of B a row for each of 16 pairs along k, 16
columns wide. That is what AMX's tile registers take, and other CPUs read it as well. Two tiles of a step of 32 along k
are next to each other: of A the upper rows, then the lower ones, of B the left columns, then the right ones.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...simd import host
from ...simd.bfloat16 import add_products, words_type
from ...simd.memory import index, load, store
from ...simd.register import Register, Scalar, constant, splat
from ...simd.staging import staged
from ...simd.tiles import SIDE, TILE_BYTES, TILE_ROW, has_tiles, tiles

TILE = SIDE * SIDE  # words
BLOCK = 2 * SIDE  # rows and columns of the sums
SUMS, LEFT, RIGHT = 0, 4, 6  # registers: four of tiles of sums, two of A's rows, two of B's columns
I8, I64 = ir.IntType(8), ir.IntType(64)


@staged
def products(vector, a, b, steps, height, width, sums):
    """sums[r, c] = sum over k of A(r, k) B(k, c), ``steps`` steps of 32 along k.

    For ``height`` rows and ``width`` columns, both at most 32; of the others nothing is said.
    """
    (_in_tiles if has_tiles(vector) else _in_vectors)(vector, a, b, steps, height, width, sums)


def _in_tiles(vector, a, b, steps, height, width, sums):
    """A case for one or two tiles of rows, and of columns."""
    builder = a.builder
    rest = [builder.icmp_signed(">", index(builder, n), ir.Constant(I64, SIDE)) for n in (height, width)]
    with builder.if_else(rest[0]) as (two, one):
        for case, rows in ((two, 2), (one, 1)):
            with case, builder.if_else(rest[1]) as inner:
                for inner_case, columns in zip(inner, (2, 1), strict=True):
                    with inner_case:
                        _tile_loop(builder, a.data, b.data, index(builder, steps), rows, columns, sums.data)


def _tile_loop(builder, a, b, steps, rows, columns, sums):
    grid = [(r, c, SUMS + 2 * r + c) for r in range(rows) for c in range(columns)]
    step_bytes = ir.Constant(I64, 2 * TILE_BYTES)

    def at(pointer, offset):
        return builder.gep(pointer, [offset], source_etype=I8)

    for _, _, number in grid:
        tiles(builder, "tilezero", number)
    with cgutils.for_range(builder, steps) as loop:
        offset = builder.mul(loop.index, step_bytes)
        for first, count, pointer in ((LEFT, rows, a), (RIGHT, columns, b)):
            for n in range(count):
                place = at(pointer, builder.add(offset, ir.Constant(I64, n * TILE_BYTES)))
                tiles(builder, "tileloadd64", first + n, place, ir.Constant(I64, TILE_ROW))
        for r, c, number in grid:
            tiles(builder, "tdpbf16ps", number, LEFT + r, RIGHT + c)
    for r, c, number in grid:
        place = at(sums, ir.Constant(I64, 4 * (r * SIDE * BLOCK + c * SIDE)))
        tiles(builder, "tilestored64", number, place, ir.Constant(I64, 4 * BLOCK))


def _in_vectors(vector, a, b, steps, height, width, sums):
    """A few rows and two vectors of columns at a time."""
    builder, lanes = a.builder, vector.lanes
    rows = 8 if host.vector_registers() == 32 else 4
    height, width, pairs = (index(builder, n) for n in (height, width, steps))
    pairs = builder.mul(pairs, ir.Constant(I64, SIDE))
    zero = ir.Constant(I64, 0)
    with cgutils.for_range_slice(builder, zero, width, ir.Constant(I64, 2 * lanes), intp=I64) as (column, _):
        with cgutils.for_range_slice(builder, zero, height, ir.Constant(I64, rows), intp=I64) as (row, _):
            _vector_loop(vector, a, b, pairs, row, rows, column, sums)


def _vector_loop(vector, a, b, pairs, row, rows, column, sums):
    builder, lanes, words = a.builder, vector.lanes, words_type(vector)
    grid = [(r, v) for r in range(rows) for v in range(2)]

    def times(number, factor):
        return builder.mul(number, ir.Constant(I64, factor))

    def quotient(number):
        return builder.lshr(number, ir.Constant(I64, 4)), builder.and_(number, ir.Constant(I64, SIDE - 1))

    def scalar(value):
        return Scalar(builder, types.int64, value)

    half, rest = quotient(row)
    left = builder.add(times(half, TILE), times(rest, SIDE))
    rights = []
    for v in range(2):
        half, rest = quotient(builder.add(column, ir.Constant(I64, v * lanes)))
        rights.append(builder.add(times(half, TILE), rest))
    before = builder.block
    loop, done = builder.append_basic_block("pairs"), builder.append_basic_block("pairs.done")
    builder.cbranch(builder.icmp_signed(">", pairs, ir.Constant(I64, 0)), loop, done)
    builder.position_at_end(loop)
    zero = constant(builder, vector, 0).value
    n, totals = builder.phi(I64), [builder.phi(vector.llvm) for _ in grid]
    step, pair = quotient(n)
    step = times(step, 2 * TILE)
    b_words = [load(words, b, scalar(builder.add(builder.add(step, right), times(pair, SIDE)))) for right in rights]
    first, following = builder.add(builder.add(step, left), pair), []
    for r in range(rows):
        place = builder.gep(a.data, [builder.add(first, ir.Constant(I64, r * SIDE))], source_etype=words.scalar_llvm)
        word = Scalar(builder, words.dtype, builder.load(place, align=4, typ=words.scalar_llvm))
        a_words = splat(builder, words, word)
        for v in range(2):
            total = Register(builder, vector, totals[2 * r + v])
            following.append(add_products(total, a_words, b_words[v]).value)
    after = builder.add(n, ir.Constant(I64, 1))
    for node, start, value in zip(
        (n, *totals), (ir.Constant(I64, 0), *[zero] * len(grid)), (after, *following), strict=True
    ):
        node.add_incoming(start, before)
        node.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_signed("<", after, pairs), loop, done)
    end = builder.block
    builder.position_at_end(done)
    results = [builder.phi(vector.llvm) for _ in grid]
    for (r, v), node, value in zip(grid, results, following, strict=True):
        node.add_incoming(zero, before)
        node.add_incoming(value, end)
        place = builder.add(times(builder.add(row, ir.Constant(I64, r)), BLOCK), column)
        place = builder.add(place, ir.Constant(I64, v * lanes))
        store(sums, scalar(place), Register(builder, vector, node))
