"""Scores of predictions, by scikit-learn."""

from __future__ import annotations

from .tensor import Array


def score_name(task: str) -> str:
    """What ``score`` measures for a task."""
    return {"classification": "accuracy", "regression": "R2"}[task]


def score(task: str, target: Array, output: Array) -> float:
    """Accuracy of the likeliest class, or R2 = 1 - residual / total sum of squares, averaged over outputs."""
    from sklearn.metrics import accuracy_score, r2_score

    if task == "classification":
        return float(accuracy_score(target, output.argmax(axis=1)))
    return float(r2_score(target, output.reshape(target.shape)))
