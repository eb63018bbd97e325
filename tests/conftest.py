"""Fixtures of all tests, and what holds for each."""

import signal

import pytest
from backends import BACKENDS, loaded

# A shell has what it starts in the background ignore Ctrl-C, and so would all that the tests start; a handler that is
# set is not handed on, so they begin with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each built-in backend."""
    return loaded(request.param)
