"""Gradient transformations: what is done to the gradients between backward and the update.

A transformation is called with the gradients of all parameters that have one, a list of Tensors, and returns what takes
their place. It computes with kernels alone, on Tensors by tinynet's functions, so that it is recorded with the step.
Any function of that kind is one; those here are classes, as they have options and some have state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kernels.program import OPTIMIZER, within

from ..backends import current
from ..checks import check_above_0, check_positive
from ..nn import Parameter
from ..tensor import Array, Tensor, no_grad
from .clipping import clip_norm

Gradients = list[Tensor]


class Transformation:
    """The base of those that have options or state. A subclass defines ``__call__(gradients)``."""

    def begin(self, params: Sequence[Parameter]) -> None:
        """Makes what state there is for these parameters; for those of the call before, it is kept."""

    def arrays(self) -> list[Array]:
        """The state that steps write."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What a continued run needs: copies."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what state_dict gave, after ``begin``."""


class ClipNorm(Transformation):
    """g <- g * min(1, max_norm / |g|), |g| = sqrt(sum of squares of all gradients): ``clip_grad_norm_``, same bits."""

    def __init__(self, max_norm: float):
        self.max_norm = check_above_0("max_norm", max_norm)

    def __call__(self, gradients: Gradients) -> Gradients:
        clip_norm([gradient.array for gradient in gradients], self.max_norm)
        return gradients


class ClipValue(Transformation):
    """g <- min(max(g, -limit), limit), elementwise (PyTorch's clip_grad_value_)."""

    def __init__(self, limit: float):
        self.limit = check_above_0("limit", limit)

    def __call__(self, gradients: Gradients) -> Gradients:
        k = current()
        for gradient in gradients:
            k.maximum(gradient.array, -self.limit, out=gradient.array)
            k.minimum(gradient.array, self.limit, out=gradient.array)
        return gradients


class Accumulate(Transformation):
    """g <- (g_1 + ... + g_n) / n over n = batches batches; only after the last of them follows an update.

    With a mean loss and batches of one size this is the gradient of one batch of n times the rows. ``add`` takes the
    gradients of the first n - 1 batches, ``finish`` those of the last. Which one a batch is, is the caller's to say, as
    a recorded step is either the one or the other.

    A parameter without a gradient in some batch counts there as one with a gradient of 0; one that never had a gradient
    is left alone.
    """

    def __init__(self, batches: int):
        self.batches = check_positive("batches", batches)
        self._params: list[Parameter] = []
        self._sums: list[Array] = []
        self._reached: list[bool] = []  # which parameters ever had a gradient

    @property
    def every(self) -> int:
        """Batches an update."""
        return self.batches

    def begin(self, params: Sequence[Parameter]) -> None:
        same = len(params) == len(self._params) and all(
            a is b and a.shape == s.shape and a.dtype == s.dtype
            for a, b, s in zip(params, self._params, self._sums, strict=False)
        )
        if not same:
            self._params, self._reached = list(params), [False] * len(params)
            self._sums = [np.zeros_like(parameter.data) for parameter in params]

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Adds the gradients of the parameters given to ``begin``, None where there is none, to their sums."""
        k = current()
        for i, gradient in enumerate(gradients):
            if gradient is not None:
                total = self._sum(i)
                k.add(total, gradient.array, out=total)

    def finish(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The means over all batches since the last ``finish``, these gradients being the last; the sums become 0."""
        k, means = current(), list[Tensor | None]()
        for i, (gradient, parameter) in enumerate(zip(gradients, self._params, strict=True)):
            if gradient is None and not (self._reached[i] and parameter.requires_grad):
                means.append(None)
                continue
            total = self._sum(i)
            whole = total if gradient is None else k.add(total, gradient.array)
            means.append(Tensor(k.divide(whole, float(self.batches)).reshape(parameter.shape)))
            k.fill(0.0, out=total)
        return means

    def _sum(self, i: int) -> Array:
        self._reached[i] = True
        return self._sums[i].reshape(self._params[i].array.shape)

    def arrays(self) -> list[Array]:
        return self._sums

    def state_dict(self) -> dict[str, Any]:
        return {"sums": [total.copy() for total in self._sums], "reached": list(self._reached)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        shapes, own = [np.shape(total) for total in state["sums"]], [total.shape for total in self._sums]
        if shapes != own or len(state["reached"]) != len(own):
            raise ValueError(f"accumulated gradients have the shapes {shapes}, expected {own}")
        for total, found in zip(self._sums, state["sums"], strict=True):
            total[...] = found  # the arrays stay the same: a recorded step writes them
        self._reached = [bool(reached) for reached in state["reached"]]


Transform = Callable[[Gradients], Sequence[Tensor]] | Accumulate


def checked_transforms(transforms: Iterable[Any]) -> tuple[Transform, ...]:
    """The transformations, each a function of a list of Tensors or an Accumulate, of which there is one at most."""
    found = tuple(transforms)
    for transform in found:
        if isinstance(transform, type) or not (callable(transform) or isinstance(transform, Accumulate)):
            said = f"the class {transform.__name__}" if isinstance(transform, type) else repr(transform)
            raise TypeError(
                f"transforms holds {said}, expected functions of a list of Tensors, or objects such as ClipNorm(1.0)"
            )
    accumulating = sum(isinstance(transform, Accumulate) for transform in found)
    if accumulating > 1:
        raise ValueError(f"transforms holds {accumulating} Accumulate, expected one at most")
    return found


def batches_an_update(transforms: Iterable[Transform]) -> int:
    """After how many batches an update follows."""
    return next((transform.every for transform in transforms if isinstance(transform, Accumulate)), 1)


def apply_transformations(transforms: Iterable[Transform], parameters: Iterable[Parameter], last: bool = True) -> bool:
    """Puts each parameter's transformed gradient in the place of its gradient; whether an update follows.

    last: whether the batch is the last of those between two updates; before the last, gradients end in the sums of
    Accumulate, and parameters have none. Raises TypeError or ValueError where a function returns what are no gradients
    of these parameters.
    """
    params = list(parameters)
    gradients = [None if p.grad is None else Tensor(p.grad) for p in params]
    updates = True
    with no_grad(), within(OPTIMIZER):
        for transform in transforms:
            if not isinstance(transform, Accumulate):
                gradients = _transformed(transform, gradients)
                continue
            transform.begin(params)
            if not last:
                transform.add(gradients)
                gradients, updates = [None] * len(params), False
                break
            gradients = transform.finish(gradients)
    for parameter, gradient in zip(params, gradients, strict=True):
        parameter.grad = None if gradient is None else gradient.data
    return updates


def _transformed(transform: Callable[[Gradients], Sequence[Tensor]], all_: list[Tensor | None]) -> list[Tensor | None]:
    """What a function makes of the gradients that there are."""
    given = [gradient for gradient in all_ if gradient is not None]
    if not given:
        return all_
    name, returned = getattr(transform, "__name__", type(transform).__name__), transform(list(given))
    if not isinstance(returned, list | tuple) or not all(isinstance(gradient, Tensor) for gradient in returned):
        raise TypeError(f"the transformation {name} returned {_short(returned)}, expected a list of Tensors")
    found, own = [(g.shape, g.dtype.name) for g in returned], [(g.shape, g.dtype.name) for g in given]
    if len(found) != len(own):
        raise ValueError(f"the transformation {name} returned {len(found)} gradients, expected {len(own)}")
    for new, old in zip(found, own, strict=True):
        if new != old:
            raise ValueError(f"the transformation {name} returned a gradient of shape and dtype {new}, expected {old}")
    made = iter([new if new is old else _own(new) for new, old in zip(returned, given, strict=True)])
    return [None if gradient is None else next(made) for gradient in all_]


def _own(gradient: Tensor) -> Tensor:
    """A copy: what a function returns may be what it keeps, or the same twice, but those after it write in place."""
    k = current()
    copy: Array = k.cast(gradient.array, out=k.empty(gradient.array.shape, gradient.dtype))
    return Tensor(copy.reshape(gradient.shape))


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return (
            f"a {type(value).__name__} of {', '.join(sorted({type(inside).__name__ for inside in value})) or 'nothing'}"
        )
    return f"a {type(value).__name__}"
