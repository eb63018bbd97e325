"""Any function that Numba compiles, compiled once more to be looked at.

What is compiled is the same Python function with the same options and types, so the code is that which runs; LLVM is
asked meanwhile what it thought of each loop (its optimisation remarks, which it writes to standard error).
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...contract.code import Code, Place

REMARK = re.compile(r"remark: places:(\d+):\d+: (.*)")
SILENT = "no-such-pass"
PARFOR = "__numba_parfor_gufunc"  # how Numba names the body of a prange


@dataclass(frozen=True)
class Compiled:
    """A function's machine code, LLVM's remarks by the line they are about, and what it was compiled from and for.

    arguments: Numba's types of the arguments, by name. kind: the decorator. options: its options.
    """

    function: Callable[..., Any]
    kind: str
    options: dict[str, Any]
    arguments: dict[str, Any]
    code: Code
    remarks: tuple[tuple[Place, str], ...]


def is_compiled(function: Any) -> bool:
    """Whether it is a function that Numba compiled, of a kind that can be compiled again."""
    try:
        return any(isinstance(function, known) for known in _kinds())
    except ImportError:
        return False


def python_function(function: Any) -> Any:
    """The function in Python that was compiled."""
    for name in ("py_func", "_pyfunc", "__wrapped__"):
        if hasattr(function, name):
            return getattr(function, name)
    return function._dispatcher.py_func


def compile_again(function: Any, arguments: tuple[Any, ...], signature: Any = None) -> Compiled:
    """The function compiled for these arguments; without any, for the signature, or the first it was compiled for.

    Raises TypeError for what is no function of Numba's or does not compile for these types, ValueError where neither
    arguments nor signatures are known.
    """
    try:
        import numba  # noqa: F401
    except ImportError:
        raise TypeError("explaining a function needs Numba: pip install numba") from None
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.errors import NumbaError
    from numba.core.registry import cpu_target

    from ...numba_backend.listing import Lines, code_for, printed_by

    kind, types_of, again = next((row for known, row in _kinds().items() if isinstance(function, known)), (None,) * 3)
    python = python_function(function) if kind else function
    name = getattr(python, "__name__", repr(python))
    if kind is None or types_of is None or again is None:
        raise TypeError(
            f"function is {name} ({type(function).__name__}), expected one that Numba compiled: "
            "@njit, @vectorize, @guvectorize or @cfunc"
        )
    kinds = types_of(function, arguments, signature)
    lines = Lines(True, lambda identity: identity.func is python or identity.func_name.startswith(PARFOR))
    codegen = cpu_target.target_context.codegen()
    with global_compiler_lock, printed_by(codegen, _has_lines) as printed, lines.recorded(), _remarks() as remarks:
        try:
            again(function, kinds)
        except NumbaError as error:
            first = next((line for line in str(error).splitlines() if line.strip()), "")
            raise TypeError(f"{name} does not compile for ({', '.join(map(str, kinds))}): {first}") from None
    numbered = ((lines.places[int(number)], text) for number, text in dict.fromkeys(remarks))
    names = python.__code__.co_varnames[: python.__code__.co_argcount]
    # What is linked into several modules is printed with each: the last holds all of it.
    code = code_for(codegen, name, _merged(printed), lines.places)
    return Compiled(python, kind, _options(function), dict(zip(names, kinds, strict=False)), code,
                    tuple((places[-1], text) for places, text in numbered if places))  # fmt: skip


def _kinds() -> dict[type, tuple[str, Callable[..., Any], Callable[..., Any]]]:
    """Each kind of function: what it is called, the types it is compiled for, and how it is compiled again."""
    from numba.core.ccallback import CFunc
    from numba.core.dispatcher import Dispatcher
    from numba.np.ufunc.dufunc import DUFunc
    from numba.np.ufunc.gufunc import GUFunc

    return {
        CFunc: ("cfunc", lambda function, arguments, signature: function._sig.args, _cfunc),
        DUFunc: ("vectorize", _element_types, _vectorize),
        GUFunc: ("guvectorize", _generalised_types, _guvectorize),
        Dispatcher: ("njit", _types, _njit),
    }


def _options(function: Any) -> dict[str, Any]:
    if hasattr(function, "gufunc_builder"):
        return dict(function.gufunc_builder.targetoptions)
    found = getattr(function, "targetoptions", None)
    if found is None:
        found = getattr(getattr(function, "_compiler", None), "targetoptions", {})
    return {name: value for name, value in found.items() if name != "nopython" and value not in (None, False)}


def _types(function: Any, arguments: tuple[Any, ...], signature: Any) -> tuple[Any, ...]:
    import numba
    from numba.core import sigutils

    if arguments:
        return tuple(numba.typeof(value) for value in arguments)
    if signature is not None:
        return tuple(sigutils.normalize_signature(signature)[0])
    if python_function(function).__code__.co_argcount == 0:
        return ()
    compiled = list(function.overloads)
    if not compiled:
        raise ValueError(
            f"{python_function(function).__name__} was not compiled yet, so its types are not known: give arguments, "
            "or a signature"
        )
    return tuple(getattr(compiled[0], "args", compiled[0]))


def _element_types(function: Any, arguments: tuple[Any, ...], signature: Any) -> tuple[Any, ...]:
    """A universal function's loop works on elements, whose types its signatures have."""
    import numba
    import numpy as np

    if arguments:
        inputs = arguments[: function.nin]
        return tuple(numba.from_dtype(np.asarray(value).dtype) for value in inputs)
    return _types(function._dispatcher, (), signature)


def _generalised_types(function: Any, arguments: tuple[Any, ...], signature: Any) -> tuple[Any, ...]:
    builder = function.gufunc_builder
    known = [tuple(s.args) if hasattr(s, "args") else tuple(s) for s in builder._sigs]
    if signature is not None or not known:
        return _types(builder.nb_func, arguments, signature)
    first = str(arguments[0].dtype) if arguments else ""
    fits = [kinds for kinds in known if str(getattr(kinds[0], "dtype", kinds[0])) == first]
    return (fits or known)[0]


def _njit(function: Any, kinds: tuple[Any, ...]) -> None:
    import numba

    options = {name: value for name, value in function.targetoptions.items() if value is not None}
    numba.jit(**options)(function.py_func).compile(kinds)


def _vectorize(function: Any, kinds: tuple[Any, ...]) -> None:
    import numba

    options = {name: value for name, value in function.targetoptions.items() if name != "nopython"}
    numba.vectorize([kinds], **options)(python_function(function))


def _guvectorize(function: Any, kinds: tuple[Any, ...]) -> None:
    import numba

    builder = function.gufunc_builder
    options = {name: value for name, value in builder.targetoptions.items() if name != "nopython"}
    numba.guvectorize([kinds], builder.signature, writable_args=builder.writable_args, **options)(builder.py_func)


def _cfunc(function: Any, kinds: tuple[Any, ...]) -> None:
    import numba

    options = {name: value for name, value in _options(function).items() if name != "nopython"}
    numba.cfunc(function._sig, **options)(function._pyfunc)


def _has_lines(module: Any) -> bool:
    return "!DILocation" in str(module)


def _merged(texts: list[str]) -> str:
    """The modules one after the other; a module that only repeats functions of a later one left out."""
    symbols = [set(re.findall(r"^(_ZN\w+):", text, re.MULTILINE)) for text in texts]
    kept = [t for i, t in enumerate(texts) if not any(symbols[i] <= later for later in symbols[i + 1 :])]
    return "\n".join(kept)


@contextmanager
def _remarks() -> Iterator[list[tuple[str, str]]]:
    """What LLVM's vectoriser says within the context: the number of a place, and a sentence.

    LLVM's options are the process's, and it writes to file descriptor 2, which is turned to a file meanwhile. What is
    no remark goes to standard error afterwards.
    """
    found: list[tuple[str, str]] = []
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            _say("loop-vectorize")
            yield found
        finally:
            _say(SILENT)
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            for line in file.read().decode(errors="replace").splitlines():
                remark = REMARK.match(line)
                if remark:
                    found.append((remark[1], remark[2]))
                elif not line.startswith(("remark:", "Backward loop", "Unknown data dep", "Forward loop")):
                    print(line, file=sys.stderr)


def _say(passes: str) -> None:
    """Which passes write remarks."""
    from llvmlite import binding

    for option in ("pass-remarks", "pass-remarks-missed", "pass-remarks-analysis"):
        binding.set_option("", f"-{option}={passes}")
