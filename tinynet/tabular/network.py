"""The net of a member: a scale for each input, then layers in the NTK parametrisation with rates of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from .losses import Ascending
from .recipe import Recipe


@dataclass(frozen=True)
class Layout:
    """The columns of encoded rows: so many numbers, then a code a column, each with its number of codes."""

    dense: int
    codes: tuple[int, ...] = ()


def network(recipe: Recipe, layout: Layout, rng: np.random.Generator) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The layers, and the optimizer's groups: their rates, as factors of the recipe's."""
    raise NotImplementedError
