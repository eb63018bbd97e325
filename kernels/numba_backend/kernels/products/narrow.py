"""Products of few rows or columns: a matrix and up to four vectors, each element of the matrix read once.

out(o, r) = start(o, r) + sum over k of M(o, k) v_r(k). The vectors are the columns of B, or the rows of A; o numbers
the rows of C, or its columns. Where k goes along the rows of the matrix, lanes are k: a few rows at a time, whose lanes
are summed at the end. Where o does, lanes are o: a few vectors of them at a time. The order of a sum depends on k
alone.
"""

from llvmlite import ir
from numba import types

from ...native.calling_convention import (
    advance,
    finish,
    inlined,
    part,
    stack,
)
from ...simd import host, staged, store, store_masked
from ...simd.arithmetic import multiply_add
from ...simd.memory import first_lanes, index, load, load_masked
from ...simd.memory import store as store_register
from ...simd.reductions import transpose
from ...simd.register import Register, Scalar, constant, splat
from ..entry import EPILOGUE
from .operands import arrays, biased, sizes, strides

FEW = 4  # vectors at most: of more, lanes that are columns are used well enough
WIDEST = 8  # vectors of outputs at a time
DEPTH = 1024  # of K in a block: the vectors stay in the first cache
LEAST, LEAST_ALONG = 16, 32  # outputs, and terms of a sum whose lanes are terms, from which it pays
I64 = ir.IntType(64)


def accumulators():
    """Vectors that are summed at a time: half of the registers, the others hold what is multiplied."""
    return host.vector_registers() // 2


def blocks(few):
    """Vectors of outputs at a time, for so many vectors v."""
    return min(WIDEST, accumulators() // few)


def rows_together(few, lanes):
    """Rows whose lanes are summed at a time, for so many vectors v; it divides the lanes."""
    return 1 << min(lanes, accumulators() // few).bit_length() - 1


class _Sums:
    """Sums over turns of a loop, the first of which is number 0."""

    def __init__(self, builder, vector, turns, many):
        self.builder, self.vector, self.turns, self.before = builder, vector, turns, builder.block
        self.zero = constant(builder, vector, 0).value
        self.loop, self.done = builder.append_basic_block("k"), builder.append_basic_block("k.done")
        builder.cbranch(builder.icmp_signed(">", turns, ir.Constant(I64, 0)), self.loop, self.done)
        builder.position_at_end(self.loop)
        self.turn = builder.phi(I64)
        self.variables = [builder.phi(vector.llvm) for _ in range(many)]
        self.registers = [Register(builder, vector, value) for value in self.variables]

    def end(self, following):
        """Ends the turn with these values; the sums after the last one."""
        builder = self.builder
        after = builder.add(self.turn, ir.Constant(I64, 1))
        starts, ends = (ir.Constant(I64, 0), *[self.zero] * len(following)), (after, *(f.value for f in following))
        for node, start, value in zip((self.turn, *self.variables), starts, ends, strict=True):
            node.add_incoming(start, self.before)
            node.add_incoming(value, builder.block)
        builder.cbranch(builder.icmp_signed("<", after, self.turns), self.loop, self.done)
        last = builder.block
        builder.position_at_end(self.done)
        results = [builder.phi(self.vector.llvm) for _ in following]
        for node, value in zip(results, following, strict=True):
            node.add_incoming(self.zero, self.before)
            node.add_incoming(value.value, last)
        return [Register(builder, self.vector, node) for node in results]


def _for_each(builder, few, emit):
    """A case for each number of vectors."""
    done = builder.append_basic_block("few.done")
    switch = builder.switch(index(builder, few), done)
    for count in range(1, FEW + 1):
        block = builder.append_basic_block(f"few.{count}")
        switch.add_case(ir.Constant(I64, count), block)
        builder.position_at_end(block)
        emit(count)
        builder.branch(done)
    builder.position_at_end(done)


def _at(builder, row, stride, place):
    """row * stride + place."""
    row = ir.Constant(I64, row) if isinstance(row, int) else row
    return Scalar(builder, types.int64, builder.add(builder.mul(row, stride), place))


@staged
def sum_along(vector, matrix, stride, high, vectors, depth, few, partial):
    """partial[r, i] = the lanes of sum over k of M(i, k) v_r(k), lanes being k, for ``rows_together(few)`` rows i.

    M(i, k) is matrix[i * stride + k], v_r(k) is vectors[r * depth + k]. Of rows from ``high`` on nothing is said.
    """
    builder, lanes = matrix.builder, vector.lanes
    stride, depth, high = (index(builder, n) for n in (stride, depth, high))
    turns = builder.sdiv(depth, ir.Constant(I64, lanes))
    whole = builder.mul(turns, ir.Constant(I64, lanes))
    live = first_lanes(vector, Scalar(builder, types.int64, builder.sub(depth, whole)))
    last = builder.sub(high, ir.Constant(I64, 1))

    def row(i):
        """A row that there is."""
        number = ir.Constant(I64, i)
        return builder.select(builder.icmp_signed("<", number, high), number, last)

    def emit(count):
        lines = [row(i) for i in range(rows_together(count, lanes))]

        def added(sums, place, read):
            factors = [read(vectors, _at(builder, r, depth, place)) for r in range(count)]
            found = []
            for i, line in enumerate(lines):
                elements = read(matrix, _at(builder, line, stride, place))
                found += [multiply_add(elements, factors[r], sums[i * count + r]) for r in range(count)]
            return found

        sums = _Sums(builder, vector, turns, len(lines) * count)
        place = builder.mul(sums.turn, ir.Constant(I64, lanes))
        totals = sums.end(added(sums.registers, place, lambda memory, at: load(vector, memory, at)))
        totals = added(totals, whole, lambda memory, at: load_masked(vector, memory, at, live))
        for n, total in enumerate(totals):
            i, r = divmod(n, count)
            store_register(partial, (r * lanes + i) * lanes, total)

    _for_each(builder, few, emit)


@staged
def sum_across(vector, matrix, stride, wide, vectors, depth, few, sums):
    """sums[r, o] = sum over k of M(o, k) v_r(k), lanes being o, for ``blocks(few)`` vectors of them.

    Of those the first ``wide`` lanes are read. M(o, k) is matrix[k * stride + o], v_r(k) is vectors[r * depth + k].
    """
    builder, lanes = matrix.builder, vector.lanes
    stride, depth, wide = (index(builder, n) for n in (stride, depth, wide))

    def emit(count):
        starts = [ir.Constant(I64, v * lanes) for v in range(blocks(count))]
        masks = [first_lanes(vector, Scalar(builder, types.int64, builder.sub(wide, start))) for start in starts]
        total = _Sums(builder, vector, depth, len(starts) * count)
        factors = []
        for r in range(count):
            place = builder.gep(
                vectors.data, [_at(builder, r, depth, total.turn).value], source_etype=vector.scalar_llvm
            )
            number = builder.load(place, align=vector.bits // 8, typ=vector.scalar_llvm)
            factors.append(splat(builder, vector, Scalar(builder, vector.dtype, number)))
        following = []
        for v, (start, mask) in enumerate(zip(starts, masks, strict=True)):
            elements = load_masked(vector, matrix, _at(builder, total.turn, stride, start), mask)
            following += [multiply_add(elements, factors[r], total.registers[v * count + r]) for r in range(count)]
        for n, value in enumerate(total.end(following)):
            v, r = divmod(n, count)
            store_register(sums, (r * WIDEST + v) * lanes, value)

    _for_each(builder, few, emit)


@staged
def total_of_lanes(vector, partial):
    """The sums of the lanes of as many vectors as there are lanes, as a vector."""
    lanes = vector.lanes
    found = list(transpose(tuple(load(vector, partial, i * lanes) for i in range(lanes))))
    while len(found) > 1:  # in pairs, as one lane is added to the one half of them further on
        half = len(found) // 2
        found = [a + b for a, b in zip(found[:half], found[half:], strict=True)]
    return found[0]


def is_narrow(rows, depth, columns, turned_a, turned_b):
    """Whether a product of these sizes is that of a matrix and a few vectors, and its sums are long enough to pay."""
    few_columns = columns <= FEW
    lanes_are_terms = not turned_a if few_columns else turned_b
    least = LEAST_ALONG if lanes_are_terms else 1
    return (few_columns or rows <= FEW) and max(rows, columns) >= LEAST and depth >= least


def gemm_narrow(f):
    """Operands as those of ``gemm``, of which rows or columns of C are at most ``FEW``."""
    lanes, size = f.lanes, f.bits // 8
    vectors_elements, partial_elements, sums_elements = FEW * DEPTH, FEW * lanes * lanes, FEW * WIDEST * lanes
    counts = range(1, FEW + 1)
    steps = (0, *(lanes * blocks(few) for few in counts))
    together = (0, *(rows_together(few, lanes) for few in counts))

    @inlined
    def land(value, c, place, step, start, at, start_step, count, landed):
        """C at ``place``, and every ``step`` elements on, = start + value; start likewise, or one number for all."""
        live = f.first_lanes(count)
        if start_step == 1:
            value = value + f.load_masked(start, at, live)
        elif start_step == 0:
            value = value + f(start[at])
        else:
            value = value + f.gather(start, at, start_step, live)
        if step == 1:
            store_masked(c, place, value, live)
        else:
            store(landed, 0, value)
            for i in range(min(lanes, count)):
                c[place + i * step] = landed[i]

    @inlined
    def outputs(matrix, o_stride, k_stride, vectors, few, first, last, depth, start, so_stride, sr_stride,
                c, co_stride, cr_stride, partial, sums, landed):  # fmt: skip
        """C(o, r) = start(o, r) + sum over k of M(o, k) v_r(k), M(o, k) being matrix[o * o_stride + k * k_stride]."""
        step = lanes if k_stride == 1 else steps[few]
        for o in range(first, last, step):
            if k_stride == 1:
                for i in range(0, min(lanes, last - o), together[few]):
                    sum_along(f, advance(matrix, (o + i) * o_stride), o_stride, last - o - i, vectors, depth, few,
                              advance(partial, i * lanes))  # fmt: skip
            else:
                sum_across(f, advance(matrix, o), k_stride, last - o, vectors, depth, few, sums)
            for r in range(few):
                for q in range(0, min(step, last - o), lanes):
                    if k_stride == 1:
                        value = total_of_lanes(f, advance(partial, r * lanes * lanes))
                    else:
                        value = f.load(sums, r * WIDEST * lanes + q)
                    land(value, c, (o + q) * co_stride + r * cr_stride, co_stride,
                         start, (o + q) * so_stride + r * sr_stride, so_stride, last - o - q, landed)  # fmt: skip

    def kernel(words, thread, threads):
        (a, b, bias, c, y), (m, n, k, turned_a, turned_b) = arrays(f, words), sizes(words)
        a_stride, b_stride, c_row, y_row = strides(words, size)
        a_row, a_column = (1, a_stride) if turned_a else (a_stride, 1)
        b_row, b_column = (1, b_stride) if turned_b else (b_stride, 1)
        vectors, partial = stack(f, vectors_elements), stack(f, partial_elements)
        sums, landed, nothing = stack(f, sums_elements), stack(f, lanes), stack(f, lanes)
        store(nothing, 0, f(0.0))
        few_columns = n <= FEW
        first_row, last_row, first_column, last_column = part(m, n, thread, threads)
        if first_row >= last_row or first_column >= last_column:
            return
        c = advance(c, first_row * c_row)
        a = advance(a, first_row * a_row)
        # Which is the matrix, where its outputs are in C, and where the vectors are.
        matrix, o_stride, k_stride, co_stride, first, last = a, a_row, a_column, c_row, 0, last_row - first_row
        v, v_stride, vk_stride, cr_stride, few = b, b_column, b_row, 1, n
        if not few_columns:
            matrix, o_stride, k_stride, co_stride, first, last = b, b_column, b_row, 1, first_column, last_column
            v, v_stride, vk_stride, cr_stride, few = a, a_row, a_column, c_row, last_row - first_row
        block = -(-k // -(-k // DEPTH))
        for p in range(0, k, block):
            depth = min(block, k - p)
            for r in range(few):
                for i in range(depth):
                    vectors[r * depth + i] = v[r * v_stride + (p + i) * vk_stride]
            start, so_stride, sr_stride = nothing, 0, 0
            if p > 0:
                start, so_stride, sr_stride = c, co_stride, cr_stride
            elif biased(words):
                start, so_stride, sr_stride = bias, 0 if few_columns else 1, 1 if few_columns else 0
            outputs(advance(matrix, p * k_stride), o_stride, k_stride, vectors, few, first, last, depth,
                    start, so_stride, sr_stride, c, co_stride, cr_stride, partial, sums, landed)  # fmt: skip
        finish(words, EPILOGUE, advance(c, first_column), c_row, advance(y, first_row * y_row + first_column), y_row,
               last_row - first_row, last_column - first_column)  # fmt: skip

    return kernel
