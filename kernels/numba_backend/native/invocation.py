"""From Python objects to machine code: one native function reads a tuple of arguments and calls a kernel.

Asking an array for its address through Python takes 0.7 us, as long as a whole small kernel. So the native function
reads the objects themselves: the fields of an array (PyArrayObject, whose layout NumPy's ABI fixes), the value of a
float, the items of a tuple. Offsets come from the types' sizes, and a call with known arguments checks them when the
backend loads; should an interpreter lay objects out otherwise, arguments are packed in Python instead, slower but
right.

ctypes releases the GIL for the call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from .calling_convention import (
    FIRST_OPERAND,
    OPERAND_WORDS,
    ROW_WORDS,
    WORDS,
    call_kernel,
    follow,
    inlined,
    words_on_stack,
)
from .compilation import address_of

# In 64-bit words from an object's beginning. An object begins with its reference count and its type.
TYPE = 1
HEADER = object.__basicsize__ // 8
ARRAY_DATA, ARRAY_AXES, ARRAY_SHAPE, ARRAY_STRIDES = range(HEADER, HEADER + 4)
TUPLE_SIZE, TUPLE_ITEMS = HEADER, tuple.__basicsize__ // 8
FLOAT_VALUE = float.__basicsize__ // 8 - 1

FILL = types.void(WORDS, WORDS, WORDS)
INVOKE = types.void(WORDS, WORDS)


@inlined
def fill_words(environment, arguments, words):
    """The arguments as a kernel's words. environment: addresses of the kernel and of the types array and float."""
    words[0], words[1] = environment[0], 0
    for i in range(arguments[TUPLE_SIZE]):
        item, at = follow(arguments, TUPLE_ITEMS + i), FIRST_OPERAND + OPERAND_WORDS * i
        words[at + 1] = words[at + 2] = words[at + 3] = 0
        if item[TYPE] == environment[1]:
            words[at] = item[ARRAY_DATA]
            shape = follow(item, ARRAY_SHAPE)
            if item[ARRAY_AXES] & 0xFFFFFFFF == 2:
                words[at + 1], words[at + 2], words[at + 3] = shape[0], shape[1], follow(item, ARRAY_STRIDES)[0]
            else:
                words[at + 1], words[at + 2] = 1, shape[0]
        elif item[TYPE] == environment[2]:
            words[at] = item[FLOAT_VALUE]
        else:
            words[at] = 0


def _fill(environment: Any, arguments: Any, words: Any) -> None:
    fill_words(environment, arguments, words)


def _invoke(environment: Any, arguments: Any) -> None:
    words = words_on_stack(0)
    fill_words(environment, arguments, words)
    call_kernel(words, 0, 1)


def _echo(words: Any, thread: Any, threads: Any) -> None:
    """Writes the words it was called with into its last operand, for the check."""
    out = follow(words, FIRST_OPERAND + OPERAND_WORDS * 3)
    for i in range(FIRST_OPERAND, FIRST_OPERAND + OPERAND_WORDS * 3):
        out[i] = words[i]


@cache
def _native() -> tuple[Callable[..., None], Callable[..., None]]:
    """The native functions invoke(environment, arguments) and fill(environment, arguments, words)."""
    invoke = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, ctypes.py_object)(address_of("invoke", lambda: _invoke, INVOKE))
    fill = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, ctypes.py_object, ctypes.c_ssize_t)(
        address_of("fill", lambda: _fill, FILL)
    )
    return invoke, fill


def pack(environment: np.ndarray[Any, Any], arguments: tuple[Any, ...], words: np.ndarray[Any, Any]) -> None:
    """``fill_words`` in Python."""
    words[:] = 0
    words[0] = environment[0]
    for i, item in enumerate(arguments):
        at = FIRST_OPERAND + OPERAND_WORDS * i
        if isinstance(item, np.ndarray):
            height, width = (1, *item.shape)[-2:]
            words[at : at + 4] = item.ctypes.data, height, width, item.strides[0] if item.ndim == 2 else 0
        elif isinstance(item, float):
            words[at] = np.float64(item).view(np.int64)


@cache
def reads_objects() -> bool:
    """Whether the native functions read this interpreter's objects as they are."""
    table = np.zeros((3, 5), np.float32)[:, 1:4]
    out = np.zeros(32, np.int64)
    arguments = (table, 0.1, None, out)
    environment, expected = _environment(address_of("echo", lambda: _echo)), np.zeros(ROW_WORDS, np.int64)
    pack(environment, arguments, expected)
    _native()[0](environment.ctypes.data, arguments)
    checked = slice(FIRST_OPERAND, FIRST_OPERAND + OPERAND_WORDS * 3)
    return np.array_equal(out[checked], expected[checked])


def _environment(kernel: int) -> np.ndarray[Any, Any]:
    return np.array([kernel, id(np.ndarray), id(float)], np.int64)


class Launcher:
    """A kernel that can be called with a tuple of arrays, floats and None."""

    def __init__(self, kernel: int):
        self.kernel = kernel
        self._environment = _environment(kernel)
        self._address = int(self._environment.ctypes.data)
        self._kernel = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t, ctypes.c_ssize_t, ctypes.c_ssize_t)(kernel)
        if reads_objects():
            invoke, address = _native()[0], self._address
            self.run: Callable[[tuple[Any, ...]], None] = lambda arguments: invoke(address, arguments)
        else:
            self.run = self._run_packed

    def _run_packed(self, arguments: tuple[Any, ...]) -> None:
        words = np.zeros(ROW_WORDS, np.int64)
        pack(self._environment, arguments, words)
        self._kernel(words.ctypes.data, 0, 1)

    def fill(self, arguments: tuple[Any, ...], words: np.ndarray[Any, Any]) -> None:
        """Writes the words of a call, for threads to run."""
        if reads_objects():
            _native()[1](self._address, arguments, words.ctypes.data)
        else:
            pack(self._environment, arguments, words)
