"""What makes two steps alike, and the programs of steps that were recorded, for those that are like them.

A step of tinynet's own code is a function of its arguments and of what its snapshot sees. Two steps whose snapshots
are the same but for which objects and which arrays of numbers they met, in the same order, therefore make the same
calls on arrays that correspond: what was recorded and optimised for one serves the other, with its arrays in place.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from kernels import Backend
from kernels.program import PERSISTENT, Buffer, Program, View, address, extent, on_memory, owner, without_memory
from kernels.program.interpreter import persistent
from kernels.program.recent import Recent

from ..tensor import Array
from .snapshot import Snapshot

VALUES = (int, str, bytes, type(None), CodeType)  # which a step cannot tell apart if they are equal, and of one type
LASTING = (type, ModuleType, FunctionType)  # which are what they are by identity


class _Place(NamedTuple):
    """An array, as a part of one of the owners. offset: in bytes from the owner's first."""

    owner: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    def array(self, owners: list[Array]) -> Array:
        """The array that is there in others' memory."""
        whole = owners[self.owner]
        buffer = Buffer(PERSISTENT, self.owner, whole.nbytes)
        return persistent(View(buffer, self.offset, self.shape, self.strides, np.dtype(self.dtype)), whole)


Read = Sequence[tuple[Array, bytes]]


class _Unlike(Exception):
    """A step that is like no other."""


class _Owners:
    """The arrays that own the memory of others, numbered as they are met."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self.numbers: dict[int, int] = {}

    def place(self, array: Array) -> _Place:
        """Where an array is, in an owner that may be new."""
        whole = owner(array)
        number = self.numbers.setdefault(id(whole), len(self.arrays))
        if number == len(self.arrays):
            self.arrays.append(whole)
        return _Place(number, address(array) - extent(whole)[0], array.shape, array.strides, array.dtype.str)

    @property
    def overlap(self) -> bool:
        """Whether some memory has several owners."""
        extents = sorted(map(extent, self.arrays))
        return any(end > start for (_, end), (start, _) in itertools.pairwise(extents))


def _form(snapshot: Snapshot, owners: _Owners) -> Hashable | None:
    """What the snapshot has in common with those of steps that are alike; None where a user's code is part of it."""
    found = snapshot.found
    if found.functions or found.cells or found.getters or found.picked or found.absent or found.buffers:
        return None
    numbers = {key: place for place, key in enumerate(found.seen)}

    def token(value: Any) -> Hashable:
        kind = type(value)
        if kind is np.ndarray:
            return owners.place(value)
        if kind is float:
            return kind, value.hex()  # 0.0 and -0.0 are equal
        if kind is int and value in numbers:  # kept by an object's id
            return _Place, numbers[value]
        if kind is tuple:
            return tuple(map(token, value))
        if isinstance(value, VALUES):
            return kind, value
        if isinstance(value, np.generic):
            return kind, value.tobytes()
        if id(value) in numbers:
            return numbers[id(value)]
        if isinstance(value, LASTING) and not getattr(value, "__closure__", None):
            return value
        raise _Unlike

    try:
        key = (
            tuple(map(token, snapshot.state)),
            tuple(tuple(map(token, space)) for space in found.namespaces),
            tuple(map(len, found.whole)),
            tuple(frozenset(map(token, each)) for each in found.sets),
            tuple(map(owners.place, snapshot.arrays)),
            tuple(map(owners.place, snapshot.constants)),
            tuple(snapshot.held),
        )
    except _Unlike:
        return None
    return None if owners.overlap else key


class _Known(NamedTuple):
    """A program without memory.

    owners: of its persistent buffers, by their numbers; constants: read-only arrays that all such programs share; read:
    numbers taken by value.
    """

    program: Program
    owners: dict[int, int]
    constants: dict[int, Array]
    read: list[tuple[_Place, bytes]]


_known = Recent[_Known]()


class Alike:
    """A step as it is now, and the programs of steps that are alike.

    roots: where the walk for what the step depends on begins. kind: what besides the form decides which program runs,
    such as the shapes of arguments and the passes left out.
    """

    def __init__(self, roots: Collection[Any]):
        self.snapshot, self._owners = Snapshot(roots), _Owners()
        self._form = _form(self.snapshot, self._owners)

    def recalled(self, kind: Hashable, backend: Backend) -> Program | None:
        """The optimised program of a step that was alike, on this one's arrays, if one has been kept."""
        found = None if self._form is None else _known.get(backend, (kind, self._form))
        if found is None:
            return None
        arrays = self._owners.arrays
        read = [(place.array(arrays), value) for place, value in found.read]
        if any(array.tobytes() != value for array, value in read):
            return None
        self.snapshot.read += read
        own = {number: arrays[place] for number, place in found.owners.items()}
        return on_memory(found.program, found.constants | own)

    def tells(self, recorded: Program, read: Read) -> bool:
        """Whether the form tells all of a program that was just recorded: its memory is what was there before.

        read: numbers that the step took from arrays by value, and what they were.
        """
        if self._form is None or not self.snapshot.unchanged:
            return False
        _, elsewhere = self._memory(recorded)
        # What a step of tinynet's own finds elsewhere are a backend's constants, which its code asks for by value.
        return not any(array.flags.writeable for array in elsewhere.values()) and all(
            id(owner(array)) in self._owners.numbers for array, _ in read
        )

    def keep(self, kind: Hashable, backend: Backend, recorded: Program, read: Read, optimised: Program) -> None:
        """Keeps the program of this step, which holds, for those that are alike."""
        owners, elsewhere = self._memory(recorded)
        places = [(self._owners.place(array), value) for array, value in read]
        _known.keep(backend, (kind, self._form), _Known(without_memory(optimised), owners, elsewhere, places))

    def _memory(self, recorded: Program) -> tuple[dict[int, int], dict[int, Array]]:
        """The owners of persistent buffers, by the buffers' numbers, and arrays that are elsewhere."""
        numbers, owners, elsewhere = self._owners.numbers, dict[int, int](), dict[int, Array]()
        for buffer, array in recorded.memory.items():
            if buffer.kind == PERSISTENT and id(array) in numbers:
                owners[buffer.number] = numbers[id(array)]
            elif buffer.kind == PERSISTENT:
                elsewhere[buffer.number] = array
        return owners, elsewhere
