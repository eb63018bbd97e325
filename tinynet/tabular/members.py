"""Training of members: one net each, side by side, within a time limit if there is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from kernels import Backend

from ..nn import Module
from ..optim import AdamW
from ..schedule import CosLog
from ..tensor import Array
from ..training.history import History
from ..training.trainer import Trainer
from .network import Layout, network
from .recipe import Recipe
from .validation import BestEpoch, Held, Metric

BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class Data:
    """What members learn from and are scored on."""

    X: Array  # (rows, columns), encoded
    target: Array  # what the loss takes
    layout: Layout
    held: Held
    loss: Callable[[], Module]
    metric: Metric
    metric_name: str


@dataclass
class Member:
    """A trained net, the history of its training, and its score after each epoch."""

    model: Module
    history: History
    scores: list[float]
    best_epoch: int
    best_score: float


class Deadline:
    """When training has to end: after some seconds, or when it is interrupted."""

    def __init__(self, seconds: float | None):
        self.started = time.perf_counter()
        self.seconds, self.interrupted = seconds, threading.Event()

    @property
    def left(self) -> float:
        """Seconds."""
        return float("inf") if self.seconds is None else self.seconds - (time.perf_counter() - self.started)

    def passed(self) -> bool:
        """Whether training has to end now."""
        return self.interrupted.is_set() or self.left <= 0


def train(
    data: Data, recipe: Recipe, seed: int, backend: Backend, deadline: Deadline, patience: float, progress: bool
) -> Member:
    """One member: the weights of its best epoch.

    With a time limit one epoch is tried, and the schedule is as long as there is time for epochs.
    """
    if deadline.seconds is not None:
        recipe = _within(data, recipe, seed, backend, deadline)
    model = network(recipe, data.layout, np.random.default_rng(seed))
    best = BestEpoch(data.held, data.metric, data.metric_name, deadline.passed, patience)
    trainer = _trainer(data, recipe, model, seed, backend)
    trainer.callbacks, trainer.progress = (best,), progress
    limit = None if deadline.seconds is None else max(deadline.left, 1e-3)
    history = trainer.fit(data.X, data.target, recipe.epochs, recipe.batch_size, time_limit=limit)
    if not best.weights:  # stopped within the first epoch
        best(trainer, history)
    model.load_state_dict(best.weights)
    if history.stopped == "interrupted":
        deadline.interrupted.set()
    elif history.stopped and deadline.passed():  # by Ctrl-C, which the main thread alone hears
        history.stopped = "interrupted" if deadline.interrupted.is_set() else "time limit"
    return Member(model, history, best.scores, best.epoch, best.best)


def _trainer(data: Data, recipe: Recipe, model: Module, seed: int, backend: Backend) -> Trainer:
    optimizer = AdamW(model.parameters(), recipe.rate, BETAS, weight_decay=recipe.weight_decay)
    return Trainer(model, data.loss(), optimizer, backend, seed, CosLog(), progress=False, drop_last=True)


def _within(data: Data, recipe: Recipe, seed: int, backend: Backend, deadline: Deadline) -> Recipe:
    """The recipe with as many epochs as there is time for, found by two epochs, the first of which compiles."""
    model = network(recipe, data.layout, np.random.default_rng(seed))
    trainer = _trainer(data, recipe, model, seed, backend)
    trainer.callbacks = (BestEpoch(data.held, data.metric, data.metric_name, deadline.passed),)
    for _ in range(2):
        started = time.perf_counter()
        trainer.fit(data.X, data.target, 1, recipe.batch_size, time_limit=max(deadline.left, 1e-3))
        taken = time.perf_counter() - started
        if trainer.history.stopped == "interrupted":
            deadline.interrupted.set()
            break
    return replace(recipe, epochs=max(1, min(recipe.epochs, int(0.95 * deadline.left / taken))))


def train_all(
    data: Data, recipe: Recipe, seeds: Iterator[int], count: int | None, backend: Callable[[int], Backend],
    deadline: Deadline, patience: float, progress: bool, cores: int,
) -> list[Member]:  # fmt: skip
    """So many members; for None one, or with a time limit as many as fit in. Ctrl-C keeps the best weights so far.

    backend: for a number of threads. One member trains on all cores, several have one each.
    """
    if count == 1 or cores == 1 or (count is None and deadline.seconds is None):
        found = [train(data, recipe, next(seeds), backend(cores), deadline, patience, progress)]
        while len(found) < (count or 1) and not deadline.passed():
            found.append(train(data, recipe, next(seeds), backend(cores), deadline, patience, progress))
        return found
    found, took = [], 0.0
    while (left := (cores if count is None else count - len(found))) > 0 and not deadline.passed():
        if found and deadline.left < 1.1 * took:  # another round would not end in time
            break
        started, some = time.perf_counter(), min(cores, left)
        found += _side_by_side(data, recipe, [next(seeds) for _ in range(some)], backend(1), deadline, patience)
        took = time.perf_counter() - started
    return found


def _side_by_side(
    data: Data, recipe: Recipe, seeds: list[int], backend: Backend, deadline: Deadline, patience: float
) -> list[Member]:
    """One member a seed, each on a thread; the main thread waits, and hears Ctrl-C."""
    with ThreadPoolExecutor(len(seeds)) as pool, _interrupting(deadline):
        futures = [pool.submit(train, data, recipe, seed, backend, deadline, patience, False) for seed in seeds]
        while not all(future.done() for future in futures):
            try:
                time.sleep(0.02)
            except KeyboardInterrupt:
                deadline.interrupted.set()
        return [future.result() for future in futures]


@contextmanager
def _interrupting(deadline: Deadline) -> Iterator[None]:
    """Whatever ends the block ends the members' training too."""
    try:
        yield
    except BaseException:
        deadline.interrupted.set()
        raise
