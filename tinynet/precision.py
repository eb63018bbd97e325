"""In what precision products are computed: as the arrays are, or with factors rounded to bfloat16."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import NamedTuple

import numpy as np

from kernels import Backend
from kernels.program import recording

from .backends import current
from .checks import choose

FLOAT32, BFLOAT16, AUTO = "float32", "bfloat16", "auto"
PRECISIONS = (FLOAT32, BFLOAT16, AUTO)
"""What a Trainer takes: the arrays' own, rounded factors, or whichever is faster here."""
OF_PRODUCTS = {FLOAT32: "full", BFLOAT16: "bfloat16"}  # as kernels call them

_in_force: ContextVar[str] = ContextVar("tinynet_precision", default=OF_PRODUCTS[FLOAT32])

# The product of the trial: as large as those of nets of a few hundred units in batches of as many rows, a few hundred
# microseconds. A trial takes the best of several, as others may be busy.
SIDE, TRIALS = 256, 7
PAYS = 0.9  # of the time: rounding has a price in accuracy, so that what is as fast does not pay


def products() -> str:
    """The precision of products that is in force, as kernels call it."""
    return _in_force.get()


def settled(precision: str) -> str:
    """The precision itself, or for "auto" what is faster on the backend in force."""
    return faster(current()).precision if precision == AUTO else precision


class use_precision:
    """``with use_precision("bfloat16")``: products in the block, and their gradients, round their factors to bfloat16.

    Sums, and all that is no product, stay in the arrays' dtype. precision: "float32" (nothing is rounded, whatever the
    arrays' dtype), "bfloat16", or "auto": see ``faster``. It holds in the block and its thread. Raises ValueError for
    another one.
    """

    def __init__(self, precision: str):
        self.precision = choose("precision", precision, PRECISIONS)
        self._before: list[str] = []

    def __enter__(self) -> str:
        chosen = settled(self.precision)
        self._before.append(_in_force.get())
        _in_force.set(OF_PRODUCTS[chosen])
        return chosen

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _in_force.set(self._before.pop())


class Choice(NamedTuple):
    """A precision, and why it is chosen."""

    precision: str
    why: str


_choices: dict[tuple[str, str], Choice] = {}


def faster(backend: Backend) -> Choice:
    """bfloat16 where its products are faster on this machine and backend, else float32; tried once a process."""
    key = backend.name, repr(backend.options)
    if key not in _choices:
        with recording():  # a step that is being recorded does not make the trial's calls
            _choices[key] = _tried(backend)
    return _choices[key]


def _tried(backend: Backend) -> Choice:
    a = np.ones((SIDE, SIDE), np.float32)
    out = np.empty_like(a)
    side = SIDE

    def product(precision: str) -> Callable[[], None]:
        def run() -> None:
            backend.matmul(a[:side, :side], a[:side, :side], precision=precision, out=out[:side, :side])

        return run

    runs = [product(OF_PRODUCTS[name]) for name in (FLOAT32, BFLOAT16)]
    for run in runs:
        run()  # compiles
    if max(map(_seconds, runs)) > 0.1:  # a backend of loops in Python: small ones say enough
        side = 16
    full, half = (min(times) for times in zip(*[[_seconds(run) for run in runs] for _ in range(TRIALS)], strict=True))
    chosen = BFLOAT16 if half < PAYS * full else FLOAT32
    return Choice(
        chosen, f"products of {side} x {side} matrices take {half / full:.2f} of float32's time in bfloat16 here"
    )


def _seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
