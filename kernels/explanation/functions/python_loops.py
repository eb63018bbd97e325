"""The loops of a Python function, as its source has them, and which machine loops each became."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...contract.code import Place
from ..assembly import Instruction
from ..instructions import COMPUTING, FLOATING, MASK, MOVE, SCALAR
from ..loop import Line, Loop

OUTSIDE = ("_ZN7cpython", "cfunc.", "NRT_")  # functions around the explained one: Python's and C's way into it


@dataclass
class PythonLoop:
    """A ``for`` or ``while`` statement, or a whole function, whose array expressions are loops.

    first, last: its lines. machine: the innermost machine loops that it became, with no other statement's; around:
    those with others in them, as where a function that it calls has a loop.
    """

    node: ast.AST
    path: str
    first: int
    last: int
    machine: list[Loop] = field(default_factory=list)
    around: list[Loop] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def is_loop(self) -> bool:
        return isinstance(self.node, ast.For | ast.While)

    @property
    def hot(self) -> Loop | None:
        """The machine loop that does the work: a packed one where there is one, else the one with the most work."""
        return max(self.machine, key=lambda loop: (is_packed(loop), loop.weight), default=None)

    @property
    def place(self) -> Place:
        return self.path, self.first


def is_packed(loop: Loop) -> bool:
    """Whether a turn computes (where it computes nothing: moves) several elements by one instruction, without calls."""
    if loop.mix.calls or loop.rare.calls:
        return False
    operations = [line.operation for line in loop.lines]
    computing = (
        [o for o in operations if o.kind in FLOATING]
        or [o for o in operations if o.kind in COMPUTING - {MASK} and o.bits]
        or [o for o in operations if o.kind == MOVE and (o.loads or o.stores) and not o.spill]
    )
    several = sum(not o.scalar and o.lanes > 1 for o in computing)
    general = sum(_computes_in_general_registers(line) for line in loop.lines)
    return several > 0 and several >= len(computing) / 2 and general <= 2


def _computes_in_general_registers(line: Line) -> bool:
    """A load, store or division by general registers, which is work on one element and no counting."""
    instruction: Instruction = line.instruction
    memory = any("(" in operand or "[" in operand for operand in instruction.operands)
    return line.operation.kind == SCALAR and not instruction.mnemonic.startswith(("lea", "prefetch")) and (
        memory or instruction.mnemonic.startswith(("idiv", "div", "sdiv", "udiv"))
    )  # fmt: skip


def python_loops(function: Callable[..., Any]) -> list[PythonLoop]:
    """The function first, then its loops from outside to inside; the function alone where its source is not known."""
    path, first = function.__code__.co_filename, function.__code__.co_firstlineno
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError, TypeError):
        return [PythonLoop(ast.Module([], []), path, first, max(n or 0 for *_, n in function.__code__.co_lines()))]
    ast.increment_lineno(tree, first - 1)
    found = [PythonLoop(tree, path, first, first + len(lines) - 1)]
    loops = (node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While))
    return found + [PythonLoop(node, path, node.lineno, node.end_lineno or node.lineno) for node in loops]


def matched(
    function: Callable[..., Any], loops: Sequence[Loop], remarks: Sequence[tuple[Place, str]]
) -> list[PythonLoop]:
    """The function's loops that machine code was made of, with that code and with what LLVM said of each."""
    statements = python_loops(function)
    own = [loop for loop in loops if not loop.function.startswith(OUTSIDE)]
    placed = [(loop, _line_of(loop, statements[0])) for loop in own]
    if not any(line for _, line in placed):  # an element's function, whose loop is NumPy's, has no lines of its own
        placed = [(loop, statements[0].first) for loop in own]
    for loop, line in placed:
        if line:
            found = _innermost(statements, line)
            (found.machine if loop.innermost else found.around).append(loop)
    for (path, line), text in remarks:
        if path == statements[0].path:
            _innermost(statements, line).remarks.append(text)
    return [s for s in statements if s.machine and not (s.is_loop and _has_loops(s.node))]


def _has_loops(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.For | ast.While) and inner is not node for inner in ast.walk(node))


def _line_of(loop: Loop, function: PythonLoop) -> int:
    """The line inside the function that most instructions of a loop come from; 0 where none does."""
    lines = Counter(
        line.places[-1][1]
        for line in loop.lines
        if line.places and line.places[-1][0] == function.path and function.first <= line.places[-1][1] <= function.last
    )
    return lines.most_common(1)[0][0] if lines else 0


def _innermost(statements: Sequence[PythonLoop], line: int) -> PythonLoop:
    around = [s for s in statements if s.first <= line <= s.last]
    return min(around, key=lambda s: (s.last - s.first, -s.first), default=statements[0])
