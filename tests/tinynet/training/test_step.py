"""When a program may run in place of a step: whatever a user changes between steps, replays go on as eager steps would."""

import copy
import gc
import threading
import types

import numpy as np
import pytest
from backends import loaded
from children import forked

import tinynet as tn
from kernels.program.recent import Recent
from tinynet import nn, optim
from tinynet.backends import running_on
from tinynet.training import form
from tinynet.training.snapshot import Snapshot

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(48, 5)).astype(np.float32), RNG.integers(0, 3, 48)
F = np.float32
SLOPE = 0.25  # a global that a user's layer reads


class Scaled(nn.Module):
    """A user's layer: an attribute, a class's attribute, a global name and what its list holds all matter."""

    offset = 0.0

    def __init__(self):
        self.options = types.SimpleNamespace(scale=1.5)
        self.factors = [1.0]
        self.table = {"power": 1.0}

    def forward(self, x):
        return x * (self.options.scale * self.factors[0] * self.table["power"] * SLOPE) + self.offset


class Bench:
    """A net that has a bit of everything, and its step."""

    def __init__(self):
        tn.manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.LeakyReLU(0.1), nn.Dropout(0.3), Scaled(), nn.Linear(8, 6),
            nn.LayerNorm(6), nn.ELU(1.0), nn.Linear(6, 3, activation="tanh"),
        )  # fmt: skip
        self.loss = nn.CrossEntropyLoss(weight=[1.0, 2.0, 3.0], label_smoothing=0.1)
        groups = [{"params": self.model[0].parameters()}, {"params": self.model.parameters()[2:], "lr": 1e-2}]
        self.optimizer = optim.Adam(groups, lr=1e-2)
        self.power = 1.0

    def step(self, x, y):
        self.model.zero_grad()
        loss = self.loss(self.model(tn.Tensor(x)), y) * self.power
        loss.backward()
        self.optimizer.step()
        return loss

    def state(self):
        averages = [a for p in self.model.parameters() for a in self.optimizer.state.get(id(p), {}).values()]
        return [*self.model.state_dict().values(), *averages, *(group.hyper for group in self.optimizer.groups)]


def layers(bench, *changed):
    modules = list(bench.model.modules)
    for place, module in changed:
        modules[place : place + 1] = module
    bench.model.modules = tuple(modules)


def set_global(name, value):
    def change(bench):
        globals()[name] = value

    return change


def other_parameter(bench):
    bench.model[8].weight = nn.Parameter(bench.model[8].weight.data * 0.5)


def taken_from_group(bench):
    bench.optimizer.groups[1].params.pop()


CHANGES = {
    "a parameter is not trained": lambda b: setattr(b.model[0].weight, "requires_grad", False),
    "a bias is not trained": lambda b: setattr(b.model[5].bias, "requires_grad", False),
    "a parameter's data are exchanged": lambda b: setattr(b.model[0].weight, "data", b.model[0].weight.data * 0.5),
    "a parameter is exchanged": other_parameter,
    "a parameter's data change in place": lambda b: np.multiply(b.model[0].weight.data, 0.5, out=b.model[0].weight.data),
    "a bias is set to None": lambda b: setattr(b.model[5], "bias", None),
    "an activation is another": lambda b: setattr(b.model[8], "activation", "identity"),
    "a slope": lambda b: setattr(b.model[2], "negative_slope", 0.3),
    "a slope of -0.0 for 0.0": lambda b: (setattr(b.model[2], "negative_slope", -0.0)),
    "alpha": lambda b: setattr(b.model[7], "alpha", 0.5),
    "dropout's p": lambda b: setattr(b.model[3], "p", 0.6),
    "dropout's p is 0": lambda b: setattr(b.model[3], "p", 0.0),
    "dropout's p in its array": lambda b: b.model[3].rate.fill(0.1),
    "dropout's seed": lambda b: b.model[3].seed.fill(7),
    "dropout's seed is another array": lambda b: setattr(b.model[3], "seed", np.array([9], np.uint64)),
    "dropout's counter": lambda b: b.model[3].counter.fill(40),
    "dropout's counter is another array": lambda b: setattr(b.model[3], "counter", np.zeros(1)),
    "batch norm's eps": lambda b: setattr(b.model[1], "eps", 0.1),
    "batch norm's momentum": lambda b: setattr(b.model[1], "momentum", 0.5),
    "a running mean is another array": lambda b: setattr(b.model[1], "running_mean", np.ones(8, F)),
    "a running variance changes in place": lambda b: b.model[1].running_variance.fill(2),
    "layer norm's eps": lambda b: setattr(b.model[6], "eps", 0.1),
    "label smoothing": lambda b: setattr(b.loss, "label_smoothing", 0.3),
    "no label smoothing": lambda b: setattr(b.loss, "label_smoothing", 0.0),
    "the loss's weight": lambda b: setattr(b.loss, "weight", np.array([3.0, 2.0, 1.0])),
    "the loss's weight in place": lambda b: b.loss.weight.fill(1.0),
    "the loss has no weight": lambda b: setattr(b.loss, "weight", None),
    "the loss's reduction": lambda b: setattr(b.loss, "reduction", "sum"),
    "another loss": lambda b: setattr(b, "loss", nn.CrossEntropyLoss()),
    "evaluation": lambda b: b.model.eval(),
    "one layer's mode": lambda b: b.model[1].eval(),
    "a layer's mode by its attribute": lambda b: setattr(b.model[3], "training", False),
    "a layer becomes one of another class": lambda b: setattr(b.model[2], "__class__", nn.ReLU),
    "a layer exchanged": lambda b: layers(b, (2, [nn.ReLU()])),
    "a layer added": lambda b: layers(b, (8, [nn.Tanh(), b.model[8]])),
    "a layer removed": lambda b: layers(b, (4, [])),
    "another model": lambda b: setattr(b, "model", nn.Sequential(*b.model.modules[:4], nn.Linear(8, 3))),
    "float32 again": lambda b: b.model.to(np.float32),
    "a parameter taken from its group": taken_from_group,
    "a group's hyper is another array": lambda b: setattr(b.optimizer.groups[0], "hyper", b.optimizer.groups[0].hyper * 1),
    "the learning rate": lambda b: b.optimizer.groups[0].update(lr=0.1),
    "betas": lambda b: b.optimizer.groups[1].update(betas=(0.5, 0.9)),
    "weight decay": lambda b: b.optimizer.groups[1].update(weight_decay=0.1),
    "the optimizer's state is emptied": lambda b: b.optimizer.state.clear(),
    "the optimizer's state of one parameter": lambda b: b.optimizer.state.pop(id(b.model[0].weight)),
    "an average is another array": lambda b: b.optimizer.state[id(b.model[0].weight)].update(first=np.ones((5, 8), F)),
    "an average in place": lambda b: b.optimizer.state[id(b.model[0].weight)]["first"].fill(0.1),
    "another optimizer": lambda b: setattr(b, "optimizer", optim.SGD(b.model.parameters(), lr=0.1, momentum=0.9)),
    "decoupled decay": lambda b: (setattr(b.optimizer, "decoupled", True), b.optimizer.groups[0].update(weight_decay=0.1)),
    "a state dict is loaded": lambda b: b.model.load_state_dict({k: v + 1 for k, v in b.model.state_dict().items()}),
    "an optimizer's state dict is loaded": lambda b: b.optimizer.load_state_dict(
        optim.Adam([{"params": b.model[0].parameters()}, {"params": b.model.parameters()[2:]}]).state_dict()
    ),
    "a number of the step's own": lambda b: setattr(b, "power", 2.0),
    "a user's option": lambda b: setattr(b.model[4].options, "scale", 2.5),
    "a user's options": lambda b: setattr(b.model[4], "options", types.SimpleNamespace(scale=2.5)),
    "a user's list": lambda b: b.model[4].factors.__setitem__(0, 2.0),
    "a user's dict": lambda b: b.model[4].table.update(power=3.0),
    "a user's attribute hides the class's": lambda b: setattr(b.model[4], "offset", 1.0),
    "a user's class": lambda b: setattr(Scaled, "offset", 0.5),
    "a global name": set_global("SLOPE", 0.75),
}  # fmt: skip


@pytest.fixture
def _names_as_they_were():
    yield
    set_global("SLOPE", 0.25)(None)
    Scaled.offset = 0.0


@pytest.mark.usefixtures("_names_as_they_were")
@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_compiled_step_notices(change, name):
    found = []
    for compiles in (False, True):
        set_global("SLOPE", 0.25)(None)
        Scaled.offset = 0.0
        bench = Bench()
        run = tn.compile(bench.step) if compiles else bench.step
        with running_on(loaded(name)):
            losses = [run(X[:16], LABELS[:16]).item() for _ in range(4)]
            CHANGES[change](bench)
            losses += [run(X[:16], LABELS[:16]).item() for _ in range(4)]
        found.append((losses, bench.state()))
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


IN_A_TRAINER = [c for c in CHANGES if c not in ("another model", "another loss", "another optimizer", "evaluation",
                                                "one layer's mode", "a layer's mode by its attribute",
                                                "a number of the step's own", "an optimizer's state dict is loaded")]  # fmt: skip


@pytest.mark.usefixtures("_names_as_they_were")
@pytest.mark.parametrize("change", IN_A_TRAINER)
def test_a_trainer_notices(change):
    """A callback changes it at the end of an epoch."""
    found = []
    for compiles in (False, True):
        set_global("SLOPE", 0.25)(None)
        Scaled.offset = 0.0
        bench = Bench()

        def callback(trainer, history, bench=bench):
            if trainer.epoch == 2:
                CHANGES[change](bench)

        trainer = tn.Trainer(bench.model, bench.loss, bench.optimizer, loaded("numba"), progress=False,
                             compile=compiles, callbacks=[callback])  # fmt: skip
        history = trainer.fit(X, LABELS, epochs=5, batch_size=16)
        found.append((history.step_loss, bench.state()))
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


def recordings(trainer, monkeypatch):
    """Counts the steps that a Trainer records."""
    counted, original = [0], type(trainer._stepper._step).record

    def record(*arguments):
        counted[0] += 1
        return original(*arguments)

    monkeypatch.setattr(type(trainer._stepper._step), "record", record)
    return counted


@pytest.mark.parametrize("own", ["layer", "loss"])
def test_code_of_a_users_is_not_recorded_anew_in_each_epoch(own, monkeypatch):
    bench, ce = Bench(), nn.CrossEntropyLoss()
    layers(bench, *(() if own == "layer" else [(4, [])]))
    loss = (lambda output, target: ce(output, target) * 2.0) if own == "loss" else ce
    stopping = tn.EarlyStopping(patience=50)
    trainer = tn.Trainer(bench.model, loss, bench.optimizer, progress=False, callbacks=[lambda *_: None, stopping])
    counted = recordings(trainer, monkeypatch)
    trainer.fit(X, LABELS, epochs=8, batch_size=16, validation_data=(X[:9], LABELS[:9]))
    assert counted[0] == 2


@pytest.mark.parametrize("options", [
    {}, {"schedule": tn.schedule.Cosine()}, {"clip_norm": 1.0}, {"transforms": [optim.ClipValue(1.0)]},
    {"schedule": {"lr": tn.schedule.Cosine(), "dropout": lambda *_: 0.1}, "clip_norm": 0.5},
], ids=str)  # fmt: skip
def test_steps_are_recorded_once_for_all_epochs_and_fits(options, monkeypatch):
    bench = Bench()
    trainer = tn.Trainer(bench.model, bench.loss, bench.optimizer, progress=False, **options)
    counted = recordings(trainer, monkeypatch)
    layers(bench, (4, []))  # no code but tinynet's: the data of each fit are arguments
    monkeypatch.setattr(form, "_known", Recent())
    for _ in range(3):
        trainer.fit(X.copy(), LABELS.copy(), epochs=3, batch_size=16, validation_data=(X[:9], LABELS[:9]))
    assert counted[0] == 1


# ---- arguments ----------------------------------------------------------------------------------------------------


def linear_step():
    tn.manual_seed(0)
    model = nn.Linear(5, 5)
    optimizer = optim.SGD(model.parameters(), lr=0.0)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.MSELoss()(model(tn.Tensor(x)), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def test_arguments_that_were_one_array_become_two():
    step = linear_step()
    compiled, noisy = tn.compile(step), X[:8] + 1
    for arguments in (
        [(X[:8], X[:8])] * 4 + [(noisy, X[:8])] * 4 + [(X[:8], X[:8]), (X[:8], X[4:12]), (X[4:12], X[:8])] * 3
    ):
        assert compiled(*arguments).item() == step(*arguments).item()


def test_an_argument_that_the_step_also_knows_by_another_name():
    step, known = linear_step(), X[:8].copy()
    compiled = tn.compile(lambda x: step(x, known))
    for x in [known, known, known, X[8:16], X[16:24]]:
        assert compiled(x).item() == step(x, known).item()


def test_numbers_are_told_apart_by_their_bits_and_types():
    def step(x, number):
        weight.grad = None
        loss = (weight * x).sum() * 1.0
        loss.backward()
        return tn.Tensor(x) * (1.0 / number if number == number and number else float(str(number)))

    weight = nn.Parameter(np.ones(3, F))
    compiled = tn.compile(step)
    for number in [0.0, 0.0, 0.0, -0.0, -0.0, -0.0, 1, 1.0, True, 1, True]:
        found, expected = compiled(np.ones(3, F), number).numpy(), step(np.ones(3, F), number).numpy()
        assert found.tobytes() == expected.tobytes(), number


def test_a_number_that_changes_with_every_call_is_refused():
    weight = nn.Parameter(np.ones(3, F))

    def step(x, rate):
        weight.grad = None
        loss = (weight * x).sum() * rate
        loss.backward()
        return loss

    compiled = tn.compile(step)

    def called_on():
        for i in range(50):
            compiled(np.ones(3, F), 0.5 + i)

    with pytest.raises(tn.NotReplayable, match=r"argument 1 of the step was 32 other numbers"):
        called_on()
    assert len(compiled._step.replays) <= 33
    compiled = tn.compile(step)

    def in_turn_with_one_that_stays():
        for i in range(50):
            compiled(np.ones(3, F), 0.5 + i)
            compiled(np.ones(3, F), 0.25)

    with pytest.raises(tn.NotReplayable, match=r"argument 1 of the step was 32 other numbers"):
        in_turn_with_one_that_stays()
    assert len(compiled._step.replays) <= 34
    compiled = tn.compile(step)
    for i in range(50):  # each is worth its program
        for _ in range(3):
            compiled(np.ones(3, F), 0.5 + i)
    compiled = tn.compile(step)
    for _ in range(60):  # a few of them are no trouble
        for rate in (0.1, 0.2, 0.3):
            compiled(np.ones(3, F), rate)


def test_an_argument_without_axes_stays_so():
    weight, shapes = nn.Parameter(np.ones(3, F)), []

    def step(factor, x):
        weight.grad = None
        shapes.append(factor.shape)
        loss = (weight * x).sum() * factor
        loss.backward()
        return loss

    compiled = tn.compile(step)
    for i in range(5):
        assert compiled(tn.Tensor(F(i)), np.ones(3, F)).item() == 3.0 * i
        assert compiled(tn.Tensor(F(i)), np.ones(3, F)).shape == ()
    assert set(shapes) == {()}


def test_gradients_of_a_replay_are_the_callers():
    for name in ("numpy", "numba"):
        with running_on(loaded(name)):
            bench = Bench()
            compiled, kept = tn.compile(bench.step), []
            parameters = bench.model.parameters()
            for i in range(6):
                compiled(X[i : i + 16], LABELS[i : i + 16])
                kept.append(
                    [(p.grad, p.grad.copy()) for p in parameters]
                    + [(parameters[0].grad[1:], parameters[0].grad[1:].copy())]
                )
            for gradients in kept:
                assert all(np.array_equal(gradient, copy) for gradient, copy in gradients)
            del kept, gradients
            memory = compiled._last.runner._memory
            for i in range(4):
                compiled(X[i : i + 16], LABELS[i : i + 16])
            assert compiled._last.runner._memory is memory  # what nobody keeps is used again


def test_a_read_only_weight_is_not_written():
    bench = Bench()
    compiled = tn.compile(bench.step)
    for _ in range(4):
        compiled(X[:16], LABELS[:16])
    weight = bench.model[0].weight.data
    weight.flags.writeable = False
    before = weight.copy()
    with pytest.raises(ValueError, match="read-only"):
        compiled(X[:16], LABELS[:16])
    assert np.array_equal(weight, before)


# ---- how many programs are kept, and who runs them -----------------------------------------------------------------


def test_programs_are_kept_up_to_a_number_of_bytes(monkeypatch):
    monkeypatch.setattr("tinynet.training.step.MOST_BYTES", 2_000_000)
    bench = Bench()
    compiled = tn.compile(bench.step)
    for rows in range(2, 48):
        for _ in range(3):
            compiled(X[:rows], LABELS[:rows])
    kept = compiled._step.replays
    assert 1 < len(kept) < 40 and sum(replay.nbytes for replay in kept.values()) <= 2_000_000
    assert list(kept)[-1][1][1] == (47, 5)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_compiled_step_in_two_threads(name):
    """Each call gets the loss of its own arguments."""
    model = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3))
    loss_function = nn.CrossEntropyLoss()

    def step(x, y):
        model.zero_grad()
        loss = loss_function(model(tn.Tensor(x)), y)
        loss.backward()
        return loss

    compiled, backend = tn.compile(step), loaded(name)
    with running_on(backend):
        expected = [step(X[i : i + 16], LABELS[i : i + 16]).item() for i in range(32)]
    wrong = []

    def calls(first):
        with running_on(backend):
            for n in range(400):
                i = (first + n) % 32
                found = compiled(X[i : i + 16], LABELS[i : i + 16]).item()
                if found != expected[i]:
                    wrong.append((i, found))

    threads = [threading.Thread(target=calls, args=(first,)) for first in (0, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads) and wrong == []


def test_a_forked_child_runs_a_step_that_another_thread_was_running():
    compiled, held = tn.compile(Bench().step), threading.Event()
    for _ in range(4):
        compiled(X[:16], LABELS[:16])
    done = threading.Event()

    def hold():
        with compiled._step.turn:
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)
    try:
        assert forked(lambda: compiled(X[:16], LABELS[:16]).item() > 9, 30) == 0
    finally:
        done.set()
        holder.join(60)


def test_a_copied_trainer_trains_as_the_original_would():
    bench = Bench()
    trainer = tn.Trainer(bench.model, bench.loss, bench.optimizer, progress=False)
    other = copy.deepcopy(trainer)
    found = [run.fit(X, LABELS, epochs=2, batch_size=16).step_loss for run in (trainer, other)]
    assert found[0] == found[1]


def test_a_snapshot_holds_nothing_of_a_dropped_step():
    bench = Bench()
    compiled = tn.compile(bench.step)
    for _ in range(4):
        compiled(X[:16], LABELS[:16])
    import weakref

    gone = weakref.ref(bench.model)
    del bench, compiled
    gc.collect()
    assert gone() is None


def test_equal_values_in_other_objects_change_nothing():
    bench = Bench()
    snapshot = Snapshot([bench.step])
    bench.model[2].negative_slope, bench.power = float("0.1"), float("1.0")
    bench.model[4].factors = bench.model[4].factors
    assert snapshot.unchanged
    bench.model[2].negative_slope = 0.1000001
    assert not snapshot.unchanged
