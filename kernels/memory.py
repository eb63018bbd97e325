"""Where memory for arrays is taken, and how it is aligned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Bytes of a cache line on x86-64 and most AArch64, and of the widest vector register: no vector of an aligned array
# crosses a line. Kernels and arenas have it compiled in, so it is one number; longer lines cost time, not results.
LINE = 64
LINE_WORDS = LINE // 8  # 64-bit words
APART = 2 * LINE_WORDS  # words from what one thread writes to what another does: x86 cores fetch lines in pairs
# Bytes after which addresses share the places of x86-64's first cache: 64 sets of lines, told by an address's lowest
# 12 bits. In a cache of more sets only some multiples of it do.
PAGE = 64 * LINE


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """As NumPy takes it, mostly not from a line on: aligning would delay a single call by a microsecond."""
    return np.empty(shape, dtype)


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """A C-contiguous array of any numbers that begins on a cache line: for what is used often."""
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(nbytes + LINE, np.uint8)
    array: Array = memory[-memory.ctypes.data % LINE :][:nbytes].view(dtype).reshape(shape)
    return array
