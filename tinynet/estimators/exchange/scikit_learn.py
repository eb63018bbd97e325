"""scikit-learn's fitted perceptrons as tinynet's estimators, which go on where those were."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import sklearn.neural_network
from sklearn.utils.validation import check_is_fitted

from ...tensor import Array
from ..classifier import MLPClassifier
from ..perceptron import MultilayerPerceptron
from ..regressor import MLPRegressor
from ..session import Session

CLASSES: dict[type, type[MultilayerPerceptron]] = {
    sklearn.neural_network.MLPClassifier: MLPClassifier,
    sklearn.neural_network.MLPRegressor: MLPRegressor,
}
OWN = {"coefs_", "intercepts_", "_optimizer", "_best_coefs", "_best_intercepts", "_random_state"}


def estimator_from_sklearn(estimator: Any, **parameters: Any) -> Any:
    """A fitted MLPClassifier or MLPRegressor of scikit-learn as tinynet's, which predicts the same.

    Parameters, weights, classes, curves and the optimizer's averages are copied: partial_fit and warm starts go on as
    the other's would, to rounding. dtype is that of the weights. parameters: those to be set otherwise, as
    ``backend=`` or ``dtype=``.

    Raises TypeError for another object, ValueError for an estimator that is not fitted or a parameter that is unknown.
    """
    make = next((ours for theirs, ours in CLASSES.items() if isinstance(estimator, theirs)), None)
    if make is None:
        kind = type(estimator).__name__
        raise TypeError(f"estimator is a {kind}, expected scikit-learn's MLPClassifier or MLPRegressor")
    check_is_fitted(estimator)
    options = copy.deepcopy(estimator.get_params(deep=False))
    found = make().set_params(**{**options, "dtype": estimator.coefs_[0].dtype.name, **parameters})
    found._validate_params()
    for name, value in vars(estimator).items():
        if name not in OWN and name not in options:
            setattr(found, name, copy.deepcopy(value))
    if hasattr(found, "loss_curve_"):
        found.validation_loss_curve_ = None
    _start_session(found, estimator)
    return found


def _start_session(found: MultilayerPerceptron, estimator: Any) -> None:
    """The network with the estimator's weights, and an optimizer that has taken its steps."""
    session = Session(found._design(estimator.n_features_in_), estimator.coefs_, estimator.intercepts_)
    found._session, found._saved = session, None
    found.coefs_, found.intercepts_ = session.coefs, session.intercepts
    if found.solver == "lbfgs":
        return
    found._start_optimizer(session)
    theirs = getattr(estimator, "_optimizer", None)  # fit has made one, but for a pickle of an old version
    if theirs is None:
        return
    averages: dict[str, list[Array]]
    if found.solver == "sgd":
        session.rate = float(theirs.learning_rate)
        # scikit-learn's velocity is -lr times this one.
        averages = {"velocity": [velocity / -session.rate for velocity in theirs.velocities]}
    else:
        averages = {"first": theirs.ms, "second": theirs.vs}
        for group in session.optimizer.groups:
            group["step"] = theirs.t
    parameters = [*(layer.weight for layer in session.linear), *(layer.bias for layer in session.linear)]
    for i, parameter in enumerate(parameters):
        for name, arrays in averages.items():
            np.copyto(session.optimizer.state[id(parameter)][name], arrays[i])
