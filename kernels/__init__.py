"""Kernels: the numeric operations that tinynet trains with, in interchangeable backends.

``load("numpy")`` gives a backend whose methods are the kernels of ``kernels.contract``.
"""

from .contract import DECLARATIONS, OUTPUT_ACTIVATIONS, Backend
from .loader import BackendUnavailable, available, load, names

PROJECT = "tinynet"
"""Says whose package this is: another one on PyPI also imports as ``kernels``."""

__all__ = [
    "DECLARATIONS",
    "OUTPUT_ACTIVATIONS",
    "PROJECT",
    "Backend",
    "BackendUnavailable",
    "available",
    "load",
    "names",
]
