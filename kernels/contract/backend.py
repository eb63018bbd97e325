"""A loaded backend: one checked method for each kernel of the contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..memory import empty
from .calls import PLANS_KEPT, checked
from .code import Code
from .declaration import DECLARATIONS, Declaration
from .precision import leaves_out, rounding

if TYPE_CHECKING:
    from .signatures import Kernels
else:
    Kernels = object


class Backend(Kernels):
    """A backend's kernels, checked as the contract says: ``backend.exp(x)``, ``backend.matmul(a, b, out=c)``.

    A method checks its arguments (TypeError, ValueError), allocates the results that were not given, and calls the
    implementation with all operands by position. Kernels that the backend leaves out run as their compositions.
    """

    def __init__(
        self,
        name: str,
        implementations: Mapping[str, Callable[..., Any]],
        options: Mapping[str, Any] | None = None,
        empty: Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray[Any, Any]] = empty,
        compile_seconds: Callable[[], float] | None = None,
        kernels_compiled: Callable[[], int] | None = None,
        executor: Callable[[Any], Any] | None = None,
        context: Callable[[], Any] | None = None,
        code: Callable[[str, Sequence[Any]], Sequence[Code]] | None = None,
    ):
        """executor: makes a recorded program runnable. context: makes the context in which kernels run, once a call.

        code: shows the machine code that a kernel of the backend's own runs on operands.
        """
        check_implementations(name, implementations)
        self.name = name
        self.options = dict(options or {})
        self.asked: dict[str, Any] = {}  # those of the options that were not left to the backend
        self.recorder: Backend | None = None  # the same kernels, whose calls are noted: kernels.program makes it
        self.reload: Callable[[], Backend] | None = None  # where it was loaded by name: loads it again
        self.implementations = {
            kernel: rounding(DECLARATIONS[kernel], function) for kernel, function in implementations.items()
        }
        self.native = frozenset(implementations)
        self.empty = empty
        self._compile_seconds, self._kernels_compiled = compile_seconds, kernels_compiled
        self.executor, self.context, self.code = executor, context, code
        self._constants: dict[tuple[float, Any], np.ndarray[Any, Any]] = {}

    def _method(self, kernel: str) -> Callable[..., Any]:
        """The kernel's method, made when it is first asked for: a run uses a third of the kernels."""
        declaration = DECLARATIONS.get(kernel)
        if declaration is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {kernel!r}")
        implementation = self.implementations.get(kernel)
        if implementation is None:
            implementation = composed(declaration, self)
        elif self.context is not None:
            implementation = self.context()(implementation)
        # Of two threads that make it at once, both get the first one's.
        method: Callable[..., Any] = self.__dict__.setdefault(kernel, checked(declaration, implementation, self))
        return method

    if not TYPE_CHECKING:  # who checks types has the methods' signatures
        __getattr__ = _method

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *DECLARATIONS})

    @property
    def compiles(self) -> bool:
        """Whether kernels are compiled when they are first used."""
        return self._compile_seconds is not None

    @property
    def compile_seconds(self) -> float:
        """Seconds spent compiling kernels so far; 0 where nothing is compiled."""
        return self._compile_seconds() if self._compile_seconds else 0.0

    @property
    def kernels_compiled(self) -> int:
        """Kernels compiled so far, those loaded from a cache not counted."""
        return self._kernels_compiled() if self._kernels_compiled else 0

    def implementation(self, kernel: str) -> Callable[..., Any]:
        """What runs a kernel on checked arguments, all by position: the backend's own, or its composition."""
        return self.implementations.get(kernel) or composed(DECLARATIONS[kernel], self)

    def unfused(self) -> Backend:
        """The same backend without its fused kernels: their compositions run instead, call by call."""
        required = {name: function for name, function in self.implementations.items() if DECLARATIONS[name].required}
        backend = Backend(
            self.name, required, {**self.options, "fused": False}, self.empty, self._compile_seconds,
            self._kernels_compiled, context=self.context, code=self.code,
        )  # fmt: skip
        backend.asked = {**self.asked, "fused": False}
        return backend

    def constant(self, value: float, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """A read-only array of one element, the same array for the same value."""
        key = (value, dtype) if value else (repr(value), dtype)  # 0.0 == -0.0
        found = self._constants.get(key)  # type: ignore[arg-type]
        if found is None:
            if len(self._constants) >= PLANS_KEPT:
                self._constants.clear()
            found = np.array([value], dtype)
            found.flags.writeable = False
            self._constants[key] = found  # type: ignore[index]
        return found

    def __reduce__(self) -> tuple[Callable[[], Backend], tuple[()]]:
        """A pickle holds the name and the options that were asked for; what was left to the backend is chosen again."""
        if self.reload is None:
            raise TypeError(f"backend {self.name!r} was not loaded by its name, so it cannot be pickled")
        return self.reload, ()

    def __copy__(self) -> Backend:
        """Itself: nothing of it changes what kernels compute."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"<kernels.Backend {self.name}{options}: {len(self.native)} of {len(DECLARATIONS)} kernels its own>"


def check_implementations(name: str, implementations: Mapping[str, Callable[..., Any]]) -> None:
    """Refuses a backend that lacks required kernels or whose parameters differ from the declarations'."""
    missing = [d.name for d in DECLARATIONS.values() if d.required and d.name not in implementations]
    if missing:
        raise TypeError(f"backend {name!r} lacks the required kernels {', '.join(missing)}")
    for kernel, implementation in implementations.items():
        if kernel not in DECLARATIONS:
            raise TypeError(f"backend {name!r} implements {kernel!r}, which the contract does not declare")
        found = tuple(inspect.signature(implementation).parameters)
        expected = DECLARATIONS[kernel].parameter_names
        if found != expected and not leaves_out(DECLARATIONS[kernel], found):
            raise TypeError(
                f"backend {name!r}: {kernel} takes ({', '.join(found)}), the contract says ({', '.join(expected)})"
            )


def composed(declaration: Declaration, backend: Backend) -> Callable[..., Any]:
    """The composition as an implementation: results by position become keywords."""
    composition, inputs = declaration.composition, len(declaration.inputs)
    names = [operand.name for operand in declaration.results]
    assert composition is not None

    def implementation(*arguments: Any) -> None:
        composition(backend, *arguments[:inputs], **dict(zip(names, arguments[inputs:], strict=True)))

    return as_declared(implementation, declaration)


def as_declared(function: Callable[..., Any], declaration: Declaration) -> Callable[..., Any]:
    """The function, with a signature that says it takes the kernel's operands by position."""
    kind = inspect.Parameter.POSITIONAL_ONLY
    parameters = [inspect.Parameter(name, kind) for name in declaration.parameter_names]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function
