"""Warnings that point to the user's line."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import kernels

OURS = tuple(str(Path(str(file)).parent) + os.sep for file in (__file__, kernels.__file__))


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the line, outside of tinynet and of kernels, from which tinynet was called."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
