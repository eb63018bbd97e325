"""Finds backends by name and loads them, built in or registered by other packages."""

from __future__ import annotations

import importlib
import inspect
from functools import partial
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from .contract import DECLARATIONS, Backend
from .locks import Awaited
from .spelling import did_you_mean

ENTRY_POINTS = "tinynet.backends"
BUILT_IN = {
    "naive": "kernels.naive",
    "numpy": "kernels.numpy_backend",
    "numba": "kernels.numba_backend",
}
importing = Awaited()  # a module that is half imported stays so in a forked child, which waits for it for ever


class BackendUnavailable(ImportError):
    """A known backend whose dependencies are not installed; the message says how to install them."""


def names() -> list[str]:
    """Names that ``load`` knows: the built-in backends, slowest first, then those of the entry-point group."""
    registered = sorted(point.name for point in entry_points(group=ENTRY_POINTS))
    return [*BUILT_IN, *(name for name in registered if name not in BUILT_IN)]


def available() -> list[str]:
    """Names whose backends can be loaded here."""
    found = []
    for name in names():
        try:
            load(name)
        except BackendUnavailable:
            continue
        found.append(name)
    return found


def load(name: str, **options: Any) -> Backend:
    """The backend of that name.

    options: what the backend takes, such as ``threads=`` and ``simd_width=`` of numba, and for any of them
    ``fused=False``: its fused kernels are left out, and their compositions run. Raises ValueError for an unknown name
    or option, BackendUnavailable where a dependency is missing, TypeError for a module that breaks the contract.
    """
    backend = from_module(_module(name), name, **options)
    backend.reload = partial(load, name, **options)
    return backend


def from_module(module: Any, name: str, fused: bool = True, **options: Any) -> Backend:
    """A backend from a module, or any object, whose functions are named as the contract's kernels.

    The module may define ``create(**options)``, which returns the keyword arguments of ``Backend`` as a dict; where it
    does not, its functions are the kernels and it takes no options.
    """
    create = getattr(module, "create", None)
    accepted = list(inspect.signature(create).parameters) if create else []
    for option, value in options.items():
        if option not in accepted:
            takes = f"expected one of {', '.join(accepted)}" if accepted else "it takes no options"
            raise ValueError(f"backend {name!r} has no option {option!r} (got {value!r}); {takes}")
    if create:
        backend = Backend(name, **create(**options))
        backend.asked = dict(options)
    else:
        backend = Backend(name, {kernel: getattr(module, kernel) for kernel in DECLARATIONS if hasattr(module, kernel)})
    return backend if fused else backend.unfused()


def _module(name: str) -> ModuleType | Any:
    if not isinstance(name, str):
        raise TypeError(f"backend is a {type(name).__name__}, expected a name such as 'numpy' or a loaded backend")
    if name in BUILT_IN:
        try:
            with importing:
                return importlib.import_module(BUILT_IN[name])
        except ImportError as error:
            if error.name and error.name.partition(".")[0] == "kernels":
                raise
            missing = error.name or name
            raise BackendUnavailable(
                f"backend {name!r} needs {missing}, which cannot be imported ({error}): pip install {missing}"
            ) from error
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            return point.load()
    raise ValueError(f"unknown backend {name!r}: {did_you_mean(name, names())}")
