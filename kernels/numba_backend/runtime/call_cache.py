"""Calls like earlier ones: recognised and run by one native function, without the checks' cost in Python.

The contract checks every call, which takes about a microsecond in Python: as long as a small kernel. A call that
passed is remembered here: of each array its dtype, axes, shape, strides and flags, of every other argument but floats
the object itself. When a call's arguments equal a remembered row in all that, and what is written overlaps nothing,
the checks would pass again, so the kernel runs at once; in every other case nothing happens and the contract checks
as always.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import types

from ...contract import DECLARATIONS
from ...contract.checks import KIND_DTYPE, overlap_pairs
from ...contract.dtypes import FLOATS
from ...locks import lock
from ..native.calling_convention import (
    FIRST_OPERAND,
    OPERAND_WORDS,
    WORDS,
    call_kernel,
    follow,
    inlined,
    words_on_stack,
)
from ..native.compilation import address_of
from ..native.invocation import (  # fmt: skip
    ARRAY_AXES,
    ARRAY_DATA,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    FLOAT_VALUE,
    HEADER,
    TUPLE_ITEMS,
    TYPE,
    reads_objects,
)

ARRAY_DTYPE, ARRAY_FLAGS = HEADER + 5, HEADER + 6  # after data, axes, shape, strides and base
# Calls of a kernel that are remembered, and compared one after the other; a net has one or two for each layer.
MOST_ROWS = 32
MOST_TRIES = 2 * MOST_ROWS  # a kernel whose calls are never alike should not be slowed down for ever
# Operands of a call, and two that a kernel of ours may have besides; pairs of them: those of the largest declarations.
MOST_OPERANDS = max(len(declaration.parameter_names) for declaration in DECLARATIONS.values()) + 2
MOST_PAIRS = max(len(overlap_pairs(declaration)) for declaration in DECLARATIONS.values())

# A table: rows in use, addresses of the types array and float; then the rows.
TABLE_ROWS, TABLE_ARRAY, TABLE_FLOAT, TABLE_HEADER = range(4)
# A row: kernel, operands, pairs, 1 + the operand whose indices have a limit (0: none), the limit; constants for words
# that no operand fills; operands; pairs that must not overlap.
ROW_KERNEL, ROW_OPERANDS, ROW_PAIRS, ROW_BOUNDED, ROW_LIMIT, ROW_CONSTANTS = range(6)
ROW_OPERAND = ROW_CONSTANTS + MOST_OPERANDS
# An operand: what it is, the kernel's operand it becomes (-1: none); an array's layout, or the object.
KIND, SLOT, DTYPE, AXES, HEIGHT, WIDTH, ROW_STRIDE, STRIDE, FLAGS, ELEMENT, OPERAND_SIZE = range(11)
ROW_PAIR = ROW_OPERAND + MOST_OPERANDS * OPERAND_SIZE
ROW_SIZE = ROW_PAIR + MOST_PAIRS * 3
IS_OBJECT, IS_FLOAT, IS_PROBABILITY, IS_ARRAY = range(4)
BITS_OF_ONE = 0x3FF0000000000000  # of the float64: those of numbers in [0, 1) are smaller, and not negative
OPERANDS_DTYPES = (*FLOATS, *KIND_DTYPE.values())

_writing = lock()


@inlined
def same_layout(table, at, item):
    """Whether an array is laid out as the remembered operand."""
    if item[TYPE] != table[TABLE_ARRAY] or item[ARRAY_DTYPE] != table[at + DTYPE]:
        return False
    if item[ARRAY_AXES] & 0xFFFFFFFF != table[at + AXES] or item[ARRAY_FLAGS] & 0xFFFFFFFF != table[at + FLAGS]:
        return False
    shape, strides = follow(item, ARRAY_SHAPE), follow(item, ARRAY_STRIDES)
    if table[at + AXES] == 1:
        return shape[0] == table[at + WIDTH] and strides[0] == table[at + STRIDE]
    same_shape = shape[0] == table[at + HEIGHT] and shape[1] == table[at + WIDTH]
    return same_shape and strides[0] == table[at + ROW_STRIDE] and strides[1] == table[at + STRIDE]


@inlined
def matches(table, row, arguments):
    """Whether all arguments equal the row's."""
    for i in range(table[row + ROW_OPERANDS]):
        at, item = row + ROW_OPERAND + i * OPERAND_SIZE, follow(arguments, TUPLE_ITEMS + i)
        if table[at + KIND] == IS_ARRAY:
            if not same_layout(table, at, item):
                return False
        elif table[at + KIND] == IS_FLOAT or table[at + KIND] == IS_PROBABILITY:
            if item[TYPE] != table[TABLE_FLOAT]:
                return False
            if table[at + KIND] == IS_PROBABILITY and not 0 <= item[FLOAT_VALUE] < BITS_OF_ONE:
                return False
        elif arguments[TUPLE_ITEMS + i] != table[at + DTYPE]:
            return False
    return True


@inlined
def in_range(table, row, arguments):
    """Whether all indices are within their limit."""
    if table[row + ROW_BOUNDED] != 0:
        item = follow(arguments, TUPLE_ITEMS + table[row + ROW_BOUNDED] - 1)
        indices, limit = follow(item, ARRAY_DATA), table[row + ROW_LIMIT]
        for i in range(follow(item, ARRAY_SHAPE)[0]):
            if indices[i] < 0 or indices[i] >= limit:
                return False
    return True


@inlined
def span(table, at, item):
    """First byte of an array, and the byte after its last."""
    first = last = item[ARRAY_DATA]
    if table[at + AXES] == 2:
        reach = (table[at + HEIGHT] - 1) * table[at + ROW_STRIDE]
        first, last = first + min(0, reach), last + max(0, reach)
    return first, last + table[at + WIDTH] * table[at + ELEMENT]


@inlined
def overlaps(table, row, arguments):
    """Whether a pair that must not share memory might, but for an ``out`` that is, as permitted, the very input."""
    for p in range(table[row + ROW_PAIRS]):
        pair = row + ROW_PAIR + p * 3
        a, b = table[pair], table[pair + 1]
        at_a, at_b = row + ROW_OPERAND + a * OPERAND_SIZE, row + ROW_OPERAND + b * OPERAND_SIZE
        x, y = follow(arguments, TUPLE_ITEMS + a), follow(arguments, TUPLE_ITEMS + b)
        if (
            table[pair + 2] != 0
            and x[ARRAY_DATA] == y[ARRAY_DATA]
            and table[at_a + ROW_STRIDE] == table[at_b + ROW_STRIDE]
        ):
            continue
        first_a, last_a = span(table, at_a, x)
        first_b, last_b = span(table, at_b, y)
        if first_a < last_b and first_b < last_a:
            return True
    return False


def _run_known(table: Any, arguments: Any) -> Any:
    """Runs the call if a row matches; says whether it did."""
    for r in range(table[TABLE_ROWS]):
        row = TABLE_HEADER + r * ROW_SIZE
        if not matches(table, row, arguments):
            continue
        if overlaps(table, row, arguments) or not in_range(table, row, arguments):
            return 0
        words = words_on_stack(0)
        words[0], words[1] = table[row + ROW_KERNEL], 0
        for slot in range(MOST_OPERANDS):
            at = FIRST_OPERAND + OPERAND_WORDS * slot
            words[at] = table[row + ROW_CONSTANTS + slot]
            words[at + 1] = words[at + 2] = words[at + 3] = 0
        for i in range(table[row + ROW_OPERANDS]):
            operand, item = row + ROW_OPERAND + i * OPERAND_SIZE, follow(arguments, TUPLE_ITEMS + i)
            at = FIRST_OPERAND + OPERAND_WORDS * table[operand + SLOT]
            if table[operand + SLOT] < 0 or table[operand + KIND] == IS_OBJECT:
                continue
            if table[operand + KIND] == IS_FLOAT or table[operand + KIND] == IS_PROBABILITY:
                words[at] = item[FLOAT_VALUE]
            else:
                words[at], words[at + 1] = item[ARRAY_DATA], table[operand + HEIGHT]
                words[at + 2], words[at + 3] = table[operand + WIDTH], table[operand + ROW_STRIDE]
        call_kernel(words, 0, 1)
        return 1
    return 0


@cache
def _native() -> Any:
    address = address_of("shortcut", lambda: _run_known, types.int64(WORDS, WORDS))
    return ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.py_object)(address)


class Shortcut:
    """One kernel's remembered calls. ``known(arguments)`` runs a call like one of them and says whether it did."""

    def __init__(self, pairs: Sequence[tuple[int, int, bool]], probabilities: Sequence[int] = ()):
        """pairs: positions of operands that must not overlap, and whether they may be the same array.

        probabilities: positions of numbers that must be in [0, 1).
        """
        self._probabilities = frozenset(probabilities)
        self._pairs, self._objects, self._tries = list(pairs), list[Any](), 0
        self._table = np.zeros(TABLE_HEADER + MOST_ROWS * ROW_SIZE, np.int64)
        self._table[TABLE_ARRAY], self._table[TABLE_FLOAT] = id(np.ndarray), id(float)
        native, address = _native(), int(self._table.ctypes.data)
        self.known = (lambda arguments: native(address, arguments)) if reads_objects() else (lambda arguments: 0)

    @property
    def full(self) -> bool:
        """Whether no more calls are remembered."""
        return self._tries > MOST_TRIES or int(self._table[TABLE_ROWS]) == MOST_ROWS

    def remember(
        self, kernel: int, arguments: tuple[Any, ...], words: tuple[Any, ...], bound: tuple[int, int] | None = None
    ) -> None:
        """Remembers a checked call. words: the kernel's operands; those that are arguments are found by identity.

        bound: the position of indices, and what they must be below.
        """
        if not _writing.acquire(blocking=False):
            return  # another thread is writing; the call will come again
        try:
            if not self.full and max(len(arguments), len(words)) <= MOST_OPERANDS and len(self._pairs) <= MOST_PAIRS:
                self._tries += 1
                self._write(kernel, arguments, words, bound)
        finally:
            _writing.release()

    def _write(
        self, kernel: int, arguments: tuple[Any, ...], words: tuple[Any, ...], bound: tuple[int, int] | None
    ) -> None:
        """Writes the next row, and then counts it."""
        rows = int(self._table[TABLE_ROWS])
        row = self._table[TABLE_HEADER + rows * ROW_SIZE :][:ROW_SIZE]
        row[:] = 0
        slots = [-1] * len(arguments)
        for slot, word in enumerate(words):
            # The same array may be several arguments: each becomes one operand.
            place = next((i for i, x in enumerate(arguments) if x is word and slots[i] < 0), None)
            if place is not None:
                slots[place] = slot
        for slot, word in enumerate(words):
            if isinstance(word, np.ndarray) and slot not in slots:
                return  # made from an argument, so it cannot be found again
            if isinstance(word, float) and slot not in slots:
                row[ROW_CONSTANTS + slot] = np.float64(word).view(np.int64)
        row[ROW_KERNEL], row[ROW_OPERANDS] = kernel, len(arguments)
        if bound is not None:
            row[ROW_BOUNDED], row[ROW_LIMIT] = bound[0] + 1, bound[1]
        for i, (argument, slot) in enumerate(zip(arguments, slots, strict=True)):
            operand = row[ROW_OPERAND + i * OPERAND_SIZE :][:OPERAND_SIZE]
            operand[SLOT] = slot
            if isinstance(argument, np.ndarray):
                if not any(argument.dtype is dtype for dtype in OPERANDS_DTYPES):
                    return  # only dtypes that live for ever are known by their address
                height, width = (1, *argument.shape)[-2:]
                row_stride = argument.strides[0] if argument.ndim == 2 else 0
                operand[KIND], operand[DTYPE], operand[AXES] = IS_ARRAY, id(argument.dtype), argument.ndim
                operand[HEIGHT:FLAGS] = height, width, row_stride, argument.strides[-1]
                operand[FLAGS], operand[ELEMENT] = argument.flags.num, argument.itemsize
            elif type(argument) is float:
                operand[KIND] = IS_PROBABILITY if i in self._probabilities else IS_FLOAT
            else:
                operand[KIND], operand[DTYPE] = IS_OBJECT, id(argument)
                self._objects.append(argument)
        pairs = [p for p in self._pairs if all(isinstance(arguments[n], np.ndarray) for n in p[:2])]
        row[ROW_PAIRS] = len(pairs)
        row[ROW_PAIR : ROW_PAIR + 3 * len(pairs)] = np.array(pairs, np.int64).ravel()
        self._table[TABLE_ROWS] = rows + 1
