"""Estimators of tables: TabularClassifier and TabularRegressor."""

from . import checkpoint as _checkpoint  # noqa: F401 - its rules for save_checkpoint
from . import onnx as _onnx  # noqa: F401 - its rules for export_onnx
from .classifier import TabularClassifier
from .regressor import TabularRegressor

__all__ = ["TabularClassifier", "TabularRegressor"]
