"""Layers, activations, containers, losses and initialisers, under PyTorch's names."""

from typing import TYPE_CHECKING

from . import init
from .activations import ACTIVATIONS, LogSoftmax, Softmax
from .containers import NORMS, ModuleDict, ModuleList, Residual, Sequential, multilayer_perceptron
from .from_data import initialise_from_data
from .layers import BatchNorm1d, Dropout, Embedding, LayerNorm, Linear, Scale
from .losses import MODULES as _LOSSES
from .losses import CrossEntropyLoss, MultiQuantileLoss
from .module import Module, Parameter
from .tabular import PBLD, Monotone, Parametric, TableInput

__all__ = [
    "ACTIVATIONS", "BatchNorm1d", "CrossEntropyLoss", "Dropout", "Embedding",
    "LayerNorm", "Linear", "LogSoftmax", "Module", "ModuleDict", "ModuleList", "Monotone",
    "MultiQuantileLoss", "NORMS", "PBLD", "Parameter",
    "Parametric", "Residual", "Scale", "Sequential", "Softmax", "TableInput", "init", "initialise_from_data",
    "multilayer_perceptron",
]  # fmt: skip

# ReLU, MSELoss and all others, each made from its function.
_modules = {module.__name__: module for module in ACTIVATIONS.values()} | _LOSSES
globals().update(_modules)
__all__ += _modules

if TYPE_CHECKING:
    from .elementwise import Elementwise as _Elementwise

    def __getattr__(name: str) -> type[_Elementwise]: ...
