"""bfloat16 in words: two neighbours of a sum, rounded, side by side in 32 bits, the first in the lower half.

bfloat16 is the upper half of a float32: its sign, its exponent, 7 bits of its mantissa. Rounding is to nearest, ties to
even; subnormal numbers become 0, as x86's instructions have it (Intel's architecture manual, VCVTNEPS2BF16).
"""

from llvmlite import ir
from numba import types

from . import host
from .arithmetic import bitcast, convert, is_nan, multiply_add, select
from .register import Register, declare, pick_lanes
from .vector import vector

WIDE = 16  # lanes of x86's instructions
UPPER = 0xFFFF0000
QUIET = 0x00400000  # the bit that makes a NaN quiet: what is left of one is never an infinity
SIGN = 0x80000000


class _BFloat(ir.Type):
    """LLVM's scalar type, which llvmlite does not know."""

    def _to_string(self):
        return "bfloat"

    def __eq__(self, other):
        return isinstance(other, _BFloat)

    def __hash__(self):
        return hash(_BFloat)


HALVES = ir.VectorType(_BFloat(), 2 * WIDE)


def has_pairs(vector_type):
    """Whether one instruction multiplies words of bfloat16 pairs and adds them to the vector's lanes."""
    return vector_type == vector(types.float32, WIDE) and host.has_feature("avx512bf16")


def words_type(vector_type):
    """The vector type of as many words."""
    return vector_type.with_dtype(types.uint32)


def rounded(x):
    """The bits of float32 lanes, rounded; the lower halves are 0."""
    bits = bitcast(x, words_type(x.type))
    nearest = bits + 0x7FFF + ((bits >> 16) & 1)
    nearest = select(abs(x) < x.type.format.tiny, bits & SIGN, nearest)
    return select(is_nan(x), bits | QUIET, nearest) & UPPER


def words(even, odd):
    """The words of pairs: each lane holds an even lane's bfloat16 below an odd one's."""
    single = even.type.with_dtype(types.float32)
    low, high = (rounded(convert(x, single)) for x in (even, odd))
    return (low >> 16) | high


def converted(first, second):
    """The bfloat16 of the first register's lanes, then of the second's, two a word: one instruction."""
    builder, kind = first.builder, first.type.llvm
    function = declare(builder, "llvm.x86.avx512bf16.cvtne2ps2bf16.512", HALVES, [kind, kind])
    return builder.call(function, [second.value, first.value])


def words_below(upper, lower):
    """Words of what is in the same lane of two registers."""
    if not has_pairs(upper.type):
        return words(upper, lower)
    builder, kind = upper.builder, ir.VectorType(ir.IntType(16), 2 * WIDE)
    halves = builder.bitcast(converted(upper, lower), kind)
    order = ir.Constant(ir.VectorType(ir.IntType(32), 2 * WIDE), [i // 2 + i % 2 * WIDE for i in range(2 * WIDE)])
    found = words_type(upper.type)
    return Register(builder, found, builder.bitcast(builder.shuffle_vector(halves, halves, order), found.llvm))


def words_beside(first, second):
    """Words of neighbouring lanes, of the first register, then of the second."""
    if has_pairs(first.type):
        found = words_type(first.type)
        return Register(first.builder, found, first.builder.bitcast(converted(first, second), found.llvm))
    lanes = first.type.lanes
    return words(pick_lanes(first, second, range(0, 2 * lanes, 2)), pick_lanes(first, second, range(1, 2 * lanes, 2)))


def add_products(total, a, b):
    """total + a0 b0 + a1 b1 in each lane, of words a and b, summed as total's dtype."""
    if has_pairs(total.type):
        builder = total.builder
        function = declare(
            builder, "llvm.x86.avx512bf16.dpbf16ps.512", total.type.llvm, [total.type.llvm, HALVES, HALVES]
        )
        halves = [builder.bitcast(x.value, HALVES) for x in (a, b)]
        return total.of(total.type, builder.call(function, [total.value, *halves]))
    single = total.type.with_dtype(types.float32)
    for part in (lambda x: x << 16, lambda x: x & UPPER):
        total = multiply_add(*(convert(bitcast(part(x), single), total.type) for x in (a, b)), total)
    return total
