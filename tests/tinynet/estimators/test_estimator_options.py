"""What the estimators take beyond scikit-learn's parameters: losses, scorers, schedules, and what trains each layer."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.metrics import f1_score

import tinynet as tn
from tinynet import functional as F
from tinynet import nn
from tinynet.backends import resolve

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

DIGITS, LABELS = (part[:400] for part in load_digits(return_X_y=True))
DIGITS = DIGITS / 16
EVALUATION = (DIGITS[300:], LABELS[300:])
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
DIABETES, PROGRESS = 20 * DIABETES, (PROGRESS - PROGRESS.mean()) / PROGRESS.std()
TWO = np.column_stack([PROGRESS, 3 * PROGRESS**2])
SMALL = {"hidden_layer_sizes": (8, 6), "max_iter": 6, "random_state": 0, "batch_size": 50}


def same_weights(one, other):
    pairs = zip([*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_], strict=True)
    return all(np.array_equal(mine, yours) for mine, yours in pairs)


# ---- losses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    "make, name, function, y",
    [
        (tn.MLPClassifier, "log_loss", nn.CrossEntropyLoss(), LABELS),
        (tn.MLPClassifier, "log_loss", nn.BCEWithLogitsLoss(), LABELS > 4),
        (tn.MLPClassifier, "log_loss", lambda z, t: F.binary_cross_entropy_with_logits(z, t) * 2.0,
         np.column_stack([LABELS > 4, LABELS % 2])),
        (tn.MLPRegressor, "squared_error", lambda z, t: F.mse_loss(z, t) / 2.0, PROGRESS),
        (tn.MLPRegressor, "huber", nn.HuberLoss(), TWO),
        (tn.MLPRegressor, "absolute_error", nn.L1Loss(), TWO),
    ],
)  # fmt: skip
def test_a_function_as_loss_is_the_loss_of_that_name(make, name, function, y, solver):
    X = DIGITS if make is tn.MLPClassifier else DIABETES
    options = {"eval_set": (X[:99], y[:99])} if solver == "adam" else {}
    named, given = (
        make(**SMALL, dtype="float64", solver=solver, loss=loss).fit(X, y, **options) for loss in (name, function)
    )
    assert given.loss_ == pytest.approx(named.loss_, rel=1e-9) and given.loss_ > 0
    np.testing.assert_allclose(given.predict(X).astype(float), named.predict(X).astype(float), atol=1e-6)
    if solver == "adam":
        np.testing.assert_allclose(given.validation_loss_curve_, named.validation_loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("loss", ["huber", "absolute_error"])
def test_weights_are_repetitions_of_rows(loss):
    times = np.arange(len(TWO)) % 3
    options = SMALL | {"dtype": "float64", "loss": loss}
    X, y = np.repeat(DIABETES, times, 0), np.repeat(TWO, times, 0)
    weighted = tn.MLPRegressor(**options | {"batch_size": len(TWO)}).fit(DIABETES, TWO, sample_weight=times)
    repeated = tn.MLPRegressor(**options | {"batch_size": len(y)}).fit(X, y)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)


def average(losses, sample_weight):
    return losses.mean() if sample_weight is None else (losses * sample_weight).sum() / sample_weight.sum()


def log_loss(outputs, labels, sample_weight=None):
    return average(F.cross_entropy(outputs, labels, reduction="none"), sample_weight)


def squared_error(outputs, targets, sample_weight=None):
    return average(((outputs - targets) * (outputs - targets)).sum(axis=1) / 2.0, sample_weight)


@pytest.mark.parametrize(
    "make, name, function, X, y",
    [
        (tn.MLPClassifier, "log_loss", log_loss, DIGITS, LABELS),
        (tn.MLPRegressor, "squared_error", squared_error, DIABETES, PROGRESS),
    ],
)
def test_a_function_gets_weights(make, name, function, X, y):
    for sample_weight in (None, 1.0 + np.arange(len(y)) % 4):
        options = SMALL | {"dtype": "float64", "early_stopping": True, "scoring": "loss"}
        named, given = (make(**options, loss=loss).fit(X, y, sample_weight) for loss in (name, function))
        np.testing.assert_allclose(given.loss_curve_, named.loss_curve_, rtol=1e-9)
        np.testing.assert_allclose(given.validation_scores_, named.validation_scores_, rtol=1e-9)


def test_targets_are_tensors_so_that_arithmetic_on_them_is_replayed():
    def hinge(outputs, targets):
        return (1 - outputs * (2 * targets - 1)).relu().mean()

    model = tn.MLPClassifier(**SMALL | {"max_iter": 30}, loss=hinge, warm_start=True).fit(DIGITS, LABELS > 4)
    assert model.score(DIGITS, LABELS > 4) > 0.8 and "relu" in str(model._session.trainer.program)


def test_a_loss_may_change_between_epochs():
    factor = [1.0]

    def loss(outputs, labels):
        return F.cross_entropy(outputs, labels) * factor[0]

    def ten_times(trainer, history):
        factor[0] *= 10

    model = tn.MLPClassifier(**SMALL, loss=loss, callbacks=[ten_times], alpha=0, tol=0).fit(DIGITS, LABELS)
    plain = tn.MLPClassifier(**SMALL, alpha=0).fit(DIGITS, LABELS)  # Adam's updates do not depend on the scale
    np.testing.assert_allclose(model.loss_curve_, plain.loss_curve_ * 10.0 ** np.arange(6), rtol=0.1)


def test_a_loss_that_reads_values_trains_step_by_step():
    def loss(outputs, labels):
        value = F.cross_entropy(outputs, labels)
        return value if value.item() > 0 else value * 2.0

    with pytest.warns(UserWarning, match="step by step"):
        model = tn.MLPClassifier(**SMALL, loss=loss).fit(DIGITS, LABELS)
    assert model.loss_curve_ == tn.MLPClassifier(**SMALL).fit(DIGITS, LABELS).loss_curve_


def test_bad_losses_are_refused():
    with pytest.raises(TypeError, match=r"loss returned a Tensor of shape \(50, 10\), expected a scalar"):
        tn.MLPClassifier(**SMALL, loss=lambda outputs, labels: outputs).fit(DIGITS, LABELS)
    for weights in ({"class_weight": "balanced"}, {}):
        model = tn.MLPClassifier(**SMALL, loss=nn.CrossEntropyLoss(), **weights)
        with pytest.raises(ValueError, match="without a parameter sample_weight"):
            model.fit(DIGITS, LABELS, sample_weight=None if weights else np.ones(len(LABELS)))


# ---- early stopping ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, least", [("loss", -2), ("neg_log_loss", -2), ("roc_auc_ovr", 0.8), ("f1_macro", 0.3)])
def test_any_scorer_decides_when_to_stop(name, least):
    options = SMALL | {"early_stopping": True, "learning_rate_init": 0.01, "scoring": name}
    model = tn.MLPClassifier(**options).fit(DIGITS, LABELS)
    assert least < model.best_validation_score_ == max(model.validation_scores_)
    if name == "loss":
        scored = clone(model).set_params(scoring="neg_log_loss").fit(DIGITS, LABELS)
        np.testing.assert_allclose(scored.validation_scores_, model.validation_scores_, rtol=1e-4)


def test_a_scorer_gets_rows_as_the_user_gave_them():
    seen = []

    def scorer(estimator, X, y, sample_weight=None):
        seen.append((X, y, sample_weight))
        return estimator.score(X, y)

    frame = pd.DataFrame(DIGITS, columns=[f"pixel {i}" for i in range(64)])
    names = np.array([f"digit {label}" for label in LABELS])
    options = SMALL | {"early_stopping": True}
    scored = tn.MLPClassifier(**options, scoring=scorer).fit(frame, names)
    assert scored.validation_scores_ == tn.MLPClassifier(**options).fit(frame, names).validation_scores_
    X, y, weight = seen[-1]
    assert list(X.columns) == list(frame.columns) and len(X) == 40 and weight is None
    np.testing.assert_array_equal(X, frame.loc[X.index])
    np.testing.assert_array_equal(y, names[X.index])
    scored.fit(frame, names, sample_weight=1.0 + np.arange(400))
    np.testing.assert_array_equal(seen[-1][2], 1.0 + seen[-1][0].index)


@pytest.mark.parametrize("scoring", [None, "loss", "f1_macro"])
def test_an_eval_set_decides_and_all_rows_are_learned_from(scoring):
    options = SMALL | {"early_stopping": True, "max_iter": 60, "n_iter_no_change": 2, "learning_rate_init": 0.02}
    model = tn.MLPClassifier(**options, scoring=scoring, tol=0.01).fit(DIGITS[:300], LABELS[:300], eval_set=EVALUATION)
    assert model.t_ == 300 * model.n_iter_ and 3 < model.n_iter_ < 60
    X, y = EVALUATION
    last = {
        None: model.score(X, y), "loss": -min(model.validation_loss_curve_),
        "f1_macro": f1_score(y, model.predict(X), average="macro"),
    }  # fmt: skip
    assert last[scoring] == max(model.validation_scores_) > model.validation_scores_[0]


def test_a_warm_start_may_change_how_it_stops():
    model = tn.MLPClassifier(**SMALL, warm_start=True, solver="lbfgs").fit(DIGITS, LABELS)
    for options in ({"solver": "adam"}, {"early_stopping": True}, {"early_stopping": False}):
        model.set_params(**options).fit(DIGITS, LABELS)
    assert len(model.loss_curve_) == 18 and len(model.validation_scores_) == 6 and np.isfinite(model.best_loss_)


def test_partial_fit_notes_the_loss_of_an_eval_set():
    model = tn.MLPRegressor(**SMALL, shuffle=False)
    whole = clone(model).fit(DIABETES, TWO, eval_set=(DIABETES, TWO))
    for _ in range(6):
        model.partial_fit(DIABETES, TWO, eval_set=(DIABETES, TWO))
    assert model.validation_loss_curve_ == whole.validation_loss_curve_ and len(whole.validation_loss_curve_) == 6


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "make, options, X, y",
    [
        (tn.MLPClassifier, {}, DIGITS, LABELS),
        (tn.MLPClassifier, {"class_weight": "balanced"}, DIGITS, LABELS),
        (tn.MLPClassifier, {"class_weight": {0: 5.0, 3: 0.1}}, DIGITS, np.minimum(LABELS, 4)),
        (tn.MLPClassifier, {"class_weight": "balanced"}, DIGITS, np.where(LABELS == 3, "three", "other")),
        (
            tn.MLPClassifier,
            {"class_weight": "balanced"},
            DIGITS,
            np.column_stack([LABELS == 3, LABELS > 2, LABELS > 99]),
        ),
        (tn.MLPClassifier, {"loss": log_loss, "class_weight": "balanced"}, DIGITS, LABELS),
        (tn.MLPRegressor, {}, DIABETES, TWO),
        (tn.MLPRegressor, {"loss": "poisson"}, DIABETES, np.abs(PROGRESS).round()),
        (tn.MLPRegressor, {"loss": squared_error}, DIABETES, PROGRESS),
    ],
)
def test_an_eval_set_is_weighted_as_rows_that_are_learned_from(make, options, X, y, dtype):
    weight = 1.0 + np.arange(len(y)) % 4
    model = make(**SMALL | options | {"alpha": 0, "batch_size": len(y), "shuffle": False, "dtype": dtype})
    model.fit(X, y, weight, eval_set=(X, y, weight))
    # One batch an epoch: the loss before an update is that after the one before.
    tolerance = {"rtol": 1e-9 if dtype == "float64" else 1e-4}
    np.testing.assert_allclose(model.validation_loss_curve_[:-1], model.loss_curve_[1:], **tolerance)
    part = np.arange(len(y)) % 2 == 0  # other classes are as frequent here, and yet weigh as much as in training
    again = clone(model).fit(X, y, weight, eval_set=(X, y, weight * part))
    halved = clone(model).fit(X, y, weight, eval_set=(X[part], y[part], weight[part]))
    np.testing.assert_allclose(again.validation_loss_curve_, halved.validation_loss_curve_, **tolerance)


def test_weights_of_an_eval_set_decide_when_to_stop():
    options = SMALL | {
        "early_stopping": True,
        "n_iter_no_change": 99,
        "max_iter": 20,
        "learning_rate_init": 0.02,
        "backend": "numpy",
    }
    weight = (EVALUATION[1] < 5).astype(float)
    seen = []
    model = tn.MLPClassifier(**options, callbacks=[lambda *_: seen.append(model.score(*EVALUATION, weight))])
    model.fit(DIGITS[:300], LABELS[:300], eval_set=(*EVALUATION, weight))
    assert model.validation_scores_ == seen and len(set(seen)) > 2


def test_bad_weights_of_an_eval_set_are_refused():
    model = tn.MLPClassifier(**SMALL, backend="numpy")
    for eval_set, says in (
        ((*EVALUATION, np.ones(3)), r"sample_weight.shape == \(3,\), expected \(100,\)"),
        ((*EVALUATION, np.full(100, np.nan)), "NaN"),
        ((*EVALUATION, np.zeros(100)), "eval_set has weights whose sum is 0, expected a sum above 0|non-zero"),
        ((*EVALUATION, None, None), r"eval_set is no pair, expected \(X, y\) or \(X, y, sample_weight\)"),
        ("rows", "eval_set is no pair"),
    ):
        with pytest.raises(ValueError, match=says):
            model.fit(DIGITS, LABELS, eval_set=eval_set)
    model.set_params(loss=nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="without a parameter sample_weight"):
        model.fit(DIGITS, LABELS, eval_set=(*EVALUATION, np.ones(100)))
    assert np.isfinite(model.fit(DIGITS, LABELS, eval_set=(*EVALUATION, None)).validation_loss_curve_).all()


def test_class_weights_of_partial_fit_hold_for_chunks_without_some_classes():
    y = np.minimum(LABELS, 4)
    model = tn.MLPClassifier(**SMALL, class_weight={0: 5.0, 3: 0.1}, backend="numpy")
    weighted = tn.MLPClassifier(**SMALL, backend="numpy")
    chunks = [np.flatnonzero(np.isin(y, some)) for some in ([0, 4], [1, 2], [3, 4])]
    for rows in chunks:
        model.partial_fit(DIGITS[rows], y[rows], classes=range(5))
        weight = np.array([5.0, 1, 1, 0.1, 1])[y[rows]]
        weighted.partial_fit(DIGITS[rows], y[rows], weight, classes=range(5))
    assert same_weights(model, weighted)


@pytest.mark.parametrize("make, y", [(tn.MLPClassifier, LABELS % 2), (tn.MLPRegressor, PROGRESS[:400])])
@pytest.mark.parametrize("scoring", [None, "loss"])
def test_bags_of_few_rows_stop_early(make, y, scoring):
    """Where a bag left out all rows that are held out, those count alike."""
    options = SMALL | {"early_stopping": True, "scoring": scoring, "backend": "numpy", "batch_size": "auto"}
    for seed in range(10):  # of 3 rows that are held out often none is among the first 5
        model = make(**options | {"random_state": seed}).fit(DIGITS[:30], y[:30], np.arange(30) < 5)
        assert np.isfinite(model.validation_scores_).all()
    bags = (BaggingClassifier if make is tn.MLPClassifier else BaggingRegressor)(make(**options), 5, max_samples=9)
    assert bags.set_params(random_state=0).fit(DIGITS[:30], y[:30]).predict(DIGITS).shape == (400,)


@pytest.mark.parametrize("dtypes", [("float64", "float32"), ("float32", "float64")])
def test_an_eval_set_may_come_with_another_dtype(dtypes):
    model, (first, second) = tn.MLPRegressor(**SMALL, warm_start=True, backend="numpy"), dtypes
    model.set_params(dtype=first).fit(DIABETES, TWO, eval_set=(DIABETES, TWO))
    model.set_params(dtype=second).fit(DIABETES, TWO, eval_set=(DIABETES, TWO))
    assert model.coefs_[0].dtype == second and model.validation_loss_curve_[-1] < model.validation_loss_curve_[0]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_poisson_loss_has_no_targets_below_0(solver):
    model, counts = tn.MLPRegressor("poisson", **SMALL, solver=solver, backend="numpy"), np.abs(TWO).round()
    with pytest.raises(ValueError, match=r"^Some value\(s\) of y are out of the valid range of the loss 'poisson': -1"):
        model.fit(DIABETES, np.where(counts == 1, -1, counts))
    assert np.isfinite(model.fit(DIABETES, counts).loss_)
    if solver == "adam":
        with pytest.raises(ValueError, match=r"^Some value\(s\) of eval_set are out of the valid range"):
            model.fit(DIABETES, counts, eval_set=(DIABETES, -counts))


@pytest.mark.parametrize("make", [tn.MLPClassifier, tn.MLPRegressor])
def test_numbers_that_float32_does_not_hold_are_refused(make):
    X, y, labels = DIABETES.copy(), PROGRESS.copy(), make is tn.MLPClassifier
    X[3, 1] = y[7] = 1e300
    model, weight = make(**SMALL, backend="numpy"), np.abs(y)
    target = PROGRESS > 0 if labels else PROGRESS
    with pytest.raises(ValueError, match="Input X contains infinity or a value too large"):
        model.fit(X, target)
    with pytest.raises(ValueError, match=r"^the sample_weight of y holds 1e\+300 in row 7, expected numbers that are"):
        model.fit(DIABETES, target, weight)
    if not labels:
        with pytest.raises(ValueError, match=r"^y holds 1e\+300 in row 7, column 0, expected .* finite in float32"):
            model.fit(DIABETES, y)
        with pytest.raises(ValueError, match=r"^y of eval_set holds 1e\+300"):
            model.fit(DIABETES, PROGRESS, eval_set=(DIABETES, y))
    model.set_params(dtype="float64", max_iter=1).fit(DIABETES, target, weight * 1e-200)


@pytest.mark.parametrize("value", [np.nan, np.inf, None, "good"])
def test_scores_that_are_no_finite_numbers_are_refused(value):
    model = tn.MLPRegressor(**SMALL | {"max_iter": 50}, early_stopping=True, scoring=lambda *_: value, backend="numpy")
    with pytest.raises(ValueError, match=f"scoring gave {value!r}, expected a finite number"):
        model.fit(DIABETES, TWO)


# ---- steps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize(
    "rate", ["cosine", "one_cycle", "plateau", tn.schedule.LinearWarmup(5, tn.schedule.StepDecay(2))]
)
def test_partial_fit_goes_on_where_it_stopped(solver, rate):
    options = SMALL | {"solver": solver, "learning_rate": rate, "shuffle": False, "max_grad_norm": 0.5}
    options |= {"weight_decay": 0.1, "dropout": [0.2, 0], "norm": ["none", "batch"], "n_iter_no_change": np.inf}
    options |= {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}
    whole = tn.MLPClassifier(**options).fit(DIGITS, LABELS)
    parts = tn.MLPClassifier(**options)
    for epoch in range(6):
        parts.partial_fit(DIGITS, LABELS, classes=range(10))
        if epoch == 2:
            parts = pickle.loads(pickle.dumps(parts))
    assert whole.loss_curve_ == parts.loss_curve_ and same_weights(whole, parts)
    again = tn.MLPClassifier(**options, warm_start=True).fit(DIGITS, LABELS)
    assert same_weights(whole, again) and not same_weights(whole, again.fit(DIGITS, LABELS))


def test_each_call_visits_all_its_rows_also_after_an_interrupted_one():
    calls = []

    def loss(outputs, labels):
        calls.append(len(labels))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return F.cross_entropy(outputs, labels)

    model = tn.MLPClassifier(**SMALL, loss=loss)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.partial_fit(DIGITS, LABELS, classes=range(10))
    assert model.n_iter_ == 0 and model._session.trainer.step == 1
    model.partial_fit(DIGITS, LABELS)
    assert model.n_iter_ == 1 and model._session.trainer.step == 1 + 8


def test_the_learning_rate_follows_the_schedule():
    rates, schedule = [], tn.schedule.Cosine(floor=0.2)

    def note(trainer, history):
        rates.append((trainer.step, history.learning_rate[-1]))

    options = SMALL | {"learning_rate": schedule, "callbacks": [note], "warm_start": True, "max_iter": 3}
    model = tn.MLPRegressor(**options, learning_rate_init=0.01).fit(DIABETES[:100], PROGRESS[:100])
    model.partial_fit(DIABETES[:100], PROGRESS[:100])  # counts on
    model.fit(DIABETES[:100], PROGRESS[:100])  # begins anew, as the optimizer does
    assert [step for step, _ in rates] == [2, 4, 6, 8, 2, 4, 6]
    np.testing.assert_allclose([rate for _, rate in rates], [0.01, 0.008, 0.004, 0.002, 0.01, 0.008, 0.004])
    assert schedule.state_dict() == {"initial": None}


@pytest.mark.parametrize(
    "schedule",
    ["exponential", "cosine", "one_cycle", tn.schedule.StepDecay(2), tn.schedule.LinearWarmup(4, tn.schedule.Cosine())],
)
@pytest.mark.parametrize("sizes", [(100, 100, 20, 100, 7, 100), (20, 100, 100, 100, 100, 100)])
def test_a_chunk_of_other_size_has_the_rates_of_its_epoch(sizes, schedule):
    """Chunks of 100 rows in batches of 10, and some that are shorter: up to rounding of steps, nothing changes."""

    def rates(sizes):
        found, model = [], tn.MLPRegressor(max_iter=6, learning_rate=schedule, backend="numpy")
        for rows in sizes:
            model.set_params(batch_size=min(10, rows)).partial_fit(DIABETES[:rows], PROGRESS[:rows])
            found.append(model._session.rate)  # for the step that comes next
            if len(found) == 3:
                model = pickle.loads(pickle.dumps(model))
        return found

    whole, mixed = rates([100] * 6), rates(sizes)
    assert mixed[sizes.index(100) :] == whole[sizes.index(100) :]


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weight_decay_shrinks_the_weights_alone(solver):
    def nothing(outputs, targets):
        return (outputs * 0.0).sum()

    options = SMALL | {"solver": solver, "alpha": 0, "loss": nothing, "n_iter_no_change": np.inf, "dtype": "float64"}
    options |= {"learning_rate_init": 0.01, "max_iter": 2}
    plain, decayed = (tn.MLPRegressor(**options, weight_decay=decay).fit(DIABETES, TWO) for decay in (0.0, 3.0))
    for before, after in zip(plain.coefs_, decayed.coefs_, strict=True):
        np.testing.assert_allclose(after, before * (1 - 0.01 * 3) ** (2 * 9), rtol=1e-12)
    for before, after in zip(plain.intercepts_, decayed.intercepts_, strict=True):
        np.testing.assert_array_equal(after, before)


def test_max_grad_norm_bounds_a_step():
    options = {"solver": "sgd", "momentum": 0, "alpha": 0, "dtype": "float64", "shuffle": False, "max_iter": 1}
    options = SMALL | options | {"learning_rate_init": 0.1, "batch_size": 400}
    frozen, free, clipped = (
        tn.MLPClassifier(**options | chosen).fit(DIGITS, LABELS)
        for chosen in ({"learning_rate_init": 1e-200}, {}, {"max_grad_norm": 0.01})
    )

    def moved(model):
        arrays = zip(model.coefs_ + model.intercepts_, frozen.coefs_ + frozen.intercepts_, strict=True)
        return np.sqrt(sum(((after - before) ** 2).sum() for after, before in arrays))

    assert moved(clipped) == pytest.approx(0.1 * 0.01) and moved(free) > 0.01


def test_callbacks_hear_each_epoch_and_may_stop():
    heard = []

    def second(trainer, history):
        heard.append((len(history.train_loss), trainer.model.state_dict().keys()))
        return len(heard) == 2

    model = tn.MLPClassifier(**SMALL, callbacks=(lambda trainer, history: None, second)).fit(DIGITS, LABELS)
    assert model.n_iter_ == 2 == len(model.loss_curve_) and [epoch for epoch, _ in heard] == [1, 2]


# ---- backends and layers -------------------------------------------------------------------------------------------


def test_threads_are_the_backends():
    models = [tn.MLPClassifier(**SMALL, backend="numba", threads=threads).fit(DIGITS, LABELS) for threads in (1, 2)]
    assert same_weights(*models)
    with models[1]._running() as backend:
        assert backend.name == "numba" and backend.options["threads"] == 2 and backend is not resolve("numba")
    with models[1]._running() as again:
        assert again is backend
    for make in (tn.MLPClassifier, tn.MLPRegressor):
        with pytest.raises(ValueError, match="backend 'numpy' has no option 'threads'"):
            make(**SMALL, backend="numpy", threads=2).fit(DIGITS, LABELS)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_backends_agree_on_all_options(solver):
    options = SMALL | {"max_iter": 2, "solver": solver, "dtype": "float64", "loss": log_loss, "learning_rate": "cosine"}
    options |= {
        "weight_decay": 0.5,
        "max_grad_norm": 0.3,
        "norm": ["layer", "none"],
        "class_weight": "balanced",
        "batch_size": 16,
    }
    models = [
        tn.MLPClassifier(**options, backend=backend).fit(DIGITS[:40], LABELS[:40], eval_set=EVALUATION)
        for backend in ("numba", "numpy", "naive")
    ]
    for other in models[1:]:
        np.testing.assert_allclose(other.loss_curve_, models[0].loss_curve_, rtol=1e-9)
        np.testing.assert_allclose(other.validation_loss_curve_, models[0].validation_loss_curve_, rtol=1e-9)


def test_each_layer_has_its_norm_and_dropout():
    model = tn.MLPClassifier(**SMALL, norm=["layer", "none"], dropout=(0, 0.25), activation=["tanh", "relu"])
    network = model.fit(DIGITS, LABELS)._session.model
    assert [type(module).__name__ for module in network] == [
        "Linear", "LayerNorm", "Tanh", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    same = tn.MLPClassifier(**SMALL, norm="batch", dropout=0.25).fit(DIGITS, LABELS)
    assert same_weights(same, tn.MLPClassifier(**SMALL, norm=["batch"] * 2, dropout=[0.25] * 2).fit(DIGITS, LABELS))


@pytest.mark.parametrize(
    "options, says",
    [
        ({"loss": "hinge"}, "'loss' parameter"),
        ({"scoring": "accurate", "early_stopping": True}, "'scoring' parameter"),
        ({"scoring": "loss"}, "expected early_stopping=True"),
        ({"learning_rate": "cosin"}, "'learning_rate' parameter"),
        ({"norm": ["batch"]}, "2 of them, one for each hidden layer"),
        ({"norm": ["batch", ["none"]]}, "norm is"),
        ({"dropout": [0.5, 1]}, r"dropout is \[0.5, 1\], expected a number in \[0, 1\)"),
        ({"dropout": (0.5,)}, "dropout is"),
        ({"max_grad_norm": 0}, "'max_grad_norm' parameter"),
        ({"weight_decay": -1}, "'weight_decay' parameter"),
        ({"threads": 0}, "'threads' parameter"),
        ({"callbacks": print}, "'callbacks' parameter"),
        ({"callbacks": [3]}, "callbacks holds a int"),
        ({"callbacks": [tn.EarlyStopping()]}, "early_stopping=True"),
        ({"solver": "lbfgs", "learning_rate": "cosine"}, "schedule"),
        ({"solver": "lbfgs", "max_grad_norm": 1.0}, "max_grad_norm"),
        ({"solver": "lbfgs", "weight_decay": 0.1}, "weight_decay"),
        ({"solver": "lbfgs", "callbacks": [print]}, "callbacks"),
        ({"solver": "lbfgs", "dropout": [0, 0.1]}, "randomness"),
    ],
)
def test_what_makes_no_sense_is_refused(options, says):
    for make in (tn.MLPClassifier, tn.MLPRegressor):
        with pytest.raises((ValueError, TypeError), match=says):
            make(**SMALL | options).fit(DIGITS, LABELS)
    with pytest.raises(ValueError, match="eval_set"):
        tn.MLPRegressor(**SMALL, solver="lbfgs").fit(DIABETES, TWO, eval_set=(DIABETES, TWO))
