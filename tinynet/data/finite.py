"""Numbers in the dtype that they are trained in, all of them finite there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

Array = np.ndarray[Any, Any]


def finite_in(name: str, values: ArrayLike, dtype: DTypeLike) -> Array:
    """The values in a dtype, C-contiguous. Refuses NaN, infinity, and what becomes infinite in that dtype."""
    given = np.asarray(values)
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(given, dtype)
    if np.isfinite(found).all():
        return found
    place = tuple(np.argwhere(~np.isfinite(found))[0])
    where = ", ".join(f"{axis} {index}" for axis, index in zip(("row", "column"), place, strict=False))
    holds = f"{name} holds {given[place]} in {where}, expected"
    if np.isfinite(given[place]):
        raise ValueError(f"{holds} numbers that are finite in {found.dtype}, up to {np.finfo(found.dtype).max:g}")
    raise ValueError(f"{holds} finite numbers")
