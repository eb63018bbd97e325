"""power: x**y = exp(y log |x|) with the sign and the special cases of C's pow.

An error of the logarithm is multiplied by up to 1000 (the largest exponent), so float32 takes logarithm and exponential
in float64, and float64 keeps log |x| as an unevaluated sum of two floats (about 100 bits), as fdlibm's e_pow.c does.
"""

import math

from . import avx512
from .arithmetic import (
    alike,
    bitcast,
    bits_of,
    convert,
    fast_maximum,
    fast_minimum,
    floats,
    is_nan,
    multiply_add,
    power_of_two,
    rint,
    scale,
    select,
)
from .coefficients import POWER_EXP2, POWER_LOG, POWER_LOG2
from .evaluation import nearest_integer, polynomial, quick_two_sum, split_positive, two_product
from .exponential import LN2, exp_of_rest, reduce_by_ln2
from .staging import staged

TWO_THIRDS = (0.66666666666666663, 3.7007434154171883e-17)


def size_single(size, y):
    """size**y for size >= 0, in float64 until the final rounding, which makes subnormals right."""
    double = size.type.with_dtype("float64")
    k, m = (convert(part, double) for part in split_positive(size))
    s = (m - 1.0) / (m + 1.0)
    logarithm = multiply_add(s, polynomial(s * s, POWER_LOG2), k)
    if not avx512.available(size.type):
        logarithm = select(size == 0.0, -math.inf, select(size < math.inf, logarithm, convert(size, double)))
    exponent = fast_minimum(200.0, fast_maximum(-200.0, convert(y, double) * logarithm))
    n, integer = nearest_integer(exponent, 1.0)
    f = exponent - n
    return convert(multiply_add(f, polynomial(f, POWER_EXP2), 1.0) * power_of_two(integer, double), size.type)


def log_double(x):
    """log x for x > 0 as high + low.

    log m = 2 atanh(s) = s (2 + z (2/3 + z Q(z))) with s = (m - 1) / (m + 1), z = s**2; all but z Q(z) are such pairs.
    """
    k, m = split_positive(x)
    f, below = m - 1.0, m + 1.0
    below_low = m - (below - 1.0)
    s = f / below
    product, product_low = two_product(s, below)
    s_low = (((f - product) - product_low) - s * below_low) / below
    z, z_low = two_product(s, s)
    z_low = z_low + 2.0 * s * s_low
    c, c_low = quick_two_sum(z.like(TWO_THIRDS[0]), z * polynomial(z, POWER_LOG))
    c_low = c_low + TWO_THIRDS[1]
    p, p_low = two_product(z, c)
    p_low = p_low + (z * c_low + z_low * c)
    q, q_low = quick_two_sum(p.like(2.0), p)
    q_low = q_low + p_low
    log_m, log_m_low = two_product(s, q)
    log_m_low = log_m_low + (s * q_low + s_low * q)
    total, lost = quick_two_sum(k * LN2[64][0], log_m)
    return quick_two_sum(total, lost + (log_m_low + k * LN2[64][1]))


def size_double(size, y):
    """size**y for size >= 0."""
    logarithm, low = log_double(size)
    logarithm = select(size == 0.0, -math.inf, select(size < math.inf, logarithm, size))
    exponent, exponent_low = two_product(y, logarithm)
    exponent_low = multiply_add(y, low, exponent_low)
    # Beyond the range of exp the low part may be inf - inf, and does not matter.
    exponent_low = select(abs(exponent) < 800.0, exponent_low, 0.0)
    n, integer, r = reduce_by_ln2(fast_minimum(710.0, fast_maximum(-760.0, exponent)), tail=exponent_low)
    return scale(exp_of_rest(r), n, integer)


@staged
def power(x, y):
    """x**y, as np.power of floats.

    x**0 and 1**y are 1, also for NaN; a negative finite x with a y that is not an integer gives NaN; an odd integer y
    keeps the sign of x, of zeros and infinities too. Either may be a number.
    """
    x, y = alike(x, y)
    size = abs(floats(x))
    result = (size_single if x.type.bits == 32 else size_double)(size, y)
    result = select((size == 1.0) & (~is_nan(y)), 1.0, result)
    half = y * 0.5
    integral, odd = rint(y) == y, rint(half) != half
    sign = select(integral & odd, bits_of(x) & bits_of(x.like(-0.0)), 0)
    result = bitcast(bits_of(result) | sign, x.type)
    result = select((x < 0.0) & (size < math.inf) & ~integral, math.nan, result)
    return select((y == 0.0) | (x == 1.0), 1.0, result)
