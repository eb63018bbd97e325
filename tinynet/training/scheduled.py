"""Options that change from step to step: what drives which option, and the arrays that hold them.

``schedule=Cosine()`` drives the learning rates. A mapping drives any option of the optimizer's groups, and as "dropout"
the probability of all Dropout modules, each by a Schedule, a factor on each group's initial value, or by a function
``f(epoch, step_in_epoch, steps_in_all)`` that gives the value itself; all three are counted from 0, the last over all
epochs::

    schedule={"lr": OneCycle(), "weight_decay": Cosine(), "dropout": lambda epoch, step, steps: 0.5 * 0.9**epoch}
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ..checks import check_fraction, check_number, choose
from ..nn import Dropout, Module
from ..optim import Optimizer, ParameterGroup
from ..optim.optimizer import CHECKS, Check
from ..schedule import Schedule
from ..tensor import Array

Function = Callable[[int, int, int], float]
Driver = Schedule | Function
ScheduleLike = Driver | Mapping[str, Driver]

FIXED = ("step", "nesterov")  # counted by updates, and a choice of formula
DROPOUT = "dropout"


@dataclass(frozen=True)
class Timing:
    """Steps of an epoch, of all together, and an epoch, counted from 0, that began with a step."""

    steps_per_epoch: int = 1
    total_steps: int = 1
    epoch: int = 0
    begun: int = 0

    def at(self, step: int) -> tuple[int, int]:
        """The epoch of a step, and which of the epoch's steps it is."""
        epochs, within = divmod(step - self.begun, self.steps_per_epoch)
        return self.epoch + epochs, within


class _GroupOption:
    """A group's option. A Schedule finds it in the place of the group's learning rate."""

    def __init__(self, group: ParameterGroup, name: str):
        self.group, self.name = group, name

    def __getitem__(self, option: str) -> Any:
        return self.group[self.name if option == "lr" else option]

    def __setitem__(self, option: str, value: Any) -> None:
        """Nothing: Schedules sets values, once they are checked."""

    @property
    def target(self) -> tuple[Array, int]:
        return self.group.hyper, self.group.names.index(self.name)


class _DropoutRate:
    """A Dropout's probability, as a Schedule finds it."""

    def __init__(self, module: Dropout):
        self.module = module
        module.scheduled = module.drops = True

    def __getitem__(self, option: str) -> float:
        return self.module.p

    def __setitem__(self, option: str, value: Any) -> None:
        """Nothing: Schedules sets values, once they are checked."""

    @property
    def target(self) -> tuple[Array, int]:
        return self.module.rate, 0


class _Option:
    """One option, wherever it is, and what drives it. To a Schedule it looks like an optimizer."""

    def __init__(self, name: str, driver: Driver, places: list[_GroupOption | _DropoutRate]):
        self.name, self.driver, self.groups = name, driver, places
        self.check: Check = check_fraction if name == DROPOUT else CHECKS[name]

    @property
    def param_groups(self) -> list[_GroupOption | _DropoutRate]:
        return self.groups

    def values(self, step: int, count: int, timing: Timing) -> Array:
        """The values (count, places) for so many steps from one on, checked."""
        rows = [self._in(step + i, timing) for i in range(count)]
        given = [*chain.from_iterable(rows)]
        if {*map(type, given)} == {float} and math.isfinite(sum(given)):
            try:  # what options take are intervals
                self.check(self.name, min(given)), self.check(self.name, max(given))
                return np.array(rows, np.float64)
            except ValueError:  # one by one, it is said which
                pass
        return np.array([self._checked(step + i, row, timing) for i, row in enumerate(rows)], np.float64)

    def _in(self, step: int, timing: Timing) -> list[float]:
        """What is given for each place in a step."""
        if isinstance(self.driver, Schedule):
            return self.driver.rates(step)
        step = min(step, timing.total_steps - 1)  # what comes after the last is nothing that a function must know
        return [self.driver(*timing.at(step), step)] * len(self.groups)

    def _checked(self, step: int, row: list[float], timing: Timing) -> list[float]:
        epoch, within = timing.at(step)
        return [self.check(f"{self.name} for epoch {epoch + 1}, step {within + 1}", value) for value in row]


class Schedules:
    """Drives options of an optimizer's groups, and the probabilities of a model's Dropout modules, step by step.

    Raises ValueError for an option that there is not, TypeError for what drives none.
    """

    def __init__(self, schedule: ScheduleLike, optimizer: Optimizer, model: Module):
        self.single = not isinstance(schedule, Mapping)
        drivers: Mapping[Any, Any] = schedule if isinstance(schedule, Mapping) else {"lr": schedule}
        if not drivers:
            raise ValueError("schedule is an empty mapping, expected at least one option")
        known = [name for name in optimizer.groups[0].names if name not in FIXED]
        dropouts = {id(module): module for _, module in model.named_modules() if isinstance(module, Dropout)}
        self.options: list[_Option] = []
        for name, driver in drivers.items():
            choose("scheduled option", name, [*known, DROPOUT] if dropouts else known)
            if isinstance(driver, type) or not (isinstance(driver, Schedule) or callable(driver)):
                said = f"the class {driver.__name__}" if isinstance(driver, type) else repr(driver)
                raise TypeError(
                    f"schedule of {name} is {said}, expected a Schedule or a function of epoch, step in the epoch, "
                    f"steps in all"
                )
            if any(driver is option.driver for option in self.options):
                driver = copy.deepcopy(driver)  # a Schedule notes the initial values of one option
            places: list[Any] = [_GroupOption(group, name) for group in optimizer.groups]
            if name == DROPOUT:
                places = [_DropoutRate(module) for module in dropouts.values()]
            self.options.append(_Option(name, driver, places))
        self.timing = Timing()

    @property
    def names(self) -> list[str]:
        """The option that each value is of."""
        return [option.name for option in self.options for _ in option.groups]

    def targets(self) -> list[tuple[Array, int]]:
        """The array and the index in it where each value goes."""
        return [place.target for option in self.options for place in option.groups]

    def values(self, step: int, count: int = 1) -> Array:
        """The values (count, values), float64, for so many steps from one on.

        Raises ValueError or TypeError for a value that the option does not take, naming both and the epoch.
        """
        found = [option.values(step, count, self.timing) for option in self.options]
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)

    def start(self, step: int, steps_per_epoch: int, total_steps: int, epoch: int, begun: int) -> None:
        """Sets the values for the step that comes next, in an epoch that began with the step ``begun``."""
        self.timing = Timing(steps_per_epoch, total_steps, epoch, begun)
        for option in self.options:
            if isinstance(option.driver, Schedule):
                start_schedule(option.driver, option, step, self.timing)
        self.apply(step)

    def apply(self, step: int, values: Array | None = None) -> None:
        """Sets the values for a step; values: what ``values`` said for it."""
        found = self.values(step)[0] if values is None else values
        for (array, place), value in zip(self.targets(), found.tolist(), strict=True):
            array[place] = value

    def epoch_ended(self, loss: float) -> None:
        """Tells each Schedule the epoch's loss."""
        for _, schedule in self._schedules():
            schedule.epoch_ended(loss)

    def _schedules(self) -> list[tuple[_Option, Schedule]]:
        return [(option, option.driver) for option in self.options if isinstance(option.driver, Schedule)]

    def state_dict(self) -> dict[str, Any]:
        """What a continued run needs: a single Schedule's own state, or each one's by its option's name."""
        states = {option.name: schedule.state_dict() for option, schedule in self._schedules()}
        return states.get("lr", {}) if self.single else {"options": states}

    def check_state_dict(self, state: Mapping[str, Any], step: int) -> None:
        """Raises ValueError, TypeError or LookupError for what load_state_dict cannot go on with at a step."""
        states = self._states(state)
        for option, schedule in self._schedules():
            trial = copy.deepcopy(schedule)
            trial.load_state_dict(states[option.name])
            if trial.knows_initial:
                found = trial.rates(step)
                for _, value in zip(option.groups, found, strict=True):
                    check_number(f"its {option.name}", value)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what state_dict gave."""
        states = self._states(state)
        for option, schedule in self._schedules():
            schedule.load_state_dict(states[option.name])

    def _states(self, state: Mapping[str, Any]) -> dict[str, Any]:
        own = [option.name for option, _ in self._schedules()]
        if self.single:
            return dict.fromkeys(own, state)
        if sorted(state["options"]) != sorted(own):
            raise ValueError(f"its schedules drive {sorted(state['options'])}, expected {sorted(own)}")
        return dict(state["options"])


def start_schedule(schedule: Schedule, optimizer: Any, step: int, timing: Timing) -> None:
    """Starts a schedule; one with a ``start`` of its own that does not know where epochs begin is not told."""
    begun = {"epoch": timing.epoch, "begun": timing.begun}
    parameters = inspect.signature(schedule.start).parameters
    if not (
        begun.keys() <= parameters.keys() or inspect.Parameter.VAR_KEYWORD in {p.kind for p in parameters.values()}
    ):
        begun = {}
    schedule.start(optimizer, step, timing.steps_per_epoch, timing.total_steps, **begun)
