"""The estimators of tables: scikit-learn's checks, what each parameter does, and bad input."""

import pickle
import signal
import sys
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
from children import ENVIRONMENT, started
from refusals import said
from repository import ROOT
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

import tinynet as tn
from tinynet.tabular import TabularClassifier, TabularRegressor
from tinynet.tabular.recipe import even_batches

SMALL = {"hidden_layer_sizes": (16,), "max_epochs": 40, "random_state": 0}
IRIS, DIABETES = load_iris(return_X_y=True), load_diabetes(return_X_y=True)


@pytest.fixture(scope="module")
def mixed():
    """A table of numbers, text, many levels and blanks, with a target that depends on all but the last."""
    rng = np.random.default_rng(0)
    n = 400
    X = pd.DataFrame({
        "size": rng.normal(size=n), "colour": rng.choice(["red", "green", "blue"], n),
        "shop": rng.choice([f"shop {i}" for i in range(60)], n), "note": rng.choice(["yes", "no"], n),
    })  # fmt: skip
    y = 2 * X["size"] + (X.colour == "red") + rng.normal(size=n) * 0.3
    X.loc[::9, "size"], X.loc[::7, "colour"] = np.nan, None
    return X, y.to_numpy()


def expected_failures(estimator):
    """Other column orders are taken, by name."""
    return {
        "check_dataframe_column_names_consistency": "the order of named columns does not matter",
        "check_sample_weight_equivalence_on_dense_data": "removed rows make other batches and hold out other rows",
    }


@parametrize_with_checks(
    [TabularClassifier(**SMALL), TabularRegressor(**SMALL)], expected_failed_checks=expected_failures
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_numbers_text_many_levels_and_blanks_are_learned_from(mixed):
    X, y = mixed
    model = TabularRegressor(**SMALL).fit(X[:300], y[:300])
    often = (X[:300]["shop"].value_counts() >= 3).sum()
    assert model.encoder_.codes_ == [(model.encoder_.n_dense_, often + 2)]  # one for the rare, one for blanks
    assert model.score(X[300:], y[300:]) > 0.6
    assert list(model.feature_names_in_) == list(X)
    other = X[300:][["shop", "note", "size", "colour"]].assign(more=1)
    np.testing.assert_array_equal(model.predict(other), model.predict(X[300:]))
    unknown = X[300:].assign(shop="never seen", colour=None)
    assert np.isfinite(model.predict(unknown)).all()


def test_classes_are_text_and_probabilities_sum_to_1(mixed):
    X, y = mixed
    labels = np.where(y > 0, "above", "below")
    model = TabularClassifier(**SMALL).fit(X, labels)
    p = model.predict_proba(X)
    assert list(model.classes_) == ["above", "below"] and model.score(X, labels) > 0.8
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), p)


@pytest.mark.parametrize("members", [1, 3])
def test_a_seed_gives_the_same_bits_and_draws_from_no_other_generator(mixed, members):
    X, y = mixed
    np.random.seed(3)
    tn.manual_seed(3)
    before = np.random.get_state()[1].copy()
    first = tn.nn.Linear(3, 3).weight.numpy()
    tn.manual_seed(3)
    one, other = (TabularRegressor(**SMALL, n_members=members).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(tn.nn.Linear(3, 3).weight.numpy(), first)


def test_members_are_averaged_and_differ(mixed):
    X, y = mixed
    model = TabularRegressor(**SMALL, n_members=3, threads=2).fit(X, y)
    assert len(model.members_) == len(model.validation_scores_) == len(model.best_epochs_) == 3
    each = list(model._member_outputs(X))
    assert not np.array_equal(each[0], each[1])
    expected = np.mean(each, axis=0, dtype=float)[:, 0] * model._sd + model._mean
    np.testing.assert_allclose(model.predict(X), np.clip(expected, y.min(), y.max()), rtol=1e-6, atol=1e-6)


def test_the_weights_are_those_of_the_epoch_with_the_best_score():
    X, y = IRIS
    model = TabularClassifier(**SMALL).fit(X[::2], y[::2], eval_set=(X[1::2], y[1::2]))
    scores = model.validation_scores_[0]
    assert model.best_epochs_ == [len(scores) - np.argmax(scores[::-1])]  # of equals the last
    assert -log_loss(y[1::2], model.predict_proba(X[1::2])) == pytest.approx(max(scores), abs=1e-6)


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "roc_auc"])
def test_metrics_of_classes_by_name(name):
    model = TabularClassifier(**SMALL, metric=name).fit(*IRIS)
    assert model.best_validation_score_ == max(model.validation_scores_[0])


def test_a_metric_is_a_function_of_labels_and_probabilities():
    seen = []

    def metric(labels, probabilities, weight):
        seen.append((set(labels), probabilities.shape[1], weight))
        return 1.0

    TabularClassifier(**{**SMALL, "max_epochs": 2}, metric=metric).fit(IRIS[0], np.array(list("abc"))[IRIS[1]])
    assert seen == [({"a", "b", "c"}, 3, None)] * 2


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_backends_agree(backend):
    options = {**SMALL, "max_epochs": 3}
    found = TabularRegressor(**options, backend=backend).fit(*DIABETES).predict(DIABETES[0])
    expected = TabularRegressor(**options, backend="numpy").fit(*DIABETES).predict(DIABETES[0])
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_any_backend_trains():
    options = {"hidden_layer_sizes": (4,), "max_epochs": 2, "random_state": 0}
    naive, numpy = (
        TabularClassifier(**options, backend=name).fit(*IRIS).predict_proba(IRIS[0]) for name in ("naive", "numpy")
    )
    np.testing.assert_allclose(naive, numpy, rtol=1e-3)


def test_quantiles_do_not_cross_and_cover_their_share():
    X, y = DIABETES
    for weight in (None, np.ones(len(y))):
        model = TabularRegressor(**SMALL, loss="quantile", quantiles=(0.1, 0.5, 0.9)).fit(X, y, sample_weight=weight)
        found = model.predict(X)
        assert found.shape == (len(y), 3) and (np.diff(found, axis=1) >= 0).all()
        np.testing.assert_allclose((y[:, None] < found).mean(axis=0), [0.1, 0.5, 0.9], atol=0.12)


def test_of_several_targets_some_may_be_blank():
    X, y = DIABETES
    both = np.column_stack([y, -y])
    both[::2, 0] = np.nan
    model = TabularRegressor(**SMALL).fit(X, both)
    found = model.predict(X)
    assert found.shape == both.shape
    assert all(np.corrcoef(found[:, i], sign * y)[0, 1] > 0.6 for i, sign in enumerate((1, -1)))


@pytest.mark.parametrize("columns", [1, 2])
def test_a_row_of_weight_0_is_not_learned_from(columns):
    X, y = DIABETES
    y = y if columns == 1 else np.column_stack([y, y])
    wrong = np.arange(len(y)) % 3 == 0
    bad = y.copy()
    bad[wrong] = y.max()
    model = TabularRegressor(**SMALL).fit(X, bad, sample_weight=(~wrong).astype(float))
    plain = TabularRegressor(**SMALL).fit(X, bad)
    error, other = (np.mean(m.predict(X[~wrong]) - y[~wrong]) for m in (model, plain))
    assert abs(error) < 20 < other


def test_class_weights_move_the_balance():
    X, y = IRIS[0], (IRIS[1] == 2).astype(int)
    X = X + np.random.default_rng(0).normal(size=X.shape)
    shares = [TabularClassifier(**SMALL, class_weight=w).fit(X, y).predict_proba(X)[:, 1].mean()
              for w in ({0: 10, 1: 1}, None, {0: 1, 1: 10})]  # fmt: skip
    assert shares[0] < shares[1] < shares[2]


def test_a_temperature_makes_held_out_rows_likelier():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = (X[:, 0] + rng.normal(size=300) > 0).astype(int)
    held = (X[200:], y[200:])
    plain, calibrated = (
        TabularClassifier(**SMALL, calibrate=c).fit(X[:200], y[:200], eval_set=held) for c in (False, True)
    )
    assert plain.temperature_ == 1 != calibrated.temperature_
    assert log_loss(held[1], calibrated.predict_proba(held[0])) < log_loss(held[1], plain.predict_proba(held[0]))
    np.testing.assert_array_equal(plain.predict(X), calibrated.predict(X))


def test_epochs_and_members_are_as_many_as_there_is_time_for(mixed):
    X, y = mixed
    model = TabularRegressor(random_state=0, time_limit=1.0).fit(X, y)
    assert 1 <= len(model.members_) == len(model.best_epochs_)
    short = TabularRegressor(random_state=0, time_limit=1e-3).fit(X, y)  # less than an epoch takes
    assert np.isfinite(short.predict(X)).all()


@pytest.mark.parametrize(
    ("best", "ended"), [(1, 3), (2, 7), (3, 7), (4, 15), (7, 15), (8, 15), (15, 15)]
)  # fmt: skip
def test_training_ends_with_a_wave_of_the_rates_that_brought_nothing(best, ended):
    calls = []

    def metric(labels, probabilities, weight):
        calls.append(1)
        return float(len(calls) == best)

    model = TabularClassifier(**{**SMALL, "max_epochs": 15}, metric=metric).fit(*IRIS)
    assert (model.n_iter_, model.best_epochs_) == (ended, [best])
    assert TabularClassifier(**{**SMALL, "max_epochs": 15}, metric=metric, patience=15).fit(*IRIS).n_iter_ == 15


def test_patience_ends_training():
    model = TabularClassifier(random_state=0, max_epochs=200, patience=3).fit(*IRIS)
    assert model.n_iter_ == model.best_epochs_[0] + 3 < 200


@pytest.mark.parametrize(
    ("rows", "wanted", "expected"), [(1000, 256, 250), (300, 256, 300), (10, 256, 10), (513, 256, 256)]
)
def test_batches_are_of_equal_size(rows, wanted, expected):
    assert even_batches(rows, wanted) == expected


@pytest.mark.parametrize("copied", [clone, lambda model: pickle.loads(pickle.dumps(model))], ids=["clone", "pickle"])
def test_copies_predict_the_same(copied):
    model = TabularClassifier(**SMALL, n_members=2).fit(*IRIS)
    other = copied(model)
    other = other if hasattr(other, "members_") else other.fit(*IRIS)
    np.testing.assert_array_equal(other.predict_proba(IRIS[0]), model.predict_proba(IRIS[0]))


def test_a_grid_is_searched():
    search = GridSearchCV(TabularClassifier(**SMALL), {"dropout": [0.0, 0.5]}, cv=2).fit(*IRIS)
    assert search.best_score_ > 0.8


X4 = np.arange(12.0).reshape(6, 2) ** 1.5
BAD = {
    "one class": (TabularClassifier, X4, ["a"] * 6, {}, "y has one class, 'a', expected two or more"),
    "another length": (TabularClassifier, X4, [0, 1], {}, "inconsistent numbers of samples: [6, 2]"),
    "blank target": (TabularRegressor, X4, [1, 2, np.nan, 4, 5, 6], {}, "y is blank in row 2; leave these rows out"),
    "blank classes": (TabularClassifier, X4, ["a", "b", None] * 2, {}, "y is blank in rows 2, 5; leave"),
    "NaN among text": (TabularClassifier, X4, ["a", np.nan] * 3, {}, "y is blank in rows 1, 3, 5; leave"),
    "blanks of pandas": (TabularClassifier, X4, pd.array([0, 1, None] * 2, dtype="Int64"), {}, "y is blank in rows 2, 5; leave"),
    "nulls of polars": (TabularClassifier, X4, pl.Series(["a", "b", None] * 2), {}, "y is blank in rows 2, 5; leave"),
    "a word": (TabularRegressor, X4, ["1", "2", "1,000", "4", "5", "6"], {}, "y has '1,000' in row 2, expected a number"),
    "dates": (TabularRegressor, X4, np.arange(6).astype("datetime64[s]").tolist(), {}, "in row 0, expected a number"),
    "a large number": (TabularRegressor, X4, [10**400, 1, 2, 3, 4, 5], {}, "in row 0, expected a number"),
    "a wide range": (TabularRegressor, X4, [1e200, 1, 2, 3, 4, 5], {}, "up to 1e+200, whose squares overflow; divide"),
    "infinite target": (TabularRegressor, X4, [1, 2, np.inf, 4, 5, 6], {}, "infinity"),
    "no number in a column": (TabularRegressor, X4, np.column_stack([np.arange(6), [np.nan] * 6]), {}, "no number in column 1"),
    "one row": (TabularClassifier, X4[:1], [1], {}, "the table has 1 sample, expected at least 2 rows"),
    "constant columns": (TabularRegressor, np.ones((6, 2)), np.arange(6.0), {}, "no column is left to learn from"),
    "unknown column": (TabularRegressor, X4, np.arange(6.0), {"ignore": ["zip"]}, "no column is named 'zip'"),
    "a typo": (TabularClassifier, X4, [0, 1] * 3, {"metric": "roc_acu"}, "did you mean 'roc_auc'?"),
    "descending": (TabularRegressor, X4, np.arange(6.0), {"loss": "quantile", "quantiles": (0.5, 0.2)}, "each greater than the one before"),
    "two and quantiles": (TabularRegressor, X4, np.ones((6, 2)), {"loss": "quantile"}, "y has 2 columns, expected one"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    make, X, y, options, expected = BAD[name]
    assert expected in said(lambda: make(**options).fit(X, y))


def test_weights_of_sum_0_and_other_eval_sets_are_refused():
    X, y = IRIS
    fit = TabularClassifier(**SMALL).fit
    assert "non-zero" in said(lambda: fit(X, y, sample_weight=np.zeros(len(y))))
    assert "y of eval_set is blank in row 1;" in said(lambda: fit(X[:2], ["a", "b"], eval_set=(X[:2], ["a", None])))
    assert "no pair" in said(lambda: fit(X, y, eval_set=X))
    assert "the classes [3] that y has not" in said(lambda: fit(X, y, eval_set=(X, y + 1)))
    assert "as many" in said(lambda: fit(X, y, eval_set=(X, y[:9])))
    assert "non-zero" in said(lambda: fit(X, y, eval_set=(X, y, np.zeros(len(y)))))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_before_fit_nothing_is_predicted(method):
    with pytest.raises(NotFittedError):
        getattr(TabularClassifier(), method)(IRIS[0])


INTERRUPTED = """
import warnings
import numpy as np
from tinynet.tabular import TabularClassifier
rng = np.random.default_rng(0)
X, y = rng.normal(size=(2000, 5)), rng.integers(0, 2, 2000)
TabularClassifier(max_epochs=2, n_members={members}, threads={members}).fit(X, y)
print("begins", flush=True)
with warnings.catch_warnings(record=True) as seen:
    model = TabularClassifier(max_epochs=10**6, n_members={members}, threads={members}, time_limit={limit}).fit(X, y)
print([str(warning.message) for warning in seen], len(model.members_), np.isfinite(model.predict_proba(X)).all())
"""


# Once it is imported, polars has signals not wake a thread that waits, until a fit in the main thread sets the handler.
@pytest.mark.parametrize(("members", "limit"), [(1, None), (2, None), (2, 1000)])
def test_ctrl_c_keeps_the_best_weights(members, limit):
    body = INTERRUPTED.format(members=members, limit=limit)
    with started([sys.executable, "-c", body], cwd=ROOT, env=ENVIRONMENT) as child:
        assert child.stdout.readline() == "begins\n"
        time.sleep(1)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (out, err) == (f"['Training interrupted by user.'] {members} True\n", "")
