"""AVX-512 instructions that take floating-point numbers apart and scale them, where the host has them.

Each replaces several integer instructions and treats subnormals, infinities and NaN right by itself. They are used for
vectors that fill whole 512-bit registers; elsewhere the callers' portable code gives the same bits.
"""

from llvmlite import ir

from .host import has_feature
from .register import declare, pick_lanes

I32 = ir.IntType(32)
CURRENT_ROUNDING = ir.Constant(I32, 4)
# vgetmant's immediate: mantissas in [3/4, 3/2), NaN for negative numbers.
THREE_QUARTERS_AND_NAN_BELOW_ZERO = ir.Constant(I32, 0b1011)


def available(vector_type):
    """Whether vectors of this type fill 1, 2, 4, ... 512-bit registers of the host."""
    registers, rest = divmod(vector_type.lanes * vector_type.bits, 512)
    return has_feature("avx512f") and rest == 0 and registers & (registers - 1) == 0


def each_register(name, x, *operands):
    """llvm.x86.avx512.mask.<name> of every 512-bit part of x and of the operands that are registers."""
    lanes = 512 // x.type.bits
    parts = []
    for first in range(0, x.type.lanes, lanes):

        def part(value, first=first):
            if isinstance(value, ir.Constant):
                return value
            return pick_lanes(value, value, range(first, first + lanes)).value

        values = [part(x), *map(part, operands)]
        kind = values[0].type
        everywhere = ir.Constant(ir.IntType(lanes), -1)
        values += [ir.Constant(kind, ir.Undefined), everywhere, CURRENT_ROUNDING]
        suffix = "ps" if x.type.bits == 32 else "pd"
        function = declare(x.builder, f"llvm.x86.avx512.mask.{name}.{suffix}.512", kind, [v.type for v in values])
        parts.append(x.of(x.type.with_lanes(lanes), x.builder.call(function, values)))
    return join(parts)


def join(parts):
    """The lanes of several registers in one."""
    while len(parts) > 1:
        lanes = 2 * parts[0].type.lanes
        parts = [pick_lanes(a, b, range(lanes)) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def permute(low, high, index):
    """The numbers of the registers low and high, 0 ... 31 (float32), that the last bits of index choose."""
    kind, lanes = low.type.llvm, low.type.lanes
    function = declare(low.builder, "llvm.x86.avx512.vpermi2var.ps.512", kind, [kind, ir.VectorType(I32, lanes), kind])
    parts = []
    for first in range(0, index.type.lanes, lanes):
        part = pick_lanes(index, index, range(first, first + lanes))
        parts.append(low.of(low.type, low.builder.call(function, [low.value, part.value, high.value])))
    return join(parts)


def scalef(x, n):
    """x * 2**n for an integral float vector n, rounded once."""
    return each_register("scalef", x, n)


def exponent_and_mantissa(x):
    """k (integral floats) and m with x = m 2**k, m in [3/4, 3/2).

    k is -inf for 0 and inf for inf, m then 1; NaN and x < 0 give NaN.
    """
    m = each_register("getmant", x, THREE_QUARTERS_AND_NAN_BELOW_ZERO)
    return each_register("getexp", x) - each_register("getexp", m), m
