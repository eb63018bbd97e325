"""The optimizers' base: parameter groups whose options live in small arrays that the update kernels read."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, ClassVar

import numpy as np

from kernels.program import OPTIMIZER, within

from ..backends import current
from ..checks import check_above_0, check_at_least_0, check_fraction, choose
from ..nn import Parameter
from ..nn.module import structure_changed
from ..tensor import Array, Tensor

Check = Callable[[str, Any], float]

CHECKS: dict[str, Check] = {
    "lr": check_at_least_0,
    "momentum": partial(check_fraction, closed=True),  # 1, without friction, as scikit-learn allows
    "weight_decay": check_at_least_0,
    "nesterov": lambda name, value: float(bool(value)),
    "alpha": check_fraction,
    "beta1": check_fraction,
    "beta2": check_fraction,
    "eps": check_above_0,
    "step": check_at_least_0,
}


class ParameterGroup(MutableMapping[str, Any]):
    """Parameters with options of their own: ``group["lr"] = 0.1``. The options are elements of ``hyper``, by name."""

    def __init__(self, params: list[Parameter], names: Sequence[str], options: Mapping[str, Any]):
        self.params, self.names = params, tuple(names)
        self.hyper = np.zeros(len(names))
        for name in names:
            self[name] = options.get(name, 0.0)

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return self.params
        if name == "betas":
            return self["beta1"], self["beta2"]
        if name not in self.names:
            raise KeyError(name)
        return float(self.hyper[self.names.index(name)])

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "betas":
            self["beta1"], self["beta2"] = value
            return
        choose("optimizer option", name, self.names)
        self.hyper[self.names.index(name)] = CHECKS[name](name, value)

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"a parameter group's options are fixed; cannot delete {name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(("params", *self.names))

    def __len__(self) -> int:
        return len(self.names) + 1


class Optimizer:
    """Updates parameters from their gradients, in place, by one kernel call a parameter.

    params: an iterable of parameters, or of dicts ``{"params": [...], "lr": ...}`` that override options for a group.
    """

    options: ClassVar[tuple[str, ...]]  # the order in which the kernel reads hyper
    averages: ClassVar[tuple[str, ...]]  # running averages kept for each parameter, in the kernel's order

    def __init__(self, params: Iterable[Any], **options: Any):
        self.groups: list[ParameterGroup] = []
        self.state: dict[int, dict[str, Array]] = {}
        entries = list(params)
        if not entries:
            raise ValueError("the optimizer got no parameters, expected at least one")
        if not isinstance(entries[0], dict):
            entries = [{"params": entries}]
        for entry in entries:
            self._add_group(dict(entry), options)

    def _add_group(self, entry: dict[str, Any], options: Mapping[str, Any]) -> None:
        params = entry.pop("params", None)
        params = [params] if isinstance(params, Tensor) else list(params or ())
        known = {id(p) for group in self.groups for p in group.params}
        for parameter in params:
            if not isinstance(parameter, Tensor) or not parameter.requires_grad:
                raise TypeError(
                    f"the optimizer got a {type(parameter).__name__}, expected tensors that require gradients"
                )
            if id(parameter) in known:
                raise ValueError("the optimizer got a parameter twice")
            known.add(id(parameter))
        if "betas" in entry:
            entry["beta1"], entry["beta2"] = entry.pop("betas")
        for name in entry:
            choose("optimizer option", name, self.options)
        self.groups.append(ParameterGroup(params, self.options, {**options, **entry}))

    @property
    def param_groups(self) -> list[ParameterGroup]:
        """The groups, under PyTorch's name."""
        return self.groups

    def zero_grad(self) -> None:
        """Forgets all gradients."""
        for group in self.groups:
            for parameter in group.params:
                parameter.grad = None

    def step(self) -> None:
        """One update of every parameter that has a gradient. Ctrl-C waits until all are updated."""
        with uninterrupted(), within(OPTIMIZER):
            for group in self.groups:
                if "step" in group.names:
                    counter = group.hyper[group.names.index("step") :][:1]
                    current().add(counter, 1.0, out=counter)
                for parameter in group.params:
                    if parameter.grad is not None:
                        self._update(parameter, parameter.grad, self._averages(parameter), group)

    def averages_of_all(self) -> list[list[Array]]:
        """The running averages of each parameter, made where there are none yet."""
        return [self._averages(parameter) for group in self.groups for parameter in group.params]

    def _averages(self, parameter: Parameter) -> list[Array]:
        if id(parameter) not in self.state:
            self.state[id(parameter)] = {name: np.zeros_like(parameter.data) for name in self.averages}
        return list(self.state[id(parameter)].values())

    def _update(self, parameter: Parameter, gradient: Array, averages: list[Array], group: ParameterGroup) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Copies of each group's options and each parameter's averages, parameters numbered in order."""
        numbered = [parameter for group in self.groups for parameter in group.params]
        return {
            "groups": [{name: group[name] for name in group.names} for group in self.groups],
            "averages": [
                {name: average.copy() for name, average in self.state.get(id(parameter), {}).items()}
                for parameter in numbered
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what state_dict gave, after checking that groups, names and shapes fit."""
        numbered = [parameter for group in self.groups for parameter in group.params]
        if len(state["groups"]) != len(self.groups) or len(state["averages"]) != len(numbered):
            raise ValueError(
                f"optimizer state has {len(state['groups'])} groups and {len(state['averages'])} parameters, "
                f"expected {len(self.groups)} and {len(numbered)}"
            )
        for position, (parameter, averages) in enumerate(zip(numbered, state["averages"], strict=True)):
            for name, average in averages.items():
                choose("optimizer average", name, self.averages)
                if np.shape(average) != parameter.shape:
                    raise ValueError(
                        f"optimizer state: {name} of parameter {position} has shape {np.shape(average)}, "
                        f"expected {parameter.shape}"
                    )
        for group, options in zip(self.groups, state["groups"], strict=True):
            group.update(options)
        for parameter, averages in zip(numbered, state["averages"], strict=True):
            if not averages:
                self.state.pop(id(parameter), None)
            elif len(averages) == len(self.state.get(id(parameter), {})):
                for name, average in averages.items():  # the arrays stay the same: a recorded step writes them
                    self.state[id(parameter)][name][...] = average
            else:
                self.state[id(parameter)] = {
                    name: np.array(average, parameter.dtype) for name, average in averages.items()
                }
        structure_changed()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds back Ctrl-C until the block ends, so that no update is half done. Only the main thread gets signals."""
    before = signal.getsignal(signal.SIGINT)
    # None: a handler that was not set from Python, which could not be put back.
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: caught.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        for number, frame in caught:
            if callable(before):
                before(number, frame)
            else:  # the default action, which ends the process, or none
                signal.raise_signal(number)
