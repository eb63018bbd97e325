"""What a REPL prints as the last line's value: a line, whatever is in it."""

import re

import numpy as np
import pytest

import tinynet as tn
from tinynet import nn, optim

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


@pytest.fixture(scope="module")
def trained():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    trainer = tn.Trainer(
        model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01), backend="numpy", progress=False
    )
    return trainer, trainer.fit(X, Y, epochs=30, batch_size=4, validation_data=(X, Y))


def test_a_history_is_a_line(trained):
    _, history = trained
    text = repr(history)
    assert text.startswith("History(30 epochs, 480 steps; train_loss ") and len(text) < 200 and "\n" not in text
    assert f"validation_loss {history.validation_loss[0]:.4g} -> {history.validation_loss[-1]:.4g}" in text


def test_a_history_says_why_it_stopped_and_may_be_empty():
    assert repr(tn.History()) == "History(0 epochs, 0 steps)"
    assert "stopped: time limit" in repr(tn.History(train_loss=[1.0], step_loss=[1.0], stopped="time limit"))
    assert "1 epoch, 1 step; train_loss 1;" in repr(tn.History([1.0], step_loss=[1.0], stopped="time limit"))


def test_a_trainer_says_what_it_trains(trained):
    text = repr(trained[0])
    assert text == (
        "Trainer(Sequential of 26 parameters, CrossEntropyLoss(), "
        "Adam(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-08, weight_decay=0, 4 parameters), backend='numpy'; "
        "30 epochs and 480 steps done)"
    )


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_optimizers_show_their_options(name):
    parameter = nn.Parameter(np.ones(3))
    optimizer = optim.OPTIMIZERS[name]([parameter], lr=0.5)
    assert re.match(rf"{type(optimizer).__name__}\(lr=0\.5, .*1 parameter\)$", repr(optimizer))
    groups = optim.OPTIMIZERS[name]([{"params": [parameter], "lr": 0.25}, {"params": [nn.Parameter([1.0])]}], lr=0.5)
    assert "lr=0.25" in repr(groups) and "lr=0.5" in repr(groups)


def test_profiles_and_programs_are_a_line_and_print_as_tables(trained):
    trainer, _ = trained
    profile = trainer.profile(X, Y, batch_size=4)
    for shown in (profile, trainer.program):
        assert len(repr(shown)) < 200 and "\n" not in repr(shown) and "instructions" in repr(shown)
        assert len(str(shown).splitlines()) > len(trainer.program)


def test_names_that_are_imported_later_complete():
    assert set(tn.__all__) <= set(dir(tn))
