"""The methods of a backend as editors and type checkers see them: ``signatures.pyi``, written from the declarations.

``python -m kernels.contract.stub`` writes it anew.
"""

from __future__ import annotations

from pathlib import Path

from .declaration import CHOICES, DECLARATIONS, Declaration, Operand

PATH = Path(__file__).with_name("signatures.pyi")
HEAD = '''"""The kernels as methods. ``python -m kernels.contract.stub`` writes this from the declarations."""

from typing import Any

from numpy import ndarray

Array = ndarray[Any, Any]

class Kernels:
'''


def _type(operand: Operand) -> str:
    if operand.shape is not None:
        kind = "Array | float" if operand.shape.axes == ("*",) and not operand.written else "Array"
        return f"{kind} | None" if operand.optional and not operand.written else kind
    named = {"Axis": "int | None", "Probability": "float", **dict.fromkeys(CHOICES, "str")}
    return named.get(operand.kind, operand.kind)


def _parameter(operand: Operand, allocates: bool) -> str:
    if operand.written:
        return f"{operand.name}: {_type(operand)}" + (" | None = None" if allocates else "")
    return f"{operand.name}: {_type(operand)}" + (f" = {operand.default!r}" if operand.optional else "")


def signature(declaration: Declaration) -> str:
    """``(self, a: Array, b: Array, *, out: Array | None = None) -> Array``."""
    results = declaration.results
    parameters = ["self", *(_parameter(operand, True) for operand in declaration.inputs)]
    parameters += ["*", *(_parameter(operand, declaration.allocates) for operand in results)] if results else []
    found = ["Array"] * len(results)
    returned = f"tuple[{', '.join(found)}]" if len(found) > 1 else "".join(found) or "None"
    return f"({', '.join(parameters)}) -> {returned}"


def stub() -> str:
    """The text of the file: each kernel's signature, with what it means as its docstring."""
    methods = []
    for declaration in DECLARATIONS.values():
        doc = "\n        ".join(declaration.doc.splitlines()).replace("        \n", "\n")
        end = "\n        " if "\n" in doc else ""
        raw = "r" if "\\" in doc else ""
        methods.append(
            f'    def {declaration.name}{signature(declaration)}:\n        {raw}"""{doc}{end}"""\n        ...\n'
        )
    return HEAD + "\n".join(methods)


if __name__ == "__main__":
    PATH.write_text(stub())
