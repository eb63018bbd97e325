"""What the figures belong to: CPU, features, versions, threads, and settings that would hobble a contender."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from kernels.numba_backend.simd import host

HOBBLING = {
    "OPENBLAS_CORETYPE": "makes OpenBLAS use the kernels of another CPU",
    "OPENBLAS_L2_SIZE": "makes OpenBLAS cut its blocks for another cache",
}
PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "torch")
FEATURES = ("avx512f", "avx2", "avx", "fma", "sse4.1", "neon", "sve")


def cpu_count() -> int:
    """CPUs that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


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
    """The machine as the report and its JSON state it; nothing that names a host or a user."""
    return {
        "cpu": cpu_model(),
        "cpus": cpu_count(),
        "vector_bits": 8 * host.vector_bytes(),
        "features": [name for name in FEATURES if host.has_feature(name)],
        "cache_bytes": {f"L{level}": host.cache_bytes(level) for level in (1, 2, 3)},
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {package: installed(package) for package in packages},
        "blas": [
            {key: library.get(key) for key in ("internal_api", "version", "architecture", "threading_layer")}
            for library in threadpool_info()
            if library["user_api"] == "blas"
        ],
        "hobbled_by": {name: os.environ[name] for name in HOBBLING if name in os.environ},
    }


def print_description(machine: dict[str, Any]) -> None:
    """To people; warnings go to stderr."""
    for name, value in machine["hobbled_by"].items():
        print(
            f"warning: {name}={value} {HOBBLING[name]}, so NumPy is slower than it need be: run under env -u {name}",
            file=sys.stderr,
        )
    caches = ", ".join(f"{name} {size / 1024:,.0f} KiB" for name, size in machine["cache_bytes"].items())
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in machine["versions"].items())
    blas = ", ".join(f"{b['internal_api']} {b['version']} for {b['architecture']}" for b in machine["blas"])
    features = ", ".join(machine["features"]) or "no features known"
    print(f"{machine['cpu']}; {machine['cpus']} CPUs; {machine['vector_bits']}-bit vectors ({features}); {caches}")
    print(f"Python {machine['python']}, {versions}; BLAS: {blas or 'unknown'}")
