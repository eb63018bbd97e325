"""The machine: what it is, and what it can do at most."""

from .ceilings import LEVELS, Ceilings, measure
from .machine import cpu_count, description, print_description

__all__ = ["LEVELS", "Ceilings", "cpu_count", "description", "measure", "print_description"]
