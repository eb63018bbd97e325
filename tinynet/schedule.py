"""Schedules: the factor on each group's learning rate, or on another option, as a function of the step.

A schedule is called by the Trainer after every step with that step's number, and at each epoch's end with its loss.
How many steps an epoch has and all have together, and where the epoch began, the Trainer says when training starts.
"""

from __future__ import annotations

import math
from typing import Any

from .checks import check_above_0, check_at_least_0, check_fraction, check_positive, check_whole
from .optim import Optimizer


class Schedule:
    """lr of each group = its initial lr * factor(step), step counted from 0.

    Given to the Trainer as ``schedule={"weight_decay": Cosine()}`` it drives another option in the same way.
    """

    _epoch = _begun = 0  # an epoch that began at a step

    def __init__(self) -> None:
        self.steps_per_epoch = self.total_steps = 1
        self._initial: list[float] | None = None

    def start(
        self, optimizer: Optimizer, step: int, steps_per_epoch: int, total_steps: int, epoch: int = 0, begun: int = 0
    ) -> None:
        """Sets the learning rates for the step that comes next; the first call notes the initial ones.

        epoch, begun: the epoch of that step, counted from 0, and the step with which it began; where they are not
        given, all epochs so far had as many steps as those to come.
        """
        if self._initial is None:
            self._initial = [group["lr"] for group in optimizer.groups]
        self.steps_per_epoch, self.total_steps = steps_per_epoch, total_steps
        self._epoch, self._begun = epoch, begun
        self.apply(optimizer, step)

    @property
    def knows_initial(self) -> bool:
        """Whether the initial learning rates are known."""
        return self._initial is not None

    def epoch_of(self, step: int) -> int:
        """The epoch of a step, both counted from 0."""
        return max(self._epoch + (step - self._begun) // self.steps_per_epoch, 0)

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
        return self.gamma ** (self.epoch_of(step) // self.step_size)


class Exponential(Schedule):
    """factor = gamma ** epoch, epochs counted from 0 (PyTorch's ExponentialLR)."""

    def __init__(self, gamma: float = 0.95):
        super().__init__()
        self.gamma = check_above_0("gamma", gamma)

    def factor(self, step: int) -> float:
        return self.gamma ** self.epoch_of(step)


class Cosine(Schedule):
    """factor = floor + (1 - floor) (1 + cos(pi step / total)) / 2 (Loshchilov and Hutter 2016, arXiv 1608.03983)."""

    def __init__(self, floor: float = 0.0):
        super().__init__()
        self.floor = check_fraction("floor", floor, closed=True)

    def factor(self, step: int) -> float:
        done = min(step / self.total_steps, 1.0)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2


class CosLog(Schedule):
    """factor = (1 - cos(2 pi log2(1 + (2**cycles - 1) step / total))) / 2: waves, each twice as long as the one before.

    The rate is high at most steps and falls to 0 at the end of each wave, so that the weights of several epochs are
    worth keeping (Holzmueller et al. 2024, arXiv 2407.04491: coslog4).
    """

    def __init__(self, cycles: int = 4):
        super().__init__()
        if check_positive("cycles", cycles) > 64:
            raise ValueError(f"cycles is {cycles!r}, expected a whole number from 1 to 64")
        self.cycles = cycles

    def factor(self, step: int) -> float:
        done = min(step / self.total_steps, 1.0)
        return (1 - math.cos(2 * math.pi * math.log2(1 + (2**self.cycles - 1) * done))) / 2

    def ends(self, total: int) -> tuple[int, ...]:
        """At which of so many steps, or epochs, each wave has ended."""
        return tuple(math.ceil(total * (2**wave - 1) / (2**self.cycles - 1)) for wave in range(1, self.cycles + 1))


class FlatCosine(Schedule):
    """factor = 1 for the share ``flat`` of all steps, then floor + (1 - floor) (1 + cos(pi u)) / 2, u from 0 to 1.

    RealMLP drives dropout and weight decay by it (flat_cos, arXiv 2407.04491); FlatCosine(0.6, 1e-5) is its
    flat_anneal.
    """

    def __init__(self, flat: float = 0.5, floor: float = 0.0):
        super().__init__()
        self.flat, self.floor = check_fraction("flat", flat), check_fraction("floor", floor, closed=True)

    def factor(self, step: int) -> float:
        done = min(step / self.total_steps, 1.0)
        return _half_cosine(1.0, self.floor, max(done - self.flat, 0.0) / (1 - self.flat))


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
        last, peak = self.total_steps - 1, self.pct_start * self.total_steps - 1  # the peak may be between two steps
        if step < peak:
            return _half_cosine(1 / self.div, 1.0, step / peak)
        return _half_cosine(1.0, 1 / self.final_div, (step - peak) / (last - peak) if step < last else 1.0)


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


class LinearWarmup(Schedule):
    """factor = (step + 1) / (steps + 1) for the first steps, then 1; with ``after``, then that schedule's factor.

    ``after`` counts steps and epochs from the end of the warm-up.
    """

    def __init__(self, steps: int = 100, after: Schedule | None = None):
        super().__init__()
        self.steps, self.after = check_positive("steps", steps), after
        self._handover: tuple[int, int, int] | None = None  # epoch of the warm-up's end, step in it, steps it has

    def factor(self, step: int) -> float:
        if self.steps >= self._begun:  # else it was noted in an epoch before, which may have had more steps or fewer
            self._handover = self._placed()
        if step < self.steps:
            return (step + 1) / (self.steps + 1)
        if self.after is None:
            return 1.0
        epoch, done, length = self._handover or self._placed()
        self.after.steps_per_epoch = self.steps_per_epoch
        self.after.total_steps = max(self.total_steps - self.steps, 1)
        # An epoch of its own begins as long after the Trainer's as the warm-up ended after the beginning of one.
        shift = -(-done * self.steps_per_epoch // length)
        self.after._epoch, self.after._begun = self._epoch - epoch, self._begun + shift - self.steps
        return self.after.factor(step - self.steps)

    def _placed(self) -> tuple[int, int, int]:
        """The warm-up's end, if all epochs had as many steps as this one."""
        epochs, done = divmod(self.steps - self._begun, self.steps_per_epoch)
        return self._epoch + epochs, done, self.steps_per_epoch

    def epoch_ended(self, loss: float) -> None:
        if self.after is not None:
            self.after.epoch_ended(loss)

    def state_dict(self) -> dict[str, Any]:
        after = self.after.state_dict() if self.after is not None else None
        return super().state_dict() | {"after": after, "handover": self._handover}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if (handover := state.get("handover")) is None:  # as before states had it
            self._handover = None
        else:
            epoch, done, length = handover
            self._handover = check_whole("epoch", epoch), check_whole("step", done), check_positive("steps", length)
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
        best, waited = float(state["best"]), check_whole("waited", state["waited"])
        self.best, self.waited, self.current = best, waited, check_fraction("current", state["current"], closed=True)


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": StepDecay,
    "exponential": Exponential,
    "cosine": Cosine,
    "coslog": CosLog,
    "flat_cosine": FlatCosine,
    "one_cycle": OneCycle,
    "warmup": LinearWarmup,
    "plateau": ReduceOnPlateau,
}
