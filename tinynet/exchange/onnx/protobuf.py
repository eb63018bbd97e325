"""An ONNX file's bytes.

Bytes of protobuf messages (https://protobuf.dev/programming-guides/encoding) around arrays that stay where they are.
The library copies arrays some five times, and ends the process where there is no memory for that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tensor import Array
from ...version import __version__
from .graph import LEARNING, Edge, Graph, element_type

OPSETS = {"": 17, LEARNING: 3}  # the first with LayerNormalization, and its time's; newer operators are composed
IR_VERSION = 8
LARGEST = 2**31 - 2**20  # protobuf's limit of 2 GiB, less room for the graph itself

Pieces = list[bytes | memoryview]


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


def serialised(graph: Graph) -> Pieces:
    """The file's bytes, arrays as they are in memory. Raises ValueError where they are too many."""
    from onnx import GraphProto, ModelProto, helper

    size = sum(array.nbytes for array in graph.initializers.values())
    if size > LARGEST:
        raise ValueError(f"the model has {size} bytes of parameters, but an ONNX file holds at most {LARGEST}")

    def edge(value: Edge) -> Any:
        shape = ["batch"] if value.columns is None else ["batch", value.columns]
        return helper.make_tensor_value_info(value.name, element_type(value.dtype), shape)

    described = helper.make_graph(
        graph.nodes, "tinynet", list(map(edge, graph.inputs.values())), list(map(edge, graph.outputs))
    )
    inside: Pieces = [described.SerializeToString()]
    for name, array in graph.initializers.items():
        inside += field(GraphProto.INITIALIZER_FIELD_NUMBER, initializer(name, array))
    domains = {"", *(node.domain for node in graph.nodes)}
    file = helper.make_model(
        described,
        opset_imports=[helper.make_opsetid(domain, OPSETS[domain]) for domain in sorted(domains)],
        ir_version=IR_VERSION,
        producer_name="tinynet",
        producer_version=__version__,
    )
    file.ClearField("graph")
    return [file.SerializeToString(), *field(ModelProto.GRAPH_FIELD_NUMBER, inside)]
