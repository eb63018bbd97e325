"""Estimators in checkpoints: parameters and attributes as JSON, arrays as tensors; nothing in a file is ever run.

A file has the network (``model.NAME``) and the optimizer's averages (``optimizer.I.NAME``) as a Trainer's checkpoint
has them, the arrays among the parameters and attributes (``estimator.NAME``), and in the state ``estimator``: class,
parameters, attributes, and the session, which is what decides the network and its training.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import sklearn
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

import kernels
from kernels import Backend
from kernels.contract.dtypes import FLOAT_NAMES

from ...checkpoints.checkpoint import (
    Checkpoint,
    Contents,
    Path_,
    Write,
    check_arrays,
    checked,
    contents,
    part,
    read_checkpoint,
)
from ...checkpoints.tensor_files import DTYPES, CheckpointError
from ...checks import check_number, check_whole, choose
from ...nn import Linear
from ...schedule import SCHEDULES, Schedule
from ...tensor import Array
from ..perceptron import MultilayerPerceptron
from ..session import Design, Session, Structure, network
from .soundness import BINARIZER, check_attributes, check_design, check_parameters

# What load_estimator can make, and the packages that have it: one above is imported when a file asks for it.
CLASSES = {
    "MLPClassifier": "tinynet.estimators",
    "MLPRegressor": "tinynet.estimators",
    "TabularClassifier": "tinynet.tabular",
    "TabularRegressor": "tinynet.tabular",
}
REBUILT = {"_session", "_saved", "coefs_", "intercepts_"}  # from the network and the optimizer
WORDS_OF_MT19937 = 624


def load_estimator(path: Path_) -> Any:
    """The fitted estimator, of one of CLASSES, that save_checkpoint wrote.

    It predicts the same bits, and partial_fit and warm starts go on as the saved one's would, on the same backend.
    Raises CheckpointError for what is no estimator's checkpoint or is damaged, kernels.BackendUnavailable where the
    backend that it was given loaded cannot run here, OSError where the file cannot be read.
    """
    return estimator_of(read_checkpoint(path))


def estimator_of(checkpoint: Checkpoint) -> Any:
    """The estimator in a checkpoint that was read."""
    saved = checkpoint.state.get("estimator")
    kind = saved.get("class") if isinstance(saved, dict) else None
    estimator = _class(kind if isinstance(kind, str) and kind in CLASSES else "MLPClassifier")()
    checkpoint.restore(estimator)
    return estimator


def class_name(target: Any) -> str:
    """The name in CLASSES of an estimator's class. Raises CheckpointError for a class of another's."""
    kind = type(target).__name__
    if kind not in CLASSES or type(target) is not _class(kind):
        raise CheckpointError(f"the estimator is a {kind}, expected one of {', '.join(CLASSES)}, no class made of them")
    return kind


def _class(kind: str) -> type[Any]:
    found: type[Any] = getattr(importlib.import_module(CLASSES[kind]), kind)
    return found


@contents.register(MultilayerPerceptron)
def _(target: MultilayerPerceptron) -> Contents:
    kind = class_name(target)
    check_is_fitted(target)
    session = target._network()
    (arrays, model), (averages, optimizer) = contents(session.model), contents(session.optimizer)
    parameters, writer = target.get_params(deep=False), Writer()
    saved = {
        "class": kind,
        "scikit-learn": sklearn.__version__,
        "parameters": {name: writer.written(name, value) for name, value in parameters.items()},
        "attributes": {
            name: writer.written(name, value)
            for name, value in vars(target).items()
            if name not in parameters and name not in REBUILT
        },
        "session": {name: writer.written(name, value) for name, value in session.progress().items()},
    }
    check_parameters(target)
    own = {f"estimator.{name}": array for name, array in writer.arrays.items()}
    return arrays | averages | own, {**model, **optimizer, "estimator": saved}


@checked.register(MultilayerPerceptron)
def _(target: MultilayerPerceptron, tensors: dict[str, Array], state: dict[str, Any]) -> list[Write]:
    reader, saved = Reader(part("estimator", tensors, state)), state["estimator"]
    if saved["class"] != type(target).__name__:
        raise CheckpointError(f"it holds a {saved['class']}, expected a {type(target).__name__}")
    found = type(target)()
    found.set_params(**reader.read_all(saved["parameters"]))
    for name, value in saved["attributes"].items():
        if name in REBUILT or name.startswith("__") or hasattr(found, name):
            raise CheckpointError(f"it has an attribute {name}, which is none that fit sets")
        setattr(found, name, reader.read(value))
    session = _session(reader.read_all(saved["session"]), tensors, state)
    if unused := reader.arrays.keys() - reader.used:
        raise CheckpointError(f"it has an array {min(unused)} that nothing names")
    found._session, found._saved = session, None
    found.coefs_, found.intercepts_ = session.coefs, session.intercepts
    check_attributes(found, session.design.structure)
    check_parameters(found)

    def write() -> None:
        target.__dict__.clear()
        target.__dict__.update(found.__dict__)

    return [write]


def _session(saved: dict[str, Any], tensors: dict[str, Array], state: dict[str, Any]) -> Session:
    """The session of the design and with the arrays that were saved."""
    design = check_design(saved["design"])
    widths = design.structure.widths
    arrays = part("model", tensors, state)
    if sum(a * b for a, b in itertools.pairwise(widths)) > sum(array.size for array in arrays.values()):
        raise CheckpointError(f"its network has the widths {widths}, more than it has weights for")
    model = network(design.structure)
    check_arrays("the network", arrays, model.arrays())
    linear = [name for name, module in model.named_modules() if isinstance(module, Linear)]
    del model  # before the session has one: memory
    session = Session(
        design, [arrays[f"{name}.weight"] for name in linear], [arrays[f"{name}.bias"] for name in linear]
    )
    for write in checked(session.model, tensors, state) + checked(session.optimizer, tensors, state):
        write()
    if saved.keys() != (own := session.progress()).keys():
        raise CheckpointError(f"its session has {', '.join(saved)}, expected {', '.join(own)}")
    session.trainer.step = step = check_whole("its step", saved["step"])
    if (schedule := session.schedule) is not None:
        schedule.load_state_dict(saved["schedule"])
        if schedule.knows_initial:
            for _, rate in zip(session.optimizer.groups, schedule.rates(step), strict=True):
                check_number("its learning rate", rate)
    return session


# ---- values ---------------------------------------------------------------------------------------------------------


class Writer:
    """Values as JSON can hold them: what it has no type for as an object of one entry, whose key is the kind."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.shared: list[Any] = []

    def written(self, name: str, value: Any) -> Any:
        """The value, arrays of numbers put aside under the name. Raises CheckpointError for what has no form."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return self.written(name, value.item())
        if isinstance(value, list):
            return self._all(name, value)
        if isinstance(value, tuple):
            return {"tuple": self._all(name, value)}
        if isinstance(value, dict):
            return {"dict": [self._all(f"{name}.{i}", pair) for i, pair in enumerate(value.items())]}
        if isinstance(value, np.ndarray):
            return self._array(name, value)
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.floating | float)):
            return {"dtype": np.dtype(value).name}
        if isinstance(value, np.random.RandomState) or type(value) in SCHEDULES.values():
            return self._shared(name, value)
        if isinstance(value, Design | Structure):
            kind = type(value).__name__
            inside = {field.name: self.written(field.name, getattr(value, field.name)) for field in fields(value)}
            return {kind: inside}
        if isinstance(value, LabelBinarizer):
            return {"labels": {key: self.written(f"{name}.{key}", inside) for key, inside in vars(value).items()}}
        if isinstance(value, Backend) and isinstance(value.reload, partial) and value.reload.func is kernels.load:
            options = {key: self.written(f"{name}.{key}", option) for key, option in value.reload.keywords.items()}
            return {"backend": [*value.reload.args, options]}
        raise CheckpointError(
            f"{name} of the estimator is {value!r}, expected what a checkpoint can hold: numbers, texts, arrays, "
            f"lists, tuples, dicts, RandomState, tinynet's schedules or a backend loaded by name"
        )

    def _all(self, name: str, values: Any) -> list[Any]:
        return [self.written(f"{name}.{i}", value) for i, value in enumerate(values)]

    def _array(self, name: str, array: Array) -> Any:
        if array.dtype.kind == "O" and array.ndim == 1:
            return {"objects": self._all(name, array.tolist())}
        if array.dtype.kind == "U" and array.ndim == 1:  # as code points, which take in the file what they do in memory
            texts = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            self.arrays[name] = texts.view("<u4").reshape(len(texts), texts.itemsize // 4)
            return {"texts": name}
        truths = array.dtype == bool
        self.arrays[name] = np.ascontiguousarray(array).view(np.uint8) if truths else array
        if self.arrays[name].dtype not in DTYPES.values():
            raise CheckpointError(f"{name} of the estimator has dtype {array.dtype}, which a checkpoint cannot hold")
        return {"truths" if truths else "array": name}

    def _shared(self, name: str, value: Any) -> Any:
        """An object that is in several places is one object again."""
        known = next((i for i, other in enumerate(self.shared) if other is value), None)
        if known is not None:
            return {"again": known}
        if isinstance(value, Schedule):
            parameters = inspect.signature(type(value)).parameters
            kind = next(kind for kind, make in SCHEDULES.items() if make is type(value))
            form = {"schedule": [kind, {key: self.written(f"{name}.{key}", getattr(value, key)) for key in parameters}]}
        else:
            form = {"generator": self._generator(name, value)}
        self.shared.append(value)
        return form

    def _generator(self, name: str, generator: np.random.RandomState) -> Any:
        """None is NumPy's own, which the process has already."""
        if generator is np.random.mtrand._rand:
            return None
        state: Any = generator.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            raise CheckpointError(f"{name} of the estimator draws from {state['bit_generator']}, expected MT19937")
        self.arrays[name] = state["state"]["key"].copy()
        return [name, int(state["state"]["pos"]), int(state["has_gauss"]), float(state["gauss"])]


class Reader:
    """The values that a Writer wrote. Raises ValueError, TypeError or KeyError for anything else."""

    def __init__(self, arrays: dict[str, Array]):
        self.arrays, self.used = arrays, set[str]()
        self.shared: list[Any] = []
        self.backend: Backend | None = None
        self.kinds: dict[str, Callable[[Any], Any]] = {
            "tuple": lambda inside: tuple(self.read(inside)),
            "dict": lambda inside: dict(map(self.read, inside)),
            "texts": self._texts,
            "objects": self._objects,
            "array": lambda name: self._taken(name).copy(),
            "truths": lambda name: self._taken(name).astype(bool),
            "dtype": lambda name: np.dtype(choose("dtype", name, FLOAT_NAMES)).type,
            "again": lambda place: self.shared[check_whole("its place", place)],
            "generator": self._generator,
            "schedule": self._schedule,
            "Design": lambda inside: Design(**self.read_all(inside)),
            "Structure": lambda inside: Structure(**self.read_all(inside)),
            "labels": self._labels,
            "backend": self._backend,
        }

    def read(self, value: Any) -> Any:
        """The value that was written."""
        if isinstance(value, list):
            return [self.read(inside) for inside in value]
        if not isinstance(value, dict):
            return value
        ((kind, inside),) = value.items()
        return self.kinds[kind](inside)

    def read_all(self, inside: dict[str, Any]) -> dict[str, Any]:
        """Values by name."""
        return {name: self.read(value) for name, value in inside.items()}

    def _shared(self, value: Any) -> Any:
        self.shared.append(value)
        return value

    def _schedule(self, inside: Any) -> Any:
        kind, options = inside
        return self._shared(SCHEDULES[kind](**self.read_all(options)))

    def _taken(self, name: str) -> Array:
        """An array of the file, to be copied; once only, or many names of one would fill the memory."""
        if name in self.used:
            raise CheckpointError(f"it names its array {name} twice")
        self.used.add(name)
        return self.arrays[name]

    def _texts(self, name: str) -> Array:
        points = self._taken(name)
        if points.ndim != 2 or points.dtype != np.uint32 or not points.shape[1]:
            raise CheckpointError(f"its {name} has {points.shape} of {points.dtype}, expected rows of uint32")
        if points.max(initial=0) > sys.maxunicode:
            raise CheckpointError(f"its {name} has {points.max()} among code points")
        return points.view(f"<U{points.shape[1]}")[:, 0].copy()

    def _objects(self, inside: Any) -> Array:
        array = np.empty(len(inside), object)
        array[:] = self.read(inside)
        return array

    def _generator(self, inside: Any) -> Any:
        if inside is None:
            return self._shared(np.random.mtrand._rand)
        name, position, has_gauss, gauss = inside
        key = self._taken(name)
        if key.shape != (WORDS_OF_MT19937,) or key.dtype != np.uint32:
            raise CheckpointError(f"its {name} has {key.shape} of {key.dtype}, expected {WORDS_OF_MT19937} of uint32")
        if check_whole("its generator's position", position) > WORDS_OF_MT19937:  # NumPy would read beyond the words
            raise CheckpointError(f"its generator's position is {position}, expected at most {WORDS_OF_MT19937}")
        generator = np.random.RandomState()
        generator.set_state(("MT19937", key, position, check_whole("it", has_gauss), float(gauss)))
        return self._shared(generator)

    def _backend(self, inside: Any) -> Backend:
        if self.backend is not None:  # each takes half a megabyte
            raise CheckpointError("it names a second backend")
        self.backend = kernels.load(inside[0], **self.read_all(inside[1]))
        return self.backend

    def _labels(self, inside: dict[str, Any]) -> LabelBinarizer:
        if not inside.keys() <= BINARIZER.keys():
            raise CheckpointError(
                f"its labels have {min(inside.keys() - BINARIZER.keys())}, expected {', '.join(BINARIZER)}"
            )
        binarizer = LabelBinarizer()
        vars(binarizer).update(self.read_all(inside))
        return binarizer
