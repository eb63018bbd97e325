"""Learning-rate schedules: the factor on each group's learning rate, as a function of the step.

A schedule is called by the Trainer after every step with that step's number, and at each epoch's end with its loss.
``total_steps`` and ``steps_per_epoch`` are given by the Trainer when training starts.
"""

from __future__ import annotations

import math
from typing import Any

from .checks import check_above_0, check_at_least_0, check_fraction, check_positive
from .optim import Optimizer


class Schedule:
    """lr of each group = its initial lr * factor(step), step counted from 0."""

    def __init__(self) -> None:
        self.steps_per_epoch = self.total_steps = 1
        self._initial: list[float] | None = None

    def start(self, optimizer: Optimizer, step: int, steps_per_epoch: int, total_steps: int) -> None:
        """Sets the learning rates for the step that comes next; the first call notes the initial ones."""
        if self._initial is None:
            self._initial = [group["lr"] for group in optimizer.groups]
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        self.apply(optimizer, step)

    def apply(self, optimizer: Optimizer, step: int) -> None:
        """Sets the learning rates for a step."""
        for group, rate in zip(optimizer.groups, self.rates(step), strict=True):
            group["lr"] = rate

    def rates(self, step: int) -> list[float]:
        """Each group's learning rate for a step."""
        assert self._initial is not None, "start() comes first"
        return [initial * self.factor(step) for initial in self._initial]

    def factor(self, step: int) -> float:
        """What the initial learning rate is multiplied by."""
        raise NotImplementedError

    def epoch_ended(self, loss: float) -> None:
        """Hears each epoch's loss: the validation loss if there is one, else the training loss."""

    def state_dict(self) -> dict[str, Any]:
        """What a continued run needs."""
        return {"initial": self._initial}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what state_dict gave."""
        self._initial = state["initial"]


class Constant(Schedule):
    """factor = 1."""

    def factor(self, step: int) -> float:
        return 1.0


class StepDecay(Schedule):
    """factor = gamma ** floor(epoch / step_size), epochs counted from 0 (PyTorch's StepLR)."""

    def __init__(self, step_size: int = 10, gamma: float = 0.1):
        super().__init__()
        self.step_size, self.gamma = check_positive("step_size", step_size), check_above_0("gamma", gamma)

    def factor(self, step: int) -> float:
        return self.gamma ** (step // self.steps_per_epoch // self.step_size)


class Exponential(Schedule):
    """factor = gamma ** epoch, epochs counted from 0 (PyTorch's ExponentialLR)."""

    def __init__(self, gamma: float = 0.95):
        super().__init__()
        self.gamma = check_above_0("gamma", gamma)

    def factor(self, step: int) -> float:
        return self.gamma ** (step // self.steps_per_epoch)


class Cosine(Schedule):
    """factor = floor + (1 - floor) (1 + cos(pi step / total)) / 2 (Loshchilov and Hutter 2016, arXiv 1608.03983)."""

    def __init__(self, floor: float = 0.0):
        super().__init__()
        self.floor = check_fraction("floor", floor, closed=True)

    def factor(self, step: int) -> float:
        done = min(step / self.total_steps, 1.0)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2


class OneCycle(Schedule):
    """From 1/div up to 1 over the first pct_start of all steps and down to 1/final_div, both along half a cosine.

    Smith and Topin 2017, arXiv 1708.07120; shape and defaults as PyTorch's OneCycleLR; the peak is the
    optimizer's lr.
    """

    def __init__(self, pct_start: float = 0.3, div: float = 25.0, final_div: float = 2.5e5):
        super().__init__()
        self.pct_start = check_fraction("pct_start", pct_start)
        self.div, self.final_div = check_above_0("div", div), check_above_0("final_div", final_div)

    def factor(self, step: int) -> float:
        last, rise = max(self.total_steps - 1, 1), self.pct_start * self.total_steps - 1
        if step < rise:
            return _half_cosine(1 / self.div, 1.0, step / rise)
        return _half_cosine(1.0, 1 / self.final_div, min((step - max(rise, 0)) / max(last - max(rise, 0), 1), 1.0))


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


class LinearWarmup(Schedule):
    """factor = (step + 1) / (steps + 1) for the first steps, then 1; with ``after``, then that schedule's factor."""

    def __init__(self, steps: int = 100, after: Schedule | None = None):
        super().__init__()
        self.steps, self.after = check_positive("steps", steps), after

    def factor(self, step: int) -> float:
        if step < self.steps:
            return (step + 1) / (self.steps + 1)
        if self.after is None:
            return 1.0
        self.after.steps_per_epoch = self.steps_per_epoch
        self.after.total_steps = max(self.total_steps - self.steps, 1)
        return self.after.factor(step - self.steps)

    def epoch_ended(self, loss: float) -> None:
        if self.after is not None:
            self.after.epoch_ended(loss)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"after": self.after.state_dict() if self.after is not None else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self.after is not None:
            self.after.load_state_dict(state["after"])


class ReduceOnPlateau(Schedule):
    """factor *= reduction whenever the loss has not fallen by the relative threshold for more than patience epochs."""

    def __init__(self, reduction: float = 0.1, patience: int = 10, threshold: float = 1e-4, floor: float = 0.0):
        super().__init__()
        self.reduction = check_fraction("reduction", reduction)
        self.patience, self.threshold = (
            int(check_at_least_0("patience", patience)),
            check_at_least_0("threshold", threshold),
        )
        self.floor = check_fraction("floor", floor, closed=True)
        self.best, self.waited, self.current = math.inf, 0, 1.0

    def factor(self, step: int) -> float:
        return self.current

    def epoch_ended(self, loss: float) -> None:
        fallen = self.best == math.inf or loss < self.best - self.threshold * abs(self.best)
        if fallen and math.isfinite(loss):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.current, self.waited = max(self.current * self.reduction, self.floor), 0

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"best": self.best, "waited": self.waited, "current": self.current}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best, self.waited, self.current = state["best"], state["waited"], state["current"]


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": StepDecay,
    "exponential": Exponential,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "warmup": LinearWarmup,
    "plateau": ReduceOnPlateau,
}
