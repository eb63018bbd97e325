"""The estimators are scikit-learn's: the same numbers from the same seed, its checks, its exceptions; and more."""

import copy
import io
import pickle

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from backends import loaded
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import kernels
import tinynet as tn
from tinynet import nn, optim

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = DIGITS / 16
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
DIABETES = StandardScaler().fit_transform(DIABETES)
PROGRESS = (PROGRESS - PROGRESS.mean()) / PROGRESS.std()
COUNTS = np.round(np.exp(PROGRESS))
WEIGHT = np.random.default_rng(0).uniform(0.1, 2, len(DIGITS))
SMALL = {"hidden_layer_sizes": (16, 8), "max_iter": 10, "random_state": 0}

# ---- the same numbers ----------------------------------------------------------------------------------------------

SETTINGS = {
    "adam": {},
    "no shuffling": {"shuffle": False, "batch_size": 50},
    "large alpha": {"alpha": 10.0, "activation": "tanh"},
    "logistic": {"activation": "logistic", "hidden_layer_sizes": 8},
    "linear": {"activation": "identity", "hidden_layer_sizes": ()},
    "large epsilon": {"epsilon": 1e-3, "beta_1": 0.8, "beta_2": 0.99},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.1},
    "sgd without Nesterov": {"solver": "sgd", "learning_rate_init": 0.1, "nesterovs_momentum": False},
    "sgd without momentum": {"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.3, "tol": 0.5, "n_iter_no_change": 1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5, "power_t": 0.4},
    "early stopping": {"early_stopping": True, "max_iter": 15, "validation_fraction": 0.2, "n_iter_no_change": 2},
}  # fmt: skip
TARGETS = {
    "classes": ("MLPClassifier", {}, DIGITS, LABELS),
    "two classes": ("MLPClassifier", {}, DIGITS, np.where(LABELS > 4, "many", "few")),
    "labels": ("MLPClassifier", {}, DIGITS, np.column_stack([LABELS > 4, LABELS % 2 == 0, LABELS == 3]).astype(int)),
    "numbers": ("MLPRegressor", {}, DIABETES, PROGRESS),
    "two outputs": ("MLPRegressor", {}, DIABETES, np.column_stack([PROGRESS, PROGRESS**2])),
    "counts": ("MLPRegressor", {"loss": "poisson", "learning_rate_init": 1e-3}, DIABETES, COUNTS),
}
CASES = [(setting, target, False) for setting in SETTINGS for target in TARGETS]
CASES += [(setting, target, True) for setting in ("adam", "sgd", "early stopping") for target in TARGETS]


def both(name, **options):
    ours, theirs = getattr(tn, name), getattr(sklearn.neural_network, name)
    return ours(dtype="float64", **options), theirs(**options)


def assert_same(ours, theirs, X):
    assert ours.n_iter_ == theirs.n_iter_ and ours.t_ == theirs.t_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-9)
    for mine, other in zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-9)
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_)
    assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_)
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    assert (ours.n_layers_, ours.n_outputs_, ours.out_activation_) == (
        theirs.n_layers_, theirs.n_outputs_, theirs.out_activation_)  # fmt: skip
    predicted, expected = ours.predict(X), theirs.predict(X)
    if predicted.dtype.kind == "f":
        np.testing.assert_allclose(predicted, expected, atol=1e-9)
    else:
        np.testing.assert_array_equal(predicted, expected)


@pytest.mark.parametrize("setting, target, weighted", CASES)
def test_every_loss_and_weight_is_scikit_learns(setting, target, weighted):
    name, options, X, y = TARGETS[target]
    rows = slice(0, 600)
    fit = {"sample_weight": WEIGHT[: len(X)][rows]} if weighted else {}
    ours, theirs = both(name, **{**SMALL, **SETTINGS[setting], **options})
    assert_same(ours.fit(X[rows], y[rows], **fit), theirs.fit(X[rows], y[rows], **fit), X[:100])


@pytest.mark.parametrize("target", TARGETS)
def test_lbfgs_is_scikit_learns(target):
    name, options, X, y = TARGETS[target]
    ours, theirs = both(name, solver="lbfgs", **{**SMALL, **options})
    ours.fit(X, y), theirs.fit(X, y)
    assert ours.loss_ == pytest.approx(theirs.loss_, abs=1e-9) and ours.n_iter_ == theirs.n_iter_
    assert not hasattr(ours, "loss_curve_") and not hasattr(ours, "partial_fit")
    with pytest.raises(AttributeError):
        ours.partial_fit(X, y)


@pytest.mark.parametrize("target", TARGETS)
def test_partial_fit_and_warm_start_are_scikit_learns(target):
    name, options, X, y = TARGETS[target]
    ours, theirs = both(name, **{**SMALL, **options})
    first = {"classes": np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])} if name == "MLPClassifier" else {}
    for start in range(0, 400, 100):
        rows = slice(start, start + 100)
        for estimator in (ours, theirs):
            estimator.partial_fit(X[rows], y[rows], **first)
        first = {}
    ours = pickle.loads(pickle.dumps(ours))  # the optimizer's averages go along
    assert_same(ours.partial_fit(X[:70], y[:70]), theirs.partial_fit(X[:70], y[:70]), X[:50])
    ours, theirs = both(name, warm_start=True, **{**SMALL, **options, "max_iter": 3})
    for _ in range(3):
        assert_same(ours.fit(X[:300], y[:300]), theirs.fit(X[:300], y[:300]), X[:50])


CHANGES = [
    {"learning_rate_init": 0.1}, {"beta_1": 0.5}, {"beta_2": 0.9}, {"epsilon": 1e-2}, {"momentum": 0.1}, {"power_t": 0.9},
    {"nesterovs_momentum": False}, {"learning_rate": "invscaling"}, {"learning_rate": "adaptive"}, {"solver": "adam"},
    {"solver": "sgd"}, {"alpha": 1.0}, {"batch_size": 30}, {"activation": "tanh"}, {"shuffle": False}, {"tol": 1.0},
    {"random_state": 7}, {"n_iter_no_change": 1}, {"max_iter": 1},
]  # fmt: skip
RATES = {"solver", "learning_rate", "learning_rate_init", "power_t"}
STARTS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.05},
}


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    "start, change",
    [(start, c) for start in STARTS for c in CHANGES if start in ("adam", "sgd") or c.keys() & RATES],
    ids=str,
)
def test_parameters_that_change_are_taken_up_as_in_scikit_learn(start, change, warm):
    """partial_fit keeps its optimizer as it was made; a warm start makes one."""
    X, y = DIGITS[:300], LABELS[:300]
    ours, theirs = both("MLPClassifier", **{**SMALL, "max_iter": 3, "batch_size": 100, **STARTS[start]})
    for estimator in (ours, theirs):
        estimator.set_params(warm_start=warm).fit(X, y).set_params(**change)
    for rows in (slice(0, 300), slice(50, 250)):
        if not warm:
            ours = pickle.loads(pickle.dumps(ours))
        for estimator in (ours, theirs):
            estimator.fit(X, y) if warm else estimator.partial_fit(X[rows], y[rows])
    assert_same(ours, theirs, X[:50])


def test_partial_fit_after_lbfgs_makes_its_optimizer():
    model = tn.MLPClassifier(**SMALL, solver="lbfgs", backend="numpy").fit(DIGITS, LABELS)
    model.set_params(solver="adam", learning_rate_init=0.02).partial_fit(DIGITS, LABELS)
    assert model._session.rate == 0.02 and len(model.loss_curve_) == 1


@pytest.mark.parametrize(
    "option", [{"learning_rate": "cosine"}, {"norm": "batch"}, {"dropout": 0.1}, {"dtype": "float32"}]
)
def test_what_is_tinynets_own_may_change_between_calls(option):
    """A schedule is the optimizer's, and stays; the optimizer goes on where its averages fit, or is made anew."""
    X, y = DIGITS[:300], LABELS[:300]
    model = tn.MLPClassifier(**SMALL, dtype="float64", learning_rate_init=0.02, backend="numpy")
    model.partial_fit(X, y, classes=range(10))
    model.set_params(**option).partial_fit(X, y)
    group = model._session.optimizer.groups[0]
    assert group["lr"] == 0.02 and group["step"] == (2 if "norm" in option else 4)
    assert model._session.schedule is None and np.isfinite(model.loss_)


def test_scores_are_scikit_learns():
    """In float32, with rounding of its own: within a percentage point."""
    for name, X, y in (("MLPClassifier", DIGITS, LABELS), ("MLPRegressor", DIABETES, PROGRESS)):
        for seed in range(3):
            X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed)
            options = {"hidden_layer_sizes": (32,), "max_iter": 15, "batch_size": 32, "random_state": seed}
            scores = [
                getattr(package, name)(**options).fit(X_train, y_train).score(X_test, y_test)
                for package in (tn, sklearn.neural_network)
            ]
            assert abs(scores[0] - scores[1]) <= 0.01, (name, seed, scores)


def test_probabilities_are_scikit_learns():
    for target in ("classes", "two classes", "labels"):
        _, _, X, y = TARGETS[target]
        ours, theirs = both("MLPClassifier", **SMALL)
        ours.fit(X, y), theirs.fit(X, y)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-9)
        np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), atol=1e-9)


# ---- going on where scikit-learn was -------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("setting", ["adam", "sgd", "sgd without momentum", "invscaling", "early stopping"])
def test_a_fitted_estimator_of_scikit_learn_goes_on(target, setting):
    name, options, X, y = TARGETS[target]
    options = {**SMALL, **SETTINGS[setting], **options, "max_iter": 3, "random_state": np.random.RandomState(0)}
    theirs = getattr(sklearn.neural_network, name)(**options).fit(X[:300], y[:300])
    ours = tn.estimator_from_sklearn(theirs)
    assert type(ours).__name__ == name and ours.dtype == "float64"
    assert_same(ours, theirs, X[:50])
    if setting == "early stopping":  # with a warm start scikit-learn trains the very arrays that it kept as the best
        return
    for rows in (slice(0, 200), slice(100, 170)):
        assert_same(ours.partial_fit(X[rows], y[rows]), theirs.partial_fit(X[rows], y[rows]), X[:50])
    for estimator in (ours, theirs):
        estimator.set_params(warm_start=True).fit(X[:300], y[:300])
    assert_same(ours, theirs, X[:50])


def test_conversion_copies_and_takes_parameters():
    frame = pytest.importorskip("pandas").DataFrame(DIABETES).rename(columns=str)
    theirs = sklearn.neural_network.MLPRegressor(**SMALL).fit(frame, PROGRESS)
    ours = tn.estimator_from_sklearn(theirs, dtype="float32", backend="numpy", dropout=0.1)
    before = theirs.predict(frame)
    assert list(ours.feature_names_in_) == list(frame)
    np.testing.assert_allclose(ours.predict(frame), before, atol=1e-5)
    assert ours.partial_fit(frame, PROGRESS).coefs_[0].dtype == np.float32 and ours.backend == "numpy"
    np.testing.assert_array_equal(theirs.predict(frame), before)
    classifier = sklearn.neural_network.MLPClassifier(solver="lbfgs", **SMALL).fit(DIGITS, LABELS)
    ours = tn.estimator_from_sklearn(classifier)
    np.testing.assert_allclose(ours.predict_proba(DIGITS), classifier.predict_proba(DIGITS), atol=1e-9)
    with pytest.raises(NotFittedError):
        tn.estimator_from_sklearn(sklearn.neural_network.MLPClassifier())
    with pytest.raises(TypeError, match="estimator is a StandardScaler, expected scikit-learn's MLPClassifier"):
        tn.estimator_from_sklearn(StandardScaler())
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        tn.estimator_from_sklearn(theirs, depth=3)


# ---- scikit-learn's checks -----------------------------------------------------------------------------------------


def expected_failures(estimator):
    if estimator.dtype == "float64":
        return {}
    why = "weights and repeated rows are summed in another order: float32 differs by 1e-7, the check allows less"
    return {f"check_sample_weight_equivalence_on_{kind}_data": why for kind in ("dense", "sparse")}


@parametrize_with_checks(
    [
        make(max_iter=100, dtype=dtype)
        for make in (tn.MLPClassifier, tn.MLPRegressor)
        for dtype in ("float32", "float64")
    ],
    expected_failed_checks=expected_failures,
)
@pytest.mark.filterwarnings("ignore")
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_parameters_and_defaults_are_scikit_learns():
    for name in ("MLPClassifier", "MLPRegressor"):
        theirs = getattr(sklearn.neural_network, name)().get_params()
        assert theirs.items() <= getattr(tn, name)().get_params().items()


@pytest.mark.parametrize(
    "options",
    [{"activation": "sine"}, {"solver": "newton"}, {"alpha": -1}, {"batch_size": 0}, {"learning_rate": "fast"},
     {"learning_rate_init": 0}, {"max_iter": 0}, {"tol": -1}, {"momentum": 2}, {"beta_1": 1}, {"epsilon": 0},
     {"n_iter_no_change": 0}, {"validation_fraction": 1}, {"hidden_layer_sizes": "wide"}, {"hidden_layer_sizes": (8, 0)},
     {"dropout": 1}, {"norm": "group"}, {"dtype": "float16"}, {"dtype": int}, {"activation": ["relu"]},
     {"activation": ["relu", "sine"]}, {"backend": "nump"}, {"solver": "lbfgs", "dropout": 0.5}],
)  # fmt: skip
def test_bad_parameters_are_refused(options):
    for make in (tn.MLPClassifier, tn.MLPRegressor):
        with pytest.raises(ValueError):  # noqa: PT011 - InvalidParameterError is one
            make(**{"hidden_layer_sizes": (8, 8), **options}).fit(DIGITS[:20], LABELS[:20])


def test_bad_calls_are_refused():
    model = tn.MLPClassifier(**SMALL)
    with pytest.raises(NotFittedError):
        model.predict(DIGITS)
    with pytest.raises(ValueError, match="classes must be passed"):
        model.partial_fit(DIGITS, LABELS)
    with pytest.raises(ValueError, match="does not support early_stopping"):
        tn.MLPClassifier(early_stopping=True).partial_fit(DIGITS, LABELS, classes=range(10))
    with pytest.raises(ValueError, match="validation set is too small"):
        tn.MLPRegressor(early_stopping=True).fit(DIABETES[:5], PROGRESS[:5])
    with pytest.raises(ValueError, match="balanced"):
        tn.MLPClassifier(class_weight="balanced").partial_fit(DIGITS, LABELS, classes=range(10))
    with pytest.raises(ValueError, match=r"^Solver produced non-finite parameter weights\. The input data may contain"):
        tn.MLPRegressor(solver="sgd", learning_rate_init=1e6, **SMALL).fit(DIABETES * 1e6, PROGRESS)
    with pytest.raises(ValueError, match="eval_set has the classes"):
        model.fit(DIGITS[:100], LABELS[:100] % 3, eval_set=(DIGITS, LABELS))
    with pytest.raises(ValueError, match="weights of a whole batch may be 0"):
        tn.MLPClassifier(**SMALL, shuffle=False).fit(DIGITS, LABELS, sample_weight=np.arange(len(DIGITS)) > 400)
    model = tn.MLPClassifier(warm_start=True, **SMALL).fit(DIGITS, LABELS)
    with pytest.raises(ValueError, match="same classes"):
        model.fit(DIGITS, LABELS % 3)
    with pytest.warns(UserWarning, match="clipped"):
        tn.MLPRegressor(**SMALL, batch_size=1000).fit(DIABETES, PROGRESS)


@pytest.mark.filterwarnings("error")
def test_convergence_is_warned_of_as_in_scikit_learn():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(10\) reached") as caught:
        tn.MLPClassifier(**SMALL).fit(DIGITS, LABELS)
    assert [warning.filename for warning in caught] == [__file__]
    assert tn.MLPClassifier(**{**SMALL, "max_iter": 99}, tol=1.0, n_iter_no_change=2).fit(DIGITS, LABELS).n_iter_ < 99


def test_an_interrupted_fit_keeps_what_was_learned(monkeypatch):
    from tinynet.estimators.stochastic import EpochEnd

    noted = []

    def interrupt(self):
        noted.append(len(self.estimator.loss_curve_))
        if len(noted) == 3:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(EpochEnd, "_note_loss", interrupt)
    model = tn.MLPClassifier(**SMALL)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(DIGITS, LABELS)
    assert noted == [1, 2, 3] and model.n_iter_ == 3 and np.isfinite(model.coefs_[0]).all()


# ---- scikit-learn's tools ------------------------------------------------------------------------------------------


def test_pickles_hold_no_compiled_code_and_predict_the_same():
    for options in (
        {},
        {"dropout": 0.2, "norm": "batch"},
        {"solver": "sgd", "momentum": 1.0, "learning_rate_init": 1e-6},
        {"backend": kernels.load("numba", threads=1)},
    ):
        model = tn.MLPClassifier(**SMALL, **options).fit(DIGITS, LABELS)
        data = pickle.dumps(model)
        assert len(data) < 200_000
        for other in (pickle.loads(data), copy.deepcopy(model)):
            np.testing.assert_array_equal(other.predict_proba(DIGITS), model.predict_proba(DIGITS))
            other.partial_fit(DIGITS, LABELS)
        assert not hasattr(clone(model), "coefs_") and clone(model).backend is model.backend
        if "backend" in options:
            assert (other.backend.name, other.backend.asked) == ("numba", {"threads": 1})


def test_grid_search_and_pipeline():
    pipeline = make_pipeline(StandardScaler(), tn.MLPClassifier(**{**SMALL, "max_iter": 30}))
    search = GridSearchCV(pipeline, {"mlpclassifier__hidden_layer_sizes": [(4,), (32,)]}, cv=2, n_jobs=1)
    assert search.fit(DIGITS, LABELS).best_params_ == {"mlpclassifier__hidden_layer_sizes": (32,)}
    assert search.score(DIGITS, LABELS) > 0.9


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_are_arrays_with_names(library):
    frames = pytest.importorskip(library)
    names = [f"column {i}" for i in range(DIABETES.shape[1])]
    frame = frames.DataFrame(dict(zip(names, DIABETES.T, strict=True)))
    ours, theirs = both("MLPRegressor", **SMALL)
    plain = clone(ours).fit(DIABETES, PROGRESS)
    for estimator in (ours, theirs):
        estimator.fit(frame, frames.Series(PROGRESS))
    assert list(ours.feature_names_in_) == names and ours.loss_curve_ == plain.loss_curve_
    np.testing.assert_array_equal(ours.partial_fit(frame[:50], PROGRESS[:50]).predict(frame), ours.predict(frame))
    for wrong in (frame[names[::-1]], frame[names[:-1]]):
        messages = []
        for estimator in (ours, theirs):
            with pytest.raises(ValueError, match="feature names should match") as caught:
                estimator.predict(wrong)
            messages.append(str(caught.value).replace("MLP", ""))
        assert messages[0] == messages[1]
    with pytest.warns(UserWarning, match="X does not have valid feature names, but MLPRegressor was fitted with"):
        ours.predict(DIABETES)
    for y, columns in (
        (frames.Series(np.where(LABELS > 4, "many", "few")), 2),
        (frames.DataFrame({"a": LABELS > 4, "b": LABELS > 2}), 2),
    ):
        classifier = tn.MLPClassifier(**SMALL).fit(DIGITS, y)
        assert classifier.predict_proba(DIGITS).shape == (len(DIGITS), columns)
    for transform in ("pandas", "polars", "default"):
        pytest.importorskip("polars" if transform == "polars" else "pandas")
        pipeline = make_pipeline(StandardScaler(), clone(ours)).set_output(transform=transform)
        names_in = getattr(pipeline.fit(frame, PROGRESS)[-1], "feature_names_in_", None)
        assert names_in is None if transform == "default" else list(names_in) == names
        np.testing.assert_allclose(pipeline.predict(frame), plain.predict(DIABETES), atol=1e-9)


def test_sparse_input_gives_the_same():
    dense, sparse = (tn.MLPClassifier(**SMALL).fit(X, LABELS) for X in (DIGITS, scipy.sparse.csr_array(DIGITS)))
    assert dense.loss_curve_ == sparse.loss_curve_
    np.testing.assert_array_equal(sparse.predict(scipy.sparse.csc_array(DIGITS)), dense.predict(DIGITS))


def test_weights_that_are_set_are_used():
    model = tn.MLPRegressor(**SMALL).fit(DIABETES, PROGRESS)
    model.coefs_[-1] = np.zeros_like(model.coefs_[-1])
    model.intercepts_[-1][:] = 3
    np.testing.assert_array_equal(model.predict(DIABETES[:5]), 3)


# ---- beyond scikit-learn -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["naive", "numpy", "numba", "loaded", None])
def test_every_backend_learns_the_same(backend):
    rows = slice(0, 40 if backend == "naive" else 400)
    chosen = loaded("numpy") if backend == "loaded" else backend
    ours, theirs = both("MLPClassifier", **{**SMALL, "max_iter": 3})
    ours.set_params(backend=chosen).fit(DIGITS[rows], LABELS[rows])
    np.testing.assert_allclose(ours.loss_curve_, theirs.fit(DIGITS[rows], LABELS[rows]).loss_curve_, atol=1e-9)
    clone(ours).fit(DIGITS[rows], LABELS[rows])


def test_class_weight_is_a_sample_weight():
    y = (LABELS == 3).astype(int)
    by_class = {0: 0.5, 1: 4.0}
    ours = tn.MLPClassifier(**SMALL, class_weight=by_class).fit(DIGITS, y)
    same = tn.MLPClassifier(**SMALL).fit(DIGITS, y, sample_weight=np.where(y, 4.0, 0.5))
    assert ours.loss_curve_ == same.loss_curve_
    plain = tn.MLPClassifier(**SMALL).fit(DIGITS, y)
    balanced = tn.MLPClassifier(**SMALL, class_weight="balanced").fit(DIGITS, y)
    assert balanced.predict(DIGITS)[y == 1].mean() >= plain.predict(DIGITS)[y == 1].mean()
    weighted = tn.MLPClassifier(**SMALL, class_weight=by_class)
    weighted.fit(DIGITS, y, sample_weight=WEIGHT)
    product = tn.MLPClassifier(**SMALL).fit(DIGITS, y, sample_weight=np.where(y, 4.0, 0.5) * WEIGHT)
    np.testing.assert_allclose(weighted.loss_curve_, product.loss_curve_, rtol=1e-5)


def test_eval_set_is_the_loss_without_penalty():
    for target, (name, options, X, y) in TARGETS.items():
        model = getattr(tn, name)(**{**SMALL, **options, "alpha": 0, "shuffle": False, "dtype": "float64"})
        model.fit(X[:200], y[:200], eval_set=(X[:200], y[:200]))
        assert len(model.validation_loss_curve_) == 10
        # One batch an epoch: the loss before an update is that after the one before.
        np.testing.assert_allclose(model.validation_loss_curve_[:-1], model.loss_curve_[1:], atol=1e-9, err_msg=target)
    assert tn.MLPRegressor(**SMALL).fit(DIABETES, PROGRESS).validation_loss_curve_ is None


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_norms_dropout_and_activations_of_each_layer(solver):
    options = {"solver": solver, "activation": ["tanh", "gelu"], "norm": "layer"}
    options |= {} if solver == "lbfgs" else {"norm": "batch", "dropout": 0.1, "early_stopping": True}
    options |= {"learning_rate_init": 0.1} if solver == "sgd" else {"learning_rate_init": 0.01}
    models = [tn.MLPClassifier(**SMALL, batch_size=64, **options).fit(DIGITS, LABELS) for _ in range(2)]
    np.testing.assert_array_equal(models[0].predict_proba(DIGITS), models[1].predict_proba(DIGITS))
    assert models[0].score(DIGITS, LABELS) > (0.5 if solver == "lbfgs" else 0.85)


def test_steps_are_replayed():
    model = tn.MLPClassifier(**SMALL, batch_size=100, warm_start=True).fit(DIGITS, LABELS)
    assert "softmax_cross_entropy" in str(model._session.trainer.program)
    with pytest.raises(ValueError, match="hidden_layer_sizes is"):
        model.set_params(hidden_layer_sizes=(9,)).fit(DIGITS, LABELS)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_what_the_optimizer_calls_is_its_part_of_the_step(solver, weighted):
    """So that a profile does not show it as the forward part: that is layers, loss and penalty."""
    model = tn.MLPClassifier(**SMALL, solver=solver, warm_start=True, weight_decay=0.1, backend="numpy")
    model.fit(DIGITS, LABELS, WEIGHT if weighted else None)
    program = model._session.trainer.program
    instructions = program.instructions
    parts = [instruction.part for instruction in instructions]
    assert "forward" not in parts[parts.index("backward") :]
    options = [group.hyper for group in model._session.optimizer.groups]
    writers = [i for i in instructions if any(written_to(program, i, array) for array in options)]
    assert {"fill", "cast"} & {i.kernel for i in writers} and {i.part for i in writers} == {"optimizer"}


def written_to(program, instruction, array):
    """Whether the last operand, which is out, is in the array."""
    owner = program.memory.get(getattr(instruction.operands[-1], "buffer", None))
    return owner is not None and np.may_share_memory(owner, array)


def test_verbose_is_a_bar_on_a_terminal(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for verbose in (False, True):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        tn.MLPClassifier(**SMALL, verbose=verbose).fit(DIGITS, LABELS)
        assert ("samples" in terminal.getvalue()) == verbose
    assert capsys.readouterr().out == ""


def test_a_trainer_can_choose_the_order():
    seen = []

    class InOrder(tn.Trainer):
        def order(self, rows):
            seen.append(rows)
            return np.arange(rows)

    losses = []
    for make in (InOrder, InOrder, tn.Trainer):
        tn.manual_seed(0)
        model = nn.multilayer_perceptron(10, (8,), 1)
        trainer = make(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.05), progress=False)
        losses.append(trainer.fit(DIABETES, PROGRESS[:, None], epochs=2).step_loss)
    assert seen == [len(DIABETES)] * 4 and losses[0] == losses[1] != losses[2]


# ---- new rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_need_no_checks_are_refused_like_those_that_do(dtype):
    """Plain arrays pass by scikit-learn's checks; all that these refuse is still refused."""
    model = tn.MLPClassifier((8,), max_iter=2, random_state=0, dtype=dtype).fit(DIGITS[:100], LABELS[:100])
    rows = DIGITS[:3]
    for given in (rows, rows.astype(np.float32), np.asfortranarray(rows), rows.astype(">f8"), rows.tolist()):
        assert np.allclose(model.predict_proba(given), model.predict_proba(scipy.sparse.csr_matrix(rows)), atol=1e-5)
    kept = rows.copy()
    model.predict_proba(rows)
    assert np.array_equal(rows, kept)
    for wrong, said in [
        (np.full((1, 64), np.nan), "NaN"), (np.full((1, 64), np.inf), "infinity"), (np.zeros((1, 63)), "63 features"),
        (np.zeros((0, 64)), "0 sample"), (np.zeros(64), "1D array"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=said):
            model.predict_proba(wrong)
    if dtype == "float32":
        with pytest.raises(ValueError, match="infinity"):
            model.predict_proba(np.full((1, 64), 1e300))
    with pytest.raises(NotFittedError):
        tn.MLPClassifier().predict_proba(rows)
