"""Matrix multiplication of operands rounded to bfloat16, with sums in the arrays' dtype: C = start + op(A) op(B).

Both operands are rounded while they are packed, so that a tile reads 1 KiB that is in one piece (``pair_tiles``). LOOP
1 splits K into blocks, LOOP 2 the rows, whose packed block stays in the second cache; LOOP 3 goes over panels of B,
each packed once a block of rows; LOOP 4 over blocks of sums. Each element is summed in the same order whoever computes
it, as in ``gemm``.
"""

from numba import types

from ...native.calling_convention import (
    advance,
    finish,
    inlined,
    part,
    stack,
)
from ...simd import bfloat16, staged, store, store_masked, transpose_block, vector
from ...simd.tiles import SIDE, STEP, configure, release
from ..entry import EPILOGUE
from .operands import arrays, biased, sizes, strides
from .pair_tiles import BLOCK, TILE, products

# By `benchmarks/constants.py pairs.WIDE` on a 2-core Xeon with AMX, 64 to 512 take the same within 12 %: tiles
# wait for memory.
WIDE = 128  # columns of B that are packed together
DEPTH = 512  # of K in a block: a panel of B is 32 KiB, two thirds of the first caches of CPUs that have tiles
TALL = 256  # rows of a packed block: 256 KiB at most, half of the smallest second caches


@staged
def words_below(upper, lower):
    """Words of pairs in the same lane."""
    return bfloat16.words_below(upper, lower)


@staged
def words_beside(first, second):
    """Words of pairs in neighbouring lanes."""
    return bfloat16.words_beside(first, second)


def gemm_bfloat16(f):
    """Operands as those of ``gemm``."""
    lanes, size = f.lanes, f.bits // 8
    word = vector(types.uint32, lanes)
    left_words, right_words = TALL * DEPTH // 2, WIDE * DEPTH // 2
    sums_elements = BLOCK * BLOCK

    @inlined
    def beside(x, stride, count, depth, tile):
        """tile(i, p) = the pair x(i, 2p), x(i, 2p + 1)."""
        if count >= SIDE and depth >= STEP:
            for i in range(SIDE):
                for p in range(0, SIDE, lanes):
                    first, second = f.load(x, i * stride + 2 * p), f.load(x, i * stride + 2 * p + lanes)
                    store(tile, i * SIDE + p, words_beside(first, second))
            return
        for i in range(SIDE):
            live = depth if i < count else 0
            for p in range(0, SIDE, lanes):
                first = f.load_masked(x, i * stride + 2 * p, f.first_lanes(live - 2 * p))
                second = f.load_masked(x, i * stride + 2 * p + lanes, f.first_lanes(live - 2 * p - lanes))
                store(tile, i * SIDE + p, words_beside(first, second))

    @inlined
    def below(x, stride, count, depth, tile):
        """tile(p, i) = the pair x(2p, i), x(2p + 1, i)."""
        if count >= SIDE and depth >= STEP:
            for p in range(SIDE):
                for i in range(0, SIDE, lanes):
                    upper, lower = f.load(x, 2 * p * stride + i), f.load(x, (2 * p + 1) * stride + i)
                    store(tile, p * SIDE + i, words_below(upper, lower))
            return
        for p in range(SIDE):
            upper_count, lower_count = count if 2 * p < depth else 0, count if 2 * p + 1 < depth else 0
            for i in range(0, SIDE, lanes):
                upper = f.load_masked(x, 2 * p * stride + i, f.first_lanes(upper_count - i))
                lower = f.load_masked(x, (2 * p + 1) * stride + i, f.first_lanes(lower_count - i))
                store(tile, p * SIDE + i, words_below(upper, lower))

    @inlined
    def turn(tile, turned):
        """turned(j, i) = tile(i, j)."""
        for i in range(0, SIDE, lanes):
            for j in range(0, SIDE, lanes):
                transpose_block(word, tile, i * SIDE + j, SIDE, turned, j * SIDE + i, SIDE, lanes, lanes)

    @inlined
    def pack_tile(x, stride, along, by_pairs, count, depth, tile, scratch):
        """A tile of ``count`` lines of x, ``depth`` elements along k of each."""
        made = scratch if along == by_pairs else tile
        if along:
            beside(x, stride, count, depth, made)
        else:
            below(x, stride, count, depth, made)
        if along == by_pairs:
            turn(scratch, tile)

    @inlined
    def pack(x, stride, along, by_pairs, count, depth, packed, scratch):
        """The tiles of ``count`` lines of x, two a step, in blocks of two tiles' lines.

        along: the elements of a line are side by side. by_pairs: a tile has a row for each pair, else for each line.
        Tiles are made in the order in which x is in memory: each of its pages is met once.
        """
        steps, tiles = (depth + STEP - 1) // STEP, (count + SIDE - 1) // SIDE
        for n in range(steps * tiles):
            step, t = (n % steps, n // steps) if along else (n // tiles, n % tiles)
            place = t * SIDE * stride + step * STEP if along else step * STEP * stride + t * SIDE
            tile = advance(packed, ((t // 2 * steps + step) * 2 + t % 2) * TILE)
            pack_tile(advance(x, place), stride, along, by_pairs, count - t * SIDE, depth - step * STEP, tile, scratch)

    @inlined
    def land(sums, start, start_row, c, c_row, height, width):
        """C = start + sums."""
        if height == BLOCK and width == BLOCK:
            for i in range(BLOCK):
                for j in range(0, BLOCK, lanes):
                    store(c, i * c_row + j, f.load(sums, i * BLOCK + j) + f.load(start, i * start_row + j))
            return
        for i in range(height):
            for j in range(0, width, lanes):
                live = f.first_lanes(width - j)
                value = f.load(sums, i * BLOCK + j) + f.load_masked(start, i * start_row + j, live)
                store_masked(c, i * c_row + j, value, live)

    def kernel(words, thread, threads):
        (a, b, bias, c, y), (m, n, k, turned_a, turned_b) = arrays(f, words), sizes(words)
        a_stride, b_stride, c_row, y_row = strides(words, size)
        left, right, scratch = stack(word, left_words), stack(word, right_words), stack(word, TILE)
        sums, nothing = stack(f, sums_elements), stack(f, WIDE)
        for j in range(0, WIDE, lanes):
            store(nothing, j, f(0.0))
        first_row, last_row, first_column, last_column = part(m, n, thread, threads)
        if first_row >= last_row or first_column >= last_column:
            return
        configure(f, 0)
        p = 0
        while True:  # LOOP 1: blocks of K
            depth = min(DEPTH, k - p)
            steps = (depth + STEP - 1) // STEP
            for top in range(first_row, last_row, TALL):  # LOOP 2: blocks of rows
                high = min(TALL, last_row - top)
                place = p * a_stride + top if turned_a else top * a_stride + p
                pack(advance(a, place), a_stride, not turned_a, False, high, depth, left, scratch)
                for side in range(first_column, last_column, WIDE):  # LOOP 3: panels of B
                    wide = min(WIDE, last_column - side)
                    place = side * b_stride + p if turned_b else p * b_stride + side
                    pack(advance(b, place), b_stride, turned_b, True, wide, depth, right, scratch)
                    corner, start, start_row = advance(c, top * c_row + side), nothing, 0
                    if p > 0:
                        start, start_row = corner, c_row
                    elif biased(words):
                        start = advance(bias, side)
                    for j in range(0, wide, BLOCK):  # LOOP 4: blocks of sums
                        for i in range(0, high, BLOCK):
                            height, width = min(BLOCK, high - i), min(BLOCK, wide - j)
                            products(f, advance(left, i * steps * SIDE), advance(right, j * steps * SIDE), steps,
                                     height, width, sums)  # fmt: skip
                            land(sums, advance(start, i * start_row + j), start_row, advance(corner, i * c_row + j),
                                 c_row, height, width)  # fmt: skip
                    if p + depth >= k:
                        finish(words, EPILOGUE, corner, c_row, advance(y, top * y_row + side), y_row, high, wide)
            p += DEPTH
            if p >= k:
                break
        release(f, 0)

    return kernel
