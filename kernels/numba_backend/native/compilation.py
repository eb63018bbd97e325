"""Kernels compiled one by one, on demand, and kept as object code on disk.

A kernel is a Python function ``(words, thread, threads)`` that Numba compiles to a C function. Its object code is
stored under a key of everything it depends on: the sources of this package, the versions of Numba, llvmlite and
Python, the CPU and its features, and the kernel's own name, dtype and lanes. The folder belongs to the user alone; a
file that is missing, damaged or from another version means compiling again, never an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding
from numba import cfunc

from ... import environment
from ...locks import Awaited, reentrant_lock
from .calling_convention import KERNEL


class Counters:
    """What compiling and loading has cost this process."""

    def __init__(self) -> None:
        self.compiled = self.loaded = 0
        self.seconds = 0.0


COUNTERS = Counters()
LOG = logging.getLogger("kernels")
_lock, working = reentrant_lock(), Awaited()  # Numba and LLVM hold locks of their own meanwhile
_addresses: dict[str, int] = {}
_kept: list[Any] = []  # machine code lives as long as the engine or function that holds it


def address_of(key: str, build: Callable[[], Callable[..., None]], signature: Any = KERNEL) -> int:
    """The address of a kernel's machine code: loaded from disk, or compiled from what ``build`` returns.

    key: a file name that says which kernel of which dtype and lanes it is. Code is loaded once a process, since an
    engine is never freed: other threads may be running its code.
    """
    found = _addresses.get(key)
    if found is None:
        with _lock:
            found = _addresses.get(key)
            if found is None:
                with working:
                    found = _addresses[key] = _made(key, build, signature)
    return found


def _made(key: str, build: Callable[[], Callable[..., None]], signature: Any) -> int:
    path = _path(key)
    stored = _read(path)
    if stored is not None:
        with contextlib.suppress(RuntimeError, ValueError):
            address = _load(*stored)
            COUNTERS.loaded += 1
            return address
    if not COUNTERS.compiled:
        LOG.info("compiling kernels for this CPU; later runs find them in the cache")
    started = time.perf_counter()
    compiled = cfunc(signature, error_model="numpy")(build())
    COUNTERS.compiled += 1
    COUNTERS.seconds += time.perf_counter() - started
    _kept.append(compiled)
    # Object code with weak functions beside the kernel would lose them when it is loaded.
    if "define linkonce_odr" not in compiled.inspect_llvm():
        _store(path, compiled.native_name, compiled._library._get_compiled_object())
    return int(compiled.address)


def _load(symbol: str, code: bytes) -> int:
    """Puts object code into memory; the address of its function."""
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = int(engine.get_function_address(symbol))
    if not address:
        raise ValueError(f"the object code has no function {symbol}")
    _kept.append(engine)
    return address


def _target_machine() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(jit=True)


# ---- on disk ------------------------------------------------------------------------------------------------------


ROOT = Path(__file__).parents[2]
ROOMS = ("contract", "program", "numba_backend")  # of which modules are imported while kernels are built
# What Numba compiles for and how, as its environment variables say.
SETTINGS = ("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT")

STALE = 3600.0  # seconds after which nobody writes a file any more: writing one takes milliseconds


def sources() -> list[Path]:
    """Every file that may decide what is compiled: constants and shapes are compiled in from where they are."""
    return sorted([*ROOT.glob("*.py"), *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))])


@cache
def fingerprint() -> str:
    """A hash of everything that all kernels depend on."""
    from ..simd.host import cpu_features, has_tiles

    parts = [numba.__version__, llvmlite.__version__, sys.version, platform.machine(), binding.get_host_cpu_name()]
    parts += [repr(getattr(numba.config, name, None)) for name in SETTINGS]
    parts += [str(kind.__basicsize__) for kind in (object, tuple, float)]  # native code reads such objects
    parts.append(f"tiles {has_tiles()}")  # which the system may refuse, whatever the CPU has
    digest = hashlib.sha256("\n".join([*parts, *sorted(cpu_features())]).encode())
    for source in sources():
        digest.update(f"\n{source.relative_to(ROOT)}\n".encode() + source.read_bytes())
    return digest.hexdigest()[:20]


@cache
def folder() -> Path | None:
    """Where object code is kept: $TINYNET_CACHE_DIR or the user's cache folder; None where that cannot be written."""
    path = environment.cache_folder() / "tinynet" / fingerprint()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for made in (path.parent, path):
            if os.name == "posix" and made.stat().st_uid != os.getuid():
                raise PermissionError(f"{made} belongs to somebody else")
            made.chmod(0o700)
        with tempfile.TemporaryFile(dir=path):
            pass
        _clean(path)
    except OSError as error:
        _say_once(f"kernels are compiled again in every process: {path} cannot be used ({error})")
        return None
    return path


def _clean(path: Path) -> None:
    """Removes what processes that were killed while they stored code have left behind."""
    with os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # another process may be at it, too
                if not entry.name.endswith(".o") and entry.stat().st_mtime < time.time() - STALE:
                    os.unlink(entry)


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _path(key: str) -> Path | None:
    place = folder()
    return None if place is None else place / f"{key}.o"


def _read(path: Path | None) -> tuple[str, bytes] | None:
    """Symbol and object code, if the file is there and whole."""
    try:
        if path is None:
            return None
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        content = b""
    digest, _, rest = content.partition(b"\n")
    symbol, _, code = rest.partition(b"\n")
    if digest.decode("ascii", "replace") != hashlib.sha256(rest).hexdigest():
        _say_once(f"compiled kernels in {folder()} are damaged: they are compiled again")
        return None
    return symbol.decode(), code


def _store(path: Path | None, symbol: str, code: bytes) -> None:
    """Writes the file whole or not at all. A full disk is not the user's problem here."""
    if path is None:
        return
    rest = symbol.encode() + b"\n" + code
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
