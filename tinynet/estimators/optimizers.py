"""Adam and SGD with scikit-learn's formulas and a decoupled weight decay, and schedules that span calls of fit."""

from __future__ import annotations

import copy
from typing import Any

from kernels.program import OPTIMIZER, within

from ..backends import current
from ..checks import check_positive, check_whole
from ..optim import SGD, Adam, Optimizer
from ..schedule import SCHEDULES, Schedule
from ..tensor import Array


def _option(group: Any, name: str) -> Array:
    """A view of an option where the kernels read it."""
    place = group.names.index(name)
    view: Array = group.hyper[place : place + 1]
    return view


class ScikitAdam(Adam):
    """p <- p - lr sqrt(1 - b2**t) / (1 - b1**t) m / (sqrt(s) + epsilon): epsilon is outside of the correction.

    The kernel adds eps to sqrt(s / (1 - b2**t)), so eps = epsilon / sqrt(1 - b2**t) is written before each update.
    """

    def __init__(self, params: Any, epsilon: float, decay: float):
        super().__init__(params)
        self.epsilon, self.decay = epsilon, decay

    def step(self) -> None:
        with within(OPTIMIZER):
            shrink_weights(self, self.decay)
            k, group = current(), self.groups[0]  # the groups differ in weight decay only
            beta2, eps, count = (_option(group, name) for name in ("beta2", "eps", "step"))
            correction = k.sqrt(k.subtract(1.0, k.power(beta2, k.add(count, 1.0))))
            k.divide(self.epsilon, correction, out=eps)
            for other in self.groups[1:]:
                k.cast(eps, out=_option(other, "eps"))
            super().step()


class ScikitSGD(SGD):
    """SGD, with a decoupled weight decay."""

    def __init__(self, params: Any, decay: float):
        super().__init__(params)
        self.decay = decay

    def step(self) -> None:
        with within(OPTIMIZER):
            shrink_weights(self, self.decay)
            super().step()


def shrink_weights(optimizer: Optimizer, decay: float) -> None:
    """p <- (1 - lr decay) p for the parameters of the first group (Loshchilov and Hutter 2017, arXiv 1711.05101).

    The optimizer's own weight decay holds scikit-learn's penalty, which goes into the running averages.
    """
    if not decay:
        return
    k, group = current(), optimizer.groups[0]
    kept = k.subtract(1.0, k.multiply(_option(group, "lr"), decay))
    for parameter in group.params:
        factor = k.cast(kept, out=k.empty((1,), parameter.dtype))
        k.multiply(parameter.array, factor, out=parameter.array)


class Horizon(Schedule):
    """A schedule of its own copy over so many epochs, however few a call trains, and however many rows each has.

    The schedule counts steps as if each epoch had as many as the longest so far: step i of n in epoch e, of at most s
    steps, is its e s + floor(i s / n). Where all epochs are equal, that is the optimizer's own count.
    """

    def __init__(self, schedule: str | Schedule):
        super().__init__()
        self.schedule = SCHEDULES[schedule]() if isinstance(schedule, str) else copy.deepcopy(schedule)
        self.epochs = 1
        self.epoch = self.begun = 0  # epochs that ended, and the optimizer's steps before this one
        self.longest = 1

    def start(
        self, optimizer: Optimizer, step: int, steps_per_epoch: int, total_steps: int, epoch: int = 0, begun: int = 0
    ) -> None:
        self.begun, self.steps_per_epoch = step, steps_per_epoch
        self.longest = max(self.longest, steps_per_epoch)
        self.schedule.start(optimizer, self._heard(step), self.longest, self.epochs * self.longest)

    @property
    def knows_initial(self) -> bool:
        return self.schedule.knows_initial

    def rates(self, step: int) -> list[float]:
        return self.schedule.rates(self._heard(step))

    def _heard(self, step: int) -> int:
        return self.epoch * self.longest + (step - self.begun) * self.longest // self.steps_per_epoch

    def epoch_ended(self, loss: float) -> None:
        self.epoch, self.begun = self.epoch + 1, self.begun + self.steps_per_epoch
        self.schedule.epoch_ended(loss)

    def state_dict(self) -> dict[str, Any]:
        own = {"epoch": self.epoch, "begun": self.begun, "longest": self.longest}
        return {**own, "steps_per_epoch": self.steps_per_epoch, "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.begun = check_whole("its epoch", state["epoch"]), check_whole("its step", state["begun"])
        self.longest = check_positive("its longest epoch", state["longest"])
        self.steps_per_epoch = check_positive("its steps of an epoch", state["steps_per_epoch"])
        self.schedule.load_state_dict(state["schedule"])
        self.schedule.steps_per_epoch = self.longest
