"""Where an arena's buffers are: each as low as larger ones allow, in time that many of them do not multiply."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.program import Buffer, Instruction, Program, View, arena
from kernels.program.instruction import TEMPORARY

PHASES = 8


def planned(specs):
    """The plan of buffers of so many elements, each written in one phase and read in another; and their lifetimes."""
    phases = [[] for _ in range(1 + max((max(a, b) for _, a, b in specs), default=0))]
    alive = {}
    for number, (size, a, b) in enumerate(specs):
        view = View(Buffer(TEMPORARY, number, size * 4), 0, (size,), (4,), np.dtype(np.float32))
        for phase in (a, b):
            phases[phase].append(Instruction("exp", (view, view)))
        alive[view.buffer] = (min(a, b), max(a, b))
    return arena.plan(phases, Program([], [], [])), alive


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, PHASES - 1), st.integers(0, PHASES - 1)), max_size=25))
@settings(deadline=None, max_examples=300)
def test_each_buffer_is_as_low_as_larger_ones_allow(specs):
    plan, alive = planned(specs)
    placed = np.zeros((PHASES, 100 * len(specs)), bool)  # by phase and line
    for buffer in sorted(alive, key=lambda b: (-b.nbytes, b.number)):
        (first, last), lines = alive[buffer], -(-buffer.nbytes // arena.LINE)
        lowest = next(n for n in range(placed.shape[1]) if not placed[first : last + 1, n : n + lines].any())
        assert plan.offsets[buffer] == lowest * arena.LINE
        placed[first : last + 1, lowest : lowest + lines] = True
    assert plan.nbytes == arena.LINE * int(np.flatnonzero(placed.any(0)).max(initial=-1) + 1)


def test_a_deep_step_has_fewer_pieces_than_buffers(monkeypatch):
    """Activations wait for the way back, gradients live for two layers, small ones for one."""
    arenas, pieces = [], arena._Pieces
    monkeypatch.setattr(arena, "_Pieces", lambda: arenas.append(pieces()) or arenas[-1])
    for layers in (50, 100):
        specs = []
        for layer in range(layers):
            back = 2 * layers - layer
            specs += [(64, layer, back), (64, back - 1, back), (64, back, back), (7, back, back)]
        plan, _ = planned(specs)
        assert plan.nbytes <= (layers + 4) * 256
        assert len(arenas[-1].lengths) <= 2 * layers + 8
