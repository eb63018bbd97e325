"""What an estimator trains with: network, loss, optimizer and Trainer, kept so that recorded steps are used again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..backends import current
from ..functional import log_softmax, negative, softplus
from ..nn import ACTIVATIONS, Dropout, Linear, Module, Sequential
from ..nn.containers import NORMS
from ..optim import SGD, Adam, Optimizer
from ..tensor import Array, Tensor, no_grad
from ..training import EVALUATION_ROWS, Trainer
from .penalised import KERNELS, PenalisedLoss


@dataclass(frozen=True)
class Structure:
    """What decides the network."""

    widths: tuple[int, ...]
    activations: tuple[str, ...]  # of the hidden layers, by scikit-learn's names
    norm: str
    dropout: float
    output: str
    dtype: str


@dataclass(frozen=True)
class Design:
    """What a recorded step depends on besides arrays."""

    structure: Structure
    alpha: float
    solver: str
    epsilon: float


class ScikitAdam(Adam):
    """p <- p - lr sqrt(1 - b2**t) / (1 - b1**t) m / (sqrt(s) + epsilon): epsilon stands outside of the correction.

    The kernel adds eps to sqrt(s / (1 - b2**t)), so eps = epsilon / sqrt(1 - b2**t) is written before each update.
    """

    def __init__(self, params: Any, epsilon: float):
        super().__init__(params)
        self.epsilon = epsilon

    def step(self) -> None:
        k, group = current(), self.groups[0]  # the groups differ in weight decay only
        beta2, eps, count = (group.hyper[group.names.index(name) :][:1] for name in ("beta2", "eps", "step"))
        correction = k.sqrt(k.subtract(1.0, k.power(beta2, k.add(count, 1.0))))
        k.divide(self.epsilon, correction, out=eps)
        for other in self.groups[1:]:
            k.cast(eps, out=other.hyper[other.names.index("eps") :][:1])
        super().step()


class OrderedTrainer(Trainer):
    """A Trainer that visits rows in the order it is given."""

    next_order: Callable[[int], Array]

    def order(self, rows: int) -> Array:
        return self.next_order(rows)


def network(structure: Structure, dropout_seeds: Sequence[int] = ()) -> Sequential:
    """The layers; weights are to be filled in."""
    modules: list[Module] = []
    hidden = list(itertools.pairwise(structure.widths[:-1]))
    for (fan_in, fan_out), activation in zip(hidden, structure.activations, strict=True):
        modules.append(Linear(fan_in, fan_out, initialiser="zeros"))
        normalisation = NORMS[structure.norm]
        if normalisation is not None:
            modules.append(normalisation(fan_out))
        modules.append(ACTIVATIONS["sigmoid" if activation == "logistic" else activation]())
        if structure.dropout:
            modules.append(Dropout(structure.dropout))
    modules.append(Linear(structure.widths[-2], structure.widths[-1], initialiser="zeros"))
    dropouts = [module for module in modules if isinstance(module, Dropout)]
    for dropout, seed in zip(dropouts, dropout_seeds, strict=False):
        dropout.seed[...] = seed
    return Sequential(*modules).to(structure.dtype)


class Session:
    """A network with coefs and intercepts, and what trains it."""

    def __init__(
        self, design: Design, coefs: Sequence[Array], intercepts: Sequence[Array], dropout_seeds: Sequence[int] = ()
    ):
        self.design, structure = design, design.structure
        self.model = network(structure, dropout_seeds)
        self.linear = [module for _, module in self.model.named_modules() if isinstance(module, Linear)]
        self.set_weights(coefs, intercepts)
        weights = [layer.weight for layer in self.linear]
        own = {id(weight) for weight in weights}
        others = [parameter for parameter in self.model.parameters() if id(parameter) not in own]
        groups = [{"params": weights}, {"params": others}]
        self.optimizer: Optimizer = SGD(groups) if design.solver == "sgd" else ScikitAdam(groups, design.epsilon)
        decayed = self.optimizer.groups[0]
        place = decayed.names.index("weight_decay")
        self.loss = PenalisedLoss(
            structure.output, structure.widths[-1], design.alpha, weights, decayed.hyper[place : place + 1]
        )
        self.trainer = OrderedTrainer(self.model, self.loss, self.optimizer)

    @property
    def coefs(self) -> list[Array]:
        """The layers' weights: the arrays that training writes."""
        return [layer.weight.data for layer in self.linear]

    @property
    def intercepts(self) -> list[Array]:
        """The layers' biases: the arrays that training writes."""
        return [layer.bias.data for layer in self.linear if layer.bias is not None]

    def set_weights(self, coefs: Sequence[Array], intercepts: Sequence[Array]) -> None:
        """Copies weights that are not the network's own arrays into it."""
        for own, array in zip([*self.coefs, *self.intercepts], [*coefs, *intercepts], strict=True):
            if own is not array:
                np.copyto(own, array)

    def start_optimizer(self, rate: float, momentum: float, nesterov: bool, betas: tuple[float, float]) -> None:
        """Forgets all running averages, and takes options."""
        for averages in self.optimizer.averages_of_all():
            for average in averages:
                average[...] = 0
        options = {"lr": rate, "momentum": momentum, "nesterov": float(nesterov and momentum > 0), "step": 0.0}
        options |= {"beta1": betas[0], "beta2": betas[1]}
        for group in self.optimizer.groups:
            for name, value in options.items():
                if name in group.names:
                    group.hyper[group.names.index(name)] = value  # scikit-learn also allows a momentum of 1

    def fit_ended(self, keep_steps: bool) -> None:
        """Lets go of the data and the recorded steps, unless another fit will want them."""
        if keep_steps:
            self.trainer.callbacks = ()
        else:
            self.trainer = OrderedTrainer(self.model, self.loss, self.optimizer)

    @property
    def rate(self) -> float:
        """The learning rate."""
        return float(self.optimizer.groups[0]["lr"])

    @rate.setter
    def rate(self, rate: float) -> None:
        """scikit-learn's velocity has the learning rate in it, SGD's has not: it is kept the same in their terms."""
        factor = self.rate / rate
        for group in self.optimizer.groups:
            group["lr"] = rate
        for averages in self.optimizer.averages_of_all():
            for average in averages:
                average *= factor

    def evaluated(self, X: Array) -> Tensor:
        """The network's outputs before the output activation."""
        self.model.eval()
        with no_grad():
            parts = [self.model(Tensor(X[i : i + EVALUATION_ROWS])).numpy() for i in range(0, len(X), EVALUATION_ROWS)]
        return Tensor(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def outputs(self, X: Array) -> Array:
        """The network's outputs behind the output activation."""
        with no_grad():
            raw = self.evaluated(X)
            activation = KERNELS[self.design.structure.output][2]
            return raw.numpy() if activation is None else activation(raw).numpy()

    def log_outputs(self, X: Array) -> tuple[Array, Array | None]:
        """ln softmax of the outputs; for logistic ones ln p and ln (1 - p)."""
        with no_grad():
            raw = self.evaluated(X)
            if self.design.structure.output == "softmax":
                return log_softmax(raw).numpy(), None
            return negative(softplus(negative(raw))).numpy(), negative(softplus(raw)).numpy()

    def state(self) -> dict[str, Any]:
        """What a pickle keeps."""
        return {"design": self.design, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any], optimizer: bool) -> None:
        """Takes what fits of another session's state: all but coefs and intercepts, and on demand the optimizer's."""
        same = replace(state["design"].structure, dtype="") == replace(self.design.structure, dtype="")
        if same:
            coefs, intercepts = ([a.copy() for a in arrays] for arrays in (self.coefs, self.intercepts))
            self.model.load_state_dict(state["model"])
            self.set_weights(coefs, intercepts)
        if optimizer and same and state["design"].solver == self.design.solver:
            self.optimizer.averages_of_all()
            self.optimizer.load_state_dict(state["optimizer"])
