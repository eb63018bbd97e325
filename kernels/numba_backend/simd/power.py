"""power: x**y = exp(y log |x|) with the sign and the special cases of C's pow.

An error of the logarithm is multiplied by up to 1000 (the largest exponent), so log |x| is an unevaluated sum of two
floats: for float64 of about 100 bits, as in fdlibm's e_pow.c; for float32 of about 31, log2 by a table as in glibc's
powf. Special cases are looked into where a vector has one.
"""

import math

from .arithmetic import alike, bitcast, bits_of, floats, is_nan, multiply_add, rint, scale, select
from .coefficients import CELL_INVERSE, CELL_LOG2_HIGH, CELL_LOG2_LOW, POWER_EXP2, POWER_LOG, POWER_LOG2
from .evaluation import horner, nearest_integer, polynomial, quick_two_sum, split_positive, two_product, unless
from .exponential import LN2, exp_of_rest, reduce_by_ln2
from .host import has_fma
from .memory import lookup
from .staging import staged

# Beyond this y log2 x (float32) or y log x (float64) is certain to overflow, or to vanish.
EXPONENT_LIMIT = {32: 160.0, 64: 750.0}
LOG2_E_SINGLE = (1.4426950216293335, 1.925963033500011e-08)
TWO_THIRDS = (0.66666666666666663, 3.7007434154171883e-17)


def log2_single(x):
    """log2 x for x > 0 as high + low, to about 2**-31 of it; low is below 2**-10 of high.

    log2 x = k - log2 c + log2(1 + r), x = 2**k m, r = m c - 1, where a table gives c near 1/m, so that |r| < 2**-5.
    """
    k, m = split_positive(x)
    cell = bits_of(m) >> 18
    c, high, low = (lookup(table, cell, x.type) for table in (CELL_INVERSE, CELL_LOG2_HIGH, CELL_LOG2_LOW))
    if has_fma():
        r = multiply_add(m, c, -1.0)
    else:
        product, lost = two_product(m, c)
        r = (product - 1.0) + lost
    # log2(1 + r) = r v, v = log2(e) + r P(r)
    rest, log2_e = horner(r, POWER_LOG2), r.like(LOG2_E_SINGLE[0])
    v = multiply_add(r, rest, log2_e)
    v_low = multiply_add(r, rest, log2_e - v) + LOG2_E_SINGLE[1]
    product, product_low = two_product(r, v)
    total, lost = quick_two_sum(k + high, product)
    return total, multiply_add(r, v_low, low) + (product_low + lost)


def size_single(size, y):
    """y log2 size and size**y for size > 0 finite; right where the former is within EXPONENT_LIMIT."""
    logarithm, low = log2_single(size)
    exponent, exponent_low = two_product(y, logarithm)
    exponent_low = multiply_add(y, low, exponent_low)
    n, integer = nearest_integer(exponent + exponent_low, 1.0)
    f = (exponent - n) + exponent_low
    return exponent, scale(multiply_add(f, horner(f, POWER_EXP2), 1.0), n, integer)


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
    """As `size_single`, with y log size for the exponent."""
    logarithm, low = log_double(size)
    exponent, exponent_low = two_product(y, logarithm)
    exponent_low = multiply_add(y, low, exponent_low)
    n, integer, r = reduce_by_ln2(exponent, tail=exponent_low)
    return exponent, scale(exp_of_rest(r), n, integer)


def with_special_cases(x, y, size, result):
    """x**y from size**y for finite nonzero size: zeros, infinities, NaN, and the sign."""
    grows = select(size == 0.0, -y, y) > 0.0
    edge = select(grows, y.like(math.inf), select(is_nan(y), y, 0.0))
    result = select((size == 0.0) | (size == math.inf), edge, select(is_nan(size), size, result))
    result = select((size == 1.0) & (~is_nan(y)), 1.0, result)
    half = y * 0.5
    integral, odd = rint(y) == y, rint(half) != half
    sign = select(integral & odd, bits_of(x) & bits_of(x.like(-0.0)), 0)
    result = bitcast(bits_of(result) | sign, x.type)
    result = select((x < 0.0) & (size < math.inf) & ~integral, math.nan, result)
    return select((y == 0.0) | (x == 1.0), 1.0, result)


@staged
def power(x, y):
    """x**y, as np.power of floats.

    x**0 and 1**y are 1, also for NaN; a negative finite x with a y that is not an integer gives NaN; an odd integer y
    keeps the sign of x, of zeros and infinities too. Either may be a number.
    """
    x, y = alike(x, y)
    size = abs(floats(x))
    exponent, result = (size_single if x.type.bits == 32 else size_double)(size, y)
    bounded = abs(exponent) < EXPONENT_LIMIT[x.type.bits]
    # x > 0 finite, as one comparison of integers
    unsigned = x.type.with_dtype(f"uint{x.type.bits}")
    usual = bitcast(x, unsigned) - 1 < bitcast(x.like(math.inf), unsigned) - 1
    if not has_fma():
        usual = usual & (x != 1.0)  # two_product gives NaN for a huge y and log x = 0

    def special():
        # Beyond the limit inf or 0; NaN of y stays.
        end = select(exponent > 0.0, math.inf, select(exponent < 0.0, 0.0, exponent))
        return with_special_cases(x, y, size, select(bounded, result, end))

    return unless(~(bounded & usual), result, special)
