"""The machine: what it is, and what it can do at most."""

from ..cpus import cpu_count
from .ceilings import LEVELS, Ceilings
from .machine import as_lines, blas_threads, description, print_description
from .measuring import level_of, measure, roof, starts

__all__ = [
    "LEVELS",
    "Ceilings",
    "as_lines",
    "blas_threads",
    "cpu_count",
    "description",
    "level_of",
    "measure",
    "print_description",
    "roof",
    "starts",
]
