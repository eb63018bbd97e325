"""Files written so that nothing is lost: to a temporary file beside the target, synced, then renamed. Their names."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path


def printable(name: str) -> str:
    """The text with U+FFFD for what no encoding can write: bytes of a file's name that are not UTF-8 (PEP 383)."""
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", name)


def check_writable(name: str, path: Path) -> None:
    """Raises OSError unless a file could be written at path."""
    folder = path.parent
    if path.is_dir():
        raise IsADirectoryError(f"{name} is {str(path)!r}, which is a folder, expected a file name")
    if not folder.is_dir():
        raise FileNotFoundError(f"{name} is {str(path)!r}, but the folder {str(folder)!r} does not exist")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise PermissionError(f"{name} is {str(path)!r}, which cannot be written")


def write_atomically(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all, even if the machine stops in the middle; umask says who may read it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
