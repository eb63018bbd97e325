"""What NumPy runs: which of its functions a kernel calls, and which machine code they are dispatched to.

The kernel is run once on arrays that note each call. NumPy says itself for which instruction sets the loops of its
universal functions are compiled, and which it chose here (``numpy.lib.introspect``, NumPy 2.1 and later);
threadpoolctl, where it is installed, which library computes its products and for which core.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from .mix import counted
from .report import Part

LEVELS = {"X86_V4": "AVX-512", "X86_V3": "AVX2 and FMA", "X86_V2": "SSE4.2"}  # x86-64's levels, as the ABI defines them
PRODUCTS = frozenset(("matmul", "dot", "vecdot", "vdot", "inner", "tensordot"))


class _Watched(np.ndarray):
    """An array that notes which of NumPy's functions are called on it."""

    calls: ClassVar[list[tuple[str, Any, tuple[np.dtype[Any], ...]]]] = []

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = tuple(_bare(value) for value in inputs)
        if out is not None:
            options["out"] = tuple(_bare(value) for value in out)
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        kinds = tuple(value.dtype for value in plain if isinstance(value, np.ndarray))
        _Watched.calls.append((name, ufunc, kinds))
        return _watched(getattr(ufunc, method)(*plain, **{key: _bare(value) for key, value in options.items()}))

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        _Watched.calls.append((function.__name__, function, (self.dtype,)))
        return _watched(function(*map(_bare, arguments), **{key: _bare(value) for key, value in options.items()}))


def _bare(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(map(_bare, value))
    return value.view(np.ndarray) if isinstance(value, _Watched) else value


def _watched(value: Any) -> Any:
    return value.view(_Watched) if isinstance(value, np.ndarray) else value


def numpy_part(name: str, implementation: Callable[..., Any], operands: Sequence[Any]) -> Part:
    """The NumPy functions that a kernel calls on these operands."""
    _Watched.calls = []
    implementation(*map(_watched, operands))
    calls, _Watched.calls = _Watched.calls, []
    shown = [f"{label}: {compiled_as(label, function, kinds)}" for label, function, kinds in calls]
    listing = tuple(f"{line} ({n} times)" if n > 1 else line for line, n in Counter(shown).items())
    note = (
        f"{len(calls)} calls of NumPy's functions, each a loop of its own over the whole array"
        if len(calls) > 1
        else ""
    )
    if not calls:
        note = "no calls of NumPy's functions: it moves data by assignment or an array's own methods"
    sentence = ""
    if calls:
        passes = f" in {len(calls)} passes over memory" if len(calls) > 1 else ""
        sentence = f"Compiled code of NumPy's or its libraries does this{passes}; it cannot be disassembled from here."
    return Part(name, "NumPy", note or "one call of NumPy", listing=listing, sentence=sentence)


def compiled_as(label: str, function: Any, kinds: tuple[np.dtype[Any], ...]) -> str:
    """Which machine code a call is dispatched to, as far as NumPy and threadpoolctl say."""
    if label.partition(".")[0] in PRODUCTS and all(kind.kind == "f" for kind in kinds):
        return blas()
    if not isinstance(function, np.ufunc):
        return "compiled C"
    if function.__name__ not in np.__dict__:
        return "a ufunc of SciPy, compiled C without dispatch by instruction set"
    found = dispatch(function.__name__, kinds)
    return f"ufunc, {found}" if found else "ufunc, compiled for the baseline only"


def dispatch(name: str, kinds: Sequence[np.dtype[Any]]) -> str:
    """The instruction set that NumPy chose for a ufunc's loop on such operands; nothing where it has no choice."""
    try:
        from numpy.lib.introspect import opt_func_info
    except ImportError:
        return "dispatch unknown (NumPy 2.1 and later tell it)"
    loops = opt_func_info(func_name=f"^{re.escape(name)}$").get(name, {})
    char = max((kind for kind in kinds if kind.kind == "f"), key=lambda kind: kind.itemsize, default=np.dtype("f")).char
    for signature, chosen in loops.items():
        if signature.startswith(char):
            level = re.sub(r"baseline\((.*)\)", r"\1", chosen["current"])
            means = f", that is {LEVELS[level]}" if level in LEVELS else ""
            return f"dispatched to {chosen['current']}{means} (compiled for {chosen['available']})"
    return ""


def blas() -> str:
    """The library that computes NumPy's products."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        built = np.show_config(mode="dicts")
        found = built.get("Build Dependencies", {}).get("blas", {})
        return (
            f"BLAS, {found.get('name', 'unknown')} {found.get('version', '')} (threadpoolctl would tell for which core)"
        )
    libraries = [i for i in threadpool_info() if i["user_api"] == "blas"]
    of_numpy = [i for i in libraries if "numpy" in i.get("filepath", "")] or libraries
    if not of_numpy:
        return "BLAS, unknown to threadpoolctl"
    info = of_numpy[0]
    core = f", kernels for {info['architecture']}" if info.get("architecture") else ""
    return f"BLAS, {info['internal_api']} {info['version']}{core}, {counted(info['num_threads'], 'thread')}"
