"""Training: the Trainer, recorded steps and what they depend on, options that change, callbacks, history."""

from .averaging import WeightAverage
from .callbacks import EarlyStopping
from .compiled import CompiledStep, compile
from .history import History
from .step import NotReplayable
from .stepping import NonFiniteLoss
from .trainer import Trainer

__all__ = [
    "CompiledStep", "EarlyStopping", "History", "NonFiniteLoss", "NotReplayable", "Trainer", "WeightAverage", "compile",
]  # fmt: skip
