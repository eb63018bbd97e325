"""What the products' kernels read of a call: C = epilogue(start + op(A) op(B), y)."""

from __future__ import annotations

from ...native.calling_convention import columns, inlined, number, pointer, rows, stride_bytes
from ..entry import EPILOGUE

A, B, BIAS, C, TURNED_A, TURNED_B = range(6)
"""Operands of a product, before the epilogue, its y, and where memory comes from."""


@inlined
def arrays(f, words):
    """The first elements of a, b, the bias, c and y."""
    return (
        pointer(f, words, A), pointer(f, words, B), pointer(f, words, BIAS), pointer(f, words, C),
        pointer(f, words, EPILOGUE + 1),
    )  # fmt: skip


@inlined
def sizes(words):
    """Rows and columns of C, what is summed over, and whether A and B are turned."""
    turned_a = number(words, TURNED_A) != 0
    k = rows(words, A) if turned_a else columns(words, A)
    return rows(words, C), columns(words, C), k, turned_a, number(words, TURNED_B) != 0


@inlined
def strides(words, size):
    """From row to row of a, b, c and y, in elements of so many bytes."""
    return (
        stride_bytes(words, A) // size, stride_bytes(words, B) // size, stride_bytes(words, C) // size,
        stride_bytes(words, EPILOGUE + 1) // size,
    )  # fmt: skip


@inlined
def biased(words):
    """Whether there is a bias."""
    return columns(words, BIAS) > 0
