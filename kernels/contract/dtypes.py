"""The dtypes: a row for each, with all that is known of it. A new one is a row here; nobody else lists them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Dtype(NamedTuple):
    """What arrays, vectors and files need to know of a dtype.

    name: NumPy's. code: of the NumPy dtype that holds it, in native order. llvm: the type of a vector's lane, "" where
    there are no vectors of it. safetensors: its name in files, "" where none hold it. exponent, mantissa: explicit bits
    of a float (IEEE 754, section 3.4), 0 of whole numbers. trained: whether tensors and the contract's ``Floats`` may
    be of it.
    """

    name: str
    code: str
    llvm: str
    safetensors: str
    exponent: int = 0
    mantissa: int = 0
    trained: bool = False

    @property
    def numpy(self) -> np.dtype[Any]:
        """The dtype of arrays that hold it."""
        return np.dtype(self.code)

    @property
    def bytes(self) -> int:
        """Of one element."""
        return self.numpy.itemsize

    @property
    def bias(self) -> int:
        """2**(exponent - 1) - 1: what is added to a number's exponent, and the largest that there is."""
        return (1 << self.exponent - 1) - 1

    @property
    def eps(self) -> float:
        """2**-mantissa, from 1 to the next number: the unit of the conformance suite's tolerances."""
        return 2.0**-self.mantissa

    @property
    def tiny(self) -> float:
        """2**(1 - bias), the smallest normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def largest(self) -> float:
        """(2 - eps) 2**bias, the largest finite number."""
        return (2 - self.eps) * 2.0**self.bias


DTYPES = {
    row.name: row
    for row in (
        Dtype("float32", "f4", "float", "F32", 8, 23, trained=True),  # the first that is trained in is the default
        Dtype("float64", "f8", "double", "F64", 11, 52, trained=True),
        Dtype("float16", "f2", "", "F16", 5, 10),
        Dtype("int32", "i4", "i32", "I32"),
        Dtype("int64", "i8", "i64", "I64"),
        Dtype("uint32", "u4", "i32", "U32"),
        Dtype("uint64", "u8", "i64", "U64"),
        Dtype("int16", "i2", "", "I16"),
        Dtype("int8", "i1", "", "I8"),
        Dtype("uint16", "u2", "", "U16"),
        Dtype("uint8", "u1", "", "U8"),
    )
}
"""By name."""
FLOAT_NAMES = tuple(row.name for row in DTYPES.values() if row.trained)
FLOATS = tuple(DTYPES[name].numpy for name in FLOAT_NAMES)
"""Those of tensors, and of kernels' operands that are no counters or indices."""
EITHER_FLOAT = " or ".join(FLOAT_NAMES)
"""As messages name them."""
