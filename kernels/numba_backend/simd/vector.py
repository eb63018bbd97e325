"""The types: Vector(dtype, lanes), Mask(lanes), and how Numba sees them.

A `Vector` is a Numba type whose values live in SIMD registers as one LLVM vector. A vector type with more bytes than a
register is legal: LLVM splits it over several registers, so kernels written for 16 lanes run on any CPU.

One lane is `<1 x float>`, not `float`: LLVM's vectorizers leave vector values alone, so a one-lane kernel is certain to
be scalar code, whatever loop surrounds it.
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.core.typing import signature
from numba.extending import NativeValue, register_model, typeof_impl, unbox
from numba.np.numpy_support import from_dtype

from ...contract.dtypes import DTYPES

LLVM_TYPES = {str(kind): kind for kind in (ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64))}
LLVM_SCALAR = {from_dtype(row.numpy): LLVM_TYPES[row.llvm] for row in DTYPES.values() if row.llvm}


class Vector(types.Type):
    """The Numba type of `lanes` values of `dtype` in registers. Made by `vector()`, which keeps one instance of each.

    Inside compiled code a vector type is a value: `f32(1.5)` is 1.5 in every lane, `f32.lanes` the lane count (a
    constant), and `f32.load(x, i)`, `f32.load_masked`, `f32.gather`, `f32.first_lanes` are the functions of those names
    with the type as first argument.
    """

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(f"{dtype}x{lanes}")

    def __reduce__(self):
        # By name: the default pickles the process-dependent type code, and kernels cached on disk that close over a
        # vector type would then never be found again.
        return vector, (self.dtype.name, self.lanes)

    def with_dtype(self, dtype):
        """The vector type of as many lanes of another dtype."""
        return vector(dtype, self.lanes)

    def with_lanes(self, lanes):
        """The vector type of another number of lanes of the same dtype."""
        return vector(self.dtype, lanes)

    @property
    def bits(self):
        """Bits of one lane."""
        return self.dtype.bitwidth

    @property
    def format(self):
        """The row of the dtype in the contract: of floats the bias, bits of the mantissa, the largest number."""
        return DTYPES[self.dtype.name]

    @property
    def is_float(self):
        return isinstance(self.dtype, types.Float)

    @property
    def is_signed(self):
        return self.is_float or self.dtype.signed

    @property
    def integer(self):
        """The signed integer vector type of the same shape, for work on bit patterns."""
        return self.with_dtype(f"int{self.bits}")

    @property
    def mask(self):
        return Mask(self.lanes)

    @property
    def scalar_llvm(self):
        return LLVM_SCALAR[self.dtype]

    @property
    def llvm(self):
        return ir.VectorType(self.scalar_llvm, self.lanes)

    @property
    def suffix(self):
        """The mangled name of the type in LLVM intrinsics: v16f32."""
        return f"v{self.lanes}{'f' if self.is_float else 'i'}{self.bits}"


class Mask(types.Type):
    """The Numba type of `lanes` truth values: what comparisons of vectors give and `select` takes."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(f"maskx{lanes}")

    def __reduce__(self):
        return Mask, (self.lanes,)

    @property
    def llvm(self):
        return ir.VectorType(ir.IntType(1), self.lanes)


class VectorReference(types.Callable, types.Dummy):
    """The Numba type of a vector type used as a value in compiled code."""

    def __init__(self, vector_type):
        self.vector_type = vector_type
        super().__init__(f"type[{vector_type}]")

    def get_call_type(self, context, args, kws):
        """f32(1.5): a number in every lane."""
        if len(args) == 1 and not kws and isinstance(args[0], (types.Number, types.Boolean)):
            return signature(self.vector_type, types.unliteral(args[0]))
        return None

    def get_call_signatures(self):
        return (), True

    def get_impl_key(self, signature):
        return VectorReference


@register_model(Vector)
@register_model(Mask)
class _RegisterModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, fe_type.llvm)


register_model(VectorReference)(models.OpaqueModel)


@typeof_impl.register(Vector)
def _typeof_vector(value, context):
    return VectorReference(value)


@unbox(VectorReference)
def _unbox_reference(type, instance, context):
    """Vector types can be arguments of compiled functions: the value is in the type."""
    return NativeValue(context.context.get_dummy_value())


@cache
def _vector(dtype, lanes):
    return Vector(dtype, lanes)


def vector(dtype, lanes):
    """The vector type of `lanes` (1 or more) values of `dtype`: float32, float64, int32, int64, uint32 or uint64.

    `dtype` is whatever NumPy takes as one (`np.float32`, "float32") or a Numba scalar type. The same arguments give the
    same object. Raises TypeError for another dtype and ValueError for lanes that are not a positive integer.
    """
    scalar = dtype if isinstance(dtype, types.Type) else from_dtype(np.dtype(dtype))
    if scalar not in LLVM_SCALAR:
        raise TypeError(f"vector: dtype is {scalar}, expected one of {', '.join(map(str, LLVM_SCALAR))}")
    if int(lanes) != lanes or lanes < 1:
        raise ValueError(f"vector: lanes is {lanes!r}, expected a positive integer")
    return _vector(scalar, int(lanes))
