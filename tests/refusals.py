"""Files to be refused, and what a refusal must look like."""

from collections.abc import Callable
from pathlib import Path
from random import Random

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


def mutated(content: bytes, rng: Random) -> bytes:
    """A file's content with one to three changes: bytes, lengths, pieces; in its first 9 as often as in its header."""
    data = bytearray(content)
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(rng.choice([9, header, max(len(data), 1)]))
        kind = rng.randrange(6)
        if kind == 0:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            data[place : place + 1] = bytes([rng.choice(b'0123456789-,:"[]{}eE. \t')])
        elif kind == 2:
            del data[place:]
        elif kind == 3:
            del data[place : place + rng.randint(1, 16)]
        elif kind == 4:
            data[place:place] = data[place : place + rng.randint(1, 64)]
        else:
            data[:8] = rng.choice([rng.randrange(1 << 63), rng.randrange(1 << 20), len(data)]).to_bytes(8, "little")
    return bytes(data)
