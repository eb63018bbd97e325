"""Which learning rate suits a net and its data: a short run at rates that grow from step to step.

The range test of Smith 2015 (arXiv 1506.01186): while the rate is too small the loss hardly falls, then it falls, and
where the rate is too large it rises.
"""

from __future__ import annotations

import copy
import math
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .checks import check_above_0, check_positive
from .nn import CrossEntropyLoss, Module
from .nn.losses import MODULES
from .optim import Adam
from .plots import check_picture, require_matplotlib
from .plots.style import new_figure, style, write_picture
from .schedule import Schedule
from .training.stepping import NonFiniteLoss
from .training.trainer import Trainer

SMOOTHING = 0.95  # weight of the losses before, in the running average
DIVERGED = 4.0  # times the smallest: what comes after is not looked at
LEAST_STEPS = 10
BELOW_BEST = 10.0


@dataclass(repr=False)
class RateSearch:
    """What each rate gave. losses: of the steps, one each; smoothed: their running average, without its first bias.

    suggestion: a tenth of the rate at which the smoothed loss was smallest, as fastai's learners suggest: there it
    still falls fast, and further on it is about to rise.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float

    def __repr__(self) -> str:
        return f"RateSearch({len(self.rates)} rates to {self.rates[-1]:.2g}; suggestion {self.suggestion:.2g})"

    def __float__(self) -> float:
        return self.suggestion

    def figure(self) -> Any:
        """The losses over the rates, with the suggestion marked; a figure of matplotlib's."""
        require_matplotlib()
        figure = new_figure(6, 3.4)
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, linewidth=0.6, alpha=0.5, label="each step")
        axes.plot(self.rates, self.smoothed, linewidth=2, label="running average")
        axes.axvline(self.suggestion, linestyle="--", linewidth=1, label=f"suggestion: {self.suggestion:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")  # the style has matplotlib read no mathematics
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.legend()
        return figure

    def plot(self, path: str | Path) -> None:
        """Draws the picture into a file, .png, .svg or .pdf. Needs matplotlib."""
        check_picture("path", Path(path))
        require_matplotlib()
        with style():
            write_picture(self.figure(), Path(path))


class _Sweep(Schedule):
    """lowest * (highest / lowest)**(step / (steps - 1)): of the first group; the others keep their ratio to it."""

    def __init__(self, lowest: float, highest: float, steps: int):
        super().__init__()
        self.lowest, self.highest, self.steps = lowest, highest, steps

    def rate(self, step: int) -> float:
        return float(self.lowest * (self.highest / self.lowest) ** min(1.0, step / (self.steps - 1)))

    def rates(self, step: int) -> list[float]:
        assert self._initial is not None
        first = self._initial[0] or 1.0
        return [self.rate(step) * (initial / first or 1.0) for initial in self._initial]


def find_learning_rate(
    trainer: Trainer | Module,
    X: ArrayLike,
    y: ArrayLike,
    batch_size: int = 32,
    steps: int = 200,
    lowest: float = 1e-6,
    highest: float = 1.0,
    loss_function: Any = None,
) -> RateSearch:
    """Trains some steps at rates from lowest to highest, and says which one suits; all is then as it was before.

    trainer: a Trainer, whose model, loss, optimizer, transforms and backend are used; or a model, which Adam trains.
    loss_function: of a model; by default CrossEntropyLoss for whole numbers in y, else MSELoss. Raises ValueError where
    no rate was tried at which the loss is finite, and what ``Trainer.fit`` raises for data that do not fit.
    """
    check_positive("steps", steps), check_above_0("lowest", lowest), check_above_0("highest", highest)
    if steps < LEAST_STEPS or lowest >= highest:
        raise ValueError(
            f"steps is {steps}, lowest {lowest!r} and highest {highest!r}, expected at least {LEAST_STEPS} steps and "
            f"lowest < highest"
        )
    if isinstance(trainer, Module):
        classes = np.asarray(y).dtype.kind in "iub"
        loss = loss_function or (CrossEntropyLoss() if classes else MODULES["MSELoss"]())
        trainer = Trainer(trainer, loss, Adam(trainer.parameters(), lr=1e-3))
    elif not isinstance(trainer, Trainer):
        raise TypeError(f"trainer is a {type(trainer).__name__}, expected a Trainer or a Module")
    sweep = _Sweep(lowest, highest, steps)
    return _judged(sweep, _losses(trainer, sweep, X, y, batch_size))


def _losses(trainer: Trainer, sweep: _Sweep, X: ArrayLike, y: ArrayLike, batch_size: int) -> list[float]:
    """Those of steps at the sweep's rates, as far as they are finite; weights and averages are then as before."""
    model, optimizer = trainer.model, trainer.optimizer
    weights, averages = model.state_dict(), copy.deepcopy(optimizer.state_dict())
    training = [(module, module.training) for _, module in model.named_modules()]
    trial = Trainer(
        model, trainer.loss_function, optimizer, trainer.backend, trainer.seed, sweep, trainer.clip_norm,
        progress=False, compile=trainer.compile, transforms=copy.deepcopy(trainer._given_transforms),
        precision=trainer.precision,
    )  # fmt: skip
    rows = len(np.asarray(X))
    epochs = math.ceil(sweep.steps / max(1, rows // batch_size))
    try:
        with suppress(NonFiniteLoss), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="training goes on step by step")
            trial.fit(X, y, epochs, batch_size)
    finally:
        model.load_state_dict(weights)
        optimizer.load_state_dict(averages)
        for module, mode in training:
            module.training = mode
    return trial.history.step_loss[: sweep.steps]


def _judged(sweep: _Sweep, losses: list[float]) -> RateSearch:
    smoothed, average = list[float](), 0.0
    for step, loss in enumerate(losses):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING ** (step + 1)))
    least = math.inf
    for stop, loss in enumerate(smoothed):
        least = min(least, loss)
        if loss > DIVERGED * least and stop >= LEAST_STEPS:
            break
    else:
        stop = len(smoothed)
    if stop < LEAST_STEPS:
        raise ValueError(f"lowest is {sweep.lowest:g}, at which the loss is not finite after {stop} steps")
    best = min(range(LEAST_STEPS - 1, stop), key=lambda step: smoothed[step])
    rates = [sweep.rate(step) for step in range(stop)]
    return RateSearch(rates, losses[:stop], smoothed[:stop], max(rates[0], rates[best] / BELOW_BEST))
