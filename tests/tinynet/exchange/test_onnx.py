"""ONNX files compute what the network computes."""

import sys

import numpy as np
import pytest
from children import ENVIRONMENT, finished, python
from refusals import said

import tinynet as tn
from tinynet import Tensor, nn
from tinynet.exchange.onnx.layers import RULES
from tinynet.exchange.onnx.protobuf import LARGEST
from tinynet.functional.layers import FROM_OUTPUT

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def tolerance(model, dtype):
    """GELU's erf is of float32 in float64 models as well."""
    exact_gelu = any(
        isinstance(module, nn.GELU) and module.approximate == "none" for _, module in model.named_modules()
    )
    return 1e-5 if dtype == "float32" else 1e-6 if exact_gelu else 1e-10


@pytest.fixture(autouse=True)
def on_numpy():
    tn.manual_seed(0)
    with tn.use_backend("numpy"):
        yield


class Scaled(nn.Sequential):
    """A user's network: a subclass that computes as its base does."""

    def __init__(self, width):
        super().__init__(nn.Linear(width, 3), nn.ReLU())
        self.width = width


class Doubling(nn.Module):
    def forward(self, x):
        return x + x


class Reversed(nn.Sequential):
    def forward(self, x):
        for module in reversed(self.modules):
            x = module(x)
        return x


def shared():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer)


# Each takes 5 columns.
MODELS = {
    "linear": lambda: nn.Linear(5, 3),
    "linear without bias": lambda: nn.Sequential(nn.Linear(5, 3, bias=False)),
    **{f"linear {name}": lambda name=name: nn.Linear(5, 3, activation=name) for name in FROM_OUTPUT},
    "batch norm": lambda: nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 2)),
    "layer norm": lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 2)),
    "wide epsilon": lambda: nn.Sequential(nn.LayerNorm(5, eps=0.5), nn.BatchNorm1d(5, eps=0.25)),
    "dropout": lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)),
    **{name: lambda make=make: nn.Sequential(nn.Linear(5, 5), make()) for name, make in nn.ACTIVATIONS.items()},
    "leaky relu": lambda: nn.Sequential(nn.Linear(5, 5), nn.LeakyReLU(0.3)),
    "elu of 0.7": lambda: nn.Sequential(nn.Linear(5, 5), nn.ELU(0.7)),
    "gelu tanh": lambda: nn.Sequential(nn.Linear(5, 5), nn.GELU("tanh")),
    "softmax": lambda: nn.Sequential(nn.Linear(5, 5), nn.Softmax()),
    "log softmax": lambda: nn.Sequential(nn.Linear(5, 5), nn.LogSoftmax()),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(5, 4), nn.SiLU()), nn.Sequential(), nn.Linear(4, 2)),
    "residual": lambda: nn.Sequential(
        nn.Residual(nn.Sequential(nn.Linear(5, 5), nn.ReLU())), nn.Residual(nn.Dropout())
    ),
    "scale": lambda: nn.Sequential(nn.Scale(5), nn.Linear(5, 3, parametrisation="ntk")),
    "pbld": lambda: nn.Sequential(nn.PBLD(5, frequencies=3, units=3), nn.Linear(15, 2)),
    "table input": lambda: nn.Sequential(nn.TableInput(5, numeric=nn.PBLD(3)), nn.Linear(14, 2)),
    "parametric": lambda: nn.Sequential(nn.Linear(5, 4), nn.Parametric("mish", 4), nn.Parametric(nn.ELU(0.5), 4)),
    "monotone": lambda: nn.Sequential(nn.Monotone(5), nn.Linear(5, 1), nn.Monotone(1)),
    "shared layer": shared,
    "subclass": lambda: Scaled(5),
    "perceptron": lambda: nn.multilayer_perceptron(5, (16, 8), 3, "gelu", dropout=0.2, norm="batch"),
    "perceptron of layer norms": lambda: nn.multilayer_perceptron(5, (16, 8), 3, "elu", norm="layer"),
}


def randomised(model, dtype):
    """Parameters and statistics as after training, none 0 or 1."""
    rng, state = np.random.default_rng(3), model.to(dtype).state_dict()
    for name, array in state.items():
        if array.dtype == dtype and not name.endswith("counter"):
            state[name] = rng.uniform(0.5, 2, array.shape) if "variance" in name else rng.normal(size=array.shape)
    model.load_state_dict(state)
    return model


def inputs(dtype, rows=9):
    x = np.random.default_rng(4).normal(0, 3, (rows, 5)).astype(dtype)
    x[0] = [-60, -1e-3, 0, 1e-3, 60]
    return x


def run(path, x, names=("output",)):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    got = session.run(list(names), {"input": x})
    return got[0] if len(got) == 1 else got


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_the_file_computes_what_the_model_computes(name, dtype, tmp_path):
    model, path = randomised(MODELS[name](), dtype), tmp_path / "model.onnx"
    tn.export_onnx(model, path, input_features=5)
    onnx.checker.check_model(path, full_check=True)
    model.eval()
    limit = tolerance(model, dtype)
    for x in (inputs(dtype), inputs(dtype, rows=1)):  # the batch axis is dynamic
        expected = model(Tensor(x)).numpy()
        got = run(path, x)
        assert got.dtype == expected.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=limit, atol=limit)


EMBEDDINGS = {
    "alone": lambda: nn.Embedding(7, 4),
    "first": lambda: nn.Sequential(nn.Sequential(nn.Embedding(7, 4)), nn.Linear(8, 3), nn.Tanh()),
    "wrapped": lambda: nn.Sequential(nn.Identity(), nn.Embedding(7, 4)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_categories_are_whole_numbers(name, dtype, tmp_path):
    model, path = EMBEDDINGS[name]().to(dtype), tmp_path / "model.onnx"
    tn.export_onnx(model, path, input_features=None if name == "first" else 2)
    onnx.checker.check_model(path, full_check=True)
    categories = np.array([[0, 6], [3, 3], [5, 1]])
    got = run(path, categories.astype(dtype) if name == "wrapped" else categories)
    expected = model(Tensor(categories.astype(dtype)) if name == "wrapped" else categories).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("numeric", [None, 2])
def test_codes_beside_numbers(numeric, dtype, tmp_path):
    numeric = nn.PBLD(numeric, frequencies=3) if numeric else None
    model = nn.Sequential(nn.TableInput(3, [4, 7], [2, 5], numeric), nn.Linear(10 + 6 * (numeric is not None), 2)).to(
        dtype
    )
    tn.export_onnx(model, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    x = np.concatenate([inputs(dtype)[:, 2:], [[i % 4, i % 7] for i in range(9)]], axis=1).astype(dtype)
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x), model(Tensor(x)).numpy(), rtol=1e-5, atol=1e-5)


def test_every_module_of_nn_is_exported_or_refused_by_name(tmp_path):
    """A new one must get a rule and a case, or a place among the losses."""
    kinds = {type(module) for make in [*MODELS.values(), *EMBEDDINGS.values()] for _, module in make().named_modules()}
    assert set(RULES) <= kinds
    public = {value for value in vars(nn).values() if isinstance(value, type) and issubclass(value, nn.Module)}
    refused = {kind for kind in public if kind.__module__ == "tinynet.nn.losses"} | {nn.ModuleList, nn.ModuleDict}
    assert public - refused - {nn.Module} == set(RULES)
    for kind in refused:
        message = said(lambda: tn.export_onnx(nn.Sequential(nn.Linear(5, 3), kind()), tmp_path / "x"), TypeError)  # noqa: B023
        assert f"{kind.__name__} at '1' cannot be written as ONNX" in message


@pytest.mark.parametrize("model", [nn.Identity(), nn.ReLU(), nn.Sequential()])
def test_a_model_without_parameters_is_of_float32(model, tmp_path):
    tn.export_onnx(model, tmp_path / "model.onnx", input_features=5)
    x = inputs("float32")
    np.testing.assert_array_equal(run(tmp_path / "model.onnx", x), model(Tensor(x)).numpy())


@pytest.mark.parametrize(("output", "last"), [("softmax", nn.Softmax()), ("sigmoid", nn.Sigmoid())])
def test_probabilities_may_be_the_output(output, last, tmp_path):
    model, path = nn.Sequential(nn.Linear(5, 3)), tmp_path / "model.onnx"
    tn.export_onnx(model, path, output=output)
    x = inputs("float32")
    np.testing.assert_allclose(run(path, x), last(model(Tensor(x))).numpy(), rtol=1e-5, atol=1e-5)


# ---- estimators ----------------------------------------------------------------------------------------------------

X = np.random.default_rng(5).normal(size=(60, 5))
NUMBERS = X @ np.arange(10).reshape(5, 2)
CLASSES = np.digitize(NUMBERS[:, 0], [-5, 5])
CLASSIFIED = {
    "whole numbers": CLASSES,
    "texts": np.array(["few", "some", "many"])[CLASSES],
    "objects": np.array(["few", "some", "many"], object)[CLASSES],
    "floats": CLASSES.astype(np.float32),
    "two": np.array(["yes", "no"])[CLASSES // 2],
    "truths": CLASSES > 0,
    "one": np.full(60, 3),
    "labels": np.column_stack([CLASSES == 0, CLASSES > 0, CLASSES == 1]).astype(int),
}
ESTIMATED = {"max_iter": 5, "hidden_layer_sizes": (8, 4), "random_state": 0}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CLASSIFIED)
def test_a_classifier_gives_labels_and_probabilities(name, dtype, tmp_path):
    y, path, x = CLASSIFIED[name], tmp_path / "model.onnx", X.astype(dtype)
    model = tn.MLPClassifier(**ESTIMATED, dtype=dtype, norm="batch", dropout=0.1, activation=["gelu", "logistic"])
    model.fit(X, y)
    tn.export_onnx(model, path)
    onnx.checker.check_model(path, full_check=True)
    for rows in (x, x[:1]):
        label, probabilities = run(path, rows, ["label", "probabilities"])
        expected, wanted = model.predict_proba(rows), model.predict(rows)
        assert probabilities.dtype == dtype and label.shape == wanted.shape
        if name == "one":
            expected = expected[:, : probabilities.shape[1]]
        np.testing.assert_allclose(probabilities, expected, rtol=1e-5, atol=1e-5)
        assert label.tolist() == wanted.tolist()
    tn.export_onnx(model, path, output="logits")
    np.testing.assert_allclose(run(path, x), model._session.evaluated(x).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_regressor_gives_its_predictions(outputs, loss, dtype, tmp_path):
    y, path = np.abs(NUMBERS[:, :outputs]) / 10, tmp_path / "model.onnx"
    model = tn.MLPRegressor(loss, **ESTIMATED, dtype=dtype, norm="layer").fit(X, y.squeeze())
    tn.export_onnx(model, path)
    onnx.checker.check_model(path, full_check=True)
    got = run(path, X.astype(dtype))
    np.testing.assert_allclose(got.squeeze(), model.predict(X), rtol=1e-5, atol=1e-5)
    assert got.shape == (60, outputs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_classes_that_onnx_cannot_hold_are_refused(tmp_path):
    model = tn.MLPClassifier(**ESTIMATED).fit(X, CLASSES)
    model.classes_ = np.array([None, "a", 3], object)
    assert "classes_ are [None, 'a', 3]" in said(lambda: tn.export_onnx(model, tmp_path / "x"), TypeError)
    assert not (tmp_path / "x").exists()


def test_what_the_file_holds(tmp_path):
    model = nn.multilayer_perceptron(5, (4,), 3, dropout=0.5, norm="batch")
    tn.export_onnx(model, str(tmp_path / "model.onnx"))
    file = onnx.load(tmp_path / "model.onnx")
    assert (file.producer_name, file.producer_version, file.ir_version) == ("tinynet", tn.__version__, 8)
    assert [(opset.domain, opset.version) for opset in file.opset_import] == [("", 17)]
    batch, features = file.graph.input[0].type.tensor_type.shape.dim
    assert (batch.dim_param, features.dim_value) == ("batch", 5)
    stored = {item.name: onnx.numpy_helper.to_array(item) for item in file.graph.initializer}
    state = {name: array for name, array in model.state_dict().items() if not name.endswith(("seed", "counter"))}
    assert stored.keys() == state.keys()
    assert all(np.array_equal(stored[name], state[name]) for name in state)
    assert [node.op_type for node in file.graph.node] == ["Gemm", "BatchNormalization", "Relu", "Gemm"]
    assert model.training


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bytes_are_those_that_the_library_reads_and_writes(tmp_path, dtype):
    """Lengths of one to four bytes, scalars, texts, arrays in any order in memory."""
    model = nn.Sequential(nn.Linear(3, 700), nn.GELU(), nn.Linear(700, 1)).to(dtype)
    model[0].weight.data = np.asfortranarray(model[0].weight.data)
    classifier = tn.MLPClassifier((3,), solver="lbfgs", alpha=1.0, backend="numpy").fit(
        np.eye(4), ["a", "b", "\N{GREEK SMALL LETTER PI}", "d"]
    )
    for exported in (model, classifier):
        tn.export_onnx(exported, tmp_path / "x.onnx")
        file = onnx.load(tmp_path / "x.onnx")
        onnx.checker.check_model(file, full_check=True)
        for item in file.graph.initializer:
            assert item == onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item), item.name)
        assert onnx.load_from_string(file.SerializeToString()) == file
        assert file.ByteSize() == (tmp_path / "x.onnx").stat().st_size


def test_exporting_takes_no_memory(tmp_path):
    """The library ends the process where there is none for its copies."""
    body = f"""
        import resource
        import tinynet as tn
        tn.export_onnx(tn.nn.Linear(3, 2), {str(tmp_path / "small")!r})
        model = tn.nn.Linear(4000, 2500)
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 20_000_000, resource.RLIM_INFINITY))
        tn.export_onnx(model, {str(tmp_path / "large")!r})
    """
    done = finished(python(body), env=ENVIRONMENT)
    assert done.returncode == 0, (done.returncode, done.stderr)
    stored = onnx.load(tmp_path / "large").graph.initializer
    assert sorted(onnx.numpy_helper.to_array(item).shape for item in stored) == [(2500,), (4000, 2500)]


def test_a_shared_weight_is_stored_once(tmp_path):
    tn.export_onnx(shared(), tmp_path / "model.onnx")
    assert [item.name for item in onnx.load(tmp_path / "model.onnx").graph.initializer] == ["0.weight", "0.bias"]


def half_converted():
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 2))
    model[1].to("float64")
    return model


@pytest.mark.parametrize(
    ("make", "options", "error", "expected"),
    [
        (lambda: nn.Sequential(nn.Linear(5, 4), Doubling()), {}, TypeError, "Doubling at '1' cannot be written as ONNX"),
        (lambda: Doubling(), {"input_features": 5}, TypeError, "Doubling cannot be written as ONNX"),
        (lambda: nn.Sequential(Reversed(nn.Linear(5, 5))), {}, TypeError, "Reversed at '0'"),
        (lambda: nn.Embedding(5, 4), {}, ValueError, "input_features is None"),
        (lambda: tn.MLPClassifier(), {}, ValueError, "This MLPClassifier instance is not fitted yet"),
        (lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(5, 2)), {}, ValueError, "Linear(5, 2) at '1' takes 5 columns, but gets 4"),
        (lambda: nn.Linear(5, 4), {"input_features": 6}, ValueError, "takes 5 columns, but gets 6"),
        (lambda: nn.Residual(nn.Linear(5, 4)), {}, ValueError, "turns 5 columns into 4"),
        (half_converted, {}, TypeError, "1.weight is float64, but others are float32"),
        (lambda: nn.ReLU(), {}, ValueError, "input_features is None"),
        (lambda: nn.ReLU(), {"input_features": 0}, ValueError, "input_features is 0"),
        (lambda: nn.Linear(5, 4), {"output": "softmx"}, ValueError, "unknown output 'softmx'"),
        (lambda: nn.Sequential(nn.Linear(5, 4), nn.Softmax()), {"output": "softmax"}, ValueError, "ends with Softmax() already"),
        (lambda: nn.Linear(5, 1, activation="sigmoid"), {"output": "sigmoid"}, ValueError, "activation='sigmoid') already"),
        (lambda: "a model", {}, TypeError, "model is a str"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_refused(make, options, error, expected, tmp_path):
    assert expected in said(lambda: tn.export_onnx(make(), tmp_path / "model.onnx", **options), error)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    said(lambda: tn.export_onnx(nn.Linear(5, 3), tmp_path), IsADirectoryError)
    said(lambda: tn.export_onnx(nn.Linear(5, 3), tmp_path / "missing" / "model.onnx"), FileNotFoundError)


def test_a_model_too_large_for_a_file_is_refused(monkeypatch, tmp_path):
    assert LARGEST < 2**31
    monkeypatch.setattr("tinynet.exchange.onnx.protobuf.LARGEST", 50)
    assert "72 bytes" in said(lambda: tn.export_onnx(nn.Linear(5, 3), tmp_path / "model.onnx"))


def test_without_onnx_the_refusal_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = said(lambda: tn.export_onnx(nn.Linear(5, 3), tmp_path / "model.onnx"), ImportError)
    assert "pip install 'tinynet[onnx]'" in message


def test_importing_tinynet_does_not_import_onnx():
    code = "import sys, tinynet; assert 'onnx' not in sys.modules"
    finished(python(code), check=True, env=ENVIRONMENT)
