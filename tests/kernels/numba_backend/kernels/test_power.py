"""power of the numba backend: exponents that it takes a shorter way for agree with np.power, special values included."""

import numpy as np
import pytest
from backends import loaded

from kernels.numba_backend.kernels.elementwise import POWERS

BASES = [0.0, -0.0, 1.0, -1.0, 0.7, -2.5, 1e30, -1e30, 1e-30, 1e-40, -1e-40, np.inf, -np.inf, np.nan]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("exponent", [*POWERS, -0.0, 2.5])
def test_numbers_as_exponents(exponent, dtype):
    x = np.array([*BASES, *np.random.default_rng(0).uniform(-3, 3, 200)], dtype)
    y = np.array([exponent], dtype)
    got, expected = np.empty_like(x), np.power(x, y)
    loaded("numba").power(x, y, out=got)
    np.testing.assert_allclose(got, expected, rtol=2 * np.finfo(dtype).eps, atol=np.finfo(dtype).smallest_subnormal)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("shape", ((7, 5), (3, 100), (1, 1), (300,)))
def test_every_way_gives_the_same_bits(shape):
    """Whole arrays, rows and numbers take different loops."""
    x = np.random.default_rng(0).uniform(0.1, 3, shape).astype(np.float32)
    for exponent in (1.7, -2.25):
        results = [np.empty_like(x) for _ in range(3)]
        exponents = np.full(shape, exponent, np.float32)
        for y, out in zip((exponents, exponents[:1], exponents.ravel()[:1]), results, strict=True):
            loaded("numba").power(x, y if y.size > 1 or x.ndim == 1 else y.reshape(1, -1), out=out)
        np.testing.assert_array_equal(results[0], results[1])
        np.testing.assert_array_equal(results[0], results[2])
