"""sin, cos.

x = n pi/2 + r with |r| <= pi/4; the quadrant n mod 4 chooses between the polynomials of sin r and cos r and the sign.
pi/2 is subtracted in parts of 33 bits, whose products with n are exact in float64 for |x| <= 2**20 (fdlibm's
e_rem_pio2.c). float32 is reduced in float64 too. Lanes beyond 2**20 take the C library's float64 function instead: slow
and right.
"""

import math

from llvmlite import ir

from .arithmetic import any_lane, bitcast, bits_of, convert, copysign, floats, multiply_add, narrow, select
from .coefficients import COS_DOUBLE, COS_SINGLE, SIN_DOUBLE, SIN_SINGLE
from .evaluation import nearest_integer, polynomial, quick_two_sum, two_sum
from .register import declare
from .staging import staged

TWO_OVER_PI = 2 / math.pi
# pi/2 in parts of 33 bits (fdlibm: pio2_1, pio2_2, pio2_3) and what is left of it after two and three of them.
PI_HALF = (1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624871116645580e-21)
PI_HALF_AFTER_TWO, PI_HALF_AFTER_THREE = 2.02226624879595063154e-21, 8.47842766036889956997e-32
FAST_LIMIT = 2.0**20


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


def unless_large(x, fast, name):
    """`fast`, with the library's result in the lanes beyond the fast reduction.

    Only in those: a lane's result must not depend on its neighbours.
    """
    builder, before, large = x.builder, x.builder.block, abs(x) > FAST_LIMIT
    with builder.if_then(any_lane(large).value, likely=False):
        wide = x.type.with_dtype("float64")
        mixed = select(large, convert(by_library(name, convert(x, wide)), x.type), fast)
        inside = builder.block
    result = builder.phi(x.type.llvm)
    result.add_incoming(fast.value, before)
    result.add_incoming(mixed.value, inside)
    return x.of(x.type, result)


def in_quadrant(n, sine, cosine):
    """sin(n pi/2 + r) from the integer vector n, sin r and cos r."""
    value = select((n & 1) == 0, sine, cosine)
    sign = (n & 2) << (value.type.bits - 2)
    return bitcast(bits_of(value) ^ sign, value.type)


def sine_single(x, quarter_turns):
    """sin(x + quarter_turns pi/2) of float32 lanes within the fast limit."""
    wide = convert(x, x.type.with_dtype("float64"))
    n, quadrant = nearest_integer(wide, TWO_OVER_PI)
    for part in (PI_HALF[0], PI_HALF[1], PI_HALF_AFTER_TWO):
        wide = multiply_add(n, -part, wide)
    r = convert(wide, x.type)
    z = r * r
    sine = copysign(multiply_add(r * z, polynomial(z, SIN_SINGLE), r), r)  # the sum turns -0 into +0
    cosine = multiply_add(z * z, polynomial(z, COS_SINGLE), multiply_add(z, -0.5, 1.0))
    return in_quadrant(narrow(quadrant) + quarter_turns, sine, cosine)


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
    return in_quadrant(quadrant + quarter_turns, sine, cosine)


def circular(x, name, quarter_turns):
    fast = (sine_single if floats(x).type.bits == 32 else sine_double)(x, quarter_turns)
    return unless_large(x, fast, name)


@staged
def sin(x):
    """sin x; NaN for infinities."""
    return circular(x, "sin", 0)


@staged
def cos(x):
    """cos x; NaN for infinities."""
    return circular(x, "cos", 1)
