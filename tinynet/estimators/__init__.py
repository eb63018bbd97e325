"""Drop-in replacements for scikit-learn's MLPClassifier and MLPRegressor."""

from .classifier import MLPClassifier
from .regressor import MLPRegressor
from .saving import load_estimator

__all__ = ["MLPClassifier", "MLPRegressor", "load_estimator"]
