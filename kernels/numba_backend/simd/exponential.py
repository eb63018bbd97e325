"""exp, expm1, tanh, sigmoid.

exp, expm1 and sigmoid rest on x = n ln2 + r with |r| <= ln2 / 2 (Cody and Waite: ln2 is subtracted in two parts, the
first with so few bits that its products are exact), a polynomial for e**r - 1, and a change of the exponent by n. The
split of ln2 is that of SLEEF (float32) and fdlibm (float64). tanh halves the range once more, for an odd polynomial.
"""

from .arithmetic import fast_maximum, fast_minimum, floats, multiply_add, power_of_two, scale, select
from .coefficients import EXP_DOUBLE, EXP_SINGLE, TANH_DOUBLE, TANH_SINGLE
from .evaluation import horner, nearest_integer, nearest_power_of_two, polynomial
from .staging import staged

LOG2_E = 1.4426950408889634
LN2 = {32: (0.693145751953125, 1.42860676533018704e-6), 64: (6.93147180369123816490e-1, 1.90821492927058770002e-10)}
EXP_COEFFICIENTS = {32: EXP_SINGLE, 64: EXP_DOUBLE}

# Beyond these e**x is 0 or inf in every rounding, and expm1 is -1; the clamps keep n in the range `scale` takes.
EXP_RANGE = {32: (-104.0, 89.0), 64: (-746.0, 710.0)}
EXPM1_LEAST = {32: -18.0, 64: -38.0}

# bits: where tanh is 1, parts of ln2 / 2 (float32: one, wrong by 2**-30, of which the slope leaves nothing where n is
# large), coefficients of tanh r / r
TANH = {
    32: (9.02, (0.3465735912322998,), (1.0, *TANH_SINGLE)),
    64: (19.1, (LN2[64][0] / 2, LN2[64][1] / 2), (1.0, *TANH_DOUBLE)),
}


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
    """tanh x = (t (p + 1) + p - 1) / (t (p - 1) + p + 1), x = n ln2 / 2 + r, |r| <= ln2 / 4, t = tanh r, p = 2**n.

    That is (u - 1) / (u + 1) of u = e**2x = p (1 + t) / (1 - t). For n = 0 it is t. Written with 1 - p, and t as a
    product, so that -0 stays -0.
    """
    end, half_ln2, coefficients = TANH[floats(x).type.bits]
    r = fast_minimum(end, fast_maximum(-end, x))
    n, p = nearest_power_of_two(r, 2 * LOG2_E)
    for part in half_ln2:
        r = multiply_add(n, -part, r)
    t = horner(r * r, coefficients) * r
    below, above = 1.0 - p, p + 1.0
    return multiply_add(t, above, -below) / multiply_add(-t, below, above)


@staged
def sigmoid(x):
    """1 / (1 + e**-x), computed from e**-|x| so that nothing overflows; tends to e**x for negative x."""
    e = exp_of_negative(-abs(floats(x)))
    return select(x < 0.0, e, 1.0) / (e + 1.0)
