"""Aligned arrays."""

import numpy as np
import pytest

from kernels.memory import LINE, aligned_empty


@pytest.mark.parametrize("dtype", ["float32", np.float64, np.int64, bool, np.uint8])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (0, 3), (3, 5), (200, 33)])
def test_an_aligned_array_begins_on_a_line_and_is_all_its_own(shape, dtype):
    arrays = [aligned_empty(shape, dtype) for _ in range(3)]
    for i, array in enumerate(arrays):
        assert array.shape == shape and array.dtype == dtype
        assert array.size == 0 or array.__array_interface__["data"][0] % LINE == 0
        assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
        array.fill(i % 2)
    assert all((array == i % 2).all() for i, array in enumerate(arrays))
    assert not np.shares_memory(arrays[0], arrays[1])
