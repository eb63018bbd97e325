"""What a network gives for rows from which nothing is learned."""

from __future__ import annotations

import numpy as np

from ..nn import Module
from ..tensor import Array, Tensor, no_grad

# Rows a batch where nothing is learned: many for a product, and a layer of 2,048 takes 32 MiB of float32.
EVALUATION_ROWS = 4096


def outputs(model: Module, X: Array) -> Array:
    """The outputs for all rows, in evaluation mode, a batch at a time."""
    model.eval()
    with no_grad():
        parts = [model(Tensor(X[i : i + EVALUATION_ROWS])).numpy() for i in range(0, len(X), EVALUATION_ROWS)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
