"""Worst and mean error of every vector function, in units in the last place, as a Markdown table.

`python benchmarks/ulp.py` sweeps every 1009th of the 2**32 float32 bit patterns; `--stride 1` takes them all, and half
an hour. Float64 is sampled at random bit patterns, the more the smaller the stride. The reference is computed in
float64 for float32 and in np.longdouble for float64, by NumPy and SciPy; where a longdouble is no wider than a float64
(Windows), only float32 is reported. Special values that differ from the reference count as an infinite error. `--lanes`
measures another vector width.
"""

import argparse
import pathlib
import sys

import numpy as np
import scipy.special
from numba import njit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from kernels.numba_backend import simd

CHUNK = 1 << 20


def sigmoid(x):
    e = np.exp(-abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def softplus(x):
    return np.where(x < 0, 0, x) + np.log1p(np.exp(-abs(x)))


def erf(x):
    """2/sqrt(pi) sum of x**(2n+1) 2**n exp(-x**2) / (2n+1)!!, all terms positive; SciPy's for float64 input."""
    if x.dtype == np.float64:
        return scipy.special.erf(x)
    size = np.minimum(abs(x), 7)
    term = total = size
    for n in range(1, 200):
        term = term * (2 * size * size / (2 * n + 1))
        total = total + term
    value = total * np.exp(-size * size) * 2 / np.sqrt(np.longdouble("3.14159265358979323846264338327950288"))
    return np.copysign(np.where(size < 7, value, 1), x) + 0 * np.where(np.isnan(x), x, 0)


# function: (reference, ranges of |x| to report)
ALL = (0.0, np.inf)
FUNCTIONS = {
    "exp": (np.exp, [ALL]),
    "expm1": (np.expm1, [ALL]),
    "tanh": (np.tanh, [ALL]),
    "sigmoid": (sigmoid, [ALL]),
    "log": (np.log, [ALL]),
    "log1p": (np.log1p, [ALL]),
    "softplus": (softplus, [ALL]),
    "erf": (erf, [ALL]),
    "sin": (np.sin, [(0.0, 1e4), (1e4, 2.0**20), ALL]),
    "cos": (np.cos, [(0.0, 1e4), (1e4, 2.0**20), ALL]),
}


def kernel(function, vector_type, arguments):
    if arguments == 1:

        def run(x, out):
            for i in range(0, len(x), vector_type.lanes):
                live = vector_type.first_lanes(len(x) - i)
                simd.store_masked(out, i, function(vector_type.load_masked(x, i, live)), live)
    else:

        def run(x, y, out):
            for i in range(0, len(x), vector_type.lanes):
                live = vector_type.first_lanes(len(x) - i)
                value = function(vector_type.load_masked(x, i, live), vector_type.load_masked(y, i, live))
                simd.store_masked(out, i, value, live)

    return njit(run)


def errors(got, exact, dtype):
    """abs(got - exact) in ulp of exact; inf where one is NaN and the other not, or infinities differ."""
    rounded = exact.astype(dtype)
    beyond = exact.dtype.type(2.0) ** (np.finfo(dtype).maxexp - 1) * 2 if exact.dtype != dtype else np.inf
    value = np.where(np.isinf(got), np.copysign(beyond, got), got.astype(exact.dtype))
    wanted = np.clip(exact, -beyond, beyond)
    largest = np.finfo(dtype).max
    error = abs(value - wanted) / np.spacing(np.minimum(abs(rounded), largest)).astype(exact.dtype)
    return np.where(np.isnan(got) | np.isnan(exact), np.where(np.isnan(got) & np.isnan(exact), 0, np.inf), error)


def singles(stride):
    """Every stride-th float32 in chunks, from a fixed start."""
    for start in range(0, 1 << 32, CHUNK * stride):
        stop = min(start + CHUNK * stride, 1 << 32)
        yield np.arange(start, stop, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)


def doubles(stride):
    """Random float64: half uniform in the bit pattern, half of moderate exponent."""
    generator = np.random.default_rng(0)
    for _ in range(max(1, 1009 // stride)):
        wide = generator.integers(0, 1 << 64, CHUNK // 8, dtype=np.uint64).view(np.float64)
        near = generator.standard_normal(CHUNK // 8) * np.exp(generator.uniform(-20, 14, CHUNK // 8))
        yield np.concatenate([wide, near, np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -1.0, 1.0])])


def pairs(dtype, stride):
    """Random bases and exponents for power: mostly ones with a finite result."""
    generator = np.random.default_rng(1)
    for _ in range(max(1, 8 * 1009 // stride)):
        x = np.exp(generator.uniform(-80, 80, CHUNK // 8) * generator.uniform(0, 1, CHUNK // 8) ** 4)
        limit = np.log(np.finfo(dtype).max) * 1.1
        y = np.clip(generator.uniform(-limit, limit, x.size) / np.log(x), -1e30, 1e30)
        x[::16] *= -1
        y[::16] = np.rint(y[::16])
        yield x.astype(dtype), y.astype(dtype)


def row(name, dtype, where, worst, at, total, count):
    mean = f"{total / count:.2f}" if count else "-"
    print(f"| {name} | {np.dtype(dtype)} | {where} | {worst:.2f} | {at} | {mean} |", flush=True)


def sweep(name, dtype, stride, lanes):
    reference, ranges = FUNCTIONS[name]
    run = kernel(getattr(simd, name), simd.vector(dtype, lanes), 1)
    results = [[0.0, "-", 0.0, 0] for _ in ranges]
    for x in (singles if dtype == np.float32 else doubles)(stride):
        got = np.empty_like(x)
        run(x, got)
        error = errors(got, reference(x.astype(np.float64 if dtype == np.float32 else np.longdouble)), dtype)
        for result, (low, high) in zip(results, ranges, strict=True):
            inside = (abs(x) >= low) & (abs(x) < high) if high < np.inf else np.ones(x.shape, bool)
            part = error[inside]
            if part.size and part.max() > result[0]:
                result[:2] = float(part.max()), repr(float(x[inside][part.argmax()]))
            finite = part[np.isfinite(part)]
            result[2] += float(finite.sum())
            result[3] += finite.size
    for (low, high), result in zip(ranges, results, strict=True):
        row(name, dtype, "all" if high == np.inf else f"{low:g} <= abs(x) < {high:g}", *result)


def sweep_power(dtype, stride, lanes):
    run = kernel(simd.power, simd.vector(dtype, lanes), 2)
    worst, at, total, count = 0.0, "-", 0.0, 0
    for x, y in pairs(dtype, stride):
        got = np.empty_like(x)
        run(x, y, got)
        wide = np.float64 if dtype == np.float32 else np.longdouble
        error = errors(got, np.power(x.astype(wide), y.astype(wide)), dtype)
        if error.max() > worst:
            worst, k = float(error.max()), error.argmax()
            at = f"{float(x[k])!r}, {float(y[k])!r}"
        total, count = total + float(error[np.isfinite(error)].sum()), count + error.size
    row("power", dtype, "result finite", worst, at, total, count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stride", type=int, default=1009, help="take every STRIDE-th float32")
    parser.add_argument("--lanes", type=int, help="lanes of a vector; the host's best unless given")
    parser.add_argument("--dtypes", nargs="*", choices=("float32", "float64"), default=("float32", "float64"))
    parser.add_argument("functions", nargs="*", help="names; all unless given")
    options = parser.parse_args()
    np.seterr(all="ignore")
    print("| function | dtype | range | worst ulp | at | mean ulp |\n| --- | --- | --- | --- | --- | --- |")
    wide_enough = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
    for dtype in (np.float32, np.float64):
        if np.dtype(dtype).name not in options.dtypes or (dtype == np.float64 and not wide_enough):
            continue
        lanes = options.lanes or simd.host.lanes(dtype)
        for name in options.functions or (*FUNCTIONS, "power"):
            if name == "power":
                sweep_power(dtype, options.stride, lanes)
            else:
                sweep(name, dtype, options.stride, lanes)


if __name__ == "__main__":
    main()
