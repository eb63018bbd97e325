"""Drop-in replacements for scikit-learn's MLPClassifier and MLPRegressor."""

from . import export as export  # what export_onnx asks about estimators
from .classifier import MLPClassifier
from .conversion import estimator_from_sklearn
from .regressor import MLPRegressor
from .saving import load_estimator

__all__ = ["MLPClassifier", "MLPRegressor", "estimator_from_sklearn", "load_estimator"]
