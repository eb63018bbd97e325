"""Tensors: PyTorch's names and meanings, gradients that accumulate, a tape that knows its limits."""

import re

import numpy as np
import pytest

import tinynet as tn
from tinynet import Tensor
from tinynet import functional as F


@pytest.fixture(autouse=True)
def on_each(backend):
    with tn.use_backend(backend):
        yield


def leaf(values, **options):
    return Tensor(np.asarray(values, float), requires_grad=True, **options)


def test_the_readme_expression():
    x, w, b = leaf([[1, -2]]), leaf([[1, 2], [3, 4]]), leaf([10, 1])
    (x @ w + b).relu().sum().backward()
    np.testing.assert_array_equal(w.grad, [[1, 0], [-2, 0]])
    np.testing.assert_array_equal(x.grad, [[1, 3]])
    np.testing.assert_array_equal(b.grad, [1, 0])


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([1, 2], np.float32), ([1.5], np.float32), (np.ones(2), np.float64), (np.ones(2, int), np.float32),
        (np.ones(2, np.float32), np.float32), (3, np.float32), (np.float64(3), np.float64), ([True], np.float32),
    ],
)  # fmt: skip
def test_dtypes(data, dtype):
    assert Tensor(data).dtype == dtype
    assert Tensor(data, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize(
    ("data", "options", "error", "said"),
    [
        (np.ones((2, 2, 2)), {}, ValueError, "3 dimensions"),
        (["a"], {}, TypeError, "expected numbers"),
        (np.ones(2, complex), {}, TypeError, "complex128"),
        ([1.0], {"dtype": np.int32}, TypeError, "int32, expected float32 or float64"),
    ],
)
def test_bad_data(data, options, error, said):
    with pytest.raises(error, match=said):
        Tensor(data, **options)


def test_data_is_shared_where_it_can_be():
    array = np.ones((2, 3))
    assert Tensor(array).data is array and Tensor(array).numpy() is array
    assert Tensor(array.T).data.flags.c_contiguous


def test_operators_take_numbers_and_arrays_on_either_side():
    x = leaf([1.0, 2.0])
    array = np.array([3.0, 5.0])
    for got, expected in [
        (x + 1, [2, 3]), (1 + x, [2, 3]), (x - 1, [0, 1]), (1 - x, [0, -1]), (2 * x, [2, 4]), (x / 2, [0.5, 1]),
        (2 / x, [2, 1]), (x**2, [1, 4]), (2**x, [2, 4]), (-x, [-1, -2]), (x + array, [4, 7]), (array * x, [3, 10]),
        (array - x, [2, 3]), (x.max(), 2), (x.mean(), 1.5), (x.sum(), 3),
    ]:  # fmt: skip
        np.testing.assert_allclose(got.numpy(), expected)
        assert isinstance(got, Tensor) and got.requires_grad


def test_gradients_accumulate_over_uses_and_calls():
    x = leaf([1.0, 2.0])
    (x * x + x).sum().backward()
    np.testing.assert_array_equal(x.grad, [3, 5])
    (x * 10).sum().backward()
    np.testing.assert_array_equal(x.grad, [13, 15])


def test_leaf_gradients_are_their_own():
    """Clipping one parameter's gradient in place must not change another's."""
    a, b, c = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([[1.0, 2.0]])
    (a + b + c.reshape(2)).sum().backward()
    a.grad *= 5
    np.testing.assert_array_equal(b.grad, [1, 1])
    np.testing.assert_array_equal(c.grad, [[1, 1]])
    x = leaf(2.0)
    x.backward()
    x.grad[...] = 9
    y = leaf(2.0)
    y.backward()
    assert y.grad == 1


def test_scalars_have_no_axes():
    x = leaf([[1.0, 2.0]])
    loss = (x.sum() * 3 + 1).exp()
    assert loss.shape == () and float(loss) == loss.item() == pytest.approx(np.exp(10))
    loss.backward()
    assert x.grad.shape == (1, 2)
    y = leaf(2.0)
    (y * y).backward()
    assert y.grad.shape == () and y.grad == 4


@pytest.mark.parametrize(
    ("data", "truth"), [(0.0, False), ([0.0], False), ([[-0.0]], False), ([2.0], True), (np.nan, True)]
)
def test_the_truth_of_one_element_is_its_values(data, truth):
    assert bool(Tensor(data)) is truth and (not Tensor(data)) is not truth
    assert bool(tn.nn.Parameter(data)) is truth


@pytest.mark.parametrize("shape", [(2,), (1, 2), (0,), (0, 3)])
def test_of_more_elements_there_is_no_truth(shape):
    with pytest.raises(
        ValueError, match=f"tensor of shape {re.escape(str(shape))} was asked for, expected one element"
    ):
        bool(Tensor(np.zeros(shape)))


def test_no_grad_records_nothing():
    x = leaf([1.0])
    with tn.no_grad():
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad and not (x.detach() * 2).requires_grad


def test_backward_needs_a_scalar_or_a_gradient():
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"shape \(2,\) needs gradient="):
        (x * 2).backward()
    (x * 2).backward([1.0, 10.0])
    np.testing.assert_array_equal(x.grad, [2, 20])
    with pytest.raises(ValueError, match="does not depend on"):
        Tensor([1.0]).sum().backward()


def test_a_graph_is_walked_once():
    x = leaf([1.0])
    loss = x.exp().sum()
    loss.backward()
    with pytest.raises(ValueError, match="second time"):
        loss.backward()


def test_a_deep_graph_meets_no_recursion_limit():
    x = leaf([1.0])
    y = x
    for _ in range(5000):
        y = y + 0.0
    y.sum().backward()
    assert x.grad == 1


@pytest.mark.parametrize(
    ("operation", "error", "said"),
    [
        (lambda x: x + np.ones(3), ValueError, r"add: shapes \(2, 2\) and \(3,\)"),
        (lambda x: x + Tensor(np.ones((2, 2), np.float32)), TypeError, "dtypes float64 and float32"),
        (lambda x: x + "1", TypeError, "operand is a str"),
        (lambda x: x @ Tensor(np.ones((3, 2))), ValueError, "matmul: b has shape"),
        (lambda x: x @ 2, TypeError, "expected Tensors"),
        (lambda x: x.sum(axis=2), ValueError, "sum: axis is 2"),
        (lambda x: x.reshape(3, 2), ValueError, r"reshape: \(2, 2\) has 4 elements"),
        (lambda x: x.reshape(1, 2, 2), ValueError, "at most two axes"),
        (lambda x: x[5], IndexError, "row 5 of a tensor with 2 rows"),
        (lambda x: x[0.5], TypeError, "rows are indexed by 0.5"),
        (lambda x: x[::2], TypeError, "expected whole slices"),
        (lambda x: F.concatenate([x, Tensor(np.ones((3, 2)))], axis=1), ValueError, "same number of rows"),
        (lambda x: F.cross_entropy(x, [0, 2]), ValueError, r"labels hold 2, expected whole numbers in \[0, 2\)"),
        (lambda x: F.cross_entropy(x, [0.5, 1]), TypeError, "expected whole numbers"),
        (lambda x: F.cross_entropy(x, [0]), ValueError, r"labels have shape \(1,\)"),
        (lambda x: F.cross_entropy(x, [0, 1], weight=np.ones(3)), ValueError, "one for each class"),
        (lambda x: F.cross_entropy(x, [0, 1], reduction="max"), ValueError, "reduction is 'max'"),
        (lambda x: F.mse_loss(x, np.ones(3)), ValueError, "target has shape"),
        (lambda x: F.huber_loss(x, np.ones((2, 2)), delta=0), ValueError, "delta is 0"),
        (lambda x: F.quantile_loss(x, np.ones((2, 2)), 1), ValueError, r"quantile is 1, expected a number in \(0, 1\)"),
        (lambda x: F.leaky_relu(x, -1), ValueError, "negative_slope is -1"),
        (lambda x: F.linear(x, x, None, "gelu"), ValueError, "activation is 'gelu'"),
    ],
)
def test_refusals(operation, error, said):
    with pytest.raises(error, match=said):
        operation(leaf([[1.0, 2.0], [3.0, 4.0]]))


def test_rows_and_columns():
    x = Tensor(np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(x[1].numpy(), [3, 4, 5])
    np.testing.assert_array_equal(x[[0, -1]].numpy(), [[0, 1, 2], [9, 10, 11]])
    np.testing.assert_array_equal(x[1:3, 1:].numpy(), [[4, 5], [7, 8]])
    np.testing.assert_array_equal(x.T.numpy(), np.arange(12.0).reshape(4, 3).T)
    np.testing.assert_array_equal(x.argmax(axis=1), [2, 2, 2, 2])
    assert len(x) == 4 and x.ndim == 2 and x.size == 12 and "Tensor(" in repr(x)


BASES = [0.0, -0.0, 1.0, 2.0, -2.0, np.inf, np.nan]
EXPONENTS = [0.0, -0.0, 0.5, 1.0, 1.5, 2.0, -1.0, -2.0, -0.5, np.inf, np.nan]


def power_gradients(x, y):
    """PyTorch's: 0 with respect to x where y = 0, and with respect to y where x = 0 <= y."""
    with np.errstate(all="ignore"):
        dx = np.where(y == 0, 0.0, y * x ** (y - 1))
        return dx, np.where((x == 0) & (y >= 0), 0.0, x**y * np.log(x))


def test_gradients_of_powers_at_the_edges():
    x, y = (np.ascontiguousarray(a) for a in np.broadcast_arrays(np.array(BASES)[:, None], EXPONENTS))
    expected, a, b = power_gradients(x, y), leaf(x), leaf(y)
    with np.errstate(all="ignore"):
        (a**b).sum().backward()
    np.testing.assert_allclose(a.grad, expected[0], rtol=1e-12)
    np.testing.assert_allclose(b.grad, expected[1], rtol=1e-12)


@pytest.mark.parametrize("number", EXPONENTS)
def test_gradients_of_powers_with_numbers(number):
    """Exponents that are numbers, arrays and Tensors without a gradient, and bases that are numbers."""
    bases = np.array(BASES)
    for exponent in (number, np.array([number]), Tensor(np.array(number))):
        x = leaf(bases)
        with np.errstate(all="ignore"):
            (x**exponent).sum().backward()
        np.testing.assert_allclose(x.grad, power_gradients(bases, np.full(7, number))[0], rtol=1e-12)
    y = leaf(EXPONENTS)
    with np.errstate(all="ignore"):
        (number**y).sum().backward()
    np.testing.assert_allclose(y.grad, power_gradients(np.full(11, number), np.array(EXPONENTS))[1], rtol=1e-12)


def test_the_gradient_of_x_to_the_0_is_0_with_broadcasting():
    x, y = leaf([[0.0, 2.0]]), leaf([0.0])
    (x**y).sum().backward()
    np.testing.assert_array_equal(x.grad, [[0, 0]])
    np.testing.assert_allclose(y.grad, [np.log(2)])


def test_losses_equal_their_definitions():
    """Against independent NumPy expressions."""
    rng = np.random.default_rng(0)
    z, t, labels = rng.normal(size=(5, 3)), rng.uniform(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    weight = np.array([1.0, 2.0, 0.5])
    nll = -np.log(p[np.arange(5), labels])
    smooth = 0.9 * nll + 0.1 * -np.log(p).mean(axis=1)
    both = 0.9 * nll * weight[labels] - 0.1 * (np.log(p) * weight).mean(axis=1)
    x = Tensor(z)
    for got, expected in [
        (F.cross_entropy(x, labels), nll.mean()),
        (F.cross_entropy(x, labels, reduction="sum"), nll.sum()),
        (F.cross_entropy(x, labels, weight), (nll * weight[labels]).sum() / weight[labels].sum()),
        (F.cross_entropy(x, labels, None, 0.1), smooth.mean()),
        (F.cross_entropy(x, labels, weight, 0.1), both.sum() / weight[labels].sum()),
        (F.mse_loss(x, t), ((z - t) ** 2).mean()),
        (F.l1_loss(x, t), np.abs(z - t).mean()),
        (F.huber_loss(x, t, 0.5), np.where(np.abs(z - t) <= 0.5, (z - t) ** 2 / 2, 0.5 * (np.abs(z - t) - 0.25)).mean()),
        (F.quantile_loss(x, t, 0.9), np.where(z < t, 0.9 * (t - z), 0.1 * (z - t)).mean()),
        (F.binary_cross_entropy_with_logits(x, t), (-t * np.log(1 / (1 + np.exp(-z))) - (1 - t) * np.log(1 - 1 / (1 + np.exp(-z)))).mean()),
        (F.poisson_nll_loss(x, t), (np.exp(z) - t * z).mean()),
    ]:  # fmt: skip
        assert got.item() == pytest.approx(expected, rel=1e-12)
