"""Assembly text as LLVM prints it, read into functions, basic blocks and instructions.

Only what a control-flow graph needs is understood: labels, instructions, jump tables and ``.loc``. What an instruction
computes is for ``instructions`` to say; which ones jump, and how a comment begins, the architecture's table here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Syntax:
    """How an architecture writes comments and jumps."""

    comment: re.Pattern[str]
    jump: re.Pattern[str]  # every instruction after which another may be next than the one below
    always: re.Pattern[str]  # those of them that never go on below
    leaves: re.Pattern[str]  # those that leave the function


X86_LEAVES, ARM_LEAVES = r"retq?|ud2", r"ret|brk"
SYNTAXES = {
    "x86_64": Syntax(*map(re.compile, ("#", rf"j\w+|{X86_LEAVES}", rf"jmpq?|{X86_LEAVES}", X86_LEAVES))),
    "aarch64": Syntax(
        *map(re.compile, ("//|;", rf"b|b\.\w+|cbn?z|tbn?z|br|{ARM_LEAVES}", rf"b|br|{ARM_LEAVES}", ARM_LEAVES))
    ),
}
LABEL = re.compile(r'^"?([\w.$@]+)"?:')
BLOCK = re.compile(r"\.?L?BB\d+_\d+")
TABLE = re.compile(r"\.?L?JTI\d+_\d+")
LOCAL = re.compile(r"\.L|L(?:BB|tmp|func|CPI|JTI|cfi)|ltmp")


def architecture(triple: str) -> str:
    """The part of a target triple that says how instructions look: x86_64, aarch64, or the name as it is."""
    name = triple.partition("-")[0]
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(name, name)


@dataclass(frozen=True)
class Instruction:
    """One line: the mnemonic, its operands as written, and the number of its ``.loc``."""

    mnemonic: str
    operands: tuple[str, ...]
    place: int = 0

    def __str__(self) -> str:
        return f"{self.mnemonic:<14} {', '.join(self.operands)}".rstrip()


@dataclass
class Block:
    """Instructions that run one after the other. successors: indices of blocks that may be next."""

    label: str
    instructions: list[Instruction] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Function:
    """A symbol and its blocks; the first is where it begins."""

    name: str
    blocks: list[Block]


def parse(text: str, triple: str) -> list[Function]:
    """The functions in assembly text. Raises KeyError for an architecture that is not in SYNTAXES."""
    syntax, tables = SYNTAXES[architecture(triple)], _jump_tables(text)
    return [Function(name, _blocks(lines, syntax, tables)) for name, lines in _functions(text)]


def _functions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Name and lines of each function: from its label to the next symbol that is not a block's."""
    name, lines = "", list[str]()
    for line in text.splitlines():
        label = LABEL.match(line)
        if label and not LOCAL.match(label[1]):
            if any(_is_code(line) for line in lines):
                yield name, lines
            name, lines = label[1], []
        elif name:
            lines.append(line)
    if any(_is_code(line) for line in lines):
        yield name, lines


def _is_code(line: str) -> bool:
    return line[:1] in "\t " and line.strip()[:1] not in ("", ".", "#", "/", ";")


def _jump_tables(text: str) -> dict[str, list[str]]:
    """The blocks' labels in each jump table."""
    tables: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        label = LABEL.match(line)
        if label:
            current = tables.setdefault(label[1], []) if TABLE.match(label[1]) else None
        elif current is not None:
            target = BLOCK.search(line) if line.strip().startswith((".", "b")) else None
            if target:
                current.append(target[0])
            elif not line.strip().startswith("."):
                current = None
    return tables


def _blocks(lines: list[str], syntax: Syntax, tables: dict[str, list[str]]) -> list[Block]:
    blocks, place = [Block("")], 0
    for line in lines:
        label = LABEL.match(line)
        if label:
            if BLOCK.fullmatch(label[1]):
                blocks.append(Block(label[1]))
            continue
        code = syntax.comment.split(line, maxsplit=1)[0].strip()
        if code.startswith(".loc\t") or code.startswith(".loc "):
            place = int(code.split()[2])
        elif _is_code(line) and code:
            if blocks[-1].instructions and syntax.jump.fullmatch(blocks[-1].instructions[-1].mnemonic):
                blocks.append(Block(""))
            mnemonic, _, rest = code.partition("\t") if "\t" in code else code.partition(" ")
            blocks[-1].instructions.append(Instruction(mnemonic, tuple(operands(rest)), place))
    _link(blocks, syntax, tables)
    return blocks


def operands(text: str) -> list[str]:
    """Operands as written, separated at the commas outside brackets."""
    found, depth, current = [], 0, ""
    for character in text.strip():
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            found.append(current.strip())
            current = ""
        else:
            current += character
    return [*found, current.strip()] if current.strip() else found


def _link(blocks: list[Block], syntax: Syntax, tables: dict[str, list[str]]) -> None:
    """Fills in which blocks may follow each."""
    at = {block.label: i for i, block in enumerate(blocks) if block.label}
    for i, block in enumerate(blocks):
        last = block.instructions[-1] if block.instructions else Instruction("", ())
        jumps = bool(syntax.jump.fullmatch(last.mnemonic))
        if jumps and not syntax.leaves.fullmatch(last.mnemonic):
            named = [at[name] for operand in last.operands for name in BLOCK.findall(operand) if name in at]
            block.successors += named or _through_table(block, at, tables)
        if not (jumps and syntax.always.fullmatch(last.mnemonic)) and i + 1 < len(blocks):
            block.successors.append(i + 1)
        block.successors = sorted(set(block.successors))


def _through_table(block: Block, at: dict[str, int], tables: dict[str, list[str]]) -> list[int]:
    """Where an indirect jump may go: the table that its block names, or where it names none all of the function's."""
    text = " ".join(operand for instruction in block.instructions for operand in instruction.operands)
    named = TABLE.findall(text) or list(tables)
    return [at[label] for name in named for label in tables.get(name, ()) if label in at]
