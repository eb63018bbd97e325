"""The machine: what it is, and what it can do at most."""

from ..cpus import cpu_count
from .ceilings import LEVELS, Ceilings
from .machine import as_lines, description, one_blas_thread, print_description
from .measuring import level_of, measure, roof, starts

__all__ = [
    "LEVELS",
    "Ceilings",
    "as_lines",
    "cpu_count",
    "description",
    "level_of",
    "measure",
    "one_blas_thread",
    "print_description",
    "roof",
    "starts",
]
