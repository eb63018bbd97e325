"""NumPy by hand: forward and backward written out, every result in an array made beforehand, no copies."""

from __future__ import annotations

import math

import numpy as np

from kernels.memory import aligned_empty

from ..problem import BETA1, BETA2, EPS, LEARNING_RATE, Array, Problem

BLOCK = 32_768  # parameters that Adam updates in one go: its four arrays and workspace stay in the L2 cache


class Trained:
    """An MLP whose parameters, gradients and averages are one vector each, of which the layers hold views."""

    def __init__(self, problem: Problem, threads: int):
        self.problem, self.epoch = problem, 0
        size = problem.size
        vectors = [aligned_empty((size.parameters,), np.float32) for _ in range(4)]
        for vector in vectors:
            vector.fill(0)
        parameters, gradients, first, second = vectors
        self.weights, self.biases = _layers(parameters, size.shapes)
        self.weight_gradients, self.bias_gradients = _layers(gradients, size.shapes)
        for own, given in zip([*self.weights, *self.biases], [*problem.weights, *problem.biases], strict=True):
            own[...] = given
        self.adam = _Adam(parameters, gradients, first, second)
        # One array a layer for its output, another for the loss's gradient with respect to it.
        self.outputs = [aligned_empty((size.batch, width), np.float32) for width in size.widths]
        self.deltas = [aligned_empty((size.batch, width), np.float32) for width in size.widths]
        self.deltas[-1] = self.outputs[-1]  # softmax works in place
        self.masks = [np.empty((size.batch, width), np.bool_) for width in size.widths]
        self.ones = np.ones(size.batch, np.float32)
        self.classes = np.ones(size.widths[-1], np.float32)
        self.row = aligned_empty((size.batch, 1), np.float32)
        # Of each step's rows: ln of these sums, less these logits, is the loss.
        self.sums = np.empty((size.steps, size.batch), np.float32)
        self.picked = np.empty((size.steps, size.batch), np.float32)

    def epochs(self, count: int) -> float:
        for _ in range(count):
            self._train(self.problem.order(self.epoch))
            self.epoch += 1
        return float(np.log(self.sums).mean(dtype=np.float64) - self.picked.mean(dtype=np.float64))

    def _train(self, order: Array) -> None:
        size = self.problem.size
        order = order.reshape(size.steps, size.batch)
        # Where each row's own logit is in the batch's logits, read as one vector.
        places = self.problem.labels[order] + np.arange(size.batch) * size.widths[-1]
        for step in range(size.steps):
            # Any mode but "raise" lets take write into out without a buffer between.
            np.take(self.problem.features, order[step], axis=0, out=self.outputs[0], mode="clip")
            self._forward()
            self._loss_gradient(places[step], self.sums[step], self.picked[step])
            self._backward()
            self.adam.step()

    def _forward(self) -> None:
        """a_l = max(0, a_{l-1} W_l + b_l); the last layer has no max."""
        last = len(self.weights) - 1
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = self.outputs[layer + 1]
            np.dot(self.outputs[layer], w, out=out)
            np.add(out, b, out=out)
            if layer < last:
                np.maximum(out, 0, out=out)

    def _loss_gradient(self, places: Array, sums: Array, picked: Array) -> None:
        """(softmax(z) - onehot) / batch, over the logits."""
        z, row = self.outputs[-1], self.row
        np.maximum.reduce(z, axis=1, out=row, keepdims=True)
        np.subtract(z, row, out=z)
        flat = z.reshape(-1)
        np.take(flat, places, out=picked, mode="clip")
        np.exp(z, out=z)
        np.dot(z, self.classes, out=sums)
        np.divide(1 / len(z), sums, out=row[:, 0])
        np.multiply(z, row, out=z)
        flat[places] -= np.float32(1 / len(z))

    def _backward(self) -> None:
        """dW_l = a_{l-1}' d_l, db_l = 1' d_l, d_{l-1} = d_l W_l' where a_{l-1} > 0."""
        for layer in reversed(range(len(self.weights))):
            inputs, delta = self.outputs[layer], self.deltas[layer + 1]
            np.dot(inputs.T, delta, out=self.weight_gradients[layer])
            np.dot(self.ones, delta, out=self.bias_gradients[layer])
            if layer:
                below, mask = self.deltas[layer], self.masks[layer]
                np.dot(delta, self.weights[layer].T, out=below)
                np.greater(inputs, 0, out=mask)
                np.multiply(below, mask, out=below)


class _Adam:
    """Adam with the averages scaled: m' = b1 m' + g = m / (1 - b1) and s' = b2 s' + g**2 = s / (1 - b2).

    That saves a pass over each; the factors go into the step size and into eps.
    """

    def __init__(self, *vectors: Array):
        size = len(vectors[0])
        work = aligned_empty((min(BLOCK, size),), np.float32)
        self.blocks = [
            (*(vector[start : start + BLOCK] for vector in vectors), work[: min(BLOCK, size - start)])
            for start in range(0, size, BLOCK)
        ]
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        root = math.sqrt((1 - BETA2**self.steps) / (1 - BETA2))  # sqrt(s') = sqrt(s_hat) root
        rate = -LEARNING_RATE * root * (1 - BETA1) / (1 - BETA1**self.steps)
        eps = EPS * root
        for p, g, m, s, t in self.blocks:
            np.multiply(m, BETA1, out=m)
            np.add(m, g, out=m)
            np.multiply(s, BETA2, out=s)
            np.multiply(g, g, out=t)
            np.add(s, t, out=s)
            np.sqrt(s, out=t)
            np.add(t, eps, out=t)
            np.divide(m, t, out=t)
            np.multiply(t, rate, out=t)
            np.add(p, t, out=p)


def _layers(vector: Array, shapes: list[tuple[int, int]]) -> tuple[list[Array], list[Array]]:
    """Views of the vector as each layer's weights, and as its biases."""
    weights, biases, start = [], [], 0
    for inputs, outputs in shapes:
        weights.append(vector[start : start + inputs * outputs].reshape(inputs, outputs))
        start += inputs * outputs
        biases.append(vector[start : start + outputs])
        start += outputs
    return weights, biases
