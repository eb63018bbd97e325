"""Which instructions must stay in order: those of which one writes what the other touches."""

from __future__ import annotations

from collections.abc import Sequence

from .instruction import Buffer, Instruction, View


def overlap(a: View, b: View) -> bool:
    """Whether two views touch the same bytes. Exact for rectangles of one table, else a safe yes."""
    if a.buffer is not b.buffer or a.span[0] >= b.span[1] or b.span[0] >= a.span[1]:
        return False
    stride = max(row_stride(a), row_stride(b))
    if not stride or {row_stride(a), row_stride(b)} - {0, stride}:
        return True
    (top_a, left_a), (top_b, left_b) = divmod(a.offset, stride), divmod(b.offset, stride)
    width_a, width_b = (view.shape[-1] * view.dtype.itemsize for view in (a, b))
    if left_a + width_a > stride or left_b + width_b > stride:
        return True  # a row that wraps around
    rows = top_a < top_b + height(b) and top_b < top_a + height(a)
    return rows and left_a < left_b + width_b and left_b < left_a + width_a


def height(view: View) -> int:
    """Rows; an array of one axis is one row."""
    return view.shape[0] if len(view.shape) == 2 else 1


def row_stride(view: View) -> int:
    """Bytes from row to row; 0 where there is only one row."""
    return view.strides[0] if height(view) > 1 else 0


def predecessors(instructions: Sequence[Instruction]) -> list[set[int]]:
    """For each instruction the earlier ones that it must come after.

    One of the two writes what the other touches, or the earlier one halts runs in which the other must not begin.
    """
    halting: list[int] = []
    touched: dict[Buffer, list[tuple[int, View, bool]]] = {}
    found: list[set[int]] = []
    for j, instruction in enumerate(instructions):
        own = [(view, False) for view in instruction.reads] + [(view, True) for view in instruction.writes]
        before = {i for i in halting if instructions[i].guards(instruction)}
        for view, written in own:
            for i, other, other_written in touched.get(view.buffer, ()):
                if (written or other_written) and i not in before and overlap(other, view):
                    before.add(i)
        for view, written in own:
            touched.setdefault(view.buffer, []).append((j, view, written))
        if instruction.halts:
            halting.append(j)
        found.append(before)
    return found
