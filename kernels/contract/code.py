"""What a backend that compiles its kernels can show of them."""

from __future__ import annotations

from dataclasses import dataclass

Place = tuple[str, int]
"""File and line."""


@dataclass(frozen=True)
class Code:
    """Machine code that a call runs, as its compiler prints it.

    text: assembly. ``.loc 1 N`` in it means ``places[N]``: the source lines of an instruction, the innermost first.
    triple: of the target, in LLVM's notation. vector_bits: of its widest register. turn: where the shapes of the call
    choose among loops, what a turn of the chosen one does: multiply-adds, counted by lane, and loads.
    """

    name: str
    text: str
    places: tuple[tuple[Place, ...], ...]
    triple: str
    cpu: str
    vector_bits: int
    turn: tuple[int, int] | None = None
    note: str = ""
