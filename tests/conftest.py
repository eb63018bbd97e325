"""Fixtures of all tests."""

import pytest
from backends import BACKENDS, loaded


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Each built-in backend."""
    return loaded(request.param)
