"""What a step depends on besides its arguments, as it was when the step was recorded.

From the step's function, model, loss and optimizer a walk goes through attributes, containers, closures and the global
names that a user's code mentions. Whatever it meets is compared, mostly by identity: a parameter exchanged, a layer
added, a mode switched, another slope are seen before a program runs in the step's place. What kernels read where it is
kept (weights, averages, hyperparameters, data) may change; that is the point of a program.
"""

from __future__ import annotations

import math
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from functools import cache, partial
from itertools import chain
from operator import attrgetter, is_, methodcaller
from pathlib import Path
from sysconfig import get_paths
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ..nn.module import Module
from ..tensor import Tensor

PLAIN = (bool, int, float, str, tuple, type(None))
"""Types of attributes that are values."""
OURS = frozenset({"tinynet", "kernels"})
INSTALLED = tuple(get_paths()[place] for place in ("stdlib", "platstdlib", "purelib", "platlib"))
MOST_ITEMS = 4096  # of a container: one with more holds data rather than options
SMALL = 64  # bytes of whole numbers, such as dropout's seed, which a step takes as constants
ABSENT = object()

_data, _trained, _writeable = attrgetter("data"), attrgetter("requires_grad"), attrgetter("flags.writeable")
_values = methodcaller("values")


class Snapshot:
    """The state of everything that can be reached from the roots. ``unchanged`` takes some microseconds."""

    def __init__(self, roots: Iterable[Any]):
        self._seen: dict[int, Any] = {}  # what was met, which is kept alive so that no id is used twice
        self._namespaces: list[Any] = []
        self._lists: list[Any] = []
        self._tensors: list[Tensor] = []
        self._arrays: list[Any] = []
        self._seeds: list[Any] = []
        self._cells: list[Any] = []
        self._names: list[tuple[dict[str, Any], str]] = []
        left = [*roots]
        while left:
            left.extend(self._met(left.pop()))
        self._length, self._then, self._bytes = self._lengths(), list(self._now()), self._constants()

    @property
    def unchanged(self) -> bool:
        """Whether all of it is as it was."""
        if self._lengths() != self._length or self._constants() != self._bytes:
            return False
        if all(map(is_, self._now(), self._then)):
            return True
        now = list(self._now())
        if len(now) != len(self._then) or not all(map(_same, now, self._then)):
            return False
        self._then = now  # equal numbers in other objects
        return True

    def _lengths(self) -> int:
        return sum(map(len, self._namespaces)) + sum(map(len, self._lists))

    def _constants(self) -> list[bytes]:
        return [seed.tobytes() for seed in self._seeds]

    def _now(self) -> Iterator[Any]:
        return chain(
            chain.from_iterable(map(_values, self._namespaces)),
            chain.from_iterable(self._lists),
            map(_data, self._tensors),
            map(_trained, self._tensors),
            map(_writeable, map(_data, self._tensors)),
            map(_writeable, self._arrays),
            map(_contents, self._cells),
            (namespace.get(name, ABSENT) for namespace, name in self._names),
        )

    def _met(self, found: Any) -> Iterable[Any]:
        """Notes what was met, and says what can be reached from it."""
        if isinstance(found, bool | int | float | str | bytes | np.generic | None) or id(found) in self._seen:
            return ()
        self._seen[id(found)] = found
        if isinstance(found, Tensor):
            self._tensors.append(found)
            return ()
        if isinstance(found, np.ndarray):
            small = found.dtype.kind in "iub" and found.nbytes <= SMALL
            (self._seeds if small else self._arrays).append(found)
            return ()
        if isinstance(found, list | tuple | set | frozenset):
            return self._container(found, found if isinstance(found, list) else None)
        if isinstance(found, dict):
            return self._namespace(found)
        if isinstance(found, FunctionType):
            return self._function(found)
        if isinstance(found, MethodType):
            return found.__self__, found.__func__
        if isinstance(found, partial):
            return found.func, found.args, found.keywords
        if isinstance(found, property):
            return (found.fget,)
        if isinstance(found, staticmethod | classmethod):
            return (found.__func__,)
        kind: Any = type(found)
        if isinstance(found, type | ModuleType) or not hasattr(found, "__dict__") or not _watched(kind):
            return ()
        classes = [c for c in kind.__mro__ if _users(c.__module__)]
        return *self._namespace(vars(found)), *(v for c in classes for v in self._namespace(vars(c)))

    def _container(self, found: Any, mutable: list[Any] | None) -> Iterable[Any]:
        if len(found) > MOST_ITEMS:
            return ()
        if mutable is not None:
            self._lists.append(mutable)
        return tuple(found)

    def _namespace(self, found: Any) -> Iterable[Any]:
        if len(found) > MOST_ITEMS:
            return ()
        self._namespaces.append(found)
        return tuple(found.values())

    def _function(self, found: FunctionType) -> Iterator[Any]:
        """A user's function: its defaults, what it closes over, and the global names that it mentions."""
        if not _users(found.__module__ or ""):
            return
        yield found.__defaults__
        yield found.__kwdefaults__
        for cell in found.__closure__ or ():
            self._cells.append(cell)
            yield _contents(cell)
        names = tuple(_mentioned(found.__code__))
        for name in names:
            if name in found.__globals__:
                yield from self._global(found.__globals__, name, names)

    def _global(self, namespace: dict[str, Any], name: str, names: tuple[str, ...]) -> Iterator[Any]:
        value = namespace[name]
        self._names.append((namespace, name))
        if isinstance(value, ModuleType) and _users(value.__name__):
            for attribute in names:
                if attribute in vars(value):
                    self._names.append((vars(value), attribute))
                    yield vars(value)[attribute]
        else:
            yield value


def runs_only_ours(roots: Iterable[Any]) -> bool:
    """Whether what is called here, and all modules in it, are tinynet's own."""
    parts: list[Any] = []
    for root in roots:
        parts += [module for _, module in root.named_modules()] if isinstance(root, Module) else [root]
    return all(type(part).__module__.partition(".")[0] in OURS for part in parts)


@cache
def _users(module: str) -> bool:
    """Whether a module is a user's own: neither tinynet's nor one that was installed."""
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    if top in OURS or top in sys.stdlib_module_names - {"__main__"} or top in sys.builtin_module_names:
        return False
    return file is None or not any(Path(file).is_relative_to(folder) for folder in INSTALLED)


@cache
def _watched(kind: Any) -> bool:
    """Whether an object's attributes may be options of a step: what is ours and not a run's, and what a user wrote."""
    ours = kind.__module__.partition(".")[0] == "tinynet" and getattr(kind, "decides_steps", True)
    return (
        issubclass(kind, Module | Namespace | SimpleNamespace)
        or ours
        or any(_users(c.__module__) for c in kind.__mro__)
    )


@cache
def _mentioned(code: CodeType) -> frozenset[str]:
    """The names that a function's code, and that of functions within it, looks up."""
    inner = (_mentioned(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return frozenset(code.co_names).union(*inner)


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return ABSENT


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
