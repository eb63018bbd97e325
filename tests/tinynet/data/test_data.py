"""The data set itself, and data sets by name."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
from children import finished
from refusals import said
from sklearn import datasets as sklearn_datasets
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import Bunch

from tinynet import data
from tinynet.data import Dataset, DatasetUnavailable

ROWS = {row.name: row for row in data.describe()}
OFFLINE = [name for name, row in ROWS.items() if "downloaded" not in row.size]
X = np.arange(12.0).reshape(6, 2)
CODES = np.array([0, 1, 0, 1, 0, 1])


def a_dataset(**changes: Any) -> Dataset:
    parts: dict[str, Any] = {
        "name": "six",
        "features": X,
        "target": CODES,
        "task": "classification",
        "classes": ("no", "yes"),
        "feature_names": ("width", "height"),
        "target_names": ("answer",),
    }
    return Dataset(**{**parts, **changes})


def a_regression(target: Any, **changes: Any) -> Dataset:
    parts = {"target": target, "task": "regression", "classes": (), **changes}
    return a_dataset(**parts)


def test_public_names() -> None:
    assert data.__all__ == [
        "Dataset",
        "DatasetUnavailable",
        "Description",
        "Split",
        "Standardisation",
        "Task",
        "describe",
        "load",
        "names",
        "split",
        "standardise",
    ]


def test_import_is_light() -> None:
    code = "import sys, tinynet.data as d; d.describe(); print({'sklearn', 'pandas', 'pyarrow'} & set(sys.modules))"
    done = finished([sys.executable, "-c", code], check=True, env=with_path())
    assert done.stdout.strip() == "set()"


def with_path() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


# The data set


NAN = np.where(np.arange(12).reshape(6, 2) == 7, np.nan, X)
BAD_DATASETS: dict[str, tuple[Callable[[], object], list[str]]] = {
    "a list": (lambda: a_dataset(features=[[1.0]]), ["features", "list"]),
    "strided": (lambda: a_dataset(features=np.asfortranarray(X)), ["features", "C-contiguous"]),
    "1-D": (lambda: a_dataset(features=X[:, 0].copy()), ["features", "2-D", "(6,)"]),
    "int features": (lambda: a_dataset(features=X.astype(int)), ["features", "float64", "int64"]),
    "one row": (lambda: a_dataset(features=X[:1], target=CODES[:1]), ["at least 2 rows", "got 1"]),
    "no feature": (lambda: a_dataset(features=X[:, :0].copy(), feature_names=()), ["at least one feature"]),
    "names": (lambda: a_dataset(feature_names=("a",)), ["2 features", "got 1"]),
    "nan": (lambda: a_dataset(features=NAN), ["'height'", "row 3", "nan"]),
    "inf": (lambda: a_dataset(features=np.where(X == 2, np.inf, X)), ["'width'", "row 1", "inf"]),
    "lengths": (lambda: a_dataset(target=CODES[:5]), ["6 rows", "5"]),
    "task": (lambda: a_dataset(task="clustering"), ["task", "'clustering'"]),
    "float codes": (lambda: a_dataset(target=CODES * 1.0), ["int64", "float64"]),
    "2-D codes": (lambda: a_dataset(target=CODES.reshape(6, 1)), ["(rows,)", "(6, 1)"]),
    "one class": (lambda: a_dataset(target=CODES * 0, classes=("no",)), ["2 classes", "'no'"]),
    "same classes": (lambda: a_dataset(classes=("no", "no")), ["differ", "'no'"]),
    "code too large": (lambda: a_dataset(target=CODES * 2), ["2 in row 1", "0..1"]),
    "negative code": (lambda: a_dataset(target=-CODES), ["-1 in row 1", "0..1"]),
    "two target names": (lambda: a_dataset(target_names=("a", "b")), ["one target name"]),
    "int quantities": (lambda: a_regression(CODES), ["float64", "int64"]),
    "classes in regression": (lambda: a_regression(X[:, 0].copy(), classes=("a",)), ["no classes"]),
    "3-D quantities": (lambda: a_regression(np.zeros((6, 1, 1))), ["(6, 1, 1)"]),
    "nan quantity": (lambda: a_regression(NAN, target_names=("mass", "age")), ["'age'", "row 3"]),
    "target names": (lambda: a_regression(X), ["2 outputs", "answer"]),
}


@pytest.mark.parametrize("case", BAD_DATASETS)
def test_dataset_refuses(case: str) -> None:
    call, words = BAD_DATASETS[case]
    message = said(call, TypeError if case == "a list" else ValueError)
    assert [word for word in ["six", *words] if word not in message] == []


def test_dataset_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_dataset().name = "seven"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("dataset", "outputs"),
    [
        (lambda: a_dataset(), 2),
        (lambda: a_regression(X[:, 0].copy()), 1),
        (lambda: a_regression(X, target_names=("a", "b")), 2),
    ],
)
def test_outputs(dataset: Callable[[], Dataset], outputs: int) -> None:
    assert dataset().outputs == outputs


# By name


def test_names_and_descriptions_agree() -> None:
    assert data.names() == list(ROWS)
    assert len(data.names()) == 16
    assert all(row.about and row.size for row in ROWS.values())
    assert ROWS["moons"].options == "samples=1000, noise=0.1, seed=0"
    assert ROWS["mnist"].options == "samples=all, seed=0"


@pytest.mark.parametrize("name", OFFLINE)
def test_named_sets_are_as_described(name: str) -> None:
    dataset = data.load(name)
    assert f"{dataset.features.shape[0]} x {dataset.features.shape[1]}" == ROWS[name].size
    assert (dataset.name, dataset.task) == (name, ROWS[name].task)
    assert dataset.features.dtype == np.float64
    if dataset.task == "classification":
        assert set(dataset.target.tolist()) == set(range(dataset.outputs))
    (train, test), _ = data.standardise(data.split(dataset))
    assert len(train.features) + len(test.features) == len(dataset.features)


BUNDLED_CLASSES = {
    "iris": "load_iris",
    "wine": "load_wine",
    "breast_cancer": "load_breast_cancer",
    "digits": "load_digits",
}


@pytest.mark.parametrize("name", BUNDLED_CLASSES)
def test_classes_are_those_of_scikit_learn(name: str) -> None:
    dataset, bunch = data.load(name), getattr(sklearn_datasets, BUNDLED_CLASSES[name])()
    assert [dataset.classes[code] for code in dataset.target] == bunch.target_names[bunch.target].tolist()


def test_linnerud_names_its_outputs() -> None:
    dataset = data.load("linnerud")
    assert dataset.target_names == tuple(sklearn_datasets.load_linnerud().target_names)
    assert dataset.outputs == 3


def test_moons_can_be_learnt() -> None:
    train, test = data.split(data.load("moons"))
    score = KNeighborsClassifier(5).fit(train.features, train.target).score(test.features, test.target)
    assert score >= 0.97


def test_options_in_the_name_are_options() -> None:
    text, keywords = (
        data.load("moons:samples=50, noise=0.3,seed=7"),
        data.load("moons", samples=50, noise=0.3, seed="7"),
    )
    both = data.load("moons:samples=50,noise=0.3", seed=np.int64(7))
    np.testing.assert_array_equal(text.features, keywords.features)
    np.testing.assert_array_equal(text.features, both.features)
    assert len(text.features) == 50
    assert not np.array_equal(text.features, data.load("moons:samples=50,noise=0.3").features)


@pytest.mark.parametrize("classes", [2, 3, 5, 9])
@pytest.mark.parametrize("features", [4, 5, 30])
@pytest.mark.parametrize("name", ["classification", "blobs"])
def test_generated_classes(name: str, features: int, classes: int) -> None:
    dataset = data.load(name, features=features, classes=classes, samples=300)
    assert dataset.features.shape == (300, features)
    assert dataset.classes == tuple(range(classes))


def test_generated_outputs() -> None:
    dataset = data.load("regression:outputs=3,features=4")
    assert dataset.target.shape == (1000, 3)
    assert dataset.target_names == ("target0", "target1", "target2")


BAD_NAMES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "near miss": ("irsi", {}, ["'irsi'", "did you mean 'iris'"]),
    "case": ("Moons", {}, ["'Moons'", "'moons'"]),
    "far miss": ("qqqqqq", {}, ["'qqqqqq'", "'iris'", "'mnist'"]),
    "empty": ("", {}, ["unknown data set ''"]),
    "unknown option": ("moons", {"sample": 10}, ["moons", "'sample'", "'samples'"]),
    "option of none": ("iris", {"samples": 10}, ["iris", "'samples'", "it has none"]),
    "no value": ("moons:noise", {}, ["'moons:noise'", "option=value"]),
    "nothing after colon": ("moons:", {}, ["option=value"]),
    "twice in text": ("moons:seed=1,seed=2", {}, ["'seed'", "twice"]),
    "twice": ("moons:seed=1", {"seed": 1}, ["'seed'", "twice"]),
    "too few": ("moons", {"samples": 9}, ["'samples'", "from 10 to 10000000", "got 9"]),
    "too many": ("moons:samples=99999999999", {}, ["'samples'", "got '99999999999'"]),
    "not whole": ("moons", {"samples": 20.5}, ["'samples'", "whole number", "20.5"]),
    "not whole text": ("moons:samples=2e3", {}, ["'samples'", "whole number", "'2e3'"]),
    "bool": ("moons", {"samples": True}, ["'samples'", "True"]),
    "bool noise": ("moons", {"noise": True}, ["'noise'", "True"]),
    "none": ("moons", {"noise": None}, ["'noise'", "None"]),
    "not a number": ("moons:noise=loud", {}, ["'noise'", "a number from 0 to 100", "'loud'"]),
    "nan": ("moons:noise=nan", {}, ["'noise'", "'nan'"]),
    "negative": ("moons", {"noise": -0.1}, ["'noise'", "-0.1"]),
    "negative seed": ("moons", {"seed": -1}, ["'seed'", "-1"]),
    "more classes than rows": ("blobs:classes=30,samples=20", {}, ["'classes'", "20", "got 30"]),
    "too few features": ("classification:classes=9,features=3", {}, ["'features'", "at least 4", "got 3"]),
    "too few for Friedman": ("friedman1:features=4", {}, ["'features'", "from 5"]),
    "too large": ("friedman1:features=10000,samples=10000000", {}, ["'samples'", "10000000 x 10000"]),
    "target": ("iris", {"target": "species"}, ["'species'", "'iris'"]),
    "task": ("iris", {"task": "regression"}, ["iris", "'task'"]),
    "too many of all": ("mnist:samples=70001", {}, ["'samples'", "70000", "'70001'"]),
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_load_refuses_names_and_options(case: str) -> None:
    name, options, words = BAD_NAMES[case]
    message = said(lambda: data.load(name, **options))
    assert [word for word in words if word not in message] == []


def test_load_refuses_what_is_no_name() -> None:
    assert "int" in said(lambda: data.load(3), TypeError)  # type: ignore[arg-type]


# Downloads: the fetchers of scikit-learn are replaced, nothing reaches the network

FETCHERS: dict[str, tuple[str, Callable[[int], Any]]] = {
    "covtype": ("fetch_covtype", lambda n: np.arange(n) % 7 + 1),
    "california_housing": ("fetch_california_housing", lambda n: np.linspace(0.1, 5.0, n)),
    "olivetti_faces": ("fetch_olivetti_faces", lambda n: np.arange(n) % 40),
    "mnist": ("fetch_openml", lambda n: (np.arange(n) % 10).astype(str).astype(object)),
}


def test_every_download_has_a_fetcher_here() -> None:
    assert set(FETCHERS) == set(ROWS) - set(OFFLINE)


@pytest.mark.parametrize("name", FETCHERS)
def test_download(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, target = FETCHERS[name]
    bunch = Bunch(data=np.arange(240, dtype=np.float32).reshape(80, 3), target=target(80))
    if name == "covtype":
        bunch.feature_names = ["a", "b", "c"]
    arguments: dict[str, Any] = {}

    def fetch(**given: Any) -> Bunch:
        arguments.update(given)
        return bunch

    monkeypatch.setattr(sklearn_datasets, function, fetch)
    dataset = data.load(name)
    assert dataset.features.shape == (80, 3)
    assert dataset.feature_names == (("a", "b", "c") if name == "covtype" else ("x0", "x1", "x2"))
    assert dataset.features.dtype == np.float64
    labels = [dataset.classes[code] for code in dataset.target] if dataset.classes else dataset.target.tolist()
    assert labels == [type(label)(given) for label, given in zip(labels, bunch.target, strict=True)]
    if name == "mnist":
        assert (arguments["name"], arguments["version"], arguments["as_frame"]) == ("mnist_784", 1, False)

    drawn = data.load(f"{name}:samples=20,seed=3")
    assert drawn.features.shape == (20, 3)
    assert drawn.classes == dataset.classes
    rows = (drawn.features[:, 0] / 3).astype(int)
    np.testing.assert_array_equal(drawn.features, dataset.features[rows])
    np.testing.assert_array_equal(drawn.target, dataset.target[rows])
    assert len(set(rows.tolist())) == 20


@pytest.mark.parametrize("pandas_installed", [True, False])
def test_mnist_does_not_need_pandas(pandas_installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    bunch = Bunch(data=np.ones((4, 2)), target=np.array(["0", "1", "2", "3"], dtype=object))
    parsers: list[str] = []

    def fetch(parser: str, **_: Any) -> Bunch:
        parsers.append(parser)
        return bunch

    monkeypatch.setattr(sklearn_datasets, "fetch_openml", fetch)
    monkeypatch.setattr("tinynet.data.downloads.find_spec", lambda name: object() if pandas_installed else None)
    data.load("mnist")
    assert parsers == ["pandas" if pandas_installed else "liac-arff"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError("Name or service not known"), "Name or service not known"),
        (HTTPError("http://x", 503, "Service Unavailable", None, None), "Service Unavailable"),  # type: ignore[arg-type]
        (TimeoutError("timed out"), "timed out"),
        (ValueError("md5 checksum of local file does not match"), "md5 checksum"),
        (EOFError("Compressed file ended"), "Compressed file ended"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
    ],
)
@pytest.mark.parametrize("name", FETCHERS)
def test_no_network(name: str, error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(**_: Any) -> Bunch:
        raise error

    monkeypatch.setenv("SCIKIT_LEARN_DATA", "/somewhere/else")
    monkeypatch.setattr(sklearn_datasets, FETCHERS[name][0], fetch)
    message = said(lambda: data.load(name), DatasetUnavailable)
    assert [word for word in (repr(name), reason, "download", "/somewhere/else") if word not in message] == []
    assert issubclass(DatasetUnavailable, OSError)
