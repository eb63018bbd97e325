"""One thread or all, by a clock of the test's: what is tried, given up, tried again and left alone."""

import math
import os
import threading

import numpy as np
import pytest
from children import path_to
from forks import printed

import kernels
import tinynet as tn
from kernels.numba_backend.runtime import thread_choice
from kernels.numba_backend.runtime.callers import LASTS, Callers
from kernels.numba_backend.runtime.thread_choice import (
    BEHIND,
    LATEST,
    LONGEST,
    MOST_RECORDS,
    Neighbours,
    Record,
    record_of,
)
from tinynet import nn, optim

ENDLESS = 1 << 40  # steps to come


class Machine:
    """Runs of steps that take what the test says, on a clock that they advance."""

    def __init__(self, threads=4, **seconds):
        self.now, self.taken = 0.0, {1: 20e-6, threads: 12e-6} | seconds
        self.neighbours = Neighbours(lambda: self.now)
        self.record = Record(threads, self.neighbours)
        self.lost = 0.0  # seconds that a run on several threads loses, and by which it ends

    def _until_behind(self):
        """Steps after which a run on several threads ends."""
        a_step = self.taken[self.record.threads] - self.taken[1]
        return 1 if self.lost else ENDLESS if a_step <= 0 else 1 + int(BEHIND / a_step)

    def run(self, seconds, steps=50, left=ENDLESS, record=None):
        """The threads of the runs in so many seconds."""
        record, found, end = record or self.record, [], self.now + seconds
        while self.now < end:
            decision = record.decide(steps, left)
            ran = min(decision.steps, self._until_behind()) if decision.threads > 1 else decision.steps
            took = ran * self.taken[decision.threads] + (decision.threads > 1) * self.lost
            self.now += took
            record.note(decision, decision.threads, ran, took)
            found.append(decision.threads)
        return found


# ---- which is faster ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alone", "team", "expected"), [(20e-6, 12e-6, 4), (20e-6, 25e-6, 1), (20e-6, 60e-6, 1)])
def test_what_is_faster_runs_and_the_other_is_tried_again_ever_more_rarely(alone, team, expected):
    machine = Machine()
    machine.taken = {1: alone, 4: team}
    found = machine.run(0.05)
    assert found[:3] == [1, 1, 4] and set(found[6:]) == {expected} and machine.record.fastest == expected
    other = {1: 4, 4: 1}[expected]
    trials = [machine.run(seconds).count(other) for seconds in (1.0, 1.0, LATEST)]
    assert trials[0] >= 2 and trials[1] <= trials[0] and trials[2] <= 6


def test_what_becomes_faster_is_found():
    machine = Machine()
    machine.taken[4] = 25e-6
    assert machine.run(4.0)[-1] == 1
    machine.taken[4] = 12e-6
    assert machine.run(2 * LATEST)[-1] == 4


def test_nobody_is_woken_for_short_steps_or_where_there_is_nobody():
    machine = Machine()
    machine.taken = {1: 3e-6, 4: 1e-6}
    assert set(machine.run(1.0)) == {1}
    machine = Machine(threads=1)
    machine.taken = {1: 30e-6}
    assert set(machine.run(0.1)) == {1}


def test_nothing_is_tried_where_too_little_is_left():
    """50 steps of 20 us are a millisecond: less than what a trial may cost, times what it has to earn."""
    machine = Machine()
    assert set(machine.run(0.1, left=50)) == {1}
    assert 4 in machine.run(0.1, left=5000)
    machine = Machine()
    machine.lost = 20e-3
    machine.run(0.001, left=ENDLESS), machine.run(0.5)
    assert 4 not in machine.run(0.5, left=3000)  # 60 ms, of which a loss of 20 ms is too large a part


def test_a_trial_is_short():
    """Of a run of a thousand steps, which takes 20 ms, a millisecond at a time is tried."""
    machine = Machine()
    machine.record.note(machine.record.decide(1, ENDLESS), 1, 1, 20e-6)
    machine.record.note(machine.record.decide(50, ENDLESS), 1, 50, 1e-3)
    decision = machine.record.decide(1000, ENDLESS)
    assert decision.threads == 4 and 40 <= decision.steps <= 50 and decision.alone == pytest.approx(20e-6)


# ---- neighbours ---------------------------------------------------------------------------------------------------


def test_threads_are_given_up_beside_others_and_tried_again_at_growing_intervals():
    machine = Machine()
    assert machine.run(0.1)[-1] == 4
    machine.lost = 4e-3
    found = machine.run(1.0)
    assert found[1] == 1 and 2 <= found.count(4) <= 8
    assert machine.run(5 * LONGEST).count(4) <= 6
    machine.lost = 0.0
    assert machine.run(2 * LONGEST)[-1] == 4


def test_what_one_program_learns_of_the_machine_holds_for_all():
    machine = Machine()
    machine.run(0.1)
    other = Record(4, machine.neighbours)
    assert machine.run(0.1, record=other)[-1] == 4
    machine.lost = 4e-3
    machine.run(0.5)
    machine.lost = 0.0
    assert machine.run(0.005, record=other) == [1] * len(machine.run(0.005, record=other))


def test_a_short_loss_is_the_programs_own():
    """A program that is slower on all threads ends its trial early, and others go on with theirs."""
    machine = Machine()
    machine.run(0.1)
    slow = Record(4, machine.neighbours)
    machine.taken[4] = 40e-6
    assert machine.run(0.05, record=slow)[-1] == 1
    machine.taken[4] = 12e-6
    assert machine.run(0.02)[-1] == 4


# ---- what is kept -------------------------------------------------------------------------------------------------


def test_programs_that_are_alike_share_what_is_known_and_others_do_not():
    def made(units, batch=32):
        tn.manual_seed(0)
        model = nn.multilayer_perceptron(9, (units,), 3)
        run = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), backend, progress=False)
        run.fit(np.ones((128, 9), np.float32), np.arange(128) % 3, epochs=3, batch_size=batch)
        (replay,) = run._stepper._step.replays.values()
        return replay.runner._record

    backend = kernels.load("numba", threads=3)
    record = made(24)
    assert made(24) is record
    assert made(25) is not record and made(24, batch=64) is not record
    assert record._speeds[1].seconds < math.inf


def test_records_are_bounded():
    first = record_of(2, "first")
    for i in range(MOST_RECORDS):
        record_of(2, i)
    assert len(thread_choice._records) == MOST_RECORDS and record_of(2, "first") is not first
    assert record_of(2, MOST_RECORDS - 1) is record_of(2, MOST_RECORDS - 1)


# ---- several callers ----------------------------------------------------------------------------------------------


def test_who_computes_beside_another_thread_is_told_so_and_for_a_while_after():
    now = [100.0]
    callers = Callers(lambda: now[0])
    inside, done = threading.Event(), threading.Event()

    def compute():
        with callers.working():
            inside.set()
            done.wait(60)

    with callers.working() as only:
        assert only
        with callers.working() as only:  # in itself
            assert only
    thread = threading.Thread(target=compute)
    thread.start()
    assert inside.wait(60)
    with callers.working() as only:
        assert not only
    done.set()
    thread.join(60)
    now[0] += 0.9 * LASTS
    with callers.working() as only:
        assert not only
    now[0] += 0.2 * LASTS
    with callers.working() as only:
        assert only


def test_one_beside_others_runs_on_one_thread():
    machine = Machine()
    machine.run(0.1)
    assert machine.record.decide(50, ENDLESS).threads == 4
    assert machine.record.decide(50, ENDLESS, only=False)[:2] == (1, 50)


# ---- bits ---------------------------------------------------------------------------------------------------------


RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(960, 20)).astype(np.float32), RNG.integers(0, 7, 960)


def trained(threads, epochs=4, **options):
    """Losses and weights of a run."""
    tn.manual_seed(0)
    model = nn.multilayer_perceptron(20, (64, 48), 7, dropout=0.1)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    backend = kernels.load("numba", threads=threads)
    run = tn.Trainer(model, nn.CrossEntropyLoss(), optimizer, backend, progress=False, **options)
    history = run.fit(X, LABELS, epochs=epochs, batch_size=32)
    return history.step_loss, b"".join(array.tobytes() for array in model.state_dict().values())


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("options", [{}, {"schedule": tn.schedule.Cosine()}])
def test_a_run_that_gives_up_threads_in_its_middle_has_the_same_bits(monkeypatch, threads, options):
    """All threads are to start each run, and to be behind after its first step: the rest runs on one."""
    expected, ended = trained(1, **options), []
    decide, note = Record.decide, Record.note

    def hopeful(self, steps, left, only=True):
        if self.threads == 1:
            return decide(self, steps, left, only)
        return thread_choice.Decision(1 if ended and ended[-1] else self.threads, steps, 1e-12)

    def noting(self, decision, threads, steps, seconds):
        ended.append(threads > 1 and steps < decision.steps)
        note(self, decision, threads, steps, seconds)

    monkeypatch.setattr(Record, "decide", hopeful)
    monkeypatch.setattr(Record, "note", noting)
    monkeypatch.setattr("kernels.numba_backend.runtime.executor.BEHIND_SECONDS", 0.0)
    monkeypatch.setattr("kernels.numba_backend.runtime.executor._ticks", 1e9)
    monkeypatch.setattr("kernels.numba_backend.runtime.executor.PATIENCE", 1 << 40)  # however busy the machine is
    assert trained(threads, **options) == expected
    assert any(ended) and not all(ended)


def test_a_run_that_is_cut_everywhere_has_the_same_bits(monkeypatch):
    """Runs of one step and of several, on one thread and on all by turns."""
    expected, turn = trained(1), iter(range(10**9))

    def varied(self, steps, left, only=True):
        i = next(turn)
        return thread_choice.Decision((1, self.threads)[i % 2], min(steps, 1 + i % 3), math.inf)

    monkeypatch.setattr(Record, "decide", varied)
    assert trained(3) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_process_whose_threads_compute_trains_to_the_same_bits():
    body = """
        from kernels.numba_backend.runtime.thread_choice import always_all
        from test_thread_choice import trained
        expected, stop = trained(2), threading.Event()
        def train():
            while not stop.is_set():
                trained(2)
        beside = threading.Thread(target=train)
        beside.start()
        try:
            for forced in (False, True):
                time.sleep(0.05)
                child = os.fork()
                if child == 0:
                    with always_all() if forced else threading.Lock():
                        os._exit(0 if trained(2) == expected else 1)
                print(ended(child, 60))
        finally:
            stop.set()
            beside.join(60)
    """
    assert printed(body, PYTHONPATH=path_to(__file__)) == ["0", "0"]
