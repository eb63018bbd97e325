"""Time of every vector function on one thread beside NumPy or SciPy, as a Markdown table.

`env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/simd_speed.py` applies each function to 16,384 elements
in cache, `out=` given, and reports the best of many calls in microseconds. `--lanes 1 4 8 16` also times these vector
widths.
"""

import argparse
import pathlib
import sys
import time

import numpy as np
import scipy.special
from numba import njit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from kernels.numba_backend import simd

ELEMENTS = 1 << 14

# function: (NumPy's or SciPy's, its name, range of the arguments)
FUNCTIONS = {
    "exp": (np.exp, "np.exp", (-80, 80)),
    "expm1": (np.expm1, "np.expm1", (-10, 10)),
    "tanh": (np.tanh, "np.tanh", (-8, 8)),
    "sigmoid": (scipy.special.expit, "scipy expit", (-20, 20)),
    "log": (np.log, "np.log", (1e-3, 100)),
    "log1p": (np.log1p, "np.log1p", (-0.9, 100)),
    "softplus": (lambda x, out: np.logaddexp(x, x.dtype.type(0), out=out), "np.logaddexp(x, 0)", (-20, 20)),
    "sin": (np.sin, "np.sin", (-1e4, 1e4)),
    "cos": (np.cos, "np.cos", (-1e4, 1e4)),
    "erf": (scipy.special.erf, "scipy erf", (-4, 4)),
    "sqrt": (np.sqrt, "np.sqrt", (0, 100)),
    "power": (lambda x, out: np.power(x, x.dtype.type(1.7), out=out), "np.power(x, 1.7)", (0, 100)),
}


def kernel(name, vector_type):
    function = getattr(simd, name)
    if name == "power":

        def run(x, out):
            for i in range(0, len(x), vector_type.lanes):
                simd.store(out, i, function(vector_type.load(x, i), 1.7))
    else:

        def run(x, out):
            for i in range(0, len(x), vector_type.lanes):
                simd.store(out, i, function(vector_type.load(x, i)))

    return njit(run)


def best_microseconds(call, budget):
    call()
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < budget:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, nargs="*", default=[], help="further vector widths to time")
    parser.add_argument("--seconds", type=float, default=0.2, help="time spent on each measurement")
    options = parser.parse_args()
    njit(lambda x: x + 1)(1)  # Numba's own start is not part of any compilation time
    widths = "".join(f" {lanes} lanes |" for lanes in options.lanes)
    print(f"| function | dtype |{widths} best lanes, us | other | us | ratio | compilation, s |")
    print("| --- " * (7 + len(options.lanes)) + "|")
    for dtype in (np.float32, np.float64):
        for name, (other, other_name, limits) in FUNCTIONS.items():
            x = np.random.default_rng(0).uniform(*limits, ELEMENTS).astype(dtype)
            out, times = np.empty_like(x), []
            for lanes in (*options.lanes, simd.host.lanes(dtype)):
                run, start = kernel(name, simd.vector(dtype, lanes)), time.perf_counter()
                run(x[:0], out[:0])
                compilation = time.perf_counter() - start
                times.append(best_microseconds(lambda run=run, x=x, out=out: run(x, out), options.seconds))
            theirs = best_microseconds(lambda other=other, x=x, out=out: other(x, out=out), options.seconds)
            columns = "".join(f" {t:.1f} |" for t in times)
            print(
                f"| {name} | {np.dtype(dtype)} |{columns} {other_name} | {theirs:.1f} | {theirs / times[-1]:.1f} | "
                f"{compilation:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
