"""An estimator's ONNX file: its encoder, its members, and what it gives from their outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ...estimators.exchange.onnx import stored_classes
from ...exchange.onnx.composing import Composer
from ...exchange.onnx.export import dtype_of, graph_of
from ...exchange.onnx.graph import Edge, Graph
from ...exchange.onnx.layers import append
from ..classifier import TabularClassifier
from ..estimator import Tabular
from ..regressor import TabularRegressor
from .encoder import encoded, inputs


def _outputs(model: Tabular, input_features: Any, output: Any) -> tuple[Graph, list[str], int]:
    """A graph from a table's columns to each member's outputs, which are float64, and how many there are."""
    check_is_fitted(model)
    for name, given in (("input_features", input_features), ("output", output)):
        if given is not None:
            raise ValueError(f"{name} is {given!r}, expected None for an estimator of tables, which decides it alone")
    graph = Graph(dtype_of(model.members_[0]), inputs(model.encoder_))
    x = encoded(graph, "encoder", model.encoder_)
    found = [append(graph, f"member.{i}", member, x) for i, member in enumerate(model.members_)]
    compose = Composer(graph, "output", np.float64)
    return graph, [compose.cast(each.name, np.float64) for each in found], found[0].columns


def _mean(compose: Composer, values: list[str], **options: Any) -> str:
    """Of members."""
    total = values[0]
    for value in values[1:]:
        total = compose.add(total, value)
    return compose.node("Div", total, float(len(values)), **options)


@graph_of.register(TabularClassifier)
def _(model: TabularClassifier, input_features: Any, output: Any) -> Graph:
    graph, logits, columns = _outputs(model, input_features, output)
    compose, classes = Composer(graph, "output", np.float64), stored_classes(model.classes_)
    label, probabilities = graph.free("label"), graph.free("probabilities")
    cooled = [compose.divide(z, model.temperature_) for z in logits]
    _mean(compose, [compose.node("Softmax", z, axis=1) for z in cooled], result=probabilities)
    best = compose.node("ArgMax", probabilities, axis=1, keepdims=0)
    graph.node("output", "Gather", graph.array("classes", classes), best, result=label)
    graph.outputs = [Edge(label, classes.dtype, None), Edge(probabilities, np.float64, columns)]
    return graph


@graph_of.register(TabularRegressor)
def _(model: TabularRegressor, input_features: Any, output: Any) -> Graph:
    graph, members, columns = _outputs(model, input_features, output)
    compose, result = Composer(graph, "output", np.float64), graph.free("output")
    sd, mean, low, high = (
        graph.array(f"target.{name}", np.asarray(getattr(model, f"_{name}"), np.float64))
        for name in ("sd", "mean", "low", "high")
    )
    y = compose.add(compose.multiply(_mean(compose, members), sd), mean)
    compose.node("Min", compose.maximum(y, low), high, result=result)
    graph.outputs = [Edge(result, np.float64, columns)]
    return graph
