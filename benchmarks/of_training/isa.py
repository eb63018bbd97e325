"""Instruction sets that all contenders are held to: what most users' machines have, on one that has more.

What each library reads is set before it is imported, here and in the contenders' processes, so that the peak is
measured with the same instructions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

NUMPY = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"  # its own loops; BLAS has another
ISAS: Mapping[str, Mapping[str, str]] = {
    "avx2": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "",  # with the name alone Numba keeps the machine's
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    }
}


def environment(isa: str) -> dict[str, str]:
    """What is set in the environment for an instruction set."""
    import numpy as np

    known = np.show_config(mode="dicts")["SIMD Extensions"]
    found = set(known["found"]) & set(NUMPY.split())  # those that this NumPy has no loops for are an error
    return {**ISAS[isa], "NPY_DISABLE_CPU_FEATURES": " ".join(sorted(found))}


def holds(isa: str) -> bool:
    """Whether this process was started with it."""
    return all(os.environ.get(name) == value for name, value in ISAS[isa].items())


def start_again(isa: str) -> None:
    """This command again, in place of this process, which has imported libraries with all instructions."""
    os.environ.update(environment(isa))
    os.execv(sys.executable, [sys.executable, *sys.argv])
