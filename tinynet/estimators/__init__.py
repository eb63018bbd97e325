"""Drop-in replacements for scikit-learn's MLPClassifier and MLPRegressor."""

from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
