"""Layers, activations, containers, losses and initialisers, under PyTorch's names."""

from . import init
from .activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)  # fmt: skip
from .containers import NORMS, Residual, Sequential, multilayer_perceptron
from .layers import BatchNorm1d, Dropout, Embedding, LayerNorm, Linear
from .losses import BCEWithLogitsLoss, CrossEntropyLoss, HuberLoss, L1Loss, MSELoss, PoissonNLLLoss
from .module import Module, Parameter

__all__ = [
    "ACTIVATIONS", "BCEWithLogitsLoss", "BatchNorm1d", "CrossEntropyLoss", "Dropout", "ELU", "Embedding", "GELU",
    "HuberLoss", "Identity", "L1Loss", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "Module", "NORMS",
    "Parameter", "PoissonNLLLoss", "ReLU", "Residual", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
    "init", "multilayer_perceptron",
]  # fmt: skip
