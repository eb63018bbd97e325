"""Estimators of tables in checkpoints; nothing in a file is ever run.

Arrays: ``encoder.NAME``, ``member.I.NAME`` (weights of the I-th net), ``estimator.NAME`` (among the parameters and
attributes). State ``estimator``: class, parameters, attributes, recipe, the encoder's plain state, number of members.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict
from typing import Any

import numpy as np
import sklearn
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import check_is_fitted

from ..checkpoints.checkpoint import Contents, Write, check_arrays, checked, contents, part, under
from ..checkpoints.tensor_files import CheckpointError
from ..checks import check_whole
from ..estimators.exchange.checkpoint import Reader, Writer, class_name
from ..nn import Module
from ..tables import TableEncoder
from ..tensor import Array
from .classifier import TabularClassifier
from .estimator import Tabular
from .network import Layout, network
from .recipe import Recipe
from .soundness import check_attributes, check_parameters, check_recipe

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
    kind = class_name(target)
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
    check_parameters(target)
    check_attributes(target, len(target.members_))
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
    if saved["attributes"].keys() != ATTRIBUTES[kind].keys():
        raise CheckpointError(f"its attributes are {', '.join(saved['attributes'])}, expected those that fit sets")
    for name, wanted in ATTRIBUTES[kind].items():
        value = reader.read(saved["attributes"][name])
        if type(value) is not wanted:
            raise CheckpointError(f"its {name} is a {type(value).__name__}, expected a {wanted.__name__}")
        setattr(found, name, value)
    found.recipe_ = Recipe(**{**saved["recipe"], "widths": tuple(saved["recipe"]["widths"])})
    check_recipe(found.recipe_)
    count = check_whole("its members", saved["members"])
    if not 1 <= count <= len(tensors):
        raise CheckpointError(f"it has {count} members, expected 1 or more, each with weights")
    check_attributes(found, count)
    check_parameters(found)
    found.encoder_ = encoder = TableEncoder.from_state(under("encoder", tensors), saved["encoder"])
    found.n_features_in_ = encoder.n_features_in_
    if hasattr(encoder, "feature_names_in_"):
        found.feature_names_in_ = encoder.feature_names_in_
    if isinstance(found, TabularClassifier):
        found._labels = LabelEncoder()
        found._labels.classes_ = found.classes_
    _check_named(tensors, reader.used)
    layout = Layout.of(encoder)
    found.members_ = [_member(found.recipe_, layout, arrays) for arrays in _by_member(tensors, count)]

    def write() -> None:
        target.__dict__.clear()
        target.__dict__.update(found.__dict__)

    return [write]


def _check_named(tensors: dict[str, Array], used: set[str]) -> None:
    """Refuses what is no part's, and of the estimator what nothing named; the encoder and the nets check their own."""
    for path in sorted(tensors):
        kind, _, name = path.partition(".")
        if kind not in ("encoder", "member") and not (kind == "estimator" and name in used):
            raise CheckpointError(f"it has an array {path} that nothing names")


def _by_member(tensors: dict[str, Array], count: int) -> list[dict[str, Array]]:
    """The weights of each net by name, in one pass: a file may have as many nets as arrays."""
    members = {str(i): dict[str, Array]() for i in range(count)}
    for path, array in under("member", tensors).items():
        place, _, name = path.partition(".")
        if place not in members:
            raise CheckpointError(f"it has an array member.{path} that nothing names")
        members[place][name] = array
    return list(members.values())


def _member(recipe: Recipe, layout: Layout, arrays: dict[str, Array]) -> Module:
    """A net with the weights; none is built that is larger than the weights there are."""
    sizes = itertools.pairwise((max(1, layout.dense), *recipe.widths, recipe.outputs))
    few = len(recipe.widths) >= len(arrays)
    if few or sum(layout.codes) + sum(a * b for a, b in sizes) > sum(array.size for array in arrays.values()) + 1:
        widths = ", ".join(map(str, recipe.widths[:3])) + (", ..." if len(recipe.widths) > 3 else "")
        raise CheckpointError(f"a member has the widths {widths}, more than it has weights for")
    model = network(recipe, layout, 0)
    check_arrays("a member", arrays, model.arrays())
    model.load_state_dict(arrays)
    model.eval()
    return model
