"""Initial weights. Each returns a new float32 array; weights are (in, out), so fan_in = in and fan_out = out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..randomness import generator
from ..tensor import Array

Shape = tuple[int, ...]


def _fans(shape: Shape) -> tuple[int, int]:
    return shape[0], shape[-1]


def _gain_he(negative_slope: float) -> float:
    return math.sqrt(2 / (1 + negative_slope**2))


def zeros(shape: Shape) -> Array:
    """0 everywhere."""
    return np.zeros(shape, np.float32)


def ones(shape: Shape) -> Array:
    """1 everywhere."""
    return np.ones(shape, np.float32)


def uniform(shape: Shape, low: float = 0.0, high: float = 1.0) -> Array:
    """Uniform in [low, high)."""
    return generator().uniform(low, high, shape).astype(np.float32)


def normal(shape: Shape, mean: float = 0.0, std: float = 1.0) -> Array:
    """Normal with that mean and standard deviation."""
    return generator().normal(mean, std, shape).astype(np.float32)


def he_uniform(shape: Shape, negative_slope: float = 0.0) -> Array:
    """Uniform in [-b, b], b = gain sqrt(3 / fan_in), gain = sqrt(2 / (1 + slope**2)).

    He et al. 2015, arXiv 1502.01852.
    """
    bound = _gain_he(negative_slope) * math.sqrt(3 / max(_fans(shape)[0], 1))
    return uniform(shape, -bound, bound)


def he_normal(shape: Shape, negative_slope: float = 0.0) -> Array:
    """Normal with standard deviation gain / sqrt(fan_in) (He et al. 2015)."""
    return normal(shape, 0.0, _gain_he(negative_slope) / math.sqrt(max(_fans(shape)[0], 1)))


def glorot_uniform(shape: Shape, gain: float = 1.0) -> Array:
    """Uniform in [-b, b], b = gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6 / max(sum(_fans(shape)), 1))
    return uniform(shape, -bound, bound)


def glorot_normal(shape: Shape, gain: float = 1.0) -> Array:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    return normal(shape, 0.0, gain * math.sqrt(2 / max(sum(_fans(shape)), 1)))


INITIALISERS: dict[str, Any] = {
    "zeros": zeros,
    "ones": ones,
    "uniform": uniform,
    "normal": normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "glorot_uniform": glorot_uniform,
    "glorot_normal": glorot_normal,
}


def bias_from_data(products: Array, points: int = 5) -> Array:
    """b_j = -sum_k a_k z_kj, z_kj products of column j in rows drawn at random, a uniform on the simplex.

    products: (rows, units), what a layer's weights make of data. Then each unit's kink, where z_j + b_j = 0, is within
    the data (Steinwart 2019, arXiv 1903.11482, he+5 where points is 5, as RealMLP-TD has it). Returns (units,).
    """
    rows, units = products.shape
    drawn, shares = generator().integers(0, rows, (points, units)), generator().exponential(size=(points, units))
    chosen = products[drawn, range(units)].astype(np.float64)
    found: Array = -(chosen * (shares / shares.sum(axis=0))).sum(axis=0)
    return found.astype(products.dtype)
