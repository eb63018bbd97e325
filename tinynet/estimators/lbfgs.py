"""All rows at once, minimised by SciPy's L-BFGS-B, in float64 whatever the dtype: its line search needs the digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result

from ..tensor import Array, Tensor
from ..training.compiled import compile
from .objectives import targets
from .session import Session


def minimise(estimator: Any, session: Session, X: Array, y: Array, weight: Array | None) -> None:
    """Minimises the loss over all parameters of the session's network, from where they are."""
    design = session.design
    exact = Session(
        replace(design, structure=replace(design.structure, dtype="float64")), session.coefs, session.intercepts
    )
    exact.restore(session.state(), optimizer=False)
    X64 = Tensor(X.astype(np.float64))
    target = targets(estimator.out_activation_, y, weight, np.float64)
    loss = exact.loss
    total = float(len(X) if weight is None else weight.sum())
    parameters = exact.model.parameters()
    decays = {id(weight) for weight in loss.weights}
    exact.model.train()

    def step(X: Tensor, target: Array) -> Tensor:
        for parameter in parameters:
            parameter.grad = None
        value: Tensor = loss(exact.model(X), target)
        value.backward()
        return value

    recorded = compile(step)

    def loss_and_gradient(packed: Array) -> tuple[float, Array]:
        start, gradients = 0, []
        for parameter in parameters:
            parameter.data[...] = packed[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size
        value = recorded(X64, target)
        for parameter in parameters:
            assert parameter.grad is not None
            decay = estimator.alpha / total * parameter.data if id(parameter) in decays else 0.0
            gradients.append((parameter.grad + decay).ravel())
        return value.item(), np.concatenate(gradients)

    found = scipy.optimize.minimize(
        loss_and_gradient,
        np.concatenate([parameter.data.ravel() for parameter in parameters]),
        method="L-BFGS-B",
        jac=True,
        options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
    )
    estimator.n_iter_ = _check_optimize_result("lbfgs", found, estimator.max_iter)
    estimator.loss_ = float(found.fun)
    loss_and_gradient(found.x)
    session.model.load_state_dict(exact.model.state_dict())
