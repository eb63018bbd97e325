"""exp, expm1, tanh, sigmoid.

All rest on x = n ln2 + r with |r| <= ln2 / 2 (Cody and Waite: ln2 is subtracted in two parts, the first with so few
bits that its products are exact), a polynomial for e**r - 1, and a change of the exponent by n. The split of ln2 is
that of SLEEF (float32) and fdlibm (float64).
"""

from .arithmetic import copysign, fast_maximum, fast_minimum, floats, multiply_add, power_of_two, scale, select
from .coefficients import EXP_DOUBLE, EXP_SINGLE
from .evaluation import nearest_integer, polynomial
from .staging import staged

LOG2_E = 1.4426950408889634
LN2 = {32: (0.693145751953125, 1.42860676533018704e-6), 64: (6.93147180369123816490e-1, 1.90821492927058770002e-10)}
EXP_COEFFICIENTS = {32: EXP_SINGLE, 64: EXP_DOUBLE}

# Beyond these e**x is 0 or inf in every rounding, and expm1 is -1; the clamps keep n in the range `scale` takes.
EXP_RANGE = {32: (-104.0, 89.0), 64: (-746.0, 710.0)}
EXPM1_LEAST = {32: -18.0, 64: -38.0}


def reduce_by_ln2(x, tail=None):
    """n (as floats and as integers) and r with e**(x + tail) = 2**n e**r, |r| <= ln2 / 2; the tail is a small one."""
    high, low = LN2[x.type.bits]
    n, integer = nearest_integer(x, LOG2_E)
    r = multiply_add(n, -low, multiply_add(n, -high, x))
    return n, integer, r if tail is None else r + tail


def exp_of_rest(r):
    """e**r for |r| <= ln2 / 2."""
    return multiply_add(multiply_add(polynomial(r, EXP_COEFFICIENTS[r.type.bits]), r, 1.0), r, 1.0)


def expm1_of_rest(r):
    """e**r - 1 for |r| <= ln2 / 2, with a small relative error."""
    return multiply_add(r * r, polynomial(r, EXP_COEFFICIENTS[r.type.bits]), r)


@staged
def exp(x):
    """e**x. Subnormal results are rounded once; inf above 88.7 (float32) or 709.8 (float64)."""
    least, greatest = EXP_RANGE[floats(x).type.bits]
    n, integer, r = reduce_by_ln2(fast_minimum(greatest, fast_maximum(least, x)))
    return scale(exp_of_rest(r), n, integer)


def exp_of_negative(x):
    """e**x for x <= 0."""
    n, integer, r = reduce_by_ln2(fast_maximum(EXP_RANGE[x.type.bits][0], x))
    return scale(exp_of_rest(r), n, integer)


@staged
def expm1(x):
    """e**x - 1, accurate near 0."""
    bits = floats(x).type.bits
    _, n, r = reduce_by_ln2(fast_minimum(EXP_RANGE[bits][1], fast_maximum(EXPM1_LEAST[bits], x)))
    # Half of 2**n, because 2**n itself can overflow where the result does not.
    half = power_of_two(n - 1, x.type)
    result = multiply_add(half, expm1_of_rest(r), half - 0.5) * 2.0
    return select(abs(x) < 2.0**-60 if bits == 64 else abs(x) < 2.0**-30, x, result)


@staged
def tanh(x):
    """tanh x = -t / (2 + t) with the sign of x, t = expm1(-2 |x|): one polynomial and one division."""
    _, n, r = reduce_by_ln2(fast_maximum(EXPM1_LEAST[floats(x).type.bits] * 1.1, abs(x) * -2.0))
    power = power_of_two(n, x.type)
    t = multiply_add(power, expm1_of_rest(r), power - 1.0)
    return copysign(t / (t + 2.0), x)


@staged
def sigmoid(x):
    """1 / (1 + e**-x), computed from e**-|x| so that nothing overflows; tends to e**x for negative x."""
    e = exp_of_negative(-abs(floats(x)))
    return select(x < 0.0, e, 1.0) / (e + 1.0)
