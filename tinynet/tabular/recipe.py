"""What a net and its training are for a table: RealMLP-TD-S, shortened, with what depends on rows and noise.

Source of rates, schedule, smoothing and widths' parametrisation: Holzmueller, Grinsztajn, Steinwart 2024, arXiv
2407.04491, table A.1. Epochs and widths were chosen on the development tables of benchmarks/tables.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_EPOCHS, FEWEST_EPOCHS = 256, 16
STEPS = 6000  # of all epochs together, where there are rows for that many in between


@dataclass(frozen=True)
class Recipe:
    """All numbers that decide a member but for its seed."""

    widths: tuple[int, ...]  # of the hidden layers
    outputs: int
    activation: str
    epochs: int
    batch_size: int
    rate: float
    label_smoothing: float
    dropout: float
    weight_decay: float
    ascending: bool = False  # whether the outputs are quantiles, which do not cross


def even_batches(rows: int, wanted: int) -> int:
    """The rows of a batch near the wanted number, such that batches of that size leave out as few rows as can be.

    A smaller last batch would move the weights as far as a whole one, on the word of fewer rows.
    """
    return rows // max(1, round(rows / wanted))


def recipe(estimator: Any, rows: int, outputs: int, classes: bool, ascending: bool) -> Recipe:
    """For so many rows to learn from, and the estimator's parameters where they are not None."""
    sizes = estimator.hidden_layer_sizes
    batch = even_batches(rows, estimator.batch_size)
    steps = max(1, rows // batch)

    def chosen(name: str, otherwise: Any) -> Any:
        given = getattr(estimator, name)
        return otherwise if given is None else given

    return Recipe(
        tuple(int(width) for width in (sizes if hasattr(sizes, "__iter__") else (sizes,))),
        outputs,
        chosen("activation", "selu" if classes else "mish"),
        int(chosen("max_epochs", min(MOST_EPOCHS, max(FEWEST_EPOCHS, STEPS // steps)))),
        batch,
        float(chosen("learning_rate_init", 0.04 if classes else 0.07)),
        0.1 if classes else 0.0,
        float(chosen("dropout", 0.0)),
        float(chosen("weight_decay", 0.0)),
        ascending,
    )
