"""Estimators in joblib's workers: the same results, no more threads than CPUs, no deadlock."""

import os
import sys
import textwrap

import joblib
import pytest
from children import finished
from repository import ROOT

from kernels.cpus import cpu_count
from kernels.numba_backend.runtime.machine import MOST_THREADS, best_threads

CPUS = cpu_count()
LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")
START = """
    import threading, warnings
    import joblib, numpy as np
    import kernels, tinynet as tn
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    warnings.simplefilter("ignore")
    X, y = load_digits(return_X_y=True)
    X, y = X[:500], y[:500]
    def make(**options):
        return tn.MLPClassifier((64, 32), max_iter=5, random_state=0, batch_size=100, **options)
"""


def printed(body):
    """What a process of its own prints; one that hangs is ended and fails."""
    code = textwrap.dedent(START) + textwrap.dedent(body)
    environment = {name: value for name, value in os.environ.items() if name not in LIMITS}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    done = finished([sys.executable, "-c", code], 300, env=environment)  # kernels may have to be compiled
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, CPUS),
        ({"NUMBA_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "1,4"}, 1),
        ({"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1000"}, 1),
        ({"OMP_NUM_THREADS": "1000"}, CPUS),
        ({"OMP_NUM_THREADS": "0"}, CPUS),
        ({"NUMBA_NUM_THREADS": "many"}, CPUS),
    ],
)
def test_the_environment_limits_threads_that_are_not_asked_for(monkeypatch, environment, expected):
    with monkeypatch.context() as patch:  # Numba reads its variable again whenever it compiles
        for name in LIMITS:
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        assert best_threads() == min(expected, MOST_THREADS)


def test_workers_divide_the_cpus_and_find_the_same():
    """The default, a backend that was loaded before and goes along, and searches of one and of two processes."""
    body = """
        def threads(estimator):
            estimator.fit(X, y)
            team = sum(thread.name.startswith("tinynet-") for thread in threading.enumerate())
            return max(tn.backends.resolve(estimator.backend).options["threads"], team + 1)
        used = joblib.Parallel(n_jobs=2)(
            joblib.delayed(threads)(make(backend=backend)) for backend in (None, "numba", kernels.load("numba"))
        )
        print(*used)
        pipeline = make_pipeline(StandardScaler(), make())
        grid = {"mlpclassifier__alpha": [1e-4, 10.0]}
        searches = [GridSearchCV(pipeline, grid, cv=2, n_jobs=jobs).fit(X, y) for jobs in (1, 2)]
        print(np.array_equal(*(search.cv_results_["mean_test_score"] for search in searches)))
        print(np.array_equal(*(cross_val_score(pipeline, X, y, cv=2, n_jobs=jobs) for jobs in (1, 2))))
    """
    share = max(1, min(CPUS, MOST_THREADS, joblib.cpu_count() // 2))
    assert printed(body) == [str(share)] * 3 + ["True", "True"]


def test_fits_in_threads_of_one_process_disturb_nothing():
    """Two at once share the team of threads, the compiled kernels and the process's default backend."""
    body = """
        options = [{"norm": "batch", "dropout": 0.1}, {"solver": "sgd"}, {"early_stopping": True}, {"batch_size": 32}] * 2
        options = [{"batch_size": 100, **o, "random_state": i} for i, o in enumerate(options)]
        def fitted(o):
            with warnings.catch_warnings():
                return make().set_params(**o).fit(X, y).predict_proba(X)
        alone = [fitted(o) for o in options]
        with joblib.parallel_config(backend="threading"):
            together = joblib.Parallel(n_jobs=2)(joblib.delayed(fitted)(o) for o in options)
            print(all(map(np.array_equal, alone, together)))
            scores = [cross_val_score(make(), X, y, cv=2, n_jobs=jobs) for jobs in (1, 2)]
            print(np.array_equal(*scores))
    """
    assert printed(body) == ["True", "True"]
