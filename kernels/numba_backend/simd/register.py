"""Values while code is being emitted: `Register` (a vector or mask) and `Scalar`, with Python's operators.

`a + b` on registers appends one LLVM instruction to the function being compiled and returns its result as a register. A
Python function over registers is therefore a code generator that reads like ordinary arithmetic, and costs no type
inference of its own. Python numbers and scalars beside a register are taken as its dtype and repeated in every lane.
"""

import struct

import numpy as np
from llvmlite import ir
from numba import types

from .vector import LLVM_SCALAR, Mask, Vector

I32 = ir.IntType(32)

# A flag without effect on these instructions. Numba's `fastmath=` option only touches instructions that have no flags,
# so arithmetic that carries this one keeps its roundings in every kernel; `reassoc` would destroy the error terms of
# the functions' range reductions.
AS_WRITTEN = ("afn",)

FLOAT_COMPARISON = {
    "<": "fcmp_ordered",
    "<=": "fcmp_ordered",
    ">": "fcmp_ordered",
    ">=": "fcmp_ordered",
    "==": "fcmp_ordered",
    "!=": "fcmp_unordered",
}


def literal(kind, number):
    """The LLVM text of a Python number as a constant of the scalar type `kind`."""
    if isinstance(kind, ir.IntType):
        number = int(number)
        return str(number - (1 << kind.width) if number >> (kind.width - 1) == 1 else number)
    single = isinstance(kind, ir.FloatType)
    with np.errstate(over="ignore"):
        rounded = float(np.float32(number)) if single else float(number)
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"


def convert_value(builder, value, source, target, kind):
    """An LLVM scalar or vector of dtype `source` converted as C does to dtype `target`, whose LLVM type is `kind`."""
    if source == target:
        return value
    signed = getattr(source, "signed", False)
    narrower = target.bitwidth < source.bitwidth
    if isinstance(source, types.Float):
        if isinstance(target, types.Float):
            return builder.fptrunc(value, kind) if narrower else builder.fpext(value, kind)
        return builder.fptosi(value, kind) if target.signed else builder.fptoui(value, kind)
    if isinstance(target, types.Float):
        return builder.sitofp(value, kind) if signed else builder.uitofp(value, kind)
    if target.bitwidth == source.bitwidth:
        return value
    if narrower:
        return builder.trunc(value, kind)
    return builder.sext(value, kind) if signed else builder.zext(value, kind)


class Scalar:
    """A number of Numba type `type` known only when the compiled code runs."""

    def __init__(self, builder, type, value):
        self.builder, self.type, self.value = builder, type, value

    def cast(self, dtype):
        """The LLVM value of the scalar converted to another dtype."""
        if isinstance(self.type, types.Boolean):
            value = self.value if self.value.type.width == 1 else self.builder.trunc(self.value, ir.IntType(1))
            return convert_value(self.builder, value, types.uint8, dtype, LLVM_SCALAR[dtype])
        return convert_value(self.builder, self.value, self.type, dtype, LLVM_SCALAR[dtype])


class Register:
    """A value of a Vector or Mask type. `flags` go on every floating-point instruction that follows from it."""

    def __init__(self, builder, type, value, flags=()):
        self.builder, self.type, self.value, self.flags = builder, type, value, flags

    def of(self, type, value):
        """Another register in the same place, with the same flags."""
        return Register(self.builder, type, value, self.flags)

    def like(self, number):
        """`number` (a Python number, Scalar or register) as a register of this type."""
        if isinstance(number, Register):
            if number.type != self.type:
                raise TypeError(f"{self.type} meets {number.type}: convert one of them")
            return number
        return splat(self.builder, self.type, number, self.flags)

    def is_integer(self):
        return isinstance(self.type, Mask) or not self.type.is_float

    def call(self, intrinsic, *others, result=None, suffix=None):
        """`llvm.<intrinsic>` of this register and others, declared by its mangled name."""
        result = result or self.type
        arguments = [self.value, *(other.value if isinstance(other, Register) else other for other in others)]
        function = declare(
            self.builder, f"llvm.{intrinsic}.{suffix or self.type.suffix}", result.llvm, [a.type for a in arguments]
        )
        return self.of(result, self.builder.call(function, arguments))

    def _arithmetic(self, other, float_name, integer_name, swap=False):
        other = self.like(other)
        a, b = (other, self) if swap else (self, other)
        if not self.is_integer():
            flags = a.flags or b.flags
            value = getattr(self.builder, float_name)(a.value, b.value, flags=flags)
            return Register(self.builder, self.type, value, flags)
        if integer_name is None or isinstance(self.type, Mask):
            raise TypeError(f"{self.type} has no such operation")
        return self.of(self.type, getattr(self.builder, integer_name)(a.value, b.value))

    def _bits(self, other, name, masks=True):
        if not self.is_integer() or (isinstance(self.type, Mask) and not masks):
            raise TypeError(f"{self.type} has no bitwise operation of this kind: bitcast it to integers")
        return self.of(self.type, getattr(self.builder, name)(self.value, self.like(other).value))

    def _compare(self, other, operator):
        other = self.like(other)
        if isinstance(self.type, Mask):
            raise TypeError("masks are combined with & | ^ ~, not compared")
        if self.type.is_float:
            compare = getattr(self.builder, FLOAT_COMPARISON[operator])
            return self.of(self.type.mask, compare(operator, self.value, other.value, flags=self.flags))
        compare = self.builder.icmp_signed if self.type.is_signed else self.builder.icmp_unsigned
        return self.of(self.type.mask, compare(operator, self.value, other.value))

    def __add__(self, other):
        return self._arithmetic(other, "fadd", "add")

    def __radd__(self, other):
        return self._arithmetic(other, "fadd", "add", swap=True)

    def __sub__(self, other):
        return self._arithmetic(other, "fsub", "sub")

    def __rsub__(self, other):
        return self._arithmetic(other, "fsub", "sub", swap=True)

    def __mul__(self, other):
        return self._arithmetic(other, "fmul", "mul")

    def __rmul__(self, other):
        return self._arithmetic(other, "fmul", "mul", swap=True)

    def __truediv__(self, other):
        return self._arithmetic(other, "fdiv", None)

    def __rtruediv__(self, other):
        return self._arithmetic(other, "fdiv", None, swap=True)

    def __and__(self, other):
        return self._bits(other, "and_")

    def __rand__(self, other):
        return self._bits(other, "and_")

    def __or__(self, other):
        return self._bits(other, "or_")

    def __ror__(self, other):
        return self._bits(other, "or_")

    def __xor__(self, other):
        return self._bits(other, "xor")

    def __rxor__(self, other):
        return self._bits(other, "xor")

    def __lshift__(self, other):
        return self._bits(other, "shl", masks=False)

    def __invert__(self):
        return self._bits(-1, "xor")

    def __lt__(self, other):
        return self._compare(other, "<")

    def __le__(self, other):
        return self._compare(other, "<=")

    def __gt__(self, other):
        return self._compare(other, ">")

    def __ge__(self, other):
        return self._compare(other, ">=")

    def __eq__(self, other):
        return self._compare(other, "==")

    def __ne__(self, other):
        return self._compare(other, "!=")

    __hash__ = None  # type: ignore[assignment]

    def __rshift__(self, other):
        """Arithmetic for signed lanes, logical for unsigned ones, as in NumPy."""
        return self._bits(other, "ashr" if self.type.is_signed else "lshr", masks=False)

    def __neg__(self):
        if self.is_integer():
            return 0 - self
        return self.of(self.type, self.builder.fneg(self.value, flags=self.flags))

    def __pos__(self):
        return self

    def __abs__(self):
        if not self.is_integer():
            return self.call("fabs")
        return self if not self.type.is_signed else self.call("abs", ir.Constant(ir.IntType(1), 0))


def declare(builder, name, result, arguments):
    """The function `name` of the module being built, declared on first use."""
    module = builder.module
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def vector_of(value):
    """The value, which must be a vector."""
    if not isinstance(value, Register) or not isinstance(value.type, Vector):
        raise TypeError(f"got {getattr(value, 'type', value)}, expected a vector")
    return value


def mask_of(value, lanes):
    """The value, which must be a mask of so many lanes."""
    if not isinstance(value, Register) or value.type != Mask(lanes):
        raise TypeError(f"got {getattr(value, 'type', value)}, expected a mask of {lanes} lanes")
    return value


class SplatConstant(ir.Constant):
    """One constant in every lane, written `splat (float 0x...)`: a tenth of the text LLVM has to parse."""

    def __init__(self, kind, text):
        super().__init__(kind, None)
        self.text = text

    def _get_reference(self):
        return f"splat ({self.type.element} {self.text})"


def pick_lanes(a, b, numbers):
    """The lanes of a followed by those of b, by number."""
    numbers = list(numbers)
    order = ir.Constant(ir.VectorType(I32, len(numbers)), numbers)
    return a.of(a.type.with_lanes(len(numbers)), a.builder.shuffle_vector(a.value, b.value, order))


def constant(builder, type, number, flags=()):
    """A Python number in every lane."""
    text = ("true" if number else "false") if isinstance(type, Mask) else literal(type.scalar_llvm, number)
    return Register(builder, type, SplatConstant(type.llvm, text), flags)


def splat(builder, type, number, flags=()):
    """A Python number or a Scalar in every lane. A float is not taken for integer lanes."""
    if not isinstance(number, Scalar):
        if isinstance(type, Vector) and not type.is_float and isinstance(number, float):
            raise TypeError(f"{type} meets the float {number}: convert one of them")
        return constant(builder, type, number, flags)
    if isinstance(type, Mask):
        raise TypeError(f"{type} meets {number.type}")
    if not type.is_float and isinstance(number.type, types.Float):
        raise TypeError(f"{type} meets a {number.type}: convert one of them")
    undefined = ir.Constant(type.llvm, ir.Undefined)
    first = builder.insert_element(undefined, number.cast(type.dtype), ir.Constant(I32, 0))
    if type.lanes == 1:
        return Register(builder, type, first, flags)
    everywhere = ir.Constant(ir.VectorType(I32, type.lanes), [0] * type.lanes)
    return Register(builder, type, builder.shuffle_vector(first, undefined, everywhere), flags)
