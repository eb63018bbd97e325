"""How many floating-point operations a kernel call does.

Additions, multiplications, comparisons and roots count one each, and so do functions such as exp, whatever a backend
makes of them; moving, choosing and converting numbers counts nothing. A product of an m x k and a k x n matrix
does 2 m n k. A fused kernel does what its composition of required kernels does: nobody counts by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from threading import local
from typing import Any

import numpy as np

from ..contract.backend import Backend, as_declared
from ..contract.declaration import DECLARATIONS

MOVES = (
    "cast", "fill", "where", "gather_rows", "gather_labels", "transpose", "one_hot", "dropout_mask",
)  # fmt: skip
OF_THE_INPUT = ("sum", "max", "argmax", "scatter_add_rows")  # one for each element of the first operand

Shape = tuple[int, ...]


@cache
def operations(kernel: str, operands: tuple[Any, ...]) -> int:
    """Floating-point operations of a call; operands: for an array its shape and dtype, else the argument itself."""
    arguments = [np.zeros(*operand) if isinstance(operand, tuple) else operand for operand in operands]
    backend = _counting()
    _COUNTED.operations = 0
    inputs = len(DECLARATIONS[kernel].inputs)
    results = dict(zip((o.name for o in DECLARATIONS[kernel].results), arguments[inputs:], strict=True))
    getattr(backend, kernel)(*arguments[:inputs], **results)
    return _COUNTED.operations


class _Counted(local):
    """Operations of the call that the thread counts."""

    operations = 0


_COUNTED = _Counted()


@cache
def _counting() -> Backend:
    """A backend whose kernels compute nothing, and count what they would have to do."""
    required = {name: _count(name) for name, declaration in DECLARATIONS.items() if declaration.required}
    return Backend("counting", required, empty=np.zeros)


def _count(kernel: str) -> Callable[..., None]:
    """An implementation that adds the number of its operations to those counted."""

    def implementation(*arguments: Any) -> None:
        _COUNTED.operations += _own(kernel, arguments)

    return as_declared(implementation, DECLARATIONS[kernel])


def _own(kernel: str, arguments: tuple[Any, ...]) -> int:
    if kernel in MOVES:
        return 0
    if kernel == "matmul":
        m, n = arguments[-1].shape
        return int(2 * m * n * (arguments[0].size // m if m else 0))
    return prod(arguments[0 if kernel in OF_THE_INPUT else -1].shape)
