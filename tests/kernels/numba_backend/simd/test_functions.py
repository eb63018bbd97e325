"""The vector math functions: error bounds in ulp, special values, the same bits for every lane count and `fastmath`."""

import math

import numpy as np
import pytest
import scipy.special
from numba import njit

from kernels.numba_backend import simd

LANES = (1, 4, 8, 16)
DTYPES = (np.float32, np.float64)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def sigmoid(x):
    e = np.exp(-abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def softplus(x):
    return np.where(x < 0, 0, x) + np.log1p(np.exp(-abs(x)))


# name: (reference, bound in ulp for float32, for float64). Measured maxima are in docs/simd.md.
FUNCTIONS = {
    "exp": (np.exp, 1, 1),
    "expm1": (np.expm1, 1.7, 2.3),
    "log": (np.log, 1, 1),
    "log1p": (np.log1p, 1, 1),
    "sin": (np.sin, 1.6, 1),
    "cos": (np.cos, 1.6, 1),
    "tanh": (np.tanh, 2.7, 2.7),
    "sigmoid": (sigmoid, 2.5, 2.5),
    "softplus": (softplus, 1.8, 1.8),
    "erf": (scipy.special.erf, 1.3, 4),  # SciPy's own float64 error included
}

INF, NAN = math.inf, math.nan
SPECIAL = {
    "exp": [(INF, INF), (-INF, 0.0), (NAN, NAN), (0.0, 1.0), (1e30, INF), (-1e30, 0.0)],
    "expm1": [
        (INF, INF),
        (-INF, -1.0),
        (NAN, NAN),
        (0.0, 0.0),
        (-0.0, -0.0),
        (1e30, INF),
        (-1e30, -1.0),
        (1e-40, 1e-40),
        (-1e-40, -1e-40),
    ],
    "log": [(INF, INF), (-INF, NAN), (NAN, NAN), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (1.0, 0.0), (-1e-40, NAN)],
    "log1p": [
        (INF, INF),
        (-INF, NAN),
        (NAN, NAN),
        (0.0, 0.0),
        (-0.0, -0.0),
        (-1.0, -INF),
        (-2.0, NAN),
        (1e-40, 1e-40),
        (-1e-40, -1e-40),
    ],
    "sin": [(INF, NAN), (-INF, NAN), (NAN, NAN), (0.0, 0.0), (-0.0, -0.0), (1e-40, 1e-40)],
    "cos": [(INF, NAN), (-INF, NAN), (NAN, NAN), (0.0, 1.0), (-0.0, 1.0), (1e-40, 1.0)],
    "tanh": [(INF, 1.0), (-INF, -1.0), (NAN, NAN), (0.0, 0.0), (-0.0, -0.0), (1e30, 1.0), (-1e-40, -1e-40)],
    "sigmoid": [(INF, 1.0), (-INF, 0.0), (NAN, NAN), (0.0, 0.5), (-0.0, 0.5), (-1e30, 0.0)],
    "softplus": [(INF, INF), (-INF, 0.0), (NAN, NAN), (1e30, 1e30), (-1e30, 0.0)],
    "erf": [(INF, 1.0), (-INF, -1.0), (NAN, NAN), (0.0, 0.0), (-0.0, -0.0), (1e30, 1.0), (-1e30, -1.0)],
}


def samples(dtype):
    """Every magnitude, both signs, and dense around the places where the methods change; not a multiple of 16 long."""
    generator = np.random.default_rng(0)
    info = np.finfo(dtype)
    bits = np.dtype(f"u{info.bits // 8}")
    anywhere = generator.integers(0, np.iinfo(bits).max, 20001, dtype=bits).view(dtype)
    top = math.log(info.max)
    moderate = [generator.uniform(-low, low, 8000) for low in (1e-3, 1, 2, 5, 20, top * 1.02, top * 1.2, 1e4, 1e6, 1e7)]
    multiples = np.arange(1, 2000) * (math.pi / 2)
    return np.concatenate([anywhere[np.isfinite(anywhere)], *moderate, multiples]).astype(dtype)


def ulp_errors(got, exact, dtype):
    """abs(got - exact) in ulp of exact; beyond the largest number, the next power of two stands for infinity."""
    info = np.finfo(dtype)
    beyond = exact.dtype.type(2) ** (info.maxexp - 1) * 2
    value = np.where(np.isinf(got), np.copysign(beyond, got), got.astype(exact.dtype))
    spacing = np.spacing(np.minimum(abs(exact.astype(dtype)), info.max)).astype(exact.dtype)
    return abs(value - np.clip(exact, -beyond, beyond)) / spacing


def assert_within(got, exact, dtype, bound, *arguments):
    np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
    number = ~np.isnan(exact)
    error = ulp_errors(got[number], exact[number], dtype)
    worst = error.argmax()
    assert error[worst] <= bound, f"{error[worst]:.2f} ulp at {[a[number][worst] for a in arguments]}"


def widened(x):
    return x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_stay_within_bounds(lanewise, name, dtype):
    reference, *bounds = FUNCTIONS[name]
    x = samples(dtype)
    wide = x.astype(np.float64) if name == "erf" else widened(x)
    got = lanewise(getattr(simd, name), simd.host.lanes(dtype), x)
    bound = bounds[dtype == np.float64] + (0 if simd.host.has_fma() else 0.4)
    if np.finfo(np.longdouble).nmant == np.finfo(np.float64).nmant and dtype == np.float64:
        bound += 1  # the reference is no better than the function
    assert_within(got, reference(wide), dtype, bound, x)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(lanewise, name, dtype, lanes):
    x, expected = np.array(SPECIAL[name], dtype).T.copy()
    got = lanewise(getattr(simd, name), lanes, x)
    np.testing.assert_array_equal(got, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*FUNCTIONS, "power"])
def test_same_bits_for_any_lanes_and_any_fastmath(lanewise, name, dtype):
    x = samples(dtype)[:12345]
    arguments = (x, x[::-1].copy()) if name == "power" else (x,)
    function = getattr(simd, name)
    best = lanewise(function, simd.host.lanes(dtype), *arguments)
    for lanes, fastmath in ((1, False), (3, False), (8, {"reassoc", "nsz", "contract", "arcp", "afn"})):
        np.testing.assert_array_equal(lanewise(function, lanes, *arguments, fastmath=fastmath), best)


@pytest.mark.parametrize("lanes", (32, 48))
@pytest.mark.parametrize("name", ("exp", "log"))
def test_vectors_of_several_registers(lanewise, name, lanes):
    x = samples(np.float32)[:1001]
    function = getattr(simd, name)
    np.testing.assert_array_equal(lanewise(function, lanes, x), lanewise(function, 4, x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_underflows_gradually(lanewise, dtype):
    info = np.finfo(dtype)
    x = np.linspace(math.log(info.smallest_subnormal) - 1, math.log(info.tiny) + 1, 5001).astype(dtype)
    got = lanewise(simd.exp, simd.host.lanes(dtype), x)
    assert np.count_nonzero((got > 0) & (got < info.tiny)) > 0
    assert_within(got, np.exp(widened(x)), dtype, 1.5, x)
    np.testing.assert_array_equal(lanewise(simd.exp, 1, x), got)


@pytest.mark.parametrize("lanes", (1, 4, 16))
@pytest.mark.parametrize("dtype", DTYPES)
def test_power_of_special_values(lanewise, dtype, lanes):
    info = np.finfo(dtype)
    values = np.array(
        [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            -0.5,
            2.0,
            -2.0,
            3.0,
            -3.0,
            1.5,
            -2.5,
            17,
            -18,
            1e10,
            -1e10,
            INF,
            -INF,
            NAN,
            info.max,
            -info.max,
            info.tiny,
            -info.tiny,
            info.smallest_subnormal,
            1 + info.eps,
            1 - info.epsneg,
        ],
        dtype,
    )
    x, y = (m.ravel() for m in np.meshgrid(values, values))
    got, expected = lanewise(simd.power, lanes, x, y), np.power(widened(x), widened(y))
    assert_within(got, expected, dtype, 1.6, x, y)
    zero = expected.astype(dtype) == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_power_error(lanewise, dtype):
    generator = np.random.default_rng(0)
    x = np.exp(generator.uniform(-80, 80, 100_003) * generator.uniform(0, 1, 100_003) ** 4).astype(dtype)
    limit = math.log(np.finfo(dtype).max) * 1.1
    y = np.clip(generator.uniform(-limit, limit, x.size) / np.log(x), -1e30, 1e30).astype(dtype)
    got = lanewise(simd.power, simd.host.lanes(dtype), x, y)
    bound = 1.6 if simd.host.has_fma() else 2
    assert_within(got, np.power(widened(x), widened(y)), dtype, bound, x, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_as_exponent(lanewise, dtype):
    x = np.linspace(0, 9, 101).astype(dtype)
    got = lanewise(njit(lambda v: simd.power(v, 1.5)), 4, x)
    np.testing.assert_allclose(got, x**1.5, rtol=4 * np.finfo(dtype).eps)
