"""All kernels of the machine, by name, and how the contract's become calls of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ...contract import DECLARATIONS
from . import elementwise, losses, normalisation, optimizers, products, reductions, rows, watches
from .entry import PART, Arrangement, Entry, Split, straight

ENTRIES: dict[str, Entry] = {
    **{name: Entry(build, Split(PART, -1, ("ij",) * 4)) for name, build in elementwise.BUILDERS.items()},
    **products.ENTRIES,
    **reductions.ENTRIES,
    **rows.ENTRIES,
    **losses.ENTRIES,
    **normalisation.ENTRIES,
    **optimizers.ENTRIES,
    **watches.ENTRIES,
}


@cache
def arrangements() -> dict[str, Callable[..., Arrangement]]:
    """How the arguments of each kernel of the contract become a machine kernel's operands."""
    named = {name: entry.arrange or straight(name) for name, entry in ENTRIES.items() if name in DECLARATIONS}
    return named | products.ARRANGEMENTS | reductions.ARRANGEMENTS | rows.ARRANGEMENTS
