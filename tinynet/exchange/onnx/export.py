"""export_onnx, and what a file gives of a network."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from ... import nn
from ...checks import check_positive, choose
from ...files import check_writable, write_atomically
from .graph import Edge, Graph, Value
from .layers import append, first_columns, first_module, last_module
from .protobuf import serialised

OUTPUTS = {"logits": None, "softmax": "Softmax", "sigmoid": "Sigmoid"}
Ending = Callable[[Graph, Value], list[Edge]]


def require_onnx() -> None:
    """Raises ImportError with what to install."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ImportError("an ONNX file needs onnx: pip install 'tinynet[onnx]'") from None


@singledispatch
def network_and_ending(model: Any) -> tuple[nn.Module, Ending]:
    """The network, and what the file gives out after it. Estimators have their own rule."""
    raise TypeError(f"model is a {type(model).__name__}, expected a Module or one of tinynet's estimators")


@network_and_ending.register(nn.Module)
def _(model: nn.Module) -> tuple[nn.Module, Ending]:
    return model, activated("logits")


def activated(output: str) -> Ending:
    """``output``: the network's, or softmax or sigmoid of it."""

    def ending(graph: Graph, y: Value) -> list[Edge]:
        final = OUTPUTS[output]
        if final or not graph.nodes:
            graph.node("output", final or "Identity", y.name)
        graph.nodes[-1].output[0] = "output"
        return [Edge("output", graph.dtype, y.columns)]

    return ending


def check_ending(network: nn.Module, output: str) -> None:
    """Refuses a softmax or sigmoid of what is one."""
    last = last_module(network)
    fused = isinstance(last, nn.Linear) and last.activation == "sigmoid"
    if OUTPUTS[output] and (fused or isinstance(last, nn.Softmax | nn.LogSoftmax | nn.Sigmoid)):
        raise ValueError(f"output is {output!r}, but the model ends with {last!r} already, expected 'logits'")


@singledispatch
def graph_of(model: Any, input_features: int | None, output: str | None) -> Graph:
    """The file's graph: one ``input``, a network, its ending. Estimators of tables have a rule of their own."""
    network, ending = network_and_ending(model)
    if output is not None:
        check_ending(network, choose("output", output, OUTPUTS))
        ending = activated(output)
    columns = first_columns(network) if input_features is None else check_positive("input_features", input_features)
    dtype = dtype_of(network)
    taken = np.dtype(np.int64) if isinstance(first_module(network), nn.Embedding) else dtype
    graph = Graph(dtype, [Edge("input", taken, columns)])
    graph.outputs = ending(graph, append(graph, "", network, Value("input", columns)))
    return graph


def dtype_of(network: nn.Module) -> np.dtype[Any]:
    """Of a network's arithmetic: its parameters', float32 where it has none."""
    parameters = network.parameters()
    return parameters[0].dtype if parameters else np.dtype(np.float32)


def export_onnx(
    model: Any, path: str | os.PathLike[str], input_features: int | None = None, output: str | None = None
) -> None:
    """Writes a network in evaluation mode, or a fitted estimator, as an ONNX file.

    It takes ``input`` (batch, features). Networks and regressors give ``output`` (batch, outputs), a classifier
    ``label``, what predict returns, and ``probabilities`` (batch, classes), those of predict_proba. The batch axis is
    dynamic; the dtype is the parameters', that of an Embedding's input int64; weights keep their dotted names.

    An estimator of tables takes an input (batch, 1) for each column that its ``encoder_`` reads, by the column's name:
    float64 for numbers, NaN where blank, and for dates, seconds since 1970 in UTC; bool for truth values; text for
    categories, and for truth values that were text or had blanks in fit, empty where blank. Texts come without white
    space around them, and numbers among them as Python writes them. Outputs are float64; one whose name a column has
    is called that, followed by _. ``output`` and ``input_features`` are not for it.

    output: logits, what the network returns, or softmax or sigmoid of it, alone and as ``output``; by default logits
    for networks, predictions for estimators. input_features: by default what the first layer takes. GELU's erf is
    computed in float32 even in a float64 model, as runtimes lack the other.

    Raises:
        ImportError: onnx is not installed.
        TypeError: a module that cannot be exported, as the user's own modules, dtypes that are mixed, or classes that
            are neither numbers nor texts.
        ValueError: layers that do not fit together, an estimator that is not fitted, a table's column that ONNX has no
            operators for, as dates that were text in fit, or more than 2 GiB of parameters.
        OSError: path cannot be written.
    """
    require_onnx()
    path = Path(path)
    check_writable("path", path)
    write_atomically(path, serialised(graph_of(model, input_features, output)))
