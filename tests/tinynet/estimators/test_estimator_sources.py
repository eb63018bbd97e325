"""scikit-learn's estimators on sources: whichever types a target has, and what needs all rows at once."""

import warnings

import numpy as np
import polars as pl
import pytest
from sklearn.exceptions import ConvergenceWarning

import tinynet as tn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1500, 3))
WORDS = np.where(X[:, 0] > 0.7, "high", np.where(X[:, 0] > -0.5, "mid", "low"))
NUMBERS = X @ np.array([1.0, -2.0, 0.5])
FRAME = pl.DataFrame(X, schema=["a", "b", "c"])
OPTIONS = {"hidden_layer_sizes": (16,), "max_iter": 30, "random_state": 0, "learning_rate_init": 0.01}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def source(folder, target, **options):
    FRAME.with_columns(y=pl.Series(target)).write_parquet(folder / "t.parquet", row_group_size=200)
    return tn.scan(folder / "t.parquet", target="y", window=2, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", [WORDS, WORDS == "high", RNG.permutation(3)[np.unique(WORDS, return_inverse=True)[1]]], ids=["words", "truth", "numbers"])  # fmt: skip
def test_a_classifier(target, dtype, tmp_path):
    found = tn.MLPClassifier(**OPTIONS, dtype=dtype).fit(source(tmp_path, target))
    assert found.classes_.tolist() == np.unique(target).tolist()
    assert found.feature_names_in_.tolist() == ["a", "b", "c"] and found.n_features_in_ == 3
    assert (
        found.score(FRAME, target) > 0.9
        and len(found.loss_curve_) == found.n_iter_
        and found.t_ == found.n_iter_ * 1500
    )
    assert found.coefs_[0].dtype == dtype
    np.testing.assert_allclose(found.predict_proba(source(tmp_path, target)), found.predict_proba(FRAME), rtol=1e-6)
    assert found.predict(source(tmp_path, target)).tolist() == found.predict(FRAME).tolist()
    again = tn.MLPClassifier(**OPTIONS, dtype=dtype).fit(source(tmp_path, target))
    assert again.loss_curve_ == found.loss_curve_


@pytest.mark.parametrize("options", [{}, {"loss": "huber"}, {"early_stopping": True}])
def test_a_regressor(options, tmp_path):
    eval_set = (FRAME, NUMBERS) if options.get("early_stopping") else None
    found = tn.MLPRegressor(**OPTIONS, **options).fit(source(tmp_path, NUMBERS), eval_set=eval_set)
    assert found.score(FRAME, NUMBERS) > 0.95
    np.testing.assert_allclose(found.predict(source(tmp_path, NUMBERS)), found.predict(FRAME), rtol=1e-5, atol=1e-6)
    arrays = tn.MLPRegressor(**OPTIONS).fit(tn.scan(X, np.column_stack([NUMBERS, -NUMBERS]), block_rows=200))
    assert arrays.n_outputs_ == 2 and arrays.score(X, np.column_stack([NUMBERS, -NUMBERS])) > 0.95


def test_class_weights_count(tmp_path):
    rare = np.where(X[:, 0] > 2, "yes", "no")
    plain, weighted = (tn.MLPClassifier(**{**OPTIONS, "max_iter": 3}, class_weight=weight).fit(source(tmp_path, rare))
                       for weight in (None, {"no": 1.0, "yes": 50.0}))  # fmt: skip
    assert (weighted.predict(FRAME) == "yes").sum() > (plain.predict(FRAME) == "yes").sum()


REFUSED = [
    (lambda f: tn.MLPClassifier().fit(source(f, WORDS), WORDS), TypeError, "y is given beside a source"),
    (lambda f: tn.MLPClassifier().fit(source(f, WORDS), sample_weight=np.ones(1500)), TypeError, "sample_weight is given beside"),
    (lambda f: tn.MLPClassifier().fit(tn.scan(X)), ValueError, "a source without a target"),
    (lambda f: tn.MLPClassifier(solver="lbfgs").fit(source(f, WORDS)), ValueError, "solver is 'lbfgs', expected 'adam' or 'sgd'"),
    (lambda f: tn.MLPClassifier(shuffle=False).fit(source(f, WORDS)), ValueError, "shuffle is False, expected True"),
    (lambda f: tn.MLPClassifier(class_weight="balanced").fit(source(f, WORDS)), ValueError, "class_weight is 'balanced'"),
    (lambda f: tn.MLPClassifier(early_stopping=True).fit(source(f, WORDS)), ValueError, "early_stopping is True"),
    (lambda f: tn.MLPRegressor().fit(source(f, WORDS)), ValueError, "could not convert string"),
    (lambda f: tn.MLPRegressor().fit(source(f, [None, *NUMBERS[1:]])), ValueError, "blank in row 0|NaN"),
    (lambda f: tn.MLPClassifier().fit(source(f, WORDS, columns=["a", "t"])), ValueError, "columns 't'"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_refused(case, tmp_path):
    call, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        call(tmp_path)
