"""The register tile of matrix multiplication: C[height, width vectors] = start + sum over k of A(i, k) B(k, j).

Emitted for one dtype, lane count and width; a switch picks the height. The accumulators are as many as the CPU has
registers for, so that each element of A and B that is loaded serves many multiply-adds.
"""

from llvmlite import ir
from numba import types

from ...simd import host
from ...simd.arithmetic import multiply_add
from ...simd.memory import first_lanes, index, load_masked, store_masked
from ...simd.register import Register, Scalar, constant, splat
from ...simd.staging import Memory, staged

I64 = ir.IntType(64)
WIDTHS = (2, 1)  # vectors
# Rows of A that are addressed from one pointer. A pointer a row takes 23 % longer (256x128x64 by
# `benchmarks/constants.py micro_kernel.GROUP`, a 2-core Xeon with AVX-512); 2, 4, 8 and all are within 1 %.
GROUP = 4


def tallest(width):
    """Rows of the largest tile: two vectors of B and one of A stay beside the accumulators."""
    return (host.vector_registers() - 4) // width if width == 2 else min(14, host.vector_registers() - 4)


def make_tile(width):
    """The staged function that computes a tile ``width`` vectors wide."""
    limit = tallest(width)

    @staged
    def tile(vector, height, a, a_row, a_column, b, b_row, start, start_row, c, c_row, depth, columns):
        """C = start + A B for ``height`` rows and the first ``columns`` columns.

        A(i, k) is a[i * a_row + k * a_column]; row k of B begins at b[k * b_row] and is read ``width`` whole vectors
        wide; row i of start, which may be C itself, at start[i * start_row].
        """
        emitter = _Emitter(vector, width, a, b, start, c)
        builder = emitter.builder
        numbers = [index(builder, n) for n in (a_row, a_column, b_row, start_row, c_row, depth, columns)]
        done = builder.append_basic_block("tile.done")
        switch = builder.switch(index(builder, height), done)
        for rows in range(1, limit + 1):
            block = builder.append_basic_block(f"tile.{rows}")
            switch.add_case(ir.Constant(I64, rows), block)
            builder.position_at_end(block)
            emitter.emit(rows, *numbers)
            builder.branch(done)
        builder.position_at_end(done)

    return tile


class _Emitter:
    """Emits the code of one tile height after the other."""

    def __init__(self, vector, width, a, b, start, c):
        self.vector, self.width, self.builder = vector, width, a.builder
        self.a, self.b, self.start, self.c = a, b, start, c

    def at(self, pointer, offset):
        return self.builder.gep(pointer, [offset], source_etype=self.vector.scalar_llvm)

    def emit(self, rows, a_row, a_column, b_row, start_row, c_row, depth, columns):
        builder, vector = self.builder, self.vector
        masks = []
        for v in range(self.width):
            left = builder.sub(columns, ir.Constant(I64, v * vector.lanes))
            masks.append(first_lanes(vector, Scalar(builder, types.int64, left)))

        def place(memory, row, r, v):
            offset = builder.add(builder.mul(row, ir.Constant(I64, r)), ir.Constant(I64, v * vector.lanes))
            return Memory(builder, memory.type, self.at(memory.data, offset)), 0

        grid = [(r, v) for r in range(rows) for v in range(self.width)]
        zero = constant(builder, vector, 0).value
        totals = self.loop(rows, [zero] * len(grid), a_row, a_column, b_row, depth)
        for (r, v), total in zip(grid, totals, strict=True):
            # Loaded only now: loads before the loop would hold up its first multiply-adds.
            start = load_masked(vector, *place(self.start, start_row, r, v), masks[v])
            store_masked(*place(self.c, c_row, r, v), Register(builder, vector, total) + start, masks[v])

    def loop(self, rows, first, a_row, a_column, b_row, depth):
        """The loop over k: accumulators and the pointers to A and B are its variables.

        A has a pointer for each few rows. From a single one, each row's address would be computed from that of the row
        before, a chain of additions that takes longer than the multiply-adds.
        """
        builder, vector = self.builder, self.vector
        offsets = [builder.mul(a_row, ir.Constant(I64, r)) for r in range(GROUP)]
        starts = [self.at(self.a.data, builder.mul(a_row, ir.Constant(I64, r))) for r in range(0, rows, GROUP)]
        before = builder.block
        loop, done = builder.append_basic_block("k"), builder.append_basic_block("k.done")
        builder.cbranch(builder.icmp_signed(">", depth, ir.Constant(I64, 0)), loop, done)
        builder.position_at_end(loop)
        left, b = builder.phi(I64), builder.phi(self.b.data.type)
        groups = [builder.phi(self.a.data.type) for _ in starts]
        sums = [builder.phi(vector.llvm) for _ in first]
        variables = (left, b, *groups, *sums)
        for node, start in zip(variables, (depth, self.b.data, *starts, *first), strict=True):
            node.add_incoming(start, before)
        b_vectors = [
            builder.load(self.at(b, ir.Constant(I64, v * vector.lanes)), align=vector.bits // 8, typ=vector.llvm)
            for v in range(self.width)
        ]
        following, here = [], [_opaque(builder, group) for group in groups]
        for r in range(rows):
            place = self.at(here[r // GROUP], offsets[r % GROUP])
            scalar = builder.load(place, align=vector.bits // 8, typ=vector.scalar_llvm)
            value = splat(builder, vector, Scalar(builder, vector.dtype, scalar))
            for v in range(self.width):
                total = Register(builder, vector, sums[r * self.width + v])
                following.append(multiply_add(value, Register(builder, vector, b_vectors[v]), total).value)
        less = builder.sub(left, ir.Constant(I64, 1))
        moved = (less, self.at(b, b_row), *(self.at(group, a_column) for group in here), *following)
        for node, value in zip(variables, moved, strict=True):
            node.add_incoming(value, builder.block)
        builder.cbranch(builder.icmp_signed(">", less, ir.Constant(I64, 0)), loop, done)
        builder.position_at_end(done)
        results = []
        for start, value in zip(first, following, strict=True):
            node = builder.phi(vector.llvm)
            node.add_incoming(start, before)
            node.add_incoming(value, loop)
            results.append(node)
        return results


def _opaque(builder, pointer):
    """The pointer, of which LLVM does not know where it comes from."""
    kind = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(kind, "", "=r,0", [pointer], side_effect=False)
