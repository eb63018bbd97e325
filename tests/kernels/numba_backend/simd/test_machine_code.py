"""What the compiler makes of it: registers of the right width, scalar code for one lane, quick compilation, other
CPUs."""

import os
import pathlib
import re
import sys
import time

import numpy as np
import pytest
from children import finished
from numba import njit

from kernels.numba_backend import simd

X86 = simd.host.is_x86()
PACKED = re.compile(r"^\s+v?(add|sub|mul|div|sqrt|min|max|fn?m(add|sub)\w*|cvt\w+|cmp\w*|scalef)p[sd]\s", re.MULTILINE)


def elementwise(function, kind):
    @njit
    def kernel(x, out):
        for i in range(0, len(x), kind.lanes):
            simd.store(out, i, function(kind.load(x, i)))

    return kernel


def assembly(kernel, dtype):
    x = np.ones(64, dtype)
    kernel(x, x.copy())
    return "\n".join(kernel.inspect_asm().values())


@pytest.mark.skipif(not X86, reason="reads x86 assembly")
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_a_full_vector_uses_the_widest_registers(dtype):
    register = {64: "zmm", 32: "ymm", 16: "xmm"}[simd.host.vector_bytes()]
    code = assembly(elementwise(simd.exp, simd.vector(dtype, simd.host.lanes(dtype))), dtype)
    assert any(register in line for line in code.splitlines() if PACKED.match(line))


@pytest.mark.skipif(not X86, reason="reads x86 assembly")
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("name", ("exp", "tanh", "log", "sin"))
def test_one_lane_is_scalar_code(name, dtype):
    code = assembly(elementwise(getattr(simd, name), simd.vector(dtype, 1)), dtype)
    assert not PACKED.search(code), PACKED.search(code)[0]
    assert re.search(r"(mul|fmadd\d*)s[sd]\s", code)


@pytest.mark.skipif(not X86, reason="reads x86 assembly")
def test_the_vectorizer_leaves_one_lane_loops_alone():
    one = simd.vector(np.float32, 1)

    @njit(fastmath={"reassoc", "nsz", "contract"})
    def dot(x, y, out):
        total = one(0)
        for i in range(len(x)):
            v = one.load(x, i) * one.load(y, i)
            total += v
            simd.store(out, i, v + 1)
        return simd.sum_lanes(total)

    x = np.arange(64, dtype=np.float32)
    assert dot(x, x, x.copy()) == (x * x).sum()
    assert not PACKED.search("\n".join(dot.inspect_asm().values()))


@pytest.mark.parametrize("name", ("exp", "tanh", "log", "sin", "erf"))
def test_compilation_is_quick(name):
    signature = "void(float32[::1], float32[::1])"
    elementwise(simd.sqrt, simd.vector(np.float32, 8)).compile(signature)  # pays for Numba's own start
    start = time.perf_counter()
    elementwise(getattr(simd, name), simd.vector(np.float32, 16)).compile(signature)
    assert time.perf_counter() - start < 0.5


@pytest.mark.skipif(not X86, reason="names x86 CPUs")
@pytest.mark.parametrize("cpu, lanes", (("haswell", 8), ("x86-64", 4)))
def test_other_cpus_pass_the_same_tests(cpu, lanes):
    """The empty NUMBA_CPU_FEATURES matters: with the name alone Numba keeps the machine's features."""
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": "", "PYTHONDONTWRITEBYTECODE": "1"}
    question = """import numpy; from kernels.numba_backend.simd import host
print(host.lanes(numpy.float32), host.vector_registers(), host.has_fma())"""
    found = finished([sys.executable, "-c", question], env=environment, check=True).stdout.split()
    assert found == [str(lanes), "16", str(cpu == "haswell")]
    folder = pathlib.Path(__file__).parent
    files = [str(folder / f"test_{name}.py") for name in ("functions", "loads_and_stores", "reductions")]
    run = finished(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            *files,
            "-k",
            "not special_values or -4",
        ],
        limit=600,
        env=environment,
    )
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.parametrize("level", (1, 2, 3))
def test_cache_sizes_are_plausible(level):
    assert 4 << 10 <= simd.host.cache_bytes(level) <= 4 << 30
