"""Every differentiable function and layer passes a float64 gradient check on every backend; a wrong one does not."""

import numpy as np
import pytest
from backends import loaded
from gradient_cases import FUNCTIONS, LAYERS

import tinynet as tn
from tinynet import Tensor, nn
from tinynet import functional as F
from tinynet.tensor import result

NOT_DIFFERENTIABLE = {
    "argmax", "equal", "greater", "greater_equal", "less", "less_equal", "not_equal", "one_hot",
}  # fmt: skip
NOT_LAYERS = {
    "Module",
    "Parameter",
    "ModuleList",
    "ModuleDict",
    "Embedding",
}  # Embedding has a test of its own: its input is no tensor


def test_every_function_has_a_row():
    assert set(FUNCTIONS) == set(F.__all__) - NOT_DIFFERENTIABLE


def test_every_layer_has_a_row():
    classes = {name for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Module)}
    losses = {name for name in classes if name.endswith("Loss")}  # their functions have rows
    assert set(LAYERS) == classes - losses - NOT_LAYERS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_gradients(backend, name):
    with tn.use_backend(backend):
        for case, row in FUNCTIONS[name].items():
            try:
                assert tn.gradcheck(row.function, row.inputs())
            except Exception as error:
                raise AssertionError(f"{name}[{case}]: {error}") from error


@pytest.mark.parametrize("name", LAYERS)
def test_layer_gradients(backend, name):
    """With respect to the input and every parameter."""
    tn.manual_seed(3)
    layer = LAYERS[name]().to(np.float64)
    x = Tensor(np.random.default_rng(0).uniform(0.1, 2, (5, 4)), requires_grad=True)

    def forward(x, *parameters):
        for _, module in layer.named_modules():
            if isinstance(module, nn.Dropout):
                module.counter[:] = 0
        return layer(x)

    with tn.use_backend(backend):
        assert tn.gradcheck(forward, [x, *layer.parameters()])


def test_embedding_gradients(backend):
    tn.manual_seed(0)
    layer = nn.Embedding(5, 3).to(np.float64)
    categories = np.array([[0, 4], [4, 2], [4, 4]])
    with tn.use_backend(backend):
        assert tn.gradcheck(lambda weight: layer(categories), [layer.weight])


@pytest.mark.parametrize("error", [1e-3, -1e-3, 0.1])
def test_a_wrong_gradient_is_caught(error):
    """Wrong by 0.1 %, were it in a single element."""
    x = Tensor(np.linspace(1, 2, 6).reshape(2, 3), requires_grad=True)

    def off(x, where):
        y = loaded("numpy").exp(x.data)
        factor = np.ones_like(y)
        factor[where] += error
        return result(y, (x,), lambda g: (g * y * factor,))

    with tn.use_backend("numpy"):
        for where in [(0, 0), (1, 2), ...]:
            with pytest.raises(AssertionError, match="backward gives"):
                tn.gradcheck(lambda x, where=where: off(x, where), [x])


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("reshape", "take", "concatenate")])
def test_a_gradient_kernel_wrong_by_a_thousandth_is_caught(name):
    """Whichever function it is behind."""
    row = next(iter(FUNCTIONS[name].values()))

    def scaled(*inputs):
        output = row.function(*inputs)
        return result(output.array, (output,), lambda g: (g * 1.001,), output.shape)

    inputs = row.inputs()
    with tn.use_backend("numpy"), pytest.raises(AssertionError, match="backward gives"):
        tn.gradcheck(scaled, inputs)


def test_gradcheck_refuses_float32():
    with pytest.raises(ValueError, match="float32, expected float64"):
        tn.gradcheck(F.exp, [Tensor(np.ones(3, np.float32), requires_grad=True)])


def test_gradcheck_leaves_gradients_and_values_alone():
    x = Tensor(np.ones(3), requires_grad=True)
    x.grad = np.full(3, 7.0)
    with tn.use_backend("numpy"):
        tn.gradcheck(F.exp, [x])
    assert (x.data == 1).all() and (x.grad == 7).all()
