"""A network is trained by one thread, or read by several; a forked child does not wait for threads that it has not."""

import os
import sys
import textwrap
import threading

import numpy as np
import pytest
from children import finished
from repository import ROOT

import tinynet as tn
from tinynet import nn, optim

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(200, 6)), RNG.integers(0, 3, 200)
WAIT = 60  # seconds, for what takes a moment


def trainer(model=None, backend="numpy"):
    model = nn.multilayer_perceptron(6, (8,), 3, dropout=0.5) if model is None else model
    return tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), backend, progress=False)


class Held:
    """In the block another thread is in the middle of a call: it waits in this callback, or scorer, until the end."""

    def __init__(self, call):
        self.reached, self.release, self.error, self.call = threading.Event(), threading.Event(), None, call
        self.thread = threading.Thread(target=self._run, name="other", daemon=True)

    def _run(self):
        try:
            self.call()
        except BaseException as error:  # raised in the block's thread
            self.error = error

    def __call__(self, *arguments):
        self.reached.set()
        assert self.release.wait(WAIT)

    def __enter__(self):
        self.thread.start()
        assert self.reached.wait(WAIT), self.error

    def __exit__(self, *error):
        self.release.set()
        self.thread.join(WAIT)
        assert not self.thread.is_alive() and self.error is None


USES = {
    "fit": lambda run, path: run.fit(X, LABELS),
    "profile": lambda run, path: run.profile(X, LABELS),
    "predict": lambda run, path: run.predict(X),
    "evaluate": lambda run, path: run.evaluate(X, LABELS),
    "save_checkpoint": lambda run, path: tn.save_checkpoint(path, run),
    "load_checkpoint": lambda run, path: tn.load_checkpoint(path, run),
    "fit of the same model": lambda run, path: trainer(run.model).fit(X, LABELS),
    "save_checkpoint of the model": lambda run, path: tn.save_checkpoint(path, run.model),
    "save_checkpoint of the optimizer": lambda run, path: tn.save_checkpoint(path, run.optimizer),
}


@pytest.mark.parametrize("use", USES)
def test_a_second_thread_is_refused_during_a_fit(tmp_path, use):
    run = trainer()
    run.fit(X, LABELS)
    path = tmp_path / "run"
    tn.save_checkpoint(path, run)
    before = path.read_bytes()
    held = Held(lambda: run.fit(X, LABELS, epochs=2))
    run.callbacks = (held,)
    name = use.split()[0]
    with (
        held,
        pytest.raises(RuntimeError, match=rf"^{name} in MainThread: another thread uses this \w+, fit in other:"),
    ):
        USES[use](run, path)
    assert path.read_bytes() == before and run.epoch == 3
    run.callbacks = ()
    USES[use](run, path)  # afterwards it is free


def test_callbacks_may_read_what_their_thread_trains(tmp_path):
    def read(run, history):
        run.predict(X), run.evaluate(X, LABELS), tn.save_checkpoint(tmp_path / "run", run)

    run, plain = trainer(), trainer()
    plain.model.load_state_dict(run.model.state_dict())
    run.callbacks = (read,)
    assert run.fit(X, LABELS, epochs=3).step_loss == plain.fit(X, LABELS, epochs=3).step_loss
    assert (tmp_path / "run").exists()


def test_several_threads_may_read():
    run = trainer()
    expected = run.predict(X)

    class Waiting(nn.CrossEntropyLoss):
        def forward(self, logits, labels):
            held()
            return super().forward(logits, labels)

    run.loss_function = Waiting()
    held = Held(lambda: run.evaluate(X, LABELS))
    with held:
        np.testing.assert_array_equal(run.predict(X), expected)
        with pytest.raises(RuntimeError, match="evaluate in other"):
            run.fit(X, LABELS)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_estimator_is_not_read_while_another_thread_fits_it(tmp_path, solver):
    def loss(outputs, labels, wait=True):
        if threading.current_thread() is held.thread:
            held()
        return tn.functional.cross_entropy(outputs, labels)

    model = tn.MLPClassifier((8,), solver=solver, loss=loss, max_iter=2, warm_start=True, backend="numpy")
    held = Held(lambda: None)
    model.fit(X, LABELS)
    held = Held(lambda: model.fit(X, LABELS))
    with held:
        for use in (model.predict, model.predict_proba, model.predict_log_proba):
            with pytest.raises(
                RuntimeError, match=r"^predict in MainThread: another thread uses this Sequential, fit in"
            ):
                use(X)
    assert np.isfinite(model.predict_proba(X)).all()


FORKED = """
    import os, sys, threading, time
    import numpy as np
    import tinynet as tn
    from tinynet import nn, optim
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 16)), rng.integers(0, 3, 500)
    def trainer():
        model = nn.multilayer_perceptron(16, (32,), 3)
        return tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), {backend!r}, progress=False)
    run, stop = trainer(), []
    run.fit(X, y, epochs=3)
    run.callbacks = (lambda *_: bool(stop),)
    thread = threading.Thread(target=lambda: run.fit(X, y, epochs=10**6), daemon=True)
    thread.start()
    ended = []
    for attempt in range(5):
        time.sleep(0.02)
        child = os.fork()
        if not child:
            run.callbacks = ()
            run.predict(X), run.fit(X, y, epochs=2), trainer().fit(X, y, epochs=2)
            os._exit(0)
        until = time.monotonic() + 60
        while not (status := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < until:
            time.sleep(0.01)
        if not status[0]:
            os.kill(child, 9), os.waitpid(child, 0)
        ended.append(status)
        if not status[0]:
            break
    stop.append(True)
    thread.join(60)
    print(all(child and status == 0 for child, status in ended), thread.is_alive(), run.predict(X).shape)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_child_forked_during_a_fit_does_not_hang(backend):
    code = textwrap.dedent(FORKED.format(backend=backend))
    done = finished([sys.executable, "-c", code], 400, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stdout == "True False (500, 3)\n", done
