"""What can be reached from a step: the walk that finds what may decide what it does.

Of what is tinynet's own all attributes count. Of a user's objects, classes and modules those count that some code which
was met mentions by name: a list of losses that a class keeps beside its step is none of the step's business. Code that
looks attributes up by names which it makes (``getattr``, ``vars``) counts as mentioning all of them.
"""

from __future__ import annotations

import sys
from abc import ABC
from argparse import Namespace
from array import array as plain_array
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dis import get_instructions
from functools import cache, cached_property, partial, partialmethod
from pathlib import Path
from sysconfig import get_paths
from types import (
    BuiltinMethodType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, Generic, Protocol
from weakref import ReferenceType

import numpy as np

from ..nn.module import Module
from ..tensor import Array, Tensor

OURS = frozenset({"tinynet", "kernels"})
INSTALLED = tuple(get_paths()[place] for place in ("stdlib", "platstdlib", "purelib", "platlib"))
# Of a container: one with more holds data rather than options. A compromise: it is looked through before each replay.
MOST_ITEMS = 4096
ABSENT = object()
VALUES = (bool, int, float, complex, str, bytes, np.generic, type(None), CodeType)
OPTIONS = (Module, Namespace, SimpleNamespace, ChainMap, UserDict, UserList)  # whose attributes all count
DYNAMIC = frozenset(("getattr", "hasattr", "vars", "__dict__", "attrgetter", "methodcaller", "eval", "exec", "asdict",
    "astuple", "fields", "dir", "__getattribute__", "model_dump", "getattr_static", "getmembers"))  # fmt: skip
"""Names with which code looks up names that it does not mention."""
LOOKUPS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME", "IMPORT_FROM"))
MAKING = frozenset(("__init__", "__new__", "__post_init__"))  # what runs where an object is made
NOTHING = frozenset(("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__qualname__", "__repr__",
    "__firstlineno__", "__static_attributes__", "__init_subclass__", "__abstractmethods__", "_abc_impl"))  # fmt: skip
"""Of a class, what decides no step."""


class Reached:
    """Everything that was met, by how its state is read."""

    def __init__(self, roots: Iterable[Any]):
        self.seen: dict[Any, Any] = {}
        self.namespaces: list[Any] = []  # whose values count
        self.dicts: list[Any] = []  # whose keys count as well
        self.lists: list[Any] = []
        self.sets: list[Any] = []
        self.buffers: list[Any] = []  # bytes that Python code reads
        self.tensors: list[tuple[Tensor, bool]] = []  # and whether a user's code holds them
        self.arrays: list[tuple[Array, bool]] = []
        self.objects: list[Any] = []  # whose classes count
        self.functions: list[FunctionType] = []
        self.cells: list[Any] = []
        self.getters: list[Any] = []
        self._mentions: set[str] = set()
        self._places: dict[int, tuple[Any, set[str]]] = {}  # namespaces of which some names count
        self._lazy: dict[int, Any] = {}  # namespaces of objects, classes and modules that wait for being mentioned
        self._spaces: dict[Any, Any] = {}  # of classes
        left = [(root, True) for root in roots]
        while left:
            while left:
                found, users = left.pop()
                left += ((value, users and not _ours(found)) for value in self._met(found, users))
            left = [(value, True) for value in self._waited()]
        self.picked = [(space, sorted(names)) for space, names in self._places.values() if names]
        waiting = [space for space in self._lazy.values() if "__spec__" not in space]  # a module has no other layers
        none = {names: frozenset(self._mentions.difference(names)) for names in map(tuple, waiting)}
        self.absent = [(none[tuple(space)], space) for space in waiting]
        self.whole = [*self.namespaces, *self.lists, *(waiting if self._looks_up else ())]  # whose lengths count

    def _met(self, found: Any, users: bool) -> Iterable[Any]:
        """Notes what was met, and says what can be reached from it."""
        if isinstance(found, VALUES) or id(found) in self.seen:
            return ()
        self.seen[id(found)] = found
        if isinstance(found, Tensor):
            self.tensors.append((found, users))
            return ()
        if isinstance(found, np.ndarray):
            self.arrays.append((found, users))
            return ()
        if isinstance(found, bytearray | plain_array):
            self.buffers.append(memoryview(found))
            return ()
        if isinstance(found, tuple | list | deque | set | frozenset | dict | MappingProxyType):
            return (*self._container(found), *self._object(found))
        if isinstance(found, FunctionType):
            return self._function(found)
        if isinstance(found, ModuleType):
            if _users(found.__name__):
                self._lazy[id(vars(found))] = vars(found)
            return ()
        if isinstance(found, type):
            return self._classes(found.__mro__, True)
        inner = next((parts for kind, parts in INNER.items() if isinstance(found, kind)), None)
        if isinstance(found, ContextVar):
            self.getters.append(partial(found.get, ABSENT))
            return (found.get(ABSENT),)
        return self._object(found) if inner is None else inner(found)

    def _container(self, found: Any) -> Iterable[Any]:
        if len(found) > MOST_ITEMS:
            return ()
        if isinstance(found, list | deque):
            self.lists.append(found)
        elif isinstance(found, set):
            self.sets.append(found)
        elif isinstance(found, dict | MappingProxyType):
            self.namespaces.append(found)
            self.dicts.append(found)
            return (*found, *found.values())
        return tuple(found)

    def _function(self, found: FunctionType) -> Iterator[Any]:
        """A user's function: its defaults, what it closes over, and the names that it mentions."""
        if not _users(found.__module__ or ""):
            return
        self.functions.append(found)
        yield from (found.__defaults__, found.__kwdefaults__, found.__dict__)
        for cell in found.__closure__ or ():
            self.cells.append(cell)
            yield contents(cell)
        space, (names, of_module) = found.__globals__, _mentioned(found.__code__)
        self._mentions |= names
        yield from self._pick(space, of_module)
        package = space.get("__package__") or ""
        for name in of_module:  # what it may import
            for full in (name, f"{package}.{name}"):
                if isinstance(sys.modules.get(full), ModuleType):
                    yield sys.modules[full]

    def _pick(self, space: Any, names: Iterable[str]) -> Iterator[Any]:
        """Values of those names in a namespace that are there and not yet noted, which they are then."""
        _, noted = self._places.setdefault(id(space), (space, set()))
        for name in names:
            if name not in noted and name in space:
                noted.add(name)
                yield space[name]

    def _waited(self) -> list[Any]:
        """What has been mentioned by now of all that waits for it."""
        found = list[Any]()
        for space in self._lazy.values():
            found += self._pick(space, {*space} - NOTHING - MAKING if self._looks_up else self._mentions)
        return found

    @property
    def _looks_up(self) -> bool:
        """Whether some code looks names up that it does not mention."""
        return not DYNAMIC.isdisjoint(self._mentions)

    def _object(self, found: Any) -> Iterator[Any]:
        """An object's attributes, and its class's."""
        kind = type(found)
        users = [each for each in kind.__mro__ if _users(each.__module__)]
        decides = getattr(kind, "decides_steps", True)
        if not users and not ((_ours(found) and decides) or isinstance(found, OPTIONS)):
            yield getattr(found, "__wrapped__", None) if _ours(found) else None
            return
        whole = decides and not {*kind.__mro__}.issubset({*users, object, ABC, Generic, Protocol})
        self.objects.append(found)
        if users:
            yield from self._classes(users, False, whole)
            members = [m for c in users for m in vars(c).values() if isinstance(m, MemberDescriptorType)]
            for get in [partial(_member, found, member) for member in members]:
                self.getters.append(get)
                yield get()
        attributes = getattr(found, "__dict__", None)
        if not isinstance(attributes, dict) or len(attributes) > MOST_ITEMS:
            return
        self.seen[id(attributes)] = attributes
        if whole:
            self.namespaces.append(attributes)
            yield from attributes.values()
        else:
            self._lazy[id(attributes)] = attributes

    def _classes(self, classes: Iterable[Any], made: bool, whole: bool = False) -> Iterator[Any]:
        """Users' classes: special methods, and what is mentioned. made: also what runs where an object is made."""
        for each in classes:
            if (each, made, whole) in self.seen or not _users(each.__module__):
                continue
            self.seen[each, made, whole] = each
            space = self._spaces.setdefault(each, vars(each))
            if whole:
                self.namespaces.append(space)
                yield from space.values()
                continue
            special = {name for name in space if name[:2] == "__" == name[-2:]} - NOTHING
            yield from self._pick(space, special if made else special - MAKING)
            self._lazy[id(space)] = space
            if type(each) is not type:
                yield type(each)


def runs_only_ours(roots: Iterable[Any]) -> bool:
    """Whether what is called here, and all modules in it, are tinynet's own."""
    parts: list[Any] = []
    for root in roots:
        parts += [module for _, module in root.named_modules()] if isinstance(root, Module) else [root]
    return all(type(part).__module__.partition(".")[0] in OURS for part in parts)


def contents(cell: Any) -> Any:
    """What a closure's variable is."""
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return ABSENT


def _member(found: Any, member: Any) -> Any:
    """What an object holds in a slot."""
    try:
        return member.__get__(found)
    except AttributeError:
        return ABSENT


def _ours(found: Any) -> bool:
    """Whether an object is of a class of tinynet's."""
    return type(found).__module__.partition(".")[0] in OURS


@cache
def _users(module: str) -> bool:
    """Whether a module is a user's own: neither tinynet's nor one that was installed."""
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(module), "__file__", None)
    if top in OURS or top in sys.stdlib_module_names - {"__main__"} or top in sys.builtin_module_names:
        return False
    return file is None or not any(Path(file).is_relative_to(folder) for folder in INSTALLED)


@cache
def _mentioned(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The names that a function's code looks up, with its strings, and those of globals and imports alone.

    Functions within it included.
    """
    names, of_module, left = set(code.co_names), set[str](), [*code.co_consts]
    for instruction in get_instructions(code):
        if instruction.opname in LOOKUPS:
            of_module.add(instruction.argval)
    while left:
        constant = left.pop()
        if isinstance(constant, CodeType):
            inner = _mentioned(constant)
            names, of_module = names | inner[0], of_module | inner[1]
        elif isinstance(constant, str):
            names.add(constant)
        elif isinstance(constant, tuple | frozenset):
            left += constant
    return frozenset(names), frozenset(of_module)


INNER: dict[Any, Callable[[Any], tuple[Any, ...]]] = {
    MethodType: lambda found: (found.__self__, found.__func__),
    BuiltinMethodType: lambda found: (found.__self__,),
    partial: lambda found: (found.func, found.args, found.keywords),
    partialmethod: lambda found: (found.func, found.args, found.keywords),
    property: lambda found: (found.fget,),
    cached_property: lambda found: (found.func,),
    staticmethod: lambda found: (found.__func__,),
    classmethod: lambda found: (found.__func__,),
    type(cache(len)): lambda found: (found.__wrapped__,),
    ReferenceType: lambda found: (found(),),
    type({}.keys()): lambda found: (found.mapping,),
    type({}.values()): lambda found: (found.mapping,),
    type({}.items()): lambda found: (found.mapping,),
}
"""What is reached through objects of Python's own."""
