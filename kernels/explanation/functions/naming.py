"""A function and its arguments as the command line names them: ``module:function`` and an expression."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ...spelling import did_you_mean

EXAMPLES = "example_arguments"
"""A module may have a dictionary of this name: a tuple of arguments for each function's name."""


def named_function(name: str, expressions: str | None) -> tuple[Any, tuple[Any, ...]]:
    """The function that ``module:function`` or ``path.py:function`` names, and its arguments.

    expressions: Python, evaluated with the module's names and NumPy as ``np``; without it the module's
    ``example_arguments[function]``, or none. Raises ValueError for what is not there or fails.
    """
    place, _, wanted = name.rpartition(":")
    module = named_module(place)
    function: Any = module
    for part in wanted.split("."):
        if not hasattr(function, part):
            there = [n for n in vars(module) if not n.startswith("_")]
            raise ValueError(f"{place} has no function {wanted!r}: {did_you_mean(wanted, there)}")
        function = getattr(function, part)
    if expressions is None:
        return function, tuple(getattr(module, EXAMPLES, {}).get(wanted, ()))
    import numpy as np

    try:
        values = eval(f"({expressions},)" if expressions.strip() else "()", {**vars(module), "np": np})
    except Exception as error:
        raise ValueError(
            f"--arguments is {expressions!r}, expected Python such as 'np.ones(1000), 3.0': {error}"
        ) from error
    return function, values


def named_module(place: str) -> ModuleType:
    """A module by its import path, from the working directory too, or by its file. Raises ValueError in a sentence."""
    path = Path(place)
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(path.stem, path)
            if spec is None or spec.loader is None or not path.exists():
                raise ValueError(f"there is no file {place}")
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(path.stem, module)
            spec.loader.exec_module(module)
            return module
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        return importlib.import_module(place)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"module {place or '(none)'} cannot be imported: {type(error).__name__}: {error}") from error
