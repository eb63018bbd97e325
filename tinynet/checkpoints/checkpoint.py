"""Checkpoints: the state of a model, an optimizer, a whole Trainer or an estimator in one safetensors file.

Arrays: ``model.NAME`` (parameters, buffers; beside them the modules' classes and options are noted, which decide the
function as much, to be compared), ``optimizer.group.I`` (a group's options), ``optimizer.I.NAME`` (running
averages of parameter I), ``optimizer.I.step`` (its count of updates where that is not its group's), ``history.NAME``,
``early_stopping.I.NAME`` (the best weights, or their average). The text ``state`` holds the rest as JSON. Nothing in a
file is ever run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import singledispatch
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import check_at_least_0, check_number, check_whole
from ..files import check_writable, is_replaced
from ..interrupts import uninterrupted
from ..nn import Module
from ..nn.ownership import changing, reading
from ..optim import Accumulate, Optimizer
from ..optim.optimizer import CHECKS
from ..schedule import Schedule
from ..tensor import Array
from ..training.callbacks import KeepsWeights
from ..training.history import History
from ..training.snapshot import PLAIN
from ..training.trainer import Position, Trainer
from ..version import __version__
from .tensor_files import TOO_LARGE, CheckpointError, read_tensors, write_tensors

FORMAT, FORMAT_VERSION = "tinynet checkpoint", "1"
DEEPEST = 100  # levels of lists and mappings in each other; Python reads some more
UNFIT = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, MemoryError)
HISTORY = {
    "train_loss": np.float64, "validation_loss": np.float64, "seconds": np.float64, "samples": np.int64,
    "learning_rate": np.float64, "step_loss": np.float64,
}  # fmt: skip

# The weights that a callback keeps, and how their names begin: only early stopping kept any in the first files.
KEPT = {"weights": "early_stopping", "last": "early_stopping_last"}

Target = Any  # a Module, an Optimizer, a Trainer or an estimator: what contents and checked have a rule for
Path_ = str | PathLike[str]
Contents = tuple[dict[str, Array], dict[str, Any]]
Write = Callable[[], None]


def save_checkpoint(path: Path_, target: Target, notes: Mapping[str, Any] | None = None) -> None:
    """Writes the state of a model, an optimizer, a Trainer or a fitted estimator; an older file is replaced as a whole.

    Of callbacks, the state of EarlyStopping and WeightAverage is kept; tn.manual_seed's generator, for layers yet to be
    made, is not.
    notes: what else load_checkpoint is to return, as JSON can hold it. Raises OSError where the file cannot be written,
    CheckpointError for state that a checkpoint cannot hold, MemoryError where there is too little.
    """
    _check_target(target)
    if not isinstance(notes, Mapping | None):
        raise TypeError(f"notes is a {type(notes).__name__}, expected a mapping of names to what JSON can hold")
    file = Path(path)
    check_writable("path", file)
    try:
        # A pipe's reader may never come.
        with reading("save_checkpoint", *_parts(target)), uninterrupted() if is_replaced(file) else nullcontext():
            tensors, state = contents(target)
            try:
                text = json.dumps(_encoded({**state, "notes": dict(notes or {})}), allow_nan=False)
            except (TypeError, ValueError) as error:
                raise CheckpointError(f"the state of {type(target).__name__} or the notes: {error}") from None
            versions = {"format": FORMAT, "format_version": FORMAT_VERSION, "tinynet": __version__}
            write_tensors(file, tensors, {**versions, "state": text})
    except MemoryError:
        raise MemoryError(f"{path} was not written: there is too little memory") from None


def load_checkpoint(path: Path_, target: Target) -> dict[str, Any]:
    """Restores what save_checkpoint wrote, and returns its notes.

    A Trainer is built before as the saved one was (model, optimizer, loss, schedule, seed, callbacks), and goes on with
    the same bits on the same backend. An estimator gets the saved one's parameters as well; load_estimator makes it
    again. A model or an optimizer can also be loaded from the checkpoint of a Trainer or an estimator.

    Raises CheckpointError for what is no checkpoint, is damaged or does not fit, before anything of the target is
    changed; OSError where the file cannot be read.
    """
    checkpoint = read_checkpoint(path)
    checkpoint.restore(target)
    return checkpoint.notes


@dataclass
class Checkpoint:
    """A checkpoint's contents in memory."""

    path: Path
    tensors: dict[str, Array]
    state: dict[str, Any]

    @property
    def notes(self) -> dict[str, Any]:
        """What was noted when it was saved."""
        return dict(self.state["notes"])

    def restore(self, target: Target) -> None:
        """Copies the state into the target, after all of it has been checked."""
        _check_target(target)
        with changing("load_checkpoint", *_parts(target)):
            self._restore(target)

    def _restore(self, target: Target) -> None:
        try:
            writes = checked(target, self.tensors, self.state)
        except CheckpointError as error:
            raise CheckpointError(f"{self.path} does not fit: {error}") from None
        except MemoryError:
            raise CheckpointError(f"{self.path} {TOO_LARGE}") from None
        except UNFIT as error:  # intact, but put together by something else
            raise CheckpointError(f"{self.path} holds no state that can be restored: {error!r}") from None
        with uninterrupted():
            for write in writes:
                write()


def read_checkpoint(path: Path_) -> Checkpoint:
    """Reads a checkpoint. Raises as load_checkpoint does."""
    tensors, texts = read_tensors(Path(path))
    if texts.get("format") != FORMAT or texts.get("format_version") != FORMAT_VERSION:
        found = f"{texts.get('format')!r}, version {texts.get('format_version')}"
        raise CheckpointError(f"{path} has the format {found}, expected {FORMAT!r}, version {FORMAT_VERSION}")
    try:
        state = json.loads(texts["state"], object_hook=_decoded)
        dict(state["notes"])
    except UNFIT:
        raise CheckpointError(f"{path} holds no state that can be read") from None
    return Checkpoint(Path(path), tensors, state)


def _check_target(target: Any) -> None:
    if contents.dispatch(type(target)) is contents.dispatch(object):
        raise TypeError(
            f"target is a {type(target).__name__}, expected a Module, an Optimizer, a Trainer or an estimator"
        )


def _parts(target: Any) -> tuple[Any, ...]:
    """What of the target no other thread may change meanwhile."""
    owner = target if isinstance(target, Trainer) else getattr(target, "_session", None)  # an estimator's
    return (target,) if owner is None else (owner.model, owner.optimizer)


@singledispatch
def contents(target: Any) -> Contents:
    """The arrays and the state that a checkpoint of the target holds."""
    raise NotImplementedError


@singledispatch
def checked(target: Any, tensors: dict[str, Array], state: dict[str, Any]) -> list[Write]:
    """What restores the state, once nothing more can fail."""
    raise NotImplementedError


@contents.register(Module)
def _(target: Module) -> Contents:
    return {f"model.{name}": array for name, array in target.arrays().items()}, {"model": {"modules": _modules(target)}}


@checked.register(Module)
def _(target: Module, tensors: dict[str, Array], state: dict[str, Any]) -> list[Write]:
    found = part("model", tensors, state)
    check_arrays("the model", found, target.arrays())
    for place, module in target.named_modules():
        for name in (f"{place}.{name}" if place else name for name in module.float64_state):
            if not all(0 <= count < math.inf for count in found[name].ravel().tolist()):
                raise CheckpointError(f"its {name} is {found[name]}, expected counts")
    own = _modules(target)
    noted = state["model"].get("modules", own)  # older checkpoints have none
    for place in [*own, *noted]:
        name = f"module {place}" if place else "model"
        _check_equal(name, noted.get(place, "none"), own.get(place, "none"))
    return [lambda: target.load_state_dict(found)]


def _modules(model: Module) -> dict[str, str]:
    """What decides the function besides arrays: each module's class and options, as it prints them, by dotted path."""
    modules = model.named_modules()
    return {path: f"{type(module).__name__}({' '.join(module.extra_repr().split())})" for path, module in modules}


def part(part: str, tensors: dict[str, Array], state: dict[str, Any]) -> dict[str, Array]:
    """The arrays of a part, of the model say, by their names in it."""
    if part not in state:
        raise CheckpointError(f"it holds no {part}, but {' and '.join(sorted(state.keys() - {'notes'}))}")
    return under(part, tensors)


def under(prefix: str, tensors: dict[str, Array]) -> dict[str, Array]:
    """The arrays whose names begin with the prefix and a dot, by the rest."""
    return {n.removeprefix(prefix + "."): array for n, array in tensors.items() if n.startswith(prefix + ".")}


def check_arrays(whose: str, found: Mapping[str, Array], own: Mapping[str, Array]) -> None:
    """The same names, shapes and dtypes."""
    if missing := own.keys() - found.keys():
        raise CheckpointError(f"{whose} has {_named(missing)}, which it lacks")
    if unknown := found.keys() - own.keys():
        raise CheckpointError(f"it has {_named(unknown)}, which {whose} lacks")
    for name, array in own.items():
        if found[name].shape != array.shape:
            raise CheckpointError(f"its {name} has shape {found[name].shape}, {whose} expects {array.shape}")
        if found[name].dtype != array.dtype:
            raise CheckpointError(f"its {name} has dtype {found[name].dtype}, {whose} expects {array.dtype}")


def _named(names: set[str]) -> str:
    some = sorted(names)
    return ", ".join(some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")


# ---- optimizers -----------------------------------------------------------------------------------------------------


@contents.register(Optimizer)
def _optimizer(optimizer: Optimizer) -> Contents:
    tensors = {f"optimizer.group.{i}": group.hyper for i, group in enumerate(optimizer.groups)}
    for i, parameter in enumerate(_parameters(optimizer)):
        averages = optimizer.state.get(id(parameter), {})
        tensors |= {f"optimizer.{i}.{name}": average for name, average in averages.items()}
    steps = enumerate(optimizer.own_steps())
    tensors |= {f"optimizer.{i}.step": np.array([step]) for i, step in steps if step is not None}
    kept = {"class": type(optimizer).__name__, "groups": [[*g.names, len(g.params)] for g in optimizer.groups]}
    return tensors, {"optimizer": kept}


@checked.register(Optimizer)
def _optimizer_checked(optimizer: Optimizer, tensors: dict[str, Array], state: dict[str, Any]) -> list[Write]:
    found = part("optimizer", tensors, state)
    _check_equal("optimizer", state["optimizer"], _optimizer(optimizer)[1]["optimizer"])
    averages, steps = [], list[float | None]()
    own = {f"group.{i}": group.hyper for i, group in enumerate(optimizer.groups)}
    for i, parameter in enumerate(_parameters(optimizer)):
        averages.append(under(str(i), found))
        step = averages[-1].pop("step", None)
        if step is not None and "step" in optimizer.options:
            own[f"{i}.step"] = np.zeros(1)
        if averages[-1]:  # there are none before the first step
            own |= {f"{i}.{name}": parameter.data for name in optimizer.averages}
        steps.append(None if step is None or step.shape != (1,) else float(step[0]))
    check_arrays("the optimizer", found, own)
    groups = []
    for i, group in enumerate(optimizer.groups):
        groups.append(dict(zip(group.names, found[f"group.{i}"].tolist(), strict=True)))
        for name, value in groups[-1].items():
            CHECKS[name](f"its {name}", value)
    for count in steps:
        CHECKS["step"]("its step", count or 0.0)
    return [lambda: optimizer.load_state_dict({"groups": groups, "averages": averages, "steps": steps})]


def _parameters(optimizer: Optimizer) -> list[Any]:
    return [parameter for group in optimizer.groups for parameter in group.params]


# ---- trainers -------------------------------------------------------------------------------------------------------


@contents.register(Trainer)
def _trainer(trainer: Trainer) -> Contents:
    (arrays, model), (averages, optimizer) = contents(trainer.model), contents(trainer.optimizer)
    history = trainer.history
    tensors = {f"history.{name}": np.array(getattr(history, name), dtype) for name, dtype in HISTORY.items()}
    states = [callback.state_dict() for callback in _keeping(trainer)]
    for i, state in enumerate(states):
        for kind, where in KEPT.items():
            tensors |= {f"{where}.{i}.{name}": array for name, array in state.pop(kind).items()}
    rest = {name: value for name, value in asdict(history).items() if name not in HISTORY}
    sums = _accumulated(trainer)
    tensors |= {f"accumulated.{i}": total for i, total in enumerate(sums["sums"])}
    return arrays | averages | tensors, {
        **model,
        **optimizer,
        "trainer": {
            "settings": _settings(trainer),
            "epoch": trainer.epoch,
            "step": trainer.step,
            "position": asdict(trainer.position),
            "schedule": trainer.schedules.state_dict() if trainer.schedules else None,
            "early_stopping": states,
            "accumulated": sums["reached"],
            "history": rest,
        },
    }


@checked.register(Trainer)
def _trainer_checked(trainer: Trainer, tensors: dict[str, Array], state: dict[str, Any]) -> list[Write]:
    part("trainer", tensors, state)
    writes = checked(trainer.model, tensors, state) + checked(trainer.optimizer, tensors, state)
    return [*writes, _run_checked(trainer, tensors, state["trainer"])]


def _run_checked(trainer: Trainer, tensors: dict[str, Array], state: dict[str, Any]) -> Write:
    for name, value in json.loads(json.dumps(_encoded(_settings(trainer))), object_hook=_decoded).items():
        if (
            name not in ("transforms", "drop_last", "precision") or name in state["settings"]
        ):  # older files say nothing of them
            _check_equal(name, state["settings"][name], value)
    epoch, step = check_whole("its epoch", state["epoch"]), check_whole("its step", state["step"])
    # An older file has no weight: every row counted once.
    position = Position(**{"weight": float(state["position"]["rows_done"]), **state["position"]})
    for name in ("rows", "batch_size", "steps_done", "rows_done", "source"):
        check_whole(name, getattr(position, name))
    check_number("loss", position.loss), check_at_least_0("weight", position.weight)
    if trainer.schedules:
        trainer.schedules.check_state_dict(state["schedule"], step)
    accumulated = _accumulated_checked(trainer, tensors, state)
    keeping, states = _keeping(trainer), state["early_stopping"]
    if len(states) != len(keeping):
        raise CheckpointError(f"it has {len(states)} callbacks that keep weights, the trainer {len(keeping)}")
    kept = [_kept_checked(trainer, i, each, tensors) for i, each in enumerate(states)]
    found = under("history", tensors)
    for name, dtype in HISTORY.items():
        if found[name].ndim != 1 or found[name].dtype != dtype:
            raise CheckpointError(f"its history.{name} is no list of {np.dtype(dtype)}")
    rest = History(**state["history"])
    check_number("compile_seconds", rest.compile_seconds), check_number("waiting_seconds", rest.waiting_seconds)
    check_whole("kernels_compiled", rest.kernels_compiled)
    lists = [rest.step_learning_rate, *rest.metrics.values()] if isinstance(rest.metrics, dict) else [None]
    if not all(isinstance(each, list) and all(isinstance(x, float) for x in each) for each in lists):
        raise CheckpointError("its history holds what is none")
    if not isinstance(rest.stopped, str) or not isinstance(rest.continues, bool):
        raise CheckpointError("its history holds what is none")
    history = replace(rest, **{name: found[name].tolist() for name in HISTORY})

    def write() -> None:
        trainer.epoch, trainer.step, trainer.position, trainer.histories = epoch, step, position, [history]
        if trainer.schedules:
            trainer.schedules.load_state_dict(state["schedule"])
        if accumulated is not None:
            accumulated()
        for callback, each in zip(keeping, kept, strict=True):
            callback.load_state_dict(each)

    return write


def _accumulate(trainer: Trainer) -> Accumulate | None:
    """Its sums are those of the model's parameters."""
    found = next((each for each in trainer.transforms if isinstance(each, Accumulate)), None)
    if found is not None:
        found.begin(trainer.model.parameters())
    return found


def _accumulated(trainer: Trainer) -> dict[str, Any]:
    found = _accumulate(trainer)
    return {"sums": [], "reached": []} if found is None else found.state_dict()


def _accumulated_checked(trainer: Trainer, tensors: dict[str, Array], state: dict[str, Any]) -> Write | None:
    found, reached = _accumulate(trainer), state.get("accumulated", [])  # an older file has none
    if found is None:
        return None
    sums = under("accumulated", tensors)
    own = {f"{i}": total for i, total in enumerate(found.arrays())}
    check_arrays("accumulated gradients", sums, own)
    if len(reached) != len(own) or not all(isinstance(each, bool) for each in reached):
        raise CheckpointError(f"it has accumulated gradients of {len(reached)} parameters, the trainer {len(own)}")
    return lambda: found.load_state_dict({"sums": [sums[name] for name in own], "reached": reached})


def _keeping(trainer: Trainer) -> list[KeepsWeights]:
    """The callbacks whose state is kept: what gives the model other weights at a fit's end."""
    return [callback for callback in trainer.callbacks if isinstance(callback, KeepsWeights)]


def _kept_checked(trainer: Trainer, i: int, kept: dict[str, Any], tensors: dict[str, Array]) -> dict[str, Any]:
    """The state of the i-th of them. An older file that does not say which rows it watched begins again."""
    callback = _keeping(trainer)[i]
    found: dict[str, Any] = {}
    for name in callback.numbers:
        found[name] = float(kept[name]) if name == "best" else check_whole(name, kept.get(name, 0))
    for kind, where in KEPT.items():
        found[kind] = under(f"{where}.{i}", tensors)
        if found[kind]:  # there are none before the first epoch's end
            check_arrays(type(callback).__name__, found[kind], trainer.model.arrays())
    return found


def _settings(trainer: Trainer) -> dict[str, Any]:
    """What a Trainer is built with, and a checkpoint does not restore but compare."""
    return {
        "seed": trainer.seed,
        "clip_norm": trainer.clip_norm,
        "drop_last": trainer.drop_last,
        "precision": trainer.precision,
        "transforms": [_described(transform) for transform in trainer.transforms],
        "loss function": _described(trainer.loss_function),
        "schedule": _described(trainer.schedule),
        "early stopping": [_described(callback) for callback in _keeping(trainer)],
    }


def _described(part: Any) -> Any:
    """Class and plain options; what changes in training is left out."""
    if part is None:
        return None
    if isinstance(part, Mapping):  # from options to their schedules
        return {str(name): _described(inside) for name, inside in part.items()}
    if not hasattr(part, "__dict__") or isinstance(part, type) or hasattr(part, "__qualname__"):
        return getattr(part, "__qualname__", type(part).__name__)
    changing = {"training", "steps_per_epoch", "total_steps"}
    if isinstance(part, Schedule | KeepsWeights):
        changing |= part.state_dict().keys()
    options = {
        name: value
        for name, value in vars(part).items()
        if isinstance(value, PLAIN) and name not in changing and not name.startswith("_")
    }
    inside = {name: _described(value) for name, value in vars(part).items() if isinstance(value, Schedule)}
    return {"class": type(part).__name__, **options, **inside}


def _check_equal(name: str, found: Any, own: Any) -> None:
    if found != own:
        raise CheckpointError(f"its {name} is {_short(found)}, here it is {_short(own)}")


def _short(value: Any) -> str:
    if isinstance(value, dict) and "class" in value:
        return f"{value['class']}({', '.join(f'{n}={_short(v)}' for n, v in value.items() if n != 'class')})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_short(inside)}" for name, inside in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return repr(value)


# ---- JSON -----------------------------------------------------------------------------------------------------------


def _encoded(value: Any, depth: int = 0) -> Any:
    """As JSON can hold it, and _decoded finds it again: infinity, which JSON cannot hold, as an object."""
    if depth > DEEPEST:
        raise TypeError(f"they are nested in each other more than {DEEPEST} times")
    if isinstance(value, Mapping):
        encoded = {str(name): _encoded(inside, depth + 1) for name, inside in value.items()}
        if len(encoded) < len(value) or encoded.keys() == {"nonfinite"}:
            raise TypeError(f"the keys {', '.join(map(repr, value))} would not be read as they are")
        return encoded
    if isinstance(value, list | tuple):
        return [_encoded(inside, depth + 1) for inside in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"nonfinite": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} is nothing that JSON holds")


def _decoded(found: dict[str, Any]) -> Any:
    return float(found["nonfinite"]) if found.keys() == {"nonfinite"} else found
