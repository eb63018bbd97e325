"""The explanation of a function that Numba compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..loop import known, loops_of
from ..report import Explanation, Part, Verdict
from .compiling import Compiled, compile_again
from .python_loops import PythonLoop, is_packed, matched
from .reasons import Evidence, reasons
from .timing import measured


def explain_function(function: Any, *arguments: Any, signature: Any = None, measure: bool = True) -> Explanation:
    """What a function of Numba's compiled to. See kernels.explain."""
    compiled = compile_again(function, arguments, signature)
    code, python = compiled.code, compiled.function
    dtype = _dtype(compiled.arguments)
    about = f"{_instructions(code.text):,} instructions for {code.cpu} ({code.triple})"
    if not known(code.triple):
        parts = [Part(code.name, "machine code", f"{about}, which this command does not know: here they are",
                      assembly=code.text)]  # fmt: skip
        return _explanation(compiled, dtype, arguments, parts)
    loops = loops_of(code, 8 * np.dtype(dtype).itemsize)
    statements = matched(python, loops, compiled.remarks)
    verdicts = tuple(_verdict(statement, compiled) for statement in statements)
    main = max((v.loop for v in verdicts if v.loop), key=lambda loop: loop.weight, default=None)
    own = tuple(loop for statement in statements for loop in statement.machine)
    sentence = ""
    if measure and arguments and compiled.kind != "cfunc":
        threads = _threads(compiled)
        sentence = measured(function, arguments, main.mix if main else None, dtype, threads, len(statements) == 1)
    part = Part(code.name, "machine code", about, own, main, code.text if not own else "", sentence=sentence,
                verdicts=verdicts)  # fmt: skip
    return _explanation(compiled, dtype, arguments, [part])


def _verdict(statement: PythonLoop, compiled: Compiled) -> Verdict:
    hot = statement.hot
    evidence = Evidence(statement, compiled.arguments, compiled.options)
    found = reasons(evidence)
    # The packed version of a loop over elements that are apart is for arrays where they are not.
    elsewhere = any(reason.name in ("columns", "stride") for reason in found)
    packed = hot is not None and is_packed(hot) and not elsewhere
    return Verdict(statement.place, packed, hot.mix.lanes if hot and packed else 1, found, hot)


def _explanation(compiled: Compiled, dtype: str, arguments: tuple[Any, ...], parts: list[Part]) -> Explanation:
    options = ", ".join(f"{name}={value!r}" for name, value in compiled.options.items())
    lines = (compiled.function.__doc__ or "").strip().splitlines()
    formula = f"@{compiled.kind}({options})" + (f", {lines[0]}" if lines else "")
    shapes = [f" {'x'.join(map(str, value.shape))}" if isinstance(value, np.ndarray) else "" for value in arguments]
    operands = ", ".join(
        f"{name}{shapes[i] if i < len(shapes) else ''} {kind}" for i, (name, kind) in enumerate(_described(compiled))
    )
    return Explanation(
        compiled.function.__name__, formula, "numba", dict(compiled.options), dtype, operands, tuple(parts)
    )


def _described(compiled: Compiled) -> list[tuple[str, str]]:
    return [(name, str(kind)) for name, kind in compiled.arguments.items()]


def _dtype(types: Mapping[str, Any]) -> str:
    """float32 where an argument is, else float64: what lanes are counted in."""
    names = {str(getattr(kind, "dtype", kind)) for kind in types.values()}
    return "float32" if "float32" in names else "float64"


def _threads(compiled: Compiled) -> int:
    import numba

    return int(numba.get_num_threads()) if compiled.options.get("parallel") else 1


def _instructions(text: str) -> int:
    return sum(line[:1] == "\t" and line[1:2] not in (".", "#") for line in text.splitlines())
