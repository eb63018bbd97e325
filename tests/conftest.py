"""Fixtures of all tests."""

import pytest
from backends import BACKENDS, loaded

import kernels.numba_backend


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each built-in backend."""
    return loaded(request.param)


@pytest.fixture(autouse=True)
def all_threads(monkeypatch):
    """As many threads as a test asks for, however few CPUs there are: splits and barriers are tested everywhere."""
    monkeypatch.setattr(kernels.numba_backend, "at_once", lambda threads: threads)
