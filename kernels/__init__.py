"""Kernels: the numeric operations that tinynet trains with, in interchangeable backends.

``load("numpy")`` gives a backend whose methods are the kernels of ``kernels.contract``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .contract import DECLARATIONS, OUTPUT_ACTIVATIONS, Backend
from .loader import BackendUnavailable, available, load, names

if TYPE_CHECKING:
    from .explanation import Explanation

PROJECT = "tinynet"
"""Says whose package this is: another one on PyPI also imports as ``kernels``."""

__all__ = [
    "DECLARATIONS",
    "OUTPUT_ACTIVATIONS",
    "PROJECT",
    "Backend",
    "BackendUnavailable",
    "available",
    "explain",
    "load",
    "names",
]


def explain(
    kernel: str,
    backend: str | Backend = "numba",
    dtype: str = "float32",
    shape: Sequence[int] | None = None,
    options: dict[str, Any] | None = None,
    **backend_options: Any,
) -> Explanation:
    """What a call of a kernel runs on the machine: loops of machine code, NumPy's functions, or Python's bytecode.

    backend: a name, with ``backend_options`` for ``load``, or a loaded backend. shape: two lengths, or one; (m, k, n)
    for products. options: arguments of the kernel that are no arrays. ``print`` the result, or look at its
    ``sentence``, ``mix``, ``main`` loop, ``loops`` and ``as_json()``. Raises ValueError or TypeError for what does not
    exist, and BackendUnavailable.
    """
    from .explanation.explain import (
        explain as explanation,
    )  # with the conformance suite's operands: only when asked for

    return explanation(kernel, backend, dtype, shape, options, **backend_options)
