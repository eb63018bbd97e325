"""What each thread touches of a kernel's operands, as the kernels' entries say (``kernels.entry``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...program.dependencies import height, overlap
from ...program.instruction import FLAG, Instruction, View
from ..kernels.entry import ALONE, ITEMS, PART, ROWS, Split
from ..kernels.table import ENTRIES
from ..native.partition import COLUMN_UNIT, share_of, splits_rows


def split_of(kernel: str, operands: Sequence[Any]) -> Split | None:
    """How a kernel's threads split a call; None where nothing is known."""
    split = ENTRIES[kernel].split
    return split(operands) if callable(split) else split


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
