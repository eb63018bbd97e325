"""A backend of one's own: every kernel computes in float64 and rounds once, to see what float32 costs in accuracy.

python examples/custom_backend.py

A backend is any module or object with the contract's required kernels as functions; results come in as ``out``, already
checked and allocated. What is fused runs as compositions of these. To make it known to ``--backend``, a package
registers it in its pyproject.toml: [project.entry-points."tinynet.backends"] precise = "my_package.precise"
"""

import numpy as np
from scipy import special

from kernels.contract.random import drop_below, random_bits
from kernels.loader import from_module
from kernels.testing import check


class Precise:
    """The required kernels, computed in float64."""

    def matmul(a, b, transpose_a, transpose_b, out):
        a, b = a.astype(float), b.astype(float)
        out[...] = (a.T if transpose_a else a) @ (b.T if transpose_b else b)

    def where(condition, a, b, out):
        out[...] = np.where(condition, a, b)

    def cast(x, out):
        out[...] = x

    def fill(value, out):
        out[...] = value

    def sum(x, axis, out):
        out[...] = x.sum(axis=axis, dtype=float)

    def max(x, axis, out):
        out[...] = x.max(axis=axis)

    def argmax(x, axis, out):
        out[...] = x.argmax(axis=axis)

    def transpose(x, out):
        out[...] = x.T

    def gather_rows(table, indices, out):
        out[...] = table[indices]

    def gather_labels(labels, indices, out):
        out[...] = labels[indices]

    def one_hot(labels, out):
        out[...] = np.arange(out.shape[1]) == labels[:, None]

    def scatter_add_rows(rows, indices, out):
        total = np.zeros(out.shape)
        np.add.at(total, indices, rows)
        out[...] = total

    def dropout_mask(counter, seed, rate, out):
        kept = [random_bits(seed, int(counter[0]), i) >= drop_below(rate) for i in range(out.size)]
        out[...] = np.reshape(kept, out.shape) / (1 - rate)


def rounded(function, *names):
    """An elementwise function as a kernel with the parameter names that the contract gives it."""
    scope = {"function": function}
    arguments, wide = ", ".join(names), ", ".join(f"{name}.astype(float)" for name in names)
    exec(f"def kernel({arguments}, out):\n out[...] = function({wide})", scope)
    return staticmethod(scope["kernel"])


for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "absolute", "sign"):
    setattr(Precise, name, rounded(getattr(np, name), "x"))
for name in ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "greater"):
    setattr(Precise, name, rounded(getattr(np, name), "a", "b"))
Precise.erf = rounded(special.erf, "x")

backend = from_module(Precise, "precise")

if __name__ == "__main__":
    failures = check(backend)
    print(*failures[:10], f"{backend}: the conformance suite finds {len(failures)} faults", sep="\n")
