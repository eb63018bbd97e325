"""Matrix multiplication: the loops around the register tile.

C = start + op(A) op(B), then what the epilogue does: an activation, or the gradient of one. LOOP 1 splits K into
blocks; LOOP 2 the columns, where B is packed; LOOP 3 the rows, where A is; LOOP 4 goes over panels of B as wide as the
tile; LOOP 5 over the tiles of rows. Where A's rows fit the second cache there is one block of columns, and a panel of B
is packed when its turn comes, into the place of the one before. Where they do not, the panels of a block of columns
are packed at once for all blocks of rows, each of which stays in the second cache meanwhile: five loops, as in BLIS
(Van Zee and van de Geijn, 2015).

A is read where it is, transposed or not: the tile takes both of its strides. Only a transposed one whose rows are far
apart is packed, a block for all panels. A panel of B is read where it is if few rows use it and it is whole; otherwise
it is packed, and a transposed one is transposed on the way.

Threads split the output. Each element is summed over k in the same order whoever computes it, so results have the same
bits for any number of threads.

Epilogues are functions of their own, called through their addresses for each panel of C while it is in the cache: one
product is compiled, whatever follows it.
"""

from __future__ import annotations

from ....memory import PAGE
from ...native.calling_convention import (
    advance,
    borrow,
    columns,
    finish,
    from_a_line,
    give_back,
    given,
    inlined,
    number,
    part,
    pointer,
    rows,
    stack,
    stride_bytes,
)
from ...native.partition import COLUMN_UNIT, share_of, splits_rows
from ...simd import store, store_masked, transpose_block
from ..entry import ALLOCATOR, EPILOGUE
from .micro_kernel import make_tile, tallest

# Most rows of a packed panel: 128 KiB at two vectors of 512 bits, half of the smallest L2 caches. Each block of K reads
# and writes C once more. Sums are cut here, so it is the same on all machines. 128x784x512 takes the same within 2 %
# with 256 to 2048 (`benchmarks/constants.py products.DEPTH`, a 2-core Xeon with AVX-512).
DEPTH = 1024
# A turned A is read a few elements from each of its rows. Where these are so far apart, and so many columns of C are
# computed from them, packing a block of A for all panels of B is worth its time: by `benchmarks/constants.py
# products.PACKED_STRIDE products.PACKED_COLUMNS` on a 2-core Xeon with AVX-512, 1024x1024x1024 takes 39 % less,
# 784x128x512 6 %, 2048x512x64 25 %, what has shorter rows the same within 3 %.
PACKED_STRIDE = PAGE // 2  # bytes
PACKED_COLUMNS = 64
# Bytes of a block of A's rows, which the second cache has to hold beside a panel. 512x2048x2048 takes 5 % longer with
# half, 1 % with twice as much (`benchmarks/constants.py products.LEFT_BYTES`, a 2-core Xeon with 2 MiB).
LEFT_BYTES = 1 << 19
# Bytes of the panels that are packed at once, at most: each thread takes as much while it computes. A compromise, with
# what last caches hold.
BLOCK_BYTES = 1 << 22
# Of a product of little depth most of the time goes into C, whose rows are pages apart: the first TLB holds those of a
# few tiles. In blocks of so few rows 512x10x2048 takes 22 % less, 512x32x2048 11 %, 512x64x2048 10 %
# (`benchmarks/constants.py products.SHALLOW`, the same machine).
SHALLOW, SHALLOW_TILES = 64, 4
# Rows of a turned A of which a tile's elements are packed before the next tile's: the first TLB holds their pages.
AT_ONCE = 64
# Rows of C below which packing a panel costs more than reading it where it is. By `benchmarks/constants.py
# products.DIRECT_ROWS` on a 2-core Xeon with AVX-512, packing 16x64x128 takes 14 % longer, 32x784x512 the same; reading
# 64x784x512 where it is takes 14 % longer at least, 128x784x512 37 %.
DIRECT_ROWS = 64


def gemm(f):
    """Operands: a, b, bias or nothing, out, transpose_a, transpose_b, the epilogue's address or nothing, its y."""
    lanes, size = f.lanes, f.bits // 8
    width = 2 * lanes
    height, narrow_height = tallest(2), tallest(1)
    panel_elements, left_elements = DEPTH * width, LEFT_BYTES // size
    wide_tile, narrow_tile = make_tile(2), make_tile(1)

    @inlined
    def pack(b, stride, depth, count, panel, panel_row):
        """panel = depth rows of B, count columns of them, padded with zeros to panel_row."""
        first, second = f.first_lanes(count), f.first_lanes(count - lanes)
        for k in range(depth):
            store(panel, k * panel_row, f.load_masked(b, k * stride, first))
            if panel_row > lanes:
                store(panel, k * panel_row + lanes, f.load_masked(b, k * stride + lanes, second))

    @inlined
    def pack_transposed(b, stride, depth, count, panel, panel_row):
        """panel(k, j) = b(j, k): count rows of b, depth columns of them."""
        for j in range(0, panel_row, lanes):
            for k in range(0, depth, lanes):
                here, deep = max(0, min(lanes, count - j)), min(lanes, depth - k)
                transpose_block(f, b, j * stride + k, stride, panel, k * panel_row + j, panel_row, here, deep)

    @inlined
    def pack_panel(b, stride, turned, p, depth, j, count, panel):
        """The panel that begins at row p and column j of op(B), its rows as wide as the tile that reads them."""
        panel_row = width if count > lanes else lanes
        if turned:
            pack_transposed(advance(b, j * stride + p), stride, depth, count, panel, panel_row)
        else:
            pack(advance(b, p * stride + j), stride, depth, count, panel, panel_row)

    @inlined
    def pack_block(b, stride, turned, p, depth, left, right, panels):
        """All panels of these columns, one after the other. Whole ones row by row of B: its pages are met once."""
        whole = 0 if turned else (right - left) // width * width
        for k in range(depth if whole else 0):
            for j in range(0, whole, width):
                for q in range(0, width, lanes):
                    store(panels, j * depth + k * width + q, f.load(b, (p + k) * stride + left + j + q))
        for j in range(whole, right - left, width):
            pack_panel(b, stride, turned, p, depth, left + j, min(width, right - left - j), advance(panels, j * depth))

    @inlined
    def pack_left(a, stride, depth, high, packed):
        """For each tile, one after the other, packed(k, i) = a(k, i): rows of C as ``tiles`` splits them."""
        for first in range(0, depth, AT_ONCE):
            last = min(depth, first + AT_ONCE)
            left, i = (high + height - 1) // height, 0
            while i < high:
                h = (high - i + left - 1) // left
                for q in range(0, h, lanes):
                    live = f.first_lanes(h - q)
                    for k in range(first, last):
                        store_masked(packed, i * depth + k * h + q, f.load_masked(a, k * stride + i + q, live), live)
                i += h
                left -= 1

    @inlined
    def tiles(a, a_row, a_column, in_tiles, panel, panel_row, start, start_row, c, c_row, depth, count, high):
        """LOOP 5: rows of C, split evenly into tiles. in_tiles: A is as ``pack_left`` packs it."""
        limit = height if count > lanes or in_tiles else narrow_height
        left, i = (high + limit - 1) // limit, 0
        while i < high:
            h = (high - i + left - 1) // left
            corner, begin = advance(a, i * (depth if in_tiles else a_row)), advance(start, i * start_row)
            if in_tiles:
                a_row, a_column = 1, h
            if count > lanes:
                wide_tile(f, h, corner, a_row, a_column, panel, panel_row, begin, start_row,
                          advance(c, i * c_row), c_row, depth, count)  # fmt: skip
            else:
                narrow_tile(f, h, corner, a_row, a_column, panel, panel_row, begin, start_row,
                            advance(c, i * c_row), c_row, depth, count)  # fmt: skip
            i += h
            left -= 1

    def kernel(words, thread, threads):
        a, b, bias, c = (pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, 2), pointer(f, words, 3))
        turned_a, turned_b = number(words, 4) != 0, number(words, 5) != 0
        m, n = rows(words, 3), columns(words, 3)
        k = rows(words, 0) if turned_a else columns(words, 0)
        a_stride, b_stride = stride_bytes(words, 0) // size, stride_bytes(words, 1) // size
        c_row = stride_bytes(words, 3) // size
        a_row, a_column = (1, a_stride) if turned_a else (a_stride, 1)
        panel, packed, nothing = stack(f, panel_elements), stack(f, left_elements), stack(f, width)
        store(nothing, 0, f(0.0))
        store(nothing, lanes, f(0.0))
        y, y_row = pointer(f, words, EPILOGUE + 1), stride_bytes(words, EPILOGUE + 1) // size
        first_row, last_row, first_column, last_column = part(m, n, thread, threads)
        if first_row >= last_row or first_column >= last_column:
            return
        high, wide = last_row - first_row, last_column - first_column
        direct = not turned_b and high < DIRECT_ROWS
        packs = turned_a and stride_bytes(words, 0) >= PACKED_STRIDE and wide >= PACKED_COLUMNS
        block, p = -(-k // max(1, -(-k // DEPTH))), 0
        tall = left_elements // max(1, block) // height * height
        if block <= SHALLOW and wide * size >= PAGE:
            tall = min(tall, SHALLOW_TILES * height)
        several = high > tall and wide > width  # blocks of rows
        broad = min(-(-wide // width), BLOCK_BYTES // (size * width * max(1, block))) * width if several else wide
        borrowed = borrow(f, words, ALLOCATOR, broad * block if several else 0)
        if several and not given(borrowed):
            several, broad = False, wide
        panels = from_a_line(borrowed) if several else panel
        tall = tall if packs or several else high
        while True:  # LOOP 1: blocks of K, of one size
            depth = min(block, k - p)
            for left in range(first_column, last_column, broad):  # LOOP 2: blocks of columns
                right = min(last_column, left + broad)
                if several:
                    pack_block(b, b_stride, turned_b, p, depth, left, right, panels)
                for top in range(first_row, last_row, tall):  # LOOP 3: blocks of rows
                    high = min(tall, last_row - top)
                    corner_a = advance(a, p * a_column + top * a_row)
                    if packs:
                        pack_left(corner_a, a_stride, depth, high, packed)
                        corner_a = packed
                    for j in range(left, right, width):  # LOOP 4: panels of B
                        count = min(width, last_column - j)
                        used, used_row = panels, (width if count > lanes else lanes)
                        if several:
                            used = advance(panels, (j - left) * depth)
                        elif direct and count == used_row:
                            used, used_row = advance(b, p * b_stride + j), b_stride
                        else:
                            pack_panel(b, b_stride, turned_b, p, depth, j, count, panel)
                        corner, start, start_row = advance(c, top * c_row + j), nothing, 0
                        if p > 0:
                            start, start_row = corner, c_row
                        elif columns(words, 2) > 0:
                            start = advance(bias, j)
                        tiles(corner_a, a_row, a_column, packs, used, used_row, start, start_row, corner, c_row, depth,
                              count, high)  # fmt: skip
                        if p + block >= k:
                            finish(words, EPILOGUE, corner, c_row, advance(y, top * y_row + j), y_row, high, count)
            p += block
            if p >= k:
                break
        give_back(words, ALLOCATOR + 1, borrowed)

    return kernel


def tile_turn(f, operands, threads):
    """The multiply-adds, counted by lane, and loads of a turn of the loop over k, in the first thread's first tile."""
    height, width = operands[3].shape
    whole_rows = splits_rows(height, width, threads)
    rows_used = share_of(height, 0, threads, 1)[1] if whole_rows else height
    columns_used = width if whole_rows else share_of(width, 0, threads, COLUMN_UNIT)[1]
    vectors = 2 if columns_used > f.lanes else 1
    tiles = -(-rows_used // tallest(vectors))
    high = -(-rows_used // tiles)
    return high * vectors * f.lanes, high + vectors
