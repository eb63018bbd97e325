"""The optimizers' base: parameter groups whose options live in small arrays that the update kernels read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from kernels.program import OPTIMIZER, read_by_value, within

from ..backends import current
from ..checks import check_above_0, check_at_least_0, check_fraction, choose
from ..interrupts import uninterrupted
from ..nn import Parameter
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
        self.following = {id(parameter): parameter for parameter in params}  # those that had a gradient in every step
        for name in names:
            self[name] = options.get(name, 0.0)

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return self.params
        if name == "betas":
            return self["beta1"], self["beta2"]
        if name not in self.names:
            raise KeyError(name)
        place = self.names.index(name)
        read_by_value(self.hyper[place : place + 1])  # kernels read it where it is; a step's own code does not
        return float(self.hyper[place])

    @property
    def count(self) -> float:
        """How often the group was updated, where that is counted."""
        return float(self.hyper[self.names.index("step")])

    def described(self) -> str:
        """The options, and of how many parameters: ``lr=0.1, momentum=0, 4 parameters``."""
        options = {name: value for name, value in zip(self.names, self.hyper.tolist(), strict=True) if name != "step"}
        count = f"{len(self.params)} parameter{'s' * (len(self.params) != 1)}"
        return ", ".join([*(f"{name}={value:g}" for name, value in options.items()), count])

    def __repr__(self) -> str:
        return f"ParameterGroup({self.described()})"

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

    Where the update depends on its number, a parameter's updates are counted, as in PyTorch. Those that had a gradient
    whenever their group was updated share the group's count, in the group's hyper; any other has a hyper of its own,
    the group's but for the count.
    """

    options: ClassVar[tuple[str, ...]]  # the order in which the kernel reads hyper
    averages: ClassVar[tuple[str, ...]]  # running averages kept for each parameter, in the kernel's order
    kernel: ClassVar[str]
    scaling: ClassVar[Mapping[str, int] | None] = None  # option *= scale**power for a parameter kept as scale * w
    suited: ClassVar[tuple[float, float]]  # the command's learning rate and weight decay where none are asked for

    def __init__(self, params: Iterable[Any], **options: Any):
        self.groups: list[ParameterGroup] = []
        self.state: dict[int, dict[str, Array]] = {}
        self._own: dict[int, Array] = {}  # hypers of parameters that count for themselves
        entries = list(params)
        if not entries:
            raise ValueError("the optimizer got no parameters, expected at least one")
        if not isinstance(entries[0], dict):
            entries = type(self).groups_of(entries, options)
        for entry in entries:
            self._add_group(dict(entry), options)

    @classmethod
    def groups_of(cls, params: Iterable[Parameter], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Groups of parameters that learn at equal rates: the options, times what each of them asks for.

        ``parameter_groups`` says how. Those that ask for nothing are one group, without options of its own.
        """
        groups: dict[tuple[float, ...], list[Any]] = {}
        for parameter in params:
            asked = [getattr(parameter, name, 1.0) for name in ("lr_factor", "decay_factor", "scale")]
            groups.setdefault(tuple(asked), []).append(parameter)
        return [{"params": found, **cls._scaled(options, *asked)} for asked, found in groups.items()]

    @classmethod
    def _scaled(cls, options: Mapping[str, Any], lr: float, decay: float, scale: float) -> dict[str, float]:
        """The options that differ for parameters with these factors."""
        if scale != 1 and cls.scaling is None:
            raise ValueError(
                f"{cls.__name__} got a parameter that is kept as {scale:g} w (parametrisation='ntk') and has no update "
                f"that moves it as w, expected SGD, RMSprop, Adam or AdamW"
            )
        powers, factors = cls.scaling or {}, {"lr": lr, "weight_decay": decay}
        found = {}
        for name in {**factors, **powers}:
            factor = factors.get(name, 1.0) * scale ** powers.get(name, 0)
            if name in options and factor != 1:
                found[name] = CHECKS[name](name, options[name]) * factor
        return found

    def __repr__(self) -> str:
        groups = [group.described() for group in self.groups]
        return f"{type(self).__name__}({groups[0] if len(groups) == 1 else '; '.join(groups)})"

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
                updated = [parameter for parameter in group.params if parameter.grad is not None]
                if updated and "step" in group.names:
                    self._count(group, updated)
                for parameter in updated:
                    assert parameter.grad is not None
                    self._update(parameter, parameter.grad, self._averages(parameter), group)

    def hyper(self, parameter: Parameter, group: ParameterGroup) -> Array:
        """The options that the parameter's update reads."""
        return self._own.get(id(parameter), group.hyper)

    def _count(self, group: ParameterGroup, updated: list[Parameter]) -> None:
        """Counts an update of these parameters."""
        k, place, following = current(), group.names.index("step"), group.following
        having = {id(parameter): parameter for parameter in updated}
        for key in [key for key in following if key not in having]:  # falls behind
            del following[key]
            self._count_alone(key, group, group.count)
        for key, parameter in having.items():
            if key not in following and key not in self._own:  # joins
                if group.count:
                    self._count_alone(key, group, 0.0)
                else:
                    following[key] = parameter
        counter = group.hyper[place : place + 1]
        k.add(counter, 1.0, out=counter)
        for own in (self._own[key] for key in having if key in self._own):
            for options in (slice(0, place), slice(place + 1, None)):
                if group.names[options]:
                    k.cast(group.hyper[options], out=own[options])
            k.add(own[place : place + 1], 1.0, out=own[place : place + 1])

    def _count_alone(self, key: int, group: ParameterGroup, count: float) -> None:
        """Gives a parameter a hyper of its own; once made, the array stays, as recorded steps write it."""
        if key not in self._own:
            self._own[key] = group.hyper.copy()
        self._own[key][group.names.index("step")] = count

    def arrays(self) -> list[Array]:
        """All arrays that a step may write besides parameters: options and counts, running averages."""
        averages = [average for averages in self.averages_of_all() for average in averages]
        return [*(group.hyper for group in self.groups), *averages, *self._own.values()]

    def counters(self) -> list[tuple[Array, int]]:
        """Where updates are counted: arrays, and the place in each."""
        places = [(group, group.names.index("step")) for group in self.groups if "step" in group.names]
        own = [(self._own[id(p)], place) for group, place in places for p in group.params if id(p) in self._own]
        return [(group.hyper, place) for group, place in places] + own

    def averages_of_all(self) -> list[list[Array]]:
        """The running averages of each parameter, made where there are none yet."""
        return [self._averages(parameter) for group in self.groups for parameter in group.params]

    def _averages(self, parameter: Parameter) -> list[Array]:
        if id(parameter) not in self.state:
            self.state[id(parameter)] = {name: np.zeros_like(parameter.data) for name in self.averages}
        return [self.state[id(parameter)][name] for name in self.averages]

    def flags(self) -> tuple[bool, ...]:
        """What the kernel takes after hyper."""
        return ()

    def _update(self, parameter: Parameter, gradient: Array, averages: list[Array], group: ParameterGroup) -> None:
        array, hyper = parameter.array, self.hyper(parameter, group)
        getattr(current(), self.kernel)(array, gradient.reshape(array.shape), *averages, hyper, *self.flags())

    def state_dict(self) -> dict[str, Any]:
        """Copies of each group's options and each parameter's averages, parameters numbered in order.

        steps: each parameter's own count of updates, None where it is the group's.
        """
        numbered = [parameter for group in self.groups for parameter in group.params]
        return {
            "steps": self.own_steps(),
            "groups": [{name: group[name] for name in group.names} for group in self.groups],
            "averages": [
                {name: average.copy() for name, average in self.state.get(id(parameter), {}).items()}
                for parameter in numbered
            ],
        }

    def own_steps(self) -> list[float | None]:
        """For each parameter in order, how often it was updated; None where that is its group's count."""
        return [
            float(self._own[id(parameter)][group.names.index("step")]) if id(parameter) in self._own else None
            for group in self.groups
            for parameter in group.params
        ]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what state_dict gave, after checking that groups, names and shapes fit."""
        numbered = [parameter for group in self.groups for parameter in group.params]
        if len(state["groups"]) != len(self.groups) or len(state["averages"]) != len(numbered):
            raise ValueError(
                f"optimizer state has {len(state['groups'])} groups and {len(state['averages'])} parameters, "
                f"expected {len(self.groups)} and {len(numbered)}"
            )
        for position, (parameter, averages) in enumerate(zip(numbered, state["averages"], strict=True)):
            if averages and (missing := {*self.averages} - averages.keys()):
                raise ValueError(f"optimizer state: parameter {position} lacks {', '.join(sorted(missing))}")
            for name, average in averages.items():
                choose("optimizer average", name, self.averages)
                if np.shape(average) != parameter.shape:
                    raise ValueError(
                        f"optimizer state: {name} of parameter {position} has shape {np.shape(average)}, "
                        f"expected {parameter.shape}"
                    )
        steps = state.get("steps", [None] * len(numbered))  # states written before have none
        if len(steps) != len(numbered):
            raise ValueError(f"optimizer state counts the steps of {len(steps)} parameters, expected {len(numbered)}")
        steps = [None if step is None else CHECKS["step"]("step", step) for step in steps]
        for group, options in zip(self.groups, state["groups"], strict=True):
            group.update(options)
        if "step" in self.options:
            counted = iter(zip(steps, state["averages"], strict=True))
            for group in self.groups:
                self._load_counts(group, [next(counted) for _ in group.params])
        for parameter, averages in zip(numbered, state["averages"], strict=True):
            if not averages:
                self.state.pop(id(parameter), None)
            else:
                for name, own in zip(self.averages, self._averages(parameter), strict=True):
                    own[...] = averages[name]  # the arrays stay the same: a recorded step writes them

    def _load_counts(self, group: ParameterGroup, found: Sequence[tuple[float | None, Mapping[str, Any]]]) -> None:
        """Takes each parameter's own count; one that has neither a count nor averages was never updated."""
        for parameter, (step, averages) in zip(group.params, found, strict=True):
            key, count = id(parameter), step
            if count is None and not averages and group["step"]:
                count = 0.0
            if count is None and key in self._own:
                count = group["step"]
            if count is None:
                group.following[key] = parameter
            else:
                group.following.pop(key, None)
                self._count_alone(key, group, count)
