"""Machine code: loaded once a process, known on disk by all that it depends on, and safe where processes fork."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from children import path_to
from forks import printed
from repository import copied

import kernels
import tinynet as tn
from kernels.numba_backend.native import compilation
from tinynet.backends import running_on

# ---- once a process -----------------------------------------------------------------------------------------------


def loads():
    counters = compilation.COUNTERS
    return counters.loaded, counters.compiled, len(compilation._kept)


def use(backend, rows):
    x = np.ones((rows, 4), np.float32)
    weight = tn.nn.Parameter(np.ones((4, 3), np.float32))

    @tn.compile
    def step(x):
        weight.grad = None
        loss = (tn.Tensor(x) @ weight).exp().sum()
        loss.backward()
        return loss

    with running_on(backend):
        return [step(x).item() for _ in range(3)]


def test_programs_and_backends_load_no_code_again():
    """Engines are never let go, so each would be some 60 KB more for ever."""
    backend = kernels.load("numba", threads=1)
    use(backend, 5)
    before = loads()
    for rows in range(6, 16):
        use(backend, rows)
        use(kernels.load("numba", threads=1), rows)
        assert kernels.load("numba", threads=1).exp(np.zeros(3, np.float32))[0] == 1
    assert loads() == before


def test_memory_stays_flat_over_programs_and_backends():
    body = """
        import gc
        from test_compilation import use
        def resident():
            gc.collect()
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 10
        backend = kernels.load("numba", threads=1)
        def work(times):
            for i in range(times):
                use(backend, 5 + i % 4)
                kernels.load("numba", threads=1).exp(np.zeros(3, np.float32))
        work(60)
        grown = []
        for _ in range(5):  # the allocator grows and shrinks by steps of its own: a leak is in every round
            before = resident()
            work(60)
            grown.append(resident() - before)
        print(min(grown))
    """
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("needs /proc")
    (grown,) = printed(body, PYTHONPATH=path_to(__file__))
    assert int(grown) < 60 * 59, grown  # KiB: engines, one a program and one a backend, would take twice that


# ---- what a stored kernel is known by -----------------------------------------------------------------------------


def test_the_key_depends_on_cpu_and_settings(monkeypatch):
    before = compilation.fingerprint.__wrapped__()
    assert compilation.fingerprint.__wrapped__() == before
    for name, value in (("CPU_NAME", "other"), ("OPT", 0), ("LOOP_VECTORIZE", 7), ("SLP_VECTORIZE", 7)):
        with monkeypatch.context() as patch:
            patch.setattr(compilation.numba.config, name, value)
            assert compilation.fingerprint.__wrapped__() != before, name


@pytest.mark.parametrize(
    "edited",
    [
        "contract/random.py",
        "contract/declaration.py",
        "numba_backend/kernels/products/micro_kernel.py",
        "numba_backend/simd/vector.py",
    ],
)
def test_an_edited_source_changes_the_key(tmp_path, edited):
    copied(tmp_path, "kernels")
    body = "print(compilation.__file__, compilation.fingerprint())"
    file, before = printed(body, tmp_path)
    assert Path(file).is_relative_to(tmp_path)
    with open(tmp_path / "kernels" / edited, "a") as source:
        source.write("\nEDITED = 1\n")
    assert printed(body, tmp_path)[1] != before


def test_the_key_covers_all_that_is_imported_to_build_kernels():
    body = """
        import kernels.numba_backend
        files = {m.__file__ for name, m in sys.modules.items() if name.partition(".")[0] == "kernels"}
        print(len(files), *sorted(files - {str(path) for path in compilation.sources()}))
    """
    count, *missing = printed(body)
    assert int(count) > 40 and missing == []


def test_what_killed_processes_left_in_the_cache_goes(tmp_path):
    """But not what another process may be writing just now."""
    body = "kernels.load('numba', threads=1).exp(np.zeros(3, np.float32)); print(compilation.folder())"
    environment = {"TINYNET_CACHE_DIR": str(tmp_path)}
    folder = Path(printed(body, **environment)[0])
    stored = sorted(folder.glob("*.o"))
    old, young = folder / "tmp1a2b3c4d", folder / "tmp5e6f7a8b"
    for file in (old, young):
        file.write_bytes(b"half")
    long_ago = time.time() - 2 * compilation.STALE
    for file in (old, *stored):
        os.utime(file, (long_ago, long_ago))
    printed(body, **environment)
    assert not old.exists() and young.exists() and sorted(folder.glob("*.o")) == stored != []


# ---- forks --------------------------------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
@pytest.mark.parametrize(
    "held", ["compilation._lock", "call_cache._writing", "team._founding", "team.team_of(2)._busy"]
)
def test_a_child_does_not_wait_for_locks_of_its_parent(held):
    body = f"""
        from kernels.numba_backend.runtime import call_cache, team
        backend, done, x = kernels.load("numba", threads=2), threading.Event(), np.ones((300, 300), np.float32)
        expected = backend.matmul(x, x)
        taken = threading.Event()
        def hold():
            with {held}:
                taken.set()
                done.wait(100)
        holder = threading.Thread(target=hold)
        holder.start()
        assert taken.wait(100)
        child = os.fork()
        if child == 0:
            again = kernels.load("numba", threads=2)
            right = all((b.matmul(x, x) == expected).all() and b.exp(x).shape == x.shape for b in (again, backend))
            os._exit(0 if right else 1)
        try:
            print(ended(child))
        finally:
            done.set()
            holder.join(100)
    """
    assert printed(body) == ["0"]


@needs_fork
def test_a_child_compiles_what_it_needs_while_its_parent_compiles(tmp_path):
    """A fork waits for the kernel in hand: Numba's own locks would stay shut, and its tables half written."""
    body = """
        backend, x = kernels.load("numba", threads=1), np.ones((8, 8), np.float32)
        def compile_some():
            for kernel in ("exp", "log", "tanh", "sigmoid"):
                getattr(backend, kernel)(x)
        compiling = threading.Thread(target=compile_some)
        compiling.start()
        while not compilation.COUNTERS.compiled:  # more kernels come after it
            time.sleep(0.01)
        child = os.fork()
        if child == 0:
            os._exit(0 if np.allclose(kernels.load("numba", threads=1).sin(x), np.sin(1)) else 1)
        print(compiling.is_alive(), ended(child))
        compiling.join(100)
    """
    assert printed(body, TINYNET_CACHE_DIR=str(tmp_path)) == ["True", "0"]
