"""What a step depends on besides its arguments, as it was when the step was recorded.

From the step's function, model, loss and optimizer a walk goes through attributes, containers, closures and the names
that a user's code mentions (``reachable``). Whatever it meets is compared, mostly by identity: a parameter exchanged, a
layer added, a mode switched, another slope are seen before a program runs in the step's place. What kernels read where
it is kept (weights, averages, hyperparameters, data) may change; that is the point of a program.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter, eq, is_, itemgetter, methodcaller
from types import MethodType
from typing import Any

import numpy as np

from kernels.program import extent

from ..tensor import Array
from .reachable import Reached, contents

PLAIN = (bool, int, float, str, tuple, type(None))
"""Types of attributes that are values."""
SMALL = 64  # bytes of whole numbers, such as dropout's seed, which a step takes as constants
# Of a user's array that no kernel reads where it is: its numbers are constants of the step. A compromise, as they are
# compared before each replay.
MOST_BYTES = 4096

_data, _trained, _writeable = attrgetter("data"), attrgetter("requires_grad"), attrgetter("flags.writeable")
_bytes = methodcaller("tobytes")
_FUNCTION = tuple(map(attrgetter, ("__code__", "__defaults__", "__kwdefaults__")))


class Snapshot:
    """The state of everything that can be reached from the roots. ``unchanged`` takes some microseconds.

    memory: where kernels read and write what outlives the step, as addresses of first bytes and of those after the
    last. read: numbers that the step took from arrays by value, and what they were.
    """

    def __init__(
        self,
        roots: Iterable[Any],
        memory: Collection[tuple[int, int]] = (),
        read: Sequence[tuple[Array, bytes]] = (),
    ):
        found = self.found = Reached(roots)  # which keeps all of it alive, so that no id is used twice
        constants, self.arrays = list[Any](found.buffers), list[Array]()
        for array, users in found.arrays:
            (constants if _by_value(array, users, memory) else self.arrays).append(array)
        for tensor, users in found.tensors:
            if users and not tensor.requires_grad and _by_value(tensor.data, users, memory):
                constants.append(tensor.data)
        self.tensors = [tensor for tensor, _ in found.tensors]
        self.constants, self.held = constants, [*map(_bytes, constants)]
        self.read = list(read)
        self._picks = [(itemgetter(*names, names[0]), space) for space, names in found.picked]
        self._values = [space.values() for space in found.namespaces]  # which show what there is at any time
        self._keys, self._sets = [*map(tuple, found.dicts)], [*map(frozenset, found.sets)]
        self._sizes = self._lengths()
        self.state = list(self._now())

    @property
    def unchanged(self) -> bool:
        """Whether all of it is as it was."""
        found = self.found
        if self._lengths() != self._sizes or [*map(_bytes, self.constants)] != self.held:
            return False
        if any(array.tobytes() != value for array, value in self.read):
            return False
        if not all(map(eq, map(tuple, found.dicts), self._keys)) or not all(map(eq, found.sets, self._sets)):
            return False
        if found.absent and not all(names.isdisjoint(space) for names, space in found.absent):
            return False
        try:
            if all(map(is_, self._now(), self.state)):
                return True
            now = list(self._now())
        except KeyError:  # a name is gone
            return False
        if len(now) != len(self.state) or not all(map(_same, now, self.state)):
            return False
        self.state = now  # equal numbers in other objects
        return True

    def _lengths(self) -> list[int]:
        return [*map(len, self.found.whole)]

    def _now(self) -> Iterator[Any]:
        found = self.found
        return chain(
            chain.from_iterable(self._values),
            chain.from_iterable(found.lists),
            chain.from_iterable([pick(space) for pick, space in self._picks]),
            map(_data, self.tensors),
            map(_trained, self.tensors),
            map(_writeable, map(_data, self.tensors)),
            map(_writeable, self.arrays),
            map(contents, found.cells),
            map(type, found.objects),
            *(map(part, found.functions) for part in _FUNCTION),
            (value() for value in found.getters),
        )


def _by_value(array: Array, users: bool, memory: Collection[tuple[int, int]]) -> bool:
    """Whether a step takes an array's numbers as constants, as far as one can tell."""
    if array.dtype.kind in "iub" and array.nbytes <= SMALL:
        return True
    if not users or not 0 < array.nbytes <= MOST_BYTES or array.dtype.hasobject:
        return False
    low, high = extent(array)
    return not any(start < high and low < end for start, end in memory)


def _same(now: Any, then: Any) -> bool:
    """Whether two objects are one, or values of one type that a step cannot tell apart; -0.0 is not 0.0."""
    if now is then:
        return True
    if type(now) is not type(then):
        return False
    if isinstance(now, float | np.floating):
        return math.copysign(1, now) == math.copysign(1, then) and (now == then or (now != now and then != then))
    if isinstance(now, tuple):
        return len(now) == len(then) and all(map(_same, now, then))
    if isinstance(now, MethodType):
        return now.__self__ is then.__self__ and now.__func__ is then.__func__
    return isinstance(now, int | str | bytes | np.integer) and bool(now == then)
