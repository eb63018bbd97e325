"""Training of members: one net each, side by side, within a time limit if there is one."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from kernels import Backend

from ..data.sources import Source
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
SHARE = 0.95  # of the time left, for which epochs are planned: some take longer than those that were tried
TRIAL = 0.05  # of the time left, to find how fast a source is learned from
# Seconds after which the main thread looks whether Ctrl-C came: polars, once it was used, has signals not wake a wait.
LOOK_UP = 0.05
LEAST_SECONDS = 1e-3  # of training, when the time is over: a step is done in any case


@dataclass(frozen=True)
class Data:
    """What members learn from and are scored on."""

    X: Array | Source  # (rows, columns), encoded
    target: Array | None  # what the loss takes; None where the source has it
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


@dataclass(frozen=True)
class Plan:
    """How members are trained, whatever their seeds.

    backend: for a number of threads. patience: epochs without a better score after which a member's training ends;
    None is a wave of the rates.
    """

    data: Data
    recipe: Recipe
    backend: Callable[[int], Backend]
    cores: int
    deadline: Deadline
    patience: int | None
    progress: bool
    precision: str

    def trainer(self, seed: int, threads: int, epochs: int = 1) -> tuple[Trainer, BestEpoch]:
        """A new net with what trains it for so many epochs, and what keeps its best weights."""
        data, recipe, schedule = self.data, self.recipe, CosLog()
        model = network(recipe, data.layout, seed)
        best = BestEpoch(
            data.held, data.metric, data.metric_name, self.deadline.passed, self.patience, schedule.ends(epochs)
        )
        optimizer = AdamW(model.parameters(), recipe.rate, BETAS, weight_decay=recipe.weight_decay)
        return Trainer(
            model, data.loss(), optimizer, self.backend(threads), seed, schedule, callbacks=[best],
            progress=self.progress and threads == self.cores, drop_last=True, precision=self.precision,
        ), best  # fmt: skip

    def fit(self, trainer: Trainer, epochs: int, share: float = 1.0) -> History:
        """Epochs of training, fewer where a share of the time left is over or Ctrl-C comes."""
        limit = None if self.deadline.seconds is None else max(share * self.deadline.left, LEAST_SECONDS)
        history = trainer.fit(self.data.X, self.data.target, epochs, self.recipe.batch_size, time_limit=limit)
        if history.stopped == "interrupted":
            self.deadline.interrupted.set()
        return history

    def seconds_an_epoch(self, seed: int, threads: int) -> float:
        """What an epoch takes: the second of two of a net that is thrown away, the first of which compiles."""
        trainer, _ = self.trainer(seed, threads)
        trainer.progress = False
        if isinstance(self.data.X, Source):  # whose epochs may be longer than there is time
            _, tried = (self.fit(trainer, 1, TRIAL) for _ in range(2))
            return sum(tried.seconds) * self.data.X.rows / max(1, sum(tried.samples))
        for _ in range(2):
            started = time.perf_counter()
            self.fit(trainer, 1)
        return time.perf_counter() - started


def train(plan: Plan, seed: int, threads: int, seconds_an_epoch: float) -> Member:
    """One member: the weights of its best epoch. Its schedule is as long as there is time for epochs."""
    epochs = plan.recipe.epochs
    if plan.deadline.seconds is not None:
        epochs = max(1, min(epochs, int(SHARE * plan.deadline.left / seconds_an_epoch)))
    trainer, best = plan.trainer(seed, threads, epochs)
    history = plan.fit(trainer, epochs)
    if not best.weights:  # stopped within the first epoch
        best(trainer, history)
    trainer.model.load_state_dict(best.weights)
    if history.stopped and plan.deadline.passed():  # by Ctrl-C, which the main thread alone hears, or the time limit
        history.stopped = "interrupted" if plan.deadline.interrupted.is_set() else "time limit"
    return Member(trainer.model, history, best.scores, best.epoch, best.best)


def train_all(plan: Plan, seeds: Iterator[int], count: int | None) -> list[Member]:
    """So many members; for None one, or with a time limit as many as fit in. Ctrl-C keeps the best weights so far.

    One member trains on all cores; several are trained side by side, a core each.
    """
    wanted = count or (1 if plan.deadline.seconds is None else math.inf)
    found, took, tried = list[Member](), 0.0, dict[int, float]()
    while len(found) < wanted and (not found or plan.deadline.left > took) and not plan.deadline.interrupted.is_set():
        started, together = time.perf_counter(), int(min(plan.cores, wanted - len(found)))
        threads = plan.cores if together == 1 else 1
        if plan.deadline.seconds is not None and threads not in tried:
            tried[threads] = plan.seconds_an_epoch(0, threads)
        found += _side_by_side(plan, [next(seeds) for _ in range(together)], threads, tried.get(threads, 0.0))
        took = time.perf_counter() - started
    return found


def _side_by_side(plan: Plan, seeds: list[int], threads: int, seconds_an_epoch: float) -> list[Member]:
    """One member a seed, each on a Python thread of its own; the main thread waits, and Ctrl-C interrupts it."""
    if len(seeds) == 1:
        return [train(plan, seeds[0], threads, seconds_an_epoch)]
    with ThreadPoolExecutor(len(seeds)) as pool:
        try:
            futures = [pool.submit(train, plan, seed, threads, seconds_an_epoch) for seed in seeds]
            while not any(future.done() and future.exception() for future in futures):
                if not wait(futures, LOOK_UP, FIRST_EXCEPTION).not_done:
                    break
        except KeyboardInterrupt:
            plan.deadline.interrupted.set()
        finally:
            if any(future.done() and future.exception() for future in futures):
                plan.deadline.interrupted.set()  # the others' training ends too
    return [future.result() for future in futures]
