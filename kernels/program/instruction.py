"""What a recorded step is made of: buffers, views of them, instructions.

An instruction is one kernel call on fixed operands. An array operand is a view of a buffer: memory that the step was
given (an argument), that outlives it (persistent: parameters, averages, data), that it allocated (temporary), or that
says that it must not go on (flag).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..contract.declaration import DECLARATIONS, Declaration
from .work import operations

Array = np.ndarray[Any, Any]

ARGUMENT, PERSISTENT, TEMPORARY, FLAG = "argument", "persistent", "temporary", "flag"
SMALL = 64  # bytes: a counter, or hyperparameters: no optimizer has more than eight of them
FORWARD, BACKWARD, OPTIMIZER = PARTS = "forward", "backward", "optimizer"


@dataclass(frozen=True, eq=False)
class Buffer:
    """One piece of memory."""

    kind: str
    number: int  # among those of its kind
    nbytes: int

    @property
    def name(self) -> str:
        """As a listing has it: arguments a0, persistent memory p0, temporaries t0, flags f0."""
        return f"{self.kind[0]}{self.number}"


@dataclass(frozen=True)
class View:
    """An array operand: which part of its buffer it is."""

    buffer: Buffer
    offset: int  # bytes
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # bytes
    dtype: np.dtype[Any]

    @cached_property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @cached_property
    def touched(self) -> int:
        """Bytes at different places: an axis of stride 0 repeats the same ones."""
        repeated = math.prod(length for length, stride in zip(self.shape, self.strides, strict=True) if stride == 0)
        return self.nbytes // repeated if repeated else 0

    @cached_property
    def span(self) -> tuple[int, int]:
        """The first byte it touches within its buffer, and the one after its last."""
        if not self.size:
            return self.offset, self.offset
        reach = [stride * (length - 1) for stride, length in zip(self.strides, self.shape, strict=True)]
        low, high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0)
        return self.offset + low, self.offset + high + self.dtype.itemsize

    def on(self, memory: Array, start: int = 0) -> Array:
        """The array, where its buffer's bytes are ``memory`` from ``start`` on."""
        return np.ndarray(self.shape, self.dtype, memory, start + self.offset, self.strides)

    def __str__(self) -> str:
        return f"{self.buffer.name}({'x'.join(map(str, self.shape))})"


Operand = View | float | int | bool | str | None


@dataclass(frozen=True)
class Instruction:
    """A kernel call. operands: in the order of the kernel's declaration, results last. part: of the step, in PARTS."""

    kernel: str
    operands: tuple[Operand, ...]
    part: str = FORWARD

    @property
    def declaration(self) -> Declaration:
        return DECLARATIONS[self.kernel]

    def named(self) -> Iterator[tuple[str, Operand]]:
        """The operands with their parameters' names."""
        return zip(self.declaration.parameter_names, self.operands, strict=True)

    @cached_property
    def reads(self) -> list[View]:
        """What it reads; a mutable operand is read and written."""
        declared = zip(self.declaration.operands, self.operands, strict=True)
        return [view for operand, view in declared if isinstance(view, View) and not operand.written]

    @cached_property
    def writes(self) -> list[View]:
        """What it writes."""
        declared = zip(self.declaration.operands, self.operands, strict=True)
        return [
            view
            for operand, view in declared
            if isinstance(view, View) and (operand.written or operand.kind == "Mutable")
        ]

    @cached_property
    def precision(self) -> str:
        """Of the product that it is; "full" of what is none."""
        return str(dict(self.named()).get("precision", "full"))

    @property
    def halts(self) -> bool:
        """Whether a run ends here if it raises its flag."""
        return self.declaration.halts

    @property
    def flag(self) -> View:
        """What it raises, if it halts."""
        flag = dict(self.named())["flag"]
        assert isinstance(flag, View)
        return flag

    @cached_property
    def indices(self) -> list[View]:
        """What it reads other memory through: values that a watch must have let pass."""
        declared = zip(self.declaration.operands, self.operands, strict=True)
        return [view for operand, view in declared if operand.below and isinstance(view, View)]

    @cached_property
    def changes(self) -> bool:
        """Whether it writes what outlives the step, but for counters and the like, of which the step keeps copies."""
        mutable = any(operand.kind == "Mutable" for operand in self.declaration.operands)
        return not self.halts and any(
            view.buffer.kind == PERSISTENT and (mutable or view.buffer.nbytes > SMALL) for view in self.writes
        )

    def guards(self, other: Instruction) -> bool:
        """Whether the other, which comes later, must not begin where this one halts.

        It reads through what is watched here, or changes what outlives the step.
        """
        watched = self.operands[0]
        return self.halts and (
            other.changes or any(isinstance(watched, View) and view.buffer is watched.buffer for view in other.indices)
        )

    @cached_property
    def flops(self) -> int:
        """Floating-point operations, as kernels.program.work counts them."""
        return operations(self.kernel, tuple((o.shape, o.dtype) if isinstance(o, View) else o for o in self.operands))

    @cached_property
    def bytes(self) -> int:
        """Bytes read and written if each operand crosses the memory bus once; of a table the rows that are wanted."""
        return self._wanted + sum(view.touched for view in [*self.reads[2 * self._gathers :], *self.writes])

    @cached_property
    def footprint(self) -> int:
        """Bytes at different places that it reads or writes: what is updated in place counts once."""
        views = dict.fromkeys([*self.reads[2 * self._gathers :], *self.writes])
        return self._wanted + sum(view.touched for view in views)

    @property
    def _gathers(self) -> bool:
        return self.kernel in ("gather_rows", "gather_labels")

    @property
    def _wanted(self) -> int:
        """Bytes of a table's rows and of their numbers."""
        return self.writes[0].touched + self.reads[1].touched if self._gathers else 0

    def with_operands(self, **changed: Operand) -> Instruction:
        """The same call with some operands exchanged."""
        return replace(self, operands=tuple(changed.get(name, operand) for name, operand in self.named()))
