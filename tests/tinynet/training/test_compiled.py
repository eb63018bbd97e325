"""Compiled steps in a user's hands: gradients of all origins, arguments of all layouts, steps within steps."""

import numpy as np
import pytest
from backends import loaded

import tinynet as tn
from tinynet import nn, optim
from tinynet.backends import running_on

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(64, 5)).astype(np.float32), RNG.integers(0, 3, 64)


class Bench:
    """A net with averages, counters and masks, and steps of several kinds."""

    def __init__(self):
        tn.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        self.loss = nn.CrossEntropyLoss()
        self.extra = nn.Parameter(np.ones(3, np.float32))
        self.parameters = [*self.model.parameters(), self.extra]
        self.optimizer = optim.Adam(self.parameters, lr=1e-2)

    def backward(self, x, labels):
        loss = self.loss(self.model(tn.Tensor(x)), labels)
        loss.backward()
        return loss

    def update(self, x, labels):
        loss = self.backward(x, labels)
        self.optimizer.step()
        return loss

    def step(self, x, labels):
        self.model.zero_grad()
        return self.update(x, labels)

    def state(self):
        averages = [a.copy() for averages in self.optimizer.averages_of_all() for a in averages]
        options = [group.hyper.copy() for group in self.optimizer.groups]
        return [a.copy() for a in self.model.state_dict().values()] + averages + options + [self.extra.data.copy()]

    def gradients(self):
        return [None if p.grad is None else p.grad.copy() for p in self.parameters]


def same(one, other):
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return one == other


def zeroed_outside_of_the_step(bench, wrap):
    """But for two calls, which add."""
    run = wrap(bench.update)
    for i in range(12):
        if i not in (5, 9):
            bench.optimizer.zero_grad()
        yield run(X[i : i + 16], LABELS[:16]).numpy().copy(), bench.gradients()


def gradients_changed_in_place(bench, wrap):
    run = wrap(bench.backward)
    for i in range(8):
        bench.model.zero_grad()
        yield run(X[i : i + 16], LABELS[:16]).numpy().copy(), bench.gradients()
        for parameter in bench.model.parameters():
            parameter.grad *= 0.5
        bench.optimizer.step()


def gradients_that_are_set(bench, wrap):
    """The step adds to arrays of the user's, which are others from the sixth call on."""
    run, given = wrap(bench.update), [np.ones_like(p.data) for p in bench.model.parameters()]
    for i in range(9):
        for parameter, gradient in zip(bench.model.parameters(), given, strict=True):
            gradient.fill(i)
            parameter.grad = gradient
        yield run(X[i : i + 16], LABELS[:16]).numpy().copy(), bench.gradients()
        if i == 5:
            given = [gradient * 2 for gradient in given]


def a_gradient_of_a_parameter_that_the_step_does_not_reach(bench, wrap):
    run = wrap(bench.step)
    for i in range(9):
        if i in (4, 5):
            bench.extra.grad = np.full(3, i, np.float32)
        if i == 7:
            bench.extra.grad = None
        yield run(X[i : i + 16], LABELS[:16]).numpy().copy(), bench.gradients()


def two_heads_of_one_model(bench, wrap):
    """Each step forgets the gradients that the other one left."""
    heads = [nn.Linear(8, 3), nn.Linear(8, 3)]
    bench.parameters = [*bench.model.parameters()[:4], *heads[0].parameters(), *heads[1].parameters()]
    optimizer = optim.Adam(bench.parameters)

    def step_of(head):
        def step(x, labels):
            optimizer.zero_grad()
            for module in bench.model.modules[:3]:
                x = module(x)
            loss = bench.loss(head(x), labels)
            loss.backward()
            optimizer.step()
            return loss

        return wrap(step)

    steps = [step_of(head) for head in heads]
    for i in range(12):
        yield steps[i % 3 > 0](tn.Tensor(X[:16]), LABELS[:16]).numpy().copy(), bench.gradients()


def a_compiled_step_within_another(bench, wrap):
    within = wrap(bench.step)
    run = wrap(lambda x, labels: within(x, labels))
    for i in range(8):
        yield run(X[i : i + 16], LABELS[:16]).numpy().copy(), bench.state()
        if i == 4:
            bench.loss.label_smoothing = 0.3


def a_step_that_calls_itself(bench, wrap):
    def step(x, labels):
        if len(x) > 8:
            known[0](x[:8], labels[:8])
        return bench.step(x, labels)

    known = [wrap(step)]
    for i in range(8):
        yield known[0](X[i : i + 16], LABELS[:16]).numpy().copy(), bench.state()


def an_exception_in_the_middle(bench, wrap):
    raising = [False]

    def step(x, labels):
        bench.model.zero_grad()
        loss = bench.backward(x, labels)
        if raising[0]:
            raise RuntimeError("in the middle")
        bench.optimizer.step()
        return loss

    run = wrap(step)
    for i in range(10):
        raising[0] = i in (1, 6)
        if raising[0]:
            with pytest.raises(RuntimeError, match="in the middle"):
                run(X[:16], LABELS[:16])
        else:
            yield run(X[:16], LABELS[:16]).numpy().copy(), bench.state()


def two_compiled_steps_and_eager_ones_in_turn(bench, wrap):
    steps = [wrap(bench.step), wrap(lambda x, labels: bench.step(x, labels)), bench.step]
    for i in range(15):
        yield steps[i % 3](X[i : i + 16], LABELS[:16]).numpy().copy(), bench.gradients()


def arguments_that_are_written(bench, wrap):
    x = X[:16].copy()

    def step(x, labels):
        loss = bench.step(x, labels)
        tn.current_backend().multiply(x, 0.5, out=x)
        return loss

    run = wrap(step)
    for _ in range(6):
        yield run(x, LABELS[:16]).numpy().copy(), x.copy()


def numbers_of_numpy_and_arguments_by_name(bench, wrap):
    def step(x, labels, mode="mean", factor=1.0):
        bench.model.zero_grad()
        loss = bench.loss(bench.model(tn.Tensor(x)), labels) * float(factor) * (2 if mode == "sum" else 1)
        loss.backward()
        bench.optimizer.step()
        return loss

    run = wrap(step)
    for i in range(10):
        calls = [run(X[:16], LABELS[:16], factor=np.float32(2)), run(x=X[:16], labels=LABELS[:16], mode="sum")]
        yield [call.numpy().copy() for call in (*calls, run(X[:16], LABELS[:16], "mean", np.int64(i % 2)))]


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize(
    "use",
    [
        zeroed_outside_of_the_step,
        gradients_changed_in_place,
        gradients_that_are_set,
        a_gradient_of_a_parameter_that_the_step_does_not_reach,
        two_heads_of_one_model,
        a_compiled_step_within_another,
        a_step_that_calls_itself,
        an_exception_in_the_middle,
        two_compiled_steps_and_eager_ones_in_turn,
        arguments_that_are_written,
        numbers_of_numpy_and_arguments_by_name,
    ],
)
def test_as_without_compile(use, name):
    with running_on(loaded(name)):
        found = [(list(use(bench, wrap)), bench.state()) for wrap in (lambda f: f, tn.compile) for bench in [Bench()]]
    assert same(found[0], found[1])


def test_gradients_that_are_always_added_to_are_refused():
    bench = Bench()
    run = tn.compile(bench.update)

    def often():
        for _ in range(8):
            run(X[:16], LABELS[:16])

    with pytest.raises(tn.NotReplayable, match=r"adds to gradients that were there before the step: call zero_grad"):
        often()


def test_without_gradients_it_is_refused_as_in_an_eager_call():
    bench = Bench()
    run = tn.compile(bench.step)
    for _ in range(4):
        run(X[:16], LABELS[:16])
    with tn.no_grad(), pytest.raises(ValueError, match="does not depend on any tensor with requires_grad"):
        run(X[:16], LABELS[:16])


@pytest.mark.parametrize("dtype", [np.float16, ">f4", ">f8", np.longdouble])
def test_arguments_of_other_float_dtypes(dtype):
    found = []
    for wrap in (lambda f: f, tn.compile):
        bench = Bench()
        run = wrap(bench.step)
        found.append([run((X[:16] + i).astype(dtype), LABELS[:16]).item() for i in range(6)])
    assert found[0] == found[1]


def test_dtypes_of_whole_numbers_mean_what_they_mean():
    """A mask stays a mask, and what int64 does not hold is not wrapped."""
    seen, weight = [], nn.Parameter(np.ones(3, np.float32))

    @tn.compile
    def step(given):
        weight.grad = None
        seen.append(given)
        loss = weight.sum()
        loss.backward()
        return loss

    for given in (np.array([True, False]), np.array([2**64 - 1], np.uint64), np.array([3], ">i2")):
        step(given)
        assert np.array_equal(seen[-1], given) and (given.dtype.kind != "b" or seen[-1].dtype == bool)


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("layout", ["columns", "strided", "read-only"])
def test_what_is_written_to_an_argument_arrives(layout, name):
    weight = nn.Parameter(np.ones(5, np.float32))

    @tn.compile
    def step(x):
        weight.grad = None
        loss = (weight * tn.Tensor(x)).sum()
        loss.backward()
        tn.current_backend().multiply(x, 0.5, out=x)
        return loss

    x = {"columns": np.asfortranarray(X[:4]), "strided": np.repeat(X[:4], 2, axis=1)[:, ::2]}.get(layout, X[:4].copy())
    before = x.copy()
    x.flags.writeable = layout != "read-only"
    with running_on(loaded(name)):
        for i in range(5):
            if layout == "read-only":
                for writeable in (np.ones((4, 5), np.float32), x):
                    if writeable is x:
                        with pytest.raises(ValueError, match="read-only"):
                            step(x)
                    else:
                        step(writeable)
                assert np.array_equal(x, before)
            else:
                step(x)
                assert np.array_equal(x, before * 0.5 ** (i + 1))


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_refused_call_leaves_averages_and_counters(name):
    bench, bad = Bench(), LABELS[:16].copy()
    bench.state()  # makes averages
    run = tn.compile(bench.step)
    bad[15] = 3
    with running_on(loaded(name)):
        for _ in range(4):
            run(X[:16], LABELS[:16])
        before = bench.state()
        for _ in range(2):
            with pytest.raises(ValueError, match="hold 3, expected whole numbers in"):
                run(X[:16], bad)
            assert same(bench.state(), before)
        run(X[:16], LABELS[:16])
