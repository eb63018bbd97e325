"""Weights and biases that begin from data."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import Tensor, nn
from tinynet import functional as F

X = np.random.default_rng(0).normal(3, 5, (400, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def on_numpy():
    tn.manual_seed(0)
    with tn.use_backend("numpy"):
        yield


@pytest.mark.parametrize("parametrisation", ["standard", "ntk"])
def test_every_unit_varies_and_bends_within_the_data(parametrisation):
    layers = [nn.Linear(6, 50, parametrisation=parametrisation), nn.ReLU(), nn.Dropout(0.5), nn.Linear(50, 40)]
    model = nn.Sequential(nn.Scale(6), nn.Sequential(*layers), nn.Residual(nn.Linear(40, 40)))
    nn.initialise_from_data(model, X)
    assert all(module.training for _, module in model.named_modules())
    model.eval()
    hidden = model[1][1](model[1][0](Tensor(X)))
    for layer, x in [(layers[0], Tensor(X)), (layers[3], hidden), (model[2].inner, layers[3](hidden))]:
        products = F.matmul(x, layer.weight).numpy()
        np.testing.assert_allclose(products.std(axis=0), 1, rtol=1e-3)
        kinks = -layer.bias.data
        assert (products.min(axis=0) < kinks).all() and (kinks < products.max(axis=0)).all()
        assert len(np.unique(kinks)) > 30


def test_a_bias_is_a_mean_of_so_many_products():
    products = np.random.default_rng(1).normal(2, 1, (300, 2000))
    one, five, many = (nn.init.bias_from_data(products, points) for points in (1, 5, 200))
    assert (products == -one).any(axis=0).all()
    # The mean square of 5 shares, uniform on the simplex, is 2 / (5 * 6) each.
    assert five.std() == pytest.approx(np.sqrt(5 * 2 / 30), rel=0.05) and five.mean() == pytest.approx(-2, abs=0.05)
    assert many.std() < 0.15


def test_what_has_no_spread_keeps_its_weights():
    layer = nn.Linear(6, 3, bias=False)
    before = layer.weight.data.copy()
    nn.initialise_from_data(layer, np.full((20, 6), 0.3))
    np.testing.assert_array_equal(layer.weight.data, before)


def test_the_same_seed_begins_alike():
    found = []
    for _ in range(2):
        tn.manual_seed(3)
        model = nn.multilayer_perceptron(6, (8, 8), 2, dropout=0.3, norm="batch").to(np.float64)
        nn.initialise_from_data(model, X)
        found.append(model.state_dict())
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
    assert not found[0]["1.running_mean"].any()  # data pass in evaluation mode


@pytest.mark.parametrize(
    ("X", "points", "said"),
    [
        (X[:0], 5, r"X has shape \(0, 6\), expected \(rows, features\)"),
        (X[0], 5, r"X has shape \(6,\)"),
        (X, 0, "points is 0"),
        (X[:, :5], 5, "shapes|shape"),
    ],
)
def test_refusals(X, points, said):
    with pytest.raises(ValueError, match=said):
        nn.initialise_from_data(nn.Linear(6, 3), X, points)
