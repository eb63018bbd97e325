"""Robust scale and smooth clip, of columns and of columns known by their counts.

z = (x - centre) factor, then z / sqrt(1 + (z / 3)**2), which is within -3 and 3 (RealMLP: Holzmueller, Grinsztajn,
Steinwart 2024, arXiv 2407.04491, section 3). centre is the median; factor is 1 / (q75 - q25), where the quartiles are
equal 2 / (max - min), and 0 where all values are.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

_QUARTILES = (0.25, 0.5, 0.75)
LARGEST = np.finfo(np.float64).max
SATURATED = 1e9  # z beyond it is clipped to 3 exactly, in float32 and in float64; its square is finite


def robust_scale(block: Array) -> tuple[Array, Array]:
    """centre and factor of each column, float64 of shape (columns,).

    Args:
        block: float64 (rows, columns). NaN is a blank, and counts as the median of the others does. Infinities do not
            count. A column without any number has centre 0 and factor 0.
    """
    rows, columns = block.shape
    finite = np.isfinite(block).all(axis=0)
    centre, factor = np.zeros(columns), np.zeros(columns)
    if rows and finite.any():
        whole = block if finite.all() else block[:, finite]
        with np.errstate(over="ignore", invalid="ignore"):
            low, centre[finite], high = np.quantile(whole, _QUARTILES, axis=0)
        factor[finite] = _factor(low, high, whole.min(axis=0), whole.max(axis=0))
    for column in np.flatnonzero(~finite):
        values = block[:, column]
        numbers, blanks = values[np.isfinite(values)], int(np.isnan(values).sum())
        if numbers.size:
            filled = np.concatenate([numbers, np.full(blanks, np.median(numbers))])
            centres, factors = robust_scale(filled[:, None])
            centre[column], factor[column] = centres[0], factors[0]
    return np.where(np.isfinite(centre), centre, 0.0), factor


def robust_scale_of_counts(values: Array, counts: Array) -> tuple[Array, Array]:
    """centre and factor of columns that hold each of a few values so many times; the same numbers as of the columns.

    Args:
        values: float64 (v,), ascending.
        counts: whole numbers (columns, v); the sums are the numbers of rows, at least 1.
    """
    ends = counts.cumsum(axis=1)
    last = ends[:, -1] - 1

    def quantile(share: float) -> Array:
        place = last * share
        below = np.floor(place)
        lower, upper = (values[(ends <= index[:, None]).sum(axis=1)] for index in (below, np.minimum(below + 1, last)))
        result: Array = lower + (upper - lower) * (place - below)
        return result

    low, centre, high = map(quantile, _QUARTILES)
    there = counts > 0
    least = values[there.argmax(axis=1)]
    most = values[there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)]
    return centre, _factor(low, high, least, most)


def smooth_clip(block: Array, centre: Array, factor: Array) -> Array:
    """z / sqrt(1 + (z / 3)**2) with z = (block - centre) factor, float64; a blank (NaN) becomes 0, an infinity +-3.

    Args:
        block: float64 (rows, columns).
        centre: float64 (columns,).
        factor: likewise.
    """
    with np.errstate(over="ignore"):
        z = block - centre
        np.clip(z, -LARGEST, LARGEST, out=z)  # so that factor 0 gives 0
        z *= factor
    np.clip(z, -SATURATED, SATURATED, out=z)
    root = z / 3
    np.square(root, out=root)
    root += 1
    np.sqrt(root, out=root)
    z /= root
    z[np.isnan(z)] = 0.0
    return z


def _factor(low: Array, high: Array, least: Array, most: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        span = high - low
        span = np.where(span > 0, span, 0.5 * (most - least))
    usable = (span > 0) & np.isfinite(span)
    with np.errstate(over="ignore"):
        factor: Array = np.where(usable, np.minimum(1 / np.where(usable, span, 1.0), LARGEST), 0.0)
    return factor
