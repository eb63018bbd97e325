"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinynet.files import check_writable, write_atomically


class BadOption(Exception):
    """The message is one sentence."""


def words(text: str) -> list[str]:
    """The parts of a list written with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def check_output(option: str, path: Path | None) -> None:
    """BadOption where the file could not be written, before anything is measured."""
    if path is None:
        return
    if not path.absolute().parent.is_dir():
        raise BadOption(f"--{option} got {str(path)!r}, whose folder does not exist")
    try:
        check_writable(f"--{option}", path)
    except (OSError, ValueError) as error:
        raise BadOption(str(error)) from None


def write_json(path: Path, document: dict[str, Any]) -> None:
    """The report as a file."""
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
