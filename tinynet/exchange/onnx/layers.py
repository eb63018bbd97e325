"""A rule for each layer: the nodes that compute what it does in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import nn
from .composing import IN_FLOAT32, Composer
from .graph import Graph, Value, beside, element_type, joined, picked

Rule = Callable[[Graph, str, Any, Value], Value]


def operator(name: str, **attributes: Any) -> Rule:
    """The rule of an activation that ONNX has."""

    def rule(graph: Graph, path: str, module: nn.Module, x: Value) -> Value:
        return Value(graph.node(path, name, x.name, **attributes), x.columns)

    return rule


def nothing(graph: Graph, path: str, module: nn.Module, x: Value) -> Value:
    """The rule of what does nothing in evaluation."""
    return x


def check_columns(path: str, module: nn.Module, x: Value, expected: int) -> None:
    """Refuses a layer that does not fit after those before it."""
    if x.columns != expected:
        raise ValueError(f"{module!r} at {path!r} takes {expected} columns, but gets {x.columns}")


def linear(graph: Graph, path: str, module: nn.Linear, x: Value) -> Value:
    """activation(x weight + bias)."""
    check_columns(path, module, x, module.in_features)
    weight = graph.array(joined(path, "weight"), module.weight.data)
    if module.bias is None:
        y = graph.node(path, "MatMul", x.name, weight)
    else:
        y = graph.node(path, "Gemm", x.name, weight, graph.array(joined(path, "bias"), module.bias.data))
    return append(graph, path, nn.ACTIVATIONS[module.activation](), Value(y, module.out_features))


def scale(graph: Graph, path: str, module: nn.Scale, x: Value) -> Value:
    """x weight, column by column."""
    check_columns(path, module, x, module.features)
    return Value(graph.node(path, "Mul", x.name, graph.array(joined(path, "weight"), module.weight.data)), x.columns)


def batch_norm(graph: Graph, path: str, module: nn.BatchNorm1d, x: Value) -> Value:
    """With the running averages."""
    check_columns(path, module, x, module.num_features)
    arrays = {
        "weight": module.weight.data,
        "bias": module.bias.data,
        "running_mean": module.running_mean,
        "running_variance": module.running_variance,
    }
    names = [graph.array(joined(path, name), array) for name, array in arrays.items()]
    return Value(graph.node(path, "BatchNormalization", x.name, *names, epsilon=float(module.eps)), x.columns)


def layer_norm(graph: Graph, path: str, module: nn.LayerNorm, x: Value) -> Value:
    """Over each row."""
    check_columns(path, module, x, module.normalized_shape)
    names = [
        graph.array(joined(path, "weight"), module.weight.data),
        graph.array(joined(path, "bias"), module.bias.data),
    ]
    y = graph.node(path, "LayerNormalization", x.name, *names, axis=-1, epsilon=float(module.eps))
    return Value(y, x.columns)


def embedding(graph: Graph, path: str, module: nn.Embedding, x: Value) -> Value:
    """The rows of weight that the columns name, side by side."""
    whole = x.name in graph.inputs and graph.inputs[x.name].dtype == np.int64
    rows = x.name if whole else graph.node(path, "Cast", x.name, to=element_type(np.int64))
    y = graph.node(path, "Gather", graph.array(joined(path, "weight"), module.weight.data), rows)
    columns = x.columns * module.embedding_dim
    shape = graph.array(joined(path, "shape"), np.array([-1, columns]))
    return Value(graph.node(path, "Reshape", y, shape), columns)


def table_input(graph: Graph, path: str, module: nn.TableInput, x: Value) -> Value:
    """Columns that pass, embeddings of numbers, embeddings of codes."""
    check_columns(path, module, x, module.in_features)
    found = []
    for start, end, name, inner in module.parts():
        columns = picked(graph, path, x, start, end)
        found.append(columns if inner is None else append(graph, joined(path, name), inner, columns))
    return beside(graph, path, found)


def pbld(graph: Graph, path: str, module: nn.PBLD, x: Value) -> Value:
    """The columns, and of each its waves, weighed by a product of its own."""
    check_columns(path, module, x, module.features)
    features, waves, learned = module.features, module.frequencies, module.units - 1
    compose = Composer(graph, path)

    def shaped(name: str, value: str, *shape: int) -> str:
        return graph.node(path, "Reshape", value, graph.array(joined(path, f"{name}.shape"), np.array([-1, *shape])))

    def array(name: str, *shape: int) -> str:
        return graph.array(joined(path, name), getattr(module, name).data.reshape(shape))

    turned = compose.multiply(shaped("column", x.name, features, 1), array("frequency", features, waves))
    wave = compose.cos(compose.add(turned, array("phase", features, waves)))
    weighed = compose.node(
        "MatMul", shaped("wave", wave, features, 1, waves), array("weight", features, waves, learned)
    )
    y = compose.add(shaped("output", weighed, features * learned), array("bias", features * learned))
    return beside(graph, path, [x, Value(y, features * learned)])


def parametric(graph: Graph, path: str, module: nn.Parametric, x: Value) -> Value:
    """x + weight (activation(x) - x)."""
    check_columns(path, module, x, module.features)
    y, compose = append(graph, joined(path, "activation"), module.activation, x), Composer(graph, path)
    weighed = compose.multiply(
        compose.subtract(y.name, x.name), graph.array(joined(path, "weight"), module.weight.data)
    )
    return Value(compose.add(x.name, weighed), x.columns)


def monotone(graph: Graph, path: str, module: nn.Monotone, x: Value) -> Value:
    """Each column the one before it and more."""
    check_columns(path, module, x, module.columns)
    found, softplus = [picked(graph, path, x, 0, 1)], ACTIVATIONS["softplus"]
    for j in range(1, module.columns):
        step = softplus(graph, path, nn.Softplus(), picked(graph, path, x, j, j + 1))
        found.append(Value(graph.node(path, "Add", found[-1].name, step.name), 1))
    return beside(graph, path, found)


def activation(kernel: str) -> Rule:
    """The rule of the activation that this kernel computes: an operator, or its composition of operators."""

    def rule(graph: Graph, path: str, module: Any, x: Value) -> Value:
        options = [float(value) for value in module.chosen().values()]
        if graph.dtype == np.float32 and kernel in IN_FLOAT32:
            alpha: dict[str, Any] = dict(zip(["alpha"], options, strict=False))  # the option, where there is one
            y = graph.node(path, IN_FLOAT32[kernel], x.name, **alpha)
        else:
            y = getattr(Composer(graph, path), kernel)(x.name, *options)
        return Value(y, x.columns)

    return rule


def gelu(graph: Graph, path: str, module: Any, x: Value) -> Value:
    """Of the two kernels the one that the option names."""
    kernel = "gelu_tanh" if module.approximate == "tanh" else "gelu"
    return Value(getattr(Composer(graph, path), kernel)(x.name), x.columns)


def sequential(graph: Graph, path: str, module: nn.Sequential, x: Value) -> Value:
    """One module after the other."""
    for name, child in module.children():
        x = append(graph, joined(path, name), child, x)
    return x


def residual(graph: Graph, path: str, module: nn.Residual, x: Value) -> Value:
    """x + inner(x)."""
    y = append(graph, joined(path, "inner"), module.inner, x)
    if y.columns != x.columns:
        raise ValueError(f"Residual at {path!r} turns {x.columns} columns into {y.columns}, expected the same")
    return Value(graph.node(path, "Add", x.name, y.name), x.columns)


ACTIVATIONS: dict[str, Rule] = {name: activation(name) for name in nn.ACTIVATIONS} | {"identity": nothing, "gelu": gelu}
RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: linear,
    nn.Scale: scale,
    nn.BatchNorm1d: batch_norm,
    nn.LayerNorm: layer_norm,
    nn.Embedding: embedding,
    nn.Dropout: nothing,
    nn.TableInput: table_input,
    nn.PBLD: pbld,
    nn.Parametric: parametric,
    nn.Monotone: monotone,
    **{nn.ACTIVATIONS[name]: rule for name, rule in ACTIVATIONS.items()},
    nn.Softmax: operator("Softmax", axis=-1),
    nn.LogSoftmax: operator("LogSoftmax", axis=-1),
    nn.Sequential: sequential,
    nn.Residual: residual,
}


def append(graph: Graph, path: str, module: nn.Module, x: Value) -> Value:
    """Appends a module by its rule. A subclass goes by its base's as long as it computes the same."""
    kind = type(module)
    rules = (rule for base, rule in RULES.items() if issubclass(kind, base) and kind.forward is base.forward)
    if (rule := next(rules, None)) is None:
        known, place = ", ".join(base.__name__ for base in RULES), f" at {path!r}" if path else ""
        raise TypeError(f"{kind.__name__}{place} cannot be written as ONNX, expected modules among {known}")
    for name, value in vars(module).items():
        if isinstance(value, nn.Parameter) and value.dtype != graph.dtype:
            raise TypeError(f"{joined(path, name)} is {value.dtype}, but others are {graph.dtype}: use model.to(dtype)")
    return rule(graph, path, module, x)


def first_columns(model: nn.Module) -> int:
    """How many columns the model takes, by the first layer that minds."""
    per_column = 1
    for _, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            per_column *= module.embedding_dim
        for name in ("in_features", "num_features", "normalized_shape", "features"):
            if isinstance(columns := getattr(module, name, None), int):
                return columns // per_column
    raise ValueError("input_features is None, expected a whole number: no layer of the model says how many it takes")


def last_module(model: nn.Module) -> nn.Module:
    """The module that computes the output, within nested Sequentials."""
    while isinstance(model, nn.Sequential) and len(model):
        model = model[-1]
    return model


def first_module(model: nn.Module) -> nn.Module:
    """The module that takes the input, within nested Sequentials."""
    while isinstance(model, nn.Sequential) and len(model):
        model = model[0]
    return model
