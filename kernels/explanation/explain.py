"""What a kernel's call runs: machine code, NumPy's functions, Python's bytecode, or other kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from ..contract import DECLARATIONS, Backend
from ..contract.code import Code
from ..contract.declaration import Declaration
from ..loader import load
from .loop import Loop, known, loops_of, main_loop
from .numpy_code import numpy_part
from .operands import declaration_of, described, operands_of
from .python_code import python_part
from .report import Explanation, Part

MOST_DEEP = 4  # compositions of compositions that are followed


def explain(
    kernel: str,
    backend: str | Backend = "numba",
    dtype: str = "float32",
    shape: Sequence[int] | None = None,
    options: dict[str, Any] | None = None,
    **backend_options: Any,
) -> Explanation:
    """What a call of a kernel runs on the machine. See kernels.explain."""
    declaration = declaration_of(kernel)
    loaded = load(backend, **backend_options) if isinstance(backend, str) else backend
    return explain_call(loaded, kernel, operands_of(declaration, dtype, shape, options or {}), dtype)


def explain_call(backend: Backend, kernel: str, operands: Sequence[Any], dtype: str) -> Explanation:
    """The same of a call on these operands, results included; where there is no machine code, the call runs."""
    declaration = declaration_of(kernel)
    parts = _parts(backend, declaration, operands, 8 * np.dtype(dtype).itemsize, 0)
    return Explanation(
        kernel, declaration.formula, backend.name, dict(backend.options), dtype, described(declaration, operands),
        tuple(parts),
    )  # fmt: skip


def _parts(backend: Backend, declaration: Declaration, operands: Sequence[Any], element: int, depth: int) -> list[Part]:
    """What the call runs, one part for each piece of code. element: bits of its dtype."""
    implementation = backend.implementations.get(declaration.name)
    if implementation is None:
        return _composed(backend, declaration, operands, element, depth)
    if backend.code is not None:
        return [compiled(code, element) for code in backend.code(declaration.name, tuple(operands))]
    if backend.name == "numpy":
        return [numpy_part(declaration.name, _within(backend, implementation), operands)]
    return [python_part(declaration, _within(backend, implementation), implementation, operands)]


def _within(backend: Backend, implementation: Callable[..., Any]) -> Callable[..., Any]:
    return implementation if backend.context is None else backend.context()(implementation)


def _composed(
    backend: Backend, declaration: Declaration, operands: Sequence[Any], element: int, depth: int
) -> list[Part]:
    """A kernel that the backend leaves out: which kernels its composition calls, and then each of them."""
    calls: list[tuple[str, tuple[Any, ...]]] = []
    names = [operand.name for operand in declaration.results]
    inputs = len(declaration.inputs)
    assert declaration.composition is not None
    declaration.composition(
        _Recording(backend, calls), *operands[:inputs], **dict(zip(names, operands[inputs:], strict=True))
    )
    note = (
        f"backend {backend.name} has no {declaration.name} of its own: it runs {', '.join(name for name, _ in calls)}"
    )
    parts = [Part(declaration.name, "composition", note)]
    seen = set()
    for name, arguments in calls:
        if name not in seen and depth < MOST_DEEP:
            seen.add(name)
            parts += _parts(backend, declaration_of(name), arguments, element, depth + 1)
    return parts


class _Recording:
    """A backend that notes the kernels called on it and runs them."""

    def __init__(self, backend: Backend, calls: list[tuple[str, tuple[Any, ...]]]):
        self._backend, self._calls = backend, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        if name not in DECLARATIONS:
            return found
        declaration = DECLARATIONS[name]

        def call(*arguments: Any, **given: Any) -> Any:
            results = found(*arguments, **given)
            bound = dict(zip((o.name for o in declaration.inputs), arguments, strict=False)) | given
            written = results if isinstance(results, tuple) else (results,)
            bound |= dict(zip((o.name for o in declaration.results), written, strict=False))
            floats = [v.dtype for v in bound.values() if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
            values = ((o, bound.get(o.name, o.default)) for o in declaration.operands)
            self._calls.append(
                (
                    name,
                    tuple(
                        np.array([v], floats[0]) if o.is_array and isinstance(v, int | float) else v for o, v in values
                    ),
                )
            )
            return results

        return call


@lru_cache(maxsize=64)
def _loops(code: Code, element: int) -> tuple[Loop, ...]:
    """The same whichever of them a call's shapes choose."""
    return tuple(loops_of(code, element))


def compiled(code: Code, element: int) -> Part:
    """A part of machine code, with its loops where the architecture's instructions are known."""
    instructions = sum(line[:1] == "\t" and line[1:2] not in (".", "#") for line in code.text.splitlines())
    about = f"{instructions:,} instructions for {code.cpu} ({code.triple})"
    note = f"; {code.note}" if code.note else ""
    if not known(code.triple):
        return Part(code.name, "machine code", f"{about}, which this command does not know: here they are{note}",
                    assembly=code.text)  # fmt: skip
    loops = _loops(replace(code, turn=None, note=""), element)
    return Part(code.name, "machine code", about + note, loops, main_loop(loops, code.turn), code.text)
