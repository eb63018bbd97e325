"""The kernel contract: every kernel's meaning, what a backend provides, and how calls are checked."""

# Importing a module of declarations registers them.
from . import elementwise, losses, normalisation, optimizers, products, random, reductions, rows
from .backend import Backend
from .checks import activation_names
from .declaration import DECLARATIONS, Declaration, Operand

__all__ = [
    "DECLARATIONS",
    "Backend",
    "Declaration",
    "Operand",
    "activation_names",
    "elementwise",
    "losses",
    "normalisation",
    "optimizers",
    "products",
    "random",
    "reductions",
    "rows",
]
