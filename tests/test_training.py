"""The Trainer: what it promises about order, seconds, stopping, agreement and refusal."""

import os
import re
import signal
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from backends import BACKENDS, loaded
from children import LIMIT, finished, started

import kernels
import tinynet as tn
from tinynet import Tensor, nn, optim, schedule

ROOT = Path(__file__).parent.parent
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


def test_early_stopping_restores_the_best_weights():
    run = trainer(lr=0.3, callbacks=[stop := tn.EarlyStopping(patience=2)])
    validation = X[:20], RNG.integers(0, 3, 20)
    history = run.fit(X[20:], LABELS[20:], epochs=200, validation_data=validation)
    assert history.stopped == "early stopping" and len(history.train_loss) == stop.best_epoch + 3
    assert run.evaluate(*validation) == pytest.approx(min(history.validation_loss), rel=1e-6)


def test_a_callback_may_stop():
    def enough(trainer, history):
        return len(history.train_loss) == 2

    assert trainer(callbacks=[enough]).fit(X, LABELS, epochs=9).stopped == "enough"


def test_a_time_limit_stops_behind_a_step():
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
        cut.fit(X, LABELS, epochs=40 - cut.epoch, batch_size=8, time_limit=1e-9)  # stops behind each run of steps
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


# ---- refusals -----------------------------------------------------------------------------------------------------


def changed(array, where, value):
    array = np.array(array, float)
    array[where] = value
    return array


REFUSALS = {
    "rows": (lambda: trainer().fit(X, LABELS[:9]), ValueError, r"y has shape \(9,\), expected 50 rows as X has"),
    "1-D": (lambda: trainer().fit(X[:, 0], LABELS), ValueError, r"X has shape \(50,\), expected \(rows, features\)"),
    "no rows": (lambda: trainer().fit(X[:0], LABELS[:0]), ValueError, "at least one row"),
    "features": (lambda: trainer().fit(X[:, :5], LABELS), ValueError, r"Linear\(6, 16\) got an input of shape \(1, 5\)"),
    "NaN": (lambda: trainer().fit(changed(X, (3, 2), np.nan), LABELS), ValueError, "X holds nan in row 3, column 2"),
    "infinity": (lambda: trainer().fit(changed(X, (0, 1), np.inf), LABELS), ValueError, "X holds inf in row 0"),
    "text": (lambda: trainer().fit(X.astype(str), LABELS), TypeError, "X has dtype <U"),
    "target NaN": (lambda: trainer().fit(X, changed(LABELS, 0, np.nan)), ValueError, "y holds NaN"),
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


# ---- processes ----------------------------------------------------------------------------------------------------


def script(body):
    return [sys.executable, "-c", textwrap.dedent(body)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_the_bar_shows_loss_and_speed_and_compiling():
    body = """
        import numpy as np, sys, tqdm
        import tinynet as tn
        from tinynet import nn, optim, training
        shown = []
        class Bar(tqdm.tqdm):
            def __init__(self, **options):
                super().__init__(**{**options, "disable": False, "mininterval": 0})
            def display(self, *arguments, **options):
                shown.append(str(self))
        training.tqdm = Bar
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


def test_use_backend_holds_in_its_block_and_thread():
    import threading

    with tn.use_backend("naive"):
        assert tn.current_backend().name == "naive"
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(tn.current_backend().name))
        thread.start()
        thread.join(LIMIT)
        with tn.use_backend(loaded("numpy")):
            assert tn.current_backend().name == "numpy"
        assert tn.current_backend().name == "naive"
    assert elsewhere == ["numba"] and tn.current_backend().name == "numba"
    tn.use_backend("numpy")
    assert tn.current_backend().name == "numpy"
    tn.use_backend("numba")
    assert (Tensor([1.0]) + 1).numpy() == 2
