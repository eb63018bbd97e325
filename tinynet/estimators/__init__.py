"""Drop-in replacements for scikit-learn's MLPClassifier and MLPRegressor."""

from . import export as export  # what export_onnx asks about estimators
from .classifier import MLPClassifier
from .regressor import MLPRegressor
from .saving import load_estimator

__all__ = ["MLPClassifier", "MLPRegressor", "load_estimator"]
