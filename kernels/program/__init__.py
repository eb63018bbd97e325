"""A training step as a program: recorded kernel calls, passes over them, and what runs them."""

from ..contract.backend import Backend
from .instruction import Bound, Buffer, Instruction, Program, View
from .interpreter import Interpreter, Runner
from .passes import PASSES, optimise
from .recording import Tape, difference, recorder, recording, refuse


def prepare(program: Program, backend: Backend) -> Runner:
    """What runs a program on a backend: the backend's own executor, else the interpreter."""
    if backend.executor is not None:
        runner: Runner = backend.executor(program)
        return runner
    return Interpreter(program, backend)


__all__ = [
    "PASSES", "Bound", "Buffer", "Instruction", "Interpreter", "Program", "Runner", "Tape", "View", "difference",
    "optimise", "prepare", "recorder", "recording", "refuse",
]  # fmt: skip
