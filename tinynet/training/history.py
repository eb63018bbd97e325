"""What happened in training: losses, times, learning rates, one entry an epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kernels.markup import paragraph

from .curves import svg

NOT_FINITE = "the loss was not finite"


@dataclass(repr=False)
class History:
    """One entry an epoch in each list; the last epoch may be cut short, which ``samples`` shows.

    seconds: training alone, without compilation and validation; waiting_seconds of them, a source's rows were waited
    for, as they were read more slowly than they were learned from. compile_seconds, kernels_compiled: during the run;
    what comes from the cache on disk is not compiled. step_loss, step_learning_rate: one entry a step. metrics: by
    name, one entry an epoch. Where a run goes on in the middle of an epoch (``continues``), the first train_loss is
    that of the whole epoch; seconds and samples are the run's own.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    step_learning_rate: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    compile_seconds: float = 0.0
    kernels_compiled: int = 0
    waiting_seconds: float = 0.0
    continues: bool = False
    stopped: str = ""
    """Why training ended before its last epoch; empty if it did not.

    "interrupted", "time limit", NOT_FINITE, or a callback's name."""

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return len(self.step_loss)

    def followed_by(self, other: History) -> History:
        """Both runs as one; an epoch that the other one finished has one entry."""
        shared = 1 if other.continues and self.train_loss and other.train_loss else 0
        kept = len(self.train_loss) - shared

        def joined(before: list[Any], after: list[Any]) -> list[Any]:
            both = [one + two for one, two in zip(before[kept:], after[:shared], strict=True)]
            return [*before[:kept], *both, *after[shared:]]

        return History(
            train_loss=self.train_loss[:kept] + other.train_loss,
            validation_loss=self.validation_loss + other.validation_loss,
            seconds=joined(self.seconds, other.seconds),
            samples=joined(self.samples, other.samples),
            learning_rate=self.learning_rate + other.learning_rate[shared:],
            step_loss=self.step_loss + other.step_loss,
            step_learning_rate=self.step_learning_rate + other.step_learning_rate,
            metrics={
                name: self.metrics.get(name, []) + other.metrics.get(name, [])
                for name in (self.metrics | other.metrics)
            },
            compile_seconds=self.compile_seconds + other.compile_seconds,
            kernels_compiled=self.kernels_compiled + other.kernels_compiled,
            waiting_seconds=self.waiting_seconds + other.waiting_seconds,
            continues=self.continues,
            stopped=other.stopped,
        )

    def __repr__(self) -> str:
        """A line: what there is of each epoch and step is in the lists."""
        epochs = len(self.train_loss)
        said = [f"{epochs} epoch{'s' * (epochs != 1)}, {self.steps} step{'s' * (self.steps != 1)}"]
        for name in ("train_loss", "validation_loss"):
            losses = getattr(self, name)
            if losses:
                first = f"{losses[0]:.4g} -> " if len(losses) > 1 else ""
                said.append(f"{name} {first}{losses[-1]:.4g}")
        said += [f"{name} {values[-1]:.4g}" for name, values in self.metrics.items()]
        if self.seconds:
            said.append(f"{sum(self.seconds):.3g} s, {self.samples_per_second:,.0f} samples/s")
        said += [f"stopped: {self.stopped}"] if self.stopped else []
        return f"History({'; '.join(said)})"

    def _repr_html_(self) -> str:
        """The losses' and the metrics' curves, as a notebook shows them."""
        losses = {"training loss": self.train_loss, "validation loss": self.validation_loss}
        pictures = [svg(losses), *(svg({name: values}) for name, values in self.metrics.items())]
        return paragraph(repr(self)) + "".join(f'<div style="display:inline-block">{p}</div>' for p in pictures if p)

    @property
    def samples_per_second(self) -> float:
        """Samples trained on in a second of training."""
        return sum(self.samples) / sum(self.seconds) if sum(self.seconds) else 0.0

    @property
    def monitored(self) -> float:
        """The loss that schedules and early stopping watch: validation if there is one, else training."""
        return (self.validation_loss or self.train_loss)[-1]
