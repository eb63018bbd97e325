"""Which backend runs the kernels: a process default, overridden in a ``with`` block."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import kernels
from kernels import Backend

BackendLike = str | Backend

_override: ContextVar[tuple[Backend, ...]] = ContextVar("tinynet_backend", default=())  # of blocks within blocks
_defaults: list[_Default] = []  # the last holds
_loaded: dict[str, Backend] = {}
_with_options: dict[tuple[str, frozenset[tuple[str, Any]]], Backend] = {}


def resolve(backend: BackendLike | None) -> Backend:
    """A name or a loaded backend as a loaded backend; None is the current one.

    Raises ValueError for an unknown name, kernels.BackendUnavailable where it cannot run here.
    """
    if backend is None:
        return current()
    if isinstance(backend, Backend):
        return backend
    if backend not in _loaded:
        _loaded[backend] = kernels.load(backend)
    return _loaded[backend]


def with_options(backend: BackendLike | None, **options: Any) -> Backend:
    """The backend with these options, and for the others those it was loaded with; the same again gives the same one.

    Raises ValueError where it has no such option or does not take the value.
    """
    base = resolve(backend)
    asked = {**base.asked, **options}
    key = base.name, frozenset(asked.items())
    if key not in _with_options:
        _with_options[key] = kernels.load(base.name, **asked)
    return _with_options[key]


def current() -> Backend:
    """The backend in force: that of the innermost ``with use_backend``, else the process default.

    The default is numba, or numpy where Numba is not installed.
    """
    override = _override.get()
    if override:
        return override[-1]
    if _defaults:
        return _defaults[-1].backend
    try:
        found = resolve("numba")
    except kernels.BackendUnavailable:
        found = resolve("numpy")
    _defaults.insert(0, _Default(found, lambda: None))
    return found


class running_on:
    """``with running_on(backend)``: the backend holds in the block and its thread; None keeps the one in force.

    It may be entered again, also within its own block and in other threads.
    """

    def __init__(self, backend: BackendLike | None):
        self.backend = resolve(backend)

    def __enter__(self) -> Backend:
        _override.set((*_override.get(), self.backend))
        return self.backend

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _override.set(_override.get()[:-1])


class use_backend(running_on):
    """``use_backend("numba")`` sets the process default; as a context manager it holds in its block and thread only."""

    def __init__(self, backend: BackendLike):
        super().__init__(backend)
        # Those before one that no block can take back any more are never in force again.
        final = [i for i, default in enumerate(_defaults) if default.setter() is None]
        for default in _defaults[: final[-1] if final else 0]:
            _forget(default)
        self._set = _Default(self.backend, weakref.ref(self))
        _defaults.append(self._set)

    def __enter__(self) -> Backend:
        _forget(self._set)
        return super().__enter__()


class _Default:
    """A backend that was made the process default, and what did so while a block can still take it back."""

    def __init__(self, backend: Backend, setter: Callable[[], use_backend | None]):
        self.backend, self.setter = backend, setter


def _forget(default: _Default) -> None:
    with suppress(ValueError):  # it was before, perhaps by another thread
        _defaults.remove(default)
