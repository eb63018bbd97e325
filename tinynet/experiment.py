"""One training run as the command line describes it: options, prepared data, and what came out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from kernels import Backend

from . import data, metrics
from .history import History
from .nn import CrossEntropyLoss, MSELoss, multilayer_perceptron
from .optim import OPTIMIZERS
from .randomness import manual_seed
from .schedule import SCHEDULES
from .training import Trainer


@dataclass(frozen=True)
class Options:
    """What is trained, and how. The defaults suit small tables of a hundred to a few thousand rows."""

    dataset: str = "digits"
    target: str | None = None
    hidden: tuple[int, ...] = (128, 64)
    activation: str = "relu"
    dropout: float = 0.1
    norm: str = "none"
    optimizer: str = "adamw"
    lr: float = 3e-3
    weight_decay: float = 1.0
    schedule: str = "constant"
    batch_size: int = 32
    epochs: int = 30
    seed: int = 4
    dtype: str = "float32"
    test_size: float = 0.2
    eager: bool = False


@dataclass
class Run:
    """What one backend made of it."""

    backend: Backend
    options: Options
    dataset: str
    history: History
    test_score: float
    score_name: str
    listing: str = ""  # the step's program

    @property
    def label(self) -> str:
        """The backend's name, with its options where they were asked for."""
        asked = self.backend.asked
        lanes, threads = asked.get("simd_width"), asked.get("threads")
        said = ["scalar" if lanes == 1 else f"{lanes} lanes"] if lanes else []
        said += [f"{threads} thread" + ("s" if threads > 1 else "")] if threads else []
        said += ["eager"] if self.options.eager else []
        return ", ".join([self.backend.name, *said])

    @property
    def complete(self) -> bool:
        """Whether all epochs were trained."""
        return not self.history.stopped

    def as_json(self) -> dict[str, Any]:
        """The run as ``--json`` writes it."""
        options = {**asdict(self.options), **{f"backend_{name}": v for name, v in self.backend.options.items()}}
        history = self.history
        return {
            "backend": self.backend.name,
            "options": options,
            "dataset": self.dataset,
            "epochs": self.options.epochs,
            "batch_size": self.options.batch_size,
            "compile_seconds": history.compile_seconds,
            "kernels_compiled": history.kernels_compiled,
            "seconds": history.seconds,
            "samples_per_second": history.samples_per_second,
            "train_loss": history.train_loss,
            "test_score": self.test_score,
            "score_name": self.score_name,
            "steps_timed": history.steps,
        }


@dataclass
class Experiment:
    """The options with their data: split, standardised by the training part, in the dtype asked for."""

    options: Options
    split: data.Split = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        whole = data.load(options.dataset, target=options.target)
        parts = data.split(whole, options.test_size, options.seed)
        self.split, _ = data.standardise(parts, dtype=np.dtype(options.dtype))

    def trainer(self, backend: Backend, progress: bool = True, eager: bool | None = None) -> Trainer:
        """A new model, the same for the same seed, with its loss and optimizer. eager: instead of what options say."""
        options, train = self.options, self.split.train
        steps_eagerly = options.eager if eager is None else eager
        manual_seed(options.seed)
        model = multilayer_perceptron(
            train.features.shape[1], options.hidden, train.outputs, options.activation, options.dropout, options.norm
        ).to(options.dtype)
        loss = CrossEntropyLoss() if train.task == "classification" else MSELoss()
        make: Any = OPTIMIZERS[options.optimizer]
        optimizer = make(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        schedule = SCHEDULES[options.schedule]()
        return Trainer(
            model, loss, optimizer, backend, options.seed, schedule, progress=progress, compile=not steps_eagerly
        )

    def run(
        self, backend: Backend, time_limit: float | None = None, progress: bool = True, eager: bool | None = None
    ) -> Run:
        """Trains on the backend and scores the test part."""
        options, (train, test) = self.options, self.split
        if eager is not None:
            options = replace(options, eager=eager)
        trainer = self.trainer(backend, progress, eager)
        history = trainer.fit(
            train.features, train.target, options.epochs, options.batch_size, time_limit=time_limit
        )  # fmt: skip
        score = metrics.score(train.task, test.target, trainer.predict(test.features))
        listing = "" if trainer.program is None else str(trainer.program)
        return Run(backend, options, train.name, history, score, metrics.score_name(train.task), listing)
