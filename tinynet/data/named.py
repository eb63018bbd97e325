"""Data sets by name: a row of the table `_SOURCES` each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from kernels.spelling import did_you_mean
from tinynet.data import downloads, generators
from tinynet.data.dataset import Dataset, Label
from tinynet.data.downloads import Found
from tinynet.data.options import Option, read_options, split_name
from tinynet.tables.targets import Task


class Description(NamedTuple):
    """A row of the list of data sets, as text."""

    name: str
    task: Task
    size: str
    about: str
    options: str


@dataclass(frozen=True)
class _Source:
    """A named data set. Without `classes`, a classification's are 0..C-1, C being the option "classes", or else 2."""

    name: str
    task: Task
    size: str
    about: str
    build: Callable[..., Found]
    options: Mapping[str, Option] = field(default_factory=dict)
    classes: tuple[Label, ...] = ()
    target_names: tuple[str, ...] = ("target",)


def names() -> list[str]:
    """The names that `load` knows, in the order of `describe`."""
    return list(_SOURCES)


def describe() -> list[Description]:
    """What there is to load, without loading it: name, task, rows x features, one line, options with defaults.

    The size ends in "downloaded" where the first use needs the network.
    """
    return [
        Description(source.name, source.task, source.size, source.about, _defaults(source.options))
        for source in _SOURCES.values()
    ]


def load_named(text: str, given: Mapping[str, object]) -> Dataset:
    """The data set of a name, with options in the text or in `given`; see `tinynet.data.load`."""
    name, in_text = split_name(text)
    if name not in _SOURCES:
        raise ValueError(
            f"unknown data set {name!r}: {did_you_mean(name, _SOURCES)} (a file name ends in .csv, .npz or .parquet)"
        )
    for option in in_text.keys() & given.keys():
        raise ValueError(f"{name}: option {option!r} is given twice, in {text!r} and as a keyword")
    source = _SOURCES[name]
    options = read_options(name, source.options, {**in_text, **given})
    return _to_dataset(source, source.build(**options), options)


def _to_dataset(source: _Source, found: Found, options: Mapping[str, int | float | None]) -> Dataset:
    features = np.ascontiguousarray(found.features, dtype=np.float64)
    classification = source.task == "classification"
    target = np.ascontiguousarray(found.target, dtype=np.int64 if classification else np.float64)
    outputs = 1 if target.ndim == 1 else target.shape[1]
    return Dataset(
        name=source.name,
        features=features,
        target=target,
        task=source.task,
        classes=source.classes or tuple(range(int(options.get("classes") or 2))) if classification else (),
        feature_names=found.feature_names or tuple(f"x{i}" for i in range(features.shape[1])),
        target_names=source.target_names if outputs == len(source.target_names) else _numbered("target", outputs),
    )


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}{i}" for i in range(count))


def _defaults(options: Mapping[str, Option]) -> str:
    return ", ".join(
        f"{name}={'all' if option.default is None else option.default}" for name, option in options.items()
    )


def _bundled(function: str) -> Callable[..., Found]:
    """A data set that scikit-learn ships."""

    def build() -> Found:
        from sklearn import datasets

        return downloads.from_bunch(getattr(datasets, function)())

    return build


def _drawn(generator: Callable[..., tuple[Any, Any]]) -> Callable[..., Found]:
    """A data set drawn at random."""
    return lambda **options: Found(*generator(**options))


_SEED = Option(0, 0, 2**32 - 1)


def _generated(noise: Option, **others: Option) -> dict[str, Option]:
    return {"samples": Option(1000, 10, 10_000_000), **others, "noise": noise, "seed": _SEED}


def _some_of(rows: int) -> dict[str, Option]:
    return {"samples": Option(None, 2, rows), "seed": _SEED}


_ROWS = (
    _Source(
        "iris",
        "classification",
        "150 x 4",
        "species of an iris from the lengths and widths of its flower",
        _bundled("load_iris"),
        classes=("setosa", "versicolor", "virginica"),
        target_names=("species",),
    ),
    _Source(
        "wine",
        "classification",
        "178 x 13",
        "grower of a wine from its chemical analysis",
        _bundled("load_wine"),
        classes=("class_0", "class_1", "class_2"),
        target_names=("grower",),
    ),
    _Source(
        "breast_cancer",
        "classification",
        "569 x 30",
        "diagnosis of a tumour from the shapes of its cell nuclei",
        _bundled("load_breast_cancer"),
        classes=("malignant", "benign"),
        target_names=("diagnosis",),
    ),
    _Source(
        "digits",
        "classification",
        "1797 x 64",
        "handwritten digits, 8 x 8 pixels",
        _bundled("load_digits"),
        classes=tuple(range(10)),
        target_names=("digit",),
    ),
    _Source(
        "diabetes",
        "regression",
        "442 x 10",
        "progression of diabetes after a year from ten measurements",
        _bundled("load_diabetes"),
        target_names=("progression",),
    ),
    _Source(
        "linnerud",
        "regression",
        "20 x 3",
        "weight, waist and pulse from three exercises (three outputs)",
        _bundled("load_linnerud"),
        target_names=("Weight", "Waist", "Pulse"),
    ),
    _Source(
        "moons",
        "classification",
        "1000 x 2",
        "two half circles that reach into each other",
        _drawn(generators.moons),
        _generated(noise=Option(0.1, 0.0, 100.0)),
    ),
    _Source(
        "circles",
        "classification",
        "1000 x 2",
        "a circle inside a circle",
        _drawn(generators.circles),
        _generated(noise=Option(0.1, 0.0, 100.0)),
    ),
    _Source(
        "blobs",
        "classification",
        "1000 x 2",
        "a Gaussian cloud per class; noise is its standard deviation",
        _drawn(generators.blobs),
        _generated(noise=Option(1.0, 0.0, 100.0), features=Option(2, 1, 10_000), classes=Option(3, 2, 1000)),
    ),
    _Source(
        "classification",
        "classification",
        "1000 x 20",
        "clusters on the corners of a hypercube; noise is the share of labels drawn at random",
        _drawn(generators.classification),
        _generated(noise=Option(0.01, 0.0, 1.0), features=Option(20, 1, 10_000), classes=Option(2, 2, 1000)),
    ),
    _Source(
        "regression",
        "regression",
        "1000 x 20",
        "a linear function; noise is its standard deviation",
        _drawn(generators.regression),
        _generated(noise=Option(1.0, 0.0, 1e6), features=Option(20, 1, 10_000), outputs=Option(1, 1, 1000)),
    ),
    _Source(
        "friedman1",
        "regression",
        "1000 x 10",
        "Friedman's non-linear function of five of the features; noise is its standard deviation",
        _drawn(generators.friedman1),
        _generated(noise=Option(1.0, 0.0, 1e6), features=Option(10, 5, 10_000)),
    ),
    _Source(
        "covtype",
        "classification",
        "581012 x 54, downloaded",
        "type of forest from a map's data",
        downloads.covtype,
        _some_of(581_012),
        classes=tuple(range(1, 8)),
        target_names=("cover_type",),
    ),
    _Source(
        "california_housing",
        "regression",
        "20640 x 8, downloaded",
        "median value of houses in a block from its census",
        downloads.california_housing,
        _some_of(20_640),
        target_names=("median_value",),
    ),
    _Source(
        "olivetti_faces",
        "classification",
        "400 x 4096, downloaded",
        "which of 40 people a picture of 64 x 64 pixels shows",
        downloads.olivetti_faces,
        _some_of(400),
        classes=tuple(range(40)),
        target_names=("person",),
    ),
    _Source(
        "mnist",
        "classification",
        "70000 x 784, downloaded",
        "handwritten digits, 28 x 28 pixels",
        downloads.mnist,
        _some_of(70_000),
        classes=tuple(range(10)),
        target_names=("digit",),
    ),
)
_SOURCES = {source.name: source for source in _ROWS}
