"""Explains any function that Numba compiles: its loops, whether they are packed, why not, and how fast they are."""

from .compiling import is_compiled, python_function
from .function import explain_function

__all__ = ["explain_function", "is_compiled", "python_function"]
