"""Operators and lane-wise functions against NumPy, special values included."""

import numpy as np
import pytest
from numba import njit

from kernels.numba_backend import simd

LANES = (1, 4, 8, 16)
FLOATS = (np.float32, np.float64)
INTEGERS = (np.int32, np.int64, np.uint32, np.uint64)


def special_pairs(dtype):
    """Every pair of special values, and random ones; 3 more than a multiple of 16."""
    if np.issubdtype(dtype, np.floating):
        info = np.finfo(dtype)
        values = np.array(
            [
                0.0,
                -0.0,
                1.0,
                -1.0,
                2.5,
                -3.5,
                0.5,
                1.5,
                np.inf,
                -np.inf,
                np.nan,
                info.max,
                -info.max,
                info.tiny,
                info.smallest_subnormal,
                1e-3,
            ],
            dtype,
        )
        extra = np.random.default_rng(0).standard_normal((2, 67)).astype(dtype) * 100
    else:
        info = np.iinfo(dtype)
        values = np.array([0, 1, 2, 3, 7, info.max, info.min, info.max - 1], dtype)
        extra = np.random.default_rng(0).integers(info.min, info.max, (2, 67), dtype=dtype)
    a, b = (m.ravel() for m in np.meshgrid(values, values))
    return np.concatenate([a, extra[0]]), np.concatenate([b, extra[1]])


def assert_same(got, expected, signed_zeros=True):
    np.testing.assert_array_equal(got, expected)
    if signed_zeros and expected.dtype.kind == "f":
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]))


# name: (on vectors, on arrays)
FLOAT_BINARY = {
    "add": (lambda a, b: a + b, np.add),
    "subtract": (lambda a, b: a - b, np.subtract),
    "multiply": (lambda a, b: a * b, np.multiply),
    "divide": (lambda a, b: a / b, np.divide),
    "maximum": (lambda a, b: simd.maximum(a, b), np.maximum),
    "minimum": (lambda a, b: simd.minimum(a, b), np.minimum),
    "fast_maximum": (lambda a, b: simd.fast_maximum(a, b), lambda a, b: np.where(a > b, a, b)),
    "fast_minimum": (lambda a, b: simd.fast_minimum(a, b), lambda a, b: np.where(a < b, a, b)),
    "copysign": (lambda a, b: simd.copysign(a, b), np.copysign),
    "less": (lambda a, b: simd.select(a < b, 2, b), lambda a, b: np.where(a < b, 2, b)),
    "less_equal": (lambda a, b: simd.select(a <= b, 2, b), lambda a, b: np.where(a <= b, 2, b)),
    "greater": (lambda a, b: simd.select(a > b, a, -7.5), lambda a, b: np.where(a > b, a, -7.5)),
    "greater_equal": (lambda a, b: simd.select(a >= b, a, 2), lambda a, b: np.where(a >= b, a, 2)),
    "equal": (lambda a, b: simd.select(a == b, a, 2), lambda a, b: np.where(a == b, a, 2)),
    "not_equal": (lambda a, b: simd.select(a != b, a, 2), lambda a, b: np.where(a != b, a, 2)),
    "masks": (
        lambda a, b: simd.select((a < b) & ~(a < 0) | ((b > 1) ^ (a >= b)), a, 2),
        lambda a, b: np.where((a < b) & ~(a < 0) | ((b > 1) ^ (a >= b)), a, 2),
    ),
    "with numbers": (
        lambda a, b: 2 - a * 3 + (1.5 / b - 1) - -b,
        lambda a, b: 2 - a * 3 + (a.dtype.type(1.5) / b - 1) - -b,
    ),
}
FLOAT_UNARY = {
    "is_nan": (lambda a: simd.select(simd.is_nan(a), 1, a), lambda a: np.where(np.isnan(a), a.dtype.type(1), a)),
    "negative": (lambda a: -a, np.negative),
    "absolute": (lambda a: abs(a), np.absolute),
    "simd.absolute": (lambda a: simd.absolute(a), np.absolute),
    "sqrt": (lambda a: simd.sqrt(a), np.sqrt),
    "rint": (lambda a: simd.rint(a), np.rint),
    "floor": (lambda a: simd.floor(a), np.floor),
}
INTEGER_BINARY = {
    "add": (lambda a, b: a + b, np.add),
    "subtract": (lambda a, b: a - b, np.subtract),
    "multiply": (lambda a, b: a * b, np.multiply),
    "and": (lambda a, b: a & b, np.bitwise_and),
    "or": (lambda a, b: a | b, np.bitwise_or),
    "xor": (lambda a, b: a ^ b, np.bitwise_xor),
    "invert": (lambda a, b: ~a, lambda a, b: ~a),
    "negative": (lambda a, b: -a, lambda a, b: (0 - a).astype(a.dtype)),
    "shift left": (lambda a, b: a << (b & 15), lambda a, b: a << (b & 15)),
    "shift right": (lambda a, b: a >> (b & 15), lambda a, b: a >> (b & 15)),
    "maximum": (lambda a, b: simd.maximum(a, b), np.maximum),
    "minimum": (lambda a, b: simd.minimum(a, b), np.minimum),
    "compare": (lambda a, b: simd.select((a < b) | (a == 3), a, b), lambda a, b: np.where((a < b) | (a == 3), a, b)),
    "absolute": (lambda a, b: abs(a), lambda a, b: np.absolute(a)),
}


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FLOAT_BINARY)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_float_operations(lanewise, name, dtype, lanes):
    on_vectors, on_arrays = FLOAT_BINARY[name]
    a, b = special_pairs(dtype)
    expected = on_arrays(a, b).astype(dtype)
    assert_same(lanewise(njit(on_vectors), lanes, a, b), expected, signed_zeros="imum" not in name)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FLOAT_UNARY)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_float_functions(lanewise, name, dtype, lanes):
    on_vectors, on_arrays = FLOAT_UNARY[name]
    a, _ = special_pairs(dtype)
    assert_same(lanewise(njit(on_vectors), lanes, a), on_arrays(a))


@pytest.mark.parametrize("lanes", (1, 16))
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", INTEGER_BINARY)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_integer_operations(lanewise, name, dtype, lanes):
    on_vectors, on_arrays = INTEGER_BINARY[name]
    a, b = special_pairs(dtype)
    assert_same(lanewise(njit(on_vectors), lanes, a, b), on_arrays(a, b))


@pytest.mark.parametrize("lanes", (1, 16))
def test_fma_rounds_once(lanewise, lanes):
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal(1000).astype(np.float32) for _ in range(2))
    c = (-a * b).astype(np.float32)
    exact = (a.astype(np.float64) * b + c).astype(np.float32)
    np.testing.assert_array_equal(lanewise(simd.fma, lanes, a, b, c), exact)
    assert np.any(exact)
    np.testing.assert_allclose(lanewise(simd.multiply_add, lanes, a, b, c), exact, atol=1e-6)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_ldexp(lanewise, dtype, lanes):
    info = np.finfo(dtype)
    integer = np.dtype(f"i{np.dtype(dtype).itemsize}")
    values = np.array(
        [
            0.0,
            -0.0,
            1.0,
            -1.75,
            info.max,
            info.tiny,
            info.smallest_subnormal,
            np.inf,
            -np.inf,
            np.nan,
            1 + info.eps,
            2 - info.eps,
            3 * info.smallest_subnormal,
            info.tiny * (2 - info.eps),
        ],
        dtype,
    )
    span = info.maxexp - info.minexp + info.nmant + 10
    exponents = np.concatenate([np.arange(-span, span, 3), [2**31 - 1, -(2**31)]]).astype(integer)
    x, n = (m.ravel() for m in np.meshgrid(values, exponents))
    assert_same(lanewise(simd.ldexp, lanes, x, n), np.ldexp(x, n))


CONVERSIONS = [
    (np.float32, np.int32),
    (np.float32, np.int64),
    (np.float64, np.int32),
    (np.float64, np.uint64),
    (np.float32, np.float64),
    (np.float64, np.float32),
    (np.int32, np.float32),
    (np.uint64, np.float64),
    (np.int64, np.int32),
    (np.uint32, np.int64),
    (np.int32, np.int64),
    (np.int64, np.float32),
]


def converted(x, target):
    """As `convert`: NaN to 0, out of range to the nearest end."""
    if x.dtype.kind != "f" or np.dtype(target).kind == "f":
        return x.astype(target)
    info = np.iinfo(target)
    clipped = (0 if np.isnan(v) else info.max if v >= info.max else info.min if v <= info.min else int(v) for v in x)
    return np.array(list(clipped), target)


@pytest.mark.parametrize("lanes", (1, 8))
@pytest.mark.parametrize("source, target", CONVERSIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_convert(lanewise, source, target, lanes):
    kind = simd.vector(target, lanes)
    x, _ = special_pairs(source)
    got = lanewise(njit(lambda a: simd.convert(a, kind)), lanes, x, result=target)
    np.testing.assert_array_equal(got, converted(x, target))


def test_bitcast(lanewise):
    bits = simd.vector(np.int32, 4)
    x, _ = special_pairs(np.float32)
    got = lanewise(njit(lambda a: simd.bitcast(a, bits)), 4, x, result=np.int32)
    np.testing.assert_array_equal(got, x.view(np.int32))


@pytest.mark.parametrize("lanes", (1, 3, 4, 8, 16))
@pytest.mark.parametrize("dtype", FLOATS)
def test_any_all_count(dtype, lanes):
    kind = simd.vector(dtype, lanes)

    @njit
    def kernel(x):
        mask = kind.load(x, 0) > 0
        return simd.any_lane(mask), simd.all_lanes(mask), simd.count_lanes(mask)

    generator = np.random.default_rng(0)
    for p in (0, 0.1, 0.5, 0.9, 1):
        x = np.where(generator.random(lanes) < p, 1, -1).astype(dtype)
        assert kernel(x) == ((x > 0).any(), (x > 0).all(), (x > 0).sum())


def test_in_place_operators_and_loops():
    kind = simd.vector(np.float64, 4)

    @njit
    def kernel(x, out):
        total = kind(0)
        for i in range(0, len(x), 4):
            total += kind.load(x, i)
            total *= 0.5
        simd.store(out, 0, total)

    x, out, expected = np.arange(32.0), np.zeros(4), np.zeros(4)
    kernel(x, out)
    for row in x.reshape(8, 4):
        expected = (expected + row) * 0.5
    np.testing.assert_array_equal(out, expected)
