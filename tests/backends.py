"""The built-in backends, each loaded once a test run."""

import kernels

BACKENDS = ("naive", "numpy", "numba")
_loaded = {}


def loaded(name: str) -> kernels.Backend:
    if name not in _loaded:
        _loaded[name] = kernels.load(name)
    return _loaded[name]
