"""Drop-in replacements for scikit-learn's MLPClassifier and MLPRegressor."""

from ..checkpoints.estimators import load_estimator
from ..exchange import onnx_estimators as export  # noqa: F401 - what export_onnx asks about estimators
from ..exchange.scikit_learn import estimator_from_sklearn
from .classifier import MLPClassifier
from .regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "estimator_from_sklearn", "load_estimator"]
