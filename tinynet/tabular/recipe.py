"""What a net and its training are for a table: RealMLP-TD-S, shortened, with what depends on rows and noise.

Source of rates, schedule, smoothing and widths' parametrisation: Holzmueller, Grinsztajn, Steinwart 2024, arXiv
2407.04491, table A.1. docs/tables.md has what dropout, epochs and the other parts brought on the development tables of
benchmarks/tables.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_EPOCHS, USUAL_EPOCHS, FEWEST_EPOCHS = 256, 64, 16
FEWEST_STEPS, MOST_STEPS = 1000, 6000
"""Of all epochs together: small tables need more than 64 epochs to learn, and large ones learn enough in fewer."""


@dataclass(frozen=True)
class Recipe:
    """All numbers that decide a member but for its seed."""

    widths: tuple[int, ...]  # of the hidden layers
    outputs: int
    activation: str
    epochs: int
    batch_size: int
    rate: float
    dropout: float
    weight_decay: float
    embed_numbers: bool = True
    ascending: bool = False  # whether the outputs are quantiles, which do not cross


def even_batches(rows: int, wanted: int) -> int:
    """The rows of a batch near the wanted number, such that batches of that size leave out as few rows as can be.

    A smaller last batch would move the weights as far as a whole one, on the word of fewer rows.
    """
    return rows // max(1, round(rows / wanted))


def usual_epochs(steps: int) -> int:
    """How many epochs of so many steps."""
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, FEWEST_STEPS // steps, min(USUAL_EPOCHS, MOST_STEPS // steps)))


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
        int(chosen("max_epochs", usual_epochs(steps))),
        batch,
        float(chosen("learning_rate_init", 0.04 if classes else 0.07)),
        float(estimator.dropout),
        float(estimator.weight_decay),
        bool(estimator.embed_numbers),
        ascending,
    )
