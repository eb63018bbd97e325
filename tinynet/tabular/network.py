"""The net of a member: embedded columns, a scale for each, then layers in the NTK parametrisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ..randomness import drawing_from
from ..tables import TableEncoder
from .recipe import Recipe

# Factors of the rate, and that all hidden biases are drawn as weights are: RealMLP-TD-S, arXiv 2407.04491, table A.1.
SCALE_FACTOR, BIAS_FACTOR = 6.0, 0.1
FREQUENCIES, UNITS = 8, 4  # of each number's embedding: as good as RealMLP-TD's 16 and 4 on the development tables


@dataclass(frozen=True)
class Layout:
    """The columns of encoded rows: dense ones, of which the first hold numbers, then so many codes a column."""

    dense: int
    numbers: int
    codes: tuple[int, ...] = ()

    @classmethod
    def of(cls, encoder: TableEncoder) -> Layout:
        """That of what a fitted encoder puts out."""
        return cls(encoder.n_dense_, encoder.n_numbers_, tuple(codes for _, codes in encoder.codes_))


def network(recipe: Recipe, layout: Layout, seed: int) -> nn.Module:
    """A net with the initial weights of a seed; the last layer's are 0, so that training begins at the mean."""
    with drawing_from(np.random.default_rng(seed)):
        embedded = nn.PBLD(layout.numbers, FREQUENCIES, UNITS) if layout.numbers and recipe.embed_numbers else None
        inputs = nn.TableInput(layout.dense, layout.codes, numeric=embedded)
        width = inputs.out_features
        modules: list[nn.Module] = [inputs, nn.Scale(width, lr_factor=SCALE_FACTOR)]
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
