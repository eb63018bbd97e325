"""A training step as a program: recorded kernel calls, passes over them, and what runs them."""

from ..contract.backend import Backend
from .instruction import ARGUMENT, BACKWARD, FORWARD, OPTIMIZER, PARTS, PERSISTENT, Buffer, Instruction, View
from .interpreter import Interpreter, Runner
from .known import on_memory, optimised, without_memory
from .passes import PASSES, optimise
from .profile import Profile, Row, profile
from .program import Program
from .recording import (
    Tape,
    address,
    difference,
    extent,
    flag,
    owner,
    read_by_value,
    recorder,
    recording,
    refuse,
    taping,
    within,
)
from .timings import Timings


def prepare(program: Program, backend: Backend) -> Runner:
    """What runs a program on a backend: the backend's own executor, else the interpreter."""
    if backend.executor is not None:
        runner: Runner = backend.executor(program)
        return runner
    return Interpreter(program, backend)


__all__ = [
    "ARGUMENT", "BACKWARD", "FORWARD", "OPTIMIZER", "PARTS", "PASSES", "PERSISTENT", "Buffer", "Instruction",
    "Interpreter", "Profile", "Program", "Row", "Runner", "Tape", "Timings", "View", "address", "difference", "extent",
    "flag", "on_memory", "optimise", "optimised", "owner", "prepare", "profile", "read_by_value", "recorder",
    "recording", "refuse", "taping", "within", "without_memory",
]  # fmt: skip
