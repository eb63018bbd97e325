"""What was worked out for a backend and may be wanted again: the least recently used is forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from ..contract.backend import Backend
from ..locks import lock

# Programs kept a backend: some kilobytes each. A grid search has two of each architecture, for whole batches and for
# what is left over.
MOST = 128

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key, for each backend on its own, for as long as it lives. Any thread may ask."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Backend, OrderedDict[Hashable, Value]] = WeakKeyDictionary()
        self._turn = lock()

    def get(self, backend: Backend, key: Hashable) -> Value | None:
        """What was kept, which is then the most recently used."""
        with self._turn:
            known = self._known.get(backend)
            if known is None or key not in known:
                return None
            known.move_to_end(key)
            return known[key]

    def keep(self, backend: Backend, key: Hashable, value: Value) -> None:
        with self._turn:
            known = self._known.setdefault(backend, OrderedDict())
            known[key] = value
            known.move_to_end(key)
            if len(known) > MOST:
                known.popitem(last=False)
