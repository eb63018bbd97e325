"""Saved estimators of tables predict the same bits in another process."""

import copy
import json
import pickle
import random
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from children import ENVIRONMENT, finished
from refusals import forge, mutated, said
from repository import ROOT

import tinynet as tn
from tinynet.checkpoints.tensor_files import read_tensors, write_tensors

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
X[::7, 1] = np.nan
LABELS = np.where(X[:, 0] > 0, "yes", "no")
CASES = {
    "classes": (lambda: tn.TabularClassifier(max_epochs=2, n_members=2, random_state=0, calibrate=True), LABELS),
    "numbers": (lambda: tn.TabularRegressor(max_epochs=2, random_state=0), X[:, 0] * 3),
    "quantiles": (lambda: tn.TabularRegressor(max_epochs=2, random_state=0, loss="quantile"), X[:, 0] * 3),
    "numpy": (lambda: tn.TabularRegressor(max_epochs=2, random_state=0, backend="numpy"), X[:, 0] * 3),
}
OTHER = """
import sys, numpy as np, tinynet as tn
found = tn.load_estimator(sys.argv[1])
X = np.load(sys.argv[2])
np.save(sys.argv[3], found.predict_proba(X) if hasattr(found, "predict_proba") else found.predict(X))
"""


def predictions(estimator):
    return estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.predict(X)


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_in_another_process(case, tmp_path):
    make, y = CASES[case]
    estimator = make().fit(X, y)
    tn.save_checkpoint(tmp_path / "e", estimator, notes={"table": "t"})
    np.save(tmp_path / "X.npy", X)
    files = [str(tmp_path / name) for name in ("e", "X.npy", "p.npy")]
    finished([sys.executable, "-c", OTHER, *files], cwd=ROOT, env=ENVIRONMENT, check=True)
    np.testing.assert_array_equal(np.load(files[2]), predictions(estimator))
    again = make()
    assert tn.load_checkpoint(files[0], again) == {"table": "t"}
    for other in (again, copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        np.testing.assert_array_equal(predictions(other), predictions(estimator))


ON_DEMAND = """
import sys
from {package} import load_estimator
assert not {{"polars", "tinynet.tabular"}} & sys.modules.keys()
assert type(load_estimator(sys.argv[1])).__name__ == "TabularRegressor"
"""


@pytest.mark.parametrize("package", ["tinynet", "tinynet.estimators"])
def test_its_class_is_imported_when_a_file_asks_for_it(package, tmp_path):
    tn.save_checkpoint(tmp_path / "e", CASES["numbers"][0]().fit(X, X[:, 0]))
    code = ON_DEMAND.format(package=package)
    finished([sys.executable, "-c", code, str(tmp_path / "e")], env=ENVIRONMENT, check=True)


def test_another_class_is_refused(tmp_path):
    tn.save_checkpoint(tmp_path / "e", CASES["classes"][0]().fit(X, LABELS))
    with pytest.raises(tn.CheckpointError, match="it holds a TabularClassifier, expected a TabularRegressor"):
        tn.load_checkpoint(tmp_path / "e", tn.TabularRegressor())


def table(rows=80):
    """Numbers with blanks, text, many levels, dates."""
    rng = np.random.default_rng(1)
    frame = {
        "size": rng.normal(size=rows), "note": rng.choice(["a", "b", "c"], rows), "on": rng.random(rows) > 0.5,
        "shop": [f"s{i}" for i in rng.integers(40, size=rows)], "day": pd.date_range("2020-01-01", periods=rows),
    }  # fmt: skip
    frame = pd.DataFrame(frame)
    frame.loc[::9, "size"] = np.nan
    return frame


FRAME = table()
MIXED = {
    "text": (lambda **own: tn.TabularClassifier(max_epochs=1, min_frequency=1, **own), FRAME["note"]),
    "truth": (lambda **own: tn.TabularClassifier(max_epochs=1, hidden_layer_sizes=9, **own), FRAME["on"]),
    "whole": (lambda **own: tn.TabularClassifier(max_epochs=1, min_frequency=2, **own), np.arange(80) % 4 - 1),
    "two": (lambda **own: tn.TabularRegressor(max_epochs=1, min_frequency=1, **own), np.arange(160.0).reshape(80, 2)),
    "quantiles": (
        lambda **own: tn.TabularRegressor(max_epochs=1, loss="quantile", quantiles=[0.2, 0.7], **own), np.arange(80.0)
    ),
}  # fmt: skip


def of_table(name, **own):
    make, y = MIXED[name]
    return make(random_state=0, **own).fit(FRAME, y)


def said_of(estimator):
    return (estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict)(FRAME).tobytes()


@pytest.mark.parametrize("own", [{"categorical": ["on"], "ignore": ["day"], "n_members": 2}, {"backend": "numpy"}])
@pytest.mark.parametrize("name", MIXED)
def test_it_comes_back_whole(name, own, tmp_path):
    a = of_table(name, **own)
    tn.save_checkpoint(tmp_path / "e", a)
    b = tn.load_estimator(tmp_path / "e")
    assert said_of(b) == said_of(a)
    assert b.get_params() == a.get_params()
    assert b.predict(pl.from_pandas(FRAME)).tolist() == a.predict(FRAME).tolist()
    if hasattr(a, "classes_"):
        assert b.classes_.tolist() == a.classes_.tolist() and b.classes_.dtype == a.classes_.dtype
    assert said_of(b.fit(FRAME, MIXED[name][1])) == said_of(a)


def test_positions_name_columns_of_arrays(tmp_path):
    places = {"categorical": [np.int64(2)], "ignore": [0]}  # as np.flatnonzero gives them, too
    a = tn.TabularRegressor(max_epochs=1, random_state=0, **places).fit(X.round(), X[:, 0])
    tn.save_checkpoint(tmp_path / "e", a)
    np.testing.assert_array_equal(tn.load_estimator(tmp_path / "e").predict(X.round()), a.predict(X.round()))


def test_what_a_file_cannot_hold_is_refused_at_saving(tmp_path):
    a = tn.TabularClassifier(max_epochs=1, metric=lambda y, p, w: 0.0).fit(FRAME, FRAME["note"])
    assert "metric" in said(lambda: tn.save_checkpoint(tmp_path / "e", a), tn.CheckpointError)
    assert not (tmp_path / "e").exists()


def test_mutations_are_refused_or_without_effect(tmp_path):
    rng, path, a, b = random.Random(0), tmp_path / "e", of_table("text"), of_table("truth")
    tn.save_checkpoint(path, a)
    content, wanted, before = path.read_bytes(), said_of(a), said_of(b)
    for _ in range(200):
        path.write_bytes(mutated(content, rng))
        try:
            tn.load_checkpoint(path, b)
        except tn.CheckpointError:
            continue
        assert said_of(b) == wanted
        b = of_table("truth")
    assert said_of(b) == before


def forge_encoder(arrays, rng):
    """Changes what the encoder's table says, a value among its numbers, or both."""
    found = json.loads(arrays["encoder.table"].tobytes())
    forge(found, {}, rng) if rng.random() < 0.7 else forge(found["columns"], {}, rng)
    text = json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass")
    arrays["encoder.table"] = np.frombuffer(text, np.uint8)
    name = rng.choice(["encoder.centre", "encoder.factor", "encoder.indicators"])
    if rng.random() < 0.2 and arrays[name].size:
        arrays[name] = arrays[name].copy()
        arrays[name].flat[0] = rng.choice([np.nan, np.inf, -1.0, 1e300])


def test_states_put_together_by_others_are_refused_or_predict(tmp_path):
    """With a digest that is right, anything may be in the state."""
    rng, path, refused, trials = random.Random(0), tmp_path / "e", 0, 0
    for name in ("text", "two", "quantiles"):
        tn.save_checkpoint(path, of_table(name, n_members=2))
        tensors, texts = read_tensors(path)
        for _ in range(150):
            state, arrays = json.loads(texts["state"]), dict(tensors)
            if rng.random() < 0.4:
                forge_encoder(arrays, rng)
            else:
                forge(state["estimator"], arrays, rng)
            write_tensors(path, arrays, {**texts, "state": json.dumps(state)})
            trials += 1
            try:
                b = tn.load_estimator(path)
            except tn.CheckpointError:
                refused += 1
                continue
            b.set_params(backend="numpy", threads=None)  # another name may be one that is not installed here
            try:
                b.predict(FRAME[:5])
            except ValueError as error:  # a column that the forged encoder wants otherwise
                if "column" not in str(error):
                    raise
    assert trials / 2 < refused < trials


def rewritten(path, change):
    """The file with a right digest after change(estimator's state, arrays)."""
    tensors, texts = read_tensors(path)
    state = json.loads(texts["state"])
    change(state["estimator"], tensors)
    write_tensors(path, tensors, {**texts, "state": json.dumps(state)})


FORGED = {
    "an array member.9.x that nothing names": lambda saved, arrays: arrays.update({"member.9.x": np.zeros(3)}),
    "an array foo that nothing names": lambda saved, arrays: arrays.update(foo=np.zeros(3)),
    "an array estimator.foo that nothing names": lambda saved, arrays: arrays.update({"estimator.foo": np.zeros(3)}),
    "encoder has no array 'foo'": lambda saved, arrays: arrays.update({"encoder.foo": np.zeros(3)}),
    "which a member lacks": lambda saved, arrays: arrays.update({"member.0.foo": np.zeros(3)}),
    "'centre' holds numbers that are not finite": lambda saved, arrays: arrays["encoder.centre"].fill(np.nan),
    "a factor is negative": lambda saved, arrays: arrays["encoder.factor"].fill(-1),
    "2 lists of numbers": lambda saved, arrays: saved.update(members=2),
    "has the widths 1000000000": lambda saved, arrays: saved["recipe"].update(widths=[10**9]),
    "no hidden layer": lambda saved, arrays: saved["recipe"].update(widths=[]),
    "classes_ have shape": lambda saved, arrays: saved["recipe"].update(outputs=5),
    "its rate": lambda saved, arrays: saved["recipe"].update(rate=-1.0),
    "its temperature_": lambda saved, arrays: saved["attributes"].update(temperature_=0.0),
    "parameters that no fit takes": lambda saved, arrays: saved["parameters"].update(dropout=3),
}


@pytest.mark.parametrize("sentence", FORGED)
def test_what_fit_could_not_have_left_is_refused(sentence, tmp_path):
    tn.save_checkpoint(tmp_path / "e", of_table("text"))
    rewritten(tmp_path / "e", FORGED[sentence])
    assert sentence in said(lambda: tn.load_estimator(tmp_path / "e"), tn.CheckpointError)
