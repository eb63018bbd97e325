"""Modules: registration, modes, state, repr, and what layers refuse."""

import numpy as np
import pytest

import tinynet as tn
from tinynet import Tensor, nn
from tinynet.nn import init


@pytest.fixture(autouse=True)
def on_numpy():
    tn.manual_seed(0)
    with tn.use_backend("numpy"):
        yield


def network():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Residual(nn.Linear(6, 6)))


def x(rows=8, columns=4):
    return Tensor(np.random.default_rng(1).normal(size=(rows, columns)).astype(np.float32))


def test_parameters_and_buffers_by_path():
    model = network()
    assert [name for name, _ in model.named_parameters()] == [
        "0.weight", "0.bias", "1.weight", "1.bias", "4.inner.weight", "4.inner.bias",
    ]  # fmt: skip
    assert [name for name, _ in model.named_buffers()] == [
        "1.running_mean",
        "1.running_variance",
        "3.seed",
        "3.counter",
    ]
    assert model[0].weight.shape == (4, 6) and len(model) == 5


def test_a_shared_parameter_comes_once():
    layer = nn.Linear(3, 3)
    assert len(nn.Sequential(layer, nn.Tanh(), layer).parameters()) == 2


def test_state_goes_there_and_back():
    model, other = network(), network()
    for _ in range(3):
        model(x())
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x()).numpy(), model(x()).numpy())  # in training: dropout continues alike
    assert all(a is not b.data for a, b in zip(model.state_dict().values(), model.parameters(), strict=False))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda s: s.pop("0.weight"), ValueError, "lacks 0.weight"),
        (lambda s: s.update(extra=1), ValueError, "has unknown extra"),
        (lambda s: s.update({"0.weight": np.ones((6, 4))}), ValueError, r"0.weight has shape \(6, 4\), the model's has \(4, 6\)"),
        (lambda s: s.update({"0.bias": np.array(["a"] * 6)}), TypeError, "0.bias has dtype"),
    ],
)  # fmt: skip
def test_state_that_does_not_fit_changes_nothing(change, error, said):
    model = network()
    state, before = model.state_dict(), model.state_dict()
    state["1.weight"] = state["1.weight"] + 1
    change(state)
    with pytest.raises(error, match=said):
        model.load_state_dict(state)
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())


def test_dropout_scales_in_training_and_rests_in_evaluation():
    layer, ones = nn.Dropout(0.25), Tensor(np.ones((64, 64), np.float32))
    first, second = layer(ones).numpy(), layer(ones).numpy()
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)} and not np.array_equal(first, second)
    assert first.mean() == pytest.approx(1, abs=0.05)
    assert layer.eval()(ones) is ones and nn.Dropout(0)(ones) is ones
    tn.manual_seed(5)
    a = nn.Dropout(0.5)(ones).numpy()
    tn.manual_seed(5)
    np.testing.assert_array_equal(nn.Dropout(0.5)(ones).numpy(), a)


def test_batch_norm_tracks_what_it_sees():
    layer = nn.BatchNorm1d(4, momentum=0.5)
    data = x(64) * 3.0 + 1.0
    out = layer(data).numpy()
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(axis=0), 1, rtol=1e-3)
    np.testing.assert_allclose(layer.running_mean, data.numpy().mean(axis=0) / 2, rtol=1e-5)
    for _ in range(40):
        layer(data)
    np.testing.assert_allclose(layer.eval()(data).numpy(), out, atol=0.05)
    assert layer.eval()(x(1)).shape == (1, 4)


def test_to_converts_all_but_counters():
    model = network().to(np.float64)
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    assert model[3].seed.dtype == np.uint64 and model.to(np.float32)[3].counter.dtype == np.float64
    with pytest.raises(TypeError, match="float16"):
        model.to(np.float16)


def test_embedding_looks_up_columns():
    layer = nn.Embedding(4, 2)
    categories = np.array([[0, 3], [1, 1]])
    expected = layer.weight.data[categories].reshape(2, 4)
    for given in (categories, categories.astype(np.float32), Tensor(categories.astype(float))):
        np.testing.assert_array_equal(layer(given).numpy(), expected)
    wide = np.array([[7, 0, 3], [7, 1, 1]])
    for table in (wide, wide.astype(np.float32)):  # columns out of a wider table
        np.testing.assert_array_equal(layer(table[:, 1:]).numpy(), expected)
        np.testing.assert_array_equal(layer(table[:, 2:]).numpy(), expected[:, 2:])


def test_repr_reads_like_the_code():
    assert repr(nn.Sequential(nn.Linear(2, 3, bias=False), nn.GELU("tanh"))) == (
        "Sequential(\n  (0): Linear(2, 3, bias=False)\n  (1): GELU(approximate='tanh')\n)"
    )


REFUSALS = {
    "features": (lambda: nn.Linear(4, 2)(x(3, 5)), ValueError, r"Linear\(4, 2\) got an input of shape \(3, 5\), expected \(rows, 4\)"),
    "array": (lambda: nn.Linear(4, 2)(np.ones((3, 4))), TypeError, "got a ndarray, expected a Tensor"),
    "dtype": (lambda: nn.Linear(4, 2)(Tensor(np.ones((3, 4)))), TypeError, "float32 parameters but got a float64 input"),
    "1-D": (lambda: nn.LayerNorm(4)(Tensor(np.ones(4, np.float32))), ValueError, r"shape \(4,\)"),
    "width 0": (lambda: nn.Linear(0, 2), ValueError, "in_features is 0, expected a whole number >= 1"),
    "width float": (lambda: nn.Linear(2.5, 2), TypeError, "in_features is 2.5"),
    "dropout": (lambda: nn.Dropout(1.0), ValueError, r"p is 1.0, expected a number in \[0, 1\)"),
    "fused": (lambda: nn.Linear(2, 2, activation="relo"), ValueError, "unknown activation 'relo': did you mean 'relu'"),
    "initialiser": (lambda: nn.Linear(2, 2, initialiser="he_norm"), ValueError, "did you mean 'he_normal'"),
    "initialiser shape": (lambda: nn.Linear(2, 2, initialiser=lambda s: np.ones(3)), ValueError, r"returned shape \(3,\)"),
    "single row": (lambda: nn.BatchNorm1d(4)(x(1)), ValueError, "batch of 1 rows, expected at least 2"),
    "no module": (lambda: nn.Sequential(nn.ReLU(), np.tanh), TypeError, "item 1 is a ufunc"),
    "residual": (lambda: nn.Residual(nn.Linear(4, 5))(x()), ValueError, r"turns shape \(8, 4\) into \(8, 5\)"),
    "category": (lambda: nn.Embedding(3, 2)([0, 3]), ValueError, r"category 3, expected one in \[0, 3\)"),
    "category float": (lambda: nn.Embedding(3, 2)([0.5]), TypeError, "expected whole numbers"),
    "category NaN": (lambda: nn.Embedding(3, 2)([np.nan]), TypeError, "expected whole numbers"),
    "slope": (lambda: nn.LeakyReLU(-0.1), ValueError, "negative_slope is -0.1"),
    "smoothing": (lambda: nn.CrossEntropyLoss(label_smoothing=1), ValueError, "label_smoothing is 1"),
    "class weight": (lambda: nn.CrossEntropyLoss(weight=[1, -1]), ValueError, "weight holds negative"),
    "delta": (lambda: nn.HuberLoss(0), ValueError, "delta is 0"),
    "quantile": (lambda: nn.QuantileLoss(0.0), ValueError, r"quantile is 0.0, expected a number in \(0, 1\)"),
    "norm": (lambda: nn.multilayer_perceptron(2, (3,), 2, norm="bach"), ValueError, "did you mean 'batch'"),
    "seed": (lambda: tn.manual_seed(-1), ValueError, "seed is -1"),
    "no forward": (lambda: nn.Module()(1), NotImplementedError, "defines no forward"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "said"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_name_layer_and_shapes(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize("name", init.INITIALISERS)
def test_initialisers_have_the_moments_they_say(name):
    fan_in, fan_out = 300, 200
    values = init.INITIALISERS[name]((fan_in, fan_out)).astype(float)
    variance = {
        "zeros": 0, "ones": 0, "uniform": 1 / 12, "normal": 1, "he_uniform": 2 / fan_in, "he_normal": 2 / fan_in,
        "glorot_uniform": 2 / (fan_in + fan_out), "glorot_normal": 2 / (fan_in + fan_out),
    }[name]  # fmt: skip
    mean = {"ones": 1, "uniform": 0.5}.get(name, 0)
    assert values.shape == (fan_in, fan_out)
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert values.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / values.size) + 1e-12)


@pytest.mark.parametrize(
    "loss, name, target, said",
    [
        (loss, name, bad, said)
        for loss, name, bads in (
            (nn.BCEWithLogitsLoss(), "binary_cross_entropy_with_logits", (1.5, -0.1, np.nan, np.inf)),
            (nn.PoissonNLLLoss(), "poisson_nll_loss", (-2.0, np.nan, np.inf)),
        )
        for bad in bads
        for said in [r"numbers in \[0, 1\]" if len(bads) == 4 else "finite numbers >= 0"]
    ],
)
def test_losses_refuse_targets_that_they_have_no_value_for(loss, name, target, said):
    for wanted in (np.array([[0.5], [target]]), Tensor([[0.5], [target]]), [[target], [0.5]]):
        with pytest.raises(ValueError, match=rf"^{name}: target holds {target:g}, expected {said}$"):
            loss(x(2, 1), wanted)
    assert np.isfinite(loss(x(2, 1), np.array([[True], [False]])).item())
