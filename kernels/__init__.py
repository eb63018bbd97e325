"""Kernels: the numeric operations that tinynet trains with, in interchangeable backends.

``load("numpy")`` gives a backend whose methods are the kernels of ``kernels.contract``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, overload

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


@overload
def explain(
    kernel: str,
    backend: str | Backend = "numba",
    dtype: str = "float32",
    shape: Sequence[int] | None = None,
    options: dict[str, Any] | None = None,
    **backend_options: Any,
) -> Explanation: ...


@overload
def explain(
    kernel: Callable[..., Any], *arguments: Any, signature: Any = None, measure: bool = True
) -> Explanation: ...


def explain(kernel: Any, *arguments: Any, **options: Any) -> Explanation:
    """What a call runs on the machine: loops of machine code, NumPy's functions, or Python's bytecode.

    Of a kernel, by its name: ``explain("silu", backend="numba", dtype="float32", shape=(256, 128), options=None)``.
    backend: a name, with further options for ``load``, or a loaded backend. shape: two lengths, or one; (m, k, n)
    for products. options: arguments of the kernel that are no arrays.

    Of any function that Numba compiled (``@njit``, ``@vectorize``, ``@guvectorize``, ``@cfunc``), with the arguments of
    a call: ``explain(function, x, y)``. Each loop's instructions beside the lines of Python that they come from,
    whether it is packed, and if not why, with what to write instead: ``explanation.verdicts``. The call runs on copies
    of the arguments and is timed, unless ``measure=False``. Without arguments it is what the function was first
    compiled for, or ``signature`` (Numba's, as text or types).

    ``print`` the result, or look at its ``sentence``, ``mix``, ``main`` loop, ``loops`` and ``as_json()``. Raises
    ValueError or TypeError for what does not exist or cannot be compiled, and BackendUnavailable.
    """
    # With the conformance suite's operands, or Numba: only when asked for.
    if isinstance(kernel, str):
        from .explanation.explain import explain as of_a_kernel

        return of_a_kernel(kernel, *arguments, **options)
    from .explanation.functions import explain_function

    return explain_function(kernel, *arguments, **options)
