"""What the figures belong to: CPU, features, versions, threads, and settings that would hobble a contender."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..cpus import cpu_count
from ..environment import HOBBLING, hobbling

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "torch")
FEATURES = ("avx512f", "avx2", "avx", "fma", "sse4.1", "neon", "sve")


def cpu_model() -> str:
    """What the CPU calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def installed(package: str) -> str | None:
    """A package's version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def description(packages: tuple[str, ...] = PACKAGES) -> dict[str, Any]:
    """The machine as reports and their JSON state it; nothing that names a host or a user.

    What Numba or threadpoolctl would tell is left empty where they are not installed.
    """
    return {
        "cpu": cpu_model(),
        "cpus": cpu_count(),
        **_vectors(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {package: installed(package) for package in packages},
        "blas": blas(),
        "hobbled_by": hobbling(),
    }


def _vectors() -> dict[str, Any]:
    """What code is compiled for: bits of a vector, features, and the sizes of the caches."""
    try:
        from ..numba_backend.simd import host
    except ImportError:
        return {"vector_bits": None, "features": [], "cache_bytes": {}}
    return {
        "vector_bits": 8 * host.vector_bytes(),
        "features": [name for name in FEATURES if host.has_feature(name)],
        "cache_bytes": {f"L{level}": host.cache_bytes(level) for level in (1, 2, 3)},
    }


def blas() -> list[dict[str, Any]]:
    """The BLAS libraries in this process, and the kernels that they chose."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [
        {key: library.get(key) for key in ("internal_api", "version", "architecture", "threading_layer")}
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context in which BLAS libraries run on one thread, where threadpoolctl is installed to tell them."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with threadpool_limits(1, "blas"):
        yield


def print_description(machine: dict[str, Any]) -> None:
    """To people; warnings go to stderr."""
    for name, value in machine["hobbled_by"].items():
        print(
            f"warning: {name}={value} {HOBBLING[name]}, so NumPy is slower than it need be: run under env -u {name}",
            file=sys.stderr,
        )
    print("\n".join(as_lines(machine)))


def as_lines(machine: dict[str, Any]) -> list[str]:
    """CPU, vectors and caches; versions and BLAS."""
    caches = ", ".join(f"{name} {size / 1024:,.0f} KiB" for name, size in machine["cache_bytes"].items())
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in machine["versions"].items())
    libraries = ", ".join(f"{b['internal_api']} {b['version']} for {b['architecture']}" for b in machine["blas"])
    features = ", ".join(machine["features"]) or "no features known"
    vectors = f"{machine['vector_bits']}-bit vectors ({features})" if machine["vector_bits"] else features
    return [
        f"{machine['cpu']}; {machine['cpus']} CPUs; {vectors}" + (f"; {caches}" if caches else ""),
        f"Python {machine['python']}, {versions}; BLAS: {libraries or 'unknown'}",
    ]
