"""The average of weights over epochs: what it is, that the model has it, and that training goes on where it was."""

import numpy as np
import pytest
from backends import loaded

import tinynet as tn
from tinynet import nn, optim

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 4)).astype(np.float32), RNG.integers(0, 3, 48)


def trainer(*callbacks, backend="numpy", **options):
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(4, (8,), 3, dropout=0.2, norm="batch")
    optimizer = optim.Adam(model.parameters(), lr=0.03)
    return tn.Trainer(
        model, nn.CrossEntropyLoss(), optimizer, loaded(backend), callbacks=callbacks, progress=False, **options
    )


class Seen:
    """The state after each epoch."""

    def __init__(self):
        self.states = []

    def __call__(self, trainer, history):
        self.states.append(trainer.model.state_dict())


def expected(states, decay, start):
    average = None
    for counted, state in enumerate(states[start - 1 :], 1):
        share = max(0 if decay is None else 1 - decay, 1 / counted)
        own = {name: array.astype(float) for name, array in state.items()}
        average = own if average is None else {n: average[n] + share * (own[n] - average[n]) for n in own}
    return average


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("backend", ["naive", "numpy", "numba"])
@pytest.mark.parametrize(("decay", "start"), [(0.6, 1), (None, 1), (None, 4), (0.0, 1)])
def test_the_model_has_the_average(backend, decay, start):
    seen = Seen()
    run = trainer(tn.WeightAverage(decay, start), seen, backend=backend)
    run.fit(X, Y, epochs=6, batch_size=16)
    found, average = run.model.state_dict(), expected(seen.states, decay, start)
    for name in found:
        if name.endswith(("counter", "seed")):
            np.testing.assert_array_equal(found[name], seen.states[-1][name])
        else:
            np.testing.assert_allclose(found[name], average[name], rtol=1e-5, atol=1e-6)


def test_steps_are_those_without_it():
    with_average, without = trainer(tn.WeightAverage()), trainer()
    for run in (with_average, without):
        for _ in range(3):  # a fit goes on with the weights, not with the average
            run.fit(X, Y, epochs=2, batch_size=16)
    assert with_average.history.step_loss == without.history.step_loss
    assert with_average.program is not None and not same(with_average.model.state_dict(), without.model.state_dict())


def test_several_fits_are_one():
    whole, parts = trainer(tn.WeightAverage()), trainer(tn.WeightAverage())
    whole.fit(X, Y, epochs=5, batch_size=16)
    for epochs in (2, 1, 2):
        parts.fit(X, Y, epochs=epochs, batch_size=16)
    assert same(whole.model.state_dict(), parts.model.state_dict())


def test_before_the_first_epoch_that_counts_the_weights_are_the_last():
    late, without = trainer(tn.WeightAverage(start=4)), trainer()
    for run in (late, without):
        run.fit(X, Y, epochs=3, batch_size=16)
    assert same(late.model.state_dict(), without.model.state_dict())


@pytest.mark.parametrize("stop", [False, True])
def test_a_saved_run_goes_on(stop, tmp_path):
    def callbacks():
        return (*([tn.EarlyStopping()] if stop else []), tn.WeightAverage(0.7))

    a, b, whole = (trainer(*callbacks()) for _ in range(3))
    a.fit(X, Y, epochs=3, batch_size=16)
    whole.fit(X, Y, epochs=3, batch_size=16)
    tn.save_checkpoint(tmp_path / "x", a)
    tn.load_checkpoint(tmp_path / "x", b)
    assert same(a.model.state_dict(), b.model.state_dict())
    for run in (b, whole):
        run.fit(X, Y, epochs=3, batch_size=16)
    assert same(b.model.state_dict(), whole.model.state_dict())


def test_another_average_is_refused(tmp_path):
    tn.save_checkpoint(tmp_path / "x", trainer(tn.WeightAverage(0.7)))
    for callbacks in ((tn.WeightAverage(0.8),), (), (tn.EarlyStopping(),)):
        with pytest.raises(tn.CheckpointError, match="does not fit"):
            tn.load_checkpoint(tmp_path / "x", trainer(*callbacks))


def test_early_stopping_and_average_leave_the_average():
    run = trainer(tn.EarlyStopping(), tn.WeightAverage(None))
    run.fit(X, Y, epochs=4, batch_size=16, validation_data=(X, Y))
    average = run.callbacks[1].state_dict()["weights"]
    assert same(run.model.state_dict(), average)


@pytest.mark.parametrize(
    ("call", "said"),
    [(lambda: tn.WeightAverage(1.0), "decay is 1.0"), (lambda: tn.WeightAverage(start=0), "start is 0")],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()
