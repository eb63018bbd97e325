"""The training problem that every contender solves: layer widths, data, initial weights, and the exact losses.

A multilayer perceptron with widths n_0, ..., n_L maps x to z = a_{L-1} W_L + b_L with a_0 = x and
a_l = max(0, a_{l-1} W_l + b_l). Its loss is the mean softmax cross-entropy; Adam (Kingma and Ba 2014) updates it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LEARNING_RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
SEED = 0
CHECKED_EPOCHS, CHECKED_STEPS = 2, 4  # so many epochs of so many steps, before anything is timed
TOLERANCE = 1e-4  # relative, of the mean loss of each of these epochs; after more steps rounding itself grows
BFLOAT16_TOLERANCE = 2.0**-6  # the same, where products' factors, or activations, are of 8 bits


@dataclass(frozen=True)
class Size:
    """A network, its batch, and the rows of its data."""

    name: str
    widths: tuple[int, ...]
    batch: int
    rows: int

    @property
    def steps(self) -> int:
        """Of one epoch. Rows that would not fill a batch are left out, so that all steps are alike."""
        return self.rows // self.batch

    @property
    def checked(self) -> Size:
        """The same network with the few rows on which contenders are checked."""
        return replace(self, rows=CHECKED_STEPS * self.batch)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(in, out) of each layer's weights."""
        return list(itertools.pairwise(self.widths))

    @property
    def parameters(self) -> int:
        """How many weights and biases."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.shapes)

    @property
    def flops(self) -> int:
        """2 b (3 sum_l n_{l-1} n_l - n_0 n_1): the products of a step of b rows.

        Three products a layer, each of b n_{l-1} n_l multiply-adds: the output, the weights' gradient and the input's
        gradient, which the first layer does not need. Activations, loss and optimizer are not counted.
        """
        products = [inputs * outputs for inputs, outputs in self.shapes]
        return 2 * self.batch * (3 * sum(products) - products[0])

    @property
    def label(self) -> str:
        """As 64-128-64-10, batch 32."""
        return f"{'-'.join(map(str, self.widths))}, batch {self.batch}"

    def as_json(self) -> dict[str, Any]:
        """The fields, from which ``Size(**fields)`` makes the same size."""
        return asdict(self)


SIZES = {
    size.name: size
    for size in (
        Size("tiny", (4, 16, 3), 16, 150),
        Size("small32", (64, 128, 64, 10), 32, 1797),
        Size("small256", (64, 128, 64, 10), 256, 1797),
        Size("medium", (784, 512, 256, 10), 128, 12_800),
        Size("large", (784, 2048, 2048, 10), 512, 5_120),
    )
}


class Problem:
    """The data and the initial weights of a size; the same in every process."""

    def __init__(self, size: Size):
        self.size = size
        rng = np.random.default_rng(SEED)
        rows = size.steps * size.batch
        # Small, as 1e-3 is a large step for each weight of a wide layer: losses should not overshoot.
        self.features: Array = np.float32(0.25) * rng.standard_normal((rows, size.widths[0]), np.float32)
        teacher = rng.standard_normal((size.widths[0], size.widths[-1]), np.float32)
        self.labels: Array = np.argmax(self.features @ teacher, axis=1)
        self.weights = [
            rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / shape[0])) for shape in size.shapes
        ]
        self.biases = [0.1 * rng.standard_normal(outputs, np.float32) for _, outputs in size.shapes]

    def order(self, epoch: int) -> Array:
        """The rows in the order in which an epoch visits them, as the Trainer draws it."""
        return np.random.default_rng((SEED, epoch)).permutation(len(self.features))

    @cached_property
    def expected(self) -> list[float]:
        """The mean losses of the checked epochs, in float64 and by the formulas, without a thought for speed."""
        weights = [w.astype(np.float64) for w in self.weights]
        biases = [b.astype(np.float64) for b in self.biases]
        optimizer = _Adam([*weights, *biases])
        means = []
        for epoch in range(CHECKED_EPOCHS):
            losses = []
            for rows in self.order(epoch).reshape(-1, self.size.batch):
                loss, gradients = _loss_and_gradients(self.features[rows], self.labels[rows], weights, biases)
                optimizer.step(gradients)
                losses.append(loss)
            means.append(float(np.mean(losses)))
        return means

    def wrong(self, losses: list[float], tolerance: float = TOLERANCE) -> str | None:
        """What is wrong with a contender's losses of the checked epochs, or None."""
        for epoch, (loss, exact) in enumerate(zip(losses, self.expected, strict=True), 1):
            error = abs(loss - exact) / exact
            if not error <= tolerance:  # NaN is wrong too
                return f"the mean loss of epoch {epoch} is {loss:.7g}, expected {exact:.7g} ({error:.1e} off)"
        return None


def _loss_and_gradients(
    x: Array, labels: Array, weights: list[Array], biases: list[Array]
) -> tuple[float, list[Array]]:
    """The mean loss of a batch, and the gradients of all weights and then of all biases."""
    outputs = [x.astype(np.float64)]
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True), 1):
        z = outputs[-1] @ w + b
        outputs.append(np.maximum(z, 0) if layer < len(weights) else z)
    index = np.arange(len(labels))
    shifted = outputs[-1] - outputs[-1].max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    delta = np.exp(log_probabilities)
    delta[index, labels] -= 1
    delta /= len(labels)
    of_weights, of_biases = [], []
    for layer in reversed(range(len(weights))):
        of_weights.append(outputs[layer].T @ delta)
        of_biases.append(delta.sum(axis=0))
        delta = (delta @ weights[layer].T) * (outputs[layer] > 0)
    return float(-log_probabilities[index, labels].mean()), [*of_weights[::-1], *of_biases[::-1]]


class _Adam:
    """m <- b1 m + (1 - b1) g, s <- b2 s + (1 - b2) g**2, p <- p - lr m_hat / (sqrt(s_hat) + eps), in place."""

    def __init__(self, parameters: list[Array]):
        self.parameters, self.steps = parameters, 0
        self.first = [np.zeros_like(p) for p in parameters]
        self.second = [np.zeros_like(p) for p in parameters]

    def step(self, gradients: list[Array]) -> None:
        self.steps += 1
        for p, g, m, s in zip(self.parameters, gradients, self.first, self.second, strict=True):
            m[...] = BETA1 * m + (1 - BETA1) * g
            s[...] = BETA2 * s + (1 - BETA2) * g**2
            m_hat, s_hat = m / (1 - BETA1**self.steps), s / (1 - BETA2**self.steps)
            p -= LEARNING_RATE * m_hat / (np.sqrt(s_hat) + EPS)
