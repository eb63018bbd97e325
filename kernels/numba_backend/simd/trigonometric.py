"""sin, cos.

x = n pi/2 + r with |r| <= pi/4; the quadrant n mod 4 chooses between the polynomials of sin r and cos r and the sign.
float64 subtracts pi/2 in parts of 33 bits, whose products with n are exact for |x| <= 2**20 (fdlibm's e_rem_pio2.c).
Lanes beyond take the C library's function: slow and right.

float32 subtracts pi/2 in three parts of 24 bits by fused multiply-adds (Cody and Waite): the first difference is exact,
the others are rounded in proportion to r. Without that instruction it is reduced in float64. Lanes beyond 2**16 take
float64's function.
"""

import math

from llvmlite import ir

from .arithmetic import bitcast, bits_of, convert, copysign, floats, multiply_add, narrow, select
from .coefficients import COS_DOUBLE, COS_SINGLE, SIN_DOUBLE, SIN_SINGLE
from .evaluation import horner, nearest_integer, polynomial, quick_two_sum, two_sum, unless
from .host import has_fma
from .register import declare
from .staging import staged

TWO_OVER_PI = 2 / math.pi
# pi/2 in parts of 33 bits (fdlibm: pio2_1, pio2_2, pio2_3) and what is left of it after two and three of them.
PI_HALF = (1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624871116645580e-21)
PI_HALF_AFTER_TWO, PI_HALF_AFTER_THREE = 2.02226624879595063154e-21, 8.47842766036889956997e-32
# The float32 below what is left each time: none is negative, so that -0 stays -0.
PI_HALF_SINGLE = (1.570796251296997, 7.549789415861596e-08, 5.390302529957765e-15)
FAST_LIMIT = {32: 2.0**16, 64: 2.0**20}


def by_library(name, x):
    """The C library's double function `name`, lane by lane, out of line."""
    lanes, double = x.type.lanes, ir.DoubleType()
    whole = declare(x.builder, f"simd.{name}.{x.type.suffix}", x.type.llvm, [x.type.llvm])
    if not whole.blocks:
        whole.linkage = "internal"
        for attribute in ("noinline", "cold"):
            whole.attributes.add(attribute)
        inner = ir.IRBuilder(whole.append_basic_block())
        function = declare(inner, name, double, [double])
        result = whole.args[0]
        for lane in range(lanes):
            number = ir.Constant(ir.IntType(32), lane)
            one = inner.call(function, [inner.extract_element(whole.args[0], number)])
            result = inner.insert_element(result, one, number)
        inner.ret(result)
    return x.of(x.type, x.builder.call(whole, [x.value]))


def reduced_single(x):
    """The integers n and r of a float32 vector within the fast limit."""
    if has_fma():
        n, quadrant = nearest_integer(x, TWO_OVER_PI)
        for part in PI_HALF_SINGLE:
            x = multiply_add(n, -part, x)
        return quadrant, x
    wide = convert(x, x.type.with_dtype("float64"))
    n, quadrant = nearest_integer(wide, TWO_OVER_PI)
    for part in (PI_HALF[0], PI_HALF[1], PI_HALF_AFTER_TWO):
        wide = multiply_add(n, -part, wide)
    return narrow(quadrant), convert(wide, x.type)


def sine_single(x, quarter_turns):
    """sin(x + quarter_turns pi/2) of float32 lanes within the fast limit.

    r + r z S(z) or 1 + z C(z), z = r**2: S and C have as many terms, so that lanes differ in coefficients only.
    """
    quadrant, r = reduced_single(x)
    quadrant, z = quadrant + quarter_turns, r * r
    even = (quadrant & 1) == 0
    first = bitcast(bits_of(select(even, r, 1.0)) ^ ((quadrant & 2) << 30), x.type)
    rest = horner(z, [select(even, x.like(s), c) for s, c in zip(SIN_SINGLE, COS_SINGLE, strict=True)])
    return copysign(multiply_add(first * z, rest, first), first)  # the sum turns -0 into +0


def sine_double(x, quarter_turns):
    """sin(x + quarter_turns pi/2) of float64 lanes within the fast limit: r is carried as a sum of two floats."""
    n, quadrant = nearest_integer(x, TWO_OVER_PI)
    r, lost = two_sum(x - n * PI_HALF[0], n * -PI_HALF[1])
    r, lost_again = two_sum(r, n * -PI_HALF[2])
    r, tail = quick_two_sum(r, multiply_add(n, -PI_HALF_AFTER_THREE, lost + lost_again))
    z = r * r
    sine = r + multiply_add(r * z, polynomial(z, SIN_DOUBLE), multiply_add(z, -0.5, 1.0) * tail)
    sine = select(x == 0.0, x, sine)  # the sums turn -0 into +0
    half = z * 0.5
    top = 1.0 - half
    cosine = top + (((1.0 - top) - half) + multiply_add(z * z, polynomial(z, COS_DOUBLE), -(r * tail)))
    quadrant = quadrant + quarter_turns
    value = select((quadrant & 1) == 0, sine, cosine)
    return bitcast(bits_of(value) ^ ((quadrant & 2) << 62), x.type)


def circular(x, name, quarter_turns):
    single = floats(x).type.bits == 32

    def beyond():
        if single:
            return convert(circular(convert(x, x.type.with_dtype("float64")), name, quarter_turns), x.type)
        return by_library(name, x)

    usual = (sine_single if single else sine_double)(x, quarter_turns)
    return unless(abs(x) > FAST_LIMIT[x.type.bits], usual, beyond)


@staged
def sin(x):
    """sin x; NaN for infinities."""
    return circular(x, "sin", 0)


@staged
def cos(x):
    """cos x; NaN for infinities."""
    return circular(x, "cos", 1)
