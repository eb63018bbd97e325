"""Vector operations on every backend: each expression checked against NumPy and timed, call overhead included.

python examples/vector_operations.py

The expressions are those by which articles introduce vectorization: an elementwise formula, trigonometric functions, a
matrix product, cosine similarity by dot products, an outer product, a linear transformation.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import kernels

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> Any:
    return RNG.uniform(0.1, 1.0, shape).astype(np.float32)


A, B = numbers(2000), numbers(2000)
LEFT, RIGHT = numbers(200, 300), numbers(300, 400)
POINTS, TURN, SHIFT = numbers(1000, 3), numbers(3, 3), numbers(3)


@dataclass(frozen=True)
class Expression:
    """One formula: with NumPy, and with a backend's kernels."""

    text: str
    numpy: Callable[[], Any]
    kernels: Callable[[Any], Any]


def cosine(k: Any) -> Any:
    return k.divide(k.dot(A, B), k.sqrt(k.multiply(k.dot(A, A), k.dot(B, B))))


EXPRESSIONS = [
    Expression(
        "(a * 0.5) ** 2, 2,000 numbers", lambda: (A * np.float32(0.5)) ** 2, lambda k: k.power(k.multiply(A, 0.5), 2)
    ),
    Expression("sin(b) + cos(b), 2,000 numbers", lambda: np.sin(B) + np.cos(B), lambda k: k.add(k.sin(B), k.cos(B))),
    Expression("product, 200x300 by 300x400", lambda: LEFT @ RIGHT, lambda k: k.matmul(LEFT, RIGHT)),
    Expression("cosine similarity, 2,000 numbers", lambda: A @ B / np.sqrt((A @ A) * (B @ B)), cosine),
    Expression("outer product, 2,000 by 2,000", lambda: np.outer(A, B), lambda k: k.outer(A, B)),
    Expression(
        "linear transformation, 1,000 points", lambda: POINTS @ TURN + SHIFT, lambda k: k.linear(POINTS, TURN, SHIFT)
    ),
]


def best_seconds(call: Callable[[], Any], budget: float) -> float:
    """The shortest of many calls, after one that compiles."""
    call()
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < budget or best == float("inf"):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


def main(budget: float = 0.3) -> None:
    """Prints microseconds a call; each backend's answer is checked first."""
    backends = [kernels.load(name) for name in kernels.available()]
    print("microseconds a call".ljust(36) + "".join(name.rjust(12) for name in ["NumPy", *(b.name for b in backends)]))
    for expression in EXPRESSIONS:
        expected = expression.numpy()
        times = [best_seconds(expression.numpy, budget)]
        for backend in backends:
            answer = np.reshape(expression.kernels(backend), np.shape(expected))
            np.testing.assert_allclose(answer, expected, rtol=2e-5, err_msg=f"{expression.text} on {backend.name}")
            times.append(best_seconds(lambda: expression.kernels(backend), budget))  # noqa: B023
        print(expression.text.ljust(36) + "".join(f"{seconds * 1e6:12,.1f}" for seconds in times))


if __name__ == "__main__":
    main()
