"""Watches: kernels that raise a flag where a value is not what it has to be. Each thread watches its own part."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...program.dependencies import height
from ..native.calling_convention import advance, columns, number, pointer, row, rows, share
from ..simd import select, vector
from .entry import ITEMS, ROWS, Arrangement, Entry, Split
from .row_passes import first_lane, row_pass

not_finite = row_pass(lambda x: (x - x,), sums=1)  # 0, or NaN where an element is not finite
beyond = row_pass(lambda x, low, high: (select((x >= low) & (x <= high), x - x, math.nan),), sums=1)


def over_elements(found, numbers):
    """Builds the kernel that raises the flag where ``found``, a sum, is not 0; operands: x, flag, then numbers.

    An array of one axis is shared element by element, as rows' losses are computed.
    """

    def build(f):
        def kernel(words, thread, threads):
            flag, height, width = pointer(f, words, 1), rows(words, 0), columns(words, 0)
            given = (f(number(words, 2)), f(number(words, 3)))[:numbers]
            top, bottom, left, right = 0, height, 0, width
            if height == 1:
                left, right = share(width, thread, threads, 1)
            else:
                top, bottom = share(height, thread, threads, 1)
            for i in range(top, bottom):
                (sum_,) = found(f, right - left, True, (advance(row(f, words, 0, i), left),), (), given)
                if not first_lane(sum_) == 0.0:
                    flag[0] = math.nan

        return kernel

    return build


def watch_below(f):
    """Operands: indices, flag, limit. f is the flag's type."""
    numbers = vector("int64", 1)

    def kernel(words, thread, threads):
        indices, flag, limit = pointer(numbers, words, 0), pointer(f, words, 1), np.uint64(number(words, 2))
        first, last = share(columns(words, 0), thread, threads, 1)
        outside = np.uint64(0)
        for i in range(first, last):
            outside |= np.uint64(np.uint64(indices[i]) >= limit)  # a negative index is a huge one
        if outside != 0:
            flag[0] = math.nan

    return kernel


def arranged(name: str) -> Callable[..., Arrangement]:
    def arrange(x: Any, flag: Any, *numbers: float) -> Arrangement:
        return name, flag.dtype.char, (x, flag, *map(float, numbers)), x.size

    return arrange


EACH_ITEM = Split(ITEMS, 0, ("*i", "**"))


def split(operands: Sequence[Any]) -> Split:
    return EACH_ITEM if height(operands[0]) == 1 else Split(ROWS, 0, ("i*", "**"))


ENTRIES = {
    "watch_finite": Entry(over_elements(not_finite, 0), split, arranged("watch_finite")),
    "watch_within": Entry(over_elements(beyond, 2), split, arranged("watch_within")),
    "watch_below": Entry(watch_below, EACH_ITEM, arranged("watch_below")),
}
