"""Some of a source's rows: which, is drawn block by block, so that no list of all rows is kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tinynet.data.sources.parts.part import Array, Name, Part


def chosen_rows(rows: int, share: float, seed: int, block: int) -> Array:
    """bool (rows,): which rows of a block are among a share of all.

    As many as the share says, and with the fraction that is left one more: ``default_rng((seed, block))`` draws which.
    """
    random = np.random.default_rng((seed, block))
    found = np.zeros(rows, bool)
    found[random.permutation(rows)[: int(rows * share + random.random())]] = True
    return found


class Chosen(Part):
    """The rows of a part that are among a share, or those that are not; first: the number of its first block."""

    def __init__(self, part: Part, share: float, seed: int, among: bool, first: int):
        self.part, self.share, self.seed, self.among, self.first = part, share, seed, among, first
        self.name, self.columns = part.name, part.columns
        self.targets = getattr(part, "targets", ())

    @cached_property
    def rows(self) -> Sequence[int]:
        return tuple(int(self._mask(block).sum()) for block in range(len(self.part.rows)))

    def where(self, block: int) -> str:
        return self.part.where(block)

    def check_unchanged(self) -> None:
        self.part.check_unchanged()

    def read_into(self, block: int, features: Sequence[Name], target: Sequence[Name], X: Array, y: Array) -> None:
        rows = self.part.rows[block]
        every = np.empty((rows, X.shape[1]), X.dtype), np.empty((rows, y.shape[1]), y.dtype)
        self.part.read_into(block, features, target, *every)
        mask = self._mask(block)
        X[...], y[...] = every[0][mask], every[1][mask]

    def frame(self, block: int, names: Sequence[Name]) -> Any:
        import polars as pl

        return self.part.frame(block, names).filter(pl.Series(self._mask(block)))

    def _mask(self, block: int) -> Array:
        mask: Array = chosen_rows(self.part.rows[block], self.share, self.seed, self.first + block) == self.among
        return mask
