"""The contenders: who trains, with which options, and what must be installed. One module a library.

A contender is a class ``Trained(problem, threads, **options)`` whose ``epochs(count)`` trains that many epochs more,
in the problem's order of rows, and returns the mean loss of the last one.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import kernels

from ..problem import BFLOAT16_TOLERANCE, TOLERANCE, Problem


class Trained(Protocol):
    """A model in training."""

    def epochs(self, count: int) -> float:
        """Trains ``count`` epochs more; the mean loss of the last one."""


@dataclass(frozen=True)
class Contender:
    """name: as chosen by the command line. says: what it does. packages: what it imports, by distribution name.

    peer: whether it is another library, against which tinynet is compared. usual: whether it takes part unless asked.
    tolerance: of its losses, relative.
    """

    name: str
    says: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    peer: bool = True
    usual: bool = True
    tolerance: float = TOLERANCE

    def absent(self) -> str | None:
        """Why it cannot take part here, in a sentence, or None."""
        missing = [package for package, name in self.packages.items() if importlib.util.find_spec(name) is None]
        if missing:
            return f"{self.name} needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        if self.options.get("recorded") and not trainer_compiles():
            return f"{self.name} needs a Trainer that takes compile=, which this version of tinynet has not"
        return None

    def start(self, problem: Problem, threads: int) -> Trained:
        """Imports the library and makes the model."""
        return importlib.import_module(f".{self.module}", __package__).Trained(problem, threads, **self.options)


def trainer_compiles() -> bool:
    """Whether the Trainer can record a step and replay it."""
    import tinynet

    return "compile" in inspect.signature(tinynet.Trainer).parameters


TORCH, JAX = {"torch": "torch"}, {"jax": "jax"}
HALF = {"usual": False, "tolerance": BFLOAT16_TOLERANCE}
PEERS = (
    Contender("numpy", "NumPy by hand, in place", "numpy_by_hand"),
    Contender("sklearn", "MLPClassifier.partial_fit", "scikit_learn", packages={"scikit-learn": "sklearn"}),
    Contender("torch", "eager, Adam", "pytorch", packages=TORCH),
    Contender("torch-fused", "eager, Adam(fused=True)", "pytorch", {"fused": True}, TORCH),
    Contender("torch-compile", "compiled, Adam(fused=True)", "pytorch", {"fused": True, "mode": "default"}, TORCH),
    Contender(
        "torch-autotune", "compiled with max-autotune, Adam(fused=True)", "pytorch",
        {"fused": True, "mode": "max-autotune"}, TORCH,
    ),
    Contender("jax-jit", "a step compiled", "jax_compiled", {"scan": False}, JAX),
    Contender("jax-scan", "an epoch compiled, lax.scan over its steps", "jax_compiled", {"scan": True}, JAX),
    Contender(
        "jax-optax", "as jax-scan, Adam of optax", "jax_compiled", {"scan": True, "optax": True},
        {**JAX, "optax": "optax"},
    ),
    Contender(
        "torch-bfloat16", "as torch-fused, under autocast", "pytorch", {"fused": True, "half": True}, TORCH, **HALF,
    ),
    Contender(
        "torch-compile-bfloat16", "as torch-compile, under autocast", "pytorch",
        {"fused": True, "mode": "default", "half": True}, TORCH, **HALF,
    ),
    Contender(
        "jax-bfloat16", "as jax-scan, activations in bfloat16", "jax_compiled", {"scan": True, "half": True}, JAX,
        **HALF,
    ),
)  # fmt: skip


def contenders() -> dict[str, Contender]:
    """tinynet on every backend, recorded and eager, then its peers. Pure Python loops take part only when asked."""
    own = [
        Contender(
            f"tinynet-{backend}{suffix}", f"Trainer.fit, {mode}", "of_tinynet",
            {"backend": backend, "recorded": recorded}, peer=False, usual=backend != "naive",
        )
        for backend in reversed(kernels.names())
        for suffix, mode, recorded in (("", "recorded", True), ("-eager", "eager", False))
    ]  # fmt: skip
    half = Contender(
        "tinynet-numba-bfloat16", 'Trainer.fit, precision="bfloat16"', "of_tinynet",
        {"backend": "numba", "recorded": True, "precision": "bfloat16"}, peer=False, **HALF,
    )  # fmt: skip
    return {contender.name: contender for contender in (*own, half, *PEERS)}
