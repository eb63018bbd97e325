"""What a module would hold without training it: refused, since silence would leave it at its first values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor

SUSPECT = frozenset((Tensor, list, tuple, dict, set))


def refuse_untrained(module: Any, name: str, value: Any, trained: tuple[type, ...]) -> None:
    """Refuses an attribute that holds what should be trained where no one finds it.

    That is a Tensor with requires_grad=True that is no Parameter, but not a result that is kept to be looked at, and
    modules or parameters (``trained``: their types) in a plain collection, unless they are the module's children.
    """
    place = f"{type(module).__name__}.{name}"
    if isinstance(value, Tensor):
        if value.requires_grad and value._rule is None:
            raise TypeError(
                f"{place} is a Tensor with requires_grad=True, which no optimizer would find: expected an nn.Parameter "
                f"to be trained, or requires_grad=False"
            )
        return
    found = [item for item in _items(value) if isinstance(item, trained)]
    known = {id(child) for _, child in module.children()} if found else ()
    for item in found:
        if id(item) not in known:
            kind = type(value).__name__
            if isinstance(item, Tensor):
                remedy = "expected each as an attribute of its own, self.w0 = nn.Parameter(...)"
            else:
                remedy = f"expected nn.{'ModuleDict' if kind == 'dict' else 'ModuleList'}({kind})"
            raise TypeError(
                f"{place} is a {kind} with a {type(item).__name__} in it, which would not be trained: {remedy}"
            )


def _items(value: Any) -> Iterable[Any]:
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, list | tuple | dict | set):
            yield from _items(item)
        else:
            yield item
