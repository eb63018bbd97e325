"""Near-minimax polynomials: max |(f(x) - sum_k c_k x**e_k) w(x)| on an interval made small by the choice of c.

`python benchmarks/minimax.py > kernels/numba_backend/simd/coefficients.py` writes the coefficients that the vector
functions use. Arithmetic is decimal with 60 digits. Coefficients are rounded to the target's precision one at a time,
lowest power first, and the rest fitted again after each, so that the leading ones carry no rounding error of their own.
"""

from decimal import Decimal, getcontext
from functools import cache

import numpy as np

getcontext().prec = 60
D = Decimal
GRID = 100


def taylor(first, ratio, x):
    """Sum of a series whose n-th term is the one before times ratio(n)."""
    term = total = first
    n = 0
    while abs(term) > abs(total) * D(10) ** -58 and n < 2000:
        n += 1
        term *= ratio(n)
        total += term
    return total


def sin(x):
    return taylor(x, lambda n: -x * x / (2 * n * (2 * n + 1)), x)


def cos(x):
    return taylor(D(1), lambda n: -x * x / (2 * n * (2 * n - 1)), x)


def atanh(x):
    return ((1 + x) / (1 - x)).ln() / 2


def tanh(x):
    return 1 - 2 / ((2 * x).exp() + 1)


PI = D("3.14159265358979323846264338327950288419716939937510582097494")
LN2 = D(2).ln()


@cache
def erf(x):
    """2/sqrt(pi) sum of x**(2n+1) 2**n exp(-x**2) / (2n+1)!!: all terms positive, so nothing cancels."""
    return taylor(x, lambda n: 2 * x * x / (2 * n + 1), x) * 2 * (-x * x).exp() / PI.sqrt()


def solve(matrix, right):
    """Gaussian elimination with partial pivoting."""
    n = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k in range(n):
        pivot = max(range(k, n), key=lambda r: abs(rows[r][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for r in range(k + 1, n):
            factor = rows[r][k] / rows[k][k]
            rows[r] = [a - factor * b for a, b in zip(rows[r], rows[k], strict=True)]
    answer = [D(0)] * n
    for k in reversed(range(n)):
        answer[k] = (rows[k][n] - sum(rows[k][j] * answer[j] for j in range(k + 1, n))) / rows[k][k]
    return answer


def least_squares(points, values, weights, powers):
    """c minimising sum ((f - sum c_k x**e_k) w)**2: on Chebyshev nodes this is minimax to within a small factor."""
    basis = [[x**e * w for e in powers] for x, w in zip(points, weights, strict=True)]
    right = [v * w for v, w in zip(values, weights, strict=True)]
    columns = list(zip(*basis, strict=True))
    matrix = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in columns] for u in columns]
    return solve(matrix, [sum(a * b for a, b in zip(u, right, strict=True)) for u in columns])


def fit(function, weight, low, high, powers, dtype):
    """Coefficients of x**powers, rounded to dtype, and the weighted error left."""
    nodes = [D(low) + (D(high) - D(low)) * D((1 - np.cos(np.pi * (k + 0.5) / GRID)) / 2) for k in range(GRID)]
    values, weights, powers, rounded = [function(x) for x in nodes], [weight(x) for x in nodes], list(powers), []
    while powers:
        rounded.append(dtype(least_squares(nodes, values, weights, powers)[0]))
        power = powers.pop(0)
        values = [v - D(float(rounded[-1])) * x**power for x, v in zip(nodes, values, strict=True)]
    return rounded, max(abs(v) * w for v, w in zip(values, weights, strict=True))


def flat(x):
    """The weight 1."""
    return D(1)


def logarithm_rest(x):
    return ((1 + x).ln() - x + x * x / 2) / x**3


def tanh_rest(z):
    return (tanh(z.sqrt()) / z.sqrt() - 1) / z


def sine_rest(z):
    return (sin(z.sqrt()) / z.sqrt() - 1) / z


def cosine_after_one(z):
    return (cos(z.sqrt()) - 1) / z


def cosine_rest(z):
    return (cosine_after_one(z) + D("0.5")) / z


def atanh_rest(z):
    s = z.sqrt()
    return (2 * atanh(s) / s - 2) / z


def atanh_rest_after_two_thirds(z):
    return (atanh_rest(z) - D(2) / 3) / z


def log2_rest(x):
    return ((1 + x).ln() / LN2 - x / LN2) / x**2


def log2_cells():
    """Tables of c, and of -log2 c as high + low, for the 32 cells of a float32 m in [3/4, 3/2).

    A cell is the bits of m after the exponent: its last and four more. c is near 1/m, and 1 in the cells beside 1. It
    has so few bits that m c - 1 is exact, and high so few that its sum with an exponent is.
    """
    rows = []
    for cell in range(32):
        low, width = (D(32 + cell) / 32, D(1) / 32) if cell < 16 else (D(32 + cell) / 64, D(1) / 64)
        bits = 64 if cell < 16 else 32
        c = D(1) if cell in (0, 31) else (bits / (low + width / 2)).to_integral_value() / bits
        log = -c.ln() / LN2
        high = (log * 2**15).to_integral_value() / 2**15
        rows.append((float(c), float(high), float(np.float32(float(log - high)))))
    return zip(*rows, strict=True)


HALF_LN2, QUARTER_LN2, QUARTER_PI = LN2 / 2 * D("1.001"), LN2 / 4 * D("1.001"), PI / 4 * D("1.001")
ATANH_END = D("0.04")  # ((m - 1) / (m + 1))**2 at m = 3/2
SINGLE, DOUBLE = np.float32, np.float64

# name: (function, weight, from, to, powers, precision)
FITS = {
    "EXP_SINGLE": (lambda x: (x.exp() - 1 - x) / x**2, abs, -HALF_LN2, HALF_LN2, range(5), SINGLE),
    "EXP_DOUBLE": (lambda x: (x.exp() - 1 - x) / x**2, abs, -HALF_LN2, HALF_LN2, range(10), DOUBLE),
    "TANH_SINGLE": (tanh_rest, lambda z: z, "1e-9", QUARTER_LN2**2, range(2), SINGLE),
    "TANH_DOUBLE": (tanh_rest, lambda z: z, "1e-9", QUARTER_LN2**2, range(6), DOUBLE),
    "LOG_SINGLE": (logarithm_rest, lambda x: x**3 / (1 + x).ln(), D("-.25"), D(".5"), range(9), SINGLE),
    "LOG_DOUBLE": (atanh_rest, lambda z: z, "1e-9", ATANH_END, range(8), DOUBLE),
    "SIN_SINGLE": (sine_rest, lambda z: z, "1e-9", QUARTER_PI**2, range(4), SINGLE),
    "SIN_DOUBLE": (sine_rest, lambda z: z, "1e-9", QUARTER_PI**2, range(6), DOUBLE),
    "COS_SINGLE": (cosine_after_one, lambda z: z, "1e-9", QUARTER_PI**2, range(4), SINGLE),
    "COS_DOUBLE": (cosine_rest, lambda z: z * z, "1e-9", QUARTER_PI**2, range(6), DOUBLE),
    "ERF_SINGLE": (lambda z: erf(z.sqrt()) / z.sqrt() - 1, flat, "1e-9", "0.86", range(6), SINGLE),
    "ERF_DOUBLE": (lambda z: erf(z.sqrt()) / z.sqrt() - 1, flat, "1e-9", "1.01", range(12), DOUBLE),
    "ERFC_SINGLE": (lambda t: -(1 - erf(t)).ln(), lambda t: 1 - erf(t), "0.92", "3.95", range(7), SINGLE),
    "ERFC_DOUBLE": (lambda t: -(1 - erf(t)).ln(), lambda t: 1 - erf(t), "0.99", "5.95", range(19), DOUBLE),
    "POWER_LOG": (atanh_rest_after_two_thirds, lambda z: z * z, "1e-9", ATANH_END, range(9), DOUBLE),
    "POWER_LOG2": (log2_rest, abs, "-0.032", "0.032", range(5), SINGLE),
    "POWER_EXP2": (lambda x: ((x * LN2).exp() - 1) / x, abs, "-0.5005", "0.5005", range(6), SINGLE),
}


def main():
    print('"""Polynomial coefficients, lowest power first. Written by benchmarks/minimax.py; do not edit."""')
    for name, arguments in FITS.items():
        coefficients, error = fit(*arguments)
        print(f"\n# weighted error 2**{float(error.ln() / LN2):.1f}\n{name} = (")
        for c in coefficients:
            print(f"    {float(c)!r},")
        print(")")
    for name, table in zip(("INVERSE", "LOG2_HIGH", "LOG2_LOW"), log2_cells(), strict=True):
        print(f"\n# see log2_cells in benchmarks/minimax.py\nCELL_{name} = (")
        for number in table:
            print(f"    {number!r},")
        print(")")


if __name__ == "__main__":
    main()
