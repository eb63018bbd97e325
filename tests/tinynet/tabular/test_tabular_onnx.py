"""ONNX files of estimators of tables take the table's columns, and give what predict gives."""

import datetime

import numpy as np
import polars as pl
import pytest
from refusals import said

import tinynet as tn
from tinynet.exchange.onnx.graph import Edge, Graph
from tinynet.exchange.onnx.protobuf import serialised
from tinynet.tables import TableEncoder
from tinynet.tables.levels import Levels
from tinynet.tabular.onnx.dates import date_part
from tinynet.tabular.onnx.encoder import _spellings, encoded, inputs

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROWS = 240
TYPES = {"tensor(double)": np.float64, "tensor(bool)": np.bool_, "tensor(string)": object}


@pytest.fixture(autouse=True)
def on_numpy():
    with tn.use_backend("numpy"):
        yield


def rng():
    return np.random.default_rng(0)


def blanked(values, every):
    return [None if i % every == 0 else value for i, value in enumerate(values)]


def table():
    """Columns of each kind, with blanks and without."""
    r = rng()
    moments = [datetime.datetime(1899, 12, 25) + datetime.timedelta(hours=float(h)) for h in r.uniform(0, 2e6, ROWS)]
    return pl.DataFrame({
        "age": r.normal(40, 12, ROWS),
        "income": pl.Series(blanked(r.lognormal(10, 1, ROWS).tolist(), 7)),
        "huge": r.integers(0, 100, ROWS) + 2**52,
        "rooms": pl.Series(blanked(r.integers(1, 9, ROWS).tolist(), 11)),
        "smoker": r.random(ROWS) < 0.3,
        "retired": pl.Series(blanked((r.random(ROWS) < 0.3).tolist(), 9)),
        "insured": r.choice(["True", "false"], ROWS),
        "sex": pl.Series(blanked(r.choice(["f", "m"], ROWS).tolist(), 13)),
        "city": pl.Series(blanked(r.choice(["Köln", "Paris", "Rome", "Oslo"], ROWS).tolist(), 8)),
        "grade": r.integers(1, 6, ROWS),
        "zip": pl.Series([f"{i:05d}" for i in r.integers(0, 80, ROWS)]),
        "when": pl.Series(blanked(moments, 10)),
        "day": pl.Series([moment.date() for moment in moments]),
        "same": ["x"] * ROWS,
    })  # fmt: skip


def others():
    """Rows with values that fit has not seen, infinities, and blanks wherever a blank may be."""
    found = table().with_columns(
        city=pl.Series(["Lima", "", None, "Rome"] * (ROWS // 4)),
        sex=pl.Series(["d", "f", "m", "NA"] * (ROWS // 4)),
        zip=pl.Series(["", None, "99999", "00007"] * (ROWS // 4)),
        grade=pl.Series([9, 1, 2, None] * (ROWS // 4)),
        insured=pl.Series(["TRUE", "fAlse", None, "perhaps"] * (ROWS // 4)),
        age=pl.Series([np.inf, -np.inf, None, 1e300] * (ROWS // 4)),
        when=pl.Series([datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59), None,
                        datetime.datetime(2000, 2, 29, 12)] * (ROWS // 4)),
    )  # fmt: skip
    return found.select(reversed(found.columns))


def fed(session, frame):
    """A frame as the file takes it: an array (rows, 1) for each input."""
    arrays = {}
    for taken in session.get_inputs():
        column, dtype = frame[taken.name], TYPES[taken.type]
        assert taken.shape == ["batch", 1]
        if column.dtype.is_temporal():
            column = column.cast(pl.Datetime("us")).to_physical() / 1e6
        if dtype is object:
            texts = ["" if value is None else str(value) for value in column.to_list()]
            arrays[taken.name] = np.array(texts, object)[:, None]
        else:
            arrays[taken.name] = column.to_numpy().astype(dtype)[:, None]
    return arrays


def opened(model, path):
    tn.export_onnx(model, path)
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


OPTIONS = {"max_epochs": 3, "hidden_layer_sizes": (16, 8), "random_state": 0, "categorical": ["grade"]}


def score():
    frame = table()
    return frame["age"].to_numpy() / 12 + frame["smoker"].to_numpy() * 2.0


CLASSIFIERS = {
    "texts": (np.array(["few", "some", "many"])[np.digitize(score(), [2, 4])], {}),
    "whole numbers": (np.digitize(score(), [2, 3, 4]) * 10, {"calibrate": True}),
    "two": (score() > 3, {"n_members": 2, "calibrate": True}),
    "objects": (np.where(score() > 3, "yes", "no").astype(object), {"n_members": 3, "activation": "gelu"}),
    "weighed": (np.where(score() > 4, "yes", "no"), {"class_weight": "balanced", "dropout": 0.0}),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier(name, tmp_path):
    y, options = CLASSIFIERS[name]
    model = tn.TabularClassifier(**OPTIONS | options).fit(table(), y)
    session = opened(model, tmp_path / "model.onnx")
    assert [given.name for given in session.get_outputs()] == ["label", "probabilities"]
    for frame in (table(), others(), others()[:1]):
        label, probabilities = session.run(None, fed(session, frame))
        np.testing.assert_allclose(probabilities, model.predict_proba(frame), rtol=1e-5, atol=1e-6)
        assert label.tolist() == model.predict(frame).tolist()
        assert probabilities.dtype == np.float64


REGRESSORS = {
    "one output": (score() * 1e6 + 1e9, {"n_members": 2}),
    "several outputs": (np.column_stack([score(), 100 - score() * 1e-3, rng().normal(size=ROWS)]), {}),
    "blank targets": (np.where(rng().random((ROWS, 2)) < 0.2, np.nan, score()[:, None]), {"activation": "relu"}),
    "quantiles": (score(), {"loss": "quantile", "quantiles": (0.05, 0.5, 0.8, 0.95), "n_members": 2}),
    "one quantile": (score(), {"loss": "quantile", "quantiles": [0.9]}),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor(name, tmp_path):
    y, options = REGRESSORS[name]
    model = tn.TabularRegressor(**OPTIONS | options).fit(table(), y)
    session = opened(model, tmp_path / "model.onnx")
    for frame in (table(), others(), others()[:1]):
        (got,) = session.run(["output"], fed(session, frame))
        expected = model.predict(frame).reshape(len(frame), -1)
        np.testing.assert_allclose((got - model._mean) / model._sd, (expected - model._mean) / model._sd, atol=1e-5)
        assert got.dtype == np.float64 and got.shape == expected.shape
        if model.loss == "quantile":
            assert (np.diff(got, axis=1) >= 0).all()
        assert (got >= np.nanmin(y, axis=0)).all() and (got <= np.nanmax(y, axis=0)).all()


def test_the_inputs_are_the_columns_that_are_read(tmp_path):
    model = tn.TabularRegressor(**OPTIONS, ignore=["huge"]).fit(table(), score())
    assert model.encoder_.codes_  # zip has an embedding
    session = opened(model, tmp_path / "model.onnx")
    assert {taken.name: taken.type.removeprefix("tensor").strip("()") for taken in session.get_inputs()} == {
        "age": "double", "income": "double", "rooms": "double", "smoker": "bool", "retired": "string",
        "insured": "string", "sex": "string", "city": "string", "grade": "string", "zip": "string", "when": "double",
        "day": "double",
    }  # fmt: skip


def test_numbers_of_an_array(tmp_path):
    X = rng().normal(size=(60, 3)).astype(np.float32)
    X[::5, 1] = np.nan
    model = tn.TabularRegressor(**OPTIONS | {"categorical": ()}).fit(X, X[:, 0])
    session = opened(model, tmp_path / "model.onnx")
    (got,) = session.run(None, {f"column_{i}": X[:, i : i + 1].astype(float) for i in range(3)})
    np.testing.assert_allclose(got[:, 0], model.predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("values", [["a", "b"] * 30, [f"{i % 50}" for i in range(60)]])
def test_texts_alone(values, tmp_path):
    frame = pl.DataFrame({"only": values})
    model = tn.TabularClassifier(**OPTIONS | {"categorical": ["only"]}).fit(frame, np.arange(60) % 2)
    session = opened(model, tmp_path / "model.onnx")
    np.testing.assert_allclose(
        session.run(["probabilities"], fed(session, frame))[0], model.predict_proba(frame), rtol=1e-5
    )


def test_columns_of_whatever_name(tmp_path):
    """An input has the column's name; what else would have it is called otherwise."""
    names = ["label", "probabilities", "probabilities_", "classes", "encoder.centre", "member.0.0.weight", "input", " "]
    frame = pl.DataFrame({name: rng().normal(size=40) for name in names}).with_columns(x=pl.Series(["a", "b"] * 20))
    model = tn.TabularClassifier(**OPTIONS | {"categorical": ()}).fit(frame, ["s", "t"] * 20)
    session = opened(model, tmp_path / "model.onnx")
    assert [taken.name for taken in session.get_inputs()] == [*names, "x"]
    assert [given.name for given in session.get_outputs()] == ["label_", "probabilities__"]
    np.testing.assert_allclose(session.run(None, fed(session, frame))[1], model.predict_proba(frame), rtol=1e-5)


def by_onnx(encoder, frame):
    """What a graph of nothing but the encoder gives."""
    graph = Graph(np.dtype(encoder.dtype), inputs(encoder))
    x = encoded(graph, "encoder", encoder)
    graph.outputs = [Edge(x.name, graph.dtype, x.columns)]
    session = onnxruntime.InferenceSession(b"".join(serialised(graph)), providers=["CPUExecutionProvider"])
    return session.run(None, fed(session, frame))[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("most", [1, 3, 32, 100])
def test_the_encoder_gives_the_same_numbers(most, dtype):
    encoder = TableEncoder(categorical=["grade"], max_one_hot=most, min_frequency=3, dtype=dtype).fit(table())
    for frame in (table(), others()):
        expected, got = encoder.transform(frame), by_onnx(encoder, frame)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == np.float32 else 1e-14, atol=1e-14)


def test_rare_levels_share_a_code():
    """Infrequent levels are one level, and a level never seen is none."""
    seen = pl.DataFrame({"c": ["a"] * 6 + ["b"] * 5 + ["7"] * 5 + ["rare", "seldom"], "n": range(18)})
    asked = pl.DataFrame({"c": ["a", "b", "7", "7.0", "rare", "seldom", "never", ""], "n": [1.0] * 8})
    for most in (32, 2):
        encoder = TableEncoder(min_frequency=2, max_one_hot=most, dtype=np.float64).fit(seen)
        np.testing.assert_array_equal(by_onnx(encoder, asked), encoder.transform(asked))


def test_a_text_means_what_the_encoder_takes_it_for():
    spelt = {text: list(_spellings(text)) for text in ("7", "-3", "0.5", "a", "true", "12345678901234567890", "1.5.2")}
    codes = Levels("c", ("true",), ()).codes(pl.Series(spelt["true"]))
    assert codes.tolist() == [1] * 16
    del spelt["true"]
    assert spelt == {
        "7": ["7", "7.0"], "-3": ["-3", "-3.0"], "0.5": ["0.5"], "a": ["a"],
        "12345678901234567890": ["12345678901234567890"], "1.5.2": ["1.5.2"],
    }  # fmt: skip


class Arithmetic:
    """In a Composer's place: computes at once."""

    add, subtract, multiply, divide = np.add, np.subtract, np.multiply, np.divide

    def node(self, operator, x):
        return {"Floor": np.floor}[operator](x)


@pytest.mark.parametrize("name", ["year", "month", "weekday", "hour"])
def test_every_day_of_the_calendar(name):
    days = pl.Series(range(-719_162, 2_932_897)).cast(pl.Date).cast(pl.Datetime("us"))
    assert (days.dt.year().min(), days.dt.year().max()) == (1, 9999)
    moments = days + pl.Series(np.arange(len(days)) % 86_400).cast(pl.Int64) * datetime.timedelta(seconds=1)
    got = date_part(Arithmetic(), moments.to_physical().to_numpy() / 1e6, name)
    np.testing.assert_array_equal(got, getattr(moments.dt, name)().to_numpy())


def fitted(frame, **options):
    return tn.TabularRegressor(**OPTIONS | {"categorical": ()} | options).fit(frame, np.arange(len(frame)))


@pytest.mark.parametrize(
    ("make", "options", "expected"),
    [
        (lambda: fitted(pl.DataFrame({"n": range(30), "born": [f"2024-01-{d:02d}" for d in range(1, 31)]})), {},
         "column 'born' holds dates as text"),
        (lambda: fitted(np.sqrt(np.arange(30))[:, None]), {"output": "logits"}, "output is 'logits', expected None"),
        (lambda: fitted(np.sqrt(np.arange(30))[:, None]), {"input_features": 1}, "input_features is 1, expected None"),
        (lambda: tn.TabularClassifier(), {}, "This TabularClassifier instance is not fitted yet"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_refused(make, options, expected, tmp_path):
    assert expected in said(lambda: tn.export_onnx(make(), tmp_path / "model.onnx", **options), ValueError)
    assert list(tmp_path.iterdir()) == []


def test_a_column_that_is_in_the_way_may_be_ignored(tmp_path):
    frame = pl.DataFrame({"n": range(30), "born": [f"2024-01-{d:02d}" for d in range(1, 31)]})
    session = opened(fitted(frame, ignore=["born"]), tmp_path / "model.onnx")
    assert [taken.name for taken in session.get_inputs()] == ["n"]
