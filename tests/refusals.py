"""Files to be refused, and what a refusal must look like."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
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


VALUES = [
    None, -1, 0, 1.5, "x", "1.5", [], {}, [1], {"array": "x"}, {"tuple": [1]}, True, 1 << 80, 10**400, {"again": 0},
    {"nonfinite": "nan"}, {"nonfinite": "inf"}, {"nonfinite": 10**400}, {"dtype": "float32"}, {"objects": [1]},
    {"dict": [[1, 2]]},
]  # fmt: skip


def forge(state: Any, arrays: dict[str, np.ndarray], rng: Random) -> None:
    """Changes or removes one value somewhere in a state, and at times an array."""
    inside = state
    while True:
        key = rng.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        if isinstance(inside[key], dict | list) and inside[key] and rng.random() < 0.8:
            inside = inside[key]
            continue
        inside[key] = rng.choice(VALUES)
        if rng.random() < 0.2:
            del inside[key]
        break
    if arrays and rng.random() < 0.3:
        name = rng.choice(list(arrays))
        arrays[name] = rng.choice([np.zeros(0), np.zeros((2, 3)), np.zeros(arrays[name].shape, np.float16)])
