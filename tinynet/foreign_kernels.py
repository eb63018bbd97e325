"""What is said where another project's package ``kernels`` is imported in place of tinynet's, or is mixed with it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

SENTENCE = (
    "the package 'kernels' at {place} is not tinynet's, or files of both are mixed there: another distribution has "
    "that name too; use a virtual environment without it, or pip uninstall kernels tinynet, then install tinynet again"
)


def place() -> str:
    """Where the package that is found is."""
    spec = find_spec("kernels")
    if spec is None:
        return "an unknown place"
    return str(spec.origin or next(iter(spec.submodule_search_locations or ()), "an unknown place"))


def is_ours() -> bool:
    """Whether its first file says that it is tinynet's; it is read, not run."""
    try:
        return 'PROJECT = "tinynet"' in Path(place()).read_text(encoding="utf-8")
    except OSError:
        return False
