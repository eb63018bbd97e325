"""Metrics beside the loss each epoch, learning rates by step, and the search for a learning rate."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, make_scorer, mean_absolute_error

import tinynet as tn
from tinynet import nn, optim

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 1)
NUMBERS = X[:, :1] - X[:, 1:2]


def trainer(outputs=3, loss=None, **options):
    tn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs))
    options = {"backend": "numpy", "progress": False, **options}
    return tn.Trainer(model, loss or nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.02), **options)


def test_metrics_of_classes():
    given = ["accuracy", "neg_log_loss", "roc_auc_ovr", f1_macro, make_scorer(accuracy_score)]
    trained = trainer(metrics=given)
    history = trained.fit(X[:80], LABELS[:80], epochs=3, validation_data=(X[80:], LABELS[80:]))
    assert list(history.metrics) == ["accuracy", "neg_log_loss", "roc_auc_ovr", "f1_macro", "accuracy_score"]
    assert [len(values) for values in history.metrics.values()] == [3] * 5
    predicted = trained.predict(X[80:]).argmax(axis=1)
    assert history.metrics["accuracy"][-1] == accuracy_score(LABELS[80:], predicted)
    assert history.metrics["accuracy_score"] == history.metrics["accuracy"]
    assert history.metrics["f1_macro"][-1] == f1_macro(LABELS[80:], predicted)
    assert history.metrics["neg_log_loss"] == pytest.approx([-loss for loss in history.validation_loss], rel=1e-5)
    assert "accuracy 0." in repr(history)


def f1_macro(true, predicted):
    return f1_score(true, predicted, average="macro")


def test_metrics_of_numbers_and_of_one_logit():
    trained = trainer(1, nn.MSELoss())
    history = trained.fit(X, NUMBERS, epochs=2, metrics={"R": "r2", "mae": mean_absolute_error})
    assert history.metrics["mae"][-1] == pytest.approx(np.abs(trained.predict(X) - NUMBERS).mean(), rel=1e-5)
    assert list(history.metrics) == ["R", "mae"]
    trained = trainer(1, nn.BCEWithLogitsLoss(), metrics=("accuracy", "roc_auc", "neg_log_loss"))
    target = (X[:, :1] > 0).astype(float)
    history = trained.fit(X, target, epochs=5)
    assert history.metrics["accuracy"][-1] == ((trained.predict(X) > 0) == (target > 0)).mean()
    assert history.metrics["neg_log_loss"][-1] == pytest.approx(-trained.evaluate(X, target), rel=1e-5)


def test_metrics_change_nothing_of_the_training():
    plain, watched = (trainer(metrics=metrics).fit(X, LABELS, epochs=3) for metrics in ((), "accuracy"))
    assert plain.step_loss == watched.step_loss and plain.metrics == {}


def test_metrics_are_shown_by_the_bar(monkeypatch):
    said = []
    trained = trainer(metrics="accuracy", progress=True)

    class Bar:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def set_description(self, text, refresh=True):
            said.append(text)

        def update(self, count):
            pass

    monkeypatch.setattr("tinynet.training.trainer._Run._bar", lambda run: Bar())
    trained.fit(X, LABELS, epochs=2)
    assert "accuracy" not in said[0] and "accuracy 0." in said[-1] and said[-1].startswith("epoch 2, loss")


@pytest.mark.parametrize("given, sentence", [("acuracy", "did you mean 'accuracy'"), ([3], "metric is 3, expected")])
def test_what_is_no_metric_is_refused(given, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        trainer(metrics=given)
    with pytest.raises((ValueError, TypeError), match=sentence):
        trainer().fit(X, LABELS, metrics=given)


def test_a_resumed_run_goes_on_with_its_metrics_and_rates(tmp_path):
    whole = trainer(metrics="accuracy", schedule=tn.schedule.Exponential(0.9))
    whole.fit(X, LABELS, epochs=4)
    first = trainer(metrics="accuracy", schedule=tn.schedule.Exponential(0.9))
    first.fit(X, LABELS, epochs=2)
    tn.save_checkpoint(tmp_path / "run.safetensors", first)
    second = trainer(metrics="accuracy", schedule=tn.schedule.Exponential(0.9))
    tn.load_checkpoint(tmp_path / "run.safetensors", second)
    second.fit(X, LABELS, epochs=2)
    assert second.history.metrics == whole.history.metrics
    assert second.history.step_learning_rate == whole.history.step_learning_rate
    assert second.history.step_loss == whole.history.step_loss


@pytest.mark.parametrize("compiles", [True, False])
def test_learning_rates_by_step(backend, compiles):
    trained = trainer(backend=backend, compile=compiles, schedule={"lr": lambda epoch, step, steps: 0.1 / (1 + steps)})
    history = trained.fit(X, LABELS, epochs=2, batch_size=50)
    assert history.step_learning_rate == [0.1 / (1 + step) for step in range(6)]
    assert trainer(backend=backend, compile=compiles).fit(X, LABELS).step_learning_rate == [0.02] * 4


# ---- tn.find_learning_rate ------------------------------------------------------------------------------------------


def test_a_rate_is_found_and_nothing_is_changed(tmp_path):
    trained = trainer()
    trained.fit(X, LABELS, epochs=1)
    weights, state = trained.model.state_dict(), trained.optimizer.state_dict()
    found = tn.find_learning_rate(trained, X, LABELS, steps=100, highest=100.0)
    assert 1e-4 < found.suggestion < 1 and float(found) == found.suggestion
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 100
    assert found.rates == sorted(found.rates) and found.rates[0] == 1e-6
    assert all((weights[name] == array).all() for name, array in trained.model.state_dict().items())
    assert str(state) == str(trained.optimizer.state_dict()) and trained.epoch == 1
    found.plot(tmp_path / "rates.svg")
    assert "learning rate" in (tmp_path / "rates.svg").read_text()
    again, other = trainer(), trainer()
    again.fit(X, LABELS, epochs=1), other.fit(X, LABELS, epochs=1)
    tn.find_learning_rate(again, X, LABELS, steps=50)
    assert again.fit(X, LABELS, epochs=2).step_loss == other.fit(X, LABELS, epochs=2).step_loss


def test_a_model_will_do():
    for outputs, y in ((3, LABELS), (1, NUMBERS)):
        model = trainer(outputs).model
        before = model.state_dict()
        found = tn.find_learning_rate(model, X, y, steps=60)
        assert 1e-6 < found.suggestion <= 1
        assert all((before[name] == array).all() for name, array in model.state_dict().items())


def test_bad_ranges_are_refused():
    for options in ({"steps": 3}, {"lowest": 1.0, "highest": 0.1}, {"lowest": 0.0}):
        with pytest.raises(ValueError, match=r"(lowest|steps) is"):
            tn.find_learning_rate(trainer(), X, LABELS, **options)
    with pytest.raises(TypeError, match="trainer is a int, expected a Trainer or a Module"):
        tn.find_learning_rate(3, X, LABELS)
