"""Modules: trees of parameters and buffers with a forward function. Names and meanings follow PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kernels.contract.dtypes import FLOATS
from kernels.markup import table

from ..checks import check_above_0, check_at_least_0
from ..tensor import Array, Tensor, float_dtype
from .untrained import SUSPECT, refuse_untrained


class Parameter(Tensor):
    """A tensor that a module's optimizer updates: ``self.scale = nn.Parameter(np.ones(3, np.float32))``.

    lr_factor, decay_factor: what the optimizer's learning rate and weight decay are multiplied by for this parameter.
    scale: data = scale * w, where w is what is learned. Rates are then such that data / scale moves as w would on its
    own (``optim.parameter_groups`` says how), so that no step has to multiply.
    """

    __slots__ = ("decay_factor", "lr_factor", "scale")

    def __init__(
        self,
        data: ArrayLike,
        dtype: DTypeLike | None = None,
        *,
        lr_factor: float = 1.0,
        decay_factor: float = 1.0,
        scale: float = 1.0,
    ):
        super().__init__(np.array(data.data if isinstance(data, Tensor) else data), requires_grad=True, dtype=dtype)
        self.lr_factor = check_at_least_0("lr_factor", lr_factor)
        self.decay_factor = check_at_least_0("decay_factor", decay_factor)
        self.scale = check_above_0("scale", scale)


def described(*values: Any, **options: tuple[Any, Any]) -> str:
    """The values, then what options are, each given with its default, where they differ: ``4, 2, bias=False``."""
    said = [f"{name}={value!r}" for name, (value, default) in options.items() if value != default]
    return ", ".join([*map(str, values), *said])


class Module:
    """The base of layers, losses and networks.

    Parameters, modules and arrays (buffers: state that is saved but not trained) assigned as attributes are found by
    name. A subclass defines ``forward``. What would silently stay untrained is refused with TypeError when parameters
    are asked for: a plain Tensor with requires_grad=True, modules or parameters in a plain list, tuple, dict or set.
    """

    training: bool = True
    float64_state: frozenset[str] = frozenset()  # buffers that keep their dtype when the module is converted

    def _no_forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    # Not a method, for type checkers: a subclass's own parameters are no complaint.
    forward: Callable[..., Any] = _no_forward

    def __call__(self, *inputs: Any) -> Tensor:
        found: Tensor = self.forward(*inputs)
        return found

    def children(self) -> Iterator[tuple[str, Module]]:
        """Modules directly inside, by attribute name."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all inside it, by dotted path."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def _modules(self) -> list[Module]:
        """The same without paths, and at once: one row passes a small network in the time that takes."""
        found = [self]
        for _, child in self.children():
            found += child._modules()
        return found

    def _named(self, kind: type) -> Iterator[tuple[str, Any]]:
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if value.__class__ in SUSPECT:
                    refuse_untrained(module, name, value, (Module, Parameter))
                elif isinstance(value, kind):
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Parameters by dotted path; one that is shared comes once."""
        seen: set[int] = set()
        for name, parameter in self._named(Parameter):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> list[Parameter]:
        """All parameters, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Buffers by dotted path."""
        return self._named(np.ndarray)

    def train(self, mode: bool = True) -> Self:
        """Training mode: dropout drops, batch normalisation uses and tracks the batch's statistics."""
        for module in self._modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forgets all parameters' gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def arrays(self) -> dict[str, Array]:
        """All parameters' and buffers' arrays, themselves, by dotted path."""
        return {name: parameter.data for name, parameter in self._named(Parameter)} | dict(self.named_buffers())

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by dotted path."""
        return {name: array.copy() for name, array in self.arrays().items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Copies values into the parameters and buffers. Checks all names and shapes before it writes anything."""
        own = self.arrays()
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if missing or unknown:
            said = [f"lacks {', '.join(sorted(missing))}"] if missing else []
            said += [f"has unknown {', '.join(sorted(unknown))}"] if unknown else []
            raise ValueError(f"state {' and '.join(said)}")
        arrays = {name: np.asarray(value) for name, value in state.items()}
        for name, array in arrays.items():
            if array.shape != own[name].shape:
                raise ValueError(f"state: {name} has shape {array.shape}, the model's has {own[name].shape}")
            if array.dtype.kind not in "fiu":
                raise TypeError(f"state: {name} has dtype {array.dtype}, expected numbers")
        for name, array in arrays.items():
            own[name][...] = array  # the arrays stay the same objects: optimizers hold on to them

    def to(self, dtype: DTypeLike) -> Self:
        """Converts parameters and buffers to float32 or float64; dropout's counters stay float64."""
        wanted = float_dtype(dtype)
        for _, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    value.data, value.grad = value.data.astype(wanted), None
                elif isinstance(value, np.ndarray) and value.dtype in FLOATS and name not in module.float64_state:
                    setattr(module, name, value.astype(wanted))
        return self

    def extra_repr(self) -> str:
        """What is in the brackets of the module's line when it is printed."""
        return ""

    def _repr_html_(self) -> str:
        """The layers, their parameters' shapes and how many numbers these are, as a notebook shows them."""
        rows = []
        for path, module in self.named_modules():
            own = {name: value for name, value in vars(module).items() if isinstance(value, Parameter)}
            shapes = ", ".join(f"{name} {value.shape}" for name, value in own.items())
            count = sum(value.size for value in own.values())
            inside = type(module).__name__ if any(True for _ in module.children()) else repr(module)
            rows.append([path or "(whole)", inside, shapes, f"{count:,}" if count else ""])
        total = sum(parameter.size for parameter in self.parameters())
        return table(["name", "layer", "shapes", "parameters"], rows, f"{type(self).__name__}: {total:,} parameters")

    def __repr__(self) -> str:
        inside = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.children()]
        if not inside:
            return f"{type(self).__name__}({self.extra_repr()})"
        return f"{type(self).__name__}({self.extra_repr()}\n" + "\n".join(inside) + "\n)"
