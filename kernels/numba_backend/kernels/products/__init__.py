"""Products: which kernel computes a call of the contract's, on which operands, and how threads split it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..entry import PART, Arrangement, Entry, Epilogue, Interpreters, Split
from .gemm import gemm
from .narrow import gemm_narrow, is_narrow
from .pairs import gemm_bfloat16

Array = np.ndarray[Any, Any]

MEMORY = Interpreters("PyMem_RawMalloc"), Interpreters("PyMem_RawFree")
"""What takes memory for packed factors, and gives it back: neither needs the GIL."""


def product(precision: str, rows: int, depth: int, columns: int, char: str, operands: tuple[Any, ...]) -> Arrangement:
    """The kernel for a product of these sizes."""
    name = "gemm_bfloat16"
    if precision == "full":
        turned_a, turned_b = operands[4] != 0, operands[5] != 0
        name = "gemm_narrow" if is_narrow(rows, depth, columns, turned_a, turned_b) else "gemm"
    return name, char, operands, rows * depth * columns


def matmul(a: Array, b: Array, transpose_a: bool, transpose_b: bool, precision: str, out: Array) -> Arrangement:
    operands = (a, b, None, out, float(transpose_a), float(transpose_b), None, None, *MEMORY)
    return product(precision, out.shape[0], a.shape[0 if transpose_a else 1], out.shape[1], out.dtype.char, operands)


def linear(x: Array, weight: Array, bias: Array | None, activation: str, precision: str, out: Array) -> Arrangement:
    epilogue = None if activation == "identity" else Epilogue(activation)
    operands = (x, weight, bias, out, 0.0, 0.0, epilogue, None, *MEMORY)
    return product(precision, out.shape[0], x.shape[1], out.shape[1], out.dtype.char, operands)


def matmul_gradient(
    a: Array, b: Array, y: Array, activation: str, transpose_a: bool, transpose_b: bool, precision: str, out: Array
) -> Arrangement:
    epilogue = Epilogue(f"{activation}_gradient")
    operands = (a, b, None, out, float(transpose_a), float(transpose_b), epilogue, y, *MEMORY)
    return product(precision, out.shape[0], a.shape[0 if transpose_a else 1], out.shape[1], out.dtype.char, operands)


def split(operands: Sequence[Any]) -> Split:
    turned_a, turned_b = operands[4] != 0, operands[5] != 0
    return Split(
        PART, 3, ("*i" if turned_a else "i*", "j*" if turned_b else "*j", "*j", "ij", "", "", "", "ij", "", "")
    )


BUILDERS = {"gemm": gemm, "gemm_bfloat16": gemm_bfloat16, "gemm_narrow": gemm_narrow}
ENTRIES = {name: Entry(build, split) for name, build in BUILDERS.items()}
ARRANGEMENTS: dict[str, Callable[..., Arrangement]] = {
    "matmul": matmul,
    "linear": linear,
    "matmul_gradient": matmul_gradient,
}
