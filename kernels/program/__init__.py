"""A training step as a program: recorded kernel calls, passes over them, and what runs them."""

from ..contract.backend import Backend
from .instruction import ARGUMENT, BACKWARD, FORWARD, OPTIMIZER, PARTS, PERSISTENT, Buffer, Instruction, View
from .interpreter import Interpreter, Runner
from .known import optimised, recalled
from .passes import PASSES, optimise
from .profile import Profile, Row, profile
from .program import Program
from .recording import Tape, difference, extent, flag, read_by_value, recorder, recording, refuse, taping, within
from .timings import Timings


def prepare(program: Program, backend: Backend) -> Runner:
    """What runs a program on a backend: the backend's own executor, else the interpreter."""
    if backend.executor is not None:
        runner: Runner = backend.executor(program)
        return runner
    return Interpreter(program, backend)


__all__ = [
    "ARGUMENT", "BACKWARD", "FORWARD", "OPTIMIZER", "PARTS", "PASSES", "PERSISTENT", "Buffer", "Instruction",
    "Interpreter", "Profile", "Program", "Row", "Runner", "Tape", "Timings", "View", "difference", "extent", "flag",
    "optimise", "optimised", "prepare", "profile", "read_by_value", "recalled", "recorder", "recording", "refuse",
    "taping", "within",
]  # fmt: skip
