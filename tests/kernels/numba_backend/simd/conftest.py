"""How tests run a function of vectors over arrays."""

import numpy as np
import pytest
from numba import njit

from kernels.numba_backend import simd


def one_argument(function, first, second, third):
    def kernel(a, b, c, out):
        for i in range(0, len(a), first.lanes):
            live = first.first_lanes(len(a) - i)
            simd.store_masked(out, i, function(first.load_masked(a, i, live)), live)

    return kernel


def two_arguments(function, first, second, third):
    def kernel(a, b, c, out):
        for i in range(0, len(a), first.lanes):
            live = first.first_lanes(len(a) - i)
            value = function(first.load_masked(a, i, live), second.load_masked(b, i, live))
            simd.store_masked(out, i, value, live)

    return kernel


def three_arguments(function, first, second, third):
    def kernel(a, b, c, out):
        for i in range(0, len(a), first.lanes):
            live = first.first_lanes(len(a) - i)
            x, y, z = first.load_masked(a, i, live), second.load_masked(b, i, live), third.load_masked(c, i, live)
            simd.store_masked(out, i, function(x, y, z), live)

    return kernel


def run_lanewise(function, lanes, *arrays, result=None, **options):
    """function(vectors of the arrays) lane by lane, with a masked tail; `result` is the dtype of what it returns."""
    make = (one_argument, two_arguments, three_arguments)[len(arrays) - 1]
    padded = (*arrays, *arrays[:1] * (3 - len(arrays)))
    out = np.empty(arrays[0].shape, result or arrays[0].dtype)
    njit(**options)(make(function, *(simd.vector(a.dtype, lanes) for a in padded)))(*padded, out)
    return out


@pytest.fixture(scope="session")
def lanewise():
    return run_lanewise
