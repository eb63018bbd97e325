"""Loads and stores: pointers and arrays, masked tails, strided rows.

A place is `source, i` or, for 2-D arrays of any row stride, `source, i, j`. The source is a Numba pointer
(`types.CPointer(types.float32)`), a C-contiguous 1-D array or a 2-D array whose last axis is contiguous (of a 2-D array
that Numba types as strided, this is the caller's promise). Indices count elements, do not wrap around when negative and
are not checked. No alignment beyond the element's is assumed.
"""

from llvmlite import ir
from numba import types

from . import avx512
from .register import Register, Scalar, constant, declare, mask_of, vector_of
from .staging import Memory, staged, vector_method
from .vector import Mask

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def index(builder, number):
    """A Python int or Scalar as an LLVM 64-bit index."""
    if isinstance(number, Scalar):
        if not isinstance(number.type, (types.Integer, types.Boolean)):
            raise TypeError(f"an index is {number.type}, expected an integer")
        return number.cast(types.int64)
    return ir.Constant(I64, number)


def builder_of(memory):
    if not isinstance(memory, Memory):
        raise TypeError(f"got {getattr(memory, 'type', memory)}, expected an array or a pointer")
    return memory.builder


def address(memory, place, vector_type, writing=False):
    """Address of element `place`. By GEP throughout: an integer cast back to a pointer miscompiles on LLVM 22."""
    if memory.type.dtype != vector_type.dtype:
        raise TypeError(f"a source of {memory.type.dtype} meets {vector_type}")
    builder, array = memory.builder, memory.type
    is_array = isinstance(array, types.Array)
    if len(place) != (array.ndim if is_array else 1):
        raise TypeError(f"{array} takes {array.ndim if is_array else 1} indices, got {len(place)}")
    if is_array and array.layout != "C" and (array.ndim != 2 or array.layout != "A"):
        raise TypeError(f"{array}: the last axis must be contiguous")
    if writing and is_array and not array.mutable:
        raise TypeError(f"{array} is read-only")
    pointer = memory.data
    for axis, number in enumerate(place[:-1]):
        offset = builder.mul(index(builder, number), memory.strides[axis])
        pointer = builder.gep(builder.bitcast(pointer, I8.as_pointer()), [offset], source_etype=I8)
    pointer = builder.bitcast(pointer, vector_type.scalar_llvm.as_pointer())
    return builder.gep(pointer, [index(builder, place[-1])], source_etype=vector_type.scalar_llvm)


def vector_pointer(builder, pointer, vector_type):
    return builder.bitcast(pointer, vector_type.llvm.as_pointer())


def split_at_mask(arguments):
    """(i, j, mask, fill) as ((i, j), mask, fill or 0)."""
    for n, argument in enumerate(arguments):
        if isinstance(argument, Register) and isinstance(argument.type, Mask):
            rest = arguments[n + 1 :]
            if len(rest) <= 1:
                return arguments[:n], argument, rest[0] if rest else 0
    raise TypeError("expected a place, a mask and at most one fill value")


@vector_method
@staged
def first_lanes(vector_type, count):
    """The mask whose first `count` lanes are true; all of them if `count` exceeds the lanes, none if it is negative."""
    mask, integers = vector_type.mask, vector_type.with_dtype(types.int32)
    builder, number = count.builder, index(count.builder, count)
    lanes = ir.Constant(I64, mask.lanes)
    number = builder.select(builder.icmp_signed("<", number, lanes), number, lanes)
    number = Scalar(
        builder,
        types.int32,
        builder.trunc(
            builder.select(builder.icmp_signed(">", number, ir.Constant(I64, 0)), number, ir.Constant(I64, 0)), I32
        ),
    )
    lane_numbers = Register(builder, integers, ir.Constant(integers.llvm, list(range(mask.lanes))))
    return lane_numbers < number


@vector_method
@staged
def load(vector_type, source, *place):
    """The lanes at source[i], source[i + 1], ...; of a 2-D source at source[i, j], source[i, j + 1], ..."""
    builder, pointer = builder_of(source), address(source, place, vector_type)
    pointer = vector_pointer(builder, pointer, vector_type)
    value = builder.load(pointer, align=vector_type.bits // 8, typ=vector_type.llvm)
    return Register(builder, vector_type, value)


@staged
def store(target, *place_and_value):
    """target[i], target[i + 1], ... = the value's lanes: store(target, i, value) or store(target, i, j, value)."""
    *place, value = place_and_value
    builder, pointer = builder_of(target), address(target, place, vector_of(value).type, writing=True)
    builder.store(value.value, vector_pointer(builder, pointer, value.type), align=value.type.bits // 8)


@vector_method
@staged
def load_masked(vector_type, source, *place_mask_fill):
    """As `load` where the mask is true, `fill` (0 unless given) elsewhere; memory of false lanes is not touched.

    load_masked(vector_type, source, i, mask), (..., i, j, mask), either with a fill value as last argument.
    """
    place, mask, fill = split_at_mask(place_mask_fill)
    builder, pointer = builder_of(source), address(source, place, vector_type)
    mask, fill = mask_of(mask, vector_type.lanes), constant(builder, vector_type, 0).like(fill)
    pointer = vector_pointer(builder, pointer, vector_type)
    function = declare(
        builder,
        f"llvm.masked.load.{vector_type.suffix}.p0",
        vector_type.llvm,
        [pointer.type, I32, mask.type.llvm, vector_type.llvm],
    )
    align = ir.Constant(I32, vector_type.bits // 8)
    return Register(builder, vector_type, builder.call(function, [pointer, align, mask.value, fill.value]))


@staged
def store_masked(target, *place_value_mask):
    """As `store` where the mask is true; memory of false lanes is not touched.

    store_masked(target, i, value, mask) or store_masked(target, i, j, value, mask).
    """
    *place, value, mask = place_value_mask
    builder, pointer = builder_of(target), address(target, place, vector_of(value).type, writing=True)
    mask = mask_of(mask, value.type.lanes)
    pointer = vector_pointer(builder, pointer, value.type)
    function = declare(
        builder,
        f"llvm.masked.store.{value.type.suffix}.p0",
        ir.VoidType(),
        [value.type.llvm, pointer.type, I32, mask.type.llvm],
    )
    builder.call(function, [value.value, pointer, ir.Constant(I32, value.type.bits // 8), mask.value])


def lookup(table, index, vector_type):
    """table[index % 32] of 32 float32 constants: from two registers where the CPU can, else from memory."""
    builder, lanes = index.builder, 16
    if avx512.available(vector_type):
        register = vector_type.with_lanes(lanes)
        halves = (ir.Constant(register.llvm, list(table[n : n + lanes])) for n in (0, lanes))
        return avx512.permute(*(Register(builder, register, half, index.flags) for half in halves), index)
    kind = ir.ArrayType(vector_type.scalar_llvm, len(table))
    constants = ir.GlobalVariable(builder.module, kind, builder.module.get_unique_name("table"))
    constants.linkage, constants.global_constant, constants.unnamed_addr = "private", True, True
    constants.initializer = ir.Constant(kind, list(table))
    return gather_at(vector_type, constants, index & (len(table) - 1), constant(builder, vector_type.mask, 1))


@vector_method
@staged
def gather(vector_type, source, *place_and_step):
    """The lanes at source[i], source[i + step], source[i + 2 step], ...: gather(vector_type, source, i, step).

    `step` counts elements; with a 2-D source, gather(vector_type, source, i, j, step). An integer vector as `step`
    gives each lane's own offset from the place. A mask as last argument leaves the memory of false lanes untouched and
    gives 0 there.
    """
    mask = None
    if isinstance(place_and_step[-1], Register) and isinstance(place_and_step[-1].type, Mask):
        *place_and_step, mask = place_and_step
    *place, step = place_and_step
    builder, pointer = builder_of(source), address(source, place, vector_type)
    mask = constant(builder, vector_type.mask, 1) if mask is None else mask_of(mask, vector_type.lanes)
    if not isinstance(step, Register):
        wide = vector_type.with_dtype(types.int64)
        lane_numbers = Register(builder, wide, ir.Constant(wide.llvm, list(range(wide.lanes))))
        step = lane_numbers * Scalar(builder, types.int64, index(builder, step))
    return gather_at(vector_type, pointer, step, mask)


def gather_at(vector_type, pointer, offsets, mask):
    """The elements at the offsets from a pointer; 0 where the mask is false."""
    builder, lanes = mask.builder, vector_type.lanes
    pointers = builder.gep(pointer, [offsets.value], source_etype=vector_type.scalar_llvm)
    kind = ir.VectorType(ir.PointerType(), lanes)
    pointers.type = kind
    function = declare(
        builder,
        f"llvm.masked.gather.{vector_type.suffix}.v{lanes}p0",
        vector_type.llvm,
        [kind, I32, mask.type.llvm, vector_type.llvm],
    )
    zero = constant(builder, vector_type, 0)
    align = ir.Constant(I32, vector_type.bits // 8)
    return Register(builder, vector_type, builder.call(function, [pointers, align, mask.value, zero.value]))
