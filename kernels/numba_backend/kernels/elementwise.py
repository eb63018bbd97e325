"""Elementwise kernels: one loop for functions of one array, one for two arrays of a shape, one that broadcasts.

The functions are staged: Python over vector registers, evaluated when a kernel is compiled.
"""

from __future__ import annotations

import math

from ...contract import DECLARATIONS
from ...contract.activations import REFERENCES
from .. import simd
from ..native.calling_convention import (
    advance,
    columns,
    contiguous,
    inlined,
    joined_part,
    number,
    pointer,
    rows,
    stride_bytes,
    to_line,
)
from ..simd import select, staged, store, store_masked
from .activations import expression

# Registers a turn of the inner loops: a function is a chain of instructions that wait for each other, and the CPU looks
# ahead over a few hundred, so chains that are to overlap have to be side by side. With one exp
# takes 36 % longer than with four, with two 3 %; tanh, erf and sqrt take the same (`benchmarks/constants.py
# elementwise.SIDE_BY_SIDE`, a 2-core Xeon with AVX-512).
SIDE_BY_SIDE = 4 if simd.host.vector_registers() >= 32 else 2


def side_by_side(f):
    """The vectors of a turn as one wide vector.

    Where f does not fill a register, LLVM would fill it with several: they stay as narrow as they were asked for.
    """
    return f.with_lanes(SIDE_BY_SIDE * f.lanes) if f.lanes >= simd.host.lanes(f.dtype.name) else f


def _extent(first, second, out, size):
    """Compiles to: this thread's part of the rows and columns; rows without gaps between them count as one."""

    @inlined
    def extent(words, thread, threads):
        joined = contiguous(words, first, size) and contiguous(words, second, size) and contiguous(words, out, size)
        return joined_part(rows(words, out), columns(words, out), thread, threads, joined)

    return extent


def one_array(function, out=1):
    """out = function(x) or, with ``out=2``, function(x, number)."""

    @staged
    def value(x, parameter):
        return function(x) if out == 1 else function(x, parameter)

    def build(f):
        lanes, size = f.lanes, f.bits // 8
        wide = side_by_side(f)
        extent = _extent(0, 0, out, size)

        def kernel(words, thread, threads):
            x, y, parameter = pointer(f, words, 0), pointer(f, words, out), f(number(words, 1))
            wide_parameter = wide(number(words, 1))
            top, bottom, left, right = extent(words, thread, threads)
            for i in range(top, bottom):
                source, target = (
                    advance(x, i * stride_bytes(words, 0) // size),
                    advance(y, i * stride_bytes(words, out) // size),
                )
                start = left + to_line(advance(target, left), right - left, lanes, size)
                if left < start:
                    live = f.first_lanes(start - left)
                    store_masked(target, left, value(f.load_masked(source, left, live), parameter), live)
                many, whole = right - (right - start) % wide.lanes, right - (right - start) % lanes
                live = f.first_lanes(right - whole)
                for j in range(start, many, wide.lanes):
                    store(target, j, value(wide.load(source, j), wide_parameter))
                for j in range(many, whole, lanes):
                    store(target, j, value(f.load(source, j), parameter))
                if whole < right:
                    store_masked(target, whole, value(f.load_masked(source, whole, live), parameter), live)

        return kernel

    return build


def two_arrays(function, out=2):
    """out = function(x, y) or, with ``out=3``, function(x, y, number); x, y and out have one shape."""

    @staged
    def value(x, y, parameter):
        return function(x, y) if out == 2 else function(x, y, parameter)

    def build(f):
        lanes, size = f.lanes, f.bits // 8
        wide = side_by_side(f)
        extent = _extent(0, 1, out, size)

        def kernel(words, thread, threads):
            x, y, z = pointer(f, words, 0), pointer(f, words, 1), pointer(f, words, out)
            parameter, wide_parameter = f(number(words, 2)), wide(number(words, 2))
            top, bottom, left, right = extent(words, thread, threads)
            for i in range(top, bottom):
                a, b = advance(x, i * stride_bytes(words, 0) // size), advance(y, i * stride_bytes(words, 1) // size)
                target = advance(z, i * stride_bytes(words, out) // size)
                start = left + to_line(advance(target, left), right - left, lanes, size)
                if left < start:
                    live = f.first_lanes(start - left)
                    first = value(f.load_masked(a, left, live), f.load_masked(b, left, live), parameter)
                    store_masked(target, left, first, live)
                many, whole = right - (right - start) % wide.lanes, right - (right - start) % lanes
                live = f.first_lanes(right - whole)
                for j in range(start, many, wide.lanes):
                    store(target, j, value(wide.load(a, j), wide.load(b, j), wide_parameter))
                for j in range(many, whole, lanes):
                    store(target, j, value(f.load(a, j), f.load(b, j), parameter))
                if whole < right:
                    last = value(f.load_masked(a, whole, live), f.load_masked(b, whole, live), parameter)
                    store_masked(target, whole, last, live)

        return kernel

    return build


def one_of(functions):
    """A staged function (x, n): the n-th of the functions of x, for an integer n known when the kernel runs."""

    @staged
    def choose(x, n):
        builder, end = x.builder, x.builder.append_basic_block()
        blocks = [builder.append_basic_block() for _ in functions]
        switch = builder.switch(n.value, blocks[0])
        values = []
        for case, (block, function) in enumerate(zip(blocks, functions, strict=True)):
            switch.add_case(case, block)
            builder.position_at_end(block)
            values.append(function(x).value)
            builder.branch(end)
        builder.position_at_end(end)
        result = builder.phi(x.type.llvm)
        for block, value in zip(blocks, values, strict=True):
            result.add_incoming(value, block)
        return x.of(x.type, result)

    return choose


def broadcast(function, third=False, at=None):
    """out = function(a, b) or, with ``third``, function(a, b, c), by NumPy's rules of broadcasting.

    at: for some numbers b, what function(a, b) is with less work.
    """
    out, last = (3, 2) if third else (2, 1)

    @staged
    def value(a, b, c):
        return function(a, b, c) if third else function(a, b)

    numbers = tuple(at or {0.0: None})
    short = one_of(tuple(at.values()) if at else (lambda a: a,))
    shortens = bool(at)

    def build(f):
        lanes, size = f.lanes, f.bits // 8
        wide = side_by_side(f)

        @inlined
        def many(words, operand):
            return rows(words, operand) * columns(words, operand) > 1

        @inlined
        def plain(words, operand):
            """Whether an operand looks the same when rows are joined: it fills out without gaps, or is one number."""
            if not many(words, operand):
                return True
            same = rows(words, operand) == rows(words, out) and columns(words, operand) == columns(words, out)
            return same and contiguous(words, operand, size)

        @inlined
        def row(words, operand, i):
            """An operand's row i, or its only one."""
            step = stride_bytes(words, operand) // size if rows(words, operand) > 1 else 0
            return advance(pointer(f, words, operand), i * step)

        def kernel(words, thread, threads):
            height, width = rows(words, out), columns(words, out)
            if height * width == 0:
                return
            wide_a, wide_b, wide_c = columns(words, 0) > 1, columns(words, 1) > 1, columns(words, last) > 1
            joined = plain(words, 0) and plain(words, 1) and plain(words, last) and contiguous(words, out, size)
            top, bottom, left, right = joined_part(height, width, thread, threads, joined)
            if joined and right - left >= width:
                wide_a, wide_b, wide_c = many(words, 0), many(words, 1), many(words, last)
            for i in range(top, bottom):
                a, b, c, target = row(words, 0, i), row(words, 1, i), row(words, last, i), row(words, out, i)
                x, y, z = f(a[0]), f(b[0]), f(c[0])
                start = left + to_line(advance(target, left), right - left, lanes, size)
                whole = right - (right - start) % lanes
                case = -1
                if shortens and not wide_b:
                    for n in range(len(numbers)):
                        if b[0] == numbers[n]:
                            case = n
                first = start
                if wide_a and wide_b and not third:
                    first = right - (right - start) % wide.lanes
                    for j in range(start, first, wide.lanes):
                        w = wide.load(a, j)
                        store(target, j, value(w, wide.load(b, j), w))
                for j in range(first, whole, lanes):
                    if wide_a:
                        x = f.load(a, j)
                    if wide_b:
                        y = f.load(b, j)
                    if third and wide_c:
                        z = f.load(c, j)
                    if case >= 0:
                        store(target, j, short(x, case))
                    else:
                        store(target, j, value(x, y, z))
                for end in range(2):  # before the first whole line, and after the last vector
                    j, stop = (whole, right) if end else (left, start)
                    if j == stop:
                        continue
                    live = f.first_lanes(stop - j)
                    if wide_a:
                        x = f.load_masked(a, j, live)
                    if wide_b:
                        y = f.load_masked(b, j, live)
                    if third and wide_c:
                        z = f.load_masked(c, j, live)
                    if case >= 0:
                        store_masked(target, j, short(x, case), live)
                    else:
                        store_masked(target, j, value(x, y, z), live)

        return kernel

    return build


# ---- the functions ------------------------------------------------------------------------------------------------


def sign(x):
    return select(x > 0.0, 1.0, select(x < 0.0, -1.0, select(x == 0.0, 0.0, x)))


def greater(a, b):
    return select(a > b, a.like(1.0), 0.0)


def where(condition, a, b):
    return select(condition != 0.0, a, b)


def lerp(start, end, weight):
    return start + weight * (end - start)


# As NumPy's for one number as exponent; there, unlike in whole arrays, x**0.5 is the square root for -0 and -inf too.
POWERS = {
    0.0: lambda a: a.like(1.0),
    1.0: lambda a: a,
    2.0: lambda a: a * a,
    3.0: lambda a: a * a * a,
    -1.0: lambda a: 1.0 / a,
    0.5: simd.sqrt,
    -0.5: lambda a: select(a == -math.inf, 0.0, 1.0 / simd.sqrt(a + 0.0)),
}


FUNCTIONS = (simd.exp, simd.expm1, simd.log, simd.log1p, simd.sqrt, simd.sin, simd.cos, simd.erf, simd.absolute)


def elementwise(name):
    """The kernel of an activation or its gradient: of as many arrays and numbers as it is declared with."""
    inputs = DECLARATIONS[name].inputs
    arrays = sum(operand.is_array for operand in inputs)
    return (one_array if arrays == 1 else two_arrays)(expression(name), out=len(inputs))


BUILDERS = {
    **{function.__name__: one_array(function) for function in FUNCTIONS},
    **{name: elementwise(name) for name in REFERENCES},
    "negative": one_array(lambda x: -x),
    "sign": one_array(sign),
    "add": broadcast(lambda a, b: a + b),
    "subtract": broadcast(lambda a, b: a - b),
    "multiply": broadcast(lambda a, b: a * b),
    "divide": broadcast(lambda a, b: a / b),
    "power": broadcast(simd.power, at=POWERS),
    "maximum": broadcast(simd.maximum),
    "minimum": broadcast(simd.minimum),
    "greater": broadcast(greater),
    "where": broadcast(where, third=True),
    "lerp": broadcast(lerp, third=True),
}  # fmt: skip
