"""The net of a member: a scale for each input, then layers in the NTK parametrisation with rates of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import nn
from ..tensor import Array
from .recipe import Recipe

# Factors of the rate, and that all hidden biases are drawn as weights are: RealMLP-TD-S, arXiv 2407.04491, table A.1.
SCALE_FACTOR, BIAS_FACTOR = 6.0, 0.1


@dataclass(frozen=True)
class Layout:
    """The columns of encoded rows: so many numbers, then a code a column, each with its number of codes."""

    dense: int
    codes: tuple[int, ...] = ()


def network(recipe: Recipe, layout: Layout, rng: np.random.Generator) -> nn.Module:
    """A net with the initial weights that rng draws; the last layer's are 0, so that training begins at the mean."""

    def drawn(shape: tuple[int, ...]) -> Array:
        return rng.standard_normal(shape, np.float32)

    modules: list[nn.Module] = []
    width = layout.dense
    if layout.codes:
        inputs = nn.TableInput(layout.dense, layout.codes)
        modules, width = [inputs], inputs.out_features
        for embedding in inputs.embeddings:
            embedding.weight.data[1:] = drawn(embedding.weight.shape)[1:]  # 0 is for levels that are not known
    modules.append(nn.Scale(width, lr_factor=SCALE_FACTOR))
    for units in recipe.widths:
        layer = nn.Linear(
            width, units, parametrisation="ntk", initialiser=drawn, bias_initialiser=drawn, bias_lr_factor=BIAS_FACTOR
        )
        modules += [layer, nn.ACTIVATIONS[recipe.activation]()]
        if recipe.dropout:
            dropout = nn.Dropout(recipe.dropout)
            dropout.seed[...] = rng.integers(1 << 63)
            modules.append(dropout)
        width = units
    modules.append(
        nn.Linear(width, recipe.outputs, parametrisation="ntk", initialiser="zeros", bias_lr_factor=BIAS_FACTOR)
    )
    if recipe.ascending:
        modules.append(nn.Monotone(recipe.outputs))
    return nn.Sequential(*modules)
