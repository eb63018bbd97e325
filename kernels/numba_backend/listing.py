"""A kernel's machine code as assembly text, and the source lines of each instruction.

The kernel is compiled again, as ``compilation`` does it, and LLVM prints what it is about to turn into object code.
Lines come from Python itself: an instruction of LLVM's intermediate representation is made by a Python call, whose
stack says which line of a staged function made it, called from which line of the kernel. LLVM carries that along as
debug metadata, which by its rules does not change the code; tests compare both with the object code that runs.

This needs a private name each of llvmlite and Numba, ``IRBuilder._insert`` and ``JITCPUCodegen._add_module``. Where one
is missing, less is shown, and the note says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import ir
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.lowering import Lower
from numba.core.registry import cpu_target

from ..contract.code import Code, Place
from .kernels.entry import Arrangement, Epilogue
from .kernels.products.gemm import tile_turn
from .native.calling_convention import KERNEL
from .native.compilation import working
from .runtime.machine import Machine
from .simd import host, vector

FOLDER = Path(__file__).parent
# Modules that turn operators and calls into instructions: what calls them is what a reader looks for.
MACHINERY = frozenset(
    str(FOLDER / name)
    for name in (
        "native/calling_convention.py",
        "listing.py",
        *(f"simd/{m}.py" for m in ("register", "staging", "arithmetic", "memory", "avx512")),
    )
)
LISTED: dict[str, Code] = {}
INSERT, ADD_MODULE = "_insert", "_add_module"  # the private names
WARN, DEBUG_INFO_VERSION = 2, 3  # of LLVM's module flags: how two that differ are merged; the metadata's version


def codes(machine: Machine, arrangement: Arrangement) -> list[Code]:
    """The code of a call: the kernel's, and that of the epilogues that it calls through their addresses."""
    name, char, operands, work = arrangement
    threads = machine.threads if machine.shares(name, work) else 1
    f = vector(char, machine.lanes(char))
    turn = tile_turn(f, operands, threads) if name == "gemm" else None
    epilogues = [operand for operand in operands if type(operand) is Epilogue]
    note = f"a call of this size runs on {threads} threads" if threads > 1 else "a call of this size runs on one thread"
    return [_of_a_call(machine.recipe(name, char), turn, note)] + [
        _of_a_call(machine.recipe(epilogue, char), None, "called for each panel of the product")
        for epilogue in epilogues
    ]


def _of_a_call(
    recipe: tuple[str, Callable[[], Callable[..., None]], Any], turn: tuple[int, int] | None, note: str
) -> Code:
    """The listing of a kernel, compiled once a process: a step calls the same few kernels on many shapes."""
    if recipe[0] not in LISTED:
        with working:
            LISTED[recipe[0]] = listing(*recipe)
    code = LISTED[recipe[0]]
    return replace(code, turn=turn, note="; ".join(filter(None, (note, code.note))))


@global_compiler_lock
def listing(
    key: str,
    build: Callable[[], Callable[..., None]],
    signature: Any = KERNEL,
    lines: bool = True,
) -> Code:
    """The assembly of the kernel that ``build`` returns. lines: whether to keep track of source lines."""
    kernel, tracked = build(), Lines(lines)
    compiled = CFunc(kernel, (signature.args, signature.return_type), {}, {"error_model": "numpy"})
    codegen = cpu_target.target_context.codegen()
    with printed_by(codegen, lambda module: module.name == kernel.__qualname__) as printed, tracked.recorded():
        compiled.compile()
    notes = []
    if lines and not tracked.enabled:
        notes.append(f"llvmlite {llvmlite.__version__} does not show source lines")
    if len(printed) != 1:
        printed = [compiled._library.get_asm_str()]  # type: ignore[attr-defined]
        notes.append(
            f"Numba {numba.__version__} shows code only after compiling it: address arithmetic may be reordered"
        )
    return code_for(codegen, key, printed[0], tracked.places, "; ".join(notes))


def code_for(codegen: Any, name: str, text: str, places: Sequence[tuple[Place, ...]], note: str = "") -> Code:
    """Assembly text with the target that it was printed for."""
    return Code(
        name, text, tuple(places), codegen._tm.triple, codegen._get_host_cpu_name(), 8 * host.vector_bytes(), note=note
    )


@contextmanager
def printed_by(codegen: Any, wanted: Callable[[Any], bool]) -> Iterator[list[str]]:
    """The assembly of the wanted ones among the modules that Numba hands to its compiler within the context."""
    texts: list[str] = []
    original = getattr(codegen, ADD_MODULE, None)
    if original is None:
        yield texts
        return

    def add_module(module: Any) -> Any:
        if not wanted(module):
            return original(module)
        # Printing changes a module. What is compiled is a copy, so that what is printed is as Numba left it.
        copy = module.clone()
        texts.append(str(codegen._tm.emit_assembly(module)))
        return original(copy)

    setattr(codegen, ADD_MODULE, add_module)
    try:
        yield texts
    finally:
        delattr(codegen, ADD_MODULE)


def is_closure(identity: Any) -> bool:
    """Functions of a module are compiled once a process and shared: what a context finds new is a closure."""
    return "<locals>" in identity.func_qualname


class Lines:
    """Gives each instruction that is emitted the number of the Python lines it comes from."""

    def __init__(self, wanted: bool, marks: Callable[[Any], bool] = is_closure) -> None:
        """marks: whether the lines of a function, by Numba's identity of it, are wanted."""
        self._marks = marks
        self.enabled = wanted and hasattr(ir.IRBuilder, INSERT)
        self.places: list[tuple[Place, ...]] = [()]
        self._numbers: dict[tuple[Place, ...], int] = {(): 0}
        # Their metadata by the id of functions and modules, which are kept so that no other gets the same id.
        self._scopes: dict[int, tuple[Any, Any]] = {}
        self._units: dict[int, tuple[Any, tuple[Any, Any]]] = {}

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Within the context, on every builder."""
        if not self.enabled:
            yield
            return
        original = getattr(ir.IRBuilder, INSERT)

        def insert(builder: Any, instruction: Any) -> None:
            original(builder, instruction)
            self._mark(builder, instruction, sys._getframe(1))

        setattr(ir.IRBuilder, INSERT, insert)
        try:
            yield
        finally:
            setattr(ir.IRBuilder, INSERT, original)

    def _mark(self, builder: Any, instruction: Any, frame: Any) -> None:
        chain, lowering = self._chain(frame)
        if lowering is None or not self._marks(lowering.func_ir.func_id):
            # LLVM wants a place of every call in a function that has places at all.
            if id(builder.function) not in self._scopes or not isinstance(instruction, ir.CallInstr):
                return
            chain = ()
        number = self._numbers.setdefault(chain, len(self.places))
        if number == len(self.places):
            self.places.append(chain)
        module = builder.module
        instruction.metadata["dbg"] = module.add_debug_info(
            "DILocation", {"line": number, "column": 0, "scope": self._scope(builder.function, module)}
        )

    @staticmethod
    def _chain(frame: Any) -> tuple[tuple[Place, ...], Any]:
        """The backend's lines on the stack, innermost first, down to the one that Numba is lowering; and its Lower."""
        chain = []
        while frame is not None:
            code = frame.f_code
            if code is Lower.lower_inst.__code__:
                lowering = frame.f_locals["self"]
                chain.append((lowering.loc.filename, lowering.loc.line))
                return tuple(chain), lowering
            if code.co_filename.startswith(str(FOLDER)) and code.co_filename not in MACHINERY:
                chain.append((code.co_filename, frame.f_lineno))
            frame = frame.f_back
        return (), None

    def _scope(self, function: Any, module: Any) -> Any:
        """The function's debug metadata, made at its first instruction."""
        if id(function) not in self._scopes:
            unit, file = self._unit(module)
            kind = module.add_debug_info("DISubroutineType", {"types": module.add_metadata([])})
            scope = module.add_debug_info("DISubprogram", {
                "name": function.name, "file": file, "line": 0, "type": kind, "isLocal": False, "isDefinition": True,
                "isOptimized": True, "unit": unit,
            }, is_distinct=True)  # fmt: skip
            function.set_metadata("dbg", scope)
            self._scopes[id(function)] = function, scope
        return self._scopes[id(function)][1]

    def _unit(self, module: Any) -> tuple[Any, Any]:
        """The module's compile unit and its file, which stands for the table of places."""
        if id(module) not in self._units:
            file = module.add_debug_info("DIFile", {"filename": "places", "directory": ""})
            unit = module.add_debug_info("DICompileUnit", {
                "language": ir.DIToken("DW_LANG_C"), "file": file, "producer": "kernels", "isOptimized": True,
                "runtimeVersion": 0, "emissionKind": ir.DIToken("LineTablesOnly"),
            }, is_distinct=True)  # fmt: skip
            module.add_named_metadata("llvm.dbg.cu").add(unit)
            number = ir.IntType(32)
            flag = module.add_metadata([number(WARN), "Debug Info Version", number(DEBUG_INFO_VERSION)])
            module.add_named_metadata("llvm.module.flags").add(flag)
            self._units[id(module)] = module, (unit, file)
        return self._units[id(module)][1]
