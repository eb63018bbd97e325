"""What is no plain array: views with strides as inputs and as gradients, strided constants, tables without rows."""

import numpy as np
import pytest
from gradient_cases import FUNCTIONS

import tinynet as tn
from tinynet import Tensor, nn
from tinynet import functional as F

ROWS = [(name, case) for name, rows in FUNCTIONS.items() for case in rows]
# Their rows make arrays each time.
NEW_ARRAYS = {
    "dropout", "batch_norm", "batch_norm_inference", "cross_entropy", "take", "embedding",
    "binary_cross_entropy_with_logits",
}  # fmt: skip


@pytest.fixture(autouse=True)
def on_each(backend):
    with tn.use_backend(backend):
        yield


def inside(values):
    """A leaf whose middle columns are the values, and the view of these."""
    values = values.reshape(values.shape if values.ndim == 2 else (-1, 1))
    leaf = Tensor(np.pad(values, ((0, 1), (1, 2)), constant_values=9.0), requires_grad=True)
    return leaf, slice(0, values.shape[0]), slice(1, 1 + values.shape[1])


def weighed(output):
    """A scalar whose gradient reaches the output as columns of a table."""
    table = output if output.ndim == 2 else output.reshape(-1, 1)
    beside = Tensor(WEIGHTS[: len(table), -1:])
    wide = F.concatenate([beside, table, beside, beside], axis=1)
    return (wide * WEIGHTS[: len(table), : wide.shape[1]]).sum()


WEIGHTS = np.random.default_rng(0).normal(size=(12, 20))


def of_views(row):
    """The leaves around the row's inputs, and the function of them."""
    inputs = [(tensor.shape, *inside(tensor.data)) for tensor in row.inputs()]

    def function():
        return weighed(row.function(*(leaf[rows, columns].reshape(shape) for shape, leaf, rows, columns in inputs)))

    return inputs, function


@pytest.mark.parametrize(("name", "case"), ROWS)
def test_functions_take_views_and_strided_gradients(name, case):
    row = FUNCTIONS[name][case]
    plain, (inputs, function) = row.inputs(), of_views(row)
    expected = weighed(row.function(*plain))
    found = function()
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    expected.backward(), found.backward()
    for tensor, (_, leaf, rows, columns) in zip(plain, inputs, strict=True):
        np.testing.assert_allclose(leaf.grad[rows, columns].reshape(tensor.shape), tensor.grad, rtol=1e-12)
        leaf.grad[rows, columns] = 0
        assert not leaf.grad.any()


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, case in ROWS if name not in NEW_ARRAYS])
def test_recorded_steps_take_views(name, case):
    inputs, function = of_views(FUNCTIONS[name][case])

    def step():
        for _, leaf, _, _ in inputs:
            leaf.grad = None
        loss = function()
        loss.backward()
        return loss

    eager = step().item()
    grads = [leaf.grad.copy() for _, leaf, _, _ in inputs]
    replayed = tn.compile(step)
    assert [replayed().item() for _ in range(4)] == [eager] * 4
    for (_, leaf, _, _), grad in zip(inputs, grads, strict=True):
        np.testing.assert_array_equal(leaf.grad, grad)


def test_a_column_becomes_a_row_that_kernels_take():
    x = Tensor(np.arange(12.0).reshape(4, 3), requires_grad=True)
    column = x[:, 1:2].reshape(4)
    np.testing.assert_array_equal(column.numpy(), [1, 4, 7, 10])
    assert column.data.flags.c_contiguous
    (column * column).sum().backward()
    np.testing.assert_array_equal(x.grad[:, 1], [2, 8, 14, 20])


STRIDED = {
    "column": lambda table: table[:4, 2],
    "back to front": lambda table: table[3::-1, 2],
    "every other": lambda table: table[:8:2, :8:2],
    "transposed": lambda table: table[:4, :4].T,
    "mirrored": lambda table: table[:4, 3::-1],
    "block": lambda table: table[2:6, 3:7],
    "number": lambda table: table[1, 1, ...],
    "repeated": lambda table: np.broadcast_to(table[:1, :1], (4, 4)),
}


@pytest.mark.parametrize("view", STRIDED.values(), ids=STRIDED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("use", ["operand", "tensor", "target"])
def test_strided_constants_live_on(view, dtype, use):
    """They are read where they are: a recorded step computes with what they hold when it is replayed."""
    table = np.random.default_rng(0).normal(size=(9, 9)).astype(dtype)
    constant, weight = view(table), nn.Parameter(np.arange(16, dtype=np.float32).reshape(4, 4))

    def step(x):
        weight.grad = None
        y = Tensor(x) @ weight
        if use == "target" and constant.shape == y.shape:
            loss = F.mse_loss(y, constant)
        else:
            loss = (y * (Tensor(constant, dtype=np.float32) if use == "tensor" else constant)).sum()
        loss.backward()
        return loss

    x, replayed = np.ones((4, 4), np.float32), tn.compile(step)
    for change in range(5):
        table[...] += change
        expected = step(x).item()
        gradient = weight.grad.copy()
        assert replayed(x).item() == expected
        np.testing.assert_array_equal(weight.grad, gradient)
    assert replayed.program is not None


# ---- no rows --------------------------------------------------------------------------------------------------------

NONE = {
    "list": lambda x: x[[]],
    "array": lambda x: x[np.zeros(0, np.int64)],
    "mask": lambda x: x[np.zeros(4, bool)],
    "slice": lambda x: x[2:2],
    "end": lambda x: x[4:],
}
OF_NONE = {
    "sum": lambda z: (z * z).sum(),
    "sums of columns": lambda z: z.sum(axis=0).sum(),
    "sums of rows": lambda z: z.sum(axis=1).sum(),
    "means of rows": lambda z: z.mean(axis=1).sum(),
    "largest of rows": lambda z: z.max(axis=1).sum(),
    "product": lambda z: (z @ PARAMETER).relu().sum(),
    "layer": lambda z: F.linear(z, PARAMETER, Tensor(TWO), "tanh").sum(),
    "broadcast": lambda z: (z + PARAMETER[:, 0:1].reshape(3)).sum(),
    "scaled": lambda z: (z * PARAMETER[0:1, 0:1]).sum(),
    "turned": lambda z: (z.T.reshape(-1) * 2.0).sum(),
    "in columns": lambda z: F.concatenate([z, z.softmax()], axis=1).sum(),
    "of none": lambda z: z[0:0].sum(),
    "normalised": lambda z: F.layer_norm(z, Tensor(WEIGHTS[0, :3]), Tensor(WEIGHTS[0, :3])).sum(),
    "cross entropy": lambda z: F.cross_entropy(z, NO_LABELS),
    "weighted": lambda z: F.cross_entropy(z, NO_LABELS, CLASSES),
    "smoothed": lambda z: F.cross_entropy(z, NO_LABELS, CLASSES, 0.1),
    "each": lambda z: F.cross_entropy(z, NO_LABELS, reduction="none").sum(),
    "squares": lambda z: F.mse_loss(z, NO_TARGETS),
}
PARAMETER, TWO, CLASSES = nn.Parameter(np.ones((3, 2))), np.ones(2), np.array([1.0, 2.0, 0.5])
NO_LABELS, NO_TARGETS = np.zeros(0, np.int64), np.zeros((0, 3))


@pytest.mark.parametrize("select", NONE.values(), ids=NONE)
@pytest.mark.parametrize("use", OF_NONE.values(), ids=OF_NONE)
def test_no_rows_are_rows(select, use):
    """Sums over nothing are 0, and so is every gradient."""
    x = Tensor(np.arange(12.0).reshape(4, 3), requires_grad=True)
    PARAMETER.grad = None
    loss = use(select(x)) + (x * 0.0).sum()
    assert loss.item() == 0
    loss.backward()
    np.testing.assert_array_equal(x.grad, np.zeros((4, 3)))
    assert PARAMETER.grad is None or not PARAMETER.grad.any()


def test_the_mean_of_nothing_is_no_number():
    x = Tensor(np.ones((4, 3)), requires_grad=True)
    loss = x[2:2].mean()
    assert np.isnan(loss.item())
    loss.backward()
    np.testing.assert_array_equal(x.grad, np.zeros((4, 3)))
    assert np.isnan(x[2:2].mean(axis=0).numpy()).all()


def test_the_largest_of_nothing_and_no_classes_are_refused():
    x = Tensor(np.ones((4, 3)))
    for call, said in [
        (lambda: x[2:2].max(), "expected at least one element along axis None"),
        (
            lambda: F.cross_entropy(x[:, 1:1], np.zeros(4, np.int64)),
            r"logits have shape \(4, 0\), expected \(rows, classes\)",
        ),
    ]:
        with pytest.raises(ValueError, match=said):
            call()


@pytest.mark.parametrize("use", OF_NONE.values(), ids=OF_NONE)
def test_recorded_steps_take_no_rows(use):
    weight = nn.Parameter(np.ones((4, 3)))

    @tn.compile
    def step():
        weight.grad = PARAMETER.grad = None
        loss = use(weight[2:2]) + (weight * weight).sum()
        loss.backward()
        return loss

    assert [step().item() for _ in range(4)] == [12] * 4
    np.testing.assert_array_equal(weight.grad, np.full((4, 3), 2.0))
