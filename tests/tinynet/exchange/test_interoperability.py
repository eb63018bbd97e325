"""Weights from scikit-learn and PyTorch: the same predictions."""

import warnings

import numpy as np
import pytest
from refusals import said
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

import tinynet as tn
from tinynet import Tensor, nn
from tinynet import functional as F


@pytest.fixture(autouse=True)
def on_numpy():
    tn.manual_seed(0)
    with tn.use_backend("numpy"):
        yield


# ---- scikit-learn ---------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(60, 4))
CLASSES = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.4, 0.4])]


def fitted(estimator, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.set_params(max_iter=3, random_state=0).fit(X, y)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)])
def test_a_regressor_predicts_the_same(activation, hidden):
    for y in (X[:, 0], X[:, :2]):
        estimator = fitted(MLPRegressor(hidden_layer_sizes=hidden, activation=activation), X, y)
        model = tn.from_sklearn(estimator)
        np.testing.assert_allclose(
            model(Tensor(X)).numpy().reshape(y.shape), estimator.predict(X), rtol=1e-12, atol=1e-13
        )


@pytest.mark.skipif("loss" not in MLPRegressor().get_params(), reason="scikit-learn 1.7 brought the Poisson loss")
def test_a_regressor_of_counts_has_the_logarithm_of_its_prediction():
    estimator = fitted(MLPRegressor(loss="poisson", hidden_layer_sizes=(7,)), X, np.abs(X[:, 0]))
    got = F.exp(tn.from_sklearn(estimator)(Tensor(X))).numpy()
    np.testing.assert_allclose(got[:, 0], estimator.predict(X), rtol=1e-12)


@pytest.mark.parametrize(
    ("y", "probabilities"),
    [(CLASSES, F.softmax), (CLASSES == "a", F.sigmoid), (X[:, :3] > 0, F.sigmoid)],
    ids=["three classes", "two classes", "several labels"],
)
def test_a_classifier_has_the_same_probabilities(y, probabilities):
    estimator = fitted(MLPClassifier(hidden_layer_sizes=(7,)), X, y)
    got = probabilities(tn.from_sklearn(estimator)(Tensor(X))).numpy()
    expected = estimator.predict_proba(X)
    if got.shape[1] == 1:
        expected = expected[:, 1:]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_the_logits_name_the_classes_in_order():
    estimator = fitted(MLPClassifier(hidden_layer_sizes=(7,)), X, CLASSES)
    best = tn.from_sklearn(estimator)(Tensor(X)).numpy().argmax(1)
    np.testing.assert_array_equal(estimator.classes_[best], estimator.predict(X))


def test_float32_stays_float32_and_weights_are_copies():
    x = X.astype(np.float32)
    estimator = fitted(MLPRegressor(hidden_layer_sizes=(7,)), x, x[:, 0])
    model = tn.from_sklearn(estimator)
    output = model(Tensor(x)).numpy()
    assert output.dtype == np.float32
    np.testing.assert_allclose(output[:, 0], estimator.predict(x), rtol=1e-5, atol=1e-6)
    model[0].weight.data[...] = 0
    assert estimator.coefs_[0].any()
    assert repr(model[0]) == "Linear(4, 7, activation='relu')" and repr(model[1]) == "Linear(7, 1)"


def test_what_is_no_fitted_perceptron_is_refused():
    assert "LogisticRegression" in said(lambda: tn.from_sklearn(LogisticRegression()), TypeError)
    assert "MLPClassifier is not fitted" in said(lambda: tn.from_sklearn(MLPClassifier()))


# ---- PyTorch --------------------------------------------------------------------------------------------------------


def network():
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Sequential(nn.Linear(6, 3, bias=False)), nn.LayerNorm(3)
    )  # fmt: skip


def arrays():
    """A state_dict as PyTorch's network of this kind has it."""
    rng = np.random.default_rng(1)
    return {
        "0.weight": rng.normal(size=(6, 4)), "0.bias": rng.normal(size=6),
        "1.weight": rng.normal(size=6), "1.bias": rng.normal(size=6),
        "1.running_mean": rng.normal(size=6), "1.running_var": rng.uniform(0.5, 2, 6), "1.num_batches_tracked": np.array(7),
        "4.0.weight": rng.normal(size=(3, 6)),
        "5.weight": rng.normal(size=3), "5.bias": rng.normal(size=3),
    }  # fmt: skip


def test_arrays_made_by_hand():
    model, given = network().to("float64").eval(), arrays()
    assert tn.from_torch_state_dict(model, given) is model
    x = np.random.default_rng(2).normal(size=(5, 4))
    h = x @ given["0.weight"].T + given["0.bias"]
    h = (h - given["1.running_mean"]) / np.sqrt(given["1.running_var"] + 1e-5) * given["1.weight"] + given["1.bias"]
    h = np.maximum(h, 0) @ given["4.0.weight"].T
    h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-5) * given["5.weight"] + given["5.bias"]
    np.testing.assert_allclose(model(Tensor(x)).numpy(), h, rtol=1e-12)


def test_a_model_keeps_its_dtype_its_masks_and_its_arrays():
    model = network()
    before, parameters = model.state_dict(), [parameter.data for parameter in model.parameters()]
    given = arrays()
    del given["1.num_batches_tracked"]  # old files have none
    tn.from_torch_state_dict(model, given)
    after = model.state_dict()
    assert all(parameter.data is array for parameter, array in zip(model.parameters(), parameters, strict=True))
    assert after["3.seed"] == before["3.seed"] and all(after[name].dtype == before[name].dtype for name in before)
    assert after["0.weight"].flags.c_contiguous


def test_embedding_and_a_layer_alone():
    weight = np.arange(12.0).reshape(4, 3)
    model = tn.from_torch_state_dict(nn.Embedding(4, 3), {"weight": weight})
    np.testing.assert_array_equal(model([2, 0]).numpy(), weight[[2, 0]])
    linear = tn.from_torch_state_dict(nn.Linear(4, 3, bias=False), {"weight": weight.T})
    np.testing.assert_array_equal(linear.weight.numpy(), weight)


class Scale(nn.Module):
    def __init__(self):
        self.scale = nn.Parameter(np.ones(3))


class Unreadable:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy.\nUse Tensor.cpu().")


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        (lambda s: s.pop("0.weight"), ValueError, "arrays lacks 0.weight"),
        (lambda s: s.update({"9.weight": 1}), ValueError, "arrays has unknown 9.weight"),
        (lambda s: s.update({"4.0.bias": np.ones(3)}), ValueError, "has unknown 4.0.bias"),
        (lambda s: s.update({"0.num_batches_tracked": 1}), ValueError, "has unknown 0.num_batches_tracked"),
        (lambda s: s.update({"0.weight": np.ones((4, 6))}), ValueError, "0.weight has shape (4, 6), expected (6, 4), (out, in)"),
        (lambda s: s.update({"5.bias": np.ones(4)}), ValueError, "5.bias has shape (4,), expected (3,)"),
        (lambda s: s.update({"5.bias": np.array(["a"] * 3)}), TypeError, "5.bias has dtype <U1, expected numbers"),
        (lambda s: s.update({"5.bias": [1, [2, 3]]}), TypeError, "5.bias is a list that NumPy cannot read"),
        (lambda s: s.update({"5.bias": Unreadable()}), TypeError, "5.bias is a Unreadable that NumPy cannot read"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_change_nothing(change, error, expected):
    model, given = network(), arrays()
    before = model.state_dict()
    change(given)
    assert expected in said(lambda: tn.from_torch_state_dict(model, given), error)
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_pytorch_has_not_is_refused():
    model = nn.Sequential(nn.Linear(4, 3), Scale())
    assert "1.scale is a parameter of a Scale" in said(lambda: tn.from_torch_state_dict(model, {}), TypeError)
    assert "model is a str" in said(lambda: tn.from_torch_state_dict("a model", {}), TypeError)
    assert "arrays is a list" in said(lambda: tn.from_torch_state_dict(network(), []), TypeError)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pytorch_predicts_the_same(dtype):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Dropout(0.5),
        torch.nn.Sequential(torch.nn.Linear(6, 3, bias=False)), torch.nn.LayerNorm(3),
    ).to(getattr(torch, dtype))  # fmt: skip
    x = np.random.default_rng(3).normal(size=(8, 4)).astype(dtype)
    theirs(torch.from_numpy(x))  # moves the running averages
    expected = theirs.eval()(torch.from_numpy(x)).detach().numpy()
    for given in (theirs.state_dict(), {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}):
        model = tn.from_torch_state_dict(network().to(dtype).eval(), given)
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(model(Tensor(x)).numpy(), expected, rtol=tolerance, atol=tolerance)


def test_tensors_that_numpy_cannot_read_are_refused():
    torch = pytest.importorskip("torch")
    model = nn.Linear(4, 3)
    for weight in (torch.ones(3, 4, requires_grad=True), torch.ones(3, 4, dtype=torch.bfloat16)):
        message = said(lambda: tn.from_torch_state_dict(model, {"weight": weight, "bias": np.ones(3)}), TypeError)  # noqa: B023
        assert "weight is a" in message and "tensor.detach().cpu().float().numpy()" in message
