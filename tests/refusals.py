"""Files to be refused, and what a refusal must look like."""

from collections.abc import Callable
from pathlib import Path

import pytest


def said(call: Callable[[], object], kind: type[Exception] = ValueError) -> str:
    """The message of the error that `call` must raise; one sentence, on one line."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def written(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    """A file in `folder` with this content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
