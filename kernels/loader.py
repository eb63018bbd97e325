"""Finds backends by name and loads them, built in or registered by other packages."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
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
    """A known backend that cannot be loaded; where dependencies are not installed, the message says how to."""


def names() -> list[str]:
    """Names that ``load`` knows: the built-in backends, slowest first, then those of the entry-point group."""
    registered = sorted({point.name for point in entry_points(group=ENTRY_POINTS)})
    return [*BUILT_IN, *(name for name in registered if name not in BUILT_IN)]


def attempts() -> Iterator[tuple[str, Backend | Exception]]:
    """Each name with its backend, or with why it cannot be loaded: one that is broken takes no other along."""
    for name in names():
        found: Backend | Exception
        try:
            found = load(name)
        except BackendUnavailable as error:
            found = error
        except (TypeError, ValueError) as error:  # another package's breaks the contract
            if name in BUILT_IN:
                raise
            found = error
        yield name, found


def available() -> list[str]:
    """Names whose backends can be loaded here."""
    return [name for name, found in attempts() if isinstance(found, Backend)]


def load(name: str, **options: Any) -> Backend:
    """The backend of that name.

    options: what the backend takes, such as ``threads=`` and ``simd_width=`` of numba, and for any of them
    ``fused=False``: its fused kernels are left out, and their compositions run. Raises ValueError for an unknown name
    or option, BackendUnavailable where a dependency is missing or another package's module raises anything else,
    TypeError for a module that breaks the contract.
    """
    module = _module(name)
    try:
        backend = from_module(module, name, **options)
    except (TypeError, ValueError, BackendUnavailable):
        raise
    except Exception as error:
        if name in BUILT_IN:
            raise
        raise BackendUnavailable(f"backend {name!r} cannot be made: {_in_a_line(error)}") from error
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
        except (ImportError, OSError) as error:  # OSError: LLVM's library is damaged
            missing = getattr(error, "name", None) or name
            if missing.partition(".")[0] == "kernels":
                raise
            raise BackendUnavailable(
                f"backend {name!r} needs {missing}, which cannot be imported ({error}): pip install {missing}"
            ) from error
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            try:
                return point.load()
            except (Exception, SystemExit) as error:
                raise BackendUnavailable(
                    f"backend {name!r} cannot be imported from {point.value}: {_in_a_line(error)}"
                ) from error
    raise ValueError(f"unknown backend {name!r}: {did_you_mean(name, names())}")


def _in_a_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
