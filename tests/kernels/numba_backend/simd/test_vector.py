"""The types: identity, names, pickling, constants, and what is refused."""

import pickle
import sys

import numpy as np
import pytest
from children import finished
from numba import njit, types
from numba.core.errors import TypingError

from kernels.numba_backend import simd

DTYPES = (np.float32, np.float64, np.int32, np.int64, np.uint32, np.uint64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lanes", (1, 3, 16))
def test_one_instance_of_each_type(dtype, lanes):
    made = simd.vector(dtype, lanes)
    assert made is simd.vector(np.dtype(dtype).name, lanes) is pickle.loads(pickle.dumps(made))
    assert made.lanes == lanes and str(made) == f"{np.dtype(dtype).name}x{lanes}"


@pytest.mark.parametrize(
    "arguments, error, named",
    [
        ((np.float16, 4), TypeError, "float16"),
        ((np.bool_, 4), TypeError, "bool"),
        ((np.float32, 0), ValueError, "0"),
        ((np.float32, 2.5), ValueError, "2.5"),
    ],
)
def test_bad_types_are_refused(arguments, error, named):
    with pytest.raises(error, match=named):
        simd.vector(*arguments)


@pytest.mark.parametrize("dtype", DTYPES)
def test_splat_and_lanes(dtype):
    kind = simd.vector(dtype, 4)

    @njit
    def kernel(out, number):
        simd.store(out, 0, kind(number))
        simd.store(out, 4, kind(3))
        return kind.lanes

    out = np.zeros(8, dtype)
    assert kernel(out, 7) == 4
    np.testing.assert_array_equal(out, [7] * 4 + [3] * 4)


def test_a_vector_type_is_an_argument():
    @njit
    def double(kind, x, out):
        simd.store(out, 0, kind.load(x, 0) * 2)

    for dtype, lanes in ((np.float32, 4), (np.int64, 8)):
        x, out = np.arange(8, dtype=dtype), np.zeros(8, dtype)
        double(simd.vector(dtype, lanes), x, out)
        np.testing.assert_array_equal(out, np.where(np.arange(8) < lanes, 2 * x, 0))


def attempt(body):
    f4, f8, i4 = (simd.vector(d, 4) for d in (np.float32, np.float64, np.int32))
    njit(body(f4, f8, i4)).compile((types.Array(types.float32, 1, "C"),))


@pytest.mark.parametrize(
    "body, message",
    [
        (lambda f4, f8, i4: lambda x: f4.load(x, 0) + f8(1), "float32x4 meets float64x4"),
        (lambda f4, f8, i4: lambda x: i4(1) + 1.5, "int32x4 meets a float64"),
        (lambda f4, f8, i4: lambda x: i4(1) / i4(2), "int32x4 has no such operation"),
        (lambda f4, f8, i4: lambda x: f4(1) & f4(2), "bitcast it to integers"),
        (lambda f4, f8, i4: lambda x: f8.load(x, 0), "source of float32 meets float64x4"),
        (lambda f4, f8, i4: lambda x: simd.exp(i4(1)), "expected a vector of floats"),
        (lambda f4, f8, i4: lambda x: simd.any_lane(f4(1)), "expected a mask"),
        (lambda f4, f8, i4: lambda x: simd.store(x, 0, 1.0), "expected a vector"),
        (lambda f4, f8, i4: lambda x: simd.store(f4(1), 0, f4(1)), "expected an array or a pointer"),
        (lambda f4, f8, i4: lambda x: simd.store_masked(x, 0, f4(1), 1), "expected a mask"),
        (lambda f4, f8, i4: lambda x: f4.load_masked(x, 0, 1), "expected a place, a mask"),
        (lambda f4, f8, i4: lambda x: simd.exp(f4(1), f4(2)), "too many positional arguments"),
        (lambda f4, f8, i4: lambda x: simd.transpose((f4(1), f4(2))), "expected a power of two"),
        (lambda f4, f8, i4: lambda x: f4.load(x, 0, 1), "takes 1 indices, got 2"),
        (lambda f4, f8, i4: lambda x: f4.load(x, 0.5), "an index is float64"),
        (lambda f4, f8, i4: lambda x: simd.select(f4(1), f4(2), f4(3)), "expected a mask"),
        (lambda f4, f8, i4: lambda x: simd.select(f4(1) < 2, 2.0, 3.0), "none of the arguments is a vector"),
    ],
)
def test_mistakes_are_typing_errors_that_say_what_is_wrong(body, message):
    with pytest.raises(TypingError, match=message):
        attempt(body)


def test_disk_cache_finds_kernels_that_close_over_a_vector_type(tmp_path):
    (tmp_path / "cached.py").write_text("""
import numpy as np
from numba import njit
from kernels.numba_backend import simd

def make(f32):
    @njit(cache=True)
    def double(x, out):
        simd.store(out, 0, f32.load(x, 0) * 2)
    return double

f4, f8 = make(simd.vector(np.float32, 4)), make(simd.vector(np.float32, 8))
x = np.arange(8, dtype=np.float32)
for kernel, lanes in ((f4, 4), (f8, 8)):
    out = np.zeros(8, np.float32)
    kernel(x, out)
    assert (out[:lanes] == 2 * x[:lanes]).all() and not out[lanes:].any()
print(sum(f4.stats.cache_hits.values()), sum(f8.stats.cache_hits.values()))
""")
    command = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, '.']; import cached"
    runs = [finished([sys.executable, "-c", command], check=True) for _ in "12"]
    assert [run.stdout.split() for run in runs] == [["0", "0"], ["1", "1"]]
