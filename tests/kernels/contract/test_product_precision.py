"""What precision="bfloat16" makes of a product's factors, on every backend."""

import numpy as np
import pytest
from backends import BACKENDS, loaded

from kernels import DECLARATIONS, Backend
from kernels import numpy_backend as np_kernels
from kernels.contract.precision import rounded

INF, NAN = np.inf, np.nan
# Of 8 bits: 1 + 2**-8 is a tie that goes down to an even neighbour, 1 + 3 * 2**-8 one that goes up.
ROUNDED = [
    (1 + 2**-8, 1.0), (1 + 3 * 2**-8, 1 + 2**-6), (-1 - 3 * 2**-8, -1 - 2**-6), (1 + 2**-8 + 2**-20, 1 + 2**-7),
    (0.1, 0.10009765625), (3.0e38, 226 * 2.0**120), (3.4e38, INF), (-3.4e38, -INF), (INF, INF), (-INF, -INF), (NAN, NAN),
    (1e-40, 0.0), (-1e-40, -0.0), (0.0, 0.0), (2.0**-126, 2.0**-126),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BACKENDS)
def test_factors_are_rounded_to_nearest_with_ties_to_even(name, dtype):
    x, expected = np.array(ROUNDED).astype(dtype).T
    one = np.ones((1, 1), dtype)
    found = loaded(name).matmul(np.ascontiguousarray(x)[:, None], one, precision="bfloat16")[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    same = np.abs(expected) < 1e30
    np.testing.assert_array_equal(found[same], expected[same])
    turned = loaded(name).matmul(one, np.ascontiguousarray(x)[None], precision="bfloat16")[0]
    np.testing.assert_array_equal(turned, found)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_nan_of_any_payload_stays_one(name):
    bits = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF, 0x7FC00000, 0x7FBFFFFF], np.uint32)
    found = loaded(name).matmul(bits.view(np.float32)[:, None], np.ones((1, 1), np.float32), precision="bfloat16")
    assert np.isnan(found).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_is_within_two_to_the_minus_8(dtype):
    x = np.random.default_rng(0).standard_normal(10_000).astype(dtype)
    assert np.all(np.abs(rounded(x) - x) <= np.abs(x) * 2.0**-8)
    assert rounded(x).dtype == dtype
    np.testing.assert_array_equal(rounded(rounded(x)), rounded(x))


@pytest.mark.parametrize("shape", [(5, 7, 3), (33, 65, 17), (1, 1100, 2), (40, 3, 300)])
@pytest.mark.parametrize("name", BACKENDS)
def test_the_error_is_within_the_promise(name, shape):
    m, k, n = shape
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)
    error = np.abs(loaded(name).matmul(a, b, precision="bfloat16") - a.astype(float) @ b.astype(float))
    bound = np.abs(a).astype(float) @ np.abs(b).astype(float)
    assert np.all(error <= 2.0**-7 * bound)  # either factor is off by 2**-8
    assert np.any(error > 2.0**-13 * bound)  # so that it cannot have been rounded to nothing less


def test_a_backend_that_knows_of_no_precision_gets_rounded_factors():
    seen = []

    def matmul(a, b, transpose_a, transpose_b, out):
        seen.append((a, b))
        np_kernels.matmul(a, b, transpose_a, transpose_b, out)

    required = {n: f for n, f in np_kernels.create()["implementations"].items() if DECLARATIONS[n].required}
    backend = Backend("other", {**required, "matmul": matmul})
    a, b = np.full((2, 3), 0.1, np.float32), np.full((3, 2), 0.3, np.float32)
    full, half = backend.matmul(a, b), backend.linear(a, b, precision="bfloat16")
    assert seen[0][0] is a and np.array_equal(seen[1][0], rounded(a)) and np.array_equal(seen[1][1], rounded(b))
    assert not np.array_equal(full, half) and a[0, 0] == np.float32(0.1)


@pytest.mark.parametrize("kernel", ["matmul", "linear", "matmul_gradient"])
@pytest.mark.parametrize("name", BACKENDS)
def test_another_precision_is_refused(name, kernel):
    x = np.ones((2, 2), np.float32)
    operands = [x] * 3 if kernel == "matmul_gradient" else [x] * 2
    with pytest.raises(ValueError, match=f"{kernel}: precision is 'half', expected one of full, bfloat16"):
        getattr(loaded(name), kernel)(*operands, precision="half")
