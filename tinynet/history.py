"""What happened in training: losses, times, learning rates, one entry an epoch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """One entry an epoch in each list; the last epoch may be cut short, which ``samples`` shows.

    seconds: training alone, without compilation and validation. compile_seconds, kernels_compiled: during the run; what
    comes from the cache on disk is not compiled. step_loss: one entry a step.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    compile_seconds: float = 0.0
    kernels_compiled: int = 0
    stopped: str = ""
    """Why training ended before its last epoch: "interrupted", "time limit", a callback's name; empty if it did not."""

    @property
    def steps(self) -> int:
        """Optimizer steps taken."""
        return len(self.step_loss)

    @property
    def samples_per_second(self) -> float:
        """Samples trained on in a second of training."""
        return sum(self.samples) / sum(self.seconds) if sum(self.seconds) else 0.0

    @property
    def monitored(self) -> float:
        """The loss that schedules and early stopping watch: validation if there is one, else training."""
        return (self.validation_loss or self.train_loss)[-1]
