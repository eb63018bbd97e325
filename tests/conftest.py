"""Fixtures of all tests, and what holds for each."""

import signal

import pytest
from backends import BACKENDS, loaded

import kernels.numba_backend
from kernels.numba_backend.runtime import thread_choice

# A shell has what it starts in the background ignore Ctrl-C, and so would all that the tests start; a handler that is
# set is not handed on, so they begin with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each built-in backend."""
    return loaded(request.param)


@pytest.fixture
def always_all():
    """Programs run on all threads, whatever they learn about them."""
    with thread_choice.always_all():
        yield


@pytest.fixture(autouse=True)
def all_threads(monkeypatch):
    """As many threads as a test asks for, however few CPUs there are: splits and barriers are tested everywhere."""
    monkeypatch.setattr(kernels.numba_backend, "at_once", lambda threads: threads)
