"""scikit-learn's MLPClassifier and tinynet's, side by side: the same losses, and how long each takes.

python examples/drop_in.py
"""

import time
import warnings

import sklearn.neural_network
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

import tinynet as tn

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
warnings.simplefilter("ignore", ConvergenceWarning)  # 50 epochs are meant to be 50


def fitted(make, **options):
    model = make(hidden_layer_sizes=(128, 64), batch_size=32, max_iter=50, tol=0, random_state=0, **options)
    started = time.perf_counter()
    model.fit(X_train, y_train)
    return model, time.perf_counter() - started


fitted(tn.MLPClassifier)  # kernels are compiled once, and kept on disk
theirs, their_seconds = fitted(sklearn.neural_network.MLPClassifier)
print(f"scikit-learn        {their_seconds:6.2f} s  accuracy {theirs.score(X_test, y_test):.3f}")
for dtype in ("float32", "float64"):
    ours, seconds = fitted(tn.MLPClassifier, dtype=dtype)
    apart = max(abs(a - b) for a, b in zip(ours.loss_curve_, theirs.loss_curve_, strict=True))
    print(f"tinynet, {dtype}    {seconds:6.2f} s  accuracy {ours.score(X_test, y_test):.3f}", end="  ")
    print(f"{their_seconds / seconds:.1f} times as fast; the loss curves differ by {apart:.0e} at most")
