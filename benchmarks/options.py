"""What the benchmarks' command lines have in common."""

from __future__ import annotations


class BadOption(Exception):
    """The message is one sentence."""


def words(text: str) -> list[str]:
    """The parts of a list written with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]
