"""Lane-wise arithmetic beyond the operators: select, fma, minimum and maximum, rounding, conversions, exponents, masks.

Python's + - * / and unary -, comparisons (which give a Mask), & | ^ ~ on masks and integers and << >> on integers work
lane by lane; a number beside a vector counts as its dtype in every lane. Comparisons with NaN are false, except !=.
"""

from llvmlite import ir
from numba import types

from . import avx512
from .host import has_fma
from .register import Register, Scalar, constant, convert_value, declare, mask_of
from .staging import staged
from .vector import Mask, Vector


def alike(*values):
    """The values as registers of one vector type: that of the first that is a vector."""
    for value in values:
        if isinstance(value, Register) and isinstance(value.type, Vector):
            return [value.like(other) for other in values]
    raise TypeError("none of the arguments is a vector")


def floats(value):
    if not isinstance(value, Register) or not isinstance(value.type, Vector) or not value.type.is_float:
        raise TypeError(f"got {getattr(value, 'type', value)}, expected a vector of floats")
    return value


@staged
def select(mask, a, b):
    """a where the mask is true, b elsewhere. Either may be a number."""
    a, b = alike(a, b)
    return a.of(a.type, a.builder.select(mask_of(mask, a.type.lanes).value, a.value, b.value))


@staged
def fma(a, b, c):
    """a * b + c rounded once. On a CPU without the instruction this is a slow call per lane: see `multiply_add`."""
    a, b, c = alike(a, b, c)
    return floats(a).call("fma", b, c)


@staged
def multiply_add(a, b, c):
    """a * b + c rounded once where the CPU has that instruction, twice elsewhere."""
    a, b, c = alike(a, b, c)
    return floats(a).call("fma", b, c) if has_fma() else a * b + c


@staged
def is_nan(x):
    """The mask of the lanes that are NaN."""
    return x.of(x.type.mask, x.builder.fcmp_unordered("uno", floats(x).value, x.value, flags=x.flags))


@staged
def maximum(a, b):
    """The larger; NaN if either is NaN, as np.maximum. Which zero max(-0, 0) gives is not fixed."""
    a, b = alike(a, b)
    larger = select(b > a, b, a)
    return select(is_nan(b), b, larger) if a.type.is_float else larger


@staged
def minimum(a, b):
    """The smaller; NaN if either is NaN, as np.minimum. Which zero min(-0, 0) gives is not fixed."""
    a, b = alike(a, b)
    smaller = select(b < a, b, a)
    return select(is_nan(b), b, smaller) if a.type.is_float else smaller


@staged
def fast_maximum(a, b):
    """a if a > b, else b: one instruction on x86. b if either is NaN, so max(constant, x) keeps the NaN of x."""
    a, b = alike(a, b)
    return select(a > b, a, b)


@staged
def fast_minimum(a, b):
    """a if a < b, else b: one instruction on x86. b if either is NaN, so min(constant, x) keeps the NaN of x."""
    a, b = alike(a, b)
    return select(a < b, a, b)


@staged
def sqrt(x):
    """The square root, correctly rounded; NaN for x < 0, -0 for -0."""
    return floats(x).call("sqrt")


@staged
def absolute(x):
    """abs(x); clears the sign bit of NaN and -0. The least integer stays as it is, as in NumPy."""
    return abs(x)


@staged
def rint(x):
    """The nearest integer as a float, ties to even."""
    return floats(x).call("rint")


@staged
def floor(x):
    """The largest integer not above x, as a float."""
    return floats(x).call("floor")


@staged
def copysign(magnitude, sign):
    """abs(magnitude) with the sign bit of `sign`."""
    magnitude, sign = alike(magnitude, sign)
    return floats(magnitude).call("copysign", sign)


@staged
def convert(x, vector_type):
    """Each lane as the dtype of `vector_type`, which has as many lanes.

    Between floats rounded to nearest even; float to integer truncated, out of range to the nearest end, NaN to 0;
    integer to a narrower integer modulo 2**bits.
    """
    source, target = x.type, vector_type
    if target.lanes != source.lanes:
        raise TypeError(f"convert: {source} and {target} differ in lanes")
    if source.is_float and not target.is_float:
        name = "fptosi.sat" if target.is_signed else "fptoui.sat"
        return x.call(name, result=target, suffix=f"{target.suffix}.{source.suffix}")
    return x.of(target, convert_value(x.builder, x.value, source.dtype, target.dtype, target.llvm))


@staged
def bitcast(x, vector_type):
    """The same bits as another dtype of the same size."""
    if x.type.lanes * x.type.bits != vector_type.lanes * vector_type.bits:
        raise TypeError(f"bitcast: {x.type} and {vector_type} differ in size")
    return x.of(vector_type, x.builder.bitcast(x.value, vector_type.llvm))


def bits_of(x):
    """The bit pattern of a float vector as signed integers."""
    return bitcast(x, x.type.integer)


def power_of_two(n, vector_type):
    """2**n for integers n in the range of normal exponents."""
    return bitcast((n + vector_type.format.bias) << vector_type.format.mantissa, vector_type)


def scale(x, n, integer):
    """x * 2**n, rounded once, for x within [1/4, 4] or NaN and |n| < 2 * (largest exponent).

    n is given as floats and as integers.
    """
    if avx512.available(x.type):
        return avx512.scalef(x, n)
    # The first product is exact, so only the second can round: a subnormal result is right.
    half = integer >> 1
    return x * power_of_two(half, x.type) * power_of_two(integer - half, x.type)


def narrow(n):
    return convert(n, n.type.with_dtype(types.int32))


@staged
def ldexp(x, n):
    """x * 2**n for an integer vector n of the same lane size, rounded once, subnormals and overflow included."""
    format = floats(x).type.format
    n = x.of(x.type.integer, n.value) if isinstance(n, Register) else constant(x.builder, x.type.integer, n, x.flags)
    if n.type.llvm != n.value.type:
        raise TypeError(f"ldexp: the exponent is {n.value.type}, expected {n.type}")
    # As musl's scalbn: two coarse steps bring n into the range of normal exponents. Downwards a step leaves room for
    # the mantissa, so that a result that becomes subnormal in a coarse step ends as zero or has lost nothing.
    top, down = format.bias, format.bias - 1 - format.mantissa - 1
    for _ in range(2):
        x = x * select(n > top, constant(x.builder, x.type, 2.0**top), 1.0)
        n = n - select(n > top, constant(x.builder, n.type, top), 0)
        x = x * select(n < 1 - top, constant(x.builder, x.type, 2.0**-down), 1.0)
        n = n + select(n < 1 - top, constant(x.builder, n.type, down), 0)
    return x * power_of_two(fast_maximum(fast_minimum(n, top), 1 - top), x.type)


def mask_bits(mask):
    """The mask as one integer of as many bits."""
    if not isinstance(mask, Register) or not isinstance(mask.type, Mask):
        raise TypeError(f"got {getattr(mask, 'type', mask)}, expected a mask")
    return mask.builder.bitcast(mask.value, ir.IntType(mask.type.lanes))


@staged
def any_lane(mask):
    """Whether the mask is true in some lane."""
    bits = mask_bits(mask)
    return Scalar(mask.builder, types.boolean, mask.builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0)))


@staged
def all_lanes(mask):
    """Whether the mask is true in every lane."""
    bits = mask_bits(mask)
    return Scalar(mask.builder, types.boolean, mask.builder.icmp_unsigned("==", bits, ir.Constant(bits.type, -1)))


@staged
def count_lanes(mask):
    """In how many lanes the mask is true."""
    bits, builder = mask_bits(mask), mask.builder
    function = declare(builder, f"llvm.ctpop.i{bits.type.width}", bits.type, [bits.type])
    count = builder.call(function, [bits])
    width = bits.type.width
    wide = builder.zext(count, ir.IntType(64)) if width < 64 else count
    return Scalar(builder, types.int64, wide if width <= 64 else builder.trunc(wide, ir.IntType(64)))
