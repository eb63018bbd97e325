"""Networks and estimators written as ONNX files, for inference elsewhere. Needs onnx: pip install 'tinynet[onnx]'."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import singledispatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from kernels import DECLARATIONS

from .. import nn
from ..checks import check_positive, choose
from ..files import check_writable, write_atomically
from ..tensor import Array
from ..version import __version__

OPSET, IR_VERSION = 17, 8  # the first with LayerNormalization; what is newer, as Gelu, is composed
OUTPUTS = {"logits": None, "softmax": "Softmax", "sigmoid": "Sigmoid"}
LARGEST = 2**31 - 2**20  # protobuf's limit of 2 GiB, less room for the graph itself


def require_onnx() -> None:
    """Raises ImportError with what to install."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ImportError("an ONNX file needs onnx: pip install 'tinynet[onnx]'") from None


class Value(NamedTuple):
    """An edge of the graph: its name, and how many columns it has."""

    name: str
    columns: int


class Output(NamedTuple):
    """What the file gives out: the name of a node's output, its dtype, and its columns, or None where it is 1-D."""

    name: str
    dtype: Any
    columns: int | None


class Graph:
    """Nodes and initializers, in the order of their making. dtype: of the arithmetic; taken: of the input."""

    def __init__(self, dtype: np.dtype[Any], taken: np.dtype[Any]):
        self.dtype, self.taken = dtype, taken
        self.nodes: list[Any] = []
        self.initializers: dict[str, Array] = {}
        self._names: dict[int, str] = {}

    def node(self, path: str, operator: str, *inputs: str, result: str | None = None, **attributes: Any) -> str:
        """Appends an operator; returns its output's name, by default the node's own."""
        from onnx import helper

        name = joined(path, f"{operator}.{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, inputs, [result or name], name=name, **attributes))
        return result or name

    def array(self, name: str, array: Array) -> str:
        """An initializer's name; an array that several layers share is stored once."""
        if id(array) not in self._names:
            self._names[id(array)] = name
            self.initializers[name] = array
        return self._names[id(array)]

    def number(self, value: float) -> str:
        """A scalar initializer's name; equal numbers are stored once."""
        name = f"number.{value!r}"
        self.initializers.setdefault(name, np.array(value, self.dtype))
        return name


def joined(path: str, name: str) -> str:
    """A dotted path, one further."""
    return f"{path}.{name}" if path else name


Pieces = list[bytes | memoryview]
Rule = Callable[[Graph, str, Any, Value], Value]
Ending = Callable[[Graph, Value], list[Output]]


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
    whole = x.name == "input" and graph.taken == np.int64
    rows = x.name if whole else graph.node(path, "Cast", x.name, to=element_type(np.int64))
    y = graph.node(path, "Gather", graph.array(joined(path, "weight"), module.weight.data), rows)
    columns = x.columns * module.embedding_dim
    shape = graph.array(joined(path, "shape"), np.array([-1, columns]))
    return Value(graph.node(path, "Reshape", y, shape), columns)


def picked(graph: Graph, path: str, x: Value, start: int, end: int) -> Value:
    """Some columns."""
    numbers = graph.array(joined(path, f"columns.{start}.{end}"), np.array(range(start, end)))
    return Value(graph.node(path, "Gather", x.name, numbers, axis=1), end - start)


def beside(graph: Graph, path: str, parts: list[Value]) -> Value:
    """Columns side by side."""
    y = graph.node(path, "Concat", *(part.name for part in parts), axis=1)
    return Value(y, sum(part.columns for part in parts))


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


# Runtimes commonly lack float64 kernels for these and for Erf: onnxruntime does. Float64 models get the composition
# instead; Erf is computed in float32, whose error is below 1e-7.
IN_FLOAT32 = {"leaky_relu": "LeakyRelu", "elu": "Elu", "softplus": "Softplus"}
OPERATORS = {
    "absolute": "Abs", "add": "Add", "cos": "Cos", "divide": "Div", "exp": "Exp", "log": "Log", "maximum": "Max",
    "minimum": "Min", "multiply": "Mul", "negative": "Neg", "power": "Pow", "relu": "Relu", "sigmoid": "Sigmoid",
    "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "subtract": "Sub", "tanh": "Tanh",
}  # fmt: skip


class Composer:
    """A backend that computes nothing: a kernel's call becomes nodes of a graph, and an array the name of an edge."""

    def __init__(self, graph: Graph, path: str):
        self.graph, self.path = graph, path

    def node(self, operator: str, *operands: str | float, **attributes: Any) -> str:
        names = [operand if isinstance(operand, str) else self.graph.number(float(operand)) for operand in operands]
        return self.graph.node(self.path, operator, *names, **attributes)

    def cast(self, x: str, to: DTypeLike) -> str:
        return self.node("Cast", x, to=element_type(np.dtype(to)))

    def erf(self, x: str, out: None = None) -> str:
        if self.graph.dtype == np.float32:
            return self.node("Erf", x)
        return self.cast(self.node("Erf", self.cast(x, np.float32)), self.graph.dtype)

    def expm1(self, x: str, out: None = None) -> str:
        return self.node("Sub", self.node("Exp", x), 1.0)

    def log1p(self, x: str, out: None = None) -> str:
        return self.node("Log", self.node("Add", x, 1.0))

    def greater(self, a: str | float, b: str | float, out: None = None) -> str:
        return self.cast(self.node("Greater", a, b), self.graph.dtype)

    def where(self, condition: str, a: str | float, b: str | float, out: None = None) -> str:
        return self.node("Where", self.cast(condition, np.bool_), a, b)

    def __getattr__(self, kernel: str) -> Callable[..., str]:
        """Any other kernel: ONNX's operator, or its composition, whose last call gives the result."""

        def call(*operands: str | float, out: None = None) -> str:
            if kernel in OPERATORS:
                return self.node(OPERATORS[kernel], *operands)
            composition = DECLARATIONS[kernel].composition
            if composition is None:
                raise TypeError(f"{kernel} at {self.path!r} cannot be written as ONNX, which has no such operator")
            composition(self, *operands, out=None)
            return str(self.graph.nodes[-1].output[0])

        return call


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


def element_type(dtype: Any) -> int:
    """ONNX's number of a dtype."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


@singledispatch
def network_and_ending(model: Any) -> tuple[nn.Module, Ending]:
    """The network, and what the file gives out after it. Estimators have their own rule."""
    raise TypeError(f"model is a {type(model).__name__}, expected a Module or one of tinynet's estimators")


@network_and_ending.register(nn.Module)
def _(model: nn.Module) -> tuple[nn.Module, Ending]:
    return model, activated("logits")


def activated(output: str) -> Ending:
    """``output``: the network's, or softmax or sigmoid of it."""

    def ending(graph: Graph, y: Value) -> list[Output]:
        final = OUTPUTS[output]
        if final or not graph.nodes:
            graph.node("output", final or "Identity", y.name)
        graph.nodes[-1].output[0] = "output"
        return [Output("output", graph.dtype, y.columns)]

    return ending


def check_ending(network: nn.Module, output: str) -> None:
    """Refuses a softmax or sigmoid of what is one."""
    last = last_module(network)
    fused = isinstance(last, nn.Linear) and last.activation == "sigmoid"
    if OUTPUTS[output] and (fused or isinstance(last, nn.Softmax | nn.LogSoftmax | nn.Sigmoid)):
        raise ValueError(f"output is {output!r}, but the model ends with {last!r} already, expected 'logits'")


def export_onnx(
    model: Any, path: str | os.PathLike[str], input_features: int | None = None, output: str | None = None
) -> None:
    """Writes a network in evaluation mode, or a fitted estimator, as an ONNX file.

    It takes ``input`` (batch, features). Networks and regressors give ``output`` (batch, outputs), a classifier
    ``label``, what predict returns, and ``probabilities`` (batch, classes), those of predict_proba. The batch axis is
    dynamic; the dtype is the parameters', that of an Embedding's input int64; weights keep their dotted names.

    output: logits, what the network returns, or softmax or sigmoid of it, alone and as ``output``; by default logits
    for networks, predictions for estimators. input_features: by default what the first layer takes. GELU's erf is
    computed in float32 even in a float64 model, as runtimes lack the other.

    Raises:
        ImportError: onnx is not installed.
        TypeError: a module that cannot be exported, as the user's own modules, dtypes that are mixed, or classes that
            are neither numbers nor texts.
        ValueError: layers that do not fit together, an estimator that is not fitted, or more than 2 GiB of parameters.
        OSError: path cannot be written.
    """
    require_onnx()
    network, ending = network_and_ending(model)
    if output is not None:
        check_ending(network, choose("output", output, OUTPUTS))
        ending = activated(output)
    path = Path(path)
    check_writable("path", path)
    columns = first_columns(network) if input_features is None else check_positive("input_features", input_features)

    parameters = network.parameters()
    dtype = parameters[0].dtype if parameters else np.dtype(np.float32)
    graph = Graph(dtype, np.dtype(np.int64) if isinstance(first_module(network), nn.Embedding) else dtype)
    outputs = ending(graph, append(graph, "", network, Value("input", columns)))
    write_atomically(path, serialised(graph, Output("input", graph.taken, columns), outputs))


# Bytes of protobuf messages (https://protobuf.dev/programming-guides/encoding) around arrays that stay where they are.
# The library copies arrays some five times, and ends the process where there is no memory for that.


def field(number: int, content: Pieces) -> Pieces:
    """A field of a message, which holds the content's bytes, after their number."""
    length_delimited = 2  # the wire type of messages, texts and bytes
    return [varint(number << 3 | length_delimited) + varint(sum(map(len, content))), *content]


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that there are more."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def initializer(name: str, array: Array) -> Pieces:
    """A tensor's bytes."""
    from onnx import TensorProto, numpy_helper

    if array.dtype == object:  # texts
        return [numpy_helper.from_array(array, name).SerializeToString()]
    start = TensorProto(name=name, dims=array.shape, data_type=element_type(array.dtype)).SerializeToString()
    content = np.asarray(array, order="C").reshape(-1).view(np.uint8).data
    return [start, *field(TensorProto.RAW_DATA_FIELD_NUMBER, [content])]


def serialised(graph: Graph, taken: Output, outputs: list[Output]) -> Pieces:
    """The file's bytes, arrays as they are in memory. Raises ValueError where they are too many."""
    from onnx import GraphProto, ModelProto, helper

    size = sum(array.nbytes for array in graph.initializers.values())
    if size > LARGEST:
        raise ValueError(f"the model has {size} bytes of parameters, but an ONNX file holds at most {LARGEST}")

    def edge(value: Output) -> Any:
        shape = ["batch"] if value.columns is None else ["batch", value.columns]
        return helper.make_tensor_value_info(value.name, element_type(value.dtype), shape)

    described = helper.make_graph(graph.nodes, "tinynet", [edge(taken)], list(map(edge, outputs)))
    inside: Pieces = [described.SerializeToString()]
    for name, array in graph.initializers.items():
        inside += field(GraphProto.INITIALIZER_FIELD_NUMBER, initializer(name, array))
    file = helper.make_model(
        described,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tinynet",
        producer_version=__version__,
    )
    file.ClearField("graph")
    return [file.SerializeToString(), *field(ModelProto.GRAPH_FIELD_NUMBER, inside)]
