"""A backend in C, compiled at import by the system's compiler and called through ctypes; refused where there is none.

python -m kernels scoreboard examples/c_backend.py: is it right, and how fast beside NumPy and the numba backend?
Arithmetic is in C, for float32 and float64; what only moves data is an assignment of NumPy's.
"""

import ctypes
import shutil
import subprocess
import tempfile

import numpy as np

from kernels import Backend
from kernels.contract import DECLARATIONS
from kernels.contract.backend import as_declared
from kernels.contract.random import drop_below, random_bits

ELEMENTWISE = {
    **{f: f"F({f})(a)" for f in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "erf")},
    **{"absolute": "F(fabs)(a)", "sign": "a != a ? a : (a > 0) - (a < 0)", "power": "F(pow)(a, b)"},
    **{"add": "a + b", "subtract": "a - b", "multiply": "a * b", "divide": "a / b", "greater": "a > b"},
    **{"maximum": "a > b || a != a ? a : b", "minimum": "a < b || a != a ? a : b", "where": "a != 0 ? b : c"},
}
# Operands have a row stride (rA) and a stride within the row (sA), 0 where they are broadcast.
LOOP = """void NAME_T(long m, long n, T *o, long ro, T *A, long rA, long sA,
  T *B, long rB, long sB, T *C, long rC, long sC)
{ for (long i = 0; i < m; i++) for (long j = 0; j < n; j++) {
    T a = A[i * rA + j * sA], b = B[i * rB + j * sB], c = C[i * rC + j * sC]; o[i * ro + j] = EXPRESSION; } }"""
OTHERS = """
void matmul_T(long m, long n, long k, T *o, long ro, T *a, T *b)
{ for (long i = 0; i < m; i++) { T *row = o + i * ro; for (long j = 0; j < n; j++) row[j] = 0;
    for (long p = 0; p < k; p++) for (long j = 0; j < n; j++) row[j] += a[i * k + p] * b[p * n + j]; } }
void sum_T(long m, long n, T *x, T *o)
{ for (long i = 0; i < m; i++) { double s = 0; for (long j = 0; j < n; j++) s += x[i * n + j]; o[i] = s; } }
void argmax_T(long m, long n, T *x, long long *o)
{ for (long i = 0; i < m; i++) { long best = 0; T *r = x + i * n;
    for (long j = 1; j < n; j++) if (r[best] == r[best] && (r[j] > r[best] || r[j] != r[j])) best = j;
    o[i] = best; } }"""
loops = "\n".join(LOOP.replace("NAME", n).replace("EXPRESSION", e) for n, e in ELEMENTWISE.items()) + OTHERS
source = "#include <math.h>\n#define F(x) x##f\n" + loops.replace("_T", "_float").replace("T ", "float ")
source += "\n#undef F\n#define F(x) x\n" + loops.replace("_T", "_double").replace("T ", "double ")
compiler = next(filter(shutil.which, ("cc", "gcc", "clang")), "")
if not compiler:
    raise ImportError("the backend in C needs a C compiler: no cc, gcc or clang is on the PATH")
with tempfile.TemporaryDirectory() as folder:
    command = f"{compiler} -O3 -march=native -fno-math-errno -shared -fPIC -xc - -o {folder}/kernels.so -lm"
    done = subprocess.run(command.split(), input=source, text=True, capture_output=True)
    if done.returncode:
        raise ImportError(f"{compiler} does not compile the backend in C: {done.stderr.strip().splitlines()[0]}")
    LIBRARY = ctypes.CDLL(f"{folder}/kernels.so")


def call(name, kind, *arguments):
    """A loop of the library: arrays by their addresses, numbers as long."""
    function = getattr(LIBRARY, f"{name}_{'float' if kind == np.float32 else 'double'}")
    function(*(ctypes.c_void_p(v.ctypes.data) if isinstance(v, np.ndarray) else ctypes.c_long(v) for v in arguments))


def along(name, x, axis, out):
    """A reduction of each row of what the axis leaves; returns these rows."""
    x = np.ascontiguousarray(x.reshape(1, -1) if axis is None or x.ndim == 1 else x.T if axis == 0 else x)
    call(name, x.dtype, *x.shape, x, out)
    return x


def elementwise(name):
    def kernel(*operands):
        *inputs, out = operands
        inputs = (inputs * 3)[:3] if len(inputs) != 2 else [*inputs, inputs[0]]
        *pairs, last = [(0, *np.broadcast_to(x, out.shape).strides)[-2:] for x in (*inputs, out)]
        given = [v for x, s in zip(inputs, pairs, strict=True) for v in (x, *(step // out.itemsize for step in s))]
        call(name, out.dtype, *(1, *out.shape)[-2:], out, last[0] // out.itemsize, *given)

    return kernel


def matmul(a, b, transpose_a, transpose_b, out):
    a, b = np.ascontiguousarray(a.T if transpose_a else a), np.ascontiguousarray(b.T if transpose_b else b)
    call("matmul", out.dtype, *out.shape, a.shape[1], out, out.strides[0] // out.itemsize, a, b)


def largest(x, axis, out):
    where = np.empty(out.size, np.int64)
    out.reshape(-1)[:] = along("argmax", x, axis, where)[np.arange(out.size), where]


KERNELS = {
    **{name: elementwise(name) for name in ELEMENTWISE}, "max": largest,
    **{name: lambda x, axis, out, name=name: along(name, x, axis, out) for name in ("sum", "argmax")},
    **{name: lambda x, out: np.copyto(out, x, casting="unsafe") for name in ("cast", "fill")},
    **{name: lambda table, i, out: np.copyto(out, table[i]) for name in ("gather_rows", "gather_labels")},
    "scatter_add_rows": lambda rows, i, out: (out.fill(0), np.add.at(out, i, rows)),
    "transpose": lambda x, out: np.copyto(out, x.T),
    "one_hot": lambda labels, out: np.copyto(out, np.arange(out.shape[1]) == labels[:, None]),
    "dropout_mask": lambda counter, seed, rate, out: np.copyto(out, (random_bits(seed, int(counter[0]), np.arange(
        out.size, dtype=np.uint64)).reshape(out.shape) >= drop_below(rate)) / (1 - rate), casting="unsafe"),
}  # fmt: skip
backend = Backend("c", {n: as_declared(k, DECLARATIONS[n]) for n, k in KERNELS.items()} | {"matmul": matmul})
