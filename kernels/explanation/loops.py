"""Natural loops of a control-flow graph.

A block dominates another that cannot be reached but through it. An edge back to a dominator is a loop's end, its target
the loop's head; the loop is every block from which that edge is reached without passing the head (Aho, Lam, Sethi and
Ullman, Compilers, 9.6). Blocks that dominate every such end run in each turn; the others only in some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class NaturalLoop:
    """A loop by block numbers. own: blocks in no loop inside it. every_turn: those of own that every turn runs."""

    head: int
    blocks: frozenset[int]
    own: frozenset[int]
    every_turn: frozenset[int]
    depth: int  # 1: in no other loop

    @property
    def innermost(self) -> bool:
        return self.own == self.blocks


def order(successors: Sequence[Sequence[int]]) -> list[int]:
    """Blocks that can be reached from block 0, each before those that follow it, but for edges back."""
    seen, found = {0}, list[int]()
    stack = [(0, iter(successors[0]))]
    while stack:
        block, rest = stack[-1]
        following = next((b for b in rest if b not in seen), None)
        if following is None:
            found.append(block)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(successors[following])))
    return found[::-1]


def predecessors(successors: Sequence[Sequence[int]]) -> list[list[int]]:
    """The blocks before each block."""
    found: list[list[int]] = [[] for _ in successors]
    for block, following in enumerate(successors):
        for b in following:
            found[b].append(block)
    return found


def dominators(successors: Sequence[Sequence[int]]) -> dict[int, int]:
    """Each reachable block's nearest dominator; block 0 is its own (Cooper, Harvey and Kennedy, 2001)."""
    blocks, before = order(successors), predecessors(successors)
    rank, nearest = {block: i for i, block in enumerate(blocks)}, {0: 0}

    def common(a: int, b: int) -> int:
        while a != b:
            while rank[a] > rank[b]:
                a = nearest[a]
            while rank[b] > rank[a]:
                b = nearest[b]
        return a

    changed = True
    while changed:
        changed = False
        for block in blocks[1:]:
            known = [b for b in before[block] if b in nearest]
            new = known[0]
            for b in known[1:]:
                new = common(b, new)
            changed |= nearest.get(block) != new
            nearest[block] = new
    return nearest


def dominates(nearest: dict[int, int], a: int, b: int) -> bool:
    """Whether block a dominates block b."""
    while b != a and b != nearest[b]:
        b = nearest[b]
    return a == b


def natural_loops(successors: Sequence[Sequence[int]]) -> list[NaturalLoop]:
    """Every natural loop, in the order of their heads; those that share a head are one."""
    nearest, before = dominators(successors), predecessors(successors)
    ends: dict[int, list[int]] = {}
    for block in nearest:
        for head in successors[block]:
            if dominates(nearest, head, block):
                ends.setdefault(head, []).append(block)
    bodies = {head: _body(head, latches, before, nearest) for head, latches in ends.items()}
    found = []
    for head, body in sorted(bodies.items()):
        inside = [other for h, other in bodies.items() if h != head and other < body]
        own = body.difference(*inside)
        every = frozenset(b for b in own if all(dominates(nearest, b, latch) for latch in ends[head]))
        depth = sum(body <= other for other in bodies.values())
        found.append(NaturalLoop(head, body, own, every, depth))
    return found


def _body(head: int, ends: list[int], before: list[list[int]], reachable: dict[int, int]) -> frozenset[int]:
    body, waiting = {head}, list(ends)
    while waiting:
        block = waiting.pop()
        if block not in body and block in reachable:
            body.add(block)
            waiting += before[block]
    return frozenset(body)
