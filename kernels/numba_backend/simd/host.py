"""What the CPU offers: lanes that fill one vector register, register count, cache sizes.

The target is the one Numba compiles for, so NUMBA_CPU_NAME and NUMBA_CPU_FEATURES are honoured exactly as Numba does.
"""

import ctypes
import os
import platform
import sys
from functools import cache
from pathlib import Path

import numpy as np
from llvmlite import binding
from numba.core import config
from numba.core.codegen import get_host_cpu_features

CPU_FOLDER = Path("/sys/devices/system/cpu")
CACHE_FOLDER = CPU_FOLDER / "cpu0/cache"
# Where the system does not tell: no larger than on any server CPU of the last ten years, so that blocks fit everywhere.
DEFAULT_CACHE_BYTES = {1: 32 << 10, 2: 256 << 10, 3: 4 << 20}
SYSCONF_CACHE = {1: "SC_LEVEL1_DCACHE_SIZE", 2: "SC_LEVEL2_CACHE_SIZE", 3: "SC_LEVEL3_CACHE_SIZE"}
SIZE_UNIT = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def is_x86():
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


def is_aarch64():
    return platform.machine().lower() in ("aarch64", "arm64")


@cache
def cpu_features():
    """Names of the CPU features Numba compiles for, as LLVM spells them ("avx512f", "fma", "neon").

    As Numba does: NUMBA_CPU_FEATURES, or the machine's features where that is not set, change those that the CPU named
    in NUMBA_CPU_NAME has anyway. A name alone therefore takes nothing away: `NUMBA_CPU_NAME=haswell
    NUMBA_CPU_FEATURES=""` compiles for a CPU without AVX-512, the name alone does not.
    """
    changes = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    changes = {change[1:]: change[0] == "+" for change in changes.split(",") if change}
    names = {name for name, added in changes.items() if added}
    if is_x86():
        cpu = config.CPU_NAME or binding.get_host_cpu_name()
        names |= {name for name, probe in X86_PROBES.items() if name not in changes and shows(cpu, *probe)}
    return frozenset(names)


# feature: (LLVM functions, what their assembly contains where the feature is on)
ADD = "define <{0}> @f(<{0}> %a, <{0}> %b) {{ %r = {1} <{0}> %a, %b ret <{0}> %r }}"
FMA = """declare float @llvm.fma.f32(float, float, float)
define float @f(float %a) { %r = call float @llvm.fma.f32(float %a, float %a, float %a) ret float %r }"""
X86_PROBES = {
    "avx": (ADD.format("8 x float", "fadd"), "ymm"),
    "avx2": (ADD.format("8 x i32", "add"), "vpaddd\t%ymm"),
    "avx512f": (ADD.format("16 x float", "fadd"), "zmm"),
    "fma": (FMA, "vfm"),
}


def shows(cpu, source, mark):
    """Whether LLVM's assembly for the CPU contains the mark: LLVM offers no query for a named CPU's features."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(cpu=cpu, opt=1)
    return mark in machine.emit_assembly(binding.parse_assembly(source))


def has_feature(name):
    return name in cpu_features()


def has_fma():
    """Whether a fused multiply-add is one instruction."""
    return has_feature("fma") if is_x86() else True


def vector_bytes():
    """Bytes of the widest vector register: 64 with AVX-512, 32 with AVX, otherwise 16 (SSE2, NEON)."""
    if has_feature("avx512f"):
        return 64
    return 32 if has_feature("avx") else 16


def lanes(dtype):
    """Lanes of `dtype` that fill one vector register."""
    return vector_bytes() // np.dtype(dtype).itemsize


def vector_registers():
    """Number of vector registers: 32 with AVX-512 and on AArch64, otherwise 16."""
    return 32 if has_feature("avx512f") or platform.machine().lower() in ("aarch64", "arm64") else 16


# Linux's arch_prctl(2): a process has to ask for the state of AMX's tiles before its first instruction on them.
ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18


@cache
def has_tiles():
    """Whether tile registers multiply bfloat16 (AMX), and the system lets this process use them."""
    if not (has_feature("amx-bf16") and has_feature("avx512bf16") and sys.platform == "linux"):
        return False
    asked = (ctypes.c_long(number) for number in (ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA))
    return ctypes.CDLL(None).syscall(*asked) == 0


@cache
def cache_bytes(level):
    """Size of the data cache of level 1, 2 or 3 in bytes, as sysfs or sysconf tells, else a usual value."""
    for folder in sorted(CACHE_FOLDER.glob("index*")):
        try:
            if int((folder / "level").read_text()) == level and (folder / "type").read_text().strip() != "Instruction":
                text = (folder / "size").read_text().strip()
                return int(text[:-1]) * SIZE_UNIT[text[-1]] if text[-1] in SIZE_UNIT else int(text)
        except (OSError, ValueError):
            continue
    try:
        size = os.sysconf(SYSCONF_CACHE[level])
    except (AttributeError, ValueError, OSError):
        size = 0
    return size if size > 0 else DEFAULT_CACHE_BYTES[level]


@cache
def cache_count(level):
    """How many caches of the level the machine has, by the CPUs that share each; 1 where sysfs does not tell."""
    shared = set()
    for folder in CPU_FOLDER.glob("cpu[0-9]*/cache/index*"):
        try:
            if int((folder / "level").read_text()) == level and (folder / "type").read_text().strip() != "Instruction":
                shared.add((folder / "shared_cpu_list").read_text().strip())
        except (OSError, ValueError):
            continue
    return max(1, len(shared))
