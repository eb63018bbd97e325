"""Optimizers against textbook updates over several steps; groups, state, clipping; schedules against tables."""

import math
import signal
import sys

import numpy as np
import pytest
from children import finished
from repository import ROOT

import tinynet as tn
from tinynet import Tensor, nn, optim, schedule
from tinynet.interrupts import holding_interrupts, uninterrupted
from tinynet.nn import Parameter


@pytest.fixture(autouse=True)
def on_each(backend):
    with tn.use_backend(backend):
        yield


def sgd(w, g, s, t, lr=0.1, momentum=0.0, weight_decay=0.0, nesterov=False):
    g = g + weight_decay * w
    s["v"] = momentum * s.get("v", 0) + g
    return w - lr * (g + momentum * s["v"] if nesterov else s["v"])


def rmsprop(w, g, s, t, lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0):
    g = g + weight_decay * w
    s["s"] = alpha * s.get("s", 0) + (1 - alpha) * g**2
    s["v"] = momentum * s.get("v", 0) + g / (np.sqrt(s["s"]) + eps)
    return w - lr * s["v"]


def adam(w, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    g = g + weight_decay * w
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["s"] = betas[1] * s.get("s", 0) + (1 - betas[1]) * g**2
    return w - lr * s["m"] / (1 - betas[0] ** t) / (np.sqrt(s["s"] / (1 - betas[1] ** t)) + eps)


def adamw(w, g, s, t, lr=1e-3, weight_decay=1e-2, **options):
    return adam(w * (1 - lr * weight_decay), g, s, t, lr, **options)


def radam(w, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    """As PyTorch's documentation of torch.optim.RAdam writes it."""
    g = g + weight_decay * w
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    m_hat, rho_inf = s["m"] / (1 - betas[0] ** t), 2 / (1 - betas[1]) - 1
    rho = rho_inf - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    if rho <= 5:
        return w - lr * m_hat
    adaptive = math.sqrt(1 - betas[1] ** t) / (np.sqrt(s["v"]) + eps)
    rectified = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    return w - lr * m_hat * rectified * adaptive


CASES = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (optim.RMSprop, rmsprop, {"lr": 0.01}),
    (optim.RMSprop, rmsprop, {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "weight_decay": 0.1, "eps": 1e-3}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "eps": 1e-3}),
    (optim.AdamW, adamw, {}),
    (optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.5}),
    (optim.RAdam, radam, {}),
    (optim.RAdam, radam, {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "eps": 1e-3}),
]


def test_every_optimizer_has_a_case():
    assert {case[0] for case in CASES} == set(optim.OPTIMIZERS.values())
    assert {optimizer.__name__ for optimizer in optim.OPTIMIZERS.values()} <= set(optim.__all__)


@pytest.mark.parametrize(("make", "reference", "options"), CASES)
def test_updates_are_the_textbooks(make, reference, options):
    rng = np.random.default_rng(0)
    start, state = rng.normal(size=(3, 4)), {}
    parameter, expected = Parameter(start), start.copy()
    optimizer = make([parameter], **options)
    for t in range(1, 9):
        gradient = rng.normal(size=(3, 4))
        parameter.grad = gradient.copy()
        optimizer.step()
        expected = reference(expected, gradient, state, t, **options)
        np.testing.assert_allclose(parameter.data, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", optim.OPTIMIZERS.values())
def test_every_optimizer_finds_the_minimum(make):
    parameter = Parameter(np.array([[3.0, -2.0]]))
    optimizer = make([parameter], lr=0.02)
    for _ in range(800):
        optimizer.zero_grad()
        ((parameter - np.array([[1.0, 1.0]])) ** 2).sum().backward()
        optimizer.step()
    assert np.abs(parameter.data - 1).max() < 0.05


@pytest.mark.parametrize("make", optim.OPTIMIZERS.values())
def test_state_continues_bit_for_bit(make):
    rng = np.random.default_rng(0)
    a, b = Parameter(rng.normal(size=5)), Parameter(np.zeros(5))
    first, second = make([a], lr=0.1), make([b], lr=0.5)
    gradients = rng.normal(size=(6, 5))
    for gradient in gradients[:3]:
        a.grad = gradient.copy()
        first.step()
    b.data[...] = a.data
    second.load_state_dict(first.state_dict())
    for gradient in gradients[3:]:
        a.grad, b.grad = gradient.copy(), gradient.copy()
        first.step()
        second.step()
    np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("make", optim.OPTIMIZERS.values())
@pytest.mark.parametrize("begun", [False, True])
def test_averages_are_taken_by_name_in_whatever_order_they_come(make, begun):
    """Adam's moments, sorted the other way round, are not each other."""
    gradients = np.random.default_rng(0).normal(size=(4, 3))
    a, b = Parameter(np.ones(3)), Parameter(np.ones(3))
    first, second = make([a], lr=0.1), make([b], lr=0.1)
    if begun:
        b.grad = gradients[3]
        second.step()
    own = second.averages_of_all()[0] if begun else []
    for gradient in gradients[:2]:
        a.grad = gradient
        first.step()
    state = first.state_dict()
    state["averages"] = [dict(reversed(averages.items())) for averages in state["averages"]]
    second.load_state_dict(state)
    b.data[...] = a.data
    a.grad, b.grad = gradients[2], gradients[2]
    first.step(), second.step()
    assert a.data.tobytes() == b.data.tobytes()
    assert all(kept is array for kept, array in zip(own, second.averages_of_all()[0], strict=False))
    assert list(second.state[id(b)]) == list(make.averages) == list(second.state_dict()["averages"][0])


def test_groups_have_options_of_their_own():
    a, b, c = (Parameter(np.ones(2)) for _ in range(3))
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": [b]}, {"params": [c], "weight_decay": 1.0}], lr=0.25)
    for parameter in (a, b, c):
        parameter.grad = np.ones(2)
    optimizer.step()
    assert (a.data == 0.5).all() and (b.data == 0.75).all() and (c.data == 0.5).all()
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert (a.data == 0.5).all() and (b.data == 0.5).all()
    assert set(optimizer.groups[0]) == {"params", "lr", "momentum", "weight_decay", "nesterov"}
    adam = optim.Adam([{"params": [a], "betas": (0.5, 0.6)}])
    assert adam.groups[0]["betas"] == (0.5, 0.6)


def test_parameters_without_gradient_stay():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer = optim.AdamW([a, b], lr=0.1, weight_decay=1.0)
    a.grad = np.ones(2)
    optimizer.step()
    assert (b.data == 1).all() and (a.data != 1).all()


P = Parameter(np.ones(2))
REFUSALS = {
    "none": (lambda: optim.SGD([]), ValueError, "no parameters"),
    "lr": (lambda: optim.Adam([P], lr=-1), ValueError, "lr is -1, expected a finite number >= 0"),
    "lr NaN": (lambda: optim.Adam([P], lr=math.nan), ValueError, "lr is nan"),
    "lr text": (lambda: optim.Adam([P], lr="fast"), TypeError, "lr is 'fast'"),
    "lr huge": (lambda: optim.Adam([P], lr=10**400), ValueError, "lr is a whole number beyond float64, expected a finite"),
    "beta": (lambda: optim.Adam([P], betas=(0.9, 1.0)), ValueError, "beta2 is 1.0"),
    "eps": (lambda: optim.Adam([P], eps=0), ValueError, "eps is 0"),
    "momentum": (lambda: optim.SGD([P], momentum=1.5), ValueError, r"momentum is 1.5, expected a number in \[0, 1\]"),
    "nesterov": (lambda: optim.SGD([P], nesterov=True), ValueError, "momentum above 0"),
    "twice": (lambda: optim.SGD([{"params": [P]}, {"params": [P]}]), ValueError, "twice"),
    "array": (lambda: optim.SGD([np.ones(2)]), TypeError, "a ndarray, expected tensors"),
    "no gradient": (lambda: optim.SGD([Tensor([1.0])]), TypeError, "require gradients"),
    "unknown option": (lambda: optim.SGD([{"params": [P], "betas": (0, 0)}]), ValueError, "unknown optimizer option"),
    "set unknown": (lambda: optim.SGD([P]).groups[0].update(rate=1), ValueError, "unknown optimizer option 'rate'"),
    "state groups": (lambda: optim.SGD([P]).load_state_dict({"groups": [], "averages": []}), ValueError, "0 groups"),
    "state shape": (
        lambda: optim.SGD([P]).load_state_dict({"groups": [{}], "averages": [{"velocity": np.ones(3)}]}),
        ValueError, r"velocity of parameter 0 has shape \(3,\), expected \(2,\)"),
    "state lacks": (
        lambda: optim.Adam([P]).load_state_dict({"groups": [{}], "averages": [{"first": np.ones(2)}]}),
        ValueError, "optimizer state: parameter 0 lacks second"),
    "clip": (lambda: optim.clip_grad_norm_([P], 0), ValueError, "max_norm is 0"),
    "clip nothing": (lambda: optim.clip_grad_norm_([Parameter([1.0])], 1), ValueError, "no parameter with a gradient"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "said"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize(("max_norm", "factor"), [(26.0, 1.0), (6.5, 0.5), (1.3, 0.1)])
def test_clipping_by_global_norm(max_norm, factor):
    a, b = Parameter(np.zeros((1, 2))), Parameter(np.zeros(()))
    a.grad, b.grad = np.array([[3.0, 4.0]]), np.array(12.0)
    assert optim.clip_grad_norm_([a, b, Parameter([0.0])], max_norm)[0] == pytest.approx(13)
    np.testing.assert_allclose(a.grad, np.array([[3.0, 4.0]]) * factor)
    assert b.grad == pytest.approx(12 * factor)


def test_clipping_zero_gradients_changes_nothing():
    a = Parameter(np.zeros(3))
    a.grad = np.zeros(3)
    assert optim.clip_grad_norm_([a], 1.0) == 0 and (a.grad == 0).all()


def test_an_update_is_not_interrupted_half_way():
    def interrupt_then(call):
        signal.raise_signal(signal.SIGINT)
        call()

    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        interrupt_then(lambda: done.append("after the signal"))
    assert done == ["after the signal"]


@pytest.mark.parametrize(
    ("handler", "status"), [("SIG_DFL", -signal.SIGINT), ("SIG_IGN", 0), ("default_int_handler", 1)]
)
def test_ctrl_c_after_an_update_does_what_it_would_have_done(handler, status):
    """By default it ends the process; where it is ignored it stays so; Python's handler raises."""
    body = f"""
import signal
from tinynet.interrupts import uninterrupted
signal.signal(signal.SIGINT, signal.{handler})
try:
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        print("after the signal", flush=True)
except KeyboardInterrupt:
    raise SystemExit(1)
assert signal.getsignal(signal.SIGINT) == signal.{handler}
"""
    done = finished([sys.executable, "-c", body], cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (status, "after the signal\n", "")


def test_a_handler_that_was_not_set_from_python_stays(monkeypatch):
    """It could not be put back."""
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda *arguments: pytest.fail("took the handler's place"))
    with uninterrupted():
        pass


def test_blocks_within_one_another_hold_ctrl_c_until_the_outermost_ends():
    done = []

    def interrupted():
        with uninterrupted():
            with uninterrupted():
                signal.raise_signal(signal.SIGINT)
            done.append("inner")
            signal.raise_signal(signal.SIGINT)
            done.append("outer")
        done.append("after")

    with pytest.raises(KeyboardInterrupt), holding_interrupts():
        interrupted()
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_between_blocks_ctrl_c_is_heard_at_once_and_a_handler_set_meanwhile_stays():
    heard = []
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt), holding_interrupts():
            signal.raise_signal(signal.SIGINT)
        with holding_interrupts():
            signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def factors(which, steps=12, per_epoch=2, losses=()):
    optimizer = optim.SGD([Parameter([0.0])], lr=2.0)
    which.start(optimizer, 0, per_epoch, steps)
    seen = []
    for step in range(steps):
        which.apply(optimizer, step)
        seen.append(optimizer.groups[0]["lr"] / 2)
        if losses and (step + 1) % per_epoch == 0:
            which.epoch_ended(losses[step // per_epoch])
    return seen


SCHEDULES = {
    "constant": (lambda: schedule.Constant(), [1] * 12),
    "step": (lambda: schedule.StepDecay(2, 0.5), [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]),
    "exponential": (lambda: schedule.Exponential(0.5), [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 2**-4, 2**-4, 2**-5, 2**-5]),
    "cosine": (lambda: schedule.Cosine(), [(1 + math.cos(math.pi * k / 12)) / 2 for k in range(12)]),
    "coslog": (lambda: schedule.CosLog(2), [math.sin(math.pi * math.log2(1 + k / 4)) ** 2 for k in range(12)]),
    "flat_cosine": (lambda: schedule.FlatCosine(0.25, 0.1), [
        1, 1, 1, *(0.1 + 0.9 * (1 + math.cos(math.pi * k / 9)) / 2 for k in range(9))]),
    "one_cycle": (lambda: schedule.OneCycle(0.25, 10, 100), [
        0.1, 0.55, 1, *(0.01 + 0.99 * (1 + math.cos(math.pi * k / 9)) / 2 for k in range(1, 10))]),
    "warmup": (lambda: schedule.LinearWarmup(3), [0.25, 0.5, 0.75] + [1] * 9),
    "plateau": (lambda: schedule.ReduceOnPlateau(0.1, 1), [1, 1, 1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1]),
}  # fmt: skip


def test_every_schedule_has_a_table():
    assert set(SCHEDULES) == set(schedule.SCHEDULES)


@pytest.mark.parametrize(("make", "expected"), SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_follow_their_tables(make, expected):
    which = make()
    losses = [3.0, 2.0, 2.5, 2.5, 1.0, 0.5] if isinstance(which, schedule.ReduceOnPlateau) else ()
    np.testing.assert_allclose(factors(which, losses=losses), expected, rtol=1e-9, atol=1e-12)


def one_cycle(total, pct_start, div=25.0, final_div=2.5e5):
    """PyTorch's OneCycleLR: two phases, the last of which ends with the last step, however short it is."""
    ends, values = (pct_start * total - 1, total - 1), (1 / div, 1.0, 1 / final_div)
    for step in range(total):
        phase = 0 if step <= ends[0] else 1
        first, last = (0, *ends)[phase : phase + 2]
        done = (step - first) / (last - first)
        yield values[phase + 1] + (values[phase] - values[phase + 1]) * (1 + math.cos(math.pi * done)) / 2


@pytest.mark.parametrize("total", [1, 2, 3, 5, 7, 10, 20, 39, 333])
@pytest.mark.parametrize("pct_start", [0.0, 0.01, 0.04, 0.24, 0.3, 0.5001, 0.7, 0.9, 0.97, 0.999])
def test_one_cycle_is_pytorchs(total, pct_start):
    which = schedule.OneCycle(pct_start)
    found = factors(which, total)
    assert found == pytest.approx(list(one_cycle(total, pct_start)), rel=1e-12)
    assert found[-1] == which.factor(total) == pytest.approx(1 / 2.5e5)


def test_one_cycle_begins_at_its_peak_where_that_is_the_first_step():
    assert factors(schedule.OneCycle(0.1), 10)[0] == 1  # PyTorch divides by zero


def fits(which, *rows):
    """The factors of all steps, where each pair is a fit of some epochs with as many steps."""
    optimizer, seen, step, epoch = optim.SGD([Parameter([0.0])], lr=1.0), [], 0, 0
    for epochs, per_epoch in rows:
        which.start(optimizer, step, per_epoch, step + epochs * per_epoch, epoch, step)
        for _ in range(epochs * per_epoch):
            which.apply(optimizer, step)
            seen.append(optimizer.groups[0]["lr"])
            step += 1
        epoch += epochs
    return seen


@pytest.mark.parametrize(("which", "expected"), [
    (schedule.Exponential(0.5), [1] * 4 + [0.5] * 4 + [0.25] * 2 + [0.125] * 2 + [2**-4] * 3),
    (schedule.StepDecay(2, 0.5), [1] * 8 + [0.5] * 2 + [0.5] * 2 + [0.25] * 3),
    (schedule.LinearWarmup(4, schedule.Exponential(0.5)), [0.2, 0.4, 0.6, 0.8] + [1] * 4 + [0.5] * 2 + [0.25] * 2 + [0.125] * 3),
    (schedule.LinearWarmup(2, schedule.Exponential(0.5)), [1 / 3, 2 / 3] + [1] * 4 + [0.5] * 3 + [0.25] * 2 + [0.125] * 3 + [2**-4]),
    (schedule.LinearWarmup(10, schedule.Exponential(0.5)), [k / 11 for k in range(1, 11)] + [1] * 2 + [0.5] * 3),
])  # fmt: skip
def test_epochs_do_not_jump_where_they_differ_in_length(which, expected):
    assert fits(which, (2, 4), (2, 2), (1, 3)) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [3, 7, 12])
def test_a_warm_up_of_equal_epochs_counts_steps(steps):
    which, after = schedule.LinearWarmup(steps, schedule.Exponential(0.5)), schedule.Exponential(0.5)
    expected = [(k + 1) / (steps + 1) for k in range(steps)] + factors(after, 20 - steps, 4)
    assert fits(which, (2, 4), (1, 4), (2, 4)) == pytest.approx(expected)
    assert factors(schedule.LinearWarmup(steps, schedule.Exponential(0.5)), 20, 4) == pytest.approx(expected)


def test_a_warm_up_goes_on_from_its_state():
    def made():
        return schedule.LinearWarmup(2, schedule.Exponential(0.5))

    which, other = made(), made()
    fits(which, (2, 4))
    other.load_state_dict(which.state_dict())
    old = made()
    old.load_state_dict({name: value for name, value in which.state_dict().items() if name != "handover"})
    optimizer = optim.SGD([Parameter([0.0])])
    for continued, seen in ((which, [0.5, 0.25, 0.25]), (other, [0.5, 0.25, 0.25]), (old, [0.125, 0.125, 0.0625])):
        continued.start(optimizer, 8, 2, 12, 2, 8)
        assert [continued.factor(step) for step in (8, 9, 10)] == seen


def test_warm_up_hands_over():
    which = schedule.LinearWarmup(3, schedule.Cosine())
    expected = [0.25, 0.5, 0.75] + [(1 + math.cos(math.pi * k / 9)) / 2 for k in range(9)]
    np.testing.assert_allclose(factors(which), expected)


def test_plateau_state_continues():
    which, other = schedule.ReduceOnPlateau(0.5, 0), schedule.ReduceOnPlateau(0.5, 0)
    factors(which, losses=[1.0, 2.0, 3.0, 3.0, 3.0, 3.0])
    other.load_state_dict(which.state_dict())
    assert other.factor(0) == which.factor(0) < 1
    warmed, again = (schedule.LinearWarmup(1, after) for after in (which, schedule.ReduceOnPlateau(0.5, 0)))
    again.load_state_dict(warmed.state_dict())
    assert again.factor(5) == which.factor(0)


def test_a_loss_goes_down_in_a_network():
    tn.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 3)).astype(np.float32), rng.integers(0, 2, 32)
    model = nn.multilayer_perceptron(3, (8,), 2)
    optimizer, losses = optim.Adam(model.parameters(), lr=0.05), []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(Tensor(x)), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_a_plateau_is_not_lower_for_a_loss_that_is_not_finite():
    which = schedule.ReduceOnPlateau(0.5, patience=1)
    factors = []
    for loss in (math.nan, 2.0, math.nan, -math.inf, 1.0, 1.0, 1.0):
        which.epoch_ended(loss)
        factors.append(which.factor(0))
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25] and which.best == 1.0
