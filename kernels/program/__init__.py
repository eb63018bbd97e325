"""A training step as a program: recorded kernel calls, passes over them, and what runs them."""

from .instruction import Bound, Buffer, Instruction, Program, View
from .interpreter import Interpreter
from .passes import PASSES, optimise
from .recording import Tape, difference, recorder, recording, taped

__all__ = [
    "PASSES", "Bound", "Buffer", "Instruction", "Interpreter", "Program", "Tape", "View", "difference", "optimise",
    "recorder", "recording", "taped",
]  # fmt: skip
