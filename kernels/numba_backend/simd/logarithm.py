"""log, log1p, softplus.

x = 2**k m with m in [3/4, 3/2), f = m - 1, log x = k ln2 + log(1 + f). For float32 log(1 + f) is f - f**2/2 + f**3
P(f), as in Cephes' logf; for float64 it is 2 atanh(s) with s = f / (2 + f), summed in the order of fdlibm's e_log.c.
"""

import math

from . import avx512
from .arithmetic import bitcast, bits_of, copysign, fast_minimum, floats, multiply_add, select
from .coefficients import LOG_DOUBLE, LOG_SINGLE
from .evaluation import exponent_and_mantissa, float_of_exponent, polynomial, quick_two_sum, split_positive
from .exponential import LN2, exp_of_negative
from .staging import staged


def log_of_parts(k, f):
    """k ln2 + log(1 + f) for integral k (a float vector) and f in [-1/4, 1/2)."""
    high, low = LN2[f.type.bits]
    if f.type.bits == 32:
        z = f * f
        rest = multiply_add(k, low, f * z * polynomial(f, LOG_SINGLE))
        return multiply_add(k, high, f + multiply_add(z, -0.5, rest))
    s = f / (f + 2.0)
    z = s * s
    half_square = f * f * 0.5
    rest = multiply_add(s, multiply_add(z, polynomial(z, LOG_DOUBLE), half_square), k * low)
    return k * high - ((half_square - rest) - f)


@staged
def log(x):
    """The natural logarithm. -inf at 0 (of either sign), NaN below, subnormals exact in the exponent."""
    k, m = split_positive(floats(x))
    result = log_of_parts(k, m - 1.0)
    if avx512.available(x.type):
        return result  # the instructions that split x give k and m for which the special values come out right
    result = select(x < math.inf, result, x)
    return select(x > 0.0, result, select(x == 0.0, -math.inf, select(x < 0.0, math.nan, result)))


@staged
def log1p(x):
    """log(1 + x), accurate near 0. -inf at -1, NaN below.

    1 + x, rounded to u, only chooses k. With p = 2**-k, f = p (1 + x) - 1 = p x + (p - 1): the product is exact, and so
    is p - 1 while it matters.
    """
    u = floats(x) + 1.0
    with_instructions = avx512.available(x.type)
    if with_instructions:
        k, m = avx512.exponent_and_mantissa(u)
    else:
        integer, m = exponent_and_mantissa(u)
        k = float_of_exponent(integer, x.type)
    # p = m / u: a difference of exponents. By way of 4 p, because 2**-128 is not normal.
    p = bitcast(bits_of(m) - bits_of(u) + bits_of(x.like(4.0)), x.type) * 0.25
    finite = fast_minimum(x.type.format.largest, x)
    result = copysign(log_of_parts(k, multiply_add(finite, p, p - 1.0)), x)
    if with_instructions:
        return result  # as in log: k is -inf at -1 and inf at inf
    result = select(x < math.inf, result, x)
    return select(x > -1.0, result, select(x == -1.0, -math.inf, select(x < -1.0, math.nan, result)))


@staged
def softplus(x):
    """log(1 + e**x) = max(x, 0) + log1p(e**-|x|)."""
    e = exp_of_negative(-abs(floats(x)))
    u, lost = quick_two_sum(e.like(1.0), e)
    upper = u >= 1.5
    f = select(upper, u * 0.5, u) - 1.0 + select(upper, lost * 0.5, lost)
    return select(x < 0.0, 0.0, x) + log_of_parts(select(upper, u.like(1.0), 0.0), f)
