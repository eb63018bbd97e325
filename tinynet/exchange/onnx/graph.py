"""A graph of ONNX in the making: its inputs, nodes, arrays and outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ...tensor import Array

LEARNING = "ai.onnx.ml"  # the domain of operators on texts and levels


class Value(NamedTuple):
    """A number for each row and column within the graph: an edge's name, and how many columns it has."""

    name: str
    columns: int


class Edge(NamedTuple):
    """What the file takes or gives: a name, its dtype (object: text), and its columns, or None where it is 1-D."""

    name: str
    dtype: Any
    columns: int | None


class Graph:
    """Nodes and initializers, in the order of their making.

    Attributes:
        dtype: of the layers' arithmetic.
        inputs: what the file takes, by name; no other edge and no array has one of these names.
        outputs: what it gives.
    """

    def __init__(self, dtype: np.dtype[Any], inputs: Iterable[Edge]):
        self.dtype = dtype
        self.inputs = {edge.name: edge for edge in inputs}
        self.outputs: list[Edge] = []
        self.nodes: list[Any] = []
        self.initializers: dict[str, Array] = {}
        self._names: dict[int, str] = {}

    def node(
        self, path: str, operator: str, *inputs: str, result: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """Appends an operator; returns its output's name, by default the node's own."""
        from onnx import helper

        name = self.free(joined(path, f"{operator}.{len(self.nodes)}"))
        self.nodes.append(
            helper.make_node(operator, inputs, [result or name], name=name, domain=domain or None, **attributes)
        )
        return result or name

    def array(self, name: str, array: Array) -> str:
        """An initializer's name; an array that several layers share is stored once."""
        if id(array) not in self._names:
            self._names[id(array)] = name = self.free(name)
            self.initializers[name] = array
        return self._names[id(array)]

    def number(self, value: float, dtype: Any = None) -> str:
        """A scalar initializer's name, of the graph's dtype or of another; equal numbers are stored once."""
        kind = self.dtype if dtype is None else np.dtype(dtype)
        name = self.free(f"number.{value!r}" if kind == self.dtype else f"number.{kind.name}.{value!r}")
        self.initializers.setdefault(name, np.array(value, kind))
        return name

    def free(self, name: str) -> str:
        """The name, followed by _ where an input has it."""
        while name in self.inputs:
            name += "_"
        return name


def joined(path: str, name: str) -> str:
    """A dotted path, one further."""
    return f"{path}.{name}" if path else name


def picked(graph: Graph, path: str, x: Value, start: int, end: int) -> Value:
    """Some columns."""
    numbers = graph.array(joined(path, f"columns.{start}.{end}"), np.array(range(start, end)))
    return Value(graph.node(path, "Gather", x.name, numbers, axis=1), end - start)


def beside(graph: Graph, path: str, parts: list[Value]) -> Value:
    """Columns side by side."""
    y = graph.node(path, "Concat", *(part.name for part in parts), axis=1)
    return Value(y, sum(part.columns for part in parts))


def element_type(dtype: Any) -> int:
    """ONNX's number of a dtype."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
