"""Tile registers (AMX): eight of 16 rows of 64 bytes, two of which one instruction multiplies and adds to a third.

Registers are named by constants. Only Linux on x86-64 has them, and a process has to ask for them (``host.has_tiles``).
"""

from llvmlite import ir
from numba import types

from . import host
from .register import declare
from .staging import staged

SIDE = 16  # of a tile, in rows and in words of 32 bits
TILE_BYTES, TILE_ROW = 1024, 64
STEP = 2 * SIDE  # terms of a sum that an instruction adds
I8 = ir.IntType(8)
# Palette 1; from byte 16 on the bytes of each tile's rows in 16 bits, from byte 48 on its rows (Intel's architecture
# manual, LDTILECFG).
CONFIGURATION = [1, *[0] * 15, *[TILE_ROW, 0] * 8, *[0] * 16, *[SIDE] * 8, *[0] * 8]


def has_tiles(vector_type):
    """Whether tile registers multiply what vectors of this type would: float32, as many lanes as a row has."""
    return vector_type.lanes == SIDE and vector_type.dtype == types.float32 and host.has_tiles()


def tiles(builder, name, *arguments):
    """An instruction on tile registers."""
    values = [ir.Constant(I8, a) if isinstance(a, int) else a for a in arguments]
    values = [builder.bitcast(v, I8.as_pointer()) if isinstance(v.type, ir.PointerType) else v for v in values]
    builder.call(declare(builder, f"llvm.x86.{name}", ir.VoidType(), [v.type for v in values]), values)


@staged
def configure(vector, nothing):
    """Gives the thread's tile registers their shape, where they are used."""
    if not has_tiles(vector):
        return
    builder, kind = nothing.builder, ir.ArrayType(I8, len(CONFIGURATION))
    constants = ir.GlobalVariable(builder.module, kind, builder.module.get_unique_name("tiles"))
    constants.linkage, constants.global_constant, constants.unnamed_addr = "private", True, True
    constants.initializer = ir.Constant(kind, CONFIGURATION)
    tiles(builder, "ldtilecfg", constants)


@staged
def release(vector, nothing):
    """Empties the tile registers, which the system would save at each change of threads."""
    if has_tiles(vector):
        tiles(nothing.builder, "tilerelease")


@staged
def multiply_tiles(vector, nothing):
    """Four products of the registers as they are: what a core does at most, with no memory read."""
    for register in range(4):
        tiles(nothing.builder, "tdpbf16ps", register, 4 + register // 2, 6 + register % 2)
