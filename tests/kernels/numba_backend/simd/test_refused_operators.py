"""What vectors do not do is refused with what to write instead."""

import numpy as np
import pytest
from numba import njit

from kernels.numba_backend import simd

f32 = simd.vector(np.float32, 4)


@njit
def squared(x):
    return simd.sum_lanes(f32.load(x, 0) ** 2)


@njit
def built_in_power(x):
    return simd.sum_lanes(pow(f32.load(x, 0), 2))


@njit
def squared_in_place(x):
    v = f32.load(x, 0)
    v **= 2
    return simd.sum_lanes(v)


@njit
def chosen(x):
    v = f32.load(x, 0)
    if v > f32(0):
        v = v + v
    return simd.sum_lanes(v)


@njit
def chosen_by_not(x):
    return 1 if not f32.load(x, 0) > f32(0) else 0


@pytest.mark.parametrize("function", [squared, built_in_power, squared_in_place])
def test_powers_are_answered_with_products(function):
    with pytest.raises(TypeError, match=r"pow\(float32x4, int64\) is no operation on lanes: write v \* v for v \*\* 2"):
        function(np.ones(4, np.float32))


@pytest.mark.parametrize("function", [chosen, chosen_by_not])
def test_a_masks_truth_is_answered_with_any_lane_and_select(function):
    with pytest.raises(
        TypeError, match=r"maskx4\).*simd.any_lane\(mask\) or simd.all_lanes.*simd.select\(mask, a, b\)"
    ):
        function(np.ones(4, np.float32))


def test_powers_and_truths_of_numbers_are_as_before():
    @njit
    def plain(x):
        return bool(x > 1) and x**2 > 3

    assert plain(2.0) and not plain(1.5) and not plain(0.0)
