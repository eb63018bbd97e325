"""The net of a member: a scale for each input, then layers in the NTK parametrisation with rates of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ..randomness import drawing_from
from .recipe import Recipe

# Factors of the rate, and that all hidden biases are drawn as weights are: RealMLP-TD-S, arXiv 2407.04491, table A.1.
SCALE_FACTOR, BIAS_FACTOR = 6.0, 0.1


@dataclass(frozen=True)
class Layout:
    """The columns of encoded rows: so many numbers, then a code a column, each with its number of codes."""

    dense: int
    codes: tuple[int, ...] = ()


def network(recipe: Recipe, layout: Layout, seed: int) -> nn.Module:
    """A net with the initial weights of a seed; the last layer's are 0, so that training begins at the mean."""
    with drawing_from(np.random.default_rng(seed)):
        modules: list[nn.Module] = []
        width = layout.dense
        if layout.codes:
            inputs = nn.TableInput(layout.dense, layout.codes)
            modules, width = [inputs], inputs.out_features
        modules.append(nn.Scale(width, lr_factor=SCALE_FACTOR))
        for units in recipe.widths:
            modules += [_linear(width, units, bias_initialiser="normal"), nn.ACTIVATIONS[recipe.activation]()]
            if recipe.dropout:
                modules.append(nn.Dropout(recipe.dropout))
            width = units
        modules.append(_linear(width, recipe.outputs, initialiser="zeros"))
        if recipe.ascending:
            modules.append(nn.Monotone(recipe.outputs))
        return nn.Sequential(*modules)


def _linear(inputs: int, outputs: int, **initialisers: Any) -> nn.Module:
    return nn.Linear(inputs, outputs, parametrisation="ntk", bias_lr_factor=BIAS_FACTOR, **initialisers)
