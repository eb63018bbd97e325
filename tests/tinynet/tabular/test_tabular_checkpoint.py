"""Saved estimators of tables predict the same bits in another process."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import tinynet as tn

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
X[::7, 1] = np.nan
LABELS = np.where(X[:, 0] > 0, "yes", "no")
CASES = {
    "classes": (lambda: tn.TabularClassifier(max_epochs=2, n_members=2, random_state=0, calibrate=True), LABELS),
    "numbers": (lambda: tn.TabularRegressor(max_epochs=2, random_state=0), X[:, 0] * 3),
    "quantiles": (lambda: tn.TabularRegressor(max_epochs=2, random_state=0, loss="quantile"), X[:, 0] * 3),
}
OTHER = """
import sys, numpy as np, tinynet as tn
found = tn.load_estimator(sys.argv[1])
X = np.load(sys.argv[2])
np.save(sys.argv[3], found.predict_proba(X) if hasattr(found, "predict_proba") else found.predict(X))
"""


def predictions(estimator):
    return estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.predict(X)


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_in_another_process(case, tmp_path):
    make, y = CASES[case]
    estimator = make().fit(X, y)
    tn.save_checkpoint(tmp_path / "e", estimator, notes={"table": "t"})
    np.save(tmp_path / "X.npy", X)
    files = [str(tmp_path / name) for name in ("e", "X.npy", "p.npy")]
    subprocess.run([sys.executable, "-c", OTHER, *files], check=True)
    np.testing.assert_array_equal(np.load(files[2]), predictions(estimator))
    again = make()
    assert tn.load_checkpoint(files[0], again) == {"table": "t"}
    for other in (again, copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        np.testing.assert_array_equal(predictions(other), predictions(estimator))


def test_another_class_is_refused(tmp_path):
    tn.save_checkpoint(tmp_path / "e", CASES["classes"][0]().fit(X, LABELS))
    with pytest.raises(tn.CheckpointError, match="it holds a TabularClassifier, expected a TabularRegressor"):
        tn.load_checkpoint(tmp_path / "e", tn.TabularRegressor())
