"""A training step as a program: recorded kernel calls, passes over them, and what runs them."""

from ..contract.backend import Backend
from .instruction import BACKWARD, FORWARD, OPTIMIZER, PARTS, Buffer, Instruction, View
from .interpreter import Interpreter, Runner
from .passes import PASSES, optimise
from .profile import Profile, Row, profile
from .program import Program
from .recording import Tape, difference, flag, recorder, recording, refuse, within
from .timings import Timings


def prepare(program: Program, backend: Backend) -> Runner:
    """What runs a program on a backend: the backend's own executor, else the interpreter."""
    if backend.executor is not None:
        runner: Runner = backend.executor(program)
        return runner
    return Interpreter(program, backend)


__all__ = [
    "BACKWARD", "FORWARD", "OPTIMIZER", "PARTS", "PASSES", "Buffer", "Instruction", "Interpreter", "Profile",
    "Program", "Row", "Runner", "Tape", "Timings", "View", "difference", "flag",
    "optimise", "prepare", "profile", "recorder",
    "recording", "refuse", "within",
]  # fmt: skip
