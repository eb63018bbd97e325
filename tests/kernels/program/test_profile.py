"""Profiles: what a step's instructions did and took, and how near that is to the machine's ceilings."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

import kernels
import tinynet as tn
from kernels import DECLARATIONS, hardware
from kernels.program import Buffer, Instruction, View
from kernels.program.work import operations
from tinynet import Tensor, nn
from tinynet.optim import SGD, Adam
from tinynet.training.stepping import NonFiniteLoss
from tinynet.training.trainer import Trainer

ROWS, BATCH = 64, 16
RUNNERS = ["naive", "numpy", "numba"]


@cache
def loaded(name, **options):
    return kernels.load(name, **options)


def data(features, outputs, dtype=np.float32):
    generator = np.random.default_rng(0)
    return generator.normal(size=(ROWS, features)).astype(dtype), generator.integers(0, outputs, ROWS)


def network(*widths, dtype="float32"):
    layers = [nn.Linear(widths[0], widths[1])]
    for fan_in, fan_out in pairwise(widths[1:]):
        layers += [nn.ReLU(), nn.Linear(fan_in, fan_out)]
    return nn.Sequential(*layers).to(dtype)


def trained(backend, widths=(5, 8, 3), optimizer=Adam, epochs=2, **options):
    tn.manual_seed(1)
    model = network(*widths)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer(model.parameters()), backend, progress=False, **options)
    X, y = data(widths[0], widths[-1])
    trainer.fit(X, y, epochs, BATCH)
    return trainer, X, y


def state(trainer):
    arrays = [p.data for p in trainer.model.parameters()]
    arrays += [a for averages in trainer.optimizer.averages_of_all() for a in averages]
    return [a.copy() for a in [*arrays, *(group.hyper for group in trainer.optimizer.groups)]]


# ---- how many operations -------------------------------------------------------------------------------------------


def flops_by_hand(rows, widths):
    """A step of a network with relu, softmax cross-entropy and SGD, every addition and product of it."""
    layers, hidden, classes = list(pairwise(widths)), widths[1:-1], widths[-1]
    forward = sum(2 * rows * a * b + rows * b for a, b in layers) + sum(rows * width for width in hidden)
    dW = sum(2 * rows * a * b + rows * b for a, b in layers)
    dX = sum(2 * rows * a * b + rows * a for a, b in layers[1:])  # with relu's gradient: a comparison
    # An element: max, minus max, exp, sum, minus log; times target, its sign, sum; exp, minus target, times scale.
    # A row: the sum's log, the loss times scale.
    loss = 11 * rows * classes + 2 * rows
    noted = rows + 2 * rows + 1  # the sum of the losses; to look whether they are finite: times 0, a sum, an addition
    # An element: g + decay p, momentum v + g, the same once more for Nesterov, p - lr v.
    update = 8 * sum(a * b + b for a, b in layers)
    return forward + loss + noted + dW + dX + update


@pytest.mark.parametrize("widths", [(4, 3), (5, 8, 3), (7, 16, 9, 2)])
def test_flops_of_a_step_equal_a_count_by_hand(widths):
    trainer, _, _ = trained(kernels.load("numpy"), widths, SGD)
    assert trainer.program.flops == flops_by_hand(BATCH, widths)


@pytest.mark.parametrize(
    ("kernel", "operands", "expected"),
    [
        ("matmul", (((2, 3), "f4"), ((3, 5), "f4"), False, False, "full", ((2, 5), "f4")), 60),
        ("matmul", (((3, 2), "f4"), ((5, 3), "f4"), True, True, "bfloat16", ((2, 5), "f4")), 60),
        ("matmul", (((0, 3), "f4"), ((3, 5), "f4"), False, False, "full", ((0, 5), "f4")), 0),
        ("linear", (((2, 3), "f4"), ((3, 5), "f4"), ((5,), "f4"), "identity", "full", ((2, 5), "f4")), 70),
        ("linear", (((2, 3), "f4"), ((3, 5), "f4"), ((5,), "f4"), "relu", "full", ((2, 5), "f4")), 80),
        ("add", (((2, 3), "f4"), 1.0, ((2, 3), "f4")), 6),
        ("sum", (((2, 3), "f4"), 0, ((3,), "f4")), 6),
        ("gather_rows", (((9, 3), "f4"), ((2,), "i8"), ((2, 3), "f4")), 0),
        ("transpose", (((2, 3), "f4"), ((3, 2), "f4")), 0),
        ("sigmoid", (((4,), "f8"), ((4,), "f8")), None),
    ],
)
def test_operations_of_a_call(kernel, operands, expected):
    operands = tuple((o[0], np.dtype(o[1])) if isinstance(o, tuple) else o for o in operands)
    assert operations(kernel, operands) == expected if expected is not None else operations(kernel, operands) >= 4


def test_bytes_of_a_gather_are_those_of_the_rows_it_wants():
    trainer, X, _ = trained(kernels.load("numpy"))
    gathers = [i for i in trainer.program.instructions if i.kernel == "gather_rows"]
    assert [i.bytes for i in gathers] == [2 * BATCH * X.shape[1] * 4 + BATCH * 8]


# ---- what they took ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNNERS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_profile_names_every_instruction_and_changes_nothing(name, threads):
    if threads > 1 and name != "numba":
        pytest.skip("has one thread")
    backend = loaded(name, threads=threads) if name == "numba" else loaded(name)
    trainer, X, y = trained(backend)
    before, step = state(trainer), trainer.step
    profile = trainer.profile(X, y, BATCH)
    for a, b in zip(before, state(trainer), strict=True):
        np.testing.assert_array_equal(a, b)
    assert trainer.step == step
    rows = profile.rows
    assert [row.instruction for row in rows] == profile.program.instructions
    assert all(row.seconds > 0 for row in rows) and all(row.waiting >= 0 for row in rows)
    timings = profile.timings
    assert timings.begins.shape == timings.ends.shape == (timings.threads, len(rows))
    assert (timings.begins <= timings.ends).all() and timings.begins.min() == 0
    assert profile.in_kernels + profile.waiting + profile.between == pytest.approx(timings.step)
    assert profile.between >= 0 and profile.seconds > 0
    text = str(profile)
    assert all(row.instruction.kernel in text for row in rows) and "timing costs" in text


def test_a_timed_run_computes_what_an_untimed_one_does(always_all):
    results = []
    for timed in (False, True):
        trainer, X, y = trained(loaded("numba", threads=2))
        replay = next(iter(trainer._stepper._step.replays.values()))
        batches = np.arange(ROWS).reshape(-1, BATCH)
        trainer._stepper.fit_begins(X, y.astype(np.int64))
        losses = np.empty((len(batches), 1), np.float32)
        arguments = trainer._stepper._arguments(batches, losses, np.zeros(1)[None])
        (replay.runner.timed if timed else replay.runner.run)(len(batches), arguments)
        results.append([losses, *state(trainer)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_parts_and_groups():
    trainer, X, y = trained(kernels.load("numpy"), widths=(5, 8, 3), clip_norm=1.0)
    rows = trainer.profile(X, y, BATCH).rows
    groups = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row.instruction.kernel)
    assert set(groups) == {"forward", "dW", "dX", "optimizer"}
    assert groups["dW"].count("matmul") == 2 and groups["dW"].count("sum") == 2
    assert sum(kernel.startswith("matmul") for kernel in groups["dX"]) == 1
    assert groups["optimizer"].count("adam") == 4 and "sum_of_squares" in " ".join(groups["optimizer"])
    assert "softmax_cross_entropy" in groups["forward"]


def test_begin_follows_what_it_depends_on():
    trainer, X, y = trained(loaded("numba", threads=1))
    profile = trainer.profile(X, y, BATCH)
    from kernels.program.dependencies import predecessors

    begins, ends = profile.timings.begins[0], profile.timings.ends[0]
    for i, before in enumerate(predecessors(profile.program.instructions)):
        assert all(ends[j] <= begins[i] for j in before)


def test_a_profile_of_eager_steps_is_refused():
    trainer, X, y = trained(kernels.load("numpy"), compile=False)
    with pytest.raises(ValueError, match="the steps run eagerly"):
        trainer.profile(X, y, BATCH)


def test_a_fresh_trainer_can_be_profiled_and_is_not_trained_by_it():
    tn.manual_seed(1)
    model = network(5, 8, 3)
    trainer = Trainer(model, nn.CrossEntropyLoss(), Adam(model.parameters()), kernels.load("numpy"), progress=False)
    before = state(trainer)
    profile = trainer.profile(*data(5, 3), BATCH)
    assert profile.seconds > 0 and trainer.epoch == trainer.step == 0
    for a, b in zip(before, state(trainer), strict=True):
        np.testing.assert_array_equal(a, b)


def test_labels_out_of_range_are_refused_before_any_step_reads_them():
    trainer, X, y = trained(loaded("numba"))
    y[40] = 10**9
    with pytest.raises(ValueError, match="labels hold 1000000000"):
        trainer.profile(X, y, BATCH)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_loss_of_the_users_is_told_of_its_labels_too(name):
    """No check comes before such steps, so a watch halts them; what is said is what training would say."""
    loss = nn.CrossEntropyLoss()
    tn.manual_seed(0)
    model = network(5, 8, 3)
    run = Trainer(model, lambda output, y: loss(output, y), Adam(model.parameters()), loaded(name), progress=False)
    X, y = data(5, 3)
    before = state(run)
    y[40] = 10**9
    with pytest.raises(ValueError, match=r"labels hold 1000000000, expected whole numbers in \[0, 3\)"):
        run.profile(X, y, BATCH)
    for a, b in zip(before, state(run), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_compiled_step_is_told_of_its_labels_too(name):
    loss_function, model = nn.CrossEntropyLoss(), nn.Linear(5, 3)
    optimizer = Adam(model.parameters())

    @tn.compile
    def step(x, y):
        model.zero_grad()
        loss = loss_function(model(tn.Tensor(x)), y)
        loss.backward()
        optimizer.step()
        return loss

    (X, y), bad = data(5, 3), np.full(ROWS, 77)
    with tn.use_backend(loaded(name)):
        for _ in range(4):
            step(X, y)
        before = [*model.state_dict().values(), optimizer.groups[0].hyper.copy()]
        with pytest.raises(ValueError, match=r"labels hold 77, expected whole numbers in \[0, 3\)"):
            step.profile(X, bad)
    for a, b in zip(before, [*model.state_dict().values(), optimizer.groups[0].hyper], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_profiled_steps_do_not_diverge(name):
    """At this learning rate a few more steps would; and weights without a finite loss give a sentence, not nonsense."""
    tn.manual_seed(1)
    model = network(5, 8, 3)
    trainer = Trainer(model, nn.MSELoss(), SGD(model.parameters(), lr=50.0), loaded(name), progress=False)
    X, y = data(5, 3)[0], np.ones((ROWS, 3), np.float32)
    trainer.profile(X, y, BATCH)
    assert trainer.optimizer.groups[0]["lr"] == 50.0
    model.parameters()[0].data[...] = np.inf
    with pytest.raises(NonFiniteLoss, match="no step can be profiled"):
        trainer.profile(X, y, BATCH)


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_schedule_that_has_not_begun_does_not_matter(epochs):
    tn.manual_seed(1)
    model = network(5, 8, 3)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), Adam(model.parameters()), kernels.load("numpy"), schedule=tn.schedule.Cosine(),
        progress=False,
    )  # fmt: skip
    X, y = data(5, 3)
    for _ in range(epochs):
        trainer.fit(X, y, 2, BATCH)
    before = state(trainer)
    assert trainer.profile(X, y, BATCH).seconds > 0
    for a, b in zip(before, state(trainer), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_compiled_step_is_profiled():
    tn.manual_seed(1)
    model, loss = network(5, 8, 3), nn.CrossEntropyLoss()
    optimizer = Adam(model.parameters())

    def step(X, y):
        optimizer.zero_grad()
        value = loss(model(X), y)
        value.backward()
        optimizer.step()
        return value

    X, y = data(5, 3)
    with tn.use_backend("numpy"):
        compiled = tn.compile(step)
        with pytest.raises(ValueError, match="call it three times"):
            compiled.profile(Tensor(X), y)
        for _ in range(3):
            compiled(Tensor(X), y)
        before = [p.data.copy() for p in model.parameters()]
        for steps in (0, -1, 1.5, "x"):
            with pytest.raises((ValueError, TypeError), match="steps is"):
                compiled.profile(Tensor(X), y, steps=steps)
        profile = compiled.profile(Tensor(X), y, steps=4)
        assert len(profile.rows) == len(compiled.program)
        for a, p in zip(before, model.parameters(), strict=True):
            np.testing.assert_array_equal(a, p.data)


# ---- under the machine's ceilings ----------------------------------------------------------------------------------


def test_bytes_and_footprint_of_an_update_and_of_a_broadcast_operand():
    def view(buffer, *strides):
        return View(buffer, 0, (3, 5), strides, np.dtype("f4"))

    whole, other = (Buffer("temporary", number, 60) for number in range(2))
    update = Instruction("add", (view(whole, 20, 4), view(other, 20, 4), view(whole, 20, 4)))
    assert (update.bytes, update.footprint) == (180, 120)
    broadcast = Instruction("add", (view(whole, 20, 4), view(other, 0, 4), view(whole, 20, 4)))
    assert (broadcast.bytes, broadcast.footprint) == (60 + 20 + 60, 60 + 20)


def test_a_profile_under_the_ceilings_says_how_near_it_comes():
    ceilings = hardware.measure("float32", 1, budget=0.002)
    trainer, X, y = trained(loaded("numba", threads=1))
    profile = trainer.profile(X, y, BATCH)
    assert all(row.of_roof is None for row in profile.rows)
    under = profile.under(ceilings)
    for row in under.rows:
        expected = ceilings.seconds(row.instruction.flops, row.instruction.bytes, row.instruction.footprint)
        assert row.of_roof == pytest.approx(expected / row.seconds)
    said = under.as_json()
    assert [entry["kernel"] for entry in said["instructions"]] == [i.kernel for i in under.program.instructions]
    assert sum(said["subtotals"].values()) == pytest.approx(said["in_kernels"])


def test_every_kernel_has_a_number_of_operations():
    from kernels.program.work import MOVES, OF_THE_INPUT

    assert {*MOVES, *OF_THE_INPUT} <= {name for name, declaration in DECLARATIONS.items() if declaration.required}
