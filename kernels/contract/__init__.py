"""The kernel contract: every kernel's meaning, what a backend provides, and how calls are checked."""

# Importing a module of declarations registers them.
from . import activations, elementwise, losses, normalisation, optimizers, products, random, reductions, rows, watches
from .backend import Backend
from .declaration import ACTIVATIONS, DECLARATIONS, OUTPUT_ACTIVATIONS, PRECISIONS, Declaration, Operand

__all__ = [
    "DECLARATIONS",
    "Backend",
    "Declaration",
    "Operand",
    "ACTIVATIONS",
    "OUTPUT_ACTIVATIONS",
    "PRECISIONS",
    "activations",
    "elementwise",
    "losses",
    "normalisation",
    "optimizers",
    "products",
    "random",
    "reductions",
    "rows",
    "watches",
]
