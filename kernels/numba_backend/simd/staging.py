"""`@staged`: a Python function over registers becomes a function for Numba-compiled code.

When a kernel that calls a staged function is compiled, the Python function runs once, with registers in place of
vectors, and the instructions it emits land in the kernel. To learn the result's type, Numba's type inference runs it
beforehand on a scratch module; the answer is kept for the life of the process. Called from another staged function, it
is an ordinary Python call.
"""

import inspect
import operator
from functools import cache

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, Signature, infer, infer_global
from numba.extending import infer_getattr, lower_builtin, lower_getattr

from .register import AS_WRITTEN, Register, Scalar, splat
from .vector import Mask, Vector, VectorReference

TEMPLATES: dict = {}  # staged function -> its Numba template
METHODS: dict = {}  # name -> staged function that vector types offer as a method


class Memory:
    """Where an array or pointer argument points: the first element, and for arrays the strides in bytes."""

    def __init__(self, builder, type, data, strides=()):
        self.builder, self.type, self.data, self.strides = builder, type, data, strides


def wrap(context, builder, type, value, flags):
    """The Python object a staged function sees for an argument of a Numba type."""
    if isinstance(type, (Vector, Mask)):
        return Register(builder, type, value, flags)
    if isinstance(type, VectorReference):
        return type.vector_type
    if isinstance(type, types.Omitted):
        return type.value
    if isinstance(type, types.NoneType):
        return None
    if isinstance(type, types.Array):
        array = context.make_array(type)(context, builder, value)
        return Memory(builder, type, array.data, cgutils.unpack_tuple(builder, array.strides))
    if isinstance(type, types.CPointer):
        return Memory(builder, type, value)
    if isinstance(type, types.BaseTuple):
        parts = (builder.extract_value(value, n) for n in range(len(type)))
        return tuple(wrap(context, builder, part, item, flags) for part, item in zip(type, parts, strict=True))
    return Scalar(builder, types.unliteral(type), value)


def type_of(result):
    """The Numba type of what a staged function returned."""
    if result is None:
        return types.none
    if isinstance(result, tuple):
        return types.Tuple([type_of(item) for item in result])
    return result.type


def unwrap(context, builder, result):
    """The LLVM value of what a staged function returned."""
    if result is None:
        return context.get_dummy_value()
    if isinstance(result, tuple):
        return context.make_tuple(builder, type_of(result), [unwrap(context, builder, item) for item in result])
    return result.value


def is_supported(type):
    if isinstance(type, types.BaseTuple):
        return all(is_supported(item) for item in type)
    return isinstance(
        type,
        (
            Vector,
            Mask,
            VectorReference,
            types.Omitted,
            types.NoneType,
            types.Number,
            types.Boolean,
            types.Array,
            types.CPointer,
        ),
    )


@cache
def result_type(function, arguments):
    """The type `function` returns for arguments of these Numba types, found by emitting it into a scratch module."""
    context = cpu_target.target_context
    block = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), ()), "scratch").append_basic_block()
    builder = ir.IRBuilder(block)
    values = (ir.Constant(context.get_value_type(a), ir.Undefined) for a in arguments)
    return type_of(function(*(wrap(context, builder, *pair, ()) for pair in zip(arguments, values, strict=True))))


def concerns(type):
    """Whether an argument of this type makes a call ours."""
    if isinstance(type, types.BaseTuple):
        return any(concerns(item) for item in type)
    return isinstance(type, (Vector, Mask, VectorReference))


class StagedTemplate(AbstractTemplate):
    """Types a call of `function`; `this` is the vector type when called as its method."""

    function = this = None

    def generic(self, args, kws):
        receiver = () if self.this is None else (self.this,)
        if not any(concerns(a) for a in (*receiver, *args, *kws.values())):
            return None
        python_signature = inspect.signature(self.function)
        parameters = list(python_signature.parameters.values())
        try:
            bound = python_signature.bind(*receiver, *args, **kws)
        except TypeError as error:
            raise TypingError(f"{self.function.__name__}: {error}") from None
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        complete = (
            (*receiver, *args)
            if variadic
            else tuple(bound.arguments.get(p.name, types.Omitted(p.default)) for p in parameters)
        )
        complete = tuple(types.unliteral(a) for a in complete)
        if not all(is_supported(a) for a in complete):
            return None
        try:
            result = result_type(self.function, complete)
        except TypeError as error:
            raise TypingError(f"{self.function.__name__}: {error}") from None
        kept = parameters[len(receiver) :]
        return Signature(
            result,
            complete[len(receiver) :],
            self.this,
            pysig=None if variadic else python_signature.replace(parameters=kept),
        )


def register_staged(key, function, flags):
    """Give `key`, a function or an operator, the meaning `function` in compiled code.

    Calls without a vector, mask or vector type among the arguments are left to others.
    """
    template = type(f"Staged_{function.__name__}", (StagedTemplate,), {"key": key, "function": staticmethod(function)})
    infer(template)
    infer_global(key, types.Function(template))

    @lower_builtin(key, types.VarArg(types.Any))
    def lower(context, builder, signature, values):
        pairs = zip(signature.args, values, strict=True)
        return unwrap(context, builder, function(*(wrap(context, builder, *pair, flags) for pair in pairs)))

    return template


def staged(function):
    """Make a function over registers callable in compiled code.

    Its arithmetic is executed as written, whatever the kernel's `fastmath` option.
    """
    TEMPLATES[function] = register_staged(function, function, AS_WRITTEN)
    return function


def operators():
    """Python's operators on vectors and masks in compiled code; their arithmetic follows the kernel's `fastmath`."""
    for name in ("add", "sub", "mul", "truediv", "and_", "or_", "xor", "lshift", "rshift"):
        register_staged(getattr(operator, name), getattr(operator, name), ())
        in_place = getattr(operator, "i" + name.rstrip("_"))
        register_staged(in_place, getattr(operator, name), ())
    for name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "invert"):
        register_staged(getattr(operator, name), getattr(operator, name), ())
    register_staged(abs, abs, ())


class RefusedTemplate(AbstractTemplate):
    """Types no call: an operation that vectors do not have, and what to write in its place."""

    instead = ""

    def generic(self, args, kws):
        if any(isinstance(a, (Vector, Mask)) for a in args):
            names = ", ".join(str(types.unliteral(a)) for a in args)
            raise TypeError(f"{self.key.__name__}({names}) is no operation on lanes: {self.instead}")
        return


POWERS = "write v * v for v ** 2, simd.sqrt(v) for v ** 0.5, simd.power(v, w) for vectors v and w"
TRUTH = (
    "write simd.any_lane(mask) or simd.all_lanes(mask) after if, simd.select(mask, a, b) to choose in each lane, and "
    "& | ~ for and, or, not"
)
REFUSED = {operator.pow: POWERS, operator.ipow: POWERS, pow: POWERS, bool: TRUTH, operator.truth: TRUTH}


def refusals():
    """Operators that a reader of Python would try on vectors, each answered with what to write."""
    for key, instead in REFUSED.items():
        template = type(f"Refused_{key.__name__}", (RefusedTemplate,), {"key": key, "instead": instead})
        infer(template)
        infer_global(key, types.Function(template))


operators()
refusals()


def vector_method(function):
    """Make a staged function whose first argument is a vector type available as `f32.<name>(...)` too."""
    METHODS[function.__name__] = function
    setattr(Vector, function.__name__, function)
    return function


@infer_getattr
class _VectorAttributes(AttributeTemplate):
    """f32.lanes, and the methods of vector types."""

    key = VectorReference

    def generic_resolve(self, reference, name):
        if name == "lanes":
            return types.intp
        if name in METHODS:
            return types.BoundFunction(TEMPLATES[METHODS[name]], reference)
        return None


@lower_getattr(VectorReference, "lanes")
def _lanes(context, builder, type, value):
    return context.get_constant(types.intp, type.vector_type.lanes)


@lower_builtin(VectorReference, types.VarArg(types.Any))
def _repeat(context, builder, signature, values):
    return splat(builder, signature.return_type, Scalar(builder, signature.args[0], values[0])).value
