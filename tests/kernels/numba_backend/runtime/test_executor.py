"""The numba backend's executor: what threads touch is what the table says, and nothing but speed depends on threads."""

import itertools
import os
import signal
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest
from children import finished, started
from repository import ROOT

import kernels
import kernels.testing as suite
import tinynet as tn
from kernels.contract import DECLARATIONS
from kernels.numba_backend.kernels import entry
from kernels.numba_backend.kernels.entry import Split
from kernels.numba_backend.kernels.table import arrangements
from kernels.numba_backend.native.calling_convention import FIRST_OPERAND, OPERAND_WORDS, ROW_WORDS
from kernels.numba_backend.native.partition import share_of, splits_rows
from kernels.numba_backend.runtime import footprints as access
from kernels.numba_backend.runtime.machine import Machine, best_width
from kernels.program import View, difference, recorder, recording
from kernels.testing import suite as cases
from tinynet import nn, optim
from tinynet.backends import running_on

F = np.float32
THREADS = 3
ARRANGEMENTS = arrangements()


def python(body, timeout=240, **environment):
    """What a new process prints; it fails if the process does."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(body)]
    done = finished(command, timeout, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


# ---- what threads touch -------------------------------------------------------------------------------------------


def recorded(kernel, variant, shape, layout):
    """One call as an instruction, and the arrays of its own that it is on, by buffer."""
    declaration, case = DECLARATIONS[kernel], suite.CASES[kernel]
    arguments = cases._arguments(case, declaration, shape, variant, layout, "float32")
    if arguments is None:
        return None
    call = cases._Call(kernels.load("numpy"), case, declaration, arguments, layout, np.dtype(F))
    prepared, outputs = call.prepared(), call.outputs(7.0)
    with running_on(recorder(kernels.load("numba", threads=1))) as backend, recording() as tape:
        getattr(backend, kernel)(**prepared, **outputs)
    *_, instruction = tape.instructions
    return instruction, tape.memory


def mask_of(views, arrays):
    """For each array's memory, which bytes the views show."""
    masks = {}
    for buffer, memory in arrays.items():
        masks[buffer] = np.zeros(memory.size, bool)
        for view in views:
            if view.buffer is buffer:
                shown = np.zeros(memory.size, np.uint8)
                np.ndarray((*view.shape, view.dtype.itemsize), np.uint8, shown.data, view.offset,
                           (*view.strides, 1))[...] = 1  # fmt: skip
                masks[buffer] |= shown.astype(bool)
    return masks


def run_alone(machine, kernel, char, operands, memories, thread):
    """One thread's share of a call, with each buffer's bytes where ``memories`` has them."""
    words = np.zeros(ROW_WORDS, np.int64)
    words[0] = machine.launcher(kernel, char).kernel
    for slot, operand in enumerate(machine.linked(char, operands)):
        at = FIRST_OPERAND + OPERAND_WORDS * slot
        if isinstance(operand, View):
            rows, stride = (operand.shape[0], operand.strides[0]) if operand.ndim == 2 else (1, 0)
            start = memories[operand.buffer].ctypes.data + operand.offset
            words[at : at + 4] = start, rows, operand.shape[-1], stride
        elif isinstance(operand, float):
            words[at] = np.float64(operand).view(np.int64)
    machine.launcher(kernel, char)._kernel(words.ctypes.data, thread, THREADS)


def problems(instruction, arrays, machine):
    """What a thread does beyond what the table says: writes elsewhere, or lets other bytes matter."""
    kernel, char, operands, _ = ARRANGEMENTS[instruction.kernel](*instruction.operands)
    if access.split_of(kernel, operands) is None:
        return
    buffers = {view.buffer for view in (*instruction.reads, *instruction.writes)}
    original = {buffer: np.frombuffer(arrays[buffer].tobytes(), np.uint8).copy() for buffer in buffers}
    read = {view.buffer for view in instruction.reads}
    for buffer in buffers - read:
        original[buffer][:] = 85  # what no result is
    whole = {buffer: memory.copy() for buffer, memory in original.items()}
    for thread in range(THREADS):
        run_alone(machine, kernel, char, operands, whole, thread)
    indices = {view.buffer for view in instruction.reads if view.dtype == np.int64}
    for thread, region in enumerate(access.regions(instruction, kernel, operands, THREADS)):
        memories = {buffer: memory.copy() for buffer, memory in original.items()}
        touched, written = mask_of([*region.reads, *region.writes], memories), mask_of(region.writes, memories)
        for buffer, memory in memories.items():
            if buffer not in indices:  # a poisoned index would lead outside
                memory[~touched[buffer]] = 255 if buffer in read else 85  # NaN
        before = {buffer: memory.copy() for buffer, memory in memories.items()}
        run_alone(machine, kernel, char, operands, memories, thread)
        for buffer, memory in memories.items():
            if not np.array_equal(memory[~written[buffer]], before[buffer][~written[buffer]]):
                yield f"thread {thread} writes beyond its region"
            if not np.array_equal(memory[written[buffer]], whole[buffer][written[buffer]]):
                yield f"thread {thread} needs more than its region, or leaves part of it"


SHAPES = {"rows": (37, 5), "columns": (4, 300), "items": (90,), "one": (1, 7)}
MOST_VARIANTS = 6


@pytest.mark.parametrize("kernel", suite.CASES)
def test_threads_touch_what_the_table_says(kernel):
    machine, case = Machine(best_width(), THREADS), suite.CASES[kernel]
    found, calls = [], 0
    for shape in {*SHAPES.values(), *((s[0] or 1, 20, s[-1] or 1) for s in SHAPES.values() if len(s) == 2)}:
        fits = [s for s in case.shapes if len(s) == len(shape)]
        if not fits:
            continue
        for variant in case.variants[:: max(1, len(case.variants) // MOST_VARIANTS)]:
            made = recorded(kernel, variant, shape, "contiguous")
            if made is not None:
                calls += 1
                found += [f"{shape} {variant}: {what}" for what in problems(*made, machine)]
    assert calls and found == []


FAULTS = {
    "writes beyond": ("exp", (37, 5), Split(entry.COLUMNS, -1, ("*j", "*j"))),
    "leaves part": ("exp", (37, 5), Split(entry.ROWS, -1, ("i*", "**"))),
    "needs more": ("layer_norm", (5, 37), Split(entry.ROWS, 0, ("i*", "*i", "**", "", "i*", "*i", "*i"))),
    "": ("softmax", (37, 5), Split(entry.ROWS, 1, ("**", "i*"))),  # reads less than it says: costs a barrier
}


@pytest.mark.parametrize("said", FAULTS)
def test_a_wrong_table_is_found(monkeypatch, said):
    """Faults planted in the table."""
    kernel, shape, split = FAULTS[said]
    instruction, arrays = recorded(kernel, suite.CASES[kernel].variants[0], shape, "contiguous")
    monkeypatch.setitem(access.ENTRIES, kernel, replace(access.ENTRIES[kernel], split=split))
    found = list(problems(instruction, arrays, Machine(best_width(), THREADS)))
    assert any(said in what for what in found) if said else found == []


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (1, 1000), (5, 31), (24, 3), (23, 64), (100, 100)])
def test_shares_cover_everything_once(shape, threads):
    for count, unit in ((shape[0], 1), (shape[1], 32)):
        parts = [share_of(count, thread, threads, unit) for thread in range(threads)]
        assert parts[0][0] == 0 and parts[-1][1] == count
        assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
    assert splits_rows(*shape, threads) in (True, False)


# ---- phases -------------------------------------------------------------------------------------------------------


def trainer(threads, hidden=(64, 48), replayed=True, norm="none", dropout=0.0, batch=96, **options):
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(20, hidden, 7, norm=norm, dropout=dropout)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    backend = kernels.load("numba", threads=threads)
    return tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, backend, progress=False, compile=replayed, **options)


RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(960, 20)).astype(F), RNG.integers(0, 7, 960)


def runner_of(run):
    """The executor that a Trainer made for its batches."""
    (replay,) = run._stepper._step.replays.values()
    return replay.runner


def test_a_plain_step_has_two_barriers():
    """Forward and backward by rows of the batch; after a barrier the weights' gradients and updates by their rows."""
    run = trainer(2)
    run.fit(X, LABELS, epochs=1, batch_size=96)
    first, second = runner_of(run).phases
    assert {"gather_rows", "linear", "softmax_cross_entropy", "matmul_gradient"} <= {i.kernel for i in first}
    assert {"matmul", "sum", "adam"} == {i.kernel for i in second} - {"cast", "transpose"}
    assert sum(i.kernel == "adam" for i in second) == 6


def test_a_barrier_too_few_is_found():
    """The phases' rule, on calls of which the second reads what other threads wrote."""
    with running_on(recorder(kernels.load("numba", threads=2))) as backend, recording() as tape:
        x = np.ones((64, 64), F)
        y = backend.exp(x)
        z = backend.add(y, y)
        backend.matmul(z, y)  # all of y
        backend.sum(z, axis=0)  # columns of z
    calls = [ARRANGEMENTS[i.kernel](*i.operands) for i in tape.instructions]
    touched = [access.regions(i, kernel, operands, 2) for i, (kernel, _, operands, _) in
               zip(tape.instructions, calls, strict=True)]  # fmt: skip
    from kernels.numba_backend.runtime.phases import phases

    assert phases(tape.instructions, touched) == [[0, 1], [2, 3]]
    assert not access.crosses(touched[0], touched[1])
    assert access.crosses(touched[0], touched[2]) and access.crosses(touched[1], touched[3])


@pytest.mark.parametrize("options", [{}, {"norm": "batch", "dropout": 0.2}, {"norm": "layer"}, {"clip_norm": 0.5}])
def test_threads_give_the_same_bits(options, always_all):
    """Always on the team, and on an odd number of threads as well; eager steps are the measure."""
    found = []
    for threads, replayed in ((1, False), (1, True), (2, True), (3, True)):
        run = trainer(threads, replayed=replayed, **options)
        history = run.fit(X, LABELS, epochs=3, batch_size=100)
        found.append((history.step_loss, list(run.model.state_dict().values())))
    for other in found[1:]:
        assert other[0] == found[0][0] and all(map(np.array_equal, other[1], found[0][1]))


def test_the_arena_is_reported_and_shares():
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(784, (512, 256), 10)
    run = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), kernels.load("numba", threads=1),
                     progress=False)  # fmt: skip
    run.fit(np.zeros((512, 784), F), np.zeros(512, np.int64), batch_size=128)
    plan = runner_of(run).plan
    assert 0 < plan.nbytes < plan.unshared


# ---- runs ---------------------------------------------------------------------------------------------------------


def test_memory_stays_flat_over_ten_thousand_steps():
    body = """
        import resource
        import numpy as np
        import kernels, tinynet as tn
        from tinynet import nn, optim
        model = nn.multilayer_perceptron(20, (16,), 3)
        run = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), "numba", progress=False)
        X, y = np.random.default_rng(0).normal(size=(1000, 20)), np.arange(1000) % 3
        run.fit(X, y, epochs=5, batch_size=10)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        history = run.fit(X, y, epochs=100, batch_size=10)
        print(history.steps, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    steps, grown = map(int, python(body))
    assert steps == 10_000 and grown < 4000  # KiB; a leaked buffer a step would be 40,000 and more


def test_a_loss_that_is_not_finite_ends_the_run_before_the_update():
    for threads in (1, 2):
        run = trainer(threads)
        run.fit(X, LABELS, epochs=1, batch_size=96)
        bad = X.copy()
        weights = run.model.state_dict()
        run.optimizer.groups[0]["lr"] = 1e30
        with pytest.raises(tn.NonFiniteLoss, match=r"epoch 2, step \d+, at learning rate 1e\+30"):
            run.fit(bad, LABELS, epochs=5, batch_size=96)
        after = run.model.state_dict()
        assert all(np.isfinite(array).all() for array in after.values()) and weights.keys() == after.keys()


def test_two_models_train_at_once():
    body = """
        import threading
        import numpy as np
        import kernels, tinynet as tn
        from tinynet import nn, optim
        backend = kernels.load("numba", threads=2)
        X, y = np.random.default_rng(0).normal(size=(1000, 20)), np.arange(1000) % 3
        def train(found, i):
            tn.manual_seed(0)
            model = models[i]
            run = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), backend, progress=False)
            found[i] = run.fit(X, y, epochs=20, batch_size=100).step_loss
        models = []
        for _ in range(3):
            tn.manual_seed(0)
            models.append(nn.multilayer_perceptron(20, (64, 64), 3))
        found = {}
        threads = [threading.Thread(target=train, args=(found, i)) for i in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        train(found, 2)
        print(found[0] == found[1] == found[2])
    """
    assert python(body) == ["True"]


ALONE = """
    import os
    import numpy as np
    import kernels, tinynet as tn
    from tinynet import nn, optim
    {before}
    X, y = np.random.default_rng(0).normal(size=(1000, 20)), np.arange(1000) % 3
    def train():
        tn.manual_seed(0)
        model = nn.multilayer_perceptron(20, (64, 64), 3)
        backend = kernels.load("numba", threads=2)
        run = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), backend, progress=False)
        return run.fit(X, y, epochs=5, batch_size=100).step_loss
    first = train()
    {after}
    print(first == train())
"""


@pytest.mark.parametrize(
    ("before", "after", "environment"),
    [
        ("", "if os.fork() == 0: os._exit(0 if first == train() else 1)\n    assert os.wait()[1] == 0", {}),
        ("", "", {"NUMBA_NUM_THREADS": "1"}),
        ("", "", {"NUMBA_THREADING_LAYER": "workqueue"}),
        ("hasattr(os, 'sched_setaffinity') and os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})", "", {}),
    ],
    ids=["fork", "one Numba thread", "workqueue", "one core"],
)
def test_training_elsewhere(before, after, environment):
    assert python(ALONE.format(before=before, after=after), timeout=120, **environment) == ["True"]


def test_interrupting_a_long_run(tmp_path):
    """Ctrl-C stops within a fifth of a second (two, on a busy machine), and the next fit goes on from there."""
    body = """
        import signal, sys, time
        import numpy as np
        import kernels, tinynet as tn
        from tinynet import nn, optim
        model = nn.multilayer_perceptron(64, (128, 64), 10)
        run = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), "numba", progress=False)
        X, y = np.random.default_rng(0).normal(size=(5000, 64)), np.arange(5000) % 10
        run.fit(X, y, epochs=2, batch_size=50)
        print("ready", flush=True)
        history = run.fit(X, y, epochs=10**6, batch_size=50, time_limit=100)
        stopped = time.time()
        steps = run.step
        finite = all(np.isfinite(array).all() for array in model.state_dict().values())
        counted = run.optimizer.groups[0]["step"] == steps == history.steps + 200
        run.fit(X, y, epochs=1, batch_size=50)  # the rest of the epoch that was cut
        print(stopped, history.stopped, finite, counted, run.step % 100, len(history.train_loss) == len(history.seconds))
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with started([sys.executable, "-c", textwrap.dedent(body)], env=environment) as process:
        assert process.stdout.readline().strip() == "ready", process.communicate()
        time.sleep(1.0)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        stopped, why, *checks = process.communicate()[0].split()
    assert why == "interrupted" and checks == ["True", "True", "0", "True"]
    assert float(stopped) - sent < 2.0


def test_recordings_of_the_same_calls_are_equal():
    """The comparison that recording relies on, and what it finds."""

    def tape_of(shape, kernel="exp"):
        with running_on(recorder(kernels.load("numpy"))) as backend, recording() as tape:
            getattr(backend, kernel)(np.ones(shape, F))
        return tape.program([])

    x = np.ones(4, F)
    with running_on(recorder(kernels.load("numpy"))) as backend:
        programs = []
        for _ in range(2):
            with recording() as tape:
                backend.exp(x)
            programs.append(tape.program([]))
    assert difference(*programs) is None
    assert "had shape (4,) the first time and (5,) the second" in difference(tape_of(4), tape_of(5))
    assert difference(tape_of(4), tape_of(4, "tanh")) == "call 0 was exp the first time and tanh the second"
