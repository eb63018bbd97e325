"""Passes over rows, and kernels over blocks of columns: whole vectors first, then one whose last lanes are outside.

A row is across the lanes of vectors, which are folded to find its sum or maximum. Or several rows are side by side,
each in a lane of its own; what is called a row here is then a block of so many rows, one column after the other.
In both cases the sum or maximum of a row is returned in all lanes that the row has a part in.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types

from .. import simd
from ..native.calling_convention import columns, share
from ..native.partition import COLUMN_UNIT
from ..simd import any_lane, fast_maximum, host, is_nan, select, staged, sum_lanes
from ..simd.memory import first_lanes, index
from ..simd.reductions import fold
from ..simd.register import Register, Scalar, constant

I64 = ir.IntType(64)
# Vectors a step: a sum waits for the one before in its own chain only. An addition takes some four cycles, so that four
# chains start one in each cycle.
CHAINS = 4
# Vectors of a block of columns: rows far from each other are read in pieces of several cache lines. With 1, 2, 4, 8, 16
# the sum of 128x128 takes 1.23, 1.05, 1.02, 1.01, 1.40 us, that of 2000x2000 is best with 4 (`benchmarks/constants.py
# row_passes.COLUMN_VECTORS`, a 2-core Xeon with AVX-512).
COLUMN_VECTORS = 8


@staged
def read(vector, source, j, live, fill=0):
    """The vector at source[j]; live: the mask of the lanes to read, or None for all."""
    return vector.load(source, j) if live is None else vector.load_masked(source, j, live, fill)


@staged
def write(target, j, value, live):
    """target[j], target[j + 1], ... = value in the live lanes; None: in all."""
    if live is None:
        simd.store(target, j, value)
    else:
        simd.store_masked(target, j, value, live)


def loop(builder, start, last, step, state, body):
    """Emits ``while j <= last: state = body(j, state); j += step`` from j = start on; returns j and the state after.

    Numbers are LLVM values, the state is a list of registers.
    """
    before, head = builder.block, builder.append_basic_block("pass")
    inside, done = builder.append_basic_block("pass.vectors"), builder.append_basic_block("pass.done")
    builder.branch(head)
    builder.position_at_end(head)
    j, variables = builder.phi(I64), [Register(builder, s.type, builder.phi(s.type.llvm), s.flags) for s in state]
    builder.cbranch(builder.icmp_signed("<=", j, last), inside, done)
    builder.position_at_end(inside)
    following = [value.value for value in body(j, variables)]
    phis = [j, *(variable.value for variable in variables)]
    first, following = [start, *(s.value for s in state)], [builder.add(j, ir.Constant(I64, step)), *following]
    for phi, old, new in zip(phis, first, following, strict=True):
        phi.add_incoming(old, before)
        phi.add_incoming(new, builder.block)
    builder.branch(head)
    builder.position_at_end(done)
    return j, variables


def over_row(vector, count, state, step):
    """Emits a pass: state = step(place, live, state) for CHAINS vectors at a time and then for one at a time.

    place(n) is where vector n of the step is; live is None where all lanes are. Returns the state after.
    """
    builder, lanes, count = count.builder, vector.lanes, index(count.builder, count)

    def place(j):
        return lambda n: Scalar(builder, types.int64, builder.add(j, ir.Constant(I64, n * lanes)))

    def masked(j, state):
        live = first_lanes(vector, Scalar(builder, types.int64, builder.sub(count, j)))
        return step(place(j), live, state)

    j, last = ir.Constant(I64, 0), builder.sub(count, ir.Constant(I64, CHAINS * lanes))
    j, state = loop(builder, j, last, CHAINS * lanes, state, lambda j, state: step(place(j), None, state))
    return loop(builder, j, builder.sub(count, ir.Constant(I64, 1)), lanes, state, masked)[1]


@staged
def first_lane(x):
    """Lane 0 as a number."""
    return Scalar(x.builder, x.type.dtype, x.builder.extract_element(x.value, ir.Constant(ir.IntType(32), 0)))


def in_all_lanes(across, whole, own):
    """A row's number in all its lanes: ``whole``, a scalar, if it is across them, else each lane's own."""
    bit = across.value if across.value.type.width == 1 else own.builder.trunc(across.value, ir.IntType(1))
    return own.of(own.type, own.builder.select(bit, own.like(whole).value, own.value))


@staged
def number_of_rows(f, across, source):
    """The numbers that belong to the rows: source[0] in all lanes, or lane r's from source[r]."""
    builder, own = source.builder, read(f, source, 0, None)
    return in_all_lanes(across, Scalar(builder, f.dtype, builder.load(source.data, typ=f.scalar_llvm)), own)


def row_pass(function, sums=0):
    """The staged ``run(f, count, across, sources, targets, numbers)``: targets_j = function(sources_j, *numbers).

    function takes a vector from each source and the numbers, which may be vectors. It returns a tuple: a vector for
    each target, then ``sums`` vectors to be added up. run returns a tuple of their totals. across: whether a row is
    across the lanes. A target may be a source.
    """

    @staged
    def run(f, count, across, sources, targets, numbers):
        def step(place, live, totals):
            places = [place(n) for n in range(CHAINS if live is None else 1)]
            values = [[read(f, source, j, live) for source in sources] for j in places]
            results = [function(*value, *numbers) for value in values]
            for j, result in zip(places, results, strict=True):
                for target, value in zip(targets, result, strict=False):
                    write(target, j, value, live)
            terms = [term for result in results for term in result[len(targets) :]]
            if live is not None:
                terms = [select(live, term, 0.0) for term in terms]
            return [total + term for total, term in zip(totals, terms, strict=False)] + totals[len(terms) :]

        totals = over_row(f, count, [constant(count.builder, f, 0.0)] * (CHAINS * sums), step)
        totals = [(totals[n] + totals[sums + n]) + (totals[2 * sums + n] + totals[3 * sums + n]) for n in range(sums)]
        return tuple(in_all_lanes(across, sum_lanes(total), total) for total in totals)

    return run


@staged
def row_max(f, count, across, x):
    """The largest of each row, NaN if any is."""

    def step(place, live, state):
        # fast_maximum forgets NaNs, which are kept in a mask instead.
        *largest, nan = state
        for n in range(CHAINS if live is None else 1):
            value = read(f, x, place(n), live, -math.inf)
            largest[n], nan = fast_maximum(value, largest[n]), nan | is_nan(value)
        return [*largest, nan]

    least, builder = constant(count.builder, f, -math.inf), count.builder
    a, b, c, d, nan = over_row(f, count, [least] * CHAINS + [is_nan(least)], step)
    largest = fast_maximum(fast_maximum(a, b), fast_maximum(c, d))
    whole = fold(largest, fast_maximum, -math.inf)
    whole.value = builder.select(any_lane(nan).value, ir.Constant(f.scalar_llvm, math.nan), whole.value)
    return in_all_lanes(across, whole, select(nan, math.nan, largest))


def over_columns(f, block):
    """Builds the kernel that calls ``block(v, words, j, live)`` for all columns of operand 0.

    The block's columns are as many as the vector type v has lanes, from column j on; live is the mask of those that
    exist, or None if all do. What block does to a column must not depend on v, as threads share the columns.
    """
    lanes = f.lanes
    # A vector of several registers. Fewer lanes than fit a register stay as they were asked for.
    wide = f.with_lanes(COLUMN_VECTORS * lanes) if lanes == host.lanes(f.dtype.name) else f
    wide_lanes = wide.lanes

    def kernel(words, thread, threads):
        first, last = share(columns(words, 0), thread, threads, COLUMN_UNIT)
        whole = last - (last - first) % wide_lanes
        for j in range(first, whole, wide_lanes):
            block(wide, words, j, None)
        for j in range(whole, last, lanes):
            block(f, words, j, f.first_lanes(last - j))

    return kernel
