"""Teams of threads: no more at once than CPUs, fewer where none can be started, gone with the last backend."""

import gc
import os
import threading
import time

import numpy as np
import pytest
from children import path_to
from forks import printed

import kernels
import tinynet as tn
from kernels import cpus
from kernels.hardware import peak
from kernels.numba_backend.runtime import machine, team
from tinynet.backends import running_on

X = np.ones((300, 300), np.float32)


@pytest.fixture
def become():
    """Whether the threads of the test's teams become so many in time: those that were told to end do so soon.

    Teams are the process's, so each test has numbers of threads that no other test has.
    """
    before = set(threading.enumerate())

    def settled(count):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            gc.collect()
            if sum(thread.name.startswith("tinynet-") for thread in set(threading.enumerate()) - before) == count:
                return True
            time.sleep(0.01)
        return False

    return settled


# ---- how many -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", [1, 16, 17])
def test_no_more_threads_than_cpus_run(monkeypatch, become, found):
    """Whoever has no CPU keeps all others waiting at each barrier: 62 threads on 2 CPUs were 1,000 times slower."""
    monkeypatch.undo()
    monkeypatch.setattr(team, "cpu_count", lambda: found)
    monkeypatch.setattr(machine, "SHARED_FROM", 0)
    backend = kernels.load("numba", threads=62)
    assert backend.options["threads"] == 62
    np.testing.assert_array_equal(backend.exp(X), kernels.load("numba", threads=1).exp(X))
    assert become(found - 1)


def test_many_threads_on_few_cpus_train_to_the_same_bits():
    body = """
        import tinynet as tn
        from tinynet import nn, optim
        def train(threads):
            tn.manual_seed(0)
            model = nn.multilayer_perceptron(20, (64, 48), 7)
            run = tn.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()),
                             kernels.load("numba", threads=threads), progress=False)
            X, y = np.random.default_rng(0).normal(size=(960, 20)), np.arange(960) % 7
            run.fit(X, y, epochs=20, batch_size=96)
            return b"".join(array.tobytes() for array in model.state_dict().values())
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))
        from kernels.cpus import cpu_count
        print(train(1) == train(62), sum(t.name.startswith("tinynet-") for t in threading.enumerate()) < cpu_count())
    """
    assert printed(body) == ["True", "True"]


# ---- where threads cannot be started ------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_fewer_threads_where_no_more_can_be_started(monkeypatch, become, always_all, allowed):
    """Kernels run on those that could be; a program, which is split for a number of threads, on one."""
    start, left = threading.Thread.start, [allowed]

    def limited(thread):
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    monkeypatch.setattr(machine, "SHARED_FROM", 0)
    monkeypatch.setattr(team, "_startable", team.MOST_THREADS)
    backend, alone = (kernels.load("numba", threads=threads) for threads in (10 + allowed, 1))
    for _ in range(3):
        np.testing.assert_array_equal(backend.exp(X), alone.exp(X))
    assert become(allowed)
    kernel, crew = machine.Machine(1, 1).launcher("exp", "f"), team.team_of(10 + allowed)
    assert [crew.run(kernel, (X, X.copy()), fewer) for fewer in (False, True)] == [1, allowed + 1]

    def losses(backend):
        weight = tn.nn.Parameter(X * 0.01)

        @tn.compile
        def step(x):
            weight.grad = None
            loss = (tn.Tensor(x) @ weight).tanh().sum()
            loss.backward()
            return loss

        with running_on(backend):
            return [(step(X).item(), np.asarray(weight.grad.data).tobytes()) for _ in range(4)]

    assert losses(backend) == losses(alone)
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert team.at_once(4) == min(allowed + 1, cpus.cpu_count())


def test_a_process_without_memory_for_stacks_runs_on_one_thread():
    body = """
        import resource
        from kernels import numba_backend
        numba_backend.at_once = lambda threads: threads
        alone, backend, x = *(kernels.load("numba", threads=n) for n in (1, 4)), np.ones((600, 600), np.float32)
        expected = alone.matmul(x, x)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")
        threading.stack_size(1 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), resource.RLIM_INFINITY))
        try:
            threading.Thread(target=print).start()
        except RuntimeError:
            print("refused")
        print((backend.matmul(x, x) == expected).all(), threading.active_count())
    """
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")
    assert printed(body) == ["refused", "True", "1"]


def test_a_measurement_does_not_wait_for_a_thread_that_cannot_be_started(monkeypatch):
    start, left = threading.Thread.start, [1]

    def limited(thread):
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        peak.best_seconds([lambda: None] * 3, 0.001)


def test_an_interrupted_start_leaves_no_thread(monkeypatch, become):
    """Ctrl-C as the second thread is started: the first ends, and the next call starts all."""
    start = threading.Thread.start

    def interrupted(thread):
        if thread.name == "tinynet-2":
            monkeypatch.setattr(threading.Thread, "start", start)
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    backend = kernels.load("numba", threads=14)
    with pytest.raises(KeyboardInterrupt):
        backend.matmul(X, X)
    assert become(0)
    assert (backend.matmul(X, X) == 300).all() and become(13)


def test_a_run_is_called_off_where_a_thread_does_not_come(monkeypatch):
    """One of five sleeps on: the caller runs alone, and those who joined go; all run the next call, and the one after."""
    machine_of_five, crew = machine.Machine(1, 5), team.team_of(5)
    kernel, expected = machine_of_five.launcher("exp", "f"), kernels.load("numba", threads=1, simd_width=1).exp(X)

    def ran(patience):
        out = np.empty_like(X)
        threads = crew.run(kernel, (X, out), patience=patience)
        np.testing.assert_array_equal(out, expected)
        return threads

    assert ran(0) == 5
    deadline = time.monotonic() + 60
    while not crew._shared[team.ASLEEP + team.APART * 3] and time.monotonic() < deadline:
        time.sleep(0.01)
    with monkeypatch.context() as patch:
        patch.setattr(crew._wake[3], "release", lambda: None)
        assert [ran(100), ran(100)] == [1, 1]
    crew._wake[3].release()
    assert [ran(0), ran(1 << 40), ran(0)] == [5, 5, 5]


# ---- how long -----------------------------------------------------------------------------------------------------


def test_threads_end_with_the_backends(become):
    """Of 20 dropped backends 210 threads were left; those of one number share them meanwhile."""
    backends = [kernels.load("numba", threads=threads) for threads in (4, 5, 6, 6, 6)]
    assert become(0)  # no thread before there is work
    for backend in backends:
        assert (backend.matmul(X, X) == 300).all()
    assert become(3 + 4 + 5)
    del backend
    for left in (3 + 4 + 5, 3 + 4 + 5, 3 + 4, 3, 0):
        del backends[-1]
        assert become(left)


def test_native_threads_end_too():
    body = """
        import gc
        from kernels import numba_backend
        numba_backend.at_once = lambda threads: threads
        x = np.ones((300, 300), np.float32)
        def native():
            return len(os.listdir("/proc/self/task"))
        kernels.load("numba", threads=1).matmul(x, x)
        before, most = native(), 0
        for threads in range(2, 22):
            kernels.load("numba", threads=threads).matmul(x, x)
            most = max(most, native())
        end = time.monotonic() + 60
        while native() > before and time.monotonic() < end:
            gc.collect()
            time.sleep(0.01)
        print(native() - before, most > before)
    """
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("needs /proc")
    assert printed(body) == ["0", "True"]


def test_a_team_serves_as_long_as_a_backend_of_its_number_is_left(become):
    """Backends come and go while others compute."""
    kept, wrong = kernels.load("numba", threads=7), []

    def work():
        for _ in range(15):
            backend = kernels.load("numba", threads=7)
            wrong.extend(one for one in (backend, kept) if not (one.matmul(X, X) == 300).all())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert wrong == [] and not any(thread.is_alive() for thread in threads)
    assert become(6)
    kept = None
    assert become(0)


# ---- programs -----------------------------------------------------------------------------------------------------


def scored(weight):
    """A recorded step whose loss is that of the same weights each time."""

    @tn.compile
    def step(x):
        weight.grad = None
        loss = ((tn.Tensor(x) @ weight).tanh() @ weight).sum()
        loss.backward()
        return loss

    return step


def test_a_profile_says_on_how_many_threads_it_ran(always_all):
    """One where another caller has the team: its readings are not those of threads that never began."""
    backend, step = kernels.load("numba", threads=2), scored(tn.nn.Parameter(X * 0.01))
    with running_on(backend):
        for _ in range(4):
            step(X)
        together = step.profile(X).timings
        with team.team_of(2)._busy:
            alone = step.profile(X).timings
    assert (together.threads, alone.threads) == (2, 1)
    assert alone.begins.min() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_replays_what_its_parent_is_replaying():
    """The child has none of the threads that hold the turn of a program."""
    body = """
        from test_threads import X, scored
        import tinynet as tn
        from tinynet.backends import running_on
        step, stop = scored(tn.nn.Parameter(X * 0.01)), threading.Event()
        with running_on(kernels.load("numba", threads=1)):
            expected = [step(X).item() for _ in range(4)][-1]
            def replay():
                with running_on(backend):
                    while not stop.is_set():
                        step(X)
            backend = tn.backends.current()
            replaying = threading.Thread(target=replay)
            replaying.start()
            try:
                for _ in range(8):
                    time.sleep(0.01)
                    child = os.fork()
                    if child == 0:
                        os._exit(0 if step(X).item() == expected else 1)
                    print(ended(child, 20))
            finally:
                stop.set()
                replaying.join(60)
    """
    assert printed(body, PYTHONPATH=path_to(__file__)) == ["0"] * 8
