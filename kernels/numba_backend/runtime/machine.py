"""The backend's machine: kernels by name and dtype, compiled when first asked for, on one thread or on all."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import environment
from ...contract.dtypes import DTYPES
from ..kernels.entry import Epilogue
from ..kernels.products.epilogues import EPILOGUES, epilogue_signature
from ..kernels.table import ENTRIES
from ..native.calling_convention import KERNEL
from ..native.compilation import address_of
from ..native.invocation import Launcher
from ..simd import host, vector
from .callers import CALLERS
from .team import MOST_THREADS, at_once, team_of

# Calls at least this large are shared by threads: below, waking them costs more than they save. On a 2-core Xeon with
# busy neighbours two threads overtake one between 2**16 and 2**17 elements of add and exp, and between 2**20 and 2**22
# multiply-adds (`benchmarks/constants.py machine.SHARED_FROM machine.SHARED_FROM_PRODUCTS`).
SHARED_FROM = 1 << 16  # elements
SHARED_FROM_PRODUCTS = 1 << 20  # multiply-adds


class Machine:
    """Runs kernels of one width. width: lanes of float32 in a vector; float64 has half as many. threads: at once."""

    def __init__(self, width: int, threads: int):
        self.width, self.threads = width, threads
        self._team = team_of(threads)  # whose threads end with the last machine that holds it
        self._launchers: dict[tuple[str, str], Launcher] = {}
        self._addresses: dict[tuple[str, str], float] = {}

    def lanes(self, dtype: str) -> int:
        """Lanes of a vector of a dtype, by its name or character: 1 is scalar code."""
        return max(1, self.width * DTYPES["float32"].bytes // np.dtype(dtype).itemsize)

    def recipe(self, name: str, char: str) -> tuple[str, Callable[[], Callable[..., None]], Any]:
        """How a kernel or Epilogue is compiled for a dtype's character: key, builder of its function, signature."""
        dtype = np.dtype(char).name
        f = vector(dtype, self.lanes(dtype))
        if type(name) is Epilogue:
            return f"epilogue_{name}-{dtype}x{f.lanes}", lambda: EPILOGUES[name](f), epilogue_signature(f)
        return f"{name}-{dtype}x{f.lanes}", lambda: ENTRIES[name].build(f), KERNEL

    def launcher(self, name: str, char: str) -> Launcher:
        """The kernel of that name for a dtype, given by its character."""
        found = self._launchers.get((name, char))
        if found is None:
            found = self._launchers[name, char] = Launcher(address_of(*self.recipe(name, char)))
        return found

    def linked(self, char: str, operands: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands with addresses of functions, each as the float64 whose bits they are."""
        return tuple(self._address(o, char) if isinstance(o, str) else o for o in operands)

    def _address(self, name: str, char: str) -> float:
        found = self._addresses.get((name, char))
        if found is None:
            address = address_of(*self.recipe(name, char)) if type(name) is Epilogue else _interpreters(name)
            found = self._addresses[name, char] = float(np.int64(address).view(np.float64))
        return found

    def shares(self, name: str, work: float) -> bool:
        """Whether threads share a call."""
        return self.threads > 1 and work >= (SHARED_FROM_PRODUCTS if name.startswith("gemm") else SHARED_FROM)

    def run(self, name: str, char: str, arguments: tuple[Any, ...], work: float = 0.0) -> None:
        """Runs a kernel. work: elements or multiply-adds, as ``SHARED_FROM`` counts them; 0 keeps it on one thread."""
        kernel = self._launchers.get((name, char)) or self.launcher(name, char)
        if self.shares(name, work):
            with CALLERS.working() as only:
                if only:
                    self._team.run(kernel, arguments, fewer=True)
                else:
                    kernel.run(arguments)
        else:
            kernel.run(arguments)


def best_width() -> int:
    """Lanes of float32 in the CPU's widest vector register."""
    return host.lanes(np.float32)


def best_threads() -> int:
    """The CPUs that the process may use, or fewer where NUMBA_NUM_THREADS or else OMP_NUM_THREADS says so."""
    return min(at_once(MOST_THREADS), environment.threads() or MOST_THREADS)


def _interpreters(name: str) -> int:
    """The address of a function of the interpreter's C interface."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
