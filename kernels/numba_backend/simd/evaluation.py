"""Building blocks of the vector functions: polynomials, exponents and mantissas, error-free sums and products."""

from . import avx512
from .arithmetic import any_lane, bitcast, bits_of, convert, multiply_add, select
from .host import has_fma
from .register import constant


def horner(x, coefficients):
    """c[0] + x (c[1] + x (c[2] + ...))."""
    total = x.like(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = multiply_add(total, x, c)
    return total


def polynomial(x, coefficients):
    """c[0] + c[1] x + c[2] x**2 + ...

    Long ones as E(x**2) + x O(x**2): a single chain of fused multiply-adds would wait for its own results.
    """
    if len(coefficients) <= 6:
        return horner(x, coefficients)
    square = x * x
    return multiply_add(horner(square, coefficients[1::2]), x, horner(square, coefficients[::2]))


def nearest_integer(x, factor):
    """rint(x * factor) as a float and as an integer vector, for results below 2**22 (float32) or 2**51 (float64).

    Adding 1.5 * 2**mantissa leaves the integer in the low bits of the sum: one fused multiply-add rounds, and no
    conversion instruction is needed, of which x86 has none for 64-bit integers before AVX-512. NaN gives NaN and some
    integer.
    """
    magic = constant(x.builder, x.type, 1.5 * 2.0**x.type.format.mantissa, x.flags)
    shifted = multiply_add(x, factor, magic)
    return shifted - magic, bits_of(shifted) - bits_of(magic)


def nearest_power_of_two(x, factor):
    """n = rint(x * factor) and 2**n, both floats, for normal 2**n.

    As `nearest_integer`, with the exponent's bias in the addend: a shift leaves nothing but 2**n.
    """
    format = x.type.format
    magic = constant(x.builder, x.type, 1.5 * 2.0**format.mantissa + format.bias, x.flags)
    shifted = multiply_add(x, factor, magic)
    return shifted - magic, bitcast(bits_of(shifted) << format.mantissa, x.type)


def unless(rare, usual, other):
    """`usual`, with other() in the lanes of the mask `rare`; other() is evaluated if there are any.

    Only in those: a lane's result must not depend on its neighbours.
    """
    builder, before = usual.builder, usual.builder.block
    with builder.if_then(any_lane(rare).value, likely=False):
        mixed = select(rare, other(), usual)
        inside = builder.block
    result = builder.phi(usual.type.llvm)
    result.add_incoming(usual.value, before)
    result.add_incoming(mixed.value, inside)
    return usual.of(usual.type, result)


def exponent_and_mantissa(x):
    """k (an integer vector) and m with x = m * 2**k, m in [3/4, 3/2), for positive normal x."""
    explicit = x.type.format.mantissa
    three_quarters = (2 * x.type.format.bias - 1) << (explicit - 1)  # its bits: the exponent of 1/2, then a 1
    offset = bits_of(x) - three_quarters
    mantissa = (offset & ((1 << explicit) - 1)) + three_quarters
    return offset >> explicit, bitcast(mantissa, x.type)


def split_positive(x):
    """k (integral floats) and m with x = m 2**k, m in [3/4, 3/2), for x > 0 finite, subnormals included."""
    if avx512.available(x.type):
        return avx512.exponent_and_mantissa(x)
    normal, grown = normalised(x)
    k, m = exponent_and_mantissa(normal)
    return float_of_exponent(k - grown, x.type), m


def float_of_exponent(k, vector_type):
    """A small integer vector as floats. For 64 bits by adding into the mantissa, as in `nearest_integer`."""
    if vector_type.bits == 32:
        return convert(k, vector_type)
    magic = constant(k.builder, vector_type, 1.5 * 2.0**vector_type.format.mantissa, k.flags)
    return bitcast(k + bits_of(magic), vector_type) - magic


def normalised(x):
    """x with subnormals scaled up, and the integer vector by which the exponent grew."""
    tiny, shift = x < x.type.format.tiny, x.type.format.mantissa
    grown = select(tiny, constant(x.builder, x.type.integer, shift), 0)
    return select(tiny, x * 2.0**shift, x), grown


def two_sum(a, b):
    """s + e = a + b exactly, s the rounded sum (Knuth)."""
    s = a + b
    shadow = s - a
    return s, (a - (s - shadow)) + (b - shadow)


def quick_two_sum(a, b):
    """As two_sum where abs(a) >= abs(b) or a is 0 (Dekker)."""
    s = a + b
    return s, b - (s - a)


def two_product(a, b):
    """p + e = a * b exactly, p the rounded product. By Dekker's splitting where the CPU has no fused multiply-add."""
    p = a * b
    if has_fma():
        return p, multiply_add(a, b, -p)
    splitter = 2.0 ** ((a.type.format.mantissa + 2) // 2) + 1  # half of the digits, of which one is implicit

    def split(x):
        scaled = x * splitter
        high = scaled - (scaled - x)
        return high, x - high

    (a_high, a_low), (b_high, b_low) = split(a), split(b)
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low
