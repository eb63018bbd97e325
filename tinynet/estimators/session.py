"""What an estimator trains with: network, loss, optimizer and Trainer, kept so that recorded steps are used again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..functional import log_softmax, negative, softplus
from ..nn import ACTIVATIONS, Dropout, Linear, Module, Sequential
from ..nn.containers import NORMS
from ..optim import Optimizer
from ..precision import FLOAT32
from ..schedule import Schedule
from ..tensor import Array, Tensor, no_grad
from ..training.evaluation import outputs
from ..training.trainer import Position, Trainer
from .objectives import OUTPUT_ACTIVATIONS, Loss, objective
from .optimizers import Horizon, ScikitAdam, ScikitSGD
from .penalised import PenalisedLoss


@dataclass(frozen=True)
class Structure:
    """What decides the network."""

    widths: tuple[int, ...]
    activations: tuple[str, ...]  # of the hidden layers, by scikit-learn's names
    norms: tuple[str, ...]
    dropouts: tuple[float, ...]
    output: str
    dtype: str


@dataclass(frozen=True)
class Design:
    """What a recorded step depends on besides arrays, and after that how the learning rate changes between epochs."""

    structure: Structure
    loss: Loss  # a kernel's name, or the user's function
    alpha: float
    solver: str
    epsilon: float
    weight_decay: float
    max_grad_norm: float | None
    schedule: str | Schedule | None  # one of tinynet's
    rate: str = field(default="constant", compare=False)  # or scikit-learn's invscaling or adaptive
    first_rate: float = field(default=1e-3, compare=False)
    power_t: float = field(default=0.5, compare=False)
    precision: str = FLOAT32

    def with_optimizer_of(self, other: Design) -> Design:
        """This design, with the other's optimizer: what scikit-learn's optimizers take when they are made."""
        kept = ("solver", "epsilon", "schedule", "rate", "first_rate", "power_t")
        return replace(self, **{name: getattr(other, name) for name in kept})


class OrderedTrainer(Trainer):
    """A Trainer that visits rows in the order it is given."""

    next_order: Callable[[int], Array]

    def order(self, rows: int) -> Array:
        return self.next_order(rows)


def network(structure: Structure, dropout_seeds: Sequence[int] = ()) -> Sequential:
    """The layers; weights are to be filled in. dropout_seeds: one a hidden layer."""
    modules: list[Module] = []
    layers = zip(
        itertools.pairwise(structure.widths[:-1]), structure.activations, structure.norms, structure.dropouts,
        dropout_seeds or [0] * len(structure.dropouts), strict=True,
    )  # fmt: skip
    for (fan_in, fan_out), activation, norm, dropout, seed in layers:
        modules.append(Linear(fan_in, fan_out, initialiser="zeros"))
        normalisation = NORMS[norm]
        if normalisation is not None:
            modules.append(normalisation(fan_out))
        modules.append(ACTIVATIONS["sigmoid" if activation == "logistic" else activation]())
        if dropout:
            drop = Dropout(dropout)
            drop.seed[...] = seed
            modules.append(drop)
    modules.append(Linear(structure.widths[-2], structure.widths[-1], initialiser="zeros"))
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
        self.optimizer: Optimizer = (
            ScikitSGD(groups, design.weight_decay)
            if design.solver == "sgd"
            else ScikitAdam(groups, design.epsilon, design.weight_decay)
        )
        decayed = self.optimizer.groups[0]
        place = decayed.names.index("weight_decay")
        self.loss = PenalisedLoss(
            objective(design.loss, structure.output, structure.widths[-1]),
            design.alpha,
            weights,
            decayed.hyper[place : place + 1],
        )
        self.trainer = self._new_trainer(0, self._new_schedule())

    def _new_schedule(self) -> Horizon | None:
        return None if self.design.schedule is None else Horizon(self.design.schedule)

    def _new_trainer(self, step: int, schedule: Horizon | None) -> OrderedTrainer:
        """A Trainer with no data, and no steps recorded."""
        # As a method, the loss is no code of tinynet's to the Trainer: what a user's function does may change wherever
        # code of the user's runs between epochs, and steps are recorded again.
        loss = self.loss if isinstance(self.design.loss, str) else self.loss.forward
        clip_norm = self.design.max_grad_norm
        trainer = OrderedTrainer(
            self.model, loss, self.optimizer, schedule=schedule, clip_norm=clip_norm, precision=self.design.precision
        )
        trainer.step = step
        return trainer

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
        """Forgets all running averages and steps, and takes options."""
        self.trainer.step, self.trainer.schedule = 0, self._new_schedule()
        for averages in self.optimizer.averages_of_all():
            for average in averages:
                average[...] = 0
        for counts, place in self.optimizer.counters():
            counts[place] = 0
        options = {"lr": rate, "momentum": momentum, "nesterov": float(nesterov and momentum > 0)}
        options |= {"beta1": betas[0], "beta2": betas[1]}
        for group in self.optimizer.groups:
            for name, value in options.items():
                if name in group.names:
                    group.hyper[group.names.index(name)] = value  # scikit-learn also allows a momentum of 1

    def fit_ended(self, keep_steps: bool) -> None:
        """Frees the data and the recorded steps, unless another fit will need them."""
        if not keep_steps:
            self.trainer = self._new_trainer(self.trainer.step, self.schedule)
        self.trainer.callbacks, self.trainer.histories = (), []
        self.trainer.position = Position()  # every call begins an epoch, also after an interrupted one

    @property
    def schedule(self) -> Horizon | None:
        """The learning rate's schedule, if it is one of tinynet's."""
        assert self.trainer.schedule is None or isinstance(self.trainer.schedule, Horizon)
        return self.trainer.schedule

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
        return Tensor(outputs(self.model, X))

    def outputs(self, X: Array) -> Array:
        """The network's outputs after the output activation."""
        with no_grad():
            raw = self.evaluated(X)
            activation = OUTPUT_ACTIVATIONS[self.design.structure.output]
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
        return {**self.progress(), "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def progress(self) -> dict[str, Any]:
        """What a pickle keeps besides arrays."""
        schedule = None if self.schedule is None else self.schedule.state_dict()
        return {"design": self.design, "step": self.trainer.step, "schedule": schedule}

    def restore(self, state: dict[str, Any], optimizer: bool) -> None:
        """Takes what fits of another session's state: all but coefs and intercepts, and on demand the optimizer's."""
        if replace(state["design"].structure, dtype="") == replace(self.design.structure, dtype=""):
            coefs, intercepts = ([a.copy() for a in arrays] for arrays in (self.coefs, self.intercepts))
            self.model.load_state_dict(state["model"])
            self.set_weights(coefs, intercepts)
        averages = [average.shape for averages in self.optimizer.averages_of_all() for average in averages]
        theirs = [np.shape(a) for averages in state["optimizer"]["averages"] for a in averages.values()]
        if optimizer and averages == theirs and state["design"].solver == self.design.solver:
            self.optimizer.load_state_dict(state["optimizer"])
            self.trainer.step = state["step"]
            if self.schedule is not None and state["design"].schedule == self.design.schedule:
                self.schedule.load_state_dict(state["schedule"])
