"""Kernels as nodes of a graph: ONNX's operator where there is one, else the kernel's composition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from kernels import DECLARATIONS

from .graph import Graph, element_type

# Runtimes commonly lack float64 kernels for these and for Erf: onnxruntime does. Float64 models get the composition
# instead; Erf is computed in float32, whose error is below 1e-7.
IN_FLOAT32 = {"leaky_relu": "LeakyRelu", "elu": "Elu", "softplus": "Softplus"}
OPERATORS = {
    "absolute": "Abs", "add": "Add", "cos": "Cos", "divide": "Div", "exp": "Exp", "log": "Log", "maximum": "Max",
    "minimum": "Min", "multiply": "Mul", "negative": "Neg", "power": "Pow", "relu": "Relu", "sigmoid": "Sigmoid",
    "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "subtract": "Sub", "tanh": "Tanh",
}  # fmt: skip


class Composer:
    """A backend that computes nothing: a kernel's call becomes nodes of a graph, and an array the name of an edge.

    dtype: of the arithmetic; by default the graph's.
    """

    def __init__(self, graph: Graph, path: str, dtype: DTypeLike | None = None):
        self.graph, self.path = graph, path
        self.dtype = graph.dtype if dtype is None else np.dtype(dtype)

    def node(self, operator: str, *operands: str | float, **attributes: Any) -> str:
        names = [
            operand if isinstance(operand, str) else self.graph.number(float(operand), self.dtype)
            for operand in operands
        ]
        return self.graph.node(self.path, operator, *names, **attributes)

    def cast(self, x: str, to: DTypeLike) -> str:
        return self.node("Cast", x, to=element_type(np.dtype(to)))

    def erf(self, x: str, out: None = None) -> str:
        if self.dtype == np.float32:
            return self.node("Erf", x)
        return self.cast(self.node("Erf", self.cast(x, np.float32)), self.dtype)

    def expm1(self, x: str, out: None = None) -> str:
        return self.node("Sub", self.node("Exp", x), 1.0)

    def log1p(self, x: str, out: None = None) -> str:
        return self.node("Log", self.node("Add", x, 1.0))

    def greater(self, a: str | float, b: str | float, out: None = None) -> str:
        return self.cast(self.node("Greater", a, b), self.dtype)

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
