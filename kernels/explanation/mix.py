"""What the instructions of a loop's turn do, counted, and what bounds the loop.

The bound is an estimate of a core's cycles a turn, the largest of: vector operations, of which as many start in a cycle
as this machine was measured to start of their width; loads, two; stores, one; shuffles, one; divisions and square
roots, which occupy their unit for ``DIVISION_CYCLES``; products of tiles, for ``TILE_CYCLES``; all instructions, of
which six are decoded; and the longest chain of operations that wait for each other from turn to turn, which is known
only where every turn takes the same path. What is not measured are the numbers of Intel's Golden Cove
(https://uops.info); other cores start a little more or less. Data is taken to be in the first-level cache: where it
comes from memory, that is the bound, and no instruction shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..hardware import starts
from .instructions import (
    ARITHMETIC,
    CALL,
    COMPUTING,
    CONVERSION,
    DIVISION,
    FLOATING,
    FMA,
    MASK,
    MOVE,
    SCALAR,
    SHUFFLE,
    TILE,
    Operation,
)

# A cycle's loads, stores, shuffles and instructions.
LOADS_A_CYCLE, STORES_A_CYCLE, SHUFFLES_A_CYCLE, INSTRUCTIONS_A_CYCLE = 2, 1, 1, 6
DIVISION_CYCLES = {(128, 32): 3, (256, 32): 5, (512, 32): 10, (128, 64): 4, (256, 64): 8, (512, 64): 16}
TILE_CYCLES = 16  # one row of A each
LATENCY = {TILE: 52, FMA: 4, ARITHMETIC: 4, CONVERSION: 4, DIVISION: 13}  # cycles until a result can be used; others: 1
SETTLED = 8  # turns after which chains of dependence have found their pace
NEAR = 0.95  # of the largest estimate: as good as it
BOUNDS = {
    "arithmetic": "arithmetic",
    "division": "division and square roots",
    "tiles": "the unit that multiplies tiles",
    "loads": "loads",
    "stores": "stores",
    "shuffles": "shuffles",
    "latency": "latency, as each turn waits for results of the one before",
    "instructions": "the number of its instructions, most of them not arithmetic",
}


@dataclass(frozen=True)
class Mix:
    """The operations of one turn of a loop. element: bits of the dtype. available: lanes of the widest register.

    straight: whether these are all of the loop's, so that one turn's follow the other's.
    """

    operations: tuple[Operation, ...]
    element: int
    available: int
    straight: bool = True

    @cached_property
    def kinds(self) -> Counter[str]:
        """Instructions by kind."""
        return Counter(o.kind for o in self.operations)

    @property
    def packed(self) -> int:
        """Floating-point operations on several lanes."""
        return sum(o.kind in FLOATING and not o.scalar for o in self.operations)

    @property
    def scalar(self) -> int:
        """Floating-point operations on one lane."""
        return sum(o.kind in FLOATING and o.scalar for o in self.operations)

    @property
    def widths(self) -> dict[int, int]:
        """Packed operations, of whatever kind but moves, by the bits of their registers."""
        found = Counter(o.bits for o in self.operations if o.kind in COMPUTING and not o.scalar and o.bits)
        return dict(sorted(found.items()))

    @property
    def fma_share(self) -> float:
        """The part of floating-point operations that are fused multiply-adds, in [0, 1]."""
        return self.kinds[FMA] / max(1, self.packed + self.scalar)

    @property
    def loads(self) -> int:
        return sum(o.loads for o in self.operations if not o.spill)

    @property
    def stores(self) -> int:
        return sum(o.stores for o in self.operations if not o.spill)

    @property
    def flops(self) -> int:
        """Floating-point operations of a turn, counted by lane; a multiply-add is two. Tiles are left out."""
        return sum(
            o.lanes * (2 if o.kind == FMA else 1) for o in self.operations if o.kind in (FMA, ARITHMETIC, DIVISION)
        )

    @property
    def bytes_moved(self) -> int:
        """Bytes that a turn loads and stores, spilled registers left out; one element where it works on one."""
        return sum((o.loads + o.stores) * (self.element if o.scalar else o.bits) // 8
                   for o in self.operations if not o.spill)  # fmt: skip

    @property
    def spills(self) -> int:
        """Accesses to slots of the stack, for values that no register was left for."""
        return sum(o.spill for o in self.operations)

    @property
    def vector_spills(self) -> int:
        """Those of them that concern vector registers."""
        return sum(o.spill and o.kind != SCALAR for o in self.operations)

    @property
    def calls(self) -> list[str]:
        """What is called, by name or as the address is written."""
        return [o.target for o in self.operations if o.kind == CALL]

    @property
    def lanes(self) -> int:
        """Lanes that most of the arithmetic works on; of moves, where there is no arithmetic; 0 without either."""
        for kinds in (FLOATING, COMPUTING - {MASK}, {MOVE}):
            found = Counter(self._lanes(o) for o in self.operations if o.kind in kinds and o.lanes)
            if found:
                return max(found, key=lambda lanes: (found[lanes], lanes))
        return 0

    def _lanes(self, o: Operation) -> int:
        """Lanes of an operation; a move's as the dtype has them, since LLVM moves whatever as float32."""
        return o.lanes if o.kind in FLOATING or o.scalar else o.bits // self.element

    @property
    def work(self) -> float:
        """How much a turn does, to compare loops: floating-point instructions, multiply-adds twice, others in part."""
        return sum(
            2 * TILE_CYCLES
            if o.kind == TILE
            else 2
            if o.kind == FMA
            else 1
            if o.kind in FLOATING
            else 0.25
            if o.kind in COMPUTING or o.bits
            else 0.01
            for o in self.operations
        )

    @property
    def multiply_adds(self) -> int:
        """Products added up in a turn, counted by lane, if it is the inner loop of a matrix product."""
        fused = sum(o.lanes for o in self.operations if o.kind == FMA)
        return fused or sum(o.lanes for o in self.operations if o.kind == ARITHMETIC) // 2

    @cached_property
    def cycles(self) -> dict[str, float]:
        """The estimate of each possible bound, in cycles a turn."""
        vector = Counter(o.bits for o in self.operations if o.kind in COMPUTING - {TILE, DIVISION, MASK})
        busy = sum(DIVISION_CYCLES[max(128, o.bits), self.element] for o in self.operations if o.kind == DIVISION)
        return {
            "arithmetic": sum(count / starts(bits) for bits, count in vector.items()),
            "division": float(busy),
            "tiles": float(TILE_CYCLES * self.kinds[TILE]),
            "loads": sum(o.loads for o in self.operations) / LOADS_A_CYCLE,
            "stores": sum(o.stores for o in self.operations) / STORES_A_CYCLE,
            "shuffles": self.kinds[SHUFFLE] / SHUFFLES_A_CYCLE,
            "latency": chain(self.operations) if self.straight else 0.0,
            "instructions": len(self.operations) / INSTRUCTIONS_A_CYCLE,
        }

    @property
    def bounds(self) -> list[str]:
        """The names of the largest estimate and those near it; ``calls`` alone where functions are called."""
        if self.calls:
            return ["calls"]
        most = max(self.cycles.values())
        return sorted((n for n, c in self.cycles.items() if c >= NEAR * most), key=lambda n: -self.cycles[n])[:2]

    @property
    def sentence(self) -> str:
        """What the loop does and what bounds it, in one sentence."""
        does = [
            counted(self.kinds[TILE], "product of tiles", "products of tiles"),
            counted(self.kinds[FMA], "fused multiply-add"),
            counted(self.packed + self.scalar - sum(self.kinds[kind] for kind in (TILE, FMA, DIVISION)),
                    ("other " if self.kinds[FMA] or self.kinds[TILE] else "") + "floating-point operation"),
            counted(self.kinds[DIVISION], "division or square root", "divisions or square roots"),
        ]  # fmt: skip
        if not any(does):
            others = sum(n for kind, n in self.kinds.items() if kind in COMPUTING and kind != MASK)
            does = [counted(others, "vector operation, none on floating-point numbers,",
                            "vector operations, none on floating-point numbers,")]  # fmt: skip
        for_ = [counted(self.loads, "load"), counted(self.stores, "store")]
        calls = f", calls {', '.join(sorted(set(map(call_name, self.calls))))}" if self.calls else ""
        general = counted(self.kinds[SCALAR], "operation on general registers", "operations on general registers")
        moves = "nothing but move data" if self.kinds[MOVE] else general
        what = listed(does) or moves
        where = f" on {self.lanes} of {self.available} lanes" if self.lanes else ""
        floating = self.packed + self.scalar > 0
        names = (BOUNDS[name] if floating or name != "arithmetic" else "these" for name in self.bounds)
        bound = "the functions it calls" if self.calls else " and ".join(names)
        verb = f"does {what}{where} for every {listed(for_)}" if any(for_) else f"does {what}{where}"
        return f"This loop {verb}{calls}: it is bound by {bound}."

    def as_json(self) -> dict[str, object]:
        """The counts as JSON holds them."""
        return {
            "instructions": len(self.operations),
            "kinds": dict(self.kinds),
            "packed": self.packed,
            "scalar": self.scalar,
            "widths": {str(bits): count for bits, count in self.widths.items()},
            "fma_share": round(self.fma_share, 3),
            "flops": self.flops,
            "bytes": self.bytes_moved,
            "loads": self.loads,
            "stores": self.stores,
            "shuffles": self.kinds[SHUFFLE],
            "spills": self.spills,
            "calls": self.calls,
            "lanes": self.lanes,
            "lanes_available": self.available,
            "cycles": {name: round(value, 2) for name, value in self.cycles.items()},
            "bounds": self.bounds,
        }


def chain(operations: Sequence[Operation]) -> float:
    """Cycles a turn that the longest chain of dependence through registers takes, from turn to turn."""
    ready: dict[str, float] = {}
    ends = []
    for _ in range(2 * SETTLED):
        for o in operations:
            done = max((ready.get(register, 0.0) for register in o.reads), default=0.0) + LATENCY.get(o.kind, 1)
            for register in o.writes:
                ready[register] = done
        ends.append(max(ready.values(), default=0.0))
    return (ends[-1] - ends[-1 - SETTLED]) / SETTLED


def call_name(target: str) -> str:
    """What a call's operand names: a symbol, or an address in a register."""
    return "a function through its address" if target.startswith(("%", "x", "(")) or "(" in target else target


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun; nothing for none."""
    return f"{number:,} {one if number == 1 else many or one + 's'}" if number else ""


def listed(parts: Sequence[str]) -> str:
    """Phrases joined to a list, empty ones left out."""
    given = [part for part in parts if part]
    return " and ".join([", ".join(given[:-1]), given[-1]]) if len(given) > 1 else "".join(given)
