"""A kernel's calling convention: ``void kernel(words, thread, threads)``.

``words`` is a row of 64-bit words: the kernel's address, a flag for an executor, then four words an operand. An array
is its address, rows, columns and the bytes from row to row (a 1-D array is one row); a number is the bits of a
float64; an operand that is not given is zeros.
"""

import os

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ...memory import LINE
from ..simd import host
from .partition import COLUMN_UNIT, share_of, splits_rows

WORDS = types.CPointer(types.int64)
KERNEL = types.void(WORDS, types.int64, types.int64)
FIRST_OPERAND, OPERAND_WORDS = 2, 4
ROW_WORDS = 64  # of a row, eight cache lines: room for 15 operands; the longest call of the contract has 10
ADDRESS, ROWS, COLUMNS, STRIDE = range(OPERAND_WORDS)

I64, F64 = ir.IntType(64), ir.DoubleType()

inlined = njit(forceinline=True)
"""Compiles a function into the kernels that use it. A kernel's object code has to be a single function: others would be
weak symbols, which are not found again when the code is loaded from disk."""


def _place(builder, words, operand, field):
    first = ir.Constant(I64, FIRST_OPERAND + field)
    return builder.gep(
        words, [builder.add(builder.mul(operand, ir.Constant(I64, OPERAND_WORDS)), first)], source_etype=I64
    )


@intrinsic
def pointer(typing, vector, words, operand):
    """The operand's first element. Loaded as a pointer: an integer cast to one miscompiles on LLVM 22."""
    kind = types.CPointer(vector.vector_type.dtype)

    def codegen(context, builder, signature, arguments):
        place = _place(builder, arguments[1], arguments[2], ADDRESS)
        return builder.load(place, typ=context.get_value_type(kind))

    return kind(vector, words, types.int64), codegen


def _field(field):
    @intrinsic
    def read(typing, words, operand):
        def codegen(context, builder, signature, arguments):
            return builder.load(_place(builder, arguments[0], arguments[1], field), typ=I64)

        return types.int64(words, types.int64), codegen

    return read


rows, columns, stride_bytes = _field(ROWS), _field(COLUMNS), _field(STRIDE)


@intrinsic
def number(typing, words, operand):
    """The operand as a float64."""

    def codegen(context, builder, signature, arguments):
        return builder.load(_place(builder, arguments[0], arguments[1], ADDRESS), typ=F64)

    return types.float64(words, types.int64), codegen


@intrinsic
def advance(typing, pointer, elements):
    """The pointer, so many elements on."""

    def codegen(context, builder, signature, arguments):
        kind = context.get_data_type(signature.args[0].dtype)
        return builder.gep(arguments[0], [arguments[1]], source_etype=kind)

    return pointer(pointer, types.int64), codegen


@intrinsic
def row(typing, vector, words, operand, i):
    """The first element of the operand's row i."""
    kind = types.CPointer(vector.vector_type.dtype)

    def codegen(context, builder, signature, arguments):
        first = builder.load(_place(builder, *arguments[1:3], ADDRESS), typ=context.get_value_type(kind))
        stride = builder.load(_place(builder, *arguments[1:3], STRIDE), typ=I64)
        return builder.gep(first, [builder.mul(arguments[3], stride)], source_etype=ir.IntType(8))

    return kind(vector, words, types.int64, types.int64), codegen


@intrinsic(prefer_literal=True)
def stack(typing, vector, elements):
    """Uninitialised memory of so many elements on the stack, from a cache line on; the count is a constant."""
    kind, count = types.CPointer(vector.vector_type.dtype), elements.literal_value

    def codegen(context, builder, signature, arguments):
        # Not cgutils.alloca_once, which stores zeros into the whole of it.
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(vector.vector_type.scalar_llvm, count))
        memory.align = LINE
        return builder.bitcast(memory, context.get_value_type(kind))

    return kind(vector, elements), codegen


def _function_at(builder, words, operand, kind):
    """The function whose address is the operand: object code from disk names no other, so it comes as a number."""
    place = _place(builder, words, operand, ADDRESS)
    return builder.load(builder.bitcast(place, kind.as_pointer().as_pointer()))


@intrinsic
def borrow(typing, vector, words, operand, elements):
    """Uninitialised memory of so many elements, from the allocator that is the operand; null if there is none."""
    kind = types.CPointer(vector.vector_type.dtype)

    def codegen(context, builder, signature, arguments):
        allocator = _function_at(builder, *arguments[1:3], ir.FunctionType(ir.PointerType(), [I64]))
        size = context.get_abi_sizeof(vector.vector_type.scalar_llvm)
        nbytes = builder.add(builder.mul(arguments[3], ir.Constant(I64, size)), ir.Constant(I64, LINE))
        return builder.call(allocator, [nbytes])

    return kind(vector, words, types.int64, types.int64), codegen


@intrinsic
def give_back(typing, words, operand, memory):
    """Ends the use of what was borrowed, by the function that is the operand."""

    def codegen(context, builder, signature, arguments):
        release = _function_at(builder, *arguments[:2], ir.FunctionType(ir.VoidType(), [ir.PointerType()]))
        builder.call(release, [arguments[2]])
        return context.get_dummy_value()

    return types.void(words, types.int64, memory), codegen


@intrinsic
def from_a_line(typing, memory):
    """The first address of a cache line in borrowed memory."""

    def codegen(context, builder, signature, arguments):
        place = builder.ptrtoint(arguments[0], I64)
        over = builder.and_(builder.neg(place), ir.Constant(I64, LINE - 1))
        return builder.gep(arguments[0], [over], source_etype=ir.IntType(8))

    return memory(memory), codegen


@intrinsic
def given(typing, memory):
    """Whether there is memory."""

    def codegen(context, builder, signature, arguments):
        return cgutils.is_not_null(builder, arguments[0])

    return types.boolean(memory), codegen


share, by_rows = inlined(share_of), inlined(splits_rows)


@inlined
def part(height, width, thread, threads):
    """A thread's part of an array: its first row, the one after its last, the same for columns."""
    if by_rows(height, width, threads):
        first, last = share(height, thread, threads, 1)
        return first, last, 0, width
    first, last = share(width, thread, threads, COLUMN_UNIT)
    return 0, height, first, last


@inlined
def joined_part(height, width, thread, threads, joined):
    """``part`` of an array; where its rows may be ``joined``, a part of whole rows becomes one row."""
    top, bottom, left, right = part(height, width, thread, threads)
    if joined and right - left == width:
        return min(0, top), min(1, bottom - top), top * width, bottom * width
    return top, bottom, left, right


@inlined
def contiguous(words, operand, element_bytes):
    """Whether an array's rows follow each other without gaps."""
    return rows(words, operand) <= 1 or stride_bytes(words, operand) == columns(words, operand) * element_bytes


@intrinsic
def words_on_stack(typing, size):
    """A row of words on the stack."""

    def codegen(context, builder, signature, arguments):
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(I64, ROW_WORDS))
        return builder.bitcast(memory, context.get_value_type(WORDS))

    return WORDS(size), codegen


@intrinsic
def follow(typing, words, index):
    """The pointer stored in words[index]."""

    def codegen(context, builder, signature, arguments):
        return builder.load(
            builder.gep(arguments[0], [arguments[1]], source_etype=I64), typ=context.get_value_type(WORDS)
        )

    return WORDS(words, types.int64), codegen


@intrinsic
def finish(typing, words, operand, first, first_row, second, second_row, height, width):
    """Calls the function whose address is the operand, if there is one, with the other arguments."""
    kind = types.void(first, types.int64, second, types.int64, types.int64, types.int64)

    def codegen(context, builder, signature, arguments):
        function = ir.FunctionType(ir.VoidType(), [ir.PointerType(), I64, ir.PointerType(), I64, I64, I64])
        place = _place(builder, arguments[0], arguments[1], ADDRESS)
        with builder.if_then(builder.icmp_signed("!=", builder.load(place, typ=I64), ir.Constant(I64, 0))):
            builder.call(_function_at(builder, arguments[0], arguments[1], function), list(arguments[2:]))
        return context.get_dummy_value()

    return types.void(words, types.int64, *kind.args), codegen


@intrinsic
def call_kernel(typing, words, thread, threads):
    """Calls the kernel whose address is words[0]."""

    def codegen(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [ir.PointerType(), I64, I64])
        address = builder.load(builder.bitcast(arguments[0], kind.as_pointer().as_pointer()))
        builder.call(address, list(arguments))
        return context.get_dummy_value()

    return types.void(words, types.int64, types.int64), codegen


# ---- what threads share -------------------------------------------------------------------------------------------


def _place_of(builder, arguments):
    return builder.gep(arguments[0], [arguments[1]], source_etype=I64)


@intrinsic
def atomic_load(typing, words, index):
    """words[index], after which everything is seen that was written before it was stored."""

    def codegen(context, builder, signature, arguments):
        return builder.load_atomic(_place_of(builder, arguments), "seq_cst", 8, typ=I64)

    return types.int64(words, types.int64), codegen


@intrinsic
def atomic_store(typing, words, index, value):
    """words[index] = value, after everything written before."""

    def codegen(context, builder, signature, arguments):
        builder.store_atomic(arguments[2], _place_of(builder, arguments), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(words, types.int64, types.int64), codegen


def _read_modify_write(operation):
    @intrinsic
    def function(typing, words, index, value):
        def codegen(context, builder, signature, arguments):
            return builder.atomic_rmw(operation, _place_of(builder, arguments), arguments[2], "seq_cst")

        return types.int64(words, types.int64, types.int64), codegen

    return function


atomic_add = _read_modify_write("add")  # both return what was there before
atomic_exchange = _read_modify_write("xchg")


@intrinsic
def place(typing, words, index):
    """The words from some index on."""

    def codegen(context, builder, signature, arguments):
        return _place_of(builder, arguments)

    return WORDS(words, types.int64), codegen


@intrinsic
def pause(typing, nothing):
    """Tells an x86 core that its thread spins; elsewhere nothing."""

    def codegen(context, builder, signature, arguments):
        if host.is_x86():
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(nothing), codegen


@intrinsic
def ticks(typing, nothing):
    """A clock of the CPU that goes on at a constant rate, the same on all cores; its unit is the CPU's own.

    x86's time-stamp counter, AArch64's virtual counter; elsewhere what LLVM takes for a cycle counter.
    """

    def codegen(context, builder, signature, arguments):
        if host.is_aarch64():
            return builder.asm(ir.FunctionType(I64, []), "mrs $0, cntvct_el0", "=r", [], side_effect=True)
        counter = ir.FunctionType(I64, [])
        return builder.call(cgutils.get_or_insert_function(builder.module, counter, "llvm.readcyclecounter"), [])

    return types.int64(nothing), codegen


@intrinsic
def yield_core(typing, nothing):
    """Lets another thread or process have the core (POSIX sched_yield; elsewhere nothing)."""

    def codegen(context, builder, signature, arguments):
        if os.name == "posix":
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"
            )
            builder.call(function, [])
        return context.get_dummy_value()

    return types.void(nothing), codegen


@intrinsic
def _address(typing, pointer):
    """A pointer as a number, to compute with; never back."""

    def codegen(context, builder, signature, arguments):
        return builder.ptrtoint(arguments[0], I64)

    return types.int64(pointer), codegen


# Vectors of a row from which it is worked on from a line on. A compromise: the masked pieces at both ends cost more
# than the crossings of a few vectors. Not measured.
VECTORS_TO_LINE = 8


@inlined
def to_line(target, count, vector_elements, element_bytes):
    """Elements up to the next whole vector in memory; 0 where the row is too short for that to pay.

    A vector that crosses a cache line costs two accesses.
    """
    if count < VECTORS_TO_LINE * vector_elements:
        return 0
    beyond = _address(target) // element_bytes % vector_elements
    return (vector_elements - beyond) % vector_elements
