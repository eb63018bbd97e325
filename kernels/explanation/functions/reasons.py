"""Why a loop was not vectorised, or is slower than it looks, and what to write instead.

A reason is a row: what has to be seen for it, in the source, the types, LLVM's remarks and the machine code. What the
rows do not know is said in LLVM's own words.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..instructions import CALL, CONVERSION
from ..loop import Loop
from ..report import Reason
from .python_loops import PythonLoop, is_packed

ALLOCATION = ("NRT_", "numba_alloc")
FREE_CALLS = ("memset", "memcpy", "memmove")  # the C library's own loops, packed by themselves


@dataclass(frozen=True)
class Evidence:
    """All that is known of a loop. types: Numba's of the function's arguments, by name; options: the decorator's."""

    loop: PythonLoop
    types: Mapping[str, Any]
    options: Mapping[str, Any]

    def said(self, *phrases: str) -> bool:
        """Whether LLVM said something with one of these phrases."""
        return any(phrase in remark for remark in self.loop.remarks for phrase in phrases)

    def has(self, *kinds: type) -> bool:
        """Whether the source has a node of these kinds."""
        return any(isinstance(node, kinds) for node in ast.walk(self.loop.node))

    @cached_property
    def packed(self) -> bool:
        return self.loop.hot is not None and is_packed(self.loop.hot)

    @cached_property
    def calls(self) -> list[str]:
        """The functions called from the loop, allocations and the C library's loops left out."""
        return [c for c in self._called if not c.startswith((*ALLOCATION, *FREE_CALLS))]

    @cached_property
    def allocates(self) -> bool:
        return any(c.startswith(ALLOCATION) for c in self._called)

    @cached_property
    def _called(self) -> list[str]:
        loops: list[Loop] = [*self.loop.machine, *self.loop.around]
        return sorted({o.operation.target for loop in loops for o in loop.lines if o.operation.kind == CALL})

    @cached_property
    def variable(self) -> str:
        """The name of the loop's variable."""
        target = getattr(self.loop.node, "target", None)
        return target.id if isinstance(target, ast.Name) else ""

    def subscripts(self) -> Iterator[ast.Subscript]:
        yield from (node for node in ast.walk(self.loop.node) if isinstance(node, ast.Subscript))

    @cached_property
    def exits(self) -> bool:
        """Whether LLVM saw a way out of the loop other than its end."""
        return not self.packed and self.said(
            "arly exit", "uncountable", "could not determine number of loop iterations"
        )

    @cached_property
    def divides(self) -> bool:
        return any(isinstance(n, ast.BinOp | ast.AugAssign) and isinstance(n.op, ast.Div | ast.FloorDiv | ast.Mod)
                   for n in ast.walk(self.loop.node))  # fmt: skip

    @cached_property
    def divides_integers(self) -> bool:
        whole = any(isinstance(n, ast.BinOp | ast.AugAssign) and isinstance(n.op, ast.FloorDiv | ast.Mod)
                    for n in ast.walk(self.loop.node))  # fmt: skip
        arrays = [t.dtype for t in self.types.values() if hasattr(t, "layout")]
        return whole and any(str(kind).startswith(("int", "uint")) for kind in arrays)

    @cached_property
    def indirect(self) -> bool:
        """Whether an index comes out of an array, or is made of one's element."""
        names = {
            t.id
            for node in ast.walk(self.loop.node)
            if isinstance(node, ast.Assign) and any(isinstance(n, ast.Subscript) for n in ast.walk(node.value))
            for t in node.targets
            if isinstance(t, ast.Name)
        }
        return any(
            isinstance(n, ast.Subscript) or (isinstance(n, ast.Name) and n.id in names)
            for s in self.subscripts()
            for n in ast.walk(s.slice)
        )

    @cached_property
    def unknown_step(self) -> bool:
        call = getattr(self.loop.node, "iter", None)
        return (isinstance(call, ast.Call) and len(call.args) == 3
                and not isinstance(call.args[2], ast.Constant | ast.UnaryOp))  # fmt: skip

    @cached_property
    def columns(self) -> list[str]:
        """Arrays whose rows the loop steps over: its variable is in an index other than the last."""
        found = set()
        for s in self.subscripts():
            axes = s.slice.elts if isinstance(s.slice, ast.Tuple) else []
            layout = getattr(self.types.get(getattr(s.value, "id", "")), "layout", "C")
            near = axes[:1] if layout == "F" else axes[-1:]
            inside = [a for a in axes if any(isinstance(n, ast.Name) and n.id == self.variable for n in ast.walk(a))]
            if inside and not any(a in near for a in inside):
                found.add(ast.unparse(s.value))
        return sorted(found)

    @cached_property
    def strided(self) -> list[str]:
        """Arguments of the loop whose type does not promise that neighbours are side by side."""
        used = {getattr(s.value, "id", "") for s in self.subscripts()}
        return [n for n, t in self.types.items() if getattr(t, "layout", "") == "A" and n in used]

    @cached_property
    def widens(self) -> bool:
        """Whether float32 elements are converted to float64 in the loop."""
        narrow = any(str(getattr(t, "dtype", t)) == "float32" for t in self.types.values())
        names = {line.instruction.mnemonic for loop in self.loop.machine for line in loop.lines
                 if line.operation.kind == CONVERSION}  # fmt: skip
        wide = any("ps2pd" in n or "ss2sd" in n or n in ("fcvtl", "fcvtl2") for n in names)
        return narrow and (wide or any(n == "fcvt" for n in names))

    @cached_property
    def positions(self) -> bool:
        """Whether a comparison decides which index or value is kept: no sum, product or extreme of elements."""
        return any(isinstance(n, ast.Assign) and isinstance(n.value, ast.Name) and n.value.id == self.variable
                   for n in ast.walk(self.loop.node))  # fmt: skip

    @cached_property
    def stores(self) -> bool:
        return any(isinstance(s.ctx, ast.Store) for s in self.subscripts())

    @cached_property
    def extreme(self) -> bool:
        named = any(isinstance(n, ast.Call) and ast.unparse(n.func).rpartition(".")[2] in ("max", "min", "fmax", "fmin")
                    for n in ast.walk(self.loop.node))  # fmt: skip
        return named or (self.has(ast.If, ast.IfExp) and not self.positions)


@dataclass(frozen=True)
class Row:
    """A reason and what has to be seen for it; the text may have ``{0}``, which ``of`` fills."""

    name: str
    seen: Callable[[Evidence], bool]
    sentence: str
    remedy: str
    of: Callable[[Evidence], str] = lambda evidence: ""


def _floats_reordered(e: Evidence) -> bool:
    return not e.packed and e.said("reorder floating-point")


NO_REDUCTION = "could not be identified as reduction"
ROWS = (
    Row("allocation", lambda e: e.allocates,
        "each turn makes an array, or takes a view of one, and counts references to it.",
        "make the array once before the loop, or write out its elements as numbers."),
    Row("call", lambda e: bool(e.calls),
        "each element is a call of {0}, which takes one number at a time.",
        "write it with operations that have packed instructions (+ - * /, math.sqrt, abs, comparisons): "
        "x * math.sqrt(x) for x ** 1.5, math.sqrt(x * x + y * y) for math.hypot(x, y); for exp, log, tanh and the like "
        "install Intel's short vector math library (pip install icc-rt; `numba -s` says whether it is found), or call "
        "a kernel, such as kernels.load('numba').tanh(x).",
        lambda e: ", ".join(c.removeprefix("_ZN")[:40] for c in e.calls)),
    Row("bounds check", lambda e: e.exits and bool(e.options.get("boundscheck")),
        "boundscheck=True looks at every index before it is used, and may leave the loop by an exception.",
        "leave boundscheck out (it is for finding faults), or use "
        "indices that follow from range, whose ends LLVM checks before the loop."),
    Row("exception", lambda e: e.exits and e.has(ast.Raise, ast.Assert),
        "a turn may raise an exception, so no element may be computed before the one ahead of it is found good.",
        "look for bad values in a loop of its own that only counts them, raise after it, compute in a second loop."),
    Row("zero division", lambda e: e.exits and e.divides and e.options.get("error_model", "python") != "numpy",
        "a division by zero raises ZeroDivisionError, as in Python, so every turn has a way out of the loop.",
        '@njit(error_model="numpy"): division by zero gives infinity or NaN.'),
    Row("early exit", lambda e: e.exits and e.has(ast.Break, ast.Return),
        "a turn may leave the loop (break or return), so LLVM does not know how many there are.",
        "work on blocks: a loop without break over some 1024 elements that counts hits, and the search only in a block "
        "that has one."),
    Row("reduction", _floats_reordered,
        "a floating-point sum depends on the order of its terms, which packed additions would change.",
        '@njit(fastmath=True), or only fastmath={"reassoc", "nsz"}: the result is rounded differently.'),
    Row("extreme", lambda e: not e.packed and e.said(NO_REDUCTION) and e.extreme and not e.stores,
        "each turn compares with the largest or smallest float of those before; whether order matters (NaN, zeros of "
        "both signs) LLVM does not learn from Numba's fastmath.",
        "compare their bits as integers, whose order is the same (examples/loops.py, largest_fast), or 256 extremes "
        "are kept side by side, best[k] = max(best[k], x[start + k]) in an inner loop over k."),
    Row("position", lambda e: not e.packed and e.said(NO_REDUCTION) and e.positions,
        "what is kept is a position that a comparison chose, and the next comparison reads the element there.",
        "find the extreme value of each block of some 512 first, and then where it is in the best block alone."),
    Row("recurrence", lambda e: not e.packed and e.said(NO_REDUCTION) and e.stores
        and not e.positions,
        "each turn needs what the turn before it computed, and stores it.",
        "walk along another axis in the inner loop (several independent series side by side), or split the series."),
    Row("dependence", lambda e: not e.packed and e.said("unsafe dependent memory"),
        "an element is read that an earlier turn wrote, so turns cannot run together.",
        "read from one array and write to another; a true recurrence is independent along another axis only."),
    Row("indirect index", lambda e: not e.packed and e.indirect and e.said("array bounds", "not beneficial",
        "unsafe dependent", "cannot be vectorized"),
        "an index comes out of an array: what is written may be what a later turn reads, and is not side by side.",
        "gather with np.take or scatter in a loop of its own, and compute on contiguous arrays in another."),
    Row("unknown step", lambda e: not e.packed and e.unknown_step,
        "the step of range is known only at run time: it may be negative, and elements are not side by side.",
        "write the step as a number, or make it 1 over a contiguous copy, x[::k].copy()."),
    Row("aliasing", lambda e: not e.packed and not e.indirect and not e.unknown_step and e.said("array bounds",
        "runtime checks", "memory checks"),
        "the arrays may overlap, and LLVM cannot tell from their ends whether they do.",
        "hoist loads of what does not change out of the loop, and use fewer arrays in one loop."),
    Row("integer division", lambda e: not e.packed and e.divides_integers,
        "no CPU has a packed division of integers, and Python's // and % round down, which costs a branch.",
        "x >> n for x // 2**n and x & (2**n - 1) for x % 2**n, or divide in floating point."),
    Row("columns", lambda e: bool(e.columns),
        "the loop steps over rows of {0}, so elements that follow one another are a row apart in memory: packed code "
        "runs only where a row has one element, or gathers one by one.",
        "exchange the loops, so that the innermost runs along the last axis, or copy the column or transpose first.",
        lambda e: ", ".join(e.columns)),
    Row("stride", lambda e: bool(e.strided),
        "the type of {0} does not say that its elements are side by side (layout A), so the loop is compiled for any "
        "stride, at best with a second version that is chosen at run time.",
        "pass contiguous arrays, np.ascontiguousarray(x), or declare them so: float32[::1].",
        lambda e: ", ".join(e.strided)),
    Row("widened", lambda e: e.widens,
        "float32 becomes double precision on the way, by a Python float such as 0.1 or 0.0, an integer or a wider "
        "argument: half as many lanes, and conversions there and back.",
        "make constants and starts float32 before the loop: half = np.float32(0.5); total = np.float32(0)."),
    Row("branch", lambda e: not e.packed and e.has(ast.If, ast.IfExp) and e.said("control flow", "conditional",
        "not beneficial"),
        "an if around a store needs stores under a mask, which not every CPU has.",
        "compute both sides and store in every turn: out[i] = a if condition else b, or np.where."),
)  # fmt: skip


def reasons(evidence: Evidence) -> tuple[Reason, ...]:
    """The reasons that are seen; LLVM's own words where it did not vectorise and no row says why."""
    found = [Reason(row.name, _filled(row.sentence, row, evidence), row.remedy) for row in ROWS if row.seen(evidence)]
    words = [r.partition(": ")[2] for r in evidence.loop.remarks if r.startswith("loop not vectorized: ")]
    words += [r for r in evidence.loop.remarks if "not beneficial" in r and "interleaving" not in r]
    words = [word for word in words if "explicitly disabled" not in word]
    if not found and not evidence.packed and words:
        found.append(Reason("LLVM", f"LLVM says: {words[0]}.", "none is known to this command."))
    return tuple(found)


def _filled(text: str, row: Row, evidence: Evidence) -> str:
    return text.replace("{0}", row.of(evidence))
