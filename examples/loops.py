"""Fifteen loops that people get wrong, each with what is in its way and what to write instead.

python -m kernels explain examples/loops.py:total      # what became of it, and why it is not vectorised
python -m kernels explain examples/loops.py:total_fast
python benchmarks/explained_loops.py                   # what each remedy brings
"""

import math

import numpy as np
from numba import njit

TWO = np.float32(2)


@njit
def total(x):
    s = np.float32(0)
    for i in range(len(x)):
        s += x[i]
    return s


total_fast = njit(fastmath=True)(total.py_func)


@njit
def largest(x):
    m = x[0]
    for i in range(len(x)):
        m = max(m, x[i])
    return m


SIGN, REST = np.int32(31), np.int32(0x7FFFFFFF)


@njit
def in_order(bits):
    """Integers that compare as the floats of these bits do: of negative ones all bits but the sign are turned."""
    return bits ^ ((bits >> SIGN) & REST)


@njit
def largest_fast(x):
    bits, best = x.view(np.int32), np.empty(1, np.int32)
    m = in_order(bits[0])
    for i in range(len(bits)):
        m = max(m, in_order(bits[i]))
    best[0] = in_order(m)
    return best.view(np.float32)[0]


@njit
def scaled(x, out):
    for i in range(len(x)):
        out[i] = x[i] * 0.5 + 1.0


@njit
def scaled_fast(x, out):
    half, one = np.float32(0.5), np.float32(1)
    for i in range(len(x)):
        out[i] = x[i] * half + one


@njit
def quotient(x, y, out):
    for i in range(len(x)):
        out[i] = x[i] / y[i]


quotient_fast = njit(error_model="numpy")(quotient.py_func)


@njit
def power(x, out):
    for i in range(len(x)):
        out[i] = x[i] ** np.float32(1.5)


@njit
def power_fast(x, out):
    for i in range(len(x)):
        out[i] = x[i] * math.sqrt(x[i])


@njit
def roots(x, out):
    for i in range(len(x)):
        if x[i] < 0:
            raise ValueError("a negative number")
        out[i] = math.sqrt(x[i])


@njit
def roots_fast(x, out):
    negative = 0
    for i in range(len(x)):
        negative += x[i] < 0
    if negative:
        raise ValueError("a negative number")
    for i in range(len(x)):
        out[i] = math.sqrt(x[i])


@njit
def first(x, value):
    for i in range(len(x)):
        if x[i] == value:
            return i
    return -1


@njit
def first_fast(x, value):
    block = 1024
    for start in range(0, len(x), block):
        part, hits = x[start : start + block], 0
        for i in range(len(part)):
            hits += part[i] == value
        if hits:
            return start + first(part, value)
    return -1


@njit
def position(x):
    best = 0
    for i in range(len(x)):
        if x[i] > x[best]:
            best = i
    return best


@njit
def position_fast(x):
    bits, block = x.view(np.int32), 512
    best, where = in_order(bits[0]), 0
    for start in range(0, len(bits), block):
        part, m = bits[start : start + block], best
        for i in range(len(part)):
            m = max(m, in_order(part[i]))
        if m > best:
            best, where = m, start
    return where + first(bits[where : where + block], in_order(best))


@njit
def shifted(x):
    for i in range(1, len(x)):
        x[i] = TWO * x[i - 1]


@njit
def shifted_fast(x, out):
    out[0] = x[0]
    for i in range(1, len(x)):
        out[i] = TWO * x[i - 1]


@njit
def smoothed(x, out):
    for series in range(x.shape[0]):
        s = np.float32(0)
        for t in range(x.shape[1]):
            s = s * np.float32(0.9) + x[series, t]
            out[series, t] = s


@njit
def smoothed_fast(x, out):
    for series in range(x.shape[1]):
        out[0, series] = x[0, series]
    for t in range(1, x.shape[0]):
        for series in range(x.shape[1]):
            out[t, series] = out[t - 1, series] * np.float32(0.9) + x[t, series]


@njit
def column_sums(x, out):
    for j in range(x.shape[1]):
        for i in range(x.shape[0]):
            out[j] += x[i, j]


@njit
def column_sums_fast(x, out):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[j] += x[i, j]


@njit
def doubled(x, out):
    for i in range(len(x)):
        out[i] = TWO * x[i]


doubled_fast = njit(doubled.py_func)


@njit
def every(x, out, step):
    for i in range(0, len(x), step):
        out[i] = TWO * x[i]


@njit
def every_fast(x, out):
    for i in range(len(x)):
        out[i] = TWO * x[i]


@njit
def remainders(x, k, out):
    for i in range(len(x)):
        out[i] = x[i] % k


@njit
def remainders_fast(x, k, out):
    for i in range(len(x)):
        out[i] = x[i] & (k - 1)


@njit
def lengths(x, out):
    for i in range(len(x)):
        pair = np.empty(2, np.float32)
        pair[0], pair[1] = x[i], TWO
        out[i] = pair[0] * pair[0] + pair[1] * pair[1]


@njit
def lengths_fast(x, out):
    for i in range(len(x)):
        out[i] = x[i] * x[i] + TWO * TWO


x, out = np.linspace(1, 2, 4096, dtype=np.float32), np.zeros(4096, np.float32)
square, square_out = np.ones((256, 256), np.float32), np.zeros((256, 256), np.float32)
whole, whole_out = np.arange(4096), np.zeros(4096, np.int64)

# Function, arguments, the reason that is named, arguments of the remedied function.
CASES = {
    "total": ((x,), "reduction", (x,)),
    "largest": ((x,), "extreme", (x,)),
    "scaled": ((x, out), "widened", (x, out)),
    "quotient": ((x, x, out), "zero division", (x, x, out)),
    "power": ((x, out), "call", (x, out)),
    "roots": ((x, out), "exception", (x, out)),
    "first": ((x, np.float32(3)), "early exit", (x, np.float32(3))),
    "position": ((x,), "position", (x,)),
    "shifted": ((out,), "dependence", (x, out)),
    "smoothed": ((square, square_out), "recurrence", (square, square_out)),
    "column_sums": ((square, square_out[0]), "columns", (square, square_out[0])),
    "doubled": ((np.repeat(x, 2)[::2], np.repeat(out, 2)[::2]), "stride", (x, out)),
    "every": ((x, out, 1), "unknown step", (x, out)),
    "remainders": ((whole, 8, whole_out), "integer division", (whole, 8, whole_out)),
    "lengths": ((x, out), "allocation", (x, out)),
}
example_arguments = {name: arguments for name, (arguments, _, _) in CASES.items()}
example_arguments |= {f"{name}_fast": arguments for name, (_, _, arguments) in CASES.items()}
