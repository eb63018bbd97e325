"""The environment variables that change what the program does; no other file reads any."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Variable(NamedTuple):
    """name; read_by: whose code heeds it; meaning: what it does; default: what holds where it is not set."""

    name: str
    read_by: str
    meaning: str
    default: str


CACHE, USERS_CACHE = "TINYNET_CACHE_DIR", "XDG_CACHE_HOME"
THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
DATA_HOME = "SCIKIT_LEARN_DATA"
# Of OpenBLAS's, those that make a NumPy that chose well for itself slower.
HOBBLING = {
    "OPENBLAS_CORETYPE": "makes OpenBLAS use the kernels of another CPU",
    "OPENBLAS_L2_SIZE": "makes OpenBLAS cut its blocks for another cache",
}

VARIABLES = (
    Variable(
        CACHE, "the numba backend", "folder in which compiled kernels are kept, under `tinynet/`", f"`${USERS_CACHE}`"
    ),
    Variable(USERS_CACHE, "the numba backend", "the user's folder for caches", "`~/.cache`"),
    Variable(THREADS[0], "the numba backend, Numba", "threads at most; joblib's workers set it", f"`${THREADS[1]}`"),
    Variable(THREADS[1], "the numba backend, BLAS", "the same", "the CPUs that the process may use"),
    Variable("NUMBA_CPU_NAME", "Numba", "the CPU that kernels are compiled for", "this one"),
    Variable("NUMBA_CPU_FEATURES", "Numba", "the features that they may use besides that CPU's", "those of this CPU"),
    Variable(DATA_HOME, "scikit-learn", "folder of the data sets that are downloaded", "`~/scikit_learn_data`"),
    *(Variable(name, "OpenBLAS; reports warn of it", meaning, "not set") for name, meaning in HOBBLING.items()),
)


def threads() -> int | None:
    """The threads that are asked for: the first of two variables that is a whole number above 0; None without any."""
    for name in THREADS:
        number = os.environ.get(name, "").partition(",")[0].strip()  # OpenMP takes one for each nested level
        if number.isdecimal() and int(number) > 0:
            return int(number)
    return None


def cache_folder() -> Path:
    """The folder that caches are kept in."""
    return Path(os.environ.get(CACHE) or os.environ.get(USERS_CACHE) or Path.home() / ".cache")


def data_home() -> Path:
    """The folder in which scikit-learn keeps what it downloads."""
    return Path(os.environ.get(DATA_HOME, os.path.join("~", "scikit_learn_data"))).expanduser()


def hobbling() -> dict[str, str]:
    """The variables that are set though they make NumPy slower, with their values."""
    return {name: os.environ[name] for name in HOBBLING if name in os.environ}
