"""Words that one reaches for: comparisons, clip, std, stack, one_hot, dropout; as NumPy and PyTorch mean them."""

import operator

import numpy as np
import pytest

import tinynet as tn
from tinynet import Tensor, nn, optim
from tinynet import functional as F

A = np.array([[1.0, -2.0, 0.0], [np.nan, np.inf, -np.inf]])
B = np.array([[1.0, 3.0, -0.0], [np.nan, np.inf, np.nan]])
COMPARED = {
    operator.gt: F.greater, operator.lt: F.less, operator.ge: F.greater_equal, operator.le: F.less_equal,
    operator.eq: F.equal, operator.ne: F.not_equal,
}  # fmt: skip


@pytest.fixture(autouse=True)
def on_each(backend):
    with tn.use_backend(backend):
        yield


@pytest.mark.parametrize("compare", COMPARED, ids=lambda compare: compare.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_comparisons_are_numpys(compare, dtype):
    a, b = A.astype(dtype), B.astype(dtype)
    for left, right in [(Tensor(a), Tensor(b)), (Tensor(a), 1.0), (1.0, Tensor(b)), (Tensor(a), b), (a, Tensor(b)),
                        (Tensor(a), Tensor(b[0])), (Tensor(a[:, :1]), Tensor(b))]:  # fmt: skip
        values = [each.data if isinstance(each, Tensor) else each for each in (left, right)]
        found = compare(left, right)
        assert found.dtype == np.dtype(dtype) and not found.requires_grad
        np.testing.assert_array_equal(found.data, compare(*values).astype(dtype))
        np.testing.assert_array_equal(COMPARED[compare](left, right).data, found.data)


def test_tensors_have_identity_too():
    x, y = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    assert len({x, y, x}) == 2 and {x: 1}[x] == 1
    assert (x == None) is False and (x != "x") is True  # noqa: E711
    assert bool((x == y).mean() == 1.0) and (Tensor(2.0) > 1) and not (Tensor(2.0) < 1)
    with pytest.raises(ValueError, match="the truth of a tensor"):
        bool(x == y)


def test_comparisons_pass_no_gradient():
    x = Tensor([1.0, -2.0], requires_grad=True)
    ((x > 0) * x).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0]


def test_a_recorded_step_compares_anew(backend):
    """A compiled step with comparisons, where and clip gives an eager one's bits, whatever it is given."""
    random = np.random.default_rng(0)
    losses = []
    for compiles in (True, False):
        weight = nn.Parameter(np.array([0.5, -1.0, 2.0]))
        optimizer = optim.SGD([weight], lr=0.1)

        def step(x, weight=weight, optimizer=optimizer):
            optimizer.zero_grad()
            y = x * weight
            loss = (F.where(y > x, y, y * y) * (y != 0) + (y.clip(-1, 1) + y.abs()) * (y >= 1)).std()
            loss.backward()
            optimizer.step()
            return loss

        run = tn.compile(step) if compiles else step
        losses.append([run(Tensor(random.normal(size=(4, 3)))).item() for _ in range(6)])
        random = np.random.default_rng(0)
    assert losses[0] == losses[1] and len(set(losses[0])) == 6


def test_clip():
    values = np.array([-np.inf, -1.0, 0.5, 3.0, np.inf, np.nan])
    np.testing.assert_array_equal(Tensor(values).clip(-1, 2).data, np.clip(values, -1, 2))
    np.testing.assert_array_equal(Tensor(values).clamp(min=0).data, np.maximum(values, 0))
    for wrong, sentence in [((), "both None"), ((2, 1), "expected min <= max"), (("a",), "min is 'a'")]:
        with pytest.raises((ValueError, TypeError), match=sentence):
            Tensor(values).clip(*wrong)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("ddof", [0, 1])
def test_std_and_var_are_numpys(axis, ddof):
    values = np.random.default_rng(0).normal(size=(4, 5))
    for name in ("std", "var"):
        for keepdims in (False, True):
            expected = getattr(np, name)(values, axis=axis, ddof=ddof, keepdims=keepdims)
            found = getattr(Tensor(values), name)(axis=axis, ddof=ddof, keepdims=keepdims)
            np.testing.assert_allclose(found.data, expected, rtol=1e-12)
            assert found.shape == expected.shape
    with pytest.raises(ValueError, match="ddof is 5"):
        Tensor(values).std(0, ddof=5)


def test_stack_and_concatenate_are_numpys():
    a, b = np.arange(3.0), np.arange(3.0, 6)
    for axis in (0, 1, -1, -2):
        np.testing.assert_array_equal(F.stack([Tensor(a), Tensor(b)], axis).data, np.stack([a, b], axis))
    np.testing.assert_array_equal(F.stack([Tensor(1.0), Tensor(2.0)]).data, [1, 2])
    np.testing.assert_array_equal(F.concatenate([Tensor(a), Tensor(b)]).data, np.concatenate([a, b]))
    table = np.arange(6.0).reshape(2, 3)
    for axis in (0, 1, -1):
        found = F.concatenate([Tensor(table), Tensor(table)], axis)
        np.testing.assert_array_equal(found.data, np.concatenate([table, table], axis))
    assert F.concatenate([Tensor(table), Tensor(table)]).shape == (4, 3)
    for wrong in ([], [Tensor(a), Tensor(table)], [Tensor(table), Tensor(table[:, :2])], [Tensor(1.0)]):
        with pytest.raises(ValueError, match="concatenate: shapes are"):
            F.concatenate(wrong)
    with pytest.raises(ValueError, match="stack: shapes are"):
        F.stack([Tensor(a), Tensor(table)])
    with pytest.raises(ValueError, match="axis is 2"):
        F.concatenate([Tensor(table)], 2)


def test_one_hot():
    for labels in ([2, 0, 1], np.array([2, 0, 1], np.int32), Tensor([2.0, 0.0, 1.0])):
        np.testing.assert_array_equal(F.one_hot(labels).data, np.eye(3)[[2, 0, 1]])
    assert F.one_hot([1], 4, dtype="float64").dtype == np.float64 and F.one_hot([1], num_classes=4).shape == (1, 4)
    assert F.one_hot([], 3).shape == (0, 3)
    for wrong in ([3], [-1], [0.5], Tensor([7.0])):
        with pytest.raises((ValueError, TypeError), match=r"one_hot: label"):
            F.one_hot(wrong, 3)


def test_dropout_without_a_seed():
    x = Tensor(np.ones((50, 40)))
    tn.manual_seed(5)
    first, second = F.dropout(x, 0.25).data, F.dropout(x, 0.25).data
    tn.manual_seed(5)
    assert (F.dropout(x, 0.25).data == first).all() and (first != second).any()
    assert set(np.unique(first)) == {0.0, 1 / 0.75} and 0.7 < (first > 0).mean() < 0.8
    assert F.dropout(x, training=False) is x and F.dropout(x, p=0) is x
    with pytest.raises(ValueError, match="p is 1"):
        F.dropout(x, 1)


def test_a_replayed_step_draws_new_masks_that_manual_seed_sets(backend):
    class Dropping(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(3, 1)

        def forward(self, x):
            return self.linear(F.dropout(x, 0.5, self.training))

    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    found = []
    for compiles in (True, False):
        tn.manual_seed(1)
        model = Dropping()
        trainer = tn.Trainer(
            model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), backend, compile=compiles, progress=False
        )
        losses = trainer.fit(x, x[:, :1], epochs=2, batch_size=8).step_loss
        tn.manual_seed(7)
        found.append(losses + trainer.fit(x, x[:, :1], epochs=1, batch_size=8).step_loss)
    assert found[0] == found[1] and len(set(found[0])) == 24
