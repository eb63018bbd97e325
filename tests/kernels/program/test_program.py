"""Recorded steps: they compute what eager steps compute, pass by pass, and refuse what they cannot replay."""

import re
import tracemalloc

import numpy as np
import pytest
from backends import BACKENDS, loaded
from hypothesis import given, settings
from hypothesis import strategies as st

import tinynet as tn
from kernels.numba_backend.runtime import footprints as access
from kernels.program import PASSES, Buffer, Instruction, Program, View, arena, dependencies, passes, recorder
from kernels.program.instruction import TEMPORARY
from tinynet import Tensor, nn, optim
from tinynet.backends import running_on

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(50, 6)).astype(np.float32), RNG.integers(0, 3, 50)
NUMBERS = (X @ RNG.normal(size=(6, 2))).astype(np.float32)
F = np.dtype(np.float32)


def network(norm="batch", dropout=0.2, activation="relu", hidden=(16, 8), outputs=3):
    tn.manual_seed(0)
    return nn.multilayer_perceptron(6, hidden, outputs, dropout=dropout, norm=norm, activation=activation)


def step_of(model, optimizer, loss=None):
    loss_function = loss or nn.CrossEntropyLoss()

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_function(model(tn.Tensor(x)), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def trained(backend, replayed, make=optim.Adam, y=LABELS, loss=None, batch_size=16, without=(), model=None, **options):
    """Losses and state after three epochs, the last batch of each smaller."""
    model = model or network(outputs=3 if y is LABELS else 2)
    optimizer = make(model.parameters(), lr=1e-2)
    trainer = tn.Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, loaded(backend), progress=False,
                         compile=replayed, **options)  # fmt: skip
    history = trainer.fit(X, y, epochs=3, batch_size=batch_size, validation_data=(X[:9], y[:9]))
    state = {**model.state_dict(), **{f"{i}": a for i, s in enumerate(optimizer.state_dict()["averages"])
                                      for a in s.values()}}  # fmt: skip
    return history.step_loss + history.validation_loss, [*state.values(), *(g.hyper for g in optimizer.groups)]


def assert_same(one, other):
    assert one[0] == other[0]
    assert len(one[1]) == len(other[1]) and all(map(np.array_equal, one[1], other[1]))


def test_a_backend_that_was_recorded_ends_with_its_last_user():
    import gc
    import weakref

    import kernels

    backend = kernels.load("numpy")
    with running_on(recorder(backend)) as k:
        k.exp(X)
    gone = weakref.ref(backend)
    del backend, k
    gc.collect()
    assert gone() is None


def test_recording_takes_time_in_proportion_to_depth(monkeypatch):
    """Counted in comparisons of views, which all that once grew faster came down to."""
    compared = []
    for depth in (20, 40, 80):
        count = [0]
        original = dependencies.overlap

        def counting(a, b, count=count, original=original):
            count[0] += 1
            return original(a, b)

        with monkeypatch.context() as patch:
            for module in (dependencies, passes, access):
                patch.setattr(module, "overlap", counting)
            model = nn.multilayer_perceptron(6, (8,) * depth, 3)
            step = tn.compile(step_of(model, optim.Adam(model.parameters())))
            for _ in range(3):
                step(X[:16], LABELS[:16])
        compared.append(count[0])
    assert compared[2] < 2.2 * compared[1] < 4.6 * compared[0]


# ---- replayed equals eager, bit for bit ---------------------------------------------------------------------------

OPTIONS = {
    **{f"optimizer {name}": {"make": make} for name, make in optim.OPTIMIZERS.items()},
    "momentum": {"make": lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-3)},
    "clipping": {"clip_norm": 0.5},
    "schedule": {"schedule": "cosine"},
    "plateau": {"schedule": "plateau"},
    **{f"activation {name}": {"model": lambda name=name: network(activation=name)} for name in nn.ACTIVATIONS},
    **{f"norm {norm}": {"model": lambda norm=norm: network(norm)} for norm in ("none", "batch", "layer")},
    "no hidden layer": {"model": lambda: network(hidden=(), dropout=0.0)},
    "smoothing": {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
    "class weights": {"loss": nn.CrossEntropyLoss(weight=[1.0, 2.0, 0.5])},
    "sum": {"loss": nn.CrossEntropyLoss(reduction="sum")},
    **{f"loss {loss.__class__.__name__}": {"loss": loss, "y": NUMBERS}
       for loss in (nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), nn.QuantileLoss(0.9))},
    "whole numbers": {"loss": nn.MSELoss(), "y": np.round(NUMBERS).astype(np.int64)},
    "one row is left": {"batch_size": 7},
    "two groups": {"make": lambda p, lr: optim.Adam([{"params": p[:2]}, {"params": p[2:], "lr": 1e-3}], lr=lr)},
}  # fmt: skip


def options_of(name):
    options = dict(OPTIONS[name])
    schedules = {"cosine": tn.schedule.Cosine, "plateau": tn.schedule.ReduceOnPlateau}
    if "schedule" in options:
        options["schedule"] = schedules[options["schedule"]]()
    if "model" in options:
        options["model"] = options["model"]()
    return options


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_replayed_equals_eager(backend, name):
    assert_same(trained(backend, True, **options_of(name)), trained(backend, False, **options_of(name)))


@pytest.mark.parametrize("left_out", [*PASSES, "all"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_passes_keep_the_bits(backend, left_out):
    """Each pass alone left out, and all of them."""
    results = []
    for without in ((), PASSES if left_out == "all" else (left_out,), None):
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))
        rng = np.random.default_rng(1)
        for parameter in model.parameters():
            parameter.data[...] = rng.normal(size=parameter.shape)
        step = step_of(model, optim.Adam(model.parameters(), lr=1e-2))
        with running_on(loaded(backend)):
            run = step if without is None else tn.compile(step, without)
            losses = [run(X[:16], LABELS[:16]).item() for _ in range(6)]
        results.append((losses, [parameter.data for parameter in model.parameters()]))
    assert_same(results[0], results[2])
    assert_same(results[1], results[2])


# ---- passes -------------------------------------------------------------------------------------------------------


def compiled(without=(), backend="numba", layers=None):
    tn.manual_seed(0)
    model = layers or nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))
    with running_on(loaded(backend)):
        step = tn.compile(step_of(model, optim.Adam(model.parameters())), without)
        for _ in range(3):
            step(X[:16], LABELS[:16])
    return step


def kernels_of(step):
    return [instruction.kernel for instruction in step.program.instructions]


def test_activations_join_their_products():
    plain, fused = kernels_of(compiled(without=["activation"])), kernels_of(compiled())
    assert plain.count("relu") == plain.count("tanh") == 1 and "relu" not in fused and "tanh" not in fused
    assert len(fused) == len(plain) - 2


def test_gradients_of_activations_join_their_products():
    plain, fused = kernels_of(compiled(without=["activation_gradient"])), kernels_of(compiled())
    assert plain.count("relu_gradient") == plain.count("tanh_gradient") == 1
    assert fused.count("matmul_gradient") == 2 and "relu_gradient" not in fused
    assert len(fused) == len(plain) - 2


def test_an_activation_whose_input_is_read_later_stays_a_call():
    """gelu's gradient needs what went into it."""
    layers = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3))
    assert "gelu" in kernels_of(compiled(layers=layers))


def padded_views(program):
    return {str(view) for i in program.instructions for view in [*i.reads, *i.writes]
            if view.ndim == 2 and view.buffer.kind == "temporary" and view.strides[0] > view.shape[1] * view.dtype.itemsize}  # fmt: skip


@pytest.mark.parametrize("clipped", [False, True])
def test_rows_of_whole_pages_are_padded_with_the_same_bits(clipped):
    """1,024 float32 are a page. Clipping sums all elements of the gradients, which therefore stay as they are."""
    results, padded = [], []
    for without in ((), ("padded",), None):
        tn.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 3))
        optimizer, loss = optim.Adam(model.parameters(), lr=1e-2), nn.CrossEntropyLoss()

        def step(x, y, model=model, optimizer=optimizer, loss=loss):
            optimizer.zero_grad()
            value = loss(model(tn.Tensor(x)), y)
            value.backward()
            if clipped:
                optim.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()  # else the gradients are what a run returns
            return value

        with running_on(loaded("numba")):
            run = step if without is None else tn.compile(step, without)
            losses = [run(X[:16], LABELS[:16]).item() for _ in range(4)]
        results.append((losses, [parameter.data for parameter in model.parameters()]))
        padded.append(set() if without is None else padded_views(run.program))
    assert_same(results[0], results[1])
    assert_same(results[0], results[2])
    shapes = {view.partition("(")[2] for view in padded[0]}
    assert padded[1] == set() and "16x1024)" in shapes and ("1024x1024)" in shapes) == (not clipped)


def test_updates_follow_their_gradients():
    found = kernels_of(compiled())
    where = [i for i, kernel in enumerate(found) if kernel == "adam"]
    assert where[0] < len(found) - len(where)
    program = compiled().program
    for i, instruction in enumerate(program.instructions):
        if instruction.kernel == "adam":
            writers = [j for j, other in enumerate(program.instructions[:i])
                       if any(view.buffer is instruction.operands[1].buffer for view in other.writes)]  # fmt: skip
            between = program.instructions[writers[-1] + 1 : i]
            assert all(other.kernel in ("adam", "matmul_gradient", "sum") for other in between)


def test_dead_calls_go():
    model = network(dropout=0.0)
    optimizer, loss = optim.SGD(model.parameters()), nn.CrossEntropyLoss()

    def step(x, y):
        optimizer.zero_grad()
        out = model(tn.Tensor(x))
        (out * 3.0).exp().sum()  # nobody wants it
        value = loss(out, y)
        value.backward()
        optimizer.step()
        return value

    found = {}
    for without in ((), ("dead",)):
        run = tn.compile(step, without)
        for _ in range(3):
            run(X[:16], LABELS[:16])
        found[without] = kernels_of(run)
    assert "exp" not in found[()] and "exp" in found["dead",]
    assert len(found["dead",]) - len(found[()]) == 3


def test_passes_say_what_they_did():
    assert "pass activation: 2 instructions fewer" in str(compiled().program)
    assert "pass activation" not in str(compiled(without=["activation", "activation_gradient"]).program)


def test_the_listing():
    """Index, kernel, operands with shapes, FLOPs of a product by hand, bytes."""
    text = str(compiled().program)
    assert re.search(
        r"^ *\d+  linear +a0\(16x6\), p\d+\(6x16\), p\d+\(16\), activation=relu -> t\d+\(16x16\) +3\.58k", text, re.M
    )
    assert re.search(r"adam +p\d+\(6x16\)!, t\d+\(6x16\)", text)
    program = compiled().program
    products, hidden, outputs = 16 * (6 * 16 + 16 * 8 + 8 * 3), 16 * (16 + 8), 16 * 3
    counted = sum(i.flops for i in program.instructions if i.kernel.startswith(("linear", "matmul")))
    by_hand = 2 * (3 * products - 16 * 6 * 16) + hidden + outputs  # and the biases
    assert counted == by_hand + hidden + 3 * 16 * 8 + 16 * 16  # and relu and tanh; dy (1 - y y), and dy where y > 0


# ---- dependencies and the arena ------------------------------------------------------------------------------------


@st.composite
def rectangles(draw):
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    top, left = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
    high, wide = draw(st.integers(1, rows - top)), draw(st.integers(1, columns - left))
    return top, left, high, wide


TABLE = Buffer(TEMPORARY, 0, 7 * 8 * 4)


def rectangle(top, left, high, wide):
    return View(TABLE, (top * 8 + left) * 4, (high, wide), (32, 4), F)


@given(rectangles(), rectangles())
@settings(deadline=None, max_examples=200)
def test_overlap_is_exact_for_rectangles_of_a_table(one, other):
    cells = [{(t + i, le + j) for i in range(h) for j in range(w)} for t, le, h, w in (one, other)]
    a, b = rectangle(*one), rectangle(*other)
    truth = bool(cells[0] & cells[1])
    assert dependencies.overlap(a, b) is dependencies.overlap(b, a)
    assert dependencies.overlap(a, b) or not truth
    if one[2] > 1 and other[2] > 1:
        assert dependencies.overlap(a, b) == truth


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9), st.integers(0, 9)), max_size=20))
@settings(deadline=None, max_examples=200)
def test_buffers_alive_together_never_share_bytes(specs):
    """Each buffer is written in one phase and read in another."""
    phases = [[] for _ in range(10)]
    buffers = []
    for number, (size, a, b) in enumerate(specs):
        buffer = Buffer(TEMPORARY, number, size)
        view = View(buffer, 0, (size // 4,), (4,), F)
        for phase in (a, b):
            phases[phase].append(Instruction("exp", (view, view)))
        buffers.append((buffer, min(a, b), max(a, b)))
    plan = arena.plan(phases, Program([], [], []))
    for i, (one, first, last) in enumerate(buffers):
        start = plan.offsets[one]
        assert start % arena.LINE == 0 and start + one.nbytes <= plan.nbytes
        for other, begin, end in buffers[:i]:
            if begin <= last and first <= end:
                assert start + one.nbytes <= plan.offsets[other] or plan.offsets[other] + other.nbytes <= start
    assert plan.allocate().ctypes.data % arena.LINE == 0 and len(plan.allocate()) == plan.nbytes


def test_results_live_to_the_end():
    one, other = Buffer(TEMPORARY, 0, 64), Buffer(TEMPORARY, 1, 64)
    views = [View(buffer, 0, (16,), (4,), F) for buffer in (one, other)]
    phases = [[Instruction("exp", (views[0], views[0]))], [Instruction("exp", (views[1], views[1]))]]
    assert len(set(arena.plan(phases, Program([], [], [views[0]])).offsets.values())) == 2
    assert len(set(arena.plan(phases, Program([], [], [])).offsets.values())) == 1


# ---- tn.compile ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_compile_takes_each_shape_and_leaves_gradients(backend):
    """Two models, one of them compiled: the same losses, gradients and weights for batches of two sizes."""
    found = []
    for compiles in (False, True):
        model = network()
        step = step_of(model, optim.Adam(model.parameters()))
        with running_on(loaded(backend)):
            run = tn.compile(step) if compiles else step
            losses = [run(X[:n], LABELS[:n]).item() for n in (16, 9, 16, 9, 16, 9, 16)]
        found.append((losses, [a for p in model.parameters() for a in (p.data.copy(), p.grad.copy())]))
    assert_same(*found)


def test_tensors_numbers_and_tuples():
    weight = nn.Parameter(np.ones((6, 2), np.float32))

    @tn.compile
    def step(x, factor, flag):
        weight.grad = None
        y = x @ weight * factor
        loss = (y * y).sum() if flag else y.sum()
        loss.backward()
        return loss, y

    for factor, flag in [(1.0, True), (2.0, True), (1.0, False)]:
        for rows in (X[:4], X[4:8], X[8:12], X[12:16]):
            loss, y = step(tn.Tensor(rows), factor, flag)
            expected = rows @ np.ones((6, 2)) * factor
            np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(loss.item(), (expected**2 if flag else expected).sum(), rtol=1e-4)
            slope = 2 * factor * rows.T @ expected if flag else factor * rows.T @ np.ones((4, 2))
            np.testing.assert_allclose(weight.grad, slope, rtol=1e-4, atol=1e-4)


def test_whole_numbers_of_any_dtype_are_labels():
    model = network()
    step = tn.compile(step_of(model, optim.SGD(model.parameters(), lr=0.0)))
    found = {
        step(X[:16], LABELS[:16].astype(dtype)).item() for dtype in (np.int64, np.int32, np.uint8) for _ in range(3)
    }
    assert len(found) >= 1 and "limit=3" in str(step.program)


LOSSES_OF_FLOAT64 = {
    "squared": lambda z, t: nn.MSELoss()(z, t),
    "column": lambda z, t: nn.L1Loss()(z.reshape(-1), t[:, 0]),
    "arithmetic": lambda z, t: (z - t).tanh().mean(),
    "right": lambda z, t: (t * z).sum(),
    "probabilities": lambda z, t: nn.BCEWithLogitsLoss()(z, t),
}


@pytest.mark.parametrize("loss", LOSSES_OF_FLOAT64.values(), ids=LOSSES_OF_FLOAT64)
def test_float64_arrays_are_converted_in_each_replay(backend, loss):
    """As eager calls convert them: a float32 step takes the targets that NumPy makes."""
    targets, losses = np.random.default_rng(0).random((5, 6, 1)), []
    for compiled in (False, True):
        tn.manual_seed(0)
        model = nn.Linear(3, 1)
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def train(x, target, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            value = loss(model(x), target)
            value.backward()
            optimizer.step()
            return value

        step = tn.compile(train) if compiled else train
        with tn.use_backend(backend):
            losses.append([step(Tensor(np.ones((6, 3), np.float32)), target).item() for target in targets])
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 5


def test_labels_are_checked_on_every_call():
    model = network()
    step = tn.compile(step_of(model, optim.SGD(model.parameters())))
    for _ in range(3):
        step(X[:16], LABELS[:16])
    with pytest.raises(ValueError, match=r"labels hold 3, expected whole numbers in \[0, 3\)"):
        step(X[:16], np.full(16, 3))


def test_modes_and_new_parameters_are_noticed():
    """Dropout switched off, a layer added, a parameter's array exchanged: the step is recorded again."""
    found = []
    for compiles in (False, True):
        model = network(norm="none")
        optimizer = optim.SGD(model.parameters())
        run = step_of(model, optimizer)
        run = tn.compile(run) if compiles else run
        losses = [run(X[:16], LABELS[:16]).item() for _ in range(4)]
        model.eval()
        losses += [run(X[:16], LABELS[:16]).item() for _ in range(4)]
        for parameter in model.parameters():
            parameter.data = parameter.data * 0.5
        losses += [run(X[:16], LABELS[:16]).item() for _ in range(4)]
        model.to(np.float32)
        losses += [run(X[:16], LABELS[:16]).item() for _ in range(4)]
        found.append((losses, [parameter.data for parameter in model.parameters()]))
    assert_same(*found)


def refused(step, *arguments, calls=6):
    run = tn.compile(step)
    for _ in range(calls):
        try:
            run(*arguments)
        except tn.NotReplayable as why:
            return str(why)
    raise AssertionError("never refused")


def test_refusals():
    model = network()
    optimizer, loss = optim.SGD(model.parameters()), nn.CrossEntropyLoss()

    def nothing(x, y):
        loss(model(tn.Tensor(x)), y).backward()

    def never(x, y):
        return loss(model(tn.Tensor(x)), y)

    def outside(x, y):
        optimizer.zero_grad()
        value = loss(model(tn.Tensor(x + 1.0)), y)
        value.backward()
        return value

    def reads(x, y):
        optimizer.zero_grad()
        value = loss(model(tn.Tensor(x)), y)
        value.backward()
        return value if value.item() > 0 else value * 2.0

    def asks(x, y):
        optimizer.zero_grad()
        value = loss(model(tn.Tensor(x)), y)
        value.backward()
        return value if value else value * 2.0

    draw = np.random.default_rng(0)

    def random(x, y):
        optimizer.zero_grad()
        value = loss(model(tn.Tensor(x)), y) * float(draw.random())
        value.backward()
        return value

    numbers = np.arange(3)

    def whole(x, y):
        optimizer.zero_grad()
        value = loss(model(tn.Tensor(x)) * numbers, y)
        value.backward()
        return value

    accumulating = step_of(model, optimizer)
    optimizer.zero_grad = lambda: None
    assert (
        refused(nothing, X, LABELS)
        == "the step returned a NoneType, expected the loss, a Tensor, or a tuple of Tensors"
    )
    assert refused(never, X, LABELS).startswith("the step never calls backward()")
    for parameter in model.parameters():
        parameter.grad = None
    assert "adds to gradients that were there before the step" in refused(accumulating, X, LABELS)
    del optimizer.zero_grad
    assert "whole numbers are converted again" in refused(whole, X, LABELS)
    assert re.search(r"x of call 0, .* of shape \(50, 6\) is an array made outside", refused(outside, X, LABELS))
    assert "it reads a value with item()" in refused(reads, X, LABELS)

    assert "it reads a value with item(), float() or bool()" in refused(asks, X, LABELS)
    assert "is an array made outside of the kernels" in refused(random, X, LABELS)


@pytest.mark.parametrize(
    ("argument", "said"),
    [([1.0], "argument 0 is a list, expected an array"), (tn.Tensor([1.0], requires_grad=True), "requires a gradient")],
)
def test_bad_arguments(argument, said):
    with pytest.raises(TypeError, match=said):
        tn.compile(lambda x: x)(argument)


def test_compile_needs_a_function():
    with pytest.raises(TypeError, match="step is a int, expected a function"):
        tn.compile(3)
    with pytest.raises(ValueError, match="no program yet"):
        _ = tn.compile(lambda: None).program


def test_training_goes_on_where_steps_cannot_be_replayed():
    class Reading(nn.Module):
        def forward(self, logits, labels):
            loss = nn.CrossEntropyLoss()(logits, labels)
            loss.item()
            return loss

    with pytest.warns(UserWarning, match=r"training goes on step by step: .* it reads a value with item\(\)"):
        found = trained("numpy", True, loss=Reading())
    assert_same(found, trained("numpy", False))


# ---- no allocation ------------------------------------------------------------------------------------------------


def test_a_replayed_step_allocates_nothing():
    """On numpy, whose allocations tracemalloc sees: nothing but relu's mask, a byte an element."""
    model = nn.Sequential(nn.Linear(6, 512), nn.ReLU(), nn.Linear(512, 3))
    with running_on(loaded("numpy")):
        step = tn.compile(step_of(model, optim.SGD(model.parameters())))
        rows = np.tile(X, (20, 1))
        for _ in range(3):
            step(rows, np.tile(LABELS, 20))
        runner = next(iter(step._step.replays.values())).runner
        arguments = [np.stack([rows] * 3), np.stack([np.tile(LABELS, 20)] * 3)]
        tracemalloc.start()
        runner.run(1, arguments)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        runner.run(3, arguments)
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert after - before < 2000 and peak - before < 1000 * 512 + 20_000


def test_an_arena_is_smaller_than_one_buffer_a_call():
    tn.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
    rows = np.zeros((128, 784), np.float32)
    for backend in ("numpy", "numba"):
        with running_on(loaded(backend)):
            step = tn.compile(step_of(model, optim.Adam(model.parameters())))
            for _ in range(3):
                step(rows, np.zeros(128, np.int64))
        plan = next(iter(step._step.replays.values())).runner.plan
        assert 0 < plan.nbytes <= plan.unshared
