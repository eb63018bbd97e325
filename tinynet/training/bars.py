"""The progress bar of a fit: on a terminal and in a notebook, nowhere else."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this process."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


def progress_bar(samples: int) -> Any:
    """tqdm's: in a notebook the one of widgets where ipywidgets is installed, else the line of text below the cell."""
    options = {"total": samples, "unit": " samples", "unit_scale": True}
    if in_notebook() and find_spec("ipywidgets"):
        from tqdm.notebook import tqdm as widget

        return widget(**options)
    from tqdm import tqdm

    return tqdm(**options, disable=False if in_notebook() else None)  # None: only on a terminal
