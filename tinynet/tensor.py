"""Tensors and the tape: an array, its gradient, and how the gradient flows back to what the array was computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kernels.contract.dtypes import EITHER_FLOAT, FLOATS
from kernels.markup import paragraph, table
from kernels.program import BACKWARD, refuse, within

from .backends import current

Array = np.ndarray[Any, Any]
SHOWN = 10  # rows and columns in a notebook
Rule = Callable[[Array], tuple[Array | None, ...]]

_recording: ContextVar[bool] = ContextVar("tinynet_recording", default=True)
_leaves: ContextVar[dict[int, Any] | None] = ContextVar("tinynet_leaves", default=None)


@contextmanager
def no_grad() -> Iterator[None]:
    """Within the block (and its thread) nothing is recorded for backward."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


@contextmanager
def noting_leaves() -> Iterator[list[tuple[Tensor, Array | None]]]:
    """Within the block (and its thread) the leaves that ``backward`` reaches are collected, each once.

    With each comes the gradient that was there when it was reached first.
    """
    found: dict[int, tuple[Tensor, Array | None]] = {}
    token, leaves = _leaves.set(found), list[tuple[Tensor, Array | None]]()
    try:
        yield leaves
    finally:
        _leaves.reset(token)
        leaves.extend(found.values())


def recording() -> bool:
    """Whether operations are recorded for backward."""
    return _recording.get()


def as_float_array(data: ArrayLike, dtype: DTypeLike | None = None, name: str = "data") -> Array:
    """data as an array the kernels take: float32 or float64, at most 2-D, last axis contiguous. Copies only if needed.

    float64 stays float64; whole numbers and Python lists become float32 unless dtype says otherwise.
    """
    array = np.asarray(data)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}, expected numbers")
    if array.ndim > 2:
        raise ValueError(f"{name} has {array.ndim} dimensions {array.shape}, expected at most 2")
    if dtype is not None:
        wanted = float_dtype(dtype)
    else:
        wanted = array.dtype if array.dtype in FLOATS and isinstance(data, np.ndarray | np.generic) else FLOATS[0]
    if _leaves.get() is None:  # no kernels have to be there yet
        array = array.astype(wanted, copy=False)
        return array if _taken(array) else np.ascontiguousarray(array)
    array = in_dtype(array, wanted)
    return array if _taken(array) else _copied(array)


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype, one that tensors may be of."""
    wanted = np.dtype(dtype)
    if wanted not in FLOATS:
        raise TypeError(f"dtype is {wanted}, expected {EITHER_FLOAT}")
    return wanted


def in_dtype(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in a float dtype; from the other one by a kernel, so that a recorded step converts what it is given."""
    if array.dtype == dtype:
        return array
    if array.dtype not in FLOATS or not array.size:
        return array.astype(dtype)
    k, given = current(), array if array.ndim else array.reshape(1)
    found: Array = k.cast(given if _taken(given) else _copied(given), out=k.empty(given.shape, dtype))
    return found.reshape(array.shape)


def _taken(array: Array) -> bool:
    """Whether kernels take its strides."""
    return not array.ndim or array.shape[-1] <= 1 or array.strides[-1] == array.itemsize or not array.size


def _copied(array: Array) -> Array:
    """A contiguous copy by kernels, so that it is recorded: as what kernels do take, a transposed table or columns."""
    k = current()
    out: Array = k.empty(array.shape, array.dtype)
    if array.ndim == 1:
        k.cast(array[:, None], out=out[:, None])
    elif _taken(array.T):
        k.transpose(array.T, out=out)
    else:
        for column in range(array.shape[1]):
            k.cast(array[:, column : column + 1], out=out[:, column : column + 1])
    return out


def reshaped(array: Array, shape: tuple[int, ...]) -> Array:
    """array.reshape(shape), of an array that kernels take, as they take it: a copy by a kernel where it has to be."""
    if not array.flags.c_contiguous and array.shape != shape:
        array = current().cast(array, out=current().empty(array.shape, array.dtype))
    return array.reshape(shape)


class Tensor:
    """A float32 or float64 array of at most two axes, with the gradient of a scalar with respect to it.

    Arithmetic broadcasts as in NumPy; names follow PyTorch. Calling ``backward`` on a scalar adds its gradient to
    ``grad`` of every tensor it was computed from that was made with ``requires_grad=True``.
    """

    __slots__ = ("_inputs", "_rule", "data", "grad", "requires_grad")
    __array_priority__ = 1000  # array + tensor asks the tensor, which makes it a tensor

    def __init__(self, data: ArrayLike, requires_grad: bool = False, dtype: DTypeLike | None = None):
        self.data = as_float_array(data.data if isinstance(data, Tensor) else data, dtype)
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self._inputs: tuple[Tensor, ...] = ()
        self._rule: Rule | None = None

    @property
    def array(self) -> Array:
        """The data with at least one axis, which is what kernels take."""
        return self.data if self.data.ndim else self.data.reshape(1)

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    def __len__(self) -> int:
        return len(self.data)

    def numpy(self) -> Array:
        """The data; no copy is made."""
        return self.data

    def item(self) -> float:
        """The only element as a Python float. Not for use within a compiled step, which is replayed without it."""
        refuse("it reads a value with item(), float() or bool(): return the tensor, and read it outside of the step")
        return float(self.data.item())

    def detach(self) -> Tensor:
        """The same data, cut off from the tape."""
        return Tensor(self.data)

    def __float__(self) -> float:
        return self.item()

    def __bool__(self) -> bool:
        """Whether the only element is not 0. Raises ValueError for more elements or none, as in NumPy and PyTorch."""
        if self.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} was asked for, expected one element")
        return bool(self.item())

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({np.array2string(self.data, precision=4, threshold=20, prefix='Tensor(')}{grad})"

    def _repr_html_(self) -> str:
        """Shape, dtype and the first values, as a notebook shows them."""
        about = f"Tensor of shape {self.shape}, {self.dtype}" + (", requires_grad=True" * self.requires_grad)
        if not self.ndim:
            return paragraph(f"{about}: {self.data:.6g}")
        rows = (self.data if self.ndim == 2 else self.data[None])[:SHOWN, :SHOWN]
        more = rows.shape != (self.data if self.ndim == 2 else self.data[None]).shape
        head = [str(column) for column in range(rows.shape[1])]
        shown = table(
            ["", *head], [[str(i), *(f"{value:.4g}" for value in row)] for i, row in enumerate(rows.tolist())]
        )
        return paragraph(about) + shown + (paragraph(f"the first {SHOWN} rows and columns at most") if more else "")

    def backward(self, gradient: ArrayLike | None = None) -> None:
        """grad += d self / d leaf, for each leaf that requires it. Leaves gradients of intermediate results unset.

        gradient: that of some scalar with respect to self; needed unless self is a scalar. A graph can be walked once:
        what the rules saved is freed.
        """
        if not self.requires_grad:
            raise ValueError("backward() on a tensor that does not depend on any tensor with requires_grad=True")
        if gradient is None:
            if self.size != 1:
                raise ValueError(f"backward() of a tensor of shape {self.shape} needs gradient=, expected a scalar")
            seed = unit_gradient(self.dtype).reshape(self.array.shape)
        else:
            seed = reshaped(as_float_array(gradient, self.dtype, "gradient"), self.array.shape)
        # A leaf keeps its gradient, so it must not be the shared unit or the caller's array.
        with within(BACKWARD):
            _flow_back(self, seed.copy() if self._rule is None else seed)

    if TYPE_CHECKING:  # tinynet.functional adds these; each is the function of the same name there

        def __add__(self, other: Operand) -> Tensor: ...
        def __radd__(self, other: Operand) -> Tensor: ...
        def __sub__(self, other: Operand) -> Tensor: ...
        def __rsub__(self, other: Operand) -> Tensor: ...
        def __mul__(self, other: Operand) -> Tensor: ...
        def __rmul__(self, other: Operand) -> Tensor: ...
        def __truediv__(self, other: Operand) -> Tensor: ...
        def __rtruediv__(self, other: Operand) -> Tensor: ...
        def __pow__(self, other: Operand) -> Tensor: ...
        def __rpow__(self, other: Operand) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __matmul__(self, other: Tensor) -> Tensor: ...
        def __getitem__(self, rows: Any) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...
        def sum(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def argmax(self, axis: int | None = None) -> Array: ...
        def reshape(self, *shape: int) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def sin(self) -> Tensor: ...
        def cos(self) -> Tensor: ...
        def tanh(self) -> Tensor: ...
        def sigmoid(self) -> Tensor: ...
        def relu(self) -> Tensor: ...
        def softmax(self) -> Tensor: ...
        def log_softmax(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def abs(self) -> Tensor: ...
        def clip(self, min: float | None = None, max: float | None = None) -> Tensor: ...  # noqa: A002
        def clamp(self, min: float | None = None, max: float | None = None) -> Tensor: ...  # noqa: A002
        def std(self, axis: int | None = None, ddof: int = 0, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: int | None = None, ddof: int = 0, keepdims: bool = False) -> Tensor: ...
        def __gt__(self, other: Operand) -> Tensor: ...  # type: ignore[misc]
        def __lt__(self, other: Operand) -> Tensor: ...  # type: ignore[misc]
        def __ge__(self, other: Operand) -> Tensor: ...  # type: ignore[misc]
        def __le__(self, other: Operand) -> Tensor: ...  # type: ignore[misc]
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __hash__(self) -> int: ...


Operand = Tensor | float | Array

_UNITS = {dtype: np.ones(1, dtype) for dtype in FLOATS}
for _unit in _UNITS.values():
    _unit.flags.writeable = False


def unit_gradient(dtype: np.dtype[Any]) -> Array:
    """The gradient of a scalar with respect to itself: always the same array, so that rules can tell it from others."""
    return _UNITS[dtype]


def is_unit(gradient: Array) -> bool:
    """Whether a rule's incoming gradient is exactly 1, because the scalar is what backward() was called on."""
    return gradient is _UNITS[gradient.dtype] or gradient.base is _UNITS[gradient.dtype]


def result(array: Array, inputs: tuple[Tensor, ...], rule: Rule, shape: tuple[int, ...] | None = None) -> Tensor:
    """An operation's result, put on the tape if anything it was computed from requires a gradient.

    rule: the gradient with respect to the result (at least 1-D) -> those with respect to the inputs, in order, or None
    for inputs that need none. What it returns is new, the incoming gradient, or a view of that.
    """
    made = Tensor.__new__(Tensor)
    made.data = array if shape is None else array.reshape(shape)
    made.grad = None
    made.requires_grad = recording() and any(source.requires_grad for source in inputs)
    made._inputs, made._rule = (inputs, rule) if made.requires_grad else ((), None)
    return made


def _topological(root: Tensor) -> list[Tensor]:
    """The tensors that root depends on and that require gradients, each after everything it was computed from."""
    order: list[Tensor] = []
    seen: set[int] = set()
    stack: list[tuple[Tensor, bool]] = [(root, False)]
    while stack:  # a stack of our own: a deep graph must not meet Python's recursion limit
        tensor, finished = stack.pop()
        if finished:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            stack.extend((source, False) for source in tensor._inputs if source.requires_grad)
    return order


def _already_walked(gradient: Array) -> tuple[Array | None, ...]:
    raise ValueError("backward() a second time through the same graph: compute the result again")


def _flow_back(root: Tensor, seed: Array) -> None:
    backend = current()
    flowing: dict[int, Array] = {id(root): seed}
    for tensor in reversed(_topological(root)):
        gradient = flowing.pop(id(tensor), None)
        if gradient is None:
            continue
        if tensor._rule is None:
            _accumulate(tensor, gradient, backend)
            continue
        inputs, rule = tensor._inputs, tensor._rule
        tensor._inputs, tensor._rule = (), _already_walked
        for source, share in zip(inputs, rule(gradient), strict=True):
            if share is None or not source.requires_grad:
                continue
            if source._rule is None and np.may_share_memory(share, gradient):
                # A leaf's gradient is its own: an optimizer or clipping may write it.
                share = backend.cast(share, out=backend.empty(share.shape, share.dtype))
            before = flowing.get(id(source))
            flowing[id(source)] = share if before is None else backend.add(before, share)


def _accumulate(leaf: Tensor, gradient: Array, backend: Any) -> None:
    gradient = gradient.reshape(leaf.shape)
    leaves = _leaves.get()
    if leaves is not None:
        leaves.setdefault(id(leaf), (leaf, leaf.grad))
    if leaf.grad is None:
        leaf.grad = gradient
    elif gradient.ndim:
        leaf.grad = backend.add(leaf.grad, gradient)
    else:
        leaf.grad = backend.add(leaf.grad.reshape(1), gradient.reshape(1)).reshape(())
