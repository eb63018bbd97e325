"""Adam counts updates per parameter, as PyTorch does: late, missing and last gradients; recorded, saved, continued."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import Tensor, optim
from tinynet.checkpoints.checkpoint import contents
from tinynet.nn import Module, Parameter

ADAMS = [optim.Adam, optim.AdamW]
# Which parameters have a gradient in which step: a late first one, one that pauses, one that has none, one that always.
PATTERN = np.array([
    [0, 0, 0, 1, 1, 1, 1, 0, 1],
    [1, 1, 0, 1, 0, 0, 1, 1, 1],
    [0, 0, 0, 0, 0, 0, 0, 0, 0],
    [1, 1, 1, 1, 1, 1, 1, 1, 1],
], bool)  # fmt: skip


@pytest.fixture(autouse=True)
def on_each(backend):
    with tn.use_backend(backend):
        yield


def textbook(weights, gradients, pattern, decoupled, rates, betas=(0.9, 0.999), eps=1e-8, decay=0.1):
    """Each parameter's Adam, with a count of its own. rates: one a step."""
    weights = [w.copy() for w in weights]
    for w, own, having in zip(weights, gradients, pattern, strict=True):
        m, s, t = np.zeros_like(w), np.zeros_like(w), 0
        for g, has, lr in zip(own, having, rates, strict=True):
            if not has:
                continue
            t += 1
            if decoupled:
                w *= 1 - lr * decay
            else:
                g = g + decay * w
            m = betas[0] * m + (1 - betas[0]) * g
            s = betas[1] * s + (1 - betas[1]) * g**2
            w -= lr * m / (1 - betas[0] ** t) / (np.sqrt(s / (1 - betas[1] ** t)) + eps)
    return weights


def problem(seed=0, steps=PATTERN.shape[1]):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(4, 3)), rng.normal(size=(4, steps, 3))


def update(optimizer, params, gradients, pattern, t):
    for parameter, own, having in zip(params, gradients, pattern, strict=True):
        parameter.grad = own[t].copy() if having[t] else None
    optimizer.step()


def made(make, weights, groups=False):
    params = [Parameter(w) for w in weights]
    entries = [{"params": params[:2]}, {"params": params[2:]}] if groups else params
    return make(entries, lr=0.1, weight_decay=0.1), params


@pytest.mark.parametrize("make", ADAMS)
@pytest.mark.parametrize("groups", [False, True])
def test_each_parameter_counts_its_own_updates(make, groups):
    weights, gradients = problem()
    optimizer, params = made(make, weights, groups)
    rates = [0.1 * 0.9**t for t in range(PATTERN.shape[1])]
    for t, rate in enumerate(rates):
        for group in optimizer.groups:
            group["lr"] = rate  # heard by all, whoever counts
        update(optimizer, params, gradients, PATTERN, t)
    expected = textbook(weights, gradients, PATTERN, make is optim.AdamW, rates)
    for parameter, w in zip(params, expected, strict=True):
        np.testing.assert_allclose(parameter.data, w, rtol=1e-11)


@pytest.mark.parametrize("make", ADAMS)
def test_who_has_always_had_gradients_shares_the_groups_array(make):
    weights, gradients = problem()
    optimizer, params = made(make, weights)
    for t in range(4):
        update(optimizer, params, gradients, np.ones_like(PATTERN), t)
    assert optimizer.own_steps() == [None] * 4 and optimizer.groups[0]["step"] == 4
    assert all(optimizer.hyper(p, optimizer.groups[0]) is optimizer.groups[0].hyper for p in params)
    assert len(optimizer.arrays()) == 1 + 2 * 4


def test_a_step_without_gradients_is_none():
    weights, gradients = problem()
    optimizer, params = made(optim.Adam, weights)
    update(optimizer, params, gradients, np.zeros_like(PATTERN), 0)
    assert optimizer.groups[0]["step"] == 0 and optimizer.own_steps() == [None] * 4


def test_arrays_and_counters_name_all_that_steps_write():
    weights, gradients = problem()
    optimizer, params = made(optim.AdamW, weights, groups=True)
    update(optimizer, params, gradients, PATTERN, 0)
    before = [array.copy() for array in optimizer.arrays()]
    kept = optimizer.arrays()
    data = [parameter.data.copy() for parameter in params]
    update(optimizer, params, gradients, PATTERN, 3)
    for array, copy in zip(kept, before, strict=True):
        array[...] = copy
    assert [array[place] for array, place in optimizer.counters()] == [1, 1, 0, 0]
    for parameter, copy in zip(params, data, strict=True):
        parameter.data[...] = copy
    update(optimizer, params, gradients, PATTERN, 3)
    again, others = made(optim.AdamW, weights, groups=True)
    update(again, others, gradients, PATTERN, 0)
    update(again, others, gradients, PATTERN, 3)
    for parameter, other in zip(params, others, strict=True):
        np.testing.assert_array_equal(parameter.data, other.data)


def test_a_parameter_that_joins_late_begins_at_one():
    weights, gradients = problem()
    optimizer, params = made(optim.Adam, weights[:2])
    ones = np.ones_like(PATTERN[:2])
    for t in range(2):
        update(optimizer, params, gradients[:2], ones, t)
    late = Parameter(weights[2])
    optimizer.groups[0].params.append(late)
    optimizer.averages_of_all()
    late.grad = gradients[2, 0].copy()
    update(optimizer, params, gradients[:2], ones, 2)
    expected = textbook(weights[2:3], gradients[2:3, :1], [[True]], False, [0.1])
    np.testing.assert_allclose(late.data, expected[0], rtol=1e-11)


def test_one_that_was_taken_out_for_a_while_counts_on():
    weights, gradients = problem()
    optimizer, params = made(optim.Adam, weights)
    for t in range(6):
        optimizer.groups[0].params = params[:3] if t in (2, 3) else params
        update(optimizer, params, gradients, np.ones_like(PATTERN), t)
    having = np.array([[True] * 6] * 3 + [[True, True, False, False, True, True]])
    expected = textbook(weights, gradients[:, :6], having, False, [0.1] * 6)
    for parameter, w in zip(params, expected, strict=True):
        np.testing.assert_allclose(parameter.data, w, rtol=1e-11)


@pytest.mark.parametrize("cut", [1, 2, 4, 8])
@pytest.mark.parametrize("file", [False, True])
def test_counts_are_saved(tmp_path, cut, file):
    weights, gradients = problem()
    (whole, expected), (first, params), (second, others) = (made(optim.AdamW, weights, groups=True) for _ in range(3))
    steps = PATTERN.shape[1]
    for t in range(steps):
        update(whole, expected, gradients, PATTERN, t)
    for t in range(cut):
        update(first, params, gradients, PATTERN, t)
    for t in range(3):  # what was counted here must not matter
        update(second, others, gradients, ~PATTERN, t)
    for own, other in zip(params, others, strict=True):
        other.data[...] = own.data
    if file:
        tn.save_checkpoint(tmp_path / "optimizer.safetensors", first)
        tn.load_checkpoint(tmp_path / "optimizer.safetensors", second)
    else:
        second.load_state_dict(first.state_dict())
    for t in range(cut, steps):
        update(second, others, gradients, PATTERN, t)
    for own, other in zip(expected, others, strict=True):
        np.testing.assert_array_equal(own.data, other.data)


def test_a_state_without_own_counts_has_the_groups_count():
    """Without counts of parameters: those with averages had all updates, those without had none."""
    weights, gradients = problem()
    optimizer, params = made(optim.Adam, weights)
    always = np.array([[False] * 9] + [[True] * 9] * 3)
    for t in range(3):
        update(optimizer, params, gradients, always, t)
    state = optimizer.state_dict()
    del state["steps"]
    again, others = made(optim.Adam, [parameter.data for parameter in params])
    again.load_state_dict(state)
    assert again.own_steps() == [0.0, None, None, None]
    for t in range(3, 6):
        update(optimizer, params, gradients, np.ones_like(always), t)
        update(again, others, gradients, np.ones_like(always), t)
    for own, other in zip(params, others, strict=True):
        np.testing.assert_array_equal(own.data, other.data)


def test_without_own_counts_a_checkpoint_holds_the_groups_alone(tmp_path):
    weights, gradients = problem()
    optimizer, params = made(optim.Adam, weights)
    update(optimizer, params, gradients, np.ones_like(PATTERN), 0)
    names = contents(optimizer)[0].keys()
    assert names == {"optimizer.group.0"} | {f"optimizer.{i}.{name}" for i in range(4) for name in ("first", "second")}


@pytest.mark.parametrize(("steps", "said"), [
    ([None], "counts the steps of 1 parameters, expected 4"), ([None, -1.0, None, None], "step is -1.0"),
])  # fmt: skip
def test_bad_counts_are_refused(steps, said):
    optimizer, _ = made(optim.Adam, problem()[0])
    with pytest.raises(ValueError, match=said):
        optimizer.load_state_dict(optimizer.state_dict() | {"steps": steps})


class Heads(Module):
    """Two heads of one body; a step trains one of them."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.body, self.one, self.other = (Parameter(rng.normal(size=(3, 3))) for _ in range(3))

    def forward(self, x, one):
        return (x @ self.body).tanh() @ (self.one if one else self.other)


@pytest.mark.parametrize("make", ADAMS)
def test_recorded_steps_count_as_eager_ones(make):
    x = np.random.default_rng(1).normal(size=(8, 3))
    found = []
    for compiled in (False, True):
        heads = Heads()
        optimizer = make(heads.parameters(), lr=0.1)

        def step(x, one, heads=heads, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (heads(Tensor(x), one) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = tn.compile(step) if compiled else step
        for one in [True] * 5 + [False] * 4 + [True, False] * 3:
            run(x, one)
        counts = [float(array[place]) for array, place in optimizer.counters()]
        found.append([*(parameter.data for parameter in heads.parameters()), np.array(counts)])
    for eager, replayed in zip(*found, strict=True):
        np.testing.assert_array_equal(eager, replayed)
    assert found[0][-1].tolist() == [15, 8, 7]


class Spare(Module):
    """A network with a parameter that no output depends on, as the first of its parameters."""

    def __init__(self):
        self.spare, self.inner = Parameter(np.ones((2, 2), np.float32)), tn.nn.Linear(3, 2)

    def forward(self, x):
        return self.inner(x)


def test_a_trainer_with_a_parameter_that_is_never_reached_goes_on(tmp_path, backend):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(20, 3)), rng.integers(0, 2, 20)

    def made():
        tn.manual_seed(0)
        net = Spare()
        optimizer = optim.AdamW(net.parameters(), lr=0.1)
        return tn.Trainer(net, tn.nn.CrossEntropyLoss(), optimizer, backend=backend, progress=False)

    whole, first, second, eager = (made() for _ in range(4))
    eager.compile = eager._stepper.compiles = False
    for run in (whole, eager):
        run.fit(x, labels, epochs=4, batch_size=8)
    first.fit(x, labels, epochs=2, batch_size=8)
    tn.save_checkpoint(tmp_path / "run.safetensors", first)
    second.fit(x, labels, epochs=1, batch_size=8)  # its recorded steps must not stay in force
    tn.load_checkpoint(tmp_path / "run.safetensors", second)
    second.fit(x, labels, epochs=2, batch_size=8)
    for run in (second, eager):
        for name, array in whole.model.state_dict().items():
            np.testing.assert_array_equal(run.model.state_dict()[name], array)
    assert [float(array[place]) for array, place in second.optimizer.counters()] == [12, 0]
    assert (second.model.spare.data == 1).all()
