"""Gradient transformations against their formulas, eagerly and in recorded steps; accumulation against whole batches."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import Tensor, nn, optim
from tinynet import functional as F
from tinynet.nn import Parameter
from tinynet.optim import Accumulate, ClipNorm, ClipValue, apply_transformations
from tinynet.optim.transformations import checked_transforms

SHAPES = (3, 4), (4,), ()


@pytest.fixture(autouse=True)
def on_each(backend):
    with tn.use_backend(backend):
        yield


def parameters(seed=0, shapes=SHAPES):
    """Parameters with gradients, and copies of these."""
    rng = np.random.default_rng(seed)
    made = [Parameter(rng.normal(size=shape)) for shape in shapes]
    for parameter in made:
        parameter.grad = np.asarray(3 * rng.normal(size=parameter.shape))
    return made, [parameter.grad.copy() for parameter in made]


def noise_to_signal(gradients):
    return [g * 0.5 + F.tanh(g) for g in gradients]


def norm(gradients):
    return np.sqrt(sum((g**2).sum() for g in gradients))


FORMULAS = {
    "norm": (ClipNorm(1.5), lambda gs: [g * min(1, 1.5 / norm(gs)) for g in gs]),
    "large norm": (ClipNorm(1e6), lambda gs: gs),
    "value": (ClipValue(0.7), lambda gs: [np.clip(g, -0.7, 0.7) for g in gs]),
    "function": (noise_to_signal, lambda gs: [g * 0.5 + np.tanh(g) for g in gs]),
}


@pytest.mark.parametrize(("transform", "formula"), FORMULAS.values(), ids=FORMULAS)
def test_formulas(transform, formula):
    params, before = parameters()
    assert apply_transformations([transform], [*params, Parameter([1.0])])
    for parameter, expected in zip(params, formula(before), strict=True):
        assert parameter.grad.shape == parameter.shape
        np.testing.assert_allclose(parameter.grad, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_norm_is_clipped_with_the_bits_of_clip_grad_norm(dtype):
    (params, _), (others, _) = parameters(), parameters()
    for parameter in params + others:
        parameter.data, parameter.grad = parameter.data.astype(dtype), np.asarray(parameter.grad, dtype)
    optim.clip_grad_norm_(params, 0.3)
    apply_transformations([ClipNorm(0.3)], others)
    for parameter, other in zip(params, others, strict=True):
        np.testing.assert_array_equal(parameter.grad, other.grad)


def test_they_run_in_order():
    for order, factor in [
        ((ClipValue(1.0), noise_to_signal), 0.5 + np.tanh(1)),
        ((noise_to_signal, ClipValue(1.0)), 1),
    ]:
        parameter = Parameter([5.0], np.float64)
        parameter.grad = np.array([5.0])
        apply_transformations(order, [parameter])
        np.testing.assert_allclose(parameter.grad, [factor])


def test_nan_is_not_clipped_away():
    parameter = Parameter(np.zeros(2))
    parameter.grad = np.array([np.nan, 9.0])
    apply_transformations([ClipValue(1.0)], [parameter])
    np.testing.assert_array_equal(parameter.grad, [np.nan, 1.0])


def test_what_a_function_keeps_is_not_written():
    kept = Tensor(np.full((2,), 8.0))
    a, b = Parameter(np.zeros(2)), Parameter(np.zeros(2))
    a.grad, b.grad = np.ones(2), np.ones(2)
    apply_transformations([lambda gradients: [kept, kept], ClipNorm(1.0)], [a, b])
    np.testing.assert_array_equal(kept.data, [8, 8])
    np.testing.assert_allclose([*a.grad, *b.grad], 0.5)


def test_without_gradients_there_is_nothing_to_do():
    parameter = Parameter([1.0])
    assert apply_transformations([ClipNorm(1.0), noise_to_signal], [parameter])
    assert parameter.grad is None


X = np.random.default_rng(1).normal(size=(24, 5))
Y = np.random.default_rng(2).integers(0, 3, 24)
LOSS = nn.CrossEntropyLoss()


def model(seed=3):
    tn.manual_seed(seed)
    return nn.multilayer_perceptron(5, (6,), 3).to(np.float64)


def trained(net, transforms, parts, optimizer=optim.AdamW, rounds=3):
    """Weights after some rounds over the rows, in so many parts."""
    optimizer, rows = optimizer(net.parameters(), lr=0.05), len(X) // parts
    for _ in range(rounds):
        for part in range(parts):
            batch = slice(part * rows, (part + 1) * rows)
            optimizer.zero_grad()
            LOSS(net(Tensor(X[batch])), Y[batch]).backward()
            if apply_transformations(transforms, net.parameters(), last=part == parts - 1):
                optimizer.step()
    return [parameter.data for parameter in net.parameters()]


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("rest", [(), (ClipNorm(0.1),)], ids=["alone", "then clipped"])
def test_accumulating_is_a_larger_batch(parts, rest):
    whole = trained(model(), rest, 1)
    for found, expected in zip(trained(model(), (Accumulate(parts), *rest), parts), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_what_comes_before_accumulation_is_done_to_each_batch():
    parameter, accumulate = Parameter(np.zeros(2)), Accumulate(2)
    for gradient, last in [([5.0, 0.5], False), ([-9.0, 0.25], True)]:
        parameter.grad = np.array(gradient)
        assert apply_transformations([ClipValue(1.0), accumulate], [parameter], last) is last
        assert last or parameter.grad is None
    np.testing.assert_array_equal(parameter.grad, [0.0, 0.375])
    assert not accumulate.arrays()[0].any()


def test_a_parameter_reached_by_some_batches_has_their_sum_over_all():
    params, accumulate = [Parameter(np.zeros(1)) for _ in range(4)], Accumulate(2)
    for gradients, last in [((1.0, None, 4.0, None), False), ((None, 2.0, 8.0, None), True)]:
        for parameter, gradient in zip(params, gradients, strict=True):
            parameter.grad = None if gradient is None else np.array([gradient])
        apply_transformations([accumulate], params, last)
    assert [None if p.grad is None else p.grad.item() for p in params] == [0.5, 1.0, 6.0, None]
    params[0].requires_grad, params[0].grad = False, None
    apply_transformations([accumulate], params)
    assert params[0].grad is None


def test_accumulation_goes_on_from_its_state():
    def batch(params, accumulate, seed, last):
        for parameter, gradient in zip(params, parameters(seed)[1], strict=True):
            parameter.grad = gradient
        apply_transformations([accumulate], params, last)

    (params, _), (others, _), accumulate, other = parameters(), parameters(), Accumulate(3), Accumulate(3)
    batch(params, accumulate, 1, False)
    other.begin(others)
    arrays = other.arrays()
    other.load_state_dict(accumulate.state_dict())
    assert all(a is b for a, b in zip(other.arrays(), arrays, strict=True))
    for seed, last in ((2, False), (3, True)):
        batch(params, accumulate, seed, last)
        batch(others, other, seed, last)
    for parameter, again in zip(params, others, strict=True):
        np.testing.assert_array_equal(parameter.grad, again.grad)


def test_other_parameters_begin_anew():
    accumulate, (params, _), (others, _) = Accumulate(2), parameters(), parameters(shapes=((2,),))
    accumulate.begin(params)
    before = accumulate.arrays()
    accumulate.begin(list(params))
    assert accumulate.arrays() is before
    accumulate.begin(others)
    assert [array.shape for array in accumulate.arrays()] == [(2,)]
    params[0].data = params[0].data.astype(np.float32)
    accumulate.begin(params)
    assert accumulate.arrays()[0].dtype == np.float32


@pytest.mark.parametrize("transforms", [
    [ClipValue(0.01)], [ClipNorm(0.05)], [noise_to_signal], [Accumulate(1)],
    [noise_to_signal, Accumulate(1), ClipNorm(0.05)],
])  # fmt: skip
def test_replayed_steps_have_the_bits_of_eager_ones(transforms):
    def step_of(net, optimizer):
        def step(x, y):
            optimizer.zero_grad()
            loss = LOSS(net(Tensor(x)), y)
            loss.backward()
            apply_transformations(transforms, net.parameters())
            optimizer.step()
            optimizer.zero_grad()
            return loss

        return step

    nets = model(), model()
    steps = [step_of(net, optim.Adam(net.parameters(), lr=0.01)) for net in nets]
    for i, step in enumerate([steps[0], tn.compile(steps[1])]):
        for _ in range(5):
            step(X, Y)
        assert i == 0 or step.program is not None
    for eager, replayed in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        np.testing.assert_array_equal(eager.data, replayed.data)


def test_both_kinds_of_accumulating_steps_replay():
    def net_and_steps(compiled):
        net, accumulate = model(), Accumulate(2)
        optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.5)

        def step(x, y, last):
            optimizer.zero_grad()
            loss = LOSS(net(Tensor(x)), y)
            loss.backward()
            if apply_transformations([accumulate], net.parameters(), last):
                optimizer.step()
            optimizer.zero_grad()
            return loss

        return net, tn.compile(step) if compiled else step

    results = []
    for compiled in (False, True):
        net, step = net_and_steps(compiled)
        for i in range(12):
            step(X[i : i + 12], Y[i : i + 12], bool(i % 2))
        results.append([parameter.data for parameter in net.parameters()])
    for eager, replayed in zip(*results, strict=True):
        np.testing.assert_array_equal(eager, replayed)


P = Parameter(np.ones(2))
REFUSALS = {
    "norm": (lambda: ClipNorm(0), ValueError, "max_norm is 0, expected a finite number > 0"),
    "value": (lambda: ClipValue(-1), ValueError, "limit is -1"),
    "batches": (lambda: Accumulate(0), ValueError, "batches is 0, expected a whole number >= 1"),
    "class": (lambda: checked_transforms([ClipNorm]), TypeError, "transforms holds the class ClipNorm"),
    "number": (lambda: checked_transforms([1.0]), TypeError, "transforms holds 1.0, expected functions"),
    "two": (lambda: checked_transforms([Accumulate(2), Accumulate(3)]), ValueError, "holds 2 Accumulate"),
    "nothing": (lambda: with_gradient(lambda gs: None), TypeError, "<lambda> returned a NoneType, expected a list"),
    "arrays": (lambda: with_gradient(lambda gs: [g.data for g in gs]), TypeError, "a list of ndarray, expected a list of T"),
    "fewer": (lambda: with_gradient(lambda gs: []), ValueError, "returned 0 gradients, expected 1"),
    "shape": (
        lambda: with_gradient(lambda gs: [g.sum() for g in gs]), ValueError,
        r"shape and dtype \(\(\), 'float64'\), expected \(\(2,\), 'float64'\)"),
    "state": (lambda: Accumulate(2).load_state_dict({"sums": [np.ones(2)], "reached": [True]}), ValueError, "accumulated"),
}  # fmt: skip


def with_gradient(transform):
    P.grad = np.ones(2)
    apply_transformations([transform], [P])


@pytest.mark.parametrize(("call", "error", "said"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, error, said):
    with pytest.raises(error, match=said):
        call()
