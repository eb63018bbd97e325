"""What the machine knows of a kernel, in one entry: how it is built, arranged and split.

A kernel's threads split one array, its domain, by rows or columns (``native.partition``). For each operand two letters
say what a thread with rows i and columns j of the domain touches: of the operand's rows and of its columns, those
numbered as its i, those numbered as its j, or all (*). An operand of one axis is one row; what has length 1 is touched
by all. A kernel without a split is taken to touch everything on every thread, which costs barriers but is never wrong;
a test compares the splits with what the kernels do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PART, ROWS, COLUMNS, ITEMS, ALONE = "part", "rows", "columns", "items", "alone"
"""How threads split the domain: by rows or columns as ``splits_rows`` says; by rows; by columns; an array of one axis
item by item; not at all, one thread does it."""

Arrangement = tuple[str, str, tuple[Any, ...], float]
"""Name of the kernel, character of its dtype, its operands, and how much work the call is."""


class Epilogue(str):
    """An operand that is a product's epilogue, by name."""


class Interpreters(str):
    """An operand that is a function of the interpreter's C interface, by name."""


EPILOGUE = 6
"""Which operand of a product it is; the next one is what it reads."""
ALLOCATOR = 8
"""Which operand of a product takes memory; the next one gives it back."""


@dataclass(frozen=True)
class Split:
    """How threads split a kernel's work. domain: an operand's number; access: two letters an array operand."""

    mode: str
    domain: int = 0
    access: Sequence[str] = ()


@dataclass(frozen=True)
class Entry:
    """A kernel of the machine.

    build: from a vector type to the function that is compiled. split: how threads split a call, where that depends on
    the operands a function of them; None where nothing is known. arrange: how the arguments of the contract's kernel of
    the same name become its operands.
    """

    build: Callable[..., Callable[..., None]]
    split: Split | Callable[[Sequence[Any]], Split] | None = None
    arrange: Callable[..., Arrangement] | None = None


def straight(name: str) -> Callable[..., Arrangement]:
    """Operands as the contract has them, in order; the last one's dtype is the kernel's."""

    def arrange(*arguments: Any) -> Arrangement:
        out = arguments[-1]
        return name, out.dtype.char, arguments, out.size

    return arrange


def by_first(name: str) -> Callable[..., Arrangement]:
    """Operands in order, options as numbers; the first one's dtype is the kernel's, and its elements are the work."""

    def arrange(*arguments: Any) -> Arrangement:
        first, *rest = arguments
        numbers = (float(each) if isinstance(each, bool | int) else each for each in rest)
        return name, first.dtype.char, (first, *numbers), first.size

    return arrange
