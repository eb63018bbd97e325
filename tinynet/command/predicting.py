"""``tinynet predict``."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """To come."""
    raise NotImplementedError
