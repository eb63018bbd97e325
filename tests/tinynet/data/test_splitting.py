"""Splitting and standardising: no row lost, none in both parts, nothing learnt from the test part."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import said
from sklearn.preprocessing import StandardScaler

from tinynet import data
from tinynet.data import Dataset

OFFLINE = [row.name for row in data.describe() if "downloaded" not in row.size]
X = np.arange(12.0).reshape(6, 2)


def six_rows(features: Any) -> Dataset:
    """A classification with features "width" and "height"."""
    target = np.array([0, 1] * 3)
    return Dataset("six", features, target, "classification", ("no", "yes"), ("width", "height"), ("answer",))


def classes_of(counts: list[int]) -> Dataset:
    """A data set with `counts[c]` rows of class c, each row's feature its own number."""
    target = np.repeat(np.arange(len(counts)), counts)
    features = np.arange(float(len(target))).reshape(-1, 1)
    return Dataset("counted", features, target, "classification", tuple(range(len(counts))), ("x",), ("y",))


# Splitting

counts_of_classes = st.lists(st.integers(2, 40), min_size=2, max_size=6)


@given(counts=counts_of_classes, share=st.floats(0.01, 0.99), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=100)
def test_split_loses_no_row_and_keeps_proportions(counts: list[int], share: float, seed: int) -> None:
    dataset = classes_of(counts)
    rows, test_rows = sum(counts), int(np.ceil(sum(counts) * share))
    if not len(counts) <= test_rows <= rows - len(counts):
        assert "test_size" in said(lambda: data.split(dataset, share, seed))
        return
    train, test = data.split(dataset, share, seed)
    assert len(test.features) == test_rows
    together = np.concatenate([train.features, test.features])[:, 0]
    assert sorted(together.tolist()) == dataset.features[:, 0].tolist()
    for part in (train, test):
        np.testing.assert_array_equal(part.target, dataset.target[part.features[:, 0].astype(int)])
        assert part.features.flags.c_contiguous
        assert part.classes == dataset.classes
        found, expected = np.bincount(part.target, minlength=len(counts)), np.array(counts) * len(part.target) / rows
        assert found.min() >= 1
        if min(expected.min(), (np.array(counts) - expected).min()) >= 1:  # no class had to be helped in
            assert np.abs(found - expected).max() < 1


@given(rows=st.integers(4, 200), test_rows=st.integers(2, 198), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_split_of_quantities_loses_no_row(rows: int, test_rows: int, seed: int) -> None:
    number = np.arange(float(rows))
    dataset = Dataset("line", number.reshape(-1, 1), number * 2, "regression", (), ("x",), ("y",))
    if test_rows > rows - 2:
        assert f"test_size={test_rows}" in said(lambda: data.split(dataset, test_rows, seed))
        return
    train, test = data.split(dataset, test_rows, seed)
    assert len(test.features) == test_rows
    together = np.concatenate([train.target, test.target])
    assert sorted(together.tolist()) == dataset.target.tolist()


def test_rare_classes_are_in_both_parts() -> None:
    for seed in range(20):
        for test_size in (0.02, 0.98):
            train, test = data.split(classes_of([1000, 2, 2, 2]), test_size, seed)
            assert set(train.target.tolist()) == set(test.target.tolist()) == {0, 1, 2, 3}


def test_split_is_reproducible() -> None:
    dataset = data.load("iris")
    first, again, other = (data.split(dataset, seed=seed).test.features for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(data.split(dataset, 30).test.features) == len(data.split(dataset, 0.2).test.features) == 30


@pytest.mark.parametrize(
    "test_size", [0, 1, 0.0, 1.0, 1.5, -0.2, -3, 149, 150, 9999, True, None, "0.2", np.nan, np.inf]
)
def test_split_refuses_test_size(test_size: Any) -> None:
    message = said(lambda: data.split(data.load("iris"), test_size))
    assert "test_size" in message
    assert str(test_size) in message


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True, None, "1"])
def test_split_refuses_seed(seed: Any) -> None:
    assert repr(seed) in said(lambda: data.split(data.load("iris"), seed=seed))


def test_split_refuses_what_is_no_dataset() -> None:
    assert "ndarray" in said(lambda: data.split(X), TypeError)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dataset", "test_size", "words"),
    [
        (lambda: classes_of([5, 1, 5]), 0.3, ["class 1", "'counted'", "1 row", "remove it", "task=regression"]),
        (lambda: classes_of([5, 0, 5]), 0.3, ["class 1", "no rows"]),
        (lambda: classes_of([9, 9, 9]), 2, ["test_size=2", "test part", "3 classes", "from 3 to 24"]),
        (lambda: classes_of([9, 9, 9]), 25, ["test_size=25", "training part", "3 classes", "from 3 to 24"]),
        (lambda: classes_of([2, 1]), 0.5, ["test_size=0.5", "2 of the 3 rows", "at least 2"]),
    ],
)
def test_split_says_what_to_do(dataset: Callable[[], Dataset], test_size: Any, words: list[str]) -> None:
    message = said(lambda: data.split(dataset(), test_size))
    assert [word for word in words if word not in message] == []


# Standardising


@pytest.mark.parametrize("dtype", [np.float64, "float32"])
@pytest.mark.parametrize("name", OFFLINE)
def test_standardise_is_the_standard_scaler_of_the_training_part(name: str, dtype: Any) -> None:
    split = data.split(data.load(name))
    (train, test), fitted = data.standardise(split, dtype=dtype)
    scaler = StandardScaler().fit(split.train.features)
    tolerance = 1e-12 if dtype is np.float64 else 1e-5
    for part, given_part in ((train, split.train), (test, split.test)):
        assert part.features.dtype == dtype
        assert part.features.flags.c_contiguous
        expected = scaler.transform(given_part.features)
        np.testing.assert_allclose(part.features, expected, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(part.features, fitted.features(given_part.features))
        if part.task == "classification":
            assert part.target is given_part.target
            continue
        assert part.target.dtype == dtype
        assert part.target.shape == given_part.target.shape
        np.testing.assert_allclose(fitted.restore_target(part.target), given_part.target, rtol=1e-5, atol=1e-4)
    if train.task == "regression":
        np.testing.assert_allclose(train.target.mean(axis=0, dtype=np.float64), 0, atol=1e-6)
        np.testing.assert_allclose(train.target.std(axis=0, dtype=np.float64), 1, atol=1e-6)


def test_constant_feature_has_scale_one() -> None:
    features = np.column_stack([np.full(6, 3.0), X[:, 0]])
    split = data.Split(six_rows(features), six_rows(features + 1))
    (train, test), fitted = data.standardise(split)
    assert fitted.feature_scale[0] == 1
    np.testing.assert_array_equal(train.features[:, 0], 0)
    np.testing.assert_array_equal(test.features[:, 0], 1)


def test_test_part_has_no_influence() -> None:
    train, test = data.split(data.load("diabetes"))
    _, fitted = data.standardise(data.Split(train, test))
    shifted = dataclasses.replace(test, features=test.features + 1e3, target=test.target - 1e3)
    _, again = data.standardise(data.Split(train, shifted))
    np.testing.assert_array_equal(fitted.feature_mean, again.feature_mean)
    np.testing.assert_array_equal(fitted.target_scale, again.target_scale)


@pytest.mark.parametrize(("name", "shape"), [("diabetes", (7,)), ("diabetes", (7, 1)), ("linnerud", (7, 3))])
def test_restore_keeps_the_shape(name: str, shape: tuple[int, ...]) -> None:
    _, fitted = data.standardise(data.split(data.load(name)))
    assert fitted.target_mean is not None
    restored = fitted.restore_target(np.zeros(shape, dtype=np.float32))
    assert restored.dtype == np.float64
    np.testing.assert_array_equal(restored, np.broadcast_to(fitted.target_mean, shape))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("iris", (7,), ["regression"]),
        ("diabetes", (7, 2), ["(rows,) or (rows, 1)", "(7, 2)"]),
        ("diabetes", (), ["()"]),
        ("linnerud", (3,), ["(rows, 3)", "(3,)"]),
    ],
)
def test_restore_refuses(name: str, shape: tuple[int, ...], words: list[str]) -> None:
    _, fitted = data.standardise(data.split(data.load(name)))
    message = said(lambda: fitted.restore_target(np.zeros(shape)))
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("shape", [(4,), (3, 5)])
def test_features_refuses_another_shape(shape: tuple[int, ...]) -> None:
    _, fitted = data.standardise(data.split(data.load("iris")))
    assert re.escape(str(shape)) in re.escape(said(lambda: fitted.features(np.zeros(shape))))


@pytest.mark.parametrize("dtype", [np.float16, "int32", "complex128", None, "flaot32", object])
def test_standardise_refuses_dtype(dtype: Any) -> None:
    message = said(lambda: data.standardise(data.split(data.load("iris")), dtype=dtype))
    assert "float32 or float64" in message
    assert repr(dtype) in message


def test_standardise_refuses_what_is_no_split() -> None:
    assert "Dataset" in said(lambda: data.standardise(six_rows(X)), TypeError)  # type: ignore[arg-type]


def test_standardise_refuses_what_overflows() -> None:
    huge = six_rows(np.ascontiguousarray(X * [1, 1e300]))
    assert "'height'" in said(lambda: data.standardise(data.Split(huge, huge)))
    small = six_rows(np.ascontiguousarray(X * 1e-5))
    far = six_rows(np.where(X == 5, 1e36, X))
    message = said(lambda: data.standardise(data.Split(small, far), dtype="float32"))
    assert "'height'" in message
    assert "row 2" in message
