"""What an estimator's ONNX file computes after its network."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ... import nn
from ...exchange.onnx.export import Ending, network_and_ending
from ...exchange.onnx.graph import Edge, Graph, Value, element_type
from ...tensor import Array
from ..classifier import MLPClassifier
from ..regressor import MLPRegressor

ACTIVATIONS = {"softmax": "Softmax", "logistic": "Sigmoid", "exp": "Exp", "identity": "Identity"}


@network_and_ending.register(MLPRegressor)
def _(model: MLPRegressor) -> tuple[nn.Module, Ending]:
    check_is_fitted(model)

    def ending(graph: Graph, y: Value) -> list[Edge]:
        graph.node("output", ACTIVATIONS[model.out_activation_], y.name, result="output")
        return [Edge("output", graph.dtype, y.columns)]

    return model._network().model, ending


@network_and_ending.register(MLPClassifier)
def _(model: MLPClassifier) -> tuple[nn.Module, Ending]:
    check_is_fitted(model)
    classes = stored_classes(model.classes_)

    def ending(graph: Graph, y: Value) -> list[Edge]:
        if model._label_binarizer.y_type_ == "multilabel-indicator":
            p = graph.node("output", ACTIVATIONS[model.out_activation_], y.name, result="probabilities")
            labels = graph.node("output", "Greater", p, graph.number(0.5))
            graph.node("output", "Cast", labels, to=element_type(np.int64), result="label")
            return [Edge("label", np.int64, y.columns), Edge("probabilities", graph.dtype, y.columns)]
        if model.n_outputs_ == 1:
            best = _of_two(graph, y)
        else:
            p = graph.node("output", ACTIVATIONS[model.out_activation_], y.name, result="probabilities")
            best = graph.node("output", "ArgMax", p, axis=1, keepdims=0)
        graph.node("output", "Gather", graph.array("classes", classes), best, result="label")
        return [
            Edge("label", classes.dtype, None),
            Edge("probabilities", graph.dtype, max(y.columns, 2)),
        ]

    return model._network().model, ending


def _of_two(graph: Graph, y: Value) -> str:
    """Both probabilities, from that of the second class; returns which class each row has."""
    second = graph.node("output", "Sigmoid", y.name)
    first = graph.node("output", "Sub", graph.number(1.0), second)
    graph.node("output", "Concat", first, second, axis=1, result="probabilities")
    above = graph.node("output", "Greater", second, graph.number(0.5))
    flat = graph.node("output", "Reshape", above, graph.array("output.shape", np.array([-1])))
    return graph.node("output", "Cast", flat, to=element_type(np.int64))


def stored_classes(classes: Any) -> Array:
    """As ONNX holds them: numbers and truths as they are, texts as objects; a single class twice."""
    array = np.asarray(classes)
    if array.dtype.kind not in "biuf":
        if not all(isinstance(label, str) for label in array.tolist()):
            raise TypeError(f"classes_ are {array.tolist()!r}, expected numbers or texts, which an ONNX file can hold")
        array = array.astype(object)
    return array if len(array) > 1 else np.repeat(array, 2)
