"""SIMD vectors for Numba: values of 1, 4, 8, 16, ... lanes with Python's operators and vector math functions.

    import numpy as np
    from numba import njit
    from kernels.numba_backend.simd import exp, host, store, store_masked, vector

    f32 = vector(np.float32, host.lanes(np.float32))   # as many lanes as a register of this CPU holds

    @njit
    def gaussian(x, out):
        n = len(x)
        whole = n - n % f32.lanes
        for i in range(0, whole, f32.lanes):
            v = f32.load(x, i)
            store(out, i, exp(-0.5 * v * v))
        live = f32.first_lanes(n - whole)              # the tail: memory of false lanes is not touched
        v = f32.load_masked(x, whole, live)
        store_masked(out, whole, exp(-0.5 * v * v), live)

Arithmetic rounds as IEEE 754 says and is never reordered, unless the kernel's `fastmath` option allows it for its own
operators; the functions imported from here are not affected by that option.
"""

from . import host
from .arithmetic import (
    absolute,
    all_lanes,
    any_lane,
    bitcast,
    convert,
    copysign,
    count_lanes,
    fast_maximum,
    fast_minimum,
    floor,
    fma,
    is_nan,
    ldexp,
    maximum,
    minimum,
    multiply_add,
    rint,
    select,
    sqrt,
)
from .error_function import erf
from .exponential import exp, expm1, sigmoid, tanh
from .logarithm import log, log1p, softplus
from .memory import first_lanes, gather, load, load_masked, store, store_masked
from .power import power
from .reductions import max_lanes, min_lanes, sum_lanes, transpose, transpose_block
from .staging import staged
from .trigonometric import cos, sin
from .vector import Mask, Vector, vector

__all__ = [
    "Mask",
    "Vector",
    "absolute",
    "all_lanes",
    "any_lane",
    "bitcast",
    "convert",
    "copysign",
    "cos",
    "count_lanes",
    "erf",
    "exp",
    "expm1",
    "fast_maximum",
    "fast_minimum",
    "first_lanes",
    "floor",
    "fma",
    "gather",
    "host",
    "is_nan",
    "ldexp",
    "load",
    "load_masked",
    "log",
    "log1p",
    "max_lanes",
    "maximum",
    "min_lanes",
    "minimum",
    "multiply_add",
    "power",
    "rint",
    "select",
    "sigmoid",
    "sin",
    "softplus",
    "sqrt",
    "staged",
    "store",
    "store_masked",
    "sum_lanes",
    "tanh",
    "transpose",
    "transpose_block",
    "vector",
]
