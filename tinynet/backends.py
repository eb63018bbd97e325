"""Which backend runs the kernels: a process default, overridden in a ``with`` block."""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import Any

import kernels
from kernels import Backend

BackendLike = str | Backend

_default: list[Backend | None] = [None]
_override: ContextVar[Backend | None] = ContextVar("tinynet_backend", default=None)
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
    if override is not None:
        return override
    default = _default[0]
    if default is None:
        try:
            default = resolve("numba")
        except kernels.BackendUnavailable:
            default = resolve("numpy")
        _default[0] = default
    return default


class running_on:
    """``with running_on(backend)``: the backend holds in the block and its thread; None keeps the one in force."""

    def __init__(self, backend: BackendLike | None):
        self.backend = resolve(backend)

    def __enter__(self) -> Backend:
        self._token = _override.set(self.backend)
        return self.backend

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _override.reset(self._token)


class use_backend(running_on):
    """``use_backend("numba")`` sets the process default; as a context manager it holds in its block and thread only."""

    def __init__(self, backend: BackendLike):
        super().__init__(backend)
        self._before = _default[0]
        _default[0] = self.backend

    def __enter__(self) -> Backend:
        _default[0] = self._before
        return super().__enter__()
