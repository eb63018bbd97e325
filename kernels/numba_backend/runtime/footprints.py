"""What each thread touches of a kernel's operands.

A kernel's threads split one array, its domain, by rows or columns (``sharing``). For each operand two letters say what
a thread with rows i and columns j of the domain touches: of the operand's rows and of its columns, those numbered as
its i, those numbered as its j, or all (*). An operand of one axis is one row; what has length 1 is touched by all. A
kernel without an entry is taken to touch everything on every thread, which costs barriers but is never wrong; a test
compares the entries with what the kernels do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...program.dependencies import height, overlap
from ...program.instruction import FLAG, Instruction, View
from ..kernels import elementwise, optimizers
from ..native.partition import COLUMN_UNIT, share_of, splits_rows

PART, ROWS, COLUMNS, ITEMS, ALONE = "part", "rows", "columns", "items", "alone"
"""How threads split the domain: by rows or columns as ``splits_rows`` says; by rows; by columns; an array of one axis
item by item; not at all, one thread does it."""


@dataclass(frozen=True)
class Split:
    """How threads split a kernel's work. domain: an operand's number; access: two letters an array operand."""

    mode: str
    domain: int = 0
    access: Sequence[str] = ()


LOSSES = ("sigmoid_cross_entropy", "squared_error", "absolute_error", "poisson_nll")
SPLITS: dict[str, Split] = {
    **{name: Split(PART, -1, ("ij",) * 4) for name in elementwise.BUILDERS},
    **{name: Split(PART, 0, ("ij",) * arrays + ("**",)) for name, arrays in optimizers.AVERAGED.items()},
    **{name: Split(ROWS, 1, ("i*", "i*")) for name in ("softmax", "log_softmax", "fill")},
    **{name: Split(ROWS, 0, ("i*", "i*")) for name in ("cast_to_float32", "cast_to_float64")},
    **{name: Split(ROWS, 2, ("i*",) * 3) for name in ("softmax_gradient", "log_softmax_gradient")},
    **{name: Split(ROWS, 0, ("i*", "i*", "*i", "", "*i", "i*")) for name in LOSSES},
    "huber": Split(ROWS, 0, ("i*", "i*", "*i", "", "", "*i", "i*")),
    "softmax_cross_entropy": Split(ROWS, 6, ("i*", "*i", "*i", "", "", "*i", "i*")),
    "transpose": Split(ROWS, 0, ("i*", "*i")),
    "one_hot": Split(ROWS, 1, ("*i", "i*")),
    "dropout_mask": Split(ROWS, 4, ("**", "", "", "", "i*")),
    "scheduled_dropout_mask": Split(ROWS, 4, ("**", "", "", "**", "i*")),
    "to_indices": Split(ITEMS, 0, ("*i", "", "*i")),
    "watch_below": Split(ITEMS, 0, ("*i", "**")),
    "gather_rows": Split(ROWS, 2, ("**", "*i", "i*")),
    "gather_labels": Split(ITEMS, 2, ("**", "*i", "*i")),
    "layer_norm": Split(ROWS, 0, ("i*", "**", "**", "", "i*", "*i", "*i")),
    **{f"{name}_rows": Split(ROWS, 0, ("i*", "*i")) for name in ("sum", "mean", "max", "argmax")},
    **{f"{name}_columns": Split(COLUMNS, 0, ("*j", "*j")) for name in ("sum", "mean", "max")},
    **{name: Split(ALONE) for name in ("sum_all", "mean_all", "max_all", "argmax_all", "sum_of_squares", "dot")},
    "batch_norm": Split(COLUMNS, 0, ("*j",) * 5 + ("", "") + ("*j",) * 3),
    "batch_norm_gradient": Split(COLUMNS, 0, ("*j",) * 8),
    "batch_norm_inference": Split(COLUMNS, 0, ("*j",) * 5 + ("", "*j")),
}


def split_of(kernel: str, operands: Sequence[Any]) -> Split | None:
    """How a kernel's threads split a call; None where nothing is known."""
    if kernel == "gemm":
        turned_a, turned_b = operands[4] != 0, operands[5] != 0
        return Split(PART, 3, ("*i" if turned_a else "i*", "j*" if turned_b else "*j", "*j", "ij", "", "", "", "ij"))
    if kernel in ("watch_finite", "watch_within"):
        return Split(ITEMS, 0, ("*i", "**")) if height(operands[0]) == 1 else Split(ROWS, 0, ("i*", "**"))
    return SPLITS.get(kernel)


@dataclass(frozen=True)
class Region:
    """What one thread reads and writes in one call."""

    reads: tuple[View, ...]
    writes: tuple[View, ...]


def regions(instruction: Instruction, kernel: str, operands: Sequence[Any], threads: int) -> list[Region]:
    """What each thread touches, but for flags: each phase has its own."""
    operands = [None if isinstance(o, View) and o.buffer.kind == FLAG else o for o in operands]
    split = split_of(kernel, operands)
    written = {id(view) for view in instruction.writes}
    only_written = written - {id(view) for view in instruction.reads}

    def region(views: list[View | None], touched: Sequence[Any]) -> Region:
        pairs = [
            (part, id(whole)) for part, whole in zip(views, touched, strict=True) if part is not None and part.size
        ]
        return Region(
            tuple(part for part, whole in pairs if whole not in only_written),
            tuple(part for part, whole in pairs if whole in written),
        )

    touched = [operand for operand in operands if isinstance(operand, View)]
    if split is None:
        return [region(list(touched), touched)] * threads
    if split.mode == ALONE:
        return [region(list(touched), touched), *[Region((), ())] * (threads - 1)]
    domain = operands[split.domain]
    found = []
    for thread in range(threads):
        i, j = own(split.mode, domain, thread, threads)
        parts = [
            rectangle(operand, letters, i, j)
            for operand, letters in zip(operands, split.access, strict=False)
            if isinstance(operand, View)
        ]
        found.append(region(parts, touched))
    return found


Interval = tuple[int, int]


def own(mode: str, domain: View, thread: int, threads: int) -> tuple[Interval, Interval]:
    """A thread's rows and columns of the domain."""
    high, wide = height(domain), domain.shape[-1]
    if mode == ITEMS:
        return share_of(wide, thread, threads, 1), (0, wide)
    if mode == ROWS or (mode == PART and splits_rows(high, wide, threads)):
        return share_of(high, thread, threads, 1), (0, wide)
    return (0, high), share_of(wide, thread, threads, COLUMN_UNIT)


def rectangle(view: View, letters: str, i: Interval, j: Interval) -> View | None:
    """The part of an operand that letters name; None if it is empty."""
    extents = (height(view), view.shape[-1])
    intervals = []
    for letter, extent in zip(letters, extents, strict=True):
        first, last = {"i": i, "j": j, "*": (0, extent)}[letter]
        if first >= last:
            return None
        intervals.append((0, extent) if extent == 1 else (first, min(last, extent)))
    (top, bottom), (left, right) = intervals
    stride = view.strides[0] if len(view.shape) == 2 else 0
    offset = view.offset + top * stride + left * view.strides[-1]
    shape = (bottom - top, right - left) if len(view.shape) == 2 else (right - left,)
    return replace(view, offset=offset, shape=shape)


def crosses(first: list[Region], second: list[Region]) -> bool:
    """Whether a thread writes in one call what another thread touches in the other."""
    if first == second and _disjoint(first):
        return False
    pairs = [(a, b) for t, a in enumerate(first) for u, b in enumerate(second) if t != u]
    return any(
        overlap(written, touched)
        for a, b in pairs
        for one, other in ((a, b), (b, a))
        for written in one.writes
        for touched in (*other.reads, *other.writes)
    )


def _disjoint(found: list[Region]) -> bool:
    return not any(
        overlap(written, touched)
        for t, region in enumerate(found)
        for u, other in enumerate(found)
        if t != u
        for written in region.writes
        for touched in (*other.reads, *other.writes)
    )
