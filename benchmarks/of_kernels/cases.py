"""What is timed: every kernel of the contract, at the sizes that training meets.

Arguments, exact results and tolerances are those of the conformance suite (``kernels.testing.CASES``) at larger shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels import DECLARATIONS
from kernels.contract import activations, losses, optimizers
from kernels.contract.random import drop_below, random_bits
from kernels.testing import CASES

Array = np.ndarray[Any, Any]
Arguments = dict[str, Any]
Shape = tuple[int, ...]

SIZES = ("small", "medium", "large")
# Shapes by size. small: the call itself counts; medium: in the first two caches; large: beyond them.
ELEMENTS = {"small": [(1024,)], "medium": [(16_384,)], "large": [(4_000_000,)]}
GRIDS = {"small": [(32, 32)], "medium": [(128, 128)], "large": [(2000, 2000)]}
CLASSES = {"small": [(32, 10)], "medium": [(256, 10)], "large": [(512, 1000)]}
LAYERS = {"small": [(32, 64)], "medium": [(256, 128)], "large": [(512, 2048)]}
PARAMETERS = {"small": [(1024,)], "medium": [(17_008,)], "large": [(5_000_000,)]}
TABLES = {"small": [(32, 64)], "medium": [(500, 64)], "large": [(10_000, 256)]}
# (m, k, n) of an m x k by k x n product.
PRODUCTS = {
    "small": [(1, 64, 10), (7, 13, 5), (33, 65, 17), (1000, 30, 2), (32, 64, 128)],
    "medium": [(128, 64, 128), (256, 128, 64), (200, 300, 400), (128, 784, 512)],
    "large": [(512, 784, 2048), (512, 2048, 2048)],
}
LINEAR_LAYERS = {"small": [(32, 64, 128)], "medium": [(128, 784, 512)], "large": [(512, 2048, 2048)]}

FUNCTIONS = "exp expm1 log log1p sqrt sin cos tanh erf absolute sign negative"


@dataclass(frozen=True)
class Timed:
    """One line of the report: a kernel at a shape.

    variant: the conformance case's options, such as ``transpose_a`` or the mode of broadcasting. note: what the report
    says of it beside the shape. default: whether it runs when no sizes are asked for.
    """

    kernel: str
    family: str
    shape: Shape
    size: str
    variant: Arguments = field(default_factory=dict)
    note: str = ""
    default: bool = True

    @property
    def label(self) -> str:
        return "x".join(map(str, self.shape)) + (f" {self.note}" if self.note else "")


def lines(family: str, kernels: str, shapes: dict[str, list[Shape]], note: str = "", **variant: Any) -> list[Timed]:
    """Each of the kernels at each of the shapes; outside the products, small ones run only when asked for."""
    return [
        Timed(kernel, family, shape, size, variant, note, default=family == "products" or size != "small")
        for kernel in kernels.split()
        for size, sized in shapes.items()
        for shape in sized
    ]


def products() -> list[Timed]:
    """Every product plain and with either factor transposed, as the forward and the two backward products need it."""
    flags = {"NN": (False, False), "TN": (True, False), "NT": (False, True)}
    return [
        line
        for note, (a, b) in flags.items()
        for line in lines("products", "matmul", PRODUCTS, note, transpose_a=a, transpose_b=b)
    ]


def of_activations() -> list[Timed]:
    """Every activation, then every gradient, with the first of its options' values."""
    return [
        line
        for gradients in (False, True)
        for kernel, reference in activations.REFERENCES.items()
        if kernel.endswith("_gradient") == gradients and kernel not in FUNCTIONS.split()
        for line in lines("activations", kernel, ELEMENTS, **reference.variants[0])
    ]


def of_losses() -> list[Timed]:
    """Every elementwise loss, without weights, with the first of its options' values."""
    return [
        line
        for kernel, reference in losses.REFERENCES.items()
        for line in lines("losses", kernel, CLASSES, weighted=False, scale=0.125, **reference.variants[0])
    ]


def of_optimizers() -> list[Timed]:
    """Every optimizer's update, with the first of its options' values."""
    return [
        line
        for kernel, reference in optimizers.UPDATES.items()
        for line in lines("optimizers", kernel, PARAMETERS, numbers=reference.hypers[0], **reference.variants[0])
    ]


TIMED: list[Timed] = [
    *lines("arithmetic", "add subtract multiply divide power maximum minimum greater", ELEMENTS, mode="same"),
    *lines("arithmetic", "add multiply", GRIDS, "+ row", mode="same,row"),
    *lines("arithmetic", "subtract divide", GRIDS, "+ column", mode="same,column"),
    *lines("arithmetic", "multiply", ELEMENTS, "+ number", mode="same,number"),
    *lines("arithmetic", "where cast fill", ELEMENTS),
    *lines("arithmetic", "lerp", GRIDS, "+ row", one=True),
    *lines("arithmetic", "lerp_gradient", LAYERS),
    *lines("functions", FUNCTIONS, ELEMENTS),
    *of_activations(),
    *products(),
    *lines("products", "linear", LINEAR_LAYERS, "+ bias", bias=True, activation="identity"),
    *lines("products", "linear", LINEAR_LAYERS, "+ bias, relu", bias=True, activation="relu"),
    *lines("products", "matmul_gradient", PRODUCTS, "NT, relu", activation="relu", transpose_a=False, transpose_b=True),
    *lines("reductions", "sum max argmax mean", ELEMENTS, axis=None),
    *lines("reductions", "sum max mean", GRIDS, "axis 0", axis=0),
    *lines("reductions", "sum max mean argmax", GRIDS, "axis 1", axis=1),
    *lines("reductions", "sum_of_squares dot", ELEMENTS),
    *lines("reductions", "watch_finite", ELEMENTS),
    *lines("reductions", "watch_within", ELEMENTS, low=-8.0, high=8.0),
    *lines("rows", "watch_below", TABLES, limit=10, bad=[]),
    *lines("rows", "to_indices", TABLES, limit=10),
    *lines("rows", "scheduled_dropout_mask", ELEMENTS, p=0.1),
    *lines("rows", "softmax softmax_gradient log_softmax log_softmax_gradient one_hot", CLASSES),
    *lines("rows", "gather_rows gather_labels scatter_add_rows", TABLES),
    *lines("rows", "transpose outer", GRIDS),
    *lines("rows", "dropout_mask", ELEMENTS, rate=0.1),
    *lines("losses", "softmax_cross_entropy", CLASSES, weighted=False, scale=0.125, smoothing=0.0),
    *of_losses(),
    *lines("normalisation", "layer_norm batch_norm_inference", LAYERS, eps=1e-5),
    *lines("normalisation", "batch_norm", LAYERS, eps=1e-5, momentum=0.1),
    *lines("normalisation", "layer_norm_gradient batch_norm_gradient", LAYERS),
    *of_optimizers(),
]
FAMILIES = tuple(dict.fromkeys(line.family for line in TIMED))

assert {line.kernel for line in TIMED} == set(DECLARATIONS), (
    f"kernels without a benchmark: {sorted(set(DECLARATIONS) - {line.kernel for line in TIMED})}"
)


def chosen(kernels: Iterable[str], sizes: Iterable[str]) -> list[Timed]:
    """The lines of these kernels (all if none are named) and sizes (each line's default if none are named)."""
    names, sizes = set(kernels), set(sizes)
    return [
        line
        for line in TIMED
        if (not names or line.kernel in names) and (line.size in sizes if sizes else line.default)
    ]


# ---- where the conformance case's arguments or reference do not suit a large shape ----------------------------------


def scattered(draw: Callable[..., Array], shape: Shape) -> Arguments:
    """Rows that go to random places of a table half as long."""
    count = max(shape[0] // 2, 1)
    return {"rows": draw(*shape), "indices": np.random.default_rng(1).integers(0, count, shape[0]), "count": count}


def dropout_mask(counter: Array, seed: int, rate: float, shape: Shape) -> Array:
    """The contract's random bits for all elements at once."""
    bits = random_bits(seed, int(counter[0]), np.arange(np.prod(shape), dtype=np.uint64))  # type: ignore[arg-type]
    return np.where(bits < drop_below(rate), 0.0, 1 / (1 - rate)).reshape(shape)


ARGUMENTS: dict[str, Callable[..., Arguments]] = {"scatter_add_rows": scattered}
REFERENCES: dict[str, Callable[..., Any]] = {"dropout_mask": dropout_mask}


def arguments_of(kernel: str) -> Callable[..., Arguments]:
    """What makes the kernel's arguments, from (draw, shape)."""
    return ARGUMENTS.get(kernel, CASES[kernel].arguments)


def reference_of(kernel: str) -> Callable[..., Any]:
    """What computes the kernel's exact results from its arguments."""
    return REFERENCES.get(kernel, CASES[kernel].reference)
