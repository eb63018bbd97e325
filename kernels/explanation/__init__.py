"""Explains what a kernel's call runs: the loop it spends its time in, disassembled, counted, and in one sentence."""

from .explain import explain, explain_call
from .loop import Line, Loop
from .mix import Mix
from .operands import DEFAULTS
from .report import Explanation, Part

__all__ = ["DEFAULTS", "Explanation", "Line", "Loop", "Mix", "Part", "explain", "explain_call"]
