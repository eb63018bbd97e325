"""The numba backend's promises: any vector width, any CPU, any number of threads, a cache that cannot hurt."""

import contextlib
import dataclasses
import math
import os
import stat
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from backends import loaded
from children import finished
from repository import ROOT

import kernels
import kernels.testing as suite
import tinynet as tn
from kernels.contract import ACTIVATIONS, OUTPUT_ACTIVATIONS
from kernels.numba_backend.kernels.products.epilogues import EPILOGUES
from kernels.numba_backend.kernels.products.gemm import DEPTH
from kernels.numba_backend.native import invocation
from kernels.numba_backend.runtime import machine, team
from kernels.numba_backend.simd import host
from tinynet.backends import running_on

RNG = np.random.default_rng(0)
F = np.float32

# One kernel of each file, and those with loops of their own: what a width or CPU could break.
SAMPLE = ("exp", "power", "add", "where", "matmul", "linear", "matmul_gradient", "gather_labels", "sum", "argmax", "softmax", "softmax_cross_entropy", "huber",
          "dropout_mask", "transpose", "layer_norm_gradient", "batch_norm", "adam", "scatter_add_rows", "cast")  # fmt: skip


def python(body, timeout=240, **environment):
    """What a new process prints; it fails if the process does."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(body)]
    done = finished(command, timeout, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.parametrize("width", [1, 4, 8, 16])
def test_every_width_conforms(width):
    backend = kernels.load("numba", simd_width=width, threads=1)
    trials = [trial for trial in suite.trials() if width == host.lanes(F) or trial.kernel in SAMPLE]
    assert [str(failure) for trial in trials for failure in trial.run(backend)] == []


def test_kernels_loaded_from_disk_conform():
    """The test above has left them there."""
    body = f"""
        import kernels, kernels.testing as suite
        backend = kernels.load("numba", simd_width={host.lanes(F)}, threads=1)
        failures = [str(failure) for failure in suite.check(backend)]
        print(len(failures), backend.kernels_compiled, *failures[:3])
    """
    assert python(body) == ["0", "0"]


def test_the_fused_layer_knows_every_activation():
    gradients = {f"{name}_gradient" for name in OUTPUT_ACTIVATIONS}
    assert {*EPILOGUES, "identity"} == {*ACTIVATIONS, *gradients}


def test_threads_conform(monkeypatch):
    """Three threads on whatever cores there are, however small the call."""
    monkeypatch.setattr(machine, "SHARED_FROM", 0)
    monkeypatch.setattr(machine, "SHARED_FROM_PRODUCTS", 0)
    assert [str(failure) for failure in suite.check(kernels.load("numba", threads=3))] == []


@pytest.mark.parametrize(("cpu", "width"), [("haswell", 8), ("x86-64", 4)])
def test_other_cpus_conform(cpu, width):
    """Without AVX-512, and without AVX. The empty features matter: with the name alone Numba keeps the machine's."""
    if not host.is_x86():
        pytest.skip("names x86 CPUs")
    body = f"""
        import kernels, kernels.testing as suite
        backend = kernels.load("numba", threads=1)
        assert backend.options["simd_width"] == {width}, backend
        failures = [str(f) for t in suite.trials() if t.kernel in {SAMPLE} for f in t.run(backend)]
        assert not failures, failures[:5]
    """
    python(body, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES="")


@pytest.mark.parametrize("kernel", [
    "sum", "mean", "max", "argmax", "sum_of_squares", "softmax", "log_softmax", "softmax_gradient", "softmax_cross_entropy",
    "huber", "layer_norm", "layer_norm_gradient", "batch_norm", "batch_norm_gradient", "batch_norm_inference", "lerp_gradient",
])  # fmt: skip
def test_long_rows_and_columns_conform(monkeypatch, kernel):
    """Several blocks of rows, of columns and of the elements of a row, and what is left of each."""
    case = dataclasses.replace(suite.CASES[kernel], shapes=((600, 1100),))
    monkeypatch.setitem(suite.CASES, kernel, case)
    found = [suite.Trial(kernel, dtype).run(loaded("numba")) for dtype in ("float32", "float64")]
    assert [str(failure) for failures in found for failure in failures] == []


# Sizes around the tile, the panel and the blocks of K.
@pytest.mark.parametrize("m", [1, 13, 14, 15, 64, 65])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 31, 32, 33, 70])
def test_products_around_the_tiles(m, n):
    backend = loaded("numba")
    for k in (1, 2, DEPTH - 1, DEPTH, DEPTH + 1):
        for turned_a, turned_b in [(False, False), (True, False), (False, True), (True, True)]:
            a, b = RNG.normal(size=(k, m) if turned_a else (m, k)), RNG.normal(size=(n, k) if turned_b else (k, n))
            a, b = a.astype(F), b.astype(F)
            exact, size = ((f(a).T if turned_a else f(a)) @ (f(b).T if turned_b else f(b))
                           for f in (lambda x: x.astype(float), lambda x: np.abs(x).astype(float)))  # fmt: skip
            error = np.abs(backend.matmul(a, b, turned_a, turned_b) - exact)
            assert (error <= max(16, np.sqrt(k)) * np.finfo(F).eps * size).all()


@pytest.mark.parametrize(
    "kernel", ["matmul", "exp", "add", "softmax", "softmax_cross_entropy", "layer_norm", "batch_norm", "sum", "adam"]
)
def test_threads_change_no_bit(kernel):
    """At sizes that threads share by themselves, and forced to."""
    x, y, w = (RNG.normal(size=(700, 300)).astype(F) for _ in range(3))
    labels, gain = RNG.integers(0, 300, 700), RNG.normal(size=300).astype(F)

    def result(backend):
        calls = {
            "matmul": lambda: backend.matmul(x, y, transpose_b=True),
            "exp": lambda: backend.exp(x),
            "add": lambda: backend.add(x, gain),
            "softmax": lambda: backend.softmax(x.reshape(-1, 10)),
            "softmax_cross_entropy": lambda: backend.softmax_cross_entropy(x, labels),
            "layer_norm": lambda: backend.layer_norm(x, gain, gain),
            "batch_norm": lambda: backend.batch_norm(x, gain, gain, gain.copy(), gain.copy()),
            "sum": lambda: backend.sum(x, axis=0),
        }
        if kernel == "adam":
            state = [w.copy() for _ in range(4)]
            state[3][...] = np.abs(state[3])
            backend.adam(*state, np.array([0.1, 0.9, 0.99, 1e-8, 0.1, 3.0]))
            return state
        found = calls[kernel]()
        return found if isinstance(found, tuple) else (found,)

    alone = result(kernels.load("numba", threads=1))
    for threads in (2, 3, 5):
        for a, b in zip(alone, result(kernels.load("numba", threads=threads)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_threads_that_sleep_between_calls_all_wake():
    """Calls close together and far apart, on more threads than there may be cores."""
    body = """
        import time
        import numpy as np
        import kernels
        from kernels import numba_backend
        from kernels.numba_backend.runtime import machine
        machine.SHARED_FROM, numba_backend.at_once = 0, lambda threads: threads
        backend, x = kernels.load("numba", threads=4), np.ones(4096, np.float32)
        out = np.empty_like(x)
        for i in range(6000):
            backend.add(x, float(i % 7), out=out)
            assert out[0] == out[-1] == 1 + i % 7
            if i % 40 == 0:
                time.sleep(0.0007)
        print("done")
    """
    assert python(body, timeout=120) == ["done"]


def test_two_python_threads_at_once():
    """One finds the team busy and computes alone; both are right."""
    backend, wrong = kernels.load("numba", threads=2), []
    a, b = (RNG.normal(size=(200, 200)).astype(F) for _ in range(2))
    expected = backend.matmul(a, b)

    def work():
        wrong.extend(1 for _ in range(200) if not np.array_equal(backend.matmul(a, b), expected))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == [] and not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("kernel", ["matmul", "executor"])
@pytest.mark.parametrize("when", ["published", "waking", "joined"])
def test_an_interrupted_call_is_finished(monkeypatch, when, kernel):
    """Ctrl-C as a call is given to the threads, some of which may have begun: also where they wait for each other."""
    lead, join, follow = team._native()
    backend, x = kernels.load("numba", threads=3), np.ones((300, 300), F)
    weight = tn.nn.Parameter(np.ones((300, 300), F))

    @tn.compile
    def step(x):
        weight.grad = None
        loss = ((tn.Tensor(x) @ weight).relu() @ weight).sum()
        loss.backward()
        return loss

    def call():
        return backend.matmul(x, x) if kernel == "matmul" else step(x).item()

    def interrupted(*arguments):
        (join if len(arguments) == 5 else lead)(*arguments)
        patch.setattr(team, "_native", lambda: (lead, join, follow))
        raise KeyboardInterrupt

    def waking(thread):
        patch.undo()
        raise KeyboardInterrupt

    with running_on(backend):
        expected = [call() for _ in range(4)][-1]
        for pause in (0, 0.05):  # threads awake, and asleep
            with monkeypatch.context() as patch:
                time.sleep(pause)
                if when == "waking":
                    patch.setattr(team.team_of(3)._wake[2], "release", lambda: waking(2))
                else:
                    native = (interrupted, join, follow) if when == "published" else (lead, interrupted, follow)
                    patch.setattr(team, "_native", lambda native=native: native)
                with contextlib.suppress(KeyboardInterrupt):
                    call()
            for _ in range(3):
                np.testing.assert_array_equal(call(), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_after_training_finds_new_threads():
    body = """
        import os, warnings
        import numpy as np
        import kernels
        warnings.simplefilter("ignore")  # Python warns of forks beside threads, which is what is tested
        backend, x = kernels.load("numba", threads=2), np.ones((600, 600), np.float32)
        expected = backend.matmul(x, x)
        child = os.fork()
        if child == 0:
            os._exit(0 if (backend.matmul(x, x) == expected).all() else 1)
        print(os.waitpid(child, 0)[1], (backend.matmul(x, x) == expected).all())
    """
    assert python(body, timeout=60) == ["0", "True"]


def test_more_threads_than_cores():
    body = """
        import os
        import numpy as np
        import kernels
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        x = np.ones((600, 600), np.float32)
        print(kernels.load("numba").options["threads"], kernels.load("numba", threads=2).matmul(x, x)[5, 5])
    """
    assert python(body, timeout=120)[1] == "600.0"


def test_labels_of_a_call_like_an_earlier_one_are_checked():
    """The shortcut looks at their values, and at probabilities."""
    backend, logits = kernels.load("numba", threads=1), RNG.normal(size=(20, 3)).astype(F)
    labels, bad = np.arange(20) % 3, np.arange(20) % 4
    for _ in range(3):
        losses, _ = backend.softmax_cross_entropy(logits, labels, None, 0.25)
    for wrong, said in ((bad, "labels holds 3"), (labels - 1, "labels holds -1")):
        with pytest.raises(ValueError, match=said):
            backend.softmax_cross_entropy(logits, wrong, None, 0.25)
    for smoothing in (1.0, -0.5, np.nan):
        with pytest.raises(ValueError, match="smoothing is"):
            backend.softmax_cross_entropy(logits, labels, None, smoothing)
    assert not np.array_equal(backend.softmax_cross_entropy(logits, labels, None, 0.5)[0], losses)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_averages_do_not_stay_subnormal(dtype):
    """A gradient that has become 0 leaves averages of 0, not of numbers that only rounding keeps from it."""
    backend, tiny = kernels.load("numba", threads=1), np.finfo(dtype).tiny
    p, g = np.ones(40, dtype), np.zeros(40, dtype)
    first, second = np.full(40, 0.9 * tiny, dtype), np.full(40, 1.5 * tiny, dtype)
    backend.adam(p, g, first, second, np.array([1e-3, 0.9, 0.999, 1e-8, 0.0, 5.0]))
    assert (first == 0).all() and (second > 0).all() and np.isfinite(p).all()


@pytest.mark.parametrize(
    "name", sorted(set(ACTIVATIONS) - {"identity", "sigmoid", "softplus"})
)  # whose tails are exact
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_units_far_below_0_make_no_subnormal_numbers(name, dtype):
    backend, info = kernels.load("numba", threads=1), np.finfo(dtype)
    least = math.log(info.smallest_subnormal)
    x = np.concatenate([np.linspace(1.1 * least, 0, 5001), -np.sqrt(np.linspace(0, -2.2 * least, 5001))]).astype(dtype)
    y = getattr(backend, name)(x)
    dx = getattr(backend, f"{name}_gradient")(np.full_like(x, 1e-6), y if name in OUTPUT_ACTIVATIONS else x)
    for array in (y, dx):
        assert not ((array != 0) & (abs(array) < info.tiny)).any()


# ---- arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threads": 0}, "threads is 0"), ({"threads": 2.5}, "threads is 2.5"), ({"threads": 1000}, "threads is 1000"),
        ({"simd_width": 3}, "simd_width is 3, expected one of 1, 4, 8, 16"), ({"width": 4}, "has no option 'width'"),
    ],
)  # fmt: skip
def test_bad_options(options, said):
    with pytest.raises(ValueError, match=said):
        kernels.load("numba", **options)


def test_objects_are_read_as_they_are():
    assert invocation.reads_objects()


def test_packing_in_python_gives_the_same(monkeypatch):
    """What runs where an interpreter's objects are laid out otherwise."""
    monkeypatch.setattr(invocation, "reads_objects", lambda: False)
    monkeypatch.setattr(machine, "SHARED_FROM", 0)
    for threads in (1, 2):
        backend = kernels.load("numba", threads=threads)
        for kernel in ("exp", "leaky_relu", "linear", "softmax_cross_entropy"):
            assert suite.Trial(kernel, "float32").run(backend) == []


# ---- the cache ----------------------------------------------------------------------------------------------------

USE = """
    import numpy as np, warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import kernels
        backend = kernels.load("numba", threads=1)
        ok = np.allclose(backend.exp(np.ones(5)), np.e) and (backend.matmul(np.eye(3), np.eye(3)) == np.eye(3)).all()
    print(ok, backend.kernels_compiled, backend.compile_seconds > 0, len(caught))
"""


def test_a_second_process_compiles_nothing(tmp_path):
    first = python(USE, TINYNET_CACHE_DIR=str(tmp_path))
    assert first[0] == "True" and int(first[1]) >= 2 and first[2:] == ["True", "0"]
    assert python(USE, TINYNET_CACHE_DIR=str(tmp_path)) == ["True", "0", "False", "0"]
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert folders and all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in folders if path != tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "empty", "changed", "text"])
def test_a_damaged_cache_is_compiled_again_and_said_once(tmp_path, damage):
    compiled = int(python(USE, TINYNET_CACHE_DIR=str(tmp_path))[1])
    for path in tmp_path.rglob("*.o"):
        whole = path.read_bytes()
        path.write_bytes({"truncated": whole[:-100], "empty": b"", "changed": whole[:-1] + bytes([whole[-1] ^ 1]),
                          "text": b"not\xff an object\n"}[damage])  # fmt: skip
    again = python(USE, TINYNET_CACHE_DIR=str(tmp_path))
    assert again[:3] == ["True", str(compiled), "True"] and int(again[3]) <= 1
    assert python(USE, TINYNET_CACHE_DIR=str(tmp_path)) == ["True", "0", "False", "0"]


def test_an_unusable_cache_folder_is_no_error(tmp_path):
    """A file is where the folder should be."""
    (tmp_path / "file").write_text("")
    result = python(USE, TINYNET_CACHE_DIR=str(tmp_path / "file"))
    assert result[0] == "True" and int(result[1]) >= 2 and result[3] == "1"
