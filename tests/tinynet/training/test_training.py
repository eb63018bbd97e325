"""The Trainer: what it promises about order, seconds, stopping, agreement and refusal."""

import re
import signal
import sys
import textwrap
import time

import numpy as np
import pytest
from backends import BACKENDS, loaded
from children import ENVIRONMENT, LIMIT, finished, started

import kernels
import tinynet as tn
from tinynet import Tensor, nn, optim, schedule
from tinynet import functional as F
from tinynet.training import trainer as training

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(50, 6)), RNG.integers(0, 3, 50)
NUMBERS = X @ RNG.normal(size=(6, 2))


def trainer(backend="numpy", dtype=np.float32, seed=0, make=optim.Adam, lr=1e-2, **options):
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(6, (16, 8), 3, dropout=0.2, norm="batch").to(dtype)
    return tn.Trainer(
        model, nn.CrossEntropyLoss(), make(model.parameters(), lr=lr), backend, seed, progress=False, **options
    )


@pytest.mark.parametrize("make", optim.OPTIMIZERS.values())
def test_backends_agree_in_float64(make):
    """1e-9 over 10 steps."""
    losses = [
        trainer(loaded(name), np.float64, make=make).fit(X, LABELS, epochs=2, batch_size=10).step_loss
        for name in BACKENDS
    ]
    assert len(losses[0]) == 10
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-9)


def test_backends_agree_in_float32():
    """1e-4 relatively over an epoch."""
    losses = [trainer(loaded(name)).fit(X, LABELS, epochs=1, batch_size=8).step_loss for name in BACKENDS]
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-4)


def test_history_has_an_entry_an_epoch():
    history = trainer().fit(X, LABELS, epochs=3, batch_size=16, validation_data=(X[:9], LABELS[:9]))
    for entries in (
        history.train_loss,
        history.validation_loss,
        history.seconds,
        history.samples,
        history.learning_rate,
    ):
        assert len(entries) == 3
    assert history.samples == [50] * 3 and history.steps == 3 * 4
    assert history.stopped == "" and history.compile_seconds == 0
    assert history.samples_per_second == pytest.approx(150 / sum(history.seconds))
    assert history.train_loss[0] == pytest.approx(np.average(history.step_loss[:4], weights=[16, 16, 16, 2]))


def test_every_row_once_an_epoch_in_the_order_the_seed_says():
    seen = []

    class Recorder(nn.Linear):
        def forward(self, x):
            if self.training:
                seen.append(x.numpy()[:, 0].copy())
            return super().forward(x)

    rows = np.arange(10.0)[:, None]
    for seed, fits in [(3, [2]), (3, [1, 1]), (4, [2])]:
        model = Recorder(1, 1)
        run = tn.Trainer(
            model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0), "numpy", seed, progress=False, compile=False
        )
        for epochs in fits:
            run.fit(rows, rows[:, 0], epochs=epochs, batch_size=4)
    epochs = np.concatenate(seen).reshape(3, 2, 10)
    expected = [np.random.default_rng((3, epoch)).permutation(10) for epoch in (0, 1)]
    np.testing.assert_array_equal(epochs[0], expected)
    np.testing.assert_array_equal(epochs[1], expected)  # a second fit goes on where the first ended
    assert not np.array_equal(epochs[2], epochs[0])


def test_training_twice_gives_the_same_bits(backend):
    a, b = (trainer(backend).fit(X, LABELS, epochs=2).step_loss for _ in range(2))
    assert a == b


def test_batch_norm_never_sees_a_single_row():
    """49 rows in batches of 8 leave one over, which joins the batch before."""
    history = trainer().fit(X[:49], LABELS[:49], epochs=1, batch_size=8)
    assert history.steps == 6 and history.samples == [49]


def test_schedule_clipping_and_callbacks_take_part():
    heard = []
    run = trainer(
        schedule=schedule.Exponential(0.5), clip_norm=1e-9, callbacks=[lambda t, h: heard.append(len(h.train_loss))]
    )
    before = run.model.state_dict()
    history = run.fit(X, LABELS, epochs=3, batch_size=50)
    assert history.learning_rate == pytest.approx([1e-2, 5e-3, 2.5e-3]) and heard == [1, 2, 3]
    plain = trainer(make=optim.SGD, clip_norm=1e-9)
    plain.fit(X, LABELS, epochs=1, batch_size=50)
    assert np.abs(plain.model.state_dict()["0.weight"] - before["0.weight"]).max() < 1e-8


VALIDATION = X[:20], np.random.default_rng(1).integers(0, 3, 20)


def stopping(epochs=200, patience=2, lr=0.3, **options):
    """A fit on labels that nothing can be learned from, so that the validation loss soon rises."""
    stop = tn.EarlyStopping(patience=patience)
    run = trainer(lr=lr, **{"callbacks": [stop], **options})
    if "callbacks" in options:
        run.callbacks = (stop, *run.callbacks)
    return run, stop, run.fit(X[20:], LABELS[20:], epochs=epochs, validation_data=VALIDATION)


@pytest.mark.parametrize("patience", [0, 1, 2, 5])
def test_early_stopping_restores_the_best_weights(patience):
    run, stop, history = stopping(patience=patience)
    assert history.stopped == "early stopping" and len(history.train_loss) == stop.best_epoch + max(1, patience)
    assert run.evaluate(*VALIDATION) == pytest.approx(min(history.validation_loss), rel=1e-6)


def test_callbacks_after_early_stopping_have_the_best_weights_when_it_stops():
    losses = []
    stop = tn.EarlyStopping(patience=2)
    run = trainer(lr=0.3, callbacks=[stop, lambda run, history: losses.append(run.evaluate(*VALIDATION))])
    history = run.fit(X[20:], LABELS[20:], epochs=200, validation_data=VALIDATION)
    assert losses == [*history.validation_loss[:-1], stop.best]
    other = tn.EarlyStopping(patience=2)
    other.load_state_dict({"best": 0.5, "best_epoch": 3, "weights": run.model.state_dict()})
    assert (other.best, other.best_epoch, other.waited) == (0.5, 3, 0)


def at_epoch(number, act):
    return lambda trainer, history: act() if trainer.epoch == number else None


def interrupt():
    raise KeyboardInterrupt


class Broken(Exception):
    pass


def fail():
    raise Broken


@pytest.mark.parametrize("ends", ["epochs", "another callback", "Ctrl-C", "error", "non-finite loss"])
def test_best_weights_are_restored_whichever_way_fit_ends(ends):
    stop = tn.EarlyStopping(patience=100)
    acts = {"another callback": lambda: True, "Ctrl-C": interrupt, "error": fail}
    acts["non-finite loss"] = lambda: run.optimizer.groups[0].update(lr=1e38)
    run = trainer(lr=0.3, callbacks=[stop, at_epoch(40, acts.get(ends))] if ends in acts else [stop])
    data = {"validation_data": VALIDATION, "epochs": 40 if ends == "epochs" else 60}
    raised = {"error": Broken, "non-finite loss": tn.NonFiniteLoss}.get(ends)
    if raised:
        with pytest.raises(raised):
            run.fit(X[20:], LABELS[20:], **data)
    else:
        run.fit(X[20:], LABELS[20:], **data)
    losses = run.history.validation_loss
    assert stop.best == np.nanmin(losses) != losses[-1] and stop.best_epoch == 1 + losses.index(stop.best)
    assert run.evaluate(*VALIDATION) == pytest.approx(stop.best, rel=1e-6)


def test_best_weights_are_restored_after_a_time_limit():
    run, _, before = stopping(epochs=40, patience=100)
    after = run.fit(X[20:], LABELS[20:], batch_size=4, validation_data=VALIDATION, time_limit=1e-9)
    assert after.stopped == "time limit" and run.position.rows_done == 4
    assert run.evaluate(*VALIDATION) == pytest.approx(min(before.validation_loss), rel=1e-6)


def test_fits_in_a_row_are_one_to_early_stopping():
    """Each restores the best weights, and the next one goes on with those that training had come to."""
    whole, stop, history = stopping(epochs=12, patience=8)
    parts, other, _ = stopping(epochs=3, patience=8)
    for _ in range(3):
        parts.fit(X[20:], LABELS[20:], epochs=3, validation_data=VALIDATION)
    assert parts.history.step_loss == history.step_loss and parts.history.validation_loss == history.validation_loss
    assert other.best == stop.best and other.waited == stop.waited > 3
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(parts.model.state_dict()[name], array)


def test_after_an_early_stop_the_next_fit_waits_anew_from_the_best_weights():
    run, stop, first = stopping()
    best = run.model.state_dict()
    heard = []
    run.callbacks = (stop, lambda trainer, history: heard.append(stop.waited))
    second = run.fit(X[20:], LABELS[20:], epochs=50, validation_data=VALIDATION)
    assert second.stopped == "early stopping" and heard[-2:] == [1, 2] and len(second.train_loss) >= 2
    assert stop.best == min(first.validation_loss + second.validation_loss)
    assert run.evaluate(*VALIDATION) == pytest.approx(stop.best, rel=1e-6)
    assert stop.best < min(first.validation_loss) or all(
        np.array_equal(run.model.state_dict()[n], best[n]) for n in best
    )


def test_weights_that_were_loaded_between_fits_are_kept():
    run, _, _ = stopping(epochs=6, patience=100, lr=0.0)
    run.model.load_state_dict({name: np.zeros_like(array) for name, array in run.model.state_dict().items()})
    run.fit(X[20:], LABELS[20:], validation_data=VALIDATION)
    assert run.history.step_loss[-1] == pytest.approx(np.log(3), rel=1e-5)


def test_other_rows_are_watched_anew():
    """A loss of other rows is no better or worse than the best one."""
    run, stop, _ = stopping(epochs=6, patience=100)
    rows = X[:20], (LABELS[:20] + 1) % 3
    before = run.model.state_dict()
    second = run.fit(*rows, epochs=1, batch_size=10)
    assert stop.best == second.train_loss[0] and stop.best_epoch == 7
    assert any(not np.array_equal(run.model.state_dict()[name], before[name]) for name in before)


@pytest.mark.parametrize("first", [0, 2])
def test_a_validation_loss_that_is_not_finite_has_not_fallen(first):
    class Validated(nn.CrossEntropyLoss):
        def forward(self, logits, labels):
            loss = super().forward(logits, labels)
            return loss if len(labels) != 20 or run.epoch < first else loss * np.nan

    stop = tn.EarlyStopping(patience=3)
    run = trainer(callbacks=[stop])
    run.loss_function = Validated()
    history = run.fit(X[20:], LABELS[20:], epochs=20, validation_data=VALIDATION)
    assert len(history.train_loss) == (stop.best_epoch + 3 if first else 3)
    assert history.stopped == ("early stopping" if first else "early stopping: no loss was finite")
    assert np.isfinite(run.predict(X)).all()


def test_a_callback_may_stop():
    def enough(trainer, history):
        return len(history.train_loss) == 2

    assert trainer(callbacks=[enough]).fit(X, LABELS, epochs=9).stopped == "enough"


def test_a_time_limit_stops_after_a_step():
    history = trainer("naive").fit(X, LABELS, epochs=10_000, batch_size=5, time_limit=0.2)
    assert history.stopped == "time limit" and 0.2 <= sum(history.seconds) < 2
    assert len(history.train_loss) == len(history.seconds) == len(history.samples)


@pytest.mark.parametrize("compiled", [True, False])
def test_an_epoch_that_was_cut_goes_on_where_it_stopped(compiled):
    whole = trainer(schedule=schedule.Cosine(), compile=compiled)
    expected = whole.fit(X, LABELS, epochs=40, batch_size=8)
    cut = trainer(schedule=schedule.Cosine(), compile=compiled)
    fits = 0
    while cut.epoch < 40:
        cut.fit(X, LABELS, epochs=40 - cut.epoch, batch_size=8, time_limit=1e-9)  # stops after each run of steps
        fits += 1
    history = cut.history
    assert fits >= 40 and (compiled or fits == 40 * 7)
    assert history.step_loss == expected.step_loss and history.train_loss == expected.train_loss
    assert history.learning_rate == expected.learning_rate and history.samples == expected.samples
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(cut.model.state_dict()[name], array)
    assert len(history.seconds) == 40 and cut.step == whole.step


def test_a_cut_epoch_begins_anew_with_another_batch_size():
    run = trainer()
    run.fit(X, LABELS, batch_size=8, time_limit=1e-9)
    assert run.position.rows_done == 8 and run.epoch == 0
    history = run.fit(X, LABELS, batch_size=16)
    assert history.samples == [50] and not history.continues and run.epoch == 1
    assert run.history.samples == [8, 50]


def test_options_changed_between_fits_are_heard():
    """The recorded steps of the first fit are not those of the second."""
    losses = []
    for compiled in (True, False):
        run = trainer(compile=compiled)
        run.fit(X, LABELS, epochs=3)
        for _, module in run.model.named_modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.7
        losses.append(run.fit(X, LABELS, epochs=3).step_loss)
    assert losses[0] == losses[1]


def test_predict_and_evaluate_are_in_evaluation_mode():
    run = trainer()
    run.fit(X, LABELS, epochs=2)
    first = run.predict(X)
    np.testing.assert_array_equal(first, run.predict(X))
    assert first.shape == (50, 3) and first.dtype == np.float32
    probabilities = np.exp(first) / np.exp(first).sum(axis=1, keepdims=True)
    assert run.evaluate(X, LABELS) == pytest.approx(-np.log(probabilities[np.arange(50), LABELS]).mean(), rel=1e-5)
    many = np.repeat(X, 200, axis=0)  # more than one batch of evaluation
    np.testing.assert_allclose(run.predict(many), np.repeat(first, 200, axis=0), rtol=1e-4, atol=1e-6)


def test_regression_with_several_outputs():
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(6, (32,), 2)
    run = tn.Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=1e-2), "numpy", progress=False)
    history = run.fit(X, NUMBERS, epochs=60)
    assert history.train_loss[-1] < 0.1 * history.train_loss[0]


def test_two_models_on_two_backends_in_one_process():
    a, b = trainer("numpy"), trainer("numba")
    for _ in range(2):
        first, second = a.fit(X, LABELS).step_loss, b.fit(X, LABELS).step_loss
        np.testing.assert_allclose(first, second, rtol=1e-4)


# ---- losses -------------------------------------------------------------------------------------------------------

CLASS_WEIGHT = [0.1, 1.0, 30.0]
POSITIVE = np.abs(NUMBERS)
LOSSES = {  # a loss, targets, and the mean over all rows that is meant, from all outputs and targets
    "cross entropy": (nn.CrossEntropyLoss(), LABELS, F.cross_entropy),
    "weights": (nn.CrossEntropyLoss(CLASS_WEIGHT), LABELS, lambda z, y: F.cross_entropy(z, y, np.array(CLASS_WEIGHT))),
    "weights, smoothed": (
        nn.CrossEntropyLoss(CLASS_WEIGHT, label_smoothing=0.2), LABELS,
        lambda z, y: F.cross_entropy(z, y, np.array(CLASS_WEIGHT), 0.2)),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), LABELS, F.cross_entropy),
    "weights, sum": (
        nn.CrossEntropyLoss(CLASS_WEIGHT, reduction="sum"), LABELS,
        lambda z, y: F.cross_entropy(z, y, np.array(CLASS_WEIGHT), reduction="sum") / float(len(y))),
    "squared": (nn.MSELoss(), NUMBERS, F.mse_loss),
    "squared, sum": (nn.MSELoss("sum"), NUMBERS, lambda z, y: F.mse_loss(z, y) * 2.0),
    "Huber, sum": (nn.HuberLoss(0.5, "sum"), NUMBERS, lambda z, y: F.huber_loss(z, y, 0.5) * 2.0),
    "Poisson, sum": (nn.PoissonNLLLoss("sum"), POSITIVE, lambda z, y: F.poisson_nll_loss(z, y) * 2.0),
    "own mean": (lambda z, y: ((z - y) * (z - y)).mean(), NUMBERS, F.mse_loss),
    "own sum": (lambda z, y: ((z - y) * (z - y)).sum(), NUMBERS, lambda z, y: F.mse_loss(z, y) * 20.0),  # a batch's
}  # fmt: skip


@pytest.mark.parametrize("loss, target, meant", LOSSES.values(), ids=LOSSES)
def test_training_validation_and_evaluation_give_the_same_loss_of_the_same_rows(loss, target, meant, monkeypatch):
    """However the rows are cut into batches; in evaluation into blocks, here of some 30 rows."""
    monkeypatch.setattr(training, "EVALUATION_ROWS", 30)
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(6, (8,), 3 if target is LABELS else 2).to(np.float64)
    run = tn.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.0), "numpy", progress=False)
    history = run.fit(X, target, epochs=4, batch_size=10, validation_data=(X, target))
    expected = meant(Tensor(run.predict(X)), target).item()
    np.testing.assert_allclose([*history.train_loss, *history.validation_loss], expected, rtol=1e-12)
    assert run.evaluate(X, target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["mean", "sum"])
def test_a_mean_of_the_users_is_evaluated_on_many_rows_at_a_time(kind):
    called = []

    def loss(z, y):
        called.append(len(y))
        return getattr((z - y) * (z - y), kind)()

    model = nn.Linear(6, 2)
    run = tn.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.0), "numpy", progress=False)
    run.fit(X, NUMBERS, batch_size=16)
    called.clear()
    run.evaluate(X, NUMBERS)
    assert called == ([16, 16, 32, 50] if kind == "mean" else [16, 16, 32, 16, 16, 16, 2])


def test_the_loss_of_a_cut_epoch_is_weighted_as_a_whole(tmp_path):
    losses = []
    for cut in (False, True):
        run = trainer(dtype=np.float64)
        run.loss_function = nn.CrossEntropyLoss(CLASS_WEIGHT)
        if cut:
            run.fit(X, LABELS, batch_size=8, time_limit=1e-9)
            tn.save_checkpoint(tmp_path / "cut", run)
            run = trainer(dtype=np.float64)
            run.loss_function = nn.CrossEntropyLoss(CLASS_WEIGHT)
            tn.load_checkpoint(tmp_path / "cut", run)
        losses += run.fit(X, LABELS, batch_size=8).train_loss
    assert losses[0] == losses[1]


def test_rows_without_weight_are_not_in_the_mean(monkeypatch):
    monkeypatch.setattr(training, "EVALUATION_ROWS", 10)
    run = trainer()
    run.loss_function = nn.CrossEntropyLoss([1.0, 0.0, 1.0])
    labels = np.where(np.arange(50) < 20, 1, 0)  # the first blocks have no weight at all
    assert run.evaluate(X, labels) == pytest.approx(run.evaluate(X[20:], labels[20:]), rel=1e-6)


def squared(output, target):
    return ((output - target) * (output - target)).mean()


class Squared(nn.Module):
    reduction = "mean"

    def forward(self, output, target):
        return squared(output.exp(), np.log1p(target))


def fit_to_one_output(loss, target, model=None, rows=50):
    tn.manual_seed(0)
    model = nn.Linear(6, 1) if model is None else model
    run = tn.Trainer(model, loss, optim.SGD(model.parameters(), lr=1e-3), "numpy", progress=False)
    return run.fit(X[:rows], target[:rows], epochs=2)


class Flat(nn.Linear):
    def forward(self, x):
        return super().forward(x).reshape(-1)


@pytest.mark.parametrize(
    "loss, model, target",
    [
        (squared, None, POSITIVE[:, 0]),
        (lambda z, t: squared(t, z), None, POSITIVE[:, 0]),
        (Squared(), None, POSITIVE[:, 0]),
        (squared, Flat(6, 1), POSITIVE[:, :1]),
        (lambda z, t: F.maximum(0.9 * (z - t), 0.1 * (t - z)).mean(), None, LABELS),
    ],
)
@pytest.mark.parametrize("rows", [50, 2])
def test_a_loss_of_each_row_with_every_other_is_warned_of(loss, model, target, rows):
    outputs, y = ((rows,), (rows, 1)) if model else ((rows, 1), (rows,))
    said = re.escape(
        f"outputs of shape {outputs} and y of shape {y} to ({rows}, {rows}), each row with every other one"
    )
    with pytest.warns(UserWarning, match=said) as caught:
        fit_to_one_output(loss, target, model, rows)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, t: squared(z.reshape(-1), t),
        lambda z, t: squared(z, t[:, None]),
        lambda z, t: (squared(z, t[:, None]) * np.array([1.0, 2.0, 3.0])).mean(),  # not one number a row
        lambda z, t: (z * np.array([1.0, 2.0, 3.0])).mean(),
        lambda z, t: (z - z.reshape(-1)).exp().mean(),  # pairs, within the outputs
        nn.MSELoss(),
        nn.L1Loss("sum"),
        F.mse_loss,
    ],
)
@pytest.mark.parametrize("rows", [50, 3, 1])
def test_a_loss_of_rows_is_not_warned_of(loss, rows):
    assert len(fit_to_one_output(loss, NUMBERS[:, 0], rows=rows).train_loss) == 2


def test_a_loss_that_fails_on_few_rows_is_tried_all_the_same():
    def loss(output, target):
        return squared(output.reshape(-1), target) if len(target) > 3 else 1 / 0

    assert len(fit_to_one_output(loss, NUMBERS[:, 0]).train_loss) == 2


# ---- refusals -----------------------------------------------------------------------------------------------------


def changed(array, where, value):
    array = np.array(array, float)
    array[where] = value
    return array


def on_two_outputs(loss):
    model = nn.Linear(6, 2)
    return tn.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), "numpy", progress=False)


REFUSALS = {
    "rows": (lambda: trainer().fit(X, LABELS[:9]), ValueError, r"y has shape \(9,\), expected 50 rows as X has"),
    "1-D": (lambda: trainer().fit(X[:, 0], LABELS), ValueError, r"X has shape \(50,\), expected \(rows, features\)"),
    "no rows": (lambda: trainer().fit(X[:0], LABELS[:0]), ValueError, "at least one row"),
    "features": (lambda: trainer().fit(X[:, :5], LABELS), ValueError, r"Linear\(6, 16\) got an input of shape \(1, 5\)"),
    "NaN": (lambda: trainer().fit(changed(X, (3, 2), np.nan), LABELS), ValueError, "X holds nan in row 3, column 2"),
    "infinity": (lambda: trainer().fit(changed(X, (0, 1), np.inf), LABELS), ValueError, "X holds inf in row 0"),
    "text": (lambda: trainer().fit(X.astype(str), LABELS), TypeError, "X has dtype <U"),
    "target NaN": (lambda: trainer().fit(X, changed(LABELS, 0, np.nan)), ValueError, "y holds NaN"),
    "too large for float32": (
        lambda: trainer().fit(changed(X, (3, 2), -1e300), LABELS), ValueError,
        r"X holds -1e\+300 in row 3, column 2, expected numbers that are finite in float32, up to 3.4"),
    "target too large": (
        lambda: on_two_outputs(nn.MSELoss()).fit(X, changed(NUMBERS, (7, 1), 1e300)), ValueError,
        r"y holds 1e\+300 in row 7, column 1, expected numbers that are finite in float32"),
    "validation target too large": (
        lambda: on_two_outputs(nn.MSELoss()).fit(X, NUMBERS, validation_data=(X, changed(NUMBERS, (0, 0), 1e39))),
        ValueError, r"validation y holds 1e\+39 in row 0, column 0"),
    "to predict": (lambda: trainer().predict(changed(X, (3, 2), 1e300)), ValueError, r"X holds 1e\+300"),
    "probability": (
        lambda: on_two_outputs(nn.BCEWithLogitsLoss()).fit(X, changed(NUMBERS > 0, (49, 1), 1.5)), ValueError,
        r"BCEWithLogitsLoss: target holds 1.5, expected numbers in \[0, 1\]"),
    "validation probability": (
        lambda: on_two_outputs(nn.BCEWithLogitsLoss()).fit(
            X, NUMBERS > 0, validation_data=(X, changed(NUMBERS > 0, (49, 1), -0.5))),
        ValueError, r"BCEWithLogitsLoss: target holds -0.5"),
    "count": (
        lambda: on_two_outputs(nn.PoissonNLLLoss()).fit(X, changed(POSITIVE, (49, 1), -1)), ValueError,
        "PoissonNLLLoss: target holds -1, expected finite numbers >= 0"),
    "label": (lambda: trainer().fit(X, changed(LABELS, 7, 3).astype(int)), ValueError, r"labels hold 3, .* in \[0, 3\)"),
    "label below": (lambda: trainer().fit(X, changed(LABELS, 7, -1).astype(int)), ValueError, "labels hold -1"),
    "label fraction": (lambda: trainer().fit(X, changed(LABELS, 7, 0.5)), TypeError, "expected whole numbers"),
    "validation": (lambda: trainer().fit(X, LABELS, validation_data=(X[:3], LABELS)), ValueError, "validation y"),
    "epochs": (lambda: trainer().fit(X, LABELS, epochs=0), ValueError, "epochs is 0, expected a whole number >= 1"),
    "batch": (lambda: trainer().fit(X, LABELS, batch_size=-1), ValueError, "batch_size is -1"),
    "batch float": (lambda: trainer().fit(X, LABELS, batch_size=2.5), TypeError, "batch_size is 2.5"),
    "time": (lambda: trainer().fit(X, LABELS, time_limit=0), ValueError, "time_limit is 0"),
    "backend": (lambda: trainer("nunpy"), ValueError, "unknown backend 'nunpy': did you mean 'numpy'"),
    "seed": (lambda: trainer(seed=-1), ValueError, "seed is -1"),
    "clip": (lambda: trainer(clip_norm=0), ValueError, "clip_norm is 0"),
    "no parameters": (
        lambda: tn.Trainer(nn.ReLU(), nn.MSELoss(), optim.SGD([nn.Parameter([1.0])])), ValueError, "no parameters"),
    "other parameters": (
        lambda: tn.Trainer(nn.Linear(2, 2), nn.MSELoss(), optim.SGD(nn.Linear(2, 2).parameters())),
        ValueError, "optimizer holds parameters that are not the model's"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "said"), REFUSALS.values(), ids=REFUSALS)
def test_refused_before_anything_is_trained(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_a_refused_label_leaves_the_weights_alone():
    run = trainer()
    before = run.model.state_dict()
    with pytest.raises(ValueError, match="labels hold"):
        run.fit(X, changed(LABELS, 49, 9).astype(int))
    assert all(np.array_equal(value, before[name]) for name, value in run.model.state_dict().items())


def test_a_loss_that_is_no_scalar():
    run = trainer()
    run.loss_function = lambda output, target: output
    with pytest.raises(TypeError, match="expected a scalar Tensor"):
        run.fit(X, LABELS)


@pytest.mark.parametrize("fused", [True, False])
def test_a_loss_that_overflows_in_a_replayed_step_stops_the_run(backend, fused):
    """Also on a backend that watches by a composition of its other kernels."""
    kind = backend if fused else kernels.load(backend.name, fused=False)
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(6, (8,), 2)
    run = tn.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=3.0), kind, progress=False)
    with pytest.raises(tn.NonFiniteLoss, match=r"epoch \d+, step \d+, at learning rate 3"):
        run.fit(X[:48], X[:48, :2], epochs=200, batch_size=16)
    assert run.step > 2 and run.program is not None and run.history.steps == run.step
    assert all(np.isfinite(parameter.data).all() for parameter in model.parameters())


# Learning rates at which the loss overflows with finite weights, or the weights overflow first.
@pytest.mark.parametrize("lr", [1e6, 1e18, 3e38])
def test_a_non_finite_loss_keeps_finite_weights(backend, lr):
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(6, (8,), 2)
    run = tn.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=lr), backend, progress=False)
    with pytest.raises(tn.NonFiniteLoss, match=r"epoch 1, step \d+, at learning rate " + re.escape(f"{lr:g}")):
        run.fit(X, NUMBERS, epochs=5, batch_size=8)
    assert all(np.isfinite(value).all() for value in model.state_dict().values())
    run.optimizer.groups[0]["lr"] = 1e-3
    if lr > 1e20:  # from the epoch's start, training can go on
        assert np.isfinite(run.fit(X, NUMBERS, epochs=1).train_loss).all()


@pytest.mark.parametrize("ends", ["epochs", "time limit", "validation", "callback", "interrupt"])
def test_weights_that_the_last_step_made_infinite_are_refused(backend, ends):
    """The loss is finite, the update is not, and no later step is there to show it."""
    tn.manual_seed(0)
    model = nn.Linear(6, 2)
    run = tn.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=3e38), backend, progress=False)
    before, heard, options = model.state_dict(), [], {}
    if ends == "interrupt":
        run.callbacks = [at_epoch(1, interrupt)]
    elif ends == "callback":
        run.callbacks = [lambda trainer, history: heard.append(history)]
    elif ends == "validation":
        options = {"validation_data": (X, 100 * NUMBERS), "epochs": 3}
    elif ends == "time limit":
        options = {"time_limit": 1e-9, "epochs": 3}
    said = r"^weight became infinite or NaN in epoch 1, step 1, at learning rate 3e\+38; the weights are those at the"
    with pytest.raises(tn.NonFiniteLoss, match=said):
        run.fit(X, 100 * NUMBERS, batch_size=25 if ends == "time limit" else 50, **options)
    assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())
    assert not heard and not run.history.validation_loss and run.history.steps == 1 and run.position.rows_done == 0
    run.optimizer.groups[0]["lr"] = 1e-3
    assert np.isfinite(run.fit(X, NUMBERS).train_loss).all()


def test_large_weights_are_finite(backend):
    """Their squares are not."""
    model = nn.Linear(6, 2)
    run = tn.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.0), backend, progress=False)
    model.weight.data[...] = 1e30
    model.mask = np.array([0, -np.inf], np.float32)  # a buffer that is meant to be so
    model.bias.data[...] = 0
    assert np.isfinite(run.fit(1e-30 * X, NUMBERS, epochs=2).train_loss).all()


@pytest.mark.parametrize("epochs", [1, 3])
def test_running_statistics_that_become_infinite_are_refused(backend, epochs):
    """The batch's own statistics still give a finite loss, but those kept for evaluation would be infinite for good."""
    tn.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 2))
    run = tn.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=1e-3), backend, progress=False)
    run.fit(X, NUMBERS)
    before = model.state_dict()
    with pytest.raises(tn.NonFiniteLoss, match=r"^0.running_variance became infinite or NaN in epoch 2, step 3.*scale"):
        run.fit(1e20 * X, NUMBERS, epochs=epochs, batch_size=50)
    assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())


# ---- processes ----------------------------------------------------------------------------------------------------


def script(body):
    return [sys.executable, "-c", textwrap.dedent(body)]


def test_the_bar_shows_loss_and_speed_and_compiling():
    body = """
        import numpy as np, sys, tqdm
        import tinynet as tn
        from tinynet import nn, optim
        shown = []
        class Bar(tqdm.tqdm):
            def __init__(self, **options):
                super().__init__(**{**options, "disable": False, "mininterval": 0})
            def display(self, *arguments, **options):
                shown.append(str(self))
        tqdm.tqdm = Bar
        model = nn.Linear(2, 2)
        tn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), "numba").fit(
            np.ones((40, 2)), np.zeros(40, int), epochs=2)
        print(any("compiling kernels" in s for s in shown), any("epoch 2, loss " in s and "samples/s" in s for s in shown))
    """
    done = finished(script(body), env=ENVIRONMENT)
    assert done.stdout.split() == ["True", "True"], done


@pytest.mark.parametrize("backend_name", ["naive", "numpy", "numba"])
def test_ctrl_c_stops_quickly_and_keeps_what_was_trained(backend_name):
    body = f"""
        import numpy as np, time
        import tinynet as tn
        from tinynet import nn, optim
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(500, 6)), rng.integers(0, 3, 500)
        model = nn.multilayer_perceptron(6, (16,), 3)
        trainer = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), {backend_name!r}, progress=False)
        trainer.fit(X, y)
        before = model.state_dict()
        print("started", flush=True)
        history = trainer.fit(X, y, epochs=1_000_000, batch_size=10, time_limit={LIMIT})
        print("stopped", history.stopped, history.steps == len(history.step_loss) > 0, len(history.seconds) == len(history.train_loss),
              sum(history.samples) == 10 * history.steps, any((model.state_dict()[k] != before[k]).any() for k in before),
              all(np.isfinite(v).all() for v in model.state_dict().values()), flush=True)
        print("again", len(trainer.fit(X, y, epochs=1).train_loss), flush=True)
    """
    with started(script(body), env=ENVIRONMENT) as process:
        assert process.stdout.readline() == "started\n", process.communicate()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        sent = time.perf_counter()
        line = process.stdout.readline()
        assert time.perf_counter() - sent < 2  # a tenth of a second where the machine is free; shared ones may be slow
        rest, errors = process.communicate()
    assert line.split() == ["stopped", "interrupted"] + ["True"] * 5, errors
    assert rest == "again 1\n"
