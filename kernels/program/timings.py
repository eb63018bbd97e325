"""What each instruction of a run took."""

from __future__ import annotations

from dataclasses import dataclass

from .instruction import Array


@dataclass(frozen=True)
class Timings:
    """Seconds of a timed run. Arrays have a row for each thread and a column for each instruction of the program.

    step: from step to step, everything included. kernels, waiting: of each instruction, a step on average; a thread
    waits after an instruction until the others have come as far. begins, ends: in the last step, from its first
    instruction on.
    """

    step: float
    kernels: Array
    waiting: Array
    begins: Array
    ends: Array

    @property
    def threads(self) -> int:
        """How many threads ran."""
        return len(self.kernels)
