"""What drives which option: Schedules of groups' options and of dropout, against tables; epochs across fits."""

import math

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, optim
from tinynet.checkpoints import checkpoint
from tinynet.estimators.optimizers import Horizon
from tinynet.schedule import Cosine, Exponential, LinearWarmup, ReduceOnPlateau, Schedule
from tinynet.training.scheduled import Schedules


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2), nn.Dropout(0.25))


def made(schedule, make=optim.AdamW, **options):
    net = model()
    params = net.parameters()
    optimizer = make([{"params": params[:2], "lr": 0.5}, {"params": params[2:], "weight_decay": 0.5}], **options)
    return Schedules(schedule, optimizer, net), optimizer, net


def table(schedules, rows=((2, 3),)):
    """What is set for each step, where each pair is a fit of some epochs with as many steps."""
    seen, step, epoch = [], 0, 0
    for epochs, per_epoch in rows:
        schedules.start(step, per_epoch, step + epochs * per_epoch, epoch, step)
        ahead = schedules.values(step, epochs * per_epoch)
        for i in range(epochs * per_epoch):
            schedules.apply(step + i)
            places = [place for option in schedules.options for place in option.groups]
            seen.append([place["lr"] for place in places])
        np.testing.assert_array_equal(ahead, seen[-epochs * per_epoch :])
        step, epoch = step + epochs * per_epoch, epoch + epochs
    return seen


def test_a_schedule_drives_the_learning_rates():
    schedules, optimizer, _ = made(Exponential(0.5), lr=0.25)
    assert table(schedules) == [[0.5, 0.25]] * 3 + [[0.25, 0.125]] * 3
    assert schedules.names == ["lr", "lr"]
    assert [(array is group.hyper, i) for (array, i), group in zip(schedules.targets(), optimizer.groups, strict=True)] == [
        (True, 0), (True, 0)]  # fmt: skip


@pytest.mark.parametrize(("make", "name"), [
    (make, name) for make in (optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW) for name in make.options
    if name not in ("step", "nesterov")
])  # fmt: skip
def test_every_option_can_be_driven(make, name):
    schedules, optimizer, _ = made({name: Exponential(0.5)}, make)
    before = [group[name] for group in optimizer.groups]
    assert table(schedules) == [before] * 3 + [[value / 2 for value in before]] * 3
    for (array, place), group in zip(schedules.targets(), optimizer.groups, strict=True):
        array[place] = 0.75
        assert group[name] == 0.75


def test_a_function_gives_the_value_itself():
    heard = []

    def decay(*step):
        heard.append(step)
        return step[2] / 8

    schedules, optimizer, _ = made({"weight_decay": decay})
    assert table(schedules, ((1, 2), (2, 3))) == [[step / 8] * 2 for step in range(8)]
    assert sorted(set(heard)) == [
        (0, 0, 0),
        (0, 1, 1),
        (1, 0, 2),
        (1, 1, 3),
        (1, 2, 4),
        (2, 0, 5),
        (2, 1, 6),
        (2, 2, 7),
    ]
    schedules.apply(8)  # there is no step 8, so nothing is asked of the function
    assert max(heard) == (2, 2, 7) and optimizer.groups[0]["weight_decay"] == 7 / 8


def test_a_function_alone_drives_the_learning_rates():
    schedules, optimizer, _ = made(lambda epoch, step, steps: 0.1 * (epoch + 1))
    table(schedules)
    assert [group["lr"] for group in optimizer.groups] == [0.2, 0.2]


def test_dropout_is_driven_in_every_module():
    schedules, _, net = made({"dropout": Exponential(0.5), "lr": lambda epoch, step, steps: 0.1})
    assert schedules.names == ["dropout", "dropout", "lr", "lr"]
    table(schedules)
    assert (net[2].p, net[4].p) == (0.25, 0.125)
    both, _, net = made({"dropout": lambda epoch, step, steps: 0.1 * epoch})
    table(both, ((4, 2),))
    assert net[2].p == net[4].p == pytest.approx(0.3)


def test_a_shared_dropout_is_one():
    dropout = nn.Dropout(0.5)
    net = nn.Sequential(nn.Linear(2, 2), dropout, nn.Linear(2, 2), dropout)
    assert Schedules({"dropout": Cosine()}, optim.SGD(net.parameters()), net).names == ["dropout"]


def test_one_schedule_may_drive_several_options():
    shared = Exponential(0.5)
    schedules, optimizer, _ = made({"lr": shared, "weight_decay": shared})
    table(schedules)
    assert optimizer.groups[0]["lr"] == 0.25 and optimizer.groups[1]["weight_decay"] == 0.25
    assert optimizer.groups[0]["weight_decay"] == 0.005


def test_all_schedules_hear_losses():
    schedules, optimizer, _ = made({name: ReduceOnPlateau(0.5, patience=0) for name in ("lr", "beta1")})
    schedules.start(0, 1, 9, 0, 0)
    for step, loss in enumerate([1.0, 2.0, 3.0]):
        schedules.epoch_ended(loss)
        schedules.apply(step + 1)
    assert optimizer.groups[0]["lr"] == 0.125 and optimizer.groups[0]["beta1"] == 0.225


@pytest.mark.parametrize("schedule", [
    lambda: ReduceOnPlateau(0.5, patience=0), lambda: Horizon("exponential"), lambda: {"lr": ReduceOnPlateau(0.5, patience=0), "eps": Cosine()},
    lambda: {"weight_decay": LinearWarmup(3, Exponential(0.9)), "dropout": lambda epoch, step, steps: 0.1},
    lambda: lambda epoch, step, steps: 0.1,
])  # fmt: skip
def test_state_goes_on(schedule):
    schedules, optimizer, net = made(schedule(), lr=0.75)
    schedules.start(0, 2, 8, 0, 0)
    schedules.epoch_ended(1.0)
    schedules.epoch_ended(2.0)
    schedules.apply(4)
    again = Schedules(schedule(), optimizer, net)
    again.check_state_dict(made(schedule())[0].state_dict(), 4)  # of one that has not started
    again.check_state_dict(schedules.state_dict(), 4)
    again.load_state_dict(schedules.state_dict())
    for which in (schedules, again):
        which.start(4, 3, 10, 2, 4)
    np.testing.assert_array_equal(again.values(4, 6), schedules.values(4, 6))


def test_the_state_of_a_single_schedule_is_its_own():
    schedule = ReduceOnPlateau()
    schedules, _, _ = made(schedule)
    schedules.start(0, 2, 8, 0, 0)
    assert schedules.state_dict() == schedule.state_dict()


def test_checkpoints_compare_what_drives_which_option():
    described = [
        checkpoint._described(schedule)
        for schedule in ({"lr": Cosine()}, {"lr": Cosine(0.5)}, {"eps": Cosine()}, {"lr": Exponential()}, Cosine(), {})
    ]
    assert all(one != other for i, one in enumerate(described) for other in described[:i])
    with pytest.raises(checkpoint.CheckpointError, match=r"its schedule is {lr: Cosine\(floor=0.5\)}, here it is None"):
        checkpoint._check_equal("schedule", checkpoint._described({"lr": Cosine(0.5)}), None)


class OldStart(Exponential):
    """A schedule as users may have written one: its start knows nothing of epochs."""

    def start(self, optimizer, step, steps_per_epoch, total_steps):
        super().start(optimizer, step, steps_per_epoch, total_steps)
        self.started = True


class AnyStart(Exponential):
    def start(self, *arguments, **options):
        super().start(*arguments, **options)


@pytest.mark.parametrize("kind", [OldStart, AnyStart, Exponential])
def test_a_start_of_ones_own(kind):
    schedules, _, _ = made({"weight_decay": kind(0.5)}, optim.SGD, weight_decay=1.0)
    assert [row[0] for row in table(schedules, ((2, 2), (1, 2)))] == [1, 1, 0.5, 0.5, 0.25, 0.25]


class Faulty(Schedule):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def factor(self, step):
        return self.value if step >= 3 else 1.0


def run(schedule, **options):
    table(made(schedule, **options)[0])


REFUSALS = {
    "unknown": (lambda: made({"weight_decai": Cosine()}), ValueError, "unknown scheduled option 'weight_decai': did you mean 'weight_decay'"),
    "of another": (lambda: made({"momentum": Cosine()}), ValueError, "unknown scheduled option 'momentum'"),
    "step": (lambda: made({"step": Cosine()}), ValueError, "unknown scheduled option 'step'"),
    "no dropout": (
        lambda: Schedules({"dropout": Cosine()}, optim.SGD((net := nn.Linear(2, 2)).parameters()), net),
        ValueError, "unknown scheduled option 'dropout'"),
    "empty": (lambda: made({}), ValueError, "schedule is an empty mapping"),
    "class": (lambda: made(Cosine), TypeError, "schedule of lr is the class Cosine, expected a Schedule or a function"),
    "number": (lambda: made({"beta1": 0.5}), TypeError, "schedule of beta1 is 0.5, expected a Schedule or a function"),
    "negative": (
        lambda: run({"weight_decay": lambda epoch, step, steps: 1 - steps}), ValueError,
        "weight_decay for epoch 1, step 3 is -1, expected a finite number >= 0"),
    "NaN": (lambda: run(Faulty(math.nan)), ValueError, "lr for epoch 2, step 1 is nan, expected a finite number >= 0"),
    "beta": (lambda: run({"beta2": Faulty(2.0)}), ValueError, r"beta2 for epoch 2, step 1 is 1.998, expected a number in \[0, 1\)"),
    "dropout": (lambda: run({"dropout": Faulty(2.0)}), ValueError, r"dropout for epoch 2, step 1 is 1.0, expected a number in \[0, 1\)"),
    "none": (lambda: run({"eps": lambda *step: None}), TypeError, "eps for epoch 1, step 1 is None"),
    "state of others": (
        lambda: made({"lr": Cosine()})[0].check_state_dict({"options": {"beta1": {}}}, 0), ValueError,
        r"drive \['beta1'\], expected \['lr'\]"),
    "state of NaN": (
        lambda: made(Cosine())[0].check_state_dict({"initial": [math.nan, 1.0]}, 0), ValueError, "its lr is nan"),
    "state of fewer": (lambda: made(Cosine())[0].check_state_dict({"initial": [1.0]}, 0), ValueError, "zip"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "said"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, error, said):
    with pytest.raises(error, match=said):
        call()


RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(60, 3)), RNG.integers(0, 2, 60)


@pytest.mark.parametrize("kind", [OldStart, Exponential])
def test_fits_of_other_lengths_have_the_rates_of_their_epochs(kind):
    """Epochs of 6 steps, one that is cut after 3 and begun anew, then epochs of 2, and of 10."""
    net = nn.Sequential(nn.Linear(3, 2))
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    run = tn.Trainer(net, nn.CrossEntropyLoss(), optimizer, backend="numpy", schedule=kind(0.5), compile=False)
    rates = []
    for rows, epochs in ((60, 2), (20, 1), (60, 1)):
        rates += run.fit(X[:rows], LABELS[:rows], epochs=epochs, batch_size=10).learning_rate
    run.fit(X, LABELS, batch_size=10, time_limit=1e-9)
    rates += run.fit(X, LABELS, epochs=2, batch_size=6).learning_rate
    if kind is OldStart:  # counts in steps of the last length, as before
        assert rates != [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]
    else:
        assert rates == [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_recorded_steps_read_the_values(backend):
    """Values as an argument of the step, cast to where they go, have the bits of values set between steps."""
    driven = {"lr": Cosine(0.1), "weight_decay": lambda epoch, step, steps: 0.1 * epoch, "beta1": Exponential(0.9)}
    x, labels, loss_function, found = X.astype(np.float32), LABELS, nn.CrossEntropyLoss(), []
    with tn.use_backend(backend):
        for recorded in (False, True):
            tn.manual_seed(0)
            net = nn.Linear(3, 2)
            optimizer = optim.AdamW([{"params": [net.weight]}, {"params": [net.bias], "lr": 0.5}], lr=0.1)
            schedules = Schedules(driven, optimizer, net)

            def step(rows, values, net=net, optimizer=optimizer, targets=schedules.targets()):  # noqa: B008
                k = tn.current_backend()
                for i, (array, place) in enumerate(targets):
                    k.cast(values[i : i + 1], out=array[place : place + 1])
                optimizer.zero_grad()
                loss = loss_function(net(tn.Tensor(rows)), labels)
                loss.backward()
                optimizer.step()
                return loss

            run = tn.compile(step) if recorded else step
            schedules.start(0, 4, 12, 0, 0)
            for i, values in enumerate(schedules.values(0, 12)):
                if recorded:
                    run(x, values)
                else:
                    schedules.apply(i)
                    step(x, np.array([array[place] for array, place in schedules.targets()]))
            found.append([net.weight.data, net.bias.data, *(group.hyper for group in optimizer.groups)])
    for eager, replayed in zip(*found, strict=True):
        np.testing.assert_array_equal(eager, replayed)
