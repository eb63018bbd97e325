"""Weights that other libraries learned: scikit-learn's perceptrons as networks, PyTorch's state_dicts as weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..tensor import Array

SKLEARN_ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


def from_sklearn(estimator: Any) -> nn.Sequential:
    """A fitted MLPClassifier or MLPRegressor as Sequential(Linear, ..., Linear), activations fused; weights are copied.

    It returns what comes before the estimator's ``out_activation_``: for classifiers logits, whose softmax, or with
    two classes or several labels whose sigmoid, is ``predict_proba``, columns in the order of ``classes_``; for
    regressors the prediction, in one column an output, or with loss="poisson" its logarithm.

    Raises:
        TypeError: another object.
        ValueError: an estimator that is not fitted.
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = type(estimator).__name__
    if not isinstance(estimator, MLPClassifier | MLPRegressor):
        raise TypeError(f"estimator is a {kind}, expected a fitted MLPClassifier or MLPRegressor")
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"the {kind} is not fitted: call fit first")
    hidden, last = SKLEARN_ACTIVATIONS[estimator.activation], len(estimator.coefs_) - 1
    layers = [
        nn.Linear(coefs.shape[0], coefs.shape[1], activation="identity" if i == last else hidden, initialiser="zeros")
        for i, coefs in enumerate(estimator.coefs_)
    ]
    model = nn.Sequential(*layers).to(estimator.coefs_[0].dtype)
    state = {f"{i}.weight": coefs for i, coefs in enumerate(estimator.coefs_)}
    model.load_state_dict(state | {f"{i}.bias": intercepts for i, intercepts in enumerate(estimator.intercepts_)})
    return model


class Entry(NamedTuple):
    """Where an array of a state_dict goes: the name here, the shape there, and whether it is (out, in) there."""

    own: str
    shape: tuple[int, ...]
    transposed: bool


# What layers have, by PyTorch's names: ours. Linear weights are (out, in) there.
NAMES: dict[type[nn.Module], dict[str, str]] = {
    nn.Linear: {"weight": "weight", "bias": "bias"},
    nn.BatchNorm1d: {
        "weight": "weight",
        "bias": "bias",
        "running_mean": "running_mean",
        "running_var": "running_variance",
    },
    nn.LayerNorm: {"weight": "weight", "bias": "bias"},
    nn.Embedding: {"weight": "weight"},
}


def entries(model: nn.Module) -> tuple[dict[str, Entry], set[str]]:
    """By their names in PyTorch: the arrays that the model has there, and those that it may have."""
    expected: dict[str, Entry] = {}
    ignored: set[str] = set()
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        names = next((NAMES[kind] for kind in NAMES if isinstance(module, kind)), {})
        known = set(names.values())
        for name, value in vars(module).items():
            if isinstance(value, nn.Parameter) and name not in known:
                raise TypeError(f"{prefix}{name} is a parameter of a {type(module).__name__}, which PyTorch has not")
        for theirs, ours in names.items():
            value = getattr(module, ours)
            if value is not None:
                transposed = isinstance(module, nn.Linear) and theirs == "weight"
                shape = value.shape[::-1] if transposed else value.shape
                expected[prefix + theirs] = Entry(prefix + ours, shape, transposed)
        if isinstance(module, nn.BatchNorm1d):
            ignored.add(f"{prefix}num_batches_tracked")
    return expected, ignored


def readable(name: str, value: Any) -> Array:
    """An array of real numbers, from an array or a tensor that NumPy can read."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # tensors on other devices, of bfloat16, or that require gradients
        raise TypeError(
            f"arrays: {name} is a {type(value).__name__} that NumPy cannot read, expected for tensors "
            f"tensor.detach().cpu().float().numpy()"
        ) from None
    if array.dtype.kind not in "fiu":
        raise TypeError(f"arrays: {name} has dtype {array.dtype}, expected numbers")
    return array


def from_torch_state_dict(model: nn.Module, arrays: Mapping[str, Any]) -> nn.Module:
    """Copies a PyTorch module's state_dict into model, which is built alike, and returns model.

    arrays: name -> array, as in ``{name: t.numpy() for name, t in module.state_dict().items()}``; the tensors of the
    CPU can be given as they are. Linear weights, which PyTorch keeps (out, in), are transposed. The names are those of
    PyTorch's module, so positions must agree: where it has an activation as a module, so must model. Values are
    converted to the model's dtype. BatchNorm1d's num_batches_tracked is of no use here.

    All names and shapes are checked before anything is written.

    Raises:
        TypeError: what are no numbers, or a model with parameters of modules that PyTorch has not.
        ValueError: names that are missing or unknown, or shapes that differ.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, expected a Module")
    if not isinstance(arrays, Mapping):
        raise TypeError(f"arrays is a {type(arrays).__name__}, expected a mapping from names to arrays")
    expected, ignored = entries(model)
    missing = [name for name in expected if name not in arrays]
    unknown = [str(name) for name in arrays if name not in expected and name not in ignored]
    if missing or unknown:
        said = [f"lacks {', '.join(missing)}"] if missing else []
        said += [f"has unknown {', '.join(unknown)}"] if unknown else []
        raise ValueError(f"arrays {' and '.join(said)}")
    state = model.state_dict()
    for name, entry in expected.items():
        array = readable(name, arrays[name])
        if array.shape != entry.shape:
            layout = ", (out, in)" if entry.transposed else ""
            raise ValueError(f"arrays: {name} has shape {array.shape}, expected {entry.shape}{layout}")
        state[entry.own] = array.T if entry.transposed else array
    model.load_state_dict(state)
    return model
