"""A loaded backend: one checked method for each kernel of the contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks
from .declaration import DECLARATIONS, Declaration, Operand

PLANS_KEPT = 4096  # shapes remembered a kernel; a training run uses a dozen


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return np.empty(shape, dtype)


class Backend:
    """A backend's kernels behind the contract: ``backend.exp(x)``, ``backend.matmul(a, b, out=c)``.

    A method checks its arguments (TypeError, ValueError), allocates the results that were not given, and calls the
    implementation with all operands by position. Kernels that the backend leaves out run as their compositions.
    """

    def __init__(
        self,
        name: str,
        implementations: Mapping[str, Callable[..., Any]],
        options: Mapping[str, Any] | None = None,
        empty: Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray[Any, Any]] = _empty,
        compile_seconds: Callable[[], float] | None = None,
    ):
        check_implementations(name, implementations)
        self.name = name
        self.options = dict(options or {})
        self.native = frozenset(implementations)
        self.empty = empty
        self._compile_seconds = compile_seconds
        self._constants: dict[tuple[float, Any], np.ndarray[Any, Any]] = {}
        for declaration in DECLARATIONS.values():
            implementation = implementations.get(declaration.name) or composed(declaration, self)
            setattr(self, declaration.name, checked(declaration, implementation, self))

    if TYPE_CHECKING:  # the methods are made above; their signatures stand in the declarations

        def __getattr__(self, kernel: str) -> Callable[..., Any]: ...

    @property
    def compiles(self) -> bool:
        """Whether kernels are compiled when they are first used."""
        return self._compile_seconds is not None

    @property
    def compile_seconds(self) -> float:
        """Seconds spent compiling kernels so far; 0 where nothing is compiled."""
        return self._compile_seconds() if self._compile_seconds else 0.0

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
        if found != expected:
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

    return implementation


def checked(declaration: Declaration, implementation: Callable[..., Any], backend: Backend) -> Callable[..., Any]:
    """The method: checks once for each combination of shapes, strides, dtypes and options, then only compares keys.

    The function's source is generated, as dataclasses do it, so that Python itself binds the arguments and a checked
    call costs well under a microsecond.
    """
    kernel, results = declaration.name, [operand.name for operand in declaration.results]
    names = declaration.parameter_names
    plans: dict[Any, checks.Plan] = {}

    def slow_path(key: Any, arguments: dict[str, Any]) -> checks.Plan:
        found = checks.plan(declaration, arguments)
        if len(plans) >= PLANS_KEPT:
            plans.clear()
        if key is not None:
            plans[key] = found
        return found

    def convert(name: str, value: Any) -> Any:
        return checks.check_option(kernel, operands[name], value)

    def constant(name: str, number: Any, others: tuple[Any, ...]) -> Any:
        """A Python number among arrays, as an array of one element."""
        dtype = next((other.dtype for other in others if isinstance(other, np.ndarray)), None)
        if dtype is None or dtype not in checks.FLOAT_DTYPES:
            raise TypeError(f"{kernel}: {name} is a {type(number).__name__}, expected at least one float array operand")
        return backend.constant(float(number), dtype)

    operands = {operand.name: operand for operand in declaration.operands}
    scope = {
        "implementation": implementation,
        "plans": plans,
        "slow_path": slow_path,
        "convert": convert,
        "constant": constant,
        "empty": lambda shape, dtype: backend.empty(shape, dtype),
        "check_below": checks.check_below,
        "check_overlap": lambda arguments: checks.check_overlap(declaration, arguments),
        "NUMBERS": (float, int, np.float32, np.float64),
        "DEFAULTS": {operand.name: operand.default for operand in declaration.operands},
    }
    lines = [f"def {kernel}({_parameters(declaration)}):"]
    lines += [f"    {line}" for operand in declaration.inputs for line in _prepare(operand, declaration)]
    as_dict = "{" + ", ".join(f"'{name}': {name}" for name in names) + "}"
    lines += [
        "    try:",
        f"        key = ({', '.join(_key(operand) for operand in declaration.operands)},)",
        "        plan = plans.get(key)",
        "    except (AttributeError, TypeError):",
        "        key = plan = None",
        "    if plan is None:",
        f"        plan = slow_path(key, {as_dict})",
    ]
    bounded = [operand.name for operand in declaration.inputs if operand.below]
    lines += [f"    check_below('{kernel}', '{name}', {name}, plan.bounds[{i}])" for i, name in enumerate(bounded)]
    written = results + [operand.name for operand in declaration.inputs if operand.kind == "Mutable"]
    if written:
        lines += [
            f"    if {' or '.join(f'{name} is not None' for name in written)}:",
            f"        check_overlap({as_dict})",
        ]
    lines += [f"    if {name} is None: {name} = empty(*plan.results[{i}])" for i, name in enumerate(results)]
    lines += [f"    implementation({', '.join(names)})"]
    if results:
        lines.append(f"    return {', '.join(results)}")
    exec(compile("\n".join(lines), f"<checked call of {backend.name}.{kernel}>", "exec"), scope)
    function: Callable[..., Any] = scope[kernel]  # type: ignore[assignment]
    function.__doc__ = declaration.doc
    return function


def _parameters(declaration: Declaration) -> str:
    inputs = [o.name + (f"=DEFAULTS['{o.name}']" if o.optional else "") for o in declaration.inputs]
    results = [f"{operand.name}=None" for operand in declaration.results]
    return ", ".join(inputs + (["*", *results] if results else []))


def _prepare(operand: Operand, declaration: Declaration) -> list[str]:
    """Source that turns an argument into the kind the implementation takes."""
    name = operand.name
    if not operand.is_array:
        if operand.kind == "Axis":  # checked with the shape it belongs to
            return []
        # A float or bool of the right type needs no further check; other kinds are limited in value too.
        unless = f"if type({name}) is not {operand.kind}: " if operand.kind in ("float", "bool") else ""
        return [f"{unless}{name} = convert('{name}', {name})"]
    if operand.shape is not None and operand.shape.axes == ("*",):
        others = ", ".join(other.name for other in declaration.inputs if other is not operand)
        return [f"if type({name}) in NUMBERS: {name} = constant('{name}', {name}, ({others},))"]
    return []


def _key(operand: Operand) -> str:
    """Source of what the check of this operand depends on."""
    name = operand.name
    if not operand.is_array:
        return "0" if operand.kind in ("float", "int", "Probability") else name
    described = f"type({name}), {name}.dtype, {name}.shape, {name}.strides, {name}.flags.num"
    nullable = operand.written or operand.optional
    return f"None if {name} is None else ({described})" if nullable else described
