"""Drop-in replacements for scikit-learn's MLPClassifier and MLPRegressor."""

from .classifier import MLPClassifier
from .exchange import onnx as _onnx  # noqa: F401 - its rules for export_onnx
from .exchange.checkpoint import load_estimator
from .exchange.scikit_learn import estimator_from_sklearn
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "estimator_from_sklearn", "load_estimator"]
