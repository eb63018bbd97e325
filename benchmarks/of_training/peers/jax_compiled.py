"""JAX: a step, or an epoch as lax.scan over its steps, compiled by XLA with the state donated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..problem import BETA1, BETA2, EPS, LEARNING_RATE, Problem

State = Any  # parameters, the optimizer's state and the sum of the epoch's losses


class Trained:
    """scan: whether an epoch is one call. optax: whether Adam is that of optax, or the formulas below.

    half: activations, and what products take of the weights, are bfloat16.
    """

    def __init__(self, problem: Problem, threads: int, scan: bool, optax: bool = False, half: bool = False):
        self.problem, self.epoch, self.scan = problem, 0, scan
        features, labels = jnp.asarray(problem.features), jnp.asarray(problem.labels.astype(np.int32))
        # Copies: donated arrays are overwritten.
        parameters = [(jnp.array(w), jnp.array(b)) for w, b in zip(problem.weights, problem.biases, strict=True)]
        start, update = _optax() if optax else (_adam_start, _adam)
        self.state: State = (parameters, start(parameters), jnp.zeros(()))

        def step(state: State, rows: Any) -> State:
            parameters, averages, total = state
            x = features.at[rows].get(mode="promise_in_bounds")
            y = labels.at[rows].get(mode="promise_in_bounds")
            loss, gradients = jax.value_and_grad(_half_loss if half else _loss)(parameters, x, y)
            return (*update(parameters, averages, gradients), total + loss)

        def epoch(state: State, order: Any) -> State:
            return lax.scan(lambda state, rows: (step(state, rows), None), state, order)[0]

        self.run = jax.jit(epoch if scan else step, donate_argnums=0)

    def epochs(self, count: int) -> float:
        size, run = self.problem.size, self.run
        for _ in range(count):
            state = (*self.state[:2], jnp.zeros(()))
            order = self.problem.order(self.epoch).astype(np.int32).reshape(size.steps, size.batch)
            if self.scan:
                state = run(state, order)
            else:
                for rows in order:
                    state = run(state, rows)
            self.state = state
            self.epoch += 1
        return float(self.state[2]) / size.steps


def _loss(parameters: Any, x: Any, labels: Any) -> Any:
    """Mean of ln sum_j e**z_j - z_label."""
    *hidden, (w_last, b_last) = parameters
    for w, b in hidden:
        x = jax.nn.relu(x @ w + b)
    z = x @ w_last + b_last
    own = jnp.where(labels[:, None] == jnp.arange(z.shape[1]), z, 0).sum(axis=1)
    return (jax.nn.logsumexp(z, axis=1) - own).mean()


def _half_loss(parameters: Any, x: Any, labels: Any) -> Any:
    """The same with all up to the last layer's output in bfloat16."""
    rounded = jax.tree.map(lambda p: p.astype(jnp.bfloat16), parameters)
    *hidden, (w_last, b_last) = rounded
    x = x.astype(jnp.bfloat16)
    for w, b in hidden:
        x = jax.nn.relu(x @ w + b)
    z = (x @ w_last + b_last).astype(jnp.float32)
    own = jnp.where(labels[:, None] == jnp.arange(z.shape[1]), z, 0).sum(axis=1)
    return (jax.nn.logsumexp(z, axis=1) - own).mean()


def _adam_start(parameters: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, parameters), jax.tree.map(jnp.zeros_like, parameters), jnp.zeros(())


def _adam(parameters: Any, averages: Any, gradients: Any) -> tuple[Any, Any]:
    """p - lr m_hat / (sqrt(s_hat) + eps), with both corrections in the step size and in eps."""
    first, second, steps = averages
    steps = steps + 1
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
    second = jax.tree.map(lambda s, g: BETA2 * s + (1 - BETA2) * g * g, second, gradients)
    root = jnp.sqrt(1 - BETA2**steps)
    rate, eps = LEARNING_RATE * root / (1 - BETA1**steps), EPS * root
    parameters = jax.tree.map(lambda p, m, s: p - rate * m / (jnp.sqrt(s) + eps), parameters, first, second)
    return parameters, (first, second, steps)


def _optax() -> tuple[Any, Any]:
    import optax

    optimizer = optax.adam(LEARNING_RATE)

    def update(parameters: Any, averages: Any, gradients: Any) -> tuple[Any, Any]:
        updates, averages = optimizer.update(gradients, averages, parameters)
        return optax.apply_updates(parameters, updates), averages

    return optimizer.init, update
