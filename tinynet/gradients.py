"""Gradient checks: what backward computes against central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .tensor import Array, Tensor, no_grad


def gradcheck(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    eps: float = 1e-6,
    rtol: float = 5e-4,
    atol: float = 1e-6,
) -> bool:
    """|g - (f(x + eps) - f(x - eps)) / (2 eps)| <= atol + rtol |g| for every element of every input.

    function: of the inputs, returns a tensor; what is checked is the gradient of its elements' weighted sum, with
    weights that differ, so that no error can cancel. inputs: float64 tensors with requires_grad. It must return the
    same for the same inputs (reset the counter of a dropout layer). Returns True; raises AssertionError that names the
    element otherwise. The defaults catch a gradient that is wrong by 0.1 %.
    """
    for position, x in enumerate(inputs):
        if x.dtype != np.float64 or not x.requires_grad:
            raise ValueError(f"gradcheck: input {position} is {x.dtype}, expected float64 with requires_grad=True")
    saved = [x.grad for x in inputs]
    for x in inputs:
        x.grad = None
    output = function(*inputs)
    # Distinct irrational-looking weights, the same on every call.
    weights = np.cos(np.arange(output.size) + 1.0).reshape(output.shape)
    output.backward(weights)
    analytic = [np.zeros(x.shape) if x.grad is None else x.grad for x in inputs]
    for x, grad in zip(inputs, saved, strict=True):
        x.grad = grad
    for position, (x, gradient) in enumerate(zip(inputs, analytic, strict=True)):
        numeric = _central_differences(function, inputs, x, weights, eps)
        wrong = ~(np.abs(gradient - numeric) <= atol + rtol * np.abs(numeric))
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise AssertionError(
                f"gradcheck: input {position}, element {place}: backward gives {gradient[place]!r}, "
                f"differences {numeric[place]!r} ({int(wrong.sum())} of {wrong.size} elements differ)"
            )
    return True


def _central_differences(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], x: Tensor, weights: Array, eps: float
) -> Array:
    numeric = np.zeros(x.shape)
    with no_grad():
        for place in np.ndindex(x.shape):
            before = x.data[place]
            values: list[float] = []
            for moved in (before + eps, before - eps):
                x.data[place] = moved
                values.append(float(np.vdot(function(*inputs).numpy(), weights)))
            x.data[place] = before
            numeric[place] = (values[0] - values[1]) / (2 * eps)
    return numeric
