"""What all tests share: the built-in backends, loaded once."""

import pytest

import kernels

BACKENDS = ("naive", "numpy", "numba")
_loaded = {}


def loaded(name: str) -> kernels.Backend:
    if name not in _loaded:
        _loaded[name] = kernels.load(name)
    return _loaded[name]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each built-in backend."""
    return loaded(request.param)
