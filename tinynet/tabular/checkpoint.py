"""Estimators of tables in checkpoints; nothing in a file is ever run.

Arrays: ``encoder.NAME``, ``member.I.NAME`` (weights of the I-th net), ``estimator.NAME`` (among the parameters and
attributes). State ``estimator``: class, parameters, attributes, recipe, the encoder's plain state, number of members.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import sklearn
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import check_is_fitted

from ..checkpoints.checkpoint import Contents, Write, check_arrays, checked, contents, part, under
from ..checkpoints.tensor_files import CheckpointError
from ..checks import check_number, check_whole, choose
from ..estimators.exchange.checkpoint import CLASSES, Reader, Writer
from ..nn import ACTIVATIONS, Module
from ..tables import TableEncoder
from ..tensor import Array
from .classifier import TabularClassifier
from .estimator import Tabular
from .network import Layout, network
from .recipe import Recipe
from .regressor import TabularRegressor

CLASSES |= {make.__name__: make for make in (TabularClassifier, TabularRegressor)}
REBUILT = {"encoder_", "members_", "recipe_", "_labels", "n_features_in_", "feature_names_in_"}
CURVES = {"loss_curves_": list, "validation_scores_": list, "best_epochs_": list}
SHARED: dict[str, type] = {**CURVES, "best_validation_score_": float, "n_iter_": int}
ATTRIBUTES: dict[str, dict[str, type]] = {
    "TabularClassifier": {**SHARED, "classes_": np.ndarray, "temperature_": float},
    "TabularRegressor": {
        **SHARED, "n_outputs_": int,
        "_mean": np.ndarray, "_sd": np.ndarray, "_low": np.ndarray, "_high": np.ndarray,
    },
}  # fmt: skip


@contents.register(Tabular)
def _(target: Tabular) -> Contents:
    kind = type(target).__name__
    if CLASSES.get(kind) is not type(target):
        raise CheckpointError(f"the estimator is a {kind}, expected one of {', '.join(CLASSES)}, no class made of them")
    check_is_fitted(target)
    arrays, plain = target.encoder_.state()
    writer = Writer()
    saved = {
        "class": kind,
        "scikit-learn": sklearn.__version__,
        "parameters": {name: writer.written(name, value) for name, value in target.get_params(deep=False).items()},
        "attributes": {name: writer.written(name, getattr(target, name)) for name in ATTRIBUTES[kind]},
        "recipe": asdict(target.recipe_),
        "encoder": plain,
        "members": len(target.members_),
    }
    tensors = {f"encoder.{name}": array for name, array in arrays.items()}
    tensors |= {f"estimator.{name}": array for name, array in writer.arrays.items()}
    for i, model in enumerate(target.members_):
        tensors |= {f"member.{i}.{name}": array for name, array in model.arrays().items()}
    return tensors, {"estimator": saved}


@checked.register(Tabular)
def _(target: Tabular, tensors: dict[str, Array], state: dict[str, Any]) -> list[Write]:
    reader, saved = Reader(part("estimator", tensors, state)), state["estimator"]
    kind = type(target).__name__
    if saved["class"] != kind:
        raise CheckpointError(f"it holds a {saved['class']}, expected a {kind}")
    make: Any = type(target)
    found = make()
    found.set_params(**reader.read_all(saved["parameters"]))
    found._validate_params()
    if saved["attributes"].keys() != ATTRIBUTES[kind].keys():
        raise CheckpointError(f"its attributes are {', '.join(saved['attributes'])}, expected those that fit sets")
    for name, wanted in ATTRIBUTES[kind].items():
        value = reader.read(saved["attributes"][name])
        if type(value) is not wanted:
            raise CheckpointError(f"its {name} is a {type(value).__name__}, expected a {wanted.__name__}")
        setattr(found, name, value)
    if unused := reader.arrays.keys() - reader.used:
        raise CheckpointError(f"it has an array {min(unused)} that nothing names")
    found.encoder_ = encoder = TableEncoder.from_state(under("encoder", tensors), saved["encoder"])
    found.n_features_in_ = encoder.n_features_in_
    if hasattr(encoder, "feature_names_in_"):
        found.feature_names_in_ = encoder.feature_names_in_
    found.recipe_ = _recipe(saved["recipe"])
    _check_target(found)
    layout = Layout.of(encoder)
    count = check_whole("its members", saved["members"])
    if not 1 <= count <= len(tensors):
        raise CheckpointError(f"it has {count} members, expected 1 or more, each with weights")
    found.members_ = [_member(found.recipe_, layout, under(f"member.{i}", tensors)) for i in range(count)]

    def write() -> None:
        target.__dict__.clear()
        target.__dict__.update(found.__dict__)

    return [write]


def _recipe(saved: dict[str, Any]) -> Recipe:
    recipe = Recipe(**{**saved, "widths": tuple(saved["widths"])})
    for size in (*recipe.widths, recipe.outputs, recipe.epochs, recipe.batch_size):
        if check_whole("a size of its recipe", size) < 1:
            raise CheckpointError(f"its recipe has a size of {size}, expected 1 or more")
    for name in ("rate", "dropout", "weight_decay"):
        check_number(f"its {name}", getattr(recipe, name))
    choose("activation", recipe.activation, ACTIVATIONS)
    for name in ("embed_numbers", "ascending"):
        if not isinstance(getattr(recipe, name), bool):
            raise CheckpointError(f"its {name} is {getattr(recipe, name)!r}, expected True or False")
    return recipe


def _check_target(found: Any) -> None:
    """What the attributes say of the target is what the nets put out."""
    outputs = found.recipe_.outputs
    if isinstance(found, TabularClassifier):
        if found.classes_.shape != (outputs,) or outputs < 2:
            raise CheckpointError(f"its classes_ have shape {found.classes_.shape}, its nets {outputs} outputs")
        if not (math.isfinite(found.temperature_) and found.temperature_ > 0):
            raise CheckpointError(f"its temperature_ is {found.temperature_}, expected a number above 0")
        found._labels = LabelEncoder()
        found._labels.classes_ = found.classes_
        return
    columns = 1 if found.loss == "quantile" else outputs
    if found.n_outputs_ != columns:
        raise CheckpointError(f"its n_outputs_ is {found.n_outputs_}, its nets have {outputs} outputs")
    for name in ("_mean", "_sd", "_low", "_high"):
        array = getattr(found, name)
        if array.shape != (columns,) or array.dtype != np.float64 or not np.isfinite(array).all():
            raise CheckpointError(f"its {name} is {array.dtype} {array.shape}, expected {columns} finite float64")


def _member(recipe: Recipe, layout: Layout, arrays: dict[str, Array]) -> Module:
    """A net with the weights; none is built that is larger than the weights there are."""
    sizes = itertools.pairwise((max(1, layout.dense), *recipe.widths, recipe.outputs))
    if sum(layout.codes) + sum(a * b for a, b in sizes) > sum(array.size for array in arrays.values()) + 1:
        raise CheckpointError(f"a member has the widths {recipe.widths}, more than it has weights for")
    model = network(recipe, layout, 0)
    check_arrays("a member", arrays, model.arrays())
    model.load_state_dict(arrays)
    model.eval()
    return model
