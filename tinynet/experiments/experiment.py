"""One training run as the command line describes it: options, prepared data, and what came out."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kernels import Backend, hardware
from kernels.program import Profile, Program

from .. import data, metrics
from ..checkpoints.checkpoint import Checkpoint, save_checkpoint
from ..checkpoints.tensor_files import CheckpointError
from ..checks import choose
from ..nn import CrossEntropyLoss, multilayer_perceptron
from ..nn.losses import MODULES as LOSSES
from ..optim import OPTIMIZERS
from ..precision import FLOAT32
from ..randomness import manual_seed
from ..schedule import SCHEDULES
from ..training.history import History
from ..training.stepping import NonFiniteLoss
from ..training.trainer import Trainer

RATE_AND_DECAY = {name: optimizer.suited for name, optimizer in OPTIMIZERS.items()}
"""Each optimizer's learning rate and weight decay where none are asked for.

AdamW's decay shrinks weights by the share lr * decay a step; the others' is an L2 penalty, decay * |weights|**2 / 2.
"""


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
    lr: float | None = None  # None: what suits the optimizer
    weight_decay: float | None = None
    schedule: str = "constant"
    batch_size: int = 32
    epochs: int = 30
    seed: int = 4
    dtype: str = "float32"
    precision: str = FLOAT32
    test_size: float = 0.2
    eager: bool = False

    def __post_init__(self) -> None:
        if self.lr is None or self.weight_decay is None:
            suited = RATE_AND_DECAY[choose("optimizer", self.optimizer, RATE_AND_DECAY)]
            for name, value in zip(("lr", "weight_decay"), suited, strict=True):
                if getattr(self, name) is None:
                    object.__setattr__(self, name, value)


MAY_CHANGE = ("epochs", "eager")  # in a run that is resumed


@dataclass(frozen=True)
class Keeping:
    """Where a run's checkpoints go, after how many epochs each, and from which one it goes on."""

    path: Path | None = None
    every: int | None = None
    resumed: Checkpoint | None = None

    def options(self, asked: Options, given: set[str]) -> Options:
        """The resumed run's options, and of those asked for what may change. given: names that were asked for.

        Raises CheckpointError for an option that contradicts the checkpoint.
        """
        if self.resumed is None:
            return asked
        if "estimator" in self.resumed.state:
            raise CheckpointError(
                f"{self.resumed.path} holds an estimator, which is trained at one go, expected a run of --model mlp"
            )
        noted = self.resumed.notes.get("options")
        if isinstance(noted, dict):
            noted = {"precision": FLOAT32, **noted}  # of which older files say nothing
        if not isinstance(noted, dict) or noted.keys() != {option.name for option in fields(Options)}:
            raise CheckpointError(f"{self.resumed.path} notes no options, expected a checkpoint that --save wrote")
        noted["hidden"] = tuple(noted["hidden"])
        for name in sorted(given - {*MAY_CHANGE}):
            if getattr(asked, name) != noted[name]:
                raise CheckpointError(
                    f"--{name.replace('_', '-')} is {getattr(asked, name)}, but the run in {self.resumed.path} "
                    f"has {noted[name]}"
                )
        return Options(**noted | {name: getattr(asked, name) for name in MAY_CHANGE if name in given})


@dataclass(frozen=True)
class Rung:
    """A way to train. brings: what it has that the rung before has not."""

    name: str
    brings: str
    backend: Backend
    eager: bool
    reference: bool = False  # not a rung, but what the ladder is compared with


@dataclass
class Run:
    """What one backend made of it."""

    backend: Backend
    options: Any  # Options, or those of tables
    dataset: str
    history: History
    test_score: float
    score_name: str
    program: Program | None = None  # the step's
    profile: Profile | None = None
    unprofiled: str = "the steps ran eagerly"  # why there is none, where one was wanted
    rung: Rung | None = None  # where the run is one of a ladder's
    interrupted: bool = False  # by Ctrl-C, in training or after it
    more: dict[str, Any] = field(default_factory=dict)  # what else is to be said of it as JSON

    @property
    def label(self) -> str:
        """Its rung, or the backend's name, with its options where they were asked for."""
        if self.rung is not None:
            return self.rung.name
        asked = self.backend.asked
        lanes, threads = asked.get("simd_width"), asked.get("threads")
        said = ["scalar" if lanes == 1 else f"{lanes} lanes"] if lanes else []
        said += [f"{threads} thread" + ("s" if threads > 1 else "")] if threads else []
        said += ["eager"] if self.options.eager else []
        return ", ".join([self.backend.name, *said])

    @property
    def listing(self) -> str:
        """The step's program as text; empty where there is none."""
        return "" if self.program is None else str(self.program)

    @property
    def explanation(self) -> str:
        """The profile as text, and what a step took in training, where Python starts runs of steps and draws a bar."""
        history = self.history
        taken = 1e6 * sum(history.seconds) / max(1, history.steps)
        return f"{self.profile}\nin training a step took {taken:.2f} us, with what Python does between runs of steps"

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
            **self.more,
            **({} if self.rung is None else {"rung": self.rung.name}),
            **({} if self.profile is None else {"profile": self.profile.as_json()}),
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

    @property
    def summary(self) -> str:
        """The data set and its size, in words."""
        rows, columns = self.split.train.features.shape
        return f"{self.split.train.name}: {rows} rows x {columns} features"

    def trainer(self, backend: Backend, progress: bool = True, eager: bool | None = None) -> Trainer:
        """A new model, the same for the same seed, with its loss and optimizer. eager: instead of what options say."""
        options, train = self.options, self.split.train
        steps_eagerly = options.eager if eager is None else eager
        manual_seed(options.seed)
        model = multilayer_perceptron(
            train.features.shape[1], options.hidden, train.outputs, options.activation, options.dropout, options.norm
        ).to(options.dtype)
        loss = CrossEntropyLoss() if train.task == "classification" else LOSSES["MSELoss"]()
        make: Any = OPTIMIZERS[options.optimizer]
        optimizer = make(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        schedule = SCHEDULES[options.schedule]()
        return Trainer(
            model, loss, optimizer, backend, options.seed, schedule, progress=progress, compile=not steps_eagerly,
            precision=options.precision,
        )  # fmt: skip

    def notes(self) -> dict[str, Any]:
        """What a checkpoint says of the run: its options, and a SHA-256 of the rows it trains on."""
        train = self.split.train
        content = b"".join(np.ascontiguousarray(part).tobytes() for part in (train.features, train.target))
        return {"options": asdict(self.options), "data": hashlib.sha256(content).hexdigest()}

    def _resume(self, trainer: Trainer, checkpoint: Checkpoint) -> None:
        if checkpoint.notes.get("data") != self.notes()["data"]:
            raise CheckpointError(f"{checkpoint.path} was trained on other rows than {self.options.dataset} now has")
        checkpoint.restore(trainer)
        if trainer.epoch >= self.options.epochs:
            raise CheckpointError(f"{checkpoint.path} has {trainer.epoch} epochs, expected --epochs above that")

    def run(
        self,
        backend: Backend,
        time_limit: float | None = None,
        progress: bool = True,
        eager: bool | None = None,
        keeping: Keeping | None = None,
        explain: bool = False,
    ) -> Run:
        """Trains on the backend and scores the test part. Resumed runs train until they have options.epochs.

        explain: then profiles a recorded step, if there is one, beside the machine's ceilings.
        """
        options, (train, test) = self.options, self.split
        if eager is not None:
            options = replace(options, eager=eager)
        trainer, keeping = self.trainer(backend, progress, eager), keeping or Keeping()
        if keeping.resumed:
            self._resume(trainer, keeping.resumed)
        path, every, notes = keeping.path, keeping.every, self.notes()
        if path and every:

            def saved_every(trainer: Trainer, _: History) -> None:
                if trainer.epoch % every == 0:
                    save_checkpoint(path, trainer, notes)

            trainer.callbacks = (saved_every,)
        epochs = options.epochs - trainer.epoch
        trainer.fit(train.features, train.target, epochs, options.batch_size, time_limit=time_limit)
        if path:
            save_checkpoint(path, trainer, notes)
        history = trainer.history
        score = metrics.score(train.task, test.target, trainer.predict(test.features))
        run = Run(
            backend, options, train.name, history, score, metrics.score_name(train.task), trainer.program,
            interrupted=history.stopped == "interrupted",
        )  # fmt: skip
        if explain and run.interrupted:
            run.unprofiled = "training was interrupted"
        elif explain and trainer.compile:
            if progress:
                print(f"{train.name}: timing a step, kernel by kernel, and the machine", file=sys.stderr)
            try:
                run.profile = self._profile(trainer, backend)
                run.program = run.program or run.profile.program
            except (NonFiniteLoss, ValueError) as error:  # what was trained stays worth reporting
                run.unprofiled = str(error)
            except KeyboardInterrupt:
                run.unprofiled, run.interrupted = "the timing was interrupted", True
        return run

    def _profile(self, trainer: Trainer, backend: Backend) -> Profile:
        """A recorded step's profile; without Numba there are no ceilings to hold it against."""
        train = self.split.train
        # Without an executor the program runs on one thread: so do array libraries beneath it, or their products alone
        # would run on several, and be held against the same ceilings as what runs on one.
        alone = hardware.one_blas_thread() if backend.executor is None else contextlib.nullcontext()
        with alone:
            profile = trainer.profile(train.features, train.target, self.options.batch_size)
        threads = 1 if backend.executor is None else profile.timings.threads
        with contextlib.suppress(ImportError):
            profile = profile.under(ceilings(self.options.dtype, threads))
        return profile


def fastest_profiled(runs: Sequence[Run]) -> Run | None:
    """Of the runs with a profile, the one whose step takes least."""
    return min(
        (run for run in runs if run.profile), key=lambda run: run.profile.seconds if run.profile else 0.0, default=None
    )


def other_ceilings(profile: Profile) -> list[hardware.Ceilings]:
    """Those of one thread and of all, without the profile's own; empty where the profile has none."""
    if profile.ceilings is None:
        return []
    counts = {1, hardware.cpu_count()} - {profile.ceilings.threads}
    return [ceilings(profile.ceilings.dtype, threads) for threads in sorted(counts)]


def results(runs: Sequence[Run]) -> dict[str, Any]:
    """What ``--json`` writes and a report holds; with profiles also the ceilings of one thread and of all."""
    document: dict[str, Any] = {"runs": [run.as_json() for run in runs]}
    measured = {
        each.threads: each.as_json()
        for run in runs
        if run.profile and run.profile.ceilings
        for each in (run.profile.ceilings, *other_ceilings(run.profile))
    }
    if measured:
        document["ceilings"] = [measured[threads] for threads in sorted(measured)]
    return document


@cache
def ceilings(dtype: str, threads: int) -> hardware.Ceilings:
    """The machine's, measured once a process."""
    return hardware.measure(dtype, threads)
