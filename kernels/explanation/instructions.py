"""What one machine instruction does: its kind, on how many lanes, and what it reads and writes in memory.

x86-64 as LLVM prints it (AT&T syntax: the destination last), by Intel's naming rules (Software Developer's Manual,
volume 2): ``ps`` and ``pd`` end packed operations on float32 and float64, ``ss`` and ``sd`` scalar ones, ``p`` begins
packed ones on integers; the width is that of the widest register named. AArch64 by its arrangement suffixes (``v0.4s``
packed, ``s0`` and ``d0`` scalar; the destination first).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from .assembly import Instruction

FMA, ARITHMETIC, DIVISION, INTEGER, LOGIC = "fma", "arithmetic", "division", "integer", "logic"
TILE = "tile"  # a product of two tile registers (AMX), added to a third
CONVERSION, COMPARISON, SELECT, SHUFFLE, MASK = "conversion", "comparison", "select", "shuffle", "mask"
MOVE, CALL, JUMP, SCALAR = "move", "call", "jump", "address"
KINDS = (
    TILE, FMA, ARITHMETIC, DIVISION, COMPARISON, CONVERSION, INTEGER, LOGIC, SELECT, SHUFFLE, MASK, MOVE, CALL, JUMP,
    SCALAR,
)  # fmt: skip
FLOATING = frozenset((TILE, FMA, ARITHMETIC, DIVISION, COMPARISON, CONVERSION))
"""Kinds that compute with floating-point numbers."""
COMPUTING = FLOATING | {INTEGER, LOGIC, SELECT, SHUFFLE, MASK}
"""Kinds that occupy a vector unit."""


@dataclass(frozen=True)
class Operation:
    """An instruction, understood. bits and lanes: of the vector register it works on, 0 where it works on none.

    scalar: it computes on one lane of a vector register. loads, stores: accesses to memory of vector registers (address
    arithmetic on general registers is counted apart, as ``SCALAR``). spill: the access is to a slot of the stack.
    reads, writes: registers, for chains of dependence.
    """

    kind: str
    bits: int = 0
    lanes: int = 0
    scalar: bool = False
    loads: int = 0
    stores: int = 0
    spill: bool = False
    target: str = ""  # of a call
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()


# ---- x86-64 -------------------------------------------------------------------------------------------------------

X86_VECTOR = re.compile(r"%([xyz])mm(\d+)")
X86_BITS = {"x": 128, "y": 256, "z": 512}
# A tile register has 16 rows of 512 bits; it is loaded and stored row by row.
TILE_ROWS, TILE_ROW_BITS = 16, 512
# The first pattern that matches the mnemonic without its v decides; floating-point ones end in ps, pd, ss or sd.
X86_KINDS = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"fn?m(add|sub|addsub|subadd)\d+[ps][sdh]|dpbf16ps", FMA),
        (r"(div|sqrt)[ps][sdh]", DIVISION),
        (r"cvt\w+", CONVERSION),
        (r"(u?comis|cmp\w*[ps]|fpclass[ps])[sdh]\w?|cmp\w*[ps][sdh]", COMPARISON),
        (r"(add|sub|mul|min|max|rcp\w*|rsqrt\w*|rndscale|round|scalef|getexp|getmant|range|reduce|fixupimm|dp|hadd"
         r"|hsub|addsub)[ps][sdh]", ARITHMETIC),
        (r"(and|andn|or|xor)p[sd]|pternlog[dq]|p(and|andn|or|xor)[dq]?|ptest", LOGIC),
        (r"(p?blendv?m?\w*)", SELECT),
        (r"(p?shuf\w*|p?perm\w*|p?unpck\w*|p?insert\w*|p?extract\w*|p?broadcast\w*|mov(d|sh|sl)dup|mov(hl|lh)ps|p?align\w*"
         r"|p?expand\w*|p?compress\w*|pack\w*|pslldq|psrldq|p?gather\w*|p?scatter\w*|pmov[sz]x\w*|movmskp[sd]|pmovmskb)",
         SHUFFLE),
        (r"k(mov|and|andn|or|xnor|xor|not|shift\w?|ortest|test|add|unpck)\w*|pmov\w2m|pmovm2\w", MASK),
        (r"mov(aps|apd|ups|upd|dqa|dqu|nt|ss|sd|lps|hps|lpd|hpd|lp|hp)\w*|maskmov\w*|lddqu", MOVE),
        (r"p\w+", INTEGER),
    )
)  # fmt: skip
X86_READS_MEMORY_ONLY = re.compile(r"v?(u?comis[sdh]|ptest)|cmp\w?|test\w?|bt\w?")
X86_INTEGERS = {"b": 8, "w": 16, "d": 32, "q": 64}
X86_STACK = re.compile(r"-?\w*\((%rsp|%rbp)\)")


def x86(instruction: Instruction, frame_pointer: bool = False) -> Operation:
    """An x86-64 instruction. frame_pointer: whether %rbp points into the function's stack frame."""
    name, operands = instruction.mnemonic, instruction.operands
    if name.startswith("call"):
        return Operation(CALL, target=operands[0].removeprefix("*").removesuffix("@PLT") if operands else "")
    if re.fullmatch(r"j\w+|ret\w?|ud2", name):
        return Operation(JUMP, reads=frozenset({"flags"}))
    if any("%tmm" in operand for operand in operands):
        return _x86_registers(_x86_tile(name), instruction)
    # An xmm register among ymm ones may be a mask or a shift count: the widest register is what is worked on.
    vectors = [X86_BITS[letter] for operand in operands for letter, _ in X86_VECTOR.findall(operand)]
    masked = any("%k" in operand for operand in operands)
    if not vectors and not (name.startswith("k") and masked) and not (name.startswith("v") and masked):
        spill = any(_x86_is_stack(operand, frame_pointer) for operand in operands) and not name.startswith("lea")
        return _x86_registers(Operation(SCALAR, spill=spill), instruction)
    base = name.removeprefix("v")
    kind = next(
        (kind for pattern, kind in X86_KINDS if pattern.fullmatch(base)), MOVE if base[:3] == "mov" else INTEGER
    )
    bits = max(vectors, default=0)
    one = bool(re.search(r"(s[sdh]|s[sd]2\w+|2s[sd]\w?|2s?u?si\w?)$", base)) and kind in {*FLOATING, MOVE}
    element = _x86_element(base)
    memory = [i for i, operand in enumerate(operands) if _x86_is_memory(operand)]
    stored = bool(memory) and memory[-1] == len(operands) - 1 and not X86_READS_MEMORY_ONLY.fullmatch(name)
    loaded = bool(memory) and not stored
    if kind == SHUFFLE and loaded and "broadcast" in base:
        kind = MOVE  # done by the load itself
    if kind == LOGIC and "xor" in base and len(set(operands)) == 1:
        kind = MOVE  # sets a register to zero, which occupies no unit
    if kind == MOVE and masked and not memory:
        kind = SELECT  # a merge under a mask
    spill = any(_x86_is_stack(operands[i], frame_pointer) for i in memory)
    found = Operation(
        kind, bits, 1 if one else bits // element, one, int(loaded), int(stored and kind != SCALAR), spill
    )  # fmt: skip
    return _x86_registers(found, instruction)


def _x86_tile(name: str) -> Operation:
    """An operation on tile registers. lanes: of a row of float32."""
    kind = TILE if name.startswith("tdp") else MOVE
    loads, stores = TILE_ROWS * name.startswith("tileload"), TILE_ROWS * name.startswith("tilestore")
    return Operation(kind, TILE_ROWS * TILE_ROW_BITS, TILE_ROW_BITS // 32, loads=loads, stores=stores)


def _x86_element(base: str) -> int:
    """Bits of an element, by the mnemonic's last letters."""
    if base.startswith("p") and not base.endswith(("ps", "pd")) and base[-1] in X86_INTEGERS:
        return X86_INTEGERS[base[-1]]
    return 64 if re.search(r"[ps]d$|(?<!d)q$|64x\d$|pd2\w+$", base) else 32


def _x86_is_memory(operand: str) -> bool:
    return "(" in operand or (not operand.startswith(("%", "$", "*%", "{")) and bool(re.match(r"[-.\w]", operand)))


def _x86_is_stack(operand: str, frame_pointer: bool) -> bool:
    """A slot of the frame at a fixed place: with an index register it is an array on the stack."""
    found = X86_STACK.fullmatch(re.sub(r"\{.*?\}", "", operand).strip())
    return found is not None and (found[1] == "%rsp" or frame_pointer)


def _x86_registers(operation: Operation, instruction: Instruction) -> Operation:
    """The operation with the registers it reads and writes; parts of a register count as all of it."""
    name, operands = instruction.mnemonic, instruction.operands
    if not operands:
        return operation
    *sources, last = operands
    reads = {_general(r) for operand in sources for r in re.findall(r"%(\w+)", operand)}
    target = {_general(r) for r in re.findall(r"%(\w+)", last)}
    if _x86_is_memory(last) or re.match(r"v?u?comis|cmp[bwlq]?$|test[bwlq]?$|ktest|kortest|vptest", name):
        return replace(
            operation, reads=frozenset(reads | target), writes=frozenset({"flags"} if "mov" not in name else ())
        )
    first = re.findall(r"%(\w+)", last)[:1]
    written = {_general(r) for r in first}
    merged = "{%k" in last and "{z}" not in last
    two_operands = not name.startswith("v") and not re.match(r"mov|lea|sqrt|cvt|pshuf|pmov|k|tile", name)
    if operation.kind == FMA or merged or two_operands or name.startswith(("vpternlog", "vpermi2", "vpermt2")):
        reads |= written
    if "xor" in name and len(set(operands)) == 1:
        reads = set()  # sets to zero
    reads |= target - written
    return replace(
        operation, reads=frozenset(reads), writes=frozenset(written | ({"flags"} if two_operands else set()))
    )


def _general(register: str) -> str:
    """One name for a register of whatever width."""
    vector = re.fullmatch(r"[xyz]mm(\d+)", register)
    if vector:
        return f"v{vector[1]}"
    numbered = re.fullmatch(r"(r\d+)[dwb]?", register)
    if numbered:
        return numbered[1]
    short = re.fullmatch(r"[re]?([a-d])[xlh]|[re]?(si|di|sp|bp)l?", register)
    return f"r{short[1]}x" if short and short[1] else f"r{short[2]}" if short else register


# ---- AArch64 ------------------------------------------------------------------------------------------------------

ARM_PACKED = re.compile(r"\bv(\d+)\.(\d*)([bhsdq])")
ARM_SCALAR = re.compile(r"\b([bhsd])(\d+)\b")
ARM_WHOLE = re.compile(r"\bq(\d+)\b")
ARM_SCALABLE = re.compile(r"\bz(\d+)\.([bhsd])")
ARM_STACK = re.compile(r"\[(sp|x29)(, #-?\w+)?\]")
ARM_ELEMENT = {"b": 8, "h": 16, "s": 32, "d": 64, "q": 128, "": 128}
ARM_KINDS = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"fml[as]l?2?|fn?madd|fn?msub|fmad|fmsb", FMA),
        (r"fdivr?|fsqrt", DIVISION),
        (r"[su]cvtf|fcvt\w*", CONVERSION),
        (r"fcm\w+|fccmp\w*|fac\w\w", COMPARISON),
        (r"f(add|sub|mul|nmul|min|max|minnm|maxnm|abs|neg|abd|rint\w|recp\w|rsqrt\w|mulx|scale|addp|maxp|minp|maxnmp"
         r"|minnmp|maxv|minv|maxnmv|minnmv)", ARITHMETIC),
        (r"and|orr|eor|bic|orn|mvn|not", LOGIC),
        (r"bsl|bit|bif|fcsel|sel", SELECT),
        (r"zip[12]|uzp[12]|trn[12]|ext|dup|tb[lx]|ins|rev\d+|[su]mov|xtn2?|[su]xtl2?|shll2?", SHUFFLE),
        (r"ld\w+", MOVE),
        (r"st\w+", MOVE),
        (r"f?mov\w?", MOVE),
        (r"[\w.]+", INTEGER),
    )
)  # fmt: skip
ARM_APPLE = re.compile(r"(?!b\.)(\w+)\.(\d*[bhsdq])")


def aarch64(instruction: Instruction, frame_pointer: bool = False) -> Operation:
    """An AArch64 instruction. frame_pointer: whether x29 points into the function's stack frame."""
    name, operands = instruction.mnemonic, instruction.operands
    apple = ARM_APPLE.fullmatch(name)
    if apple:  # there the arrangement follows the mnemonic: fmul.4s v0, v1, v2
        name = apple[1]
        operands = tuple(
            re.sub(r"\bv(\d+)\b(?!\.)(\[)?", lambda v: f"v{v[1]}.{apple[2][-1] if v[2] else apple[2]}{v[2] or ''}", o)
            for o in operands
        )
    text = ", ".join(operands)
    if name in ("bl", "blr"):
        return Operation(CALL, target=operands[0] if operands else "")
    if re.fullmatch(r"b|b\.\w+|cbn?z|tbn?z|br|ret|brk", name):
        return Operation(JUMP, reads=_arm_registers(text))
    packed, scalable = ARM_PACKED.findall(text), ARM_SCALABLE.findall(text)
    registers = re.sub(r"\[.*", "", text)  # those of an address are general ones
    whole, one = ARM_WHOLE.findall(registers), ARM_SCALAR.findall(registers)
    reads, writes = _arm_dependence(name, operands)
    if not (packed or scalable or whole or one):
        spill = bool(ARM_STACK.search(text)) and bool(re.match(r"ld|st", name))
        return Operation(SCALAR, spill=spill, reads=reads, writes=writes)
    kind = next(kind for pattern, kind in ARM_KINDS if pattern.fullmatch(name))
    widths = [int(count) * ARM_ELEMENT[element] if count else 0 for _, count, element in packed]
    bits = max([*widths, 128 if whole or scalable else 0, *([32] if one and not packed else [])])
    element = ARM_ELEMENT[packed[0][2] if packed else scalable[0][1] if scalable else one[0][0] if one else "s"]
    scalar = bool(one) and not packed and not whole and not scalable
    accesses = len(whole) + len(one) + len(packed) if "[" in text and re.match(r"ld|st", name) else 0
    if re.match(r"ld[1-4]r?$|st[1-4]$", name):
        accesses = len(packed)
    base = ARM_STACK.search(text)
    spill = bool(accesses and base and (base[1] == "sp" or frame_pointer))
    if scalar and kind == INTEGER:
        bits, scalar = 32, False
    return Operation(
        kind, bits, 1 if scalar else max(1, bits // element), scalar and kind in {*FLOATING, MOVE},
        accesses if name.startswith("ld") else 0, accesses if name.startswith("st") else 0, spill, "", reads, writes,
    )  # fmt: skip


def _arm_registers(text: str) -> frozenset[str]:
    found = set()
    for letter, number in re.findall(r"\b([vqdshbzxw])(\d+)\b", text):
        found.add(f"{'x' if letter in 'xw' else 'v'}{number}")
    return frozenset(found)


def _arm_dependence(name: str, operands: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    if not operands:
        return frozenset(), frozenset()
    everything = _arm_registers(", ".join(operands))
    if re.match(r"st|cmp|tst|fcmp|prfm", name):
        return everything, frozenset()
    written = _arm_registers(", ".join(operands[:2]) if name.startswith("ldp") else operands[0])
    reads = _arm_registers(", ".join(operands[2 if name.startswith("ldp") else 1 :]))
    if re.match(r"fml[as]|bsl|bit|bif|ins|ml[as]", name) or (name == "mov" and re.search(r"\]$", operands[0])):
        reads |= written
    return reads, written


OPERATIONS: dict[str, Callable[[Instruction, bool], Operation]] = {"x86_64": x86, "aarch64": aarch64}
"""How each architecture's instructions are understood."""


def has_frame_pointer(arch: str, instructions: list[Instruction]) -> bool:
    """Whether a function beginning so keeps the base of its frame in %rbp or x29."""
    begin = [str(instruction).split(None, 1) for instruction in instructions[:24]]
    pairs = [(words[0], words[1].replace(" ", "")) for words in begin if len(words) == 2]
    if arch == "x86_64":
        return ("movq", "%rsp,%rbp") in pairs
    return any(name in ("mov", "add") and rest.startswith("x29,sp") for name, rest in pairs)
